//! The contract of the HTTP side: paths, methods, headers, framing, and what viewers cost.

use crate::rig::{
    Launch, SOON, Server, http,
    http::Next,
    log, media, millis, multipart, process,
    script::{H264, PICTURE, TONE, shell, starts, ticking},
    secs, wait_until,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    io::Write,
    net::Shutdown,
    time::{Instant, SystemTime},
};

fn small() -> (Server, std::path::PathBuf) {
    let launch = Launch::bare();
    let file = launch.folder().join("starts");
    let yaml = format!(
        "feeds:\n  ticker: {{command: {}}}\nstreams:\n  ticks.ts: {{feed: ticker, container: raw, mimetype: text/plain}}\n",
        ticking(&file)
    );
    (launch.with(&yaml).start(), file)
}

#[test]
fn d6_mjpeg_has_whole_pictures() {
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}}}
        streams: {{cam.mjpeg: {{feed: cam, video: {{codec: mjpeg}}, container: mjpeg}}}}
        "
    ));
    let mut answer = server.get("/cam.mjpeg");
    let mimetype = answer.header("content-type").unwrap().to_owned();
    assert!(mimetype.starts_with("multipart/x-mixed-replace"), "{mimetype}");
    let bytes = answer.collect(secs(3));
    let parts = multipart::parts(&mimetype, &bytes);
    assert!((50..110).contains(&parts.len()), "{} parts in 3 s", parts.len());
    for part in &parts {
        assert!(part.starts_with(&[0xff, 0xd8]) && part.ends_with(&[0xff, 0xd9]));
        let picture = media::picture(part);
        assert_eq!((picture.width(), picture.height()), (320, 240));
    }
    let marks = |mark: [u8; 2]| parts.iter().flat_map(|part| part.windows(2)).filter(|two| **two == mark).count();
    assert_eq!((marks([0xff, 0xd8]), marks([0xff, 0xd9])), (parts.len(), parts.len()));
}

#[test]
fn d6_mjpeg_comes_as_often_as_asked() {
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}}}
        streams:
          cam.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}
          cam.ts: {{feed: cam, video: {H264}}}
        "
    ));
    let _viewer = server.get("/cam.mjpeg").piece(SOON);
    for (fps, expected) in [("5", 13..18), ("0.5", 1..4), ("100", 50..90)] {
        let mut answer = server.get(&format!("/cam.mjpeg?fps={fps}"));
        let mimetype = answer.header("content-type").unwrap().to_owned();
        let bytes = answer.collect(secs(3));
        let parts = multipart::parts(&mimetype, &bytes);
        assert!(expected.contains(&parts.len()), "{} parts in 3 s at {fps} a second", parts.len());
        parts.into_iter().for_each(|part| drop(media::picture(part)));
    }
    for target in ["/cam.mjpeg?fps=0", "/cam.mjpeg?fps=many", "/cam.ts?fps=5"] {
        let mut answer = server.get(target);
        let (status, sentence) = (answer.status, String::from_utf8(answer.rest(SOON)).unwrap());
        assert!(status == 400 && sentence.contains("fps="), "{target}: {status} {sentence}");
    }
    assert_eq!(server.get("/cam.mjpeg?fps=5").header("x-accel-buffering"), Some("no"));
}

#[test]
fn d6_chromium_has_the_head_of_a_part_before_its_picture() {
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}}}
        streams: {{cam.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}}}
        "
    ));
    let agent = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0.0.0 Safari/537.36\r\n";
    let head = b"--voyandz\r\nContent-Type: image/jpeg\r\n\r\n";
    for version in ["1.1", "1.0"] {
        let mut answer =
            http::send(server.address(), &format!("GET /cam.mjpeg HTTP/{version}\r\nHost: x\r\n{agent}\r\n"));
        assert_eq!(answer.is_chunked(), version == "1.1");
        let bytes = answer.collect(secs(2));
        let mut parts = bytes.windows(head.len()).enumerate().filter(|(_, bytes)| bytes == head).map(|(at, _)| at);
        assert_eq!(parts.next(), Some(0));
        let (mut from, mut count) = (head.len(), 0);
        for at in parts {
            let picture = bytes[from..at].strip_suffix(b"\r\n").unwrap();
            assert!(picture.ends_with(&[0xff, 0xd9]));
            media::picture(picture);
            (from, count) = (at + head.len(), count + 1);
        }
        assert!(count > 20, "{count} pictures");
    }
}

#[test]
fn d6_slow_viewer_of_mjpeg_skips_whole_pictures() {
    let server = Server::start(
        "
        feeds: {cam: {pipeline: 'videotestsrc is-live=true pattern=snow ! video/x-raw,width=640,height=480,framerate=25/1 ! queue'}}
        streams: {cam.mjpeg: {feed: cam, video: {codec: mjpeg, quality: 90}}}
        ",
    );
    let mut answer = server.get("/cam.mjpeg");
    let mimetype = answer.header("content-type").unwrap().to_owned();
    // It reads 1 MB a second of five.
    let mut bytes = Vec::new();
    for _ in 0..30 {
        bytes.extend(answer.take(100_000, SOON));
        std::thread::sleep(millis(100));
    }
    let last = SystemTime::now();
    let parts = multipart::parts(&mimetype, &bytes);
    assert!((5..60).contains(&parts.len()), "{} parts", parts.len());
    parts.iter().for_each(|part| drop(media::picture(part)));
    // What is on its way waits in buffers of the kernel; nothing older does in the server.
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let times: Vec<f64> =
        text.lines().filter_map(|line| line.strip_prefix("X-Timestamp: ")?.trim().parse().ok()).collect();
    assert!(times.len() >= parts.len() && times.is_sorted(), "{times:?}");
    let now = last.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    let age = now - times.last().unwrap();
    println!("{} pictures, the last {age:.2} s old", parts.len());
    assert!(age < 3.5, "the last picture is {age:.2} s old");
}

#[test]
fn d10_thousand_viewers_share_the_packets() {
    const VIEWERS: usize = 1000;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let (server, file) = small();
    let mut first = server.get("/ticks.ts");
    first.take(4000, SOON);
    let base = process::resident(server.pid());
    let mut viewers: Vec<_> = (0..VIEWERS).map(|_| server.get("/ticks.ts")).collect();
    for viewer in &mut viewers {
        assert_eq!(viewer.status, 200);
        viewer.take(200, secs(5));
    }
    let grown = process::resident(server.pid()).saturating_sub(base);
    println!("{grown} KiB for {VIEWERS} viewers");
    assert!(grown / (VIEWERS as u64) < 64, "{grown} KiB for {VIEWERS} viewers");
    assert_eq!(starts(&file), 1);
}

#[test]
fn d11_slow_viewer_loses_its_own_data_only() {
    let server = Server::start(&format!(
        "
        feeds: {{flood: {{command: {}}}}}
        streams: {{flood: {{feed: flood, container: raw}}}}
        ",
        shell("while head -c 200000 /dev/zero; do sleep 0.04; done")
    ));
    let mut quick = server.get("/flood");
    let slow = server.get("/flood");
    let mut longest = millis(0);
    let mut before = Instant::now();
    for (at, _) in quick.arrivals(secs(13)) {
        longest = longest.max(at - before);
        before = at;
    }
    assert!(longest < millis(1000), "the quick one waited {longest:?}");
    let peer = slow.socket.local_addr().unwrap();
    let line = server.log.wait(&format!("request peer={peer}"), secs(3));
    assert!(log::field(&line, "seconds").parse::<f64>().unwrap() > 9.0, "{line}");
}

#[test]
fn d12_path_of_several_parts() {
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}}}
        streams: {{cam: {{feed: cam, video: {H264}, url: '/a/b/cam%200.ts'}}}}
        "
    ));
    for target in ["/a/b/cam%200.ts", "/a/b/%63am%200.ts", "/stream/cam"] {
        let mut answer = server.get(target);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("video/mp2t")), "{target}");
        assert_eq!(answer.piece(SOON)[0], 0x47, "{target}");
    }
    assert_eq!(server.get("/a/b/cam%200.ts/pic").status, 200);
    for target in [
        "/a",
        "/a/b",
        "/a/b/",
        "/cam",
        "/a/b/cam 0.tsx",
        "/a/b/cam%2500.ts",
        "/a/b/../b/cam%200.ts",
        "/stream/",
        "/%ff",
    ] {
        assert_eq!(
            http::send(server.address(), &format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", target.replace(' ', "%20")))
                .status,
            404,
            "{target}"
        );
    }
}

#[test]
fn d12_path_of_the_server_itself_is_refused() {
    for url in ["/stat", "/", "/metrics", "/stream/other"] {
        let yaml = format!(
            "listenport: 0\nstreams:\n  cam:\n    pipeline: videotestsrc ! jpegenc\n    container: mjpeg\n    url: {url}\n"
        );
        let mut server = Launch::exact(&yaml).spawn();
        assert_eq!(server.wait(SOON).code(), Some(78), "{url}");
        let text = server.log.text();
        assert!(text.contains("voyandz.yaml:6:10:") && text.contains(url), "{text}");
    }
}

#[test]
fn d13_unknown_path_is_404_for_every_method() {
    let (server, _) = small();
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        for target in ["/nothing", "/ticks.ts/", "/ticks.ts/x", "/nothing/pic"] {
            assert_eq!(http::request(server.address(), method, target, "").status, 404, "{method} {target}");
        }
    }
}

#[test]
fn d13_known_path_is_405_for_other_methods() {
    let (server, _) = small();
    for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
        for target in ["/", "/ticks.ts", "/ticks.ts/pic"] {
            let answer = http::request(server.address(), method, target, "Content-Length: 0\r\n");
            assert_eq!(answer.status, 405, "{method} {target}");
            assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"), "{method} {target}");
        }
    }
}

#[test]
fn d13_targets_that_are_no_paths() {
    let (server, _) = small();
    let ask = |line: &str| http::send(server.address(), &format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n")).status;
    // RFC 9112, 3.2.2: a server takes the absolute form too.
    assert_eq!(ask("GET http://example.org/ticks.ts"), 200);
    assert_eq!(ask("GET http://example.org/nothing"), 404);
    assert_eq!(ask("GET http://example.org"), 200);
    for line in [
        "GET data:,",
        "GET *",
        "OPTIONS *",
        "CONNECT example.org:80",
        "GET ticks.ts",
        "GET /%",
        "GET /%zz",
        "GET /%00",
        "GET /?%ff=%ff&&==&",
    ] {
        let status = ask(line);
        assert!(matches!(status, 200 | 204 | 400 | 404 | 405), "{line}: {status}");
    }
    assert_eq!(server.log.count("panic"), 0);
}

#[test]
fn d13_head_starts_nothing() {
    let (server, file) = small();
    for target in ["/ticks.ts", "/stream/ticks.ts", "/ticks.ts?header=1", "/"] {
        let mut answer = http::request(server.address(), "HEAD", target, "Connection: close\r\n");
        assert_eq!(answer.status, 200, "{target}");
        assert!(answer.is_closed(secs(2)), "{target} has a body");
    }
    assert_eq!(starts(&file), 0);
}

#[test]
fn d13_range_is_ignored() {
    let (server, _) = small();
    let mut answer = http::request(server.address(), "GET", "/ticks.ts", "Range: bytes=100-\r\n");
    assert_eq!(answer.status, 200);
    for name in ["accept-ranges", "content-range", "content-length"] {
        assert_eq!(answer.header(name), None);
    }
    answer.piece(SOON);
}

#[test]
fn d13_answers_are_not_cached_and_usable_everywhere() {
    let (server, _) = small();
    for target in ["/ticks.ts", "/", "/nothing", "/ticks.ts?header=2"] {
        let answer = server.get(target);
        assert!(
            answer.header("cache-control").is_some_and(|value| value.contains("no-store")),
            "{target}: {}",
            answer.head
        );
    }
    let answer = http::request(server.address(), "GET", "/ticks.ts", "Origin: http://example.org\r\n");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let preflight = "Origin: http://example.org\r\nAccess-Control-Request-Method: GET\r\n";
    let answer = http::request(server.address(), "OPTIONS", "/ticks.ts", preflight);
    assert_eq!(answer.status, 204);
    assert!(
        answer.header("access-control-allow-methods").is_some_and(|methods| methods.contains("GET")),
        "{}",
        answer.head
    );
}

#[test]
fn d13_values_without_a_meaning_are_400() {
    let (server, file) = small();
    for query in ["header=2", "header=yes", "header=", "keyframe=2", "keyframe=soon", "header=1&header=1"] {
        let mut answer = server.get(&format!("/ticks.ts?{query}"));
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.text().contains(query.split('=').next().unwrap()), "{query}");
    }
    for query in ["q=0", "q=101", "q=abc", "q=", "q=8.5", "fmt=gif"] {
        assert_eq!(server.get(&format!("/ticks.ts/pic?{query}")).status, 400, "{query}");
    }
    assert_eq!(starts(&file), 0);
    assert_eq!(server.get("/ticks.ts?other=1&header=0&keyframe=0").status, 200);
}

#[test]
fn join_wishes_for_a_container_without_joins_are_501() {
    let (server, _) = small();
    for query in ["header=1", "keyframe=1", "keyframe=next"] {
        assert_eq!(server.get(&format!("/ticks.ts?{query}")).status, 501, "{query}");
    }
}

#[test]
fn old_client_gets_the_stream_until_the_connection_closes() {
    let (server, _) = small();
    let mut answer = http::send(server.address(), "GET /ticks.ts HTTP/1.0\r\n\r\n");
    assert_eq!(answer.status, 200);
    assert!(!answer.is_chunked());
    assert!(answer.take(100, SOON).starts_with(b"tick "));
}

#[test]
fn client_that_closes_its_side_still_gets_the_stream() {
    let (server, _) = small();
    let answer = &mut server.get("/ticks.ts");
    answer.piece(SOON);
    answer.socket.shutdown(Shutdown::Write).unwrap();
    answer.take(300, secs(5));
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let (server, _) = small();
    let mut socket = std::net::TcpStream::connect(server.address()).unwrap();
    write!(socket, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut socket, &mut text).unwrap();
    assert_eq!(text.matches("HTTP/1.1 404").count(), 1, "{text}");
    assert_eq!(text.matches("HTTP/1.1 200").count(), 1, "{text}");
}

#[test]
fn stream_after_an_answer_on_the_same_connection() {
    let (server, _) = small();
    let mut answer = server.get("/nothing");
    answer.text();
    write!(answer.socket, "GET /ticks.ts HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let until = Instant::now() + SOON;
    let mut received = Vec::new();
    while received.windows(5).filter(|five| five == b"tick ").count() < 3 {
        let mut buffer = [0; 1000];
        answer.socket.set_read_timeout(Some(until.saturating_duration_since(Instant::now()))).unwrap();
        let length = std::io::Read::read(&mut answer.socket, &mut buffer).unwrap();
        assert!(length > 0);
        received.extend(&buffer[..length]);
    }
    assert!(received.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn silent_connection_is_closed_after_ten_seconds() {
    let (server, _) = small();
    let mut socket = std::net::TcpStream::connect(server.address()).unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost").unwrap();
    socket.set_read_timeout(Some(secs(13))).unwrap();
    let began = Instant::now();
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut socket, &mut rest).unwrap();
    assert!((secs(9)..secs(12)).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[test]
fn head_that_never_ends_is_refused() {
    let (server, _) = small();
    let answer = http::request(server.address(), "GET", "/", &format!("X: {}\r\n", "x".repeat(100_000)));
    assert!(matches!(answer.status, 400 | 431), "{}", answer.status);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn page_can_be_turned_off() {
    let server = Server::start("pages: {home: false}");
    assert_eq!(server.get("/").status, 404);
    let server = Server::start("");
    let mut answer = server.get("/");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(answer.text().contains("No streams are configured"));
}

#[test]
fn page_links_lead_somewhere() {
    let server = Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE}'}}
          mic: {{pipeline: '{TONE}'}}
        streams:
          cam.ts: {{feed: cam, video: {H264}, url: '/a b/<cam>.ts'}}
          cam.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}
          mic.ts: {{feed: mic, audio: {{codec: aac}}, mimetype: audio/mp2t}}
        "
    ));
    let page = server.get("/").text();
    let links = regex::Regex::new("(?:href|src)=\"([^\"]+)\"").unwrap();
    let links: Vec<_> = links.captures_iter(&page).map(|link| link[1].replace("&amp;", "&")).collect();
    assert!(links.len() >= 8, "{links:?}");
    for link in links.iter().filter(|link| link.starts_with('/')) {
        let mut answer = server.get(link);
        assert_eq!(answer.status, 200, "{link}");
        answer.piece(SOON);
    }
    assert_eq!(
        page.matches("<script").count(),
        page.matches("<script type=\"module\" src=").count(),
        "none inside the page"
    );
    assert!(page.contains("/a%20b/%3Ccam%3E.ts"), "{page}");
}

#[test]
fn o2_connections_are_logged() {
    let (server, _) = small();
    let mut answer = server.get("/ticks.ts?header=0");
    let taken = answer.take(200, SOON).len();
    let peer = answer.socket.local_addr().unwrap();
    drop(answer);
    let line = server.log.wait(&format!("request peer={peer}"), SOON);
    assert_eq!(log::field(&line, "method"), "GET");
    assert_eq!(log::field(&line, "path"), "/ticks.ts?header=0");
    assert_eq!(log::field(&line, "status"), "200");
    assert_eq!(log::field(&line, "reason"), "client left");
    assert!(log::field(&line, "bytes").parse::<usize>().unwrap() >= taken, "{line}");
    assert!(log::field(&line, "seconds").parse::<f64>().unwrap() > 0.0, "{line}");
    let answer = server.get("/nothing");
    let line = server.log.wait(&format!("request peer={}", answer.socket.local_addr().unwrap()), SOON);
    assert_eq!(log::field(&line, "status"), "404");
}

#[test]
fn stream_ends_with_its_last_chunk_when_the_server_ends() {
    let (mut server, _) = small();
    let mut answer = server.get("/ticks.ts");
    answer.piece(SOON);
    server.terminate();
    // Fails when the body is cut off instead of ended.
    answer.rest(secs(5));
    assert!(matches!(answer.next(Instant::now()), Next::End));
    assert!(server.wait(millis(10_500)).success());
}

#[test]
fn closed_clients_leave_no_sockets_behind() {
    let (server, _) = small();
    let sockets = || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    server.get("/ticks.ts").piece(SOON);
    wait_until("the feed is gone", secs(5), || server.programs("echo start").is_empty());
    let before = sockets();
    for _ in 0..5 {
        let viewers: Vec<_> = (0..40).map(|_| server.get("/ticks.ts")).collect();
        drop(viewers);
    }
    wait_until("as many files as before", secs(10), || sockets() <= before + 2);
}
