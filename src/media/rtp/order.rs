//! Packets that overtook each other → packets in order, without duplicates.

use super::packet::Packet;
use std::{collections::VecDeque, time::Duration};

/// Most packets that wait for one that is missing, and how long it is waited for, where nothing but the network delays it.
const OVERTAKEN: Patience = Patience { packets: 128, wait: Duration::from_millis(100) };
/// A packet that is further ahead than this belongs to a sender that began again (RFC 3550, appendix A.1).
const MAX_DROPOUT: i16 = 3000;
/// A packet that is further behind than this, too.
const MAX_MISORDER: i16 = -1000;

/// How long a missing packet is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Most packets that wait for it.
    pub packets: usize,
    /// The longest time that they wait.
    pub wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        OVERTAKEN
    }
}

/// The packets of one track.
#[derive(Debug, Default)]
pub struct Order {
    patience: Patience,
    /// The number that comes next.
    next: Option<u16>,
    /// Those that are ahead, in order, with the time that they came.
    waiting: VecDeque<(Packet, Duration)>,
    /// Packets that were further away than a missing one explains, without one that fits, and the number after the last of them.
    strangers: u8,
    stranger_next: u16,
}

impl Order {
    /// Takes a packet that comes at `now`, on any clock that does not step. Those that are in order are appended to `out`.
    pub fn push(&mut self, packet: Packet, now: Duration, out: &mut Vec<Packet>) {
        let sequence = packet.header.sequence;
        let next = *self.next.get_or_insert(sequence);
        let distance = sequence.wrapping_sub(next) as i16;
        if !(MAX_MISORDER..=MAX_DROPOUT).contains(&distance) {
            return self.stranger(packet, out);
        }
        self.strangers = 0;
        if distance < 0 {
            // Too late, or there already.
            return self.expire(now, out);
        }
        if distance == 0 {
            self.next = Some(sequence.wrapping_add(1));
            out.push(packet);
        } else {
            let of = |packet: &Packet| packet.header.sequence.wrapping_sub(next);
            let place = self.waiting.partition_point(|(waiting, _)| of(waiting) < distance as u16);
            if self.waiting.get(place).is_none_or(|(waiting, _)| waiting.header.sequence != sequence) {
                self.waiting.insert(place, (packet, now));
            }
        }
        self.release(out);
        self.expire(now, out);
    }

    /// Until when [`Order::expire`] has nothing to do; `None` while nothing waits.
    pub fn deadline(&self) -> Option<Duration> {
        self.waiting.iter().map(|(_, came)| *came).min().map(|came| came + self.patience.wait)
    }

    /// From now on missing packets are waited for so long.
    pub fn wait_for(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// Gives up what is missing before the packet with this number, which is not far away.
    pub fn give_up_before(&mut self, sequence: u16, out: &mut Vec<Packet>) {
        let is_before = |(packet, _): &(Packet, Duration)| sequence.wrapping_sub(packet.header.sequence) as i16 >= 0;
        while let Some((packet, _)) = self.waiting.front().filter(|front| is_before(front)) {
            self.next = Some(packet.header.sequence);
            self.release(out);
        }
    }

    /// Gives up packets that are missing for too long.
    pub fn expire(&mut self, now: Duration, out: &mut Vec<Packet>) {
        while self.waiting.len() > self.patience.packets || self.deadline().is_some_and(|deadline| deadline <= now) {
            self.next = self.waiting.front().map(|(packet, _)| packet.header.sequence);
            self.release(out);
        }
    }

    /// What waits and is in order leaves.
    fn release(&mut self, out: &mut Vec<Packet>) {
        while self.waiting.front().is_some_and(|(packet, _)| Some(packet.header.sequence) == self.next) {
            let Some((packet, _)) = self.waiting.pop_front() else { return };
            self.next = Some(packet.header.sequence.wrapping_add(1));
            out.push(packet);
        }
    }

    /// One is damaged or forged; two that follow each other are a sender that began again.
    fn stranger(&mut self, packet: Packet, out: &mut Vec<Packet>) {
        let sequence = packet.header.sequence;
        let follows = self.strangers > 0 && self.stranger_next == sequence;
        self.stranger_next = sequence.wrapping_add(1);
        self.strangers = 1;
        if follows {
            self.strangers = 0;
            out.extend(self.waiting.drain(..).map(|(packet, _)| packet));
            self.next = Some(self.stranger_next);
            out.push(packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Header;
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn packet(sequence: u16) -> Packet {
        let header = Header { payload_type: 96, marker: false, sequence, timestamp: 0, ssrc: 0 };
        Packet { header, payload: Bytes::from_static(b"x") }
    }

    /// What comes out of these numbers, one each millisecond.
    fn ordered(numbers: &[u16]) -> Vec<u16> {
        let (mut order, mut out) = (Order::default(), Vec::new());
        for (at, number) in (0u64..).zip(numbers) {
            order.push(packet(*number), Duration::from_millis(at), &mut out);
        }
        order.expire(Duration::MAX, &mut out);
        out.iter().map(|packet| packet.header.sequence).collect()
    }

    #[test]
    fn packets_are_sorted_and_duplicates_dropped() {
        assert_eq!(ordered(&[65_534, 0, 65_535, 1, 1, 0, 3, 2]), [65_534, 65_535, 0, 1, 2, 3]);
        assert_eq!(ordered(&[5, 7, 8, 4]), [5, 7, 8], "6 is lost, 4 came too late");
    }

    #[test]
    fn a_missing_packet_is_waited_for_only_so_long() {
        let (mut order, mut out) = (Order::default(), Vec::new());
        let at = Duration::from_millis;
        order.push(packet(1), at(0), &mut out);
        order.push(packet(3), at(10), &mut out);
        order.push(packet(4), at(20), &mut out);
        assert_eq!((out.len(), order.deadline()), (1, Some(at(110))));
        order.expire(at(109), &mut out);
        assert_eq!(out.len(), 1);
        order.expire(at(110), &mut out);
        assert_eq!((out.len(), order.deadline()), (3, None));
        for number in 0..OVERTAKEN.packets as u16 {
            order.push(packet(6 + number), at(120), &mut out);
        }
        assert_eq!(out.len(), 3);
        order.push(packet(500), at(120), &mut out);
        assert_eq!(out.len(), 3 + OVERTAKEN.packets);
    }

    #[test]
    fn packets_are_waited_for_as_long_as_they_may_be_recovered() {
        let (mut order, mut out) = (Order::default(), Vec::new());
        order.wait_for(Patience { packets: 500, wait: Duration::from_secs(2) });
        for number in [1, 3, 4, 7].into_iter().chain(9..300) {
            order.push(packet(number), Duration::from_millis(1), &mut out);
        }
        assert_eq!((out.len(), order.deadline()), (1, Some(Duration::from_millis(2001))));
        // 2 is given up; 5 and 6 may still come.
        order.give_up_before(5, &mut out);
        assert_eq!(out.len(), 3);
        order.push(packet(5), Duration::from_millis(2), &mut out);
        order.give_up_before(8, &mut out);
        assert_eq!(out.iter().map(|packet| packet.header.sequence).collect::<Vec<_>>(), [1, 3, 4, 5, 7]);
        order.wait_for(Patience::default());
        order.expire(Duration::from_millis(2), &mut out);
        assert_eq!(out.len(), 5 + 291, "too many wait now");
    }

    #[test]
    fn a_sender_that_begins_again_is_followed() {
        assert_eq!(ordered(&[10, 11, 40_000, 12]), [10, 11, 12], "one that is forged");
        assert_eq!(ordered(&[10, 11, 40_000, 40_001, 40_002]), [10, 11, 40_001, 40_002]);
    }

    proptest! {
        /// Whatever comes, what leaves grows, but where a sender began again.
        #[test]
        fn nothing_leaves_twice(swaps in proptest::collection::vec(0usize..20, 0..200), start: u16) {
            let mut numbers: Vec<u16> = (0..200).map(|number: u16| start.wrapping_add(number)).collect();
            for (at, swap) in swaps.into_iter().enumerate() {
                let other = (at + swap).min(199);
                numbers.swap(at, other);
            }
            let out = ordered(&numbers);
            let distances: Vec<u16> = out.iter().map(|number| number.wrapping_sub(start)).collect();
            prop_assert!(distances.is_sorted_by(|a, b| a < b), "{distances:?}");
        }

        #[test]
        fn memory_is_bounded(numbers: Vec<(u16, u8)>) {
            let (mut order, mut out, mut now) = (Order::default(), Vec::new(), Duration::ZERO);
            for (number, wait) in numbers {
                now += Duration::from_millis(wait.into());
                order.push(packet(number), now, &mut out);
                prop_assert!(order.waiting.len() <= OVERTAKEN.packets);
            }
        }
    }
}
