//! The exchange at the begin of a connection (Adobe RTMP 1.0, section 5.2), in its plain form: without a digest every client takes it.

use bytes::{Buf, BytesMut};

/// The version that both sides speak.
const VERSION: u8 = 3;
/// Bytes of C1, S1, C2 and S2.
const LENGTH: usize = 1536;

/// A client that speaks something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the first byte is {0}, of no client of RTMP without encryption")]
pub struct NotRtmp(pub u8);

/// The side of the server.
#[derive(Debug, Default)]
pub struct Handshake {
    bytes: BytesMut,
    has_answered: bool,
}

impl Handshake {
    /// Takes bytes, and adds what is to be sent to `out`. Once it is over, the bytes that came after it.
    ///
    /// # Errors
    /// When the client speaks something else.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<BytesMut>, NotRtmp> {
        self.bytes.extend_from_slice(bytes);
        if !self.has_answered {
            match self.bytes.first() {
                Some(&VERSION) => {}
                Some(other) => return Err(NotRtmp(*other)),
                None => return Ok(None),
            }
            let Some(client) = self.bytes.get(1..=LENGTH) else { return Ok(None) };
            out.push(VERSION);
            // Time and version are 0: clients that could check a digest do not, then. The rest may be anything.
            out.extend_from_slice(&[0; 8]);
            out.extend((8..LENGTH).map(|at| (at % 251) as u8));
            out.extend_from_slice(client);
            self.bytes.advance(1 + LENGTH);
            self.has_answered = true;
        }
        if self.bytes.len() < LENGTH {
            return Ok(None);
        }
        self.bytes.advance(LENGTH);
        Ok(Some(std::mem::take(&mut self.bytes)))
    }
}

/// What a client sends first.
pub fn client_hello() -> Vec<u8> {
    let mut hello = vec![VERSION];
    hello.extend_from_slice(&[0; 8]);
    hello.extend((8..LENGTH).map(|at| (at % 253) as u8));
    hello
}

/// Bytes of the answer to that, and of what a client sends then, which is the second part of it.
pub const ANSWER: usize = 1 + 2 * LENGTH;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_in_pieces_is_answered() {
        let hello = client_hello();
        for size in [1, 700, 5000] {
            let (mut handshake, mut out) = (Handshake::default(), Vec::new());
            for piece in hello.chunks(size) {
                assert_eq!(handshake.push(piece, &mut out), Ok(None));
            }
            assert_eq!(out.len(), ANSWER);
            assert!(out[0] == VERSION && out[5..9] == [0; 4] && out[1 + LENGTH..] == hello[1..]);
            let second = [&out[1..=LENGTH], b"rest"].concat();
            let mut rest = None;
            for piece in second.chunks(size) {
                if let Some(behind) = handshake.push(piece, &mut out).unwrap() {
                    rest = Some(behind);
                    break;
                }
            }
            assert!(b"rest".starts_with(&rest.unwrap()));
        }
    }

    #[test]
    fn other_protocols_are_refused() {
        for first in [b'G', 0x16, 6, 0] {
            assert_eq!(Handshake::default().push(&[first], &mut Vec::new()), Err(NotRtmp(first)));
        }
    }
}
