//! WAV (Multimedia Programming Interface and Data Specifications 1.0, chapter 3): a header of chunks, then samples without
//! an end.
//!
//! The sizes in the header are made unknown, as they are not known. A reader may begin with every block, the samples of one
//! moment; whole blocks leave immediately.

use super::{Kind, PacketBuf, byte_window::ByteWindow, scanned::Scanned};
use bytes::Bytes;

/// Longest header; what is longer is none.
const MAX_HEADER: usize = 1 << 20;
/// A size that is not known, as ffmpeg writes it, and players understand it.
const UNKNOWN: [u8; 4] = [0xff; 4];
/// Sizes from here on are not believed: writers to pipes fill in something large, GStreamer this.
const ENDLESS: u32 = 0x7fff_0000;
/// "RIFF", a size, "WAVE".
const HEAD: usize = 12;

/// Cuts WAV at its blocks.
#[derive(Debug, Default)]
pub(super) struct Scan {
    window: ByteWindow,
    place: Place,
}

#[derive(Debug, Clone, Copy, Default)]
enum Place {
    /// Before a header.
    #[default]
    Outside,
    /// In the samples: bytes of a block, and how many bytes are left where that is known.
    Data { block: usize, left: Option<usize> },
}

/// What a header says.
struct Header {
    length: usize,
    block: usize,
    data: u32,
}

impl Scan {
    /// Takes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<Scanned>) {
        let mut window = std::mem::take(&mut self.window);
        window.push_steps(bytes, |bytes| self.step(bytes, out));
        self.window = window;
    }

    /// No more bytes will come. Half a block is of no use to anyone.
    pub(super) fn finish(&mut self) {
        *self = Self::default();
    }

    /// Number of bytes that were used; `None` when more are needed.
    fn step(&mut self, bytes: &[u8], out: &mut Vec<Scanned>) -> Option<usize> {
        match self.place {
            Place::Outside => match header(bytes) {
                Ok(Some(header)) => {
                    let (found, _) = bytes.split_at_checked(header.length)?;
                    out.push(Scanned::Header(endless(found)));
                    let left = (1..ENDLESS).contains(&header.data).then_some(header.data as usize);
                    self.place = Place::Data { block: header.block, left };
                    Some(header.length)
                }
                Ok(None) => None,
                Err(()) => (!bytes.is_empty()).then_some(1),
            },
            Place::Data { left: Some(0), .. } => {
                self.place = Place::Outside;
                Some(0)
            }
            Place::Data { block, left } => {
                let length = left.unwrap_or(usize::MAX).min(bytes.len());
                let whole = length - length % block;
                // What is left after the last whole block of a known length is not audio.
                if whole == 0 {
                    let is_rest = left.is_some_and(|left| left < block && left <= bytes.len());
                    self.place = if is_rest { Place::Data { block, left: Some(0) } } else { self.place };
                    return is_rest.then_some(length);
                }
                let mut payload = PacketBuf::with_capacity(whole);
                payload.extend_from_slice(bytes.get(..whole)?);
                out.push(Scanned::Packet { kind: Kind::Keyframe, payload });
                self.place = Place::Data { block, left: left.map(|left| left - whole) };
                Some(whole)
            }
        }
    }
}

/// Reads the chunks up to the one with the samples. `Ok(None)` when more bytes are needed, `Err` when there is no header.
fn header(bytes: &[u8]) -> Result<Option<Header>, ()> {
    if !is_riff(bytes) {
        return Err(());
    }
    let (mut at, mut block) = (HEAD, None);
    loop {
        let Some([kind @ .., a, b, c, d]) = bytes.get(at..).and_then(|chunk| chunk.first_chunk::<8>()) else {
            return if at > MAX_HEADER { Err(()) } else { Ok(None) };
        };
        let size = u32::from_le_bytes([*a, *b, *c, *d]);
        at += 8;
        if kind == b"data" {
            let block = block.filter(|block| *block > 0).ok_or(())?;
            return Ok(Some(Header { length: at, block, data: size }));
        }
        if kind == b"fmt " {
            // nBlockAlign
            let Some([low, high]) = bytes.get(at + 12..).and_then(|field| field.first_chunk()) else { return Ok(None) };
            block = Some(usize::from(u16::from_le_bytes([*low, *high])));
        }
        // Chunks begin at even places.
        at += (size as usize).checked_next_multiple_of(2).filter(|size| *size <= MAX_HEADER).ok_or(())?;
    }
}

/// Whether a header may begin so.
fn is_riff(bytes: &[u8]) -> bool {
    let is = |bytes: &[u8], word: &[u8]| bytes.iter().zip(word).all(|(byte, expected)| byte == expected);
    is(bytes, b"RIFF") && is(bytes.get(8..).unwrap_or_default(), b"WAVE")
}

/// The header of audio that does not end.
fn endless(header: &[u8]) -> Bytes {
    let mut header = header.to_vec();
    let last = header.len().saturating_sub(4);
    for at in [4, last] {
        if let Some(size) = header.get_mut(at..).and_then(|size| size.first_chunk_mut()) {
            *size = UNKNOWN;
        }
    }
    header.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Container, testing};
    use proptest::prelude::*;

    const PLAIN: &[u8] = include_bytes!("../../tests/data/sound.wav");
    const GSTREAMER: &[u8] = include_bytes!("../../tests/data/sound-gst.wav");

    #[test]
    fn sound_is_cut_at_blocks_behind_a_header_without_sizes() {
        for (capture, header, block) in [(PLAIN, 78, 4), (GSTREAMER, 44, 2)] {
            let found = testing::Scan::of(None, capture, &[999]);
            assert_eq!((found.container, found.headers.len()), (Some(Container::Wav), 1));
            let (_, head) = &found.headers[0];
            assert!(head[..4] == capture[..4] && head[4..8] == UNKNOWN && head[header - 4..] == UNKNOWN);
            assert!(head[8..header - 4] == capture[8..header - 4]);
            assert!(found.media == capture[header..]);
            assert!(found.joins.len() > 5 && found.joins.iter().all(|at| at % block == 0));
        }
    }

    /// A file of these samples, four bytes a block.
    fn file(size: u32, samples: &[u8]) -> Vec<u8> {
        [&PLAIN[..74], &size.to_le_bytes(), samples].concat()
    }

    #[test]
    fn files_may_follow_each_other() {
        let two = [file(9, b"aaaabbbbx"), file(4, b"cccc"), file(0, b"ddddeeee")].concat();
        let found = testing::Scan::of(None, &two, &[7]);
        assert!(found.media == b"aaaabbbbccccddddeeee", "{}", found.media.escape_ascii());
        assert_eq!(found.headers.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 8, 12]);
    }

    #[test]
    fn what_is_no_header_is_skipped() {
        let no_format = [b"RIFF\0\0\0\0WAVEdata\0\0\0\0".as_slice(), &file(0, b"aaaa")].concat();
        let found = testing::Scan::of(Some(Container::Wav), &no_format, &[5]);
        assert!(found.media == b"aaaa" && found.headers.len() == 1);
        let mut huge = PLAIN[..HEAD].to_vec();
        huge.extend(b"LIST\xff\xff\xff\x7f");
        assert!(header(&huge).is_err());
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            capture in prop::sample::select(vec![PLAIN, GSTREAMER]), sizes in prop::collection::vec(1usize..900, 1..8),
        ) {
            let (pieces, whole) = (testing::Scan::of(None, capture, &sizes), testing::Scan::of(None, capture, &[usize::MAX]));
            prop_assert!(pieces.media == whole.media && pieces.headers == whole.headers);
        }
    }
}
