//! The address of MPEG-TS in datagrams, with or without RTP: `udp://239.1.1.1:5000?ttl=4&interface=eth0`.

use super::address;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
};

/// Networks that a multicast datagram passes, unless said.
const TTL: u8 = 1;
/// Bytes that the kernel holds for us, unless said: half a second of 60 Mbit/s.
const BUFFER: usize = 4 << 20;
const BUFFERS: RangeInclusive<usize> = 64 << 10..=256 << 20;

/// Where datagrams are sent to, or received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatagramUrl {
    /// In packets of RTP.
    pub is_rtp: bool,
    /// Name or address, without brackets. Of a receiver: its own address, or a group; empty for any of its own.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Networks that a datagram passes. Of a sender to a group only.
    pub ttl: u8,
    /// Name or address of the network interface of a group, where that is not for the system to choose.
    pub interface: Option<String>,
    /// Who sends to the group. Of a receiver only.
    pub source: Option<IpAddr>,
    /// Bytes that the kernel holds. Of a receiver only.
    pub buffer: usize,
    /// The query as it is written, without its question mark.
    query: String,
}

impl DatagramUrl {
    /// Reads an address that is sent to; the error says what is expected.
    ///
    /// # Errors
    /// When it is none.
    pub fn target(text: &str) -> Result<Self, String> {
        let (mut url, parameters) = Self::begin(text)?;
        if url.host.is_empty() {
            return Err("an address with a host, like udp://239.1.1.1:5000 or udp://host:5000".to_owned());
        }
        for (name, value) in parameters {
            match name {
                "ttl" => {
                    url.ttl = value.parse().ok().filter(|ttl| *ttl > 0).ok_or("a `ttl` from 1 to 255")?;
                }
                "interface" => url.interface = Some(interface(value)?),
                _ => return Err("the parameters `ttl` and `interface` only".to_owned()),
            }
        }
        Ok(url)
    }

    /// Reads an address that is received at; the error says what is expected.
    ///
    /// # Errors
    /// When it is none.
    pub fn origin(text: &str) -> Result<Self, String> {
        let (mut url, parameters) = Self::begin(text)?;
        let group = match url.host.parse::<IpAddr>() {
            Ok(address) => Some(address).filter(IpAddr::is_multicast),
            Err(_) if url.host.is_empty() => None,
            Err(_) => return Err("an own address or a group, like udp://239.1.1.1:5000 or udp://:5000".to_owned()),
        };
        for (name, value) in parameters {
            match name {
                "interface" => url.interface = Some(interface(value)?),
                "source" => {
                    let source = value.parse::<Ipv4Addr>().ok().filter(|_| group.is_some_and(|group| group.is_ipv4()));
                    let expected = "a `source` that is an address of IPv4, for a group of IPv4";
                    url.source = Some(source.ok_or(expected)?.into());
                }
                "buffer" => {
                    let bytes = super::units::bytes(&value).and_then(|bytes| usize::try_from(bytes).ok());
                    url.buffer =
                        bytes.filter(|bytes| BUFFERS.contains(bytes)).ok_or("a `buffer` of 64k to 256M bytes")?;
                }
                _ => return Err("the parameters `interface`, `source` and `buffer` only".to_owned()),
            }
        }
        if url.interface.is_some() && group.is_none() {
            return Err("`interface` with the address of a group only".to_owned());
        }
        Ok(url)
    }

    fn begin(text: &str) -> Result<(Self, address::Parameters<'_>), String> {
        const ADDRESS: &str = "an address with a port, like udp://239.1.1.1:5000";
        let (scheme, rest) = text.split_once("://").ok_or(ADDRESS)?;
        let is_rtp = match scheme.to_ascii_lowercase().as_str() {
            "udp" => false,
            "rtp" => true,
            _ => return Err(ADDRESS.to_owned()),
        };
        let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        // As VLC and ffmpeg write an address that is listened at.
        let authority = authority.strip_prefix('@').unwrap_or(authority);
        if authority.contains(['@', '/']) || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!("{ADDRESS}, without a path, a user or white space"));
        }
        let (host, port) = address::split_port(authority).ok_or(ADDRESS)?;
        let url = Self {
            is_rtp,
            host: host.to_owned(),
            port: port.ok_or(ADDRESS)?,
            ttl: TTL,
            interface: None,
            source: None,
            buffer: BUFFER,
            query: query.to_owned(),
        };
        Ok((url, address::parameters(query).ok_or("parameters that are text in UTF-8")?))
    }

    /// The whole address, which has no secret.
    pub fn text(&self) -> String {
        let scheme = if self.is_rtp { "rtp" } else { "udp" };
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("{scheme}://{}{mark}{}", address::authority(&self.host, Some(self.port)), self.query)
    }
}

impl fmt::Display for DatagramUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

fn interface(value: String) -> Result<String, String> {
    match value.is_empty() {
        true => Err("an `interface` with a name or an address".to_owned()),
        false => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_read() {
        let url = DatagramUrl::target("rtp://239.1.1.1:5000?ttl=4&interface=eth0").unwrap();
        assert_eq!((url.is_rtp, url.host.as_str(), url.port, url.ttl), (true, "239.1.1.1", 5000, 4));
        assert_eq!(
            (url.interface.as_deref(), url.text().as_str()),
            (Some("eth0"), "rtp://239.1.1.1:5000?ttl=4&interface=eth0")
        );
        let url = DatagramUrl::origin("udp://@239.1.1.1:5000?source=192.0.2.1&buffer=1M&interface=192.0.2.7").unwrap();
        assert_eq!((url.source, url.buffer), (Some(IpAddr::from([192, 0, 2, 1])), 1 << 20));
        for (text, host) in [("udp://:5000", ""), ("udp://@:5000", ""), ("udp://[::1]:5000/", "::1")] {
            assert_eq!(DatagramUrl::origin(text).unwrap().host, host, "{text}");
        }
        assert_eq!(DatagramUrl::target("udp://host:5000").unwrap().ttl, TTL);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let target = |text: &str| DatagramUrl::target(text).unwrap_err();
        let origin = |text: &str| DatagramUrl::origin(text).unwrap_err();
        assert!(target("udp://host").contains("with a port"));
        assert!(target("udp://:5000").contains("with a host"));
        assert!(target("udp://host:5000?ttl=0").contains("a `ttl` from 1"));
        assert!(target("udp://host:5000?source=1.2.3.4").contains("`ttl` and `interface` only"));
        assert!(origin("udp://host:5000").contains("an own address or a group"));
        assert!(origin("udp://239.1.1.1:5000?ttl=4").contains("`source` and `buffer` only"));
        assert!(origin("udp://:5000?interface=eth0").contains("of a group only"));
        assert!(origin("udp://:5000?source=1.2.3.4").contains("for a group of IPv4"));
        assert!(origin("udp://:5000?buffer=1").contains("64k to 256M"));
        assert!(origin("udp://a b:5000").contains("white space"));
    }

    proptest! {
        #[test]
        fn foreign_text_never_panics(text in "((udp|rtp)://)?[a-z/?=%0-9:.@é&\\[\\]]{0,40}") {
            let _ = (DatagramUrl::target(&text), DatagramUrl::origin(&text));
        }
    }
}
