//! WHEP (draft-ietf-wish-whep): a POST of an offer makes a session, whose URL takes PATCH and DELETE.

use super::{
    directory::{Entry, Full},
    fragment::{Fragment, answer_of},
    listener::{NotDone, WebRtc},
    mux::SessionId,
    negotiation::{PlayPlan, Refusal, plan},
    sdp::Offer,
    session::Session,
    shard::Command,
    table::WhepRoute,
    viewer::{About, Viewer},
};
use crate::{
    access::{Access, Action, LINK_PARAMETER},
    engine::{registry::StreamHandle, rendition::Rendition},
    media::{
        Container, Muxer, NotCarried, TrackSet,
        webrtc::{is_reordered, tracks_of},
    },
    output::http::{
        admission::Admission,
        response::{FEED_FAILED, Response, text},
    },
    source::demand::Lease,
    stream::{self, Delivery, FanOut, Join, StreamOutput},
};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Sets the header that tells which bodies an endpoint takes.
pub fn set_accepted(headers: &mut HeaderMap) {
    headers.insert(ACCEPT_POST, SDP);
}

/// What may be asked of an endpoint or a session.
pub const ALLOWED: HeaderValue = HeaderValue::from_static("OPTIONS, GET, HEAD, POST, PATCH, DELETE");
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const SDP: HeaderValue = HeaderValue::from_static("application/sdp");
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// Longest body.
const MAX_BODY: usize = 64 << 10;
/// How long a body may take.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take until a stream has tracks.
const TRACKS_WITHIN: Duration = Duration::from_secs(10);
/// How long a shard may take to answer.
const SHARD_WITHIN: Duration = Duration::from_secs(2);

/// A request for an endpoint or a session.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a Method,
    /// The beginning of all addresses of the server, as the client reaches it.
    pub site: &'a str,
    /// The path as the client wrote it.
    pub path: &'a str,
    /// The query string, without the `?`.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The client.
    pub peer: SocketAddr,
    /// Who it is.
    pub access: &'a Access,
}

/// Responds to a request. `body` is read if it is needed.
pub async fn respond<B, E>(
    webrtc: &WebRtc,
    route: WhepRoute<'_>,
    admission: &Admission,
    asked: Asked<'_>,
    body: B,
) -> Response
where
    B: Stream<Item = Result<Bytes, E>> + Send,
{
    let responded = match (asked.method, route.session) {
        (&Method::GET | &Method::HEAD, _) => Ok(endpoint(asked.method)),
        (&Method::POST, None) => match admission.refuse_viewer() {
            Some(refusal) => Ok(refusal),
            None => play(webrtc, route.stream, asked, body).await,
        },
        (&Method::PATCH, Some(session)) => patch(webrtc, route.stream, session, asked, body).await,
        (&Method::DELETE, Some(session)) => delete(webrtc, route.stream, session),
        _ => Ok(not_allowed(route.session.is_some())),
    };
    responded.unwrap_or_else(Problem::response)
}

/// Why a request is not granted.
#[derive(Debug)]
struct Problem {
    status: StatusCode,
    sentence: String,
    retry_after: Option<&'static str>,
}

impl Problem {
    fn new(status: StatusCode, sentence: &str) -> Self {
        Self { status, sentence: sentence.to_owned(), retry_after: None }
    }

    fn unavailable(sentence: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, sentence).retry("2")
    }

    fn retry(self, seconds: &'static str) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    fn response(self) -> Response {
        let mut response = text(self.status, &self.sentence);
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        if self.status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            set_accepted(response.headers_mut());
        }
        response
    }
}

fn endpoint(method: &Method) -> Response {
    let status = if method == Method::HEAD { StatusCode::OK } else { StatusCode::NO_CONTENT };
    let mut response = text(status, "");
    response.headers_mut().insert(header::CONTENT_TYPE, SDP);
    set_accepted(response.headers_mut());
    response
}

fn not_allowed(is_session: bool) -> Response {
    let sentence = match is_session {
        true => "method not allowed: a session takes PATCH and DELETE",
        false => "method not allowed: POST an offer here",
    };
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, sentence);
    response.headers_mut().insert(header::ALLOW, ALLOWED);
    response
}

async fn play<B, E>(webrtc: &WebRtc, stream: &Arc<StreamHandle>, asked: Asked<'_>, body: B) -> Result<Response, Problem>
where
    B: Stream<Item = Result<Bytes, E>> + Send,
{
    has_type(asked.headers, "application/sdp")?;
    let offer = read(body).await?;
    let parsed = Offer::parse(&offer).map_err(|error| Problem::new(StatusCode::BAD_REQUEST, &error.to_string()))?;
    let place = webrtc.place(asked.peer.ip()).map_err(|full| match full {
        Full::Server => Problem::unavailable(&full.to_string()),
        Full::Address => Problem::new(StatusCode::TOO_MANY_REQUESTS, &full.to_string()).retry("10"),
    })?;
    let opened = open(stream).await?;
    let planned = plan(&parsed, &opened.tracks).map_err(|refusal| refused(&refusal))?;
    let [name, own, password] = secrets().ok_or_else(|| Problem::unavailable("the system has no random numbers"))?;
    let theirs = parsed.ufrag.unwrap_or_default();
    let accepted = accept(webrtc, offer.clone(), planned.clone(), (own.clone(), password)).await?;
    let (session, answer) = accepted;
    let number = webrtc.emptiest();
    let Some(shard) = webrtc.shard(number) else { return Err(Problem::unavailable("there is no thread for it")) };
    let stream_name: Arc<str> = stream.config.name.as_str().into();
    let about = About {
        stream: stream_name.clone(),
        peer: asked.peer,
        user: asked.access.identity.name(),
        pass: asked.access.gate().pass(asked.access, Action::View, Some(stream_name.clone())),
        lease: opened.lease,
    };
    let viewer = Viewer::new(session, planned, (opened.fanout, stream.audience.clone()), about, Instant::now());
    let id = webrtc.directory().add(name.clone(), stream_name, number, offer, [theirs, own.clone()], place);
    shard.adopt(id, viewer);
    let mut response = text(StatusCode::CREATED, "");
    *response.body_mut() = answer.into();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, SDP);
    let location = format!("{}{}/{name}{}", asked.site, asked.path, link(asked.query));
    for (key, value) in [(header::LOCATION, location), (header::ETAG, format!("\"{own}\""))] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(key, value);
        }
    }
    Ok(response)
}

/// Answers an offer. A panic of str0m, which crafted offers may cause, costs this request alone.
async fn accept(
    webrtc: &WebRtc,
    offer: String,
    planned: PlayPlan,
    (name, password): (String, String),
) -> Result<(Session, String), Problem> {
    let (identity, candidates) = (webrtc.identity().clone(), webrtc.candidates());
    let work = move || Session::accept(&offer, &planned, &identity, (&name, &password), &candidates, Instant::now());
    match webrtc.work(work).await {
        Ok(Ok(accepted)) => Ok(accepted),
        Ok(Err(error)) => Err(Problem::new(StatusCode::BAD_REQUEST, &error.to_string())),
        Err(NotDone::Busy) => Err(Problem::unavailable("too many offers at a time")),
        Err(NotDone::Panicked) => Err(Problem::new(StatusCode::BAD_REQUEST, "the offer cannot be answered")),
    }
}

async fn patch<B, E>(
    webrtc: &WebRtc,
    stream: &StreamHandle,
    session: &str,
    asked: Asked<'_>,
    body: B,
) -> Result<Response, Problem>
where
    B: Stream<Item = Result<Bytes, E>> + Send,
{
    has_type(asked.headers, FRAGMENT)?;
    let (id, entry) = find(webrtc, stream, session)?;
    let fragment = Fragment::parse(&read(body).await?);
    let Some(fragment) = fragment else {
        let sentence = "the fragment has no a=ice-ufrag and a=ice-pwd of an ICE session";
        return Err(Problem::new(StatusCode::BAD_REQUEST, sentence));
    };
    let tag = asked.headers.get(header::IF_MATCH).and_then(|tag| tag.to_str().ok());
    let Some(tag) = tag else {
        return Err(Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            "a PATCH needs If-Match with the ETag of the session",
        ));
    };
    let is_any = matches!(tag, "*" | "\"*\"");
    if !is_any && tag != entry.tag() {
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "the session has another ICE session by now"));
    }
    if fragment.ufrag == entry.ice[0] {
        // Candidates of the client: it sends first, so nothing is needed of them.
        return Ok(text(StatusCode::NO_CONTENT, ""));
    }
    if !is_any {
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "another ICE session needs If-Match: *"));
    }
    let (reply, answer) = oneshot::channel();
    if let Some(shard) = webrtc.shard(entry.shard) {
        shard.command(id, Command::Restart(fragment.renewed(&entry.offer), reply));
    }
    let answer = match tokio::time::timeout(SHARD_WITHIN, answer).await {
        Ok(Ok(Ok(answer))) => answer,
        Ok(Ok(Err(error))) => return Err(Problem::new(StatusCode::BAD_REQUEST, &error.to_string())),
        Ok(Err(_)) => return Err(gone()),
        Err(_) => return Err(Problem::unavailable("the session does not answer")),
    };
    let answer = answer_of(&answer);
    let own = Fragment::parse(&answer).map(|fragment| fragment.ufrag).unwrap_or_default();
    webrtc.directory().renew(id, [fragment.ufrag, own.clone()]);
    let mut response = text(StatusCode::OK, "");
    *response.body_mut() = answer.into();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(FRAGMENT));
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{own}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

fn delete(webrtc: &WebRtc, stream: &StreamHandle, session: &str) -> Result<Response, Problem> {
    let (id, entry) = find(webrtc, stream, session)?;
    // It is gone for the client now.
    webrtc.directory().remove(id);
    if let Some(shard) = webrtc.shard(entry.shard) {
        shard.command(id, Command::Close("deleted"));
    }
    Ok(text(StatusCode::OK, ""))
}

fn find(webrtc: &WebRtc, stream: &StreamHandle, session: &str) -> Result<(SessionId, Entry), Problem> {
    let found = webrtc.directory().find(session);
    found.filter(|(_, entry)| *entry.stream == *stream.config.name.as_str()).ok_or_else(gone)
}

fn gone() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no such session: it has ended, or never was")
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
        // A source that is slow to start tells late what it has.
        fault = uncarried(&output, sampled.rendition.as_deref()) => return Err(not_carried(&output, &fault)),
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
        match reader.next().await {
            Delivery::Aside(header) => return tracks_of(&header.payload()),
            Delivery::End if fanout.is_closed() => return None,
            Delivery::End => reader = fanout.subscribe_unforced(entry),
            Delivery::Packet(_) | Delivery::Gap(_) => {}
        }
    }
}

/// Waits until it is known that neither the tracks of a stream nor its alternatives can be carried.
async fn uncarried(output: &StreamOutput, rendition: Option<&Rendition>) -> NotCarried {
    let mut known = output.input().known_tracks();
    let fault_of = |tracks: &TrackSet| match rendition {
        Some(rendition) => rendition.sources(Container::WebRtc, tracks).err(),
        None => Muxer::select(Container::WebRtc, tracks).err(),
    };
    loop {
        let found = known.borrow_and_update().as_ref().filter(|(_, is_complete)| *is_complete).cloned();
        if let Some(fault) = found.and_then(|(tracks, _)| fault_of(&tracks)) {
            return fault;
        }
        if known.changed().await.is_err() {
            return std::future::pending().await;
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

fn has_type(headers: &HeaderMap, wanted: &str) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given = given.split(';').next().unwrap_or_default().trim();
    if given.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, &format!("expected a body of type {wanted}")))
}

async fn read<B, E>(body: B) -> Result<String, Problem>
where
    B: Stream<Item = Result<Bytes, E>> + Send,
{
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    let reading = async {
        while let Some(piece) = body.next().await {
            let Ok(piece) = piece else {
                return Err(Problem::new(StatusCode::BAD_REQUEST, "the body ended too early"));
            };
            if bytes.len() + piece.len() > MAX_BODY {
                return Err(Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "a session description may have at most 64 KiB",
                ));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(())
    };
    match tokio::time::timeout(BODY_WITHIN, reading).await {
        Ok(read) => read?,
        Err(_) => return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    }
    String::from_utf8(bytes).map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body is no text"))
}

/// The name of a session in its URL, and name and password of its ICE session.
fn secrets() -> Option<[String; 3]> {
    let random = SystemRandom::new();
    let secret = |length: usize| {
        let mut bytes = vec![0; length];
        random.fill(&mut bytes).ok()?;
        Some(HEXLOWER.encode(&bytes))
    };
    Some([secret(16)?, secret(8)?, secret(16)?])
}

/// The signed link of a query, so that the URL of the session has it too.
fn link(query: &str) -> String {
    let is_link = |part: &&str| part.split_once('=').is_some_and(|(name, _)| name == LINK_PARAMETER);
    query.split('&').find(is_link).map(|link| format!("?{link}")).unwrap_or_default()
}
