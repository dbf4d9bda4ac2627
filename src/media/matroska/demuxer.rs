//! Demuxes Matroska and WebM (RFC 9559; EBML: RFC 8794) into samples in canonical form.
//!
//! The stream may begin anywhere and may have gaps: without a header nothing is understood, and where no element follows, the
//! demuxer looks for the next cluster or header. Segments and clusters may have any size, known or not. What is of no use
//! (cues, tags, attachments, padding, checksums) is passed over without being held.
//!
//! Blocks have only the time that a frame is shown; [`Reorder`](crate::media::reorder) makes the time that it is decoded.

mod block;
mod entry;
mod track;

use super::element::{self, Head, elements, unsigned};
use crate::media::announcer::Announcer;
use crate::media::demux::Demuxed;
use crate::media::{Time, TrackId, TrackInfo};
use block::Frames;
use bytes::{Buf, Bytes, BytesMut};
use entry::Entry;
use std::time::Duration;
use track::{Taken, Timing, Track};

/// Longest element that is read; others are passed over. A block of raw video fits.
const MAX_ELEMENT: u64 = 64 << 20;
/// Longest description of tracks: code books and images of some of them fit.
const MAX_HEADER: u64 = 4 << 20;
/// Longest element that is believed; a wrong length would blind the demuxer for as long.
const MAX_BELIEVED: u64 = 8 << 30;
/// Most tracks that are read.
const MAX_TRACKS: usize = 32;
/// Nanoseconds of a tick when nothing is said (RFC 9559, section 5.1.2.9).
const DEFAULT_SCALE: u64 = 1_000_000;

/// Demuxes one stream.
#[derive(Debug)]
pub struct Demuxer {
    /// From the beginning of an element on.
    buffer: BytesMut,
    /// So many bytes are still to come that are of no use.
    skip: u64,
    /// Bytes before the buffer, from the first call on.
    position: u64,
    place: Place,
    /// Nanoseconds of a tick.
    scale: u64,
    tracks: Vec<Track>,
    /// A header was read before the newest one.
    has_begun: bool,
    announcer: Announcer,
}

/// Where in the stream the demuxer is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    /// Nowhere: looks for an EBML header, or for a cluster if tracks are known.
    Lost,
    /// Between the children of a segment, or before it.
    Segment,
    /// In a cluster, which ends there, if that is known. Its timestamp comes first.
    Cluster { end: Option<u64>, timestamp: Option<u64> },
}

/// What to do about an element.
enum Step {
    /// Its children are next.
    Enter,
    /// All of it is needed.
    Read,
    /// It is of no use.
    Skip,
    /// Look again, the demuxer is at another place now.
    Again,
    /// There is none.
    Lose,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self::new()
    }
}

impl Demuxer {
    /// A demuxer of a stream that has not begun.
    pub fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            skip: 0,
            position: 0,
            place: Place::Lost,
            scale: DEFAULT_SCALE,
            tracks: Vec::new(),
            has_begun: false,
            announcer: Announcer::default(),
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<Demuxed>) {
        if self.buffer.is_empty() {
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            bytes.advance(skipped);
            self.passed(skipped);
        }
        self.buffer.extend_from_slice(bytes);
        while self.step(out) {}
    }

    /// No more bytes come. A block that is cut is of no use.
    pub fn finish(&mut self, out: &mut Vec<Demuxed>) {
        self.buffer.clear();
        self.end_tracks(out);
    }

    /// Deals with the next element; whether there may be another one.
    fn step(&mut self, out: &mut Vec<Demuxed>) -> bool {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(self.buffer.len());
        self.buffer.advance(skipped);
        self.passed(skipped);
        if self.skip > 0 || self.buffer.is_empty() {
            return false;
        }
        if let Place::Cluster { end: Some(end), .. } = self.place
            && self.position >= end
        {
            self.place = Place::Segment;
        }
        if self.place == Place::Lost && !self.search() {
            return false;
        }
        let head = match Head::read(&self.buffer) {
            Ok(Some(head)) => head,
            Ok(None) => return false,
            Err(element::Malformed) => {
                self.lose();
                return true;
            }
        };
        match self.element(&head) {
            Step::Enter => self.advance(head.length),
            Step::Skip => self.skip = (head.length as u64).saturating_add(head.size.unwrap_or_default()),
            Step::Again => {}
            Step::Lose => self.lose(),
            Step::Read => {
                let size = head.size.and_then(|size| usize::try_from(size).ok()).unwrap_or_default();
                let length = head.length.saturating_add(size);
                if self.buffer.len() < length {
                    return false;
                }
                let content = self.buffer.split_to(length).freeze().slice(head.length..);
                self.position += length as u64;
                self.read(head.id, content, out);
            }
        }
        true
    }

    fn passed(&mut self, bytes: usize) {
        self.skip -= (bytes as u64).min(self.skip);
        self.position += bytes as u64;
    }

    fn advance(&mut self, bytes: usize) {
        self.buffer.advance(bytes.min(self.buffer.len()));
        self.position += bytes as u64;
    }

    /// Goes to the next place where a stream or a cluster may begin; whether there is one.
    fn search(&mut self) -> bool {
        let begins = |rest: &[u8]| {
            let begins = |id: u32| rest.starts_with(&id.to_be_bytes()) || id.to_be_bytes().starts_with(rest);
            begins(element::EBML) || !self.tracks.is_empty() && begins(element::CLUSTER)
        };
        let at = (0..self.buffer.len()).find(|&at| self.buffer.get(at..).is_some_and(begins));
        self.advance(at.unwrap_or(self.buffer.len()));
        self.buffer.len() >= element::EBML.to_be_bytes().len()
    }

    /// The bytes here are no element.
    fn lose(&mut self) {
        self.place = Place::Lost;
        self.tracks.iter_mut().for_each(Track::interrupt);
        self.advance(1);
    }

    fn element(&mut self, head: &Head) -> Step {
        match self.place {
            Place::Lost | Place::Segment => self.child_of_segment(head),
            Place::Cluster { end, .. } => self.child_of_cluster(head, end),
        }
    }

    fn child_of_segment(&mut self, head: &Head) -> Step {
        let most = match head.id {
            element::SEGMENT if self.place == Place::Segment => return Step::Enter,
            element::CLUSTER if head.size.is_none_or(|size| size <= MAX_BELIEVED) => {
                let end = head.size.map(|size| self.position + head.length as u64 + size);
                self.place = Place::Cluster { end, timestamp: None };
                return Step::Enter;
            }
            element::EBML | element::INFO | element::TRACKS => {
                return if head.size.is_some_and(|size| size <= MAX_HEADER) { Step::Read } else { Step::Lose };
            }
            element::SEEK_HEAD
            | element::CUES
            | element::CHAPTERS
            | element::TAGS
            | element::ATTACHMENTS
            | element::VOID => MAX_BELIEVED,
            element::CRC_32 => 4,
            // The IDs of all other children, also of future ones, have four bytes.
            id if id >> 24 != 0 => MAX_HEADER,
            _ => return Step::Lose,
        };
        if head.size.is_some_and(|size| size <= most) { Step::Skip } else { Step::Lose }
    }

    fn child_of_cluster(&mut self, head: &Head, end: Option<u64>) -> Step {
        if head.is_top_level() {
            if end.is_some() {
                // It should not end here.
                self.tracks.iter_mut().for_each(Track::interrupt);
            }
            self.place = Place::Segment;
            return Step::Again;
        }
        let Some(size) = head.size else { return Step::Lose };
        let most = end.map_or(MAX_BELIEVED, |end| end.saturating_sub(self.position + head.length as u64));
        if size > most {
            return Step::Lose;
        }
        match head.id {
            element::TIMESTAMP if size <= 8 => Step::Read,
            element::SIMPLE_BLOCK | element::BLOCK_GROUP => {
                if size <= MAX_ELEMENT {
                    return Step::Read;
                }
                self.tracks.iter_mut().for_each(Track::interrupt);
                Step::Skip
            }
            element::POSITION | element::PREV_SIZE | element::SILENT_TRACKS | element::ENCRYPTED_BLOCK => Step::Skip,
            element::VOID | element::CRC_32 => Step::Skip,
            // There are no others, so bytes are missing.
            _ => Step::Lose,
        }
    }

    fn read(&mut self, id: u32, content: Bytes, out: &mut Vec<Demuxed>) {
        match id {
            element::EBML => {
                self.place = Place::Segment;
                self.scale = DEFAULT_SCALE;
                self.tracks.iter_mut().for_each(Track::interrupt);
            }
            element::INFO => {
                let scale = elements(&content).find(|(id, _)| *id == element::TIMESTAMP_SCALE);
                self.scale =
                    scale.map(|(_, scale)| unsigned(scale)).filter(|scale| *scale > 0).unwrap_or(DEFAULT_SCALE);
            }
            element::TRACKS => self.begin_tracks(&content, out),
            element::TIMESTAMP => {
                if let Place::Cluster { timestamp, .. } = &mut self.place {
                    *timestamp = Some(unsigned(&content));
                }
            }
            element::SIMPLE_BLOCK => self.block(&content, None, None, out),
            element::BLOCK_GROUP => {
                let (mut block, mut duration, mut is_sync) = (None, None, true);
                for (id, child) in elements(&content) {
                    match id {
                        element::BLOCK => block = Some(content.slice_ref(child)),
                        element::BLOCK_DURATION => duration = Some(unsigned(child)),
                        element::REFERENCE_BLOCK => is_sync = false,
                        _ => {}
                    }
                }
                if let Some(block) = block {
                    self.block(&block, duration, Some(is_sync), out);
                }
            }
            _ => {}
        }
    }

    fn begin_tracks(&mut self, content: &[u8], out: &mut Vec<Demuxed>) {
        self.end_tracks(out);
        let entries = elements(content).filter(|(id, _)| *id == element::TRACK_ENTRY);
        let entries = entries.filter_map(|(_, entry)| Entry::read(entry)).take(MAX_TRACKS);
        let (is_interrupted, ids) = (self.has_begun, (0..=u8::MAX).map(TrackId));
        self.tracks = entries.zip(ids).map(|(entry, id)| Track::new(id, entry, is_interrupted)).collect();
        self.has_begun = true;
        self.announcer.begin(&known(&self.tracks), out);
    }

    fn end_tracks(&mut self, out: &mut Vec<Demuxed>) {
        let mut taken = Vec::new();
        self.tracks.iter_mut().for_each(|track| track.finish(&mut taken));
        self.announce(taken, out);
        self.announcer.end(&known(&self.tracks), out);
    }

    /// A block, with its duration in ticks and whether a decoder may begin with it, where its group says so.
    fn block(&mut self, block: &Bytes, duration: Option<u64>, is_sync: Option<bool>, out: &mut Vec<Demuxed>) {
        let Place::Cluster { timestamp: Some(timestamp), .. } = self.place else { return };
        let Some(block) = Frames::read(block) else { return };
        let Some(track) = self.tracks.iter_mut().find(|track| track.number == block.track) else { return };
        let ticks = (i128::from(timestamp) + i128::from(block.relative)) * i128::from(self.scale);
        let time = i64::try_from(ticks).unwrap_or(i64::MAX);
        let timing = Timing {
            time: Time::from_nanos(time),
            duration: duration.map(|ticks| Duration::from_nanos(ticks.saturating_mul(self.scale))),
            is_sync: is_sync.unwrap_or(block.is_key),
        };
        let mut taken = Vec::new();
        track.take(block.frames, timing, &mut taken);
        self.announce(taken, out);
    }

    fn announce(&mut self, taken: Vec<Taken>, out: &mut Vec<Demuxed>) {
        for taken in taken {
            match taken {
                Taken::Changed => self.announcer.learn(&known(&self.tracks), out),
                Taken::Sample(sample) => self.announcer.sample(sample, || known(&self.tracks), out),
            }
        }
    }
}

fn known(tracks: &[Track]) -> Vec<Option<&TrackInfo>> {
    tracks.iter().map(Track::info).collect()
}

#[cfg(test)]
mod tests;
