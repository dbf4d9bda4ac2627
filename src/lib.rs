//! voyandz, a live audio/video server. `docs/ARCHITECTURE.md` is the map of this crate.

pub mod app;
pub mod cli;
pub mod config;
pub mod control;
pub mod doctor;
pub mod engine;
pub mod ipc;
pub mod manual;
pub mod media;
pub mod net;
pub mod output;
pub mod reload;
pub mod run;
pub mod source;
pub mod still;
pub mod stream;
pub mod sys;
pub mod telemetry;
pub mod worker;
