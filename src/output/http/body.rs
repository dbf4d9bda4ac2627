//! A live response on a connection that hyper keeps, as with HTTP/2: a body that yields shared packets from the ring.

use super::{
    access_log::RequestLog,
    takeover::{LiveStream, TakenConnection},
};
use crate::{
    media::multipart,
    output::shard::{
        NO_PROGRESS,
        session::Account,
        subscription::{Next, Subscription},
        write_latency::LatencyRecorder,
    },
    stream::Viewers,
    sys::monotonic,
};
use bytes::Bytes;
use http_body::Frame;
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Interval of periodic checks.
const CHECK_PERIOD: Duration = Duration::from_secs(1);

/// Since when a client has taken nothing of its body. A body that is not polled cannot notice this itself.
#[derive(Debug, Clone, Default)]
pub struct StallWatch(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    is_over: bool,
}

impl StallWatch {
    /// Returns when the client has taken nothing for this long. Cancel-safe.
    pub async fn stalled_for(&self, limit: Duration) {
        loop {
            let since = self.state().since;
            let left = since.map_or(limit, |since| limit.saturating_sub(since.elapsed()));
            if left.is_zero() {
                self.state().is_over = true;
                return;
            }
            tokio::time::sleep(left.max(CHECK_PERIOD / 10)).await;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body of live packets.
pub struct LiveBody {
    subscription: Subscription,
    log: RequestLog,
    viewers: Viewers,
    latency: LatencyRecorder,
    /// Packets of this duration are sent together.
    batch: Duration,
    /// Until then packets are collected.
    collecting: Option<Pin<Box<Sleep>>>,
    early_heads: bool,
    /// What is left of a packet, sent before the next one.
    pieces: VecDeque<Bytes>,
    /// When the viewer joined, on the monotonic clock.
    since: Duration,
    next_check: Instant,
    stall_watch: StallWatch,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Resolves when the permission of the viewer ends.
    withdrawn: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl LiveBody {
    /// Sends packets until the viewer disconnects, the stream ends, or `stop`.
    pub fn new(taken: TakenConnection, stall_watch: StallWatch, stop: CancellationToken) -> Self {
        let TakenConnection { stream: LiveStream { reader, lease, viewers, batch, early_heads }, log, .. } = taken;
        let withdrawn = log.pass.as_ref().map(|pass| Box::pin(pass.end().token().clone().cancelled_owned()));
        Self {
            withdrawn,
            subscription: Subscription::new(reader, lease),
            log,
            viewers,
            latency: LatencyRecorder::default(),
            batch,
            collecting: None,
            early_heads,
            pieces: VecDeque::new(),
            since: monotonic(),
            next_check: Instant::now() + CHECK_PERIOD,
            stall_watch,
            stopped: Box::pin(stop.cancelled_owned()),
        }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<Option<Bytes>> {
        if self.stopped.as_mut().poll(context).is_ready() {
            self.log.reason = "server stops";
            return Poll::Ready(None);
        }
        if let Some(withdrawn) = &mut self.withdrawn
            && withdrawn.as_mut().poll(context).is_ready()
        {
            self.log.reason = self.log.withdrawn().unwrap_or_default();
            return Poll::Ready(None);
        }
        if let Some(piece) = self.pieces.pop_front() {
            return Poll::Ready(Some(piece));
        }
        if let Some(timer) = &mut self.collecting {
            std::task::ready!(timer.as_mut().poll(context));
            self.collecting = None;
        }
        match self.subscription.poll_next(&mut self.log, context, now) {
            Poll::Ready(Next::Packet(packet)) => {
                // Media that arrived before the viewer joined has waited for it.
                packet
                    .entered
                    .filter(|entered| *entered >= self.since)
                    .into_iter()
                    .for_each(|at| self.latency.record(at));
                match self.early_heads {
                    true => self.pieces.extend(multipart::early(&packet)),
                    false => self.pieces.extend(packet.payload_pieces()),
                }
                // A packet has bytes.
                Poll::Ready(Some(self.pieces.pop_front().unwrap_or_default()))
            }
            Poll::Ready(Next::End(reason)) => {
                self.log.reason = reason;
                Poll::Ready(None)
            }
            Poll::Pending => {
                self.latency.flush();
                if !self.batch.is_zero() && self.log.bytes > 0 {
                    let mut timer = Box::pin(tokio::time::sleep(self.batch));
                    // This timer wakes the body, not the next packet.
                    let _ = timer.as_mut().poll(context);
                    self.collecting = Some(timer);
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
        if now >= this.next_check {
            this.next_check = now + CHECK_PERIOD;
            this.subscription.tick(&mut this.log, now);
            this.latency.report(&this.viewers, now);
        }
        let polled = this.poll_piece(context, now);
        // hyper polls again as soon as the client has room for more.
        this.stall_watch.state().since = matches!(polled, Poll::Ready(Some(_))).then_some(now);
        polled.map(|piece| {
            piece.map(|bytes| {
                this.log.sent(bytes.len() as u64, &|| this.subscription.container());
                Ok(Frame::data(bytes))
            })
        })
    }
}

impl Drop for LiveBody {
    fn drop(&mut self) {
        self.latency.report(&self.viewers, Instant::now());
        if self.stall_watch.state().is_over {
            self.log.reason = NO_PROGRESS;
        }
    }
}
