//! The program as a service: what it tells the service manager, and the socket it is given.

use crate::rig::{
    Launch, SOON, have_failpoints, http,
    log::Log,
    millis, process,
    script::{H264, PICTURE},
    secs,
    server::PROGRAM,
    wait_until,
};
use rustix::process::Signal;
use std::{
    fs::{self, Permissions},
    io::ErrorKind,
    net::TcpListener,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, net::UnixDatagram},
    },
    process::{Command, Stdio},
    time::Instant,
};

/// The next message to the service manager that has this line.
fn told(socket: &UnixDatagram, line: &str) -> String {
    let until = Instant::now() + SOON;
    let mut buffer = [0; 4096];
    while Instant::now() < until {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
                if message.lines().any(|it| it == line) {
                    return message;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("never told {line}");
}

#[test]
fn the_service_manager_hears_of_the_life_of_the_server() {
    let launch = Launch::new("streams: {}");
    let path = launch.folder().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(millis(200))).unwrap();
    let mut server = launch.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1000000").start();
    told(&socket, "READY=1");
    told(&socket, "WATCHDOG=1");
    told(&socket, "WATCHDOG=1");
    server.reload("streams: {}");
    assert!(told(&socket, "RELOADING=1").contains("MONOTONIC_USEC="));
    told(&socket, "READY=1");
    // Also one with faults is over at some time.
    server.reload("stream: {}");
    told(&socket, "RELOADING=1");
    told(&socket, "READY=1");
    server.terminate();
    told(&socket, "STOPPING=1");
    assert!(server.wait(SOON).success());
}

#[test]
fn a_stopped_server_is_not_called_well() {
    let launch = Launch::new("streams: {}");
    let path = launch.folder().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(millis(200))).unwrap();
    let server = launch.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000").start();
    told(&socket, "WATCHDOG=1");
    process::send(server.pid(), Signal::STOP);
    let mut buffer = [0; 4096];
    wait_until("it says no more", SOON, || socket.recv(&mut buffer).is_err());
    socket.set_read_timeout(Some(secs(1))).unwrap();
    assert!(socket.recv(&mut buffer).is_err(), "who does not run does not beat");
    process::send(server.pid(), Signal::CONT);
    told(&socket, "WATCHDOG=1");
}

#[test]
fn a_supervisor_that_is_stuck_is_not_called_well() {
    if !have_failpoints() {
        return;
    }
    let launch = Launch::new(&format!(
        "feeds: {{cam: {{pipeline: '{PICTURE}'}}}}\nstreams: {{cam.ts: {{feed: cam, video: {H264}}}}}"
    ));
    let path = launch.folder().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(millis(200))).unwrap();
    let launch = launch.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    let server = launch.env("FAILPOINTS", "supervisor=4*off->1*sleep(9000)->off").start();
    told(&socket, "WATCHDOG=1");
    let mut buffer = [0; 4096];
    let is_missed = || server.log.count("event loop stalled") > 0;
    // Who is not listened to waits.
    wait_until("it is missed, and no more said", SOON, || socket.recv(&mut buffer).is_err() && is_missed());
    socket.set_read_timeout(Some(secs(1))).unwrap();
    assert!(socket.recv(&mut buffer).is_err(), "not all of it goes on");
    told(&socket, "WATCHDOG=1");
    // Its thread may have had another loop to run next: a line for each that is missed, not one a moment.
    assert!(server.log.count("event loop stalled") <= 3, "{}", server.log.text());
    server.log.wait("event loop stalled.*(feed cam|stream cam.ts)", SOON);
}

/// Row X11: privileges are for whoever opens the port.
#[test]
fn a_socket_that_is_handed_over_is_served() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("voyandz.yaml");
    fs::write(&file, "listenport: 1\n").unwrap();
    // systemd gives the socket as descriptor 3, to the process that it names.
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash"]);
    let is_root = rustix::process::getuid().is_root();
    if is_root {
        // As somebody who could not have opened a port below 1024.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let program = folder.path().join("voyandz");
        fs::copy(PROGRAM, &program).unwrap();
        command
            .args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"])
            .arg(program);
    } else {
        command.arg(PROGRAM);
    }
    command.arg("-f").arg(&file).stdin(Stdio::from(OwnedFd::from(listener)));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = Log::read(child.stderr.take().unwrap());
    log.wait(&format!("listening address={address}"), SOON);
    assert_eq!(http::get(address, "/").status, 200);
    if is_root {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        assert!(
            status.contains("\nUid:\t65534\t65534\t65534\t65534\n") && status.contains("\nCapEff:\t0000000000000000\n")
        );
    }
    process::send(i32::try_from(child.id()).unwrap(), Signal::TERM);
    assert!(child.wait().unwrap().success(), "{}", log.text());
}
