//! The API below `/api/v1`: the state as JSON, orders to feeds and viewers, and changes of the configuration, which stand in the person's
//! files afterwards.
//!
//! [`table`] has all operations ([`route`]): it dispatches, says who may, and prints the [`openapi`] document. [`filter`] reads
//! requests and asks for permission; [`state`], [`control`], [`recording`], [`config`], [`files`], [`history`], [`hooks`], [`session`] and [`events`] answer a [`call`]. [`srs`] has the state in the words of SRS, for a port of its own. [`configurator`] is the way to the task that changes the
//! configuration. A refusal is a [`problem`] (RFC 9457).

mod call;
pub mod clips;
mod config;
pub mod configurator;
mod control;
mod event_hub;
mod events;
mod files;
mod filter;
mod history;
mod hooks;
mod json;
mod links;
mod machine;
pub mod merge_patch;
mod openapi;
mod pace;
pub mod path;
mod problem;
mod query;
mod recording;
mod recordings;
mod route;
mod session;
pub mod srs;
mod state;
mod storage;
mod table;
pub mod texts;

pub use call::{Api, Doctor, State};
pub use event_hub::Events;
pub use filter::routes;
