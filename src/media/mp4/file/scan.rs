//! Reads a file of [`FileWriter`](super::FileWriter) back, finished or torn, from its fragments.

use super::{
    movie::{TrackHead, movie},
    table::{Placed, SampleTable},
    writer::{Finish, ROOM, cover},
};
use crate::media::mp4::{
    boxes::{all, find, head, number},
    front::SYNC,
};

/// Longest header and longest `moof` that are believed.
const MAX_BOX: u64 = 64 << 20;
/// What is read to see which box comes next.
const HEAD: usize = 16;
/// Bytes that a box has at least: its length and its kind.
const SHORTEST_HEAD: usize = 8;
/// Most samples of one file: two weeks of video and audio.
const MAX_SAMPLES: usize = 100_000_000;
/// Bytes of a sample in a `trun` of ours, and of what is before them.
const ENTRY: usize = 16;
const RUN_HEAD: usize = 12;
/// The flags of a `trun` of ours, with its version.
const RUN: u32 = 0x0100_0f01;

/// What a file has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedFile {
    /// Each track with its samples.
    pub tracks: Vec<(TrackHead, SampleTable)>,
    /// Where its last whole fragment ends. What is after that is torn, or the movie box of a finished file.
    pub end: u64,
    /// It is an ordinary movie already.
    pub is_finished: bool,
    /// The header of its fragments.
    pub header: Vec<u8>,
    room: u64,
}

impl ScannedFile {
    /// Where its first fragment begins.
    pub fn fragments_at(&self) -> u64 {
        (self.header.len() + ROOM) as u64
    }
}

/// Why a file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no recording of voyandz, or it is damaged at byte {at}")]
pub struct NotOurs {
    /// Where.
    pub at: u64,
}

/// Reads the file of `length` bytes; `read` returns as many bytes from a place, or fewer at the end, or nothing if they cannot be read.
///
/// # Errors
/// When it does not begin as the files of [`FileWriter`](super::FileWriter) do.
pub fn scan(length: u64, mut read: impl FnMut(u64, usize) -> Option<Vec<u8>>) -> Result<ScannedFile, NotOurs> {
    let mut box_at = |at: u64, whole: bool| -> Option<([u8; 4], u64, Vec<u8>)> {
        let front = read(at, HEAD)?;
        let found = head(&front)?;
        let size = found.length as u64;
        let body = match whole && size <= MAX_BOX && at + size <= length {
            true => read(at, found.length).filter(|bytes| bytes.len() == found.length)?,
            false => Vec::new(),
        };
        Some((found.kind, size, body))
    };
    let ours = |at: u64| NotOurs { at };
    let (kind, room, mut header) = box_at(0, true).ok_or(ours(0))?;
    if &kind != b"ftyp" {
        return Err(ours(0));
    }
    let (kind, size, _) = box_at(room, false).ok_or(ours(room))?;
    let is_finished = match &kind {
        b"free" if size == ROOM as u64 => false,
        b"mdat" => true,
        _ => return Err(ours(room)),
    };
    // A file whose head says more than there is was cut off afterwards.
    let is_finished = is_finished && room + size < length;
    let at = room + ROOM as u64;
    let (kind, size, moov) = box_at(at, true).ok_or(ours(at))?;
    let heads = find(&moov, b"moov").map(TrackHead::all_of).unwrap_or_default();
    if &kind != b"moov" || heads.is_empty() {
        return Err(ours(at));
    }
    header.extend_from_slice(&moov);
    let mut tracks: Vec<_> = heads.into_iter().map(|head| (head, SampleTable::default())).collect();
    let mut end = at + size;
    let mut samples = 0;
    while let Some((_, size, moof)) = box_at(end, true).filter(|(kind, ..)| kind == b"moof") {
        let data = end + size;
        let Some((_, data_size, _)) = box_at(data, false).filter(|(kind, ..)| kind == b"mdat") else { break };
        let next = data + data_size;
        let Some(body) = find(&moof, b"moof") else { break };
        if next > length || samples > MAX_SAMPLES {
            break;
        }
        let Some(found) = runs(body, end, next) else { break };
        for (number, placed) in found {
            let Some((_, table)) = tracks.iter_mut().find(|(head, _)| head.number == number) else { continue };
            samples += placed.len();
            placed.into_iter().for_each(|sample| table.push(sample));
        }
        end = next;
    }
    Ok(ScannedFile { tracks, end, is_finished, header, room })
}

/// Whether a file of `length` bytes has its whole header. One that lacks it is about to be written, or not long enough; one of somebody
/// else counts as whole, for [`scan`] to refuse. `read` is as there.
pub fn has_header(length: u64, mut read: impl FnMut(u64, usize) -> Option<Vec<u8>>) -> bool {
    let mut at = 0;
    while let Some(front) = read(at, HEAD).filter(|front| front.len() >= SHORTEST_HEAD) {
        let Some(found) = head(&front) else { return true };
        let end = at.saturating_add(found.length as u64);
        if &found.kind == b"moov" {
            return end <= length;
        }
        if !matches!(&found.kind, b"ftyp" | b"free" | b"mdat") {
            return true;
        }
        at = end;
    }
    false
}

/// The samples of a fragment (the body of its `moof`) at `at`, whose data ends at `end`.
fn runs(moof: &[u8], at: u64, end: u64) -> Option<Vec<(u32, Vec<Placed>)>> {
    let mut found = Vec::new();
    for traf in all(moof, b"traf") {
        let track = number(find(traf, b"tfhd")?, 4)?;
        let begin = find(traf, b"tfdt")?.get(4..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))?;
        let run = find(traf, b"trun")?;
        if number(run, 0) != Some(RUN) {
            return None;
        }
        let (count, offset) = (number(run, 4)? as usize, number(run, 8)?);
        let entries = run.get(RUN_HEAD..)?;
        if entries.len() != count.checked_mul(ENTRY)? {
            return None;
        }
        let (mut decode, mut place) = (begin, at + u64::from(offset));
        let mut samples = Vec::with_capacity(count);
        for entry in entries.chunks_exact(ENTRY) {
            let (duration, size) = (number(entry, 0)?, number(entry, 4)?);
            let offset = i32::from_be_bytes(number(entry, 12)?.to_be_bytes());
            let is_sync = number(entry, 8)? == SYNC;
            samples.push(Placed { decode, offset, duration, size, is_sync, at: place });
            decode = decode.checked_add(duration.into())?;
            place += u64::from(size);
        }
        if place > end {
            return None;
        }
        found.push((track, samples));
    }
    Some(found)
}

/// What makes a file that was left unfinished an ordinary movie, if it is cut off at [`ScannedFile::end`] before; `created` is in
/// seconds since 1970. `None` if it has no samples.
pub fn finish(file: &ScannedFile, created: u64) -> Option<Finish> {
    let tracks: Vec<_> = file.tracks.iter().filter(|(_, table)| !table.is_empty()).collect();
    let tracks: Vec<_> = tracks.iter().map(|(head, table)| (head, table)).collect();
    (!tracks.is_empty())
        .then(|| Finish { tail: movie(&tracks, created, 0), patch: (file.room, cover(file.end - file.room)) })
}
