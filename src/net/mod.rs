//! Sockets that listen: binding, accepting, limits.

mod listener;

pub use listener::{Accepted, Connections, Listener};
