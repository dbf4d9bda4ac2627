//! Whether a client is still there while its answer is made. hyper does not look: a client may close its sending side
//! and still read.

use std::{
    future::pending,
    io::{self, ErrorKind},
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{io::Interest, net::TcpStream, sync::oneshot};

/// How long a client that closed its sending side may wait for its answer before it is taken for gone.
const HALF_CLOSED: Duration = Duration::from_secs(2);

/// One connection's socket for those who make its answer; a part of each request's extensions.
#[derive(Debug, Clone, Default)]
pub struct Departure(Arc<Mutex<Option<oneshot::Sender<io::Result<OwnedFd>>>>>);

impl Departure {
    /// Waits until the client is gone. Cancel-safe. Takes a descriptor, so that answers that are there at once should
    /// not ask.
    pub async fn wait(&self) {
        let (wish, socket) = oneshot::channel();
        *self.wish() = Some(wish);
        let Ok(Ok(socket)) = socket.await else { return pending().await };
        if watch(socket).await.is_err() {
            pending().await
        }
    }

    /// Hands over another handle of the socket, if anybody waits for it. To be called when the connection was polled.
    pub fn offer(&self, socket: &impl AsFd) {
        if let Some(wish) = self.wish().take() {
            let _ = wish.send(socket.as_fd().try_clone_to_owned());
        }
    }

    fn wish(&self) -> std::sync::MutexGuard<'_, Option<oneshot::Sender<io::Result<OwnedFd>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns when the peer of a socket is gone.
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
        // It said something more, which stays where it is, to be read by hyper.
        let nothing: io::Result<()> = socket.try_io(Interest::READABLE, || Err(ErrorKind::WouldBlock.into()));
        drop(nothing);
    }
}
