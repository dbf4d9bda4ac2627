//! What one side receives: packets in their order, losses to report, and acknowledgements.
//!
//! Payloads are delivered as soon as everything before them is there. The latency of the connection only decides when a packet that
//! does not come is given up.

use super::{
    packet::Ack,
    rtt::{Rtt, is_tight},
    sequence::{Numbering, Sequence},
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// Most packets that are held: eight seconds of 10 Mbit/s.
pub const WINDOW: u64 = 8192;
/// Interval of acknowledgements.
const ACK_EACH: Duration = Duration::from_millis(10);
/// Losses are reported again no sooner than this.
const NAK_EACH: Duration = Duration::from_millis(20);
/// And no sooner than this where the latency [is tight](is_tight).
const NAK_SOONEST: Duration = Duration::from_millis(10);
/// Acknowledgements whose answer may still come.
const MAX_ASKED: usize = 64;
/// Most ranges of a report of losses.
const MAX_RANGES: usize = 128;

/// The receiving half of a connection.
#[derive(Debug)]
pub struct Receiver {
    numbering: Numbering,
    latency: Duration,
    /// The packet that is delivered next.
    next: u64,
    /// Packets from `next` on, as far as they are there. The last one is.
    held: VecDeque<Option<Held>>,
    /// What is missing before the newest packet, and when that was reported last.
    missing: BTreeMap<u64, Instant>,
    acks: Acks,
    rate: Rate,
    /// Counts for who asks.
    pub counts: Counts,
}

/// What was received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that were of use.
    pub packets: u64,
    /// Packets that were repeated, or too late.
    pub repeated: u64,
    /// Packets that were missing when later ones came.
    pub missed: u64,
    /// Packets that were given up.
    pub lost: u64,
}

#[derive(Debug)]
struct Held {
    payload: Bytes,
    came: Instant,
}

/// Packets that are missing, first and last of each range.
pub type Ranges = Vec<(Sequence, Sequence)>;

impl Receiver {
    /// A receiver whose first packet has this number.
    pub fn new(first: Sequence, latency: Duration) -> Self {
        Self {
            numbering: Numbering::new(first),
            latency,
            next: 0,
            held: VecDeque::new(),
            missing: BTreeMap::new(),
            acks: Acks::default(),
            rate: Rate::default(),
            counts: Counts::default(),
        }
    }

    /// One after the newest packet.
    fn end(&self) -> u64 {
        self.next + self.held.len() as u64
    }

    /// Whether a packet is of use: not there yet, and not given up.
    pub fn wants(&mut self, sequence: Sequence) -> bool {
        let wants = match self.numbering.number(sequence, self.end()) {
            Some(number) if number >= self.next => {
                self.held.get((number - self.next) as usize).is_none_or(Option::is_none)
            }
            _ => false,
        };
        self.counts.repeated += u64::from(!wants);
        wants
    }

    /// Takes a packet that [`Receiver::wants`]. Returns what is missing since, to be reported immediately.
    pub fn take(&mut self, sequence: Sequence, payload: Bytes, now: Instant, out: &mut Vec<Bytes>) -> Ranges {
        let Some(number) = self.numbering.number(sequence, self.end()).filter(|number| *number >= self.next) else {
            return Ranges::new();
        };
        if number - self.next >= WINDOW {
            // The sender is so far ahead that nothing in between will come.
            self.flush(number, out);
        }
        self.counts.packets += 1;
        self.rate.count(payload.len(), now);
        let end = self.end();
        let gap = end..number;
        self.counts.missed += number.saturating_sub(end);
        for lost in gap.clone() {
            self.missing.insert(lost, now);
            self.held.push_back(None);
        }
        let held = Some(Held { payload, came: now });
        match self.held.get_mut((number - self.next) as usize) {
            Some(slot) => {
                *slot = held;
                self.missing.remove(&number);
            }
            None => self.held.push_back(held),
        }
        self.deliver(now, out);
        if gap.is_empty() {
            return Ranges::new();
        }
        vec![(self.numbering.sequence(gap.start), self.numbering.sequence(gap.end - 1))]
    }

    /// The sender does not have these packets any more.
    pub fn give_up(&mut self, first: Sequence, last: Sequence, now: Instant, out: &mut Vec<Bytes>) {
        let Some(last) = self.numbering.number(last, self.end()) else { return };
        let first = self.numbering.number(first, self.end()).unwrap_or(0).max(self.next);
        if last < first || last - self.next >= WINDOW {
            return;
        }
        while self.end() <= last {
            self.held.push_back(None);
        }
        let lost: Vec<u64> = self.missing.range(first..=last).map(|(number, _)| *number).collect();
        lost.iter().for_each(|number| {
            self.missing.remove(number);
        });
        self.deliver(now, out);
        // What is missing at the front and is not waited for is passed over.
        while self.held.front().is_some_and(Option::is_none) && !self.missing.contains_key(&self.next) {
            self.held.pop_front();
            self.next += 1;
            self.counts.lost += 1;
            self.deliver(now, out);
        }
    }

    /// Delivers what is due by now.
    pub fn deliver(&mut self, now: Instant, out: &mut Vec<Bytes>) {
        loop {
            while let Some(Some(_)) = self.held.front() {
                if let Some(Some(held)) = self.held.pop_front() {
                    out.push(held.payload);
                    self.next += 1;
                }
            }
            // A gap is given up when the packet after it has waited for the whole latency.
            match self.gap_until() {
                Some((packets, until)) if until <= now => {
                    for _ in 0..packets {
                        self.held.pop_front();
                        self.missing.remove(&self.next);
                        self.next += 1;
                        self.counts.lost += 1;
                    }
                }
                _ => return,
            }
        }
    }

    /// The length of the gap at the front, and until when it is waited for.
    fn gap_until(&self) -> Option<(usize, Instant)> {
        let mut behind = self.held.iter().enumerate();
        behind.find_map(|(at, held)| Some((at, held.as_ref()?.came + self.latency)))
    }

    /// Everything that is held goes out, and `next` is the packet that is expected.
    fn flush(&mut self, next: u64, out: &mut Vec<Bytes>) {
        let missing = self.held.iter().filter(|held| held.is_none()).count() as u64;
        self.counts.lost += missing + next.saturating_sub(self.end());
        out.extend(self.held.drain(..).flatten().map(|held| held.payload));
        self.missing.clear();
        self.next = next;
    }

    /// Losses that are to be reported again.
    pub fn losses(&mut self, now: Instant, rtt: &Rtt) -> Ranges {
        let again = self.nak_interval(rtt);
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for (number, reported) in &mut self.missing {
            if now.saturating_duration_since(*reported) < again {
                continue;
            }
            let is_full = ranges.len() == MAX_RANGES;
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == *number => *last = *number,
                _ if is_full => break,
                _ => ranges.push((*number, *number)),
            }
            *reported = now;
        }
        let wire = |number| self.numbering.sequence(number);
        ranges.into_iter().map(|(first, last)| (wire(first), wire(last))).collect()
    }

    /// The acknowledgement that is due, with its number and the rates of packets and bytes.
    pub fn ack(&mut self, now: Instant, rtt: &Rtt) -> Option<(u32, Ack, (u32, u32))> {
        let position = self.acknowledged();
        let number = self.acks.ask(position, now, rtt)?;
        let room = WINDOW.saturating_sub(self.held.len() as u64);
        let next = self.numbering.sequence(position);
        let ack = Ack { next, rtt: Some((rtt.time, rtt.variance)), room: u32::try_from(room).ok() };
        Some((number, ack, self.rate.read()))
    }

    /// Everything before this packet is there or given up.
    fn acknowledged(&self) -> u64 {
        self.missing.keys().next().copied().unwrap_or(self.end())
    }

    /// The answer to an acknowledgement came: how long the round took.
    pub fn ack_answered(&mut self, number: u32, now: Instant) -> Option<Duration> {
        self.acks.answered(number, now)
    }

    /// When something is due next.
    pub fn due(&self, rtt: &Rtt) -> Option<Instant> {
        let gap = self.held.front().filter(|held| held.is_none()).and_then(|_| self.gap_until());
        let nak = self.missing.values().min().map(|reported| *reported + self.nak_interval(rtt));
        [gap.map(|(_, until)| until), nak, self.acks.due(self.acknowledged(), rtt)].into_iter().flatten().min()
    }

    /// When a loss is reported again. A latency of few round trips leaves no time to wait until the first report is answered.
    fn nak_interval(&self, rtt: &Rtt) -> Duration {
        match is_tight(self.latency, rtt.time) {
            true => (self.latency / 8).max(NAK_SOONEST),
            false => (rtt.patience() / 2).max(rtt.time).max(NAK_EACH),
        }
    }
}

/// Acknowledgements, until the sender has answered the newest one.
#[derive(Debug, Default)]
struct Acks {
    number: u32,
    sent: Option<(Instant, u64)>,
    /// Everything before this packet needs no acknowledgement any more.
    confirmed: u64,
    asked: VecDeque<(u32, Instant, u64)>,
}

impl Acks {
    fn due(&self, position: u64, rtt: &Rtt) -> Option<Instant> {
        let (at, sent) = match self.sent {
            _ if position <= self.confirmed => return None,
            Some(sent) => sent,
            // Nothing was acknowledged yet.
            None => return self.asked.front().map(|(_, at, _)| *at),
        };
        Some(at + if position == sent { rtt.patience().max(ACK_EACH) } else { ACK_EACH })
    }

    /// The number of the acknowledgement to be sent now.
    fn ask(&mut self, position: u64, now: Instant, rtt: &Rtt) -> Option<u32> {
        if position <= self.confirmed || self.due(position, rtt).is_some_and(|due| due > now) {
            return None;
        }
        // Zero is for those without an answer.
        self.number = self.number.checked_add(1).unwrap_or(1);
        self.sent = Some((now, position));
        if self.asked.len() == MAX_ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back((self.number, now, position));
        Some(self.number)
    }

    fn answered(&mut self, number: u32, now: Instant) -> Option<Duration> {
        let (_, asked, position) = *self.asked.iter().find(|(known, _, _)| *known == number)?;
        self.asked.retain(|(_, at, _)| *at > asked);
        self.confirmed = self.confirmed.max(position);
        Some(now.saturating_duration_since(asked))
    }
}

/// Packets and bytes of the last whole second.
#[derive(Debug, Default)]
struct Rate {
    since: Option<Instant>,
    now: (u32, u32),
    last: (u32, u32),
}

impl Rate {
    fn count(&mut self, bytes: usize, now: Instant) {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= Duration::from_secs(1) {
            (self.since, self.last, self.now) = (Some(now), self.now, (0, 0));
        }
        let (packets, sum) = &mut self.now;
        *packets = packets.saturating_add(1);
        *sum = sum.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    fn read(&self) -> (u32, u32) {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LATENCY: Duration = Duration::from_millis(120);

    struct Rig {
        receiver: Receiver,
        out: Vec<Bytes>,
        begin: Instant,
    }

    impl Rig {
        fn new(first: u32) -> Self {
            let receiver = Receiver::new(Sequence::new(first), LATENCY);
            Self { receiver, out: Vec::new(), begin: Instant::now() }
        }

        fn at(&self, millis: u64) -> Instant {
            self.begin + Duration::from_millis(millis)
        }

        /// Packet `number` at this time; what is reported missing, and what is delivered.
        fn take(&mut self, number: u32, millis: u64) -> (Vec<(u32, u32)>, String) {
            let (sequence, now) = (Sequence::new(number), self.at(millis));
            let mut ranges = Ranges::new();
            if self.receiver.wants(sequence) {
                ranges = self.receiver.take(sequence, Bytes::from(number.to_string()), now, &mut self.out);
            }
            (plain(&ranges), self.delivered())
        }

        fn delivered(&mut self) -> String {
            let texts: Vec<_> = self.out.drain(..).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect();
            texts.join(" ")
        }
    }

    fn plain(ranges: &Ranges) -> Vec<(u32, u32)> {
        ranges.iter().map(|(first, last)| (first.get(), last.get())).collect()
    }

    fn told(ranges: &[(u32, u32)], delivered: &str) -> (Vec<(u32, u32)>, String) {
        (ranges.to_vec(), delivered.to_owned())
    }

    #[test]
    fn packets_are_delivered_in_order_and_immediately() {
        let mut rig = Rig::new(0x7FFF_FFFE);
        assert_eq!(rig.take(0x7FFF_FFFE, 0), told(&[], "2147483646"));
        assert_eq!(rig.take(1, 1), told(&[(0x7FFF_FFFF, 0)], ""));
        assert_eq!(rig.take(0x7FFF_FFFF, 2), told(&[], "2147483647"));
        assert_eq!(rig.take(0x7FFF_FFFF, 3), told(&[], ""));
        assert_eq!(rig.take(0, 4), told(&[], "0 1"));
        assert_eq!(rig.take(2, 5), told(&[], "2"));
        let counts = Counts { packets: 5, repeated: 1, missed: 2, lost: 0 };
        assert_eq!(rig.receiver.counts, counts);
    }

    #[test]
    fn a_gap_is_reported_again_and_given_up_after_the_latency() {
        let (mut rig, mut rtt) = (Rig::new(0), Rtt::default());
        rtt.sample(Duration::from_millis(20));
        rig.take(0, 0);
        assert_eq!(rig.take(3, 10), told(&[(1, 2)], ""));
        let now = rig.at(39);
        assert_eq!(plain(&rig.receiver.losses(now, &rtt)), []);
        let now = rig.at(40);
        assert_eq!(plain(&rig.receiver.losses(now, &rtt)), [(1, 2)]);
        rig.take(2, 60);
        let now = rig.at(100);
        assert_eq!(plain(&rig.receiver.losses(now, &rtt)), [(1, 1)]);
        let (before, due) = (rig.at(129), rig.at(130));
        rig.receiver.deliver(before, &mut rig.out);
        assert_eq!(rig.delivered(), "");
        // Packet 3 came first after the gap; packet 2 later.
        rig.receiver.deliver(due, &mut rig.out);
        assert_eq!(rig.delivered(), "");
        let late = rig.at(180);
        rig.receiver.deliver(late, &mut rig.out);
        assert_eq!((rig.delivered().as_str(), rig.receiver.counts.lost), ("2 3", 1));
        assert_eq!(rig.take(1, 190), told(&[], ""));
    }

    #[test]
    fn a_gap_is_reported_sooner_where_the_latency_has_few_round_trips() {
        let (mut rig, mut rtt) = (Rig::new(0), Rtt::default());
        rtt.sample(Duration::from_millis(30));
        rig.take(0, 0);
        assert_eq!(rig.take(2, 10), told(&[(1, 1)], ""));
        for (millis, expected) in [(24, &[][..]), (25, &[(1, 1)]), (39, &[]), (40, &[(1, 1)])] {
            let now = rig.at(millis);
            assert_eq!(plain(&rig.receiver.losses(now, &rtt)), expected, "{millis}");
        }
    }

    #[test]
    fn what_the_sender_does_not_have_is_not_waited_for() {
        let mut rig = Rig::new(0);
        rig.take(0, 0);
        rig.take(3, 1);
        let now = rig.at(2);
        rig.receiver.give_up(Sequence::new(1), Sequence::new(2), now, &mut rig.out);
        assert_eq!((rig.delivered().as_str(), rig.receiver.counts.lost), ("3", 2));
        // Also what was not missed yet.
        rig.receiver.give_up(Sequence::new(4), Sequence::new(5), now, &mut rig.out);
        assert_eq!(rig.take(6, 3), told(&[], "6"));
        rig.receiver.give_up(Sequence::new(0), Sequence::new(3), now, &mut rig.out);
        rig.receiver.give_up(Sequence::new(9), Sequence::new(7), now, &mut rig.out);
        rig.receiver.give_up(Sequence::new(7), Sequence::new(0x3000_0000), now, &mut rig.out);
        assert_eq!(rig.take(7, 4), told(&[], "7"));
    }

    #[test]
    fn acknowledgements_are_repeated_until_they_are_answered() {
        let (mut rig, mut rtt) = (Rig::new(0), Rtt::default());
        rtt.sample(Duration::from_millis(10));
        let ack = |rig: &mut Rig, millis| {
            let now = rig.at(millis);
            rig.receiver.ack(now, &rtt).map(|(number, ack, _)| (number, ack.next.get(), ack.room))
        };
        assert_eq!(ack(&mut rig, 0), None);
        rig.take(0, 1);
        assert_eq!(ack(&mut rig, 1), Some((1, 1, Some(8192))));
        rig.take(1, 2);
        assert_eq!(ack(&mut rig, 3), None);
        assert_eq!(ack(&mut rig, 11), Some((2, 2, Some(8192))));
        rig.take(3, 12);
        assert_eq!(ack(&mut rig, 40), None);
        assert_eq!(ack(&mut rig, 41), Some((3, 2, Some(8190))));
        let now = rig.at(45);
        assert_eq!(rig.receiver.ack_answered(2, now), Some(Duration::from_millis(34)));
        assert_eq!((rig.receiver.ack_answered(2, now), rig.receiver.ack_answered(9, now)), (None, None));
        assert_eq!(ack(&mut rig, 300), None);
    }

    #[test]
    fn a_jump_far_ahead_is_followed() {
        let mut rig = Rig::new(0);
        rig.take(0, 0);
        rig.take(2, 0);
        assert_eq!(rig.take(100_000, 1), told(&[], "2 100000"));
        assert_eq!(rig.receiver.counts.lost, 1 + 99_997);
    }

    proptest! {
        /// Whatever comes, in whatever order: what is delivered grows, and memory is bounded.
        #[test]
        fn order_is_kept_and_memory_is_bounded(
            first in any::<u32>(), packets in prop::collection::vec((0u64..20_000, 0u8..20), 1..300)
        ) {
            let numbering = Numbering::new(Sequence::new(first));
            let (mut receiver, mut now, rtt) = (Receiver::new(Sequence::new(first), LATENCY), Instant::now(), Rtt::default());
            let mut delivered = Vec::new();
            for (number, kind) in packets {
                now += Duration::from_millis(3);
                let sequence = numbering.sequence(number);
                let mut out = Vec::new();
                match kind {
                    0 => receiver.give_up(sequence, numbering.sequence(number + 20), now, &mut out),
                    1 => { receiver.losses(now, &rtt); }
                    2 => { receiver.ack(now, &rtt); }
                    _ if receiver.wants(sequence) => {
                        let payload = Bytes::copy_from_slice(&number.to_be_bytes());
                        receiver.take(sequence, payload, now, &mut out);
                    }
                    _ => {}
                }
                receiver.deliver(now, &mut out);
                delivered.extend(out.iter().map(|bytes| u64::from_be_bytes(bytes[..].try_into().unwrap())));
                prop_assert!(receiver.held.len() as u64 <= WINDOW + 1 && receiver.missing.len() as u64 <= WINDOW);
            }
            prop_assert!(delivered.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", delivered);
        }
    }
}
