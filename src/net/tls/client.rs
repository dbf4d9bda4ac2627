//! The side of a client: encrypts a connection to another server, whose certificate an authority must vouch for.

use super::{
    Transport,
    authorities::{TrustError, client_config},
};
use std::{io, path::Path, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector, TlsStream,
    rustls::pki_types::{InvalidDnsNameError, ServerName},
};

/// Why a connection is not encrypted.
#[derive(Debug, thiserror::Error)]
pub enum TlsConnectError {
    /// Nobody can be trusted.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The host cannot be in a certificate.
    #[error("the host can be in no certificate")]
    Host(#[from] InvalidDnsNameError),
    /// The handshake failed: no authority vouches for the certificate, it is of another host, or no TLS is spoken there.
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
    let config = tokio::task::block_in_place(|| client_config(ca))?;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
    Ok(Transport::Tls(Box::new(TlsStream::Client(connected.map_err(TlsConnectError::Handshake)?))))
}
