//! The authorities that must vouch for the certificates of other servers.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio_rustls::rustls::{
    self, ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Names a file with the authorities of the system, as OpenSSL has it.
const VARIABLE: &str = "SSL_CERT_FILE";
/// Where systems have them: Debian and NixOS, Fedora, others with a folder of OpenSSL, openSUSE, Alpine.
const FILES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why nobody can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The certificates of authorities cannot be read.
    #[error("cannot read the certificates of authorities in {}", path.display())]
    Unreadable {
        /// Where they should be.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// There are none.
    #[error("there are no certificates of authorities in {}", .0.display())]
    Empty(PathBuf),
    /// The system has no list of authorities.
    #[error("the system has no list of authorities: install ca-certificates, or set {VARIABLE}")]
    NoList,
    /// The library refuses.
    #[error("cannot use TLS")]
    Unfit(#[from] rustls::Error),
}

/// The settings of a client that trusts the authorities in a file, or those of the system. Reads the file: blocks for milliseconds.
///
/// # Errors
/// See [`TrustError`].
pub fn client_config(file: Option<&Path>) -> Result<ClientConfig, TrustError> {
    let roots = authorities(file)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    Ok(builder.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth())
}

fn authorities(file: Option<&Path>) -> Result<RootCertStore, TrustError> {
    let of_system = || {
        let named = env::var_os(VARIABLE).map(PathBuf::from);
        named.or_else(|| FILES.iter().map(PathBuf::from).find(|file| file.exists()))
    };
    let path = file.map(Path::to_owned).or_else(of_system).ok_or(TrustError::NoList)?;
    let bytes = fs::read(&path).map_err(|error| TrustError::Unreadable { path: path.clone(), error })?;
    let mut store = RootCertStore::empty();
    // A list of a system may have entries of kinds that are not known.
    store.add_parsable_certificates(CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok));
    if store.is_empty() { Err(TrustError::Empty(path)) } else { Ok(store) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_authorities_is_no_list() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        assert!(matches!(client_config(Some(&file)), Err(TrustError::Unreadable { .. })));
        fs::write(&file, "no certificate").unwrap();
        assert!(matches!(client_config(Some(&file)), Err(TrustError::Empty(path)) if path == file));
    }
}
