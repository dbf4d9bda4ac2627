//! Listening sockets: binding, accepting, limits, the words of proxies, and encryption.

mod limits;
mod listener;
pub mod proxy_header;
mod reject;
pub mod tls;

pub use limits::{ConnectionLimiter, ConnectionPermit, LimitReached};
pub use listener::{Connection, Incoming, Listener};
pub use reject::RejectedConnection;
