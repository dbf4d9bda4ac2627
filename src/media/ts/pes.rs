//! Packets of what belongs together in a track: a picture, or a frame of sound (section 2.4.3.6).

use super::coding::Track;
use super::packet::{PACKET, SYNC};

/// Ticks of a second.
pub(super) const CLOCK: i64 = 90_000;
/// Where stamps begin, so that what is decoded before the epoch has one.
pub(super) const BASE: i64 = 3600 * CLOCK;
/// Stamps have 33 bits.
const STAMP: i64 = (1 << 33) - 1;
/// Bytes of a PES packet that its length does not count.
const PES_FIXED: usize = 6;
/// Bytes that a packet has besides its head.
const ROOM: usize = PACKET - 4;

/// When a unit is decoded and shown, in ticks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamps {
    pub(super) decode: i64,
    pub(super) shown: i64,
}

/// What stands in front of a sample of a track: the head of its unit, and what its codec wants.
pub(super) fn front(track: &Track, stamps: Stamps, sample: &[u8]) -> Vec<u8> {
    let mut front = Vec::with_capacity(32);
    head(track.id, stamps, &mut front);
    track.write_front(sample, &mut front);
    set_length(&mut front, sample.len());
    front
}

/// A time as a stamp.
pub(super) fn ticks(nanoseconds: i64) -> i64 {
    const NANOSECONDS: i64 = 100_000;
    // A tick is 100 000 / 9 nanoseconds.
    let ticks = nanoseconds.div_euclid(NANOSECONDS) * 9 + nanoseconds.rem_euclid(NANOSECONDS) * 9 / NANOSECONDS;
    (ticks + BASE) & STAMP
}

/// The head of a PES packet whose length is not known yet (section 2.4.3.6).
fn head(id: u8, Stamps { decode, shown }: Stamps, out: &mut Vec<u8>) {
    // What follows begins with a sample.
    const ALIGNED: u8 = 0x84;
    out.extend_from_slice(&[0, 0, 1, id, 0, 0, ALIGNED]);
    if decode == shown {
        out.extend_from_slice(&[0x80, 5]);
        stamp(0x20, shown, out);
    } else {
        out.extend_from_slice(&[0xc0, 10]);
        stamp(0x30, shown, out);
        stamp(0x10, decode, out);
    }
}

/// A stamp, with marks between its parts.
fn stamp(kind: u8, ticks: i64, out: &mut Vec<u8>) {
    let part = |shift: u32| (ticks >> shift) as u8;
    out.extend_from_slice(&[kind | part(29) & 0x0e | 1, part(22), part(14) & 0xfe | 1, part(7), part(0) << 1 | 1]);
}

/// Says in the head of a PES packet how long it is, so that a reader needs not wait for the next one. Only pictures may be
/// too long for that, and say nothing.
fn set_length(front: &mut [u8], payload: usize) {
    let length = u16::try_from(front.len() + payload - PES_FIXED).unwrap_or(0);
    if let Some(field) = front.get_mut(4..PES_FIXED) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

/// What the first packet of a sample says.
pub(super) struct Begin {
    pub(super) is_random_access: bool,
    /// The clock reference, in ticks.
    pub(super) clock: Option<i64>,
}

impl Begin {
    /// The adaptation field without its length; nothing if there is nothing to say (section 2.4.3.4).
    fn field(&self) -> Vec<u8> {
        let random_access = if self.is_random_access { 0x40 } else { 0 };
        match self.clock {
            Some(clock) => {
                let part = |shift: u32| (clock >> shift) as u8;
                // 33 bits, six of no meaning, and nine of a finer clock.
                vec![random_access | 0x10, part(25), part(17), part(9), part(1), part(0) << 7 | 0x7e, 0]
            }
            None if self.is_random_access => vec![random_access],
            None => Vec::new(),
        }
    }
}

/// Cuts a PES packet, which has two parts, into packets; the last one is filled by its adaptation field.
pub(super) fn packetize(pid: u16, counter: &mut u8, begin: &Begin, [front, body]: [&[u8]; 2], out: &mut Vec<u8>) {
    let [high, low] = pid.to_be_bytes();
    let (mut field, mut starts) = (begin.field(), 0x40);
    let (mut front, mut body) = (front, body);
    while !(front.is_empty() && body.is_empty()) {
        let said = if field.is_empty() { 0 } else { 1 + field.len() };
        let room = (ROOM - said).min(front.len() + body.len());
        let filling = ROOM - said - room;
        let has_field = if said + filling > 0 { 0x20 } else { 0 };
        out.extend_from_slice(&[SYNC, high | starts, low, 0x10 | has_field | next(counter)]);
        if has_field > 0 {
            let length = said + filling - 1;
            out.push(length as u8);
            if field.is_empty() && length > 0 {
                field.push(0);
            }
            out.extend_from_slice(&field);
            out.extend(std::iter::repeat_n(0xff, length - field.len()));
        }
        for part in [&mut front, &mut body] {
            let end = out.len().next_multiple_of(PACKET);
            let (now, later) = part.split_at(part.len().min(end - out.len()));
            out.extend_from_slice(now);
            *part = later;
        }
        field.clear();
        starts = 0;
    }
}

/// The counter of a packet.
pub(super) fn next(counter: &mut u8) -> u8 {
    std::mem::replace(counter, (*counter + 1) & 0x0f)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn stamps_begin_again_after_26_hours() {
        let hours = |hours: i64| ticks(hours * 3_600_000 * MS);
        assert_eq!((hours(0), hours(1)), (BASE, 2 * BASE));
        assert!(hours(25) > hours(24) && hours(26) < hours(0));
        assert_eq!(ticks(-MS), BASE - 90);
    }
}
