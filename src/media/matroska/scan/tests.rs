//! Tests of the Matroska scan, with captures of other muxers.

use super::*;
use crate::media::{Container, testing};
use proptest::prelude::*;

const GSTREAMER: &[u8] = include_bytes!("../../../../tests/data/vp8-opus-gst.webm");
const LIVE: &[u8] = include_bytes!("../../../../tests/data/vp8-opus-live.webm");
const PLAIN: &[u8] = include_bytes!("../../../../tests/data/h264-aac.mkv");
const VP9: &[u8] = include_bytes!("../../../../tests/data/vp9-opus.webm");
const AV1: &[u8] = include_bytes!("../../../../tests/data/av1-opus.mkv");
const AUDIO: &[u8] = include_bytes!("../../../../tests/data/opus-live.webm");

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
    check(VP9, Container::Webm, 3);
    // A file, whose segment had a size.
    let found = scan(AV1, &[usize::MAX]);
    assert_eq!((found.headers.len(), found.joins.len(), found.leads.len()), (1, 3, 0));
    assert!(AV1.ends_with(&found.media));
    check(AUDIO, Container::Webm, 13);
}

#[test]
fn clusters_are_judged_by_their_first_picture() {
    #[track_caller]
    fn check(types: &[u8], blocks: &[Vec<u8>], is_join: bool) {
        let blocks = blocks.concat();
        for cluster in [element(element::CLUSTER, Some(&blocks)), [element(element::CLUSTER, None), blocks].concat()] {
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
fn key_pictures_within_a_cluster_are_joined_behind_a_head_of_their_own() {
    #[track_caller]
    fn check(blocks: &[Vec<u8>], leads: &[usize]) {
        let time = element(element::TIMESTAMP, Some(&[0x12, 0x34]));
        let children = [vec![time], blocks.to_vec()].concat();
        let content = children.concat();
        for cluster in [element(element::CLUSTER, Some(&content)), [element(element::CLUSTER, None), content].concat()]
        {
            let whole = [&header(&[1, 2])[..], &cluster, &cluster].concat();
            let found = scan(&whole, &[5]);
            assert!(found.joined() == whole);
            let begin = cluster.len() - children[1..].concat().len();
            let place = |number: usize| begin + children[1..=number].concat().len();
            let expected: Vec<_> = leads.iter().map(|number| place(*number)).collect();
            let expected: Vec<_> =
                [0, cluster.len()].iter().flat_map(|at| expected.iter().map(move |place| at + place)).collect();
            let places: Vec<_> = found.leads.iter().map(|(at, _)| *at).collect();
            assert_eq!(places, expected);
            // A reader that begins there has the same frames at the same times, as a scanner sees them.
            if let Some((at, lead)) = found.leads.first() {
                let rest = [&header(&[1, 2])[..], lead, &found.media[*at..]].concat();
                let again = scan(&rest, &[usize::MAX]);
                assert!(again.joined() == rest && again.joins.first() == Some(&0), "{:?}", again.joins);
                assert!(lead.ends_with(&[0, 0, 0, 0, 0, 0, 0x12, 0x34]));
            }
        }
    }
    let (key, delta, sound) = (simple(1, 0x80), simple(1, 0), simple(2, 0x80));
    // The first video frame is that of the cluster itself; audio frames are all keyframes.
    check(&[key.clone(), delta.clone(), sound.clone()], &[]);
    check(&[key.clone(), delta.clone(), sound.clone(), key.clone(), delta.clone(), key.clone()], &[3, 5]);
    check(&[delta.clone(), key.clone(), sound.clone()], &[1]);
    // Only the end of a group shows what it is.
    check(&[key.clone(), group(1, false), delta, key], &[3]);
}

#[test]
fn what_is_said_to_be_in_a_cluster_and_is_none_passes_to_its_end() {
    let blocks = [element(element::TIMESTAMP, Some(&[1])), simple(1, 0x80), vec![0; 40], simple(1, 0x80)].concat();
    let cluster = element(element::CLUSTER, Some(&blocks));
    let whole = [&header(&[1])[..], &cluster, &cluster].concat();
    for size in [1, 1000] {
        let found = scan(&whole, &[size]);
        assert!(found.joined() == whole && found.leads.is_empty());
        assert_eq!(found.joins, [0, cluster.len()]);
    }
}

#[test]
fn a_cluster_leaves_as_soon_as_its_first_picture_begins() {
    let header = header(&[1]);
    let cluster = [element(element::CLUSTER, None), element(0xe7, Some(&[1])), simple(1, 0x80)].concat();
    let (mut scan, mut out) = (Scan::default(), Vec::new());
    scan.push(&header, &mut out);
    // All but the three bytes of the frame itself.
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

    #[test]
    fn damaged_clusters_are_the_same_in_all_pieces(
        damage in prop::collection::vec((0usize..30_000, any::<u8>()), 0..40), size in 1usize..3000,
    ) {
        let mut bytes = PLAIN.to_vec();
        for (at, value) in damage {
            bytes[at] = value;
        }
        prop_assert!(scan(&bytes, &[size]) == scan(&bytes, &[usize::MAX]));
    }
}
