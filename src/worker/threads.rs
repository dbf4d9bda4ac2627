//! Small helpers for threads.

use gst::{glib, prelude::*};
use gstreamer as gst;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The guard, also after a panic elsewhere: what is guarded in here is valid after every statement.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what may block for ever on a thread of its own.
pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    // Without a thread there is no memory left either; the server notices that nothing answers.
    let _ = std::thread::Builder::new().name(name.into()).spawn(work);
}

/// Pipelines that were stopped and are still referred to.
static STOPPED: Mutex<Vec<glib::WeakRef<gst::Pipeline>>> = Mutex::new(Vec::new());

/// Lets a pipeline play. One that was stopped meanwhile stays so: its last reference may be ours, and what plays must
/// not be dropped.
pub(super) fn play(pipeline: &gst::Pipeline) -> bool {
    let plays = pipeline.set_state(gst::State::Playing).is_ok();
    let stopped = lock(&STOPPED).iter().any(|other| other.upgrade().as_ref() == Some(pipeline));
    if stopped {
        halt(pipeline);
    }
    plays
}

/// Stops a pipeline in the spawn, then calls `done`.
pub(super) fn dispose(pipeline: gst::Pipeline, done: impl FnOnce() + Send + 'static) {
    spawn("dispose", move || {
        let mut stopped = lock(&STOPPED);
        stopped.retain(|other| other.upgrade().is_some());
        stopped.push(pipeline.downgrade());
        drop(stopped);
        halt(&pipeline);
        drop(pipeline);
        done();
    });
}

fn halt(pipeline: &gst::Pipeline) {
    let _ = pipeline.set_state(gst::State::Null);
    // Once more for elements that a streaming thread added in between.
    for element in pipeline.iterate_elements().into_iter().flatten() {
        let _ = element.set_state(gst::State::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_that_was_stopped_before_it_started_does_not_play() {
        gst::init().unwrap();
        let (done, is_done) = std::sync::mpsc::channel();
        let pipeline = gst::parse::launch("videotestsrc is-live=true ! fakesink").unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        dispose(pipeline.clone(), move || done.send(()).unwrap());
        is_done.recv().unwrap();
        play(&pipeline);
        assert_eq!(pipeline.state(gst::ClockTime::ZERO).1, gst::State::Null);
    }
}
