//! Notices a client that disconnects while its response is being prepared. hyper does not check: a client may close its
//! sending side and still read.

use std::{
    future::pending,
    io::{self, ErrorKind},
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{io::Interest, net::TcpStream, sync::oneshot};

/// How long a client that closed its sending side may wait for its response before it counts as disconnected.
const HALF_CLOSED: Duration = Duration::from_secs(2);

/// Watches the socket of one connection on behalf of a handler; an extension of each request.
#[derive(Debug, Clone, Default)]
pub struct DisconnectWatch(Arc<Mutex<Option<oneshot::Sender<io::Result<OwnedFd>>>>>);

impl DisconnectWatch {
    /// Waits until the client has disconnected. Cancel-safe. Takes a descriptor, so a handler that responds immediately
    /// should not call it.
    pub async fn wait(&self) {
        let (request, socket) = oneshot::channel();
        *self.request() = Some(request);
        let Ok(Ok(socket)) = socket.await else { return pending().await };
        if watch(socket).await.is_err() {
            pending().await
        }
    }

    /// Lends a duplicate of the socket to a handler that waits. To be called when the connection was polled.
    pub fn offer(&self, socket: &impl AsFd) {
        if let Some(request) = self.request().take() {
            let _ = request.send(socket.as_fd().try_clone_to_owned());
        }
    }

    fn request(&self) -> std::sync::MutexGuard<'_, Option<oneshot::Sender<io::Result<OwnedFd>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns when the peer of a socket has disconnected.
async fn watch(socket: OwnedFd) -> io::Result<()> {
    let socket = TcpStream::from_std(socket.into())?;
    loop {
        let ready = socket.ready(Interest::READABLE | Interest::ERROR).await?;
        if ready.is_error() || ready.is_write_closed() {
            return Ok(());
        }
        if ready.is_read_closed() {
            tokio::time::sleep(HALF_CLOSED).await;
            return Ok(());
        }
        // The client sent more, which stays in the socket for hyper.
        let nothing: io::Result<()> = socket.try_io(Interest::READABLE, || Err(ErrorKind::WouldBlock.into()));
        drop(nothing);
    }
}
