//! The addresses under which viewers reach the server. The choice is pure.

use std::net::{IpAddr, Ipv4Addr};

/// Most addresses in an answer: each costs every viewer checks.
const MAX_ADDRESSES: usize = 8;

/// The addresses to advertise: those of the configured `hosts` where there are some, else that which is listened on, else those of
/// the `interfaces`.
pub fn advertised(hosts: &[IpAddr], listen: IpAddr, interfaces: &[IpAddr]) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    let given = match (hosts, listen) {
        ([_, ..], _) => hosts,
        (_, listen) if !listen.is_unspecified() => &[listen],
        _ => interfaces,
    };
    let has_hosts = !hosts.is_empty();
    for address in given.iter().map(IpAddr::to_canonical) {
        // A socket of IPv4 receives nothing else; one of `::` receives both.
        let is_received = listen.is_ipv6() || address.is_ipv4() || has_hosts;
        let is_reachable = has_hosts || !listen.is_unspecified() || !(address.is_loopback() || is_link_local(address));
        if is_received && is_reachable && !found.contains(&address) && found.len() < MAX_ADDRESSES {
            found.push(address);
        }
    }
    found
}

/// Why viewers on other machines may not reach any of these; `None` if they may.
pub fn doubt(addresses: &[IpAddr]) -> Option<&'static str> {
    let is_all = |is: fn(&IpAddr) -> bool| addresses.iter().all(is);
    match () {
        () if addresses.is_empty() => {
            Some("this machine has no address that viewers reach: name one with `hosts` of `webrtc`")
        }
        () if is_all(IpAddr::is_loopback) => Some("viewers on this machine alone reach it: see `listenaddr`"),
        () if is_all(is_private) => {
            Some("viewers of other networks do not reach private addresses: name a public one with `hosts` of `webrtc`")
        }
        () => None,
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn is_private(address: &IpAddr) -> bool {
    match address {
        // RFC 6598 is what carriers share among customers.
        IpAddr::V4(address) => address.is_private() || is_shared(*address) || address.is_loopback(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_loopback(),
    }
}

fn is_shared(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && (64..128).contains(&second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_viewers_reach_is_advertised() {
        let interfaces =
            addresses(&["127.0.0.1", "::1", "192.168.1.2", "fe80::1", "2001:db8::2", "169.254.1.1", "192.168.1.2"]);
        let check = |hosts: &[&str], listen: &str, expect: &[&str]| {
            let found = advertised(&addresses(hosts), listen.parse().unwrap(), &interfaces);
            assert_eq!(found, addresses(expect), "{hosts:?} {listen}");
        };
        check(&[], "127.0.0.1", &["127.0.0.1"]);
        check(&[], "192.168.1.2", &["192.168.1.2"]);
        check(&[], "0.0.0.0", &["192.168.1.2"]);
        check(&[], "::", &["192.168.1.2", "2001:db8::2"]);
        check(&["203.0.113.1", "203.0.113.1"], "0.0.0.0", &["203.0.113.1"]);
        check(&["2001:db8::9", "127.0.0.1"], "0.0.0.0", &["2001:db8::9", "127.0.0.1"]);
    }

    #[test]
    fn what_may_not_be_reached_is_said() {
        let doubts = |texts: &[&str]| doubt(&addresses(texts)).map(|text| text.split(':').next().unwrap());
        assert_eq!(doubts(&[]), Some("this machine has no address that viewers reach"));
        assert_eq!(doubts(&["127.0.0.1"]), Some("viewers on this machine alone reach it"));
        assert_eq!(
            doubts(&["192.168.1.2", "fd00::1"]),
            Some("viewers of other networks do not reach private addresses")
        );
        assert_eq!(doubts(&["100.64.0.1"]), Some("viewers of other networks do not reach private addresses"));
        assert_eq!(doubts(&["192.168.1.2", "203.0.113.1"]), None);
    }
}
