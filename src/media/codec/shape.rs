//! What the parameters of a codec say of the frames: size, rate, channels.

use super::super::track::{AudioShape, Shape, VideoShape};
use super::{
    CodecParameters, aac, av1, flac, h264, h264_sps, h265, h265_sps, mpeg_video, mpeg4_visual, theora, vorbis,
};

/// Highest number of frames a second that is believed. Encoders that count in ticks of a clock claim some 90,000.
const MAX_FRAME_RATE: u32 = 1000;

/// Size and rate of a track with these parameters; `None` when they do not say it: those of VP8, VP9, MPEG-1 and MPEG-2 video, JPEG,
/// MPEG audio, AC-3 and PCM do not.
pub fn of(codec: &CodecParameters) -> Option<Shape> {
    match codec {
        CodecParameters::H264(parameters) => h264(parameters),
        CodecParameters::H265(parameters) => h265(parameters),
        CodecParameters::Av1(parameters) => av1(&parameters.sequence()?),
        CodecParameters::Mpeg4Visual(parameters) => mpeg4(&parameters.layer()?),
        CodecParameters::Theora(headers) => {
            let header = theora::Identification::parse(&headers.identification)?;
            video((header.width, header.height), header.pixel_aspect, header.frame_rate)
        }
        CodecParameters::Aac(parameters) => aac(parameters),
        CodecParameters::Opus(parameters) => audio(48_000, parameters.channels().into()),
        CodecParameters::Vorbis(headers) => {
            let (rate, channels, _) = vorbis::identification(&headers.identification)?;
            audio(rate, channels)
        }
        CodecParameters::Flac(parameters) => flac(parameters),
        CodecParameters::Vp8
        | CodecParameters::Vp9(_)
        | CodecParameters::Mpeg1Video
        | CodecParameters::Mpeg2Video
        | CodecParameters::Jpeg
        | CodecParameters::Raw(_)
        | CodecParameters::MpegAudio(_)
        | CodecParameters::Ac3(_)
        | CodecParameters::Eac3(_)
        | CodecParameters::Pcm(_) => None,
    }
}

fn h264(parameters: &h264::Parameters) -> Option<Shape> {
    parameters.sps.iter().find_map(|sps| h264_sps::Sps::parse(sps)).and_then(|sps| of_h264(&sps))
}

fn h265(parameters: &h265::Parameters) -> Option<Shape> {
    let sps = parameters.sps.iter().find_map(|sps| h265_sps::Sps::parse(sps))?;
    of_h265(&sps, parameters)
}

fn av1(header: &av1::SequenceHeader) -> Option<Shape> {
    video((header.width, header.height), (1, 1), header.frame_rate)
}

fn mpeg4(layer: &mpeg4_visual::Layer) -> Option<Shape> {
    video((layer.width, layer.height), layer.pixel_aspect, layer.frame_rate)
}

fn aac(parameters: &aac::Parameters) -> Option<Shape> {
    let config = parameters.parse()?;
    // Where nothing says how many channels there are, one is the least that there can be.
    audio(config.rate(), config.channels().max(1))
}

fn flac(parameters: &flac::Parameters) -> Option<Shape> {
    let info = parameters.parse()?;
    audio(info.rate, info.channels)
}

/// Of H.264 with this sequence parameter set.
pub(super) fn of_h264(sps: &h264_sps::Sps) -> Option<Shape> {
    video((sps.width, sps.height), sps.pixel_aspect, sps.frame_rate)
}

/// Of H.265 with this sequence parameter set among these parameters.
pub(super) fn of_h265(sps: &h265_sps::Sps, parameters: &h265::Parameters) -> Option<Shape> {
    let frame_rate = sps.frame_rate.or_else(|| parameters.frame_rate());
    video((sps.width, sps.height), sps.pixel_aspect, frame_rate)
}

/// Of MPEG-1 and MPEG-2 video.
pub(super) fn of_mpeg_video(sequence: &mpeg_video::Sequence) -> Option<Shape> {
    video((sequence.width, sequence.height), sequence.pixel_aspect, sequence.frame_rate)
}

/// Of video of this size.
pub(super) fn video((width, height): (u32, u32), pixel_aspect: (u32, u32), rate: Option<(u32, u32)>) -> Option<Shape> {
    let frame_rate = rate.filter(|(frames, seconds)| frames / MAX_FRAME_RATE <= *seconds);
    Some(Shape::Video(VideoShape { width, height, pixel_aspect, frame_rate }))
}

/// Of audio of this rate.
pub(super) fn audio(rate: u32, channels: u16) -> Option<Shape> {
    Some(Shape::Audio(AudioShape { rate, channels }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::opus;

    #[test]
    fn parameters_tell_what_they_know() {
        let config = bytes::Bytes::from_static(&[0x2b, 0x11, 0x88, 0x00]);
        let aac = CodecParameters::Aac(aac::Parameters { config });
        assert_eq!(of(&aac), Some(Shape::Audio(AudioShape { rate: 48_000, channels: 2 })));
        let opus = CodecParameters::Opus(opus::Parameters::simple(1));
        assert_eq!(of(&opus), Some(Shape::Audio(AudioShape { rate: 48_000, channels: 1 })));
        assert_eq!(of(&CodecParameters::Vp8), None);
    }

    #[test]
    fn rates_that_cannot_be_are_none() {
        let rate = |rate| match video((2, 2), (1, 1), Some(rate)) {
            Some(Shape::Video(shape)) => shape.frame_rate,
            _ => None,
        };
        assert_eq!(rate((60_000, 1001)), Some((60_000, 1001)));
        assert_eq!(rate((90_000, 1)), None);
    }
}
