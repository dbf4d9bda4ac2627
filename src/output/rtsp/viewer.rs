//! A reader of a stream whose packets leave in datagrams, with all that counts and limits it.

use crate::{
    output::shard::{
        session::Account,
        subscription::{Next, Subscription},
        viewer_log::ViewerLog,
        write_latency::LatencyRecorder,
    },
    stream::Viewers,
    sys::monotonic,
};
use std::{
    future::poll_fn,
    time::{Duration, Instant},
};

/// A viewer; one that leaves is logged when this is dropped.
#[derive(Debug)]
pub struct Viewer {
    subscription: Subscription,
    log: ViewerLog,
    viewers: Viewers,
    latency: LatencyRecorder,
    /// When the media came that is being sent, and the begin of this viewer, on the monotonic clock.
    entered: Option<Duration>,
    since: Duration,
}

impl Viewer {
    /// A viewer of a stream that these have too.
    pub fn new(subscription: Subscription, log: ViewerLog, viewers: Viewers) -> Self {
        let latency = LatencyRecorder::default();
        Self { subscription, log, viewers, latency, entered: None, since: monotonic() }
    }

    /// What comes next; waits for it. Cancel-safe.
    pub async fn next(&mut self) -> Next {
        let Self { subscription, log, .. } = self;
        let next = poll_fn(|context| subscription.poll_next(log, context, Instant::now())).await;
        if let Next::Packet(packet) = &next {
            self.entered = packet.entered;
        }
        next
    }

    /// A packet was sent, in so many bytes.
    pub fn sent(&mut self, bytes: u64) {
        self.log.sent(bytes, &|| self.subscription.container());
        if let Some(entered) = self.entered.take().filter(|entered| *entered >= self.since) {
            self.latency.record(entered);
            self.latency.flush();
        }
    }

    /// To be called about once a second: reports the statistics; why it has to end, if it has to.
    pub fn tick(&mut self, now: Instant) -> Option<&'static str> {
        self.subscription.tick(&mut self.log, now);
        self.latency.report(&self.viewers, now);
        self.log.withdrawn()
    }

    /// It ends, for this reason.
    pub fn end(&mut self, reason: &'static str) {
        self.log.reason = reason;
        self.latency.report(&self.viewers, Instant::now());
    }
}
