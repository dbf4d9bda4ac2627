//! The feeds of a group whose bytes the server sends to the worker: each is sent while a stream that uses it runs.

use super::worker::{MediaSender, Worker};
use crate::{
    ipc::{FrameKind, Item, ToWorker},
    media::Kind,
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
///
/// The flag makes the worker drop what waits and restart its demuxer, so it is on the first bytes after a discontinuity alone, and most
/// containers cannot be demuxed without their header. So whatever is lost or restarts, the header comes first again.
async fn send_bytes(feed: u32, from: FanOut, to: MediaSender) {
    while !from.is_closed() {
        let mut reader = from.subscribe_unheld(Entry { join: Join::Keyframe, header: true });
        let (mut begins, mut has_packet) = (true, false);
        loop {
            let (packet, is_aside) = match reader.next().await {
                Delivery::Aside(packet) => (packet, true),
                Delivery::Packet(packet) => (packet, false),
                Delivery::Gap(_) | Delivery::End => break,
            };
            let restarts = packet.discontinuity && has_packet;
            if restarts && packet.kind == Kind::Keyframe {
                break;
            }
            if to.send(FrameKind::FeedBytes, feed, begins || restarts, packet.payload()).await.is_err() {
                return;
            }
            begins = false;
            has_packet |= !is_aside;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ipc::frame, media::Packet};
    use bytes::Bytes;
    use std::time::Duration;
    use tokio::sync::mpsc;

    /// What a worker is sent: the text of each piece, with an exclamation mark in front of a discontinuity.
    struct Rig {
        from: FanOut,
        sent: mpsc::Receiver<([u8; frame::HEAD], Bytes)>,
        _task: AbortOnDropHandle<()>,
    }

    impl Rig {
        fn new() -> Self {
            let from = FanOut::new();
            let (to, sent) = MediaSender::of_test();
            let task = AbortOnDropHandle::new(tokio::spawn(send_bytes(0, from.clone(), to)));
            Self { from, sent, _task: task }
        }

        fn push(&self, kind: Kind, text: &str, discontinuity: bool) {
            let mut packet = Packet::copy_of(kind, text.as_bytes());
            packet.discontinuity = discontinuity;
            self.from.push(packet, None);
        }

        async fn next(&mut self) -> Option<(bool, String)> {
            let next = tokio::time::timeout(Duration::from_secs(5), self.sent.recv()).await;
            let (head, payload) = next.expect("nothing is sent")?;
            let frame =
                frame::decode(&mut [&head, &payload[..], frame::TAIL].concat().as_slice().into()).unwrap().unwrap();
            let text = String::from_utf8(frame.payload.payload().to_vec()).unwrap();
            Some((frame.head.discontinuity, text))
        }

        async fn expect(&mut self, pieces: &[&str]) {
            for piece in pieces {
                let (discontinuity, text) = self.next().await.unwrap();
                assert_eq!(format!("{}{text}", if discontinuity { "!" } else { "" }), *piece);
            }
        }
    }

    #[tokio::test]
    async fn only_the_first_piece_of_all_is_a_discontinuity() {
        let mut rig = Rig::new();
        rig.from.set_header(b"header");
        // The very first packet of a source has the flag too: a worker that gets it twice drops the header.
        rig.push(Kind::Keyframe, "first", true);
        rig.push(Kind::Delta, "second", false);
        rig.expect(&["!header", "first", "second"]).await;
    }

    #[tokio::test]
    async fn the_header_comes_again_where_the_source_restarts() {
        let mut rig = Rig::new();
        rig.from.set_header(b"header");
        rig.push(Kind::Keyframe, "one", true);
        rig.expect(&["!header", "one"]).await;
        rig.push(Kind::Keyframe, "two", true);
        rig.push(Kind::Delta, "after two", false);
        rig.expect(&["!header", "two", "after two"]).await;
        rig.from.restart();
        rig.from.set_header(b"other");
        rig.push(Kind::Keyframe, "three", true);
        rig.expect(&["!other", "three"]).await;
        // What no decoder begins with is announced in front of it.
        rig.push(Kind::Delta, "notice", true);
        rig.push(Kind::Keyframe, "four", true);
        rig.expect(&["!notice", "!other", "four"]).await;
    }

    #[tokio::test]
    async fn the_header_comes_again_after_a_loss() {
        let mut rig = Rig::new();
        rig.from.set_header(b"header");
        rig.push(Kind::Keyframe, "first", true);
        rig.expect(&["!header", "first"]).await;
        // More than the ring and the queue hold, while nothing is taken.
        let large = "x".repeat(1 << 20);
        for number in 0..100 {
            rig.push(if number % 10 == 0 { Kind::Keyframe } else { Kind::Delta }, &large, false);
            tokio::task::yield_now().await;
        }
        rig.push(Kind::Keyframe, "last", false);
        let mut headers = 0;
        loop {
            let (discontinuity, text) = rig.next().await.unwrap();
            assert_eq!(discontinuity, text == "header", "{}", text.len());
            headers += usize::from(discontinuity);
            if text == "last" {
                break;
            }
        }
        assert_eq!(headers, 1);
    }

    #[tokio::test]
    async fn it_ends_with_its_source() {
        let mut rig = Rig::new();
        rig.push(Kind::Keyframe, "bytes", true);
        rig.expect(&["!bytes"]).await;
        rig.from.close();
        assert!(rig.next().await.is_none());
    }
}
