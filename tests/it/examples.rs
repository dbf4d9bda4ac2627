//! Every file of `config/examples` is checked, and each that needs no hardware runs: all its streams are decoded by ffmpeg.
//!
//! Comments at the beginning of a line tell what a file wants: `# needs:` hardware, so that it cannot run here; `# before:` a
//! command to run in its folder before the server starts; `# meanwhile:` one to run while it serves.

use crate::rig::{Launch, have, server::run};
use serde_yaml::Value;
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

/// What the comments of an example say behind this word.
fn comments<'a>(text: &'a str, word: &str) -> impl Iterator<Item = &'a str> {
    let start = format!("# {word}: ");
    text.lines().filter_map(move |line| line.strip_prefix(&start))
}

/// A shell in a folder, ended with the test.
struct Shell(Child);

impl Shell {
    fn start(folder: &Path, script: &str) -> Self {
        let mut command = Command::new("sh");
        // So that the end of the shell is that of the program.
        command.args(["-c", &format!("exec {script}")]).current_dir(folder).stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What to ask for to begin all streams of an example well.
fn targets(file: &Path) -> Vec<String> {
    let output = run(&["config", "-f", file.to_str().unwrap()]);
    let config: Value = serde_yaml::from_slice(&output.stdout).unwrap();
    let target = |stream: &Value| {
        // Of raw bytes nobody knows the header.
        let query = if stream["container"] == "raw" { "" } else { "?header=1&keyframe=1" };
        format!("{}{query}", stream["url"].as_str().unwrap())
    };
    config["streams"].as_mapping().unwrap().values().map(target).collect()
}

/// Fails unless a stream decodes without a word of complaint, and lasts.
fn assert_plays(url: &str) {
    let input = ["-v", "error", "-analyzeduration", "2M", "-i", url];
    let output = Command::new("ffmpeg").args(input).args(["-t", "1", "-f", "framecrc", "-"]).output().unwrap();
    let (frames, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let count = frames.lines().filter(|line| !line.starts_with('#')).count();
    // A source on a busy machine leaves frames out.
    assert!(output.status.success() && complaints.is_empty() && count >= 2, "{url}: {count} frames {complaints}");
}

#[test]
fn every_example_without_hardware_plays() {
    if !have("ffmpeg") {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut played = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        if comments(&text, "needs").next().is_some() {
            continue;
        }
        println!("{}", file.display());
        let launch = Launch::exact(&text).env("VOYANDZ__listenport", "0").env("VOYANDZ__listenaddr", "127.0.0.1");
        let launch = if text.contains("\nsrt:") { launch.env("VOYANDZ__srt__listen", "127.0.0.1:0") } else { launch };
        for script in comments(&text, "before") {
            let status = Command::new("sh").args(["-c", script]).current_dir(launch.folder()).status().unwrap();
            assert!(status.success(), "{script}");
        }
        let folder = launch.folder().to_owned();
        let server = launch.start();
        let _shells: Vec<_> = comments(&text, "meanwhile").map(|script| Shell::start(&folder, script)).collect();
        for target in targets(&file) {
            assert_plays(&server.url(&target));
            played += 1;
        }
    }
    assert!(played >= 10, "{played}");
}
