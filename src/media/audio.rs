//! Audio without a container: frames of AAC in ADTS (ISO/IEC 13818-7, section 6.2) and of MP3 (ISO/IEC 11172-3, 2.4.1).
//!
//! There is no header, and a reader may begin with every frame.

use super::framing::{FrameLength, FrameRole, Framing};

/// Longest ID3 tag that is stepped over: cover art fits.
const MAX_TAG: usize = 4 << 20;

/// AAC in ADTS.
#[derive(Debug, Default)]
pub(super) struct Adts;

impl Framing for Adts {
    fn measure(bytes: &[u8]) -> FrameLength {
        match *bytes {
            [first, ..] if first != 0xff => FrameLength::Nothing,
            // The layer is always 0, the sampling frequency one of 13.
            [_, second, ..] if second & 0xf6 != 0xf0 => FrameLength::Nothing,
            [_, _, third, ..] if third >> 2 & 0x0f > 12 => FrameLength::Nothing,
            [_, second, _, fourth, fifth, sixth, ..] => {
                let length = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth) >> 5;
                let head = if second & 1 == 0 { 9 } else { 7 };
                if length > head { FrameLength::Unit(length) } else { FrameLength::Nothing }
            }
            _ => FrameLength::More,
        }
    }

    fn role(&mut self, _unit: &[u8]) -> FrameRole {
        FrameRole::Join
    }
}

/// MP3: layer III of MPEG-1, MPEG-2 and MPEG-2.5.
#[derive(Debug, Default)]
pub(super) struct Mp3;

impl Framing for Mp3 {
    fn measure(bytes: &[u8]) -> FrameLength {
        match *bytes {
            [b'I', ..] => tag(bytes),
            [first, ..] if first != 0xff => FrameLength::Nothing,
            // The sync word has 11 bits here, the layer is III, the version is not the reserved one.
            [_, second, ..] if second & 0xe6 != 0xe2 || second & 0x18 == 0x08 => FrameLength::Nothing,
            [_, second, third, _, ..] => frame(second, third).map_or(FrameLength::Nothing, FrameLength::Unit),
            _ => FrameLength::More,
        }
    }

    fn role(&mut self, unit: &[u8]) -> FrameRole {
        if unit.first() == Some(&0xff) { FrameRole::Join } else { FrameRole::Drop }
    }
}

/// Length of a frame with these bytes in its head.
fn frame(second: u8, third: u8) -> Option<usize> {
    const MPEG_1: [usize; 14] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
    const MPEG_2: [usize; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
    const RATES: [usize; 3] = [44_100, 48_000, 32_000];
    let (kilobits, samples, divisor) = match second >> 3 & 3 {
        3 => (MPEG_1, 1152, 1),
        2 => (MPEG_2, 576, 2),
        _ => (MPEG_2, 576, 4),
    };
    let kilobits = kilobits.get(usize::from(third >> 4).checked_sub(1)?)?;
    let rate = RATES.get(usize::from(third >> 2 & 3))? / divisor;
    Some(samples / 8 * kilobits * 1000 / rate + usize::from(third >> 1 & 1))
}

/// An ID3v2 tag (id3.org, ID3v2.4.0 structure, section 3.1).
fn tag(bytes: &[u8]) -> FrameLength {
    let Some(head) = bytes.first_chunk::<10>() else {
        return if b"ID3".starts_with(bytes.get(..3).unwrap_or(bytes)) {
            FrameLength::More
        } else {
            FrameLength::Nothing
        };
    };
    let [b'I', b'D', b'3', _, _, _, size @ ..] = head else { return FrameLength::Nothing };
    let size = size.iter().fold(0, |size, &byte| size << 7 | usize::from(byte & 0x7f));
    if size <= MAX_TAG { FrameLength::Unit(10 + size) } else { FrameLength::Nothing }
}

#[cfg(test)]
mod tests {
    use crate::media::{Container, testing::Scan};
    use proptest::prelude::*;

    const ADTS: &[u8] = include_bytes!("../../tests/data/sound.aac");
    const MP3: &[u8] = include_bytes!("../../tests/data/sound.mp3");
    /// Length of the ID3 tag before the MP3 capture.
    const TAG: usize = 45;

    #[test]
    fn every_frame_is_a_join_point() {
        let found = Scan::of(None, ADTS, &[usize::MAX]);
        assert_eq!((found.container, found.headers.len(), found.joins.len()), (Some(Container::Aac), 0, 45));
        assert!(found.media == ADTS);
        let found = Scan::of(None, MP3, &[usize::MAX]);
        assert_eq!((found.container, found.headers.len(), found.joins.len()), (Some(Container::Mp3), 0, 40));
        assert!(found.media == MP3[TAG..]);
        assert!(found.joins.iter().all(|&at| found.media[at..].starts_with(&[0xff, 0xfb])));
    }

    #[test]
    fn frames_are_found_again_after_damage() {
        for (capture, container) in [(ADTS, Container::Aac), (&MP3[TAG..], Container::Mp3)] {
            let whole = Scan::of(Some(container), capture, &[100]);
            let from = whole.joins[20] - 30;
            // What begins in the middle of a frame begins with the next.
            let late = Scan::of(Some(container), &capture[from..], &[100]);
            assert!(late.media == capture[from + 30..], "{container}");
            // The frame that lost its end takes a part of the next, and no more.
            let damaged = [&capture[..from], &capture[from + 100..]].concat();
            let found = Scan::of(Some(container), &damaged, &[100]);
            assert!(found.joins.len() >= whole.joins.len() - 3, "{container}");
            assert!(found.media.ends_with(&capture[whole.joins[23]..]), "{container}");
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            (capture, container) in prop::sample::select(vec![(ADTS, Container::Aac), (MP3, Container::Mp3)]),
            from in 0usize..2000,
            sizes in prop::collection::vec(1usize..900, 1..8),
        ) {
            let scan = |sizes: &[usize]| Scan::of(Some(container), &capture[from..], sizes);
            prop_assert_eq!(scan(&sizes), scan(&[usize::MAX]));
        }
    }
}
