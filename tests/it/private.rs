//! Streams that are made for each request: shots, and exclusive streams.

use crate::rig::{
    Answer, Launch, SOON, Server, have, http, log, media, millis,
    script::{camera, make_pipe, shell, starts, ticking},
    secs, wait_until,
};
use image::GenericImageView;
use std::{fs, net::TcpStream};

/// A server with one shot, `snap`, of this script.
fn shot(script: &str, keys: &str) -> Server {
    Server::start(&format!("streams:\n  snap: {{type: shot, command: {}{keys}}}\n", shell(script)))
}

#[test]
fn s10_shot_is_what_the_command_wrote() {
    let launch = Launch::bare();
    let file = launch.folder().join("starts");
    let script = shell(&format!("echo start >> {}; echo one; echo two", file.display()));
    let server = launch
        .with(&format!("streams:\n  snap: {{type: shot, mimetype: text/plain, command: {script}, url: /a/b.txt}}\n"))
        .start();
    let mut answer = http::request(server.address(), "HEAD", "/stream/snap", "");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain")));
    assert_eq!((answer.text().as_str(), starts(&file)), ("", 0), "HEAD does not run it");
    for (at, path) in [(1, "/stream/snap"), (2, "/a/b.txt")] {
        let mut answer = server.get(path);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain")));
        assert_eq!((answer.header("content-length"), answer.header("connection")), (Some("8"), Some("close")));
        assert!(answer.header("cache-control").unwrap().contains("no-store"), "{}", answer.head);
        assert_eq!((answer.text().as_str(), starts(&file)), ("one\ntwo\n", at));
    }
    assert_eq!(server.get("/snap").status, 404, "it has a `url`");
}

#[test]
fn s10_shot_that_fails_is_a_500_with_its_last_words() {
    let server = shot("echo here; echo first >&2; echo the camera is gone >&2; exit 3", "");
    for _ in 0..20 {
        let mut answer = server.get("/snap");
        assert_eq!((answer.status, answer.header("content-type")), (500, Some("text/plain; charset=utf-8")));
        assert_eq!(answer.text(), "first\nthe camera is gone\n");
    }
    assert_eq!(server.log.count("the camera is gone"), 2, "what it said, and what it came to:\n{}", server.log.text());
    let mut answer = shot("exit 3", "").get("/snap");
    assert_eq!((answer.status, answer.text().as_str()), (500, "the command exited with code 3\n"));
    let mut answer = Server::start("streams: {snap: {type: shot, command: no-such-program-here}}\n").get("/snap");
    let text = answer.text();
    assert_eq!(answer.status, 500);
    assert!(text.starts_with("cannot run no-such-program-here: "), "{text}");
}

#[test]
fn s10_shot_of_a_flood_is_ended() {
    let server = shot("echo much >&2; exec cat /dev/zero", "");
    let mut answer = server.get("/snap");
    assert_eq!(answer.status, 500);
    assert_eq!(answer.text(), "the command wrote more than 32 MiB\n");
    assert!(server.programs("cat /dev/zero").is_empty());
    let server = shot("seq 100000 >&2; exit 1", "");
    let text = server.get("/snap").text();
    assert!(text.ends_with("99999\n100000\n") && text.len() < 9000, "{} bytes", text.len());
}

#[test]
fn s10_shot_that_hangs_is_ended_in_time() {
    let server = shot("sleep 61 & exec sleep 60", "");
    let mut answer = server.get("/snap");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
    assert_eq!(answer.text(), "the command did not finish within 15 s\n");
    assert!(server.programs("sleep 6").is_empty(), "{:?}", server.descendants());
}

#[test]
fn s10_shots_at_a_time_are_bounded_and_end_with_their_clients() {
    let server = shot("exec sleep 60", "");
    let ask = || http::ask(server.address(), "/snap");
    let clients: Vec<TcpStream> = (0..16).map(|_| ask()).collect();
    wait_until("16 commands", SOON, || server.programs("sleep 60").len() == 16);
    let mut answer = server.get("/snap");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
    assert!(answer.text().starts_with("16 runs "));
    drop(clients);
    wait_until("no commands", secs(10), || server.programs("sleep 60").is_empty());
    // A place is free a moment after its command is gone; until then requests are refused.
    let mut again = Vec::new();
    wait_until("a command", SOON, || {
        again.push(ask());
        !server.programs("sleep 60").is_empty()
    });
}

#[test]
fn s10_shot_reads_its_feed() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{command: {}, mode: 5}}}}
        streams:
          cam.jpg: {{type: shot, feed: cam, command: 'ffmpeg -v error -i - -frames:v 1 -f image2 -c:v mjpeg -'}}
          cam.png: {{type: shot, feed: cam, command: 'ffmpeg -v error -i {{input1}} -frames:v 1 -f image2 -c:v png -'}}
        ",
        camera(25)
    ));
    for (path, mimetype) in [("/cam.jpg", "image/jpeg"), ("/cam.png", "image/png"), ("/cam.jpg", "image/jpeg")] {
        let mut answer = server.get(path);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(mimetype)), "{path}");
        assert_eq!(media::picture(&answer.rest(SOON)).dimensions(), (320, 240));
    }
    assert_eq!(server.log.count("running feed=cam"), 1, "{}", server.log.text());
}

/// So many lines of a ticking program, from its first one on.
fn ticks(answer: &mut Answer) -> String {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/x-ticks")), "{}", answer.head);
    String::from_utf8(answer.take(40, SOON)).unwrap()
}

#[test]
fn f16_each_exclusive_viewer_has_a_program_and_shared_ones_have_one() {
    let launch = Launch::bare();
    let [own, one] = ["own", "one"].map(|name| launch.folder().join(name));
    let server = launch
        .with(&format!(
            "streams:\n  own: {{client: exclusive, mimetype: text/x-ticks, command: {}}}\n  \
               one: {{client: shared, mimetype: text/x-ticks, command: {}}}\n",
            ticking(&own),
            ticking(&one)
        ))
        .start();
    let head = http::request(server.address(), "HEAD", "/own", "");
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/x-ticks")));
    assert_eq!(server.get("/own?keyframe=maybe").status, 400);
    assert_eq!(starts(&own), 0, "neither starts anything");

    let mut viewers: Vec<_> = ["/own?header=1&keyframe=1", "/own", "/stream/own"].map(|path| server.get(path)).into();
    let mut texts: Vec<_> = viewers.iter_mut().map(ticks).collect();
    texts.sort();
    texts.dedup_by_key(|text| text.lines().next().unwrap().to_owned());
    assert_eq!((texts.len(), starts(&own), server.programs("echo start").len()), (3, 3, 3), "{texts:?}");

    let mut shared: Vec<_> = (0..3).map(|_| server.get("/one")).collect();
    shared.iter_mut().for_each(|viewer| drop(ticks(viewer)));
    assert_eq!((starts(&one), server.programs("echo start").len()), (1, 4));

    drop(viewers.pop());
    wait_until("two are left", secs(5), || server.programs("echo start").len() == 3);
    drop((viewers, shared));
    wait_until("none is left", secs(5), || {
        server.descendants().iter().all(|process| process.command.contains(" worker"))
    });
    assert!(server.log.matching(" WARN| ERROR").is_empty(), "{}", server.log.text());
}

#[test]
fn f16_exclusive_viewers_are_bounded() {
    let server = Server::start(&format!(
        "streams: {{own: {{client: exclusive, command: {}}}}}\n",
        shell("while echo tick; do sleep 0.2; done")
    ));
    let mut viewers: Vec<_> = (0..16).map(|_| server.get("/own")).collect();
    let mut answer = server.get("/own");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
    assert!(answer.text().starts_with("16 runs "));
    drop(viewers.pop());
    wait_until("a place is free", SOON, || server.get("/own").status == 200);
}

#[test]
fn f16_exclusive_stream_ends_with_its_program_and_is_whole() {
    let launch = Launch::bare();
    let (bytes, go) = (launch.folder().join("bytes"), launch.folder().join("go"));
    // No container that anybody knows, and more than a pipe holds.
    let content: Vec<u8> = (0..3_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(&bytes, &content).unwrap();
    make_pipe(&go);
    let script = shell(&format!("cat {}; exit 2", bytes.display()));
    let server = launch.with(&format!("streams: {{own: {{client: exclusive, command: {script}}}}}\n")).start();
    for _ in 0..3 {
        let mut answer = server.get("/own");
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/octet-stream")));
        assert!(answer.rest(SOON) == content);
    }
    let line = server.log.wait("failed stream=own", SOON);
    assert_eq!(log::field(&line, "reason"), "exited with code 2");
}

#[test]
fn f16_exclusive_wave_is_heard_from_its_beginning() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{command: {}}}}}
        streams:
          cam.wav: {{client: exclusive, feed: cam, mimetype: audio/x-wav, command: 'ffmpeg -v error -i - -vn -f wav -'}}
        ",
        camera(25)
    ));
    let mut first = server.get("/cam.wav");
    let mut heard = first.take(100_000, SOON);
    // The feed runs already; this one begins with a header, too.
    let mut second = server.get("/cam.wav");
    for bytes in [&mut heard, &mut second.take(100_000, SOON)] {
        assert!(bytes.starts_with(b"RIFF"), "{}", bytes[..16].escape_ascii());
        assert_eq!(media::codecs(bytes), ["pcm_s16le"]);
    }
    assert_eq!(server.log.count("running feed=cam"), 1);
    assert_eq!(server.programs("-f wav").len(), 2);
    drop((first, second));
    wait_until("nothing runs", secs(8), || server.programs("ffmpeg").is_empty());
}

#[test]
fn server_ends_what_it_made_for_requests() {
    let mut server = Server::start(&format!(
        "streams:\n  snap: {{type: shot, command: {hang}}}\n  own: {{client: exclusive, command: {hang}}}\n",
        hang = shell("trap : TERM; echo tick; sleep 60 & while true; do wait; done")
    ));
    let _shot = http::ask(server.address(), "/snap");
    let mut viewer = server.get("/own");
    viewer.piece(SOON);
    wait_until("both run", SOON, || server.programs("trap").len() == 2);
    server.terminate();
    assert!(server.wait(millis(10_500)).success());
    server.assert_nothing_left(secs(1));
}
