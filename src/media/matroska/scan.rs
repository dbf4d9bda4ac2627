//! Finds the header and the join points of a live Matroska stream.

use super::element::{self, Head, number};
use super::tracks::tracks;
use crate::media::Kind;
use crate::media::scanner::{Cutter, Scanned};
use bytes::Bytes;

/// Longest header: pictures and fonts may be attached in it.
const MAX_HEADER: usize = 4 << 20;
/// Longest element that is believed; a wrong length would blind the scanner for as long.
const MAX_ELEMENT: u64 = 64 << 20;
/// Longest cluster that is believed: five seconds of raw 4K video fit.
const MAX_CLUSTER: u64 = 8 << 30;
/// Most bytes of a cluster that are held until its first picture comes.
const MAX_HELD: u64 = 64 << 10;
/// Most elements, mostly sounds, that are held until the first picture of a cluster comes.
const MAX_HELD_ELEMENTS: u32 = 32;
/// Longest picture in a `BlockGroup` that is held until it is known whether it refers to others.
const MAX_GROUP: u64 = 8 << 20;

/// Cuts a Matroska stream at the clusters that begin with a key picture.
#[derive(Debug, Default)]
pub(in crate::media) struct Scan {
    /// The beginning of an element.
    window: Vec<u8>,
    /// Bytes that were looked at, from the first call on.
    position: u64,
    /// So many bytes of content are still to come that need no look.
    content: u64,
    place: Place,
    /// The first video track; `None` when there is only sound.
    video: Option<u64>,
    has_header: bool,
    cutter: Cutter,
}

/// Where in the stream the scanner is.
#[derive(Debug, Default)]
enum Place {
    /// Nowhere: looks for an EBML header, or for a cluster if a header is known.
    #[default]
    Lost,
    /// In front of the first cluster; what was read so far.
    Header(Vec<u8>),
    /// Between the children of a segment.
    Segment,
    /// In a cluster of which it is not known yet whether it is a join point.
    Opening(Opening),
    /// In any other cluster of unknown size.
    Cluster,
}

/// The part of a cluster in front of its first picture.
#[derive(Debug)]
struct Opening {
    /// Where the cluster ends, if that is known.
    end: Option<u64>,
    /// What was read of it so far.
    held: Vec<u8>,
    elements: u32,
    group: Option<Group>,
}

/// The `BlockGroup` that is being read.
#[derive(Debug)]
struct Group {
    end: u64,
    has_picture: bool,
}

/// What to do about an element.
enum Step {
    /// Its head was understood; so much content follows that needs no look.
    Enter { content: u64 },
    /// Look again, the scanner is at another place now.
    Again,
    /// More bytes are needed.
    Wait,
    /// There is no element.
    Lose,
}

impl Scan {
    /// Takes the next bytes.
    pub(in crate::media) fn push(&mut self, bytes: &[u8], out: &mut Vec<Scanned>) {
        self.cutter.expect(bytes.len());
        if self.window.is_empty() {
            let used = self.scan(bytes, out);
            self.window.extend_from_slice(bytes.get(used..).unwrap_or_default());
        } else {
            let mut window = std::mem::take(&mut self.window);
            window.extend_from_slice(bytes);
            let used = self.scan(&window, out);
            window.drain(..used);
            self.window = window;
        }
        self.cutter.flush(out);
    }

    /// No more bytes will come. Half a header is of no use to anyone.
    pub(in crate::media) fn finish(&mut self, out: &mut Vec<Scanned>) {
        self.settle(Kind::Delta, out);
        let window = std::mem::take(&mut self.window);
        self.pass(&window);
        self.cutter.flush(out);
    }

    /// Number of bytes that are done with; what remains is shorter than the head of a block.
    fn scan(&mut self, bytes: &[u8], out: &mut Vec<Scanned>) -> usize {
        let mut rest = bytes;
        loop {
            if self.content > 0 {
                let length = usize::try_from(self.content).unwrap_or(usize::MAX).min(rest.len());
                rest = self.take(rest, length);
                self.content -= length as u64;
                if self.content > 0 {
                    break;
                }
            }
            if self.leave(out) {
                continue;
            }
            if matches!(self.place, Place::Lost) {
                rest = self.search(rest);
            }
            let Ok(head) = Head::read(rest) else {
                rest = self.lose(rest, out);
                continue;
            };
            let Some(head) = head else { break };
            match self.element(&head, rest, out) {
                Step::Enter { content } => {
                    rest = self.take(rest, head.length);
                    self.content = content;
                }
                Step::Again => {}
                Step::Wait => break,
                Step::Lose => rest = self.lose(rest, out),
            }
        }
        bytes.len() - rest.len()
    }

    /// Moves `length` bytes to where they belong; returns the others.
    fn take<'a>(&mut self, bytes: &'a [u8], length: usize) -> &'a [u8] {
        let (taken, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
        self.position += taken.len() as u64;
        self.pass(taken);
        rest
    }

    fn pass(&mut self, bytes: &[u8]) {
        match &mut self.place {
            Place::Header(held) | Place::Opening(Opening { held, .. }) => held.extend_from_slice(bytes),
            Place::Lost if !self.has_header => {}
            Place::Lost | Place::Segment | Place::Cluster => self.cutter.append(bytes),
        }
    }

    /// Passes bytes up to the next place where a stream or a cluster may begin.
    fn search<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let begins = |rest: &[u8]| {
            let begins = |id: u32| rest.starts_with(&id.to_be_bytes()) || id.to_be_bytes().starts_with(rest);
            begins(element::EBML) || self.has_header && begins(element::CLUSTER)
        };
        let at = (0..bytes.len()).find(|&at| bytes.get(at..).is_some_and(begins)).unwrap_or(bytes.len());
        self.take(bytes, at)
    }

    /// Gives up on what is being read, because `bytes` do not begin with an element.
    fn lose<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<Scanned>) -> &'a [u8] {
        self.settle(Kind::Delta, out);
        self.content = 0;
        self.place = Place::Lost;
        self.take(bytes, 1)
    }

    /// Leaves the group or the cluster that ends here; whether that changed the place.
    fn leave(&mut self, out: &mut Vec<Scanned>) -> bool {
        let Place::Opening(opening) = &mut self.place else { return false };
        let ended = opening.group.take_if(|group| self.position >= group.end);
        if ended.is_some_and(|group| group.has_picture) {
            // It refers to no other picture (RFC 9559, section 5.1.3.5.5).
            self.settle(Kind::Keyframe, out);
            return true;
        }
        if opening.end.is_some_and(|end| self.position >= end) {
            self.settle(Kind::Delta, out);
            return true;
        }
        false
    }

    fn element(&mut self, head: &Head, bytes: &[u8], out: &mut Vec<Scanned>) -> Step {
        match &self.place {
            Place::Lost | Place::Header(_) | Place::Segment => self.child_of_segment(head, out),
            Place::Opening(Opening { end, .. }) if head.id == element::EBML || end.is_none() && head.is_top_level() => {
                self.settle(Kind::Delta, out);
                self.content = 0;
                self.place = Place::Segment;
                Step::Again
            }
            Place::Opening(_) => self.child_of_opening(head, bytes, out),
            Place::Cluster if head.is_top_level() => {
                self.place = Place::Segment;
                Step::Again
            }
            Place::Cluster => content_of(head, MAX_ELEMENT),
        }
    }

    fn child_of_segment(&mut self, head: &Head, out: &mut Vec<Scanned>) -> Step {
        match head.id {
            element::EBML => {
                self.place = Place::Header(Vec::new());
                content_of(head, MAX_HEADER as u64)
            }
            element::CLUSTER => self.cluster(head, out),
            id => {
                let limit = match &self.place {
                    Place::Header(held) => match MAX_HEADER.checked_sub(held.len()) {
                        Some(room) => room as u64,
                        None => return Step::Lose,
                    },
                    _ => MAX_ELEMENT,
                };
                // Its children follow, and whatever comes behind them is looked at in the same way.
                if id == element::SEGMENT { Step::Enter { content: 0 } } else { content_of(head, limit) }
            }
        }
    }

    fn cluster(&mut self, head: &Head, out: &mut Vec<Scanned>) -> Step {
        if let Place::Header(header) = &mut self.place {
            let mut header = std::mem::take(header);
            forget_size(&mut header);
            let header = Bytes::from(header);
            self.video = tracks(&header).iter().find(|track| track.is_video()).map(|track| track.number);
            self.has_header = true;
            self.cutter.flush(out);
            out.push(Scanned::Header(header));
        }
        if !self.has_header || head.size.is_some_and(|size| size > MAX_CLUSTER) {
            return Step::Lose;
        }
        if self.video.is_some() {
            let end = head.size.map(|size| self.position + head.length as u64 + size);
            self.place = Place::Opening(Opening { end, held: Vec::new(), elements: 0, group: None });
            return Step::Enter { content: 0 };
        }
        self.cutter.cut(out);
        self.place = if head.size.is_some() { Place::Segment } else { Place::Cluster };
        Step::Enter { content: head.size.unwrap_or_default() }
    }

    fn child_of_opening(&mut self, head: &Head, bytes: &[u8], out: &mut Vec<Scanned>) -> Step {
        let Place::Opening(opening) = &mut self.place else { return Step::Again };
        let Some(size) = head.size.filter(|&size| size <= MAX_ELEMENT) else { return Step::Lose };
        let content = bytes.get(head.length..).unwrap_or_default();
        let end = self.position + head.length as u64 + size;
        let parent = opening.group.as_ref().map(|group| group.end).or(opening.end);
        if parent.is_some_and(|parent| end > parent) {
            return Step::Lose;
        }
        if let Some(group) = &mut opening.group {
            match head.id {
                element::BLOCK => match Block::read(content, size) {
                    Some(block) => group.has_picture |= block.track == self.video,
                    None => return Step::Wait,
                },
                element::REFERENCE_BLOCK if group.has_picture => {
                    self.settle(Kind::Delta, out);
                    return Step::Again;
                }
                _ => {}
            }
            return Step::Enter { content: size };
        }
        if head.id == element::SIMPLE_BLOCK {
            match Block::read(content, size) {
                Some(block) if block.track == self.video => {
                    self.settle(if block.is_key { Kind::Keyframe } else { Kind::Delta }, out);
                    return Step::Again;
                }
                Some(_) => {}
                None => return Step::Wait,
            }
        }
        opening.elements += 1;
        let limit = if head.id == element::BLOCK_GROUP { MAX_GROUP } else { MAX_HELD };
        if opening.elements > MAX_HELD_ELEMENTS || opening.held.len() as u64 + size > limit {
            self.settle(Kind::Delta, out);
            return Step::Again;
        }
        if head.id == element::BLOCK_GROUP {
            opening.group = Some(Group { end, has_picture: false });
            return Step::Enter { content: 0 };
        }
        Step::Enter { content: size }
    }

    /// Lets go of the opening of a cluster. The rest of a cluster of known size needs no look.
    fn settle(&mut self, kind: Kind, out: &mut Vec<Scanned>) {
        let Place::Opening(opening) = &mut self.place else { return };
        let held = std::mem::take(&mut opening.held);
        let end = opening.end;
        if kind == Kind::Keyframe {
            self.cutter.cut(out);
        }
        self.cutter.append(&held);
        self.content = end.map_or(0, |end| end.saturating_sub(self.position));
        self.place = if end.is_some() { Place::Segment } else { Place::Cluster };
    }
}

/// Makes the size of the segment in `header` unknown (RFC 8794, section 6.2). A reader that joins late gets less than the
/// size promises, one that goes on over a restart of the source gets more.
fn forget_size(header: &mut [u8]) {
    let mut rest = header;
    while let Ok(Some(head)) = Head::read(rest) {
        let Some((bytes, after)) = rest.split_at_mut_checked(head.length) else { return };
        if head.id == element::SEGMENT {
            if let Some((_, size)) = bytes.split_first_chunk_mut::<4>() {
                let marker = 0xff_u8.checked_shr(size.len().saturating_sub(1) as u32).unwrap_or_default();
                size.fill(0xff);
                size.first_mut().into_iter().for_each(|first| *first = marker);
            }
            return;
        }
        let content = head.size.and_then(|size| usize::try_from(size).ok());
        rest = content.and_then(|content| after.get_mut(content..)).unwrap_or_default();
    }
}

/// Enters an element whose content is of known and credible size.
fn content_of(head: &Head, limit: u64) -> Step {
    head.size.filter(|&size| size <= limit).map_or(Step::Lose, |content| Step::Enter { content })
}

/// The beginning of a `Block` or `SimpleBlock` (RFC 9559, sections 10.1 and 10.2).
struct Block {
    /// `None` when the block is too short to be one.
    track: Option<u64>,
    /// Only told by a `SimpleBlock`.
    is_key: bool,
}

impl Block {
    /// Reads the block of `size` bytes; `None` when too few of them are there.
    fn read(content: &[u8], size: u64) -> Option<Self> {
        let content = usize::try_from(size).ok().and_then(|size| content.get(..size)).unwrap_or(content);
        if let Some((track, length)) = number(content)
            && let Some(flags) = content.get(length + 2)
        {
            return Some(Self { track: Some(track), is_key: flags & 0x80 != 0 });
        }
        // The head has at most 8 + 2 + 1 bytes.
        let is_all = content.len() as u64 >= size.min(11);
        is_all.then_some(Self { track: None, is_key: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Container, testing};
    use proptest::prelude::*;

    const GSTREAMER: &[u8] = include_bytes!("../../../tests/data/vp8-opus-gst.webm");
    const LIVE: &[u8] = include_bytes!("../../../tests/data/vp8-opus-live.webm");
    const PLAIN: &[u8] = include_bytes!("../../../tests/data/h264-aac.mkv");
    const AUDIO: &[u8] = include_bytes!("../../../tests/data/opus-live.webm");

    fn scan(bytes: &[u8], sizes: &[usize]) -> testing::Scan {
        testing::Scan::of(None, bytes, sizes)
    }

    /// An element with this content, or of unknown size.
    fn element(id: u32, content: Option<&[u8]>) -> Vec<u8> {
        let mut bytes: Vec<u8> = id.to_be_bytes().into_iter().skip_while(|&byte| byte == 0).collect();
        match content {
            Some(content) => bytes.extend((content.len() as u64 | 1 << 56).to_be_bytes()),
            None => bytes.push(0xff),
        }
        bytes.extend(content.unwrap_or_default());
        bytes
    }

    /// A header with one track of each of these types, numbered from 1.
    fn header(types: &[u8]) -> Vec<u8> {
        let entry = |(at, kind): (usize, &u8)| {
            let (number, kind) = (element(element::TRACK_NUMBER, Some(&[at as u8 + 1])), [*kind]);
            element(element::TRACK_ENTRY, Some(&[number, element(element::TRACK_TYPE, Some(&kind))].concat()))
        };
        let entries: Vec<u8> = types.iter().enumerate().flat_map(entry).collect();
        let doc_type = element(element::DOC_TYPE, Some(b"matroska"));
        let ebml = element(element::EBML, Some(&doc_type));
        [ebml, element(element::SEGMENT, None), element(element::TRACKS, Some(&entries))].concat()
    }

    fn simple(track: u8, flags: u8) -> Vec<u8> {
        element(element::SIMPLE_BLOCK, Some(&[0x80 | track, 0, 0, flags, 1, 2, 3]))
    }

    fn group(track: u8, reference: bool) -> Vec<u8> {
        let block = element(element::BLOCK, Some(&[0x80 | track, 0, 0, 0, 1, 2, 3]));
        let reference = if reference { element(element::REFERENCE_BLOCK, Some(&[0xff])) } else { Vec::new() };
        element(element::BLOCK_GROUP, Some(&[block, reference].concat()))
    }

    #[test]
    fn captures_are_joined_at_each_cluster_with_a_key_picture() {
        #[track_caller]
        fn check(capture: &[u8], container: Container, keys: usize) {
            let found = scan(capture, &[usize::MAX]);
            assert_eq!((found.container, found.headers.len(), found.joins.len()), (Some(container), 1, keys));
            assert!(found.joined() == capture && found.headers[0].0 == 0);
            for at in found.joins {
                assert_eq!(found.media[at..at + 4], [0x1f, 0x43, 0xb6, 0x75], "at {at}");
            }
        }
        check(GSTREAMER, Container::Webm, 3);
        check(LIVE, Container::Webm, 3);
        check(PLAIN, Container::Mkv, 3);
        check(AUDIO, Container::Webm, 13);
    }

    #[test]
    fn clusters_are_judged_by_their_first_picture() {
        #[track_caller]
        fn check(types: &[u8], blocks: &[Vec<u8>], is_join: bool) {
            let blocks = blocks.concat();
            for cluster in
                [element(element::CLUSTER, Some(&blocks)), [element(element::CLUSTER, None), blocks].concat()]
            {
                let header = header(types);
                let found = scan(&[&header[..], &cluster, &cluster].concat(), &[5]);
                assert_eq!(found.headers, [(0, header)]);
                let joins = if is_join { vec![0, cluster.len()] } else { vec![] };
                assert_eq!(found.joins, joins);
                assert!(found.media == [&cluster[..], &cluster].concat());
            }
        }
        let time = element(0xe7, Some(&[1]));
        check(&[1, 2], &[time.clone(), simple(1, 0x80), simple(1, 0)], true);
        check(&[1, 2], &[time.clone(), simple(1, 0), simple(1, 0x80)], false);
        check(&[2, 1], &[time.clone(), simple(1, 0x80), simple(2, 0)], false);
        check(&[2, 1], &[time.clone(), group(1, false), simple(2, 0x80)], true);
        check(&[1, 2], &[group(2, true), group(1, false), simple(1, 0)], true);
        check(&[1, 2], &[group(1, true), simple(1, 0x80)], false);
        check(&[1, 2], &[simple(2, 0x80), simple(2, 0x80)], false);
        check(&[2], &[simple(1, 0)], true);
        check(&[2], &[], true);
        check(&[1], &[], false);
    }

    #[test]
    fn a_cluster_leaves_as_soon_as_its_first_picture_begins() {
        let header = header(&[1]);
        let cluster = [element(element::CLUSTER, None), element(0xe7, Some(&[1])), simple(1, 0x80)].concat();
        let (mut scan, mut out) = (Scan::default(), Vec::new());
        scan.push(&header, &mut out);
        // All but the three bytes of the picture itself.
        scan.push(&cluster[..cluster.len() - 3], &mut out);
        let [Scanned::Header(found), Scanned::Packet { kind: Kind::Keyframe, payload }] = &out[..] else {
            panic!("{out:?}")
        };
        assert_eq!((&found[..], payload.payload()), (&header[..], &cluster[..cluster.len() - 3]));
    }

    #[test]
    fn a_second_stream_brings_its_own_header() {
        for capture in [GSTREAMER, LIVE, PLAIN, AUDIO] {
            let (one, two) = (scan(capture, &[4096]), scan(&[capture, capture].concat(), &[4096]));
            assert_eq!(two.headers, [one.headers[0].clone(), (one.media.len(), one.headers[0].1.clone())]);
            assert_eq!(two.joins.len(), 2 * one.joins.len());
        }
    }

    #[test]
    fn a_segment_of_known_size_becomes_one_without_end() {
        for (known, unknown) in
            [(&b"\x84"[..], &b"\xff"[..]), (b"\x01\0\0\0\0\0\0\x09", b"\x01\xff\xff\xff\xff\xff\xff\xff")]
        {
            let ebml = element(element::EBML, Some(&element(element::DOC_TYPE, Some(b"webm"))));
            let header = |size: &[u8]| [&ebml[..], &element::SEGMENT.to_be_bytes(), size].concat();
            let found = scan(&[header(known), element(element::CLUSTER, None)].concat(), &[3]);
            assert_eq!(found.headers, [(0, header(unknown))]);
        }
    }

    #[test]
    fn damage_is_passed_on_until_the_next_cluster() {
        let clusters = |at: usize| {
            let found = scan(GSTREAMER, &[4096]);
            (found.headers[0].1.len() + found.joins[at], found.joins.len())
        };
        let (second, joins) = clusters(1);
        let mut bytes = GSTREAMER.to_vec();
        bytes[second - 3000..second - 2000].fill(0);
        let found = scan(&bytes, &[100]);
        assert!(found.joined() == bytes);
        assert_eq!(found.joins.len(), joins);
        let late = testing::Scan::of(Some(Container::Webm), &[b"begun late", GSTREAMER].concat(), &[3]);
        assert!(late.joined() == GSTREAMER);
    }

    #[test]
    fn sounds_are_not_held_for_a_picture_that_does_not_come() {
        let (mut scan, mut out) = (Scan::default(), Vec::new());
        scan.push(&[header(&[1, 2]), element(element::CLUSTER, None)].concat(), &mut out);
        out.clear();
        for _ in 0..=MAX_HELD_ELEMENTS {
            assert!(out.is_empty());
            scan.push(&simple(2, 0x80), &mut out);
        }
        assert!(matches!(&out[..], [Scanned::Packet { kind: Kind::Delta, .. }]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn pieces_do_not_matter(sizes in prop::collection::vec(1usize..2000, 1..20), cut in 0usize..4000) {
            for capture in [GSTREAMER, LIVE, PLAIN, AUDIO] {
                let bytes = &capture[..capture.len() - cut];
                let found = scan(bytes, &sizes);
                prop_assert!(found.joined() == bytes);
                prop_assert!(found == scan(bytes, &[usize::MAX]));
            }
        }

        #[test]
        fn damage_never_panics_and_little_is_held(
            damage in prop::collection::vec((0usize..30_000, any::<u8>()), 0..40),
            sizes in prop::collection::vec(1usize..2000, 1..10),
        ) {
            for capture in [GSTREAMER, PLAIN] {
                let mut bytes = capture.to_vec();
                for (at, value) in &damage {
                    bytes[*at] = *value;
                }
                let (mut scan, mut out, mut rest) = (Scan::default(), Vec::new(), &bytes[..]);
                for size in sizes.iter().cycle() {
                    let (piece, after) = rest.split_at((*size).min(rest.len()));
                    scan.push(piece, &mut out);
                    prop_assert!(scan.window.len() < 24);
                    match &scan.place {
                        Place::Opening(opening) => prop_assert!(opening.held.len() as u64 <= MAX_GROUP + 64),
                        Place::Header(header) => prop_assert!(header.len() <= MAX_HEADER + 64),
                        _ => {}
                    }
                    rest = after;
                    if rest.is_empty() { break }
                }
                scan.finish(&mut out);
            }
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>, types in prop::collection::vec(0u8..3, 0..3)) {
            let stream = [header(&types), element(element::CLUSTER, None), bytes].concat();
            prop_assert!(scan(&stream, &[1]) == scan(&stream, &[usize::MAX]));
        }
    }
}
