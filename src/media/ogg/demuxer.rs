//! Demuxes Ogg (RFC 3533) into samples in canonical form.
//!
//! The stream may begin anywhere and may have gaps: without the first pages of a logical stream its packets are not understood. A
//! page whose checksum is wrong is lost, and the next one is looked for byte by byte.
//!
//! Logical streams that begin after media of others are the next link of a chain (section 4), as sources of radio stations begin
//! one for every song. Their times continue where those of the link before end.

mod packets;
mod stream;

use super::page::{BEGIN, is_intact};
use super::scan::Ogg;
use crate::media::announcer::Announcer;
use crate::media::byte_window::ByteWindow;
use crate::media::demux::Demuxed;
use crate::media::framing::{FrameLength, Framing};
use crate::media::{Time, TrackId, TrackInfo};
use packets::Page;
use stream::Stream;

/// What each page begins with.
const MAGIC: &[u8] = b"OggS";
/// Most logical streams of a link.
const MAX_STREAMS: usize = 8;
/// So many bytes may be checked in vain, as heads of pages that are none may overlap;
const MAX_VAIN: usize = 256 << 10;
/// and so many more for each byte that is used.
const VAIN: usize = 4;

/// Demuxes one stream.
#[derive(Debug, Default)]
pub struct Demuxer {
    window: ByteWindow,
    /// Bytes that were checked in vain.
    vain: usize,
    link: Link,
    announcer: Announcer,
    /// Names of codecs that are not known, of all links so far.
    unsupported: Vec<String>,
}

/// The logical streams that are there together.
#[derive(Debug, Default)]
struct Link {
    streams: Vec<Stream>,
    has_media: bool,
    /// Nanoseconds that are added to its times, once its first sample came.
    shift: Option<i64>,
    /// The end of the latest sample so far, of all links.
    end: Option<Time>,
}

impl Demuxer {
    /// A demuxer of a stream that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Demuxed>) {
        let mut window = std::mem::take(&mut self.window);
        window.push_steps(bytes, |bytes| self.step(bytes, out));
        self.window = window;
    }

    /// No more bytes come. A page that is cut is of no use.
    pub fn finish(&mut self, out: &mut Vec<Demuxed>) {
        // What only looks like the begin of a page may be before whole ones.
        let mut held = self.window.take();
        while !held.is_empty() {
            let rest = held.split_off(pass(&held));
            self.push(&rest, out);
            held = self.window.take();
        }
        self.announcer.end(&self.link.known(), out);
    }

    /// Names of what is in there and is not demuxed.
    pub fn unsupported(&self) -> Vec<String> {
        self.unsupported.clone()
    }

    /// Number of bytes that were used; `None` when more are needed.
    fn step(&mut self, bytes: &[u8], out: &mut Vec<Demuxed>) -> Option<usize> {
        let used = self.used(bytes, out)?;
        self.vain = self.vain.saturating_sub(VAIN * used);
        Some(used)
    }

    fn used(&mut self, bytes: &[u8], out: &mut Vec<Demuxed>) -> Option<usize> {
        if bytes.is_empty() {
            return None;
        }
        let length = match Ogg::measure(bytes) {
            FrameLength::Unit(length) => length,
            FrameLength::More => return None,
            FrameLength::Nothing => return Some(pass(bytes)),
        };
        let unit = bytes.get(..length)?;
        match Page::read(unit).filter(|_| is_intact(unit)) {
            Some(page) => {
                self.page(&page, out);
                Some(length)
            }
            None => Some(self.missed(bytes, length)),
        }
    }

    /// Number of bytes to skip where a page of this length is damaged, or none: to what may be the next one, or all of it when
    /// too much was checked already.
    fn missed(&mut self, bytes: &[u8], length: usize) -> usize {
        self.vain += length;
        if self.vain <= MAX_VAIN { pass(bytes) } else { length }
    }

    fn page(&mut self, page: &Page<'_>, out: &mut Vec<Demuxed>) {
        if page.flags & BEGIN != 0 {
            return self.begin(page, out);
        }
        let link = &mut self.link;
        let Some(stream) = link.streams.iter_mut().find(|stream| stream.serial == page.serial) else { return };
        let (mut samples, was_known) = (Vec::new(), stream.info().is_some());
        stream.take(page, &mut samples);
        let is_new = !was_known && stream.info().is_some();
        if samples.is_empty() && !is_new {
            return;
        }
        if !samples.is_empty() && !std::mem::replace(&mut link.has_media, true) {
            self.announcer.begin(&link.known(), out);
        } else if is_new && link.has_media {
            self.announcer.learn(&link.known(), out);
        }
        for mut sample in samples {
            let shift = *link.shift.get_or_insert_with(|| link.end.map_or(0, |end| end.since(sample.dts)));
            (sample.dts, sample.pts) = (sample.dts.shifted(shift), sample.pts.shifted(shift));
            let end = sample.dts + sample.duration.unwrap_or_default();
            link.end = Some(link.end.map_or(end, |latest| latest.max(end)));
            self.announcer.sample(sample, || link.known(), out);
        }
    }

    /// A logical stream begins.
    fn begin(&mut self, page: &Page<'_>, out: &mut Vec<Demuxed>) {
        let Self { link, announcer, unsupported, .. } = self;
        // All streams of a link begin together; those that were there before have ended (section 4).
        if link.has_media || link.streams.len() >= MAX_STREAMS {
            announcer.end(&link.known(), out);
            *link = Link { end: link.end, ..Link::default() };
        }
        link.streams.retain(|stream| stream.serial != page.serial);
        let taken: Vec<_> = link.streams.iter().map(Stream::id).collect();
        let Some(id) = (0..=u8::MAX).map(TrackId).find(|id| !taken.contains(id)) else { return };
        let mut stream = Stream::new(page.serial, id);
        // The first page has the first header, and nothing else.
        stream.take(page, &mut Vec::new());
        if let Some(name) = stream.unsupported()
            && !unsupported.iter().any(|known| known == name)
        {
            unsupported.push(name.to_owned());
        }
        link.streams.push(stream);
    }
}

/// There is no page here: the number of bytes up to where the next one may begin, one at least.
fn pass(bytes: &[u8]) -> usize {
    let begins = |rest: &[u8]| rest.starts_with(MAGIC) || MAGIC.starts_with(rest);
    (1..bytes.len()).find(|&at| bytes.get(at..).is_some_and(begins)).unwrap_or(bytes.len())
}

impl Link {
    /// The tracks; `None` stands for one whose headers are not whole.
    fn known(&self) -> Vec<Option<&TrackInfo>> {
        self.streams.iter().filter(|stream| stream.is_track()).map(Stream::info).collect()
    }
}

#[cfg(test)]
mod tests;
