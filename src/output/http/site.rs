//! Everything that a client can ask for, by path.

use super::{departure::Departure, query::Still};
use crate::{
    config,
    engine::registry::{Registry, StreamHandle},
    source::per_request::PerRequestStream,
    still::take::StreamStills,
};
use std::{collections::HashMap, fmt, sync::Arc};
use warp::reply::Response;

/// Makes a page for whoever asks.
pub type Page = Box<dyn Fn(Asked<'_>) -> Response + Send + Sync>;

/// How a page was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The name by which the client knows the server.
    pub host: Option<&'a str>,
    /// What stands behind the `?`.
    pub query: &'a str,
    /// The `Last-Event-ID` of one who listened before.
    pub last_event: Option<&'a str>,
    /// Tells when it is gone.
    pub client: &'a Departure,
}

/// The paths of one server.
pub struct Site {
    streams: HashMap<String, Arc<StreamStills>>,
    private: HashMap<String, Arc<PerRequestStream>>,
    pages: HashMap<String, Page>,
}

/// What a path leads to.
pub enum Target<'a> {
    /// A page of the server's own.
    Page(&'a Page),
    /// A stream.
    Stream(&'a Arc<StreamHandle>),
    /// A stream that is made for each request.
    Private(&'a Arc<PerRequestStream>),
    /// A still picture of a stream, in the format that the path names.
    Picture(&'a Arc<StreamStills>, Option<Still>),
    /// The pictures of a stream as messages of a WebSocket.
    Socket(&'a Arc<StreamStills>),
    /// The pictures of a stream, raw.
    Frames(&'a Arc<StreamStills>),
}

impl Site {
    /// A site with these streams, each under its own path and under `/stream/<name>`, and these pages.
    pub fn new(registry: &Registry, pages: HashMap<String, Page>) -> Self {
        let stills: Vec<_> =
            registry.streams().iter().map(|stream| Arc::new(StreamStills::new(stream.clone()))).collect();
        Self {
            streams: placed(&stills, |stills| &stills.stream().config),
            private: placed(registry.per_request(), |stream| &stream.config),
            pages,
        }
    }

    /// What a percent-decoded path leads to.
    pub fn find(&self, path: &str) -> Option<Target<'_>> {
        if let Some(page) = self.pages.get(path) {
            return Some(Target::Page(page));
        }
        if let Some(stills) = self.streams.get(path) {
            return Some(Target::Stream(stills.stream()));
        }
        if let Some(stream) = self.private.get(path) {
            return Some(Target::Private(stream));
        }
        let (stream, picture) = path.rsplit_once('/')?;
        let stills = self.streams.get(stream)?;
        let format = match picture {
            "ws" => return Some(Target::Socket(stills)),
            "frames" => return Some(Target::Frames(stills)),
            "pic" => None,
            "pic.jpg" | "pic.jpeg" => Some(Still::Jpeg),
            "pic.png" => Some(Still::Png),
            "pic.webp" => Some(Still::Webp),
            _ => return None,
        };
        Some(Target::Picture(stills, format))
    }
}

/// Streams by each of their two paths.
fn placed<T>(streams: &[Arc<T>], config: impl Fn(&T) -> &config::Stream) -> HashMap<String, Arc<T>> {
    let paths = streams.iter().flat_map(|stream| {
        let config = config(stream);
        [format!("/stream/{}", config.name), config.path.to_string()].map(|path| (path, stream.clone()))
    });
    paths.collect()
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.streams.keys()).entries(self.private.keys()).entries(self.pages.keys()).finish()
    }
}
