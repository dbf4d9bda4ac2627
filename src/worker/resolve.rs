//! What a stream can be made of: which tracks of which feeds its pipeline refers to, as far as they are known.

use super::{caps, feed::Feed, launch, track::Track};
use crate::{
    ipc::{Encoding, StreamPlan, TrackKind},
    media::Container,
};
use std::sync::Arc;

/// A feed as a stream sees it.
#[derive(Clone)]
pub(super) struct FeedView {
    /// The feed.
    pub(super) feed: Arc<Feed>,
    /// It has no other tracks than those that are known.
    pub(super) complete: bool,
    /// Its muxed track is demuxed, or cannot be.
    pub(super) demuxed: bool,
}

/// A track that a pipeline refers to.
#[derive(Clone)]
pub(super) struct Source {
    /// The name in the pipeline.
    pub(super) name: String,
    /// The feed that has it.
    pub(super) feed: u32,
    pub(super) track: Arc<Track>,
}

/// A stream of the plan, and which of its pipelines makes it.
#[derive(Clone, Copy)]
pub(super) struct Recipe<'a> {
    pub(super) plan: &'a StreamPlan,
    /// From 0; of no meaning for a stream without pipelines.
    pub(super) text: usize,
}

impl<'a> Recipe<'a> {
    pub(super) fn text(self) -> Option<&'a str> {
        match &self.plan.encoding {
            Encoding::Launch(texts) => texts.get(self.text).map(String::as_str),
            Encoding::Copy => None,
        }
    }
}

/// What a stream can be made of now.
pub(super) enum Resolved {
    /// More has to be known. With `true`, a part of it is known already.
    Wait(bool),
    /// The muxed track of this feed has to be demuxed first.
    Demux(u32),
    /// It cannot run.
    Fail(String),
    /// The bytes of a track that is muxed already.
    Bytes(Arc<Track>),
    /// A pipeline of these tracks. The names are those of tracks that no feed has.
    Tracks(Vec<Source>, Vec<String>),
}

/// Decides what a stream is made of. Without `patience`, tracks that are not known are taken as not there.
pub(super) fn resolve(recipe: Recipe<'_>, feeds: &[FeedView], patience: bool) -> Resolved {
    let plan = recipe.plan;
    let names = match recipe.text() {
        Some(text) => launch::references(text),
        None => {
            let muxed = feeds.first().and_then(|view| view.feed.track(TrackKind::Muxed));
            if let Some(track) = muxed {
                let container = track.caps().and_then(|caps| caps::container(&caps));
                if plan.container == Some(Container::Raw) || container.is_some() && container == plan.container {
                    return Resolved::Bytes(track);
                }
            }
            vec!["video".into(), "audio".into()]
        }
    };
    let (mut sources, mut missing, mut wait) = (Vec::new(), Vec::new(), false);
    for name in names {
        let Some((kind, position)) = launch::reference(&name) else { continue };
        let candidates: Vec<&FeedView> = match position {
            Some(position) => feeds.get(position).into_iter().collect(),
            None => feeds.iter().collect(),
        };
        if position.is_some() && candidates.is_empty() {
            return Resolved::Fail(format!("`{name}.` refers to a feed that the stream does not have"));
        }
        let mut found = None;
        for view in candidates {
            if let Some(track) = view.feed.track(kind) {
                found = Some(Source { name: name.clone(), feed: view.feed.index, track });
                break;
            }
            if view.feed.track(TrackKind::Muxed).is_some() && !view.demuxed {
                return Resolved::Demux(view.feed.index);
            }
            if !view.complete && patience {
                wait = true;
                break;
            }
        }
        match found {
            Some(source) => sources.push(source),
            None => missing.push(name),
        }
    }
    if wait {
        return Resolved::Wait(!sources.is_empty());
    }
    if sources.is_empty() && !missing.is_empty() {
        let known = feeds.iter().any(|view| !view.feed.tracks().is_empty());
        return if known || feeds.iter().all(|view| view.complete) {
            Resolved::Fail(format!("no feed has a track for `{}.`", missing.join(".` or `")))
        } else {
            Resolved::Wait(false)
        };
    }
    Resolved::Tracks(sources, missing)
}
