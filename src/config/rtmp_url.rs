//! The address of a server of RTMP that is published to or played from.

use super::address;
use crate::access::MASK;
use std::fmt;

/// An address whose last part is a secret, as it is with most services: nothing shows it but [`RtmpUrl::text`].
#[derive(Clone, PartialEq, Eq)]
pub struct RtmpUrl {
    /// Whether it is encrypted.
    pub is_tls: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What precedes the last slash of the path, without a slash at its begin; may be empty.
    pub app: String,
    /// What follows it, with the query.
    pub key: String,
}

impl RtmpUrl {
    /// Reads an address; the error says what is wrong.
    ///
    /// # Errors
    /// When it is none, or of another protocol.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("an address like rtmp://host/app/key")?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "rtmp" => false,
            "rtmps" => true,
            _ => return Err("an address that begins with rtmp:// or rtmps://"),
        };
        let (authority, path) = rest.split_once('/').ok_or("an address with a path, like rtmp://host/app/key")?;
        if authority.contains('@') {
            return Err(
                "an address without a user in front of the host: name it in the query, where the target takes one",
            );
        }
        let (host, port) = address::split_port(authority).ok_or("a host with a port from 1 to 65535, if any")?;
        let is_good = |c: char| !c.is_whitespace() && !c.is_control();
        if host.is_empty() || !text.chars().all(is_good) {
            return Err("a host, and no white space");
        }
        // Slashes of a query are part of it.
        let end = path.find('?').unwrap_or(path.len());
        let (before, query) = path.split_at(end);
        let (app, name) = before.rsplit_once('/').unwrap_or(("", before));
        let key = format!("{name}{query}");
        if key.is_empty() {
            return Err("an address with a path, like rtmp://host/app/key");
        }
        let port = port.unwrap_or(usual_port(is_tls));
        Ok(Self { is_tls, host: host.to_owned(), port, app: app.to_owned(), key })
    }

    /// The whole address, with its secret.
    pub fn text(&self) -> String {
        self.with_key(&self.key)
    }

    /// The address without its secret, for people.
    pub fn masked(&self) -> Self {
        // A query of the part in front may have a key as well.
        let app = self.app.split('?').next().unwrap_or_default().to_owned();
        Self { key: MASK.to_owned(), app, ..self.clone() }
    }

    /// Host and port, as an address has them.
    pub fn authority(&self) -> String {
        let port = Some(self.port).filter(|port| *port != usual_port(self.is_tls));
        address::authority(&self.host, port)
    }

    /// The address before the key, without a slash at its end.
    pub fn base(&self) -> String {
        let app = if self.app.is_empty() { String::new() } else { format!("/{}", self.app) };
        let scheme = if self.is_tls { "rtmps" } else { "rtmp" };
        format!("{scheme}://{}{app}", self.authority())
    }

    fn with_key(&self, key: &str) -> String {
        format!("{}/{key}", self.base())
    }
}

const fn usual_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 1935 }
}

/// Without its secret.
impl fmt::Display for RtmpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked().text())
    }
}

/// Without its secret.
impl fmt::Debug for RtmpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_read_and_their_keys_hidden() {
        let check = |text: &str, parts: (&str, u16, &str, &str), masked: &str| {
            let url = RtmpUrl::parse(text).unwrap();
            assert_eq!((url.host.as_str(), url.port, url.app.as_str(), url.key.as_str()), parts, "{text}");
            assert_eq!((url.to_string(), format!("{url:?}")), (masked.to_owned(), masked.to_owned()));
            assert_eq!(RtmpUrl::parse(&url.text()).as_ref(), Ok(&url));
        };
        check("rtmp://host/app/key", ("host", 1935, "app", "key"), "rtmp://host/app/***");
        check(
            "RTMPS://a.rtmp.example:8443/live2/k-1?x=a/b",
            ("a.rtmp.example", 8443, "live2", "k-1?x=a/b"),
            "rtmps://a.rtmp.example:8443/live2/***",
        );
        check("rtmp://[::1]:1936/studio?key=s3cret", ("::1", 1936, "", "studio?key=s3cret"), "rtmp://[::1]:1936/***");
        check("rtmps://h:443/a/b/c", ("h", 443, "a/b", "c"), "rtmps://h/a/b/***");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "host/app",
            "http://host/app/key",
            "rtmp://host",
            "rtmp://host/",
            "rtmp:///app/key",
            "rtmp://u:p@host/app/key",
            "rtmp://host:0/a",
            "rtmp://host:x/a",
            "rtmp://::1/a",
            "rtmp://[::1/a",
            "rtmp://host/a b",
        ] {
            assert!(RtmpUrl::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_never_has_the_key(app in "[a-z/]{0,8}", key in "KEY[a-zA-Z0-9?=&]{1,12}") {
            if let Ok(url) = RtmpUrl::parse(&format!("rtmp://host/{app}/{key}")) {
                let shown = format!("{url} {url:?} {:?}", url.masked());
                prop_assert!(!shown.contains("KEY"));
            }
        }

        #[test]
        fn foreign_text_never_panics(text in "(rtmp://)?[a-z/?=%0-9:.@é\\[\\]]{0,40}") {
            let _ = RtmpUrl::parse(&text);
        }
    }
}
