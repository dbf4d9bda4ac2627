//! A reader's place in a ring. Pure: time comes in as a value.

use super::{JoinPoint, Ring, aside};
use crate::{media::Packet, stream::batch::Batch};
use std::time::{Duration, Instant};

/// How long a reader that asked our encoder for a keyframe waits before it takes the newest one there is.
pub(super) const FORCED_WITHIN: Duration = Duration::from_millis(500);

/// Where a new reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// With the next packet, whatever it is.
    Live,
    /// With a keyframe immediately: the newest one in the ring, or the next one when there is none.
    Keyframe,
    /// With a keyframe that an encoder has just been asked for; after 500 ms with the newest there is.
    Forced,
    /// With the next keyframe to come.
    NextKeyframe,
    /// With the oldest keyframe in the ring, or the next one when there is none: for readers that keep what they read.
    Oldest,
}

/// How a reader enters a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Where it begins.
    pub join: Join,
    /// Whether the container's header comes first.
    pub header: bool,
}

/// What a reader gets next.
#[derive(Debug)]
pub enum Delivery {
    /// The container's header, or the notice that precedes data after a loss: bytes that are not in the ring.
    Aside(Packet),
    /// The next packet.
    Packet(Packet),
    /// The reader was too slow: this many packets are lost to it. It continues at a join point.
    Gap(u64),
    /// The stream cannot be continued for this reader.
    End,
}

/// A reader's place in a ring.
#[derive(Debug)]
pub struct Cursor {
    pub(super) place: Place,
    /// Set for a reader of whole frames.
    thinning: Option<Thinning>,
    /// It gets join points only.
    sparse: bool,
    /// Whether the header is still to be delivered.
    header: bool,
    /// The ring's generation when the reader came.
    generation: u64,
    /// The version of the header that the reader has; the greatest without one.
    version: u32,
    /// When the join point was captured that the reader began with last, see [`Ring::set_loose`].
    begin: Option<Duration>,
    /// It gets nothing while viewers are held.
    is_viewer: bool,
}

#[derive(Debug)]
pub(super) enum Place {
    /// Looks for a join point; `from` is the first packet that came after it asked, at `since`.
    Joining { join: Join, from: u64, since: Instant },
    /// Fell behind and waits for a join point at or after `from`; `next` is where it was.
    Behind { next: u64, from: u64 },
    /// This packet is next.
    At(u64),
    /// This join point is next, and the reader got a notice that it lost what was before.
    Announced(u64),
}

impl Cursor {
    /// A reader that enters `ring` at `now`.
    pub fn new(ring: &Ring, entry: Entry, now: Instant) -> Self {
        let place = Place::Joining { join: entry.join, from: ring.end(), since: now };
        let (header, generation) = (entry.header, ring.generation);
        Self {
            place,
            thinning: None,
            sparse: false,
            header,
            generation,
            version: u32::MAX,
            begin: None,
            is_viewer: true,
        }
    }

    /// It is a reader of the server itself, which is never held.
    pub fn never_hold(&mut self) {
        self.is_viewer = false;
    }

    /// Every packet is a frame of its own, and the reader wants the newest ones only, `interval` apart.
    pub fn thin(&mut self, interval: Duration) {
        self.thinning = Some(Thinning::new(interval));
    }

    /// From now on the reader gets join points only, the newest one each time, or everything again. To be asked for where
    /// [`Ring::is_whole`].
    pub fn reduce(&mut self, sparse: bool) {
        self.sparse = sparse;
    }

    /// What is there already is lost to the reader, which continues with the next join point, as one that was too slow does.
    pub fn skip(&mut self, ring: &Ring) {
        if let Place::At(next) = self.place {
            self.place = Place::Behind { next, from: ring.end() };
        }
    }

    /// Whether `batch` is all that comes next for the reader, which has it then.
    pub fn take_batch(&mut self, batch: &Batch) -> bool {
        let is_next = matches!(self.place, Place::At(next) if next == batch.from);
        let gets_all = self.thinning.is_none() && !self.sparse && self.generation == batch.generation;
        let is_part = batch.packets.is_empty() || batch.packets.iter().any(|packet| self.passes_over(packet));
        if !is_next || !gets_all || is_part {
            return false;
        }
        self.place = Place::At(batch.to());
        true
    }

    /// What the reader gets next; `None` when it has to wait for the ring to change.
    pub fn next(&mut self, ring: &Ring) -> Option<Delivery> {
        if ring.closed || (ring.generation != self.generation && !self.is_joining()) {
            return Some(Delivery::End);
        }
        if self.is_viewer {
            if ring.held {
                return ring.finished.then_some(Delivery::End);
            }
            self.leave_behind(ring.released);
        }
        let found = match self.place {
            Place::Joining { join, from, since } => self.join(ring, join, from, since),
            Place::Behind { next, from } => self.resume(ring, next, from),
            Place::At(next) if self.thinning.is_some() => self.newest(ring, next),
            Place::At(next) if next < ring.first => {
                // Close to live again, on the newest join point if there is one.
                let from = ring.joins.back().map_or(ring.end(), |join| join.at);
                self.place = Place::Behind { next, from };
                self.resume(ring, next, from)
            }
            Place::At(next) if self.sparse => self.newest_join(ring, next),
            Place::At(next) => self.take(ring, next),
            // The notice went ahead, so nothing but this packet may follow, unless it is gone.
            Place::Announced(at) if at < ring.first => {
                self.place = Place::At(at);
                self.next(ring)
            }
            Place::Announced(at) => self.take(ring, at),
        };
        found.or_else(|| ring.finished.then_some(Delivery::End))
    }

    /// What is before this packet was kept from the reader on purpose: it is no loss, and the reader continues at a join point.
    fn leave_behind(&mut self, released: u64) {
        self.place = match self.place {
            Place::At(next) | Place::Announced(next) if next < released => {
                Place::Behind { next: u64::MAX, from: released }
            }
            Place::Behind { from, .. } if from < released => Place::Behind { next: u64::MAX, from: released },
            Place::Joining { join, from, since } if from < released => Place::Joining { join, from: released, since },
            _ => return,
        };
    }

    fn take(&mut self, ring: &Ring, mut at: u64) -> Option<Delivery> {
        let mut slot = ring.get_slot(at);
        while slot.is_some_and(|slot| self.passes_over(&slot.packet)) {
            at += 1;
            slot = ring.get_slot(at);
        }
        self.place = Place::At(at + u64::from(slot.is_some()));
        slot.map(|slot| Delivery::Packet(slot.packet.clone()))
    }

    /// Whether a packet is not for this reader: it was captured before the join point that the reader began with, or is of a track that
    /// the header of the reader does not have.
    fn passes_over(&self, packet: &Packet) -> bool {
        let is_earlier = self.begin.is_some_and(|begin| packet.captured.is_some_and(|captured| captured < begin));
        is_earlier || packet.needs > self.version
    }

    fn is_joining(&self) -> bool {
        matches!(self.place, Place::Joining { .. })
    }

    fn join(&mut self, ring: &Ring, join: Join, from: u64, since: Instant) -> Option<Delivery> {
        self.generation = ring.generation;
        let newest = ring.joins.back().map(|join| join.at);
        let next_join = || ring.joins.iter().map(|join| join.at).find(|at| *at >= from);
        let late =
            || ring.slots.back().is_some_and(|slot| slot.pushed.saturating_duration_since(since) > FORCED_WITHIN);
        let at = match join {
            // Header and opening come with or before the first packet.
            Join::Live => Some(from.max(ring.first)).filter(|at| *at < ring.end()),
            // One who was there before there was any misses nothing of what came since.
            Join::Keyframe => newest.filter(|at| *at < from).or_else(next_join),
            Join::Forced => next_join().or_else(|| newest.filter(|_| late())),
            Join::NextKeyframe => next_join(),
            Join::Oldest => ring.joins.front().map(|join| join.at).filter(|at| *at < from).or_else(next_join),
        }?;
        self.place = Place::At(at);
        self.begin = ring.begin_of(at);
        let header = if std::mem::take(&mut self.header) { ring.header_for(at) } else { None };
        self.version = header.map_or(u32::MAX, |header| header.needs);
        let lead = ring.joins.iter().find(|join| join.at == at).and_then(|join| join.lead.as_ref());
        let first = match (&ring.opening, header, lead) {
            (Some(opening), ..) => Some(opening.clone()),
            (None, header, None) => header.cloned(),
            (None, None, Some(lead)) => Some(aside(lead)),
            (None, Some(header), Some(lead)) => Some(aside(&[header.payload(), lead.clone()].concat())),
        };
        first.map(Delivery::Aside).or_else(|| self.next(ring))
    }

    /// Steps over all but the newest packet.
    fn newest(&mut self, ring: &Ring, next: u64) -> Option<Delivery> {
        let newest = ring.end().checked_sub(1).filter(|newest| *newest >= next)?;
        let slot = ring.get_slot(newest)?;
        let thinning = self.thinning.as_mut()?;
        // Where a rate is asked for, what is skipped is no loss.
        if newest > next && thinning.interval.is_zero() {
            self.place = Place::At(newest);
            return Some(Delivery::Gap(newest - next));
        }
        self.place = Place::At(newest + 1);
        thinning.passes(slot.pushed).then(|| Delivery::Packet(slot.packet.clone()))
    }

    /// Steps over all but the newest join point. What is between join points is skipped on purpose; a join point that is
    /// stepped over is lost, for want of time.
    fn newest_join(&mut self, ring: &Ring, next: u64) -> Option<Delivery> {
        let newest = ring.joins.back().filter(|join| join.at >= next)?;
        let missed = ring.joins.iter().map(|join| join.at).find(|at| *at >= next).filter(|at| *at < newest.at);
        if let Some(missed) = missed {
            self.place = Place::At(newest.at);
            return Some(Delivery::Gap(newest.at - missed));
        }
        self.announce(ring, newest)
    }

    fn resume(&mut self, ring: &Ring, next: u64, from: u64) -> Option<Delivery> {
        let join = ring.joins.iter().find(|join| join.at >= from)?;
        // First the gap, then the notice, then the packet.
        if next < join.at {
            self.place = Place::Behind { next: join.at, from: join.at };
            return Some(Delivery::Gap(join.at - next));
        }
        self.announce(ring, join)
    }

    /// Continues at a join point after a loss: first the notice, then the packet.
    fn announce(&mut self, ring: &Ring, join: &JoinPoint) -> Option<Delivery> {
        self.place = Place::Announced(join.at);
        self.begin = ring.begin_of(join.at);
        match join.after_loss() {
            Some(notice) => Some(Delivery::Aside(notice)),
            None => self.take(ring, join.at),
        }
    }
}

/// Lets frames through at a rate, as evenly as they come.
#[derive(Debug)]
struct Thinning {
    interval: Duration,
    /// When the next one may pass.
    due: Option<Instant>,
}

impl Thinning {
    fn new(interval: Duration) -> Self {
        Self { interval, due: None }
    }

    /// Whether the frame that came `at` this moment passes. One that comes a little early does, and moves nothing: a
    /// source with the very rate that is asked for loses none to its jitter.
    fn passes(&mut self, at: Instant) -> bool {
        let due = self.due.unwrap_or(at);
        if at + self.interval / 4 < due {
            return false;
        }
        let late = at.saturating_duration_since(due) > self.interval;
        self.due = Some(if late { at } else { due } + self.interval);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_thinned_evenly() {
        // The frames of two seconds, from a source of so many a second, with jitter.
        #[track_caller]
        fn check(source: u32, jitter: u32, asked: f64, expected: std::ops::RangeInclusive<usize>) {
            let mut thinning = Thinning::new(Duration::from_secs_f64(1.0 / asked));
            let begin = Instant::now();
            let late = |number: u32| Duration::from_millis(u64::from(number * 7919 % (jitter + 1)));
            let times = (0..source * 2).map(|number| begin + Duration::from_secs(1) * number / source + late(number));
            let passed: Vec<Instant> = times.filter(|at| thinning.passes(*at)).collect();
            assert!(expected.contains(&passed.len()), "{} of {source} at {asked}", passed.len());
            let closest = passed.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
            assert!(closest >= Duration::from_secs_f64(0.5 / asked) || asked > f64::from(source), "{closest:?}");
        }
        check(25, 0, 5.0, 10..=11);
        check(25, 8, 25.0, 50..=50);
        check(25, 8, 10.0, 19..=21);
        check(30, 5, 1.5, 3..=4);
        check(25, 8, 60.0, 50..=50);
        check(60, 3, 25.0, 48..=52);
    }
}
