//! Muxed bytes for those who come when they run already: first the header, then all from a join point on.
//!
//! What comes from a muxer in one push is mostly a unit of its container, but its header came with the first bytes only,
//! and a reader of MP4 or Matroska takes nothing but whole boxes and clusters from the first one on.

use crate::media::{Container, Kind, Scanned, Scanner};
use bytes::Bytes;
use gstreamer as gst;

/// How a cluster of Matroska begins (RFC 9559, section 5.1.3).
const CLUSTER: &[u8] = &[0x1f, 0x43, 0xb6, 0x75];
/// Where the header must have ended, as in [`crate::media`].
const MAX_HEADER: usize = 4 << 20;

/// The begin of a run, as far as those who come later need it.
pub(super) struct StreamHeadCache {
    /// Until there is a header, or media without one.
    scanner: Option<Scanner>,
    /// All that came before that.
    begin: Vec<gst::Buffer>,
    bytes: usize,
    header: Option<Bytes>,
}

impl Default for StreamHeadCache {
    fn default() -> Self {
        Self { scanner: Some(Scanner::new(None)), begin: Vec::new(), bytes: 0, header: None }
    }
}

impl StreamHeadCache {
    /// Takes what the muxer pushed together. Streaming thread; free of cost once the header is known.
    pub(super) fn push(&mut self, buffers: &[gst::Buffer]) {
        let Some(scanner) = &mut self.scanner else { return };
        let mut found = Vec::new();
        for map in buffers.iter().filter_map(|buffer| buffer.map_readable().ok()) {
            self.bytes += map.len();
            scanner.push(&map, &mut found);
        }
        self.begin.extend_from_slice(buffers);
        let is_told = |found: &Scanned| !matches!(found, Scanned::Container(_));
        if !found.iter().any(is_told) && self.bytes <= MAX_HEADER {
            return;
        }
        // The tables of a transport stream are repeated.
        let needs_none = scanner.container() == Some(Container::Ts);
        self.header = found.into_iter().find_map(|found| match found {
            Scanned::Header(header) if !needs_none => Some(header),
            _ => None,
        });
        self.scanner = None;
        self.begin = Vec::new();
    }

    /// What one who comes now has to be given first, and what picks for it from what comes then.
    pub(super) fn catch_up(&self) -> (&[gst::Buffer], Option<LateJoiner>) {
        (&self.begin, self.header.as_deref().map(LateJoiner::new))
    }

    /// The header of this run; `None` where late joiners need none, or before it has come.
    #[cfg(test)]
    fn header(&self) -> Option<&Bytes> {
        self.header.as_ref()
    }
}

/// One who came when the header was gone.
pub(super) struct LateJoiner {
    scanner: Scanner,
    found: Vec<Scanned>,
    /// Elements of Matroska cannot be recognised from the middle of one: a buffer that begins with a cluster is waited for.
    needs_cluster: bool,
    /// There was a join point.
    has_begun: bool,
}

impl LateJoiner {
    fn new(header: &[u8]) -> Self {
        let (mut scanner, mut found) = (Scanner::new(None), Vec::new());
        // It comes out again, most times before the first media.
        scanner.push(header, &mut found);
        let needs_cluster = matches!(scanner.container(), Some(Container::Webm | Container::Mkv));
        Self { scanner, found, needs_cluster, has_begun: false }
    }

    /// What is to be forwarded of what the muxer pushed together. Streaming thread.
    pub(super) fn take(&mut self, buffers: &[gst::Buffer]) -> Vec<gst::Buffer> {
        for map in buffers.iter().filter_map(|buffer| buffer.map_readable().ok()) {
            self.needs_cluster &= !map.starts_with(CLUSTER);
            if !self.needs_cluster {
                self.scanner.push(&map, &mut self.found);
            }
        }
        let mut taken = Vec::new();
        for found in self.found.drain(..) {
            match found {
                Scanned::Container(_) | Scanned::Lead(_) => {}
                Scanned::Header(header) => taken.push(gst::Buffer::from_slice(header)),
                Scanned::Packet { kind, payload } => {
                    self.has_begun |= kind == Kind::Keyframe;
                    if self.has_begun {
                        taken.push(gst::Buffer::from_slice(payload.payload().to_vec()));
                    }
                }
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(capture: &'static [u8], begins: fn(&[u8]) -> bool) {
        gst::init().unwrap();
        // Clusters begin buffers of their own.
        let mut pieces: Vec<&[u8]> = Vec::new();
        let mut from = 0;
        let clusters = capture.windows(4).enumerate().filter(|(_, word)| *word == CLUSTER).map(|(at, _)| at);
        for at in clusters.chain([capture.len()]) {
            pieces.extend(capture[from..at].chunks(700));
            from = at;
        }
        let buffers: Vec<_> = pieces.into_iter().map(gst::Buffer::from_slice).collect();
        let mut head_cache = StreamHeadCache::default();
        buffers.iter().for_each(|buffer| head_cache.push(std::slice::from_ref(buffer)));
        let header = head_cache.header().expect("no header").clone();
        assert!(capture.starts_with(&header[..4]));
        let late = &buffers[buffers.len() / 3..];
        let (begin, joiner) = head_cache.catch_up();
        assert!(begin.is_empty());
        let taken = joiner.unwrap().take(late);
        assert_eq!(taken[0].map_readable().unwrap().as_slice(), header.as_ref());
        assert!(begins(taken[1].map_readable().unwrap().as_slice()), "{} pieces", taken.len());
    }

    #[test]
    fn who_comes_late_begins_with_the_header_and_a_join_point() {
        check(include_bytes!("../../tests/data/h264-gst.flv"), |bytes| bytes[0] == 9 && bytes[11] == 0x17);
        check(include_bytes!("../../tests/data/theora-vorbis-gst.ogg"), |bytes| bytes.starts_with(b"OggS"));
        check(include_bytes!("../../tests/data/h264-gst.mp4"), |bytes| bytes[4..].starts_with(b"moof"));
        check(include_bytes!("../../tests/data/vp8-opus-gst.webm"), |bytes| bytes.starts_with(b"\x1f\x43\xb6\x75"));
        check(include_bytes!("../../tests/data/sound-gst.wav"), |bytes| bytes.len() > 4);
    }

    #[test]
    fn who_comes_before_the_header_is_whole_gets_what_there_is() {
        gst::init().unwrap();
        let mut head_cache = StreamHeadCache::default();
        let buffer = gst::Buffer::from_slice(&include_bytes!("../../tests/data/h264-gst.flv")[..13]);
        head_cache.push(std::slice::from_ref(&buffer));
        let (begin, joiner) = head_cache.catch_up();
        assert!(begin == [buffer] && joiner.is_none());
    }

    #[test]
    fn transport_streams_need_nothing_of_the_kind() {
        gst::init().unwrap();
        let mut head_cache = StreamHeadCache::default();
        head_cache.push(&[gst::Buffer::from_slice(include_bytes!("../../tests/data/h264-aac.ts"))]);
        let (begin, joiner) = head_cache.catch_up();
        assert!(head_cache.header().is_none() && begin.is_empty() && joiner.is_none());
    }
}
