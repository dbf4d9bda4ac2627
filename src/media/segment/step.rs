//! How a sample follows the one before.

use super::{
    piece::Piece,
    rendition::{Last, length},
};
use std::time::Duration;

/// A longer step than this and two frames is a gap of the source.
pub(super) const GAP: Duration = Duration::from_millis(500);
/// A sample that is so much earlier than the one before belongs to another timeline. Less is a repetition.
const BACK: Duration = Duration::from_secs(10);

/// How a piece follows the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is the first.
    First,
    /// At its time.
    Continues,
    /// After a gap, or on another timeline.
    Torn,
    /// It was there already.
    Repeated,
}

impl Step {
    /// What this piece is, after the last one.
    pub(super) fn of(last: Option<Last>, piece: &Piece, timescale: u32) -> Self {
        let Some(last) = last else { return Self::First };
        match piece.decode.checked_sub(last.decode) {
            Some(step) if step > 0 => {
                let most = length(2 * u64::from(last.duration), timescale) + GAP;
                if length(step, timescale) > most { Self::Torn } else { Self::Continues }
            }
            _ if length(last.decode - piece.decode, timescale) < BACK => Self::Repeated,
            _ => Self::Torn,
        }
    }
}
