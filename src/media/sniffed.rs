//! What the first bytes of a stream say of its container.

use super::Container;

/// What [`sniff`](super::sniff()) found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sniffed {
    /// The bytes are the beginning of this container.
    Is(Container),
    /// The bytes are the beginning of no container that we know.
    Unknown,
    /// More bytes are needed; never returned for more than [`MAX_SNIFFED`](super::MAX_SNIFFED) bytes.
    Undecided,
}
