//! Tests of the demuxer.

use super::*;
use crate::media::Time;
use crate::media::codec::{CodecParameters, adts, pcm};
use crate::media::flv::amf::Value;
use crate::media::flv::testing::{self, Track as Fixture};
use crate::media::flv::{config, tag::frame_head, tag::frame_tail};
use crate::media::sample::Sample;

/// Bytes of a file as they are put together.
#[derive(Default)]
struct File(Vec<u8>);

impl File {
    /// With these flags in its header.
    fn new(flags: u8) -> Self {
        Self([&b"FLV\x01"[..], &[flags], &[0, 0, 0, 9, 0, 0, 0, 0]].concat())
    }

    fn tag(mut self, kind: u8, time: u32, body: &[u8]) -> Self {
        self.0.extend_from_slice(&frame_head(kind, body.len(), time));
        self.0.extend_from_slice(body);
        self.0.extend_from_slice(&frame_tail(body.len()));
        self
    }

    fn part(self, track: &Fixture, number: u8, time: u32, part: Part, data: &[u8]) -> Self {
        let codec = Codec::of(&track.info).unwrap();
        let kind = if codec.is_video() { tag::VIDEO } else { tag::AUDIO };
        let head = tag::write(codec, number, part).unwrap();
        self.tag(kind, time, &[&head, data].concat())
    }

    /// The configuration of a track.
    fn config(self, track: &Fixture) -> Self {
        self.part(track, 0, 0, Part::Config, &config::write(&track.info.codec).unwrap())
    }

    /// The first frame of a track.
    fn frame(self, track: &Fixture, time: u32) -> Self {
        self.part(track, 0, time, Part::Frame { is_keyframe: true, composition: 0 }, &track.frames[0].1)
    }

    fn frames(self, track: &Fixture, times: impl IntoIterator<Item = u32>) -> Self {
        times.into_iter().fold(self, |file, time| file.frame(track, time))
    }

    fn metadata(self, members: &[(&str, Value)]) -> Self {
        let mut body = Vec::new();
        Value::String("onMetaData".to_owned()).write(&mut body);
        let members = members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Value::EcmaArray(members).write(&mut body);
        self.tag(tag::SCRIPT, 0, &body)
    }

    /// What leaves before and with the end.
    fn found(self) -> (Vec<Demuxed>, Vec<Demuxed>) {
        let (mut demuxer, mut before, mut end) = (Demuxer::new(), Vec::new(), Vec::new());
        demuxer.push(&self.0, &mut before);
        demuxer.finish(&mut end);
        (before, end)
    }

    /// Everything that leaves: the codecs of each set of tracks, and the numbers of the tracks with the milliseconds of DTS and PTS.
    fn all(self) -> Vec<String> {
        let (mut before, end) = self.found();
        before.extend(end);
        before.iter().map(described).collect()
    }
}

fn described(found: &Demuxed) -> String {
    match found {
        Demuxed::Tracks(set) => {
            let tracks = set.tracks().iter().map(|track| format!("{} {}", track.id.0, track.codec.name()));
            tracks.collect::<Vec<_>>().join(", ")
        }
        Demuxed::Sample(Sample { track, dts, pts, discontinuity, .. }) => {
            let cut = if *discontinuity { " cut" } else { "" };
            match dts == pts {
                true => format!("{}@{}{cut}", track.0, dts.millis()),
                false => format!("{}@{}+{}{cut}", track.0, dts.millis(), pts.since(*dts) / 1_000_000),
            }
        }
    }
}

fn count(found: &[Demuxed]) -> usize {
    found.iter().filter(|it| matches!(it, Demuxed::Sample(_))).count()
}

#[test]
fn nothing_waits_when_all_tracks_are_known() {
    let (h264, aac, mp3) = (testing::h264(testing::PLAIN), testing::aac(), testing::mp3(false));
    let alone = File::new(1).config(&h264).frame(&h264, 9);
    assert_eq!(alone.found().0.iter().map(described).collect::<Vec<_>>(), ["0 H.264", "0@9"]);
    let both = File::new(5).config(&h264).config(&aac).frame(&h264, 9);
    assert_eq!(both.found().0.iter().map(described).collect::<Vec<_>>(), ["0 H.264, 1 AAC", "0@9"]);
    let later = File::new(5).config(&h264).frame(&h264, 9).frame(&h264, 49).frame(&mp3, 5);
    assert_eq!(later.found().0.iter().map(described).collect::<Vec<_>>(), ["0 H.264, 1 MP3", "0@9", "0@49", "1@5"]);
}

#[test]
fn two_seconds_of_media_wait_for_what_does_not_come() {
    let (h264, aac) = (testing::h264(testing::PLAIN), testing::aac());
    let file = |last: u32| File::new(5).config(&h264).frames(&h264, (0..=last).step_by(40));
    assert_eq!(count(&file(1960).found().0), 0);
    assert_eq!(count(&file(1960).found().1), 50);
    assert_eq!(count(&file(2000).found().0), 51);
    // It comes after all.
    let late = file(2000).config(&aac).frame(&aac, 1990).all();
    assert_eq!(late.iter().filter(|it| !it.contains('@')).collect::<Vec<_>>(), ["0 H.264", "0 H.264, 1 AAC"]);
    assert_eq!(late[52..], ["0 H.264, 1 AAC", "1@1990"]);
    // Nothing is said of the tracks where bytes begin in the middle.
    let middle = File::default().config(&h264).frames(&h264, (7000..=9000).step_by(40));
    assert_eq!(count(&middle.found().0), 51);
}

#[test]
fn metadata_counts_more_than_flags() {
    let h264 = testing::h264(testing::PLAIN);
    let file = |flags, members: &[(&str, Value)]| {
        let file = File::new(flags).metadata(members).config(&h264).frame(&h264, 0);
        count(&file.found().0)
    };
    assert_eq!(file(5, &[("hasAudio", Value::Boolean(false))]), 1);
    assert_eq!(file(1, &[("audiocodecid", Value::Number(10.0))]), 0);
    assert_eq!(file(5, &[("duration", Value::Number(0.0))]), 0);
    assert_eq!(file(0, &[]), 0, "no flags say nothing");
}

#[test]
fn the_frame_rate_of_the_metadata_fills_in() {
    let mut tracks = testing::videos();
    let vp8 = tracks.remove(3);
    let file = File::new(1).metadata(&[("framerate", Value::Number(29.97))]).frame(&vp8, 0);
    let Demuxed::Tracks(set) = &file.found().0[0] else { panic!() };
    assert_eq!(set.tracks()[0].video().unwrap().frame_rate, Some((30_000, 1001)));
}

#[test]
fn unknown_codecs_are_named_and_not_awaited() {
    let h264 = testing::h264(testing::PLAIN);
    let file = File::new(5)
        .tag(tag::AUDIO, 0, &[0xb2, 1, 2])
        .tag(tag::AUDIO, 0, &[0xb2, 1, 2])
        .tag(tag::VIDEO, 0, b"\x91vvc1\0\0\0data")
        .config(&h264)
        .frame(&h264, 40);
    let (mut demuxer, mut out) = (Demuxer::new(), Vec::new());
    demuxer.push(&file.0, &mut out);
    assert_eq!(demuxer.unsupported(), ["Speex", "`vvc1`"]);
    assert_eq!(out.iter().map(described).collect::<Vec<_>>(), ["0 H.264", "0@40"]);
}

#[test]
fn a_new_header_begins_again_with_the_same_numbers() {
    let (h264, aac) = (testing::h264(testing::PLAIN), testing::aac());
    let mut file = File::new(5).config(&h264).config(&aac).frame(&h264, 900_000).frame(&aac, 900_010);
    file.0.extend(File::new(5).config(&aac).config(&h264).frame(&aac, 0).frame(&h264, 20).frame(&h264, 60).0);
    file.0.extend(File::new(1).config(&h264).frame(&h264, 0).0);
    let expect = ["0 H.264, 1 AAC", "0@900000", "1@900010", "1@0 cut", "0@20 cut", "0@60", "0 H.264", "0@0 cut"];
    assert_eq!(file.all(), expect);
}

#[test]
fn what_follows_a_gap_is_marked_once() {
    let (h264, aac) = (testing::h264(testing::PLAIN), testing::aac());
    let mut file = File::new(5).config(&h264).config(&aac).frame(&h264, 0).frame(&aac, 0);
    file.0.extend_from_slice(b"garbage");
    let file = file.frame(&h264, 40).frame(&h264, 80).frame(&aac, 50);
    assert_eq!(file.all(), ["0 H.264, 1 AAC", "0@0", "1@0", "0@40 cut", "0@80", "1@50 cut"]);
}

#[test]
fn aac_is_understood_in_all_the_ways_it_comes() {
    let aac = testing::aac();
    let CodecParameters::Aac(parameters) = &aac.info.codec else { panic!() };
    let framer = adts::Framer::new(parameters).unwrap();
    let block = &aac.frames[0].1;
    let adts = [&framer.header(block.len()).unwrap()[..], block].concat();
    let data = |file: File| -> Vec<(i64, Bytes)> {
        let (before, _) = file.found();
        let Some(Demuxed::Tracks(set)) = before.first() else { panic!("{before:?}") };
        assert_eq!(set.tracks()[0].audio().map(|shape| (shape.rate, shape.channels)), Some((44_100, 1)));
        let samples = before.into_iter().filter_map(|it| if let Demuxed::Sample(it) = it { Some(it) } else { None });
        samples.map(|it| (it.dts.nanos(), it.data)).collect()
    };
    let raw = |file: File, data: &[u8]| file.tag(tag::AUDIO, 7, &[&[0xaf, 1], data].concat());
    let one = [(7_000_000, block.clone())];
    assert_eq!(data(raw(File::new(4).config(&aac), block)), one);
    // An empty configuration first, and one that is repeated.
    let again = File::new(4).tag(tag::AUDIO, 0, &[0xaf, 0]).config(&aac).config(&aac);
    assert_eq!(data(raw(again, block)), one);
    // With ADTS headers, with and without a configuration.
    assert_eq!(data(raw(File::new(4).config(&aac), &adts)), one);
    assert_eq!(data(raw(File::new(4).tag(tag::AUDIO, 0, &[0xaf, 0]), &adts)), one);
    let two = [one[0].clone(), (7_000_000 + 1024 * 1_000_000_000 / 44_100, block.clone())];
    assert_eq!(data(raw(File::new(4), &[&adts[..], &adts].concat())), two);
    // Without either, nothing is known of it.
    assert_eq!(raw(File::new(4), block).all(), Vec::<String>::new());
}

#[test]
fn frames_of_mp3_are_cut_apart() {
    let mp3 = testing::mp3(false);
    let body = [&[0x2f][..], &mp3.frames[0].1, &mp3.frames[1].1].concat();
    assert_eq!(File::new(4).tag(tag::AUDIO, 100, &body).all(), ["0 MP3", "0@100", "0@126"]);
}

#[test]
fn opus_without_configuration_is_what_its_packets_say() {
    let file = File::new(4).tag(tag::AUDIO, 0, b"\x90Opus").tag(tag::AUDIO, 0, b"\x91Opus\xfcdata");
    let Demuxed::Tracks(set) = &file.found().0[0] else { panic!() };
    assert_eq!(set.tracks()[0].audio().map(|shape| shape.channels), Some(2));
}

#[test]
fn telephone_audio_and_pcm_need_no_configuration() {
    for (flags, expect) in [
        (0x72, (pcm::Format::ALaw, 8000, 1)),
        (0x83, (pcm::Format::MuLaw, 8000, 2)),
        (0x3e, (pcm::Format::S16Le, 44_100, 1)),
        (0x08, (pcm::Format::U8, 22_050, 1)),
    ] {
        let (found, _) = File::new(4).tag(tag::AUDIO, 0, &[&[flags][..], &[1; 80]].concat()).found();
        let Some(Demuxed::Tracks(set)) = found.first() else { panic!("{found:?}") };
        let CodecParameters::Pcm(format) = set.tracks()[0].codec else { panic!() };
        assert_eq!(set.tracks()[0].audio().map(|shape| (format, shape.rate, shape.channels)), Some(expect));
    }
}

#[test]
fn tracks_of_a_body_are_told_apart() {
    let (videos, audios) = (testing::videos(), testing::audios());
    let record = |track: &Fixture| config::write(&track.info.codec).unwrap();
    let unit =
        |name: &[u8], track: u8, data: &[u8]| [name, &[track], &(data.len() as u32).to_be_bytes()[1..], data].concat();
    // Many tracks with one codec, with many, and one with a number.
    let (av1, h265, opus) = (&videos[2], &videos[1], &audios[3]);
    let av1s = [b"\x96\x10av01".to_vec(), unit(b"", 0, &record(av1)), unit(b"", 1, &record(av1))].concat();
    let frames = [
        b"\x96\x21".to_vec(),
        unit(b"av01", 1, &av1.frames[0].1),
        unit(b"hvc1", 2, &[&[0, 0, 40], &h265.frames[0].1[..]].concat()),
        unit(b"av01", 0, &av1.frames[0].1),
    ];
    let file = File::new(5)
        .tag(tag::VIDEO, 0, &av1s)
        .part(h265, 2, 0, Part::Config, &record(h265))
        .part(opus, 3, 0, Part::Config, &record(opus))
        .tag(tag::VIDEO, 80, &frames.concat());
    assert_eq!(file.all(), ["0 AV1, 1 AV1, 2 H.265, 3 Opus", "1@80", "2@80+40", "0@80"]);
}

#[test]
fn more_than_eight_tracks_are_ignored() {
    let opus = &testing::audios()[3];
    let parts = |file: File, part, data: &[u8]| (0..20).fold(file, |file, track| file.part(opus, track, 0, part, data));
    let head = config::write(&opus.info.codec).unwrap();
    let file =
        parts(parts(File::new(4), Part::Config, &head), Part::Frame { is_keyframe: true, composition: 0 }, b"\xfc");
    let found = file.all();
    assert_eq!((found.len(), found[0].matches("Opus").count()), (1 + MAX_TRACKS, MAX_TRACKS));
}

#[test]
fn what_is_no_frame_is_stepped_over() {
    let tracks = testing::videos();
    let av1 = &tracks[2];
    let file = File::new(1)
        .tag(tag::VIDEO, 0, b"\x95av01\x80\x04\x81\0\0\0")
        .config(av1)
        .tag(tag::VIDEO, 0, b"\x94av01\x02\x00\x09colorInfo\x05")
        .tag(tag::VIDEO, 0, b"\xd0\x00")
        .frame(av1, 40)
        .part(av1, 0, 80, Part::End, b"")
        .tag(tag::AUDIO, 80, b"");
    assert_eq!(file.all(), ["0 AV1", "0@40"]);
}

#[test]
fn h265_of_old_publishers_has_a_number() {
    let tracks = testing::videos();
    let record = config::write(&tracks[1].info.codec).unwrap();
    let file = File::new(1).tag(tag::VIDEO, 0, &[&[0x1c, 0, 0, 0, 0][..], &record].concat()).tag(
        tag::VIDEO,
        10,
        &[&[0x1c, 1, 0, 0, 80][..], &tracks[1].frames[0].1].concat(),
    );
    assert_eq!(file.all(), ["0 H.265", "0@10+80"]);
}

#[test]
fn times_have_nanoseconds_and_no_wraps() {
    let tracks = testing::videos();
    let vp9 = &tracks[4];
    let extended = [b"\x97\x02\x0a\x2c\x2a\x01vp09", &vp9.frames[0].1[..]].concat();
    let file = File::new(1).frame(vp9, u32::MAX - 40).frame(vp9, 3).tag(tag::VIDEO, 44, &extended);
    let (found, _) = file.found();
    let times = found.iter().filter_map(|it| if let Demuxed::Sample(it) = it { Some(it.dts) } else { None });
    let wrap = 1i64 << 32;
    let expect =
        [Time::from_millis(wrap - 41), Time::from_millis(wrap + 3), Time::from_millis(wrap + 44).shifted(0x0a2c2a)];
    assert_eq!(times.collect::<Vec<_>>(), expect);
}

#[test]
fn negative_composition_times_are_made_up_for() {
    let h264 = testing::h264(testing::PLAIN);
    let shown = |file: File, time, composition| {
        file.part(&h264, 0, time, Part::Frame { is_keyframe: true, composition }, &h264.frames[0].1)
    };
    let file = [(0, 0), (40, 80), (80, -40), (120, -40), (160, 0), (200, -8_000_000)];
    let file =
        file.iter().fold(File::new(1).config(&h264), |file, (time, composition)| shown(file, *time, *composition));
    let expect = ["0 H.264", "0@0", "0@40+80", "0@40", "0@80", "0@120+40", "0@160"];
    assert_eq!(file.all(), expect);
}

#[test]
fn a_change_while_tracks_are_awaited_is_said_in_its_place() {
    let (first, second) = (testing::h264(testing::PLAIN), testing::h264(testing::GSTREAMER));
    let h265 = &testing::videos()[1];
    let file =
        File::new(5).config(&first).frame(&first, 0).config(&second).frame(&second, 40).config(h265).frame(h265, 80);
    let (before, _) = file.found();
    let codecs = before.iter().filter_map(|it| match it {
        Demuxed::Tracks(set) => Some(set.tracks()[0].codec.clone()),
        Demuxed::Sample(_) => None,
    });
    assert_eq!(codecs.collect::<Vec<_>>(), [&first, &second, h265].map(|track| track.info.codec.clone()));
    assert_eq!((before.len(), count(&before)), (6, 3));
}
