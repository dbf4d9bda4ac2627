//! A viewer's subscription to a stream, whatever its packets are written to.

use super::session::Account;
use crate::{
    media::{Container, Packet},
    source::demand::Lease,
    stream::{Batch, Delivery, LagAction, LagPolicy, Reader},
};
use std::{
    task::{Context, Poll, ready},
    time::Instant,
};

/// A reader of a stream, and its lease.
#[derive(Debug)]
pub struct Subscription {
    reader: Reader,
    lag: LagPolicy,
    _lease: Lease,
}

/// What a viewer receives next.
#[derive(Debug)]
pub enum Next {
    /// A packet.
    Packet(Packet),
    /// The end of the stream, for this reason.
    End(&'static str),
}

impl Subscription {
    /// A new subscription.
    pub fn new(reader: Reader, lease: Lease) -> Self {
        Self { reader, lag: LagPolicy::default(), _lease: lease }
    }

    /// The next packet, if there is one.
    pub fn try_next(&mut self, account: &mut dyn Account, now: Instant) -> Option<Next> {
        loop {
            let delivery = self.reader.try_next()?;
            if let Some(next) = self.take(delivery, account, now) {
                return Some(next);
            }
        }
    }

    /// Whether `batch` is exactly what comes next; it counts as read then.
    pub fn take_batch(&mut self, batch: &Batch) -> bool {
        self.reader.take_batch(batch)
    }

    /// The next packet, for hand-written futures.
    pub fn poll_next(&mut self, account: &mut dyn Account, context: &mut Context<'_>, now: Instant) -> Poll<Next> {
        loop {
            let delivery = ready!(self.reader.poll_next(context));
            if let Some(next) = self.take(delivery, account, now) {
                return Poll::Ready(next);
            }
        }
    }

    fn take(&mut self, delivery: Delivery, account: &mut dyn Account, now: Instant) -> Option<Next> {
        match delivery {
            Delivery::Aside(packet) | Delivery::Packet(packet) => Some(Next::Packet(packet)),
            Delivery::Gap(lost) => {
                account.lagged(lost);
                let step = self.lag.overrun(now);
                self.apply(step, account);
                None
            }
            Delivery::End => Some(Next::End("stream ended")),
        }
    }

    /// The name of the container of the stream.
    pub fn container(&self) -> &'static str {
        self.reader.fanout().container().map_or("raw", Container::name)
    }

    /// To be called about once a second: applies what depends on time, and reports the statistics.
    pub fn tick(&mut self, account: &mut dyn Account, now: Instant) {
        let step = self.lag.look(now);
        self.apply(step, account);
        account.report();
    }

    /// Reduces the viewer to keyframes, or restores the full stream. A stream that cannot be reduced continues from join point to
    /// join point.
    fn apply(&mut self, step: Option<LagAction>, account: &mut dyn Account) {
        let Some(step) = step else { return };
        let is_reduced = step == LagAction::Reduce;
        if self.reader.reduce(is_reduced) && is_reduced != account.is_reduced() {
            account.reduced(is_reduced);
        }
    }
}
