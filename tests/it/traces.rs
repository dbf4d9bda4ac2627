//! Traces of requests, as a collector of OpenTelemetry gets them.

use crate::rig::{
    Answer, SOON, Server, have, http, player,
    receiver::{Received, Receiver},
    script::{H264, PICTURE, shell},
    secs, wait_until,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    time::Instant,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A server with a camera that nobody watches, and a program that ticks.
fn camera(collector: SocketAddr, more: &str) -> String {
    let ticks = shell("while echo tick; do sleep 0.05; done");
    format!(
        "
        telemetry: {{otlp: 'http://{collector}'{more}}}
        rtsp: {{listen: 0}}
        pages: {{config: true}}
        feeds:
          card: {{pipeline: '{PICTURE}', mode: 60}}
          ticks: {{command: {ticks}}}
        streams:
          cam.ts: {{feed: card, video: {H264}}}
          door: {{feed: card, video: {H264}}}
          tick.raw: {{feed: ticks, container: raw}}
        "
    )
}

/// All spans that were posted.
fn spans(got: &[Received]) -> Vec<Value> {
    let mut spans = Vec::new();
    for received in got.iter().filter(|received| received.status == 200) {
        let body = received.json();
        for resource in body["resourceSpans"].as_array().unwrap() {
            for scope in resource["scopeSpans"].as_array().unwrap() {
                spans.extend(scope["spans"].as_array().unwrap().iter().cloned());
            }
        }
    }
    spans
}

/// The value of an attribute; numbers are texts as well.
fn attribute<'a>(span: &'a Value, key: &str) -> Option<&'a str> {
    let attributes = span["attributes"].as_array().unwrap();
    let value = &attributes.iter().find(|attribute| attribute["key"] == key)?["value"];
    value["stringValue"].as_str().or(value["intValue"].as_str())
}

fn is_root(span: &Value) -> bool {
    span["kind"] == 2
}

/// Waits for the request with this path; returns its span and all others of its trace.
fn trace_of(collector: &Receiver, path: &str) -> (Value, Vec<Value>) {
    let is_it = |span: &Value| is_root(span) && attribute(span, "url.path") == Some(path);
    tree(&collector.wait(SOON, |got| spans(got).iter().any(is_it)), is_it)
}

fn tree(got: &[Received], is_root: impl Fn(&Value) -> bool) -> (Value, Vec<Value>) {
    let all = spans(got);
    let root = all.iter().rfind(|span| is_root(span)).unwrap().clone();
    let is_other = |span: &&Value| span["traceId"] == root["traceId"] && span["spanId"] != root["spanId"];
    let others = all.iter().filter(is_other).cloned().collect();
    (root, others)
}

/// The names of spans with those of their parents.
fn family(root: &Value, others: &[Value]) -> BTreeMap<String, String> {
    let all: BTreeMap<_, _> =
        others.iter().chain([root]).map(|span| (span["spanId"].as_str().unwrap(), span)).collect();
    let name = |span: &Value| {
        let of = attribute(span, "voyandz.feed").filter(|_| !is_root(span));
        format!("{} {}", span["name"].as_str().unwrap(), of.unwrap_or_default()).trim().to_owned()
    };
    others.iter().map(|span| (name(span), name(all[span["parentSpanId"].as_str().unwrap()]))).collect()
}

fn time(span: &Value, key: &str) -> u64 {
    span[key].as_str().unwrap().parse().unwrap()
}

/// What became of the spans, by the result.
fn counted(server: &Server, result: &str) -> u64 {
    let text = server.get("/metrics").text();
    let series = format!("voyandz_otlp_spans_total{{result=\"{result}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&series));
    line.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

fn with_parent(server: &Server, path: &str, flags: &str) -> Answer {
    http::request(server.address(), "GET", path, &format!("traceparent: 00-{TRACE}-{PARENT}-{flags}\r\n"))
}

#[test]
fn a40_a_play_is_one_tree() {
    let collector = Receiver::new(200);
    let more = ", sample: 1, headers: {authorization: Bearer canary, x-team: video}";
    let server = Server::start(&camera(collector.address, more));
    let mut play = http::request(server.address(), "GET", "/cam.ts?header=1", "X-Request-Id: a-play\r\n");
    play.take(1000, SOON);
    let is_it = |span: &Value| attribute(span, "voyandz.request.id") == Some("a-play");
    let got = collector.wait(SOON, |got| spans(got).iter().any(is_it));
    // It is there while the stream is watched.
    play.take(1000, SOON);
    let (root, others) = tree(&got, is_it);
    let request = "GET /{stream}";
    assert_eq!((&root["name"], root.get("parentSpanId")), (&json!(request), None));
    let expect = [
        ("authorize", request),
        ("open stream", request),
        ("wait for first byte", request),
        ("start feed card", request),
        ("start stream", request),
        ("wait for first packet", "start stream"),
    ];
    let found = family(&root, &others);
    for (name, parent) in expect {
        assert_eq!(found.get(name).map(String::as_str), Some(parent), "{name} of {found:#?}");
    }
    // Whichever of both came first has started it.
    assert!(found["start worker"].starts_with("start "), "{found:#?}");
    assert!(others.len() >= 7, "{others:#?}");
    for span in &others {
        assert_eq!(span["kind"], 1);
        assert!(time(span, "startTimeUnixNano") <= time(span, "endTimeUnixNano"), "{span}");
        assert!(time(span, "startTimeUnixNano") >= time(&root, "startTimeUnixNano"), "{span}");
        assert!(time(span, "endTimeUnixNano") <= time(&root, "endTimeUnixNano"), "{span}");
    }
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/{stream}"),
        ("http.response.status_code", "200"),
        ("url.path", "/cam.ts"),
        ("network.protocol.name", "http"),
        ("network.protocol.version", "1.1"),
        ("client.address", "127.0.0.1"),
        ("voyandz.stream", "cam.ts"),
        ("voyandz.request.id", "a-play"),
    ] {
        assert_eq!(attribute(&root, key), Some(value), "{key}");
    }
    let post = got.last().unwrap();
    assert!(post.head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{}", post.head);
    assert_eq!(post.header("content-type"), Some("application/json"));
    assert_eq!((post.header("authorization"), post.header("x-team")), (Some("Bearer canary"), Some("video")));
    let resource = post.json()["resourceSpans"][0]["resource"].clone();
    let of_resource = |key| attribute(&resource, key).unwrap().to_owned();
    assert_eq!(of_resource("service.name"), "voyandz");
    assert_eq!(of_resource("service.version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(of_resource("service.instance.id").len(), 36);
    // The log leads to the trace.
    drop(play);
    let line = server.log.wait("request .*path=.*/cam.ts.* status=200", SOON);
    assert!(line.contains(&format!(" trace={} ", root["traceId"].as_str().unwrap())), "{line}");

    // The feed runs still: the next viewer has waited for none of this.
    http::request(server.address(), "GET", "/cam.ts", "X-Request-Id: next\r\n").take(1000, SOON);
    let is_next = |span: &Value| attribute(span, "voyandz.request.id") == Some("next");
    let (root, others) = tree(&collector.wait(SOON, |got| spans(got).iter().any(is_next)), is_next);
    let found = family(&root, &others);
    assert!(found.contains_key("wait for first byte") && !found.contains_key("start feed card"), "{found:#?}");

    let mut shown = server.get("/config");
    let shown = shown.text();
    assert!(shown.contains("\"authorization\": \"***\"") && !shown.contains("canary"), "{shown}");
    assert!(!server.log.text().contains("canary"));
}

#[test]
fn a40_the_program_before_decides_and_its_trace_is_continued() {
    let collector = Receiver::new(200);
    let server = Server::start(&camera(collector.address, ", sample: 0"));
    for path in ["/livez", "/api/v1/server", "/"] {
        server.get(path).text();
    }
    with_parent(&server, "/readyz", "00").text();
    for bad in ["00-x-y-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "\u{e9}"] {
        http::request(server.address(), "GET", "/readyz", &format!("traceparent: {bad}\r\n")).text();
    }
    let mut answer = with_parent(&server, "/api/v1/streams/cam.ts", "01");
    answer.text();
    let (root, others) = trace_of(&collector, "/api/v1/streams/cam.ts");
    assert_eq!((&root["traceId"], &root["parentSpanId"]), (&json!(TRACE), &json!(PARENT)));
    assert_eq!(root["name"], "GET /api/v1/streams/{name}");
    // The response names our span.
    let header = format!("00-{TRACE}-{}-01", root["spanId"].as_str().unwrap());
    assert_eq!(answer.header("traceparent"), Some(header.as_str()));
    assert_eq!(
        family(&root, &others),
        BTreeMap::from([("authorize".to_owned(), root["name"].as_str().unwrap().to_owned())])
    );
    // Nothing else was sent, before or since.
    assert_eq!(spans(&collector.got()).len(), 2);
    wait_until("it is counted", SOON, || counted(&server, "sent") == 2);
}

/// So many requests over one connection, each of which is two spans.
fn many(server: &Server, requests: usize) {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let request = format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", server.address());
    let mut buffer = vec![0; 64 << 10];
    for _ in 0..requests.div_ceil(100) {
        socket.write_all(request.repeat(100).as_bytes()).unwrap();
        let mut answers = Vec::new();
        // An answer may come in pieces: what is counted is whole.
        while answers.windows(12).filter(|window| *window == b"HTTP/1.1 200").count() < 100 {
            let read = socket.read(&mut buffer).unwrap();
            assert!(read > 0, "{}", answers.escape_ascii());
            answers.extend_from_slice(&buffer[..read]);
        }
    }
}

#[test]
fn a40_a_collector_that_fails_costs_traces_and_nothing_else() {
    let collector = Receiver::new(503);
    let server = Server::start(&camera(collector.address, ", sample: 1"));
    server.get("/livez").text();
    server.log.wait("traces cannot be sent.* collector=http.*503", SOON);
    // More than the queue has, and the batch that is tried again.
    many(&server, 1600);
    let dropped = counted(&server, "dropped");
    assert!(dropped > 0 && counted(&server, "sent") == 0);
    let began = Instant::now();
    server.get("/cam.ts").take(1000, SOON);
    assert!(began.elapsed() < secs(10), "{:?}", began.elapsed());
    collector.answer(200, "");
    server.log.wait("traces are sent again .*collector=http.* failures=", SOON);
    wait_until("the queue is empty", SOON, || counted(&server, "sent") >= 2048);
    assert_eq!(server.log.count("traces cannot be sent"), 1);
    // A refusal that lasts is not tried again.
    collector.answer(400, "");
    server.get("/livez").text();
    wait_until("what is refused is counted", SOON, || counted(&server, "failed") > 0);
    assert_eq!(server.log.count("traces cannot be sent"), 2);
}

/// A collector that takes connections and never answers.
fn silent() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn a40_a_collector_that_never_answers_delays_nobody_and_a_reload_leads_to_another() {
    let (silent, collector) = (silent(), Receiver::new(200));
    let address = silent.local_addr().unwrap();
    let server = Server::start(&camera(address, ", sample: 1"));
    server.get("/livez").text();
    // The post is under way.
    let (mut post, _) = silent.accept().unwrap();
    post.read_exact(&mut [0; 100]).unwrap();
    let began = Instant::now();
    server.get("/tick.raw").take(10, SOON);
    many(&server, 100);
    assert!(began.elapsed() < secs(8), "{:?}", began.elapsed());
    // It changes the address while the post waits for its answer.
    server.reload(&camera(collector.address, ", sample: 1"));
    let (_, others) = trace_of(&collector, "/tick.raw");
    assert!(!others.is_empty());
    assert!(spans(&collector.got()).iter().any(|span| attribute(span, "url.path") == Some("/livez")));
    assert_eq!(counted(&server, "failed"), 0);
    // Without the section there are no traces.
    let with = camera(collector.address, ", sample: 1");
    let without: String =
        with.lines().filter(|line| !line.contains("telemetry:")).map(|line| format!("{line}\n")).collect();
    server.reload(&without);
    http::request(server.address(), "GET", "/livez?off", "X-Request-Id: off\r\n").text();
    with_parent(&server, "/livez", "01").text();
    let again = Receiver::new(200);
    server.reload(&camera(again.address, ", sample: 1"));
    server.get("/readyz").text();
    let (_, others) = trace_of(&again, "/readyz");
    assert_eq!(others.len(), 1);
    let all = [spans(&collector.got()), spans(&again.got())].concat();
    assert!(all.iter().all(|span| attribute(span, "voyandz.request.id") != Some("off") && span["traceId"] != TRACE));
}

#[test]
fn a40_the_last_traces_are_sent_when_the_server_ends() {
    let collector = Receiver::new(200);
    let mut server = Server::start(&camera(collector.address, ", sample: 1"));
    server.get("/livez").text();
    server.terminate();
    assert!(server.wait(SOON).success());
    trace_of(&collector, "/livez");
    // One that does not answer delays the end by a second.
    let silent = silent();
    let mut server = Server::start(&camera(silent.local_addr().unwrap(), ", sample: 1"));
    server.get("/livez").text();
    server.terminate();
    let began = Instant::now();
    assert!(server.wait(SOON).success());
    assert!(began.elapsed() < secs(5), "{:?}", began.elapsed());
}

#[test]
fn a40_a_play_over_rtsp_is_a_tree_too() {
    if !have("ffmpeg") {
        return;
    }
    let collector = Receiver::new(200);
    let server = Server::start(&camera(collector.address, ", sample: 1"));
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-rtsp_transport", "tcp", "-i"])
        .arg(format!("rtsp://{}/door", player::address(&server)));
    let status = command.args(["-t", "0.5", "-f", "null", "-"]).stdin(Stdio::null()).status().unwrap();
    assert!(status.success());
    let is_it = |span: &Value| attribute(span, "network.protocol.name") == Some("rtsp");
    let (root, others) = tree(&collector.wait(SOON, |got| spans(got).iter().any(is_it)), is_it);
    assert_eq!((root["name"].as_str(), attribute(&root, "voyandz.stream")), (Some("play"), Some("door")));
    let found = family(&root, &others);
    assert_eq!(found.get("start feed card").map(String::as_str), Some("play"), "{found:#?}");
    assert!(found.contains_key("start worker") && found.contains_key("wait for first packet"), "{found:#?}");
}
