//! Where what a worker makes of a stream enters the server: samples, or bytes of a muxer that is not ours.

use super::{
    FanOut, Writer,
    sample_writer::{Refused, SampleWriter},
    writer::Origin,
};
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
    outputs: Vec<OutputState>,
}

#[derive(Debug)]
struct OutputState {
    container: Container,
    fanout: FanOut,
    /// How many want it. It is muxed while there is one.
    wanted: usize,
}

#[derive(Debug)]
struct ByteInput {
    writer: Writer,
    scanner: Scanner,
    expected: Container,
}

/// One container of a stream. Clones are the same.
#[derive(Debug, Clone)]
pub struct StreamOutput {
    input: StreamInput,
    fanout: FanOut,
}

/// Someone wants an output, until this is dropped.
#[derive(Debug)]
pub struct OutputLease(StreamOutput);

impl StreamOutput {
    /// Its packets, while someone wants it.
    pub fn fanout(&self) -> &FanOut {
        &self.fanout
    }

    /// The same stream in another container.
    pub fn beside(&self, container: Container) -> Self {
        self.input.output(container)
    }

    /// Whether both are outputs of the same stream.
    pub fn is_beside(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.input.shared, &other.input.shared)
    }

    /// One more wants it. To be had before a reader subscribes.
    pub fn lease(&self) -> OutputLease {
        self.input.want(&self.fanout, true);
        OutputLease(self.clone())
    }
}

impl Drop for OutputLease {
    fn drop(&mut self) {
        let StreamOutput { input, fanout } = &self.0;
        input.want(fanout, false);
    }
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

    /// The output in this container. Nothing is muxed for it until it is wanted.
    pub fn output(&self, container: Container) -> StreamOutput {
        let mut state = self.lock();
        let known = state.outputs.iter().find(|output| output.container == container);
        let fanout = known.map(|output| output.fanout.clone()).unwrap_or_else(|| {
            let fanout = FanOut::requesting(self.shared.keyframes.clone());
            fanout.set_container(container, None);
            state.outputs.push(OutputState { container, fanout: fanout.clone(), wanted: 0 });
            fanout
        });
        StreamOutput { input: self.clone(), fanout }
    }

    /// One more or less wants an output. The first one has it muxed, from the newest GOP on; with the last one it forgets
    /// everything.
    fn want(&self, fanout: &FanOut, more: bool) {
        let mut state = self.lock();
        let State { outputs, samples, .. } = &mut *state;
        let Some(output) = outputs.iter_mut().find(|output| output.fanout.is_same(fanout)) else { return };
        let before = output.wanted;
        output.wanted = if more { before + 1 } else { before.saturating_sub(1) };
        if more && before == 0 {
            if let Err(fault) = samples.attach(output.container, fanout.clone(), Instant::now()) {
                tracing::warn!(stream = %self.shared.name, reason = %fault, "output cannot carry the tracks");
            }
        } else if !more && output.wanted == 0 {
            samples.detach(fanout);
            fanout.restart();
        }
    }

    /// Ends all outputs but those in these containers, and their readers.
    pub fn keep(&self, containers: &[Container]) {
        let mut state = self.lock();
        let State { outputs, samples, bytes, .. } = &mut *state;
        outputs.retain(|OutputState { container, fanout, .. }| {
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
        self.lock().outputs.iter().map(|output| output.fanout.clone()).collect()
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
        state.samples.begin(self.origin, 0, Instant::now());
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
        let Some(OutputState { container, fanout, .. }) = outputs.first() else { return };
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
