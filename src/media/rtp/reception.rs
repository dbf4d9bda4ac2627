//! What a receiver counts of a sender (RFC 3550, appendices A.1, A.3 and A.8).

use super::packet::Header;
use super::report::{ReportBlock, SenderReport, ntp_since};
use std::time::Duration;

/// One sender.
#[derive(Debug, Clone)]
pub struct Reception {
    ssrc: u32,
    clock_rate: u32,
    first: u32,
    /// The highest sequence number, with its wraps.
    highest: u32,
    received: u32,
    /// At the last report.
    reported: (u32, u32),
    /// In 1/16 ticks.
    jitter: u32,
    /// When the last packet came in ticks, less its timestamp.
    transit: Option<u32>,
    /// The last sender report, and when it came.
    report: Option<(SenderReport, Duration)>,
}

impl Reception {
    /// Begins with a packet, whose timestamps tick so often a second.
    pub fn new(header: &Header, clock_rate: u32) -> Self {
        let first = u32::from(header.sequence);
        Self {
            ssrc: header.ssrc,
            clock_rate,
            first,
            highest: first,
            received: 0,
            reported: (0, 0),
            jitter: 0,
            transit: None,
            report: None,
        }
    }

    /// Counts a packet that came at `now`.
    pub fn count(&mut self, header: &Header, now: Duration) {
        self.ssrc = header.ssrc;
        self.received = self.received.wrapping_add(1);
        let ahead = header.sequence.wrapping_sub(self.highest as u16) as i16;
        if ahead > 0 {
            self.highest = self.highest.wrapping_add(ahead as u32);
        }
        let arrival = (now.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000) as u32;
        let transit = arrival.wrapping_sub(header.timestamp);
        if let Some(last) = self.transit.replace(transit) {
            let distance = (transit.wrapping_sub(last) as i32).unsigned_abs();
            // A sender that began again has another offset.
            if distance < self.clock_rate {
                self.jitter = self.jitter.saturating_add(distance) - (self.jitter + 8) / 16;
            }
        }
    }

    /// Takes a report of the sender that came at `now`.
    pub fn take_report(&mut self, report: SenderReport, now: Duration) {
        self.report = Some((report, now));
    }

    /// Who sends.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The last report of the sender, and when it came.
    pub fn last_report(&self) -> Option<(SenderReport, Duration)> {
        self.report
    }

    /// The last report of the sender.
    pub fn sender_report(&self) -> Option<&SenderReport> {
        self.report.as_ref().map(|(report, _)| report)
    }

    /// Packets that came, and packets that are missing.
    pub fn totals(&self) -> (u64, u64) {
        (self.received.into(), self.lost().max(0) as u64)
    }

    fn expected(&self) -> u32 {
        self.highest.wrapping_sub(self.first).wrapping_add(1)
    }

    fn lost(&self) -> i64 {
        i64::from(self.expected()) - i64::from(self.received)
    }

    /// What is to be reported at `now`; the next report counts from here.
    pub fn block(&mut self, now: Duration) -> ReportBlock {
        let (expected, received) = (self.expected(), self.received);
        let (last_expected, last_received) = std::mem::replace(&mut self.reported, (expected, received));
        let of_expected = expected.wrapping_sub(last_expected);
        let lost = i64::from(of_expected) - i64::from(received.wrapping_sub(last_received));
        let fraction = (lost.max(0) * 256).checked_div(of_expected.into()).unwrap_or(0).min(255);
        let (last_report, since) = match &self.report {
            Some((report, came)) => {
                let since = now.saturating_sub(*came).as_nanos() * 65_536 / 1_000_000_000;
                ((report.ntp >> 16) as u32, u32::try_from(since).unwrap_or(u32::MAX))
            }
            None => (0, 0),
        };
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: fraction as u8,
            lost: self.lost().clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest: self.highest,
            jitter: self.jitter / 16,
            last_report,
            since_last_report: since,
        }
    }

    /// Nanoseconds from the moment of the last report of `other` to that of this one, by the senders' clock; `None` before both reported.
    pub fn since(&self, other: &Self) -> Option<i64> {
        Some(ntp_since(self.sender_report()?.ntp, other.sender_report()?.ntp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(sequence: u16, timestamp: u32) -> Header {
        Header { payload_type: 96, marker: false, sequence, timestamp, ssrc: 5 }
    }

    #[test]
    fn losses_are_counted_over_wraps() {
        let at = Duration::from_millis;
        let mut reception = Reception::new(&header(65_534, 0), 90_000);
        for sequence in [65_534, 65_535, 1, 2] {
            reception.count(&header(sequence, 0), at(0));
        }
        let block = reception.block(at(0));
        assert_eq!((block.lost, block.fraction_lost, block.highest), (1, 51, 0x1_0002));
        reception.count(&header(3, 0), at(0));
        let block = reception.block(at(0));
        assert_eq!((block.lost, block.fraction_lost), (1, 0));
        // A late one is not lost.
        reception.count(&header(0, 0), at(0));
        assert_eq!(reception.block(at(0)).lost, 0);
        assert_eq!(reception.totals(), (6, 0));
    }

    #[test]
    fn jitter_is_that_of_the_distances() {
        let mut reception = Reception::new(&header(0, 0), 90_000);
        for number in 0..2000u16 {
            // Every second packet is 10 ms late.
            let late = if number % 2 == 0 { 0 } else { 10 };
            let now = Duration::from_millis(20 * u64::from(number) + late);
            reception.count(&header(number, u32::from(number) * 1800), now);
        }
        let jitter = reception.block(Duration::ZERO).jitter;
        assert!((850..=900).contains(&jitter), "{jitter}");
    }

    #[test]
    fn the_last_report_of_the_sender_is_named() {
        let mut reception = Reception::new(&header(0, 0), 90_000);
        let report = SenderReport { ssrc: 5, ntp: 0x0123_4567_89ab_cdef, timestamp: 0, packets: 0, octets: 0 };
        reception.take_report(report, Duration::from_secs(1));
        let block = reception.block(Duration::from_millis(1500));
        assert_eq!((block.last_report, block.since_last_report), (0x4567_89ab, 32_768));
    }
}
