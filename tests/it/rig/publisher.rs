//! ffmpeg as a publisher.

use super::process;
use rustix::process::Signal;
use std::{
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
};

/// A picture that moves and a tone, in real time.
pub const LIVE: &[&str] =
    &["-re", "-f", "lavfi", "-i", "testsrc=s=320x240:r=25", "-re", "-f", "lavfi", "-i", "sine=r=48000"];
/// H.264 with a keyframe a second, and AAC.
pub const H264_AAC: &[&str] = &[
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-tune",
    "zerolatency",
    "-g",
    "25",
    "-pix_fmt",
    "yuv420p",
    "-c:a",
    "aac",
];
/// VP8 with a keyframe a second, and Opus.
pub const VP8_OPUS: &[&str] =
    &["-c:v", "libvpx", "-deadline", "realtime", "-g", "25", "-b:v", "500k", "-c:a", "libopus"];

/// H.265 with a keyframe a second, and Opus.
pub const H265_OPUS: &[&str] = &[
    "-c:v",
    "libx265",
    "-preset",
    "ultrafast",
    "-x265-params",
    "log-level=none:keyint=25",
    "-pix_fmt",
    "yuv420p",
    "-c:a",
    "libopus",
    "-b:a",
    "64k",
];

/// A running ffmpeg that publishes. Dropped, it is killed.
pub struct Publisher(Child);

impl Publisher {
    /// Publishes with these arguments, of which the last ones name where to.
    pub fn start(arguments: &[&[&str]]) -> Self {
        Self::of(Path::new("ffmpeg"), arguments)
    }

    /// The same by this ffmpeg.
    pub fn of(ffmpeg: &Path, arguments: &[&[&str]]) -> Self {
        let mut command = Command::new(ffmpeg);
        command.args(["-v", "error", "-nostdin"]).args(arguments.concat());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// A live picture and tone by `PUT` to this address, in a container as ffmpeg names it.
    pub fn put(codecs: &[&str], format: &str, url: &str) -> Self {
        Self::start(&[LIVE, codecs, &["-f", format, "-method", "PUT", url]])
    }

    /// Stops it as a power cut does.
    pub fn kill(mut self) {
        process::send(i32::try_from(self.0.id()).unwrap(), Signal::KILL);
        self.0.wait().unwrap();
    }

    /// Waits for its end; returns whether it succeeded, and what it complained about.
    pub fn wait(mut self) -> (bool, String) {
        let status = self.0.wait().unwrap();
        let mut complaints = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
        (status.success(), complaints)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
