//! Which pipelines of a stream's list do not work on this machine, as probes in workers show. Pure.

use crate::ipc::EncoderProbe;
use std::collections::BTreeMap;

/// The probes of one group's streams.
#[derive(Debug, Default)]
pub(super) struct EncoderProbes {
    /// The pipeline of each stream that is probed now.
    running: BTreeMap<u32, usize>,
    /// How many of the first pipelines of each stream failed.
    failed: BTreeMap<u32, usize>,
}

impl EncoderProbes {
    /// The worker reports a probe of this pipeline of a stream.
    pub(super) fn report(&mut self, stream: u32, pipeline: usize, outcome: EncoderProbe) {
        self.running.remove(&stream);
        match outcome {
            EncoderProbe::Begun => drop(self.running.insert(stream, pipeline)),
            EncoderProbe::Passed => {}
            EncoderProbe::Failed => drop(self.failed.insert(stream, pipeline + 1)),
        }
    }

    /// How many of a stream's pipelines the next worker skips.
    pub(super) fn skipped(&self, stream: u32) -> Option<usize> {
        self.failed.get(&stream).copied()
    }

    /// This stream ended, whatever its probe would have shown.
    pub(super) fn cancel(&mut self, stream: u32) {
        self.running.remove(&stream);
    }

    /// All streams ended, whatever their probes would have shown.
    pub(super) fn cancel_all(&mut self) {
        self.running.clear();
    }

    /// The worker crashed or hung: the pipelines that were probed are to blame, and have failed. Returns them by stream.
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
        let mut probes = EncoderProbes::default();
        probes.report(1, 0, EncoderProbe::Begun);
        probes.report(1, 0, EncoderProbe::Failed);
        probes.report(1, 1, EncoderProbe::Begun);
        assert_eq!(probes.skipped(1), Some(1));
        assert_eq!(probes.fail_running(), BTreeMap::from([(1, 1)]));
        assert_eq!(probes.skipped(1), Some(2));
        assert!(probes.fail_running().is_empty(), "blamed once");
    }

    #[test]
    fn a_probe_that_passed_or_was_cancelled_is_not_blamed() {
        let mut probes = EncoderProbes::default();
        probes.report(1, 0, EncoderProbe::Begun);
        probes.report(1, 0, EncoderProbe::Passed);
        probes.report(2, 0, EncoderProbe::Begun);
        probes.cancel(2);
        probes.report(3, 0, EncoderProbe::Begun);
        probes.cancel_all();
        assert!(probes.fail_running().is_empty());
        assert_eq!([1, 2, 3].map(|stream| probes.skipped(stream)), [None; 3]);
    }

    #[test]
    fn another_plan_of_a_stream_is_tried_again() {
        let mut probes = EncoderProbes::default();
        probes.report(1, 0, EncoderProbe::Failed);
        probes.report(2, 0, EncoderProbe::Failed);
        probes.keep_failures(|stream| stream == 2);
        assert_eq!([1, 2].map(|stream| probes.skipped(stream)), [None, Some(1)]);
    }
}
