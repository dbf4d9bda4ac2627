//! What players get of our MP4.

use super::*;
use crate::media::mp4::front::FRONT;
use crate::media::{
    Container, Packet, Time,
    codec::{aac, h264},
    testing::Scan,
    track::{AudioShape, VideoShape},
};
use mp4_atom::{Decode, Ftyp, Moof, Moov};
use proptest::prelude::*;

const SPS: &[u8] =
    b"\x67\x4d\x40\x15\xd9\x01\x41\xfb\x01\x6a\x0c\x0c\x0d\x4a\0\0\x03\0\x02\0\0\x03\0\x65\x1e\x2c\x5c\x90";
const PPS: &[u8] = b"\x68\xeb\xcc\xb2";
const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);

fn video(width: u32) -> TrackInfo {
    video_at(width, (25, 1), PPS)
}

fn video_at(width: u32, frame_rate: (u32, u32), pps: &'static [u8]) -> TrackInfo {
    let codec = CodecParameters::H264(h264::Parameters {
        sps: vec![Bytes::from_static(SPS)],
        pps: vec![Bytes::from_static(pps)],
    });
    let shape = VideoShape { width, height: 240, pixel_aspect: (4, 3), frame_rate: Some(frame_rate) };
    TrackInfo { id: VIDEO, codec, shape: Shape::Video(shape) }
}

fn audio() -> TrackInfo {
    let codec = CodecParameters::Aac(aac::Parameters { config: Bytes::from_static(&[0x11, 0x90]) });
    TrackInfo { id: AUDIO, codec, shape: Shape::Audio(AudioShape { rate: 48_000, channels: 2 }) }
}

/// A muxer of video and audio, its time, and what has left it.
struct Rig {
    muxer: Muxer,
    begin: Instant,
    out: Vec<Muxed>,
}

impl Rig {
    fn new() -> Self {
        Self::of(&[video(320), audio()])
    }

    fn of(tracks: &[TrackInfo]) -> Self {
        let mut rig = Self { muxer: Muxer::new(), begin: Instant::now(), out: Vec::new() };
        assert_eq!(rig.set_tracks(tracks), "h");
        rig
    }

    fn set_tracks(&mut self, tracks: &[TrackInfo]) -> String {
        let from = self.out.len();
        self.muxer.set_tracks(tracks, &mut self.out);
        self.signs(from)
    }

    /// A sample of a track that comes after so many milliseconds.
    fn push(&mut self, track: TrackId, millis: u64, is_sync: bool) -> String {
        let time = Time::from_millis(i64::try_from(millis).unwrap());
        let data = Bytes::from_static(if track == VIDEO { b"\0\0\0\x02\x65v" } else { b"audio" });
        let captured = Some(Duration::from_millis(millis));
        let (discontinuity, entered, duration) = (false, captured, None);
        let sample = Sample { track, dts: time, pts: time, duration, is_sync, discontinuity, captured, entered, data };
        let from = self.out.len();
        self.muxer.push(&sample, self.begin + Duration::from_millis(millis), &mut self.out);
        self.signs(from)
    }

    /// What left: `h` the first header, `i` one in line, `E` one that ends readers, `J` a join point, `d` a delta, `k` a keyframe request.
    fn signs(&self, from: usize) -> String {
        let sign = |made: &Muxed| match made {
            Muxed::Header { readers: HeaderChange::None, .. } => 'h',
            Muxed::Header { readers: HeaderChange::Inline, .. } => 'i',
            Muxed::Header { readers: HeaderChange::Added { .. }, .. } => '+',
            Muxed::Header { readers: HeaderChange::End, .. } => 'E',
            Muxed::Packet(Packet { kind: Kind::Keyframe, .. }) => 'J',
            Muxed::Packet(_) => 'd',
            Muxed::WantsKeyframe => 'k',
        };
        self.out[from..].iter().map(sign).collect()
    }

    fn headers(&self) -> Vec<&[u8]> {
        let headers = self.out.iter().filter_map(|made| match made {
            Muxed::Header { bytes, .. } => Some(&bytes[..]),
            _ => None,
        });
        headers.collect()
    }

    fn packets(&self) -> Vec<Bytes> {
        let packets = self.out.iter().filter_map(|made| match made {
            Muxed::Packet(packet) => Some(packet.payload()),
            _ => None,
        });
        packets.collect()
    }

    fn bytes(&self) -> Vec<u8> {
        let piece = |made: &Muxed| match made {
            Muxed::Header { bytes, .. } => bytes.to_vec(),
            Muxed::Packet(packet) => packet.payload().to_vec(),
            Muxed::WantsKeyframe => Vec::new(),
        };
        self.out.iter().flat_map(piece).collect()
    }
}

/// The numbers of the tracks of a header.
fn listed(header: &[u8]) -> Vec<u32> {
    let mut rest = header;
    Ftyp::decode(&mut rest).unwrap();
    let moov = Moov::decode(&mut rest).unwrap();
    assert!(rest.is_empty());
    let extended: Vec<_> = moov.mvex.unwrap().trex.iter().map(|trex| trex.track_id).collect();
    assert_eq!(moov.trak.iter().map(|trak| trak.tkhd.track_id).collect::<Vec<_>>(), extended);
    extended
}

#[test]
fn samples_leave_immediately_and_a_scanner_finds_what_was_meant() {
    let mut rig = Rig::new();
    let made = [
        rig.push(VIDEO, 0, true),
        rig.push(AUDIO, 5, true),
        rig.push(VIDEO, 40, false),
        rig.push(VIDEO, 80, true),
        rig.push(TrackId(7), 81, true),
    ];
    assert_eq!(made, ["J", "d", "d", "J", ""]);
    let bytes = rig.bytes();
    let found = Scan::of(None, &bytes, &[7]);
    assert_eq!((found.container, found.headers.len(), found.joins.len()), (Some(Container::Mp4), 1, 2));
    assert!(found.headers[0].1 == rig.headers()[0] && found.joined() == bytes);
    assert_eq!(crate::media::codecs(Container::Mp4, rig.headers()[0]).unwrap(), "avc1.4d4015, mp4a.40.2");
    let Muxed::Packet(packet) = &rig.out[2] else { panic!("no packet") };
    let five = Some(Duration::from_millis(5));
    assert_eq!((packet.captured, packet.entered, packet.discontinuity), (five, five, false));
}

#[test]
fn without_video_every_sample_is_a_join_point() {
    let mut rig = Rig::of(&[audio()]);
    assert_eq!(rig.push(AUDIO, 0, true) + &rig.push(AUDIO, 21, true), "JJ");
}

#[test]
fn a_fragment_says_where_and_when_its_sample_is() {
    let mut rig = Rig::of(&[video(320)]);
    // Shown a second later, 14 hours after the begin.
    let (dts, pts) = (Time::from_millis(50_000_000), Time::from_millis(50_001_000));
    let data = Bytes::from_static(b"a frame");
    let (track, captured) = (VIDEO, None);
    let (duration, is_sync, discontinuity, entered) = (None, false, true, None);
    let sample = Sample { track, dts, pts, duration, is_sync, discontinuity, captured, entered, data };
    rig.muxer.push(&sample, rig.begin, &mut rig.out);
    let packet = &rig.packets()[0];
    let mut rest = &packet[..];
    let moof = Moof::decode(&mut rest).unwrap();
    assert_eq!(rest, [&15u32.to_be_bytes()[..], b"mdat", b"a frame"].concat());
    assert_eq!(moof.mfhd.sequence_number, 50_000_001);
    let traf = &moof.traf[0];
    assert_eq!(traf.tfhd.track_id, 1);
    assert_eq!(traf.tfdt.as_ref().unwrap().base_media_decode_time, 50_000 * 90_000);
    let sample = traf.trun[0].samples.get(0).unwrap();
    assert_eq!((sample.size, sample.duration, sample.cts), (Some(7), Some(3600), Some(90_000)));
    assert!(matches!(rig.out.last(), Some(Muxed::Packet(Packet { discontinuity: true, .. }))));
}

#[test]
fn a_track_that_stays_away_leaves_the_header_and_comes_back() {
    let mut rig = Rig::new();
    rig.push(VIDEO, 0, true);
    let mut made: String = (0..100).map(|number| rig.push(AUDIO, number * 21, true)).collect();
    assert!(made.starts_with("dd") && made.ends_with("JJ") && made.matches('E').count() == 1, "{made}");
    assert_eq!(listed(rig.headers()[1]), [2]);
    made = rig.push(VIDEO, 2200, true) + &rig.push(AUDIO, 2201, true);
    assert_eq!((made, listed(rig.headers()[2])), ("EJdk".to_owned(), vec![1, 2]));
    assert_eq!(rig.headers()[0], rig.headers()[2]);
}

#[test]
fn a_track_that_never_comes_leaves_the_header() {
    let mut rig = Rig::new();
    let made: String = (0..60).map(|number| rig.push(VIDEO, number * 40, number % 25 == 0)).collect();
    assert_eq!((made.matches('E').count(), listed(rig.headers()[1])), (1, vec![1]), "{made}");
}

#[test]
fn when_nothing_comes_nothing_is_gone() {
    let mut rig = Rig::new();
    rig.push(VIDEO, 0, true);
    rig.push(AUDIO, 1, true);
    // The feed restarted.
    assert_eq!(rig.push(AUDIO, 9000, true) + &rig.push(AUDIO, 9900, true) + &rig.push(VIDEO, 9950, true), "dkdJ");
}

#[test]
fn a_slow_track_is_not_gone() {
    let mut rig = Rig::of(&[video_at(320, (1, 3), PPS), audio()]);
    rig.push(VIDEO, 0, true);
    let audio: String = (0..400).map(|number| rig.push(AUDIO, number * 20, true)).collect();
    assert_eq!(audio.matches('E').count(), 0, "{audio}");
    let audio: String = (400..460).map(|number| rig.push(AUDIO, number * 20, true)).collect();
    assert!(audio.contains('E'), "after three times its pause it is: {audio}");
}

#[test]
fn other_tracks_are_another_header() {
    let mut rig = Rig::new();
    assert_eq!(rig.push(VIDEO, 0, true) + &rig.push(AUDIO, 0, true), "Jd");
    assert_eq!(rig.set_tracks(&[video(320), audio()]), "", "they are what they were");
    assert_eq!(rig.set_tracks(&[video(640), audio()]) + &rig.push(VIDEO, 40, true), "EJ");
    let moov = |header: &[u8]| Moov::decode(&mut &header[24..]).unwrap();
    assert_eq!(moov(rig.headers()[1]).trak[0].tkhd.width.integer(), 853);
    assert_eq!(rig.set_tracks(&[audio()]) + &rig.push(VIDEO, 80, true) + &rig.push(AUDIO, 80, true), "EJ");
    assert_eq!(listed(rig.headers()[2]), [2], "its number stays");
    assert_eq!(rig.set_tracks(&[]) + &rig.push(AUDIO, 100, true), "");
}

#[test]
fn other_parameter_sets_are_said_in_line_and_in_band() {
    let mut rig = Rig::new();
    rig.push(VIDEO, 0, true);
    assert_eq!(rig.packets()[0][FRONT..], *b"\0\0\0\x02\x65v");
    assert_eq!(rig.set_tracks(&[video_at(320, (25, 1), b"\x68other"), audio()]), "i");
    for (at, is_sync) in [(40, false), (80, false), (120, true)] {
        rig.push(VIDEO, at, is_sync);
    }
    let has_sets: Vec<_> =
        rig.packets().iter().map(|packet| packet.windows(6).any(|window| window == b"\x68other")).collect();
    assert_eq!(has_sets, [false, true, false, true]);
    let last = &rig.packets()[3];
    let units: Vec<_> = nal::length_prefixed(&last[FRONT..], 4).collect();
    assert_eq!(units, [SPS, b"\x68other", b"\x65v"]);
    // No reader is left that has an older header.
    assert_eq!(rig.set_tracks(&[video_at(640, (25, 1), PPS), audio()]) + &rig.push(VIDEO, 160, true), "EJ");
    assert_eq!(rig.packets()[4][FRONT..], *b"\0\0\0\x02\x65v");
}

#[test]
fn a_torn_track_asks_for_a_keyframe_once_a_second() {
    let mut rig = Rig::of(&[video(320)]);
    let made: Vec<_> = [0, 40, 640, 1640, 1680, 5680].map(|at| rig.push(VIDEO, at, at == 0)).into();
    assert_eq!(made, ["J", "d", "dk", "d", "d", "dk"]);
    // A gap of audio costs frames of video, too.
    let mut rig = Rig::new();
    let made: Vec<_> = [0, 21, 100].map(|at| rig.push(VIDEO, at, at == 0) + &rig.push(AUDIO, at, true)).into();
    assert_eq!(made, ["Jd", "dd", "ddk"]);
    let mut rig = Rig::of(&[audio()]);
    assert_eq!(rig.push(AUDIO, 0, true) + &rig.push(AUDIO, 900, true), "JJ");
}

#[test]
fn a_header_is_that_of_any_subset() {
    let tracks = [video(320), audio()];
    assert_eq!(listed(&header_for(&tracks)), [1, 2]);
    assert_eq!(listed(&header_for(&tracks[1..])), [2]);
    assert_eq!(listed(&header_for(&[])), [0u32; 0]);
}

proptest! {
    #[test]
    fn whatever_comes_decode_times_grow_and_boxes_are_whole(
        pushes in prop::collection::vec((0u8..2, 0u64..3000, any::<bool>()), 1..60),
    ) {
        let (mut rig, mut now) = (Rig::new(), 0);
        for (track, step, is_sync) in pushes {
            now += step;
            rig.push(TrackId(track), now, is_sync || track == 1);
        }
        let (mut decoded, mut sequence) = ([None; 2], None);
        for packet in rig.packets() {
            let moof = Moof::decode(&mut &packet[..]).unwrap();
            let traf = &moof.traf[0];
            let time = traf.tfdt.as_ref().unwrap().base_media_decode_time;
            let last = decoded[traf.tfhd.track_id as usize - 1].replace(time);
            prop_assert!(last.is_none_or(|last| time > last));
            let last = sequence.replace(moof.mfhd.sequence_number);
            prop_assert!(last.is_none_or(|last| moof.mfhd.sequence_number == last + 1));
        }
        prop_assert!(Scan::of(None, &rig.bytes(), &[100]).joined() == rig.bytes());
    }
}
