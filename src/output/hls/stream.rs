//! A stream that playlists can be had of.

use super::{
    feed::{Feed, Source},
    file::Rendition,
    viewers::HlsViewers,
};
use crate::{
    engine::registry::StreamHandle,
    media::{Container, segment::Settings},
    output::record::playback::Playback,
    stream::StreamOutput,
    sys::Shutdown,
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
    output: StreamOutput,
    settings: Settings,
    mp4: Feed,
    ts: Feed,
    viewers: HlsViewers,
    recordings: Playback,
    recorded: String,
}

impl SegmentedStream {
    fn new(
        stream: &StreamHandle,
        output: &StreamOutput,
        shutdown: &Shutdown,
        (recordings, recorded): (Playback, String),
    ) -> Self {
        let settings = stream.config.hls;
        let name = stream.config.name.to_string();
        let source = source(stream, output);
        // Tokens that an earlier run of the server gave away are not given again.
        let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let seed = u64::try_from(seed).unwrap_or(0) << 16;
        let of_ts = Settings { has_parts: false, dvr: None, ..settings };
        Self {
            output: output.clone(),
            settings,
            mp4: Feed::new(Container::Mp4, settings, source.clone(), shutdown.clone())
                .with_past(recordings.clone(), recorded.clone()),
            ts: Feed::new(Container::Ts, of_ts, source, shutdown.clone()),
            viewers: HlsViewers::new(&name, stream.viewers.clone(), seed),
            name,
            recordings,
            recorded,
        }
    }

    /// The segments that a rendition is in.
    pub fn feed(&self, rendition: Rendition) -> &Feed {
        match rendition {
            Rendition::Video | Rendition::Audio => &self.mp4,
            Rendition::Ts => &self.ts,
        }
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

    /// How long segments are, and how much is kept.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// HlsViewers who left are gone now.
    pub fn expire(&self, now: Instant) {
        let target = self.mp4.look(|segments| segments.target()).flatten().unwrap_or(2);
        self.viewers.expire(now, std::time::Duration::from_secs(3 * target + 1));
    }

    fn stop(&self) {
        self.mp4.stop();
        self.ts.stop();
    }
}

fn source(stream: &StreamHandle, output: &StreamOutput) -> Source {
    Source {
        rendition: stream.rendition.clone(),
        stream: stream.config.name.to_string(),
        output: output.clone(),
        demand: stream.demand.clone(),
    }
}

/// All streams of a server that playlists can be had of. They stay when a configuration is applied that does not change
/// them. Clones are the same.
#[derive(Debug, Clone)]
pub struct SegmentedStreams {
    shutdown: Shutdown,
    recordings: Playback,
    known: Arc<Mutex<HashMap<String, Arc<SegmentedStream>>>>,
}

impl SegmentedStreams {
    /// None yet. Their tasks are spawned on `shutdown`.
    pub fn new(shutdown: Shutdown, recordings: Playback) -> Self {
        Self { shutdown, recordings, known: Arc::default() }
    }

    /// Those of these streams that are made of samples; all others end.
    pub fn apply(&self, streams: &[Arc<StreamHandle>]) -> Vec<(Arc<StreamHandle>, Arc<SegmentedStream>)> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut old = std::mem::take(&mut *known);
        let mut applied = Vec::new();
        for stream in streams {
            let Some((sampled, output)) = stream.sampled().and_then(|one| Some((one, one.output.as_ref()?))) else {
                continue;
            };
            let name = stream.config.name.to_string();
            let stays = old.remove(&name).filter(|old| {
                let is_same = old.output.is_beside(output) && old.settings == stream.config.hls;
                if is_same {
                    old.mp4.set_source(source(sampled, output));
                    old.ts.set_source(source(sampled, output));
                } else {
                    old.stop();
                }
                is_same
            });
            let found = stays.unwrap_or_else(|| {
                Arc::new(SegmentedStream::new(
                    sampled,
                    output,
                    &self.shutdown,
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
