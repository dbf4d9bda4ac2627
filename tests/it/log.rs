//! The log: one form for every line, whatever happens.

use crate::rig::{
    Launch, SOON, have_failpoints, http, log, process,
    script::{H264, PICTURE, shell},
    secs,
    server::run,
    wait_until,
};
use regex::Regex;
use rustix::process::Signal;
use serde_json::Value;
use std::{collections::BTreeSet, fs, net::SocketAddr};

/// A server in which all happens that could break a log.
fn shouting() -> Launch {
    // A program that says two lines at once, control characters, markup, no end of the line.
    let shouting =
        shell("printf \"one\\ntwo\\n\\n\\033[31mred\\r\\n<b>\\\"}\\nvoyandz 9.9.9\\001\" >&2; sleep 0.3; exit 1");
    let launch = Launch::new(&format!(
        "
        feeds:
          loud: {{command: {shouting}, mode: continuous}}
          cam: {{pipeline: '{PICTURE} ! identity error-after=5'}}
        streams:
          loud: {{feed: loud, container: raw}}
          cam.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}
        "
    ));
    launch.env("FAILPOINTS", "request=1*panic").env("VOYANDZ_LOG", "info,voyandz=debug")
}

/// Asks for what makes lines.
fn disturb(address: SocketAddr) {
    let status = http::get(address, "/").status;
    assert_eq!(status, if have_failpoints() { 500 } else { 200 });
    http::get(address, "/cam.mjpeg").collect(secs(1));
    http::request(address, "GET", "/%0a2020-01-01%1b[31m", "X-Request-Id: mine\r\n").text();
}

const LINE: &str = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (?:(?:ERROR|WARN|INFO|DEBUG|TRACE) \S|  )";

#[test]
fn o1_every_line_begins_with_the_time() {
    let mut server = shouting().start();
    disturb(server.address());
    server.log.wait("stderr.*one", SOON);
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
fn a_log_for_programs_has_an_object_in_every_line() {
    let mut server = shouting().arg("--log-format").arg("json").spawn();
    let listening = server.log.wait(r#""message":"listening""#, SOON);
    let object = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    disturb(object(&listening)["address"].as_str().unwrap().parse().unwrap());
    server.log.wait("stderr.*one", SOON);
    server.terminate();
    server.wait(secs(10));
    let lines: Vec<_> = server.log.lines().iter().map(|line| object(line)).collect();
    let (time, levels) =
        (Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$").unwrap(), ["error", "warn", "info", "debug"]);
    for line in &lines {
        assert!(time.is_match(line["time"].as_str().unwrap()), "{line}");
        assert!(levels.contains(&line["level"].as_str().unwrap()) && line["message"].is_string(), "{line}");
    }
    assert!(server.log.lines().iter().all(|line| line.starts_with("{\"time\":") && !line.contains(char::is_control)));
    assert_eq!(lines[0]["message"], format!("voyandz {}", env!("CARGO_PKG_VERSION")));
    let request = lines.iter().find(|line| line["message"] == "request" && line["id"] == "mine").unwrap();
    let names: BTreeSet<_> = request.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "bytes gaps id level message method path peer reason seconds status time";
    assert_eq!(names, expected.split(' ').collect());
    assert_eq!((&request["status"], &request["path"]), (&404.into(), &"/%0a2020-01-01%1b[31m".into()));
    assert!(request["seconds"].is_f64() && request["bytes"].as_u64() > Some(10), "{request}");
    let said = |text: &str| lines.iter().any(|line| line["message"].as_str().unwrap().contains(text));
    let printed = |text: &str| {
        let stderr = lines.iter().filter(|line| line["message"] == "stderr");
        stderr.filter_map(|line| line["line"].as_str()).any(|line| line.contains(text))
    };
    assert!(printed("<b>\"}") && printed("two") && printed("voyandz 9.9.9"), "{}", server.log.text());
    assert_eq!(said("panic in thread"), have_failpoints());
}

#[test]
fn a_log_in_a_file_goes_on_in_a_new_one_when_it_is_rotated() {
    let launch = Launch::new("streams: {}");
    let (path, old) = (launch.folder().join("voyandz.log"), launch.folder().join("voyandz.log.1"));
    let mut server = launch.arg("--log-file").arg("voyandz.log").spawn();
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    wait_until("it listens", SOON, || read(&path).contains(" listening "));
    let text = read(&path);
    let address =
        log::field(text.lines().find(|line| line.contains(" listening ")).unwrap(), "address").parse().unwrap();
    // Somebody asks all the while, so that lines come before, while and after the file is exchanged.
    let asked = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut asked = 0;
            while !read(&path).contains(" path=/after ") {
                asked += 1;
                assert_eq!(http::get(address, &format!("/number/{asked}")).status, 404);
            }
            asked
        });
        wait_until("lines in the old file", SOON, || read(&path).contains(" path=/number/20 "));
        fs::rename(&path, &old).unwrap();
        process::send(server.pid(), Signal::HUP);
        wait_until("lines in the new file", SOON, || read(&path).contains(" path=/number/"));
        http::get(address, "/after");
        asking.join().unwrap()
    });
    server.terminate();
    server.wait(secs(10));
    let (before, after) = (read(&old), read(&path));
    assert!(after.contains("SIGHUP: reloading the configuration"), "{after}");
    assert!(after.ends_with(" stopped\n") && !after.contains(" listening "), "{after}");
    let number = Regex::new(r" path=/number/(\d+) ").unwrap();
    let both = before + &after;
    let mut numbers: Vec<u32> = number.captures_iter(&both).map(|found| found[1].parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=asked).collect::<Vec<_>>(), "each once");
    assert!(server.log.text().is_empty(), "{}", server.log.text());
    let refused = run(&["--log-file", "/nowhere/voyandz.log"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot open the log file /nowhere/voyandz.log: "));
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
    assert!(server.log.count("stderr .*xxx") < 500, "{} lines", server.log.count("stderr .*xxx"));
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
    for part in ["stderr stream=shot line=\"cannot look\"", "failed stream=shot", "request peer="] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }

    let mut own = ask("/own", "X-Request-Id: <b>\r\n");
    let id = own.header("x-request-id").unwrap().to_owned();
    own.take(10, SOON);
    drop(own);
    server.log.wait("request .*path=/own", SOON);
    let told = lines(&id).join("\n");
    for part in ["stderr stream=own line=begins", "viewer joined", "request peer="] {
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
    assert_eq!(server.log.count(r"running feed=tick$"), 1);
}

#[test]
fn a_request_stays_in_the_trace_that_it_comes_from() {
    let server = Launch::new("streams: {shot: {type: shot, command: [sh, -c, 'echo no >&2; exit 1']}}").start();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let ask = |header: &str| http::request(server.address(), "GET", "/shot", header);
    let mut answer = ask(&format!("traceparent: 00-{trace}-b7ad6b7169203331-01\r\n"));
    answer.text();
    let told = answer.header("traceparent").unwrap();
    let form = Regex::new(&format!("^00-{trace}-[0-9a-f]{{16}}-01$")).unwrap();
    assert!(form.is_match(told) && !told.contains("b7ad6b7169203331"), "{told}");
    let again = ask(&format!("traceparent: 00-{trace}-b7ad6b7169203331-01\r\n"));
    assert_ne!(again.header("traceparent"), Some(told), "each request is another part of the trace");
    server.log.wait_nth("request .*path=/shot", 2, SOON);
    let lines = server.log.matching(&format!(" trace={trace}( |$)")).join("\n");
    for part in ["stderr stream=shot line=no", "failed stream=shot", "request peer="] {
        assert!(lines.contains(part), "{part} is not in\n{lines}");
    }
    assert_eq!(ask("traceparent: 00-x-y-01\r\n").header("traceparent"), None);
    server.log.wait_nth("request .*path=/shot", 3, SOON);
    assert_eq!(server.log.count(" trace=.*path=/shot"), 2);
}

#[test]
fn from_a_request_one_finds_all_that_happened_to_its_stream() {
    let server = Launch::new(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}, other: {{command: cat, mode: continuous}}}}
        streams: {{cam.ts: {{feed: cam, video: {H264}}}}}
        "
    ))
    .env("VOYANDZ_LOG", "info,voyandz=debug")
    .start();
    let mut viewer = http::request(server.address(), "GET", "/cam.ts", "X-Request-Id: seeker-1\r\n");
    viewer.take(10_000, SOON);
    process::send(server.worker("cam"), Signal::SEGV);
    server.log.wait_nth("running feed=cam", 2, SOON);
    viewer.take(10_000, SOON);
    drop(viewer);
    server.log.wait("request .*id=seeker-1", SOON);
    // Its own lines name the stream and the feed; theirs tell of the death and of the worker that came.
    let own = server.log.matching(" id=seeker-1( |$)");
    assert_eq!(own.len(), 2, "{own:?}");
    let (stream, feed) = (log::field(&own[0], "stream"), log::field(&own[0], "feeds"));
    assert_eq!((stream, feed), ("cam.ts", "cam"));
    assert!(own[1].contains(" status=200 ") && own[1].contains("reason=\"client left\""), "{own:?}");
    let told = server.log.matching(" (stream=cam.ts|feed=cam)( |$)").join("\n");
    for part in
        [r"ended feed=cam reason=.its worker was killed by signal 11", "running feed=cam", "running stream=cam.ts"]
    {
        assert!(Regex::new(part).unwrap().is_match(&told), "{part} is not in\n{told}");
    }
    assert!(!told.contains("other"), "{told}");
}

#[test]
fn polls_are_lines_only_for_those_who_look_for_them() {
    for (argument, lines) in [(None, 0), (Some("-v"), 4)] {
        let mut launch = Launch::new("streams: {}");
        if let Some(argument) = argument {
            launch = launch.arg(argument);
        }
        let server = launch.start();
        for target in ["/stat.json", "/metrics", "/livez", "/stat?refresh=1"] {
            assert_eq!(server.get(target).status, 200);
        }
        assert_eq!((server.get("/stat").status, server.get("/nowhere").status), (200, 404));
        server.log.wait("path=/stat status=200", SOON);
        server.log.wait("path=/nowhere", SOON);
        assert_eq!(
            server.log.matching("path=\"?/(stat.json|metrics|livez|stat.refresh=1)").len(),
            lines,
            "{}",
            server.log.text()
        );
    }
}
