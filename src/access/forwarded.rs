//! The address of a client behind reverse proxies. Pure.

use super::network::{Network, any_contains};
use std::net::{IpAddr, SocketAddr};

/// Most addresses of a header that are looked at; more proxies are not one after the other.
const MAX_HOPS: usize = 32;

/// The client of a connection from `peer`. A trusted proxy appends the address that it was reached from to
/// `X-Forwarded-For`; what stands before it may be invented. `values` are those of the header, in their order.
pub fn client<'a>(proxies: &[Network], peer: IpAddr, values: impl DoubleEndedIterator<Item = &'a [u8]>) -> IpAddr {
    let mut client = peer;
    let hops = values.rev().flat_map(|value| value.rsplit(|byte| *byte == b',')).take(MAX_HOPS);
    for hop in hops {
        if !any_contains(proxies, client) {
            break;
        }
        let Some(address) = address(hop) else { break };
        client = address;
    }
    client
}

/// `192.0.2.1`, `192.0.2.1:1234`, `2001:db8::1` or `[2001:db8::1]:1234`.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client_of(peer: &str, values: &[&str]) -> String {
        let proxies = ["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        client(&proxies, peer.parse().unwrap(), values.iter().map(|value| value.as_bytes())).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let check =
            |peer: &str, values: &[&str], expect: &str| assert_eq!(client_of(peer, values), expect, "{values:?}");
        check("192.0.2.1", &["198.51.100.1"], "192.0.2.1");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["203.0.113.9, 198.51.100.1, 10.0.0.2"], "198.51.100.1");
        check("10.0.0.1", &["203.0.113.9", "198.51.100.1", "10.0.0.2"], "198.51.100.1");
        check("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1");
        check("::1", &["[2001:db8::1]:4711"], "2001:db8::1");
        check("::1", &["[2001:db8::1]"], "2001:db8::1");
        check("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1");
        check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
    }

    proptest! {
        #[test]
        fn who_is_no_proxy_cannot_choose(peer in any::<u32>(), value in "[0-9a-f:.,\\[\\] ]{0,40}") {
            let peer = IpAddr::from((peer | 0x8000_0000).to_be_bytes());
            let proxies = ["10.0.0.0/8".parse().unwrap()];
            prop_assert_eq!(client(&proxies, peer, [value.as_bytes()].into_iter()), peer);
            let _ = client(&proxies, IpAddr::from([10, 0, 0, 1]), [value.as_bytes()].into_iter());
        }
    }
}
