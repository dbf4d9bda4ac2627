//! Makes one continuous transport stream of a source that begins again and again.

use super::packet::{NULL_PID, PACKET, Packet, discontinuity, set_counter};
use super::psi::Psi;
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;

/// Most PIDs whose counters are kept; packets of further ones pass untouched.
const MAX_PIDS: usize = 512;

/// Renumbers the packets of a transport stream so that a restart of its source leaves no gap in the continuity counters
/// (ISO/IEC 13818-1, section 2.4.3.3). Losses and repetitions within the source stay visible.
#[derive(Debug, Default)]
pub struct Splicer {
    counters: BTreeMap<u16, Counter>,
    psi: Psi,
    header: Option<Bytes>,
    /// Packets came since the source began.
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

impl Splicer {
    /// A splicer that has seen no packet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Renumbers the next whole transport stream packets in place.
    pub fn packet(&mut self, payload: &mut [u8]) {
        let mut has_tables = false;
        for raw in payload.as_chunks_mut::<PACKET>().0 {
            has_tables |= self.renumber(raw);
        }
        if has_tables {
            self.header = self.header_of_now();
        }
    }

    /// The source begins anew: its next packets may have any counters. Returns the packets to send in front of them,
    /// one without payload for each PID that was in use, which announce a discontinuity (section 2.4.3.5).
    pub fn restarted(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.has_begun) {
            // What the last source did not use will not come back.
            self.counters.retain(|_, counter| counter.offset.take().is_some());
        }
        self.skip_notice()
    }

    /// PAT and PMT for a reader that begins with the packet that will be pushed next: their counters are such that the
    /// tables that follow in the stream continue them. The same [`Bytes`] as long as nothing changed; they change
    /// with each PAT or PMT that passes. `None` until both tables were seen.
    pub fn header(&self) -> Option<Bytes> {
        self.header.clone()
    }

    /// What a reader gets that lost data and goes on with the packet that will be pushed next: for each PID a packet
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
        let (pat, pmt_pid, pmt) = self.psi.tables()?;
        let mut header = BytesMut::with_capacity((pat.len() + pmt.len()) * PACKET);
        for (pid, packets) in [(super::packet::PAT_PID, pat), (pmt_pid, pmt)] {
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
