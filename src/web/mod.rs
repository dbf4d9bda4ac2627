//! Web pages for people: all streams, a player for each stream, the state, and the configuration. They show what
//! [`crate::status`] knows, and never touch a packet.

mod addresses;
pub mod config;
mod history_bar;
pub mod home;
mod link;
pub mod login;
pub mod manage;
pub mod offers;
pub mod page;
pub mod player;
mod qr;
pub mod recordings;
mod sparkline;
pub mod state;
mod tile;
pub mod wall;
