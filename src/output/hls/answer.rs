//! The response to a request for a playlist, a segment, or a part.

use super::{
    changes::Topic,
    feed::{Feed, RenderKey, Sight},
    file::{File, Rendition},
    growing, gzip,
    query::{self, Asked},
    stream::SegmentedStream,
    table::SegmentRoute,
    viewers::Visit,
    waiting::TooManyWait,
};
use crate::{
    media::Container,
    media::segment::{
        KeyId, Segmenter, dash,
        hls::{self, Names},
        wait::{self, Decision},
    },
    output::http::response::{Response, pieces, streamed, text, unavailable},
    output::http::{access_log::LowPriorityLog, admission::Admission, site::Site},
    output::record::playback::{PlaybackError, StoredSegment},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// How long a first playlist may take: players give up after 10 s.
const FIRST: Duration = Duration::from_secs(8);
/// What a part or a playlist that is waited for may take at least.
const LEAST: Duration = Duration::from_secs(3);
const MANIFEST: HeaderValue = HeaderValue::from_static("application/dash+xml");
const PLAYLIST: HeaderValue = HeaderValue::from_static("application/vnd.apple.mpegurl");
const KEY: HeaderValue = HeaderValue::from_static("application/octet-stream");
const TIME: HeaderValue = HeaderValue::from_static("text/plain");
/// Only who may watch the stream gets its keys, and the time is of the moment.
const NEVER: HeaderValue = HeaderValue::from_static("no-store");
/// A playlist changes with each part.
const CHANGES: HeaderValue = HeaderValue::from_static("no-cache");
/// What a name stands for never changes.
const STAYS: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// What needs no escape in one step of a path.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const NOT_YET: &str = "no segment arrived in time";
const GONE: &str = "no such segment: it is older than the window, or never was";

/// A request for a file of a stream.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// GET or HEAD.
    pub method: &'a Method,
    /// How the client reaches the server.
    pub site: &'a Site,
    /// As it came, percent-encoded.
    pub path: &'a str,
    /// As it came.
    pub query: &'a str,
    /// All of them.
    pub headers: &'a HeaderMap,
    /// The client.
    pub peer: IpAddr,
}

/// Responds with a file of a stream.
pub async fn respond(route: SegmentRoute<'_>, admission: &Admission, request: Request<'_>) -> Response {
    let Request { method, query, headers, peer, .. } = request;
    let asked = match query::asked(query) {
        Ok(asked) => asked,
        Err(error) => return text(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let stream = route.stream;
    // It starts nothing.
    if *method == Method::HEAD {
        return head(route.file);
    }
    stream.stats().requested(route.file.kind());
    // Media has no token: who has no playlist any more gets to the end of what it lists.
    if let File::Multivariant | File::Manifest | File::Playlist(_) = route.file
        && (asked.viewer.is_some() || !matches!(route.file, File::Multivariant))
        && stream.viewers().is_ended(peer, asked.viewer, Instant::now())
    {
        stream.stats().refused("ended");
        return text(StatusCode::FORBIDDEN, "this viewer was ended by the operator");
    }
    let encodings = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let takes_gzip = encodings.is_some_and(gzip::is_accepted);
    let client = Client { address: peer, viewer: asked.viewer, takes_gzip };
    let mut response = match route.file {
        File::Multivariant => {
            if let Some(refusal) = admission.refuse_viewer() {
                return refusal;
            }
            multivariant(stream, route.folder, &asked, client).await
        }
        File::Manifest => {
            let clock = clock_of(&request);
            manifest(stream, route.folder, &asked, &clock, client).await
        }
        File::Playlist(rendition) => playlist(stream, rendition, &asked, client).await,
        File::Header(rendition, number) => header_file(stream, rendition, number),
        File::Segment(rendition, number) if route.is_dash => growing_segment(stream, rendition, number, client).await,
        File::Segment(rendition, number) => segment(stream, rendition, number, client).await,
        File::Part(rendition, number) => part(stream, rendition, number, client).await,
        File::Key(id) => key(stream, id),
        File::Time => file(TIME, NEVER, vec![Bytes::from(dash::time(now()))]),
    };
    if response.status().is_success() {
        response.extensions_mut().insert(LowPriorityLog);
        response.headers_mut().insert("timing-allow-origin", HeaderValue::from_static("*"));
    }
    response
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
struct Client {
    address: IpAddr,
    viewer: Option<u64>,
    takes_gzip: bool,
}

/// Why there is nothing.
enum NoWait {
    /// It did not come in time.
    NotInTime,
    /// Too many requests of the client wait already.
    Refused(TooManyWait),
}

/// Looks at the segments, and waits for a change where that is needed. Cancel-safe.
async fn wait_for<T>(
    stream: &SegmentedStream,
    feed: &Feed,
    client: Client,
    (topic, within): (Topic, Duration),
    mut look: impl FnMut(&Segmenter) -> Sight<T>,
) -> Result<T, NoWait> {
    // Most requests for segments need not wait.
    if let Some(Sight::Ready(found)) = feed.look(&mut look) {
        return Ok(found);
    }
    let place = stream.waiting().enter(client.address, client.viewer).map_err(|error| {
        stream.stats().refused(error.label());
        NoWait::Refused(error)
    })?;
    let counted = stream.stats().waits();
    let found = feed.wait(topic, within, look).await.ok_or(NoWait::NotInTime);
    drop((place, counted));
    found
}

/// The response to one whose requests wait already.
fn too_many(error: TooManyWait) -> Response {
    let mut response = text(StatusCode::TOO_MANY_REQUESTS, &error.to_string());
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The head of a file, as far as it is known without the file.
fn head(file: File) -> Response {
    let kind = match file {
        File::Multivariant | File::Playlist(_) => PLAYLIST,
        File::Manifest => MANIFEST,
        File::Header(rendition, _) | File::Segment(rendition, _) | File::Part(rendition, _) => media_type(rendition),
        File::Key(_) => KEY,
        File::Time => TIME,
    };
    let mut response = text(StatusCode::OK, "");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CACHE_CONTROL, CHANGES);
    response
}

async fn multivariant(stream: &Arc<SegmentedStream>, folder: &str, asked: &Asked, client: Client) -> Response {
    if stream.viewers().is_full() {
        stream.stats().refused("viewers");
        return unavailable("this stream has as many viewers as it may have");
    }
    let rendition = if asked.as_ts { Rendition::Ts(0) } else { Rendition::Video(0) };
    let feed = stream.feed(rendition);
    feed.request();
    let token = format!("{}={:x}", query::VIEWER, stream.viewers().token());
    let carried = match asked.carried.strip_prefix('?') {
        Some(carried) => format!("?{carried}&{token}"),
        None => format!("?{token}"),
    };
    let folder = format!("{}/hls/", utf8_percent_encode(folder, &PLAIN));
    let render = |segments: &Segmenter| match segments.is_ready() {
        true => Sight::Ready(hls::multivariant(segments, &folder, &carried)),
        false => Sight::NotYet,
    };
    match wait_for(stream, feed, client, (Topic::All, FIRST), render).await {
        Ok(text) => file(PLAYLIST, CHANGES, vec![Bytes::from(text)]),
        Err(NoWait::NotInTime) => missing(feed),
        Err(NoWait::Refused(error)) => too_many(error),
    }
}

/// Where the time is, by the request for a manifest.
fn clock_of(request: &Request<'_>) -> String {
    format!("{}{}/dash/time", request.site, request.path.trim_end_matches(".mpd"))
}

async fn manifest(stream: &Arc<SegmentedStream>, folder: &str, asked: &Asked, clock: &str, client: Client) -> Response {
    if stream.keys().is_some() {
        let help =
            "the segments of this stream are encrypted as HLS has it (`encrypt` of `hls`), which DASH does not know";
        return text(StatusCode::NOT_ACCEPTABLE, &format!("{help}: use {folder}.m3u8"));
    }
    let feed = stream.feed(Rendition::Video(0));
    feed.request();
    let folder = format!("{}/dash/", utf8_percent_encode(folder, &PLAIN));
    let render = |segments: &Segmenter| match segments.is_ready() {
        true => dash::manifest(segments, &folder, &asked.carried, clock, now()).map_or(Sight::NotYet, Sight::Ready),
        false => Sight::NotYet,
    };
    match wait_for(stream, feed, client, (Topic::All, FIRST), render).await {
        Ok(text) => {
            feed.set_shown();
            let visit = Visit::playlist(stream.viewers(), None, text.len() as u64);
            let mut response = file(MANIFEST, CHANGES, vec![Bytes::from(text)]);
            response.extensions_mut().insert(visit);
            response
        }
        Err(NoWait::NotInTime) => missing(feed),
        Err(NoWait::Refused(error)) => too_many(error),
    }
}

/// Nanoseconds since 1970.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

async fn playlist(stream: &Arc<SegmentedStream>, rendition: Rendition, asked: &Asked, client: Client) -> Response {
    let feed = stream.feed(rendition);
    feed.request();
    let name = rendition.name();
    let target = feed.look(Segmenter::target).flatten();
    let within = target.map_or(FIRST, |target| Duration::from_secs(3 * target).max(LEAST));
    let decide = |segments: &Segmenter| match segments.rendition(name) {
        Some(found) => match wait::playlist(segments, found, asked.reload) {
            Decision::Wait => Sight::NotYet,
            decision => Sight::Ready(decision),
        },
        // Of a stream that has no such track.
        None if segments.is_ready() => Sight::Ready(Decision::Gone),
        None => Sight::NotYet,
    };
    match wait_for(stream, feed, client, (Topic::Playlist(rendition.kind()), within), decide).await {
        Err(NoWait::NotInTime) => return missing(feed),
        Err(NoWait::Refused(error)) => return too_many(error),
        Ok(Decision::Gone) => return text(StatusCode::NOT_FOUND, "this stream has no such track"),
        Ok(Decision::TooFar) => {
            return text(StatusCode::BAD_REQUEST, "_HLS_msn= and _HLS_part= are too far ahead of the newest segment");
        }
        Ok(Decision::Ready | Decision::Wait) => {}
    }
    let key = RenderKey { rendition: name, skips: asked.skips, query: asked.carried.clone() };
    let rendered = feed.rendered(key.clone(), |segments| {
        let keys = stream.keys().map(|keys| &**keys);
        let names = Names { rendition: name, extension: rendition.extension(), query: &asked.carried, keys };
        hls::media(segments, segments.rendition(name)?, names, asked.skips)
    });
    let Some(rendered) = rendered else { return not_yet() };
    let packed = if client.takes_gzip { feed.packed(&key, &rendered) } else { None };
    let is_packed = packed.is_some();
    let body = packed.unwrap_or(rendered);
    let visit = Visit::playlist(stream.viewers(), asked.viewer, body.len() as u64);
    let mut response = file(PLAYLIST, CHANGES, vec![body]);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if is_packed {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response.extensions_mut().insert(visit);
    response
}

fn header_file(stream: &Arc<SegmentedStream>, rendition: Rendition, number: u64) -> Response {
    let found = stream.feed(rendition).look(|segments| segments.rendition(rendition.name())?.header(number).cloned());
    match found.flatten() {
        Some(header) => file(media_type(rendition), STAYS, vec![header]),
        None => text(StatusCode::NOT_FOUND, GONE),
    }
}

async fn segment(stream: &Arc<SegmentedStream>, rendition: Rendition, number: u64, client: Client) -> Response {
    let found = media(stream, rendition, client, |found| match wait::segment(found, number) {
        Decision::Ready => Some(Sight::Ready(place_of(found, number)?)),
        Decision::Wait => Some(Sight::NotYet),
        Decision::Gone | Decision::TooFar => None,
    });
    let pieces = match found.await {
        Ok(Some(Place::Memory(pieces))) => Ok(Some(pieces)),
        Ok(Some(Place::Recordings(stored))) => match stream.recordings().stored(stream.recorded(), stored).await {
            Ok(pieces) => Ok(Some(pieces)),
            Err(PlaybackError::Busy | PlaybackError::Disk(_)) => Err(NoWait::NotInTime),
            Err(PlaybackError::Read(error)) => {
                tracing::debug!(stream = stream.name(), number, %error, "no recording has a segment");
                Ok(None)
            }
        },
        Ok(None) => Ok(None),
        Err(late) => Err(late),
    };
    let pieces = match (pieces, stream.keys()) {
        (Ok(Some(pieces)), Some(keys)) => {
            Ok(stream.feed(rendition).encrypted(keys, rendition.name(), number, pieces).await.map(|bytes| vec![bytes]))
        }
        (pieces, _) => pieces,
    };
    media_file(stream, rendition, pieces)
}

/// A segment, which is sent as it grows if it is not complete.
async fn growing_segment(stream: &Arc<SegmentedStream>, rendition: Rendition, number: u64, client: Client) -> Response {
    // The short ones at the begin of a stream are there when a manifest has named them.
    let begins = stream.feed(rendition).look(|segments| dash::begin_of(segments, number)).unwrap_or(number);
    let has_begun = |found: &crate::media::segment::Rendition| match wait::segment(found, number) {
        _ if begins < number => found.segment(begins).map(|_| Sight::Ready(false)),
        Decision::Ready => Some(Sight::Ready(true)),
        Decision::Wait => match found.open().is_some_and(|open| open.number == number && !open.parts.is_empty()) {
            true => Some(Sight::Ready(false)),
            false => Some(Sight::NotYet),
        },
        Decision::Gone | Decision::TooFar => None,
    };
    match media(stream, rendition, client, has_begun).await {
        Ok(Some(false)) => {}
        Ok(Some(true)) => return segment(stream, rendition, number, client).await,
        Ok(None) => return media_file(stream, rendition, Ok(None)),
        Err(late) => return media_file(stream, rendition, Err(late)),
    }
    let place = match stream.waiting().enter(client.address, client.viewer) {
        Ok(place) => place,
        Err(error) => {
            stream.stats().refused(error.label());
            return too_many(error);
        }
    };
    let mut response = streamed(growing::body(stream, rendition, begins..=number, client.address, place, LEAST));
    response.headers_mut().insert(header::CONTENT_TYPE, media_type(rendition));
    response.headers_mut().insert(header::CACHE_CONTROL, STAYS);
    response
}

/// A key of segments that there are, or were.
fn key(stream: &SegmentedStream, id: KeyId) -> Response {
    let newest = |segments: &Segmenter| {
        let open = segments.renditions().iter().filter_map(|rendition| rendition.open().map(|open| open.number));
        open.chain(segments.renditions().iter().filter_map(|rendition| rendition.newest())).max()
    };
    let newest = |feed: &Feed| feed.look(newest).flatten();
    let newest = newest(stream.feed(Rendition::Video(0))).max(newest(stream.feed(Rendition::Ts(0))));
    let found = stream.keys().zip(newest).filter(|(keys, newest)| {
        let newest = keys.of_segment(*newest);
        id.set == newest.set && id.number <= newest.number
    });
    match found {
        Some((keys, _)) => file(KEY, NEVER, vec![Bytes::copy_from_slice(&keys.key(id))]),
        None => text(StatusCode::NOT_FOUND, "no segment has such a key"),
    }
}

/// Where the media of a segment is.
enum Place {
    Memory(Vec<Bytes>),
    Recordings(StoredSegment),
}

fn place_of(rendition: &crate::media::segment::Rendition, number: u64) -> Option<Place> {
    let segment = rendition.segment(number)?;
    if !segment.is_stored() {
        return Some(Place::Memory(segment.pieces().cloned().collect()));
    }
    Some(Place::Recordings(StoredSegment {
        number,
        kind: rendition.track.kind,
        header: rendition.header(segment.header)?.clone(),
        start: segment.start,
        end: segment.start.saturating_add(segment.duration),
        timescale: segment.timescale,
        date: segment.date?,
    }))
}

async fn part(stream: &Arc<SegmentedStream>, rendition: Rendition, number: u64, client: Client) -> Response {
    if stream.keys().is_some() {
        return text(StatusCode::NOT_FOUND, "segments that are encrypted have no parts");
    }
    let joined = stream.feed(rendition).joined();
    let part = media(stream, rendition, client, |found| match wait::part(found, number) {
        Decision::Ready => {
            let part = found.part(number)?;
            Some(Sight::Ready(joined.of(rendition.name(), number, &part.pieces)))
        }
        Decision::Wait => Some(Sight::NotYet),
        Decision::Gone | Decision::TooFar => None,
    });
    media_file(stream, rendition, part.await)
}

/// Waits for media of a rendition. `Ok(None)`: there is none and will be none; `Err`: it did not come in time.
async fn media<T>(
    stream: &SegmentedStream,
    rendition: Rendition,
    client: Client,
    mut look: impl FnMut(&crate::media::segment::Rendition) -> Option<Sight<T>>,
) -> Result<Option<T>, NoWait> {
    let feed = stream.feed(rendition);
    let Some(target) = feed.look(Segmenter::target).flatten() else { return Ok(None) };
    let look = |segments: &Segmenter| match segments.rendition(rendition.name()).and_then(&mut look) {
        Some(Sight::Ready(pieces)) => Sight::Ready(Some(pieces)),
        Some(Sight::NotYet) => Sight::NotYet,
        None => Sight::Ready(None),
    };
    let within = Duration::from_secs(3 * target).max(LEAST);
    wait_for(stream, feed, client, (Topic::Media(rendition.kind()), within), look).await
}

fn media_file(stream: &SegmentedStream, rendition: Rendition, found: Result<Option<Vec<Bytes>>, NoWait>) -> Response {
    match found {
        Ok(Some(pieces)) => {
            let bytes: usize = pieces.iter().map(Bytes::len).sum();
            let mut response = file(media_type(rendition), STAYS, pieces);
            response.extensions_mut().insert(Visit::media(stream.viewers(), bytes as u64));
            response
        }
        Ok(None) => text(StatusCode::NOT_FOUND, GONE),
        Err(NoWait::NotInTime) => not_yet(),
        Err(NoWait::Refused(error)) => too_many(error),
    }
}

fn media_type(rendition: Rendition) -> HeaderValue {
    HeaderValue::from_static(match rendition {
        Rendition::Video(_) => "video/mp4",
        Rendition::Audio => "audio/mp4",
        Rendition::Ts(_) => "video/mp2t",
    })
}

/// Why there is no playlist.
fn missing(feed: &Feed) -> Response {
    match feed.refused() {
        Some(fault) => {
            let help = match fault.container {
                // VP8, VP9 and the like: only the transport stream lacks them.
                Container::Ts => {
                    "the same address without `container=ts` has it in MP4; else add `h264` to `video`, or `aac` to `audio`"
                }
                _ => "see `audio`, `video` and `repair` of the stream",
            };
            text(StatusCode::NOT_ACCEPTABLE, &format!("{fault}: {help}"))
        }
        None => not_yet(),
    }
}

fn not_yet() -> Response {
    let mut response = unavailable(NOT_YET);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn file(kind: HeaderValue, cache: HeaderValue, parts: Vec<Bytes>) -> Response {
    let mut response = pieces(parts);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CACHE_CONTROL, cache);
    response
}
