//! Web pages for people: all streams, a player for each stream, the state, and the configuration. They show what
//! [`crate::status`] knows, and never touch a packet.

pub mod config;
pub mod home;
mod link;
pub mod offers;
pub mod page;
pub mod player;
pub mod state;
mod tile;
pub mod wall;
