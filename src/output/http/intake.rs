//! Takes what a publisher sends over HTTP, whatever it is carried in: bytes of a container go in, samples reach the slot of a feed.

use crate::{
    media::{
        demux::Demuxed,
        unpack::{AnyDemuxer, UnknownBytes},
    },
    output::publish::feeder::Feeder,
    source::publisher::CLOSED,
};
use bytes::Buf;
use futures_util::{Stream, StreamExt};
use http::StatusCode;
use std::{pin::pin, time::Duration};

/// Media that is silent for this long is not waited for: what came of it is taken as whole.
const SETTLE: Duration = Duration::from_millis(500);
/// Why a publisher ends whose body ends.
const DONE: &str = "done";
const CLIENT_LEFT: &str = "client left";
const NOT_MEDIA: &str = "not media";

/// How the media of a publisher ended: the status and the sentence of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// 200 when all of it was taken.
    pub status: StatusCode,
    /// Why, or how much was taken.
    pub sentence: String,
}

/// Takes all media. Cancelled, it ends the publisher.
pub async fn receive(mut feeder: Feeder, media: impl Stream<Item = Result<impl Buf, impl Sized>> + Send) -> Ended {
    let mut media = pin!(media);
    let (mut demuxer, mut found) = (AnyDemuxer::new(), Vec::new());
    loop {
        let piece = tokio::select! {
            biased;
            reason = feeder.ended() => return disconnected(reason),
            piece = tokio::time::timeout(SETTLE, media.next()) => piece,
        };
        let taken = match piece {
            Err(_) => {
                demuxer.settle(&mut found);
                Ok(())
            }
            Ok(Some(Ok(mut piece))) => take_all(&mut demuxer, &mut piece, &mut found),
            Ok(Some(Err(_))) => {
                feeder.finish(CLIENT_LEFT);
                let sentence = "the body of the request is not whole".to_owned();
                return Ended { status: StatusCode::BAD_REQUEST, sentence };
            }
            Ok(None) => {
                let finished = demuxer.finish(&mut found);
                feeder.take(found.drain(..), demuxer.has_times());
                return done(feeder, &demuxer, finished.err().map(|error| error.to_string()));
            }
        };
        if let Err(error) = taken {
            feeder.finish(NOT_MEDIA);
            return Ended { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence: error.to_string() };
        }
        feeder.take(found.drain(..), demuxer.has_times());
        tokio::select! {
            reason = feeder.ended() => return disconnected(reason),
            () = feeder.pace() => {}
        }
    }
}

fn take_all(demuxer: &mut AnyDemuxer, piece: &mut impl Buf, found: &mut Vec<Demuxed>) -> Result<(), UnknownBytes> {
    while piece.has_remaining() {
        let chunk = piece.chunk();
        let length = chunk.len();
        demuxer.push(chunk, found)?;
        piece.advance(length);
    }
    Ok(())
}

/// Why a request ends whose media ended so, for the log.
pub fn reason(ended: &Ended) -> &'static str {
    match ended.status {
        StatusCode::OK => DONE,
        StatusCode::BAD_REQUEST => CLIENT_LEFT,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => NOT_MEDIA,
        _ => "disconnected",
    }
}

/// The end when all has come.
fn done(feeder: Feeder, demuxer: &AnyDemuxer, fault: Option<String>) -> Ended {
    let samples = feeder.samples();
    if samples > 0 {
        feeder.finish(DONE);
        return Ended { status: StatusCode::OK, sentence: format!("published {samples} frames") };
    }
    feeder.finish(NOT_MEDIA);
    let unsupported = demuxer.unsupported();
    let sentence = match (fault, unsupported.is_empty()) {
        (Some(fault), _) => fault,
        (None, true) => "there is no whole frame in what was sent".to_owned(),
        (None, false) => format!("its codecs are not supported: {}", unsupported.join(", ")),
    };
    Ended { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence }
}

/// The end of a publisher that was disconnected.
fn disconnected(reason: &'static str) -> Ended {
    match reason {
        CLOSED => Ended { status: StatusCode::SERVICE_UNAVAILABLE, sentence: reason.to_owned() },
        reason => Ended { status: StatusCode::CONFLICT, sentence: format!("disconnected: {reason}") },
    }
}
