//! The newest GOP of a rendition or publisher, for outputs that are attached later.

use crate::media::{MediaKind, Sample, TrackSet};
use std::{collections::VecDeque, time::Duration};

/// Most bytes of a GOP that is kept for outputs that are attached later.
const GOP_BYTES: usize = 32 << 20;
/// Most samples of a GOP that is kept: ten seconds at 60 frames a second, with audio.
const GOP_SAMPLES: usize = 4096;

/// The samples since the newest keyframe, if they are all there.
#[derive(Debug, Default)]
pub struct Gop {
    samples: VecDeque<Sample>,
    bytes: usize,
}

impl Gop {
    /// How much audio without video is kept.
    const AUDIO: Duration = Duration::from_millis(500);

    /// The next sample; `begins`: a GOP begins with it.
    pub fn push(&mut self, sample: &Sample, begins: bool) {
        if begins {
            self.clear();
        } else if self.samples.is_empty() {
            return;
        }
        self.bytes += sample.data.len();
        self.samples.push_back(sample.clone());
        if self.samples.len() > GOP_SAMPLES || self.bytes > GOP_BYTES {
            self.clear();
        }
    }

    /// Of audio alone: whether it is time for another beginning.
    pub fn is_stale(&self, sample: &Sample) -> bool {
        self.samples.front().is_none_or(|first| sample.dts.since(first.dts) > Self::AUDIO.as_nanos() as i64)
    }

    /// The next sample of these tracks. A GOP begins with a keyframe of the leading track.
    pub fn push_of(&mut self, sample: &Sample, tracks: &TrackSet) {
        let lead = tracks.lead().filter(|lead| lead.id == sample.track && sample.is_sync);
        let begins = lead.is_some_and(|lead| lead.kind() == MediaKind::Video || self.is_stale(sample));
        self.push(sample, begins);
    }

    /// In the order in which they came.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    /// Keeps nothing until the next keyframe.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.bytes = 0;
    }
}
