//! Which pipelines of a stream's list do not work on this machine, as trials in workers show. Pure.

use crate::ipc::Trial;
use std::collections::BTreeMap;

/// The trials of one group's streams.
#[derive(Debug, Default)]
pub(super) struct EncoderTrials {
    /// The pipeline of each stream that is on trial now.
    running: BTreeMap<u32, usize>,
    /// How many of the first pipelines of each stream failed.
    failed: BTreeMap<u32, usize>,
}

impl EncoderTrials {
    /// The worker reports a trial of this pipeline of a stream.
    pub(super) fn report(&mut self, stream: u32, pipeline: usize, outcome: Trial) {
        self.running.remove(&stream);
        match outcome {
            Trial::Begun => drop(self.running.insert(stream, pipeline)),
            Trial::Passed => {}
            Trial::Failed => drop(self.failed.insert(stream, pipeline + 1)),
        }
    }

    /// How many of a stream's pipelines the next worker skips.
    pub(super) fn skipped(&self, stream: u32) -> Option<usize> {
        self.failed.get(&stream).copied()
    }

    /// This stream ended, whatever its trial would have shown.
    pub(super) fn cancel(&mut self, stream: u32) {
        self.running.remove(&stream);
    }

    /// All streams ended, whatever their trials would have shown.
    pub(super) fn cancel_all(&mut self) {
        self.running.clear();
    }

    /// The worker crashed or hung: the pipelines on trial are to blame, and have failed. Returns them by stream.
    pub(super) fn fail_running(&mut self) -> BTreeMap<u32, usize> {
        let blamed = std::mem::take(&mut self.running);
        self.failed.extend(blamed.iter().map(|(stream, pipeline)| (*stream, pipeline + 1)));
        blamed
    }

    /// Forgets the failures of streams that have another plan now.
    pub(super) fn keep_failures(&mut self, is_unchanged: impl Fn(u32) -> bool) {
        self.failed.retain(|stream, _| is_unchanged(*stream));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_that_failed_or_crashed_its_worker_is_skipped_from_then_on() {
        let mut trials = EncoderTrials::default();
        trials.report(1, 0, Trial::Begun);
        trials.report(1, 0, Trial::Failed);
        trials.report(1, 1, Trial::Begun);
        assert_eq!(trials.skipped(1), Some(1));
        assert_eq!(trials.fail_running(), BTreeMap::from([(1, 1)]));
        assert_eq!(trials.skipped(1), Some(2));
        assert!(trials.fail_running().is_empty(), "blamed once");
    }

    #[test]
    fn a_trial_that_passed_or_was_cancelled_is_not_blamed() {
        let mut trials = EncoderTrials::default();
        trials.report(1, 0, Trial::Begun);
        trials.report(1, 0, Trial::Passed);
        trials.report(2, 0, Trial::Begun);
        trials.cancel(2);
        trials.report(3, 0, Trial::Begun);
        trials.cancel_all();
        assert!(trials.fail_running().is_empty());
        assert_eq!([1, 2, 3].map(|stream| trials.skipped(stream)), [None; 3]);
    }

    #[test]
    fn another_plan_of_a_stream_is_tried_again() {
        let mut trials = EncoderTrials::default();
        trials.report(1, 0, Trial::Failed);
        trials.report(2, 0, Trial::Failed);
        trials.keep_failures(|stream| stream == 2);
        assert_eq!([1, 2].map(|stream| trials.skipped(stream)), [None, Some(1)]);
    }
}
