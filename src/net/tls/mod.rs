//! TLS on the port of the server: a connection whose first byte begins a handshake is encrypted, others are not.
//!
//! [`Tls`] holds the certificate of the moment, which is exchanged without touching connections: `certificate` reads files,
//! `own` makes certificates by an authority of this server, `acme` has others sign them. [`Transport`] is a connection of either kind.

mod acme;
pub mod authorities;
mod certificate;
pub mod client;
pub mod client_names;
mod der;
mod own;
pub mod records;
mod transport;
mod validity;

pub use acme::{ALPN as ACME, Challenges};
pub use certificate::TlsError;
pub use transport::Transport;

use crate::{config, telemetry::CertificateStats};
use acme::Acme;
use certificate::{ClientAuthority, Files, Loaded};
use own::Authority;
use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
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
    /// Orders what the maker finds in files.
    acme: Option<Arc<Acme>>,
}

/// Where the next certificate comes from.
enum Maker {
    Files(Files),
    Own(Authority),
}

/// The certificate of the moment.
#[derive(Debug)]
struct Current {
    used: Mutex<Used>,
    /// What validators are shown instead.
    challenges: Option<Challenges>,
}

#[derive(Debug)]
struct Used {
    key: Arc<CertifiedKey>,
    /// When it is over, where that can be read.
    until: Option<SystemTime>,
}

impl From<Loaded> for Used {
    fn from(loaded: Loaded) -> Self {
        Self { key: loaded.key, until: loaded.validity.map(|validity| validity.until) }
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let of_challenge = self.challenges.as_ref().and_then(|challenges| challenges.certificate(&hello));
        of_challenge.unwrap_or_else(|| Some(lock(&self.used).key.clone()))
    }
}

/// Why the newest certificate is not used. Files and orders fail each on their own.
struct Reasons<F> {
    report: F,
    known: Mutex<KnownReasons>,
}

#[derive(Default)]
struct KnownReasons {
    files: Option<String>,
    orders: Option<String>,
}

impl<F: Fn(Option<String>)> Reasons<F> {
    fn change(&self, change: impl FnOnce(&mut KnownReasons)) {
        let mut known = lock(&self.known);
        change(&mut known);
        (self.report)(known.files.clone().or_else(|| known.orders.clone()));
    }
}

impl Tls {
    /// Reads the certificate, or makes one. `state` is the folder of what survives a restart. Blocks for milliseconds.
    ///
    /// # Errors
    /// When it cannot be had, or does not fit its key.
    pub fn load(wanted: &config::Tls, state: Option<&Path>) -> Result<Self, TlsError> {
        let (mut authority, mut acme) = (None, None);
        let (maker, loaded) = match &wanted.certificate {
            config::CertificateSource::Files { certificate, key } => {
                let mut files = Files::new(certificate.clone(), key.clone());
                let loaded = files.load()?;
                (Maker::Files(files), loaded)
            }
            config::CertificateSource::Own { folder, names } => {
                let mut own = Authority::open(folder, names)?;
                let loaded = own.issue(SystemTime::now())?;
                authority = Some(own.certificate().to_owned());
                tracing::info!(fingerprint = own.fingerprint(), "own certificate authority: install /api/ca.pem once");
                (Maker::Own(own), loaded)
            }
            config::CertificateSource::Acme(wanted) => {
                let opened = Acme::open(wanted, state.ok_or(TlsError::NoState)?)?;
                let (files, loaded) = opened.load()?;
                acme = Some(Arc::new(opened));
                (Maker::Files(files), loaded)
            }
        };
        let line = loaded.line.clone();
        let challenges = acme.as_deref().map(Acme::challenges);
        let current = Arc::new(Current { used: Mutex::new(loaded.into()), challenges });
        let mut clients = wanted.clients.clone().map(ClientAuthority::new);
        let acceptor = Mutex::new(acceptor(&current, clients.as_mut())?);
        tracing::info!(certificate = line, "TLS");
        let (wanted, clients, maker) = (wanted.clone(), clients.map(Mutex::new), Mutex::new(maker));
        Ok(Self(Arc::new(Inner { wanted, current, acceptor, clients, maker, authority, acme })))
    }

    /// Whether both are the same one.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The challenges that validators of an authority come for, where certificates come by ACME.
    pub fn challenges(&self) -> Option<&Challenges> {
        self.0.current.challenges.as_ref()
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

    /// Takes new certificates until `stop`, and orders them where they come by ACME. What fails changes nothing; `failed` gets the reason,
    /// and `None` when all is well again. Cancel-safe: an order that is under way begins from its start.
    pub async fn follow(
        self,
        stop: CancellationToken,
        stats: Arc<CertificateStats>,
        failed: impl Fn(Option<String>) + Send + Sync,
    ) {
        let reasons = Reasons { report: failed, known: Mutex::default() };
        let orders = async {
            if let Some(acme) = &self.0.acme {
                acme.keep(&stats, |reason| reasons.change(|known| known.orders = reason)).await;
            }
        };
        let files = self.take(&stats, |reason| reasons.change(|known| known.files = reason));
        stop.run_until_cancelled(async { tokio::join!(files, orders) }).await;
    }

    async fn take(&self, stats: &CertificateStats, failed: impl Fn(Option<String>) + Send + Sync) {
        let mut was_bad = false;
        loop {
            stats.used(lock(&self.0.current.used).until);
            tokio::time::sleep(LOOK).await;
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
        let line = loaded.line.clone();
        *lock(&self.0.current.used) = loaded.into();
        Ok(Some(line))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("wanted", &self.0.wanted).finish_non_exhaustive()
    }
}

/// What shakes hands, with the certificate of the moment, and asks clients for theirs where there are authorities for them. Blocks.
fn acceptor(current: &Arc<Current>, clients: Option<&mut ClientAuthority>) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(records::provider());
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
    let of_validators = current.challenges.is_some().then_some(ACME);
    config.alpn_protocols = PROTOCOLS.into_iter().chain(of_validators).map(<[u8]>::to_vec).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a connection that begins with this byte begins a handshake.
pub fn is_handshake(first: u8) -> bool {
    first == HANDSHAKE
}
