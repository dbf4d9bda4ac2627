//! One time for all tracks of a movie in fragments.

use super::boxes::{Boxes, all, find, find_mut, free, number};
use super::fragment::{Track, id, timescale, track_of, tracks};
use std::time::Duration;

/// Moves the times of fragments whose muxer lets each track begin at 0, so that they are those of one clock.
#[derive(Debug, Default)]
pub struct Timeline {
    tracks: Vec<Track>,
    /// When the first sample of all was taken.
    begin: Option<Duration>,
    /// Numbers of tracks that have begun, and by how many ticks they are late.
    late: Vec<(u32, u64)>,
}

impl Timeline {
    /// Takes what stands in front of the fragments. Tracks without a time, which the muxer has for pads that were
    /// released before there was a sample, are taken out: players refuse them.
    pub fn header(&mut self, bytes: &mut [u8]) {
        let Some(moov) = find_mut(bytes, b"moov") else { return };
        let is_empty = |trak: &[u8]| timescale(trak) == Some(0);
        let empty: Vec<_> = all(moov, b"trak").filter(|trak| is_empty(trak)).filter_map(id).collect();
        free(moov, b"trak", is_empty);
        if let Some(extends) = find_mut(moov, b"mvex") {
            free(extends, b"trex", |trex| number(trex, 4).is_some_and(|id| empty.contains(&id)));
        }
        *self = Self { tracks: tracks(moov), ..Self::default() };
    }

    /// Moves a fragment with samples of one track, the first of which was taken at `time` by any clock that stays the
    /// same. What is no fragment stays as it is.
    pub fn fragment(&mut self, bytes: &mut [u8], time: Duration) {
        let begin = *self.begin.get_or_insert(time);
        let Some(track) = Boxes(bytes)
            .find(|(kind, _)| *kind == b"moof")
            .and_then(|(_, moof)| track_of(find(moof, b"traf")?, &self.tracks))
            .map(|(track, _)| *track)
        else {
            return;
        };
        let late = match self.late.iter().find(|(id, _)| *id == track.id) {
            Some((_, late)) => *late,
            None => {
                let ticks = time.saturating_sub(begin).as_nanos() * u128::from(track.timescale) / 1_000_000_000;
                let late = u64::try_from(ticks).unwrap_or_default();
                self.late.push((track.id, late));
                late
            }
        };
        let moof = find_mut(bytes, b"moof").and_then(|moof| find_mut(moof, b"traf"));
        if let Some(decode_time) = moof.and_then(|traf| find_mut(traf, b"tfdt")) {
            delay(decode_time, late);
        }
    }
}

/// Adds to the decode time of a fragment (section 8.8.12), which has 32 bits, or 64 in version 1.
fn delay(tfdt: &mut [u8], ticks: u64) {
    match tfdt {
        [0, _, _, _, time @ ..] => {
            let later = number(time, 0).map(|now| u64::from(now).saturating_add(ticks));
            if let (Some(later), Some(time)) = (later, time.first_chunk_mut()) {
                *time = u32::try_from(later).unwrap_or(u32::MAX).to_be_bytes();
            }
        }
        [_, _, _, _, time @ ..] => {
            if let Some(time) = time.first_chunk_mut() {
                *time = u64::from_be_bytes(*time).saturating_add(ticks).to_be_bytes();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::boxes::head;
    use super::*;

    const CAPTURE: &[u8] = include_bytes!("../../../tests/data/h264-gst.mp4");

    /// The header, and the first two fragments.
    fn pieces() -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut lengths = Vec::new();
        let mut rest = CAPTURE;
        while let Some(head) = head(rest) {
            lengths.push(head.length);
            rest = &rest[head.length..];
        }
        let (header, fragments) = CAPTURE.split_at(lengths[0] + lengths[1]);
        let (first, others) = fragments.split_at(lengths[2] + lengths[3]);
        (header.to_vec(), vec![first.to_vec(), others[..lengths[4] + lengths[5]].to_vec()])
    }

    fn time_of(fragment: &[u8]) -> u32 {
        let traf = find(find(fragment, b"moof").unwrap(), b"traf").unwrap();
        number(find(traf, b"tfdt").unwrap(), 4).unwrap()
    }

    #[test]
    fn a_track_that_begins_late_is_late_for_good() {
        let (mut header, mut fragments) = pieces();
        let before: Vec<_> = fragments.iter().map(|fragment| time_of(fragment)).collect();
        let mut timeline = Timeline::default();
        timeline.header(&mut header);
        let scale = u64::from(timeline.tracks[0].timescale);
        // As if another track had begun 1.5 s before.
        timeline.begin = Some(Duration::from_secs(10));
        timeline.fragment(&mut fragments[0], Duration::from_millis(11_500));
        timeline.fragment(&mut fragments[1], Duration::from_millis(99_000));
        let late = u32::try_from(scale * 3 / 2).unwrap();
        assert_eq!(
            fragments.iter().map(|fragment| time_of(fragment)).collect::<Vec<_>>(),
            [before[0] + late, before[1] + late]
        );
    }

    #[test]
    fn the_first_track_and_foreign_bytes_stay_as_they_are() {
        let (mut header, fragments) = pieces();
        let mut timeline = Timeline::default();
        for mut bytes in [fragments[0].clone(), b"\0\0\0\x08moof".to_vec(), b"short".to_vec()] {
            let before = bytes.clone();
            timeline.fragment(&mut bytes, Duration::from_secs(7));
            timeline.header(&mut header);
            timeline.fragment(&mut bytes, Duration::from_secs(7));
            assert!(bytes == before);
        }
    }

    #[test]
    fn a_track_without_a_time_is_taken_out() {
        let (mut header, _) = pieces();
        let (before, at) = (header.clone(), header.windows(4).position(|word| word == b"mdhd").unwrap() + 16);
        Timeline::default().header(&mut header);
        assert!(header == before);
        header[at..at + 4].fill(0);
        let mut timeline = Timeline::default();
        timeline.header(&mut header);
        assert_eq!(timeline.tracks, []);
        let moov = find(&header, b"moov").unwrap();
        assert!(find(moov, b"trak").is_none() && find(find(moov, b"mvex").unwrap(), b"trex").is_none());
        assert_eq!(header.len(), before.len());
    }

    #[test]
    fn times_of_both_lengths_are_moved() {
        let mut short = [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xf0];
        delay(&mut short, 8);
        assert_eq!(short[4..], [0xff, 0xff, 0xff, 0xf8]);
        let mut long = [1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xf0];
        delay(&mut long, 32);
        assert_eq!(long[4..], [0, 0, 0, 1, 0, 0, 0, 0x10]);
    }
}
