//! What people and programs see of the server itself. Never touches a packet.

pub mod configuration;
pub mod home;
