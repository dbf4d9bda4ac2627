//! The times of what publishers send, made fit for muxers: no publisher is sent away for a timestamp. Pure.
//!
//! Three things happen to the times of a sample, in this order:
//!
//! - Jumps are taken out, and wild values are replaced ([`Smoother`]): the timeline of all tracks begins at zero and continues.
//! - Times of whole milliseconds, which RTMP and Matroska have, are moved to the grid of the frame rate where that is less than a
//!   millisecond away. Durations of frames are even then, as playlists with parts need them.
//! - A decoding time that does not grow is moved after the one before, and a frame is never shown before it is decoded.

use super::{MediaKind, Sample, Time, TrackId, TrackInfo, TrackSet, codec::CodecParameters, unpack::Smoother};

/// Nanoseconds of the clock of RTMP and Matroska.
const MILLISECOND: i64 = 1_000_000;
/// How far from the grid a rounded time may be, in nanoseconds: truncated against truncated.
const ROUNDING: i64 = MILLISECOND;
/// A finer grid than this, in nanoseconds, would attract any time.
const LEAST_STEP: i128 = 4_000_000;
/// Least distance of two decoding times, in nanoseconds: a tick of the 90 kHz clock.
const MIN_STEP: i64 = 11_112;
/// No clock is further from zero, in nanoseconds: 36 years.
const MAX_TIME: i64 = 1 << 60;
/// A frame is not shown later than this after it is decoded, in nanoseconds.
const MAX_LATE: i64 = 10_000_000_000;

/// Repairs the times of one publisher.
#[derive(Debug, Default)]
pub struct StampRepair {
    smoother: Smoother,
    tracks: Vec<Track>,
    repaired: u64,
}

#[derive(Debug)]
struct Track {
    id: TrackId,
    grid: Option<Grid>,
    /// The last decoding time that was given out.
    last: Option<i64>,
    /// What was last added to the times of the publisher.
    shift: Option<i64>,
}

/// Where the times of frames are: at whole steps from an anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grid {
    /// Nanoseconds of a step, as a fraction.
    step: (i128, i128),
    anchor: Option<i64>,
}

impl StampRepair {
    /// The tracks from now on.
    pub fn set_tracks(&mut self, tracks: &TrackSet) {
        for info in tracks.tracks() {
            let grid = Grid::of(info);
            match self.tracks.iter_mut().find(|track| track.id == info.id) {
                Some(track) if track.grid.map(|grid| grid.step) == grid.map(|grid| grid.step) => {}
                Some(track) => track.grid = grid,
                None => self.tracks.push(Track { id: info.id, grid, last: None, shift: None }),
            }
        }
    }

    /// Repairs the times of the next sample, in the order in which they come.
    pub fn repair(&mut self, sample: &mut Sample) {
        let late = sample.pts.since(sample.dts);
        sample.dts = Time::from_nanos(sample.dts.nanos().clamp(-MAX_TIME, MAX_TIME));
        let shift = self.smoother.shift(sample.track, sample.dts);
        let Some(track) = self.tracks.iter_mut().find(|track| track.id == sample.track) else { return };
        if track.shift.replace(shift).is_some_and(|before| before != shift) {
            self.repaired += 1;
        }
        let is_good = (0..=MAX_LATE).contains(&late);
        let late = if is_good { late } else { 0 };
        let is_rounded = sample.dts.nanos() % MILLISECOND == 0 && late % MILLISECOND == 0;
        let mut dts = sample.dts.shifted(shift).nanos();
        let mut pts = dts.saturating_add(late);
        if let Some(grid) = track.grid.as_mut().filter(|_| is_rounded) {
            let snapped = grid.snap(dts);
            pts = grid.near(pts).unwrap_or(pts);
            dts = snapped;
        }
        let least = track.last.map_or(i64::MIN, |last| last.saturating_add(MIN_STEP));
        if dts < least || !is_good {
            self.repaired += 1;
        }
        let dts = dts.max(least);
        track.last = Some(dts);
        sample.dts = Time::from_nanos(dts);
        sample.pts = Time::from_nanos(pts.max(dts));
    }

    /// How many samples had times that could not be right.
    pub const fn repaired(&self) -> u64 {
        self.repaired
    }
}

impl Grid {
    /// The grid of a track: that of its frame rate, or of the length of its audio frames.
    fn of(track: &TrackInfo) -> Option<Self> {
        let second = 1_000_000_000;
        let audio = |samples: i128| Some((samples * second, i128::from(track.audio()?.rate)));
        let step = match (&track.codec, track.kind()) {
            (_, MediaKind::Video) => {
                let (frames, seconds) = track.video()?.frame_rate?;
                (i128::from(seconds) * second, i128::from(frames))
            }
            (CodecParameters::Aac(_), _) => audio(1024)?,
            (CodecParameters::MpegAudio(_), _) => audio(576)?,
            (CodecParameters::Ac3(_), _) => audio(1536)?,
            _ => return None,
        };
        let is_usable = step.0 > 0 && step.1 > 0 && step.0 / step.1 >= LEAST_STEP;
        is_usable.then_some(Self { step, anchor: None })
    }

    /// The place on the grid that is meant by a rounded time. A time that is elsewhere moves the grid.
    fn snap(&mut self, time: i64) -> i64 {
        self.near(time).unwrap_or_else(|| {
            self.anchor = Some(time);
            time
        })
    }

    /// The place on the grid within the error of rounding.
    fn near(&self, time: i64) -> Option<i64> {
        let anchor = self.anchor?;
        let (step, of) = self.step;
        let distance = i128::from(time) - i128::from(anchor);
        let steps = (distance * of + step / 2).div_euclid(step);
        let place = i64::try_from(i128::from(anchor) + (steps * step).div_euclid(of)).ok()?;
        (place.saturating_sub(time).saturating_abs() <= ROUNDING).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{
        codec::{aac, opus},
        track::{AudioShape, Shape, VideoShape},
    };
    use bytes::Bytes;
    use proptest::prelude::*;

    const VIDEO: TrackId = TrackId(0);
    const AUDIO: TrackId = TrackId(1);

    fn tracks(frame_rate: Option<(u32, u32)>, audio: CodecParameters) -> TrackSet {
        let video = Shape::Video(VideoShape { width: 64, height: 48, pixel_aspect: (1, 1), frame_rate });
        let heard = Shape::Audio(AudioShape { rate: 48_000, channels: 2 });
        TrackSet::new(vec![
            TrackInfo { id: VIDEO, codec: CodecParameters::Vp8, shape: video },
            TrackInfo { id: AUDIO, codec: audio, shape: heard },
        ])
    }

    fn sample(track: TrackId, dts: i64, pts: i64) -> Sample {
        Sample {
            track,
            dts: Time::from_nanos(dts),
            pts: Time::from_nanos(pts),
            duration: None,
            is_sync: true,
            discontinuity: false,
            captured: None,
            entered: None,
            data: Bytes::new(),
        }
    }

    fn aac() -> CodecParameters {
        CodecParameters::Aac(aac::Parameters { config: Bytes::from_static(&[0x11, 0x90]) })
    }

    fn opus() -> CodecParameters {
        CodecParameters::Opus(opus::Parameters::simple(2))
    }

    /// What times of milliseconds become, in microseconds.
    fn repaired(set: &TrackSet, times: &[(TrackId, i64, i64)]) -> (Vec<(i64, i64)>, u64) {
        let mut repair = StampRepair::default();
        repair.set_tracks(set);
        let times = times.iter().map(|(track, dts, pts)| {
            let mut sample = sample(*track, dts * MILLISECOND, pts * MILLISECOND);
            repair.repair(&mut sample);
            (sample.dts.nanos() / 1000, sample.pts.nanos() / 1000)
        });
        (times.collect(), repair.repaired())
    }

    #[test]
    fn milliseconds_move_to_the_grid_of_the_rate() {
        let set = tracks(Some((30, 1)), aac());
        let video: Vec<_> = (0..10).map(|frame| (VIDEO, frame * 1000 / 30, (frame + 2) * 1000 / 30)).collect();
        let (times, count) = repaired(&set, &video);
        let expect: Vec<_> = (0..10).map(|frame| (frame * 1_000_000 / 30, (frame + 2) * 1_000_000 / 30)).collect();
        assert_eq!((times, count), (expect, 0));
        let audio: Vec<_> = (0..10).map(|frame| (AUDIO, frame * 1024 / 48, frame * 1024 / 48)).collect();
        let expect: Vec<_> = (0..10).map(|frame| frame * 1024 * 1000 / 48).map(|at| (at, at)).collect();
        assert_eq!(repaired(&set, &audio).0, expect);
    }

    #[test]
    fn a_rate_that_is_not_the_real_one_moves_nothing() {
        for rate in [Some((25, 1)), Some((90_000, 1)), Some((0, 1)), None] {
            let times: Vec<_> = [0, 33, 67, 100, 133].into_iter().map(|at| (VIDEO, at, at)).collect();
            let expect: Vec<_> = times.iter().map(|(_, at, _)| (at * 1000, at * 1000)).collect();
            assert_eq!(repaired(&tracks(rate, opus()), &times).0, expect, "{rate:?}");
        }
    }

    #[test]
    fn times_that_cannot_be_right_are_repaired() {
        let set = tracks(None, opus());
        let check = |times: &[(i64, i64)], expect: &[(i64, i64)], count| {
            let times: Vec<_> = times.iter().map(|(dts, pts)| (VIDEO, *dts, *pts)).collect();
            assert_eq!(repaired(&set, &times), (expect.to_vec(), count), "{times:?}");
        };
        // It begins anywhere.
        check(&[(16_770_000, 16_770_080), (16_770_040, 16_770_040)], &[(0, 80_000), (40_000, 40_000)], 0);
        // Shown before it is decoded.
        check(&[(0, 0), (40, 20), (80, 80)], &[(0, 0), (40_000, 40_000), (80_000, 80_000)], 1);
        // The same time again.
        check(&[(0, 0), (0, 0), (40, 40)], &[(0, 0), (11, 11), (40_000, 40_000)], 1);
        // An hour back, for good.
        check(
            &[(3_600_000, 3_600_000), (3_600_040, 3_600_040), (0, 0), (40, 40)],
            &[(0, 0), (40_000, 40_000), (80_000, 80_000), (120_000, 120_000)],
            1,
        );
        // Shown an hour later.
        check(&[(0, 0), (40, 3_600_000)], &[(0, 0), (40_000, 40_000)], 1);
    }

    proptest! {
        #[test]
        fn decoding_times_grow_and_nothing_is_shown_before(
            times in prop::collection::vec((0u8..2, any::<i64>(), prop_oneof![Just(0), any::<i64>()]), 1..60),
            rate in prop::option::of((any::<u32>(), any::<u32>())),
        ) {
            let mut repair = StampRepair::default();
            repair.set_tracks(&tracks(rate, aac()));
            let mut last = [None; 2];
            for (track, dts, late) in times {
                let mut sample = sample(TrackId(track), dts, dts.saturating_add(late));
                repair.repair(&mut sample);
                let before: Option<Time> = last[usize::from(track)].replace(sample.dts);
                prop_assert!(before.is_none_or(|before| before < sample.dts), "{:?} {:?}", before, sample.dts);
                prop_assert!(sample.pts >= sample.dts);
            }
        }
    }
}
