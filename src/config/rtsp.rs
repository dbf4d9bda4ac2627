//! `rtsp:`: where RTSP is served, checked and printed.

use super::{
    diagnostics::Path,
    expected::Expected,
    listen::listen,
    model::{Multicast, Rtsp},
    raw,
    spans::Place,
    validator::Validator,
};
use crate::access::Network;
use serde_yaml::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port of RTSP that needs no privileges.
const DEFAULT_PORT: u16 = 8554;
/// The usual port of RTP (RFC 3551, section 8).
const MULTICAST_PORT: u16 = 5004;
/// The last one that leaves room for all tracks of a stream.
const LAST_MULTICAST_PORT: u16 = 65_500;
/// Networks that a datagram to a group passes, unless said.
const TTL: u8 = 1;
/// The first address behind those of groups.
const BEYOND_MULTICAST: Ipv4Addr = Ipv4Addr::new(240, 0, 0, 0);

impl Validator {
    /// The section; `None` without it: RTSP is not served then. Without an address it listens where HTTP does, which is `address`.
    pub(super) fn rtsp(&mut self, path: &Path, value: Option<Value>, address: IpAddr) -> Option<Rtsp> {
        let keys: raw::Rtsp = self.section(path, value.filter(|value| !value.is_null())?);
        let listen = self.value(&path.key("listen"), keys.listen, |text| {
            listen(text, address, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), DEFAULT_PORT))
        });
        let listen = listen.unwrap_or(SocketAddr::new(address, DEFAULT_PORT));
        let udp = self.value(&path.key("udp"), keys.udp, udp).unwrap_or(Some(0));
        if udp.is_some_and(|port| port != 0 && (port == listen.port() || port + 1 == listen.port())) {
            let message = "the ports of datagrams are this one and the next: expected others than that of `listen`";
            self.note(&path.key("udp"), Place::Key, message.to_owned());
        }
        let multicast = self.multicast(&path.key("multicast"), keys.multicast);
        Some(Rtsp { listen, udp, multicast })
    }

    fn multicast(&mut self, path: &Path, value: Option<Value>) -> Option<Multicast> {
        let keys: raw::RtspMulticast = self.section(path, value.filter(|value| !value.is_null())?);
        if keys.groups.is_none() {
            self.note(path, Place::Key, "has no addresses: expected `groups: 239.255.42.0/24`".to_owned());
        }
        let groups = self.value(&path.key("groups"), keys.groups, groups);
        let port = self.value(&path.key("port"), keys.port, |text| {
            let is_good = |port: &u16| port.is_multiple_of(2) && (2..=LAST_MULTICAST_PORT).contains(port);
            let expected = || format!("an even port from 2 to {LAST_MULTICAST_PORT}").into();
            text.parse().ok().filter(is_good).ok_or_else(expected)
        });
        let ttl = self.value(&path.key("ttl"), keys.ttl, |text| {
            text.parse().ok().filter(|ttl| *ttl > 0).ok_or_else(|| "a number from 1 to 255".into())
        });
        let interface = self.value(&path.key("interface"), keys.interface, |text| match text {
            "" => Err("the name or an address of a network interface".into()),
            text => Ok(text.to_owned()),
        });
        Some(Multicast { groups: groups?, port: port.unwrap_or(MULTICAST_PORT), ttl: ttl.unwrap_or(TTL), interface })
    }
}

/// The section as it could have been read.
pub(super) fn printed(rtsp: &Rtsp) -> Value {
    let udp = rtsp.udp.map_or(Value::Bool(false), Value::from);
    let multicast = rtsp.multicast.as_ref().map(|Multicast { groups, port, ttl, interface }| {
        let keys = raw::RtspMulticast {
            groups: Some(Value::String(groups.to_string())),
            port: Some(Value::from(*port)),
            ttl: Some(Value::from(*ttl)),
            interface: interface.clone().map(Value::String),
        };
        serde_yaml::to_value(keys).unwrap_or_default()
    });
    let keys = raw::Rtsp { listen: Some(Value::String(rtsp.listen.to_string())), udp: Some(udp), multicast };
    serde_yaml::to_value(keys).unwrap_or_default()
}

fn groups(text: &str) -> Result<Network, Expected> {
    let is_good = |network: &Network| {
        network.nth(0).is_some_and(|first| first.is_ipv4() && first.is_multicast())
            && !network.contains(BEYOND_MULTICAST.into())
    };
    let expected = || "addresses of multicast groups like 239.255.42.0/24, of IPv4".into();
    text.parse().ok().filter(is_good).ok_or_else(expected)
}

fn udp(text: &str) -> Result<Option<u16>, Expected> {
    match text {
        "false" => Ok(None),
        "true" => Ok(Some(0)),
        port => match port.parse::<u16>() {
            Ok(port) if port % 2 == 0 => Ok(Some(port)),
            _ => Err("an even port like 8000, whose next one is used as well, 0 for any, or false".into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::{parse, to_yaml};

    fn rtsp(text: &str) -> Result<Option<(String, Option<u16>)>, String> {
        let parsed = parse(&format!("listenaddr: '::1'\nrtsp: {text}"));
        let found = parsed.map(|config| config.rtsp.map(|rtsp| (rtsp.listen.to_string(), rtsp.udp)));
        found.map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn ports_and_addresses_are_read() {
        let good = |listen: &str, udp| Ok(Some((listen.to_owned(), udp)));
        assert_eq!(rtsp("~"), Ok(None));
        assert_eq!(rtsp("{}"), good("[::1]:8554", Some(0)));
        assert_eq!(rtsp("{listen: 554, udp: 8000}"), good("[::1]:554", Some(8000)));
        assert_eq!(rtsp("{listen: '0.0.0.0:0', udp: false}"), good("0.0.0.0:0", None));
        assert_eq!(rtsp("{udp: true}"), good("[::1]:8554", Some(0)));
    }

    #[test]
    fn groups_are_read_and_printed() {
        let read = |text: &str| parse(&format!("rtsp: {{multicast: {text}}}")).unwrap();
        let config = read("{groups: 239.255.42.0/24}");
        let groups = config.rtsp.as_ref().unwrap().multicast.as_ref().unwrap();
        assert_eq!((groups.port, groups.ttl, groups.interface.as_deref()), (5004, 1, None));
        assert_eq!(groups.groups.nth(255), Some("239.255.42.255".parse().unwrap()));
        let other = read("{groups: 239.1.2.3, port: 6000, ttl: 4, interface: eth0}");
        for config in [config, other] {
            assert_eq!(parse(&to_yaml(&config)).unwrap(), config);
        }
        assert_eq!(read("~").rtsp.unwrap().multicast, None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |text, expect: &str| assert_eq!(rtsp(text), Err(expect.to_owned()), "{text}");
        check(
            "{listen: localhost}",
            "2:16: rtsp.listen: expected a port like 8554, or an address and a port like 0.0.0.0:8554, found \"localhost\"",
        );
        check(
            "{udp: 8001}",
            "2:13: rtsp.udp: expected an even port like 8000, whose next one is used as well, 0 for any, or false, found \"8001\"",
        );
        check(
            "{listen: 8001, udp: 8000}",
            "2:22: rtsp.udp: the ports of datagrams are this one and the next: expected others than that of `listen`",
        );
        for (keys, expect) in [
            ("port: 6000", "rtsp.multicast: has no addresses: expected `groups: 239.255.42.0/24`"),
            ("groups: 192.0.2.0/24", "groups: expected addresses of multicast groups like 239.255.42.0/24, of IPv4"),
            ("groups: 224.0.0.0/3", "groups: expected addresses of multicast groups"),
            ("groups: 'ff15::/64'", "groups: expected addresses of multicast groups"),
            ("groups: 239.1.1.1, port: 5001", "port: expected an even port from 2 to 65500"),
            ("groups: 239.1.1.1, ttl: 0", "ttl: expected a number from 1 to 255"),
            ("groups: 239.1.1.1, interface: ''", "interface: expected the name or an address"),
        ] {
            let error = rtsp(&format!("{{multicast: {{{keys}}}}}")).unwrap_err();
            assert!(error.contains(expect), "{keys}: {error}");
        }
    }
}
