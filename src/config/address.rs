//! The parts of addresses like `srt://host:port?name=value`, and what is shown of those of HTTP.

use crate::access::{MASK, Secret};
use http::Uri;
use percent_encoding::percent_decode_str;

/// Host and port of an authority, without brackets; the port is `None` where there is none. `None` when it is malformed.
pub(super) fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']')?;
            (host, if behind.is_empty() { None } else { Some(behind.strip_prefix(':')?) })
        }
        None => match authority.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => return None,
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = port.map(|port| port.parse().ok().filter(|port| *port != 0).ok_or(())).transpose().ok()?;
    Some((host, port))
}

/// Host and port as an address has them.
pub(super) fn authority(host: &str, port: Option<u16>) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

/// Names and decoded values, in their order.
pub(super) type Parameters<'a> = Vec<(&'a str, String)>;

/// The parameters of a query, decoded; one without `=` has an empty value. `None` when a value is no text.
pub(super) fn parameters(query: &str) -> Option<Parameters<'_>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let decoded = |pair: &'_ str| -> Option<(usize, String)> {
        let end = pair.find('=').unwrap_or(pair.len());
        let value = pair.get(end + 1..).unwrap_or_default();
        Some((end, percent_decode_str(value).decode_utf8().ok()?.into_owned()))
    };
    pairs.map(|pair| decoded(pair).and_then(|(end, value)| Some((pair.get(..end)?, value)))).collect()
}

/// Scheme and host of an address: the path of many receivers is their only secret.
pub(super) fn masked_url(url: &str) -> String {
    let uri = url.parse::<Uri>().ok();
    let origin = uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)));
    origin.map_or_else(|| MASK.to_owned(), |(scheme, authority)| format!("{scheme}://{authority}/{MASK}"))
}

/// What [`http_url`] expects.
pub(super) const HTTP_URL: &str = "an address that begins with http:// or https://, without user and password";

/// An address of HTTP whose path may be a secret.
pub(super) fn http_url(text: &str) -> Option<Secret> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority().filter(|authority| !authority.host().is_empty())?;
    let is_good = matches!(uri.scheme_str(), Some("http" | "https")) && !authority.as_str().contains('@');
    is_good.then(|| Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found() {
        assert_eq!(split_port("h:1"), Some(("h", Some(1))));
        assert_eq!(split_port("[::1]:1"), Some(("::1", Some(1))));
        assert_eq!(split_port("[::1]"), Some(("::1", None)));
        for malformed in ["h:0", "h:x", "::1", "[::1", "[::1]1", "h:65536"] {
            assert_eq!(split_port(malformed), None, "{malformed}");
        }
        assert_eq!((authority("::1", Some(5)), authority("h", None)), ("[::1]:5".to_owned(), "h".to_owned()));
        let found = parameters("streamid=#!::r=a,m=publish&x&y=%26%20").unwrap();
        assert_eq!(found, [("streamid", "#!::r=a,m=publish".into()), ("x", String::new()), ("y", "& ".into())]);
        assert_eq!(parameters("x=%ff"), None);
    }
}
