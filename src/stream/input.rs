//! Where what a worker makes of a stream enters the server: samples, or bytes of a muxer that is not ours.

use super::{
    FanOut, KeyframeRequests, Pauses, Writer,
    sample_writer::{MAX_SOURCES, Refused, SampleWriter, SourceSet},
    tap::{Queue, Tapped},
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

/// The entrance of one stream for one of the encodings that it is made of, and for one origin: its source or its placeholder.
/// Clones are the same entrance.
#[derive(Debug, Clone)]
pub struct StreamInput {
    shared: Arc<Shared>,
    origin: Origin,
    /// Which encoding; 0 is the main one.
    source: usize,
}

#[derive(Debug)]
struct Shared {
    name: Arc<str>,
    keyframes: watch::Sender<KeyframeRequests>,
    /// The tracks of the main encoding, with its audio where that is apart, and whether there are no others.
    tracks: watch::Sender<Option<(TrackSet, bool)>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    samples: SampleWriter,
    /// Of a stream whose muxer is not ours; it writes to the one output. Never both in one run.
    bytes: Option<ByteInput>,
    /// The names of the encodings, in the order of their numbers.
    sources: Vec<Option<Arc<str>>>,
    /// The main encoding, and its audio where that is apart.
    main: SourceSet,
    /// For each encoding: the current run of the source, and of the placeholder; what others left on the way is dropped.
    runs: [[Option<u32>; 2]; MAX_SOURCES],
    rhythm: Rhythm,
    outputs: Vec<OutputState>,
    /// What keeps the media from viewers, and whether that is so.
    pauses: Pauses,
    is_paused: bool,
}

#[derive(Debug)]
struct OutputState {
    container: Container,
    fanout: FanOut,
    /// The stream is offered in it. Others are for those who read samples as packets of a container.
    is_offered: bool,
    /// How many use it. It is muxed while there is one.
    users: usize,
    /// The encodings that it is made of, for the first user and all that came after.
    sources: SourceSet,
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

/// Someone uses an output, until this is dropped.
#[derive(Debug)]
pub struct OutputLease(StreamOutput);

impl StreamOutput {
    /// Its packets, while someone uses it.
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

    /// How many use it now.
    pub fn users(&self) -> usize {
        let state = self.input.lock();
        let own = state.outputs.iter().find(|output| output.fanout.is_same(&self.fanout));
        own.map_or(0, |output| output.users)
    }

    /// The stream that it is an output of.
    pub fn input(&self) -> &StreamInput {
        &self.input
    }

    /// One more uses it, made of the main encoding. To be had before a reader subscribes.
    pub fn lease(&self) -> OutputLease {
        let main = self.input.lock().main;
        self.input.add_user(&self.fanout, main);
        OutputLease(self.clone())
    }

    /// One more uses it, made of these encodings: those of the first user count until there is none.
    pub fn lease_of(&self, sources: &[usize]) -> OutputLease {
        self.input.add_user(&self.fanout, SourceSet::of(sources));
        OutputLease(self.clone())
    }
}

impl Drop for OutputLease {
    fn drop(&mut self) {
        let StreamOutput { input, fanout } = &self.0;
        input.remove_user(fanout);
    }
}

/// The samples of a stream, until this is dropped.
#[derive(Debug)]
pub struct SampleReader {
    input: StreamInput,
    queue: Queue,
}

impl SampleReader {
    /// What comes next; waits for it. Cancel-safe.
    pub async fn next(&self) -> Tapped {
        self.queue.next().await
    }

    /// Asks for a keyframe.
    pub fn want_keyframe(&self) {
        self.input.shared.keyframes.send_modify(KeyframeRequests::soon);
    }
}

impl Drop for SampleReader {
    fn drop(&mut self) {
        self.input.lock().samples.untap(&self.queue);
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
            samples: SampleWriter::new(),
            bytes: None,
            sources: vec![Some(name.into())],
            main: SourceSet::of(&[0]),
            runs: [[None; 2]; MAX_SOURCES],
            rhythm: Rhythm::default(),
            outputs: Vec::new(),
            pauses: Pauses::default(),
            is_paused: false,
        };
        let shared = Shared {
            name: name.into(),
            keyframes: watch::Sender::default(),
            tracks: watch::Sender::default(),
            state: Mutex::new(state),
        };
        Self { shared: Arc::new(shared), origin: Origin::Source, source: 0 }
    }

    /// These keep the media from viewers from now on.
    pub fn set_pauses(&self, pauses: Pauses) {
        let mut state = self.lock();
        if let Some(bytes) = &mut state.bytes {
            bytes.writer.set_pauses(pauses.clone());
        }
        state.pauses = pauses;
        self.follow_pauses(&mut state);
    }

    /// Whether the media is kept from viewers now. With the first sample afterwards a keyframe is requested.
    fn follow_pauses(&self, state: &mut State) -> bool {
        let is_paused = state.pauses.is_paused();
        if std::mem::replace(&mut state.is_paused, is_paused) != is_paused {
            if is_paused {
                state.samples.pause();
            } else {
                state.samples.resume(Instant::now());
                self.shared.keyframes.send_modify(KeyframeRequests::soon);
            }
        }
        is_paused
    }

    /// The same entrance for what is shown while nothing comes from the source.
    pub fn for_placeholder(&self) -> Self {
        Self { origin: Origin::Placeholder, ..self.clone() }
    }

    /// The same stream's entrance for another encoding, by its name. It keeps its number while [`StreamInput::keep_sources`] names
    /// it. `None` when there are too many.
    pub fn of_source(&self, name: &str) -> Option<Self> {
        let mut state = self.lock();
        let sources = &mut state.sources;
        let known = sources.iter().position(|known| known.as_deref() == Some(name));
        let source = known.or_else(|| {
            let free = sources.iter().position(Option::is_none).unwrap_or(sources.len());
            if free == sources.len() {
                sources.push(None);
            }
            (free < MAX_SOURCES).then_some(free)
        })?;
        *sources.get_mut(source)? = Some(name.into());
        drop(state);
        Some(Self { source, ..self.clone() })
    }

    /// Frees the numbers of all encodings but the main one and those with these names.
    pub fn keep_sources(&self, names: &[String]) {
        let mut state = self.lock();
        let State { sources, samples, runs, .. } = &mut *state;
        for (number, source) in sources.iter_mut().enumerate().skip(1) {
            if source.as_deref().is_some_and(|known| names.iter().all(|name| name != known)) {
                *source = None;
                samples.clear_source(number, Instant::now());
                runs.get_mut(number).into_iter().for_each(|runs| *runs = [None; 2]);
            }
        }
    }

    /// The main encoding has the audio of this other one: outputs are made of both unless something else is said.
    pub fn set_main_audio(&self, audio: Option<usize>) {
        let sources: Vec<_> = std::iter::once(0).chain(audio).collect();
        self.lock().main = SourceSet::of(&sources);
    }

    /// Whether another one is the same entrance.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared) && self.origin == other.origin && self.source == other.source
    }

    /// The number of the encoding that enters here.
    pub fn source(&self) -> usize {
        self.source
    }

    /// The tracks of the main encoding while it runs, with its audio where that is apart, and whether there are no others.
    pub fn known_tracks(&self) -> watch::Receiver<Option<(TrackSet, bool)>> {
        self.shared.tracks.subscribe()
    }

    /// The output in this container, offered or not. Nothing is muxed for it until it is used.
    pub fn output(&self, container: Container) -> StreamOutput {
        let mut state = self.lock();
        let known = state.outputs.iter().find(|output| output.container == container);
        let fanout = known.map(|output| output.fanout.clone()).unwrap_or_else(|| {
            let fanout = FanOut::requesting(self.shared.keyframes.clone());
            fanout.set_container(container, None);
            state.outputs.push(OutputState {
                container,
                fanout: fanout.clone(),
                is_offered: false,
                users: 0,
                sources: SourceSet::of(&[]),
            });
            fanout
        });
        StreamOutput { input: self.clone(), fanout }
    }

    /// One more uses an output. The first one has it muxed, from the newest GOP on.
    fn add_user(&self, fanout: &FanOut, sources: SourceSet) {
        let mut state = self.lock();
        // Whoever comes now gets nothing of before.
        self.follow_pauses(&mut state);
        let State { outputs, samples, .. } = &mut *state;
        let Some(output) = outputs.iter_mut().find(|output| output.fanout.is_same(fanout)) else { return };
        output.users += 1;
        if output.users == 1 {
            output.sources = sources;
        }
        if output.users == 1
            && let Err(fault) = samples.attach(output.container, sources, fanout.clone(), Instant::now())
        {
            tracing::warn!(stream = %self.shared.name, reason = %fault, "output cannot carry the tracks");
        }
    }

    /// Reads the samples that are made in these encodings, of the tracks that a container can carry, from the newest GOP on. What
    /// makes the stream is to be leased before.
    pub fn samples(&self, container: Container, sources: &[usize]) -> SampleReader {
        let queue = Queue::default();
        let mut state = self.lock();
        self.follow_pauses(&mut state);
        // What cannot be carried is reported to the reader as well.
        let _ = state.samples.tap(container, SourceSet::of(sources), queue.clone(), Instant::now());
        drop(state);
        SampleReader { input: self.clone(), queue }
    }

    /// One less uses an output. With the last one it forgets everything.
    fn remove_user(&self, fanout: &FanOut) {
        let mut state = self.lock();
        let State { outputs, samples, .. } = &mut *state;
        let Some(output) = outputs.iter_mut().find(|output| output.fanout.is_same(fanout)) else { return };
        output.users = output.users.saturating_sub(1);
        if output.users == 0 {
            samples.detach(fanout);
            fanout.restart();
        }
    }

    /// Offers outputs in these containers. Those that were offered in others end, and their readers.
    pub fn offer(&self, containers: &[Container]) {
        containers.iter().for_each(|container| drop(self.output(*container)));
        let mut state = self.lock();
        let State { outputs, samples, bytes, .. } = &mut *state;
        outputs.retain_mut(|output| {
            let was_offered = std::mem::replace(&mut output.is_offered, containers.contains(&output.container));
            let stays = output.is_offered || !was_offered;
            if !stays {
                samples.detach(&output.fanout);
                *bytes = bytes.take().filter(|bytes| !bytes.writer.fanout().is_same(&output.fanout));
                output.fanout.close();
            }
            stays
        });
    }

    /// All outputs.
    pub fn outputs(&self) -> Vec<FanOut> {
        self.lock().outputs.iter().map(|output| output.fanout.clone()).collect()
    }

    /// How many outputs are muxed now of the encoding that enters here.
    pub fn muxed_outputs(&self) -> usize {
        let state = self.lock();
        state.outputs.iter().filter(|output| output.users > 0 && output.sources.has(self.source)).count()
    }

    /// Changes when a reader of any output wants a keyframe sooner than it would come by itself.
    pub fn keyframe_requests(&self) -> watch::Receiver<KeyframeRequests> {
        self.shared.keyframes.subscribe()
    }

    /// A run begins: from now on media of this run is taken, and of no other.
    pub fn begin(&self, run: u32) {
        if self.source == 0 {
            self.shared.tracks.send_replace(None);
        }
        let mut state = self.lock();
        if let Some(current) = state.run(self) {
            *current = Some(run);
        }
        state.samples.begin(self.origin, self.source, Instant::now());
        if let Some(bytes) = state.bytes.as_mut().filter(|_| self.source == 0) {
            bytes.begin(self.origin);
        }
    }

    /// The encoding is not used any more: nothing of it is kept, and nothing taken until its next run begins.
    pub fn clear(&self) {
        if self.source == 0 {
            self.shared.tracks.send_replace(None);
        }
        let mut state = self.lock();
        state.runs.get_mut(self.source).into_iter().for_each(|runs| *runs = [None; 2]);
        state.samples.clear_source(self.source, Instant::now());
        if self.source == 0 {
            if let Some(bytes) = &mut state.bytes {
                bytes.writer.clear();
            }
            state.rhythm = Rhythm::default();
        }
    }

    /// The tracks of the samples that follow. `is_complete`: no others are expected.
    ///
    /// # Errors
    /// When outputs cannot carry them; these end.
    pub fn tracks(&self, run: u32, set: &TrackSet, is_complete: bool) -> Result<(), NotTaken> {
        let Some(mut state) = self.current(run) else { return Ok(()) };
        let is_main_audio = self.source != 0 && state.main.has(self.source);
        if set.tracks().is_empty() && !is_main_audio {
            return Ok(());
        }
        let result = state.samples.tracks(self.origin, self.source, set, is_complete, Instant::now());
        let known = if state.main.has(self.source) { state.samples.known(self.origin, state.main) } else { None };
        drop(state);
        if known.is_some() {
            self.shared.tracks.send_replace(known);
        }
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
        if self.follow_pauses(&mut state) {
            return Ok(());
        }
        let result = state.samples.sample(self.origin, self.source, sample, Instant::now());
        self.told(result)
    }

    /// The next bytes of a muxer that is not ours. `discontinuity`: some are missing before them.
    pub fn bytes(&self, run: u32, bytes: &[u8], captured: Option<Duration>, discontinuity: bool) {
        let Some(mut state) = self.current(run) else { return };
        if self.origin == Origin::Source {
            state.rhythm.beat(monotonic());
        }
        let State { bytes: input, outputs, pauses, .. } = &mut *state;
        let Some(OutputState { container, fanout, .. }) = outputs.first() else { return };
        let input = input.get_or_insert_with(|| {
            let mut input = ByteInput {
                writer: Writer::new(fanout.clone(), true),
                scanner: Scanner::new(Some(*container)),
                expected: *container,
            };
            input.writer.set_pauses(pauses.clone());
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
        let mut state = self.lock();
        let is_current = state.run(self).is_some_and(|current| *current == Some(run));
        is_current.then_some(state)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it was held costs at most a packet.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The current run at an entrance.
    fn run(&mut self, input: &StreamInput) -> Option<&mut Option<u32>> {
        self.runs.get_mut(input.source)?.get_mut(index(input.origin))
    }
}

impl ByteInput {
    fn begin(&mut self, origin: Origin) {
        self.writer.writes_for(origin);
        self.writer.begin();
        self.scanner = Scanner::new(Some(self.expected));
    }
}
