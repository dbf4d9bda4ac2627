//! Short pipelines that are fed and read by hand.

use crate::{
    ipc::PictureFault,
    worker::{event::describe, threads::dispose},
};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

/// A short pipeline, from an `appsrc name=in` to an `appsink name=out`.
pub(super) struct MiniPipeline {
    pub(super) pipeline: gst::Pipeline,
    pub(super) source: gst_app::AppSrc,
    pub(super) sink: gst_app::AppSink,
}

impl MiniPipeline {
    /// Of a gst-launch pipeline, for media of these caps.
    pub(super) fn new(text: &str, caps: &gst::Caps) -> Result<Self, PictureFault> {
        let failed = |text: &str| PictureFault::Failed(text.to_owned());
        let pipeline = gst::parse::launch(text).map_err(|error| failed(error.message()))?;
        let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| failed("no pipeline"))?;
        let source = pipeline.by_name("in").and_then(|element| element.downcast::<gst_app::AppSrc>().ok());
        let sink = pipeline.by_name("out").and_then(|element| element.downcast::<gst_app::AppSink>().ok());
        let (Some(source), Some(sink)) = (source, sink) else { return Err(failed("no pipeline")) };
        source.set_max_bytes(0);
        source.set_caps(Some(caps));
        Ok(Self { pipeline, source, sink })
    }

    /// Has it take what it is fed. The bus reports a failure.
    pub(super) fn play(self) -> Self {
        let _ = self.pipeline.set_state(gst::State::Playing);
        self
    }

    /// Why nothing comes out.
    pub(super) fn fault(&self) -> Option<String> {
        let message = self.pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => Some(describe(message.src(), &error.error(), error.debug())),
            _ => None,
        }
    }
}

impl Drop for MiniPipeline {
    fn drop(&mut self) {
        dispose(self.pipeline.clone(), || {});
    }
}
