//! Samples in, frames of RTP payloads out.

use super::{MAX_PAYLOAD, frame, vp9};
use crate::media::{
    Kind, MediaKind, PacketBuf, TrackInfo, TrackSet,
    codec::{CodecParameters, h264_sps::Sps},
    mux::{HeaderChange, Muxed},
    rtp::{Packetizer, Payloads},
    sample::Sample,
};
use bytes::Bytes;

/// Makes frames of RTP payloads of one video and one audio track.
#[derive(Debug, Default)]
pub struct Muxer {
    tracks: Vec<(TrackInfo, Packetizer)>,
}

impl Muxer {
    /// A muxer without tracks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether browsers play it, as far as the parameters show: H.264 whose frames are shown in the order in which they are decoded,
    /// VP8, VP9, AV1, Opus.
    pub fn carries(codec: &CodecParameters) -> bool {
        match codec {
            CodecParameters::H264(_) => !is_reordered(codec),
            CodecParameters::Vp8 | CodecParameters::Vp9(_) | CodecParameters::Av1(_) | CodecParameters::Opus(_) => true,
            _ => false,
        }
    }

    /// The tracks from now on. Readers stay while the codecs do: parameters travel with the keyframes.
    pub fn set_tracks(&mut self, tracks: &[TrackInfo], out: &mut Vec<Muxed>) {
        let mut before = std::mem::take(&mut self.tracks);
        let is_first = before.is_empty();
        let mut is_same = before.len() == tracks.len();
        for track in tracks {
            let at = before.iter().position(|(known, _)| known.id == track.id);
            let known = at.map(|at| before.swap_remove(at).1);
            let continued = known.and_then(|mut known| known.set_track(track).then_some(known));
            is_same &= continued.is_some() || track.kind() == MediaKind::Audio;
            let limit = match &track.codec {
                CodecParameters::Vp9(_) => MAX_PAYLOAD - vp9::GROWTH,
                _ => MAX_PAYLOAD,
            };
            let packetizer = continued.or_else(|| Packetizer::new(track, limit));
            self.tracks.extend(packetizer.map(|packetizer| (track.clone(), packetizer)));
        }
        let readers = if is_first || is_same { HeaderChange::None } else { HeaderChange::End };
        let bytes = serde_json::to_vec(&TrackSet::new(tracks.to_vec())).unwrap_or_default();
        out.push(Muxed::Header { bytes: Bytes::from(bytes), readers });
    }

    /// The next sample; ignored if its track is unknown.
    pub fn push(&mut self, sample: &Sample, out: &mut Vec<Muxed>) {
        let has_video = self.tracks.iter().any(|(track, _)| track.kind() == MediaKind::Video);
        let Some((track, packetizer)) = self.tracks.iter_mut().find(|(track, _)| track.id == sample.track) else {
            return;
        };
        let kind = track.kind();
        let mut payloads = Payloads::new(0);
        packetizer.push(sample, &mut payloads);
        if payloads.is_empty() {
            return;
        }
        let pieces = payloads.iter().map(|(payload, _)| payload);
        let bytes = match &track.codec {
            CodecParameters::Vp9(_) => {
                let side = |side: u32| u16::try_from(side).unwrap_or(u16::MAX);
                let size = track.video().map(|shape| (side(shape.width), side(shape.height))).unwrap_or_default();
                let pieces: Vec<_> = pieces.map(|payload| vp9::layered(payload, sample.is_sync, size)).collect();
                frame::write(kind, sample.is_sync, sample.pts, &pieces)
            }
            _ => frame::write(kind, sample.is_sync, sample.pts, &pieces.collect::<Vec<_>>()),
        };
        let leads = kind == MediaKind::Video || !has_video;
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
