//! When tracks are announced: before their first sample, and again when they change.

use crate::media::{Time, TrackInfo, TrackSet, demux::Demuxed, sample::Sample};

/// How long samples wait for the parameters of other tracks, in nanoseconds of their own time.
const PATIENCE: i64 = 2_000_000_000;
/// Most samples that wait: two seconds of some tracks.
const MAX_WAITING: usize = 1024;
/// Most bytes that wait: two seconds at 128 Mbit/s.
const MAX_WAITING_BYTES: usize = 32 << 20;

/// Puts sets of tracks between samples.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    /// The newest set.
    announced: Option<TrackSet>,
    /// The parameters of some track are missing.
    waits: bool,
    waiting: Vec<Sample>,
    bytes: usize,
    /// The earliest time since waiting began.
    begin: Option<Time>,
}

impl Announcer {
    /// The tracks begin, for the first time or again: these are known, and so many there are.
    pub(super) fn begin(&mut self, known: Vec<TrackInfo>, count: usize, out: &mut Vec<Demuxed>) {
        // What still waits are samples of tracks that were never announced.
        self.waiting.clear();
        self.bytes = 0;
        self.waits = known.len() < count;
        self.begin = None;
        if !self.waits {
            self.announce(known, out);
        }
    }

    /// These tracks are known, of so many: some came or changed.
    pub(super) fn changed(&mut self, known: Vec<TrackInfo>, count: usize, out: &mut Vec<Demuxed>) {
        if self.waits && known.len() < count {
            return;
        }
        self.announce(known, out);
        self.release(out);
    }

    /// Time comes to here, with a sample that may be of no use. These tracks are known.
    pub(super) fn time(&mut self, time: Time, known: impl FnOnce() -> Vec<TrackInfo>, out: &mut Vec<Demuxed>) {
        if !self.waits {
            return;
        }
        let begin = *self.begin.get_or_insert(time);
        self.begin = Some(begin.min(time));
        if time.since(begin) >= PATIENCE || self.waiting.len() >= MAX_WAITING || self.bytes >= MAX_WAITING_BYTES {
            let known = known();
            if !known.is_empty() {
                self.announce(known, out);
                self.release(out);
            }
        }
    }

    /// A sample of a track that is known.
    pub(super) fn sample(&mut self, sample: Sample, out: &mut Vec<Demuxed>) {
        if self.waits {
            self.bytes += sample.data.len();
            self.waiting.push(sample);
        } else {
            out.push(Demuxed::Sample(sample));
        }
    }

    /// No more samples come: what waits goes with these tracks.
    pub(super) fn finish(&mut self, known: Vec<TrackInfo>, out: &mut Vec<Demuxed>) {
        if self.waits && !self.waiting.is_empty() {
            self.announce(known, out);
        }
        self.release(out);
    }

    fn announce(&mut self, known: Vec<TrackInfo>, out: &mut Vec<Demuxed>) {
        self.waits = false;
        let set = TrackSet::new(known);
        if self.announced.as_ref() != Some(&set) {
            self.announced = Some(set.clone());
            out.push(Demuxed::Tracks(set));
        }
    }

    fn release(&mut self, out: &mut Vec<Demuxed>) {
        self.waits = false;
        self.bytes = 0;
        out.extend(self.waiting.drain(..).map(Demuxed::Sample));
    }
}
