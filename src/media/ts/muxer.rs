//! A muxer for live tracks: each sample leaves at once, in packets of its own.
//!
//! No track waits for another, but for the first tables. Sound that takes longer through its encoder than pictures do
//! comes behind pictures of later times; readers put both in order by their stamps.

use super::coding::Track;
use super::packet::{PACKET, PAT_PID, set_counter};
use super::pcr::PcrGenerator;
use super::pes::{Adaptation, Packetizer, PesHeader, Stamps, next, ticks};
use super::section::{PAT_TABLE, PMT_TABLE, packets, section};
use crate::media::sample::{Sample, Waiting};
use crate::media::{Kind, PacketBuf, Time};
use std::time::Instant;

const PROGRAM: u16 = 1;
const PMT_PID: u16 = 0x1000;
/// PID of the first track.
const FIRST_PID: u16 = 0x100;
/// Most tracks, so that their map fits into one section.
const MAX_TRACKS: usize = 32;
/// Tables are repeated so often, in nanoseconds (ETSI TR 101 290, section 5.2.1, has five times that).
const REPEAT: i64 = 100_000_000;
/// What leaves a [`Muxer`] for a sample: whole packets.
#[derive(Debug, PartialEq, Eq)]
pub struct Made {
    /// A reader may begin with it.
    pub is_join: bool,
    /// When the sample is shown.
    pub shown: i64,
    /// The packets.
    pub bytes: Vec<u8>,
}

/// Muxes some tracks, which are told apart by their place. If there are pictures, they have the first place.
#[derive(Debug)]
pub struct Muxer<P> {
    lanes: Vec<Lane>,
    waiting: Waiting<P>,
    clock: PcrGenerator,
    /// `None` when what they say has changed.
    tables: Option<Tables>,
    /// Of the next tables.
    version: u8,
    /// Continuity counters of the tables, those of the association and of the map.
    counters: [u8; 2],
}

#[derive(Debug, Default)]
struct Lane {
    track: Option<Track>,
    /// Continuity counter of the next packet.
    counter: u8,
}

#[derive(Debug)]
struct Tables {
    /// Those of the association, and those of the map.
    packets: [Vec<[u8; PACKET]>; 2],
    /// The place of the track that has the clock, and the join points.
    leader: usize,
    /// When the sample is decoded that they were in front of last.
    sent: Option<i64>,
}

impl<P: AsRef<[u8]>> Muxer<P> {
    /// A muxer for so many tracks.
    pub fn new(tracks: usize) -> Self {
        let lanes = (0..tracks.min(MAX_TRACKS)).map(|_| Lane::default()).collect();
        Self {
            lanes,
            waiting: Waiting::new(),
            clock: PcrGenerator::default(),
            tables: None,
            version: 0,
            counters: [0; 2],
        }
    }

    /// Says what the samples of a track are from now on.
    pub fn describe(&mut self, place: usize, track: Track) {
        let Some(lane) = self.lanes.get_mut(place).filter(|lane| lane.track.as_ref() != Some(&track)) else { return };
        lane.track = Some(track);
        self.tables = None;
    }

    /// Takes the next sample of a track, which has to be described, and adds what leaves to `out`.
    pub fn push(&mut self, place: usize, sample: Sample<P>, now: Instant, out: &mut Vec<Made>) {
        if self.lanes.get(place).is_none_or(|lane| lane.track.is_none()) {
            return;
        }
        if self.waiting.is_over() {
            return out.extend(self.write(place, &sample));
        }
        let is_whole = self.lanes.iter().all(|lane| lane.track.is_some());
        for (place, sample) in self.waiting.push(place, sample, is_whole, now).unwrap_or_default() {
            out.extend(self.write(place, &sample));
        }
    }

    fn write(&mut self, place: usize, sample: &Sample<P>) -> Option<Made> {
        let Self { lanes, clock, tables, version, counters, .. } = self;
        let tables = tables.get_or_insert_with(|| {
            let tables = Tables::of(lanes, *version);
            *version = (*version + 1) % 32;
            tables
        });
        let leads = place == tables.leader;
        let has_pictures = lanes.get(tables.leader)?.track.as_ref()?.has_pictures;
        let is_due = tables.sent.is_none_or(|sent| leads && (sample.decode - sent).abs() >= REPEAT);
        let is_join = leads && sample.is_sync && (has_pictures || is_due);
        let Lane { track: Some(track), counter } = lanes.get_mut(place)? else { return None };
        let mut out = PacketBuf::with_capacity(sample.length + sample.length / 40 + 5 * PACKET);
        if is_due || is_join {
            tables.sent = Some(sample.decode);
            tables.write(counters, &mut out);
        }
        let payload = sample.payload.as_ref();
        let ticks = |nanos| ticks(Time::from_nanos(nanos));
        let stamps = Stamps { dts: ticks(sample.decode), pts: ticks(sample.shown) };
        let mut front = Vec::with_capacity(32);
        track.write_front(payload, &mut front);
        let header = PesHeader::new(track.id, stamps, front.len() + payload.len());
        let pcr = clock.at(sample.decode, leads).map(ticks);
        let adaptation = Adaptation { is_random_access: is_join, pcr, ..Adaptation::default() };
        let size = header.bytes().len() + front.len() + payload.len();
        // A place is below MAX_TRACKS.
        let mut packetizer = Packetizer::new(FIRST_PID + place as u16, counter, adaptation, size, &mut out);
        [header.bytes(), &front, payload].into_iter().for_each(|part| packetizer.put(part));
        let bytes = out.finish(Kind::Delta).payload().to_vec();
        Some(Made { is_join, shown: sample.shown, bytes })
    }
}

impl Tables {
    /// The tables of all tracks that are described.
    fn of(lanes: &[Lane], version: u8) -> Self {
        let tracks = lanes.iter().enumerate().filter_map(|(place, lane)| Some((place, lane.track.as_ref()?)));
        let first = |wish: fn(&Track) -> bool| tracks.clone().find(|(_, track)| wish(track)).map(|(place, _)| place);
        let leader = first(|track| track.has_pictures).or(first(|_| true)).unwrap_or(0);
        let pid = |place: usize, flags: u8| {
            let [high, low] = (FIRST_PID + place as u16).to_be_bytes();
            [high | flags, low]
        };
        let mut map = pid(leader, 0xe0).to_vec();
        map.extend([0xf0, 0]);
        for (place, Track { kind, descriptors, .. }) in tracks.clone() {
            map.push(*kind);
            map.extend(pid(place, 0xe0));
            map.extend([0xf0, descriptors.len() as u8]);
            map.extend(descriptors);
        }
        let [high, low] = PMT_PID.to_be_bytes();
        let [program, number] = PROGRAM.to_be_bytes();
        let association = packets(PAT_PID, &section(PAT_TABLE, 1, 0, &[program, number, 0xe0 | high, low]));
        let map = packets(PMT_PID, &section(PMT_TABLE, PROGRAM, version, &map));
        Self { packets: [association, map], leader, sent: None }
    }

    fn write(&self, counters: &mut [u8; 2], out: &mut PacketBuf) {
        for (packets, counter) in self.packets.iter().zip(counters) {
            for mut raw in packets.iter().copied() {
                set_counter(&mut raw, next(counter));
                out.extend_from_slice(&raw);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        coding::Coding,
        packet::Packet,
        pes::{BASE, CLOCK},
    };
    use super::*;
    use crate::media::{Container, sample::MAX_WAITING, testing::Scan};
    use proptest::prelude::*;
    use std::{collections::BTreeMap, time::Duration};

    const MS: i64 = 1_000_000;
    const KEY: &[u8] = b"\0\0\0\x01\x09\xf0\0\0\0\x01\x67\x42\xc0\x0d\0\0\0\x01\x68\xce\x3c\x80\0\0\0\x01\x65\x88";
    const DELTA: &[u8] = b"\0\0\0\x01\x09\xf0\0\0\0\x01\x41\x9a";
    const SOUND: &[u8] = b"\x21\x10\x04\x60\x8c\x1c";

    struct Rig {
        muxer: Muxer<Vec<u8>>,
        begin: Instant,
        out: Vec<Made>,
    }

    impl Rig {
        fn new(codings: &[Coding]) -> Self {
            let mut muxer = Muxer::new(codings.len());
            let tracks = codings.iter().map(|coding| Track::new(coding).unwrap());
            tracks.enumerate().for_each(|(place, track)| muxer.describe(place, track));
            Self { muxer, begin: Instant::now(), out: Vec::new() }
        }

        fn of_both() -> Self {
            Self::new(&[Coding::H264, Coding::Aac(vec![0x11, 0x90])])
        }

        /// A sample that comes when it is shown; how many leave, with a `J` for each join point and a `d` for others.
        fn push(&mut self, place: usize, millis: i64, is_sync: bool, payload: &[u8]) -> String {
            self.push_reordered(place, [millis; 2], is_sync, payload)
        }

        fn push_reordered(&mut self, place: usize, millis: [i64; 2], is_sync: bool, payload: &[u8]) -> String {
            let [decode, shown] = millis.map(|millis| millis * MS);
            let (payload, length) = (payload.to_vec(), payload.len());
            let sample = Sample { decode, shown, duration: None, is_sync, length, payload };
            let from = self.out.len();
            let now = self.begin + Duration::from_millis(u64::try_from(millis[0]).unwrap_or(0));
            self.muxer.push(place, sample, now, &mut self.out);
            self.out[from..].iter().map(|made| if made.is_join { 'J' } else { 'd' }).collect()
        }

        fn bytes(&self) -> Vec<u8> {
            self.out.iter().flat_map(|made| made.bytes.clone()).collect()
        }
    }

    fn packets_of(bytes: &[u8]) -> Vec<[u8; PACKET]> {
        let (packets, []) = bytes.as_chunks::<PACKET>() else { panic!("no whole packets") };
        packets.to_vec()
    }

    /// The PES packets on each PID, heads and all.
    fn units(bytes: &[u8]) -> BTreeMap<u16, Vec<Vec<u8>>> {
        let mut units: BTreeMap<u16, Vec<Vec<u8>>> = BTreeMap::new();
        for raw in packets_of(bytes) {
            let packet = Packet::new(&raw).unwrap();
            let of = units.entry(packet.pid()).or_default();
            match packet.starts_unit() {
                true => of.push(packet.payload().to_vec()),
                false => of.last_mut().unwrap().extend_from_slice(packet.payload()),
            }
        }
        units
    }

    fn read_stamp(bytes: &[u8]) -> i64 {
        let [a, b, c, d, e] = *bytes.first_chunk::<5>().unwrap();
        assert_eq!((a & 1, c & 1, e & 1), (1, 1, 1));
        let part = |byte: u8, shift: u32| i64::from(byte) << shift;
        part(a >> 1 & 7, 30) | part(b, 22) | part(c >> 1, 15) | part(d, 7) | part(e >> 1, 0)
    }

    #[test]
    fn samples_leave_at_once_and_a_scanner_finds_what_was_meant() {
        let mut rig = Rig::of_both();
        let made = [
            rig.push(0, 0, true, KEY),
            rig.push(1, -30, true, SOUND),
            rig.push(0, 40, false, DELTA),
            rig.push(0, 80, true, KEY),
        ];
        assert_eq!(made, ["J", "d", "d", "J"]);
        let bytes = rig.bytes();
        let found = Scan::of(None, &bytes, &[100]);
        assert_eq!((found.container, found.joins.len()), (Some(Container::Ts), 2));
        // Each join point brings its tables.
        for made in rig.out.iter().filter(|made| made.is_join) {
            let pids: Vec<u16> = packets_of(&made.bytes).iter().map(|raw| Packet::new(raw).unwrap().pid()).collect();
            assert_eq!(pids[..3], [PAT_PID, PMT_PID, FIRST_PID]);
        }
    }

    #[test]
    fn a_unit_says_when_it_is_shown_and_how_long_it_is() {
        let mut rig = Rig::new(&[Coding::H264]);
        rig.push_reordered(0, [-40, 80], true, KEY);
        rig.push_reordered(0, [0, 0], false, &[DELTA, &[0xaa; 70_000]].concat());
        let bytes = rig.bytes();
        let units = &units(&bytes)[&FIRST_PID];
        assert_eq!(units[0][..9], [0, 0, 1, 0xe0, 0, 13 + KEY.len() as u8, 0x84, 0xc0, 10]);
        assert_eq!((read_stamp(&units[0][9..]), read_stamp(&units[0][14..])), (BASE + 7200, BASE - 3600));
        assert_eq!(&units[0][19..], KEY);
        assert_eq!(units[1][..9], [0, 0, 1, 0xe0, 0, 0, 0x84, 0x80, 5], "too long to say so");
        assert_eq!(units[1].len(), 14 + DELTA.len() + 70_000);
        // The clock is behind what is decoded.
        let first = packets_of(&bytes)[2];
        let at = Packet::new(&first).unwrap().clock_reference().unwrap();
        let base = first[at..at + 4].iter().fold(0, |base, byte| base << 8 | i64::from(*byte)) << 1;
        assert_eq!(base | i64::from(first[at + 4] >> 7), BASE - 3600 - i64::from(CLOCK) / 8);
    }

    #[test]
    fn tables_wait_for_their_tracks_but_not_for_long() {
        let mut rig = Rig { muxer: Muxer::new(2), ..Rig::of_both() };
        assert_eq!(rig.push(0, 0, true, KEY), "", "nobody knows what it is");
        rig.muxer.describe(0, Track::new(&Coding::H264).unwrap());
        let made: Vec<_> = (0..=50).map(|number| rig.push(0, number * 40, number == 0, DELTA).len()).collect();
        assert_eq!((made.iter().sum::<usize>(), made[50]), (51, 51));
        // It comes after all: the tables are new ones.
        rig.muxer.describe(1, Track::new(&Coding::Ac3).unwrap());
        assert_eq!(rig.push(1, 2010, true, SOUND), "d");
        let tables = units(&rig.out.last().unwrap().bytes);
        let map = &tables[&PMT_PID][0];
        assert_eq!((map[1 + 5] >> 1 & 31, map.contains(&0x81)), (1, true));
        // What they say again is nothing new.
        rig.muxer.describe(1, Track::new(&Coding::Ac3).unwrap());
        rig.push(1, 2020, true, SOUND);
        assert_eq!(rig.out.last().unwrap().bytes.len(), PACKET);
    }

    #[test]
    fn a_file_that_comes_at_once_does_not_wait_in_memory() {
        let mut rig = Rig { muxer: Muxer::new(2), ..Rig::of_both() };
        rig.muxer.describe(1, Track::new(&Coding::Adts).unwrap());
        let made: Vec<_> = (0..MAX_WAITING).map(|_| rig.push(1, 0, true, SOUND).len()).collect();
        assert_eq!((made[MAX_WAITING - 2], made[MAX_WAITING - 1]), (0, MAX_WAITING));
    }

    #[test]
    fn sound_alone_can_be_joined_ten_times_a_second() {
        let mut rig = Rig::new(&[Coding::Opus { channels: 2 }]);
        let made: String = (0..100).map(|number| rig.push(0, number * 20, true, SOUND)).collect();
        assert_eq!(made.matches('J').count(), 20, "{made}");
        assert_eq!(Scan::of(None, &rig.bytes(), &[1000]).container, Some(Container::Ts));
    }

    proptest! {
        #[test]
        fn whatever_comes_can_be_taken_apart_again(
            samples in prop::collection::vec((0usize..2, any::<bool>(), prop::collection::vec(any::<u8>(), 1..1000)), 1..40),
        ) {
            let mut rig = Rig::new(&[Coding::Mpeg2, Coding::Adts]);
            for (number, (place, is_sync, payload)) in samples.iter().enumerate() {
                rig.push(*place, i64::try_from(number).unwrap() * 20, *is_sync, payload);
            }
            let bytes = rig.bytes();
            let units = units(&bytes);
            for place in [0, 1] {
                let meant = samples.iter().filter(|(of, ..)| *of == place).map(|(.., payload)| payload.clone());
                let found = units.get(&(FIRST_PID + place as u16)).cloned().unwrap_or_default();
                prop_assert_eq!(found.iter().map(|unit| unit[14..].to_vec()).collect::<Vec<_>>(), meant.collect::<Vec<_>>());
            }
            let mut counters: BTreeMap<u16, u8> = BTreeMap::new();
            for raw in packets_of(&bytes) {
                let packet = Packet::new(&raw).unwrap();
                if let Some(last) = counters.insert(packet.pid(), packet.counter()) {
                    prop_assert_eq!(packet.counter(), (last + 1) & 15);
                }
            }
        }
    }
}
