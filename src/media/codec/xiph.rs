//! Codecs of Xiph that begin with three headers: Vorbis (Vorbis I, section 4.2) and Theora (section 6).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Identification, comment and setup header, as packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headers {
    /// Says rate and channels, or the size.
    pub identification: Bytes,
    /// Says who made it.
    pub comment: Bytes,
    /// Code books.
    pub setup: Bytes,
}

impl Headers {
    /// From the form in which Matroska and others keep them: one less than the number of packets, the lengths of all but
    /// the last in bytes of 255 and a remainder, the packets.
    pub fn from_laced(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&[2])?;
        let mut length = || -> Option<usize> {
            let at = rest.iter().position(|byte| *byte != 255)?;
            let last = usize::from(*rest.get(at)?);
            rest = rest.get(at + 1..)?;
            Some(at * 255 + last)
        };
        let (first, second) = (length()?, length()?);
        let (identification, rest) = rest.split_at_checked(first)?;
        let (comment, setup) = rest.split_at_checked(second)?;
        let copy = Bytes::copy_from_slice;
        Some(Self { identification: copy(identification), comment: copy(comment), setup: copy(setup) })
    }

    /// The form that [`Headers::from_laced`] reads.
    pub fn laced(&self) -> Vec<u8> {
        let mut out = vec![2];
        for packet in [&self.identification, &self.comment] {
            out.extend(std::iter::repeat_n(255, packet.len() / 255));
            out.push((packet.len() % 255) as u8);
        }
        for packet in [&self.identification, &self.comment, &self.setup] {
            out.extend_from_slice(packet);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn laced_headers_come_back(identification: Vec<u8>, comment in prop::collection::vec(any::<u8>(), 0..1000), setup: Vec<u8>) {
            let headers = Headers { identification: identification.into(), comment: comment.into(), setup: setup.into() };
            prop_assert_eq!(Headers::from_laced(&headers.laced()), Some(headers));
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Headers::from_laced(&bytes);
        }
    }
}
