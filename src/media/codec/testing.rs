//! What the tests of several codecs need.

use bytes::Bytes;
use std::{io::Write, process::Command};

/// The bytes that hexadecimal digits stand for; white space is for the eye.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let text: String = text.split_whitespace().collect();
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// What a tool prints; `None` when it is not installed, which is an error in CI.
fn output(tool: &str, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = match Command::new(tool).args(["-v", "error"]).args(arguments).output() {
        Ok(output) => output,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{tool}: {error}");
            eprintln!("SKIPPED: there is no {tool}: {error}");
            return None;
        }
    };
    assert!(output.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

/// What ffmpeg makes of its test image, or of a tone, with these arguments, separated by spaces; they name the format.
pub(super) fn encode(seconds: &str, arguments: &str) -> Option<Vec<u8>> {
    let mut all =
        vec!["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25", "-f", "lavfi", "-i", "sine=440:sample_rate=48000"];
    all.extend(["-t", seconds]);
    all.extend(arguments.split(' '));
    all.push("-");
    output("ffmpeg", &all)
}

/// What ffmpeg makes of the bytes of a file.
pub(super) fn convert(bytes: &[u8], arguments: &str) -> Option<Vec<u8>> {
    let file = file(bytes);
    let mut all = vec!["-i", file.path().to_str().unwrap()];
    all.extend(arguments.split(' '));
    all.push("-");
    output("ffmpeg", &all)
}

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// The access units of an elementary stream, and which of them ffmpeg takes for keyframes.
pub(super) fn units(format: &str, bytes: &[u8]) -> Option<Vec<(Bytes, bool)>> {
    let file = file(bytes);
    let path = file.path().to_str().unwrap();
    let found = output("ffprobe", &["-f", format, "-show_entries", "packet=size,flags,pos", "-of", "csv=p=0", path])?;
    let all = Bytes::copy_from_slice(bytes);
    let units = std::str::from_utf8(&found).unwrap().lines().map(|line| {
        let fields: Vec<_> = line.split(',').collect();
        let (size, at): (usize, usize) = (fields[0].parse().unwrap(), fields[1].parse().unwrap());
        (all.slice(at..at + size), fields[2].starts_with('K'))
    });
    Some(units.collect())
}

/// A checksum of each decoded frame of an elementary stream.
pub(super) fn decoded(format: &str, bytes: &[u8]) -> Option<Vec<String>> {
    let file = file(bytes);
    let found = output("ffmpeg", &["-f", format, "-i", file.path().to_str().unwrap(), "-f", "framemd5", "-"])?;
    let lines = String::from_utf8(found).unwrap();
    let sums = lines.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit(", ").next());
    Some(sums.map(str::to_owned).collect())
}
