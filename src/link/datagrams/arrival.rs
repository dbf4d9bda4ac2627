//! Datagrams of one sender → media in its order, and how much is missing.

use crate::media::rtp::{Header, Order, Packet, Patience, fec::Decoder};
use bytes::Bytes;
use std::{net::SocketAddr, time::Duration};

/// The first byte of each packet of MPEG-TS.
const SYNC: u8 = 0x47;
/// A sender that is silent for so long is replaced by the next one that sends.
const GONE: Duration = Duration::from_secs(2);
/// Larger gaps are not loss, but a sender that began again.
const MOST_LOST: u16 = 3000;
/// So many packets more than error correction needs are waited for: they overtake each other.
const SLACK: usize = 128;
/// The longest time that error correction is waited for: two of the largest matrices at 1 Mbit/s.
const MAX_REPAIR: Duration = Duration::from_secs(2);

/// Takes the datagrams of one sender at a time: two that send to the same port would damage each other.
#[derive(Debug)]
pub struct Arrivals {
    is_rtp: bool,
    sender: Option<(SocketAddr, Duration)>,
    order: Order,
    fec: Option<Decoder>,
    next: Option<u16>,
    sorted: Vec<Packet>,
    recovered: Vec<Bytes>,
    /// Counts for who asks.
    pub counts: Counts,
}

/// What came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams with media.
    pub received: u64,
    /// Those that were missing between others; known with RTP only.
    pub lost: u64,
    /// Those that were missing and that error correction has recovered.
    pub recovered: u64,
    /// Those of others than the sender, and those without media.
    pub ignored: u64,
}

impl Arrivals {
    /// Nothing came yet.
    pub fn new(is_rtp: bool, is_protected: bool) -> Self {
        Self {
            is_rtp,
            sender: None,
            order: Order::default(),
            fec: is_protected.then(Decoder::default),
            next: None,
            sorted: Vec::new(),
            recovered: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Takes a datagram that came at `now`, on any clock that does not step. Media that is in order is appended to `out`.
    pub fn push(&mut self, from: SocketAddr, datagram: Bytes, now: Duration, out: &mut Vec<Bytes>) {
        match self.sender {
            Some((sender, heard)) if sender != from && now.saturating_sub(heard) < GONE => {
                self.counts.ignored += 1;
                return;
            }
            Some((sender, _)) if sender == from => {}
            _ => {
                (self.order, self.next) = (Order::default(), None);
                self.fec = self.fec.take().map(|_| Decoder::default());
            }
        }
        let packet = if self.is_rtp { Packet::parse(datagram.clone()) } else { plain(datagram.clone()) };
        let Some(packet) = packet.filter(is_media) else {
            self.counts.ignored += 1;
            return;
        };
        self.sender = Some((from, now));
        self.counts.received += 1;
        if !self.is_rtp {
            out.push(packet.payload);
            return;
        }
        if let Some(fec) = &mut self.fec {
            fec.media(&datagram, (packet.header.sequence, packet.header.ssrc), &mut self.recovered);
        }
        self.order.push(packet, now, &mut self.sorted);
        self.repair(now);
        self.hand_on(out);
    }

    /// Takes a datagram that came at `now` to a port of error correction, which a sender of media has another port for.
    pub fn protection(&mut self, from: SocketAddr, datagram: &[u8], now: Duration, out: &mut Vec<Bytes>) {
        match (self.sender, &mut self.fec) {
            (Some((sender, _)), Some(fec)) if sender.ip() == from.ip() => {
                fec.protection(datagram, now, &mut self.recovered);
            }
            _ => {
                self.counts.ignored += 1;
                return;
            }
        }
        self.repair(now);
        self.hand_on(out);
    }

    /// What was recovered takes its place, and what cannot be is given up.
    fn repair(&mut self, now: Duration) {
        let Some(fec) = &self.fec else { return };
        let patience = fec.patience(now).map(|packets| Patience { packets: packets + SLACK, wait: MAX_REPAIR });
        self.order.wait_for(patience.unwrap_or_default());
        for datagram in self.recovered.drain(..) {
            // Only what was sent like this is media.
            if let Some(packet) = Packet::parse(datagram).filter(is_media) {
                self.counts.recovered += 1;
                self.order.push(packet, now, &mut self.sorted);
            }
        }
        if let Some(number) = fec.given_up(now) {
            self.order.give_up_before(number, &mut self.sorted);
        }
    }

    /// Who sends, if media came.
    pub fn sender(&self) -> Option<SocketAddr> {
        self.sender.map(|(sender, _)| sender)
    }

    /// Until when [`Arrivals::expire`] has nothing to do; `None` while nothing waits.
    pub fn deadline(&self) -> Option<Duration> {
        self.order.deadline()
    }

    /// Gives up what is missing for too long.
    pub fn expire(&mut self, now: Duration, out: &mut Vec<Bytes>) {
        self.order.expire(now, &mut self.sorted);
        self.hand_on(out);
    }

    fn hand_on(&mut self, out: &mut Vec<Bytes>) {
        for Packet { header, payload } in self.sorted.drain(..) {
            let missing = self.next.map_or(0, |next| header.sequence.wrapping_sub(next));
            if missing <= MOST_LOST {
                self.counts.lost += u64::from(missing);
            }
            self.next = Some(header.sequence.wrapping_add(1));
            out.push(payload);
        }
    }
}

fn is_media(packet: &Packet) -> bool {
    packet.payload.first() == Some(&SYNC)
}

/// A datagram without RTP.
fn plain(payload: Bytes) -> Option<Packet> {
    let header = Header { payload_type: super::MP2T, marker: false, sequence: 0, timestamp: 0, ssrc: 0 };
    Some(Packet { header, payload })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::rtp::fec::{Encoder, Matrix};
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn peer(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 5000))
    }

    fn rtp(sequence: u16, text: &str) -> Bytes {
        let header = Header { payload_type: 33, marker: false, sequence, timestamp: 0, ssrc: 1 };
        [&header.bytes()[..], b"G", text.as_bytes()].concat().into()
    }

    /// What comes out, without the first byte.
    fn came(arrivals: &mut Arrivals, from: u8, datagram: Bytes, now: Duration) -> String {
        let mut out = Vec::new();
        arrivals.push(peer(from), datagram, now, &mut out);
        out.iter().map(|payload| String::from_utf8_lossy(&payload[1..]).into_owned()).collect()
    }

    #[test]
    fn what_overtook_is_sorted_and_what_is_lost_counted() {
        let mut arrivals = Arrivals::new(true, false);
        let mut take = |sequence, text| came(&mut arrivals, 1, rtp(sequence, text), Duration::ZERO);
        assert_eq!((take(65_535, "a"), take(1, "c"), take(0, "b")), ("a".into(), String::new(), "bc".into()));
        assert_eq!((take(4, "f"), take(5, "g")), (String::new(), String::new()));
        let mut out = Vec::new();
        arrivals.expire(arrivals.deadline().unwrap(), &mut out);
        assert_eq!(out, [Bytes::from("Gf"), Bytes::from("Gg")]);
        assert_eq!(arrivals.counts, Counts { received: 5, lost: 2, ..Counts::default() });
        // A sender that begins again is not three thousand lost ones.
        came(&mut arrivals, 1, rtp(40_000, "x"), SECOND);
        assert_eq!(came(&mut arrivals, 1, rtp(40_001, "y"), SECOND), "y");
        assert_eq!(arrivals.counts.lost, 2);
    }

    #[test]
    fn one_sender_is_heard_at_a_time() {
        let mut arrivals = Arrivals::new(false, false);
        let media = |text: &'static str| Bytes::from(["G", text].concat());
        assert_eq!(came(&mut arrivals, 1, media("a"), Duration::ZERO), "a");
        assert_eq!(came(&mut arrivals, 2, media("b"), SECOND), "");
        assert_eq!(came(&mut arrivals, 1, Bytes::from("no media"), SECOND), "");
        assert_eq!(came(&mut arrivals, 2, media("c"), 2 * SECOND), "c");
        assert_eq!(came(&mut arrivals, 1, media("d"), 2 * SECOND), "");
        assert_eq!(arrivals.counts, Counts { received: 2, ignored: 3, ..Counts::default() });
    }

    /// What a receiver of a protected sender gets when these numbers are lost.
    fn protected(lost: &[u16]) -> (Arrivals, Vec<u16>) {
        let mut encoder = Encoder::new(Matrix { columns: 5, rows: 5, protects_rows: false }, [0, 0]);
        let (mut arrivals, mut out, mut made) = (Arrivals::new(true, true), Vec::new(), Vec::new());
        for number in 0_u16..100 {
            let now = Duration::from_millis(10 * u64::from(number));
            let datagram = rtp(number, &number.to_string());
            encoder.push(&datagram, (number, 0), &mut made);
            if !lost.contains(&number) {
                arrivals.push(peer(1), datagram, now, &mut out);
            }
            for (_, packet) in made.drain(..) {
                arrivals.protection(SocketAddr::from(([192, 0, 2, 1], 7)), &packet, now, &mut out);
            }
        }
        let numbers = out.iter().map(|payload| String::from_utf8_lossy(&payload[1..]).parse().unwrap());
        (arrivals, numbers.collect())
    }

    #[test]
    fn error_correction_is_waited_for_and_no_longer() {
        let all = |but: &[u16]| (0..100).filter(|number| !but.contains(number)).collect::<Vec<u16>>();
        // 200 ms and more pass until the column is there.
        let (arrivals, numbers) = protected(&[26, 33, 45]);
        assert_eq!((numbers, arrivals.counts.recovered, arrivals.counts.lost), (all(&[]), 3, 0));
        // Two of a column are lost for ever: what follows is there as soon as the column after it.
        let (arrivals, numbers) = protected(&[26, 31, 38]);
        assert_eq!((numbers, arrivals.counts.recovered, arrivals.counts.lost), (all(&[26, 31]), 1, 2));
        assert_eq!(arrivals.deadline(), None);
        // Others protect nothing of this sender.
        let mut arrivals = Arrivals::new(true, true);
        arrivals.protection(peer(2), &[0; 40], SECOND, &mut Vec::new());
        assert_eq!(arrivals.counts, Counts { ignored: 1, ..Counts::default() });
    }

    proptest! {
        #[test]
        fn foreign_datagrams_never_panic(datagrams in prop::collection::vec((any::<Vec<u8>>(), 0_u8..3, any::<u16>()), 0..50), is_rtp: bool) {
            let (mut arrivals, mut out) = (Arrivals::new(is_rtp, is_rtp), Vec::new());
            for (at, (bytes, from, sequence)) in (0..).zip(datagrams) {
                let datagram = if bytes.len() % 2 == 0 { rtp(sequence, "x") } else { bytes.into() };
                if from == 0 {
                    arrivals.protection(peer(1), &datagram, Duration::from_millis(at), &mut out);
                } else {
                    arrivals.push(peer(from), datagram, Duration::from_millis(at), &mut out);
                }
            }
            arrivals.expire(Duration::MAX, &mut out);
            prop_assert!(out.len() as u64 <= arrivals.counts.received + arrivals.counts.recovered);
        }
    }
}
