//! HTTP: live streams and still pictures under the paths of the configuration.
//!
//! [`session`] speaks with one client through hyper, [`routes`] finds in the [`site`] what it asks for, [`query`] reads
//! how it wants it. A still picture is answered there and then; a live answer ([`live`]) leaves hyper when
//! its head is out, and a [`shard`] writes its packets to the [`viewer`]. Over HTTP/2 ([`h2`]) it is a [`body`] that stays with
//! hyper; either way [`watching`] says what comes next. [`pictures`] sends pictures one after the other.
//! [`departure`] tells that a client is gone whose answer takes long, [`visit`] is the line in the log, and [`tally`] tells how
//! long media was under way in here.

mod body;
pub mod departure;
mod h2;
mod handed;
pub mod live;
pub mod pictures;
pub mod query;
mod request_id;
pub mod routes;
pub mod session;
pub mod shard;
pub mod site;
mod still;
mod tally;
mod trace;
pub mod viewer;
pub mod visit;
mod watching;
