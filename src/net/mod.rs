//! Listening sockets: binding, accepting, limits, the words of proxies, and encryption; datagrams by the dozen. And requests of our own.

mod client;
mod control_socket;
mod interfaces;
mod limits;
mod listener;
pub mod proxy_header;
mod reject;
pub mod segments;
pub mod tls;

pub use client::{ClientError, Exchange, HttpClient};
pub use control_socket::{ControlSocket, places, usual_place};
pub use interfaces::interface_addresses;
pub use limits::{ConnectionLimiter, ConnectionPermit, LimitReached};
pub use listener::{Connection, Incoming, Listener};
pub use reject::RejectedConnection;
