//! What players get of our Ogg.

use super::*;
use crate::media::{Time, codec::opus::Parameters, ogg::testing, testing as scanning};
use proptest::prelude::*;
use std::{io::Write as _, process::Command};

const OPUS: &[u8] = include_bytes!("../../../../tests/data/opus.ogg");
const THEORA: &[u8] = include_bytes!("../../../../tests/data/theora-vorbis-gst.ogg");
const FLAC: &[u8] = include_bytes!("../../../../tests/data/flac-gst.ogg");

/// What came out of a muxer.
#[derive(Default)]
struct Rig {
    muxer: Muxer,
    headers: Vec<(Bytes, HeaderChange)>,
    packets: Vec<Packet>,
}

impl Rig {
    /// With these tracks and samples.
    fn of(tracks: &[TrackInfo], samples: impl IntoIterator<Item = Sample>) -> Self {
        let mut rig = Self::default();
        rig.set_tracks(tracks);
        samples.into_iter().for_each(|sample| rig.push(&sample));
        rig
    }

    fn set_tracks(&mut self, tracks: &[TrackInfo]) {
        let mut out = Vec::new();
        self.muxer.set_tracks(tracks, &mut out);
        self.take(out);
    }

    fn push(&mut self, sample: &Sample) {
        let mut out = Vec::new();
        self.muxer.push(sample, &mut out);
        self.take(out);
    }

    fn take(&mut self, out: Vec<Muxed>) {
        for muxed in out {
            match muxed {
                Muxed::Header { bytes, readers } => self.headers.push((bytes, readers)),
                Muxed::Packet(packet) => self.packets.push(packet),
                Muxed::WantsKeyframe => {}
            }
        }
    }

    /// What a reader gets that begins with this packet.
    fn bytes(&self, from: usize) -> Vec<u8> {
        let packets = self.packets[from..].iter().flat_map(|packet| packet.payload());
        let lead = self.packets.get(from).and_then(|packet| packet.lead.clone()).unwrap_or_default();
        self.headers[0].0.iter().copied().chain(lead).chain(packets).collect()
    }

    fn granules(&self) -> Vec<i64> {
        self.packets.iter().map(|packet| testing::pages(&packet.payload()).last().unwrap().granule).collect()
    }
}

fn remuxed(capture: &[u8]) -> Rig {
    let (tracks, samples) = testing::demux(capture);
    Rig::of(&tracks, samples.into_iter().map(|(sample, _)| sample))
}

/// Opus with this head after version and channels.
fn opus_track(channels: u8, pre_skip: u16, gain: u8) -> TrackInfo {
    let (tracks, _) = testing::demux(OPUS);
    let head = [&b"OpusHead\x01"[..], &[channels], &pre_skip.to_le_bytes(), &[0; 4], &[gain, 0, 0]].concat();
    TrackInfo { codec: CodecParameters::Opus(Parameters { head: head.into() }), ..tracks[0].clone() }
}

fn opus_sample(millis: i64) -> Sample {
    let (_, samples) = testing::demux(OPUS);
    Sample { dts: Time::from_millis(millis), pts: Time::from_millis(millis), ..samples[5].0.clone() }
}

/// What a tool writes to its outputs, when it gets these bytes by a pipe; `None` where there is none.
fn tool(name: &str, arguments: &[&str], bytes: &[u8]) -> Option<(Vec<u8>, String)> {
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(bytes).unwrap();
    std::io::Seek::rewind(&mut input).unwrap();
    match Command::new(name).args(arguments).stdin(input).output() {
        Ok(output) => Some((output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())),
        Err(_) => {
            eprintln!("SKIPPED: there is no {name}");
            None
        }
    }
}

#[test]
fn packets_and_granule_positions_are_those_of_other_muxers() {
    for (capture, compared) in [(OPUS, 14), (THEORA, 20), (FLAC, 3)] {
        let (tracks, samples) = testing::demux(capture);
        let rig = remuxed(capture);
        let found = testing::demux(&rig.bytes(0));
        assert_eq!(found.0.len(), tracks.len());
        assert_eq!(rig.packets.len(), samples.len());
        let mut pages = 0;
        for ((packet, sample), granule) in rig.packets.iter().zip(&samples).zip(rig.granules()) {
            let payload = packet.payload();
            assert!(testing::pages(&payload)[0].content == sample.0.data);
            assert_eq!((packet.captured, packet.entered), (sample.0.captured, sample.0.entered));
            // The last page of a file marks where its last packet is cut off.
            let is_last = samples.iter().rev().find(|(other, _)| other.track == sample.0.track).unwrap().0 == sample.0;
            if let Some(expected) = sample.1.filter(|_| !is_last) {
                assert_eq!(granule, expected, "{:?}", sample.0.track);
                pages += 1;
            }
        }
        assert!(pages >= compared, "{pages}");
    }
}

#[test]
fn a_scanner_finds_the_header_and_the_join_points() {
    for (capture, pages, joins) in [(OPUS, 2, 151), (THEORA, 6, 3), (FLAC, 2, 5)] {
        let rig = remuxed(capture);
        let header = testing::pages(&rig.headers[0].0);
        assert_eq!((rig.headers.len(), rig.headers[0].1, header.len()), (1, HeaderChange::None, pages));
        let first: Vec<_> = header.iter().map(|page| page.flags & 2 != 0).collect();
        assert!(first.is_sorted_by(|a, b| a >= b), "the first pages come first");
        let bytes = rig.bytes(0);
        let found = scanning::Scan::of(None, &bytes, &[777]);
        assert!(found.headers.len() == 1 && found.headers[0].1 == rig.headers[0].0);
        let mut at = 0;
        let mut begins = Vec::new();
        for packet in &rig.packets {
            if packet.kind == Kind::Keyframe {
                begins.push(at);
            }
            at += packet.len();
        }
        assert_eq!((begins.len(), &begins), (joins, &found.joins));
    }
}

#[test]
fn what_decodes_alike_continues() {
    let mut rig = Rig::of(&[opus_track(1, 0, 0)], [opus_sample(0), opus_sample(20)]);
    rig.set_tracks(&[TrackInfo { id: TrackId(9), ..opus_track(1, 312, 0) }]);
    rig.set_tracks(&[]);
    rig.push(&Sample { track: TrackId(9), discontinuity: true, ..opus_sample(40) });
    assert_eq!((rig.headers.len(), rig.granules()), (1, vec![960, 1920, 2880]));
    let (mut tracks, _) = testing::demux(THEORA);
    let mut rig = Rig::of(&tracks, []);
    for track in &mut tracks {
        let (CodecParameters::Theora(headers) | CodecParameters::Vorbis(headers)) = &mut track.codec else { panic!() };
        headers.comment = [&headers.comment[..7], b"another comment"].concat().into();
    }
    rig.set_tracks(&tracks);
    assert_eq!(rig.headers.len(), 1);
}

#[test]
fn other_tracks_begin_a_chain_which_few_players_survive() {
    let mut rig = Rig::of(&[opus_track(1, 0, 0)], [opus_sample(0), opus_sample(20)]);
    rig.set_tracks(&[opus_track(1, 0, 1)]);
    rig.push(&opus_sample(40));
    assert_eq!(rig.headers[1].1, HeaderChange::Inline);
    assert_eq!(rig.granules(), [960, 1920, 1920, 2880]);
    let bytes = rig.bytes(2);
    let pages = testing::pages(&bytes);
    let [_, _, end, page] = &pages[..] else { panic!("{}", pages.len()) };
    assert_eq!((end.flags, end.serial, end.sequence, end.content.len()), (4, 1, 4, 0));
    assert_eq!((page.serial, page.sequence), (2, 2));
    let (theora, _) = testing::demux(THEORA);
    for tracks in [&[opus_track(2, 0, 1)][..], &theora, &theora[1..], &[opus_track(2, 0, 1)]] {
        rig.set_tracks(tracks);
        assert_eq!(rig.headers.last().unwrap().1, HeaderChange::End);
    }
    assert_eq!(rig.headers.len(), 6);
}

#[test]
fn the_first_packet_of_an_encoder_begins_before_what_is_shown_of_it() {
    let nanos = |samples: i64| Time::from_ticks(samples, 48_000);
    let first = Sample { duration: Some(Duration::from_nanos(13_500_000)), ..opus_sample(0) };
    let second = Sample { pts: nanos(648), dts: nanos(648), ..opus_sample(0) };
    assert_eq!(Rig::of(&[opus_track(1, 312, 0)], [first, second]).granules(), [960, 1920]);
}

#[test]
fn who_joins_vorbis_gets_the_two_packets_before() {
    let (tracks, samples) = testing::demux(THEORA);
    let rig = Rig::of(&tracks[1..], samples.into_iter().map(|(sample, _)| sample));
    assert!(rig.packets[0].lead.is_none() && rig.packets[1].lead.is_none());
    for three in rig.packets.windows(3) {
        let payloads: Vec<_> = three.iter().map(Packet::payload).collect();
        let pages: Vec<_> = payloads.iter().map(|payload| testing::pages(payload).remove(0)).collect();
        let lead = three[2].lead.clone().unwrap();
        let lead = testing::pages(&lead).remove(0);
        assert!(lead.content == [pages[0].content, pages[1].content].concat());
        assert_eq!((lead.granule, lead.sequence, lead.flags), (pages[1].granule, pages[1].sequence, 0));
    }
}

#[test]
fn distances_that_are_too_large_do_not_move_frames() {
    let (tracks, samples) = testing::demux(THEORA);
    let mut stream = Stream::new(TrackId(0), Mapping::of(&tracks[0].codec).unwrap(), &mut 0);
    assert_eq!(stream.frame(1, 6, false), 1, "without a keyframe");
    assert_eq!(stream.frame(10, 6, true), 10 << 6);
    assert_eq!(stream.frame(73, 6, false), 10 << 6 | 63);
    assert_eq!(stream.frame(80, 6, false), 17 << 6 | 63);
    assert_eq!(stream.frame(i64::MAX, 6, true), i64::MAX >> 6 << 6);
    assert!(samples.len() > 100);
}

#[test]
fn what_is_no_header_is_not_carried() {
    let (tracks, _) = testing::demux(THEORA);
    assert!(tracks.iter().all(|track| Muxer::carries(&track.codec)));
    let nothing =
        crate::media::codec::xiph::Headers { identification: Bytes::new(), comment: Bytes::new(), setup: Bytes::new() };
    for codec in [
        CodecParameters::Theora(nothing.clone()),
        CodecParameters::Vorbis(nothing),
        CodecParameters::Opus(Parameters { head: Bytes::from_static(b"OpusHead") }),
        CodecParameters::Flac(crate::media::codec::flac::Parameters { stream_info: Bytes::from_static(b"short") }),
        CodecParameters::Vp8,
    ] {
        assert!(!Muxer::carries(&codec), "{codec:?}");
    }
}

#[test]
fn ffmpeg_decodes_the_same_without_a_warning() {
    for (capture, stream, format) in
        [(OPUS, "0:a", "s16le"), (THEORA, "0:v", "rawvideo"), (THEORA, "0:a", "s16le"), (FLAC, "0:a", "s16le")]
    {
        let arguments = ["-v", "warning", "-i", "-", "-map", stream, "-f", format, "-"];
        let bytes = remuxed(capture).bytes(0);
        let Some((expected, _)) = tool("ffmpeg", &arguments, capture) else { return };
        let Some((found, text)) = tool("ffmpeg", &arguments, &bytes) else { return };
        // Only the last page of a file marks where audio ends.
        assert!(!expected.is_empty() && found.starts_with(&expected), "{stream}: {} {}", found.len(), expected.len());
        assert_eq!(text, "");
    }
}

#[test]
fn ffprobe_sees_the_times_of_samples_also_from_the_middle_on() {
    for capture in [OPUS, THEORA, FLAC] {
        let (tracks, samples) = testing::demux(capture);
        let day = Duration::from_secs(86_400);
        let moved =
            samples.iter().map(|(sample, _)| Sample { pts: sample.pts + day, dts: sample.dts + day, ..sample.clone() });
        let rig = Rig::of(&tracks, moved.clone());
        let from = rig.packets.iter().enumerate().filter(|(_, packet)| packet.kind == Kind::Keyframe).nth(1).unwrap().0;
        for from in [0, from] {
            let arguments = ["-v", "warning", "-show_entries", "packet=stream_index,pts_time", "-of", "csv=p=0", "-"];
            let Some((found, text)) = tool("ffprobe", &arguments, &rig.bytes(from)) else { return };
            assert_eq!(text, "");
            let found = String::from_utf8(found).unwrap();
            for track in &tracks {
                let times: Vec<f64> = found
                    .lines()
                    .filter_map(|line| line.trim_end_matches(',').split_once(','))
                    .filter(|(index, _)| index.parse() == Ok(track.id.0))
                    .map(|(_, time)| time.parse().unwrap_or(f64::NAN))
                    .collect();
                // A page with two more packets of Vorbis is in front.
                let more = if from > 0 && matches!(track.codec, CodecParameters::Vorbis(_)) { 2 } else { 0 };
                let times = &times[more..];
                let expected: Vec<f64> = moved
                    .clone()
                    .skip(from)
                    .filter(|sample| sample.track == track.id)
                    .map(|sample| sample.pts.nanos() as f64 / 1e9)
                    .collect();
                assert_eq!(times.len(), expected.len());
                // It takes the first packets of Vorbis and FLAC for earlier ones: FLAC has no length to it.
                let close =
                    times.iter().zip(&expected).skip(1).filter(|(time, expected)| (*time - *expected).abs() < 0.001);
                assert_eq!(close.count(), expected.len() - 1, "{times:?} {expected:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_samples_are_whole_pages(
        samples in prop::collection::vec((0u8..3, any::<i64>(), any::<bool>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..600)), 0..40),
        capture in prop::sample::select(vec![OPUS, THEORA, FLAC]),
    ) {
        let (tracks, _) = testing::demux(capture);
        let samples = samples.into_iter().map(|(track, nanos, is_sync, discontinuity, data)| {
            let time = Time::from_nanos(nanos);
            let track = TrackId(track);
            Sample { track, dts: time, pts: time, is_sync, discontinuity, data: data.into(), ..opus_sample(0) }
        });
        let bytes = Rig::of(&tracks, samples).bytes(0);
        let mut last = std::collections::HashMap::new();
        for page in testing::pages(&bytes) {
            prop_assert!(page.sequence == 0 || last.insert(page.serial, page.granule).is_none_or(|last| last <= page.granule));
        }
    }
}
