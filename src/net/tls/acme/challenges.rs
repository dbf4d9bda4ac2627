//! What validators of an authority are shown while an order is open: a certificate for a handshake (RFC 8737) or the text of a file (RFC
//! 8555, section 8.3).

use crate::net::tls::certificate::TlsError;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_rustls::rustls::{crypto::aws_lc_rs, pki_types::PrivateKeyDer, server::ClientHello, sign::CertifiedKey};

/// What a validator speaks over TLS, and nothing else (RFC 8737, section 6.2).
pub const ALPN: &[u8] = b"acme-tls/1";
/// Where a validator asks for a file; the token follows.
const FILES: &str = "/.well-known/acme-challenge/";

/// The challenges that are open. Clones share them.
#[derive(Clone, Default)]
pub struct Challenges(Arc<Mutex<Vec<Open>>>);

/// A challenge as long as it is open.
struct Open {
    name: String,
    token: String,
    answer: Answer,
}

/// How a challenge is met.
enum Answer {
    Handshake(Arc<CertifiedKey>),
    File(String),
}

/// A challenge is met as long as this lives.
pub struct Shown {
    challenges: Challenges,
    token: String,
}

impl Challenges {
    /// The certificate for a validator, where a client is one: it has no other protocol, and a challenge of its name is open. The outer
    /// `None` is a usual client.
    pub fn certificate(&self, hello: &ClientHello<'_>) -> Option<Option<Arc<CertifiedKey>>> {
        let mut protocols = hello.alpn()?;
        let is_validator = protocols.next() == Some(ALPN) && protocols.next().is_none();
        is_validator.then(|| self.handshake(hello.server_name()?))
    }

    fn handshake(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.lock().iter().find_map(|open| match &open.answer {
            Answer::Handshake(key) if open.name.eq_ignore_ascii_case(name) => Some(key.clone()),
            _ => None,
        })
    }

    /// The text of the file at a path of HTTP, where that is one of an open challenge.
    pub fn file(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(FILES)?;
        self.lock().iter().find_map(|open| match &open.answer {
            Answer::File(text) if open.token == token => Some(text.clone()),
            _ => None,
        })
    }

    /// From now on handshakes for a name prove the challenge of this token by the digest of its key authorization.
    ///
    /// # Errors
    /// When no certificate can be made for the name.
    pub(super) fn show_certificate(&self, name: &str, token: &str, digest: &[u8; 32]) -> Result<Shown, TlsError> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(vec![name.to_owned()])?;
        parameters.distinguished_name = DistinguishedName::new();
        parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let certificate = parameters.self_signed(&key)?;
        let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
        let private = aws_lc_rs::default_provider().key_provider.load_private_key(private).map_err(TlsError::Unfit)?;
        // Unchecked: rustls does not know the critical extension, and would refuse its own certificate.
        let shown = CertifiedKey::new(vec![certificate.der().clone()], private);
        Ok(self.show(name, token, Answer::Handshake(Arc::new(shown))))
    }

    /// From now on the file of this token has the text of its key authorization.
    pub(super) fn show_file(&self, name: &str, token: &str, authorization: &str) -> Shown {
        self.show(name, token, Answer::File(authorization.to_owned()))
    }

    fn show(&self, name: &str, token: &str, answer: Answer) -> Shown {
        self.lock().push(Open { name: name.to_owned(), token: token.to_owned(), answer });
        Shown { challenges: self.clone(), token: token.to_owned() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenges").field("open", &self.lock().len()).finish()
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.challenges.lock().retain(|open| open.token != self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_met_while_it_is_open() {
        let challenges = Challenges::default();
        let path = "/.well-known/acme-challenge/abc";
        assert_eq!(challenges.file(path), None);
        let first = challenges.show_file("a.example", "abc", "abc.thumb");
        let second = challenges.show_certificate("b.example", "def", &[7; 32]).unwrap();
        assert_eq!(challenges.file(path).as_deref(), Some("abc.thumb"));
        for other in [
            "/.well-known/acme-challenge/",
            "/.well-known/acme-challenge/def",
            "/.well-known/acme-challenge/abc/",
            "/abc",
        ] {
            assert_eq!(challenges.file(other), None, "{other}");
        }
        let shown = challenges.handshake("B.example").unwrap();
        // The extension of RFC 8737, section 3: 1.3.6.1.5.5.7.1.31, critical, with an OCTET STRING of the digest.
        let extension = [&[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 1, 0x1f, 1, 1, 0xff, 4, 0x22, 4, 0x20], &[7; 32][..]].concat();
        assert!(shown.cert[0].windows(extension.len()).any(|part| part == extension));
        assert!(challenges.handshake("a.example").is_none(), "that one is a file");
        drop(first);
        assert_eq!(challenges.file(path), None);
        drop(second);
        assert!(challenges.handshake("b.example").is_none());
    }
}
