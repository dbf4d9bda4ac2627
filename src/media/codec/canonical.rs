//! Brings the samples of any source into the canonical form of their codec, and follows their parameters.
//!
//! One [`Canonicalizer`] takes the whole access units of one track, in order, and gives each of them as it travels through the
//! server. It judges from the bytes whether a decoder may begin with a unit. Parameters are collected, and take effect with the
//! next unit with which a decoder may begin: until the first of these, nothing leaves.

mod access_unit;
mod kept;
mod other;
mod parameter_sets;
mod temporal_unit;

use super::super::track::Shape;
use super::{CodecParameters, aac, av1, flac, h264, h265, latm, mpeg4_visual, opus, pcm, xiph};
use access_unit::{Codec, Separation};
use bytes::Bytes;

/// How a source writes the access units of a codec.
#[derive(Debug, Clone)]
pub enum SourceForm {
    /// H.264 with start codes (ITU-T H.264, annex B).
    H264AnnexB,
    /// H.264 with lengths of so many bytes (1 to 4), whose parameter sets are known; more may come among the units.
    H264Lengths(h264::Parameters, usize),
    /// H.265 with start codes (ITU-T H.265, annex B).
    H265AnnexB,
    /// H.265 with lengths of so many bytes (1 to 4), whose parameter sets are known; more may come among the units.
    H265Lengths(h265::Parameters, usize),
    /// AV1 in temporal units of the low overhead bitstream format, with or without temporal delimiter; with its sequence header,
    /// where the container has it.
    Av1ObuStream(Option<av1::Parameters>),
    /// AV1 whose OBUs stand behind start codes (Carriage of AV1 in MPEG-2 TS, AOM draft, section 4).
    Av1StartCodes,
    /// VP8 frames.
    Vp8,
    /// VP9 frames or superframes.
    Vp9,
    /// MPEG-1 or MPEG-2 video; which of them, the sequence header tells.
    MpegVideo,
    /// MPEG-4 part 2, with its configuration, if that is not empty and in band only.
    Mpeg4Visual(mpeg4_visual::Parameters),
    /// JPEG images, with or without Huffman tables.
    Jpeg,
    /// Theora packets.
    Theora(xiph::Headers),
    /// AAC without a header.
    AacRaw(aac::Parameters),
    /// AAC in ADTS, one frame in each unit.
    Adts,
    /// AAC in LOAS (ISO/IEC 14496-3, section 1.7.2), one `AudioSyncStream` frame in each unit.
    Loas,
    /// AAC in LATM (RFC 6416): an `AudioMuxElement` in each unit, without a configuration, which is this one.
    Latm(latm::StreamMuxConfig),
    /// Opus packets.
    Opus(opus::Parameters),
    /// Vorbis packets.
    Vorbis(xiph::Headers),
    /// FLAC frames.
    Flac(flac::Parameters),
    /// MPEG audio frames of any layer.
    MpegAudio,
    /// AC-3 or E-AC-3; which of them, the frames tell. Frames that depend on another are in its unit.
    Ac3,
    /// PCM and G.711: format, samples a second, channels. Units may have any length; what is no whole sample at the end is lost.
    Pcm(pcm::Format, u32, u16),
}

/// Takes the access units of one track.
#[derive(Debug)]
pub struct Canonicalizer {
    track: Track,
    known: Option<Found>,
    frame_rate: Option<(u32, u32)>,
}

/// An access unit in canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canonical {
    /// Its bytes.
    pub data: Bytes,
    /// A decoder that has the parameters may begin with it, judged from its bytes.
    pub is_sync: bool,
    /// [`Canonicalizer::parameters`] are others from this unit on, or known for the first time.
    pub parameters_changed: bool,
}

#[derive(Debug)]
enum Track {
    AccessUnits(access_unit::Track),
    TemporalUnits(temporal_unit::Track),
    Other(other::Track),
}

/// Codec and shape.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    codec: CodecParameters,
    shape: Shape,
}

/// What a track makes of an access unit.
#[derive(Debug)]
struct Unit {
    data: Bytes,
    is_sync: bool,
    /// What applies from this unit on, where something new may have come. The same as before is no change.
    found: Option<Found>,
}

impl Canonicalizer {
    /// For units in this form, in front of the first one.
    pub fn new(form: SourceForm) -> Self {
        let (track, known) = Track::new(form);
        Self { track, known, frame_rate: None }
    }

    /// Begins again with units in this form: what was collected is forgotten, [`Canonicalizer::parameters`] stay until the first unit.
    pub fn restart(&mut self, form: SourceForm) {
        let mut fresh = Self::new(form);
        fresh.set_frame_rate(self.frame_rate);
        self.track = fresh.track;
        let is_other = fresh.known.is_some() && fresh.known != self.known;
        if is_other {
            self.known = fresh.known;
        }
    }

    /// Frames a second, as the container says. It counts where the codec does not say it.
    pub fn set_frame_rate(&mut self, frame_rate: Option<(u32, u32)>) {
        self.frame_rate = frame_rate;
        if let Some(known) = &mut self.known {
            known.complete(frame_rate);
        }
    }

    /// Takes the next whole access unit. `None` while nothing can begin (no parameters yet), when nothing is left of it (only
    /// parameter sets, delimiters or messages), and for what is no access unit.
    pub fn push(&mut self, unit: Bytes) -> Option<Canonical> {
        let Unit { data, is_sync, found } = match &mut self.track {
            Track::AccessUnits(track) => track.push(&unit),
            Track::TemporalUnits(track) => track.push(&unit),
            Track::Other(track) => track.push(unit),
        }?;
        let mut parameters_changed = false;
        if let Some(mut found) = found {
            found.complete(self.frame_rate);
            parameters_changed = self.known.as_ref() != Some(&found);
            self.known = Some(found);
        }
        self.known.as_ref()?;
        Some(Canonical { data, is_sync, parameters_changed })
    }

    /// Codec and shape, once known: with containers that have them in their header, immediately.
    pub fn parameters(&self) -> Option<(&CodecParameters, Shape)> {
        self.known.as_ref().map(|found| (&found.codec, found.shape))
    }
}

impl Track {
    /// And what is known already.
    fn new(form: SourceForm) -> (Self, Option<Found>) {
        let access_units = |codec, separation, sets: Vec<Bytes>| {
            let mut track = access_unit::Track::new(codec, separation);
            sets.iter().for_each(|set| track.insert(set));
            let known = track.found();
            (Self::AccessUnits(track), known)
        };
        match form {
            SourceForm::H264AnnexB => access_units(Codec::H264, Separation::StartCodes, Vec::new()),
            SourceForm::H264Lengths(sets, size) => {
                access_units(Codec::H264, Separation::Lengths(size), [sets.sps, sets.pps].concat())
            }
            SourceForm::H265AnnexB => access_units(Codec::H265, Separation::StartCodes, Vec::new()),
            SourceForm::H265Lengths(sets, size) => {
                access_units(Codec::H265, Separation::Lengths(size), [sets.vps, sets.sps, sets.pps].concat())
            }
            SourceForm::Av1ObuStream(parameters) => {
                let mut track = temporal_unit::Track::new(false);
                let known = parameters.and_then(|parameters| track.begin(&parameters));
                (Self::TemporalUnits(track), known)
            }
            SourceForm::Av1StartCodes => (Self::TemporalUnits(temporal_unit::Track::new(true)), None),
            form => {
                let (track, known) = other::Track::new(form);
                (Self::Other(track), known)
            }
        }
    }
}

impl Found {
    /// Fills in the frame rate, where it is missing.
    fn complete(&mut self, frame_rate: Option<(u32, u32)>) {
        let Shape::Video(shape) = &mut self.shape else { return };
        shape.frame_rate = shape.frame_rate.or(frame_rate);
        if let CodecParameters::Vp9(parameters) = &mut self.codec {
            parameters.level = super::vp9::level(shape.width, shape.height, shape.frame_rate);
        }
    }
}

#[cfg(test)]
mod tests;
