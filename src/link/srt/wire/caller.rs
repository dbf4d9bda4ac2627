//! The handshake of a caller: it asks for a cookie, presents it with what it wants, and has a connection.

use super::{
    Outbox,
    connection::{Connection, Settings, micros},
    handshake::{self, Handshake, Latency, Party, Refusal},
    key::Keys,
    packet::{Body, Envelope, Packet},
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// A message that nobody answers is sent again after so long.
const AGAIN: Duration = Duration::from_millis(250);

/// What a caller wants.
#[derive(Debug)]
pub struct Offer {
    /// What it asks for; may be empty.
    pub stream_id: String,
    /// How long lost packets are waited for, at least.
    pub latency: Duration,
    /// What it encrypts with.
    pub keys: Option<Keys>,
    /// Packets that are sent with one key.
    pub key_refresh: u64,
}

/// Why a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The listener says so.
    #[error("the listener refuses: {} (code {})", .0.text(), .0.0)]
    Refused(Refusal),
    /// The listener does not know this version of the handshake.
    #[error("the listener speaks a version of SRT before 1.3")]
    Version,
    /// It takes the connection, but not the key.
    #[error("the listener cannot read the key: it has another passphrase, or none")]
    Key,
    /// It wants what we do not do.
    #[error("the listener is not in live mode, or wants a packet filter or a group: {}", .0.text())]
    Mode(Refusal),
}

/// A call whose handshake is not complete.
#[derive(Debug)]
pub struct Caller {
    own: Party,
    peer: SocketAddr,
    offer: Offer,
    /// The key that is sent, wrapped.
    key: Option<Vec<u8>>,
    /// The cookie, once there is one.
    cookie: Option<u32>,
    sent: Option<Instant>,
    epoch: Instant,
}

impl Caller {
    /// Calls `peer`. The clock of the connection begins now. [`Caller::tick`] sends the first message.
    pub fn new(own: Party, peer: SocketAddr, offer: Offer, now: Instant) -> Self {
        let key = offer.keys.as_ref().and_then(|keys| keys.message(keys.parity()));
        Self { own, peer, offer, key, cookie: None, sent: None, epoch: now }
    }

    /// Sends what is due by now.
    pub fn tick(&mut self, now: Instant, out: &mut Outbox) {
        if self.sent.is_some_and(|sent| now.saturating_duration_since(sent) < AGAIN) {
            return;
        }
        self.sent = Some(now);
        let content = match self.cookie {
            None => handshake::ask(self.own, self.peer),
            Some(cookie) => {
                let latency = Latency { receive: self.offer.latency, send: self.offer.latency };
                let length = self.offer.keys.as_ref().map_or(0, |keys| keys.length().field());
                let key = self.key.as_deref().map(|key| (key, length));
                handshake::conclude(self.own, cookie, latency, key, &self.offer.stream_id, self.peer)
            }
        };
        let envelope = Envelope { destination: 0, timestamp: micros(now, self.epoch) };
        out.push(|bytes| envelope.handshake(bytes, &content));
    }

    /// When [`Caller::tick`] has to be called next.
    pub fn due(&self) -> Instant {
        self.sent.map_or(self.epoch, |sent| sent + AGAIN)
    }

    /// Handles a packet of the peer: the connection, once there is one.
    ///
    /// # Errors
    /// Why there will be none.
    pub fn handle(
        &mut self,
        packet: &Packet<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<Option<Connection>, Rejected> {
        let Body::Handshake(content) = packet.body else { return Ok(None) };
        if packet.destination != self.own.socket {
            return Ok(None);
        }
        match handshake::parse(content) {
            Ok(Handshake::Induction { is_current: false, .. }) => Err(Rejected::Version),
            Ok(Handshake::Induction { cookie, .. }) => {
                // A repeated answer has the same one.
                if self.cookie.is_none() {
                    (self.cookie, self.sent) = (Some(cookie), None);
                    self.tick(now, out);
                }
                Ok(None)
            }
            Ok(Handshake::Conclusion { party, extensions, .. }) if self.cookie.is_some() => {
                let hello = extensions.check().map_err(|refusal| match refusal {
                    Refusal::VERSION => Rejected::Version,
                    other => Rejected::Mode(other),
                })?;
                // Who cannot read the key answers with the reason in its place.
                if extensions.key != self.key.as_deref() {
                    return Err(Rejected::Key);
                }
                let settings = Settings {
                    peer_socket: party.socket,
                    own_first: self.own.first,
                    peer_first: party.first,
                    latency: Latency::agree(self.offer.latency, &hello),
                    window: party.window,
                    keys: self.offer.keys.clone(),
                    key_refresh: self.offer.key_refresh,
                    epoch: self.epoch,
                };
                Ok(Some(Connection::new(settings, now)))
            }
            Ok(Handshake::Refusal(refusal)) => Err(Rejected::Refused(refusal)),
            Ok(Handshake::Conclusion { .. }) | Err(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Sequence,
            key::{KeyLength, Passphrase},
            packet,
        },
        *,
    };
    use proptest::prelude::*;

    const OWN: Party = Party { socket: 7, first: Sequence::new(0x7FFF_FFFE), window: 8192 };
    const THEIRS: Party = Party { socket: 9, first: Sequence::new(0x7FFF_FFFE), window: 100 };

    fn peer() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 9000))
    }

    fn keys() -> Keys {
        Keys::generate(Passphrase::new("correct horse").unwrap(), KeyLength::Aes256).unwrap()
    }

    fn caller(keys: Option<Keys>, now: Instant) -> Caller {
        let offer = Offer {
            stream_id: "publish:studio".to_owned(),
            latency: Duration::from_millis(200),
            keys,
            key_refresh: 1 << 24,
        };
        Caller::new(OWN, peer(), offer, now)
    }

    /// The handshakes that were sent since the last time.
    fn sent(out: &mut Outbox) -> Vec<Vec<u8>> {
        let found = out.datagrams().map(|datagram| match packet::parse(datagram).unwrap().body {
            Body::Handshake(content) => content.to_vec(),
            other => panic!("{other:?}"),
        });
        let found = found.collect();
        out.clear();
        found
    }

    fn handle(
        caller: &mut Caller,
        content: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) -> Result<Option<Connection>, Rejected> {
        let packet = Packet { destination: OWN.socket, timestamp: 0, body: Body::Handshake(content) };
        caller.handle(&packet, now, out)
    }

    #[test]
    fn a_caller_asks_and_presents_its_cookie_until_it_is_answered() {
        let (now, mut out) = (Instant::now(), Outbox::default());
        let own = keys();
        let mut caller = caller(Some(own.clone()), now);
        caller.tick(now, &mut out);
        caller.tick(now + AGAIN / 2, &mut out);
        assert_eq!(caller.due(), now + AGAIN);
        caller.tick(now + AGAIN, &mut out);
        let asked = sent(&mut out);
        assert_eq!(asked.len(), 2);
        let Ok(Handshake::Induction { party, cookie: 0, .. }) = handshake::parse(&asked[0]) else { panic!() };
        // Others may send what they like to our address.
        let early = handshake::accept(THEIRS, Latency { receive: AGAIN, send: AGAIN }, None, peer());
        assert!(handle(&mut caller, &early, now, &mut out).unwrap().is_none());
        let answer = handshake::cookie_answer(party, 77, peer());
        assert!(handle(&mut caller, &answer, now + AGAIN, &mut out).unwrap().is_none());
        assert!(handle(&mut caller, &answer, now + AGAIN, &mut out).unwrap().is_none());
        let concluded = sent(&mut out);
        assert_eq!(concluded.len(), 1, "once, not for each answer");
        let Ok(Handshake::Conclusion { cookie: 77, extensions, .. }) = handshake::parse(&concluded[0]) else {
            panic!()
        };
        assert_eq!(extensions.stream_id, "publish:studio");
        let key = extensions.key.unwrap().to_vec();
        let latency = Latency { receive: Duration::from_millis(400), send: Duration::from_millis(200) };
        let accepted = handshake::accept(THEIRS, latency, Some(&key), peer());
        let connection = handle(&mut caller, &accepted, now + 2 * AGAIN, &mut out).unwrap();
        assert!(connection.unwrap().room() > 0);
    }

    #[test]
    fn refusals_are_in_plain_words() {
        let check = |keys: Option<Keys>, answer: &dyn Fn(&[u8]) -> Vec<u8>, expect: &str| {
            let (now, mut out) = (Instant::now(), Outbox::default());
            let mut caller = caller(keys, now);
            let cookie = handshake::cookie_answer(OWN, 77, peer());
            handle(&mut caller, &cookie, now, &mut out).unwrap();
            let concluded = sent(&mut out).remove(0);
            let error = handle(&mut caller, &answer(&concluded), now, &mut out).unwrap_err();
            assert_eq!(error.to_string(), expect);
        };
        let latency = Latency { receive: AGAIN, send: AGAIN };
        let refuse = |code: u32| move |_: &[u8]| handshake::refuse(OWN, Refusal(code), peer());
        check(None, &refuse(2404), "the listener refuses: no such stream (code 2404)");
        check(None, &refuse(1010), "the listener refuses: the passphrase is wrong (code 1010)");
        check(None, &refuse(1999), "the listener refuses: refused (code 1999)");
        let without = |_: &[u8]| handshake::accept(THEIRS, latency, None, peer());
        check(Some(keys()), &without, "the listener cannot read the key: it has another passphrase, or none");
        let other = |_: &[u8]| handshake::accept(THEIRS, latency, Some(&[0, 0, 0, 4]), peer());
        check(Some(keys()), &other, "the listener cannot read the key: it has another passphrase, or none");
        let old = |_: &[u8]| handshake::ask(THEIRS, peer());
        check(None, &old, "the listener speaks a version of SRT before 1.3");
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in prop::collection::vec(any::<u8>(), 0..120), kind in 0_usize..3) {
            let (now, mut out) = (Instant::now(), Outbox::default());
            let mut caller = caller(None, now);
            let latency = Latency { receive: AGAIN, send: AGAIN };
            handle(&mut caller, &handshake::cookie_answer(OWN, 1, peer()), now, &mut out).unwrap();
            let mut content = [Vec::new(), handshake::accept(THEIRS, latency, None, peer()), handshake::ask(OWN, peer())][kind].clone();
            content.extend(bytes);
            let _ = handle(&mut caller, &content, now, &mut out);
        }
    }
}
