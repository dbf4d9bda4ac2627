//! One connection of a client: handshake, commands, and media of a publisher.

use super::{
    chunk::{ChunkError, ChunkReader, Message},
    command::{self, Command, STREAM, Wanted},
    control::{Control, MAX_COMMAND},
    handshake::{Handshake, NotRtmp},
    kind,
    tag_body::{TagBody, tag_bodies},
};
use crate::media::flv::amf::Value;

/// What the other side may send before it waits for an acknowledgement.
const WINDOW: u32 = 5_000_000;
/// Longest name of an application, of a stream and of a program.
const MAX_NAME: usize = 1024;

/// One side of a connection.
#[derive(Debug, Default)]
pub struct Server {
    handshake: Option<Handshake>,
    is_open: bool,
    reader: ChunkReader,
    wanted: Wanted,
    is_connected: bool,
    role: Role,
    control: Control,
}

/// What a connection is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Role {
    #[default]
    None,
    /// Asked for, and not decided.
    Asked,
    Publisher,
    Player,
}

/// What a client does.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It wants to publish: [`Server::accept_publish`] or [`Server::refuse`] answers.
    Publish(Wanted),
    /// It wants to play: [`Server::accept_play`] or [`Server::refuse`] answers.
    Play(Wanted),
    /// It publishes the body of a tag.
    Media(TagBody),
    /// It ends what it did.
    Ended,
}

/// Why a connection cannot continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtmpError {
    /// It is another protocol.
    #[error(transparent)]
    NotRtmp(#[from] NotRtmp),
    /// Its chunks are none.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// Too long a command.
    #[error("a command of {0} bytes, where {MAX_COMMAND} are the most")]
    LongCommand(usize),
    /// Commands in an order that cannot be.
    #[error("`{0}` before `connect`")]
    NotConnected(&'static str),
    /// A second stream.
    #[error("`{0}` while another stream is published or played: a connection has one")]
    SecondStream(&'static str),
}

impl Server {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Self { handshake: Some(Handshake::default()), ..Self::default() }
    }

    /// Whether the handshake is over.
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Takes bytes in pieces of any size; adds what is to be sent to `out`, and what the client does to `events`.
    ///
    /// # Errors
    /// When the connection cannot continue.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>, events: &mut Vec<Event>) -> Result<(), RtmpError> {
        self.control.count(bytes.len());
        let mut messages = Vec::new();
        match &mut self.handshake {
            Some(handshake) => {
                let Some(rest) = handshake.push(bytes, out)? else { return Ok(()) };
                self.handshake = None;
                self.is_open = true;
                self.reader.push(&rest, &mut messages)?;
            }
            None => self.reader.push(bytes, &mut messages)?,
        }
        for message in messages {
            self.message(&message, out, events)?;
        }
        self.control.acknowledge(out);
        Ok(())
    }

    /// The client may publish: its media becomes events.
    pub fn accept_publish(&mut self, out: &mut Vec<u8>) {
        self.role = Role::Publisher;
        self.send(&command::status("status", "NetStream.Publish.Start", "publishing"), out);
    }

    /// The client may play: media follows as messages.
    pub fn accept_play(&mut self, out: &mut Vec<u8>) {
        self.role = Role::Player;
        // Stream Begin.
        self.send(&command::user_control(0, STREAM), out);
        self.send(&command::status("status", "NetStream.Play.Reset", "playing"), out);
        self.send(&command::status("status", "NetStream.Play.Start", "playing"), out);
        let mut payload = Vec::new();
        Value::String("|RtmpSampleAccess".to_owned()).write(&mut payload);
        [true, true].iter().for_each(|may| Value::Boolean(*may).write(&mut payload));
        self.send(&Message { kind: kind::DATA, stream: STREAM, time: 0, payload: payload.into() }, out);
    }

    /// The client may not, with a code of [`command::status`] and the reason.
    pub fn refuse(&mut self, code: &str, reason: &str, out: &mut Vec<u8>) {
        self.role = Role::None;
        self.send(&command::status("error", code, reason), out);
    }

    /// The end of what is played.
    pub fn end_play(&mut self, reason: &str, out: &mut Vec<u8>) {
        self.send(&command::status("status", "NetStream.Play.UnpublishNotify", reason), out);
        // Stream EOF.
        self.send(&command::user_control(1, STREAM), out);
        self.send(&command::status("status", "NetStream.Play.Stop", reason), out);
    }

    fn send(&self, message: &Message, out: &mut Vec<u8>) {
        self.control.send(message, out);
    }

    fn message(&mut self, message: &Message, out: &mut Vec<u8>, events: &mut Vec<Event>) -> Result<(), RtmpError> {
        match message.kind {
            kind::WINDOW | kind::USER_CONTROL => self.control.take(message, out),
            kind::COMMAND | kind::COMMAND_AMF3 => {
                if message.payload.len() > MAX_COMMAND {
                    return Err(RtmpError::LongCommand(message.payload.len()));
                }
                if let Some(command) = Command::read(message) {
                    return self.command(&command, out, events);
                }
            }
            // Some send media without awaiting an answer: what precedes it must not be lost, as it has the configurations.
            _ if matches!(self.role, Role::Publisher | Role::Asked) => {
                let mut media = Vec::new();
                tag_bodies(message, &mut media);
                events.extend(media.into_iter().map(Event::Media));
            }
            _ => {}
        }
        Ok(())
    }

    fn command(&mut self, command: &Command, out: &mut Vec<u8>, events: &mut Vec<Event>) -> Result<(), RtmpError> {
        let answer = command.transaction;
        match command.name.as_str() {
            "connect" => self.connect(command, out),
            "createStream" => self.send(&command::result(answer, &[Value::Null, Value::Number(STREAM.into())]), out),
            "publish" => {
                let wanted = self.wanted("publish", command)?;
                events.push(Event::Publish(wanted));
            }
            "play" => {
                let wanted = self.wanted("play", command)?;
                events.push(Event::Play(wanted));
            }
            "deleteStream" | "closeStream" | "FCUnpublish" if self.role != Role::None => {
                self.role = Role::None;
                events.push(Event::Ended);
            }
            "deleteStream" | "closeStream" | "FCUnpublish" => {}
            "getStreamLength" => self.send(&command::result(answer, &[Value::Null, Value::Number(0.0)]), out),
            "pause" | "seek" | "receiveAudio" | "receiveVideo" => {}
            // `releaseStream`, `FCPublish`, `_checkbw` and the like only want any answer.
            _ if answer > 0.0 => self.send(&command::result(answer, &[Value::Null, Value::Null]), out),
            _ => {}
        }
        Ok(())
    }

    fn connect(&mut self, command: &Command, out: &mut Vec<u8>) {
        let text = |name: &str| {
            let text = command.member(name).and_then(Value::text).unwrap_or_default();
            text.chars().take(MAX_NAME).collect::<String>()
        };
        let agent = Some(text("flashVer")).filter(|agent| !agent.is_empty());
        let knows_four_cc = ["fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap"]
            .iter()
            .any(|name| command.member(name).is_some());
        self.wanted = Wanted { app: text("app"), name: String::new(), agent, knows_four_cc };
        self.is_connected = true;
        self.send(&command::control(kind::WINDOW, WINDOW), out);
        let bandwidth = [&WINDOW.to_be_bytes()[..], &[2]].concat();
        self.send(&Message { kind: kind::BANDWIDTH, stream: 0, time: 0, payload: bandwidth.into() }, out);
        self.control.set_chunk_size(out);
        let properties = Value::Object(vec![
            ("fmsVer".to_owned(), Value::String("FMS/3,5,7,7009".to_owned())),
            ("capabilities".to_owned(), Value::Number(31.0)),
            ("mode".to_owned(), Value::Number(1.0)),
        ]);
        // Enhanced RTMP: every codec can be decoded, encoded and forwarded, as far as it is carried.
        let any = || Value::Object(vec![("*".to_owned(), Value::Number(4.0))]);
        let info = Value::Object(vec![
            ("level".to_owned(), Value::String("status".to_owned())),
            ("code".to_owned(), Value::String("NetConnection.Connect.Success".to_owned())),
            ("description".to_owned(), Value::String("connected".to_owned())),
            ("objectEncoding".to_owned(), Value::Number(0.0)),
            ("fourCcList".to_owned(), Value::StrictArray(vec![Value::String("*".to_owned())])),
            ("videoFourCcInfoMap".to_owned(), any()),
            ("audioFourCcInfoMap".to_owned(), any()),
            // Multitrack, ModEx and reconnect requests are bits; we take the first two.
            ("capsEx".to_owned(), Value::Number(6.0)),
        ]);
        self.send(&command::result(command.transaction, &[properties, info]), out);
    }

    /// What a command wants, which is the first one to want anything.
    fn wanted(&mut self, name: &'static str, command: &Command) -> Result<Wanted, RtmpError> {
        if !self.is_connected {
            return Err(RtmpError::NotConnected(name));
        }
        if self.role != Role::None {
            return Err(RtmpError::SecondStream(name));
        }
        self.role = Role::Asked;
        let name = command.text(0).unwrap_or_default().chars().take(MAX_NAME).collect();
        Ok(Wanted { name, ..self.wanted.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        chunk,
        handshake::{ANSWER, client_hello},
    };
    use super::*;
    use crate::media::flv::tag;
    use bytes::Bytes;
    use proptest::prelude::*;

    /// A client that has shaken hands.
    struct Client {
        server: Server,
        reader: ChunkReader,
        sent: Vec<u8>,
    }

    impl Client {
        fn new() -> Self {
            let (mut server, mut out) = (Server::new(), Vec::new());
            let hello = client_hello();
            server.push(&hello, &mut out, &mut Vec::new()).unwrap();
            assert!(out.len() == ANSWER && !server.is_open());
            server.push(&hello[1..], &mut out, &mut Vec::new()).unwrap();
            assert!(server.is_open());
            Self { server, reader: ChunkReader::default(), sent: hello }
        }

        /// Sends messages in pieces; returns what the server says and does.
        fn send(&mut self, messages: &[Message], size: usize) -> Result<(Vec<Message>, Vec<Event>), RtmpError> {
            let (mut bytes, mut out, mut events, mut answers) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            messages.iter().for_each(|message| chunk::write(message, 128, &mut bytes));
            for piece in bytes.chunks(size) {
                self.server.push(piece, &mut out, &mut events)?;
            }
            self.sent.extend(&bytes);
            self.reader.push(&out, &mut answers).unwrap();
            Ok((answers, events))
        }

        fn connect(&mut self, app: &str) -> Vec<Message> {
            let connect =
                command::message("connect", 1.0, &[command::object(&[("app", app), ("flashVer", "test")])], 0);
            self.send(&[connect], 50).unwrap().0
        }
    }

    fn text(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    fn want(name: &str, what: &str) -> Message {
        command::message(name, 5.0, &[Value::Null, text(what), text("live")], STREAM)
    }

    fn media_message(kind: u8, time: u32, payload: &'static [u8]) -> Message {
        Message { kind, stream: STREAM, time, payload: Bytes::from_static(payload) }
    }

    fn names(answers: &[Message]) -> Vec<String> {
        answers.iter().filter_map(|message| Some(Command::read(message)?.name)).collect()
    }

    fn code(answer: &Message) -> String {
        let command = Command::read(answer).unwrap();
        command.arguments[1].get("code").unwrap().text().unwrap().to_owned()
    }

    #[test]
    fn an_encoder_publishes() {
        for size in [1, 13, 5000] {
            let mut client = Client::new();
            let answers = client.connect("live");
            assert_eq!(names(&answers), ["_result"]);
            assert_eq!(code(answers.last().unwrap()), "NetConnection.Connect.Success");
            let ask = |name: &str, number: f64| command::message(name, number, &[Value::Null, text("studio")], 0);
            let (answers, events) = client
                .send(
                    &[
                        ask("releaseStream", 2.0),
                        ask("FCPublish", 3.0),
                        ask("createStream", 4.0),
                        want("publish", "studio?key=x"),
                    ],
                    size,
                )
                .unwrap();
            assert_eq!(names(&answers), ["_result"; 3]);
            assert_eq!(Command::read(&answers[2]).unwrap().arguments[1], Value::Number(1.0));
            let [Event::Publish(wanted)] = &events[..] else { panic!("{events:?}") };
            assert_eq!(
                (wanted.names(), wanted.query()),
                (vec!["live/studio".to_owned(), "studio".to_owned()], "key=x".to_owned())
            );
            // What comes before it is accepted is not lost.
            let early = media_message(kind::VIDEO, 0, b"\x17\0\0\0\0config");
            let (_, events) = client.send(&[early], size).unwrap();
            assert!(matches!(&events[..], [Event::Media(media)] if media.body.ends_with(b"config")), "{events:?}");
            let frame = media_message(kind::VIDEO, 40, b"\x17\x01\0\0\0frame");
            let mut out = Vec::new();
            client.server.accept_publish(&mut out);
            let mut answers = Vec::new();
            client.reader.push(&out, &mut answers).unwrap();
            assert_eq!(code(&answers[0]), "NetStream.Publish.Start");
            let (_, events) = client.send(&[frame, media_message(kind::AUDIO, 41, b"\xaf\x01")], size).unwrap();
            let body = Bytes::from_static(b"\x17\x01\0\0\0frame");
            let audio = Event::Media(TagBody { kind: tag::AUDIO, time: 41, body: Bytes::from_static(b"\xaf\x01") });
            assert_eq!(events, [Event::Media(TagBody { kind: tag::VIDEO, time: 40, body }), audio]);
            let unpublish = command::message("FCUnpublish", 6.0, &[Value::Null, text("studio")], 0);
            assert_eq!(client.send(&[unpublish.clone(), unpublish], size).unwrap().1, [Event::Ended]);
        }
    }

    #[test]
    fn a_player_is_refused_or_gets_what_it_expects() {
        let mut client = Client::new();
        client.connect("");
        let (_, events) = client.send(&[want("play", "cam0")], 500).unwrap();
        assert!(matches!(&events[..], [Event::Play(wanted)] if wanted.names() == ["cam0"]));
        let (mut out, mut answers) = (Vec::new(), Vec::new());
        client.server.refuse("NetStream.Play.StreamNotFound", "no such stream", &mut out);
        client.reader.push(&out, &mut answers).unwrap();
        assert_eq!(code(&answers[0]), "NetStream.Play.StreamNotFound");
        // It may ask again.
        assert_eq!(client.send(&[want("play", "cam1")], 500).unwrap().1.len(), 1);
        let (mut out, mut answers) = (Vec::new(), Vec::new());
        client.server.accept_play(&mut out);
        client.reader.push(&out, &mut answers).unwrap();
        let kinds: Vec<_> = answers.iter().map(|message| message.kind).collect();
        assert_eq!(kinds, [kind::USER_CONTROL, kind::COMMAND, kind::COMMAND, kind::DATA]);
    }

    #[test]
    fn pings_are_answered_and_bytes_acknowledged() {
        let mut client = Client::new();
        let (answers, _) = client.send(&[command::user_control(6, 1234)], 3).unwrap();
        assert_eq!(answers, [command::user_control(7, 1234)]);
        client.send(&[command::control(kind::WINDOW, 4000)], 3).unwrap();
        let (answers, _) = client.send(&[media_message(kind::AUDIO, 0, &[0; 3000])], 100).unwrap();
        assert!(!answers.is_empty() && answers.iter().all(|answer| answer.kind == kind::ACKNOWLEDGEMENT));
    }

    #[test]
    fn commands_in_another_order_end_the_connection() {
        let mut client = Client::new();
        assert_eq!(client.send(&[want("publish", "x")], 99), Err(RtmpError::NotConnected("publish")));
        let mut client = Client::new();
        client.connect("live");
        let both = [want("publish", "x"), want("play", "y")];
        assert_eq!(client.send(&both, 99), Err(RtmpError::SecondStream("play")));
        let mut client = Client::new();
        let long = Message { kind: kind::COMMAND, ..media_message(0, 0, &[2; MAX_COMMAND + 1]) };
        assert_eq!(client.send(&[long], 9999), Err(RtmpError::LongCommand(MAX_COMMAND + 1)));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(
            bytes in prop::collection::vec(prop_oneof![Just(2u8), Just(3u8), Just(0u8), Just(20u8), any::<u8>()], 0..400),
            size in 1usize..99, is_publisher: bool,
        ) {
            let mut client = Client::new();
            client.connect("live");
            if is_publisher {
                client.send(&[want("publish", "x")], 99).unwrap();
                client.server.accept_publish(&mut Vec::new());
            }
            let (mut out, mut events) = (Vec::new(), Vec::new());
            for piece in bytes.chunks(size) {
                if client.server.push(piece, &mut out, &mut events).is_err() {
                    break;
                }
            }
        }

        #[test]
        fn commands_of_any_content_never_panic(name in "connect|createStream|publish|play|deleteStream|x", payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut client = Client::new();
            let mut body = Vec::new();
            text(&name).write(&mut body);
            body.extend(payload);
            let _ = client.send(&[Message { kind: kind::COMMAND, stream: 0, time: 0, payload: body.into() }], 300);
        }
    }
}
