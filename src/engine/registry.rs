//! The feeds and streams of a server, for all outputs: each protocol, the pages, the API.

use super::{patterns::Patterns, push_status::Pushes, recorder_status::RecorderStatus, rendition::Rendition};
use crate::{
    config,
    media::{Container, MediaKind, Muxer, NotCarried},
    source::{
        control::Control,
        demand::{Demand, Lease},
        link_status::LinkStatus,
        per_request::PerRequestStream,
        publisher::PublishSlot,
        status::Status,
        worker_group::WorkerGroup,
    },
    stream::{FanOut, Pauses, SampleReader, StreamOutput, Viewers},
    telemetry::Origins,
};
use std::{collections::HashSet, sync::Arc, time::Duration};

/// One feed: its configuration and state.
#[derive(Debug)]
pub struct FeedHandle {
    /// Its configuration.
    pub config: config::Feed,
    /// Its state.
    pub status: Status,
    /// Takes orders.
    pub control: Control,
    /// What keeps it from the viewers of its streams: orders to it, and to the feeds that it reads.
    pub pauses: Pauses,
    /// Its bytes as they arrive; `None` when they stay in a worker.
    pub fanout: Option<FanOut>,
    /// Where it is published to, if it is.
    pub publish: Option<PublishSlot>,
    /// What comes over its link, if it has one.
    pub link: Option<LinkHandle>,
}

/// The link of a feed.
#[derive(Debug, Clone)]
pub struct LinkHandle {
    /// Its packets.
    pub packets: LinkStatus,
    /// Its samples.
    pub slot: PublishSlot,
}

/// One stream in one container: its configuration and state, its packets, and how to start it.
#[derive(Debug, Clone)]
pub struct StreamHandle {
    /// Its configuration.
    pub config: config::Stream,
    /// The state of what makes it: its own encoder, or the feed that it passes through.
    pub status: Status,
    /// Its viewers.
    pub viewers: Viewers,
    /// The state of its recorder.
    pub recorder: RecorderStatus,
    /// The state of its pushes.
    pub pushes: Pushes,
    /// Its packets.
    pub fanout: FanOut,
    /// Has it muxed; `None` where the packets arrive as bytes.
    pub output: Option<StreamOutput>,
    /// Leased while its source is in use; [`StreamHandle::lease`] for those who read packets.
    pub demand: Demand,
    /// Takes orders for its source.
    pub control: Control,
    /// What keeps it from its viewers: orders to it, and to its feeds.
    pub pauses: Pauses,
    /// Makes its stills.
    pub group: WorkerGroup,
    /// Its number in the group's plan, or `None` when stills are decoded from its packets.
    pub in_plan: Option<u32>,
    /// What it is made of, if it may need other encodings than the main one.
    pub rendition: Option<Arc<Rendition>>,
    /// The stream in each of its containers, its own among them; empty for a stream of one container.
    pub outputs: Vec<Arc<StreamHandle>>,
    /// The same media in the container that its name promises, where the bytes of its feed may be in another one.
    pub made: Option<Box<StreamHandle>>,
}

/// How long it may take until the bytes of a feed show their format. What is made of them is right in any case.
const KNOWN_WITHIN: Duration = Duration::from_secs(3);

impl StreamHandle {
    /// What viewers get: the bytes of its feed where they are what its name promises, else what is made of them. To be called while the
    /// stream is leased. Cancel-safe.
    pub async fn settled(&self) -> &Self {
        let Some(made) = &self.made else { return self };
        match tokio::time::timeout(KNOWN_WITHIN, self.fanout.container_known()).await {
            Ok(found) if self.is_promised(found) => self,
            _ => made,
        }
    }

    /// What viewers get, as far as is known by now.
    pub fn current(&self) -> &Self {
        let is_other = self.fanout.container().is_some_and(|found| !self.is_promised(found));
        self.made.as_deref().filter(|_| is_other).unwrap_or(self)
    }

    fn is_promised(&self, found: Container) -> bool {
        // Every WebM is Matroska.
        found == self.config.container || (found, self.config.container) == (Container::Webm, Container::Mkv)
    }

    /// Leases the stream and its packets. To be taken before a reader subscribes.
    pub fn lease(&self) -> Lease {
        let lease = self.demand.lease();
        match &self.output {
            Some(output) => lease.with(output.lease()),
            None => lease,
        }
    }

    /// Whether readers of one get the samples of the other, as over a reload that does not change them.
    pub fn has_samples_of(&self, other: &Self) -> bool {
        match (self.sampled(), other.sampled()) {
            (Some(one), Some(other)) => {
                one.output.as_ref().zip(other.output.as_ref()).is_some_and(|(one, other)| one.is_beside(other))
            }
            (None, None) => true,
            _ => false,
        }
    }

    /// The stream where it is muxed of its samples; `None` where there are bytes alone.
    pub fn sampled(&self) -> Option<&Self> {
        let others = self.made.as_deref().into_iter().chain(self.outputs.iter().map(AsRef::as_ref));
        [self].into_iter().chain(others).find(|stream| stream.output.is_some())
    }

    /// The path of its playlist, percent-encoded; `None` where there is none: of what arrives as bytes, and of what players of
    /// playlists know nothing of.
    pub fn playlist_path(&self) -> Option<String> {
        let has_rendition = self.sampled()?.rendition.is_some();
        let is_listed = !matches!(self.config.container, Container::Wav | Container::Mjpeg | Container::Raw);
        (is_listed || has_rendition).then(|| format!("{}.m3u8", stem(&self.config.path.encoded())))
    }

    /// The path of its manifest of DASH, percent-encoded; `None` also where its segments are encrypted as only HLS has it.
    pub fn manifest_path(&self) -> Option<String> {
        let playlist = self.playlist_path().filter(|_| self.config.hls.encrypt.is_none())?;
        playlist.strip_suffix(".m3u8").map(|stem| format!("{stem}.mpd"))
    }

    /// Leases the stream and its packets as [`StreamHandle::lease`] does, with the encodings that its container needs. Cancel-safe.
    ///
    /// # Errors
    /// When its container can carry neither the tracks of the stream nor what they could be encoded as.
    pub async fn open(&self) -> Result<Lease, NotCarried> {
        match &self.rendition {
            Some(rendition) => rendition.open(self.config.container).await,
            None => Ok(self.lease()),
        }
    }

    /// Leases the stream and reads its samples, of the tracks that a container can carry. `None` where it arrives as bytes alone.
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`StreamHandle::open`].
    pub async fn open_samples(&self, container: Container) -> Result<Option<(Lease, SampleReader)>, NotCarried> {
        let Some(stream) = self.sampled() else { return Ok(None) };
        match (&stream.rendition, &stream.output) {
            (Some(rendition), _) => rendition.open_samples(container).await.map(Some),
            (None, Some(output)) => {
                let lease = stream.demand.lease();
                Ok(Some((lease, output.input().samples(container, &[0]))))
            }
            (None, None) => Ok(None),
        }
    }

    /// The stream in a container that can carry its video, for those who decode its packets, and leases it. To be called while the stream is
    /// leased. Cancel-safe.
    pub async fn open_video(&self) -> (&Self, Lease) {
        let Some(rendition) = &self.rendition else { return (self, self.lease()) };
        let own = [self.config.container].into_iter();
        let containers = own.chain(self.config.containers());
        let containers: Vec<_> = containers.filter(|one| Muxer::kinds(*one).contains(&MediaKind::Video)).collect();
        let Some((found, lease)) = rendition.open_video(&containers).await else { return (self, self.lease()) };
        let output = self.outputs.iter().find(|output| output.config.container == found);
        (output.map_or(self, AsRef::as_ref), lease)
    }

    /// The containers that can carry the tracks of the stream, of those that it is offered in.
    pub fn carried(&self) -> Vec<Container> {
        let containers = self.config.containers();
        match &self.rendition {
            Some(rendition) => rendition.carried(&containers),
            None => containers,
        }
    }
}

/// The path of a stream without the extension of its container: `/cam0` of `/cam0.ts`.
pub fn stem(path: &str) -> &str {
    match Container::from_extension(path) {
        Some(_) => path.rsplit_once('.').map_or(path, |(stem, _)| stem),
        None => path,
    }
}

/// All feeds and streams, in the order of the configuration. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    feeds: Arc<[FeedHandle]>,
    streams: Arc<[Arc<StreamHandle>]>,
    per_request: Arc<[Arc<PerRequestStream>]>,
    patterns: Patterns,
}

impl Registry {
    /// A registry of these feeds and streams.
    pub fn new(
        feeds: Vec<FeedHandle>,
        streams: Vec<Arc<StreamHandle>>,
        per_request: Vec<Arc<PerRequestStream>>,
    ) -> Self {
        Self {
            feeds: feeds.into(),
            streams: streams.into(),
            per_request: per_request.into(),
            patterns: Patterns::default(),
        }
    }

    /// With these names that can be published to.
    pub fn with_patterns(self, patterns: Patterns) -> Self {
        Self { patterns, ..self }
    }

    /// The names that can be published to without being configured one by one.
    pub fn patterns(&self) -> &Patterns {
        &self.patterns
    }

    /// The feeds.
    pub fn feeds(&self) -> &[FeedHandle] {
        &self.feeds
    }

    /// Where the feed with this name is published to, if it is.
    pub fn publish_slot(&self, feed: &str) -> Option<&PublishSlot> {
        self.feeds.iter().find(|known| known.config.name.as_str() == feed)?.publish.as_ref()
    }

    /// The names of the feeds that the streams are made of whose names `is_seen` likes, also by way of other feeds.
    pub fn feeds_of(&self, is_seen: &dyn Fn(&str) -> bool) -> HashSet<String> {
        let seen = self.configs().filter(|stream| is_seen(stream.name.as_str()));
        let mut names: HashSet<String> = seen.flat_map(|stream| stream.feeds.iter().map(ToString::to_string)).collect();
        loop {
            let of_seen = self.feeds.iter().filter(|feed| names.contains(feed.config.name.as_str()));
            let parents = of_seen.filter_map(|feed| feed.config.parent.as_ref().map(ToString::to_string));
            let new: Vec<_> = parents.filter(|parent| !names.contains(parent)).collect();
            if new.is_empty() {
                return names;
            }
            names.extend(new);
        }
    }

    /// The names of the streams that are made of a feed directly.
    pub fn streams_of(&self, feed: &str) -> Vec<&str> {
        let of_feed = self.configs().filter(|stream| stream.feeds.iter().any(|name| name.as_str() == feed));
        of_feed.map(|stream| stream.name.as_str()).collect()
    }

    fn configs(&self) -> impl Iterator<Item = &config::Stream> {
        let shared = self.streams.iter().map(|stream| &stream.config);
        shared.chain(self.per_request.iter().map(|stream| &stream.config))
    }

    /// All that has to run for the stream of this name; nothing where there is no such stream.
    pub fn origins(&self, stream: &str) -> Origins {
        let shared = self.streams.iter().map(|known| (&known.config, &known.viewers));
        let mut all = shared.chain(self.per_request.iter().map(|known| (&known.config, &known.viewers)));
        let found = all.find(|(config, _)| config.name.as_str() == stream);
        found.map(|(_, viewers)| viewers.origins()).unwrap_or_default()
    }

    /// The streams that all viewers share.
    pub fn streams(&self) -> &[Arc<StreamHandle>] {
        &self.streams
    }

    /// The streams that are made for each request.
    pub fn per_request(&self) -> &[Arc<PerRequestStream>] {
        &self.per_request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stem_has_no_extension_of_a_container() {
        let check = |path, expect| assert_eq!(stem(path), expect);
        check("/cam0.ts", "/cam0");
        check("/a.b/cam 0.MP4", "/a.b/cam 0");
        check("/cam0", "/cam0");
        check("/cam0.v2", "/cam0.v2");
        check("/a.ts/cam", "/a.ts/cam");
    }
}
