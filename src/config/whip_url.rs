//! The address of an endpoint of WHIP that is published to: `whips://host/studio/whip?key=…`.

use super::address;
use crate::access::MASK;
use std::fmt;

/// An endpoint. Its path and query are secret, as services have keys in either: nothing shows them but [`WhipUrl::text`] and
/// [`WhipUrl::endpoint`].
#[derive(Clone, PartialEq, Eq)]
pub struct WhipUrl {
    /// Whether the offer is sent over HTTPS. Media is encrypted in any case.
    pub is_tls: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// The port of HTTP.
    pub port: u16,
    /// Path and query, with the slash at its begin.
    target: String,
}

impl WhipUrl {
    /// Reads an address; the error says what is expected.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const ADDRESS: &str = "an address with a path, like whips://host/studio/whip";
        let (scheme, rest) = text.split_once("://").ok_or(ADDRESS)?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "whip" => false,
            "whips" => true,
            _ => return Err(ADDRESS),
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("an address without a user in front of the host: `token` is what endpoints of WHIP take");
        }
        let (host, port) = address::split_port(authority).filter(|(host, _)| !host.is_empty()).ok_or(ADDRESS)?;
        let is_path = target.len() > 1 && target.starts_with('/');
        let port = port.unwrap_or(usual_port(is_tls));
        let url = Self { is_tls, host: host.to_owned(), port, target: target.to_owned() };
        let is_good = is_path && !text.contains('#') && url.endpoint().parse::<http::Uri>().is_ok();
        if is_good { Ok(url) } else { Err(ADDRESS) }
    }

    /// Where the offer is sent, with its secrets: an address of HTTP.
    pub fn endpoint(&self) -> String {
        format!("{}{}", self.base("http"), self.target)
    }

    /// The whole address, with its secrets.
    pub fn text(&self) -> String {
        format!("{}{}", self.base("whip"), self.target)
    }

    /// The address without its secrets, for people.
    pub fn masked(&self) -> Self {
        Self { target: format!("/{MASK}"), ..self.clone() }
    }

    fn base(&self, scheme: &str) -> String {
        let port = Some(self.port).filter(|port| *port != usual_port(self.is_tls));
        let s = if self.is_tls { "s" } else { "" };
        format!("{scheme}{s}://{}", address::authority(&self.host, port))
    }
}

const fn usual_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

/// Without its secrets.
impl fmt::Display for WhipUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked().text())
    }
}

/// Without its secrets.
impl fmt::Debug for WhipUrl {
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
        let check = |text: &str, endpoint: &str, masked: &str| {
            let url = WhipUrl::parse(text).unwrap();
            assert_eq!((url.endpoint().as_str(), url.text().as_str()), (endpoint, text));
            assert_eq!((url.to_string(), format!("{url:?}")), (masked.to_owned(), masked.to_owned()));
        };
        check("whip://[::1]:8090/a/whip?key=s", "http://[::1]:8090/a/whip?key=s", "whip://[::1]:8090/***");
        check("whips://host/s3cret/publish", "https://host/s3cret/publish", "whips://host/***");
        assert_eq!(WhipUrl::parse("WHIPS://host:443/x").unwrap().text(), "whips://host/x");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "whip://host",
            "whip://host/",
            "whip://host?a",
            "whip:///a",
            "whip://u:p@host/a",
            "whip://host:0/a",
            "whip://host/a b",
            "whip://host/a#b",
            "http://host/a",
        ] {
            assert!(WhipUrl::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_has_no_secret(path in "SECRET[a-z/]{0,9}", query in "SECRET[a-z=&]{0,9}") {
            let url = WhipUrl::parse(&format!("whips://host/{path}?{query}")).unwrap();
            let shown = format!("{url} {url:?}");
            prop_assert!(!shown.contains("SECRET"));
        }

        #[test]
        fn foreign_text_never_panics(text in "(whips?://)?[a-z/?=%0-9:.@é\\[\\]#]{0,40}") {
            let _ = WhipUrl::parse(&text);
        }
    }
}
