//! Decoding times for frames of which only the time they are shown is known (Matroska, RTP).
//!
//! Codecs with B-frames send a frame ahead of those that are shown earlier. Samples, and containers like TS and MP4,
//! want a DTS that grows from frame to frame and is never later than the PTS. With a reorder depth of `n` (the most frames
//! that come before a frame and are shown after it; `max_num_reorder_frames` of H.264, `sps_max_num_reorder_pics` of H.265),
//! the DTS of the frame number `k` is the PTS of the frame that is shown as number `k - n`: the `n + 1`st latest PTS so far. It
//! is known when the frame comes, so nothing waits; the DTS is spread as evenly as the PTS, and a stream without B-frames has
//! a depth of 0 and DTS = PTS.
//!
//! Two moments are special:
//!
//! - At the beginning the first `n` frames have nothing that is shown before. With a known frame duration their DTS is counted
//!   back from the first PTS; without one they wait until frame `n` shows the distance. That is the only wait there is.
//! - When a depth turns out too small (it is not known to begin with: many encoders do not write it, and the limits that the
//!   standards infer would delay DTS by up to 16 frames), it grows for good. For the few frames until DTS falls behind PTS,
//!   PTS is moved up to a DTS that hardly grows.

use super::Time;
use std::{collections::VecDeque, time::Duration};

/// Most reorder frames of H.264 and H.265 (ITU-T H.264, annex A.3.1; `MaxDpbFrames`).
pub const MAX_DEPTH: usize = 16;
/// Least distance of two DTS, in nanoseconds: a tick of the 90 kHz clock.
const MIN_STEP: i64 = 11_112;
/// Two frames that follow each other are not further apart than this, in nanoseconds, or the timeline jumped.
const MAX_STEP: i64 = 10_000_000_000;
/// Nanoseconds of a frame of which nothing is known.
const DEFAULT_FRAME: i64 = 40_000_000;

/// A frame with both times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered<T> {
    /// When it is decoded: later than that of the frame before, never later than `pts`.
    pub dts: Time,
    /// When it is shown.
    pub pts: Time,
    /// What was pushed.
    pub item: T,
}

/// Gives the frames of one track, which come in decoding order, their DTS.
#[derive(Debug)]
pub struct Reorder<T> {
    depth: usize,
    frame: Option<Duration>,
    /// The latest PTS, sorted, `MAX_DEPTH + 1` at most.
    latest: Vec<Time>,
    /// Frames at the beginning, until the first DTS is known.
    waiting: VecDeque<(Time, T)>,
    /// The last DTS that was given out.
    last: Option<Time>,
}

impl<T> Reorder<T> {
    /// For a track of this reorder depth, 0 when it is not known, and this frame duration, if that is known.
    pub fn new(depth: usize, frame: Option<Duration>) -> Self {
        Self {
            depth: depth.min(MAX_DEPTH),
            frame: frame.filter(|frame| !frame.is_zero()),
            latest: Vec::new(),
            waiting: VecDeque::new(),
            last: None,
        }
    }

    /// The reorder depth that is known or was learned.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The parameter sets changed, and with them the depth. DTS continues to grow.
    pub fn set_depth(&mut self, depth: usize) {
        self.depth = depth.min(MAX_DEPTH);
    }

    /// The next frame in decoding order. What is ready is added to `out`, in the same order.
    pub fn push(&mut self, pts: Time, item: T, out: &mut Vec<Ordered<T>>) {
        let is_far = |newest: &Time| pts.since(*newest).saturating_abs() > MAX_STEP;
        // No frame is shown before so many that are decoded before it.
        let is_behind = self.latest.len() > MAX_DEPTH && self.latest.first().is_some_and(|first| pts < *first);
        if is_behind || self.latest.last().is_some_and(is_far) {
            self.restart(out);
        }
        let place = self.latest.partition_point(|earlier| *earlier <= pts);
        self.depth = self.depth.max(self.latest.len() - place).min(MAX_DEPTH);
        self.latest.insert(place, pts);
        if self.latest.len() > MAX_DEPTH + 1 {
            self.latest.remove(0);
        }
        if self.last.is_some() || self.frame.is_some() {
            return self.give(pts, item, out);
        }
        self.waiting.push_back((pts, item));
        if self.waiting.len() > self.depth {
            self.release(out);
        }
    }

    /// The timeline jumps, or nothing more comes: what waits leaves, and the next frame begins again, with the same depth.
    pub fn restart(&mut self, out: &mut Vec<Ordered<T>>) {
        self.release(out);
        self.latest.clear();
        self.last = None;
    }

    /// Lets go of the frames that wait, whose distance is known by now as well as it can be; the timeline continues.
    pub fn release(&mut self, out: &mut Vec<Ordered<T>>) {
        if self.waiting.is_empty() {
            return;
        }
        let (latest, count) = (std::mem::take(&mut self.latest), self.waiting.len());
        let span = latest.first().zip(latest.last()).map_or(0, |(first, last)| last.since(*first).max(0));
        let step = span.checked_div(count as i64 - 1).filter(|step| *step > 0).unwrap_or(DEFAULT_FRAME);
        // As if the earliest of them had come first.
        let first = latest.first().copied().unwrap_or_default();
        for (number, (pts, item)) in std::mem::take(&mut self.waiting).into_iter().enumerate() {
            let before = (self.depth as i64).saturating_sub(number as i64);
            self.emit(first.shifted(-before.saturating_mul(step)), pts, item, out);
        }
        self.latest = latest;
    }

    fn give(&mut self, pts: Time, item: T, out: &mut Vec<Ordered<T>>) {
        let known = self.latest.len().checked_sub(self.depth + 1).and_then(|at| self.latest.get(at)).copied();
        let dts = known.unwrap_or_else(|| {
            let missing = (self.depth + 1).saturating_sub(self.latest.len()) as i64;
            let frame =
                self.frame.map_or(DEFAULT_FRAME, |frame| i64::try_from(frame.as_nanos()).unwrap_or(DEFAULT_FRAME));
            self.latest.first().copied().unwrap_or(pts).shifted(-missing.saturating_mul(frame))
        });
        self.emit(dts, pts, item, out);
    }

    fn emit(&mut self, dts: Time, pts: Time, item: T, out: &mut Vec<Ordered<T>>) {
        let dts = self.last.map_or(dts.min(pts), |last| dts.min(pts).max(last.shifted(MIN_STEP)));
        self.last = Some(dts);
        out.push(Ordered { dts, pts: pts.max(dts), item });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRAME: Duration = Duration::from_millis(40);

    /// DTS and PTS in frames, and how many frames had come when each left.
    fn order(depth: usize, frame: Option<Duration>, shown: &[i64]) -> (Vec<(i64, i64)>, Vec<usize>) {
        let (mut reorder, mut out, mut left) = (Reorder::new(depth, frame), Vec::new(), Vec::new());
        for (count, number) in (1..).zip(shown) {
            reorder.push(Time::from_millis(number * 40), *number, &mut out);
            left.resize(out.len(), count);
        }
        reorder.restart(&mut out);
        left.resize(out.len(), shown.len());
        assert_eq!(out.iter().map(|frame| frame.item).collect::<Vec<_>>(), shown);
        (out.iter().map(|frame| (frame.dts.millis() / 40, frame.pts.millis() / 40)).collect(), left)
    }

    #[test]
    fn without_b_frames_dts_is_pts_and_nothing_waits() {
        let (times, left) = order(0, None, &[5, 6, 7, 9]);
        assert_eq!((times, left), (vec![(5, 5), (6, 6), (7, 7), (9, 9)], vec![1, 2, 3, 4]));
    }

    #[test]
    fn a_known_depth_and_frame_duration_need_no_wait() {
        let (times, left) = order(2, Some(FRAME), &[0, 4, 2, 1, 3, 8, 6, 5, 7]);
        let dts: Vec<_> = times.iter().map(|(dts, _)| *dts).collect();
        assert_eq!(dts, [-2, -1, 0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(left, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn without_a_frame_duration_only_the_first_frames_wait() {
        let (times, left) = order(1, None, &[10, 12, 11, 14, 13]);
        assert_eq!(times, [(8, 10), (10, 12), (11, 11), (12, 14), (13, 13)]);
        assert_eq!(left, [2, 2, 3, 4, 5]);
        let (times, left) = order(2, None, &[0]);
        assert_eq!((times, left), (vec![(-2, 0)], vec![1]));
    }

    #[test]
    fn an_unknown_depth_is_learned_once() {
        let (times, left) = order(0, None, &[0, 3, 1, 2, 6, 4, 5, 9, 7, 8]);
        // The two B-frames of the first group are shown late.
        assert_eq!(times[..4], [(0, 0), (3, 3), (3, 3), (3, 3)]);
        assert_eq!(times[4..], [(3, 6), (4, 4), (5, 5), (6, 9), (7, 7), (8, 8)]);
        assert_eq!(left, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn leading_frames_of_the_first_keyframe_are_no_surprise() {
        let (times, _) = order(2, Some(FRAME), &[12, 10, 9, 11, 16, 14, 13, 15]);
        assert!(times.iter().all(|(dts, pts)| dts <= pts));
        assert_eq!(times[4..].iter().map(|(dts, _)| *dts).collect::<Vec<_>>(), [11, 12, 13, 14]);
    }

    #[test]
    fn a_jump_begins_again() {
        for to in [-1000, 1000] {
            let shown: Vec<_> =
                [0, 2, 1].into_iter().chain((0..40).map(|number| 3 + number)).chain([to, to + 1, to + 2]).collect();
            let (times, _) = order(1, Some(FRAME), &shown);
            assert_eq!(times[43..], [(to - 1, to), (to, to + 1), (to + 1, to + 2)]);
        }
    }

    proptest! {
        #[test]
        fn dts_grows_and_is_never_after_pts(
            depth in 0usize..20,
            frame in prop::option::of(1u64..2000),
            shown in prop::collection::vec(-100i64..100, 0..80),
        ) {
            let (mut reorder, mut out) = (Reorder::new(depth, frame.map(Duration::from_millis)), Vec::new());
            for (count, number) in shown.iter().enumerate() {
                reorder.push(Time::from_millis(number * 33), count, &mut out);
                prop_assert!(count + 1 - out.len() <= reorder.depth());
            }
            reorder.restart(&mut out);
            prop_assert!(out.iter().map(|frame| frame.item).eq(0..shown.len()));
            prop_assert!(out.iter().all(|frame| frame.dts <= frame.pts));
        }

        #[test]
        fn any_times_do_not_panic(shown: Vec<i64>, frame: u64) {
            let (mut reorder, mut out) = (Reorder::new(3, Some(Duration::from_nanos(frame))), Vec::new());
            shown.iter().for_each(|shown| reorder.push(Time::from_nanos(*shown), (), &mut out));
            prop_assert_eq!(out.len(), shown.len());
        }

        /// Groups of B-frames in any order that a depth allows: DTS is as even as PTS.
        #[test]
        fn dts_of_a_steady_stream_is_steady(groups in prop::collection::vec(1i64..4, 2..20)) {
            let mut shown = vec![0];
            for group in groups {
                let from = *shown.iter().max().unwrap();
                shown.push(from + group);
                shown.extend(from + 1..from + group);
            }
            let (times, _) = order(1, Some(FRAME), &shown);
            let steps: Vec<_> = times.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
            prop_assert!(steps.iter().all(|step| *step == 1), "{:?}", times);
        }
    }
}
