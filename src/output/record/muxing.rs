//! The muxer of one file of a recording, whatever its container. Pure.

use crate::media::{
    Container, HeaderChange, Muxed, Muxer, Sample, TrackInfo, avi,
    mp4::file::{FileWriter, Finish},
};
use std::time::Instant;

/// Muxes one file. Times of samples count from its begin.
#[derive(Debug)]
pub enum FileMuxer {
    /// MP4, which becomes an ordinary movie at its end.
    Mp4(Box<FileWriter>),
    /// AVI, whose index is at its end.
    Avi(Box<avi::FileWriter>),
    /// A container that needs nothing at its end.
    Live {
        /// Its muxer.
        muxer: Box<Muxer>,
        /// What was muxed and not taken yet.
        waiting: Vec<u8>,
        /// The first packet is still to come.
        is_first: bool,
        /// Bytes that were taken.
        taken: u64,
    },
}

impl FileMuxer {
    /// A file of these tracks, and its first bytes; `created` is in seconds since 1970. `None` for a container that has no muxer.
    pub fn new(container: Container, tracks: &[TrackInfo], created: u64) -> Option<(Self, Vec<u8>)> {
        if container == Container::Mp4 {
            let (writer, header) = FileWriter::new(tracks, created);
            return Some((Self::Mp4(Box::new(writer)), header));
        }
        if container == Container::Avi {
            let (writer, header) = avi::FileWriter::new(tracks);
            return Some((Self::Avi(Box::new(writer)), header));
        }
        let (mut muxer, mut muxed, mut header) = (Muxer::new(container)?, Vec::new(), Vec::new());
        muxer.set_tracks(tracks, &mut muxed);
        for muxed in muxed {
            match muxed {
                Muxed::Header { bytes, .. } => header = bytes.to_vec(),
                Muxed::Packet(packet) => packet.payload_pieces().for_each(|piece| header.extend_from_slice(&piece)),
                Muxed::WantsKeyframe => {}
            }
        }
        let taken = header.len() as u64;
        Some((Self::Live { muxer: Box::new(muxer), waiting: Vec::new(), is_first: true, taken }, header))
    }

    /// The next sample.
    pub fn push(&mut self, sample: &Sample, now: Instant) {
        match self {
            Self::Mp4(writer) => writer.push(sample),
            Self::Avi(writer) => writer.push(sample),
            Self::Live { muxer, waiting, is_first, .. } => {
                let mut muxed = Vec::new();
                muxer.push(sample, now, &mut muxed);
                for muxed in muxed {
                    match muxed {
                        Muxed::Header { bytes, readers: HeaderChange::Inline } => waiting.extend_from_slice(&bytes),
                        Muxed::Header { .. } | Muxed::WantsKeyframe => {}
                        Muxed::Packet(packet) => {
                            let lead = packet.lead.as_ref().filter(|_| std::mem::take(is_first));
                            lead.into_iter().for_each(|lead| waiting.extend_from_slice(lead));
                            packet.payload_pieces().for_each(|piece| waiting.extend_from_slice(&piece));
                        }
                    }
                }
            }
        }
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        match self {
            Self::Mp4(writer) => writer.waiting(),
            Self::Avi(writer) => writer.waiting(),
            Self::Live { waiting, .. } => waiting.len(),
        }
    }

    /// What is whole, to be written; empty when there is nothing.
    pub fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Mp4(writer) => writer.take(),
            Self::Avi(writer) => writer.take(),
            Self::Live { waiting, taken, .. } => {
                *taken += waiting.len() as u64;
                std::mem::take(waiting)
            }
        }
    }

    /// Bytes of the file so far.
    pub fn length(&self) -> u64 {
        match self {
            Self::Mp4(writer) => writer.length(),
            Self::Avi(writer) => writer.length(),
            Self::Live { taken, .. } => *taken,
        }
    }

    /// Whether it has as many bytes as its container allows: another file is to begin.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Avi(writer) if writer.length() + writer.waiting() as u64 >= avi::MAX_LENGTH)
    }

    /// The last bytes of a file that nobody can overwrite: MP4 stays one in fragments.
    pub fn rest(self) -> Vec<u8> {
        match self {
            Self::Mp4(mut writer) => writer.rest(),
            Self::Avi(writer) => writer.finish().tail,
            Self::Live { waiting, .. } => waiting,
        }
    }

    /// The last bytes, and what is overwritten at last.
    pub fn finish(self) -> (Vec<u8>, Option<(u64, Vec<u8>)>) {
        match self {
            Self::Mp4(writer) => {
                let Finish { tail, patch: (at, patch) } = writer.finish();
                (tail, Some((at, patch.to_vec())))
            }
            Self::Avi(writer) => {
                let avi::Finish { tail, header } = writer.finish();
                (tail, Some((0, header)))
            }
            Self::Live { waiting, .. } => (waiting, None),
        }
    }
}
