//! How codecs are carried in Ogg: their header packets, and what their granule positions count.

use crate::media::codec::{CodecParameters, opus, xiph};
use bytes::Bytes;

/// Who made the stream, as comment headers name it.
const VENDOR: &[u8] = b"voyandz";
/// Samples a second of granule positions of Opus, whatever was encoded (RFC 7845, section 4).
const OPUS_RATE: u32 = 48_000;

/// How a codec is carried.
#[derive(Debug)]
pub(super) struct Mapping {
    /// The header packets; the first one stands alone in the first page.
    pub(super) headers: Vec<Bytes>,
    /// What granule positions count.
    pub(super) counts: Counts,
}

/// What granule positions count, and how many of them a packet lasts.
#[derive(Debug)]
pub(super) enum Counts {
    /// Samples at 48 kHz, with the first ones that are dropped.
    Opus {
        /// How many are dropped.
        pre_skip: u16,
    },
    /// Samples.
    Vorbis {
        /// Samples a second.
        rate: u32,
        /// Sizes of blocks; `None` when the setup header cannot be read.
        blocks: Option<Blocks>,
    },
    /// Samples.
    Flac {
        /// Samples a second.
        rate: u32,
    },
    /// Frames up to a keyframe, and those behind it in the lower bits.
    Theora {
        /// Frames a second, as a fraction.
        rate: (u32, u32),
        /// Number of the lower bits.
        shift: u32,
        /// The first frame has the number 0, as before Theora 3.2.1.
        from_zero: bool,
    },
}

impl Mapping {
    /// That of a track; `None` when there is none.
    pub(super) fn of(codec: &CodecParameters) -> Option<Self> {
        match codec {
            CodecParameters::Opus(parameters) => opus(parameters),
            CodecParameters::Vorbis(headers) => vorbis(headers),
            CodecParameters::Flac(parameters) => flac(&parameters.stream_info),
            CodecParameters::Theora(headers) => theora(headers),
            _ => None,
        }
    }

    /// Whether a decoder of this one decodes the other's packets: they differ in comments at most, or in what only says where
    /// the other one began and what was encoded.
    pub(super) fn continues(&self, other: &Self) -> bool {
        let decodable = |mapping: &Self| -> Vec<Bytes> {
            let mut headers = mapping.headers.clone();
            match (&mapping.counts, &mut headers[..]) {
                // Pre-skip and the rate of the input.
                (Counts::Opus { .. }, [head, ..]) => {
                    let mut bytes = head.to_vec();
                    bytes.iter_mut().skip(10).take(6).for_each(|byte| *byte = 0);
                    *head = bytes.into();
                }
                (_, [_, comment, ..]) => comment.clear(),
                _ => {}
            }
            headers
        };
        decodable(self) == decodable(other)
    }

    /// Whether players survive it when a chain of logical streams changes from this one to the other. Those that use libavformat do
    /// so while channels and rate stay, but decode Vorbis with the code books of before.
    pub(super) fn chains(&self, other: &Self) -> bool {
        let field = |mapping: &Self, from: usize, to: usize| {
            mapping.headers.first().and_then(|head| head.get(from..to)).map(<[u8]>::to_vec)
        };
        match (&self.counts, &other.counts) {
            // Channels.
            (Counts::Opus { .. }, Counts::Opus { .. }) => field(self, 9, 10) == field(other, 9, 10),
            // Rate, channels and bits of a sample.
            (Counts::Flac { .. }, Counts::Flac { .. }) => field(self, 27, 31) == field(other, 27, 31),
            _ => false,
        }
    }
}

/// A comment header without comments (Vorbis I, section 5.2.1).
fn comment(magic: &[u8]) -> Bytes {
    [magic, &(VENDOR.len() as u32).to_le_bytes(), VENDOR, &[0; 4]].concat().into()
}

/// RFC 7845, section 5.
fn opus(parameters: &opus::Parameters) -> Option<Mapping> {
    let is_head = parameters.head.len() >= 19 && parameters.head.starts_with(b"OpusHead");
    is_head.then(|| Mapping {
        headers: vec![parameters.head.clone(), comment(b"OpusTags")],
        counts: Counts::Opus { pre_skip: parameters.pre_skip() },
    })
}

/// Vorbis I, section A.
fn vorbis(headers: &xiph::Headers) -> Option<Mapping> {
    let head = headers.identification.strip_prefix(b"\x01vorbis")?;
    let rate = u32::from_le_bytes(*head.get(5..)?.first_chunk()?);
    let is_whole = headers.comment.starts_with(b"\x03vorbis") && headers.setup.starts_with(b"\x05vorbis");
    (is_whole && rate > 0).then(|| Mapping {
        headers: vec![headers.identification.clone(), headers.comment.clone(), headers.setup.clone()],
        counts: Counts::Vorbis { rate, blocks: Blocks::read(headers) },
    })
}

/// FLAC-to-Ogg mapping 1.0 (RFC 9639, section 10.1).
fn flac(stream_info: &[u8]) -> Option<Mapping> {
    let info = endless(stream_info)?;
    let [.., a, b, c, _] = info.first_chunk::<14>()?.split_at(10).1 else { return None };
    let rate = u32::from_be_bytes([0, *a, *b, *c]) >> 4;
    // One more header packet follows. Its block is the last one of the metadata.
    let first = [&b"\x7fFLAC\x01\x00\x00\x01fLaC\x00\x00\x00\x22"[..], &info].concat();
    let comment = comment(b"");
    let length = u32::try_from(comment.len()).ok()?.to_be_bytes();
    let second = [&[0x84], length.get(1..)?, &comment].concat();
    (rate > 0).then(|| Mapping { headers: vec![first.into(), second.into()], counts: Counts::Flac { rate } })
}

/// `STREAMINFO` of audio that does not end: what is known at an end only, the sizes of frames, the number of samples
/// and the MD5, is unknown (RFC 9639, section 8.2). So it is also equal when the same source begins again.
pub(in crate::media) fn endless(stream_info: &[u8]) -> Option<[u8; 34]> {
    let mut info: [u8; 34] = stream_info.try_into().ok()?;
    info.get_mut(4..10)?.fill(0);
    *info.get_mut(13)? &= 0xf0;
    info.get_mut(14..)?.fill(0);
    Some(info)
}

/// Theora, section 6.2 and A.2.
fn theora(headers: &xiph::Headers) -> Option<Mapping> {
    let head = headers.identification.strip_prefix(b"\x80theora")?;
    let version = head.first_chunk::<3>()?;
    let number = |at: usize| Some(u32::from_be_bytes(*head.get(at..)?.first_chunk()?));
    let rate = (number(15)?, number(19)?);
    // Six bits of quality, five of the shift.
    let shift = u32::from(u16::from_be_bytes(*head.get(33..)?.first_chunk()?) >> 5 & 0x1f);
    let is_whole = headers.comment.starts_with(b"\x81theora") && headers.setup.starts_with(b"\x82theora");
    (is_whole && rate.0 > 0 && rate.1 > 0).then(|| Mapping {
        headers: vec![headers.identification.clone(), headers.comment.clone(), headers.setup.clone()],
        counts: Counts::Theora { rate, shift, from_zero: *version < [3, 2, 1] },
    })
}

/// Which sizes the blocks of Vorbis have, by the modes of its setup header.
// codec: belongs into codec/xiph.rs if demuxers need it as well.
#[derive(Debug)]
pub(super) struct Blocks {
    /// Samples of the short and of the long block.
    sizes: (u32, u32),
    /// Which modes use the long one.
    are_long: Vec<bool>,
}

/// Bits of a mode: a flag, window type, transform type and mapping (Vorbis I, section 4.2.4).
const MODE: usize = 1 + 16 + 16 + 8;
/// Most modes; most mappings too.
const MAX_MODES: usize = 64;

impl Blocks {
    /// The modes are the last thing in the setup header. Their number stands in front of them, and each has 32 bits that
    /// are always 0. So they are found from the end, without reading all the code books.
    fn read(headers: &xiph::Headers) -> Option<Self> {
        let exponents = headers.identification.get(28)?;
        let size = |exponent: u8| (6..=13).contains(&exponent).then(|| 1u32 << exponent);
        let sizes = (size(exponents & 0x0f)?, size(exponents >> 4)?);
        let setup = &headers.setup;
        // Bits are packed from the lowest one on.
        let bits = |at: usize, count: usize| -> Option<u32> {
            (at..at + count)
                .rev()
                .try_fold(0, |number, at| Some(number << 1 | u32::from(setup.get(at / 8)? >> (at % 8) & 1)))
        };
        let is_mode = |at: usize| bits(at + 1, 32) == Some(0) && bits(at + 33, 8).is_some_and(|mapping| mapping < 64);
        // The framing flag is the last bit that is set.
        let last = setup.iter().rposition(|byte| *byte != 0)?;
        let end = last * 8 + 7 - setup.get(last)?.leading_zeros() as usize;
        let begin_of = |modes: usize| end.checked_sub(modes * MODE);
        let count = (1..=MAX_MODES)
            .take_while(|modes| begin_of(*modes).is_some_and(is_mode))
            .filter(|modes| {
                let number = begin_of(*modes).and_then(|begin| bits(begin.checked_sub(6)?, 6));
                number.is_some_and(|number| number as usize + 1 == *modes)
            })
            .last()?;
        let begin = begin_of(count)?;
        let are_long = (0..count).map(|mode| bits(begin + mode * MODE, 1) == Some(1)).collect();
        Some(Self { sizes, are_long })
    }

    /// Samples of the block in a packet; `None` for what is no audio.
    pub(super) fn of(&self, packet: &[u8]) -> Option<u32> {
        let first = packet.first().filter(|first| **first & 1 == 0)?;
        let mask = self.are_long.len().next_power_of_two() - 1;
        let is_long = self.are_long.get(usize::from(first >> 1) & mask)?;
        Some(if *is_long { self.sizes.1 } else { self.sizes.0 })
    }
}

/// Samples of a frame of FLAC, by its header (RFC 9639, section 9.1.1).
// codec: codec::flac parses frame headers.
pub(super) fn flac_samples(frame: &[u8]) -> Option<u32> {
    let [0xff, second, third, _, first, ..] = *frame else { return None };
    if second & 0xfe != 0xf8 {
        return None;
    }
    // Behind the number of the frame, which is coded as UTF-8 codes characters.
    let at = 4 + (first.leading_ones() as usize).max(1);
    match third >> 4 {
        0 => None,
        1 => Some(192),
        size @ 2..=5 => Some(144 << size),
        6 => Some(u32::from(*frame.get(at)?) + 1),
        7 => Some(u32::from(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?)) + 1),
        size => Some(1 << size),
    }
}

impl Counts {
    /// Counts a second, as a fraction.
    pub(super) fn rate(&self) -> (u32, u32) {
        match *self {
            Self::Opus { .. } => (OPUS_RATE, 1),
            Self::Vorbis { rate, .. } | Self::Flac { rate } => (rate, 1),
            Self::Theora { rate, .. } => rate,
        }
    }
}
