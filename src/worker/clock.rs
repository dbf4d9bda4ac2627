//! Time: every pipeline counts from the plan's epoch on the machine's monotonic clock.

use super::sync::lock;
use crate::media::Drift;
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

/// Where a jump is seen first at one track, others may begin this much earlier in the new time. None of them is to go back.
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
/// All tracks of a run share one shift, which keeps picture and sound together.
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
    drift: Option<Drift>,
}

impl Timeline {
    /// Of a pipeline with base time `base`. With `anchored`, the first buffer's time is that of its arrival.
    pub(super) fn new(base: u64, epoch: u64, anchored: bool, end: Arc<AtomicU64>) -> Self {
        let base = signed(base) - signed(epoch);
        // A run begins where the last one ended, if that lies a moment ahead. The base time of a live pipeline must
        // not lie ahead: its first times would be negative, and wrap.
        let lead = signed(end.load(Ordering::Relaxed)) - base;
        let fixed = (!anchored).then_some(if (0..OVERLAP).contains(&lead) { lead } else { 0 });
        Self { base, epoch, shift: Mutex::new(Shift { fixed, drift: Some(Drift::default()) }), end }
    }

    /// Of media whose times count from the epoch already. How late it is says nothing of its source's clock: a decoder
    /// may be slow.
    pub(super) fn settled(epoch: u64) -> Self {
        Self { base: 0, epoch, shift: Mutex::new(Shift { fixed: Some(0), drift: None }), end: Arc::default() }
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
        let target = || signed(now.max(self.end.load(Ordering::Relaxed)));
        let Shift { fixed, drift } = &mut *shift;
        let Some(current) = *fixed else {
            let first = target().saturating_sub(reference);
            *fixed = Some(first);
            return (first, false);
        };
        let followed = drift.as_mut().map_or(0, |drift| drift.follow(reference.saturating_add(current), signed(now)));
        let current = current.saturating_add(followed);
        let time = reference.saturating_add(current);
        let stepped = last.is_some_and(|last| time.saturating_sub(signed(last)).unsigned_abs() > JUMP);
        let late = time < signed(now) - signed(JUMP);
        if !stepped && !late {
            return (current, false);
        }
        let (end, now) = (target(), signed(now));
        // Many jumps do not add up: there is room when the end is ahead of now.
        let target = if end - now < 2 * INTERLEAVING { end + INTERLEAVING } else { end };
        let repaired = target.saturating_sub(reference);
        *shift = Shift { fixed: Some(repaired), drift: drift.is_some().then(Drift::default) };
        (repaired, true)
    }
}

fn signed(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}
