//! Samples in the canonical form of their codec → payloads of RTP packets.

use super::payloads::Payloads;
use super::{aac, ac3, av1, h264, h265, jpeg, mpeg_audio, pcm, vp8, vp9};
use crate::media::codec::CodecParameters;
use crate::media::{Sample, TrackInfo};

/// Least bytes of a payload: below it, heads of payloads would be most of it.
const MIN_LIMIT: usize = 64;

/// Makes the payloads of one track. State that must continue, like the numbers of frames of VP8, lives in it.
#[derive(Debug)]
pub struct Packetizer {
    codec: Codec,
    limit: usize,
}

#[derive(Debug)]
enum Codec {
    H264(crate::media::codec::h264::Parameters),
    H265(crate::media::codec::h265::Parameters),
    Av1(crate::media::codec::av1::Parameters),
    Vp8(vp8::Packetizer),
    Vp9(vp9::Packetizer),
    Jpeg,
    Aac,
    Opus,
    MpegAudio,
    Ac3,
    Pcm(pcm::Packetizer),
}

impl Packetizer {
    /// For a track, with payloads of at most `limit` bytes. `None` when RTP cannot carry its codec.
    pub fn new(track: &TrackInfo, limit: usize) -> Option<Self> {
        // What has a payload format also has a name in SDP, and the other way round.
        super::Format::of(track)?;
        let codec = match &track.codec {
            CodecParameters::H264(parameters) => Codec::H264(parameters.clone()),
            CodecParameters::H265(parameters) => Codec::H265(parameters.clone()),
            CodecParameters::Av1(parameters) => Codec::Av1(parameters.clone()),
            CodecParameters::Vp8 => Codec::Vp8(vp8::Packetizer::default()),
            CodecParameters::Vp9(_) => Codec::Vp9(vp9::Packetizer::default()),
            CodecParameters::Jpeg => Codec::Jpeg,
            CodecParameters::Aac(_) => Codec::Aac,
            CodecParameters::Opus(_) => Codec::Opus,
            CodecParameters::MpegAudio(_) => Codec::MpegAudio,
            CodecParameters::Ac3(_) => Codec::Ac3,
            CodecParameters::Pcm(format) => Codec::Pcm(pcm::Packetizer::new(*format, track.audio()?.channels)?),
            CodecParameters::Mpeg1Video
            | CodecParameters::Mpeg2Video
            | CodecParameters::Mpeg4Visual(_)
            | CodecParameters::Raw(_)
            | CodecParameters::Theora(_)
            | CodecParameters::Vorbis(_)
            | CodecParameters::Flac(_)
            | CodecParameters::Eac3(_) => return None,
        };
        Some(Self { codec, limit: limit.max(MIN_LIMIT) })
    }

    /// The parameters of the track changed: those of the samples that follow are these. Whether it can continue: not with
    /// another codec.
    pub fn set_track(&mut self, track: &TrackInfo) -> bool {
        match (&mut self.codec, &track.codec) {
            (Codec::H264(known), CodecParameters::H264(new)) => known.clone_from(new),
            (Codec::H265(known), CodecParameters::H265(new)) => known.clone_from(new),
            (Codec::Av1(known), CodecParameters::Av1(new)) => known.clone_from(new),
            (Codec::Vp8(_), CodecParameters::Vp8)
            | (Codec::Vp9(_), CodecParameters::Vp9(_))
            | (Codec::Jpeg, CodecParameters::Jpeg) => {}
            _ => return false,
        }
        true
    }

    /// Appends the payloads of a sample: none for what the payload format cannot carry, like JPEG with tables of its own.
    pub fn push(&mut self, sample: &Sample, out: &mut Payloads) {
        let (from, data, limit) = (out.len(), &sample.data[..], self.limit);
        match &mut self.codec {
            Codec::H264(parameters) => h264::packetize(sample, parameters, limit, out),
            Codec::H265(parameters) => h265::packetize(sample, parameters, limit, out),
            Codec::Av1(parameters) => av1::packetize(sample, parameters, limit, out),
            Codec::Vp8(packetizer) => packetizer.push(data, limit, out),
            Codec::Vp9(packetizer) => packetizer.push(data, sample.is_sync, limit, out),
            Codec::Jpeg => jpeg::packetize(data, limit, out),
            Codec::Aac => aac::packetize(data, limit, out),
            Codec::Ac3 => ac3::packetize(data, limit, out),
            Codec::Opus => return out.push(&[data], false, 0),
            Codec::MpegAudio => return mpeg_audio::packetize(data, limit, out),
            Codec::Pcm(packetizer) => return packetizer.push(data, limit, out),
        }
        out.mark_last(from);
    }
}
