//! The movie box of a file whose samples are listed in tables (sections 8.2 to 8.7).

use super::table::SampleTable;
use crate::media::{
    mp4::{
        box_writer::{halves, words, write, write_full},
        boxes::{Boxes, all, find, number},
        fragment, header,
    },
    track::MediaKind,
};
use bytes::Bytes;

/// Ticks a second of the movie: those of video, so that nothing is rounded there.
const MOVIE_TICKS: u32 = 90_000;
/// Seconds from 1904, where times of this format begin, to 1970.
const EPOCH: u64 = 2_082_844_800;

/// What a header says of one track, without its samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackHead {
    /// `track_ID`.
    pub number: u32,
    /// Whether it is seen or heard.
    pub kind: MediaKind,
    /// Ticks a second.
    pub timescale: u32,
    /// Width and height of `tkhd`, with 16 bits after the point.
    size: [u32; 2],
    /// The body of `stsd`: how it is coded.
    pub entry: Bytes,
}

impl TrackHead {
    /// The tracks of a movie box (its body).
    pub(super) fn all_of(moov: &[u8]) -> Vec<Self> {
        all(moov, b"trak").filter_map(Self::of).collect()
    }

    /// The tracks of a header that begins with `ftyp`.
    pub fn of_header(header: &[u8]) -> Vec<Self> {
        find(header, b"moov").map(Self::all_of).unwrap_or_default()
    }

    fn of(trak: &[u8]) -> Option<Self> {
        let media = find(trak, b"mdia")?;
        let kind = match find(media, b"hdlr")?.get(8..12)? {
            b"vide" => MediaKind::Video,
            b"soun" => MediaKind::Audio,
            _ => return None,
        };
        let tkhd = find(trak, b"tkhd")?;
        let size_at = tkhd.len().checked_sub(8)?;
        Some(Self {
            number: fragment::id(trak)?,
            kind,
            timescale: fragment::timescale(trak).filter(|scale| *scale > 0)?,
            size: [number(tkhd, size_at)?, number(tkhd, size_at + 4)?],
            entry: Bytes::copy_from_slice(find(find(find(media, b"minf")?, b"stbl")?, b"stsd")?),
        })
    }

    /// Whether samples of both can follow one another in one track.
    pub fn continues(&self, other: &Self) -> bool {
        (self.kind, self.timescale, &self.entry) == (other.kind, other.timescale, &other.entry)
    }
}

/// The movie box of these tracks. `created` is in seconds since 1970; `moved` is added to the places of all samples.
pub(super) fn movie(tracks: &[(&TrackHead, &SampleTable)], created: u64, moved: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let length = |(head, table): &(&TrackHead, &SampleTable)| to_movie(table.end(), head.timescale);
    let duration = tracks.iter().map(length).max().unwrap_or(0);
    let times = |out: &mut Vec<u8>| {
        let created = created.saturating_add(EPOCH).to_be_bytes();
        out.extend_from_slice(&created);
        out.extend_from_slice(&created);
    };
    write(b"moov", &mut out, |out| {
        write_full(b"mvhd", 1, 0, out, |out| {
            times(out);
            words(out, &[MOVIE_TICKS]);
            out.extend_from_slice(&duration.to_be_bytes());
            words(out, &[0x1_0000]);
            halves(out, &[0x100, 0]);
            words(out, &[0, 0]);
            words(out, &header::UNITY);
            words(out, &[0; 6]);
            words(out, &[tracks.iter().map(|(head, _)| head.number + 1).max().unwrap_or(1)]);
        });
        for (head, table) in tracks {
            write(b"trak", out, |out| {
                write_full(b"tkhd", 1, 3, out, |out| {
                    times(out);
                    words(out, &[head.number, 0]);
                    out.extend_from_slice(&to_movie(table.end(), head.timescale).to_be_bytes());
                    words(out, &[0, 0]);
                    halves(out, &[0, 0, if head.kind == MediaKind::Audio { 0x100 } else { 0 }, 0]);
                    words(out, &header::UNITY);
                    words(out, &head.size);
                });
                edits(head, table, out);
                media(head, table, moved, &times, out);
            });
        }
    });
    out
}

/// A track that begins later than the movie is preceded by nothing for so long (section 8.6.6).
fn edits(head: &TrackHead, table: &SampleTable, out: &mut Vec<u8>) {
    let pause = to_movie(table.begin(), head.timescale);
    if pause == 0 {
        return;
    }
    let length = to_movie(table.end() - table.begin(), head.timescale);
    write(b"edts", out, |out| {
        write_full(b"elst", 1, 0, out, |out| {
            words(out, &[2]);
            out.extend_from_slice(&pause.to_be_bytes());
            out.extend_from_slice(&(-1i64).to_be_bytes());
            words(out, &[0x1_0000]);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(&0i64.to_be_bytes());
            words(out, &[0x1_0000]);
        });
    });
}

fn media(head: &TrackHead, table: &SampleTable, moved: u64, times: &impl Fn(&mut Vec<u8>), out: &mut Vec<u8>) {
    write(b"mdia", out, |out| {
        write_full(b"mdhd", 1, 0, out, |out| {
            times(out);
            words(out, &[head.timescale]);
            out.extend_from_slice(&(table.end() - table.begin()).to_be_bytes());
            halves(out, &[header::UNDETERMINED, 0]);
        });
        write_full(b"hdlr", 0, 0, out, |out| {
            let handler = if head.kind == MediaKind::Video { *b"vide" } else { *b"soun" };
            words(out, &[0, u32::from_be_bytes(handler), 0, 0, 0]);
            out.push(0);
        });
        write(b"minf", out, |out| {
            match head.kind {
                MediaKind::Video => write_full(b"vmhd", 0, 1, out, |out| words(out, &[0, 0])),
                MediaKind::Audio => write_full(b"smhd", 0, 0, out, |out| words(out, &[0])),
            }
            write(b"dinf", out, |out| {
                write_full(b"dref", 0, 0, out, |out| {
                    words(out, &[1]);
                    write_full(b"url ", 0, 1, out, |_| {});
                });
            });
            write(b"stbl", out, |out| tables(head, table, moved, out));
        });
    });
}

fn tables(head: &TrackHead, table: &SampleTable, moved: u64, out: &mut Vec<u8>) {
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    write(b"stsd", out, |out| out.extend_from_slice(&head.entry));
    write_full(b"stts", 0, 0, out, |out| {
        words(out, &[count(table.durations().len())]);
        table.durations().iter().for_each(|(samples, duration)| words(out, &[*samples, *duration]));
    });
    if table.offsets().iter().any(|(_, offset)| *offset != 0) {
        write_full(b"ctts", 1, 0, out, |out| {
            words(out, &[count(table.offsets().len())]);
            for (samples, offset) in table.offsets() {
                words(out, &[*samples, u32::from_be_bytes(offset.to_be_bytes())]);
            }
        });
    }
    if let Some(sync) = table.sync_samples() {
        write_full(b"stss", 0, 0, out, |out| {
            words(out, &[count(sync.len())]);
            words(out, &sync);
        });
    }
    write_full(b"stsz", 0, 0, out, |out| {
        words(out, &[0, count(table.len())]);
        table.sizes().for_each(|size| words(out, &[size]));
    });
    write_full(b"stsc", 0, 0, out, |out| {
        let mut runs: Vec<[u32; 3]> = Vec::new();
        for (number, chunk) in (1..).zip(table.chunks()) {
            if runs.last().is_none_or(|[_, samples, _]| *samples != chunk.samples) {
                runs.push([number, chunk.samples, 1]);
            }
        }
        words(out, &[count(runs.len())]);
        runs.iter().for_each(|run| words(out, run));
    });
    write_full(b"co64", 0, 0, out, |out| {
        words(out, &[count(table.chunks().len())]);
        table.chunks().iter().for_each(|chunk| out.extend_from_slice(&(chunk.at + moved).to_be_bytes()));
    });
}

fn to_movie(ticks: u64, timescale: u32) -> u64 {
    let scale = u128::from(timescale.max(1));
    let ticks = (u128::from(ticks) * u128::from(MOVIE_TICKS) + scale / 2) / scale;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// A header like `header` whose movie box has this time of creation, in seconds since 1970, as far as its 32 bits reach.
pub(super) fn with_creation(header: &[u8], created: u64) -> Vec<u8> {
    let seconds = u32::try_from(created.saturating_add(EPOCH)).unwrap_or(0);
    let mut out = Vec::with_capacity(header.len());
    for (kind, body) in Boxes(header) {
        write(kind, &mut out, |out| match kind {
            b"moov" => {
                for (kind, body) in Boxes(body) {
                    write(kind, out, |out| match (kind, body.get(..4), body.get(12..)) {
                        (b"mvhd", Some(version), Some(rest)) => {
                            out.extend_from_slice(version);
                            words(out, &[seconds, seconds]);
                            out.extend_from_slice(rest);
                        }
                        _ => out.extend_from_slice(body),
                    });
                }
            }
            _ => out.extend_from_slice(body),
        });
    }
    out
}
