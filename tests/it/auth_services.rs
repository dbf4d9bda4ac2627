//! Services that decide: a hook, and keys of JSON Web Tokens from an address. Whatever they do, the server does not wait for long.

use crate::{
    login::hash,
    rig::{
        Launch, SOON, Server, http,
        script::shell,
        stub::{Stub, reply},
        wait_until,
    },
};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A hook has two seconds.
const LIMIT: Duration = Duration::from_millis(2200);

fn yaml(auth: &str) -> String {
    let ticks = shell("while echo tick; do sleep 0.05; done");
    format!(
        "rtsp: {{listen: '127.0.0.1:0'}}\nfeeds:\n  ticks: {{command: {ticks}}}\n  studio: {{publish: {{}}}}\n\
         streams:\n  cam.raw: {{feed: ticks, container: raw}}\n  yard.raw: {{feed: ticks, container: raw}}\n  \
         studio: {{feed: studio}}\n{auth}"
    )
}

fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64.encode(format!("{user}:{password}").as_bytes()))
}

fn status(server: &Server, target: &str, headers: &str) -> u16 {
    http::request(server.address(), "HEAD", target, headers).status
}

fn publish(server: &Server, headers: &str) -> u16 {
    let address = server.address();
    http::send(address, &format!("PUT /studio HTTP/1.1\r\nHost: {address}\r\nContent-Length: 1\r\n{headers}\r\nx"))
        .status
}

/// Anna may watch cam, who has `?key=k` too, and encoders may publish.
fn decide(asked: &Value) -> bool {
    let of = |name: &str| asked[name].as_str().unwrap().to_owned();
    match of("action").as_str() {
        "read" => {
            of("path") == "cam.raw"
                && ((of("user"), of("password")) == ("anna".into(), "right".into())
                    || of("token") == "t0ken"
                    || of("query") == "pass=k")
        }
        "publish" => of("user") == "encoder" && of("protocol") == "http",
        _ => false,
    }
}

#[test]
fn x4_a_hook_in_the_form_of_mediamtx_decides_what_nothing_else_permits() {
    let hook = Stub::new(|asked| reply(if decide(&asked.json()) { 200 } else { 401 }, ""));
    let local = hash("of a user");
    let auth = format!(
        "auth:\n  anyone: [view yard*]\n  users: {{bob: {{password: {local}, may: viewer}}}}\n  hook: {{url: '{}'}}\n",
        hook.url("/auth?secret=canary")
    );
    let server = Server::start(&yaml(&auth));
    // What the rules permit needs no hook.
    assert_eq!(status(&server, "/yard.raw", ""), 200);
    assert_eq!(status(&server, "/cam.raw", &basic("bob", "of a user")), 200);
    assert_eq!(status(&server, "/cam.raw", &basic("bob", "wrong")), 401);
    assert_eq!(hook.got().len(), 0);
    // What they do not is asked, with all that is known.
    assert_eq!(status(&server, "/cam.raw?header=0", "User-Agent: mpv/1\r\n"), 401);
    let asked = hook.got();
    let expected = json!({
        "user": "", "password": "", "token": "", "ip": "127.0.0.1", "action": "read", "path": "cam.raw",
        "protocol": "http", "id": null, "query": "header=0", "userAgent": "mpv/1",
    });
    assert_eq!((asked.len(), &*asked[0].line, asked[0].json()), (1, "POST /auth?secret=canary", expected));
    for (target, headers, expect) in [
        ("/cam.raw", basic("anna", "right"), 200),
        ("/cam.raw", "Authorization: Bearer t0ken\r\n".to_owned(), 200),
        ("/cam.raw?pass=k", String::new(), 200),
        ("/cam.raw/pic", "Authorization: Bearer t0ken\r\n".to_owned(), 404),
        // Wrong, also where anyone may: what is presented never counts as nothing.
        ("/yard.raw", basic("anna", "right"), 401),
        ("/cam.raw", basic("anna", "wrong"), 401),
        ("/stat.json", basic("anna", "right"), 401),
    ] {
        let found = status(&server, target, &headers);
        // A stream of bytes has no stills: it is permitted, and not possible.
        assert!(found == expect || expect == 404 && ![401, 403].contains(&found), "{target} {headers}: {found}");
    }
    assert_eq!(publish(&server, &basic("encoder", "x")), 415);
    // The configuration and the users are nothing for a hook.
    let before = hook.got().len();
    assert_eq!(status(&server, "/api/v1/config/feeds/ticks", &basic("anna", "right")), 403);
    assert_eq!(hook.got().len(), before);
    // Who it is stands in the log; neither password nor address does.
    server.log.wait("user=hook:anna", SOON);
    let metrics = http::request(server.address(), "GET", "/metrics", &basic("bob", "of a user")).text();
    assert!(metrics.contains("voyandz_auth_hook_requests_total{result=\"permitted\"} 4\n"), "{metrics}");
    assert!(metrics.contains("voyandz_auth_failures_total{mechanism=\"hook\"}"), "{metrics}");
    for secret in ["canary", "t0ken", "cmlnaHQ"] {
        assert!(!server.log.text().contains(secret), "{secret}");
    }
}

#[test]
fn x4_a_hook_in_the_form_of_srs() {
    let hook = Stub::new(|asked| {
        let json = asked.json();
        let may = json["action"] == "on_play" && json["param"] == "?token=good";
        reply(200, if may { "0" } else { "{\"code\": 403}" })
    });
    let auth = format!("auth: {{hook: {{url: '{}', form: srs, keep: 0}}}}\n", hook.url("/"));
    let server = Server::start(&yaml(&auth));
    assert_eq!(status(&server, "/cam.raw?token=good", ""), 200);
    assert_eq!(status(&server, "/cam.raw?token=bad", ""), 401);
    assert_eq!(publish(&server, ""), 401);
    let asked: Vec<_> = hook.got().iter().map(|asked| asked.json()["action"].clone()).collect();
    assert_eq!(asked, ["on_play", "on_play", "on_publish"]);
    // It has no words for anything else.
    assert_eq!(status(&server, "/stat.json", ""), 401);
    assert_eq!(hook.got().len(), 3);
}

#[test]
fn x4_answers_are_remembered_and_equal_questions_are_asked_once() {
    let gate = Arc::new((Mutex::new(false), std::sync::Condvar::new()));
    let opened = gate.clone();
    let hook = Stub::new(move |asked| {
        if asked.json()["query"] == "slow=1" {
            let guard = opened.0.lock().unwrap();
            drop(opened.1.wait_timeout_while(guard, SOON, |is_open| !*is_open).unwrap());
        }
        reply(200, "")
    });
    let server = Server::start(&yaml(&format!("auth: {{hook: {{url: '{}', keep: 600}}}}\n", hook.url("/"))));
    (0..5).for_each(|_| assert_eq!(status(&server, "/cam.raw", ""), 200));
    assert_eq!(hook.got().len(), 1);
    // Another stream is another question.
    assert_eq!(status(&server, "/yard.raw", ""), 200);
    assert_eq!(hook.got().len(), 2);
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| status(&server, "/cam.raw?slow=1", ""))).collect();
        wait_until("the hook is asked", SOON, || hook.got().len() == 3);
        // Meanwhile others are not held up.
        assert_eq!(status(&server, "/cam.raw", ""), 200);
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        asking.into_iter().for_each(|asking| assert_eq!(asking.join().unwrap(), 200));
    });
    assert_eq!(hook.got().len(), 3);
}

/// Acceptance 39.
#[test]
fn x4_without_an_answer_nothing_is_permitted() {
    let is_silent = Arc::new(AtomicBool::new(true));
    let silent = is_silent.clone();
    let hook = Stub::new(move |_| if silent.load(Ordering::Relaxed) { None } else { reply(200, "") });
    let rules = |url: &str| format!("auth: {{anyone: [view yard*, status], hook: {{url: '{url}', keep: 0}}}}\n");
    let server = Server::start(&yaml(&rules(&hook.url("/"))));
    let began = Instant::now();
    let answer = http::request(server.address(), "HEAD", "/cam.raw", "");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
    server.log.wait("WARN.*the hook that decides does not answer.*no answer within 2 s", SOON);
    // What needs no hook is as fast as ever.
    let began = Instant::now();
    assert_eq!(status(&server, "/yard.raw", ""), 200);
    assert!(began.elapsed() < Duration::from_secs(1));
    is_silent.store(false, Ordering::Relaxed);
    wait_until("it is asked again", SOON, || status(&server, "/cam.raw", "") == 200);
    server.log.wait("the hook that decides answers again", SOON);
    assert!(server.get("/metrics").text().contains("voyandz_auth_hook_requests_total{result=\"failed\"} 1\n"));
    // What was permitted by a hook ends with it.
    let mut watching = server.get("/cam.raw");
    watching.piece(SOON);
    server.reload(&yaml(&rules("http://127.0.0.1:9/")));
    watching.rest(SOON);
    server.log.wait("reason=\"permission withdrawn\"", SOON);
    assert_eq!(status(&server, "/cam.raw", ""), 503, "nobody listens there");
}

/// A service that signs.
struct Issuer {
    pair: EcdsaKeyPair,
    id: &'static str,
}

impl Issuer {
    fn new(id: &'static str) -> Self {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self { pair: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).unwrap(), id }
    }

    fn key(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let part = |range: std::ops::Range<usize>| BASE64URL_NOPAD.encode(&point[range]);
        json!({"kty": "EC", "crv": "P-256", "kid": self.id, "x": part(1..33), "y": part(33..65)})
    }

    /// The header with a token that permits to watch.
    fn bearer(&self) -> String {
        let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 600;
        let part = |json: Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
        let head = part(json!({"alg": "ES256", "kid": self.id}));
        let signed = format!("{head}.{}", part(json!({"sub": "anna", "exp": until, "voyandz": "viewer"})));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("Authorization: Bearer {signed}.{}\r\n", BASE64URL_NOPAD.encode(signature.as_ref()))
    }
}

#[test]
fn x5_keys_come_from_an_address_and_serve_while_it_is_down() {
    let (old, new, foreign) = (Issuer::new("old"), Issuer::new("new"), Issuer::new("foreign"));
    let keys = Arc::new(Mutex::new(Some(json!({"keys": [old.key()]}))));
    let served = keys.clone();
    let service = Stub::new(move |_| match &*served.lock().unwrap() {
        Some(keys) => reply(200, keys.to_string()),
        None => reply(502, "down"),
    });
    let auth = format!("auth: {{jwt: {{keys: '{}'}}}}\n", service.url("/jwks"));
    let server = Server::start(&yaml(&auth));
    assert_eq!(status(&server, "/cam.raw", &old.bearer()), 200, "also right after the start");
    assert_eq!(service.got()[0].line, "GET /jwks");
    // A known key causes no fetch, nor does a token without one.
    (0..3).for_each(|_| assert_eq!(status(&server, "/cam.raw", &old.bearer()), 200));
    assert_eq!(service.got().len(), 1);
    // Unknown keys cause few, and are refused.
    *keys.lock().unwrap() = None;
    (0..4).for_each(|_| assert_eq!(status(&server, "/cam.raw", &foreign.bearer()), 401));
    assert!(service.got().len() <= 2, "{}", service.got().len());
    // It is down: the keys of before serve.
    assert_eq!(status(&server, "/cam.raw", &old.bearer()), 200);
    // A reload that changes something else keeps them.
    server.reload(&yaml(&auth).replace("yard.raw", "garden.raw"));
    assert_eq!(status(&server, "/cam.raw", &old.bearer()), 200);
    // It is back with another key: a token of that makes the server fetch it, and what the old one opened ends.
    let mut watching = http::request(server.address(), "GET", "/cam.raw", &old.bearer());
    watching.piece(SOON);
    *keys.lock().unwrap() = Some(json!({"keys": [new.key()]}));
    wait_until("the new key is known", Duration::from_secs(30), || status(&server, "/cam.raw", &new.bearer()) == 200);
    watching.rest(SOON);
    assert_eq!(status(&server, "/cam.raw", &old.bearer()), 401);
    server.log.wait("keys of JSON Web Tokens renewed", SOON);
}

#[test]
fn x5_an_address_that_is_down_at_the_start_is_asked_again() {
    let issuer = Issuer::new("k");
    let is_up = Arc::new(AtomicBool::new(false));
    let (up, key) = (is_up.clone(), issuer.key());
    let service = Stub::new(move |_| {
        if up.load(Ordering::Relaxed) { reply(200, json!({"keys": [key]}).to_string()) } else { reply(500, "") }
    });
    let auth = format!("auth: {{jwt: {{keys: '{}'}}}}\n", service.url("/"));
    let server = Launch::new(&yaml(&auth)).start();
    server.log.wait("WARN.*keys of JSON Web Tokens not renewed.*answers 500", SOON);
    assert_eq!(status(&server, "/cam.raw", &issuer.bearer()), 401);
    is_up.store(true, Ordering::Relaxed);
    wait_until("the key is known", Duration::from_secs(30), || status(&server, "/cam.raw", &issuer.bearer()) == 200);
}
