//! The log: one form for every line, whatever happens.

use crate::rig::{
    Launch, SOON, have_failpoints,
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
    crate::rig::http::request(server.address(), "GET", "/%0a2020-01-01%1b[31m", "").text();
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
