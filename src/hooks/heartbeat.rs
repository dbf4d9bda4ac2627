//! The task of a hook that says again and again how the server is, as controllers of many servers want it.

use super::{delivery::Delivery, observed::Observed, receiver::Receiver, retry::Failure};
use crate::config::{EventForm, HookTarget};
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{sync::watch, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Its type as an event.
const KIND: &str = "server.heartbeat";

/// Sends the heartbeats of one hook.
#[derive(Debug)]
pub(super) struct HeartbeatTask {
    pub(super) receiver: Receiver,
    pub(super) interval: Duration,
    pub(super) observed: watch::Receiver<Option<Arc<Observed>>>,
    /// Names the server.
    pub(super) source: Arc<str>,
}

impl HeartbeatTask {
    /// Sends until `stop`, the first one at its start. One that fails is not repeated: the next one says more.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        self.receiver.stats.change(&self.receiver.hook, |figures| (figures.error, figures.is_disabled) = (None, false));
        let mut beat = tokio::time::interval(self.interval);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = beat.tick() => {}
            }
            let observed = self.observed.borrow().clone();
            let Some(event) = observed.map(|observed| self.event(&observed)) else { continue };
            let sent = tokio::select! {
                () = stop.cancelled() => return,
                sent = self.receiver.attempt(&event) => sent,
            };
            if sent == Err(Failure::Gone) {
                let name = &self.receiver.hook;
                self.receiver.stats.change(name, |figures| figures.is_disabled = true);
                tracing::warn!(hook = name, "hook disabled: its receiver responded with 410");
                stop.cancelled().await;
                return;
            }
        }
    }

    fn event(&self, observed: &Observed) -> Delivery {
        let now = SystemTime::now();
        let id = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let body = match self.receiver.target {
            HookTarget::Url { form: EventForm::Srs, .. } => observed.heartbeat_of_srs(&self.source),
            _ => json!({
                "specversion": "1.0", "id": id.to_string(), "source": &*self.source, "type": KIND,
                "time": format!("{:.6}", jiff::Timestamp::try_from(now).unwrap_or_default()), "data": observed.heartbeat(),
            }),
        };
        Delivery { id: u64::try_from(id).unwrap_or(0), kind: KIND.to_owned(), name: None, body: body.to_string() }
    }
}
