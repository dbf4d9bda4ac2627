//! Hooks from outside: receivers get every event in order, whatever happens to them or to the server.

use crate::{
    api::{ADMIN, EDITOR, VIEWER, admin, ask, watch, yaml},
    rig::{
        SOON, Server, process,
        receiver::{Received, Receiver},
        secs, wait_until,
    },
};
use aws_lc_rs::hmac;
use data_encoding::BASE64;
use rustix::process::Signal;
use serde_json::json;
use std::{fs, io::Write, path::Path, time::SystemTime};

const OLD: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn with_hook(state: Option<&Path>, hook: &str) -> String {
    let state = state.map(|state| format!("statedir: {}\n", state.display())).unwrap_or_default();
    yaml(&format!("hooks: {{h: {{{hook}}}}}\n{state}"))
}

/// The types and numbers of what was accepted.
fn accepted(got: &[Received]) -> Vec<(String, u64)> {
    let good = got.iter().filter(|received| received.status == 200);
    good.map(|received| {
        let event = received.json();
        (event["type"].as_str().unwrap().to_owned(), event["id"].as_str().unwrap().parse().unwrap())
    })
    .collect()
}

fn count(got: &[Received], kind: &str) -> usize {
    accepted(got).iter().filter(|(found, _)| found == kind).count()
}

#[test]
fn a11_a_webhook_is_signed_and_tried_until_it_is_taken() {
    let receiver = Receiver::new(500);
    let hook = format!(
        "url: 'http://{}/hook?x=1', secret: [whsec_{OLD}, whsec_{NEW}], events: [viewer.*, server.started]",
        receiver.address
    );
    let server = Server::start(&with_hook(None, &hook));
    receiver.wait(SOON, |got| !got.is_empty());
    drop(watch(&server, VIEWER, "/cam.raw"));
    server.log.wait("hook delivery failed: retrying .*hook=h .*500", SOON);
    let shown = admin(&server, "GET", "/hooks", None).1;
    assert_eq!((&shown["items"][0]["name"], &shown["items"][0]["state"]), (&json!("h"), &json!("failing")), "{shown}");
    receiver.answer(200, "");
    let got = receiver.wait(SOON, |got| count(got, "viewer.left") == 1);
    let kinds: Vec<_> = accepted(&got).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["server.started", "viewer.joined", "viewer.left"]);
    // The same event again, and nothing else meanwhile.
    assert_eq!((got[0].status, got[0].json()["type"].clone()), (500, json!("server.started")));
    let refused = got.iter().filter(|received| received.status == 500);
    assert!(refused.into_iter().all(|received| received.body == got[0].body));
    let last = got.last().unwrap();
    assert!(last.head.starts_with("POST /hook?x=1 HTTP/1.1\r\n"), "{}", last.head);
    assert_eq!(last.header("content-type"), Some("application/json"));
    assert_eq!(last.header("host"), Some(receiver.address.to_string().as_str()));
    let event = last.json();
    assert_eq!(last.header("webhook-id"), event["id"].as_str());
    assert_eq!((&event["subject"], &event["data"]["user"]), (&json!("cam.raw"), &json!("token:viewer")));
    let timestamp: u64 = last.header("webhook-timestamp").unwrap().parse().unwrap();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(now - timestamp < 60);
    let text = format!("{}.{timestamp}.{}", event["id"].as_str().unwrap(), last.body);
    let sign = |key: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64.decode(key.as_bytes()).unwrap());
        format!("v1,{}", BASE64.encode(hmac::sign(&key, text.as_bytes()).as_ref()))
    };
    assert_eq!(last.header("webhook-signature"), Some(format!("{} {}", sign(OLD), sign(NEW)).as_str()));
    wait_until("it is well again", SOON, || {
        let shown = admin(&server, "GET", "/hooks", None).1;
        shown["items"][0]["state"] == "well" && shown["items"][0]["delivered"] == 3
    });
    let metrics = admin_page(&server, "/metrics");
    assert!(metrics.contains("voyandz_hook_deliveries_total{hook=\"h\",result=\"delivered\"} 3\n"), "{metrics}");
    // Neither secret nor path is shown.
    let shown = admin_page(&server, "/config");
    assert!(!shown.contains(OLD) && !shown.contains("x=1"), "{shown}");
}

fn admin_page(server: &Server, path: &str) -> String {
    crate::rig::http::request(server.address(), "GET", path, &format!("Authorization: Bearer {ADMIN}\r\n")).text()
}

#[test]
fn a11_nothing_is_lost_while_the_receiver_or_the_server_is_down() {
    let (receiver, state) = (Receiver::new(503), tempfile::tempdir().unwrap());
    let hook = format!("url: 'http://{}/', events: [viewer.left, server.*]", receiver.address);
    let text = with_hook(Some(state.path()), &hook);
    let killed = |is_well: bool, seen: usize| {
        let mut server = Server::start(&text);
        (0..20).for_each(|_| drop(watch(&server, VIEWER, "/cam.raw")));
        wait_until("all is in the journal", SOON, || {
            let page = admin(&server, "GET", "/events?type=viewer.left&after=0&limit=1000", None).1;
            page["items"].as_array().unwrap().len() == seen
        });
        if is_well {
            // Somewhere between two deliveries.
            receiver.wait(SOON, |got| count(got, "viewer.left") >= 7);
        }
        process::send(server.pid(), Signal::KILL);
        server.wait(SOON);
    };
    killed(false, 20);
    receiver.answer(200, "");
    killed(true, 40);
    let server = Server::start(&text);
    let got = receiver.wait(SOON, |got| count(got, "server.started") >= 3);
    drop(server);
    let accepted = accepted(&got);
    let numbers: Vec<u64> = accepted.iter().map(|(_, number)| *number).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] <= pair[1]), "{numbers:?}");
    let mut unique = accepted.clone();
    unique.dedup();
    assert_eq!(unique.iter().filter(|(kind, _)| kind == "viewer.left").count(), 40, "{accepted:?}");
    // A crash between a delivery and its note costs one delivery twice.
    assert!(accepted.len() - unique.len() <= 2, "{accepted:?}");
}

#[test]
fn a_receiver_that_is_gone_is_left_alone_and_one_that_waits_is_obeyed() {
    let receiver = Receiver::new(410);
    let server = Server::start(&with_hook(None, &format!("url: 'http://{}/', events: server.*", receiver.address)));
    server.log.wait("hook disabled: its receiver responded with 410", SOON);
    assert_eq!(admin(&server, "GET", "/hooks?state=disabled", None).1["total"], 1);
    assert_eq!(admin(&server, "POST", "/hooks/h/test", None).0, 202);
    assert!(crate::rig::holds_for(secs(2), || receiver.got().len() == 1));
    // Another configuration of it is another chance.
    let busy = Receiver::new(429);
    busy.answer(429, "Retry-After: 3\r\n");
    server.reload(&with_hook(None, &format!("url: 'http://{}/', events: hook.test", busy.address)));
    assert_eq!(admin(&server, "POST", "/hooks/h/test", None).0, 202);
    busy.wait(SOON, |got| got.len() == 1);
    let began = std::time::Instant::now();
    busy.answer(200, "");
    let got = busy.wait(SOON, |got| got.len() == 2);
    assert!(began.elapsed() >= secs(2), "{:?}", began.elapsed());
    assert_eq!(got[1].json()["data"]["hook"], "h");
    // Who may not manage users does not test hooks.
    assert_eq!(ask(&server, EDITOR, "POST", "/hooks/h/test", "", None).0, 403);
    assert_eq!(admin(&server, "POST", "/hooks/none/test", None).0, 404);
    // Nor does the API bring hooks without `exec`.
    let change = json!([{"op": "put", "path": ["hooks", "x"], "value": {"run": ["true"]}}]);
    assert_eq!(ask(&server, EDITOR, "POST", "/config/changes", "", Some(&change)).0, 403);
    assert_eq!(admin(&server, "POST", "/config/changes", Some(&change)).0, 403);
}

#[test]
fn a_program_gets_the_event_and_another_try() {
    let folder = tempfile::tempdir().unwrap();
    let (out, failed) = (folder.path().join("out"), folder.path().join("failed"));
    let script = format!(
        "if [ ! -e {0} ]; then touch {0}; echo not yet >&2; exit 3; fi; echo \"$VOYANDZ_HOOK $VOYANDZ_EVENT_TYPE $VOYANDZ_EVENT_SUBJECT\" >>{1}; cat >>{1}",
        failed.display(),
        out.display()
    );
    let hook = format!("run: [sh, -c, '{script}'], events: [viewer.*], names: [cam.*]");
    let server = Server::start(&with_hook(None, &hook));
    drop(watch(&server, VIEWER, "/cam.raw"));
    server.log.wait("hook delivery failed: retrying .*exited with code 3: not yet", SOON);
    let text = || fs::read_to_string(&out).unwrap_or_default();
    wait_until("both events are there", SOON, || text().lines().count() == 4);
    let text = text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines[0], lines[2]), ("h viewer.joined cam.raw", "h viewer.left cam.raw"));
    let event: serde_json::Value = serde_json::from_str(lines[3]).unwrap();
    assert_eq!(event["data"]["reason"], "client left");
    // A program that runs does not survive the server: the rig looks for it.
    server.reload(&with_hook(None, "run: [sleep, '1017'], events: hook.test"));
    assert_eq!(admin(&server, "POST", "/hooks/h/test", None).0, 202);
    wait_until("it runs", SOON, || {
        process::all().iter().any(|process| process.parent != 1 && process.command.contains("sleep 1017"))
    });
}

#[test]
fn a_receiver_for_srs_gets_its_callbacks() {
    let receiver = Receiver::new(200);
    let hook = format!("url: 'http://{}/', form: srs", receiver.address);
    let yaml = with_hook(None, &hook).replace("feeds:\n", "feeds:\n  studio: {publish: {key: secret-of-the-studio}}\n");
    let server = Server::start(&yaml);
    drop(watch(&server, VIEWER, "/cam.raw"));
    receiver.wait(SOON, |got| got.len() == 2);
    let mut socket = std::net::TcpStream::connect(server.address()).unwrap();
    let head = b"PUT /studio?key=secret-of-the-studio HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let film = include_bytes!("../data/h264-aac.ts");
    let chunk = [format!("{:x}\r\n", film.len()).as_bytes(), film, b"\r\n"].concat();
    [&head[..], &chunk].into_iter().for_each(|bytes| socket.write_all(bytes).unwrap());
    receiver.wait(SOON, |got| got.len() == 3);
    drop(socket);
    let got = receiver.wait(SOON, |got| got.len() == 4);
    // Nothing of feeds, streams or the server, of which SRS tells nothing.
    let words = |received: &Received| {
        let body = received.json();
        let text = |key: &str| body[key].as_str().unwrap().to_owned();
        (text("action"), text("app"), text("stream"))
    };
    let expect = [("on_play", "cam.raw"), ("on_stop", "cam.raw"), ("on_publish", "studio"), ("on_unpublish", "studio")];
    let expect = expect.map(|(action, stream)| (action.to_owned(), "live".to_owned(), stream.to_owned()));
    assert_eq!(got.iter().map(words).collect::<Vec<_>>(), expect);
    assert_eq!(got[0].json()["client_id"], got[1].json()["client_id"]);
}
