//! One frame of a track as RTP payloads.

use crate::media::{MediaKind, Time};
use std::sync::Arc;

/// What precedes the lengths of the payloads: kind and join point, time, count.
const HEAD: usize = 1 + 8 + 2;
const VIDEO: u8 = 1;
const SYNC: u8 = 2;

/// One frame of video or audio, cut into payloads of at most [`super::MAX_PAYLOAD`] bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Of which track: there is at most one of each kind.
    pub kind: MediaKind,
    /// A decoder may begin with it.
    pub is_sync: bool,
    /// When it is shown.
    pub time: Time,
    /// In their order; the last one has the marker of RTP.
    pub payloads: Vec<Arc<[u8]>>,
}

impl Frame {
    /// Number of payload bytes.
    pub fn len(&self) -> usize {
        self.payloads.iter().map(|payload| payload.len()).sum()
    }

    /// Whether there are no payload bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads what [`write`] made; `None` for anything else.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let [flags, time @ .., high, low] = *head;
        let count = usize::from(u16::from_be_bytes([high, low]));
        let (lengths, mut rest) = rest.split_at_checked(count * 2)?;
        let mut payloads = Vec::with_capacity(count);
        for length in lengths.as_chunks::<2>().0 {
            let (payload, after) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            payloads.push(Arc::from(payload));
            rest = after;
        }
        let kind = if flags & VIDEO != 0 { MediaKind::Video } else { MediaKind::Audio };
        let time = Time::from_nanos(i64::from_be_bytes(time));
        Some(Self { kind, is_sync: flags & SYNC != 0, time, payloads })
    }
}

/// The bytes of a frame with these payloads.
pub(super) fn write(kind: MediaKind, is_sync: bool, time: Time, payloads: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let payloads = payloads.iter().map(AsRef::as_ref).take(usize::from(u16::MAX));
    let bytes: usize = payloads.clone().map(<[u8]>::len).sum();
    let mut out = Vec::with_capacity(HEAD + payloads.len() * 2 + bytes);
    let video = if kind == MediaKind::Video { VIDEO } else { 0 };
    out.push(video | if is_sync { SYNC } else { 0 });
    out.extend(time.nanos().to_be_bytes());
    out.extend(u16::try_from(payloads.len()).unwrap_or(u16::MAX).to_be_bytes());
    payloads.clone().for_each(|payload| out.extend(u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes()));
    payloads.for_each(|payload| out.extend_from_slice(payload));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_come_back(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..6),
            is_sync: bool,
            nanos: i64,
            is_video: bool,
        ) {
            let kind = if is_video { MediaKind::Video } else { MediaKind::Audio };
            let bytes = write(kind, is_sync, Time::from_nanos(nanos), &parts);
            let payloads = parts.iter().map(|part| Arc::from(part.as_slice())).collect();
            prop_assert_eq!(Frame::read(&bytes), Some(Frame { kind, is_sync, time: Time::from_nanos(nanos), payloads }));
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Frame::read(&bytes);
        }
    }
}
