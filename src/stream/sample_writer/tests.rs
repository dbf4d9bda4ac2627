//! Tests of the writer of a rendition.

use super::*;
use crate::{
    media::{
        Time,
        codec::{CodecParameters, aac, mpeg_audio, pcm},
        demux::Demuxed,
        testing::paff,
        track::{AudioShape, Shape, VideoShape},
        unpack::AnyDemuxer,
    },
    stream::{Delivery, Entry, Join, Reader},
};

const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);
const ALL: Entry = Entry { join: Join::Live, header: false };

fn video(codec: CodecParameters) -> TrackInfo {
    let shape = VideoShape { width: 320, height: 240, pixel_aspect: (1, 1), frame_rate: Some((25, 1)) };
    TrackInfo { id: VIDEO, codec, shape: Shape::Video(shape) }
}

fn audio() -> TrackInfo {
    let codec = CodecParameters::Aac(aac::Parameters { config: vec![0x11, 0x90].into() });
    TrackInfo { id: AUDIO, codec, shape: Shape::Audio(AudioShape { rate: 48_000, channels: 2 }) }
}

fn both() -> TrackSet {
    TrackSet::new(vec![video(CodecParameters::Mpeg2Video), audio()])
}

fn sample(track: TrackId, millis: i64, is_sync: bool) -> Sample {
    Sample {
        track,
        dts: Time::from_millis(millis),
        pts: Time::from_millis(millis),
        duration: None,
        is_sync,
        discontinuity: false,
        captured: None,
        entered: None,
        data: vec![7; 100].into(),
    }
}

const MAIN: SourceSet = SourceSet(1);

struct Rig {
    writer: SampleWriter,
    fanout: FanOut,
    reader: Reader,
    now: Instant,
}

impl Rig {
    /// A writer with an output, whose source has begun.
    fn new(container: Container) -> Self {
        let (mut writer, fanout, now) = (SampleWriter::new(), FanOut::new(), Instant::now());
        writer.attach(container, MAIN, fanout.clone(), now).unwrap();
        writer.begin(Origin::Source, 0, now);
        Self { writer, reader: fanout.subscribe(ALL), fanout, now }
    }

    fn tracks(&mut self, set: &TrackSet, is_complete: bool) -> Result<(), Refused> {
        self.writer.tracks(Origin::Source, 0, set, is_complete, self.now)
    }

    fn push(&mut self, origin: Origin, track: TrackId, millis: i64, is_sync: bool) {
        self.writer.sample(origin, 0, sample(track, millis, is_sync), self.now).unwrap();
    }

    /// What the reader gets: `J` a join point, `d` another packet, `|` the end.
    fn read(&mut self) -> String {
        let mut read = String::new();
        while let Some(delivery) = self.reader.try_next() {
            read.push(match delivery {
                Delivery::Packet(packet) if packet.kind == crate::media::Kind::Keyframe => 'J',
                Delivery::Packet(_) => 'd',
                Delivery::Aside(_) => 'a',
                Delivery::Gap(_) => 'g',
                Delivery::End => {
                    self.reader = self.fanout.subscribe(ALL);
                    '|'
                }
            });
        }
        read
    }
}

#[test]
fn samples_wait_for_all_tracks_but_not_for_long() {
    let mut rig = Rig::new(Container::Ts);
    rig.tracks(&TrackSet::new(vec![audio()]), false).unwrap();
    rig.push(Origin::Source, AUDIO, 0, true);
    assert_eq!(rig.read(), "");
    rig.tracks(&both(), true).unwrap();
    rig.push(Origin::Source, VIDEO, 0, true);
    assert_eq!(rig.read(), "dJ");
    // A track that never comes.
    let mut rig = Rig::new(Container::Ts);
    rig.tracks(&TrackSet::new(vec![audio()]), false).unwrap();
    rig.push(Origin::Source, AUDIO, 0, true);
    rig.now += TRACK_WAIT;
    rig.push(Origin::Source, AUDIO, 20, true);
    assert_eq!(rig.read().len(), 2);
}

#[test]
fn an_encoding_that_has_no_tracks_is_not_waited_for() {
    let both = SourceSet::of(&[0, 1]);
    let mut rig = Rig::new(Container::Ts);
    rig.writer.detach(&rig.fanout);
    rig.writer.attach(Container::Ts, both, rig.fanout.clone(), rig.now).unwrap();
    rig.writer.begin(Origin::Source, 1, rig.now);
    assert!(rig.writer.known(Origin::Source, both).is_none());
    rig.tracks(&TrackSet::new(vec![video(CodecParameters::Mpeg2Video)]), true).unwrap();
    rig.push(Origin::Source, VIDEO, 0, true);
    assert_eq!(rig.read(), "");
    assert!(!rig.writer.known(Origin::Source, both).unwrap().1);
    rig.writer.tracks(Origin::Source, 1, &TrackSet::new(Vec::new()), true, rig.now).unwrap();
    rig.push(Origin::Source, VIDEO, 40, false);
    assert_eq!(rig.read(), "Jd");
    let (tracks, is_complete) = rig.writer.known(Origin::Source, both).unwrap();
    assert_eq!((tracks.tracks().len(), is_complete), (1, true));
}

#[test]
fn readers_stay_over_a_run_whose_tracks_come_one_by_one() {
    for container in [Container::Ts, Container::Mp4, Container::Mkv] {
        let mut rig = Rig::new(container);
        rig.tracks(&both(), true).unwrap();
        rig.push(Origin::Source, VIDEO, 0, true);
        rig.push(Origin::Source, AUDIO, 0, true);
        assert_eq!(rig.read(), "Jd", "{container}");
        rig.writer.begin(Origin::Source, 0, rig.now);
        rig.tracks(&TrackSet::new(vec![video(CodecParameters::Mpeg2Video)]), false).unwrap();
        rig.push(Origin::Source, VIDEO, 1000, true);
        rig.tracks(&both(), true).unwrap();
        rig.push(Origin::Source, AUDIO, 1000, true);
        assert_eq!(rig.read().replace('a', ""), "Jd", "{container}");
    }
}

#[test]
fn audio_of_a_time_that_was_written_is_left_out() {
    for (back, expect) in [(1, "dd"), (100, ""), (500, ""), (3000, "dd")] {
        for discontinuity in [false, true] {
            let mut rig = Rig::new(Container::Ts);
            rig.tracks(&both(), true).unwrap();
            rig.push(Origin::Source, VIDEO, 5000, true);
            rig.push(Origin::Source, AUDIO, 5000, true);
            assert_eq!(rig.read(), "Jd");
            let first = Sample { discontinuity, ..sample(AUDIO, 5000 - back, true) };
            rig.writer.sample(Origin::Source, 0, first, rig.now).unwrap();
            rig.push(Origin::Source, AUDIO, 5001 - back, true);
            assert_eq!(rig.read(), expect, "{back} {discontinuity}");
            rig.push(Origin::Source, AUDIO, 5020, true);
            rig.push(Origin::Source, VIDEO, 4990, false);
            assert_eq!(rig.read(), "dd", "{back}: frames are never dropped");
        }
    }
}

#[test]
fn a_track_that_does_not_come_again_is_gone() {
    let mut rig = Rig::new(Container::Mkv);
    rig.tracks(&both(), true).unwrap();
    rig.push(Origin::Source, VIDEO, 0, true);
    rig.writer.begin(Origin::Source, 0, rig.now);
    rig.tracks(&TrackSet::new(vec![video(CodecParameters::Mpeg2Video)]), false).unwrap();
    rig.push(Origin::Source, VIDEO, 1000, true);
    assert_eq!(rig.read(), "JJ");
    rig.now += TRACK_WAIT;
    rig.push(Origin::Source, VIDEO, 2000, true);
    assert_eq!(rig.read(), "J", "a header may have more tracks than there are");
}

#[test]
fn time_goes_on_where_an_earlier_run_ended() {
    let mut rig = Rig::new(Container::Ts);
    rig.tracks(&both(), true).unwrap();
    rig.push(Origin::Source, VIDEO, 5000, true);
    rig.push(Origin::Source, AUDIO, 5010, true);
    rig.writer.begin(Origin::Source, 0, rig.now);
    rig.tracks(&both(), true).unwrap();
    rig.push(Origin::Source, VIDEO, 4000, true);
    rig.push(Origin::Source, AUDIO, 4000, true);
    let newest = |track| rig.writer.timeline.newest.iter().find(|(known, _)| *known == track).unwrap().1.millis();
    assert_eq!((newest(VIDEO), newest(AUDIO)), (5050, 5050));
}

#[test]
fn an_output_that_is_attached_late_begins_with_the_newest_gop() {
    let mut rig = Rig::new(Container::Ts);
    rig.tracks(&both(), true).unwrap();
    for frame in 0..6 {
        rig.push(Origin::Source, VIDEO, frame * 40, frame % 4 == 0);
        rig.push(Origin::Source, AUDIO, frame * 40, true);
    }
    let late = FanOut::new();
    let mut reader = late.subscribe(ALL);
    rig.writer.attach(Container::Mkv, MAIN, late.clone(), rig.now).unwrap();
    let count = std::iter::from_fn(|| reader.try_next()).filter(|next| matches!(next, Delivery::Packet(_))).count();
    assert_eq!(count, 4, "two frames and their audio");
    rig.writer.detach(&late);
    rig.push(Origin::Source, VIDEO, 240, false);
    assert!(reader.try_next().is_none());
}

#[test]
fn a_container_that_cannot_carry_the_tracks_ends_its_readers_alone() {
    let mut rig = Rig::new(Container::Ts);
    let flv = FanOut::new();
    let mut reader = flv.subscribe(ALL);
    rig.writer.attach(Container::Flv, MAIN, flv, rig.now).unwrap();
    rig.tracks(&both(), true).unwrap();
    let refused = rig.writer.sample(Origin::Source, 0, sample(VIDEO, 0, true), rig.now).unwrap_err();
    assert_eq!(refused.0[0].to_string(), "flv cannot carry MPEG-2 video");
    assert!(reader.try_next().is_none());
    assert_eq!(rig.read(), "J");
    // The next set may be one that it can carry.
    let mp3 = CodecParameters::MpegAudio(mpeg_audio::Parameters { layer: 3, is_low_rate: false });
    let mp3 = TrackInfo { codec: mp3, ..audio() };
    rig.tracks(&TrackSet::new(vec![mp3]), true).unwrap();
    rig.push(Origin::Source, AUDIO, 40, true);
    assert!(matches!(reader.try_next(), Some(Delivery::End | Delivery::Packet(_))));
    let pcm = TrackInfo { codec: CodecParameters::Pcm(pcm::Format::S16Le), ..audio() };
    assert_eq!(rig.tracks(&TrackSet::new(vec![pcm]), true).unwrap_err().0.len(), 2);
}

#[test]
fn a_placeholder_is_shown_until_the_source_has_a_join_point() {
    let mut rig = Rig::new(Container::Ts);
    rig.tracks(&both(), true).unwrap();
    rig.push(Origin::Source, VIDEO, 0, true);
    assert_eq!(rig.read(), "J");
    // Left of a run of the placeholder that was not requested.
    rig.writer.tracks(Origin::Placeholder, 0, &both(), true, rig.now).unwrap();
    rig.push(Origin::Placeholder, VIDEO, 40, true);
    assert_eq!(rig.read(), "");
    rig.writer.begin(Origin::Placeholder, 0, rig.now);
    rig.writer.tracks(Origin::Placeholder, 0, &both(), true, rig.now).unwrap();
    rig.push(Origin::Placeholder, VIDEO, 80, true);
    assert_eq!(rig.read(), "J");
    rig.push(Origin::Source, VIDEO, 120, false);
    rig.push(Origin::Source, AUDIO, 120, true);
    assert_eq!(rig.read(), "", "the source has no join point yet");
    rig.push(Origin::Source, VIDEO, 160, true);
    rig.push(Origin::Placeholder, VIDEO, 200, true);
    rig.push(Origin::Source, VIDEO, 200, false);
    assert_eq!(rig.read(), "Jd");
}

#[test]
fn a_stream_that_nobody_wanted_for_a_while_is_a_new_one() {
    let mut rig = Rig::new(Container::Ts);
    rig.tracks(&both(), true).unwrap();
    rig.push(Origin::Source, VIDEO, 0, true);
    assert_eq!(rig.read(), "J");
    rig.writer.clear(rig.now);
    rig.push(Origin::Source, VIDEO, 40, true);
    assert_eq!(rig.read(), "|", "samples without tracks are left of an earlier run");
    rig.writer.begin(Origin::Source, 0, rig.now);
    rig.tracks(&both(), true).unwrap();
    rig.push(Origin::Source, VIDEO, 0, true);
    assert_eq!(rig.read(), "J");
}

#[test]
fn an_output_begins_when_the_encodings_that_it_is_made_of_are_known() {
    let mut rig = Rig::new(Container::Ts);
    let fanout = FanOut::new();
    rig.writer.attach(Container::Mkv, SourceSet::of(&[0, 1]), fanout.clone(), rig.now).unwrap();
    let mut reader = fanout.subscribe(ALL);
    let video = TrackSet::new(vec![both().get(VIDEO).unwrap().clone()]);
    rig.tracks(&video, true).unwrap();
    rig.push(Origin::Source, VIDEO, 0, true);
    assert_eq!(rig.read(), "J", "it has all that it is made of");
    assert!(reader.try_next().is_none());
    rig.writer.begin(Origin::Source, 1, rig.now);
    rig.writer.tracks(Origin::Source, 1, &TrackSet::new(vec![audio()]), true, rig.now).unwrap();
    assert!(matches!(reader.try_next(), Some(Delivery::Packet(_))), "the newest GOP");
    rig.writer.sample(Origin::Source, 1, sample(AUDIO, 10, true), rig.now).unwrap();
    assert!(matches!(reader.try_next(), Some(Delivery::Packet(_))));
    assert_eq!(rig.read(), "", "the other output has no audio");
    // What is not used any more leaves the others alone.
    rig.writer.clear_source(1, rig.now);
    rig.push(Origin::Source, VIDEO, 40, false);
    assert_eq!(rig.read(), "d");
}

#[test]
fn an_encoding_that_does_not_come_is_waited_for_but_not_for_long() {
    let mut rig = Rig::new(Container::Ts);
    let fanout = FanOut::new();
    rig.writer.attach(Container::Mkv, SourceSet::of(&[0, 1]), fanout.clone(), rig.now).unwrap();
    let mut reader = fanout.subscribe(ALL);
    rig.tracks(&TrackSet::new(vec![both().get(VIDEO).unwrap().clone()]), true).unwrap();
    rig.push(Origin::Source, VIDEO, 0, true);
    assert!(reader.try_next().is_none());
    rig.now += TRACK_WAIT;
    rig.push(Origin::Source, VIDEO, 40, false);
    assert!(matches!(reader.try_next(), Some(Delivery::Packet(_))));
}

#[test]
fn fields_that_come_one_by_one_are_muxed_as_frames() {
    let (mut demuxer, mut found) = (AnyDemuxer::new(), Vec::new());
    demuxer.push(&paff::byte_stream(9, true), &mut found).unwrap();
    demuxer.finish(&mut found).unwrap();
    let mut rig = Rig::new(Container::Mp4);
    let (mut set, mut pictures) = (None, 0);
    for found in found {
        match found {
            Demuxed::Tracks(tracks) => {
                rig.tracks(&tracks, true).unwrap();
                set = Some(tracks);
            }
            Demuxed::Sample(sample) => {
                rig.writer.sample(Origin::Source, 0, sample, rig.now).unwrap();
                pictures += 1;
                // The same tracks again change nothing.
                rig.tracks(set.as_ref().unwrap(), true).unwrap();
            }
        }
    }
    // Of each three frames, two come as two fields.
    assert_eq!((pictures, &*rig.read()), (15, "Jdddddddd"));
}

#[test]
fn a_pause_ends_with_a_keyframe_and_is_a_gap_of_the_timeline() {
    let mut rig = Rig::new(Container::Ts);
    rig.tracks(&both(), true).unwrap();
    rig.push(Origin::Source, VIDEO, 0, true);
    rig.push(Origin::Source, AUDIO, 0, true);
    assert_eq!(rig.read(), "Jd");
    rig.writer.pause();
    // Whoever comes now finds nothing of before, in another container neither.
    let mut early = rig.fanout.subscribe(Entry { join: Join::Keyframe, header: true });
    let other = FanOut::new();
    rig.writer.attach(Container::Mkv, MAIN, other.clone(), rig.now).unwrap();
    let mut of_other = other.subscribe(Entry { join: Join::Keyframe, header: true });
    rig.writer.resume(rig.now);
    rig.push(Origin::Source, AUDIO, 5000, true);
    rig.push(Origin::Source, VIDEO, 5000, false);
    assert_eq!(rig.read(), "");
    assert!(early.try_next().is_none() && of_other.try_next().is_none());
    rig.push(Origin::Source, VIDEO, 5040, true);
    rig.push(Origin::Source, AUDIO, 5040, true);
    let Some(Delivery::Packet(packet)) = rig.reader.try_next() else { panic!("nothing continues") };
    assert!(packet.discontinuity && packet.kind == crate::media::Kind::Keyframe);
    assert_eq!(rig.read(), "d");
    for reader in [&mut early, &mut of_other] {
        assert!(matches!(reader.try_next(), Some(Delivery::Aside(_))));
        assert!(
            matches!(reader.try_next(), Some(Delivery::Packet(packet)) if packet.kind == crate::media::Kind::Keyframe)
        );
    }
    let newest = rig.writer.timeline.newest.iter().map(|(_, newest)| newest.nanos() / 1_000_000);
    assert_eq!(newest.collect::<Vec<_>>(), [5040, 5040], "times are those of the source");
    // Without another pause it is as before.
    rig.push(Origin::Source, VIDEO, 5080, false);
    assert_eq!(rig.read(), "d");
}

#[test]
fn audio_does_not_wait_for_ever_for_video_after_a_pause() {
    let mut rig = Rig::new(Container::Ts);
    rig.tracks(&both(), true).unwrap();
    rig.push(Origin::Source, VIDEO, 0, true);
    rig.read();
    rig.writer.pause();
    rig.writer.resume(rig.now);
    rig.push(Origin::Source, AUDIO, 1000, true);
    assert_eq!(rig.read(), "");
    rig.now += VIDEO_WAIT;
    rig.push(Origin::Source, AUDIO, 11_000, true);
    rig.push(Origin::Source, VIDEO, 11_000, false);
    assert_eq!(rig.read().len(), 1);
    // Audio alone continues with any sample.
    let mut rig = Rig::new(Container::Ts);
    rig.tracks(&TrackSet::new(vec![audio()]), true).unwrap();
    rig.push(Origin::Source, AUDIO, 0, true);
    rig.read();
    rig.writer.pause();
    rig.writer.resume(rig.now);
    rig.push(Origin::Source, AUDIO, 500, true);
    assert_eq!(rig.read().len(), 1);
}
