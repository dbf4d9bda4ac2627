//! A live answer on its way from hyper, which writes its head, to a shard, which writes its packets.

use super::{handed::Handed, visit::Visit};
use crate::{
    source::demand::Lease,
    stream::{Audience, Reader},
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

/// A viewer's place in a stream, and its wish that the stream runs.
#[derive(Debug)]
pub struct Viewing {
    /// Where it is.
    pub reader: Reader,
    /// Keeps the stream running.
    pub lease: Lease,
    /// Those that it is to be counted among.
    pub audience: Audience,
    /// Packets of this long are written at once.
    pub batch: Duration,
    /// Whether it gets the heads of parts of motion JPEG early.
    pub early_heads: bool,
}

/// Marks a response as live; whoever writes the response takes the viewing out of it.
pub type LiveReply = Handed<Viewing>;

/// A viewer whose connection is to be taken over once the head of its answer is out.
#[derive(Debug)]
pub struct Leaving {
    /// What it views.
    pub viewing: Viewing,
    /// Its line in the log.
    pub visit: Visit,
    /// Whether the body is sent in chunks (HTTP/1.1) or ends with the connection (HTTP/1.0).
    pub chunked: bool,
}

/// How far the head of a live answer has come on one connection.
#[derive(Debug, Clone, Default)]
pub struct Handover(Arc<Mutex<Stage>>);

#[derive(Debug, Default)]
enum Stage {
    /// No live answer.
    #[default]
    None,
    /// hyper has the answer.
    Answered(Leaving),
    /// hyper has encoded the head and asked for the first piece of the body.
    Encoded(Leaving),
    /// All that hyper had is flushed to the socket.
    Flushed(Leaving),
}

impl Handover {
    /// The service has answered with a live stream.
    pub fn answered(&self, leaving: Leaving) {
        self.step(|_| Stage::Answered(leaving));
    }

    /// The socket has nothing more to flush.
    pub fn flushed(&self) {
        self.step(|stage| match stage {
            Stage::Encoded(leaving) => Stage::Flushed(leaving),
            other => other,
        });
    }

    /// The viewer, once its head is out.
    pub fn take(&self) -> Option<Leaving> {
        let mut taken = None;
        self.step(|stage| match stage {
            Stage::Flushed(leaving) => {
                taken = Some(leaving);
                Stage::None
            }
            other => other,
        });
        taken
    }

    fn encoded(&self) {
        self.step(|stage| match stage {
            Stage::Answered(leaving) => Stage::Encoded(leaving),
            other => other,
        });
    }

    fn step(&self, step: impl FnOnce(Stage) -> Stage) {
        let mut stage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *stage = step(std::mem::take(&mut stage));
    }
}

/// The body that hyper sees of a live answer: it never yields, a shard writes the packets. hyper asks for it in the
/// very poll that encodes the head, and flushes after that poll.
#[derive(Debug)]
pub struct HandoverBody(pub Handover);

impl http_body::Body for HandoverBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.encoded();
        // No waker is kept: the connection's task takes the socket away.
        Poll::Pending
    }
}

/// A body of known length that is counted for the log.
#[derive(Debug)]
pub struct CountedBody<B> {
    body: B,
    visit: Visit,
}

impl<B> CountedBody<B> {
    /// Counts `body` on behalf of `visit`.
    pub fn new(body: B, mut visit: Visit) -> Self
    where
        B: http_body::Body,
    {
        if body.is_end_stream() {
            visit.reason = "done";
        }
        Self { body, visit }
    }
}

impl<B> http_body::Body for CountedBody<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => self.visit.bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(_)) => self.visit.reason = "body failed",
            None => {}
        }
        if frame.is_none() || self.body.is_end_stream() {
            self.visit.reason = "done";
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
