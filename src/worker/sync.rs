//! Small helpers for threads.

use gst::prelude::*;
use gstreamer as gst;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The guard, also after a panic elsewhere: what is guarded in here is valid after every statement.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what may block for ever on a thread of its own.
pub(super) fn background(name: &str, work: impl FnOnce() + Send + 'static) {
    // Without a thread there is no memory left either; the server notices that nothing answers.
    let _ = std::thread::Builder::new().name(name.into()).spawn(work);
}

/// Stops a pipeline in the background, then calls `done`.
pub(super) fn dispose(pipeline: gst::Pipeline, done: impl FnOnce() + Send + 'static) {
    background("dispose", move || {
        let _ = pipeline.set_state(gst::State::Null);
        drop(pipeline);
        done();
    });
}
