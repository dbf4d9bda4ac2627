//! Streams of other servers of RTMP, as feeds.

use crate::rig::{
    SOON, Server, figure, log, media,
    pushes::camera,
    secs,
    server::Launch,
    state::{state, wait_for},
    ts,
};
use rustix::process::Signal;
use std::{net::SocketAddr, time::Instant};

/// A server whose stream `cam0` is played, at this address or any.
fn origin(listen: &str) -> Launch {
    Launch::new(&format!("rtmp: {{listen: {listen}}}\n{}", camera(&[])))
}

fn rtmp(server: &Server) -> SocketAddr {
    log::field(&server.log.wait("listening .*protocol=rtmp", SOON), "address").parse().unwrap()
}

/// A server with a feed of each of these addresses.
fn edge(urls: &[String]) -> String {
    let names = || urls.iter().enumerate().map(|(number, url)| (format!("far{number}"), url));
    let feeds: Vec<_> = names().map(|(name, url)| format!("{name}: {{url: '{url}'}}")).collect();
    let streams: Vec<_> = names().map(|(name, _)| format!("{name}: {{feed: {name}}}")).collect();
    format!("pages: {{clients: true}}\nfeeds: {{{}}}\nstreams: {{{}}}\n", feeds.join(", "), streams.join(", "))
}

#[test]
fn a_stream_of_another_server_is_a_feed_and_returns_with_it() {
    let mut far = origin("0").start();
    let address = rtmp(&far);
    let server = Server::start(&edge(&[format!("rtmp://{address}/live/cam0?key=s3cret")]));
    let mut viewer = server.get("/far0.ts");
    let mut bytes = viewer.collect(secs(2));
    let found = wait_for(&server, "feeds", "far0", |feed| feed["link"]["received"].as_u64() > Some(50));
    assert_eq!((&found["link"]["peer"], &found["link"]["lost"]), (&address.to_string().into(), &0.into()), "{found}");
    crate::rig::process::send(far.pid(), Signal::KILL);
    far.wait(SOON);
    drop(far);
    let far = origin(&format!("'{address}'")).start();
    let returned = Instant::now();
    far.log.wait("running stream=cam0", SOON);
    figure(19, "RTMP: a feed plays again after its server returned", returned.elapsed(), secs(5));
    bytes.extend(viewer.collect(secs(3)));
    let bytes = ts::trim(&bytes);
    assert_eq!(ts::continuity(&bytes).0, [""; 0]);
    let frames = media::Frames::of(&bytes, false);
    assert!(frames.pictures.starts_with('I') && frames.pictures.len() > 75, "{}", frames.pictures);
    assert!(frames.sounds > 150 && frames.complaints.is_empty(), "{} {}", frames.sounds, frames.complaints);
    // The feed ends with its last viewer, and says so.
    drop(viewer);
    far.log.wait("viewer left stream=cam0 .*protocol=rtmp", SOON);
    for text in [server.log.text(), server.get("/metrics").text(), state(&server).to_string()] {
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[test]
fn a_server_that_does_not_play_says_why() {
    let far = origin("0").start();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let urls = [
        format!("rtmp://{}/live/none", rtmp(&far)),
        format!("rtmp://{nobody}/live/cam0"),
        format!("rtmp://{}/live/cam0", far.address()),
        format!("rtmps://localhost:{}/live/cam0", rtmp(&far).port()),
    ];
    let server = Server::start(&edge(&urls).replace("{url: ", "{mode: continuous, url: "));
    for (number, reason) in [
        "the server refuses: NetStream.Play.StreamNotFound: no stream",
        "cannot connect: Connection refused",
        "protocol error: the server does not speak RTMP",
        "TLS handshake failed",
    ]
    .into_iter()
    .enumerate()
    {
        server.log.wait(&format!("feed=far{number} .*{reason}"), SOON);
    }
}

/// An authority that the system does not know vouches for the server.
#[test]
fn what_is_encrypted_is_played() {
    let far = Launch::new(&format!(
        "rtmp: {{listen: 0}}\ntls: {{own: authority, names: localhost, plain: none}}\n{}",
        camera(&[])
    ))
    .start();
    let port = rtmp(&far).port();
    let authority = far.file().with_file_name("authority").join("ca.pem");
    let yaml = edge(&[format!("rtmps://localhost:{port}/cam0")]);
    let server = Launch::new(&yaml).env("SSL_CERT_FILE", authority).start();
    let frames = media::Frames::of(&ts::trim(&server.get("/far0.ts").collect(secs(2))), false);
    assert!(frames.pictures.starts_with('I') && frames.pictures.len() > 20, "{}", frames.pictures);
    assert!(frames.complaints.is_empty(), "{}", frames.complaints);
}
