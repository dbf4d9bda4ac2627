//! What pages of other origins may do: use media, and nothing else. Pure.

use http::{HeaderMap, HeaderValue, header};

/// Lets scripts of any page read the response. For media, stills and what plays them: they come without credentials then, as
/// browsers demand for `*`.
pub fn allow_any_origin(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

/// Whether a browser sends the request for a page of another origin. What is no browser sends none of these headers.
pub fn is_cross_origin(headers: &HeaderMap) -> bool {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = value("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let host = value(header::HOST.as_str());
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, origin)| origin);
    origin.is_none() || origin != host
}

/// Whether pages of the state may be requested by this `Host`: an address, `localhost`, the name of the machine, or one of
/// `names`. Stops pages whose own name was made to lead here. Without `names` any will do.
pub fn is_known_host(host: Option<&str>, names: &[String], machine: &str) -> bool {
    let Some(host) = host.filter(|_| !names.is_empty()) else { return names.is_empty() };
    let host = host.to_ascii_lowercase();
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let name = host.rsplit_once(':').filter(|(_, port)| is_number(port)).map_or(&*host, |(name, _)| name);
    let name = name.strip_suffix('.').unwrap_or(name);
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let machine = machine.to_ascii_lowercase();
    bare.parse::<std::net::IpAddr>().is_ok()
        || name == "localhost"
        || (!machine.is_empty() && (name == machine || name.strip_suffix(".local") == Some(&machine)))
        || names.iter().any(|known| known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn requests_of_other_origins_are_recognised() {
        let check = |fields: &[(&'static str, &str)], expect| {
            assert_eq!(is_cross_origin(&headers(fields)), expect, "{fields:?}")
        };
        let host = ("host", "tv.example:8090");
        check(&[host], false);
        check(&[host, ("origin", "http://tv.example:8090")], false);
        check(&[host, ("origin", "https://tv.example:8090")], false);
        check(&[host, ("origin", "http://tv.example")], true);
        check(&[host, ("origin", "http://evil.example")], true);
        check(&[host, ("origin", "null")], true);
        for (site, expect) in
            [("same-origin", false), ("none", false), ("same-site", true), ("cross-site", true), ("x", true)]
        {
            check(&[host, ("sec-fetch-site", site)], expect);
            check(&[host, ("origin", "http://tv.example:8090"), ("sec-fetch-site", site)], expect);
        }
    }

    #[test]
    fn hosts_are_known_by_address_or_name() {
        let names = ["tv.example.org".to_owned()];
        let check = |host: &str, expect| assert_eq!(is_known_host(Some(host), &names, "Studio"), expect, "{host}");
        for host in ["127.0.0.1", "192.0.2.1:8090", "[::1]:8090", "[2001:db8::1]", "localhost:8090", "LOCALHOST"] {
            check(host, true);
        }
        for host in ["tv.example.org", "TV.example.org:8090", "tv.example.org.", "studio", "studio.local:8090"] {
            check(host, true);
        }
        for host in ["evil.example", "tv.example.org.evil.example", "xtv.example.org", "studio.evil", "", ":80"] {
            check(host, false);
        }
        assert!(!is_known_host(None, &names, "studio"));
        assert!(is_known_host(Some("evil.example"), &[], "studio") && is_known_host(None, &[], ""));
    }
}
