//! The feeds of a group whose bytes the server sends to the worker: each is sent while a stream that uses it runs.

use super::worker::{MediaSender, Worker};
use crate::{
    ipc::{FrameKind, Item, ToWorker},
    stream::{Delivery, Entry, FanOut, Join},
};
use std::collections::{BTreeMap, HashMap};
use tokio_util::task::AbortOnDropHandle;

/// The byte feeds of one group, by their numbers in its plan.
#[derive(Debug)]
pub(super) struct ByteFeeds {
    fan_outs: BTreeMap<u32, FanOut>,
    /// The tasks that send those in use.
    sending: HashMap<u32, AbortOnDropHandle<()>>,
}

impl ByteFeeds {
    /// These feeds; none is sent yet.
    pub(super) fn new(fan_outs: BTreeMap<u32, FanOut>) -> Self {
        Self { fan_outs, sending: HashMap::new() }
    }

    /// Replaces the feeds. Those that are being sent continue.
    pub(super) fn set(&mut self, fan_outs: BTreeMap<u32, FanOut>) {
        self.fan_outs = fan_outs;
    }

    /// Sends the worker those of `feeds` whose bytes come from the server, unless it gets them already.
    pub(super) fn send(&mut self, feeds: &[u32], worker: &Worker) {
        for &feed in feeds {
            let Some(fan_out) = self.fan_outs.get(&feed) else { continue };
            if self.sending.contains_key(&feed) {
                continue;
            }
            worker.send(ToWorker::Start { item: Item::Feed(feed), run: 0 });
            let task = tokio::spawn(send_bytes(feed, fan_out.clone(), worker.sender()));
            self.sending.insert(feed, AbortOnDropHandle::new(task));
        }
    }

    /// Stops those that no running stream uses.
    pub(super) fn stop_unused(&mut self, is_used: impl Fn(u32) -> bool, worker: &Worker) {
        self.sending.retain(|feed, _| {
            let is_used = is_used(*feed);
            if !is_used {
                worker.send(ToWorker::Stop { item: Item::Feed(*feed) });
            }
            is_used
        });
    }

    /// The worker cannot read this one any more. Returns whether it was being sent.
    pub(super) fn ended(&mut self, feed: u32) -> bool {
        self.sending.remove(&feed).is_some()
    }

    /// The worker is gone.
    pub(super) fn stop_all(&mut self) {
        self.sending.clear();
    }
}

/// Sends a feed's bytes to a worker until the worker is gone.
async fn send_bytes(feed: u32, from: FanOut, to: MediaSender) {
    let mut discontinuity = true;
    loop {
        let mut reader = from.subscribe(Entry { join: Join::Keyframe, header: true });
        loop {
            let packet = match reader.next().await {
                Delivery::Aside(packet) | Delivery::Packet(packet) => packet,
                Delivery::Gap(_) => {
                    discontinuity = true;
                    continue;
                }
                Delivery::End => break,
            };
            let jumped = discontinuity || packet.discontinuity;
            if to.send(FrameKind::FeedBytes, feed, jumped, packet.payload()).await.is_err() {
                return;
            }
            discontinuity = false;
        }
        if from.is_closed() {
            return;
        }
        discontinuity = true;
    }
}
