//! The packets of a ring as datagrams: taken apart once for all viewers of a thread (pure).

use crate::media::rtp::{
    interleaved::{self, HEAD},
    report,
};
use bytes::Bytes;
use std::ops::Range;

/// So many datagrams are sent without a pause, and in one call at most.
pub const BURST: usize = 20;

/// The datagrams of one packet of the ring. Their bytes are those of the ring.
#[derive(Debug)]
pub struct Datagrams {
    packet: Bytes,
    /// Where each datagram lies in the packet.
    places: Vec<Range<usize>>,
    runs: Vec<Run>,
    /// Tracks, and the sources that report in them.
    senders: Vec<(usize, u32)>,
}

/// Neighbours of one track that have the same length, but for the last one, which may be shorter: they may leave in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The place of the track in the description.
    pub track: usize,
    /// Whether they are RTCP.
    pub is_control: bool,
    /// Bytes of a datagram.
    pub length: usize,
    /// How many there are.
    pub count: usize,
    /// Which is the first.
    first: usize,
}

/// How far a viewer has got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// The next run.
    run: usize,
    /// Datagrams of it that have left.
    passed: usize,
}

impl Datagrams {
    /// Those of a packet of the ring.
    pub fn of(packet: Bytes) -> Self {
        let (mut places, mut runs, mut senders) = (Vec::new(), Vec::<Run>::new(), Vec::new());
        let mut end = 0;
        for framed in interleaved::split(&packet) {
            let (track, is_control) = (usize::from(framed.channel >> 1), framed.channel & 1 == 1);
            let begin = end + HEAD;
            end += framed.whole.len();
            let length = end - begin;
            if length == 0 {
                continue;
            }
            if is_control && let Some(report::Report::Sender(sender)) = report::parse(&framed.packet()).first() {
                senders.push((track, sender.ssrc));
            }
            // One that is shorter than the others is the last of its run.
            let is_whole = places
                .last()
                .is_some_and(|last: &Range<usize>| runs.last().is_some_and(|run| last.len() == run.length));
            let has_room = |run: &&mut Run| {
                (run.track, run.is_control) == (track, is_control)
                    && length <= run.length
                    && is_whole
                    && run.count < BURST
            };
            match runs.last_mut().filter(has_room) {
                Some(run) => run.count += 1,
                None => runs.push(Run { track, is_control, length, count: 1, first: places.len() }),
            }
            places.push(begin..end);
        }
        Self { packet, places, runs, senders }
    }

    /// The run at a position, and where those of it lie that are left; `None` after the last one.
    pub fn at(&self, position: Position) -> Option<(Run, &[Range<usize>])> {
        let run = *self.runs.get(position.run)?;
        let places = self.places.get(run.first + position.passed..run.first + run.count);
        Some((run, places.unwrap_or_default()))
    }

    /// The bytes of a datagram.
    pub fn bytes(&self, place: &Range<usize>) -> &[u8] {
        self.packet.get(place.clone()).unwrap_or_default()
    }

    /// Adds to `known` those who report, unless the track has one.
    pub fn add_senders(&self, known: &mut Vec<(usize, u32)>) {
        for sender in &self.senders {
            if known.iter().all(|(track, _)| *track != sender.0) {
                known.push(*sender);
            }
        }
    }
}

impl Position {
    /// After this run.
    pub fn next(&mut self) {
        *self = Self { run: self.run + 1, passed: 0 };
    }

    /// So many datagrams further in this run.
    pub fn advance(&mut self, datagrams: usize) {
        self.passed += datagrams;
    }
}

#[cfg(test)]
pub mod testing {
    use super::*;

    /// As in a ring: datagrams of these channels and lengths, each of bytes that are its length.
    pub fn packet(datagrams: &[(u8, usize)]) -> Bytes {
        let framed = |(channel, length): &(u8, usize)| {
            [&interleaved::head(*channel, *length)[..], &vec![*length as u8; *length]].concat()
        };
        datagrams.iter().flat_map(framed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::packet, *};
    use proptest::prelude::*;

    fn runs(datagrams: &Datagrams) -> Vec<(usize, bool, usize, Vec<u8>)> {
        let mut position = Position::default();
        std::iter::from_fn(|| {
            let (run, left) = datagrams.at(position)?;
            position.next();
            let bytes = left.iter().flat_map(|place| datagrams.bytes(place).to_vec()).collect();
            Some((run.track, run.is_control, run.count, bytes))
        })
        .collect()
    }

    #[test]
    fn neighbours_of_one_length_leave_together() {
        #[track_caller]
        fn check(channels: &[(u8, usize)], expect: &[(usize, bool, usize)]) {
            let found = runs(&Datagrams::of(packet(channels)));
            let found: Vec<_> =
                found.into_iter().map(|(track, is_control, count, _)| (track, is_control, count)).collect();
            assert_eq!(found, expect);
        }
        let of = |channel, lengths: &[usize]| lengths.iter().map(|length| (channel, *length)).collect::<Vec<_>>();
        check(&of(0, &[9, 9, 9, 4, 9, 12, 12]), &[(0, false, 4), (0, false, 1), (0, false, 2)]);
        check(&[of(0, &[9, 9]), of(2, &[9, 3])].concat(), &[(0, false, 2), (1, false, 2)]);
        check(&of(0, &[7; 45]), &[(0, false, 20), (0, false, 20), (0, false, 5)]);
        check(&of(0, &[[7; 20].as_slice(), &[3]].concat()), &[(0, false, 20), (0, false, 1)]);
        check(&[(0, 9), (1, 9), (0, 9)], &[(0, false, 1), (0, true, 1), (0, false, 1)]);
        check(&[(0, 0), (0, 5), (0, 0), (0, 5)], &[(0, false, 2)]);
        check(&[], &[]);
    }

    #[test]
    fn positions_are_within_runs() {
        let datagrams = Datagrams::of(packet(&[(0, 5), (0, 5), (0, 2)]));
        let mut position = Position::default();
        position.advance(1);
        let (_, left) = datagrams.at(position).unwrap();
        assert_eq!(left.iter().map(|place| datagrams.bytes(place)).collect::<Vec<_>>(), [&[5; 5][..], &[2; 2]]);
        position.next();
        assert_eq!(datagrams.at(position), None);
    }

    #[test]
    fn the_first_source_of_each_track_is_known() {
        let report =
            |ssrc: u32| report::SenderReport { ssrc, ntp: 1, timestamp: 2, packets: 3, octets: 4 }.bytes("voyandz");
        let mut known = Vec::new();
        for (channel, ssrc) in [(1, 7), (3, 8), (1, 9)] {
            let bytes = report(ssrc);
            let framed = [&interleaved::head(channel, bytes.len())[..], &bytes].concat();
            Datagrams::of(framed.into()).add_senders(&mut known);
        }
        assert_eq!(known, [(0, 7), (1, 8)]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_foreign_bytes_never_panic(
            lengths in proptest::collection::vec((0..6u8, 0..5usize), 0..80),
            tail: Vec<u8>,
        ) {
            let whole = packet(&lengths);
            let expect: Vec<_> = lengths.iter().flat_map(|(_, length)| vec![*length as u8; *length]).collect();
            let found = runs(&Datagrams::of(whole.clone()));
            prop_assert_eq!(found.iter().flat_map(|run| run.3.clone()).collect::<Vec<_>>(), expect);
            prop_assert!(found.iter().all(|run| run.2 <= BURST));
            let _ = Datagrams::of([&whole[..], &tail].concat().into());
        }
    }
}
