//! What changes in the state, told as it does.

use crate::rig::{
    Answer, SOON, Server,
    http::{self, Next},
    millis,
    script::{H264, PICTURE, shell},
    secs, wait_until,
};
use serde_json::Value;
use std::{
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// An event of the stream, as a browser would take it.
#[derive(Debug, Clone)]
pub struct Event {
    pub id: String,
    pub kind: String,
    pub data: Value,
}

/// One who listens.
pub struct Listener {
    answer: Answer,
    text: String,
}

impl Listener {
    fn new(server: &Server) -> Self {
        Self::resume(server, "")
    }

    fn resume(server: &Server, header: &str) -> Self {
        Self::open(server, "/events", header)
    }

    /// Listens to the events of a path.
    pub fn open(server: &Server, path: &str, headers: &str) -> Self {
        let answer = http::request(server.address(), "GET", path, headers);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
        Self { answer, text: String::new() }
    }

    /// The next event; `None` when the answer ended or nothing came in time.
    pub fn next(&mut self, within: Duration) -> Option<Event> {
        let until = Instant::now() + within;
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let value = |name: &str| {
                    let value = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    value.map(|value| value.trim_start().to_owned())
                };
                // What has no data is no event: a comment, or the time to wait before coming back.
                let Some(data) = value("data") else { continue };
                let data = serde_json::from_str(&data).unwrap();
                return Some(Event { id: value("id").unwrap(), kind: value("event").unwrap(), data });
            }
            let Next::Data(data) = self.answer.next(until) else { return None };
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    pub fn event(&mut self) -> Event {
        self.next(SOON).expect("an event")
    }

    /// Events up to the one that is as wished.
    pub fn until(&mut self, wish: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        while !events.last().is_some_and(&wish) {
            events.push(self.event());
        }
        events
    }
}

fn is(event: &Event, kind: &str, name: &str) -> bool {
    event.kind == kind && event.data["name"] == name
}

#[test]
fn events_follow_a_stream_from_its_first_viewer_to_its_last() {
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}}}
        streams: {{cam.ts: {{feed: cam, video: {H264}}}}}
        "
    ));
    let mut listener = Listener::new(&server);
    let first = listener.event();
    assert_eq!(first.kind, "snapshot");
    assert_eq!(first.data["configuration"]["error"], Value::Null);
    let (feed, stream) = (&first.data["feeds"][0], &first.data["streams"][0]);
    assert_eq!((&feed["name"], &feed["state"], feed.get("readers")), (&"cam".into(), &"idle".into(), None));
    assert_eq!((&stream["name"], &stream["readers"], &stream["starts"]), (&"cam.ts".into(), &0.into(), &0.into()));

    let mut viewer = server.get("/cam.ts");
    viewer.take(1000, SOON);
    let runs = |event: &Event| is(event, "stream", "cam.ts") && event.data["state"] == "running";
    let told = listener.until(runs).pop().unwrap();
    assert_eq!((&told.data["readers"], &told.data["starts"]), (&1.into(), &1.into()));
    drop(viewer);
    let (mut left, mut rests) = (false, false);
    while !(left && rests) {
        let event = listener.event();
        left |= is(&event, "stream", "cam.ts") && event.data["readers"] == 0;
        rests |= is(&event, "feed", "cam") && event.data["state"] == "idle";
    }
    while listener.next(millis(500)).is_some() {}
    assert!(listener.next(secs(1)).is_none(), "nothing changes, nothing is told");
}

#[test]
fn events_tell_of_deaths_and_of_another_configuration() {
    let server = Server::start("feeds: {a: {command: cat}}");
    let mut listener = Listener::new(&server);
    assert_eq!(listener.event().kind, "snapshot");
    server.reload("feeds: {a: {command: cat, mode: soon}}");
    let faulty = listener.event();
    assert_eq!(faulty.kind, "configuration");
    assert!(faulty.data["error"].as_str().unwrap().contains("feeds.a.mode"), "{faulty:?}");
    let dying = shell("echo rtsp://me:geheim@cam >&2; exit 3");
    server.reload(&format!("feeds: {{b: {{command: {dying}, mode: continuous}}}}"));
    let events = listener.until(|event| is(event, "feed", "b") && event.data["restarts"].as_u64() > Some(1));
    assert!(events.iter().any(|event| is(event, "feed-gone", "a")), "{events:?}");
    assert!(events.iter().any(|event| event.kind == "configuration" && event.data["error"].is_null()), "{events:?}");
    let error = events.last().unwrap().data["last_error"].as_str().unwrap();
    assert!(error.starts_with("exited with code 3") && !error.contains("geheim"), "{error}");
}

#[test]
fn a_burst_is_few_events() {
    let server = Server::start(&format!(
        "feeds: {{f: {{command: {}, mode: continuous}}}}\nstreams: {{s: {{feed: f}}}}",
        shell("while echo tick; do sleep 0.05; done")
    ));
    let mut listener = Listener::new(&server);
    listener.event();
    let began = Instant::now();
    let viewers: Vec<_> = (0..100).map(|_| server.get("/s")).collect();
    let all = |event: &Event| is(event, "stream", "s") && event.data["readers"] == 100;
    let events = listener.until(all);
    let told = events.iter().filter(|event| is(event, "stream", "s")).count();
    let looks = began.elapsed().as_millis() / 250 + 2;
    assert!(told as u128 <= looks, "{told} events in {looks} looks");
    drop(viewers);
    listener.until(|event| event.data["readers"] == 0);
}

#[test]
fn who_comes_back_is_told_what_it_missed_and_no_more() {
    let server = Server::start(&format!(
        "feeds: {{f: {{command: {}, mode: continuous}}}}\nstreams: {{s: {{feed: f}}}}",
        shell("while echo tick; do sleep 0.05; done")
    ));
    let mut listener = Listener::new(&server);
    listener.event();
    let one = server.get("/s");
    let event = listener.until(|event| event.data["readers"] == 1).pop().unwrap();
    drop(listener);
    // Nobody listens, and what happens is not lost.
    let two = server.get("/s");
    let mut back = Listener::resume(&server, &format!("Last-Event-ID: {}\r\n", event.id));
    let missed = back.event();
    assert!(is(&missed, "stream", "s") && missed.data["readers"] == 2, "{missed:?}");
    for unknown in ["7-1", "x", "", "%00"] {
        let mut stranger = Listener::resume(&server, &format!("Last-Event-ID: {unknown}\r\n"));
        let first = stranger.event();
        assert_eq!((first.kind.as_str(), first.id), ("snapshot", missed.id.clone()), "{unknown}");
    }
    drop((one, two));
}

#[test]
fn events_end_with_the_server_and_with_their_page() {
    let mut server = Server::start("");
    let mut listener = Listener::new(&server);
    listener.event();
    server.reload("pages: {events: false}");
    listener.answer.rest(SOON);
    assert_eq!(server.get("/events").status, 404);
    server.reload("pages: {events: true}");
    let mut listener = Listener::new(&server);
    listener.event();
    server.terminate();
    listener.answer.rest(secs(2));
    server.wait(secs(10));
    assert_eq!(server.log.count("path=/events status=200 .*reason=done"), 2, "{}", server.log.text());
}

#[test]
fn listeners_are_no_more_than_there_is_room_for() {
    let server = Server::start("");
    let mut listeners: Vec<_> = (0..128).map(|_| Listener::new(&server)).collect();
    let refused = server.get("/events");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("2")));
    listeners.iter_mut().for_each(|listener| assert_eq!(listener.event().kind, "snapshot"));
    listeners.truncate(100);
    wait_until("there is room again", SOON, || server.get("/events").status == 200);
    let head = http::request(server.address(), "HEAD", "/events", "");
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
}

/// Whether the server has its end of this connection open still (proc_pid_net(5): one line a socket, the inode is 0 when it
/// is nobody's).
fn is_open(server: &Server, client: &TcpStream) -> bool {
    let port = |address: SocketAddr| format!(":{:04X}", address.port());
    let (ours, theirs) = (port(server.address()), port(client.local_addr().unwrap()));
    std::fs::read_to_string("/proc/net/tcp").unwrap().lines().skip(1).any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words[1].ends_with(&ours) && words[2].ends_with(&theirs) && words[9] != "0"
    })
}

#[test]
fn a_client_that_takes_nothing_of_an_answer_is_let_go() {
    let server = Server::start("streams: {big: {type: shot, command: [head, -c, '30000000', /dev/zero]}}");
    let deaf = http::ask(server.address(), "/big");
    server.log.wait("path=/big ", SOON);
    let began = Instant::now();
    assert!(is_open(&server, &deaf));
    wait_until("its connection is closed", secs(40), || !is_open(&server, &deaf));
    assert!(began.elapsed() > secs(8), "after {:?}", began.elapsed());
    drop(deaf);
    // One that is slow and takes something is not.
    let mut slow = server.get("/big");
    let (mut got, began) = (0, Instant::now());
    while began.elapsed() < secs(13) {
        got += slow.take(1, SOON).len();
        std::thread::sleep(millis(200));
    }
    got += slow.rest(SOON).len();
    assert_eq!(got, 30_000_000);
}
