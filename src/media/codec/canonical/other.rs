//! The codecs whose units travel as they are, or without a header in front.

use super::form::SourceForm;
use super::unit::{Found, Unit};
use crate::media::codec::{
    CodecParameters, aac, ac3, adts, flac, jpeg, latm, mpeg_audio, mpeg_video, mpeg4_visual, opus, shape, theora, vp8,
    vp9,
};
use crate::media::track::Shape;
use bytes::Bytes;
use std::borrow::Cow;

/// A track of such a codec, with what is to be remembered of it.
#[derive(Debug)]
pub(super) enum Track {
    Vp8,
    Vp9,
    MpegVideo,
    Mpeg4Visual {
        /// There is a configuration.
        has_config: bool,
    },
    Jpeg,
    Theora,
    /// Every unit is a frame.
    AacRaw,
    Adts {
        /// Of the newest frame.
        header: Option<adts::Header>,
    },
    Loas(latm::Loas),
    Latm(latm::StreamMuxConfig),
    Opus,
    Vorbis,
    Flac,
    MpegAudio,
    Ac3 {
        /// Of the newest unit that had others.
        parameters: Option<ac3::Parameters>,
    },
    Pcm {
        /// Bytes of a sample of all channels.
        block: usize,
    },
    /// Nothing is known of it: no unit leaves.
    Unknown,
}

impl Track {
    /// And what is known already.
    pub(super) fn new(form: SourceForm) -> (Self, Option<Found>) {
        let with =
            |track, codec: CodecParameters, shape: Option<Shape>| (track, shape.map(|shape| Found { codec, shape }));
        let said = |track, codec: CodecParameters| {
            let shape = shape::of(&codec);
            with(track, codec, shape)
        };
        match form {
            SourceForm::Vp8 => (Self::Vp8, None),
            SourceForm::Vp9 => (Self::Vp9, None),
            SourceForm::MpegVideo => (Self::MpegVideo, None),
            SourceForm::Mpeg4Visual(config) => {
                let has_config = config.layer().is_some();
                said(Self::Mpeg4Visual { has_config }, CodecParameters::Mpeg4Visual(config))
            }
            SourceForm::Jpeg => (Self::Jpeg, None),
            SourceForm::Theora(headers) => said(Self::Theora, CodecParameters::Theora(headers)),
            SourceForm::AacRaw(parameters) => said(Self::AacRaw, CodecParameters::Aac(parameters)),
            SourceForm::Adts => (Self::Adts { header: None }, None),
            SourceForm::Loas => (Self::Loas(latm::Loas::default()), None),
            SourceForm::Latm(config) => {
                let codec = CodecParameters::Aac(config.parameters().clone());
                said(Self::Latm(config), codec)
            }
            SourceForm::Opus(parameters) => said(Self::Opus, CodecParameters::Opus(parameters)),
            SourceForm::Vorbis(headers) => said(Self::Vorbis, CodecParameters::Vorbis(headers)),
            SourceForm::Flac(parameters) => said(Self::Flac, CodecParameters::Flac(parameters)),
            SourceForm::MpegAudio => (Self::MpegAudio, None),
            SourceForm::Ac3 => (Self::Ac3 { parameters: None }, None),
            SourceForm::Pcm(format, rate, channels) => {
                let block = format.bytes() * usize::from(channels.max(1));
                with(Self::Pcm { block }, CodecParameters::Pcm(format), shape::audio(rate, channels.max(1)))
            }
            SourceForm::H264AnnexB
            | SourceForm::H264Lengths(..)
            | SourceForm::H265AnnexB
            | SourceForm::H265Lengths(..)
            | SourceForm::Av1ObuStream(_)
            | SourceForm::Av1StartCodes => (Self::Unknown, None),
        }
    }

    pub(super) fn push(&mut self, unit: Bytes) -> Option<Unit> {
        if unit.is_empty() {
            return None;
        }
        match self {
            Self::Vp8 => {
                let size = vp8::size(&unit);
                let found = size.and_then(|size| shape::video(size, (1, 1), None));
                let found = found.map(|shape| Found { codec: CodecParameters::Vp8, shape });
                Some(Unit { data: unit, is_sync: size.is_some(), found })
            }
            Self::Vp9 => vp9_frame(unit),
            Self::MpegVideo => mpeg_video_frame(unit),
            Self::Mpeg4Visual { has_config } => mpeg4_frame(unit, has_config),
            Self::Jpeg => {
                let size = jpeg::size(&unit)?;
                let data = match jpeg::complete(&unit) {
                    Cow::Owned(completed) => completed.into(),
                    Cow::Borrowed(_) => unit,
                };
                let found = Found { codec: CodecParameters::Jpeg, shape: shape::video(size, (1, 1), None)? };
                Some(Unit { data, is_sync: true, found: Some(found) })
            }
            // A header has the highest bit.
            Self::Theora => match unit.first()? & 0x80 {
                0 => Some(Unit { is_sync: theora::is_key(&unit), data: unit, found: None }),
                _ => None,
            },
            // A header has the lowest bit.
            Self::Vorbis => (unit.first()? & 1 == 0).then(|| frame(unit)),
            Self::AacRaw => Some(frame(unit)),
            // The headers of Ogg are no packets of any duration.
            Self::Opus => opus::samples(&unit).filter(|samples| *samples > 0).map(|_| frame(unit)),
            Self::Adts { header } => adts_frame(&unit, header),
            Self::Loas(loas) => {
                let (data, changed) = loas.push(&unit)?;
                let found = changed.and_then(aac_found);
                Some(Unit { found, ..frame(data) })
            }
            Self::Latm(config) => config.frame(&unit).map(frame),
            Self::Flac => flac::block_size(&unit).map(|_| frame(unit)),
            Self::MpegAudio => {
                let header = mpeg_audio::Header::parse(&unit)?;
                let data = whole(unit, header.frame_length)?;
                let codec = CodecParameters::MpegAudio(header.parameters);
                let found = Found { codec, shape: shape::audio(header.rate, header.channels)? };
                Some(Unit { found: Some(found), ..frame(data) })
            }
            Self::Ac3 { parameters } => ac3_unit(unit, parameters),
            Self::Pcm { block } => {
                let length = unit.len() - unit.len() % *block;
                (length > 0).then(|| frame(unit.slice(..length)))
            }
            Self::Unknown => None,
        }
    }
}

/// A unit with which a decoder may begin, like every one of its track.
fn frame(data: Bytes) -> Unit {
    Unit { data, is_sync: true, found: None }
}

/// The first `length` bytes, if they are there.
fn whole(unit: Bytes, length: usize) -> Option<Bytes> {
    match unit.len() == length {
        true => Some(unit),
        false => (unit.len() > length).then(|| unit.slice(..length)),
    }
}

fn vp9_frame(unit: Bytes) -> Option<Unit> {
    let key = vp9::KeyHeader::parse(&unit);
    let found = key.as_ref().and_then(|header| {
        let codec = CodecParameters::Vp9(vp9::Parameters::new(header, None));
        Some(Found { codec, shape: shape::video((header.width, header.height), (1, 1), None)? })
    });
    Some(Unit { data: unit, is_sync: key.is_some(), found })
}

fn mpeg_video_frame(unit: Bytes) -> Option<Unit> {
    if !mpeg_video::has_frame(&unit) {
        return None;
    }
    let is_sync = mpeg_video::is_key(&unit);
    let sequence = if is_sync { mpeg_video::Sequence::parse(&unit) } else { None };
    let found = sequence.and_then(|sequence| {
        let codec = if sequence.is_mpeg2 { CodecParameters::Mpeg2Video } else { CodecParameters::Mpeg1Video };
        Some(Found { codec, shape: shape::of_mpeg_video(&sequence)? })
    });
    Some(Unit { data: unit, is_sync, found })
}

fn mpeg4_frame(unit: Bytes, has_config: &mut bool) -> Option<Unit> {
    if !mpeg4_visual::has_frame(&unit) {
        return None;
    }
    let is_sync = mpeg4_visual::is_key(&unit);
    let parameters = if is_sync { mpeg4_visual::Parameters::of_unit(&unit) } else { None };
    let found = parameters.and_then(|parameters| {
        let codec = CodecParameters::Mpeg4Visual(parameters);
        Some(Found { shape: shape::of(&codec)?, codec })
    });
    *has_config |= found.is_some();
    Some(Unit { data: unit, is_sync: is_sync && *has_config, found })
}

fn aac_found(parameters: aac::Parameters) -> Option<Found> {
    let codec = CodecParameters::Aac(parameters);
    Some(Found { shape: shape::of(&codec)?, codec })
}

fn adts_frame(unit: &Bytes, newest: &mut Option<adts::Header>) -> Option<Unit> {
    let header = adts::Header::parse(unit)?;
    // Several blocks in a frame cannot be separated without decoding them; no encoder writes that.
    if header.blocks != 1 || header.frame_length > unit.len() {
        return None;
    }
    let data = unit.slice(header.length..header.frame_length);
    let is_same = newest.is_some_and(|newest| newest.is_like(&header));
    let found = if is_same { None } else { header.parameters(&data).and_then(aac_found) };
    if found.is_some() {
        *newest = Some(header);
    }
    // Where channels are listed in some frames only, the others may be like those.
    (is_same || found.is_some()).then(|| Unit { found, ..frame(data) }).filter(|unit| !unit.data.is_empty())
}

fn ac3_unit(unit: Bytes, newest: &mut Option<ac3::Parameters>) -> Option<Unit> {
    let header = ac3::Header::parse(&unit).filter(|header| header.frame_length <= unit.len())?;
    let parameters = ac3::Parameters::of_unit(&unit)?;
    let known = newest.take().filter(|newest| newest.is_like(&parameters)).unwrap_or(parameters);
    *newest = Some(known.clone());
    let codec = if header.is_enhanced { CodecParameters::Eac3(known) } else { CodecParameters::Ac3(known) };
    let found = Found { codec, shape: shape::audio(header.rate, ac3::unit_channels(&unit)?)? };
    Some(Unit { found: Some(found), ..frame(unit) })
}
