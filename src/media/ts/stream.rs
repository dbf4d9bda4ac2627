//! One elementary stream on its way from transport packets to samples.

use super::audio_frames::{AudioFrames, Frame};
use super::elementary::opus_layout;
use super::gate::Gate;
use super::packet::Packet;
use super::pes_reader::{Pes, PesReader};
use super::program::{Coding, ElementaryStream};
use super::timeline::Timeline;
use super::video_units::{Unit, VideoUnits};
use crate::media::codec::canonical::{Canonical, Canonicalizer, SourceForm};
use crate::media::codec::{CodecParameters, aac, mpeg_video, opus};
use crate::media::demux::Demuxed;
use crate::media::sample::Sample;
use crate::media::track::Shape;
use crate::media::{Time, TrackId, TrackInfo};
use bytes::Bytes;
use std::time::Duration;

/// A DTS that is further behind the last one is of another timeline, in nanoseconds: tracks without DTS go back by some frames.
const BACKWARD: i64 = 1_000_000_000;
/// A DTS that is further ahead of the last one is too: no source sends a frame in ten seconds.
const FORWARD: i64 = 10_000_000_000;
/// From one frame to the next, in nanoseconds, while nothing else is known.
const STEP: i64 = 40_000_000;

/// An elementary stream.
#[derive(Debug)]
pub(super) struct Stream {
    source: ElementaryStream,
    id: TrackId,
    reader: PesReader,
    units: Units,
    /// AV1: OBUs are after start codes.
    has_start_codes: bool,
    canonicalizer: Canonicalizer,
    /// DTS of the last sample, and how far it was behind the one before.
    last: Option<Time>,
    step: i64,
    /// See [`Sample::discontinuity`], for the next one.
    discontinuity: bool,
}

/// What cuts PES packets into access units.
#[derive(Debug)]
enum Units {
    Video(VideoUnits),
    Audio(AudioFrames),
    /// Nothing: AV1 has one in each.
    Whole,
}

/// What becomes of an access unit.
struct Timed {
    data: Bytes,
    dts: Time,
    pts: Time,
    duration: Option<Duration>,
    discontinuity: bool,
}

impl Stream {
    /// A stream of the PMT, as this track.
    pub(super) fn new(source: ElementaryStream, id: TrackId) -> Self {
        let coding = &source.coding;
        let units = match coding {
            Coding::Av1 => Units::Whole,
            _ if coding.is_video() => Units::Video(VideoUnits::new(coding.clone())),
            _ => Units::Audio(AudioFrames::new(coding.clone())),
        };
        let reader = PesReader::new(coding.is_video());
        let canonicalizer = Canonicalizer::new(form(coding));
        Self {
            source,
            id,
            reader,
            units,
            has_start_codes: true,
            canonicalizer,
            last: None,
            step: STEP,
            discontinuity: false,
        }
    }

    /// What the PMT says of it.
    pub(super) fn source(&self) -> &ElementaryStream {
        &self.source
    }

    /// Its track.
    pub(super) fn id(&self) -> TrackId {
        self.id
    }

    /// Whether scrambled packets were dropped.
    pub(super) fn is_scrambled(&self) -> bool {
        self.reader.is_scrambled()
    }

    /// Takes the next packet of its PID.
    pub(super) fn push(
        &mut self,
        packet: Packet<'_>,
        timeline: &mut Timeline,
        gate: &mut Gate,
        out: &mut Vec<Demuxed>,
    ) {
        let mut complete = [None, None];
        let mut places = complete.iter_mut();
        self.reader.push(packet, &mut |pes| {
            if let Some(place) = places.next() {
                *place = Some(pes);
            }
        });
        for pes in complete.into_iter().flatten() {
            self.pes(pes, timeline, gate, out);
        }
    }

    /// See [`PesReader::settle`].
    pub(super) fn settle(&mut self, timeline: &mut Timeline, gate: &mut Gate, out: &mut Vec<Demuxed>) {
        let mut last = None;
        self.reader.settle(&mut |pes| last = Some(pes));
        if let Some(pes) = last {
            self.pes(pes, timeline, gate, out);
        }
    }

    /// No more packets will come.
    pub(super) fn finish(&mut self, timeline: &mut Timeline, gate: &mut Gate, out: &mut Vec<Demuxed>) {
        let mut last = None;
        self.reader.finish(&mut |pes| last = Some(pes));
        if let Some(pes) = last {
            self.pes(pes, timeline, gate, out);
        }
        let mut complete = Vec::new();
        if let Units::Video(units) = &mut self.units {
            units.finish(&mut |unit| complete.push(unit));
        }
        complete.into_iter().for_each(|unit| self.unit(unit, gate, out));
    }

    fn pes(&mut self, pes: Pes, timeline: &mut Timeline, gate: &mut Gate, out: &mut Vec<Demuxed>) {
        let (pts, dts) = timeline.stamps(pes.pts, pes.dts);
        match &mut self.units {
            Units::Video(units) => {
                let mut complete = Vec::new();
                units.push(pes.payload, (pts, dts), pes.discontinuity, &mut |unit| complete.push(unit));
                complete.into_iter().for_each(|unit| self.unit(unit, gate, out));
            }
            Units::Audio(frames) => {
                frames.push(pes.payload, pts, pes.discontinuity);
                while let Units::Audio(frames) = &mut self.units
                    && let Some(frame) = frames.next()
                {
                    self.frame(frame, gate, out);
                }
            }
            Units::Whole => {
                let has_start_codes = matches!(pes.payload[..], [0, 0, 1, ..] | [0, 0, 0, 1, ..]);
                if has_start_codes != self.has_start_codes {
                    self.has_start_codes = has_start_codes;
                    self.canonicalizer.restart(match has_start_codes {
                        true => SourceForm::Av1StartCodes,
                        false => SourceForm::Av1ObuStream(None),
                    });
                }
                self.unit(Unit { data: pes.payload, pts, dts, discontinuity: pes.discontinuity }, gate, out);
            }
        }
    }

    fn unit(&mut self, unit: Unit, gate: &mut Gate, out: &mut Vec<Demuxed>) {
        let Some(dts) = unit.dts.or_else(|| self.last.map(|last| last.shifted(self.frame_step()))) else { return };
        let pts = unit.pts.unwrap_or(dts).max(dts);
        let Unit { data, discontinuity, .. } = unit;
        self.sample(Timed { data, dts, pts, duration: None, discontinuity }, gate, out);
    }

    fn frame(&mut self, frame: Frame, gate: &mut Gate, out: &mut Vec<Demuxed>) {
        let Frame { data, pts, duration, discontinuity } = frame;
        self.sample(Timed { data, dts: pts, pts, duration, discontinuity }, gate, out);
    }

    fn sample(&mut self, unit: Timed, gate: &mut Gate, out: &mut Vec<Demuxed>) {
        let Timed { data, dts, pts, duration, discontinuity } = unit;
        self.discontinuity |= discontinuity;
        let Some(Canonical { data, is_sync, parameters_changed }) = self.canonicalizer.push(data) else { return };
        // Of some codecs the PMT says it all.
        if parameters_changed || self.last.is_none() {
            self.describe(gate, out);
        }
        if let Some(last) = self.last.replace(dts) {
            let step = dts.since(last);
            self.discontinuity |= !(-BACKWARD..=FORWARD).contains(&step);
            if (1..=BACKWARD).contains(&step) {
                self.step = step;
            }
        }
        let discontinuity = std::mem::take(&mut self.discontinuity);
        let (captured, entered) = (None, None);
        let sample = Sample { track: self.id, dts, pts, duration, is_sync, discontinuity, captured, entered, data };
        gate.sample(sample, out);
    }

    /// From one frame to the next, where the stream has no timestamps.
    fn frame_step(&self) -> i64 {
        match self.canonicalizer.parameters() {
            Some((_, Shape::Video(shape))) => match shape.frame_rate {
                Some((frames @ 1.., seconds)) => (i64::from(seconds) * 1_000_000_000 / i64::from(frames)).max(1),
                _ => self.step,
            },
            _ => self.step,
        }
    }

    /// Reports the parameters; those of AAC in LATM contain how long its frames are.
    fn describe(&mut self, gate: &mut Gate, out: &mut Vec<Demuxed>) {
        let Some((codec, shape)) = self.canonicalizer.parameters() else { return };
        if let (Units::Audio(frames), CodecParameters::Aac(parameters)) = (&mut self.units, codec) {
            frames.set_duration(parameters.parse().as_ref().map(duration));
        }
        gate.describe(TrackInfo { id: self.id, codec: codec.clone(), shape }, out);
    }
}

fn duration(config: &aac::Config) -> Duration {
    Duration::from_nanos(u64::from(config.samples()) * 1_000_000_000 / u64::from(config.rate().max(1)))
}

fn form(coding: &Coding) -> SourceForm {
    match coding {
        Coding::MpegVideo => SourceForm::MpegVideo,
        Coding::Mpeg4Visual => SourceForm::Mpeg4Visual(mpeg_video::Mpeg4Parameters { config: Bytes::new() }),
        Coding::H264 => SourceForm::H264AnnexB,
        Coding::H265 => SourceForm::H265AnnexB,
        Coding::Av1 => SourceForm::Av1StartCodes,
        Coding::MpegAudio => SourceForm::MpegAudio,
        Coding::Adts => SourceForm::Adts,
        Coding::Latm => SourceForm::Loas,
        Coding::Dolby => SourceForm::Ac3,
        Coding::Opus(code) => SourceForm::Opus(opus_parameters(*code)),
    }
}

/// What a `channel_config_code` says ("Opus in MPEG-TS", draft 0.1.3 of an ETSI TS, table 4-3): 0 is two channels that have
/// nothing to do with each other.
fn opus_parameters(code: u8) -> opus::Parameters {
    let channels = if code == 0 { 2 } else { code };
    // Family; then streams, coupled ones, and which of them each channel is (RFC 7845, section 5.1.1).
    let table = match (code, opus_layout(code)) {
        (0, _) => vec![255, 2, 0, 0, 1],
        (3.., Some(layout)) => [&[1], layout].concat(),
        _ => vec![0],
    };
    let head = [b"OpusHead\x01", &[channels][..], &[0, 0], &48_000u32.to_le_bytes(), &[0, 0], &table].concat();
    opus::Parameters { head: head.into() }
}
