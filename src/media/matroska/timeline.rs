//! From the timeline of samples to timestamps of blocks: milliseconds that never step back within a track.

use crate::media::{Time, TrackId};

/// A flagged step forward of more than this, in milliseconds, is closed: players would wait for as long.
const MAX_GAP: i64 = 2000;
/// A track that follows another over a jump may begin so many milliseconds before its last timestamp; it stands still
/// until they are over. More than audio is late.
const MAX_OVERLAP: i64 = 1000;
/// Where a timeline begins whose first sample is before its origin, in milliseconds: room for tracks that are late.
const BEGIN: i64 = 1000;
/// Milliseconds from the last timestamp to the first one after a jump.
const STEP: i64 = 20;

/// Places the samples of all tracks on one line.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// What is added to the times of tracks that followed the newest jump; `None` before the first sample.
    offset: Option<i64>,
    /// The latest decoding time of all tracks.
    newest: i64,
    tracks: Vec<Track>,
}

#[derive(Debug)]
struct Track {
    id: TrackId,
    offset: i64,
    /// Where its last sample would be decoded if nothing held it back.
    unheld: i64,
    /// The last times that were given out.
    last: Times,
}

/// Milliseconds of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) decoded: i64,
    pub(super) shown: i64,
}

impl Timeline {
    /// Places the next sample of a track. `reorders` when frames may be shown in another order than they come.
    pub(super) fn place(&mut self, id: TrackId, dts: Time, pts: Time, is_flagged: bool, reorders: bool) -> Times {
        let (dts, pts) = (dts.millis(), pts.millis());
        let shared = *self.offset.get_or_insert(if dts < 0 { BEGIN.saturating_sub(dts) } else { 0 });
        let at = self.tracks.iter().position(|track| track.id == id).unwrap_or_else(|| {
            let last = Times { decoded: 0, shown: 0 };
            self.tracks.push(Track { id, offset: shared, unheld: dts.saturating_add(shared), last });
            self.tracks.len() - 1
        });
        let Some(track) = self.tracks.get_mut(at) else { return Times { decoded: 0, shown: 0 } };
        let place = |offset: i64| dts.saturating_add(offset);
        let most = self.newest.saturating_add(MAX_GAP);
        let fits = place(track.offset) >= track.unheld && place(track.offset) <= most;
        if !fits {
            // Another track jumped before?
            let can_follow = (track.last.decoded - MAX_OVERLAP..=most).contains(&place(shared));
            if track.offset != shared && can_follow {
                track.offset = shared;
            } else if is_flagged || place(track.offset) < track.unheld {
                track.offset = self.newest.saturating_add(STEP).saturating_sub(dts);
                self.offset = Some(track.offset);
            }
        }
        track.unheld = dts.saturating_add(track.offset);
        let decoded = track.unheld.max(track.last.decoded);
        let least = if reorders { decoded } else { decoded.max(track.last.shown) };
        track.last = Times { decoded, shown: pts.saturating_add(track.offset).max(least) };
        self.newest = self.newest.max(decoded);
        track.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VIDEO: TrackId = TrackId(0);
    const AUDIO: TrackId = TrackId(1);

    fn at(timeline: &mut Timeline, id: TrackId, millis: i64, is_flagged: bool) -> i64 {
        let time = Time::from_millis(millis);
        timeline.place(id, time, time, is_flagged, false).shown
    }

    #[test]
    fn times_stay_as_they_are() {
        let mut timeline = Timeline::default();
        let times = [(VIDEO, 5000), (VIDEO, 5040), (AUDIO, 4800), (AUDIO, 4820), (VIDEO, 90_000)];
        for (id, millis) in times {
            assert_eq!(at(&mut timeline, id, millis, false), millis);
        }
        assert_eq!(at(&mut timeline, AUDIO, 6000, true), 6000, "a gap, and not a long one");
    }

    #[test]
    fn a_timeline_that_begins_before_its_origin_leaves_room() {
        let mut timeline = Timeline::default();
        let times = [(VIDEO, -500), (AUDIO, -800), (AUDIO, -780), (VIDEO, 0)];
        assert_eq!(times.map(|(id, millis)| at(&mut timeline, id, millis, false)), [1000, 700, 720, 1500]);
        let mut timeline = Timeline::default();
        let times = [(VIDEO, 10), (AUDIO, -30), (AUDIO, -10), (AUDIO, 10)];
        assert_eq!(times.map(|(id, millis)| at(&mut timeline, id, millis, false)), [10, 0, 0, 10]);
    }

    #[test]
    fn jumps_are_closed_for_all_tracks_alike() {
        for to in [0, 7_000_000, -3_000_000, i64::MAX / 2_000_000] {
            let mut timeline = Timeline::default();
            at(&mut timeline, VIDEO, 60_000, false);
            at(&mut timeline, AUDIO, 59_980, false);
            assert_eq!(at(&mut timeline, VIDEO, to, true), 60_020);
            assert_eq!(at(&mut timeline, AUDIO, 60_000, false), 60_000, "it is late and has not jumped yet");
            assert_eq!(at(&mut timeline, AUDIO, to - 10, true), 60_010);
            assert_eq!(at(&mut timeline, VIDEO, to + 40, false), 60_060);
            assert_eq!(at(&mut timeline, AUDIO, to + 10, false), 60_030);
        }
    }

    #[test]
    fn a_track_follows_a_jump_that_is_flagged_on_another() {
        let mut timeline = Timeline::default();
        at(&mut timeline, VIDEO, 1000, false);
        at(&mut timeline, AUDIO, 1000, false);
        at(&mut timeline, VIDEO, 500_000, true);
        assert_eq!(at(&mut timeline, AUDIO, 500_000, false), 1020);
        let mut timeline = Timeline::default();
        at(&mut timeline, VIDEO, 1000, false);
        at(&mut timeline, AUDIO, 1000, false);
        at(&mut timeline, VIDEO, 0, true);
        // It begins 300 ms before the video does: it stands still until then, but stays in sync.
        assert_eq!(at(&mut timeline, AUDIO, -300, true), 1000);
        assert_eq!(at(&mut timeline, AUDIO, -280, false), 1000);
        assert_eq!(at(&mut timeline, AUDIO, 100, false), 1120);
    }

    proptest! {
        #[test]
        fn no_track_steps_back(samples in prop::collection::vec((0u8..3, any::<i64>(), 0i64..1_000_000_000, any::<bool>()), 0..60)) {
            let mut timeline = Timeline::default();
            let mut last = [0; 3];
            for (id, dts, more, is_flagged) in samples {
                let dts = Time::from_nanos(dts);
                let times = timeline.place(TrackId(id), dts, dts.shifted(more), is_flagged, false);
                prop_assert!(times.shown >= last[usize::from(id)] && times.shown >= times.decoded && times.decoded >= 0);
                last[usize::from(id)] = times.shown;
            }
        }
    }
}
