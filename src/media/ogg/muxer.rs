//! Muxes samples into Ogg: each in a page of its own, which leaves immediately.
//!
//! Readers that begin in the middle get the header pages, whose sequence numbers begin with 0, and then pages with the
//! numbers of now. RFC 3533 takes the gap between them for a loss; players expect it of every live stream.
//!
//! Other tracks, or other parameters, begin a new chain of logical streams (RFC 3533, section 4). Few players continue there:
//! libavformat fails if there is more than one track, if the codec changes, and in newer versions if channels or rate do.

use super::mapping::{Counts, Mapping};
use super::page::Pages;
use super::position::{Position, Timeline};
use crate::media::{
    Kind, Packet, PacketBuf, TrackId, TrackInfo,
    codec::{CodecParameters, flac, opus, vorbis},
    mux::{HeaderChange, Muxed},
    sample::Sample,
    track::{MediaKind, lead},
};
use bytes::Bytes;
use std::time::Duration;

/// Muxes Opus (RFC 7845), Vorbis, FLAC (RFC 9639, section 10.1) and Theora.
#[derive(Debug, Default)]
pub struct Muxer {
    streams: Vec<Stream>,
    /// Sync samples of this track are join points.
    lead: Option<TrackId>,
    timeline: Timeline,
    /// Serial number of the last logical stream.
    serial: u32,
}

/// One track.
#[derive(Debug)]
struct Stream {
    track: TrackId,
    mapping: Mapping,
    pages: Pages,
    position: Position,
    /// Granule position of the last page.
    granule: i64,
    /// Vorbis: samples of the last block.
    block: Option<u32>,
    /// Vorbis: the last packets, if there were as many.
    recent: [Bytes; 2],
    /// Theora: the number of the last keyframe.
    keyframe: Option<i64>,
}

impl Muxer {
    /// A stream without tracks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a track of this codec can be carried.
    pub fn carries(codec: &CodecParameters) -> bool {
        Mapping::of(codec).is_some()
    }

    /// The tracks from now on; those that cannot be carried are ignored. The logical streams continue if their header
    /// packets stay the same, else they end, and others begin.
    pub fn set_tracks(&mut self, tracks: &[TrackInfo], out: &mut Vec<Muxed>) {
        let of = |kind| tracks.iter().filter(move |track| track.kind() == kind);
        let carried = of(MediaKind::Video).chain(of(MediaKind::Audio));
        let mapped: Vec<_> = carried.filter_map(|track| Some((track.id, Mapping::of(&track.codec)?))).collect();
        let carried: Vec<_> =
            tracks.iter().filter(|track| mapped.iter().any(|(id, _)| *id == track.id)).cloned().collect();
        self.lead = lead(&carried).map(|track| track.id);
        let is_same = self.streams.len() == mapped.len()
            && self.streams.iter().zip(&mapped).all(|(stream, (_, new))| stream.mapping.continues(new));
        if mapped.is_empty() || is_same {
            self.streams.iter_mut().zip(mapped).for_each(|(stream, (id, _))| stream.track = id);
            return;
        }
        let readers = match (&self.streams[..], &mapped[..]) {
            ([], _) => HeaderChange::None,
            ([old], [(_, new)]) if old.mapping.chains(new) => HeaderChange::Inline,
            _ => HeaderChange::End,
        };
        out.extend(self.end().map(Muxed::Packet));
        self.timeline.has_many = mapped.len() > 1;
        self.streams =
            mapped.into_iter().map(|(track, mapping)| Stream::new(track, mapping, &mut self.serial)).collect();
        out.push(Muxed::Header { bytes: self.header(), readers });
    }

    /// The next sample. It is ignored if its track is unknown.
    pub fn push(&mut self, sample: &Sample, out: &mut Vec<Muxed>) {
        let Some(stream) = self.streams.iter().find(|stream| stream.track == sample.track) else { return };
        let is_video = matches!(stream.mapping.counts, Counts::Theora { .. });
        // Only video has packets without content: the frame before is shown again.
        if sample.data.is_empty() && !is_video {
            return;
        }
        let is_join = self.lead == Some(sample.track) && (sample.is_sync || !is_video);
        let lead = if is_join { self.recent() } else { None };
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.track == sample.track) else { return };
        let granule = stream.advance(sample, &mut self.timeline);
        let mut payload = PacketBuf::with_capacity(Pages::size(sample.data.len()));
        stream.pages.packet(&sample.data, granule, |bytes| payload.extend_from_slice(bytes));
        payload.entered = sample.entered;
        let mut packet = payload.finish(if is_join { Kind::Keyframe } else { Kind::Delta });
        packet.captured = sample.captured;
        packet.discontinuity = sample.discontinuity;
        packet.lead = lead;
        out.push(Muxed::Packet(packet));
    }

    /// What readers that begin here get in front: the last two packets of Vorbis in one page. The first packet that a decoder
    /// of Vorbis gets gives no audio. Chromium takes its time for 0, the next page's for what it is, and is silent in between.
    /// With a second packet in the first page, there is audio at 0, and Chromium does not mind the gap after it.
    fn recent(&self) -> Option<Bytes> {
        let pages = self.streams.iter().filter_map(|stream| {
            let [before, last] = &stream.recent;
            let is_known = !before.is_empty() && !last.is_empty();
            is_known.then(|| stream.pages.again(&[before, last], stream.granule)).flatten()
        });
        let pages: Vec<u8> = pages.reduce(|mut all, page| {
            all.extend(page);
            all
        })?;
        Some(pages.into())
    }

    /// The last pages of all logical streams.
    fn end(&mut self) -> Option<Packet> {
        let mut payload = PacketBuf::with_capacity(Pages::END_SIZE * self.streams.len());
        for stream in &mut self.streams {
            stream.pages.end(stream.granule, |bytes| payload.extend_from_slice(bytes));
        }
        (!payload.is_empty()).then(|| payload.finish(Kind::Delta))
    }

    /// The first pages of all logical streams, then the others with header packets.
    fn header(&mut self) -> Bytes {
        let mut header = Vec::new();
        let mut put = |bytes: &[u8]| header.extend_from_slice(bytes);
        for Stream { mapping, pages, .. } in &mut self.streams {
            mapping.headers.iter().take(1).for_each(|packet| pages.packet(packet, 0, &mut put));
        }
        for Stream { mapping, pages, .. } in &mut self.streams {
            mapping.headers.iter().skip(1).for_each(|packet| pages.packet(packet, 0, &mut put));
        }
        header.into()
    }
}

impl Stream {
    fn new(track: TrackId, mapping: Mapping, serial: &mut u32) -> Self {
        *serial = serial.wrapping_add(1);
        let position = Position::new(mapping.counts.rate());
        Self {
            track,
            mapping,
            pages: Pages::new(*serial),
            position,
            granule: 0,
            block: None,
            recent: [Bytes::new(), Bytes::new()],
            keyframe: None,
        }
    }

    /// The granule position at the end of a sample.
    fn advance(&mut self, sample: &Sample, timeline: &mut Timeline) -> i64 {
        let (rate, divisor) = self.mapping.counts.rate();
        let told = || {
            let counts = sample.duration.unwrap_or_default().as_nanos() * u128::from(rate)
                / (u128::from(divisor) * 1_000_000_000);
            u32::try_from(counts).unwrap_or_default()
        };
        let mut time = sample.pts;
        let length = match &self.mapping.counts {
            Counts::Opus { pre_skip } => {
                let length = opus::samples(&sample.data).unwrap_or_else(told);
                let lasts = Duration::from_secs(1) * length / rate;
                // An encoder's first packet may last longer than what is shown of it, which is its end.
                if let Some(shown) = sample.duration.filter(|shown| *shown < lasts && self.position.is_new()) {
                    time = time - (lasts - shown);
                }
                time = time + Duration::from_secs(1) * u32::from(*pre_skip) / rate;
                length
            }
            Counts::Vorbis { blocks: Some(blocks), .. } => {
                // A packet gives half of its own block and half of the one before: the first one gives nothing.
                let block = blocks.block(&sample.data);
                let last = self.block;
                self.block = block.or(last);
                block.zip(last).map_or(0, |(block, last)| vorbis::Stream::samples(last, block))
            }
            Counts::Vorbis { blocks: None, .. } => told(),
            Counts::Flac { .. } => flac::block_size(&sample.data).unwrap_or_else(told),
            Counts::Theora { .. } => 1,
        };
        if matches!(self.mapping.counts, Counts::Vorbis { .. }) {
            let [before, last] = &mut self.recent;
            *before = std::mem::replace(last, sample.data.clone());
        }
        let end = self.position.place(time, length, sample.discontinuity, timeline);
        self.granule = match self.mapping.counts {
            Counts::Theora { shift, from_zero, .. } => self.frame(end - i64::from(from_zero), shift, sample.is_sync),
            _ => end,
        };
        self.granule
    }

    /// Granule position of the frame with this number: the number of its keyframe, then its distance from that (Theora, section
    /// A.2.3).
    fn frame(&mut self, number: i64, shift: u32, is_keyframe: bool) -> i64 {
        let most = (1i64 << shift) - 1;
        let number = number.clamp(0, i64::MAX >> shift);
        let keyframe = match self.keyframe {
            _ if is_keyframe => number,
            // A distance that is too large is not told: the number of the frame has to be right.
            Some(keyframe) => keyframe.clamp(number.saturating_sub(most).max(0), number),
            None => number.saturating_sub(most.min(1)),
        };
        self.keyframe = Some(keyframe);
        keyframe << shift | (number - keyframe)
    }
}

#[cfg(test)]
mod tests;
