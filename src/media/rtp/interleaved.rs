//! Packets between the messages of RTSP (RFC 2326, section 10.12): `$`, a channel, a length of two bytes, the packet.

use bytes::Bytes;

/// Bytes before a packet.
pub const HEAD: usize = 4;
const MARK: u8 = b'$';

/// The channel of the RTP packets of the track with this place in its stream; that of its RTCP is the next one.
pub const fn channel(track: usize) -> u8 {
    (track as u8 & 0x7f) << 1
}

/// What stands before a packet of this length.
pub fn head(channel: u8, length: usize) -> [u8; HEAD] {
    let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    [MARK, channel, high, low]
}

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framed {
    /// Its channel.
    pub channel: u8,
    /// What stands before it, and the packet.
    pub whole: Bytes,
}

impl Framed {
    /// The packet alone.
    pub fn packet(&self) -> Bytes {
        self.whole.slice(HEAD.min(self.whole.len())..)
    }
}

/// The packets in some bytes; ends at what is none or cut off.
pub fn split(bytes: &Bytes) -> impl Iterator<Item = Framed> {
    let mut rest = bytes.clone();
    std::iter::from_fn(move || {
        let &[MARK, channel, high, low] = rest.first_chunk::<HEAD>()? else { return None };
        let length = HEAD + usize::from(u16::from_be_bytes([high, low]));
        (length <= rest.len()).then(|| Framed { channel, whole: rest.split_to(length) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packets_are_split() {
        let bytes = Bytes::from_static(b"$\x02\0\x03abc$\x03\0\0$\x02\0\x09cut");
        let found: Vec<_> = split(&bytes).map(|framed| (framed.channel, framed.packet())).collect();
        assert_eq!(found, [(2, Bytes::from_static(b"abc")), (3, Bytes::new())]);
        assert_eq!((channel(1), head(2, 258)), (2, [b'$', 2, 1, 2]));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            for framed in split(&Bytes::from(bytes)) {
                let _ = framed.packet();
            }
        }
    }
}
