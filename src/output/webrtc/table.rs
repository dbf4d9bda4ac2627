//! Which stream and session a path stands for.

use crate::engine::registry::{StreamHandle, stem};
use std::{collections::HashMap, sync::Arc};

/// The streams by the paths of their endpoints.
#[derive(Debug, Default)]
pub struct WhepTable {
    streams: HashMap<String, Arc<StreamHandle>>,
    /// The stream with its renditions and the layers of its publisher, by the name of the stream that has some.
    layers: HashMap<String, Vec<Arc<StreamHandle>>>,
}

/// What a path stands for.
#[derive(Debug, Clone, Copy)]
pub struct WhepRoute<'a> {
    /// The stream.
    pub stream: &'a Arc<StreamHandle>,
    /// The name of a session of it; `None` for the endpoint, where sessions are made.
    pub session: Option<&'a str>,
    /// What of the session is meant, if not the session itself.
    pub part: Option<SessionPart>,
    /// What sessions may be sent: the stream and its renditions, the largest first; none where there is no choice.
    pub layers: &'a [Arc<StreamHandle>],
}

/// What has a URL below that of a session: extensions of WHEP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionPart {
    /// The layers that it may be sent.
    Layer,
    /// Events of its stream.
    Events,
}

impl WhepTable {
    /// A table of these streams, each under its path, under that without the extension of its container, and under
    /// `/stream/<name>`. Of several with one path, the first one that is muxed of its samples has it.
    pub fn new(streams: &[Arc<StreamHandle>]) -> Self {
        let mut table = Self::default();
        for stream in streams {
            table.streams.insert(stream.config.path.to_string(), stream.clone());
            table.streams.insert(format!("/stream/{}", stream.config.name), stream.clone());
            let renditions = stream.config.renditions.iter().chain(&stream.config.layers);
            let renditions = renditions.filter_map(|name| streams.iter().find(|known| known.config.name == *name));
            let layers: Vec<_> = std::iter::once(stream).chain(renditions).cloned().collect();
            if let [_, _, ..] = &layers[..] {
                table.layers.insert(stream.config.name.to_string(), layers);
            }
        }
        let (sampled, others): (Vec<_>, Vec<_>) = streams.iter().partition(|stream| stream.sampled().is_some());
        for stream in sampled.into_iter().chain(others) {
            table.streams.entry(stem(stream.config.path.as_str()).to_owned()).or_insert_with(|| stream.clone());
        }
        table
    }

    /// What a percent-decoded path stands for.
    pub fn find<'a>(&'a self, path: &'a str) -> Option<WhepRoute<'a>> {
        let parts = [("/layer", SessionPart::Layer), ("/events", SessionPart::Events)];
        let of_session = |(ending, part): (&str, _)| {
            let session = path.strip_suffix(ending).filter(|path| !path.ends_with("/whep"))?;
            Some((session, Some(part)))
        };
        let (path, part) = parts.into_iter().find_map(of_session).unwrap_or((path, None));
        let (path, session) = match path.strip_suffix("/whep") {
            Some(path) => (path, None),
            None => {
                let (endpoint, session) = path.rsplit_once('/')?;
                (endpoint.strip_suffix("/whep")?, Some(session))
            }
        };
        let stream = self.streams.get(path)?;
        if part.is_some() && session.is_none() {
            return None;
        }
        let layers = self.layers.get(stream.config.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        Some(WhepRoute { stream, session, part, layers })
    }
}
