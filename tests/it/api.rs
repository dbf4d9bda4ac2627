//! The API from outside: the state, orders, and changes of the configuration that stand in the file afterwards.

use crate::rig::{Answer, Launch, SOON, Server, http, openapi, process, script::shell, secs, wait_until};
use serde_json::{Value, json};
use std::{fs, sync::Mutex, thread};

/// Tokens of an admin, an editor, and who may only watch `cam*`; their digests are those of these texts.
pub const ADMIN: &str = "vyz_admin-0123456789abcdef0123456789abcdef";
pub const EDITOR: &str = "vyz_editor-0123456789abcdef0123456789abcdef";
pub const VIEWER: &str = "vyz_viewer-0123456789abcdef0123456789abcdef";

pub fn digest(token: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    data_encoding::HEXLOWER.encode(digest.as_ref())
}

/// A configuration with comments that must stay, and who may change it.
pub fn yaml(rules: &str) -> String {
    let ticks = shell("while echo tick; do sleep 0.05; done");
    format!(
        "# The cameras of the yard.\n\
         feeds:\n  # At the gate.\n  ticks: {{command: {ticks}}}   # words\n\
         streams:\n  cam.raw: {{feed: ticks, container: raw}}   # as it is\n  # The end.\n\
         auth:\n  tokens:\n    admin: {{sha256: {}, may: admin}}\n    editor: {{sha256: {}, may: editor}}\n    viewer: {{sha256: {}, may: viewer cam*}}\n{rules}",
        digest(ADMIN),
        digest(EDITOR),
        digest(VIEWER),
    )
}

/// Asks the API and checks that what it answers is documented.
pub fn ask(
    server: &Server,
    token: &str,
    method: &str,
    path: &str,
    headers: &str,
    body: Option<&Value>,
) -> (u16, Value, Answer) {
    let mut head = format!("Connection: close\r\nAuthorization: Bearer {token}\r\n{headers}");
    let body = body.map(Value::to_string);
    if let Some(body) = &body {
        if !headers.to_ascii_lowercase().contains("content-type") {
            head += "Content-Type: application/json\r\n";
        }
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    let address = server.address();
    let request =
        format!("{method} /api/v1{path} HTTP/1.1\r\nHost: {address}\r\n{head}\r\n{}", body.unwrap_or_default());
    let mut answer = http::send(address, &request);
    let text =
        if method == "HEAD" || answer.status == 204 || answer.status == 304 { String::new() } else { answer.text() };
    let value =
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}")) };
    if answer.status >= 400 {
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{value}");
        for field in ["type", "title", "detail"] {
            assert!(value[field].is_string(), "{value}");
        }
        assert_eq!(value["status"], answer.status, "{value}");
    }
    if method != "HEAD" {
        openapi::check(method, path, answer.status, &value);
    }
    (answer.status, value, answer)
}

pub fn admin(server: &Server, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let (status, value, _) = ask(server, ADMIN, method, path, "", body);
    (status, value)
}

pub fn watch(server: &Server, token: &str, path: &str) -> Answer {
    http::request(server.address(), "GET", path, &format!("Authorization: Bearer {token}\r\n"))
}

fn kind(value: &Value) -> &str {
    value["type"].as_str().unwrap().strip_prefix("/api/problems/").unwrap()
}

#[test]
fn a8_the_state_is_read_entry_by_entry() {
    let server = Server::start(&yaml(""));
    let (status, value) = admin(&server, "GET", "/server", None);
    assert_eq!((status, &value["server"]["name"]), (200, &json!("voyandz")));
    let (_, feeds) = admin(&server, "GET", "/feeds", None);
    assert_eq!(
        (&feeds["total"], &feeds["items"][0]["name"], &feeds["next"]),
        (&json!(1), &json!("ticks"), &Value::Null)
    );
    let (_, stream) = admin(&server, "GET", "/streams/cam.raw", None);
    assert_eq!((&stream["state"], &stream["stopped"]), (&json!("idle"), &json!(false)));
    assert_eq!(admin(&server, "GET", "/streams/none", None).0, 404);
    assert_eq!(admin(&server, "GET", "/streams?limit=x", None).0, 400);
    let (status, value, answer) = ask(&server, ADMIN, "PUT", "/feeds", "", Some(&json!({})));
    assert_eq!((status, kind(&value), answer.header("allow")), (405, "method-not-allowed", Some("GET")));
    let document = admin(&server, "GET", "/openapi.json", None).1;
    assert!(document["paths"]["/api/v1/config/{section}/{name}"]["put"].is_object());
    // Nobody who has not shown who it is.
    for path in ["/feeds", "/config/feeds", "/viewers"] {
        let answer = http::get(server.address(), &format!("/api/v1{path}"));
        assert_eq!(answer.status, 401, "{path}");
    }
}

#[test]
fn a8_the_past_of_a_feed_is_for_those_who_see_it() {
    let other = "\n  yard: {pipeline: videotestsrc}\nstreams:\n  yard.ts: {feed: yard, video: {codec: h264}}\n";
    let server = Server::start(&yaml("").replace("\nstreams:\n", other));
    for (token, feed, expected) in
        [(VIEWER, "ticks", 200), (VIEWER, "yard", 404), (ADMIN, "yard", 200), (ADMIN, "none", 404)]
    {
        let path = format!("/feeds/{feed}/history");
        assert_eq!(ask(&server, token, "GET", &path, "", None).0, expected, "{path}");
    }
}

#[test]
fn a9_feeds_and_viewers_take_orders() {
    let server = Server::start(&yaml(""));
    let mut viewer = watch(&server, VIEWER, "/cam.raw");
    assert_eq!(viewer.status, 200);
    viewer.piece(SOON);
    let shown = || admin(&server, "GET", "/feeds/ticks", None).1;
    let before = shown()["starts"].as_u64().unwrap();
    assert_eq!(admin(&server, "POST", "/feeds/ticks/restart", None).0, 202);
    wait_until("the feed starts again", SOON, || shown()["starts"].as_u64() == Some(before + 1));
    viewer.piece(SOON);
    assert_eq!(shown()["restarts"], 0, "{}", shown());
    // Whoever may watch may not order.
    for path in ["/feeds/ticks/stop", "/streams/cam.raw/restart"] {
        assert_eq!(ask(&server, VIEWER, "POST", path, "", None).0, 403, "{path}");
    }
    assert_eq!(admin(&server, "POST", "/feeds/ticks/stop", None).0, 202);
    wait_until("the feed stops", SOON, || shown()["state"] == "idle");
    assert_eq!(shown()["stopped"], true);
    assert_eq!(admin(&server, "POST", "/feeds/ticks/start", None).0, 202);
    let mut viewer = watch(&server, VIEWER, "/cam.raw");
    viewer.piece(SOON);
    assert_eq!(shown()["stopped"], false);
    // For a time.
    assert_eq!(admin(&server, "POST", "/feeds/ticks/stop?for=2s", None).0, 202);
    wait_until("the feed stops", SOON, || shown()["stopped"] == true);
    wait_until("the feed may run again", SOON, || shown()["stopped"] == false);
    for path in ["/feeds/ticks/stop?for=0", "/feeds/ticks/stop?for=2d", "/feeds/ticks/start?for=5s"] {
        assert_eq!(admin(&server, "POST", path, None).0, 400, "{path}");
    }
    let mut viewer = watch(&server, VIEWER, "/cam.raw");
    viewer.piece(SOON);
    assert_eq!(admin(&server, "POST", "/feeds/ticks/fly", None).0, 404);
    // A viewer is ended.
    let (_, viewers) = admin(&server, "GET", "/viewers", None);
    assert_eq!((&viewers["total"], &viewers["items"][0]["user"]), (&json!(1), &json!("token:viewer")), "{viewers}");
    let id = viewers["items"][0]["id"].as_str().unwrap();
    assert_eq!(ask(&server, VIEWER, "DELETE", &format!("/viewers/{id}"), "", None).0, 403);
    assert_eq!(admin(&server, "DELETE", &format!("/viewers/{id}"), None).0, 204);
    viewer.rest(secs(2));
    server.log.wait("reason=\"ended by an operator\"", SOON);
    wait_until("the viewer is gone", SOON, || admin(&server, "DELETE", &format!("/viewers/{id}"), None).0 == 404);
}

#[test]
fn a9_a_publisher_is_shown_and_ended() {
    let server =
        Server::start(&yaml("").replace("feeds:\n", "feeds:\n  studio: {publish: {key: secret-of-the-studio}}\n"));
    let mut socket = std::net::TcpStream::connect(server.address()).unwrap();
    let head = b"PUT /studio?key=secret-of-the-studio HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    std::io::Write::write_all(&mut socket, head).unwrap();
    let publishers = || admin(&server, "GET", "/publishers", None).1;
    wait_until("it publishes", SOON, || publishers()["total"] == 1);
    assert_eq!(publishers()["items"][0]["feed"], "studio");
    assert_eq!(ask(&server, VIEWER, "DELETE", "/publishers/studio", "", None).0, 403);
    assert_eq!(admin(&server, "DELETE", "/publishers/studio", None).0, 204);
    wait_until("it has ended", SOON, || publishers()["total"] == 0);
    assert_eq!(admin(&server, "DELETE", "/publishers/studio", None).0, 404);
    server.log.wait("ended by an operator", SOON);
}

#[test]
fn a10_a_change_stands_in_the_file_with_its_comments() {
    let server = Server::start(&yaml("api: {exec: true}\n"));
    let before = fs::read_to_string(server.file()).unwrap();
    // What would happen.
    let new = json!({"feed": "ticks", "container": "raw"});
    let (status, dry) = admin(&server, "PUT", "/config/streams/yard.raw?dry_run=1", Some(&new));
    assert_eq!((status, &dry["ended"]), (200, &json!([])));
    assert!(dry["diff"].as_str().unwrap().contains("\n+  yard.raw:\n"), "{dry}");
    assert_eq!(fs::read_to_string(server.file()).unwrap(), before);
    // And happens.
    let (status, done) = admin(&server, "PUT", "/config/streams/yard.raw", Some(&new));
    assert_eq!((status, &done["diff"]), (201, &dry["diff"]));
    let after = before.replace("   # as it is\n", "   # as it is\n  yard.raw:\n    feed: ticks\n    container: raw\n");
    assert_eq!(fs::read_to_string(server.file()).unwrap(), after);
    let mut viewer = watch(&server, ADMIN, "/yard.raw");
    assert_eq!(viewer.status, 200);
    viewer.piece(SOON);
    // A part of it.
    let (status, value, answer) = ask(&server, ADMIN, "GET", "/config/streams/yard.raw", "", None);
    let tag = answer.header("etag").unwrap().to_owned();
    assert_eq!((status, &value), (200, &new));
    assert_eq!(
        ask(&server, ADMIN, "GET", "/config/streams/yard.raw", &format!("If-None-Match: {tag}\r\n"), None).0,
        304
    );
    let patch = json!({"mimetype": "text/plain"});
    let kind_of_patch = "Content-Type: application/merge-patch+json\r\n";
    let headers = format!("{kind_of_patch}If-Match: {tag}\r\n");
    let (status, _, _) = ask(&server, ADMIN, "PATCH", "/config/streams/yard.raw", &headers, Some(&patch));
    assert_eq!(status, 200);
    // Who knows another version changes nothing.
    let (status, value, _) = ask(&server, ADMIN, "PATCH", "/config/streams/yard.raw", &headers, Some(&patch));
    assert_eq!((status, kind(&value)), (412, "precondition-failed"));
    let (status, value, _) = ask(&server, ADMIN, "PUT", "/config/streams/yard.raw", "If-None-Match: *\r\n", Some(&new));
    assert_eq!((status, kind(&value)), (412, "precondition-failed"));
    // What ends is told.
    let (status, done) = admin(&server, "DELETE", "/config/streams/yard.raw", None);
    assert_eq!(status, 200, "{done}");
    assert_eq!(fs::read_to_string(server.file()).unwrap(), before);
    let (status, done) = admin(
        &server,
        "PATCH",
        "/config/feeds/ticks",
        Some(&json!({"command": ["sh", "-c", "while echo tock; do sleep 0.05; done"]})),
    );
    assert_eq!((status, &done["ended"]), (200, &json!(["feed ticks"])));
    server.log.wait("configuration changed by the API by=token:admin", SOON);
    assert_eq!(admin(&server, "DELETE", "/config/streams/yard.raw", None).0, 404);
}

#[test]
fn a10_several_changes_are_made_together_or_not_at_all() {
    let server = Server::start(&yaml("api: {exec: true}\n"));
    let before = fs::read_to_string(server.file()).unwrap();
    let put = |number: usize| {
        let value = json!({"feed": "ticks", "container": "raw"});
        json!({"op": "put", "path": ["streams", format!("s{number}.raw")], "value": value})
    };
    let mut changes: Vec<_> = (0..200).map(put).collect();
    changes.push(json!({"op": "put", "path": ["streams", "bad.raw"], "value": {"feed": "none"}}));
    let (status, value) = admin(&server, "POST", "/config/changes", Some(&json!(changes)));
    assert_eq!((status, kind(&value)), (422, "faults"));
    let fault = &value["faults"][0];
    assert_eq!(fault["path"], "streams.bad.raw.feed", "{value}");
    assert!(fault["line"].as_u64().unwrap() > 200, "{value}");
    assert_eq!(fs::read_to_string(server.file()).unwrap(), before);
    changes.pop();
    let (status, value) = admin(&server, "POST", "/config/changes", Some(&json!(changes)));
    assert_eq!((status, value["begun"].as_array().map(Vec::len)), (200, Some(0)), "{value}");
    let (_, page) = admin(&server, "GET", "/streams?limit=150", None);
    assert_eq!((&page["total"], &page["next"]), (&json!(201), &json!("s52.raw")));
    let (_, page) = admin(&server, "GET", "/streams?limit=150&after=s52.raw", None);
    assert_eq!((page["items"].as_array().map(Vec::len), &page["next"]), (Some(51), &Value::Null));
    assert_eq!(server.log.count("configuration changed by the API"), 1);
    for (body, what) in [
        (json!([]), "expected a list"),
        (json!([{"op": "put", "path": ["feeds", "x"]}]), "change 0: expected a `value`"),
        (json!([{"op": "jump", "path": ["feeds", "x"]}]), "change 0: expected `op`"),
        (json!([{"op": "put", "path": "feeds", "value": 1}]), "change 0: expected `path`"),
    ] {
        let (status, value) = admin(&server, "POST", "/config/changes", Some(&body));
        assert!(status == 400 && value["detail"].as_str().unwrap().starts_with(what), "{value}");
    }
}

#[test]
fn a10_what_many_change_at_the_same_time_is_all_there() {
    let server = Server::start(&yaml(""));
    let statuses = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for number in 0..100 {
            let (server, statuses) = (&server, &statuses);
            scope.spawn(move || {
                let value = json!({"feed": "ticks", "container": "raw"});
                let path = format!("/config/streams/c{number}.raw");
                let status = ask(server, EDITOR, "PUT", &path, "", Some(&value)).0;
                statuses.lock().unwrap().push(status);
            });
        }
    });
    assert_eq!(*statuses.lock().unwrap(), [201; 100]);
    let text = fs::read_to_string(server.file()).unwrap();
    for number in 0..100 {
        assert_eq!(text.matches(&format!("\n  c{number}.raw:\n")).count(), 1, "{text}");
    }
    assert!(text.contains("# The end.") && text.contains("# At the gate."));
    assert_eq!(admin(&server, "GET", "/streams?name=c*&limit=1", None).1["total"], 101);
}

#[test]
fn x_an_editor_brings_no_program() {
    let server = Server::start(&yaml("api: {exec: true}\n"));
    let before = fs::read_to_string(server.file()).unwrap();
    let refuse = |method: &str, path: &str, body: Value| {
        let (status, value, _) = ask(&server, EDITOR, method, path, "", Some(&body));
        assert_eq!((status, kind(&value)), (403, "forbidden"), "{path} {body}: {value}");
    };
    for feed in [
        json!({"command": ["touch", "/tmp/x"]}),
        json!({"pipeline": "filesrc location=/etc/passwd ! fakesink"}),
        json!({"file": "/etc/passwd"}),
        json!({"url": "http://127.0.0.1:1/"}),
    ] {
        refuse("PUT", "/config/feeds/new", feed);
    }
    refuse("PATCH", "/config/feeds/ticks", json!({"command": ["sh"]}));
    refuse("PUT", "/config/streams/new.raw", json!({"command": ["sh"], "container": "raw"}));
    let picture = json!({"feed": "ticks", "container": "ts", "video": {"codec": "h264"}, "placeholder": "/etc/passwd"});
    refuse("PUT", "/config/streams/new.ts", picture);
    refuse("PUT", "/config/templates/t", json!({"pipeline": "fakesrc"}));
    refuse("PUT", "/config/sets/s", json!({"for": [1], "feeds": {"a{name}": {"command": ["sh"]}}}));
    for (path, value) in [
        (json!(["auth", "anyone"]), json!(["admin"])),
        (json!(["logdir"]), json!("log")),
        (json!(["api", "exec"]), json!(false)),
        (json!(["memory_max"]), json!("1G")),
    ] {
        refuse("POST", "/config/changes", json!([{"op": "put", "path": path, "value": value}]));
    }
    assert_eq!(fs::read_to_string(server.file()).unwrap(), before);
    assert_eq!(ask(&server, EDITOR, "PUT", "/config/feeds/far", "", Some(&json!({"url": "rtsp://10.1.2.3/x"}))).0, 201);
    // Even an admin, where the file does not permit it.
    let closed = Server::start(&yaml(""));
    let (status, value) = admin(&closed, "PUT", "/config/feeds/new", Some(&json!({"command": ["true"]})));
    assert!(status == 403 && value["detail"].as_str().unwrap().contains("api: {exec: true}"), "{value}");
    let closed = Server::start(&yaml("api: {config: read-only}\n"));
    let (status, value) = admin(&closed, "DELETE", "/config/feeds/ticks", None);
    assert!(status == 403 && value["detail"].as_str().unwrap().contains("read-only"), "{value}");
    assert_eq!(admin(&closed, "GET", "/config/feeds/ticks", None).0, 200);
}

#[test]
fn x_pages_of_other_origins_change_nothing() {
    let server = Server::start(&yaml(""));
    let value = json!({"feed": "ticks", "container": "raw"});
    let user = "Sec-Fetch-Site: cross-site\r\nOrigin: http://evil.example\r\n";
    // A token is nothing that a browser adds by itself.
    assert_eq!(ask(&server, EDITOR, "PUT", "/config/streams/a.raw", user, Some(&value)).0, 201);
    let kinds = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"];
    for kind_of_body in kinds {
        let headers = format!("Content-Type: {kind_of_body}\r\n");
        let (status, value, _) = ask(&server, EDITOR, "PUT", "/config/streams/b.raw", &headers, Some(&value));
        assert_eq!((status, kind(&value)), (415, "unsupported-media-type"));
    }
    // Where the network is the credential, it is that of the page, too.
    let open = Server::start(&yaml("  anyone: [admin]\n"));
    let head = |headers: &str| {
        format!(
            "POST /api/v1/feeds/ticks/stop HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: 0\r\n\r\n",
            open.address()
        )
    };
    assert_eq!(http::send(open.address(), &head(user)).status, 403);
    assert_eq!(http::send(open.address(), &head("")).status, 202);
    assert_eq!(http::get(open.address(), "/api/v1/feeds").header("access-control-allow-origin"), None);
}

#[test]
fn a18_a_file_that_was_edited_meanwhile_is_not_overwritten() {
    let server = Server::start(&yaml(""));
    let edited = fs::read_to_string(server.file()).unwrap() + "# mine\n";
    fs::write(server.file(), &edited).unwrap();
    let value = json!({"feed": "ticks", "container": "raw"});
    let (status, problem) = admin(&server, "PUT", "/config/streams/a.raw", Some(&value));
    assert_eq!((status, kind(&problem)), (409, "changed-on-disk"));
    assert_eq!(fs::read_to_string(server.file()).unwrap(), edited);
    assert_eq!(admin(&server, "POST", "/server/reload", None).0, 202);
    wait_until("the file is read again", SOON, || {
        admin(&server, "PUT", "/config/streams/a.raw", Some(&value)).0 == 201
    });
    assert!(fs::read_to_string(server.file()).unwrap().contains("# mine"));
}

#[test]
fn a18_a_watched_file_is_not_read_again_for_an_own_change() {
    let server = Launch::new(&yaml("")).arg("--watch").start();
    let value = json!({"feed": "ticks", "container": "raw"});
    assert_eq!(admin(&server, "PUT", "/config/streams/a.raw", Some(&value)).0, 201);
    // A change of somebody else is noticed, and it alone.
    let text = fs::read_to_string(server.file()).unwrap();
    fs::write(server.file(), text.replace("a.raw", "b.raw")).unwrap();
    wait_until("the new stream is there", SOON, || admin(&server, "GET", "/streams/b.raw", None).0 == 200);
    assert_eq!(server.log.count("configuration file changed"), 1);
}

#[test]
fn a18_a_killed_server_has_the_old_configuration_or_the_new_one() {
    if !crate::rig::have_failpoints() {
        return;
    }
    for (failpoint, is_new) in [("edit prepared", false), ("edit applied", false), ("", true)] {
        let rules = yaml("");
        let launch = Launch::new(&rules).env("FAILPOINTS", format!("{failpoint}=pause"));
        let mut server = if failpoint.is_empty() { Launch::new(&rules).start() } else { launch.start() };
        let before = fs::read_to_string(server.file()).unwrap();
        let value = json!({"feed": "ticks", "container": "raw"}).to_string();
        let head = format!(
            "PUT /api/v1/config/streams/a.raw HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {EDITOR}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{value}",
            value.len()
        );
        if is_new {
            assert_eq!(http::send(server.address(), &head).status, 201);
        } else {
            use std::io::Write;
            let mut socket = std::net::TcpStream::connect(server.address()).unwrap();
            socket.write_all(head.as_bytes()).unwrap();
            let file = server.file();
            wait_until("the new text is beside the old one", SOON, || {
                file.with_file_name(".voyandz.yaml.new").exists()
            });
        }
        process::send(server.pid(), rustix::process::Signal::KILL);
        server.wait(SOON);
        let after = fs::read_to_string(server.file()).unwrap();
        assert_eq!(after != before, is_new, "{failpoint}");
        let check = crate::rig::server::run(&["check", "-f", server.file().to_str().unwrap()]);
        assert!(check.status.success());
    }
}

#[test]
fn a_secret_is_neither_shown_nor_lost() {
    let text = yaml("").replace("streams:\n", "  far: {url: 'rtsp://me:canary@10.0.0.5/x'}\nstreams:\n");
    let server = Server::start(&text);
    let (_, value) = admin(&server, "GET", "/config/feeds/far", None);
    assert_eq!(value, json!({"url": "rtsp://***@10.0.0.5/x"}));
    let list = admin(&server, "GET", "/config/feeds", None).1;
    assert!(!list.to_string().contains("canary"), "{list}");
    let mut changed = value.clone();
    changed["mode"] = json!(30);
    let (status, done) = admin(&server, "PUT", "/config/feeds/far", Some(&changed));
    assert_eq!(status, 200, "{done}");
    let text = fs::read_to_string(server.file()).unwrap();
    assert!(text.contains("rtsp://me:canary@10.0.0.5/x") && text.contains("mode: 30"), "{text}");
    let (status, value) = admin(&server, "PUT", "/config/feeds/other", Some(&changed));
    assert_eq!((status, kind(&value)), (422, "secret-moved"));
}

#[test]
fn titles_and_labels_choose_entries_and_disturb_nobody() {
    let text = yaml("").replace("container: raw}", "container: raw, title: Gate, labels: {floor: 2, team: blue}}");
    let server = Server::start(&text.replace("feeds:\n", "feeds:\n  other: {command: cat, labels: {floor: 3}}\n"));
    let mut viewer = watch(&server, VIEWER, "/cam.raw");
    viewer.piece(SOON);
    let (_, stream) = admin(&server, "GET", "/streams/cam.raw", None);
    assert_eq!((&stream["title"], &stream["labels"]), (&json!("Gate"), &json!({"floor": "2", "team": "blue"})));
    let total = |path: &str| admin(&server, "GET", path, None).1["total"].clone();
    assert_eq!(total("/streams?label.floor=2&label.team=b*"), 1);
    assert_eq!(total("/streams?label.floor=3"), 0);
    assert_eq!(total("/feeds?label.floor=*"), 1);
    assert_eq!(admin(&server, "GET", "/viewers?label.floor=2", None).0, 400);
    // An editor may change them, and viewers stay.
    let patch = json!({"title": "Door", "labels": {"floor": 4}});
    let path = "/config/streams/cam.raw";
    let (status, done, _) = ask(&server, EDITOR, "PATCH", path, "", Some(&patch));
    assert_eq!((status, &done["ended"]), (200, &json!([])), "{done}");
    assert_eq!(total("/streams?label.floor=4&label.team=blue"), 1);
    viewer.piece(SOON);
    assert_eq!(admin(&server, "GET", "/viewers", None).1["total"], 1);
}

#[test]
fn a_client_that_runs_wild_is_slowed_down_and_others_are_not() {
    let server = Server::start(&yaml(""));
    let order = |token: &str| ask(&server, token, "POST", "/feeds/ticks/start", "", None);
    let answers: Vec<_> = (0..400).map(|_| order(ADMIN)).collect();
    let refused: Vec<_> = answers.iter().filter(|(status, ..)| *status == 429).collect();
    assert!(answers.iter().take(100).all(|(status, ..)| *status == 202) && !refused.is_empty());
    let (_, problem, answer) = refused[0];
    assert_eq!((kind(problem), answer.header("retry-after")), ("too-many", Some("1")));
    // What reads is not a change, and others have changes of their own.
    assert_eq!(admin(&server, "GET", "/feeds", None).0, 200);
    assert_eq!(order(EDITOR).0, 202);
    wait_until("it may again", SOON, || order(ADMIN).0 == 202);
}

#[test]
fn a_link_is_made_that_ends_by_itself() {
    let keyless = Server::start(&yaml(""));
    let wanted = json!({"streams": "cam*", "for": "3s", "name": "guest"});
    let (status, value) = admin(&keyless, "POST", "/links", Some(&wanted));
    assert_eq!((status, kind(&value)), (409, "no-key"));
    let server = Server::start(&yaml("  link_keys: {k1: 'a key of thirty-two bytes, as it were'}\n"));
    let (status, value) = admin(&server, "POST", "/links", Some(&wanted));
    assert_eq!(status, 201, "{value}");
    let paths: Vec<_> =
        value["paths"].as_array().unwrap().iter().map(|path| path.as_str().unwrap().to_owned()).collect();
    assert_eq!(paths.len(), 3, "the stream, its player and its stills: {paths:?}");
    assert!(paths.iter().all(|path| path.ends_with(value["link"].as_str().unwrap())));
    // Who has it watches until it ends; who has none does not.
    assert_eq!(server.get("/cam.raw").status, 401);
    let mut viewer = server.get(&paths[0]);
    assert_eq!(viewer.status, 200);
    viewer.piece(SOON);
    viewer.rest(SOON);
    assert_eq!(server.get(&paths[0]).status, 401);
    server.log.wait("link made by the API streams=cam\\* until=.* by=token:admin", SOON);
    for (body, what) in [
        (json!({"streams": "cam.raw"}), "expected `for`"),
        (json!({"streams": "cam.raw", "for": "0s"}), "for: expected a time"),
        (json!({"streams": "cam.raw", "for": 5}), "for: expected a time"),
        (json!({"streams": "a/b", "for": "5s"}), "expected the name of a stream"),
        (json!({"streams": "cam.raw", "for": "5s", "may": ["kick"]}), "a link permits"),
        (json!({"streams": "cam.raw", "for": "5s", "until": "now"}), "unknown key `until`"),
        (json!([]), "expected an object"),
    ] {
        let (status, value) = admin(&server, "POST", "/links", Some(&body));
        assert!(status == 400 && value["detail"].as_str().unwrap().starts_with(what), "{value}");
    }
    let other = json!({"streams": "yard", "for": "5s"});
    assert_eq!(admin(&server, "POST", "/links", Some(&other)).0, 404);
}

/// Addresses in all spellings that lead to this machine, to what is only for it, or to the services of a cloud.
const OWN: [&str; 25] = [
    "rtsp://127.0.0.1/x",
    "rtsp://127.0.0.1:8554/x",
    "rtsp://127.1/x",
    "rtsp://2130706433/x",
    "rtsp://0x7f000001/x",
    "rtsp://0177.0.0.1/x",
    "rtsp://0.0.0.0/x",
    "rtsp://localhost/x",
    "rtsp://LOCALHOST./x",
    "rtsp://cam.localhost/x",
    "rtsp://[::1]/x",
    "rtsp://[::]/x",
    "rtsp://[::ffff:127.0.0.1]/x",
    "rtsp://[fe80::1]/x",
    "rtsp://[ff02::1]/x",
    "http://user:word@127.0.0.1/x",
    "http://10.0.0.1@127.0.0.1/x",
    "http://127.0.0.1?@10.0.0.1/x",
    "http://127.0.0.1#@10.0.0.1/x",
    "http://169.254.169.254/latest/meta-data",
    "http://metadata.google.internal/x",
    "rtmp://127.0.0.1/live/x",
    "srt://127.0.0.1:9000",
    "udp://:5000",
    "udp://239.1.2.3:5000",
];

#[test]
fn x_an_editor_reaches_no_address_of_this_machine() {
    let server = Server::start(&yaml("api: {exec: true}\n"));
    let put = |token: &str, url: &str| {
        let (status, value, _) =
            ask(&server, token, "PUT", "/config/feeds/new?dry_run=1", "", Some(&json!({"url": url})));
        (status, value)
    };
    for url in OWN {
        let (status, value) = put(EDITOR, url);
        assert!(matches!(status, 403 | 422), "{url}: {value}");
        let (status, value, _) = ask(&server, EDITOR, "POST", "/probe", "", Some(&json!({"url": url})));
        assert!(matches!(status, 400 | 403), "{url}: {value}");
    }
    for url in ["rtsp://10.1.2.3/x", "rtsp://192.168.1.20:554/x", "rtsp://[fd00::5]/x", "https://cams.example.org/x.ts"]
    {
        let (status, value) = put(EDITOR, url);
        assert_eq!(status, 200, "{url}: {value}");
    }
}
