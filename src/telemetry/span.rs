//! Spans of traces as OpenTelemetry has them, and their ids. No clock in here.

use std::{
    borrow::Cow,
    fmt,
    hash::{BuildHasher, RandomState},
    num::{NonZeroU64, NonZeroU128},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

/// Names a trace. It prints as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(NonZeroU128);

/// Names a span of a trace. It prints as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(NonZeroU64);

/// The span of another program that a request is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// Its trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// Whether that program has the trace recorded.
    pub is_sampled: bool,
}

/// A part of a trace that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its trace.
    pub trace: TraceId,
    /// Its name in the trace.
    pub id: SpanId,
    /// What it is a part of.
    pub parent: Option<SpanId>,
    /// What took the time. There are few of these, so that spans of one kind can be compared.
    pub name: Cow<'static, str>,
    /// Whether it is a request that the server responds to, or a step within one.
    pub is_request: bool,
    /// When it began.
    pub began: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// Details.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Whether the server could not do what was asked for.
    pub has_failed: bool,
}

/// The value of a detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

impl TraceId {
    /// `None` for 0, which is invalid.
    pub fn new(number: u128) -> Option<Self> {
        NonZeroU128::new(number).map(Self)
    }

    /// One that no other trace has.
    pub fn random() -> Self {
        let number = u128::from(random()) << 64 | u128::from(random());
        Self(NonZeroU128::new(number).unwrap_or(NonZeroU128::MIN))
    }

    /// The last 8 of its 16 bytes, which are random in every trace of a program that keeps to W3C Trace Context.
    pub fn low(self) -> u64 {
        // The upper half falls away.
        self.0.get() as u64
    }
}

impl SpanId {
    /// `None` for 0, which is invalid.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// One that no other span has.
    pub fn random() -> Self {
        Self(NonZeroU64::new(random()).unwrap_or(NonZeroU64::MIN))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<&'static str> for Attribute {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<u32> for Attribute {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

/// A random number without a system call: a hash of a count, by keys that the process has drawn once.
pub fn random() -> u64 {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static NEXT: AtomicU64 = AtomicU64::new(0);
    KEYS.hash_one(NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_have_all_their_digits() {
        assert_eq!(TraceId::new(0xab).unwrap().to_string(), format!("{}ab", "0".repeat(30)));
        assert_eq!(SpanId::new(1 << 63).unwrap().to_string(), "8000000000000000");
        assert_eq!((TraceId::new(0), SpanId::new(0)), (None, None));
        assert_eq!(TraceId::new(7 << 64 | 5).unwrap().low(), 5);
    }

    #[test]
    fn random_ids_differ_in_both_halves() {
        let ids: Vec<_> = (0..1000).map(|_| TraceId::random().to_string()).collect();
        let halves: HashSet<_> = ids.iter().flat_map(|id| [&id[..16], &id[16..]]).collect();
        assert_eq!(halves.len(), 2000);
    }
}
