//! The address of a listener of SRT that is called: `srt://host:port?streamid=…&passphrase=…&latency=…&pbkeylen=…&kmrefreshrate=…`.

use super::address;
use crate::access::{MASK, Secret};
use std::{fmt, ops::RangeInclusive, time::Duration};

/// The latency of libsrt.
const LATENCY: Duration = Duration::from_millis(120);
/// Milliseconds of a latency.
const LATENCIES: RangeInclusive<u64> = 20..=8000;
/// Bytes of a passphrase, as the protocol has it.
const PASSPHRASE: RangeInclusive<usize> = 10..=79;
/// Packets with one key: as many as libsrt has.
const KEY_REFRESH: u64 = 1 << 24;
const KEY_REFRESHES: RangeInclusive<u64> = 256..=1 << 30;
/// Most bytes of a stream id.
const STREAM_ID: usize = 512;

/// A listener that is called. Its query is secret as a whole: a stream id has keys and passwords as well.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtUrl {
    /// Name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What is asked for; may be empty.
    pub stream_id: Secret,
    /// Encrypts, if there is one.
    pub passphrase: Option<Secret>,
    /// Bytes of the keys that the passphrase wraps: 16, 24 or 32.
    pub key_bytes: u8,
    /// How long lost packets are waited for, at least.
    pub latency: Duration,
    /// Packets that are sent with one key.
    pub key_refresh: u64,
    /// The query as it is written, without its question mark.
    query: String,
}

impl SrtUrl {
    /// Reads an address; the error says what is expected.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        const ADDRESS: &str = "an address with a port, like srt://host:8890?streamid=publish:name";
        let (scheme, rest) = text.split_once("://").ok_or(ADDRESS)?;
        if !scheme.eq_ignore_ascii_case("srt") {
            return Err(ADDRESS.to_owned());
        }
        let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(['@', '/']) || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!("{ADDRESS}, without a path, a user or white space"));
        }
        let (host, port) = address::split_port(authority).ok_or(ADDRESS)?;
        let port = port.filter(|_| !host.is_empty()).ok_or(ADDRESS)?;
        let mut url = Self {
            host: host.to_owned(),
            port,
            stream_id: Secret::new(""),
            passphrase: None,
            key_bytes: 16,
            latency: LATENCY,
            key_refresh: KEY_REFRESH,
            query: query.to_owned(),
        };
        for (name, value) in address::parameters(query).ok_or("parameters that are text in UTF-8")? {
            url.set(name, &value)?;
        }
        Ok(url)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "streamid" if value.len() <= STREAM_ID => self.stream_id = Secret::new(value),
            "streamid" => return Err(format!("a `streamid` of at most {STREAM_ID} bytes")),
            "passphrase" if PASSPHRASE.contains(&value.len()) => self.passphrase = Some(Secret::new(value)),
            "passphrase" => {
                return Err(format!("a `passphrase` of {} to {} bytes", PASSPHRASE.start(), PASSPHRASE.end()));
            }
            "pbkeylen" => {
                let bytes = value.parse().ok().filter(|bytes| [16, 24, 32].contains(bytes));
                self.key_bytes = bytes.ok_or("`pbkeylen` 16, 24 or 32")?;
            }
            "latency" => {
                let millis = value.parse().ok().filter(|millis| LATENCIES.contains(millis));
                let expected = || {
                    let (least, most) = (LATENCIES.start(), LATENCIES.end());
                    format!("a `latency` in milliseconds, {least} to {most} (that of ffmpeg is in microseconds)")
                };
                self.latency = Duration::from_millis(millis.ok_or_else(expected)?);
            }
            "kmrefreshrate" => {
                let packets = value.parse().ok().filter(|packets| KEY_REFRESHES.contains(packets));
                let (least, most) = (KEY_REFRESHES.start(), KEY_REFRESHES.end());
                self.key_refresh = packets.ok_or(format!("`kmrefreshrate` in packets, {least} to {most}"))?;
            }
            "mode" if value == "caller" => {}
            "mode" => return Err("`mode=caller`: others call the port of `srt:`".to_owned()),
            "transtype" if value == "live" => {}
            _ => {
                let known = "`streamid`, `passphrase`, `pbkeylen`, `kmrefreshrate` and `latency`";
                return Err(format!("the parameters {known} only"));
            }
        }
        Ok(())
    }

    /// The whole address, with its secrets.
    pub fn text(&self) -> String {
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("srt://{}{mark}{}", address::authority(&self.host, Some(self.port)), self.query)
    }

    /// The address without its secrets, for people.
    pub fn masked(&self) -> Self {
        let query = if self.query.is_empty() { String::new() } else { MASK.to_owned() };
        Self { query, stream_id: Secret::new(MASK), passphrase: None, ..self.clone() }
    }
}

/// Without its secrets.
impl fmt::Display for SrtUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked().text())
    }
}

/// Without its secrets.
impl fmt::Debug for SrtUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_read_and_its_query_hidden() {
        let text = "srt://host:9000?mode=caller&streamid=#!::r=a,m=publish,s=s3cret&passphrase=correct%20horse&latency=200&pbkeylen=32";
        let url = SrtUrl::parse(text).unwrap();
        assert_eq!((url.host.as_str(), url.port, url.key_bytes, url.latency.as_millis()), ("host", 9000, 32, 200));
        assert_eq!(url.stream_id.expose(), "#!::r=a,m=publish,s=s3cret");
        assert_eq!(url.passphrase.as_ref().map(Secret::expose), Some("correct horse"));
        assert_eq!((url.to_string(), url.text()), ("srt://host:9000?***".to_owned(), text.to_owned()));
        assert!(!format!("{url:?}").contains("s3cret"));
        let plain = SrtUrl::parse("SRT://[::1]:9000/").unwrap();
        assert_eq!((plain.host.as_str(), plain.latency, plain.key_bytes), ("::1", LATENCY, 16));
        assert_eq!(plain.to_string(), "srt://[::1]:9000");
    }

    #[test]
    fn what_cannot_be_called_is_refused_without_its_secret() {
        for (text, expect) in [
            ("srt://host", "an address with a port"),
            ("srt://:9000", "an address with a port"),
            ("srt://host:9000/path", "without a path"),
            ("srt://u@host:9000", "without a path, a user"),
            ("srt://host:9000?mode=listener", "`mode=caller`"),
            ("srt://host:9000?passphrase=s3cret", "a `passphrase` of 10 to 79 bytes"),
            ("srt://host:9000?latency=200000", "milliseconds, 20 to 8000"),
            ("srt://host:9000?kmrefreshrate=8", "`kmrefreshrate` in packets, 256 to 1073741824"),
            ("srt://host:9000?pbkeylen=8", "`pbkeylen` 16, 24 or 32"),
            ("srt://host:9000?s3cret=1", "the parameters `streamid`"),
            ("srt://host:9000?streamid=%ff", "text in UTF-8"),
        ] {
            let error = SrtUrl::parse(text).unwrap_err();
            assert!(error.contains(expect) && !error.contains("s3cret"), "{text}: {error}");
        }
        assert!(SrtUrl::parse(&format!("srt://h:1?streamid={}", "x".repeat(513))).is_err());
    }

    proptest! {
        #[test]
        fn foreign_text_never_panics(text in "(srt://)?[a-z/?=%0-9:.@é&\\[\\]]{0,40}") {
            let _ = SrtUrl::parse(&text);
        }
    }
}
