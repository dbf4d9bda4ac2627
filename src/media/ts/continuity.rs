//! Makes one continuous transport stream of a source that restarts.

use super::clock::Clock;
use super::packet::{NULL_PID, PACKET, PAT_PID, Packet, discontinuity, set_counter};
use super::psi::Psi;
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most PIDs whose counters are kept; packets of further ones pass untouched.
const MAX_PIDS: usize = 512;

/// Renumbers the packets of a transport stream so that a restart of its source leaves no gap in the continuity counters
/// (ISO/IEC 13818-1, section 2.4.3.3), and moves their timestamps so that time continues over restarts and jumps. Losses and
/// repetitions within the source stay visible.
#[derive(Debug, Default)]
pub struct ContinuityRewriter {
    counters: BTreeMap<u16, Counter>,
    psi: Psi,
    clock: Clock,
    header: Option<Bytes>,
    /// Packets came since the source started.
    has_begun: bool,
}

/// Where the continuity counter of a PID stands.
#[derive(Debug)]
struct Counter {
    /// Counter of the last packet that was sent.
    last: u8,
    /// What to add to the counters of the source; `None` until its first packet on this PID.
    offset: Option<u8>,
}

impl ContinuityRewriter {
    /// A rewriter that has seen no packet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Renumbers the next whole transport stream packets in place, and moves their timestamps.
    pub fn packet(&mut self, payload: &mut [u8]) {
        let mut has_tables = false;
        for raw in payload.as_chunks_mut::<PACKET>().0 {
            has_tables |= self.renumber(raw);
            self.clock.packet(raw);
        }
        if has_tables {
            self.header = self.header_of_now();
        }
    }

    /// The source restarts, this long after its last packet: its next packets may have any counters and timestamps. Returns the
    /// packets to send before them: one without payload for each known PID, which announces a discontinuity (section 2.4.3.5).
    pub fn restarted(&mut self, pause: Duration) -> Option<Bytes> {
        self.clock.resume(pause);
        if std::mem::take(&mut self.has_begun) {
            // A source may come back to the PIDs of an earlier one, which readers remember.
            let is_crowded = self.counters.len() > MAX_PIDS / 2;
            self.counters.retain(|_, counter| counter.offset.take().is_some() || !is_crowded);
        }
        self.skip_notice()
    }

    /// PAT and PMT for a reader that begins with the packet that will be pushed next: their counters are such that the
    /// tables that follow in the stream continue them. The same [`Bytes`] as long as nothing changed; they change
    /// with each PAT or PMT that passes. `None` until both tables were seen.
    pub fn header(&self) -> Option<Bytes> {
        self.header.clone()
    }

    /// As [`ContinuityRewriter::header`], for a reader that begins with `payload`, which has passed already: for the first packets of
    /// all, whose tables were not known before.
    pub fn header_in_front_of(&self, payload: &[u8]) -> Option<Bytes> {
        let mut header = BytesMut::from(self.header.as_deref()?);
        let (tables, _) = header.as_chunks_mut::<PACKET>();
        let mut following: BTreeMap<u16, u8> = BTreeMap::new();
        let first = |pid: u16| {
            let packets = payload.as_chunks::<PACKET>().0.iter().filter_map(Packet::new);
            packets.filter(|packet| packet.pid() == pid && packet.has_payload()).map(|packet| packet.counter()).next()
        };
        // From the last table backwards, each is one before what follows it.
        for raw in tables.iter_mut().rev() {
            let Some(pid) = Packet::new(raw).map(|packet| packet.pid()) else { continue };
            let Some(next) = following.get(&pid).copied().or_else(|| first(pid)) else { continue };
            let counter = next.wrapping_sub(1) & 0x0f;
            set_counter(raw, counter);
            following.insert(pid, counter);
        }
        Some(header.freeze())
    }

    /// How often the clock of a source jumped while it ran.
    pub fn jumps(&self) -> u64 {
        self.clock.jumps()
    }

    /// For a reader that lost data and continues with the packet that will be pushed next: for each PID a packet
    /// without payload that announces a discontinuity and has the counter of now. `None` when there was no packet.
    pub fn skip_notice(&self) -> Option<Bytes> {
        let mut notice = BytesMut::with_capacity(self.counters.len() * PACKET);
        for (&pid, counter) in &self.counters {
            notice.extend_from_slice(&discontinuity(pid, counter.last));
        }
        (!notice.is_empty()).then(|| notice.freeze())
    }

    /// Renumbers one packet; whether it carries a PAT or PMT.
    fn renumber(&mut self, raw: &mut [u8; PACKET]) -> bool {
        let Some(packet) = Packet::new(raw) else { return false };
        let (pid, counter) = (packet.pid(), packet.counter());
        if pid == NULL_PID || packet.is_damaged() {
            return false;
        }
        let advance = u8::from(packet.has_payload());
        let is_table = self.psi.is_table(pid);
        if is_table {
            self.psi.push(packet);
        }
        self.has_begun = true;
        let is_full = self.counters.len() >= MAX_PIDS;
        let known = match self.counters.get_mut(&pid) {
            Some(known) => known,
            None if is_full => return false,
            // The first packet of all keeps its number.
            None => self.counters.entry(pid).or_insert(Counter { last: 0, offset: Some(0) }),
        };
        // The first packet of a source follows the last of the source before it.
        let next = known.last.wrapping_add(advance);
        let offset = *known.offset.get_or_insert(next.wrapping_sub(counter));
        known.last = counter.wrapping_add(offset) & 0x0f;
        set_counter(raw, known.last);
        is_table
    }

    fn header_of_now(&self) -> Option<Bytes> {
        let tables = self.psi.tables()?;
        let mut header = BytesMut::with_capacity((tables.pat.len() + tables.pmt.len()) * PACKET);
        for (pid, packets) in [(PAT_PID, tables.pat), (tables.pmt_pid, tables.pmt)] {
            let last = self.counters.get(&pid)?.last;
            for (after, raw) in (0..packets.len()).rev().zip(packets) {
                let mut raw = *raw;
                // Never more packets than fit into a byte: psi.rs bounds them.
                set_counter(&mut raw, last.wrapping_sub(after as u8));
                header.extend_from_slice(&raw);
            }
        }
        Some(header.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::super::psi::tests::{packets, pat, pmt};
    use super::*;
    use proptest::prelude::*;

    const CAPTURE: &[u8] = include_bytes!("../../../tests/data/h264-aac.ts");
    const OTHER: &[u8] = include_bytes!("../../../tests/data/h264-aac-gst.ts");

    /// Counts what a decoder would complain about: ffmpeg's `Continuity check failed`, without the pardon that it
    /// gives to packets with `discontinuity_indicator`.
    #[derive(Default)]
    struct Decoder {
        last: BTreeMap<u16, u8>,
        faults: usize,
    }

    impl Decoder {
        fn read(&mut self, bytes: &[u8]) -> &mut Self {
            for raw in bytes.as_chunks().0 {
                let packet = Packet::new(raw).unwrap();
                let expected = |last: u8| if packet.has_payload() { (last + 1) & 15 } else { last };
                let last = self.last.insert(packet.pid(), packet.counter());
                self.faults += usize::from(last.is_some_and(|last| expected(last) != packet.counter()));
            }
            self
        }
    }

    fn rewritten(rewriter: &mut ContinuityRewriter, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for piece in bytes.chunks_mut(7 * PACKET) {
            rewriter.packet(piece);
        }
        bytes
    }

    #[test]
    fn a_restarted_source_goes_on_counting() {
        let (mut rewriter, mut decoder) = (ContinuityRewriter::new(), Decoder::default());
        assert_eq!((rewriter.restarted(Duration::ZERO), rewriter.skip_notice(), rewriter.header()), (None, None, None));
        // Cut anywhere, so that counters stand anywhere.
        for part in [&CAPTURE[..200 * PACKET], &CAPTURE[31 * PACKET..], CAPTURE, &CAPTURE[5 * PACKET..]] {
            if let Some(notice) = rewriter.restarted(Duration::ZERO) {
                assert_eq!(notice.len(), 5 * PACKET);
                decoder.read(&notice);
            }
            decoder.read(&rewritten(&mut rewriter, part));
        }
        assert_eq!(decoder.faults, 0);
        assert!(Decoder::default().read(CAPTURE).read(&CAPTURE[31 * PACKET..]).faults > 0);
    }

    #[test]
    fn a_first_source_keeps_its_numbers() {
        assert!(rewritten(&mut ContinuityRewriter::new(), CAPTURE) == CAPTURE);
    }

    #[test]
    fn losses_and_repetitions_in_the_source_stay_visible() {
        let lossy = [&CAPTURE[..90 * PACKET], &CAPTURE[92 * PACKET..], &CAPTURE[CAPTURE.len() - PACKET..]].concat();
        let faults = Decoder::default().read(&lossy).faults;
        assert!(faults > 1);
        let mut rewriter = ContinuityRewriter::new();
        rewritten(&mut rewriter, OTHER);
        rewriter.restarted(Duration::ZERO);
        assert_eq!(Decoder::default().read(&rewritten(&mut rewriter, &lossy)).faults, faults);
    }

    #[test]
    fn a_source_may_come_back_to_pids_of_an_earlier_one() {
        let (mut rewriter, mut decoder) = (ContinuityRewriter::new(), Decoder::default());
        for part in [&CAPTURE[..77 * PACKET], OTHER, &CAPTURE[40 * PACKET..]] {
            decoder.read(&rewriter.restarted(Duration::ZERO).unwrap_or_default());
            decoder.read(&rewritten(&mut rewriter, part));
        }
        assert_eq!(decoder.faults, 0);
        assert_eq!(rewriter.restarted(Duration::ZERO), rewriter.restarted(Duration::ZERO));
    }

    #[test]
    fn unused_pids_are_forgotten_when_there_are_many() {
        let one_of_each =
            |pids: std::ops::Range<u16>| -> Vec<u8> { pids.flat_map(|pid| discontinuity(pid, 3)).collect() };
        let mut rewriter = ContinuityRewriter::new();
        rewritten(&mut rewriter, &one_of_each(0..1000));
        assert_eq!(rewriter.restarted(Duration::ZERO).unwrap().len(), MAX_PIDS * PACKET);
        rewritten(&mut rewriter, &one_of_each(100..103));
        assert_eq!(rewriter.restarted(Duration::ZERO).unwrap().len(), 3 * PACKET);
    }

    #[test]
    fn the_header_is_continued_by_the_tables_of_the_stream() {
        let mut stream = Vec::new();
        for (pid, section, per_round) in [(0, pat(0x1000), 1), (0x1000, pmt(0, 300, &[0x1b]), 2)] {
            for (at, mut raw) in packets(pid, &section).into_iter().cycle().take(20 * per_round).enumerate() {
                set_counter(&mut raw, at as u8 + 9);
                stream.push((at / per_round, pid, raw));
            }
        }
        stream.sort_by_key(|&(round, pid, _)| (round, pid));
        let stream: Vec<u8> = stream.into_iter().flat_map(|(_, _, raw)| raw).collect();
        let mut rewriter = ContinuityRewriter::new();
        for at in (0..stream.len()).step_by(3 * PACKET) {
            let header = rewriter.header();
            let mut piece = stream[at..at + 3 * PACKET].to_vec();
            rewriter.packet(&mut piece);
            if let Some(header) = header {
                assert_eq!(header.len(), 3 * PACKET);
                assert_eq!(Decoder::default().read(&header).read(&piece).faults, 0);
            }
        }
        let header = rewriter.header().unwrap();
        rewriter.packet(&mut super::super::packet::discontinuity(0x100, 3));
        assert_eq!(rewriter.header().unwrap().as_ptr(), header.as_ptr());
    }

    #[test]
    fn a_reader_that_lost_data_gets_a_notice() {
        let mut rewriter = ContinuityRewriter::new();
        let seen = rewritten(&mut rewriter, &CAPTURE[..50 * PACKET]);
        rewritten(&mut rewriter, &CAPTURE[50 * PACKET..99 * PACKET]);
        let notice = rewriter.skip_notice().unwrap();
        let after = rewritten(&mut rewriter, &CAPTURE[99 * PACKET..]);
        let mut decoder = Decoder::default();
        decoder.read(&seen);
        decoder.faults = 0;
        // The notice itself is pardoned by its flag; what follows fits to it.
        decoder.read(&notice).faults = 0;
        assert_eq!(decoder.read(&after).faults, 0);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(mut payload: Vec<[u8; PACKET]>, tail: Vec<u8>) {
            let mut rewriter = ContinuityRewriter::new();
            for raw in &mut payload {
                raw[0] = 0x47;
            }
            let mut bytes = [payload.as_flattened(), &tail].concat();
            rewriter.packet(&mut bytes);
            rewriter.restarted(Duration::ZERO);
            rewriter.packet(&mut bytes);
            prop_assert_eq!(&bytes[payload.len() * PACKET..], tail);
            prop_assert!(rewriter.skip_notice().is_none_or(|notice| notice.len() <= MAX_PIDS * PACKET));
        }
    }
}
