//! The fixed header of RTP packets (RFC 3550, section 5.1).

use bytes::Bytes;

/// Bytes of the header that is written: no sources but one, no extension.
pub const HEADER: usize = 12;

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// 0 to 127.
    pub payload_type: u8,
    /// What it means is up to the payload; for video it ends a frame.
    pub marker: bool,
    /// Grows by one from packet to packet.
    pub sequence: u16,
    /// Ticks of the clock of the payload's format.
    pub timestamp: u32,
    /// Who sends it.
    pub ssrc: u32,
}

impl Header {
    /// The header as it is sent.
    pub fn bytes(&self) -> [u8; HEADER] {
        let [a, b] = self.sequence.to_be_bytes();
        let [c, d, e, f] = self.timestamp.to_be_bytes();
        let [g, h, i, j] = self.ssrc.to_be_bytes();
        [0x80, u8::from(self.marker) << 7 | (self.payload_type & 0x7f), a, b, c, d, e, f, g, h, i, j]
    }
}

/// A packet that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Its header, without further sources and extension.
    pub header: Header,
    /// Its payload, without padding. Never empty.
    pub payload: Bytes,
}

impl Packet {
    /// Reads a packet; `None` for what is none, is cut off or has no payload.
    pub fn parse(mut bytes: Bytes) -> Option<Self> {
        let &[flags, kind, a, b, c, d, e, f, g, h, i, j] = bytes.first_chunk::<HEADER>()?;
        if flags >> 6 != 2 || is_rtcp(&bytes) {
            return None;
        }
        let mut begin = HEADER + 4 * usize::from(flags & 0x0f);
        if flags & 0x10 != 0 {
            let &[_, _, high, low] = bytes.get(begin..)?.first_chunk::<4>()?;
            begin += 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        }
        let padding = if flags & 0x20 != 0 { usize::from(*bytes.last()?).max(1) } else { 0 };
        let end = bytes.len().checked_sub(padding).filter(|end| *end > begin)?;
        let header = Header {
            payload_type: kind & 0x7f,
            marker: kind & 0x80 != 0,
            sequence: u16::from_be_bytes([a, b]),
            timestamp: u32::from_be_bytes([c, d, e, f]),
            ssrc: u32::from_be_bytes([g, h, i, j]),
        };
        bytes.truncate(end);
        Some(Self { header, payload: bytes.split_off(begin) })
    }
}

/// Whether bytes that came where RTP and RTCP share a port are RTCP (RFC 5761, section 4).
pub fn is_rtcp(bytes: &[u8]) -> bool {
    bytes.get(1).is_some_and(|kind| (192..=223).contains(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: Header =
        Header { payload_type: 96, marker: true, sequence: 0xfffe, timestamp: 0x0102_0304, ssrc: 0xdead_beef };

    #[test]
    fn headers_come_back() {
        let bytes = Bytes::from([&PLAIN.bytes()[..], b"media"].concat());
        assert_eq!(Packet::parse(bytes), Some(Packet { header: PLAIN, payload: Bytes::from_static(b"media") }));
    }

    #[test]
    fn sources_extension_and_padding_are_taken_off() {
        let mut bytes = PLAIN.bytes().to_vec();
        bytes[0] = 0x80 | 0x20 | 0x10 | 2;
        // Two sources, an extension of one word, three bytes of padding.
        bytes.extend([0; 8]);
        bytes.extend([0xbe, 0xde, 0, 1, 0x10, 7, 0, 0]);
        bytes.extend(b"media\0\0\x03");
        assert_eq!(Packet::parse(bytes.clone().into()).unwrap().payload, b"media"[..]);
        for length in 0..bytes.len() - 7 {
            assert_eq!(Packet::parse(bytes[..length].to_vec().into()), None, "{length}");
        }
        *bytes.last_mut().unwrap() = 9;
        assert_eq!(Packet::parse(bytes.into()), None, "more padding than payload");
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Packet::parse(bytes.into());
        }
    }
}
