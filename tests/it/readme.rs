//! What the README tells people to type, typed.

use crate::rig::{Launch, Server, have, media, server::PROGRAM};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const ADDRESS: &str = "127.0.0.1:8090";

/// The blocks of one language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|block| block.split("```").next().unwrap()).collect()
}

/// Runs a line of shell in `folder`; it must succeed.
fn type_in(folder: &Path, line: &str) {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(folder).stdin(Stdio::null());
    command.env("SDL_VIDEODRIVER", "dummy").env("SDL_AUDIODRIVER", "dummy");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

fn try_out(folder: &Path, line: &str, demo: &Server, camera: &Server) {
    let server = if line.contains("cam0") { camera } else { demo };
    let line = line.replace(ADDRESS, &server.address().to_string());
    let words: Vec<_> = line.split_whitespace().collect();
    match words[..] {
        ["ci/run", "check", ..] => type_in(folder, &format!("{PROGRAM} {}", words[1..].join(" "))),
        [script, ..] if script.starts_with("ci/") => {
            let mode = fs::metadata(format!("{ROOT}/{script}"))
                .unwrap_or_else(|error| panic!("{script}: {error}"))
                .permissions()
                .mode();
            assert!(mode & 0o111 != 0, "{script} cannot be run");
        }
        ["curl", "-o", file, ..] if have("curl") => {
            type_in(folder, &format!("{line} --fail --silent --show-error --max-time 15"));
            media::picture(&fs::read(folder.join(file)).unwrap());
        }
        // It plays for ever: only who shows it the way out sees that it had nothing to complain about.
        ["ffplay", ..] if have("ffplay") => type_in(
            folder,
            &format!("said=$(timeout 4 {line} -v error -nostats 2>&1); [ $? = 124 ] && [ -z \"$said\" ]"),
        ),
        // What cannot be had here, or does not end by itself.
        ["nix" | "v4l2-ctl" | "mpv" | "vlc" | "curl" | "ffplay", ..] => {}
        _ => panic!("what is this: {line}"),
    }
}

#[test]
fn readme_commands_work() {
    let readme = fs::read_to_string(format!("{ROOT}/README.md")).unwrap();
    let [yaml] = blocks(&readme, "yaml")[..] else { panic!("expected one configuration in the README") };
    // A card that every machine has.
    let yaml = yaml.replace("v4l2src device=/dev/video0", "videotestsrc is-live=true");
    assert!(yaml.contains("videotestsrc"), "{yaml}");
    let (demo, camera) = (Launch::demo().start(), Launch::new(&yaml).start());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cam.yaml"), &yaml).unwrap();
    for block in blocks(&readme, "sh") {
        for line in block.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            try_out(folder.path(), line, &demo, &camera);
        }
    }
}
