//! The bounded ring of one stream and a reader's place in it. Pure: time comes in as a value.

use crate::media::{Kind, Packet};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Packets older than this are let go of, unless they belong to the newest group of pictures.
const MAX_AGE: Duration = Duration::from_secs(4);
/// Most bytes in a ring, whatever their age: ten seconds of 25 Mbit/s.
const MAX_BYTES: usize = 32 << 20;
/// Most packets in a ring: ten seconds of a container that is cut into very small pieces.
const MAX_PACKETS: usize = 16_384;
/// How long a reader that asked our encoder for a keyframe waits before it takes the newest one there is.
const FORCED_WITHIN: Duration = Duration::from_millis(500);

/// Where a new reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// With the next packet, whatever it is.
    Live,
    /// With an intra-frame at once: the newest one in the ring, or the next one when there is none.
    Keyframe,
    /// With an intra-frame that an encoder has just been asked for; after 500 ms with the newest there is.
    Forced,
    /// With the next intra-frame to come.
    NextKeyframe,
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
    /// The reader was too slow: this many packets are lost to it. It goes on at a join point.
    Gap(u64),
    /// The stream cannot be continued for this reader.
    End,
}

/// What a decoder needs for the newest picture.
#[derive(Debug)]
pub struct NewestGroup {
    /// The header and everything from the newest join point on.
    pub pieces: Vec<Bytes>,
    /// When the newest packet was captured, on the machine's monotonic clock, as far as that is known.
    pub captured: Option<Duration>,
    /// When it came.
    pub pushed: Instant,
}

/// A reader's place in a ring.
#[derive(Debug)]
pub struct Cursor {
    place: Place,
    /// Set for a reader of whole pictures.
    thinning: Option<Thinning>,
    /// It gets join points only.
    sparse: bool,
    /// Whether the header is still to be delivered.
    header: bool,
    /// The ring's generation when the reader came.
    generation: u64,
}

#[derive(Debug)]
enum Place {
    /// Looks for a join point; `from` is the first packet that came after it asked, at `since`.
    Joining { join: Join, from: u64, since: Instant },
    /// Fell behind and waits for a join point at or after `from`; `next` is where it was.
    Behind { next: u64, from: u64 },
    /// This packet is next.
    At(u64),
    /// This join point is next, and the reader has been told that it lost what was before.
    Announced(u64),
}

#[derive(Debug)]
struct Slot {
    packet: Packet,
    pushed: Instant,
}

/// The newest packets of a stream.
#[derive(Debug, Default)]
pub struct Ring {
    slots: VecDeque<Slot>,
    /// Number of the packet in the first slot.
    first: u64,
    bytes: usize,
    /// Join points in the ring: packet number, and what a reader that lost data needs in front of it.
    joins: VecDeque<(u64, Option<Packet>)>,
    /// Container headers, each with the number of the first packet that it is for. Never more than the ring needs.
    headers: VecDeque<(u64, Packet)>,
    /// Sent in front of everything to everyone.
    opening: Option<Packet>,
    /// Each join point is a whole picture, which can be shown without the packets behind it.
    whole: bool,
    /// Grows when what follows cannot be appended to what readers have.
    generation: u64,
    closed: bool,
    /// Nothing more comes.
    finished: bool,
}

impl Ring {
    /// An empty ring.
    pub fn new() -> Self {
        Self::default()
    }

    /// All readers begin with `opening`.
    pub fn set_opening(&mut self, opening: Option<&[u8]>) {
        self.opening = opening.map(aside);
    }

    /// Whether each join point is a whole picture, so that readers can do with join points alone.
    pub fn set_whole(&mut self, whole: bool) {
        self.whole = whole;
    }

    /// See [`Ring::set_whole`].
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Number that the next packet will get.
    pub fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// Appends a packet. `notice` is what a reader that resumes here after a loss needs first.
    pub fn push(&mut self, packet: Packet, notice: Option<Bytes>, now: Instant) {
        if packet.kind == Kind::Keyframe {
            self.joins.push_back((self.end(), notice.as_deref().map(aside)));
        }
        self.bytes += packet.len();
        self.slots.push_back(Slot { packet, pushed: now });
        while self.is_over(now) {
            let Some(slot) = self.slots.pop_front() else { break };
            self.bytes -= slot.packet.len();
            self.first += 1;
        }
        while self.joins.front().is_some_and(|(at, _)| *at < self.first) {
            self.joins.pop_front();
        }
        while self.headers.get(1).is_some_and(|(at, _)| *at <= self.first) {
            self.headers.pop_front();
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        let Some(oldest) = self.slots.front() else { return false };
        let newest_group = self.joins.back().map_or(u64::MAX, |(at, _)| *at);
        let old = now.saturating_duration_since(oldest.pushed) > MAX_AGE && self.first < newest_group;
        self.slots.len() > 1 && (old || self.bytes > MAX_BYTES || self.slots.len() > MAX_PACKETS)
    }

    /// The header for packets from now on.
    pub fn set_header(&mut self, header: &[u8]) {
        let at = self.end();
        self.headers.retain(|(from, _)| *from < at);
        self.headers.push_back((at, aside(header)));
    }

    /// The newest header.
    pub fn header(&self) -> Option<Bytes> {
        self.headers.back().map(|(_, header)| header.payload())
    }

    /// The header that goes in front of packet `at`.
    fn header_for(&self, at: u64) -> Option<&Packet> {
        self.headers.iter().rev().find(|(from, _)| *from <= at).map(|(_, header)| header)
    }

    /// Old packets are no place to join any more, for example since the source began anew.
    pub fn forget_joins(&mut self) {
        self.joins.clear();
    }

    /// Lets go of everything; readers that are there get [`Delivery::End`], new ones wait for what comes.
    pub fn restart(&mut self) {
        self.first = self.end();
        self.slots.clear();
        self.joins.clear();
        self.headers.clear();
        self.bytes = 0;
        self.generation += 1;
    }

    /// As [`Ring::restart`], and new readers end at once too, until `open` is called.
    pub fn close(&mut self) {
        self.restart();
        self.closed = true;
    }

    /// Nothing more comes: readers get [`Delivery::End`] behind the last packet.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// Undoes [`Ring::close`].
    pub fn open(&mut self) {
        self.closed = false;
    }

    /// Whether readers end at once.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Age of the newest join point.
    pub fn newest_join_age(&self, now: Instant) -> Option<Duration> {
        let slot = self.get_slot(self.joins.back()?.0)?;
        Some(now.saturating_duration_since(slot.pushed))
    }

    /// What a decoder needs for the newest picture.
    pub fn newest_group(&self) -> Option<NewestGroup> {
        let (join, _) = self.joins.back()?;
        let newest = self.slots.back()?;
        let header = self.header_for(*join).map(Packet::payload);
        let skip = usize::try_from(join - self.first).ok()?;
        let packets = self.slots.iter().skip(skip).map(|slot| slot.packet.payload());
        let pieces = header.into_iter().chain(packets).collect();
        Some(NewestGroup { pieces, captured: newest.packet.captured, pushed: newest.pushed })
    }

    fn get_slot(&self, at: u64) -> Option<&Slot> {
        self.slots.get(usize::try_from(at.checked_sub(self.first)?).ok()?)
    }
}

fn aside(bytes: &[u8]) -> Packet {
    Packet::copy_of(Kind::Delta, bytes)
}

impl Cursor {
    /// A reader that enters `ring` at `now`.
    pub fn new(ring: &Ring, entry: Entry, now: Instant) -> Self {
        let place = Place::Joining { join: entry.join, from: ring.end(), since: now };
        Self { place, thinning: None, sparse: false, header: entry.header, generation: ring.generation }
    }

    /// Every packet is a picture of its own, and the reader wants the newest ones only, `interval` apart.
    pub fn thin(&mut self, interval: Duration) {
        self.thinning = Some(Thinning::new(interval));
    }

    /// From now on the reader gets join points only, the newest one each time, or everything again. To be asked for where
    /// [`Ring::is_whole`].
    pub fn reduce(&mut self, sparse: bool) {
        self.sparse = sparse;
    }

    /// What the reader gets next; `None` when it has to wait for the ring to change.
    pub fn next(&mut self, ring: &Ring) -> Option<Delivery> {
        if ring.closed || (ring.generation != self.generation && !self.is_joining()) {
            return Some(Delivery::End);
        }
        let found = match self.place {
            Place::Joining { join, from, since } => self.join(ring, join, from, since),
            Place::Behind { next, from } => self.resume(ring, next, from),
            Place::At(next) if self.thinning.is_some() => self.newest(ring, next),
            Place::At(next) if next < ring.first => {
                // Close to live again, on the newest join point if there is one.
                let from = ring.joins.back().map_or(ring.end(), |(at, _)| *at);
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

    fn take(&mut self, ring: &Ring, at: u64) -> Option<Delivery> {
        let slot = ring.get_slot(at);
        self.place = Place::At(at + u64::from(slot.is_some()));
        slot.map(|slot| Delivery::Packet(slot.packet.clone()))
    }

    fn is_joining(&self) -> bool {
        matches!(self.place, Place::Joining { .. })
    }

    fn join(&mut self, ring: &Ring, join: Join, from: u64, since: Instant) -> Option<Delivery> {
        self.generation = ring.generation;
        let newest = ring.joins.back().map(|(at, _)| *at);
        let next_join = || ring.joins.iter().map(|(at, _)| *at).find(|at| *at >= from);
        let late =
            || ring.slots.back().is_some_and(|slot| slot.pushed.saturating_duration_since(since) > FORCED_WITHIN);
        let at = match join {
            // Header and opening come with or before the first packet.
            Join::Live => Some(from.max(ring.first)).filter(|at| *at < ring.end()),
            // One who was there before there was any misses nothing of what came since.
            Join::Keyframe => newest.filter(|at| *at < from).or_else(next_join),
            Join::Forced => next_join().or_else(|| newest.filter(|_| late())),
            Join::NextKeyframe => next_join(),
        }?;
        self.place = Place::At(at);
        let header = if std::mem::take(&mut self.header) { ring.header_for(at) } else { None };
        match (&ring.opening, header) {
            (Some(opening), _) => Some(Delivery::Aside(opening.clone())),
            (None, Some(header)) => Some(Delivery::Aside(header.clone())),
            (None, None) => self.next(ring),
        }
    }

    /// Steps over all but the newest packet.
    fn newest(&mut self, ring: &Ring, next: u64) -> Option<Delivery> {
        let newest = ring.end().checked_sub(1).filter(|newest| *newest >= next)?;
        let slot = ring.get_slot(newest)?;
        let thinning = self.thinning.as_mut()?;
        // Where a rate is asked for, what is left out is no loss.
        if newest > next && thinning.interval.is_zero() {
            self.place = Place::At(newest);
            return Some(Delivery::Gap(newest - next));
        }
        self.place = Place::At(newest + 1);
        thinning.passes(slot.pushed).then(|| Delivery::Packet(slot.packet.clone()))
    }

    /// Steps over all but the newest join point. What is between join points is left out on purpose; a join point that is
    /// stepped over is lost, for want of time.
    fn newest_join(&mut self, ring: &Ring, next: u64) -> Option<Delivery> {
        let (newest, notice) = ring.joins.back().filter(|(at, _)| *at >= next)?;
        let missed = ring.joins.iter().map(|(at, _)| *at).find(|at| *at >= next).filter(|at| at < newest);
        if let Some(missed) = missed {
            self.place = Place::At(*newest);
            return Some(Delivery::Gap(newest - missed));
        }
        self.announce(ring, *newest, notice.as_ref())
    }

    fn resume(&mut self, ring: &Ring, next: u64, from: u64) -> Option<Delivery> {
        let (at, notice) = ring.joins.iter().find(|(at, _)| *at >= from)?;
        // First the gap, then the notice, then the packet.
        if next < *at {
            self.place = Place::Behind { next: *at, from: *at };
            return Some(Delivery::Gap(at - next));
        }
        self.announce(ring, *at, notice.as_ref())
    }

    /// Goes on at a join point after a loss: first the notice, then the packet.
    fn announce(&mut self, ring: &Ring, at: u64, notice: Option<&Packet>) -> Option<Delivery> {
        self.place = Place::Announced(at);
        match notice {
            Some(notice) => Some(Delivery::Aside(notice.clone())),
            None => self.take(ring, at),
        }
    }
}

/// Lets pictures through at a rate, as evenly as they come.
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

    /// Whether the picture that came `at` this moment passes. One that comes a little early does, and moves nothing: a
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
        // The pictures of two seconds, from a source of so many a second, with jitter.
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

    #[test]
    fn reader_of_pictures_skips_to_the_newest() {
        let mut rig = Rig::new();
        let mut reader = rig.reader(Join::Live, false);
        reader.thin(Duration::ZERO);
        rig.push("K1");
        assert_eq!(rig.read(&mut reader), "K1 ");
        rig.push_all(["K2", "K3", "K4"]);
        assert_eq!(rig.read(&mut reader), "<2> K4 ");
        assert_eq!(rig.read(&mut reader), "");
        rig.now += MAX_AGE * 2;
        rig.push_all(["K5", "K6"]);
        assert_eq!(rig.read(&mut reader), "<1> K6 ");
    }

    #[test]
    fn reader_with_a_rate_of_its_own_loses_nothing_by_it() {
        let mut rig = Rig::new();
        let mut reader = rig.reader(Join::Live, false);
        reader.thin(Duration::from_secs(1));
        let mut seen = String::new();
        for number in 0..10 {
            rig.push(&format!("K{number}"));
            seen += &rig.read(&mut reader);
            rig.now += Duration::from_millis(500);
        }
        assert_eq!(seen, "K0 K2 K4 K6 K8 ");
        rig.ring.restart();
        assert_eq!(rig.read(&mut reader), "|");
    }

    struct Rig {
        ring: Ring,
        now: Instant,
    }

    impl Rig {
        fn new() -> Self {
            Self { ring: Ring::new(), now: Instant::now() }
        }

        fn push(&mut self, text: &str) {
            let kind = if text.starts_with('K') { Kind::Keyframe } else { Kind::Delta };
            let notice = (kind == Kind::Keyframe).then(|| Bytes::from(format!("!{text}")));
            self.ring.push(Packet::copy_of(kind, text.as_bytes()), notice, self.now);
        }

        fn push_all<const N: usize>(&mut self, packets: [&str; N]) {
            packets.into_iter().for_each(|packet| self.push(packet));
        }

        fn reader(&self, join: Join, header: bool) -> Cursor {
            Cursor::new(&self.ring, Entry { join, header }, self.now)
        }

        fn read(&self, cursor: &mut Cursor) -> String {
            let mut out = String::new();
            while let Some(delivery) = cursor.next(&self.ring) {
                match delivery {
                    Delivery::Aside(packet) | Delivery::Packet(packet) => {
                        out += std::str::from_utf8(&packet.payload()).unwrap()
                    }
                    Delivery::Gap(lost) => out += &format!("<{lost}>"),
                    Delivery::End => return out + "|",
                }
                out += " ";
            }
            out
        }
    }

    #[test]
    fn a_reader_begins_where_it_asked_to() {
        let mut rig = Rig::new();
        rig.ring.set_header(b"H");
        rig.push_all(["K1", "a", "K2", "b"]);
        let joins = [Join::Live, Join::Keyframe, Join::Forced, Join::NextKeyframe];
        let mut readers = joins.map(|join| [rig.reader(join, false), rig.reader(join, true)]);
        rig.push("c");
        let before = readers.each_mut().map(|pair| pair.each_mut().map(|reader| rig.read(reader)));
        assert_eq!(before, [["c ", "H c "], ["K2 b c ", "H K2 b c "], ["", ""], ["", ""]]);
        rig.push("K3");
        let after = readers.each_mut().map(|pair| pair.each_mut().map(|reader| rig.read(reader)));
        assert_eq!(after, [["K3 ", "K3 "], ["K3 ", "K3 "], ["K3 ", "H K3 "], ["K3 ", "H K3 "]]);
    }

    #[test]
    fn a_forced_keyframe_that_does_not_come_is_not_waited_for() {
        let mut rig = Rig::new();
        rig.push_all(["K1", "a"]);
        let mut reader = rig.reader(Join::Forced, false);
        rig.now += FORCED_WITHIN;
        rig.push("b");
        assert_eq!(rig.read(&mut reader), "");
        rig.now += Duration::from_millis(1);
        rig.push("c");
        assert_eq!(rig.read(&mut reader), "K1 a b c ");
    }

    #[test]
    fn slow_reader_resumes_at_keyframe_and_is_told() {
        let mut rig = Rig::new();
        rig.push("K1");
        let mut reader = rig.reader(Join::Keyframe, false);
        assert_eq!(rig.read(&mut reader), "K1 ");
        rig.push("a");
        rig.now += MAX_AGE * 2;
        rig.push_all(["K2", "b", "K3", "c"]);
        assert_eq!(rig.read(&mut reader), "<3> !K3 K3 c ");
    }

    #[test]
    fn reduced_reader_gets_the_newest_join_points_and_then_everything_again() {
        let mut rig = Rig::new();
        let mut reader = rig.reader(Join::Live, false);
        rig.push_all(["K1", "a"]);
        assert_eq!(rig.read(&mut reader), "K1 a ");
        reader.reduce(true);
        rig.push_all(["b", "c"]);
        assert_eq!(rig.read(&mut reader), "");
        rig.push_all(["K2", "d"]);
        assert_eq!(rig.read(&mut reader), "!K2 K2 ");
        // Too slow even for this: what it is behind by is a loss.
        rig.push_all(["e", "K3", "f", "K4", "g"]);
        assert_eq!(rig.read(&mut reader), "<2> !K4 K4 ");
        rig.now += MAX_AGE * 2;
        rig.push_all(["h", "K5", "i", "K6", "j"]);
        assert_eq!(rig.read(&mut reader), "<4> !K6 K6 ");
        reader.reduce(false);
        assert_eq!(rig.read(&mut reader), "j ");
        rig.push("k");
        assert_eq!(rig.read(&mut reader), "k ");
    }

    #[test]
    fn reduced_reader_whose_join_point_went_away_goes_on_with_the_next() {
        let mut rig = Rig::new();
        let mut reader = rig.reader(Join::Live, false);
        rig.push("a");
        assert_eq!(rig.read(&mut reader), "a ");
        reader.reduce(true);
        rig.push("K1");
        assert!(matches!(reader.next(&rig.ring), Some(Delivery::Aside(_))));
        rig.now += MAX_AGE * 2;
        rig.push_all(["K2", "b"]);
        assert_eq!(rig.read(&mut reader), "<1> !K2 K2 ");
        rig.ring.forget_joins();
        rig.push("c");
        assert_eq!(rig.read(&mut reader), "");
        rig.push("K3");
        assert_eq!(rig.read(&mut reader), "!K3 K3 ");
    }

    #[test]
    fn the_newest_group_of_pictures_stays_however_old_it_is() {
        let mut rig = Rig::new();
        rig.push_all(["K1", "a", "K2", "b"]);
        rig.now += MAX_AGE * 2;
        rig.push("c");
        assert_eq!(rig.read(&mut rig.reader(Join::Keyframe, false)), "K2 b c ");
        assert_eq!(rig.ring.first, 2);
        let group = rig.ring.newest_group().unwrap();
        assert_eq!((&group.pieces.concat()[..], group.pushed), (&b"K2bc"[..], rig.now));
    }

    #[test]
    fn bytes_and_packets_are_bounded() {
        let mut rig = Rig::new();
        let large = Packet::copy_of(Kind::Delta, &vec![0; MAX_BYTES / 4]);
        for _ in 0..20 {
            rig.ring.push(large.clone(), None, rig.now);
            assert!(rig.ring.bytes <= MAX_BYTES);
        }
        for _ in 0..2 * MAX_PACKETS {
            rig.push("a");
        }
        assert!(rig.ring.slots.len() <= MAX_PACKETS);
    }

    #[test]
    fn headers_are_replaced_and_each_packet_has_its_own() {
        let mut rig = Rig::new();
        rig.ring.set_header(b"H1");
        rig.push("K1");
        let mut early = rig.reader(Join::Keyframe, true);
        rig.ring.set_header(b"H2");
        rig.ring.set_header(b"H3");
        rig.push("K2");
        assert_eq!(rig.read(&mut rig.reader(Join::Keyframe, true)), "H3 K2 ");
        early.place = Place::Joining { join: Join::Live, from: 0, since: rig.now };
        assert_eq!(rig.read(&mut early), "H1 K1 K2 ");
    }

    #[test]
    fn a_reader_that_came_before_the_first_packet_gets_header_and_all() {
        let mut rig = Rig::new();
        let mut reader = rig.reader(Join::Live, true);
        assert_eq!(rig.read(&mut reader), "");
        rig.ring.set_header(b"H");
        assert_eq!(rig.read(&mut reader), "");
        rig.push("a");
        assert_eq!(rig.read(&mut reader), "H a ");
    }

    #[test]
    fn a_reader_that_waited_for_a_keyframe_begins_with_the_first_one() {
        let mut rig = Rig::new();
        let mut early = rig.reader(Join::Keyframe, false);
        rig.push_all(["a", "K1", "b", "K2"]);
        assert_eq!(rig.read(&mut early), "K1 b K2 ");
        let mut late = rig.reader(Join::Keyframe, false);
        rig.push("c");
        assert_eq!(rig.read(&mut late), "K2 c ");
    }

    #[test]
    fn a_finished_ring_is_read_to_its_end() {
        let mut rig = Rig::new();
        let (mut reader, mut waits) = (rig.reader(Join::Live, true), rig.reader(Join::Keyframe, false));
        rig.ring.set_header(b"H");
        rig.push("a");
        rig.push("b");
        rig.ring.finish();
        assert_eq!(rig.read(&mut reader), "H a b |");
        assert_eq!(rig.read(&mut waits), "|");
    }

    #[test]
    fn a_restart_ends_those_who_have_data_and_spares_those_who_wait() {
        let mut rig = Rig::new();
        rig.push("a");
        let (mut has, mut waits) = (rig.reader(Join::Live, false), rig.reader(Join::Keyframe, false));
        rig.push("b");
        assert_eq!(rig.read(&mut has), "b ");
        rig.ring.restart();
        rig.push("K1");
        assert_eq!(rig.read(&mut has), "|");
        assert_eq!(rig.read(&mut waits), "K1 ");
        rig.ring.close();
        assert_eq!(rig.read(&mut waits), "|");
        assert_eq!(rig.read(&mut rig.reader(Join::Live, false)), "|");
    }
}
