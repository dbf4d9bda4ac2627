//! The muxers of all containers as one closed set.

use super::{
    Container, Muxed, NotCarried, Sample, TrackId, TrackInfo, TrackSet, codec::CodecParameters, flv, frames, matroska,
    mp4, mux::Codecs, ogg, track::MediaKind, ts,
};
use std::time::{Duration, Instant};

/// Muxes the tracks of a rendition into one container.
#[derive(Debug)]
pub enum Muxer {
    /// MPEG-TS.
    Ts(Box<ts::SampleMuxer>),
    /// Fragmented MP4.
    Mp4(Box<mp4::SampleMuxer>),
    /// Matroska and WebM.
    Matroska(Box<matroska::Muxer>),
    /// FLV.
    Flv(Box<flv::Muxer>),
    /// Ogg.
    Ogg(Box<ogg::Muxer>),
    /// Frames of one track, one after the other: ADTS, MP3, FLAC, WAV, multipart JPEG.
    Frames(Box<frames::Muxer>),
}

impl Muxer {
    /// The muxer of a container; `None` for bytes of unknown kind.
    pub fn new(container: Container) -> Option<Self> {
        Some(match container {
            Container::Ts => Self::Ts(Box::new(ts::SampleMuxer::new())),
            Container::Mp4 => Self::Mp4(Box::new(mp4::SampleMuxer::new())),
            Container::Webm => Self::Matroska(Box::new(matroska::Muxer::new(true))),
            Container::Mkv => Self::Matroska(Box::new(matroska::Muxer::new(false))),
            Container::Flv => Self::Flv(Box::new(flv::Muxer::new())),
            Container::Ogg => Self::Ogg(Box::new(ogg::Muxer::new())),
            Container::Mp3 | Container::Aac | Container::Flac | Container::Wav | Container::Mjpeg => {
                Self::Frames(Box::new(frames::Muxer::new(container)?))
            }
            Container::Raw => return None,
        })
    }

    /// Whether a container can carry a track of this codec.
    pub fn carries(container: Container, codec: &CodecParameters) -> bool {
        match container {
            Container::Ts => ts::SampleMuxer::carries(codec),
            Container::Mp4 => mp4::SampleMuxer::carries(codec),
            Container::Webm => matroska::Muxer::carries(true, codec),
            Container::Mkv => matroska::Muxer::carries(false, codec),
            Container::Flv => flv::Muxer::carries(codec),
            Container::Ogg => ogg::Muxer::carries(codec),
            Container::Mp3 | Container::Aac | Container::Flac | Container::Wav | Container::Mjpeg => {
                frames::Muxer::carries(container, codec)
            }
            Container::Raw => false,
        }
    }

    /// The tracks of a set that go into a container: the first video track and the first audio track that it can carry. A
    /// container of audio or of JPEG alone takes that kind and ignores the other.
    ///
    /// # Errors
    /// When there is a track of a kind that the container is for and it can carry none of that kind, or there is no track for it.
    pub fn select(container: Container, tracks: &TrackSet) -> Result<Vec<TrackId>, NotCarried> {
        let refused = || NotCarried { container, codecs: Codecs::of(tracks.tracks()) };
        let kinds: &[MediaKind] = match container {
            Container::Mp3 | Container::Aac | Container::Flac | Container::Wav => &[MediaKind::Audio],
            Container::Mjpeg => &[MediaKind::Video],
            _ => &[MediaKind::Video, MediaKind::Audio],
        };
        let mut selected = Vec::new();
        for kind in kinds {
            let mut of_kind = tracks.tracks().iter().filter(|track| track.kind() == *kind).peekable();
            if of_kind.peek().is_none() {
                continue;
            }
            let carried = of_kind.find(|track| Self::carries(container, &track.codec));
            selected.push(carried.ok_or_else(refused)?.id);
        }
        if selected.is_empty() { Err(refused()) } else { Ok(selected) }
    }

    /// The tracks from now on; those of a set that [`Muxer::select`] chose.
    pub fn set_tracks(&mut self, tracks: &[TrackInfo], out: &mut Vec<Muxed>) {
        match self {
            Self::Ts(muxer) => muxer.set_tracks(tracks, out),
            Self::Mp4(muxer) => muxer.set_tracks(tracks, out),
            Self::Matroska(muxer) => muxer.set_tracks(tracks, out),
            Self::Flv(muxer) => muxer.set_tracks(tracks, out),
            Self::Ogg(muxer) => muxer.set_tracks(tracks, out),
            Self::Frames(muxer) => muxer.set_tracks(tracks, out),
        }
    }

    /// The time since 1970 at which the clock of [`Sample::captured`] was 0, for containers that say when a frame was captured.
    pub fn set_epoch(&mut self, epoch: Option<Duration>) {
        if let Self::Frames(muxer) = self {
            muxer.set_epoch(epoch);
        }
    }

    /// The next sample of one of these tracks.
    pub fn push(&mut self, sample: &Sample, now: Instant, out: &mut Vec<Muxed>) {
        match self {
            Self::Ts(muxer) => muxer.push(sample, out),
            Self::Mp4(muxer) => muxer.push(sample, now, out),
            Self::Matroska(muxer) => muxer.push(sample, out),
            Self::Flv(muxer) => muxer.push(sample, out),
            Self::Ogg(muxer) => muxer.push(sample, out),
            Self::Frames(muxer) => muxer.push(sample, out),
        }
    }
}
