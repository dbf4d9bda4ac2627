//! `voyandz ctl` from outside.

use crate::{
    api::{ADMIN, VIEWER, admin, watch, yaml},
    rig::{Launch, SOON, Server, server::PROGRAM, wait_until},
};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Output, Stdio},
};

/// Runs it against a server with this token.
fn command(server: &Server, token: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("ctl").env_remove("VOYANDZ_CONFFILE").env("VOYANDZ_SERVER", server.url("")).env("VOYANDZ_TOKEN", token);
    command.stdin(Stdio::null());
    command
}

fn ctl(server: &Server, token: &str, arguments: &[&str]) -> Output {
    command(server, token).args(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn what_there_is_stands_in_tables() {
    let server = Server::start(&yaml(""));
    let mut viewer = watch(&server, VIEWER, "/cam.raw");
    viewer.piece(SOON);
    wait_until("it runs", SOON, || admin(&server, "GET", "/streams/cam.raw", None).1["state"] == "running");
    let table = out(&ctl(&server, ADMIN, &["list"]));
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("NAME") && lines[0].contains("VIEWERS"), "{table}");
    let words: Vec<_> = lines[1].split_whitespace().collect();
    assert_eq!(words[..3], ["cam.raw", "running", "1"], "{table}");
    assert!(out(&ctl(&server, ADMIN, &["list", "feeds", "--name", "t*"])).contains("\nticks  running"));
    assert_eq!(out(&ctl(&server, ADMIN, &["list", "feeds", "--state", "dead"])).lines().count(), 1);
    let viewers: Value = serde_json::from_str(&out(&ctl(&server, ADMIN, &["list", "viewers", "--json"]))).unwrap();
    assert_eq!(viewers[0]["user"], "token:viewer");
    assert!(out(&ctl(&server, ADMIN, &["show", "stream", "cam.raw"])).contains("\nstate: running\n"));
    // There is a sample each five seconds.
    let past = |arguments: &[&str]| out(&ctl(&server, ADMIN, &[&["past"], arguments].concat()));
    let rows = |table: &str| {
        table
            .lines()
            .map(|line| {
                line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
    };
    wait_until("it has a past", SOON, || rows(&past(&["feed", "ticks"])).last().unwrap()[1] == "running");
    let table = rows(&past(&["feed", "ticks"]));
    assert_eq!(table[0], ["AGO", "STATE", "FOR", "FAILURES"]);
    assert_eq!(table.last().unwrap()[1..], ["running", "5 s", "0"]);
    let table = rows(&past(&["stream", "cam.raw"]));
    assert_eq!(
        (&table[0][..], &table[1][2..]),
        (&["AGO", "RATE", "VIEWERS", "GAPS"].map(str::to_owned)[..], &["1", "0"].map(str::to_owned)[..])
    );
    let known: Value = serde_json::from_str(&past(&["feed", "ticks", "--json"])).unwrap();
    assert_eq!((&known["seconds"], &known["samples"][0]["failed"]), (&Value::from(5), &Value::from(false)));
    let shown: Value = serde_json::from_str(&out(&ctl(&server, ADMIN, &["--json", "show", "feed", "ticks"]))).unwrap();
    assert_eq!(shown["kind"], "command");
    // Orders.
    let before = shown["starts"].as_u64().unwrap();
    out(&ctl(&server, ADMIN, &["restart", "feed", "ticks"]));
    let starts = || admin(&server, "GET", "/feeds/ticks", None).1["starts"].as_u64().unwrap();
    wait_until("it starts again", SOON, || starts() == before + 1);
    out(&ctl(&server, ADMIN, &["keyframe", "cam.raw"]));
    out(&ctl(&server, ADMIN, &["kick", viewers[0]["id"].as_str().unwrap()]));
    viewer.rest(SOON);
    out(&ctl(&server, ADMIN, &["stop", "stream", "cam.raw"]));
    wait_until("it is stopped", SOON, || admin(&server, "GET", "/streams/cam.raw", None).1["stopped"] == true);
    out(&ctl(&server, ADMIN, &["start", "stream", "cam.raw"]));
    let is_stopped = || admin(&server, "GET", "/streams/cam.raw", None).1["stopped"].as_bool().unwrap();
    assert!(!is_stopped());
    out(&ctl(&server, ADMIN, &["stop", "stream", "cam.raw", "--for", "1s"]));
    wait_until("it is stopped", SOON, is_stopped);
    wait_until("it may run again", SOON, || !is_stopped());
    let is_paused = || admin(&server, "GET", "/streams/cam.raw", None).1["paused"].as_bool().unwrap();
    out(&ctl(&server, ADMIN, &["pause", "stream", "cam.raw"]));
    assert!(is_paused());
    out(&ctl(&server, ADMIN, &["resume", "stream", "cam.raw"]));
    assert!(!is_paused());
    out(&ctl(&server, ADMIN, &["pause", "feed", "ticks", "--for", "1s"]));
    assert!(is_paused());
    wait_until("it is resumed", SOON, || !is_paused());
    fs::write(server.file(), fs::read_to_string(server.file()).unwrap() + "pages: {home: false}\n").unwrap();
    out(&ctl(&server, ADMIN, &["reload"]));
    server.log.wait("configuration reloaded", SOON);
}

#[test]
fn events_are_followed_over_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let text = yaml(&format!("statedir: {}\n", state.path().display()));
    let server = Server::start(&text);
    let address = server.address();
    let mut command = command(&server, ADMIN);
    command.args(["follow", "--type", "server.*", "--after", "0", "--count", "4"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("server.started  version="), "{first}");
    drop(server);
    // At the same port.
    let text = text.replace("listenport: 0\n", "") + &format!("listenport: {}\n", address.port());
    let server = Launch::exact(&text).start();
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    let kinds: Vec<_> = rest.iter().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(kinds, ["server.stopping", "server.stopped", "server.started"]);
    assert!(child.wait().unwrap().success());
    let json = out(&ctl(&server, ADMIN, &["--json", "follow", "--after", "0", "--count", "1"]));
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["type"], "server.started");
}

#[test]
fn refusals_have_the_codes_of_the_system() {
    let server = Server::start(&yaml(""));
    let check = |token: &str, arguments: &[&str], code: i32, expect: &str| {
        let output = ctl(&server, token, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.starts_with("voyandz: ") && said.contains(expect) && said.lines().count() == 1, "{said}");
    };
    check(ADMIN, &["show", "feed", "none"], 1, "there is no feed `none`");
    check("vyz_wrong", &["list"], 77, "--token-file");
    check(VIEWER, &["stop", "stream", "cam.raw"], 77, "this needs the permission kick");
    check(
        ADMIN,
        &["--server", "http://127.0.0.1:1", "list"],
        69,
        "no server at http://127.0.0.1:1: name it with --server",
    );
    check(ADMIN, &["--server", "ftp://x", "list"], 69, "no address like https://host/path");
    check(ADMIN, &["--token-file", "/nowhere/token", "list"], 74, "/nowhere/token");
    check(ADMIN, &["record", "cam.raw", "start"], 1, "there is no recorded stream");
    let usage = ctl(&server, ADMIN, &["list", "cows"]);
    assert_eq!(usage.status.code(), Some(2));
    let completions = Command::new(PROGRAM).args(["completions", "bash"]).output().unwrap();
    assert!(String::from_utf8_lossy(&completions.stdout).contains("publishers"));
}

#[test]
fn a_still_comes_encrypted_and_the_configuration_says_where() {
    let text = yaml("tls: {own: authority, plain: none}\n")
        .replace("streams:\n", "streams:\n  pic.mjpeg: {feed: cam, video: {codec: mjpeg}}\n");
    let text = text.replace(
        "feeds:\n",
        "feeds:\n  cam: {pipeline: 'videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=10/1'}\n",
    );
    let server = Server::start(&text);
    let folder = tempfile::tempdir().unwrap();
    let (token, picture) = (folder.path().join("token"), folder.path().join("now.jpg"));
    fs::write(&token, format!("{ADMIN}\n")).unwrap();
    let authority = fs::read_dir(server.file().with_file_name("authority")).unwrap();
    let authority = authority.map(|entry| entry.unwrap().path()).find(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.contains("ca") && fs::read_to_string(path).unwrap().contains("BEGIN CERTIFICATE")
    });
    // The port of the test stands in no file.
    let config = folder.path().join("voyandz.yaml");
    fs::write(&config, format!("listenport: {}\ntls: {{own: x, plain: none}}\n", server.address().port())).unwrap();
    let base = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.arg("ctl").env_remove("VOYANDZ_CONFFILE").env_remove("VOYANDZ_SERVER").env_remove("VOYANDZ_TOKEN");
        command.args(["-f", config.to_str().unwrap(), "--token-file", token.to_str().unwrap()]).args(arguments);
        command.output().unwrap()
    };
    let refused = base(&["list"]);
    assert_eq!(refused.status.code(), Some(69), "{refused:?}");
    let authority = authority.unwrap();
    let taken = base(&["--ca", authority.to_str().unwrap(), "still", "pic.mjpeg", "-o", picture.to_str().unwrap()]);
    assert!(taken.status.success(), "{taken:?}");
    assert!(fs::read(&picture).unwrap().starts_with(&[0xff, 0xd8]));
    let piped = base(&["--ca", authority.to_str().unwrap(), "still", "pic.mjpeg"]);
    assert!(piped.stdout.starts_with(&[0xff, 0xd8]), "{piped:?}");
}
