//! A client of WebRTC with data channels, without a browser.

use super::{SOON, Server, http, millis};
use std::{
    collections::VecDeque,
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};
use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcConfig,
    change::SdpAnswer,
    channel::{ChannelData, ChannelId},
    media::{Direction, MediaKind},
    net::{Protocol, Receive},
};

/// A viewer of a stream with data channels.
pub struct Peer {
    rtc: Rtc,
    socket: UdpSocket,
    /// Where the newest datagram was sent.
    server: Option<SocketAddr>,
    channels: Vec<Channel>,
}

#[derive(Default)]
struct Channel {
    label: String,
    id: Option<ChannelId>,
    is_open: bool,
    is_closed: bool,
    came: VecDeque<(bool, Vec<u8>)>,
}

impl Peer {
    /// Asks for a stream by WHEP, with a channel for each label.
    pub fn connect(server: &Server, path: &str, labels: &[&str]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut rtc = RtcConfig::new().set_rtp_mode(true).clear_codecs().enable_h264(true).build(Instant::now());
        rtc.add_local_candidate(Candidate::host(socket.local_addr().unwrap(), "udp").unwrap());
        let mut api = rtc.sdp_api();
        api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let channel = |label: &&str| Channel {
            label: (*label).to_owned(),
            id: Some(api.add_channel((*label).to_owned())),
            ..Channel::default()
        };
        let channels = labels.iter().map(channel).collect();
        let (offer, pending) = api.apply().unwrap();
        let (host, offer) = (server.address(), offer.to_sdp_string());
        let head = format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n", offer.len());
        let mut answer = http::send(host, &format!("POST {path} HTTP/1.1\r\nHost: {host}\r\n{head}\r\n{offer}"));
        let text = answer.text();
        assert_eq!(answer.status, 201, "{text}");
        rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&text).unwrap()).unwrap();
        Self { rtc, socket, server: None, channels }
    }

    /// Waits until the channel is open.
    pub fn wait_open(&mut self, label: &str) {
        self.run_until("it is open", |peer| peer.channel(label).is_open);
    }

    /// Waits until the channel is closed.
    pub fn wait_closed(&mut self, label: &str) {
        self.run_until("it is closed", |peer| peer.channel(label).is_closed);
    }

    /// Sends a message; `false` when there is no room for it.
    pub fn say(&mut self, label: &str, is_text: bool, message: &[u8]) -> bool {
        let id = self.channel(label).id.unwrap();
        self.rtc.channel(id).is_some_and(|mut channel| channel.write(!is_text, message).unwrap())
    }

    /// Sends the server a datagram from the address of this session.
    pub fn forge(&self, datagram: &[u8]) {
        let Some(server) = self.server else { return };
        let padded = [datagram, &[0; 64]].concat();
        self.socket.send_to(&padded, server).unwrap();
    }

    /// Waits for the next message: whether it is text, and its bytes.
    pub fn next(&mut self, label: &str) -> (bool, Vec<u8>) {
        self.run_until("a message came", |peer| !peer.channel(label).came.is_empty());
        self.channel(label).came.pop_front().unwrap()
    }

    /// Sends what there is to send, and takes what has come by then.
    pub fn run(&mut self, within: Duration) {
        let until = Instant::now() + within;
        loop {
            let due = loop {
                match self.rtc.poll_output().unwrap() {
                    Output::Timeout(due) => break due,
                    Output::Transmit(sent) => {
                        self.server = Some(sent.destination);
                        self.socket.send_to(&sent.contents, sent.destination).unwrap();
                    }
                    Output::Event(event) => self.event(event),
                }
            };
            let now = Instant::now();
            if now >= until {
                return;
            }
            let pause = due.min(until).saturating_duration_since(now).max(Duration::from_micros(1));
            self.socket.set_read_timeout(Some(pause)).unwrap();
            let (mut buffer, local) = ([0; 2000], self.socket.local_addr().unwrap());
            match self.socket.recv_from(&mut buffer) {
                Ok((length, source)) => {
                    let receive = Receive::new(Protocol::Udp, source, local, &buffer[..length]).unwrap();
                    self.rtc.handle_input(Input::Receive(Instant::now(), receive)).unwrap();
                }
                Err(_) => self.rtc.handle_input(Input::Timeout(Instant::now())).unwrap(),
            }
        }
    }

    fn run_until(&mut self, what: &str, mut is_done: impl FnMut(&mut Self) -> bool) {
        let began = Instant::now();
        while !is_done(self) {
            assert!(began.elapsed() < SOON, "not within {SOON:?}: {what}");
            self.run(millis(1));
        }
    }

    fn channel(&mut self, label: &str) -> &mut Channel {
        self.channels.iter_mut().find(|channel| channel.label == label).unwrap()
    }

    fn event(&mut self, event: Event) {
        let (Event::ChannelOpen(id, _) | Event::ChannelClose(id) | Event::ChannelData(ChannelData { id, .. })) = event
        else {
            return;
        };
        let channel = self.channels.iter_mut().find(|channel| channel.id == Some(id)).unwrap();
        match event {
            Event::ChannelOpen(..) => channel.is_open = true,
            Event::ChannelClose(..) => channel.is_closed = true,
            Event::ChannelData(data) => channel.came.push_back((!data.binary, data.data)),
            _ => {}
        }
    }
}
