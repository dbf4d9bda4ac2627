//! What one side sends: payloads until they are acknowledged or too late, in a pace that receivers' sockets can take.

use super::{
    key::Parity,
    packet::HEADER,
    rtt::{Rtt, is_tight},
    sequence::{Numbering, Sequence},
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Most packets that wait for their acknowledgement or to be sent.
const MAX_HELD: usize = 8192;
/// A packet that is older than the latency of the connection, and than this, comes too late.
const TOO_LATE: Duration = Duration::from_secs(1);
/// Rounds of acknowledgements that a packet has left then.
const ROUNDS: Duration = Duration::from_millis(20);
/// Receivers acknowledge each 10 ms, and may be a little late.
const ACKNOWLEDGED: Duration = Duration::from_millis(15);
/// Message numbers have 26 bits and begin with 1.
const MESSAGES: u64 = (1 << 26) - 1;

/// The sending half of a connection.
#[derive(Debug)]
pub struct Sender {
    numbering: Numbering,
    /// Packets from `first` on.
    held: VecDeque<Held>,
    first: u64,
    /// The first packet that was never sent.
    unsent: u64,
    unsent_bytes: usize,
    /// Everything before this packet has arrived.
    acknowledged: u64,
    /// Packets to be sent again.
    lost: VecDeque<u64>,
    /// How many packets after `acknowledged` the peer has room for.
    room: u64,
    latency: Duration,
    too_late: Duration,
    again_after: Duration,
    /// From sending a packet to its acknowledgement, smoothed: the peer's own estimate begins at 100 ms and takes long to become true.
    answered: Option<Duration>,
    pace: Pace,
    /// Packets leave that may leave together: the pace has let the first of them go.
    is_sending: bool,
    /// When a packet was acknowledged, or sent while none was on the way.
    progress: Instant,
    /// When a packet was sent last.
    sent: Instant,
    /// Counts for who asks.
    pub counts: Counts,
}

/// What was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that were sent for the first time.
    pub packets: u64,
    /// Packets that were sent again.
    pub resent: u64,
    /// Packets that were dropped because they came too late.
    pub dropped: u64,
}

#[derive(Debug)]
struct Held {
    payload: Bytes,
    /// When it was handed over.
    came: Instant,
    /// When it was sent for the first time: its pace must not use up the latency.
    stamped: Option<Instant>,
    sent: Option<Instant>,
    /// The key that it was encrypted with first.
    parity: Parity,
    is_lost: bool,
}

/// A packet that is to be sent now.
#[derive(Debug)]
pub struct Outgoing {
    /// Its number on the wire.
    pub sequence: Sequence,
    /// That of its message.
    pub message: u32,
    /// When it was sent for the first time.
    pub stamped: Instant,
    /// Whether it was sent before.
    pub is_resent: bool,
    /// The key to encrypt it with.
    pub parity: Parity,
    /// What it carries.
    pub payload: Bytes,
}

impl Sender {
    /// A sender whose first packet has this number, to a receiver that waits for `latency` and has room for `room` packets.
    pub fn new(first: Sequence, latency: Duration, room: u32, now: Instant) -> Self {
        Self {
            numbering: Numbering::new(first),
            held: VecDeque::new(),
            first: 0,
            unsent: 0,
            unsent_bytes: 0,
            acknowledged: 0,
            lost: VecDeque::new(),
            room: room.into(),
            latency,
            too_late: latency.max(TOO_LATE) + ROUNDS,
            again_after: latency / 5,
            answered: None,
            pace: Pace::new(now),
            is_sending: false,
            progress: now,
            sent: now,
            counts: Counts::default(),
        }
    }

    fn end(&self) -> u64 {
        self.first + self.held.len() as u64
    }

    /// Bytes that were never sent.
    pub fn unsent_bytes(&self) -> usize {
        self.unsent_bytes
    }

    /// How many more payloads it takes.
    pub fn free(&self) -> usize {
        MAX_HELD - self.held.len()
    }

    /// Takes a payload; `false` when there are too many.
    pub fn push(&mut self, payload: Bytes, now: Instant) -> bool {
        if self.held.len() >= MAX_HELD || payload.is_empty() {
            return false;
        }
        if self.held.is_empty() {
            self.progress = now;
        }
        self.pace.count(payload.len() + HEADER, now);
        self.unsent_bytes += payload.len();
        self.held.push_back(Held {
            payload,
            came: now,
            stamped: None,
            sent: None,
            parity: Parity::Even,
            is_lost: false,
        });
        true
    }

    /// Everything before this packet has arrived; the receiver has room for so many after it.
    pub fn acknowledge(&mut self, next: Sequence, room: Option<u32>, now: Instant) {
        let Some(number) = self.numbering.number(next, self.acknowledged) else { return };
        // What was not sent cannot have been received.
        if number < self.acknowledged || number > self.unsent {
            return;
        }
        if number > self.acknowledged {
            self.progress = now;
        }
        self.time(number.saturating_sub(1), now);
        self.acknowledged = number;
        self.room = room.map_or(self.room, u64::from);
        while self.first < number && self.held.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// These packets have not arrived. Returns those that will not come any more.
    pub fn report_lost(
        &mut self,
        ranges: &[(Sequence, Sequence)],
        rtt: &Rtt,
        now: Instant,
    ) -> Vec<(Sequence, Sequence)> {
        let mut gone = Vec::new();
        let copies = self.copies(rtt);
        // A round-trip time that is only assumed must not use up the latency, and a report may come a little sooner than it.
        let on_the_way = rtt.time.min(self.again_after) * 3 / 4;
        for (first, last) in ranges {
            let number = |sequence| self.numbering.number(sequence, self.unsent);
            let (Some(first), Some(last)) = (number(*first), number(*last)) else { continue };
            let (first, last) = (first.max(self.acknowledged), last.min(self.unsent.saturating_sub(1)));
            if first < self.first && last >= first {
                let to = last.min(self.first - 1);
                gone.push((self.numbering.sequence(first), self.numbering.sequence(to)));
            }
            for number in first.max(self.first)..=last {
                // The report of a packet that was sent once is about that one; libsrt repeats it late or never. A later one may have been
                // sent before the packet arrived a second time.
                let again = if self.was_resent(number) { on_the_way } else { Duration::ZERO };
                self.mark(number, (again, copies), now);
            }
        }
        gone
    }

    /// The packet is acknowledged now. What was resent does not tell which of both is.
    fn time(&mut self, number: u64, now: Instant) {
        if self.was_resent(number) {
            return;
        }
        let Some(took) = self.held(number).and_then(|held| Some(now.saturating_duration_since(held.sent?))) else {
            return;
        };
        self.answered = Some(match self.answered {
            Some(before) if took > before => before + (took - before) / 8,
            _ => took,
        });
    }

    fn held(&self, number: u64) -> Option<&Held> {
        number.checked_sub(self.first).and_then(|at| self.held.get(usize::try_from(at).ok()?))
    }

    fn was_resent(&self, number: u64) -> bool {
        self.held(number).is_some_and(|held| held.sent != held.stamped)
    }

    /// How many times a lost packet is sent again for each report of it.
    fn copies(&self, rtt: &Rtt) -> usize {
        let round = self.answered.map_or(rtt.time, |answered| answered.min(rtt.time));
        if is_tight(self.latency, round) { 2 } else { 1 }
    }

    fn mark(&mut self, number: u64, (again, copies): (Duration, usize), now: Instant) {
        let Some(held) = number.checked_sub(self.first).and_then(|at| self.held.get_mut(at as usize)) else { return };
        let is_recent = held.sent.is_none_or(|sent| now.saturating_duration_since(sent) < again);
        if !held.is_lost && !is_recent {
            held.is_lost = true;
            self.lost.extend(std::iter::repeat_n(number, copies));
        }
    }

    /// Drops what comes too late, and sends again what was never answered.
    pub fn tick(&mut self, rtt: &Rtt, now: Instant) {
        while self.held.front().is_some_and(|held| now.saturating_duration_since(held.came) >= self.too_late) {
            let Some(held) = self.held.pop_front() else { break };
            if held.sent.is_none() {
                self.unsent_bytes -= held.payload.len();
                self.unsent += 1;
            }
            self.first += 1;
            self.counts.dropped += 1;
        }
        if self.overdue(rtt).is_some_and(|due| due <= now) {
            self.mark(self.first, (Duration::ZERO, self.copies(rtt)), now);
        }
        if self.unanswered(rtt).is_some_and(|due| due <= now) {
            for number in self.first..self.unsent {
                self.mark(number, (rtt.patience(), 1), now);
            }
            self.sent = now;
        }
    }

    /// When the oldest packet counts as lost: its acknowledgement should have come. libsrt reports a loss once, and again only after it
    /// knows the round-trip time; all others wait for this packet.
    fn overdue(&self, rtt: &Rtt) -> Option<Instant> {
        let oldest = self.held.front().filter(|held| !held.is_lost)?;
        let patience = self.answered.map_or(rtt.patience(), |answered| rtt.patience().min(answered));
        Some(oldest.sent? + patience + ACKNOWLEDGED)
    }

    /// When the newest packets count as lost, because the peer could not report that.
    fn unanswered(&self, rtt: &Rtt) -> Option<Instant> {
        let is_quiet = self.unsent == self.end() && self.first < self.unsent && self.lost.is_empty();
        is_quiet.then(|| self.sent.max(self.progress) + rtt.patience() + 2 * ROUNDS)
    }

    /// The next packet that may be sent now, to be called until there is none. A new one is encrypted with the key of this parity.
    pub fn next(&mut self, parity: Parity, now: Instant) -> Option<Outgoing> {
        self.pace.refill(now);
        // However often this is called meanwhile, for each acknowledgement: few packets are not worth a call.
        if !self.is_sending && !self.pace.may_begin(self.waiting()) {
            return None;
        }
        let next = self.take_next(parity, now);
        self.is_sending = next.is_some();
        next
    }

    fn take_next(&mut self, parity: Parity, now: Instant) -> Option<Outgoing> {
        while let Some(number) = self.lost.front().copied() {
            let held = number.checked_sub(self.first).and_then(|at| self.held.get_mut(at as usize));
            let Some(held) = held else {
                // Acknowledged or dropped meanwhile.
                self.lost.pop_front();
                continue;
            };
            if !self.pace.spend(held.payload.len() + HEADER) {
                return None;
            }
            self.lost.pop_front();
            held.is_lost = false;
            held.sent = Some(now);
            self.counts.resent += 1;
            return self.outgoing(number, true, now);
        }
        if self.unsent >= self.acknowledged + self.room {
            return None;
        }
        let held = self.held.get_mut((self.unsent - self.first) as usize)?;
        if !self.pace.spend(held.payload.len() + HEADER) {
            return None;
        }
        (held.sent, held.stamped, held.parity) = (Some(now), Some(now), parity);
        self.unsent_bytes -= held.payload.len();
        self.unsent += 1;
        self.counts.packets += 1;
        self.outgoing(self.unsent - 1, false, now)
    }

    fn outgoing(&mut self, number: u64, is_resent: bool, now: Instant) -> Option<Outgoing> {
        self.sent = now;
        let held = self.held.get((number - self.first) as usize)?;
        Some(Outgoing {
            sequence: self.numbering.sequence(number),
            message: (number % MESSAGES) as u32 + 1,
            stamped: held.stamped.unwrap_or(now),
            is_resent,
            parity: held.parity,
            payload: held.payload.clone(),
        })
    }

    /// Bytes that are to be sent.
    fn waiting(&self) -> usize {
        self.unsent_bytes + self.lost.len() * PACKET
    }

    /// When something is due next.
    pub fn due(&self, rtt: &Rtt) -> Option<Instant> {
        let has_room = self.unsent < self.acknowledged + self.room;
        let waits = !self.lost.is_empty() || (self.unsent < self.end() && has_room);
        let late = self.held.front().map(|held| held.came + self.too_late);
        [waits.then(|| self.pace.due(self.waiting())), late, self.overdue(rtt), self.unanswered(rtt)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Since when the receiver has acknowledged nothing of what was sent; `None` when it owes nothing.
    pub fn stuck_since(&self) -> Option<Instant> {
        (self.first < self.end()).then_some(self.progress)
    }
}

/// How fast packets may leave. The receivers' sockets hold about a hundred of them, which a keyframe alone may be.
#[derive(Debug)]
struct Pace {
    /// Bytes in a second.
    rate: f64,
    /// Bytes that may leave now.
    tokens: f64,
    refilled: Instant,
    measured: f64,
    since: Instant,
    bytes: usize,
}

/// Bytes that leave together, of what is too much to leave in one call.
const BURST: f64 = 16.0 * PACKET as f64;
/// Bytes that leave together after a pause: a whole frame of most streams, whose last packet need not come later than its first, and
/// less than half of what receivers' sockets hold.
const SAVED: f64 = 40.0 * PACKET as f64;
/// Bytes of a whole packet.
const PACKET: usize = 1316 + HEADER;
/// Bytes in a second that are always allowed: 24 Mbit/s.
const LEAST: f64 = 3e6;
/// So much faster than the stream itself: resent packets, and what a new viewer gets first, must catch up.
const FACTOR: f64 = 3.0;
/// How long the rate of the stream is measured.
const MEASURE: Duration = Duration::from_millis(500);

impl Pace {
    fn new(now: Instant) -> Self {
        Self { rate: LEAST, tokens: BURST, refilled: now, measured: 0.0, since: now, bytes: 0 }
    }

    fn count(&mut self, bytes: usize, now: Instant) {
        self.bytes += bytes;
        let time = now.saturating_duration_since(self.since);
        if time >= MEASURE {
            let newest = self.bytes as f64 / time.as_secs_f64();
            self.measured = newest.max((self.measured * 3.0 + newest) / 4.0);
            self.rate = (self.measured * FACTOR).max(LEAST);
            (self.since, self.bytes) = (now, 0);
        }
    }

    fn refill(&mut self, now: Instant) {
        let time = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.refilled = self.refilled.max(now);
        self.tokens = (self.tokens + time * self.rate).min(SAVED.max(self.rate / 500.0));
    }

    fn spend(&mut self, bytes: usize) -> bool {
        let may = self.tokens > 0.0;
        if may {
            self.tokens -= bytes as f64;
        }
        may
    }

    /// What is needed before the first of so many bytes that wait may leave. They leave together, up to a burst: each call costs as much as
    /// several packets, and the last of a frame leaves no later for it.
    fn needed(waiting: usize) -> f64 {
        BURST.min((waiting + HEADER) as f64)
    }

    /// Whether packets may leave now.
    fn may_begin(&self, waiting: usize) -> bool {
        // Times are in whole nanoseconds.
        self.tokens + 1.0 >= Self::needed(waiting)
    }

    /// When packets may leave, of so many bytes that wait.
    fn due(&self, waiting: usize) -> Instant {
        let missing = (Self::needed(waiting) - self.tokens).max(0.0);
        self.refilled + Duration::from_secs_f64(missing / self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(begin: Instant, millis: u64) -> Instant {
        begin + Duration::from_millis(millis)
    }

    fn sender(room: u32, now: Instant) -> Sender {
        Sender::new(Sequence::new(0x7FFF_FFFF), Duration::from_millis(120), room, now)
    }

    fn rtt() -> Rtt {
        let mut rtt = Rtt::default();
        rtt.sample(Duration::from_millis(20));
        rtt
    }

    fn sent(sender: &mut Sender, now: Instant) -> Vec<(u32, bool)> {
        std::iter::from_fn(|| sender.next(Parity::Even, now)).map(|out| (out.sequence.get(), out.is_resent)).collect()
    }

    fn push(sender: &mut Sender, count: usize, now: Instant) {
        (0..count).for_each(|_| assert!(sender.push(Bytes::from_static(&[0; 1316]), now)));
    }

    #[test]
    fn lost_packets_are_sent_again_before_new_ones() {
        let begin = Instant::now();
        let mut sender = sender(100, begin);
        push(&mut sender, 3, begin);
        assert_eq!(sent(&mut sender, begin), [(0x7FFF_FFFF, false), (0, false), (1, false)]);
        let seq = Sequence::new;
        // However soon: the receiver has got the next one. And twice, as the round trip is assumed to be long.
        assert_eq!(sender.report_lost(&[(seq(0), seq(0))], &Rtt::default(), at(begin, 5)), []);
        push(&mut sender, 1, at(begin, 5));
        assert_eq!(sent(&mut sender, at(begin, 5)), [(0, true), (0, true), (2, false)]);
        // Too soon: it may be on its way still.
        sender.report_lost(&[(seq(0), seq(0))], &rtt(), at(begin, 14));
        assert_eq!(sent(&mut sender, at(begin, 14)), []);
        sender.report_lost(&[(seq(0), seq(0))], &rtt(), at(begin, 21));
        assert_eq!(sent(&mut sender, at(begin, 21)), [(0, true)]);
        sender.acknowledge(seq(1), Some(50), at(begin, 40));
        assert_eq!((sender.held.len(), sender.stuck_since()), (2, Some(at(begin, 40))));
        // Of what has arrived, and of what was never sent, nothing is sent again.
        sender.report_lost(&[(seq(0x7FFF_FFFF), seq(0)), (seq(9), seq(10))], &rtt(), at(begin, 90));
        assert_eq!(sent(&mut sender, at(begin, 90)), []);
        sender.acknowledge(seq(3), Some(50), at(begin, 100));
        assert_eq!((sender.stuck_since(), sender.due(&rtt())), (None, None));
        sender.acknowledge(seq(9), Some(50), at(begin, 100));
        assert_eq!(sender.acknowledged, 4);
    }

    #[test]
    fn the_newest_packets_are_sent_again_by_themselves() {
        let begin = Instant::now();
        let mut sender = sender(100, begin);
        push(&mut sender, 2, begin);
        sent(&mut sender, begin);
        // A round of 20 ms + 4 x 10 ms, and 15 ms for the oldest, 40 ms for the others.
        assert_eq!(sender.due(&rtt()), Some(at(begin, 75)));
        sender.tick(&rtt(), at(begin, 75));
        assert_eq!(sent(&mut sender, at(begin, 75)), [(0x7FFF_FFFF, true)]);
        sender.acknowledge(Sequence::new(0), None, at(begin, 95));
        sender.tick(&rtt(), at(begin, 95));
        assert_eq!(sent(&mut sender, at(begin, 95)), [(0, true)]);
    }

    #[test]
    fn what_is_too_late_is_dropped_and_said_so() {
        let begin = Instant::now();
        let mut sender = sender(1, begin);
        push(&mut sender, 2, begin);
        assert_eq!(sent(&mut sender, begin), [(0x7FFF_FFFF, false)]);
        assert_eq!(sender.unsent_bytes(), 1316);
        sender.tick(&rtt(), at(begin, 1020));
        assert_eq!((sender.counts.dropped, sender.unsent_bytes(), sender.held.len()), (2, 0, 0));
        let seq = Sequence::new;
        let gone = sender.report_lost(&[(seq(0x7FFF_FFFF), seq(0))], &rtt(), at(begin, 1020));
        assert_eq!(gone, [(seq(0x7FFF_FFFF), seq(0))]);
        // The receiver has passed over them.
        sender.acknowledge(seq(1), Some(10), at(begin, 1030));
        push(&mut sender, 1, at(begin, 1030));
        assert_eq!(sent(&mut sender, at(begin, 1030)), [(1, false)]);
    }

    #[test]
    fn a_receiver_without_room_gets_nothing_new() {
        let begin = Instant::now();
        let mut sender = sender(2, begin);
        push(&mut sender, 3, begin);
        assert_eq!(sent(&mut sender, begin).len(), 2);
        sender.acknowledge(Sequence::new(0), Some(1), at(begin, 1));
        assert_eq!(sent(&mut sender, at(begin, 1)), []);
        sender.acknowledge(Sequence::new(1), Some(1), at(begin, 2));
        assert_eq!(sent(&mut sender, at(begin, 2)).len(), 1);
    }

    #[test]
    fn a_large_frame_is_spread() {
        let begin = Instant::now();
        let mut sender = sender(8192, begin);
        push(&mut sender, 300, begin);
        let first = sent(&mut sender, begin).len();
        assert!((16..=17).contains(&first), "{first}");
        let (mut now, mut count) = (begin, first);
        while count < 300 {
            let due = sender.due(&rtt()).unwrap();
            assert!(due > now);
            now = due;
            let more = sent(&mut sender, now).len();
            assert!((1..=17).contains(&more), "{more}");
            count += more;
            sender.acknowledge(Sequence::new(0x7FFF_FFFF).plus(count as u64), None, now);
        }
        let took = now - begin;
        assert!((100..=140).contains(&took.as_millis()), "{took:?}");
    }

    #[test]
    fn the_rest_of_a_frame_leaves_together_and_no_later_than_it_may() {
        let check = |packets: usize, expect: &[(usize, u128)]| {
            let begin = Instant::now();
            let mut sender = sender(8192, begin);
            push(&mut sender, packets, begin);
            let mut found = vec![(sent(&mut sender, begin).len(), 0)];
            while found.iter().map(|(count, _)| count).sum::<usize>() < packets {
                let now = sender.due(&rtt()).unwrap();
                found.push((sent(&mut sender, now).len(), (now - begin).as_micros()));
            }
            assert_eq!(found, expect, "{packets}");
        };
        // At 3 MB/s, a packet in 0.444 ms.
        check(16, &[(16, 0)]);
        check(17, &[(16, 0), (1, 444)]);
        check(31, &[(16, 0), (15, 6585)]);
        check(40, &[(16, 0), (16, 7104), (8, 10_618)]);
    }

    #[test]
    fn a_frame_after_a_pause_leaves_together_and_a_larger_one_in_groups() {
        let begin = Instant::now();
        for (packets, expect) in [(38, &[38][..]), (64, &[40, 16, 8])] {
            let mut sender = sender(8192, begin);
            let mut now = at(begin, 40);
            push(&mut sender, packets, now);
            let mut found = Vec::new();
            while found.iter().sum::<usize>() < packets {
                found.push(sent(&mut sender, now).len());
                now = sender.due(&rtt()).unwrap();
            }
            assert_eq!(found, expect);
        }
    }

    /// Acknowledgements come at any time, and each has the sender look whether it may send.
    #[test]
    fn acknowledgements_do_not_take_groups_apart() {
        let begin = Instant::now();
        let mut sender = sender(8192, begin);
        push(&mut sender, 32, begin);
        assert_eq!(sent(&mut sender, begin).len(), 16);
        for millis in 1..=7 {
            sender.acknowledge(Sequence::new(0x7FFF_FFFF).plus(2 * millis), None, at(begin, millis));
            assert_eq!(sent(&mut sender, at(begin, millis)), [], "{millis} ms");
        }
        assert_eq!(sent(&mut sender, at(begin, 8)).len(), 16);
    }

    proptest! {
        /// Whatever the peer answers: no panic, and memory is bounded.
        #[test]
        fn answers_break_nothing(
            first in any::<u32>(), answers in prop::collection::vec((0u8..5, any::<u32>(), 0u32..300, 0u64..300), 1..200)
        ) {
            let begin = Instant::now();
            let mut sender = Sender::new(Sequence::new(first), Duration::from_millis(120), 8192, begin);
            let mut now = begin;
            for (kind, number, near, pause) in answers {
                now += Duration::from_millis(pause);
                let sequence = Sequence::new(if kind == 3 { number } else { first.wrapping_add(near) });
                match kind {
                    0 => sender.acknowledge(sequence, Some(near), now),
                    1 | 3 => { sender.report_lost(&[(sequence, sequence.plus(u64::from(near)))], &rtt(), now); }
                    2 => sender.tick(&rtt(), now),
                    _ => push(&mut sender, 30, now),
                }
                while sender.next(Parity::Even, now).is_some() {}
                prop_assert!(sender.lost.len() <= sender.held.len() + MAX_HELD);
                let unsent: usize = sender.held.iter().filter(|held| held.sent.is_none()).map(|held| held.payload.len()).sum();
                prop_assert_eq!(sender.unsent_bytes(), unsent);
                prop_assert!(sender.first <= sender.unsent && sender.unsent <= sender.end());
            }
        }
    }
}
