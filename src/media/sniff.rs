//! Detects a container by its first bytes.

use super::audio::{Adts, Mp3};
use super::framing::{FrameLength, Framing};
use super::matroska::doc_type;
use super::ts::{PACKET, PacketFraming, SYNC};
use super::{Container, sniffed::Sniffed};

/// So many bytes are always enough to decide.
pub const MAX_SNIFFED: usize = 512;

/// Longest boundary of a multipart (RFC 2046, section 5.1.1), with room for cameras that do not count.
const MAX_BOUNDARY: usize = 200;
/// Longest name of a header field in a part.
const MAX_FIELD_NAME: usize = 64;

/// Looks at the first bytes of a stream; `ended`: there are no more.
pub fn sniff(bytes: &[u8], ended: bool) -> Sniffed {
    let sniffed = match bytes {
        [SYNC, ..] => match bytes.get(PACKET) {
            Some(&SYNC) => Sniffed::Is(Container::Ts),
            Some(_) => Sniffed::Unknown,
            None if ended && bytes.len() == PACKET => Sniffed::Is(Container::Ts),
            None => Sniffed::Undecided,
        },
        // ID of the EBML header (RFC 8794, section 11.2.1).
        [0x1a, ..] => magic(bytes, &[0x1a, 0x45, 0xdf, 0xa3]).unwrap_or_else(|| doc_type(bytes)),
        // SOI and the beginning of the next marker (ITU-T T.81, annex B).
        [0xff, 0xd8, ..] => magic(bytes, &[0xff, 0xd8, 0xff]).unwrap_or(Sniffed::Is(Container::Mjpeg)),
        [0xff] => Sniffed::Undecided,
        [0xff, ..] => match frame::<Adts>(bytes, Container::Aac) {
            Sniffed::Unknown => frame::<Mp3>(bytes, Container::Mp3),
            sniffed => sniffed,
        },
        [b'I', ..] => frame::<Mp3>(bytes, Container::Mp3),
        [b'O', ..] => magic(bytes, b"OggS\0").unwrap_or(Sniffed::Is(Container::Ogg)),
        [b'F', ..] => magic(bytes, b"FLV\x01").unwrap_or(Sniffed::Is(Container::Flv)),
        [b'f', ..] => magic(bytes, b"fLaC").unwrap_or(Sniffed::Is(Container::Flac)),
        [b'R', ..] => magic(bytes, b"RIFF").unwrap_or_else(|| match bytes.get(8..) {
            Some(form) => magic(form, b"WAVE").unwrap_or(Sniffed::Is(Container::Wav)),
            None => Sniffed::Undecided,
        }),
        // A file type of less than 64 KiB.
        [0, ..] => match bytes {
            [0, 0, _, _, kind @ ..] => magic(kind, b"ftyp").unwrap_or(Sniffed::Is(Container::Mp4)),
            [_, second, ..] if *second != 0 => Sniffed::Unknown,
            _ => Sniffed::Undecided,
        },
        [b'-' | b'\r' | b'\n', ..] => multipart(bytes).unwrap_or(Sniffed::Undecided),
        // Some cameras send no boundary before the first part.
        [b'C' | b'c', ..] => content_field(bytes).unwrap_or(Sniffed::Undecided),
        [] => Sniffed::Undecided,
        _ => Sniffed::Unknown,
    };
    let sniffed = if sniffed == Sniffed::Unknown { PacketFraming::sniff(bytes) } else { sniffed };
    match sniffed {
        Sniffed::Undecided if ended || bytes.len() >= MAX_SNIFFED => Sniffed::Unknown,
        sniffed => sniffed,
    }
}

/// `None` when `bytes` begin with `magic`.
fn magic(bytes: &[u8], magic: &[u8]) -> Option<Sniffed> {
    if bytes.starts_with(magic) {
        None
    } else if magic.starts_with(bytes) {
        Some(Sniffed::Undecided)
    } else {
        Some(Sniffed::Unknown)
    }
}

/// By the head of the first frame.
fn frame<F: Framing>(bytes: &[u8], container: Container) -> Sniffed {
    match F::measure(bytes) {
        FrameLength::Unit(_) => Sniffed::Is(container),
        FrameLength::More => Sniffed::Undecided,
        FrameLength::Nothing => Sniffed::Unknown,
    }
}

/// A field of the head of a part with its type or length; `None` when the bytes end before that is known.
fn content_field(bytes: &[u8]) -> Option<Sniffed> {
    let is_field = [&b"content-type:"[..], b"content-length:"].into_iter().find_map(|name| {
        let begin = bytes.get(..name.len().min(bytes.len()))?;
        begin.eq_ignore_ascii_case(name.get(..begin.len())?).then_some(begin.len() == name.len())
    });
    match is_field {
        Some(true) => Some(Sniffed::Is(Container::Mjpeg)),
        Some(false) => None,
        None => Some(Sniffed::Unknown),
    }
}

/// A boundary line, then a header field; `None` when the bytes end before that is known.
fn multipart(bytes: &[u8]) -> Option<Sniffed> {
    // Some servers send the line break that belongs to the boundary (RFC 2046, section 5.1.1) before the first.
    let line = bytes.strip_prefix(b"\r\n").or_else(|| bytes.strip_prefix(b"\n")).unwrap_or(bytes);
    if line == b"\r" || b"--".starts_with(line) {
        return None;
    }
    let Some(boundary) = line.strip_prefix(b"--") else { return Some(Sniffed::Unknown) };
    let Some(end) = boundary.iter().position(|&byte| byte == b'\n') else {
        let is_text = boundary.iter().all(|&byte| matches!(byte, b' '..=b'~' | b'\r'));
        return (!is_text || boundary.len() > MAX_BOUNDARY).then_some(Sniffed::Unknown);
    };
    let (boundary, field) = boundary.split_at(end);
    let boundary = boundary.strip_suffix(b"\r").unwrap_or(boundary);
    if boundary.is_empty() || boundary.len() > MAX_BOUNDARY || !boundary.iter().all(|byte| matches!(byte, b' '..=b'~'))
    {
        return Some(Sniffed::Unknown);
    }
    let field = field.strip_prefix(b"\n").unwrap_or(field);
    // Some cameras send each boundary twice.
    let field = match field.strip_prefix(b"--").map(|again| again.strip_prefix(boundary)) {
        Some(Some(again)) => {
            let again = again.strip_prefix(b"\r").unwrap_or(again);
            again.strip_prefix(b"\n").unwrap_or(again)
        }
        Some(None) if !field.contains(&b'\n') => return None,
        _ if field.is_empty() || field == b"-" => return None,
        _ => field,
    };
    // The characters of a token (RFC 9110, section 5.6.2), as far as names of fields use them.
    match field.iter().position(|&byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))) {
        Some(at) if at > 0 && at <= MAX_FIELD_NAME && field.get(at) == Some(&b':') => {
            Some(Sniffed::Is(Container::Mjpeg))
        }
        None if field.len() <= MAX_FIELD_NAME => None,
        _ => Some(Sniffed::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn containers_are_told_by_their_first_bytes() {
        #[track_caller]
        fn check(bytes: &[u8], now: Sniffed, at_the_end: Sniffed) {
            assert_eq!((sniff(bytes, false), sniff(bytes, true)), (now, at_the_end));
        }
        let is = |container| (Sniffed::Is(container), Sniffed::Is(container));
        let both = |bytes: &[u8], (now, end)| check(bytes, now, end);
        let ts = [&[SYNC; 1][..], &[0; 187], &[SYNC]].concat();
        both(&ts, is(Container::Ts));
        check(&ts[..188], Sniffed::Undecided, Sniffed::Is(Container::Ts));
        check(&ts[..100], Sniffed::Undecided, Sniffed::Unknown);
        check(&[&ts[..188], b"x"].concat(), Sniffed::Undecided, Sniffed::Unknown);
        both(&[&ts[..188], &[b'x'; 17]].concat(), (Sniffed::Unknown, Sniffed::Unknown));
        both(&[&ts[..188], &[0; 16], &ts[..188], &[1; 16], b"G"].concat(), is(Container::Ts));
        both(b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm", is(Container::Webm));
        both(b"\x1a\x45\xdf\xa3\x8b\x42\x82\x88matroska", is(Container::Mkv));
        check(b"\x1a\x45\xdf\xa3\x8b\x42\x82\x88matro", Sniffed::Undecided, Sniffed::Unknown);
        check(b"\x1a\x45", Sniffed::Undecided, Sniffed::Unknown);
        both(b"\x1a\x46rest", (Sniffed::Unknown, Sniffed::Unknown));
        both(b"\xff\xd8\xff", is(Container::Mjpeg));
        check(b"\xff\xd8", Sniffed::Undecided, Sniffed::Unknown);
        check(b"\xff", Sniffed::Undecided, Sniffed::Unknown);
        check(b"\xff\xfb", Sniffed::Undecided, Sniffed::Unknown);
        both(b"\xff\xfb\x90\x64", is(Container::Mp3));
        both(b"\xff\xfb\xf0\x64\0", (Sniffed::Unknown, Sniffed::Unknown));
        both(b"ID3\x04\0\0\0\0\0\x01", is(Container::Mp3));
        both(b"IDEAS", (Sniffed::Unknown, Sniffed::Unknown));
        both(b"\xff\xf1\x50\x80\x02\x1f", is(Container::Aac));
        check(b"OggS", Sniffed::Undecided, Sniffed::Unknown);
        both(b"OggS\0", is(Container::Ogg));
        both(b"FLV\x01", is(Container::Flv));
        both(b"fLaC", is(Container::Flac));
        check(b"fLa", Sniffed::Undecided, Sniffed::Unknown);
        both(b"RIFF\x01\x02\x03\x04WAVE", is(Container::Wav));
        check(b"RIFF\x01\x02\x03\x04WAV", Sniffed::Undecided, Sniffed::Unknown);
        both(b"RIFF\x01\x02\x03\x04AVI ", (Sniffed::Unknown, Sniffed::Unknown));
        both(b"FLV\x02\x05", (Sniffed::Unknown, Sniffed::Unknown));
        both(b"\0\0\0\x18ftyp", is(Container::Mp4));
        check(b"\0\0\0\x18fty", Sniffed::Undecided, Sniffed::Unknown);
        check(b"\0\0", Sniffed::Undecided, Sniffed::Unknown);
        both(b"\0\0\0\x18moof", (Sniffed::Unknown, Sniffed::Unknown));
        both(b"\0\x01\x02\x03\x04", (Sniffed::Unknown, Sniffed::Unknown));
        both(b"--ffmpeg\r\nContent-type:", is(Container::Mjpeg));
        both(b"\r\n--a b\nX:", is(Container::Mjpeg));
        check(b"--ffmpeg\r\nContent", Sniffed::Undecided, Sniffed::Unknown);
        check(b"\r", Sniffed::Undecided, Sniffed::Unknown);
        both(b"--- a\n\n", (Sniffed::Unknown, Sniffed::Unknown));
        both(b"--a\0\0", (Sniffed::Unknown, Sniffed::Unknown));
        both(b"texts", (Sniffed::Unknown, Sniffed::Unknown));
        both(b"Content-Type: image/jpeg\r\n", is(Container::Mjpeg));
        both(b"content-length:5\n", is(Container::Mjpeg));
        check(b"Content-", Sniffed::Undecided, Sniffed::Unknown);
        both(b"Contents", (Sniffed::Unknown, Sniffed::Unknown));
        both(b"--a\r\n--a\r\nContent-Type: image/jpeg", is(Container::Mjpeg));
        check(b"--a\r\n--", Sniffed::Undecided, Sniffed::Unknown);
    }

    proptest! {
        #[test]
        fn a_decision_comes_in_time_and_stands(
            first in prop::sample::select(vec![&b"\x47"[..], b"\x1a\x45\xdf\xa3", b"\xff\xd8", b"\xff", b"OggS", b"FLV", b"\0\0", b"ID3", b"fLa", b"RIFF1234", b"--", b"\r\n--", b""]),
            rest in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let bytes = [first, &rest].concat();
            let mut decided = Sniffed::Undecided;
            for length in 0..=bytes.len() {
                let sniffed = sniff(&bytes[..length], false);
                prop_assert!(sniffed != Sniffed::Undecided || length < MAX_SNIFFED);
                prop_assert_ne!(sniff(&bytes[..length], true), Sniffed::Undecided);
                if decided != Sniffed::Undecided {
                    prop_assert_eq!(sniffed, decided);
                }
                decided = sniffed;
            }
        }
    }
}
