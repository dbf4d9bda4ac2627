//! A server that is killed at any step of a save has the old configuration or the new one at its next start.

use crate::{
    api::{ADMIN, yaml},
    rig::{Launch, SOON, Server, http, secs, server::PROGRAM, times},
};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write as _,
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

/// The steps, as `src/reload.rs` and those that write name them.
const STEPS: [&str; 7] = [
    "edit prepared",
    "edit applied",
    "edit kept",
    "edit renamed",
    "in place noted",
    "in place written",
    "edit written",
];

/// What the file says of the title of `cam.raw`.
fn title(file: &Path) -> String {
    let output = Command::new(PROGRAM)
        .args(["config", "-f"])
        .arg(file)
        .env_remove("VOYANDZ_CONFFILE")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    let config: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
    config["streams"]["cam.raw"]["title"].as_str().unwrap_or_default().to_owned()
}

/// Sends a change and does not wait for its outcome.
fn send(server: &Server, title: &str) -> TcpStream {
    let body = json!({ "title": title }).to_string();
    let address = server.address();
    let mut socket = TcpStream::connect(address).unwrap();
    let head = format!(
        "PATCH /api/v1/config/streams/cam.raw HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {ADMIN}\r\n\
         Content-Type: application/merge-patch+json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket
}

/// Kills a server at each step, each time with a save under way. `launch` starts one of the configuration in `file`.
fn kill_at_each_step(file: &Path, launch: impl Fn(&str) -> Launch) {
    let mut reached = 0;
    let rounds = times("VOYANDZ_KILLS", 1) as usize;
    for round in 0..rounds {
        for step in STEPS {
            let (before, wanted) = (title(file), format!("Title {round} {step} {}", "x".repeat(round % 7 * 20)));
            // The process ends there as by SIGKILL: nothing of it runs any more.
            let mut server = launch(&format!("{step}=return")).start();
            let socket = send(&server, &wanted);
            let has_ended = wait_for_end(&mut server, &socket);
            reached += usize::from(has_ended);
            drop(socket);
            drop(server);
            let found = title(file);
            assert!(found == before || found == wanted, "{step}: {found:?} is neither {before:?} nor {wanted:?}");
            // The next start has it, and takes changes.
            let again = launch("").start();
            assert_eq!(title(file), found, "{step}");
            let mut answer = http::request(
                again.address(),
                "GET",
                "/api/v1/config/history?limit=1",
                &format!("Authorization: Bearer {ADMIN}\r\n"),
            );
            let newest: Value = serde_json::from_str(&answer.text()).unwrap();
            let newest = &newest["items"][0];
            // The history has what was made, and nothing else.
            let is_made = newest["number"].is_null() || found == wanted || found == before;
            assert!(is_made, "{step}: {newest}");
            let left: Vec<_> =
                fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".unfinished")), "{step}: {left:?}");
        }
    }
    assert!(reached >= 4 * rounds, "a save has more steps than {reached}");
}

/// Whether the server was killed; a step that this way of writing lacks lets the save through.
fn wait_for_end(server: &mut Server, socket: &TcpStream) -> bool {
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut byte = [0];
    let answered = std::io::Read::read(&mut &*socket, &mut byte).is_ok_and(|length| length > 0);
    if !answered {
        let status = server.wait(secs(10));
        assert!(!status.success(), "{status}");
    }
    !answered
}

#[test]
fn a10_a_save_that_is_killed_at_any_step_leaves_the_old_text_or_the_new_one() {
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = folder.path().join("voyandz.yaml");
    fs::write(&file, format!("listenport: 0\n{}", yaml(""))).unwrap();
    kill_at_each_step(&file, |points| launch(&file, state.path(), points));
}

fn launch(file: &Path, state: &Path, points: &str) -> Launch {
    Launch::bare().arg("-f").arg(file).env("STATE_DIRECTORY", state).env("FAILPOINTS", points.to_owned())
}

#[test]
fn a10_also_through_a_link_and_where_the_file_is_mounted() {
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (file, link) = (folder.path().join("real.yaml"), folder.path().join("voyandz.yaml"));
    fs::write(&file, format!("listenport: 0\n{}", yaml(""))).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    kill_at_each_step(&link, |points| launch(&link, state.path(), points));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o444);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("# The end.") && text.contains("# At the gate."), "{text}");
    // As a container mounts it: the file cannot be replaced.
    let Some(wrapper) = crate::history::mounted(&format!("mount --bind '{0}' '{0}'", file.display())) else { return };
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    kill_at_each_step(&file, |points| launch(&file, state.path(), points).within(wrapper.clone()));
}
