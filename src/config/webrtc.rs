//! `webrtc:`: where browsers send and get media, checked and printed.

use super::{
    auth::host_name,
    diagnostics::Path,
    expected::{Expected, flag, port},
    model::WebRtc,
    raw,
    validator::Validator,
};
use serde_yaml::Value;
use std::net::IpAddr;

/// Most names and addresses: each makes two candidates in each answer.
const MAX_HOSTS: usize = 8;
/// Most servers that clients get: browsers warn of more than four.
const MAX_ICE_SERVERS: usize = 4;

impl Validator {
    /// The section; `None` where there is none, and no WebRTC.
    pub(super) fn webrtc(&mut self, path: &Path, value: Option<Value>) -> Option<WebRtc> {
        let keys: raw::WebRtc = self.section(path, value.filter(|value| !value.is_null())?);
        let hosts_path = path.key("hosts");
        let hosts = keys.hosts.map(|value| self.scalars(&hosts_path, value, host)).unwrap_or_default();
        if hosts.len() > MAX_HOSTS {
            let message = format!("has {} hosts, at most {MAX_HOSTS} are possible", hosts.len());
            self.note(&hosts_path, super::spans::Place::Key, message);
        }
        let udp = self.value(&path.key("udp"), keys.udp, port);
        let tcp = self.value(&path.key("tcp"), keys.tcp, flag).unwrap_or(WebRtc::default().tcp);
        let servers_path = path.key("ice_servers");
        let ice_servers =
            keys.ice_servers.map(|value| self.scalars(&servers_path, value, ice_server)).unwrap_or_default();
        if ice_servers.len() > MAX_ICE_SERVERS {
            let message = format!("has {} servers, at most {MAX_ICE_SERVERS} are possible", ice_servers.len());
            self.note(&servers_path, super::spans::Place::Key, message);
        }
        let channels = self.channels(&path.key("channels"), keys.channels);
        Some(WebRtc { hosts, udp, tcp, ice_servers, channels })
    }
}

/// The section as it could have been read.
pub(super) fn printed(webrtc: &WebRtc) -> Value {
    let list = |texts: &[String]| {
        (!texts.is_empty()).then(|| Value::Sequence(texts.iter().cloned().map(Value::String).collect()))
    };
    let keys = raw::WebRtc {
        hosts: list(&webrtc.hosts),
        ice_servers: list(&webrtc.ice_servers),
        udp: webrtc.udp.map(Value::from),
        tcp: Some(Value::Bool(webrtc.tcp)),
        channels: super::channels::printed(&webrtc.channels),
    };
    serde_yaml::to_value(&keys).unwrap_or_default()
}

fn host(text: &str) -> Result<String, Expected> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match bare.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() || address.is_multicast() => {
            Err("an address that viewers can send to".into())
        }
        Ok(address) => Ok(address.to_string()),
        Err(_) => host_name(text),
    }
}

/// The address of a server as browsers take it: no password, which everyone would read.
fn ice_server(text: &str) -> Result<String, Expected> {
    let expected = || Expected::from("an address like stun:stun.example.org:3478 or turn:turn.example.org");
    let (scheme, rest) = text.split_once(':').ok_or_else(expected)?;
    let (place, transport) = rest.split_once('?').unwrap_or((rest, "transport=udp"));
    let is_known = ["stun", "stuns", "turn", "turns"].contains(&scheme) && transport.starts_with("transport=");
    let is_place = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    let is_good = is_known && !place.is_empty() && place.bytes().all(is_place);
    let is_plain = transport.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'=');
    (is_good && is_plain).then(|| text.to_owned()).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use crate::config::{WebRtc, parse, testing::check};

    #[test]
    fn there_is_no_webrtc_without_the_section() {
        let webrtc = |text: &str| parse(text).unwrap().webrtc;
        assert_eq!((webrtc(""), webrtc("webrtc:")), (None, None));
        assert_eq!(webrtc("webrtc: {}"), Some(WebRtc::default()));
        let hosts = vec!["tv.example.org".to_owned(), "2001:db8::1".to_owned()];
        let expected = WebRtc { hosts, udp: Some(8189), tcp: false, ..WebRtc::default() };
        assert_eq!(webrtc("webrtc: {hosts: [TV.example.org, '[2001:db8::1]'], udp: 8189, tcp: no}"), Some(expected));
        assert_eq!(webrtc("webrtc: {hosts: 192.0.2.1}").unwrap().hosts, ["192.0.2.1"]);
        let servers = ["stun:stun.example.org:3478", "turns:[2001:db8::1]:443?transport=tcp"];
        assert_eq!(webrtc(&format!("webrtc: {{ice_servers: {servers:?}}}")).unwrap().ice_servers, servers);
    }

    #[test]
    fn faults() {
        check(
            "webrtc: yes",
            "1:9: webrtc: expected keys like `hosts:`, `udp:`, `tcp:`, `ice_servers:`, `channels:`, found \"yes\"",
        );
        check("webrtc: {udp: 70000}", "1:15: webrtc.udp: expected a port from 0 to 65535, found \"70000\"");
        let server = "expected an address like stun:stun.example.org:3478 or turn:turn.example.org";
        for text in ["stun.example.org", "http://a", "stun:a b", "turn:user@a", "turn:a?x=y", "stun:"] {
            check(
                &format!("webrtc: {{ice_servers: '{text}'}}"),
                &format!("1:23: webrtc.ice_servers: {server}, found \"{text}\""),
            );
        }
        check(
            "webrtc: {ice_servers: ['stun:a', 'stun:b', 'stun:c', 'stun:d', 'stun:e']}",
            "1:10: webrtc.ice_servers: has 5 servers, at most 4 are possible",
        );
        check("webrtc: {tcp: 9}", "1:15: webrtc.tcp: expected true or false, found \"9\"");
        check(
            "webrtc: {hosts: 0.0.0.0}",
            "1:17: webrtc.hosts: expected an address that viewers can send to, found \"0.0.0.0\"",
        );
        check(
            "webrtc: {hosts: [a b]}",
            "1:18: webrtc.hosts[0]: expected the name of a host like tv.example.org, found \"a b\"",
        );
        check(
            "webrtc: {hosts: [a, b, c, d, e, f, g, h, i]}",
            "1:10: webrtc.hosts: has 9 hosts, at most 8 are possible",
        );
    }
}
