// codec: stands in for `media::codec::canonical` until that is there.
use crate::media::{codec::*, track::*};
use bytes::Bytes;

#[derive(Debug)]
pub(super) enum SourceForm {
    H264Lengths(h264::Parameters, usize),
    H265Lengths(h265::Parameters, usize),
    Av1ObuStream(Option<av1::Parameters>),
    Vp8,
    Vp9,
    MpegAudio,
    AacRaw(aac::Parameters),
    Opus(opus::Parameters),
    Flac(flac::Parameters),
    Ac3,
    Eac3,
    Pcm(pcm::Format, u32, u16),
}

#[derive(Debug)]
pub(super) struct Canonical {
    pub(super) data: Bytes,
    pub(super) is_sync: bool,
    pub(super) parameters_changed: bool,
}

#[derive(Debug)]
pub(super) struct Canonicalizer {
    form: SourceForm,
    known: Option<(CodecParameters, Shape)>,
}

fn video(size: (u32, u32)) -> Shape {
    Shape::Video(VideoShape { width: size.0, height: size.1, pixel_aspect: (1, 1), frame_rate: None })
}

fn audio(rate: u32, channels: u16) -> Shape {
    Shape::Audio(AudioShape { rate, channels })
}

impl Canonicalizer {
    pub(super) fn new(form: SourceForm) -> Self {
        let known = match &form {
            SourceForm::H264Lengths(it, _) => Some((CodecParameters::H264(it.clone()), video((0, 0)))),
            SourceForm::H265Lengths(it, _) => Some((CodecParameters::H265(it.clone()), video((0, 0)))),
            SourceForm::Av1ObuStream(it) => it.clone().map(|it| (CodecParameters::Av1(it), video((0, 0)))),
            SourceForm::AacRaw(it) => {
                it.parse().map(|config| (CodecParameters::Aac(it.clone()), audio(config.rate(), config.channels())))
            }
            SourceForm::Opus(it) => Some((CodecParameters::Opus(it.clone()), audio(48_000, it.channels().into()))),
            SourceForm::Flac(it) => {
                it.parse().map(|info| (CodecParameters::Flac(it.clone()), audio(info.rate, info.channels)))
            }
            SourceForm::Pcm(it, rate, channels) => Some((CodecParameters::Pcm(*it), audio(*rate, *channels))),
            _ => None,
        };
        Self { form, known }
    }

    pub(super) fn push(&mut self, data: Bytes) -> Option<Canonical> {
        let (mut is_sync, mut found) = (true, None);
        match &self.form {
            SourceForm::H264Lengths(_, size) => {
                is_sync = nal::length_prefixed(&data, *size).any(|unit| unit[0] & 0x1f == 5);
            }
            SourceForm::H265Lengths(_, size) => {
                is_sync = nal::length_prefixed(&data, *size).any(|unit| (16..24).contains(&(unit[0] >> 1 & 0x3f)));
            }
            SourceForm::Vp8 => {
                is_sync = vp8::is_key(&data);
                found = vp8::size(&data).map(|size| (CodecParameters::Vp8, video(size)));
            }
            SourceForm::Vp9 => {
                is_sync = vp9::is_key(&data);
                found = vp9::KeyHeader::parse(&data).map(|it| {
                    (CodecParameters::Vp9(vp9::Parameters::new(&it, None)), video((it.width, it.height)))
                });
            }
            SourceForm::MpegAudio => {
                let it = mpeg_audio::Header::parse(&data)?;
                found = Some((CodecParameters::MpegAudio(it.parameters), audio(it.rate, it.channels)));
            }
            SourceForm::Ac3 => found = Some((CodecParameters::Ac3(ac3::Parameters::of_unit(&data)?), audio(48_000, 2))),
            SourceForm::Eac3 => found = Some((CodecParameters::Eac3(ac3::Parameters::of_unit(&data)?), audio(48_000, 2))),
            SourceForm::Av1ObuStream(_) => {
                for unit in obu::Obus::new(&data) {
                    if unit.kind == obu::SEQUENCE_HEADER {
                        let sequence_header = unit.with_size().into();
                        found = Some((CodecParameters::Av1(av1::Parameters { sequence_header }), video((0, 0))));
                    }
                    if unit.kind == 6 || unit.kind == 3 {
                        is_sync = av1::FrameHeader::parse(unit.payload, false).is_some_and(|it| it.is_key);
                    }
                }
            }
            _ => {}
        }
        let parameters_changed = found.is_some() && found != self.known;
        self.known = found.or(self.known.take());
        Some(Canonical { data, is_sync, parameters_changed })
    }

    pub(super) fn parameters(&self) -> Option<(&CodecParameters, Shape)> {
        self.known.as_ref().map(|(codec, shape)| (codec, *shape))
    }
}
