//! A feed that comes over a link: this server calls a listener of SRT, plays from a server of RTMP, or listens for datagrams. What comes
//! goes the way of a publisher's.

use super::{
    flow::Flow,
    link_status::{LinkFacts, LinkStatus},
    published,
    publisher::{PublishSlot, Publisher, PublisherInfo},
    status::Status,
};
use crate::{
    config::{DatagramUrl, Link, RtmpUrl, SrtUrl},
    ipc::Ended,
    link::{
        datagrams::{Counts, Receiver},
        rtmp::{self, wire::client::Purpose},
        srt::Call,
    },
    media::{
        demux::Demuxed,
        flv,
        unpack::{AnyDemuxer, UnknownBytes},
    },
    telemetry::chain,
};
use bytes::Bytes;
use std::{
    future::pending,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

/// Media that is silent for this long is not waited for: what came of it is taken as whole.
const SETTLE: Duration = Duration::from_millis(500);
/// What a server of RTMP knows of us.
const AGENT: &str = concat!("voyandz/", env!("CARGO_PKG_VERSION"));
/// Why a feed ends whose slot somebody has. Nobody else can have it.
const TAKEN: &str = "its slot is taken";

/// A feed that comes over a link.
#[derive(Debug, Clone)]
pub struct LinkSource {
    /// From where.
    pub link: Link,
    /// The way to its streams.
    pub slot: PublishSlot,
    /// Where its tracks are reported.
    pub status: Status,
    /// Where its packets are counted.
    pub packets: LinkStatus,
}

impl LinkSource {
    /// See [`super::Source::run`].
    pub async fn run(self, stop: CancellationToken, flow: watch::Sender<Flow>) -> Ended {
        self.packets.began();
        let receive = async {
            match &self.link {
                Link::Srt(url) => self.call(url, &flow).await,
                Link::Rtmp(url) => self.play(url, &flow).await,
                Link::Datagrams(url) => self.listen(url, &flow).await,
            }
        };
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => Ended::Stopped,
            ended = receive => ended,
        };
        self.packets.ended();
        self.status.set_tracks(Vec::new());
        ended
    }

    /// Receives from a listener until the connection ends.
    async fn call(&self, url: &SrtUrl, flow: &watch::Sender<Flow>) -> Ended {
        let mut call = match Call::connect(url).await {
            Ok(call) => call,
            Err(error) => return Ended::Failed(chain(&error)),
        };
        self.packets.peer(call.peer());
        let Some(mut intake) = Intake::claim(self, call.peer()) else { return Ended::Failed(TAKEN.to_owned()) };
        let mut phase = self.slot.phase();
        loop {
            let driven = tokio::select! {
                biased;
                reason = intake.publisher.ended() => return Ended::Failed(reason.to_owned()),
                driven = timeout(SETTLE, call.drive()) => driven,
            };
            for payload in call.take() {
                if let Err(error) = intake.take(&payload) {
                    return Ended::Failed(error.to_string());
                }
            }
            let counts = call.counts();
            let (received, lost, ignored) = (counts.received.packets, counts.received.lost, counts.undecrypted);
            self.packets.count(LinkFacts { received, lost, ignored, ..LinkFacts::default() });
            self.slot.expire(Instant::now());
            intake.settle();
            if phase.has_changed().unwrap_or(false) {
                published::report(*phase.borrow_and_update(), &self.slot, &self.status, flow, Flow::Nothing);
            }
            if let Ok(Err(error)) = driven {
                intake.finish();
                return Ended::Failed(chain(&error));
            }
        }
    }

    /// Plays from a server of RTMP until the connection ends.
    async fn play(&self, url: &RtmpUrl, flow: &watch::Sender<Flow>) -> Ended {
        let opened = rtmp::Connection::open(url, None, Purpose::Play, AGENT.to_owned()).await;
        let mut connection = match opened {
            Ok(connection) => connection,
            Err(error) => return Ended::Failed(chain(&error)),
        };
        self.packets.peer(connection.peer());
        let Some(publisher) = self.claim(connection.peer()) else { return Ended::Failed(TAKEN.to_owned()) };
        let (mut phase, mut demuxer, mut found) = (self.slot.phase(), flv::Demuxer::new(), Vec::new());
        let mut received = 0;
        loop {
            let heard = tokio::select! {
                biased;
                reason = publisher.ended() => return Ended::Failed(reason.to_owned()),
                heard = timeout(SETTLE, connection.listen()) => heard,
            };
            for message in connection.take() {
                received += 1;
                demuxer.message(message.kind, message.time, &message.body, &mut found);
            }
            publisher.demuxed(found.drain(..), true);
            self.packets.count(LinkFacts { received, ..LinkFacts::default() });
            self.slot.expire(Instant::now());
            if phase.has_changed().unwrap_or(false) {
                published::report(*phase.borrow_and_update(), &self.slot, &self.status, flow, Flow::Nothing);
            }
            let sent = connection.flush().await;
            if let Err(error) = heard.unwrap_or(Ok(())).and(sent) {
                demuxer.finish(&mut found);
                publisher.demuxed(found, true);
                return Ended::Failed(chain(&error));
            }
        }
    }

    /// Claims the slot for who sends from there.
    fn claim(&self, peer: SocketAddr) -> Option<Publisher> {
        self.slot.claim(PublisherInfo { protocol: self.link.protocol(), peer, user: None, agent: None }).ok()
    }

    /// Receives from whoever sends, until the network is gone.
    async fn listen(&self, url: &DatagramUrl, flow: &watch::Sender<Flow>) -> Ended {
        let mut receiver = match Receiver::bind(url) {
            Ok(receiver) => receiver,
            Err(error) => return Ended::Failed(format!("cannot listen at {url}: {error}")),
        };
        let mut phase = self.slot.phase();
        let (mut intake, mut payloads) = (None::<Intake>, Vec::<Bytes>::new());
        published::report(*phase.borrow_and_update(), &self.slot, &self.status, flow, Flow::NoPublisher);
        loop {
            let ended = async {
                match &intake {
                    Some(intake) => intake.publisher.ended().await,
                    None => pending().await,
                }
            };
            let heard = tokio::select! {
                biased;
                _ = ended => {
                    intake = None;
                    continue;
                }
                heard = timeout(SETTLE, receiver.receive(&mut payloads)) => heard,
            };
            if let (Some(peer), None, false) = (receiver.sender(), &intake, payloads.is_empty()) {
                self.packets.peer(peer);
                intake = Intake::claim(self, peer);
            }
            if let Some(intake) = &mut intake {
                for payload in payloads.drain(..) {
                    // All of it begins as MPEG-TS does.
                    let _ = intake.take(&payload);
                }
                intake.settle();
            }
            let Counts { received, lost, recovered, ignored } = receiver.counts();
            self.packets.count(LinkFacts { peer: None, received, lost, recovered, ignored });
            self.slot.expire(Instant::now());
            if phase.has_changed().unwrap_or(false) {
                published::report(*phase.borrow_and_update(), &self.slot, &self.status, flow, Flow::NoPublisher);
            }
            if let Ok(Err(error)) = heard {
                return Ended::Failed(format!("cannot receive at {url}: {error}"));
            }
        }
    }
}

/// The way of what comes into the slot.
struct Intake {
    publisher: Publisher,
    demuxer: AnyDemuxer,
    found: Vec<Demuxed>,
    /// When something came last that was not settled.
    newest: Option<Instant>,
}

impl Intake {
    fn claim(source: &LinkSource, peer: SocketAddr) -> Option<Self> {
        let publisher = source.claim(peer)?;
        Some(Self { publisher, demuxer: AnyDemuxer::new(), found: Vec::new(), newest: None })
    }

    fn take(&mut self, payload: &[u8]) -> Result<(), UnknownBytes> {
        self.demuxer.push(payload, &mut self.found)?;
        self.newest = Some(Instant::now());
        self.hand_on();
        Ok(())
    }

    /// Takes what came as whole, when nothing has come for a while.
    fn settle(&mut self) {
        if self.newest.is_some_and(|newest| newest.elapsed() >= SETTLE) {
            self.newest = None;
            self.demuxer.settle(&mut self.found);
            self.hand_on();
        }
    }

    /// Takes what is left.
    fn finish(mut self) {
        // What is whole is taken, whatever the end is like.
        let _ = self.demuxer.finish(&mut self.found);
        self.hand_on();
    }

    fn hand_on(&mut self) {
        self.publisher.demuxed(self.found.drain(..), self.demuxer.has_times());
    }
}
