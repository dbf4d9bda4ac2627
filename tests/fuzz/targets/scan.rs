//! Scans bytes whole and in pieces, which must come to the same media.

use voyandz::media::{Container, Scanned, Scanner};

/// The first byte says how long the pieces are.
pub fn scan(expected: Container, bytes: &[u8]) {
    let Some((&size, bytes)) = bytes.split_first() else { return };
    let whole = media(expected, bytes, bytes.len().max(1));
    assert_eq!(media(expected, bytes, usize::from(size).max(1)), whole);
}

fn media(expected: Container, bytes: &[u8], size: usize) -> Vec<u8> {
    let (mut scanner, mut out) = (Scanner::new(Some(expected)), Vec::new());
    for piece in bytes.chunks(size) {
        scanner.push(piece, &mut out);
    }
    scanner.finish(&mut out);
    let mut media = Vec::new();
    for found in out {
        match found {
            Scanned::Container(_) => {}
            Scanned::Header(header) => media.extend_from_slice(&header),
            Scanned::Packet { payload, .. } => media.extend_from_slice(payload.payload()),
        }
    }
    media
}
