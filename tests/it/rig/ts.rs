//! A judge of MPEG transport streams, written after ISO/IEC 13818-1 and without a look at the server's own.

use std::collections::{BTreeMap, BTreeSet};

const LENGTH: usize = 188;

struct Packet<'a>(&'a [u8]);

impl<'a> Packet<'a> {
    fn pid(&self) -> u16 {
        u16::from_be_bytes([self.0[1] & 0x1f, self.0[2]])
    }

    fn starts_unit(&self) -> bool {
        self.0[1] & 0x40 != 0
    }

    fn counter(&self) -> u8 {
        self.0[3] & 0x0f
    }

    fn has_payload(&self) -> bool {
        self.0[3] & 0x10 != 0
    }

    fn adaptation(&self) -> &'a [u8] {
        if self.0[3] & 0x20 == 0 { &[] } else { &self.0[5..5 + usize::from(self.0[4])] }
    }

    fn is_discontinuity(&self) -> bool {
        self.adaptation().first().is_some_and(|flags| flags & 0x80 != 0)
    }

    fn payload(&self) -> &'a [u8] {
        let start = if self.0[3] & 0x20 == 0 { 4 } else { 5 + usize::from(self.0[4]) };
        if self.has_payload() { &self.0[start.min(LENGTH)..] } else { &[] }
    }

    fn starts_pes(&self) -> bool {
        self.starts_unit() && self.payload().starts_with(&[0, 0, 1])
    }
}

fn packets(bytes: &[u8]) -> impl Iterator<Item = Packet<'_>> {
    let whole = bytes.chunks_exact(LENGTH);
    whole.enumerate().map(|(at, packet)| {
        assert_eq!(packet[0], 0x47, "packet {at} has no sync byte");
        Packet(packet)
    })
}

/// What is wrong with the continuity counters, and how many jumps were announced.
pub fn continuity(bytes: &[u8]) -> (Vec<String>, usize) {
    let (mut last, mut faults, mut announced): (BTreeMap<u16, &[u8]>, _, _) = (BTreeMap::new(), Vec::new(), 0);
    for (at, packet) in packets(bytes).enumerate().filter(|(_, packet)| packet.pid() != 0x1fff) {
        let before = last.insert(packet.pid(), packet.0).map(Packet);
        announced += usize::from(packet.is_discontinuity());
        let Some(before) = before else { continue };
        let step = u8::from(packet.has_payload());
        let follows = packet.counter() == (before.counter() + step) & 0x0f;
        // A packet may be sent twice (2.4.3.3).
        if !follows && !packet.is_discontinuity() && packet.0 != before.0 {
            faults.push(format!("packet {at}, pid {}: {} after {}", packet.pid(), packet.counter(), before.counter()));
        }
    }
    (faults, announced)
}

/// Whole packets only, and without the last access unit of each track, which is not whole yet.
pub fn trim(bytes: &[u8]) -> Vec<u8> {
    let mut last = BTreeMap::new();
    for (at, packet) in packets(bytes).enumerate().filter(|(_, packet)| packet.starts_pes()) {
        last.insert(packet.pid(), at);
    }
    let is_whole = |(at, packet): &(usize, Packet)| last.get(&packet.pid()).is_none_or(|last| at < last);
    packets(bytes).enumerate().filter(is_whole).flat_map(|(_, packet)| packet.0.to_vec()).collect()
}

/// Presentation times of all access units in seconds, by pid.
pub fn times(bytes: &[u8]) -> BTreeMap<u16, Vec<f64>> {
    let mut times: BTreeMap<u16, Vec<f64>> = BTreeMap::new();
    for packet in packets(bytes).filter(Packet::starts_pes) {
        let pes = packet.payload();
        if pes.len() < 14 || pes[7] & 0x80 == 0 {
            continue;
        }
        let part = |at: usize| u64::from(u16::from_be_bytes([pes[at], pes[at + 1]]) >> 1);
        let ticks = (u64::from(pes[9] >> 1 & 7) << 30) | (part(10) << 15) | part(12);
        times.entry(packet.pid()).or_default().push(ticks as f64 / 90_000.0);
    }
    times
}

/// The pids in the order of their first packets.
pub fn pids(bytes: &[u8]) -> Vec<u16> {
    let mut seen = BTreeSet::new();
    packets(bytes).map(|packet| packet.pid()).filter(|pid| seen.insert(*pid)).collect()
}

/// Whether an access unit begins in these bytes.
pub fn has_unit(bytes: &[u8]) -> bool {
    packets(bytes).any(|packet| packet.starts_pes())
}
