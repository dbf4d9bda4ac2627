//! Packets of one timestamp → a whole frame, for all payload formats that cut frames.

use super::packet::Packet;
use super::unit::Unit;
use bytes::Bytes;

/// Longest frame. One that is longer is dropped.
pub(super) const MAX_FRAME: usize = 8 << 20;
/// So many frames must end with a marker, and have none before, until markers are believed; after one that did not, so many.
const MARKED_FRAMES: u16 = 2;
const MARKED_FRAMES_AGAIN: u16 = 500;

/// What a payload format does with the payloads of a frame.
pub(super) trait Assemble {
    /// Whether a frame begins with this payload for certain.
    fn is_start(&self, payload: &[u8]) -> bool;

    /// Takes the next payload of the frame; whether it fits what came before.
    fn add(&mut self, payload: &Bytes) -> bool;

    /// Bytes that are held.
    fn len(&self) -> usize;

    /// The frame, if nothing of it is missing. Nothing of it stays.
    fn finish(&mut self) -> Option<Bytes>;
}

/// Assembles the frames of a track. A frame ends with the marker; with senders that set it otherwise, or never, when the next begins.
#[derive(Debug)]
pub(super) struct Frames<A> {
    format: A,
    open: Option<Open>,
    /// Frames without a doubtful marker up to now, and how many are needed to believe markers.
    marked: u16,
    needed: u16,
    /// Of the frame that left with its marker.
    last: Option<u32>,
    /// Something was dropped since the last frame that left.
    is_lost: bool,
}

/// A frame of which some packets came.
#[derive(Debug)]
struct Open {
    timestamp: u32,
    /// Something is missing, or does not fit.
    is_broken: bool,
    /// The last packet had the marker; one before it had.
    is_marked: bool,
    was_marked: bool,
}

impl<A: Assemble> Frames<A> {
    pub(super) fn new(format: A) -> Self {
        Self { format, open: None, marked: 0, needed: MARKED_FRAMES, last: None, is_lost: false }
    }

    /// Takes the next packet. `has_gap`: packets before it are missing, or it is the first.
    pub(super) fn push(&mut self, packet: &Packet, has_gap: bool, out: &mut Vec<Unit>) {
        let timestamp = packet.header.timestamp;
        self.is_lost |= has_gap && self.open.is_none();
        if self.open.as_ref().is_some_and(|open| open.timestamp != timestamp) {
            self.end(has_gap, out);
        }
        let open = match &mut self.open {
            Some(open) => {
                open.is_broken |= has_gap;
                open
            }
            None if self.last == Some(timestamp) && !has_gap => {
                // The frame left with a marker that was not its last one.
                (self.marked, self.needed) = (0, MARKED_FRAMES_AGAIN);
                self.is_lost = true;
                return;
            }
            open => {
                let is_broken = has_gap && !self.format.is_start(&packet.payload);
                open.insert(Open { timestamp, is_broken, is_marked: false, was_marked: false })
            }
        };
        open.is_broken = open.is_broken || self.format.len() > MAX_FRAME || !self.format.add(&packet.payload);
        open.was_marked |= open.is_marked;
        open.is_marked = packet.header.marker;
        if packet.header.marker && self.marked >= self.needed {
            self.end(false, out);
            self.last = Some(timestamp);
        }
    }

    /// The open frame ends. `has_gap`: packets are missing after what is there of it.
    fn end(&mut self, has_gap: bool, out: &mut Vec<Unit>) {
        let Some(open) = self.open.take() else { return };
        let data = self.format.finish();
        if !has_gap && !open.is_broken {
            match open.is_marked && !open.was_marked {
                true => self.marked = self.marked.saturating_add(1),
                false => (self.marked, self.needed) = (0, MARKED_FRAMES_AGAIN),
            }
        }
        // With the marker it is whole, whatever is missing after it; a marker that means nothing is no sign of it.
        let is_cut = has_gap && !(open.is_marked && self.needed == MARKED_FRAMES);
        match data.filter(|_| !open.is_broken && !is_cut) {
            Some(data) => {
                let discontinuity = std::mem::take(&mut self.is_lost);
                out.push(Unit { timestamp: open.timestamp, data, discontinuity });
            }
            None => self.is_lost = true,
        }
        self.is_lost |= has_gap;
    }
}

/// Frames whose payloads are appended as they are, after a head.
#[derive(Debug, Default)]
pub(super) struct Appended(Vec<u8>);

impl Appended {
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn take(&mut self) -> Option<Bytes> {
        Some(std::mem::take(&mut self.0)).filter(|bytes| !bytes.is_empty()).map(Bytes::from)
    }
}
