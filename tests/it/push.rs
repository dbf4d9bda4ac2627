//! Streams that are pushed to other servers.

use crate::rig::{
    Launch, SOON, Server, figure, have,
    log::field,
    media, millis,
    publisher::{H264_AAC, LIVE, Publisher},
    pushes::{assert_arrives, camera, pushes, wait_push, wait_state},
    secs,
    state::{state, wait_for},
    ts,
};
use serde_json::Value;
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    process::{Command, Stdio},
    time::Instant,
};

/// A server that is published to.
const STUDIO: &str = "
    rtmp: {listen: 0}
    feeds: {studio: {publish: {key: s3cret}}}
    streams: {studio: {feed: studio}}
";

/// Where a server listens for RTMP.
fn rtmp(server: &Server) -> SocketAddr {
    field(&server.log.wait("listening .*protocol=rtmp", SOON), "address").parse().unwrap()
}

#[test]
fn a_stream_is_pushed_to_another_server_and_comes_back_after_its_death() {
    let target = Server::start(STUDIO);
    let address = rtmp(&target);
    let good = format!("'rtmp://{address}/live/studio?key=s3cret'");
    let wrong = format!("{{to: 'rtmp://{address}/studio?key=wr0ng'}}");
    let server = Server::start(&camera(&[good, wrong]));
    let push = wait_state(&server, "cam0", 0, "established");
    assert_eq!(push["to"], format!("rtmp://{address}/live/***"));
    assert_eq!((&push["protocol"], &push["connections"]), (&"rtmp".into(), &1.into()));
    // It arrives in real time and without a fault.
    wait_for(&target, "feeds", "studio", |feed| feed["state"] == "running");
    let _viewer = assert_arrives(&target);
    // The other target refuses, with its reason, and does not matter to this one.
    let refused = wait_push(&server, "cam0", 1, |push| push["failures"].as_u64() > Some(1));
    let error = refused["error"].as_str().unwrap();
    assert!(error.contains("NetStream.Publish.Denied") && error.contains("the credential is wrong"), "{error}");
    assert_eq!(wait_state(&server, "cam0", 0, "established")["failures"], 0);
    let mut metrics = server.get("/metrics");
    let metrics = metrics.text();
    let line = format!("voyandz_push_established{{stream=\"cam0\",number=\"1\",to=\"rtmp://{address}/live/***\"}} 1");
    assert!(metrics.contains(&line), "{metrics}");
    // The target dies, and is there again.
    drop(target);
    server.log.wait("push failed stream=cam0 to=rtmp://.*/live/\\*\\*\\*", SOON);
    assert!(!server.get("/cam0.ts").piece(SOON).is_empty(), "viewers notice nothing");
    // However long it is away, the next attempt is never far.
    wait_push(&server, "cam0", 0, |push| push["failures"].as_u64() > Some(4));
    let target = Server::start(&STUDIO.replace("listen: 0", &format!("listen: '{address}'")));
    let since = Instant::now();
    wait_for(&target, "feeds", "studio", |feed| feed["state"] == "running");
    figure(19, "push: back after its target", since.elapsed(), secs(2));
    assert_eq!(wait_state(&server, "cam0", 0, "established")["connections"], 2);
    // No key is anywhere.
    let texts = [server.log.text(), metrics, state(&server).to_string(), server.get("/stat").text()];
    for text in texts {
        assert!(!text.contains("s3cret") && !text.contains("wr0ng"), "{text}");
    }
    // Another configuration without it ends it, and the target sees that.
    server.reload(&camera(&[]));
    target.log.wait("publisher left feed=studio .*reason=done", SOON);
    assert_eq!(pushes(&server, "cam0"), [] as [Value; 0]);
}

#[test]
fn a_push_waits_for_media_and_other_pushes_stay_over_a_reload() {
    if !have("ffmpeg") {
        return;
    }
    let target = Server::start(&format!("{STUDIO}    publish: {{live/*: {{key: s3cret}}}}\n"));
    let address = rtmp(&target);
    let yaml = |more: &str| {
        format!(
            "feeds: {{in: {{publish: {{key: s3cret}}}}}}\n\
             streams: {{in: {{feed: in, push: ['rtmp://{address}/live/anna?key=s3cret'{more}]}}}}\n"
        )
    };
    let server = Server::start(&yaml(""));
    wait_state(&server, "in", 0, "waiting");
    let publisher = Publisher::put(H264_AAC, "mpegts", &server.url("/in?key=s3cret"));
    wait_state(&server, "in", 0, "established");
    wait_for(&target, "feeds", "live-anna", |feed| feed["state"] == "running");
    server.reload(&yaml(&format!(", 'rtmp://{address}/live/bob?key=s3cret'")));
    wait_state(&server, "in", 1, "established");
    wait_for(&target, "feeds", "live-bob", |feed| feed["state"] == "running");
    assert_eq!(pushes(&server, "in")[0]["connections"], 1, "it was not disturbed");
    // Without media the connection is closed, and nothing is tried in vain.
    publisher.kill();
    let push = wait_state(&server, "in", 0, "waiting");
    assert_eq!(push["failures"], 0);
    target.log.wait("publisher left feed=live-anna .*reason=(done|\"no media)", SOON);
    let _publisher = Publisher::put(H264_AAC, "mpegts", &server.url("/in?key=s3cret"));
    assert_eq!(wait_state(&server, "in", 0, "established")["connections"], 2);
}

#[test]
fn media_that_comes_back_is_refused() {
    if !have("ffmpeg") {
        return;
    }
    let yaml = |push: &str| {
        format!(
            "rtmp: {{listen: 0}}\nfeeds: {{in: {{publish: {{key: s3cret, second: replace}}}}, out: {{publish: {{key: s3cret}}}}}}\n\
             streams: {{a: {{feed: in{push}}}, b: {{feed: out}}}}\n"
        )
    };
    let server = Server::start(&yaml(""));
    let address = rtmp(&server);
    let _publisher = Publisher::start(&[LIVE, H264_AAC, &["-f", "flv", &format!("rtmp://{address}/in?key=s3cret")]]);
    wait_for(&server, "feeds", "in", |feed| feed["state"] == "running");
    server.reload(&yaml(&format!(", push: ['rtmp://{address}/in?key=s3cret', 'rtmp://{address}/out?key=s3cret']")));
    // To another feed it may go; to its own it would throw its own publisher out.
    wait_state(&server, "a", 1, "established");
    let error = wait_push(&server, "a", 0, |push| push["failures"].as_u64() > Some(0))["error"].to_string();
    assert!(error.contains("feed `in` would be made of itself"), "{error}");
    assert_eq!(server.log.count("publisher left feed=in"), 0);
    assert!(!server.get("/b.ts").piece(SOON).is_empty());
}

#[test]
fn an_encrypted_target_needs_an_authority_that_is_trusted() {
    let target = Server::start(&format!("{STUDIO}    tls: {{own: authority, names: localhost}}\n"));
    let address = rtmp(&target);
    let authority = target.file().with_file_name("authority").join("ca.pem");
    let to = |name: &str| format!("rtmps://{name}:{}/studio?key=s3cret", address.port());
    let known = format!("{{to: '{}', ca: '{}'}}", to("localhost"), authority.display());
    let server = Server::start(&camera(&[known, format!("'{}'", to("127.0.0.1"))]));
    wait_state(&server, "cam0", 0, "established");
    wait_for(&target, "feeds", "studio", |feed| feed["state"] == "running");
    let error = wait_push(&server, "cam0", 1, |push| push["failures"].as_u64() > Some(0))["error"].to_string();
    assert!(error.contains("TLS") || error.contains("authorities"), "{error}");
}

#[test]
fn ffmpeg_is_a_target() {
    if !have("ffmpeg") {
        return;
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::start(&camera(&[format!("'rtmp://{free}/app/key'")]));
    // Nobody is there yet.
    wait_push(&server, "cam0", 0, |push| push["failures"].as_u64() > Some(0));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("got.mkv");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-listen", "1", "-i", &format!("rtmp://{free}/app/key"), "-t", "3"]);
    command.args(["-c", "copy", file.to_str().unwrap()]).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let frames = media::Frames::of(&fs::read(file).unwrap(), false);
    assert!(frames.complaints.is_empty(), "{}", frames.complaints);
    assert!(frames.pictures.starts_with('I') && frames.pictures.len() > 25, "{}", frames.pictures);
    assert!(frames.sounds > 50, "{}", frames.sounds);
    // It has what it wanted and left.
    wait_push(&server, "cam0", 0, |push| push["failures"].as_u64() > Some(1));
}

#[test]
fn a_target_that_is_silent_or_takes_nothing_harms_nobody() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Server::start(STUDIO);
    let targets = [
        format!("'rtmp://{}/app/key'", silent.local_addr().unwrap()),
        format!("'rtmp://{}/studio?key=s3cret'", rtmp(&target)),
    ];
    let server = Server::start(&camera(&targets));
    wait_state(&server, "cam0", 1, "established");
    let mut viewer = server.get("/cam0.ts");
    let bytes = viewer.collect(secs(12));
    let frames = media::Frames::of(&ts::trim(&bytes), false);
    assert!(frames.complaints.is_empty(), "{}", frames.complaints);
    assert!(!viewer.collect(millis(500)).is_empty());
    let push = wait_push(&server, "cam0", 0, |push| push["failures"].as_u64() > Some(0));
    assert_eq!(push["error"], "no answer within 10 s");
    let other = &pushes(&server, "cam0")[1];
    assert_eq!((&other["failures"], &other["gaps"]), (&0.into(), &0.into()));
    // A push is in no list of viewers: it is one of its own.
    assert_eq!(server.log.count("viewer dropped"), 0);
    let mut server = server;
    server.terminate();
    assert!(server.wait(SOON).success());
    assert!(Launch::new(STUDIO).start().get("/").status == 200);
}

/// The server of RTMP that most people have: what it is sent is a feed of another server, too.
#[test]
fn nginx_is_a_target_and_a_source() {
    const MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";
    if !have("ffmpeg") || !have("nginx") {
        return;
    }
    if !std::path::Path::new(MODULE).is_file() {
        assert!(std::env::var_os("CI").is_none(), "{MODULE} is missing");
        eprintln!("SKIPPED: {MODULE} is missing: it is of libnginx-mod-rtmp");
        return;
    }
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nginx.conf");
    let inside = folder.path().display();
    let text = format!(
        "load_module {MODULE};\npid {inside}/pid;\nerror_log {inside}/error.log;\ndaemon off;\nmaster_process off;\n\
         events {{}}\nrtmp {{ access_log off; server {{ listen {address}; application live {{ live on; }} }} }}\n"
    );
    fs::write(&config, text).unwrap();
    let mut nginx = Command::new("nginx").args(["-c", config.to_str().unwrap()]).stdin(Stdio::null()).spawn().unwrap();
    let server = Server::start(&camera(&[format!("'rtmp://{address}/live/cam0'")]));
    wait_state(&server, "cam0", 0, "established");
    let file = folder.path().join("got.mkv");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i", &format!("rtmp://{address}/live/cam0"), "-t", "3"]);
    let output = command.args(["-c", "copy", file.to_str().unwrap()]).stdin(Stdio::null()).output().unwrap();
    let edge = Server::start(&format!(
        "feeds: {{far: {{url: 'rtmp://{address}/live/cam0'}}}}\nstreams: {{far: {{feed: far}}}}\n"
    ));
    let played = media::Frames::of(&ts::trim(&edge.get("/far.ts").collect(secs(3))), false);
    assert!(played.pictures.starts_with('I') && played.pictures.len() > 25, "{}", played.pictures);
    assert!(played.sounds > 50 && played.complaints.is_empty(), "{} {}", played.sounds, played.complaints);
    nginx.kill().unwrap();
    nginx.wait().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let frames = media::Frames::of(&fs::read(file).unwrap(), false);
    assert!(frames.pictures.contains('I') && frames.pictures.len() > 25, "{}", frames.pictures);
    assert!(frames.sounds > 50, "{}", frames.sounds);
    wait_push(&server, "cam0", 0, |push| push["failures"].as_u64() > Some(0));
}
