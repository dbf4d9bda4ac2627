//! A muxer for samples in canonical form: each leaves immediately, in transport packets of its own.
//!
//! No track waits for another. Audio that takes longer through its encoder than video comes after video of later times;
//! demuxers put both in order by their timestamps.

use super::elementary::Elementary;
use super::packet::{PACKET, discontinuity};
use super::pcr::PcrGenerator;
use super::pes::{Adaptation, Packetizer, PesHeader, Stamps, ticks};
use super::tables::{Entry, Program, Tables};
use crate::media::codec::CodecParameters;
use crate::media::mux::{HeaderChange, Muxed};
use crate::media::sample::Sample;
use crate::media::{Kind, PacketBuf, Time, TrackId, TrackInfo, track};
use bytes::Bytes;

/// PID of the track that came first.
const FIRST_PID: u16 = 0x100;
/// Most tracks at a time, so that their PMT fits into one section of 1021 bytes.
const MAX_TRACKS: usize = 32;
/// PAT and PMT are repeated so often, in nanoseconds (ETSI TR 101 290, section 5.2.1, allows five times that).
const REPEAT: i64 = 100_000_000;
/// A step of the timeline that is announced, in nanoseconds: a shorter one forward may be a pause between frames.
const JUMP: i64 = 1_000_000_000;

/// Makes one transport stream of samples. Continuity counters, table versions and PIDs outlive changes of the tracks.
#[derive(Debug, Default)]
pub struct Muxer {
    /// The tracks that there are now.
    streams: Vec<Stream>,
    /// Every track that there was: its place is that of its PID. No more than there are track numbers.
    lanes: Vec<Lane>,
    lead: Option<Lead>,
    pcr: PcrGenerator,
    tables: Tables,
    /// DTS of the sample that the tables preceded last; `None` when they are due.
    tables_at: Option<Time>,
}

/// The track that has the PCR and the join points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lead {
    track: TrackId,
    is_video: bool,
}

#[derive(Debug)]
struct Stream {
    track: TrackId,
    lane: usize,
    is_video: bool,
    elementary: Elementary,
    /// Its parameter sets are to be sent with the next sample, whatever that is.
    has_new_sets: bool,
}

/// What is kept of a track while the stream lasts.
#[derive(Debug)]
struct Lane {
    track: TrackId,
    /// Continuity counter of the next packet.
    counter: u8,
    /// DTS of the last sample.
    last: Option<Time>,
}

impl Muxer {
    /// For a reader that lost data and continues with the next packet: for each PID a packet without payload that announces a
    /// discontinuity and has the counter of now (section 2.4.3.5). Nothing before the first sample.
    pub fn skip_notice(&self) -> Bytes {
        if self.tables_at.is_none() {
            return Bytes::new();
        }
        let lanes = self.lanes.iter().enumerate().filter(|(_, lane)| lane.last.is_some());
        let lanes = lanes.map(|(place, lane)| (pid(place), lane.counter.wrapping_sub(1) & 0x0f));
        let pids = self.tables.last_counters().into_iter().chain(lanes);
        pids.flat_map(|(pid, counter)| discontinuity(pid, counter)).collect()
    }

    /// A muxer without tracks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a track of this codec can be carried.
    pub fn carries(codec: &CodecParameters) -> bool {
        Elementary::of(codec).is_some()
    }

    /// Sets the tracks from now on, of which those that it does not carry are dropped, and what is more than 32. The
    /// header is the packets of PAT and PMT, which are in the stream as well.
    pub fn set_tracks(&mut self, tracks: &[TrackInfo], out: &mut Vec<Muxed>) {
        let mut streams = Vec::new();
        for info in tracks {
            let Some(elementary) = Elementary::of(&info.codec) else { continue };
            if streams.len() == MAX_TRACKS || streams.iter().any(|stream: &Stream| stream.track == info.id) {
                continue;
            }
            let known = self.streams.iter().find(|stream| stream.track == info.id);
            let has_new_sets = known.is_some_and(|known| known.has_new_sets || known.elementary != elementary);
            let is_video = info.video().is_some();
            streams.push(Stream { track: info.id, lane: self.lane(info.id), is_video, elementary, has_new_sets });
        }
        let carried: Vec<TrackInfo> =
            tracks.iter().filter(|info| streams.iter().any(|stream| stream.track == info.id)).cloned().collect();
        let lead = track::lead(&carried).map(|info| Lead { track: info.id, is_video: info.video().is_some() });
        if self.lead.map(|lead| lead.track) != lead.map(|lead| lead.track) {
            self.pcr.lead_changed();
        }
        (self.streams, self.lead) = (streams, lead);
        let Some(lead) = lead else { return };
        let entry = |stream: &Stream| Entry {
            stream_type: stream.elementary.stream_type,
            pid: pid(stream.lane),
            descriptors: stream.elementary.descriptors.clone(),
        };
        let pcr_pid =
            self.streams.iter().find(|stream| stream.track == lead.track).map_or(0x1fff, |stream| pid(stream.lane));
        if self.tables.set(Program { pcr_pid, entries: self.streams.iter().map(entry).collect() }) {
            self.tables_at = None;
            out.push(Muxed::Header { bytes: self.tables.header().into(), readers: HeaderChange::None });
        }
    }

    /// Muxes the next sample into one packet.
    pub fn push(&mut self, sample: &Sample, out: &mut Vec<Muxed>) {
        let Self { streams, lanes, lead: Some(lead), pcr, tables, tables_at } = self else { return };
        let Some(stream) = streams.iter_mut().find(|stream| stream.track == sample.track) else { return };
        let Some(lane) = lanes.get_mut(stream.lane).filter(|_| !sample.data.is_empty()) else { return };
        let leads = lead.track == sample.track;
        let step = lane.last.replace(sample.dts).map_or(0, |last| sample.dts.since(last));
        // Only the lead track has a PCR, whose time base a jump changes.
        let has_jumped = leads && (step < 0 || sample.discontinuity && step > JUMP);
        // Those of a header are continued by the first that come, which must be where readers begin.
        let is_due = leads && tables_at.is_none_or(|at| sample.dts.since(at).saturating_abs() >= REPEAT);
        let is_join = leads && sample.is_sync && (lead.is_video || is_due);
        let with_tables = is_due || is_join;
        let with_sets = sample.is_sync || std::mem::take(&mut stream.has_new_sets);
        stream.has_new_sets = false;

        let mut payload = 0;
        stream.elementary.write(sample, with_sets, &mut |part| payload += part.len());
        if payload == 0 {
            return;
        }
        let stamps = Stamps { dts: ticks(sample.dts), pts: ticks(sample.pts.max(sample.dts)) };
        let header = PesHeader::new(stream.elementary.stream_id, stamps, payload);
        let pcr = pcr.at(sample.dts.nanos(), leads).map(|pcr| ticks(Time::from_nanos(pcr)));
        let adaptation = Adaptation {
            is_discontinuity: has_jumped,
            is_random_access: is_join || sample.is_sync && stream.is_video,
            has_priority: sample.is_sync && stream.elementary.has_priority(),
            pcr,
        };
        let pes = header.bytes().len() + payload;
        let tables_size = if with_tables { tables.size() } else { 0 };
        let mut buffer = PacketBuf::with_capacity(tables_size + adaptation.packets(pes) * PACKET);
        if with_tables {
            *tables_at = Some(sample.dts);
            tables.write(&mut buffer);
        }
        let mut packetizer = Packetizer::new(pid(stream.lane), &mut lane.counter, adaptation, pes, &mut buffer);
        packetizer.put(header.bytes());
        stream.elementary.write(sample, with_sets, &mut |part| packetizer.put(part));

        let mut packet = buffer.finish(if is_join { Kind::Keyframe } else { Kind::Delta });
        packet.captured = sample.captured;
        packet.entered = sample.entered;
        packet.discontinuity = sample.discontinuity;
        out.push(Muxed::Packet(packet));
    }

    /// The lane of a track, which is made when it is new.
    fn lane(&mut self, track: TrackId) -> usize {
        let known = self.lanes.iter().position(|lane| lane.track == track);
        known.unwrap_or_else(|| {
            self.lanes.push(Lane { track, counter: 0, last: None });
            self.lanes.len() - 1
        })
    }
}

/// PID of a lane; there are 256 lanes at most.
const fn pid(lane: usize) -> u16 {
    FIRST_PID + lane as u16
}

#[cfg(test)]
mod tests {
    use super::super::packet::{PAT_PID, Packet};
    use super::super::pes::{BASE, CLOCK};
    use super::*;
    use crate::media::codec::{aac, av1, h264, opus};
    use crate::media::testing::Scan;
    use crate::media::track::{AudioShape, Shape, VideoShape};
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::{collections::BTreeMap, time::Instant};

    const PMT_PID: u16 = 0x1000;
    const KEY: &[u8] = b"\0\0\0\x02\x06\x05\0\0\0\x02\x65\x88";
    const DELTA: &[u8] = b"\0\0\0\x02\x41\x9a";
    const AUDIO: &[u8] = b"\x21\x10\x04\x60\x8c\x1c";

    fn video(id: u8, codec: CodecParameters) -> TrackInfo {
        let shape = VideoShape { width: 0, height: 0, pixel_aspect: (1, 1), frame_rate: None };
        TrackInfo { id: TrackId(id), codec, shape: Shape::Video(shape) }
    }

    fn audio(id: u8, codec: CodecParameters) -> TrackInfo {
        TrackInfo { id: TrackId(id), codec, shape: Shape::Audio(AudioShape { rate: 48_000, channels: 2 }) }
    }

    fn h264(id: u8, pps: &'static [u8]) -> TrackInfo {
        let sps = vec![Bytes::from_static(b"\x67\x42\xc0\x0d")];
        video(id, CodecParameters::H264(h264::Parameters { sps, pps: vec![Bytes::from_static(pps)] }))
    }

    fn aac(id: u8) -> TrackInfo {
        audio(id, CodecParameters::Aac(aac::Parameters { config: Bytes::from_static(&[0x11, 0x90]) }))
    }

    fn sample(track: u8, [dts, pts]: [i64; 2], is_sync: bool, data: &[u8]) -> Sample {
        Sample {
            track: TrackId(track),
            dts: Time::from_millis(dts),
            pts: Time::from_millis(pts),
            duration: None,
            is_sync,
            discontinuity: false,
            captured: None,
            entered: None,
            data: Bytes::copy_from_slice(data),
        }
    }

    #[derive(Default)]
    struct Rig {
        muxer: Muxer,
        headers: Vec<Bytes>,
        packets: Vec<crate::media::Packet>,
    }

    impl Rig {
        fn new(tracks: &[TrackInfo]) -> Self {
            let mut rig = Self::default();
            rig.set(tracks);
            rig
        }

        fn set(&mut self, tracks: &[TrackInfo]) {
            let mut out = Vec::new();
            self.muxer.set_tracks(tracks, &mut out);
            self.take(out);
        }

        /// What leaves: a `J` for a join point, a `d` for others.
        fn push(&mut self, sample: &Sample) -> String {
            let (mut out, from) = (Vec::new(), self.packets.len());
            self.muxer.push(sample, &mut out);
            self.take(out);
            self.packets[from..].iter().map(|packet| if packet.kind == Kind::Keyframe { 'J' } else { 'd' }).collect()
        }

        fn take(&mut self, out: Vec<Muxed>) {
            for muxed in out {
                match muxed {
                    Muxed::Header { bytes, readers } => {
                        assert_eq!(readers, HeaderChange::None);
                        self.headers.push(bytes);
                    }
                    Muxed::Packet(packet) => self.packets.push(packet),
                    Muxed::WantsKeyframe => panic!("it never does"),
                }
            }
        }

        fn bytes(&self) -> Vec<u8> {
            self.packets.iter().flat_map(|packet| packet.payload().to_vec()).collect()
        }
    }

    fn packets_of(bytes: &[u8]) -> Vec<[u8; PACKET]> {
        let (packets, []) = bytes.as_chunks::<PACKET>() else { panic!("no whole packets") };
        packets.to_vec()
    }

    /// The PES packets and sections on each PID.
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

    #[track_caller]
    fn check_counters(bytes: &[u8]) {
        let mut counters: BTreeMap<u16, u8> = BTreeMap::new();
        for raw in packets_of(bytes) {
            let packet = Packet::new(&raw).unwrap();
            if let Some(last) = counters.insert(packet.pid(), packet.counter()) {
                assert_eq!(packet.counter(), (last + 1) & 15, "of {:#x}", packet.pid());
            }
        }
    }

    fn read_stamp(bytes: &[u8]) -> i64 {
        let [a, b, c, d, e] = *bytes.first_chunk::<5>().unwrap();
        assert_eq!((a & 1, c & 1, e & 1), (1, 1, 1));
        let part = |byte: u8, shift: u32| i64::from(byte) << shift;
        part(a >> 1 & 7, 30) | part(b, 22) | part(c >> 1, 15) | part(d, 7) | part(e >> 1, 0)
    }

    #[test]
    fn each_keyframe_has_tables_delimiter_and_parameter_sets_in_front() {
        let mut rig = Rig::new(&[aac(7), h264(3, b"\x68\xce")]);
        let made = [
            rig.push(&sample(3, [0; 2], true, KEY)),
            rig.push(&sample(7, [-30; 2], true, AUDIO)),
            rig.push(&sample(3, [40; 2], false, DELTA)),
            rig.push(&sample(9, [40; 2], false, DELTA)),
            rig.push(&sample(3, [80; 2], true, KEY)),
        ];
        assert_eq!(made, ["J", "d", "d", "", "J"]);
        for join in rig.packets.iter().filter(|packet| packet.kind == Kind::Keyframe) {
            let packets = packets_of(&join.payload());
            let pids: Vec<u16> = packets.iter().map(|raw| Packet::new(raw).unwrap().pid()).collect();
            assert_eq!(pids, [PAT_PID, PMT_PID, 0x101]);
            assert!(Packet::new(&packets[2]).unwrap().is_random_access());
            let pes = &units(&join.payload())[&0x101][0];
            let frame =
                b"\0\0\0\x01\x09\xf0\0\0\0\x01\x67\x42\xc0\x0d\0\0\0\x01\x68\xce\0\0\0\x01\x06\x05\0\0\0\x01\x65\x88";
            assert_eq!(&pes[14..], frame);
        }
        assert_eq!(&units(&rig.bytes())[&0x101][1][14..], b"\0\0\0\x01\x09\xf0\0\0\0\x01\x41\x9a");
        let adts = [&[0xff, 0xf1, 0x4c, 0x80, 1, 0xbf, 0xfc][..], AUDIO].concat();
        assert_eq!(&units(&rig.bytes())[&0x100][0][14..], adts);
        let found = Scan::of(None, &rig.bytes(), &[100]);
        assert_eq!(found.joins.len(), 2);
        assert_eq!(found.headers.len(), 1);
    }

    #[test]
    fn a_header_is_continued_by_the_next_tables() {
        let mut rig = Rig::new(&[h264(0, b"\x68")]);
        for number in 0..9 {
            rig.push(&sample(0, [number * 40; 2], true, KEY));
        }
        rig.set(&[h264(0, b"\x68")]);
        assert_eq!(rig.headers.len(), 1, "nothing changed");
        rig.set(&[h264(0, b"\x68"), aac(1)]);
        rig.push(&sample(0, [400; 2], true, KEY));
        assert_eq!(rig.headers.len(), 2);
        check_counters(&[&rig.headers[1][..], &rig.packets[9].payload()].concat());
    }

    #[test]
    fn counters_versions_and_pids_outlive_a_change_of_tracks() {
        let mut rig = Rig::new(&[h264(0, b"\x68"), aac(1)]);
        let mut at = 0;
        let mut run = |rig: &mut Rig, tracks: &[TrackInfo]| {
            rig.set(tracks);
            for _ in 0..7 {
                at += 20;
                tracks.iter().for_each(|track| drop(rig.push(&sample(track.id.0, [at; 2], true, KEY))));
            }
        };
        for tracks in [&[h264(0, b"\x68"), aac(1)][..], &[aac(1)], &[], &[aac(5), h264(0, b"\x69")], &[aac(1)]] {
            run(&mut rig, tracks);
        }
        check_counters(&rig.bytes());
        let units = units(&rig.bytes());
        assert_eq!(units.keys().copied().collect::<Vec<_>>(), [PAT_PID, 0x100, 0x101, 0x102, PMT_PID]);
        let mut versions: Vec<u8> = units[&PMT_PID].iter().map(|table| table[1 + 5] >> 1 & 31).collect();
        versions.dedup();
        assert_eq!(versions, [0, 1, 2, 3]);
    }

    #[test]
    fn new_parameter_sets_come_with_the_next_sample_and_need_no_new_tables() {
        let mut rig = Rig::new(&[h264(0, b"\x68\x01")]);
        rig.push(&sample(0, [0; 2], true, KEY));
        rig.set(&[h264(0, b"\x68\x02")]);
        rig.push(&sample(0, [40; 2], false, DELTA));
        rig.push(&sample(0, [80; 2], false, DELTA));
        let frames = &units(&rig.bytes())[&0x100];
        let has = |frame: &[u8], set: &[u8]| frame.windows(2).any(|bytes| bytes == set);
        let seen: Vec<_> = frames.iter().map(|frame| [has(frame, b"\x68\x01"), has(frame, b"\x68\x02")]).collect();
        assert_eq!(seen, [[true, false], [false, true], [false, false]]);
        assert_eq!(rig.headers.len(), 1);
    }

    #[test]
    fn timestamps_and_clock_are_those_of_the_sample() {
        let mut rig = Rig::new(&[h264(0, b"\x68")]);
        rig.push(&sample(0, [-40, 80], true, KEY));
        let long = [DELTA, &70_000u32.to_be_bytes(), &[0xaa; 70_000]].concat();
        rig.push(&sample(0, [0, 0], false, &long));
        let frames = &units(&rig.bytes())[&0x100];
        assert_eq!((read_stamp(&frames[0][9..]), read_stamp(&frames[0][14..])), (BASE + 7200, BASE - 3600));
        assert_eq!(frames[1][..9], [0, 0, 1, 0xe0, 0, 0, 0x84, 0x80, 5], "too long to say so");
        assert_eq!(frames[1].len(), 14 + 6 + long.len());
        let first = packets_of(&rig.bytes())[2];
        let at = Packet::new(&first).unwrap().clock_reference().unwrap();
        let base = first[at..at + 4].iter().fold(0, |base, byte| base << 8 | i64::from(*byte)) << 1;
        assert_eq!(base | i64::from(first[at + 4] >> 7), BASE - 3600 - i64::from(CLOCK) / 8);
    }

    #[test]
    fn jumps_of_the_timeline_are_announced() {
        let mut rig = Rig::new(&[h264(0, b"\x68"), aac(1)]);
        let mut announced = |track: u8, at: i64, discontinuity: bool| {
            let from = rig.packets.len();
            let sample = Sample { discontinuity, ..sample(track, [at; 2], true, KEY) };
            rig.push(&sample);
            let payload = rig.packets[from].payload();
            assert_eq!(rig.packets[from].discontinuity, discontinuity);
            packets_of(&payload).iter().any(|raw| raw[3] & 0x20 != 0 && raw[4] > 0 && raw[5] & 0x80 != 0)
        };
        assert!(!announced(0, 0, true), "nothing was before it");
        assert!(!announced(0, 40, false));
        assert!(!announced(0, 3000, false), "a slow camera");
        assert!(!announced(0, 3500, true), "a short gap");
        assert!(announced(0, 9000, true));
        assert!(!announced(1, 8000, true));
        assert!(!announced(0, 9040, false));
        assert!(announced(0, 40, true));
        assert!(announced(0, i64::from(i32::MAX), true));
        assert!(announced(0, -i64::from(i32::MAX), false));
    }

    #[test]
    fn audio_alone_can_be_joined_ten_times_a_second() {
        let mut rig = Rig::new(&[audio(0, CodecParameters::Opus(opus::Parameters::simple(2)))]);
        let made: String = (0..100).map(|number| rig.push(&sample(0, [number * 20; 2], true, AUDIO))).collect();
        assert_eq!(made.matches('J').count(), 20, "{made}");
        check_counters(&rig.bytes());
    }

    #[test]
    fn obus_have_start_codes_and_no_others_within() {
        let header = Bytes::from_static(b"\x0a\x03\0\0\x01");
        let mut rig = Rig::new(&[video(0, CodecParameters::Av1(av1::Parameters { sequence_header: header }))]);
        rig.push(&sample(0, [0; 2], true, b"\x2a\x02\x01\0\x32\x09\0\0\0\0\0\x04\0\0\x03"));
        let frame =
            b"\0\0\x01\x0a\x03\0\0\x03\x01\0\0\x01\x2a\x02\x01\0\0\0\x01\x32\x09\0\0\x03\0\0\x03\0\x04\0\0\x03\x03";
        assert_eq!(&units(&rig.bytes())[&0x100][0][14..], frame);
        assert_eq!(units(&rig.bytes())[&0x100][0][3], 0xbd);
        assert_eq!(packets_of(&rig.bytes())[2][5] & 0x60, 0x60);
    }

    #[test]
    fn a_large_keyframe_is_one_allocation_and_quick() {
        let unit = vec![0x65; 2_000_000];
        let data = [&(unit.len() as u32).to_be_bytes()[..], &unit].concat();
        let (mut rig, mut best) = (Rig::new(&[h264(0, b"\x68")]), u128::MAX);
        for number in 0..9 {
            let key = sample(0, [number * 40; 2], true, &data);
            let (mut out, begin) = (Vec::with_capacity(1), Instant::now());
            rig.muxer.push(&key, &mut out);
            best = best.min(begin.elapsed().as_micros());
            rig.take(out);
        }
        let begin = Instant::now();
        let copy = crate::media::Packet::copy_of(Kind::Delta, &data);
        println!("2 MB keyframe: {best} us; a copy alone: {} us", begin.elapsed().as_micros());
        assert!(!copy.is_empty());
        assert!(best < 50_000);
        check_counters(&rig.bytes());
    }

    #[test]
    fn what_has_no_place_is_not_carried() {
        let aac = |config: &'static [u8]| CodecParameters::Aac(aac::Parameters { config: config.into() });
        let opus = |head: &'static [u8]| {
            let head = [b"OpusHead\x01", head].concat().into();
            CodecParameters::Opus(opus::Parameters { head })
        };
        for codec in [
            aac(b"\x11\x90"),
            aac(b"\x17\x80\0\0\0"),
            opus(b"\x02\0\0\0\0\0\0\0\0\0"),
            opus(b"\x06\0\0\0\0\0\0\0\0\x01\x04\x02\0\x04\x01\x02\x03\x05"),
        ] {
            assert!(Muxer::carries(&codec), "{codec:?}");
        }
        for codec in [
            CodecParameters::Vp8,
            CodecParameters::Jpeg,
            aac(b""),
            opus(b"\x09\0\0\0\0\0\0\0\0\x01"),
            opus(b"\x06\0\0\0\0\0\0\0\0\x01\x04\x02\0\x01\x02\x03\x04\x05"),
        ] {
            assert!(!Muxer::carries(&codec), "{codec:?}");
        }
        let mut rig = Rig::new(&[video(0, CodecParameters::Vp8)]);
        assert_eq!((rig.push(&sample(0, [0; 2], true, KEY)).len(), rig.headers.len()), (0, 0));
    }

    proptest! {
        #[test]
        fn whatever_comes_can_be_taken_apart_again(
            samples in prop::collection::vec((0u8..3, any::<bool>(), any::<bool>(), -9000i64..9000, prop::collection::vec(any::<u8>(), 0..600)), 1..40),
        ) {
            let mut rig = Rig::new(&[
                video(0, CodecParameters::Mpeg2Video),
                audio(1, CodecParameters::MpegAudio(crate::media::codec::mpeg_audio::Parameters { layer: 2, is_low_rate: false })),
                h264(2, b"\x68"),
            ]);
            for (track, is_sync, discontinuity, at, data) in &samples {
                rig.push(&Sample { discontinuity: *discontinuity, ..sample(*track, [*at; 2], *is_sync, data) });
            }
            let bytes = rig.bytes();
            let units = units(&bytes);
            for track in [0, 1] {
                let meant = samples.iter().filter(|(of, .., data)| *of == track && !data.is_empty());
                let found = units.get(&(FIRST_PID + u16::from(track))).cloned().unwrap_or_default();
                let found: Vec<Vec<u8>> = found.iter().map(|unit| unit[14..].to_vec()).collect();
                prop_assert_eq!(found, meant.map(|(.., data)| data.clone()).collect::<Vec<_>>());
            }
            check_counters(&bytes);
        }
    }
}
