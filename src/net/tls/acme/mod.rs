//! Certificates by ACME (RFC 8555): an authority signs them when it has seen that the names lead to this server.
//!
//! [`Acme::keep`] is the task: it waits until `schedule` says that a certificate is due, has `order` get one through `client`, and leaves it
//! in the files of `store`, where the encryption of connections finds it like any other. `challenges` has what validators are shown
//! meanwhile. It never touches a connection, and a failure never ends what is served.

mod challenges;
mod client;
mod order;
mod schedule;
mod store;

pub use challenges::{ALPN, Challenges};

use super::{
    certificate::{Files, Loaded, TlsError},
    validity::Validity,
};
use crate::{
    config,
    telemetry::{CertificateStats, chain, random},
};
use jiff::Timestamp;
use order::OrderError;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use schedule::Schedule;
use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};
use store::Store;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_util::task::AbortOnDropHandle;

/// Interval between two looks at the clock. It may be set meanwhile.
const LOOK: Duration = Duration::from_millis(500);
/// How long the certificate lasts that serves until there is one. Nobody trusts it in any case.
const TEMPORARY_LASTS: Duration = Duration::from_secs(90 * 86_400);
/// Clocks of clients may be behind.
const EARLIER: Duration = Duration::from_secs(86_400);

/// The certificates of one part of a configuration.
pub struct Acme {
    wanted: config::Acme,
    store: Store,
    challenges: Challenges,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    schedule: Schedule,
    /// How long the last certificate is good, if it is for all names.
    held: Option<Validity>,
}

/// Why an order has no result.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error("the authority signed for other names: {}", .0.join(", "))]
    OtherNames(Vec<String>),
    #[error("the certificate cannot be used")]
    Unusable(#[source] TlsError),
    #[error("the certificate cannot be kept")]
    Unkept(#[source] TlsError),
    #[error("the authority sent no certificate")]
    NoCertificate,
}

impl Acme {
    /// With its files below the folder of the state. Blocking.
    ///
    /// # Errors
    /// When that folder cannot be used.
    pub fn open(wanted: &config::Acme, state: &Path) -> Result<Self, TlsError> {
        let store = Store::open(state, &wanted.directory)?;
        Ok(Self { wanted: wanted.clone(), store, challenges: Challenges::default(), progress: Mutex::default() })
    }

    /// The challenges that are open.
    pub fn challenges(&self) -> Challenges {
        self.challenges.clone()
    }

    /// The files that certificates come into, and the one that they have, or one that this server signs itself until there is another.
    /// Blocking.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn load(&self) -> Result<(Files, Loaded), TlsError> {
        let mut files = self.store.files();
        let loaded = match files.load() {
            Ok(loaded) => {
                if self.fits(&loaded) {
                    self.progress().held = loaded.validity;
                }
                loaded
            }
            Err(error) => {
                if !matches!(&error, TlsError::File { error, .. } if error.kind() == io::ErrorKind::NotFound) {
                    tracing::warn!(error = chain(&error), "certificate cannot be read: another one is ordered");
                }
                temporary(&self.wanted.names)?
            }
        };
        Ok((files, loaded))
    }

    /// Has a certificate ordered whenever one is due, for ever. `failed` gets the reason when that fails, and `None` when it succeeds.
    /// Cancel-safe.
    pub async fn keep(self: &Arc<Self>, stats: &CertificateStats, failed: impl Fn(Option<String>)) {
        loop {
            let now = (Instant::now(), SystemTime::now());
            if !{ self.progress() }.is_due(now) {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            let names = self.wanted.names.join(", ");
            tracing::info!(names, directory = self.wanted.directory, "certificate ordered");
            let acme = self.clone();
            // A task of its own: a panic over what an authority sends ends this order only.
            let order = AbortOnDropHandle::new(tokio::spawn(async move { acme.order().await }));
            let ordered = match order.await {
                Ok(Ok(validity)) => self.accept(validity),
                Ok(Err(error)) => Err(chain(&error)),
                Err(_) => Err("the order failed by a fault of this program: the log has the details".to_owned()),
            };
            stats.ordered(ordered.is_ok());
            match ordered {
                Ok(expires) => {
                    tracing::info!(names, expires, "certificate obtained");
                    failed(None);
                }
                Err(error) => {
                    let pause = pause(&mut self.progress().schedule);
                    let next = printed(SystemTime::now() + pause);
                    tracing::warn!(names, error, next, "certificate not obtained: the previous one is still used");
                    failed(Some(format!("no certificate by ACME: {error}")));
                }
            }
        }
    }

    /// The schedule continues from this certificate; when it expires, as a text.
    fn accept(&self, validity: Option<Validity>) -> Result<String, String> {
        let mut progress = self.progress();
        progress.held = validity;
        let expires = validity.map_or_else(|| "unknown".to_owned(), |validity| printed(validity.until));
        if progress.schedule.succeeded(validity, SystemTime::now()) {
            Ok(expires)
        } else {
            Err(format!("the new certificate is due for renewal already, it expires {expires}: is the clock right?"))
        }
    }

    /// Orders a certificate and keeps it; how long it is good.
    async fn order(&self) -> Result<Option<Validity>, KeepError> {
        let issued = order::order(&self.wanted, &self.store, &self.challenges).await?;
        let (chain, key) = (issued.chain.as_bytes(), issued.key.as_bytes());
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain).filter_map(Result::ok).collect();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| KeepError::NoCertificate)?;
        if chain.is_empty() {
            return Err(KeepError::NoCertificate);
        }
        let loaded = Loaded::new(chain, key, String::new()).map_err(KeepError::Unusable)?;
        if !self.fits(&loaded) {
            return Err(KeepError::OtherNames(loaded.names));
        }
        let kept = tokio::task::block_in_place(|| self.store.keep_certificate(&issued.chain, &issued.key));
        kept.map_err(KeepError::Unkept)?;
        Ok(loaded.validity)
    }

    fn fits(&self, loaded: &Loaded) -> bool {
        self.wanted.names.iter().all(|name| loaded.names.iter().any(|known| known.eq_ignore_ascii_case(name)))
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn is_due(&self, now: (Instant, SystemTime)) -> bool {
        self.schedule.is_due(self.held, now)
    }
}

/// How long to wait after a failure.
fn pause(schedule: &mut Schedule) -> Duration {
    let pause = schedule.failed(Instant::now(), random());
    // Tests do not wait for minutes.
    fail::fail_point!("acme-pause", |millis| {
        let pause = millis.and_then(|millis| millis.parse().ok()).map_or(pause, Duration::from_millis);
        schedule.pause(Instant::now(), pause);
        pause
    });
    pause
}

fn printed(time: SystemTime) -> String {
    Timestamp::try_from(time).map(|time| format!("{time:.0}")).unwrap_or_default()
}

/// A certificate for these names that signs itself.
fn temporary(names: &[String]) -> Result<Loaded, TlsError> {
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(names.to_vec())?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "voyandz, until an authority signs");
    let now = SystemTime::now();
    parameters.not_before = (now - EARLIER).into();
    parameters.not_after = (now + TEMPORARY_LASTS).into();
    let certificate = parameters.self_signed(&key)?;
    let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
    Loaded::new(vec![certificate.der().clone()], private, "self-signed, until there is one by ACME".to_owned())
}
