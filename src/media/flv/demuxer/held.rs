//! The first samples, which wait until all tracks are known.

use crate::media::Time;
use crate::media::sample::Sample;

/// So much media waits for a track that does not come.
const PATIENCE: i64 = 2_000_000_000;
/// Most samples that wait, whatever their times: those of two seconds of eight tracks.
const MAX_SAMPLES: usize = 1024;
/// Most bytes that wait: two seconds of 60 Mbit/s.
const MAX_BYTES: usize = 16 << 20;

#[derive(Debug, Default)]
pub(super) struct Held {
    samples: Vec<Sample>,
    bytes: usize,
    since: Option<Time>,
    is_over: bool,
}

impl Held {
    /// Nothing waits any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Adds a sample; `true` when it is time to continue with what is known.
    pub(super) fn push(&mut self, sample: Sample) -> bool {
        let waited = sample.dts.since(*self.since.get_or_insert(sample.dts));
        self.bytes += sample.data.len();
        self.samples.push(sample);
        waited >= PATIENCE || self.samples.len() >= MAX_SAMPLES || self.bytes >= MAX_BYTES
    }

    /// All of them. If there are any, waiting is over.
    pub(super) fn take(&mut self) -> Vec<Sample> {
        self.is_over = !self.samples.is_empty();
        std::mem::take(&mut self.samples)
    }
}
