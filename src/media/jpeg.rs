//! Finds JPEG frames in Motion JPEG, whether they follow each other bare or as the parts of a multipart.
//!
//! Frames are found by walking their markers (ITU-T T.81, annex B), never by boundaries or lengths around them: a
//! part's head cannot contain a marker, and cameras disagree about everything else. A frame is whole with its
//! last byte, so that nothing is gained by knowing its length before. One without Huffman tables gets the usual ones.

use super::scanned::Scanned;
use super::{Kind, PacketBuf, codec};
use std::borrow::Cow;

/// Longest frame; what is longer is skipped.
const MAX_PICTURE: usize = 64 << 20;

const FILL: u8 = 0xff;
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// Cuts Motion JPEG into frames.
#[derive(Debug, Default)]
pub(super) struct Scan {
    place: Place,
    /// What was read of the frame so far; empty before one.
    picture: PacketBuf,
    /// Length of the last frame: the next will be about as long.
    last: usize,
}

/// What the next byte is.
#[derive(Debug, Clone, Copy, Default)]
enum Place {
    /// Anything before a frame.
    #[default]
    Outside,
    /// The byte after 0xff, which may begin a frame.
    Start,
    /// The byte after SOI, which must be 0xff.
    Started,
    /// The 0xff of a marker.
    Fill,
    /// The second byte of a marker.
    Marker,
    /// The first byte of a segment's length.
    Length { is_scan: bool },
    /// The second byte of a segment's length.
    LengthEnd { is_scan: bool, high: u8 },
    /// The content of a segment, of which so many bytes are left.
    Segment { is_scan: bool, left: usize },
    /// Entropy-coded data.
    Data,
    /// The byte after 0xff in entropy-coded data.
    DataFill,
}

impl Scan {
    /// Takes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<Scanned>) {
        let mut rest = bytes;
        while let Some(&byte) = rest.first() {
            // Runs of bytes that cannot change the place are taken together.
            let (run, next) = match self.place {
                Place::Outside => (until_fill(rest), Place::Start),
                Place::Data => (until_fill(rest), Place::DataFill),
                Place::Segment { is_scan, left } => {
                    let run = left.min(rest.len());
                    let after = if is_scan { Place::Data } else { Place::Fill };
                    (run, if run == left { after } else { Place::Segment { is_scan, left: left - run } })
                }
                place => (1, self.step(place, byte)),
            };
            let (run, after) = rest.split_at_checked(run).unwrap_or((rest, &[]));
            let ends_in_fill = run.last() == Some(&FILL);
            let place = match self.place {
                Place::Outside | Place::Data if !ends_in_fill => self.place,
                _ => next,
            };
            self.keep(run, place, out);
            rest = after;
        }
    }

    /// No more bytes will come. Half a frame is of no use.
    pub(super) fn finish(&mut self) {
        *self = Self::default();
    }

    /// The place after `byte`.
    fn step(&self, place: Place, byte: u8) -> Place {
        match (place, byte) {
            (Place::Start, SOI) => Place::Started,
            (Place::Start | Place::Marker | Place::DataFill, FILL) => place,
            (Place::Started | Place::Fill, FILL) => Place::Marker,
            (Place::Marker | Place::DataFill, SOI) => Place::Started,
            // TEM and restarts have no length; in data, 0xff 0x00 is the byte 0xff.
            (Place::Marker, 0x01 | 0xd0..=0xd7) => Place::Fill,
            (Place::DataFill, 0x00 | 0x01 | 0xd0..=0xd7) => Place::Data,
            (Place::Marker | Place::DataFill, EOI | 0x00) => Place::Outside,
            (Place::Marker | Place::DataFill, marker) => Place::Length { is_scan: marker == SOS },
            (Place::Length { is_scan }, high) => Place::LengthEnd { is_scan, high },
            (Place::LengthEnd { is_scan, high }, low) => {
                match usize::from(u16::from_be_bytes([high, low])).checked_sub(2) {
                    Some(0) if is_scan => Place::Data,
                    Some(0) => Place::Fill,
                    Some(left) => Place::Segment { is_scan, left },
                    None => Place::Outside,
                }
            }
            _ => Place::Outside,
        }
    }

    /// Adds bytes to the frame and continues at `place`.
    fn keep(&mut self, bytes: &[u8], place: Place, out: &mut Vec<Scanned>) {
        let from = std::mem::replace(&mut self.place, place);
        match (from, place) {
            // A frame begins, perhaps in the middle of one that was cut off.
            (_, Place::Started) => {
                self.picture = PacketBuf::with_capacity(self.last);
                self.picture.extend_from_slice(&[FILL, SOI]);
            }
            (Place::Outside | Place::Start, _) => {}
            (Place::Marker | Place::DataFill, Place::Outside) if bytes == [EOI] => {
                self.picture.extend_from_slice(bytes);
                self.last = self.picture.len();
                let mut payload = std::mem::take(&mut self.picture);
                // Decoders of some viewers know no usual tables.
                if let Cow::Owned(complete) = codec::jpeg::complete(payload.payload()) {
                    payload = PacketBuf::with_capacity(complete.len());
                    payload.extend_from_slice(&complete);
                }
                out.push(Scanned::Packet { kind: Kind::Keyframe, payload });
            }
            (_, Place::Outside) => self.picture = PacketBuf::default(),
            _ if self.picture.len() + bytes.len() > MAX_PICTURE => {
                self.place = Place::Outside;
                self.picture = PacketBuf::default();
            }
            _ => self.picture.extend_from_slice(bytes),
        }
    }
}

/// Number of bytes up to and including the first 0xff.
fn until_fill(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| byte == FILL).map_or(bytes.len(), |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Container, Scanner};
    use proptest::prelude::*;

    const PARTS: &[u8] = include_bytes!("../../tests/data/pictures.mpjpeg");
    const BARE: &[u8] = include_bytes!("../../tests/data/pictures.mjpeg");
    const SMALL: &[u8] = b"\xff\xd8\xff\xe0\0\x03a\xff\xff\xda\0\x03ada\xff\0ta\xff\xd3more\xff\xd9";

    fn pictures(bytes: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
        let (mut scanner, mut out, mut rest) = (Scanner::new(Some(Container::Mjpeg)), Vec::new(), bytes);
        for &size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at(size.min(rest.len()));
            scanner.push(piece, &mut out);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        scanner.finish(&mut out);
        let picture = |found| match found {
            Scanned::Packet { kind: Kind::Keyframe, payload } => Some(payload.payload().to_vec()),
            Scanned::Container(Container::Mjpeg) => None,
            other => panic!("{other:?}"),
        };
        out.into_iter().filter_map(picture).collect()
    }

    #[test]
    fn parts_and_bare_pictures_are_the_same_pictures() {
        let bare = pictures(BARE, &[1000]);
        assert_eq!(bare.len(), 10);
        assert!(bare.concat() == BARE);
        assert!(pictures(PARTS, &[777]) == bare);
        for picture in bare {
            image::load_from_memory(&picture).unwrap();
        }
    }

    #[test]
    fn pictures_end_where_their_markers_say() {
        #[track_caller]
        fn check(stream: &[&[u8]], expect: &[&[u8]]) {
            assert_eq!(pictures(&stream.concat(), &[usize::MAX]), expect);
        }
        check(&[SMALL], &[SMALL]);
        check(&[b"\xff\xd8\xff", SMALL, b"\0\0\xff\xff", SMALL], &[SMALL, SMALL]);
        // A thumbnail within a segment.
        let thumbnail = [b"\xff\xd8\xff\xe1\0\x1d", SMALL, &SMALL[2..]].concat();
        check(&[&thumbnail, SMALL], &[&thumbnail, SMALL]);
        // Two scans, as in a progressive JPEG.
        let progressive = [&SMALL[..SMALL.len() - 2], b"\xff\xc4\0\x03t\xff\xda\0\x02second\xff\xd9"].concat();
        check(&[&progressive, SMALL], &[&progressive, SMALL]);
        // A frame without end is dropped for the next, and so is one with an invalid segment.
        check(&[&SMALL[..SMALL.len() - 2], b"\r\n--next\r\n\r\n", SMALL], &[SMALL]);
        check(&[b"\xff\xd8\xff\xe0\0\x01", SMALL], &[SMALL]);
        check(&[b"no frame", &SMALL[..9]], &[]);
    }

    #[test]
    fn a_picture_leaves_with_its_last_byte() {
        let (mut scan, mut out) = (Scan::default(), Vec::new());
        scan.push(&SMALL[..SMALL.len() - 1], &mut out);
        assert!(out.is_empty());
        scan.push(&SMALL[SMALL.len() - 1..], &mut out);
        assert_eq!(out.len(), 1);
    }

    #[test]
    fn an_endless_picture_is_given_up() {
        let (mut scan, mut out) = (Scan::default(), Vec::new());
        scan.push(&SMALL[..20], &mut out);
        let data = vec![0; 1 << 20];
        for _ in 0..64 {
            scan.push(&data, &mut out);
            assert!(scan.picture.len() <= MAX_PICTURE);
        }
        assert!(scan.picture.is_empty());
        scan.push(SMALL, &mut out);
        assert_eq!(out.len(), 1);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            parts in prop::collection::vec(prop_oneof![
                Just(SMALL.to_vec()),
                prop::collection::vec(prop::sample::select(&[0xff, 0xd8, 0xd9, 0xda, 0xe0, 0, 3, 7][..]), 0..20),
            ], 0..8),
            sizes in prop::collection::vec(1usize..40, 1..8),
        ) {
            let stream = parts.concat();
            prop_assert_eq!(pictures(&stream, &sizes), pictures(&stream, &[usize::MAX]));
        }
    }
}
