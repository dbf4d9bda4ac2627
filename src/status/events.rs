//! `/events`: the state and then its changes, as server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! Nothing runs without subscribers. All subscribers share one look at the state, at most four times a second: changes of an
//! entry in between are one event, or none if it changed back. There is no queue: each subscriber has a position in one
//! [`History`].

use super::{
    diff::{History, ObservedState, Position, Seen, StateEvent},
    response,
    snapshot::StatusReader,
};
use crate::access::Access;
use futures_util::{Stream, stream};
use http::{HeaderValue, StatusCode, header};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use warp::{Reply, reply::Response, sse};

/// Interval between two looks at the state.
const PERIOD: Duration = Duration::from_millis(250);
/// Interval of the keep-alive: proxies close connections that are silent for half a minute or more.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// When a client that lost its connection may reconnect.
const RETRY: Duration = Duration::from_secs(1);
/// Most subscribers at a time: pages and monitoring programs, not viewers.
const MAX_SUBSCRIBERS: usize = 128;

/// The events for all subscribers. Clones share it.
#[derive(Debug, Clone)]
pub struct EventHub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<HubState>,
    permits: Arc<Semaphore>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct HubState {
    /// Of the active configuration, if it enables events.
    reader: Option<Arc<StatusReader>>,
    history: History,
    looked: Option<Instant>,
}

/// One subscriber.
struct Subscriber {
    hub: EventHub,
    position: Position,
    access: Access,
    /// Of the access rules at the last look.
    generation: u64,
    retry_sent: bool,
    /// Resolves when the client has disconnected, long before a write would fail.
    disconnected: Disconnected,
    _permit: OwnedSemaphorePermit,
}

/// See [`Subscriber::disconnected`].
pub type Disconnected = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// The next step of a subscriber.
enum Next {
    Event(StateEvent),
    Wait,
    End,
}

impl EventHub {
    /// No events yet; subscriptions end at `stop`.
    pub fn new(stop: CancellationToken) -> Self {
        let run = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let state = Mutex::new(HubState { reader: None, history: History::new(run), looked: None });
        Self(Arc::new(Inner { state, permits: Arc::new(Semaphore::new(MAX_SUBSCRIBERS)), stop }))
    }

    /// Sets the source of the events; without one, all subscriptions end.
    pub fn set_source(&self, reader: Option<Arc<StatusReader>>) {
        self.state().reader = reader;
    }

    /// The response to a client whose last event had the id `last`, if any, as far as `access` may see them. It ends when the
    /// client is `disconnected`.
    pub fn page(&self, last: Option<&str>, access: &Access, disconnected: Disconnected) -> Response {
        let Ok(permit) = self.0.permits.clone().try_acquire_owned() else {
            let text = format!("limit reached: {MAX_SUBSCRIBERS} clients are subscribed already\n");
            let mut response = response(StatusCode::SERVICE_UNAVAILABLE, text, "text/plain; charset=utf-8");
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            return response;
        };
        let position = last.map_or(Position::Start, |last| self.state().history.position(last));
        let (access, generation) = (access.clone(), access.gate().generation());
        let hub = self.clone();
        let subscriber =
            Subscriber { hub, position, access, generation, retry_sent: false, disconnected, _permit: permit };
        sse::reply(sse::keep_alive().interval(KEEPALIVE).text("").stream(subscriber.events())).into_response()
    }

    fn next(&self, position: &mut Position, access: &Access) -> Next {
        let mut state = self.state();
        let Some(reader) = state.reader.clone() else { return Next::End };
        let now = Instant::now();
        if state.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= PERIOD) {
            state.looked = Some(now);
            state.history.record(ObservedState::of(&reader.snapshot()));
        }
        let seen = Seen { all: access.sees_all(), stream: &|name| access.sees(name) };
        state.history.next(position, &seen).map_or(Next::Wait, Next::Event)
    }

    fn state(&self) -> MutexGuard<'_, HubState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber {
    fn events(self) -> impl Stream<Item = Result<sse::Event, Infallible>> {
        stream::unfold(self, |mut subscriber| async move { Some((Ok(subscriber.event().await?), subscriber)) })
    }

    /// The next event, or `None` when there will be no more.
    async fn event(&mut self) -> Option<sse::Event> {
        if !std::mem::replace(&mut self.retry_sent, true) {
            return Some(sse::Event::default().retry(RETRY));
        }
        let stop = self.hub.0.stop.clone();
        while !stop.is_cancelled() {
            // Other rules show another part of the state.
            let generation = self.access.gate().generation();
            if std::mem::replace(&mut self.generation, generation) != generation {
                self.position = Position::Start;
            }
            match self.hub.next(&mut self.position, &self.access) {
                Next::Event(StateEvent { id, kind, data }) => {
                    return Some(sse::Event::default().id(id).event(kind).data(&*data));
                }
                Next::Wait => {}
                Next::End => return None,
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = &mut self.disconnected => return None,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
        None
    }
}
