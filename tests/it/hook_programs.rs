//! Hooks beside events, from outside: programs that run as long as something is published or played, and heartbeats.

use crate::{
    api::{VIEWER, admin, watch, yaml},
    rig::{
        SOON, Server, have, http,
        publisher::{H264_AAC, Publisher},
        receiver::Receiver,
        script::shell,
        secs, wait_until,
    },
};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    net::TcpStream,
    path::{Path, PathBuf},
};

/// A program that writes down how it begins and ends, and runs until it is ended.
fn noting(file: &Path) -> String {
    let file = file.display();
    shell(&format!(
        "trap \"echo end $VOYANDZ_EVENT_SUBJECT >> {file}; exit 0\" TERM; \
         echo begin $VOYANDZ_HOOK $VOYANDZ_EVENT_TYPE $VOYANDZ_EVENT_SUBJECT $VOYANDZ_URL >> {file}; while :; do sleep 0.05; done"
    ))
}

/// What programs have written down.
struct Notes {
    _folder: tempfile::TempDir,
    file: PathBuf,
}

impl Notes {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes");
        Self { _folder: folder, file }
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn wait(&self, count: usize) -> Vec<String> {
        wait_until(&format!("{count} notes: {:?}", self.lines()), SOON, || self.lines().len() >= count);
        self.lines()
    }
}

#[test]
fn a15_a_program_runs_as_long_as_a_stream_is_played() {
    let notes = Notes::new();
    let hook =
        |names: &str| format!("hooks: {{lamp: {{run: {}, during: play, names: '{names}'}}}}\n", noting(&notes.file));
    let server = Server::start(&yaml(&hook("cam*")));
    assert!(notes.lines().is_empty());
    let viewer = watch(&server, VIEWER, "/cam.raw");
    let url = server.url("/cam.raw");
    assert_eq!(notes.wait(1), [format!("begin lamp play cam.raw {url}")]);
    // One program, however many viewers there are, as long as one is left.
    let second = watch(&server, VIEWER, "/cam.raw");
    drop(viewer);
    server.log.wait("request .*path=/cam.raw .*client left", SOON);
    let shown = admin(&server, "GET", "/hooks", None).1;
    let of = |key: &str| shown["items"][0][key].clone();
    assert_eq!(
        (of("state"), of("running"), of("delivered"), of("behind")),
        (json!("well"), json!(1), json!(1), Value::Null)
    );
    let metrics = http::request(server.address(), "GET", "/metrics", &bearer()).text();
    assert!(metrics.contains("voyandz_hook_programs{hook=\"lamp\"} 1\n"), "{metrics}");
    assert_eq!(notes.lines().len(), 1);
    drop(second);
    assert_eq!(notes.wait(2)[1], "end cam.raw");
    // The next viewer is another reason; a reload keeps what it does not change, and ends what it removes.
    let _third = watch(&server, VIEWER, "/cam.raw");
    notes.wait(3);
    server.reload(&yaml(&format!("{}pages: {{clients: true}}\n", hook("cam*"))));
    assert_eq!(notes.lines().len(), 3);
    server.reload(&yaml(&hook("other*")));
    assert_eq!(notes.wait(4)[3], "end cam.raw");
    server.reload(&yaml(&hook("*")));
    notes.wait(5);
    drop(server);
    assert_eq!(notes.wait(6)[5], "end cam.raw", "it ends with the server");
}

fn bearer() -> String {
    format!("Authorization: Bearer {}\r\n", crate::api::ADMIN)
}

#[test]
fn a15_a_program_runs_as_long_as_a_feed_is_published() {
    if !have("ffmpeg") {
        return;
    }
    let notes = Notes::new();
    let server = Server::start(&format!(
        "feeds: {{studio: {{publish: {{key: s3cret}}}}, other: {{publish: {{key: s3cret}}}}}}\n\
         streams: {{studio: {{feed: studio}}}}\n\
         hooks: {{relay: {{run: {}, during: publish}}}}\n",
        noting(&notes.file)
    ));
    // Who is connected and sends nothing is no reason.
    let mut silent = TcpStream::connect(server.address()).unwrap();
    silent.write_all(b"PUT /other?key=s3cret HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n").unwrap();
    let publisher = Publisher::put(H264_AAC, "mpegts", &server.url("/studio?key=s3cret"));
    assert_eq!(notes.wait(1), [format!("begin relay publish studio {}", server.url("/studio"))]);
    publisher.kill();
    assert_eq!(notes.wait(2)[1], "end studio");
    drop(silent);
}

#[test]
fn a_program_that_fails_starts_again_and_one_that_is_done_does_not() {
    let (notes, done) = (Notes::new(), Notes::new());
    let fails = shell(&format!("echo begin >> {}; echo no lamp >&2; exit 3", notes.file.display()));
    let ends = shell(&format!("echo begin >> {}", done.file.display()));
    let hooks = format!("hooks: {{bad: {{run: {fails}, during: play}}, good: {{run: {ends}, during: play}}}}\n");
    let server = Server::start(&yaml(&hooks));
    let viewer = watch(&server, VIEWER, "/cam.raw");
    // The pauses are 1 and 2 s.
    notes.wait(3);
    server.log.wait("program of a hook failed: it starts again .*hook=bad .*exited with code 3: no lamp", SOON);
    assert_eq!(server.log.count("program of a hook failed"), 1);
    assert_eq!(done.lines().len(), 1);
    let shown = admin(&server, "GET", "/hooks", None).1;
    let states: Vec<_> = shown["items"].as_array().unwrap().iter().map(|hook| hook["state"].clone()).collect();
    assert_eq!(states, ["failing", "well"]);
    assert_eq!(shown["items"][0]["error"], "exited with code 3: no lamp");
    // There is no event to test them with.
    assert_eq!(admin(&server, "POST", "/hooks/bad/test", None).0, 409);
    // Without a viewer there is nothing that fails.
    drop(viewer);
    wait_until("it is well", SOON, || admin(&server, "GET", "/hooks?state=well", None).1["total"] == 2);
}

#[test]
fn c12_a_controller_hears_again_and_again_how_the_server_is() {
    let (receiver, of_srs) = (Receiver::new(200), Receiver::new(200));
    let rules = format!(
        "rtmp: {{listen: 0}}\nhooks:\n  controller: {{url: 'http://{}/servers', every: 1}}\n  \
         srs: {{url: 'http://{}/', every: 1, form: srs}}\n",
        receiver.address, of_srs.address
    );
    let server = Server::start(&yaml(&rules));
    let began = std::time::Instant::now();
    let got = receiver.wait(SOON, |got| got.len() >= 4);
    assert!(began.elapsed() < secs(6), "4 beats take 3 intervals: {:?}", began.elapsed());
    let ids: Vec<_> = got.iter().map(|received| received.json()["id"].clone()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
    let beat = got[3].json();
    assert_eq!(
        (&beat["type"], beat["source"].as_str().unwrap().starts_with("/voyandz/")),
        (&json!("server.heartbeat"), true)
    );
    let data = &beat["data"];
    assert_eq!(data["server"]["listening"]["http"], server.address().to_string());
    let rtmp = server.log.wait("listening .*protocol=rtmp", SOON);
    let rtmp = crate::rig::log::field(&rtmp, "address").to_owned();
    assert_eq!(data["server"]["listening"]["rtmp"], rtmp);
    assert_eq!((&data["server"]["pid"], &data["totals"]["streams"]), (&json!(server.pid()), &json!(1)));
    let body = of_srs.wait(SOON, |got| !got.is_empty())[0].json();
    assert_eq!((&body["device_id"], &body["ip"]), (&beat["source"], &json!("127.0.0.1")));
    assert_eq!((&body["rtmp"], &body["http"]), (&json!([rtmp]), &json!([server.address().to_string()])));
    // One that fails is seen, and the next one comes all the same.
    let before = got.len();
    receiver.answer(500, "");
    server.log.wait("hook delivery failed: retrying .*hook=controller .*500", SOON);
    receiver.answer(200, "");
    receiver.wait(SOON, |got| got.iter().skip(before).any(|received| received.status == 200));
    receiver.answer(410, "");
    server.log.wait("hook disabled: its receiver responded with 410 hook=controller", SOON);
    let shown = admin(&server, "GET", "/hooks", None).1;
    assert_eq!((&shown["items"][0]["name"], &shown["items"][0]["state"]), (&json!("controller"), &json!("disabled")));
}
