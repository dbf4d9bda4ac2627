//! A connection that speaks HTTP/2 (RFC 9113) from its first byte, with prior knowledge (section 3.3).

use super::{
    body::StallWatch,
    limits::{HEAD_WITHIN, MAX_HEAD},
};
use crate::{
    net::tls::Transport,
    output::shard::{KEEPALIVE, PROGRESS_WITHIN, UNSENT_LOW_WATER},
};
use bytes::Bytes;
use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    rt::Executor,
    server::conn::http2,
    service::Service,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use std::{
    convert::Infallible,
    error::Error,
    future::Future,
    io::Cursor,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, join};
use tokio_util::sync::CancellationToken;

/// The connection preface (section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Most concurrent responses on one connection.
const MAX_STREAMS: u32 = 100;
/// Most bytes of a body that hyper buffers; the rest stays in the ring, where it can be skipped.
const MAX_UNSENT: usize = 128 << 10;

tokio::task_local! {
    static STALL_WATCH: StallWatch;
}

/// The watch of the response that is being prepared.
pub fn stall_watch() -> StallWatch {
    STALL_WATCH.try_with(Clone::clone).unwrap_or_default()
}

/// Serves a connection to its end, or until `stop`. `early` is what was already read from it.
pub async fn serve<S, B>(transport: Transport, early: Bytes, service: S, stop: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let _ = SockRef::from(transport.socket()).set_tcp_notsent_lowat(UNSENT_LOW_WATER);
    match transport {
        Transport::Plain(socket) => {
            let (reader, writer) = socket.into_split();
            serve_io(join(Cursor::new(early).chain(reader), writer), service, stop).await;
        }
        // Nothing was read of it.
        Transport::Tls(stream) => serve_io(stream, service, stop).await,
    }
}

async fn serve_io<S, B>(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, service: S, stop: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let io = TokioIo::new(io);
    let streams = Streams::default();
    let max_head = u32::try_from(MAX_HEAD).unwrap_or(u32::MAX);
    let connection = http2::Builder::new(streams.clone())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(max_head)
        .max_send_buf_size(MAX_UNSENT)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(PROGRESS_WITHIN)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    // Protocol errors of clients are not logged.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = streams.idle() => {}
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection => {}
        () = streams.idle() => {}
    }
}

/// The responses of one connection: tasks that end when their client takes nothing.
#[derive(Debug, Clone, Default)]
struct Streams(Arc<AtomicUsize>);

/// Counts one response while it is sent.
struct OpenStream(Arc<AtomicUsize>);

impl Streams {
    fn open(&self) -> OpenStream {
        self.0.fetch_add(1, Ordering::Relaxed);
        OpenStream(self.0.clone())
    }

    /// Returns when no response was sent for as long as a client may take for the head of a request. Cancel-safe.
    async fn idle(&self) {
        let mut quiet = 0;
        while quiet < 2 {
            tokio::time::sleep(HEAD_WITHIN / 2).await;
            quiet = if self.0.load(Ordering::Relaxed) > 0 { 0 } else { quiet + 1 };
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let (open, stall_watch) = (self.open(), StallWatch::default());
        let watched = stall_watch.clone();
        tokio::spawn(STALL_WATCH.scope(stall_watch, async move {
            let _open = open;
            // The stream is reset when its task ends.
            tokio::select! {
                () = stream => {}
                () = watched.stalled_for(PROGRESS_WITHIN) => {}
            }
        }));
    }
}
