//! `srt:`: the port for SRT.

use super::{diagnostics::Path, expected::Expected, model::Srt, raw, validator::Validator};
use crate::access::Secret;
use serde_yaml::Value;
use std::{
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

/// Where it listens unless told: reachable from this machine only, at the port that most servers have for SRT.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8890);
/// The latency of libsrt.
const LATENCY: Duration = Duration::from_millis(120);
/// Seconds of the latency, for which packets of viewers are kept.
const LATENCIES: RangeInclusive<f64> = 0.02..=8.0;
/// Bytes of a passphrase, as the protocol has it.
const PASSPHRASE: RangeInclusive<usize> = 10..=79;
/// Packets with one key: as many as libsrt has.
const KEY_REFRESH: u64 = 1 << 24;
const KEY_REFRESHES: RangeInclusive<u64> = 256..=1 << 30;

impl Validator {
    /// The section; `None` when there is none.
    pub(super) fn srt(&mut self, path: &Path, value: Option<Value>) -> Option<Srt> {
        let keys: raw::Srt = self.section(path, value.filter(|value| !value.is_null())?);
        let expected = format!("a passphrase of {} to {} bytes", PASSPHRASE.start(), PASSPHRASE.end());
        let passphrase = |text: &str| PASSPHRASE.contains(&text.len()).then(|| Secret::new(text));
        Some(Srt {
            listen: self.value(&path.key("listen"), keys.listen, listen).unwrap_or(LISTEN),
            latency: self.value(&path.key("latency"), keys.latency, latency).unwrap_or(LATENCY),
            passphrase: self.secret(&path.key("passphrase"), keys.passphrase, &expected, passphrase),
            stream: self.value(&path.key("stream"), keys.stream, stream),
            key_refresh: self.value(&path.key("key_refresh"), keys.key_refresh, key_refresh).unwrap_or(KEY_REFRESH),
        })
    }
}

/// The section as it could have been read.
pub(super) fn printed(srt: &Srt) -> Value {
    let keys = raw::Srt {
        listen: Some(Value::String(srt.listen.to_string())),
        latency: Some(Value::from(srt.latency.as_secs_f64())),
        passphrase: srt.passphrase.as_ref().map(|secret| Value::String(secret.expose().to_owned())),
        stream: srt.stream.clone().map(Value::String),
        key_refresh: Some(Value::from(srt.key_refresh)),
    };
    serde_yaml::to_value(&keys).unwrap_or_default()
}

fn listen(text: &str) -> Result<SocketAddr, Expected> {
    text.parse().map_err(|_| "an address with a port, like 0.0.0.0:8890 or '[::]:8890'".into())
}

fn latency(text: &str) -> Result<Duration, Expected> {
    let number = text.parse().ok().filter(|number| LATENCIES.contains(number));
    let number = number.ok_or_else(|| format!("seconds, {} to {}", LATENCIES.start(), LATENCIES.end()))?;
    Ok(Duration::from_secs_f64(number))
}

fn stream(text: &str) -> Result<String, Expected> {
    let name = text.trim_matches('/');
    if name.is_empty() { Err("the name of a stream".into()) } else { Ok(name.to_owned()) }
}

fn key_refresh(text: &str) -> Result<u64, Expected> {
    let number = text.parse().ok().filter(|number| KEY_REFRESHES.contains(number));
    number.ok_or_else(|| format!("a number of packets, {} to {}", KEY_REFRESHES.start(), KEY_REFRESHES.end()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Diagnostic, masked, parse, to_yaml};

    #[test]
    fn without_keys_it_is_as_libsrt_has_it() {
        let srt = |text: &str| parse(text).unwrap().srt;
        assert_eq!((srt(""), srt("srt:")), (None, None));
        let usual = Srt { listen: LISTEN, latency: LATENCY, passphrase: None, stream: None, key_refresh: KEY_REFRESH };
        assert_eq!(srt("srt: {}"), Some(usual.clone()));
        let text =
            "srt: {listen: '[::]:10080', latency: 0.2, passphrase: canary-phrase, stream: /cam0, key_refresh: 256}";
        let given = srt(text).unwrap();
        assert_eq!(given.listen, "[::]:10080".parse().unwrap());
        assert_eq!((given.latency.as_millis(), given.stream.as_deref(), given.key_refresh), (200, Some("cam0"), 256));
        assert_eq!(given.passphrase.as_ref().map(Secret::expose), Some("canary-phrase"));
        assert!(!to_yaml(&masked(&parse(text).unwrap())).contains("canary"));
    }

    #[test]
    fn faults() {
        let check = |text: &str, expect: &str| {
            let faults = parse(text).err().unwrap_or_default();
            assert_eq!(faults.iter().map(Diagnostic::to_string).collect::<Vec<_>>(), [expect], "{text}");
        };
        check(
            "srt: {listen: 8890}",
            "1:15: srt.listen: expected an address with a port, like 0.0.0.0:8890 or '[::]:8890', found \"8890\"",
        );
        check("srt: {latency: 120}", "1:16: srt.latency: expected seconds, 0.02 to 8, found \"120\"");
        check(
            "srt: {passphrase: short}",
            "1:19: srt.passphrase: expected a passphrase of 10 to 79 bytes, found another text",
        );
        check("srt: {stream: /}", "1:15: srt.stream: expected the name of a stream, found \"/\"");
        check(
            "srt: {key_refresh: 1}",
            "1:20: srt.key_refresh: expected a number of packets, 256 to 1073741824, found \"1\"",
        );
    }
}
