//! The address of MPEG-TS in datagrams, with or without RTP: `udp://239.1.1.1:5000?ttl=4&interface=eth0`, and what protects it.

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
/// Columns and rows of the matrix of error correction unless said: the smallest that the standard has repairs soonest.
const SIDE: u8 = 5;
/// Most columns or rows, and most packets (SMPTE 2022-1, section 8.1).
const MOST_SIDE: u8 = 20;
const MOST_PACKETS: u16 = 100;
/// Fewest packets of what is protected together.
const LEAST_SIDE: u8 = 4;
/// The last port of error correction is so far from that of the media.
const FEC_PORTS: u16 = 4;

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
    /// Packets of error correction beside those of the media.
    pub fec: Option<Fec>,
    /// The query as it is written, without its question mark.
    query: String,
}

/// Forward error correction (SMPTE 2022-1): what is sent to the ports behind that of the media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fec {
    /// Whether rows are protected (port + 4) as well as columns (port + 2).
    pub protects_rows: bool,
    /// Columns of the matrix. Of a sender only.
    pub columns: u8,
    /// Rows of the matrix. Of a sender only.
    pub rows: u8,
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
        let mut sides = (None, None);
        for (name, value) in parameters {
            match name {
                "ttl" => {
                    url.ttl = value.parse().ok().filter(|ttl| *ttl > 0).ok_or("a `ttl` from 1 to 255")?;
                }
                "interface" => url.interface = Some(interface(value)?),
                "fec" => url.fec = Some(url.fec(&value)?),
                "columns" => sides.0 = Some(side(&value)?),
                "rows" => sides.1 = Some(side(&value)?),
                _ => return Err("the parameters `ttl`, `interface`, `fec`, `columns` and `rows` only".to_owned()),
            }
        }
        match &mut url.fec {
            None if sides != (None, None) => return Err("`columns` and `rows` with `fec` only".to_owned()),
            None => {}
            Some(fec) => {
                (fec.columns, fec.rows) = (sides.0.unwrap_or(SIDE), sides.1.unwrap_or(SIDE));
                if u16::from(fec.columns) * u16::from(fec.rows) > MOST_PACKETS {
                    return Err(format!("`columns` times `rows` of at most {MOST_PACKETS}"));
                }
                if fec.rows < LEAST_SIDE || fec.protects_rows && fec.columns < LEAST_SIDE {
                    return Err(format!("at least {LEAST_SIDE} `rows`, and as many `columns` with `fec=both`"));
                }
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
                "fec" => url.fec = Some(url.fec(&value)?),
                _ => return Err("the parameters `interface`, `source`, `buffer` and `fec` only".to_owned()),
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
            fec: None,
            query: query.to_owned(),
        };
        Ok((url, address::parameters(query).ok_or("parameters that are text in UTF-8")?))
    }

    /// Reads which packets of error correction there are.
    fn fec(&self, value: &str) -> Result<Fec, String> {
        let protects_rows = match value {
            "both" => true,
            "columns" => false,
            _ => return Err("a `fec` that is `columns` or `both`".to_owned()),
        };
        if !self.is_rtp {
            return Err("`fec` with rtp:// only".to_owned());
        }
        if self.port.checked_add(FEC_PORTS).is_none() {
            return Err(format!("a port with `fec` that leaves {FEC_PORTS} behind it"));
        }
        Ok(Fec { protects_rows, columns: SIDE, rows: SIDE })
    }

    /// The same at the port of error correction for columns or rows.
    pub fn fec_port(&self, is_rows: bool) -> u16 {
        self.port.saturating_add(if is_rows { FEC_PORTS } else { FEC_PORTS / 2 })
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

fn side(value: &str) -> Result<u8, String> {
    let side = value.parse().ok().filter(|side| (1..=MOST_SIDE).contains(side));
    side.ok_or_else(|| format!("`columns` and `rows` from 1 to {MOST_SIDE}"))
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
    fn error_correction_has_a_matrix_of_the_standard() {
        let target = |query: &str| DatagramUrl::target(&format!("rtp://host:5000?{query}"));
        let fec = |protects_rows, columns, rows| Some(Fec { protects_rows, columns, rows });
        assert_eq!(target("ttl=1").unwrap().fec, None);
        assert_eq!(target("fec=both").unwrap().fec, fec(true, 5, 5));
        assert_eq!(target("columns=10&rows=8&fec=both").unwrap().fec, fec(true, 10, 8));
        assert_eq!(target("fec=columns&columns=1&rows=20").unwrap().fec, fec(false, 1, 20));
        let url = DatagramUrl::origin("rtp://239.1.1.1:5000?fec=columns").unwrap();
        assert_eq!((url.fec, url.fec_port(false), url.fec_port(true)), (fec(false, 5, 5), 5002, 5004));
        for (query, expect) in [
            ("fec=rows", "that is `columns` or `both`"),
            ("columns=5", "with `fec` only"),
            ("fec=both&rows=21", "from 1 to 20"),
            ("fec=both&rows=10&columns=11", "times `rows` of at most 100"),
            ("fec=both&columns=3", "at least 4 `rows`, and as many `columns`"),
            ("fec=columns&rows=3", "at least 4 `rows`"),
        ] {
            let error = target(query).unwrap_err();
            assert!(error.contains(expect), "{query}: {error}");
        }
        assert!(DatagramUrl::target("udp://host:5000?fec=both").unwrap_err().contains("with rtp:// only"));
        assert!(DatagramUrl::origin("rtp://:65532?fec=both").unwrap_err().contains("leaves 4 behind it"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let target = |text: &str| DatagramUrl::target(text).unwrap_err();
        let origin = |text: &str| DatagramUrl::origin(text).unwrap_err();
        assert!(target("udp://host").contains("with a port"));
        assert!(target("udp://:5000").contains("with a host"));
        assert!(target("udp://host:5000?ttl=0").contains("a `ttl` from 1"));
        assert!(
            target("udp://host:5000?source=1.2.3.4").contains("`ttl`, `interface`, `fec`, `columns` and `rows` only")
        );
        assert!(origin("udp://host:5000").contains("an own address or a group"));
        assert!(origin("udp://239.1.1.1:5000?ttl=4").contains("`source`, `buffer` and `fec` only"));
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
