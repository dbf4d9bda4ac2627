//! The client for Python programs, with a real server.

use crate::{
    api::{ADMIN, yaml},
    rig::{
        Launch,
        log::Log,
        process,
        script::{H264, PICTURE},
        secs, times,
    },
};
use rustix::process::Signal;
use std::{
    fs,
    path::Path,
    process::{self as programs, Command, Stdio},
};

/// Ended with the test.
struct Child(programs::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A Python that has numpy.
fn python() -> Option<&'static str> {
    let has_numpy = |python: &&str| {
        let command = Command::new(python).args(["-c", "import numpy"]).stderr(Stdio::null()).status();
        command.is_ok_and(|status| status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(has_numpy);
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "there is no python3 with numpy");
        eprintln!("SKIPPED: there is no python3 with numpy (Debian: python3-numpy)");
    }
    found
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python")
}

#[test]
fn the_tests_of_the_python_client_pass() {
    let Some(python) = python() else { return };
    let output = Command::new(python)
        .args(["-m", "unittest", "discover", "tests"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(folder())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn d31_a_python_program_gets_the_newest_frame_for_ever() {
    let Some(python) = python() else { return };
    let configuration = yaml("").split("auth:").nth(1).map(|rules| {
        format!(
            "feeds:\n  cam: {{pipeline: '{PICTURE}', mode: continuous}}\nstreams:\n  cam: {{feed: cam, video: {H264}}}\nauth:{rules}"
        )
    });
    let launch = Launch::new(&configuration.unwrap());
    let mut server = launch.start();
    let child = Command::new(python)
        .args(["tests/live.py", &server.url(""), ADMIN])
        .env("PYTHONPATH", folder())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUNBUFFERED", "1")
        .current_dir(folder())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut child = Child(child);
    let said = Log::read(child.0.stdout.take().unwrap());
    for part in ["frames", "capture", "asyncio", "view", "server", "refused", "alive"] {
        said.wait(&format!("^{part}"), secs(40));
    }
    let text = fs::read_to_string(server.file()).unwrap();
    let text = text.replacen("listenport: 0", &format!("listenport: {}", server.address().port()), 1);
    for _ in 0..times("VOYANDZ_KILLS", 3).min(20) {
        process::send(server.pid(), Signal::KILL);
        server.wait(secs(10));
        drop(server);
        let before = said.count("^alive");
        server = Launch::exact(&text).start();
        said.wait_nth("^alive", before + 2, secs(30));
    }
}
