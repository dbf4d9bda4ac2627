//! What the movie box says of its tracks (sections 8.2 to 8.8).

use super::super::boxes::{all, find, number};
use super::super::fragment::{id, timescale};
use super::{
    description::{self, Description},
    table::Table,
};

/// Most tracks that are read: video and audio in some languages. [`TrackId`](crate::media::TrackId) has room for no more than 256.
const MAX_TRACKS: usize = 32;

/// What samples are that say nothing else (sections 8.8.3 and 8.8.7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Defaults {
    /// In ticks.
    pub(super) duration: u32,
    /// In bytes.
    pub(super) size: u32,
    /// See section 8.8.3.1.
    pub(super) flags: u32,
}

/// A track that can be read.
#[derive(Debug)]
pub(super) struct Track {
    /// `track_ID`.
    pub(super) number: u32,
    /// Ticks a second.
    pub(super) timescale: u32,
    pub(super) description: Description,
    /// What is added to all times, in ticks.
    pub(super) offset: i64,
    pub(super) defaults: Defaults,
    /// Its samples, if these are not in fragments.
    pub(super) table: Option<Table>,
}

/// A movie.
#[derive(Debug, Default)]
pub(super) struct Movie {
    pub(super) tracks: Vec<Track>,
    /// The tracks that cannot be read, and why not.
    pub(super) unsupported: Vec<String>,
}

impl Movie {
    /// What a movie box says.
    pub(super) fn parse(moov: &[u8]) -> Self {
        let mut movie = Self::default();
        let movie_timescale = find(moov, b"mvhd").and_then(behind_times).filter(|scale| *scale > 0).unwrap_or(1);
        for trak in all(moov, b"trak").take(MAX_TRACKS) {
            let Some((number, timescale)) = id(trak).zip(timescale(trak)) else { continue };
            let Some(media) = find(trak, b"mdia") else { continue };
            let Some(stbl) = find(media, b"minf").and_then(|minf| find(minf, b"stbl")) else { continue };
            let handler = find(media, b"hdlr").and_then(|hdlr| hdlr.get(8..12)?.first_chunk().copied());
            let description = match description::read(handler.unwrap_or_default(), stbl) {
                Ok(description) => description,
                Err(unsupported) => {
                    movie.unsupported.extend(unsupported.map(|what| format!("track {number}: {what}")));
                    continue;
                }
            };
            let timescale = timescale.max(1);
            movie.tracks.push(Track {
                number,
                timescale,
                description,
                offset: edit(trak, movie_timescale, timescale).unwrap_or(0),
                defaults: defaults(moov, number).unwrap_or_default(),
                table: Table::parse(stbl),
            });
        }
        movie
    }
}

/// The number after two times, which have 32 bits, or 64 in version 1.
fn behind_times(body: &[u8]) -> Option<u32> {
    number(body, if body.first() == Some(&1) { 20 } else { 12 })
}

fn defaults(moov: &[u8], id: u32) -> Option<Defaults> {
    let trex = all(find(moov, b"mvex")?, b"trex").find(|trex| number(trex, 4) == Some(id))?;
    Some(Defaults { duration: number(trex, 12)?, size: number(trex, 16)?, flags: number(trex, 20)? })
}

/// How an edit list moves a track, in ticks of its own (section 8.6.6): empty edits, then one that says where its media
/// begins. What follows is skipped: only players can go back and forth.
fn edit(trak: &[u8], movie_timescale: u32, timescale: u32) -> Option<i64> {
    let list = find(find(trak, b"edts")?, b"elst")?;
    let is_wide = list.first() == Some(&1);
    let length = if is_wide { 20 } else { 12 };
    let mut empty: i128 = 0;
    for entry in list.get(8..)?.chunks_exact(length) {
        let (duration, begin) = match is_wide {
            true => (u64::from_be_bytes(*entry.first_chunk()?), i64::from_be_bytes(*entry.get(8..)?.first_chunk()?)),
            false => (
                u32::from_be_bytes(*entry.first_chunk()?).into(),
                i32::from_be_bytes(*entry.get(4..)?.first_chunk()?).into(),
            ),
        };
        if begin >= 0 {
            let empty = empty * i128::from(timescale) / i128::from(movie_timescale);
            return i64::try_from(empty - i128::from(begin)).ok();
        }
        empty += i128::from(duration);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::super::box_writer::{words, write, write_full};
    use super::*;

    #[test]
    fn edit_lists_say_where_media_begins() {
        let edits = |entries: &[(u32, i32)]| {
            let mut trak = Vec::new();
            write(b"edts", &mut trak, |out| {
                write_full(b"elst", 0, 0, out, |out| {
                    words(out, &[entries.len() as u32]);
                    entries.iter().for_each(|(duration, begin)| words(out, &[*duration, *begin as u32, 0x1_0000]));
                });
            });
            edit(&trak, 1000, 48_000)
        };
        assert_eq!(edits(&[(5000, 1024)]), Some(-1024));
        assert_eq!(edits(&[(250, -1), (5000, 0)]), Some(12_000));
        assert_eq!(edits(&[(250, -1), (250, -1), (5000, 100), (9, 5000)]), Some(23_900));
        assert_eq!((edits(&[]), edit(b"", 1, 1)), (None, None));
    }
}
