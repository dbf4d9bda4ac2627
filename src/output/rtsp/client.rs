//! The client side: announces a stream to a server, and sends it there. Pure: bytes come in, bytes go out.

use super::{
    message::{MessageError, Parser, Received, Response},
    target::track_name,
};
use crate::access::{Secret, digest::Challenge};
use data_encoding::BASE64;
use std::fmt::Write;

/// What is announced.
#[derive(Debug)]
pub struct Offer {
    /// `rtsp://host:8554/studio?key=…`, without a user.
    pub url: String,
    /// Who publishes, for a server that asks.
    pub user: Option<(String, Secret)>,
    /// The name of the program.
    pub agent: String,
    /// The stream in SDP.
    pub description: String,
    /// How many tracks that has.
    pub tracks: usize,
    /// A text that nobody can foresee, for Digest.
    pub random: String,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Packets may be sent.
    Accepted,
    /// It refuses, or ends what it had accepted.
    Refused(String),
}

/// Why nothing can be understood of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// It sends no RTSP.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// It wants packets on other channels than those that were offered.
    #[error("the server wants packets of track {0} on other channels")]
    Channels(usize),
    /// A session has no name.
    #[error("the server has no session for the stream")]
    Session,
}

/// A conversation with a server.
#[derive(Debug)]
pub struct Client {
    offer: Offer,
    parser: Parser,
    state: State,
    number: u32,
    session: Option<String>,
    way: Option<Way>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Announcing,
    SettingUp(usize),
    Starting,
    Recording,
}

/// How to prove who one is.
#[derive(Debug)]
enum Way {
    Basic,
    Digest(Challenge),
}

impl Client {
    /// A client that announces; the first request is appended to `out`.
    pub fn new(offer: Offer, out: &mut Vec<u8>) -> Self {
        let (parser, state) = (Parser::default(), State::Announcing);
        let mut client = Self { offer, parser, state, number: 0, session: None, way: None };
        client.request(out);
        client
    }

    /// Takes bytes of the server. What is asked next is appended to `out`.
    ///
    /// # Errors
    /// When they make no sense; the connection is to be closed then.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<Answer>, ClientError> {
        self.parser.push(bytes);
        while let Some(received) = self.parser.take()? {
            // Packets are receiver reports; requests of servers need no answer.
            let Received::Response(response) = received else { continue };
            if let Some(answer) = self.answered(&response, out)? {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    fn answered(&mut self, response: &Response, out: &mut Vec<u8>) -> Result<Option<Answer>, ClientError> {
        if response.status == 401 && self.way.is_none() && self.offer.user.is_some() {
            self.way = way(response);
            if self.way.is_some() {
                self.request(out);
                return Ok(None);
            }
        }
        // A nonce that became too old.
        if response.status == 401
            && let (Some(Way::Digest(old)), Some(Way::Digest(new))) = (&self.way, way(response))
            && response.fields("www-authenticate").any(|value| value.to_ascii_lowercase().contains("stale=true"))
            && *old != new
        {
            self.way = Some(Way::Digest(new));
            self.request(out);
            return Ok(None);
        }
        if !(200..300).contains(&response.status) {
            return Ok(Some(Answer::Refused(reason(response))));
        }
        self.state = match self.state {
            State::Announcing => State::SettingUp(0),
            State::SettingUp(track) => {
                self.set_up(track, response)?;
                if track + 1 < self.offer.tracks { State::SettingUp(track + 1) } else { State::Starting }
            }
            State::Starting => {
                self.state = State::Recording;
                return Ok(Some(Answer::Accepted));
            }
            State::Recording => return Ok(None),
        };
        self.request(out);
        Ok(None)
    }

    fn set_up(&mut self, track: usize, response: &Response) -> Result<(), ClientError> {
        let session = response.field("session").and_then(|value| value.split(';').next()).map(str::trim);
        match session.filter(|session| !session.is_empty() && session.len() <= 256) {
            Some(session) => self.session = Some(session.to_owned()),
            None if self.session.is_some() => {}
            None => return Err(ClientError::Session),
        }
        let transport = response.field("transport").unwrap_or_default();
        let channels = transport.split(';').find_map(|part| part.trim().strip_prefix("interleaved="));
        match channels.is_none_or(|channels| channels == interleaved(track)) {
            true => Ok(()),
            false => Err(ClientError::Channels(track)),
        }
    }

    /// Appends the request of this state.
    fn request(&mut self, out: &mut Vec<u8>) {
        let url = self.offer.url.clone();
        match self.state {
            State::Announcing => {
                let body = self.offer.description.clone();
                let head = format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n", body.len());
                self.write("ANNOUNCE", &url, &head, &body, out);
            }
            State::SettingUp(track) => {
                let channels = interleaved(track);
                let transport = format!("Transport: RTP/AVP/TCP;unicast;interleaved={channels};mode=record\r\n");
                let target = format!("{}/{}", url.trim_end_matches('/'), track_name(track));
                self.write("SETUP", &target, &transport, "", out);
            }
            State::Starting => self.write("RECORD", &url, "Range: npt=0.000-\r\n", "", out),
            State::Recording => {}
        }
    }

    /// Appends a request that keeps the session alive.
    pub fn keep_alive(&mut self, out: &mut Vec<u8>) {
        let url = self.offer.url.clone();
        self.write("GET_PARAMETER", &url, "", "", out);
    }

    /// Appends the last request.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let url = self.offer.url.clone();
        self.write("TEARDOWN", &url, "", "", out);
    }

    fn write(&mut self, method: &str, target: &str, head: &str, body: &str, out: &mut Vec<u8>) {
        self.number += 1;
        let mut text = format!("{method} {target} RTSP/1.0\r\nCSeq: {}\r\n", self.number);
        let _ = write!(text, "User-Agent: {}\r\n", self.offer.agent);
        if let Some(session) = &self.session {
            let _ = write!(text, "Session: {session}\r\n");
        }
        if let (Some(way), Some((user, password))) = (&self.way, &self.offer.user) {
            let value = match way {
                Way::Basic => {
                    format!("Basic {}", BASE64.encode(format!("{user}:{}", password.expose()).as_bytes()))
                }
                Way::Digest(challenge) => {
                    // Each request has its own.
                    let own = format!("{}{:08x}", self.offer.random, self.number);
                    challenge.answer((user, password.expose()), method, target, &own)
                }
            };
            let _ = write!(text, "Authorization: {value}\r\n");
        }
        let _ = write!(text, "{head}\r\n{body}");
        out.extend_from_slice(text.as_bytes());
    }
}

/// The channels of a track: those of our rings.
fn interleaved(track: usize) -> String {
    format!("{}-{}", 2 * track, 2 * track + 1)
}

/// The first way that is known: Digest before Basic, which sends the password.
fn way(response: &Response) -> Option<Way> {
    let ways = || response.fields("www-authenticate").filter_map(|value| value.trim().split_once(' '));
    let is_named = |name: &'static str| move |(scheme, _): &(&str, &str)| scheme.eq_ignore_ascii_case(name);
    let digest = ways().filter(is_named("digest")).find_map(|(_, rest)| Challenge::parse(rest));
    digest.map(Way::Digest).or_else(|| ways().any(|way| is_named("basic")(&way)).then_some(Way::Basic))
}

/// Number, words, and the sentence of a body, if it has one.
fn reason(response: &Response) -> String {
    let sentence = std::str::from_utf8(&response.body).unwrap_or_default().lines().next().unwrap_or_default();
    let words: String = response.reason.chars().chain(": ".chars()).chain(sentence.chars()).take(200).collect();
    format!("{} {}", response.status, words.trim_end_matches(": "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn offer(user: Option<(&str, &str)>) -> Offer {
        Offer {
            url: "rtsp://h:8554/studio?key=k".to_owned(),
            user: user.map(|(user, password)| (user.to_owned(), Secret::new(password))),
            agent: "test".to_owned(),
            description: "v=0\r\n".to_owned(),
            tracks: 2,
            random: "r".to_owned(),
        }
    }

    /// The requests so far.
    fn sent(out: &mut Vec<u8>) -> String {
        String::from_utf8(std::mem::take(out)).unwrap()
    }

    #[test]
    fn a_stream_is_announced_set_up_and_sent() {
        let mut out = Vec::new();
        let mut client = Client::new(offer(None), &mut out);
        let mut step = |client: &mut Client, response: &str, expect: &str| {
            let text = sent(&mut out);
            assert!(text.starts_with(expect) && text.matches("CSeq").count() == 1, "{text}");
            client.push(response.as_bytes(), &mut out).unwrap()
        };
        let ok = "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n";
        let first =
            "RTSP/1.0 200 OK\r\nSession: 77;timeout=60\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n";
        let second = "RTSP/1.0 200 OK\r\nTransport: RTP/AVP/TCP;unicast\r\n\r\n";
        let announce = "ANNOUNCE rtsp://h:8554/studio?key=k RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: test\r\nContent-Type: application/sdp\r\n";
        assert_eq!(step(&mut client, ok, announce), None);
        assert_eq!(step(&mut client, first, "SETUP rtsp://h:8554/studio?key=k/trackID=0 RTSP/1.0"), None);
        assert_eq!(step(&mut client, second, "SETUP rtsp://h:8554/studio?key=k/trackID=1 RTSP/1.0"), None);
        let record = "RECORD rtsp://h:8554/studio?key=k RTSP/1.0\r\nCSeq: 4\r\nUser-Agent: test\r\nSession: 77\r\n";
        assert_eq!(step(&mut client, ok, record), Some(Answer::Accepted));
        let mut out = Vec::new();
        // Reports of the receiver, and its end.
        assert_eq!(client.push(b"$\x01\0\x02ab", &mut out), Ok(None));
        let end = "RTSP/1.0 454 Session Not Found\r\n\r\n";
        client.keep_alive(&mut out);
        assert_eq!(
            client.push(end.as_bytes(), &mut out),
            Ok(Some(Answer::Refused("454 Session Not Found".to_owned())))
        );
        client.finish(&mut out);
        assert!(sent(&mut out).ends_with("Session: 77\r\n\r\n"));
    }

    #[test]
    fn a_password_is_sent_where_it_is_asked_for() {
        let check = |ways: &str, expect: &str| {
            let mut out = Vec::new();
            let mut client = Client::new(offer(Some(("anna", "s3cret"))), &mut out);
            assert!(!sent(&mut out).contains("Authorization"));
            let refusal = format!("RTSP/1.0 401 Unauthorized\r\n{ways}Content-Length: 3\r\n\r\nno\n");
            assert_eq!(client.push(refusal.as_bytes(), &mut out), Ok(None));
            let text = sent(&mut out);
            assert!(text.contains(expect) && text.contains("CSeq: 2\r\n"), "{text}");
            // Once: a wrong one is no better the second time.
            let again = client.push(refusal.as_bytes(), &mut out).unwrap();
            assert_eq!(again, Some(Answer::Refused("401 Unauthorized: no".to_owned())));
        };
        let basic = "WWW-Authenticate: Basic realm=\"x\"\r\n";
        check(basic, "Authorization: Basic YW5uYTpzM2NyZXQ=\r\n");
        let digest = "WWW-Authenticate: Digest realm=\"x\", nonce=\"n\", algorithm=MD5\r\n";
        check(&format!("{basic}{digest}"), "Authorization: Digest username=\"anna\", realm=\"x\"");
        let mut out = Vec::new();
        let mut client = Client::new(offer(None), &mut out);
        let refusal = format!("RTSP/1.0 401 Unauthorized\r\n{basic}\r\n");
        assert_eq!(client.push(refusal.as_bytes(), &mut out), Ok(Some(Answer::Refused("401 Unauthorized".to_owned()))));
    }

    #[test]
    fn other_channels_and_no_session_are_errors() {
        let check = |response: &str, expect: ClientError| {
            let mut out = Vec::new();
            let mut client = Client::new(offer(None), &mut out);
            client.push(b"RTSP/1.0 200 OK\r\n\r\n", &mut out).unwrap();
            assert_eq!(client.push(response.as_bytes(), &mut out), Err(expect));
        };
        check("RTSP/1.0 200 OK\r\n\r\n", ClientError::Session);
        check(
            "RTSP/1.0 200 OK\r\nSession: 1\r\nTransport: RTP/AVP/TCP;interleaved=4-5\r\n\r\n",
            ClientError::Channels(0),
        );
        check("HTTP/1.1 200 OK\r\n\r\n", ClientError::Message(MessageError::Line));
    }

    proptest! {
        #[test]
        fn foreign_responses_never_panic(
            responses in prop::collection::vec("RTSP/1.0 [0-9]{3} [a-z]{0,9}\r\n((Session|Transport|WWW-Authenticate): [a-zA-Z0-9=;\", -]{0,30}\r\n){0,3}\r\n", 0..8),
            bytes: Vec<u8>
        ) {
            let mut out = Vec::new();
            let mut client = Client::new(offer(Some(("a", "b"))), &mut out);
            for response in responses {
                let _ = client.push(response.as_bytes(), &mut out);
            }
            let _ = client.push(&bytes, &mut out);
            prop_assert!(out.len() < 100_000);
        }
    }
}
