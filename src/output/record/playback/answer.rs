//! Responses to requests for recordings.

use super::{
    ask::{self, AskError, Asked, ClipForm, Span, What},
    library::{LibraryError, Recorded, continues, files, rfc3339},
    list::list,
    pictures::{Image, ImageError},
    reading::{Playback, PlaybackError, TOO_BUSY, now},
    remux::{RemuxError, Remuxer},
};
use crate::{
    ipc::{PictureFault, PictureFormat},
    output::http::{
        access_log::LowPriorityLog,
        response::{NO_VIDEO, Response, pieces, text, unavailable},
        site::Site,
        still_headers,
    },
    source::worker_group::WorkerGroup,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use std::{io, path::Path};

/// What a name stands for never changes.
const STAYS: HeaderValue = HeaderValue::from_static("private, max-age=86400, immutable");
pub(super) const CHANGES: HeaderValue = HeaderValue::from_static("no-cache");
pub(super) const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A span without gaps, as other servers list it.
#[derive(Debug, Serialize)]
struct Listing {
    start: String,
    duration: f64,
    url: String,
}

/// What a response may need of a request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET` or `HEAD`.
    pub method: &'a Method,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// How the client reaches the server.
    pub site: &'a Site,
    /// What decodes stills; `None` while the machine is overloaded.
    pub worker: Option<&'a WorkerGroup>,
}

impl Playback {
    /// What a path and a query ask for, if the path is that of recordings.
    pub fn find(&self, path: &str, query: &str) -> Option<Result<Asked, AskError>> {
        ask::is_path(path).then(|| ask::asked(path, query, now()))
    }

    /// Responds to a request.
    pub async fn respond(&self, asked: Asked, request: Request<'_>) -> Response {
        let Asked { stream, what, carried } = asked;
        let Request { headers, site, worker, .. } = request;
        match what {
            What::List(span) => {
                let listed = self.read(move |_, folders| Ok(files(folders, &stream, span.from, span.to)?)).await;
                listed.map_or_else(|error| not_read(&error), |files| json(&list(&files, span)))
            }
            What::Spans(span) => {
                let name = stream.clone();
                let listed = self.read(move |_, folders| Ok(files(folders, &name, span.from, span.to)?)).await;
                let root = site.to_string();
                listed.map_or_else(
                    |error| not_read(&error),
                    |files| match files.is_empty() {
                        true => failed(&LibraryError::Nothing),
                        false => json(&joined(&files, span, &stream, &root)),
                    },
                )
            }
            What::Clip(span, ClipForm { made, gaps }) => {
                let name = stream.clone();
                let found = self.read(move |library, folders| {
                    let film = library.film(folders, &name, (span.from, span.to), gaps)?;
                    let created = u64::try_from(film.begins / 1_000_000).unwrap_or(0);
                    let remuxer = |container| Ok((container, Remuxer::new(container, film.clip.front(), created)?));
                    let remuxer = made.map(remuxer).transpose().map_err(LibraryError::Remux)?;
                    Ok((film, remuxer))
                });
                match found.await {
                    Ok((film, None)) => self.film(&film, &stream, request),
                    Ok((film, Some((container, (remuxer, header))))) => {
                        self.remuxed(&film, &stream, (container, remuxer, header), request)
                    }
                    Err(error) => not_read(&error),
                }
            }
            What::Lapse(span, pace) => {
                let name = stream.clone();
                let film =
                    self.read(move |library, folders| library.lapse(folders, &name, (span.from, span.to), pace)).await;
                match film {
                    Ok(film) => self.film(&film, &stream, request),
                    Err(error) => not_read(&error),
                }
            }
            What::Saved(clip) => match self.clip(&stream, clip).await {
                Ok(film) => self.film(&film, &stream, request),
                Err(error) => not_read(&error),
            },
            What::Still(still) => {
                let made = self.still(&stream, still, worker).await;
                made.map_or_else(|error| no_image(&error, &stream), |image| shown(&image, still.spec.format, headers))
            }
            What::Strip(span, strip) => {
                let format = PictureFormat::Jpeg { quality: strip.quality };
                let made = self.strip(&stream, (span, strip), worker).await;
                made.map_or_else(|error| no_image(&error, &stream), |image| shown(&image, format, headers))
            }
            What::Playlist(Span { from, to, is_open }) => {
                let made = self
                    .read(move |library, folders| library.playlist(folders, &stream, (from, to), is_open, &carried))
                    .await;
                made.map_or_else(
                    |error| not_read(&error),
                    |text| {
                        let mut response = pieces(vec![Bytes::from(text)]);
                        response.extensions_mut().insert(LowPriorityLog);
                        set(&mut response, header::CONTENT_TYPE, "application/vnd.apple.mpegurl");
                        response.headers_mut().insert(header::CACHE_CONTROL, CHANGES);
                        response
                    },
                )
            }
            What::Header(file) => {
                let made = self.read(move |library, folders| library.header(folders, &stream, file)).await;
                made.map_or_else(|error| not_read(&error), |bytes| media(vec![bytes]))
            }
            What::Segment(file, number) => {
                let made = self.read(move |library, folders| library.segment(folders, &stream, file, number)).await;
                made.map_or_else(|error| not_read(&error), media)
            }
        }
    }
}

impl Playback {
    /// Responds to a request for a file of a folder that is shared.
    pub async fn respond_with_file(&self, folder: &Path, name: &str, request: Request<'_>) -> Response {
        match self.file_of(folder, name).await {
            Ok((film, name)) => self.whole(&film, &name, request),
            Err(error) => not_read(&error),
        }
    }
}

/// The response to a path or parameter that is not valid.
pub fn refused(error: &AskError) -> Response {
    let status = if *error == AskError::Path { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
    text(status, &error.to_string())
}

/// An image, unless the client has it.
fn shown(image: &Image, format: PictureFormat, headers: &HeaderMap) -> Response {
    let Image { still, is_settled } = image;
    let mut response = text(StatusCode::OK, "");
    still_headers::describe(still, response.headers_mut());
    if still_headers::is_known(headers, still) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = still.bytes.clone().into();
    }
    response.headers_mut().insert(header::CONTENT_TYPE, still_headers::mimetype(format));
    response.headers_mut().insert(header::CACHE_CONTROL, if *is_settled { STAYS } else { CHANGES });
    response
}

fn no_image(error: &ImageError, stream: &str) -> Response {
    match error {
        ImageError::Playback(error) => not_read(error),
        ImageError::Overloaded => unavailable("overloaded: no new stills"),
        ImageError::Worker(PictureFault::NoVideo) => text(StatusCode::UNSUPPORTED_MEDIA_TYPE, NO_VIDEO),
        ImageError::Worker(PictureFault::NotYet) => unavailable("the still was not made in time"),
        ImageError::Worker(PictureFault::Failed(reason)) => {
            tracing::warn!(stream, reason, "cannot take a still of a recording");
            unavailable("the still could not be made")
        }
    }
}

fn not_read(error: &PlaybackError) -> Response {
    match error {
        PlaybackError::Read(error) => failed(error),
        PlaybackError::Disk(_) | PlaybackError::Busy => unavailable(TOO_BUSY),
    }
}

fn failed(error: &LibraryError) -> Response {
    let status = match error {
        LibraryError::Nothing => StatusCode::NOT_FOUND,
        LibraryError::Format(_) | LibraryError::Remux(RemuxError::NotCarried(_)) => StatusCode::NOT_ACCEPTABLE,
        LibraryError::NoVideo => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        LibraryError::TooMuch | LibraryError::Remux(RemuxError::TooLong) => StatusCode::PAYLOAD_TOO_LARGE,
        LibraryError::Read(error) if error.kind() == io::ErrorKind::NotFound => {
            return text(StatusCode::NOT_FOUND, "there is no such file");
        }
        LibraryError::Read(error) => {
            tracing::warn!(%error, "recording cannot be read");
            return text(StatusCode::INTERNAL_SERVER_ERROR, "the recording cannot be read");
        }
    };
    text(status, &error.to_string())
}

fn joined(files: &[Recorded], span: Span, stream: &str, root: &str) -> Vec<Listing> {
    let mut spans: Vec<(i64, i64)> = Vec::new();
    let mut before = None;
    for Recorded { entry, .. } in files {
        let to = if entry.ended.is_some() { entry.to } else { span.to.min(now()).max(entry.to) };
        let follows = before.replace(entry).is_some_and(|before| continues(before, entry));
        match spans.last_mut().filter(|_| follows) {
            Some((_, end)) => *end = to,
            None => spans.push((entry.from.max(span.from), to)),
        }
    }
    let listing = |(from, to): (i64, i64)| {
        let (start, duration) = (rfc3339(from), (to.min(span.to) - from) as f64 / 1e6);
        let path = utf8_percent_encode(stream, &PLAIN);
        let escaped = utf8_percent_encode(&start, &PLAIN);
        Listing { url: format!("{root}/rec/get?path={path}&start={escaped}&duration={duration}"), start, duration }
    };
    spans.into_iter().filter(|(from, to)| to > from).map(listing).collect()
}

fn json(value: &impl Serialize) -> Response {
    let mut response = pieces(vec![Bytes::from(serde_json::to_string(value).unwrap_or_default())]);
    set(&mut response, header::CONTENT_TYPE, "application/json");
    response
}

fn media(parts: Vec<Bytes>) -> Response {
    let mut response = pieces(parts);
    response.extensions_mut().insert(LowPriorityLog);
    set(&mut response, header::CONTENT_TYPE, "video/mp4");
    response.headers_mut().insert(header::CACHE_CONTROL, STAYS);
    response
}

pub(super) fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// A time as HTTP has it (RFC 9110, section 5.6.7).
pub(super) fn http_date(micros: i64) -> String {
    let time = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default()
}
