//! Logins of browsers: the form, the cookie that stands for the password, and what ends it.

use crate::rig::{
    Answer, SOON, Server,
    browser::{Browser, have_browser},
    http, openapi,
    script::{H264, PICTURE},
    server::{PROGRAM, unindent},
    wait_until,
};
use serde_json::{Value, json};
use std::{
    io::Write,
    process::{Command, Stdio},
};

const HTML: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";

/// The hash of a password, as `voyandz passwd` prints it.
pub fn hash(password: &str) -> String {
    let mut command = Command::new(PROGRAM);
    let mut child = command.arg("passwd").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}

/// Two users, of whom one may watch the yard only.
pub fn yaml(anna: &str, more: &str) -> String {
    unindent(&format!(
        "
        feeds: {{ticks: {{command: [sh, -c, 'while echo tick; do sleep 0.05; done']}}}}
        streams: {{cam.raw: {{feed: ticks, container: raw}}, yard.raw: {{feed: ticks, container: raw}}}}
        auth:
          users:
            anna: {{password: {}, may: admin}}
            yard: {{password: {}, may: viewer yard*}}
        {more}
        ",
        hash(anna),
        hash("of the yard"),
    ))
}

fn post(server: &Server, headers: &str, kind: &str, body: &str) -> Answer {
    let (address, length) = (server.address(), body.len());
    let head = format!("Content-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}");
    http::send(address, &format!("POST /api/v1/session HTTP/1.1\r\nHost: {address}\r\n{head}\r\n{body}"))
}

fn form(server: &Server, headers: &str, body: &str) -> Answer {
    post(server, headers, "application/x-www-form-urlencoded", body)
}

/// The header that brings the cookie of a response back.
fn cookie(answer: &Answer) -> String {
    format!("Cookie: theme=dark; {}\r\n", answer.header("set-cookie").unwrap().split(';').next().unwrap())
}

fn get(server: &Server, target: &str, headers: &str) -> Answer {
    http::request(server.address(), "GET", target, headers)
}

/// Who one is, as the API says it.
fn whoami(server: &Server, headers: &str) -> Value {
    let mut answer = get(server, "/api/v1/session", headers);
    let value = serde_json::from_str(&answer.text()).unwrap();
    openapi::check("GET", "/session", answer.status, &value);
    value
}

#[test]
fn x9_a_browser_logs_in_by_a_form_and_out_again() {
    let server = Server::start(&yaml("correct horse", ""));
    // A browser is led to the form, and from there to what it wanted; programs get the challenge.
    let led = get(&server, "/stat?a=b&c=%20", HTML);
    assert_eq!((led.status, led.header("location")), (303, Some("/login?next=%2Fstat%3Fa%3Db%26c%3D%2520")));
    for headers in ["Accept: */*\r\n", ""] {
        let answer = get(&server, "/stat", headers);
        assert_eq!((answer.status, answer.header("www-authenticate").is_some()), (401, true));
    }
    let mut page = get(&server, led.header("location").unwrap(), HTML);
    assert_eq!(page.status, 200);
    let text = page.text();
    assert!(text.contains("value=\"/stat?a=b&amp;c=%20\"") && text.contains("action=\"/api/v1/session\""), "{text}");
    // A wrong password leads back, and says so.
    let wrong = form(&server, "", "user=anna&password=wrong&next=%2Fstat");
    assert_eq!((wrong.status, wrong.header("location")), (303, Some("/login?failed=wrong&next=%2Fstat")));
    assert_eq!(wrong.header("set-cookie"), None);
    assert!(get(&server, wrong.header("location").unwrap(), HTML).text().contains("password is wrong"));
    let right = form(&server, "", "user=anna&password=correct+horse&next=%2Fstat%3Fa%3Db");
    assert_eq!((right.status, right.header("location")), (303, Some("/stat?a=b")));
    let set = right.header("set-cookie").unwrap();
    assert!(set.contains("; HttpOnly; SameSite=Strict") && !set.contains("Secure"), "{set}");
    let cookie = cookie(&right);
    let text = get(&server, "/stat", &format!("{HTML}{cookie}")).text();
    assert!(text.contains("href=\"/login\"") && text.contains("anna"), "{text}");
    assert!(get(&server, "/login", &cookie).text().contains("name=\"logout\""));
    get(&server, "/cam.raw", &cookie).take(10, SOON);
    // It is the login of one user, and no more.
    let yard = self::cookie(&form(&server, "", "user=yard&password=of+the+yard&next=https%3A%2F%2Fevil.example"));
    assert_eq!([get(&server, "/yard.raw", &yard).status, get(&server, "/cam.raw", &yard).status], [200, 403]);
    let out = form(&server, &cookie, "logout=1");
    assert_eq!((out.status, out.header("location")), (303, Some("/")));
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(get(&server, "/stat", &cookie).status, 401);
    assert_eq!(get(&server, "/yard.raw", &yard).status, 200);
    assert_eq!(server.log.count("logged in user=anna address=127.0.0.1"), 1, "{}", server.log.text());
    assert!(!server.log.text().contains("correct"), "{}", server.log.text());
}

#[test]
fn x9_a_login_is_of_the_api_too_and_of_no_other_origin() {
    let server = Server::start(&yaml("pass", ""));
    assert_eq!(whoami(&server, ""), json!({"user": null, "server": [], "streams": []}));
    let body = json!({"user": "yard", "password": "of the yard"}).to_string();
    let json = |headers: &str, body: &str| post(&server, headers, "application/json", body);
    let mut answer = json("", &body);
    assert_eq!(answer.status, 201);
    let value: Value = serde_json::from_str(&answer.text()).unwrap();
    openapi::check("POST", "/session", 201, &value);
    assert_eq!(value, whoami(&server, &cookie(&answer)));
    assert_eq!(
        (&value["user"], &value["server"], &value["streams"]),
        (&json!("yard"), &json!(["view", "still", "status"]), &json!([]))
    );
    // What is wrong has a problem without a challenge, which a browser would show a window for.
    for (body, status) in [(r#"{"user": "yard", "password": "x"}"#, 401), (r#"{"user": 1}"#, 400), ("{", 400)] {
        let answer = json("", body);
        assert_eq!((answer.status, answer.header("www-authenticate")), (status, None), "{body}");
    }
    let long = json!({"user": "yard", "password": "x".repeat(100_000)}).to_string();
    assert_eq!(json("", &long).status, 401);
    assert_eq!(post(&server, "", "text/plain", &body).status, 415);
    for origin in ["Origin: http://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n"]
    {
        assert_eq!(json(origin, &body).status, 403, "{origin}");
        assert_eq!(form(&server, origin, "user=anna&password=pass").status, 403, "{origin}");
    }
    // The cookie stands for the user: a page of another origin changes nothing with it.
    let anna = cookie(&form(&server, "", "user=anna&password=pass"));
    assert!(whoami(&server, &anna)["server"].as_array().unwrap().len() > 5);
    let change = |headers: &str| http::request(server.address(), "POST", "/api/v1/server/reload", headers).status;
    assert_eq!(change(&format!("{anna}Origin: http://evil.example\r\n")), 403);
    assert_eq!(change(&anna), 202);
    // A credential of the request counts before the cookie.
    let both = format!("{anna}Authorization: Basic eWFyZDpvZiB0aGUgeWFyZA==\r\n");
    assert_eq!(whoami(&server, &both)["user"], "yard");
    assert_eq!(http::request(server.address(), "DELETE", "/api/v1/session", &anna).status, 204);
    assert_eq!(whoami(&server, &anna)["user"], Value::Null);
    for made_up in ["Cookie: voyandz_session=AAAA\r\n", "Cookie: voyandz_session\r\nCookie: a=b\r\n"] {
        assert_eq!(whoami(&server, made_up)["user"], Value::Null);
    }
}

#[test]
fn x9_a_login_ends_with_the_password() {
    let server = Server::start(&yaml("pass", ""));
    let anna = cookie(&form(&server, "", "user=anna&password=pass"));
    let mut viewer = get(&server, "/cam.raw", &anna);
    viewer.take(10, SOON);
    server.reload(&yaml("another", ""));
    wait_until("the login has ended", SOON, || whoami(&server, &anna)["user"] == Value::Null);
    viewer.rest(SOON);
    // Tries by the form are counted like others.
    let location = |answer: Answer| answer.header("location").unwrap().to_owned();
    let mut tries = (0..40).map(|_| location(form(&server, "", "user=anna&password=guess&next=%2F")));
    assert!(tries.any(|location| location.contains("failed=too-many")));
}

#[test]
fn x9_over_tls_the_cookie_is_for_this_host_and_encrypted() {
    let server = Server::start(&yaml("pass", "  proxies: [127.0.0.1]"));
    let answer = form(&server, "X-Forwarded-Proto: https\r\n", "user=anna&password=pass");
    let set = answer.header("set-cookie").unwrap();
    assert!(set.starts_with("__Host-voyandz_session=") && set.ends_with("; Secure"), "{set}");
    assert_eq!(whoami(&server, &cookie(&answer))["user"], "anna");
}

#[test]
fn x9_without_users_there_is_no_form_for_a_password() {
    let server = Server::start("auth: {anyone: viewer, tokens: {}}\nfeeds: {}\n");
    let mut page = get(&server, "/login", HTML);
    let text = page.text();
    assert!(page.status == 200 && text.contains("name=\"code\"") && !text.contains("name=\"password\""), "{text}");
    // No page leads there.
    assert!(!server.get("/").text().contains("/login"));
    assert_eq!(get(&server, "/config", HTML).status, 404);
    assert_eq!(form(&server, "", "user=anna&password=pass").header("location"), Some("/login?failed=wrong&next="));
}

#[test]
fn x9_a_browser_plays_what_its_login_may_see() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&format!(
        "
        webrtc: {{}}
        feeds: {{cam: {{pipeline: '{PICTURE}', mode: continuous}}}}
        streams: {{film: {{feed: cam, video: {H264}}}}}
        auth: {{users: {{anna: {{password: {}, may: viewer}}}}}}
        ",
        hash("correct horse")
    ));
    let browser = Browser::start();
    browser.open(&server.url("/login?next=%2Ffilm%2Fplay"));
    browser.run(
        "document.querySelector('[name=user]').value = 'anna';
         document.querySelector('[name=password]').value = 'correct horse';
         document.querySelector('form button').click();",
    );
    browser.wait("return location.pathname === '/film/play'", SOON);
    browser.wait("return (document.querySelector('.view video')?.currentTime ?? 0) > 0.3", SOON);
    browser.wait("return document.cookie === ''", SOON);
    browser.open(&server.url("/login"));
    browser.run("document.querySelector('form button').click()");
    browser.wait("return location.pathname === '/login' && document.querySelector('[name=password]') !== null", SOON);
}
