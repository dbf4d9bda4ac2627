//! Reads pages and packets, for the tests of what writes them.

use super::mapping::{Counts, Mapping};
use super::scan::Ogg;
use crate::media::{
    Time, TrackId, TrackInfo,
    codec::{CodecParameters, flac, opus, xiph},
    framing::{FrameLength, Framing},
    sample::Sample,
    track::{AudioShape, Shape, VideoShape},
};
use bytes::Bytes;
use std::time::Duration;

/// A page.
pub(super) struct Page<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) flags: u8,
    pub(super) granule: i64,
    pub(super) serial: u32,
    pub(super) sequence: u32,
    pub(super) lacing: &'a [u8],
    pub(super) content: &'a [u8],
}

/// All pages of some bytes, which must be whole pages.
pub(super) fn pages(bytes: &[u8]) -> Vec<Page<'_>> {
    let (mut pages, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let FrameLength::Unit(length) = Ogg::measure(rest) else { panic!("no page") };
        let (bytes, after) = rest.split_at(length);
        let (lacing, content) = bytes[27..].split_at(usize::from(bytes[26]));
        pages.push(Page {
            bytes,
            flags: bytes[5],
            granule: i64::from_le_bytes(bytes[6..14].try_into().unwrap()),
            serial: u32::from_le_bytes(bytes[14..18].try_into().unwrap()),
            sequence: u32::from_le_bytes(bytes[18..22].try_into().unwrap()),
            lacing,
            content,
        });
        rest = after;
    }
    pages
}

/// A packet, with the granule position of the page in which it ends if it is the last one there.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    pub(super) serial: u32,
    pub(super) granule: Option<i64>,
    pub(super) data: Vec<u8>,
}

/// All packets of some pages, in the order of their ends.
pub(super) fn packets(bytes: &[u8]) -> Vec<Packet> {
    let mut packets = Vec::new();
    let mut open: std::collections::HashMap<u32, Vec<u8>> = std::collections::HashMap::new();
    for page in pages(bytes) {
        let mut rest = page.content;
        let last = page.lacing.iter().rposition(|length| *length < 255);
        for (at, length) in page.lacing.iter().enumerate() {
            let (part, after) = rest.split_at(usize::from(*length));
            rest = after;
            open.entry(page.serial).or_default().extend(part);
            if *length < 255 {
                let data = open.remove(&page.serial).unwrap();
                packets.push(Packet { serial: page.serial, granule: (last == Some(at)).then_some(page.granule), data });
            }
        }
    }
    packets
}

/// What a capture consists of: its tracks, with equal numbers for equal captures, and the samples of each, whose times are
/// counted from 0; and the granule positions of the packets, where the capture has one.
pub(super) fn demux(capture: &[u8]) -> (Vec<TrackInfo>, Vec<(Sample, Option<i64>)>) {
    let mut streams: Vec<(u32, Vec<Packet>)> = Vec::new();
    for packet in packets(capture) {
        match streams.iter_mut().find(|(serial, _)| *serial == packet.serial) {
            Some((_, packets)) => packets.push(packet),
            None => streams.push((packet.serial, vec![packet])),
        }
    }
    let (mut tracks, mut samples) = (Vec::new(), Vec::new());
    for (number, (_, packets)) in streams.iter().enumerate() {
        let id = TrackId(number as u8);
        let header = |at: usize| Bytes::from(packets[at].data.clone());
        let three = || xiph::Headers { identification: header(0), comment: header(1), setup: header(2) };
        let (codec, headers) = match &packets[0].data[1..4] {
            b"pus" => (CodecParameters::Opus(opus::Parameters { head: header(0) }), 2),
            b"vor" => (CodecParameters::Vorbis(three()), 3),
            b"the" => (CodecParameters::Theora(three()), 3),
            _ => {
                // The number of header packets in the first one is wrong in those of GStreamer.
                let frames = packets.iter().position(|packet| packet.data[0] == 0xff).unwrap();
                (CodecParameters::Flac(flac::Parameters { stream_info: header(0).slice(17..) }), frames)
            }
        };
        let shape = match codec.is_video() {
            true => Shape::Video(VideoShape { width: 160, height: 120, pixel_aspect: (1, 1), frame_rate: None }),
            false => Shape::Audio(AudioShape { rate: 48_000, channels: 1 }),
        };
        let mapping = Mapping::of(&codec).unwrap();
        let (rate, divisor) = mapping.counts.rate();
        let mut at = if let Counts::Opus { pre_skip } = mapping.counts { -i64::from(pre_skip) } else { 0 };
        let mut last = None;
        // ffmpeg ends FLAC with an empty packet.
        for packet in packets[headers..].iter().filter(|packet| codec.is_video() || !packet.data.is_empty()) {
            let length = match &mapping.counts {
                Counts::Opus { .. } => opus::samples(&packet.data).unwrap(),
                Counts::Vorbis { blocks, .. } => {
                    let block = blocks.as_ref().unwrap().block(&packet.data).unwrap();
                    last.replace(block).map_or(0, |last| (last + block) / 4)
                }
                Counts::Flac { .. } => flac::block_size(&packet.data).unwrap(),
                Counts::Theora { .. } => 1,
            };
            let time = Time::from_ticks(at * i64::from(divisor), rate);
            at += i64::from(length);
            let is_sync = !codec.is_video() || packet.data[0] & 0x40 == 0;
            let data = Bytes::from(packet.data.clone());
            let sample = Sample {
                track: id,
                dts: time,
                pts: time,
                duration: None,
                is_sync,
                discontinuity: false,
                captured: Some(Duration::from_millis(7)),
                entered: Some(Duration::from_millis(9)),
                data,
            };
            samples.push((sample, packet.granule));
        }
        tracks.push(TrackInfo { id, codec, shape });
    }
    samples.sort_by_key(|(sample, _)| sample.dts);
    (tracks, samples)
}
