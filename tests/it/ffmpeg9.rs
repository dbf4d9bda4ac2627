//! ffmpeg 9 as a client: it knows Enhanced RTMP, WHIP, and a later version of SRT than that of Debian.

use crate::{
    hls::metric,
    rig::{
        SOON, Server, have, log, media, mkv,
        player::address as rtsp,
        publisher::{H264_AAC, H265_OPUS, LIVE, Publisher},
        script::{H264, PICTURE, TONE},
        secs,
        srt::port as srt,
        state::wait_for,
        tool,
    },
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Where it is. Debian's is needed, too, as a judge.
fn ffmpeg() -> Option<PathBuf> {
    tool("ffmpeg9").filter(|_| have("ffmpeg"))
}

/// What it makes of these arguments; it must not complain.
fn output(ffmpeg: &Path, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new(ffmpeg);
    let output = command.args(["-v", "error", "-nostdin"]).args(arguments).stdin(Stdio::null()).output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{arguments:?}: {complaints}");
    output.stdout
}

/// Fails where these are not frames that follow each other in what was sent.
fn assert_part(what: &str, got: &[String], sent: &[String], least: usize) {
    let begin = sent.iter().position(|frame| Some(frame) == got.first());
    let expect = begin.and_then(|begin| sent.get(begin..begin + got.len()));
    assert!(
        got.len() >= least && expect == Some(got),
        "{what}: {} of {} frames, from {begin:?} on",
        got.len(),
        sent.len()
    );
}

/// Each codec of Enhanced RTMP, with B-frames where it has any, and behind the time that fits into three bytes.
#[test]
fn what_is_published_and_played_by_enhanced_rtmp_is_what_it_was() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let server = Server::start(
        "
        rtmp: {listen: 0}
        feeds: {a: {publish: {key: s3cret}}, b: {publish: {key: s3cret}}, c: {publish: {key: s3cret}}, d: {publish: {key: s3cret}}}
        streams: {a: {feed: a}, b: {feed: b}, c: {feed: c}, d: {feed: d}}
        ",
    );
    let address = log::field(&server.log.wait("listening .*protocol=rtmp", SOON), "address").to_owned();
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&str, &[&str], &str, &str); 4] = [
        ("a", &["-c:v", "libx264", "-bf", "2", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"], "16770", "avc1"),
        ("b", &[H265_OPUS, &["-bf", "2"]].concat(), "0", "hvc1,Opus"),
        (
            "c",
            &[
                "-c:v",
                "libaom-av1",
                "-usage",
                "realtime",
                "-cpu-used",
                "8",
                "-g",
                "25",
                "-pix_fmt",
                "yuv420p",
                "-c:a",
                "flac",
            ],
            "16770",
            "av01,fLaC",
        ),
        (
            "d",
            &["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "25", "-c:a", "ac3"],
            "0",
            "vp09,ac-3",
        ),
    ];
    std::thread::scope(|scope| {
        for (name, codecs, offset, known) in cases {
            let (server, ffmpeg, address, folder) = (&server, &ffmpeg, &address, folder.path());
            scope.spawn(move || {
                let file = folder.join(name).with_extension("mkv");
                let file = file.to_str().unwrap();
                let inputs: Vec<&str> = LIVE.iter().copied().filter(|word| *word != "-re").collect();
                output(ffmpeg, &[&inputs, codecs, &["-t", "4", file]].concat());
                let sent = media::checksums(&std::fs::read(file).unwrap());
                let mut viewer = server.get(&format!("/{name}.mkv"));
                let target = format!("rtmp://{address}/live/{name}?key=s3cret");
                let source = ["-re", "-i", file, "-c", "copy", "-output_ts_offset", offset];
                let quiet = ["-flvflags", "no_duration_filesize", "-f", "flv", &target];
                let publisher = Publisher::of(ffmpeg, &[&source, &quiet]);
                wait_for(server, "feeds", name, |feed| feed["state"] == "running");
                let url = format!("rtmp://{address}/live/{name}");
                let play =
                    ["-rtmp_enhanced_codecs", known, "-i", &url, "-c", "copy", "-t", "1.5", "-f", "matroska", "-"];
                let played = media::checksums(&output(ffmpeg, &play));
                let mut viewed = viewer.piece(SOON);
                viewed.extend(viewer.collect(secs(2)));
                let viewed = media::checksums(mkv::trim(&viewed));
                for (track, sent) in &sent {
                    assert_part(&format!("{name}, track {track}, over HTTP"), &viewed[track], sent, 50);
                    assert_part(&format!("{name}, track {track}, over RTMP"), &played[track], sent, 25);
                }
                assert_eq!(publisher.wait(), (true, String::new()), "{name}");
                // Also where MPEG-TS would need another encoding of the audio, and has no decoder for the video.
                let _publisher = Publisher::of(ffmpeg, &[&source, &quiet]);
                wait_for(server, "feeds", name, |feed| feed["state"] == "running");
                assert_eq!(server.get(&format!("/{name}/pic")).status, 200, "{name}");
            });
        }
    });
}

#[test]
fn whip_brings_a_stream_that_everybody_plays() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let server = Server::start(
        "
        webrtc: {udp: 0}
        feeds: {studio: {publish: {key: s3cret}}}
        streams: {studio: {feed: studio}}
        ",
    );
    let url = server.url("/studio/whip");
    let codecs = [&H264_AAC[..H264_AAC.len() - 2], &["-profile:v", "baseline", "-c:a", "libopus", "-ac", "2"]].concat();
    let target = ["-t", "4", "-f", "whip", "-authorization", "s3cret", &url];
    let mut viewer = server.get("/studio.mkv");
    let publisher = Publisher::of(&ffmpeg, &[LIVE, &codecs, &target]);
    let feed = wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
    assert_eq!(feed["publish"]["publisher"]["protocol"], "webrtc");
    let mut bytes = viewer.piece(SOON);
    bytes.extend(viewer.collect(secs(2)));
    let frames = media::Frames::of(mkv::trim(&bytes), false);
    assert!(frames.complaints.is_empty(), "{}", frames.complaints);
    assert!(frames.pictures.starts_with('I') && frames.pictures.len() > 25, "{}", frames.pictures);
    assert!(frames.sounds > 40, "{}", frames.sounds);
    // It takes the response to its DELETE for a body in chunks, whoever sends it, and says so.
    let (is_well, _) = publisher.wait();
    assert!(is_well);
    server.log.wait("publisher left feed=studio .*protocol=webrtc .*reason=deleted", SOON);
}

#[test]
fn srt_and_rtsp_are_published_and_played_and_so_are_playlists_of_them() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let server = Server::start(
        "
        rtsp: {listen: 0}
        srt: {listen: '127.0.0.1:0', passphrase: correct horse battery}
        feeds: {box: {publish: {key: s3cret}}, nvr: {publish: {key: s3cret}}}
        streams: {box: {feed: box}, nvr: {feed: nvr}}
        ",
    );
    let srt = format!("srt://{}?passphrase=correct horse battery&pbkeylen=32&streamid=", srt(&server));
    let rtsp = rtsp(&server);
    let of_box =
        Publisher::of(&ffmpeg, &[LIVE, H264_AAC, &["-f", "mpegts", &format!("{srt}publish:box:source:s3cret")]]);
    let to_nvr = format!("rtsp://source:s3cret@{rtsp}/nvr");
    let of_nvr = Publisher::of(&ffmpeg, &[LIVE, H265_OPUS, &["-f", "rtsp", "-rtsp_transport", "udp", &to_nvr]]);
    for feed in ["box", "nvr"] {
        wait_for(&server, "feeds", feed, |feed| feed["state"] == "running");
    }
    let from_nvr = format!("rtsp://{rtsp}/nvr");
    // A publisher that stalls on a busy machine has a manifest that lists segments, in which ffmpeg returns to the first one.
    let ways: [(&[&str], String, f64); 7] = [
        (&[], format!("{srt}box"), 2.0),
        (&["-rtsp_transport", "tcp"], from_nvr.clone(), 2.0),
        (&["-rtsp_transport", "udp"], from_nvr, 2.0),
        (&[], server.url("/box.m3u8"), 2.0),
        (&[], server.url("/nvr.m3u8"), 2.0),
        (&[], server.url("/box.mpd"), 0.6),
        (&[], server.url("/nvr.mpd"), 0.6),
    ];
    std::thread::scope(|scope| {
        for (options, url, seconds) in &ways {
            let ffmpeg = &ffmpeg;
            scope.spawn(move || {
                let time = seconds.to_string();
                let arguments = [options, &["-i", url, "-t", &time, "-f", "framehash", "-"][..]].concat();
                let text = String::from_utf8(output(ffmpeg, &arguments)).unwrap();
                let frames = |track: &str| text.lines().filter(|line| line.starts_with(track)).count() as f64;
                let [pictures, sounds] = [frames("0,"), frames("1,")];
                assert!(pictures >= 25.0 * seconds - 5.0 && sounds >= 25.0 * seconds, "{url}: {pictures}, {sounds}");
            });
        }
    });
    drop((of_box, of_nvr));
}

/// Of a stream that begins with the request, and of one whose times began long before its manifest does.
#[test]
fn each_segment_of_a_manifest_is_requested_once() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}}}
        streams:
          new: {{feed: cam, video: {H264}, audio: aac}}
          old: {{feed: cam, video: {H264}, audio: aac}}
        "
    ));
    let requests = |kind: &str| metric(&server, &format!("voyandz_hls_requests_total{{kind=\"{kind}\"}}"));
    for name in ["new", "old"] {
        let before = requests("segment");
        let url = server.url(&format!("/{name}.mpd"));
        let text = String::from_utf8(output(&ffmpeg, &["-i", &url, "-t", "6", "-f", "framehash", "-"])).unwrap();
        let frames = |track: &str| text.lines().filter(|line| line.starts_with(track)).count();
        // It requests audio when it has seen the video, and counts whole seconds: audio may begin up to three segments later.
        assert!(frames("0,") >= 145 && frames("1,") >= 80, "{name}: {} and {}", frames("0,"), frames("1,"));
        // Of each track, those that it plays, the one that is being made, and two more.
        let most = 2.0 * (3.0 + 3.0);
        let count = requests("segment") - before;
        assert!(count <= most, "{name}: {count} requests for {most} segments");
    }
    assert!(requests("manifest") <= 4.0, "{} manifests", requests("manifest"));
}

/// The times of decoded frames in seconds, by their checksum, of the tracks of what ffmpeg makes of this.
fn times(ffmpeg: &Path, input: &[&str]) -> [HashMap<String, f64>; 2] {
    let precise = ["-t", "4", "-fps_mode", "passthrough", "-enc_time_base", "demux", "-f", "framehash", "-"];
    let text = String::from_utf8(output(ffmpeg, &[input, &precise].concat())).unwrap();
    let mut units = [0.0; 2];
    let mut found = [HashMap::new(), HashMap::new()];
    for line in text.lines() {
        if let Some((track, unit)) = line.strip_prefix("#tb ").and_then(|rest| rest.split_once(": ")) {
            let (up, down) = unit.split_once('/').unwrap();
            units[track.parse::<usize>().unwrap()] = up.parse::<f64>().unwrap() / down.parse::<f64>().unwrap();
        } else if !line.starts_with('#') {
            let fields: Vec<_> = line.split(',').map(str::trim).collect();
            let track: usize = fields[0].parse().unwrap();
            found[track].insert(fields[5].to_owned(), fields[2].parse::<f64>().unwrap() * units[track]);
        }
    }
    found
}

/// By how much a track is shown later than in other frames of the same; the median of all frames that both have.
fn shift(times: &HashMap<String, f64>, of: &HashMap<String, f64>) -> f64 {
    let mut shifts: Vec<f64> = times.iter().filter_map(|(frame, time)| Some(time - of.get(frame)?)).collect();
    assert!(shifts.len() > 15, "{} of {} frames are the same", shifts.len(), times.len());
    shifts.sort_by(f64::total_cmp);
    shifts[shifts.len() / 2]
}

/// Lip sync: whatever the protocol, sound belongs to the picture to which it belonged at the publisher, within 10 ms.
#[test]
fn sound_and_picture_keep_together_by_every_protocol() {
    let Some(ffmpeg) = ffmpeg() else { return };
    let server = Server::start(
        "
        rtmp: {listen: 0}
        rtsp: {listen: 0}
        srt: {listen: '127.0.0.1:0'}
        feeds: {studio: {publish: {key: s3cret}}}
        streams: {studio: {feed: studio}}
        ",
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("film.mkv");
    let file = file.to_str().unwrap();
    // Every frame is another one, and sound begins at no frame of the picture.
    let picture = ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=25"];
    let sound = ["-itsoffset", "0.237", "-f", "lavfi", "-i", "anoisesrc=r=48000"];
    output(&ffmpeg, &[&picture[..], &sound, H264_AAC, &["-t", "14", file]].concat());
    let original = times(&ffmpeg, &["-i", file]);
    let _publisher = Publisher::of(
        &ffmpeg,
        &[&["-re", "-i", file, "-c", "copy", "-f", "matroska", "-method", "PUT", &server.url("/studio?key=s3cret")]],
    );
    wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
    let rtmp = log::field(&server.log.wait("listening .*protocol=rtmp", SOON), "address").to_owned();
    let ways: [(&[&str], String); 8] = [
        (&[], server.url("/studio.mkv")),
        (&[], server.url("/studio.ts")),
        (&[], server.url("/studio.mp4")),
        (&[], server.url("/studio.m3u8")),
        (&[], format!("rtmp://{rtmp}/studio")),
        (&[], format!("srt://{}?streamid=studio", srt(&server))),
        (&["-rtsp_transport", "tcp"], format!("rtsp://{}/studio", rtsp(&server))),
        (&["-rtsp_transport", "udp"], format!("rtsp://{}/studio", rtsp(&server))),
    ];
    std::thread::scope(|scope| {
        for (options, url) in &ways {
            let (ffmpeg, original) = (&ffmpeg, &original);
            scope.spawn(move || {
                let [picture, sound] = times(ffmpeg, &[options, &["-i", url][..]].concat());
                let apart = shift(&sound, &original[1]) - shift(&picture, &original[0]);
                assert!(apart.abs() <= 0.010, "{url} {options:?}: sound is {:.1} ms late", apart * 1000.0);
                println!("{url} {options:?}: {:.1} ms", apart * 1000.0);
            });
        }
    });
}
