//! Reads back a file that [`FileWriter`](super::FileWriter) wrote, whether it was finished or not.

use super::{
    codecs::is_key,
    header::chunk,
    writer::{index, name},
};

/// Longest header: two tracks have some hundred bytes.
const MAX_HEADER: usize = 16 << 10;
/// Bytes of a chunk that say whether it is a keyframe, after its name and length.
const BEGIN: usize = 16;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedFile {
    /// It has its index.
    pub is_finished: bool,
    /// Where its last whole chunk ends.
    pub end: u64,
    /// Microseconds of its longest track.
    pub duration: u64,
    /// What finishes it: the index, to be appended at `end`.
    pub tail: Vec<u8>,
    /// And numbers, to be overwritten after that.
    pub patches: Vec<(u64, [u8; 4])>,
}

struct Track {
    kind: [u8; 4],
    code: [u8; 4],
    is_video: bool,
    scale: u32,
    rate: u32,
    unit: u32,
    units: u64,
    /// Where the number of its units is.
    count_at: u64,
}

/// Reads a file of `length` bytes; `read` returns so many bytes from there, or fewer at the end. `None` when it is no file of ours, or
/// has no media.
pub fn scan(length: u64, mut read: impl FnMut(u64, usize) -> Option<Vec<u8>>) -> Option<ScannedFile> {
    let front = read(0, MAX_HEADER)?;
    if front.get(..4)? != b"RIFF" || front.get(8..12)? != b"AVI " {
        return None;
    }
    let is_finished = word(&front, 4)? != 0;
    let (mut at, mut tracks, mut total_at) = (12, Vec::new(), None);
    let movi = loop {
        let (kind, size) = (front.get(at..at + 4)?, word(&front, at + 4)? as usize);
        match (kind, front.get(at + 8..at + 12)?) {
            (b"LIST", b"movi") => break at + 8,
            // What is in them follows.
            (b"LIST", b"hdrl" | b"strl") => at += 12,
            (b"avih", _) => {
                total_at = Some(at as u64 + 8 + 16);
                at += 8 + size;
            }
            (b"strh", _) => {
                tracks.push(track(&front, at + 8, tracks.len())?);
                at += 8 + size;
            }
            _ => at += 8 + size + size % 2,
        }
    };
    let (movi, mut at, mut entries) = (movi as u64, movi as u64 + 4, Vec::new());
    while let Some(head) = read(at, 8 + BEGIN) {
        let (Some(kind), Some(size)) = (head.get(..4), word(&head, 4)) else { break };
        let Some(track) = tracks.iter_mut().find(|track| track.kind == *kind) else { break };
        let next = at + 8 + u64::from(size) + u64::from(size % 2);
        if next > length {
            break;
        }
        let begin = head.get(8..).unwrap_or_default();
        let begin = begin.get(..begin.len().min(size as usize)).unwrap_or_default();
        let is_sync = size > 0 && (!track.is_video || is_key(track.code, begin));
        index(&mut entries, track.kind, is_sync, at - movi, size as usize);
        track.units += u64::from(size).checked_div(u64::from(track.unit)).unwrap_or(1);
        at = next;
    }
    if entries.is_empty() {
        return None;
    }
    let micros = |track: &Track| track.units * u64::from(track.scale) * 1_000_000 / u64::from(track.rate.max(1));
    let duration = tracks.iter().map(micros).max().unwrap_or(0);
    let mut tail = Vec::new();
    chunk(b"idx1", &mut tail, |out| out.extend_from_slice(&entries));
    let number = |at: u64, number: u64| (at, u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
    let mut patches: Vec<_> = tracks.iter().map(|track| number(track.count_at, track.units)).collect();
    let frames = tracks.iter().find(|track| track.is_video).map_or(0, |track| track.units);
    patches.extend(total_at.map(|at| number(at, frames)));
    patches.push(number(movi - 4, at - movi));
    // The last one says that it is finished.
    patches.push(number(4, at + tail.len() as u64 - 8));
    Some(ScannedFile { is_finished, end: at, duration, tail, patches })
}

/// `AVISTREAMHEADER`.
fn track(bytes: &[u8], at: usize, place: usize) -> Option<Track> {
    let is_video = bytes.get(at..at + 4)? == b"vids";
    Some(Track {
        kind: name(place, is_video),
        code: bytes.get(at + 4..at + 8)?.try_into().ok()?,
        is_video,
        scale: word(bytes, at + 20)?,
        rate: word(bytes, at + 24)?,
        unit: word(bytes, at + 44)?,
        units: 0,
        count_at: at as u64 + 32,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
