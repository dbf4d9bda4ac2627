//! Framing of control messages: `u32` length (little endian), then that many bytes of JSON.

use bytes::{Buf, BufMut, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

/// Longest control message. A plan with long pipeline texts fits many times over.
pub const MAX_MESSAGE: usize = 4 << 20;

/// Why a control stream cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The peer announced more than [`MAX_MESSAGE`].
    #[error("read a control message of {0} bytes: at most {MAX_MESSAGE} are allowed")]
    TooLong(usize),
    /// The bytes are no message of this protocol.
    #[error("read a control message")]
    Malformed(#[from] serde_json::Error),
}

/// The message as bytes for the control socket.
///
/// # Errors
/// [`ControlError::Malformed`] when it does not serialise, [`ControlError::TooLong`] when it is too long to send.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, ControlError> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - 4;
    let prefix = u32::try_from(length).ok().filter(|_| length <= MAX_MESSAGE).ok_or(ControlError::TooLong(length))?;
    bytes.as_mut_slice().put_u32_le(prefix);
    Ok(bytes)
}

/// Takes the next whole message out of `buffer`; `None` when more bytes are needed.
///
/// # Errors
/// When the peer does not speak this protocol; the stream is of no use afterwards.
pub fn decode<M: DeserializeOwned>(buffer: &mut BytesMut) -> Result<Option<M>, ControlError> {
    let Some(prefix) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*prefix) as usize;
    if length > MAX_MESSAGE {
        return Err(ControlError::TooLong(length));
    }
    if buffer.len() < 4 + length {
        buffer.reserve(4 + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(4);
    let message = buffer.split_to(length);
    Ok(Some(serde_json::from_slice(&message)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::{Item, ToWorker};
    use proptest::prelude::*;

    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_split() {
        let first = ToWorker::Start { item: Item::Feed(3), run: 1 };
        let second = ToWorker::Exit;
        let mut wire = encode(&first).unwrap();
        wire.extend(encode(&second).unwrap());
        let mut buffer = BytesMut::new();
        let mut seen = Vec::new();
        for byte in wire {
            buffer.extend_from_slice(&[byte]);
            while let Some(message) = decode::<ToWorker>(&mut buffer).unwrap() {
                seen.push(message);
            }
        }
        assert_eq!(seen, [first, second]);
    }

    #[test]
    fn an_announced_giant_is_refused_before_it_is_read() {
        let mut buffer = BytesMut::from(&u32::MAX.to_le_bytes()[..]);
        assert!(matches!(decode::<ToWorker>(&mut buffer), Err(ControlError::TooLong(_))));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = decode::<ToWorker>(&mut buffer) {}
        }
    }
}
