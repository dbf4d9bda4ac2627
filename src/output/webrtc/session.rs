//! One connection of a viewer: ICE, DTLS and SRTP by str0m, in its RTP mode. No IO and no clock: time and datagrams come in, datagrams
//! and events go out.

use super::{
    announce::Announced,
    negotiation::{PlayPlan, finished_answer},
    sdp::{Format, Offer},
};
use crate::media::{MediaKind, Time, webrtc::Frame};
use bytes::Bytes;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use str0m::{
    Candidate, Event, IceConnectionState, IceCreds, Input, Output as RtcOutput, Rtc, RtcConfig,
    change::SdpOffer,
    config::{CryptoProvider, DtlsCert},
    format::{Codec, FormatParams},
    media::{Frequency, KeyframeRequestKind, MediaData, MediaTime, Mid, Pt, Rid},
    net::{Protocol, Receive},
    rtp::{Extension, ExtensionMap, RtpWrite, SeqNo},
};

/// Packets of video that are kept to be sent again, and for how long.
const KEPT: usize = 256;
const KEPT_FOR: Duration = Duration::from_millis(500);
/// What is sent again is at most this part of all.
const MOST_AGAIN: f32 = 0.15;
/// How often a sender reports the time (RTCP SR): players need it to keep video and audio together.
const REPORTS: Duration = Duration::from_secs(1);
/// The least time between two timeouts of a session: str0m asks for the same moment again after each packet.
const LEAST_PAUSE: Duration = Duration::from_millis(1);

/// What all sessions of a server have in common.
#[derive(Debug, Clone)]
pub struct Identity {
    crypto: Arc<CryptoProvider>,
    certificate: DtlsCert,
}

impl Identity {
    /// With a certificate of its own; `None` when it cannot be made.
    pub fn generate() -> Option<Self> {
        let crypto = Arc::new(str0m::crypto::from_feature_flags());
        let certificate = crypto.dtls_provider.generate_certificate()?;
        Some(Self { crypto, certificate })
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
    /// It is over, for this reason.
    Ended(&'static str),
}

/// A frame of a publisher.
#[derive(Debug)]
pub struct Received {
    /// Of which track.
    pub kind: MediaKind,
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
    senders: Vec<Sender>,
    /// The video of a publisher.
    video: Option<Mid>,
    /// Of a publisher that sends several layers of its video: the one that came first.
    first_layer: Option<Option<Rid>>,
    is_connected: bool,
    is_ready: bool,
    /// A moment, and the time of the media that was sent then.
    anchor: Option<(Instant, Time)>,
    /// When the next timeout is due.
    due: Instant,
}

#[derive(Debug)]
struct Sender {
    kind: MediaKind,
    mid: Mid,
    payload_type: Pt,
    clock: u32,
    sequence: u64,
    is_added: bool,
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
        now: Instant,
    ) -> Result<(Self, String), AcceptError> {
        let mut extensions = ExtensionMap::empty();
        if let Some(number) = plan.mid_extension.filter(|number| (1..=14).contains(number)) {
            extensions.set(number, Extension::RtpMid);
        }
        let mut config = RtcConfig::new()
            .set_crypto_provider(identity.crypto.clone())
            .set_dtls_cert(identity.certificate.clone())
            .set_local_ice_credentials(credentials(name, password))
            .set_ice_lite(true)
            .set_rtp_mode(true)
            .clear_codecs()
            .set_extension_map(extensions)
            .set_rtcp_report_interval_audio(REPORTS)
            .set_rtcp_report_interval_video(REPORTS);
        for track in &plan.tracks {
            add_codec(&mut config, &track.format, track.retransmission);
        }
        let mut rtc = config.build(now);
        for candidate in candidates {
            rtc.add_local_candidate(candidate.clone());
        }
        let answer = accept(&mut rtc, offer)?;
        let senders = plan.tracks.iter().enumerate().map(|(number, track)| Sender {
            kind: track.kind,
            mid: track.mid.as_str().into(),
            payload_type: track.format.payload_type.into(),
            clock: track.format.clock,
            sequence: 1 + number as u64,
            is_added: false,
        });
        let senders = senders.collect();
        let (video, first_layer) = (None, None);
        let this =
            Self { rtc, senders, video, first_layer, is_connected: false, is_ready: false, anchor: None, due: now };
        Ok((this, answer))
    }

    /// Answers the offer of a publisher as planned. See [`Session::accept`].
    ///
    /// # Errors
    /// When str0m refuses the offer.
    pub fn accept_publisher(
        offer: &str,
        plan: &[Announced],
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
        let answer = accept(&mut rtc, offer)?;
        let senders = Vec::new();
        let video = plan.iter().find(|media| media.kind == MediaKind::Video).map(|media| media.mid.as_str().into());
        let first_layer = None;
        let this =
            Self { rtc, senders, video, first_layer, is_connected: false, is_ready: true, anchor: None, due: now };
        Ok((this, answer))
    }

    /// Asks the publisher for a keyframe.
    pub fn request_keyframe(&mut self) {
        let layer = self.first_layer.flatten();
        if let Some(mut writer) = self.video.and_then(|video| self.rtc.writer(video))
            && writer.is_request_keyframe_possible(KeyframeRequestKind::Pli)
        {
            // An error says that there is nothing to ask yet.
            let _ = writer.request_keyframe(layer, KeyframeRequestKind::Pli);
        }
    }

    /// Begins another ICE session (RFC 8445, section 9): from a network to another without a break. `offer` is that of before with the
    /// new credentials of the client.
    ///
    /// # Errors
    /// When str0m refuses the offer.
    pub fn restart(&mut self, offer: &str) -> Result<String, AcceptError> {
        accept(&mut self.rtc, offer)
    }

    /// A datagram came.
    pub fn receive(
        &mut self,
        is_tcp: bool,
        (source, destination): (SocketAddr, SocketAddr),
        bytes: &[u8],
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let protocol = if is_tcp { Protocol::Tcp } else { Protocol::Udp };
        // What is no datagram of WebRTC is dropped.
        if let Ok(receive) = Receive::new(protocol, source, destination, bytes) {
            if self.rtc.handle_input(Input::Receive(now, receive)).is_err() {
                return out.push(Output::Ended("protocol error"));
            }
            self.drain(now, out);
        }
    }

    /// When [`Session::timeout`] is to be called.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.rtc.handle_input(Input::Timeout(now)).is_err() {
            return out.push(Output::Ended("protocol error"));
        }
        self.drain(now, out);
    }

    /// Whether frames of this kind are sent.
    pub fn sends(&self, kind: MediaKind) -> bool {
        self.senders.iter().any(|sender| sender.kind == kind)
    }

    /// Queues a frame, shown at `time` in place of its own; [`Session::timeout`] sends it. Returns how many bytes.
    pub fn write(&mut self, frame: &Frame, time: Time, now: Instant) -> usize {
        let Some(sender) = self.senders.iter_mut().find(|sender| sender.kind == frame.kind) else { return 0 };
        let (began, first) = *self.anchor.get_or_insert((now, time));
        let since = Duration::from_nanos(time.since(first).unsigned_abs());
        let is_before = time < first;
        let moment = if is_before { began.checked_sub(since) } else { began.checked_add(since) };
        let wallclock = moment.unwrap_or(now);
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(sender.mid, None) else { return 0 };
        // The clock of RTP wraps around (RFC 3550, section 5.1).
        let ticks = time.ticks(sender.clock) as u32;
        let last = frame.payloads.len().saturating_sub(1);
        for (number, payload) in frame.payloads.iter().enumerate() {
            let sequence = SeqNo::from(sender.sequence);
            sender.sequence += 1;
            let is_video = sender.kind == MediaKind::Video;
            let packet = RtpWrite::new(sender.payload_type, sequence, ticks, wallclock, payload.clone())
                .marker(is_video && number == last)
                .nackable(is_video);
            stream.write_rtp(packet);
        }
        frame.len()
    }

    /// Says goodbye to the viewer.
    pub fn close(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.rtc.close().is_ok() {
            let _ = self.rtc.handle_input(Input::Timeout(now));
            self.drain(now, out);
        }
    }

    fn drain(&mut self, now: Instant, out: &mut Vec<Output>) {
        loop {
            match self.rtc.poll_output() {
                Ok(RtcOutput::Timeout(due)) => {
                    self.due = due.max(now + LEAST_PAUSE);
                    break;
                }
                Ok(RtcOutput::Transmit(sent)) => out.push(Output::Send {
                    is_tcp: sent.proto != Protocol::Udp,
                    destination: sent.destination,
                    bytes: sent.contents.into(),
                }),
                Ok(RtcOutput::Event(event)) => self.event(event, out),
                Err(_) => return out.push(Output::Ended("protocol error")),
            }
        }
        if !self.rtc.is_alive() {
            out.push(Output::Ended("client left"));
        }
    }

    fn event(&mut self, event: Event, out: &mut Vec<Output>) {
        match event {
            Event::Connected => self.is_connected = true,
            Event::MediaAdded(added) => {
                let sender = self.senders.iter_mut().find(|sender| sender.mid == added.mid);
                if let Some(sender) = sender {
                    sender.is_added = true;
                    let mut api = self.rtc.direct_api();
                    if let Some(stream) = api.stream_tx_by_mid(added.mid, None) {
                        stream.set_rtx_cache(KEPT, KEPT_FOR, Some(MOST_AGAIN));
                    }
                }
            }
            Event::MediaData(data) => out.extend(self.received(data).map(Output::Media)),
            Event::KeyframeRequest(_) => out.push(Output::WantsKeyframe),
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                out.push(Output::Ended("no connectivity"));
            }
            Event::Closed => out.push(Output::Ended("client left")),
            _ => {}
        }
        // Media is added after the connection.
        if self.is_connected && !self.is_ready && self.senders.iter().all(|sender| sender.is_added) {
            self.is_ready = true;
            out.push(Output::Ready);
        }
    }
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
        if kind == MediaKind::Video && *self.first_layer.get_or_insert(data.rid) != data.rid {
            return None;
        }
        let nanos = |time: MediaTime| i64::try_from(Duration::from(time).as_nanos()).unwrap_or(i64::MAX);
        let report = data.last_sender_info.and_then(|report| {
            let sender = report.ntp_time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            Some((i64::try_from(sender.as_nanos()).ok()?, nanos(report.rtp_time)))
        });
        Some(Received {
            kind,
            codec,
            time: nanos(data.time),
            report,
            is_continuous: data.contiguous,
            data: Bytes::from_owner(data.data),
        })
    }
}

fn credentials(name: &str, password: &str) -> IceCreds {
    IceCreds { ufrag: name.to_owned(), pass: password.to_owned() }
}

fn accept(rtc: &mut Rtc, offer: &str) -> Result<String, AcceptError> {
    let own = Offer::parse(offer).map_err(|error| AcceptError::Unreadable(error.to_string()))?;
    let offer = SdpOffer::from_sdp_string(offer).map_err(|error| AcceptError::Unreadable(error.to_string()))?;
    let answer = rtc.sdp_api().accept_offer(offer).map_err(|error| AcceptError::Unanswerable(error.to_string()))?;
    Ok(finished_answer(&answer.to_sdp_string(), &own))
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
