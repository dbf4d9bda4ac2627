//! Where the media of one encoding goes: into each rendition that it is a part of.

use super::{KeyframeRequests, NotTaken, StreamInput};
use crate::media::{Sample, TrackSet};
use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};
use tokio::sync::watch;

/// The entrances of one encoding, one for each rendition that it is a part of. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Entrances(Arc<RwLock<Vec<StreamInput>>>);

impl Entrances {
    /// With this one.
    pub fn of(input: StreamInput) -> Self {
        Self(Arc::new(RwLock::new(vec![input])))
    }

    /// These, in place of those before.
    pub fn set(&self, inputs: Vec<StreamInput>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = inputs;
    }

    /// See [`StreamInput::begin`].
    pub fn begin(&self, run: u32) {
        self.read().iter().for_each(|input| input.begin(run));
    }

    /// See [`StreamInput::clear`].
    pub fn clear(&self) {
        self.read().iter().for_each(StreamInput::clear);
    }

    /// See [`StreamInput::tracks`].
    ///
    /// # Errors
    /// The outputs that cannot carry them, for each rendition.
    pub fn tracks(&self, run: u32, set: &TrackSet, is_complete: bool) -> Result<(), Vec<NotTaken>> {
        collected(self.read().iter().map(|input| input.tracks(run, set, is_complete)))
    }

    /// See [`StreamInput::sample`].
    ///
    /// # Errors
    /// The outputs that cannot carry the tracks that it begins with, for each rendition.
    pub fn sample(&self, run: u32, sample: Sample) -> Result<(), Vec<NotTaken>> {
        let inputs = self.read();
        let Some((last, others)) = inputs.split_last() else { return Ok(()) };
        let mut refused: Vec<_> = others.iter().filter_map(|input| input.sample(run, sample.clone()).err()).collect();
        // Most encodings are a part of one rendition: their samples are not cloned.
        refused.extend(last.sample(run, sample).err());
        if refused.is_empty() { Ok(()) } else { Err(refused) }
    }

    /// See [`StreamInput::bytes`].
    pub fn bytes(&self, run: u32, bytes: &[u8], captured: Option<Duration>, discontinuity: bool) {
        self.read().iter().for_each(|input| input.bytes(run, bytes, captured, discontinuity));
    }

    /// See [`StreamInput::keyframe_requests`]; one for each rendition.
    pub fn keyframe_requests(&self) -> Vec<watch::Receiver<KeyframeRequests>> {
        self.read().iter().map(StreamInput::keyframe_requests).collect()
    }

    /// How many outputs are muxed of the encoding now, in all renditions.
    pub fn muxed_outputs(&self) -> usize {
        self.read().iter().map(StreamInput::muxed_outputs).sum()
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<StreamInput>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn collected(results: impl Iterator<Item = Result<(), NotTaken>>) -> Result<(), Vec<NotTaken>> {
    // Without an allocation where all is well, for each sample.
    let refused: Vec<_> = results.filter_map(Result::err).collect();
    if refused.is_empty() { Ok(()) } else { Err(refused) }
}
