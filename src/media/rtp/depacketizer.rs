//! RTP packets of a track, in order → whole access units.

use super::assemble::Frames;
use super::encoding::Encoding;
use super::packet::Packet;
use super::unit::Unit;
use super::{aac, ac3, av1, h264, h265, jpeg, latm, mpeg_audio, pcm, vp8, vp9};
use crate::media::codec::opus;
use bytes::Bytes;

/// Takes the packets of one track. Those that come too late must not reach it: [`Order`](super::Order) sorts.
#[derive(Debug)]
pub struct Depacketizer {
    kind: Kind,
    /// Of the last packet.
    sequence: Option<u16>,
    /// Something was lost before the next frame, for those formats where a packet is a frame.
    is_lost: bool,
}

#[derive(Debug)]
enum Kind {
    H264(Frames<h264::Depacketizer>),
    H265(Frames<h265::Depacketizer>),
    Av1(Frames<av1::Depacketizer>),
    Vp8(Frames<vp8::Depacketizer>),
    Vp9(Frames<vp9::Depacketizer>),
    Jpeg(Frames<jpeg::Depacketizer>),
    Latm(Frames<latm::Depacketizer>),
    Aac(aac::Depacketizer),
    Ac3(ac3::Depacketizer),
    MpegAudio(mpeg_audio::Depacketizer),
    Opus,
    /// Whether its samples have 24 bits.
    Pcm(bool),
}

impl Depacketizer {
    /// For packets with this encoding.
    pub fn new(encoding: &Encoding) -> Self {
        let kind = match encoding {
            Encoding::H264(_) => Kind::H264(Frames::new(h264::Depacketizer::default())),
            Encoding::H265(_) => Kind::H265(Frames::new(h265::Depacketizer::default())),
            Encoding::Av1 => Kind::Av1(Frames::new(av1::Depacketizer::default())),
            Encoding::Vp8 => Kind::Vp8(Frames::new(vp8::Depacketizer::default())),
            Encoding::Vp9 => Kind::Vp9(Frames::new(vp9::Depacketizer::default())),
            Encoding::Jpeg => Kind::Jpeg(Frames::new(jpeg::Depacketizer::default())),
            Encoding::Latm(config) => Kind::Latm(Frames::new(latm::Depacketizer::new(config.is_none()))),
            Encoding::Aac(_, fields) => Kind::Aac(aac::Depacketizer::new(*fields)),
            Encoding::Ac3 => Kind::Ac3(ac3::Depacketizer::default()),
            Encoding::MpegAudio => Kind::MpegAudio(mpeg_audio::Depacketizer::default()),
            Encoding::Opus(_) => Kind::Opus,
            Encoding::Pcm { format, .. } => Kind::Pcm(*format == crate::media::codec::pcm::Format::S24Le),
        };
        Self { kind, sequence: None, is_lost: false }
    }

    /// Takes the next packet; the units that are whole with it are appended to `out`.
    pub fn push(&mut self, packet: &Packet, out: &mut Vec<Unit>) {
        let sequence = packet.header.sequence;
        let has_gap = self.sequence.is_none_or(|last| last.wrapping_add(1) != sequence);
        self.sequence = Some(sequence);
        self.is_lost |= has_gap;
        match &mut self.kind {
            Kind::H264(frames) => frames.push(packet, has_gap, out),
            Kind::H265(frames) => frames.push(packet, has_gap, out),
            Kind::Av1(frames) => frames.push(packet, has_gap, out),
            Kind::Vp8(frames) => frames.push(packet, has_gap, out),
            Kind::Vp9(frames) => frames.push(packet, has_gap, out),
            Kind::Jpeg(frames) => frames.push(packet, has_gap, out),
            Kind::Latm(frames) => frames.push(packet, has_gap, out),
            Kind::Aac(frames) => frames.push(packet, has_gap, out),
            Kind::Ac3(frames) => frames.push(packet, has_gap, out),
            Kind::MpegAudio(frames) => frames.push(packet, has_gap, out),
            Kind::Opus if opus::samples(&packet.payload).is_some() => self.whole(packet, packet.payload.clone(), out),
            Kind::Opus => self.is_lost = true,
            Kind::Pcm(false) => self.whole(packet, packet.payload.clone(), out),
            Kind::Pcm(true) => self.whole(packet, pcm::reversed::<3>(&packet.payload), out),
        }
    }

    /// A packet that is a unit.
    fn whole(&mut self, packet: &Packet, data: Bytes, out: &mut Vec<Unit>) {
        let discontinuity = std::mem::take(&mut self.is_lost);
        out.push(Unit { timestamp: packet.header.timestamp, data, discontinuity });
    }
}
