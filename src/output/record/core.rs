//! When files begin and end, and which sample is in which. Pure: samples and the time go in, actions come out.
//!
//! A file begins with a keyframe of the lead track. Other tracks are cut where that is shown: what comes earlier belongs to the
//! file before, also when it arrives later; so no sample is lost or twice, and each file begins with audio and video of one moment.

use super::{index::next_boundary, muxing::FileMuxer};
use crate::media::{
    Container, Sample, Time, TrackId, TrackInfo,
    track::{codec_strings, lead},
};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// A source that delivers nothing for so long has ended: its file does.
const IDLE: Duration = Duration::from_secs(5);
/// A file waits for so much media of the lead track of the next one for other tracks that are late.
const LATE: i64 = 2_000_000_000;
/// Time of the lead track that jumps ahead by more than this, or back, begins another file.
const JUMP: i64 = 10_000_000_000;
/// Most samples of other tracks that are held because they are ahead of the lead track.
const MAX_HELD: usize = 1024;
/// A part is written when it has so many bytes, however short it is.
const MAX_PART: usize = 4 << 20;
/// A keyframe is asked for again after this, while a cut is due.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// One moment, on all clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// On the monotonic clock that samples were captured by.
    pub monotonic: Duration,
    /// In microseconds since 1970.
    pub utc: i64,
    /// For muxers.
    pub instant: Instant,
}

/// How files are made.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// What they are in.
    pub container: Container,
    /// Their length; `None` for one that ends with its source.
    pub every: Option<Duration>,
    /// How much media is written at a time.
    pub part: Duration,
    /// Each run of the source has files of its own.
    pub is_session: bool,
}

/// What is to be done with files, which are numbered.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// A file begins.
    Begin(Begin),
    /// A part of it is there.
    Write {
        /// Which file.
        file: u64,
        /// To be appended.
        bytes: Vec<u8>,
        /// The time of its end, in microseconds since 1970.
        to: i64,
    },
    /// A file ends.
    End(End),
    /// A cut is due: a keyframe would let it be now.
    WantKeyframe,
}

/// A file begins.
#[derive(Debug, PartialEq, Eq)]
pub struct Begin {
    /// Which file.
    pub file: u64,
    /// When its first frame was captured, in microseconds since 1970.
    pub from: i64,
    /// Its begin on the timeline of the stream, in nanoseconds.
    pub media: i64,
    /// Its codecs.
    pub codecs: String,
    /// Its first bytes.
    pub header: Vec<u8>,
}

/// A file ends.
#[derive(Debug, PartialEq, Eq)]
pub struct End {
    /// Which file.
    pub file: u64,
    /// To be appended.
    pub tail: Vec<u8>,
    /// To be overwritten when all else is on the disk.
    pub patch: Option<(u64, Vec<u8>)>,
    /// See [`Action::Write`].
    pub to: i64,
    /// Why.
    pub reason: &'static str,
}

/// Records one stream.
#[derive(Debug)]
pub struct Recorder {
    settings: Settings,
    tracks: Vec<TrackInfo>,
    lead: Option<TrackId>,
    current: Option<OpenFile>,
    /// The file before, while other tracks are behind the cut.
    closing: Option<Closing>,
    /// Samples of other tracks that are ahead of the lead track.
    held: VecDeque<Sample>,
    /// Decoding time of the newest sample of the lead track.
    newest: Option<Time>,
    /// When the newest sample came.
    seen: Duration,
    next: u64,
    /// When a keyframe was asked for.
    asked: Option<Duration>,
}

#[derive(Debug)]
struct OpenFile {
    id: u64,
    muxer: FileMuxer,
    /// What times count from.
    base: Time,
    /// In microseconds since 1970.
    from: i64,
    /// The end of the newest sample of the lead track.
    end: Time,
    /// The begin of the part that is not written yet.
    part: Time,
    part_began: Duration,
    /// When it is to end, on the monotonic clock.
    boundary: Option<Duration>,
}

#[derive(Debug)]
struct Closing {
    file: OpenFile,
    /// The next file begins here.
    cut: Time,
    /// Tracks that have not come so far.
    behind: Vec<TrackId>,
}

impl Recorder {
    /// Nothing is recorded yet. Files are numbered from `first` on.
    pub fn new(settings: Settings, first: u64) -> Self {
        Self {
            settings,
            tracks: Vec::new(),
            lead: None,
            current: None,
            closing: None,
            held: VecDeque::new(),
            newest: None,
            seen: Duration::ZERO,
            next: first,
            asked: None,
        }
    }

    /// The number of the next file.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The tracks of the samples that follow. Others begin another file.
    pub fn tracks(&mut self, tracks: Vec<TrackInfo>, out: &mut Vec<Action>) {
        if self.tracks != tracks {
            self.stop("tracks changed", out);
            self.lead = lead(&tracks).map(|track| track.id);
            self.tracks = tracks;
        }
    }

    /// Another run of the source begins.
    pub fn restarted(&mut self, out: &mut Vec<Action>) {
        if self.settings.is_session {
            self.stop("session ended", out);
        }
    }

    /// The next sample, which came `now`.
    pub fn sample(&mut self, sample: Sample, now: Now, out: &mut Vec<Action>) {
        self.seen = now.monotonic;
        if Some(sample.track) == self.lead {
            self.lead_sample(&sample, now, out);
        } else {
            self.other_sample(sample, now, out);
        }
    }

    fn lead_sample(&mut self, sample: &Sample, now: Now, out: &mut Vec<Action>) {
        let jumps = self.newest.is_some_and(|newest| !(0..=JUMP).contains(&sample.dts.since(newest)));
        if jumps && self.current.is_some() {
            self.stop("time jumped", out);
        }
        let is_over = |file: &OpenFile| file.boundary.is_some_and(|end| now.monotonic >= end) || file.muxer.is_full();
        let is_due = self.current.as_ref().is_some_and(is_over);
        if sample.is_sync && (self.current.is_none() || is_due) {
            self.cut(sample, now, out);
        } else if is_due {
            self.ask(now, out);
        }
        self.newest = Some(sample.dts);
        let length = sample.duration.and_then(|length| i64::try_from(length.as_nanos()).ok()).unwrap_or(0);
        if let Some(file) = &mut self.current {
            // A sample ends where the next one begins, and the last one lasts as long as the one before.
            let step = sample.dts.since(file.end).max(0);
            file.push(sample, now.instant);
            file.end = sample.dts.shifted(if length > 0 { length } else { step.min(1_000_000_000) });
        }
        self.release(now);
        if self.closing.as_ref().is_some_and(|closing| sample.dts.since(closing.cut) > LATE) {
            self.close("cut", out);
        }
        if let Some(file) = &mut self.current {
            let is_long = sample.dts.since(file.part) >= self.settings.part.as_nanos() as i64;
            if is_long || file.muxer.waiting() >= MAX_PART {
                file.write(sample.dts, now, out);
            }
        }
    }

    fn other_sample(&mut self, sample: Sample, now: Now, out: &mut Vec<Action>) {
        if let Some(closing) = &mut self.closing {
            if sample.dts < closing.cut {
                closing.file.push(&sample, now.instant);
                return;
            }
            closing.behind.retain(|track| *track != sample.track);
            if closing.behind.is_empty() {
                self.close("cut", out);
            }
        }
        if !self.tracks.iter().any(|track| track.id == sample.track) {
            return;
        }
        self.held.push_back(sample);
        self.release(now);
        while self.held.len() > MAX_HELD {
            self.release_one(now);
        }
    }

    /// Samples that are not ahead of the lead track any more go into the file.
    fn release(&mut self, now: Now) {
        let Some(newest) = self.newest else { return };
        while self.held.front().is_some_and(|sample| sample.dts <= newest) {
            self.release_one(now);
        }
    }

    fn release_one(&mut self, now: Now) {
        if let Some(sample) = self.held.pop_front()
            && let Some(file) = &mut self.current
        {
            file.push(&sample, now.instant);
        }
    }

    /// A file begins with this sample, and the one before ends.
    fn cut(&mut self, sample: &Sample, now: Now, out: &mut Vec<Action>) {
        self.asked = None;
        let cut = sample.pts;
        // Both would wait for the same tracks.
        self.close("cut", out);
        let (before, after): (VecDeque<_>, _) =
            std::mem::take(&mut self.held).into_iter().partition(|held| held.dts < cut);
        self.held = after;
        if let Some(mut file) = self.current.take() {
            before.iter().for_each(|sample| file.push(sample, now.instant));
            file.end = file.end.max(sample.dts);
            let others = self.tracks.iter().map(|track| track.id).filter(|id| Some(*id) != self.lead);
            let passed = |id: &TrackId| self.held.iter().any(|held| held.track == *id);
            let behind: Vec<_> = others.filter(|id| !passed(id)).collect();
            self.closing = Some(Closing { file, cut, behind });
            if self.closing.as_ref().is_some_and(|closing| closing.behind.is_empty()) {
                self.close("cut", out);
            }
        }
        let age = sample.captured.or(sample.entered).map_or(Duration::ZERO, |at| now.monotonic.saturating_sub(at));
        let from = now.utc.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(0));
        let created = u64::try_from(from / 1_000_000).unwrap_or(0);
        let Some((muxer, header)) = FileMuxer::new(self.settings.container, &self.tracks, created) else { return };
        let boundary = self.settings.every.map(|every| {
            let next = next_boundary(now.utc, i64::try_from(every.as_micros()).unwrap_or(i64::MAX));
            now.monotonic + Duration::from_micros(next.saturating_sub(now.utc).unsigned_abs())
        });
        let file = self.next;
        self.next += 1;
        let codecs = codec_strings(&self.tracks).unwrap_or_default();
        out.push(Action::Begin(Begin { file, from, media: sample.dts.nanos(), codecs, header }));
        self.current = Some(OpenFile {
            id: file,
            muxer,
            base: sample.dts,
            from,
            end: sample.dts,
            part: sample.dts,
            part_began: now.monotonic,
            boundary,
        });
    }

    /// The file before has all its samples.
    fn close(&mut self, reason: &'static str, out: &mut Vec<Action>) {
        if let Some(closing) = self.closing.take() {
            closing.file.finish(reason, out);
        }
    }

    fn ask(&mut self, now: Now, out: &mut Vec<Action>) {
        if self.asked.is_none_or(|asked| now.monotonic.saturating_sub(asked) >= ASK_AGAIN) {
            self.asked = Some(now.monotonic);
            out.push(Action::WantKeyframe);
        }
    }

    /// Time passes. To be called several times a second.
    pub fn tick(&mut self, now: Now, out: &mut Vec<Action>) {
        if (self.current.is_some() || self.closing.is_some()) && now.monotonic.saturating_sub(self.seen) >= IDLE {
            self.stop("source ended", out);
        }
        let Some(file) = &mut self.current else { return };
        // A source that is slow still costs no more than a part.
        if now.monotonic.saturating_sub(file.part_began) >= self.settings.part * 2 {
            file.write(file.end, now, out);
        }
        if file.boundary.is_some_and(|end| now.monotonic >= end) {
            self.ask(now, out);
        }
    }

    /// How long until a cut is due, for a timer.
    pub fn due(&self, now: Now) -> Option<Duration> {
        let boundary = self.current.as_ref()?.boundary?;
        Some(boundary.saturating_sub(now.monotonic)).filter(|due| !due.is_zero())
    }

    /// All files end. What follows begins with a keyframe.
    pub fn stop(&mut self, reason: &'static str, out: &mut Vec<Action>) {
        self.close("cut", out);
        if let Some(mut file) = self.current.take() {
            let instant = Instant::now();
            self.held.drain(..).for_each(|sample| file.push(&sample, instant));
            file.finish(reason, out);
        }
        self.held.clear();
        self.newest = None;
        self.asked = None;
    }

    /// What was to be written of a file cannot be: nothing more comes of it. Returns whether it was open.
    pub fn abandon(&mut self, file: u64) -> bool {
        let is_current = self.current.take_if(|open| open.id == file).is_some();
        let is_closing = self.closing.take_if(|closing| closing.file.id == file).is_some();
        is_current || is_closing
    }

    /// Whether a file is open.
    pub fn is_recording(&self) -> bool {
        self.current.is_some()
    }
}

impl OpenFile {
    fn push(&mut self, sample: &Sample, now: Instant) {
        let base = self.base.nanos();
        let sample = Sample {
            dts: sample.dts.shifted(-base).max(Time::ZERO),
            pts: sample.pts.shifted(-base).max(Time::ZERO),
            ..sample.clone()
        };
        self.muxer.push(&sample, now);
    }

    /// When the newest sample ends, in microseconds since 1970.
    fn to(&self) -> i64 {
        self.from.saturating_add(self.end.since(self.base) / 1000)
    }

    fn write(&mut self, until: Time, now: Now, out: &mut Vec<Action>) {
        (self.part, self.part_began) = (until, now.monotonic);
        let bytes = self.muxer.take();
        if !bytes.is_empty() {
            out.push(Action::Write { file: self.id, bytes, to: self.to() });
        }
    }

    fn finish(self, reason: &'static str, out: &mut Vec<Action>) {
        let (file, to) = (self.id, self.to());
        let (tail, patch) = self.muxer.finish();
        out.push(Action::End(End { file, tail, patch, to, reason }));
    }
}

#[cfg(test)]
mod tests;
