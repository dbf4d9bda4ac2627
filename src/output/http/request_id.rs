//! The id of a request in the log and in its response.

use crate::telemetry::SpanId;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::{
    fmt,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// The header with the id, in requests and responses.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that a client or proxy may set.
const MAX_LENGTH: usize = 64;

/// Milliseconds since 1970 leave this many bits of a number, until the year 2527.
const COUNT_BITS: u32 = 20;

/// Identifies one request. Letters, digits, `-`, `_` and `.`: safe in logs and headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId {
    text: String,
    number: u64,
}

impl RequestId {
    /// The id that the request carries, if it is safe; otherwise a new one that is unique, also across restarts of the server.
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(&HEADER).and_then(|value| value.to_str().ok());
        let (start, number) = fresh();
        let text = given.filter(|given| is_safe(given)).map_or_else(|| format!("{start:x}-{number:x}"), str::to_owned);
        Self { text, number: (start << COUNT_BITS).wrapping_add(number) }
    }

    /// For the response.
    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.text).ok()
    }

    /// The span of the request in its trace: unique too, and never set by a client.
    pub fn span(&self) -> SpanId {
        // It is 0 in no year that a clock may have.
        SpanId::new(self.number).unwrap_or_else(SpanId::random)
    }
}

/// When the server started, in milliseconds since 1970, and the number of this request.
fn fresh() -> (u64, u64) {
    static START: LazyLock<u64> = LazyLock::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or_default()
    });
    static NEXT: AtomicU64 = AtomicU64::new(1);
    (*START, NEXT.fetch_add(1, Ordering::Relaxed))
}

fn is_safe(text: &str) -> bool {
    (1..=MAX_LENGTH).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_safe_id_is_kept_and_others_are_replaced() {
        let of = |value: &str| {
            let headers = HeaderMap::from_iter([(HEADER, HeaderValue::from_str(value).unwrap())]);
            RequestId::of(&headers).to_string()
        };
        let longest = "a".repeat(MAX_LENGTH);
        for good in ["x", "0b1a-77", "a_b.C", &longest] {
            assert_eq!(of(good), good);
        }
        let too_long = "a".repeat(MAX_LENGTH + 1);
        for bad in ["", "a b", "a=b", "\"", "<b>", "é", &too_long] {
            assert!(is_safe(&of(bad)) && of(bad) != bad, "{bad}");
        }
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }
}
