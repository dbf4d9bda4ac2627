//! The response to a request that publishes: its body is media, and ends with the publisher.

use super::{
    authorize::{agent, refused, rejected},
    cors::is_cross_origin,
    response::{Response, text, unavailable},
};
use crate::{
    access::{Gate, Peer, Rejection},
    config::PublishProtocol,
    media::unpack::AnyDemuxer,
    output::publish::{
        feeder::Feeder,
        find::{ClaimError, ClaimFault, Target},
        permit::{Credentials, Denied},
    },
    source::publisher::{CLOSED, PublisherInfo},
};
use bytes::Buf;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::{pin::pin, time::Duration};

/// Media that is silent for this long is not waited for: what came of it is taken as whole.
const SETTLE: Duration = Duration::from_millis(500);
/// Longest name of a program that is kept.
const AGENT: usize = 64;
/// Why a publisher ends whose body ends.
const DONE: &str = "done";
const CLIENT_LEFT: &str = "client left";
const NOT_MEDIA: &str = "not media";

/// Takes the body of a request as media for what is published to.
pub async fn respond(
    target: Target,
    gate: &Gate,
    query: &str,
    headers: &HeaderMap,
    peer: &Peer,
    body: impl Stream<Item = Result<impl Buf, impl Sized>> + Send,
) -> Response {
    let values = headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    let permit =
        match target.permit(gate, Credentials::read(query, values), peer.asking("http", query, agent(headers))).await {
            Ok(permit) => permit,
            Err(denied) => return closing(denial(gate, denied)),
        };
    // Browsers add the credentials of the user to the request of any page.
    if permit.is_ambient && is_cross_origin(headers) {
        return closing(text(StatusCode::FORBIDDEN, "pages of other origins cannot publish with your login"));
    }
    let agent = agent(headers).map(|agent| agent.chars().take(AGENT).collect());
    let info = PublisherInfo { protocol: PublishProtocol::Http, peer: peer.address, user: permit.user.clone(), agent };
    let publisher = match target.claim(info).await {
        Ok(publisher) => publisher,
        Err(error) => return closing(unclaimed(&error)),
    };
    receive(Feeder::new(publisher, permit), body).await
}

/// The response to who cannot have what it may publish to.
pub fn unclaimed(error: &ClaimError) -> Response {
    match error.fault() {
        ClaimFault::Conflict => text(StatusCode::CONFLICT, &error.to_string()),
        ClaimFault::Forbidden => text(StatusCode::FORBIDDEN, &error.to_string()),
        ClaimFault::Unavailable => unavailable(&error.to_string()),
    }
}

/// Takes the whole body.
async fn receive(mut feeder: Feeder, body: impl Stream<Item = Result<impl Buf, impl Sized>> + Send) -> Response {
    let mut body = pin!(body);
    let (mut demuxer, mut found) = (AnyDemuxer::new(), Vec::new());
    loop {
        let piece = tokio::select! {
            biased;
            reason = feeder.ended() => return closing(disconnected(reason)),
            piece = tokio::time::timeout(SETTLE, body.next()) => piece,
        };
        let taken = match piece {
            Err(_) => {
                demuxer.settle(&mut found);
                Ok(())
            }
            Ok(Some(Ok(mut piece))) => take_all(&mut demuxer, &mut piece, &mut found),
            Ok(Some(Err(_))) => {
                feeder.finish(CLIENT_LEFT);
                return closing(text(StatusCode::BAD_REQUEST, "the body of the request is not whole"));
            }
            Ok(None) => {
                let finished = demuxer.finish(&mut found);
                feeder.take(found.drain(..), demuxer.has_times());
                return done(feeder, &demuxer, finished.err().map(|error| error.to_string()));
            }
        };
        if let Err(error) = taken {
            feeder.finish(NOT_MEDIA);
            return closing(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error.to_string()));
        }
        feeder.take(found.drain(..), demuxer.has_times());
        tokio::select! {
            reason = feeder.ended() => return closing(disconnected(reason)),
            () = feeder.pace() => {}
        }
    }
}

fn take_all(
    demuxer: &mut AnyDemuxer,
    piece: &mut impl Buf,
    found: &mut Vec<crate::media::demux::Demuxed>,
) -> Result<(), crate::media::unpack::UnknownBytes> {
    while piece.has_remaining() {
        let chunk = piece.chunk();
        let length = chunk.len();
        demuxer.push(chunk, found)?;
        piece.advance(length);
    }
    Ok(())
}

/// The response when all has come.
fn done(feeder: Feeder, demuxer: &AnyDemuxer, fault: Option<String>) -> Response {
    let samples = feeder.samples();
    if samples > 0 {
        feeder.finish(DONE);
        return text(StatusCode::OK, &format!("published {samples} frames"));
    }
    feeder.finish(NOT_MEDIA);
    let unsupported = demuxer.unsupported();
    let sentence = match (fault, unsupported.is_empty()) {
        (Some(fault), _) => fault,
        (None, true) => "there is no whole frame in what was sent".to_owned(),
        (None, false) => format!("its codecs are not supported: {}", unsupported.join(", ")),
    };
    closing(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, &sentence))
}

/// The response to a publisher that was disconnected.
fn disconnected(reason: &'static str) -> Response {
    match reason {
        CLOSED => unavailable(reason),
        reason => text(StatusCode::CONFLICT, &format!("disconnected: {reason}")),
    }
}

/// The response to who must not publish.
pub fn denial(gate: &Gate, denied: Denied) -> Response {
    match denied {
        Denied::Credential(rejection @ Rejection::TooMany { .. }) => rejected(gate, rejection),
        Denied::Refused(why) => refused(gate, why),
        Denied::Credential(_) | Denied::NeedsCredential => {
            let mut response = text(StatusCode::UNAUTHORIZED, &denied.to_string());
            let challenge = HeaderValue::from_static("Basic realm=\"voyandz\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            response
        }
    }
}

/// The rest of the body is not read.
fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
