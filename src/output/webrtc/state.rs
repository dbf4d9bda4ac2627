//! What those know of a session who have subscribed to its [events](super::events). Pure.

use std::sync::Arc;

/// Most subscribers of a session.
pub const MAX_SUBSCRIBERS: usize = 4;

/// What subscribers know of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionState {
    /// Media comes.
    pub is_active: bool,
    /// The viewers of the stream, by all protocols.
    pub viewers: usize,
    /// What the layers of the stream are called, and the number of the one that is sent; none where there is one only.
    pub layers: Option<(Arc<[String]>, usize)>,
}
