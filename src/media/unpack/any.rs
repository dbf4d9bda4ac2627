//! Demuxes whatever a publisher sends: its first bytes show its format.

use super::{Unpacker, audio::Audio, raw_frames::RawFrames};
use crate::media::{
    Container, MAX_SNIFFED, Sniffed,
    demux::Demuxed,
    flv, matroska, mp4, ogg,
    raw_frame::{BadHeader, MAGIC},
    sniff,
};
use bytes::Bytes;

/// A demuxer for bytes of which nothing is known yet.
#[derive(Debug)]
pub struct AnyDemuxer(State);

#[derive(Debug)]
enum State {
    /// Too few bytes to tell raw frames from all else, which may be in them.
    Begin(Vec<u8>),
    Unpacker(Unpacker),
    Flv(Box<flv::Demuxer>),
    Matroska(Box<matroska::Demuxer>),
    Mp4(Box<mp4::Demuxer>),
    Ogg(Box<ogg::Demuxer>),
    Audio(Audio),
    Frames(RawFrames),
    Unknown(UnknownBytes),
}

/// Bytes that cannot be demuxed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnknownBytes {
    /// A container without a demuxer.
    #[error("{0} cannot be published: send MPEG-TS, Matroska, WebM, FLV, fragmented MP4 or Ogg")]
    Container(Container),
    /// A raw frame whose header is wrong.
    #[error("the header of a raw frame cannot be read: {0}")]
    Frame(#[from] BadHeader),
    /// Nothing that is known.
    #[error(
        "the first bytes are of no known format: expected MPEG-TS, Matroska, WebM, FLV, fragmented MP4, Ogg, ADTS, MP3, IVF, JPEG images, raw frames after their headers, or bare H.264, H.265, AV1 or MPEG-2 video"
    )]
    Unknown,
}

impl Default for AnyDemuxer {
    fn default() -> Self {
        Self::new()
    }
}

impl AnyDemuxer {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Self(State::Begin(Vec::new()))
    }

    /// Takes the next bytes, in pieces of any size, and adds what is complete to `out`.
    ///
    /// # Errors
    /// When these bytes are nothing that can be demuxed; also for all that follow.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Demuxed>) -> Result<(), UnknownBytes> {
        match &mut self.0 {
            State::Begin(held) => {
                held.extend_from_slice(bytes);
                if !(held.len() < MAGIC.len() && MAGIC.starts_with(held)) {
                    return self.begin(out);
                }
            }
            State::Frames(frames) => {
                if let Err(error) = frames.push(bytes, out) {
                    self.0 = State::Unknown(error.into());
                    return Err(error.into());
                }
            }
            State::Unpacker(unpacker) => {
                unpacker.push(bytes, out);
                if let Some(held) = unpacker.foreign() {
                    return self.choose(&held, out);
                }
            }
            State::Flv(demuxer) => demuxer.push(bytes, out),
            State::Matroska(demuxer) => demuxer.push(bytes, out),
            State::Mp4(demuxer) => demuxer.push(bytes, out),
            State::Ogg(demuxer) => demuxer.push(bytes, out),
            State::Audio(audio) => audio.push(bytes, out),
            State::Unknown(fault) => return Err(*fault),
        }
        Ok(())
    }

    /// No more bytes will come: adds what is left to `out`.
    ///
    /// # Errors
    /// When all bytes were too few to detect their format.
    pub fn finish(&mut self, out: &mut Vec<Demuxed>) -> Result<(), UnknownBytes> {
        if matches!(self.0, State::Begin(_)) {
            self.begin(out)?;
        }
        match &mut self.0 {
            State::Unpacker(unpacker) => {
                unpacker.finish(out);
                if let Some(held) = unpacker.foreign() {
                    self.choose(&held, out)?;
                    return self.finish(out);
                }
            }
            State::Flv(demuxer) => demuxer.finish(out),
            State::Matroska(demuxer) => demuxer.finish(out),
            State::Mp4(demuxer) => demuxer.finish(out),
            State::Ogg(demuxer) => demuxer.finish(out),
            State::Begin(_) | State::Audio(_) | State::Frames(_) => {}
            State::Unknown(fault) => return Err(*fault),
        }
        Ok(())
    }

    /// What comes next is not waited for: see [`Unpacker::settle`].
    pub fn settle(&mut self, out: &mut Vec<Demuxed>) {
        if let State::Unpacker(unpacker) = &mut self.0 {
            unpacker.settle(out);
        }
    }

    /// Whether the samples have times of their own. Otherwise those of their arrival are better.
    pub const fn has_times(&self) -> bool {
        match &self.0 {
            State::Unpacker(unpacker) => unpacker.has_times(),
            State::Frames(_) => false,
            _ => true,
        }
    }

    /// Whether the container lists a video track, also one of which nothing came yet, as far as it says so before.
    pub fn has_video(&self) -> bool {
        matches!(&self.0, State::Unpacker(unpacker) if unpacker.has_video())
    }

    /// Names of what is in there and is not demuxed.
    pub fn unsupported(&self) -> Vec<String> {
        match &self.0 {
            State::Unpacker(unpacker) => unpacker.unsupported(),
            State::Flv(demuxer) => demuxer.unsupported(),
            State::Mp4(demuxer) => demuxer.unsupported(),
            State::Ogg(demuxer) => demuxer.unsupported(),
            State::Begin(_) | State::Matroska(_) | State::Audio(_) | State::Frames(_) | State::Unknown(_) => Vec::new(),
        }
    }

    /// Enough came to tell raw frames from all else.
    fn begin(&mut self, out: &mut Vec<Demuxed>) -> Result<(), UnknownBytes> {
        let State::Begin(held) = &mut self.0 else { return Ok(()) };
        let held = std::mem::take(held);
        self.0 = match held.starts_with(MAGIC) {
            true => State::Frames(RawFrames::default()),
            false => State::Unpacker(Unpacker::new()),
        };
        self.push(&held, out)
    }

    fn choose(&mut self, held: &Bytes, out: &mut Vec<Demuxed>) -> Result<(), UnknownBytes> {
        let first = held.get(..MAX_SNIFFED.min(held.len())).unwrap_or_default();
        self.0 = match sniff(first, true) {
            Sniffed::Is(Container::Flv) => State::Flv(Box::default()),
            Sniffed::Is(Container::Mkv | Container::Webm) => State::Matroska(Box::default()),
            Sniffed::Is(Container::Mp4) => State::Mp4(Box::default()),
            Sniffed::Is(Container::Ogg) => State::Ogg(Box::default()),
            Sniffed::Is(Container::Aac) => State::Audio(Audio::new(true)),
            Sniffed::Is(Container::Mp3) => State::Audio(Audio::new(false)),
            Sniffed::Is(container) => State::Unknown(UnknownBytes::Container(container)),
            Sniffed::Undecided | Sniffed::Unknown => State::Unknown(UnknownBytes::Unknown),
        };
        self.push(held, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::testing::split;
    use crate::media::{
        Muxed, Muxer, Sample, Time, TrackId, TrackInfo, TrackSet,
        codec::{CodecParameters, mpeg_audio},
        track::{AudioShape, Shape},
    };
    use proptest::prelude::*;
    use std::time::Instant;

    const TS: &[u8] = include_bytes!("../../../tests/data/h264-aac.ts");

    fn demuxed(bytes: &[u8], size: usize) -> (Vec<TrackSet>, Vec<Sample>) {
        let (mut demuxer, mut out) = (AnyDemuxer::new(), Vec::new());
        for piece in bytes.chunks(size) {
            demuxer.push(piece, &mut out).unwrap();
        }
        demuxer.finish(&mut out).unwrap();
        split(out)
    }

    /// These samples in a container.
    fn muxed(container: Container, set: &TrackSet, samples: &[Sample]) -> Vec<u8> {
        let mut muxer = Muxer::new(container).unwrap();
        let chosen = Muxer::select(container, set).unwrap();
        let tracks: Vec<_> = chosen.iter().filter_map(|id| set.get(*id).cloned()).collect();
        let mut out = Vec::new();
        muxer.set_tracks(&tracks, &mut out);
        samples.iter().for_each(|sample| muxer.push(sample, Instant::now(), &mut out));
        let bytes = out.into_iter().flat_map(|muxed| match muxed {
            Muxed::Header { bytes, .. } => bytes.to_vec(),
            Muxed::Packet(packet) => packet.payload().to_vec(),
            Muxed::WantsKeyframe => Vec::new(),
        });
        bytes.collect()
    }

    #[test]
    fn the_same_samples_come_out_of_every_container() {
        let (sets, samples) = demuxed(TS, usize::MAX);
        for container in [Container::Flv, Container::Mkv, Container::Mp4, Container::Ts, Container::Aac] {
            let bytes = muxed(container, &sets[0], &samples);
            for size in [100, usize::MAX] {
                let (_, found) = demuxed(&bytes, size);
                // The last frame of some containers is whole only with the next.
                let expect: Vec<_> = match container {
                    Container::Aac => {
                        let audio = sets[0].tracks().iter().find(|track| track.audio().is_some()).unwrap().id;
                        samples.iter().filter(|sample| sample.track == audio).map(|sample| &sample.data).collect()
                    }
                    _ => samples.iter().map(|sample| &sample.data).collect(),
                };
                let found: Vec<_> = found.iter().map(|sample| &sample.data).collect();
                assert!(found.len() + 2 >= expect.len(), "{container}: {} of {}", found.len(), expect.len());
                assert!(found.iter().all(|data| expect.contains(data)), "{container}");
            }
        }
    }

    #[test]
    fn ogg_is_taken_apart() {
        const OGG: &[u8] = include_bytes!("../../../tests/data/theora-vorbis-gst.ogg");
        let (sets, samples) = demuxed(OGG, 100);
        assert!(sets.len() == 1 && sets[0].tracks().len() == 2 && samples.len() > 60, "{}", samples.len());
        assert_eq!((sets, samples), demuxed(OGG, usize::MAX));
    }

    #[test]
    fn mp3_is_taken_apart() {
        let shape = Shape::Audio(AudioShape { rate: 44_100, channels: 2 });
        let codec = CodecParameters::MpegAudio(mpeg_audio::Parameters { layer: 3, is_low_rate: false });
        let frame: Vec<u8> = [&[0xff, 0xfb, 0x90, 0x64][..], &[0; 413]].concat();
        let (sets, samples) = demuxed(&frame.repeat(3), 50);
        assert_eq!(sets[0].tracks(), [TrackInfo { id: TrackId(0), codec, shape }]);
        assert_eq!(samples.len(), 3);
        assert_eq!(samples[1].dts, Time::from_nanos(26_122_448));
    }

    #[test]
    fn what_cannot_be_taken_apart_is_refused_with_a_reason() {
        let check = |bytes: &[u8], expect| {
            let mut demuxer = AnyDemuxer::new();
            assert_eq!(demuxer.push(bytes, &mut Vec::new()), Err(expect));
            assert_eq!(demuxer.push(b"more", &mut Vec::new()), Err(expect));
            assert_eq!(demuxer.finish(&mut Vec::new()), Err(expect));
        };
        check(b"RIFF\x01\x02\x03\x04WAVE", UnknownBytes::Container(Container::Wav));
        check(b"some text that is no media", UnknownBytes::Unknown);
        let mut demuxer = AnyDemuxer::new();
        assert_eq!(demuxer.push(b"\0\0", &mut Vec::new()), Ok(()));
        assert_eq!(demuxer.finish(&mut Vec::new()), Err(UnknownBytes::Unknown));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(
            first in prop::sample::select(vec![&b"FLV\x01\x05\0\0\0\x09\0\0\0\0"[..], b"\x1a\x45\xdf\xa3\x8b\x42\x82\x88matroska", b"\0\0\0\x18ftypmp42", b"OggS\0\x02", b"\xff\xf1\x50\x80", b"ID3\x04", b"G", b""]),
            rest in prop::collection::vec(any::<u8>(), 0..600),
            size in 1usize..99,
        ) {
            let (mut demuxer, mut out) = (AnyDemuxer::new(), Vec::new());
            for piece in [first, &rest].concat().chunks(size) {
                let _ = demuxer.push(piece, &mut out);
            }
            let _ = demuxer.finish(&mut out);
        }
    }
}
