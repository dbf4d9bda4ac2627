//! Datagrams of a connection: data and control packets (section 3 of the draft).

use super::sequence::Sequence;
use std::time::Duration;

/// Bytes of the header of each packet.
pub const HEADER: usize = 16;
/// Largest payload of a data packet: what an Ethernet frame carries over IPv4.
pub const MAX_PAYLOAD: usize = 1456;
/// The payload that live senders use: seven packets of MPEG-TS.
pub const TS_PAYLOAD: usize = 7 * 188;
/// Most entries of one loss report, by its size.
const MAX_LOSSES: usize = MAX_PAYLOAD / 8;

const CONTROL: u32 = 0x8000_0000;
const HANDSHAKE: u16 = 0;
const KEEP_ALIVE: u16 = 1;
const ACK: u16 = 2;
const NAK: u16 = 3;
const SHUTDOWN: u16 = 5;
const ACK_ACK: u16 = 6;
const DROP_REQUEST: u16 = 7;
const USER: u16 = 0x7FFF;
const KEY_REQUEST: u16 = 3;
const KEY_RESPONSE: u16 = 4;

/// A packet that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The socket that it is for; zero for those that are none yet.
    pub destination: u32,
    /// When it was sent, in microseconds of the sender's clock, with a wrap after 71 minutes.
    pub timestamp: u32,
    /// What it is.
    pub body: Body<'a>,
}

/// What a packet is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// Payload.
    Data(Data<'a>),
    /// A handshake, for [`super::handshake`].
    Handshake(&'a [u8]),
    /// A sign of life.
    KeepAlive,
    /// What has arrived.
    Ack {
        /// Number of this acknowledgement; 0 when no answer is expected.
        number: u32,
        /// What it says.
        ack: Ack,
    },
    /// What has not arrived: first and last of each range.
    Nak(Vec<(Sequence, Sequence)>),
    /// The end.
    Shutdown,
    /// The answer to an acknowledgement.
    AckAck(u32),
    /// These packets will not come any more.
    DropRequest(Sequence, Sequence),
    /// A key, for [`super::key`].
    KeyRequest(&'a [u8]),
    /// The answer to a key.
    KeyResponse(&'a [u8]),
    /// A control packet that we have no use for.
    Other,
}

/// A data packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data<'a> {
    /// Its number.
    pub sequence: Sequence,
    /// Number of the message.
    pub message: u32,
    /// Which key encrypts it: 0 none, 1 the even one, 2 the odd one.
    pub key: u8,
    /// Whether it is sent again.
    pub is_resent: bool,
    /// The payload, perhaps encrypted.
    pub payload: &'a [u8],
}

/// What an acknowledgement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// Everything before this packet has arrived.
    pub next: Sequence,
    /// Round-trip time, as the receiver measures it, and its variance; `None` in a light one.
    pub rtt: Option<(Duration, Duration)>,
    /// How many packets the receiver has room for; `None` in a light one.
    pub room: Option<u32>,
}

/// Reads a datagram; `None` when it is no packet of SRT.
pub fn parse(datagram: &[u8]) -> Option<Packet<'_>> {
    let (header, rest) = datagram.split_first_chunk::<HEADER>()?;
    let [first, second, timestamp, destination] = words(header);
    let body = match first & CONTROL {
        0 => data(first, second, rest)?,
        _ => control((first >> 16 & 0x7FFF) as u16, first as u16, second, rest),
    };
    Some(Packet { destination, timestamp, body })
}

fn data(first: u32, second: u32, payload: &[u8]) -> Option<Body<'_>> {
    let is_whole = second >> 30 == 0b11;
    let key = (second >> 27 & 0b11) as u8;
    // A message of several packets belongs to the mode for files.
    (is_whole && key < 3 && (1..=MAX_PAYLOAD).contains(&payload.len())).then_some(Body::Data(Data {
        sequence: Sequence::new(first),
        message: second & 0x03FF_FFFF,
        key,
        is_resent: second >> 26 & 1 == 1,
        payload,
    }))
}

fn control(kind: u16, subtype: u16, info: u32, content: &[u8]) -> Body<'_> {
    match (kind, subtype) {
        (HANDSHAKE, _) => Body::Handshake(content),
        (KEEP_ALIVE, _) => Body::KeepAlive,
        (ACK, _) => ack(content).map_or(Body::Other, |ack| Body::Ack { number: info, ack }),
        (NAK, _) => Body::Nak(losses(content)),
        (SHUTDOWN, _) => Body::Shutdown,
        (ACK_ACK, _) => Body::AckAck(info),
        (DROP_REQUEST, _) => match numbers(content).collect::<Vec<_>>().as_slice() {
            [first, last, ..] => Body::DropRequest(Sequence::new(*first), Sequence::new(*last)),
            _ => Body::Other,
        },
        (USER, KEY_REQUEST) => Body::KeyRequest(content),
        (USER, KEY_RESPONSE) => Body::KeyResponse(content),
        _ => Body::Other,
    }
}

fn ack(content: &[u8]) -> Option<Ack> {
    let mut fields = numbers(content);
    let next = Sequence::new(fields.next()?);
    let micros = |micros: u32| Duration::from_micros(micros.into());
    let rtt = fields.next().zip(fields.next()).map(|(rtt, variance)| (micros(rtt), micros(variance)));
    Some(Ack { next, rtt, room: fields.next() })
}

fn losses(content: &[u8]) -> Vec<(Sequence, Sequence)> {
    let mut fields = numbers(content).take(2 * MAX_LOSSES);
    let mut ranges = Vec::new();
    while let Some(first) = fields.next() {
        let is_range = first & CONTROL != 0;
        let last = if is_range { fields.next() } else { Some(first) };
        let Some(last) = last else { break };
        ranges.push((Sequence::new(first), Sequence::new(last)));
    }
    ranges
}

/// The words of a string of bytes; a part of one at the end is ignored.
pub fn numbers(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word))
}

fn words<const N: usize>(header: &[u8; HEADER]) -> [u32; N] {
    let mut words = [0; N];
    words.iter_mut().zip(numbers(header)).for_each(|(word, found)| *word = found);
    words
}

/// Where packets of one connection go, and when this one is sent.
#[derive(Debug, Clone, Copy)]
pub struct Envelope {
    /// The socket of the peer.
    pub destination: u32,
    /// Microseconds of our clock.
    pub timestamp: u32,
}

impl Envelope {
    /// Appends the header of a data packet. Its payload follows.
    pub fn data(self, out: &mut Vec<u8>, sequence: Sequence, message: u32, key: u8, is_resent: bool) {
        let second = 0b11 << 30 | u32::from(key & 0b11) << 27 | u32::from(is_resent) << 26 | message & 0x03FF_FFFF;
        self.header(out, sequence.get(), second);
    }

    /// Appends a handshake.
    pub fn handshake(self, out: &mut Vec<u8>, content: &[u8]) {
        self.control(out, HANDSHAKE, 0, 0);
        out.extend_from_slice(content);
    }

    /// Appends a sign of life.
    pub fn keep_alive(self, out: &mut Vec<u8>) {
        self.control(out, KEEP_ALIVE, 0, 0);
        out.extend_from_slice(&[0; 4]);
    }

    /// Appends a full acknowledgement. `rates`: packets and bytes that came in a second.
    pub fn ack(self, out: &mut Vec<u8>, number: u32, ack: Ack, rates: (u32, u32)) {
        self.control(out, ACK, 0, number);
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let (rtt, variance) = ack.rtt.unwrap_or_default();
        let (packets, bytes) = rates;
        // The capacity of the link is not estimated.
        let fields = [ack.next.get(), micros(rtt), micros(variance), ack.room.unwrap_or(0), packets, 0, bytes];
        fields.into_iter().for_each(|field| out.extend_from_slice(&field.to_be_bytes()));
    }

    /// Appends a report of losses, first and last of each range: as many as one packet holds.
    pub fn nak(self, out: &mut Vec<u8>, ranges: impl IntoIterator<Item = (Sequence, Sequence)>) {
        self.control(out, NAK, 0, 0);
        for (first, last) in ranges.into_iter().take(MAX_LOSSES) {
            if first != last {
                out.extend_from_slice(&(first.get() | CONTROL).to_be_bytes());
            }
            out.extend_from_slice(&last.get().to_be_bytes());
        }
    }

    /// Appends the end.
    pub fn shutdown(self, out: &mut Vec<u8>) {
        self.control(out, SHUTDOWN, 0, 0);
        out.extend_from_slice(&[0; 4]);
    }

    /// Appends the answer to an acknowledgement.
    pub fn ack_ack(self, out: &mut Vec<u8>, number: u32) {
        self.control(out, ACK_ACK, 0, number);
        out.extend_from_slice(&[0; 4]);
    }

    /// Appends the news that packets will not come any more.
    pub fn drop_request(self, out: &mut Vec<u8>, first: Sequence, last: Sequence) {
        self.control(out, DROP_REQUEST, 0, 0);
        [first, last].into_iter().for_each(|number| out.extend_from_slice(&number.get().to_be_bytes()));
    }

    /// Appends a key.
    pub fn key_request(self, out: &mut Vec<u8>, message: &[u8]) {
        self.control(out, USER, KEY_REQUEST, 0);
        out.extend_from_slice(message);
    }

    /// Appends the answer to a key.
    pub fn key_response(self, out: &mut Vec<u8>, message: &[u8]) {
        self.control(out, USER, KEY_RESPONSE, 0);
        out.extend_from_slice(message);
    }

    fn control(self, out: &mut Vec<u8>, kind: u16, subtype: u16, info: u32) {
        self.header(out, CONTROL | u32::from(kind) << 16 | u32::from(subtype), info);
    }

    fn header(self, out: &mut Vec<u8>, first: u32, second: u32) {
        let fields = [first, second, self.timestamp, self.destination];
        fields.into_iter().for_each(|field| out.extend_from_slice(&field.to_be_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TO: Envelope = Envelope { destination: 0x1234_5678, timestamp: 77 };

    fn read(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[track_caller]
    fn check(write: impl FnOnce(&mut Vec<u8>), expect: Body<'_>) {
        let bytes = read(write);
        assert_eq!(parse(&bytes), Some(Packet { destination: 0x1234_5678, timestamp: 77, body: expect }));
    }

    #[test]
    fn packets_are_read_as_they_are_written() {
        let seq = Sequence::new;
        let data = |bytes: &mut Vec<u8>| {
            TO.data(bytes, seq(0x7FFF_FFFF), 0x03FF_FFFF, 2, true);
            bytes.extend_from_slice(b"payload");
        };
        let body =
            Data { sequence: seq(0x7FFF_FFFF), message: 0x03FF_FFFF, key: 2, is_resent: true, payload: b"payload" };
        check(data, Body::Data(body));
        check(|out| TO.handshake(out, b"shake"), Body::Handshake(b"shake"));
        check(|out| TO.keep_alive(out), Body::KeepAlive);
        let ack = Ack {
            next: seq(5),
            rtt: Some((Duration::from_micros(20_000), Duration::from_micros(300))),
            room: Some(8000),
        };
        check(|out| TO.ack(out, 9, ack, (1, 2)), Body::Ack { number: 9, ack });
        let ranges = vec![(seq(1), seq(1)), (seq(3), seq(7)), (seq(0x7FFF_FFFF), seq(2))];
        check(|out| TO.nak(out, ranges.clone()), Body::Nak(ranges.clone()));
        check(|out| TO.shutdown(out), Body::Shutdown);
        check(|out| TO.ack_ack(out, 4), Body::AckAck(4));
        check(|out| TO.drop_request(out, seq(1), seq(2)), Body::DropRequest(seq(1), seq(2)));
        check(|out| TO.key_request(out, b"key"), Body::KeyRequest(b"key"));
        check(|out| TO.key_response(out, b"key"), Body::KeyResponse(b"key"));
    }

    #[test]
    fn a_light_acknowledgement_has_one_field() {
        let mut bytes = read(|out| TO.ack(out, 0, Ack { next: Sequence::new(3), rtt: None, room: None }, (0, 0)));
        bytes.truncate(HEADER + 4);
        let ack = Ack { next: Sequence::new(3), rtt: None, room: None };
        assert_eq!(parse(&bytes).map(|packet| packet.body), Some(Body::Ack { number: 0, ack }));
    }

    #[test]
    fn what_is_no_packet_is_none() {
        let data = |key, length: usize| {
            read(|out| {
                TO.data(out, Sequence::new(1), 1, key, false);
                out.extend(vec![0; length]);
            })
        };
        assert!(parse(&data(0, 1)).is_some() && parse(&data(0, MAX_PAYLOAD)).is_some());
        for bytes in [
            data(3, 1),
            data(0, 0),
            data(0, MAX_PAYLOAD + 1),
            vec![0x80; 15],
            Vec::new(),
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        ] {
            assert_eq!(parse(&bytes), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_datagram_panics(bytes in prop::collection::vec(any::<u8>(), 0..64), kind in 0u8..9) {
            let _ = parse(&bytes);
            let mut bytes = bytes;
            if let [first, second, ..] = bytes.as_mut_slice() {
                (*first, *second) = (0x80, kind);
            }
            let _ = parse(&bytes);
        }
    }
}
