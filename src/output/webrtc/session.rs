//! One connection: ICE and DTLS by str0m, which also receives what publishers send; a viewer is sent to by our own [`Sender`]. No IO and
//! no clock: time and datagrams come in, datagrams and events go out.

pub mod calling;
pub mod path;

use self::path::{Choice, Path, Ways};
use super::{
    announce::{Announced, assigned},
    channels::{Channels, Purpose},
    hooked::{Hooked, Message, OpenedChannel},
    keys::{self, KeySlot},
    mux,
    negotiation::{PlayPlan, finished_answer},
    sdp::{Format, Offer},
    sender::{Sender, TrackSetup},
};
use crate::{
    media::{MediaKind, Time, webrtc::Frame},
    net::Outbox,
    stream::RtpStats,
    telemetry::chain,
};
use bytes::Bytes;
use std::{
    mem,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use str0m::{
    Candidate, Event, IceConnectionState, IceCreds, Input, Output as RtcOutput, Rtc, RtcConfig, RtcError,
    change::SdpOffer,
    channel::ChannelId,
    config::{CryptoProvider, DtlsCert},
    format::{Codec, FormatParams},
    media::{Frequency, KeyframeRequestKind, MediaData, MediaTime, Mid, Pt, Rid},
    net::{Protocol, Receive},
    rtp::{Extension, ExtensionMap},
};
use tokio::sync::mpsc;

/// Reports of str0m for a viewer's tracks, which would have the numbers of ours: none is sent.
const NEVER: Duration = Duration::from_secs(86_400);
/// The least time between two timeouts of a session: str0m asks for the same moment again after each packet.
const LEAST_PAUSE: Duration = Duration::from_millis(1);

/// The longest datagram that is taken for an acknowledgement: one with a few gaps.
const MAX_ACKNOWLEDGEMENT: usize = 128;

/// What viewers and publishers are answered who offer both directions.
const SENDS: &str = "a=sendonly";
const RECEIVES: &str = "a=recvonly";

/// Why a session is over that the client has ended.
pub const LEFT: &str = "client left";

/// What all sessions of a server have in common.
#[derive(Debug, Clone)]
pub struct Identity {
    crypto: Arc<CryptoProvider>,
    /// Of viewers, whose keys are needed here too.
    copying: Arc<CryptoProvider>,
    certificate: DtlsCert,
}

impl Identity {
    /// With a certificate of its own; `None` when it cannot be made.
    pub fn generate() -> Option<Self> {
        let crypto = Arc::new(str0m::crypto::from_feature_flags());
        let certificate = crypto.dtls_provider.generate_certificate()?;
        Some(Self { crypto, copying: Arc::new(keys::provider()), certificate })
    }
}

/// Why an offer could not be accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// It cannot be read.
    #[error("the offer cannot be read: {0}")]
    Unreadable(String),
    /// It cannot be answered.
    #[error("the offer cannot be answered: {0}")]
    Unanswerable(String),
}

/// What leaves a session.
#[derive(Debug, Default)]
pub struct Out {
    /// In their order.
    pub events: Vec<Output>,
    /// Packets of media for the [`Path`] of the session.
    pub packets: Outbox,
}

/// Something that leaves a session.
#[derive(Debug)]
pub enum Output {
    /// A datagram.
    Send {
        /// Over UDP, or framed over a connection of TCP.
        is_tcp: bool,
        /// To whom.
        destination: SocketAddr,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// Media can be sent from now on.
    Ready,
    /// A frame of a publisher came.
    Media(Received),
    /// The viewer has lost too much: it needs a keyframe.
    WantsKeyframe,
    /// The viewer does not need what comes through this channel of the shard any more.
    Left(usize),
    /// It is over, for this reason.
    Ended(&'static str),
}

/// A frame of a publisher.
#[derive(Debug)]
pub struct Received {
    /// Of which track.
    pub kind: MediaKind,
    /// Of which layer of it, as [`assigned`] counts them.
    pub layer: usize,
    /// The name of the codec in lower case.
    pub codec: &'static str,
    /// When it is shown, by the clock of RTP, in nanoseconds.
    pub time: i64,
    /// What the clock of the sender was, in nanoseconds since 1970, and that of RTP at the same moment.
    pub report: Option<(i64, i64)>,
    /// Nothing is missing before it.
    pub is_continuous: bool,
    /// As str0m puts it together.
    pub data: Bytes,
}

/// A session of a viewer or a publisher.
#[derive(Debug)]
pub struct Session {
    rtc: Rtc,
    role: Role,
    channels: Channels,
    /// The channels that lead to something outside.
    hooked: Hooked,
    /// When the next timeout is due.
    due: Instant,
}

#[derive(Debug)]
enum Role {
    Viewer(Box<Playing>),
    Publisher {
        /// Its video.
        video: Option<Mid>,
        /// The layers of its video, each with its number, where the feed has some.
        layers: Vec<(Rid, usize)>,
        /// Where it has none and several are sent: the one that came first.
        first_layer: Option<Option<Rid>>,
    },
}

/// The media of a viewer, or of a server that we publish to.
#[derive(Debug)]
struct Playing {
    keys: KeySlot,
    tracks: Vec<TrackSetup>,
    /// A moment, and the clock of the system at it, in nanoseconds since 1970.
    clock: (Instant, u64),
    /// Once it is connected.
    sender: Option<Sender>,
    ways: Ways,
}

impl Session {
    /// Answers an offer as planned. Takes about 2 ms. May panic on an offer that is made up to do that: to be called where a panic costs
    /// this session alone.
    ///
    /// # Errors
    /// When str0m refuses the offer.
    pub fn accept(
        offer: &str,
        plan: &PlayPlan,
        identity: &Identity,
        (name, password): (&str, &str),
        candidates: &[Candidate],
        (now, wall): (Instant, SystemTime),
    ) -> Result<(Self, String), AcceptError> {
        let mut extensions = ExtensionMap::empty();
        let mid_extension = plan.mid_extension.filter(|number| (1..=14).contains(number));
        if let Some(number) = mid_extension {
            extensions.set(number, Extension::RtpMid);
        }
        let mut config = RtcConfig::new()
            .set_crypto_provider(identity.copying.clone())
            .set_dtls_cert(identity.certificate.clone())
            .set_local_ice_credentials(credentials(name, password))
            .set_ice_lite(true)
            .set_rtp_mode(true)
            .clear_codecs()
            .set_extension_map(extensions)
            .set_rtcp_report_interval_audio(NEVER)
            .set_rtcp_report_interval_video(NEVER);
        for track in &plan.tracks {
            add_codec(&mut config, &track.format, track.retransmission);
        }
        let (mut rtc, keys) = keys::build(config, now);
        for candidate in candidates {
            rtc.add_local_candidate(candidate.clone());
        }
        let answer = accept(&mut rtc, offer, SENDS)?;
        let mut tracks = Vec::with_capacity(plan.tracks.len());
        for track in &plan.tracks {
            let mid = Mid::from(track.mid.as_str());
            let missing = || AcceptError::Unanswerable(format!("the answer has no source for medium {mid}"));
            let name = rtc.media(mid).ok_or_else(missing)?.cname().to_owned();
            let mut api = rtc.direct_api();
            let stream = api.stream_tx_by_mid(mid, None).ok_or_else(missing)?;
            tracks.push(TrackSetup {
                kind: track.kind,
                ssrc: *stream.ssrc(),
                clock: track.format.clock,
                payload_type: track.format.payload_type,
                again: stream.rtx().map(|ssrc| *ssrc).zip(track.retransmission),
                mid: mid_extension.map(|number| (number, track.mid.clone())),
                name,
            });
        }
        let ways = Ways::new(Choice::Theirs);
        let playing = Playing { keys, tracks, clock: clock(now, wall), sender: None, ways };
        let channels = Channels::default();
        let role = Role::Viewer(Box::new(playing));
        Ok((Self { rtc, role, channels, hooked: Hooked::default(), due: now }, answer))
    }

    /// Answers the offer of a publisher as planned. `layers`: those that the feed has. See [`Session::accept`].
    ///
    /// # Errors
    /// When str0m refuses the offer.
    pub fn accept_publisher(
        offer: &str,
        (plan, layers): (&[Announced], &[String]),
        identity: &Identity,
        (name, password): (&str, &str),
        candidates: &[Candidate],
        now: Instant,
    ) -> Result<(Self, String), AcceptError> {
        let mut config = RtcConfig::new()
            .set_crypto_provider(identity.crypto.clone())
            .set_dtls_cert(identity.certificate.clone())
            .set_local_ice_credentials(credentials(name, password))
            .set_ice_lite(true)
            .clear_codecs();
        for (format, retransmission) in plan.iter().flat_map(|media| &media.formats) {
            add_codec(&mut config, format, *retransmission);
        }
        let mut rtc = config.build(now);
        for candidate in candidates {
            rtc.add_local_candidate(candidate.clone());
        }
        let answer = accept(&mut rtc, offer, RECEIVES)?;
        let video = plan.iter().find(|media| media.kind == MediaKind::Video);
        let places = video.filter(|_| !layers.is_empty()).map(|video| assigned(&video.layers, layers));
        let role = Role::Publisher {
            video: video.map(|media| media.mid.as_str().into()),
            layers: places.iter().flatten().map(|(name, place)| (name.as_str().into(), *place)).collect(),
            first_layer: None,
        };
        let channels = Channels::default();
        Ok((Self { rtc, role, channels, hooked: Hooked::default(), due: now }, answer))
    }

    /// Asks the publisher for a keyframe, of those layers of its video that are `wanted`.
    pub fn request_keyframe(&mut self, wanted: impl Fn(usize) -> bool) {
        let Role::Publisher { video, layers, first_layer } = &self.role else { return };
        let Some(mut writer) = video.and_then(|video| self.rtc.writer(video)) else { return };
        if !writer.is_request_keyframe_possible(KeyframeRequestKind::Pli) {
            return;
        }
        // An error says that there is nothing to ask yet.
        if layers.is_empty() && wanted(0) {
            let _ = writer.request_keyframe(first_layer.flatten(), KeyframeRequestKind::Pli);
        }
        for (layer, _) in layers.iter().filter(|(_, number)| wanted(*number)) {
            let _ = writer.request_keyframe(Some(*layer), KeyframeRequestKind::Pli);
        }
    }

    /// Begins another ICE session (RFC 8445, section 9): from a network to another without a break. `offer` is that of before with the
    /// new credentials of the client.
    ///
    /// # Errors
    /// When str0m refuses the offer.
    pub fn restart(&mut self, offer: &str) -> Result<String, AcceptError> {
        let direction = match self.role {
            Role::Viewer(_) => SENDS,
            Role::Publisher { .. } => RECEIVES,
        };
        accept(&mut self.rtc, offer, direction)
    }

    /// A datagram came.
    pub fn receive(
        &mut self,
        is_tcp: bool,
        (source, destination): (SocketAddr, SocketAddr),
        bytes: &[u8],
        now: Instant,
        out: &mut Out,
    ) {
        if let Role::Viewer(playing) = &mut self.role
            && is_media(bytes)
        {
            // Ours alone: two that decrypt and answer would use numbers twice.
            let sender = playing.sender.as_mut();
            if sender.is_some_and(|sender| sender.receive(bytes, now, &mut out.packets)) {
                out.events.push(Output::WantsKeyframe);
            }
            return;
        }
        let protocol = if is_tcp { Protocol::Tcp } else { Protocol::Udp };
        // What is no datagram of WebRTC is dropped.
        let Ok(receive) = Receive::new(protocol, source, destination, bytes) else { return };
        if let Err(error) = self.rtc.handle_input(Input::Receive(now, receive)) {
            return out.events.push(failed(&error));
        }
        let before = out.events.len();
        self.drain(now, out);
        if let Role::Viewer(playing) = &mut self.role {
            let mut answers = out.events.iter().skip(before);
            let is_answered = answers.any(|output| match output {
                Output::Send { is_tcp: other, destination, bytes } => {
                    (*other, *destination) == (is_tcp, source) && mux::is_success(bytes)
                }
                _ => false,
            });
            playing.ways.received(Path { is_tcp, destination: source }, bytes, is_answered, now);
        }
    }

    /// When [`Session::timeout`] is to be called.
    pub fn due(&self) -> Instant {
        let report = self.sender().and_then(Sender::due);
        report.map_or(self.due, |report| report.min(self.due))
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant, out: &mut Out) {
        if let Role::Viewer(playing) = &mut self.role
            && let Some(sender) = &mut playing.sender
        {
            sender.tick(now, &mut out.packets);
        }
        if self.due <= now {
            self.advance(now, out);
        }
    }

    fn advance(&mut self, now: Instant, out: &mut Out) {
        if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
            return out.events.push(failed(&error));
        }
        self.drain(now, out);
    }

    /// Where packets of media go; `None` until the client has chosen.
    pub fn path(&self) -> Option<Path> {
        match &self.role {
            Role::Viewer(playing) => playing.ways.path(),
            Role::Publisher { .. } => None,
        }
    }

    /// Sends a frame, shown at `time` in place of its own. Returns how many bytes.
    pub fn write(&mut self, frame: &Arc<Frame>, time: Time, now: Instant, packets: &mut Outbox) -> usize {
        let Role::Viewer(playing) = &mut self.role else { return 0 };
        playing.sender.as_mut().map_or(0, |sender| sender.write(frame, time, now, packets))
    }

    /// What was sent to a viewer, and what it reported.
    pub fn stats(&self) -> RtpStats {
        let protocol = if self.path().is_some_and(|path| path.is_tcp) { "tcp" } else { "udp" };
        RtpStats { protocol, ..self.sender().map(Sender::stats).unwrap_or_default() }
    }

    /// The part of the video that was lost, in 1/256, if the viewer has reported since the last call.
    pub fn take_fraction_lost(&mut self) -> Option<u8> {
        match &mut self.role {
            Role::Viewer(playing) => playing.sender.as_mut()?.take_fraction_lost(),
            Role::Publisher { .. } => None,
        }
    }

    /// Whether a channel opened on which the client expects to get what the stream is.
    pub fn take_undescribed(&mut self) -> bool {
        self.channels.take_undescribed()
    }

    /// Whether the client gets a message of each frame.
    pub fn is_controlled(&self) -> bool {
        self.channels.controls().next().is_some()
    }

    /// Sends the client a message on its channels for that.
    pub fn message(&mut self, text: &str, now: Instant, out: &mut Out) {
        for id in self.channels.controls() {
            if let Some(mut channel) = self.rtc.channel(id) {
                let _ = channel.write(false, text.as_bytes());
            }
        }
        self.advance(now, out);
    }

    /// Channels with these labels lead to something outside, which takes them there.
    pub fn set_hooks(&mut self, labels: Vec<String>, opened: mpsc::Sender<OpenedChannel>) {
        self.channels.set_hooks(labels);
        self.hooked = Hooked::new(opened);
    }

    /// Sends the client a message on a channel. One that does not read what it is sent loses the channel.
    pub fn say(&mut self, id: ChannelId, message: &Message, now: Instant, out: &mut Out) {
        if let Some(mut channel) = self.rtc.channel(id)
            && !channel.write(!message.is_text, &message.data).unwrap_or(false)
        {
            self.end_channel(id, now, out);
        }
        self.advance(now, out);
    }

    /// Closes a channel, as what it leads to has ended.
    pub fn end_channel(&mut self, id: ChannelId, now: Instant, out: &mut Out) {
        if self.hooked.close(id) {
            self.rtc.direct_api().close_data_channel(id);
            self.advance(now, out);
        }
    }

    /// The timestamp of the newest frame of video that was sent, and what the clock of the system is, in milliseconds since 1970.
    pub fn newest_frame(&self, now: Instant) -> Option<(u32, u64)> {
        let sender = self.sender()?;
        Some((sender.newest_frame()?, sender.unix(now) / 1_000_000))
    }

    /// Says goodbye.
    pub fn close(&mut self, now: Instant, out: &mut Out) {
        if let Role::Viewer(playing) = &mut self.role
            && let Some(sender) = &mut playing.sender
        {
            sender.end(&mut out.packets);
        }
        if self.rtc.close().is_ok() {
            self.advance(now, out);
        }
    }

    fn sender(&self) -> Option<&Sender> {
        match &self.role {
            Role::Viewer(playing) => playing.sender.as_ref(),
            Role::Publisher { .. } => None,
        }
    }

    fn drain(&mut self, now: Instant, out: &mut Out) {
        let (mut is_first, mut held) = (true, None);
        loop {
            match self.rtc.poll_output() {
                Ok(RtcOutput::Timeout(due)) => {
                    self.due = due.max(now + LEAST_PAUSE);
                    break;
                }
                Ok(RtcOutput::Transmit(sent)) => {
                    let (is_tcp, destination) = (sent.proto != Protocol::Udp, sent.destination);
                    if let Role::Viewer(playing) = &mut self.role {
                        if is_media(&sent.contents) {
                            // The numbers of RTP and RTCP are those of our sender.
                            continue;
                        }
                        playing.ways.sent(Path { is_tcp, destination }, &sent.contents, now);
                    }
                    let bytes: Vec<u8> = sent.contents.into();
                    let (is_short, before) = (is_acknowledgement(&bytes), held.take());
                    let is_held = mem::take(&mut is_first) && is_short;
                    let output = Output::Send { is_tcp, destination, bytes };
                    match before {
                        _ if is_held => held = Some(output),
                        Some(before) if is_short => out.events.extend([before, output]),
                        before => out.events.extend([output].into_iter().chain(before)),
                    }
                }
                Ok(RtcOutput::Event(event)) => self.event(event, &mut out.events),
                Err(error) => return out.events.push(failed(&error)),
            }
        }
        out.events.extend(held);
        if !self.rtc.is_alive() {
            out.events.push(Output::Ended(LEFT));
        }
    }

    fn event(&mut self, event: Event, out: &mut Vec<Output>) {
        match event {
            Event::Connected => {
                if let Role::Viewer(playing) = &mut self.role {
                    out.push(playing.connected());
                }
            }
            Event::ChannelOpen(id, label) => {
                if let Some(Purpose::Hook(hook)) = self.channels.opened(id, &label)
                    && !self.hooked.open(id, hook)
                {
                    self.rtc.direct_api().close_data_channel(id);
                }
            }
            Event::ChannelClose(id) => {
                self.channels.closed(id);
                self.hooked.close(id);
            }
            Event::ChannelData(data) => {
                if self.channels.purpose(data.id) == Some(Purpose::Echo)
                    && let Some(mut channel) = self.rtc.channel(data.id)
                {
                    // What does not fit is not sent back: nothing is held for who does not read.
                    let _ = channel.write(data.binary, &data.data);
                }
                let (id, is_text) = (data.id, !data.binary);
                if matches!(self.channels.purpose(id), Some(Purpose::Hook(_)))
                    && !self.hooked.send(id, Message { is_text, data: data.data })
                {
                    // Who sends more than is taken must not be held back, as the others of the session would be.
                    self.rtc.direct_api().close_data_channel(id);
                }
            }
            Event::MediaData(data) => out.extend(self.received(data).map(Output::Media)),
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                out.push(Output::Ended("no connectivity"));
            }
            Event::Closed => out.push(Output::Ended(LEFT)),
            _ => {}
        }
    }
}

impl Playing {
    /// The handshake is over.
    fn connected(&mut self) -> Output {
        self.sender = self.keys.take().and_then(|(keys, side)| Sender::new(&keys, side, &self.tracks, self.clock));
        if self.sender.is_some() { Output::Ready } else { Output::Ended("no keys for media") }
    }
}

/// What the peer sends cannot be understood; the details are for whoever looks for the fault.
fn failed(error: &RtcError) -> Output {
    tracing::debug!(protocol = "webrtc", error = chain(error), "session failed");
    Output::Ended(match error {
        RtcError::Dtls(_) => "DTLS failed",
        _ => "protocol error",
    })
}

/// A record of DTLS that is so short that it is an acknowledgement of SCTP, if not a short message. It leaves behind the datagram that
/// the same input causes, such as the echo: the peer has that sooner, and both leave in one call, as the shorter one is the last.
fn is_acknowledgement(datagram: &[u8]) -> bool {
    mux::is_application_data(datagram) && datagram.len() <= MAX_ACKNOWLEDGEMENT
}

/// RTP or RTCP (RFC 7983).
fn is_media(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(128..=191))
}

impl Session {
    fn received(&mut self, data: MediaData) -> Option<Received> {
        let codec = match data.params.spec().codec {
            Codec::H264 => "h264",
            Codec::Vp8 => "vp8",
            Codec::Vp9 => "vp9",
            Codec::Av1 => "av1",
            Codec::Opus => "opus",
            _ => return None,
        };
        let kind = if codec == "opus" { MediaKind::Audio } else { MediaKind::Video };
        let Role::Publisher { layers, first_layer, .. } = &mut self.role else { return None };
        let layer = match kind {
            MediaKind::Video if layers.is_empty() => {
                if *first_layer.get_or_insert(data.rid) != data.rid {
                    return None;
                }
                0
            }
            MediaKind::Video => layers.iter().find(|(name, _)| data.rid == Some(*name))?.1,
            MediaKind::Audio => 0,
        };
        let nanos = |time: MediaTime| i64::try_from(Duration::from(time).as_nanos()).unwrap_or(i64::MAX);
        let report = data.last_sender_info.and_then(|report| {
            let sender = report.ntp_time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            Some((i64::try_from(sender.as_nanos()).ok()?, nanos(report.rtp_time)))
        });
        Some(Received {
            kind,
            layer,
            codec,
            time: nanos(data.time),
            report,
            is_continuous: data.contiguous,
            data: Bytes::from_owner(data.data),
        })
    }
}

/// A moment, and what the clock of the system is at it, in nanoseconds since 1970.
fn clock(now: Instant, wall: SystemTime) -> (Instant, u64) {
    let wall = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (now, u64::try_from(wall.as_nanos()).unwrap_or_default())
}

fn credentials(name: &str, password: &str) -> IceCreds {
    IceCreds { ufrag: name.to_owned(), pass: password.to_owned() }
}

/// `direction`: that of a medium which is offered in both.
fn accept(rtc: &mut Rtc, offer: &str, direction: &str) -> Result<String, AcceptError> {
    let own = Offer::parse(offer).map_err(|error| AcceptError::Unreadable(error.to_string()))?;
    let offer = SdpOffer::from_sdp_string(offer).map_err(|error| AcceptError::Unreadable(error.to_string()))?;
    let answer = rtc.sdp_api().accept_offer(offer).map_err(|error| AcceptError::Unanswerable(error.to_string()))?;
    Ok(finished_answer(&answer.to_sdp_string(), &own, direction))
}

/// The payload type as it was offered, so that nothing but that is in the answer.
fn add_codec(config: &mut RtcConfig, format: &Format, retransmission: Option<u8>) {
    let (codec, clock, channels) = match format.codec.as_str() {
        "h264" => (Codec::H264, Frequency::NINETY_KHZ, None),
        "vp8" => (Codec::Vp8, Frequency::NINETY_KHZ, None),
        "vp9" => (Codec::Vp9, Frequency::NINETY_KHZ, None),
        "av1" => (Codec::Av1, Frequency::NINETY_KHZ, None),
        _ => (Codec::Opus, Frequency::FORTY_EIGHT_KHZ, Some(2)),
    };
    config.codec_config().add_config(
        format.payload_type.into(),
        retransmission.map(Pt::from),
        codec,
        clock,
        channels,
        FormatParams::parse_line(&format.parameters),
    );
}

#[cfg(test)]
mod tests;
