//! Data channels that lead to something outside: a program, or a WebSocket. A session hands each one over to its task, which has a task
//! for each channel; what comes back goes through the shard of the session.
//!
//! Nothing waits for the outside: who does not take its messages loses the channel, on either side.

mod program;
mod socket;

use super::{
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
    time::{Duration, Instant},
};
use str0m::channel::ChannelId;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

/// Messages of a client that wait for the outside, and those that wait for the shard.
const QUEUED: usize = 32;
/// Channels of a session that wait for their task.
const OPENED: usize = 16;
/// Longest message from outside.
const MAX_MESSAGE: usize = 64 << 10;
/// Most programs and WebSockets of a server at a time.
const MOST: usize = 256;
/// How long the outside may take to be there.
const BEGINS_WITHIN: Duration = Duration::from_secs(5);

/// A message of a data channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Text in UTF-8, or bytes.
    pub is_text: bool,
    /// What it says.
    pub data: Vec<u8>,
}

/// A data channel that leads to something outside. It is closed when the sender of its messages is gone.
#[derive(Debug)]
pub struct OpenedChannel {
    id: ChannelId,
    /// The place of what it leads to in the configuration.
    hook: usize,
    messages: mpsc::Receiver<Message>,
}

/// The channels of one session that lead to something outside.
#[derive(Debug, Default)]
pub struct Hooked {
    /// `None` where nothing is configured.
    opened: Option<mpsc::Sender<OpenedChannel>>,
    channels: Vec<(ChannelId, mpsc::Sender<Message>)>,
}

impl Hooked {
    /// Those that open are handed over there.
    pub fn new(opened: mpsc::Sender<OpenedChannel>) -> Self {
        Self { opened: Some(opened), channels: Vec::new() }
    }

    /// A channel opened; `false` when nobody takes it.
    pub fn open(&mut self, id: ChannelId, hook: usize) -> bool {
        let (sender, messages) = mpsc::channel(QUEUED);
        let is_taken =
            self.opened.as_ref().is_some_and(|opened| opened.try_send(OpenedChannel { id, hook, messages }).is_ok());
        if is_taken {
            self.channels.push((id, sender));
        }
        is_taken
    }

    /// The client sent a message; `false` when it is not taken, and the channel is over.
    pub fn send(&mut self, id: ChannelId, message: Message) -> bool {
        let is_taken =
            self.channels.iter().any(|(known, sender)| *known == id && sender.try_send(message.clone()).is_ok());
        if !is_taken {
            self.close(id);
        }
        is_taken
    }

    /// A channel is over. Whether it was there.
    pub fn close(&mut self, id: ChannelId) -> bool {
        let before = self.channels.len();
        self.channels.retain(|(known, _)| *known != id);
        self.channels.len() < before
    }
}

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
        let client = Client {
            shard: self.shard.clone(),
            session: self.session,
            channel: id,
            places: Arc::new(Semaphore::new(QUEUED)),
        };
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

/// The client at the other end of a channel.
#[derive(Debug)]
struct Client {
    shard: Arc<Shard>,
    session: SessionId,
    channel: ChannelId,
    /// Bounds what waits for the shard.
    places: Arc<Semaphore>,
}

impl Client {
    /// Sends it a message, once there is room for it. Cancel-safe: the message is lost then.
    async fn say(&self, message: Message) {
        if let Ok(place) = self.places.clone().acquire_owned().await {
            self.shard.command(self.session, Command::Say(self.channel, message, place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use str0m::channel::ChannelId;

    #[test]
    fn who_takes_nothing_loses_the_channel() {
        // Numbers of channels come from str0m alone.
        let id: ChannelId = str0m::Rtc::new(Instant::now()).direct_api().create_data_channel(Default::default());
        let (sender, mut opened) = mpsc::channel(1);
        let mut hooked = Hooked::new(sender);
        assert!(hooked.open(id, 3) && !hooked.open(id, 3), "one waits");
        let mut channel = opened.try_recv().unwrap();
        assert_eq!((channel.id, channel.hook), (id, 3));
        let message = Message { is_text: true, data: b"hello".to_vec() };
        assert!((0..QUEUED).all(|_| hooked.send(id, message.clone())));
        assert!(!hooked.send(id, message.clone()) && !hooked.close(id));
        // What came before is still there, and then the end.
        let left = std::iter::from_fn(|| channel.messages.try_recv().ok()).count();
        assert_eq!((left, channel.messages.try_recv()), (QUEUED, Err(mpsc::error::TryRecvError::Disconnected)));
        assert!(!Hooked::default().open(id, 0));
    }
}
