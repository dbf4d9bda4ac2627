//! Sources of all kinds, cut and checked by the rules for playlists.

use super::super::{Segment, testing::Feed, wait};
use super::*;
use bytes::Bytes;
use proptest::prelude::*;

const EASY: Settings = Settings::DEFAULT;

/// Seconds of the complete segments of a rendition.
fn lengths(feed: &Feed, name: &str) -> Vec<f64> {
    let rendition = feed.stream.rendition(name).unwrap();
    rendition.listed().map(|segment| (segment.length().as_secs_f64() * 1000.0).round() / 1000.0).collect()
}

fn bytes_of<'a>(pieces: impl Iterator<Item = &'a Bytes>) -> String {
    pieces.map(|piece| std::str::from_utf8(piece).unwrap()).collect()
}

#[test]
fn first_segments_are_short_and_grow() {
    let mut feed = Feed::new(EASY);
    feed.gop = 1000;
    feed.run(9, Feed::check);
    // A keyframe is asked for when a segment begins, for the time at which it is to end.
    assert_eq!(lengths(&feed, "v0"), [0.08, 0.04, 0.08, 0.12, 0.28, 0.52, 0.88, 2.0, 2.0, 2.0]);
    assert_eq!((feed.stream.target(), feed.asked), (Some(2), 0));
}

#[test]
fn keyframes_that_come_by_themselves_are_enough() {
    let mut feed = Feed::new(Settings { segment: Duration::from_secs(1), ..EASY });
    (feed.gop, feed.can_force) = (25, false);
    feed.run(8, Feed::check);
    assert_eq!(lengths(&feed, "v0"), [1.0; 7]);
    assert_eq!(feed.stream.target(), Some(1));
}

#[test]
fn a_camera_with_long_groups_decides_the_target() {
    let mut feed = Feed::new(EASY);
    (feed.gop, feed.can_force) = (100, false);
    feed.run(13, Feed::check);
    assert_eq!((lengths(&feed, "v0"), feed.stream.target()), (vec![4.0; 3], Some(6)));
    assert!(feed.list("v0").unwrap().is_independent);
    // A group that is longer than could be foreseen is cut.
    feed.gop = 300;
    feed.run(20, Feed::check);
    assert!(!feed.list("v0").unwrap().is_independent);
    assert!(lengths(&feed, "v0").iter().all(|length| *length < 6.5));
}

#[test]
fn a_feed_with_a_minute_between_keyframes_is_answered_after_seconds() {
    let mut feed = Feed::new(EASY);
    (feed.gop, feed.can_force) = (1500, false);
    feed.run(8, Feed::check);
    assert_eq!((lengths(&feed, "v0"), feed.stream.target()), (vec![7.0], Some(11)));
    assert!(feed.stream.is_ready());
}

#[test]
fn segments_of_one_number_have_the_same_content() {
    // Ticks by which audio is behind the video, samples a second, and ticks of a frame.
    for (audio_late, rate, frame) in [(9000, 48_000, 3600), (0, 48_000, 3600), (0, 44_100, 3003), (900, 44_100, 18_000)]
    {
        let mut feed = Feed::new(EASY);
        (feed.audio_late, feed.rate, feed.frame) = (audio_late, rate, frame);
        feed.begin();
        feed.run(20, Feed::check);
        let [video, audio] = ["v0", "a0"].map(|name| feed.stream.rendition(name).unwrap());
        let longest = 1024 * 1_000_000_000 / i64::from(rate);
        for segment in audio.listed() {
            let other = video.segment(segment.number).unwrap();
            // The first frame is the one that is heard when the keyframe is shown.
            let (heard, seen) = (audio.nanos(segment.start), video.nanos(other.start));
            assert!((0..longest + 1000).contains(&(seen - heard)), "{heard} {seen}");
            let [heard, seen] = [segment, other].map(|segment| segment.date.unwrap());
            assert!((0..longest + 1000).contains(&(seen - heard)), "{heard} {seen}");
        }
        assert!(audio.listed().count() > 9 && video.newest().unwrap() - audio.newest().unwrap() <= 1);
    }
}

#[test]
fn playlists_of_all_renditions_begin_with_the_same_segment() {
    let mut feed = Feed::new(EASY);
    // Beyond the window.
    feed.run(60, |feed| {
        feed.check();
        let [video, audio] = ["v0", "a0"].map(|name| feed.stream.rendition(name).unwrap().listed().next());
        if let (Some(video), Some(audio)) = (video, audio) {
            assert_eq!(video.number, audio.number);
        }
    });
    assert!(feed.stream.rendition("v0").unwrap().listed().next().unwrap().number > feed.stream.first_number);
}

#[test]
fn audio_waits_for_video_that_comes_soon_and_for_no_other() {
    let mut feed = Feed::new(EASY);
    feed.run(4, Feed::check);
    let parts = |feed: &Feed| feed.stream.rendition("a0").unwrap().next_part();
    let held = |feed: &Feed| feed.stream.held.len();
    assert!(held(&feed) <= 2, "{}", held(&feed));
    // The video stands still: audio is a fifth of a second behind then, and continues.
    let before = parts(&feed);
    for _ in 0..47 {
        let piece = feed.sound();
        feed.stream.push(piece);
        feed.sounds += 1;
        assert!(held(&feed) <= 11, "{}", held(&feed));
    }
    assert!(parts(&feed) >= before + 3, "{} {before}", parts(&feed));
    // A change of what is sent loses none of it.
    let piece = feed.sound();
    let last = piece.bytes.clone();
    feed.stream.push(piece);
    feed.change();
    let picture = feed.picture(true);
    feed.stream.push(picture);
    let audio = feed.stream.rendition("a0").unwrap();
    assert!(bytes_of(audio.listed().flat_map(Segment::pieces)).ends_with(std::str::from_utf8(&last).unwrap()));
}

#[test]
fn each_piece_is_in_one_part_and_in_one_segment() {
    let mut feed = Feed::new(EASY);
    feed.run(7, |_| {});
    for name in ["v0", "a0"] {
        let rendition = feed.stream.rendition(name).unwrap();
        let whole = bytes_of(rendition.listed().flat_map(Segment::pieces));
        let count = whole.matches('[').count();
        let letter = &name[..1];
        let expect: String = (0..count).map(|number| format!("[{letter}{number}]")).collect();
        assert_eq!(whole.replace('K', ""), expect);
        let first = rendition.listed().next().unwrap().parts[0].number;
        let parts = (first..rendition.next_part()).map(|number| rendition.part(number).unwrap());
        assert!(bytes_of(parts.flat_map(|part| &part.pieces)).starts_with(&whole));
        assert!(rendition.part(rendition.next_part()).is_none() && rendition.part(first - 1).is_none());
    }
}

#[test]
fn parts_fit_their_target_at_the_usual_rates() {
    // Ticks of a frame, samples a second, and the targets in milliseconds.
    for (frame, rate, video, audio) in [
        (3000, 48_000, 200, 192),
        (3003, 44_100, 201, 186),
        (3600, 48_000, 200, 192),
        (3750, 32_000, 209, 192),
        (90_000, 8000, 1000, 128),
    ] {
        let mut feed = Feed::new(EASY);
        (feed.frame, feed.rate) = (frame, rate);
        feed.begin();
        feed.run(20, Feed::check);
        let target = |name| feed.stream.rendition(name).unwrap().part_target();
        assert_eq!((target("v0"), target("a0")), (Some(video), Some(audio)), "{frame} {rate}");
    }
}

#[test]
fn frames_that_are_reordered_change_no_length() {
    let mut feed = Feed::new(EASY);
    feed.offset = 7200;
    feed.run(10, Feed::check);
    assert_eq!(lengths(&feed, "v0"), [0.08, 0.04, 0.08, 0.12, 0.28, 0.52, 0.88, 2.0, 2.0, 2.0]);
}

#[test]
fn audio_alone_and_video_alone() {
    let mut feed = Feed::new(EASY);
    feed.has_video = false;
    feed.begin();
    feed.run(9, Feed::check);
    assert_eq!(lengths(&feed, "a0"), [0.064, 0.064, 0.064, 0.149, 0.256, 0.533, 0.875, 1.984, 2.005, 2.005]);
    let mut feed = Feed::new(EASY);
    feed.rate = 0;
    feed.begin();
    feed.run(5, Feed::check);
    assert_eq!(feed.stream.renditions().len(), 1);
    assert_eq!(lengths(&feed, "v0").len(), 8);
}

#[test]
fn another_header_is_a_discontinuity_in_all_renditions() {
    let mut feed = Feed::new(EASY);
    feed.audio_late = 20_000;
    feed.run(5, Feed::check);
    feed.change();
    feed.run(5, Feed::check);
    let marks = |name| {
        let list = feed.list(name).unwrap();
        list.segments.iter().map(|one| (one.is_discontinuity, one.map.clone().unwrap())).collect::<Vec<_>>()
    };
    let (video, audio) = (marks("v0"), marks("a0"));
    assert_eq!(video.iter().filter(|(is_marked, _)| *is_marked).count(), 1);
    assert_eq!(
        video[..audio.len()].iter().map(|one| one.0).collect::<Vec<_>>(),
        audio.iter().map(|one| one.0).collect::<Vec<_>>()
    );
    let maps: std::collections::BTreeSet<_> = video.iter().map(|one| &one.1).collect();
    assert_eq!(maps.len(), 2);
    // It is forgotten with the window, and counted.
    feed.run(60, Feed::check);
    let list = feed.list("v0").unwrap();
    assert_eq!((list.discontinuity_sequence, list.segments.iter().any(|one| one.is_discontinuity)), (1, false));
}

#[test]
fn a_pause_of_the_source_is_a_discontinuity() {
    let mut feed = Feed::new(EASY);
    feed.run(5, Feed::check);
    feed.pause(30 * 90_000);
    feed.run(5, Feed::check);
    assert_eq!(feed.list("v0").unwrap().segments.iter().filter(|one| one.is_discontinuity).count(), 1);
    assert_eq!(feed.list("a0").unwrap().segments.iter().filter(|one| one.is_discontinuity).count(), 1);
}

#[test]
fn frames_that_seem_to_last_longer_after_a_gap_do_not_shorten_parts() {
    for is_other in [false, true] {
        let mut feed = Feed::new(EASY);
        feed.run(5, Feed::check);
        feed.pause(2 * 90_000);
        if is_other {
            feed.change();
        }
        feed.guess = 50_000;
        feed.run(5, Feed::check);
        assert!(feed.list("v0").unwrap().segments.iter().any(|one| one.is_discontinuity));
    }
}

#[test]
fn no_part_is_longer_than_its_target_when_the_source_stands_still() {
    // Less than is a gap; before the length of parts is known, and after.
    for (frames, millis) in [(2, 100), (2, 450), (3, 250), (128, 210), (128, 300), (131, 530)] {
        let mut feed = Feed::new(EASY);
        (feed.gop, feed.can_force) = (250, false);
        for _ in 0..frames {
            let piece = feed.picture(feed.frames == 0);
            feed.stream.push(piece);
            feed.frames += 1;
        }
        feed.pause(millis * 90);
        feed.since_key = 1;
        feed.run(12, |_| {});
        let list = feed.list("v0").unwrap();
        let target = list.part_target.unwrap();
        let of_segments = list.segments.iter().map(|one| (&one.parts, one.duration));
        for (parts, lasts) in of_segments.chain([(&list.open, f64::MAX)]) {
            assert!(parts.iter().all(|part| part.duration <= target), "{frames} {millis}: {parts:?} of {target}");
            let sum: f64 = parts.iter().map(|part| part.duration).sum();
            assert!(sum < lasts + 0.001, "{frames} {millis}: {sum} of {lasts}");
        }
        assert!(list.segments.iter().all(|one| !one.is_discontinuity), "{list:?}");
    }
}

#[test]
fn what_came_before_is_not_taken_again() {
    let mut feed = Feed::new(EASY);
    feed.run(5, Feed::check);
    let (version, frames) = (feed.stream.version(), feed.frames);
    feed.frames -= 20;
    for _ in 0..20 {
        let piece = feed.picture(true);
        feed.stream.push(piece);
        feed.frames += 1;
    }
    assert_eq!((feed.stream.version(), feed.frames), (version, frames));
    feed.run(5, Feed::check);
    assert!(feed.list("v0").unwrap().segments.iter().all(|one| !one.is_discontinuity));
}

#[test]
fn a_track_that_was_away_has_gaps() {
    let mut feed = Feed::new(EASY);
    feed.run(5, Feed::check);
    let rate = std::mem::replace(&mut feed.rate, 0);
    feed.run(7, |_| {});
    feed.rate = rate;
    feed.sounds += 7 * u64::from(rate) / 1024;
    feed.run(5, |_| {});
    let list = feed.list("a0").unwrap();
    assert!((2..=4).contains(&list.segments.iter().filter(|one| one.is_gap).count()));
    let [video, audio] = ["v0", "a0"].map(|name| feed.stream.rendition(name).unwrap());
    assert!(video.newest().unwrap() - audio.newest().unwrap() <= 1);
}

#[test]
fn the_window_is_bounded_by_time_and_bytes() {
    let mut feed = Feed::new(Settings { window: Duration::from_secs(10), ..EASY });
    feed.run(60, Feed::check);
    let sum: f64 = lengths(&feed, "v0").iter().sum();
    assert!((10.0..12.1).contains(&sum), "{sum}");
    let held = |feed: &Feed| feed.stream.renditions().iter().map(Rendition::bytes).sum::<usize>();
    let (window, first) = (held(&feed), feed.list("v0").unwrap().sequence);
    // What has just left the playlist is still there.
    assert!(feed.stream.rendition("v0").unwrap().segment(first - 1).is_some());
    assert!(feed.stream.rendition("v0").unwrap().segment(first - 4).is_none());
    let mut feed = Feed::new(Settings { window: Duration::from_secs(10), max_bytes: window / 4, ..EASY });
    feed.run(60, |_| {});
    assert!(held(&feed) < window / 2, "{} of {window}", held(&feed));
    assert!(feed.list("v0").is_some());
}

#[test]
fn numbers_are_not_used_again_after_a_restart() {
    let at = |now: u64| Segmenter::new(EASY, Duration::from_secs(now));
    let mut feed = Feed::new(EASY);
    feed.run(60, |_| {});
    let later = at(1_800_000_000 + 60);
    assert!(later.next_number > feed.stream.next_number);
    assert!(later.first_part > feed.stream.rendition("v0").unwrap().next_part());
}

#[test]
fn requests_wait_for_what_is_coming_and_for_nothing_else() {
    use wait::{Decision, Reload};
    let mut feed = Feed::new(EASY);
    let of = |feed: &Feed, segment: Option<u64>, part: Option<u64>| {
        wait::playlist(&feed.stream, feed.stream.rendition("v0").unwrap(), Reload { segment, part })
    };
    feed.run(5, |_| {});
    let rendition = feed.stream.rendition("v0").unwrap();
    let open = rendition.open().unwrap();
    let (open, made, next) = (open.number, open.parts.len() as u64, rendition.next_part());
    let last_parts = rendition.segment(open - 1).unwrap().parts.len() as u64;
    assert!(made > 0);
    let cases = [
        (None, None, Decision::Ready),
        (None, Some(0), Decision::TooFar),
        (Some(0), None, Decision::Ready),
        (Some(open - 1), None, Decision::Ready),
        (Some(open - 1), Some(last_parts + 9), Decision::Ready),
        (Some(open), None, Decision::Wait),
        (Some(open), Some(made - 1), Decision::Ready),
        (Some(open), Some(made), Decision::Wait),
        (Some(open), Some(made + 15), Decision::Wait),
        (Some(open), Some(made + 16), Decision::TooFar),
        (Some(open + 1), Some(0), Decision::Wait),
        (Some(open + 2), None, Decision::TooFar),
        (Some(u64::MAX), None, Decision::TooFar),
    ];
    for (segment, part, expect) in cases {
        assert_eq!(of(&feed, segment, part), expect, "{segment:?} {part:?}");
    }
    let checks = [
        (open - 1, Decision::Ready),
        (open, Decision::Wait),
        (open + 2, Decision::Wait),
        (open + 3, Decision::Gone),
        (3, Decision::Gone),
    ];
    for (number, expect) in checks {
        assert_eq!(wait::segment(rendition, number), expect);
    }
    let checks = [(next - 1, Decision::Ready), (next, Decision::Wait), (next + 1, Decision::Gone), (3, Decision::Gone)];
    for (number, expect) in checks {
        assert_eq!(wait::part(rendition, number), expect);
    }
}

proptest! {
    /// Whatever comes, playlists keep to the rules that are not about time, and nothing is held that is not bounded.
    #[test]
    fn any_pieces_are_survived(
        pieces in prop::collection::vec((1u32..4, any::<u32>(), any::<i32>(), 0u32..200_000, any::<bool>(), any::<bool>()), 1..200),
        changes in prop::collection::vec(any::<bool>(), 200),
    ) {
        let mut feed = Feed::new(Settings { max_bytes: 1000, ..EASY });
        for ((track, decode, offset, duration, is_sync, is_timed), changes) in pieces.into_iter().zip(changes) {
            let bytes = Bytes::from_static(b"0123456789");
            let (decode, offset) = (u64::from(decode), i64::from(offset));
            feed.stream.push(Piece { track, decode, offset, duration, is_sync, is_timed, moment: None, bytes });
            if changes && decode % 7 == 0 {
                feed.change();
            }
            for name in ["v0", "a0"] {
                let _ = feed.list(name);
            }
        }
    }

}

proptest! {
    // Each case is a minute of media.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Frames that come unevenly, as of a camera.
    #[test]
    fn playlists_keep_to_the_rules(
        frame in prop::sample::select(vec![1500u32, 1800, 3000, 3003, 3600, 3750, 6000]),
        rate in prop::sample::select(vec![0u32, 16_000, 44_100, 48_000]),
        gop in 5u64..400,
        audio_late in 0u64..30_000,
        change_at in 1u64..6,
    ) {
        let mut feed = Feed::new(EASY);
        (feed.frame, feed.rate, feed.gop, feed.audio_late) = (frame, rate, gop, audio_late);
        feed.begin();
        feed.run(change_at, Feed::check);
        feed.change();
        feed.run(8, Feed::check);
    }
}

/// Three encoders of the same frames, each with its own delay in frames; the first one leads.
struct Ladder {
    stream: Segmenter,
    delays: [u64; 3],
    /// Frames between two keyframes that nobody asked for, by encoder.
    gops: [u64; 3],
    /// Frames, by encoder, that are keyframes because they were asked for.
    forced: [Vec<u64>; 3],
    frame: u64,
}

impl Ladder {
    const FRAME: u32 = 3600;

    fn new() -> Self {
        let mut stream = Segmenter::new(EASY, super::super::testing::NOW);
        stream.begin((0..3).map(Self::header).collect());
        Self { stream, delays: [2, 0, 4], gops: [50, 30, 77], forced: Default::default(), frame: 1000 }
    }

    fn header(encoder: u32) -> TrackHeader {
        let name = ["v0", "v1", "v2"][encoder as usize];
        let header = super::super::testing::header(MediaKind::Video, 90_000, 0);
        TrackHeader { number: encoder << 16 | 1, name, size: Some((640 >> encoder, 360 >> encoder)), ..header }
    }

    /// So many frames enter the encoders.
    fn run(&mut self, frames: u64, lacks: &[u32]) {
        for _ in 0..frames {
            for encoder in [1, 2, 0].into_iter().filter(|encoder| !lacks.contains(encoder)) {
                let place = encoder as usize;
                let Some(frame) = self.frame.checked_sub(self.delays[place]).filter(|frame| *frame >= 1000) else {
                    continue;
                };
                let is_sync = (frame - 1000) % self.gops[place] == 0 || self.forced[place].contains(&frame);
                let piece = Piece {
                    track: encoder << 16 | 1,
                    decode: frame * u64::from(Self::FRAME),
                    offset: 0,
                    duration: Self::FRAME,
                    is_sync,
                    is_timed: true,
                    moment: None,
                    bytes: Bytes::from(format!("[{frame}]")),
                };
                if let Some(Wish::In(later)) = self.stream.push(piece) {
                    let wanted = frame * 40 + u64::try_from(later.as_millis()).unwrap();
                    for (place, forced) in self.forced.iter_mut().enumerate() {
                        // What has been encoded already cannot be changed.
                        forced.push(wanted.div_ceil(40).max(self.frame + 1 - self.delays[place].min(1)));
                    }
                }
            }
            self.frame += 1;
        }
    }

    /// Number, first frame, and whether it is a keyframe, of each listed segment of an encoder.
    fn segments(&self, name: &str) -> Vec<(u64, u64, bool)> {
        let rendition = self.stream.rendition(name).unwrap();
        let of = |segment: &Segment| {
            (segment.number, segment.start / u64::from(Self::FRAME), segment.is_independent && !segment.is_gap)
        };
        rendition.listed().map(of).collect()
    }
}

#[test]
fn encoders_of_the_same_frames_are_cut_at_the_same_frame() {
    let mut ladder = Ladder::new();
    ladder.run(600, &[]);
    let lead = ladder.segments("v0");
    assert!(lead.len() > 10 && lead.iter().all(|(_, _, is_independent)| *is_independent), "{lead:?}");
    for name in ["v1", "v2"] {
        let found = ladder.segments(name);
        assert!(found.len() + 2 >= lead.len());
        // All but the first, which began with a piece that the track that leads had not.
        for segment in found.iter().skip(1) {
            assert!(lead.contains(segment), "{name}: {segment:?} of {lead:?}");
        }
    }
    // The frames of one encoder are all there, once and in order, though they waited.
    let rendition = ladder.stream.rendition("v1").unwrap();
    let bytes = bytes_of(rendition.listed().flat_map(Segment::pieces));
    let frames: Vec<u64> = bytes.split(['[', ']']).filter_map(|text| text.parse().ok()).collect();
    assert!(frames.windows(2).all(|pair| pair[1] == pair[0] + 1), "{frames:?}");
}

#[test]
fn an_encoder_that_comes_later_changes_nothing_for_the_others() {
    let mut ladder = Ladder::new();
    ladder.stream.begin((0..2).map(Ladder::header).collect());
    ladder.run(300, &[2]);
    let before = ladder.segments("v0");
    assert!(ladder.stream.is_ready());
    ladder.stream.begin((0..3).map(Ladder::header).collect());
    assert!(ladder.stream.is_ready());
    let late = ladder.stream.rendition("v2").unwrap();
    assert_eq!(wait::playlist(&ladder.stream, late, wait::Reload::default()), wait::Decision::Wait);
    ladder.run(200, &[]);
    assert!(ladder.segments("v2").len() >= 2);
    assert!(ladder.segments("v2").iter().skip(1).all(|segment| ladder.segments("v0").contains(segment)));
    assert_eq!(ladder.segments("v0")[..3], before[..3]);
    let rendition = ladder.stream.rendition("v0").unwrap();
    assert!(rendition.listed().all(|segment| !segment.is_discontinuity));
}

#[test]
fn an_encoder_that_ends_does_not_hold_the_others_up() {
    let mut ladder = Ladder::new();
    ladder.run(200, &[]);
    ladder.run(200, &[1]);
    let newest = |ladder: &Ladder, name: &str| ladder.stream.rendition(name).unwrap().newest().unwrap();
    assert!(newest(&ladder, "v0") > newest(&ladder, "v1") + 2);
    assert!(newest(&ladder, "v2") + 1 >= newest(&ladder, "v0"));
    // The one that leads: what the others deliver is kept within bounds.
    ladder.run(2000, &[0]);
    assert!(ladder.stream.held.len() <= others::MAX_HELD);
}
