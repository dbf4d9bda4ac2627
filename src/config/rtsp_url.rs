//! The address of a server of RTSP that is published to: `rtsp://user:password@host:8554/studio?key=…`.

use super::address;
use crate::access::{MASK, Secret};
use percent_encoding::percent_decode_str;
use std::fmt;

/// A server that is published to. The user with the password, and the query, are secret.
#[derive(Clone, PartialEq, Eq)]
pub struct RtspUrl {
    /// Whether it is encrypted.
    pub is_tls: bool,
    /// Who publishes, for a server that asks.
    pub user: Option<(String, Secret)>,
    /// Name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// With a slash at its begin.
    path: String,
    /// The query with its question mark, or nothing.
    query: String,
    /// The user as it is written, or what hides it.
    written: Option<String>,
}

impl RtspUrl {
    /// Reads an address; the error says what is expected.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        const ADDRESS: &str = "an address with a path, like rtsp://user:password@host:8554/studio";
        let (scheme, rest) = text.split_once("://").ok_or(ADDRESS)?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "rtsp" => false,
            "rtsps" => true,
            _ => return Err(ADDRESS.to_owned()),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let query = target.find('?').unwrap_or(target.len());
        let (path, query) = target.split_at(query);
        if path.trim_matches('/').is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!("{ADDRESS}, and no white space"));
        }
        let (written, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, authority),
        };
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned());
        let user = match written {
            None => None,
            Some(user) => {
                let (user, password) = user.split_once(':').ok_or("a user with a password, like user:password@host")?;
                let both = decoded(user).zip(decoded(password));
                let (user, password) = both.ok_or("a user and a password that are text in UTF-8")?;
                Some((user, Secret::new(password)))
            }
        };
        let (host, port) = address::split_port(authority).filter(|(host, _)| !host.is_empty()).ok_or(ADDRESS)?;
        Ok(Self {
            is_tls,
            user,
            host: host.to_owned(),
            port: port.unwrap_or(usual_port(is_tls)),
            path: path.to_owned(),
            query: query.to_owned(),
            written: written.map(str::to_owned),
        })
    }

    /// The address that requests name: without the user.
    pub fn request(&self) -> String {
        format!("{}{}{}", self.base(""), self.path, self.query)
    }

    /// The whole address, with its secrets.
    pub fn text(&self) -> String {
        let user = self.written.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        format!("{}{}{}", self.base(&user), self.path, self.query)
    }

    /// The address without its secrets, for people.
    pub fn masked(&self) -> Self {
        let query = if self.query.is_empty() { String::new() } else { format!("?{MASK}") };
        Self { query, user: None, written: self.written.as_ref().map(|_| MASK.to_owned()), ..self.clone() }
    }

    fn base(&self, user: &str) -> String {
        let scheme = if self.is_tls { "rtsps" } else { "rtsp" };
        let port = Some(self.port).filter(|port| *port != usual_port(self.is_tls));
        format!("{scheme}://{user}{}", address::authority(&self.host, port))
    }
}

const fn usual_port(is_tls: bool) -> u16 {
    if is_tls { 322 } else { 554 }
}

/// Without its secrets.
impl fmt::Display for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked().text())
    }
}

/// Without its secrets.
impl fmt::Debug for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_read_and_its_secrets_hidden() {
        let url = RtspUrl::parse("rtsp://anna:s3cret%40x@[::1]:8554/live/studio?key=s3cret").unwrap();
        let (user, password) = url.user.as_ref().unwrap();
        assert_eq!((user.as_str(), password.expose(), url.host.as_str(), url.port), ("anna", "s3cret@x", "::1", 8554));
        assert_eq!(url.request(), "rtsp://[::1]:8554/live/studio?key=s3cret");
        assert_eq!(
            (url.to_string(), format!("{url:?}")),
            ("rtsp://***@[::1]:8554/live/studio?***".into(), url.to_string())
        );
        assert_eq!(RtspUrl::parse(&url.text()), Ok(url));
        let plain = RtspUrl::parse("RTSPS://host/studio").unwrap();
        assert_eq!((plain.port, plain.user.clone(), plain.to_string()), (322, None, "rtsps://host/studio".to_owned()));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "rtsp://host",
            "rtsp://host/",
            "rtsp://host?a/b",
            "rtsp:///studio",
            "rtsp://anna@host/studio",
            "rtsp://h:0/a",
            "http://h/a",
            "rtsp://h/a b",
        ] {
            assert!(RtspUrl::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_has_no_secret(user in "[a-z]{1,5}", password in "SECRET[a-z0-9]{1,9}", query in "SECRET[a-z=&]{0,9}") {
            let url = RtspUrl::parse(&format!("rtsp://{user}:{password}@host/path?{query}")).unwrap();
            let shown = format!("{url} {url:?}");
            prop_assert!(!shown.contains("SECRET"));
        }

        #[test]
        fn foreign_text_never_panics(text in "(rtsps?://)?[a-z/?=%0-9:.@é\\[\\]]{0,40}") {
            let _ = RtspUrl::parse(&text);
        }
    }
}
