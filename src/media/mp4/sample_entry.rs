//! How a track is coded, as players read it in the header (section 8.5.2).

use super::box_writer::{halves, words, write, write_full};
use crate::media::{
    codec::{CodecParameters, mpeg_audio, opus, vp9},
    track::{AudioShape, Shape, TrackInfo, VideoShape},
};

/// Object types of `DecoderConfigDescriptor` (ISO/IEC 14496-1, table 5, and the MP4 Registration Authority).
mod object {
    pub(super) const MPEG4_VISUAL: u8 = 0x20;
    pub(super) const AAC: u8 = 0x40;
    pub(super) const MPEG2_MAIN: u8 = 0x61;
    pub(super) const MPEG2_AUDIO: u8 = 0x69;
    pub(super) const MPEG1_VIDEO: u8 = 0x6a;
    pub(super) const MPEG1_AUDIO: u8 = 0x6b;
    pub(super) const JPEG: u8 = 0x6c;
}

/// VP8 has 8 bits and 4:2:0 only. No other profile or level is defined.
const VP8: vp9::Parameters = vp9::Parameters { profile: 0, level: 0, bit_depth: 8, chroma_subsampling: 1 };

/// Whether there is a sample entry for this codec that players know. PCM would need a form of its own for each kind of
/// player; Vorbis and Theora have none, and frames that are not coded are for no player.
pub(super) const fn carries(codec: &CodecParameters) -> bool {
    use CodecParameters::{Pcm, Raw, Theora, Vorbis};
    !matches!(codec, Raw(_) | Theora(_) | Vorbis(_) | Pcm(_))
}

/// Appends the sample entry of a track; nothing for a codec that is not carried.
pub(super) fn write_entry(track: &TrackInfo, out: &mut Vec<u8>) {
    let entry = Entry { shape: &track.shape };
    match &track.codec {
        CodecParameters::H264(parameters) => entry.record(b"avc1", b"avcC", &parameters.record(), out),
        CodecParameters::H265(parameters) => entry.record(b"hvc1", b"hvcC", &parameters.record(), out),
        CodecParameters::Av1(parameters) => {
            entry.record(b"av01", b"av1C", &parameters.record().unwrap_or_default(), out);
        }
        CodecParameters::Vp8 => entry.record(b"vp08", b"vpcC", &VP8.record(), out),
        CodecParameters::Vp9(parameters) => entry.record(b"vp09", b"vpcC", &parameters.record(), out),
        CodecParameters::Mpeg1Video => entry.elementary(b"mp4v", object::MPEG1_VIDEO, &[], out),
        CodecParameters::Mpeg2Video => entry.elementary(b"mp4v", object::MPEG2_MAIN, &[], out),
        CodecParameters::Mpeg4Visual(parameters) => {
            entry.elementary(b"mp4v", object::MPEG4_VISUAL, &parameters.config, out);
        }
        CodecParameters::Jpeg => entry.elementary(b"mp4v", object::JPEG, &[], out),
        CodecParameters::Aac(parameters) => entry.elementary(b"mp4a", object::AAC, &parameters.config, out),
        CodecParameters::MpegAudio(mpeg_audio::Parameters { is_low_rate: true, .. }) => {
            entry.elementary(b"mp4a", object::MPEG2_AUDIO, &[], out);
        }
        CodecParameters::MpegAudio(_) => entry.elementary(b"mp4a", object::MPEG1_AUDIO, &[], out),
        CodecParameters::Opus(parameters) => entry.record(b"Opus", b"dOps", &dops(parameters), out),
        CodecParameters::Flac(parameters) => entry.record(b"fLaC", b"dfLa", &dfla(&parameters.stream_info), out),
        CodecParameters::Ac3(parameters) => entry.record(b"ac-3", b"dac3", &parameters.specific, out),
        CodecParameters::Eac3(parameters) => entry.record(b"ec-3", b"dec3", &parameters.specific, out),
        CodecParameters::Raw(_) | CodecParameters::Theora(_) | CodecParameters::Vorbis(_) | CodecParameters::Pcm(_) => {
        }
    }
}

struct Entry<'a> {
    shape: &'a Shape,
}

impl Entry<'_> {
    /// An entry whose codec configuration is a box of its own.
    fn record(&self, kind: &[u8; 4], record: &[u8; 4], body: &[u8], out: &mut Vec<u8>) {
        self.write(kind, out, |out| write(record, out, |out| out.extend_from_slice(body)));
    }

    /// An entry with the description of MPEG-4 (ISO/IEC 14496-1, sections 7.2.6.5 to 7.2.6.8).
    fn elementary(&self, kind: &[u8; 4], object: u8, config: &[u8], out: &mut Vec<u8>) {
        const SL_CONFIG: [u8; 3] = [6, 1, 2];
        let stream = if matches!(self.shape, Shape::Video(_)) { 4 } else { 5 };
        // Sizes of buffers and bit rates are not known.
        let mut decoder = [&[object, stream << 2 | 1][..], &[0; 11]].concat();
        if !config.is_empty() {
            descriptor(5, config, &mut decoder);
        }
        let mut body = vec![0; 3];
        descriptor(4, &decoder, &mut body);
        body.extend(SL_CONFIG);
        self.write(kind, out, |out| write_full(b"esds", 0, 0, out, |out| descriptor(3, &body, out)));
    }

    /// `VisualSampleEntry` (section 12.1.3) or `AudioSampleEntry` (section 12.2.3), then the boxes of the codec.
    fn write(&self, kind: &[u8; 4], out: &mut Vec<u8>, boxes: impl FnOnce(&mut Vec<u8>)) {
        write(kind, out, |out| {
            // Reserved, and the first data reference.
            halves(out, &[0, 0, 0, 1]);
            match self.shape {
                Shape::Video(shape) => {
                    visual(shape, out);
                    boxes(out);
                    let (wide, high) = shape.pixel_aspect;
                    if wide != high && wide != 0 && high != 0 {
                        write(b"pasp", out, |out| words(out, &[wide, high]));
                    }
                }
                Shape::Audio(shape) => {
                    audio(shape, out);
                    boxes(out);
                }
            }
        });
    }
}

fn visual(shape: &VideoShape, out: &mut Vec<u8>) {
    /// 72 pixels an inch.
    const RESOLUTION: u32 = 72 << 16;
    words(out, &[0; 4]);
    halves(out, &[half(shape.width), half(shape.height)]);
    words(out, &[RESOLUTION, RESOLUTION, 0]);
    // One frame a sample, no name of the compressor, 24 bits of colour, no palette.
    halves(out, &[1]);
    out.extend([0; 32]);
    halves(out, &[24, u16::MAX]);
}

fn audio(shape: &AudioShape, out: &mut Vec<u8>) {
    words(out, &[0; 2]);
    halves(out, &[shape.channels, 16, 0, 0]);
    // A rate that does not fit is 0: the codec's own configuration has it.
    words(out, &[u32::from(u16::try_from(shape.rate).unwrap_or(0)) << 16]);
}

fn half(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// A descriptor: tag, length with seven bits a byte (ISO/IEC 14496-1, section 8.3.3), body.
fn descriptor(tag: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    for shift in [21, 14, 7] {
        if body.len() >> shift != 0 {
            out.push(0x80 | (body.len() >> shift & 0x7f) as u8);
        }
    }
    out.push((body.len() & 0x7f) as u8);
    out.extend_from_slice(body);
}

/// From the header of Ogg, whose numbers begin with the lowest byte, to that of MP4 (Opus in ISOBMFF, section 4.3.2).
fn dops(parameters: &opus::Parameters) -> Vec<u8> {
    match parameters.head.get(8..) {
        Some(&[_, channels, skip_low, skip_high, a, b, c, d, gain_low, gain_high, family, ref table @ ..]) => {
            let mut body = vec![0, channels, skip_high, skip_low, d, c, b, a, gain_high, gain_low, family];
            if family != 0 {
                body.extend(table.iter().take(2 + usize::from(channels)));
            }
            body
        }
        // Two channels without anything special.
        _ => vec![0, 2, 0, 0, 0, 0, 0xbb, 0x80, 0, 0, 0],
    }
}

/// Version, flags, and `STREAMINFO` as the last metadata block (FLAC in ISOBMFF, section 3.3.2).
fn dfla(stream_info: &[u8]) -> Vec<u8> {
    let length = u8::try_from(stream_info.len()).unwrap_or_default();
    [&[0, 0, 0, 0, 0x80, 0, 0, length][..], stream_info].concat()
}
