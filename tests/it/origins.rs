//! What pages of other origins can do to a server that somebody is logged in to: nothing.

use crate::{
    login::{hash, yaml},
    rig::{
        SOON, Server,
        browser::{Browser, have_browser},
        http,
        script::shell,
        stub::Stub,
        wait_until,
    },
};
use serde_json::json;
use std::fs;

/// The header with the cookie of a login.
fn log_in(server: &Server) -> String {
    let address = server.address();
    let body = json!({"user": "anna", "password": "pass"}).to_string();
    let head = format!(
        "POST /api/v1/session HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = http::send(address, &head);
    format!("Cookie: {}\r\n", answer.header("set-cookie").unwrap().split(';').next().unwrap())
}

/// Acceptance 14: 96 cases of Origin, Sec-Fetch-Site, type of the body and method.
#[test]
fn x8_no_request_of_another_origin_changes_anything() {
    let server = Server::start(&yaml("pass", ""));
    let (address, cookie) = (server.address(), log_in(&server));
    let own = format!("http://{address}");
    let origins = [None, Some(own.as_str()), Some("http://evil.example"), Some("null")];
    let sites = [None, Some("same-origin"), Some("same-site"), Some("cross-site")];
    let types = ["application/json", "application/merge-patch+json", "text/plain"];
    let (mut cases, mut changes) = (0, 0);
    for (number, method) in ["PATCH", "PUT"].into_iter().enumerate() {
        for origin in origins {
            for site in sites {
                for (at, kind) in types.into_iter().enumerate() {
                    cases += 1;
                    let before = fs::read_to_string(server.file()).unwrap();
                    // Another value each time: a change is seen.
                    let body = json!({"feed": "ticks", "container": "raw", "title": format!("{cases}")}).to_string();
                    let mut head = format!("Host: {address}\r\nContent-Type: {kind}\r\n{cookie}Connection: close\r\n");
                    head += &origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
                    head += &site.map(|site| format!("Sec-Fetch-Site: {site}\r\n")).unwrap_or_default();
                    let line = format!(
                        "{method} /api/v1/config/streams/cam.raw HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    let mut answer = http::send(address, &line);
                    let is_same = match (site, origin) {
                        (Some(site), _) => site == "same-origin",
                        (None, Some(origin)) => origin == own,
                        // No browser.
                        (None, None) => true,
                    };
                    let expected = match (is_same, at) {
                        (false, _) => 403,
                        (true, 2) => 415,
                        (true, _) => 200,
                    };
                    let text = answer.text();
                    if answer.status == 429 {
                        panic!("too fast");
                    }
                    let case = format!("{number} {method} {origin:?} {site:?} {kind}: {text}");
                    assert_eq!(answer.status, expected, "{case}");
                    assert_eq!(text.contains("cross-origin"), expected == 403, "{case}");
                    let has_changed = fs::read_to_string(server.file()).unwrap() != before;
                    assert_eq!(has_changed, expected == 200, "{case}");
                    changes += usize::from(has_changed);
                }
            }
        }
    }
    assert_eq!((cases, changes), (96, 24));
}

/// The same by a real browser, in which somebody is logged in: a page on another port of the same host is of the same site, so that the
/// cookie is sent.
#[test]
fn x8_a_page_on_another_port_changes_nothing() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&yaml("pass", ""));
    let page = Stub::new(|_| {
        Some((200, "Content-Type: text/html\r\n".to_owned(), b"<!doctype html><title>evil</title><body>".to_vec()))
    });
    let browser = Browser::start();
    browser.open(&server.url("/login"));
    browser.run(
        "document.querySelector('[name=user]').value = 'anna';
         document.querySelector('[name=password]').value = 'pass';
         document.querySelector('form button').click();",
    );
    browser.wait("return location.pathname === '/'", SOON);
    let before = fs::read_to_string(server.file()).unwrap();
    browser.open(&page.url("/"));
    browser.run(&format!(
        "window.results = [];
         const url = {};
         const body = JSON.stringify({{feed: 'ticks', container: 'raw', title: 'evil'}});
         const tries = [];
         for (const mode of ['cors', 'no-cors'])
           for (const [method, path, type] of [
             ['PUT', '/api/v1/config/streams/cam.raw', 'application/json'],
             ['POST', '/api/v1/config/changes', 'text/plain'],
             ['POST', '/api/v1/feeds/ticks/restart', 'text/plain'],
             ['POST', '/api/v1/streams/cam.raw/stop', 'text/plain'],
             ['DELETE', '/api/v1/session', 'text/plain'],
             ['POST', '/api/v1/session', 'application/x-www-form-urlencoded'],
             ['POST', '/api/v1/server/reload', 'text/plain']])
             tries.push(fetch(url + path, {{method, mode, credentials: 'include', headers: {{'content-type': type}},
               body: path.endsWith('session') ? 'logout=1' : method === 'DELETE' ? undefined : body}}).then(
               (answer) => results.push(answer.type === 'opaque' ? 'opaque' : 'read ' + answer.status),
               () => results.push('blocked')));
         // What may be read: nothing of the state.
         for (const path of ['/stat.json', '/metrics', '/config', '/api/v1/streams', '/api/v1/session'])
           tries.push(fetch(url + path, {{credentials: 'include'}}).then(
             (answer) => results.push('read ' + answer.status), () => results.push('blocked')));
         Promise.allSettled(tries).then(() => {{
           const form = document.createElement('form');
           form.method = 'post'; form.target = 'frame'; form.action = url + '/api/v1/feeds/ticks/stop';
           const frame = document.createElement('iframe'); frame.name = 'frame';
           document.body.append(frame, form);
           frame.onload = () => {{ window.done = true; }};
           form.submit();
         }});",
        json!(server.url(""))
    ));
    browser.wait("return window.done === true", SOON);
    let results = browser.run("return results.filter((result) => result.startsWith('read')).join()");
    assert_eq!(results, "", "nothing may be read");
    assert_eq!(fs::read_to_string(server.file()).unwrap(), before);
    // It was asked, and refused: 403, also with the cookie.
    wait_until("requests are logged", SOON, || server.log.count("method=POST.*status=403") >= 5);
    for ordered in ["method=POST .*path=/api.*status=20", "logged out", "configuration reloaded"] {
        assert_eq!(server.log.count(ordered), 0, "{ordered}:\n{}", server.log.text());
    }
    browser.open(&server.url("/login"));
    browser.wait("return document.body.innerText.includes('You are logged in as anna')", SOON);
}

#[test]
fn x8_only_listed_pages_show_media() {
    let ticks = shell("while echo tick; do sleep 0.05; done");
    let rules = |referers: &str| {
        format!(
            "feeds: {{ticks: {{command: {ticks}}}}}\nstreams: {{cam.raw: {{feed: ticks, container: raw}}}}\nauth: {{anyone: viewer, users: {{a: {{password: {}, may: viewer}}}}{referers}}}\n",
            hash("pass")
        )
    };
    let server = Server::start(&rules(", referers: [tv.example.org, '*.example.net']"));
    let status = |headers: &str, target: &str| http::request(server.address(), "HEAD", target, headers).status;
    for headers in ["", "Referer: https://tv.example.org/page\r\n", "Origin: http://a.example.net\r\n"] {
        assert_eq!(status(headers, "/cam.raw"), 200, "{headers}");
    }
    let own = format!("Referer: http://{}/\r\n", server.address());
    assert_eq!(status(&own, "/cam.raw"), 200);
    for headers in ["Referer: https://evil.example/\r\n", "Origin: null\r\n", "Origin: http://example.net\r\n"] {
        assert_eq!([status(headers, "/cam.raw"), status(headers, "/cam.raw/play")], [403, 403], "{headers}");
        // Pages of the state are another matter.
        assert_eq!(status(headers, "/"), 200, "{headers}");
    }
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("voyandz_access_refused_total{action=\"view\"} 6\n"), "{metrics}");
    server.reload(&rules(""));
    assert_eq!(status("Referer: https://evil.example/\r\n", "/cam.raw"), 200);
}
