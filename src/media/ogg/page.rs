//! Writes Ogg pages (RFC 3533, section 6), and checks those of others.

/// Bytes of a page before its lacing values.
pub(super) const HEAD: usize = 27;
/// Where its checksum is.
const SUM: usize = 22;
/// Most lacing values of a page.
const MAX_SEGMENTS: usize = 255;
/// Most bytes of a segment; a shorter one ends a packet.
const SEGMENT: usize = 255;
/// Most bytes of a packet in one page.
const MAX_CONTENT: usize = MAX_SEGMENTS * SEGMENT;

/// The page begins in the middle of a packet.
pub(super) const CONTINUED: u8 = 1;
/// The first page of a logical stream.
pub(super) const BEGIN: u8 = 2;
/// The last page of a logical stream.
pub(super) const END: u8 = 4;

/// Granule position of a page in which no packet ends.
const NO_GRANULE: i64 = -1;

/// The pages of one logical stream, each with the next sequence number.
#[derive(Debug, Clone)]
pub(super) struct Pages {
    serial: u32,
    sequence: u32,
}

impl Pages {
    /// A logical stream that has no pages yet.
    pub(super) const fn new(serial: u32) -> Self {
        Self { serial, sequence: 0 }
    }

    /// Bytes of the last page.
    pub(super) const END_SIZE: usize = HEAD;

    /// Bytes of the pages of a packet with `length` bytes.
    pub(super) const fn size(length: usize) -> usize {
        let segments = length / SEGMENT + 1;
        segments.div_ceil(MAX_SEGMENTS) * HEAD + segments + length
    }

    /// Writes a packet in pages of its own: one, or more if it is longer than a page. `granule` is the position at its end.
    pub(super) fn packet(&mut self, packet: &[u8], granule: i64, mut put: impl FnMut(&[u8])) {
        let mut flags = if self.sequence == 0 { BEGIN } else { 0 };
        let mut rest = packet;
        let mut lacing = lacing(packet.len());
        while lacing.len() > 0 {
            let (content, after) = rest.split_at(rest.len().min(MAX_CONTENT));
            rest = after;
            let here = lacing.by_ref().take(MAX_SEGMENTS);
            let content = [content];
            let mut page = Page::new(here, &content);
            page.flags = flags;
            page.granule = if lacing.len() == 0 { granule } else { NO_GRANULE };
            self.page(page, &mut put);
            flags = CONTINUED;
        }
    }

    /// Writes the last page: it has no packet, and the granule position of the last one.
    pub(super) fn end(&mut self, granule: i64, mut put: impl FnMut(&[u8])) {
        self.page(Page { flags: END, granule, ..Page::new([].into_iter(), &[]) }, &mut put);
    }

    /// The page that whoever begins with the next page may get first: these packets, which were the last ones, once more. `None`
    /// if they need more than a page.
    pub(super) fn again(&self, packets: &[&[u8]], granule: i64) -> Option<Vec<u8>> {
        let mut pages = Self { sequence: self.sequence.checked_sub(1)?, ..*self };
        let lengths = packets.iter().map(|packet| packet.len());
        let fits = lengths.clone().map(|length| lacing(length).len()).sum::<usize>() <= MAX_SEGMENTS;
        fits.then(|| {
            let mut out = Vec::with_capacity(lengths.clone().map(Self::size).sum());
            let page = Page { granule, ..Page::new(lengths.flat_map(lacing), packets) };
            pages.page(page, &mut |bytes| out.extend_from_slice(bytes));
            out
        })
    }

    /// Writes a page.
    fn page(&mut self, page: Page<'_>, put: &mut impl FnMut(&[u8])) {
        let fields = [
            &b"OggS\0"[..],
            &[page.flags],
            &page.granule.to_le_bytes(),
            &self.serial.to_le_bytes(),
            &self.sequence.to_le_bytes(),
            // The checksum counts as 0 when it is made.
            &[0; 4],
            &[page.segments],
        ];
        let mut head = page.head;
        head.iter_mut().zip(fields.into_iter().flatten()).for_each(|(place, byte)| *place = *byte);
        let (head, _) = head.split_at_mut(HEAD + usize::from(page.segments));
        let sum = page.content.iter().fold(crc(0, head), |sum, bytes| crc(sum, bytes));
        if let Some(place) = head.get_mut(SUM..SUM + 4) {
            place.copy_from_slice(&sum.to_le_bytes());
        }
        // Only the first page of all has the number 0.
        self.sequence = self.sequence.wrapping_add(1).max(1);
        put(head);
        page.content.iter().for_each(|bytes| put(bytes));
    }
}

/// What is in a page.
struct Page<'a> {
    flags: u8,
    granule: i64,
    /// Number of lacing values.
    segments: u8,
    /// Room, then the lacing values.
    head: [u8; HEAD + MAX_SEGMENTS],
    content: &'a [&'a [u8]],
}

impl<'a> Page<'a> {
    /// With these lacing values, 255 at most.
    fn new(lacing: impl Iterator<Item = u8>, content: &'a [&'a [u8]]) -> Self {
        let (mut head, mut segments) = ([0; HEAD + MAX_SEGMENTS], 0);
        for (place, length) in head.iter_mut().skip(HEAD).zip(lacing) {
            *place = length;
            segments += 1;
        }
        Self { flags: 0, granule: 0, segments, head, content }
    }
}

/// The lacing values of a packet. One whose last segment is full ends with an empty one.
fn lacing(length: usize) -> impl ExactSizeIterator<Item = u8> {
    (0..length / SEGMENT + 1).map(move |segment| (length - segment * SEGMENT).min(SEGMENT) as u8)
}

/// Bytes that [`crc`] takes in one step.
const STEP: usize = 8;

/// The checksums of a byte with as many zeros after it as the number of the table says.
const TABLES: [[u32; 256]; STEP] = tables();

#[allow(clippy::indexing_slicing, reason = "in constants, an index that is out of bounds is an error of the compiler")]
const fn tables() -> [[u32; 256]; STEP] {
    let mut tables = [[0; 256]; STEP];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc >> 31 == 0 { crc << 1 } else { crc << 1 ^ 0x04c1_1db7 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < STEP {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[zeros - 1][byte];
            tables[zeros][byte] = crc << 8 ^ tables[0][(crc >> 24) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

/// Whether the checksum of a whole page is right.
pub(super) fn is_intact(page: &[u8]) -> bool {
    let parts = page.get(..SUM).zip(page.get(SUM..SUM + 4)).zip(page.get(SUM + 4..));
    parts.is_some_and(|((before, sum), after)| {
        // The checksum counts as 0 when it is made.
        [before, &[0; 4], after].into_iter().fold(0, crc).to_le_bytes() == *sum
    })
}

/// Continues a checksum: polynomial 0x04c11db7, highest bit first, from 0, not inverted. A table for each of eight bytes
/// makes it several times as fast as one table does.
fn crc(crc: u32, bytes: &[u8]) -> u32 {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &TABLES;
    let of = |table: &[u32; 256], byte: u8| table.get(usize::from(byte)).copied().unwrap_or_default();
    let (steps, rest) = bytes.as_chunks::<STEP>();
    let crc = steps.iter().fold(crc, |crc, [a, b, c, d, e, f, g, h]| {
        let [i, j, k, l] = crc.to_be_bytes();
        of(t7, a ^ i)
            ^ of(t6, b ^ j)
            ^ of(t5, c ^ k)
            ^ of(t4, d ^ l)
            ^ of(t3, *e)
            ^ of(t2, *f)
            ^ of(t1, *g)
            ^ of(t0, *h)
    });
    rest.iter().fold(crc, |crc, byte| crc << 8 ^ of(t0, byte ^ (crc >> 24) as u8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::ogg::testing;
    use proptest::prelude::*;

    /// The pages of one packet after a first one.
    fn pages(packet: &[u8]) -> Vec<u8> {
        let mut pages = Pages::new(7);
        pages.packet(b"head", 0, |_| {});
        let mut out = Vec::new();
        pages.packet(packet, 42, |bytes| out.extend_from_slice(bytes));
        out
    }

    #[test]
    fn checksums_are_those_of_other_writers() {
        for capture in [
            &include_bytes!("../../../tests/data/opus.ogg")[..],
            include_bytes!("../../../tests/data/theora-vorbis-gst.ogg"),
        ] {
            let pages = testing::pages(capture);
            assert!(pages.len() > 10);
            for page in pages {
                let mut bytes = page.bytes.to_vec();
                let sum = u32::from_le_bytes(bytes[22..26].try_into().unwrap());
                bytes[22..26].fill(0);
                assert_eq!(crc(0, &bytes), sum);
                assert!(is_intact(page.bytes) && !is_intact(&bytes) && !is_intact(&bytes[..25]));
            }
        }
    }

    #[test]
    fn a_long_packet_continues_in_further_pages() {
        for (length, expected) in [
            (0, vec![(0, 42, 1)]),
            (255, vec![(0, 42, 2)]),
            (MAX_CONTENT - 1, vec![(0, 42, 255)]),
            (MAX_CONTENT, vec![(0, -1, 255), (CONTINUED, 42, 1)]),
            (2 * MAX_CONTENT + 3, vec![(0, -1, 255), (CONTINUED, -1, 255), (CONTINUED, 42, 1)]),
        ] {
            let bytes = pages(&vec![7; length]);
            let found = testing::pages(&bytes);
            let facts: Vec<_> = found.iter().map(|page| (page.flags, page.granule, page.lacing.len())).collect();
            assert_eq!(facts, expected, "{length}");
            assert_eq!(
                found.iter().map(|page| page.sequence).collect::<Vec<_>>(),
                (1..=found.len() as u32).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn a_stream_begins_and_ends_with_a_mark() {
        let (mut pages, mut out) = (Pages::new(9), Vec::new());
        pages.packet(b"head", 0, |bytes| out.extend_from_slice(bytes));
        pages.end(11, |bytes| out.extend_from_slice(bytes));
        let facts: Vec<_> = testing::pages(&out).iter().map(|page| (page.flags, page.serial, page.granule)).collect();
        assert_eq!(facts, [(BEGIN, 9, 0), (END, 9, 11)]);
    }

    proptest! {
        #[test]
        fn packets_come_back_and_their_size_is_known_before(length in 0usize..200_000, seed: u8) {
            let packet: Vec<u8> = (0..length).map(|at| (at as u8).wrapping_mul(seed)).collect();
            let bytes = pages(&packet);
            prop_assert_eq!(bytes.len(), Pages::size(length));
            let content: Vec<u8> = testing::pages(&bytes).iter().flat_map(|page| page.content.to_vec()).collect();
            prop_assert!(content == packet);
        }
    }
}
