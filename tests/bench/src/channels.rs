//! A client of WebRTC that measures data channels: how soon a message is back, and how fast messages go one way.

use crate::webrtc::ask;
use anyhow::{Context, ensure};
use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};
use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcConfig,
    change::SdpAnswer,
    channel::ChannelId,
    media::{Direction, MediaKind},
    net::{Protocol, Receive, Transmit},
};

/// Bytes of a message that comes back, and of one that does not.
const ECHOED: usize = 1000;
const ONE_WAY: usize = 4096;
/// How long anything of it may take.
const SOON: Duration = Duration::from_secs(20);

/// A session that also has two data channels: of one, each message comes back; of the other, none does.
pub struct Client {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    echo: ChannelId,
    sink: ChannelId,
    buffer: Vec<u8>,
    /// An acknowledgement that leaves behind the next message, or when there is nothing else to do: it delays no message.
    held: Option<Transmit>,
}

impl Client {
    /// Connects as a viewer of `live`.
    ///
    /// # Errors
    /// When it is refused, or a channel does not open.
    pub fn connect(server: SocketAddr) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let local = socket.local_addr()?;
        let mut rtc = RtcConfig::new().set_rtp_mode(true).clear_codecs().enable_h264(true).build(Instant::now());
        rtc.add_local_candidate(Candidate::host(local, "udp")?);
        let mut api = rtc.sdp_api();
        api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (echo, sink) = (api.add_channel("echo".to_owned()), api.add_channel("sink".to_owned()));
        let (offer, pending) = api.apply().context("no offer")?;
        let offer = offer.to_sdp_string();
        let asked = ask(Ipv4Addr::LOCALHOST, server, &offer);
        let answer = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(asked)?;
        rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer)?)?;
        let mut client = Self { rtc, socket, local, echo, sink, buffer: vec![0; 2000], held: None };
        for _ in 0..2 {
            client.wait(|event| matches!(event, Event::ChannelOpen(..)))?;
        }
        Ok(client)
    }

    /// How long each of so many messages takes there and back, one after the other.
    ///
    /// # Errors
    /// When one does not come back.
    pub fn round_trips(&mut self, count: usize) -> anyhow::Result<Vec<Duration>> {
        let echo = self.echo;
        let trip = |_| {
            let sent = Instant::now();
            let is_taken = self.rtc.channel(echo).context("no channel")?.write(true, &[7; ECHOED])?;
            ensure!(is_taken, "a message is not taken");
            self.wait(
                |event| matches!(event, Event::ChannelData(data) if data.id == echo && data.data.len() == ECHOED),
            )?;
            Ok(sent.elapsed())
        };
        (0..count).map(trip).collect()
    }

    /// Bytes that the server acknowledges in this time, when as much is sent as it takes.
    ///
    /// # Errors
    /// When the session ends.
    pub fn acknowledged(&mut self, time: Duration) -> anyhow::Result<u64> {
        let (began, mut written) = (Instant::now(), 0);
        loop {
            let mut sink = self.rtc.channel(self.sink).context("no channel")?;
            while sink.write(true, &[7; ONE_WAY])? {
                written += ONE_WAY;
            }
            if began.elapsed() >= time {
                return Ok((written - sink.buffered_amount()) as u64);
            }
            self.step()?;
        }
    }

    /// Continues until this event.
    fn wait(&mut self, is_it: impl Fn(&Event) -> bool) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < SOON {
            if self.step()?.is_some_and(|event| is_it(&event)) {
                return Ok(());
            }
        }
        anyhow::bail!("nothing comes for {SOON:?}")
    }

    /// Sends what there is to send, and takes what comes; what happened with that.
    fn step(&mut self) -> anyhow::Result<Option<Event>> {
        let due = loop {
            match self.rtc.poll_output()? {
                Output::Timeout(due) => break due,
                Output::Transmit(sent) if self.held.is_none() && is_acknowledgement(&sent) => self.held = Some(sent),
                Output::Transmit(sent) => {
                    self.socket.send_to(&sent.contents, sent.destination)?;
                    self.acknowledge()?;
                }
                Output::Event(event) => return Ok(Some(event)),
            }
        };
        self.acknowledge()?;
        let pause =
            due.saturating_duration_since(Instant::now()).clamp(Duration::from_micros(1), Duration::from_secs(1));
        self.socket.set_read_timeout(Some(pause))?;
        match self.socket.recv_from(&mut self.buffer) {
            Ok((length, source)) => {
                let bytes = self.buffer.get(..length).context("a datagram is too long")?;
                let receive = Receive::new(Protocol::Udp, source, self.local, bytes)?;
                self.rtc.handle_input(Input::Receive(Instant::now(), receive))?;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                self.rtc.handle_input(Input::Timeout(Instant::now()))?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(None)
    }

    fn acknowledge(&mut self) -> anyhow::Result<()> {
        if let Some(sent) = self.held.take() {
            self.socket.send_to(&sent.contents, sent.destination)?;
        }
        Ok(())
    }
}

/// A record of DTLS with data that is too short for a message.
fn is_acknowledgement(sent: &Transmit) -> bool {
    sent.contents.first() == Some(&23) && sent.contents.len() < 128
}
