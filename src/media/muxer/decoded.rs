//! The canonical form of samples loses nothing: behind each muxer, the decoded frames are those of the source, whatever tools an
//! encoder uses.

use super::*;
use crate::media::{FieldPairs, demux::Demuxed, mux::HeaderChange, testing::paff, unpack::AnyDemuxer};
use std::{
    io::Write,
    process::{Command, Stdio},
};

/// What ffmpeg encodes, and in which format the bytes are. Each part is encoded by itself, and their bytes are joined.
struct Source {
    name: &'static str,
    format: &'static str,
    parts: &'static [&'static str],
}

const fn source(name: &'static str, format: &'static str, parts: &'static [&'static str]) -> Source {
    Source { name, format, parts }
}

/// See [`paff`] for what no encoder makes.
const SOURCES: [Source; 26] = [
    source("H.264, open GOP", "mpegts", &["libx264 -bf 3 -x264-params open-gop=1:keyint=10:scenecut=0"]),
    source("H.264, B-pyramid", "mpegts", &["libx264 -bf 7 -x264-params b-pyramid=normal:b-adapt=0:ref=6:keyint=12"]),
    source("H.264, strict B-pyramid", "matroska", &["libx264 -bf 5 -x264-params b-pyramid=strict:b-adapt=0"]),
    source("H.264, MBAFF", "mpegts", &["libx264 -flags +ildct+ilme -x264-params tff=1:bframes=2"]),
    source("H.264, 4:2:2 of 10 bit", "mpegts", &["libx264 -pix_fmt yuv422p10le -bf 2"]),
    source("H.264, 4:4:4, lossless", "matroska", &["libx264 -pix_fmt yuv444p -qp 0"]),
    source("H.264, grey", "mpegts", &["libx264 -pix_fmt gray"]),
    source("H.264, four slices", "mpegts", &["libx264 -x264-params slices=4:bframes=0"]),
    source("H.264, intra refresh", "mpegts", &["libx264 -x264-params intra-refresh=1:keyint=10"]),
    source(
        "H.264, constant bitrate with filler, delimiters, picture timing",
        "mpegts",
        &["libx264 -b:v 400k -maxrate 400k -bufsize 100k -x264-params nal-hrd=cbr:aud=1:pic-struct=1:bframes=0"],
    ),
    source(
        "H.264, CAVLC, weighted prediction",
        "mp4",
        &["libx264 -x264-params cabac=0:weightp=2:ref=16 -movflags empty_moov"],
    ),
    source(
        "H.264, other parameter sets",
        "h264",
        &["libx264 -profile:v baseline -bf 0", "libx264 -profile:v high -bf 0 -x264-params ref=5:8x8dct=1"],
    ),
    source("H.264, another size", "h264", &["libx264 -bf 0", "libx264 -bf 0 -vf scale=178:98"]),
    source(
        "H.265, open GOP, B-pyramid",
        "mpegts",
        &["libx265 -x265-params log-level=none:open-gop=1:keyint=10:bframes=4"],
    ),
    source("H.265, slices", "mpegts", &["libx265 -x265-params log-level=none:slices=3:bframes=0"]),
    source(
        "H.265, 10 bit, hierarchy of layers",
        "matroska",
        &["libx265 -pix_fmt yuv420p10le -x265-params log-level=none:temporal-layers=1"],
    ),
    source("H.265, intra refresh", "mpegts", &["libx265 -x265-params log-level=none:intra-refresh=1:bframes=0"]),
    source(
        "H.265, other VPS, SPS and PPS",
        "hevc",
        &[
            "libx265 -x265-params log-level=none:bframes=0",
            "libx265 -x265-params log-level=none:bframes=0:no-sao=1:ref=3:level-idc=5:high-tier=1",
        ],
    ),
    source("AV1", "ivf", &["libaom-av1 -cpu-used 8 -row-mt 1 -lag-in-frames 0"]),
    source(
        "AV1, frames that are not shown, tiles",
        "ivf",
        &["libaom-av1 -cpu-used 8 -lag-in-frames 12 -auto-alt-ref 1 -tiles 2x1"],
    ),
    source("VP9, superframes", "webm", &["libvpx-vp9 -cpu-used 8 -lag-in-frames 16 -auto-alt-ref 1"]),
    source("VP9, 4:4:4", "matroska", &["libvpx-vp9 -cpu-used 8 -pix_fmt yuv444p"]),
    source("VP8, frames that are not shown", "webm", &["libvpx -cpu-used 8 -lag-in-frames 16 -auto-alt-ref 1"]),
    source("MPEG-2, B-frames, interlaced", "mpegts", &["mpeg2video -bf 2 -flags +ildct+ilme -top 1"]),
    source("MPEG-4 part 2, B-frames", "matroska", &["mpeg4 -bf 2"]),
    source("JPEG, 4:2:2", "mjpeg", &["mjpeg -pix_fmt yuvj422p"]),
];

/// What ffmpeg prints; `None` when it is not installed, which is an error in CI.
fn ffmpeg(arguments: &str, input: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error"]).args(arguments.split_whitespace());
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "ffmpeg: {error}");
            eprintln!("SKIPPED: there is no ffmpeg: {error}");
            return None;
        }
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ffmpeg {arguments}: {said}");
    Some(output.stdout)
}

/// A hash of each decoded frame of the video.
fn hashes(bytes: &[u8], format: &str) -> Option<Vec<String>> {
    let format = if format.is_empty() { String::new() } else { format!("-f {format}") };
    let arguments = format!("{format} -i - -map 0:v -fps_mode passthrough -autoscale 0 -f framemd5 -");
    let lines = String::from_utf8(ffmpeg(&arguments, bytes)?).unwrap();
    let frames = lines.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit(',').next());
    Some(frames.map(|hash| hash.trim().to_owned()).collect())
}

/// What a stream makes of them before they are muxed.
fn with_joined_fields(found: Vec<Demuxed>) -> Vec<Demuxed> {
    let (mut pairs, mut out) = (None::<FieldPairs>, Vec::new());
    for found in found {
        match (found, &mut pairs) {
            (Demuxed::Sample(sample), Some(pairs)) => pairs.push(sample, |sample| out.push(Demuxed::Sample(sample))),
            (sample @ Demuxed::Sample(_), None) => out.push(sample),
            (Demuxed::Tracks(set), _) => {
                out.extend(pairs.and_then(|mut pairs| pairs.flush()).map(Demuxed::Sample));
                pairs = set.lead().and_then(|lead| FieldPairs::of(&lead.codec));
                out.push(Demuxed::Tracks(set));
            }
        }
    }
    out.extend(pairs.and_then(|mut pairs| pairs.flush()).map(Demuxed::Sample));
    out
}

/// What a container makes of samples, as a reader gets it who was there from the begin. `None` where it cannot carry them.
fn muxed(container: Container, found: &[Demuxed]) -> Option<Vec<u8>> {
    let (mut muxer, mut out) = (Muxer::new(container)?, Vec::new());
    for found in found {
        match found {
            Demuxed::Tracks(tracks) => {
                let chosen = Muxer::select(container, tracks).ok()?;
                let tracks: Vec<_> = chosen.iter().filter_map(|id| tracks.get(*id).cloned()).collect();
                muxer.set_tracks(&tracks, &mut out);
            }
            Demuxed::Sample(sample) => muxer.push(sample, Instant::now(), &mut out),
        }
    }
    let mut bytes = Vec::new();
    for (number, muxed) in out.iter().enumerate() {
        match muxed {
            Muxed::Header { bytes: header, readers } if number == 0 || *readers == HeaderChange::Inline => {
                bytes.extend_from_slice(header);
            }
            // Readers who were there get no more.
            Muxed::Header { readers: HeaderChange::End, .. } => return None,
            Muxed::Header { .. } | Muxed::WantsKeyframe => {}
            Muxed::Packet(packet) => bytes.extend_from_slice(&packet.payload()),
        }
    }
    Some(bytes)
}

#[test]
fn frames_behind_each_muxer_are_those_of_the_source() {
    let mut sources = Vec::new();
    for Source { name, format, parts } in SOURCES {
        let mut bytes = Vec::new();
        for part in parts {
            let arguments = format!("-f lavfi -i testsrc2=s=160x120:r=25:d=1 -c:v {part} -threads 1 -f {format} -");
            let Some(part) = ffmpeg(&arguments, &[]) else { return };
            bytes.extend(part);
        }
        sources.push((name.to_owned(), format, bytes, 25 * parts.len()));
    }
    for with_delimiters in [false, true] {
        let bytes = paff::byte_stream(25, with_delimiters);
        let Some(ts) = ffmpeg("-f h264 -r 25 -i - -c copy -f mpegts -", &bytes) else { return };
        let name = |format| format!("H.264, field pairs in {format}, delimiters: {with_delimiters}");
        sources.extend([(name("h264"), "h264", bytes, 25), (name("mpegts"), "mpegts", ts, 25)]);
    }
    // Encoders of ffmpeg make no spatial layers. A temporal unit has a frame of each, and the decoder shows the largest.
    sources.extend([
        (
            "AV1, two spatial layers".to_owned(),
            "matroska",
            include_bytes!("../../../tests/data/av1-layers.mkv").to_vec(),
            30,
        ),
        (
            "AV1, a spatial layer that begins later".to_owned(),
            "matroska",
            include_bytes!("../../../tests/data/av1-layers-late.mkv").to_vec(),
            22,
        ),
    ]);
    let (mut compared, mut wrong) = (0, Vec::new());
    for (name, format, bytes, frames) in sources {
        let (mut demuxer, mut found) = (AnyDemuxer::new(), Vec::new());
        bytes.chunks(1000).for_each(|piece| demuxer.push(piece, &mut found).unwrap());
        demuxer.finish(&mut found).unwrap();
        let found = with_joined_fields(found);
        assert!(found.len() > 1, "{name}: {:?}, {:?}", found.first(), demuxer.unsupported());
        let expect = hashes(&bytes, format).unwrap();
        assert_eq!(expect.len(), frames, "{name}");
        let samples = found.iter().filter(|found| matches!(found, Demuxed::Sample(_))).count();
        let is_one_a_frame = name.starts_with("H.26") || name == "AV1, two spatial layers";
        if is_one_a_frame && samples != frames {
            wrong.push(format!("{name}: {frames} frames in {samples} samples"));
        }
        let mut containers = Vec::new();
        for container in Container::ALL {
            // ffmpeg 5 knows neither AV1 in MPEG-TS nor the codecs that FLV has got since: their tests use our demuxers.
            let is_known = match container {
                Container::Flv => name.starts_with("H.264"),
                Container::Ts => !name.starts_with("AV1"),
                _ => true,
            };
            let Some(bytes) = muxed(container, &found).filter(|_| is_known) else { continue };
            let format = if container == Container::Mjpeg { "mjpeg" } else { "" };
            let hashes = hashes(&bytes, format).unwrap();
            if hashes != expect {
                let same = hashes.iter().filter(|hash| expect.contains(hash)).count();
                wrong.push(format!("{name} in {container}: {same} of {} frames, of {}", hashes.len(), expect.len()));
            }
            containers.push(container);
        }
        assert!(!containers.is_empty(), "{name} fits nowhere: {:?}", found.first());
        compared += containers.len();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(compared >= 3 * SOURCES.len() / 2, "only {compared} were compared");
}
