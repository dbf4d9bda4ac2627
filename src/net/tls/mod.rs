//! TLS on the port of the server: a connection whose first byte begins a handshake is encrypted, others are not.
//!
//! [`Tls`] holds the certificate of the moment, which is exchanged without touching connections: `certificate` reads files,
//! `own` makes certificates by an authority of this server. [`Transport`] is a connection of either kind.

mod certificate;
pub mod client;
pub mod client_names;
mod own;
mod transport;

pub use certificate::TlsError;
pub use transport::Transport;

use crate::config;
use certificate::{ClientAuthority, Files, Loaded};
use own::Authority;
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        CipherSuite, ServerConfig,
        crypto::{CryptoProvider, aws_lc_rs},
        server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
        sign::CertifiedKey,
    },
};
use tokio_util::sync::CancellationToken;

/// The first byte of a handshake (RFC 8446, section 5.1); no method of HTTP begins with it.
const HANDSHAKE: u8 = 0x16;
/// What a client may speak over TLS (RFC 7301), best first.
const PROTOCOLS: [&[u8]; 2] = [H2, b"http/1.1"];
/// HTTP/2, as ALPN names it.
pub const H2: &[u8] = b"h2";
/// Interval between two looks at the files of a certificate. A look is a `stat` each.
const LOOK: Duration = Duration::from_millis(500);

/// The encryption of one configuration. Clones are the same.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    wanted: config::Tls,
    current: Arc<Current>,
    /// Exchanged with the authorities of clients.
    acceptor: Mutex<TlsAcceptor>,
    clients: Option<Mutex<ClientAuthority>>,
    maker: Mutex<Maker>,
    authority: Option<String>,
}

/// Where the next certificate comes from.
enum Maker {
    Files(Files),
    Own(Authority),
}

/// The certificate of the moment.
#[derive(Debug)]
struct Current(Mutex<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(lock(&self.0).clone())
    }
}

impl Tls {
    /// Reads the certificate, or makes one. Blocks for milliseconds.
    ///
    /// # Errors
    /// When it cannot be had, or does not fit its key.
    pub fn load(wanted: &config::Tls) -> Result<Self, TlsError> {
        let (maker, Loaded { key, line }, authority) = match &wanted.certificate {
            config::CertificateSource::Files { certificate, key } => {
                let mut files = Files::new(certificate.clone(), key.clone());
                let loaded = files.load()?;
                (Maker::Files(files), loaded, None)
            }
            config::CertificateSource::Own { folder, names } => {
                let mut authority = Authority::open(folder, names)?;
                let loaded = authority.issue(SystemTime::now())?;
                let certificate = authority.certificate().to_owned();
                tracing::info!(
                    fingerprint = authority.fingerprint(),
                    "own certificate authority: install /api/ca.pem once"
                );
                (Maker::Own(authority), loaded, Some(certificate))
            }
        };
        let current = Arc::new(Current(Mutex::new(key)));
        let mut clients = wanted.clients.clone().map(ClientAuthority::new);
        let acceptor = Mutex::new(acceptor(&current, clients.as_mut())?);
        tracing::info!(certificate = line, "TLS");
        let (wanted, clients, maker) = (wanted.clone(), clients.map(Mutex::new), Mutex::new(maker));
        Ok(Self(Arc::new(Inner { wanted, current, acceptor, clients, maker, authority })))
    }

    /// Whether it is that of this part of a configuration.
    pub fn is_of(&self, wanted: &config::Tls) -> bool {
        self.0.wanted.certificate == wanted.certificate && self.0.wanted.clients == wanted.clients
    }

    /// The certificate of the authority of this server, for those who are to trust it, as PEM.
    pub fn authority(&self) -> Option<&str> {
        self.0.authority.as_deref()
    }

    /// Accepts handshakes.
    pub fn acceptor(&self) -> TlsAcceptor {
        lock(&self.0.acceptor).clone()
    }

    /// Takes new certificates until `stop`. A bad one changes nothing; `failed` gets the reason, and `None` when all is well again.
    pub async fn follow(self, stop: CancellationToken, failed: impl Fn(Option<String>) + Send) {
        let mut was_bad = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let tls = self.clone();
            let Ok(renewed) = tokio::task::spawn_blocking(move || tls.renew()).await else { continue };
            match renewed {
                Ok(None) => {}
                Ok(Some(line)) => {
                    was_bad = false;
                    failed(None);
                    tracing::info!(certificate = line, "certificate renewed");
                }
                Err(error) => {
                    let error = crate::telemetry::chain(&error);
                    failed(Some(error.clone()));
                    if !was_bad {
                        tracing::warn!(error, "certificate not renewed: the previous one is still used");
                    }
                    was_bad = true;
                }
            }
        }
    }

    /// Takes the next certificate, if there is another one; a line about it.
    fn renew(&self) -> Result<Option<String>, TlsError> {
        if let Some(clients) = &self.0.clients {
            let mut clients = lock(clients);
            if clients.changed() {
                *lock(&self.0.acceptor) = acceptor(&self.0.current, Some(&mut clients))?;
                return Ok(Some(format!("authorities of clients in {}", clients.path().display())));
            }
        }
        let loaded = match &mut *lock(&self.0.maker) {
            Maker::Files(files) if files.changed() => files.load()?,
            Maker::Files(_) => return Ok(None),
            Maker::Own(authority) => {
                if !authority.is_due(SystemTime::now()) {
                    return Ok(None);
                }
                authority.issue(SystemTime::now())?
            }
        };
        *lock(&self.0.current.0) = loaded.key;
        Ok(Some(loaded.line))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("wanted", &self.0.wanted).finish_non_exhaustive()
    }
}

/// What shakes hands, with the certificate of the moment, and asks clients for theirs where there are authorities for them. Blocks.
fn acceptor(current: &Arc<Current>, clients: Option<&mut ClientAuthority>) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(TlsError::Unfit)?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let roots = Arc::new(clients.load()?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).allow_unauthenticated().build();
            builder.with_client_cert_verifier(verifier.map_err(TlsError::Clients)?)
        }
    };
    let mut config = builder.with_cert_resolver(current.clone());
    // Many players want the dearer AES-256 first.
    config.ignore_client_order = true;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The cryptography of all connections. AES-128 goes first: it costs a quarter less than AES-256, and is as good for what this serves.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    // A stable sort: the rest stays in its order.
    provider.cipher_suites.sort_by_key(|suite| {
        let is_cheapest = matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        );
        // TLS 1.3 stays before 1.2.
        (suite.tls13().is_none(), !is_cheapest)
    });
    provider
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a connection that begins with this byte begins a handshake.
pub fn is_handshake(first: u8) -> bool {
    first == HANDSHAKE
}
