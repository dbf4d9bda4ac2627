//! Listening sockets: binding, accepting, and limits.

mod limits;
mod listener;
mod reject;

pub use limits::{ConnectionLimiter, ConnectionPermit, LimitReached};
pub use listener::{Connection, Incoming, Listener};
pub use reject::RejectedConnection;
