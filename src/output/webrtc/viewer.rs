//! A viewer as its shard knows it: the session, what it plays, and what it reports to the rest of the server.

use super::{
    channels,
    layers::Layers,
    negotiation::PlayPlan,
    play::Play,
    session::{Out, Output, Session},
    state::{MAX_SUBSCRIBERS, SessionState},
};
use crate::{
    access::Pass,
    media::webrtc::Frame,
    source::demand::Lease,
    stream::{Arrival, Batch, FanOut, Progress, ViewerHandle, Viewers},
    telemetry::SENT,
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::{mpsc, watch};

/// How long a client may take to connect after its offer was answered.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);

/// One viewer.
#[derive(Debug)]
pub struct Viewer {
    /// Its connection.
    pub session: Session,
    /// The tracks that it gets.
    pub plan: PlayPlan,
    /// What it is sent, once it is connected.
    pub play: Option<Play>,
    /// The stream.
    pub fanout: FanOut,
    /// The viewers of the stream.
    pub viewers: Viewers,
    /// Its channel in the shard.
    pub channel: Option<usize>,
    /// When the shard looks at it next.
    pub scheduled: Option<Instant>,
    /// From where it has sent.
    pub addresses: Vec<SocketAddr>,
    /// Why it leaves.
    pub reason: &'static str,
    /// What it may be sent in place of the stream itself; `None` where that has one size only.
    pub layers: Option<ViewerLayers>,
    about: About,
    since: Instant,
    viewer: Option<ViewerHandle>,
    /// The newest frame of which the client has a message.
    reported_frame: Option<u32>,
    /// What subscribers to its events know, once there was one.
    state: Option<watch::Sender<SessionState>>,
    /// The counts that are in the sums of the server.
    counted: [u64; SENT.len()],
}

/// The layers of a viewer: the stream itself, its renditions and the layers of its publisher, in the order of the configuration.
#[derive(Debug)]
pub struct ViewerLayers {
    /// What clients call them.
    pub names: Arc<[String]>,
    /// Which one it is sent.
    pub choice: Layers,
    /// Their publisher may pause them.
    are_published: bool,
    /// Has one opened.
    wanted: mpsc::Sender<usize>,
    /// The one that is opened, until its keyframe comes, and its channel in the shard.
    next: Option<(OpenedLayer, usize)>,
}

/// A layer that a viewer may switch to.
#[derive(Debug)]
pub struct OpenedLayer {
    /// Its place among the layers.
    pub number: usize,
    /// Its frames.
    pub fanout: FanOut,
    /// The viewers of the rendition.
    pub viewers: Viewers,
    /// Keeps it running.
    pub lease: Lease,
}

impl ViewerLayers {
    /// These, which a publisher sends and may pause or which are encoded here; `wanted` takes the numbers of those that are to be opened.
    pub fn new(names: Arc<[String]>, are_published: bool, wanted: mpsc::Sender<usize>, now: Instant) -> Self {
        Self { choice: Layers::new(names.len(), now), names, are_published, wanted, next: None }
    }
}

/// Who it is.
#[derive(Debug)]
pub struct About {
    /// The name of the stream.
    pub stream: Arc<str>,
    /// The client that sent the offer.
    pub peer: SocketAddr,
    /// The name of its identity.
    pub user: Option<String>,
    /// Ends with its permission.
    pub pass: Pass,
    /// Keeps the stream running.
    pub lease: Lease,
}

impl Viewer {
    /// A viewer whose offer is answered.
    pub fn new(
        session: Session,
        plan: PlayPlan,
        (fanout, viewers): (FanOut, Viewers),
        about: About,
        now: Instant,
    ) -> Self {
        Self {
            session,
            plan,
            play: None,
            fanout,
            viewers,
            channel: None,
            scheduled: None,
            addresses: Vec::new(),
            reason: "client left",
            layers: None,
            about,
            since: now,
            viewer: None,
            reported_frame: None,
            state: None,
            counted: [0; SENT.len()],
        }
    }

    /// It is connected.
    pub fn joined(&mut self, now: Instant) {
        let About { peer, user, pass, .. } = &self.about;
        let arrival = Arrival { protocol: "webrtc", user: user.as_deref(), peer: *peer };
        let viewer = self.viewers.join(arrival, Some(pass.ended_by_order()), SystemTime::now());
        let took = now.saturating_duration_since(self.since);
        viewer.played(took, self.since, now);
        self.viewer = Some(viewer);
        let (stream, peer, user) = (&self.about.stream, self.about.peer, &self.about.user);
        let codecs: Vec<_> = self.plan.tracks.iter().map(|track| track.codec).collect();
        let codecs = codecs.join(",");
        tracing::debug!(%stream, %peer, user, protocol = "webrtc", codecs, ?took, "viewer joined");
    }

    /// When there is something to do for it.
    pub fn due(&self) -> Instant {
        let paced = self.play.as_ref().and_then(Play::due);
        paced.map_or(self.session.due(), |paced| paced.min(self.session.due()))
    }

    /// Sends what has come of the stream, and what time demands.
    pub fn pump(&mut self, batch: Option<(&Batch, &[Arc<Frame>])>, now: Instant, out: &mut Out) {
        if let Some(play) = &mut self.play {
            let outcome = play.pump(&mut self.session, batch, now, &mut out.packets);
            out.events.extend(outcome.ended());
        }
        if self.session.is_controlled()
            && let Some((timestamp, sent)) = self.session.newest_frame(now)
            && self.reported_frame.replace(timestamp) != Some(timestamp)
        {
            self.session.message(&channels::left(timestamp, sent), now, out);
        }
        self.session.timeout(now, out);
    }

    /// Has another layer opened, if that is due by what the viewer has lost or chosen.
    pub fn choose_layer(&mut self, now: Instant, out: &mut Out) {
        let lost = self.session.take_fraction_lost();
        let (Some(layers), Some(play)) = (&mut self.layers, &mut self.play) else { return };
        if let Some(lost) = lost {
            layers.choice.reported(lost, now);
        }
        if layers.are_published && play.is_paused(now) {
            layers.choice.starved(now);
        }
        if let Some(wanted) = layers.choice.wanted(now)
            && layers.wanted.try_send(wanted).is_err()
        {
            layers.choice.failed(now);
        }
        let pending = layers.choice.pending();
        if let Some((_, channel)) = layers.next.take_if(|(layer, _)| Some(layer.number) != pending) {
            play.stay();
            out.events.push(Output::Left(channel));
        }
    }

    /// A layer was opened, and comes through this channel; `None` when it cannot be had.
    pub fn opened_layer(&mut self, opened: Option<(OpenedLayer, usize)>, now: Instant, out: &mut Out) {
        let (Some(layers), Some(play)) = (&mut self.layers, &mut self.play) else { return };
        let pending = layers.choice.pending();
        let unneeded = match opened {
            Some((layer, channel)) if Some(layer.number) == pending => {
                play.switch_to(&layer.fanout);
                layers.next.replace((layer, channel))
            }
            // It took too long, or another one is wanted by now.
            Some(unneeded) => Some(unneeded),
            None => {
                layers.choice.failed(now);
                None
            }
        };
        out.events.extend(unneeded.map(|(_, channel)| Output::Left(channel)));
    }

    /// The channel of the layer that begins with its next keyframe.
    pub fn next_channel(&self) -> Option<usize> {
        self.layers.as_ref()?.next.as_ref().map(|(_, channel)| *channel)
    }

    /// Sends the layer that was opened, if its keyframe is there.
    pub fn pump_next(&mut self, now: Instant, out: &mut Out) {
        let (Some(layers), Some(play)) = (&mut self.layers, &mut self.play) else { return };
        if layers.next.is_none() || !play.pump_next(&mut self.session, now, &mut out.packets) {
            return;
        }
        let Some((layer, channel)) = layers.next.take() else { return };
        let before = (layers.choice.current(), self.channel.replace(channel));
        layers.choice.switched(now);
        (self.fanout, self.about.lease) = (layer.fanout, layer.lease);
        out.events.extend(before.1.map(Output::Left));
        let name = |number: usize| layers.names.get(number).map(String::as_str).unwrap_or_default();
        let (stream, peer, user) = (&self.about.stream, self.about.peer, &self.about.user);
        let (layer, from, is_chosen) = (name(layer.number), name(before.0), layers.choice.chosen().is_some());
        tracing::debug!(%stream, %peer, user, protocol = "webrtc", layer, from, is_chosen, "viewer switched layer");
        self.session.message(&channels::switched(layer), now, out);
    }

    /// Sends the client what the stream is, where it has asked for that.
    pub fn describe(&mut self, now: Instant, out: &mut Out) {
        if self.session.take_undescribed() {
            self.session.message(&channels::described(&self.about.stream, &self.plan), now, out);
        }
    }

    /// A subscription to what it is doing; `None` when there are enough.
    pub fn watched(&mut self, now: Instant) -> Option<watch::Receiver<SessionState>> {
        let state = self.state(now);
        let sender = self.state.get_or_insert_with(|| watch::Sender::new(state));
        (sender.receiver_count() < MAX_SUBSCRIBERS).then(|| sender.subscribe())
    }

    fn state(&self, now: Instant) -> SessionState {
        SessionState {
            is_active: self.play.as_ref().is_some_and(|play| !play.is_paused(now)),
            viewers: self.viewers.stats().now,
            layers: self.layers.as_ref().map(|layers| (layers.names.clone(), layers.choice.current())),
        }
    }

    /// What it was sent and asked for since the last call.
    pub fn sent(&mut self) -> [u64; SENT.len()] {
        let counts = self.session.stats().counts();
        let before = std::mem::replace(&mut self.counted, counts);
        std::array::from_fn(|at| {
            let of = |counts: [u64; SENT.len()]| counts.get(at).copied().unwrap_or_default();
            of(counts).saturating_sub(of(before))
        })
    }

    /// Why it has to leave, if it has.
    pub fn check(&mut self, now: Instant) -> Option<&'static str> {
        let progress = self.progress();
        if let Some(viewer) = &mut self.viewer {
            viewer.report(progress);
            viewer.report_rtp(self.session.stats());
        }
        if let Some(sender) = self.state.as_ref().filter(|sender| sender.receiver_count() > 0) {
            let state = self.state(now);
            sender.send_if_modified(|before| std::mem::replace(before, state.clone()) != state);
        }
        let is_late = self.play.is_none() && now.saturating_duration_since(self.since) > CONNECT_WITHIN;
        self.about.pass.end().reason().or(is_late.then_some("not connected in time"))
    }

    fn progress(&self) -> Progress {
        self.play.as_ref().map(Play::progress).unwrap_or_default()
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let progress = self.progress();
        if let Some(viewer) = &mut self.viewer {
            viewer.report(progress);
            viewer.ended(self.reason);
        }
        let About { stream, peer, user, .. } = &self.about;
        let Progress { bytes, gaps, lost, .. } = progress;
        let (seconds, reason) = (self.since.elapsed().as_secs(), self.reason);
        tracing::info!(%stream, %peer, user, protocol = "webrtc", bytes, seconds, gaps, lost, reason, "viewer left");
    }
}
