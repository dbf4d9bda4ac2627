//! Viewers over HTTP/1.1, with and without TLS, each on a connection of its own; and what the ciphers cost alone.

use crate::{server::Server, usage};
use anyhow::{Context, ensure};
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
    task::JoinSet,
    time::sleep,
};
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

/// What came of it.
pub struct Outcome {
    /// Bytes that all viewers took together.
    pub bytes: u64,
    /// Time of the server on a processor.
    pub cpu: Duration,
}

/// Has `viewers` watch `/live`, and measures for `window` when all of them have begun.
///
/// # Errors
/// When one of them is refused or cut off.
pub fn put(server: &mut Server, viewers: usize, is_encrypted: bool, window: Duration) -> anyhow::Result<Outcome> {
    let pid = server.pid();
    let connector = TlsConnector::from(Arc::new(trusting()?));
    Runtime::new()?.block_on(async {
        let mut crowd = JoinSet::new();
        let (bytes, begun) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        for _ in 0..viewers {
            let connector = is_encrypted.then(|| connector.clone());
            crowd.spawn(watch(server.address, connector, bytes.clone(), begun.clone()));
        }
        while begun.load(Ordering::Relaxed) < viewers as u64 && crowd.len() == viewers {
            sleep(Duration::from_millis(5)).await;
        }
        sleep(Duration::from_secs(1)).await;
        let (cpu, before) = (usage::cpu(pid)?, bytes.load(Ordering::Relaxed));
        sleep(window).await;
        let (cpu, bytes) = (usage::cpu(pid)?.saturating_sub(cpu), bytes.load(Ordering::Relaxed) - before);
        if let Some(ended) = crowd.try_join_next() {
            ended?.context("a viewer")?;
        }
        ensure!(crowd.len() == viewers, "a viewer ended");
        Ok(Outcome { bytes, cpu })
    })
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

async fn watch(
    address: SocketAddr,
    connector: Option<TlsConnector>,
    bytes: Arc<AtomicU64>,
    begun: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    match connector {
        None => take(socket, address, &bytes, &begun).await,
        Some(connector) => {
            let socket = connector.connect(ServerName::IpAddress(address.ip().into()), socket).await?;
            take(socket, address, &bytes, &begun).await
        }
    }
}

async fn take(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
    bytes: &AtomicU64,
    begun: &AtomicU64,
) -> anyhow::Result<()> {
    socket.write_all(format!("GET /live HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let (mut buffer, mut is_first) = (vec![0; 64 << 10], true);
    loop {
        let length = socket.read(&mut buffer).await?;
        ensure!(length > 0, "cut off");
        if std::mem::take(&mut is_first) {
            ensure!(buffer.starts_with(b"HTTP/1.1 200 "), "{}", buffer[..length].escape_ascii());
            begun.fetch_add(1, Ordering::Relaxed);
        }
        bytes.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// A client that asks nobody whose certificate it is.
fn trusting() -> anyhow::Result<ClientConfig> {
    let builder =
        ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(Trusting)).with_no_client_auth())
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
