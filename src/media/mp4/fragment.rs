//! What the movie says of its tracks, and a fragment of its first sample.

use super::boxes::{all, find, number};

/// Most tracks that are known.
const MAX_TRACKS: usize = 16;

/// A track of a movie in fragments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Track {
    pub(super) id: u32,
    pub(super) is_video: bool,
    /// Ticks a second.
    pub(super) timescale: u32,
    /// Flags of samples that say nothing else.
    flags: u32,
}

/// The tracks of a movie (`moov`); none if it is not in fragments.
pub(super) fn tracks(moov: &[u8]) -> Vec<Track> {
    let Some(extends) = find(moov, b"mvex") else { return Vec::new() };
    let defaults =
        |id| all(extends, b"trex").find(|trex| number(trex, 4) == Some(id)).and_then(|trex| number(trex, 20));
    let track = |trak| {
        let (id, timescale) = (id(trak)?, timescale(trak)?);
        let is_video = find(find(trak, b"mdia")?, b"hdlr")?.get(8..12)? == b"vide";
        Some(Track { id, is_video, timescale, flags: defaults(id).unwrap_or_default() })
    };
    all(moov, b"trak").filter_map(track).take(MAX_TRACKS).collect()
}

/// The number of a track (`trak`).
pub(super) fn id(trak: &[u8]) -> Option<u32> {
    behind_times(find(trak, b"tkhd")?)
}

/// The ticks a second of a track (`trak`).
pub(super) fn timescale(trak: &[u8]) -> Option<u32> {
    behind_times(find(find(trak, b"mdia")?, b"mdhd")?)
}

/// The number after two times, which have 32 bits, or 64 in version 1.
fn behind_times(body: &[u8]) -> Option<u32> {
    number(body, if body.first() == Some(&1) { 20 } else { 12 })
}

/// Whether a reader may begin with this fragment (`moof`) of these tracks.
pub(super) fn is_key(moof: &[u8], tracks: &[Track]) -> bool {
    let has_pictures = tracks.iter().any(|track| track.is_video);
    all(moof, b"traf").any(|traf| {
        let Some((track, head)) = track_of(traf, tracks) else { return false };
        !has_pictures || (track.is_video && begins_in_sync(traf, head, track).unwrap_or(false))
    })
}

/// The track of a part of a fragment, and that part's header.
pub(super) fn track_of<'a>(traf: &'a [u8], tracks: &'a [Track]) -> Option<(&'a Track, &'a [u8])> {
    let head = find(traf, b"tfhd")?;
    let id = number(head, 4)?;
    Some((tracks.iter().find(|track| track.id == id)?, head))
}

/// Whether the first sample can be decoded without others (sections 8.8.3.1, 8.8.7 and 8.8.8); `None` without samples.
fn begins_in_sync(traf: &[u8], head: &[u8], track: &Track) -> Option<bool> {
    const IS_NON_SYNC: u32 = 1 << 16;
    let has = number(head, 0)?;
    // Offset of the data, description, duration and size stand before the flags.
    let default = if has & 0x20 != 0 {
        number(head, 8 + fields(has, &[(1, 8), (2, 4), (8, 4), (0x10, 4)]))?
    } else {
        track.flags
    };
    let run = find(traf, b"trun")?;
    let (has, samples) = (number(run, 0)?, number(run, 4)?);
    if samples == 0 {
        return None;
    }
    let offset = 8 + fields(has, &[(1, 4)]);
    let flags = match (has & 4 != 0, has & 0x400 != 0) {
        (true, _) => number(run, offset)?,
        // Duration and size of the sample stand before them.
        (false, true) => number(run, offset + fields(has, &[(0x100, 4), (0x200, 4)]))?,
        (false, false) => default,
    };
    Some(flags & IS_NON_SYNC == 0)
}

/// Length of those of these fields that are there.
fn fields(has: u32, fields: &[(u32, usize)]) -> usize {
    fields.iter().filter(|(flag, _)| has & flag != 0).map(|(_, length)| length).sum()
}
