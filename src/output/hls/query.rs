//! The parameters of requests for playlists. Pure.

use crate::media::segment::wait::Reload;
use percent_encoding::percent_decode_str;

/// The parameter that names a viewer.
pub const VIEWER: &str = "s";
/// Most characters of parameters that are carried on. More is no token of an access control.
const MAX_CARRIED: usize = 1024;

/// What a request for a playlist asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// What it waits for: `_HLS_msn`, `_HLS_part`.
    pub reload: Reload,
    /// `_HLS_skip`: the client has the older segments.
    pub skips: bool,
    /// `container=ts`: not in fragments of MP4.
    pub as_ts: bool,
    /// The viewer.
    pub viewer: Option<u64>,
    /// All other parameters, which go into the addresses of a playlist; empty, or begins with `?`.
    pub carried: String,
}

/// A parameter that is not valid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}={found} is not valid: expected {expected}")]
pub struct QueryError {
    name: &'static str,
    found: String,
    expected: &'static str,
}

/// Reads a query string.
///
/// # Errors
/// On a value that is not valid, or a part without its segment.
pub fn asked(query: &str) -> Result<Asked, QueryError> {
    let mut asked = Asked::default();
    let mut carried = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(value).decode_utf8_lossy();
        let fault = |name, expected| QueryError { name, found: value.chars().take(40).collect(), expected };
        match name {
            "_HLS_msn" => {
                let number = value.parse().map_err(|_| fault("_HLS_msn", "the number of a segment"))?;
                asked.reload.segment = Some(number);
            }
            "_HLS_part" => {
                let number = value.parse().map_err(|_| fault("_HLS_part", "the number of a part in its segment"))?;
                asked.reload.part = Some(number);
            }
            "_HLS_skip" => match &*value {
                "YES" | "v2" => asked.skips = true,
                _ => return Err(fault("_HLS_skip", "YES or v2")),
            },
            "container" => match &*value {
                "ts" => asked.as_ts = true,
                "mp4" => asked.as_ts = false,
                _ => return Err(fault("container", "mp4 or ts")),
            },
            VIEWER => asked.viewer = u64::from_str_radix(&value, 16).ok(),
            // Directives of later versions of HLS, which are for the server.
            _ if name.starts_with("_HLS_") => {}
            _ if is_plain(pair) => carried.push(pair),
            _ => {}
        }
    }
    if asked.reload.part.is_some() && asked.reload.segment.is_none() {
        return Err(QueryError { name: "_HLS_part", found: String::new(), expected: "_HLS_msn= in the same request" });
    }
    let carried = carried.join("&");
    if !carried.is_empty() && carried.len() <= MAX_CARRIED {
        asked.carried = format!("?{carried}");
    }
    Ok(asked)
}

/// Whether it may stand in a playlist as it came.
fn is_plain(pair: &str) -> bool {
    pair.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'#'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn directives_are_read_and_all_else_is_carried_on() {
        let plain = asked("token=a%2Fb&x&container=ts").unwrap();
        assert_eq!((plain.carried.as_str(), plain.as_ts), ("?token=a%2Fb&x", true));
        let reload = asked("_HLS_msn=7&_HLS_part=3&_HLS_skip=YES&s=1f&_HLS_new=1&k=1").unwrap();
        let expect = Reload { segment: Some(7), part: Some(3) };
        assert_eq!((reload.reload, reload.skips, reload.viewer), (expect, true, Some(31)));
        assert_eq!(reload.carried, "?k=1");
        for query in
            ["_HLS_msn=-1", "_HLS_msn=", "_HLS_part=1", "_HLS_msn=1&_HLS_part=x", "_HLS_skip=no", "container=avi"]
        {
            assert!(asked(query).is_err(), "{query}");
        }
        assert_eq!(asked("a=\"&b=<>").unwrap().carried, "");
        assert_eq!(asked(&format!("a={}", "x".repeat(2000))).unwrap().carried, "");
    }

    proptest! {
        #[test]
        fn nothing_breaks_a_playlist(query in ".*") {
            if let Ok(asked) = asked(&query) {
                prop_assert!(!asked.carried.contains(['"', '\n', '\r', '#']));
            }
        }
    }
}
