//! `rtsp:`: where RTSP is served, checked and printed.

use super::{diagnostics::Path, expected::Expected, model::Rtsp, raw, spans::Place, validator::Validator};
use serde_yaml::Value;
use std::net::{IpAddr, SocketAddr};

/// The port of RTSP that needs no privileges.
const DEFAULT_PORT: u16 = 8554;

impl Validator {
    /// The section; `None` without it: RTSP is not served then. Without an address it listens where HTTP does, which is `address`.
    pub(super) fn rtsp(&mut self, path: &Path, value: Option<Value>, address: IpAddr) -> Option<Rtsp> {
        let keys: raw::Rtsp = self.section(path, value.filter(|value| !value.is_null())?);
        let listen = self.value(&path.key("listen"), keys.listen, |text| listen(text, address));
        let listen = listen.unwrap_or(SocketAddr::new(address, DEFAULT_PORT));
        let udp = self.value(&path.key("udp"), keys.udp, udp).unwrap_or(Some(0));
        if udp.is_some_and(|port| port != 0 && (port == listen.port() || port + 1 == listen.port())) {
            let message = "the ports of datagrams are this one and the next: expected others than that of `listen`";
            self.note(&path.key("udp"), Place::Key, message.to_owned());
        }
        Some(Rtsp { listen, udp })
    }
}

/// The section as it could have been read.
pub(super) fn printed(rtsp: &Rtsp) -> Value {
    let udp = rtsp.udp.map_or(Value::Bool(false), Value::from);
    let keys = raw::Rtsp { listen: Some(Value::String(rtsp.listen.to_string())), udp: Some(udp) };
    serde_yaml::to_value(keys).unwrap_or_default()
}

fn listen(text: &str, address: IpAddr) -> Result<SocketAddr, Expected> {
    let port = || text.parse().ok().map(|port| SocketAddr::new(address, port));
    text.parse().ok().or_else(port).ok_or_else(|| "a port like 8554, or an address and a port like 0.0.0.0:8554".into())
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
    use super::super::parse;

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
    }
}
