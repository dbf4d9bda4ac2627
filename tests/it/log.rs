//! The log: one form for every line, whatever happens.

use crate::rig::{
    Launch, SOON, have_failpoints, http,
    script::{PICTURE, shell},
    secs, wait_until,
};
use regex::Regex;

const LINE: &str = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (?:(?:ERROR|WARN|INFO|DEBUG|TRACE) \S|  )";

#[test]
fn o1_every_line_begins_with_the_time() {
    // A program that says what would break a log: two lines at once, control characters, no end of the line.
    let shouting = shell("printf \"one\\ntwo\\n\\n\\033[31mred\\r\\nvoyandz 9.9.9\\001\" >&2; sleep 0.3; exit 1");
    let mut server = Launch::new(&format!(
        "
        feeds:
          loud: {{command: {shouting}, mode: continuous}}
          cam: {{pipeline: '{PICTURE} ! identity error-after=5'}}
        streams:
          loud: {{feed: loud, container: raw}}
          cam.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}
        "
    ))
    .env("FAILPOINTS", "request=1*panic")
    .env("VOYANDZ_LOG", "info,voyandz=debug")
    .start();
    let status = server.get("/").status;
    assert_eq!(status, if have_failpoints() { 500 } else { 200 });
    server.get("/cam.mjpeg").collect(secs(1));
    http::request(server.address(), "GET", "/%0a2020-01-01%1b[31m", "").text();
    server.log.wait("says: one", SOON);
    server.terminate();
    server.wait(secs(10));
    let (lines, form) = (server.log.lines(), Regex::new(LINE).unwrap());
    assert!(lines[0].contains(&format!("voyandz {}", env!("CARGO_PKG_VERSION"))), "{}", lines[0]);
    assert!(lines.len() > 10);
    for line in &lines {
        assert!(form.is_match(line) && !line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn o4_what_programs_say_is_kept_in_a_file_of_limited_size() {
    let launch = Launch::bare();
    let logs = launch.folder().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let line = "x".repeat(100);
    let flood = shell(&format!("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo {line} $i >&2; done; sleep 100"));
    let server = launch
        .with(&format!(
            "
            logdir: logs
            feeds: {{loud: {{command: {flood}, mode: continuous}}}}
            streams: {{loud: {{feed: loud, container: raw}}}}
            "
        ))
        .start();
    let kept = || std::fs::read_to_string(logs.join("feed-loud.log")).unwrap_or_default();
    wait_until("the last line is kept", SOON, || kept().ends_with(" 3000\n"));
    assert_eq!(kept().lines().count(), 3000);
    assert!(server.log.count("says: xxx") < 500, "{} lines", server.log.count("says: xxx"));
}

#[test]
fn every_line_about_a_request_carries_its_id() {
    let server = Launch::new(&format!(
        "
        feeds: {{tick: {{command: {}}}}}
        streams:
          tick: {{feed: tick}}
          shot: {{type: shot, command: {}}}
          own: {{client: exclusive, command: {}}}
        ",
        shell("while echo tick; do sleep 0.05; done"),
        shell("echo cannot look >&2; exit 1"),
        shell("echo begins >&2; while echo tick; do sleep 0.05; done"),
    ))
    .env("VOYANDZ_LOG", "info,voyandz=debug")
    .start();
    let ask = |path: &str, header: &str| http::request(server.address(), "GET", path, header);
    let lines = |id: &str| server.log.matching(&format!(" id={}( |$)", regex::escape(id)));

    let mut failed = ask("/shot", "X-Request-Id: my.shot-1\r\n");
    assert_eq!((failed.status, failed.header("x-request-id")), (500, Some("my.shot-1")));
    failed.text();
    server.log.wait("request .*path=/shot", SOON);
    let told = lines("my.shot-1").join("\n");
    for part in ["says: cannot look", "failed name=\"stream shot\"", "request peer="] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }

    let mut own = ask("/own", "X-Request-Id: <b>\r\n");
    let id = own.header("x-request-id").unwrap().to_owned();
    own.take(10, SOON);
    drop(own);
    server.log.wait("request .*path=/own", SOON);
    let told = lines(&id).join("\n");
    for part in ["says: begins", "begins to watch", "request peer="] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }

    // What is done for all has the id of none.
    let mut shared = ask("/tick", "");
    let other = shared.header("x-request-id").unwrap().to_owned();
    assert_ne!(other, id);
    shared.take(10, SOON);
    drop(shared);
    server.log.wait("request .*path=/tick", SOON);
    assert_eq!(lines(&other).len(), 2, "{:?}", lines(&other));
    assert_eq!(server.log.count(r"runs name=.feed tick.$"), 1);
}

#[test]
fn polls_are_lines_only_for_those_who_look_for_them() {
    for (argument, lines) in [(None, 0), (Some("-v"), 3)] {
        let mut launch = Launch::new("streams: {}");
        if let Some(argument) = argument {
            launch = launch.arg(argument);
        }
        let server = launch.start();
        for target in ["/stat.json", "/metrics", "/livez"] {
            assert_eq!(server.get(target).status, 200);
        }
        assert_eq!(server.get("/nowhere").status, 404);
        server.log.wait("path=/nowhere", SOON);
        assert_eq!(server.log.matching("path=/(stat.json|metrics|livez)").len(), lines, "{}", server.log.text());
    }
}
