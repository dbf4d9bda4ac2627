// codec: stands in for `media::codec::canonical` until that is there.
use crate::media::codec::{CodecParameters, ac3, av1, h264, h265, mpeg_audio};
use crate::media::track::{AudioShape, Shape, VideoShape};
use bytes::Bytes;

#[derive(Debug)]
pub(super) enum SourceForm {
    H264Lengths(Option<h264::Parameters>, usize),
    H265Lengths(Option<h265::Parameters>, usize),
    Av1(Option<av1::Parameters>),
    MpegAudio,
    Ac3(Option<ac3::Parameters>),
    Eac3(Option<ac3::Parameters>),
    Frames(CodecParameters),
}

#[derive(Debug)]
pub(super) struct Canonical {
    pub(super) data: Bytes,
    pub(super) is_sync: bool,
    pub(super) parameters_changed: bool,
}

#[derive(Debug)]
pub(super) struct Canonicalizer {
    known: Option<CodecParameters>,
    shape: Shape,
    is_mpeg_audio: bool,
}

impl Canonicalizer {
    pub(super) fn new(form: SourceForm) -> Self {
        let is_mpeg_audio = matches!(form, SourceForm::MpegAudio);
        let is_audio = matches!(form, SourceForm::MpegAudio | SourceForm::Ac3(_) | SourceForm::Eac3(_));
        let known = match form {
            SourceForm::H264Lengths(parameters, _) => parameters.map(CodecParameters::H264),
            SourceForm::H265Lengths(parameters, _) => parameters.map(CodecParameters::H265),
            SourceForm::Av1(parameters) => parameters.map(CodecParameters::Av1),
            SourceForm::MpegAudio => None,
            SourceForm::Ac3(parameters) => parameters.map(CodecParameters::Ac3),
            SourceForm::Eac3(parameters) => parameters.map(CodecParameters::Eac3),
            SourceForm::Frames(codec) => Some(codec),
        };
        let shape = if is_audio || known.as_ref().is_some_and(|codec| !codec.is_video()) {
            Shape::Audio(AudioShape { rate: 0, channels: 0 })
        } else {
            Shape::Video(VideoShape { width: 0, height: 0, pixel_aspect: (1, 1), frame_rate: None })
        };
        Self { known, shape, is_mpeg_audio }
    }

    pub(super) fn push(&mut self, data: Bytes) -> Option<Canonical> {
        let mut parameters_changed = false;
        if self.is_mpeg_audio && self.known.is_none() {
            let header = mpeg_audio::Header::parse(&data)?;
            self.known = Some(CodecParameters::MpegAudio(header.parameters));
            self.shape = Shape::Audio(AudioShape { rate: header.rate, channels: header.channels });
            parameters_changed = true;
        }
        Some(Canonical { data, is_sync: true, parameters_changed })
    }

    pub(super) fn parameters(&self) -> Option<(&CodecParameters, Shape)> {
        self.known.as_ref().map(|codec| (codec, self.shape))
    }
}
