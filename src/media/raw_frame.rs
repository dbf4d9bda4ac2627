//! Raw frames for programs: each after a header that describes it, all numbers little-endian.
//!
//! docs/http.md has the table; docs/frames.py reads it.

use std::time::Duration;

/// Length of a head.
pub const HEAD: usize = 128;
/// How a head begins.
pub const MAGIC: &[u8; 4] = b"VYZ1";
const NUMBER: usize = 16;
const DATE: usize = 24;
const TAKEN: usize = 32;
const FORMAT: usize = 48;
const COLORIMETRY: usize = 64;
const PLANES: usize = 80;
const FIRST_PLANE: usize = 88;
/// A text is filled up with zeros to this length.
const TEXT: usize = 16;
/// Most planes of a format.
const MAX_PLANES: usize = 4;

/// A raw frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrameHeader<'a> {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// GStreamer's name of the format of its pixels.
    pub format: &'a str,
    /// GStreamer's name of what its numbers mean as colours.
    pub colorimetry: &'a str,
    /// Where each plane begins after the head, and the bytes from one of its lines to the next.
    pub planes: Vec<(u32, u32)>,
    /// Bytes after the head.
    pub length: usize,
}

/// Why a header cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// It begins with something else.
    #[error("it does not begin with VYZ1: the length of the frame before may be wrong")]
    Magic,
    /// It is shorter than all headers are, or much longer.
    #[error("the length of the header is not 128, or up to 4096 in later versions")]
    Head,
    /// Nothing is seen on such a frame, or it is too large.
    #[error("width and height are not from 1 to 8192")]
    Size,
    /// The format is not known.
    #[error("the format is none of I420, NV12, RGB, BGR and GRAY8")]
    Format,
    /// They are not those of the format, or not within the bytes that follow.
    #[error("the planes are not those of the format, or not within the bytes of the frame")]
    Planes,
    /// The frame is too large.
    #[error("the frame has more than 32 MiB")]
    Length,
}

impl<'a> RawFrameHeader<'a> {
    /// Reads a header; also returns its length.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(head: &'a [u8]) -> Result<(Self, usize), BadHeader> {
        if !head.starts_with(MAGIC) {
            return Err(BadHeader::Magic);
        }
        let word = |at: usize| {
            let bytes = head.get(at..)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes))
        };
        let long = |at: usize| {
            let bytes = head.get(at..)?.first_chunk()?;
            Some(u64::from_le_bytes(*bytes))
        };
        let text = |at: usize| {
            let bytes = head.get(at..at + TEXT)?.split(|byte| *byte == 0).next()?;
            std::str::from_utf8(bytes).ok()
        };
        let planes = word(PLANES).filter(|planes| (1..=MAX_PLANES as u32).contains(planes)).ok_or(BadHeader::Planes)?;
        let plane = |number: u32| {
            let at = FIRST_PLANE + 8 * number as usize;
            word(at).zip(word(at + 4))
        };
        let length = long(8).and_then(|length| usize::try_from(length).ok()).ok_or(BadHeader::Length)?;
        let header = Self {
            width: word(40).ok_or(BadHeader::Head)?,
            height: word(44).ok_or(BadHeader::Head)?,
            format: text(FORMAT).ok_or(BadHeader::Format)?,
            colorimetry: text(COLORIMETRY).unwrap_or_default(),
            planes: (0..planes).map(plane).collect::<Option<_>>().ok_or(BadHeader::Planes)?,
            length,
        };
        Ok((header, word(4).ok_or(BadHeader::Head)? as usize))
    }
}

impl RawFrameHeader<'_> {
    /// The head, without number and times.
    pub fn head(&self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        put(&mut head, 0, MAGIC);
        put(&mut head, 4, &(HEAD as u32).to_le_bytes());
        put(&mut head, 8, &(self.length as u64).to_le_bytes());
        put(&mut head, 40, &self.width.to_le_bytes());
        put(&mut head, 44, &self.height.to_le_bytes());
        put(&mut head, FORMAT, text(self.format));
        put(&mut head, COLORIMETRY, text(self.colorimetry));
        put(&mut head, PLANES, &(self.planes.len().min(MAX_PLANES) as u32).to_le_bytes());
        for (at, (offset, stride)) in self.planes.iter().take(MAX_PLANES).enumerate() {
            put(&mut head, FIRST_PLANE + 8 * at, &offset.to_le_bytes());
            put(&mut head, FIRST_PLANE + 8 * at + 4, &stride.to_le_bytes());
        }
        head
    }
}

/// Completes a head: the number of the frame among those of one response, and when it was captured, since 1970 as far as that
/// is known, and on the machine's monotonic clock.
pub fn stamp(head: &mut [u8], number: u64, date: Option<Duration>, taken: Duration) {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX).to_le_bytes();
    put(head, NUMBER, &number.to_le_bytes());
    put(head, DATE, &micros(date.unwrap_or_default()));
    put(head, TAKEN, &micros(taken));
}

fn text(text: &str) -> &[u8] {
    text.as_bytes().get(..TEXT).unwrap_or(text.as_bytes())
}

fn put(head: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = head.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_its_place() {
        let planes = vec![(0, 320), (76_800, 160), (96_000, 160)];
        let layout =
            RawFrameHeader { width: 320, height: 240, format: "I420", colorimetry: "bt601", planes, length: 115_200 };
        let mut head = layout.head();
        stamp(&mut head, 7, Some(Duration::from_micros(9)), Duration::from_micros(11));
        let long = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
        let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
        assert_eq!((&head[..4], word(4), long(8)), (&b"VYZ1"[..], 128, 115_200));
        assert_eq!((long(16), long(24), long(32), word(40), word(44)), (7, 9, 11, 320, 240));
        assert_eq!((&head[48..54], &head[64..70]), (&b"I420\0\0"[..], &b"bt601\0"[..]));
        let (read, length) = RawFrameHeader::read(&head).unwrap();
        assert_eq!((read, length), (layout.clone(), HEAD));
        assert_eq!([80, 88, 92, 96, 100, 104, 108, 112].map(word), [3, 0, 320, 76_800, 160, 96_000, 160, 0]);
    }
}
