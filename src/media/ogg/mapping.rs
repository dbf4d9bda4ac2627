//! How codecs are carried in Ogg: their header packets, and what their granule positions count.

use crate::media::codec::{CodecParameters, flac, opus, theora, vorbis, xiph};
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
        blocks: Option<vorbis::Stream>,
    },
    /// Samples.
    Flac {
        /// Samples a second.
        rate: u32,
    },
    /// Frames up to a keyframe, and those after it in the lower bits.
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
            CodecParameters::Flac(parameters) => flac(parameters),
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
pub(super) fn comment(magic: &[u8]) -> Bytes {
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
    let (rate, ..) = vorbis::identification(&headers.identification)?;
    let is_whole = headers.comment.starts_with(b"\x03vorbis") && headers.setup.starts_with(b"\x05vorbis");
    is_whole.then(|| Mapping {
        headers: vec![headers.identification.clone(), headers.comment.clone(), headers.setup.clone()],
        counts: Counts::Vorbis { rate, blocks: vorbis::Stream::parse(headers) },
    })
}

/// FLAC-to-Ogg mapping 1.0 (RFC 9639, section 10.1).
fn flac(parameters: &flac::Parameters) -> Option<Mapping> {
    let rate = parameters.parse()?.rate;
    // One more header packet follows. Its block is the last one of the metadata.
    let first = [&b"\x7fFLAC\x01\x00\x00\x01fLaC\x00\x00\x00\x22"[..], &parameters.endless()?].concat();
    let comment = comment(b"");
    let length = u32::try_from(comment.len()).ok()?.to_be_bytes();
    let second = [&[0x84], length.get(1..)?, &comment].concat();
    Some(Mapping { headers: vec![first.into(), second.into()], counts: Counts::Flac { rate } })
}

/// Theora, sections 6.2 and A.2.
fn theora(headers: &xiph::Headers) -> Option<Mapping> {
    let head = theora::Identification::parse(&headers.identification)?;
    let version = *headers.identification.get(7..)?.first_chunk::<3>()?;
    let is_whole = headers.comment.starts_with(b"\x81theora") && headers.setup.starts_with(b"\x82theora");
    let counts =
        Counts::Theora { rate: head.frame_rate?, shift: head.keyframe_shift.into(), from_zero: version < [3, 2, 1] };
    is_whole.then(|| Mapping {
        headers: vec![headers.identification.clone(), headers.comment.clone(), headers.setup.clone()],
        counts,
    })
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
