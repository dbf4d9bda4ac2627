//! A stream that playlists can be had of.

use super::{
    feed::{Feed, Part, Source},
    file::Rendition,
    viewers::HlsViewers,
    waiting::Waiting,
};
use crate::{
    engine::registry::StreamHandle,
    media::{
        Container,
        segment::{Keys, Settings},
    },
    output::record::playback::Playback,
    stream::StreamOutput,
    sys::Shutdown,
    telemetry::HlsStats,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime},
};

/// One stream: its segments in each container, and its viewers.
#[derive(Debug)]
pub struct SegmentedStream {
    name: String,
    /// Of the stream itself, and of its renditions.
    outputs: Vec<StreamOutput>,
    settings: Settings,
    keys: Option<Arc<Keys>>,
    mp4: Feed,
    ts: Feed,
    viewers: HlsViewers,
    waiting: Waiting,
    stats: Arc<HlsStats>,
    recordings: Playback,
    recorded: String,
}

impl SegmentedStream {
    fn new(
        stream: &StreamHandle,
        source: Source,
        shutdown: &Shutdown,
        stats: &Arc<HlsStats>,
        (recordings, recorded): (Playback, String),
    ) -> Self {
        let settings = stream.config.hls;
        let name = stream.config.name.to_string();
        // Tokens that an earlier run of the server gave away are not given again.
        let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let seed = u64::try_from(seed).unwrap_or(0) << 16;
        let keys = settings.encrypt.map(|segments| {
            let mut secret = [0; 32];
            // A system without random numbers has no TLS either; its secret is as good as what it has.
            let _ = aws_lc_rs::rand::fill(&mut secret);
            Arc::new(Keys::new(&secret, segments))
        });
        let of_ts = Settings { has_parts: false, dvr: None, ..settings };
        Self {
            outputs: source.outputs(),
            settings,
            keys,
            mp4: Feed::new(Container::Mp4, settings, source.clone(), shutdown.clone(), stats.clone())
                .with_past(recordings.clone(), recorded.clone()),
            ts: Feed::new(Container::Ts, of_ts, source, shutdown.clone(), stats.clone()),
            viewers: HlsViewers::new(&name, stream.viewers.clone(), seed, stats.clone()),
            waiting: Waiting::default(),
            stats: stats.clone(),
            name,
            recordings,
            recorded,
        }
    }

    /// The segments that a rendition is in.
    pub fn feed(&self, rendition: Rendition) -> &Feed {
        match rendition {
            Rendition::Video(_) | Rendition::Audio => &self.mp4,
            Rendition::Ts(_) => &self.ts,
        }
    }

    /// What segments are encrypted with, if they are.
    pub fn keys(&self) -> Option<&Arc<Keys>> {
        self.keys.as_ref()
    }

    /// What was recorded of it and others.
    pub fn recordings(&self) -> &Playback {
        &self.recordings
    }

    /// The name that it is recorded by.
    pub fn recorded(&self) -> &str {
        &self.recorded
    }

    /// The name of the stream.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The viewers.
    pub fn viewers(&self) -> &HlsViewers {
        &self.viewers
    }

    /// Who waits.
    pub fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// The statistics of all streams.
    pub fn stats(&self) -> &Arc<HlsStats> {
        &self.stats
    }

    /// How long segments are, and how much is kept.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Viewers who left are gone now.
    pub fn expire(&self, now: Instant) {
        let target = self.mp4.look(|segments| segments.target()).flatten().unwrap_or(2);
        self.viewers.expire(now, std::time::Duration::from_secs(3 * target + 1));
    }

    fn stop(&self) {
        self.mp4.stop();
        self.ts.stop();
    }
}

impl Source {
    /// What the playlists of a stream are made of; `None` for one that arrives as bytes.
    fn of(stream: &StreamHandle, all: &[Arc<StreamHandle>]) -> Option<Self> {
        let renditions = stream.config.renditions.iter();
        let renditions = renditions.filter_map(|name| all.iter().find(|known| known.config.name == *name));
        let renditions = renditions.filter_map(|known| part(known.sampled()?));
        let parts = std::iter::once(part(stream)?).chain(renditions).collect();
        Some(Self { stream: stream.config.name.to_string(), parts })
    }

    fn outputs(&self) -> Vec<StreamOutput> {
        self.parts.iter().map(|part| part.output.clone()).collect()
    }
}

fn part(stream: &StreamHandle) -> Option<Part> {
    let output = stream.output.clone()?;
    Some(Part { rendition: stream.rendition.clone(), output, demand: stream.demand.clone() })
}

/// All streams of a server that playlists can be had of. They stay when a configuration is applied that does not change
/// them. Clones are the same.
#[derive(Debug, Clone)]
pub struct SegmentedStreams {
    shutdown: Shutdown,
    stats: Arc<HlsStats>,
    recordings: Playback,
    known: Arc<Mutex<HashMap<String, Arc<SegmentedStream>>>>,
}

impl SegmentedStreams {
    /// None yet. Their tasks are spawned on `shutdown`, `stats` counts what they do, and `recordings` has what was before.
    pub fn new(shutdown: Shutdown, stats: Arc<HlsStats>, recordings: Playback) -> Self {
        Self { shutdown, stats, recordings, known: Arc::default() }
    }

    /// Those of these streams that are made of samples; all others end.
    pub fn apply(&self, streams: &[Arc<StreamHandle>]) -> Vec<(Arc<StreamHandle>, Arc<SegmentedStream>)> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut old = std::mem::take(&mut *known);
        let mut applied = Vec::new();
        for stream in streams {
            let Some((sampled, source)) = stream.sampled().and_then(|one| Some((one, Source::of(one, streams)?)))
            else {
                continue;
            };
            let name = stream.config.name.to_string();
            let stays = old.remove(&name).filter(|old| {
                let outputs = source.outputs();
                let has_same = old.outputs.len() == outputs.len()
                    && old.outputs.iter().zip(&outputs).all(|(old, new)| old.is_beside(new));
                let is_same = has_same && old.settings == stream.config.hls;
                if is_same {
                    old.mp4.set_source(source.clone());
                    old.ts.set_source(source.clone());
                } else {
                    old.stop();
                }
                is_same
            });
            let found = stays.unwrap_or_else(|| {
                Arc::new(SegmentedStream::new(
                    sampled,
                    source,
                    &self.shutdown,
                    &self.stats,
                    (self.recordings.clone(), stream.config.name.to_string()),
                ))
            });
            known.insert(name, found.clone());
            applied.push((stream.clone(), found));
        }
        old.values().for_each(|gone| gone.stop());
        applied
    }

    /// Forgets viewers who left. To be called about once a second.
    pub fn expire(&self, now: Instant) {
        let known: Vec<_> = self.known.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        known.iter().for_each(|stream| stream.expire(now));
    }
}
