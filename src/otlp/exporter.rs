//! The task that takes spans from the queue and posts them.

use super::encode;
use crate::{
    config::Telemetry,
    net::HttpClient,
    telemetry::{FailureLog, OtlpStats, Report, Span, chain, random},
};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

/// Spans that are posted together: about 256 KiB, far below what collectors take.
const BATCH: usize = 512;
/// How long the first span of a batch waits for others.
const COLLECT: Duration = Duration::from_secs(2);
/// Time for a post.
const WITHIN: Duration = Duration::from_secs(10);
/// What is read of an answer in bytes: some collectors want to have it read.
const ANSWER: usize = 64 << 10;
/// The first pause after a failure; each one is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, unless the collector asks for more.
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// A batch that is not taken within this time is given up: the newest traces are of more use than the oldest.
const GIVE_UP: Duration = Duration::from_secs(60);
/// Time for all that is left when the server ends.
const LAST: Duration = Duration::from_secs(1);

/// Posts spans to the collector.
#[derive(Debug)]
pub struct Exporter {
    spans: mpsc::Receiver<Span>,
    settings: watch::Receiver<Option<Telemetry>>,
    client: HttpClient,
    stats: Arc<OtlpStats>,
    /// Names this server: no other has this name, nor itself after a restart.
    instance: String,
    failures: FailureLog,
}

/// Why a batch was not taken.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    reason: String,
    retry: Retry,
}

/// Whether it is of use to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retry {
    /// After a pause, or after this time.
    Later(Option<Duration>),
    /// The answer would be the same.
    Never,
}

impl Exporter {
    pub(super) fn new(
        spans: mpsc::Receiver<Span>,
        settings: watch::Receiver<Option<Telemetry>>,
        client: HttpClient,
        stats: Arc<OtlpStats>,
    ) -> Self {
        Self { spans, settings, client, stats, instance: instance(), failures: FailureLog::default() }
    }

    /// Sends until `stop`, then what is left, which takes a second at most.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::new();
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.collect(&mut batch) => self.deliver(&mut batch, &stop).await,
            }
        }
        let _ = timeout(LAST, self.flush(batch)).await;
    }

    /// Fills the batch: until it is full, or the first span has waited for long enough. Cancel-safe: what was taken is in the batch.
    async fn collect(&mut self, batch: &mut Vec<Span>) {
        let mut due = None;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            let until = due.unwrap_or_else(Instant::now);
            tokio::select! {
                taken = self.spans.recv_many(batch, room) => {
                    if taken == 0 {
                        // Nothing will come any more.
                        return std::future::pending().await;
                    }
                    due.get_or_insert_with(|| Instant::now() + COLLECT);
                }
                () = sleep_until(until), if due.is_some() => return,
            }
        }
    }

    /// Posts the batch until it is taken or given up. At `stop` it stays for the last try.
    async fn deliver(&mut self, batch: &mut Vec<Span>, stop: &CancellationToken) {
        let body = Bytes::from(encode::body(batch, &self.instance));
        let give_up = Instant::now() + GIVE_UP;
        let mut pause = FIRST_PAUSE;
        loop {
            let Some(collector) = self.settings.borrow_and_update().clone() else {
                // There is none any more.
                self.stats.dropped(batch.len());
                return batch.clear();
            };
            let tried = tokio::select! {
                () = stop.cancelled() => return,
                Ok(()) = self.settings.changed() => continue,
                tried = post(&self.client, &collector, body.clone()) => tried,
            };
            let retry = self.tried(&collector, tried, batch.len());
            let Some(Retry::Later(asked)) = retry.filter(|_| Instant::now() < give_up) else {
                if retry.is_some() {
                    self.stats.failed(batch.len());
                }
                return batch.clear();
            };
            tokio::select! {
                () = stop.cancelled() => return,
                Ok(()) = self.settings.changed() => pause = FIRST_PAUSE,
                () = sleep(asked.unwrap_or(pause).min(GIVE_UP)) => pause = LAST_PAUSE.min(2 * pause),
            }
        }
    }

    /// Counts and logs how a post ended; `None` when it was taken.
    fn tried(&mut self, collector: &Telemetry, tried: Result<(), Refusal>, spans: usize) -> Option<Retry> {
        let collector = &collector.otlp;
        let Err(Refusal { reason, retry }) = tried else {
            self.stats.sent(spans);
            if self.failures.is_failing() {
                let failures = self.failures.recovered().unwrap_or(1);
                tracing::info!(collector, failures, "traces are sent again");
            }
            return None;
        };
        if let Some(Report::First) = self.failures.failed(std::time::Instant::now()) {
            tracing::warn!(
                collector,
                reason,
                "traces cannot be sent: retrying, and dropping what does not fit the queue"
            );
        }
        Some(retry)
    }

    /// Posts what is left, once.
    async fn flush(mut self, mut batch: Vec<Span>) {
        let Some(collector) = self.settings.borrow().clone() else { return };
        loop {
            while batch.len() < BATCH
                && let Ok(span) = self.spans.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            let tried = post(&self.client, &collector, encode::body(&batch, &self.instance).into()).await;
            if self.tried(&collector, tried, batch.len()).is_some() {
                return;
            }
            batch.clear();
        }
    }
}

/// Posts a batch.
///
/// # Errors
/// When the collector does not take it, or does not answer in time.
async fn post(client: &HttpClient, collector: &Telemetry, body: Bytes) -> Result<(), Refusal> {
    let later = |reason: String| Refusal { reason, retry: Retry::Later(None) };
    let mut request = Request::post(format!("{}/v1/traces", collector.otlp))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("voyandz/", env!("CARGO_PKG_VERSION")));
    for (name, value) in &collector.headers {
        request = request.header(name, value.expose());
    }
    let request = request.body(Full::from(body)).map_err(|error| later(error.to_string()))?;
    let sent = timeout(WITHIN, async {
        let mut exchange = client.send(request).await.map_err(|error| later(chain(&error)))?;
        let (status, headers) = (exchange.response.status(), exchange.response.headers());
        let asked = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        // Whatever it is.
        let _ = Limited::new(exchange.response.body_mut(), ANSWER).collect().await;
        verdict(status, asked.map(Duration::from_secs))
    });
    sent.await.unwrap_or_else(|_| Err(later(format!("no answer within {} s", WITHIN.as_secs()))))
}

/// What an answer means, as the specification of OTLP has it.
fn verdict(status: StatusCode, asked: Option<Duration>) -> Result<(), Refusal> {
    let retry = match status {
        status if status.is_success() => return Ok(()),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Retry::Later(asked),
        _ => Retry::Never,
    };
    Err(Refusal { reason: format!("the collector answers {status}"), retry })
}

/// A UUID of version 4 (RFC 9562, section 5.4).
fn instance() -> String {
    let (high, low) = (random() & !0xf000 | 0x4000, random() & !(0xc << 60) | 0x8 << 60);
    let text = format!("{high:016x}{low:016x}");
    let part = |range| text.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_final_or_not() {
        let check = |status: u16, expect: Result<(), Retry>| {
            let asked = Some(Duration::from_secs(3));
            let found = verdict(StatusCode::from_u16(status).unwrap(), asked).map_err(|refusal| refusal.retry);
            assert_eq!(found, expect, "{status}");
        };
        check(200, Ok(()));
        check(202, Ok(()));
        for status in [429, 502, 503, 504] {
            check(status, Err(Retry::Later(Some(Duration::from_secs(3)))));
        }
        for status in [301, 400, 401, 404, 413, 500] {
            check(status, Err(Retry::Never));
        }
    }

    #[test]
    fn an_instance_is_a_uuid() {
        for _ in 0..100 {
            let id = instance();
            let lengths: Vec<_> = id.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert!(id.as_bytes()[14] == b'4' && b"89ab".contains(&id.as_bytes()[19]), "{id}");
        }
    }
}
