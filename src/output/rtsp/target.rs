//! Addresses of requests: `rtsp://host:8554/cam0/trackID=1`, in all the forms that clients make of what they were sent. Pure.

use percent_encoding::percent_decode_str;

/// What a description calls a track: `trackID=1`.
const TRACK: &str = "trackID=";

/// What an address names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The percent-decoded path, without a slash at its end and without the track.
    pub path: String,
    /// After the `?`, without the track.
    pub query: String,
    /// The name of a track, as it stands at the end of the address: whatever follows the last slash, if it looks like one.
    pub track: Option<String>,
}

impl Target {
    /// Reads an address; `None` when it is none, or `*`.
    pub fn parse(target: &str) -> Option<Self> {
        let rest = match target.split_once("://") {
            Some((scheme, rest)) if matches!(scheme.to_ascii_lowercase().as_str(), "rtsp" | "rtsps" | "rtspu") => {
                rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
            }
            Some(_) => return None,
            None if target.starts_with('/') => target,
            None => return None,
        };
        let (rest, track) = without_track(rest);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = percent_decode_str(path.trim_end_matches('/')).decode_utf8().ok()?.into_owned();
        let is_valid = !path.chars().any(char::is_control);
        is_valid.then(|| Self { path, query: query.trim_end_matches('/').to_owned(), track: track.map(str::to_owned) })
    }

    /// The number of the track, where it has one of ours.
    pub fn track_number(&self) -> Option<usize> {
        track_number(self.track.as_deref()?)
    }
}

/// The name of a track in a description.
pub fn track_name(number: usize) -> String {
    format!("{TRACK}{number}")
}

/// The number in the name of a track, whoever named it: `trackID=1`, `streamid=1`, `stream=1`, `track1`.
fn track_number(name: &str) -> Option<usize> {
    let digits = name.len() - name.bytes().rev().take_while(u8::is_ascii_digit).count();
    name.get(digits..)?.parse().ok()
}

/// The address and the track at its end. The query may be in the middle, and slashes may be doubled.
fn without_track(target: &str) -> (&str, Option<&str>) {
    let Some((before, last)) = target.rsplit_once('/') else { return (target, None) };
    let lower = last.to_ascii_lowercase();
    let is_track = ["trackid=", "streamid=", "stream=", "track=", "track"].iter().any(|prefix| {
        lower
            .strip_prefix(prefix)
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    });
    if is_track { (before, Some(last)) } else { (target, None) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_of_clients_are_read() {
        #[track_caller]
        fn check(target: &str, path: &str, query: &str, track: Option<usize>) {
            let found = Target::parse(target).unwrap();
            assert_eq!(
                (found.path.as_str(), found.query.as_str(), found.track_number()),
                (path, query, track),
                "{target}"
            );
        }
        check("rtsp://cam:8554/cam0", "/cam0", "", None);
        check("RTSP://cam:8554/cam0/", "/cam0", "", None);
        check("rtsp://cam/cam0/trackID=1", "/cam0", "", Some(1));
        check("rtsp://cam/cam0//trackID=1", "/cam0", "", Some(1));
        check("rtsp://cam/cam0/?v=x/trackID=0", "/cam0", "v=x", Some(0));
        check("rtsp://cam/cam0?v=x/trackID=0", "/cam0", "v=x", Some(0));
        check("rtsp://cam/cam0/trackID=0?v=x", "/cam0/trackID=0", "v=x", None);
        check("rtsp://cam/a%20b/streamid=12", "/a b", "", Some(12));
        check("rtsps://[::1]:322/stream/cam0/stream=3", "/stream/cam0", "", Some(3));
        check("/cam0/track2", "/cam0", "", Some(2));
        check("rtsp://cam", "", "", None);
        check("rtsp://cam/cam0/track", "/cam0/track", "", None);
        assert_eq!(["*", "http://cam/cam0", "cam0", ""].map(Target::parse), [None, None, None, None]);
        assert_eq!(track_number(&track_name(7)), Some(7));
    }

    proptest! {
        #[test]
        fn foreign_text_never_panics(target in "(rtsp://)?[a-z/?=%0-9:.é]{0,40}") {
            let _ = Target::parse(&target).map(|target| target.track_number());
        }
    }
}
