//! A service that a test plays: each request is answered by a function, in a thread of its own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// A service on a port of its own, for as long as the test runs.
pub struct Stub {
    pub address: SocketAddr,
    got: Arc<Mutex<Vec<Asked>>>,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `POST /path`.
    pub line: String,
    pub body: String,
}

impl Asked {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// An answer: status, further headers, each with its line end, and body. `None` leaves the client waiting until it goes.
pub type Reply = Option<(u16, String, Vec<u8>)>;

/// An answer of this status and body.
pub fn reply(status: u16, body: impl Into<Vec<u8>>) -> Reply {
    Some((status, String::new(), body.into()))
}

impl Stub {
    pub fn new(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::on(listener, answer)
    }

    pub fn on(listener: TcpListener, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let (got, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let kept = got.clone();
        // Ends with the test.
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let Ok(socket) = socket else { return };
                let (kept, answer) = (kept.clone(), answer.clone());
                std::thread::spawn(move || serve(socket, &kept, &*answer));
            }
        });
        Self { address, got }
    }

    /// What was asked so far.
    pub fn got(&self) -> Vec<Asked> {
        self.got.lock().unwrap().clone()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn serve(mut socket: TcpStream, kept: &Mutex<Vec<Asked>>, answer: &dyn Fn(&Asked) -> Reply) {
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let asked = Asked { line, body: String::from_utf8(body).unwrap() };
    kept.lock().unwrap().push(asked.clone());
    match answer(&asked) {
        Some((status, headers, body)) => {
            let length = body.len();
            let _ =
                write!(socket, "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n");
            let _ = socket.write_all(&body);
        }
        None => {
            let _ = reader.read(&mut [0]);
        }
    }
}
