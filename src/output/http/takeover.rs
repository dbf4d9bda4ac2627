//! The takeover of a live connection: hyper writes the head of the response, a shard writes the packets.

use super::{access_log::RequestLog, take_once::TakeOnce};
use crate::{
    output::shard::session::Account,
    source::demand::Lease,
    stream::{Reader, Viewers},
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// A viewer's reader of a stream, and the lease that keeps the stream running.
#[derive(Debug)]
pub struct LiveStream {
    /// Its position in the stream.
    pub reader: Reader,
    /// Keeps the stream running.
    pub lease: Lease,
    /// The viewers of the stream, which count it.
    pub viewers: Viewers,
    /// Packets of this duration are written together.
    pub batch: Duration,
    /// Whether the heads of motion JPEG parts are sent early.
    pub early_heads: bool,
}

/// Marks a response as live; the code that writes the response takes the stream out of it.
pub type LiveResponse = TakeOnce<LiveStream>;

/// A viewer whose connection is taken over once the head of its response is sent.
#[derive(Debug)]
pub struct TakenConnection {
    /// Its stream.
    pub stream: LiveStream,
    /// Its line in the log.
    pub log: RequestLog,
    /// Whether the body is sent in chunks (HTTP/1.1) or ends with the connection (HTTP/1.0).
    pub chunked: bool,
}

/// The progress of the head of a live response on one connection.
#[derive(Debug, Clone, Default)]
pub struct Takeover(Arc<Mutex<Stage>>);

#[derive(Debug, Default)]
enum Stage {
    /// No live response.
    #[default]
    None,
    /// hyper has the response.
    Responded(TakenConnection),
    /// hyper has encoded the head and polled the body.
    Encoded(TakenConnection),
    /// All that hyper had is flushed to the socket.
    Flushed(TakenConnection),
}

impl Takeover {
    /// The handler has responded with a live stream.
    pub fn responded(&self, taken: TakenConnection) {
        self.step(|_| Stage::Responded(taken));
    }

    /// The socket has nothing left to flush.
    pub fn flushed(&self) {
        self.step(|stage| match stage {
            Stage::Encoded(taken) => Stage::Flushed(taken),
            other => other,
        });
    }

    /// The viewer, once the head is sent.
    pub fn take(&self) -> Option<TakenConnection> {
        let mut taken = None;
        self.step(|stage| match stage {
            Stage::Flushed(viewer) => {
                taken = Some(viewer);
                Stage::None
            }
            other => other,
        });
        taken
    }

    fn encoded(&self) {
        self.step(|stage| match stage {
            Stage::Responded(taken) => Stage::Encoded(taken),
            other => other,
        });
    }

    fn step(&self, step: impl FnOnce(Stage) -> Stage) {
        let mut stage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *stage = step(std::mem::take(&mut stage));
    }
}

/// The body that hyper sees of a live response: it never yields, because a shard writes the packets. hyper polls it in the same
/// poll that encodes the head, and flushes after that poll.
#[derive(Debug)]
pub struct TakeoverBody(pub Takeover);

impl http_body::Body for TakeoverBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.encoded();
        // No waker is kept: the task of the connection takes the socket away.
        Poll::Pending
    }
}

/// A body whose bytes are counted for the log.
#[derive(Debug)]
pub struct CountedBody<B> {
    body: B,
    log: RequestLog,
    /// Resolves when the permission ends.
    withdrawn: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl<B> CountedBody<B> {
    /// Counts the bytes of `body` in `log`.
    pub fn new(body: B, mut log: RequestLog) -> Self
    where
        B: http_body::Body,
    {
        if body.is_end_stream() {
            log.reason = "done";
        }
        let withdrawn = log.pass.as_ref().map(|pass| Box::pin(pass.end().token().clone().cancelled_owned()));
        Self { body, log, withdrawn }
    }
}

impl<B> http_body::Body for CountedBody<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(withdrawn) = &mut self.withdrawn
            && withdrawn.as_mut().poll(context).is_ready()
        {
            self.log.reason = self.log.withdrawn().unwrap_or_default();
            return Poll::Ready(None);
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => self.log.add(frame.data_ref().map_or(0, |data| data.len() as u64)),
            Some(Err(_)) => self.log.reason = "body failed",
            None => {}
        }
        if frame.is_none() || self.body.is_end_stream() {
            self.log.reason = "done";
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
