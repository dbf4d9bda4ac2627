//! A service that is asked for targets when a publisher begins, and the pushes to those that it names, for as long as that publisher is there.

use super::{
    forward::{Named, answer, question},
    machine::{Failure, Machine, Step},
    orders::{Ordered, obeying},
    task::{PushTask, random},
};
use crate::{
    config::{PushService, PushTarget},
    engine::{
        push_status::{PushState, PushStatus},
        registry::StreamHandle,
    },
    net::HttpClient,
    source::publisher::{Phase, PublishSlot, PublisherInfo},
    sys::Shutdown,
    telemetry::{Facts, FailureLog, Report, chain},
};
use futures_util::future::select_all;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Time for an answer.
const WITHIN: Duration = Duration::from_secs(5);
/// What is read of an answer in bytes.
const MOST_ANSWER: usize = 64 << 10;

/// What is needed to ask, and to push.
#[derive(Debug)]
pub(super) struct AskTask {
    pub(super) stream: Arc<StreamHandle>,
    pub(super) service: PushService,
    pub(super) status: PushStatus,
    /// Where the feeds of the stream are published to.
    pub(super) slots: Vec<PublishSlot>,
    /// The name of this server.
    pub(super) server: Arc<str>,
    pub(super) shutdown: Shutdown,
    pub(super) facts: Facts,
}

/// A publisher: the place of its slot, and which one of that slot it is.
type Which = (usize, u64);

impl Ordered for AskTask {
    fn status(&self) -> &PushStatus {
        &self.status
    }

    async fn work(&self, stop: &CancellationToken) {
        self.serve(stop).await;
    }
}

impl AskTask {
    /// Asks and pushes until `stop`, but for the time that someone stops it.
    pub(super) async fn run(self, stop: CancellationToken) {
        obeying(&self, &stop).await;
    }

    async fn serve(&self, stop: &CancellationToken) {
        if self.slots.is_empty() {
            let reason = "the feeds of this stream are not published to: there is no publisher to ask for";
            self.status.set(PushState::Unsupported, Some(reason.to_owned()));
            return stop.cancelled().await;
        }
        while !stop.is_cancelled() {
            self.status.set(PushState::Waiting, None);
            let Some((which, publisher)) = stop.run_until_cancelled(self.publisher()).await else { return };
            let until = stop.child_token();
            let forwarding = self.forward(&publisher, &until);
            tokio::pin!(forwarding);
            tokio::select! {
                () = &mut forwarding => {}
                () = self.gone(which) => {
                    // What was begun ends as it should.
                    until.cancel();
                    forwarding.await;
                    self.status.ended("publisher left");
                }
            }
        }
    }

    /// Waits for a publisher. Cancel-safe.
    async fn publisher(&self) -> (Which, PublisherInfo) {
        loop {
            let found = self.slots.iter().enumerate().find_map(|(place, slot)| {
                let state = slot.read();
                let is_live = *slot.phase().borrow() == Phase::Live;
                let current = state.current.filter(|_| is_live)?;
                Some(((place, state.totals.publishers), current.info))
            });
            match found {
                Some(found) => return found,
                None => self.changed().await,
            }
        }
    }

    /// Waits until a publisher has left. Cancel-safe.
    async fn gone(&self, (place, which): Which) {
        let Some(slot) = self.slots.get(place) else { return };
        let mut phase = slot.phase();
        loop {
            let is_live = *phase.borrow_and_update() == Phase::Live;
            if !is_live || slot.read().totals.publishers != which || phase.changed().await.is_err() {
                return;
            }
        }
    }

    async fn changed(&self) {
        let changes = self.slots.iter().map(|slot| {
            let mut phase = slot.phase();
            Box::pin(async move {
                let is_live = phase.borrow_and_update().eq(&Phase::Live);
                if !is_live && phase.changed().await.is_err() {
                    pending::<()>().await;
                }
            })
        });
        select_all(changes).await;
    }

    /// Asks until there is an answer, and pushes to what it names, until `stop`.
    async fn forward(&self, publisher: &PublisherInfo, stop: &CancellationToken) {
        let (mut machine, mut failures) = (Machine::default(), FailureLog::default());
        loop {
            match machine.step(Instant::now()) {
                Step::Wait => machine.media(),
                Step::Connect => {
                    self.status.set(PushState::Connecting, self.status.read().error);
                    match stop.run_until_cancelled(self.ask(publisher)).await {
                        None => return,
                        Some(Ok(named)) => {
                            machine.established(Instant::now());
                            return self.push(named, &mut failures, stop).await;
                        }
                        Some(Err(error)) => self.failed(&error, &mut machine, &mut failures),
                    }
                }
                Step::Sleep(wait) => {
                    if stop.run_until_cancelled(sleep(wait)).await.is_none() {
                        return;
                    }
                }
                Step::Send => return,
            }
        }
    }

    async fn ask(&self, publisher: &PublisherInfo) -> Result<Named, String> {
        let PushService { url, ca, token } = &self.service;
        let client = tokio::task::block_in_place(|| HttpClient::new(ca.as_deref()));
        let client = client.map_err(|error| chain(&error))?;
        let question = question(&self.server, self.name(), publisher).to_string();
        let mut request = Request::post(url.expose())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("voyandz/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let request = request.body(Full::from(question)).map_err(|_| "its address or token is none of HTTP")?;
        let answered = timeout(WITHIN, async {
            let mut exchange = client.send(request).await.map_err(|error| chain(&error))?;
            let status = exchange.response.status().as_u16();
            let body = Limited::new(exchange.response.body_mut(), MOST_ANSWER).collect().await;
            let body = body.map_err(|_| "the answer ended too early, or is longer than 64 KiB")?;
            answer(status, &body.to_bytes())
        });
        answered.await.unwrap_or_else(|_| Err(format!("no answer within {} s", WITHIN.as_secs())))
    }

    /// Pushes to the targets that are named, but for those that are configured already, until `stop`.
    async fn push(&self, named: Named, failures: &mut FailureLog, stop: &CancellationToken) {
        let (stream, service, failures) = (self.name(), &self.service, failures.recovered());
        let is_new = |target: &PushTarget| self.stream.config.pushes.iter().all(|known| known.to != target.to);
        let targets: Vec<_> = named.targets.into_iter().filter(is_new).collect();
        self.status.established();
        tracing::info!(stream, %service, targets = targets.len(), failures, "push targets named");
        for fault in &named.faults {
            tracing::warn!(stream, %service, expected = fault, "push target refused");
        }
        let (statuses, tasks): (Vec<_>, Vec<_>) = targets.into_iter().map(|target| self.begin(target, stop)).unzip();
        self.stream.pushes.set_named(statuses);
        stop.cancelled().await;
        for task in tasks {
            let _ = task.await;
        }
        self.stream.pushes.set_named(Vec::new());
    }

    fn begin(&self, target: PushTarget, stop: &CancellationToken) -> (PushStatus, JoinHandle<()>) {
        let (name, to) = (self.name(), target.to.to_string());
        let status = PushStatus::new(name, to.clone(), target.to.protocol().name(), self.facts.clone());
        let task = PushTask { stream: self.stream.clone(), target, status: status.clone(), slots: self.slots.clone() };
        let task = self.shutdown.spawn(format!("push of {name} to {to}"), task.run(stop.child_token()));
        (status, task)
    }

    fn failed(&self, error: &str, machine: &mut Machine, failures: &mut FailureLog) {
        let now = Instant::now();
        self.status.failed(error);
        let (stream, service, seconds) =
            (self.name(), &self.service, machine.failed(Failure::Refused, now, random()).as_secs_f64());
        match failures.failed(now) {
            Some(Report::First) => tracing::warn!(stream, %service, error, retry_in = seconds, "push targets unknown"),
            Some(Report::Again(failures)) => {
                tracing::warn!(stream, %service, error, failures, "push targets still unknown");
            }
            None => {}
        }
    }

    fn name(&self) -> &str {
        self.stream.config.name.as_str()
    }
}
