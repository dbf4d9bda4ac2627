//! Motion JPEG as browsers show it in an `<img>`: `multipart/x-mixed-replace`.
//!
//! A browser shows a frame when it has read the boundary after it. So the boundary is sent with the frame that it
//! completes, not with the next one, which would be a frame later. Chromium and its kin want to have read the whole head of
//! the next part: they get [`early`] heads.

use super::{Kind, Packet};
use bytes::Bytes;
use jiff::Timestamp;
use std::{iter, time::Duration};

/// What follows each frame.
const END: &[u8] = b"\r\n--voyandz\r\n";

/// The head of a part that is sent before there is its frame.
const EARLY: &str = "Content-Type: image/jpeg\r\n\r\n";

/// What a connection gets before its first frame.
pub fn opening() -> &'static [u8] {
    b"--voyandz\r\n"
}

/// The moment a frame was captured, as the field `X-Capture-Time` has it: as in RFC 3339, in UTC, with microseconds.
pub fn capture_time(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// One frame as a part, up to and including the boundary after it. `captured` is the time since 1970 and becomes the
/// fields `X-Timestamp`, in seconds with six decimals, and `X-Capture-Time`.
pub fn part(kind: Kind, jpeg: &Bytes, captured: Option<Duration>) -> Packet {
    let length = jpeg.len();
    let mut head = format!("Content-Type: image/jpeg\r\nContent-Length: {length}\r\n");
    if let Some(time) = captured {
        head.push_str(&format!("X-Timestamp: {}.{:06}\r\n", time.as_secs(), time.subsec_micros()));
        if let Ok(time) = Timestamp::UNIX_EPOCH.checked_add(time) {
            head.push_str(&format!("X-Capture-Time: {}\r\n", capture_time(time)));
        }
    }
    head.push_str("\r\n");
    Packet::framed(kind, &[head.as_bytes()], jpeg, END)
}

/// The same for a client that is to have the head of a part before its frame: of an [`opening`] or a [`part`], the pieces that
/// are to be sent of it, and the head of the part after it, which has neither length nor time, as they are not known yet.
pub fn early(part: &Packet) -> impl Iterator<Item = Bytes> {
    let mut pieces = part.payload_pieces();
    let first = pieces.next().unwrap_or_default();
    let head = first.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(0, |end| end + 4);
    let first = first.slice(head..);
    iter::once(first).chain(pieces).filter(|piece| !piece.is_empty()).chain([Bytes::from_static(EARLY.as_bytes())])
}

/// The frame in a [`part`].
pub fn picture_of(part: &Packet) -> Option<Bytes> {
    let mut pieces = part.payload_pieces();
    if let (Some(_), Some(body)) = (pieces.next(), pieces.next()) {
        return Some(body);
    }
    let part = part.payload();
    let head = part.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let end = part.len().checked_sub(END.len())?;
    (head + 4 <= end).then(|| part.slice(head + 4..end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Container, Scanned, Scanner};

    fn part_of(jpeg: &[u8], captured: Option<Duration>) -> Packet {
        part(Kind::Keyframe, &Bytes::copy_from_slice(jpeg), captured)
    }

    #[test]
    fn a_part_ends_with_the_boundary_that_completes_it() {
        let jpeg = b"\xff\xd8\xff\xd9";
        let head = "Content-Type: image/jpeg\r\nContent-Length: 4\r\n";
        let expect = |time: &str| [head.as_bytes(), time.as_bytes(), b"\r\n", jpeg, b"\r\n--voyandz\r\n"].concat();
        assert_eq!(part_of(jpeg, None).payload(), expect(""));
        assert_eq!(
            part_of(jpeg, Some(Duration::from_nanos(7_000_042_999))).payload(),
            expect("X-Timestamp: 7.000042\r\nX-Capture-Time: 1970-01-01T00:00:07.000042Z\r\n")
        );
        let large = [&jpeg[..2], &vec![7; 300_000], &jpeg[2..]].concat();
        for jpeg in [&jpeg[..], &large] {
            assert_eq!(picture_of(&part_of(jpeg, None)).unwrap(), jpeg);
        }
        assert_eq!(picture_of(&Packet::copy_of(Kind::Keyframe, b"no part")), None);
        let boundary = Container::Mjpeg.mimetype().rsplit_once("boundary=").unwrap().1;
        assert_eq!(opening(), format!("--{boundary}\r\n").as_bytes());
    }

    #[test]
    fn heads_that_come_early_are_whole_ones() {
        let (small, large) = (b"\xff\xd8\xff\xd9", vec![7; 300_000]);
        let opening = Packet::copy_of(Kind::Keyframe, opening());
        let parts = [opening, part_of(small, None), part_of(&large, Some(Duration::ZERO))];
        let sent = parts.iter().flat_map(early).collect::<Vec<_>>().concat();
        let head = b"--voyandz\r\nContent-Type: image/jpeg\r\n\r\n";
        assert!(sent == [&head[..], small, b"\r\n", head, &large, b"\r\n", head].concat());
    }

    #[test]
    fn our_own_output_can_be_read_again() {
        let jpeg = b"\xff\xd8\xff\xe0\0\x03a\xff\xda\0\x03adata\xff\0\xff\xd0more\xff\xd9";
        let mut stream = opening().to_vec();
        stream.extend(part_of(jpeg, None).payload());
        stream.extend(part_of(jpeg, Some(Duration::from_secs(1))).payload());
        let (mut scanner, mut out) = (Scanner::new(None), Vec::new());
        scanner.push(&stream, &mut out);
        let [Scanned::Container(Container::Mjpeg), pictures @ ..] = &out[..] else { panic!("{out:?}") };
        assert_eq!(pictures.len(), 2);
        assert!(pictures.iter().all(|it| matches!(it, Scanned::Packet { payload, .. } if payload.payload() == jpeg)));
    }
}
