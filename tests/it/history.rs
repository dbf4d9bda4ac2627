//! The history of the configuration, and files that cannot be replaced or written.

use crate::{
    api::{ADMIN, EDITOR, VIEWER, admin, ask, yaml},
    rig::{Launch, SOON, Server, http, server::PROGRAM, wait_until},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

fn kind(value: &Value) -> &str {
    value["type"].as_str().unwrap().strip_prefix("/api/problems/").unwrap()
}

fn versions(server: &Server) -> Vec<Value> {
    admin(server, "GET", "/config/history", None).1["items"].as_array().unwrap().clone()
}

#[test]
fn a10_changes_are_kept_and_taken_back() {
    let state = tempfile::tempdir().unwrap();
    let rules = format!("statedir: {}\napi: {{exec: true}}\n", state.path().display());
    let server = Server::start(&yaml(&rules));
    let original = fs::read_to_string(server.file()).unwrap();
    let new = json!({"feed": "ticks", "container": "raw"});
    assert_eq!(ask(&server, EDITOR, "PUT", "/config/streams/yard.raw", "", Some(&new)).0, 201);
    let patch = json!({"title": "The gate"});
    let (_, second) = admin(&server, "PATCH", "/config/streams/cam.raw", Some(&patch));
    assert_eq!(second["version"], 2, "{second}");
    // Refused ones and dry runs are none.
    assert_eq!(admin(&server, "PUT", "/config/streams/x.raw", Some(&json!({"feed": "none"}))).0, 422);
    assert_eq!(admin(&server, "DELETE", "/config/streams/yard.raw?dry_run=1", None).0, 200);
    let list = versions(&server);
    let told = list.iter().map(|version| (&version["number"], &version["by"], &version["paths"])).collect::<Vec<_>>();
    let (admin_name, editor_name) = (json!("token:admin"), json!("token:editor"));
    let (first_path, second_path) = (json!(["streams.yard.raw"]), json!(["streams.cam.raw"]));
    assert_eq!(told, [(&json!(2), &admin_name, &second_path), (&json!(1), &editor_name, &first_path)]);
    let (_, page) = admin(&server, "GET", "/config/history?limit=1", None);
    assert_eq!((&page["next"], &page["total"]), (&json!("2"), &json!(2)));
    let (_, page) = admin(&server, "GET", "/config/history?limit=1&after=2", None);
    assert_eq!((&page["items"][0]["number"], &page["next"]), (&json!(1), &Value::Null));
    let diff = admin(&server, "GET", "/config/history/1", None).1["diff"].as_str().unwrap().to_owned();
    assert!(diff.contains("\n+  yard.raw:\n") && !diff.contains("The gate"), "{diff}");
    let against = admin(&server, "GET", "/config/history/1?against=now", None).1["diff"].as_str().unwrap().to_owned();
    assert!(against.contains("The gate") && !against.contains("+  yard.raw:"), "{against}");
    // The first is taken back, the second stays.
    let (status, dry) = admin(&server, "POST", "/config/history/1/undo?dry_run=1", None);
    assert_eq!((status, &dry["viewers"]), (200, &json!(0)));
    assert_eq!(versions(&server).len(), 2);
    assert_eq!(ask(&server, VIEWER, "POST", "/config/history/1/undo", "", None).0, 403);
    assert_eq!(ask(&server, EDITOR, "POST", "/config/history/1/undo", "", None).0, 200);
    let text = fs::read_to_string(server.file()).unwrap();
    assert!(text.contains("The gate") && !text.contains("yard.raw"), "{text}");
    // Of the newest every byte comes back.
    assert_eq!(admin(&server, "POST", "/config/history/2/undo", None).0, 200);
    assert_eq!(fs::read_to_string(server.file()).unwrap(), original);
    // What was changed again is not guessed.
    admin(&server, "PATCH", "/config/streams/cam.raw", Some(&json!({"title": "One"})));
    admin(&server, "PATCH", "/config/streams/cam.raw", Some(&json!({"title": "Two"})));
    let (status, value) = admin(&server, "POST", "/config/history/5/undo", None);
    assert_eq!((status, kind(&value)), (409, "conflict"), "{value}");
    assert!(value["detail"].as_str().unwrap().contains("streams.cam.raw.title"), "{value}");
    // Any state can be had again; also this is a change.
    assert_eq!(admin(&server, "POST", "/config/history/1/restore", None).0, 200);
    let text = fs::read_to_string(server.file()).unwrap();
    assert!(text.contains("yard.raw") && !text.contains("title"), "{text}");
    assert_eq!(versions(&server)[0]["action"], "restore");
    // What is edited on the disk is a change, too.
    server.reload_exact(&text.replace("container: raw}", "container: raw, title: By hand}"));
    wait_until("it is in the history", SOON, || versions(&server)[0]["action"] == "disk");
    let newest = &versions(&server)[0];
    assert_eq!((&newest["by"], &newest["paths"]), (&Value::Null, &json!(["streams.cam.raw.title"])));
    // An editor does not bring back what it may not bring.
    let command = json!({"command": ["sh", "-c", "while echo tock; do sleep 0.05; done"]});
    assert_eq!(admin(&server, "PATCH", "/config/feeds/ticks", Some(&command)).0, 200);
    let number = versions(&server)[0]["number"].clone();
    let (status, value, _) = ask(&server, EDITOR, "POST", &format!("/config/history/{number}/undo"), "", None);
    assert_eq!((status, kind(&value)), (403, "forbidden"));
    for (method, path, status) in [("GET", "99", 404), ("GET", "x", 404), ("POST", "99/undo", 404)] {
        assert_eq!(admin(&server, method, &format!("/config/history/{path}"), None).0, status, "{path}");
    }
    // All of it is there after a kill.
    let before = versions(&server);
    let text = fs::read_to_string(server.file()).unwrap();
    drop(server);
    let again = Launch::exact(&text).start();
    let shown = admin(&again, "GET", "/config/history", None).1["items"].as_array().unwrap().clone();
    let numbers = |list: &[Value]| list.iter().map(|version| version["number"].clone()).collect::<Vec<_>>();
    assert_eq!(numbers(&shown), numbers(&before));
}

#[test]
fn the_history_is_at_the_command_line() {
    let server = Server::start(&yaml(""));
    let ctl = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.arg("ctl").args(arguments).env_remove("VOYANDZ_CONFFILE").stdin(Stdio::null());
        let output = command.env("VOYANDZ_SERVER", server.url("")).env("VOYANDZ_TOKEN", ADMIN).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    admin(&server, "PATCH", "/config/streams/cam.raw", Some(&json!({"title": "The gate"})));
    let (_, table) = ctl(&["history"]);
    assert!(table.contains("VERSION") && table.contains("token:admin") && table.contains("streams.cam.raw"), "{table}");
    assert!(ctl(&["history", "show", "1"]).1.contains("The gate"));
    let dry = ctl(&["history", "undo", "1", "--dry-run"]).1;
    assert!(dry.lines().any(|line| line.starts_with('-') && line.contains("The gate")), "{dry}");
    assert!(fs::read_to_string(server.file()).unwrap().contains("The gate"));
    assert_eq!(ctl(&["history", "undo", "1"]).0, Some(0));
    assert!(!fs::read_to_string(server.file()).unwrap().contains("The gate"));
    assert_eq!(ctl(&["history", "restore", "1"]).0, Some(0));
    assert!(fs::read_to_string(server.file()).unwrap().contains("The gate"));
    assert_eq!((ctl(&["history", "undo", "9"]).0, ctl(&["history", "undo"]).0), (Some(1), Some(2)));
}

#[test]
fn files_are_edited_as_texts() {
    let rules = "api: {exec: true}\n";
    let secret = "  far: {url: 'rtsp://u:canary@10.0.0.5/x'}   # far away\n";
    let server = Server::start(&yaml(rules).replace("feeds:\n", &format!("feeds:\n{secret}")));
    let original = fs::read_to_string(server.file()).unwrap();
    let (_, list) = admin(&server, "GET", "/config/files", None);
    assert_eq!((&list["total"], &list["items"][0]["writable"]), (&json!(1), &json!(true)));
    let (_, file, answer) = ask(&server, EDITOR, "GET", "/config/files/0", "", None);
    let tag = answer.header("etag").unwrap().to_owned();
    let text = file["text"].as_str().unwrap().to_owned();
    assert!(!text.contains("canary") && text.contains("***@10.0.0.5/x'}   # far away"), "{text}");
    assert_eq!(text.lines().count(), original.lines().count());
    let put = |token: &str, query: &str, headers: &str, text: &str| {
        ask(&server, token, "PUT", &format!("/config/files/0{query}"), headers, Some(&json!({"text": text})))
    };
    let with = format!("If-Match: {tag}\r\n");
    let edited = text.replace("container: raw}", "container: raw, title: Yard}");
    assert_eq!(put(EDITOR, "", "", &edited).0, 428);
    let (status, dry, _) = put(EDITOR, "?dry_run=1", &with, &edited);
    let diff = dry["diff"].as_str().unwrap();
    assert!(status == 200 && diff.contains("title: Yard") && !diff.contains("canary"), "{dry}");
    assert_eq!(fs::read_to_string(server.file()).unwrap(), original);
    // The line of the text, as `voyandz check` has it.
    let (status, value, _) = put(EDITOR, "", &with, &edited.replace("feed: ticks", "feed: tocks"));
    let line = text.lines().position(|line| line.contains("cam.raw:")).unwrap() + 1;
    assert_eq!((status, &value["faults"][0]["line"]), (422, &json!(line)), "{value}");
    let (status, value, _) = put(EDITOR, "", &with, "feeds: [");
    assert_eq!((status, kind(&value)), (422, "faults"));
    // Programs, rules and other files are not for editors, whichever way they come.
    for hostile in [
        edited.replace("while echo tick", "while echo tock"),
        format!("{edited}include: [/etc/passwd]\n"),
        format!("{edited}pipelines_dir: /etc\n"),
        edited.replace("may: viewer cam*", "may: admin"),
    ] {
        let (status, value, _) = put(EDITOR, "", &with, &hostile);
        assert_eq!((status, kind(&value)), (403, "forbidden"), "{hostile}");
    }
    let include = json!([{"op": "put", "path": ["include"], "value": ["/etc/passwd"]}]);
    let (status, value, _) = ask(&server, EDITOR, "POST", "/config/changes", "", Some(&include));
    assert_eq!((status, kind(&value)), (403, "forbidden"));
    let (status, value, _) = put(ADMIN, "", &with, &text.replace("  far:", "  near:"));
    assert_eq!((status, kind(&value)), (422, "secret-moved"));
    let (status, _, answer) = put(EDITOR, "", &with, &edited);
    assert_eq!(status, 200);
    let expect = original.replace("container: raw}", "container: raw, title: Yard}");
    assert_eq!(fs::read_to_string(server.file()).unwrap(), expect);
    // Somebody else was faster.
    let (status, value, _) = put(EDITOR, "", &with, &text);
    assert_eq!((status, kind(&value)), (412, "precondition-failed"));
    let newer = answer.header("etag").unwrap();
    assert_eq!((value["etag"].as_str(), admin(&server, "GET", "/config/files/1", None).0), (Some(newer), 404));
    assert!(!admin(&server, "GET", "/config/history/1", None).1.to_string().contains("canary"));
}

#[test]
fn new_entries_go_to_the_file_for_them() {
    let state = tempfile::tempdir().unwrap();
    let launch = Launch::new(&yaml("api: {file: made.yaml}\n"));
    let made = launch.folder().join("made.yaml");
    let server = launch.env("STATE_DIRECTORY", state.path()).start();
    let original = fs::read_to_string(server.file()).unwrap();
    let new = json!({"feed": "ticks", "container": "raw"});
    let (status, done) = admin(&server, "PUT", "/config/streams/yard.raw", Some(&new));
    assert_eq!(status, 201, "{done}");
    assert!(
        fs::read_to_string(&made).unwrap().ends_with("streams:\n  yard.raw:\n    feed: ticks\n    container: raw\n")
    );
    assert_eq!(http::get(server.address(), "/livez").status, 200);
    // What is in it is edited there, and what is elsewhere there.
    admin(&server, "PATCH", "/config/streams/yard.raw", Some(&json!({"title": "Yard"})));
    assert!(fs::read_to_string(&made).unwrap().contains("title: Yard"));
    assert_eq!(fs::read_to_string(server.file()).unwrap(), original);
    admin(&server, "PATCH", "/config/streams/cam.raw", Some(&json!({"title": "Cam"})));
    assert!(fs::read_to_string(server.file()).unwrap().contains("title: Cam"));
    let (_, list) = admin(&server, "GET", "/config/files", None);
    assert_eq!(list["total"], 2, "{list}");
    server.reload_exact(&fs::read_to_string(server.file()).unwrap());
    assert_eq!(admin(&server, "GET", "/config/streams/yard.raw", None).0, 200);
    // The first change is taken back: the file says nothing any more.
    assert_eq!(admin(&server, "POST", "/config/history/2/undo", None).0, 200);
    assert_eq!(admin(&server, "POST", "/config/history/1/undo", None).0, 200);
    assert_eq!(admin(&server, "GET", "/config/streams/yard.raw", None).0, 404);
}

/// Words before the program by which it sees a file or folder mounted at another place; `None` where that is not allowed.
pub fn mounted(mounts: &str) -> Option<Vec<String>> {
    let allowed = Command::new("unshare").args(["-m", "true"]).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        println!("SKIP: mounts in a namespace are not allowed here");
        return None;
    }
    let script = format!("{mounts} && exec \"$@\"");
    Some(["unshare", "-m", "--propagation", "private", "sh", "-ec", &script, "sh"].map(str::to_owned).to_vec())
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

#[test]
fn a10_a_file_that_a_container_mounts_is_overwritten() {
    let (outside, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = outside.path().join("voyandz.yaml");
    let launch = Launch::new(&yaml("")).env("STATE_DIRECTORY", state.path());
    let inside = launch.folder().join("voyandz.yaml");
    let mount = format!("cp {1} {0} && mount --bind {0} {1}", quoted(&file), quoted(&inside));
    let Some(wrapper) = mounted(&mount) else { return };
    let server = launch.within(wrapper).start();
    let (status, done) = admin(&server, "PATCH", "/config/streams/cam.raw", Some(&json!({"title": "The gate"})));
    assert_eq!(status, 200, "{done}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("title: The gate") && text.contains("# The end."), "{text}");
    assert_eq!(admin(&server, "POST", "/config/history/1/undo", None).0, 200);
    assert!(!fs::read_to_string(&file).unwrap().contains("title: The gate"));
    let left: Vec<_> = fs::read_dir(server.runtime_folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".voyandz.yaml")), "{left:?}");
}

#[test]
fn a10_what_a_read_only_file_does_not_take_goes_to_the_folder_of_the_state() {
    let state = tempfile::tempdir().unwrap();
    let launch = Launch::new(&yaml("")).env("STATE_DIRECTORY", state.path());
    let folder = quoted(launch.folder());
    // The control socket is elsewhere.
    let mount = format!("mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}");
    let Some(wrapper) = mounted(&mount) else { return };
    let runtime = tempfile::tempdir().unwrap();
    let server = launch.within(wrapper).env("XDG_RUNTIME_DIR", runtime.path()).start();
    let original = fs::read_to_string(server.file()).unwrap();
    let (_, list) = admin(&server, "GET", "/config/files", None);
    assert_eq!(list["items"][0]["writable"], false, "{list}");
    let new = json!({"feed": "ticks", "container": "raw"});
    let (status, done) = admin(&server, "PUT", "/config/streams/yard.raw", Some(&new));
    assert_eq!(status, 201, "{done}");
    let managed = state.path().join("managed.yaml");
    assert!(fs::read_to_string(&managed).unwrap().contains("  yard.raw:\n    feed: ticks\n"));
    let (status, value) = admin(&server, "PATCH", "/config/streams/cam.raw", Some(&json!({"title": "Cam"})));
    assert_eq!((status, kind(&value)), (409, "not-writable"));
    assert!(value["detail"].as_str().unwrap().contains("voyandz.yaml"), "{value}");
    assert_eq!(fs::read_to_string(server.file()).unwrap(), original);
    // It is read at the next start.
    drop(server);
    let again = Launch::exact(&original).env("STATE_DIRECTORY", state.path()).start();
    assert_eq!(admin(&again, "GET", "/streams/yard.raw", None).0, 200);
    assert_eq!(admin(&again, "DELETE", "/config/streams/yard.raw", None).0, 200);
}
