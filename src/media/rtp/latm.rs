//! AAC as `MP4A-LATM` (RFC 6416), which is read only.

use super::assemble::{Appended, Assemble};
use bytes::Bytes;

/// Reads the payloads: an `AudioMuxElement`, which may be cut.
#[derive(Debug)]
pub(super) struct Depacketizer {
    element: Appended,
    /// The configuration is in the elements (`cpresent=1`): they become frames of LOAS.
    is_in_band: bool,
}

impl Depacketizer {
    pub(super) fn new(is_in_band: bool) -> Self {
        Self { element: Appended::default(), is_in_band }
    }
}

impl Assemble for Depacketizer {
    /// It is not known: the last packet before it may have been of the same element.
    fn is_start(&self, _: &[u8]) -> bool {
        false
    }

    fn add(&mut self, payload: &Bytes) -> bool {
        self.element.extend(payload);
        true
    }

    fn len(&self) -> usize {
        self.element.len()
    }

    fn finish(&mut self) -> Option<Bytes> {
        let element = self.element.take()?;
        if !self.is_in_band {
            return Some(element);
        }
        // Its length has 13 bits after the sync word.
        let length = u16::try_from(element.len()).ok().filter(|length| *length < 1 << 13)?;
        let [high, low] = length.to_be_bytes();
        Some([&[0x56, 0xe0 | high, low], &element[..]].concat().into())
    }
}
