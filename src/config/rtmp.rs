//! `rtmp:`: where RTMP is served, checked and printed.

use super::{diagnostics::Path, listen::listen, model::Rtmp, raw, validator::Validator};
use serde_yaml::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port of RTMP.
const DEFAULT_PORT: u16 = 1935;

impl Validator {
    /// The section; `None` without it: RTMP is not served then. Without an address it listens where HTTP does, which is `address`.
    pub(super) fn rtmp(&mut self, path: &Path, value: Option<Value>, address: IpAddr) -> Option<Rtmp> {
        let keys: raw::Rtmp = self.section(path, value.filter(|value| !value.is_null())?);
        let listen = self.value(&path.key("listen"), keys.listen, |text| {
            listen(text, address, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), DEFAULT_PORT))
        });
        Some(Rtmp { listen: listen.unwrap_or(SocketAddr::new(address, DEFAULT_PORT)) })
    }
}

/// The section as it could have been read.
pub(super) fn printed(rtmp: &Rtmp) -> Value {
    serde_yaml::to_value(raw::Rtmp { listen: Some(Value::String(rtmp.listen.to_string())) }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{parse, to_yaml};

    fn listen(text: &str) -> Result<Option<String>, String> {
        let parsed = parse(&format!("listenaddr: '::1'\nrtmp: {text}"));
        let found = parsed.map(|config| {
            assert_eq!(parse(&to_yaml(&config)).unwrap(), config);
            config.rtmp.map(|rtmp| rtmp.listen.to_string())
        });
        found.map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn ports_and_addresses_are_read() {
        assert_eq!(listen("~"), Ok(None));
        for (text, expect) in
            [("{}", "[::1]:1935"), ("{listen: 1936}", "[::1]:1936"), ("{listen: '0.0.0.0:0'}", "0.0.0.0:0")]
        {
            assert_eq!(listen(text), Ok(Some(expect.to_owned())), "{text}");
        }
        let expect =
            "2:16: rtmp.listen: expected a port like 1935, or an address and a port like 0.0.0.0:1935, found \"x\"";
        assert_eq!(listen("{listen: x}"), Err(expect.to_owned()));
        assert_eq!(listen("{port: 1}"), Err("2:8: rtmp.port: unknown key".to_owned()));
    }
}
