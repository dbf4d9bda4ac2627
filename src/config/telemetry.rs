//! `telemetry:`: where traces go.

use super::{address, diagnostics::Path, expected::Expected, raw, spans::Place, validator::Validator};
use crate::access::{MASK, Secret};
use http::{HeaderName, HeaderValue, header};
use serde_yaml::Value;

/// The part of all traces that is recorded unless told: enough to see what is usual, and no burden for a collector.
const SAMPLE: f64 = 0.1;
/// Below the base address of a collector traces are posted there.
const PATH: &str = "/v1/traces";
/// Most headers of a request.
const HEADERS: usize = 16;
/// Headers that a request has anyway.
const OWN: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::HOST,
    header::TRANSFER_ENCODING,
    header::USER_AGENT,
];

/// Where traces go, and which.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// The base address of a collector of OTLP over HTTP, without a slash at its end.
    pub otlp: String,
    /// The part of the traces that begin here which is recorded: 0 to 1.
    pub sample: f64,
    /// Headers of each request to the collector.
    pub headers: Vec<(String, Secret)>,
}

impl Telemetry {
    /// The section to be shown.
    pub(super) fn masked(&self) -> Self {
        let headers = self.headers.iter().map(|(name, _)| (name.clone(), Secret::new(MASK)));
        Self { headers: headers.collect(), ..self.clone() }
    }
}

impl Validator {
    /// The section; `None` when there is none.
    pub(super) fn telemetry(&mut self, path: &Path, value: Option<Value>) -> Option<Telemetry> {
        let keys: raw::Telemetry = self.section(path, value.filter(|value| !value.is_null())?);
        let sample = self.value(&path.key("sample"), keys.sample, sample).unwrap_or(SAMPLE);
        let headers = self.headers(&path.key("headers"), keys.headers);
        let Some(otlp) = keys.otlp else {
            self.note(path, Place::Key, "expected `otlp`, the address of a collector of traces".to_owned());
            return None;
        };
        // The address may have a password by mistake, so that it is not quoted.
        let expected = format!(
            "the base address of a collector, like http://127.0.0.1:4318, without user, password and query; {PATH} is added to it"
        );
        let otlp = self.secret(&path.key("otlp"), Some(otlp), &expected, collector)?;
        Some(Telemetry { otlp, sample, headers })
    }

    fn headers(&mut self, path: &Path, value: Option<Value>) -> Vec<(String, Secret)> {
        let entries = self.entries(path, value);
        if entries.len() > HEADERS {
            self.note(path, Place::Key, format!("there are {} headers: at most {HEADERS}", entries.len()));
        }
        let mut headers = Vec::new();
        for (name, value) in entries.into_iter().take(HEADERS) {
            let path = path.key(&name);
            match name.parse::<HeaderName>() {
                Ok(known) if OWN.contains(&known) => {
                    self.note(&path, Place::Key, "voyandz sets this header itself".to_owned());
                }
                Ok(_) => {
                    let expected = "a text that can be in a header: visible characters and blanks";
                    let value = self.secret(&path, Some(value), expected, header_value);
                    headers.extend(value.map(|value| (name, value)));
                }
                Err(_) => {
                    let message = "expected the name of a header: letters, digits and `-`";
                    self.note(&path, Place::Key, message.to_owned());
                }
            }
        }
        headers
    }
}

/// The section as it could have been read.
pub(super) fn printed(telemetry: &Telemetry) -> Value {
    let Telemetry { otlp, sample, headers } = telemetry;
    let headers = headers.iter().map(|(name, value)| (name.as_str().into(), value.expose().into()));
    let headers = Value::Mapping(headers.collect());
    let keys = raw::Telemetry {
        otlp: Some(otlp.as_str().into()),
        sample: Some(Value::from(*sample)),
        headers: Some(headers).filter(|headers| headers.as_mapping().is_some_and(|headers| !headers.is_empty())),
    };
    serde_yaml::to_value(&keys).unwrap_or_default()
}

fn collector(text: &str) -> Option<String> {
    let base = text.trim_end_matches('/');
    let is_base = !base.contains(['?', '#']) && !base.ends_with(PATH);
    address::http_url(base).filter(|_| is_base).map(|_| base.to_owned())
}

fn sample(text: &str) -> Result<f64, Expected> {
    let part = text.parse::<f64>().ok().filter(|part| (0.0..=1.0).contains(part));
    part.ok_or_else(|| "the part of all traces that is recorded, from 0 to 1".into())
}

fn header_value(text: &str) -> Option<Secret> {
    HeaderValue::from_str(text).ok().map(|_| Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Diagnostic, masked, parse, to_yaml};

    #[test]
    fn the_section_is_read_and_its_secrets_are_hidden() {
        let telemetry = |text: &str| parse(text).unwrap().telemetry;
        assert_eq!((telemetry(""), telemetry("telemetry:")), (None, None));
        let usual = Telemetry { otlp: "http://127.0.0.1:4318".to_owned(), sample: 0.1, headers: Vec::new() };
        assert_eq!(telemetry("telemetry: {otlp: 'http://127.0.0.1:4318'}"), Some(usual.clone()));
        assert_eq!(telemetry("telemetry: {otlp: 'http://127.0.0.1:4318/', sample: 0.1}"), Some(usual));
        let text = "telemetry: {otlp: 'https://c.example/otlp', sample: 1, headers: {authorization: Bearer canary, x-team: '7'}}";
        let given = telemetry(text).unwrap();
        let headers = [("authorization", "Bearer canary"), ("x-team", "7")];
        assert_eq!((given.otlp.as_str(), given.sample), ("https://c.example/otlp", 1.0));
        assert_eq!(given.headers, headers.map(|(name, value)| (name.to_owned(), Secret::new(value))));
        let shown = to_yaml(&masked(&parse(text).unwrap()));
        assert!(shown.contains("  otlp: https://c.example/otlp\n") && !shown.contains("canary"), "{shown}");
        assert_eq!(parse(&to_yaml(&parse(text).unwrap())).unwrap().telemetry, Some(given));
    }

    #[test]
    fn faults() {
        let check = |text: &str, expect: &str| {
            let faults = parse(text).err().unwrap_or_default();
            assert_eq!(faults.iter().map(Diagnostic::to_string).collect::<Vec<_>>(), [expect], "{text}");
        };
        check("telemetry: {sample: 1}", "1:1: telemetry: expected `otlp`, the address of a collector of traces");
        for address in ["collector:4318", "ftp://h", "http://u:canary@h", "http://h/?x", "http://h:4318/v1/traces/"] {
            check(
                &format!("telemetry: {{otlp: '{address}'}}"),
                "1:19: telemetry.otlp: expected the base address of a collector, like http://127.0.0.1:4318, without user, \
                 password and query; /v1/traces is added to it, found another text",
            );
        }
        for part in ["1.1", "-0.1", "10%", "NaN", "all"] {
            check(
                &format!("telemetry: {{otlp: 'http://h', sample: {part}}}"),
                &format!(
                    "1:39: telemetry.sample: expected the part of all traces that is recorded, from 0 to 1, found \"{part}\""
                ),
            );
        }
        let header = |text: &str| format!("telemetry: {{otlp: 'http://h', headers: {{{text}}}}}");
        check(&header("a b: x"), "1:41: telemetry.headers.a b: expected the name of a header: letters, digits and `-`");
        check(&header("Content-Type: x"), "1:41: telemetry.headers.Content-Type: voyandz sets this header itself");
        check(
            &header("x: \"canary\\n\""),
            "1:44: telemetry.headers.x: expected a text that can be in a header: visible characters and blanks, found another text",
        );
    }
}
