//! The movie of a span of time: samples of several files, one after the other, as one ordinary MP4 whose movie box comes first.
//! Nothing is copied: the clip says which pieces of which files follow its own first bytes.

use super::{
    movie::{TrackHead, movie},
    table::{Placed, SampleTable},
};
use crate::media::{mp4::box_writer::words, track::MediaKind};
use bytes::Bytes;

/// Most samples of a clip, which bounds the memory of its tables: a day of video and audio.
const MAX_SAMPLES: usize = 10_000_000;

/// A part of a file, in nanoseconds of its own time.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Not before this, but for what the first frame needs.
    pub from: i64,
    /// Before this.
    pub to: i64,
}

/// A file and what is wanted of it.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its tracks.
    pub tracks: &'a [(TrackHead, SampleTable)],
    /// What is wanted.
    pub cut: Cut,
    /// How long after the begin of the file before it begins, in nanoseconds, if it continues that one. It follows the end of that one
    /// otherwise.
    pub after: Option<i64>,
}

/// Bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The number of the file.
    pub file: usize,
    /// Where.
    pub at: u64,
    /// How many.
    pub length: u64,
}

/// What a range of a clip is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Own(Bytes),
    /// Bytes of a file.
    File(Extent),
}

/// A movie whose media lies in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clip {
    front: Bytes,
    extents: Vec<Extent>,
    /// Where each extent begins in the clip.
    begins: Vec<u64>,
    length: u64,
    used: usize,
    duration: u64,
    /// The file that it begins in, and where, in nanoseconds of that file.
    begin: (usize, i64),
}

/// Makes a clip of one file after the other, so that the tables of one file only are in memory beside those of the clip.
#[derive(Debug, Default)]
pub struct ClipBuilder {
    heads: Vec<TrackHead>,
    tables: Vec<SampleTable>,
    extents: Vec<Extent>,
    /// Bytes of media so far.
    length: u64,
    /// Files so far.
    used: usize,
    /// Nanoseconds of the clip at which the last file began.
    begin: Option<i64>,
    /// Nanoseconds of the clip at which the next file may begin.
    next: i64,
    lead: Option<(usize, i64)>,
}

impl ClipBuilder {
    /// Appends what is wanted of the next file. `false`, without a change, when its tracks are others: the clip ends there.
    ///
    /// # Errors
    /// When the clip would have more samples than fit.
    pub fn add(&mut self, source: &Source<'_>) -> Result<bool, TooLong> {
        if self.used == 0 {
            self.heads = source.tracks.iter().map(|(head, _)| head.clone()).collect();
            self.tables = source.tracks.iter().map(|_| SampleTable::default()).collect();
        }
        let continues = |(head, (other, _)): (&TrackHead, &(TrackHead, SampleTable))| head.continues(other);
        if source.tracks.len() != self.heads.len() || !self.heads.iter().zip(source.tracks).all(continues) {
            return Ok(false);
        }
        let file = self.used;
        self.used += 1;
        let Some((from, to)) = span(source) else { return Ok(true) };
        self.lead.get_or_insert((file, from));
        let continued = self.begin.zip(source.after).map(|(begin, after)| begin.saturating_add(after));
        let base = continued.unwrap_or(self.next - from);
        self.begin = Some(base);
        let is_whole = |(head, table): &(TrackHead, SampleTable)| {
            from <= 0 && i64::try_from(table.end()).is_ok_and(|end| end <= ticks(to, head.timescale))
        };
        match source.tracks.iter().all(is_whole) {
            true => self.append_whole(file, source, base),
            false => self.append_some(file, source, base, (from, to)),
        }
        let ends = self.heads.iter().zip(&self.tables).map(|(head, table)| nanos(table.end(), head.timescale));
        self.next = ends.max().unwrap_or(0).max(self.next);
        let samples: usize = self.tables.iter().map(SampleTable::len).sum();
        if samples > MAX_SAMPLES { Err(TooLong) } else { Ok(true) }
    }

    /// The place in the clip of bytes of a file, which follow those so far.
    fn place(&mut self, file: usize, at: u64, size: u64) -> u64 {
        match self.extents.last_mut() {
            Some(Extent { file: last, at: begin, length }) if *last == file && *begin + *length == at => {
                *length += size
            }
            _ => self.extents.push(Extent { file, at, length: size }),
        }
        let at = self.length;
        self.length += size;
        at
    }

    /// All of a file: its tables, a chunk at a time.
    fn append_whole(&mut self, file: usize, source: &Source<'_>, base: i64) {
        let chunks = source.tracks.iter().enumerate();
        let mut chunks: Vec<_> =
            chunks.flat_map(|(track, (_, table))| table.chunks().iter().map(move |chunk| (track, *chunk))).collect();
        // As they are in the file, so that what follows one another is one extent.
        chunks.sort_by_key(|(_, chunk)| chunk.at);
        let mut places = vec![Vec::new(); source.tracks.len()];
        for (track, chunk) in chunks {
            let place = self.place(file, chunk.at, chunk.bytes());
            places.get_mut(track).into_iter().for_each(|places| places.push(place));
        }
        for (((head, table), places), own) in source.tracks.iter().zip(places).zip(&mut self.tables) {
            let begin = i64::try_from(table.begin()).unwrap_or(i64::MAX).saturating_add(ticks(base, head.timescale));
            own.append(table, u64::try_from(begin).unwrap_or(0), &places);
        }
    }

    /// The samples between two times of a file, in nanoseconds.
    fn append_some(&mut self, file: usize, source: &Source<'_>, base: i64, (from, to): (i64, i64)) {
        let mut placed = Vec::new();
        for (track, (head, table)) in source.tracks.iter().enumerate() {
            let scale = |nanos: i64| ticks(nanos, head.timescale);
            let moved = scale(base);
            let (begin, stop) = (scale(from), scale(to));
            let wanted = table.samples().filter(|sample| {
                let decode = i64::try_from(sample.decode).unwrap_or(i64::MAX);
                decode >= begin && decode < stop
            });
            for sample in wanted {
                let decode = i64::try_from(sample.decode).unwrap_or(i64::MAX).saturating_add(moved);
                placed.push((track, Placed { decode: u64::try_from(decode).unwrap_or(0), ..sample }));
            }
        }
        placed.sort_by_key(|(_, sample)| sample.at);
        for (track, sample) in placed {
            let at = self.place(file, sample.at, sample.size.into());
            self.tables.get_mut(track).into_iter().for_each(|table| table.push(Placed { at, ..sample }));
        }
    }

    /// The clip; `None` when it has no samples. `created` is in seconds since 1970.
    pub fn finish(self, created: u64) -> Option<Clip> {
        let tracks: Vec<_> = self.heads.iter().zip(&self.tables).filter(|(_, table)| !table.is_empty()).collect();
        let clip = (!tracks.is_empty()).then(|| Clip::of(&tracks, created, self.extents, self.used))?;
        Some(Clip { begin: self.lead.unwrap_or_default(), ..clip })
    }
}

/// More samples than a clip may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a clip has at most {MAX_SAMPLES} samples")]
pub struct TooLong;

impl Clip {
    /// The clip of these parts of files, as [`ClipBuilder`] makes it.
    #[cfg(test)]
    pub(super) fn new(sources: &[Source<'_>], created: u64) -> Option<Self> {
        let mut builder = ClipBuilder::default();
        for source in sources {
            if !builder.add(source).ok()? {
                break;
            }
        }
        builder.finish(created)
    }

    /// A file of so many bytes, as it is.
    pub fn whole(length: u64) -> Self {
        let extents = vec![Extent { file: 0, at: 0, length }];
        Self { front: Bytes::new(), extents, begins: vec![0], length, used: 1, duration: 0, begin: (0, 0) }
    }

    /// The movie of these tables, whose samples lie one after the other in `extents`.
    pub(super) fn of(tracks: &[(&TrackHead, &SampleTable)], created: u64, extents: Vec<Extent>, used: usize) -> Self {
        let length: u64 = extents.iter().map(|extent| extent.length).sum();
        let duration = tracks.iter().map(|(head, table)| nanos(table.end(), head.timescale)).max().unwrap_or(0);
        let front = front(tracks, created, length);
        let mut begin = front.len() as u64;
        let begins = extents.iter().map(|extent| {
            let at = begin;
            begin += extent.length;
            at
        });
        let begins = begins.collect();
        let duration = u64::try_from(duration).unwrap_or(0);
        Self {
            length: front.len() as u64 + length,
            front: front.into(),
            extents,
            begins,
            used,
            duration,
            begin: (0, 0),
        }
    }

    /// Bytes of the whole clip.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Its first bytes, which have the movie box; empty for a file as it is.
    pub fn front(&self) -> &Bytes {
        &self.front
    }

    /// How many of the files are in it.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Nanoseconds from the first frame to the end.
    pub fn duration(&self) -> u64 {
        self.duration
    }

    /// The number of the file that it begins in, and where, in nanoseconds of that file: at a keyframe.
    pub fn begin(&self) -> (usize, i64) {
        self.begin
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        self.front.len() + self.extents.len() * (size_of::<Extent>() + size_of::<u64>())
    }

    /// What the bytes from `at` on are made of, at most `most` of them; `None` at the end.
    pub fn piece(&self, at: u64, most: u64) -> Option<Piece> {
        if at >= self.length {
            return None;
        }
        let front = self.front.len() as u64;
        if at < front {
            let (from, to) = (at as usize, (at + most).min(front) as usize);
            return Some(Piece::Own(self.front.slice(from..to)));
        }
        let number = self.begins.partition_point(|begin| *begin <= at).checked_sub(1)?;
        let (extent, begin) = (self.extents.get(number)?, self.begins.get(number)?);
        let skipped = at - begin;
        let length = (extent.length - skipped).min(most);
        Some(Piece::File(Extent { file: extent.file, at: extent.at + skipped, length }))
    }
}

/// From the keyframe at or before the begin of the cut, to its end, in nanoseconds of the file.
fn span(source: &Source<'_>) -> Option<(i64, i64)> {
    let Cut { from, to } = source.cut;
    let lead = source.tracks.iter().find(|(head, _)| head.kind == MediaKind::Video).or(source.tracks.first())?;
    let (head, table) = lead;
    if nanos(table.end(), head.timescale) <= from {
        return None;
    }
    let mut key = None;
    for sample in table.samples().filter(|sample| sample.is_sync) {
        let at = nanos(sample.decode, head.timescale);
        if at > from && key.is_some() {
            break;
        }
        key = Some(at);
    }
    let key = key.filter(|key| *key < to)?;
    // What leads is what all tracks begin with, and where the first file begins all do.
    let is_begin = from <= 0;
    Some((if is_begin { 0 } else { key }, to))
}

/// `ftyp`, the movie box, and the head of the media.
fn front(tracks: &[(&TrackHead, &SampleTable)], created: u64, media: u64) -> Vec<u8> {
    let kind = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso6mp41";
    let head_of_media = 16;
    // The length of a movie box does not depend on the places in it.
    let moved = (kind.len() + movie(tracks, created, 0).len() + head_of_media) as u64;
    let mut out = Vec::with_capacity(usize::try_from(moved).unwrap_or(0));
    out.extend_from_slice(kind);
    if let Some(length) = out.get_mut(..4) {
        length.copy_from_slice(&(kind.len() as u32).to_be_bytes());
    }
    out.extend(movie(tracks, created, moved));
    words(&mut out, &[1, u32::from_be_bytes(*b"mdat")]);
    out.extend_from_slice(&(media + head_of_media as u64).to_be_bytes());
    out
}

fn ticks(nanos: i64, timescale: u32) -> i64 {
    let ticks = (i128::from(nanos) * i128::from(timescale) + 500_000_000).div_euclid(1_000_000_000);
    i64::try_from(ticks).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

pub(super) fn nanos(ticks: u64, timescale: u32) -> i64 {
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(timescale.max(1));
    i64::try_from(nanos).unwrap_or(i64::MAX)
}
