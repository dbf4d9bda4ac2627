//! One push, as long as it is configured.

use super::{
    connection::{Connection, container, takes_header},
    error::PushError,
    hops::{Hop, agent, way},
    machine::{Machine, Step},
    orders::{Ordered, obeying},
};
use crate::{
    config::PushTarget,
    engine::{
        push_status::{PushState, PushStatus},
        registry::StreamHandle,
    },
    output::packets::{self, Unfit},
    source::{demand::Lease, publisher::PublishSlot},
    stream::{Delivery, Entry, FanOut, Join, LagAction, LagPolicy, Progress, Reader},
    telemetry::{FailureLog, Report, chain},
};
use aws_lc_rs::rand;
use bytes::Bytes;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

/// A connection is closed when the stream has delivered nothing for so long, before targets end it as a silent one.
const SILENT: Duration = Duration::from_secs(5);
/// How often statistics are reported.
const TICK: Duration = Duration::from_secs(1);
/// A stream that cannot be pushed is tried again after so long: it may have other tracks then.
const OPEN_AGAIN: Duration = Duration::from_secs(10);

/// What a push needs.
#[derive(Debug)]
pub(super) struct PushTask {
    pub(super) stream: Arc<StreamHandle>,
    pub(super) target: PushTarget,
    pub(super) status: PushStatus,
    /// Where the feeds of the stream are published to.
    pub(super) slots: Vec<PublishSlot>,
}

/// How sending ended.
enum Ended {
    Stopped,
    Silent,
    Closed,
    Failed(PushError),
}

impl Ordered for PushTask {
    fn status(&self) -> &PushStatus {
        &self.status
    }

    async fn work(&self, stop: &CancellationToken) {
        self.push_until(stop).await;
    }
}

impl PushTask {
    /// Pushes until `stop`, but for the time that someone stops it.
    pub(super) async fn run(self, stop: CancellationToken) {
        obeying(&self, &stop).await;
    }

    async fn push_until(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let opened = stop.run_until_cancelled(self.open()).await;
            match opened {
                None => break,
                Some(Ok((fanout, lease))) => {
                    let unfit = self.push(&fanout, stop).await;
                    drop(lease);
                    match unfit {
                        None => drop(stop.run_until_cancelled(sleep(TICK)).await),
                        Some(unfit) => self.unfit(&unfit, stop).await,
                    }
                }
                Some(Err(unfit)) => self.unfit(&unfit, stop).await,
            }
        }
    }

    /// Waits until it may be pushed after all.
    async fn unfit(&self, unfit: &Unfit, stop: &CancellationToken) {
        if self.status.set(PushState::Unsupported, Some(unfit.to_string())) {
            let (stream, to) = (self.name(), &self.target.to);
            tracing::warn!(stream, %to, reason = %unfit, "stream cannot be pushed");
        }
        stop.run_until_cancelled(sleep(OPEN_AGAIN)).await;
    }

    fn name(&self) -> &str {
        self.stream.config.name.as_str()
    }

    /// Leases the packets of the stream in the container of the target.
    async fn open(&self) -> Result<(FanOut, Lease), Unfit> {
        packets::open(&self.stream, container(&self.target.to)).await
    }

    /// Connects again and again, until `stop` or the end of the packets, or until it is known that there are none.
    async fn push(&self, fanout: &FanOut, stop: &CancellationToken) -> Option<Unfit> {
        let (mut machine, mut failures) = (Machine::default(), FailureLog::default());
        let (mut connection, mut header) = (None, Bytes::new());
        loop {
            match machine.step(Instant::now()) {
                Step::Wait => {
                    self.status.set(PushState::Waiting, self.status.read().error);
                    let found = tokio::select! {
                        found = stop.run_until_cancelled(media(fanout)) => found.flatten(),
                        // Tracks that are known later may show it.
                        unfit = packets::turns_out_unfit(&self.stream, container(&self.target.to), fanout) => return Some(unfit),
                    };
                    header = found?;
                    machine.media();
                }
                Step::Connect => {
                    self.status.set(PushState::Connecting, self.status.read().error);
                    let open = Connection::open(&self.target, self.agent(), (self.name(), &header));
                    let opened = stop.run_until_cancelled(open).await;
                    match opened {
                        None => return None,
                        Some(Ok(opened)) => {
                            self.established(&opened, &mut failures);
                            connection = Some(opened);
                            machine.established(Instant::now());
                        }
                        Some(Err(error)) => self.failed(&error, &mut machine, &mut failures),
                    }
                }
                Step::Send => {
                    let mut opened = connection.take()?;
                    match self.send(&mut opened, fanout, stop).await {
                        Ended::Failed(error) => self.failed(&error, &mut machine, &mut failures),
                        ended => {
                            let line = opened.line();
                            opened.close().await;
                            let (reason, is_over) = match ended {
                                Ended::Stopped => ("stopped", true),
                                Ended::Closed => ("stream ended", true),
                                Ended::Silent | Ended::Failed(_) => ("no media", false),
                            };
                            let (stream, to) = (self.name(), &self.target.to);
                            let (resent, rtt_ms) = line.unzip();
                            tracing::info!(stream, %to, resent, rtt_ms, reason, "push ended");
                            self.status.ended(reason);
                            if is_over {
                                return None;
                            }
                            machine.silent(Instant::now());
                        }
                    }
                }
                Step::Sleep(wait) => {
                    stop.run_until_cancelled(sleep(wait)).await?;
                }
            }
        }
    }

    /// The name of our program with the way of the media.
    fn agent(&self) -> String {
        let before = self.slots.iter().filter_map(|slot| slot.read().current?.info.agent);
        let mut hops: Vec<Hop> = before.flat_map(|agent| way(&agent)).collect();
        hops.push(Hop::own(self.name()));
        agent(&hops)
    }

    fn established(&self, connection: &Connection, failures: &mut FailureLog) {
        self.status.established();
        let (stream, to, enhanced) = (self.name(), &self.target.to, connection.knows_four_cc());
        let failures = failures.recovered();
        tracing::info!(stream, %to, protocol = self.target.to.protocol().name(), enhanced, failures, "push established");
    }

    fn failed(&self, error: &PushError, machine: &mut Machine, failures: &mut FailureLog) {
        let (now, failure) = (Instant::now(), error.failure());
        let error = chain(error);
        self.status.failed(&error);
        let wait = machine.failed(failure, now, random());
        let (stream, to, seconds) = (self.name(), &self.target.to, wait.as_secs_f64());
        match failures.failed(now) {
            Some(Report::First) => tracing::warn!(stream, %to, error, retry_in = seconds, "push failed"),
            Some(Report::Again(failures)) => tracing::warn!(stream, %to, error, failures, "push still fails"),
            None => {}
        }
    }

    /// Sends packets, from the newest keyframe on.
    async fn send(&self, connection: &mut Connection, fanout: &FanOut, stop: &CancellationToken) -> Ended {
        let takes_header = takes_header(&self.target.to);
        let mut reader = fanout.subscribe(Entry { join: Join::Keyframe, header: takes_header });
        let (mut lag, mut progress) = (LagPolicy::default(), Progress::default());
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        loop {
            let delivery = tokio::select! {
                biased;
                () = stop.cancelled() => return Ended::Stopped,
                _ = tick.tick() => {
                    self.reduce(&mut reader, lag.look(Instant::now()), &mut progress);
                    // The connection stays while somebody pauses the stream.
                    if self.stream.pauses.is_paused() {
                        last = Instant::now();
                    }
                    if last.elapsed() >= SILENT {
                        return Ended::Silent;
                    }
                    continue;
                }
                heard = connection.listen() => {
                    if let Err(error) = heard {
                        return Ended::Failed(error);
                    }
                    if let Err(error) = connection.flush().await {
                        return Ended::Failed(error);
                    }
                    if connection.wants_keyframe() {
                        fanout.want_keyframe();
                    }
                    continue;
                }
                delivery = reader.next() => delivery,
            };
            let packet = match delivery {
                Delivery::Aside(_) if !takes_header => continue,
                Delivery::Aside(packet) | Delivery::Packet(packet) => packet.payload(),
                Delivery::Gap(lost) => {
                    self.status.lost(lost);
                    self.reduce(&mut reader, lag.overrun(Instant::now()), &mut progress);
                    continue;
                }
                Delivery::End => return Ended::Closed,
            };
            last = Instant::now();
            if let Some(late) = connection.late() {
                self.status.lost(late);
                reader.skip();
                continue;
            }
            match stop.run_until_cancelled(connection.send(packet)).await {
                None => return Ended::Stopped,
                Some(Ok(bytes)) => self.status.sent(bytes),
                Some(Err(error)) => return Ended::Failed(error),
            }
        }
    }

    fn reduce(&self, reader: &mut Reader, strength: Option<LagAction>, progress: &mut Progress) {
        let Some(strength) = strength else { return };
        let is_reduced = strength == LagAction::Reduce;
        if reader.reduce(is_reduced) && is_reduced != progress.is_reduced {
            progress.is_reduced = is_reduced;
            let (stream, to) = (self.name(), &self.target.to);
            tracing::info!(stream, %to, is_reduced, "push target is slow: keyframes only");
        }
    }
}

/// Waits until a stream delivers media: its header, which may be empty; `None` when it has ended. Cancel-safe.
async fn media(fanout: &FanOut) -> Option<Bytes> {
    let mut reader = fanout.subscribe_unforced(Entry { join: Join::Live, header: true });
    let mut header = Bytes::new();
    loop {
        match reader.next().await {
            Delivery::Packet(_) => return Some(header),
            Delivery::Aside(packet) => header = packet.payload(),
            Delivery::Gap(_) => {}
            Delivery::End => return None,
        }
    }
}

/// Varies a wait.
pub(super) fn random() -> u32 {
    let mut random = [0; 4];
    // Without random numbers there would be no gate either.
    let _ = rand::fill(&mut random);
    u32::from_be_bytes(random)
}
