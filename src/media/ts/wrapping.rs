//! Transport packets with something around each of them: four bytes in front that say when it arrived, in M2TS of cameras and
//! discs (Blu-ray, part 3), or 16 bytes of parity behind, from receivers (ETSI EN 300 421, section 4.4.2).

use super::packet::{PACKET, SYNC};
use crate::media::sniff::Sniffed;
use crate::media::{Container, byte_window::ByteWindow};

/// What is around each packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::media) struct Wrapping {
    /// Bytes in front of it.
    before: usize,
    /// Bytes behind it.
    behind: usize,
}

const STAMPS: Wrapping = Wrapping { before: 4, behind: 0 };
const PARITY: Wrapping = Wrapping { before: 0, behind: 16 };

impl Wrapping {
    /// The one that these bytes begin with, of which three packets tell; `Err` when there are too few. Bytes that begin with
    /// two bare packets have none.
    pub(in crate::media) fn of(bytes: &[u8]) -> Result<Option<Self>, Undecided> {
        let wrapping = match bytes {
            [] => return Err(Undecided),
            [SYNC, ..] if bytes.get(PACKET) == Some(&SYNC) => return Ok(None),
            [SYNC, ..] => PARITY,
            _ => STAMPS,
        };
        for number in 0..3 {
            match bytes.get(number * wrapping.unit() + wrapping.before) {
                Some(&SYNC) => {}
                Some(_) => return Ok(None),
                None => return Err(Undecided),
            }
        }
        Ok(Some(wrapping))
    }

    /// Whether bytes that are nothing else are such packets.
    pub(in crate::media) fn sniff(bytes: &[u8]) -> Sniffed {
        match Self::of(bytes) {
            Ok(Some(_)) => Sniffed::Is(Container::Ts),
            Ok(None) => Sniffed::Unknown,
            Err(Undecided) => Sniffed::Undecided,
        }
    }

    const fn unit(self) -> usize {
        self.before + PACKET + self.behind
    }
}

/// More bytes are needed.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::media) struct Undecided;

/// Takes the packets out of what is around them.
#[derive(Debug)]
pub(super) struct Unwrapping {
    wrapping: Wrapping,
    window: ByteWindow,
    /// Bytes were met that are no unit: the next one is believed only if another follows it.
    lost: bool,
}

impl Unwrapping {
    pub(super) fn new(wrapping: Wrapping) -> Self {
        Self { wrapping, window: ByteWindow::default(), lost: false }
    }

    /// Takes the next bytes; gives the packets that are whole.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut packets = Vec::with_capacity(bytes.len());
        let (lost, wrapping) = (&mut self.lost, self.wrapping);
        self.window.push(bytes, |bytes| {
            let mut rest = bytes;
            while let Some((unit, after)) = rest.split_at_checked(wrapping.unit()) {
                if *lost && after.len() <= wrapping.before {
                    break;
                }
                let has_packet = |bytes: &[u8]| bytes.get(wrapping.before) == Some(&SYNC);
                if has_packet(unit) && (!*lost || has_packet(after)) {
                    *lost = false;
                    let packet = unit.get(wrapping.before..).and_then(|packet| packet.first_chunk::<PACKET>());
                    packets.extend_from_slice(packet.map_or(&[], |packet| packet));
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

    fn with_parity() -> Vec<u8> {
        let packets = CAPTURE.chunks_exact(PACKET).enumerate();
        packets.flat_map(|(number, packet)| [packet, &[number as u8 | 0x80; 16]].concat()).collect()
    }

    #[test]
    fn what_is_around_packets_is_taken_away() {
        let plain = Scan::of(None, CAPTURE, &[usize::MAX]);
        for bytes in [stamped(), with_parity()] {
            for expected in [None, Some(Container::Ts)] {
                for size in [1000, 150] {
                    assert_eq!(Scan::of(expected, &bytes, &[size]), plain);
                }
            }
        }
    }

    #[test]
    fn three_packets_tell() {
        let parity = with_parity();
        assert_eq!(Wrapping::of(&parity[..408]), Err(Undecided));
        assert_eq!(Wrapping::of(&parity[..409]), Ok(Some(PARITY)));
        assert_eq!(Wrapping::of(&stamped()[..388]), Err(Undecided));
        assert_eq!(Wrapping::of(&stamped()[..389]), Ok(Some(STAMPS)));
        assert_eq!(Wrapping::of(CAPTURE), Ok(None));
        assert_eq!(Wrapping::of(&[b'x'; 200]), Ok(None));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(hole in 1000usize..9000, sizes in prop::collection::vec(1usize..3000, 1..8)) {
            for whole in [stamped(), with_parity()] {
                let bytes = [&whole[..hole], &whole[hole + 9..]].concat();
                let scan = |sizes: &[usize]| Scan::of(None, &bytes, sizes);
                prop_assert_eq!(scan(&sizes), scan(&[usize::MAX]));
            }
        }
    }
}
