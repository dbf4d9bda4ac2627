//! RTSP with retina, a client of others that `tests/peers` is made of. `ci/long` builds it and says where it is.

use crate::rig::{
    Server, player,
    publisher::{LIVE, Publisher},
    script::{PICTURE, TONE},
    state::wait_for,
};
use std::process::{Command, Stdio};

/// The number behind a word of a line.
fn number(line: &str, word: &str) -> f64 {
    let found = line.split_once(&format!(" {word}=")).unwrap_or_else(|| panic!("{word} of {line}")).1;
    found.split(' ').next().unwrap().parse().unwrap()
}

/// Plays with `VOYANDZ_PEERS`, over the connection and in datagrams: H.264 with B-frames, H.265, and AAC with both.
#[test]
fn retina_plays() {
    let Some(program) = std::env::var_os("VOYANDZ_PEERS") else {
        eprintln!("SKIPPED: VOYANDZ_PEERS is not set, as `ci/long` does");
        return;
    };
    let server = Server::start(&format!(
        "
        rtsp: {{listen: 0}}
        feeds:
          card: {{mode: continuous, pipeline: '{PICTURE} name=video  {TONE} name=audio'}}
          studio: {{publish: {{key: s3cret}}}}
        streams:
          h265: {{feed: card, video: {{codec: h265, preset: ultrafast, gop: 25}}, audio: aac}}
          studio: {{feed: studio}}
        "
    ));
    let address = player::address(&server);
    let b_frames =
        ["-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"];
    let to = format!("rtsp://source:s3cret@{address}/studio");
    let _publisher = Publisher::start(&[LIVE, &b_frames, &["-f", "rtsp", "-rtsp_transport", "tcp", &to]]);
    wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
    for (stream, codec) in [("studio", "avc1."), ("h265", "hvc1.")] {
        for transport in ["tcp", "udp"] {
            let arguments = [&format!("rtsp://{address}/{stream}"), transport, "4"];
            let output = Command::new(&program).args(arguments).stdin(Stdio::null()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{stream} {transport}: {said}");
            let of =
                |media: &str| said.lines().find(|line| line.starts_with(media)).unwrap_or_else(|| panic!("{said}"));
            let (video, audio) = (of("video"), of("audio"));
            assert!(video.contains(&format!("codec={codec}")) && audio.contains("codec=mp4a.40.2"), "{said}");
            assert!(video.contains("begins_with_keyframe=true"), "{transport}: {said}");
            assert!(number(video, "keyframes") >= 3.0 && number(video, "frames") > 80.0, "{transport}: {said}");
            assert!(number(audio, "frames") > 120.0, "{transport}: {said}");
            for line in [video, audio] {
                assert!(number(line, "lost") == 0.0 && number(line, "seconds") > 3.0, "{transport}: {said}");
            }
        }
    }
}
