//! Transport packets with four bytes in front of each that say when it arrived: M2TS of cameras and discs (Blu-ray, part 3).

use super::packet::{PACKET, SYNC};
use crate::media::sniff::Sniffed;
use crate::media::{Container, window::Window};

/// Length of what stands in front of a packet.
const STAMP: usize = 4;
const UNIT: usize = STAMP + PACKET;

/// Whether bytes that are nothing else are such packets: three of them tell. The first byte is none of a packet, so that
/// they cannot be both.
pub(in crate::media) fn sniff(bytes: &[u8]) -> Sniffed {
    if bytes.first() == Some(&SYNC) {
        return Sniffed::Unknown;
    }
    for number in 0..3 {
        match bytes.get(number * UNIT + STAMP) {
            Some(&SYNC) => {}
            Some(_) => return Sniffed::Unknown,
            None => return Sniffed::Undecided,
        }
    }
    Sniffed::Is(Container::Ts)
}

/// Takes the packets from behind their stamps.
#[derive(Debug, Default)]
pub(super) struct Unstamping {
    window: Window,
    /// Bytes were met that are no unit: the next one is believed only if another follows it.
    lost: bool,
}

impl Unstamping {
    /// Takes the next bytes; gives the packets that are whole.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut packets = Vec::with_capacity(bytes.len());
        let lost = &mut self.lost;
        self.window.push(bytes, |bytes| {
            let mut rest = bytes;
            while let Some((unit, after)) = rest.split_at_checked(UNIT) {
                if *lost && after.len() <= STAMP {
                    break;
                }
                let has_packet = |bytes: &[u8]| bytes.get(STAMP) == Some(&SYNC);
                if has_packet(unit) && (!*lost || has_packet(after)) {
                    *lost = false;
                    packets.extend_from_slice(unit.get(STAMP..).unwrap_or_default());
                    rest = after;
                } else {
                    *lost = true;
                    rest = rest.get(1..).unwrap_or_default();
                }
            }
            bytes.len() - rest.len()
        });
        packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::testing::Scan;
    use proptest::prelude::*;

    const CAPTURE: &[u8] = include_bytes!("../../../tests/data/h264-aac.ts");

    fn stamped() -> Vec<u8> {
        let packets = CAPTURE.chunks_exact(PACKET).enumerate();
        packets.flat_map(|(number, packet)| [&(number as u32 * 7).to_be_bytes()[..], packet].concat()).collect()
    }

    #[test]
    fn stamps_are_taken_away() {
        let plain = Scan::of(None, CAPTURE, &[usize::MAX]);
        for expected in [None, Some(Container::Ts)] {
            assert_eq!(Scan::of(expected, &stamped(), &[1000]), plain);
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(hole in 1000usize..9000, sizes in prop::collection::vec(1usize..3000, 1..8)) {
            let whole = stamped();
            let bytes = [&whole[..hole], &whole[hole + 9..]].concat();
            let scan = |sizes: &[usize]| Scan::of(Some(Container::Ts), &bytes, sizes);
            prop_assert_eq!(scan(&sizes), scan(&[usize::MAX]));
        }
    }
}
