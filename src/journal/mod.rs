//! The journal: what happened, numbered and in order, also over restarts of the server.
//!
//! In come facts ([`crate::telemetry::Facts`]) from whoever knows them. One thread ([`writer`]) numbers them, keeps the newest in
//! memory ([`recent`]) and all of them in files of a bounded size ([`folder`]); what people do is in the [`audit`] log as well. Readers have a position of their own, the number of
//! the last [`record`] that they know; the journal never waits for them. It never touches a packet.

mod audit;
mod folder;
mod reader;
mod recent;
mod record;
mod writer;

pub use reader::{Batch, Journal, Lost};
pub use record::Record;
pub use writer::Writer;
