//! Messages of RTSP (RFC 2326) and the packets between them. Pure: bytes go in, in pieces of any size.

use bytes::{Buf, Bytes, BytesMut};
use std::fmt::Write;

/// Longest head of a message. Requests of clients have some hundred bytes.
const MAX_HEAD: usize = 16 << 10;
/// Most header fields.
const MAX_FIELDS: usize = 64;
/// Longest body. Descriptions of publishers have a few thousand bytes.
const MAX_BODY: usize = 64 << 10;
/// What both requests of a tunnel have in common.
pub const COOKIE: &str = "x-sessioncookie";
/// What begins a packet between messages (section 10.12).
const PACKET: u8 = b'$';
/// Bytes before a packet: `$`, the channel, the length.
pub const PACKET_HEAD: usize = 4;

/// What comes from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A request.
    Request(Request),
    /// A packet on a channel.
    Packet {
        /// Its channel.
        channel: u8,
        /// Its bytes.
        bytes: Bytes,
    },
    /// A request of HTTP, which opens one half of a [tunnel](super::tunnel). Its body is what follows.
    Tunnel(Request),
    /// A response to a request of ours. A server makes none, and ignores it.
    Response(Response),
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `DESCRIBE`.
    pub method: String,
    /// The address, or `*`.
    pub target: String,
    /// Names and values of the header fields, in order.
    fields: Vec<(String, String)>,
    /// The body, by `Content-Length`.
    pub body: Bytes,
}

/// A response of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 200 to 299 when it is done.
    pub status: u16,
    /// The words behind the status.
    pub reason: String,
    fields: Vec<(String, String)>,
    /// The body, by `Content-Length`.
    pub body: Bytes,
}

/// Bytes that are no message. Nothing after them can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The head is too long.
    #[error("the head of the request has more than {MAX_HEAD} bytes or {MAX_FIELDS} fields")]
    Head,
    /// The body is too long, or its length is no number.
    #[error("the body of the request has no valid Content-Length, or more than {MAX_BODY} bytes")]
    Body,
    /// It is not `METHOD target RTSP/1.0`.
    #[error("this is not a request of RTSP/1.0")]
    Line,
    /// A field without a colon, or with control characters.
    #[error("a header field of the request is not valid")]
    Field,
}

impl MessageError {
    /// The status of the response.
    pub const fn status(self) -> Status {
        match self {
            Self::Head | Self::Body => Status::TooLarge,
            Self::Line | Self::Field => Status::BadRequest,
        }
    }
}

/// Takes bytes of one connection.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: BytesMut,
    /// Up to here there is no end of a head.
    seen: usize,
}

impl Parser {
    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// What is complete, if anything is. To be called until there is nothing.
    ///
    /// # Errors
    /// When the bytes are no message; the connection is to be closed then.
    pub fn take(&mut self) -> Result<Option<Received>, MessageError> {
        // Empty lines between messages keep connections alive.
        while let Some(b'\r' | b'\n') = self.buffer.first() {
            self.buffer.advance(1);
            self.seen = 0;
        }
        if self.buffer.first() == Some(&PACKET) {
            return Ok(self.packet());
        }
        let Some((head, end)) = self.head()? else { return Ok(None) };
        let head = head.to_vec();
        let text = std::str::from_utf8(&head).map_err(|_| MessageError::Line)?;
        let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let first = lines.next().unwrap_or_default();
        let status = if first.starts_with("RTSP/") { Some(status_line(first)?) } else { None };
        let (method, target, is_http) = if status.is_some() { ("", "", false) } else { request_line(first)? };
        let (method, target) = (method.to_owned(), target.to_owned());
        let fields = fields(lines)?;
        if is_http {
            values(&fields, COOKIE).next().ok_or(MessageError::Line)?;
            self.buffer.advance(end);
            self.seen = 0;
            return Ok(Some(Received::Tunnel(Request { method, target, fields, body: Bytes::new() })));
        }
        let lengths: Vec<_> = values(&fields, "content-length").collect();
        let length = match lengths[..] {
            [] => 0,
            [length] => length.parse().ok().filter(|length| *length <= MAX_BODY).ok_or(MessageError::Body)?,
            _ => return Err(MessageError::Body),
        };
        if self.buffer.len() < end + length {
            return Ok(None);
        }
        self.buffer.advance(end);
        self.seen = 0;
        let body = self.buffer.split_to(length).freeze();
        if let Some((status, reason)) = status {
            return Ok(Some(Received::Response(Response { status, reason, fields, body })));
        }
        Ok(Some(Received::Request(Request { method, target, fields, body })))
    }

    /// What was not understood yet.
    pub fn into_rest(self) -> BytesMut {
        self.buffer
    }

    fn packet(&mut self) -> Option<Received> {
        let &[_, channel, high, low] = self.buffer.first_chunk::<PACKET_HEAD>()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if self.buffer.len() < PACKET_HEAD + length {
            return None;
        }
        self.buffer.advance(PACKET_HEAD);
        self.seen = 0;
        Some(Received::Packet { channel, bytes: self.buffer.split_to(length).freeze() })
    }

    /// The head without the empty line at its end, and where what follows begins.
    fn head(&mut self) -> Result<Option<(&[u8], usize)>, MessageError> {
        let begin = self.seen.saturating_sub(3);
        let searched = self.buffer.get(begin..).unwrap_or_default();
        let ends = searched.iter().enumerate().filter(|(_, byte)| **byte == b'\n').find_map(|(at, _)| {
            let rest = searched.get(at + 1..)?;
            let skip = if rest.starts_with(b"\n") {
                1
            } else if rest.starts_with(b"\r\n") {
                2
            } else {
                return None;
            };
            Some((begin + at, begin + at + 1 + skip))
        });
        match ends {
            Some((end, _)) if end > MAX_HEAD => Err(MessageError::Head),
            Some((end, next)) => Ok(self.buffer.get(..end).map(|head| (head, next))),
            None if self.buffer.len() > MAX_HEAD => Err(MessageError::Head),
            None => {
                self.seen = self.buffer.len();
                Ok(None)
            }
        }
    }
}

fn status_line(line: &str) -> Result<(u16, String), MessageError> {
    let mut parts = line.splitn(3, ' ');
    let (_version, status, reason) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
    let status = status.and_then(|status| status.parse().ok()).filter(|status| (100..1000).contains(status));
    let reason = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Ok((status.ok_or(MessageError::Line)?, reason))
}

/// Method, target, and whether it is of HTTP.
fn request_line(line: &str) -> Result<(&str, &str, bool), MessageError> {
    let mut parts = line.split(' ').filter(|part| !part.is_empty());
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(MessageError::Line);
    };
    let is_method = method.len() <= 32 && method.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let is_http = version.starts_with("HTTP/1.") && matches!(method, "GET" | "POST");
    let is_known = is_http || version.starts_with("RTSP/1.");
    let is_valid = is_method && is_known && !target.chars().any(char::is_control);
    is_valid.then_some((method, target, is_http)).ok_or(MessageError::Line)
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<(String, String)>, MessageError> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines {
        // A line that begins with a space continues the one before.
        if let (true, Some((_, value))) = (line.starts_with([' ', '\t']), fields.last_mut()) {
            value.push(' ');
            value.push_str(line.trim());
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(MessageError::Field)?;
        let (name, value) = (name.trim(), value.trim());
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_name || value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(MessageError::Field);
        }
        if fields.len() == MAX_FIELDS {
            return Err(MessageError::Head);
        }
        fields.push((name.to_owned(), value.to_owned()));
    }
    Ok(fields)
}

fn values<'a>(fields: &'a [(String, String)], name: &str) -> impl Iterator<Item = &'a str> {
    fields.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

impl Response {
    /// The first value of a header field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields(name).next()
    }

    /// All values of a header field.
    pub fn fields(&self, name: &str) -> impl Iterator<Item = &str> {
        values(&self.fields, name)
    }
}

impl Request {
    /// The first value of a header field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields(name).next()
    }

    /// All values of a header field.
    pub fn fields(&self, name: &str) -> impl Iterator<Item = &str> {
        values(&self.fields, name)
    }

    /// The session that it names, without parameters.
    pub fn session(&self) -> Option<&str> {
        self.field("session").map(|value| value.split(';').next().unwrap_or_default().trim())
    }

    /// An option that the server must have; it has none.
    pub fn required(&self) -> Option<&str> {
        self.field("require").or(self.field("proxy-require"))
    }

    /// The number that the response repeats; only what can be a number.
    pub fn number(&self) -> &str {
        let number = self.field("cseq").unwrap_or("0");
        let is_number = (1..=20).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { number } else { "0" }
    }
}

/// The status of a response (section 7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok,
    /// The request cannot be understood.
    BadRequest,
    /// Who asks must prove who that is.
    Unauthorized,
    /// Who asks may not do this.
    Forbidden,
    /// There is no such stream.
    NotFound,
    /// There is no such method here.
    NotAllowed,
    /// The stream cannot be had in a form that the client takes.
    NotAcceptable,
    /// Head or body are too long.
    TooLarge,
    /// What is announced cannot be read.
    UnsupportedMedia,
    /// There are too many of this.
    TooMany,
    /// There is no such session, or it is that of someone else.
    NoSession,
    /// The method is not for this state.
    NotInThisState,
    /// Only the address of the whole stream will do, or only that of a track.
    AggregateNotAllowed,
    /// None of the transports that the client offers.
    UnsupportedTransport,
    /// There is no such method.
    NotImplemented,
    /// The stream cannot be had now.
    Unavailable,
    /// There is an option that is required and unknown.
    NotSupported,
}

impl Status {
    /// Number and reason.
    pub const fn line(self) -> (u16, &'static str) {
        match self {
            Self::Ok => (200, "OK"),
            Self::BadRequest => (400, "Bad Request"),
            Self::Unauthorized => (401, "Unauthorized"),
            Self::Forbidden => (403, "Forbidden"),
            Self::NotFound => (404, "Not Found"),
            Self::NotAllowed => (405, "Method Not Allowed"),
            Self::NotAcceptable => (406, "Not Acceptable"),
            Self::TooLarge => (413, "Request Entity Too Large"),
            Self::UnsupportedMedia => (415, "Unsupported Media Type"),
            Self::TooMany => (429, "Too Many Requests"),
            Self::NoSession => (454, "Session Not Found"),
            Self::NotInThisState => (455, "Method Not Valid In This State"),
            Self::AggregateNotAllowed => (459, "Aggregate Operation Not Allowed"),
            Self::UnsupportedTransport => (461, "Unsupported Transport"),
            Self::NotImplemented => (501, "Not Implemented"),
            Self::Unavailable => (503, "Service Unavailable"),
            Self::NotSupported => (551, "Option not supported"),
        }
    }
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its status.
    pub status: Status,
    fields: String,
    body: String,
}

impl Reply {
    /// A response without a body.
    pub fn new(status: Status) -> Self {
        Self { status, fields: String::new(), body: String::new() }
    }

    /// A response with a sentence for people.
    pub fn refusal(status: Status, sentence: &str) -> Self {
        Self::new(status).with_body("text/plain; charset=utf-8", format!("{sentence}\n"))
    }

    /// The response to a request to pause a live stream.
    pub fn no_pause(methods: &str) -> Self {
        Self::refusal(Status::NotAllowed, "a live stream cannot be paused: TEARDOWN ends it").with("Allow", methods)
    }

    /// The same with one field more. Line ends in the value become spaces.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let value: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let _ = write!(self.fields, "{name}: {value}\r\n");
        self
    }

    /// The same with this body.
    pub fn with_body(mut self, kind: &str, body: String) -> Self {
        self = self.with("Content-Type", kind);
        self.body = body;
        self
    }

    /// The response to the request with this number.
    pub fn bytes(&self, number: &str) -> Bytes {
        let (status, reason) = self.status.line();
        let mut text = format!("RTSP/1.0 {status} {reason}\r\nCSeq: {number}\r\nServer: voyandz\r\n{}", self.fields);
        if !self.body.is_empty() {
            let _ = write!(text, "Content-Length: {}\r\n", self.body.len());
        }
        let _ = write!(text, "\r\n{}", self.body);
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All that comes of bytes in pieces of this size.
    fn received(bytes: &[u8], size: usize) -> Result<Vec<Received>, MessageError> {
        let (mut parser, mut out) = (Parser::default(), Vec::new());
        for piece in bytes.chunks(size) {
            parser.push(piece);
            while let Some(received) = parser.take()? {
                out.push(received);
            }
        }
        Ok(out)
    }

    /// What VLC 3.0 and ffmpeg 5.1 send, with a packet, an empty line and a response between the requests.
    const CONVERSATION: &str = "OPTIONS rtsp://cam:8554/cam0 RTSP/1.0\r\nCSeq: 2\r\nUser-Agent: LibVLC/3.0.24 (LIVE555 Streaming Media v2016.11.28)\r\n\r\n\
        \r\n$\x01\0\x04\r\n\r\nRTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n\
        SET_PARAMETER rtsp://cam:8554/cam0 RTSP/1.0\nCSeq: 3\nX: a\n b\nSession: 12;timeout=60\nContent-Length: 5\n\nhello";

    #[test]
    fn messages_and_packets_are_told_apart() {
        for size in [1, 2, 3, 7, 1000] {
            let found = received(CONVERSATION.as_bytes(), size).unwrap();
            let [
                Received::Request(options),
                Received::Packet { channel: 1, bytes },
                Received::Response(response),
                Received::Request(set),
            ] = &found[..]
            else {
                panic!("{found:?}")
            };
            assert_eq!((options.method.as_str(), options.target.as_str()), ("OPTIONS", "rtsp://cam:8554/cam0"));
            assert_eq!((options.number(), options.session(), options.field("USER-agent").is_some()), ("2", None, true));
            assert_eq!(*bytes, b"\r\n\r\n"[..]);
            assert_eq!((response.status, response.reason.as_str(), response.field("CSEQ")), (200, "OK", Some("9")));
            assert_eq!((set.session(), set.field("x"), &set.body[..]), (Some("12"), Some("a b"), &b"hello"[..]));
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        #[track_caller]
        fn check(text: &str, expect: MessageError) {
            assert_eq!(received(text.as_bytes(), 999), Err(expect));
        }
        check("GET / HTTP/1.1\r\n\r\n", MessageError::Line);
        check("DESCRIBE rtsp://a b RTSP/1.0\r\n\r\n", MessageError::Line);
        check("DESCRIBE\r\n\r\n", MessageError::Line);
        check("RTSP/1.0 OK\r\n\r\n", MessageError::Line);
        check("\x16\x03\x01 x RTSP/1.0\r\n\r\n", MessageError::Line);
        check("PLAY x RTSP/1.0\r\nno colon\r\n\r\n", MessageError::Field);
        check("PLAY x RTSP/1.0\r\n: empty\r\n\r\n", MessageError::Field);
        check("PLAY x RTSP/1.0\r\nContent-Length: -1\r\n\r\n", MessageError::Body);
        check("PLAY x RTSP/1.0\r\nContent-Length: 99999999\r\n\r\n", MessageError::Body);
        check("PLAY x RTSP/1.0\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", MessageError::Body);
        check(&format!("PLAY x RTSP/1.0\r\n{}\r\n", "A: b\r\n".repeat(65)), MessageError::Head);
        check(&"x".repeat(MAX_HEAD + 1), MessageError::Head);
        check(&format!("PLAY {} RTSP/1.0\r\n\r\n", "x".repeat(MAX_HEAD)), MessageError::Head);
    }

    #[test]
    fn responses_repeat_the_number() {
        let reply = Reply::refusal(Status::NotFound, "there is no such stream").with("Session", "1\r\nEvil: 2");
        let text = String::from_utf8(reply.bytes("7").to_vec()).unwrap();
        assert!(text.starts_with("RTSP/1.0 404 Not Found\r\nCSeq: 7\r\n"), "{text}");
        assert!(
            text.contains("Session: 1  Evil: 2\r\n")
                && text.ends_with("Content-Length: 24\r\n\r\nthere is no such stream\n")
        );
        let request = |number: &str| match received(format!("PLAY x RTSP/1.0\r\nCSeq: {number}\r\n\r\n").as_bytes(), 99)
        {
            Ok(found) => match &found[..] {
                [Received::Request(request)] => request.number().to_owned(),
                other => panic!("{other:?}"),
            },
            Err(error) => panic!("{error}"),
        };
        assert_eq!([request("12"), request("x"), request("")], ["12", "0", "0"]);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>, size in 1usize..20) {
            let _ = received(&bytes, size);
            let _ = received(&[b"PLAY x RTSP/1.0\r\n", &bytes[..], b"\r\n\r\n"].concat(), size);
        }

        #[test]
        fn pieces_make_no_difference(size in 1usize..200) {
            prop_assert_eq!(received(CONVERSATION.as_bytes(), size), received(CONVERSATION.as_bytes(), 9999));
        }
    }
}
