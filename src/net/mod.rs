//! Listening sockets: binding, accepting, limits, and encryption.

mod limits;
mod listener;
mod reject;
pub mod tls;

pub use limits::{ConnectionLimiter, ConnectionPermit, LimitReached};
pub use listener::{Connection, Incoming, Listener};
pub use reject::RejectedConnection;
