//! How a client reaches this server: scheme, name and port, for links. Pure.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Version, header, uri::Authority};
use std::fmt;

const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// The beginning of every absolute address of this server, without a slash at its end: `https://cams.example:8443`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    is_https: bool,
    /// With the port, where it is not the usual one.
    host: String,
}

impl Default for Site {
    fn default() -> Self {
        Self { is_https: false, host: "localhost".to_owned() }
    }
}

impl Site {
    /// As the request and its connection have it. Where the connection is that of a trusted proxy, what that says of the request that it got:
    /// `Forwarded` (RFC 7239), else `X-Forwarded-Proto`, `X-Forwarded-Host` and `X-Forwarded-Port`.
    pub fn of<B>(request: &Request<B>, is_of_proxy: bool, is_https: bool) -> Self {
        let headers = request.headers();
        let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let named = request.uri().authority().map(Authority::as_str).or(named);
        let mut site = Self { is_https, host: named.and_then(host).unwrap_or(Self::default().host) };
        if is_of_proxy {
            site.forwarded(headers);
        }
        site
    }

    /// Whether the client uses TLS.
    pub const fn is_https(&self) -> bool {
        self.is_https
    }

    fn forwarded(&mut self, headers: &HeaderMap) {
        let first = |name| Some(headers.get(name)?.to_str().ok()?.split(',').next()?.trim());
        let standard = first(header::FORWARDED);
        let parameter = |wanted: &str| {
            standard?.split(';').find_map(|pair| {
                let (name, value) = pair.trim().split_once('=')?;
                name.eq_ignore_ascii_case(wanted).then(|| value.trim_matches('"'))
            })
        };
        let (proto, named) = match standard {
            Some(_) => (parameter("proto"), parameter("host")),
            None => (first(PROTO), first(HOST)),
        };
        match proto.map(str::to_ascii_lowercase).as_deref() {
            Some("https" | "wss") => self.is_https = true,
            Some("http" | "ws") => self.is_https = false,
            _ => {}
        }
        if let Some(named) = named.and_then(host) {
            self.host = named;
        }
        let usual = if self.is_https { 443 } else { 80 };
        let port = first(PORT).filter(|_| standard.is_none()).and_then(|port| port.parse::<u16>().ok());
        let has_port = self.host.parse::<Authority>().is_ok_and(|host| host.port().is_some());
        if let Some(port) = port.filter(|port| *port != usual && !has_port) {
            self.host = format!("{}:{port}", self.host);
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.is_https { "https" } else { "http" }, self.host)
    }
}

/// A name or address with an optional port, if the text is one and nothing else.
fn host(text: &str) -> Option<String> {
    is_host(text).then(|| text.to_owned())
}

fn is_host(text: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    !text.is_empty() && text.bytes().all(is_safe) && text.parse::<Authority>().is_ok()
}

/// Why the `Host` of a request is not good (RFC 9112, section 3.2), if so. A message of HTTP/1.1 has one, of HTTP/1.0 at most one;
/// that of HTTP/2 may be in `:authority`. It may be empty.
pub fn host_fault<B>(request: &Request<B>) -> Option<&'static str> {
    let mut fields = request.headers().get_all(header::HOST).iter();
    let (first, second) = (fields.next(), fields.next());
    let is_good =
        |value: &HeaderValue| value.is_empty() || value.to_str().is_ok_and(|text| text.parse::<Authority>().is_ok());
    match (first, second) {
        (Some(_), Some(_)) => Some("a request must have one Host header, not several"),
        (Some(host), None) if !is_good(host) => Some("the Host header must be a name or address with an optional port"),
        (None, _) if request.version() == Version::HTTP_11 => Some("a request of HTTP/1.1 must have a Host header"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, fields: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn check(is_of_proxy: bool, fields: &[(&str, &str)], expect: &str) {
        let site = Site::of(&request("/", fields), is_of_proxy, false);
        assert_eq!(site.to_string(), expect, "{is_of_proxy} {fields:?}");
    }

    #[test]
    fn links_are_as_the_client_reaches_the_server() {
        check(false, &[("host", "cams:8090")], "http://cams:8090");
        check(false, &[("host", "[2001:db8::1]:8090")], "http://[2001:db8::1]:8090");
        check(false, &[], "http://localhost");
        check(false, &[("host", "\"><script>")], "http://localhost");
        let site = Site::of(&request("http://cams.example/x", &[("host", "other")]), false, false);
        assert_eq!(site.to_string(), "http://cams.example");
    }

    #[test]
    fn a_trusted_proxy_is_believed() {
        let host = ("host", "10.0.0.1:8090");
        let proto = ("x-forwarded-proto", "https");
        check(true, &[host, proto], "https://10.0.0.1:8090");
        check(true, &[host, proto, ("x-forwarded-host", "cams.example")], "https://cams.example");
        check(true, &[host, proto, ("x-forwarded-host", "a.example, b.example")], "https://a.example");
        check(true, &[host, ("x-forwarded-proto", "HTTPS, http")], "https://10.0.0.1:8090");
        let named = ("x-forwarded-host", "cams.example");
        check(true, &[host, proto, named, ("x-forwarded-port", "8443")], "https://cams.example:8443");
        check(true, &[host, proto, named, ("x-forwarded-port", "443")], "https://cams.example");
        check(true, &[host, proto, ("x-forwarded-port", "8443")], "https://10.0.0.1:8090");
        let standard = ("forwarded", "for=192.0.2.1;Proto=https;host=\"cams.example:444\", for=192.0.2.2;proto=http");
        check(true, &[host, standard], "https://cams.example:444");
        check(true, &[host, standard, ("x-forwarded-host", "other")], "https://cams.example:444");
    }

    #[test]
    fn others_are_not_believed_and_nonsense_does_not_count() {
        let host = ("host", "cams:8090");
        let (proto, named) = (("x-forwarded-proto", "https"), ("x-forwarded-host", "evil.example"));
        check(false, &[host, proto, named], "http://cams:8090");
        check(false, &[host, ("forwarded", "proto=https;host=evil.example")], "http://cams:8090");
        check(true, &[host, ("x-forwarded-proto", "javascript"), ("x-forwarded-host", "a b")], "http://cams:8090");
        check(true, &[host, ("x-forwarded-host", "a/<b>"), ("x-forwarded-port", "x")], "http://cams:8090");
    }

    #[test]
    fn a_request_has_one_host() {
        let fault = |version: Version, hosts: &[&str]| {
            let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            let mut request = request("/", &fields);
            *request.version_mut() = version;
            host_fault(&request).is_some()
        };
        for (hosts, old, new) in [
            (&["a"][..], false, false),
            (&[""], false, false),
            (&["a:1"], false, false),
            (&["[::1]:1"], false, false),
            (&[], false, true),
            (&["a", "a"], true, true),
            (&["a b"], true, true),
            (&["a/b"], true, true),
        ] {
            assert_eq!(fault(Version::HTTP_10, hosts), old, "1.0 {hosts:?}");
            assert_eq!(fault(Version::HTTP_11, hosts), new, "1.1 {hosts:?}");
        }
        assert!(!fault(Version::HTTP_2, &[]) && fault(Version::HTTP_2, &["a", "b"]));
    }
}
