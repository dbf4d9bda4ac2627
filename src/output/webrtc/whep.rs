//! WHEP (draft-ietf-wish-whep): a POST of an offer makes a session, whose URL takes PATCH and DELETE.

use super::{
    exchange::{
        Asked, Problem, accepted, delete, endpoint, find, has_type, made, not_allowed, patch, permit_offer, place,
        read, secrets,
    },
    listener::WebRtc,
    negotiation::{Refusal, plan},
    sdp::Offer,
    session::{Identity, Session},
    shard::Member,
    table::WhepRoute,
    viewer::{About, Viewer},
};
use crate::{
    access::{Access, Action},
    engine::registry::StreamHandle,
    media::{
        Container, NotCarried, TrackSet,
        webrtc::{is_reordered, tracks_of},
    },
    output::{
        http::{
            admission::Admission,
            response::{FEED_FAILED, Response},
        },
        packets::uncarried,
    },
    source::demand::Lease,
    stream::{self, Delivery, FanOut, Join, StreamOutput},
};
use bytes::Bytes;
use futures_util::Stream;
use http::{Method, StatusCode};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use str0m::Candidate;

/// When a keyframe is asked for that has not come.
const KEYFRAME_WITHIN: Duration = Duration::from_millis(300);
/// How long it may take until a stream has tracks.
const TRACKS_WITHIN: Duration = Duration::from_secs(10);
/// Responds to a request. `body` is read if it is needed.
pub async fn respond<B, E>(
    webrtc: &WebRtc,
    route: WhepRoute<'_>,
    (admission, access): (&Admission, &Access),
    asked: Asked<'_>,
    body: B,
) -> Response
where
    B: Stream<Item = Result<Bytes, E>> + Send,
{
    let name = route.stream.config.name.as_str();
    let responded = match (asked.method, route.session) {
        (&Method::GET | &Method::HEAD, None) => Ok(endpoint(asked.method)),
        // Whoever gets no media asks whether it is still there.
        (&Method::GET | &Method::HEAD, Some(session)) => find(webrtc, name, session).map(|_| endpoint(asked.method)),
        (&Method::POST, None) => match admission.refuse_viewer() {
            Some(refusal) => Ok(refusal),
            None => play(webrtc, route.stream, access, asked, body).await,
        },
        (&Method::PATCH, Some(session)) => patch(webrtc, name, session, asked, body).await,
        (&Method::DELETE, Some(session)) => delete(webrtc, name, session),
        _ => Ok(not_allowed(route.session.is_some())),
    };
    responded.unwrap_or_else(Problem::response)
}

async fn play<B, E>(
    webrtc: &WebRtc,
    stream: &Arc<StreamHandle>,
    access: &Access,
    asked: Asked<'_>,
    body: B,
) -> Result<Response, Problem>
where
    B: Stream<Item = Result<Bytes, E>> + Send,
{
    permit_offer(webrtc, asked)?;
    has_type(asked.headers, "application/sdp")?;
    let offer = read(body).await?;
    let parsed = Offer::parse(&offer).map_err(|error| Problem::new(StatusCode::BAD_REQUEST, &error.to_string()))?;
    let place = place(webrtc, asked)?;
    let opened = open(stream).await?;
    let planned = plan(&parsed, &opened.tracks).map_err(|refusal| refused(&refusal))?;
    let [name, own, password] = secrets().ok_or_else(|| Problem::unavailable("the system has no random numbers"))?;
    let theirs = parsed.ufrag.unwrap_or_default();
    let (work, planned_tracks, ufrag) = (offer.clone(), planned.clone(), own.clone());
    let work = move |identity: &Identity, candidates: &[Candidate]| {
        let now = (Instant::now(), SystemTime::now());
        Session::accept(&work, &planned_tracks, identity, (&ufrag, &password), candidates, now)
    };
    let (session, answer) = accepted(webrtc, work).await?;
    let number = webrtc.emptiest();
    let Some(shard) = webrtc.shard(number) else { return Err(Problem::unavailable("there is no thread for it")) };
    let stream_name: Arc<str> = stream.config.name.as_str().into();
    let about = About {
        stream: stream_name.clone(),
        peer: asked.peer.address,
        user: access.identity.name(),
        pass: access.gate().pass(access, Action::View, Some(stream_name.clone())),
        lease: opened.lease,
    };
    let viewer = Viewer::new(session, planned, (opened.fanout, stream.viewers.clone()), about, Instant::now());
    let id = webrtc.directory().add(name.clone(), stream_name, number, offer, [theirs, own.clone()], place);
    shard.adopt(id, Member::Viewer(Box::new(viewer)));
    Ok(made(webrtc, asked, &name, &own, answer))
}

fn refused(refusal: &Refusal) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, &refusal.to_string())
}

/// A stream that runs for a viewer.
struct Opened {
    fanout: FanOut,
    lease: Lease,
    tracks: TrackSet,
}

/// Starts a stream, and waits until its tracks are known. Cancel-safe.
async fn open(stream: &StreamHandle) -> Result<Opened, Problem> {
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
