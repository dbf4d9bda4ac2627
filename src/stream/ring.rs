//! The bounded ring of one stream. Pure: time comes in as a value.

mod cursor;

pub use cursor::{Cursor, Delivery, Entry, Join};

use super::batch::{self, Batch};
use crate::media::{Kind, Packet};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Packets older than this are released, unless they belong to the newest GOP.
const MAX_AGE: Duration = Duration::from_secs(4);
/// Most bytes in a ring, whatever their age: ten seconds of 25 Mbit/s.
const MAX_BYTES: usize = 32 << 20;
/// Most packets in a ring: ten seconds of a container that is cut into very small pieces.
const MAX_PACKETS: usize = 16_384;

/// What a decoder needs for the newest frame.
#[derive(Debug)]
pub struct NewestGroup {
    /// The header and everything from the newest join point on.
    pub pieces: Vec<Bytes>,
    /// The newest packet.
    pub newest: Packet,
    /// When it came.
    pub pushed: Instant,
}

#[derive(Debug)]
struct Slot {
    packet: Packet,
    pushed: Instant,
}

/// Where readers may begin.
#[derive(Debug)]
struct JoinPoint {
    /// Number of the packet.
    at: u64,
    /// What a reader that lost data needs before it.
    notice: Option<Packet>,
    /// What every reader needs before it that does not come from the packet before.
    lead: Option<Bytes>,
}

impl JoinPoint {
    /// What goes between a loss and the packet.
    fn after_loss(&self) -> Option<Packet> {
        match (&self.notice, &self.lead) {
            (notice, None) => notice.clone(),
            (None, Some(lead)) => Some(aside(lead)),
            (Some(notice), Some(lead)) => Some(aside(&[notice.payload(), lead.clone()].concat())),
        }
    }
}

/// The newest packets of a stream.
#[derive(Debug, Default)]
pub struct Ring {
    slots: VecDeque<Slot>,
    /// Number of the packet in the first slot.
    first: u64,
    bytes: usize,
    /// Join points in the ring.
    joins: VecDeque<JoinPoint>,
    /// Container headers, each with the number of the first packet that it is for. Never more than the ring needs. What a header
    /// needs is its own version.
    headers: VecDeque<(u64, Packet)>,
    /// Of the next header.
    version: u32,
    /// Sent before everything to everyone.
    opening: Option<Packet>,
    /// Each join point is a whole frame, which can be shown without the packets after it.
    whole: bool,
    /// See [`Ring::set_loose`].
    loose: bool,
    /// Grows when what follows cannot be appended to what readers have.
    generation: u64,
    closed: bool,
    /// Nothing more comes.
    finished: bool,
    /// See [`Ring::hold`].
    held: bool,
    /// Number of the first packet that viewers get since they were last held.
    released: u64,
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

    /// Whether each join point is a whole frame, so that readers can do with join points alone.
    pub fn set_whole(&mut self, whole: bool) {
        self.whole = whole;
    }

    /// See [`Ring::set_whole`].
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether each packet is one sample, in the order in which they came: audio may come after a frame that was captured
    /// after it. Those who begin with that frame do not get it, as it would begin without the frame.
    pub fn set_loose(&mut self, loose: bool) {
        self.loose = loose;
    }

    /// Number that the next packet will get.
    pub fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// Appends a packet. `notice` is what a reader that resumes here after a loss needs first.
    pub fn push(&mut self, mut packet: Packet, notice: Option<Bytes>, now: Instant) {
        let lead = packet.lead.take();
        if packet.kind == Kind::Keyframe {
            self.joins.push_back(JoinPoint { at: self.end(), notice: notice.as_deref().map(aside), lead });
        }
        self.bytes += packet.len();
        self.slots.push_back(Slot { packet, pushed: now });
        while self.is_over(now) {
            let Some(slot) = self.slots.pop_front() else { break };
            self.bytes -= slot.packet.len();
            self.first += 1;
        }
        while self.joins.front().is_some_and(|join| join.at < self.first) {
            self.joins.pop_front();
        }
        while self.headers.get(1).is_some_and(|(at, _)| *at <= self.first) {
            self.headers.pop_front();
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        let Some(oldest) = self.slots.front() else { return false };
        let newest_group = self.joins.back().map_or(u64::MAX, |join| join.at);
        let old = now.saturating_duration_since(oldest.pushed) > MAX_AGE && self.first < newest_group;
        self.slots.len() > 1 && (old || self.bytes > MAX_BYTES || self.slots.len() > MAX_PACKETS)
    }

    /// The header for packets from now on.
    pub fn set_header(&mut self, header: &[u8]) {
        let at = self.end();
        self.headers.retain(|(from, _)| *from < at);
        let mut header = aside(header);
        header.needs = self.version;
        self.headers.push_back((at, header));
    }

    /// The version of the next header; see [`Packet::needs`].
    pub fn set_header_version(&mut self, version: u32) {
        self.version = version;
    }

    /// The newest header.
    pub fn header(&self) -> Option<Bytes> {
        self.headers.back().map(|(_, header)| header.payload())
    }

    /// The header that goes before packet `at`.
    fn header_for(&self, at: u64) -> Option<&Packet> {
        self.headers.iter().rev().find(|(from, _)| *from <= at).map(|(_, header)| header)
    }

    /// Old packets are no join points any more, for example since the source restarted.
    pub fn forget_joins(&mut self) {
        self.joins.clear();
    }

    /// Lets go of everything; readers that are there get [`Delivery::End`], new ones wait for what comes.
    pub fn restart(&mut self) {
        self.first = self.end();
        self.slots.clear();
        self.joins.clear();
        self.headers.clear();
        self.version = 0;
        self.bytes = 0;
        self.generation += 1;
    }

    /// As [`Ring::restart`], and new readers end immediately too, until `open` is called.
    pub fn close(&mut self) {
        self.restart();
        self.closed = true;
    }

    /// Nothing more comes: readers get [`Delivery::End`] after the last packet.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// Viewers get nothing from now on, or what comes from the next join point on. Readers of the server itself get everything.
    pub fn hold(&mut self, held: bool) {
        if self.held && !held {
            self.released = self.end();
            // Nobody begins with what viewers were not to see.
            self.joins.clear();
        }
        self.held = held;
    }

    /// Undoes [`Ring::close`].
    pub fn open(&mut self) {
        self.closed = false;
    }

    /// Whether readers end immediately.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Age of the newest join point.
    pub fn newest_join_age(&self, now: Instant) -> Option<Duration> {
        let slot = self.get_slot(self.joins.back()?.at)?;
        Some(now.saturating_duration_since(slot.pushed))
    }

    /// What a decoder needs for the newest frame.
    pub fn newest_group(&self) -> Option<NewestGroup> {
        let JoinPoint { at, lead, .. } = self.joins.back()?;
        let newest = self.slots.back()?;
        let header = self.header_for(*at).map(Packet::payload);
        let skip = usize::try_from(at - self.first).ok()?;
        let packets = self.slots.iter().skip(skip).flat_map(|slot| slot.packet.payload_pieces());
        let pieces = header.into_iter().chain(lead.clone()).chain(packets).collect();
        Some(NewestGroup { pieces, newest: newest.packet.clone(), pushed: newest.pushed })
    }

    /// Replaces `batch` by what came after it. When that is too much, there are none: readers have to look for themselves.
    pub fn next_batch(&self, batch: &mut Batch) {
        let from = batch.to().max(self.first);
        let skip = usize::try_from(from - self.first).unwrap_or(usize::MAX);
        let fresh = self.slots.iter().skip(skip).map(|slot| &slot.packet);
        let bytes: usize = fresh.clone().take(batch::MOST).map(Packet::len).sum();
        let is_little = fresh.len() == 1 || (fresh.len() <= batch::MOST && bytes <= batch::MOST_BYTES);
        batch.packets.clear();
        // An end is found by looking only.
        if is_little && !self.closed && !self.finished && !self.held {
            batch.packets.extend(fresh.cloned());
        }
        batch.from = self.end() - batch.packets.len() as u64;
        batch.generation = self.generation;
    }

    /// What those who begin with this packet get no earlier media than.
    fn begin_of(&self, at: u64) -> Option<Duration> {
        let packet = &self.get_slot(at).filter(|_| self.loose)?.packet;
        packet.captured.filter(|_| packet.kind == Kind::Keyframe)
    }

    fn get_slot(&self, at: u64) -> Option<&Slot> {
        self.slots.get(usize::try_from(at.checked_sub(self.first)?).ok()?)
    }
}

fn aside(bytes: &[u8]) -> Packet {
    Packet::copy_of(Kind::Delta, bytes)
}

#[cfg(test)]
mod tests {
    use super::{
        cursor::{FORCED_WITHIN, Place},
        *,
    };

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
    fn viewers_are_held_and_readers_of_the_server_are_not() {
        let mut rig = Rig::new();
        rig.ring.set_header(b"H");
        let (mut viewer, mut own) = (rig.reader(Join::Live, false), rig.reader(Join::Live, false));
        own.never_hold();
        let mut slow = rig.reader(Join::Live, false);
        rig.push_all(["K1", "a"]);
        assert_eq!((rig.read(&mut viewer), rig.read(&mut own)), ("K1 a ".to_owned(), "K1 a ".to_owned()));
        rig.ring.hold(true);
        let mut joins = [Join::Live, Join::Keyframe, Join::Oldest].map(|join| rig.reader(join, true));
        rig.push_all(["b", "K2", "c"]);
        let mut batch = Batch::default();
        rig.ring.next_batch(&mut batch);
        assert!(batch.packets.is_empty());
        assert_eq!((rig.read(&mut viewer), rig.read(&mut slow)), (String::new(), String::new()));
        assert!(joins.iter_mut().all(|reader| rig.read(reader).is_empty()));
        assert_eq!(rig.read(&mut own), "b K2 c ");
        // It continues behind all that was kept back, at a join point, and has lost nothing.
        rig.ring.hold(false);
        rig.push_all(["d", "K3", "e"]);
        assert_eq!((rig.read(&mut viewer), rig.read(&mut slow)), ("!K3 K3 e ".to_owned(), "d K3 e ".to_owned()));
        assert_eq!(joins.each_mut().map(|reader| rig.read(reader)), ["H d K3 e ", "H K3 e ", "H K3 e "]);
        assert_eq!(rig.read(&mut own), "d K3 e ");
        // A pause without packets is none.
        rig.ring.hold(true);
        rig.ring.hold(false);
        rig.push("f");
        assert_eq!(rig.read(&mut viewer), "f ");
        // The end is not held.
        rig.ring.hold(true);
        rig.ring.finish();
        assert_eq!(rig.read(&mut viewer), "|");
    }

    #[test]
    fn who_begins_at_a_join_point_gets_what_leads_to_it_and_nobody_else() {
        let mut rig = Rig::new();
        rig.ring.set_header(b"H");
        let mut there = rig.reader(Join::Live, false);
        rig.push_all(["K1", "a"]);
        let mut packet = Packet::copy_of(Kind::Keyframe, b"K2");
        packet.lead = Some(Bytes::from_static(b"L"));
        rig.ring.push(packet, None, rig.now);
        rig.push("b");
        assert_eq!(rig.read(&mut there), "K1 a K2 b ");
        assert_eq!(rig.read(&mut rig.reader(Join::Keyframe, true)), "HL K2 b ");
        assert_eq!(rig.read(&mut rig.reader(Join::Keyframe, false)), "L K2 b ");
        let mut slow = rig.reader(Join::Live, false);
        slow.place = Place::Behind { next: 0, from: 1 };
        assert_eq!(rig.read(&mut slow), "<2> L K2 b ");
        assert_eq!(rig.ring.newest_group().unwrap().pieces.concat(), b"HLK2b");
    }

    #[test]
    fn who_begins_with_a_picture_gets_no_sound_of_before() {
        let sample = |rig: &mut Rig, text: &str, millis| {
            let kind = if text.starts_with('K') { Kind::Keyframe } else { Kind::Delta };
            let mut packet = Packet::copy_of(kind, text.as_bytes());
            packet.captured = Some(Duration::from_millis(millis));
            rig.ring.push(packet, None, rig.now);
        };
        for (is_loose, newcomer) in [(true, "K2 p sound3 "), (false, "K2 sound1 p sound2 sound3 ")] {
            let mut rig = Rig::new();
            rig.ring.set_loose(is_loose);
            let mut early = rig.reader(Join::Keyframe, false);
            for (text, millis) in [("K1", 0), ("K2", 100), ("sound1", 60), ("p", 140), ("sound2", 80), ("sound3", 101)]
            {
                sample(&mut rig, text, millis);
            }
            assert_eq!(rig.read(&mut early), "K1 K2 sound1 p sound2 sound3 ", "it has no hole");
            let mut late = rig.reader(Join::Keyframe, false);
            assert_eq!(rig.read(&mut late), newcomer);
            // The same holds of what is taken in one batch.
            let (mut both, mut batch) =
                ([rig.reader(Join::Keyframe, false), rig.reader(Join::Live, false)], Batch::default());
            rig.ring.next_batch(&mut batch);
            both.iter_mut().for_each(|reader| drop(rig.read(reader)));
            sample(&mut rig, "sound0", 90);
            rig.ring.next_batch(&mut batch);
            assert_eq!(both.each_mut().map(|reader| reader.take_batch(&batch)), [!is_loose, false]);
            // After a loss it begins again.
            sample(&mut rig, "p", 180);
            rig.now += MAX_AGE * 2;
            sample(&mut rig, "K3", 9000);
            sample(&mut rig, "sound4", 8999);
            sample(&mut rig, "sound5", 9001);
            assert_eq!(rig.read(&mut late), if is_loose { "<2> K3 sound5 " } else { "<2> K3 sound4 sound5 " });
        }
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
    fn news_are_for_readers_that_need_nothing_else() {
        let mut rig = Rig::new();
        let mut batch = Batch::default();
        let text = |batch: &Batch| batch.packets.iter().map(|packet| packet.payload()).collect::<Vec<_>>().concat();
        rig.push_all(["K1", "a"]);
        rig.ring.next_batch(&mut batch);
        assert_eq!(text(&batch), b"K1a");
        let [mut ready, mut behind, mut thinned, mut sparse, mut joining] =
            [Join::Keyframe; 5].map(|join| rig.reader(join, false));
        for reader in [&mut ready, &mut behind, &mut thinned, &mut sparse] {
            assert_eq!(rig.read(reader), "K1 a ");
        }
        thinned.thin(Duration::ZERO);
        sparse.reduce(true);
        assert!(!ready.take_batch(&batch), "it has them");
        rig.push_all(["b", "c"]);
        rig.ring.next_batch(&mut batch);
        assert_eq!(text(&batch), b"bc");
        assert!([&mut thinned, &mut sparse, &mut joining].into_iter().all(|reader| !reader.take_batch(&batch)));
        assert!(ready.take_batch(&batch) && !ready.take_batch(&batch));
        assert_eq!((rig.read(&mut ready), rig.read(&mut behind)), (String::new(), "b c ".to_owned()));
        rig.ring.next_batch(&mut batch);
        assert!(text(&batch).is_empty() && !ready.take_batch(&batch));
        // A crowd of packets is no batch; what comes after it is.
        (0..=batch::MOST).for_each(|_| rig.push("x"));
        rig.ring.next_batch(&mut batch);
        assert!(text(&batch).is_empty() && !ready.take_batch(&batch));
        assert_eq!(rig.read(&mut ready), "x ".repeat(batch::MOST + 1));
        rig.push("d");
        rig.ring.next_batch(&mut batch);
        assert!(text(&batch) == b"d" && ready.take_batch(&batch));
        let large = "l".repeat(batch::MOST_BYTES);
        rig.push(&large);
        rig.ring.next_batch(&mut batch);
        assert!(batch.packets.len() == 1 && ready.take_batch(&batch), "one is not too much");
        rig.push_all(["e", &large]);
        rig.ring.next_batch(&mut batch);
        assert!(text(&batch).is_empty());
        assert_eq!(rig.read(&mut ready).len(), large.len() + 3);
        rig.ring.restart();
        rig.push("K2");
        rig.ring.next_batch(&mut batch);
        assert!(!ready.take_batch(&batch), "not a continuation");
        assert_eq!(rig.read(&mut ready), "|");
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
    fn packets_of_a_track_that_a_header_lacks_are_passed_over() {
        let mut rig = Rig::new();
        rig.ring.set_header(b"H1");
        rig.push("K1");
        let mut early = rig.reader(Join::Keyframe, true);
        assert_eq!(rig.read(&mut early), "H1 K1 ");
        rig.ring.set_header_version(1);
        rig.ring.set_header(b"H2");
        let mut added = Packet::copy_of(Kind::Delta, b"sound");
        added.needs = 1;
        rig.push("K2");
        rig.ring.push(added.clone(), None, rig.now);
        rig.push("a");
        let mut batch = Batch::default();
        rig.ring.next_batch(&mut batch);
        let mut late = rig.reader(Join::Keyframe, true);
        let mut raw = rig.reader(Join::Keyframe, false);
        assert_eq!(rig.read(&mut early), "K2 a ");
        assert_eq!(rig.read(&mut late), "H2 K2 sound a ");
        assert_eq!(rig.read(&mut raw), "K2 sound a ");
        // A shortcut is for those who get all of it.
        rig.ring.push(added, None, rig.now);
        rig.ring.next_batch(&mut batch);
        assert!(!early.take_batch(&batch) && late.take_batch(&batch));
        // Whoever comes after everything began again has what there is then.
        rig.ring.restart();
        rig.ring.set_header(b"H3");
        rig.push("K3");
        assert_eq!(rig.read(&mut rig.reader(Join::Keyframe, true)), "H3 K3 ");
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
        let (mut ready, mut batch) = (rig.reader(Join::Live, false), Batch::default());
        rig.push("a");
        assert_eq!(rig.read(&mut ready), "a ");
        rig.ring.next_batch(&mut batch);
        rig.push("b");
        rig.ring.finish();
        rig.ring.next_batch(&mut batch);
        assert!(!ready.take_batch(&batch), "who is up to date would not see the end");
        assert_eq!(rig.read(&mut ready), "b |");
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
