//! Handshakes: what callers and listeners say of themselves (sections 3.2.1 and 4.3 of the draft).

use super::{packet::numbers, sequence::Sequence};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Bytes before the extensions.
const LENGTH: usize = 48;
/// The version of this handshake; version 4 has no extensions.
const VERSION: u32 = 5;
const OLD_VERSION: u32 = 4;
/// What a listener puts into the field of extensions while it hands out a cookie.
const MAGIC: u16 = 0x4A17;
const OLD_DATAGRAMS: u16 = 2;
/// The version of SRT that we behave as.
const SRT_VERSION: u32 = 0x0001_0501;
/// The first version that has this handshake.
const MIN_SRT_VERSION: u32 = 0x0001_0300;
/// Most bytes of a datagram with its headers of IP and UDP.
const MTU: u32 = 1500;
/// Longest stream id in bytes.
pub const MAX_STREAM_ID: usize = 512;
/// Longest other extension that is looked at, in bytes.
const MAX_EXTENSION: usize = 1024;

const INDUCTION: u32 = 1;
const CONCLUSION: u32 = 0xFFFF_FFFF;
/// Types from here on are refusals.
const REFUSALS: u32 = 1000;

const HELLO_REQUEST: u16 = 1;
const HELLO_RESPONSE: u16 = 2;
const KEY_REQUEST: u16 = 3;
const KEY_RESPONSE: u16 = 4;
const STREAM_ID: u16 = 5;
const CONGESTION: u16 = 6;
const FILTER: u16 = 7;
const GROUP: u16 = 8;

const HAS_HELLO: u16 = 1;
const HAS_KEY: u16 = 2;
const HAS_CONFIG: u16 = 4;

/// Flags of a hello: timestamps count both ways, encryption is known, late packets are dropped, losses are reported
/// periodically, packets that are sent again are marked.
const FLAGS: u32 = 0x3F;
/// A byte stream in place of messages: the mode for files.
const FLAG_STREAM: u32 = 0x40;

/// What the socket of a handshake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Party {
    /// Its number.
    pub socket: u32,
    /// The sequence number that it begins with.
    pub first: Sequence,
    /// Most packets on the way.
    pub window: u32,
}

/// A handshake that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handshake<'a> {
    /// A caller asks for a cookie, or a listener gives one.
    Induction {
        /// Who.
        party: Party,
        /// Zero when it is asked for.
        cookie: u32,
        /// Whether the listener knows this version.
        is_current: bool,
    },
    /// A caller presents its cookie, or a listener accepts.
    Conclusion {
        /// Who.
        party: Party,
        /// The cookie.
        cookie: u32,
        /// What it wants or gives.
        extensions: Extensions<'a>,
    },
    /// A listener refuses.
    Refusal(Refusal),
}

/// What follows the fixed part of a handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions<'a> {
    /// The hello.
    pub hello: Option<Hello>,
    /// A key, for [`super::key`].
    pub key: Option<&'a [u8]>,
    /// What is asked for.
    pub stream_id: String,
    /// The names of a congestion control other than `live`, or of a packet filter.
    congestion: Option<String>,
    filter: Option<String>,
    is_group: bool,
}

/// Version and delays of a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    version: u32,
    flags: u32,
    /// How long it holds what it receives.
    pub receive_latency: Duration,
    /// How long the other one is to hold it, at least.
    pub send_latency: Duration,
}

/// Why a caller is refused, as a number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Refusal(pub u32);

impl Refusal {
    /// There is no room for it.
    pub const RESOURCE: Self = Self(1003);
    /// What it sends makes no sense.
    pub const ROGUE: Self = Self(1004);
    /// Too many are waiting.
    pub const BACKLOG: Self = Self(1005);
    /// The server stops.
    pub const CLOSE: Self = Self(1007);
    /// It is too old.
    pub const VERSION: Self = Self(1008);
    /// Its passphrase is wrong.
    pub const BAD_SECRET: Self = Self(1010);
    /// One side encrypts and the other does not.
    pub const UNSECURE: Self = Self(1011);
    /// It transmits files.
    pub const MESSAGE_API: Self = Self(1012);
    /// It wants another congestion control.
    pub const CONGESTION: Self = Self(1013);
    /// It wants a packet filter.
    pub const FILTER: Self = Self(1014);
    /// It wants a group of connections.
    pub const GROUP: Self = Self(1015);
    /// The stream id is malformed.
    pub const BAD_REQUEST: Self = Self(2400);
    /// It must present credentials, or others.
    pub const UNAUTHORIZED: Self = Self(2401);
    /// The server does not keep up.
    pub const OVERLOAD: Self = Self(2402);
    /// It may not.
    pub const FORBIDDEN: Self = Self(2403);
    /// There is no such stream.
    pub const NOT_FOUND: Self = Self(2404);
    /// The stream cannot be used that way.
    pub const BAD_MODE: Self = Self(2405);
    /// The stream cannot be sent in MPEG-TS.
    pub const UNACCEPTABLE: Self = Self(2406);
    /// Someone publishes already.
    pub const CONFLICT: Self = Self(2409);
    /// The feed of the stream has failed.
    pub const UNAVAILABLE: Self = Self(2503);

    /// In words, for the log.
    pub const fn text(self) -> &'static str {
        match self.0 {
            1002 => "refused by the peer",
            1003 => "connection limit reached",
            1004 => "malformed handshake",
            1005 => "too many handshakes are waiting",
            1007 => "server stops",
            1008 => "the version of SRT is too old",
            1010 => "the passphrase is wrong",
            1011 => "only one side has a passphrase",
            1012 => "not in live mode",
            1013 => "the congestion control is not `live`",
            1014 => "packet filters are not supported",
            1015 => "groups of connections are not supported",
            2400 => "the stream id is malformed",
            2401 => "the credential is missing or wrong",
            2402 => "the server is overloaded",
            2403 => "not permitted",
            2404 => "no such stream",
            2405 => "the stream cannot be used that way",
            2406 => "the codecs of the stream do not fit into MPEG-TS",
            2409 => "someone publishes already",
            2503 => "the feed of the stream has failed",
            _ => "refused",
        }
    }
}

impl Extensions<'_> {
    /// Whether a caller can be served.
    ///
    /// # Errors
    /// What refuses it.
    pub fn check(&self) -> Result<Hello, Refusal> {
        let hello = self.hello.filter(|hello| hello.version >= MIN_SRT_VERSION).ok_or(Refusal::VERSION)?;
        let refusals = [
            (hello.flags & FLAG_STREAM != 0, Refusal::MESSAGE_API),
            (self.congestion.as_deref().is_some_and(|name| name != "live"), Refusal::CONGESTION),
            (self.filter.is_some(), Refusal::FILTER),
            (self.is_group, Refusal::GROUP),
        ];
        refusals.into_iter().find(|(is_so, _)| *is_so).map_or(Ok(hello), |(_, refusal)| Err(refusal))
    }
}

/// Reads a handshake.
///
/// # Errors
/// What refuses a caller that sends it; `None` when it deserves no answer.
pub fn parse(content: &[u8]) -> Result<Handshake<'_>, Option<Refusal>> {
    let (fixed, mut rest) = content.split_first_chunk::<LENGTH>().ok_or(None)?;
    let mut fields = numbers(fixed);
    let mut next = || fields.next().unwrap_or_default();
    let (version, flags, first, _mtu, window, kind, socket, cookie) =
        (next(), next(), next(), next(), next(), next(), next(), next());
    let party = Party { socket, first: Sequence::new(first), window };
    let flags = flags as u16;
    match kind {
        INDUCTION => Ok(Handshake::Induction { party, cookie, is_current: version == VERSION && flags == MAGIC }),
        CONCLUSION if version != VERSION => Err(Some(Refusal::VERSION)),
        CONCLUSION => {
            let mut extensions = Extensions::default();
            while let Some((head, after)) = rest.split_first_chunk::<4>() {
                let [a, b, c, d] = *head;
                let (kind, length) = (u16::from_be_bytes([a, b]), usize::from(u16::from_be_bytes([c, d])) * 4);
                let (content, after) = after.split_at_checked(length).ok_or(Some(Refusal::ROGUE))?;
                extensions.add(kind, content).ok_or(Some(Refusal::ROGUE))?;
                rest = after;
            }
            Ok(Handshake::Conclusion { party, cookie, extensions })
        }
        REFUSALS.. => Ok(Handshake::Refusal(Refusal(kind))),
        _ => Err(None),
    }
}

/// Who sent a handshake that is not good otherwise, and its cookie.
pub fn party(content: &[u8]) -> Option<(Party, u32)> {
    let fields: Vec<u32> = numbers(content.first_chunk::<LENGTH>()?).collect();
    let [_, _, first, _, window, _, socket, cookie, ..] = fields.as_slice() else { return None };
    Some((Party { socket: *socket, first: Sequence::new(*first), window: *window }, *cookie))
}

impl<'a> Extensions<'a> {
    fn add(&mut self, kind: u16, content: &'a [u8]) -> Option<()> {
        if content.len() > MAX_EXTENSION {
            return None;
        }
        match kind {
            HELLO_REQUEST | HELLO_RESPONSE => {
                let mut fields = numbers(content);
                let (version, flags, latency) = (fields.next()?, fields.next()?, fields.next()?);
                let millis = |millis: u32| Duration::from_millis(u64::from(millis & 0xFFFF));
                let (receive_latency, send_latency) = (millis(latency >> 16), millis(latency));
                self.hello = Some(Hello { version, flags, receive_latency, send_latency });
            }
            KEY_REQUEST | KEY_RESPONSE => self.key = Some(content),
            STREAM_ID if content.len() > MAX_STREAM_ID => return None,
            STREAM_ID => self.stream_id = text(content)?,
            CONGESTION => self.congestion = Some(text(content)?),
            FILTER => self.filter = Some(text(content)?),
            GROUP => self.is_group = true,
            _ => {}
        }
        Some(())
    }
}

/// The text of an extension: each word of four bytes is reversed, and zeros fill the last one.
fn text(content: &[u8]) -> Option<String> {
    let mut bytes: Vec<u8> = content.as_chunks::<4>().0.iter().flat_map(|word| word.iter().rev().copied()).collect();
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    String::from_utf8(bytes).ok()
}

/// Appends the fixed part of a handshake.
fn fixed(out: &mut Vec<u8>, version: u32, encryption: u16, flags: u16, party: Party, kind: u32, cookie: u32) {
    let both = u32::from(encryption) << 16 | u32::from(flags);
    let fields = [version, both, party.first.get(), MTU, party.window, kind, party.socket, cookie];
    fields.into_iter().for_each(|field| out.extend_from_slice(&field.to_be_bytes()));
}

/// Appends the address of a peer: the order of its bytes is that of libsrt on a small-endian machine.
fn address(out: &mut Vec<u8>, peer: SocketAddr) {
    let octets = match peer.ip().to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [d, c, b, a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(address) => address.octets(),
    };
    out.extend_from_slice(&octets);
}

/// Appends an extension; the content is a multiple of four bytes.
fn extension(out: &mut Vec<u8>, kind: u16, content: &[u8]) {
    out.extend_from_slice(&kind.to_be_bytes());
    let words = u16::try_from(content.len() / 4).unwrap_or_default();
    out.extend_from_slice(&words.to_be_bytes());
    out.extend_from_slice(content);
}

fn hello(latency: Latency) -> Vec<u8> {
    let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX).min(0xFFFF);
    let both = millis(latency.receive) << 16 | millis(latency.send);
    [SRT_VERSION, FLAGS, both].into_iter().flat_map(u32::to_be_bytes).collect()
}

/// How long each side of a connection waits for lost packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// We, for what we receive.
    pub receive: Duration,
    /// The peer, for what we send.
    pub send: Duration,
}

impl Latency {
    /// What two parties agree on: the longer one of each direction.
    pub fn agree(own: Duration, peer: &Hello) -> Self {
        Self { receive: own.max(peer.send_latency), send: own.max(peer.receive_latency) }
    }
}

/// The answer to a caller that asks for a cookie.
pub fn cookie_answer(caller: Party, cookie: u32, peer: SocketAddr) -> Vec<u8> {
    let mut out = Vec::with_capacity(LENGTH);
    fixed(&mut out, VERSION, 0, MAGIC, caller, INDUCTION, cookie);
    address(&mut out, peer);
    out
}

/// The answer that refuses a caller.
pub fn refuse(caller: Party, refusal: Refusal, peer: SocketAddr) -> Vec<u8> {
    let mut out = Vec::with_capacity(LENGTH);
    fixed(&mut out, VERSION, 0, 0, caller, refusal.0, 0);
    address(&mut out, peer);
    out
}

/// The answer that accepts a caller. `key`: the message that it sent, if it encrypts.
pub fn accept(own: Party, latency: Latency, key: Option<&[u8]>, peer: SocketAddr) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 * LENGTH);
    let flags = HAS_HELLO | key.map_or(0, |_| HAS_KEY);
    fixed(&mut out, VERSION, 0, flags, own, CONCLUSION, 0);
    address(&mut out, peer);
    extension(&mut out, HELLO_RESPONSE, &hello(latency));
    key.into_iter().for_each(|key| extension(&mut out, KEY_RESPONSE, key));
    out
}

/// The first message of a caller: it asks for a cookie.
pub fn ask(own: Party, peer: SocketAddr) -> Vec<u8> {
    let mut out = Vec::with_capacity(LENGTH);
    fixed(&mut out, OLD_VERSION, 0, OLD_DATAGRAMS, own, INDUCTION, 0);
    address(&mut out, peer);
    out
}

/// The second message of a caller. `key`: the message and what the key's length is called.
pub fn conclude(
    own: Party,
    cookie: u32,
    latency: Latency,
    key: Option<(&[u8], u16)>,
    stream_id: &str,
    peer: SocketAddr,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 * LENGTH);
    let has_id = !stream_id.is_empty();
    let flags = HAS_HELLO | key.map_or(0, |_| HAS_KEY) | if has_id { HAS_CONFIG } else { 0 };
    fixed(&mut out, VERSION, key.map_or(0, |(_, length)| length), flags, own, CONCLUSION, cookie);
    address(&mut out, peer);
    extension(&mut out, HELLO_REQUEST, &hello(latency));
    key.into_iter().for_each(|(key, _)| extension(&mut out, KEY_REQUEST, key));
    if has_id {
        let mut bytes = stream_id.as_bytes().to_vec();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let reversed: Vec<u8> = bytes.as_chunks::<4>().0.iter().flat_map(|word| word.iter().rev().copied()).collect();
        extension(&mut out, STREAM_ID, &reversed);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn party() -> Party {
        Party { socket: 0x0102_0304, first: Sequence::new(0x7FFF_FFF0), window: 8192 }
    }

    fn peer() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 9000))
    }

    fn latency(receive: u64, send: u64) -> Latency {
        Latency { receive: Duration::from_millis(receive), send: Duration::from_millis(send) }
    }

    #[test]
    fn a_caller_and_a_listener_understand_each_other() {
        let asked = ask(party(), peer());
        assert_eq!(parse(&asked), Ok(Handshake::Induction { party: party(), cookie: 0, is_current: false }));
        let answered = cookie_answer(party(), 77, peer());
        assert_eq!(parse(&answered), Ok(Handshake::Induction { party: party(), cookie: 77, is_current: true }));
        let key = [1; 40];
        let concluded = conclude(party(), 77, latency(200, 0), Some((&key, 2)), "read:cam0", peer());
        let Ok(Handshake::Conclusion { cookie: 77, extensions, .. }) = parse(&concluded) else { panic!() };
        assert_eq!((extensions.key, extensions.stream_id.as_str()), (Some(&key[..]), "read:cam0"));
        let hello = extensions.check().unwrap();
        assert_eq!(Latency::agree(Duration::from_millis(120), &hello), latency(120, 200));
        let accepted = accept(party(), latency(120, 200), None, peer());
        let Ok(Handshake::Conclusion { cookie: 0, extensions, .. }) = parse(&accepted) else { panic!() };
        let hello = extensions.check().unwrap();
        assert_eq!((hello.receive_latency.as_millis(), hello.send_latency.as_millis()), (120, 200));
        let refused = refuse(party(), Refusal::FORBIDDEN, peer());
        assert_eq!(parse(&refused), Ok(Handshake::Refusal(Refusal::FORBIDDEN)));
    }

    /// A conclusion of ffmpeg 5.1 with libsrt 1.5.1 to this server, its hello shortened to what is looked at.
    #[test]
    fn words_of_a_stream_id_are_reversed() {
        assert_eq!(text(b"daer\0\0c:").as_deref(), Some("read:c"));
        assert_eq!(text(b"\xff\xff\xff\xff"), None);
    }

    #[test]
    fn callers_that_cannot_be_served_are_refused() {
        let mut concluded = conclude(party(), 1, latency(1, 1), None, "", peer());
        let check = |bytes: &[u8]| match parse(bytes) {
            Ok(Handshake::Conclusion { extensions, .. }) => extensions.check().map(|_| ()).map_err(Some),
            Ok(_) => panic!(),
            Err(refusal) => Err(refusal),
        };
        assert_eq!(check(&concluded), Ok(()));
        let with = |kind: u16, content: &[u8]| {
            let mut bytes = concluded.clone();
            extension(&mut bytes, kind, content);
            bytes
        };
        assert_eq!(check(&with(CONGESTION, b"evil")), Ok(()));
        assert_eq!(check(&with(CONGESTION, b"elif")), Err(Some(Refusal::CONGESTION)));
        assert_eq!(check(&with(FILTER, b",cef")), Err(Some(Refusal::FILTER)));
        assert_eq!(check(&with(GROUP, &[0; 8])), Err(Some(Refusal::GROUP)));
        assert_eq!(check(&with(STREAM_ID, &[b'x'; 512])), Ok(()));
        assert_eq!(check(&with(STREAM_ID, &[b'x'; 516])), Err(Some(Refusal::ROGUE)));
        assert_eq!(check(&with(99, &[0; 1024])), Ok(()));
        assert_eq!(check(&concluded[..LENGTH + 6]), Err(Some(Refusal::ROGUE)));
        assert_eq!(check(&concluded[..LENGTH]), Err(Some(Refusal::VERSION)));
        assert_eq!(check(&concluded[..LENGTH - 1]), Err(None));
        // Flags of a hello are in its second word.
        concluded[LENGTH + 11] |= 0x40;
        assert_eq!(check(&concluded), Err(Some(Refusal::MESSAGE_API)));
        concluded[3] = 4;
        assert_eq!(check(&concluded), Err(Some(Refusal::VERSION)));
    }

    proptest! {
        #[test]
        fn no_handshake_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..200), is_conclusion in any::<bool>()) {
            if is_conclusion && bytes.len() >= LENGTH {
                bytes.splice(..4, VERSION.to_be_bytes());
                bytes.splice(20..24, CONCLUSION.to_be_bytes());
            }
            if let Ok(Handshake::Conclusion { extensions, .. }) = parse(&bytes) {
                let _ = extensions.check();
            }
        }
    }
}
