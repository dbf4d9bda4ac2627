//! Captures of other muxers, chains, damage and foreign bytes.

use super::*;
use crate::media::codec::CodecParameters;
use crate::media::ogg::testing;
use crate::media::testing::split;
use crate::media::{Container, Muxed, Muxer, Sample, TrackSet};
use proptest::prelude::*;
use std::time::{Duration, Instant};

const OPUS: &[u8] = include_bytes!("../../../../tests/data/opus.ogg");
const THEORA: &[u8] = include_bytes!("../../../../tests/data/theora-vorbis-gst.ogg");
const FLAC: &[u8] = include_bytes!("../../../../tests/data/flac-gst.ogg");
const ALL: [&[u8]; 3] = [OPUS, THEORA, FLAC];

fn demuxed(bytes: &[u8], sizes: &[usize]) -> Vec<Demuxed> {
    let (mut demuxer, mut out, mut rest) = (Demuxer::new(), Vec::new(), bytes);
    for size in sizes.iter().cycle() {
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        demuxer.push(piece, &mut out);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    demuxer.finish(&mut out);
    out
}

fn of(bytes: &[u8]) -> (Vec<TrackSet>, Vec<Sample>) {
    split(demuxed(bytes, &[usize::MAX]))
}

/// The pages of a capture, without those that a condition rejects.
fn kept(capture: &[u8], keep: impl Fn(usize, &testing::Page<'_>) -> bool) -> Vec<u8> {
    let pages = testing::pages(capture);
    let kept = pages.iter().enumerate().filter(|(at, page)| keep(*at, page));
    kept.flat_map(|(_, page)| page.bytes.to_vec()).collect()
}

/// The same bytes with right checksums.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while let Some(FrameLength::Unit(length)) = bytes.get(at..).filter(|rest| !rest.is_empty()).map(Ogg::measure) {
        let Some(page) = bytes.get_mut(at..at + length) else { break };
        page[22..26].fill(0);
        let sum = page.iter().fold(0u32, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 })
        });
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        at += length;
    }
    bytes
}

#[test]
fn captures_are_taken_apart() {
    for (capture, names) in [(OPUS, vec!["Opus"]), (THEORA, vec!["Theora", "Vorbis"]), (FLAC, vec!["FLAC"])] {
        let (sets, samples) = of(capture);
        let found: Vec<_> = sets[0].tracks().iter().map(|track| track.codec.name()).collect();
        assert_eq!((sets.len(), found), (1, names.clone()));
        let (tracks, expected) = testing::demux(capture);
        for (name, track) in names.iter().zip(&tracks) {
            let own: Vec<_> = samples.iter().filter(|sample| sample.track == track.id).collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(sample, _)| sample)
                .filter(|sample| sample.track == track.id && !sample.data.is_empty())
                .collect();
            assert_eq!(own.len(), expected.len(), "{name}");
            let shift = own[0].pts.since(expected[0].pts);
            for (sample, expected) in own.iter().zip(expected) {
                assert!(sample.data == expected.data && sample.is_sync == expected.is_sync, "{name}");
                let off = sample.pts.since(expected.pts) - shift;
                assert!(off.abs() < 1_000_000, "{name}: {off} at {:?}", expected.pts);
            }
            assert!(shift.abs() < 30_000_000, "{name} begins at {shift}");
            assert!(own.windows(2).all(|pair| pair[0].dts <= pair[1].dts && !pair[1].discontinuity), "{name}");
        }
    }
}

#[test]
fn what_the_muxer_writes_comes_back() {
    for capture in ALL {
        let (sets, samples) = of(capture);
        let (mut muxer, mut out) = (Muxer::new(Container::Ogg).unwrap(), Vec::new());
        muxer.set_tracks(sets[0].tracks(), &mut out);
        samples.iter().for_each(|sample| muxer.push(sample, Instant::now(), &mut out));
        let bytes: Vec<u8> = out
            .into_iter()
            .flat_map(|muxed| match muxed {
                Muxed::Header { bytes, .. } => bytes.to_vec(),
                Muxed::Packet(packet) => packet.payload().to_vec(),
                Muxed::WantsKeyframe => Vec::new(),
            })
            .collect();
        let (again, copies) = of(&bytes);
        assert_eq!(again, sets);
        assert_eq!(copies.len(), samples.len());
        for (copy, sample) in copies.iter().zip(&samples) {
            assert!(copy.data == sample.data && copy.track == sample.track);
            assert!(copy.dts.since(sample.dts).abs() < 45_000_000, "{:?} {:?}", copy.dts, sample.dts);
        }
    }
}

#[test]
fn the_next_link_of_a_chain_continues_the_times() {
    let (sets, one) = of(OPUS);
    let (chained, all) = of(&[OPUS, OPUS, OPUS].concat());
    assert_eq!(chained, sets, "the parameters are the same");
    assert_eq!(all.len(), 3 * one.len());
    let step = one[1].dts.since(one[0].dts);
    assert!(all.windows(2).all(|pair| (pair[1].dts.since(pair[0].dts) - step).abs() < 2), "no gap and no step back");
    assert!(all.iter().all(|sample| !sample.discontinuity));
    // A song with other parameters.
    let mut other = OPUS.to_vec();
    let at = other.windows(8).position(|bytes| bytes == b"OpusHead").unwrap();
    other[at + 10] ^= 1;
    let (chained, all) = of(&[OPUS, &sealed(other)].concat());
    assert_eq!((chained.len(), all.len()), (2, 2 * one.len()));
    // Another codec.
    let (chained, all) = of(&[OPUS, FLAC].concat());
    let names: Vec<_> = chained.iter().map(|set| set.tracks()[0].codec.name()).collect();
    assert_eq!(names, ["Opus", "FLAC"]);
    assert!(all.windows(2).all(|pair| pair[0].dts <= pair[1].dts));
}

#[test]
fn the_comment_of_a_song_makes_no_other_track() {
    let mut other = kept(THEORA, |_, _| true);
    let at = other.windows(7).position(|bytes| bytes == b"\x03vorbis").unwrap();
    other[at + 12] ^= 1;
    assert_eq!(of(&[THEORA, &sealed(other)].concat()).0.len(), 1);
    let (sets, _) = of(THEORA);
    let CodecParameters::Vorbis(headers) = &sets[0].tracks()[1].codec else { panic!("{sets:?}") };
    assert!(headers.comment.starts_with(b"\x03vorbis") && headers.comment.ends_with(&[0, 0, 0, 0, 1]));
}

#[test]
fn a_damaged_page_costs_its_own_packets_only() {
    let whole = of(OPUS).1;
    let pages = testing::pages(OPUS);
    let middle = pages.len() / 2;
    let from: usize = pages[..middle].iter().map(|page| page.bytes.len()).sum();
    let lost = pages[middle].lacing.iter().filter(|length| **length < 255).count();
    let mut damaged = OPUS.to_vec();
    damaged[from + 40] ^= 0x55;
    // What looks like a page inside the damaged one is none.
    damaged[from + 50..from + 55].copy_from_slice(b"OggS\0");
    for bytes in [damaged, kept(OPUS, |at, _| at != middle), [&OPUS[..from], &OPUS[from + 9..]].concat()] {
        let (sets, samples) = of(&bytes);
        assert_eq!((sets.len(), samples.len()), (1, whole.len() - lost));
        assert_eq!(samples.iter().filter(|sample| sample.discontinuity).count(), 1);
        let times: Vec<_> = whole.iter().map(|sample| (sample.dts, &sample.data)).collect();
        assert!(samples.iter().all(|sample| times.contains(&(sample.dts, &sample.data))), "times are those of before");
    }
}

#[test]
fn a_live_stream_begins_with_any_page_after_its_headers() {
    // The pages between have other numbers.
    let (sets, samples) = of(&kept(OPUS, |at, _| !(2..=5).contains(&at)));
    let whole = of(OPUS).1;
    assert!(sets.len() == 1 && !samples[0].discontinuity);
    let at = whole.len() - samples.len();
    assert!(at > 0 && whole[at..].iter().zip(&samples).all(|(one, other)| one == other));
    // Without headers nothing is understood.
    assert!(demuxed(&kept(OPUS, |at, _| at > 1), &[100]).is_empty());
    // What is no page is passed over.
    let (_, behind) = of(&[&b"garbage OggS OggS\0 and more"[..], &[7; 40_000], OPUS].concat());
    assert_eq!(behind.len(), whole.len());
}

#[test]
fn heads_that_overlap_are_not_all_checked() {
    // Each claims 64 KiB of 4 bytes that follow.
    let head = [&b"OggS\0\0"[..], &[0; 20], &[255], &[255; 5]].concat();
    let mut demuxer = Demuxer::new();
    let (mut checked, mut out) = (0, Vec::new());
    let bytes = head.repeat((2 << 20) / head.len());
    for piece in bytes.chunks(1000) {
        let before = demuxer.vain;
        demuxer.push(piece, &mut out);
        checked += demuxer.vain.saturating_sub(before);
    }
    assert!(checked > 0 && checked <= MAX_VAIN + VAIN * bytes.len(), "{checked} of {}", bytes.len());
    // What follows is found.
    let (_, samples) = of(&[&bytes[..], &[7; 80_000], OPUS].concat());
    assert!(samples.len() * 10 > of(OPUS).1.len() * 9, "{}", samples.len());
}

#[test]
fn long_packets_continue_over_pages_and_have_a_limit() {
    let (sets, samples) = of(FLAC);
    let long = |length: usize| {
        let mut data = samples[0].data.to_vec();
        data.resize(length, 7);
        let (mut muxer, mut out) = (Muxer::new(Container::Ogg).unwrap(), Vec::new());
        muxer.set_tracks(sets[0].tracks(), &mut out);
        for data in [samples[0].data.clone(), data.into(), samples[2].data.clone()] {
            let sample = Sample { data, ..samples[0].clone() };
            muxer.push(&sample, Instant::now(), &mut out);
        }
        let bytes = out.into_iter().flat_map(|muxed| match muxed {
            Muxed::Header { bytes, .. } => bytes.to_vec(),
            Muxed::Packet(packet) => packet.payload().to_vec(),
            Muxed::WantsKeyframe => Vec::new(),
        });
        let bytes: Vec<u8> = bytes.collect();
        of(&bytes).1.iter().map(|sample| sample.data.len()).collect::<Vec<_>>()
    };
    let (first, last) = (samples[0].data.len(), samples[2].data.len());
    assert_eq!(long(200_000), [first, 200_000, last]);
    assert_eq!(long(255 * 255), [first, 255 * 255, last]);
    assert_eq!(long(9 << 20), [first, last]);
}

#[test]
fn what_is_not_known_is_named() {
    let page = |packet: &[u8], serial: u8| {
        let lacing = u8::try_from(packet.len()).unwrap();
        let head = [&b"OggS\0\x02"[..], &[0; 8], &[serial, 0, 0, 0], &[0; 8], &[1, lacing]].concat();
        sealed([&head[..], packet].concat())
    };
    let (mut demuxer, mut out) = (Demuxer::new(), Vec::new());
    demuxer.push(&page(b"Speex   1.2", 1), &mut out);
    demuxer.push(&page(b"fishead\0", 2), &mut out);
    assert_eq!((demuxer.unsupported(), out.len()), (vec!["Speex".to_owned()], 0));
    // Any number of streams is bounded.
    (0..=255).for_each(|serial| demuxer.push(&page(b"\x01vorbis", serial), &mut out));
    assert!(demuxer.link.streams.len() <= MAX_STREAMS);
}

#[test]
fn samples_last_as_long_as_the_codec_says() {
    let (_, samples) = of(OPUS);
    let all = samples.iter().all(|sample| sample.duration == Some(Duration::from_millis(20)));
    assert!(all, "{:?}", samples[0].duration);
    // What is dropped at the begin comes before 0 (RFC 7845, section 4.2).
    assert!((-80_000_000..0).contains(&samples[0].dts.nanos()), "{:?}", samples[0].dts);
}

proptest! {
    #[test]
    fn pieces_do_not_matter(
        capture in prop::sample::select(ALL.to_vec()),
        hole in 0usize..9000,
        sizes in prop::collection::vec(1usize..3000, 1..8),
    ) {
        let hole = hole.min(capture.len() - 9);
        let bytes = [&capture[..hole], &capture[hole + 9..]].concat();
        prop_assert_eq!(demuxed(&bytes, &sizes), demuxed(&bytes, &[usize::MAX]));
    }

    #[test]
    fn foreign_bytes_never_panic(
        capture in prop::sample::select(ALL.to_vec()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
        size in 1usize..5000,
        is_sealed: bool,
    ) {
        let mut bytes = capture[..capture.len().min(20_000)].to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let bytes = if is_sealed { sealed(bytes) } else { bytes };
        demuxed(&bytes, &[size]);
    }
}
