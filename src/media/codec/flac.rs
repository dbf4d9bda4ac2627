//! FLAC: `STREAMINFO` and the headers of frames (RFC 9639, sections 8.2 and 9.1).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a decoder needs before the first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// The 34 bytes of `STREAMINFO`.
    pub stream_info: Bytes,
}
