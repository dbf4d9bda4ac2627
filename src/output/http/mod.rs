//! HTTP: live streams and stills under the paths of the configuration.
//!
//! [`session`] reads the requests of one client through hyper, [`control`] those over the control socket. [`router`] finds the handler for a path, past its filters for [`players`]: [`live`],
//! [`exclusive`], [`shot`], [`still`], [`websocket`] or [`frames`]; [`query`] parses the parameters (pure),
//! [`authorize`] decides who may have what, [`cors`] what pages of other origins may (pure), and [`admission`] refuses while the
//! machine is overloaded. A live response over HTTP/1 leaves hyper when its head is sent ([`takeover`]): a thread of
//! [`shard`](super::shard) then writes the packets, and [`live_session`] is what is left of the protocol. Over HTTP/2 ([`h2`]) it
//! stays with hyper as a [`body`]. [`publish`] takes the body of a request as media, [`icecast`] all that follows a request of a
//! source client, and both hand it to [`intake`]. [`disconnect`] notices a client that left before its response was ready, and
//! [`access_log`] writes the log line of a request.

pub mod access_log;
pub mod admission;
pub mod authorize;
mod body;
pub mod control;
pub mod cors;
pub mod disconnect;
mod exclusive;
mod frames;
mod h2;
mod icecast;
mod intake;
pub mod limits;
pub mod live;
mod live_session;
pub mod players;
pub mod publish;
pub mod query;
mod request_id;
pub mod response;
pub mod router;
pub mod session;
mod shot;
pub mod site;
mod station;
mod still;
pub mod still_headers;
mod still_stream;
mod take_once;
pub mod takeover;
mod trace_context;
mod websocket;
