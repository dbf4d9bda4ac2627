//! A player of RTSP (RFC 2326) that says exactly what a test wants, and keeps what comes.

use super::{SOON, Server, log::field};
use bytes::Bytes;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// A connection.
pub struct Player {
    socket: TcpStream,
    /// Where it sends, in base64, if that is another connection.
    post: Option<TcpStream>,
    address: SocketAddr,
    received: Vec<u8>,
    /// How much of that was taken.
    read: usize,
    number: u32,
    pub session: Option<String>,
}

/// A response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    /// The first value of a header field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }
}

/// What comes.
#[derive(Debug)]
pub enum Item {
    Response(Response),
    Packet(u8, Bytes),
}

/// Where a server serves RTSP.
pub fn address(server: &Server) -> SocketAddr {
    field(&server.log.wait("listening address=.* protocol=rtsp", SOON), "address").parse().unwrap()
}

impl Player {
    pub fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        Self::over(socket, address)
    }

    fn over(socket: TcpStream, address: SocketAddr) -> Self {
        Self { socket, post: None, address, received: Vec::new(), read: 0, number: 0, session: None }
    }

    /// A connection through HTTP with this cookie: the response to a `GET`, and the body of a `POST`.
    pub fn through_http(address: SocketAddr, cookie: &str) -> Self {
        let mut player = Self::connect(address);
        player.send(request_of_http("GET", cookie).as_bytes());
        let head = player.http_head();
        assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Type: application/x-rtsp-tunnelled\r\n"), "{head}");
        let mut post = TcpStream::connect(address).unwrap();
        post.set_nodelay(true).unwrap();
        post.write_all(request_of_http("POST", cookie).as_bytes()).unwrap();
        player.post = Some(post);
        player
    }

    /// The head of a response of HTTP.
    pub fn http_head(&mut self) -> String {
        let mut head = Vec::new();
        self.socket.set_read_timeout(Some(SOON)).unwrap();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    /// Sends these bytes by the `POST` as they are.
    pub fn post_raw(&mut self, bytes: &[u8]) {
        self.post.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// It has nothing more to say.
    pub fn close_post(&mut self) {
        drop(self.post.take());
    }

    /// A connection for which the kernel keeps little that was not read.
    pub fn with_little_room(address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(64 << 10).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::over(socket.into(), address)
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("rtsp://{}{path}", self.address)
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    /// The same to a server that may close the connection meanwhile.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.post {
            Some(post) => post.write_all(data_encoding::BASE64.encode(bytes).as_bytes()),
            None => self.socket.write_all(bytes),
        }
    }

    /// Requests an address or a path, with further lines, and reads the response. Packets that come before it are dropped.
    pub fn ask(&mut self, method: &str, target: &str, lines: &str) -> Response {
        self.number += 1;
        let target = if target.starts_with('/') { self.url(target) } else { target.to_owned() };
        let session = self.session.as_ref().map(|id| format!("Session: {id}\r\n")).unwrap_or_default();
        let request = format!("{method} {target} RTSP/1.0\r\nCSeq: {}\r\n{session}{lines}\r\n", self.number);
        self.send(request.as_bytes());
        loop {
            if let Item::Response(response) = self.next(SOON).expect("a response") {
                assert_eq!(response.field("CSeq"), Some(self.number.to_string().as_str()), "{response:?}");
                return response;
            }
        }
    }

    /// Sets up the tracks with these numbers, over this connection.
    pub fn setup(&mut self, path: &str, tracks: &[usize]) {
        for track in tracks {
            let channels = format!("{}-{}", 2 * track, 2 * track + 1);
            let lines = format!("Transport: RTP/AVP/TCP;unicast;interleaved={channels}\r\n");
            let response = self.ask("SETUP", &format!("{path}/trackID={track}"), &lines);
            assert_eq!(response.status, 200, "{response:?}");
            self.take_session(&response);
        }
    }

    pub fn take_session(&mut self, response: &Response) {
        let id = response.field("Session").unwrap().split(';').next().unwrap();
        self.session = Some(id.to_owned());
    }

    /// Plays these tracks of a path; returns the response to `PLAY`.
    pub fn play(&mut self, path: &str, tracks: &[usize]) -> Response {
        let response = self.ask("DESCRIBE", path, "Accept: application/sdp\r\n");
        assert_eq!(response.status, 200, "{response:?}");
        self.setup(path, tracks);
        let response = self.ask("PLAY", path, "Range: npt=0.000-\r\n");
        assert_eq!(response.status, 200, "{response:?}");
        response
    }

    /// The next packet.
    pub fn packet(&mut self) -> (u8, Bytes) {
        match self.next(SOON) {
            Some(Item::Packet(channel, bytes)) => (channel, bytes),
            other => panic!("{other:?}"),
        }
    }

    /// What comes next; `None` at the end of the connection.
    pub fn next(&mut self, within: Duration) -> Option<Item> {
        let until = Instant::now() + within;
        loop {
            if let Some(item) = self.parse() {
                return Some(item);
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nothing came within {within:?}");
            self.socket.set_read_timeout(Some(left)).unwrap();
            let mut buffer = [0; 64 << 10];
            match self.socket.read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => {
                    self.received.drain(..self.read);
                    self.read = 0;
                    self.received.extend(&buffer[..read]);
                }
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn parse(&mut self) -> Option<Item> {
        let left = &self.received[self.read..];
        if let [b'$', channel, high, low, rest @ ..] = left {
            let (channel, length) = (*channel, usize::from(u16::from_be_bytes([*high, *low])));
            let packet = Bytes::copy_from_slice(rest.get(..length)?);
            self.read += 4 + length;
            return Some(Item::Packet(channel, packet));
        }
        let end = left.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(left[..end].to_vec()).unwrap();
        assert!(head.starts_with("RTSP/1.0 "), "{head}");
        let mut response = Response { status: head[9..12].parse().unwrap(), head, body: String::new() };
        let length: usize = response.field("Content-Length").map_or(0, |length| length.parse().unwrap());
        response.body = String::from_utf8(left.get(end..end + length)?.to_vec()).unwrap();
        self.read += end + length;
        Some(Item::Response(response))
    }
}

/// Half of a tunnel, as ffmpeg and VLC request it.
pub fn request_of_http(method: &str, cookie: &str) -> String {
    let more = match method {
        "POST" => "Content-Type: application/x-rtsp-tunnelled\r\nContent-Length: 32767\r\n",
        _ => "Accept: application/x-rtsp-tunnelled\r\n",
    };
    format!("{method} /cam HTTP/1.1\r\nX-SessionCookie: {cookie}\r\nPragma: no-cache\r\n{more}\r\n")
}
