//! Certificates in files, as PEM.

use super::{client_names::names, validity::Validity};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio_rustls::rustls::{
    self, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::CertifiedKey,
};

/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A file has no certificate or key as PEM.
    #[error("{} has no {what} as PEM", path.display())]
    Pem {
        /// Which one.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
        /// Why.
        #[source]
        error: pem::Error,
    },
    /// The certificate and the key do not fit, or are of a kind that is not known.
    #[error("the certificate and its key are not usable together")]
    Unfit(#[source] rustls::Error),
    /// The authorities of clients cannot be used.
    #[error("cannot ask clients for certificates")]
    Clients(#[source] rustls::server::VerifierBuilderError),
    /// The authority cannot make a certificate.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// There is no folder that keeps what comes by ACME.
    #[error("`tls.acme` needs a folder that keeps its account and certificates: set `statedir`")]
    NoState,
    /// The authority was made for other names.
    #[error(
        "the authority in {} was made for other names: remove the folder to make a new one, which has to be installed again",
        folder.display()
    )]
    Names {
        /// Its folder.
        folder: PathBuf,
    },
}

/// A certificate that can be used.
pub struct Loaded {
    /// With its key.
    pub key: Arc<CertifiedKey>,
    /// What the log says of it.
    pub line: String,
    /// From when to when it is good, where that can be read.
    pub validity: Option<Validity>,
    /// The names that it is for.
    pub names: Vec<String>,
}

impl Loaded {
    /// Puts a certificate and its key together.
    ///
    /// # Errors
    /// When they do not fit.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        line: String,
    ) -> Result<Self, TlsError> {
        let leaf = chain.first().map(AsRef::as_ref).unwrap_or_default();
        let (validity, names) = (Validity::of(leaf), names(leaf));
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(TlsError::Unfit)?;
        Ok(Self { key: Arc::new(key), line, validity, names })
    }
}

/// The files of a certificate and its key.
pub struct Files {
    certificate: PathBuf,
    key: PathBuf,
    /// As they were when they were read last, whatever came of it.
    stamps: Option<[Stamp; 2]>,
}

/// Differs after a file was written or replaced: device and inode, length, time of change.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl Files {
    /// These files, which are not read yet.
    pub fn new(certificate: PathBuf, key: PathBuf) -> Self {
        Self { certificate, key, stamps: None }
    }

    /// Whether a file changed since it was read.
    pub fn changed(&self) -> bool {
        self.stamps != Some(self.look())
    }

    /// Reads both.
    ///
    /// # Errors
    /// When they are no certificate and its key.
    pub fn load(&mut self) -> Result<Loaded, TlsError> {
        // Before they are read: what is written meanwhile is a change.
        self.stamps = Some(self.look());
        let (certificate, key) = (read(&self.certificate)?, read(&self.key)?);
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&certificate).collect();
        let chain = chain.and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) });
        let of = |path: &Path, what, error| TlsError::Pem { path: path.to_owned(), what, error };
        let chain = chain.map_err(|error| of(&self.certificate, "certificate", error))?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| of(&self.key, "private key", error))?;
        Loaded::new(chain, key, self.certificate.display().to_string())
    }

    fn look(&self) -> [Stamp; 2] {
        [&self.certificate, &self.key].map(|path| stamp(path))
    }
}

/// The file with the authorities that vouch for clients.
pub struct ClientAuthority {
    path: PathBuf,
    stamp: Option<Stamp>,
}

impl ClientAuthority {
    /// This file, which is not read yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, stamp: None }
    }

    /// Which file it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it changed since it was read.
    pub fn changed(&self) -> bool {
        self.stamp != Some(stamp(&self.path))
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it has no certificate.
    pub fn load(&mut self) -> Result<RootCertStore, TlsError> {
        self.stamp = Some(stamp(&self.path));
        let bytes = read(&self.path)?;
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok));
        if store.is_empty() {
            let error = pem::Error::NoItemsFound;
            return Err(TlsError::Pem { path: self.path.clone(), what: "certificate", error });
        }
        Ok(store)
    }
}

fn stamp(path: &Path) -> Stamp {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino(), file.len(), file.ctime(), file.ctime_nsec()))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let of = |error| TlsError::File { path: path.to_owned(), error };
    if fs::metadata(path).map_err(of)?.len() > MAX_FILE {
        return Err(of(io::Error::other("the file is larger than 1 MiB")));
    }
    fs::read(path).map_err(of)
}

/// Writes a file that only the server may read, whole or not at all.
///
/// # Errors
/// What the system says.
pub fn write(path: &Path, text: &str) -> Result<(), TlsError> {
    let new: PathBuf = path.with_extension("new");
    let written = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    written().map_err(|error| TlsError::File { path: path.to_owned(), error })
}
