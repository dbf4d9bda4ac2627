//! SRT: the protocol, and a caller of others.

mod call;
pub mod wire;

pub use call::{Call, CallError};
pub use wire::packet::TS_PAYLOAD;
