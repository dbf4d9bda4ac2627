//! The name of a request in the log, in its answer, and wherever else one asks for it.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::{
    fmt,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// The header that has it, in requests and answers.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest name that a client or proxy may give.
const LENGTH: usize = 64;

/// Names one request. Letters, digits, `-`, `_` and `.`: harmless wherever it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The name that the request brings, if it is a harmless one; otherwise one that no other request has had, also
    /// before the server was started.
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(&HEADER).and_then(|value| value.to_str().ok());
        given.filter(|given| is_harmless(given)).map_or_else(Self::fresh, |given| Self(given.to_owned()))
    }

    fn fresh() -> Self {
        static START: LazyLock<u128> =
            LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis());
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(format!("{:x}-{:x}", *START, NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// For the answer.
    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

fn is_harmless(text: &str) -> bool {
    (1..=LENGTH).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_harmless_name_is_taken_and_all_others_are_replaced() {
        let of = |value: &str| {
            let headers = HeaderMap::from_iter([(HEADER, HeaderValue::from_str(value).unwrap())]);
            RequestId::of(&headers).to_string()
        };
        let longest = "a".repeat(LENGTH);
        for good in ["x", "0b1a-77", "a_b.C", &longest] {
            assert_eq!(of(good), good);
        }
        let too_long = "a".repeat(LENGTH + 1);
        for bad in ["", "a b", "a=b", "\"", "<b>", "é", &too_long] {
            assert!(is_harmless(&of(bad)) && of(bad) != bad, "{bad}");
        }
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }
}
