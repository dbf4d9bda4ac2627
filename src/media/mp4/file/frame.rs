//! Single frames of files, for a decoder: the keyframe at or before a moment, and what it takes from there to the frame of that moment.

use super::{
    clip::{Extent, nanos},
    fragment::{Run, front},
    movie::TrackHead,
    table::{Placed, SampleTable},
};
use crate::media::track::MediaKind;

/// Frames of a file as a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// What stands in front of the bytes of the file.
    pub front: Vec<u8>,
    /// The bytes of the file that follow.
    pub extents: Vec<Extent>,
    /// When the wanted frame is shown, in nanoseconds of the file. Others that are decoded for it may be shown later.
    pub shown: i64,
    /// What is recorded later does not change which frame it is.
    pub is_settled: bool,
}

impl Excerpt {
    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.extents.iter().map(|extent| extent.length).sum()
    }
}

/// The keyframe that is shown at `at`, in nanoseconds of the file, or was the last one before; the first one if there is none. `is_exact`: the
/// frame that is shown at that moment, with all that it needs. `None` without video, or when it is too large for a fragment.
pub fn frame_at(tracks: &[(TrackHead, SampleTable)], at: i64, is_exact: bool) -> Option<Excerpt> {
    let (head, table) = video(tracks)?;
    let shown = |sample: &Placed| shown(sample, head.timescale);
    let mut samples = table.samples().skip_while(|sample| !sample.is_sync).peekable();
    let mut group: Vec<Placed> = vec![samples.next()?];
    let mut is_settled = false;
    for sample in samples {
        if sample.is_sync && shown(&sample) <= at {
            group.clear();
        }
        // What is decoded later is shown later.
        if nanos(sample.decode, head.timescale) > at {
            is_settled = true;
            break;
        }
        group.push(sample);
    }
    if is_exact {
        let wanted = group.iter().rposition(|sample| shown(sample) <= at).unwrap_or(0);
        group.truncate(wanted + 1);
    } else {
        group.truncate(1);
    }
    let earlier = group.iter().map(shown).filter(|shown| *shown <= at).max();
    let shown = earlier.or_else(|| group.first().map(shown))?;
    let length: u64 = group.iter().map(|sample| u64::from(sample.size)).sum();
    let extents = extents(0, &group);
    let run = Run { track: head.number, samples: group, length: usize::try_from(length).ok()? };
    let (front, _) = front(1, &[run])?;
    Some(Excerpt { front, extents, shown, is_settled })
}

/// A keyframe for a row of thumbnails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thumbnail {
    /// Its place in the row.
    pub place: u16,
    /// Which file it is in.
    pub file: usize,
    /// The keyframe.
    pub sample: Placed,
}

/// The keyframe that is shown at `at`, in nanoseconds of the file, or was the last one before, of its video. `None` without one.
pub fn keyframe_at(tracks: &[(TrackHead, SampleTable)], at: i64) -> Option<(&TrackHead, Placed)> {
    let (head, table) = video(tracks)?;
    let keys = table.samples().filter(|sample| sample.is_sync);
    let last = keys.take_while(|sample| nanos(sample.decode, head.timescale) <= at).last();
    Some((head, last.or_else(|| table.samples().find(|sample| sample.is_sync))?))
}

/// Thumbnails of one kind of video as a fragment, each a second after the one before, from second `place` on: what stands in front, and the
/// bytes of files that follow. `None` when they are too large for a fragment.
pub fn row(head: &TrackHead, thumbnails: &[Thumbnail]) -> Option<(Vec<u8>, Vec<Extent>)> {
    let samples = thumbnails.iter().zip(thumbnails.iter().skip(1).map(Some).chain([None])).map(|(own, next)| {
        let seconds = next.map_or(1, |next| next.place.saturating_sub(own.place).max(1));
        let ticks = |seconds: u16| u64::from(seconds) * u64::from(head.timescale);
        let duration = u32::try_from(ticks(seconds)).unwrap_or(u32::MAX);
        Placed { decode: ticks(own.place), offset: 0, duration, ..own.sample }
    });
    let samples: Vec<Placed> = samples.collect();
    let length: u64 = samples.iter().map(|sample| u64::from(sample.size)).sum();
    let extents = thumbnails.iter().map(|thumbnail| Extent {
        file: thumbnail.file,
        at: thumbnail.sample.at,
        length: thumbnail.sample.size.into(),
    });
    let extents = extents.collect();
    let (front, _) = front(1, &[Run { track: head.number, samples, length: usize::try_from(length).ok()? }])?;
    Some((front, extents))
}

fn video(tracks: &[(TrackHead, SampleTable)]) -> Option<&(TrackHead, SampleTable)> {
    tracks.iter().find(|(head, table)| head.kind == MediaKind::Video && !table.is_empty())
}

/// When a sample is shown, in nanoseconds of the file.
fn shown(sample: &Placed, timescale: u32) -> i64 {
    let ticks = i64::try_from(sample.decode).unwrap_or(i64::MAX).saturating_add(sample.offset.into());
    nanos(u64::try_from(ticks).unwrap_or(0), timescale)
}

fn extents(file: usize, samples: &[Placed]) -> Vec<Extent> {
    let mut extents = Vec::<Extent>::new();
    for sample in samples {
        let size = u64::from(sample.size);
        match extents.last_mut() {
            Some(last) if last.at + last.length == sample.at => last.length += size,
            _ => extents.push(Extent { file, at: sample.at, length: size }),
        }
    }
    extents
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::mp4::file::tests::heads;

    /// Frames of 100 ms with a keyframe each second. Each second one is shown after the one that is decoded after it.
    fn tracks() -> Vec<(TrackHead, SampleTable)> {
        let mut table = SampleTable::default();
        let head = heads().remove(0);
        let tick = head.timescale / 10;
        for number in 0..30u32 {
            // I P B P B: decoded before what is shown before it.
            let order = match number % 10 {
                0 | 9 => 1,
                odd if odd % 2 == 1 => 2,
                _ => 0,
            };
            let offset = order * i32::try_from(tick).unwrap();
            let (decode, at) = (u64::from(number * tick), u64::from(number) * 1000);
            table.push(Placed { decode, offset, duration: tick, size: 100, is_sync: number % 10 == 0, at });
        }
        vec![(head, table)]
    }

    const MILLI: i64 = 1_000_000;

    #[test]
    fn a_frame_begins_with_its_keyframe() {
        let tracks = tracks();
        let check = |at: i64, is_exact, first: u64, last: u64, shown: i64| {
            let found = frame_at(&tracks, at * MILLI, is_exact).unwrap();
            let (begin, end) = (found.extents.first().unwrap().at, found.extents.last().unwrap().at);
            assert_eq!((begin, end, found.shown), (first * 1000, last * 1000, shown * MILLI), "{at} {is_exact}");
            assert!(found.is_settled, "{at}");
        };
        check(0, false, 0, 0, 100);
        check(1099, false, 0, 0, 100);
        check(1100, false, 10, 10, 1100);
        check(1450, false, 10, 10, 1100);
        check(100, true, 0, 0, 100);
        // Shown at 200: the third one, which refers to the second one.
        check(250, true, 0, 2, 200);
        check(350, true, 0, 2, 300);
        check(2099, true, 10, 19, 2000);
        check(-5, true, 0, 0, 100);
        let last = frame_at(&tracks, 60_000 * MILLI, true).unwrap();
        assert_eq!((last.shown, last.is_settled, last.bytes()), (3000 * MILLI, false, 1000));
        assert_eq!(frame_at(&[], 0, true), None);
    }

    #[test]
    fn thumbnails_are_at_their_places() {
        let tracks = tracks();
        let keys = [0, 999, 1500, 9000].map(|at| keyframe_at(&tracks, at * MILLI).unwrap().1.at);
        assert_eq!(keys, [0, 0, 10_000, 20_000]);
        let head = &tracks[0].0;
        let thumbnail = |place, at| Thumbnail { place, file: 3, sample: keyframe_at(&tracks, at * MILLI).unwrap().1 };
        let (front, extents) = row(head, &[thumbnail(2, 0), thumbnail(7, 1000)]).unwrap();
        let extent = |at| Extent { file: 3, at, length: 100 };
        assert_eq!(extents, [extent(0), extent(10_000)]);
        let ticks = |seconds: u32| (seconds * head.timescale).to_be_bytes();
        let has = |bytes: &[u8]| front.windows(bytes.len()).any(|window| window == bytes);
        assert!(has(&[[0; 4], ticks(2)].concat()) && has(&ticks(5)), "{front:?}");
    }
}
