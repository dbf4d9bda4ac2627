//! The unit that travels from a muxer or a scanner through the fan-out to every socket.

use bytes::{Bytes, BytesMut};
use std::time::Duration;

/// Room before a payload for the size line of an HTTP/1.1 chunk: eight hexadecimal digits and CRLF
/// (RFC 9112, section 7.1; leading zeros are allowed).
const HEAD: usize = 10;
/// The CRLF that ends a chunk.
const TAIL: usize = 2;

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
/// connection is served with one write and an unchunked one from the same bytes.
#[derive(Debug, Clone)]
pub struct Packet {
    chunk: Bytes,
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

impl Packet {
    /// A packet with a copy of `payload`, which must not be empty: an empty chunk ends an HTTP body.
    pub fn copy_of(kind: Kind, payload: &[u8]) -> Self {
        let mut buffer = PacketBuf::with_capacity(payload.len());
        buffer.extend_from_slice(payload);
        buffer.finish(kind)
    }

    /// The media bytes.
    pub fn payload(&self) -> Bytes {
        self.chunk.slice(HEAD..self.chunk.len() - TAIL)
    }

    /// Number of media bytes.
    pub fn len(&self) -> usize {
        self.chunk.len() - HEAD - TAIL
    }

    /// Whether there are no media bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same bytes as one HTTP/1.1 chunk.
    pub fn chunk(&self) -> &Bytes {
        &self.chunk
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
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        if self.bytes.len() < HEAD {
            self.bytes.resize(HEAD, 0);
        }
        let mut size = self.len();
        self.bytes.extend_from_slice(b"\r\n");
        if let Some((digits, end)) = self.bytes.get_mut(..HEAD).and_then(|head| head.split_at_mut_checked(HEAD - 2)) {
            for digit in digits.iter_mut().rev() {
                *digit = DIGITS.get(size & 15).copied().unwrap_or_default();
                size >>= 4;
            }
            end.copy_from_slice(b"\r\n");
        }
        Packet {
            chunk: self.bytes.freeze(),
            kind,
            discontinuity: false,
            lead: None,
            captured: None,
            needs: 0,
            entered: self.entered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_payload_and_chunk_at_once() {
        let packet = Packet::copy_of(Kind::Keyframe, b"twelve bytes");
        assert_eq!(packet.payload().as_ref(), b"twelve bytes");
        assert_eq!(packet.chunk().as_ref(), b"0000000c\r\ntwelve bytes\r\n");
        assert_eq!(packet.len(), 12);
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
