//! Cuts the payload of PES packets of audio into frames, which may be several in one, and may continue in the next.

use super::program::Coding;
use crate::media::Time;
use crate::media::codec::{ac3, adts, mpeg_audio, opus};
use bytes::{Buf, Bytes};
use std::ops::Range;
use std::time::Duration;

/// A frame of audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// With its header, but for Opus.
    pub(super) data: Bytes,
    pub(super) pts: Time,
    pub(super) duration: Option<Duration>,
    /// Something was lost before it.
    pub(super) discontinuity: bool,
}

/// Cuts one stream.
#[derive(Debug)]
pub(super) struct AudioFrames {
    coding: Coding,
    /// Of the frames of LATM, which do not carry it.
    duration: Option<Duration>,
    /// What is not cut yet; after the last frame that is complete, less than the longest one.
    bytes: Bytes,
    /// So many bytes of it are of earlier PES packets.
    before: usize,
    /// PTS of the newest PES packet, while no frame has got it.
    pts: Option<Time>,
    /// When the next frame is due, and for LATM the last one was.
    next: Option<Time>,
    last: Option<Time>,
    /// The next frame begins where the last one ended.
    is_synchronous: bool,
    discontinuity: bool,
}

/// More is no frame that continues, whatever it says of its length: E-AC-3 of eight substreams has it.
const MAX_REST: usize = 16 << 10;

/// What some bytes begin with.
enum Measure {
    Frame {
        /// Of all of it.
        length: usize,
        /// Where in it the frame is.
        data: Range<usize>,
        samples: u32,
        /// 0 when it is not known.
        rate: u32,
    },
    /// More bytes are needed to decide.
    More,
    Nothing,
}

impl AudioFrames {
    /// For a stream of this coding.
    pub(super) fn new(coding: Coding) -> Self {
        Self {
            coding,
            duration: None,
            bytes: Bytes::new(),
            before: 0,
            pts: None,
            next: None,
            last: None,
            is_synchronous: false,
            discontinuity: false,
        }
    }

    /// Sets the duration of frames that do not carry it.
    pub(super) fn set_duration(&mut self, duration: Option<Duration>) {
        self.duration = duration;
    }

    /// Takes the payload of the next PES packet. Its PTS is that of the first frame that begins there; others follow that.
    pub(super) fn push(&mut self, payload: Bytes, pts: Option<Time>, discontinuity: bool) {
        if discontinuity || self.bytes.len() > MAX_REST {
            self.bytes.clear();
            self.pts = None;
            self.discontinuity = true;
            self.is_synchronous = false;
        }
        if self.before == 0
            && let Some(pts) = self.pts.take()
        {
            // A frame was begun, which is the first of the packet before.
            self.next = Some(pts);
        }
        (self.before, self.pts) = (self.bytes.len(), pts);
        self.bytes = if self.bytes.is_empty() { payload } else { [&self.bytes[..], &payload].concat().into() };
    }

    /// The next frame that is complete. Frames before the first PTS are dropped.
    pub(super) fn next(&mut self) -> Option<Frame> {
        loop {
            let (length, data, samples, rate) =
                match self.measure(self.bytes.get(..).filter(|bytes| !bytes.is_empty())?) {
                    Measure::Frame { length, data, samples, rate } => (length, data, samples, rate),
                    Measure::More => return None,
                    Measure::Nothing => {
                        self.discontinuity = true;
                        self.is_synchronous = false;
                        self.skip(1);
                        continue;
                    }
                };
            // Until a frame was found, another one has to follow it.
            let follows = || match self.bytes.get(length..) {
                Some([]) | None => true,
                Some(next) => !matches!(self.measure(next), Measure::Nothing),
            };
            if !self.is_synchronous && !follows() {
                self.skip(1);
                continue;
            }
            if length > self.bytes.len() {
                return None;
            }
            self.is_synchronous = true;
            let due = self.next.or_else(|| Some(self.last? + self.duration?));
            let pts = if self.before == 0 { self.pts.take().or(due) } else { due };
            let data = self.bytes.slice(data);
            self.skip(length);
            let duration = match rate {
                0 => self.duration,
                rate => Some(Duration::from_nanos(u64::from(samples) * 1_000_000_000 / u64::from(rate))),
            };
            (self.next, self.last) = (pts.zip(duration).map(|(pts, duration)| pts + duration), pts);
            if let Some(pts) = pts {
                let discontinuity = std::mem::take(&mut self.discontinuity);
                return Some(Frame { data, pts, duration, discontinuity });
            }
        }
    }

    fn skip(&mut self, length: usize) {
        self.bytes.advance(length.min(self.bytes.len()));
        self.before = self.before.saturating_sub(length);
    }

    fn measure(&self, bytes: &[u8]) -> Measure {
        let frame = |length, samples, rate| Measure::Frame { length, data: 0..length, samples, rate };
        match self.coding {
            Coding::Adts => match adts::Header::parse(bytes) {
                Some(header) => frame(header.frame_length, header.samples(), header.rate()),
                None => Self::none(bytes, &[0xff], adts::HEADER),
            },
            Coding::MpegAudio => match mpeg_audio::Header::parse(bytes) {
                Some(header) => frame(header.frame_length, header.samples, header.rate),
                None => Self::none(bytes, &[0xff], 4),
            },
            Coding::Dolby => dolby(bytes),
            Coding::Latm => match *bytes {
                // `AudioSyncStream` (ISO/IEC 14496-3, section 1.7.2).
                [0x56, second, third, ..] if second & 0xe0 == 0xe0 => {
                    frame(3 + (usize::from(second & 0x1f) << 8 | usize::from(third)), 0, 0)
                }
                _ => Self::none(bytes, &[0x56], 3),
            },
            Coding::Opus(_) => opus_frame(bytes),
            Coding::MpegVideo | Coding::Mpeg4Visual | Coding::H264 | Coding::H265 | Coding::Av1 => Measure::Nothing,
        }
    }

    /// There is no header of at least so many bytes that begins with these.
    fn none(bytes: &[u8], begin: &[u8], header: usize) -> Measure {
        let may_be = bytes.len() < header && bytes.iter().zip(begin).all(|(byte, begin)| byte == begin);
        if may_be { Measure::More } else { Measure::Nothing }
    }
}

/// A frame of AC-3, or one of E-AC-3 with those that depend on it, as far as they are there.
fn dolby(bytes: &[u8]) -> Measure {
    /// Enough for the fields that are read.
    const HEADER: usize = 64;
    let Some(first) = ac3::Header::parse(bytes) else {
        return AudioFrames::none(bytes, &[0x0b, 0x77], HEADER);
    };
    let mut length = first.frame_length;
    while let Some(rest) = bytes.get(length..) {
        match ac3::Header::parse(rest) {
            Some(header) if matches!(header.substream, ac3::Substream::Dependent(_)) => length += header.frame_length,
            None if matches!(AudioFrames::none(rest, &[0x0b, 0x77], HEADER), Measure::More) && !rest.is_empty() => {
                return Measure::More;
            }
            _ => break,
        }
    }
    Measure::Frame { length, data: 0..length, samples: first.samples, rate: first.rate }
}

/// A control header and a packet ("Opus in MPEG-TS", draft 0.1.3 of an ETSI TS, section 4).
fn opus_frame(bytes: &[u8]) -> Measure {
    let read = || -> Option<(usize, usize)> {
        let mut at = 2;
        let flags = *bytes.get(1)?;
        // Trims of two bytes each, and an extension with its length.
        at += 2 * (usize::from(flags >> 4 & 1) + usize::from(flags >> 3 & 1));
        // The size precedes them.
        let (mut size, mut place) = (0, 2);
        loop {
            let byte = *bytes.get(place)?;
            (size, place, at) = (size + usize::from(byte), place + 1, at + 1);
            if byte != 255 {
                break;
            }
        }
        if flags & 4 != 0 {
            at += 1 + usize::from(*bytes.get(at)?);
        }
        bytes.get(..at)?;
        Some((at, size))
    };
    match bytes {
        [0x7f, second, ..] if second & 0xe0 == 0xe0 => match read() {
            Some((at, size)) => match bytes.get(at..at + size) {
                Some(packet) => match opus::samples(packet) {
                    Some(samples) => Measure::Frame { length: at + size, data: at..at + size, samples, rate: 48_000 },
                    None => Measure::Nothing,
                },
                None => Measure::More,
            },
            None => Measure::More,
        },
        [0x7f] => Measure::More,
        _ => Measure::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ADTS: &[u8] = include_bytes!("../../../tests/data/sound.aac");
    const MP3: &[u8] = include_bytes!("../../../tests/data/sound.mp3");

    /// Frames of payloads whose PTS are 0, 1000, … milliseconds.
    fn cut(frames: &mut AudioFrames, payloads: &[&[u8]]) -> Vec<Frame> {
        let mut found = Vec::new();
        for (at, payload) in payloads.iter().enumerate() {
            let pts = Some(Time::from_millis(at as i64 * 1000));
            frames.push(Bytes::copy_from_slice(payload), pts, false);
            found.extend(std::iter::from_fn(|| frames.next()));
        }
        found
    }

    #[test]
    fn frames_that_share_a_packet_follow_each_other() {
        let found = cut(&mut AudioFrames::new(Coding::Adts), &[ADTS]);
        assert_eq!(found.iter().map(|frame| frame.data.len()).sum::<usize>(), ADTS.len());
        assert!(found.iter().all(|frame| !frame.discontinuity));
        assert_eq!(found[10].pts.nanos(), 10 * (1024 * 1_000_000_000 / 44_100));
    }

    #[test]
    fn a_frame_that_continues_in_the_next_packet_has_the_time_of_its_begin() {
        let whole = cut(&mut AudioFrames::new(Coding::Adts), &[ADTS]);
        let first = whole[0].data.len();
        // The cut is in the third frame: the PTS of the second payload is that of the fourth.
        let at = first + whole[1].data.len() + 5;
        let found = cut(&mut AudioFrames::new(Coding::Adts), &[&ADTS[..at], &ADTS[at..]]);
        assert_eq!(found.len(), whole.len());
        assert_eq!(found[2].pts, whole[2].pts);
        assert_eq!(found[3].pts, Time::from_millis(1000));
    }

    #[test]
    fn garbage_is_stepped_over_and_said() {
        // An ID3 tag is before the frames.
        let found = cut(&mut AudioFrames::new(Coding::MpegAudio), &[MP3]);
        assert_eq!(found.len(), 40);
        assert!(found[0].discontinuity && !found[1].discontinuity);
    }

    #[test]
    fn packets_of_opus_have_trims_and_extensions() {
        let mut frames = AudioFrames::new(Coding::Opus(2));
        let plain = [&[0x7f, 0xe0, 3, 0xfc, 1, 2][..], &[0x7f, 0xe0, 0xff, 0, 0xfc], &[7; 254]].concat();
        let trimmed = [0x7f, 0xfc, 2, 1, 2, 3, 4, 2, 9, 9, 0xfc, 5];
        let found = cut(&mut frames, &[&plain, &trimmed]);
        assert_eq!(found.iter().map(|frame| frame.data.len()).collect::<Vec<_>>(), [3, 255, 2]);
        assert_eq!((found[1].pts, found[2].pts), (Time::from_millis(20), Time::from_millis(1000)));
        assert_eq!(&found[2].data[..], [0xfc, 5]);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(sizes in prop::collection::vec(1usize..400, 1..9)) {
            let whole = cut(&mut AudioFrames::new(Coding::Adts), &[ADTS]);
            let (mut pieces, mut rest) = (Vec::new(), ADTS);
            for size in sizes.iter().cycle() {
                let (piece, after) = rest.split_at((*size).min(rest.len()));
                pieces.push(piece);
                rest = after;
                if rest.is_empty() { break }
            }
            let found = cut(&mut AudioFrames::new(Coding::Adts), &pieces);
            let data = |frames: &[Frame]| frames.iter().map(|frame| frame.data.clone()).collect::<Vec<_>>();
            prop_assert_eq!(data(&found), data(&whole));
        }

        #[test]
        fn foreign_bytes_never_panic(
            coding in prop::sample::select(vec![Coding::Adts, Coding::Latm, Coding::MpegAudio, Coding::Dolby, Coding::Opus(2)]),
            payloads in prop::collection::vec(prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(vec![0xffu8, 0xf1, 0x56, 0xe0, 0x0b, 0x77, 0x7f])], 0..300), 0..20),
        ) {
            let mut frames = AudioFrames::new(coding);
            for payload in payloads {
                frames.push(payload.into(), None, false);
                while frames.next().is_some() {}
                prop_assert!(frames.bytes.len() <= MAX_REST + 300);
            }
        }
    }
}
