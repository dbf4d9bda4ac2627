//! The streams of a group: what they are doing.

use super::{Group, Stopping, let_go};
use crate::{
    ipc::{EncoderProbe, Ended, FromWorker, Item, LogLevel, StreamPlan},
    media::TrackSet,
    worker::{
        event::{Owner, Run, next_run},
        exit::Exit,
        launch,
        resolve::{self, FeedView, Recipe, Resolved},
        sender::StreamSender,
        stream::{StreamRun, Unbuilt},
        threads::dispose,
        track::decode::Decoded,
    },
};
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a stream waits for a track while it has another one.
const PATIENCE: Duration = Duration::from_secs(3);

/// So many dropped frames are logged; fewer are not.
const LEFT_OUT_LEAST: u64 = 10;
/// From one word of them to the next.
const LEFT_OUT_PAUSE: Duration = Duration::from_secs(60);

/// A stream of the plan, and what it is doing.
pub(super) struct StreamSlot {
    pub(super) plan: StreamPlan,
    pub(super) state: StreamState,
    /// It has sent packets in an earlier run.
    pub(super) ran: bool,
    /// Raw frames that its present run was too slow for, and when they were logged.
    pub(super) dropped: u64,
    pub(super) told_left_out: Option<Instant>,
    /// Remarks that were made, which are not repeated at each attempt.
    pub(super) said: Vec<String>,
    /// Which of the plan's pipelines is used: those before it do not work here.
    text: usize,
    /// Number of the run that the server asked for last.
    pub(super) run: u32,
}

/// What a stream is doing.
pub(super) enum StreamState {
    Idle,
    Waiting { since: Instant, hopeful: Option<Instant> },
    Running(Box<StreamRun>, Instant),
    Stopping(Stopping),
}

impl StreamSlot {
    pub(super) fn new(plan: StreamPlan) -> Self {
        Self {
            plan,
            state: StreamState::Idle,
            ran: false,
            dropped: 0,
            told_left_out: None,
            said: Vec::new(),
            text: 0,
            run: 0,
        }
    }

    /// Continues with this plan. Pipelines that it did not have may work.
    pub(super) fn becomes(&mut self, plan: StreamPlan) {
        if plan.encoding != self.plan.encoding {
            self.text = 0;
        }
        self.plan = plan;
    }

    /// There is another pipeline to try if the present one does not work.
    fn has_another(&self) -> bool {
        self.text + 1 < self.plan.encoding.texts()
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, StreamState::Idle)
    }
}

impl Group {
    /// The streams of which this is true.
    pub(super) fn streams_where(&self, is_meant: impl Fn(&StreamSlot) -> bool) -> Vec<u32> {
        self.streams.iter().filter(|(_, slot)| is_meant(slot)).map(|(index, _)| *index).collect()
    }

    pub(super) fn start_stream(&mut self, index: u32, run: u32) -> io::Result<()> {
        let Some(slot) = self.streams.get_mut(&index) else {
            return self.ended(Item::Stream(index), Ended::Failed("the plan has no such stream".into()));
        };
        slot.run = run;
        match &mut slot.state {
            StreamState::Idle => {
                slot.state = StreamState::Waiting { since: Instant::now(), hopeful: None };
                self.try_stream(index)
            }
            StreamState::Stopping(stopping) => {
                stopping.again = true;
                Ok(())
            }
            StreamState::Waiting { .. } | StreamState::Running(..) => Ok(()),
        }
    }

    pub(super) fn stop_stream(&mut self, index: u32, why: Ended) -> io::Result<()> {
        let item = Item::Stream(index);
        let Some(slot) = self.streams.get_mut(&index) else { return Ok(()) };
        match std::mem::replace(&mut slot.state, StreamState::Idle) {
            StreamState::Idle | StreamState::Waiting { .. } => self.ended(item, why),
            StreamState::Stopping(mut stopping) => {
                stopping.again = false;
                if why == Ended::Stopped {
                    stopping.why = why;
                }
                slot.state = StreamState::Stopping(stopping);
                Ok(())
            }
            StreamState::Running(mut run, _) => {
                slot.ran |= run.started;
                let Some(pipeline) = run.pipeline.take() else {
                    drop(run);
                    return self.ended(item, why);
                };
                let number = run.run;
                drop(run);
                let stopping = let_go(&self.events, number, pipeline, why);
                if let Some(slot) = self.streams.get_mut(&index) {
                    slot.state = StreamState::Stopping(stopping);
                }
                Ok(())
            }
        }
    }

    /// Builds a waiting stream if what it needs is known.
    pub(super) fn try_stream(&mut self, index: u32) -> io::Result<()> {
        let now = Instant::now();
        let Some(slot) = self.streams.get(&index) else { return Ok(()) };
        let StreamState::Waiting { since, hopeful } = slot.state else { return Ok(()) };
        let (plan, text, has_another, number) = (slot.plan.clone(), slot.text, slot.has_another(), slot.run);
        let recipe = Recipe { plan: &plan, text };
        let views: Vec<FeedView> = plan.feeds.iter().filter_map(|feed| self.view(*feed, now)).collect();
        let patience = hopeful.is_none_or(|at| now.duration_since(at) < PATIENCE);
        let run = next_run(Owner::Stream(index));
        let exit = || Exit {
            sender: Arc::new(StreamSender::new(self.writer.clone(), index, number, self.events.clone())),
            events: self.events.clone(),
            run,
            epoch: self.epoch,
        };
        let built = match resolve::resolve(recipe, &views, patience) {
            Resolved::Wait(part) => {
                let hopeful = if part { hopeful.or(Some(now)) } else { None };
                if let Some(slot) = self.streams.get_mut(&index) {
                    slot.state = StreamState::Waiting { since, hopeful };
                }
                return Ok(());
            }
            Resolved::Demux(feed) => {
                self.demux(feed);
                return Ok(());
            }
            Resolved::Fail(why) => {
                // Whoever makes one stream of several encodings does not wait for this one.
                if plan.container.is_none() {
                    exit().sender.tracks(TrackSet::new(Vec::new()), true);
                }
                return self.stop_stream(index, Ended::Failed(why));
            }
            Resolved::Bytes(track) => Ok(StreamRun::of_bytes(&track, exit())),
            Resolved::Tracks(sources, missing) => StreamRun::build(recipe, &sources, missing, exit()),
        };
        match built {
            Ok(run) => {
                if run.is_probed() {
                    self.say(&FromWorker::EncoderProbe { stream: index, text, outcome: EncoderProbe::Begun })?;
                }
                run.start(&self.events);
                if let Some(slot) = self.streams.get_mut(&index) {
                    for remark in run.remarks.iter().filter(|remark| !slot.said.contains(remark)) {
                        self.events.log(LogLevel::Info, Some(Item::Stream(index)), remark.clone());
                    }
                    slot.said.clone_from(&run.remarks);
                    slot.dropped = 0;
                    slot.state = StreamState::Running(Box::new(run), now);
                }
                Ok(())
            }
            Err(Unbuilt::Absent(why)) if has_another => {
                self.next_text(index, LogLevel::Debug, &why);
                self.try_stream(index)
            }
            Err(Unbuilt::Text(why)) if has_another => {
                self.next_text(index, LogLevel::Warn, &why);
                self.try_stream(index)
            }
            Err(Unbuilt::Absent(why) | Unbuilt::Text(why) | Unbuilt::Otherwise(why)) => {
                self.stop_stream(index, Ended::Failed(why))
            }
        }
    }

    /// The first so many pipelines of a stream are known not to work.
    pub(super) fn pass_over(&mut self, index: u32, texts: usize) {
        if let Some(slot) = self.streams.get_mut(&index) {
            slot.text = slot.text.max(texts.min(slot.plan.encoding.texts().saturating_sub(1)));
        }
    }

    /// Uses the next pipeline from the next attempt on.
    fn next_text(&mut self, index: u32, level: LogLevel, why: &str) {
        let Some(slot) = self.streams.get_mut(&index) else { return };
        slot.text += 1;
        let text = format!("text {} of {} does not work here: {why}", slot.text, slot.plan.encoding.texts());
        self.events.log(level, Some(Item::Stream(index)), text);
    }

    /// The pipeline of a stream failed. One that has another pipeline and has made nothing by this one restarts with that.
    pub(super) fn stream_failed(&mut self, index: u32, why: &str) -> io::Result<()> {
        let Some(StreamSlot { text, state, .. }) = self.streams.get_mut(&index) else { return Ok(()) };
        let mut run = match std::mem::replace(state, StreamState::Waiting { since: Instant::now(), hopeful: None }) {
            StreamState::Running(run, _) if run.is_probed() => run,
            other => {
                let why = match &other {
                    StreamState::Running(run, _) => run.explained(why),
                    _ => why.to_owned(),
                };
                *state = other;
                return self.stop_stream(index, Ended::Failed(why));
            }
        };
        let message = FromWorker::EncoderProbe { stream: index, text: *text, outcome: EncoderProbe::Failed };
        let why = run.explained(why);
        let pipeline = run.pipeline.take();
        drop(run);
        // What hangs may take for ever to end; nothing waits for it.
        if let Some(pipeline) = pipeline {
            dispose(pipeline, || {});
        }
        self.say(&message)?;
        self.next_text(index, LogLevel::Warn, &why);
        self.try_stream(index)
    }

    /// A stream has made its first packet.
    pub(super) fn stream_began(&mut self, index: u32) -> io::Result<()> {
        let Some(StreamSlot { text, state: StreamState::Running(run, _), .. }) = self.streams.get_mut(&index) else {
            return Ok(());
        };
        let was_probed = run.is_probed();
        run.started = true;
        let text = *text;
        if was_probed {
            self.say(&FromWorker::EncoderProbe { stream: index, text, outcome: EncoderProbe::Passed })
        } else {
            Ok(())
        }
    }

    /// Gives up encoders that make nothing where there are others.
    pub(super) fn end_hanging(&mut self) -> io::Result<()> {
        let hanging = self.streams.iter().filter_map(|(index, slot)| match &slot.state {
            StreamState::Running(run, _) => Some((*index, run.stall_reason()?)),
            _ => None,
        });
        for (index, why) in hanging.collect::<Vec<_>>() {
            self.stream_failed(index, why)?;
        }
        Ok(())
    }

    /// Ends a running stream whose tracks are no longer those that it was built for; the server restarts it.
    pub(super) fn check_stream(&mut self, index: u32) -> io::Result<()> {
        let now = Instant::now();
        let Some(StreamSlot { plan, state: StreamState::Running(run, _), .. }) = self.streams.get(&index) else {
            return Ok(());
        };
        if run.is_outdated() {
            return self.stop_stream(index, Ended::Failed("the format of a track changed".into()));
        }
        if run.missing.is_empty() {
            return Ok(());
        }
        let views: Vec<FeedView> = plan.feeds.iter().filter_map(|feed| self.view(*feed, now)).collect();
        let found = run.missing.iter().any(|name| {
            launch::reference(name).is_some_and(|(kind, position)| {
                let mut candidates =
                    views.iter().enumerate().filter(|(at, _)| position.is_none_or(|wanted| wanted == *at));
                candidates.any(|(_, view)| view.feed.track(kind).is_some_and(|track| track.is_live()))
            })
        });
        if found {
            return self.stop_stream(index, Ended::Failed("a track came that was missing before".into()));
        }
        Ok(())
    }

    /// Ends streams whose muxer waits for a track that fell silent; they restart without it.
    pub(super) fn end_stalled(&mut self) -> io::Result<()> {
        let stalled = |slot: &StreamSlot| matches!(&slot.state, StreamState::Running(run, _) if run.is_stalled());
        for stream in self.streams_where(stalled) {
            self.stop_stream(stream, Ended::Failed("a track fell silent, and the container waits for it".into()))?;
        }
        Ok(())
    }

    /// Reports what the streams are made of, as far as that was not reported.
    pub(super) fn tell_made(&mut self) -> io::Result<()> {
        let mut news = Vec::new();
        for (index, slot) in &mut self.streams {
            if let StreamState::Running(run, _) = &mut slot.state
                && let Some(tracks) = run.changed_tracks()
            {
                news.push(FromWorker::Tracks { item: Item::Stream(*index), tracks });
            }
        }
        news.iter().try_for_each(|news| self.say(news))
    }

    /// Logs streams that are too slow for their frames, each once a minute.
    pub(super) fn report_dropped(&mut self, now: Instant) -> io::Result<()> {
        let mut news = Vec::new();
        for (index, slot) in &mut self.streams {
            let StreamState::Running(run, _) = &slot.state else { continue };
            let (all, rests) = (run.dropped(), |at| now.duration_since(at) < LEFT_OUT_PAUSE);
            let missed = all.saturating_sub(slot.dropped);
            if missed < LEFT_OUT_LEAST || slot.told_left_out.is_some_and(rests) {
                continue;
            }
            (slot.dropped, slot.told_left_out) = (all, Some(now));
            let text = format!(
                "its encoder is too slow: {missed} frames were dropped; use a faster preset, a smaller frame size or a lower frame rate"
            );
            news.push(FromWorker::Log { level: LogLevel::Warn, item: Some(Item::Stream(*index)), text });
        }
        news.iter().try_for_each(|news| self.say(news))
    }

    pub(super) fn decoder_failed(&mut self, run: Run, text: &str) -> io::Result<()> {
        let uses = |slot: &StreamSlot| match &slot.state {
            StreamState::Running(current, _) => {
                current.decoders.iter().any(|decoded: &Arc<Decoded>| decoded.run == run)
            }
            _ => false,
        };
        for stream in self.streams_where(uses) {
            self.stop_stream(stream, Ended::Failed(text.to_owned()))?;
        }
        Ok(())
    }
}
