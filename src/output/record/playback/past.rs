//! The past of live playlists: which segments recordings have of the time before a live one, and their media. Their times are on the
//! timeline of the stream, so that live segments continue them.

use super::{
    library::{Library, LibraryError, Recorded, files, read_extent},
    reading::{Playback, PlaybackError},
};
use crate::media::{
    MediaKind, Time,
    mp4::file::{ScannedFile, TrackHead, spans, stretch},
    segment::{First, PastSegment},
};
use bytes::Bytes;
use std::{fs::File, path::PathBuf, time::Duration};

/// The system clock and the timeline of the stream differ by less than this between files of one timeline, in microseconds.
const ALIKE: i64 = 2_000_000;
/// A longer step between two segments is a gap, in nanoseconds.
const GAP: i64 = 500_000_000;
/// Most segments of the past: of half a second, in six hours.
const MOST: usize = 43_200;

/// A segment whose media is in recordings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSegment {
    /// Its media sequence number.
    pub number: u64,
    /// Whether it is seen or heard.
    pub kind: MediaKind,
    /// Its header.
    pub header: Bytes,
    /// When its first sample is decoded, in ticks of its track on the timeline of the stream.
    pub start: u64,
    /// When what follows begins.
    pub end: u64,
    /// Ticks a second.
    pub timescale: u32,
    /// When its first sample was captured, in nanoseconds since 1970.
    pub date: i64,
}

impl Playback {
    /// What recordings of a stream have of the time before its first live segment, at most of `reach`, in segments of about `length`. Also
    /// returns whether that is all: a file that is written may not have it yet.
    ///
    /// # Errors
    /// When recordings cannot be read.
    pub async fn past(
        &self,
        stream: &str,
        first: First,
        reach: Duration,
        length: Duration,
    ) -> Result<(Vec<PastSegment>, bool), PlaybackError> {
        let stream = stream.to_owned();
        self.read(move |library, folders| library.past(folders, &stream, &first, (reach, length))).await
    }

    /// The media of a segment.
    ///
    /// # Errors
    /// When no recording has it any more, or it cannot be read.
    pub async fn stored(&self, stream: &str, segment: StoredSegment) -> Result<Vec<Bytes>, PlaybackError> {
        let stream = stream.to_owned();
        self.read(move |library, folders| library.stored(folders, &stream, &segment)).await
    }
}

impl Library {
    fn past(
        &self,
        folders: &[PathBuf],
        stream: &str,
        first: &First,
        (reach, length): (Duration, Duration),
    ) -> Result<(Vec<PastSegment>, bool), LibraryError> {
        let Some(date) = first.date.map(|date| date / 1000) else { return Ok((Vec::new(), true)) };
        let start = nanos(first.start, first.timescale);
        let reach = i64::try_from(reach.as_micros()).unwrap_or(i64::MAX);
        let files = files(folders, stream, date.saturating_sub(reach), date.saturating_add(ALIKE))?;
        let is_written = files.last().is_some_and(|file| file.entry.ended.is_none());
        let length = i64::try_from(length.as_nanos()).unwrap_or(i64::MAX);
        let mut past: Vec<PastSegment> = Vec::new();
        let mut is_joined = false;
        for file in files.iter().filter(|file| is_alike(file, date, start)) {
            let media = file.entry.media;
            if media >= start {
                is_joined = true;
                break;
            }
            let (scanned, _) = self.scanned(&file.path())?;
            if !fits(&scanned, first) {
                past.clear();
                continue;
            }
            let is_within = file_end(&scanned).saturating_add(media) > start.saturating_sub(GAP / 10);
            of_file(file, &scanned, start, length, &mut past);
            is_joined |= is_within;
        }
        past.retain(|segment| segment.date / 1000 >= date.saturating_sub(reach));
        past.drain(..past.len().saturating_sub(MOST));
        Ok((past, is_joined || !is_written))
    }

    fn stored(&self, folders: &[PathBuf], stream: &str, wanted: &StoredSegment) -> Result<Vec<Bytes>, LibraryError> {
        let start = nanos(wanted.start, wanted.timescale);
        let lasts = nanos(wanted.end, wanted.timescale).saturating_sub(start) / 1000;
        let date = wanted.date / 1000;
        let (from, to) = (date.saturating_sub(ALIKE), date.saturating_add(lasts).saturating_add(ALIKE));
        let heads = TrackHead::of_header(&wanted.header);
        let number = u32::try_from(wanted.number & 0xffff_ffff).unwrap_or(u32::MAX);
        let mut pieces = Vec::new();
        for file in files(folders, stream, from, to)?.iter().filter(|file| is_alike(file, date, start)) {
            let path = file.path();
            let (scanned, _) = self.scanned(&path)?;
            let track = scanned.tracks.iter().find(|(head, _)| head.kind == wanted.kind);
            let track = track.filter(|(head, _)| heads.iter().any(|own| own.continues(head)));
            let found = track.and_then(|track| stretch(track, wanted.start..wanted.end, file.entry.media, number));
            let Some(found) = found else { continue };
            // Something that is not at this time is something else.
            if pieces.is_empty() && found.start.abs_diff(wanted.start) > 1 {
                return Err(LibraryError::Nothing);
            }
            let handle = File::open(&path)?;
            pieces.push(Bytes::from(found.front));
            for extent in found.extents {
                pieces.push(read_extent(&handle, extent)?);
            }
        }
        if pieces.is_empty() { Err(LibraryError::Nothing) } else { Ok(pieces) }
    }
}

/// Whether the timeline of a file is that on which `date`, in microseconds since 1970, is `time`, in nanoseconds.
fn is_alike(file: &Recorded, date: i64, time: i64) -> bool {
    let clock = date.saturating_sub(file.entry.from);
    let media = time.saturating_sub(file.entry.media) / 1000;
    file.entry.path.ends_with(".mp4") && clock.saturating_sub(media).abs() < ALIKE
}

/// Whether a file has all tracks of the live segments, coded alike.
fn fits(scanned: &ScannedFile, first: &First) -> bool {
    first.headers.iter().all(|header| {
        let live = TrackHead::of_header(&header.header);
        scanned.tracks.iter().any(|(head, _)| live.iter().any(|live| live.continues(head)))
    })
}

fn file_end(scanned: &ScannedFile) -> i64 {
    scanned.tracks.iter().map(|(head, table)| nanos(table.end(), head.timescale)).max().unwrap_or(0)
}

/// Appends the segments of a file up to the time `until`.
fn of_file(file: &Recorded, scanned: &ScannedFile, until: i64, length: i64, past: &mut Vec<PastSegment>) {
    let media = file.entry.media;
    let lists: Vec<_> = scanned
        .tracks
        .iter()
        .map(|(head, table)| {
            let name = if head.kind == MediaKind::Video { "v0" } else { "a0" };
            let decodes: Vec<u64> = table.samples().map(|sample| sample.decode).collect();
            (name, head, table.end(), decodes)
        })
        .collect();
    let ticks = |nanos: i64, timescale: u32| u64::try_from(Time::from_nanos(nanos).ticks(timescale)).unwrap_or(0);
    let all = spans(&scanned.tracks, length);
    let count = all.len();
    for (place, span) in all.into_iter().enumerate() {
        let to = span.to.min(until.saturating_sub(media));
        if span.from >= to {
            break;
        }
        let is_last = place + 1 == count && to == span.to;
        let tracks = lists.iter().filter_map(|(name, head, end, decodes)| {
            let moved = ticks(media, head.timescale);
            // What comes before the first keyframe is of the first segment, and what comes after the last frame of the last one.
            let at = |nanos: i64| decodes.partition_point(|decode| *decode < ticks(nanos, head.timescale));
            let begin = *decodes.get(if place == 0 { 0 } else { at(span.from) })?;
            let end = if is_last { *end } else { decodes.get(at(to)).copied().unwrap_or(*end) };
            (end > begin).then_some((*name, moved + begin, end - begin))
        });
        let tracks: Vec<_> = tracks.collect();
        let time = media.saturating_add(span.from);
        let is_torn = past.last().is_some_and(|last| (time - last.time.saturating_add(last.nanos)).abs() > GAP);
        past.push(PastSegment {
            time,
            nanos: to - span.from,
            date: file.entry.from.saturating_mul(1000).saturating_add(span.from),
            is_discontinuity: is_torn,
            tracks,
        });
    }
}

fn nanos(ticks: u64, timescale: u32) -> i64 {
    Time::from_ticks(i64::try_from(ticks).unwrap_or(i64::MAX), timescale).nanos()
}
