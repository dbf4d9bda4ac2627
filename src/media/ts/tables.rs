//! The tables of a stream that we mux: one program in a PAT and a PMT (ISO/IEC 13818-1, sections 2.4.4.3 and 2.4.4.8).

use super::packet::{PACKET, PAT_PID, set_counter};
use super::pes::next;
use super::section::{PAT_TABLE, PMT_TABLE, packets, section};
use crate::media::PacketBuf;

const PROGRAM: u16 = 1;
const PMT_PID: u16 = 0x1000;

/// One elementary stream as the PMT lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) stream_type: u8,
    pub(super) pid: u16,
    pub(super) descriptors: Vec<u8>,
}

/// What the PMT says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) pcr_pid: u16,
    pub(super) entries: Vec<Entry>,
}

/// The packets of PAT and PMT, with counters that continue for ever.
#[derive(Debug, Default)]
pub(super) struct Tables {
    program: Program,
    /// Version of the newest PMT; `None` before the first.
    version: Option<u8>,
    pat: Vec<[u8; PACKET]>,
    pmt: Vec<[u8; PACKET]>,
    /// Continuity counters of the next packets of PAT and PMT.
    counters: [u8; 2],
}

impl Tables {
    /// Sets what the tables say from now on; whether that is something new.
    pub(super) fn set(&mut self, program: Program) -> bool {
        if self.version.is_some() && self.program == program {
            return false;
        }
        let version = self.version.map_or(0, |version| (version + 1) & 0x1f);
        let [high, low] = program.pcr_pid.to_be_bytes();
        let mut map = vec![high | 0xe0, low, 0xf0, 0];
        for Entry { stream_type, pid, descriptors } in &program.entries {
            let [high, low] = pid.to_be_bytes();
            map.extend([*stream_type, high | 0xe0, low, 0xf0, descriptors.len() as u8]);
            map.extend(descriptors);
        }
        let [high, low] = PMT_PID.to_be_bytes();
        let [n0, n1] = PROGRAM.to_be_bytes();
        self.pat = packets(PAT_PID, &section(PAT_TABLE, 1, 0, &[n0, n1, 0xe0 | high, low]));
        self.pmt = packets(PMT_PID, &section(PMT_TABLE, PROGRAM, version, &map));
        self.program = program;
        self.version = Some(version);
        true
    }

    /// Bytes of their packets.
    pub(super) fn size(&self) -> usize {
        (self.pat.len() + self.pmt.len()) * PACKET
    }

    /// Writes them.
    pub(super) fn write(&mut self, out: &mut PacketBuf) {
        for (packets, counter) in [&self.pat, &self.pmt].into_iter().zip(&mut self.counters) {
            for mut raw in packets.iter().copied() {
                set_counter(&mut raw, next(counter));
                out.extend_from_slice(&raw);
            }
        }
    }

    /// The PIDs of both, and the counters of their last packets.
    pub(super) fn last_counters(&self) -> [(u16, u8); 2] {
        let [pat, pmt] = self.counters.map(|counter| counter.wrapping_sub(1) & 0x0f);
        [(PAT_PID, pat), (PMT_PID, pmt)]
    }

    /// Their packets with counters that the next ones continue, for a reader that begins with those.
    pub(super) fn header(&self) -> Vec<u8> {
        let mut header = Vec::with_capacity(self.size());
        for (packets, counter) in [&self.pat, &self.pmt].into_iter().zip(self.counters) {
            let first = counter.wrapping_sub(packets.len() as u8);
            for (at, mut raw) in packets.iter().copied().enumerate() {
                set_counter(&mut raw, first.wrapping_add(at as u8));
                header.extend_from_slice(&raw);
            }
        }
        header
    }
}
