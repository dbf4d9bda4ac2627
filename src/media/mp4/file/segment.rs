//! A file as segments of playlists: pieces from keyframe to keyframe, each a fragment of its own.

use super::{
    clip::Extent,
    fragment::{Run, front},
    movie::TrackHead,
    table::{Placed, SampleTable},
};
use crate::media::track::MediaKind;

/// A piece of a file, in nanoseconds of its own time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its keyframe; 0 for the first one, whatever comes first.
    pub from: i64,
    /// The keyframe of the next one, or the end of the file.
    pub to: i64,
}

/// The pieces of a file, each as long as `least` nanoseconds or a little longer.
pub fn spans(tracks: &[(TrackHead, SampleTable)], least: i64) -> Vec<Span> {
    let video = tracks.iter().find(|(head, table)| head.kind == MediaKind::Video && !table.is_empty());
    let Some((head, table)) = video.or(tracks.iter().find(|(_, table)| !table.is_empty())) else { return Vec::new() };
    let nanos = |ticks: u64| to_nanos(ticks, head.timescale);
    let mut spans = Vec::new();
    let mut from = 0;
    for key in table.samples().filter(|sample| sample.is_sync).map(|sample| nanos(sample.decode)) {
        if key - from >= least {
            spans.push(Span { from, to: key });
            from = key;
        }
    }
    let end = nanos(table.end());
    if end > from {
        spans.push(Span { from, to: end });
    }
    spans
}

/// A piece as a fragment: what stands in front, and the bytes of the file that follow. `is_last`: what is after the piece belongs
/// to it. Times are moved by `moved` nanoseconds. `None` when it has no samples, or too many bytes for one fragment.
pub fn segment(
    tracks: &[(TrackHead, SampleTable)],
    span: Span,
    is_last: bool,
    sequence: u32,
    moved: i64,
) -> Option<(Vec<u8>, Vec<Extent>)> {
    let (mut runs, mut extents) = (Vec::new(), Vec::<Extent>::new());
    for (head, table) in tracks {
        let ticks = |nanos: i64| {
            let ticks = (i128::from(nanos) * i128::from(head.timescale) + 500_000_000).div_euclid(1_000_000_000);
            u64::try_from(ticks).unwrap_or(0)
        };
        let (begin, end, moved) = (ticks(span.from), ticks(span.to), ticks(moved));
        let wanted = table.samples().filter(|sample| sample.decode >= begin && (is_last || sample.decode < end));
        let samples: Vec<Placed> =
            wanted.map(|sample| Placed { decode: sample.decode.saturating_add(moved), ..sample }).collect();
        if samples.is_empty() {
            continue;
        }
        let before = extents.len();
        for sample in &samples {
            let size = u64::from(sample.size);
            match extents.get_mut(before..).and_then(<[Extent]>::last_mut) {
                Some(last) if last.at + last.length == sample.at => last.length += size,
                _ => extents.push(Extent { file: 0, at: sample.at, length: size }),
            }
        }
        let length: u64 = samples.iter().map(|sample| u64::from(sample.size)).sum();
        runs.push(Run { track: head.number, samples, length: usize::try_from(length).ok()? });
    }
    if runs.is_empty() {
        return None;
    }
    let (bytes, _) = front(sequence, &runs)?;
    Some((bytes, extents))
}

/// Samples of one track as a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// When the first one is decoded, in ticks of the timeline that they were moved to.
    pub start: u64,
    /// What stands in front.
    pub front: Vec<u8>,
    /// The bytes of the file that follow.
    pub extents: Vec<Extent>,
}

/// The samples of a track that are decoded in a range of ticks, to the tick, after they are moved by `moved` nanoseconds. `None` when there are
/// none, or too many bytes for one fragment.
pub fn stretch(
    (head, table): &(TrackHead, SampleTable),
    range: std::ops::Range<u64>,
    moved: i64,
    sequence: u32,
) -> Option<Stretch> {
    let moved = (i128::from(moved) * i128::from(head.timescale) + 500_000_000).div_euclid(1_000_000_000);
    let moved = u64::try_from(moved).unwrap_or(0);
    let moved = table.samples().map(|sample| Placed { decode: sample.decode.saturating_add(moved), ..sample });
    // Two times that were rounded may be a tick away from one that was rounded as a whole.
    let samples: Vec<Placed> = moved
        .skip_while(|sample| sample.decode + 1 < range.start)
        .take_while(|sample| sample.decode + 1 < range.end)
        .collect();
    let start = samples.first()?.decode;
    let mut extents = Vec::<Extent>::new();
    for sample in &samples {
        let size = u64::from(sample.size);
        match extents.last_mut() {
            Some(last) if last.at + last.length == sample.at => last.length += size,
            _ => extents.push(Extent { file: 0, at: sample.at, length: size }),
        }
    }
    let length: u64 = samples.iter().map(|sample| u64::from(sample.size)).sum();
    let run = Run { track: head.number, samples, length: usize::try_from(length).ok()? };
    let (bytes, _) = front(sequence, &[run])?;
    Some(Stretch { start, front: bytes, extents })
}

fn to_nanos(ticks: u64, timescale: u32) -> i64 {
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(timescale.max(1));
    i64::try_from(nanos).unwrap_or(i64::MAX)
}
