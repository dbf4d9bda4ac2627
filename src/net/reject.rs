//! A connection beyond the limits: it gets a 503 and is closed.

use super::limits::LimitReached;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::timeout,
};

/// Time for the response.
const WITHIN: Duration = Duration::from_secs(1);

/// A connection beyond the limits.
#[derive(Debug)]
pub struct RejectedConnection {
    /// The connection and a permit to respond; `None` when too many get a response already, so that it is closed immediately.
    pub(super) responder: Option<(TcpStream, OwnedSemaphorePermit)>,
    /// Which limit is reached.
    pub reason: LimitReached,
}

impl RejectedConnection {
    /// Responds with 503 and closes the connection; takes at most a second.
    pub async fn reject(self) {
        let Some((mut socket, _permit)) = self.responder else { return };
        let exchange = async {
            // Closing a socket with unread data resets the connection, and its peer may never see the response.
            let mut scratch = [0; 4096];
            let _ = socket.read(&mut scratch).await?;
            socket.write_all(response(self.reason).as_bytes()).await?;
            socket.shutdown().await?;
            while socket.read(&mut scratch).await? > 0 {}
            std::io::Result::Ok(())
        };
        let _ = timeout(WITHIN, exchange).await;
    }
}

fn response(reason: LimitReached) -> String {
    let body = format!("{reason}\n");
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nConnection: close\r\nCache-Control: no-store\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
