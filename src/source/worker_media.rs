//! Media on its way between the server and a worker: packets and pictures in, the bytes of feeds out.

use super::worker::MediaSender;
use crate::{
    ipc::{FrameKind, PictureFault, frame},
    media::Kind,
    stream::{Delivery, Entry, FanOut, Join, SharedWriter},
};
use bytes::{Bytes, BytesMut};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    net::unix::OwnedReadHalf,
    sync::{oneshot, watch},
};

/// WorkerStill requests that may be under way in one group.
const PICTURES: usize = 16;
/// Room for media from a worker; grows to the largest packet. Of more than 128 KiB the allocator makes a mapping of its own, and the
/// kernel would clear the pages of each.
const READ_SIZE: usize = 120 << 10;

/// A still picture as a worker made it.
#[derive(Debug)]
pub struct WorkerStill {
    /// The encoded picture.
    pub bytes: Bytes,
    /// When it was captured, on the machine's monotonic clock, as far as the worker knows.
    pub captured: Option<Duration>,
}

/// Who waits for a picture.
pub(super) type StillReply = oneshot::Sender<Result<WorkerStill, PictureFault>>;

/// The pictures that a worker has been asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct PendingStills(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    next: u32,
    replies: HashMap<u32, StillReply>,
}

impl PendingStills {
    /// The number of a new request; answers at once, with `None`, when there are too many.
    pub(super) fn ask(&self, reply: StillReply) -> Option<u32> {
        let mut waiting = self.waiting();
        waiting.replies.retain(|_, reply| !reply.is_closed());
        if waiting.replies.len() >= PICTURES {
            let _ = reply.send(Err(PictureFault::NotYet));
            return None;
        }
        let id = waiting.next;
        waiting.next = waiting.next.wrapping_add(1);
        waiting.replies.insert(id, reply);
        Some(id)
    }

    /// Answers a request, if it still waits.
    pub(super) fn answer(&self, id: u32, answer: Result<WorkerStill, PictureFault>) {
        let reply = self.waiting().replies.remove(&id);
        if let Some(reply) = reply {
            let _ = reply.send(answer);
        }
    }

    /// No answer will come.
    pub(super) fn fail_all(&self, reason: &str) {
        for (_, reply) in self.waiting().replies.drain() {
            let _ = reply.send(Err(PictureFault::Failed(reason.to_owned())));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a feed's bytes to a worker until the worker is gone.
pub(super) async fn send_feed(feed: u32, from: FanOut, to: MediaSender) {
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

/// Takes a worker's media to the writers and the waiting pictures until the socket closes.
pub(super) async fn read_media(
    mut media: OwnedReadHalf,
    streams: watch::Receiver<BTreeMap<u32, SharedWriter>>,
    pictures: PendingStills,
) {
    let mut buffer = BytesMut::with_capacity(READ_SIZE);
    loop {
        match frame::decode(&mut buffer) {
            Ok(Some(frame)) => {
                let streams = streams.borrow();
                let writer = || streams.get(&frame.channel).map(SharedWriter::lock);
                match frame.kind {
                    FrameKind::Header => {
                        if let Some(mut writer) = writer() {
                            writer.header(frame.payload.finish(Kind::Delta).payload(), frame.discontinuity);
                        }
                    }
                    FrameKind::Keyframe | FrameKind::Delta => {
                        let kind = if frame.kind == FrameKind::Keyframe { Kind::Keyframe } else { Kind::Delta };
                        if let Some(mut writer) = writer() {
                            writer.packet(kind, frame.payload, frame.captured, frame.discontinuity);
                        }
                    }
                    FrameKind::Picture => {
                        let bytes = frame.payload.finish(Kind::Delta).payload();
                        pictures.answer(frame.channel, Ok(WorkerStill { bytes, captured: frame.captured }));
                    }
                    FrameKind::FeedBytes | FrameKind::PictureBytes => {}
                }
            }
            Ok(None) => {
                if buffer.capacity() - buffer.len() < READ_SIZE / 4 {
                    buffer.reserve(READ_SIZE);
                }
                if !matches!(media.read_buf(&mut buffer).await, Ok(1..)) {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(%error, "failed to understand a worker's media");
                return;
            }
        }
    }
}
