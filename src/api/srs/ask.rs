//! What is asked for on the port for SRS. Pure.

use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

/// Entries of a list where nothing is said, as SRS has it.
const USUAL: usize = 10;
/// Most entries of a list.
const MOST: usize = 10_000;

/// What a path and a method ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// `/`: what there is.
    Root,
    /// `/api`.
    Api,
    /// `/api/v1`.
    V1,
    Versions,
    Summaries,
    Features,
    /// All, or the one with this id.
    Vhosts(Option<String>),
    Streams(Option<String>),
    Clients(Option<String>),
    /// The end of a client.
    Kick(Option<String>),
}

/// Which part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) count: usize,
}

impl Asked {
    /// Reads a request. A slash at the end of a path changes nothing.
    ///
    /// # Errors
    /// The status for what there is not, or not by this method.
    pub(super) fn read(method: &Method, path: &str) -> Result<Self, StatusCode> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let decoded = |part: &str| percent_decode_str(part).decode_utf8().map(|part| part.into_owned());
        let id = |part: &str| decoded(part).map(Some).map_err(|_| StatusCode::BAD_REQUEST);
        let asked = match parts[..] {
            [] => Self::Root,
            ["api"] => Self::Api,
            ["api", "v1"] => Self::V1,
            ["api", "v1", "versions"] => Self::Versions,
            ["api", "v1", "summaries"] => Self::Summaries,
            ["api", "v1", "features"] => Self::Features,
            ["api", "v1", "vhosts"] => Self::Vhosts(None),
            ["api", "v1", "vhosts", one] => Self::Vhosts(id(one)?),
            ["api", "v1", "streams"] => Self::Streams(None),
            ["api", "v1", "streams", one] => Self::Streams(id(one)?),
            ["api", "v1", "clients"] => Self::Clients(None),
            ["api", "v1", "clients", one] => Self::Clients(id(one)?),
            _ => return Err(StatusCode::NOT_FOUND),
        };
        match (method, asked) {
            (&Method::GET | &Method::HEAD, asked) => Ok(asked),
            (&Method::DELETE, Self::Clients(id)) => Ok(Self::Kick(id)),
            _ => Err(StatusCode::METHOD_NOT_ALLOWED),
        }
    }
}

impl Span {
    /// By `start=` and `count=` of a query. What is no number counts as absent, as with SRS, and so does all else.
    pub(super) fn read(query: &str) -> Self {
        let value = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(known, _)| *known == name).find_map(|(_, value)| value.parse::<usize>().ok())
        };
        let count = value("count").filter(|count| *count > 0).unwrap_or(USUAL).min(MOST);
        Self { start: value("start").unwrap_or(0), count }
    }

    /// That part of a list.
    pub(super) fn of<T>(self, list: Vec<T>) -> impl Iterator<Item = T> {
        list.into_iter().skip(self.start).take(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_srs() {
        let read = |method: Method, path: &str| Asked::read(&method, path).map_err(|status| status.as_u16());
        let one = |id: &str| Some(id.to_owned());
        for (path, expect) in [
            ("/", Ok(Asked::Root)),
            ("/api", Ok(Asked::Api)),
            ("/api/", Ok(Asked::Api)),
            ("/api/v1/", Ok(Asked::V1)),
            ("/api/v1/versions", Ok(Asked::Versions)),
            ("/api/v1/summaries/", Ok(Asked::Summaries)),
            ("/api/v1/features", Ok(Asked::Features)),
            ("/api/v1/vhosts/vid-1", Ok(Asked::Vhosts(one("vid-1")))),
            ("/api/v1/streams", Ok(Asked::Streams(None))),
            ("/api/v1/streams/", Ok(Asked::Streams(None))),
            ("/api/v1/streams/a%20b", Ok(Asked::Streams(one("a b")))),
            ("/api/v1/clients/x", Ok(Asked::Clients(one("x")))),
            ("/api/v1/streams/%ff", Err(400)),
            ("/api/v1/raw", Err(404)),
            ("/api/v2", Err(404)),
            ("/api/v1/clients/x/y", Err(404)),
        ] {
            assert_eq!(read(Method::GET, path), expect, "{path}");
        }
        assert_eq!(read(Method::DELETE, "/api/v1/clients/x"), Ok(Asked::Kick(one("x"))));
        assert_eq!(read(Method::DELETE, "/api/v1/clients/"), Ok(Asked::Kick(None)));
        assert_eq!(read(Method::DELETE, "/api/v1/streams/x"), Err(405));
        assert_eq!(read(Method::POST, "/api/v1/clients/x"), Err(405));
    }

    #[test]
    fn lists_come_in_parts() {
        let part = |query: &str| Span::read(query).of((0..30).collect::<Vec<_>>()).collect::<Vec<i32>>();
        assert_eq!(part("").len(), 10);
        assert_eq!(part("start=28&count=5"), [28, 29]);
        assert_eq!(part("count=2"), [0, 1]);
        assert_eq!(part("start=x&count=0&callback=f").len(), 10);
        assert_eq!(part("start=30"), [] as [i32; 0]);
        assert_eq!(Span::read("count=99999999").count, MOST);
    }
}
