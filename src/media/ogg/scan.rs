//! Ogg pages (RFC 3533, section 6) as a live stream, with the codecs that their first packet identifies.
//!
//! The header is all pages up to the last header packet of each logical stream. After it a reader may begin with a
//! page that begins with a whole packet: any of audio, one that begins with a keyframe if there is video.

use crate::media::codec::rfc6381::Setup;
use crate::media::framing::{FrameLength, FrameRole, Framing};

/// Most logical streams of which something is kept.
const MAX_STREAMS: usize = 16;

const HEAD: usize = 27;
const CONTINUED: u8 = 1;
const BEGIN: u8 = 2;

/// Pages of one or more logical streams.
#[derive(Debug, Default)]
pub(in crate::media) struct Ogg {
    streams: Vec<Stream>,
    /// Media came since the last stream began.
    has_media: bool,
}

#[derive(Debug)]
struct Stream {
    serial: u32,
    codec: Codec,
    /// Header packets that are still to come.
    left: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Theora,
    Vp8,
    Flac,
    Sound,
}

/// A whole page, as far as it matters.
struct Page<'a> {
    flags: u8,
    serial: u32,
    lacing: &'a [u8],
    content: &'a [u8],
}

impl<'a> Page<'a> {
    fn read(unit: &'a [u8]) -> Option<Self> {
        let (head, rest) = unit.split_at_checked(HEAD)?;
        let (lacing, content) = rest.split_at_checked(usize::from(*head.last()?))?;
        let serial = u32::from_le_bytes(*head.get(14..)?.first_chunk()?);
        Some(Self { flags: *head.get(5)?, serial, lacing, content })
    }

    /// Packets that end in this page (RFC 3533, section 5).
    fn packets(&self) -> usize {
        self.lacing.iter().filter(|&&length| length < 255).count()
    }
}

impl Framing for Ogg {
    fn measure(bytes: &[u8]) -> FrameLength {
        // The version is 0.
        let magic = b"OggS\0";
        if !magic.starts_with(bytes.get(..magic.len()).unwrap_or(bytes)) {
            return FrameLength::Nothing;
        }
        let Some(&segments) = bytes.get(HEAD - 1) else { return FrameLength::More };
        let Some(lacing) = bytes.get(HEAD..HEAD + usize::from(segments)) else { return FrameLength::More };
        FrameLength::Unit(HEAD + lacing.len() + lacing.iter().map(|&length| usize::from(length)).sum::<usize>())
    }

    fn role(&mut self, unit: &[u8]) -> FrameRole {
        let Some(page) = Page::read(unit) else { return FrameRole::Drop };
        if page.flags & BEGIN != 0 {
            // All streams begin together; those that were there before have ended (section 4, chaining).
            if std::mem::take(&mut self.has_media) {
                self.streams.clear();
            }
            if self.streams.len() >= MAX_STREAMS {
                return FrameRole::Drop;
            }
            let (codec, packets) = codec(page.content);
            let left = packets.saturating_sub(page.packets());
            self.streams.push(Stream { serial: page.serial, codec, left });
            return FrameRole::Header;
        }
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.serial == page.serial) else {
            return FrameRole::Drop;
        };
        // GStreamer announces more header packets of FLAC than there are. Frames begin with a sync code.
        if stream.left > 0 && !(stream.codec == Codec::Flac && page.content.first() == Some(&0xff)) {
            stream.left = stream.left.saturating_sub(page.packets());
            return FrameRole::Header;
        }
        stream.left = 0;
        let codec = stream.codec;
        self.has_media = true;
        let has_pictures = self.streams.iter().any(|stream| !matches!(stream.codec, Codec::Sound | Codec::Flac));
        let is_join = page.flags & CONTINUED == 0 && is_key(codec, page.content, has_pictures);
        if is_join { FrameRole::Join } else { FrameRole::Delta }
    }
}

/// The codec configurations of the logical streams of a header, in their order.
pub(in crate::media) fn setups(header: &[u8]) -> Vec<Setup<'static>> {
    let mut rest = header;
    let pages = std::iter::from_fn(|| {
        let FrameLength::Unit(length) = Ogg::measure(rest) else { return None };
        let (unit, after) = rest.split_at_checked(length)?;
        rest = after;
        Page::read(unit)
    });
    let first = pages.filter(|page| page.flags & BEGIN != 0).take(MAX_STREAMS);
    first
        .map(|page| match page.content {
            [b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', ..] => Setup::Named("opus"),
            [1, b'v', b'o', b'r', b'b', b'i', b's', ..] => Setup::Named("vorbis"),
            [0x80, b't', b'h', b'e', b'o', b'r', b'a', ..] => Setup::Named("theora"),
            [b'O', b'V', b'P', b'8', b'0', ..] => Setup::Named("vp8"),
            [0x7f, b'F', b'L', b'A', b'C', ..] => Setup::Named("flac"),
            _ => Setup::Unknown,
        })
        .collect()
}

/// What a stream is, by its first packet, and the number of its header packets with this one.
fn codec(packet: &[u8]) -> (Codec, usize) {
    match packet {
        [0x80, b't', b'h', b'e', b'o', b'r', b'a', ..] => (Codec::Theora, 3),
        [b'O', b'V', b'P', b'8', b'0', ..] => (Codec::Vp8, 2),
        [1, b'v', b'o', b'r', b'b', b'i', b's', ..] => (Codec::Sound, 3),
        // A number of further packets; 0 when it is not known, but the comment always comes.
        [0x7f, b'F', b'L', b'A', b'C', _, _, high, low, ..] => {
            (Codec::Flac, 1 + usize::from(u16::from_be_bytes([*high, *low]).max(1)))
        }
        // Opus (RFC 7845, section 3), Speex, and a good guess for others.
        _ => (Codec::Sound, 2),
    }
}

/// Whether a packet of this codec is one to begin with.
fn is_key(codec: Codec, packet: &[u8], has_pictures: bool) -> bool {
    match (codec, packet.first()) {
        // Theora specification, section 7.1: data, then intra.
        (Codec::Theora, Some(first)) => first & 0xc0 == 0,
        // RFC 6386, section 9.1.
        (Codec::Vp8, Some(first)) => first & 1 == 0,
        (Codec::Sound | Codec::Flac, Some(_)) => !has_pictures,
        (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::media::{Container, testing::Scan};
    use proptest::prelude::*;

    const OPUS: &[u8] = include_bytes!("../../../tests/data/opus.ogg");
    const THEORA: &[u8] = include_bytes!("../../../tests/data/theora-vorbis-gst.ogg");
    const FLAC: &[u8] = include_bytes!("../../../tests/data/flac-gst.ogg");

    #[test]
    fn captures_are_joined_behind_their_set_up() {
        #[track_caller]
        fn check(capture: &[u8], header: usize, joins: usize) {
            let found = Scan::of(None, capture, &[usize::MAX]);
            assert_eq!((found.container, found.headers.len()), (Some(Container::Ogg), 1));
            let pages = found.headers[0].1.windows(4).filter(|word| word == b"OggS").count();
            assert_eq!((pages, found.joins.len()), (header, joins));
            assert!(found.joined() == capture);
            assert!(found.joins.iter().all(|&at| found.media[at..].starts_with(b"OggS\0")));
        }
        check(OPUS, 2, 16);
        check(THEORA, 4, 3);
        check(FLAC, 2, 4);
    }

    #[test]
    fn a_chained_stream_brings_its_own_header() {
        let (one, two) = (Scan::of(None, OPUS, &[999]), Scan::of(None, &[OPUS, OPUS].concat(), &[999]));
        assert_eq!(two.headers, [one.headers[0].clone(), (one.media.len(), one.headers[0].1.clone())]);
        assert_eq!(two.joins.len(), 2 * one.joins.len());
    }

    #[test]
    fn media_without_a_header_is_of_no_use() {
        let at = OPUS.len() - Scan::of(None, OPUS, &[999]).media.len();
        let late = Scan::of(Some(Container::Ogg), &[&OPUS[at + 9..], OPUS].concat(), &[999]);
        assert!(late.joined() == OPUS);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            capture in prop::sample::select(vec![OPUS, THEORA, FLAC]),
            hole in 0usize..9000,
            sizes in prop::collection::vec(1usize..3000, 1..8),
        ) {
            let hole = hole.min(capture.len() - 9);
            let bytes = [&capture[..hole], &capture[hole + 9..]].concat();
            let scan = |sizes: &[usize]| Scan::of(Some(Container::Ogg), &bytes, sizes);
            prop_assert_eq!(scan(&sizes), scan(&[usize::MAX]));
        }
    }
}
