//! What leaves a depacketizer.

use bytes::Bytes;

/// An access unit in the form that [`Encoding::source_form`](super::Encoding::source_form) names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// When it is shown, in ticks of the clock of its format, which wraps.
    pub timestamp: u32,
    /// Its bytes.
    pub data: Bytes,
    /// Units before it are missing, or their parts were.
    pub discontinuity: bool,
}
