//! Tests of a session against a client of str0m, with neither a socket nor a clock.

use super::{super::negotiation::plan, *};
use crate::media::{
    TrackId, TrackInfo, TrackSet,
    codec::{CodecParameters, opus},
    track::{AudioShape, Shape, VideoShape},
};
use std::collections::VecDeque;
use str0m::{
    change::{SdpAnswer, SdpPendingOffer},
    channel::{ChannelConfig, ChannelId},
    media::{Direction, MediaKind as RtcKind},
    rtp::RtpPacket,
};

const SERVER: &str = "192.0.2.1:8090";
const CLIENT: &str = "192.0.2.2:5000";

/// A session, and a viewer of another implementation that is connected to it, on a line without a loss.
struct Rig {
    session: Session,
    offer: String,
    client: Rtc,
    video: Mid,
    now: Instant,
    out: Out,
    to_client: VecDeque<Vec<u8>>,
    packets: Vec<RtpPacket>,
    events: Vec<Output>,
    is_closed: bool,
    opened: Option<ChannelId>,
    messages: Vec<Vec<u8>>,
    /// Datagrams of media that are lost.
    lose: usize,
}

fn tracks() -> TrackSet {
    let shape = VideoShape { width: 64, height: 48, pixel_aspect: (1, 1), frame_rate: None };
    let video = TrackInfo { id: TrackId(0), codec: CodecParameters::Vp8, shape: Shape::Video(shape) };
    let codec = CodecParameters::Opus(opus::Parameters::simple(2));
    let audio = TrackInfo { id: TrackId(1), codec, shape: Shape::Audio(AudioShape { rate: 48_000, channels: 2 }) };
    TrackSet::new(vec![video, audio])
}

fn candidate(address: &str) -> Candidate {
    Candidate::host(address.parse().unwrap(), "udp").unwrap()
}

fn rig() -> Rig {
    let now = Instant::now();
    let mut config = RtcConfig::new().set_rtp_mode(true).clear_codecs();
    config = config.enable_vp8(true).enable_opus(true, false);
    let mut client = config.build(now);
    client.add_local_candidate(candidate(CLIENT));
    let mut api = client.sdp_api();
    let video = api.add_media(RtcKind::Video, Direction::RecvOnly, None, None, None);
    api.add_media(RtcKind::Audio, Direction::RecvOnly, None, None, None);
    api.add_channel("first".to_owned());
    let (offer, pending): (SdpOffer, SdpPendingOffer) = api.apply().unwrap();
    let offer = offer.to_sdp_string();
    let plan = plan(&Offer::parse(&offer).unwrap(), &tracks()).unwrap();
    let identity = Identity::generate().unwrap();
    let secrets = ("0123456789abcdef", "0123456789abcdef0123456789abcdef");
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let (session, answer) =
        Session::accept(&offer, &plan, &identity, secrets, &[candidate(SERVER)], (now, wall)).unwrap();
    client.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer).unwrap()).unwrap();
    Rig {
        session,
        offer,
        client,
        video,
        now,
        out: Out::default(),
        to_client: VecDeque::new(),
        packets: Vec::new(),
        events: Vec::new(),
        is_closed: false,
        opened: None,
        messages: Vec::new(),
        lose: 0,
    }
}

impl Rig {
    /// Lets time pass, and everything arrive that is sent meanwhile.
    fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while self.now < end {
            self.now += Duration::from_millis(5);
            self.session.timeout(self.now, &mut self.out);
            self.carry();
            self.client.handle_input(Input::Timeout(self.now)).unwrap();
            self.drain();
        }
    }

    /// What the session sent goes to the client.
    fn carry(&mut self) {
        for packet in self.out.packets.datagrams() {
            if self.lose > 0 {
                self.lose -= 1;
            } else {
                assert_eq!(self.session.path(), Some(Path { is_tcp: false, destination: CLIENT.parse().unwrap() }));
                self.to_client.push_back(packet.to_vec());
            }
        }
        self.out.packets.clear();
        for event in self.out.events.drain(..) {
            match event {
                Output::Send { bytes, .. } => self.to_client.push_back(bytes),
                event => self.events.push(event),
            }
        }
        while let Some(bytes) = self.to_client.pop_front() {
            let (source, destination) = (SERVER.parse().unwrap(), CLIENT.parse().unwrap());
            let receive = Receive::new(Protocol::Udp, source, destination, &bytes).unwrap();
            self.client.handle_input(Input::Receive(self.now, receive)).unwrap();
            self.drain();
        }
    }

    /// What the client sends comes to the session.
    fn drain(&mut self) {
        loop {
            match self.client.poll_output().unwrap() {
                RtcOutput::Timeout(_) => return,
                RtcOutput::Transmit(sent) => {
                    let ends = (CLIENT.parse().unwrap(), SERVER.parse().unwrap());
                    self.session.receive(false, ends, &sent.contents, self.now, &mut self.out);
                }
                RtcOutput::Event(Event::RtpPacket(packet)) => self.packets.push(packet),
                RtcOutput::Event(Event::ChannelOpen(id, _)) => self.opened = Some(id),
                RtcOutput::Event(Event::ChannelData(data)) => self.messages.push(data.data),
                RtcOutput::Event(Event::Closed) => self.is_closed = true,
                RtcOutput::Event(_) => {}
            }
        }
    }

    fn write(&mut self, kind: MediaKind, millis: i64, payloads: &[Vec<u8>]) {
        let frame = Arc::new(Frame::of(kind, Time::from_millis(millis), payloads));
        self.session.write(&frame, frame.time, self.now, &mut self.out.packets);
    }
}

#[test]
fn a_peer_decrypts_what_our_sender_encrypts() {
    let mut rig = rig();
    rig.pass(500);
    assert!(matches!(rig.events[..], [Output::Ready]), "{:?}", rig.events);
    // VP8 begins with a descriptor.
    let payloads: Vec<Vec<u8>> = (0..3).map(|number| [vec![0x90, 0x80, number], vec![number; 900]].concat()).collect();
    for frame in 0..100 {
        rig.write(MediaKind::Video, frame * 40, &payloads);
        rig.write(MediaKind::Audio, frame * 40, &[vec![7; 100]]);
        rig.pass(40);
    }
    let video: Vec<_> = rig.packets.iter().filter(|packet| *packet.header.payload_type != 111).collect();
    assert_eq!((video.len(), rig.packets.len()), (300, 400));
    for (number, packet) in video.iter().enumerate() {
        assert_eq!(packet.payload[..], payloads[number % 3]);
        assert_eq!(packet.header.marker, number % 3 == 2);
        assert_eq!(packet.header.timestamp, 3600 * (number / 3) as u32);
    }
    // Its clock came with the reports.
    let report = video.last().unwrap().last_sender_info.unwrap();
    let since = report.ntp_time.duration_since(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap();
    assert!(since > Duration::from_secs(2), "{since:?}");
    let stats = rig.session.stats();
    assert_eq!(
        (stats.packets_sent, stats.retransmitted_packets_sent, stats.nack_count, stats.pli_count),
        (400, 0, 0, 0)
    );
    assert!(stats.round_trip_time.is_some_and(|taken| taken < Duration::from_millis(20)), "{stats:?}");
}

#[test]
fn what_a_peer_misses_comes_again() {
    let mut rig = rig();
    rig.pass(500);
    for frame in 0..50u8 {
        if frame % 10 == 5 {
            rig.lose = 2;
        }
        rig.write(
            MediaKind::Video,
            40 * i64::from(frame),
            &[vec![0x80, frame, 1], vec![0x80, frame, 2], vec![0x80, frame, 3]],
        );
        rig.pass(40);
    }
    rig.pass(300);
    let mut found: Vec<Vec<u8>> = rig.packets.iter().map(|packet| packet.payload.to_vec()).collect();
    found.sort();
    let expected: Vec<Vec<u8>> = (0..50).flat_map(|frame| (1..4).map(move |part| vec![0x80, frame, part])).collect();
    assert_eq!(found, expected);
    assert_eq!(rig.session.stats().retransmitted_packets_sent, 10);
}

#[test]
fn a_peer_requests_a_keyframe() {
    let mut rig = rig();
    rig.pass(500);
    rig.write(MediaKind::Video, 0, &[vec![0x90, 1, 2]]);
    rig.pass(100);
    rig.events.clear();
    let mut api = rig.client.direct_api();
    api.stream_rx_by_mid(rig.video, None).unwrap().request_keyframe(KeyframeRequestKind::Pli);
    rig.pass(100);
    assert!(matches!(rig.events[..], [Output::WantsKeyframe]), "{:?}", rig.events);
    assert_eq!(rig.session.stats().pli_count, 1);
}

#[test]
fn numbers_continue_over_an_ice_restart() {
    let mut rig = rig();
    rig.pass(500);
    rig.write(MediaKind::Video, 0, &[vec![0x90, 1, 2]]);
    rig.pass(100);
    let fresh = rig.offer.lines().map(|line| match line.split_once(':') {
        Some(("a=ice-ufrag", _)) => "a=ice-ufrag:Fresh\r\n".to_owned(),
        Some(("a=ice-pwd", _)) => "a=ice-pwd:fresh-password-of-the-client\r\n".to_owned(),
        _ => format!("{line}\r\n"),
    });
    let answer = rig.session.restart(&fresh.collect::<String>()).unwrap();
    assert!(answer.contains("a=ice-ufrag"));
    // The way of before is taken until the client has chosen another.
    rig.write(MediaKind::Video, 40, &[vec![0x90, 1, 3]]);
    rig.carry();
    let numbers: Vec<_> = rig.packets.iter().map(|packet| *packet.seq_no).collect();
    assert_eq!(numbers[1], numbers[0] + 1);
}

#[test]
fn both_sides_say_goodbye() {
    let mut rig = rig();
    rig.pass(500);
    rig.session.close(rig.now, &mut rig.out);
    assert!(rig.out.packets.len() == 2, "RTCP says that both tracks end");
    rig.pass(100);
    assert!(rig.is_closed);
    let mut rig = self::rig();
    rig.pass(500);
    rig.client.close().unwrap();
    rig.pass(100);
    assert!(rig.events.iter().any(|event| matches!(event, Output::Ended("client left"))), "{:?}", rig.events);
}

#[test]
fn nothing_of_media_leaves_before_the_handshake() {
    let mut rig = rig();
    assert_eq!(rig.session.path(), None);
    rig.write(MediaKind::Video, 0, &[vec![0x90, 1, 2]]);
    assert!(rig.out.packets.is_empty());
    // Neither is media of others taken then.
    let ends = (CLIENT.parse().unwrap(), SERVER.parse().unwrap());
    rig.session.receive(false, ends, &[0x80, 206, 0, 1, 0, 0, 0, 1], rig.now, &mut rig.out);
    assert!(rig.out.events.is_empty());
}

#[test]
fn a_channel_opens_again_each_time() {
    let mut rig = rig();
    rig.pass(500);
    for round in 0..100u8 {
        let config = ChannelConfig { label: "echo".to_owned(), ..ChannelConfig::default() };
        let id = rig.client.direct_api().create_data_channel(config);
        rig.opened = None;
        rig.pass(50);
        assert_eq!(rig.opened, Some(id), "in round {round}");
        assert!(rig.client.channel(id).unwrap().write(true, &[round; 10]).unwrap());
        rig.pass(20);
        assert_eq!(rig.messages.pop(), Some(vec![round; 10]));
        rig.client.direct_api().close_data_channel(id);
        rig.pass(50);
    }
    assert!(rig.session.channels.purpose(rig.opened.unwrap()).is_none());
}

#[test]
fn a_client_gets_messages_of_frames() {
    let mut rig = rig();
    rig.pass(500);
    let config = ChannelConfig { label: "control".to_owned(), ..ChannelConfig::default() };
    rig.client.direct_api().create_data_channel(config);
    rig.pass(50);
    assert!(rig.session.take_undescribed() && !rig.session.take_undescribed());
    assert!(rig.session.is_controlled() && rig.session.newest_frame(rig.now).is_none());
    let began = rig.now;
    rig.write(MediaKind::Video, 1000, &[vec![0x90, 1, 2]]);
    let (timestamp, sent) = rig.session.newest_frame(began).unwrap();
    assert_eq!((timestamp, sent), (90_000, 1_700_000_000_550));
    rig.session.message("hello", rig.now, &mut rig.out);
    rig.pass(20);
    assert_eq!(rig.messages, [b"hello".to_vec()]);
}

#[test]
fn an_acknowledgement_leaves_behind_the_echo() {
    let mut rig = rig();
    rig.pass(500);
    rig.opened = None;
    let config = ChannelConfig { label: "echo".to_owned(), ..ChannelConfig::default() };
    rig.client.direct_api().create_data_channel(config);
    rig.pass(500);
    let id = rig.opened.unwrap();
    let mut acknowledged = 0;
    for _ in 0..20 {
        rig.client.channel(id).unwrap().write(true, &[7; 1000]).unwrap();
        rig.drain();
        let sent = rig.out.events.iter().filter_map(|output| match output {
            Output::Send { bytes, .. } => Some(bytes.len()),
            _ => None,
        });
        let lengths: Vec<_> = sent.collect();
        acknowledged += usize::from(lengths.len() == 2);
        assert!(lengths[0] > 1000 && lengths[1..].iter().all(|length| *length <= MAX_ACKNOWLEDGEMENT), "{lengths:?}");
        rig.carry();
    }
    assert!(acknowledged > 5, "{acknowledged}");
    assert_eq!(rig.messages, vec![vec![7; 1000]; 20]);
    // Alone, one that is due leaves immediately.
    assert!(is_acknowledgement(&[23; 65]) && !is_acknowledgement(&[23; 1000]) && !is_acknowledgement(&[22; 65]));
}
