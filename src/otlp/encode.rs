//! Spans as the body of a request of OTLP: the JSON mapping of `ExportTraceServiceRequest`,
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>. Pure.
//!
//! Unlike the usual mapping of protobuf, ids are hexadecimal there; numbers of 64 bits are texts, and enums numbers.

use crate::telemetry::{Attribute, Span};
use serde_json::{Value, json};
use std::time::SystemTime;

/// `SPAN_KIND_INTERNAL`.
const INTERNAL: u8 = 1;
/// `SPAN_KIND_SERVER`.
const SERVER: u8 = 2;
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;

/// The body of a request with these spans of the server that is this `instance`.
pub(super) fn body(spans: &[Span], instance: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let text = |key: &'static str, text: &str| attribute(key, &Attribute::from(text.to_owned()));
    let resource =
        [text("service.name", "voyandz"), text("service.version", version), text("service.instance.id", instance)];
    let spans: Vec<_> = spans.iter().map(span).collect();
    let scope = json!({"scope": {"name": "voyandz", "version": version}, "spans": spans});
    json!({"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [scope]}]}).to_string()
}

fn span(span: &Span) -> Value {
    let attributes: Vec<_> = span.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
    let mut encoded = json!({
        "traceId": span.trace.to_string(),
        "spanId": span.id.to_string(),
        "name": span.name,
        "kind": if span.is_request { SERVER } else { INTERNAL },
        "startTimeUnixNano": nanos(span.began),
        "endTimeUnixNano": nanos(span.ended),
        "attributes": attributes,
        "status": if span.has_failed { json!({"code": ERROR}) } else { json!({}) },
    });
    if let (Some(parent), Some(encoded)) = (span.parent, encoded.as_object_mut()) {
        encoded.insert("parentSpanId".to_owned(), parent.to_string().into());
    }
    encoded
}

fn attribute(key: &str, value: &Attribute) -> Value {
    let value = match value {
        Attribute::Text(text) => json!({"stringValue": text}),
        Attribute::Number(number) => json!({"intValue": number.to_string()}),
    };
    json!({"key": key, "value": value})
}

/// Nanoseconds since 1970.
fn nanos(time: SystemTime) -> String {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{SpanId, TraceId};
    use std::time::Duration;

    #[test]
    fn spans_are_encoded_as_the_specification_has_it() {
        let at = |nanos| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
        let root = Span {
            trace: TraceId::new(0xab).unwrap(),
            id: SpanId::new(1).unwrap(),
            parent: None,
            name: "GET /{stream}".into(),
            is_request: true,
            began: at(1_764_432_000_000_000_001),
            ended: at(1_764_432_000_500_000_000),
            attributes: vec![("http.response.status_code", 503.into()), ("voyandz.stream", "\"é".into())],
            has_failed: true,
        };
        let step = Span {
            id: SpanId::new(2).unwrap(),
            parent: Some(root.id),
            name: "authorize".into(),
            is_request: false,
            attributes: Vec::new(),
            has_failed: false,
            ..root.clone()
        };
        let found: Value = serde_json::from_str(&body(&[root, step], "x-1")).unwrap();
        let text = |key: &str, text: &str| json!({"key": key, "value": {"stringValue": text}});
        let version = env!("CARGO_PKG_VERSION");
        let id = "000000000000000000000000000000ab";
        let expect = json!({"resourceSpans": [{
            "resource": {"attributes": [
                text("service.name", "voyandz"), text("service.version", version), text("service.instance.id", "x-1"),
            ]},
            "scopeSpans": [{"scope": {"name": "voyandz", "version": version}, "spans": [
                {
                    "traceId": id, "spanId": "0000000000000001", "name": "GET /{stream}", "kind": 2,
                    "startTimeUnixNano": "1764432000000000001", "endTimeUnixNano": "1764432000500000000",
                    "attributes": [
                        {"key": "http.response.status_code", "value": {"intValue": "503"}},
                        text("voyandz.stream", "\"é"),
                    ],
                    "status": {"code": 2},
                },
                {
                    "traceId": id, "spanId": "0000000000000002", "parentSpanId": "0000000000000001", "name": "authorize",
                    "kind": 1, "startTimeUnixNano": "1764432000000000001", "endTimeUnixNano": "1764432000500000000",
                    "attributes": [], "status": {},
                },
            ]}],
        }]});
        assert_eq!(found, expect);
    }

    #[test]
    fn a_clock_before_1970_is_none() {
        assert_eq!(nanos(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), "0");
    }
}
