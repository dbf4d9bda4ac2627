//! The journal from outside: what happened, in order, also over restarts, and who may know it.

use crate::{
    api::{ADMIN, VIEWER, admin, ask, watch, yaml},
    events::{Event, Listener},
    rig::{
        Launch, SOON, Server, http, process,
        script::{H264, PICTURE},
        secs, srt, wait_until,
    },
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

/// Listens to the events of the API.
fn follow(server: &Server, token: &str, query: &str, headers: &str) -> Listener {
    let headers = format!("Accept: text/event-stream\r\nAuthorization: Bearer {token}\r\n{headers}");
    Listener::open(server, &format!("/api/v1/events{query}"), &headers)
}

fn with_state(folder: &Path, rules: &str) -> String {
    yaml(&format!("statedir: {}\n{rules}", folder.display()))
}

fn numbers(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.id.parse().unwrap()).collect()
}

fn is_growing(numbers: &[u64]) -> bool {
    numbers.windows(2).all(|pair| pair[0] < pair[1])
}

#[test]
fn what_happens_is_told_in_order_with_who_and_why() {
    let server = Server::start(&yaml("pages: {clients: true}\napi: {exec: true}\n"));
    let mut listener = follow(&server, ADMIN, "?after=0", "");
    assert_eq!(listener.event().kind, "server.started");
    let viewer = watch(&server, VIEWER, "/cam.raw");
    // Whichever comes first.
    let mut events = Vec::new();
    let has = |events: &[Event], kind: &str| events.iter().any(|event| event.kind == kind);
    while !["viewer.joined", "feed.started", "feed.running"].iter().all(|kind| has(&events, kind)) {
        events.push(listener.event());
    }
    let joined = events.iter().find(|event| event.kind == "viewer.joined").unwrap();
    let data = &joined.data;
    assert_eq!(
        (&data["specversion"], &data["subject"], &data["id"]),
        (&json!("1.0"), &json!("cam.raw"), &json!(joined.id))
    );
    assert_eq!((&data["data"]["user"], &data["data"]["protocol"]), (&json!("token:viewer"), &json!("http")));
    assert_eq!(data["data"]["address"], "127.0.0.1");
    drop(viewer);
    let left = listener.until(|event| event.kind == "viewer.left").pop().unwrap();
    assert_eq!(left.data["data"]["reason"], "client left", "{left:?}");
    assert!(left.data["data"]["bytes"].as_u64().unwrap() > 0);
    // A feed that dies says why.
    let script = "echo rtsp://me:geheim@cam >&2; exit 3";
    let dying = json!({"command": ["sh", "-c", script], "mode": "continuous"});
    assert_eq!(admin(&server, "PUT", "/config/feeds/dying", Some(&dying)).0, 201);
    // It may die before the change is reported.
    let mut events = Vec::new();
    while !["config.changed", "feed.failed"].iter().all(|kind| has(&events, kind)) {
        events.push(listener.event());
    }
    let changed = events.iter().find(|event| event.kind == "config.changed").unwrap();
    let data = &changed.data["data"];
    assert_eq!((&data["by"], &data["paths"]), (&json!("token:admin"), &json!(["feeds.dying"])), "{changed:?}");
    assert_eq!((&data["begun"], &data["address"]), (&json!(["feed dying"]), &json!("127.0.0.1")));
    let failed = &events.iter().find(|event| event.kind == "feed.failed").unwrap().data;
    assert_eq!(failed["subject"], "dying");
    let reason = failed["data"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("exited with code 3") && !reason.contains("geheim"), "{failed}");
    // Orders and what is refused.
    assert_eq!(admin(&server, "POST", "/feeds/ticks/stop", None).0, 202);
    let ordered = listener.until(|event| event.kind == "feed.ordered").pop().unwrap();
    assert_eq!((&ordered.data["data"]["order"], &ordered.data["data"]["by"]), (&json!("stop"), &json!("token:admin")));
    assert_eq!(ask(&server, "vyz_wrong", "GET", "/feeds", "", None).0, 401);
    let refused = listener.until(|event| event.kind == "auth.refused").pop().unwrap();
    assert_eq!(
        (&refused.data["data"]["mechanism"], &refused.data["data"]["address"]),
        (&json!("token"), &json!("127.0.0.1"))
    );
    let bad = json!({"feed": "none"});
    assert_eq!(admin(&server, "PUT", "/config/streams/x.raw", Some(&bad)).0, 422);
    let refused = listener.until(|event| event.kind == "config.refused").pop().unwrap();
    assert_eq!(
        (&refused.data["data"]["reason"], &refused.data["data"]["by"]),
        (&json!("faults"), &json!("token:admin"))
    );
    server.reload("feeds: {a: {command: cat, mode: soon}}");
    assert_eq!(listener.until(|event| event.kind == "config.rejected").pop().unwrap().data["data"]["faults"], 1);
}

#[test]
fn viewers_of_other_protocols_are_told_and_ended_too() {
    let text = yaml("  anyone: [view]\nsrt: {listen: '127.0.0.1:0'}\n");
    let text = text.replace("feeds:\n", &format!("feeds:\n  test: {{pipeline: '{PICTURE}'}}\n"));
    let text = text.replace("streams:\n", &format!("streams:\n  cam.ts: {{feed: test, video: {H264}}}\n"));
    let server = Server::start(&text);
    let mut listener = follow(&server, ADMIN, "?type=viewer.*", "");
    let caller = srt::Caller::new(srt::port(&server), 7, "cam.ts");
    caller.connect().unwrap();
    let joined = listener.event();
    assert_eq!((joined.kind.as_str(), &joined.data["data"]["protocol"]), ("viewer.joined", &json!("srt")));
    let id = admin(&server, "GET", "/viewers", None).1["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(admin(&server, "DELETE", &format!("/viewers/{id}"), None).0, 204);
    let left = listener.event();
    assert_eq!((left.kind.as_str(), &left.data["data"]["reason"]), ("viewer.left", &json!("ended by an operator")));
}

#[test]
fn who_may_see_less_is_told_less() {
    let text =
        yaml("api: {exec: true}\n").replace("streams:\n", "streams:\n  yard.raw: {feed: other, container: raw}\n");
    let text =
        text.replace("feeds:\n", "feeds:\n  other: {command: [sh, -c, 'while echo tick; do sleep 0.05; done']}\n");
    let server = Server::start(&text);
    let mut seen = follow(&server, VIEWER, "?after=0&snapshot=1", "");
    let first = seen.event();
    let names = |list: &Value| list.as_array().unwrap().iter().map(|unit| unit["name"].clone()).collect::<Vec<_>>();
    assert_eq!((first.kind.as_str(), names(&first.data["streams"])), ("snapshot", vec![json!("cam.raw")]));
    assert_eq!(names(&first.data["feeds"]), [json!("ticks")]);
    assert_eq!(ask(&server, "vyz_wrong", "GET", "/feeds", "", None).0, 401);
    let hidden = watch(&server, ADMIN, "/yard.raw");
    assert_eq!(admin(&server, "POST", "/feeds/ticks/restart", None).0, 202);
    drop(hidden);
    let viewer = watch(&server, ADMIN, "/cam.raw");
    let mut events = seen.until(|event| event.kind == "feed.running");
    drop(viewer);
    events.extend(seen.until(|event| event.kind == "viewer.left"));
    for event in &events {
        let subject = event.data.get("subject").cloned();
        assert!(
            subject.is_none() || ["cam.raw", "ticks"].map(|name| Some(json!(name))).contains(&subject),
            "{event:?}"
        );
        assert!(!event.kind.starts_with("auth."), "{event:?}");
        for person in ["user", "by", "address"] {
            assert!(event.data["data"].get(person).is_none(), "{event:?}");
        }
    }
    assert!(events.iter().any(|event| event.kind == "feed.ordered"), "{events:?}");
    // The administrator sees all of it; without a permission there is nothing.
    let all = admin(&server, "GET", "/events?after=0&limit=1000", None).1;
    let kinds: Vec<_> = all["items"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect();
    assert!(kinds.contains(&json!("auth.refused")), "{all}");
    assert!(all.to_string().contains("yard.raw") && !all.to_string().contains("127.0.0.1:"), "{all}");
    assert_eq!(http::get(server.address(), "/api/v1/events").status, 401);
}

#[test]
fn a_filter_chooses_by_type_and_name() {
    let server = Server::start(&yaml(""));
    let mut listener = follow(&server, ADMIN, "?after=0&type=viewer.*,server.started&name=cam*", "");
    let viewer = watch(&server, VIEWER, "/cam.raw");
    assert_eq!(listener.event().kind, "viewer.joined");
    drop(viewer);
    assert_eq!(listener.event().kind, "viewer.left");
    for wrong in ["after=x", "wait=61", "limit=0", "limit=1001", "type=a/b", "snapshot=1", "x=1"] {
        assert_eq!(admin(&server, "GET", &format!("/events?{wrong}"), None).0, 400, "{wrong}");
    }
    assert_eq!(ask(&server, ADMIN, "GET", "/events", "Accept: text/event-stream\r\nLast-Event-ID: x\r\n", None).0, 400);
}

#[test]
fn a_poll_waits_for_what_comes() {
    let server = Server::start(&yaml(""));
    let (_, first) = admin(&server, "GET", "/events?type=server.*", None);
    assert_eq!(first["items"][0]["type"], "server.started", "{first}");
    let next = first["next"].as_u64().unwrap();
    let began = Instant::now();
    let (status, nothing) = admin(&server, "GET", &format!("/events?after={next}&wait=1&type=viewer.*"), None);
    assert_eq!((status, &nothing["items"], &nothing["lost"]), (200, &json!([]), &Value::Null));
    assert!(began.elapsed() >= secs(1));
    let (viewer, found) = std::thread::scope(|scope| {
        let poll =
            scope.spawn(|| admin(&server, "GET", &format!("/events?after={next}&wait=60&type=viewer.*"), None).1);
        let viewer = watch(&server, VIEWER, "/cam.raw");
        (viewer, poll.join().unwrap())
    });
    assert_eq!(found["items"][0]["type"], "viewer.joined", "{found}");
    let after = found["next"].as_u64().unwrap();
    drop(viewer);
    let (_, found) = admin(&server, "GET", &format!("/events?after={after}&wait=60&type=viewer.*"), None);
    assert_eq!(found["items"][0]["type"], "viewer.left", "{found}");
}

#[test]
fn a11_events_continue_over_a_reconnect_a_restart_and_a_kill() {
    let state = tempfile::tempdir().unwrap();
    let text = with_state(state.path(), "");
    let mut told: Vec<Event> = Vec::new();
    let follow_on = |server: &Server, told: &[Event]| match told.last() {
        None => follow(server, ADMIN, "?after=0&type=viewer.left,server.*", ""),
        Some(last) => follow(server, ADMIN, "?type=viewer.left,server.*", &format!("Last-Event-ID: {}\r\n", last.id)),
    };
    for (round, is_killed) in [(0, true), (1, false), (2, true), (3, true)] {
        if round == 3 {
            // What a crash in the middle of a write leaves.
            let files = fs::read_dir(state.path().join("journal")).unwrap().map(|entry| entry.unwrap().path());
            let newest = files.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")).max().unwrap();
            fs::OpenOptions::new().append(true).open(newest).unwrap().write_all(b"{\"n\":99,\"ti").unwrap();
        }
        let mut server = Server::start(&text);
        for _ in 0..20 {
            drop(watch(&server, VIEWER, "/cam.raw"));
        }
        wait_until("all is in the journal", SOON, || {
            let page = admin(&server, "GET", "/events?type=viewer.left&after=0&limit=1000", None).1;
            page["items"].as_array().unwrap().len() == (round + 1) * 20
        });
        // What is left is for a listener of the next server.
        for _ in 0..2 {
            let mut listener = follow_on(&server, &told);
            told.extend((0..6).map(|_| listener.event()));
        }
        if is_killed {
            process::send(server.pid(), Signal::KILL);
        } else {
            server.terminate();
        }
        server.wait(SOON);
    }
    let server = Server::start(&text);
    let mut listener = follow_on(&server, &told);
    let starts = |told: &[Event]| told.iter().filter(|event| event.kind == "server.started").count();
    while starts(&told) < 5 {
        told.push(listener.event());
    }
    assert!(is_growing(&numbers(&told)), "{:?}", numbers(&told));
    assert_eq!(told.iter().filter(|event| event.kind == "viewer.left").count(), 80);
    assert_eq!(told.iter().filter(|event| event.kind == "server.stopped").count(), 1);
    assert!(told.iter().all(|event| event.kind != "lost"), "{told:?}");
    // As long as they are kept, a client that begins from the start gets the same.
    let mut again = follow(&server, ADMIN, "?after=0&type=viewer.left,server.*", "");
    let again: Vec<_> = told.iter().map(|_| again.event().id).collect();
    assert_eq!(again, told.iter().map(|event| event.id.clone()).collect::<Vec<_>>());
}

#[test]
fn a_folder_that_cannot_be_had_costs_the_past_alone() {
    let state = tempfile::tempdir().unwrap();
    let first = Server::start(&with_state(state.path(), ""));
    let second = Server::start(&with_state(state.path(), ""));
    second.log.wait("journal kept in memory only .*another server has this journal", SOON);
    for server in [&first, &second] {
        let (_, page) = admin(server, "GET", "/events?type=server.started", None);
        assert_eq!(page["total"], Value::Null);
        assert_eq!(page["items"].as_array().unwrap().len(), 1, "{page}");
    }
    // The service manager has a folder, too.
    let of_manager = tempfile::tempdir().unwrap();
    let launch = Launch::new(&yaml("")).env("STATE_DIRECTORY", of_manager.path());
    let third = launch.start();
    wait_until("it is written", SOON, || of_manager.path().join("journal").exists());
    drop(third);
}

#[test]
fn streams_of_events_end_with_the_server_and_have_a_limit() {
    let mut server = Server::start(&yaml(""));
    let listeners: Vec<_> = (0..128).map(|_| follow(&server, ADMIN, "", "")).collect();
    let (status, problem, _) = ask(&server, ADMIN, "GET", "/events", "", None);
    assert_eq!((status, &problem["type"]), (429, &json!("/api/problems/too-many")));
    drop(listeners);
    wait_until("there is room again", SOON, || ask(&server, ADMIN, "GET", "/events", "", None).0 == 200);
    let mut listener = follow(&server, ADMIN, "", "");
    server.terminate();
    let until = Instant::now() + secs(5);
    while listener.next(until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))).is_some() {}
    assert!(Instant::now() < until, "its stream does not end");
    server.wait(secs(10));
}

#[test]
fn a41_what_people_do_and_are_refused_is_in_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    // The journal is in a folder of its own beside it.
    let state = folder.path().join("state");
    let server = Server::start(&with_state(&state, "api: {exec: true}\n"));
    let mut viewer = watch(&server, VIEWER, "/cam.raw");
    viewer.piece(SOON);
    assert_eq!(admin(&server, "POST", "/feeds/ticks/restart", None).0, 202);
    assert_eq!(ask(&server, VIEWER, "POST", "/feeds/ticks/stop", "", None).0, 403);
    assert_eq!(ask(&server, "voyandz_wrong", "GET", "/feeds", "", None).0, 401);
    let new = json!({"feed": "ticks", "container": "raw"});
    assert_eq!(admin(&server, "PUT", "/config/streams/yard.raw", Some(&new)).0, 201);
    // Reading is nothing that has to be kept.
    assert_eq!(ask(&server, VIEWER, "GET", "/feeds", "", None).0, 200);
    drop(server);
    let text = fs::read_to_string(state.join("audit.log")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["feed.ordered", "api.refused", "auth.refused", "config.changed"], "{text}");
    assert_eq!((&lines[0]["who"]["by"], &lines[0]["data"]["order"]), (&json!("token:admin"), &json!("restart")));
    let refused = &lines[1];
    assert_eq!(
        (&refused["who"], &refused["data"]["method"], &refused["data"]["path"]),
        (&json!({"by": "token:viewer", "address": "127.0.0.1"}), &json!("POST"), &json!("/api/v1/feeds/ticks/stop"))
    );
    assert_eq!(refused["data"]["reason"], "this needs the permission kick");
    assert!(!text.contains("voyandz_wrong"), "{text}");
}
