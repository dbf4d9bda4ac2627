//! What players get of our Matroska and WebM.

use super::super::element::Head;
use super::*;
use crate::media::codec::{aac, av1, h264, opus, xiph};
use crate::media::matroska::element::CLUSTER_BEGIN;
use crate::media::track::{AudioShape, VideoShape};
use crate::media::{Container, Time, testing::Scan};
use proptest::prelude::*;
use std::time::Duration;

const VIDEO: TrackId = TrackId(3);
const AUDIO: TrackId = TrackId(7);
const SPS: &[u8] =
    b"\x67\x4d\x40\x15\xd9\x01\x41\xfb\x01\x6a\x0c\x0c\x0d\x4a\0\0\x03\0\x02\0\0\x03\0\x65\x1e\x2c\x5c\x90";

fn video(codec: CodecParameters) -> TrackInfo {
    let shape = VideoShape { width: 320, height: 240, pixel_aspect: (4, 3), frame_rate: Some((25, 1)) };
    TrackInfo { id: VIDEO, codec, shape: Shape::Video(shape) }
}

fn audio(codec: CodecParameters) -> TrackInfo {
    TrackInfo { id: AUDIO, codec, shape: Shape::Audio(AudioShape { rate: 48_000, channels: 2 }) }
}

fn vp8() -> TrackInfo {
    video(CodecParameters::Vp8)
}

fn opus() -> TrackInfo {
    audio(CodecParameters::Opus(opus::Parameters::simple(2)))
}

fn h264(pps: &'static [u8]) -> TrackInfo {
    let parameters = h264::Parameters { sps: vec![Bytes::from_static(SPS)], pps: vec![Bytes::from_static(pps)] };
    video(CodecParameters::H264(parameters))
}

fn sample(track: TrackId, dts: i64, pts: i64, is_sync: bool) -> Sample {
    Sample {
        track,
        dts: Time::from_millis(dts),
        pts: Time::from_millis(pts),
        duration: None,
        is_sync,
        discontinuity: false,
        captured: Some(Duration::from_millis(5)),
        entered: Some(Duration::from_millis(6)),
        data: Bytes::from_static(b"frame"),
    }
}

/// A block as it was written.
#[derive(Debug, Clone, PartialEq)]
struct Found {
    /// Which cluster it is in.
    cluster: usize,
    timestamp: i64,
    relative: i64,
    track: u8,
    is_key: bool,
    frame: Vec<u8>,
}

impl Found {
    fn shown(&self) -> i64 {
        self.timestamp + self.relative
    }
}

/// The blocks of all packets. Each packet is whole elements, and a join point begins with a cluster.
fn blocks(out: &[Muxed]) -> Vec<Found> {
    let (mut found, mut cluster, mut timestamp) = (Vec::new(), 0, -1);
    for made in out {
        let Muxed::Packet(packet) = made else { continue };
        let payload = packet.payload();
        let mut rest = &payload[..];
        let mut is_new = false;
        while !rest.is_empty() {
            let head = Head::read(rest).unwrap().unwrap();
            rest = &rest[head.length..];
            let Some(size) = head.size else {
                assert_eq!(head.id, element::CLUSTER);
                (cluster, is_new) = (cluster + 1, true);
                continue;
            };
            let (content, after) = rest.split_at(usize::try_from(size).unwrap());
            rest = after;
            match head.id {
                element::TIMESTAMP => timestamp = i64::try_from(element::unsigned(content)).unwrap(),
                element::SIMPLE_BLOCK => found.push(Found {
                    cluster,
                    timestamp,
                    relative: i16::from_be_bytes([content[1], content[2]]).into(),
                    track: content[0] & 0x7f,
                    is_key: content[3] == 0x80,
                    frame: content[4..].to_vec(),
                }),
                id => panic!("{id:x}"),
            }
        }
        assert!(is_new || packet.kind == Kind::Delta);
        if is_new && packet.len() == CLUSTER_BEGIN {
            // A cluster that begins for a track that some do not have.
            continue;
        }
        assert_eq!(packet.captured, Some(Duration::from_millis(5)));
        assert_eq!(packet.entered, Some(Duration::from_millis(6)));
    }
    found
}

fn mux(is_webm: bool, tracks: &[TrackInfo], samples: &[Sample]) -> Vec<Muxed> {
    let (mut muxer, mut out) = (Muxer::new(is_webm), Vec::new());
    muxer.set_tracks(tracks, &mut out);
    samples.iter().for_each(|sample| muxer.push(sample, &mut out));
    out
}

fn kinds(out: &[Muxed]) -> String {
    let sign = |made: &Muxed| match made {
        Muxed::Header { readers: HeaderChange::None, .. } => 'H',
        Muxed::Header { readers: HeaderChange::Inline, .. } => 'I',
        Muxed::Header { readers: HeaderChange::Added { .. }, .. } => '+',
        Muxed::Header { readers: HeaderChange::End, .. } => 'E',
        Muxed::Packet(packet) if packet.kind == Kind::Keyframe => 'J',
        Muxed::Packet(_) => 'd',
        Muxed::WantsKeyframe => 'w',
    };
    out.iter().map(sign).collect()
}

fn bytes(out: &[Muxed]) -> Vec<u8> {
    let piece = |made: &Muxed| match made {
        Muxed::Header { bytes, .. } => bytes.clone(),
        Muxed::Packet(packet) => packet.payload(),
        Muxed::WantsKeyframe => Bytes::new(),
    };
    out.iter().flat_map(piece).collect()
}

#[test]
fn samples_leave_immediately_and_a_scanner_finds_what_was_meant() {
    let samples = [
        sample(VIDEO, 1000, 1000, true),
        sample(AUDIO, 1000, 1000, true),
        sample(VIDEO, 1040, 1040, false),
        sample(TrackId(9), 1040, 1040, true),
        sample(VIDEO, 1080, 1080, true),
    ];
    let out = mux(true, &[vp8(), opus()], &samples);
    assert_eq!(kinds(&out), "HJddJ");
    let found = Scan::of(None, &bytes(&out), &[7]);
    assert_eq!((found.container, found.headers.len(), found.joins.len()), (Some(Container::Webm), 1, 2));
    let Muxed::Header { bytes: header, .. } = &out[0] else { panic!("no header") };
    assert_eq!(found.headers[0].1, header[..]);
    assert_eq!(crate::media::codecs(Container::Webm, header).unwrap(), "vp8, opus");
    let found = blocks(&out);
    assert_eq!(found.iter().map(Found::shown).collect::<Vec<_>>(), [1000, 1000, 1040, 1080]);
    assert_eq!(
        found.iter().map(|block| (block.track, block.is_key)).collect::<Vec<_>>()[1..3],
        [(2, true), (1, false)]
    );
}

#[test]
fn late_audio_begins_a_cluster_of_its_time_in_webm() {
    let samples = [
        sample(VIDEO, 1000, 1000, true),
        sample(AUDIO, 960, 960, true),
        sample(AUDIO, 980, 980, true),
        sample(VIDEO, 1040, 1040, false),
        sample(AUDIO, 1000, 1000, true),
    ];
    let found = blocks(&mux(true, &[vp8(), opus()], &samples));
    let places: Vec<_> = found.iter().map(|block| (block.cluster, block.timestamp, block.relative)).collect();
    assert_eq!(places, [(1, 1000, 0), (2, 960, 0), (2, 960, 20), (2, 960, 80), (3, 1000, 0)]);
}

#[test]
fn frames_that_are_shown_in_another_order_stay_in_their_cluster() {
    let times = [(0, 80, true), (40, 200, false), (80, 120, false), (120, 160, false)];
    let samples = times.map(|(dts, pts, is_sync)| sample(VIDEO, dts, pts, is_sync));
    let out = mux(false, &[h264(b"\x68\xeb")], &samples);
    assert_eq!(kinds(&out), "HJddd");
    let found = blocks(&out);
    assert_eq!(
        found.iter().map(|block| (block.timestamp, block.relative)).collect::<Vec<_>>(),
        [(0, 80), (0, 200), (0, 120), (0, 160)]
    );
}

#[test]
fn without_video_there_are_join_points_often() {
    let samples: Vec<_> = (0..50).map(|number| sample(AUDIO, number * 20, number * 20, true)).collect();
    let out = mux(true, &[opus()], &samples);
    assert_eq!(kinds(&out), format!("H{}", "Jdddd".repeat(10)));
    assert!(blocks(&out).iter().all(|block| block.relative < 100));
}

#[test]
fn a_cluster_ends_before_its_timestamps_do() {
    let samples: Vec<_> = (0..200).map(|number| sample(VIDEO, number * 1000, number * 1000, number == 0)).collect();
    let out = mux(true, &[vp8()], &samples);
    let found = blocks(&out);
    assert_eq!(
        found.iter().map(Found::shown).collect::<Vec<_>>(),
        (0..200).map(|number| number * 1000).collect::<Vec<_>>()
    );
    assert_eq!((found[199].cluster, kinds(&out).matches('J').count()), (7, 1));
}

#[test]
fn rounding_does_not_drift() {
    let samples: Vec<_> = (0..1000)
        .map(|number| Sample { pts: Time::from_ticks(number * 1024, 44_100), ..sample(AUDIO, 0, 0, true) })
        .map(|sample| Sample { dts: sample.pts, ..sample })
        .collect();
    let found = blocks(&mux(true, &[audio(CodecParameters::Vorbis(headers()))], &samples));
    for (found, sample) in found.iter().zip(&samples) {
        assert_eq!(found.shown(), sample.pts.millis());
    }
}

fn headers() -> xiph::Headers {
    let part = Bytes::from_static;
    xiph::Headers { identification: part(b"\x01vorbis"), comment: part(b"\x03vorbis"), setup: part(b"\x05vorbis") }
}

#[test]
fn changed_parameter_sets_go_in_band_and_other_changes_end_readers() {
    let (mut muxer, mut out) = (Muxer::new(false), Vec::new());
    let mut time = 0;
    let mut key = |muxer: &mut Muxer, is_sync: bool, out: &mut Vec<Muxed>| {
        time += 40;
        muxer.push(&sample(VIDEO, time, time, is_sync), out);
        blocks(&out[out.len() - 1..]).pop().unwrap().frame
    };
    muxer.set_tracks(&[h264(b"\x68\xeb")], &mut out);
    assert_eq!(key(&mut muxer, true, &mut out), b"frame");
    muxer.set_tracks(&[h264(b"\x68\xeb")], &mut out);
    assert_eq!(key(&mut muxer, true, &mut out), b"frame");

    let sets = [&[0, 0, 0, u8::try_from(SPS.len()).unwrap()], SPS, b"\0\0\0\x02\x68\xec", b"frame"].concat();
    muxer.set_tracks(&[h264(b"\x68\xec")], &mut out);
    assert_eq!(key(&mut muxer, false, &mut out), sets, "even without a keyframe");
    assert_eq!(key(&mut muxer, false, &mut out), b"frame");
    assert_eq!(key(&mut muxer, true, &mut out), sets);
    muxer.set_tracks(&[h264(b"\x68\xec")], &mut out);
    assert_eq!(key(&mut muxer, true, &mut out), sets, "older readers need them at each join point");
    assert_eq!(kinds(&out), "HJJHddJJ");

    let mut other = h264(b"\x68\xec");
    let Shape::Video(shape) = &mut other.shape else { panic!("no video") };
    shape.width = 640;
    muxer.set_tracks(&[other.clone()], &mut out);
    assert_eq!(key(&mut muxer, true, &mut out), sets, "another size goes in band, too");
    muxer.set_tracks(
        &[other, audio(CodecParameters::Aac(aac::Parameters { config: Bytes::from_static(&[0x11, 0x90]) }))],
        &mut out,
    );
    assert_eq!(kinds(&out), "HJJHddJJHJ+");
    let sound = audio(CodecParameters::Aac(aac::Parameters { config: Bytes::from_static(&[0x11, 0x90]) }));
    muxer.set_tracks(&[sound], &mut out);
    assert_eq!(kinds(&out), "HJJHddJJHJ+E");
}

#[test]
fn keyframes_of_av1_have_the_sequence_header() {
    let header = Bytes::from_static(&[0x0a, 0x0a, 0, 0, 0, 2, 0xaf, 0xff, 0x9b, 0x5f, 0x20, 0x08]);
    let track = Track::new(video(CodecParameters::Av1(av1::Parameters { sequence_header: header.clone() })), None, 0);
    assert_eq!(track.in_band, header);
}

#[test]
fn what_does_not_matter_to_decoders_does_not_end_readers() {
    let comment = xiph::Headers { comment: Bytes::from_static(b"\x03vorbis by another"), ..headers() };
    assert!(continues(&CodecParameters::Vorbis(headers()), &CodecParameters::Vorbis(comment)));
    let setup = xiph::Headers { setup: Bytes::from_static(b"\x05other"), ..headers() };
    assert!(!continues(&CodecParameters::Vorbis(headers()), &CodecParameters::Vorbis(setup)));
    let mut faster = vp8();
    let Shape::Video(shape) = &mut faster.shape else { panic!("no video") };
    shape.frame_rate = Some((50, 1));
    let (mut muxer, mut out) = (Muxer::new(true), Vec::new());
    muxer.set_tracks(&[vp8()], &mut out);
    muxer.set_tracks(&[faster], &mut out);
    assert_eq!(kinds(&out), "HH");
}

#[test]
fn webm_carries_what_browsers_play() {
    for (codec, webm) in
        [(vp8().codec, true), (opus().codec, true), (h264(b"\x68").codec, false), (CodecParameters::Jpeg, false)]
    {
        assert_eq!((Muxer::carries(true, &codec), Muxer::carries(false, &codec)), (webm, true));
    }
    assert_eq!(kinds(&mux(true, &[h264(b"\x68")], &[sample(VIDEO, 0, 0, true)])), "", "it is dropped");
}

proptest! {
    /// Any interleaving of audio that is late, and any jumps: what browsers refuse does not come.
    #[test]
    fn no_block_is_negative_or_before_its_predecessor(
        begin in -10_000i64..10_000_000,
        frames in prop::collection::vec((0u8..4, 1i64..200, 0i64..300, any::<bool>(), 0u8..40, -100_000i64..100_000), 1..120),
    ) {
        let (mut video, mut audio) = (begin, begin);
        let mut samples = Vec::new();
        for (kind, step, late, is_sync, jump, by) in frames {
            if jump == 0 {
                (video, audio) = (video + by, audio + by);
            }
            let mut next = if kind == 0 {
                video += step;
                sample(VIDEO, video, video, is_sync)
            } else {
                audio = (audio + 1).max(video - late);
                sample(AUDIO, audio, audio, true)
            };
            next.discontinuity = jump == 0;
            samples.push(next);
        }
        for (is_webm, tracks) in [(true, [vp8(), opus()]), (false, [h264(b"\x68\xeb"), opus()])] {
            let out = mux(is_webm, &tracks, &samples);
            let found = blocks(&out);
            prop_assert_eq!(found.len(), samples.len());
            for pair in found.windows(2) {
                prop_assert!(pair[1].relative >= 0 && pair[1].timestamp >= 0);
                prop_assert!(!is_webm || pair[0].cluster != pair[1].cluster || pair[0].relative <= pair[1].relative);
            }
            for track in [1, 2] {
                let times: Vec<_> = found.iter().filter(|block| block.track == track).map(Found::shown).collect();
                prop_assert!(times.is_sorted());
            }
        }
    }
}

/// What set_tracks says to readers, and what the packets of these samples need.
fn added(muxer: &mut Muxer, tracks: &[TrackInfo], samples: &[Sample]) -> (Option<HeaderChange>, Vec<(u32, usize)>) {
    let mut out = Vec::new();
    muxer.set_tracks(tracks, &mut out);
    let change = out.iter().find_map(|made| match made {
        Muxed::Header { readers, .. } => Some(*readers),
        _ => None,
    });
    out.clear();
    samples.iter().for_each(|sample| muxer.push(sample, &mut out));
    let needs = out.iter().filter_map(|made| match made {
        Muxed::Packet(packet) => Some((packet.needs, packet.len())),
        _ => None,
    });
    (change, needs.collect())
}

#[test]
fn readers_stay_when_tracks_come_and_go_at_the_end() {
    let mut muxer = Muxer::new(false);
    let (picture, sound) = (|at, is_sync| sample(VIDEO, at, at, is_sync), |at| sample(AUDIO, at, at, true));
    let (change, needs) = added(&mut muxer, &[vp8()], &[picture(0, true), picture(40, false)]);
    assert_eq!((change, needs.iter().all(|(needs, _)| *needs == 0)), (Some(HeaderChange::None), true));
    // Audio comes.
    let (change, needs) =
        added(&mut muxer, &[vp8(), opus()], &[sound(80), picture(80, false), sound(90), picture(120, true)]);
    assert_eq!(change, Some(HeaderChange::Added { version: 1 }));
    assert_eq!(needs.iter().map(|(needs, _)| *needs).collect::<Vec<_>>(), [1, 0, 1, 0]);
    // A cluster that begins with audio begins for those without it, too.
    let (change, needs) = added(&mut muxer, &[vp8(), opus()], &[sound(40_000), picture(40_000, false)]);
    assert_eq!((change, needs[0], needs[1].0, needs[2].0), (None, (0, CLUSTER_BEGIN), 1, 0));
    // It goes, and returns.
    let (change, needs) = added(&mut muxer, &[vp8()], &[picture(40_040, false)]);
    assert_eq!((change, needs[0].0), (Some(HeaderChange::None), 0));
    let (change, needs) = added(&mut muxer, &[vp8(), opus()], &[sound(40_080)]);
    assert_eq!((change, needs[0].0), (Some(HeaderChange::Added { version: 2 }), 2));
    // What is there must stay what it is.
    let (change, _) = added(&mut muxer, &[h264(b"pps"), opus()], &[]);
    assert_eq!(change, Some(HeaderChange::End));
    let (change, needs) = added(&mut muxer, &[h264(b"pps"), opus()], &[picture(50_000, true), sound(50_000)]);
    assert_eq!((change, needs.iter().all(|(needs, _)| *needs == 0)), (None, true));
    // Of which kind the first track is decides where readers begin.
    let (change, _) = added(&mut muxer, &[opus()], &[]);
    assert_eq!(change, Some(HeaderChange::End));
}
