//! Two connections against each other.

use super::{
    super::{key::KeyLength, key::Passphrase, packet},
    *,
};
use proptest::prelude::*;

/// A pair of connections over a network that loses, delays and repeats, in simulated time.
struct Net {
    sides: [Connection; 2],
    /// When which datagram arrives at which side.
    flying: Vec<(Instant, u64, usize, Vec<u8>)>,
    now: Instant,
    /// Of a generator of random numbers.
    seed: u64,
    number: u64,
    loss: u64,
    delay: Duration,
    got: [Vec<(Instant, Bytes)>; 2],
}

const LATENCY: Duration = Duration::from_millis(120);

impl Net {
    fn new(
        loss: u64,
        delay: Duration,
        latency: Duration,
        keys: Option<Keys>,
        first: u32,
        refresh: u64,
        seed: u64,
    ) -> Self {
        let now = Instant::now();
        let side = |peer_socket| {
            let settings = Settings {
                peer_socket,
                own_first: Sequence::new(first),
                peer_first: Sequence::new(first),
                latency: Latency { receive: latency, send: latency },
                window: 8192,
                keys: keys.clone(),
                key_refresh: refresh,
                epoch: now,
            };
            Connection::new(settings, now)
        };
        let sides = [side(2), side(1)];
        Self { sides, flying: Vec::new(), now, seed, number: 0, loss, delay, got: [Vec::new(), Vec::new()] }
    }

    fn random(&mut self, below: u64) -> u64 {
        // xorshift64*
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        (self.seed.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }

    fn fly(&mut self, from: usize, out: &Outbox) {
        for datagram in out.datagrams() {
            if self.random(1000) < self.loss {
                continue;
            }
            let copies = if self.loss > 0 && self.random(100) == 0 { 2 } else { 1 };
            for _ in 0..copies {
                let jitter = if self.loss > 0 { self.random(3000) } else { 0 };
                self.number += 1;
                let at = self.now + self.delay + Duration::from_micros(jitter);
                self.flying.push((at, self.number, 1 - from, datagram.to_vec()));
            }
        }
    }

    /// Runs until `until`, but for sides that have ended.
    fn run(&mut self, until: Instant) {
        loop {
            let arrival = self.flying.iter().map(|(at, ..)| *at).min();
            let due = self.sides.iter().filter(|side| side.end().is_none()).map(Connection::due).min();
            let next = arrival.into_iter().chain(due).min().unwrap_or(until);
            if next >= until {
                self.now = until;
                return;
            }
            self.now = self.now.max(next);
            self.flying.sort();
            let arrived: Vec<_> = self.flying.extract_if(.., |(at, ..)| *at <= self.now).collect();
            for (_, _, side, bytes) in arrived {
                let (mut out, mut delivered) = (Outbox::default(), Vec::new());
                let packet = packet::parse(&bytes).unwrap();
                assert_eq!(packet.destination as usize, side + 1, "{packet:?}");
                self.sides[side].handle(&packet, self.now, &mut out, &mut delivered);
                self.got[side].extend(delivered.into_iter().map(|payload| (self.now, payload)));
                self.fly(side, &out);
            }
            for side in 0..2 {
                self.tick(side);
            }
        }
    }

    fn tick(&mut self, side: usize) {
        let (mut out, mut delivered) = (Outbox::default(), Vec::new());
        self.sides[side].tick(self.now, &mut out, &mut delivered);
        self.got[side].extend(delivered.into_iter().map(|payload| (self.now, payload)));
        self.fly(side, &out);
    }

    fn send(&mut self, side: usize, payload: Bytes) {
        assert!(self.sides[side].send(payload, self.now));
        self.tick(side);
    }
}

fn payload(number: u32) -> Bytes {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(1316, number as u8);
    bytes.into()
}

fn keys(length: KeyLength) -> Option<Keys> {
    Some(Keys::generate(Passphrase::new("correct horse").unwrap(), length).unwrap())
}

/// Sends 10 Mbit/s both ways for some seconds, and returns how long packets took on average, in ms.
fn exchange(net: &mut Net, packets: u32) -> f64 {
    let mut sent = Vec::new();
    for number in 0..packets {
        sent.push(net.now);
        net.send(0, payload(number));
        net.send(1, payload(number));
        net.run(net.now + Duration::from_millis(1));
    }
    net.run(net.now + Duration::from_secs(1));
    let mut sum = 0.0;
    for got in &net.got {
        let numbers: Vec<u32> =
            got.iter().map(|(_, bytes)| u32::from_be_bytes(bytes[..4].try_into().unwrap())).collect();
        assert_eq!(numbers.len(), packets as usize, "{:?}", net.sides.each_ref().map(Connection::counts));
        assert!(numbers.iter().copied().eq(0..packets));
        assert!(got.iter().all(|(_, bytes)| *bytes == payload(u32::from_be_bytes(bytes[..4].try_into().unwrap()))));
        sum += got.iter().zip(&sent).map(|((came, _), sent)| (*came - *sent).as_secs_f64() * 1000.0).sum::<f64>();
    }
    sum / f64::from(2 * packets)
}

#[test]
fn without_loss_nothing_waits() {
    let mut net = Net::new(0, Duration::from_millis(10), LATENCY, None, 5, 1 << 24, 1);
    let mean = exchange(&mut net, 2000);
    assert!((10.0..12.0).contains(&mean), "{mean}");
    let counts = net.sides[0].counts();
    assert_eq!((counts.sent.resent, counts.received.repeated, counts.received.packets), (0, 0, 2000));
    assert!(net.sides[0].is_drained());
}

#[test]
fn lost_packets_come_within_the_latency() {
    for (loss, delay, seed) in
        [(20, 10, 1), (50, 10, 2), (50, 10, 3), (50, 10, 4), (50, 50, 5), (50, 50, 6), (100, 10, 7)]
    {
        let delay = Duration::from_millis(delay);
        // A round trip of 20 ms has the usual latency; a longer one four times itself.
        let latency = (LATENCY + Duration::from_millis(loss)).max(8 * delay + Duration::from_millis(loss));
        let mut net = Net::new(loss, delay, latency, keys(KeyLength::Aes128), 0x7FFF_FF00, 1 << 24, seed);
        let mean = exchange(&mut net, 3000);
        let counts = net.sides[0].counts();
        assert!(counts.received.missed > 20 && counts.received.lost == 0, "{loss} {delay:?} {counts:?}");
        // A receiver that waited for the whole latency would need the delay and the latency.
        assert!(mean < (delay + latency / 2).as_secs_f64() * 1000.0, "{loss} {delay:?} {mean}");
    }
}

/// With the latency that is recommended, in both directions and with each key.
#[test]
fn four_round_trips_are_enough() {
    for (loss, delay, length, seed) in [20, 50]
        .into_iter()
        .flat_map(|loss| [10, 50].map(|delay| (loss, delay)))
        .flat_map(|(loss, delay)| [KeyLength::Aes128, KeyLength::Aes256].map(|length| (loss, delay, length)))
        .flat_map(|(loss, delay, length)| (1..=3).map(move |seed| (loss, delay, length, seed)))
    {
        let delay = Duration::from_millis(delay);
        let mut net = Net::new(loss, delay, 8 * delay, keys(length), 7, 1 << 24, seed);
        exchange(&mut net, 2000);
    }
}

#[test]
fn keys_change_while_packets_are_lost() {
    let mut net = Net::new(50, Duration::from_millis(10), LATENCY, keys(KeyLength::Aes256), 0, 1024, 9);
    exchange(&mut net, 4000);
    let counts = net.sides[0].counts();
    assert!(counts.rekeyed >= 6 && counts.undecrypted == 0, "{counts:?}");
}

#[test]
fn a_plain_packet_in_an_encrypted_connection_does_not_count() {
    let mut net = Net::new(0, Duration::from_millis(1), LATENCY, keys(KeyLength::Aes128), 0, 1 << 24, 1);
    let data = Data { sequence: Sequence::new(0), message: 1, key: 0, is_resent: false, payload: b"forged" };
    for key in [0, 2] {
        let forged = Packet { destination: 1, timestamp: 0, body: Body::Data(Data { key, ..data }) };
        let (mut out, mut delivered) = (Outbox::default(), Vec::new());
        net.sides[0].handle(&forged, net.now, &mut out, &mut delivered);
        assert!(delivered.is_empty());
    }
    assert_eq!(net.sides[0].counts().undecrypted, 2);
}

#[test]
fn acknowledgements_are_answered_in_turns_and_repeated_ones_always() {
    let mut net = Net::new(0, Duration::from_millis(1), LATENCY, None, 0, 1 << 24, 1);
    let begin = net.now;
    // Milliseconds, the packets that have arrived by then, and whether that is answered.
    for (number, (millis, next, is_answered)) in
        [(0, 1, true), (14, 2, false), (20, 3, true), (30, 4, false), (36, 4, true), (37, 4, true), (60, 5, true)]
            .into_iter()
            .enumerate()
    {
        let number = number as u32 + 1;
        let ack = packet::Ack { next: Sequence::new(next), rtt: None, room: None };
        let ack = Packet { destination: 1, timestamp: 0, body: Body::Ack { number, ack } };
        let mut out = Outbox::default();
        net.sides[0].handle(&ack, begin + Duration::from_millis(millis), &mut out, &mut Vec::new());
        let answers: Vec<_> = out.datagrams().map(|bytes| packet::parse(bytes).unwrap().body).collect();
        let expected = if is_answered { vec![Body::AckAck(number)] } else { vec![] };
        assert_eq!(answers, expected, "{millis} ms");
    }
}

#[test]
fn silence_and_the_end_are_noticed() {
    let mut net = Net::new(0, Duration::from_millis(1), LATENCY, None, 0, 1 << 24, 1);
    // Signs of life alone keep it.
    net.run(net.now + Duration::from_secs(60));
    assert_eq!(net.sides.each_ref().map(Connection::end), [None, None]);
    net.loss = 1000;
    net.run(net.now + Duration::from_secs(7));
    assert_eq!(net.sides.each_ref().map(Connection::end), [Some(End::Silent); 2]);
    let mut net = Net::new(0, Duration::from_millis(1), LATENCY, None, 0, 1 << 24, 1);
    let mut out = Outbox::default();
    net.sides[0].close(net.now, &mut out);
    net.fly(0, &out);
    net.run(net.now + Duration::from_millis(3));
    assert_eq!(net.sides.each_ref().map(Connection::end), [Some(End::Closed); 2]);
}

#[test]
fn a_peer_that_acknowledges_nothing_is_dropped() {
    let mut net = Net::new(0, Duration::from_millis(1), LATENCY, None, 0, 1 << 24, 1);
    let begin = net.now;
    let mut out = Outbox::default();
    while net.sides[0].end().is_none() {
        net.now += Duration::from_millis(50);
        assert!(net.sides[0].send(payload(0), net.now));
        net.sides[0].tick(net.now, &mut out, &mut Vec::new());
        let alive = Packet { destination: 1, timestamp: 0, body: Body::KeepAlive };
        net.sides[0].handle(&alive, net.now, &mut out, &mut Vec::new());
        out.clear();
    }
    assert_eq!((net.sides[0].end(), (net.now - begin).as_secs()), (Some(End::NoProgress), 10));
}

#[test]
fn timestamps_wrap() {
    let epoch = Instant::now();
    assert_eq!(micros(epoch + Duration::from_micros((1 << 32) + 5), epoch), 5);
}

proptest! {
    /// Whatever a peer sends: no panic, and no more than a few answers for each datagram.
    #[test]
    fn no_peer_breaks_a_connection(
        datagrams in prop::collection::vec((prop::collection::vec(any::<u8>(), 16..60), 0u8..9, 0u64..200), 1..100)
    ) {
        let mut net = Net::new(0, Duration::from_millis(1), LATENCY, keys(KeyLength::Aes128), 0, 16, 1);
        for (mut bytes, kind, pause) in datagrams {
            net.now += Duration::from_millis(pause);
            if kind < 8 {
                (bytes[0], bytes[1]) = (0x80, kind);
            } else {
                bytes[0] &= 0x7F;
                bytes[4] |= 0xC0;
            }
            let Some(packet) = packet::parse(&bytes) else { continue };
            let (mut out, mut delivered) = (Outbox::default(), Vec::new());
            net.sides[0].send(payload(1), net.now);
            net.sides[0].handle(&packet, net.now, &mut out, &mut delivered);
            net.sides[0].tick(net.now, &mut out, &mut delivered);
            let _ = net.sides[0].due();
        }
    }
}
