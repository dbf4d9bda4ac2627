//! Pushing out: streams that are sent to other servers, as encoders do.
//!
//! [`pushers`] runs a [`task`] for each target that is configured. Its life is decided by a [`machine`] (pure); [`connection`] is a connection of
//! any protocol: [`rtmp`] and [`rtsp`] to servers of these, [`whip`] to an [`endpoint`] of WebRTC, and those of `src/link/`. A push is a viewer to
//! the engine: it has a lease of the output and a reader of its packets, and skips to a keyframe when its target is slow. [`hops`] notices
//! media that comes back to the feed which it is made of. [`asking`] has a service name targets when a publisher begins, in the words of
//! [`forward`] (pure); [`orders`] stops and starts a push.

mod asking;
mod connection;
mod endpoint;
mod error;
mod forward;
pub mod hops;
mod machine;
mod orders;
pub mod pushers;
mod rtmp;
mod rtsp;
mod task;
mod whip;
