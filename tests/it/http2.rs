//! HTTP/2 by clients that know beforehand that it is spoken here.

use crate::rig::{SOON, Server, have, media, millis, multipart, script::H264, secs, state, ts};
use bytes::Bytes;
use h2::{RecvStream, client, client::SendRequest};
use http::{Request, Response};
use std::{
    fs,
    future::Future,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const CAMERA: &str = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=25/1 ! queue";

fn camera(more: &str) -> Server {
    Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{CAMERA}'}}}}
        streams:
          cam.ts: {{feed: cam, video: {H264}}}
          cam.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}
          {more}
        "
    ))
}

#[test]
fn streams_over_http2_are_those_of_http1() {
    if !have("curl") {
        return;
    }
    let server = camera("");
    let folder = tempfile::tempdir().unwrap();
    let targets = [
        ("ts", "/cam.ts?header=1&keyframe=1"),
        ("mjpeg", "/cam.mjpeg?fps=5"),
        ("json", "/stat.json"),
        ("pic", "/cam.ts/pic"),
    ];
    let asked = targets.map(|(file, target)| {
        let mut curl = Command::new("curl");
        curl.args(["--no-progress-meter", "--http2-prior-knowledge", "--max-time", "4"]).current_dir(folder.path());
        curl.args(["-o", file, "-w", "%{http_version} %{response_code} %{content_type}", &server.url(target)]);
        // It complains that the streams had no end when its time was up.
        curl.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    });
    let types = asked.map(|curl| {
        let said = String::from_utf8(curl.wait_with_output().unwrap().stdout).unwrap();
        said.strip_prefix("2 200 ").unwrap_or_else(|| panic!("{said}")).to_owned()
    });
    assert_eq!((&*types[0], &*types[3]), ("video/mp2t", "image/jpeg"));
    let read = |file: &str| fs::read(folder.path().join(file)).unwrap();
    let bytes = read("ts");
    let (pictures, complaints) = media::pictures(&bytes[..bytes.len() / 188 * 188]);
    assert!(pictures.starts_with('I') && pictures.len() > 50 && complaints.is_empty(), "{pictures}: {complaints}");
    assert_eq!(ts::continuity(&bytes[..bytes.len() / 188 * 188]).0, Vec::<String>::new());
    let motion = read("mjpeg");
    let parts = multipart::parts(&types[1], &motion);
    assert!((10..26).contains(&parts.len()), "{} pictures", parts.len());
    parts.into_iter().for_each(|part| drop(media::picture(part)));
    assert!(serde_json::from_slice::<serde_json::Value>(&read("json")).unwrap()["streams"].is_array());
    assert!(read("pic").starts_with(&[0xff, 0xd8]));
    let metrics = server.get("/metrics").text();
    let line = metrics.lines().find(|line| line.contains("protocol=\"http/2\"") && line.contains("2xx")).unwrap();
    assert!(line.ends_with(" 4"), "{line}");
    server.log.wait("request .*/cam.ts.* bytes=[1-9]", SOON);
}

/// A connection whose client takes only what it says it takes.
struct Client {
    runtime: tokio::runtime::Runtime,
    requests: SendRequest<Bytes>,
    connection: tokio::task::JoinHandle<Result<(), h2::Error>>,
    authority: String,
}

impl Client {
    fn new(server: &Server) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (requests, connection) = runtime.block_on(async {
            let socket = tokio::net::TcpStream::connect(server.address()).await.unwrap();
            let (requests, connection) = client::handshake(socket).await.unwrap();
            (requests, tokio::spawn(connection))
        });
        Self { runtime, requests, connection, authority: server.address().to_string() }
    }

    fn within<T>(&self, time: Duration, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(time, future).await }).expect("not in time")
    }

    fn ask(&self, target: &str) -> Response<RecvStream> {
        self.ask_as(target, &[])
    }

    fn ask_as(&self, target: &str, headers: &[(&str, &str)]) -> Response<RecvStream> {
        let request = Request::get(format!("http://{}{target}", self.authority));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(()).unwrap();
        self.within(SOON, async {
            let (answer, _) = self.requests.clone().ready().await.unwrap().send_request(request, true).unwrap();
            answer.await.unwrap()
        })
    }
}

#[test]
fn who_takes_nothing_of_one_stream_loses_that_one_only() {
    let server = camera("quiet.ts: {command: 'sleep 1000', container: ts}");
    let client = Client::new(&server);
    let began = Instant::now();
    let mut stalled = client.ask("/cam.ts");
    let mut good = client.ask("/cam.mjpeg?fps=5");
    let reset = client.within(secs(25), async {
        // Its window is never opened again; what is in it already is read and not acknowledged.
        let reading = async {
            loop {
                match stalled.body_mut().data().await {
                    Some(Ok(_)) => {}
                    end => break end,
                }
            }
        };
        let other = async {
            let mut bytes = 0;
            loop {
                let data = good.body_mut().data().await.expect("it goes on").expect("it goes on");
                bytes += data.len();
                good.body_mut().flow_control().release_capacity(data.len()).unwrap();
                assert!(bytes < 100 << 20);
            }
        };
        tokio::select! {
            reset = reading => reset,
            () = other => unreachable!(),
        }
    });
    let error = reset.expect("a reset, not an end").unwrap_err();
    let took = began.elapsed();
    assert!(error.reason() == Some(h2::Reason::CANCEL) && took > secs(9), "{error} after {took:?}");
    server.log.wait("request .*/cam.ts.*no progress for 10 s", SOON);
    assert_eq!(client.ask("/livez").status(), 200);
    // Seen by those who count, too.
    state::wait_for(&server, "streams", "cam.ts", |stream| stream["dropped_readers"] == 1);
}

#[test]
fn throughput_and_early_heads_hold_over_http2_too() {
    let server = camera(&format!("cheap.ts: {{feed: cam, video: {H264}, throughput: true}}"));
    let client = Client::new(&server);
    // Frames that come without a pause between them were written at once.
    let bursts = |target: &str| {
        let mut answer = client.ask(target);
        client.within(SOON, async {
            let (mut count, mut last, mut begin) = (0, None, None);
            while begin.is_none_or(|begin: Instant| begin.elapsed() < secs(3)) {
                let data = answer.body_mut().data().await.unwrap().unwrap();
                let now = Instant::now();
                begin.get_or_insert(now);
                count += usize::from(last.replace(now).is_none_or(|last| now - last > millis(8)));
                answer.body_mut().flow_control().release_capacity(data.len()).unwrap();
            }
            count
        })
    };
    let counts = ["/cam.ts", "/cheap.ts"].map(bursts);
    println!("writes in 3 s: {counts:?}");
    assert!(counts[0] > 40 && (6..=14).contains(&counts[1]), "{counts:?}");
    // The head of the next part is there before the next picture is.
    let agent = [("user-agent", "Mozilla/5.0 Chrome/120.0"), ("accept", "image/avif,image/webp,*/*")];
    let mut answer = client.ask_as("/cam.mjpeg?fps=5", &agent);
    let bytes = client.within(SOON, async {
        let mut bytes = Vec::new();
        while bytes.windows(2).filter(|two| *two == [0xff, 0xd9]).count() < 3 || !bytes.ends_with(b"\r\n\r\n") {
            let data = answer.body_mut().data().await.unwrap().unwrap();
            answer.body_mut().flow_control().release_capacity(data.len()).unwrap();
            bytes.extend_from_slice(&data);
        }
        bytes
    });
    assert!(String::from_utf8_lossy(&bytes[bytes.len() - 60..]).contains("image/jpeg"), "a head is last");
}

#[test]
fn a_connection_without_a_request_is_closed() {
    let server = camera("");
    let client = Client::new(&server);
    assert_eq!(client.ask("/livez").status(), 200);
    let Client { runtime, requests, connection, .. } = client;
    let began = Instant::now();
    let ended = runtime.block_on(async { tokio::time::timeout(secs(25), connection).await });
    ended.expect("not in time").unwrap().unwrap();
    assert!(began.elapsed() > secs(5), "{:?}", began.elapsed());
    drop(requests);
}

#[test]
fn streams_end_properly_with_the_server() {
    let mut server = camera("");
    let client = Client::new(&server);
    let mut live = client.ask("/cam.ts?keyframe=1");
    assert!(client.within(SOON, live.body_mut().data()).unwrap().is_ok());
    server.terminate();
    client.within(SOON, async {
        while let Some(data) = live.body_mut().data().await {
            let length = data.expect("ended, not reset").len();
            let _ = live.body_mut().flow_control().release_capacity(length);
        }
    });
    assert!(server.wait(secs(5)).success());
}
