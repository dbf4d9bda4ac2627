//! Where what a worker makes of a stream enters the server: samples, or bytes of a muxer that is not ours.

use super::{FanOut, Writer, sample_writer::{Refused, SampleWriter}, writer::Origin};
use crate::{
    media::{Container, NotCarried, Sample, Scanner, TrackSet},
    sys::monotonic,
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The entrance of one stream for one origin, its source or its placeholder. Clones are the same entrance.
#[derive(Debug, Clone)]
pub struct StreamInput {
    state: Arc<Mutex<State>>,
    origin: Origin,
}

#[derive(Debug)]
struct State {
    samples: SampleWriter,
    /// Of a stream whose muxer is not ours. Both write to the same fan-out, never in one run.
    bytes: Writer,
    scanner: Scanner,
    /// What the outputs are told of bytes.
    expected: Container,
    /// The current run of the source, and of the placeholder; what others left on the way is dropped.
    runs: [Option<u32>; 2],
    rhythm: Rhythm,
    fanouts: Vec<(Container, FanOut)>,
}

/// How media comes from the source.
#[derive(Debug, Clone, Copy, Default)]
struct Rhythm {
    /// When the last came.
    last: Option<Duration>,
    /// The longest recent pause between two; it shrinks with each shorter one.
    pause: Duration,
}

impl Rhythm {
    fn beat(&mut self, now: Duration) {
        if let Some(last) = self.last.replace(now) {
            self.pause = now.saturating_sub(last).max(self.pause - self.pause / 32);
        }
    }
}

const fn index(origin: Origin) -> usize {
    match origin {
        Origin::Source => 0,
        Origin::Placeholder => 1,
    }
}

impl StreamInput {
    /// The entrance of a stream with these outputs. Bytes of a foreign muxer go to the first one.
    pub fn new(outputs: &[(Container, FanOut)]) -> Self {
        let mut samples = SampleWriter::new(1);
        for (container, fanout) in outputs {
            // There are no tracks yet that could be refused.
            let _ = samples.attach(*container, fanout.clone(), Instant::now());
        }
        let first = outputs.first().cloned();
        let (expected, fanout) = first.unwrap_or_else(|| (Container::Raw, FanOut::new(false)));
        let state = State {
            samples,
            bytes: Writer::new(fanout, true),
            scanner: Scanner::new(Some(expected)),
            expected,
            runs: [None; 2],
            rhythm: Rhythm::default(),
            fanouts: outputs.to_vec(),
        };
        Self { state: Arc::new(Mutex::new(state)), origin: Origin::Source }
    }

    /// The same stream's entrance for what is shown while nothing comes from the source.
    pub fn for_placeholder(&self) -> Self {
        Self { state: self.state.clone(), origin: Origin::Placeholder }
    }

    /// Adds an output, which begins with the newest GOP.
    ///
    /// # Errors
    /// When it cannot carry the tracks that are there. It gets those that come after.
    pub fn attach(&self, container: Container, fanout: FanOut) -> Result<(), NotCarried> {
        let mut state = self.lock();
        state.fanouts.push((container, fanout.clone()));
        state.samples.attach(container, fanout, Instant::now())
    }

    /// Ends an output.
    pub fn detach(&self, fanout: &FanOut) {
        let mut state = self.lock();
        state.fanouts.retain(|(_, kept)| !kept.is_same(fanout));
        state.samples.detach(fanout);
    }

    /// A run begins: from now on media of this run is taken, and of no other.
    pub fn begin(&self, run: u32) {
        let mut state = self.lock();
        if let Some(current) = state.runs.get_mut(index(self.origin)) {
            *current = Some(run);
        }
        state.samples.begin(self.origin, 0);
        state.bytes.writes_for(self.origin);
        state.bytes.expect();
        state.scanner = Scanner::new(Some(state.expected));
    }

    /// Nobody wants the stream any more: nothing is kept, and nothing taken until the next run begins.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.runs = [None; 2];
        state.samples.clear();
        state.bytes.clear();
        state.rhythm = Rhythm::default();
    }

    /// The tracks of the samples that follow.
    ///
    /// # Errors
    /// When outputs cannot carry them; these end.
    pub fn tracks(&self, run: u32, set: &TrackSet) -> Result<(), Vec<NotCarried>> {
        match self.current(run) {
            Some(mut state) => told(state.samples.tracks(self.origin, 0, set, Instant::now())),
            None => Ok(()),
        }
    }

    /// The next sample.
    ///
    /// # Errors
    /// When outputs cannot carry the tracks that it begins with; these end.
    pub fn sample(&self, run: u32, sample: Sample) -> Result<(), Vec<NotCarried>> {
        let Some(mut state) = self.current(run) else { return Ok(()) };
        if self.origin == Origin::Source {
            state.rhythm.beat(monotonic());
        }
        told(state.samples.sample(self.origin, 0, sample, Instant::now()))
    }

    /// The next bytes of a muxer that is not ours. `discontinuity`: some are missing before them.
    pub fn bytes(&self, run: u32, bytes: &[u8], captured: Option<Duration>, discontinuity: bool) {
        let Some(mut state) = self.current(run) else { return };
        let state = &mut *state;
        if discontinuity {
            state.scanner = Scanner::new(Some(state.expected));
        }
        if self.origin == Origin::Source {
            state.rhythm.beat(monotonic());
        }
        let mut found = Vec::new();
        state.scanner.push(bytes, &mut found);
        state.bytes.writes_for(self.origin);
        for found in found {
            state.bytes.scanned_at(found, captured);
        }
    }

    /// How long nothing came from the source, and the longest pause of late; `None` before its first media since somebody wanted it.
    pub fn silence(&self) -> Option<(Duration, Duration)> {
        let Rhythm { last, pause } = self.lock().rhythm;
        Some((monotonic().saturating_sub(last?), pause))
    }

    /// The state, if this is its current run.
    fn current(&self, run: u32) -> Option<MutexGuard<'_, State>> {
        let state = self.lock();
        (state.runs.get(index(self.origin)) == Some(&Some(run))).then_some(state)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it was held costs at most a packet.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn told(result: Result<(), Refused>) -> Result<(), Vec<NotCarried>> {
    result.map_err(|Refused(refused)| refused)
}
