//! ffmpeg, ffprobe and the `image` crate as judges of what the server sends.

use image::{DynamicImage, GenericImageView};
use std::{
    collections::BTreeMap,
    io::Write,
    process::{Command, Output, Stdio},
};
use voyandz::media::{Scanned, Scanner};

/// Runs a program that reads these bytes on its standard input.
fn through(program: &str, arguments: &[&str], bytes: &[u8]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A program that has seen enough closes its end.
        scope.spawn(move || drop(input.write_all(bytes)));
        child.wait_with_output().unwrap()
    })
}

/// Runs a program that reads these bytes on its standard input.
pub fn run(program: &str, arguments: &[&str], bytes: &[u8]) -> Output {
    through(program, arguments, bytes)
}

/// Fails unless all tracks of a file decode without a word of complaint.
pub fn assert_decodes_file(file: &std::path::Path) {
    let input = file.to_str().unwrap();
    let arguments = ["-v", "error", "-xerror", "-i", input, "-vsync", "passthrough", "-f", "null", "-"];
    let output = through("ffmpeg", &arguments, b"");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{} does not decode: {complaints}", file.display());
}

/// Fails unless all tracks decode without a word of complaint.
pub fn assert_decodes(bytes: &[u8]) {
    let output = through("ffmpeg", &["-v", "error", "-xerror", "-i", "pipe:0", "-f", "null", "-"], bytes);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{} bytes do not decode: {complaints}", bytes.len());
}

/// The checksums of all frames as they are coded, by the number of their track.
pub fn checksums(bytes: &[u8]) -> BTreeMap<String, Vec<String>> {
    let output = through("ffmpeg", &["-v", "error", "-i", "pipe:0", "-c", "copy", "-f", "framehash", "-"], bytes);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<_> = line.split(',').map(str::trim).collect();
        found.entry(fields[0].to_owned()).or_default().push(fields[5].to_owned());
    }
    found
}

/// The types of all pictures (`I`, `P`, …) in order, and what the decoder complained about.
pub fn pictures(bytes: &[u8]) -> (String, String) {
    let arguments =
        ["-v", "error", "-select_streams", "v", "-show_entries", "frame=pict_type", "-of", "csv=p=0", "-i", "pipe:0"];
    let output = through("ffprobe", &arguments, bytes);
    let types = String::from_utf8_lossy(&output.stdout).chars().filter(char::is_ascii_uppercase).collect();
    (types, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Without the last unit, which was cut off by the end of the reading. What is sent begins with a unit.
pub fn whole(bytes: &[u8]) -> &[u8] {
    let (mut scanner, mut found, mut length) = (Scanner::new(None), Vec::new(), 0);
    scanner.push(bytes, &mut found);
    for found in found {
        length += match found {
            Scanned::Container(_) | Scanned::Lead(_) => 0,
            Scanned::Header(header) => header.len(),
            Scanned::Packet { payload, .. } => payload.len(),
        };
    }
    &bytes[..length]
}

/// What a decoder makes of all tracks.
pub struct Frames {
    /// Sorted, as ffprobe names them.
    pub codecs: Vec<String>,
    /// The types of all pictures in order.
    pub pictures: String,
    /// How many frames of sound there are.
    pub sounds: usize,
    pub complaints: String,
}

impl Frames {
    /// Decodes all that there is; with `only_key`, no picture that needs another one.
    pub fn of(bytes: &[u8], only_key: bool) -> Self {
        let skip = if only_key { "nokey" } else { "default" };
        let entries = "frame=media_type,pict_type:stream=codec_name";
        let arguments =
            ["-v", "error", "-skip_frame", skip, "-show_entries", entries, "-of", "compact=nk=1", "-i", "pipe:0"];
        let output = through("ffprobe", &arguments, bytes);
        let mut found = Self {
            codecs: Vec::new(),
            pictures: String::new(),
            sounds: 0,
            complaints: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            match line.split('|').collect::<Vec<_>>()[..] {
                ["frame", "video", kind, ..] => found.pictures += kind,
                ["frame", "audio", ..] => found.sounds += 1,
                ["stream", codec, ..] => found.codecs.push(codec.to_owned()),
                _ => {}
            }
        }
        found.codecs.sort();
        found.codecs.dedup();
        found
    }
}

/// The codecs of all tracks, sorted, as ffprobe names them.
pub fn codecs(bytes: &[u8]) -> Vec<String> {
    let arguments = ["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", "-i", "pipe:0"];
    let output = through("ffprobe", &arguments, bytes);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut codecs: Vec<_> =
        text.lines().map(|line| line.trim_matches(',').to_owned()).filter(|line| !line.is_empty()).collect();
    codecs.sort();
    // ffprobe names the tracks of a transport stream once more for its programme.
    codecs.dedup();
    codecs
}

/// The heights of all pictures, each said once until it changes.
pub fn heights(bytes: &[u8]) -> Vec<u32> {
    let arguments =
        ["-v", "quiet", "-select_streams", "v", "-show_entries", "frame=height", "-of", "csv=p=0", "-i", "pipe:0"];
    let output = through("ffprobe", &arguments, bytes);
    let text = String::from_utf8(output.stdout).unwrap();
    let mut heights: Vec<u32> = text.lines().filter_map(|line| line.trim_matches(',').parse().ok()).collect();
    heights.dedup();
    heights
}

/// Decoding times of the packets of a track (`v` or `a`) in seconds.
pub fn packet_times(bytes: &[u8], track: &str) -> Vec<f64> {
    let arguments =
        ["-v", "quiet", "-select_streams", track, "-show_entries", "packet=dts_time", "-of", "csv=p=0", "-i", "pipe:0"];
    let text = String::from_utf8(through("ffprobe", &arguments, bytes).stdout).unwrap();
    text.lines().filter_map(|line| line.trim_matches(',').parse().ok()).collect()
}

/// Mean luma of every picture, 0 to 255.
pub fn lumas(bytes: &[u8]) -> Vec<f64> {
    let scale = "scale=32:24:flags=area,format=gray";
    let arguments =
        ["-v", "quiet", "-i", "pipe:0", "-map", "0:v", "-vsync", "passthrough", "-vf", scale, "-f", "rawvideo", "-"];
    let output = through("ffmpeg", &arguments, bytes);
    output.stdout.chunks_exact(32 * 24).map(mean).collect()
}

/// What a filter of ffmpeg notes in the metadata of each frame, with the time of the frame.
pub fn measure(bytes: &[u8], track: &str, filter: &str, key: &str) -> Vec<(f64, f64)> {
    let filters = format!("{filter},{}metadata=print:key={key}:file=-", if track == "a" { "a" } else { "" });
    let (map, option) = (format!("0:{track}"), format!("-filter:{track}"));
    let arguments = ["-v", "quiet", "-copyts", "-i", "pipe:0", "-map", &map, &option, &filters, "-f", "null", "-"];
    let text = String::from_utf8(through("ffmpeg", &arguments, bytes).stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let pairs = lines.chunks_exact(2).map(|pair| {
        let time = pair[0].split("pts_time:").nth(1).unwrap().trim();
        let value = pair[1].split('=').nth(1).unwrap();
        (time.parse().unwrap(), value.parse().unwrap_or(f64::NEG_INFINITY))
    });
    pairs.collect()
}

/// When a measured value rises over a limit.
pub fn rises(measured: &[(f64, f64)], limit: f64) -> Vec<f64> {
    measured.windows(2).filter(|pair| pair[0].1 < limit && pair[1].1 >= limit).map(|pair| pair[1].0).collect()
}

fn mean(bytes: &[u8]) -> f64 {
    bytes.iter().map(|byte| f64::from(*byte)).sum::<f64>() / bytes.len() as f64
}

/// The first picture of a stream.
pub fn first_picture(bytes: &[u8]) -> DynamicImage {
    let arguments = ["-v", "error", "-i", "pipe:0", "-frames:v", "1", "-f", "image2", "-c:v", "png", "-"];
    picture(&through("ffmpeg", &arguments, bytes).stdout)
}

/// A decoded still picture.
pub fn picture(bytes: &[u8]) -> DynamicImage {
    image::load_from_memory(bytes).unwrap_or_else(|error| panic!("{} bytes are no picture: {error}", bytes.len()))
}

/// Mean red, green and blue.
pub fn colour(picture: &DynamicImage) -> [f64; 3] {
    let rgb = picture.to_rgb8();
    let count = f64::from(picture.width()) * f64::from(picture.height());
    [0, 1, 2].map(|channel| rgb.pixels().map(|pixel| f64::from(pixel.0[channel])).sum::<f64>() / count)
}

/// Fails unless the mean colour is this one, but for what an encoder does to it.
pub fn assert_colour(picture: &DynamicImage, expected: [u8; 3]) {
    let found = colour(picture);
    let is_near = found.iter().zip(expected).all(|(found, expected)| (found - f64::from(expected)).abs() < 12.0);
    assert!(is_near, "expected {expected:?}, found {found:?}");
}

/// The colour of one spot.
pub fn spot(picture: &DynamicImage, x: u32, y: u32) -> [u8; 3] {
    let pixel = picture.get_pixel(x, y).0;
    [pixel[0], pixel[1], pixel[2]]
}
