//! When tracks are announced: before their first sample, and again when they change.

use super::{Time, TrackInfo, TrackSet, demux::Demuxed, sample::Sample};

/// How long samples wait for the parameters of other tracks, in nanoseconds of their own time.
const PATIENCE: i64 = 2_000_000_000;
/// Most samples that wait: two seconds of some tracks.
const MAX_WAITING: usize = 1024;
/// Most bytes that wait: two seconds at 128 Mbit/s.
const MAX_WAITING_BYTES: usize = 32 << 20;

/// Puts sets of tracks between samples.
#[derive(Debug, Default)]
pub(in crate::media) struct Announcer {
    /// The newest set.
    announced: Option<TrackSet>,
    waiting: Option<Waiting>,
}

/// The parameters of some track are missing.
#[derive(Debug, Default)]
struct Waiting {
    samples: Vec<Sample>,
    bytes: usize,
    /// The earliest and the latest time of them.
    span: Option<(Time, Time)>,
}

impl Waiting {
    fn is_over(&self) -> bool {
        let span = self.span.map_or(0, |(first, last)| last.since(first));
        span >= PATIENCE || self.samples.len() >= MAX_WAITING || self.bytes >= MAX_WAITING_BYTES
    }
}

impl Announcer {
    /// There are other tracks from now on. `None` stands for one whose parameters are not known yet.
    pub(in crate::media) fn begin(&mut self, tracks: &[Option<&TrackInfo>], out: &mut Vec<Demuxed>) {
        self.release(out);
        self.waiting = Some(Waiting::default());
        self.learn(tracks, out);
    }

    /// More is known of the tracks, or something else.
    pub(in crate::media) fn learn(&mut self, tracks: &[Option<&TrackInfo>], out: &mut Vec<Demuxed>) {
        if self.waiting.is_none() || tracks.iter().all(Option::is_some) {
            self.announce(tracks, out);
        }
    }

    /// The next sample, of a track that is known.
    pub(in crate::media) fn sample<'a>(
        &mut self,
        sample: Sample,
        tracks: impl FnOnce() -> Vec<Option<&'a TrackInfo>>,
        out: &mut Vec<Demuxed>,
    ) {
        let Some(waiting) = &mut self.waiting else { return out.push(Demuxed::Sample(sample)) };
        let (first, last) = waiting.span.unwrap_or((sample.dts, sample.dts));
        waiting.span = Some((first.min(sample.dts), last.max(sample.dts)));
        waiting.bytes += sample.data.len();
        waiting.samples.push(sample);
        if waiting.is_over() {
            self.announce(&tracks(), out);
        }
    }

    /// No samples of these tracks come any more.
    pub(in crate::media) fn end(&mut self, tracks: &[Option<&TrackInfo>], out: &mut Vec<Demuxed>) {
        if self.waiting.as_ref().is_some_and(|waiting| !waiting.samples.is_empty()) {
            self.announce(tracks, out);
        }
    }

    fn announce(&mut self, tracks: &[Option<&TrackInfo>], out: &mut Vec<Demuxed>) {
        let tracks: Vec<TrackInfo> = tracks.iter().copied().flatten().cloned().collect();
        let set = TrackSet::new(tracks);
        if !set.tracks().is_empty() && self.announced.as_ref() != Some(&set) {
            self.announced = Some(set.clone());
            out.push(Demuxed::Tracks(set));
        }
        self.release(out);
    }

    fn release(&mut self, out: &mut Vec<Demuxed>) {
        let waiting = self.waiting.take().unwrap_or_default();
        out.extend(waiting.samples.into_iter().map(Demuxed::Sample));
    }
}
