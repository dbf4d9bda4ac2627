//! Where samples enter a rendition: whatever the origin and the run, its outputs get one unbroken timeline.

mod timeline;

use self::timeline::Timeline;
use super::{
    FanOut,
    gop::Gop,
    packager::Packager,
    tap::{Queue, Sink, Tap},
    writer::Origin,
};
use crate::media::{Container, FieldPairs, MediaKind, NotCarried, Sample, TrackId, TrackInfo, TrackSet};
use std::time::{Duration, Instant};

/// How long the first samples wait for tracks whose parameters have not come.
const TRACK_WAIT: Duration = Duration::from_secs(2);
/// Most samples that wait: audio and video of two seconds, and many more of tracks that come from a file.
const MAX_WAITING: usize = 1024;
/// How long audio waits after a pause for video, which may not come any more.
const VIDEO_WAIT: Duration = Duration::from_secs(10);
/// Bits of a track number that are the source's own.
const SOURCE_TRACK_BITS: u32 = 4;
/// Most sources of a rendition: what the other bits of a track number can distinguish.
pub(super) const MAX_SOURCES: usize = 16;

/// Some of the sources of a rendition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SourceSet(u16);

impl SourceSet {
    /// Those with these numbers; numbers that no source has are skipped.
    pub(super) fn of(sources: &[usize]) -> Self {
        Self(sources.iter().filter(|source| **source < MAX_SOURCES).fold(0, |set, source| set | 1 << source))
    }

    /// Whether a source is among them.
    pub(super) fn has(self, source: usize) -> bool {
        source < MAX_SOURCES && self.0 >> source & 1 == 1
    }

    /// The tracks of a set that are of these sources.
    fn view(self, set: &TrackSet) -> TrackSet {
        TrackSet::new(set.tracks().iter().filter(|track| self.has(source_of(track.id))).cloned().collect())
    }
}

/// The one writer of a rendition.
#[derive(Debug)]
pub(super) struct SampleWriter {
    /// The encodings that the rendition is made of, and those of its placeholder.
    sources: [[Source; MAX_SOURCES]; 2],
    shown: Origin,
    /// What the outputs have been given.
    tracks: Option<TrackSet>,
    start: StartBuffer,
    gop: Gop,
    outputs: Vec<Output>,
    timeline: Timeline,
    /// The next sample of the lead track does not continue what came before.
    interrupted: bool,
    /// Until all tracks continue after a pause.
    resuming: Option<Resuming>,
}

/// The tracks that continue after a pause.
#[derive(Debug)]
struct Resuming {
    since: Instant,
    tracks: Vec<TrackId>,
    /// Video is among them.
    has_video: bool,
}

/// One container of the rendition, or a reader of its samples.
#[derive(Debug)]
struct Output {
    sink: Sink,
    /// The encodings that it is made of.
    sources: SourceSet,
    /// Since when it waits for the tracks of its sources; `None` once it has them.
    waits_since: Option<Instant>,
}

/// One encoding, as the rendition sees it.
#[derive(Debug, Default)]
struct Source {
    is_running: bool,
    tracks: Option<TrackSet>,
    /// No other tracks are expected.
    is_complete: bool,
    /// When its run began. Until it is complete, or for [`TRACK_WAIT`], tracks of the run before are expected again.
    began: Option<Instant>,
    before: Option<TrackSet>,
    /// Joins the fields of its video track.
    fields: Option<(TrackId, FieldPairs)>,
}

impl Source {
    /// Its tracks, with those of the run before that may return.
    fn tracks(&self) -> impl Iterator<Item = &TrackInfo> {
        let now = self.tracks.as_ref().map(TrackSet::tracks).unwrap_or_default();
        let before = self.before.as_ref().map(TrackSet::tracks).unwrap_or_default();
        now.iter().chain(before.iter().filter(|track| now.iter().all(|known| known.id != track.id)))
    }
}

/// An output cannot carry the tracks that came.
#[derive(Debug)]
pub(super) struct Refused(pub(super) Vec<NotCarried>);

const fn index(origin: Origin) -> usize {
    match origin {
        Origin::Source => 0,
        Origin::Placeholder => 1,
    }
}

impl SampleWriter {
    /// The writer of a rendition that has no output yet.
    pub(super) fn new() -> Self {
        Self {
            sources: Default::default(),
            shown: Origin::Source,
            tracks: None,
            start: StartBuffer::default(),
            gop: Gop::default(),
            outputs: Vec::new(),
            timeline: Timeline::default(),
            interrupted: false,
            resuming: None,
        }
    }

    /// Muxes for this output from now on, from the tracks of these sources. It begins with the newest GOP.
    ///
    /// # Errors
    /// When the tracks that are there cannot be carried. The output gets those that come after.
    pub(super) fn attach(
        &mut self,
        container: Container,
        sources: SourceSet,
        fanout: FanOut,
        now: Instant,
    ) -> Result<(), NotCarried> {
        let Some(packager) = Packager::new(container, fanout) else { return Ok(()) };
        self.add(Sink::Packager(packager), sources, now)
    }

    /// Gives samples to this reader from now on, of the tracks that a container can carry, from these sources. It begins with the
    /// newest GOP.
    ///
    /// # Errors
    /// As [`SampleWriter::attach`].
    pub(super) fn tap(
        &mut self,
        container: Container,
        sources: SourceSet,
        queue: Queue,
        now: Instant,
    ) -> Result<(), NotCarried> {
        self.add(Sink::Tap(Tap::new(container, queue)), sources, now)
    }

    fn add(&mut self, sink: Sink, sources: SourceSet, now: Instant) -> Result<(), NotCarried> {
        self.outputs.push(Output { sink, sources, waits_since: Some(now) });
        match self.offer(now) {
            Err(Refused(mut refused)) => refused.pop().map_or(Ok(()), Err),
            Ok(()) => Ok(()),
        }
    }

    /// Ends an output.
    pub(super) fn detach(&mut self, fanout: &FanOut) {
        self.outputs.retain(|output| !output.sink.is_fanout(fanout));
    }

    /// Ends a reader of samples.
    pub(super) fn untap(&mut self, queue: &Queue) {
        self.outputs.retain(|output| !output.sink.is_queue(queue));
    }

    /// A run of a source begins.
    pub(super) fn begin(&mut self, origin: Origin, source: usize, now: Instant) {
        if let Some(source) = self.source(origin, source) {
            source.is_running = true;
            source.is_complete = false;
            source.began = Some(now);
            source.before = source.tracks.take().or(source.before.take());
            source.fields = None;
        }
        let leads = self.leads(source);
        if self.shown == origin && leads {
            self.interrupt();
        }
    }

    /// The rendition is not used any more: nothing of it is kept.
    pub(super) fn clear(&mut self, now: Instant) {
        self.sources = Default::default();
        self.shown = Origin::Source;
        self.tracks = None;
        self.start = StartBuffer::default();
        self.gop = Gop::default();
        self.timeline = Timeline::default();
        self.interrupted = false;
        self.resuming = None;
        for output in &mut self.outputs {
            output.sink.clear();
            output.waits_since.get_or_insert(now);
        }
    }

    /// Viewers get nothing from now on: no sample is written until [`SampleWriter::resume`], and none of before is given to those
    /// who come later.
    pub(super) fn pause(&mut self) {
        let fields = self.sources.iter_mut().flatten().filter_map(|source| source.fields.as_mut());
        fields.for_each(|(_, fields)| drop(fields.flush()));
        self.start.waiting.clear();
        self.resuming = None;
        self.part();
    }

    /// What comes is written again, from a keyframe on. Its times are those of the source: the pause is a gap.
    pub(super) fn resume(&mut self, now: Instant) {
        self.resuming = Some(Resuming { since: now, tracks: Vec::new(), has_video: false });
    }

    /// One of the sources is not used any more. Nothing is kept when no other one runs.
    pub(super) fn clear_source(&mut self, source: usize, now: Instant) {
        for sources in &mut self.sources {
            if let Some(source) = sources.get_mut(source) {
                *source = Source::default();
            }
        }
        if !self.sources.iter().flatten().any(|source| source.is_running) {
            self.clear(now);
        }
    }

    /// The tracks of a source from now on. `is_complete`: no others are expected.
    pub(super) fn tracks(
        &mut self,
        origin: Origin,
        source: usize,
        set: &TrackSet,
        is_complete: bool,
        now: Instant,
    ) -> Result<(), Refused> {
        let own = renumbered(source, set);
        let Some(slot) = self.source(origin, source) else { return Ok(()) };
        let is_same = slot.tracks.as_ref().and_then(TrackSet::lead) == own.lead();
        let held = slot.fields.as_mut().filter(|_| !is_same).and_then(|(_, fields)| fields.flush());
        let refused = held.map_or(Ok(()), |sample| self.whole_sample(origin, source, sample, now));
        let Some(slot) = self.source(origin, source) else { return Ok(()) };
        if !is_same {
            slot.fields = own.lead().and_then(|lead| Some((lead.id, FieldPairs::of(&lead.codec)?)));
        }
        slot.tracks = Some(own);
        slot.is_complete = is_complete;
        if is_complete {
            slot.before = None;
        }
        if self.shown != origin {
            return refused;
        }
        self.start.since.get_or_insert(now);
        let result = match self.tracks {
            Some(_) => self.publish(now),
            None => self.try_start(now),
        };
        refused.and(result)
    }

    /// The next sample of a source.
    pub(super) fn sample(
        &mut self,
        origin: Origin,
        source: usize,
        mut sample: Sample,
        now: Instant,
    ) -> Result<(), Refused> {
        sample.track = renumber(source, sample.track);
        let fields = self.source(origin, source).and_then(|slot| slot.fields.as_mut());
        let Some((_, fields)) = fields.filter(|(track, _)| *track == sample.track) else {
            return self.whole_sample(origin, source, sample, now);
        };
        let mut whole = Vec::new();
        fields.push(sample, |sample| whole.push(sample));
        whole.into_iter().try_for_each(|sample| self.whole_sample(origin, source, sample, now))
    }

    fn whole_sample(&mut self, origin: Origin, source: usize, mut sample: Sample, now: Instant) -> Result<(), Refused> {
        let slot = self.source(origin, source);
        let Some(track) = slot.and_then(|slot| slot.tracks.as_ref()?.get(sample.track)) else { return Ok(()) };
        let kind = track.kind();
        if self.shown != origin {
            if !self.may_switch(origin, kind, &sample) {
                return Ok(());
            }
            self.shown = origin;
            self.tracks = None;
            self.start = StartBuffer { since: Some(now), ..StartBuffer::default() };
            self.interrupt();
        }
        if origin == Origin::Source {
            // The source is there: its placeholder has to begin again to be seen.
            let [_, of_placeholder] = &mut self.sources;
            of_placeholder.iter_mut().for_each(|source| source.is_running = false);
        }
        if self.resuming.is_some() && !self.continues(kind, &mut sample, now) {
            return Ok(());
        }
        if self.tracks.is_some() {
            let result = self.give_up_waiting(origin, source, now);
            self.write(sample, now);
            return result;
        }
        self.start.waiting.push(sample);
        self.try_start(now)
    }

    /// Whether the other origin takes over with this sample: the placeholder immediately, the source with a sample that readers can begin
    /// with.
    fn may_switch(&mut self, origin: Origin, kind: MediaKind, sample: &Sample) -> bool {
        if origin == Origin::Placeholder {
            let [_, of_placeholder] = &self.sources;
            return of_placeholder.iter().any(|source| source.is_running);
        }
        let [own, _] = &self.sources;
        let has_video = own.iter().filter_map(|source| source.tracks.as_ref());
        let has_video = has_video.flat_map(TrackSet::tracks).any(|track| track.kind() == MediaKind::Video);
        let leads = (kind == MediaKind::Video) == has_video;
        if leads && !sample.is_sync {
            let packagers = self.outputs.iter().filter_map(|output| match &output.sink {
                Sink::Packager(packager) => Some(packager),
                Sink::Tap(_) => None,
            });
            packagers.for_each(|packager| packager.fanout().want_keyframe());
        }
        leads && sample.is_sync
    }

    /// Whether a sample is written after a pause: each track of video continues with a keyframe, audio with the first of these.
    fn continues(&mut self, kind: MediaKind, sample: &mut Sample, now: Instant) -> bool {
        let tracks = || self.shown().iter().filter_map(|source| source.tracks.as_ref()).flat_map(TrackSet::tracks);
        let awaits_video = tracks().any(|track| track.kind() == MediaKind::Video);
        let all: Vec<TrackId> = tracks().map(|track| track.id).collect();
        let Some(resuming) = &mut self.resuming else { return true };
        if resuming.tracks.contains(&sample.track) {
            return true;
        }
        let is_late = now.saturating_duration_since(resuming.since) >= VIDEO_WAIT;
        let continues = match kind {
            MediaKind::Video => sample.is_sync,
            MediaKind::Audio => !awaits_video || resuming.has_video || is_late,
        };
        if continues {
            resuming.tracks.push(sample.track);
            resuming.has_video |= kind == MediaKind::Video;
            sample.discontinuity |= kind == MediaKind::Video;
            if all.iter().all(|track| resuming.tracks.contains(track)) {
                self.resuming = None;
            }
        }
        continues
    }

    /// What is written next does not continue what was written last, and its times may be any.
    fn interrupt(&mut self) {
        self.part();
        self.timeline.restart();
    }

    /// What is written next does not continue what was written last.
    fn part(&mut self) {
        self.interrupted = true;
        self.gop.clear();
        self.outputs.iter().for_each(|output| output.sink.interrupt());
    }

    fn source(&mut self, origin: Origin, source: usize) -> Option<&mut Source> {
        self.sources.get_mut(index(origin))?.get_mut(source)
    }

    /// Tracks of the run before that have not returned are gone, and outputs begin without what they have waited for.
    fn give_up_waiting(&mut self, origin: Origin, source: usize, now: Instant) -> Result<(), Refused> {
        let Some(slot) = self.source(origin, source) else { return Ok(()) };
        let is_late = slot.began.is_some_and(|began| now.saturating_duration_since(began) >= TRACK_WAIT);
        if is_late && slot.before.take().is_some() {
            return self.publish(now);
        }
        let waits_too_long = |output: &Output| {
            output.waits_since.is_some_and(|since| now.saturating_duration_since(since) >= TRACK_WAIT)
        };
        if self.outputs.iter().any(waits_too_long) { self.offer(now) } else { Ok(()) }
    }

    /// Whether readers begin with samples of this source.
    fn leads(&self, source: usize) -> bool {
        let lead = self.tracks.as_ref().and_then(TrackSet::lead);
        lead.is_none_or(|lead| source_of(lead.id) == source)
    }

    /// The sources of the origin that is shown.
    fn shown(&self) -> &[Source] {
        let [own, of_placeholder] = &self.sources;
        match self.shown {
            Origin::Source => own,
            Origin::Placeholder => of_placeholder,
        }
    }

    /// Whether all tracks of these sources are known.
    fn is_known(&self, sources: SourceSet) -> bool {
        self.shown().iter().enumerate().all(|(number, source)| source.is_complete || !sources.has(number))
    }

    /// Begins when all tracks of an output are known, or have been waited for long enough.
    fn try_start(&mut self, now: Instant) -> Result<(), Refused> {
        let is_known = match self.outputs.as_slice() {
            [] => self.shown().iter().all(|source| source.is_complete || !source.is_running),
            outputs => outputs.iter().any(|output| self.is_known(output.sources)),
        };
        let is_late = self.start.since.is_some_and(|since| now.saturating_duration_since(since) >= TRACK_WAIT);
        if self.start.waiting.is_empty() || !(is_known || is_late || self.start.waiting.len() >= MAX_WAITING) {
            return Ok(());
        }
        // Outputs that have a track have waited as long as these samples; the others begin to wait now.
        let has_track = |sources: SourceSet| {
            self.shown().iter().enumerate().any(|(number, source)| sources.has(number) && source.tracks.is_some())
        };
        let begins: Vec<bool> = self.outputs.iter().map(|output| !is_known && has_track(output.sources)).collect();
        for (output, begins) in self.outputs.iter_mut().zip(begins) {
            output.waits_since = (!begins).then_some(now);
        }
        let result = self.publish(now);
        for sample in std::mem::take(&mut self.start.waiting) {
            self.write(sample, now);
        }
        result
    }

    /// The tracks that these sources have of an origin, and whether they have no others; `None` before the main one has any.
    pub(super) fn known(&self, origin: Origin, of: SourceSet) -> Option<(TrackSet, bool)> {
        let sources = self.sources.get(index(origin))?;
        sources.first()?.tracks.as_ref()?;
        let of = || sources.iter().enumerate().filter(|(number, _)| of.has(*number)).map(|(_, source)| source);
        let tracks = of().filter_map(|source| source.tracks.as_ref()).flat_map(TrackSet::tracks);
        Some((TrackSet::new(tracks.cloned().collect()), of().all(|source| source.is_complete)))
    }

    /// The tracks of all sources are those of the rendition from now on.
    fn publish(&mut self, now: Instant) -> Result<(), Refused> {
        let mut tracks: Vec<TrackInfo> = self.shown().iter().flat_map(Source::tracks).cloned().collect();
        tracks.sort_by_key(|track| track.id);
        let set = TrackSet::new(tracks);
        if self.tracks.as_ref() == Some(&set) {
            return self.offer(now);
        }
        self.tracks = Some(set);
        for output in &mut self.outputs {
            output.sink.outdate();
        }
        self.offer(now)
    }

    /// Gives each output the tracks of its sources, when they are known or have been waited for long enough. An output that had
    /// none begins with the newest GOP.
    fn offer(&mut self, now: Instant) -> Result<(), Refused> {
        let Some(set) = &self.tracks else { return Ok(()) };
        let has_time = |since: Instant| now.saturating_duration_since(since) < TRACK_WAIT;
        let known: Vec<bool> = self.outputs.iter().map(|output| self.is_known(output.sources)).collect();
        let mut refused = Vec::new();
        for (output, is_known) in self.outputs.iter_mut().zip(known) {
            if !is_known && output.waits_since.is_some_and(has_time) {
                continue;
            }
            let is_new = output.waits_since.take().is_some();
            refused.extend(output.sink.tracks(&output.sources.view(set)).err());
            if is_new {
                self.gop.samples().for_each(|sample| output.sink.push(sample, now));
            }
        }
        if refused.is_empty() { Ok(()) } else { Err(Refused(refused)) }
    }

    fn write(&mut self, mut sample: Sample, now: Instant) {
        let Some(tracks) = &self.tracks else { return };
        let leads = tracks.lead().is_some_and(|lead| lead.id == sample.track);
        let is_video = tracks.get(sample.track).is_some_and(|track| track.kind() == MediaKind::Video);
        let rate = tracks.get(sample.track).and_then(frame_duration);
        if !self.timeline.place(&mut sample, rate, is_video) {
            return;
        }
        if leads && std::mem::take(&mut self.interrupted) {
            sample.discontinuity = true;
        }
        self.gop.push(&sample, leads && sample.is_sync && (is_video || self.gop.is_stale(&sample)));
        for output in self.outputs.iter_mut().filter(|output| output.waits_since.is_none()) {
            output.sink.push(&sample, now);
        }
    }
}

/// The source that a track of the rendition is of.
pub fn source_of(track: TrackId) -> usize {
    usize::from(track.0 >> SOURCE_TRACK_BITS)
}

/// How long a frame of a track lasts, if its source says so.
fn frame_duration(track: &TrackInfo) -> Option<Duration> {
    let (frames, seconds) = track.video()?.frame_rate.filter(|(frames, _)| *frames > 0)?;
    Some(Duration::from_secs(seconds.into()) / frames)
}

/// The number that a track of a source has in the rendition.
fn renumber(source: usize, id: TrackId) -> TrackId {
    TrackId((source as u8) << SOURCE_TRACK_BITS | id.0 & ((1 << SOURCE_TRACK_BITS) - 1))
}

fn renumbered(source: usize, set: &TrackSet) -> TrackSet {
    let tracks = set.tracks().iter().map(|track| TrackInfo { id: renumber(source, track.id), ..track.clone() });
    TrackSet::new(tracks.collect())
}

/// The first samples, while tracks are missing.
#[derive(Debug, Default)]
struct StartBuffer {
    /// When the first tracks came.
    since: Option<Instant>,
    waiting: Vec<Sample>,
}

#[cfg(test)]
mod tests;
