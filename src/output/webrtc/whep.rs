//! WHEP (draft-ietf-wish-whep): a POST of an offer makes a session, whose URL takes PATCH and DELETE.

use super::{
    events,
    exchange::{
        Asked, Problem, accepted, delete, described, endpoint, find, has_type, made, not_allowed, patch, permit_offer,
        place, read, secrets,
    },
    layer,
    listener::WebRtc,
    member::Member,
    negotiation::{Refusal, plan},
    opened::open,
    sdp::Offer,
    session::{Identity, Session},
    switching::open_layers,
    table::{SessionPart, WhepRoute},
    viewer::{About, Viewer, ViewerLayers},
};
use crate::{
    access::{Access, Action},
    output::http::{admission::Admission, response::Response},
};
use bytes::Bytes;
use futures_util::Stream;
use http::{Method, StatusCode};
use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};
use str0m::Candidate;
use tokio::sync::mpsc;

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
    let responded = match (route.part, route.session) {
        (Some(SessionPart::Layer), Some(session)) => layer::respond(webrtc, name, session, asked, body).await,
        (Some(SessionPart::Events), Some(session)) => events::respond(webrtc, name, session, asked, body).await,
        (_, session) => of_session(webrtc, route, session, (admission, access), asked, body).await,
    };
    responded.unwrap_or_else(Problem::response)
}

async fn of_session<B, E>(
    webrtc: &WebRtc,
    route: WhepRoute<'_>,
    session: Option<&str>,
    (admission, access): (&Admission, &Access),
    asked: Asked<'_>,
    body: B,
) -> Result<Response, Problem>
where
    B: Stream<Item = Result<Bytes, E>> + Send,
{
    let name = route.stream.config.name.as_str();
    match (asked.method, session) {
        (&Method::GET | &Method::HEAD, None) => Ok(endpoint(asked.method)),
        // Whoever gets no media asks whether it is still there.
        (&Method::GET | &Method::HEAD, Some(session)) => find(webrtc, name, session).map(|_| endpoint(asked.method)),
        (&Method::POST, None) => match admission.refuse_viewer() {
            Some(refusal) => Ok(refusal),
            None => play(webrtc, route, access, asked, body).await,
        },
        (&Method::PATCH, Some(session)) => patch(webrtc, name, session, asked, body).await,
        (&Method::DELETE, Some(session)) => delete(webrtc, name, session),
        _ => Ok(not_allowed(session.is_some())),
    }
}

async fn play<B, E>(
    webrtc: &WebRtc,
    route: WhepRoute<'_>,
    access: &Access,
    asked: Asked<'_>,
    body: B,
) -> Result<Response, Problem>
where
    B: Stream<Item = Result<Bytes, E>> + Send,
{
    let stream = route.stream;
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
    let who = described(&stream_name, asked.peer.address, access.identity.name());
    let source = (opened.fanout, stream.viewers.clone());
    let mut viewer = Viewer::new(session, planned.clone(), source, about, Instant::now());
    let id = webrtc.directory().add(name.clone(), stream_name, number, offer, [theirs, own.clone()], place);
    webrtc.bridge(&mut viewer.session, (shard.clone(), id), who);
    let mut response = made(webrtc, asked, &name, &own, answer);
    if let [_, _, ..] = route.layers {
        // One at a time is opened.
        let (wanted, receiver) = mpsc::channel(1);
        let are_published = !stream.config.layers.is_empty();
        viewer.layers = Some(ViewerLayers::new(layer::names(route.layers), are_published, wanted, Instant::now()));
        tokio::spawn(open_layers(route.layers.to_vec(), planned, (shard.clone(), id), receiver));
        layer::announce(asked, &name, response.headers_mut());
    }
    events::announce(asked, &name, response.headers_mut());
    shard.adopt(id, Member::Viewer(Box::new(viewer)));
    Ok(response)
}

fn refused(refusal: &Refusal) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, &refusal.to_string())
}
