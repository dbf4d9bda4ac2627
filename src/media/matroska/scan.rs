//! Finds the header and the join points of a live Matroska stream.
//!
//! A cluster that begins with a keyframe is one. A keyframe in the middle of a cluster is one for whoever gets the head of
//! another cluster before it.

use super::element::{self, Block, Head, cluster_head, forget_size, unsigned};
use super::tracks::tracks;
use crate::media::Kind;
use crate::media::byte_window::ByteWindow;
use crate::media::scanned::{Cutter, Scanned};
use bytes::Bytes;

/// Longest header: images and fonts may be attached in it.
const MAX_HEADER: usize = 4 << 20;
/// Longest element that is believed; a wrong length would blind the scanner for as long.
const MAX_ELEMENT: u64 = 64 << 20;
/// Longest cluster that is believed: five seconds of raw 4K video fit.
const MAX_CLUSTER: u64 = 8 << 30;
/// Most bytes of a cluster that are held until its first video frame comes.
const MAX_HELD: u64 = 64 << 10;
/// Most elements, mostly audio, that are held until the first video frame of a cluster comes.
const MAX_HELD_ELEMENTS: u32 = 32;
/// Longest video frame in a `BlockGroup` that is held until it is known whether it refers to others.
const MAX_GROUP: u64 = 8 << 20;

/// Cuts a Matroska stream at its keyframes.
#[derive(Debug, Default)]
pub(in crate::media) struct Scan {
    /// The beginning of an element.
    window: ByteWindow,
    /// Bytes that were looked at, from the first call on.
    position: u64,
    /// So many bytes of content are still to come that need no look.
    content: u64,
    place: Place,
    /// The first video track; `None` when there is only audio.
    video: Option<u64>,
    has_header: bool,
    cutter: Cutter,
}

/// Where in the stream the scanner is.
#[derive(Debug, Default)]
enum Place {
    /// Nowhere: looks for an EBML header, or for a cluster if a header is known.
    #[default]
    Lost,
    /// Before the first cluster; what was read so far.
    Header(Vec<u8>),
    /// Between the children of a segment.
    Segment,
    /// In a cluster of which it is not known yet whether it is a join point.
    Opening(Opening),
    /// After the first video frame of a cluster.
    Cluster(Cluster),
}

/// A cluster, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
struct Cluster {
    /// Where it ends, if that is known.
    end: Option<u64>,
    /// What the times of its blocks count from, once that was read.
    timestamp: Option<u64>,
}

/// The part of a cluster before its first video frame.
#[derive(Debug)]
struct Opening {
    cluster: Cluster,
    /// What was read of it so far.
    held: Vec<u8>,
    elements: u32,
    group: Option<Group>,
}

/// The `BlockGroup` that is being read.
#[derive(Debug)]
struct Group {
    end: u64,
    has_picture: bool,
}

/// What to do about an element.
enum Step {
    /// Its head was understood; so much content follows that needs no look.
    Enter { content: u64 },
    /// Look again, the scanner is at another place now.
    Again,
    /// More bytes are needed.
    Wait,
    /// There is no element.
    Lose,
}

impl Scan {
    /// Takes the next bytes.
    pub(in crate::media) fn push(&mut self, bytes: &[u8], out: &mut Vec<Scanned>) {
        self.cutter.expect(bytes.len());
        let mut window = std::mem::take(&mut self.window);
        window.push(bytes, |bytes| self.scan(bytes, out));
        self.window = window;
        self.cutter.flush(out);
    }

    /// No more bytes will come. Half a header is of no use to anyone.
    pub(in crate::media) fn finish(&mut self, out: &mut Vec<Scanned>) {
        self.settle(Kind::Delta, out);
        let window = self.window.take();
        self.pass(&window);
        self.cutter.flush(out);
    }

    /// Number of bytes that are done with; what remains is shorter than the head of a block.
    fn scan(&mut self, bytes: &[u8], out: &mut Vec<Scanned>) -> usize {
        let mut rest = bytes;
        loop {
            if self.content > 0 {
                let length = usize::try_from(self.content).unwrap_or(usize::MAX).min(rest.len());
                rest = self.take(rest, length);
                self.content -= length as u64;
                if self.content > 0 {
                    break;
                }
            }
            if self.leave(out) {
                continue;
            }
            if matches!(self.place, Place::Lost) {
                rest = self.search(rest);
            }
            let Ok(head) = Head::read(rest) else {
                rest = self.lose(rest, out);
                continue;
            };
            let Some(head) = head else { break };
            match self.element(&head, rest, out) {
                Step::Enter { content } => {
                    rest = self.take(rest, head.length);
                    self.content = content;
                }
                Step::Again => {}
                Step::Wait => break,
                Step::Lose => rest = self.lose(rest, out),
            }
        }
        bytes.len() - rest.len()
    }

    /// Moves `length` bytes to where they belong; returns the others.
    fn take<'a>(&mut self, bytes: &'a [u8], length: usize) -> &'a [u8] {
        let (taken, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
        self.position += taken.len() as u64;
        self.pass(taken);
        rest
    }

    fn pass(&mut self, bytes: &[u8]) {
        match &mut self.place {
            Place::Header(held) | Place::Opening(Opening { held, .. }) => held.extend_from_slice(bytes),
            Place::Lost if !self.has_header => {}
            Place::Lost | Place::Segment | Place::Cluster(_) => self.cutter.append(bytes),
        }
    }

    /// Passes bytes up to the next place where a stream or a cluster may begin.
    fn search<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let begins = |rest: &[u8]| {
            let begins = |id: u32| rest.starts_with(&id.to_be_bytes()) || id.to_be_bytes().starts_with(rest);
            begins(element::EBML) || self.has_header && begins(element::CLUSTER)
        };
        let at = (0..bytes.len()).find(|&at| bytes.get(at..).is_some_and(begins)).unwrap_or(bytes.len());
        self.take(bytes, at)
    }

    /// Gives up on what is being read, because `bytes` do not begin with an element.
    fn lose<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<Scanned>) -> &'a [u8] {
        if let Place::Cluster(Cluster { end: Some(end), .. }) = self.place {
            // It is said where the cluster ends: the rest of it passes.
            self.content = end.saturating_sub(self.position);
            self.place = Place::Segment;
            return bytes;
        }
        self.settle(Kind::Delta, out);
        self.content = 0;
        self.place = Place::Lost;
        self.take(bytes, 1)
    }

    /// Leaves the group or the cluster that ends here; whether that changed the place.
    fn leave(&mut self, out: &mut Vec<Scanned>) -> bool {
        if let Place::Cluster(Cluster { end: Some(end), .. }) = self.place
            && self.position >= end
        {
            self.place = Place::Segment;
            return true;
        }
        let Place::Opening(opening) = &mut self.place else { return false };
        let ended = opening.group.take_if(|group| self.position >= group.end);
        if ended.is_some_and(|group| group.has_picture) {
            // It refers to no other frame (RFC 9559, section 5.1.3.5.5).
            self.settle(Kind::Keyframe, out);
            return true;
        }
        if opening.cluster.end.is_some_and(|end| self.position >= end) {
            self.settle(Kind::Delta, out);
            return true;
        }
        false
    }

    fn element(&mut self, head: &Head, bytes: &[u8], out: &mut Vec<Scanned>) -> Step {
        match &self.place {
            Place::Lost | Place::Header(_) | Place::Segment => self.child_of_segment(head, out),
            Place::Opening(Opening { cluster, .. }) | Place::Cluster(cluster) if ends_cluster(head, cluster) => {
                self.settle(Kind::Delta, out);
                self.content = 0;
                self.place = Place::Segment;
                Step::Again
            }
            Place::Opening(_) => self.child_of_opening(head, bytes, out),
            Place::Cluster(cluster) => self.child_of_cluster(*cluster, head, bytes, out),
        }
    }

    fn child_of_segment(&mut self, head: &Head, out: &mut Vec<Scanned>) -> Step {
        match head.id {
            element::EBML => {
                self.place = Place::Header(Vec::new());
                content_of(head, MAX_HEADER as u64)
            }
            element::CLUSTER => self.cluster(head, out),
            id => {
                let limit = match &self.place {
                    Place::Header(held) => match MAX_HEADER.checked_sub(held.len()) {
                        Some(room) => room as u64,
                        None => return Step::Lose,
                    },
                    _ => MAX_ELEMENT,
                };
                // Its children follow, and whatever comes after them is looked at in the same way.
                if id == element::SEGMENT { Step::Enter { content: 0 } } else { content_of(head, limit) }
            }
        }
    }

    fn cluster(&mut self, head: &Head, out: &mut Vec<Scanned>) -> Step {
        if let Place::Header(header) = &mut self.place {
            let mut header = std::mem::take(header);
            forget_size(&mut header);
            let header = Bytes::from(header);
            self.video = tracks(&header).iter().find(|track| track.is_video()).map(|track| track.number);
            self.has_header = true;
            self.cutter.flush(out);
            out.push(Scanned::Header(header));
        }
        if !self.has_header || head.size.is_some_and(|size| size > MAX_CLUSTER) {
            return Step::Lose;
        }
        if self.video.is_some() {
            let end = head.size.map(|size| self.position + head.length as u64 + size);
            let cluster = Cluster { end, timestamp: None };
            self.place = Place::Opening(Opening { cluster, held: Vec::new(), elements: 0, group: None });
            return Step::Enter { content: 0 };
        }
        self.cutter.cut(out);
        self.place = if head.size.is_some() { Place::Segment } else { Place::Cluster(Cluster::default()) };
        Step::Enter { content: head.size.unwrap_or_default() }
    }

    fn child_of_opening(&mut self, head: &Head, bytes: &[u8], out: &mut Vec<Scanned>) -> Step {
        let Place::Opening(opening) = &mut self.place else { return Step::Again };
        let Some(size) = head.size.filter(|&size| size <= MAX_ELEMENT) else { return Step::Lose };
        let content = bytes.get(head.length..).unwrap_or_default();
        let end = self.position + head.length as u64 + size;
        let parent = opening.group.as_ref().map(|group| group.end).or(opening.cluster.end);
        if parent.is_some_and(|parent| end > parent) {
            return Step::Lose;
        }
        if let Some(group) = &mut opening.group {
            match head.id {
                element::BLOCK => match Block::read(content, size) {
                    Some(block) => group.has_picture |= block.track == self.video,
                    None => return Step::Wait,
                },
                element::REFERENCE_BLOCK if group.has_picture => {
                    self.settle(Kind::Delta, out);
                    return Step::Again;
                }
                _ => {}
            }
            return Step::Enter { content: size };
        }
        if head.id == element::TIMESTAMP {
            match timestamp(content, size) {
                Some(timestamp) => opening.cluster.timestamp = Some(timestamp),
                None => return Step::Wait,
            }
        }
        if head.id == element::SIMPLE_BLOCK {
            match Block::read(content, size) {
                Some(block) if block.track == self.video => {
                    self.settle(if block.is_key { Kind::Keyframe } else { Kind::Delta }, out);
                    return Step::Enter { content: size };
                }
                Some(_) => {}
                None => return Step::Wait,
            }
        }
        opening.elements += 1;
        let limit = if head.id == element::BLOCK_GROUP { MAX_GROUP } else { MAX_HELD };
        if opening.elements > MAX_HELD_ELEMENTS || opening.held.len() as u64 + size > limit {
            self.settle(Kind::Delta, out);
            return Step::Again;
        }
        if head.id == element::BLOCK_GROUP {
            opening.group = Some(Group { end, has_picture: false });
            return Step::Enter { content: 0 };
        }
        Step::Enter { content: size }
    }

    fn child_of_cluster(&mut self, mut cluster: Cluster, head: &Head, bytes: &[u8], out: &mut Vec<Scanned>) -> Step {
        let Some(size) = head.size.filter(|&size| size <= MAX_ELEMENT) else { return Step::Lose };
        if cluster.end.is_some_and(|end| self.position + head.length as u64 + size > end) {
            return Step::Lose;
        }
        let content = bytes.get(head.length..).unwrap_or_default();
        match (head.id, self.video) {
            (element::TIMESTAMP, _) => match timestamp(content, size) {
                Some(timestamp) => cluster.timestamp = Some(timestamp),
                None => return Step::Wait,
            },
            (element::SIMPLE_BLOCK, Some(_)) => match (Block::read(content, size), cluster.timestamp) {
                (Some(block), Some(timestamp)) if block.is_key && block.track == self.video => {
                    self.cutter.flush(out);
                    out.push(Scanned::Lead(Bytes::from(cluster_head(timestamp))));
                }
                (Some(_), _) => {}
                (None, _) => return Step::Wait,
            },
            _ => {}
        }
        self.place = Place::Cluster(cluster);
        Step::Enter { content: size }
    }

    /// Lets go of the opening of a cluster.
    fn settle(&mut self, kind: Kind, out: &mut Vec<Scanned>) {
        let Place::Opening(opening) = &mut self.place else { return };
        let (held, cluster) = (std::mem::take(&mut opening.held), opening.cluster);
        if kind == Kind::Keyframe {
            self.cutter.cut(out);
        }
        self.cutter.append(&held);
        self.place = Place::Cluster(cluster);
    }
}

/// Whether a cluster ends where this element begins.
fn ends_cluster(head: &Head, cluster: &Cluster) -> bool {
    head.id == element::EBML || cluster.end.is_none() && head.is_top_level()
}

/// The value of a timestamp of `size` bytes; `None` when too few of them are there.
fn timestamp(content: &[u8], size: u64) -> Option<u64> {
    content.get(..usize::try_from(size.min(8)).ok()?).map(unsigned)
}

/// Enters an element whose content is of known and credible size.
fn content_of(head: &Head, limit: u64) -> Step {
    head.size.filter(|&size| size <= limit).map_or(Step::Lose, |content| Step::Enter { content })
}

#[cfg(test)]
mod tests;
