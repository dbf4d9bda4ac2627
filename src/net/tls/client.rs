//! The side of a client: encrypts a connection to another server, whose certificate an authority must vouch for.

use super::Transport;
use std::{
    env, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector, TlsStream,
    rustls::{
        self, ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, InvalidDnsNameError, ServerName, pem::PemObject},
    },
};

/// Names a file with the authorities of the system, as OpenSSL has it.
const VARIABLE: &str = "SSL_CERT_FILE";
/// Where systems have them: Debian and NixOS, Fedora, openSUSE, Alpine.
const FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why a connection is not encrypted.
#[derive(Debug, thiserror::Error)]
pub enum TlsConnectError {
    /// The certificates of authorities cannot be read.
    #[error("cannot read the certificates of authorities in {}", path.display())]
    Authorities {
        /// Where they should be.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// There are none.
    #[error("there are no certificates of authorities in {}", .0.display())]
    NoAuthorities(PathBuf),
    /// The system has no list of authorities.
    #[error("the system has no list of authorities: install ca-certificates, or set {VARIABLE}")]
    NoList,
    /// The host cannot be in a certificate.
    #[error("the host can be in no certificate")]
    Host(#[from] InvalidDnsNameError),
    /// The library refuses.
    #[error("cannot use TLS")]
    Unfit(#[from] rustls::Error),
    /// The handshake failed: nobody vouches for the certificate, it is of another host, or no TLS is spoken there.
    #[error("TLS handshake failed")]
    Handshake(#[source] io::Error),
}

/// Encrypts a connection to this host, for which one of the authorities in a file must vouch, or one of the system. Reads the file: blocks
/// for milliseconds.
///
/// # Errors
/// See [`TlsConnectError`].
pub async fn connect(host: &str, socket: TcpStream, ca: Option<&Path>) -> Result<Transport, TlsConnectError> {
    let name = ServerName::try_from(host.to_owned())?;
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = builder.with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(authorities(ca)?).with_no_client_auth();
    let connected = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
    Ok(Transport::Tls(Box::new(TlsStream::Client(connected.map_err(TlsConnectError::Handshake)?))))
}

fn authorities(ca: Option<&Path>) -> Result<RootCertStore, TlsConnectError> {
    let of_system = || {
        let named = env::var_os(VARIABLE).map(PathBuf::from);
        named.or_else(|| FILES.iter().map(PathBuf::from).find(|file| file.exists()))
    };
    let path = ca.map(Path::to_owned).or_else(of_system).ok_or(TlsConnectError::NoList)?;
    let bytes = tokio::task::block_in_place(|| std::fs::read(&path));
    let bytes = bytes.map_err(|error| TlsConnectError::Authorities { path: path.clone(), error })?;
    let mut store = RootCertStore::empty();
    // A list of a system may have entries of kinds that are not known.
    store.add_parsable_certificates(CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok));
    if store.is_empty() { Err(TlsConnectError::NoAuthorities(path)) } else { Ok(store) }
}
