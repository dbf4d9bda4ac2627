//! What a client may ask for behind the `?`. Pure.

use crate::{
    ipc::PictureFormat,
    stream::{Entry, Join},
};
use percent_encoding::percent_decode_str;

/// Quality of a JPEG when none is asked for.
const DEFAULT_QUALITY: u8 = 85;

/// A value that has no meaning here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}={found} has no meaning: expected {expected}")]
pub struct QueryError {
    name: &'static str,
    found: String,
    expected: &'static str,
}

/// Reads `header=` and `keyframe=`. Other parameters are left to caches and scripts.
///
/// # Errors
/// On any other value, or two values for one parameter.
pub fn entry(query: &str) -> Result<Entry, QueryError> {
    let header = one(query, "header", "0 or 1", |value| match value {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    })?;
    let join = one(query, "keyframe", "0, 1 or next", |value| match value {
        "0" => Some(Join::Live),
        "1" => Some(Join::Keyframe),
        "next" => Some(Join::NextKeyframe),
        _ => None,
    })?;
    Ok(Entry { join: join.unwrap_or(Join::Live), header: header.unwrap_or(false) })
}

/// Reads `fmt=` and `q=`; `from_path` is the format that the path names, `accept` the request's `Accept` header.
///
/// # Errors
/// On any value that is no format or quality, or two values for one parameter.
pub fn picture(query: &str, from_path: Option<Still>, accept: &str) -> Result<PictureFormat, QueryError> {
    let asked = one(query, "fmt", "jpg or png", |value| match value {
        "jpg" | "jpeg" => Some(Still::Jpeg),
        "png" => Some(Still::Png),
        _ => None,
    })?;
    let quality =
        one(query, "q", "1 to 100", |value| value.parse().ok().filter(|quality| (1..=100).contains(quality)))?;
    let accepted = (accept.contains("image/png") && !accept.contains("image/jpeg") && !accept.contains("image/*"))
        .then_some(Still::Png);
    Ok(match asked.or(from_path).or(accepted).unwrap_or(Still::Jpeg) {
        Still::Jpeg => PictureFormat::Jpeg { quality: quality.unwrap_or(DEFAULT_QUALITY) },
        Still::Png => PictureFormat::Png,
    })
}

/// Reads `start=`: whether a stream that does not run is to be started.
///
/// # Errors
/// On any other value, or two of them.
pub fn start(query: &str) -> Result<bool, QueryError> {
    let start = one(query, "start", "0 or 1", |value| match value {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    })?;
    Ok(start.unwrap_or(true))
}

/// A format of still pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Still {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
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
        let fault = || QueryError { name, found: value.chars().take(40).collect(), expected };
        let read = read(&value).ok_or_else(fault)?;
        if result.replace(read).is_some() {
            return Err(QueryError { name, found: format!("{value} a second time"), expected });
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_entered_as_asked() {
        let check = |query, join, header| assert_eq!(entry(query), Ok(Entry { join, header }), "{query}");
        check("", Join::Live, false);
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
    fn pictures_are_encoded_as_asked() {
        let jpeg = |quality| Ok(PictureFormat::Jpeg { quality });
        let png = Ok(PictureFormat::Png);
        assert_eq!(picture("", None, "*/*"), jpeg(85));
        assert_eq!(picture("q=1", None, ""), jpeg(1));
        assert_eq!(picture("q=100&fmt=jpg", Some(Still::Png), ""), jpeg(100));
        assert_eq!(picture("", Some(Still::Png), ""), png);
        assert_eq!(picture("fmt=png&q=7", None, ""), png);
        assert_eq!(picture("", None, "image/png"), png);
        assert_eq!(picture("", None, "image/png,image/*;q=0.8"), jpeg(85));
        for query in ["q=0", "q=101", "q=abc", "q=", "q=-1", "fmt=gif", "q=1&q=2"] {
            assert!(picture(query, None, "").is_err(), "{query}");
        }
    }
}
