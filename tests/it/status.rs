//! What the server says of itself, and whether that is true.

use crate::rig::{
    Launch, SOON, Server, have, have_failpoints, http, log, media, process,
    publisher::{H264_AAC, Publisher},
    script::{H264, PICTURE, shell},
    secs,
    state::{entry, state, state_at, wait_for},
    ts, wait_until,
};
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64;
use regex::Regex;
use rustix::process::Signal;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::TcpStream,
    time::Instant,
};

#[test]
fn the_rate_of_a_stream_is_that_of_what_is_made_of_it() {
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}}}
        streams: {{film: {{feed: cam, video: {H264}}}}}
        "
    ));
    let mut viewer = server.get("/film.mp4");
    viewer.piece(SOON);
    let film = wait_for(&server, "streams", "film", |film| film["bit_rate"].as_u64() > Some(0));
    assert!((100_000..900_000).contains(&film["bit_rate"].as_u64().unwrap()), "{film:#}");
    assert_eq!((&film["bytes"], &film["outputs"][0]["container"]), (&0.into(), &"ts".into()), "{film:#}");
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

/// Row O8.
#[test]
fn figures_of_a_stream_are_those_of_ffprobe() {
    if !have("ffprobe") {
        return;
    }
    let video = "{codec: h264, preset: ultrafast, bitrate: 400k, gop: 50}";
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}}}
        streams: {{cam.ts: {{feed: cam, video: {video}}}}}
        "
    ));
    let mut viewer = server.get("/cam.ts?header=1&keyframe=1");
    let mut bytes = viewer.collect(secs(7));
    let said = entry(&state(&server), "streams", "cam.ts").clone();
    bytes.extend(viewer.collect(secs(1)));
    let bytes = ts::trim(&bytes);
    let near = |key: &str, said: &Value, true_value: f64| {
        let said = said.as_f64().unwrap_or_else(|| panic!("no {key}"));
        assert!((said / true_value - 1.0).abs() < 0.05, "{key}: {said}, but it is {true_value}");
    };
    let times = media::packet_times(&bytes, "v");
    let rate = (times.len() - 1) as f64 / (times[times.len() - 1] - times[0]);
    near("fps", &said["tracks"][0]["fps"], rate);
    near("height", &said["tracks"][0]["height"], f64::from(media::heights(&bytes)[0]));
    let (pictures, _) = media::pictures(&bytes);
    let keys: Vec<_> = pictures.match_indices('I').map(|(at, _)| at).collect();
    near("gop_seconds", &said["gop_seconds"], (keys[2] - keys[1]) as f64 / rate);
    // Of the time that the server looked at, which were some groups of pictures.
    let span = times.len() as f64 / rate;
    near("bit_rate", &said["bit_rate"], bytes.len() as f64 * 8.0 / span);
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
    assert!(error.starts_with("exited with code 3") && error.ends_with("rtsp://***@camera"), "{error}");
    assert_eq!(bad["last_lines"][0], "cannot open rtsp://***@camera");
    assert!(bad["last_lines"].as_array().unwrap().len() <= 10);
    assert!(!bad.to_string().contains("geheim"), "{bad:#}");
    assert!(bad["last_error_time"].as_str() > Some("2020"), "{bad:#}");

    let cam = wait_for(&server, "feeds", "cam", |feed| feed["state"] == "running");
    process::send(i32::try_from(cam["worker_pid"].as_i64().unwrap()).unwrap(), Signal::SEGV);
    let cam = wait_for(&server, "feeds", "cam", |feed| feed["restarts"] == 1 && feed["state"] == "running");
    assert_eq!(cam["last_error"], "its worker was killed by signal 11");
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
    let stream = wait_for(&server, "streams", "s", |stream| stream["dropped_readers"] == 1 && stream["readers"] == 0);
    assert_eq!(stream["readers_ever"], 1);
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
          bad: {{command: {}, restart: false, mode: continuous}}
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
    let policy = answer.header("content-security-policy").unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"), "{policy}");
    let html = answer.text();
    let style = html.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let hash = BASE64.encode(digest(&SHA256, style.as_bytes()).as_ref());
    assert!(policy.contains(&format!("style-src 'sha256-{hash}'")), "{policy}");
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
        "feeds:
  cam: {{pipeline: '{PICTURE}', mode: continuous}}
  booth: {{publish: {{key: s3cret}}}}
  empty: {{publish: {{key: s3cret}}}}
  wire: {{url: 'udp://:9'}}
streams: {{cam: {{feed: cam, record: {{folder: rec}}}}, booth: {{feed: booth, push: 'rtmp://127.0.0.1:1/a'}}}}
pages: {{clients: true}}"
    ));
    if !have("ffmpeg") {
        return;
    }
    let _publisher = Publisher::put(H264_AAC, "mpegts", &server.url("/booth?key=s3cret"));
    wait_for(&server, "feeds", "booth", |feed| feed["state"] == "running");
    wait_for(&server, "feeds", "cam", |feed| feed["tracks"].as_array().is_some_and(|tracks| !tracks.is_empty()));
    let mut viewer = server.get("/cam.mkv");
    viewer.take(1, SOON);
    wait_for(&server, "streams", "cam", |stream| stream["tracks"].as_array().is_some_and(|tracks| !tracks.is_empty()));
    let mut fields = BTreeSet::new();
    collect("", &state(&server), &mut fields);
    let document = include_str!("../../docs/http.md");
    let section = document.split("\n### Fields").nth(1).unwrap().split("\n#").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<String> = rows.map(|(field, _)| field.to_owned()).collect();
    assert_eq!(leaves(fields), leaves(documented));
}

/// Without those that others are below of: a list without entries, or what is there only sometimes.
fn leaves(names: BTreeSet<String>) -> BTreeSet<String> {
    let is_below = |name: &str, other: &str| other.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', '[']));
    names.iter().filter(|name| !names.iter().any(|other| is_below(name, other))).cloned().collect()
}

/// The names of all leaves: `feeds[].tracks[].codec`.
fn collect(path: &str, value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
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
    let name = said.trim_end().strip_prefix("stalled event loops: ").unwrap().to_owned();
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
    let mut server = Server::start("");
    // One that has begun to ask is still answered.
    let mut late = TcpStream::connect(server.address()).unwrap();
    late.write_all(b"GET /readyz?verbose HTTP/1.1\r\n").unwrap();
    // Connections are taken one after the other.
    assert_eq!(server.get("/readyz").status, 200);
    server.terminate();
    server.log.wait("shutting down: no new connections", SOON);
    late.write_all(b"Host: x\r\n\r\n").unwrap();
    let mut text = String::new();
    late.read_to_string(&mut text).unwrap();
    assert!(
        text.starts_with("HTTP/1.1 503 ") && text.contains("\"detail\": \"the server is shutting down\""),
        "{text}"
    );
    server.wait(secs(10));
}
