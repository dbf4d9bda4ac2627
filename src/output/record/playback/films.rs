//! Responses with films: as they are, in ranges, or in another container.

use super::{
    answer::{CHANGES, PLAIN, Request, http_date, set},
    ask::{self, Range},
    library::{Film, rfc3339},
    reading::{PATIENCE, Playback},
    remux::Remuxer,
};
use crate::{
    media::Container,
    output::http::response::{Response, streamed, text},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderValue, Method, StatusCode, header};
use percent_encoding::utf8_percent_encode;
use std::{io, sync::Arc};
use tokio::sync::Semaphore;

/// How a response calls what it has.
pub(super) struct FileName {
    pub(super) mimetype: &'static str,
    pub(super) name: String,
    /// Browsers show it, and do not only save it.
    pub(super) is_shown: bool,
}

impl FileName {
    /// Of a film of a stream.
    fn of_film(film: &Film, stream: &str, container: Container) -> Self {
        let stream: String = stream.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let begin: String = rfc3339(film.begins).chars().filter(|c| *c != ':').collect();
        let name = format!("{stream}-{begin}.{}", container.name());
        Self { mimetype: container.mimetype(), name, is_shown: true }
    }
}

/// What is read of a file at a time.
const CHUNK: u64 = 256 << 10;

impl Playback {
    /// A film as one file whose length is known.
    pub(super) fn film(&self, film: &Arc<Film>, stream: &str, request: Request<'_>) -> Response {
        self.whole(film, &FileName::of_film(film, stream, Container::Mp4), request)
    }

    /// A file, or the range of it that is asked for.
    pub(super) fn whole(&self, film: &Arc<Film>, name: &FileName, request: Request<'_>) -> Response {
        let length = film.clip.length();
        let tag = film.tag();
        let value = |name| request.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        // A range of another film is of no use.
        let is_same = value(header::IF_RANGE).is_none_or(|known| known == tag);
        let range = ask::range(value(header::RANGE).filter(|_| is_same), length);
        let (status, first, last) = match range {
            Range::Whole => (StatusCode::OK, 0, length.saturating_sub(1)),
            Range::Part(first, last) => (StatusCode::PARTIAL_CONTENT, first, last),
            Range::Unsatisfiable => {
                let mut response = text(StatusCode::RANGE_NOT_SATISFIABLE, "the film is shorter than that");
                set(&mut response, header::CONTENT_RANGE, &format!("bytes */{length}"));
                return response;
            }
        };
        let end = (last + 1).min(length);
        let mut response = body(request, || read(film.clone(), self.readers(), first, end));
        *response.status_mut() = status;
        if status == StatusCode::PARTIAL_CONTENT {
            set(&mut response, header::CONTENT_RANGE, &format!("bytes {first}-{last}/{length}"));
        }
        set(&mut response, header::ACCEPT_RANGES, "bytes");
        set(&mut response, header::ETAG, &tag);
        set(&mut response, header::CONTENT_LENGTH, &(end - first).to_string());
        describe(&mut response, film, name);
        response
    }

    /// A film in another container: it is made as it is taken, so that its length is not known.
    pub(super) fn remuxed(
        &self,
        film: &Arc<Film>,
        stream: &str,
        (container, remuxer, header): (Container, Remuxer, Vec<u8>),
        request: Request<'_>,
    ) -> Response {
        let rest = || remux(film.clone(), self.readers(), remuxer);
        let mut response = body(request, || stream::iter([Ok(Bytes::from(header))]).chain(rest()));
        set(&mut response, header::ACCEPT_RANGES, "none");
        describe(&mut response, film, &FileName::of_film(film, stream, container));
        response
    }
}

/// A response with this body, unless the client wants none.
fn body<S: Stream<Item = io::Result<Bytes>> + Send + 'static>(
    request: Request<'_>,
    body: impl FnOnce() -> S,
) -> Response {
    match *request.method == Method::HEAD {
        true => Response::new(Vec::new().into()),
        false => streamed(body()),
    }
}

fn describe(response: &mut Response, film: &Film, FileName { mimetype, name, is_shown }: &FileName) {
    set(response, header::CONTENT_TYPE, mimetype);
    let way = if *is_shown { "inline" } else { "attachment" };
    // RFC 6266: what is not ASCII is encoded.
    let name = match name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_. ".contains(&byte)) {
        true => format!("filename=\"{name}\""),
        false => format!("filename*=UTF-8''{}", utf8_percent_encode(name, &PLAIN)),
    };
    set(response, header::CONTENT_DISPOSITION, &format!("{way}; {name}"));
    set(response, header::LAST_MODIFIED, &http_date(film.begins));
    response.headers_mut().insert(header::CACHE_CONTROL, CHANGES);
}

/// The bytes of a film from `at` to `end`, read as they are taken.
fn read(film: Arc<Film>, readers: Arc<Semaphore>, at: u64, end: u64) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(at, move |at| {
        let (film, readers) = (film.clone(), readers.clone());
        async move {
            if at >= end {
                return Ok(None);
            }
            let bytes = on_a_thread(&readers, move || film.read(at, CHUNK.min(end - at))).await?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let next = at + bytes.len() as u64;
            Ok(Some((bytes, next)))
        }
    })
}

/// What a film becomes after its front, made as it is taken.
fn remux(film: Arc<Film>, readers: Arc<Semaphore>, remuxer: Remuxer) -> impl Stream<Item = io::Result<Bytes>> {
    let begin = film.clip.front().len() as u64;
    stream::try_unfold(Some((begin, remuxer)), move |state| {
        let (film, readers) = (film.clone(), readers.clone());
        async move {
            let Some((mut at, mut remuxer)) = state else { return Ok(None) };
            let made = on_a_thread(&readers, move || {
                loop {
                    let bytes = film.read(at, CHUNK)?;
                    if bytes.is_empty() {
                        return Ok((Bytes::from(remuxer.finish()), None));
                    }
                    at += bytes.len() as u64;
                    let out = remuxer.push(&bytes);
                    if !out.is_empty() {
                        return Ok((Bytes::from(out), Some((at, remuxer))));
                    }
                }
            });
            made.await.map(Some)
        }
    })
}

/// Reads on a thread for that, when it is this reader's turn.
async fn on_a_thread<T: Send + 'static>(
    readers: &Arc<Semaphore>,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let permit = readers.clone().acquire_owned().await.map_err(io::Error::other)?;
    let work = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    tokio::time::timeout(PATIENCE, work).await.map_err(io::Error::other)??
}
