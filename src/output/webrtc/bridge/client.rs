//! The client of a data channel, for what it leads to.

use super::super::{
    hooked::{Message, QUEUED},
    mux::SessionId,
    shard::{Command, Shard},
};
use std::sync::Arc;
use str0m::channel::ChannelId;
use tokio::sync::Semaphore;

/// Longest message for it.
pub(super) const MAX_MESSAGE: usize = 64 << 10;

/// The client at the other end of a channel.
#[derive(Debug)]
pub(super) struct Client {
    shard: Arc<Shard>,
    session: SessionId,
    channel: ChannelId,
    /// Bounds what waits for the shard.
    places: Arc<Semaphore>,
}

impl Client {
    /// That of this channel of a session.
    pub(super) fn new(shard: Arc<Shard>, session: SessionId, channel: ChannelId) -> Self {
        Self { shard, session, channel, places: Arc::new(Semaphore::new(QUEUED)) }
    }

    /// Sends it a message, once there is room for it. Cancel-safe: the message is lost then.
    pub(super) async fn say(&self, message: Message) {
        if let Ok(place) = self.places.clone().acquire_owned().await {
            self.shard.command(self.session, Command::Say(self.channel, message, place));
        }
    }
}
