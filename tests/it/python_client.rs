//! The client for Python programs, with a real server.

use crate::{
    api::{ADMIN, yaml},
    rig::{
        Launch, Server,
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

/// A script of the tests of the client, and what it prints.
fn start(python: &str, arguments: &[&str]) -> (Child, Log) {
    let child = Command::new(python)
        .args(arguments)
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
    (child, said)
}

/// Kills the server again and again; each time the script has to say that it is alive.
fn kill_again_and_again(mut server: Server, said: &Log) {
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

#[test]
fn d31_a_python_program_gets_the_newest_frame_for_ever() {
    let Some(python) = python() else { return };
    let configuration = yaml("").split("auth:").nth(1).map(|rules| {
        format!(
            "feeds:\n  cam: {{pipeline: '{PICTURE}', mode: continuous}}\nstreams:\n  cam: {{feed: cam, video: {H264}}}\nauth:{rules}"
        )
    });
    let server = Launch::new(&configuration.unwrap()).start();
    let (_child, said) = start(python, &["tests/live.py", &server.url(""), ADMIN]);
    for part in ["frames", "capture", "asyncio", "view", "server", "refused", "alive"] {
        said.wait(&format!("^{part}"), secs(40));
    }
    kill_again_and_again(server, &said);
}

#[test]
fn d32_frames_of_a_python_program_are_a_stream() {
    let Some(python) = python() else { return };
    let server = Server::start(&format!(
        "feeds: {{slot: {{publish: {{key: s3cret-key}}}}}}\nstreams:\n  slot.mjpeg: {{feed: slot}}\n  film: {{feed: slot, video: {H264}}}\n"
    ));
    let (_child, said) = start(python, &["tests/publish.py", &server.url(""), "s3cret-key"]);
    for part in ["refused", "published", "second", "dropped", "checked", "alive"] {
        println!("{}", said.wait(&format!("^{part}.*"), secs(40)));
    }
    kill_again_and_again(server, &said);
}

#[test]
fn jpegs_of_the_python_client_are_what_was_drawn() {
    let Some(python) = python() else { return };
    let made = tempfile::tempdir().unwrap();
    let (mut child, said) = start(python, &["tests/jpeg.py", made.path().to_str().unwrap()]);
    assert!(child.0.wait().unwrap().success());
    said.wait("^black", secs(5));
    let mut count = 0;
    for line in said.lines() {
        let [name, width, height, least] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let jpeg = fs::read(made.path().join(format!("{name}.jpg"))).unwrap();
        let decoded = image::load_from_memory_with_format(&jpeg, image::ImageFormat::Jpeg).unwrap().to_rgb8();
        assert_eq!((decoded.width().to_string(), decoded.height().to_string()), (width.to_owned(), height.to_owned()));
        let drawn = fs::read(made.path().join(format!("{name}.rgb"))).unwrap();
        let squares = drawn.iter().zip(decoded.as_raw()).map(|(one, other)| f64::from(one.abs_diff(*other)).powi(2));
        let noise = squares.sum::<f64>() / drawn.len() as f64;
        let ratio = 10.0 * (255.0_f64.powi(2) / noise.max(1e-6)).log10();
        println!("{name}: {ratio:.1} dB in {} bytes", jpeg.len());
        assert!(ratio >= least.parse().unwrap(), "{name}: {ratio:.1} dB");
        count += 1;
    }
    assert_eq!(count, 9);
}
