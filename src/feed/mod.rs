//! Where media comes from: everything that is started when someone wants it, watched, and brought back when it dies.
//!
//! [`machine`] decides (pure), [`supervisor`] is the task that does what it says for one feed or stream, and a
//! [`source`] is what runs: a [`program`] ([`command`]), a named pipe ([`pipe`]), or an item of a worker process
//! ([`group`], [`worker`], [`pool`]; `transfer` moves its media). [`plan`] derives all of it from the
//! configuration, [`units`] makes it run and exchanges it for the next; the [`registry`] has the result. A stream that is
//! made for each request ([`private`]) has no supervisor.

pub mod command;
pub mod demand;
pub mod group;
pub mod machine;
pub mod picture;
pub mod pipe;
mod placeholder;
pub mod plan;
pub mod pool;
pub mod private;
pub mod program;
pub mod registry;
pub mod sequence;
pub mod source;
pub mod status;
pub mod stderr;
pub mod still;
pub mod supervisor;
mod transfer;
pub mod units;
pub mod worker;
