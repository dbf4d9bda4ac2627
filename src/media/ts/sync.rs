//! Finds transport packets in bytes from any position: bare ones of 188 bytes, of 192 with a timestamp in front (M2TS), and
//! of 204 with parity behind (ETSI EN 300 421, section 4.4.2).

use super::packet::{PACKET, Packet, SYNC};
use crate::media::byte_window::ByteWindow;

/// From one packet to the next, by likelihood.
const STRIDES: [usize; 3] = [PACKET, 192, 204];
/// So many sync bytes in a row, one stride apart, are packets.
const SYNC_BYTES: usize = 3;

/// Packets leave when they are complete. Where a sync byte is missing, it searches again.
#[derive(Debug, Default)]
pub(super) struct Synchronizer {
    window: ByteWindow,
    state: State,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    #[default]
    Searching,
    /// The next packet begins after so many bytes.
    Locked { stride: usize, skip: usize },
}

/// What begins at a sync byte.
enum Found {
    Packets(usize),
    Nothing,
    /// More bytes are needed to decide.
    Undecided,
}

impl Synchronizer {
    /// Takes the next bytes; gives complete packets to `each`.
    pub(super) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Packet<'_>)) {
        let state = &mut self.state;
        self.window.push(bytes, |bytes| scan(state, bytes, false, &mut each));
    }

    /// No more bytes will come: what is left is believed with fewer sync bytes.
    pub(super) fn finish(&mut self, mut each: impl FnMut(Packet<'_>)) {
        let rest = self.window.take();
        scan(&mut self.state, &rest, true, &mut each);
        self.state = State::Searching;
    }
}

/// Number of bytes that are done with: fewer than 2 strides and one packet remain.
fn scan(state: &mut State, bytes: &[u8], ended: bool, each: &mut impl FnMut(Packet<'_>)) -> usize {
    let mut at = 0;
    loop {
        match *state {
            State::Searching => {
                let rest = bytes.get(at..).unwrap_or_default();
                let Some(next) = rest.iter().position(|byte| *byte == SYNC) else { return bytes.len() };
                at += next;
                match find(bytes.get(at..).unwrap_or_default(), ended) {
                    Found::Packets(stride) => *state = State::Locked { stride, skip: 0 },
                    Found::Nothing => at += 1,
                    Found::Undecided => return at,
                }
            }
            State::Locked { stride, skip } => {
                let skipped = skip.min(bytes.len() - at);
                at += skipped;
                if skipped < skip {
                    *state = State::Locked { stride, skip: skip - skipped };
                    return at;
                }
                *state = State::Locked { stride, skip: 0 };
                match bytes.get(at..) {
                    Some([SYNC, ..]) => {}
                    Some([_, ..]) => {
                        *state = State::Searching;
                        continue;
                    }
                    _ => return at,
                }
                let Some(raw) = bytes.get(at..).and_then(|rest| rest.first_chunk::<PACKET>()) else { return at };
                if let Some(packet) = Packet::new(raw) {
                    each(packet);
                }
                at += PACKET;
                *state = State::Locked { stride, skip: stride - PACKET };
            }
        }
    }
}

/// What begins with these bytes, the first of which is a sync byte.
fn find(bytes: &[u8], ended: bool) -> Found {
    for stride in STRIDES {
        let mut places = (1..SYNC_BYTES).map(|number| bytes.get(number * stride));
        if places.clone().flatten().all(|byte| *byte == SYNC) {
            let is_whole = ended && bytes.len() >= PACKET || places.all(|place| place.is_some());
            if !is_whole {
                return Found::Undecided;
            }
            if stride == PACKET || has_headers(bytes, stride) {
                return Found::Packets(stride);
            }
        }
    }
    Found::Nothing
}

/// Whether packets this far apart have headers with a payload or an adaptation field, in clear: the first bytes of the
/// timestamps of M2TS are the same for a while, and may look like sync bytes.
fn has_headers(bytes: &[u8], stride: usize) -> bool {
    let flags = |number: usize| bytes.get(number * stride + 3);
    // The last one may not be there yet.
    (0..SYNC_BYTES - 1).all(|number| flags(number).is_none_or(|flags| flags & 0xc0 == 0 && flags & 0x30 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CAPTURE: &[u8] = include_bytes!("../../../tests/data/h264-aac.ts");

    fn packets(bytes: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
        let (mut sync, mut found, mut rest) = (Synchronizer::default(), Vec::new(), bytes);
        for size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            sync.push(piece, |packet| found.push(packet.raw().to_vec()));
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        sync.finish(|packet| found.push(packet.raw().to_vec()));
        found
    }

    fn framed(before: &[u8], behind: &[u8]) -> Vec<u8> {
        CAPTURE.chunks_exact(PACKET).flat_map(|packet| [before, packet, behind].concat()).collect()
    }

    /// Timestamps and parity that begin with what looks like a sync byte.
    fn numbered(before: bool) -> Vec<u8> {
        let packets = CAPTURE.chunks_exact(PACKET).enumerate();
        let piece = |(at, packet): (usize, &[u8])| match before {
            true => [&[0x47, 1, at as u8, 0xc0 | (at * 37) as u8], packet].concat(),
            false => [packet, &[(at / 9 * 0x47) as u8], &[(at * 7) as u8; 15]].concat(),
        };
        packets.flat_map(piece).collect()
    }

    #[test]
    fn packets_of_all_lengths_are_found_from_any_position() {
        let plain: Vec<Vec<u8>> = CAPTURE.chunks_exact(PACKET).map(<[u8]>::to_vec).collect();
        for (bytes, stride) in [
            (CAPTURE.to_vec(), 188),
            (numbered(true), 192),
            (numbered(false), 204),
            (framed(b"abcd", b""), 192),
            (framed(b"", &[0x41; 16]), 204),
        ] {
            assert!(packets(&bytes, &[usize::MAX]) == plain);
            let late = packets(&bytes[1000..], &[100]);
            assert!(late == plain[plain.len() - late.len()..]);
            assert!(late.len() >= (bytes.len() - 1000) / stride - 1);
        }
        assert!(packets(&CAPTURE[..PACKET], &[50]) == plain[..1]);
        assert!(packets(&CAPTURE[..PACKET - 1], &[50]).is_empty());
    }

    #[test]
    fn a_packet_leaves_with_its_last_byte() {
        let (mut sync, mut count) = (Synchronizer::default(), 0);
        sync.push(&CAPTURE[..2 * PACKET], |_| count += 1);
        assert_eq!(count, 0);
        sync.push(&CAPTURE[2 * PACKET..3 * PACKET], |_| count += 1);
        assert_eq!(count, 3);
        sync.push(&CAPTURE[3 * PACKET..4 * PACKET - 1], |_| count += 1);
        sync.push(&CAPTURE[4 * PACKET - 1..4 * PACKET], |_| count += 1);
        assert_eq!(count, 4);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter_and_little_is_kept(
            damage in prop::collection::vec((0usize..60_000, any::<u8>()), 0..20),
            hole in 0usize..50_000,
            size in 0usize..500,
            stride in 0usize..3,
            sizes in prop::collection::vec(1usize..700, 1..9),
        ) {
            let mut bytes = [framed(b"", b""), framed(b"abcd", b""), framed(b"", &[3; 16])][stride].clone();
            damage.into_iter().for_each(|(at, value)| bytes[at] = value);
            bytes.drain(hole..hole + size);
            prop_assert!(packets(&bytes, &sizes) == packets(&bytes, &[usize::MAX]));
            let mut sync = Synchronizer::default();
            for piece in bytes.chunks(sizes[0]) {
                sync.push(piece, |_| {});
                prop_assert!(sync.window.len() <= 2 * 204 + 1);
            }
        }
    }
}
