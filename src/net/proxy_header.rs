//! The header in which a proxy sends the address of its client, before anything else (the PROXY protocol of HAProxy, versions 1 and 2:
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What version 2 begins with (section 2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Longest line of version 1 (section 2.1).
const MAX_LINE: usize = 107;
/// Longest rest of version 2 that is read; the addresses have 36 bytes, and what follows them is for others.
const MAX_REST: usize = 2048;

/// A header that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a header of the PROXY protocol")]
pub struct HeaderError;

/// Reads the header and not a byte more; `None` where the proxy speaks for itself.
///
/// # Errors
/// When it is none, or the connection ends.
pub async fn read(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut start = [0; SIGNATURE.len()];
    socket.read_exact(&mut start).await?;
    if start == SIGNATURE {
        let mut head = [0; 4];
        socket.read_exact(&mut head).await?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if length > MAX_REST {
            return Err(io::Error::other(HeaderError));
        }
        let mut rest = vec![0; length];
        socket.read_exact(&mut rest).await?;
        return binary(head[0], head[1], &rest).map_err(io::Error::other);
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= MAX_LINE || !line.starts_with(b"PROXY ") {
            return Err(io::Error::other(HeaderError));
        }
        line.push(socket.read_u8().await?);
    }
    text(&line).map_err(io::Error::other)
}

/// Version 1: `PROXY TCP4 192.0.2.1 198.51.100.1 4711 80` and a line end.
///
/// # Errors
/// When it is something else.
pub fn text(line: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
    let line = line.strip_suffix(b"\r\n").and_then(|line| std::str::from_utf8(line).ok()).ok_or(HeaderError)?;
    let mut words = line.split(' ');
    if words.next() != Some("PROXY") {
        return Err(HeaderError);
    }
    let family = words.next().ok_or(HeaderError)?;
    if family == "UNKNOWN" {
        return Ok(None);
    }
    let mut word = || words.next().ok_or(HeaderError);
    let (source, _target) = (word()?, word()?);
    let (port, _target) = (word()?, word()?);
    let address: IpAddr = source.parse().map_err(|_| HeaderError)?;
    let is_of_family = family == if address.is_ipv4() { "TCP4" } else { "TCP6" };
    let is_number = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| is_number && is_of_family && words.next().is_none()).ok_or(HeaderError)?;
    Ok(Some(SocketAddr::new(address, port)))
}

/// Version 2, after the signature: version and command, family and protocol, and what follows the length.
///
/// # Errors
/// When it is something else.
pub fn binary(command: u8, family: u8, rest: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
    match command {
        // The proxy itself, to see whether we are there.
        0x20 => return Ok(None),
        0x21 => {}
        _ => return Err(HeaderError),
    }
    let part = |from: usize, length: usize| rest.get(from..from + length).ok_or(HeaderError);
    let port = |at: usize| part(at, 2)?.try_into().map(u16::from_be_bytes).map_err(|_| HeaderError);
    match family {
        0x11 => {
            let bytes: [u8; 4] = part(0, 4)?.try_into().map_err(|_| HeaderError)?;
            part(0, 12)?;
            Ok(Some(SocketAddr::new(Ipv4Addr::from(bytes).into(), port(8)?)))
        }
        0x21 => {
            let bytes: [u8; 16] = part(0, 16)?.try_into().map_err(|_| HeaderError)?;
            part(0, 36)?;
            Ok(Some(SocketAddr::new(Ipv6Addr::from(bytes).into(), port(32)?)))
        }
        // Unspecified, and Unix sockets: no address that a rule could be about.
        0x00 | 0x31 => Ok(None),
        _ => Err(HeaderError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(bytes: &[u8]) -> Result<(Option<String>, usize), ()> {
        let mut left = bytes;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(read(&mut left)).map_err(|_| ())?;
        Ok((found.map(|address| address.to_string()), left.len()))
    }

    #[test]
    fn version_1() {
        let check = |text: &str, expect: Result<Option<&str>, ()>| {
            let whole = format!("{text}GET /");
            let found = read_all(whole.as_bytes());
            assert_eq!(found, expect.map(|address| (address.map(str::to_owned), 5)), "{text:?}");
        };
        check("PROXY TCP4 192.0.2.1 198.51.100.1 4711 80\r\n", Ok(Some("192.0.2.1:4711")));
        check("PROXY TCP6 2001:db8::1 ::1 65535 80\r\n", Ok(Some("[2001:db8::1]:65535")));
        check("PROXY UNKNOWN\r\n", Ok(None));
        check("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", Ok(None));
        for wrong in [
            "GET / HTTP/1.1\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 4711\r\n",
            "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 65536 80\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 +1 80\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1 80 9\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 1 80\r\n",
            "PROXYTCP4 192.0.2.1 198.51.100.1 1 80\r\n",
        ] {
            check(wrong, Err(()));
        }
        check(&format!("PROXY UNKNOWN {}\r\n", "x".repeat(120)), Err(()));
    }

    #[test]
    fn version_2() {
        let header = |command: u8, family: u8, rest: &[u8]| {
            let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
            [&SIGNATURE[..], &[command, family], &length, rest, b"GET /"].concat()
        };
        let check = |bytes: Vec<u8>, expect: Result<Option<&str>, ()>| {
            assert_eq!(read_all(&bytes), expect.map(|address| (address.map(str::to_owned), 5)), "{bytes:?}");
        };
        let four = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 0, 80];
        check(header(0x21, 0x11, &four), Ok(Some("192.0.2.1:4711")));
        check(header(0x21, 0x11, &[&four[..], &[3, 0, 1, 9]].concat()), Ok(Some("192.0.2.1:4711")));
        let six = [&[0x20, 1, 0x0d, 0xb8], &[0; 11][..], &[1], &[0; 16], &[0, 1, 0, 2]].concat();
        check(header(0x21, 0x21, &six), Ok(Some("[2001:db8::1]:1")));
        check(header(0x20, 0x00, &[]), Ok(None));
        check(header(0x21, 0x31, &[0; 216]), Ok(None));
        check(header(0x21, 0x11, &four[..11]), Err(()));
        check(header(0x11, 0x11, &four), Err(()));
        check(header(0x21, 0x12, &four), Err(()));
        check(header(0x21, 0x11, &[0; MAX_REST + 1]), Err(()));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(line in "(PROXY )?[A-Z0-9 .:]{0,60}\r\n", command: u8, family: u8, rest in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = (text(line.as_bytes()), binary(command, family, &rest));
        }
    }
}
