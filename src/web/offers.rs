//! `<stream>/offers.json`: the ways to play a stream in a browser, the one with the least delay first. `player.js` takes the first
//! one that its browser can.

use super::link::{link_in, with_link};
use crate::{
    engine::registry::StreamHandle,
    ipc::TrackKind,
    media::{Container, Muxer, TrackInfo, TrackSet, track::codec_strings},
    status::{player_commands, response},
};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use std::time::SystemTime;

/// What follows the path of a stream.
pub const PATH: &str = "/offers.json";

/// The clock of the server, in seconds since 1970: scripts compare the times of frames to it.
const TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");
/// Containers of video that browsers play, the best first.
const FILMS: [Container; 2] = [Container::Mp4, Container::Webm];
/// Containers of audio alone, the best first.
const AUDIO: [Container; 7] =
    [Container::Mp4, Container::Webm, Container::Aac, Container::Mp3, Container::Ogg, Container::Flac, Container::Wav];

/// What protocols of the server a stream can be had by, beside those of each stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reach {
    /// WebRTC is configured.
    pub webrtc: bool,
    /// The playlists at its path without the extension are its own, and not those of another stream.
    pub playlist: bool,
}

/// The ways to play one stream.
#[derive(Debug, Serialize)]
pub struct Offers {
    stream: String,
    /// `video` or `audio`.
    pub kind: &'static str,
    /// The name of its state.
    state: &'static str,
    /// The page that plays it.
    page: String,
    /// A still of it; none of audio.
    pub still: Option<String>,
    /// The one with the least delay first.
    pub offers: Vec<Offer>,
}

/// One way to play a stream.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// How it is played.
    pub kind: Kind,
    /// Where it is, percent-encoded, without scheme and host.
    pub url: String,
    /// Its media type, with its codecs (RFC 6381) as far as they are known.
    #[serde(rename = "type")]
    pub mimetype: String,
    /// Its container, of a stream in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<&'static str>,
}

/// How something is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A session of WebRTC is requested there.
    Whep,
    /// One response without an end.
    Stream,
    /// A playlist of HLS.
    Hls,
    /// Images in a response without an end.
    Images,
    /// A still at each request.
    Stills,
}

impl Offers {
    /// The offers of a stream. `link`: the signed link that their addresses are to have.
    pub fn of(stream: &StreamHandle, reach: Reach, link: Option<&str>) -> Self {
        let has_video = has_video(stream);
        let path = stream.config.path.encoded();
        let still = has_video.then(|| with_link(format!("{path}/pic"), link));
        let mut offers = Vec::new();
        let mut add = |kind, url: String, mimetype: String, container: Option<Container>| {
            let (url, container) = (with_link(url, link), container.map(Container::name));
            offers.push(Offer { kind, url, mimetype, container });
        };
        if reach.webrtc && over_webrtc(stream) {
            add(Kind::Whep, format!("{path}/whep"), "application/sdp".to_owned(), None);
        }
        for output in films(stream, if has_video { &FILMS } else { &AUDIO }) {
            let container = container_of(output);
            let url = player_commands::play_path(&output.config, container);
            add(Kind::Stream, url, mimetype(output, container), Some(container));
        }
        if reach.playlist
            && plays_in_segments(stream)
            && let Some(url) = stream.playlist_path()
        {
            add(Kind::Hls, url, "application/vnd.apple.mpegurl".to_owned(), None);
        }
        for output in films(stream, if has_video { &[Container::Ogg] } else { &[] }) {
            let url = player_commands::play_path(&output.config, Container::Ogg);
            add(Kind::Stream, url, mimetype(output, Container::Ogg), Some(Container::Ogg));
        }
        for output in films(stream, &[Container::Mjpeg]) {
            let url = output.config.path.encoded();
            add(Kind::Images, url, Container::Mjpeg.mimetype().to_owned(), Some(Container::Mjpeg));
        }
        if has_video {
            add(Kind::Stills, format!("{path}/pic"), "image/jpeg".to_owned(), None);
        }
        Self {
            stream: stream.config.name.to_string(),
            kind: if has_video { "video" } else { "audio" },
            state: stream.status.read().state.word(),
            page: with_link(format!("{path}/play"), link),
            still,
            offers,
        }
    }

    /// Whether there is a way that shows more than single images.
    pub fn has_films(&self) -> bool {
        self.offers.iter().any(|offer| !matches!(offer.kind, Kind::Images | Kind::Stills))
    }
}

/// The response.
pub fn page(stream: &StreamHandle, reach: Reach, query: &str) -> warp::reply::Response {
    // Serialising to a string fails only for types that the offers do not contain.
    let text = serde_json::to_string(&Offers::of(stream, reach, link_in(query))).unwrap_or_default() + "\n";
    let mut response = response(StatusCode::OK, text, "application/json");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if let Ok(now) = HeaderValue::from_str(&format!("{:.6}", now.as_secs_f64())) {
        response.headers_mut().insert(TIMESTAMP, now);
    }
    response
}

/// Whether a stream has video, as far as its content type and its tracks show.
pub fn has_video(stream: &StreamHandle) -> bool {
    let record = stream.status.read();
    let is_audio = !record.tracks.is_empty() && record.tracks.iter().all(|track| track.kind == TrackKind::Audio);
    player_commands::has_video(&stream.config) && !is_audio
}

/// The container of a stream, by its bytes or else by the configuration.
pub fn container_of(stream: &StreamHandle) -> Container {
    stream.current().fanout.container().unwrap_or(stream.config.container)
}

/// The output of a stream that browsers play best, as far as its tracks are known.
pub fn shown_output(stream: &StreamHandle) -> &StreamHandle {
    films(stream, &FILMS).into_iter().next().unwrap_or(stream)
}

/// The outputs of a stream in these containers, in their order, as far as its tracks are known.
fn films<'a>(stream: &'a StreamHandle, containers: &[Container]) -> Vec<&'a StreamHandle> {
    if stream.outputs.is_empty() {
        return [stream].into_iter().filter(|stream| containers.contains(&container_of(stream))).collect();
    }
    let carried = stream.carried();
    let carried = containers.iter().filter(|container| carried.contains(container));
    let output = |container: &Container| stream.outputs.iter().find(|one| one.config.container == *container);
    carried.filter_map(output).map(AsRef::as_ref).collect()
}

/// Whether a container can have the tracks of a stream, as far as they are known.
fn fits(stream: &StreamHandle, container: Container) -> bool {
    let Some((sampled, output)) = stream.sampled().and_then(|one| Some((one, one.output.as_ref()?))) else {
        return false;
    };
    match &sampled.rendition {
        Some(rendition) => !rendition.carried(&[container]).is_empty(),
        None => {
            let known = output.input().known_tracks().borrow().clone();
            known.is_none_or(|(tracks, _)| Muxer::select(container, &tracks).is_ok())
        }
    }
}

/// Whether browsers may play the segments of a stream, as far as its tracks are known: they have to know its codecs by name.
fn plays_in_segments(stream: &StreamHandle) -> bool {
    let known = stream.sampled().and_then(|one| one.output.as_ref()).map(|output| output.input().known_tracks());
    let is_named = |(tracks, _): &(TrackSet, bool)| codecs_in(Container::Mp4, tracks).is_some();
    let has_rendition = stream.sampled().is_some_and(|one| one.rendition.is_some());
    fits(stream, Container::Mp4)
        && (has_rendition || known.is_some_and(|known| known.borrow().as_ref().is_none_or(is_named)))
}

/// Whether browsers may get a stream over WebRTC, as far as its tracks are known.
fn over_webrtc(stream: &StreamHandle) -> bool {
    stream.config.container != Container::Mjpeg && fits(stream, Container::WebRtc)
}

/// The media type of an output, with its codecs as far as they are known: of what is muxed now, else of what was encoded.
fn mimetype(output: &StreamHandle, container: Container) -> String {
    let known = || {
        let (tracks, _) = output.output.as_ref()?.input().known_tracks().borrow().clone()?;
        codecs_in(container, &tracks)
    };
    let plain = if has_video(output) { container.mimetype() } else { audio_type(container) };
    match output.current().fanout.codecs().or_else(known) {
        Some(codecs) if FILMS.contains(&container) => format!("{plain}; codecs=\"{codecs}\""),
        _ => plain.to_owned(),
    }
}

/// The codecs of those of these tracks that a container takes; none if it needs others.
fn codecs_in(container: Container, tracks: &TrackSet) -> Option<String> {
    let selected = Muxer::select(container, tracks).ok()?;
    let chosen: Vec<TrackInfo> = selected.into_iter().filter_map(|id| tracks.get(id).cloned()).collect();
    codec_strings(&chosen)
}

/// The media type of a container that has no video.
const fn audio_type(container: Container) -> &'static str {
    match container {
        Container::Mp4 => "audio/mp4",
        Container::Webm => "audio/webm",
        Container::Ogg => "audio/ogg",
        other => other.mimetype(),
    }
}
