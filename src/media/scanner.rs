//! Cuts a byte stream of any container into packets that begin where a reader may join.

use super::audio::{Adts, Mp3};
use super::flac;
use super::flv::Flv;
use super::framing;
use super::jpeg;
use super::matroska;
use super::mp4::Mp4;
use super::ogg::Ogg;
use super::sniff::sniff;
use super::sniffed::Sniffed;
use super::ts;
use super::wav;
use super::{Container, Kind, PacketBuf, Scanned};

/// Finds headers and join points in muxed bytes that come in pieces of any size.
///
/// Bytes leave with the call that brings them, except the few that may turn out to begin a join point or a header, and
/// the pages, tags, fragments and frames of Ogg, FLV, MP4, MP3, AAC and FLAC, which leave when they are whole. Memory stays bounded whatever
/// comes in.
#[derive(Debug)]
pub struct Scanner {
    state: State,
}

#[derive(Debug)]
enum State {
    Sniffing { expected: Option<Container>, held: Vec<u8> },
    Ts(Box<ts::Scan>),
    Matroska(Container, Box<matroska::Scan>),
    Ogg(Box<framing::Scan<Ogg>>),
    Flv(Box<framing::Scan<Flv>>),
    Mp4(Box<framing::Scan<Mp4>>),
    Mp3(Box<framing::Scan<Mp3>>),
    Aac(Box<framing::Scan<Adts>>),
    Flac(Box<flac::Scan>),
    Wav(Box<wav::Scan>),
    Mjpeg(Box<jpeg::Scan>),
    Raw,
}

impl Scanner {
    /// A scanner for a stream that should be `expected`. The bytes are believed more than the expectation, except
    /// [`Container::Raw`], which means that they are not to be looked at.
    pub fn new(expected: Option<Container>) -> Self {
        Self { state: State::Sniffing { expected, held: Vec::new() } }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Scanned>) {
        if bytes.is_empty() {
            return;
        }
        match &mut self.state {
            State::Sniffing { held, .. } if held.is_empty() => self.sniff(bytes, false, out),
            State::Sniffing { held, .. } => {
                let mut held = std::mem::take(held);
                held.extend_from_slice(bytes);
                self.sniff(&held, false, out);
            }
            _ => self.scan(bytes, out),
        }
    }

    /// No more bytes will come: lets go of what is held.
    pub fn finish(&mut self, out: &mut Vec<Scanned>) {
        if let State::Sniffing { held, .. } = &mut self.state {
            let held = std::mem::take(held);
            if held.is_empty() {
                return;
            }
            self.sniff(&held, true, out);
        }
        match &mut self.state {
            State::Sniffing { .. } | State::Raw => {}
            State::Ts(scan) => scan.finish(out),
            State::Matroska(_, scan) => scan.finish(out),
            State::Ogg(scan) => scan.finish(out),
            State::Flv(scan) => scan.finish(out),
            State::Mp4(scan) => scan.finish(out),
            State::Mp3(scan) => scan.finish(out),
            State::Aac(scan) => scan.finish(out),
            State::Flac(scan) => scan.finish(out),
            State::Wav(scan) => scan.finish(),
            State::Mjpeg(scan) => scan.finish(),
        }
    }

    /// The container, once it is known.
    pub fn container(&self) -> Option<Container> {
        match &self.state {
            State::Sniffing { .. } => None,
            State::Ts(_) => Some(Container::Ts),
            State::Matroska(container, _) => Some(*container),
            State::Ogg(_) => Some(Container::Ogg),
            State::Flv(_) => Some(Container::Flv),
            State::Mp4(_) => Some(Container::Mp4),
            State::Mp3(_) => Some(Container::Mp3),
            State::Aac(_) => Some(Container::Aac),
            State::Flac(_) => Some(Container::Flac),
            State::Wav(_) => Some(Container::Wav),
            State::Mjpeg(_) => Some(Container::Mjpeg),
            State::Raw => Some(Container::Raw),
        }
    }

    /// Decides with all the bytes there are so far, or holds them.
    fn sniff(&mut self, bytes: &[u8], ended: bool, out: &mut Vec<Scanned>) {
        let State::Sniffing { expected, held } = &mut self.state else { return };
        let container = match (*expected, sniff(bytes, ended)) {
            (Some(Container::Raw), _) => Container::Raw,
            (_, Sniffed::Is(container)) => container,
            (_, Sniffed::Undecided) => {
                held.extend_from_slice(bytes);
                return;
            }
            (expected, Sniffed::Unknown) => expected.unwrap_or(Container::Raw),
        };
        self.state = match container {
            Container::Ts => State::Ts(Box::new(match ts::PacketFraming::of(bytes) {
                Ok(Some(framing)) => ts::Scan::wrapped(framing),
                _ => ts::Scan::default(),
            })),
            Container::Webm | Container::Mkv => State::Matroska(container, Box::default()),
            Container::Ogg => State::Ogg(Box::default()),
            Container::Flv => State::Flv(Box::default()),
            Container::Mp4 => State::Mp4(Box::default()),
            Container::Mp3 => State::Mp3(Box::default()),
            Container::Aac => State::Aac(Box::default()),
            Container::Flac => State::Flac(Box::default()),
            Container::Wav => State::Wav(Box::default()),
            Container::Mjpeg => State::Mjpeg(Box::default()),
            Container::Avi | Container::WebRtc | Container::Rtp | Container::Raw => State::Raw,
        };
        out.push(Scanned::Container(container));
        self.scan(bytes, out);
    }

    fn scan(&mut self, bytes: &[u8], out: &mut Vec<Scanned>) {
        match &mut self.state {
            State::Sniffing { .. } => {}
            State::Ts(scan) => scan.push(bytes, out),
            State::Matroska(_, scan) => scan.push(bytes, out),
            State::Ogg(scan) => scan.push(bytes, out),
            State::Flv(scan) => scan.push(bytes, out),
            State::Mp4(scan) => scan.push(bytes, out),
            State::Mp3(scan) => scan.push(bytes, out),
            State::Aac(scan) => scan.push(bytes, out),
            State::Flac(scan) => scan.push(bytes, out),
            State::Wav(scan) => scan.push(bytes, out),
            State::Mjpeg(scan) => scan.push(bytes, out),
            State::Raw => {
                let mut payload = PacketBuf::with_capacity(bytes.len());
                payload.extend_from_slice(bytes);
                out.push(Scanned::Packet { kind: Kind::Delta, payload });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::testing;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_are_believed_more_than_the_expectation() {
        #[track_caller]
        fn check(expected: Option<Container>, bytes: &[u8], container: Container) {
            for sizes in [&[1][..], &[usize::MAX]] {
                assert_eq!(testing::Scan::of(expected, bytes, sizes).container, Some(container));
            }
        }
        let webm = b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm";
        check(None, webm, Container::Webm);
        check(Some(Container::Mkv), webm, Container::Webm);
        check(Some(Container::Ts), webm, Container::Webm);
        check(Some(Container::Raw), webm, Container::Raw);
        check(Some(Container::Ts), b"begun in a packet", Container::Ts);
        check(None, b"GGG", Container::Raw);
        check(Some(Container::Ts), b"GGG", Container::Ts);
        check(Some(Container::Mjpeg), b"\0\xff\xd8\xff", Container::Mjpeg);
        check(Some(Container::Raw), b"OggS\0", Container::Raw);
        check(None, b"OggS\0", Container::Ogg);
        check(None, b"FLV\x01", Container::Flv);
        check(None, b"\0\0\0\x18ftypiso5", Container::Mp4);
        check(None, b"\xff\xfb\x90\x64", Container::Mp3);
        check(None, b"ID3\x04\0\0\0\0\0\x01", Container::Mp3);
        check(None, b"\xff\xf1\x50\x80\x02\x1f", Container::Aac);
        check(None, b"fLaC\0", Container::Flac);
        check(None, b"RIFF\0\0\0\0WAVEfmt ", Container::Wav);
        check(None, b"RIFF\0\0\0\0AVI LIST", Container::Raw);
        check(None, b"#!text", Container::Raw);
    }

    #[test]
    fn a_transport_stream_waits_for_no_more_than_the_begin_of_its_second_packet() {
        let (mut scanner, mut out) = (Scanner::new(Some(Container::Ts)), Vec::new());
        let mut raw = [0xff; ts::PACKET];
        raw[0] = ts::SYNC;
        scanner.push(&raw, &mut out);
        assert!(out.is_empty(), "parity may follow");
        scanner.push(&[ts::SYNC], &mut out);
        assert!(matches!(&out[..], [Scanned::Container(Container::Ts), Scanned::Packet { .. }]));
    }

    #[test]
    fn nothing_comes_of_nothing() {
        let (mut scanner, mut out) = (Scanner::new(Some(Container::Ts)), Vec::new());
        scanner.push(b"", &mut out);
        scanner.finish(&mut out);
        assert!(out.is_empty() && scanner.container().is_none());
    }

    proptest! {
        #[test]
        fn unknown_bytes_pass_untouched_and_at_once(bytes: Vec<u8>, sizes in prop::collection::vec(1usize..99, 1..9)) {
            let found = testing::Scan::of(Some(Container::Raw), &bytes, &sizes);
            prop_assert!(found.media == bytes);
            // So many that none of a transport stream with timestamps can follow.
            let bytes = [b"text:", &bytes[..]].concat();
            let found = testing::Scan::of(None, &bytes, &sizes);
            prop_assert!(found.media == bytes && found.joins.is_empty() && found.headers.is_empty());
            let (mut scanner, mut out) = (Scanner::new(None), Vec::new());
            scanner.push(&bytes, &mut out);
            prop_assert_eq!(out.len(), 2);
        }

        #[test]
        fn no_bytes_panic(expected in prop::sample::select(&Container::ALL[..]), bytes: Vec<u8>, size in 1usize..99) {
            testing::Scan::of(Some(expected), &bytes, &[size]);
            testing::Scan::of(None, &bytes, &[size]);
        }
    }
}
