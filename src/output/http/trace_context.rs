//! Trace propagation: W3C Trace Context, <https://www.w3.org/TR/trace-context/>. Pure.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header with the context, in requests and responses.
pub const HEADER: HeaderName = HeaderName::from_static("traceparent");

/// The trace that a request belongs to (section 3.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    id: String,
    flags: String,
}

impl TraceContext {
    /// The trace of a request with a valid header. Fields of newer versions are ignored.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(&HEADER)?.to_str().ok()?;
        let mut parts = text.split('-');
        let (version, id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_known = is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
        let is_good = is_known && is_hex(flags, 2) && is_id(id, 32) && is_id(parent, 16);
        is_good.then(|| Self { id: id.to_owned(), flags: flags.to_owned() })
    }

    /// The trace id: 32 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// For the response: `number` becomes the id of our span. An id of 0 is invalid.
    pub fn header(&self, number: u64) -> Option<HeaderValue> {
        HeaderValue::from_str(&format!("00-{}-{:016x}-{}", self.id, number.max(1), self.flags)).ok()
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_id(text: &str, length: usize) -> bool {
    is_hex(text, length) && text.bytes().any(|byte| byte != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";

    fn read(value: &str) -> Option<TraceContext> {
        TraceContext::of(&HeaderMap::from_iter([(HEADER, HeaderValue::from_str(value).unwrap())]))
    }

    #[test]
    fn a_trace_is_continued_with_our_span() {
        let trace = read(&format!("00-{ID}-b7ad6b7169203331-01")).unwrap();
        assert_eq!(
            (trace.id(), trace.header(0xab).unwrap()),
            (ID, format!("00-{ID}-00000000000000ab-01").parse().unwrap())
        );
        assert_eq!(trace.header(0), trace.header(1));
        assert_eq!(read(&format!("01-{ID}-b7ad6b7169203331-00-more")).unwrap().id(), ID);
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
        ] {
            assert_eq!(read(&bad), None, "{bad}");
        }
        assert_eq!(TraceContext::of(&HeaderMap::new()), None);
    }
}
