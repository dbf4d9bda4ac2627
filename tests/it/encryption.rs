//! TLS: on the port of all, with certificates that are exchanged while viewers watch.

use crate::rig::{
    Launch, SOON, Server, have,
    http::{self, Next},
    rounds,
    script::shell,
    secs,
    state::wait_for,
    tls::{Encrypted, connect},
    wait_until,
};
use rcgen::{CertificateParams, KeyPair};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
    time::Instant,
};

/// A stream of ticks, a camera, and this encryption.
fn yaml(tls: &str) -> String {
    let picture = "videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=10/1 ! queue name=video";
    let ticks = shell("while echo tick; do sleep 0.05; done");
    format!(
        "feeds:\n  one: {{pipeline: '{picture}'}}\n  ticks: {{command: {ticks}}}\n  numbers: {{command: [seq, '100000000000', '999999999999']}}\n\
         streams:\n  cam.mjpeg: {{feed: one, video: true}}\n  ticks.raw: {{feed: ticks, container: raw}}\n  \
         numbers.raw: {{feed: numbers, container: raw}}\n  flood: {{client: exclusive, command: ['yes'], container: raw}}\n{tls}\n"
    )
}

/// Makes a certificate that signs itself, for this name, in the folder.
fn certificate(folder: &Path, name: &str) -> String {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(folder.join("new.key"), key.serialize_pem()).unwrap();
    fs::write(folder.join("new.pem"), certificate.pem()).unwrap();
    fs::rename(folder.join("new.key"), folder.join("tv.key")).unwrap();
    fs::rename(folder.join("new.pem"), folder.join("tv.pem")).unwrap();
    certificate.pem()
}

/// A server whose authority is its own, and the certificate of that.
fn own(plain: &str) -> (Server, String) {
    let server = Server::start(&yaml(&format!("tls: {{own: authority, plain: {plain}, names: tv.example.org}}")));
    let authority = fs::read_to_string(server.file().with_file_name("authority").join("ca.pem")).unwrap();
    (server, authority)
}

fn opened(server: &Server, authority: &str, target: &str) -> Encrypted {
    let mut client = connect(server.address(), "localhost", authority).unwrap();
    assert_eq!(client.get(target, "").0, 200, "{target}");
    client
}

#[test]
fn x5_one_port_serves_tls_and_plain() {
    let (server, authority) = own("all");
    let mut answer = server.get("/api/ca.pem");
    assert_eq!(answer.header("content-type"), Some("application/x-x509-ca-cert"));
    assert_eq!(answer.text(), authority);
    server.log.wait("install /api/ca.pem once.*fingerprint", SOON);
    for name in ["localhost", "tv.example.org", "127.0.0.1", "::1"] {
        assert!(connect(server.address(), name, &authority).is_ok(), "{name}");
    }
    assert!(connect(server.address(), "evil.example", &authority).is_err());
    // Live media, stills, events and pages.
    opened(&server, &authority, "/ticks.raw")
        .take_until(|bytes| bytes.windows(5).filter(|part| part == b"tick\n").count() > 5);
    let boundary = |bytes: &[u8]| bytes.windows(2).filter(|two| *two == [0xff, 0xd9]).count() > 3;
    opened(&server, &authority, "/cam.mjpeg").take_until(boundary);
    opened(&server, &authority, "/cam.mjpeg/pic").take_until(|bytes| bytes.windows(2).any(|two| two == [0xff, 0xd9]));
    opened(&server, &authority, "/events").take_until(|bytes| bytes.windows(8).any(|part| part == b"snapshot"));
    opened(&server, &authority, "/cam.mjpeg/frames?w=64&h=48").take_until(|bytes| bytes.len() > 20_000);
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut socket = connect(server.address(), "localhost", &authority).unwrap();
    assert_eq!(socket.get("/cam.mjpeg/ws", upgrade).0, 101);
    socket.take_until(boundary);
    // Several requests over one connection.
    let mut pages = connect(server.address(), "localhost", &authority).unwrap();
    for path in ["/livez", "/stat.json", "/livez"] {
        assert_eq!(pages.get(path, "").0, 200);
        pages.take_until(|bytes| bytes.ends_with(b"\n") || bytes.ends_with(b"0\r\n\r\n"));
        pages.taken();
    }
    for _ in 0..rounds(50, 1000) {
        assert_eq!(server.get("/livez").status, 200);
        opened(&server, &authority, "/livez");
    }
}

#[test]
fn x5_http2_is_agreed_on() {
    let (server, _) = own("local");
    if !have("curl") {
        return;
    }
    let authority = server.file().with_file_name("authority").join("ca.pem");
    for (option, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let url = format!("https://localhost:{}", server.address().port());
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "--resolve",
            &format!("localhost:{}:127.0.0.1", server.address().port()),
            option,
            "--cacert",
        ]);
        curl.arg(&authority).args(["-o", "/dev/null", "-w", "%{http_version} %{http_code} %{size_download}"]);
        let output = curl.args(["-m", "2", &format!("{url}/ticks.raw")]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let words: Vec<_> = text.split(' ').collect();
        assert_eq!(words[..2], [version, "200"], "{}", String::from_utf8_lossy(&output.stderr));
        assert!(words[2].parse::<usize>().unwrap() > 50, "{text}");
    }
}

#[test]
fn x5_certificates_are_exchanged_under_viewers() {
    let launch = Launch::new(&yaml("tls: {certificate: tv.pem, key: tv.key}"));
    let folder = launch.folder().to_owned();
    let first = certificate(&folder, "localhost");
    let server = launch.start();
    let mut viewers: Vec<_> = (0..rounds(40, 200)).map(|_| opened(&server, &first, "/ticks.raw")).collect();
    let second = certificate(&folder, "localhost");
    let took = wait_until("new certificate", SOON, || connect(server.address(), "localhost", &second).is_ok());
    assert!(took < secs(3), "{took:?}");
    assert!(connect(server.address(), "localhost", &first).is_err());
    for viewer in &mut viewers {
        viewer.taken();
        viewer.take_until(|bytes| bytes.windows(5).filter(|part| part == b"tick\n").count() > 3);
    }
    // One that does not fit its key changes nothing.
    let good = fs::read_to_string(folder.join("tv.key")).unwrap();
    fs::write(folder.join("tv.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    server.log.wait("WARN.*certificate not renewed", SOON);
    assert!(connect(server.address(), "localhost", &second).is_ok());
    assert_eq!(server.get("/readyz").text(), "degraded\n");
    assert!(server.get("/readyz?verbose").text().contains("certificate"));
    fs::write(folder.join("tv.key"), good).unwrap();
    server.log.wait_nth("certificate renewed", 2, SOON);
    assert_eq!(server.get("/readyz").text(), "ready\n");
    // Files that are no certificate prevent a start, and a reload.
    let line = server.reload(&yaml("tls: {certificate: nothing.pem, key: tv.key}"));
    assert!(line.contains("unchanged") && line.contains("nothing.pem"), "{line}");
    for viewer in &mut viewers {
        viewer.taken();
        viewer.take_until(|bytes| bytes.windows(5).any(|part| part == b"tick\n"));
    }
}

#[test]
fn tls_comes_and_goes_with_the_configuration() {
    let server = Server::start(&yaml(""));
    let mut plain = server.get("/ticks.raw");
    plain.piece(SOON);
    let authority = || fs::read_to_string(server.file().with_file_name("authority").join("ca.pem")).unwrap();
    server.reload(&yaml("tls: {own: authority}"));
    let mut encrypted = opened(&server, &authority(), "/ticks.raw");
    assert_eq!(server.get("/api/ca.pem").status, 200);
    server.reload(&yaml(""));
    assert!(connect(server.address(), "localhost", &authority()).is_err());
    assert_eq!(server.get("/api/ca.pem").status, 404);
    encrypted.taken();
    encrypted.take_until(|bytes| !bytes.is_empty());
    plain.piece(SOON);
    // The authority is kept.
    let before = authority();
    server.reload(&yaml("tls: {own: authority}"));
    assert_eq!(authority(), before);
    let line = server.reload(&yaml("tls: {own: authority, names: other.example}"));
    assert!(line.contains("other names"), "{line}");
}

#[test]
fn plain_requests_are_led_to_tls() {
    let (server, authority) = own("none");
    let address = server.address();
    let page = http::request(address, "GET", "/stat?a=b", "Accept: text/html,*/*\r\n");
    let expected = format!("https://{address}/stat?a=b");
    assert_eq!((page.status, page.header("location")), (308, Some(expected.as_str())));
    let mut media = server.get("/ticks.raw");
    assert_eq!(media.status, 403);
    assert!(media.text().contains("https://"));
    opened(&server, &authority, "/ticks.raw").take_until(|bytes| !bytes.is_empty());
    // By default this machine may, and who comes over a proxy is not this machine.
    let rules = "tls: {own: authority, names: tv.example.org}\nauth: {proxies: 127.0.0.1}";
    server.reload(&yaml(rules));
    assert_eq!(server.get("/stat.json").status, 200);
    let forwarded =
        |who: &str| http::request(address, "GET", "/stat.json", &format!("X-Forwarded-For: {who}\r\n")).status;
    assert_eq!([forwarded("192.0.2.1"), forwarded("127.0.0.2")], [403, 200]);
}

#[test]
fn faults46_bad_handshakes_end_and_are_counted() {
    let (server, authority) = own("all");
    let failed = || {
        let metrics = server.get("/metrics").text();
        let line = metrics.lines().find_map(|line| line.strip_prefix("voyandz_tls_failed_handshakes_total "));
        line.unwrap().parse::<usize>().unwrap()
    };
    assert_eq!(failed(), 0);
    let mut silent = TcpStream::connect(server.address()).unwrap();
    silent.write_all(&[0x16]).unwrap();
    let mut wrong = TcpStream::connect(server.address()).unwrap();
    wrong.write_all(b"\x16\x03\x01\x00\x05hello").unwrap();
    let began = Instant::now();
    wrong.set_read_timeout(Some(SOON)).unwrap();
    let mut rest = Vec::new();
    let _ = wrong.read_to_end(&mut rest);
    assert!(began.elapsed() < secs(2));
    // Others are served meanwhile.
    opened(&server, &authority, "/livez");
    silent.set_read_timeout(Some(SOON)).unwrap();
    let _ = silent.read_to_end(&mut rest);
    // As long as the head of a request may take.
    assert!((secs(8)..secs(13)).contains(&began.elapsed()), "{:?}", began.elapsed());
    wait_until("both are counted", SOON, || failed() == 2);
}

#[test]
fn who_takes_nothing_over_tls_is_dropped() {
    let (server, authority) = own("all");
    let mut client = connect(server.address(), "localhost", &authority).unwrap();
    assert_eq!(client.get("/flood", "").0, 200);
    let line = server.log.wait("request .*path=/flood", secs(30));
    assert!(line.contains("no progress for 10 s"), "{line}");
    wait_until("command ends", SOON, || server.programs("yes").is_empty());
}

/// The data of a body in chunks, as far as it is whole; fails where it is none.
fn decoded(mut body: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while let Some(end) = body.windows(2).position(|two| two == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        let Some(chunk) = body.get(end + 2..end + 4 + length) else { break };
        assert!(chunk.ends_with(b"\r\n"), "a chunk of {length} bytes has no end");
        data.extend_from_slice(&chunk[..length]);
        body = &body[end + 4 + length..];
    }
    data
}

#[test]
fn a_viewer_over_tls_that_was_slow_continues_with_whole_records() {
    let (server, authority) = own("all");
    let mut client = opened(&server, &authority, "/numbers.raw");
    // It takes nothing, until the ring has lost what would be next.
    wait_for(&server, "streams", "numbers.raw", |stream| stream["bytes"].as_u64() > Some(256 << 20));
    client.take_until(|bytes| bytes.len() > 4 << 20);
    let data = decoded(&client.taken());
    // Parts of lines are where something is missing, which is so a few times.
    let lines: Vec<_> = data.split(|byte| *byte == b'\n').collect();
    let whole = lines.iter().filter(|line| line.len() == 12 && line.iter().all(u8::is_ascii_digit)).count();
    assert!(whole > 10_000 && lines.len() - whole < whole / 100, "{whole} of {}", lines.len());
    wait_for(&server, "streams", "numbers.raw", |stream| stream["gaps"].as_u64() > Some(0));
    assert!(server.log.matching("request .*path=/numbers.raw").is_empty(), "it is connected");
}

#[test]
fn a_session_of_tls_ends_as_its_protocol_says() {
    let (server, authority) = own("all");
    // The server ends it: a body without a length is whole when the session says so, and may be cut off when the socket does.
    let mut client = connect(server.address(), "localhost", &authority).unwrap();
    let head = client.ask("GET /ticks.raw HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    client.take_until(|bytes| !bytes.is_empty());
    server.reload(&yaml("tls: {own: authority, plain: all, names: tv.example.org}\nauth: {anyone: [status]}"));
    assert!(client.ends(SOON), "cut off");
    server.reload(&yaml("tls: {own: authority, plain: all, names: tv.example.org}"));
    // The client ends it, and closes the socket.
    let mut client = opened(&server, &authority, "/ticks.raw");
    client.take_until(|bytes| !bytes.is_empty());
    let before = server.log.matching("request .*path=/ticks.raw").len();
    client.end();
    drop(client);
    let line = server.log.wait_nth("request .*path=/ticks.raw", before + 1, SOON);
    assert!(line.contains("client left"), "{line}");
}

#[test]
fn keys_of_a_session_are_updated_under_a_viewer() {
    let (server, authority) = own("all");
    let mut client = opened(&server, &authority, "/ticks.raw");
    client.take_until(|bytes| !bytes.is_empty());
    for round in 1..=3 {
        // It asks the server for new keys, too (RFC 8446, section 4.6.3).
        client.update_keys();
        let before = client.taken().len();
        client.take_until(|bytes| bytes.len() > 100);
        assert!(before > 0, "round {round}");
    }
}

#[test]
fn x3_viewers_over_tls_end_with_their_permission() {
    let (server, authority) = own("all");
    let mut client = opened(&server, &authority, "/ticks.raw");
    client.take_until(|bytes| !bytes.is_empty());
    let mut plain = server.get("/ticks.raw");
    plain.piece(SOON);
    server.reload(&yaml("tls: {own: authority, plain: all, names: tv.example.org}\nauth: {anyone: [status]}"));
    let began = Instant::now();
    // The body ends; the connection may stay.
    client.take_until(|bytes| bytes.ends_with(b"0\r\n\r\n"));
    while !matches!(plain.next(began + SOON), Next::End) {}
    assert!(began.elapsed() < secs(2), "{:?}", began.elapsed());
    server.log.wait_nth("permission withdrawn", 2, SOON);
}

/// Acceptance 24: plain and encrypted requests on one port, many and mixed.
#[test]
fn x5_a_thousand_mixed_requests_on_one_port() {
    let (server, authority) = own("all");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..250 {
                    if number % 2 == 0 {
                        assert_eq!(server.get("/livez").status, 200);
                    } else {
                        let mut client = connect(server.address(), "localhost", &authority).unwrap();
                        assert_eq!(client.get("/livez", "").0, 200);
                    }
                }
            });
        }
    });
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("voyandz_tls_failed_handshakes_total 0\n"), "{metrics}");
}

/// Acceptance 24: TLS 1.2 and 1.3, and nothing older.
#[test]
fn x5_old_versions_of_tls_are_refused() {
    if !have("openssl") {
        return;
    }
    let (server, _) = own("all");
    let shake = |version: &str| {
        let address = server.address().to_string();
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &address, version, "-cipher", "ALL:@SECLEVEL=0"]);
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = shake(version);
        assert!(said.contains(&format!("New, {name}, Cipher is")), "{said}");
    }
    for version in ["-tls1", "-tls1_1"] {
        let said = shake(version);
        // The server says why: it is not openssl that does not try.
        assert!(said.contains("SSL alert number") && said.contains("Cipher is (NONE)"), "{said}");
    }
}
