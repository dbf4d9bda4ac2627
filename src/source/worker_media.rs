//! Reads what a worker sends over its media socket: packets go to the writers, stills to those who wait for them.

use crate::{
    ipc::{Frame, FrameKind, PictureFault, TracksMessage, frame},
    stream::{Entrances, NotTaken},
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
    streams: watch::Receiver<BTreeMap<u32, Entrances>>,
    stills: PendingStills,
) {
    let mut buffer = BytesMut::with_capacity(READ_SIZE);
    loop {
        match frame::decode(&mut buffer) {
            Ok(Some(frame)) => match frame.head.kind {
                FrameKind::Still => {
                    let Frame { head, payload } = frame;
                    let still = WorkerStill { bytes: payload.into_bytes(), captured: head.captured };
                    stills.answer(head.channel, Ok(still));
                }
                FrameKind::Tracks | FrameKind::Sample | FrameKind::Bytes => {
                    if let Some(entrances) = streams.borrow().get(&frame.head.channel) {
                        take(frame, entrances);
                    }
                }
                FrameKind::FeedBytes | FrameKind::StillBytes => {}
            },
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

/// Hands media of a stream to where it enters.
fn take(frame: Frame, entrances: &Entrances) {
    let head = frame.head;
    let taken = match head.kind {
        FrameKind::Tracks => match serde_json::from_slice(frame.payload.payload()) {
            Ok(TracksMessage { set, is_complete }) => entrances.tracks(head.run, &set, is_complete),
            Err(error) => {
                tracing::error!(%error, "invalid frame from worker");
                Ok(())
            }
        },
        FrameKind::Sample => entrances.sample(head.run, frame.into_sample()),
        _ => {
            entrances.bytes(head.run, frame.payload.payload(), head.captured, head.discontinuity);
            Ok(())
        }
    };
    for NotTaken { stream, refused } in taken.err().into_iter().flatten() {
        for fault in refused {
            tracing::warn!(%stream, reason = %fault, "output cannot carry the tracks");
        }
    }
}
