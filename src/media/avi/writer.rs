//! Writes a file: chunks while samples come, the index at the end.

use super::{
    codecs::{Carriage, Format},
    header::{Totals, chunk, header, words},
};
use crate::media::{Sample, TrackInfo, track::TrackId};
use bytes::Bytes;

/// No file is longer, but for what is written while the next keyframe is waited for: its lengths have 32 bits. Unit tests write less.
pub const MAX_LENGTH: u64 = if cfg!(test) { 8 << 20 } else { 3_800_000_000 };
/// Most tracks: their numbers have two digits, and few programs know more than one of each kind.
const MAX_TRACKS: usize = 16;
/// `AVIIF_KEYFRAME`.
const KEY: u32 = 0x10;
/// Audio that is late by less is not behind, in nanoseconds: it comes in steps that are not exact.
const LATE: u64 = 60_000_000;
/// No longer gap is filled, in nanoseconds.
const MAX_GAP: u64 = 15_000_000_000;

/// Writes one file. Times of samples count from the begin of the file.
#[derive(Debug)]
pub struct FileWriter {
    lanes: Vec<Lane>,
    /// Chunks that have not left.
    waiting: Vec<u8>,
    index: Vec<u8>,
    /// Bytes that have left.
    position: u64,
    /// Where `movi` is, which the index counts from.
    movi: u64,
}

/// What ends a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// The last bytes: to be on the disk before the header.
    pub tail: Vec<u8>,
    /// The header, to be overwritten at last.
    pub header: Vec<u8>,
}

#[derive(Debug)]
struct Lane {
    id: TrackId,
    carriage: Carriage,
    /// The name of its chunks.
    kind: [u8; 4],
    /// Units so far.
    units: u64,
    /// The newest chunk, of audio.
    newest: Bytes,
}

impl FileWriter {
    /// A file of these tracks, of which those are dropped that it cannot carry. Also returns its first bytes.
    pub fn new(tracks: &[TrackInfo]) -> (Self, Vec<u8>) {
        let carried = tracks.iter().filter_map(|info| Some((info.id, Carriage::of(info)?))).take(MAX_TRACKS);
        let lane = |(place, (id, carriage)): (usize, (TrackId, Carriage))| Lane {
            id,
            kind: name(place, carriage.is_video()),
            carriage,
            units: 0,
            newest: Bytes::new(),
        };
        let lanes: Vec<_> = carried.enumerate().map(lane).collect();
        let mut this = Self { lanes, waiting: Vec::new(), index: Vec::new(), position: 0, movi: 0 };
        let header = this.header(&Totals::default());
        this.position = header.len() as u64;
        this.movi = this.position - 4;
        (this, header)
    }

    fn header(&self, totals: &Totals) -> Vec<u8> {
        let tracks: Vec<_> = self.lanes.iter().map(|lane| &lane.carriage).collect();
        header(&tracks, totals)
    }

    /// Takes the next sample; those of unknown tracks are ignored.
    pub fn push(&mut self, sample: &Sample) {
        let Some(place) = self.lanes.iter().position(|lane| lane.id == sample.track) else { return };
        for fill in self.lanes.get_mut(place).map(|lane| lane.fill(sample)).unwrap_or_default() {
            self.chunk(place, &fill, false);
        }
        let Some(lane) = self.lanes.get_mut(place) else { return };
        let data = lane.carriage.chunk(sample);
        if !lane.carriage.is_video() {
            lane.newest = data.clone();
        }
        self.chunk(place, &data, sample.is_sync);
    }

    fn chunk(&mut self, place: usize, data: &[u8], is_key: bool) {
        let Some(lane) = self.lanes.get_mut(place) else { return };
        let unit = u64::from(lane.carriage.unit);
        lane.units += (data.len() as u64).checked_div(unit).unwrap_or(1);
        let at = self.position + self.waiting.len() as u64 - self.movi;
        index(&mut self.index, lane.kind, is_key, at, data.len());
        chunk(&lane.kind, &mut self.waiting, |out| out.extend_from_slice(data));
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The chunks that have not left.
    pub fn take(&mut self) -> Vec<u8> {
        self.position += self.waiting.len() as u64;
        std::mem::take(&mut self.waiting)
    }

    /// Bytes of the file so far.
    pub fn length(&self) -> u64 {
        self.position
    }

    /// Ends the file.
    pub fn finish(mut self) -> Finish {
        let mut tail = self.take();
        let media = self.position;
        chunk(b"idx1", &mut tail, |out| out.extend_from_slice(&self.index));
        let length = media + 8 + self.index.len() as u64;
        let units = self.lanes.iter().map(|lane| u32::try_from(lane.units).unwrap_or(u32::MAX)).collect();
        Finish { tail, header: self.header(&Totals { length, media, units }) }
    }
}

impl Lane {
    /// The chunks that stand for what is missing before a sample.
    fn fill(&self, sample: &Sample) -> Vec<Bytes> {
        let carriage = &self.carriage;
        let units = |nanos: u64| carriage.unit_at(i64::try_from(nanos).unwrap_or(i64::MAX));
        let missing = carriage.unit_at(sample.dts.nanos()).saturating_sub(self.units).min(units(MAX_GAP));
        let count = usize::try_from(missing).unwrap_or(0);
        match &carriage.format {
            Format::Video { .. } => vec![Bytes::new(); count],
            Format::Audio { .. } if missing <= units(LATE) => Vec::new(),
            Format::Audio { silence: Some(silence), .. } => vec![vec![*silence; count * carriage.unit as usize].into()],
            Format::Audio { .. } => {
                let again = if self.newest.is_empty() { &sample.data } else { &self.newest };
                vec![again.clone(); count]
            }
        }
    }
}

/// The name of the chunks of a track.
pub(super) fn name(place: usize, is_video: bool) -> [u8; 4] {
    let digit = |number: usize| b'0' + (number % 10) as u8;
    let [a, b] = if is_video { *b"dc" } else { *b"wb" };
    [digit(place / 10), digit(place), a, b]
}

/// Appends an entry of the index: a chunk, and where it is from `movi` on.
pub(super) fn index(out: &mut Vec<u8>, kind: [u8; 4], is_key: bool, at: u64, length: usize) {
    out.extend_from_slice(&kind);
    words(out, &[if is_key { KEY } else { 0 }, u32::try_from(at).unwrap_or(u32::MAX), length as u32]);
}
