//! Records of TLS 1.3 (RFC 8446, section 5.2) that a thread encrypts for many sessions into one buffer, which stays in the cache of
//! its processor. rustls has the handshake, the keys and all other messages; its own records are in memory of each session.
//!
//! Both encrypt with the same key, and the one rule of these ciphers is that no number of a record is used twice with a key. Numbers
//! are therefore counted with the [`Key`] and not by the session. A key lives as long as the session encrypts with it: after an update
//! of keys a [`Sealer`] has none, and the session writes the next record, which is behind its message about the update.

use ::aws_lc_rs::aead::{self, AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, UnboundKey};
use std::{
    cell::RefCell,
    io::IoSlice,
    sync::{
        Arc, LazyLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio_rustls::rustls::{
    CipherSuite, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, SupportedCipherSuite, Tls13CipherSuite,
    crypto::{
        CipherSuiteCommon, CryptoProvider, aws_lc_rs,
        cipher::{
            AeadKey, Iv, MessageDecrypter, MessageEncrypter, Nonce, OutboundOpaqueMessage, OutboundPlainMessage,
            PrefixedPayload, Tls13AeadAlgorithm, UnsupportedOperationError, make_tls13_aad,
        },
    },
};

/// Bytes before what is encrypted.
const HEAD: usize = 5;
/// Bytes of the tag behind it.
const TAG: usize = 16;
/// Most bytes of media in a record.
const MAX_PLAINTEXT: usize = 1 << 14;
/// Most records that are encrypted together; a socket that is full has a copy of them made.
const MAX_RECORDS: usize = 4;

/// The ciphers of servers whose records a [`Sealer`] can write, too.
pub fn provider() -> CryptoProvider {
    CryptoProvider { cipher_suites: SUITES.clone(), ..aws_lc_rs::default_provider() }
}

static SUITES: LazyLock<Vec<SupportedCipherSuite>> = LazyLock::new(|| {
    let suites = aws_lc_rs::default_provider().cipher_suites;
    suites.into_iter().map(|suite| shared(suite).unwrap_or(suite)).collect()
});

/// The suite with keys that a [`Sealer`] can use, if it is one of TLS 1.3 with AES-GCM.
fn shared(suite: SupportedCipherSuite) -> Option<SupportedCipherSuite> {
    let SupportedCipherSuite::Tls13(suite) = suite else { return None };
    let cipher = match suite.common.suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => &AES_128_GCM,
        CipherSuite::TLS13_AES_256_GCM_SHA384 => &AES_256_GCM,
        _ => return None,
    };
    let CipherSuiteCommon { suite: name, hash_provider, confidentiality_limit } = suite.common;
    let algorithm = Algorithm { cipher, limit: confidentiality_limit, inner: suite.aead_alg };
    let shared = Tls13CipherSuite {
        common: CipherSuiteCommon { suite: name, hash_provider, confidentiality_limit },
        hkdf_provider: suite.hkdf_provider,
        // rustls wants suites that live as long as the program; there are two.
        aead_alg: Box::leak(Box::new(algorithm)),
        quic: None,
    };
    Some(SupportedCipherSuite::Tls13(Box::leak(Box::new(shared))))
}

/// AES-GCM of rustls, but for what encrypts.
struct Algorithm {
    cipher: &'static aead::Algorithm,
    limit: u64,
    inner: &'static dyn Tls13AeadAlgorithm,
}

impl Tls13AeadAlgorithm for Algorithm {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        match UnboundKey::new(self.cipher, key.as_ref()) {
            Ok(key) => Box::new(Encrypter(Arc::new(Key::new(key, iv, self.limit)))),
            Err(_) => self.inner.encrypter(key, iv),
        }
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        self.inner.decrypter(key, iv)
    }

    fn key_len(&self) -> usize {
        self.inner.key_len()
    }

    fn extract_keys(&self, key: AeadKey, iv: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.inner.extract_keys(key, iv)
    }

    fn fips(&self) -> bool {
        self.inner.fips()
    }
}

/// A key, and how many records it has encrypted.
struct Key {
    key: LessSafeKey,
    iv: Iv,
    next: AtomicU64,
    /// The session takes another key before this record (RFC 8446, section 5.5).
    limit: u64,
}

impl Key {
    fn new(key: UnboundKey, iv: Iv, limit: u64) -> Self {
        Self { key: LessSafeKey::new(key), iv, next: AtomicU64::new(0), limit }
    }

    /// The nonce of the next record (RFC 8446, section 5.3); no other record gets the same.
    fn nonce(&self) -> aead::Nonce {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        aead::Nonce::assume_unique_for_key(Nonce::new(&self.iv, number).0)
    }
}

/// Encrypts for a session.
struct Encrypter(Arc<Key>);

thread_local! {
    /// With which key a session has encrypted last in this thread.
    static LAST: RefCell<Weak<Key>> = const { RefCell::new(Weak::new()) };
}

impl MessageEncrypter for Encrypter {
    fn encrypt(&mut self, message: OutboundPlainMessage<'_>, _: u64) -> Result<OutboundOpaqueMessage, Error> {
        let length = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(length);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&message.typ.to_array());
        let associated = Aad::from(make_tls13_aad(length));
        let sealed = self.0.key.seal_in_place_append_tag(self.0.nonce(), associated, &mut payload);
        sealed.map_err(|_| Error::EncryptError)?;
        LAST.set(Arc::downgrade(&self.0));
        // The version stands for no other any more (RFC 8446, section 5.1).
        Ok(OutboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, payload))
    }

    fn encrypted_payload_len(&self, length: usize) -> usize {
        length + 1 + TAG
    }
}

/// Encrypts application data of a session, as long as the session does not take another key.
#[derive(Debug, Default)]
pub struct Sealer(Weak<Key>);

impl Sealer {
    /// Of the session that encrypts something when `write` is called: that is how its key is found. Its result is returned, too.
    pub fn of_session<T>(write: impl FnOnce() -> T) -> (Self, T) {
        LAST.take();
        let result = write();
        (Self(LAST.take()), result)
    }

    /// Adds records of these pieces to `out`, as many as are written together; returns how many bytes of the pieces are in them.
    /// None, if the session has to write the next record itself.
    pub fn seal(&self, pieces: &[IoSlice<'_>], out: &mut Vec<u8>) -> usize {
        let Some(key) = self.0.upgrade() else { return 0 };
        let (mut pieces, mut rest, mut taken) = (pieces.iter(), [].as_slice(), 0);
        for _ in 0..MAX_RECORDS {
            let start = out.len();
            out.extend_from_slice(&[0; HEAD]);
            let mut room = MAX_PLAINTEXT;
            while room > 0 {
                if rest.is_empty() {
                    match pieces.next() {
                        Some(piece) => rest = piece,
                        None => break,
                    }
                }
                let (now, later) = rest.split_at(room.min(rest.len()));
                out.extend_from_slice(now);
                (rest, room) = (later, room - now.len());
            }
            if room == MAX_PLAINTEXT || key.next.load(Ordering::Relaxed) >= key.limit || !finish(&key, start, out) {
                out.truncate(start);
                break;
            }
            taken += MAX_PLAINTEXT - room;
        }
        taken
    }

    /// Whether the session should take another key.
    pub fn is_worn(&self) -> bool {
        self.0.upgrade().is_some_and(|key| key.next.load(Ordering::Relaxed) >= key.limit)
    }
}

/// Encrypts the record whose media begins behind a head at `start`; whether that was possible.
fn finish(key: &Key, start: usize, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(&ContentType::ApplicationData.to_array());
    let head = make_tls13_aad(out.len() - start - HEAD + TAG);
    let Some((place, payload)) = out.get_mut(start..).and_then(|record| record.split_first_chunk_mut()) else {
        return false;
    };
    *place = head;
    let tag = key.key.seal_in_place_separate_tag(key.nonce(), Aad::from(head), payload);
    tag.map(|tag| out.extend_from_slice(tag.as_ref())).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use std::io::{Read, Write};
    use tokio_rustls::rustls::{
        ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion,
        pki_types::PrivateKeyDer,
        version::{TLS12, TLS13},
    };

    /// A session with its client, who has this suite alone.
    struct Pair {
        server: ServerConnection,
        client: ClientConnection,
        sealer: Sealer,
        sent: Vec<u8>,
        received: Vec<u8>,
    }

    impl Pair {
        fn new(provider: CryptoProvider, version: &'static SupportedProtocolVersion, suite: CipherSuite) -> Self {
            let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
            let config =
                ServerConfig::builder_with_provider(provider.into()).with_protocol_versions(&[version]).unwrap();
            let config = config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
            let mut roots = RootCertStore::empty();
            roots.add(cert.der().clone()).unwrap();
            let mut ciphers = aws_lc_rs::default_provider();
            ciphers.cipher_suites.retain(|other| other.suite() == suite);
            let trusting =
                ClientConfig::builder_with_provider(ciphers.into()).with_protocol_versions(&[version]).unwrap();
            let trusting = trusting.with_root_certificates(roots).with_no_client_auth();
            let client = ClientConnection::new(Arc::new(trusting), "localhost".try_into().unwrap()).unwrap();
            let server = ServerConnection::new(Arc::new(config)).unwrap();
            let mut pair = Self { server, client, sealer: Sealer::default(), sent: Vec::new(), received: Vec::new() };
            while pair.client.is_handshaking() || pair.server.is_handshaking() {
                pair.exchange();
            }
            pair.exchange();
            pair
        }

        /// Takes what both sessions have to say to the other side.
        fn exchange(&mut self) {
            let mut wire = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut wire).unwrap();
            }
            let mut wire = wire.as_slice();
            while !wire.is_empty() {
                self.server.read_tls(&mut wire).unwrap();
                self.server.process_new_packets().unwrap();
            }
            let mut wire = Vec::new();
            while self.server.wants_write() {
                self.server.write_tls(&mut wire).unwrap();
            }
            self.deliver(&wire);
        }

        fn deliver(&mut self, mut wire: &[u8]) {
            while !wire.is_empty() {
                self.client.read_tls(&mut wire).unwrap();
                self.client.process_new_packets().unwrap();
                let mut buffer = [0; 16 << 10];
                while let Ok(length @ 1..) = self.client.reader().read(&mut buffer) {
                    self.received.extend_from_slice(&buffer[..length]);
                }
            }
        }

        /// Sends pieces of these lengths: how many bytes were sealed, which is all of them or none.
        fn send(&mut self, lengths: &[usize]) -> usize {
            let begin = self.sent.len();
            self.sent.extend((0..lengths.iter().sum::<usize>()).map(|at| ((begin + at) % 251) as u8));
            let mut media = &self.sent[begin..];
            let pieces: Vec<_> =
                lengths.iter().map(|length| IoSlice::new(media.split_off(..*length).unwrap())).collect();
            let mut wire = Vec::new();
            let sealed = self.sealer.seal(&pieces, &mut wire);
            if sealed == 0 {
                let writer = &mut self.server;
                let (sealer, written) = Sealer::of_session(|| writer.writer().write_vectored(&pieces).unwrap());
                assert_eq!(written, lengths.iter().sum::<usize>());
                self.sealer = sealer;
                self.exchange();
            }
            self.deliver(&wire);
            assert_eq!(self.sent, self.received);
            sealed
        }
    }

    const SHARED: [CipherSuite; 2] = [CipherSuite::TLS13_AES_128_GCM_SHA256, CipherSuite::TLS13_AES_256_GCM_SHA384];

    #[test]
    fn records_of_the_session_and_of_ours_are_one_sequence() {
        for suite in SHARED {
            let mut pair = Pair::new(provider(), &TLS13, suite);
            assert_eq!(pair.send(&[100]), 0, "the session shows its key");
            for lengths in [&[1][..], &[0, 5, 0], &[16_384], &[16_385], &[3, 16_380, 1, 40_000, 2], &[65_536]] {
                assert_eq!(pair.send(lengths), lengths.iter().sum::<usize>(), "{lengths:?}");
            }
            let writer = &mut pair.server;
            writer.writer().write_all(&[7; 20_000]).unwrap();
            pair.sent.extend([7; 20_000]);
            pair.exchange();
            assert_eq!(pair.send(&[10, 20]), 30);
            let mut wire = Vec::new();
            let many = [IoSlice::new(&[1; 70_000])];
            assert_eq!(pair.sealer.seal(&many, &mut wire), MAX_RECORDS * MAX_PLAINTEXT, "not without an end");
        }
    }

    #[test]
    fn the_session_writes_behind_an_update_of_keys() {
        for suite in SHARED {
            let mut pair = Pair::new(provider(), &TLS13, suite);
            pair.send(&[100]);
            assert_eq!(pair.send(&[100]), 100);
            // By the client, which asks for one of the server's, too.
            pair.client.refresh_traffic_keys().unwrap();
            pair.exchange();
            assert_eq!([pair.send(&[100]), pair.send(&[100])], [0, 100]);
            // By the server.
            pair.server.refresh_traffic_keys().unwrap();
            assert_eq!([pair.send(&[100]), pair.send(&[100])], [0, 100]);
        }
    }

    #[test]
    fn no_key_encrypts_more_records_than_it_may() {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites = [provider.cipher_suites.into_iter().find(|suite| suite.suite() == SHARED[0]).unwrap()]
            .map(|suite| {
                let suite = suite.tls13().unwrap();
                let CipherSuiteCommon { suite: name, hash_provider, .. } = suite.common;
                let common = CipherSuiteCommon { suite: name, hash_provider, confidentiality_limit: 20 };
                let Tls13CipherSuite { hkdf_provider, aead_alg, .. } = *suite;
                let few = Tls13CipherSuite { common, hkdf_provider, aead_alg, quic: None };
                shared(SupportedCipherSuite::Tls13(Box::leak(Box::new(few)))).unwrap()
            })
            .into();
        let mut pair = Pair::new(provider, &TLS13, SHARED[0]);
        pair.send(&[1]);
        let mut updates = 0;
        for _ in 0..100 {
            if pair.sealer.is_worn() {
                let mut wire = Vec::new();
                assert_eq!(pair.sealer.seal(&[IoSlice::new(b"more")], &mut wire), 0);
                assert!(wire.is_empty());
                pair.server.refresh_traffic_keys().unwrap();
                updates += 1;
            }
            pair.send(&[1]);
        }
        assert!((5..=7).contains(&updates), "{updates}");
    }

    #[test]
    fn other_ciphers_are_the_sessions_own() {
        let of_12 = CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
        for (version, suite) in [(&TLS13, CipherSuite::TLS13_CHACHA20_POLY1305_SHA256), (&TLS12, of_12)] {
            let mut pair = Pair::new(provider(), version, suite);
            assert_eq!([pair.send(&[100]), pair.send(&[100])], [0, 0], "{suite:?}");
        }
    }

    #[test]
    fn a_sealer_of_a_session_that_has_ended_seals_nothing() {
        let mut pair = Pair::new(provider(), &TLS13, SHARED[0]);
        pair.send(&[100]);
        let Pair { server, sealer, .. } = pair;
        drop(server);
        let mut wire = Vec::new();
        assert_eq!(sealer.seal(&[IoSlice::new(b"late")], &mut wire), 0);
        assert!(wire.is_empty() && !sealer.is_worn());
    }
}
