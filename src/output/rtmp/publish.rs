//! What a publisher sends, on its way into the slot of a feed.

use super::context::Context;
use crate::{
    access::Peer,
    config::{FeedName, PublishProtocol},
    link::rtmp::wire::{command::Wanted, server::Event, tag_body::TagBody},
    media::{demux::Demuxed, flv},
    output::{
        publish::{
            feeder::Feeder,
            find::{ClaimError, Target},
            permit::{Credentials, Denied},
        },
        push::hops,
    },
    source::publisher::PublisherInfo,
};

/// Longest name of a program that is kept.
const AGENT: usize = 256;

/// A running publisher.
#[derive(Debug)]
pub(super) struct Publishing {
    /// Its way into the slot.
    pub(super) feeder: Feeder,
    demuxer: flv::Demuxer,
    found: Vec<Demuxed>,
}

/// Why somebody must not publish.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Nothing is published to under these names.
    #[error("no feed `{0}` is published to")]
    Unknown(String),
    /// It comes from here, and would go round.
    #[error("feed `{0}` would be made of itself: this server pushes a stream of it to here")]
    Loop(FeedName),
    /// Who asks must not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The slot is taken, or not for RTMP, or cannot be made.
    #[error(transparent)]
    Slot(#[from] ClaimError),
}

impl Refusal {
    /// The code of the status that a client gets.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) | Self::Loop(_) | Self::Slot(_) => "NetStream.Publish.BadName",
            Self::Denied(_) => "NetStream.Publish.Denied",
        }
    }
}

impl Publishing {
    /// Takes the slot that is meant, if the client may.
    pub(super) async fn begin(context: &Context, wanted: &Wanted, peer: &Peer) -> Result<Self, Refusal> {
        let target = find(context, wanted)?;
        let query = wanted.query();
        let permit = target
            .permit(&context.gate, Credentials::read(&query, []), peer.asking("rtmp", &query, wanted.agent.as_deref()))
            .await?;
        if hops::is_loop(wanted.agent.as_deref(), &context.registry.borrow(), target.feed()) {
            return Err(Refusal::Loop(target.feed().clone()));
        }
        let agent = wanted.agent.as_ref().map(|agent| agent.chars().take(AGENT).collect());
        let info =
            PublisherInfo { protocol: PublishProtocol::Rtmp, peer: peer.address, user: permit.user.clone(), agent };
        let feeder = Feeder::new(target.claim(info).await?, permit);
        Ok(Self { feeder, demuxer: flv::Demuxer::new(), found: Vec::new() })
    }

    /// Takes the body of a tag. Other events mean nothing here.
    pub(super) fn take(&mut self, event: &Event) {
        if let Event::Media(TagBody { kind, time, body }) = event {
            self.demuxer.message(*kind, *time, body, &mut self.found);
            self.feeder.take(self.found.drain(..), true);
        }
    }

    /// Ends it for this reason. What the demuxer holds comes before.
    pub(super) fn finish(mut self, reason: &'static str) {
        self.demuxer.finish(&mut self.found);
        self.feeder.take(self.found.drain(..), true);
        self.feeder.finish(reason);
    }
}

fn find(context: &Context, wanted: &Wanted) -> Result<Target, Refusal> {
    let (names, registry) = (wanted.names(), context.registry.borrow());
    let target = names.iter().find_map(|name| Target::find(&registry, name));
    target.ok_or_else(|| Refusal::Unknown(names.into_iter().next().unwrap_or_default()))
}
