//! What pages of other origins may do (<https://fetch.spec.whatwg.org/#http-cors-protocol>): use media with the headers that they like,
//! read the headers that media and stills have, and nothing else. Pure.

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, uri::Authority};

/// How long a browser may remember what it asked. Nothing of it depends on the configuration.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");
/// Longest list of headers that is allowed as it was asked for.
const MAX_ASKED: usize = 2048;
/// What scripts may read beside the headers that they always may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Accept-Post, Content-Length, Date, ETag, Link, Location, Retry-After, X-Capture-Time, X-Request-Id, X-Timestamp",
);

/// Lets scripts of any page read the response. For media, stills and what plays them: they come without credentials then, as
/// browsers demand for `*`.
pub fn allow_any_origin(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    // For pages that isolate themselves (COEP), also of elements like `<img>` and `<video>`.
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
}

/// Sets what the response to a preflight says. `methods`: those that the path has.
pub fn permit(asked: &HeaderMap, methods: &HeaderValue, headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods.clone());
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    headers.insert(header::VARY, HeaderValue::from_static("access-control-request-headers"));
    // `*` would not do for `Authorization`.
    let mut names = Vec::new();
    for field in asked.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        let Ok(field) = field.to_str() else { continue };
        names.extend(field.split(',').map(str::trim).filter(|name| is_token(name)));
    }
    let names = names.join(", ");
    if let Some(names) = Some(names).filter(|names| (1..=MAX_ASKED).contains(&names.len()))
        && let Ok(names) = HeaderValue::from_str(&names)
    {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
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

/// Whether the page that shows media may: one of this host, or of one of `referers`, where there are any. What comes from no page may, as players
/// send neither `Origin` nor `Referer`.
pub fn is_permitted_page(headers: &HeaderMap, referers: &[String]) -> bool {
    let value = |name: HeaderName| headers.get(name).map(HeaderValue::as_bytes);
    let Some(page) = value(header::ORIGIN).or_else(|| value(header::REFERER)).filter(|_| !referers.is_empty()) else {
        return true;
    };
    let page = std::str::from_utf8(page).ok().and_then(|page| page.parse::<Uri>().ok());
    // Also that of an opaque origin, `null`.
    let Some(page) = page.as_ref().filter(|page| page.scheme().is_some()).and_then(Uri::host) else { return false };
    let page = page.to_ascii_lowercase();
    let own = value(header::HOST).and_then(|host| Authority::try_from(host).ok());
    let is_listed = |listed: &String| match listed.strip_prefix('*') {
        Some(below) => page.len() > below.len() && page.ends_with(below),
        None => page == *listed,
    };
    own.is_some_and(|own| own.host().eq_ignore_ascii_case(&page)) || referers.iter().any(is_listed)
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

    fn allowed(asked: &[&str]) -> Option<String> {
        let asked =
            asked.iter().map(|names| (header::ACCESS_CONTROL_REQUEST_HEADERS, names.parse().unwrap())).collect();
        let mut headers = HeaderMap::new();
        permit(&asked, &HeaderValue::from_static("GET"), &mut headers);
        headers.get(header::ACCESS_CONTROL_ALLOW_HEADERS).map(|names| names.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_page_may_send_the_headers_that_it_asks_for() {
        assert_eq!(allowed(&[]), None);
        assert_eq!(allowed(&["icy-metadata,traceparent"]).as_deref(), Some("icy-metadata, traceparent"));
        assert_eq!(allowed(&["authorization", " x-a , x-b"]).as_deref(), Some("authorization, x-a, x-b"));
        assert_eq!(allowed(&["x-a, <b>, ,x c"]).as_deref(), Some("x-a"));
        assert_eq!(allowed(&[&"x,".repeat(MAX_ASKED)]), None);
    }

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
    fn pages_of_listed_hosts_show_media() {
        let referers = ["tv.example.org".to_owned(), "*.example.net".to_owned()];
        let check = |fields: &[(&'static str, &str)], expect| {
            assert_eq!(is_permitted_page(&headers(fields), &referers), expect, "{fields:?}");
            assert!(is_permitted_page(&headers(fields), &[]));
        };
        let host = ("host", "media.example:8090");
        check(&[host], true);
        check(&[], true);
        for page in [
            "http://media.example",
            "https://TV.example.org/a?b",
            "http://a.b.example.net:81/",
            "http://media.example:1/",
        ] {
            check(&[host, ("referer", page)], true);
        }
        for page in [
            "http://evil.example/",
            "https://tv.example.org.evil/",
            "http://example.net/",
            "http://evilexample.net/",
            "x",
            "/tv.example.org",
            "null",
        ] {
            check(&[host, ("referer", page)], false);
        }
        // A script cannot change its origin, and leaves out what leads here as it likes.
        check(&[host, ("origin", "null")], false);
        check(&[host, ("origin", "http://evil.example"), ("referer", "http://tv.example.org/")], false);
        check(&[host, ("origin", "http://tv.example.org")], true);
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
