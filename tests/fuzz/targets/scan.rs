//! Scans bytes whole and in pieces, which must come to the same.

use voyandz::media::{Container, Kind, Scanned, Scanner, codecs};

/// What a scanner said, whatever the pieces were.
#[derive(Debug, Default, PartialEq)]
struct Found {
    media: Vec<u8>,
    /// Where readers may begin, and what they need in front.
    joins: Vec<(usize, Vec<u8>)>,
}

/// The first byte says how long the pieces are.
pub fn scan(expected: Option<Container>, bytes: &[u8]) {
    let Some((&size, bytes)) = bytes.split_first() else { return };
    let whole = found(expected, bytes, bytes.len().max(1));
    assert_eq!(found(expected, bytes, usize::from(size).max(1)), whole);
}

fn found(expected: Option<Container>, bytes: &[u8], size: usize) -> Found {
    let (mut scanner, mut out) = (Scanner::new(expected), Vec::new());
    for piece in bytes.chunks(size) {
        scanner.push(piece, &mut out);
    }
    scanner.finish(&mut out);
    let mut found = Found::default();
    // Others cut their packets where they were read, and say so of each.
    let is_cut = matches!(
        scanner.container(),
        Some(Container::Webm | Container::Mkv | Container::Ogg | Container::Flv | Container::Mp4)
    );
    for next in out {
        match next {
            Scanned::Container(_) => {}
            Scanned::Header(header) => {
                for container in Container::ALL {
                    let _ = codecs(container, &header);
                }
                found.media.extend_from_slice(&header);
            }
            Scanned::Lead(lead) => found.joins.push((found.media.len(), lead.to_vec())),
            Scanned::Packet { kind, payload } => {
                if kind == Kind::Keyframe && is_cut {
                    found.joins.push((found.media.len(), Vec::new()));
                }
                found.media.extend_from_slice(payload.payload());
            }
        }
    }
    found
}
