//! A request that may be answered, and its answer.

use super::{
    configurator::Configurator,
    event_hub::Events,
    pace::{Client, Pace},
    problem::{Kind, Problem},
    query::Query,
};
use crate::{
    access::{Access, Gate, Refusals},
    config,
    engine::registry::Registry,
    output::{
        http::disconnect::DisconnectWatch,
        record::playback::{Playback, ask::duration},
    },
    status::snapshot::StatusReader,
    telemetry::{Fact, Facts},
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use std::{
    net::IpAddr,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, watch};
use warp::reply::Response;

/// How long an order may be for.
const LENGTHS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
/// Addresses that are tried at a time: each is a worker.
const PROBES: usize = 2;
/// The media type of what forms send.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// The media type of a body, without its parameters.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The API of one server. Clones are the same.
#[derive(Debug, Clone)]
pub struct Api {
    pub(super) gate: Gate,
    configurator: Configurator,
    pub(super) events: Events,
    facts: Facts,
    pub(super) recordings: Playback,
    pub(super) state: watch::Receiver<Arc<State>>,
    pace: Arc<Mutex<Pace>>,
    refusals: Arc<Mutex<Refusals>>,
    /// Addresses that are tried at a time.
    pub(super) probes: Arc<Semaphore>,
    /// Looks at the machine; one at a time.
    pub(super) doctor: Doctor,
    pub(super) examining: Arc<Semaphore>,
}

/// Looks at what the machine has and lacks, and returns the findings as JSON.
#[derive(Clone)]
pub struct Doctor(Arc<dyn Fn() -> BoxFuture<'static, Value> + Send + Sync>);

impl Doctor {
    /// One that does this.
    pub fn new(examine: impl Fn() -> BoxFuture<'static, Value> + Send + Sync + 'static) -> Self {
        Self(Arc::new(examine))
    }

    pub(super) async fn examine(&self) -> Value {
        (self.0)().await
    }
}

impl std::fmt::Debug for Doctor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Doctor")
    }
}

/// What the API shows and controls, of the configuration that is in force.
#[derive(Debug)]
pub struct State {
    /// The state, for those who read it.
    pub reader: Arc<StatusReader>,
    /// What runs.
    pub registry: Registry,
    /// What the API may do.
    pub api: config::Api,
    /// Whether streams have pages with a player.
    pub has_players: bool,
}

/// A request that may be answered.
pub(super) struct Call {
    pub(super) api: Api,
    pub(super) state: Arc<State>,
    pub(super) access: Access,
    pub(super) query: Query,
    pub(super) headers: HeaderMap,
    pub(super) parameters: Vec<String>,
    pub(super) body: Bytes,
    /// Whether the client reaches the server over TLS, also that of a trusted proxy.
    pub(super) is_encrypted: bool,
    /// Reports when the client has disconnected.
    pub(super) client: DisconnectWatch,
}

/// What a handler answers.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Option<Value>,
    pub(super) etag: Option<String>,
    /// The whole response instead, which runs for longer.
    pub(super) reply: Option<Response>,
}

impl Answer {
    pub(super) fn json(body: Value) -> Self {
        Self { status: StatusCode::OK, body: Some(body), etag: None, reply: None }
    }

    pub(super) fn status(status: StatusCode) -> Self {
        Self { status, body: None, etag: None, reply: None }
    }

    pub(super) fn reply(reply: Response) -> Self {
        Self { reply: Some(reply), ..Self::status(StatusCode::OK) }
    }

    pub(super) fn response(self) -> Response {
        if let Some(reply) = self.reply {
            return reply;
        }
        let mut response = Response::default();
        *response.status_mut() = self.status;
        if let Some(body) = self.body {
            *response.body_mut() = body.to_string().into();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(etag) = self.etag.and_then(|etag| HeaderValue::from_str(&etag).ok()) {
            response.headers_mut().insert(header::ETAG, etag);
        }
        response
    }
}

impl Api {
    /// The API over these. What clients order is reported to `facts`.
    pub fn new(
        gate: Gate,
        configurator: Configurator,
        events: Events,
        facts: Facts,
        recordings: Playback,
        state: watch::Receiver<Arc<State>>,
        doctor: Doctor,
    ) -> Self {
        let (probes, examining) = (Arc::new(Semaphore::new(PROBES)), Arc::new(Semaphore::new(1)));
        let (pace, refusals) = (Arc::default(), Arc::default());
        Self { gate, configurator, events, facts, recordings, state, pace, refusals, probes, doctor, examining }
    }

    /// A client makes a change.
    ///
    /// # Errors
    /// When it makes too many.
    pub(super) fn change(&self, client: Client) -> Result<(), Problem> {
        let paced = self.pace.lock().unwrap_or_else(PoisonError::into_inner).change(client, Instant::now());
        paced.map_err(|wait| {
            let detail =
                "20 changes a second are possible, and 100 at a time: POST /config/changes makes up to 1000 together";
            let headers = vec![(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1))];
            Problem { headers, ..Problem::new(Kind::TooMany, detail) }
        })
    }

    /// Reports that somebody was refused a change or an order; a few of many.
    pub(super) fn refused(&self, (method, path): (&Method, &str), reason: &str, by: Option<String>, peer: IpAddr) {
        let counted = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).refused(Instant::now());
        let Some(times) = counted else { return };
        let fact = Fact::audit("api.refused").with("method", method.as_str()).with("path", path);
        self.facts.report(fact.with("reason", reason).with("times", times).who("by", by).at(peer));
    }

    /// Reports what a client has done.
    pub(super) fn report(&self, access: &Access, fact: Fact) {
        self.facts.report(fact.who("by", access.identity.name()).at(access.peer));
    }

    pub(super) const fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(super) fn configurator(&self) -> &Configurator {
        &self.configurator
    }
}

impl Call {
    /// The part of the path that the name with this number stands for.
    pub(super) fn parameter(&self, number: usize) -> &str {
        self.parameters.get(number).map_or("", |part| part)
    }

    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How long an order is for, if that is said by `for=`.
    ///
    /// # Errors
    /// When it is no time, or too long.
    pub(super) fn length(&self) -> Result<Option<Duration>, Problem> {
        let Some(text) = self.query.get("for") else { return Ok(None) };
        let micros = duration(text).and_then(|micros| u64::try_from(micros).ok());
        let length = micros.map(Duration::from_micros).filter(|length| LENGTHS.contains(length));
        let bad = || Problem::new(Kind::BadRequest, format!("for={text} is not valid: expected a time from 1s to 1d"));
        length.ok_or_else(bad).map(Some)
    }

    /// Whether the body is what a form of a page sends.
    pub(super) fn is_form(&self) -> bool {
        media_type(&self.headers) == FORM
    }

    /// Reports what the client has done.
    pub(super) fn report(&self, fact: Fact) {
        self.api.report(&self.access, fact);
    }

    /// The body.
    ///
    /// # Errors
    /// When it is no JSON.
    pub(super) fn body(&self) -> Result<Value, Problem> {
        let found = serde_json::from_slice(&self.body);
        found.map_err(|error| Problem::new(Kind::BadRequest, format!("the body is no JSON: {error}")))
    }

    /// The state, as far as the client may see it.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(super) fn snapshot(&self) -> Result<Value, Problem> {
        let snapshot = self.state.reader.snapshot().seen_by(&self.access);
        serde_json::to_value(snapshot).map_err(|error| Problem::new(Kind::Internal, error.to_string()))
    }
}
