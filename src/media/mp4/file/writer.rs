//! Writes a file: fragments while samples come, the movie box at the end.

use super::{
    fragment::{Run, front},
    movie::{TrackHead, movie, with_creation},
    table::{Placed, SampleTable},
};
use crate::media::{
    codec::{CodecParameters, ac3, flac, mpeg_audio, opus},
    mp4::{
        box_writer::words,
        header::{header_for, number, timescale},
        sample_entry,
    },
    sample::Sample,
    track::{TrackId, TrackInfo},
};
use std::time::Duration;

/// Length of the box that becomes the head of `mdat`.
pub(super) const ROOM: usize = 16;
/// How long a last sample lasts of which nothing is known: this part of a second.
const USUAL_RATE: u32 = 25;

/// Writes one file. Times of samples count from the begin of the file.
#[derive(Debug)]
pub struct FileWriter {
    lanes: Vec<Lane>,
    /// In seconds since 1970.
    created: u64,
    /// Bytes that have left.
    position: u64,
    /// Where `free` is.
    room: u64,
    sequence: u32,
}

/// What ends a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// The last bytes: to be on the disk before the patch.
    pub tail: Vec<u8>,
    /// What is to be overwritten at last, and where.
    pub patch: (u64, [u8; ROOM]),
}

#[derive(Debug)]
struct Lane {
    id: TrackId,
    info: TrackInfo,
    head: TrackHead,
    table: SampleTable,
    /// The newest sample, whose duration is not known yet.
    newest: Option<(Placed, Option<u32>)>,
    newest_data: Vec<u8>,
    /// What the next fragment has.
    samples: Vec<Placed>,
    data: Vec<u8>,
}

impl FileWriter {
    /// A file of these tracks, of which those are dropped that it cannot carry; `created` is in seconds since 1970. Also returns
    /// its first bytes.
    pub fn new(tracks: &[TrackInfo], created: u64) -> (Self, Vec<u8>) {
        let whole = with_creation(&header_for(tracks), created);
        let heads = TrackHead::of_header(&whole);
        let lane = |info: &TrackInfo| {
            let head = heads.iter().find(|head| head.number == number(info.id))?.clone();
            Some(Lane {
                id: info.id,
                info: info.clone(),
                head,
                table: SampleTable::default(),
                newest: None,
                newest_data: Vec::new(),
                samples: Vec::new(),
                data: Vec::new(),
            })
        };
        let lanes = tracks.iter().filter(|track| sample_entry::carries(&track.codec)).filter_map(lane).collect();
        let type_length = super::super::boxes::head(&whole).map_or(0, |head| head.length);
        let (kind, rest) = whole.split_at_checked(type_length).unwrap_or((&whole, &[]));
        let mut out = kind.to_vec();
        words(&mut out, &[ROOM as u32, u32::from_be_bytes(*b"free"), 0, 0]);
        out.extend_from_slice(rest);
        let writer = Self { lanes, created, position: out.len() as u64, room: type_length as u64, sequence: 0 };
        (writer, out)
    }

    /// Takes the next sample; those of unknown tracks are ignored.
    pub fn push(&mut self, sample: &Sample) {
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.id == sample.track) else { return };
        lane.push(sample);
    }

    /// Bytes of samples that wait for the next fragment.
    pub fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.data.len() + lane.newest_data.len()).sum()
    }

    /// A fragment of all samples whose duration is known; empty when there are none.
    pub fn take(&mut self) -> Vec<u8> {
        let mut lanes: Vec<&mut Lane> = self.lanes.iter_mut().filter(|lane| !lane.samples.is_empty()).collect();
        if lanes.is_empty() {
            return Vec::new();
        }
        let (runs, data): (Vec<Run>, Vec<_>) = lanes.iter_mut().map(|lane| lane.take()).unzip();
        self.sequence += 1;
        let Some((mut bytes, begins)) = front(self.sequence, &runs) else { return Vec::new() };
        data.iter().for_each(|data| bytes.extend_from_slice(data));
        for ((lane, run), begin) in lanes.into_iter().zip(&runs).zip(begins) {
            let mut at = self.position + begin;
            for sample in &run.samples {
                lane.table.push(Placed { at, ..*sample });
                at += u64::from(sample.size);
            }
        }
        self.position += bytes.len() as u64;
        bytes
    }

    /// A fragment of all samples: no other one comes.
    pub fn rest(&mut self) -> Vec<u8> {
        self.lanes.iter_mut().for_each(Lane::settle);
        self.take()
    }

    /// Ends the file.
    pub fn finish(mut self) -> Finish {
        let mut tail = self.rest();
        let tracks: Vec<_> = self.lanes.iter().filter(|lane| !lane.table.is_empty()).collect();
        let tracks: Vec<_> = tracks.iter().map(|lane| (&lane.head, &lane.table)).collect();
        tail.extend(movie(&tracks, self.created, 0));
        Finish { tail, patch: (self.room, cover(self.position - self.room)) }
    }

    /// Bytes of the file so far.
    pub fn length(&self) -> u64 {
        self.position
    }
}

/// The head of an `mdat` of so many bytes.
pub(super) fn cover(length: u64) -> [u8; ROOM] {
    let mut head = [0; ROOM];
    let [a, b, c, d, e, f, g, h] = length.to_be_bytes();
    head.copy_from_slice(&[0, 0, 0, 1, b'm', b'd', b'a', b't', a, b, c, d, e, f, g, h]);
    head
}

impl Lane {
    fn push(&mut self, sample: &Sample) {
        let decode = u64::try_from(sample.dts.ticks(self.head.timescale)).unwrap_or(0);
        // Decode times only grow.
        let earliest = self.newest.map_or(0, |(newest, _)| newest.decode + 1);
        let decode = decode.max(earliest);
        let shown = sample.pts.ticks(self.head.timescale);
        let offset = i128::from(shown) - i128::from(decode);
        self.close(u32::try_from(decode.saturating_sub(earliest) + 1).unwrap_or(u32::MAX));
        // A sync sample has a sequence header (AV1 in ISOBMFF, section 2.4).
        if let CodecParameters::Av1(parameters) = &self.info.codec
            && sample.is_sync
        {
            self.newest_data.extend_from_slice(&parameters.sequence_header);
        }
        self.newest_data.extend_from_slice(&sample.data);
        let placed = Placed {
            decode,
            offset: i32::try_from(offset.max(0)).unwrap_or(i32::MAX),
            duration: 0,
            size: u32::try_from(self.newest_data.len()).unwrap_or(u32::MAX),
            is_sync: sample.is_sync,
            at: 0,
        };
        self.newest = Some((placed, self.duration(sample)));
    }

    /// The newest sample lasts so long.
    fn close(&mut self, duration: u32) {
        let Some((sample, _)) = self.newest.take() else { return };
        self.samples.push(Placed { duration, ..sample });
        self.data.append(&mut self.newest_data);
    }

    /// No other sample comes: the newest one lasts as long as is said of it, or as the one before.
    fn settle(&mut self) {
        let Some((_, said)) = self.newest else { return };
        let before = self.samples.last().map(|sample| sample.duration);
        let before = before.or(self.table.durations().last().map(|(_, duration)| *duration));
        self.close(said.or(before).unwrap_or(self.head.timescale / USUAL_RATE).max(1));
    }

    /// How long a sample lasts by what its frame says, or its source.
    fn duration(&self, sample: &Sample) -> Option<u32> {
        let frame = match &self.info.codec {
            CodecParameters::Aac(parameters) => parameters.parse().map(|config| config.samples()),
            CodecParameters::Opus(_) => opus::samples(&sample.data),
            CodecParameters::Flac(_) => flac::block_size(&sample.data),
            CodecParameters::MpegAudio(_) => mpeg_audio::Header::parse(&sample.data).map(|header| header.samples),
            CodecParameters::Ac3(_) | CodecParameters::Eac3(_) => {
                ac3::Header::parse(&sample.data).map(|header| header.samples)
            }
            _ => None,
        };
        let ticks = |time: Duration| {
            let ticks = time.as_nanos() * u128::from(timescale(&self.info)) / 1_000_000_000;
            u32::try_from(ticks).ok().filter(|ticks| *ticks > 0)
        };
        frame.or_else(|| sample.duration.and_then(ticks))
    }

    fn take(&mut self) -> (Run, Vec<u8>) {
        let (samples, data) = (std::mem::take(&mut self.samples), std::mem::take(&mut self.data));
        (Run { track: self.head.number, samples, length: data.len() }, data)
    }
}
