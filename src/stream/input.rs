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
use tokio::sync::watch;

/// The entrance of one stream for one origin, its source or its placeholder. Clones are the same entrance.
#[derive(Debug, Clone)]
pub struct StreamInput {
    shared: Arc<Shared>,
    origin: Origin,
}

#[derive(Debug)]
struct Shared {
    name: Arc<str>,
    keyframes: watch::Sender<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    samples: SampleWriter,
    /// Of a stream whose muxer is not ours; it writes to the one output. Never both in one run.
    bytes: Option<ByteInput>,
    /// The current run of the source, and of the placeholder; what others left on the way is dropped.
    runs: [Option<u32>; 2],
    rhythm: Rhythm,
    outputs: Vec<(Container, FanOut)>,
}

#[derive(Debug)]
struct ByteInput {
    writer: Writer,
    scanner: Scanner,
    expected: Container,
}

/// Outputs that cannot carry what came.
#[derive(Debug)]
pub struct NotTaken {
    /// The stream, for the log.
    pub stream: Arc<str>,
    /// Why, for each output.
    pub refused: Vec<NotCarried>,
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
    /// The entrance of a stream that has no outputs yet. The name is for the log.
    pub fn new(name: &str) -> Self {
        let state = State {
            samples: SampleWriter::new(1),
            bytes: None,
            runs: [None; 2],
            rhythm: Rhythm::default(),
            outputs: Vec::new(),
        };
        let shared = Shared { name: name.into(), keyframes: watch::Sender::default(), state: Mutex::new(state) };
        Self { shared: Arc::new(shared), origin: Origin::Source }
    }

    /// The same stream's entrance for what is shown while nothing comes from the source.
    pub fn for_placeholder(&self) -> Self {
        Self { shared: self.shared.clone(), origin: Origin::Placeholder }
    }

    /// The output in this container. A new one begins with the newest GOP, if it can carry the tracks that are there; otherwise with
    /// those that come after.
    pub fn output(&self, container: Container) -> FanOut {
        let mut state = self.lock();
        if let Some((_, fanout)) = state.outputs.iter().find(|(known, _)| *known == container) {
            return fanout.clone();
        }
        let fanout = FanOut::requesting(self.shared.keyframes.clone());
        if let Err(fault) = state.samples.attach(container, fanout.clone(), Instant::now()) {
            tracing::warn!(stream = %self.shared.name, reason = %fault, "output cannot carry the tracks");
        }
        state.outputs.push((container, fanout.clone()));
        fanout
    }

    /// Ends all outputs but those in these containers, and their readers.
    pub fn keep(&self, containers: &[Container]) {
        let mut state = self.lock();
        let State { outputs, samples, bytes, .. } = &mut *state;
        outputs.retain(|(container, fanout)| {
            let stays = containers.contains(container);
            if !stays {
                samples.detach(fanout);
                *bytes = bytes.take().filter(|bytes| !bytes.writer.fanout().is_same(fanout));
                fanout.close();
            }
            stays
        });
    }

    /// All outputs.
    pub fn outputs(&self) -> Vec<FanOut> {
        self.lock().outputs.iter().map(|(_, fanout)| fanout.clone()).collect()
    }

    /// Changes when a reader of any output wants a keyframe sooner than it would come by itself.
    pub fn keyframe_requests(&self) -> watch::Receiver<()> {
        self.shared.keyframes.subscribe()
    }

    /// A run begins: from now on media of this run is taken, and of no other.
    pub fn begin(&self, run: u32) {
        let mut state = self.lock();
        if let Some(current) = state.runs.get_mut(index(self.origin)) {
            *current = Some(run);
        }
        state.samples.begin(self.origin, 0);
        if let Some(bytes) = &mut state.bytes {
            bytes.begin(self.origin);
        }
    }

    /// Nobody wants the stream any more: nothing is kept, and nothing taken until the next run begins.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.runs = [None; 2];
        state.samples.clear();
        if let Some(bytes) = &mut state.bytes {
            bytes.writer.clear();
        }
        state.rhythm = Rhythm::default();
    }

    /// The tracks of the samples that follow. `is_complete`: no others are expected.
    ///
    /// # Errors
    /// When outputs cannot carry them; these end.
    pub fn tracks(&self, run: u32, set: &TrackSet, is_complete: bool) -> Result<(), NotTaken> {
        let Some(mut state) = self.current(run) else { return Ok(()) };
        let result = state.samples.tracks(self.origin, 0, set, is_complete, Instant::now());
        self.told(result)
    }

    /// The next sample.
    ///
    /// # Errors
    /// When outputs cannot carry the tracks that it begins with; these end.
    pub fn sample(&self, run: u32, sample: Sample) -> Result<(), NotTaken> {
        let Some(mut state) = self.current(run) else { return Ok(()) };
        if self.origin == Origin::Source {
            state.rhythm.beat(monotonic());
        }
        let result = state.samples.sample(self.origin, 0, sample, Instant::now());
        self.told(result)
    }

    /// The next bytes of a muxer that is not ours. `discontinuity`: some are missing before them.
    pub fn bytes(&self, run: u32, bytes: &[u8], captured: Option<Duration>, discontinuity: bool) {
        let Some(mut state) = self.current(run) else { return };
        if self.origin == Origin::Source {
            state.rhythm.beat(monotonic());
        }
        let State { bytes: input, outputs, .. } = &mut *state;
        let Some((container, fanout)) = outputs.first() else { return };
        let input = input.get_or_insert_with(|| {
            let mut input = ByteInput {
                writer: Writer::new(fanout.clone(), true),
                scanner: Scanner::new(Some(*container)),
                expected: *container,
            };
            input.begin(self.origin);
            input
        });
        if discontinuity {
            input.scanner = Scanner::new(Some(input.expected));
        }
        let mut found = Vec::new();
        input.scanner.push(bytes, &mut found);
        input.writer.writes_for(self.origin);
        for found in found {
            input.writer.scanned_at(found, captured);
        }
    }

    /// How long nothing came from the source, and the longest recent pause; `None` before its first media since somebody wanted it.
    pub fn silence(&self) -> Option<(Duration, Duration)> {
        let Rhythm { last, pause } = self.lock().rhythm;
        Some((monotonic().saturating_sub(last?), pause))
    }

    fn told(&self, result: Result<(), Refused>) -> Result<(), NotTaken> {
        result.map_err(|Refused(refused)| NotTaken { stream: self.shared.name.clone(), refused })
    }

    /// The state, if this is the current run.
    fn current(&self, run: u32) -> Option<MutexGuard<'_, State>> {
        let state = self.lock();
        (state.runs.get(index(self.origin)) == Some(&Some(run))).then_some(state)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it was held costs at most a packet.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ByteInput {
    fn begin(&mut self, origin: Origin) {
        self.writer.writes_for(origin);
        self.writer.begin();
        self.scanner = Scanner::new(Some(self.expected));
    }
}
