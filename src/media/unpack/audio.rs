//! Bare audio: frames of ADTS and of MPEG audio one after the other, with or without tags of ID3 in front.

use super::frames::Frames;
use crate::media::{
    Time,
    byte_window::ByteWindow,
    codec::{adts, canonical::SourceForm, mpeg_audio},
    demux::Demuxed,
};
use bytes::Bytes;

/// A tag of ID3 has its length before what it says (<https://id3.org/id3v2.4.0-structure>).
const TAG_HEAD: usize = 10;
/// Longest tag that is skipped: with cover art.
const MAX_TAG: usize = 16 << 20;

/// Cuts bare audio into frames.
#[derive(Debug)]
pub(super) struct Audio {
    window: ByteWindow,
    is_adts: bool,
    frames: Frames,
    /// When the next frame is due, in nanoseconds.
    next: i64,
    /// Bytes of a tag that are still to be stepped over.
    skipped: usize,
}

impl Audio {
    /// For ADTS, else for MPEG audio.
    pub(super) fn new(is_adts: bool) -> Self {
        let form = if is_adts { SourceForm::Adts } else { SourceForm::MpegAudio };
        Self { window: ByteWindow::default(), is_adts, frames: Frames::new(form), next: 0, skipped: 0 }
    }

    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<Demuxed>) {
        let Self { window, is_adts, frames, next, skipped } = self;
        window.push_steps(bytes, |bytes| {
            if *skipped > 0 {
                let step = (*skipped).min(bytes.len());
                *skipped -= step;
                return (step > 0).then_some(step);
            }
            if bytes.starts_with(b"ID3") {
                let length = tag_length(bytes.first_chunk()?);
                *skipped = Some(length).filter(|length| *length <= MAX_TAG).unwrap_or(1);
                return Some(0);
            }
            let head: &[u8] = bytes.first_chunk::<7>()?;
            let measured = if *is_adts {
                adts::Header::parse(head).map(|header| (header.frame_length, header.samples(), header.rate()))
            } else {
                mpeg_audio::Header::parse(head).map(|header| (header.frame_length, header.samples, header.rate))
            };
            // What is no frame is stepped over byte by byte.
            let Some((length, samples, rate)) = measured.filter(|(length, ..)| *length > 0) else { return Some(1) };
            let frame = bytes.get(..length)?;
            frames.push(Bytes::copy_from_slice(frame), Some(Time::from_nanos(*next)), out);
            let took = i64::from(samples) * 1_000_000_000 / i64::from(rate.max(1));
            *next = next.saturating_add(took);
            Some(length)
        });
    }
}

/// The length of a tag with its head; each of the last four bytes of that has seven bits of it.
fn tag_length(head: &[u8; TAG_HEAD]) -> usize {
    let [.., a, b, c, d] = *head;
    let length = [a, b, c, d].into_iter().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
    TAG_HEAD + length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Sample;
    use proptest::prelude::*;

    fn cut(is_adts: bool, bytes: &[u8], size: usize) -> Vec<Sample> {
        let (mut audio, mut out) = (Audio::new(is_adts), Vec::new());
        bytes.chunks(size.max(1)).for_each(|piece| audio.push(piece, &mut out));
        let samples = out.into_iter().filter_map(|found| match found {
            Demuxed::Sample(sample) => Some(sample),
            Demuxed::Tracks(_) => None,
        });
        samples.collect()
    }

    /// Frames of silence of MPEG-1 layer 3, 128 kbit/s at 44.1 kHz: 417 bytes each.
    fn mp3(count: usize) -> Vec<u8> {
        let frame: Vec<u8> = [&[0xff, 0xfb, 0x90, 0x64][..], &[0; 413]].concat();
        frame.repeat(count)
    }

    #[test]
    fn frames_follow_each_other_behind_a_tag_and_garbage() {
        let tag = [&b"ID3\x04\0\0\0\0\0\x05"[..], b"title"].concat();
        let bytes = [&tag[..], &mp3(3), b"garbage", &mp3(2)].concat();
        for size in [1, 7, 1000, usize::MAX >> 1] {
            let samples = cut(false, &bytes, size);
            let times: Vec<_> = samples.iter().map(|sample| sample.dts.nanos() / 1000).collect();
            assert_eq!(times, [0, 26_122, 52_244, 78_367, 104_489], "in pieces of {size}");
            assert!(samples.iter().all(|sample| sample.data.len() == 417));
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(is_adts: bool, bytes in prop::collection::vec(prop_oneof![Just(0xffu8), Just(0xf1u8), Just(0xfbu8), any::<u8>()], 0..600), size in 1usize..99) {
            cut(is_adts, &[&b"ID3"[..], &bytes].concat(), size);
            cut(is_adts, &bytes, size);
        }
    }
}
