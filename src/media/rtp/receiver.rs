//! RTP and RTCP packets of all tracks of a publisher → samples.
//!
//! RTP has no decoding times, and each track has a clock of its own that begins anywhere. Tracks begin with their arrival and are moved
//! to each other by the sender reports, which contain the timestamps of all clocks at one moment.

use super::{
    Depacketizer, Encoding, Header, Order, Packet, Reception, Unit, is_rtcp,
    report::{self, Report, SenderReport, ntp_since},
};
use crate::media::{
    Sample, Time, TrackId, TrackInfo,
    announcer::Announcer,
    codec::{CodecParameters, canonical::Canonicalizer, h264_sps},
    demux::Demuxed,
    reorder::{Ordered, Reorder},
};
use bytes::Bytes;
use std::time::Duration;

/// Tracks that the reports place further from each other than this are moved; what is less is the rounding of clocks.
const APART: i64 = 5_000_000;

/// How a track of a publisher comes.
#[derive(Debug, Clone)]
pub struct Description {
    /// Of its packets.
    pub encoding: Encoding,
    /// Ticks a second of its timestamps.
    pub clock_rate: u32,
    /// Of its packets; others are ignored.
    pub payload_type: u8,
}

/// Takes the packets of one publisher.
#[derive(Debug)]
pub struct Receiver {
    tracks: Vec<Track>,
    announcer: Announcer,
    /// The announcer knows how many tracks there are.
    has_begun: bool,
    /// Empty between two calls.
    packets: Vec<Packet>,
    units: Vec<Unit>,
}

#[derive(Debug)]
struct Track {
    id: TrackId,
    description: Description,
    order: Order,
    depacketizer: Depacketizer,
    canonicalizer: Canonicalizer,
    /// Only for codecs that may have B-frames.
    reorder: Option<Reorder<Sample>>,
    info: Option<TrackInfo>,
    reception: Option<Reception>,
    clock: Option<Clock>,
}

/// From timestamps to times.
#[derive(Debug, Clone, Copy)]
struct Clock {
    /// The newest timestamp, without wraps.
    newest: i64,
    /// The time at timestamp 0, in nanoseconds.
    origin: i64,
    rate: u32,
}

impl Clock {
    /// A clock whose first timestamp stands for this moment.
    fn new(timestamp: u32, rate: u32, now: Duration) -> Self {
        let now = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
        let newest = i64::from(timestamp);
        Self { newest, origin: now - Time::from_ticks(newest, rate).nanos(), rate }
    }

    /// The nearest timestamp without wraps.
    fn unwrap(&self, timestamp: u32) -> i64 {
        self.newest + i64::from(timestamp.wrapping_sub(self.newest as u32) as i32)
    }

    fn time(&mut self, timestamp: u32) -> Time {
        self.newest = self.unwrap(timestamp);
        Time::from_ticks(self.newest, self.rate).shifted(self.origin)
    }

    /// The time at the moment of a report.
    fn reported(&self, report: &SenderReport) -> Time {
        Time::from_ticks(self.unwrap(report.timestamp), self.rate).shifted(self.origin)
    }
}

impl Receiver {
    /// For these tracks, which get the numbers of their places.
    pub fn new(tracks: Vec<Description>) -> Self {
        let tracks = (0u8..).zip(tracks).map(|(number, description)| Track::new(TrackId(number), description));
        Self {
            tracks: tracks.collect(),
            announcer: Announcer::default(),
            has_begun: false,
            packets: Vec::new(),
            units: Vec::new(),
        }
    }

    /// Takes a packet of a track that came at `now`, on any clock that does not step; what is complete is appended to `out`.
    pub fn rtp(&mut self, number: usize, bytes: Bytes, now: Duration, out: &mut Vec<Demuxed>) {
        if is_rtcp(&bytes) {
            return self.rtcp(number, &bytes, now);
        }
        let Some(packet) = Packet::parse(bytes) else { return };
        let Some(track) = self.tracks.get_mut(number) else { return };
        if packet.header.payload_type != track.description.payload_type {
            return;
        }
        track.count(&packet.header, now);
        track.order.push(packet, now, &mut self.packets);
        self.deliver(number, out);
    }

    /// Takes reports of a track that came at `now`.
    pub fn rtcp(&mut self, number: usize, bytes: &[u8], now: Duration) {
        for report in report::parse(bytes) {
            let Report::Sender(report) = report else { continue };
            let Some(track) = self.tracks.get_mut(number) else { return };
            // Reports come before the first packet, too.
            let header =
                Header { payload_type: 0, marker: false, sequence: 0, timestamp: report.timestamp, ssrc: report.ssrc };
            let clock_rate = track.description.clock_rate;
            let reception = track.reception.get_or_insert_with(|| Reception::new(&header, clock_rate));
            reception.take_report(report, now);
            track.clock.get_or_insert_with(|| Clock::new(report.timestamp, clock_rate, now));
        }
        self.align();
    }

    /// To be called now and then: packets that are missing for too long are given up.
    pub fn tick(&mut self, now: Duration, out: &mut Vec<Demuxed>) {
        for number in 0..self.tracks.len() {
            if let Some(track) = self.tracks.get_mut(number) {
                track.order.expire(now, &mut self.packets);
            }
            self.deliver(number, out);
        }
    }

    /// When [`Receiver::tick`] has something to do; `None` while nothing waits.
    pub fn deadline(&self) -> Option<Duration> {
        self.tracks.iter().filter_map(|track| track.order.deadline()).min()
    }

    /// Nothing more comes: what waits leaves.
    pub fn finish(&mut self, out: &mut Vec<Demuxed>) {
        self.tick(Duration::MAX, out);
        for number in 0..self.tracks.len() {
            let mut ordered = Vec::new();
            if let Some(reorder) = self.tracks.get_mut(number).and_then(|track| track.reorder.as_mut()) {
                reorder.restart(&mut ordered);
            }
            self.samples(ordered, out);
        }
        let known: Vec<_> = self.tracks.iter().map(|track| track.info.as_ref()).collect();
        self.announcer.end(&known, out);
    }

    /// Receiver reports for all tracks of which something came, by their numbers.
    pub fn reports(&mut self, now: Duration) -> Vec<(usize, Vec<u8>)> {
        let report = |(number, track): (usize, &mut Track)| {
            let block = track.reception.as_mut().filter(|reception| reception.totals().0 > 0)?.block(now);
            Some((number, report::receiver(block.ssrc ^ 1, &[block], "voyandz")))
        };
        self.tracks.iter_mut().enumerate().filter_map(report).collect()
    }

    /// Packets that came, and packets that are missing, of all tracks.
    pub fn totals(&self) -> (u64, u64) {
        let totals = self.tracks.iter().filter_map(|track| track.reception.as_ref()).map(Reception::totals);
        totals.fold((0, 0), |(came, lost), (more, missing)| (came + more, lost + missing))
    }

    /// Moves the tracks to where the reports of the first one that has some place them.
    fn align(&mut self) {
        let of = |track: &Track| Some((*track.reception.as_ref()?.sender_report()?, track.clock?));
        let Some((lead, clock)) = self.tracks.iter().find_map(of) else { return };
        for track in &mut self.tracks {
            let Some((report, own)) = of(track) else { continue };
            let expected = clock.reported(&lead).shifted(ntp_since(report.ntp, lead.ntp));
            let apart = expected.since(own.reported(&report));
            if let Some(clock) = track.clock.as_mut().filter(|_| apart.saturating_abs() > APART) {
                clock.origin = clock.origin.saturating_add(apart);
            }
        }
    }

    fn deliver(&mut self, number: usize, out: &mut Vec<Demuxed>) {
        let mut packets = std::mem::take(&mut self.packets);
        for packet in packets.drain(..) {
            if let Some(track) = self.tracks.get_mut(number) {
                track.depacketizer.push(&packet, &mut self.units);
            }
            let mut units = std::mem::take(&mut self.units);
            units.drain(..).for_each(|unit| self.unit(number, unit, out));
            self.units = units;
        }
        self.packets = packets;
    }

    fn unit(&mut self, number: usize, unit: Unit, out: &mut Vec<Demuxed>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            let known: Vec<_> = self.tracks.iter().map(|track| track.info.as_ref()).collect();
            self.announcer.begin(&known, out);
        }
        let mut ordered = Vec::new();
        let has_changed = self.tracks.get_mut(number).is_some_and(|track| track.unit(unit, &mut ordered));
        if has_changed {
            let known: Vec<_> = self.tracks.iter().map(|track| track.info.as_ref()).collect();
            self.announcer.learn(&known, out);
        }
        self.samples(ordered, out);
    }

    fn samples(&mut self, ordered: Vec<Ordered<Sample>>, out: &mut Vec<Demuxed>) {
        for frame in ordered {
            let sample = Sample { dts: frame.dts, pts: frame.pts, ..frame.item };
            let tracks = || self.tracks.iter().map(|track| track.info.as_ref()).collect();
            self.announcer.sample(sample, tracks, out);
        }
    }
}

impl Track {
    fn new(id: TrackId, description: Description) -> Self {
        let mut track = Self {
            id,
            order: Order::default(),
            depacketizer: Depacketizer::new(&description.encoding),
            canonicalizer: Canonicalizer::new(description.encoding.source_form()),
            reorder: None,
            info: None,
            reception: None,
            clock: None,
            description,
        };
        track.learn();
        track
    }

    /// Counts a packet. A sender with another number begins again.
    fn count(&mut self, header: &Header, now: Duration) {
        let rate = self.description.clock_rate;
        let has_packets = |reception: &&mut Reception| reception.totals().0 > 0;
        let is_known = self.reception.as_ref().is_some_and(|reception| reception.ssrc() == header.ssrc);
        if !is_known {
            self.order = Order::default();
            self.clock = None;
        }
        // One that reported before its first packet is known, but not the number of that packet.
        if self.reception.as_mut().filter(has_packets).is_none() || !is_known {
            let report = self.reception.as_ref().filter(|_| is_known).and_then(Reception::last_report);
            let mut reception = Reception::new(header, rate);
            if let Some((report, came)) = report {
                reception.take_report(report, came);
            }
            self.reception = Some(reception);
        }
        if let Some(reception) = &mut self.reception {
            reception.count(header, now);
        }
        self.clock.get_or_insert_with(|| Clock::new(header.timestamp, rate, now));
    }

    /// Takes the next unit; whether more is known of the track then, or something else.
    fn unit(&mut self, unit: Unit, out: &mut Vec<Ordered<Sample>>) -> bool {
        let Some(clock) = &mut self.clock else { return false };
        let time = clock.time(unit.timestamp);
        let Some(canonical) = self.canonicalizer.push(unit.data) else { return false };
        let mut has_changed = false;
        if canonical.parameters_changed || self.info.is_none() {
            let before = self.info.clone();
            self.learn();
            has_changed = self.info != before;
            if let Some(reorder) = self.reorder.as_mut().filter(|_| has_changed) {
                reorder.release(out);
            }
        }
        if self.info.is_none() || canonical.data.is_empty() {
            return has_changed;
        }
        let sample = Sample {
            track: self.id,
            dts: time,
            pts: time,
            duration: None,
            is_sync: canonical.is_sync,
            discontinuity: unit.discontinuity,
            captured: None,
            entered: None,
            data: canonical.data,
        };
        match &mut self.reorder {
            Some(reorder) => reorder.push(time, sample, out),
            None => out.push(Ordered { dts: time, pts: time, item: sample }),
        }
        has_changed
    }

    fn learn(&mut self) {
        let Some((codec, shape)) = self.canonicalizer.parameters() else { return };
        let info = TrackInfo { id: self.id, codec: codec.clone(), shape };
        let depth = match &info.codec {
            CodecParameters::H264(sets) => {
                Some(sets.sps.first().and_then(|sps| h264_sps::Sps::parse(sps)?.max_num_reorder).map(usize::from))
            }
            CodecParameters::H265(sets) => Some(sets.first_sps().map(|sps| sps.max_num_reorder.into())),
            _ => None,
        };
        if let Some(depth) = depth {
            let rate = info.video().and_then(|shape| shape.frame_rate);
            let frame = rate.and_then(|(frames, seconds)| Duration::from_secs(seconds.into()).checked_div(frames));
            match (&mut self.reorder, depth) {
                (Some(reorder), Some(depth)) => reorder.set_depth(depth),
                (Some(_), None) => {}
                (reorder @ None, depth) => *reorder = Some(Reorder::new(depth.unwrap_or(0), frame)),
            }
        }
        self.info = Some(info);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, HEADER, Muxer, interleaved};
    use super::*;
    use crate::media::{Muxed, matroska, ts};
    use proptest::prelude::*;

    const H264_AAC: &[u8] = include_bytes!("../../../tests/data/h264-aac.ts");
    const VP8_OPUS: &[u8] = include_bytes!("../../../tests/data/vp8-opus-gst.webm");

    fn demuxed(bytes: &[u8]) -> Vec<Demuxed> {
        let mut out = Vec::new();
        if bytes.starts_with(&[0x47]) {
            let mut demuxer = ts::Demuxer::new();
            demuxer.push(bytes, &mut out);
            demuxer.finish(&mut out);
        } else {
            let mut demuxer = matroska::Demuxer::new();
            demuxer.push(bytes, &mut out);
            demuxer.finish(&mut out);
        }
        out
    }

    /// Packets by channel, in the order in which our own server would send them.
    fn sent(found: &[Demuxed]) -> (Vec<Description>, Vec<(usize, bool, Bytes)>) {
        let (mut muxer, mut muxed, mut descriptions) = (Muxer::new(), Vec::new(), Vec::new());
        muxer.set_epoch(Some(Duration::from_secs(1_700_000_000)));
        for found in found {
            match found {
                Demuxed::Tracks(set) => {
                    muxer.set_tracks(set.tracks(), &mut muxed);
                    let describe = |(number, track): (u8, &TrackInfo)| {
                        let format = Format::of(track).unwrap();
                        let channels = format.channels.unwrap_or(1);
                        let encoding = Encoding::parse(format.name, format.clock_rate, channels, &format.parameters);
                        Description {
                            encoding: encoding.unwrap(),
                            clock_rate: format.clock_rate,
                            payload_type: format.payload_type.unwrap_or(96 + number),
                        }
                    };
                    descriptions = (0..).zip(set.tracks()).map(describe).collect();
                }
                Demuxed::Sample(sample) => {
                    let captured = Duration::from_nanos((sample.pts.nanos() + 10_000_000_000) as u64);
                    muxer.push(&Sample { captured: Some(captured), ..sample.clone() }, &mut muxed);
                }
            }
        }
        let packets = muxed.into_iter().filter_map(|muxed| match muxed {
            Muxed::Packet(packet) => Some(packet.payload()),
            _ => None,
        });
        let framed = packets.flat_map(|packet| interleaved::split(&packet).collect::<Vec<_>>());
        let framed = framed.map(|framed| (usize::from(framed.channel / 2), framed.channel % 2 == 1, framed.packet()));
        (descriptions, framed.collect())
    }

    fn received(descriptions: Vec<Description>, packets: &[(usize, bool, Bytes)]) -> Vec<Demuxed> {
        let (mut receiver, mut out) = (Receiver::new(descriptions), Vec::new());
        for (number, (track, is_control, bytes)) in packets.iter().enumerate() {
            let now = Duration::from_millis(number as u64);
            match is_control {
                true => receiver.rtcp(*track, bytes, now),
                false => receiver.rtp(*track, bytes.clone(), now, &mut out),
            }
            receiver.tick(now, &mut out);
        }
        receiver.finish(&mut out);
        out
    }

    fn samples(found: &[Demuxed]) -> Vec<Vec<&Sample>> {
        let mut samples = vec![Vec::new(), Vec::new()];
        for found in found {
            if let Demuxed::Sample(sample) = found {
                samples[usize::from(sample.track.0)].push(sample);
            }
        }
        samples
    }

    #[test]
    fn samples_come_back_with_their_distances() {
        for capture in [H264_AAC, VP8_OPUS] {
            let source = demuxed(capture);
            let (descriptions, packets) = sent(&source);
            let found = received(descriptions, &packets);
            let sets: Vec<_> = found.iter().filter(|found| matches!(found, Demuxed::Tracks(_))).collect();
            assert_eq!(sets.len(), 1);
            assert!(matches!(found[0], Demuxed::Tracks(_)));
            let (mut expect, found) = (samples(&source), samples(&found));
            // Numbers of tracks are those of places.
            let Demuxed::Tracks(set) = &source[0] else { panic!() };
            if set.tracks()[0].id.0 != 0 {
                expect.swap(0, 1);
            }
            // All tracks are moved by the same: their distances are unchanged.
            let offset = found[0][0].pts.since(expect[0][0].pts);
            for (found, expect) in found.iter().zip(&expect) {
                assert_eq!(found.len(), expect.len());
                for (found, expect) in found.iter().zip(expect) {
                    assert!(found.data == expect.data && found.is_sync == expect.is_sync);
                    let apart = found.pts.since(expect.pts) - offset;
                    assert!(apart.abs() < APART + 100_000, "{apart} ns");
                    assert!(found.dts <= found.pts);
                }
                assert!(found.is_sorted_by_key(|sample| sample.dts));
            }
        }
    }

    #[test]
    fn order_alone_loses_nothing_and_losses_cost_whole_samples() {
        let source = demuxed(H264_AAC);
        let (descriptions, mut packets) = sent(&source);
        let whole = samples(&received(descriptions.clone(), &packets)).iter().map(Vec::len).collect::<Vec<_>>();
        // Not the first one of a track: it shows where the numbers begin.
        for at in (42..packets.len() - 3).step_by(7) {
            packets.swap(at, at + 2);
        }
        let swapped = received(descriptions.clone(), &packets);
        assert_eq!(samples(&swapped).iter().map(Vec::len).collect::<Vec<_>>(), whole);
        let known: Vec<Bytes> = samples(&swapped).iter().flatten().map(|sample| sample.data.clone()).collect();
        let mut number = 0;
        packets.retain(|_| {
            number += 1;
            number % 23 != 0
        });
        let lossy = received(descriptions, &packets);
        let left = samples(&lossy);
        assert!(left.iter().map(Vec::len).sum::<usize>() < known.len());
        // Messages of H.264 may be lost without harm.
        let is_known =
            |sample: &&&Sample| known.iter().any(|known| known.ends_with(&sample.data[sample.data.len() / 2..]));
        assert!(left.iter().flatten().all(|sample| is_known(&sample)));
        assert!(left.iter().flatten().any(|sample| sample.discontinuity));
    }

    #[test]
    fn tracks_of_which_nothing_comes_are_not_waited_for_longer_than_two_seconds() {
        let source = demuxed(VP8_OPUS);
        let (descriptions, mut packets) = sent(&source);
        packets.retain(|(track, ..)| *track == 1);
        let mut found = received(descriptions, &packets);
        found.truncate(1);
        let [Demuxed::Tracks(set)] = &found[..] else { panic!("{found:?}") };
        assert_eq!(set.tracks().len(), 1);
    }

    #[test]
    fn receivers_report_what_they_miss() {
        let (descriptions, packets) = sent(&demuxed(VP8_OPUS));
        let mut receiver = Receiver::new(descriptions);
        assert!(receiver.reports(Duration::ZERO).is_empty());
        let mut out = Vec::new();
        let video: Vec<_> = packets.iter().filter(|(track, control, _)| *track == 0 && !control).collect();
        for (number, (track, _, bytes)) in video.iter().enumerate().filter(|(number, _)| *number != 3) {
            receiver.rtp(*track, bytes.clone(), Duration::from_millis(number as u64), &mut out);
        }
        let reports = receiver.reports(Duration::from_secs(5));
        let [(0, bytes)] = &reports[..] else { panic!("{reports:?}") };
        let Report::Receiver { blocks, .. } = &report::parse(bytes)[0] else { panic!() };
        assert_eq!((blocks[0].lost, receiver.totals().1), (1, 1));
    }

    #[test]
    fn timestamps_wrap() {
        let mut clock = Clock::new(u32::MAX - 8999, 90_000, Duration::from_secs(1));
        let first = clock.time(u32::MAX - 8999);
        assert_eq!(first, Time::from_millis(1000));
        assert_eq!(clock.time(0).since(first), 100_000_000);
        assert_eq!(clock.time(9000).since(first), 200_000_000);
        assert_eq!(clock.time(u32::MAX - 8999), first);
    }

    proptest! {
        #[test]
        fn foreign_packets_never_panic(packets: Vec<(u8, bool, Vec<u8>)>) {
            let (descriptions, _) = sent(&demuxed(VP8_OPUS)[..1]);
            let (mut receiver, mut out) = (Receiver::new(descriptions), Vec::new());
            for (number, (track, is_control, payload)) in packets.into_iter().enumerate() {
                let header = Header { payload_type: 96 + track % 2, marker: is_control, sequence: number as u16, timestamp: 0, ssrc: 0 };
                let bytes = if is_control { payload } else { [&header.bytes()[..HEADER], &payload].concat() };
                match is_control {
                    true => receiver.rtcp(usize::from(track % 3), &bytes, Duration::ZERO),
                    false => receiver.rtp(usize::from(track % 3), bytes.into(), Duration::ZERO, &mut out),
                }
            }
            receiver.finish(&mut out);
        }
    }
}
