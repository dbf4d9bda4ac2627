//! voyandz, a live audio/video server. `docs/ARCHITECTURE.md` is the map of this crate.

pub mod access;
pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod credentials;
pub mod doctor;
pub mod engine;
pub mod ipc;
pub mod journal;
pub mod load;
pub mod manpage;
pub mod media;
pub mod net;
pub mod output;
pub mod reload;
pub mod run;
pub mod source;
pub mod status;
pub mod still;
pub mod store;
pub mod stream;
pub mod sys;
pub mod telemetry;
pub mod web;
pub mod worker;
