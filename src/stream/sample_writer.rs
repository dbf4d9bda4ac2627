//! Where samples enter a rendition: whatever the origin and the run, its outputs get one unbroken timeline.

use super::{FanOut, packager::Packager, writer::Origin};
use crate::media::{Container, MediaKind, NotCarried, Sample, Time, TrackId, TrackInfo, TrackSet};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long the first samples wait for tracks whose parameters have not come.
const TRACK_WAIT: Duration = Duration::from_secs(2);
/// Most samples that wait: audio and video of two seconds, and many more of tracks that come from a file.
const MAX_WAITING: usize = 1024;
/// Most bytes of a GOP that is kept for outputs that are attached later.
const GOP_BYTES: usize = 32 << 20;
/// Most samples of a GOP that is kept: ten seconds at 60 frames a second, with audio.
const GOP_SAMPLES: usize = 4096;
/// A step back of audio, in nanoseconds, that is an error of rounding: of the milliseconds of a container.
const ROUNDING: i64 = 2_000_000;
/// How far audio may begin before the end of what was before, in nanoseconds. More is a clock that jumped.
const OVERLAP: i64 = 1_000_000_000;
/// Bits of a track number that are the source's own.
const SOURCE_TRACK_BITS: u32 = 4;
/// Most sources of a rendition: what the other bits of a track number can tell apart.
pub(super) const MAX_SOURCES: usize = 16;

/// Some of the sources of a rendition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SourceSet(u16);

impl SourceSet {
    /// Those with these numbers; numbers that no source has are left out.
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
}

/// One container of the rendition.
#[derive(Debug)]
struct Output {
    packager: Packager,
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
    /// When its run began. Until it is complete, or for [`TRACK_WAIT`], tracks of the run before are taken to come again.
    began: Option<Instant>,
    before: Option<TrackSet>,
}

impl Source {
    /// Its tracks, with those of the run before that may come again.
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
        self.outputs.push(Output { packager, sources, waits_since: Some(now) });
        match self.offer(now) {
            Err(Refused(mut refused)) => refused.pop().map_or(Ok(()), Err),
            Ok(()) => Ok(()),
        }
    }

    /// Ends an output.
    pub(super) fn detach(&mut self, fanout: &FanOut) {
        self.outputs.retain(|output| !output.packager.fanout().is_same(fanout));
    }

    /// A run of a source begins.
    pub(super) fn begin(&mut self, origin: Origin, source: usize, now: Instant) {
        if let Some(source) = self.source(origin, source) {
            source.is_running = true;
            source.is_complete = false;
            source.began = Some(now);
            source.before = source.tracks.take().or(source.before.take());
        }
        let leads = self.leads(source);
        if self.shown == origin && leads {
            self.interrupt();
        }
    }

    /// Nobody uses the rendition any more: nothing of it is kept.
    pub(super) fn clear(&mut self, now: Instant) {
        self.sources = Default::default();
        self.shown = Origin::Source;
        self.tracks = None;
        self.start = StartBuffer::default();
        self.gop = Gop::default();
        self.timeline = Timeline::default();
        self.interrupted = false;
        for output in &mut self.outputs {
            output.packager.clear();
            output.waits_since.get_or_insert(now);
        }
    }

    /// Nobody uses one of the sources any more. Nothing is kept when no other one runs.
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
        slot.tracks = Some(own);
        slot.is_complete = is_complete;
        if is_complete {
            slot.before = None;
        }
        if self.shown != origin {
            return Ok(());
        }
        self.start.since.get_or_insert(now);
        match self.tracks {
            Some(_) => self.publish(now),
            None => self.try_start(now),
        }
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
        if self.tracks.is_some() {
            let result = self.give_up_waiting(origin, source, now);
            self.write(sample, now);
            return result;
        }
        self.start.waiting.push(sample);
        self.try_start(now)
    }

    /// Whether the other origin takes over with this sample: the placeholder at once, the source with a sample that readers can begin
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
            self.outputs.iter().for_each(|output| output.packager.fanout().want_keyframe());
        }
        leads && sample.is_sync
    }

    /// What is written next does not continue what was written last.
    fn interrupt(&mut self) {
        self.interrupted = true;
        self.gop.clear();
        self.timeline.restart();
        self.outputs.iter().for_each(|output| output.packager.fanout().forget_joins());
    }

    fn source(&mut self, origin: Origin, source: usize) -> Option<&mut Source> {
        self.sources.get_mut(index(origin))?.get_mut(source)
    }

    /// Tracks of the run before that have not come again are gone, and outputs begin without what they have waited for.
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
            output.packager.outdate();
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
            refused.extend(output.packager.tracks(&output.sources.view(set)).err());
            if is_new {
                self.gop.samples.iter().for_each(|sample| output.packager.push(sample, now));
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
            output.packager.push(&sample, now);
        }
    }
}

/// The source that a track of the rendition is of.
fn source_of(track: TrackId) -> usize {
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

/// The samples since the newest keyframe, if they are all there.
#[derive(Debug, Default)]
struct Gop {
    samples: VecDeque<Sample>,
    bytes: usize,
}

impl Gop {
    /// How much audio without video is kept.
    const AUDIO: Duration = Duration::from_millis(500);

    fn push(&mut self, sample: &Sample, begins: bool) {
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
    fn is_stale(&self, sample: &Sample) -> bool {
        self.samples.front().is_none_or(|first| sample.dts.since(first.dts) > Self::AUDIO.as_nanos() as i64)
    }

    fn clear(&mut self) {
        self.samples.clear();
        self.bytes = 0;
    }
}

/// Keeps decoding times growing over runs of the sources.
#[derive(Debug, Default)]
struct Timeline {
    /// For each track: the newest decoding time that was written.
    newest: Vec<(TrackId, Time)>,
    /// Added to the times of the present runs.
    shift: i64,
    /// The next sample may begin before the last one of an earlier run.
    restarted: bool,
}

impl Timeline {
    fn restart(&mut self) {
        self.restarted = true;
    }

    /// Moves a sample after the last one of its track. All tracks move by the same, so that they stay together. `false` for audio of a
    /// time that has been written: it is left out.
    fn place(&mut self, sample: &mut Sample, frame: Option<Duration>, is_video: bool) -> bool {
        if std::mem::take(&mut self.restarted) {
            self.shift = 0;
            // Other tracks may begin a little earlier than this one.
            let newest = self.newest.iter().map(|(_, newest)| *newest).max();
            let behind = newest.map_or(0, |newest| newest.since(sample.dts));
            if behind >= 0 && newest.is_some() {
                self.shift = behind + frame.map_or(20_000_000, |frame| frame.as_nanos() as i64);
            }
        }
        sample.dts = sample.dts.shifted(self.shift);
        sample.pts = sample.pts.shifted(self.shift);
        match self.newest.iter_mut().find(|(track, _)| *track == sample.track) {
            Some((_, newest)) => {
                let back = newest.since(sample.dts);
                if !is_video && back > ROUNDING && back < OVERLAP {
                    return false;
                }
                if back >= 0 && !sample.discontinuity {
                    let dts = newest.shifted(1_000_000);
                    sample.pts = sample.pts.max(dts);
                    sample.dts = dts;
                }
                *newest = sample.dts;
            }
            None => self.newest.push((sample.track, sample.dts)),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        media::{
            codec::{CodecParameters, aac, mpeg_audio, pcm},
            track::{AudioShape, Shape, VideoShape},
        },
        stream::{Delivery, Entry, Join, Reader},
    };

    const VIDEO: TrackId = TrackId(0);
    const AUDIO: TrackId = TrackId(1);
    const ALL: Entry = Entry { join: Join::Live, header: false };

    fn video(codec: CodecParameters) -> TrackInfo {
        let shape = VideoShape { width: 320, height: 240, pixel_aspect: (1, 1), frame_rate: Some((25, 1)) };
        TrackInfo { id: VIDEO, codec, shape: Shape::Video(shape) }
    }

    fn audio() -> TrackInfo {
        let codec = CodecParameters::Aac(aac::Parameters { config: vec![0x11, 0x90].into() });
        TrackInfo { id: AUDIO, codec, shape: Shape::Audio(AudioShape { rate: 48_000, channels: 2 }) }
    }

    fn both() -> TrackSet {
        TrackSet::new(vec![video(CodecParameters::Mpeg2Video), audio()])
    }

    fn sample(track: TrackId, millis: i64, is_sync: bool) -> Sample {
        Sample {
            track,
            dts: Time::from_millis(millis),
            pts: Time::from_millis(millis),
            duration: None,
            is_sync,
            discontinuity: false,
            captured: None,
            entered: None,
            data: vec![7; 100].into(),
        }
    }

    const MAIN: SourceSet = SourceSet(1);

    struct Rig {
        writer: SampleWriter,
        fanout: FanOut,
        reader: Reader,
        now: Instant,
    }

    impl Rig {
        /// A writer with an output, whose source has begun.
        fn new(container: Container) -> Self {
            let (mut writer, fanout, now) = (SampleWriter::new(), FanOut::new(), Instant::now());
            writer.attach(container, MAIN, fanout.clone(), now).unwrap();
            writer.begin(Origin::Source, 0, now);
            Self { writer, reader: fanout.subscribe(ALL), fanout, now }
        }

        fn tracks(&mut self, set: &TrackSet, is_complete: bool) -> Result<(), Refused> {
            self.writer.tracks(Origin::Source, 0, set, is_complete, self.now)
        }

        fn push(&mut self, origin: Origin, track: TrackId, millis: i64, is_sync: bool) {
            self.writer.sample(origin, 0, sample(track, millis, is_sync), self.now).unwrap();
        }

        /// What the reader gets: `J` a join point, `d` another packet, `|` the end.
        fn read(&mut self) -> String {
            let mut read = String::new();
            while let Some(delivery) = self.reader.try_next() {
                read.push(match delivery {
                    Delivery::Packet(packet) if packet.kind == crate::media::Kind::Keyframe => 'J',
                    Delivery::Packet(_) => 'd',
                    Delivery::Aside(_) => 'a',
                    Delivery::Gap(_) => 'g',
                    Delivery::End => {
                        self.reader = self.fanout.subscribe(ALL);
                        '|'
                    }
                });
            }
            read
        }
    }

    #[test]
    fn samples_wait_for_all_tracks_but_not_for_long() {
        let mut rig = Rig::new(Container::Ts);
        rig.tracks(&TrackSet::new(vec![audio()]), false).unwrap();
        rig.push(Origin::Source, AUDIO, 0, true);
        assert_eq!(rig.read(), "");
        rig.tracks(&both(), true).unwrap();
        rig.push(Origin::Source, VIDEO, 0, true);
        assert_eq!(rig.read(), "dJ");
        // A track that never comes.
        let mut rig = Rig::new(Container::Ts);
        rig.tracks(&TrackSet::new(vec![audio()]), false).unwrap();
        rig.push(Origin::Source, AUDIO, 0, true);
        rig.now += TRACK_WAIT;
        rig.push(Origin::Source, AUDIO, 20, true);
        assert_eq!(rig.read().len(), 2);
    }

    #[test]
    fn readers_stay_over_a_run_whose_tracks_come_one_by_one() {
        for container in [Container::Ts, Container::Mp4, Container::Mkv] {
            let mut rig = Rig::new(container);
            rig.tracks(&both(), true).unwrap();
            rig.push(Origin::Source, VIDEO, 0, true);
            rig.push(Origin::Source, AUDIO, 0, true);
            assert_eq!(rig.read(), "Jd", "{container}");
            rig.writer.begin(Origin::Source, 0, rig.now);
            rig.tracks(&TrackSet::new(vec![video(CodecParameters::Mpeg2Video)]), false).unwrap();
            rig.push(Origin::Source, VIDEO, 1000, true);
            rig.tracks(&both(), true).unwrap();
            rig.push(Origin::Source, AUDIO, 1000, true);
            assert_eq!(rig.read().replace('a', ""), "Jd", "{container}");
        }
    }

    #[test]
    fn audio_of_a_time_that_was_written_is_left_out() {
        for (back, expect) in [(1, "dd"), (100, ""), (500, ""), (3000, "dd")] {
            for discontinuity in [false, true] {
                let mut rig = Rig::new(Container::Ts);
                rig.tracks(&both(), true).unwrap();
                rig.push(Origin::Source, VIDEO, 5000, true);
                rig.push(Origin::Source, AUDIO, 5000, true);
                assert_eq!(rig.read(), "Jd");
                let first = Sample { discontinuity, ..sample(AUDIO, 5000 - back, true) };
                rig.writer.sample(Origin::Source, 0, first, rig.now).unwrap();
                rig.push(Origin::Source, AUDIO, 5001 - back, true);
                assert_eq!(rig.read(), expect, "{back} {discontinuity}");
                rig.push(Origin::Source, AUDIO, 5020, true);
                rig.push(Origin::Source, VIDEO, 4990, false);
                assert_eq!(rig.read(), "dd", "{back}: pictures are never left out");
            }
        }
    }

    #[test]
    fn a_track_that_does_not_come_again_is_gone() {
        let mut rig = Rig::new(Container::Mkv);
        rig.tracks(&both(), true).unwrap();
        rig.push(Origin::Source, VIDEO, 0, true);
        rig.writer.begin(Origin::Source, 0, rig.now);
        rig.tracks(&TrackSet::new(vec![video(CodecParameters::Mpeg2Video)]), false).unwrap();
        rig.push(Origin::Source, VIDEO, 1000, true);
        assert_eq!(rig.read(), "JJ");
        rig.now += TRACK_WAIT;
        rig.push(Origin::Source, VIDEO, 2000, true);
        assert_eq!(rig.read(), "J", "a header may have more tracks than there are");
    }

    #[test]
    fn time_goes_on_where_an_earlier_run_ended() {
        let mut rig = Rig::new(Container::Ts);
        rig.tracks(&both(), true).unwrap();
        rig.push(Origin::Source, VIDEO, 5000, true);
        rig.push(Origin::Source, AUDIO, 5010, true);
        rig.writer.begin(Origin::Source, 0, rig.now);
        rig.tracks(&both(), true).unwrap();
        rig.push(Origin::Source, VIDEO, 4000, true);
        rig.push(Origin::Source, AUDIO, 4000, true);
        let newest = |track| rig.writer.timeline.newest.iter().find(|(known, _)| *known == track).unwrap().1.millis();
        assert_eq!((newest(VIDEO), newest(AUDIO)), (5050, 5050));
    }

    #[test]
    fn an_output_that_is_attached_late_begins_with_the_newest_gop() {
        let mut rig = Rig::new(Container::Ts);
        rig.tracks(&both(), true).unwrap();
        for frame in 0..6 {
            rig.push(Origin::Source, VIDEO, frame * 40, frame % 4 == 0);
            rig.push(Origin::Source, AUDIO, frame * 40, true);
        }
        let late = FanOut::new();
        let mut reader = late.subscribe(ALL);
        rig.writer.attach(Container::Mkv, MAIN, late.clone(), rig.now).unwrap();
        let count = std::iter::from_fn(|| reader.try_next()).filter(|next| matches!(next, Delivery::Packet(_))).count();
        assert_eq!(count, 4, "two frames and their audio");
        rig.writer.detach(&late);
        rig.push(Origin::Source, VIDEO, 240, false);
        assert!(reader.try_next().is_none());
    }

    #[test]
    fn a_container_that_cannot_carry_the_tracks_ends_its_readers_alone() {
        let mut rig = Rig::new(Container::Ts);
        let flv = FanOut::new();
        let mut reader = flv.subscribe(ALL);
        rig.writer.attach(Container::Flv, MAIN, flv, rig.now).unwrap();
        rig.tracks(&both(), true).unwrap();
        let refused = rig.writer.sample(Origin::Source, 0, sample(VIDEO, 0, true), rig.now).unwrap_err();
        assert_eq!(refused.0[0].to_string(), "flv cannot carry MPEG-2 video");
        assert!(reader.try_next().is_none());
        assert_eq!(rig.read(), "J");
        // The next set may be one that it can carry.
        let mp3 = CodecParameters::MpegAudio(mpeg_audio::Parameters { layer: 3, is_low_rate: false });
        let mp3 = TrackInfo { codec: mp3, ..audio() };
        rig.tracks(&TrackSet::new(vec![mp3]), true).unwrap();
        rig.push(Origin::Source, AUDIO, 40, true);
        assert!(matches!(reader.try_next(), Some(Delivery::End | Delivery::Packet(_))));
        let pcm = TrackInfo { codec: CodecParameters::Pcm(pcm::Format::S16Le), ..audio() };
        assert_eq!(rig.tracks(&TrackSet::new(vec![pcm]), true).unwrap_err().0.len(), 2);
    }

    #[test]
    fn a_placeholder_is_shown_until_the_source_has_a_join_point() {
        let mut rig = Rig::new(Container::Ts);
        rig.tracks(&both(), true).unwrap();
        rig.push(Origin::Source, VIDEO, 0, true);
        assert_eq!(rig.read(), "J");
        // Left of a run of the placeholder that nobody asked for.
        rig.writer.tracks(Origin::Placeholder, 0, &both(), true, rig.now).unwrap();
        rig.push(Origin::Placeholder, VIDEO, 40, true);
        assert_eq!(rig.read(), "");
        rig.writer.begin(Origin::Placeholder, 0, rig.now);
        rig.writer.tracks(Origin::Placeholder, 0, &both(), true, rig.now).unwrap();
        rig.push(Origin::Placeholder, VIDEO, 80, true);
        assert_eq!(rig.read(), "J");
        rig.push(Origin::Source, VIDEO, 120, false);
        rig.push(Origin::Source, AUDIO, 120, true);
        assert_eq!(rig.read(), "", "the source has no join point yet");
        rig.push(Origin::Source, VIDEO, 160, true);
        rig.push(Origin::Placeholder, VIDEO, 200, true);
        rig.push(Origin::Source, VIDEO, 200, false);
        assert_eq!(rig.read(), "Jd");
    }

    #[test]
    fn a_stream_that_nobody_wanted_for_a_while_is_a_new_one() {
        let mut rig = Rig::new(Container::Ts);
        rig.tracks(&both(), true).unwrap();
        rig.push(Origin::Source, VIDEO, 0, true);
        assert_eq!(rig.read(), "J");
        rig.writer.clear(rig.now);
        rig.push(Origin::Source, VIDEO, 40, true);
        assert_eq!(rig.read(), "|", "samples without tracks are left of an earlier run");
        rig.writer.begin(Origin::Source, 0, rig.now);
        rig.tracks(&both(), true).unwrap();
        rig.push(Origin::Source, VIDEO, 0, true);
        assert_eq!(rig.read(), "J");
    }
}
