//! The pipelines that tracks of feeds come out of.

use super::{
    branches::{Branches, Pace, byte_source},
    clock,
    event::{BusEvent, Event, Run},
    feed::{Entrance, Feed},
    launch,
    muxer_options::tune_muxers,
    threads::{lock, play, spawn},
    track::{Attachment, Track},
    unpack::{self, Unpack},
    web,
};
use gst::{glib, prelude::*};
use gstreamer as gst;
use gstreamer_app as gst_app;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

/// Tracks out of a muxed track come after those of the feed's own pipeline.
const DEMUXED: usize = 1000;

/// A running pipeline that delivers tracks of a feed.
pub(super) struct Ingest {
    /// Which run.
    pub(super) run: Run,
    /// The pipeline.
    pub(super) pipeline: gst::Pipeline,
    /// Its base time.
    pub(super) base: u64,
    /// Where a muxed track goes in.
    pub(super) source: Option<gst_app::AppSrc>,
    /// Where bytes go in.
    unpack: Option<Arc<Mutex<Unpack>>>,
    /// The file that is played.
    file: Option<PathBuf>,
    branches: Arc<Branches>,
}

impl Ingest {
    /// The pipeline of a gst-launch string.
    pub(super) fn launch(
        feed: &Arc<Feed>,
        run: Run,
        text: &str,
        fps: Option<(u32, u32)>,
        base: u64,
    ) -> Result<Self, String> {
        let bin = launch::parse(text, &[]).map_err(|fault| fault.message)?;
        // Viewers may be sent what is muxed in here as it is.
        tune_muxers(&bin);
        let this = Self::new(feed, run, base, Pace::Ask, false, 0);
        let fill = || -> Result<(), glib::BoolError> {
            this.pipeline.add(&bin)?;
            for element in launch::dynamic(&bin) {
                this.branches.grow(&bin, &element);
            }
            for pad in launch::free_sources(&bin) {
                this.branches.add(&bin, &pad)?;
            }
            web::divert(&bin, &this.pipeline, &this.branches, fps);
            Ok(())
        };
        fill().map_err(|error| error.to_string())?;
        Ok(this)
    }

    /// Plays a file in real time; its first media is due at `base` on the monotonic clock.
    pub(super) fn file(
        feed: &Arc<Feed>,
        run: Run,
        path: &Path,
        fps: Option<(u32, u32)>,
        base: u64,
    ) -> Result<Self, String> {
        let mut this = Self::new(feed, run, base, Pace::RealTime, false, 0);
        this.file = Some(path.to_owned());
        this.unpacking(fps);
        Ok(this)
    }

    /// Takes muxed bytes apart.
    pub(super) fn bytes(feed: &Arc<Feed>, run: Run) -> Result<Self, String> {
        let mut this = Self::new(feed, run, clock::now(), Pace::Live, true, 0);
        this.unpacking(None);
        Ok(this)
    }

    /// Takes a muxed track apart; the link keeps it fed.
    pub(super) fn demux(feed: &Arc<Feed>, run: Run) -> Result<Self, String> {
        let mut this = Self::new(feed, run, clock::now(), Pace::Live, true, DEMUXED);
        let source = byte_source();
        this.branches.parse(&this.pipeline, source.upcast_ref()).map_err(|error| error.to_string())?;
        this.source = Some(source);
        Ok(this)
    }

    fn new(feed: &Arc<Feed>, run: Run, base: u64, pace: Pace, anchored: bool, first: usize) -> Self {
        let pipeline = gst::Pipeline::with_name(&feed.name);
        clock::set_base(&pipeline, base);
        let signal = feed.events.watch(&pipeline, run);
        let branches = Branches::new(feed, run, base, pace, anchored, first, signal);
        Self { run, pipeline, base, source: None, unpack: None, file: None, branches }
    }

    fn unpacking(&mut self, fps: Option<(u32, u32)>) {
        self.unpack = Some(Arc::new(Mutex::new(Unpack::new(self.branches.clone(), &self.pipeline, fps))));
    }

    /// Lets it play, in the background.
    pub(super) fn start(&self) {
        let (pipeline, events, run) = (self.pipeline.clone(), self.branches.feed.events.clone(), self.run);
        let file = self.file.clone().zip(self.unpack.clone());
        spawn("start", move || {
            let plays = play(&pipeline);
            // It must end when all others have let it go.
            drop(pipeline);
            if !plays {
                // The bus has told more before.
                return events.send(Event::Bus(run, BusEvent::Error("the pipeline does not start".into())));
            }
            events.send(Event::Playing(run));
            if let Some((path, unpack)) = file {
                // It ends early with its pipeline.
                let _ = unpack::play_file(&mut lock(&unpack), &path);
            }
        });
    }

    /// Where the bytes of a feed go in that come from the server.
    pub(super) fn entrance(&self) -> Option<Entrance> {
        let unpack = self.unpack.clone().filter(|_| self.file.is_none())?;
        // Fails while the pipeline ends; the bytes are of no use then.
        Some(Arc::new(move |bytes| drop(lock(&unpack).push(bytes))))
    }

    /// Whether all tracks are known that it will have.
    pub(super) fn is_complete(&self) -> bool {
        self.branches.is_complete()
    }

    /// Whether it has delivered something.
    pub(super) fn has_started(&self) -> bool {
        self.branches.has_started()
    }
}

/// A muxed track that is being demuxed.
pub(super) struct Demux {
    /// The pipeline.
    pub(super) ingest: Ingest,
    /// The muxed track.
    pub(super) muxed: Arc<Track>,
    /// There once the pipeline is up.
    pub(super) link: Option<Attachment>,
}
