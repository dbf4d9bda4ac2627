//! The query parameters of requests. Pure.

use crate::{
    ipc::{PictureFormat, Pixels, StillSpec},
    still::cache::Age,
    stream::{Entry, Join},
};
use percent_encoding::percent_decode_str;
use std::{num::NonZeroU16, time::Duration};

/// Quality of a JPEG or WebP by default.
const DEFAULT_QUALITY: u8 = 85;
/// Largest `max_age=`, in seconds.
const MAX_AGE: f64 = 3600.0;

/// An invalid parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}={found} is not valid: expected {expected}")]
pub struct QueryError {
    name: &'static str,
    found: String,
    expected: &'static str,
}

/// Reads `header=` and `keyframe=`; `None` when neither is given. One that is given alone leaves the other one off. Unknown
/// parameters are ignored: scripts use them against caches.
///
/// # Errors
/// On any other value, or two values for one parameter.
pub fn entry(query: &str) -> Result<Option<Entry>, QueryError> {
    let header = flag(query, "header")?;
    let join = one(query, "keyframe", "0, 1 or next", |value| match value {
        "0" => Some(Join::Live),
        "1" => Some(Join::Keyframe),
        "next" => Some(Join::NextKeyframe),
        _ => None,
    })?;
    let is_given = header.is_some() || join.is_some();
    Ok(is_given.then(|| Entry { join: join.unwrap_or(Join::Live), header: header.unwrap_or(false) }))
}

/// Reads `fps=`: the interval between two frames of a viewer that wants a lower frame rate.
///
/// # Errors
/// On anything but a rate, or two of them.
pub fn interval(query: &str) -> Result<Option<Duration>, QueryError> {
    one(query, "fps", "frames per second, 0.01 to 1000", |value| {
        value
            .parse()
            .ok()
            .filter(|fps| (0.01..=1000.0).contains(fps))
            .map(|fps: f64| Duration::from_secs_f64(1.0 / fps))
    })
}

/// The parameters of a still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StillQuery {
    /// Its format and size.
    pub spec: StillSpec,
    /// How old it may be.
    pub age: Age,
    /// Whether a stream that is not running may be started.
    pub may_start: bool,
}

/// Reads `fmt=`, `q=`, `w=`, `h=`, `max_age=`, `fresh=` and `start=`; `from_path` is the format that the path names,
/// `accept` the request's `Accept` header.
///
/// # Errors
/// On any other value, two values for one parameter, or parameters that contradict each other.
pub fn still(query: &str, from_path: Option<StillFormat>, accept: &str) -> Result<StillQuery, QueryError> {
    let asked = one(query, "fmt", "jpg, png or webp", |value| match value {
        "jpg" | "jpeg" => Some(StillFormat::Jpeg),
        "png" => Some(StillFormat::Png),
        "webp" => Some(StillFormat::Webp),
        _ => None,
    })?;
    let quality =
        one(query, "q", "1 to 100", |value| value.parse().ok().filter(|quality| (1..=100).contains(quality)))?;
    let quality = quality.unwrap_or(DEFAULT_QUALITY);
    let format = match asked.or(from_path).or_else(|| accepted(accept)).unwrap_or(StillFormat::Jpeg) {
        StillFormat::Jpeg => PictureFormat::Jpeg { quality },
        StillFormat::Png => PictureFormat::Png,
        StillFormat::Webp => PictureFormat::Webp { quality },
    };
    let spec = StillSpec { format, width: side(query, "w")?, height: side(query, "h")? };
    let max_age = one(query, "max_age", "seconds, 0 to 3600", |value| {
        value.parse().ok().filter(|age| (0.0..=MAX_AGE).contains(age)).map(Duration::from_secs_f64)
    })?;
    let age = match (flag(query, "fresh")?.unwrap_or(false), max_age) {
        (true, Some(_)) => {
            return Err(QueryError { name: "fresh", found: "1".into(), expected: "no max_age= in the same request" });
        }
        (true, None) => Age::Fresh,
        (false, Some(limit)) => Age::AtMost(limit),
        (false, None) => Age::Current,
    };
    Ok(StillQuery { spec, age, may_start: flag(query, "start")?.unwrap_or(true) })
}

/// Reads `format=` of a WebSocket: whether stills are sent as text.
///
/// # Errors
/// On any other value, or two of them.
pub fn as_text(query: &str) -> Result<bool, QueryError> {
    let base64 = one(query, "format", "binary or base64", |value| match value {
        "binary" => Some(false),
        "base64" => Some(true),
        _ => None,
    })?;
    Ok(base64.unwrap_or(false))
}

/// Reads `format=`, `w=` and `h=` of raw frames.
///
/// # Errors
/// On any other value, or two values for one parameter.
pub fn raw(query: &str) -> Result<StillSpec, QueryError> {
    let pixels = one(query, "format", "I420, NV12, RGB, BGR or GRAY8", |value| {
        Pixels::ALL.into_iter().find(|pixels| pixels.name() == value)
    })?;
    let format = PictureFormat::Raw(pixels.unwrap_or(Pixels::I420));
    Ok(StillSpec { format, width: side(query, "w")?, height: side(query, "h")? })
}

/// The format for a client that does not accept JPEG.
fn accepted(accept: &str) -> Option<StillFormat> {
    let takes = |media: &str| accept.contains(media);
    if takes("image/jpeg") || takes("image/*") {
        return None;
    }
    takes("image/png").then_some(StillFormat::Png).or_else(|| takes("image/webp").then_some(StillFormat::Webp))
}

fn side(query: &str, name: &'static str) -> Result<Option<NonZeroU16>, QueryError> {
    one(query, name, "pixels, 16 to 4096", |value| {
        value.parse().ok().filter(|side: &NonZeroU16| (StillSpec::MIN_SIDE..=StillSpec::MAX_SIDE).contains(&side.get()))
    })
}

fn flag(query: &str, name: &'static str) -> Result<Option<bool>, QueryError> {
    one(query, name, "0 or 1", |value| match value {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    })
}

/// The format of a still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StillFormat {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// WebP.
    Webp,
}

fn one<T>(
    query: &str,
    name: &'static str,
    expected: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, QueryError> {
    let mut result = None;
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key != name {
            continue;
        }
        let value = percent_decode_str(value).decode_utf8_lossy();
        let error = || QueryError { name, found: value.chars().take(40).collect(), expected };
        let read = read(&value).ok_or_else(error)?;
        if result.replace(read).is_some() {
            return Err(QueryError { name, found: format!("{value} a second time"), expected });
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn streams_are_joined_as_requested() {
        let check = |query, join, header| assert_eq!(entry(query), Ok(Some(Entry { join, header })), "{query}");
        assert_eq!([entry(""), entry("t=17")], [Ok(None), Ok(None)]);
        check("header=0&keyframe=0", Join::Live, false);
        check("header=1", Join::Live, true);
        check("t=17&keyframe=1&header=1", Join::Keyframe, true);
        check("keyframe=next", Join::NextKeyframe, false);
        check("keyframe=%31", Join::Keyframe, false);
        for query in ["header=2", "header", "keyframe=yes", "keyframe=", "header=1&header=1", "keyframe=01"] {
            assert!(entry(query).is_err(), "{query}");
        }
    }

    #[test]
    fn frame_rate_is_read() {
        let check = |query, millis: Option<u64>| {
            assert_eq!(interval(query), Ok(millis.map(Duration::from_millis)), "{query}");
        };
        check("", None);
        check("fps=25", Some(40));
        check("fps=0.5&header=1", Some(2000));
        for query in ["fps=0", "fps=-1", "fps=", "fps=abc", "fps=1001", "fps=inf", "fps=NaN", "fps=1&fps=1"] {
            assert!(interval(query).is_err(), "{query}");
        }
    }

    #[test]
    fn stills_are_encoded_as_requested() {
        let spec = |query, from_path, accept| still(query, from_path, accept).unwrap().spec;
        let jpeg = |quality| StillSpec::of(PictureFormat::Jpeg { quality });
        let (png, webp) = (StillSpec::of(PictureFormat::Png), StillSpec::of(PictureFormat::Webp { quality: 85 }));
        assert_eq!(spec("", None, "*/*"), jpeg(85));
        assert_eq!(spec("q=1", None, ""), jpeg(1));
        assert_eq!(spec("q=100&fmt=jpg", Some(StillFormat::Png), ""), jpeg(100));
        assert_eq!(spec("", Some(StillFormat::Png), ""), png);
        assert_eq!(spec("fmt=png&q=7", None, ""), png);
        assert_eq!(spec("fmt=webp", None, ""), webp);
        assert_eq!(spec("q=3", Some(StillFormat::Webp), ""), StillSpec::of(PictureFormat::Webp { quality: 3 }));
        assert_eq!(spec("", None, "image/png"), png);
        assert_eq!(spec("", None, "image/webp"), webp);
        assert_eq!(spec("", None, "image/avif,image/webp,image/*;q=0.8"), jpeg(85));
        assert_eq!(spec("", None, "image/png,image/*;q=0.8"), jpeg(85));
        let sized = StillSpec { width: NonZeroU16::new(320), height: NonZeroU16::new(4096), ..jpeg(85) };
        assert_eq!(spec("w=320&h=4096", None, ""), sized);
        for query in ["q=0", "q=101", "q=abc", "q=", "q=-1", "fmt=gif", "q=1&q=2", "w=15", "h=4097", "w=1e2", "w="] {
            assert!(still(query, None, "").is_err(), "{query}");
        }
    }

    #[test]
    fn age_of_stills_is_read() {
        let check = |query, expected| {
            let asked = still(query, None, "").map(|asked| (asked.age, asked.may_start));
            assert_eq!(asked.map_err(|error| error.to_string()), expected, "{query}");
        };
        let limit = |seconds| Age::AtMost(Duration::from_secs_f64(seconds));
        check("", Ok((Age::Current, true)));
        check("fresh=0&start=0", Ok((Age::Current, false)));
        check("fresh=1", Ok((Age::Fresh, true)));
        check("max_age=2.5", Ok((limit(2.5), true)));
        check("max_age=0&start=0&fresh=0", Ok((limit(0.0), false)));
        let fault = |text: &str| Err(text.to_owned());
        check("max_age=3601", fault("max_age=3601 is not valid: expected seconds, 0 to 3600"));
        check("max_age=NaN", fault("max_age=NaN is not valid: expected seconds, 0 to 3600"));
        check("max_age=-1", fault("max_age=-1 is not valid: expected seconds, 0 to 3600"));
        check("fresh=1&max_age=1", fault("fresh=1 is not valid: expected no max_age= in the same request"));
        check("fresh=yes", fault("fresh=yes is not valid: expected 0 or 1"));
        check("start=2", fault("start=2 is not valid: expected 0 or 1"));
    }

    proptest! {
        #[test]
        fn accepted_values_are_within_their_limits(
            pairs in prop::collection::vec(("(w|h|q|fmt|max_age|fresh|fps|format|keyframe|header|[a-z%]{0,3})", "[0-9a-zA-Z.%+-]{0,6}"), 0..6),
            accept: String,
        ) {
            let query = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
            let _ = (entry(&query), as_text(&query));
            if let Ok(Some(interval)) = interval(&query) {
                prop_assert!((0.001..=100.0).contains(&interval.as_secs_f64()));
            }
            let renditions = [still(&query, None, &accept).map(|asked| asked.spec), raw(&query)];
            for spec in renditions.into_iter().flatten() {
                let sides = [spec.width, spec.height];
                let limits = StillSpec::MIN_SIDE..=StillSpec::MAX_SIDE;
                prop_assert!(sides.into_iter().flatten().all(|side| limits.contains(&side.get())));
            }
        }

        #[test]
        fn any_text_never_panics(query: String, accept: String) {
            let _ = (entry(&query), interval(&query), as_text(&query), raw(&query), still(&query, None, &accept));
        }
    }
}
