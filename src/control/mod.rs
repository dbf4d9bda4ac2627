//! What people and programs see of the server itself. Never touches a packet.

pub mod about;
pub mod configuration;
pub mod facts;
pub mod health;
pub mod home;
pub mod metrics;
mod page;
pub mod player;
pub mod stat;
mod tracks;
mod units;
