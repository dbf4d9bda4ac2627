//! What scanners find in muxed bytes, and how they gather them into packets.

use super::{Container, Kind, PacketBuf};
use bytes::Bytes;

/// What a [`Scanner`](super::Scanner) finds, in the order of the stream.
#[derive(Debug)]
pub enum Scanned {
    /// The container, reported once, before anything else.
    Container(Container),
    /// The container's header as it is now; it replaces an earlier one. TS: the packets of PAT and PMT, which are part
    /// of the following packets as well. Matroska: everything before the first cluster, which is not; the size of
    /// its segment is made unknown. Ogg, FLV, MP4, FLAC and WAV: all before the first media, which is not either;
    /// the sizes in that of WAV are made unknown. MP3 and AAC: none.
    Header(Bytes),
    /// A reader may begin with the next packet, though it comes as [`Kind::Delta`], if it gets this between the header and that.
    /// Matroska: the head of a cluster, for a keyframe in the middle of one.
    Lead(Bytes),
    /// The next media bytes, never empty. MJPEG: one whole JPEG image.
    Packet {
        /// Whether a reader may begin with it.
        kind: Kind,
        /// The bytes.
        payload: PacketBuf,
    },
}

/// Gathers the bytes of one call into as few packets as the join points allow.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    payload: PacketBuf,
    is_join: bool,
    expected: usize,
}

impl Cutter {
    /// How many bytes the packets to come will have at most.
    pub(super) fn expect(&mut self, bytes: usize) {
        self.expected = bytes;
    }

    /// Adds bytes to the packet being made.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.payload.is_empty() {
            self.payload = PacketBuf::with_capacity(self.expected.max(bytes.len()));
        }
        self.expected = self.expected.saturating_sub(bytes.len());
        self.payload.extend_from_slice(bytes);
    }

    /// Begins a new packet, which is a join point.
    pub(super) fn cut(&mut self, out: &mut Vec<Scanned>) {
        self.flush(out);
        self.is_join = true;
    }

    /// Hands over the packet being made.
    pub(super) fn flush(&mut self, out: &mut Vec<Scanned>) {
        if !self.payload.is_empty() {
            let kind = if std::mem::take(&mut self.is_join) { Kind::Keyframe } else { Kind::Delta };
            out.push(Scanned::Packet { kind, payload: std::mem::take(&mut self.payload) });
        }
    }
}
