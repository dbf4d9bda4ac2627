//! The client for Python programs, with a real server.

use crate::{
    api::{ADMIN, yaml},
    rig::{
        Launch, SOON, Server, figure,
        log::Log,
        millis, multipart, process,
        script::{H264, PICTURE},
        secs, times, wait_until,
    },
};
use rustix::process::Signal;
use std::{
    fs,
    io::Write,
    path::Path,
    process::{self as programs, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
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
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut child = Child(child);
    let said = Log::read(child.0.stdout.take().unwrap());
    (child, said)
}

/// When a frame was there and when it was captured, in seconds since 1970.
fn times_of(line: &str) -> Option<(f64, f64)> {
    let (got, captured) = line.strip_prefix("alive ")?.split_once(' ')?;
    Some((got.parse().ok()?, captured.parse().ok()?))
}

/// Kills the server again and again; each time the script has to continue by itself. Returns the longest time from the moment that the
/// server was there again until the script had a frame of it.
fn kill_again_and_again(mut server: Server, said: &Log) -> Duration {
    let text = fs::read_to_string(server.file()).unwrap();
    let text = text.replacen("listenport: 0", &format!("listenport: {}", server.address().port()), 1);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let mut taken = Vec::new();
    for _ in 0..times("VOYANDZ_KILLS", 3).min(20) {
        process::send(server.pid(), Signal::KILL);
        server.wait(secs(10));
        drop(server);
        let (before, killed) = (said.lines().len(), now());
        server = Launch::exact(&text).start();
        let returned = now();
        let mut first = None;
        wait_until("a new frame", secs(30), || {
            let lines = said.lines();
            first =
                lines.iter().skip(before).filter_map(|line| times_of(line)).find(|(_, captured)| *captured > killed);
            first.is_some()
        });
        taken.push(first.unwrap().0 - returned);
        // It continues.
        let alive = said.count("^alive");
        said.wait_nth("^alive", alive + 10, secs(30));
    }
    println!("after the server was there again: {taken:.3?} s");
    Duration::from_secs_f64(taken.into_iter().fold(0.0, f64::max))
}

/// How soon a program has a frame again, after its server is there.
const AGAIN: Duration = millis(1500);

#[test]
fn d31_a_python_program_gets_the_newest_frame_for_ever() {
    let Some(python) = python() else { return };
    let server = Server::start(&camera(&format!("mode: continuous, pipeline: '{PICTURE}'")));
    let (_child, said) = start(python, &["tests/live.py", &server.url(""), ADMIN]);
    for part in ["frames", "asyncio", "view", "server", "refused", "alive"] {
        said.wait(&format!("^{part}"), secs(40));
    }
    let taken = kill_again_and_again(server, &said);
    figure(47, "a Python program has a frame again after its server", taken, AGAIN);
    assert!(taken <= AGAIN, "{taken:?}");
}

/// A stream `cam` of a feed with these keys, for those who may watch.
fn camera(feed: &str) -> String {
    let rules = yaml("").split_once("auth:").unwrap().1.to_owned();
    format!("feeds:\n  cam: {{{feed}}}\nstreams:\n  cam: {{feed: cam, video: {H264}}}\nauth:{rules}")
}

#[test]
fn a47_programs_for_opencv_find_what_they_know() {
    let Some(python) = python() else { return };
    let server = Server::start(&camera(&format!("mode: continuous, pipeline: '{PICTURE}'")));
    let (mut child, said) = start(python, &["tests/capture.py", &server.url(""), ADMIN]);
    assert!(child.0.wait().unwrap().success());
    let lines = said.lines();
    let expected = ["loop", "while open", "properties", "settings", "two", "again", "refused"];
    assert!(
        lines.len() == expected.len() && lines.iter().zip(expected).all(|(one, other)| one.starts_with(other)),
        "{lines:?}"
    );
}

/// A stream of this rate, which anyone may see.
fn quick(name: &str, rate: u32) -> Server {
    let picture = PICTURE.replace("framerate=25/1", &format!("framerate={rate}/1"));
    assert!(picture.contains(&format!("framerate={rate}/1")), "{picture}");
    Server::start(&format!(
        "feeds:\n  cam: {{pipeline: '{picture}', mode: continuous}}\nstreams:\n  {name}: {{feed: cam, video: {H264}}}\n"
    ))
}

#[test]
fn a47_a_slow_python_program_has_frames_that_are_not_old() {
    const OLDEST: Duration = millis(60);
    let Some(python) = python() else { return };
    let server = quick("cam", 30);
    let (mut child, said) = start(python, &["tests/ages.py", &server.url(""), &times("VOYANDZ_AGES", 200).to_string()]);
    assert!(child.0.wait().unwrap().success());
    let line = said.wait("^ages", SOON);
    println!("median, 99th percentile, most, and of how many: {line}");
    let ages: Vec<f64> = line.split(' ').skip(1).map(|age| age.parse().unwrap()).collect();
    let oldest = Duration::from_secs_f64(ages[1]);
    figure(47, "age of frames for a program of 5 a second, 99 of 100", oldest, OLDEST);
    assert!(oldest <= OLDEST, "{line}");
}

#[test]
fn a47_a_python_program_holds_no_more_and_more() {
    /// For what the allocators of the C library and of Python hold back.
    const MORE: u64 = 4 << 10;
    let Some(python) = python() else { return };
    let server = quick("fast", 120);
    let seconds = times("VOYANDZ_SECONDS", 20);
    let (mut child, said) = start(python, &["tests/memory.py", &server.url(""), &seconds.to_string()]);
    assert!(child.0.wait().unwrap().success());
    let line = said.wait("^memory", SOON);
    let [before, after, frames] = line.split(' ').skip(1).map(|part| part.parse().unwrap()).collect::<Vec<u64>>()[..]
    else {
        panic!("{line}")
    };
    println!("{before} KiB, {after} KiB after {frames} frames in {seconds} s");
    // It has seen most of them, and holds not even what a few frames take.
    assert!(frames > u64::from(seconds) * 30, "{line}");
    assert!(after < before + MORE, "{line}");
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
fn f20_p22_programs_are_sources_and_filters() {
    let Some(python) = python() else { return };
    let server = Server::start(&format!(
        "feeds:\n  slot: {{publish: {{key: s3cret-key}}}}\n  cam: {{pipeline: '{PICTURE}', mode: continuous}}\nstreams:\n  \
         slot.mjpeg: {{feed: slot}}\n  cam: {{feed: cam, video: {H264}}}\n"
    ));
    let mut viewer = server.get("/slot.mjpeg");
    let (mut child, said) = start(python, &["tests/filter.py", &server.url(""), "s3cret-key"]);
    let mut orders = child.0.stdin.take().unwrap();
    writeln!(orders).unwrap();
    said.wait("^thirty", secs(40));
    // Thirty went in, thirty come out.
    let kind = viewer.header("content-type").unwrap().to_owned();
    let bytes = viewer.collect(secs(1));
    assert_eq!(multipart::parts(&kind, &bytes).len(), 30);
    drop(viewer);
    writeln!(orders).unwrap();
    said.wait("^filtered", secs(40));
    assert!(child.0.wait().unwrap().success());
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
