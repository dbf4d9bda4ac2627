//! Demuxes what GStreamer does not demux well: transport streams, bare video, and JPEG images in
//! any kind of multipart or in none. Pure.
//!
//! Bytes in pieces of any size go in, from the begin of a source or from any place in it; tracks and samples come out.

mod any;
mod audio;
mod cadence;
mod elementary;
mod flash;
mod frames;
mod ivf;
mod presentation;
mod raw_frames;
mod smoother;

pub use any::{AnyDemuxer, UnknownBytes};
pub use cadence::Cadence;
pub use smoother::Smoother;

use super::{Container, MAX_SNIFFED, Scanned, Sniffed, demux::Demuxed, jpeg, sniff, ts};
use bytes::Bytes;
use elementary::Elementary;
use flash::Flash;
use frames::Frames;
use ivf::Ivf;

/// So many bytes are looked at for the begin of bare video: a large keyframe lies between two places to begin.
const MAX_SEARCHED: usize = 4 << 20;
/// More bytes than this are looked at again when they have become an eighth more: so small pieces cost no more than large ones.
const LOOKED_AT_ALWAYS: usize = 4096;

/// Takes bytes apart.
#[derive(Debug)]
pub struct Unpacker {
    state: State,
    rate: Option<(u32, u32)>,
}

#[derive(Debug)]
enum State {
    /// What came so far, and how many bytes of it were looked at.
    Undecided(Vec<u8>, usize),
    Ts(Box<ts::Demuxer>),
    /// The last: whether the bytes begin with an image.
    Jpeg(jpeg::Scan, Frames, bool),
    Elementary(Box<Elementary>),
    Ivf(Ivf),
    Flv(Box<Flash>),
    Foreign(Bytes),
}

impl Default for Unpacker {
    fn default() -> Self {
        Self::new()
    }
}

impl Unpacker {
    /// For bytes of which nothing is known.
    pub fn new() -> Self {
        Self::of_rate(None)
    }

    /// The same, and what has no times has so many frames a second, as a fraction, whatever its codec says.
    pub fn of_rate(rate: Option<(u32, u32)>) -> Self {
        Self {
            state: State::Undecided(Vec::new(), 0),
            rate: rate.filter(|(frames, seconds)| *frames > 0 && *seconds > 0),
        }
    }

    /// Whether the format is not yet known from what came so far.
    pub const fn is_undecided(&self) -> bool {
        matches!(self.state, State::Undecided(..))
    }

    /// Whether others have to take the bytes apart.
    pub const fn is_foreign(&self) -> bool {
        matches!(self.state, State::Foreign(_))
    }

    /// Takes the next bytes, and adds what is complete to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Demuxed>) {
        if let State::Undecided(held, looked) = &mut self.state {
            held.extend_from_slice(bytes);
            if held.len() > LOOKED_AT_ALWAYS && held.len() < *looked + *looked / 8 {
                return;
            }
            let held = std::mem::take(held);
            self.decide(held, false, out);
        } else {
            self.take(bytes, out);
        }
    }

    /// No more bytes will come: adds what is left to `out`.
    pub fn finish(&mut self, out: &mut Vec<Demuxed>) {
        if let State::Undecided(held, _) = &mut self.state {
            let held = std::mem::take(held);
            self.decide(held, true, out);
        }
        match &mut self.state {
            State::Ts(demuxer) => demuxer.finish(out),
            State::Elementary(elementary) => elementary.finish(out),
            State::Flv(flash) => {
                if let Some(held) = flash.finish(out) {
                    self.state = State::Foreign(held);
                }
            }
            State::Undecided(..) | State::Jpeg(..) | State::Ivf(_) | State::Foreign(_) => {}
        }
    }

    /// What comes next is not waited for: adds samples that seem to be whole, and those that wait for tracks of which nothing came, to
    /// `out`.
    pub fn settle(&mut self, out: &mut Vec<Demuxed>) {
        if let State::Ts(demuxer) = &mut self.state {
            demuxer.settle(out);
        }
    }

    /// The bytes that came until it was known that others have to demux them.
    pub fn foreign(&mut self) -> Option<Bytes> {
        match &mut self.state {
            State::Foreign(bytes) => Some(std::mem::take(bytes)),
            _ => None,
        }
    }

    /// Whether the bytes have times. Otherwise those of samples count frames, at the rate of the codec or 25 a second.
    pub const fn has_times(&self) -> bool {
        matches!(self.state, State::Ts(_) | State::Ivf(_) | State::Flv(_))
    }

    /// Whether frames are shown in another order than that in which they come, in what has no times.
    pub fn reorders(&self) -> bool {
        matches!(&self.state, State::Elementary(elementary) if elementary.reorders())
    }

    /// Whether the bytes are JPEG images without a multipart around them.
    pub const fn is_image(&self) -> bool {
        matches!(self.state, State::Jpeg(_, _, true))
    }

    /// Whether there is video, and none that is demuxed: others may know it.
    pub fn misses_video(&self) -> bool {
        matches!(&self.state, State::Ts(demuxer) if demuxer.misses_video())
    }

    /// Whether the container lists a video track that is demuxed, before anything came of it.
    pub fn has_video(&self) -> bool {
        matches!(&self.state, State::Ts(demuxer) if demuxer.has_video())
    }

    /// Names of what is in there and is not demuxed.
    pub fn unsupported(&self) -> Vec<String> {
        match &self.state {
            State::Ts(demuxer) => demuxer.unsupported(),
            State::Flv(flash) => flash.unsupported(),
            _ => Vec::new(),
        }
    }

    fn decide(&mut self, held: Vec<u8>, ended: bool, out: &mut Vec<Demuxed>) {
        let first = held.get(..MAX_SNIFFED.min(held.len())).unwrap_or_default();
        self.state = match sniff(first, ended) {
            Sniffed::Is(Container::Ts) => State::Ts(Box::default()),
            Sniffed::Is(Container::Mjpeg) => {
                State::Jpeg(jpeg::Scan::default(), Frames::jpeg().at_rate(self.rate), first.starts_with(&[0xff]))
            }
            Sniffed::Is(Container::Flv) => State::Flv(Box::default()),
            Sniffed::Is(_) => return self.state = State::Foreign(held.into()),
            Sniffed::Undecided if !ended => return self.state = undecided(held),
            Sniffed::Undecided | Sniffed::Unknown => match Ivf::begin(&held) {
                Some(ivf) => State::Ivf(ivf),
                None => match Elementary::find(&held, self.rate) {
                    Some((elementary, at)) => {
                        self.state = State::Elementary(Box::new(elementary));
                        return self.take(held.get(at..).unwrap_or_default(), out);
                    }
                    None if !ended && elementary::may_follow(&held) && held.len() < MAX_SEARCHED => {
                        return self.state = undecided(held);
                    }
                    None => return self.state = State::Foreign(held.into()),
                },
            },
        };
        self.take(&held, out);
    }

    fn take(&mut self, bytes: &[u8], out: &mut Vec<Demuxed>) {
        match &mut self.state {
            State::Undecided(held, _) => held.extend_from_slice(bytes),
            State::Ts(demuxer) => demuxer.push(bytes, out),
            State::Jpeg(scan, frames, _) => {
                let mut found = Vec::new();
                scan.push(bytes, &mut found);
                for found in found {
                    if let Scanned::Packet { payload, .. } = found {
                        frames.push(payload.into_bytes(), None, out);
                    }
                }
            }
            State::Elementary(elementary) => elementary.push(bytes, out),
            State::Ivf(ivf) => ivf.push(bytes, out),
            State::Flv(flash) => {
                if let Some(held) = flash.push(bytes, out) {
                    self.state = State::Foreign(held);
                }
            }
            State::Foreign(held) => *held = Bytes::from([held, bytes].concat()),
        }
    }
}

fn undecided(held: Vec<u8>) -> State {
    let looked = held.len();
    State::Undecided(held, looked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Sample, TrackId, TrackSet, codec::CodecParameters, track::Shape};
    use proptest::prelude::*;
    use std::time::Duration;

    const TS: &[u8] = include_bytes!("../../../tests/data/h264-aac.ts");
    const H265_TS: &[u8] = include_bytes!("../../../tests/data/h265.ts");
    const MPEG2_TS: &[u8] = include_bytes!("../../../tests/data/mpeg2.ts");
    const AV1_TS: &[u8] = include_bytes!("../../../tests/data/av1.ts");
    const PARTS: &[u8] = include_bytes!("../../../tests/data/pictures.mpjpeg");
    const BARE: &[u8] = include_bytes!("../../../tests/data/pictures.mjpeg");

    fn unpack(bytes: &[u8], sizes: &[usize]) -> (Vec<TrackSet>, Vec<Sample>, Unpacker) {
        let (mut unpacker, mut out, mut rest) = (Unpacker::new(), Vec::new(), bytes);
        for size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            unpacker.push(piece, &mut out);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        unpacker.finish(&mut out);
        let (mut sets, mut samples) = (Vec::new(), Vec::new());
        for found in out {
            match found {
                Demuxed::Tracks(set) => sets.push(set),
                Demuxed::Sample(sample) => samples.push(sample),
            }
        }
        (sets, samples, unpacker)
    }

    #[test]
    fn small_pieces_cost_no_more_than_large_ones() {
        // Begins that never become a picture. Looked at for each piece, they would take hours.
        let bytes: Vec<u8> = [0, 0, 1, 9, 0x55, 0x55, 0x55, 0x55].into_iter().cycle().take(2 * MAX_SEARCHED).collect();
        let (mut unpacker, mut out) = (Unpacker::new(), Vec::new());
        let mut pieces = bytes.chunks(3);
        let undecided = pieces.by_ref().take_while(|piece| {
            unpacker.push(piece, &mut out);
            unpacker.is_undecided()
        });
        let searched = 3 * undecided.count();
        assert!((MAX_SEARCHED..MAX_SEARCHED + MAX_SEARCHED / 6).contains(&searched), "{searched}");
        assert!(unpacker.is_foreign() && out.is_empty());
    }

    /// The video of a transport stream without its packets, as a program writes it that knows no container.
    fn bare(ts: &[u8], pid: u16) -> Vec<u8> {
        let mut out = Vec::new();
        for raw in ts.as_chunks::<188>().0 {
            if u16::from_be_bytes([raw[1] & 0x1f, raw[2]]) != pid || raw[3] & 0x10 == 0 {
                continue;
            }
            let at = if raw[3] & 0x20 != 0 { 5 + usize::from(raw[4]) } else { 4 };
            let payload = &raw[at..];
            let from = if raw[1] & 0x40 != 0 { 9 + usize::from(payload[8]) } else { 0 };
            out.extend_from_slice(&payload[from..]);
        }
        out
    }

    #[test]
    fn bare_video_is_what_it_was_in_its_container() {
        for (ts, name) in [(TS, "H.264"), (H265_TS, "H.265"), (MPEG2_TS, "MPEG-2 video")] {
            let (tracks, contained, _) = unpack(ts, &[usize::MAX]);
            let video = tracks[0].lead().unwrap().clone();
            assert_eq!(video.codec.name(), name);
            let (sets, samples, unpacker) = unpack(&bare(ts, 0x100), &[1000]);
            assert_eq!(
                (sets.len(), &sets[0].tracks()[0].codec, sets[0].tracks()[0].shape),
                (1, &video.codec, video.shape)
            );
            assert!(!unpacker.has_times());
            let contained: Vec<_> = contained.iter().filter(|sample| sample.track == video.id).collect();
            assert_eq!(samples.len(), contained.len());
            for (sample, expect) in samples.iter().zip(contained) {
                assert!(sample.data == expect.data && sample.is_sync == expect.is_sync);
            }
            // The rate is in the video, or 25 frames a second.
            assert!(samples.windows(2).all(|pair| pair[1].dts.since(pair[0].dts) == 40_000_000));
        }
    }

    #[test]
    fn bare_frames_are_shown_in_the_order_of_their_container() {
        for ts in [
            &include_bytes!("../../../tests/data/h264-b-frames.ts")[..],
            include_bytes!("../../../tests/data/h265-b-frames.ts"),
            include_bytes!("../../../tests/data/mpeg2-b-frames.ts"),
        ] {
            let (tracks, contained, _) = unpack(ts, &[usize::MAX]);
            let name = tracks[0].lead().unwrap().codec.name();
            let (_, samples, unpacker) = unpack(&bare(ts, 0x100), &[700]);
            assert!(unpacker.reorders() && samples.len() == contained.len(), "{name}: {}", samples.len());
            assert!(samples.iter().all(|sample| sample.dts <= sample.pts), "{name}");
            // The depth of MPEG-2 is learned by its first frames.
            let later = 4;
            let shifts: Vec<_> =
                samples.iter().zip(&contained).skip(later).map(|(one, other)| one.pts.since(other.pts)).collect();
            assert!(shifts.iter().all(|shift| (shift - shifts[0]).abs() < 1_000_000), "{name}: {shifts:?}");
        }
        // What comes in order is shown when it comes.
        let (_, samples, unpacker) = unpack(&bare(TS, 0x100), &[700]);
        assert!(!unpacker.reorders() && samples.iter().all(|sample| sample.dts == sample.pts));
    }

    #[test]
    fn a_rate_that_is_given_counts_for_what_has_no_times() {
        let film = bare(TS, 0x100);
        for (bytes, is_used) in [(BARE, true), (PARTS, true), (&film, true), (TS, false)] {
            let (mut unpacker, mut out) = (Unpacker::of_rate(Some((10, 1))), Vec::new());
            unpacker.push(bytes, &mut out);
            unpacker.finish(&mut out);
            let samples: Vec<_> = out
                .iter()
                .filter_map(|found| match found {
                    Demuxed::Sample(sample) if sample.track == TrackId(0) => Some(sample),
                    _ => None,
                })
                .collect();
            let rates: Vec<_> = out
                .iter()
                .filter_map(|found| match found {
                    Demuxed::Tracks(set) => set.lead()?.video()?.frame_rate,
                    Demuxed::Sample(_) => None,
                })
                .collect();
            let is_paced = samples.windows(2).all(|pair| pair[1].dts.since(pair[0].dts) == 100_000_000);
            assert_eq!((is_paced, rates.iter().all(|rate| *rate == (10, 1))), (is_used, is_used));
            assert!(!is_used || samples.iter().all(|sample| sample.duration == Some(Duration::from_millis(100))));
        }
        assert_eq!(Unpacker::of_rate(Some((0, 1))).rate, None);
    }

    #[test]
    fn bare_video_is_found_from_any_place_on() {
        let whole = bare(TS, 0x100);
        let all = unpack(&whole, &[4096]).1;
        let (_, samples, _) = unpack(&whole[3000..], &[777]);
        assert!(!samples.is_empty() && samples.len() < all.len() && samples[0].is_sync);
        assert!(samples.iter().zip(&all[all.len() - samples.len()..]).all(|(one, other)| one.data == other.data));
    }

    #[test]
    fn av1_is_found_with_and_without_ivf() {
        let (tracks, contained, _) = unpack(AV1_TS, &[usize::MAX]);
        let Some(video) = tracks.first().and_then(|set| set.lead().cloned()) else { return };
        let CodecParameters::Av1(parameters) = &video.codec else { panic!("{video:?}") };
        let mut obus = Vec::new();
        let mut ivf =
            [&b"DKIF\0\0\x20\0AV01"[..], &[0; 4], &25u32.to_le_bytes(), &1u32.to_le_bytes(), &[0; 8]].concat();
        for (number, sample) in contained.iter().enumerate() {
            let header: &[u8] = if sample.is_sync { &parameters.sequence_header } else { &[] };
            let unit = [b"\x12\0", header, &sample.data].concat();
            ivf.extend_from_slice(&(unit.len() as u32).to_le_bytes());
            ivf.extend_from_slice(&(number as u64).to_le_bytes());
            ivf.extend_from_slice(&unit);
            obus.extend_from_slice(&unit);
        }
        for bytes in [ivf, obus] {
            let (sets, samples, _) = unpack(&bytes, &[500]);
            assert_eq!(sets[0].tracks()[0].codec, video.codec);
            assert_eq!(samples.len(), contained.len());
            assert!(
                samples
                    .iter()
                    .zip(&contained)
                    .all(|(one, other)| one.data == other.data && one.is_sync == other.is_sync)
            );
        }
    }

    #[test]
    fn images_are_found_however_they_come() {
        let (_, pictures, bare) = unpack(BARE, &[1000]);
        assert!(bare.is_image() && !unpack(PARTS, &[1000]).2.is_image());
        assert_eq!(pictures.len(), 10);
        let part =
            |fields: &str, end: &str, picture: &Sample| [fields.as_bytes(), &picture.data, end.as_bytes()].concat();
        let all = |fields: &str, end: &str| {
            pictures.iter().flat_map(|picture| part(fields, end, picture)).collect::<Vec<_>>()
        };
        for bytes in [
            PARTS.to_vec(),
            // No boundary before the first frame.
            all("Content-Type: image/jpeg\r\nContent-Length: 77\r\n\r\n", "\r\n--boundary\r\n"),
            // No blank after the colon, lower case, a wrong length, line ends of Unix.
            all("--b\ncontent-type:image/jpeg\ncontent-length:1\n\n", "\n"),
            all("\r\n--b\r\nContent-Length:99999999\r\nContent-Type:image/jpeg\r\n\r\n", ""),
            // A long head.
            all(&format!("--b\r\nContent-Type: image/jpeg\r\nX-Long: {}\r\n\r\n", "x".repeat(3000)), "\r\n"),
            // Two boundaries in a row, as some cameras send them.
            all("--b\r\n--b\r\nContent-Type: image/jpeg\r\n\r\n", "\r\n"),
        ] {
            let (sets, samples, _) = unpack(&bytes, &[100]);
            assert_eq!((sets.len(), samples.len()), (1, 10), "{}", bytes[..60].escape_ascii());
            assert!(samples.iter().zip(&pictures).all(|(one, other)| one.data == other.data));
            assert!(
                matches!(sets[0].tracks()[0].shape, Shape::Video(shape) if (shape.width, shape.height) == (160, 120))
            );
        }
        // One frame is whole with its last byte.
        let (mut unpacker, mut out) = (Unpacker::new(), Vec::new());
        unpacker.push(&pictures[0].data, &mut out);
        assert_eq!(out.len(), 2);
    }

    #[test]
    fn video_that_is_not_known_is_noticed() {
        // The stream type of H.264 becomes that of VC-1.
        let change = |from: u8, to: u8| {
            let mut bytes = TS.to_vec();
            for raw in bytes.as_chunks_mut::<188>().0 {
                let is_map = u16::from_be_bytes([raw[1] & 0x1f, raw[2]]) == 0x1000;
                if let Some(at) = raw.iter().position(|byte| *byte == from).filter(|_| is_map) {
                    raw[at] = to;
                    let length = 3 + (usize::from(raw[6] & 0x0f) << 8 | usize::from(raw[7])) - 4;
                    let sum = raw[5..5 + length].iter().fold(u32::MAX, |sum, byte| {
                        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| {
                            sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 }
                        })
                    });
                    raw[5 + length..9 + length].copy_from_slice(&sum.to_be_bytes());
                }
            }
            unpack(&bytes, &[4096]).2
        };
        let unpacker = change(0x1b, 0xea);
        assert!(unpacker.misses_video() && unpacker.unsupported() == ["VC-1"]);
        let unpacker = change(0x0f, 0x82);
        assert!(!unpacker.misses_video() && unpacker.unsupported() == ["DTS"]);
    }

    #[test]
    fn what_others_take_apart_is_left_whole() {
        for bytes in
            [&b"\x1a\x45\xdf\xa3\x8b\x42\x82\x88matroska"[..], b"OggS\0\x02", b"some text", b"\0\0\0\x18ftypmp42"]
        {
            let (sets, samples, mut unpacker) = unpack(bytes, &[usize::MAX]);
            assert!(sets.is_empty() && samples.is_empty());
            assert_eq!(unpacker.foreign().unwrap(), bytes, "{}", bytes.escape_ascii());
        }
        // A program stream begins with start codes, too.
        let (_, _, mut unpacker) = unpack(&[&b"\0\0\x01\xba\x44"[..], &[0; 3000]].concat(), &[100]);
        assert!(unpacker.foreign().is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn pieces_do_not_matter(sizes in prop::collection::vec(1usize..3000, 1..20)) {
            for bytes in [bare(TS, 0x100), bare(MPEG2_TS, 0x100), PARTS.to_vec()] {
                let bytes = &bytes[..bytes.len().min(40_000)];
                let (one, other) = (unpack(bytes, &sizes), unpack(bytes, &[usize::MAX]));
                prop_assert!(one.0 == other.0 && one.1 == other.1);
            }
        }

        #[test]
        fn foreign_bytes_never_panic(
            first in prop::sample::select(vec![&b"DKIF\0\0\x20\0AV01"[..], b"\0\0\x01\x67\x42", b"\0\0\x01\xb3", b"\x12\0\x0a", b"\0\0\0\x01\x40\x01\x0c", b""]),
            rest in prop::collection::vec(prop_oneof![Just(0u8), Just(1u8), Just(0x12u8), any::<u8>()], 0..600),
            size in 1usize..99,
        ) {
            unpack(&[first, &rest].concat(), &[size]);
        }
    }
}
