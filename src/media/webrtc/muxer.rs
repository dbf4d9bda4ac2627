//! Samples in, frames of RTP payloads out.

use super::{
    frame::{self, Payloads},
    h264, vpx,
};
use crate::media::{
    Kind, MediaKind, PacketBuf, TrackInfo, TrackSet,
    codec::{CodecParameters, h264_sps::Sps},
    mux::{HeaderChange, Muxed},
    sample::Sample,
};
use bytes::Bytes;

/// Makes frames of RTP payloads of one video and one audio track.
#[derive(Debug, Default)]
pub struct Muxer {
    tracks: Vec<TrackInfo>,
    /// Counts the frames of video.
    number: u16,
}

impl Muxer {
    /// A muxer without tracks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether browsers play it, as far as the parameters tell: H.264 whose frames are shown in the order in which they are decoded,
    /// VP8, VP9, AV1, Opus.
    pub fn carries(codec: &CodecParameters) -> bool {
        match codec {
            CodecParameters::H264(_) => !is_reordered(codec),
            CodecParameters::Vp8 | CodecParameters::Vp9(_) | CodecParameters::Opus(_) => true,
            _ => false,
        }
    }

    /// The tracks from now on. Readers stay while the codecs do: parameters travel with the keyframes.
    pub fn set_tracks(&mut self, tracks: &[TrackInfo], out: &mut Vec<Muxed>) {
        let names = |tracks: &[TrackInfo]| tracks.iter().map(|track| track.codec.name()).collect::<Vec<_>>();
        let readers = match self.tracks.is_empty() || names(&self.tracks) == names(tracks) {
            true => HeaderChange::None,
            false => HeaderChange::End,
        };
        self.tracks = tracks.to_vec();
        let bytes = serde_json::to_vec(&TrackSet::new(tracks.to_vec())).unwrap_or_default();
        out.push(Muxed::Header { bytes: Bytes::from(bytes), readers });
    }

    /// The next sample; ignored if its track is unknown.
    pub fn push(&mut self, sample: &Sample, out: &mut Vec<Muxed>) {
        let Some(track) = self.tracks.iter().find(|track| track.id == sample.track) else { return };
        let kind = track.kind();
        let mut payloads = Payloads::default();
        match &track.codec {
            CodecParameters::H264(parameters) => {
                h264::packetize(parameters, sample.is_sync, &sample.data, &mut payloads);
            }
            CodecParameters::Vp8 => vpx::vp8(self.number, &sample.data, &mut payloads),
            CodecParameters::Vp9(_) => {
                let side = |side: u32| u16::try_from(side).unwrap_or(u16::MAX);
                let size = track.video().map(|shape| (side(shape.width), side(shape.height))).unwrap_or_default();
                vpx::vp9(self.number, size, sample.is_sync, &sample.data, &mut payloads);
            }
            // A packet of Opus is a payload (RFC 7587).
            _ => {
                payloads.extend(&sample.data);
                payloads.finish();
            }
        }
        if payloads.is_empty() {
            return;
        }
        let leads = kind == MediaKind::Video || self.tracks.iter().all(|track| track.kind() == MediaKind::Audio);
        if kind == MediaKind::Video {
            self.number = self.number.wrapping_add(1) & 0x7fff;
        }
        let bytes = frame::write(kind, sample.is_sync, sample.pts, &payloads);
        let mut buffer = PacketBuf::with_capacity(bytes.len());
        buffer.extend_from_slice(&bytes);
        buffer.entered = sample.entered;
        let mut packet = buffer.finish(if leads && sample.is_sync { Kind::Keyframe } else { Kind::Delta });
        packet.discontinuity = sample.discontinuity;
        packet.captured = sample.captured;
        out.push(Muxed::Packet(packet));
    }
}

/// The tracks that a header of this container lists.
pub fn tracks_of(header: &[u8]) -> Option<TrackSet> {
    serde_json::from_slice(header).ok()
}

/// Whether it is H.264 whose frames are shown in another order than decoded (B-frames). Every browser then stutters.
pub fn is_reordered(codec: &CodecParameters) -> bool {
    let CodecParameters::H264(parameters) = codec else { return false };
    let sps = parameters.sps.iter().filter_map(|sps| Sps::parse(sps));
    sps.into_iter().any(|sps| !sps.has_output_order && sps.max_num_reorder.is_some_and(|frames| frames > 0))
}
