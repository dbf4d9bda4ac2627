//! Where a protocol other than HTTP listens.

use super::expected::Expected;
use std::net::{IpAddr, SocketAddr};

/// A port of `address`, or an address and a port; an error names `example`.
pub(super) fn listen(text: &str, address: IpAddr, example: SocketAddr) -> Result<SocketAddr, Expected> {
    let port = || text.parse().ok().map(|port| SocketAddr::new(address, port));
    let expected = || format!("a port like {}, or an address and a port like {example}", example.port()).into();
    text.parse().ok().or_else(port).ok_or_else(expected)
}
