//! Tries an address without a feed: which tracks come of it.

use super::{
    flow::Flow, link_status::LinkStatus, linked::LinkSource, publisher::PublishSlot, status::Status, supervisor::why,
    worker::Worker,
};
use crate::{
    config::{self, FeedName},
    ipc::{FeedPlan, FeedSource, FromWorker, Item, Plan, ToWorker, Track},
    sys::monotonic,
    telemetry::Facts,
};
use std::{collections::BTreeMap, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, interval, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// How long other tracks may come after the first one.
const SETTLE: Duration = Duration::from_millis(700);
/// How often it is looked whether a link has tracks.
const CHECK: Duration = Duration::from_millis(50);
/// The number of the feed that a worker is given.
const FEED: Item = Item::Feed(0);

/// The tracks of what a feed with this source would have. Waits until there are some; the caller bounds the time. Cancel-safe: what
/// was begun ends when it is dropped.
///
/// # Errors
/// Why there are none.
pub async fn probe(source: config::Source) -> Result<Vec<Track>, String> {
    match source {
        config::Source::Pipeline(text) => of_pipeline(text).await,
        config::Source::Link(link) => of_link(link).await,
        _ => Err("only an address can be tried".to_owned()),
    }
}

/// A worker of its own runs it, so that whatever it does harms no feed.
async fn of_pipeline(text: String) -> Result<Vec<Track>, String> {
    let mut worker = Worker::spawn().await.map_err(|error| format!("no worker: {error}"))?;
    let feed = FeedPlan { name: "probe".to_owned(), source: FeedSource::Launch(text), fps: None };
    let epoch = u64::try_from(monotonic().as_nanos()).unwrap_or_default();
    worker.send(ToWorker::Plan(Plan { epoch, feeds: BTreeMap::from([(0, feed)]), streams: BTreeMap::new() }));
    worker.send(ToWorker::Start { item: FEED, run: 0 });
    let (mut found, mut until) = (Vec::new(), None);
    let outcome = loop {
        let event = match until {
            Some(until) => timeout_at(until, worker.event()).await,
            None => Ok(worker.event().await),
        };
        match event {
            Err(_) => break Ok(found),
            Ok(Some(FromWorker::Tracks { tracks, .. })) => {
                found = tracks;
                until.get_or_insert_with(|| Instant::now() + SETTLE);
            }
            Ok(Some(FromWorker::Ended { .. }) | None) if !found.is_empty() => break Ok(found),
            Ok(Some(FromWorker::Ended { why: ended, .. })) => {
                break Err(why(&ended).unwrap_or_else(|| "it ended before any media came".to_owned()));
            }
            Ok(None) => break Err("the worker ended".to_owned()),
            Ok(Some(_)) => {}
        }
    };
    worker.kill().await;
    outcome
}

/// A publisher's slot of its own takes what comes, and no stream reads it.
async fn of_link(link: config::Link) -> Result<Vec<Track>, String> {
    let name = FeedName::new("probe").map_err(|error| error.to_string())?;
    let settings = config::Publish { protocols: vec![link.protocol()], ..config::Publish::default() };
    let slot = PublishSlot::new(name, settings, 0, Facts::default());
    let (status, stop) = (Status::default(), CancellationToken::new());
    let source = LinkSource { link, slot, status: status.clone(), packets: LinkStatus::default() };
    let run = source.run(stop, watch::Sender::new(Flow::Nothing));
    tokio::pin!(run);
    let (mut check, mut until) = (interval(CHECK), None);
    loop {
        tokio::select! {
            ended = &mut run => {
                let found = status.read().last_tracks;
                let nothing = || why(&ended).unwrap_or_else(|| "it ended before any media came".to_owned());
                return if found.is_empty() { Err(nothing()) } else { Ok(found) };
            }
            _ = check.tick() => {
                let found = status.read().tracks;
                if !found.is_empty() && *until.get_or_insert_with(|| Instant::now() + SETTLE) <= Instant::now() {
                    return Ok(found);
                }
            }
        }
    }
}
