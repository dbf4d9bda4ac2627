//! Data channels that lead to something outside: a program, or a WebSocket. A session hands each one over to its task, which has a task
//! for each channel; what comes back goes through the shard of the session.
//!
//! Nothing waits for the outside: who does not take its messages loses the channel, on either side.

mod client;
mod program;
mod socket;

use self::client::Client;
use super::{
    hooked::OpenedChannel,
    mux::SessionId,
    shard::{Command, Shard},
};
use crate::{
    config::{ChannelHook, ChannelTarget},
    net::HttpClient,
    telemetry::{FailureLog, Report},
};
use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Instant,
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

/// Channels of a session that wait for their task.
const OPENED: usize = 16;
/// Most programs and WebSockets of a server at a time.
const MOST: usize = 256;

/// What the bridges of all sessions share. Clones are the same.
#[derive(Debug, Clone)]
pub struct Bridges(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Made with the first WebSocket: it reads a file.
    client: OnceLock<HttpClient>,
    places: Semaphore,
    failures: Mutex<FailureLog>,
}

impl Default for Bridges {
    fn default() -> Self {
        let (client, places, failures) = (OnceLock::new(), Semaphore::new(MOST), Mutex::default());
        Self(Arc::new(Shared { client, places, failures }))
    }
}

/// Of one session.
#[derive(Debug)]
pub struct Bridge {
    bridges: Bridges,
    hooks: Vec<ChannelHook>,
    shard: Arc<Shard>,
    session: SessionId,
    /// Who is behind the session, as programs find it in their environment.
    about: Vec<(&'static str, String)>,
}

impl Bridges {
    /// Has a task serve the channels of a session, which are to be handed over to the sender that is returned.
    pub fn serve(
        &self,
        hooks: &[ChannelHook],
        (shard, session): (Arc<Shard>, SessionId),
        about: Vec<(&'static str, String)>,
    ) -> mpsc::Sender<OpenedChannel> {
        let (sender, opened) = mpsc::channel(OPENED);
        let bridge = Bridge { bridges: self.clone(), hooks: hooks.to_vec(), shard, session, about };
        tokio::spawn(Arc::new(bridge).run(opened));
        sender
    }

    fn client(&self) -> &HttpClient {
        self.0.client.get_or_init(HttpClient::of_system)
    }
}

impl Bridge {
    /// Serves channels until the session has ended.
    async fn run(self: Arc<Self>, mut opened: mpsc::Receiver<OpenedChannel>) {
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                channel = opened.recv() => match channel {
                    Some(channel) => _ = tasks.spawn(self.clone().channel(channel)),
                    None => break,
                },
                Some(_) = tasks.join_next() => {}
            }
        }
        // Each ends by itself, as its messages have.
        while tasks.join_next().await.is_some() {}
    }

    async fn channel(self: Arc<Self>, channel: OpenedChannel) {
        let OpenedChannel { id, hook, messages } = channel;
        let Some(hook) = self.hooks.get(hook) else { return };
        let client = Client::new(self.shard.clone(), self.session, id);
        let ended = match self.bridges.0.places.try_acquire() {
            Err(_) => Err(format!("there are {MOST} already")),
            Ok(_place) => match &hook.target {
                ChannelTarget::Run(words) => program::run(words, &self.about, messages, &client).await,
                ChannelTarget::Url(url) => {
                    socket::run(self.bridges.client(), url, &self.about, messages, &client).await
                }
            },
        };
        self.shard.command(self.session, Command::EndChannel(id));
        let label = &hook.label;
        match ended {
            Ok(()) => tracing::debug!(protocol = "webrtc", label, "data channel ended"),
            Err(reason) => {
                let mut failures = self.bridges.0.failures.lock().unwrap_or_else(PoisonError::into_inner);
                match failures.failed(Instant::now()) {
                    Some(Report::First) => tracing::warn!(protocol = "webrtc", label, reason, "data channel failed"),
                    Some(Report::Again(times)) => {
                        tracing::warn!(protocol = "webrtc", label, reason, times, "data channels fail");
                    }
                    None => {}
                }
            }
        }
    }
}
