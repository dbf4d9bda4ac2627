//! AES-128 of HLS (RFC 8216, sections 4.3.2.4 and 5.2): which key a segment is encrypted with, and how. Pure.
//!
//! A segment is encrypted as a whole: CBC with padding of PKCS #7. Nothing is stored: keys and initialisation vectors are derived
//! from one secret of the stream. Headers (`EXT-X-MAP`) are not encrypted, as they have no media.

use aws_lc_rs::{
    cipher::{AES_128, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey},
    hmac,
    iv::FixedLength,
};
use bytes::Bytes;
use std::{fmt, num::NonZeroU32};

/// Bytes of a key, of an initialisation vector, and of a block.
pub const LENGTH: usize = 16;

/// The keys of one stream.
pub struct Keys {
    secret: hmac::Key,
    /// Segments that have the same key.
    segments: NonZeroU32,
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyId {
    /// The same for all keys of one secret, so that a name never stands for two keys.
    pub set: u32,
    /// Grows with the segments.
    pub number: u64,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("segments", &self.segments).finish_non_exhaustive()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.set, self.number)
    }
}

impl Keys {
    /// Those of this secret, which no one else may know: each is for so many segments.
    pub fn new(secret: &[u8; 32], segments: NonZeroU32) -> Self {
        Self { secret: hmac::Key::new(hmac::HMAC_SHA256, secret), segments }
    }

    /// The key of a segment.
    pub fn of_segment(&self, number: u64) -> KeyId {
        let [a, b, c, d, ..] = self.derived(&[b"set"]);
        KeyId { set: u32::from_be_bytes([a, b, c, d]), number: number / u64::from(self.segments.get()) }
    }

    /// The bytes of a key.
    pub fn key(&self, id: KeyId) -> [u8; LENGTH] {
        self.derived(&[b"key", &id.number.to_be_bytes()])
    }

    /// The initialisation vector of a segment.
    pub fn vector(&self, rendition: &str, number: u64) -> [u8; LENGTH] {
        self.derived(&[b"iv", &number.to_be_bytes(), rendition.as_bytes()])
    }

    /// A segment of these pieces, encrypted; `None` where the system has no memory for that.
    pub fn encrypted(&self, rendition: &str, number: u64, pieces: &[Bytes]) -> Option<Vec<u8>> {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        let mut bytes = Vec::with_capacity(length + LENGTH);
        pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
        let key = UnboundCipherKey::new(&AES_128, &self.key(self.of_segment(number))).ok()?;
        let vector = EncryptionContext::Iv128(FixedLength::from(self.vector(rendition, number)));
        PaddedBlockEncryptingKey::cbc_pkcs7(key).ok()?.less_safe_encrypt(&mut bytes, vector).ok()?;
        Some(bytes)
    }

    fn derived(&self, parts: &[&[u8]]) -> [u8; LENGTH] {
        let tag = hmac::sign(&self.secret, &parts.concat());
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::cipher::{DecryptionContext, PaddedBlockDecryptingKey};

    #[test]
    fn a_segment_is_decrypted_with_what_a_playlist_names() {
        let keys = Keys::new(&[7; 32], NonZeroU32::new(3).unwrap());
        let pieces = [Bytes::from_static(b"moof"), Bytes::from_static(b"and a little more than a block")];
        let mut bytes = keys.encrypted("v0", 10, &pieces).unwrap();
        assert_eq!(bytes.len(), 48);
        let key = UnboundCipherKey::new(&AES_128, &keys.key(keys.of_segment(10))).unwrap();
        let context = DecryptionContext::Iv128(FixedLength::from(keys.vector("v0", 10)));
        let plain = PaddedBlockDecryptingKey::cbc_pkcs7(key).unwrap().decrypt(&mut bytes, context).unwrap();
        assert_eq!(plain, pieces.concat());
    }

    #[test]
    fn keys_change_with_the_segments_and_vectors_with_each() {
        let keys = Keys::new(&[7; 32], NonZeroU32::new(3).unwrap());
        let numbers: Vec<u64> = (8..13).map(|segment| keys.of_segment(segment).number).collect();
        assert_eq!(numbers, [2, 3, 3, 3, 4]);
        let of = |segment| keys.key(keys.of_segment(segment));
        assert_eq!(of(9), of(11));
        assert_ne!(of(11), of(12));
        assert_ne!(keys.vector("v0", 9), keys.vector("v0", 10));
        assert_ne!(keys.vector("v0", 9), keys.vector("a0", 9));
        let other = Keys::new(&[8; 32], NonZeroU32::new(3).unwrap());
        assert_ne!(keys.of_segment(9), other.of_segment(9));
        assert_ne!(of(9), other.key(other.of_segment(9)));
    }
}
