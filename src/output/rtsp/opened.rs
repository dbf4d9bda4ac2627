//! A stream that was started for a client, and what is known of it.

use super::message::{Reply, Status};
use crate::{
    engine::registry::StreamHandle,
    media::{Container, Muxer, TrackSet},
    source::demand::Lease,
    stream::{Delivery, Entry, Join, StreamOutput},
};
use bytes::Bytes;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// How long a stream may take to start.
pub const START_WITHIN: Duration = Duration::from_secs(10);

/// A stream that was started for a client.
#[derive(Debug)]
pub struct Opened {
    /// The path that the client named.
    pub path: String,
    /// The stream, where it is made of samples.
    pub stream: Arc<StreamHandle>,
    /// Its RTP packets.
    pub output: StreamOutput,
    /// Keeps it running.
    pub lease: Lease,
    /// The tracks in SDP.
    pub tracks: String,
    /// The packets that a reader begins with.
    pub begins: Bytes,
    /// When the client asked for it first.
    pub asked: Instant,
}

/// Starts a stream, and waits for its first packets.
///
/// # Errors
/// The response that says why there are none.
pub async fn open(path: &str, stream: Arc<StreamHandle>) -> Result<Opened, Reply> {
    let asked = Instant::now();
    let unavailable = |sentence: &str| Reply::refusal(Status::Unavailable, sentence).with("Retry-After", "1");
    if stream.fanout.is_closed() {
        return Err(unavailable("the feed of this stream has failed"));
    }
    let sampled = stream.sampled().and_then(|sampled| Some((sampled, sampled.output.as_ref()?)));
    let Some((sampled, output)) = sampled else {
        let sentence = "this stream is bytes of a program, which are not taken apart: it can be had over HTTP";
        return Err(Reply::refusal(Status::NotAcceptable, sentence));
    };
    let output = output.beside(Container::Rtp);
    let lease = match &sampled.rendition {
        Some(rendition) => rendition
            .open(Container::Rtp)
            .await
            .map_err(|fault| Reply::refusal(Status::NotAcceptable, &fault.to_string()))?,
        None => sampled.demand.lease().with(output.lease()),
    };
    let mut reader = output.fanout().subscribe(Entry { join: Join::Keyframe, header: true });
    let mut tracks = String::new();
    let begins = async {
        loop {
            match reader.next().await {
                Delivery::Aside(header) => tracks = String::from_utf8_lossy(&header.payload()).into_owned(),
                Delivery::Packet(packet) => return Some(packet.payload()),
                Delivery::Gap(_) => {}
                Delivery::End => return None,
            }
        }
    };
    // Without alternatives it is known as soon as the tracks are.
    let refused = async {
        let is_refused = |known: &Option<(TrackSet, bool)>| {
            let complete = known.as_ref().filter(|(_, is_complete)| *is_complete);
            complete.is_some_and(|(set, _)| Muxer::select(Container::Rtp, set).is_err())
        };
        match sampled.rendition.is_none() {
            true => drop(output.input().known_tracks().wait_for(is_refused).await),
            false => std::future::pending().await,
        }
    };
    let begins = tokio::select! {
        begins = timeout(START_WITHIN, begins) => begins.ok().flatten(),
        () = refused => None,
    };
    match begins.filter(|_| !tracks.is_empty()) {
        Some(begins) => {
            let handle = sampled.clone();
            Ok(Opened { path: path.to_owned(), stream: Arc::new(handle), output, lease, tracks, begins, asked })
        }
        None => {
            let known = output.input().known_tracks().borrow().clone();
            let fault = known.and_then(|(set, _)| Muxer::select(Container::Rtp, &set).err());
            Err(match fault {
                Some(fault) => Reply::refusal(Status::NotAcceptable, &fault.to_string()),
                None => unavailable("nothing comes from the stream"),
            })
        }
    }
}
