//! What a stream's packets add up to. Pure: time comes in as a value.

use crate::{
    media::{Kind, Packet},
    telemetry::{Figures, Latency},
};
use std::time::{Duration, Instant};

/// The bit rate is the mean of at least this long: a few GOPs of a common encoder.
const WINDOW: Duration = Duration::from_secs(2);

/// Counts packets as they are written; plain integers, under the lock that the writer holds anyway.
#[derive(Debug, Default)]
pub struct StreamMeter {
    packets: u64,
    bytes: u64,
    joins: u64,
    last: Option<Instant>,
    last_join: Option<Instant>,
    group: Option<Duration>,
    /// Where the running window began, and its bytes.
    window: Option<(Instant, u64)>,
    bit_rate: Option<u64>,
    /// From capture to the server's own path.
    captured: Latency,
}

/// What a [`StreamMeter`] shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Packets written.
    pub packets: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Join points among the packets.
    pub joins: u64,
    /// Time between the two newest join points of one run.
    pub group: Option<Duration>,
    /// Bits a second, measured over the last seconds; `None` until there is something to measure, 0 when nothing comes.
    pub bit_rate: Option<u64>,
    /// Age of the newest packet.
    pub idle: Option<Duration>,
    /// From the capture of media to the moment at which its packet came to us.
    pub captured: Figures,
}

impl StreamMeter {
    /// A packet was written at `now`.
    pub fn count(&mut self, packet: &Packet, now: Instant) {
        let bytes = packet.len() as u64;
        self.packets += 1;
        self.bytes += bytes;
        self.last = Some(now);
        // Media of a time that is still to come was not captured: it is of a source that plays, not of one that lives.
        if let Some(took) = packet.entered.zip(packet.captured).and_then(|(entered, at)| entered.checked_sub(at)) {
            self.captured.add(took, now);
        }
        if packet.kind == Kind::Keyframe {
            self.joins += 1;
            self.group = self.last_join.replace(now).map(|before| now.saturating_duration_since(before)).or(self.group);
        }
        let (began, before) = *self.window.get_or_insert((now, 0));
        let lasted = now.saturating_duration_since(began);
        if lasted < WINDOW {
            self.window = Some((began, before + bytes));
        } else {
            // This packet's bytes belong to the time that it begins.
            self.bit_rate = rate(before, lasted);
            self.window = Some((now, bytes));
        }
    }

    /// What was written so far is not continued: nothing is measured across the break. The counts continue.
    pub fn pause(&mut self) {
        self.last_join = None;
        self.group = None;
        self.window = None;
        self.bit_rate = None;
    }

    /// What it shows at `now`.
    pub fn read(&self, now: Instant) -> StreamStats {
        let idle = self.last.map(|last| now.saturating_duration_since(last));
        let silent = idle.is_some_and(|idle| idle > 2 * WINDOW);
        StreamStats {
            packets: self.packets,
            bytes: self.bytes,
            joins: self.joins,
            group: self.group,
            bit_rate: self.bit_rate.map(|rate| if silent { 0 } else { rate }),
            idle,
            captured: self.captured.read(now),
        }
    }
}

/// Bits a second.
fn rate(bytes: u64, lasted: Duration) -> Option<u64> {
    let bits_in_ms = u128::from(bytes) * 8 * 1000;
    u64::try_from(bits_in_ms.checked_div(lasted.as_millis())?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BEGIN: fn() -> Instant = Instant::now;

    fn packet(kind: Kind, bytes: usize) -> Packet {
        Packet::copy_of(kind, &vec![0; bytes])
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn nothing_is_shown_of_a_stream_without_packets() {
        assert_eq!(StreamMeter::default().read(BEGIN()), StreamStats::default());
    }

    #[test]
    fn packets_join_points_and_the_time_between_them_are_counted() {
        let (mut meter, begin) = (StreamMeter::default(), BEGIN());
        for (at, kind) in [(0, Kind::Keyframe), (40, Kind::Delta), (480, Kind::Keyframe), (520, Kind::Delta)] {
            meter.count(&packet(kind, 100), begin + millis(at));
        }
        let read = meter.read(begin + millis(530));
        assert_eq!((read.packets, read.bytes, read.joins), (4, 400, 2));
        assert_eq!((read.group, read.idle, read.bit_rate), (Some(millis(480)), Some(millis(10)), None));
    }

    #[test]
    fn what_encoding_took_is_told_where_the_time_of_capture_is_known() {
        let (mut meter, begin) = (StreamMeter::default(), BEGIN());
        for (captured, entered) in
            [(Some(100), Some(130)), (None, Some(500)), (Some(100), None), (Some(900), Some(600))]
        {
            let mut packet = packet(Kind::Delta, 1);
            (packet.captured, packet.entered) = (captured.map(millis), entered.map(millis));
            meter.count(&packet, begin);
        }
        let read = meter.read(begin).captured;
        assert_eq!((read.median, read.longest), (Some(millis(30)), Some(millis(30))));
        assert_eq!(read.spread().unwrap().count, 1);
    }

    #[test]
    fn nothing_is_measured_across_a_break() {
        let (mut meter, begin) = (StreamMeter::default(), BEGIN());
        meter.count(&packet(Kind::Keyframe, 100), begin);
        meter.pause();
        meter.count(&packet(Kind::Keyframe, 100), begin + millis(60_000));
        let read = meter.read(begin + millis(60_000));
        assert_eq!((read.joins, read.group, read.bit_rate), (2, None, None));
    }

    #[test]
    fn a_stream_that_falls_silent_has_no_bit_rate_left() {
        let (mut meter, begin) = (StreamMeter::default(), BEGIN());
        (0..=50).for_each(|at| meter.count(&packet(Kind::Delta, 125), begin + millis(at * 100)));
        assert_eq!(meter.read(begin + millis(5_100)).bit_rate, Some(10_000));
        assert_eq!(meter.read(begin + millis(9_001)).bit_rate, Some(0));
    }

    proptest! {
        #[test]
        fn the_bit_rate_of_an_even_stream_is_its_own(bytes in 1usize..5_000, pause in 1u64..200) {
            let (mut meter, begin) = (StreamMeter::default(), BEGIN());
            let mut at = 0;
            while at < 10_000 {
                meter.count(&packet(Kind::Delta, bytes), begin + millis(at));
                at += pause;
            }
            let measured = meter.read(begin + millis(at)).bit_rate.unwrap();
            let real = bytes as u64 * 8 * 1000 / pause;
            prop_assert!(measured.abs_diff(real) <= 1, "{measured} of {real}");
        }
    }
}
