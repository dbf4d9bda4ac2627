//! When the samples of a live track are decoded and shown, and for how long.
//!
//! A sample leaves before the next one is there, so that its duration is a guess: what its encoder says, or what was usual
//! recently. The decode time of the next fragment is right in any case, and players go by that; but those that play by
//! Media Source Extensions drop everything up to the next keyframe when it is further away than twice the duration that they
//! were announced. So frames last as long as the longest recent step.

use super::front::Times;
use super::header::timescale;
use crate::media::{
    codec::CodecParameters,
    track::{Shape, TrackInfo},
};
use std::time::Duration;

const SECOND: i128 = 1_000_000_000;
/// A longer step between two frames is a break, unless it is the rule.
const BREAK: u32 = 1;
/// What is taken off the longest recent step with each frame: this part of it.
const FORGET: u64 = 8;
/// A longer step between two audio frames is a pause: this part of a second.
const LONGEST_FRAME: u32 = 4;
/// Frames a second of video, and of audio, of which nothing is known.
const USUAL_RATE: u32 = 25;

/// How the samples of a track follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tempo {
    /// Ticks a second.
    pub(super) timescale: u32,
    /// Samples are as long as their encoder makes them: audio.
    pub(super) is_even: bool,
    /// How long a sample lasts by what is known of the source or the codec; zero when nothing is.
    pub(super) nominal: Duration,
}

impl Tempo {
    pub(super) fn of(track: &TrackInfo) -> Self {
        let timescale = timescale(track);
        match &track.shape {
            Shape::Video(shape) => Self {
                timescale,
                is_even: false,
                nominal: match shape.frame_rate {
                    Some((frames, seconds)) if frames > 0 => Duration::from_secs(seconds.into()) / frames,
                    _ => Duration::ZERO,
                },
            },
            Shape::Audio(_) => {
                let ticks = u64::from(frame_ticks(&track.codec));
                let nominal = Duration::from_nanos(ticks * 1_000_000_000 / u64::from(timescale));
                Self { timescale, is_even: true, nominal }
            }
        }
    }
}

/// How many samples every frame of this codec decodes to, as far as its parameters say; 0 when they do not.
fn frame_ticks(codec: &CodecParameters) -> u32 {
    match codec {
        CodecParameters::Aac(parameters) => parameters.parse().map_or(1024, |config| config.samples()),
        _ => 0,
    }
}

/// The clock of one track.
#[derive(Debug)]
pub(super) struct Clock {
    /// Ticks a second.
    timescale: u32,
    /// How long a sample lasts by what is known of the source or the codec.
    nominal: Option<u32>,
    is_even: bool,
    last: Option<Last>,
    /// The longest recent step.
    longest: u64,
}

/// The sample before.
#[derive(Debug, Clone, Copy)]
struct Last {
    decode: u64,
    duration: u32,
    /// There was a long step before it.
    is_behind_break: bool,
}

impl Clock {
    pub(super) fn of(tempo: Tempo) -> Self {
        let Tempo { timescale, is_even, nominal } = tempo;
        let clock = Self { timescale, nominal: None, is_even, last: None, longest: 0 };
        Self { nominal: clock.length(nominal), ..clock }
    }

    /// Continues where another one of this track was.
    pub(super) fn after(tempo: Tempo, before: &Self) -> Self {
        let last = before.last.filter(|_| before.timescale == tempo.timescale);
        Self { last, ..Self::of(tempo) }
    }

    /// The place of the next sample, whose times are nanoseconds of a clock that all tracks share; and whether players may
    /// not follow the step to it, so that a keyframe of the video had better come next. Decode times only grow.
    pub(super) fn place(&mut self, decode: i64, shown: i64, duration: Option<Duration>) -> (Times, bool) {
        let earliest = self.last.map_or(0, |last| last.decode.saturating_add(1));
        let (ticks, shown) = (self.ticks(decode.into()), self.ticks(shown.into()));
        let decode = u64::try_from(ticks).unwrap_or(0).max(earliest);
        let offset = shown - i128::from(decode);
        let step = self.last.map(|last| decode.saturating_sub(last.decode));
        let is_behind_break = step.is_some_and(|step| step > u64::from(BREAK * self.timescale));
        let is_rule = self.last.is_some_and(|last| last.is_behind_break);
        let step = step.filter(|_| !is_behind_break || is_rule);
        self.longest = (self.longest - self.longest / FORGET).max(step.unwrap_or(0));
        let told = duration.and_then(|duration| self.length(duration));
        let usual = || self.last.map_or(self.timescale / USUAL_RATE, |last| last.duration);
        let measured = || self.measured(step);
        let least = told.or_else(measured).or(self.nominal).unwrap_or_else(usual).max(1);
        let longest = u32::try_from(self.longest).unwrap_or(u32::MAX);
        let duration = if self.is_even { least } else { least.max(longest) };
        let is_torn = self.last.is_some_and(|last| decode.saturating_sub(last.decode) > 2 * u64::from(last.duration));
        self.last = Some(Last { decode, duration, is_behind_break });
        let bound = offset.clamp(i32::MIN.into(), i32::MAX.into());
        (Times { decode, offset: i32::try_from(bound).unwrap_or_default(), duration }, is_torn)
    }

    /// What the step says of how long an audio frame is, if that is far from what the codec says. A pause says nothing.
    fn measured(&self, step: Option<u64>) -> Option<u32> {
        let step = step.and_then(|step| u32::try_from(step).ok()).filter(|step| self.is_even && *step > 1)?;
        let agrees = |nominal: u32| (nominal / 2..=nominal.saturating_mul(3) / 2).contains(&step);
        let most = self.nominal.map_or(self.timescale / LONGEST_FRAME, |nominal| nominal.saturating_mul(3));
        (step <= most && !self.nominal.is_some_and(agrees)).then_some(step)
    }

    /// Ticks in this time, if there are some.
    fn length(&self, time: Duration) -> Option<u32> {
        let ticks = self.ticks(time.as_nanos().try_into().unwrap_or_default());
        u32::try_from(ticks).ok().filter(|ticks| *ticks > 0)
    }

    /// Ticks in so many nanoseconds, to the nearest one.
    fn ticks(&self, nanos: i128) -> i128 {
        (nanos * i128::from(self.timescale) + SECOND / 2).div_euclid(SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn video(rate: Option<(u32, u32)>) -> Clock {
        let nominal = rate.map_or(Duration::ZERO, |(frames, seconds)| Duration::from_secs(seconds.into()) / frames);
        Clock::of(Tempo { timescale: 90_000, is_even: false, nominal })
    }

    fn audio(rate: u32) -> Clock {
        Clock::of(Tempo { timescale: rate, is_even: true, nominal: Duration::ZERO })
    }

    const MILLI: i64 = 1_000_000;

    /// Durations in milliseconds of frames at these milliseconds, and at which of them players may stumble.
    fn durations(mut clock: Clock, times: &[i64]) -> (Vec<u32>, Vec<i64>) {
        let mut torn = Vec::new();
        let durations = times.iter().map(|time| {
            let (times, is_torn) = clock.place(time * MILLI, time * MILLI, None);
            torn.extend(is_torn.then_some(*time));
            times.duration / 90
        });
        (durations.collect(), torn)
    }

    #[test]
    fn a_picture_lasts_as_long_as_the_longest_step_of_late() {
        let rate = Some((25, 1));
        assert_eq!(durations(video(rate), &[0, 40, 80]), (vec![40, 40, 40], vec![]));
        assert_eq!(durations(video(None), &[0, 100, 200]), (vec![40, 100, 100], vec![100]));
        // A camera in the dark delivers a third of the frame rate that it announces.
        assert_eq!(durations(video(Some((30, 1))), &[0, 100, 200, 300]), (vec![33, 100, 100, 100], vec![100]));
        let (after, torn) = durations(video(rate), &[0, 40, 110, 150, 190, 230, 270, 310, 350]);
        assert_eq!((after, torn), (vec![40, 40, 70, 61, 53, 46, 41, 40, 40], vec![]));
    }

    #[test]
    fn a_break_is_no_rhythm_unless_it_comes_again() {
        assert_eq!(durations(video(Some((25, 1))), &[0, 40, 5040, 5080]), (vec![40, 40, 40, 40], vec![5040]));
        assert_eq!(durations(video(None), &[0, 5000, 10_000]), (vec![40, 40, 5000], vec![5000, 10_000]));
    }

    #[test]
    fn sound_lasts_as_long_as_its_samples() {
        let mut clock = audio(44_100);
        let frame = Duration::from_nanos(23_219_955);
        for number in 0..1000u64 {
            let at = i64::try_from(number * 1024 * 1_000_000_000 / 44_100).unwrap();
            let (times, is_torn) = clock.place(at, at, Some(frame));
            assert_eq!((times, is_torn), (Times { decode: number * 1024, offset: 0, duration: 1024 }, false));
        }
        let (times, is_torn) = clock.place(60_000 * MILLI, 60_000 * MILLI, Some(frame));
        assert_eq!((times.decode, times.duration, is_torn), (60 * 44_100, 1024, true));
    }

    #[test]
    fn audio_of_which_nothing_is_said_lasts_as_long_as_its_codec_says_or_its_steps() {
        let frames = |codec_ticks: u64, step: i64| {
            let nominal = Duration::from_nanos(codec_ticks * 1_000_000_000 / 48_000);
            let mut clock = Clock::of(Tempo { timescale: 48_000, is_even: true, nominal });
            let durations = (0..4).map(|number| clock.place(number * step, number * step, None).0.duration);
            durations.collect::<Vec<_>>()
        };
        // Times in whole milliseconds.
        assert_eq!(frames(1024, 21 * MILLI), [1024; 4]);
        // Bandwidth extension that the configuration does not name.
        assert_eq!(frames(1024, 2048 * 1_000_000 / 48), [1024, 2048, 2048, 2048]);
        assert_eq!(frames(1024, 200 * MILLI), [1024; 4], "pauses");
        assert_eq!(frames(0, 85 * MILLI), [1920, 4080, 4080, 4080]);
        assert_eq!(frames(0, 300 * MILLI), [1920; 4]);
    }

    #[test]
    fn what_was_captured_before_the_clock_began_is_not_lost() {
        let mut clock = video(None);
        let places: Vec<_> = [(-80, 0), (-40, 80), (0, 40), (40, 120)]
            .map(|(decode, shown)| clock.place(decode * MILLI, shown * MILLI, None).0)
            .map(|times| (times.decode, times.offset))
            .into();
        assert_eq!(places, [(0, 0), (1, 7199), (2, 3598), (3600, 7200)]);
    }

    #[test]
    fn after_the_size_changed_time_goes_on() {
        let mut clock = video(None);
        clock.place(1000 * MILLI, 1000 * MILLI, None);
        let tempo = Tempo { timescale: 90_000, is_even: true, nominal: Duration::ZERO };
        assert_eq!(Clock::after(tempo, &clock).place(0, 0, None).0.decode, 90_001);
    }

    proptest! {
        #[test]
        fn decode_times_only_grow_and_nothing_panics(
            steps in prop::collection::vec((any::<i64>(), any::<i64>(), any::<u64>()), 1..50),
        ) {
            let mut clock = video(None);
            let mut last = None;
            for (decode, shown, duration) in steps {
                let (times, _) = clock.place(decode, shown, Some(Duration::from_nanos(duration)));
                prop_assert!(last.is_none_or(|last| times.decode > last) && times.duration > 0);
                last = Some(times.decode);
            }
        }
    }
}
