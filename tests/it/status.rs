//! What the server says of itself, and whether that is true.

use crate::rig::{
    Launch, SOON, Server, have_failpoints, http, log, millis, process,
    script::{H264, PICTURE, shell},
    secs, tool, wait_until,
};
use regex::Regex;
use rustix::process::Signal;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::Instant,
};

fn state(server: &Server) -> Value {
    state_at(server, "/stat.json")
}

fn state_at(server: &Server, path: &str) -> Value {
    let mut answer = server.get(path);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    serde_json::from_str(&answer.text()).unwrap()
}

/// The entry with this name in one of the lists.
fn entry<'a>(state: &'a Value, list: &str, name: &str) -> &'a Value {
    let entries = state[list].as_array().unwrap();
    entries.iter().find(|entry| entry["name"] == name).unwrap_or_else(|| panic!("no {name} in {state:#}"))
}

/// Waits until an entry is as wished; returns it.
fn wait_for(server: &Server, list: &str, name: &str, wish: impl Fn(&Value) -> bool) -> Value {
    let mut found = Value::Null;
    wait_until(&format!("{name} as wished"), SOON, || {
        found = entry(&state(server), list, name).clone();
        wish(&found)
    });
    found
}

#[test]
fn state_follows_a_stream_from_its_first_viewer_to_its_last() {
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}', mode: 0.3}}}}
        streams: {{cam.ts: {{feed: cam, video: {H264}}}}}
        "
    ));
    let before = state(&server);
    assert_eq!(before["server"]["name"], "voyandz");
    assert_eq!(before["server"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(before["server"]["pid"], server.pid());
    assert_eq!(before["server"]["configuration"]["error"], Value::Null);
    let (feed, stream) = (entry(&before, "feeds", "cam"), entry(&before, "streams", "cam.ts"));
    assert_eq!(
        (&feed["state"], &feed["mode"], &feed["linger_seconds"]),
        (&"idle".into(), &"on-demand".into(), &0.3.into())
    );
    assert_eq!((&feed["kind"], &feed["source"]), (&"pipeline".into(), &PICTURE.into()));
    assert_eq!(
        (&feed["starts"], &feed["worker_pid"], &feed["tracks"]),
        (&0.into(), &Value::Null, &Value::Array(vec![]))
    );
    assert_eq!(
        (&stream["url"], &stream["container"], &stream["state"]),
        (&"/cam.ts".into(), &"ts".into(), &"idle".into())
    );

    let mut viewer = server.get("/cam.ts?header=1&keyframe=1");
    let begun = Instant::now();
    viewer.take_until(SOON, |_| begun.elapsed() > secs(6));
    let now = state(&server);
    let (feed, stream) = (entry(&now, "feeds", "cam"), entry(&now, "streams", "cam.ts"));
    assert_eq!((&feed["state"], &feed["starts"], &feed["restarts"]), (&"running".into(), &1.into(), &0.into()));
    assert_eq!(
        (&feed["worker_pid"], &stream["worker_pid"]),
        (&server.worker("cam").into(), &server.worker("cam").into())
    );
    let track = serde_json::json!({"kind": "video", "codec": "raw", "width": 320, "height": 240, "fps": 25.0,
        "sample_rate": null, "channels": null});
    assert_eq!(feed["tracks"], Value::Array(vec![track]));
    assert_eq!(
        (&stream["state"], &stream["readers"], &stream["readers_ever"]),
        (&"running".into(), &1.into(), &1.into())
    );
    let track = serde_json::json!({"kind": "video", "codec": "h264", "width": 320, "height": 240, "fps": 25.0,
        "sample_rate": null, "channels": null});
    assert_eq!(stream["tracks"], Value::Array(vec![track]));
    let number = |key: &str| stream[key].as_f64().unwrap_or_else(|| panic!("{key} of {stream:#}"));
    assert!((0.9..1.1).contains(&number("gop_seconds")), "{stream:#}");
    assert!((100_000.0..900_000.0).contains(&number("bit_rate")), "{stream:#}");
    assert!(number("packets") > 100.0 && number("join_points") > 3.0, "{stream:#}");
    assert!(number("idle_seconds") < 1.0, "{stream:#}");
    assert!(now["totals"]["readers"] == 1 && now["server"]["uptime_seconds"].as_u64() >= Some(5), "{now:#}");
    // All that was made since the first packet went to the one viewer, who tells once a second.
    assert!(number("bytes_out") > number("bytes") / 2.0, "{stream:#}");

    drop(viewer);
    let after = wait_for(&server, "streams", "cam.ts", |stream| stream["state"] == "idle");
    assert_eq!((&after["readers"], &after["readers_ever"]), (&0.into(), &1.into()));
    assert!(after["bytes_out"].as_f64().unwrap() >= number("bytes_out"));
    let feed = wait_for(&server, "feeds", "cam", |feed| feed["state"] == "idle");
    assert_eq!((&feed["worker_pid"], &feed["last_error"], &feed["starts"]), (&Value::Null, &Value::Null, &1.into()));
}

#[test]
fn tracks_of_a_stream_are_those_of_its_container() {
    let server = Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE} audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! queue name=audio'}}
        streams:
          both.webm: {{feed: cam, video: {{codec: vp8, size: 160x120, fps: 10}}, audio: {{codec: opus, channels: 1}}}}
          cam.mjpeg: {{feed: cam, video: {{codec: mjpeg, fps: 5}}}}
        "
    ));
    let mut viewers = ["/both.webm", "/cam.mjpeg"].map(|path| server.get(path));
    viewers.iter_mut().for_each(|viewer| drop(viewer.take(1000, SOON)));
    let known = |stream: &Value| stream["tracks"].as_array().is_some_and(|tracks| !tracks.is_empty());
    let numbers = |track: &Value| {
        ["width", "height", "fps", "sample_rate", "channels"].map(|key| track[key].as_f64().unwrap_or_default())
    };
    let both = wait_for(&server, "streams", "both.webm", known);
    let tracks = both["tracks"].as_array().unwrap();
    let track = |codec: &str| tracks.iter().find(|track| track["codec"] == codec).unwrap_or_else(|| panic!("{both:#}"));
    assert_eq!(numbers(track("vp8")), [160.0, 120.0, 10.0, 0.0, 0.0]);
    assert_eq!((numbers(track("opus")), tracks.len()), ([0.0, 0.0, 0.0, 48_000.0, 1.0], 2));
    let pictures = wait_for(&server, "streams", "cam.mjpeg", known);
    assert_eq!(pictures["tracks"][0]["codec"], "mjpeg");
    assert_eq!(numbers(&pictures["tracks"][0])[..3], [320.0, 240.0, 5.0]);
    drop(viewers);
    // What it was made of is not what it will be made of.
    wait_for(&server, "streams", "both.webm", |stream| stream["state"] == "idle");
    let mut again = server.get("/both.webm");
    again.take(1000, SOON);
    wait_for(&server, "streams", "both.webm", |stream| stream["starts"] == 2 && known(stream));
}

#[test]
fn state_says_why_a_feed_dies_and_how_often() {
    let server = Server::start(&format!(
        "
        feeds:
          bad: {{command: {}, mode: continuous}}
          cam: {{pipeline: '{PICTURE}', mode: continuous}}
        ",
        shell("echo cannot open rtsp://me:geheim@camera >&2; exit 3")
    ));
    let bad = wait_for(&server, "feeds", "bad", |feed| feed["restarts"].as_u64() >= Some(2));
    let error = bad["last_error"].as_str().unwrap();
    assert!(error.starts_with("left with exit code 3") && error.ends_with("rtsp://***@camera"), "{error}");
    assert_eq!(bad["last_lines"][0], "cannot open rtsp://***@camera");
    assert!(bad["last_lines"].as_array().unwrap().len() <= 10);
    assert!(!bad.to_string().contains("geheim"), "{bad:#}");
    assert!(bad["last_error_time"].as_str() > Some("2020"), "{bad:#}");

    let cam = wait_for(&server, "feeds", "cam", |feed| feed["state"] == "running");
    process::send(i32::try_from(cam["worker_pid"].as_i64().unwrap()).unwrap(), Signal::SEGV);
    let cam = wait_for(&server, "feeds", "cam", |feed| feed["restarts"] == 1 && feed["state"] == "running");
    assert_eq!(cam["last_error"], "its worker was ended by signal 11");
    assert_eq!(cam["worker_pid"], server.worker("cam"));
}

#[test]
fn bytes_of_commands_and_what_is_made_for_each_request_are_counted() {
    let server = Server::start(&format!(
        "
        feeds: {{tick: {{command: {tick}}}}}
        streams:
          tick: {{feed: tick}}
          mine: {{client: exclusive, command: {tick}}}
          shot: {{type: shot, command: [echo, hello], mimetype: text/plain}}
        ",
        tick = shell("while echo tick; do sleep 0.02; done")
    ));
    let (mut shared, mut own) = (server.get("/tick"), server.get("/mine"));
    shared.take(50, SOON);
    own.take(50, SOON);
    assert_eq!(server.get("/shot").text(), "hello\n");
    let counted = |list, name, key: &str| wait_for(&server, list, name, |entry| entry[key].as_u64() >= Some(50));
    assert_eq!(counted("feeds", "tick", "bytes_in")["kind"], "command");
    let stream = counted("streams", "tick", "bytes_out");
    assert_eq!(
        (&stream["encoding"], &stream["kind"], &stream["readers"]),
        (&"copy".into(), &"shared".into(), &1.into())
    );
    let mine = counted("streams", "mine", "bytes_out");
    assert_eq!((&mine["state"], &mine["kind"], &mine["readers"]), (&"running".into(), &"exclusive".into(), &1.into()));
    let shot = entry(&state(&server), "streams", "shot").clone();
    assert_eq!((&shot["kind"], &shot["starts"], &shot["state"]), (&"shot".into(), &1.into(), &"idle".into()));
}

#[test]
fn a_viewer_that_takes_nothing_is_counted_as_dropped() {
    let server = Server::start(&format!(
        "feeds: {{f: {{command: {}}}}}\nstreams: {{s: {{feed: f}}}}",
        shell("while head -c 100000 /dev/zero; do sleep 0.01; done")
    ));
    let _deaf = http::ask(server.address(), "/s");
    let stream = wait_for(&server, "streams", "s", |stream| stream["dropped_readers"] == 1);
    assert_eq!((&stream["readers"], &stream["readers_ever"]), (&0.into(), &1.into()));
    let line = server.log.wait("path=/s .*no progress", SOON);
    assert_eq!(stream["gaps"].to_string(), log::field(&line, "gaps"));
}

#[test]
fn a_broken_file_is_told_in_the_state_until_a_good_one_comes() {
    let server = Server::start("feeds: {a: {command: cat}}");
    let error = |server: &Server| state(server)["server"]["configuration"]["error"].clone();
    assert_eq!(error(&server), Value::Null);
    server.reload("feeds: {a: {command: cat, mode: soon}}");
    let said = error(&server);
    assert!(said.as_str().unwrap().contains("feeds.a.mode: expected"), "{said}");
    assert_eq!(entry(&state(&server), "feeds", "a")["mode"], "on-demand");
    server.reload("feeds: {b: {command: cat}}");
    let now = state(&server);
    assert_eq!((&now["server"]["configuration"]["error"], now["feeds"].as_array().unwrap().len()), (&Value::Null, 1));
    assert_eq!(entry(&now, "feeds", "b")["starts"], 0);
}

#[test]
fn counts_go_on_when_the_configuration_is_exchanged() {
    let tick = shell("while echo tick; do sleep 0.02; done");
    let yaml = |more: &str| format!("feeds: {{f: {{command: {tick}}}{more}}}\nstreams: {{s: {{feed: f}}}}");
    let server = Server::start(&yaml(""));
    let mut viewer = server.get("/s");
    viewer.take(100, SOON);
    let before = wait_for(&server, "streams", "s", |stream| stream["bytes_out"].as_u64() >= Some(100));
    server.reload(&yaml(", g: {command: cat}"));
    let after = entry(&state(&server), "streams", "s").clone();
    assert_eq!((&after["readers"], &after["starts"], &after["since"]), (&1.into(), &1.into(), &before["since"]));
    assert!(after["bytes_out"].as_u64() >= before["bytes_out"].as_u64());
    // Another command: the feed begins anew under its old name.
    let other = yaml("").replace("echo tick", "echo tock");
    server.reload(&other);
    wait_for(&server, "feeds", "f", |feed| feed["starts"] == 2 && feed["state"] == "running");
}

/// All values of the JSON by their names on the page.
fn flatten(path: &str, value: &Value, facts: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(&format!("{path}{dot}{key}"), value, facts);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) || matches!(path, "feeds" | "streams") => {
            for (at, item) in items.iter().enumerate() {
                let name = item["name"].as_str().map_or(at.to_string(), str::to_owned);
                flatten(&format!("{path}[{name}]"), item, facts);
            }
        }
        Value::Array(items) => {
            let lines: Vec<_> = items.iter().map(|item| item.as_str().unwrap()).collect();
            facts.insert(path.to_owned(), lines.join("\n"));
        }
        Value::Null => drop(facts.insert(path.to_owned(), String::new())),
        Value::String(text) => drop(facts.insert(path.to_owned(), text.clone())),
        other => drop(facts.insert(path.to_owned(), other.to_string())),
    }
}

#[test]
fn page_and_json_say_the_same_fact_by_fact() {
    let server = Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE}', mode: continuous}}
          bad: {{command: {}, no-resurrect: true, mode: continuous}}
        streams:
          cam é.ts: {{feed: cam, video: {H264}}}
          both.mkv: {{feeds: [cam, bad], video: {{codec: vp8}}, audio: {{codec: opus}}}}
          shot: {{type: shot, command: [echo, '<b>\"&']}}
        pages: {{clients: true}}
        ",
        shell("echo one >&2; echo two >&2; exit 1")
    ));
    let mut viewer = server.get("/cam%20%C3%A9.ts");
    viewer.take(1000, SOON);
    wait_for(&server, "feeds", "bad", |feed| feed["state"] == "dead");
    // What it does not know yet may be known a moment later, which would be no fault of the page.
    wait_for(&server, "streams", "cam é.ts", |stream| {
        stream["clients"][0]["bytes_out"].as_u64() > Some(0) && stream["latency"]["p50_seconds"].is_number()
    });
    let facts = |server: &Server| {
        let mut facts = BTreeMap::new();
        flatten("", &state(server), &mut facts);
        facts
    };
    let before = facts(&server);
    let mut answer = server.get("/stat");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'self';"));
    let html = answer.text();
    let after = facts(&server);
    let data = Regex::new("<data data-key=\"([^\"]*)\" value=\"([^\"]*)\"").unwrap();
    let plain =
        |text: &str| text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    let shown = data.captures_iter(&html).map(|found| (plain(&found[1]), plain(&found[2]))).collect::<Vec<_>>();
    assert_eq!(shown.len(), before.len(), "each fact is there once");
    let shown: BTreeMap<_, _> = shown.into_iter().collect();
    assert_eq!(shown.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    for (key, value) in &shown {
        let (before, after) = (&before[key], &after[key]);
        let number = |text: &str| text.parse::<f64>();
        let counts = ["packets", "bytes", "_out", "points"].iter().any(|end| key.ends_with(end));
        if before == after {
            assert_eq!(value, before, "{key}");
        } else if counts {
            assert!((number(before).unwrap()..=number(after).unwrap()).contains(&number(value).unwrap()), "{key}");
        } else {
            // What comes and goes is a number, or a time, in all three.
            assert_eq!(
                (number(value).is_ok(), value.len() == 24),
                (number(before).is_ok(), before.len() == 24),
                "{key}"
            );
        }
    }
    assert_eq!(shown["feeds[bad].last_lines"], "one\ntwo");
    for latency in ["latency", "capture_latency", "first_bytes"] {
        let value = &shown[&format!("streams[cam é.ts].{latency}.p99_seconds")];
        assert!(value.parse::<f64>().is_ok_and(|seconds| seconds > 0.0), "{latency} is {value:?}");
    }
    assert_eq!(server.get("/stat.js").header("content-type"), Some("text/javascript; charset=utf-8"));
}

#[test]
fn a_picture_that_may_start_nothing_is_there_only_while_the_stream_runs() {
    let server = Server::start(&format!(
        "feeds: {{cam: {{pipeline: '{PICTURE}'}}}}\nstreams: {{cam.ts: {{feed: cam, video: {H264}}}}}"
    ));
    let picture = |start: u32| server.get(&format!("/cam.ts/pic?start={start}")).status;
    assert_eq!((picture(0), picture(2)), (503, 400));
    assert_eq!(entry(&state(&server), "streams", "cam.ts")["starts"], 0);
    let mut viewer = server.get("/cam.ts");
    viewer.take(1000, SOON);
    wait_for(&server, "streams", "cam.ts", |stream| stream["state"] == "running");
    assert_eq!(picture(0), 200);
    drop(viewer);
    wait_for(&server, "streams", "cam.ts", |stream| stream["state"] == "idle");
    assert_eq!((picture(0), picture(1)), (503, 200));
}

#[test]
fn pages_are_where_they_are_wanted_or_nowhere() {
    let everywhere = Server::start("");
    let nowhere = Server::start("pages: {stat: false, stat_json: false}");
    let elsewhere = Server::start("pages: {stat: /a/state, stat_json: /b c}");
    let found = |server: &Server, path: &str| server.get(path).status;
    for path in ["/stat", "/stat.js"] {
        assert_eq!((found(&everywhere, path), found(&nowhere, path), found(&elsewhere, path)), (200, 404, 404));
        assert_eq!(found(&elsewhere, &path.replace("/stat", "/a/state")), 200);
    }
    assert!(elsewhere.get("/a/state").text().contains("src=\"/a/state.js\""));
    assert!(elsewhere.get("/").text().contains("href=\"/a/state\"") && !nowhere.get("/").text().contains("stat"));
    assert_eq!(found(&everywhere, "/stat.json"), 200);
    assert_eq!(found(&nowhere, "/stat.json"), 404);
    assert_eq!((found(&elsewhere, "/stat.json"), found(&elsewhere, "/b%20c")), (404, 200));
    let now = state_at(&elsewhere, "/b%20c");
    assert_eq!(now["server"]["pid"], elsewhere.pid());
}

#[test]
fn who_watches_is_told_only_when_that_is_wanted() {
    let yaml = format!(
        "feeds: {{f: {{command: {}}}}}\nstreams: {{s: {{feed: f}}}}\n",
        shell("while echo tick; do sleep 0.02; done")
    );
    let (discreet, open) = (Server::start(&yaml), Server::start(&(yaml.clone() + "pages: {clients: true}\n")));
    let watch = |server: &Server| {
        let mut viewer = server.get("/s");
        viewer.take(10, SOON);
        let address = viewer.socket.local_addr().unwrap().to_string();
        (viewer, address)
    };
    let (_one, address) = watch(&discreet);
    let said = state(&discreet);
    assert!(!discreet.get("/stat").text().contains(&address));
    assert_eq!(entry(&said, "streams", "s")["readers"], 1);
    assert!(!said.to_string().contains(&address) && entry(&said, "streams", "s").get("clients").is_none());
    let (_other, address) = watch(&open);
    let stream = wait_for(&open, "streams", "s", |stream| stream["clients"][0]["bytes_out"].as_u64() > Some(0));
    assert_eq!((&stream["clients"][0]["address"], stream["clients"].as_array().unwrap().len()), (&address.into(), 1));
}

#[test]
fn every_field_is_documented_and_nothing_else_is() {
    let server = Server::start(&format!(
        "feeds: {{cam: {{pipeline: '{PICTURE}', mode: continuous}}}}
streams: {{cam.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}}}
pages: {{clients: true}}"
    ));
    wait_for(&server, "feeds", "cam", |feed| feed["tracks"].as_array().is_some_and(|tracks| !tracks.is_empty()));
    let mut viewer = server.get("/cam.mjpeg");
    viewer.take(1, SOON);
    wait_for(&server, "streams", "cam.mjpeg", |stream| {
        stream["tracks"].as_array().is_some_and(|tracks| !tracks.is_empty())
    });
    let mut fields = BTreeSet::new();
    collect("", &state(&server), &mut fields);
    let document = include_str!("../../docs/http.md");
    let section = document.split("\n### Fields").nth(1).unwrap().split("\n#").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<String> = rows.map(|(field, _)| field.to_owned()).collect();
    assert_eq!(fields, documented);
}

/// The names of all leaves: `feeds[].tracks[].codec`.
fn collect(path: &str, value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let dot = if path.is_empty() { "" } else { "." };
                collect(&format!("{path}{dot}{key}"), value, names);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items.iter().for_each(|item| collect(&format!("{path}[]"), item, names));
        }
        _ => {
            names.insert(path.to_owned());
        }
    }
}

#[test]
fn readiness_says_what_is_wrong_and_life_goes_on() {
    let server = Server::start("feeds: {a: {command: cat}}");
    let word = |server: &Server| {
        let mut answer = server.get("/readyz");
        (answer.status, answer.text())
    };
    assert_eq!(word(&server), (200, "ready\n".to_owned()));
    server.reload("feeds: {a: {command: cat, mode: never}}");
    assert_eq!(word(&server), (200, "degraded\n".to_owned()));
    server.reload(&format!("feeds: {{a: {{command: {}, mode: continuous, no-resurrect: true}}}}", shell("exit 1")));
    wait_for(&server, "feeds", "a", |feed| feed["state"] == "dead");
    let report = state_at(&server, "/readyz?verbose");
    assert_eq!(report["status"], "degraded");
    let failed = report["checks"].as_array().unwrap().iter().filter(|check| check["status"] != "ready");
    let failed: Vec<_> = failed.map(|check| (&check["name"], &check["detail"])).collect();
    assert_eq!(failed, [(&"feeds".into(), &"a".into())]);
    for path in ["/livez", "/healthz"] {
        let mut answer = server.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (200, "alive\n"));
    }
}

#[test]
fn a_loop_that_is_stuck_is_told_until_it_goes_on() {
    if !have_failpoints() {
        return;
    }
    // The supervisor's task sleeps on its thread; requests are answered by others.
    let server = Launch::new("feeds: {stuck: {command: cat}, well: {command: cat}}")
        .env("FAILPOINTS", "supervisor=1*sleep(9000)->off")
        .env("TOKIO_WORKER_THREADS", "4")
        .start();
    let live = || server.get("/livez").status;
    assert_eq!(live(), 200);
    wait_until("the loop is missed", SOON, || live() == 503);
    let said = server.get("/livez").text();
    let name = said.trim_end().strip_prefix("these loops do not come round any more: ").unwrap().to_owned();
    assert!(["feed stuck", "feed well"].contains(&name.as_str()), "{said}");
    let mut answer = server.get("/readyz?verbose");
    let report: Value = serde_json::from_str(&answer.text()).unwrap();
    assert_eq!((answer.status, &report["status"]), (503, &"not-ready".into()));
    let failed = report["checks"].as_array().unwrap().iter().filter(|check| check["status"] != "ready");
    let failed: Vec<_> = failed.map(|check| (&check["name"], &check["detail"])).collect();
    assert_eq!(failed, [(&"loops".into(), &name.as_str().into())]);
    wait_until("it comes round again", SOON, || live() == 200);
    assert_eq!(server.get("/readyz").text(), "ready\n");
}

#[test]
fn a_server_that_ends_is_not_ready() {
    let server = Server::start("");
    // One that has begun to ask is still answered.
    let mut late = TcpStream::connect(server.address()).unwrap();
    late.write_all(b"GET /readyz?verbose HTTP/1.1\r\n").unwrap();
    // Connections are taken one after the other.
    assert_eq!(server.get("/readyz").status, 200);
    server.terminate();
    server.log.wait("ending: no new connections", SOON);
    late.write_all(b"Host: x\r\n\r\n").unwrap();
    let mut text = String::new();
    late.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("\"detail\": \"the server ends\""), "{text}");
}

/// The metrics, by name and labels; fails unless the text is as Prometheus wants it.
fn metrics(text: &str) -> BTreeMap<String, f64> {
    let sample = Regex::new(r#"^([a-z_]+)(\{([a-z]+="(\\.|[^"\\])*",?)+\})? ([0-9.e+-]+)$"#).unwrap();
    let (mut found, mut family) = (BTreeMap::new(), (String::new(), String::new()));
    let mut families = BTreeSet::new();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(families.insert(name.to_owned()), "{name} comes twice");
            assert!(!words.is_empty());
            family = (name.to_owned(), String::new());
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, family.0);
            let others: &[&str] = &["gauge", "histogram", "summary"];
            let expected = if name.ends_with("_total") { &["counter"] } else { others };
            assert!(expected.contains(&kind), "{name} is a {kind}");
            family.1 = kind.to_owned();
        } else {
            let parts = sample.captures(line).unwrap_or_else(|| panic!("no sample: {line}"));
            let ends: &[&str] = match family.1.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                "summary" => &["", "_sum", "_count"],
                _ => &[""],
            };
            assert!(ends.iter().any(|end| parts[1] == format!("{}{end}", family.0)), "{line}");
            assert!(!family.1.is_empty(), "{line}");
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(found.insert(series.to_owned(), value.parse().unwrap()).is_none(), "{series} comes twice");
        }
    }
    found
}

#[test]
fn metrics_are_those_of_the_state_and_all_are_documented() {
    let server = Server::start(&format!(
        "
        feeds: {{tick: {{command: {}, mode: continuous}}, cam: {{pipeline: '{PICTURE}'}}}}
        streams: {{tick é: {{feed: tick}}, cam.ts: {{feed: cam, video: {H264}}}}}
        ",
        shell("while echo tick; do sleep 0.02; done")
    ));
    let mut viewers = ["/tick%20%C3%A9", "/cam.ts"].map(|path| server.get(path));
    viewers.iter_mut().for_each(|viewer| drop(viewer.take(50, SOON)));
    wait_for(&server, "streams", "tick é", |stream| stream["bytes_out"].as_u64() > Some(0));
    wait_for(&server, "streams", "cam.ts", |stream| stream["latency"]["p50_seconds"].is_number());
    let before = state(&server);
    let mut answer = server.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    let metrics = metrics(&text);
    assert_eq!(metrics[&format!("voyandz_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))], 1.0);
    assert_eq!(metrics["voyandz_feed_up{feed=\"cam\"}"], 1.0);
    assert_eq!(metrics["voyandz_feed_state{feed=\"tick\",state=\"running\"}"], 1.0);
    assert_eq!(metrics["voyandz_stream_readers{stream=\"tick é\"}"], 1.0);
    let sent = metrics["voyandz_stream_sent_bytes_total{stream=\"tick é\"}"];
    assert!(sent >= entry(&before, "streams", "tick é")["bytes_out"].as_f64().unwrap());
    assert!(metrics["voyandz_worker_resident_memory_bytes{feed=\"cam\"}"] > 1e6);
    assert!(metrics["process_resident_memory_bytes"] > 1e6 && metrics["process_open_fds"] > 5.0);
    let names: BTreeSet<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert_eq!(names, documented_metrics());
    promtool(&text);
    assert_eq!(Server::start("pages: {metrics: false}").get("/metrics").status, 404);
}

fn documented_metrics() -> BTreeSet<&'static str> {
    let document = include_str!("../../docs/http.md");
    let section = document.split("\n## Metrics").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(name, _)| name).collect()
}

#[test]
fn answers_and_their_times_are_counted() {
    let server = Server::start(&format!(
        "
        feeds: {{slow: {{command: {}}}}}
        streams:
          slow: {{feed: slow}}
          nap: {{type: shot, command: [sleep, '0.3'], mimetype: text/plain}}
        ",
        shell("sleep 0.3; while echo tick; do sleep 0.02; done")
    ));
    let read = || metrics(&server.get("/metrics").text());
    let before = read();
    assert!(!before.keys().any(|series| series.starts_with("voyandz_first_byte_seconds")));
    assert_eq!(server.get("/nowhere").status, 404);
    assert_eq!(http::send(server.address(), "GET /nowhere HTTP/1.0\r\n\r\n").status, 404);
    assert_eq!(server.get("/nap").status, 200);
    server.get("/slow").take(10, SOON);
    let after = read();
    let grown = |series: &str| after[series] - before.get(series).copied().unwrap_or_default();
    let answers = |protocol, class| {
        grown(&format!("voyandz_http_answers_total{{protocol=\"http/{protocol}\",class=\"{class}\"}}"))
    };
    // The one that read the numbers before is counted with its head, and so is the one that reads them after.
    assert_eq!((answers("1.1", "4xx"), answers("1.0", "4xx"), answers("1.1", "5xx")), (1.0, 1.0, 0.0));
    assert_eq!((answers("1.1", "2xx"), grown("voyandz_http_request_duration_seconds_count")), (3.0, 5.0));
    let (short, long) = ("voyandz_http_request_duration_seconds_bucket", "voyandz_first_byte_seconds_bucket");
    // A picture that takes its time is one long request; a stream is answered before it has begun.
    assert_eq!((grown(&format!("{short}{{le=\"0.25\"}}")), grown(&format!("{short}{{le=\"+Inf\"}}"))), (4.0, 5.0));
    let raw = |bound| grown(&format!("{long}{{container=\"raw\",le=\"{bound}\"}}"));
    assert_eq!((raw("0.25"), raw("+Inf")), (0.0, 1.0));
    assert!((0.29..10.0).contains(&grown("voyandz_first_byte_seconds_sum{container=\"raw\"}")));
}

#[test]
fn what_the_server_adds_is_told_by_stream() {
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}, tick: {{command: {}}}}}
        streams: {{cam.webm: {{feed: cam, video: {{codec: vp8}}}}, tick: {{feed: tick}}}}
        ",
        shell("while echo tick; do sleep 0.02; done")
    ));
    let nothing = entry(&state(&server), "streams", "cam.webm").clone();
    for latency in ["latency", "capture_latency", "first_bytes"] {
        assert_eq!(nothing[latency].as_object().unwrap().values().collect::<Vec<_>>(), [&Value::Null; 3]);
    }
    let mut viewers = ["/cam.webm?header=1&keyframe=1", "/tick"].map(|path| server.get(path));
    let begun = Instant::now();
    viewers.iter_mut().for_each(|viewer| drop(viewer.take_until(SOON, |_| begun.elapsed() > secs(2))));
    let seconds = |stream: &Value, latency: &str| {
        ["p50_seconds", "p99_seconds", "max_seconds"].map(|key| stream[latency][key].as_f64().unwrap_or(-1.0))
    };
    for name in ["cam.webm", "tick"] {
        let stream = wait_for(&server, "streams", name, |stream| stream["latency"]["p50_seconds"].is_number());
        let [median, p99, longest] = seconds(&stream, "latency");
        // Milliseconds at most, but for a machine that has other things to do.
        assert!((0.000_01..0.1).contains(&median) && median <= p99 && p99 <= longest, "{stream:#}");
        let [median, _, longest] = seconds(&stream, "first_bytes");
        assert!(0.0 < median && median <= longest && longest < 10.0, "{stream:#}");
        println!("{name}: the server adds {:?}", seconds(&stream, "latency"));
    }
    let stream = entry(&state(&server), "streams", "cam.webm").clone();
    let [median, ..] = seconds(&stream, "capture_latency");
    assert!((0.000_01..2.0).contains(&median), "encoding takes its time: {stream:#}");
    assert_eq!(seconds(entry(&state(&server), "streams", "tick"), "capture_latency"), [-1.0; 3], "nobody knows");
    let metrics = metrics(&server.get("/metrics").text());
    let count = |series: &str| metrics[&format!("voyandz_stream_{series}")];
    assert!(count("latency_seconds_count{stream=\"tick\"}") > 10.0);
    assert_eq!(
        count("latency_seconds_bucket{stream=\"tick\",le=\"+Inf\"}"),
        count("latency_seconds_count{stream=\"tick\"}")
    );
    assert!(count("capture_latency_seconds{stream=\"cam.webm\",quantile=\"0.5\"}") > 0.0);
    assert_eq!(metrics["voyandz_first_byte_seconds_count{container=\"webm\"}"], 1.0);
}

#[test]
fn what_waits_for_a_viewer_is_no_latency_of_the_server() {
    let launch = Launch::bare();
    let picture = launch.folder().join("one.jpg");
    image::RgbImage::new(64, 64).save(&picture).unwrap();
    let server = launch
        .with(&format!(
            "
            feeds: {{much: {{command: {}}}, once: {{command: {}}}}}
            streams: {{much: {{feed: much}}, once.mjpeg: {{feed: once}}}}
            ",
            shell("while head -c 100000 /dev/zero; do sleep 0.01; done"),
            shell(&format!("cat {}; exec sleep 1000", picture.display())),
        ))
        .start();
    // One that takes nothing for a while.
    let mut slow = server.get("/much");
    let told = |stream: &Value| stream["latency"]["max_seconds"].as_f64();
    wait_for(&server, "streams", "much", |stream| told(stream).is_some());
    let begun = Instant::now();
    wait_until("it is slow", SOON, || begun.elapsed() > secs(3));
    slow.take(20 << 20, SOON);
    drop(slow);
    let much = wait_for(&server, "streams", "much", |stream| stream["readers"] == 0);
    assert!(much["bytes_out"].as_u64() > Some(20 << 20) && told(&much) < Some(1.5), "{much:#}");
    // One that comes late, and begins with what there is.
    let mut first = server.get("/once.mjpeg");
    first.take(500, SOON);
    let counted = |server: &Server| {
        metrics(&server.get("/metrics").text())
            .get("voyandz_stream_latency_seconds_count{stream=\"once.mjpeg\"}")
            .copied()
    };
    wait_until("it is counted", SOON, || counted(&server) == Some(1.0));
    wait_for(&server, "streams", "once.mjpeg", |stream| stream["idle_seconds"].as_f64() > Some(1.5));
    let mut late = server.get("/once.mjpeg?keyframe=1");
    late.take(500, SOON);
    drop((first, late));
    let once = wait_for(&server, "streams", "once.mjpeg", |stream| stream["readers"] == 0);
    assert!(counted(&server) == Some(1.0) && told(&once) < Some(1.0), "{once:#}");
}

#[test]
fn the_dashboard_shows_metrics_that_there_are() {
    let dashboard: Value = serde_json::from_str(include_str!("../../config/grafana.json")).unwrap();
    let (metric, known) = (Regex::new("(?:voyandz|process)_[a-z_]+").unwrap(), documented_metrics());
    let panels = dashboard["panels"].as_array().unwrap();
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
        let expression = target["expr"].as_str().unwrap();
        let unknown: Vec<_> = metric
            .find_iter(expression)
            .map(|found| found.as_str().trim_end_matches("_bucket"))
            .filter(|name| !known.contains(name))
            .collect();
        assert!(unknown.is_empty() && metric.is_match(expression), "{unknown:?} of {expression}");
    }
}

/// What Prometheus itself says of it.
fn promtool(text: &str) {
    let Some(promtool) = tool("promtool") else { return };
    let mut command = Command::new(promtool);
    let checks = command.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::piped());
    let mut checks = checks.spawn().unwrap();
    checks.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = checks.wait_with_output().unwrap();
    // It leaves with 0 when it has something to say that is no fault.
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn fifty_feeds_are_scraped_at_once_and_cheaply() {
    let feeds: String = (0..50)
        .map(|at| format!("  f{at}: {{command: {}}}\n", shell("while printf %200s tick; do sleep 1; done")))
        .collect();
    let streams: String = (0..50).map(|at| format!("  s{at}: {{feed: f{at}}}\n")).collect();
    let server = Server::start(&format!("feeds:\n{feeds}streams:\n{streams}"));
    // All of them run and are watched, so that all is known that can be.
    let viewers: Vec<_> = (0..50).map(|at| server.get(&format!("/s{at}"))).collect();
    let scrape = || {
        let began = Instant::now();
        (server.get("/metrics").text(), began.elapsed())
    };
    wait_until("all are known", SOON, || scrape().0.matches("voyandz_stream_latency_seconds_count").count() == 50);
    let (text, _) = scrape();
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    // Of pipelines, what lies between capture and packet would be known, too: two shares, a sum and a count.
    assert!(series + 50 * 4 <= 2000, "{series}");
    promtool(&text);
    let mut times: Vec<_> = (0..20).map(|_| scrape().1).collect();
    times.sort();
    println!("{series} series; a scrape takes {:?}, {:?} at worst", times[10], times[19]);
    // The promise is 20 ms; a machine that runs all tests at once keeps it half of the time at least.
    assert!(times[10] < millis(20), "{times:?}");
    drop(viewers);
}
