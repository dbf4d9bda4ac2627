//! Each operation of the API for each kind of caller: the status that it gets, in one table.

use crate::{
    api::{ADMIN, EDITOR, VIEWER, ask, digest, yaml},
    rig::{Server, http, openapi},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const OPERATOR: &str = "vyz_operator-0123456789abcdef0123456789abcdef";
/// Who has every right of an operator on other streams.
const FOREIGN: &str = "vyz_foreign-0123456789abcdef0123456789abcdef";

/// Who is needed at least.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Least {
    Anyone,
    Viewer,
    Operator,
    Editor,
    Admin,
}

/// Whether a caller with the role on other streams may do it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Of {
    /// It is of the server.
    Server,
    /// It is of a stream.
    Stream,
    /// It is shown to those who may see the stream, and is not there for others.
    Seen,
}

use Least::{Admin, Anyone, Editor, Operator, Viewer};
use Of::{Seen, Server as Whole, Stream};

/// Method, path in the document, path in the request, who, of what, and the status for those who may.
type Row = (&'static str, &'static str, &'static str, Least, Of, u16);

/// Every row of the document. The feed is that of a stream of the foreigner, too: it is seen by all, and whoever gives it orders needs all streams of it.
const ROWS: &[Row] = &[
    ("GET", "/openapi.json", "/openapi.json", Anyone, Whole, 200),
    ("GET", "/session", "/session", Anyone, Whole, 200),
    ("POST", "/session", "/session", Anyone, Whole, 400),
    ("DELETE", "/session", "/session", Anyone, Whole, 204),
    ("POST", "/session/code", "/session/code", Admin, Whole, 403),
    ("GET", "/server", "/server", Viewer, Whole, 200),
    ("POST", "/server/reload", "/server/reload", Editor, Whole, 202),
    ("GET", "/feeds", "/feeds", Viewer, Whole, 200),
    ("GET", "/feeds/{name}", "/feeds/ticks", Viewer, Whole, 200),
    ("GET", "/feeds/{name}/history", "/feeds/ticks/history", Viewer, Whole, 200),
    ("POST", "/feeds/{name}/{order}", "/feeds/ticks/start", Editor, Stream, 202),
    ("GET", "/streams", "/streams", Viewer, Whole, 200),
    ("GET", "/streams/{name}", "/streams/cam.raw", Viewer, Seen, 200),
    ("GET", "/streams/{name}/history", "/streams/cam.raw/history", Viewer, Seen, 200),
    ("POST", "/streams/{name}/{order}", "/streams/cam.raw/start", Operator, Stream, 202),
    ("POST", "/streams/{name}/pushes/{number}/{order}", "/streams/cam.raw/pushes/1/start", Operator, Stream, 404),
    ("POST", "/streams/{name}/keyframe", "/streams/cam.raw/keyframe", Viewer, Stream, 204),
    ("GET", "/streams/{name}/recording", "/streams/cam.raw/recording", Operator, Stream, 404),
    ("POST", "/streams/{name}/recording", "/streams/cam.raw/recording", Operator, Stream, 404),
    ("DELETE", "/streams/{name}/recording", "/streams/cam.raw/recording", Operator, Stream, 404),
    ("GET", "/recordings/{stream}", "/recordings/cam.raw", Operator, Stream, 200),
    ("PATCH", "/recordings/{stream}", "/recordings/cam.raw", Operator, Stream, 400),
    ("DELETE", "/recordings/{stream}", "/recordings/cam.raw", Operator, Stream, 400),
    ("GET", "/recordings/{stream}/clips", "/recordings/cam.raw/clips", Operator, Stream, 200),
    ("POST", "/recordings/{stream}/clips", "/recordings/cam.raw/clips", Operator, Stream, 400),
    ("DELETE", "/recordings/{stream}/clips/{clip}", "/recordings/cam.raw/clips/1-1", Operator, Stream, 404),
    ("GET", "/recordings/{stream}/{file}", "/recordings/cam.raw/1-1", Operator, Stream, 404),
    ("PATCH", "/recordings/{stream}/{file}", "/recordings/cam.raw/1-1", Operator, Stream, 400),
    ("DELETE", "/recordings/{stream}/{file}", "/recordings/cam.raw/1-1", Operator, Stream, 404),
    ("GET", "/storage", "/storage", Viewer, Whole, 200),
    ("GET", "/viewers", "/viewers", Operator, Whole, 200),
    ("DELETE", "/viewers/{id}", "/viewers/none", Operator, Whole, 404),
    ("GET", "/publishers", "/publishers", Operator, Whole, 200),
    ("DELETE", "/publishers/{feed}", "/publishers/ticks", Operator, Whole, 404),
    ("GET", "/events", "/events", Viewer, Whole, 200),
    ("GET", "/devices", "/devices", Editor, Whole, 200),
    ("GET", "/doctor", "/doctor", Editor, Whole, 200),
    ("POST", "/probe", "/probe", Editor, Whole, 400),
    ("POST", "/links", "/links", Admin, Whole, 400),
    ("GET", "/hooks", "/hooks", Editor, Whole, 200),
    ("POST", "/hooks/{name}/test", "/hooks/none/test", Admin, Whole, 404),
    ("GET", "/config/files", "/config/files", Editor, Whole, 200),
    ("GET", "/config/files/{file}", "/config/files/0", Editor, Whole, 200),
    ("PUT", "/config/files/{file}", "/config/files/0", Editor, Whole, 428),
    ("GET", "/config/history", "/config/history", Editor, Whole, 200),
    ("GET", "/config/history/{version}", "/config/history/99", Editor, Whole, 404),
    ("POST", "/config/history/{version}/undo", "/config/history/99/undo", Editor, Whole, 404),
    ("POST", "/config/history/{version}/restore", "/config/history/99/restore", Editor, Whole, 404),
    ("POST", "/config/changes", "/config/changes", Editor, Whole, 400),
    ("GET", "/config/{section}", "/config/feeds", Editor, Whole, 200),
    ("GET", "/config/{section}/{name}", "/config/feeds/ticks", Editor, Whole, 200),
    ("PUT", "/config/{section}/{name}", "/config/feeds/other", Editor, Whole, 422),
    ("PATCH", "/config/{section}/{name}", "/config/feeds/none", Editor, Whole, 404),
    ("DELETE", "/config/{section}/{name}", "/config/feeds/none", Editor, Whole, 404),
];

/// A body that every operation takes or refuses in the same way.
const BODY: fn() -> Value = || json!({});

fn start() -> Server {
    let more = format!(
        "    operator: {{sha256: {}, may: operator cam*}}\n    foreign: {{sha256: {}, may: operator yard*}}\n",
        digest(OPERATOR),
        digest(FOREIGN)
    );
    Server::start(&yaml(&more).replace("\nauth:", "\n  yard.raw: {feed: ticks, container: raw}\nauth:"))
}

#[test]
fn every_operation_is_in_the_table() {
    let document = openapi::document();
    let paths = document["paths"].as_object().unwrap();
    let known: BTreeSet<_> = paths
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path))
        })
        .map(|(method, path)| format!("{method} {}", path.strip_prefix("/api/v1").unwrap()))
        .collect();
    let listed: BTreeSet<_> = ROWS.iter().map(|(method, path, ..)| format!("{method} {path}")).collect();
    assert_eq!(known, listed);
}

#[test]
fn every_caller_gets_the_status_of_the_table() {
    let callers = [(VIEWER, Viewer), (OPERATOR, Operator), (EDITOR, Editor), (ADMIN, Admin), (FOREIGN, Operator)];
    let server = start();
    let mut wrong = Vec::new();
    let mut note = |who: &str, method: &str, path: &str, status: u16, expect: u16| {
        if status != expect {
            wrong.push(format!("{who}: {method} {path}: {status}, not {expect}"));
        }
    };
    for &(method, _, path, least, of, success) in ROWS {
        let body = matches!(method, "POST" | "PUT" | "PATCH").then(BODY);
        // The token of nobody, and none at all.
        let content = if body.is_some() { "Content-Type: application/json\r\nContent-Length: 2\r\n" } else { "" };
        let request = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{content}\r\n{}",
            server.address(),
            if body.is_some() { "{}" } else { "" }
        );
        let nobody = http::send(server.address(), &request).status;
        note("nobody", method, path, nobody, if least == Anyone { success } else { 401 });
        for (token, role) in callers {
            let may = role >= least && (token != FOREIGN || of == Whole || least == Anyone);
            let (status, ..) = ask(&server, token, method, path, "", body.as_ref());
            let refused = if of == Seen { 404 } else { 403 };
            note(&token[4..9], method, path, status, if may { success } else { refused });
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
