//! Where packets enter a fan-out: whatever the source, what the readers get is one unbroken stream.

use super::FanOut;
use crate::{
    media::{Container, Kind, PacketBuf, Scanned, matroska, multipart, ts::Splicer},
    sys::monotonic,
};
use bytes::Bytes;
use std::time::{Duration, SystemTime};

/// The one writer of a fan-out.
#[derive(Debug)]
pub struct Writer {
    fanout: FanOut,
    /// Whether the source's timestamps go on after a restart, so that readers of any container can stay.
    continues: bool,
    format: Format,
    gate: Gate,
    /// The source began again and nothing has come from it yet.
    restarted: bool,
    /// Something was written since the fan-out was last empty.
    has_written: bool,
}

/// Whether packets are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    /// Nobody wants any; what comes is left of a run that was stopped.
    Closed,
    /// From the first one on that begins something new.
    Armed,
    /// All.
    Open,
}

/// What is kept of each container to join what a source sends with what it sent before.
#[derive(Debug)]
enum Format {
    Unknown,
    Ts { splicer: Box<Splicer>, header: Option<Bytes> },
    Matroska { container: Container, header: Option<Bytes> },
    Mjpeg,
    Raw,
}

impl Writer {
    /// The writer of `fanout`. `continues` tells that the timestamps of the source go on when it is restarted.
    pub fn new(fanout: FanOut, continues: bool) -> Self {
        Self { fanout, continues, format: Format::Unknown, gate: Gate::Closed, restarted: false, has_written: false }
    }

    /// The fan-out that is written to.
    pub fn fanout(&self) -> &FanOut {
        &self.fanout
    }

    /// The source begins, for the first time or again.
    pub fn begin(&mut self) {
        self.expect();
        self.gate = Gate::Open;
    }

    /// As [`Writer::begin`], for a source whose packets come on a way where some of its last run may still be: they are
    /// dropped until one says that it begins something new.
    pub fn expect(&mut self) {
        self.gate = Gate::Armed;
        self.restarted = self.has_written;
        if self.restarted {
            self.fanout.forget_joins();
        }
    }

    /// The source was stopped because nobody wants it: nothing of it is kept.
    pub fn clear(&mut self) {
        self.fanout.restart();
        self.gate = Gate::Closed;
        self.has_written = false;
        self.restarted = false;
    }

    /// The packets are in this container.
    pub fn container(&mut self, container: Container) {
        if self.known() == Some(container) {
            return;
        }
        if self.has_written {
            self.fanout.restart();
        }
        self.format = match container {
            Container::Ts => Format::Ts { splicer: Box::default(), header: None },
            Container::Webm | Container::Mkv => Format::Matroska { container, header: None },
            Container::Mjpeg => Format::Mjpeg,
            Container::Raw => Format::Raw,
        };
        let opening = (container == Container::Mjpeg).then(multipart::opening);
        self.fanout.set_container(container, opening);
    }

    fn known(&self) -> Option<Container> {
        match self.format {
            Format::Unknown => None,
            Format::Ts { .. } => Some(Container::Ts),
            Format::Matroska { container, .. } => Some(container),
            Format::Mjpeg => Some(Container::Mjpeg),
            Format::Raw => Some(Container::Raw),
        }
    }

    /// Whether what comes now is taken.
    fn passes(&mut self, begins: bool) -> bool {
        if self.gate == Gate::Armed && begins {
            self.gate = Gate::Open;
        }
        self.gate == Gate::Open
    }

    /// The container header for the packets that follow; `begins` as in [`Writer::packet`].
    pub fn header(&mut self, header: Bytes, begins: bool) {
        if !self.passes(begins) {
            return;
        }
        // The header of a transport stream is found in its packets, with counters that fit.
        let Format::Matroska { header: current, .. } = &mut self.format else { return };
        let same = current.as_ref().is_some_and(|current| matroska::same_tracks(current, &header));
        if self.has_written && same && self.continues {
            return;
        }
        if self.has_written {
            // Readers cannot be given a second header: they end and may come again.
            self.fanout.restart();
        }
        self.fanout.set_header(&header);
        *current = Some(header);
    }

    /// The next packet. `begins` tells that it does not continue the one before.
    pub fn packet(&mut self, mut kind: Kind, mut payload: PacketBuf, captured: Option<Duration>, begins: bool) {
        if payload.is_empty() || !self.passes(begins) {
            return;
        }
        let restarted = std::mem::take(&mut self.restarted);
        let mut skipped = None;
        match &mut self.format {
            Format::Ts { splicer, header } => {
                if (restarted || begins)
                    && let Some(notice) = splicer.restarted()
                {
                    let mut packet = crate::media::Packet::copy_of(Kind::Delta, &notice);
                    packet.discontinuity = true;
                    self.fanout.push(packet, None);
                }
                if kind == Kind::Keyframe {
                    skipped = splicer.skip_notice();
                }
                set_if_changed(&self.fanout, header, splicer.header());
                splicer.packet(payload.payload_mut());
                // The first tables of all are in the packet itself.
                if header.is_none() {
                    set_if_changed(&self.fanout, header, splicer.header());
                }
            }
            // One place in unknown bytes is as good as another.
            Format::Raw => kind = Kind::Keyframe,
            Format::Mjpeg => payload = multipart::part(payload.payload(), captured.and_then(wall_clock)),
            Format::Unknown | Format::Matroska { .. } => {}
        }
        let mut packet = payload.finish(kind);
        packet.captured = captured;
        packet.discontinuity = restarted || begins;
        self.has_written = true;
        self.fanout.push(packet, skipped);
    }

    /// Takes what a scanner found.
    pub fn scanned(&mut self, scanned: Scanned) {
        match scanned {
            Scanned::Container(container) => self.container(container),
            Scanned::Header(header) => self.header(header, false),
            Scanned::Packet { kind, payload } => self.packet(kind, payload, None, false),
        }
    }
}

/// A time of the monotonic clock as time since 1970.
fn wall_clock(time: Duration) -> Option<Duration> {
    let age = monotonic().saturating_sub(time);
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.checked_sub(age)
}

fn set_if_changed(fanout: &FanOut, current: &mut Option<Bytes>, new: Option<Bytes>) {
    let Some(new) = new else { return };
    if current.as_ref().is_none_or(|current| current.as_ptr() != new.as_ptr()) {
        fanout.set_header(&new);
        *current = Some(new);
    }
}
