//! The side of a client, which publishes or plays: handshake, commands, and the media of what it plays.

use super::{
    chunk::{ChunkError, ChunkReader, Message},
    command::{self, Command},
    control::{Control, MAX_COMMAND},
    handshake::{ANSWER, NotRtmp, client_hello},
    kind,
    tag_body::{TagBody, tag_bodies},
};
use crate::media::flv::amf::Value;

/// The version in the first byte.
const VERSION: u8 = 3;
/// Longest text of a server that is kept.
const MAX_TEXT: usize = 200;
/// Codecs that are sent by FourCC.
const FOUR_CC: [&str; 9] = ["avc1", "hvc1", "av01", "vp08", "vp09", "mp4a", "Opus", "fLaC", "ac-3"];
/// Numbers of the commands that wait for an answer.
const CONNECT: f64 = 1.0;
const CREATE: f64 = 4.0;
const START: f64 = 5.0;
/// The start of what is played: live, or else from the begin of a recording (Adobe's specification, section 7.2.2.1).
const LIVE_OR_RECORDED: f64 = -2.0;
/// What a server may send ahead of the time of what is played, in milliseconds.
const BUFFER: u32 = 100;

/// What a client is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It sends media.
    Publish,
    /// It receives media.
    Play,
}

/// What is published or played, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which of them.
    pub purpose: Purpose,
    /// The first part of the path.
    pub app: String,
    /// The address before the name.
    pub url: String,
    /// The last part of the path, with its query.
    pub name: String,
    /// The program, as servers see it.
    pub agent: String,
}

/// The side of a client.
#[derive(Debug)]
pub struct Client {
    request: Request,
    /// What came of the handshake, until it is over.
    hello: Option<Vec<u8>>,
    reader: ChunkReader,
    state: State,
    control: Control,
    knows_four_cc: bool,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Creating,
    Asked { stream: u32 },
    Started { stream: u32 },
}

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Media may be sent, or follows, on this message stream.
    Accepted {
        /// The number of the stream.
        stream: u32,
    },
    /// It does not take it, for this reason.
    Refused(String),
}

/// Why a connection cannot continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// It is another protocol.
    #[error("the server does not speak RTMP: {0}")]
    NotRtmp(#[from] NotRtmp),
    /// Its chunks are none.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// Too long a command.
    #[error("a command of {0} bytes, where {MAX_COMMAND} are the most")]
    LongCommand(usize),
    /// The answer to `createStream` has no number.
    #[error("the server made no message stream")]
    NoStream,
}

impl Client {
    /// One that begins: what it sends first is added to `out`.
    pub fn new(request: Request, out: &mut Vec<u8>) -> Self {
        out.extend(client_hello());
        Self {
            request,
            hello: Some(Vec::new()),
            reader: ChunkReader::default(),
            state: State::Connecting,
            control: Control::default(),
            knows_four_cc: false,
        }
    }

    /// Takes bytes in pieces of any size; adds what is to be sent to `out`, and what is played to `media`. Returns the newest answer, if
    /// there is one.
    ///
    /// # Errors
    /// When the connection cannot continue.
    pub fn push(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        media: &mut Vec<TagBody>,
    ) -> Result<Option<Answer>, ClientError> {
        self.control.count(bytes.len());
        let mut messages = Vec::new();
        match &mut self.hello {
            Some(hello) => {
                hello.extend_from_slice(bytes);
                if let Some(other) = hello.first().filter(|first| **first != VERSION) {
                    return Err(NotRtmp(*other).into());
                }
                if hello.len() < ANSWER {
                    return Ok(None);
                }
                let rest = hello.split_off(ANSWER);
                // The second part repeats what the server sent first.
                out.extend_from_slice(hello.get(1..=ANSWER / 2).unwrap_or_default());
                self.hello = None;
                self.connect(out);
                self.reader.push(&rest, &mut messages)?;
            }
            None => self.reader.push(bytes, &mut messages)?,
        }
        let mut answer = None;
        for message in messages {
            answer = self.message(&message, out, media)?.or(answer);
        }
        self.control.acknowledge(out);
        Ok(answer)
    }

    /// Whether the server has said that it knows codecs by FourCC.
    pub const fn knows_four_cc(&self) -> bool {
        self.knows_four_cc
    }

    /// Signals the server that nothing more will come.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let State::Asked { stream } | State::Started { stream } = self.state {
            if self.request.purpose == Purpose::Publish {
                let name = Value::String(self.request.name.clone());
                self.send(&command::message("FCUnpublish", 6.0, &[Value::Null, name], 0), out);
            }
            let number = Value::Number(stream.into());
            self.send(&command::message("deleteStream", 7.0, &[Value::Null, number], 0), out);
        }
    }

    fn connect(&mut self, out: &mut Vec<u8>) {
        let text = |text: &str| Value::String(text.to_owned());
        let object = Value::Object(vec![
            ("app".to_owned(), text(&self.request.app)),
            ("type".to_owned(), text("nonprivate")),
            ("flashVer".to_owned(), text(&self.request.agent)),
            ("tcUrl".to_owned(), text(&self.request.url)),
            ("fourCcList".to_owned(), Value::StrictArray(FOUR_CC.map(text).to_vec())),
        ]);
        self.send(&command::message("connect", CONNECT, &[object], 0), out);
    }

    fn message(
        &mut self,
        message: &Message,
        out: &mut Vec<u8>,
        media: &mut Vec<TagBody>,
    ) -> Result<Option<Answer>, ClientError> {
        match message.kind {
            kind::WINDOW | kind::USER_CONTROL => self.control.take(message, out),
            kind::COMMAND | kind::COMMAND_AMF3 => {
                if message.payload.len() > MAX_COMMAND {
                    return Err(ClientError::LongCommand(message.payload.len()));
                }
                if let Some(command) = Command::read(message) {
                    return self.command(&command, out);
                }
            }
            _ if self.request.purpose == Purpose::Play => tag_bodies(message, media),
            _ => {}
        }
        Ok(None)
    }

    fn command(&mut self, command: &Command, out: &mut Vec<u8>) -> Result<Option<Answer>, ClientError> {
        let answers = |number: f64| (command.transaction - number).abs() < 0.5;
        match (command.name.as_str(), self.state) {
            ("_result", State::Connecting) if answers(CONNECT) => {
                let info = command.arguments.get(1);
                let names = ["fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap"];
                self.knows_four_cc = names.iter().any(|name| info.and_then(|info| info.get(name)).is_some());
                self.create(out);
            }
            ("_result", State::Creating) if answers(CREATE) => {
                let number = command.arguments.get(1).and_then(Value::number);
                let number = number.filter(|number| (0.0..=f64::from(u32::MAX)).contains(number));
                let stream = number.ok_or(ClientError::NoStream)? as u32;
                self.state = State::Asked { stream };
                self.start(stream, out);
            }
            // Servers of old refuse what only they know.
            ("_error", State::Creating) if !answers(CREATE) => {}
            ("_error", _) => return Ok(Some(Answer::Refused(description(command)))),
            ("onStatus", state) => return Ok(self.status(command, state)),
            _ => {}
        }
        Ok(None)
    }

    fn create(&mut self, out: &mut Vec<u8>) {
        self.state = State::Creating;
        self.control.set_chunk_size(out);
        if self.request.purpose == Purpose::Publish {
            for (number, name) in [(2.0, "releaseStream"), (3.0, "FCPublish")] {
                let stream = Value::String(self.request.name.clone());
                self.send(&command::message(name, number, &[Value::Null, stream], 0), out);
            }
        }
        self.send(&command::message("createStream", CREATE, &[Value::Null], 0), out);
    }

    fn start(&self, stream: u32, out: &mut Vec<u8>) {
        let name = Value::String(self.request.name.clone());
        match self.request.purpose {
            Purpose::Publish => {
                let live = Value::String("live".to_owned());
                self.send(&command::message("publish", START, &[Value::Null, name, live], stream), out);
            }
            Purpose::Play => {
                let from = Value::Number(LIVE_OR_RECORDED);
                self.send(&command::message("play", START, &[Value::Null, name, from], stream), out);
                self.send(&command::buffer_length(stream, BUFFER), out);
            }
        }
    }

    fn status(&mut self, command: &Command, state: State) -> Option<Answer> {
        let info = command.arguments.get(1)?;
        let text = |name: &str| info.get(name).and_then(Value::text).unwrap_or_default();
        let ended = [
            "NetStream.Unpublish.Success",
            "NetStream.Play.UnpublishNotify",
            "NetStream.Play.Stop",
            "NetStream.Play.Complete",
            "NetConnection.Connect.Closed",
        ];
        if text("level") == "error" || ended.contains(&text("code")) {
            return Some(Answer::Refused(description(command)));
        }
        let started = match self.request.purpose {
            Purpose::Publish => "NetStream.Publish.Start",
            Purpose::Play => "NetStream.Play.Start",
        };
        match state {
            State::Asked { stream } if text("code") == started => {
                self.state = State::Started { stream };
                Some(Answer::Accepted { stream })
            }
            _ => None,
        }
    }

    fn send(&self, message: &Message, out: &mut Vec<u8>) {
        self.control.send(message, out);
    }
}

/// What a server says of an error, for people.
fn description(command: &Command) -> String {
    let info = command.arguments.get(1).or(command.arguments.first());
    let text = |name: &str| info.and_then(|info| info.get(name)).and_then(Value::text).unwrap_or_default();
    let parts = [text("code"), text("description")].into_iter().filter(|part| !part.is_empty());
    let text = parts.collect::<Vec<_>>().join(": ");
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect();
    if text.is_empty() { "refused without a reason".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::super::{
        chunk,
        server::{Event, Server},
    };
    use super::*;
    use crate::media::flv::tag;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn request(purpose: Purpose) -> Request {
        let [app, url, name, agent] = ["live", "rtmp://host/live", "studio?key=x", "test"].map(str::to_owned);
        Request { purpose, app, url, name, agent }
    }

    /// A client and our server, which exchange bytes in pieces.
    struct Pair {
        client: Client,
        server: Server,
        to_server: Vec<u8>,
        events: Vec<Event>,
        media: Vec<TagBody>,
    }

    impl Pair {
        fn new(purpose: Purpose) -> Self {
            let mut to_server = Vec::new();
            let client = Client::new(request(purpose), &mut to_server);
            Self { client, server: Server::new(), to_server, events: Vec::new(), media: Vec::new() }
        }

        fn client_gets(&mut self, bytes: &[u8]) -> Result<Option<Answer>, ClientError> {
            self.client.push(bytes, &mut self.to_server, &mut self.media)
        }

        /// Exchanges until neither has anything more to say.
        fn exchange(&mut self, size: usize) -> Option<Answer> {
            let mut answer = None;
            while !self.to_server.is_empty() {
                let mut to_client = Vec::new();
                for piece in std::mem::take(&mut self.to_server).chunks(size) {
                    self.server.push(piece, &mut to_client, &mut self.events).unwrap();
                }
                for piece in to_client.chunks(size) {
                    answer = self.client_gets(piece).unwrap().or(answer);
                }
            }
            answer
        }
    }

    #[test]
    fn a_server_takes_what_is_published() {
        for size in [1, 100, 10_000] {
            let mut pair = Pair::new(Purpose::Publish);
            assert_eq!(pair.exchange(size), None);
            let Some(Event::Publish(wanted)) = pair.events.pop() else { panic!("{:?}", pair.events) };
            assert_eq!((wanted.names()[0].as_str(), wanted.query().as_str()), ("live/studio", "key=x"));
            assert_eq!((wanted.agent.as_deref(), wanted.knows_four_cc), (Some("test"), true));
            let mut to_client = Vec::new();
            pair.server.accept_publish(&mut to_client);
            assert_eq!(pair.client_gets(&to_client).unwrap(), Some(Answer::Accepted { stream: 1 }));
            assert!(pair.client.knows_four_cc());
            let body = Bytes::from_static(b"\x17\x01\0\0\0frame");
            let frame = Message { kind: kind::VIDEO, stream: 1, time: 40, payload: body.clone() };
            pair.client.send(&frame, &mut pair.to_server);
            pair.client.finish(&mut pair.to_server);
            pair.exchange(size);
            assert_eq!(pair.events, [Event::Media(TagBody { kind: tag::VIDEO, time: 40, body }), Event::Ended]);
        }
    }

    #[test]
    fn what_a_server_plays_comes_until_it_ends() {
        for size in [1, 100, 10_000] {
            let mut pair = Pair::new(Purpose::Play);
            assert_eq!(pair.exchange(size), None);
            let Some(Event::Play(wanted)) = pair.events.pop() else { panic!("{:?}", pair.events) };
            assert_eq!((wanted.names()[0].as_str(), wanted.query().as_str()), ("live/studio", "key=x"));
            let mut to_client = Vec::new();
            pair.server.accept_play(&mut to_client);
            assert_eq!(pair.client_gets(&to_client).unwrap(), Some(Answer::Accepted { stream: 1 }));
            // What says that samples may be accessed.
            pair.media.clear();
            let body = Bytes::from_static(b"\x17\x01\0\0\0frame");
            let frame = Message { kind: kind::VIDEO, stream: 1, time: 40, payload: body.clone() };
            to_client.clear();
            chunk::write(&frame, super::super::control::CHUNK, &mut to_client);
            assert_eq!(pair.client_gets(&to_client).unwrap(), None);
            assert_eq!(pair.media, [TagBody { kind: tag::VIDEO, time: 40, body }]);
            to_client.clear();
            pair.server.end_play("the stream ends", &mut to_client);
            let end = Answer::Refused("NetStream.Play.Stop: the stream ends".to_owned());
            assert_eq!(pair.client_gets(&to_client).unwrap(), Some(end));
            pair.client.finish(&mut pair.to_server);
            pair.exchange(size);
            assert_eq!(pair.events, [Event::Ended]);
        }
    }

    #[test]
    fn a_refusal_has_its_reason() {
        let mut pair = Pair::new(Purpose::Publish);
        pair.exchange(500);
        let mut to_client = Vec::new();
        pair.server.refuse("NetStream.Publish.Denied", "wrong\nkey", &mut to_client);
        let answer = pair.client_gets(&to_client).unwrap();
        assert_eq!(answer, Some(Answer::Refused("NetStream.Publish.Denied: wrong key".to_owned())));
    }

    #[test]
    fn servers_that_know_less_are_answered() {
        let mut out = Vec::new();
        let mut client = Client::new(request(Purpose::Publish), &mut out);
        client.push(&[&[3][..], &[0; ANSWER - 1]].concat(), &mut out, &mut Vec::new()).unwrap();
        let mut say = |message: &Message| {
            let mut bytes = Vec::new();
            chunk::write(message, 128, &mut bytes);
            client.push(&bytes, &mut out, &mut Vec::new()).unwrap()
        };
        assert_eq!(say(&command::user_control(6, 99)), None);
        assert_eq!(say(&command::result(1.0, &[Value::Null, command::object(&[("level", "status")])])), None);
        assert_eq!(
            say(&command::message("_error", 2.0, &[Value::Null, command::object(&[("code", "Unknown")])], 0)),
            None
        );
        assert_eq!(say(&command::result(4.0, &[Value::Null, Value::Number(7.0)])), None);
        assert_eq!(
            say(&command::status("status", "NetStream.Publish.Start", "")),
            Some(Answer::Accepted { stream: 7 })
        );
        assert!(!client.knows_four_cc());
        let (mut reader, mut found) = (ChunkReader::default(), Vec::new());
        reader.push(&out[ANSWER..], &mut found).unwrap();
        assert!(found.contains(&command::user_control(7, 99)));
        let mut client = Client::new(request(Purpose::Publish), &mut Vec::new());
        assert_eq!(client.push(b"HTTP/1.1", &mut out, &mut Vec::new()), Err(NotRtmp(b'H').into()));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(
            bytes in prop::collection::vec(prop_oneof![Just(2u8), Just(3u8), Just(0u8), Just(20u8), any::<u8>()], 0..400),
            size in 1usize..99,
            plays: bool,
        ) {
            let mut pair = Pair::new(if plays { Purpose::Play } else { Purpose::Publish });
            pair.exchange(4000);
            for piece in bytes.chunks(size) {
                if pair.client_gets(piece).is_err() {
                    break;
                }
            }
        }
    }
}
