//! H.264 as RTP payloads (RFC 6184), packetization mode 1.

use super::{MAX_PAYLOAD, frame::Payloads};
use crate::media::codec::{h264, nal};

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const START: u8 = 0x80;
const END: u8 = 0x40;
/// The bits of a NAL unit header before its type.
const REFERENCE: u8 = 0xe0;

/// Cuts a sample. In front of a sync sample go the parameter sets: players stop at an IDR frame without them.
pub(super) fn packetize(parameters: &h264::Parameters, is_sync: bool, data: &[u8], out: &mut Payloads) {
    let sets = parameters.sps.iter().chain(&parameters.pps).map(AsRef::as_ref).filter(|_| is_sync);
    let units = nal::length_prefixed(data, 4);
    // What precedes the slices travels together: it is small.
    let mut small: Vec<&[u8]> = Vec::new();
    for unit in sets.chain(units) {
        let is_slice = unit.first().is_none_or(|head| (1..=h264::IDR).contains(&(head & 0x1f)));
        let together = 1 + small.iter().map(|unit| 2 + unit.len()).sum::<usize>();
        if is_slice || together + 2 + unit.len() > MAX_PAYLOAD {
            aggregate(&mut small, out);
        }
        match is_slice || unit.len() + 3 > MAX_PAYLOAD {
            true => single_or_cut(unit, out),
            false => small.push(unit),
        }
    }
    aggregate(&mut small, out);
}

fn aggregate(units: &mut Vec<&[u8]>, out: &mut Payloads) {
    if let [one] = units.as_slice() {
        out.extend(one);
    } else if !units.is_empty() {
        let reference = units.iter().filter_map(|unit| unit.first()).map(|head| head & REFERENCE).max().unwrap_or(0);
        out.extend(&[reference | STAP_A]);
        for unit in units.iter() {
            out.extend(&u16::try_from(unit.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend(unit);
        }
    }
    out.finish();
    units.clear();
}

fn single_or_cut(unit: &[u8], out: &mut Payloads) {
    let Some((head, rest)) = unit.split_first().filter(|_| unit.len() > MAX_PAYLOAD) else {
        out.extend(unit);
        return out.finish();
    };
    for (bytes, is_first, is_last) in equal_pieces(rest, MAX_PAYLOAD - 2) {
        let start = if is_first { START } else { 0 };
        let end = if is_last { END } else { 0 };
        out.extend(&[head & REFERENCE | FU_A, start | end | head & 0x1f]);
        out.extend(bytes);
        out.finish();
    }
}

/// Pieces of at most `most` bytes, all but the last of one length, so that the kernel can cut one write into them; each with whether
/// it is the first, and the last.
pub(super) fn equal_pieces(bytes: &[u8], most: usize) -> impl Iterator<Item = (&[u8], bool, bool)> {
    let count = bytes.len().div_ceil(most).max(1);
    let size = bytes.len().div_ceil(count).max(1);
    let count = bytes.len().div_ceil(size);
    bytes.chunks(size).enumerate().map(move |(at, piece)| (piece, at == 0, at + 1 == count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::webrtc::Frame;
    use crate::media::{MediaKind, Time, webrtc::frame};
    use bytes::Bytes;

    fn payloads(is_sync: bool, units: &[&[u8]]) -> Vec<Vec<u8>> {
        let parameters =
            h264::Parameters { sps: vec![Bytes::from_static(b"\x67sps")], pps: vec![Bytes::from_static(b"\x68p")] };
        let mut data = Vec::new();
        units.iter().for_each(|unit| nal::push_length_prefixed(unit, &mut data));
        let mut out = Payloads::default();
        packetize(&parameters, is_sync, &data, &mut out);
        let frame = Frame::read(&frame::write(MediaKind::Video, is_sync, Time::ZERO, &out)).unwrap();
        frame.payloads.iter().map(|payload| payload.to_vec()).collect()
    }

    #[test]
    fn parameter_sets_precede_each_keyframe_in_one_payload() {
        assert_eq!(
            payloads(true, &[b"\x06sei", b"\x65idr"]),
            [b"\x78\0\x04\x67sps\0\x02\x68p\0\x04\x06sei".to_vec(), b"\x65idr".to_vec()]
        );
        assert_eq!(payloads(false, &[b"\x06sei", b"\x41p"]), [b"\x06sei".to_vec(), b"\x41p".to_vec()]);
    }

    #[test]
    fn large_units_are_cut_into_equal_pieces() {
        let unit: Vec<u8> = std::iter::once(0x65).chain((0..3000u32).map(|byte| byte as u8)).collect();
        let cut = payloads(false, &[&unit]);
        let lengths: Vec<_> = cut.iter().map(Vec::len).collect();
        assert_eq!(lengths, [1002, 1002, 1002]);
        assert_eq!(
            cut.iter().map(|piece| [piece[0], piece[1]]).collect::<Vec<_>>(),
            [[124, 0x85], [124, 5], [124, 0x45]]
        );
        let joined: Vec<u8> = cut.iter().flat_map(|piece| piece[2..].to_vec()).collect();
        assert_eq!(joined, unit[1..]);
        for length in 1..4000 {
            let bytes = vec![0; length];
            let pieces: Vec<_> = equal_pieces(&bytes, 1158).collect();
            assert_eq!(pieces.iter().map(|(piece, ..)| piece.len()).sum::<usize>(), length);
            assert!(pieces.iter().all(|(piece, ..)| (1..=1158).contains(&piece.len())));
            assert!(pieces.first().unwrap().1 && pieces.last().unwrap().2);
            assert_eq!(pieces.iter().filter(|(_, first, last)| *first || *last).count(), pieces.len().min(2));
        }
    }
}
