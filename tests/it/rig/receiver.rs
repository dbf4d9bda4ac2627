//! A receiver of webhooks that answers as a test wants.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

/// A receiver on a port of its own, for as long as the test runs.
pub struct Receiver {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    got: Mutex<Vec<Received>>,
    more: Condvar,
    /// The status of the answers, with further headers.
    answer: Mutex<(u16, &'static str)>,
}

/// What was posted.
#[derive(Debug, Clone)]
pub struct Received {
    pub head: String,
    pub body: String,
    /// What was answered.
    pub status: u16,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Receiver {
    /// One that answers with this status.
    pub fn new(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { got: Mutex::default(), more: Condvar::new(), answer: Mutex::new((status, "")) });
        let own = shared.clone();
        // Ends with the test.
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let Ok(mut socket) = socket else { return };
                let mut reader = BufReader::new(socket.try_clone().unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if reader.read_line(&mut head).unwrap_or(0) == 0 {
                        break;
                    }
                }
                if !head.ends_with("\r\n\r\n") {
                    // Its server was killed.
                    continue;
                }
                let mut received = Received { head, body: String::new(), status: 0 };
                let length = received.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
                let mut body = vec![0; length];
                if reader.read_exact(&mut body).is_err() {
                    continue;
                }
                received.body = String::from_utf8(body).unwrap();
                let (status, headers) = *own.answer.lock().unwrap();
                received.status = status;
                own.got.lock().unwrap().push(received);
                own.more.notify_all();
                let _ =
                    write!(socket, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n{headers}\r\n");
            }
        });
        Self { address, shared }
    }

    /// From now on it answers with this status.
    pub fn answer(&self, status: u16, headers: &'static str) {
        *self.shared.answer.lock().unwrap() = (status, headers);
    }

    /// What was posted so far.
    pub fn got(&self) -> Vec<Received> {
        self.shared.got.lock().unwrap().clone()
    }

    /// Waits until what was posted is as wished.
    pub fn wait(&self, within: Duration, wish: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let until = Instant::now() + within;
        let mut got = self.shared.got.lock().unwrap();
        while !wish(&got) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not within {within:?}: {got:#?}");
            got = self.shared.more.wait_timeout(got, left).unwrap().0;
        }
        got.clone()
    }
}
