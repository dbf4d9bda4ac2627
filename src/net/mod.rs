//! Listening sockets: binding, accepting, limits, the words of proxies, and encryption; datagrams by the dozen. And requests of our own.

mod client;
mod control_socket;
mod datagrams;
mod interface;
mod interfaces;
mod limits;
mod listener;
mod outbox;
pub mod proxy_header;
mod received;
mod reject;
pub mod segments;
pub mod tls;

pub use client::{ByteStream, ClientError, Exchange, HttpClient, target};
pub use control_socket::{ControlSocket, places, usual_place};
pub use datagrams::DatagramSender;
pub use interface::Interface;
pub use interfaces::interface_addresses;
pub use limits::{ConnectionLimiter, ConnectionPermit, LimitReached};
pub use listener::{Connection, Incoming, Listener};
pub use outbox::Outbox;
pub use received::ReceivedDatagrams;
pub use reject::RejectedConnection;
