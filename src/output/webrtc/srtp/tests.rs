//! Tests of SRTP with the examples of its RFCs.

use super::*;
use data_encoding::HEXLOWER_PERMISSIVE;
use proptest::prelude::*;
use std::collections::HashSet;

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).unwrap()
}

/// A cipher with session keys, as the examples of RFC 7714 have them.
fn gcm(key: &[u8]) -> Cipher {
    let algorithm = if key.len() == 32 { &AES_256_GCM } else { &AES_128_GCM };
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).unwrap());
    Cipher::Gcm { key, salt: *b"Quid pro quo" }
}

fn encryptor(rtp: Cipher, rtcp: Cipher) -> Encryptor {
    Encryptor { rtp, rtcp, sources: BTreeSet::new(), rtcp_number: 0 }
}

fn keys(profile: Profile) -> Keys {
    let (key, salt) = profile.lengths();
    Keys::new(profile, &(0..2 * (key + salt)).map(|number| number as u8).collect::<Vec<_>>()).unwrap()
}

const PROFILES: [Profile; 3] = [Profile::Aes128CmSha1, Profile::Aes128Gcm, Profile::Aes256Gcm];

impl Encryptor {
    /// The header and the payload of an RTP packet of this side; `round`: how often its sequence numbers began again.
    pub fn open(&self, packet: &[u8], round: u64) -> Option<(Vec<u8>, Vec<u8>)> {
        let number = round << 16 | u64::from(u16::from_be_bytes([packet[2], packet[3]]));
        let ssrc = u32::from_be_bytes(packet[8..12].try_into().unwrap());
        let head = if packet[0] & 0x10 != 0 { 16 + 4 * usize::from(packet[15]) } else { 12 };
        let (head, body) = packet.split_at_checked(head)?;
        let plain = match &self.rtp {
            Cipher::Gcm { key, salt } => {
                let mut body = body.to_vec();
                key.open_in_place(nonce(salt, ssrc, number), Aad::from(head), &mut body).ok()?.to_vec()
            }
            Cipher::Counter { key, salt, authentication } => {
                let (sealed, tag) = packet.split_at(packet.len() - SHA1_TAG);
                let signed = [sealed, &(round as u32).to_be_bytes()].concat();
                if hmac::sign(authentication, &signed).as_ref()[..SHA1_TAG] != *tag {
                    return None;
                }
                let mut body = sealed[head.len()..].to_vec();
                key.less_safe_encrypt(&mut body, counter(salt, ssrc, number)).unwrap();
                body
            }
        };
        Some((head.to_vec(), plain))
    }
}

#[test]
fn keys_are_derived_as_in_rfc_3711_b3() {
    let (key, salt) = (hex("E1F97A0D3E018BE0D64FA32C06DE4139"), hex("0EC675AD498AFEEBB6960B3AABE6"));
    assert_eq!(derive(&key, &salt, 0, 16).unwrap(), hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(derive(&key, &salt, 2, 14).unwrap(), hex("30CBBC08863D8C85D49DB34A9AE1"));
    let authentication = "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4 8F0A0ACF3C34E2359E6CDBCEE049646C
        43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60
        DBDFB2";
    assert_eq!(derive(&key, &salt, 1, 94).unwrap(), hex(authentication));
}

#[test]
fn the_keystream_is_that_of_rfc_3711_b2() {
    let mut out = [0; 48];
    let key = UnboundCipherKey::new(&AES_128, &hex("2B7E151628AED2A6ABF7158809CF4F3C")).unwrap();
    let salt = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap();
    EncryptingKey::ctr(key).unwrap().less_safe_encrypt(&mut out, counter(&salt, 0, 0)).unwrap();
    let expected = "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0";
    assert_eq!(out.to_vec(), hex(expected));
}

#[test]
fn rtp_is_encrypted_as_in_rfc_7714_16() {
    let check = |key: Vec<u8>, sealed: &str| {
        let encryptor = encryptor(gcm(&key), gcm(&key));
        let mut source = Source { ssrc: 0x5501_a0b2, number: 0xf17b };
        let head = Head { payload_type: 0x40, marker: false, timestamp: 0x8041_f8d3, extension: &[] };
        let mut out = b"before".to_vec();
        encryptor.rtp(&mut source, head, b"Gallia est", b" omnis divisa in partes tres", &mut out);
        let expected = [hex("8040f17b 8041f8d3 5501a0b2"), hex(sealed)].concat();
        assert_eq!(out[6..], expected);
        assert_eq!(source.number(), 0xf17c);
        assert_eq!(encryptor.open(&expected, 0).unwrap().1, b"Gallia est omnis divisa in partes tres");
    };
    check(
        (0..16).collect(),
        "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833 899d7f27beb16a9152cf765ee4390cce",
    );
    check(
        (0..32).collect(),
        "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b 7aa3db36dfffd6b0f9bb7878d7a76c13",
    );
}

#[test]
fn rtcp_is_encrypted_as_in_rfc_7714_17() {
    let plain =
        hex("81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef
        deadbeef deadbeef");
    let sealed =
        hex("81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46
        86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4");
    let key: Vec<u8> = (0..16).collect();
    let mut encryptor = Encryptor { rtcp_number: 0x5d4, ..encryptor(gcm(&key), gcm(&key)) };
    let mut out = Vec::new();
    encryptor.rtcp(&plain, &mut out);
    assert_eq!(out, sealed);
    let mut decryptor = Decryptor { rtcp: gcm(&key), newest: 0, seen: 0 };
    assert_eq!(decryptor.rtcp(&sealed), Some(plain));
    assert_eq!(decryptor.rtcp(&sealed), None, "it was seen before");
}

/// The example that libsrtp tests itself with, of `AES_CM_128_HMAC_SHA1_80`.
#[test]
fn rtp_is_encrypted_as_by_libsrtp() {
    let material = hex("E1F97A0D3E018BE0D64FA32C06DE4139 00000000000000000000000000000000 0EC675AD498AFEEBB6960B3AABE6
        0000000000000000000000000000");
    let keys = Keys::new(Profile::Aes128CmSha1, &material).unwrap();
    let encryptor = Encryptor::new(&keys, Side::Client).unwrap();
    let mut source = Source { ssrc: 0xcafe_babe, number: 0x1234 };
    let head = Head { payload_type: 0x0f, marker: false, timestamp: 0xdeca_fbad, extension: &[] };
    let mut out = Vec::new();
    encryptor.rtp(&mut source, head, &[], &[0xab; 16], &mut out);
    assert_eq!(out, hex("800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb"));
}

#[test]
fn no_number_is_used_twice() {
    let keys = keys(Profile::Aes128Gcm);
    let mut encryptor = Encryptor::new(&keys, Side::Server).unwrap();
    let mut sources = [encryptor.source(1).unwrap(), encryptor.source(u32::MAX).unwrap()];
    assert!(encryptor.source(1).is_none(), "an SSRC has its numbers once");
    let head = Head { payload_type: 96, marker: false, timestamp: 0, extension: &[] };
    let (mut used, mut out) = (HashSet::new(), Vec::new());
    for packet in 0..1_000_000u32 {
        let source = &mut sources[usize::from(packet % 3 == 0)];
        let (ssrc, number) = (source.ssrc(), source.number());
        out.clear();
        encryptor.rtp(source, head, &[], b"", &mut out);
        assert!(used.insert((ssrc, number)));
        assert_eq!(out[2..4], (number as u16).to_be_bytes());
        if packet % 100_000 == 0 {
            assert!(encryptor.open(&out, number >> 16).is_some(), "after {packet}");
        }
    }
    // Of RTCP the number is in the packet.
    let mut reports = HashSet::new();
    for _ in 0..1000 {
        out.clear();
        encryptor.rtcp(&[0x80, 201, 0, 1, 0, 0, 0, 1], &mut out);
        assert!(reports.insert(out[out.len() - RTCP_NUMBER..].to_vec()));
    }
    let mut last = Source { ssrc: 7, number: MAX_NUMBER };
    out.clear();
    encryptor.rtp(&mut last, head, &[], b"", &mut out);
    let length = out.len();
    assert!(length > 0);
    encryptor.rtp(&mut last, head, &[], b"", &mut out);
    encryptor.rtcp_number = ENCRYPTED;
    encryptor.rtcp(&[0x80, 201, 0, 1, 0, 0, 0, 1], &mut out);
    assert_eq!(out.len(), length, "the numbers are used up");
}

#[test]
fn the_two_sides_have_keys_of_their_own() {
    for profile in PROFILES {
        let keys = keys(profile);
        let mut out = Vec::new();
        let report = [0x80, 201, 0, 1, 0, 0, 0, 1];
        Encryptor::new(&keys, Side::Client).unwrap().rtcp(&report, &mut out);
        assert_eq!(Decryptor::new(&keys, Side::Server).unwrap().rtcp(&out), None);
        assert_eq!(Decryptor::new(&keys, Side::Client).unwrap().rtcp(&out), Some(report.to_vec()));
        assert!(Keys::new(profile, &[0; 55]).is_none());
    }
}

#[test]
fn reports_come_once_and_not_too_late() {
    let keys = keys(Profile::Aes256Gcm);
    let mut encryptor = Encryptor::new(&keys, Side::Client).unwrap();
    let sealed: Vec<Vec<u8>> = (0..200)
        .map(|_| {
            let mut out = Vec::new();
            encryptor.rtcp(&[0x80, 201, 0, 1, 0, 0, 0, 1], &mut out);
            out
        })
        .collect();
    let mut decryptor = Decryptor::new(&keys, Side::Client).unwrap();
    for (number, is_taken) in
        [(0, true), (0, false), (3, true), (2, true), (2, false), (150, true), (86, false), (87, true), (150, false)]
    {
        assert_eq!(decryptor.rtcp(&sealed[number]).is_some(), is_taken, "{number}");
    }
}

/// `cargo test --release --lib srtp -- --ignored --nocapture` prints it.
#[test]
#[ignore = "it measures"]
fn packets_of_1000_bytes_a_second() {
    for (profile, least) in PROFILES.into_iter().zip([0.6e6, 2e6, 2e6]) {
        let mut encryptor = Encryptor::new(&keys(profile), Side::Server).unwrap();
        let (mut source, mut out) = (encryptor.source(1).unwrap(), Vec::new());
        let head = Head { payload_type: 96, marker: false, timestamp: 0, extension: &[] };
        let mut best = 0.0_f64;
        for _ in 0..4 {
            let began = std::time::Instant::now();
            for _ in 0..50_000 {
                out.clear();
                encryptor.rtp(&mut source, head, &[], &[7; 1000], &mut out);
            }
            best = best.max(50_000.0 / began.elapsed().as_secs_f64());
        }
        println!("{profile:?}: {:.2} million packets of 1000 bytes a second", best / 1e6);
        // Without optimisation it is no figure.
        assert!(cfg!(debug_assertions) || best >= least, "{profile:?}");
    }
}

proptest! {
    #[test]
    fn what_is_encrypted_comes_back(
        profile in prop::sample::select(PROFILES.to_vec()),
        first: Vec<u8>,
        rest: Vec<u8>,
        words in 0usize..3,
        number in 0u64..1 << 40,
        damaged: prop::sample::Index,
    ) {
        let keys = keys(profile);
        let encryptor = Encryptor::new(&keys, Side::Server).unwrap();
        let extension = if words == 0 { Vec::new() } else { [vec![0xbe, 0xde, 0, words as u8], vec![7; 4 * words]].concat() };
        let head = Head { payload_type: 96, marker: true, timestamp: 5, extension: &extension };
        let mut out = Vec::new();
        encryptor.rtp(&mut Source { ssrc: 9, number }, head, &first, &rest, &mut out);
        prop_assert_eq!(encryptor.open(&out, number >> 16).unwrap().1, [&first[..], &rest].concat());
        // The first byte says how long the head is.
        let at = 4 + damaged.index(out.len() - 4);
        let mut forged = out.clone();
        forged[at] ^= 1;
        if at < 12 || at >= 12 + extension.len() {
            prop_assert_eq!(encryptor.open(&forged, number >> 16), None);
        }
    }

    #[test]
    fn forged_reports_are_none(profile in prop::sample::select(PROFILES.to_vec()), damaged: prop::sample::Index, bytes: Vec<u8>) {
        let keys = keys(profile);
        let (mut encryptor, mut out) = (Encryptor::new(&keys, Side::Client).unwrap(), Vec::new());
        let report = [0x80, 201, 0, 2, 0, 0, 0, 1, 1, 2, 3, 4];
        encryptor.rtcp(&report, &mut out);
        let mut decryptor = Decryptor::new(&keys, Side::Client).unwrap();
        let at = damaged.index(out.len());
        out[at] ^= 0x10;
        prop_assert_eq!(decryptor.rtcp(&out), None);
        out[at] ^= 0x10;
        prop_assert_eq!(decryptor.rtcp(&bytes), None);
        prop_assert_eq!(decryptor.rtcp(&out), Some(report.to_vec()));
    }
}
