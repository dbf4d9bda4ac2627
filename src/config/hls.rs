//! `hls:` of a stream: how its segments are cut, and how much is kept.

use super::{diagnostics::Path, expected::Expected, raw, record, spans::Place, validator::Validator};
use crate::media::segment::Settings;
use serde_yaml::Value;
use std::{num::NonZeroU32, ops::RangeInclusive, time::Duration};

/// Seconds of a segment, of a part, and of all that playlists list.
const SEGMENT: RangeInclusive<f64> = 0.5..=20.0;
const PART: RangeInclusive<f64> = 0.05..=5.0;
const WINDOW: RangeInclusive<f64> = 3.0..=3600.0;
/// Of recordings: a playlist of six hours in segments of 2 s has a megabyte.
const DVR: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(6 * 3600);
/// Segments of one key.
const ENCRYPT: RangeInclusive<u32> = 1..=10_000;
/// A playlist lists at least so many segments: players begin three from its end.
const LEAST_SEGMENTS: u32 = 4;

impl Validator {
    /// The settings; the default ones where there are errors, which are noted.
    pub(super) fn hls(&mut self, path: &Path, value: Option<Value>) -> Settings {
        let Some(value) = value else { return Settings::DEFAULT };
        let keys: raw::Hls = self.section(path, value);
        let mut time =
            |key, value, range, usual| self.value(&path.key(key), value, |text| seconds(text, range)).unwrap_or(usual);
        let usual = Settings::DEFAULT;
        let segment = time("segment", keys.segment, SEGMENT, usual.segment);
        let part = time("part", keys.part, PART, usual.part);
        let window = time("window", keys.window, WINDOW, usual.window.max(segment * LEAST_SEGMENTS));
        if part > segment / 2 {
            let message = "a part is a piece of a segment: expected at most half of `segment`";
            self.note(&path.key("part"), Place::Key, message.to_owned());
        }
        if window < segment * LEAST_SEGMENTS {
            let message = format!("players need {LEAST_SEGMENTS} segments: expected at least so many times `segment`");
            self.note(&path.key("window"), Place::Key, message);
        }
        let dvr = self.value(&path.key("dvr"), keys.dvr, |text| record::span(text, DVR));
        let encrypt = self.value(&path.key("encrypt"), keys.encrypt, segments);
        // How parts of an encrypted segment are encrypted is not settled: playlists list none.
        Settings { segment, part, window, dvr, encrypt, has_parts: encrypt.is_none(), ..usual }
    }
}

/// The keys that make these settings; `None` for the default ones.
pub(super) fn keys(settings: &Settings) -> Option<raw::Hls> {
    let usual = Settings::DEFAULT;
    let given = |time: Duration| Some(Value::from(time.as_secs_f64()));
    (*settings != usual).then(|| raw::Hls {
        segment: given(settings.segment),
        part: given(settings.part),
        window: given(settings.window),
        dvr: settings.dvr.map(|dvr| Value::String(record::printed_span(dvr))),
        encrypt: settings.encrypt.map(|segments| Value::from(segments.get())),
    })
}

fn seconds(text: &str, range: RangeInclusive<f64>) -> Result<Duration, Expected> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    let number = number.ok_or_else(|| format!("seconds, {} to {}", range.start(), range.end()))?;
    Ok(Duration::from_secs_f64(number))
}

fn segments(text: &str) -> Result<NonZeroU32, Expected> {
    let number = text.parse().ok().filter(|number| ENCRYPT.contains(number)).and_then(NonZeroU32::new);
    Ok(number.ok_or_else(|| format!("a number of segments, {} to {}", ENCRYPT.start(), ENCRYPT.end()))?)
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn settings(hls: &str) -> Result<Settings, String> {
        let yaml = format!("feeds: {{f: {{pipeline: x}}}}\nstreams:\n  s.mp4: {{feed: f, hls: {hls}}}");
        let parsed = parse(&yaml);
        parsed
            .map(|config| config.streams[0].hls)
            .map_err(|faults| faults.iter().map(|fault| fault.to_string()).collect())
    }

    #[test]
    fn encrypted_segments_have_no_parts() {
        let found = settings("{encrypt: 10}").unwrap();
        assert_eq!((found.encrypt, found.has_parts), (NonZeroU32::new(10), false));
        assert_eq!(
            settings("{encrypt: 0}").unwrap_err(),
            "3:35: streams.s.mp4.hls.encrypt: expected a number of segments, 1 to 10000, found \"0\""
        );
    }

    #[test]
    fn times_are_seconds_that_fit_together() {
        let times =
            |hls| settings(hls).map(|found| [found.segment, found.part, found.window].map(|time| time.as_millis()));
        assert_eq!(times("{}"), Ok([2000, 200, 30_000]));
        assert_eq!(times("{segment: 1, part: 0.1, window: 60}"), Ok([1000, 100, 60_000]));
        assert_eq!(times("{segment: 10}"), Ok([10_000, 200, 40_000]));
        let check = |hls, expect: &str| assert_eq!(times(hls), Err(expect.to_owned()), "{hls}");
        check("{segment: 0.1}", "3:35: streams.s.mp4.hls.segment: expected seconds, 0.5 to 20, found \"0.1\"");
        check("{part: x}", "3:32: streams.s.mp4.hls.part: expected seconds, 0.05 to 5, found \"x\"");
        check(
            "{part: 1.5}",
            "3:26: streams.s.mp4.hls.part: a part is a piece of a segment: expected at most half of `segment`",
        );
        check(
            "{segment: 2, window: 7}",
            "3:38: streams.s.mp4.hls.window: players need 4 segments: expected at least so many times `segment`",
        );
    }
}
