//! What clients and proxies of all kinds ask for, and what they must be told.

use crate::rig::{
    SOON, Server, http, millis,
    script::{PICTURE, TONE, shell},
    secs, wait_until,
};

fn cam() -> Server {
    Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}, tone: {{pipeline: '{TONE}'}}}}
        streams: {{cam.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}, cam.mp3: {{feed: tone, audio: {{codec: mp3}}}}}}
        "
    ))
}

#[test]
fn a_page_of_another_origin_may_send_and_read_headers() {
    let server = cam();
    let preflight = "Origin: http://page.example\r\nAccess-Control-Request-Method: GET\r\n\
        Access-Control-Request-Headers: icy-metadata,traceparent,authorization\r\n";
    for path in ["/cam.mp3", "/cam.mjpeg", "/cam.mjpeg/pic", "/cam.mjpeg/frames"] {
        let answer = http::request(server.address(), "OPTIONS", path, preflight);
        assert_eq!(answer.status, 204, "{path}");
        let allowed = answer.header("access-control-allow-headers");
        assert_eq!(allowed, Some("icy-metadata, traceparent, authorization"), "{path}");
        assert_eq!(answer.header("access-control-allow-methods"), Some("GET, HEAD, OPTIONS"), "{path}");
        assert!(answer.header("access-control-max-age").is_some(), "{path}");
        let answer = http::request(server.address(), "HEAD", path, "Origin: http://page.example\r\n");
        let exposed = answer.header("access-control-expose-headers").unwrap_or_default();
        assert!(exposed.contains("X-Capture-Time") && exposed.contains("ETag"), "{path}: {exposed}");
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("cross-origin"), "{path}");
    }
    // The state is not for pages of others.
    let answer = http::request(server.address(), "GET", "/stat.json", "Origin: http://page.example\r\n");
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn links_are_those_of_the_proxy_in_front() {
    let server = cam();
    let page = |path: &str, headers: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: 10.0.0.1:8090\r\n{headers}\r\n");
        http::send(server.address(), &head).text()
    };
    for path in ["/", "/cam.mjpeg/play"] {
        assert!(page(path, "").contains("http://10.0.0.1:8090/cam.mjpeg"), "{path}");
        for headers in [
            "X-Forwarded-Proto: https\r\nX-Forwarded-Host: cams.example\r\n",
            "X-Forwarded-Proto: https\r\nX-Forwarded-Host: cams.example\r\nX-Forwarded-Port: 443\r\n",
            "Forwarded: for=192.0.2.7;proto=https;host=cams.example\r\n",
        ] {
            let text = page(path, headers);
            assert!(text.contains("https://cams.example/cam.mjpeg"), "{path} {headers}");
            assert!(!text.contains("http://10.0.0.1") && !text.contains("http://cams"), "{path} {headers}");
        }
    }
}

#[test]
fn who_is_a_proxy_is_decided_in_one_place() {
    let link = |rules: &str| {
        let server = Server::start(&format!(
            "feeds: {{cam: {{pipeline: '{TONE}'}}}}\nstreams: {{cam.mp3: {{feed: cam, audio: {{codec: mp3}}}}}}\n{rules}"
        ));
        let headers = "Forwarded: for=192.0.2.7;proto=https;host=cams.example\r\n";
        let text = http::request(server.address(), "GET", "/", headers).text();
        text.contains("https://cams.example/cam.mp3")
    };
    assert!(link(""));
    assert!(link("auth: {proxies: [192.0.2.0/24, 127.0.0.1]}\n"));
    // Where proxies are named, another program of this machine is none.
    assert!(!link("auth: {proxies: 192.0.2.0/24}\n"));
}

#[test]
fn a_request_must_say_which_host_it_is_for() {
    let server = cam();
    let status = |head: &str| {
        let mut answer = http::send(server.address(), head);
        let sentence = answer.text();
        (answer.status, sentence)
    };
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
    ] {
        let (status, sentence) = status(head);
        assert!(status == 400 && sentence.contains("Host"), "{head:?}: {status} {sentence}");
    }
    for head in ["GET /livez HTTP/1.0\r\n\r\n", "GET /livez HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n"] {
        assert_eq!(status(head).0, 200, "{head:?}");
    }
}

#[test]
fn http_1_0_is_promised_only_what_is_kept() {
    let server = cam();
    let ask = |target: &str| {
        http::send(server.address(), &format!("GET {target} HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"))
    };
    let connection = |answer: &http::Answer| {
        let lines: Vec<_> =
            answer.head.lines().filter(|line| line.to_ascii_lowercase().starts_with("connection:")).collect();
        lines.join("|").to_ascii_lowercase()
    };
    for target in ["/cam.mp3", "/cam.mjpeg", "/cam.mjpeg/frames", "/events"] {
        let answer = ask(target);
        assert_eq!((answer.status, connection(&answer)), (200, "connection: close".to_owned()), "{target}");
    }
    // A response with a length keeps the connection.
    let mut answer = ask("/livez");
    assert_eq!(connection(&answer), "connection: keep-alive");
    answer.text();
    assert!(!answer.is_closed(millis(300)));
}

#[test]
fn bytes_that_nobody_knows_are_refused_to_every_viewer_alike() {
    let server = Server::start(&format!(
        "
        feeds: {{noise: {{command: {}}}}}
        streams: {{noise: {{feed: noise}}, noise.bin: {{feed: noise, container: raw}}}}
        ",
        shell("while echo nothing that anyone knows; do sleep 0.05; done")
    ));
    for path in ["/noise", "/noise.bin", "/noise"] {
        for query in ["?header=1", "?keyframe=1", "?keyframe=next"] {
            assert_eq!(server.get(&format!("{path}{query}")).status, 501, "{path}{query}");
        }
        let mut answer = server.get(path);
        assert_eq!(answer.status, 200, "{path}");
        answer.piece(SOON);
    }
}

#[test]
fn metrics_count_connections_and_why_viewers_left() {
    let server = cam();
    let value = |series: &str| {
        let text = server.get("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse::<f64>().ok());
        line.unwrap_or(0.0)
    };
    let mut viewer = server.get("/cam.mp3");
    viewer.piece(SOON);
    let other = http::ask(server.address(), "/cam.mp3");
    let open = || value("voyandz_http_connections");
    // The one that asks for the figures is a connection, too.
    wait_until("three connections", secs(5), || open() == 3.0);
    let left = r#"voyandz_stream_readers_ended_total{stream="cam.mp3",reason="client left"}"#;
    assert_eq!(value(left), 0.0);
    drop((viewer, other));
    wait_until("both left", secs(15), || value(left) == 2.0);
    wait_until("one connection", secs(5), || open() == 1.0);
}
