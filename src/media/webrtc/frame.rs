//! One frame of a track as RTP payloads.

use crate::media::{MediaKind, Time};
use bytes::Bytes;
use std::ops::Range;

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
    /// The payloads one after the other.
    bytes: Bytes,
    /// Where each of them is.
    ranges: Vec<Range<usize>>,
}

impl Frame {
    /// Number of payloads.
    pub fn count(&self) -> usize {
        self.ranges.len()
    }

    /// The payloads, in their order. The last one has the marker of RTP, in video.
    pub fn payloads(&self) -> impl Iterator<Item = &[u8]> {
        self.ranges.iter().filter_map(|range| self.bytes.get(range.clone()))
    }

    /// One of them.
    pub fn payload(&self, number: usize) -> Option<&[u8]> {
        self.bytes.get(self.ranges.get(number)?.clone())
    }

    /// Number of payload bytes.
    pub fn len(&self) -> usize {
        self.ranges.iter().map(ExactSizeIterator::len).sum()
    }

    /// Whether there are no payload bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads what [`write()`] made, without a copy; `None` for anything else.
    pub fn read(bytes: Bytes) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let [flags, time @ .., high, low] = *head;
        let count = usize::from(u16::from_be_bytes([high, low]));
        let (lengths, rest) = rest.split_at_checked(count * 2)?;
        let mut end = bytes.len() - rest.len();
        let mut ranges = Vec::with_capacity(count);
        for length in lengths.as_chunks::<2>().0 {
            let begin = end;
            end += usize::from(u16::from_be_bytes(*length));
            ranges.push(begin..end);
        }
        if end > bytes.len() {
            return None;
        }
        let kind = if flags & VIDEO != 0 { MediaKind::Video } else { MediaKind::Audio };
        let time = Time::from_nanos(i64::from_be_bytes(time));
        Some(Self { kind, is_sync: flags & SYNC != 0, time, bytes, ranges })
    }
}

#[cfg(test)]
impl Frame {
    /// A frame of these payloads.
    pub fn of(kind: MediaKind, time: Time, payloads: &[impl AsRef<[u8]>]) -> Self {
        Self::read(write(kind, false, time, payloads).into()).unwrap()
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
            let time = Time::from_nanos(nanos);
            let frame = Frame::read(write(kind, is_sync, time, &parts).into()).unwrap();
            prop_assert_eq!((frame.kind, frame.is_sync, frame.time, frame.count()), (kind, is_sync, time, parts.len()));
            prop_assert!(frame.payloads().eq(parts.iter().map(Vec::as_slice)));
            prop_assert_eq!(frame.payload(parts.len()), None);
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Frame::read(bytes.into());
        }
    }
}
