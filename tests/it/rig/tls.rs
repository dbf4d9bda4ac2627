//! A client of TLS that trusts one certificate.

use super::{SOON, secs};
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};

/// A connection after its handshake.
pub struct Encrypted {
    stream: StreamOwned<ClientConnection, TcpStream>,
    received: Vec<u8>,
}

/// Shakes hands with a server that has to prove this name by an authority, as PEM.
pub fn connect(address: SocketAddr, name: &str, authority: &str) -> Result<Encrypted, String> {
    connect_as(address, name, authority, None)
}

/// The same with a certificate of the client and its key, as PEM.
pub fn connect_as(
    address: SocketAddr,
    name: &str,
    authority: &str,
    identity: Option<(&str, &str)>,
) -> Result<Encrypted, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let config = match identity {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).map(Result::unwrap).collect();
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    };
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect_timeout(&address, secs(5)).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).map_err(|error| error.to_string())?;
    }
    Ok(Encrypted { stream, received: Vec::new() })
}

impl Encrypted {
    /// Sends bytes as they are, and reads until the end of a head; `None` when the connection ends before.
    pub fn ask(&mut self, head: &str) -> Option<String> {
        self.stream.write_all(head.as_bytes()).ok()?;
        let mut buffer = [0; 16 << 10];
        while !self.received.windows(4).any(|four| four == b"\r\n\r\n") {
            match self.stream.read(&mut buffer) {
                Ok(length @ 1..) => self.received.extend_from_slice(&buffer[..length]),
                // Also an alert: the server refuses the certificate.
                Ok(0) | Err(_) => return None,
            }
        }
        Some(String::from_utf8_lossy(&std::mem::take(&mut self.received)).into_owned())
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Asks with GET and reads the head of the answer.
    pub fn get(&mut self, target: &str, headers: &str) -> (u16, String) {
        let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        self.stream.write_all(head.as_bytes()).unwrap();
        loop {
            if let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.received.drain(..end + 4).collect();
                let head = String::from_utf8(head).unwrap();
                return (head.split(' ').nth(1).unwrap().parse().unwrap(), head);
            }
            assert!(self.receive(SOON), "no head of an answer");
        }
    }

    /// Waits for bytes of the body; `false` at the end of the connection.
    pub fn receive(&mut self, within: Duration) -> bool {
        self.stream.sock.set_read_timeout(Some(within)).unwrap();
        let mut buffer = [0; 64 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                self.received.extend_from_slice(&buffer[..length]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => false,
            Err(error) => panic!("cannot receive: {error}"),
        }
    }

    /// Waits until what was received of the body is as wished.
    pub fn take_until(&mut self, wish: impl Fn(&[u8]) -> bool) {
        let until = Instant::now() + SOON;
        while !wish(&self.received) {
            assert!(Instant::now() < until && self.receive(SOON), "{}", self.received.escape_ascii());
        }
    }

    /// Whether the session ends within this time, and says so before the socket does (RFC 8446, section 6.1).
    pub fn ends(&mut self, within: Duration) -> bool {
        let until = Instant::now() + within;
        self.stream.sock.set_read_timeout(Some(within)).unwrap();
        let mut buffer = [0; 16 << 10];
        while Instant::now() < until {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// Says that nothing follows, and leaves the socket open.
    pub fn end(&mut self) {
        self.stream.conn.send_close_notify();
        self.stream.flush().unwrap();
    }

    /// Changes the keys of both sides.
    pub fn update_keys(&mut self) {
        self.stream.conn.refresh_traffic_keys().unwrap();
        self.stream.flush().unwrap();
    }

    /// Forgets what was received, and returns it.
    pub fn taken(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.received)
    }
}
