//! When the datagrams of a frame leave: a keyframe is many of them, which a receiver's socket and a switch on the way may not hold.

use std::time::Duration;

/// Bytes of a packet.
const PACKET: usize = 188;
/// So many datagrams leave together.
const TOGETHER: usize = 4;
/// The time from one PCR to the next, until two came: a frame of 50 in a second.
const FIRST_INTERVAL: Duration = Duration::from_millis(20);
/// Clocks further apart are not waited for: the next frame must find this one sent.
const LONGEST_INTERVAL: Duration = Duration::from_millis(40);
/// Ticks of a PCR in a second, and where it wraps.
const PCR_RATE: u64 = 27_000_000;
const PCR_WRAP: u64 = (1 << 33) * 300;

/// Spreads the datagrams of each frame over most of the time until the next one.
#[derive(Debug)]
pub(super) struct Pacer {
    last: Option<u64>,
    interval: Duration,
}

impl Default for Pacer {
    fn default() -> Self {
        Self { last: None, interval: FIRST_INTERVAL }
    }
}

impl Pacer {
    /// Looks at the next bytes, which begin with a packet: how far apart its clock references are shows how much time there is.
    pub(super) fn see(&mut self, bytes: &[u8]) {
        for pcr in bytes.chunks_exact(PACKET).filter_map(pcr) {
            if let Some(last) = self.last.replace(pcr) {
                let ticks = (pcr + PCR_WRAP - last) % PCR_WRAP;
                let apart = Duration::from_nanos(ticks.saturating_mul(1_000_000_000) / PCR_RATE);
                // One that jumps says nothing.
                if apart <= Duration::from_secs(1) {
                    self.interval = apart.min(LONGEST_INTERVAL);
                }
            }
        }
    }

    /// How long after the first one of `count` datagrams of a frame the one with this number leaves, counted from 0.
    pub(super) fn after(&self, number: usize, count: usize) -> Duration {
        if count <= TOGETHER {
            return Duration::ZERO;
        }
        let number = number - number % TOGETHER;
        let (number, count) = (u32::try_from(number).unwrap_or(u32::MAX), u32::try_from(count).unwrap_or(u32::MAX));
        (self.interval * 3 / 4).mul_f64(f64::from(number) / f64::from(count))
    }
}

/// The clock reference of a packet, in ticks of 27 MHz, if it has one.
fn pcr(packet: &[u8]) -> Option<u64> {
    let (head, field) = packet.split_first_chunk::<6>()?;
    let [0x47, _, _, control, length, flags] = *head else { return None };
    if control & 0x20 == 0 || length < 7 || flags & 0x10 == 0 {
        return None;
    }
    let [a, b, c, d, e, f] = *field.first_chunk::<6>()?;
    let base = u64::from(u32::from_be_bytes([a, b, c, d])) << 1 | u64::from(e >> 7);
    Some(base * 300 + (u64::from(e & 1) << 8 | u64::from(f)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(pcr: Option<u64>) -> [u8; PACKET] {
        let mut packet = [0xff; PACKET];
        packet[..4].copy_from_slice(&[0x47, 0x01, 0x00, 0x10]);
        if let Some(pcr) = pcr {
            let (base, extension) = (pcr / 300, pcr % 300);
            packet[3..6].copy_from_slice(&[0x30, 7, 0x10]);
            packet[6..10].copy_from_slice(&u32::try_from(base >> 1).unwrap().to_be_bytes());
            packet[10] = u8::try_from(base & 1).unwrap() << 7 | 0x7e | u8::try_from(extension >> 8).unwrap();
            packet[11] = extension as u8;
        }
        packet
    }

    #[test]
    fn a_frame_is_spread_over_most_of_the_time_between_two_clock_references() {
        let mut pacer = Pacer::default();
        // Also over the wrap of the clock.
        pacer.see(&[packet(None), packet(Some(PCR_WRAP - 270_000))].concat());
        assert_eq!(pacer.interval, FIRST_INTERVAL);
        pacer.see(&packet(Some(PCR_RATE / 25 - 270_000)));
        assert_eq!(pacer.interval.as_millis(), 40);
        let millis: Vec<_> = (0..12).map(|number| pacer.after(number, 12).as_millis()).collect();
        assert_eq!(millis, [0, 0, 0, 0, 10, 10, 10, 10, 20, 20, 20, 20]);
        assert!((0..4).all(|number| pacer.after(number, 4).is_zero()));
        // A jump changes nothing, nor does a clock that comes once a second delay anything for long.
        pacer.see(&packet(Some(PCR_RATE * 100)));
        assert_eq!(pacer.interval.as_millis(), 40);
        pacer.see(&packet(Some(PCR_RATE * 101)));
        assert_eq!(pacer.interval, LONGEST_INTERVAL);
    }

    proptest! {
        #[test]
        fn foreign_packets_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), number in 0_usize..999, count: usize) {
            let mut pacer = Pacer::default();
            bytes.iter_mut().step_by(PACKET).for_each(|byte| *byte = 0x47);
            pacer.see(&bytes);
            prop_assert!(pacer.interval <= LONGEST_INTERVAL);
            if number < count {
                prop_assert!(pacer.after(number, count) <= LONGEST_INTERVAL);
            }
        }
    }
}
