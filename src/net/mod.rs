//! Sockets that listen: binding, accepting, limits.

mod excess;
mod listener;
mod places;

pub use excess::Excess;
pub use listener::{Accepted, Arrival, Listener};
pub use places::{Connections, Crowded, Place};
