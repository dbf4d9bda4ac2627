//! Cuts tags out of the bytes of a file that may begin anywhere and have gaps and garbage.

use super::tag::{AUDIO, FRAME_HEAD, FRAME_TAIL, SCRIPT, VIDEO};
use bytes::{Buf, Bytes, BytesMut};

/// Longest body that is believed, as the scanner does. A keyframe of 100 Mbit/s that lasts half a second fits.
const MAX_BODY: usize = 8 << 20;
/// The header of a file, and the size of the tag before the first one, which is none.
const FILE_HEAD: usize = 9 + FRAME_TAIL;
/// Bytes that suffice to judge whether a tag or file begins with them.
const LOOK: usize = FILE_HEAD;
/// Most heads that are followed at the same time while the next tag is looked for. In noise there is one each 2^32 bytes.
const MAX_CANDIDATES: usize = 16;

/// What is found, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// The header of a file.
    Header {
        /// There is video, as it says.
        has_video: bool,
        /// There is audio, as it says.
        has_audio: bool,
    },
    /// A tag.
    Tag {
        /// [`AUDIO`], [`VIDEO`] or [`SCRIPT`].
        kind: u8,
        /// In milliseconds.
        time: u32,
        /// Its body.
        body: Bytes,
        /// Bytes before it were lost or are no tags.
        is_after_gap: bool,
    },
}

/// Holds what is not whole yet: a tag, or the bytes from the first head that may be one.
#[derive(Debug, Default)]
pub(super) struct Reader {
    bytes: BytesMut,
    search: Option<Search>,
    is_after_gap: bool,
    is_ended: bool,
}

/// Looks for a head whose tag has its size after it. Of several, the tag that ends first is believed, so that a false head does
/// not hide those after it; and so it does not matter in which pieces the bytes came.
#[derive(Debug, Default)]
struct Search {
    /// All heads before this are judged.
    cursor: usize,
    /// Where tags may begin and end, by their ends.
    candidates: Vec<(usize, usize)>,
}

impl Reader {
    /// Adds bytes, which [`Reader::next`] finds something in.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What comes next; `None` when that needs more bytes.
    pub(super) fn next(&mut self) -> Option<Found> {
        loop {
            if self.search.is_some() {
                self.search()?;
            }
            match measure(&self.bytes) {
                Measure::More => return None,
                Measure::Header { has_video, has_audio } => {
                    self.bytes.advance(FILE_HEAD);
                    return Some(Found::Header { has_video, has_audio });
                }
                Measure::Tag(length) => match is_confirmed(&self.bytes, length) {
                    None if !self.is_ended => return None,
                    None if self.bytes.len() >= FRAME_HEAD + length => {
                        return Some(self.take(length, self.bytes.len() - FRAME_HEAD - length));
                    }
                    Some(true) => return Some(self.take(length, FRAME_TAIL)),
                    // It was cut off: what follows is in it.
                    _ => self.search = Some(Search { cursor: 1, candidates: Vec::new() }),
                },
                Measure::Nothing => self.search = Some(Search::default()),
            }
        }
    }

    /// No more bytes follow: [`Reader::next`] finds what is left, and the last tag needs no size after it.
    pub(super) fn finish(&mut self) {
        self.is_ended = true;
    }

    fn take(&mut self, length: usize, behind: usize) -> Found {
        let mut body = self.bytes.split_to(FRAME_HEAD + length + behind).freeze();
        let (kind, time) = match body.first_chunk() {
            Some(&[kind, _, _, _, a, b, c, high]) => (kind, u32::from_be_bytes([high, a, b, c])),
            None => (0, 0),
        };
        body.advance(FRAME_HEAD);
        body.truncate(length);
        Found::Tag { kind, time, body, is_after_gap: std::mem::take(&mut self.is_after_gap) }
    }

    /// Steps to the next tag or header; `None` when that needs more bytes.
    fn search(&mut self) -> Option<()> {
        self.is_after_gap = true;
        let search = self.search.get_or_insert_default();
        let found = loop {
            match search.candidates.first() {
                Some(&(begin, end)) if end <= self.bytes.len() && end <= search.cursor + LOOK => {
                    search.candidates.remove(0);
                    let tag = self.bytes.get(begin..).unwrap_or_default();
                    if is_confirmed(tag, end - begin - FRAME_HEAD - FRAME_TAIL) == Some(true) {
                        break Some(begin);
                    }
                }
                _ => {
                    let Some(bytes) = self.bytes.get(search.cursor..search.cursor + LOOK) else { break None };
                    match measure(bytes) {
                        Measure::Header { .. } => break Some(search.cursor),
                        Measure::Tag(length) if search.candidates.len() < MAX_CANDIDATES => {
                            let end = search.cursor + FRAME_HEAD + length + FRAME_TAIL;
                            let place = search.candidates.partition_point(|(_, other)| *other <= end);
                            search.candidates.insert(place, (search.cursor, end));
                        }
                        _ => {}
                    }
                    search.cursor += 1;
                }
            }
        };
        if let Some(begin) = found {
            self.bytes.advance(begin);
            self.search = None;
            return Some(());
        }
        // Nothing before the first candidate is needed any more.
        let unneeded = search.candidates.iter().map(|(begin, _)| *begin).fold(search.cursor, usize::min);
        self.bytes.advance(unneeded.min(self.bytes.len()));
        search.cursor -= unneeded;
        for (begin, end) in &mut search.candidates {
            (*begin, *end) = (*begin - unneeded, *end - unneeded);
        }
        None
    }
}

/// What bytes begin with.
enum Measure {
    More,
    Nothing,
    Header {
        has_video: bool,
        has_audio: bool,
    },
    /// A tag with a body of so many bytes.
    Tag(usize),
}

fn measure(bytes: &[u8]) -> Measure {
    match bytes {
        [] => Measure::More,
        [b'F', ..] => match bytes.first_chunk::<FILE_HEAD>() {
            // The size of the tag before the first is not always 0.
            Some(&[_, b'L', b'V', 1, flags, 0, 0, 0, 9, ..]) => {
                Measure::Header { has_video: flags & 1 != 0, has_audio: flags & 4 != 0 }
            }
            Some(_) => Measure::Nothing,
            None => Measure::More,
        },
        [AUDIO | VIDEO | SCRIPT, ..] => match bytes.first_chunk::<FRAME_HEAD>() {
            Some(&[_, a, b, c, _, _, _, _, 0, 0, 0]) => match u32::from_be_bytes([0, a, b, c]) as usize {
                length @ ..=MAX_BODY => Measure::Tag(length),
                _ => Measure::Nothing,
            },
            Some(_) => Measure::Nothing,
            None => Measure::More,
        },
        _ => Measure::Nothing,
    }
}

/// Whether the tag that bytes begin with, whose body is so long, has its size after it; `None` when it is not whole.
fn is_confirmed(bytes: &[u8], length: usize) -> Option<bool> {
    let behind = bytes.get(FRAME_HEAD + length..)?.first_chunk::<FRAME_TAIL>()?;
    Some(u32::from_be_bytes(*behind) as usize == FRAME_HEAD + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::flv::tag::{frame_head, frame_tail};
    use proptest::prelude::*;

    fn tag(kind: u8, time: u32, body: &[u8]) -> Vec<u8> {
        [&frame_head(kind, body.len(), time)[..], body, &frame_tail(body.len())].concat()
    }

    fn found(kind: u8, time: u32, body: &[u8], is_after_gap: bool) -> Found {
        Found::Tag { kind, time, body: Bytes::copy_from_slice(body), is_after_gap }
    }

    /// Everything in bytes that come in pieces of these sizes.
    fn read(bytes: &[u8], sizes: &[usize]) -> Vec<Found> {
        let (mut reader, mut out, mut rest) = (Reader::default(), Vec::new(), bytes);
        for &size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at(size.min(rest.len()));
            reader.push(piece);
            out.extend(std::iter::from_fn(|| reader.next()));
            assert!(reader.bytes.len() <= MAX_BODY + LOOK + bytes.len().min(size));
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        reader.finish();
        out.extend(std::iter::from_fn(|| reader.next()));
        out
    }

    const HEADER: &[u8] = b"FLV\x01\x05\0\0\0\x09\0\0\0\0";

    #[test]
    fn a_whole_file_is_read() {
        let bytes = [HEADER, &tag(SCRIPT, 0, b"script"), &tag(AUDIO, 0x0102_0304, b"")].concat();
        let header = Found::Header { has_video: true, has_audio: true };
        let expect = [header, found(SCRIPT, 0, b"script", false), found(AUDIO, 0x0102_0304, b"", false)];
        for size in [1, 7, 1000] {
            assert_eq!(read(&bytes, &[size]), expect);
            assert_eq!(read(&bytes[..bytes.len() - 3], &[size]), expect, "without the last size");
            assert_eq!(read(&bytes[..bytes.len() - 5], &[size]), expect[..2]);
        }
    }

    #[test]
    fn garbage_and_cut_tags_are_stepped_over() {
        let (first, second) = (tag(VIDEO, 1, &[7; 90]), tag(VIDEO, 2, b"second"));
        // A head of a long tag in front, which hides nothing.
        let garbage = [b"garbage", &frame_head(VIDEO, 1_000_000, 5)[..], b"F\x08\x09\x12"].concat();
        let bytes = [&garbage, &first[..], &first[..50], &second, &tag(AUDIO, 3, b"third")].concat();
        let expect =
            [found(VIDEO, 1, &[7; 90], true), found(VIDEO, 2, b"second", true), found(AUDIO, 3, b"third", false)];
        for size in [1, 13, 1000] {
            assert_eq!(read(&bytes, &[size]), expect);
        }
    }

    #[test]
    fn a_new_header_behind_a_cut_tag_is_found() {
        let bytes = [&tag(VIDEO, 1, &[7; 900])[..500], HEADER, &tag(AUDIO, 0, &[1; 500])].concat();
        let expect = [Found::Header { has_video: true, has_audio: true }, found(AUDIO, 0, &[1; 500], true)];
        assert_eq!(read(&bytes, &[11]), expect);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let head = frame_head(VIDEO, MAX_BODY, 0);
        let bytes = head.repeat(2 * MAX_BODY / head.len());
        assert_eq!(read(&bytes, &[100_000]), []);
        assert_eq!(read(&vec![VIDEO; 200_000], &[1000]), []);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            bodies in prop::collection::vec((prop::sample::select(vec![AUDIO, VIDEO, SCRIPT]), prop::collection::vec(0u8..20, 0..40)), 0..12),
            holes in prop::collection::vec((0usize..500, 0usize..20), 0..4),
            sizes in prop::collection::vec(1usize..60, 1..6),
        ) {
            let mut bytes: Vec<u8> = bodies.iter().flat_map(|(kind, body)| tag(*kind, 9, body)).collect();
            for (at, length) in holes {
                let at = at.min(bytes.len());
                bytes.drain(at..(at + length).min(bytes.len()));
            }
            prop_assert_eq!(read(&bytes, &sizes), read(&bytes, &[usize::MAX]));
        }

        #[test]
        fn pieces_of_foreign_bytes_do_not_matter(
            bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(9), Just(11), any::<u8>()], 0..400),
            size in 1usize..40,
        ) {
            prop_assert_eq!(read(&bytes, &[size]), read(&bytes, &[usize::MAX]));
        }
    }
}
