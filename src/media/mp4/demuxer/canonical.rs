// codec: stands in for `media::codec::canonical` until that is there.
use crate::media::{codec::*, track::*};
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
    known: Option<(CodecParameters, Shape)>,
}
impl Canonicalizer {
    pub(super) fn new(form: SourceForm) -> Self {
        let codec = match form {
            SourceForm::H264Lengths(parameters, _) => parameters.map(CodecParameters::H264),
            SourceForm::H265Lengths(parameters, _) => parameters.map(CodecParameters::H265),
            SourceForm::Av1(parameters) => parameters.map(CodecParameters::Av1),
            SourceForm::MpegAudio => {
                Some(CodecParameters::MpegAudio(mpeg_audio::Parameters { layer: 3, is_low_rate: false }))
            }
            SourceForm::Ac3(parameters) => parameters.map(CodecParameters::Ac3),
            SourceForm::Eac3(parameters) => parameters.map(CodecParameters::Eac3),
            SourceForm::Frames(codec) => Some(codec),
        };
        let known = codec.map(|codec| {
            let shape = match codec.is_video() {
                true => Shape::Video(VideoShape { width: 0, height: 0, pixel_aspect: (1, 1), frame_rate: None }),
                false => Shape::Audio(AudioShape { rate: 0, channels: 0 }),
            };
            (codec, shape)
        });
        Self { known }
    }
    pub(super) fn push(&mut self, data: Bytes) -> Option<Canonical> {
        Some(Canonical { data, is_sync: true, parameters_changed: false })
    }
    pub(super) fn parameters(&self) -> Option<(&CodecParameters, Shape)> {
        self.known.as_ref().map(|(codec, shape)| (codec, *shape))
    }
}
