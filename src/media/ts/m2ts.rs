//! Transport packets with more bytes each: a timestamp of four bytes in front (192-byte packets, M2TS of cameras and discs, Blu-ray
//! part 3), or 16 bytes of parity behind (204-byte packets, of receivers, ETSI EN 300 421, section 4.4.2).

use super::packet::{PACKET, SYNC};
use crate::media::sniffed::Sniffed;
use crate::media::{Container, byte_window::ByteWindow};

/// What surrounds each packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::media) struct PacketFraming {
    /// Bytes before it.
    before: usize,
    /// Bytes after it.
    behind: usize,
}

const TIMESTAMPS: PacketFraming = PacketFraming { before: 4, behind: 0 };
const PARITY: PacketFraming = PacketFraming { before: 0, behind: 16 };

impl PacketFraming {
    /// The framing of these bytes, by their first three packets; `Err` when there are too few. Bytes that begin with two bare
    /// packets have none.
    pub(in crate::media) fn of(bytes: &[u8]) -> Result<Option<Self>, Undecided> {
        let framing = match bytes {
            [] => return Err(Undecided),
            [SYNC, ..] if bytes.get(PACKET) == Some(&SYNC) => return Ok(None),
            [SYNC, ..] => PARITY,
            _ => TIMESTAMPS,
        };
        for number in 0..3 {
            match bytes.get(number * framing.unit() + framing.before) {
                Some(&SYNC) => {}
                Some(_) => return Ok(None),
                None => return Err(Undecided),
            }
        }
        Ok(Some(framing))
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

/// Removes what surrounds packets.
#[derive(Debug)]
pub(super) struct M2tsUnwrapper {
    framing: PacketFraming,
    window: ByteWindow,
    /// Synchronisation is lost: the next packet counts only if another follows it.
    lost: bool,
}

impl M2tsUnwrapper {
    pub(super) fn new(framing: PacketFraming) -> Self {
        Self { framing, window: ByteWindow::default(), lost: false }
    }

    /// Takes the next bytes; returns the complete packets.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut packets = Vec::with_capacity(bytes.len());
        let (lost, framing) = (&mut self.lost, self.framing);
        self.window.push(bytes, |bytes| {
            let mut rest = bytes;
            while let Some((unit, after)) = rest.split_at_checked(framing.unit()) {
                if *lost && after.len() <= framing.before {
                    break;
                }
                let has_packet = |bytes: &[u8]| bytes.get(framing.before) == Some(&SYNC);
                if has_packet(unit) && (!*lost || has_packet(after)) {
                    *lost = false;
                    let packet = unit.get(framing.before..).and_then(|packet| packet.first_chunk::<PACKET>());
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
    fn what_surrounds_packets_is_removed() {
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
    fn three_packets_decide() {
        let parity = with_parity();
        assert_eq!(PacketFraming::of(&parity[..408]), Err(Undecided));
        assert_eq!(PacketFraming::of(&parity[..409]), Ok(Some(PARITY)));
        assert_eq!(PacketFraming::of(&stamped()[..388]), Err(Undecided));
        assert_eq!(PacketFraming::of(&stamped()[..389]), Ok(Some(TIMESTAMPS)));
        assert_eq!(PacketFraming::of(CAPTURE), Ok(None));
        assert_eq!(PacketFraming::of(&[b'x'; 200]), Ok(None));
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
