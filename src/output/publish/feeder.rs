//! The way of what a publisher sends into the slot of a feed.

use super::permit::Permit;
use crate::{media::demux::Demuxed, source::publisher::Publisher};
use std::time::Duration;

/// Media may come so much earlier than it plays: what a connection brings at its begin, and encoders that run ahead.
const MAX_AHEAD: Duration = Duration::from_secs(1);
/// Longest wait before it is looked again.
const LOOK: Duration = Duration::from_millis(200);

/// A publisher with its permission.
#[derive(Debug)]
pub struct Feeder {
    publisher: Publisher,
    permit: Permit,
    samples: u64,
}

impl Feeder {
    /// Feeds this publisher while it is permitted.
    pub fn new(publisher: Publisher, permit: Permit) -> Self {
        Self { publisher, permit, samples: 0 }
    }

    /// Hands on what a demuxer found. Without times of their own (`has_times`) samples get those of their arrival.
    pub fn take(&mut self, found: impl IntoIterator<Item = Demuxed>, has_times: bool) {
        self.samples += self.publisher.demuxed(found, has_times);
    }

    /// How many samples came so far.
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// Waits while media is further ahead of the clock than a live source has it, so that a file plays in its own time. Cancel-safe.
    pub async fn pace(&self) {
        loop {
            let early = self.publisher.ahead().saturating_sub(MAX_AHEAD);
            if early.is_zero() {
                return;
            }
            tokio::time::sleep(early.min(LOOK)).await;
        }
    }

    /// Waits until the slot is taken away or the permission ends: the reason. Cancel-safe.
    pub async fn ended(&self) -> &'static str {
        tokio::select! {
            reason = self.publisher.ended() => reason,
            reason = self.permit.ended() => reason,
        }
    }

    /// Ends it for this reason, which the log and the metrics have.
    pub fn finish(self, reason: &'static str) {
        self.publisher.finish(reason);
    }
}
