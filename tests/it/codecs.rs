//! Every codec in every container: what is accepted plays, what is not is refused when the configuration is read.

use crate::rig::{
    Launch, Server, have, media, mkv, multipart,
    script::{PICTURE, TONE},
    secs,
    server::run,
    ts,
};

/// The table of docs/configuration.md, by heart.
const CONTAINERS: [(&str, &[&str], &[&str]); 12] = [
    ("ts", &["h264", "h265", "mpeg2"], &["aac", "mp3", "ac3", "opus"]),
    ("webm", &["vp8", "vp9", "av1"], &["opus", "vorbis"]),
    ("mkv", &VIDEO, &AUDIO),
    ("ogg", &[], &["opus", "vorbis", "flac"]),
    ("flv", &["h264"], &["aac", "mp3"]),
    ("mp4", &["h264", "h265", "vp9", "av1"], &["aac", "opus", "mp3"]),
    ("mp3", &[], &["mp3"]),
    ("aac", &[], &["aac"]),
    ("flac", &[], &["flac"]),
    ("wav", &[], &["pcm"]),
    ("mjpeg", &["mjpeg"], &[]),
    ("raw", &[], &[]),
];
const VIDEO: [&str; 7] = ["h264", "h265", "vp8", "vp9", "av1", "mpeg2", "mjpeg"];
const AUDIO: [&str; 7] = ["aac", "opus", "vorbis", "mp3", "flac", "ac3", "pcm"];

/// What ffprobe calls it.
fn known_as(codec: &str) -> &str {
    match codec {
        "h265" => "hevc",
        "mpeg2" => "mpeg2video",
        "pcm" => "pcm_s16le",
        codec => codec,
    }
}

/// All pairs of this kind, and whether they are accepted: container, key, codec.
fn pairs(accepted: bool) -> Vec<(&'static str, &'static str, &'static str)> {
    let mut pairs = Vec::new();
    for (container, video, audio) in CONTAINERS {
        let kinds = [("video", VIDEO, video), ("audio", AUDIO, audio)];
        for (key, codecs, taken) in kinds {
            let codecs = codecs.into_iter().filter(|codec| taken.contains(codec) == accepted);
            pairs.extend(codecs.map(|codec| (container, key, codec)));
        }
    }
    pairs
}

#[test]
fn codec_that_a_container_cannot_carry_is_refused_with_a_reason() {
    let pairs = pairs(false);
    assert!(pairs.len() > 100, "{}", pairs.len());
    let launch = Launch::bare();
    let file = launch.folder().join("refused.yaml");
    // So many at a time that none is left out of the list of faults.
    for pairs in pairs.chunks(10) {
        let lines: String = pairs
            .iter()
            .map(|(container, key, codec)| {
                format!("  s-{codec}-{container}: {{container: {container}, feed: cam, {key}: {{codec: {codec}}}}}\n")
            })
            .collect();
        std::fs::write(&file, format!("feeds: {{cam: {{command: cat}}}}\nstreams:\n{lines}")).unwrap();
        let output = run(&["check", "-f", file.to_str().unwrap()]);
        assert!(!output.status.success());
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        for (container, key, codec) in pairs {
            let place = format!("streams.s-{codec}-{container}.{key}");
            let fault = said.lines().find(|line| line.contains(&place)).unwrap_or_else(|| panic!("{place}: {said}"));
            let reasons = ["cannot carry it", "has no video", "has no audio", "is not encoded"];
            assert!(reasons.iter().any(|reason| fault.contains(reason)), "{fault}");
        }
    }
}

/// Watches each accepted pair of some containers.
fn check(containers: &[&str]) {
    if !have("ffprobe") {
        return;
    }
    let pairs: Vec<_> = pairs(true).into_iter().filter(|(container, ..)| containers.contains(container)).collect();
    let lines: String = pairs
        .iter()
        .map(|(container, key, codec)| {
            let (other, options) = match (*key, *codec) {
                ("video", "mjpeg") => ("audio", ""),
                ("video", "h264" | "h265") => ("audio", ", bitrate: 400k, gop: 25, preset: ultrafast"),
                ("video", _) => ("audio", ", bitrate: 400k, gop: 25"),
                _ => ("video", ""),
            };
            let without = if *container == "mjpeg" { String::new() } else { format!(", {other}: false") };
            format!("  {codec}.{container}: {{feeds: [cam, mic], {key}: {{codec: {codec}{options}}}{without}}}\n")
        })
        .collect();
    let server = Server::start(&format!(
        "feeds:\n  cam: {{pipeline: '{PICTURE}', mode: continuous}}\n  mic: {{pipeline: '{TONE}', mode: continuous}}\n\
         streams:\n{lines}"
    ));
    for (container, key, codec) in pairs {
        let target = format!("/{codec}.{container}");
        let mut answer = server.get(&format!("{target}?header=1&keyframe=1"));
        let mimetype = answer.header("content-type").unwrap().to_owned();
        let bytes = answer.collect(secs(2));
        let whole = match container {
            "ts" => ts::trim(&bytes),
            "webm" | "mkv" => mkv::trim(&bytes).to_vec(),
            "mjpeg" => multipart::parts(&mimetype, &bytes).concat(),
            _ => media::whole(&bytes).to_vec(),
        };
        let found = media::Frames::of(&whole, false);
        let codecs: Vec<_> = found.codecs.iter().map(String::as_str).filter(|codec| *codec != "text").collect();
        assert_eq!(codecs, [known_as(codec)], "{target}: {}", found.complaints);
        assert_eq!(found.complaints, "", "{target}");
        let frames = if key == "video" { found.pictures.len() } else { found.sounds };
        assert!(frames >= 5 && (key == "audio" || found.pictures.starts_with('I')), "{target}: {}", found.pictures);
        // Samples as they are need no encoder.
        if codec != "pcm" {
            // Streams of one codec share an encoder, which is logged under the name of the first.
            let line = server.log.wait(&format!("encodes by .*stream={codec}[.]"), secs(1));
            assert!(line.contains(" in software") || line.contains(" in hardware"), "{line}");
        }
    }
}

#[test]
fn every_codec_of_ts_flv_and_mp4_plays() {
    check(&["ts", "flv", "mp4"]);
}

#[test]
fn every_codec_of_webm_and_mkv_plays() {
    check(&["webm", "mkv"]);
}

#[test]
fn every_codec_of_the_other_containers_plays() {
    check(&["ogg", "mp3", "aac", "flac", "wav", "mjpeg"]);
}
