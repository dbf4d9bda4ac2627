//! Fragmented MP4 as a live stream.
//!
//! The header is the file type and the movie box, which lists the tracks. A fragment, with the boxes that belong to it,
//! is one unit: a reader may begin with one whose video begins with a sync sample, and with any of audio alone. A
//! movie that is not in fragments cannot be joined, and nothing comes of it.

use super::boxes::{Boxes, head, number};
use super::fragment::{Track, is_key, tracks};
use crate::media::framing::{FrameLength, FrameRole, Framing};

/// Longest fragment that is believed: seconds of high-bitrate video.
const MAX_FRAGMENT: usize = 32 << 20;
/// Longest box that is believed outside of fragments.
const MAX_BOX: usize = 1 << 20;
/// Most boxes of one fragment.
const MAX_BOXES: usize = 16;

/// The boxes that stand before the data of a fragment.
const FRONT: [&[u8; 4]; 6] = [b"moof", b"styp", b"sidx", b"ssix", b"prft", b"emsg"];
/// The boxes that stand alone.
const ALONE: [&[u8; 4]; 7] = [b"ftyp", b"moov", b"free", b"skip", b"mfra", b"meta", b"uuid"];

/// A movie in fragments.
#[derive(Debug, Default)]
pub(in crate::media) struct Mp4 {
    tracks: Vec<Track>,
}

impl Framing for Mp4 {
    fn measure(bytes: &[u8]) -> FrameLength {
        let mut end = 0usize;
        for _ in 0..MAX_BOXES {
            let rest = bytes.get(end..).unwrap_or_default();
            let Some(head) = head(rest) else {
                return if may_begin(rest) { FrameLength::More } else { FrameLength::Nothing };
            };
            let is_alone = ALONE.contains(&&head.kind);
            match (is_alone, end) {
                (true, 0) if head.length <= MAX_BOX => return FrameLength::Unit(head.length),
                (true, 0) => return FrameLength::Nothing,
                // The data of what stood in front are missing.
                (true, _) => return FrameLength::Unit(end),
                (false, _) => end = end.saturating_add(head.length),
            }
            match (end <= MAX_FRAGMENT, &head.kind) {
                (true, b"mdat") => return FrameLength::Unit(end),
                (true, kind) if FRONT.contains(&kind) => {}
                _ => return FrameLength::Nothing,
            }
        }
        FrameLength::Nothing
    }

    fn role(&mut self, unit: &[u8]) -> FrameRole {
        let (mut has_fragment, mut is_join) = (false, false);
        for (kind, body) in Boxes(unit) {
            match kind {
                b"ftyp" => {
                    self.tracks.clear();
                    return FrameRole::Header;
                }
                b"moov" => {
                    self.tracks = tracks(body);
                    return if self.tracks.is_empty() { FrameRole::Drop } else { FrameRole::Header };
                }
                b"moof" => {
                    has_fragment = true;
                    is_join |= is_key(body, &self.tracks);
                }
                _ => {}
            }
        }
        match (has_fragment && !self.tracks.is_empty(), is_join) {
            (false, _) => FrameRole::Drop,
            (true, true) => FrameRole::Join,
            (true, false) => FrameRole::Delta,
        }
    }
}

/// Whether these bytes, which are no whole head, can become one.
fn may_begin(bytes: &[u8]) -> bool {
    match bytes.get(4..8).and_then(|kind| kind.first_chunk()) {
        Some(kind) => {
            let is_known = kind == b"mdat" || FRONT.contains(&kind) || ALONE.contains(&kind);
            is_known && bytes.len() < 16 && number(bytes, 0) == Some(1)
        }
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use crate::media::{Container, testing::Scan};
    use proptest::prelude::*;

    const PLAIN: &[u8] = include_bytes!("../../../tests/data/h264-aac.mp4");
    const GSTREAMER: &[u8] = include_bytes!("../../../tests/data/h264-gst.mp4");
    const VP9: &[u8] = include_bytes!("../../../tests/data/vp9.mp4");
    const AV1: &[u8] = include_bytes!("../../../tests/data/av1.mp4");
    const SOUND: &[u8] = include_bytes!("../../../tests/data/aac-dash.mp4");

    #[test]
    fn captures_are_joined_at_fragments_that_begin_with_key_pictures() {
        #[track_caller]
        fn check(capture: &[u8], joins: usize, begin: &[u8]) {
            let found = Scan::of(None, capture, &[usize::MAX]);
            assert_eq!((found.container, found.headers.len()), (Some(Container::Mp4), 1));
            assert_eq!((found.headers[0].0, found.joins.len()), (0, joins));
            assert!(found.headers[0].1[4..].starts_with(b"ftyp"));
            assert!(found.joins.iter().all(|&at| found.media[at + 4..].starts_with(begin)));
            // All but the index of the file at its end.
            let index = capture.windows(4).rposition(|word| word == b"mfra").unwrap() - 4;
            assert!(found.joined() == capture[..index]);
        }
        check(PLAIN, 3, b"moof");
        check(VP9, 3, b"moof");
        check(AV1, 3, b"moof");
        check(GSTREAMER, 3, b"moof");
        check(SOUND, 6, b"sidx");
    }

    #[test]
    fn a_fragment_leaves_whole() {
        let (mut scanner, mut out) = (crate::media::Scanner::new(None), Vec::new());
        for byte in PLAIN {
            scanner.push(&[*byte], &mut out);
        }
        let packets = out.iter().filter_map(|found| match found {
            crate::media::Scanned::Packet { payload, .. } => Some(payload.payload()),
            _ => None,
        });
        let packets: Vec<_> = packets.collect();
        assert!(packets.len() > 10 && packets.iter().all(|packet| packet[4..].starts_with(b"moof")));
    }

    #[test]
    fn a_movie_without_fragments_gives_nothing() {
        let at = PLAIN.windows(4).position(|word| word == b"mvex").unwrap();
        let mut file = PLAIN.to_vec();
        file[at..at + 4].copy_from_slice(b"free");
        let found = Scan::of(None, &file, &[999]);
        assert_eq!((found.container, found.headers.len(), found.media.len()), (Some(Container::Mp4), 0, 0));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            capture in prop::sample::select(vec![PLAIN, GSTREAMER, SOUND]),
            hole in 0usize..8000,
            sizes in prop::collection::vec(1usize..3000, 1..8),
        ) {
            let bytes = [&capture[..hole], &capture[hole + 9..]].concat();
            let scan = |sizes: &[usize]| Scan::of(Some(Container::Mp4), &bytes, sizes);
            prop_assert_eq!(scan(&sizes), scan(&[usize::MAX]));
        }
    }
}
