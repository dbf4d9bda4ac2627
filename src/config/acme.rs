//! `tls.acme:`: which authority signs for which names, and how the server proves that they are its own.

use super::{
    auth::host_name,
    diagnostics::Path,
    expected::{Expected, flag, path_name},
    model::{Acme, Challenge},
    raw,
    spans::Place,
    validator::Validator,
};
use http::Uri;
use serde_yaml::Value;
use std::{collections::HashSet, net::IpAddr};

/// Let's Encrypt, which everybody trusts and may use.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Most names of a certificate: authorities sign for a hundred at most, and of a certificate 64 are read.
const MAX_NAMES: usize = 50;
/// Most addresses of people.
const MAX_CONTACTS: usize = 8;
/// Longest address of a directory in bytes: the name of its folder is made of it, and has at most 255.
const MAX_DIRECTORY: usize = 200;
/// The port on which authorities ask for files (RFC 8555, section 8.3).
const HTTP: u16 = 80;

impl Validator {
    /// The section of a server that listens on this port.
    pub(super) fn acme(&mut self, path: &Path, value: Value, port: u16) -> Acme {
        let keys: raw::Acme = self.section(path, value);
        let has_none = matches!(&keys.names, Some(Value::Sequence(names)) if names.is_empty());
        let has_names = keys.names.is_some();
        let mut names = keys.names.map(|value| self.scalars(&path.key("names"), value, name)).unwrap_or_default();
        let mut known = HashSet::new();
        names.retain(|name| known.insert(name.clone()));
        let contact = keys.contact.map(|value| self.scalars(&path.key("contact"), value, contact)).unwrap_or_default();
        let default = || DIRECTORY.to_owned();
        let directory = self.value(&path.key("directory"), keys.directory, directory).unwrap_or_else(default);
        let authority = self.value(&path.key("authority"), keys.authority, path_name);
        let usual = if port == HTTP { Challenge::Http } else { Challenge::TlsAlpn };
        let challenge = self.value(&path.key("challenge"), keys.challenge, challenge).unwrap_or(usual);
        let says_nothing = keys.accept_terms.is_none();
        let accepted = self.value(&path.key("accept_terms"), keys.accept_terms, flag);
        if says_nothing || accepted == Some(false) {
            let message =
                "expected `accept_terms: true`: who has an account there agrees to the terms of the authority";
            self.note(path, Place::Key, message.to_owned());
        }
        for (key, count, most) in [("names", names.len(), MAX_NAMES), ("contact", contact.len(), MAX_CONTACTS)] {
            if count > most {
                self.note(&path.key(key), Place::Key, format!("has {count} entries, at most {most} are possible"));
            }
        }
        if !has_names {
            self.note(path, Place::Key, "expected `names`, those that the certificate is for".to_owned());
        } else if has_none {
            self.note(&path.key("names"), Place::Key, "expected at least one name".to_owned());
        }
        Acme { names, contact, directory, authority, challenge }
    }
}

/// The section as it could have been read.
pub(super) fn printed(acme: &Acme) -> Value {
    let text = |text: &str| Some(Value::String(text.to_owned()));
    let list = |texts: &[String]| Some(Value::Sequence(texts.iter().cloned().map(Value::String).collect()));
    let keys = raw::Acme {
        names: list(&acme.names),
        accept_terms: Some(Value::Bool(true)),
        contact: list(&acme.contact).filter(|_| !acme.contact.is_empty()),
        directory: text(&acme.directory),
        authority: acme.authority.as_deref().and_then(|path| text(&path.to_string_lossy())),
        challenge: text(acme.challenge.name()),
    };
    serde_yaml::to_value(&keys).unwrap_or_default()
}

/// A name that both challenges can prove: those of networks and wildcards need an entry in the DNS.
fn name(text: &str) -> Result<String, Expected> {
    let is_name = text.parse::<IpAddr>().is_err() && !text.starts_with('.') && !text.ends_with('.');
    let name = host_name(text).ok().filter(|name| is_name && !name.contains(".."));
    name.ok_or_else(|| "the name of a host like tv.example.org, no address and no wildcard".into())
}

fn contact(text: &str) -> Result<String, Expected> {
    let is_address = text.strip_prefix("mailto:").is_some_and(|address| {
        let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b'?'));
        address.len() <= 254 && is_plain && address.split_once('@').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty())
    });
    if is_address { Ok(text.to_owned()) } else { Err("an address like mailto:me@example.org".into()) }
}

/// An address whose answers nobody can change on their way (RFC 8555, section 6.1).
fn directory(text: &str) -> Result<String, Expected> {
    let is_safe = |uri: &Uri| match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) => !host.is_empty(),
        (Some("http"), Some(host)) => matches!(host, "127.0.0.1" | "[::1]" | "localhost"),
        _ => false,
    };
    let has_user = |uri: &Uri| uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    let uri = text.parse().ok().filter(|uri| text.len() <= MAX_DIRECTORY && is_safe(uri) && !has_user(uri));
    uri.map(|_| text.to_owned())
        .ok_or_else(|| "an address that begins with https://, or one of this machine with http://".into())
}

fn challenge(text: &str) -> Result<Challenge, Expected> {
    let found = Challenge::ALL.into_iter().find(|challenge| challenge.name() == text);
    found.ok_or_else(|| "tls-alpn-01 or http-01".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CertificateSource, Diagnostic, parse, testing::check, to_yaml};

    fn read(text: &str) -> Acme {
        match parse(text).unwrap().tls.unwrap().certificate {
            CertificateSource::Acme(acme) => acme,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn certificates_come_by_acme() {
        let acme = read("tls: {acme: {names: TV.example.org, accept_terms: true}}");
        let expected = Acme {
            names: vec!["tv.example.org".to_owned()],
            contact: Vec::new(),
            directory: DIRECTORY.to_owned(),
            authority: None,
            challenge: Challenge::TlsAlpn,
        };
        assert_eq!(acme, expected);
        let text = "listenport: 80\ntls: {acme: {names: [b, a, B], accept_terms: yes, contact: 'mailto:a@b', \
                    directory: 'https://ca.lan/acme/acme/directory', authority: ca.pem}}";
        let acme = read(text);
        assert_eq!((acme.names.join(" "), acme.challenge), ("b a".to_owned(), Challenge::Http));
        assert_eq!((acme.contact.join(" ").as_str(), acme.authority), ("mailto:a@b", Some("ca.pem".into())));
        let config = parse(text).unwrap();
        assert_eq!(parse(&to_yaml(&config)).unwrap().tls, config.tls);
    }

    #[test]
    fn faults() {
        let terms = "expected `accept_terms: true`: who has an account there agrees to the terms of the authority";
        check("tls: {acme: {names: a}}", &format!("1:7: tls.acme: {terms}"));
        check("tls: {acme: {names: a, accept_terms: no}}", &format!("1:7: tls.acme: {terms}"));
        check(
            "tls: {acme: {accept_terms: true}}",
            "1:7: tls.acme: expected `names`, those that the certificate is for",
        );
        check("tls: {acme: {accept_terms: true, names: []}}", "1:34: tls.acme.names: expected at least one name");
        for bad in ["'*.example.org'", "192.0.2.1", "'::1'", "a..b", ".a", "a b"] {
            let text = format!("tls: {{acme: {{accept_terms: true, names: [{bad}]}}}}");
            let faults = parse(&text).err().unwrap_or_default().iter().map(Diagnostic::to_string).collect::<Vec<_>>();
            assert!(faults.join("\n").contains("no address and no wildcard"), "{bad}: {faults:?}");
        }
        let other = |more: &str| format!("tls: {{acme: {{names: a, accept_terms: true}}, {more}}}");
        check(&other("own: b"), "1:45: tls.own: the certificate comes by `acme`, keep one of them");
        check(
            &other("names: b"),
            "1:45: tls.names: those of a certificate by ACME stand in `acme`: `acme: {names: …}`",
        );
        let key = |more: &str| format!("tls: {{acme: {{names: a, accept_terms: true, {more}}}}}");
        check(
            &key("contact: me@b"),
            "1:53: tls.acme.contact: expected an address like mailto:me@example.org, found \"me@b\"",
        );
        check(
            &key("directory: http://ca.lan/"),
            "1:55: tls.acme.directory: expected an address that begins with https://, or one of this machine with http://, found \"http://ca.lan/\"",
        );
        check(&key("challenge: dns-01"), "1:55: tls.acme.challenge: expected tls-alpn-01 or http-01, found \"dns-01\"");
    }
}
