//! The control socket and one-time codes: who may do all without a password, and that nobody else may.

use crate::rig::{
    Launch, SOON, Server,
    browser::{Browser, have_browser},
    have, http, openapi, process,
    script::shell,
    server::PROGRAM,
    wait_until,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    process::{Command, Output, Stdio},
};

/// Sends a request over a control socket; status, head and body of the answer.
fn over(socket: &Path, method: &str, target: &str, headers: &str, body: &str) -> (u16, String, String) {
    let mut socket = UnixStream::connect(socket).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let length = body.len();
    let head = format!("Host: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}");
    write!(socket, "{method} {target} HTTP/1.1\r\n{head}\r\n{body}").unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, head.to_owned(), body.to_owned())
}

/// The same over TCP.
fn tcp(server: &Server, method: &str, target: &str, headers: &str, body: &str) -> (u16, String) {
    let (address, length) = (server.address(), body.len());
    let head = format!("Host: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}");
    let mut answer = http::send(address, &format!("{method} {target} HTTP/1.1\r\n{head}\r\n{body}"));
    (
        answer.status,
        answer.header("set-cookie").unwrap_or_default().split(';').next().unwrap().to_owned() + "|" + &answer.text(),
    )
}

/// A running stream, and a feed that is published to.
fn yaml(more: &str) -> String {
    let ticks = shell("while echo tick; do sleep 0.05; done");
    format!(
        "pages: {{config: true}}\nfeeds:\n  ticks: {{command: {ticks}}}\n  studio: {{publish: {{}}}}\n\
         streams:\n  cam.raw: {{feed: ticks, container: raw}}\n  studio: {{feed: studio}}\n{more}"
    )
}

const JSON: &str = "Content-Type: application/json\r\n";

/// A code, as `voyandz ctl login` gets it.
pub fn code(server: &Server) -> String {
    let (status, _, body) = over(&server.control_socket(), "POST", "/api/v1/session/code", "", "");
    let answer: Value = serde_json::from_str(&body).unwrap();
    openapi::check("POST", "/session/code", status, &answer);
    assert_eq!((status, &answer["seconds"]), (200, &json!(900)), "{answer}");
    assert_eq!(answer["path"], format!("/login#{}", answer["code"].as_str().unwrap()));
    answer["code"].as_str().unwrap().to_owned()
}

/// Logs in with a code: the status, and the header with the cookie.
fn log_in(server: &Server, code: &str) -> (u16, String) {
    let (status, answer) = tcp(server, "POST", "/api/v1/session", JSON, &json!({"code": code}).to_string());
    (status, format!("Cookie: {}\r\n", answer.split('|').next().unwrap()))
}

/// Control.md 2.5: without `auth:` anyone watches; publishing, control and configuration are for who has the control socket or a code.
#[test]
fn x3_defaults() {
    let server = Server::start(&yaml(""));
    let socket = server.control_socket();
    let (status, cookie) = log_in(&server, &code(&server));
    assert_eq!(status, 201);
    let patch = "Content-Type: application/merge-patch+json\r\n";
    // Method, target, headers, body, and the status for anyone and for who may do all.
    let table: Vec<(&str, &str, &str, &str, u16, u16)> = vec![
        ("HEAD", "/cam.raw", "", "", 200, 200),
        ("GET", "/", "", "", 200, 200),
        ("GET", "/stat.json", "", "", 200, 200),
        ("GET", "/metrics", "", "", 200, 200),
        ("GET", "/api/v1/streams", "", "", 200, 200),
        // The page is configured to be shown.
        ("GET", "/config", "", "", 200, 200),
        ("GET", "/rec/cam.raw/list", "", "", 403, 200),
        ("POST", "/api/v1/feeds/ticks/restart", "", "", 403, 202),
        ("POST", "/api/v1/streams/cam.raw/stop", "", "", 403, 202),
        ("POST", "/api/v1/streams/cam.raw/start", "", "", 403, 202),
        ("DELETE", "/api/v1/viewers/0", "", "", 403, 404),
        ("POST", "/api/v1/server/reload", "", "", 403, 202),
        ("GET", "/api/v1/config/feeds/ticks", "", "", 200, 200),
        ("PATCH", "/api/v1/config/feeds/ticks", patch, "{\"mode\": 3}", 403, 200),
        ("PUT", "/studio", "", "no media", 401, 415),
    ];
    for (method, target, headers, body, anyone, all) in table {
        let (found, answer) = tcp(&server, method, target, headers, body);
        let found = if found == 403 && anyone == 401 { 401 } else { found };
        assert_eq!(found, anyone, "anyone: {method} {target}: {answer}");
        // Publishing is for headers and queries, which no page of others sends by itself.
        if target != "/studio" {
            let (found, answer) = tcp(&server, method, target, &format!("{headers}{cookie}"), body);
            assert_eq!(found, all, "code: {method} {target}: {answer}");
        }
        let (found, _, answer) = over(&socket, method, target, headers, body);
        assert_eq!(found, all, "socket: {method} {target}: {answer}");
    }
    let who = |answer: &str| {
        serde_json::from_str::<Value>(answer.split_once('|').unwrap_or(("", answer)).1).unwrap()["user"].clone()
    };
    assert_eq!(who(&tcp(&server, "GET", "/api/v1/session", "", "").1), Value::Null);
    assert_eq!(who(&tcp(&server, "GET", "/api/v1/session", &cookie, "").1), "one-time code");
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!(who(&over(&socket, "GET", "/api/v1/session", "", "").2), format!("uid:{uid}"));
    // What is written into the log.
    server.log.wait(&format!("user=\"?uid:{uid}"), SOON);
}

#[test]
fn x3_a_code_is_good_once_and_comes_from_the_socket_only() {
    let server = Server::start(&yaml("auth: {anyone: admin}\n"));
    let code = code(&server);
    // Also who may do all makes none, if not over the socket: it would outlive the permission.
    let (status, answer) = tcp(&server, "POST", "/api/v1/session/code", "", "");
    assert!(status == 403 && answer.contains("control socket"), "{answer}");
    let typed = code.to_uppercase().replace('-', " ");
    assert_eq!(log_in(&server, &typed).0, 201);
    assert_eq!(log_in(&server, &code).0, 401);
    // The form says why; guesses are slowed like those of passwords.
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let failed = |code: &str| {
        let address = server.address();
        let body = format!("code={code}&next=%2Fstat");
        let head = format!("Host: {address}\r\nConnection: close\r\nContent-Length: {}\r\n{form}", body.len());
        let answer = http::send(address, &format!("POST /api/v1/session HTTP/1.1\r\n{head}\r\n{body}"));
        (answer.status, answer.header("location").unwrap_or_default().to_owned())
    };
    assert_eq!(failed("aaaa-bbbb-cccc-dddd"), (303, "/login?failed=code&next=%2Fstat".to_owned()));
    assert_eq!(server.get("/login?failed=code").text().matches("older than 15 minutes").count(), 1);
    wait_until("guesses are slowed", SOON, || failed("x").1.starts_with("/login?failed=too-many"));
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("voyandz_auth_failures_total{mechanism=\"code\"}"), "{metrics}");
}

#[test]
fn x3_others_may_not_use_the_socket() {
    let server = Server::start(&yaml(""));
    let socket = server.control_socket();
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    if !(rustix::process::geteuid().is_root() && have("setpriv") && have("curl")) {
        return;
    }
    // Also when the file lets them in.
    for path in [&server.runtime_folder(), socket.parent().unwrap(), &socket] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-sS", "--unix-socket"]);
    let output = command.arg(&socket).arg("http://localhost/livez").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("only root and the user of the server"), "{output:?}");
    server.log.wait("WARN.*a user may not use the control socket.*uid=65534", SOON);
}

#[test]
fn x3_media_comes_over_the_socket_and_ends_with_the_server() {
    let mut server = Server::start(&yaml("auth: {users: {}}\n"));
    assert_eq!(server.get("/cam.raw").status, 403, "nobody else may");
    let mut socket = UnixStream::connect(server.control_socket()).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    write!(socket, "GET /cam.raw HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut reader = BufReader::new(socket);
    let lines: Vec<String> = (&mut reader).lines().map(Result::unwrap).filter(|line| line == "tick").take(3).collect();
    assert_eq!(lines.len(), 3);
    server.terminate();
    assert!(server.wait(SOON).success());
    let mut rest = Vec::new();
    let _ = reader.read_to_end(&mut rest);
    assert!(!server.control_socket().exists(), "its file is removed");
}

#[test]
fn x3_the_place_of_the_socket_is_configured() {
    let launch = Launch::bare();
    let path = launch.folder().join("own").join("x.sock");
    let server = launch.with(&yaml(&format!("api: {{socket: {}}}\n", path.display()))).start();
    assert!(path.exists() && !server.control_socket().exists());
    assert_eq!(over(&path, "GET", "/api/v1/server", "", "").0, 200);
    // A second server with the same path says so and does not start.
    let second = Launch::new(&yaml(&format!("api: {{socket: {}}}\n", path.display())));
    let mut second = second.spawn();
    second.log.wait("ERROR.*cannot listen on .*x.sock", SOON);
    assert!(!second.wait(SOON).success());
    assert_eq!(over(&path, "GET", "/api/v1/server", "", "").0, 200);
    server.reload(&yaml("api: {socket: none}\n"));
    server.log.wait("another api.socket applies after a restart", SOON);
    let server = Server::start(&yaml("api: {socket: none}\n"));
    assert!(!server.control_socket().exists());
}

/// Runs `voyandz ctl` as on the machine of the server.
fn ctl(server: &Server, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    for name in ["VOYANDZ_CONFFILE", "VOYANDZ_SERVER", "VOYANDZ_TOKEN", "VOYANDZ_TOKEN_FILE"] {
        command.env_remove(name);
    }
    command.env("XDG_RUNTIME_DIR", server.runtime_folder()).arg("ctl").args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn x3_ctl_needs_no_token_on_the_machine_itself() {
    let server = Server::start(&yaml("auth: {users: {}}\n"));
    // The port is chosen by the system: the socket is named.
    let unix = format!("unix:{}", server.control_socket().display());
    let output = ctl(&server, &["--server", &unix, "list"]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("\ncam.raw"), "{output:?}");
    let output = ctl(&server, &["--server", &unix, "restart", "feed", "ticks"]);
    assert!(output.status.success(), "{output:?}");
    // Over TCP it is nobody, and gets to know what to do.
    let output = ctl(&server, &["--server", &server.url(""), "list"]);
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    let output = ctl(&server, &["--server", &unix, "login"]);
    let address = String::from_utf8(output.stdout).unwrap();
    let code = address.trim().split_once("/login#").expect("an address").1;
    assert_eq!(log_in(&server, code).0, 201);
    // With a configuration that has a port it is found by itself.
    let launch = Launch::bare();
    let path = launch.folder().join("c.sock");
    let server = launch.with(&yaml(&format!("api: {{socket: {}}}\nauth: {{users: {{}}}}\n", path.display()))).start();
    let output = ctl(&server, &["-f", server.file().to_str().unwrap(), "list", "feeds"]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("\nticks"), "{output:?}");
}

/// A server whose standard error is a terminal, until dropped.
struct OnTerminal {
    script: std::process::Child,
    pid: i32,
    lines: Vec<String>,
}

impl OnTerminal {
    fn start(folder: &Path, yaml: &str) -> Self {
        let file = folder.join("t.yaml");
        fs::write(&file, yaml).unwrap();
        let command = format!("echo pid=$$; exec {PROGRAM} -f {}", file.display());
        let mut script = Command::new("script");
        script.args(["-qfec", &command, "/dev/null"]).env("XDG_RUNTIME_DIR", folder).env_remove("RUNTIME_DIRECTORY");
        let mut script = script.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let reader = BufReader::new(script.stdout.take().unwrap());
        let mut lines = Vec::new();
        for line in reader.lines().map_while(Result::ok) {
            lines.push(line);
            let has = |text: &str| lines.iter().any(|line| line.contains(text));
            if has("manage it at") && has("listening") {
                break;
            }
        }
        let pid = lines.iter().find_map(|line| line.strip_prefix("pid=")).unwrap().trim().parse().unwrap();
        Self { script, pid, lines }
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        process::send(self.pid, Signal::TERM);
        let _ = self.script.wait();
    }
}

#[test]
fn x3_a_start_on_a_terminal_prints_a_code_that_logs_a_browser_in() {
    if !have("script") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = OnTerminal::start(folder.path(), &yaml("listenport: 0\n"));
    let line = server.lines.iter().find(|line| line.contains("manage it at")).unwrap();
    let address = line.split_whitespace().find(|word| word.starts_with("http://127.0.0.1:")).unwrap();
    let (site, code) = address.split_once("/login#").unwrap();
    assert_eq!(code.len(), 19, "{line}");
    let logged: Vec<_> = server.lines.iter().filter(|line| line.contains(code)).collect();
    assert_eq!(logged.len(), 1, "it is in no line of the log: {logged:?}");
    if have_browser() {
        let browser = Browser::start();
        browser.open(&format!("{site}/stat"));
        browser.run(&format!("location.href = {}", json!(address)));
        browser.wait("return document.querySelector('nav.menu').innerText.includes('Administrator')", SOON);
        assert_eq!(browser.run("return location.href"), format!("{site}/"));
        assert_eq!(browser.complaints(), Vec::<String>::new());
    }
    // A server that is no terminal's prints none.
    let server = Server::start(&yaml(""));
    assert!(!server.log.text().contains("manage it at"));
}
