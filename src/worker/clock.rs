//! Time: every pipeline counts from the plan's epoch on the machine's monotonic clock.

use super::threads::lock;
use crate::media::DriftEstimator;
use gst::prelude::*;
use gstreamer as gst;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A step between two buffers of a track, or lateness, that is no jitter: the source's clock jumped.
const JUMP: u64 = Duration::from_secs(10).as_nanos() as u64;

/// The track that is seen first in a new time may not be the one that begins it: others may begin this much earlier. None of
/// them is to go back.
const INTERLEAVING: i64 = Duration::from_millis(100).as_nanos() as i64;

/// How far the end of a feed's last run may lie ahead for the next one to begin there.
const OVERLAP: i64 = Duration::from_secs(2).as_nanos() as i64;

/// The monotonic clock now, in nanoseconds.
pub(super) fn now() -> u64 {
    gst::SystemClock::obtain().time().nseconds()
}

/// Makes a pipeline count its running time from `base`.
pub(super) fn set_base(pipeline: &gst::Pipeline, base: u64) {
    pipeline.use_clock(Some(&gst::SystemClock::obtain()));
    pipeline.set_start_time(gst::ClockTime::NONE);
    pipeline.set_base_time(gst::ClockTime::from_nseconds(base));
}

/// Maps the times of one run of a feed to running times since the plan's epoch.
///
/// All tracks of a run share one shift, which keeps video and audio in sync.
pub(super) struct Timeline {
    /// Of the feed's pipeline, since the epoch.
    base: i64,
    epoch: u64,
    shift: Mutex<Shift>,
    /// End of what any run of the feed has delivered so far.
    end: Arc<AtomicU64>,
}

/// What is added to the times of a run.
struct Shift {
    /// `None`: nothing is known of the source's timestamps, the first one means "now".
    fixed: Option<i64>,
    /// Follows the source's clock, if it may be another than the machine's.
    drift: Option<DriftEstimator>,
}

impl Timeline {
    /// Of a pipeline with base time `base`. With `anchored`, the first buffer's time is that of its arrival.
    pub(super) fn new(base: u64, epoch: u64, anchored: bool, end: Arc<AtomicU64>) -> Self {
        let base = signed(base) - signed(epoch);
        // A run begins where the last one ended, if that lies a moment ahead. The base time of a live pipeline must
        // not lie ahead: its first times would be negative, and wrap.
        let lead = signed(end.load(Ordering::Relaxed)) - base;
        let fixed = (!anchored).then_some(if (0..OVERLAP).contains(&lead) { lead } else { 0 });
        Self { base, epoch, shift: Mutex::new(Shift { fixed, drift: Some(DriftEstimator::default()) }), end }
    }

    /// Of media whose times count from the epoch already. How late it is says nothing of its source's clock: a decoder
    /// may be slow.
    pub(super) fn settled(epoch: u64) -> Self {
        Self { base: 0, epoch, shift: Mutex::new(Shift { fixed: Some(0), drift: None }), end: Arc::default() }
    }

    /// From now on the first time that comes means now.
    pub(super) fn anchor(&self) {
        lock(&self.shift).fixed = None;
    }

    /// Gives a buffer its times since the epoch; returns whether its source's clock jumped. `last` is the track's
    /// own memory.
    pub(super) fn stamp(
        &self,
        buffer: &mut gst::BufferRef,
        segment: Option<&gst::FormattedSegment<gst::ClockTime>>,
        last: &mut Option<u64>,
    ) -> bool {
        let now = now().saturating_sub(self.epoch);
        let running = |time: Option<gst::ClockTime>| -> Option<i64> {
            let time = time?;
            let signed_time = match segment {
                Some(segment) => segment.to_running_time_full(time)?,
                None => time.into(),
            };
            Some(self.base.saturating_add(match signed_time {
                gst::Signed::Positive(time) => signed(time.nseconds()),
                gst::Signed::Negative(time) => -signed(time.nseconds()),
            }))
        };
        let (pts, dts) = (running(buffer.pts()), running(buffer.dts()));
        let Some(reference) = dts.or(pts) else {
            let at = (*last).unwrap_or(now).max(now);
            buffer.set_pts(gst::ClockTime::from_nseconds(at));
            return false;
        };
        let (shift, jumped) = self.shift(reference, now, *last);
        let shifted = |time: i64| u64::try_from(time.saturating_add(shift)).unwrap_or(0);
        *last = Some(shifted(reference));
        let duration = buffer.duration().map_or(0, gst::ClockTime::nseconds);
        let end = shifted(pts.unwrap_or(reference)).saturating_add(duration);
        self.end.fetch_max(end.min(now + JUMP), Ordering::Relaxed);
        buffer.set_pts(pts.map(|time| gst::ClockTime::from_nseconds(shifted(time))));
        buffer.set_dts(dts.map(|time| gst::ClockTime::from_nseconds(shifted(time))));
        jumped
    }

    fn shift(&self, reference: i64, now: u64, last: Option<u64>) -> (i64, bool) {
        let mut shift = lock(&self.shift);
        let now = signed(now);
        let Shift { fixed, drift } = &mut *shift;
        let Some(current) = *fixed else {
            // A new run takes its time to begin: what is added is gone by then, unless all of its bytes come together.
            let first = self.beginning(now, i64::MAX).saturating_sub(reference);
            *fixed = Some(first);
            return (first, false);
        };
        let followed = drift.as_mut().map_or(0, |drift| drift.follow(reference.saturating_add(current), now));
        let current = current.saturating_add(followed);
        let time = reference.saturating_add(current);
        let stepped = last.is_some_and(|last| time.saturating_sub(signed(last)).unsigned_abs() > JUMP);
        let late = time < now - signed(JUMP);
        if !stepped && !late {
            return (current, false);
        }
        // Many jumps do not add up: there is room when the end is ahead of now.
        let repaired = self.beginning(now, 2 * INTERLEAVING).saturating_sub(reference);
        *shift = Shift { fixed: Some(repaired), drift: drift.is_some().then(DriftEstimator::default) };
        (repaired, true)
    }

    /// What the first time of a source's new clock stands for: now, or what comes after all that has been delivered, with
    /// room for other tracks if that is not further ahead of now than `roomy`.
    fn beginning(&self, now: i64, roomy: i64) -> i64 {
        match signed(self.end.load(Ordering::Relaxed)) {
            0 => now,
            end if end - now < roomy => now.max(end + INTERLEAVING),
            end => end,
        }
    }
}

fn signed(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = 1_000_000;

    /// Stamps a buffer of 40 ms; its time since the epoch, in milliseconds.
    fn stamped(timeline: &Timeline, milliseconds: u64, last: &mut Option<u64>) -> u64 {
        let mut buffer = gst::Buffer::new();
        let buffer = buffer.make_mut();
        buffer.set_pts(gst::ClockTime::from_mseconds(milliseconds));
        buffer.set_duration(gst::ClockTime::from_mseconds(40));
        timeline.stamp(buffer, None, last);
        buffer.pts().unwrap().mseconds()
    }

    #[test]
    fn no_track_goes_back_when_bytes_begin_anew() {
        gst::init().unwrap();
        let end = Arc::<AtomicU64>::default();
        let epoch = now() - 1_000 * MILLISECOND;
        let (mut sound, mut times) = (None, Vec::new());
        for _ in 0..10 {
            // All comes at the same time: the end is ahead of now when it restarts. Video is seen first, and audio begins it.
            let timeline = Timeline::new(epoch, epoch, true, end.clone());
            let mut pictures = None;
            stamped(&timeline, 1_000, &mut pictures);
            times.extend([995, 1_035].map(|time| stamped(&timeline, time, &mut sound)));
        }
        assert!(times.is_sorted_by(|one, other| one + 40 <= *other), "{times:?}");
    }

    #[test]
    fn no_track_goes_back_at_a_jump_and_many_do_not_add_up() {
        gst::init().unwrap();
        let end = Arc::<AtomicU64>::default();
        let epoch = now();
        let timeline = Timeline::new(epoch, epoch, true, end.clone());
        let (mut pictures, mut sound, mut times) = (None, None, Vec::new());
        for jump in 0..100 {
            let source = 1_000 + jump % 2 * 100_000;
            stamped(&timeline, source, &mut pictures);
            times.push(stamped(&timeline, source, &mut sound));
        }
        assert!(times.is_sorted(), "{times:?}");
        let ahead = (end.load(Ordering::Relaxed) - (now() - epoch)) / MILLISECOND;
        assert!(ahead < 100 * 40 + 500, "{ahead} ms");
    }
}
