//! A muxer with its packet ring: one container of a rendition.

use super::FanOut;
use crate::{
    media::{Container, HeaderChange, Kind, Muxed, Muxer, NotCarried, Packet, Sample, TrackInfo, TrackSet, multipart},
    sys::since_1970,
};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// Muxes the samples of a rendition into one container. Runs in the writer of the rendition and never waits.
#[derive(Debug)]
pub(super) struct Packager {
    container: Container,
    fanout: FanOut,
    muxer: Muxer,
    /// The tracks that go into the container.
    selected: Vec<TrackInfo>,
    /// The tracks of the rendition have changed since: not necessarily these.
    is_outdated: bool,
    /// Empty between two calls.
    muxed: Vec<Muxed>,
}

impl Packager {
    /// A packager that writes to `fanout`; `None` for a container that we have no muxer for.
    pub(super) fn new(container: Container, fanout: FanOut) -> Option<Self> {
        let muxer = Muxer::new(container)?;
        let opening = (container == Container::Mjpeg).then(multipart::opening);
        fanout.set_container(container, opening);
        // What follows a join point is complete without what came before it, and a packet is a sample.
        let is_whole = matches!(
            container,
            Container::Ts | Container::Webm | Container::Mkv | Container::Flv | Container::Mp4 | Container::Rtp
        );
        fanout.set_whole(is_whole);
        // A block of Matroska may begin the cluster of those after it: none may be omitted.
        fanout.set_loose(matches!(container, Container::Flv | Container::Mp4 | Container::WebRtc | Container::Rtp));
        Some(Self { container, fanout, muxer, selected: Vec::new(), is_outdated: true, muxed: Vec::new() })
    }

    /// Where its packets are.
    pub(super) fn fanout(&self) -> &FanOut {
        &self.fanout
    }

    /// The tracks of the rendition are others than before: [`Packager::tracks`] says which.
    pub(super) fn outdate(&mut self) {
        self.is_outdated = true;
    }

    /// The tracks from now on.
    ///
    /// # Errors
    /// When the container cannot carry them. The readers end, and samples are ignored until the next set.
    pub(super) fn tracks(&mut self, set: &TrackSet) -> Result<(), NotCarried> {
        if !std::mem::take(&mut self.is_outdated) {
            return Ok(());
        }
        let before = std::mem::take(&mut self.selected);
        let selected = match Muxer::select(self.container, set) {
            Ok(selected) => selected,
            Err(fault) => {
                self.fanout.restart();
                return Err(fault);
            }
        };
        self.selected = selected.iter().filter_map(|id| set.get(*id).cloned()).collect();
        if self.selected != before {
            self.muxer.set_tracks(&self.selected, &mut self.muxed);
            self.deliver(Bytes::new());
        }
        Ok(())
    }

    /// The next sample.
    pub(super) fn push(&mut self, sample: &Sample, now: Instant) {
        if self.selected.iter().any(|track| track.id == sample.track) {
            if matches!(self.container, Container::Mjpeg | Container::Rtp) {
                self.muxer.set_epoch(since_1970(Duration::ZERO));
            }
            // Sync samples alone make join points, where those who lost data continue.
            let notice = if sample.is_sync { self.muxer.skip_notice() } else { Bytes::new() };
            self.muxer.push(sample, now, &mut self.muxed);
            self.deliver(notice);
        }
    }

    /// No reader is left that has seen what was written.
    pub(super) fn clear(&mut self) {
        self.fanout.restart();
        self.selected.clear();
        self.is_outdated = true;
        // The header is sent again with the next tracks.
        if let Some(muxer) = Muxer::new(self.container) {
            self.muxer = muxer;
        }
    }

    fn deliver(&mut self, notice: Bytes) {
        let mut notice = Some(notice).filter(|notice| !notice.is_empty());
        for muxed in self.muxed.drain(..) {
            match muxed {
                Muxed::Header { bytes, readers } => {
                    match readers {
                        HeaderChange::None => {}
                        HeaderChange::Added { version } => self.fanout.set_header_version(version),
                        HeaderChange::Inline => self.fanout.push(Packet::copy_of(Kind::Delta, &bytes), None),
                        HeaderChange::End => self.fanout.restart(),
                    }
                    self.fanout.set_header(&bytes);
                }
                Muxed::Packet(packet) if packet.is_empty() => {}
                Muxed::Packet(packet) => self.fanout.push(packet, notice.take()),
                Muxed::WantsKeyframe => self.fanout.want_keyframe(),
            }
        }
    }
}
