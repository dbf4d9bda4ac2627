//! What stands before a sample that is a fragment of its own: `moof` and the head of `mdat` (section 8.8).

/// Length of the `moof` of a sample: all its fields are always there.
const MOOF: u32 = 104;
/// Length of the head of `mdat`.
const MDAT: u32 = 8;
/// Length of all that stands before a sample.
pub(super) const FRONT: usize = (MOOF + MDAT) as usize;

/// Flags of a sample that can be decoded without others, and of one that cannot (section 8.8.3.1).
pub(super) const SYNC: u32 = 0x0200_0000;
pub(super) const NON_SYNC: u32 = 0x0101_0000;

/// `tfhd`: offsets of data count from the begin of `moof` (section 8.8.7.1).
const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
/// `trun`, version 1: an offset of the data; each sample has duration, size, flags and a signed composition offset (section 8.8.8.1).
const RUN: u32 = 0x0100_0f01;
/// Version 1 of `tfdt`: 64 bits.
const WIDE: u32 = 0x0100_0000;

/// The place of a sample in time, in ticks of its track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// When it is decoded.
    pub(super) decode: u64,
    /// How much later it is shown.
    pub(super) offset: i32,
    /// For how long, as far as that is known.
    pub(super) duration: u32,
}

/// The front of a sample of `length` bytes; `None` if these are too many for a box.
pub(super) fn front(track: u32, sequence: u32, times: Times, is_sync: bool, length: usize) -> Option<[u8; FRONT]> {
    let size = u32::try_from(length).ok()?;
    let decode = times.decode.to_be_bytes();
    let [high, low] = [decode.first_chunk()?, decode.last_chunk()?].map(|half| u32::from_be_bytes(*half));
    let kind = u32::from_be_bytes;
    let words: [u32; FRONT / 4] = [
        MOOF,
        kind(*b"moof"),
        16,
        kind(*b"mfhd"),
        0,
        sequence,
        80,
        kind(*b"traf"),
        16,
        kind(*b"tfhd"),
        DEFAULT_BASE_IS_MOOF,
        track,
        20,
        kind(*b"tfdt"),
        WIDE,
        high,
        low,
        36,
        kind(*b"trun"),
        RUN,
        1,
        MOOF + MDAT,
        times.duration,
        size,
        if is_sync { SYNC } else { NON_SYNC },
        u32::from_be_bytes(times.offset.to_be_bytes()),
        size.checked_add(MDAT)?,
        kind(*b"mdat"),
    ];
    let mut bytes = [0; FRONT];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mp4_atom::{Decode, Moof};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_foreign_reader_finds_what_was_written(
            track in 1u32..300,
            sequence: u32,
            decode in 0u64..1 << 60,
            offset: i32,
            duration: u32,
            is_sync: bool,
            length in 0usize..1 << 30,
        ) {
            let bytes = front(track, sequence, Times { decode, offset, duration }, is_sync, length).unwrap();
            let mut rest = &bytes[..];
            let moof = Moof::decode(&mut rest).unwrap();
            prop_assert_eq!(rest, [&(u32::try_from(length).unwrap() + 8).to_be_bytes()[..], b"mdat"].concat());
            prop_assert_eq!(moof.mfhd.sequence_number, sequence);
            let traf = &moof.traf[0];
            prop_assert_eq!((traf.tfhd.track_id, traf.tfhd.default_base_is_moof), (track, true));
            prop_assert_eq!(traf.tfdt.as_ref().unwrap().base_media_decode_time, decode);
            prop_assert_eq!(traf.trun[0].data_offset, Some(112));
            let sample = traf.trun[0].samples.get(0).unwrap();
            prop_assert_eq!((sample.duration, sample.size), (Some(duration), u32::try_from(length).ok()));
            prop_assert_eq!(sample.cts, Some(offset.into()));
            prop_assert_eq!(sample.flags, Some(if is_sync { SYNC } else { NON_SYNC }));
        }
    }

    #[test]
    fn more_than_a_box_can_hold_has_no_front() {
        let times = Times { decode: 0, offset: 0, duration: 1 };
        assert!(front(1, 1, times, true, u32::MAX as usize - 7).is_none());
    }
}
