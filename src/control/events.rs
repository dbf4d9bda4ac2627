//! `/events`: the state and then its changes, as server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! Nothing runs while nobody listens. Those who do look at the state together, four times a second at most, so that what
//! changes and changes back in between is no event, and what happens to an entry in that time is one. There is no queue:
//! each listener is a place in one [`History`].

use super::{
    answer,
    changes::{History, Message, Place, Scene},
    facts::View,
};
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

/// Pause between two looks at the state.
const PERIOD: Duration = Duration::from_millis(250);
/// A sign of life for proxies, which give up on connections that are silent for half a minute or more.
const ALIVE: Duration = Duration::from_secs(15);
/// When a client that lost its connection is to come again.
const RETRY: Duration = Duration::from_secs(1);
/// Listeners at a time. Pages for people and programs that watch, not viewers.
const LISTENERS: usize = 128;

/// What happens, for all who listen. Clones are the same.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shown: Mutex<Shown>,
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Shown {
    /// Of the configuration that is in force, if it wants this page.
    view: Option<Arc<View>>,
    history: History,
    looked: Option<Instant>,
}

/// One who listens.
struct Listener {
    journal: Journal,
    place: Place,
    greeted: bool,
    /// Done when the client is not there any more, which is seen long before a write would tell.
    gone: Gone,
    _permit: OwnedSemaphorePermit,
}

/// See [`Listener::gone`].
pub type Gone = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// What is next for a listener.
enum Next {
    Told(Message),
    Nothing,
    End,
}

impl Journal {
    /// An empty one, which ends at `stop`.
    pub fn new(stop: CancellationToken) -> Self {
        let run = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let shown = Mutex::new(Shown { view: None, history: History::new(run), looked: None });
        Self(Arc::new(Inner { shown, places: Arc::new(Semaphore::new(LISTENERS)), stop }))
    }

    /// Tells what there is to be seen here from now on; without it, all who listen are sent away.
    pub fn show(&self, view: Option<Arc<View>>) {
        self.shown().view = view;
    }

    /// The answer to one who was told the event with the id `last` before, if any. It ends when the client is `gone`.
    pub fn page(&self, last: Option<&str>, gone: Gone) -> Response {
        let Ok(permit) = self.0.places.clone().try_acquire_owned() else {
            let text = format!("{LISTENERS} clients are told of events already, which is the most\n");
            let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, text, "text/plain; charset=utf-8");
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            return response;
        };
        let place = last.map_or(Place::Begin, |last| self.shown().history.place(last));
        let listener = Listener { journal: self.clone(), place, greeted: false, gone, _permit: permit };
        sse::reply(sse::keep_alive().interval(ALIVE).text("").stream(listener.events())).into_response()
    }

    fn next(&self, place: &mut Place) -> Next {
        let mut shown = self.shown();
        let Some(view) = shown.view.clone() else { return Next::End };
        let now = Instant::now();
        if shown.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= PERIOD) {
            shown.looked = Some(now);
            shown.history.take(Scene::of(&view.facts()));
        }
        shown.history.next(place).map_or(Next::Nothing, Next::Told)
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    fn events(self) -> impl Stream<Item = Result<sse::Event, Infallible>> {
        stream::unfold(self, |mut listener| async move { Some((Ok(listener.event().await?), listener)) })
    }

    /// The next event, or `None` when there will be no more.
    async fn event(&mut self) -> Option<sse::Event> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Some(sse::Event::default().retry(RETRY));
        }
        let stop = self.journal.0.stop.clone();
        while !stop.is_cancelled() {
            match self.journal.next(&mut self.place) {
                Next::Told(Message { id, kind, data }) => {
                    return Some(sse::Event::default().id(id).event(kind).data(&*data));
                }
                Next::Nothing => {}
                Next::End => return None,
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = &mut self.gone => return None,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
        None
    }
}
