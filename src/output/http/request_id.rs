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

/// Milliseconds since 1970 leave this many bits of a number, until the year 2527.
const COUNT_BITS: u32 = 20;

/// Names one request. Letters, digits, `-`, `_` and `.`: harmless wherever it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId {
    name: String,
    number: u64,
}

impl RequestId {
    /// The name that the request brings, if it is a harmless one; otherwise one that no other request has had, also
    /// before the server was started.
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(&HEADER).and_then(|value| value.to_str().ok());
        let (start, number) = fresh();
        let name =
            given.filter(|given| is_harmless(given)).map_or_else(|| format!("{start:x}-{number:x}"), str::to_owned);
        Self { name, number: (start << COUNT_BITS).wrapping_add(number) }
    }

    /// For the answer.
    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.name).ok()
    }

    /// Another name, which is never what a client wished, for those who want a number.
    pub fn number(&self) -> u64 {
        self.number
    }
}

/// When the server began, in milliseconds since 1970, and how many requests there were.
fn fresh() -> (u64, u64) {
    static START: LazyLock<u64> = LazyLock::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or_default()
    });
    static NEXT: AtomicU64 = AtomicU64::new(1);
    (*START, NEXT.fetch_add(1, Ordering::Relaxed))
}

fn is_harmless(text: &str) -> bool {
    (1..=LENGTH).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
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
