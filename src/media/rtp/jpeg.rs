//! JPEG (RFC 2435): baseline images of three components with the usual Huffman tables, up to 2040 pixels a side.

use super::assemble::Assemble;
use super::payloads::Payloads;
use crate::media::codec::jpeg::{STANDARD_TABLES, Segment, segments};
use bytes::Bytes;

/// Longest side, in pixels: the header counts in 8 pixels, in a byte.
pub(super) const MAX_SIDE: u32 = 2040;
const HEADER: usize = 8;
const TABLE: usize = 64;
/// Values of `Q` from here on have their tables in the first packet; those of the last value change from frame to frame.
const HAS_TABLES: u8 = 128;
const CHANGING_TABLES: u8 = 255;
/// Types from here on have a restart interval.
const HAS_RESTARTS: u8 = 64;
const END: [u8; 2] = [0xff, 0xd9];

/// Appends the payloads of an image: none when the format cannot carry it.
pub(super) fn packetize(image: &[u8], limit: usize, out: &mut Payloads) {
    let Some(parts) = Parts::of(image) else { return };
    let mut at = 0;
    while at < parts.scan.len() {
        let [_, a, b, c] = (at as u32).to_be_bytes();
        let kind = parts.kind + if parts.restarts.is_some() { HAS_RESTARTS } else { 0 };
        let mut head = vec![0, a, b, c, kind, CHANGING_TABLES, parts.width, parts.height];
        if let Some(restarts) = parts.restarts {
            head.extend(restarts.to_be_bytes());
            // First and last of a whole frame.
            head.extend([0xff, 0xff]);
        }
        if at == 0 {
            head.extend([0, 0, 0, 2 * TABLE as u8]);
            head.extend(parts.tables.concat());
        }
        // The first packet has room for its tables and some of the image.
        let room = limit.saturating_sub(head.len()).max(1);
        let piece = parts.scan.get(at..).map(|rest| rest.get(..room).unwrap_or(rest)).unwrap_or_default();
        out.push(&[&head, piece], false, 0);
        at += piece.len();
    }
}

/// What of an image travels.
struct Parts<'a> {
    /// 0: 4:2:2, 1: 4:2:0.
    kind: u8,
    /// In 8 pixels.
    width: u8,
    height: u8,
    restarts: Option<u16>,
    /// Of luma and chroma.
    tables: [&'a [u8]; 2],
    /// With its restart markers.
    scan: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(image: &'a [u8]) -> Option<Self> {
        let (mut quantizers, mut frame, mut restarts) = ([None; 4], None, None);
        for Segment { at, marker, content } in segments(image) {
            match marker {
                0xdb => read_quantizers(content, &mut quantizers)?,
                0xc4 => has_usual_tables(content)?,
                0xc0 => frame = Some(Frame::parse(content)?),
                0xc1..=0xc3 | 0xc5..=0xcf => return None,
                0xdd => restarts = Some(u16::from_be_bytes(*content.first_chunk()?)).filter(|interval| *interval > 0),
                0xda => {
                    let frame: Frame = frame?;
                    let scan = image.get(at + 4 + content.len()..)?;
                    let scan = scan.strip_suffix(&END).unwrap_or(scan);
                    let table = |number: u8| quantizers.get(usize::from(number)).copied().flatten();
                    let tables = [table(frame.luma)?, table(frame.chroma)?];
                    let Frame { kind, width, height, .. } = frame;
                    // The offset has 24 bits.
                    let fits = !scan.is_empty() && scan.len() < 1 << 24;
                    return fits.then_some(Self { kind, width, height, restarts, tables, scan });
                }
                _ => {}
            }
        }
        None
    }
}

/// What a frame header says (ITU-T T.81, section B.2.2).
struct Frame {
    kind: u8,
    width: u8,
    height: u8,
    /// Numbers of the quantization tables.
    luma: u8,
    chroma: u8,
}

impl Frame {
    fn parse(content: &[u8]) -> Option<Self> {
        let &[8, h1, h2, w1, w2, 3, _, luma, luma_table, _, 0x11, blue, _, 0x11, red] = content.first_chunk::<15>()?
        else {
            return None;
        };
        let kind = match luma {
            0x21 => 0,
            0x22 => 1,
            _ => return None,
        };
        let blocks = |high, low| u8::try_from(u16::from_be_bytes([high, low]).div_ceil(8)).ok().filter(|n| *n > 0);
        let (width, height) = (blocks(w1, w2)?, blocks(h1, h2)?);
        (blue == red).then_some(Self { kind, width, height, luma: luma_table, chroma: blue })
    }
}

fn read_quantizers<'a>(mut content: &'a [u8], tables: &mut [Option<&'a [u8]>; 4]) -> Option<()> {
    while let Some((&number, rest)) = content.split_first() {
        // Tables of 16 bits are not for baseline images.
        let (table, rest) = rest.split_at_checked(TABLE)?;
        *tables.get_mut(usize::from(number))? = Some(table);
        content = rest;
    }
    Some(())
}

/// Checks that the Huffman tables are those that a receiver uses.
fn has_usual_tables(mut content: &[u8]) -> Option<()> {
    while !content.is_empty() {
        let (table, rest) = split_table(content)?;
        let mut usual = &STANDARD_TABLES[..];
        loop {
            let (candidate, others) = split_table(usual)?;
            if candidate == table {
                break;
            }
            usual = others;
        }
        content = rest;
    }
    Some(())
}

/// The first Huffman table: its number, how many codes of each length there are, and the values (ITU-T T.81, section B.2.4.2).
fn split_table(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let counts = content.get(1..17)?;
    content.split_at_checked(17 + counts.iter().map(|count| usize::from(*count)).sum::<usize>())
}

/// Reads the payloads.
#[derive(Debug, Default)]
pub(super) struct Depacketizer {
    head: Option<Head>,
    scan: Vec<u8>,
    /// Tables that were sent once, by `Q`.
    known: Option<(u8, [[u8; TABLE]; 2])>,
}

/// What is the same in all packets of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    kind: u8,
    q: u8,
    width: u8,
    height: u8,
    restarts: u16,
}

impl Depacketizer {
    fn take(&mut self, payload: &[u8]) -> Option<()> {
        let (&[_, a, b, c, kind, q, width, height], mut rest) = payload.split_first_chunk::<HEADER>()?;
        let offset = u32::from_be_bytes([0, a, b, c]) as usize;
        let mut restarts = 0;
        if kind >= HAS_RESTARTS {
            let (&[high, low, _, _], after) = rest.split_first_chunk::<4>()?;
            (restarts, rest) = (u16::from_be_bytes([high, low]), after);
        }
        let head = Head { kind, q, width, height, restarts };
        if offset == 0 {
            self.head = Some(head);
            if q >= HAS_TABLES {
                rest = self.take_tables(q, rest)?;
            }
        }
        // Pieces that do not follow each other are a frame with a hole.
        if self.head != Some(head) || offset != self.scan.len() || kind & 0x3f > 1 || width == 0 || height == 0 {
            return None;
        }
        self.scan.extend_from_slice(rest);
        Some(())
    }

    fn take_tables<'a>(&mut self, q: u8, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (&[_, precision, high, low], rest) = bytes.split_first_chunk::<4>()?;
        let (tables, rest) = rest.split_at_checked(u16::from_be_bytes([high, low]).into())?;
        match tables.split_first_chunk::<TABLE>() {
            Some((luma, chroma)) if precision == 0 => {
                let chroma = chroma.first_chunk::<TABLE>().unwrap_or(luma);
                self.known = Some((q, [*luma, *chroma]));
            }
            _ if !tables.is_empty() => return None,
            _ => {}
        }
        Some(rest)
    }

    fn tables(&self, q: u8) -> Option<[[u8; TABLE]; 2]> {
        match q {
            1..=99 => Some([scaled(&LUMA, q), scaled(&CHROMA, q)]),
            HAS_TABLES.. => self.known.filter(|(known, _)| *known == q).map(|(_, tables)| tables),
            _ => None,
        }
    }
}

impl Assemble for Depacketizer {
    fn is_start(&self, payload: &[u8]) -> bool {
        payload.get(1..4) == Some(&[0; 3])
    }

    fn add(&mut self, payload: &Bytes) -> bool {
        self.take(payload).is_some()
    }

    fn len(&self) -> usize {
        self.scan.len()
    }

    fn finish(&mut self) -> Option<Bytes> {
        let scan = std::mem::take(&mut self.scan);
        let head = self.head.take().filter(|_| !scan.is_empty())?;
        let tables = self.tables(head.q)?;
        let mut image = vec![0xff, 0xd8];
        for (number, table) in (0u8..).zip(&tables) {
            image.extend([0xff, 0xdb, 0, 3 + TABLE as u8, number]);
            image.extend(table);
        }
        if head.restarts > 0 {
            image.extend([0xff, 0xdd, 0, 4]);
            image.extend(head.restarts.to_be_bytes());
        }
        let luma = if head.kind & 0x3f == 0 { 0x21 } else { 0x22 };
        let side = |blocks: u8| (u16::from(blocks) * 8).to_be_bytes();
        image.extend([0xff, 0xc0, 0, 17, 8]);
        image.extend([side(head.height), side(head.width)].concat());
        image.extend([3, 1, luma, 0, 2, 0x11, 1, 3, 0x11, 1]);
        // The usual Huffman tables are added where images become canonical.
        image.extend([0xff, 0xda, 0, 12, 3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0]);
        image.extend(&scan);
        if !scan.ends_with(&END) {
            image.extend(END);
        }
        Some(image.into())
    }
}

/// A table by its quality (RFC 2435, section 4.2).
fn scaled(table: &[u8; TABLE], q: u8) -> [u8; TABLE] {
    let factor = if q < 50 { 5000 / u32::from(q.max(1)) } else { 200 - 2 * u32::from(q.min(99)) };
    table.map(|value| ((u32::from(value) * factor + 50) / 100).clamp(1, 255) as u8)
}

/// Tables of ITU-T T.81, annex K.1, in zigzag order.
const LUMA: [u8; TABLE] = [
    16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61,
    60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103, 104, 103, 62, 77, 113,
    121, 112, 100, 120, 92, 101, 103, 99,
];
const CHROMA: [u8; TABLE] = [
    17, 18, 18, 24, 21, 24, 47, 26, 26, 47, 99, 66, 56, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99,
];
