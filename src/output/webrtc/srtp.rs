//! SRTP and SRTCP (RFC 3711, RFC 7714) of a session whose media we send: packets are encrypted where they are written, and what the
//! viewer reports is decrypted. No IO.
//!
//! The one rule of these ciphers is that no number of a packet is used twice with a key. Numbers are therefore given here, by
//! [`Source`], of which there is one for each SSRC as long as its key lives.

use aws_lc_rs::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey},
    hmac,
    iv::FixedLength,
};
use std::{collections::BTreeSet, fmt};

/// Bytes before what is encrypted of RTCP: the first header and the SSRC.
const RTCP_HEAD: usize = 8;
/// Bytes of the number of an RTCP packet, whose first bit says that it is encrypted.
const RTCP_NUMBER: usize = 4;
const ENCRYPTED: u32 = 1 << 31;
const GCM_TAG: usize = 16;
const GCM_SALT: usize = 12;
const SHA1_TAG: usize = 10;
const SHA1_KEY: usize = 20;
const COUNTER_SALT: usize = 14;
/// Labels of the keys that are derived, for RTP and for RTCP (RFC 3711, section 4.3.2): cipher, authentication, salt.
const RTP: [u8; 3] = [0, 1, 2];
const RTCP: [u8; 3] = [3, 4, 5];
/// The number of a packet has 48 bits.
const MAX_NUMBER: u64 = (1 << 48) - 1;
/// How far an RTCP packet may be behind the newest.
const WINDOW: u32 = 64;

/// How packets are protected (RFC 5764, section 4.1.2; RFC 7714, section 14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// `AES_CM_128_HMAC_SHA1_80`.
    Aes128CmSha1,
    /// `AEAD_AES_128_GCM`.
    Aes128Gcm,
    /// `AEAD_AES_256_GCM`.
    Aes256Gcm,
}

/// The keys of a session, of both sides, as DTLS exports them (RFC 5764, section 4.2).
#[derive(Clone)]
pub struct Keys {
    profile: Profile,
    material: Vec<u8>,
}

/// One of the two sides of the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Who began it.
    Client,
    /// Who answered.
    Server,
}

impl Side {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Keys {
    /// Exported keys; `None` when there are too few bytes.
    pub fn new(profile: Profile, material: &[u8]) -> Option<Self> {
        let (key, salt) = profile.lengths();
        (material.len() >= 2 * (key + salt)).then(|| Self { profile, material: material.to_vec() })
    }

    /// Master key and master salt of a side: both keys come first, then both salts.
    fn of(&self, side: Side) -> Option<(&[u8], &[u8])> {
        let (key, salt) = self.profile.lengths();
        let second = usize::from(side == Side::Server);
        let master = self.material.get(second * key..)?.get(..key)?;
        Some((master, self.material.get(2 * key + second * salt..)?.get(..salt)?))
    }
}

impl Profile {
    /// Bytes of a master key and of a master salt.
    fn lengths(self) -> (usize, usize) {
        match self {
            Self::Aes128CmSha1 => (16, COUNTER_SALT),
            Self::Aes128Gcm => (16, GCM_SALT),
            Self::Aes256Gcm => (32, GCM_SALT),
        }
    }
}

/// The keystream of AES in counter mode from this block on, as many bytes as asked for (RFC 3711, section 4.3.3).
fn derive(key: &[u8], salt: &[u8], label: u8, length: usize) -> Option<Vec<u8>> {
    let mut block = [0; 16];
    block.get_mut(..salt.len())?.copy_from_slice(salt);
    block[7] ^= label;
    let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
    let cipher = EncryptingKey::ctr(UnboundCipherKey::new(algorithm, key).ok()?).ok()?;
    let mut out = vec![0; length];
    cipher.less_safe_encrypt(&mut out, EncryptionContext::Iv128(FixedLength::from(block))).ok()?;
    Some(out)
}

/// A cipher with its session keys, for RTP or for RTCP.
#[derive(Debug)]
enum Cipher {
    Gcm { key: LessSafeKey, salt: [u8; GCM_SALT] },
    Counter { key: Box<EncryptingKey>, salt: [u8; COUNTER_SALT], authentication: Box<hmac::Key> },
}

impl Cipher {
    fn new(profile: Profile, (key, salt): (&[u8], &[u8]), labels: [u8; 3]) -> Option<Self> {
        let [of_key, of_authentication, of_salt] = labels;
        let session = derive(key, salt, of_key, key.len())?;
        let session_salt = derive(key, salt, of_salt, salt.len())?;
        Some(match profile {
            Profile::Aes128CmSha1 => Self::Counter {
                key: Box::new(EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, &session).ok()?).ok()?),
                salt: session_salt.try_into().ok()?,
                authentication: Box::new(hmac::Key::new(
                    hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                    &derive(key, salt, of_authentication, SHA1_KEY)?,
                )),
            },
            Profile::Aes128Gcm | Profile::Aes256Gcm => {
                let algorithm = if profile == Profile::Aes256Gcm { &AES_256_GCM } else { &AES_128_GCM };
                let key = LessSafeKey::new(UnboundKey::new(algorithm, &session).ok()?);
                Self::Gcm { key, salt: session_salt.try_into().ok()? }
            }
        })
    }
}

/// The nonce of a packet (RFC 7714, sections 8.1 and 9.1): the number ends it, in 48 bits.
fn nonce(salt: &[u8; GCM_SALT], ssrc: u32, number: u64) -> Nonce {
    let ([a, b, c, d], [_, _, n @ ..]) = (ssrc.to_be_bytes(), number.to_be_bytes());
    let plain = [0, 0, a, b, c, d, n[0], n[1], n[2], n[3], n[4], n[5]];
    let mut nonce = [0; NONCE_LEN];
    nonce.iter_mut().zip(plain.iter().zip(salt)).for_each(|(to, (plain, salt))| *to = plain ^ salt);
    Nonce::assume_unique_for_key(nonce)
}

/// The first counter of a packet (RFC 3711, section 4.1.1).
fn counter(salt: &[u8; COUNTER_SALT], ssrc: u32, number: u64) -> EncryptionContext {
    let ([a, b, c, d], [_, _, n @ ..]) = (ssrc.to_be_bytes(), number.to_be_bytes());
    let plain = [0, 0, 0, 0, a, b, c, d, n[0], n[1], n[2], n[3], n[4], n[5]];
    let mut block = [0; 16];
    block.iter_mut().zip(plain.iter().zip(salt)).for_each(|(to, (plain, salt))| *to = plain ^ salt);
    EncryptionContext::Iv128(FixedLength::from(block))
}

/// One SSRC of ours: it numbers its packets. There is no other one with its keys.
#[derive(Debug)]
pub struct Source {
    ssrc: u32,
    /// Of the next packet: the sequence number, and above it how often that began again.
    number: u64,
}

impl Source {
    /// Who sends.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The number of the next packet, whose last 16 bits are its sequence number.
    pub fn number(&self) -> u64 {
        self.number
    }
}

/// What a packet says before its payload.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// 0 to 127.
    pub payload_type: u8,
    /// Ends a frame of video.
    pub marker: bool,
    /// Ticks.
    pub timestamp: u32,
    /// The header extension, whole words, or nothing.
    pub extension: &'a [u8],
}

/// The side that encrypts.
#[derive(Debug)]
pub struct Encryptor {
    rtp: Cipher,
    rtcp: Cipher,
    sources: BTreeSet<u32>,
    rtcp_number: u32,
}

impl Encryptor {
    /// With the keys of this side. `None` when the cipher refuses them.
    pub fn new(keys: &Keys, side: Side) -> Option<Self> {
        let master = keys.of(side)?;
        let (rtp, rtcp) = (Cipher::new(keys.profile, master, RTP)?, Cipher::new(keys.profile, master, RTCP)?);
        Some(Self { rtp, rtcp, sources: BTreeSet::new(), rtcp_number: 0 })
    }

    /// The numbers of an SSRC, which has them once. It begins in the lower half, so that a receiver that misses the first packets does
    /// not take their number for one of the round before (RFC 3711, section 3.3.1).
    pub fn source(&mut self, ssrc: u32) -> Option<Source> {
        self.sources.insert(ssrc).then_some(Source { ssrc, number: u64::from(ssrc & 0x7fff) })
    }

    /// Appends an RTP packet whose payload is `first` and `rest`. Appends nothing when the numbers are used up.
    pub fn rtp(&self, source: &mut Source, head: Head<'_>, first: &[u8], rest: &[u8], out: &mut Vec<u8>) {
        let begin = out.len();
        if self.seal_rtp(source, head, [first, rest], out).is_none() {
            // Nothing leaves that is not encrypted.
            out.truncate(begin);
        }
    }

    fn seal_rtp(&self, source: &mut Source, head: Head<'_>, payload: [&[u8]; 2], out: &mut Vec<u8>) -> Option<()> {
        let (number, ssrc) = (source.number, source.ssrc);
        if number > MAX_NUMBER {
            return None;
        }
        source.number += 1;
        let begin = out.len();
        out.push(if head.extension.is_empty() { 0x80 } else { 0x90 });
        out.push(u8::from(head.marker) << 7 | (head.payload_type & 0x7f));
        out.extend((number as u16).to_be_bytes());
        out.extend(head.timestamp.to_be_bytes());
        out.extend(ssrc.to_be_bytes());
        out.extend_from_slice(head.extension);
        let body = out.len() - begin;
        payload.iter().for_each(|part| out.extend_from_slice(part));
        let (head, body) = out.get_mut(begin..)?.split_at_mut_checked(body)?;
        match &self.rtp {
            Cipher::Gcm { key, salt } => {
                let tag = key.seal_in_place_separate_tag(nonce(salt, ssrc, number), Aad::from(&*head), body).ok()?;
                out.extend_from_slice(tag.as_ref());
            }
            Cipher::Counter { key, salt, authentication } => {
                key.less_safe_encrypt(body, counter(salt, ssrc, number)).ok()?;
                let mut tag = hmac::Context::with_key(authentication);
                tag.update(head);
                tag.update(body);
                tag.update(&((number >> 16) as u32).to_be_bytes());
                out.extend_from_slice(tag.sign().as_ref().get(..SHA1_TAG)?);
            }
        }
        Some(())
    }

    /// Appends a compound RTCP packet. Appends nothing when it is none, or the numbers are used up.
    pub fn rtcp(&mut self, compound: &[u8], out: &mut Vec<u8>) {
        let begin = out.len();
        if self.seal_rtcp(compound, out).is_none() {
            out.truncate(begin);
        }
    }

    fn seal_rtcp(&mut self, compound: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let (number, ssrc) = (self.rtcp_number, ssrc_of(compound)?);
        if number >= ENCRYPTED {
            return None;
        }
        self.rtcp_number += 1;
        let begin = out.len();
        out.extend_from_slice(compound);
        let (head, body) = out.get_mut(begin..)?.split_at_mut_checked(RTCP_HEAD)?;
        let word = (number | ENCRYPTED).to_be_bytes();
        match &self.rtcp {
            Cipher::Gcm { key, salt } => {
                let associated = Aad::from([&*head, &word].concat());
                let tag = key.seal_in_place_separate_tag(nonce(salt, ssrc, number.into()), associated, body).ok()?;
                out.extend_from_slice(tag.as_ref());
                out.extend(word);
            }
            Cipher::Counter { key, salt, authentication } => {
                key.less_safe_encrypt(body, counter(salt, ssrc, number.into())).ok()?;
                out.extend(word);
                let tag = hmac::sign(authentication, out.get(begin..)?);
                out.extend_from_slice(tag.as_ref().get(..SHA1_TAG)?);
            }
        }
        Some(())
    }
}

/// The side that decrypts what viewers report.
#[derive(Debug)]
pub struct Decryptor {
    rtcp: Cipher,
    /// The highest number, and which of those below it came: the last bit is the highest itself.
    newest: u32,
    seen: u64,
}

impl Decryptor {
    /// With the keys of that side. `None` when the cipher refuses them.
    pub fn new(keys: &Keys, side: Side) -> Option<Self> {
        Some(Self { rtcp: Cipher::new(keys.profile, keys.of(side)?, RTCP)?, newest: 0, seen: 0 })
    }

    /// Decrypts a compound RTCP packet. `None` for what is forged, was seen before, or is none.
    pub fn rtcp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let ssrc = ssrc_of(packet)?;
        let (sealed, tag, word) = match &self.rtcp {
            Cipher::Gcm { .. } => {
                let (sealed, word) = packet.split_at_checked(packet.len().checked_sub(RTCP_NUMBER)?)?;
                let (sealed, tag) = sealed.split_at_checked(sealed.len().checked_sub(GCM_TAG)?)?;
                (sealed, tag, word)
            }
            Cipher::Counter { .. } => {
                let (sealed, tag) = packet.split_at_checked(packet.len().checked_sub(SHA1_TAG)?)?;
                let (sealed, word) = sealed.split_at_checked(sealed.len().checked_sub(RTCP_NUMBER)?)?;
                (sealed, tag, word)
            }
        };
        let number = u32::from_be_bytes(word.try_into().ok()?);
        let (is_encrypted, number) = (number & ENCRYPTED != 0, number & !ENCRYPTED);
        let (head, body) = sealed.split_at_checked(RTCP_HEAD)?;
        if !is_encrypted || !self.is_new(number) {
            return None;
        }
        let mut plain = sealed.to_vec();
        let text = plain.get_mut(RTCP_HEAD..)?;
        match &self.rtcp {
            Cipher::Gcm { key, salt } => {
                let associated = Aad::from([head, word].concat());
                key.open_separate_gather(nonce(salt, ssrc, number.into()), associated, body, tag, text).ok()?;
            }
            Cipher::Counter { key, salt, authentication } => {
                let mut expected = hmac::Context::with_key(authentication);
                expected.update(sealed);
                expected.update(word);
                let expected = expected.sign();
                let expected = expected.as_ref().get(..SHA1_TAG)?;
                aws_lc_rs::constant_time::verify_slices_are_equal(expected, tag).ok()?;
                // Counter mode is its own inverse.
                key.less_safe_encrypt(text, counter(salt, ssrc, number.into())).ok()?;
            }
        }
        self.note(number);
        Some(plain)
    }

    fn is_new(&self, number: u32) -> bool {
        match self.newest.checked_sub(number) {
            None => true,
            Some(behind) => behind < WINDOW && self.seen & (1 << behind) == 0,
        }
    }

    fn note(&mut self, number: u32) {
        match self.newest.checked_sub(number) {
            Some(behind) => self.seen |= 1 << behind,
            None => {
                let ahead = number - self.newest;
                self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
                self.newest = number;
            }
        }
    }
}

/// The SSRC of the first part of a compound packet.
fn ssrc_of(compound: &[u8]) -> Option<u32> {
    let [_, _, _, _, ssrc @ ..] = compound.first_chunk::<RTCP_HEAD>()?;
    Some(u32::from_be_bytes(*ssrc))
}

#[cfg(test)]
mod tests;
