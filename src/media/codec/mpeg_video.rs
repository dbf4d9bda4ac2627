//! MPEG-1, MPEG-2 and MPEG-4 part 2 video.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a decoder of MPEG-4 part 2 needs before the first frame (ISO/IEC 14496-2, section 6.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mpeg4Parameters {
    /// From the visual object sequence to the video object layer, with start codes; empty when it is in band only.
    pub config: Bytes,
}
