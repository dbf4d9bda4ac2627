//! The unit that travels from a muxer or a scanner through the fan-out to every socket.

use bytes::{Bytes, BytesMut};
use std::{
    iter,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// Room before a payload for the size line of an HTTP/1.1 chunk: eight hexadecimal digits and CRLF
/// (RFC 9112, section 7.1; leading zeros are allowed).
const HEAD: usize = 10;
/// The CRLF that ends a chunk.
const TAIL: usize = 2;
/// A body of this many bytes is shared with the sample that it comes from, see [`Packet::framed`]. To copy a smaller one once costs
/// less than two more pieces in the writes of many viewers.
const SHARED: usize = 256 << 10;

/// What a reader may do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A join point: a new reader may begin here, after the container's header, and decode cleanly.
    Keyframe,
    /// Data that needs what came before it.
    Delta,
}

/// One muxed piece of a stream, shared by all its readers without a copy.
///
/// The payload lies in memory between the size line and the end of an HTTP chunk, so that a chunked
/// connection is served with one write and an unchunked one from the same bytes. Where it contains a large sample, that is
/// shared with the packets of other containers, and the packet has three pieces.
#[derive(Debug, Clone)]
pub struct Packet {
    /// The whole chunk, or what is before the shared body.
    chunk: Bytes,
    rest: Option<Arc<Rest>>,
    /// Whether a reader may begin here.
    pub kind: Kind,
    /// The timeline jumped between the previous packet and this one.
    pub discontinuity: bool,
    /// What whoever begins here needs between the header and this.
    pub lead: Option<Bytes>,
    /// When the media in it was captured, on the monotonic clock of this machine; `None` when unknown.
    pub captured: Option<Duration>,
    /// A reader whose header is of an older version does not know its track, and does not get it; see
    /// [`HeaderChange::Added`](super::HeaderChange::Added).
    pub needs: u32,
    /// When the media in it came to us, on the same clock: out of a muxer, or off a command; `None` for what is no media.
    pub entered: Option<Duration>,
}

/// What follows the first piece of a packet with a shared body.
#[derive(Debug)]
struct Rest {
    body: Bytes,
    /// Payload after the body, and the end of the chunk.
    tail: Bytes,
    /// The payload in one piece, once a reader wants that.
    whole: OnceLock<Bytes>,
}

impl Packet {
    /// A packet with this payload: `front` and `tail` are copied, `body` is if it is small. One of them must have bytes.
    pub fn framed(kind: Kind, front: &[&[u8]], body: &Bytes, tail: &[u8]) -> Self {
        let front_len: usize = front.iter().map(|part| part.len()).sum();
        let is_shared = body.len() >= SHARED;
        let copied = if is_shared { 0 } else { body.len() + tail.len() };
        let mut buffer = PacketBuf::with_capacity(front_len + copied);
        front.iter().for_each(|part| buffer.extend_from_slice(part));
        if !is_shared {
            buffer.extend_from_slice(body);
            buffer.extend_from_slice(tail);
            return buffer.finish(kind);
        }
        buffer.write_size(front_len + body.len() + tail.len());
        let rest = Rest { body: body.clone(), tail: [tail, b"\r\n"].concat().into(), whole: OnceLock::new() };
        Self { rest: Some(Arc::new(rest)), ..Self::new(buffer.bytes.freeze(), kind) }
    }

    fn new(chunk: Bytes, kind: Kind) -> Self {
        Self { chunk, rest: None, kind, discontinuity: false, lead: None, captured: None, needs: 0, entered: None }
    }

    /// A packet with a copy of `payload`, which must not be empty: an empty chunk ends an HTTP body.
    pub fn copy_of(kind: Kind, payload: &[u8]) -> Self {
        let mut buffer = PacketBuf::with_capacity(payload.len());
        buffer.extend_from_slice(payload);
        buffer.finish(kind)
    }

    /// The media bytes in one piece. Where there are several, the first call copies them for all readers.
    pub fn payload(&self) -> Bytes {
        let copied = || {
            let mut whole = BytesMut::with_capacity(self.len());
            self.payload_pieces().for_each(|piece| whole.extend_from_slice(&piece));
            whole.freeze()
        };
        match &self.rest {
            None => self.chunk.slice(HEAD..self.chunk.len() - TAIL),
            Some(rest) => rest.whole.get_or_init(copied).clone(),
        }
    }

    /// The media bytes without a copy; no piece is empty.
    pub fn payload_pieces(&self) -> impl Iterator<Item = Bytes> {
        let (first, rest) = match &self.rest {
            None => (self.payload(), None),
            Some(rest) => {
                (self.chunk.slice(HEAD..), Some([rest.body.clone(), rest.tail.slice(..rest.tail.len() - TAIL)]))
            }
        };
        iter::once(first).chain(rest.into_iter().flatten()).filter(|piece| !piece.is_empty())
    }

    /// The media bytes without a copy, for a write; no piece is empty.
    pub fn payload_slices(&self) -> impl Iterator<Item = &[u8]> {
        let (first, rest) = match &self.rest {
            None => (self.chunk.get(HEAD..self.chunk.len() - TAIL), None),
            Some(rest) => (
                self.chunk.get(HEAD..),
                Some([&rest.body[..], rest.tail.get(..rest.tail.len() - TAIL).unwrap_or_default()]),
            ),
        };
        first.into_iter().chain(rest.into_iter().flatten()).filter(|piece| !piece.is_empty())
    }

    /// Number of media bytes.
    pub fn len(&self) -> usize {
        self.chunk_len() - HEAD - TAIL
    }

    /// Whether there are no media bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same bytes as one HTTP/1.1 chunk, of one piece or three.
    pub fn chunk_pieces(&self) -> impl Iterator<Item = &Bytes> {
        iter::once(&self.chunk).chain(self.rest.iter().flat_map(|rest| [&rest.body, &rest.tail]))
    }

    /// Number of bytes of the chunk.
    pub fn chunk_len(&self) -> usize {
        self.chunk.len() + self.rest.as_ref().map_or(0, |rest| rest.body.len() + rest.tail.len())
    }
}

/// A packet's payload while it may still be written to.
#[derive(Debug, Default)]
pub struct PacketBuf {
    /// `HEAD` bytes of room, then the payload.
    bytes: BytesMut,
    /// See [`Packet::entered`].
    pub entered: Option<Duration>,
}

impl PacketBuf {
    /// An empty payload with room for `payload` bytes.
    pub fn with_capacity(payload: usize) -> Self {
        let mut bytes = BytesMut::with_capacity(HEAD + payload + TAIL);
        bytes.resize(HEAD, 0);
        Self { bytes, entered: None }
    }

    /// Takes over a buffer that has at least [`PacketBuf::HEAD_ROOM`] spare bytes before its payload;
    /// `payload_at` is where the payload begins. Bytes before the room are released.
    ///
    /// Returns `None` when the room is missing.
    pub fn from_buffer(mut bytes: BytesMut, payload_at: usize) -> Option<Self> {
        let cut = payload_at.checked_sub(HEAD)?;
        if payload_at > bytes.len() {
            return None;
        }
        let _ = bytes.split_to(cut);
        Some(Self { bytes, entered: None })
    }

    /// The room that [`PacketBuf::from_buffer`] needs before a payload.
    pub const HEAD_ROOM: usize = HEAD;

    /// Appends payload bytes.
    pub fn extend_from_slice(&mut self, payload: &[u8]) {
        if self.bytes.is_empty() {
            self.bytes.resize(HEAD, 0);
        }
        self.bytes.extend_from_slice(payload);
    }

    /// The payload so far.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(HEAD..).unwrap_or_default()
    }

    /// The payload so far, for changes in place.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(HEAD..).unwrap_or_default()
    }

    /// Number of payload bytes.
    pub fn len(&self) -> usize {
        self.bytes.len().saturating_sub(HEAD)
    }

    /// Whether there is no payload yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The payload alone, immutable, without a copy.
    pub fn into_bytes(mut self) -> Bytes {
        if self.bytes.len() <= HEAD {
            return Bytes::new();
        }
        self.bytes.split_off(HEAD).freeze()
    }

    /// Frames the payload as a chunk and makes it immutable.
    pub fn finish(mut self, kind: Kind) -> Packet {
        self.write_size(self.len());
        self.bytes.extend_from_slice(b"\r\n");
        Packet { entered: self.entered, ..Packet::new(self.bytes.freeze(), kind) }
    }

    /// Writes the size line of a chunk.
    fn write_size(&mut self, mut size: usize) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        if self.bytes.len() < HEAD {
            self.bytes.resize(HEAD, 0);
        }
        if let Some((digits, end)) = self.bytes.get_mut(..HEAD).and_then(|head| head.split_at_mut_checked(HEAD - 2)) {
            for digit in digits.iter_mut().rev() {
                *digit = DIGITS.get(size & 15).copied().unwrap_or_default();
                size >>= 4;
            }
            end.copy_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_packet_is_payload_and_chunk_at_once() {
        let packet = Packet::copy_of(Kind::Keyframe, b"twelve bytes");
        assert_eq!(packet.payload().as_ref(), b"twelve bytes");
        assert_eq!(packet.chunk_pieces().flatten().copied().collect::<Vec<_>>(), b"0000000c\r\ntwelve bytes\r\n");
        assert_eq!((packet.len(), packet.chunk_len()), (12, 24));
    }

    proptest! {
        #[test]
        fn a_packet_is_the_same_whether_its_body_is_shared(
            front in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..4),
            length in prop_oneof![0..10usize, SHARED - 2..SHARED + 2],
            tail in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let body = Bytes::from(vec![7; length]);
            let front: Vec<&[u8]> = front.iter().map(|part| &part[..]).collect();
            let payload = [&front.concat()[..], &body, &tail].concat();
            prop_assume!(!payload.is_empty());
            let packet = Packet::framed(Kind::Delta, &front, &body, &tail);
            prop_assert_eq!(&packet.payload(), &payload);
            prop_assert_eq!(packet.payload().as_ptr(), packet.clone().payload().as_ptr());
            prop_assert_eq!(packet.payload_pieces().collect::<Vec<_>>().concat(), &payload[..]);
            prop_assert!(packet.payload_pieces().all(|piece| !piece.is_empty()));
            prop_assert_eq!(packet.len(), payload.len());
            let chunk = [format!("{:08x}\r\n", payload.len()).as_bytes(), &payload, b"\r\n"].concat();
            prop_assert_eq!(packet.chunk_len(), chunk.len());
            let pieces: Vec<_> = packet.chunk_pieces().collect();
            prop_assert_eq!(pieces.len(), if length < SHARED { 1 } else { 3 });
            prop_assert_eq!(pieces.into_iter().flatten().copied().collect::<Vec<_>>(), chunk);
            let is_shared = packet.payload_pieces().any(|piece| piece.as_ptr() == body.as_ptr());
            prop_assert_eq!(is_shared, length >= SHARED);
        }
    }

    #[test]
    fn a_received_buffer_becomes_a_packet_without_a_copy() {
        let mut wire = BytesMut::from(&b"a header of some bytes.payload"[..]);
        let at = wire.len() - 7;
        wire.reserve(8);
        let place = wire.as_ptr() as usize + at;
        let mut buffer = PacketBuf::from_buffer(wire, at).unwrap();
        buffer.payload_mut()[0] = b'P';
        let packet = buffer.finish(Kind::Delta);
        assert_eq!(packet.payload().as_ref(), b"Payload");
        assert_eq!(packet.payload().as_ptr() as usize, place);
        assert!(PacketBuf::from_buffer(BytesMut::from(&b"short"[..]), 5).is_none());
    }
}
