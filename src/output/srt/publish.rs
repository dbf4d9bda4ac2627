//! A connection that brings media: payloads on their way to the slot of a feed.

use crate::{media::unpack::AnyDemuxer, output::publish::feeder::Feeder};
use bytes::Bytes;
use std::time::Duration;
use tokio::sync::mpsc;

/// Payloads that wait to be demuxed: a second of 20 Mbit/s, which is as much as may be ahead of the clock.
const WAITING: usize = 2048;
/// Media that is silent for this long is not waited for: what came of it is taken as whole.
const SETTLE: Duration = Duration::from_millis(500);
/// Why a publisher ends.
const CLIENT_LEFT: &str = "client left";
const NOT_MEDIA: &str = "not media";
const TOO_FAST: &str = "media comes faster than it plays";

/// The side of the connection.
#[derive(Debug)]
pub struct Publish(mpsc::Sender<Bytes>);

/// The way from a connection to the task that takes its media apart.
pub fn pipe() -> (Publish, mpsc::Receiver<Bytes>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Publish(sender), receiver)
}

impl Publish {
    /// Hands a payload on.
    ///
    /// # Errors
    /// Why the connection has to end.
    pub fn take(&self, payload: Bytes) -> Result<(), &'static str> {
        match self.0.try_send(payload) {
            // The task that is gone says why.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(TOO_FAST),
        }
    }
}

/// Demuxes what comes until the connection or the permission ends: the reason. Cancel-safe.
pub async fn receive(mut feeder: Feeder, mut payloads: mpsc::Receiver<Bytes>) -> &'static str {
    let (mut demuxer, mut found) = (AnyDemuxer::new(), Vec::new());
    loop {
        let payload = tokio::select! {
            biased;
            reason = feeder.ended() => return reason,
            payload = tokio::time::timeout(SETTLE, payloads.recv()) => payload,
        };
        match payload {
            Err(_) => demuxer.settle(&mut found),
            Ok(Some(payload)) => {
                if let Err(error) = demuxer.push(&payload, &mut found) {
                    tracing::debug!(%error, protocol = "srt", "published bytes are invalid");
                    feeder.finish(NOT_MEDIA);
                    return NOT_MEDIA;
                }
            }
            Ok(None) => {
                // What is whole is taken, whatever the end is like.
                let _ = demuxer.finish(&mut found);
                feeder.take(found.drain(..), demuxer.has_times());
                feeder.finish(CLIENT_LEFT);
                return CLIENT_LEFT;
            }
        }
        feeder.take(found.drain(..), demuxer.has_times());
        tokio::select! {
            reason = feeder.ended() => return reason,
            () = feeder.pace() => {}
        }
    }
}
