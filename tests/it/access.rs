//! Who may do what, from outside: every entrance, without and with each kind of credential, and what runs when its permission
//! ends.

use crate::rig::{
    Answer, Launch, SOON, Server,
    http::{self, Next},
    script::{H264, shell},
    secs,
    server::{PROGRAM, run},
    wait_until,
};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const KEY: &str = "canary-0123456789abcdef-0123456789";
/// How long anything may run that is not permitted any more.
const CUT: Duration = Duration::from_secs(2);

/// What the program prints when `input` is typed into it.
fn answer_of(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_remove("VOYANDZ_CONFFILE").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The hash of the password `pass-canary`, as `voyandz passwd` prints it.
fn hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| answer_of(&["passwd"], "pass-canary\n"))
}

/// A token and its digest, as `voyandz token` prints them.
fn token() -> &'static (String, String) {
    static TOKEN: OnceLock<(String, String)> = OnceLock::new();
    TOKEN.get_or_init(|| {
        let printed = answer_of(&["token"], "");
        let value = |name: &str| printed.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        (value("token: "), value("sha256: "))
    })
}

/// The header of a user.
fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64.encode(format!("{user}:{password}").as_bytes()))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// A camera that needs no encoder, a still that is made for each request, a stream of another owner, and these rules.
fn yaml(auth: &str) -> String {
    let picture = "videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=10/1 ! queue name=video";
    let ticks = shell("while echo tick; do sleep 0.05; done");
    format!(
        "pages: {{config: true}}\n\
         feeds:\n  one: {{pipeline: '{picture}'}}\n  ticks: {{command: {ticks}}}\n\
         streams:\n  cam.mjpeg: {{feed: one, video: true}}\n  cam.raw: {{feed: ticks, container: raw}}\n  \
         cam shot: {{type: shot, command: [echo, x], mimetype: image/jpeg}}\n  \
         cam own: {{client: exclusive, command: [yes], container: raw}}\n  \
         yard.raw: {{feed: ticks, container: raw}}\n{auth}"
    )
}

/// Users of each kind, a token and a key for links.
fn rules() -> String {
    let hash = hash();
    let user = |name: &str, rest: &str| format!("    {name}: {{password: {hash}, {rest}}}\n");
    let users: String = [
        user("viewer", "may: viewer cam*"),
        user("operator", "may: operator"),
        user("editor", "may: editor"),
        user("admin", "may: admin"),
        user("yard", "may: viewer yard*"),
        user("old", "may: admin, until: '2020-01-01T00:00:00Z'"),
        user("elsewhere", "may: admin, from: 192.0.2.0/24"),
    ]
    .concat();
    let digest = &token().1;
    format!(
        "auth:\n  users:\n{users}  tokens: {{grafana: {{sha256: '{digest}', may: status}}}}\n  link_keys: {{k1: '{KEY}'}}\n"
    )
}

/// A link to a stream, as `voyandz sign` prints it: what stands behind the `?`.
fn link(file: &Path, arguments: &[&str]) -> String {
    let mut all = vec!["sign", "-f", file.to_str().unwrap()];
    all.extend(arguments);
    let printed = answer_of(&all, "");
    printed.lines().next().unwrap().split_once('?').unwrap().1.to_owned()
}

/// What an entrance is for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum For {
    View,
    Still,
    Status,
    ConfigRead,
    All,
}

/// Every path of the server.
const ENTRANCES: [(&str, For); 36] = [
    ("/cam.mjpeg", For::View),
    ("/stream/cam.mjpeg", For::View),
    ("/cam.mjpeg/ws", For::View),
    ("/stream/cam.mjpeg/ws", For::View),
    ("/cam.mjpeg/frames", For::View),
    ("/stream/cam.mjpeg/frames", For::View),
    ("/cam.mjpeg/play", For::View),
    ("/stream/cam.mjpeg/play", For::View),
    ("/cam.mjpeg/offers.json", For::View),
    ("/stream/cam.mjpeg/offers.json", For::View),
    ("/cam%20own", For::View),
    ("/stream/cam%20own", For::View),
    ("/cam.mjpeg/pic", For::Still),
    ("/cam.mjpeg/pic.jpg", For::Still),
    ("/cam.mjpeg/pic.jpeg", For::Still),
    ("/cam.mjpeg/pic.png", For::Still),
    ("/cam.mjpeg/pic.webp", For::Still),
    ("/stream/cam.mjpeg/pic", For::Still),
    ("/cam%20shot", For::Still),
    ("/stream/cam%20shot", For::Still),
    ("/", For::Status),
    ("/wall", For::Status),
    ("/stat", For::Status),
    ("/stat.json", For::Status),
    ("/metrics", For::Status),
    ("/events", For::Status),
    ("/config", For::ConfigRead),
    ("/player.js", For::All),
    ("/watch.js", For::All),
    ("/home.js", For::All),
    ("/login", For::All),
    ("/login.js", For::All),
    ("/stat.js", For::All),
    ("/livez", For::All),
    ("/healthz", For::All),
    ("/readyz", For::All),
];

#[test]
fn x2_every_entrance_is_decided() {
    let server = Server::start(&yaml(&rules()));
    let link = link(&server.file(), &["cam*"]);
    // Who, by which headers and query, what is permitted, and the status of all else.
    let identities: Vec<(&str, String, String, Vec<For>, u16)> = vec![
        ("nobody", String::new(), String::new(), vec![], 401),
        ("viewer", basic("viewer", "pass-canary"), String::new(), vec![For::View, For::Still, For::Status], 403),
        ("operator", basic("operator", "pass-canary"), String::new(), vec![For::View, For::Still, For::Status], 403),
        (
            "editor",
            basic("editor", "pass-canary"),
            String::new(),
            vec![For::View, For::Still, For::Status, For::ConfigRead],
            403,
        ),
        (
            "admin",
            basic("admin", "pass-canary"),
            String::new(),
            vec![For::View, For::Still, For::Status, For::ConfigRead],
            403,
        ),
        ("yard", basic("yard", "pass-canary"), String::new(), vec![For::Status], 403),
        ("old", basic("old", "pass-canary"), String::new(), vec![], 401),
        ("elsewhere", basic("elsewhere", "pass-canary"), String::new(), vec![], 403),
        ("token", bearer(&token().0), String::new(), vec![For::Status], 403),
        ("link", String::new(), link, vec![For::View, For::Still], 403),
    ];
    for (path, purpose) in ENTRANCES {
        for (who, headers, query, permitted, refusal) in &identities {
            let target = format!("{path}?{query}");
            // HEAD starts nothing.
            let status = http::request(server.address(), "HEAD", &target, headers).status;
            if permitted.contains(&purpose) || (purpose == For::All) {
                assert!(![401, 403, 404, 421, 429].contains(&status), "{who} {path}: {status}");
            } else {
                assert_eq!(status, *refusal, "{who} {path}");
                let answer = http::request(server.address(), "GET", &target, headers);
                assert_eq!(answer.status, *refusal, "{who} {path}");
                assert_eq!(answer.header("www-authenticate").is_some(), *refusal == 401, "{who} {path}");
            }
        }
    }
    // Recordings are for those who have them in their role.
    for (who, headers, query, _, refusal) in &identities {
        let status = if ["operator", "editor", "admin"].contains(who) { 200 } else { *refusal };
        for path in ["/rec/cam.ts/list?", "/rec/list?path=cam.ts&"] {
            let found = http::request(server.address(), "GET", &format!("{path}{query}"), headers).status;
            // There are none, which is for those to know who may.
            let expected = if status == 200 && path.contains("path=") { 404 } else { status };
            assert_eq!(found, expected, "{who} {path}");
        }
    }
    // A wrong credential is never taken for nobody, also where nobody may.
    for headers in [basic("admin", "wrong"), basic("nobody", "pass-canary"), "Authorization: Basic ?\r\n".to_owned()] {
        assert_eq!(http::request(server.address(), "GET", "/livez", &headers).status, 401, "{headers}");
    }
    assert_eq!(server.get("/livez?v=x.y").status, 401);
}

#[test]
fn x2_without_rules_anyone_watches_and_credentials_for_others_are_ignored() {
    let server = Server::start(&yaml(""));
    for (path, _) in ENTRANCES {
        for headers in [String::new(), basic("user", "of a proxy"), "Authorization: Digest x\r\n".to_owned()] {
            let status = http::request(server.address(), "HEAD", &format!("{path}?v=1"), &headers).status;
            assert!(![401, 403, 404, 421, 429].contains(&status), "{path}: {status}");
        }
    }
    assert_eq!(server.log.count("anyone who reaches this address"), 0);
}

#[test]
fn a_server_that_others_reach_warns() {
    let server = Server::start("listenaddr: 0.0.0.0\n");
    server.log.wait("WARN.*anyone who reaches this address", SOON);
    let rules = format!("auth: {{users: {{a: {{password: {}, may: admin}}}}}}", hash());
    let server = Server::start(&format!("listenaddr: 0.0.0.0\n{rules}\n"));
    assert_eq!(server.log.count("anyone who reaches this address"), 0);
}

#[test]
fn x2_pages_show_only_what_may_be_seen() {
    let server = Server::start(&yaml(&rules()));
    for path in ["/", "/wall", "/stat", "/stat.json", "/metrics", "/events"] {
        let text = |who: &str| {
            let mut answer = http::request(server.address(), "GET", path, &basic(who, "pass-canary"));
            assert_eq!(answer.status, 200, "{who} {path}");
            if path == "/events" {
                let bytes = answer.take_until(SOON, |bytes| bytes.windows(10).any(|part| part == b"\"streams\":"));
                return String::from_utf8(bytes).unwrap();
            }
            answer.text()
        };
        let (all, yard, cams) = (text("admin"), text("yard"), text("viewer"));
        // The wall has video only.
        let has_yard = |text: &str| path == "/wall" || text.contains("yard.raw");
        assert!(all.contains("cam.mjpeg") && has_yard(&all), "{path}");
        assert!(has_yard(&yard) && !yard.contains("cam"), "{path}: {yard}");
        assert!(cams.contains("cam.mjpeg") && !cams.contains("yard"), "{path}: {cams}");
        // The feed of a stream that is not seen.
        if !matches!(path, "/" | "/wall") {
            assert!(all.contains("one") && !yard.contains("\"one\""), "{path}: {yard}");
        }
    }
    let answer = http::request(server.address(), "GET", "/readyz?verbose", &basic("yard", "pass-canary")).text();
    assert_eq!(answer, "ready\n");
}

/// Fails unless the response ends within the time that anything may run on.
fn assert_cut(what: &str, mut answer: Answer) {
    let began = Instant::now();
    while !matches!(answer.next(began + SOON), Next::End) {
        assert!(began.elapsed() < CUT, "{what} still runs after {:?}", began.elapsed());
    }
}

/// Long responses of each kind, begun.
fn begin(server: &Server, headers: &str, query: &str) -> Vec<(&'static str, Answer)> {
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut begun = Vec::new();
    for path in ["/cam.raw", "/cam.mjpeg", "/cam.mjpeg/frames", "/cam%20own", "/events", "/cam.mjpeg/ws"] {
        if path == "/events" && !query.is_empty() {
            continue;
        }
        let more = if path.ends_with("/ws") { upgrade } else { "" };
        let mut answer =
            http::request(server.address(), "GET", &format!("{path}?{query}"), &format!("{headers}{more}"));
        assert_eq!(answer.status, if more.is_empty() { 200 } else { 101 }, "{path}");
        answer.piece(SOON);
        begun.push((path, answer));
    }
    begun
}

#[test]
fn x3_what_runs_ends_with_its_permission() {
    let server = Server::start(&yaml(&rules()));
    let kept = begin(&server, &basic("admin", "pass-canary"), "");
    let removed = begin(&server, &basic("viewer", "pass-canary"), "");
    let narrowed = begin(&server, &basic("operator", "pass-canary"), "");
    let changed = rules()
        .lines()
        .filter(|line| !line.contains(" viewer:"))
        .map(|line| {
            if line.contains(" operator:") { line.replace("may: operator", "may: view yard*") } else { line.to_owned() }
        })
        .collect::<Vec<_>>()
        .join("\n");
    server.reload(&yaml(&changed));
    for (what, answer) in removed.into_iter().chain(narrowed) {
        assert_cut(what, answer);
    }
    for (what, mut answer) in kept {
        if what != "/events" {
            answer.piece(SOON);
        }
        let _ = what;
    }
    let ends = |log: &str| server.log.count(&format!("request .*{log}"));
    wait_until("log of the ends", SOON, || ends("reason=\"permission withdrawn\"") == 12);
    assert!(ends("user=\"?viewer\"? .*permission withdrawn") == 6, "{}", server.log.text());
    let metrics = http::request(server.address(), "GET", "/metrics", &basic("admin", "pass-canary")).text();
    assert!(metrics.contains("voyandz_access_ended_total{reason=\"withdrawn\"} 12"), "{metrics}");
}

#[test]
fn x3_a_link_opens_for_a_time_and_then_ends() {
    let server = Server::start(&yaml(&rules()));
    // So that all feeds run already.
    let _kept = begin(&server, &basic("admin", "pass-canary"), "");
    // It cannot be opened any more after a moment, and what it opened lasts longer.
    let opens = link(&server.file(), &["cam*", "--for", "1h", "--open", "4s"]);
    let mut lasting = begin(&server, "", &opens);
    let ends = link(&server.file(), &["cam*", "--for", "4s", "--name", "neighbours"]);
    let signed = Instant::now();
    for (what, mut answer) in begin(&server, "", &ends) {
        while !matches!(answer.next(signed + SOON), Next::End) {
            assert!(signed.elapsed() < secs(4) + CUT, "{what} still runs");
        }
    }
    for (what, answer) in &mut lasting {
        answer.piece(SOON);
        let _ = what;
    }
    for old in [&opens, &ends] {
        assert_eq!(server.get(&format!("/cam.raw?{old}")).status, 401);
    }
    let line = server.log.wait("request .*permission expired", SOON);
    assert!(line.contains("link:k1:neighbours") && line.contains("?v=***"), "{line}");
    // A key that is gone ends its links.
    server.reload(&yaml(&rules().replace("k1:", "k2:")));
    for (what, answer) in lasting {
        assert_cut(what, answer);
    }
}

#[test]
fn signed_links_reach_what_their_pages_load() {
    let server = Server::start(&yaml(&rules()));
    let printed =
        answer_of(&["sign", "-f", server.file().to_str().unwrap(), "--base", "https://tv.example/", "cam.m*"], "");
    let paths: Vec<_> = printed.lines().map(|line| line.split_once('?').unwrap().0).collect();
    assert_eq!(
        paths,
        ["https://tv.example/cam.mjpeg", "https://tv.example/cam.mjpeg/play", "https://tv.example/cam.mjpeg/pic"]
    );
    let link = printed.lines().next().unwrap().split_once('?').unwrap().1;
    let page = server.get(&format!("/cam.mjpeg/play?{link}")).text();
    assert!(page.contains(&format!(" src=\"/cam.mjpeg?{link}\"")), "{page}");
    let offers = server.get(&format!("/cam.mjpeg/offers.json?{link}")).text();
    assert!(offers.contains(&format!("\"url\":\"/cam.mjpeg?{link}\"")), "{offers}");
    assert!(page.contains(&format!("data-pic=\"/cam.mjpeg/pic?{link}\"")), "{page}");
    assert_eq!(server.get(&format!("/cam.mjpeg/pic?{link}")).status, 200);
    assert_eq!(server.get(&format!("/yard.raw?{link}")).status, 403);
    let refused = |arguments: &[&str]| {
        let file = server.file();
        let mut all = vec!["sign", "-f", file.to_str().unwrap()];
        all.extend(arguments);
        let output = run(&all);
        assert_eq!(output.status.code(), Some(78), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&["nothing"]).contains("no stream matches"));
    assert!(refused(&["cam*", "--may", "users"]).contains("a link permits"));
    assert!(refused(&["cam*", "--from", "x"]).contains("expected a network"));
    // Only for views.
    let views = self::link(&server.file(), &["cam.m*", "--may", "view", "--from", "127.0.0.0/8"]);
    assert_eq!(server.get(&format!("/cam.mjpeg/pic?{views}")).status, 403);
    let elsewhere = self::link(&server.file(), &["cam.m*", "--from", "192.0.2.0/24"]);
    assert_eq!(server.get(&format!("/cam.mjpeg/pic?{elsewhere}")).status, 403);
}

#[test]
fn faults43_guessing_is_slowed_for_the_one_who_guesses() {
    let server = Server::start(&yaml(&format!("{}  proxies: 127.0.0.1\n", rules())));
    let ask = |from: &str, headers: &str, target: &str| {
        http::request(server.address(), "GET", target, &format!("X-Forwarded-For: {from}\r\n{headers}"))
    };
    // One who logged in before is not slowed.
    assert_eq!(ask("192.0.2.1", &basic("admin", "pass-canary"), "/stat.json").status, 200);
    let statuses: Vec<u16> = (0..20)
        .map(|number| ask("192.0.2.1", &basic("admin", &format!("guess {number}")), "/stat.json").status)
        .collect();
    let slowed = statuses.iter().position(|status| *status == 429).expect("it is never slowed");
    // A try comes back every two seconds.
    assert!((5..=8).contains(&slowed) && statuses[..slowed].iter().all(|status| *status == 401), "{statuses:?}");
    let answer = ask("192.0.2.1", &bearer("vyz_wrong"), "/stat.json");
    assert_eq!(answer.status, 429, "other credentials count too");
    assert!(answer.header("retry-after").is_some_and(|seconds| (1..=2).contains(&seconds.parse::<u32>().unwrap())));
    assert_eq!(ask("192.0.2.1", &basic("admin", "pass-canary"), "/stat.json").status, 200);
    assert_eq!(ask("192.0.2.2", &basic("editor", "pass-canary"), "/stat.json").status, 200, "others are not slowed");
    let metrics = ask("192.0.2.1", &basic("admin", "pass-canary"), "/metrics").text();
    let count = |label: &str| {
        let name = format!("voyandz_auth_failures_total{{mechanism=\"{label}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse::<usize>().ok()).unwrap()
    };
    assert_eq!(count("password") + count("throttled"), 21, "{metrics}");
}

#[test]
fn x8_networks_decide_after_proxies() {
    let rules = "auth:\n  deny: 203.0.113.0/24\n  allow: {config:read: 192.0.2.0/24}\n  proxies: 127.0.0.1\n";
    let server = Server::start(&yaml(rules));
    let status = |target: &str, from: &str| {
        http::request(server.address(), "GET", target, &format!("X-Forwarded-For: {from}\r\n")).status
    };
    assert_eq!([status("/stat.json", "198.51.100.1"), status("/stat.json", "203.0.113.1")], [200, 403]);
    assert_eq!(status("/stat.json", "203.0.113.1, 198.51.100.1"), 200, "only the last address is the proxy's word");
    assert_eq!([status("/config", "192.0.2.1"), status("/config", "198.51.100.1")], [200, 403]);
    let line = server.log.wait("request .*192.0.2.1.*/config", SOON);
    assert!(line.contains("peer=192.0.2.1"), "{line}");
    // Without the key nobody is believed.
    server.reload(&yaml("auth: {deny: 203.0.113.0/24}\n"));
    assert_eq!(status("/stat.json", "203.0.113.1"), 200);
}

#[test]
fn faults40_only_media_is_for_pages_of_other_origins() {
    let server = Server::start(&yaml(&rules()));
    for (path, purpose) in ENTRANCES {
        let headers = format!("Origin: http://evil.example\r\n{}", basic("admin", "pass-canary"));
        let answer = http::request(server.address(), "HEAD", path, &headers);
        let is_media = !path.ends_with("/play") && matches!(purpose, For::View | For::Still) || path == "/player.js";
        assert_eq!(answer.header("access-control-allow-origin"), is_media.then_some("*"), "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{path}");
    }
    // The login of a user does not open a WebSocket for the page of another origin; a link, which the page must know, does.
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let open = |target: &str, headers: &str| {
        http::request(server.address(), "GET", target, &format!("{upgrade}{headers}")).status
    };
    let (user, own) = (basic("admin", "pass-canary"), format!("Origin: http://{}\r\n", server.address()));
    assert_eq!(open("/cam.mjpeg/ws", &format!("{user}Origin: http://evil.example\r\n")), 403);
    assert_eq!(open("/cam.mjpeg/ws", &format!("{user}Sec-Fetch-Site: cross-site\r\n")), 403);
    assert_eq!(open("/cam.mjpeg/ws", &format!("{user}{own}")), 101);
    assert_eq!(open("/cam.mjpeg/ws", &user), 101);
    let link = link(&server.file(), &["cam.m*"]);
    assert_eq!(open(&format!("/cam.mjpeg/ws?{link}"), "Origin: http://evil.example\r\n"), 101);
}

#[test]
fn faults37_pages_are_served_by_known_names_only() {
    let server = Server::start(&yaml("auth: {names: [tv.example.org]}\n"));
    let status = |target: &str, host: &str| {
        http::send(server.address(), &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
            .status
    };
    for path in ["/", "/stat", "/stat.json", "/metrics", "/config"] {
        assert_eq!(status(path, "evil.example:8090"), 421, "{path}");
        for host in ["tv.example.org", "TV.example.org:8090", "127.0.0.1", "[::1]:8090", "localhost"] {
            assert_eq!(status(path, host), 200, "{path} {host}");
        }
    }
    assert_eq!([status("/cam.mjpeg/pic", "evil.example"), status("/livez", "evil.example")], [200, 200]);
}

#[test]
fn faults42_secrets_are_nowhere() {
    let server = Server::start(&yaml(&rules()));
    let link = link(&server.file(), &["cam*"]);
    assert_eq!(server.get(&format!("/cam.mjpeg/pic?{link}")).status, 200);
    assert_eq!(http::request(server.address(), "GET", "/stat.json", &bearer(&token().0)).status, 200);
    let broken = yaml(&rules().replace(KEY, "canary too short").replace(&token().1, "canary"));
    assert!(server.reload(&broken).contains("unchanged"));
    let pages = ["/", "/stat", "/stat.json", "/metrics", "/config"];
    let read = |path: &&str| http::request(server.address(), "GET", path, &basic("admin", "pass-canary")).text();
    let mut shown: Vec<String> = pages.iter().map(read).collect();
    shown.push(server.log.text());
    shown.push(fs::read_to_string(format!("/proc/{}/cmdline", server.pid())).unwrap());
    let file = server.file();
    fs::write(&file, yaml(&rules())).unwrap();
    for command in ["config", "check"] {
        let output = run(&[command, "-f", file.to_str().unwrap()]);
        shown.push(String::from_utf8([output.stdout, output.stderr].concat()).unwrap());
    }
    let hashes: Vec<_> = hash().trim_matches('\'').rsplit('$').take(2).collect();
    let signature = link.rsplit('.').next().unwrap();
    for secret in ["canary", &token().0, &token().1, hashes[0], signature, &basic("admin", "pass-canary")] {
        for text in &shown {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    assert!(shown[4].contains("\"password\": \"***\""), "{}", shown[4]);
}

/// A service that signs tokens.
struct Issuer(EcdsaKeyPair);

impl Issuer {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    /// Its public key in the file that the configuration names.
    fn publish(&self, folder: &Path) {
        let point = self.0.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(|part| BASE64URL_NOPAD.encode(part));
        let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "a", "x": x, "y": y}]});
        fs::write(folder.join("jwks.new"), keys.to_string()).unwrap();
        fs::rename(folder.join("jwks.new"), folder.join("jwks.json")).unwrap();
    }

    /// The header with a token that ends at a time from now.
    fn header(&self, lasts: i64, more: &Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
        let mut claims = json!({"sub": "anna", "iss": "https://id.example", "aud": "tv", "exp": now + lasts});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let parts = [json!({"alg": "ES256", "kid": "a"}), claims]
            .map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes()));
        let signed = parts.join(".");
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        bearer(&format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref())))
    }
}

#[test]
fn x4_tokens_of_a_service() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let launch = Launch::new(&yaml("auth: {jwt: {keys: jwks.json, issuer: 'https://id.example', audience: tv}}\n"));
    let folder = launch.folder().to_owned();
    issuer.publish(&folder);
    let server = launch.start();
    let status = |header: &str, target: &str| http::request(server.address(), "HEAD", target, header).status;
    let viewer = issuer.header(600, &json!({"voyandz": ["viewer cam*"]}));
    assert_eq!(
        ["/cam.raw", "/stat", "/yard.raw", "/config"].map(|target| status(&viewer, target)),
        [200, 200, 403, 403]
    );
    let theirs = issuer.header(600, &json!({"mediamtx_permissions": [{"action": "read", "path": "yard.raw"}]}));
    assert_eq!(["/yard.raw", "/cam.raw"].map(|target| status(&theirs, target)), [200, 403]);
    let refused = [
        other.header(600, &json!({"voyandz": "admin"})),
        issuer.header(-60, &json!({"voyandz": "admin"})),
        issuer.header(600, &json!({"voyandz": "admin", "aud": "radio"})),
        issuer.header(600, &json!({"voyandz": "admin", "iss": "https://evil.example"})),
    ];
    for header in refused {
        assert_eq!(status(&header, "/stat"), 401);
    }
    assert_eq!(status("", "/stat"), 401);
    // What runs ends with the token, half a minute later as clocks differ, and with the key.
    let running = begin(&server, &viewer, "");
    let ending = issuer.header(-26, &json!({"voyandz": "viewer cam*"}));
    let signed = Instant::now();
    for (what, mut answer) in begin(&server, &ending, "") {
        while !matches!(answer.next(signed + SOON), Next::End) {
            assert!(signed.elapsed() < secs(4) + CUT, "{what} still runs");
        }
    }
    fs::write(folder.join("jwks.json"), "{}").unwrap();
    server.log.wait("WARN.*keys of JSON Web Tokens not renewed", SOON);
    assert_eq!(status(&viewer, "/stat"), 200);
    other.publish(&folder);
    server.log.wait("keys of JSON Web Tokens renewed", SOON);
    for (what, answer) in running {
        assert_cut(what, answer);
    }
    assert_eq!(status(&viewer, "/stat"), 401);
    assert_eq!(status(&other.header(600, &json!({"voyandz": "status"})), "/stat"), 200);
    let line = server.log.wait("request .*permission expired", SOON);
    assert!(line.contains("user=jwt:anna") || line.contains("user=\"jwt:anna\""), "{line}");
    // A file without keys prevents a reload.
    let line = server.reload(&yaml("auth: {jwt: {keys: nothing.json}}\n"));
    assert!(line.contains("unchanged") && line.contains("nothing.json"), "{line}");
}

#[test]
fn x8_proxies_tell_addresses_before_the_request() {
    let rules = "auth: {deny: 203.0.113.0/24, proxies: 127.0.0.1, proxy_protocol: true}\n";
    let server = Server::start(&yaml(rules));
    let status = |header: &[u8]| {
        let mut socket = TcpStream::connect(server.address()).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        // In pieces, as a network may deliver it.
        let (start, rest) = header.split_at(header.len().min(14));
        socket.write_all(start).unwrap();
        socket.write_all(rest).unwrap();
        let _ = socket.write_all(b"GET /stat.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|status| status.parse::<u16>().ok())
    };
    assert_eq!(status(b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 80\r\n"), Some(200));
    assert_eq!(status(b"PROXY TCP4 203.0.113.1 127.0.0.1 4711 80\r\n"), Some(403));
    let second = |address: [u8; 4]| {
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &address, &[127, 0, 0, 1, 0x12, 0x67, 0, 80]].concat()
    };
    assert_eq!([status(&second([192, 0, 2, 1])), status(&second([203, 0, 113, 1]))], [Some(200), Some(403)]);
    assert_eq!(
        [status(b""), status(b"PROXY TCP4 x y 1 2\r\n")],
        [None, None],
        "a proxy that says nothing is not served"
    );
    server.log.wait("request peer=203.0.113.1:4711.*/stat.json", SOON);
    // Who is no proxy is served as ever, and what it says is no header.
    server.reload(&yaml("auth: {proxies: 192.0.2.0/24, proxy_protocol: true}\n"));
    assert_eq!(status(b""), Some(200));
    assert_eq!(status(b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 80\r\n"), Some(400));
}

#[test]
fn x2_every_output_of_a_stream_is_decided_by_its_name() {
    let picture = "videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=10/1 ! queue name=video";
    let hash = hash();
    let yaml = format!(
        "feeds: {{one: {{pipeline: '{picture}'}}}}\nstreams: {{cam: {{feed: one, video: {H264}}}}}\n\
         auth: {{users: {{a: {{password: {hash}, may: view cam}}, b: {{password: {hash}, may: viewer yard}}}}, link_keys: {{k1: '{KEY}'}}}}\n"
    );
    let server = Server::start(&yaml);
    let file = server.file();
    let printed = answer_of(&["sign", "-f", file.to_str().unwrap(), "--base", "", "cam"], "");
    let links: Vec<_> = printed.lines().collect();
    assert!(
        links.iter().any(|link| link.starts_with("/cam.ts?v="))
            && links.iter().any(|link| link.starts_with("/cam.mp4?v=")),
        "{printed}"
    );
    let status = |target: &str, headers: &str| http::request(server.address(), "HEAD", target, headers).status;
    for link in links.iter().filter(|link| !link.contains("/pic?")) {
        assert_eq!(status(link, ""), 200, "{link}");
    }
    let page = "Accept: text/html\r\n";
    for (path, headers) in [
        ("/cam", ""),
        ("/cam", page),
        ("/cam.ts", ""),
        ("/cam.mp4", ""),
        ("/stream/cam", ""),
        ("/stream/cam.ts", ""),
        ("/cam/play", ""),
        ("/cam.m3u8", ""),
        ("/cam.mpd", ""),
    ] {
        let by = |who: &str| status(path, &format!("{headers}{}", basic(who, "pass-canary")));
        assert_eq!([status(path, headers), by("a"), by("b")], [401, 200, 403], "{path} {headers}");
    }
    let page = server.get(links.iter().find(|link| link.contains("/play?")).unwrap()).text();
    let signed = links[0].split_once('?').unwrap().1;
    let (addresses, signed) =
        (page.matches("<code>http://").count(), page.matches(&format!("{signed}</code>")).count());
    assert!(addresses > 5 && addresses == signed, "{addresses} {signed} {page}");
}

#[test]
fn x4_playlists_hand_the_link_to_all_that_they_lead_to() {
    let picture = "videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=10/1 ! queue name=video";
    let server = Server::start(&format!(
        "feeds: {{one: {{pipeline: '{picture}'}}}}\nstreams: {{cam: {{feed: one, video: {H264}}}}}\n\
         auth: {{link_keys: {{k1: '{KEY}'}}}}\n"
    ));
    let query = link(&server.file(), &["cam"]);
    let signed = query.split('&').find(|pair| pair.starts_with("v=")).unwrap();
    let mut playlist = server.get(&format!("/cam.m3u8?{query}"));
    assert_eq!(playlist.status, 200);
    let text = playlist.text();
    let media = text.lines().find(|line| !line.starts_with('#') && !line.is_empty()).unwrap().to_owned();
    assert!(media.contains(signed), "{text}");
    assert_eq!(server.get(&format!("/{}", media.split('?').next().unwrap())).status, 403);
    let mut found = server.get(&format!("/{media}"));
    let text = found.text();
    assert_eq!(found.status, 200, "{text}");
    let mut segments = 0;
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        assert!(line.contains(signed), "{text}");
        segments += 1;
        let folder = media.rsplit_once('/').unwrap().0;
        let path = format!("/{folder}/{line}");
        assert_eq!(server.get(&path).status, 200, "{path}");
        assert_eq!(server.get(path.split('?').next().unwrap()).status, 403, "{path}");
    }
    assert!(segments > 0, "{text}");
}

/// Acceptance 18: whoever guesses from many addresses has few tries, and slows nobody else.
#[test]
fn x7_guesses_from_many_addresses_are_few_and_slow_nobody() {
    const ADDRESSES: u8 = 20;
    let server = Server::start(&yaml(&rules()));
    let until = Instant::now() + Duration::from_secs(6);
    let ask = |from: [u8; 4], headers: &str| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&std::net::SocketAddr::from((from, 0)).into()).unwrap();
        socket.connect(&server.address().into()).unwrap();
        let mut socket = TcpStream::from(socket);
        write!(socket, "HEAD /cam.raw HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    let began = Instant::now();
    let (wrong, right) = std::thread::scope(|scope| {
        let guessing: Vec<_> = (1..=ADDRESSES)
            .map(|number| {
                let ask = &ask;
                scope.spawn(move || {
                    let (mut checked, mut slowed) = (0, 0);
                    while Instant::now() < until {
                        match ask([127, 0, 1, number], &basic("viewer", "wrong")) {
                            401 => checked += 1,
                            429 => slowed += 1,
                            other => panic!("{other}"),
                        }
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    (checked, slowed)
                })
            })
            .collect();
        let mut right = Vec::new();
        while Instant::now() < until {
            right.push(ask([127, 0, 0, 1], &basic("viewer", "pass-canary")));
            std::thread::sleep(Duration::from_millis(20));
        }
        (guessing.into_iter().map(|guessing| guessing.join().unwrap()).collect::<Vec<_>>(), right)
    });
    // Five, and one in two seconds.
    let most = 5 + began.elapsed().as_secs() / 2 + 1;
    for (checked, slowed) in &wrong {
        assert!((1..=most).contains(checked) && *slowed > 0, "{wrong:?}");
    }
    // Only when sixteen wait for a check at a time, a right one waits for a second, too.
    let refused = right.iter().filter(|status| **status != 200).count();
    assert!(right.len() > 20 && refused <= right.len() / 10, "{right:?}");
}
