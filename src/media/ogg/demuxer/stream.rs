//! One logical stream on its way from packets to samples in canonical form.

use super::super::{
    mapping::{Counts, Mapping, comment},
    page::END,
};
use super::packets::{Packets, Page};
use crate::media::codec::canonical::{Canonicalizer, SourceForm};
use crate::media::codec::{flac, opus, vorbis, xiph};
use crate::media::{Time, TrackId, TrackInfo, sample::Sample};
use bytes::Bytes;
use std::time::Duration;

/// What the first header of FLAC has before the marker of FLAC: a byte, `FLAC`, the version, the number of further headers.
const FLAC_HEAD: usize = 9;

/// A logical stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) serial: u32,
    id: TrackId,
    packets: Packets,
    state: State,
    /// Packets were lost since the last sample.
    is_interrupted: bool,
}

#[derive(Debug)]
enum State {
    /// Nothing came.
    New,
    /// Headers of Vorbis or Theora; there are three.
    Headers(Vec<Bytes>),
    Media(Box<Media>),
    /// Its packets are not understood, for it is of this codec, or headers are lost.
    Dead(Option<&'static str>),
}

#[derive(Debug)]
struct Media {
    info: TrackInfo,
    canonicalizer: Canonicalizer,
    counts: Counts,
    /// Where the next packet begins, as granule positions count.
    next: Option<i64>,
    /// Vorbis: samples of the last block.
    block: Option<u32>,
}

impl Stream {
    /// One of which nothing came, and whose samples have this number.
    pub(super) fn new(serial: u32, id: TrackId) -> Self {
        Self { serial, id, packets: Packets::default(), state: State::New, is_interrupted: false }
    }

    /// The number of its samples.
    pub(super) const fn id(&self) -> TrackId {
        self.id
    }

    /// Whether it is a track, or may become one.
    pub(super) const fn is_track(&self) -> bool {
        !matches!(self.state, State::Dead(_))
    }

    /// What it is, once its headers are whole.
    pub(super) const fn info(&self) -> Option<&TrackInfo> {
        match &self.state {
            State::Media(media) => Some(&media.info),
            _ => None,
        }
    }

    /// The name of its codec, if it is one that is not demuxed.
    pub(super) const fn unsupported(&self) -> Option<&'static str> {
        match self.state {
            State::Dead(name) => name,
            _ => None,
        }
    }

    /// Takes a page of it, and adds its samples to `out`.
    pub(super) fn take(&mut self, page: &Page<'_>, out: &mut Vec<Sample>) {
        let mut packets = Vec::new();
        if !self.packets.take(page, &mut packets) {
            self.lose();
        }
        let mut packets = packets.into_iter();
        while !matches!(self.state, State::Media(_)) {
            let Some(packet) = packets.next() else { return };
            self.header(packet);
        }
        let State::Media(media) = &mut self.state else { return };
        let from = out.len();
        media.take(self.id, packets, page, out);
        if let Some(first) = out.get_mut(from) {
            first.discontinuity = std::mem::take(&mut self.is_interrupted);
        }
    }

    /// Packets are missing.
    fn lose(&mut self) {
        match &mut self.state {
            // Live streams continue with other page numbers after their headers: nothing was there before to be interrupted.
            State::Media(media) if media.next.is_some() => {
                (media.next, media.block) = (None, None);
                self.is_interrupted = true;
            }
            State::Headers(_) => self.state = State::Dead(None),
            State::New | State::Media(_) | State::Dead(_) => {}
        }
    }

    fn header(&mut self, packet: Bytes) {
        self.state = match std::mem::replace(&mut self.state, State::Dead(None)) {
            State::New => match &packet[..] {
                [1, b'v', b'o', b'r', b'b', b'i', b's', ..] | [0x80, b't', b'h', b'e', b'o', b'r', b'a', ..] => {
                    State::Headers(vec![packet])
                }
                [b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', ..] => {
                    Media::state(self.id, SourceForm::Opus(opus::Parameters { head: packet }))
                }
                [0x7f, b'F', b'L', b'A', b'C', ..] => {
                    let parameters = packet.get(FLAC_HEAD..).and_then(flac::Parameters::from_header);
                    // Else each file would be another stream than the one before.
                    let info = parameters.and_then(|parameters| parameters.endless());
                    let form =
                        info.map(|info| SourceForm::Flac(flac::Parameters { stream_info: info.to_vec().into() }));
                    form.map_or(State::Dead(None), |form| Media::state(self.id, form))
                }
                packet => State::Dead(name(packet)),
            },
            State::Headers(mut headers) => {
                // Numbers of Vorbis are odd (Vorbis I, section 4.2.1), those of Theora have the highest bit (section 6.1).
                let (first, step) =
                    headers.first().and_then(|head| head.first()).map_or((0, 0), |first| match *first {
                        1 => (1, 2),
                        first => (first, 1),
                    });
                let number = usize::from(first) + headers.len() * step;
                if packet.first().is_none_or(|first| usize::from(*first) != number) {
                    return;
                }
                headers.push(packet);
                match <[Bytes; 3]>::try_from(headers) {
                    Ok(headers) => Media::state(self.id, form(headers)),
                    Err(headers) => State::Headers(headers),
                }
            }
            dead => dead,
        };
    }
}

/// The name of a codec that is known by its first packet, but not demuxed. Others may be no codec, as the skeleton is none.
fn name(packet: &[u8]) -> Option<&'static str> {
    let names: [(&[u8], _); 6] = [
        (b"OVP80", "VP8 in Ogg"),
        (b"Speex   ", "Speex"),
        (b"CELT    ", "CELT"),
        (b"PCM     ", "PCM in Ogg"),
        (b"BBCD\0", "Dirac"),
        (b"\x80kate", "Kate"),
    ];
    names.into_iter().find(|(magic, _)| packet.starts_with(magic)).map(|(_, name)| name)
}

/// Vorbis or Theora with these headers. The comment of a source is replaced: it names the song, and each song would be another
/// track than the one before.
fn form([identification, _, setup]: [Bytes; 3]) -> SourceForm {
    if identification.first() == Some(&1) {
        // The last bit is the framing bit (Vorbis I, section 5.2.1).
        let comment = [&comment(b"\x03vorbis")[..], &[1]].concat().into();
        SourceForm::Vorbis(xiph::Headers { identification, comment, setup })
    } else {
        SourceForm::Theora(xiph::Headers { identification, comment: comment(b"\x81theora"), setup })
    }
}

impl Media {
    fn state(id: TrackId, form: SourceForm) -> State {
        let canonicalizer = Canonicalizer::new(form);
        let media = || {
            let (codec, shape) = canonicalizer.parameters()?;
            let counts = Mapping::of(codec)?.counts;
            let info = TrackInfo { id, codec: codec.clone(), shape };
            Some((info, counts))
        };
        match media() {
            Some((info, counts)) => {
                State::Media(Box::new(Self { info, canonicalizer, counts, next: None, block: None }))
            }
            None => State::Dead(None),
        }
    }

    /// Takes the packets that end in a page.
    fn take(&mut self, id: TrackId, packets: impl Iterator<Item = Bytes>, page: &Page<'_>, out: &mut Vec<Sample>) {
        let packets: Vec<_> = packets.filter_map(|packet| Some((self.length(&packet)?, packet))).collect();
        if packets.is_empty() {
            return;
        }
        let total: i64 = packets.iter().map(|(length, _)| i64::from(*length)).sum();
        let counted = page.granule.map(|granule| self.end(granule).saturating_sub(total));
        let begin = match (counted, self.next) {
            // The last page may end before its last packet does, of which the rest is not to be heard. The packets stay whole here.
            (_, Some(next)) if page.flags & END != 0 => next,
            (Some(counted), None) if page.flags & END != 0 => counted.max(0),
            (Some(counted), _) => counted,
            (None, next) => next.unwrap_or(0),
        };
        let mut at = begin;
        for (length, packet) in packets {
            let (time, end) = (self.time(at), self.time(at.saturating_add(length.into())));
            at = at.saturating_add(length.into());
            let Some(canonical) = self.canonicalizer.push(packet) else { continue };
            out.push(Sample {
                track: id,
                dts: time,
                pts: time,
                duration: Some(Duration::from_nanos(end.since(time).unsigned_abs())),
                is_sync: canonical.is_sync,
                discontinuity: false,
                captured: None,
                entered: None,
                data: canonical.data,
            });
        }
        self.next = Some(at);
    }

    /// How many counts a packet lasts; `None` when it is a header.
    fn length(&mut self, packet: &[u8]) -> Option<u32> {
        match &self.counts {
            Counts::Opus { .. } => opus::samples(packet),
            Counts::Vorbis { blocks, .. } => {
                if packet.first()? & 1 != 0 {
                    return None;
                }
                // A packet gives half of its own block and half of the one before: the first one gives nothing.
                let block = blocks.as_ref().and_then(|blocks| blocks.block(packet));
                let last = self.block;
                self.block = block.or(last);
                Some(block.zip(last).map_or(0, |(block, last)| vorbis::Stream::samples(last, block)))
            }
            Counts::Flac { .. } => flac::block_size(packet),
            Counts::Theora { .. } => packet.first().is_none_or(|first| first & 0x80 == 0).then_some(1),
        }
    }

    /// The count at the end of the packet that has this granule position.
    fn end(&self, granule: i64) -> i64 {
        match self.counts {
            // The number of the keyframe, and the distance from it (Theora, section A.2.3).
            Counts::Theora { shift, from_zero, .. } => {
                let distance = granule & ((1 << shift) - 1);
                (granule >> shift).saturating_add(distance).saturating_add(from_zero.into())
            }
            Counts::Opus { .. } | Counts::Vorbis { .. } | Counts::Flac { .. } => granule,
        }
    }

    /// The time of a count.
    fn time(&self, count: i64) -> Time {
        let (rate, divisor) = self.counts.rate();
        let skipped = match self.counts {
            // The first samples that are heard are those after these (RFC 7845, section 4.2).
            Counts::Opus { pre_skip } => i64::from(pre_skip),
            _ => 0,
        };
        Time::from_ticks(count.saturating_sub(skipped).saturating_mul(divisor.into()), rate)
    }
}
