//! `srs:`: where the API of SRS is served, checked and printed.

use super::{diagnostics::Path, listen::listen, model::Srs, raw, validator::Validator};
use serde_yaml::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port of the API of SRS.
const DEFAULT_PORT: u16 = 1985;

impl Validator {
    /// The section; `None` without it: that API is not served then. Without an address it listens where HTTP does, which is `address`.
    pub(super) fn srs(&mut self, path: &Path, value: Option<Value>, address: IpAddr) -> Option<Srs> {
        let keys: raw::Srs = self.section(path, value.filter(|value| !value.is_null())?);
        let listen = self.value(&path.key("listen"), keys.listen, |text| {
            listen(text, address, SocketAddr::new(Ipv4Addr::LOCALHOST.into(), DEFAULT_PORT))
        });
        Some(Srs { listen: listen.unwrap_or(SocketAddr::new(address, DEFAULT_PORT)) })
    }
}

/// The section as it could have been read.
pub(super) fn printed(srs: &Srs) -> Value {
    serde_yaml::to_value(raw::Srs { listen: Some(Value::String(srs.listen.to_string())) }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{parse, to_yaml};

    fn listen(text: &str) -> Result<Option<String>, String> {
        let parsed = parse(&format!("listenaddr: '::1'\nsrs: {text}"));
        let found = parsed.map(|config| {
            assert_eq!(parse(&to_yaml(&config)).unwrap(), config);
            config.srs.map(|srs| srs.listen.to_string())
        });
        found.map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn ports_and_addresses_are_read() {
        assert_eq!(listen("~"), Ok(None));
        for (text, expect) in
            [("{}", "[::1]:1985"), ("{listen: 1986}", "[::1]:1986"), ("{listen: '0.0.0.0:0'}", "0.0.0.0:0")]
        {
            assert_eq!(listen(text), Ok(Some(expect.to_owned())), "{text}");
        }
        let expect =
            "2:15: srs.listen: expected a port like 1985, or an address and a port like 127.0.0.1:1985, found \"x\"";
        assert_eq!(listen("{listen: x}"), Err(expect.to_owned()));
        assert_eq!(listen("{port: 1}"), Err("2:7: srs.port: unknown key".to_owned()));
    }
}
