//! FLAC without a container (RFC 9639): a header of metadata, then frames, with each of which a reader may begin.
//!
//! Frames do not carry their length: one ends where the next begins. What looks like the head of a frame is one if its
//! checksum is right, and if either the frame before it is whole by its own checksum or its number is the next. After
//! frames that are lost, one that is whole is believed.

use super::{Kind, PacketBuf, byte_window::ByteWindow, scanned::Scanned};
use bytes::Bytes;

/// What the stream begins with (section 6).
const MARKER: &[u8] = b"fLaC";
/// Longest header: cover art fits.
const MAX_HEADER: usize = 4 << 20;
/// Longest frame: 65,535 samples of eight channels with 32 bits.
const MAX_FRAME: usize = 2 << 20;
/// Longest head of a frame.
const MAX_HEAD: usize = 16;
/// Shortest frame: a head, a silent channel, a checksum.
const MIN_FRAME: usize = 9;

/// Cuts FLAC into frames. A frame leaves when the next one begins.
#[derive(Debug, Default)]
pub(super) struct Scan {
    window: ByteWindow,
    place: Place,
}

#[derive(Debug, Clone, Copy, Default)]
enum Place {
    /// Before the marker.
    #[default]
    Outside,
    /// After the header, before the first frame, or where frames were lost.
    Lost,
    /// In a frame with this head.
    Frame {
        head: Head,
        /// Up to here, the next one was looked for.
        from: usize,
        /// Where another one may begin, if this one was cut off.
        doubt: Option<usize>,
    },
}

impl Place {
    fn of(head: Head) -> Self {
        Self::Frame { head, from: MIN_FRAME, doubt: None }
    }
}

/// What the head of a frame says, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    /// Of the frame, or of its first sample.
    number: u64,
    /// The same of the frame after it.
    next: u64,
}

/// What some bytes begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found<T> {
    Here(T),
    More,
    Nothing,
}

impl Scan {
    /// Takes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<Scanned>) {
        let mut window = std::mem::take(&mut self.window);
        window.push_steps(bytes, |bytes| self.step(bytes, out));
        self.window = window;
    }

    /// No more bytes will come: the last frame leaves, if it is whole.
    pub(super) fn finish(&mut self, out: &mut Vec<Scanned>) {
        let rest = self.window.take();
        if matches!(self.place, Place::Frame { .. }) && crc16(&rest) == 0 {
            out.push(packet(&rest));
        }
        self.place = Place::Lost;
    }

    /// Number of bytes that were used; `None` when more are needed.
    fn step(&mut self, bytes: &[u8], out: &mut Vec<Scanned>) -> Option<usize> {
        match self.place {
            Place::Outside => match header(bytes) {
                Found::Here(length) => {
                    let (header, _) = bytes.split_at_checked(length)?;
                    out.push(Scanned::Header(Bytes::copy_from_slice(header)));
                    self.place = Place::Lost;
                    Some(length)
                }
                Found::More => None,
                Found::Nothing => (!bytes.is_empty()).then_some(1),
            },
            Place::Lost => match head(bytes) {
                Found::Here(head) => {
                    self.place = Place::of(head);
                    Some(0)
                }
                Found::More => None,
                Found::Nothing => Some(1),
            },
            Place::Frame { head: current, from, mut doubt } => {
                let candidates = bytes.get(from..).unwrap_or_default().windows(2).enumerate();
                for (at, _) in candidates.filter(|(_, two)| is_sync(two)) {
                    let at = from + at;
                    let (frame, behind) = bytes.split_at_checked(at)?;
                    match head(behind) {
                        Found::Here(next) if crc16(frame) == 0 || next.number == current.next => {
                            out.push(packet(frame));
                            self.place = Place::of(next);
                            return Some(at);
                        }
                        Found::More => {
                            self.place = Place::Frame { head: current, from: at, doubt };
                            return None;
                        }
                        Found::Here(_) => {
                            let other = doubt.and_then(|doubt| Some((doubt, bytes.get(doubt..at)?)));
                            if let Some((begin, other)) = other
                                && crc16(other) == 0
                            {
                                self.place = Place::Lost;
                                return Some(begin);
                            }
                            doubt = Some(at);
                        }
                        Found::Nothing => {}
                    }
                }
                if bytes.len() > MAX_FRAME {
                    self.place = Place::Lost;
                    return Some(bytes.len() - MAX_HEAD);
                }
                // The last byte may be the first one of a head.
                self.place = Place::Frame { head: current, from: bytes.len().saturating_sub(1).max(MIN_FRAME), doubt };
                None
            }
        }
    }
}

fn packet(frame: &[u8]) -> Scanned {
    let mut payload = PacketBuf::with_capacity(frame.len());
    payload.extend_from_slice(frame);
    Scanned::Packet { kind: Kind::Keyframe, payload }
}

/// The length of the marker and all blocks of metadata (section 8.1).
fn header(bytes: &[u8]) -> Found<usize> {
    if !bytes.starts_with(MARKER) {
        return if MARKER.starts_with(bytes) { Found::More } else { Found::Nothing };
    }
    let mut end = MARKER.len();
    loop {
        let Some([kind, a, b, c]) = bytes.get(end..).and_then(|block| block.first_chunk()) else { return Found::More };
        end += 4 + usize::from(*a) * 0x1_0000 + usize::from(*b) * 0x100 + usize::from(*c);
        if kind & 0x7f == 127 || end > MAX_HEADER {
            return Found::Nothing;
        }
        if kind & 0x80 != 0 {
            return if bytes.len() < end { Found::More } else { Found::Here(end) };
        }
    }
}

fn is_sync(two: &[u8]) -> bool {
    matches!(two, [0xff, second, ..] if second & 0xfe == 0xf8)
}

/// The head of a frame (section 9.1).
fn head(bytes: &[u8]) -> Found<Head> {
    let byte = |at: usize| bytes.get(at).copied();
    let read = || -> Result<Head, Found<Head>> {
        let get = |at| byte(at).ok_or(Found::More);
        if get(0)? != 0xff || get(1)? & 0xfe != 0xf8 {
            return Err(Found::Nothing);
        }
        let is_variable = get(1)? & 1 != 0;
        let (size, rate) = (get(2)? >> 4, get(2)? & 0x0f);
        let (channels, depth) = (get(3)? >> 4, get(3)? >> 1 & 7);
        if size == 0 || rate == 15 || channels > 10 || depth == 3 || get(3)? & 1 != 0 {
            return Err(Found::Nothing);
        }
        // The number is coded as UTF-8 codes characters, up to 36 bits.
        let first = get(4)?;
        let more = match first.leading_ones() {
            0 => 0,
            ones @ 2..=7 => ones as usize - 1,
            _ => return Err(Found::Nothing),
        };
        let mut number = if more == 0 { u64::from(first) } else { u64::from(first) & (0x3f >> more) };
        for at in 5..5 + more {
            let next = get(at)?;
            if next & 0xc0 != 0x80 {
                return Err(Found::Nothing);
            }
            number = number << 6 | u64::from(next & 0x3f);
        }
        let mut end = 5 + more;
        let samples = match size {
            1 => 192,
            2..=5 => 144 << size,
            6 => {
                end += 1;
                u64::from(get(end - 1)?) + 1
            }
            7 => {
                end += 2;
                u64::from(get(end - 2)?) * 0x100 + u64::from(get(end - 1)?) + 1
            }
            _ => 1 << size,
        };
        end += match rate {
            12 => 1,
            13 | 14 => 2,
            _ => 0,
        };
        get(end)?;
        let checked = bytes.get(..=end).ok_or(Found::More)?;
        if crc(checked, 8, 0x07) != 0 {
            return Err(Found::Nothing);
        }
        Ok(Head { number, next: number + if is_variable { samples } else { 1 } })
    };
    read().map_or_else(|found| found, Found::Here)
}

/// Has the numbers of frames continue where those of a source begin again: readers take them for times.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    /// What is added to the numbers of the source.
    offset: u64,
    /// Of the frame that is expected.
    next: u64,
}

impl Numbering {
    /// This frame, with another number where its own is one that was there before.
    pub(super) fn numbered(&mut self, frame: &Bytes) -> Bytes {
        let Found::Here(head) = head(frame) else { return frame.clone() };
        if head.number + self.offset < self.next {
            self.offset = self.next - head.number;
        }
        self.next = head.next + self.offset;
        match self.offset {
            0 => frame.clone(),
            offset => with_number(frame, head.number + offset).map_or_else(|| frame.clone(), Bytes::from),
        }
    }
}

/// A whole frame with another number, and the checksums for that (sections 9.1 and 9.3). `None` if the number has more than 36 bits.
fn with_number(frame: &[u8], number: u64) -> Option<Vec<u8>> {
    let [_, _, sizes, _, first, ..] = *frame else { return None };
    let behind = 4 + match first.leading_ones() {
        0 => 1,
        ones => ones as usize,
    };
    let more = match sizes >> 4 {
        6 => 1,
        7 => 2,
        _ => 0,
    } + match sizes & 0x0f {
        12 => 1,
        13 | 14 => 2,
        _ => 0,
    };
    let mut out = Vec::with_capacity(frame.len() + 6);
    out.extend_from_slice(frame.get(..4)?);
    code(number, &mut out)?;
    out.extend_from_slice(frame.get(behind..behind + more)?);
    out.push(u8::try_from(crc(&out, 8, 0x07)).ok()?);
    out.extend_from_slice(frame.get(behind + more + 1..frame.len().checked_sub(2)?)?);
    let sum = crc16(&out);
    out.extend_from_slice(&sum.to_be_bytes());
    Some(out)
}

/// Adds a number as UTF-8 codes characters.
fn code(number: u64, out: &mut Vec<u8>) -> Option<()> {
    let more = match number {
        0..0x80 => {
            out.push(u8::try_from(number).ok()?);
            return Some(());
        }
        _ => (1..=6).find(|more| number < 1 << (6 + 5 * more))?,
    };
    let ones = (0xff00u16 >> (more + 1)) as u8;
    out.push(ones | u8::try_from(number >> (6 * more)).ok()?);
    out.extend((0..more).rev().map(|at| 0x80 | (number >> (6 * at) & 0x3f) as u8));
    Some(())
}

/// Of a whole frame, with its checksum after it, this is 0 (section 9.3).
fn crc16(bytes: &[u8]) -> u16 {
    crc(bytes, 16, 0x8005)
}

/// A cyclic redundancy check of so many bits, with this polynomial, that begins with 0.
fn crc(bytes: &[u8], bits: u32, polynomial: u16) -> u16 {
    let (top, mask) = (1u16 << (bits - 1), u16::MAX >> (16 - bits));
    bytes.iter().fold(0, |crc, &byte| {
        let crc = crc ^ u16::from(byte) << (bits - 8);
        (0..8).fold(crc, |crc, _| if crc & top == 0 { crc << 1 } else { crc << 1 ^ polynomial }) & mask
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Container, testing};
    use proptest::prelude::*;

    const PLAIN: &[u8] = include_bytes!("../../tests/data/sound.flac");
    const GSTREAMER: &[u8] = include_bytes!("../../tests/data/sound-gst.flac");

    /// Where the frames of ffmpeg's capture begin, by their first bytes. Those of the last one, which is shorter, differ.
    fn begins(capture: &[u8]) -> Vec<usize> {
        let frames = capture.windows(4).enumerate().filter(|(_, four)| *four == &capture[HEADER..HEADER + 4]);
        frames.map(|(at, _)| at - HEADER).collect()
    }

    /// Length of the header of ffmpeg's capture.
    const HEADER: usize = 8288;

    #[test]
    fn every_frame_is_a_join_point() {
        for (capture, frames, header) in [(PLAIN, 14, HEADER), (GSTREAMER, 20, 116)] {
            let found = testing::Scan::of(None, capture, &[usize::MAX]);
            assert_eq!((found.container, found.joins.len()), (Some(Container::Flac), frames));
            assert!(found.headers.len() == 1 && found.headers[0].1.starts_with(MARKER) && found.joined() == capture);
            assert_eq!(found.headers[0].1.len(), header);
            assert!(found.joins.iter().all(|at| is_sync(&found.media[*at..])));
        }
        assert_eq!(testing::Scan::of(None, PLAIN, &[1]).joins[..13], begins(PLAIN));
    }

    #[test]
    fn a_damaged_frame_costs_no_other() {
        let begins = begins(PLAIN);
        let mut damaged = PLAIN.to_vec();
        damaged[HEADER + begins[5] + 100] ^= 0x55;
        let found = testing::Scan::of(None, &damaged, &[100]);
        assert!(
            found.joins[..13] == begins && found.joined() == damaged,
            "the number of the next frame shows that it is one"
        );
        // What is lost between two frames is lost with the first of them, and what is after them is found.
        let cut = [&PLAIN[..HEADER + begins[5] + 100], &PLAIN[HEADER + begins[7] + 3..]].concat();
        let found = testing::Scan::of(None, &cut, &[100]);
        assert!(found.joins.len() >= begins.len() - 3 && found.media.ends_with(&PLAIN[HEADER + begins[9]..]));
    }

    #[test]
    fn heads_are_read_as_they_are_written() {
        #[track_caller]
        fn check(bytes: &[u8], expected: Found<Head>) {
            let checked = [bytes, &[crc(bytes, 8, 0x07) as u8]].concat();
            assert_eq!(head(&checked), expected, "{bytes:x?}");
            let cut = head(&checked[..bytes.len()]);
            assert!(cut == Found::More || expected == Found::Nothing);
        }
        let here = |number, next| Found::Here(Head { number, next });
        check(&[0xff, 0xf8, 0xc9, 0x18, 0x05], here(5, 6));
        check(&[0xff, 0xf9, 0x29, 0x18, 0x05], here(5, 5 + 576));
        check(&[0xff, 0xf9, 0x69, 0x18, 0xc2, 0x80, 0x0f], here(128, 128 + 16));
        check(&[0xff, 0xf9, 0x7d, 0x18, 0x00, 0x01, 0x00, 0x12, 0x34], here(0, 257));
        check(&[0xff, 0xf8, 0x1c, 0x18, 0xfe, 0x80, 0x80, 0x80, 0x80, 0x80, 0x81, 0x30], here(1, 2));
        for bytes in [
            [0xff, 0xfb, 0xc9, 0x18, 5],
            [0xff, 0xf8, 0x09, 0x18, 5],
            [0xff, 0xf8, 0xc9, 0xb8, 5],
            [0xff, 0xf8, 0xc9, 0x18, 0x80],
        ] {
            check(&bytes, Found::Nothing);
        }
        assert_eq!(head(&[0xff, 0xf8, 0xc9, 0x18, 5, 0]), Found::Nothing);
    }

    /// The frames of a capture.
    fn frames(capture: &[u8]) -> Vec<Bytes> {
        let (mut scan, mut found) = (Scan::default(), Vec::new());
        scan.push(capture, &mut found);
        scan.finish(&mut found);
        let of = |found| match found {
            Scanned::Packet { payload, .. } => Some(payload.into_bytes()),
            _ => None,
        };
        found.into_iter().filter_map(of).collect()
    }

    #[test]
    fn numbers_continue_where_a_source_begins_again() {
        for capture in [PLAIN, GSTREAMER] {
            let frames = frames(capture);
            let (mut numbering, mut next) = (Numbering::default(), 0);
            for (at, frame) in frames.iter().cycle().take(400).enumerate() {
                let numbered = numbering.numbered(frame);
                let Found::Here(found) = head(&numbered) else { panic!("{at}") };
                assert_eq!((found.number, crc16(&numbered)), (next, 0), "{at}");
                assert!(at >= frames.len() || numbered == *frame, "those of the first time are as they were");
                next = found.next;
            }
        }
    }

    #[test]
    fn numbers_are_coded_as_they_are_read() {
        for number in [0, 0x7f, 0x80, 0x7ff, 0x800, 0xffff, 0x1_0000, 0x1f_ffff, 0x20_0000, 0x3ff_ffff, 0xf_ffff_ffff] {
            let mut bytes = vec![0xff, 0xf8, 0xc9, 0x18];
            code(number, &mut bytes).unwrap();
            bytes.push(crc(&bytes, 8, 0x07) as u8);
            assert_eq!(head(&bytes), Found::Here(Head { number, next: number + 1 }), "{number:x}");
        }
        assert_eq!(code(1 << 36, &mut Vec::new()), None);
    }

    #[test]
    fn an_endless_frame_is_given_up() {
        let mut scan = Scan::default();
        let mut out = Vec::new();
        scan.push(&PLAIN[..HEADER + 20], &mut out);
        (0..80).for_each(|_| scan.push(&[0; 64 << 10], &mut out));
        assert!(scan.window.len() < MAX_FRAME + (64 << 10));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            capture in prop::sample::select(vec![PLAIN, GSTREAMER]), sizes in prop::collection::vec(1usize..900, 1..8),
        ) {
            prop_assert_eq!(testing::Scan::of(None, capture, &sizes), testing::Scan::of(None, capture, &[usize::MAX]));
        }
    }
}
