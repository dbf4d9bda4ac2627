//! Recordings are protected and deleted by request, and what is to be expected of a disk is said.

use crate::{
    recordings::{files, json, moved, recorded},
    rig::{
        SOON, Server,
        browser::{Browser, have_browser},
        have, http, media, millis,
        script::{H264, PICTURE},
        secs,
        server::PROGRAM,
        state::wait_for,
        times, wait_until,
    },
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::{fs, process::Command, time::Instant};
use tempfile::TempDir;

const PATCH: &str = "Content-Type: application/merge-patch+json\r\n";

/// A server that has recorded files of `cam` and records on, whose recordings anyone may change.
fn kept(folder: &TempDir) -> Server {
    let server = operated(folder, "every: 1s");
    server.log.wait_nth("recording file closed", 5, SOON);
    server
}

/// The same with these keys of `record`, and nothing recorded yet.
fn operated(folder: &TempDir, keys: &str) -> Server {
    let root = folder.path().display();
    Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}}}
        streams:
          cam: {{feed: cam, video: {H264}, record: {{folder: {root}, {keys}, part: 0.3}}}}
        auth: {{anyone: [operator]}}
        "
    ))
}

fn ask(server: &Server, method: &str, path: &str, body: &str) -> (u16, Value) {
    let headers = format!("{PATCH}Content-Length: {}\r\n\r\n{body}", body.len());
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}");
    let mut answer = http::send(server.address(), &head);
    let text = answer.text();
    (answer.status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

fn on(protected: bool) -> String {
    json!({"protected": protected}).to_string()
}

#[test]
fn spans_and_files_are_protected_and_deleted_by_request() {
    let folder = TempDir::new().unwrap();
    let server = kept(&folder);
    let all = "/api/v1/recordings/cam";
    let listed = json(&server, all);
    let list = listed["items"].as_array().unwrap().clone();
    assert!(list.len() >= 5 && listed["total"] == list.len(), "{listed:#}");
    let path = |entry: &Value| folder.path().join(entry["file"].as_str().unwrap());
    let file = |entry: &Value| format!("{all}/{}", entry["id"].as_str().unwrap());
    assert_eq!(json(&server, &file(&list[0])), list[0]);
    assert_eq!(json(&server, "/rec/cam/list")[0]["id"], list[0]["id"]);

    // One file: what is protected is not deleted.
    let (status, shown) = ask(&server, "PATCH", &file(&list[0]), &on(true));
    assert_eq!((status, &shown["protected"]), (200, &json!(true)), "{shown}");
    let (status, refused) = ask(&server, "DELETE", &file(&list[0]), "");
    assert_eq!((status, &refused["type"]), (409, &json!("/api/problems/not-deletable")), "{refused}");
    assert!(path(&list[0]).exists());

    // A span deletes what is wholly in it, and says what it kept.
    let from = moved(&list[0]["start"], -1);
    let to = moved(&list[2]["end"], -300);
    let span = format!("{all}?from={from}&to={to}");
    let (status, deleted) = ask(&server, "DELETE", &span, "");
    assert_eq!((status, &deleted["changed"]), (200, &json!(1)), "{deleted}");
    assert_eq!(deleted["kept"], json!({"open": 0, "protected": 1, "partly": 1}));
    assert_eq!(deleted["files"], json!([list[1]["file"]]));
    assert!(!path(&list[1]).exists() && path(&list[0]).exists() && path(&list[2]).exists());
    assert_eq!(ask(&server, "GET", &file(&list[1]), "").0, 404);
    assert_eq!(ask(&server, "DELETE", &file(&list[1]), "").0, 404);

    // Not protected any more, it goes.
    let (_, changed) = ask(&server, "PATCH", &span, &on(false));
    assert_eq!((&changed["changed"], &changed["unchanged"]), (&json!(1), &json!(1)), "{changed}");
    assert_eq!(ask(&server, "DELETE", &file(&list[0]), "").0, 204);
    assert!(!path(&list[0]).exists());

    // What is written at this moment stays.
    let newest = || json(&server, all)["items"].as_array().unwrap().last().unwrap().clone();
    wait_until("a file is written", SOON, || newest()["ended"].is_null());
    let status = |newest: &Value| ask(&server, "DELETE", &file(newest), "").0;
    // It may end at this moment.
    wait_until("it is not deleted", SOON, || status(&newest()) == 409);

    // All of it is in the journal.
    let told = json(&server, "/api/v1/events?after=0&type=recording.protected,recording.deleted");
    let told: Vec<_> = told["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (event["type"].as_str().unwrap(), event["data"]["file"].clone()))
        .collect();
    assert_eq!(
        told,
        [
            ("recording.protected", list[0]["file"].clone()),
            ("recording.deleted", list[1]["file"].clone()),
            ("recording.protected", list[0]["file"].clone()),
            ("recording.deleted", list[0]["file"].clone()),
        ]
    );

    // Bad requests change nothing, and say what is wrong.
    let check = |method: &str, path: &str, body: &str, status: u16, says: &str| {
        let (found, problem) = ask(&server, method, path, body);
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(found == status && detail.contains(says), "{method} {path}: {found} {problem}");
    };
    check("DELETE", all, "", 400, "give the span");
    check("DELETE", &format!("{all}?from={from}"), "", 400, "give the span");
    check("DELETE", &format!("{all}?from=noon&for=1h"), "", 400, "from=noon is not valid: expected a time like");
    check("PATCH", &span, "{}", 400, "expected {\"protected\": true}");
    check("PATCH", &span, "{\"protected\": true, \"title\": \"x\"}", 400, "expected {\"protected\": true}");
    check("PATCH", &format!("{all}/nothing"), &on(true), 404, "there is no recording");
    let (status, nothing) = ask(&server, "DELETE", "/api/v1/recordings/..%2Fcam?from=0&for=1h", "");
    assert_eq!((status, &nothing["changed"]), (200, &json!(0)), "{nothing}");
    assert!(path(&list[2]).exists());
}

#[test]
fn recordings_are_changed_by_those_who_may() {
    let folder = TempDir::new().unwrap();
    // Anyone may play, and not change.
    let server = recorded(folder.path());
    let list = json(&server, "/api/v1/recordings/cam");
    let id = list["items"][0]["id"].as_str().unwrap();
    for (method, path, body) in [
        ("PATCH", format!("/api/v1/recordings/cam/{id}"), on(true)),
        ("DELETE", format!("/api/v1/recordings/cam/{id}"), String::new()),
        ("DELETE", "/api/v1/recordings/cam?from=0&to=1".to_owned(), String::new()),
    ] {
        assert_eq!(ask(&server, method, &path, &body).0, 403, "{method} {path}");
    }
    let page = server.get("/recordings").text();
    assert!(!page.contains("data-changes") && page.contains("data-root"), "{page}");
}

#[test]
fn what_is_to_be_expected_of_the_disk_is_said() {
    let folder = TempDir::new().unwrap();
    let server = operated(&folder, "every: 2s, keep: {size: 1G}");
    let stream = wait_for(&server, "streams", "cam", |stream| !stream["recording"]["bytes_per_day"].is_null());
    let recording = &stream["recording"];
    let per_day = recording["bytes_per_day"].as_f64().unwrap();
    // The rate of the stream, to a factor: its first seconds are not like the others.
    let rate = recording["bytes"].as_f64().unwrap() / 10.0 * 86_400.0;
    assert!(per_day > rate / 3.0 && per_day < rate * 3.0, "{per_day} {rate}");
    let holds = recording["holds_seconds"].as_f64().unwrap();
    let expected = f64::from(1 << 30) / per_day * 86_400.0;
    assert!((holds - expected).abs() < expected / 100.0, "{holds} {expected}");
    let page = server.get("/recordings").text();
    assert!(page.contains(" · keeps ") && page.contains(" hours"), "{page}");
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("voyandz_recording_holds_seconds{stream=\"cam\"}"), "{metrics}");
    drop(server);
    // Without limits it is full one day.
    let server = operated(&folder, "every: 1h");
    let stream = wait_for(&server, "streams", "cam", |stream| !stream["recording"]["bytes_per_day"].is_null());
    let recording = &stream["recording"];
    let full = recording["full_in_seconds"].as_f64();
    let (free, per_day) = (recording["free_bytes"].as_f64().unwrap(), recording["bytes_per_day"].as_f64().unwrap());
    let expected = free / per_day * 86_400.0;
    match full {
        Some(full) => assert!((full - expected).abs() < expected / 20.0, "{full} {expected}"),
        None => assert!(expected > 3.0e9, "{recording}"),
    }
    assert!(recording["holds_seconds"].is_null());
}

#[test]
fn the_command_line_lists_protects_and_deletes() {
    let folder = TempDir::new().unwrap();
    let server = kept(&folder);
    let ctl = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(["ctl", "recordings", "cam"]).args(arguments).env_remove("VOYANDZ_CONFFILE");
        let output = command.env("VOYANDZ_SERVER", server.url("")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let table = ctl(&[]);
    assert!(table.starts_with("ID ") && table.contains("  cut  "), "{table}");
    let list: Value = serde_json::from_str(&ctl(&["--json"])).unwrap();
    let id = |number: usize| list[number]["id"].as_str().unwrap();
    assert!(ctl(&["protect", "--id", id(0)]).contains("protected: true"));
    let begin = moved(&list[0]["start"], -1);
    let end = moved(&list[1]["end"], 1);
    let deleted = ctl(&["delete", "--from", &begin, "--to", &end]);
    assert!(deleted.contains("changed: 1"), "{deleted}");
    ctl(&["unprotect", "--from", &begin, "--for", "1s"]);
    ctl(&["delete", "--id", id(0)]);
    let left = files(folder.path(), "mp4");
    assert!(left.iter().all(|file| !file.to_str().unwrap().ends_with("-0000001.mp4")), "{left:?}");
}

#[test]
fn the_page_protects_and_deletes_what_is_chosen() {
    if !have_browser() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let server = kept(&folder);
    let browser = Browser::start();
    browser.open(&server.url("/recordings"));
    let blocks = "document.querySelectorAll('.line button')";
    browser.wait(&format!("return {blocks}.length === 1"), secs(20));
    // From the first file to the middle of the third.
    let list = json(&server, "/rec/cam/list");
    let choose = |from: &Value, to: &Value| {
        browser.run(&format!(
            "const local = (text, up) => new Date(Math.floor(Date.parse(text) / 1000 + up) * 1000 - new Date().getTimezoneOffset() * 60000).toISOString().slice(0, 19);
            document.getElementById('from').value = local({from}, 0);
            document.getElementById('to').value = local({to}, 1);
            document.getElementById('to').dispatchEvent(new Event('change'))"
        ));
    };
    choose(&list[0]["start"], &list[1]["start"]);
    let notice = "document.getElementById('notice').textContent";
    browser.run("document.getElementById('protect').click()");
    browser.wait(&format!("return {notice}.includes('protected.')"), secs(10));
    browser.wait(
        &format!("return {blocks}.length === 2 && {blocks}[0].className === 'kept' && {blocks}[0].ariaLabel.endsWith(', protected')"),
        secs(10),
    );
    assert_eq!(json(&server, "/rec/cam/list")[0]["protected"], true);
    browser.run("window.confirm = () => true; document.getElementById('delete').click()");
    browser.wait(&format!("return {notice}.includes('not deleted') && {notice}.includes('protected')"), secs(10));
    browser.run("document.getElementById('unprotect').click()");
    browser.wait(&format!("return {notice}.includes('not protected any more')"), secs(10));
    let count =
        || json(&server, "/rec/cam/list").as_array().unwrap().iter().filter(|file| file["id"] == list[0]["id"]).count();
    assert_eq!(count(), 1);
    browser.run("document.getElementById('delete').click()");
    wait_until("the first file is deleted", SOON, || count() == 0);
    let escaped = utf8_percent_encode(list[0]["id"].as_str().unwrap(), NON_ALPHANUMERIC).to_string();
    assert_eq!(server.get(&format!("/api/v1/recordings/cam/{escaped}")).status, 404);
}

/// A line of an index, and the name of its day.
fn line(sequence: u64, day: u64) -> String {
    let from = (day * 86_400 + sequence % 1000) * 1_000_000;
    let entry = json!({"sequence": sequence, "path": format!("cam/{day}/{sequence}.mp4"), "from": from, "to": from + 900_000,
        "bytes": 1000, "codecs": "avc1.42c01e", "run": 1, "media": 0, "ended": "cut", "protected": false});
    format!("{}\n", json!({"open": entry}))
}

/// `VOYANDZ_FILES` makes it longer: `ci/long` has a million, where the limits of time count.
#[test]
fn a_start_reads_the_newest_days_and_remembers_the_others() {
    let files = u64::from(times("VOYANDZ_FILES", 1200));
    let is_long = files > 100_000;
    let days: u64 = if is_long { 1000 } else { 60 };
    let a_day = files / days;
    let folder = TempDir::new().unwrap();
    let index = folder.path().join(".voyandz/index/cam");
    fs::create_dir_all(&index).unwrap();
    for day in 0..days {
        let time = jiff::Timestamp::from_second(i64::try_from((19_000 + day) * 86_400).unwrap()).unwrap();
        let text: String = (0..a_day).map(|number| line(day * a_day + number + 1, 19_000 + day)).collect();
        fs::write(index.join(format!("{}.idx", time.strftime("%Y-%m-%d"))), text).unwrap();
    }
    let began = Instant::now();
    let server = operated(&folder, "every: 1h");
    server.log.wait(&format!("recording folder opened .*unread_days={}", days - 2), SOON);
    let opened = began.elapsed();
    server.log.wait("index of recordings read", secs(120));
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["kept_files"] == days * a_day + 1);
    let list = json(&server, "/rec/cam/list");
    assert_eq!(list[0]["sequence"], days * a_day + 1, "numbers continue");
    drop(server);
    let began = Instant::now();
    let server = operated(&folder, "every: 1h");
    server.log.wait("recording folder opened .*unread_days=0", SOON);
    let opened_again = began.elapsed();
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["kept_files"] == days * a_day + 2);
    let began = Instant::now();
    let from = (19_000 + days / 2) * 86_400;
    let list = json(&server, &format!("/rec/cam/list?from={from}&for=1d"));
    let listed = began.elapsed();
    assert_eq!(list.as_array().unwrap().len() as u64, a_day);
    println!("{files} files: start {opened:?}, again {opened_again:?}, list of a day {listed:?}");
    if is_long && !cfg!(debug_assertions) {
        assert!(opened < secs(2) && opened_again < secs(2) && listed < millis(50));
    }
}

#[test]
fn a_span_is_copied_into_a_clip_of_its_own() {
    let folder = TempDir::new().unwrap();
    let server = kept(&folder);
    let list = json(&server, "/api/v1/recordings/cam");
    let (first, third) = (&list["items"][0], &list["items"][2]);
    let clips = "/api/v1/recordings/cam/clips";
    let span = format!("{clips}?from={}&to={}", moved(&first["start"], 100), moved(&third["end"], -200));
    let (status, clip) = ask(&server, "POST", &span, "");
    assert_eq!(status, 201, "{clip}");
    assert_eq!((&clip["start"], clip["duration"].as_f64() > Some(1.5)), (&first["start"], true), "{clip}");
    let file = folder.path().join(clip["file"].as_str().unwrap());
    let bytes = fs::read(&file).unwrap();
    assert_eq!(clip["bytes"], bytes.len());
    // It is what a film of this span is, and plays by itself.
    let path = clip["path"].as_str().unwrap();
    assert_eq!(server.get(path).rest(SOON), bytes);
    let mut part = http::request(server.address(), "GET", path, "Range: bytes=100-199\r\n");
    assert_eq!((part.status, part.rest(SOON)), (206, bytes[100..200].to_vec()));
    if have("ffmpeg") {
        media::assert_decodes_file(&file);
    }
    // The same span is the same clip.
    assert_eq!(ask(&server, "POST", &span, ""), (201, clip.clone()));
    assert_eq!(json(&server, clips)["items"], json!([clip]));

    // It outlives what it was copied from.
    let all = format!("/api/v1/recordings/cam?from={}&to={}", moved(&first["start"], -1), moved(&third["end"], 1));
    assert_eq!(ask(&server, "DELETE", &all, "").1["changed"], 3);
    assert_eq!(server.get(path).rest(SOON), bytes);
    let (status, problem) = ask(&server, "POST", &span, "");
    assert_eq!((status, problem["detail"].as_str()), (404, Some("nothing was recorded there")), "{problem}");
    let check = |method: &str, path: &str, status: u16, says: &str| {
        let (found, problem) = ask(&server, method, path, "");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(found == status && detail.contains(says), "{method} {path}: {found} {problem}");
    };
    check("POST", clips, 400, "give the span");
    check("DELETE", &format!("{clips}/x"), 404, "there is no clip");
    check("DELETE", &format!("{clips}/1-2"), 404, "there is no clip");
    check("POST", "/api/v1/recordings/..%2Fcam/clips?from=0&for=1h", 404, "nothing was recorded there");
    let one = format!("{clips}/{}", clip["id"].as_str().unwrap());
    assert_eq!(ask(&server, "DELETE", &one, "").0, 204);
    assert!(!file.exists() && json(&server, clips)["items"] == json!([]));
    assert_eq!(server.get(path).status, 404);
    let told = json(&server, "/api/v1/events?after=0&type=recording.saved");
    assert_eq!(told["items"][0]["data"]["clip"], clip["id"], "{told}");

    // The folder, and what is in it.
    let storage = json(&server, "/api/v1/storage");
    let entry = &storage["items"][0];
    assert_eq!(entry["folder"], folder.path().to_str().unwrap(), "{storage:#}");
    assert!(entry["free_bytes"].as_u64() > Some(0) && entry["files"].as_u64() > Some(0), "{storage:#}");
    assert_eq!(entry["streams"][0]["stream"], "cam");
    assert_eq!(entry["streams"][0]["bytes"], entry["bytes"]);
}

#[test]
fn the_page_and_the_command_line_save_clips() {
    if have_browser() {
        saves_clips(&Browser::start());
    }
}

pub fn saves_clips(browser: &Browser) {
    let folder = TempDir::new().unwrap();
    let server = kept(&folder);
    let list = json(&server, "/api/v1/recordings/cam");
    let first = &list["items"][0];
    let ctl = |arguments: &[&str]| {
        let url = server.url("");
        let all = [&["ctl", "--server", &url, "recordings", "cam"], arguments].concat();
        let output = Command::new(PROGRAM).args(all).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (is_done, told) = ctl(&["clip", "--from", first["start"].as_str().unwrap(), "--for", "1s"]);
    assert!(is_done && told.contains("/rec/cam/clips/"), "{told}");
    let (is_done, table) = ctl(&["clips"]);
    assert!(is_done && table.contains("PATH") && table.lines().count() == 2, "{table}");
    browser.open(&server.url("/recordings"));
    browser.wait("return document.querySelectorAll('.clips a').length === 1", SOON);
    browser.run(
        "const line = document.querySelector('[data-stream=cam] .line'); document.querySelector('[data-hours=\"1\"]').click(); \
         const { left, width, top } = line.getBoundingClientRect(); \
         const at = (place) => ({ bubbles: true, button: 0, clientX: left + width * place, clientY: top + 5 }); \
         line.dispatchEvent(new PointerEvent('pointerdown', at(0.8))); line.dispatchEvent(new PointerEvent('pointerup', at(0.95)));",
    );
    browser.wait("return !document.getElementById('save').hidden", SOON);
    browser.run("document.getElementById('save').click()");
    browser.wait("return document.getElementById('notice').textContent.startsWith('Saved: .clips/cam/')", SOON);
    browser.wait("return document.querySelectorAll('.clips a').length === 2", SOON);
    let id = json(&server, "/api/v1/recordings/cam/clips")["items"][0]["id"].as_str().unwrap().to_owned();
    assert!(ctl(&["delete-clip", "--id", &id]).0 && !ctl(&["delete-clip"]).0);
    assert_eq!(json(&server, "/api/v1/recordings/cam/clips")["items"].as_array().unwrap().len(), 1);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
