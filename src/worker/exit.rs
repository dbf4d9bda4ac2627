//! The way of one run of a stream out of the worker.

use super::{
    event::{Event, Events, Run},
    sender::StreamSender,
};
use crate::ipc::FromWorker;
use bytes::Bytes;
use gstreamer as gst;
use std::{sync::Arc, time::Duration};

/// Where the samples or bytes of one run of a stream leave.
#[derive(Clone)]
pub(super) struct Exit {
    pub(super) sender: Arc<StreamSender>,
    pub(super) events: Events,
    pub(super) run: Run,
    /// What running times count from, on the machine's monotonic clock, in nanoseconds.
    pub(super) epoch: u64,
}

impl Exit {
    /// When what has this running time was captured.
    pub(super) fn captured(&self, running: i64) -> Duration {
        Duration::from_nanos(self.epoch.saturating_add_signed(running))
    }

    /// Reports the first media of the run.
    pub(super) fn began(&self) {
        self.events.send(Event::FirstBuffer(self.run));
        self.events.send(Event::Send(FromWorker::Started { item: self.run.owner.item() }));
    }

    /// Sends muxed bytes. Streaming thread.
    pub(super) fn bytes(&self, buffers: &[gst::Buffer], running: Option<i64>) {
        let mapped = |buffer: &gst::Buffer| buffer.clone().into_mapped_buffer_readable().ok();
        let pieces: Vec<_> = buffers.iter().filter_map(mapped).map(Bytes::from_owner).collect();
        if pieces.iter().any(|piece| !piece.is_empty())
            && self.sender.bytes(pieces, running.map(|running| self.captured(running)))
        {
            self.began();
        }
    }
}
