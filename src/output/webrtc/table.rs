//! Which stream and session a path stands for.

use crate::engine::registry::{StreamHandle, stem};
use std::{collections::HashMap, sync::Arc};

/// The streams by the paths of their endpoints.
#[derive(Debug, Default)]
pub struct WhepTable {
    streams: HashMap<String, Arc<StreamHandle>>,
}

/// What a path stands for.
#[derive(Debug, Clone, Copy)]
pub struct WhepRoute<'a> {
    /// The stream.
    pub stream: &'a Arc<StreamHandle>,
    /// The name of a session of it; `None` for the endpoint, where sessions are made.
    pub session: Option<&'a str>,
}

impl WhepTable {
    /// A table of these streams, each under its path, under that without the extension of its container, and under
    /// `/stream/<name>`. Of several with one path, the first one that is muxed of its samples has it.
    pub fn new(streams: &[Arc<StreamHandle>]) -> Self {
        let mut table = Self::default();
        for stream in streams {
            table.streams.insert(stream.config.path.to_string(), stream.clone());
            table.streams.insert(format!("/stream/{}", stream.config.name), stream.clone());
        }
        let (sampled, others): (Vec<_>, Vec<_>) = streams.iter().partition(|stream| stream.sampled().is_some());
        for stream in sampled.into_iter().chain(others) {
            table.streams.entry(stem(stream.config.path.as_str()).to_owned()).or_insert_with(|| stream.clone());
        }
        table
    }

    /// What a percent-decoded path stands for.
    pub fn find<'a>(&'a self, path: &'a str) -> Option<WhepRoute<'a>> {
        let (path, session) = match path.strip_suffix("/whep") {
            Some(path) => (path, None),
            None => {
                let (endpoint, session) = path.rsplit_once('/')?;
                (endpoint.strip_suffix("/whep")?, Some(session))
            }
        };
        Some(WhepRoute { stream: self.streams.get(path)?, session })
    }
}
