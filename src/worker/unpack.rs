//! Feeds whose bytes our own demuxers read: each track goes into an appsrc of the feed's pipeline, and comes out at the place
//! where tracks of any pipeline do. What our demuxers do not know goes through `parsebin`.

use super::{
    branches::{Branches, Pace, byte_source},
    event::{BusEvent, Event},
    track_caps,
};
use crate::{
    ipc::{Item, LogLevel},
    media::{
        MediaKind, Sample, Time, TrackInfo, TrackSet,
        codec::CodecParameters,
        demux::Demuxed,
        unpack::{Cadence, Smoother, Unpacker},
    },
};
use bytes::Bytes;
use gst::{glib, prelude::*};
use gstreamer as gst;
use gstreamer_app as gst_app;
use std::{
    fs::File,
    io::Read,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// How far a file is read ahead of its playing time, so that tracks that lie apart in it still come in time.
const READ_AHEAD: gst::ClockTime = gst::ClockTime::from_seconds(3);
/// The same in bytes.
const READ_AHEAD_BYTES: u64 = 64 << 20;
/// Bytes of a file that are read at a time.
const PIECE: usize = 64 << 10;
/// Times of live media count from here: the first samples of other tracks may be older than the very first.
const LEAD: i64 = 3_600_000_000_000;

/// Takes the bytes of one run of a feed apart.
pub(super) struct Unpack {
    branches: Arc<Branches>,
    pipeline: glib::WeakRef<gst::Pipeline>,
    unpacker: Unpacker,
    slots: Vec<Slot>,
    tracks: Option<TrackSet>,
    clock: Smoother,
    /// When it began, and the pace of frames that have no times.
    begun: Instant,
    cadence: Option<Cadence>,
    /// Added to all times, in nanoseconds.
    lead: i64,
    /// Where bytes go that our demuxers do not know.
    foreign: Option<gst_app::AppSrc>,
    unsupported: Vec<String>,
    /// A rate is configured, and what came so far does not show whether there is use for it.
    idle_fps: bool,
    has_failed: bool,
}

/// One place of a track. Tracks of a later program take the place of the earlier ones.
struct Slot {
    kind: MediaKind,
    source: gst_app::AppSrc,
    info: TrackInfo,
}

/// The pipeline takes no more bytes: it has ended, or a track changed so that it has to restart.
pub(super) struct Ended;

impl Unpack {
    pub(super) fn new(branches: Arc<Branches>, pipeline: &gst::Pipeline, fps: Option<(u32, u32)>) -> Self {
        // What is live comes in time: only what its times are to each other counts.
        let lead = if branches.pace == Pace::RealTime { 0 } else { LEAD };
        branches.expect();
        Self {
            branches,
            pipeline: pipeline.downgrade(),
            unpacker: Unpacker::of_rate(fps),
            idle_fps: fps.is_some(),
            slots: Vec::new(),
            tracks: None,
            clock: Smoother::default(),
            begun: Instant::now(),
            cadence: None,
            lead,
            foreign: None,
            unsupported: Vec::new(),
            has_failed: false,
        }
    }

    /// Takes the next bytes. Of a file it waits until there is room for what is in them.
    pub(super) fn push(&mut self, bytes: Bytes) -> Result<(), Ended> {
        if let Some(foreign) = &self.foreign {
            return foreign.push_buffer(gst::Buffer::from_slice(bytes)).map(drop).map_err(|_| Ended);
        }
        let mut found = Vec::new();
        self.unpacker.push(&bytes, &mut found);
        self.notice_rate();
        if let Some(held) = self.unpacker.foreign() {
            return self.parse(held);
        }
        if self.slots.is_empty() && self.unpacker.misses_video() {
            // The tables are repeated.
            return self.parse(bytes);
        }
        self.take(found)
    }

    /// No more bytes will come.
    pub(super) fn finish(&mut self) -> Result<(), Ended> {
        if let Some(foreign) = &self.foreign {
            return foreign.end_of_stream().map(drop).map_err(|_| Ended);
        }
        let mut found = Vec::new();
        self.unpacker.finish(&mut found);
        if let Some(held) = self.unpacker.foreign() {
            self.parse(held)?;
            return self.finish();
        }
        self.take(found)?;
        for slot in &self.slots {
            let _ = slot.source.end_of_stream();
        }
        if self.slots.is_empty() {
            self.branches.settled();
            self.branches.feed.events.send(Event::Bus(self.branches.run, BusEvent::EndOfStream));
        }
        Ok(())
    }

    /// Says so when a rate is configured for what has times of its own.
    fn notice_rate(&mut self) {
        if !self.idle_fps || self.unpacker.is_undecided() {
            return;
        }
        self.idle_fps = false;
        let is_used = match self.branches.pace {
            Pace::RealTime => !self.unpacker.has_times() && !self.unpacker.is_foreign(),
            Pace::Live | Pace::Ask => self.unpacker.is_image(),
        };
        if !is_used {
            say_rate_is_unused(&self.branches);
        }
    }

    /// Whether all that came is one JPEG image.
    pub(super) fn is_one_picture(&self) -> bool {
        self.unpacker.is_image()
    }

    /// Has elements demux these bytes and what follows them.
    fn parse(&mut self, held: Bytes) -> Result<(), Ended> {
        let pipeline = self.pipeline.upgrade().ok_or(Ended)?;
        let source = byte_source();
        if self.branches.pace == Pace::RealTime {
            source.set_is_live(false);
            source.set_block(true);
            source.set_leaky_type(gst_app::AppLeakyType::None);
        }
        let parsed = self.branches.parse(&pipeline, source.upcast_ref());
        self.branches.settled();
        if let Err(error) = parsed {
            self.fail(error.to_string());
            return Err(Ended);
        }
        source.push_buffer(gst::Buffer::from_slice(held)).map_err(|_| Ended)?;
        self.foreign = Some(source);
        Ok(())
    }

    fn take(&mut self, found: Vec<Demuxed>) -> Result<(), Ended> {
        let earliest = found.iter().filter_map(|found| match found {
            Demuxed::Sample(sample) => Some(sample.dts),
            Demuxed::Tracks(_) => None,
        });
        if let Some(earliest) = earliest.min() {
            self.clock.begin(earliest);
        }
        for found in found {
            match found {
                Demuxed::Tracks(tracks) => self.follow(&tracks)?,
                Demuxed::Sample(sample) => self.sample(sample)?,
            }
        }
        let unsupported = self.unpacker.unsupported();
        if unsupported != self.unsupported {
            self.unsupported.clone_from(&unsupported);
            if !unsupported.is_empty() {
                let item = Item::Feed(self.branches.feed.index);
                let text = format!("dropped, as it is not supported: {}", unsupported.join(", "));
                self.branches.feed.events.log(LogLevel::Warn, Some(item), text);
            }
        }
        Ok(())
    }

    /// The tracks are these from now on: the first of a kind takes the place of the first, and so on.
    fn follow(&mut self, tracks: &TrackSet) -> Result<(), Ended> {
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let of_kind = tracks.tracks().iter().filter(|track| track.kind() == kind);
            for (place, info) in of_kind.enumerate() {
                let Some(caps) = track_caps::of(info) else { continue };
                match self.slots.iter_mut().filter(|slot| slot.kind == kind).nth(place) {
                    Some(slot) => {
                        if !is_same_codec(&slot.info.codec, &info.codec) && self.branches.pace != Pace::RealTime {
                            // Decoders and muxers that run do not follow.
                            self.branches.feed.events.send(Event::Restart(self.branches.feed.index));
                            return Err(Ended);
                        }
                        slot.info = info.clone();
                        slot.source.set_caps(Some(&caps));
                    }
                    None => self.begin(kind, info, &caps)?,
                }
            }
        }
        for slot in &self.slots {
            if tracks.get(slot.info.id).is_none() {
                self.branches.finish(slot.kind);
            }
        }
        if self.tracks.replace(tracks.clone()).is_none() {
            self.branches.settled();
        }
        Ok(())
    }

    fn begin(&mut self, kind: MediaKind, info: &TrackInfo, caps: &gst::Caps) -> Result<(), Ended> {
        let pipeline = self.pipeline.upgrade().ok_or(Ended)?;
        let is_file = self.branches.pace == Pace::RealTime;
        let source = gst_app::AppSrc::builder()
            .is_live(!is_file)
            .format(gst::Format::Time)
            .caps(caps)
            .block(is_file)
            .max_bytes(READ_AHEAD_BYTES)
            .max_time(if is_file { READ_AHEAD } else { gst::ClockTime::ZERO })
            .build();
        match self.branches.add_source(&pipeline, &source) {
            Ok(()) => {
                self.slots.push(Slot { kind, source, info: info.clone() });
                Ok(())
            }
            Err(error) => {
                self.fail(error.to_string());
                Err(Ended)
            }
        }
    }

    fn sample(&mut self, sample: Sample) -> Result<(), Ended> {
        let order = self.arrived(&sample);
        let Some(slot) = self.slots.iter().find(|slot| slot.info.id == sample.track) else { return Ok(()) };
        // Those of arrival are better than none.
        let is_timed = self.branches.pace == Pace::RealTime || self.unpacker.has_times();
        let shift = is_timed.then(|| self.clock.shift(sample.track, sample.dts).saturating_add(self.lead));
        let mut buffer = gst::Buffer::from_slice(track_caps::bytes_of(&slot.info, &sample));
        if let Some(buffer) = buffer.get_mut() {
            let time = |time: Time, shift| u64::try_from(time.shifted(shift).nanos()).unwrap_or(0);
            if let Some(shift) = shift {
                buffer.set_dts(gst::ClockTime::from_nseconds(time(sample.dts, shift)));
                // A wild one is not believed.
                let late = sample.pts.since(sample.dts);
                let pts = if (0..=LATE).contains(&late) { sample.pts } else { sample.dts };
                buffer.set_pts(gst::ClockTime::from_nseconds(time(pts, shift)));
            }
            if let Some((dts, pts)) = order {
                buffer.set_dts(dts);
                buffer.set_pts(pts);
            }
            // Of what has no times the duration is that of its rate; live media may come at another one.
            let duration = sample.duration.filter(|_| is_timed);
            buffer.set_duration(duration.and_then(|duration| gst::ClockTime::try_from(duration).ok()));
            if slot.kind == MediaKind::Video && !sample.is_sync {
                buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
            if sample.discontinuity {
                buffer.set_flags(gst::BufferFlags::DISCONT);
            }
        }
        slot.source.push_buffer(buffer).map(drop).map_err(|_| Ended)
    }

    /// The times of a live frame that has none and does not come in the order in which it is shown: when it came, and as many frames
    /// later as its order says. `None` for all others.
    fn arrived(&mut self, sample: &Sample) -> Option<(gst::ClockTime, gst::ClockTime)> {
        if self.branches.pace == Pace::RealTime || !self.unpacker.reorders() {
            return None;
        }
        let now = i64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let step =
            sample.duration.map_or(USUAL_STEP, |step| i64::try_from(step.as_nanos()).unwrap_or(USUAL_STEP)).max(1);
        let cadence = self.cadence.get_or_insert_with(|| Cadence::new(step));
        let dts = cadence.place(now).saturating_add(self.lead);
        let frames = sample.pts.since(sample.dts) / step;
        let pts = dts.saturating_add(frames.saturating_mul(cadence.interval()));
        let time = |nanos: i64| gst::ClockTime::from_nseconds(u64::try_from(nanos).unwrap_or(0));
        Some((time(dts), time(pts)))
    }

    fn fail(&mut self, text: String) {
        if !std::mem::replace(&mut self.has_failed, true) {
            self.branches.feed.events.send(Event::Bus(self.branches.run, BusEvent::Error(text)));
        }
    }
}

/// A rate is configured for what does not need one.
pub(super) fn say_rate_is_unused(branches: &Branches) {
    let text = "fps is not used: what comes has times of its own".to_owned();
    branches.feed.events.log(LogLevel::Warn, Some(Item::Feed(branches.feed.index)), text);
}

/// The time of one frame at this rate.
pub(super) fn frame_time((frames, seconds): (u32, u32)) -> Duration {
    Duration::from_nanos(u64::from(seconds) * 1_000_000_000 / u64::from(frames.max(1)))
}

/// From one frame to the next where nothing is known, in nanoseconds.
const USUAL_STEP: i64 = 40_000_000;
/// A frame is not shown later than this after it is decoded, in nanoseconds.
const LATE: i64 = 10_000_000_000;

/// Whether a decoder of the one continues with the other.
fn is_same_codec(one: &CodecParameters, other: &CodecParameters) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

/// Reads a file to its end, as fast as it is played. Ends early when the pipeline does.
pub(super) fn play_file(unpack: &mut Unpack, path: &Path) -> Result<(), Ended> {
    let mut piece = vec![0; PIECE];
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) => {
            unpack.fail(format!("cannot open {}: {error}", path.display()));
            return Err(Ended);
        }
    };
    loop {
        match file.read(&mut piece) {
            Ok(0) => return unpack.finish(),
            Ok(length) => unpack.push(Bytes::copy_from_slice(piece.get(..length).unwrap_or_default()))?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                unpack.fail(format!("cannot read {}: {error}", path.display()));
                return Err(Ended);
            }
        }
    }
}
