//! Trace propagation: W3C Trace Context, <https://www.w3.org/TR/trace-context/>. Pure.

use crate::telemetry::{Parent, SpanId, TraceId};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The header with the context, in requests and responses.
pub const HEADER: HeaderName = HeaderName::from_static("traceparent");

/// The bit of the flags that says that the trace is recorded (section 3.2.2.5.1).
const SAMPLED: u8 = 1;

/// The trace that a request belongs to (section 3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace: TraceId,
    parent: SpanId,
    flags: u8,
}

impl TraceContext {
    /// The trace of a request with a valid header. Fields of newer versions are ignored.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(&HEADER)?.to_str().ok()?;
        let mut parts = text.split('-');
        let (version, id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_known = is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
        if !(is_known && is_hex(id, 32) && is_hex(parent, 16) && is_hex(flags, 2)) {
            return None;
        }
        // An id of 0 is invalid.
        let trace = TraceId::new(u128::from_str_radix(id, 16).ok()?)?;
        let parent = SpanId::new(u64::from_str_radix(parent, 16).ok()?)?;
        Some(Self { trace, parent, flags: u8::from_str_radix(flags, 16).ok()? })
    }

    /// The id of the trace.
    pub fn id(&self) -> TraceId {
        self.trace
    }

    /// The span that the request is a part of.
    pub fn parent(&self) -> Parent {
        Parent { trace: self.trace, span: self.parent, is_sampled: self.flags & SAMPLED != 0 }
    }

    /// For the response, with our span.
    pub fn header(&self, span: SpanId) -> Option<HeaderValue> {
        HeaderValue::from_str(&format!("00-{}-{span}-{:02x}", self.trace, self.flags)).ok()
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";

    fn read(value: &str) -> Option<TraceContext> {
        TraceContext::of(&HeaderMap::from_iter([(HEADER, HeaderValue::from_str(value).unwrap())]))
    }

    #[test]
    fn a_trace_is_continued_with_our_span() {
        let check = |text: String, is_sampled: bool, answered: &str| {
            let trace = read(&text).unwrap();
            assert_eq!(trace.id().to_string(), ID);
            let Parent { trace: id, span, is_sampled: found } = trace.parent();
            assert_eq!(
                (id.to_string(), span.to_string(), found),
                (ID.to_owned(), "b7ad6b7169203331".to_owned(), is_sampled)
            );
            let header = trace.header(SpanId::new(0xab).unwrap()).unwrap();
            assert_eq!(header, format!("00-{ID}-00000000000000ab-{answered}"), "{text}");
        };
        check(format!("00-{ID}-b7ad6b7169203331-01"), true, "01");
        check(format!("00-{ID}-b7ad6b7169203331-00"), false, "00");
        // Bits that have no meaning yet.
        check(format!("00-{ID}-b7ad6b7169203331-fe"), false, "fe");
        check(format!("01-{ID}-b7ad6b7169203331-03-more"), true, "03");
    }

    #[test]
    fn invalid_headers_are_ignored() {
        let parent = "b7ad6b7169203331";
        let zeros = "0".repeat(32);
        for bad in [
            String::new(),
            "-".to_owned(),
            format!("00-{ID}-{parent}"),
            format!("00-{ID}-{parent}-01-more"),
            format!("ff-{ID}-{parent}-01"),
            format!("0-{ID}-{parent}-01"),
            format!("00-{}-{parent}-01", ID.to_uppercase()),
            format!("00-{zeros}-{parent}-01"),
            format!("00-{ID}-{}-01", &zeros[..16]),
            format!("00-{ID}0-{parent}-01"),
            format!("00-{ID}-{parent}-0x"),
            format!("00-{ID}-{parent}-\u{e9}1"),
            format!("00-{ID}-{parent}-+1"),
            format!("00-+{}-{parent}-01", &ID[1..]),
            format!(" 00-{ID}-{parent}-01"),
        ] {
            assert_eq!(read(&bad), None, "{bad}");
        }
        assert_eq!(TraceContext::of(&HeaderMap::new()), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(0x20u8.., 0..80)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let _ = TraceContext::of(&HeaderMap::from_iter([(HEADER, value)]));
            }
        }

        #[test]
        fn what_looks_nearly_right_is_read_as_it_is_or_not_at_all(
            text in "(00|01|ff|0|é)-[0-9a-fA-F]{31,33}-[0-9a-f]{15,17}-[0-9a-g]{2}(-x?)?"
        ) {
            let Ok(value) = HeaderValue::from_str(&text) else { return Ok(()) };
            if let Some(trace) = TraceContext::of(&HeaderMap::from_iter([(HEADER, value)])) {
                let Parent { trace: id, span, .. } = trace.parent();
                prop_assert!(text.contains(&format!("-{id}-{span}-")), "{} as {:?}", text, trace);
            }
        }

        #[test]
        fn what_is_sent_is_read_back(trace in 1u128.., span in 1u64.., flags: u8) {
            let text = format!("00-{trace:032x}-{span:016x}-{flags:02x}");
            let read = read(&text).unwrap();
            prop_assert_eq!(read.header(SpanId::new(span).unwrap()).unwrap(), text);
            prop_assert_eq!(read.parent().is_sampled, flags % 2 == 1);
        }
    }
}
