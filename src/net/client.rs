//! Requests of our own over HTTP/1.1, encrypted or not: to receivers of hooks, and of the command line to a server. One connection a
//! request; no redirects, no cookies, no proxies.

use super::tls::authorities::{TrustError, client_config};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use std::{io, path::Path, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig,
        pki_types::{InvalidDnsNameError, ServerName},
    },
};

/// Makes requests. Clones are the same.
#[derive(Clone)]
pub struct HttpClient(Result<Arc<ClientConfig>, Arc<TrustError>>);

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HttpClient")
    }
}

/// A response whose body is still to be read. The connection ends when this is dropped.
#[derive(Debug)]
pub struct Exchange {
    /// The response.
    pub response: Response<Incoming>,
    _connection: Connection,
}

/// A connection in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

#[derive(Debug)]
struct Connection(JoinHandle<()>);

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It is no address of HTTP.
    #[error("`{0}` is no address like https://host/path")]
    Address(String),
    /// There is no connection.
    #[error("cannot connect to {host}")]
    Connect {
        /// Where to.
        host: String,
        /// What the system says.
        source: io::Error,
    },
    /// The system has no authorities that could vouch for a server.
    #[error(transparent)]
    Trust(Arc<TrustError>),
    /// No authority vouches for the server, or no TLS is spoken there.
    #[error("TLS handshake with {host} failed")]
    Tls {
        /// Where to.
        host: String,
        /// What is wrong.
        source: io::Error,
    },
    /// The name cannot be in a certificate.
    #[error("`{0}` cannot be the name of a server")]
    Name(String, #[source] InvalidDnsNameError),
    /// The connection is no HTTP, or ended too early.
    #[error("no response")]
    Protocol(#[from] hyper::Error),
}

impl HttpClient {
    /// A client that trusts the authorities of the system. Without any, only plain HTTP works, which is all that many need. Blocking.
    pub fn of_system() -> Self {
        Self(client_config(None).map(Arc::new).map_err(Arc::new))
    }

    /// A client that trusts the authorities in a file alone, or those of the system. Blocking.
    ///
    /// # Errors
    /// When the file is of no use, see [`TrustError`].
    pub fn new(file: Option<&Path>) -> Result<Self, TrustError> {
        match file {
            Some(_) => Ok(Self(Ok(Arc::new(client_config(file)?)))),
            None => Ok(Self::of_system()),
        }
    }

    /// Sends a request over a Unix socket. Cancel-safe.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn send_over(&self, socket: &Path, mut request: Request<Full<Bytes>>) -> Result<Exchange, ClientError> {
        let uri = request.uri().clone();
        let failed = |source| ClientError::Connect { host: socket.display().to_string(), source };
        let connected = UnixStream::connect(socket).await.map_err(failed)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().map_err(|_| ClientError::Address(uri.to_string()))?;
        request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
        exchange(connected, request).await
    }

    /// Sends a request, whose address is absolute. Cancel-safe.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Exchange, ClientError> {
        let uri = request.uri().clone();
        let connected = self.connect(target(&uri)?).await?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().map_err(|_| ClientError::Address(uri.to_string()))?;
        if let Some(authority) = uri.authority()
            && let Ok(value) = HeaderValue::from_str(authority.as_str())
        {
            request.headers_mut().insert(header::HOST, value);
        }
        exchange(connected, request).await
    }

    /// Connects to this host and port, encrypted or not. Cancel-safe.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn connect(
        &self,
        (host, port, is_encrypted): (&str, u16, bool),
    ) -> Result<Box<dyn ByteStream>, ClientError> {
        let failed = |source| ClientError::Connect { host: format!("{host}:{port}"), source };
        let refused = |source| ClientError::Tls { host: format!("{host}:{port}"), source };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let socket = TcpStream::connect((bare, port)).await.map_err(failed)?;
        if !is_encrypted {
            return Ok(Box::new(socket));
        }
        let config = self.0.as_ref().map_err(|error| ClientError::Trust(error.clone()))?;
        let name = ServerName::try_from(bare.to_owned()).map_err(|error| ClientError::Name(bare.to_owned(), error))?;
        Ok(Box::new(TlsConnector::from(config.clone()).connect(name, socket).await.map_err(refused)?))
    }
}

/// The host, port and encryption of an address.
///
/// # Errors
/// When it is none of HTTP or WebSockets.
pub fn target(uri: &Uri) -> Result<(&str, u16, bool), ClientError> {
    let bad = || ClientError::Address(uri.to_string());
    let is_encrypted = match uri.scheme_str() {
        Some("http" | "ws") => false,
        Some("https" | "wss") => true,
        _ => return Err(bad()),
    };
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(bad)?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(bad());
    }
    Ok((host, uri.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 }), is_encrypted))
}

async fn exchange(
    socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Exchange, ClientError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let connection = Connection(tokio::spawn(async move {
        let _ = connection.await;
    }));
    let response = sender.send_request(request).await?;
    Ok(Exchange { response, _connection: connection })
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        let check = |text: &str, expect: Option<(&str, u16, bool)>| {
            assert_eq!(target(&text.parse().unwrap()).ok(), expect, "{text}");
        };
        check("http://a/x?y", Some(("a", 80, false)));
        check("https://a.example:8443", Some(("a.example", 8443, true)));
        check("http://[::1]:1/", Some(("[::1]", 1, false)));
        check("wss://a/x", Some(("a", 443, true)));
        check("ftp://a/", None);
        check("/a", None);
        check("http://u:p@a/", None);
    }
}
