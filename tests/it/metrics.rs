//! The numbers for Prometheus, and how long things take.

use crate::rig::{
    Launch, SOON, Server, http, millis,
    script::{H264, PICTURE, shell},
    secs, srt,
    state::{entry, state, wait_for},
    tool, wait_until,
};
use regex::Regex;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
    time::Instant,
};

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
        feeds: {{tick: {{command: {}, mode: continuous}}, cam: {{pipeline: '{PICTURE}'}}, booth: {{publish: {{key: s3cret}}}}, wire: {{url: 'udp://:9'}}}}
        streams: {{tick é: {{feed: tick}}, cam.ts: {{feed: cam, video: {H264}, record: {{folder: rec}}}}, all: {{feed: cam, video: {H264}, push: 'rtmp://127.0.0.1:1/a'}}}}
        srt: {{listen: '127.0.0.1:0'}}
        hooks: {{h: {{run: 'true', events: none}}}}
        ",
        shell("while echo tick; do sleep 0.02; done")
    ));
    assert_eq!(srt::Caller::new(srt::port(&server), 1, "nothing").connect(), Err(2404));
    assert_eq!(server.get("/all/hls/v0-1.m4s").status, 404);
    // A publisher that has left.
    assert_eq!(http::request(server.address(), "PUT", "/booth?key=s3cret", "Content-Length: 0\r\n").status, 415);
    let mut viewers = ["/tick%20%C3%A9", "/cam.ts", "/all.mp4"].map(|path| server.get(path));
    viewers.iter_mut().for_each(|viewer| drop(viewer.take(50, SOON)));
    wait_for(&server, "streams", "tick é", |stream| stream["bytes_out"].as_u64() > Some(0));
    wait_for(&server, "streams", "cam.ts", |stream| stream["latency"]["p50_seconds"].is_number());
    wait_for(&server, "streams", "cam.ts", |stream| stream["recording"]["free_bytes"].is_number());
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
    let mut names: BTreeSet<_> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    // Known after some time: see `recording_edits`. Of what is used: see `acme`, `auth_services`, `srt` and `webrtc`.
    names.extend([
        "voyandz_auth_hook_requests_total",
        "voyandz_auth_key_fetches_total",
        "voyandz_certificate_expires_seconds",
        "voyandz_certificate_orders_total",
        "voyandz_recording_bytes_per_day",
        "voyandz_recording_full_in_seconds",
        "voyandz_recording_holds_seconds",
        "voyandz_srt_packets_total",
        "voyandz_webrtc_fir_total",
        "voyandz_webrtc_nack_total",
        "voyandz_webrtc_packets_sent_total",
        "voyandz_webrtc_pli_total",
        "voyandz_webrtc_retransmitted_packets_sent_total",
    ]);
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
    // The promise is 20 ms, which a machine that runs all tests at once cannot be held to.
    assert!(times[10] < millis(100), "{times:?}");
    drop(viewers);
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
            streams: {{much: {{feed: much}}, once: {{feed: once, container: mjpeg}}}}
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
    let mut first = server.get("/once");
    first.take(500, SOON);
    let counted = |server: &Server| {
        metrics(&server.get("/metrics").text()).get("voyandz_stream_latency_seconds_count{stream=\"once\"}").copied()
    };
    wait_until("it is counted", SOON, || counted(&server) == Some(1.0));
    wait_for(&server, "streams", "once", |stream| stream["idle_seconds"].as_f64() > Some(1.5));
    let mut late = server.get("/once?keyframe=1");
    late.take(500, SOON);
    drop((first, late));
    let once = wait_for(&server, "streams", "once", |stream| stream["readers"] == 0);
    assert!(counted(&server) == Some(1.0) && told(&once) < Some(1.0), "{once:#}");
}
