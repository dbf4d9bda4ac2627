//! Reads what a worker sends over its media socket: packets go to the writers, stills to those who wait for them.

use crate::{
    ipc::{FrameKind, PictureFault, frame},
    media::Kind,
    stream::SharedWriter,
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

/// Requests for stills that may be pending in one group.
const MAX_PENDING: usize = 16;
/// Size of the read buffer; it grows to the largest packet. The allocator maps what is larger than 128 KiB by itself, and
/// the kernel would clear the pages of each mapping.
const READ_SIZE: usize = 120 << 10;

/// A still as a worker made it.
#[derive(Debug)]
pub struct WorkerStill {
    /// The encoded image.
    pub bytes: Bytes,
    /// When it was captured, on the machine's monotonic clock, as far as the worker knows.
    pub captured: Option<Duration>,
}

/// Where a still is sent to.
pub(super) type StillReply = oneshot::Sender<Result<WorkerStill, PictureFault>>;

/// The stills that a worker has been asked for. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct PendingStills(Arc<Mutex<Pending>>);

#[derive(Debug, Default)]
struct Pending {
    next: u32,
    replies: HashMap<u32, StillReply>,
}

impl PendingStills {
    /// Adds a request and returns its number. When there are too many it is answered immediately: `None`.
    pub(super) fn add(&self, reply: StillReply) -> Option<u32> {
        let mut pending = self.pending();
        pending.replies.retain(|_, reply| !reply.is_closed());
        if pending.replies.len() >= MAX_PENDING {
            let _ = reply.send(Err(PictureFault::NotYet));
            return None;
        }
        let id = pending.next;
        pending.next = pending.next.wrapping_add(1);
        pending.replies.insert(id, reply);
        Some(id)
    }

    /// Answers a request that is still pending.
    pub(super) fn answer(&self, id: u32, answer: Result<WorkerStill, PictureFault>) {
        let reply = self.pending().replies.remove(&id);
        if let Some(reply) = reply {
            let _ = reply.send(answer);
        }
    }

    /// Answers all requests: the worker will not.
    pub(super) fn fail_all(&self, reason: &str) {
        for (_, reply) in self.pending().replies.drain() {
            let _ = reply.send(Err(PictureFault::Failed(reason.to_owned())));
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a worker's media until the socket closes.
pub(super) async fn read_media(
    mut media: OwnedReadHalf,
    streams: watch::Receiver<BTreeMap<u32, SharedWriter>>,
    stills: PendingStills,
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
                        stills.answer(frame.channel, Ok(WorkerStill { bytes, captured: frame.captured }));
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
                tracing::error!(%error, "invalid frame from worker");
                return;
            }
        }
    }
}
