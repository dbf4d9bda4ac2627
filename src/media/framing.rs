//! Cuts streams that are rows of whole units (frames, pages, tags or boxes), each of which carries its own length.
//!
//! What a unit is and whether a reader may begin with it, is for each format to say; finding them in pieces of any size,
//! finding them again after damage and gathering the header are the same for all.

use super::byte_window::ByteWindow;
use super::scanned::{Cutter, Scanned};
use bytes::Bytes;

/// Longest header; what is longer is none.
const MAX_HEADER: usize = 4 << 20;

/// A format that is made of units. It sees each of them once, in order.
pub(super) trait Framing: Default {
    /// What `bytes` begin with. Never more than a few bytes are looked at.
    fn measure(bytes: &[u8]) -> FrameLength;

    /// What a whole unit means.
    fn role(&mut self, unit: &[u8]) -> FrameRole;
}

/// What some bytes begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameLength {
    /// A unit of so many bytes, at least one.
    Unit(usize),
    /// Too few bytes to decide.
    More,
    /// No unit.
    Nothing,
}

/// What a unit means for those who join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameRole {
    /// Part of the header; the first unit that is not ends the header.
    Header,
    /// A reader may begin here.
    Join,
    /// It needs what came before.
    Delta,
    /// It is of no use in a live stream.
    Drop,
}

/// Cuts a stream of units at its join points. A unit leaves when it is whole.
#[derive(Debug, Default)]
pub(super) struct Scan<F> {
    format: F,
    window: ByteWindow,
    /// Bytes were met that are no unit: the next one is believed only if another follows it.
    lost: bool,
    header: Vec<u8>,
    cutter: Cutter,
}

impl<F: Framing> Scan<F> {
    /// Takes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<Scanned>) {
        self.cutter.expect(bytes.len());
        let mut window = std::mem::take(&mut self.window);
        window.push(bytes, |bytes| self.scan(bytes, false, out));
        self.window = window;
        self.cutter.flush(out);
    }

    /// No more bytes will come. Half a unit is of no use to anyone.
    pub(super) fn finish(&mut self, out: &mut Vec<Scanned>) {
        let rest = self.window.take();
        self.scan(&rest, true, out);
        self.cutter.flush(out);
    }

    /// Number of bytes that are done with; what remains is shorter than two units.
    fn scan(&mut self, bytes: &[u8], ended: bool, out: &mut Vec<Scanned>) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            match F::measure(rest) {
                FrameLength::More => break,
                FrameLength::Nothing => {
                    self.lost = true;
                    rest = rest.get(1..).unwrap_or_default();
                }
                FrameLength::Unit(length) => {
                    let Some((unit, after)) = rest.split_at_checked(length.max(1)) else { break };
                    if self.lost {
                        match F::measure(after) {
                            FrameLength::Nothing => {
                                rest = rest.get(1..).unwrap_or_default();
                                continue;
                            }
                            FrameLength::More if !ended => break,
                            // Only a whole one is certain.
                            FrameLength::Unit(length) if !ended && after.len() < length => break,
                            FrameLength::More | FrameLength::Unit(_) => self.lost = false,
                        }
                    }
                    self.unit(unit, out);
                    rest = after;
                }
            }
        }
        bytes.len() - rest.len()
    }

    fn unit(&mut self, unit: &[u8], out: &mut Vec<Scanned>) {
        let role = self.format.role(unit);
        match role {
            FrameRole::Drop => {}
            FrameRole::Header => {
                if self.header.len() + unit.len() > MAX_HEADER {
                    self.header.clear();
                }
                self.header.extend_from_slice(unit.get(..MAX_HEADER).unwrap_or(unit));
            }
            FrameRole::Join | FrameRole::Delta => {
                if !self.header.is_empty() {
                    self.cutter.flush(out);
                    out.push(Scanned::Header(Bytes::from(std::mem::take(&mut self.header))));
                }
                if role == FrameRole::Join {
                    self.cutter.cut(out);
                }
                self.cutter.append(unit);
            }
        }
    }
}
