//! Viewers over HTTP/1.1, with and without TLS, each on a connection of its own; and what the ciphers cost alone.

use crate::crowd::{Taken, get};
use anyhow::Context;
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, DigitallySignedStruct, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::aws_lc_rs::default_provider,
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

/// Bytes of a record of TLS at most (RFC 8446, section 5.1).
const RECORD: usize = 16 << 10;
/// How long a cipher runs.
const CIPHER: Duration = Duration::from_millis(300);

/// Watches `/live`, with or without TLS.
///
/// # Errors
/// When it is refused or cut off.
pub async fn watch(address: SocketAddr, connector: Option<TlsConnector>, taken: Arc<Taken>) -> anyhow::Result<()> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    match connector {
        None => get(socket, (address, "/live"), &taken).await,
        Some(connector) => {
            let socket = connector.connect(ServerName::IpAddress(address.ip().into()), socket).await?;
            get(socket, (address, "/live"), &taken).await
        }
    }
}

/// Seconds of a processor for a gigabyte of records, by cipher.
///
/// # Errors
/// When a key cannot be made.
pub fn ciphers() -> anyhow::Result<[(&'static str, f64); 2]> {
    Ok([("AES-128-GCM", seconds_per_gb(&AES_128_GCM)?), ("AES-256-GCM", seconds_per_gb(&AES_256_GCM)?)])
}

fn seconds_per_gb(cipher: &'static Algorithm) -> anyhow::Result<f64> {
    let key = UnboundKey::new(cipher, &[7; 32][..cipher.key_len()]).ok().context("no key")?;
    let (key, mut record, mut bytes) = (LessSafeKey::new(key), vec![0; RECORD], 0);
    let began = Instant::now();
    while began.elapsed() < CIPHER {
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let _tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut record).ok().context("not sealed")?;
        bytes += record.len();
    }
    Ok(began.elapsed().as_secs_f64() / (bytes as f64 / 1e9))
}

/// Connects as one that asks nobody whose certificate it is.
///
/// # Errors
/// When the versions of TLS do not fit.
pub fn trusting() -> anyhow::Result<TlsConnector> {
    let builder =
        ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions()?;
    let config = builder.dangerous().with_custom_certificate_verifier(Arc::new(Trusting)).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, tokio_rustls::rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, tokio_rustls::rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, tokio_rustls::rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
