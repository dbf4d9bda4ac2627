//! Configuration fragments and small programs that feeds are made of.

use std::{path::Path, process::Command};

/// A live picture, small enough for a busy machine.
pub const PICTURE: &str =
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=25/1 ! queue";

/// A live tone.
pub const TONE: &str = "audiotestsrc is-live=true samplesperbuffer=480 ! audio/x-raw,rate=48000,channels=2 ! queue";

/// The typed keys of an encoder that costs little.
pub const H264: &str = "{codec: h264, preset: ultrafast, bitrate: 400k, gop: 25}";

/// An argv that runs a shell script, in the configuration's form. The script must not have single quotes.
pub fn shell(script: &str) -> String {
    assert!(!script.contains('\''), "{script}");
    format!("[sh, -c, '{script}']")
}

/// Writes a line to `file` at each start, then lines with its pid, 20 times a second.
pub fn ticking(file: &Path) -> String {
    shell(&format!("echo start >> {}; while echo \"tick $$ ..............\"; do sleep 0.05; done", file.display()))
}

/// How often a program wrote a line to its file.
pub fn starts(file: &Path) -> usize {
    std::fs::read_to_string(file).map_or(0, |text| text.lines().count())
}

/// An ffmpeg that sends H.264 in a transport stream, in real time. Its luma counts the pictures: see [`number`].
pub fn counting(gop: u32) -> String {
    let picture = "color=black:s=160x120:r=25,format=yuv420p,geq=lum=16+mod(N\\,200):cb=128:cr=128";
    format!(
        "[ffmpeg, -v, error, -re, -f, lavfi, -i, '{picture}', -c:v, libx264, -preset, ultrafast, -tune, zerolatency, \
         -crf, '10', -g, '{gop}', -pix_fmt, yuv420p, -f, mpegts, -muxdelay, '0', -flush_packets, '1', '-']"
    )
}

/// Pictures after which [`counting`] begins anew.
pub const COUNT: f64 = 200.0;

/// The number of the picture that has this mean luma, full range.
pub fn number(luma: f64) -> f64 {
    luma * 219.0 / 255.0
}

/// An ffmpeg that sends a moving picture and a tone as H.264 and AAC in a transport stream, in real time.
pub fn camera(gop: u32) -> String {
    format!(
        "[ffmpeg, -v, error, -re, -f, lavfi, -i, 'testsrc=s=320x240:r=25', -re, -f, lavfi, -i, 'sine=r=48000', -c:v, libx264, \
         -preset, ultrafast, -tune, zerolatency, -b:v, 400k, -g, '{gop}', -pix_fmt, yuv420p, -c:a, aac, -f, mpegts, '-']"
    )
}

/// A transport stream of this many seconds with picture and sound, 2 Mbit/s.
pub fn make_sample(path: &Path, seconds: u32) {
    let picture = format!("testsrc2=s=320x240:r=25:d={seconds}");
    let tone = format!("sine=r=48000:d={seconds}");
    let arguments = ["-v", "error", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &tone];
    let encoders = [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-g",
        "25",
        "-bf",
        "0",
        "-b:v",
        "2M",
        "-c:a",
        "aac",
        "-f",
        "mpegts",
    ];
    assert!(Command::new("ffmpeg").args(arguments).args(encoders).arg(path).status().unwrap().success());
}

/// A named pipe.
pub fn make_pipe(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
}
