//! What muxing of a large keyframe costs. It is measured by `ci/long`, with a release build.

use super::*;
use crate::media::{
    Time,
    codec::h264,
    track::{Shape, VideoShape},
};

/// Bytes of the keyframe.
const KEYFRAME: usize = 2 << 20;
/// What all four containers may take for it.
const MOST: Duration = Duration::from_millis(3);
const CONTAINERS: [Container; 4] = [Container::Ts, Container::Mp4, Container::Mkv, Container::Flv];

#[test]
#[ignore = "measures: `ci/long` runs it, with a release build"]
fn a_large_keyframe_is_cheap_for_four_containers() {
    let sets = h264::Parameters {
        sps: vec![Bytes::from_static(b"\x67\x42\xc0\x1e")],
        pps: vec![Bytes::from_static(b"\x68\xce")],
    };
    let video = VideoShape { width: 3840, height: 2160, pixel_aspect: (1, 1), frame_rate: Some((30, 1)) };
    let track = TrackInfo { id: TrackId(0), codec: CodecParameters::H264(sets), shape: Shape::Video(video) };
    let mut muxers = CONTAINERS.map(|container| Muxer::new(container).unwrap());
    muxers.iter_mut().for_each(|muxer| muxer.set_tracks(std::slice::from_ref(&track), &mut Vec::new()));
    let mut took = Vec::new();
    // Packets live as long as in a ring.
    let mut ring = std::collections::VecDeque::new();
    for number in 0..100_u8 {
        let mut data = u32::try_from(KEYFRAME - 4).unwrap().to_be_bytes().to_vec();
        data.push(0x65);
        data.resize(KEYFRAME, number | 1);
        let at = Time::from_nanos(i64::from(number) * 33_000_000);
        let sample = Sample {
            track: TrackId(0),
            dts: at,
            pts: at,
            duration: None,
            is_sync: true,
            discontinuity: false,
            captured: None,
            entered: None,
            data: data.into(),
        };
        let now = Instant::now();
        let mut out = Vec::new();
        let spent = muxers.each_mut().map(|muxer| {
            let began = Instant::now();
            muxer.push(&sample, now, &mut out);
            began.elapsed()
        });
        took.push((spent.iter().sum::<Duration>(), spent));
        assert!(out.len() >= CONTAINERS.len());
        ring.push_back(out);
        ring.truncate(8);
        if ring.len() == 8 {
            ring.pop_front();
        }
    }
    took.sort();
    let (median, each) = took[took.len() / 2];
    println!("2 MB keyframe: {median:?} for {CONTAINERS:?}, {each:?} each; slowest {:?}", took[took.len() - 1].0);
    assert!(median < MOST, "{median:?}");
}
