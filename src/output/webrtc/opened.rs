//! Starts a stream for a viewer.

use super::exchange::Problem;
use crate::{
    engine::registry::StreamHandle,
    media::{
        Container, NotCarried, TrackSet,
        webrtc::{is_reordered, tracks_of},
    },
    output::{http::response::FEED_FAILED, packets::uncarried},
    source::demand::Lease,
    stream::{self, Delivery, FanOut, Join, StreamOutput},
};
use http::StatusCode;
use std::time::Duration;

/// When a keyframe is asked for that has not come.
const KEYFRAME_WITHIN: Duration = Duration::from_millis(300);
/// How long it may take until a stream has tracks.
const TRACKS_WITHIN: Duration = Duration::from_secs(10);

/// A stream that runs for a viewer.
#[derive(Debug)]
pub(super) struct Opened {
    /// Its frames.
    pub(super) fanout: FanOut,
    /// Keeps it running.
    pub(super) lease: Lease,
    /// What it has.
    pub(super) tracks: TrackSet,
}

/// Starts a stream, and waits until its tracks are known. Cancel-safe.
pub(super) async fn open(stream: &StreamHandle) -> Result<Opened, Problem> {
    let Some((sampled, output)) = stream.sampled().and_then(|one| Some((one, one.output.as_ref()?))) else {
        let sentence = "this stream comes as bytes of a container that are not taken apart: it has no WebRTC";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, sentence));
    };
    let output = output.beside(Container::WebRtc);
    let lease = match &sampled.rendition {
        Some(rendition) => rendition.open(Container::WebRtc).await.map_err(|fault| not_carried(&output, &fault))?,
        None => sampled.demand.lease().with(output.lease()),
    };
    let fanout = output.fanout().clone();
    if fanout.is_closed() {
        return Err(Problem::unavailable(FEED_FAILED));
    }
    let tracks = tokio::select! {
        tracks = tokio::time::timeout(TRACKS_WITHIN, tracks(&fanout)) => tracks,
        // A source that is slow to start reports its tracks late.
        fault = uncarried(&output, (Container::WebRtc, sampled.rendition.as_deref())) => return Err(not_carried(&output, &fault)),
    };
    match tracks {
        Ok(Some(tracks)) => Ok(Opened { fanout, lease, tracks }),
        Ok(None) => Err(Problem::unavailable(FEED_FAILED)),
        Err(_) => {
            let sentence = "nothing comes from the source of this stream";
            Err(Problem::new(StatusCode::CONFLICT, sentence).retry("1"))
        }
    }
}

/// The tracks that are sent; `None` when the stream has ended.
async fn tracks(fanout: &FanOut) -> Option<TrackSet> {
    let entry = stream::Entry { join: Join::Keyframe, header: true };
    let mut reader = fanout.subscribe_unforced(entry);
    loop {
        let Ok(delivery) = tokio::time::timeout(KEYFRAME_WITHIN, reader.next()).await else {
            // A publisher makes none unless it is asked.
            fanout.want_keyframe();
            continue;
        };
        match delivery {
            Delivery::Aside(header) => return tracks_of(&header.payload()),
            Delivery::End if fanout.is_closed() => return None,
            Delivery::End => reader = fanout.subscribe_unforced(entry),
            Delivery::Packet(_) | Delivery::Gap(_) => {}
        }
    }
}

fn not_carried(output: &StreamOutput, fault: &NotCarried) -> Problem {
    let known = output.input().known_tracks().borrow().clone();
    let has_b_frames = known.is_some_and(|(tracks, _)| tracks.tracks().iter().any(|track| is_reordered(&track.codec)));
    let sentence = match has_b_frames {
        true => "the H.264 of this stream has B-frames, which browsers show in the wrong order: encode it without \
                 them, or let the stream have `video` of its own or `repair: [audio, video]`"
            .to_owned(),
        false => {
            format!("{fault}: browsers play H.264, VP8, VP9 and Opus; see `video`, `audio` and `repair` of the stream")
        }
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, &sentence)
}
