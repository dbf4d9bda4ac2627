//! AC-3 and E-AC-3: what the header of a frame says (ETSI TS 102 366, section 4.4 and annexes E and F).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a decoder that reads MP4 needs before the first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// The body of `dac3` (annex F.4) or `dec3` (annex F.6).
    pub specific: Bytes,
}
