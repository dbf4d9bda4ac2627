//! Keys of encrypted payloads: AES in counter mode, with a key that travels wrapped by one that is made of the passphrase
//! (sections 3.2.2 and 6 of the draft).

use aws_lc_rs::{
    cipher::{
        AES_128, AES_192, AES_256, Algorithm, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext,
        UnboundCipherKey,
    },
    iv::FixedLength,
    pbkdf2,
    rand::{SecureRandom, SystemRandom},
};
use std::{fmt, num::NonZeroU32, ops::RangeInclusive, sync::Arc};

/// Lengths of a passphrase in bytes.
pub const PASSPHRASE: RangeInclusive<usize> = 10..=79;

/// Rounds that make the key of a passphrase.
const ROUNDS: NonZeroU32 = NonZeroU32::new(2048).unwrap();
/// Bytes of a message before the salt.
const HEAD: usize = 16;
/// Version 1, key material, the sign of SRT.
const SIGN: [u8; 3] = [0x12, 0x20, 0x29];
const CIPHER_AES_CTR: u8 = 2;
const STREAM_SRT: u8 = 2;
const SALT: usize = 16;
/// The value that shows that a key was unwrapped by the right one (RFC 3394).
const INTEGRITY: [u8; 8] = [0xA6; 8];
/// What answers a key that cannot be used: there is no passphrase, or another one.
const NO_SECRET: u32 = 3;
const BAD_SECRET: u32 = 4;

/// A passphrase; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Arc<str>);

/// Why keys cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The message is none of these.
    #[error("the key message is malformed")]
    Malformed,
    /// They were wrapped by another passphrase.
    #[error("the passphrase is wrong")]
    Passphrase,
    /// The crypto library failed.
    #[error("the system has no random numbers or no AES")]
    System,
}

/// How many bits the keys have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyLength {
    /// 128.
    Aes128,
    /// 192.
    Aes192,
    /// 256.
    Aes256,
}

/// The two keys of one direction take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// Flag 1.
    Even,
    /// Flag 2.
    Odd,
}

/// The keys of one direction.
#[derive(Clone)]
pub struct Keys {
    passphrase: Passphrase,
    length: KeyLength,
    even: Option<Arc<SessionKey>>,
    odd: Option<Arc<SessionKey>>,
}

/// A key with its salt.
struct SessionKey {
    key: Vec<u8>,
    salt: [u8; SALT],
    cipher: EncryptingKey,
}

impl Passphrase {
    /// A passphrase; `None` when its length is not in [`PASSPHRASE`].
    pub fn new(text: &str) -> Option<Self> {
        PASSPHRASE.contains(&text.len()).then(|| Self(text.into()))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("length", &self.length).finish_non_exhaustive()
    }
}

impl KeyLength {
    const fn bytes(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    /// The length of a key of so many bytes, if there is one.
    pub const fn from_bytes(bytes: usize) -> Option<Self> {
        match bytes {
            16 => Some(Self::Aes128),
            24 => Some(Self::Aes192),
            32 => Some(Self::Aes256),
            _ => None,
        }
    }

    const fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Aes128 => &AES_128,
            Self::Aes192 => &AES_192,
            Self::Aes256 => &AES_256,
        }
    }

    /// As the handshake names it.
    pub const fn field(self) -> u16 {
        (self.bytes() / 8) as u16
    }
}

impl Parity {
    /// The key that takes turns with this one.
    pub const fn other(self) -> Self {
        match self {
            Self::Even => Self::Odd,
            Self::Odd => Self::Even,
        }
    }

    /// The flag of data packets.
    pub const fn flag(self) -> u8 {
        match self {
            Self::Even => 1,
            Self::Odd => 2,
        }
    }

    const fn from_flag(flag: u8) -> Option<Self> {
        match flag {
            1 => Some(Self::Even),
            2 => Some(Self::Odd),
            _ => None,
        }
    }
}

impl SessionKey {
    fn new(key: &[u8], salt: [u8; SALT], length: KeyLength) -> Result<Self, KeyError> {
        let unbound = UnboundCipherKey::new(length.algorithm(), key).map_err(|_| KeyError::System)?;
        let cipher = EncryptingKey::ctr(unbound).map_err(|_| KeyError::System)?;
        Ok(Self { key: key.to_vec(), salt, cipher })
    }

    fn generate(length: KeyLength) -> Result<Self, KeyError> {
        let (random, mut key, mut salt) = (SystemRandom::new(), vec![0; length.bytes()], [0; SALT]);
        random.fill(&mut key).map_err(|_| KeyError::System)?;
        random.fill(&mut salt).map_err(|_| KeyError::System)?;
        Self::new(&key, salt, length)
    }

    /// Encrypts or decrypts, which is the same.
    fn apply(&self, sequence: u32, payload: &mut [u8]) -> bool {
        let mut iv = [0; 16];
        iv.iter_mut().zip(self.salt.iter().take(14)).for_each(|(to, from)| *to = *from);
        iv.iter_mut().skip(10).zip(sequence.to_be_bytes()).for_each(|(to, from)| *to ^= from);
        self.cipher.less_safe_encrypt(payload, EncryptionContext::Iv128(FixedLength::from(iv))).is_ok()
    }
}

impl Keys {
    /// One new key, for who connects.
    ///
    /// # Errors
    /// When the system fails.
    pub fn generate(passphrase: Passphrase, length: KeyLength) -> Result<Self, KeyError> {
        let mut keys = Self { passphrase, length, even: None, odd: None };
        keys.renew(Parity::Even)?;
        Ok(keys)
    }

    /// The keys in a message.
    ///
    /// # Errors
    /// When it is malformed, or wrapped by another passphrase.
    pub fn unwrap(message: &[u8], passphrase: Passphrase) -> Result<Self, KeyError> {
        let length = key_length(message)?;
        let mut keys = Self { passphrase, length, even: None, odd: None };
        keys.take(message)?;
        Ok(keys)
    }

    /// Takes the keys of a message in the place of those of the same parity.
    ///
    /// # Errors
    /// When it is malformed, or wrapped by another passphrase. Nothing changes then.
    pub fn take(&mut self, message: &[u8]) -> Result<(), KeyError> {
        let length = key_length(message)?;
        let (head, rest) = message.split_first_chunk::<HEAD>().ok_or(KeyError::Malformed)?;
        let (salt, wrapped) = rest.split_first_chunk::<SALT>().ok_or(KeyError::Malformed)?;
        let flags = head.get(3).map_or(0, |flags| flags & 0b11);
        let count = flags.count_ones() as usize;
        if length != self.length || wrapped.len() != 8 + count * length.bytes() {
            return Err(KeyError::Malformed);
        }
        let plain = unwrap(&self.wrapping_key(salt), length, wrapped)?;
        let mut keys = plain.chunks_exact(length.bytes());
        let (mut even, mut odd) = (self.even.clone(), self.odd.clone());
        for (parity, slot) in [(Parity::Even, &mut even), (Parity::Odd, &mut odd)] {
            if flags & parity.flag() != 0 {
                let key = keys.next().ok_or(KeyError::Malformed)?;
                *slot = Some(Arc::new(SessionKey::new(key, *salt, length)?));
            }
        }
        (self.even, self.odd) = (even, odd);
        Ok(())
    }

    /// A new key of this parity.
    ///
    /// # Errors
    /// When the system fails.
    pub fn renew(&mut self, parity: Parity) -> Result<(), KeyError> {
        let key = Some(Arc::new(SessionKey::generate(self.length)?));
        match parity {
            Parity::Even => self.even = key,
            Parity::Odd => self.odd = key,
        }
        Ok(())
    }

    /// The message that carries the key of this parity; `None` without one.
    pub fn message(&self, parity: Parity) -> Option<Vec<u8>> {
        let session = self.get(parity)?;
        let wrapped = wrap(&self.wrapping_key(&session.salt), self.length, &session.key)?;
        let [sign @ .., last] = [SIGN[0], SIGN[1], SIGN[2], parity.flag()];
        let mut message = Vec::with_capacity(HEAD + SALT + wrapped.len());
        message.extend_from_slice(&sign);
        message.extend_from_slice(&[last, 0, 0, 0, 0, CIPHER_AES_CTR, 0, STREAM_SRT, 0, 0, 0]);
        message.extend_from_slice(&[(SALT / 4) as u8, (self.length.bytes() / 4) as u8]);
        message.extend_from_slice(&session.salt);
        message.extend_from_slice(&wrapped);
        Some(message)
    }

    /// A parity that there is a key of; the even one first.
    pub fn parity(&self) -> Parity {
        if self.even.is_some() { Parity::Even } else { Parity::Odd }
    }

    /// The length of the keys.
    pub fn length(&self) -> KeyLength {
        self.length
    }

    /// Encrypts the payload of a packet; `false` when there is no such key.
    pub fn encrypt(&self, parity: Parity, sequence: u32, payload: &mut [u8]) -> bool {
        self.get(parity).is_some_and(|key| key.apply(sequence, payload))
    }

    /// Decrypts the payload of a packet with this flag; `false` when there is no such key.
    pub fn decrypt(&self, flag: u8, sequence: u32, payload: &mut [u8]) -> bool {
        Parity::from_flag(flag).is_some_and(|parity| self.encrypt(parity, sequence, payload))
    }

    fn get(&self, parity: Parity) -> Option<&SessionKey> {
        match parity {
            Parity::Even => self.even.as_deref(),
            Parity::Odd => self.odd.as_deref(),
        }
    }

    /// The key that wraps those of a message with this salt.
    fn wrapping_key(&self, salt: &[u8; SALT]) -> Vec<u8> {
        let mut key = vec![0; self.length.bytes()];
        let salt = salt.last_chunk::<8>().copied().unwrap_or_default();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, ROUNDS, &salt, self.passphrase.0.as_bytes(), &mut key);
        key
    }
}

/// What answers keys that cannot be used.
pub fn refusal(error: KeyError) -> [u8; 4] {
    let state = if error == KeyError::Passphrase { BAD_SECRET } else { NO_SECRET };
    state.to_be_bytes()
}

/// The length of the keys of a message.
fn key_length(message: &[u8]) -> Result<KeyLength, KeyError> {
    let (head, _) = message.split_first_chunk::<HEAD>().ok_or(KeyError::Malformed)?;
    let [a, b, c, flags, _, _, _, _, cipher, auth, _, _, _, _, salt, key] = *head;
    let is_known = [a, b, c] == SIGN && cipher == CIPHER_AES_CTR && auth == 0 && usize::from(salt) * 4 == SALT;
    let length = KeyLength::from_bytes(usize::from(key) * 4);
    length.filter(|_| is_known && flags & 0b11 != 0).ok_or(KeyError::Malformed)
}

/// Wraps a key by another one (RFC 3394, section 2.2.1).
fn wrap(wrapping: &[u8], length: KeyLength, plain: &[u8]) -> Option<Vec<u8>> {
    let unbound = UnboundCipherKey::new(length.algorithm(), wrapping).ok()?;
    let cipher = EncryptingKey::ecb(unbound).ok()?;
    let (mut check, mut blocks) = (INTEGRITY, plain.as_chunks::<8>().0.to_vec());
    let mut step = 0u64;
    for _ in 0..6 {
        for block in &mut blocks {
            step += 1;
            let mut both = [check, *block].concat();
            cipher.less_safe_encrypt(&mut both, EncryptionContext::None).ok()?;
            let (head, tail) = both.split_first_chunk::<8>()?;
            check = (u64::from_be_bytes(*head) ^ step).to_be_bytes();
            *block = *tail.first_chunk()?;
        }
    }
    Some([check.as_slice(), &blocks.concat()].concat())
}

/// The way back (RFC 3394, section 2.2.2).
fn unwrap(wrapping: &[u8], length: KeyLength, wrapped: &[u8]) -> Result<Vec<u8>, KeyError> {
    let unbound = UnboundCipherKey::new(length.algorithm(), wrapping).map_err(|_| KeyError::System)?;
    let cipher = DecryptingKey::ecb(unbound).map_err(|_| KeyError::System)?;
    let (check, blocks) = wrapped.split_first_chunk::<8>().ok_or(KeyError::Malformed)?;
    let (mut check, mut blocks) = (*check, blocks.as_chunks::<8>().0.to_vec());
    let mut step = 6 * blocks.len() as u64;
    for _ in 0..6 {
        for block in blocks.iter_mut().rev() {
            let head = (u64::from_be_bytes(check) ^ step).to_be_bytes();
            step -= 1;
            let mut both = [head, *block].concat();
            let plain = cipher.decrypt(&mut both, DecryptionContext::None).map_err(|_| KeyError::System)?;
            let (head, tail) = plain.split_first_chunk::<8>().ok_or(KeyError::System)?;
            check = *head;
            *block = *tail.first_chunk().ok_or(KeyError::System)?;
        }
    }
    if check == INTEGRITY { Ok(blocks.concat()) } else { Err(KeyError::Passphrase) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text).unwrap()
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<char> = text.chars().filter(|digit| !digit.is_whitespace()).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
    }

    /// Vectors of RFC 3394, sections 4.1, 4.2 (shortened key data of 4.4) and 4.6.
    #[test]
    fn keys_are_wrapped_as_the_rfc_says() {
        let check = |length, wrapping: &str, plain: &str, wrapped: &str| {
            let (wrapping, plain, wrapped) = (hex(wrapping), hex(plain), hex(wrapped));
            assert_eq!(wrap(&wrapping, length, &plain).unwrap(), wrapped);
            assert_eq!(unwrap(&wrapping, length, &wrapped).unwrap(), plain);
        };
        check(
            KeyLength::Aes128,
            "000102030405060708090A0B0C0D0E0F",
            "00112233445566778899AABBCCDDEEFF",
            "1FA68B0A8112B447 AEF34BD8FB5A7B82 9D3E862371D2CFE5",
        );
        check(
            KeyLength::Aes192,
            "000102030405060708090A0B0C0D0E0F1011121314151617",
            "00112233445566778899AABBCCDDEEFF",
            "96778B25AE6CA435 F92B5B97C050AED2 468AB8A17AD84E5D",
        );
        check(
            KeyLength::Aes256,
            "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
            "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F",
            "28C9F404C4B810F4 CBCCB35CFB87F826 3F5786E2D80ED326 CBC7F0E71A99F43B FB988B9B7A02DD21",
        );
    }

    #[test]
    fn a_key_travels_and_decrypts() {
        for length in [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256] {
            let mut sender = Keys::generate(passphrase("correct horse"), length).unwrap();
            let message = sender.message(Parity::Even).unwrap();
            assert_eq!(message.len(), 32 + 8 + length.bytes());
            let mut receiver = Keys::unwrap(&message, passphrase("correct horse")).unwrap();
            assert_eq!((receiver.length(), receiver.parity()), (length, Parity::Even));
            let other = Keys::unwrap(&message, passphrase("battery staple"));
            assert_eq!(other.err(), Some(KeyError::Passphrase));
            let mut payload = *b"some payload that is longer than a block";
            assert!(sender.encrypt(Parity::Even, 7, &mut payload));
            assert_ne!(&payload, b"some payload that is longer than a block");
            let mut copy = payload;
            assert!(receiver.decrypt(1, 8, &mut copy) && copy != *b"some payload that is longer than a block");
            assert!(receiver.decrypt(1, 7, &mut payload));
            assert_eq!(&payload, b"some payload that is longer than a block");
            // The next key.
            assert!(!receiver.decrypt(2, 7, &mut payload) && sender.message(Parity::Odd).is_none());
            sender.renew(Parity::Odd).unwrap();
            receiver.take(&sender.message(Parity::Odd).unwrap()).unwrap();
            assert!(sender.encrypt(Parity::Odd, 9, &mut payload) && receiver.decrypt(2, 9, &mut payload));
            assert_eq!(&payload, b"some payload that is longer than a block");
            assert!(receiver.decrypt(1, 7, &mut payload));
        }
    }

    #[test]
    fn passphrases_have_a_length_and_are_not_printed() {
        assert!(Passphrase::new("123456789").is_none() && Passphrase::new(&"x".repeat(80)).is_none());
        let known = Passphrase::new("1234567890").unwrap();
        assert_eq!((format!("{known:?}").as_str(), known.expose()), ("***", "1234567890"));
    }

    proptest! {
        #[test]
        fn no_message_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..120), whole in any::<bool>()) {
            if whole && bytes.len() >= HEAD {
                bytes.splice(..HEAD, [0x12, 0x20, 0x29, bytes[3] & 3, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 4, 4]);
            }
            prop_assert!(Keys::unwrap(&bytes, passphrase("correct horse")).is_err());
        }
    }
}
