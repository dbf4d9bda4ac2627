//! Mends the times of the tags of GStreamer's muxer.

use super::scan::Flv;
use super::tag::{AUDIO, FRAME_HEAD, SCRIPT, VIDEO};
use crate::media::framing::{FrameLength, Framing};
use std::time::Duration;

/// The times of tags as they leave GStreamer's muxer.
///
/// That one never lets a tag be older than the one in front of it, of whatever track. But sound leaves its encoder later than
/// the picture of the same moment, so that two frames of it and more would be given the time of one picture.
#[derive(Debug, Default)]
pub struct Stamps {
    /// The time of the media that has the time 0 in here, in milliseconds.
    begin: Option<i64>,
}

impl Stamps {
    /// Gives a tag its own time again: `presentation` is that of its media. What is no whole picture or sound is left alone.
    /// `false` when it is to be left out: its time is before that of the first tag, or it says once more what the header said,
    /// which readers take for text.
    pub fn mend(&mut self, tag: &mut [u8], presentation: Option<Duration>) -> bool {
        if Flv::measure(tag) != FrameLength::Unit(tag.len()) {
            return true;
        }
        let Some(([kind, _, _, _, low @ .., high, _, _, _], content)) = tag.split_first_chunk_mut::<FRAME_HEAD>()
        else {
            return true;
        };
        if *kind == SCRIPT && self.begin.is_some() && content.starts_with(b"\x02\0\x0aonMetaData") {
            return false;
        }
        let Some(presentation) = presentation else { return true };
        // How much later than its time it is shown.
        let offset = match (*kind, &*content) {
            (VIDEO, [first, 1, a, b, c, ..]) if first & 0x8f == 7 => {
                i64::from(i32::from_be_bytes([*a, *b, *c, 0]) >> 8)
            }
            (VIDEO, [first, ..]) if !matches!(first & 0x8f, 7 | 0x80..) => 0,
            (AUDIO, [first, 1, ..]) if first >> 4 == 10 => 0,
            (AUDIO, [first, ..]) if first >> 4 != 10 => 0,
            _ => return true,
        };
        let said = i64::from(u32::from_be_bytes([*high, low[0], low[1], low[2]]));
        let shown = i64::try_from(presentation.as_millis()).unwrap_or(i64::MAX);
        // The first one has none in front of it.
        let begin = *self.begin.get_or_insert(shown - offset - said);
        let time = shown - offset - begin;
        // Less is how it was rounded.
        if time.abs_diff(said) > 1 {
            let time = u32::try_from(time & i64::from(u32::MAX)).unwrap_or_default();
            [*high, low[0], low[1], low[2]] = time.to_be_bytes();
        }
        time >= 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A whole tag.
    fn tag(kind: u8, time: u32, content: &[u8]) -> Vec<u8> {
        let [high, low @ ..] = time.to_be_bytes();
        let length = &(content.len() as u32).to_be_bytes()[1..];
        let behind = (FRAME_HEAD + content.len()) as u32;
        [&[kind], length, &low, &[high, 0, 0, 0], content, &behind.to_be_bytes()].concat()
    }

    #[test]
    fn tags_get_the_time_of_their_media() {
        let mut stamps = Stamps::default();
        #[track_caller]
        fn check(stamps: &mut Stamps, presentation: u64, mut before: Vec<u8>, after: Vec<u8>) {
            assert!(stamps.mend(&mut before, Some(Duration::from_millis(presentation))));
            assert_eq!(before, after);
        }
        let (picture, sound) = (|time| tag(9, time, &[0x27, 1, 0, 0, 0, 9]), |time| tag(8, time, &[0xaf, 1, 9]));
        let (setup, late) = (tag(8, 0, &[0xaf, 0, 0x11, 0x90]), tag(9, 70_000_000, &[0x27, 1, 0, 0, 40, 9]));
        check(&mut stamps, 900, setup.clone(), setup);
        check(&mut stamps, 1000, picture(4363), picture(4363));
        check(&mut stamps, 959, sound(4363), sound(4322));
        check(&mut stamps, 980, sound(4363), sound(4343));
        check(&mut stamps, 1041, picture(4403), picture(4403));
        check(&mut stamps, 70_000_040 - 3363, late.clone(), late);
        let mut stamps = Stamps::default();
        check(&mut stamps, 1000, picture(0), picture(0));
        assert!(!stamps.mend(&mut sound(0), Some(Duration::from_millis(980))));
        check(&mut stamps, 1001, sound(0), sound(0));
        let odd = vec![8, 0, 0, 9, 1];
        check(&mut stamps, 980, odd.clone(), odd);
    }

    #[test]
    fn what_the_header_said_is_not_said_again() {
        let mut stamps = Stamps::default();
        let (facts, other) = (tag(18, 0, b"\x02\0\x0aonMetaData\x08"), tag(18, 0, b"\x02\0\x0aonCuePoint\x08"));
        let mut mend = |mut tag: Vec<u8>, time: Option<u64>| stamps.mend(&mut tag, time.map(Duration::from_millis));
        assert!(mend(facts.clone(), None) && mend(tag(9, 0, &[0x17, 1, 0, 0, 0, 9]), Some(1000)));
        assert!(!mend(facts.clone(), Some(1040)) && !mend(facts, None) && mend(other, Some(1040)));
    }
}
