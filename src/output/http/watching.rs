//! A viewer's way through a stream, whatever its packets are written to.

use super::visit::Visit;
use crate::{
    media::Packet,
    source::demand::Lease,
    stream::{Delivery, News, Reader, Stamina, Step},
};
use std::{
    task::{Context, Poll, ready},
    time::Instant,
};

/// A place in a stream, the wish that the stream runs, and what is counted and told of it.
#[derive(Debug)]
pub struct Watching {
    reader: Reader,
    stamina: Stamina,
    _lease: Lease,
    /// Its line in the log.
    pub visit: Visit,
}

/// What a viewer gets next.
#[derive(Debug)]
pub enum Next {
    /// Bytes.
    Packet(Packet),
    /// Nothing more, for this reason.
    End(&'static str),
}

impl Watching {
    /// One that begins.
    pub fn new(reader: Reader, lease: Lease, visit: Visit) -> Self {
        Self { reader, stamina: Stamina::default(), _lease: lease, visit }
    }

    /// What is there already.
    pub fn try_next(&mut self, now: Instant) -> Option<Next> {
        loop {
            let delivery = self.reader.try_next()?;
            if let Some(next) = self.take(delivery, now) {
                return Some(next);
            }
        }
    }

    /// Whether `news` is all that comes next; it counts as read then.
    pub fn take_news(&mut self, news: &News) -> bool {
        self.reader.take_news(news)
    }

    /// What comes next, for hand-written futures.
    pub fn poll_next(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<Next> {
        loop {
            let delivery = ready!(self.reader.poll_next(context));
            if let Some(next) = self.take(delivery, now) {
                return Poll::Ready(next);
            }
        }
    }

    fn take(&mut self, delivery: Delivery, now: Instant) -> Option<Next> {
        match delivery {
            Delivery::Aside(packet) | Delivery::Packet(packet) => Some(Next::Packet(packet)),
            Delivery::Gap(lost) => {
                self.visit.lost(lost);
                let step = self.stamina.overrun(now);
                self.step(step);
                None
            }
            Delivery::End => Some(Next::End("stream ended")),
        }
    }

    /// Its client took this many bytes.
    pub fn took(&mut self, bytes: u64) {
        let container = || self.reader.fanout().container().map_or("raw", crate::media::Container::name);
        self.visit.took(bytes, container);
    }

    /// To be called about once a second: what depends on time, and what is told to those who count.
    pub fn look(&mut self, now: Instant) {
        let step = self.stamina.look(now);
        self.step(step);
        self.visit.tell();
    }

    /// Gives it less or more from now on. Where less is no use, it goes on as before, from join point to join point.
    fn step(&mut self, step: Option<Step>) {
        let Some(step) = step else { return };
        let is_reduced = step == Step::Reduce;
        if self.reader.reduce(is_reduced) && is_reduced != self.visit.is_reduced() {
            self.visit.reduced(is_reduced);
        }
    }
}
