//! The muxers of all containers as one closed set.

use super::{
    Container, Muxed, NotCarried, Sample, TrackId, TrackInfo, TrackSet, codec::CodecParameters, matroska, mp4,
    mux::Codecs, track::MediaKind, ts,
};
use std::time::Instant;

/// Muxes the tracks of a rendition into one container.
#[derive(Debug)]
pub enum Muxer {
    /// MPEG-TS.
    Ts(Box<ts::SampleMuxer>),
    /// Fragmented MP4.
    Mp4(Box<mp4::SampleMuxer>),
    /// Matroska and WebM.
    Matroska(Box<matroska::Muxer>),
}

impl Muxer {
    /// The muxer of a container; `None` for bytes of unknown kind.
    pub fn new(container: Container) -> Option<Self> {
        Some(match container {
            Container::Ts => Self::Ts(Box::new(ts::SampleMuxer::new())),
            Container::Mp4 => Self::Mp4(Box::new(mp4::SampleMuxer::new())),
            Container::Webm => Self::Matroska(Box::new(matroska::Muxer::new(true))),
            Container::Mkv => Self::Matroska(Box::new(matroska::Muxer::new(false))),
            _ => return None,
        })
    }

    fn carries(container: Container, codec: &CodecParameters) -> bool {
        match container {
            Container::Ts => ts::SampleMuxer::carries(codec),
            Container::Mp4 => mp4::SampleMuxer::carries(codec),
            Container::Webm => matroska::Muxer::carries(true, codec),
            Container::Mkv => matroska::Muxer::carries(false, codec),
            _ => false,
        }
    }

    /// The tracks of a set.
    pub fn select(container: Container, tracks: &TrackSet) -> Result<Vec<TrackId>, NotCarried> {
        let mut selected = Vec::new();
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let of_kind = || tracks.tracks().iter().filter(|track| track.kind() == kind);
            match of_kind().find(|track| Self::carries(container, &track.codec)) {
                Some(track) => selected.push(track.id),
                None if of_kind().next().is_none() => {}
                None => return Err(NotCarried { container, codecs: Codecs::of(tracks.tracks()) }),
            }
        }
        if selected.is_empty() {
            Err(NotCarried { container, codecs: Codecs::of(tracks.tracks()) })
        } else {
            Ok(selected)
        }
    }

    /// The tracks from now on.
    pub fn set_tracks(&mut self, tracks: &[TrackInfo], out: &mut Vec<Muxed>) {
        match self {
            Self::Ts(muxer) => muxer.set_tracks(tracks, out),
            Self::Mp4(muxer) => muxer.set_tracks(tracks, out),
            Self::Matroska(muxer) => muxer.set_tracks(tracks, out),
        }
    }

    /// The next sample.
    pub fn push(&mut self, sample: &Sample, now: Instant, out: &mut Vec<Muxed>) {
        match self {
            Self::Ts(muxer) => muxer.push(sample, out),
            Self::Mp4(muxer) => muxer.push(sample, now, out),
            Self::Matroska(muxer) => muxer.push(sample, out),
        }
    }
}
