//! A live answer on a connection that hyper keeps, as HTTP/2 does: a body that takes shared packets from the ring.

use super::{
    live::{Leaving, Viewing},
    tally::Tally,
    visit::NO_PROGRESS,
    watching::{Next, Watching},
};
use crate::{media::multipart, stream::Audience, sys::monotonic};
use bytes::Bytes;
use http_body::Frame;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Pause between two looks at what depends on time.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// Since when a client takes nothing of what its body has for it. A body that nobody polls cannot tell.
#[derive(Debug, Clone, Default)]
pub struct Standstill(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    is_over: bool,
}

impl Standstill {
    /// Returns when a client has taken nothing for this long. Cancel-safe.
    pub async fn lasts(&self, limit: Duration) {
        loop {
            let since = self.state().since;
            let left = since.map_or(limit, |since| limit.saturating_sub(since.elapsed()));
            if left.is_zero() {
                self.state().is_over = true;
                return;
            }
            tokio::time::sleep(left.max(LOOK_AROUND / 10)).await;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body.
pub struct LiveBody {
    watching: Watching,
    audience: Audience,
    tally: Tally,
    /// Packets of this long are given out at once.
    batch: Duration,
    /// Until then packets are collected.
    collects: Option<Pin<Box<Sleep>>>,
    early_heads: bool,
    /// What goes out before the next packet.
    head: Option<Bytes>,
    /// When it came, on the machine's monotonic clock.
    since: Duration,
    next_look: Instant,
    standstill: Standstill,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl LiveBody {
    /// What a viewer sees until it leaves, the stream ends, or `stop`.
    pub fn new(leaving: Leaving, standstill: Standstill, stop: CancellationToken) -> Self {
        let Leaving { viewing: Viewing { reader, lease, audience, batch, early_heads }, visit, .. } = leaving;
        Self {
            watching: Watching::new(reader, lease, visit),
            audience,
            tally: Tally::default(),
            batch,
            collects: None,
            early_heads,
            head: None,
            since: monotonic(),
            next_look: Instant::now() + LOOK_AROUND,
            standstill,
            stopped: Box::pin(stop.cancelled_owned()),
        }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<Option<Bytes>> {
        if self.stopped.as_mut().poll(context).is_ready() {
            self.watching.visit.reason = "server stops";
            return Poll::Ready(None);
        }
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(head));
        }
        if let Some(collects) = &mut self.collects {
            std::task::ready!(collects.as_mut().poll(context));
            self.collects = None;
        }
        match self.watching.poll_next(context, now) {
            Poll::Ready(Next::Packet(packet)) => {
                // What was there before it came has waited for it.
                packet.entered.filter(|entered| *entered >= self.since).into_iter().for_each(|at| self.tally.note(at));
                if !self.early_heads {
                    return Poll::Ready(Some(packet.payload()));
                }
                let (bytes, head) = multipart::early(&packet.payload());
                self.head = Some(Bytes::from_static(head.as_bytes()));
                Poll::Ready(Some(bytes))
            }
            Poll::Ready(Next::End(reason)) => {
                self.watching.visit.reason = reason;
                Poll::Ready(None)
            }
            Poll::Pending => {
                self.tally.settle();
                if !self.batch.is_zero() && self.watching.visit.bytes > 0 {
                    let mut collects = Box::pin(tokio::time::sleep(self.batch));
                    // It is what wakes the body, not the next packet.
                    let _ = collects.as_mut().poll(context);
                    self.collects = Some(collects);
                }
                Poll::Pending
            }
        }
    }
}

impl http_body::Body for LiveBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let (this, now) = (&mut *self, Instant::now());
        if now >= this.next_look {
            this.next_look = now + LOOK_AROUND;
            this.watching.look(now);
            this.tally.tell(&this.audience, now);
        }
        let polled = this.poll_piece(context, now);
        // hyper polls again as soon as the client has room for more.
        this.standstill.state().since = matches!(polled, Poll::Ready(Some(_))).then_some(now);
        polled.map(|piece| {
            piece.map(|bytes| {
                this.watching.took(bytes.len() as u64);
                Ok(Frame::data(bytes))
            })
        })
    }
}

impl Drop for LiveBody {
    fn drop(&mut self) {
        self.tally.tell(&self.audience, Instant::now());
        if self.standstill.state().is_over {
            self.watching.visit.reason = NO_PROGRESS;
        }
    }
}
