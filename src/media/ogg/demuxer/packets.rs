//! The packets of a logical stream: parts of them are in segments of pages (RFC 3533, section 5).

use super::super::page::{CONTINUED, HEAD};
use bytes::Bytes;

/// Longest packet: cover art in a comment header fits.
const MAX_PACKET: usize = 8 << 20;
/// A segment of this length is continued by the next one.
const FULL: u8 = 255;

/// A whole page.
#[derive(Debug)]
pub(super) struct Page<'a> {
    pub(super) flags: u8,
    /// The position at the end of the last packet that ends here.
    pub(super) granule: Option<i64>,
    pub(super) serial: u32,
    sequence: u32,
    lacing: &'a [u8],
    content: &'a [u8],
}

impl<'a> Page<'a> {
    /// Reads a page with as many bytes as its head says.
    pub(super) fn read(unit: &'a [u8]) -> Option<Self> {
        let (head, rest) = unit.split_at_checked(HEAD)?;
        let (lacing, content) = rest.split_at_checked(usize::from(*head.last()?))?;
        let granule = i64::from_le_bytes(*head.get(6..)?.first_chunk()?);
        Some(Self {
            flags: *head.get(5)?,
            // No packet ends here where all bits are set; other negative numbers mean nothing.
            granule: Some(granule).filter(|granule| *granule >= 0),
            serial: u32::from_le_bytes(*head.get(14..)?.first_chunk()?),
            sequence: u32::from_le_bytes(*head.get(18..)?.first_chunk()?),
            lacing,
            content,
        })
    }
}

/// Puts packets together.
#[derive(Debug, Default)]
pub(super) struct Packets {
    /// What came of the packet that continues in the next page.
    open: Option<Vec<u8>>,
    /// The number of the next page.
    next: Option<u32>,
}

impl Packets {
    /// Adds the packets that end in this page to `out`; whether all that came before are there.
    pub(super) fn take(&mut self, page: &Page<'_>, out: &mut Vec<Bytes>) -> bool {
        let mut is_whole = self.next.is_none_or(|next| next == page.sequence);
        self.next = Some(page.sequence.wrapping_add(1));
        let mut open = self.open.take().filter(|_| is_whole);
        let mut is_continued = page.flags & CONTINUED != 0;
        // What was open has no end, or what ends here has no begin.
        is_whole &= open.is_some() == is_continued;
        let mut rest = page.content;
        for run in page.lacing.split_inclusive(|length| *length < FULL) {
            let length = run.iter().map(|length| usize::from(*length)).sum();
            let Some((part, after)) = rest.split_at_checked(length) else { return false };
            rest = after;
            let ends = run.last().is_some_and(|length| *length < FULL);
            match (std::mem::take(&mut is_continued), open.take()) {
                // Its begin is lost.
                (true, None) => {}
                (true, Some(held)) if held.len() + part.len() > MAX_PACKET => is_whole = false,
                (true, Some(mut held)) => {
                    held.extend_from_slice(part);
                    match ends {
                        true => out.push(held.into()),
                        false => self.open = Some(held),
                    }
                }
                (false, _) if ends => out.push(Bytes::copy_from_slice(part)),
                (false, _) => self.open = Some(part.to_vec()),
            }
        }
        is_whole
    }
}
