//! RTSP in multicast groups: one sender for all viewers of a stream.

use crate::rig::{
    SOON, Server, have,
    player::{self, Player},
    script::{H264, PICTURE, TONE},
    server::password_hash,
    state::wait_for,
    wait_until,
};
use std::{
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    process::Command,
};
use voyandz::media::rtp::{Packet, report};

const GROUP: &str = "Transport: RTP/AVP;multicast\r\n";

/// A group that other runs of the tests do not have.
fn group(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(239, 255, 100 + number, (std::process::id() % 250 + 1) as u8)
}

/// A camera of which two streams may be sent to one group, with more keys of `rtsp.multicast`.
fn camera(group: Ipv4Addr, more: &str) -> String {
    format!(
        "
        rtsp: {{listen: '127.0.0.1:0', multicast: {{groups: {group}, interface: lo{more}}}}}
        feeds:
          card: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}
        streams:
          cam: {{feed: card, video: {H264}, audio: [aac, opus]}}
          yard: {{feed: card, video: {H264}, audio: false}}
        "
    )
}

/// What comes to a port of a group.
fn listen(group: Ipv4Addr, port: u16) -> UdpSocket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddrV4::new(group, port).into()).unwrap();
    socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket.into()
}

fn packet(socket: &UdpSocket) -> Packet {
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).unwrap();
    Packet::parse(buffer[..length].to_vec().into()).unwrap()
}

/// A client that has set up tracks of a path.
fn set_up(server: &Server, path: &str, tracks: &[usize]) -> (Player, Vec<String>) {
    let mut client = Player::connect(player::address(server));
    client.ask("DESCRIBE", path, "");
    let transports = tracks.iter().map(|track| {
        let response = client.ask("SETUP", &format!("{path}/trackID={track}"), GROUP);
        assert_eq!(response.status, 200, "{response:?}");
        client.take_session(&response);
        response.field("Transport").unwrap().to_owned()
    });
    let transports = transports.collect();
    (client, transports)
}

#[test]
fn a_stream_is_sent_once_for_all_its_viewers() {
    let group = group(0);
    let server = Server::start(&camera(group, ", port: 7000, ttl: 2"));
    let (mut one, transports) = set_up(&server, "/cam", &[0, 1]);
    for (transport, ports) in transports.iter().zip(["7000-7001", "7002-7003"]) {
        let begin = format!("RTP/AVP;multicast;destination={group};port={ports};ttl=2;ssrc=");
        assert!(transport.starts_with(&begin) && transport.ends_with(";mode=\"PLAY\""), "{transport}");
    }
    let (video, audio, control) = (listen(group, 7000), listen(group, 7002), listen(group, 7001));
    let response = one.ask("PLAY", "/cam", "");
    assert_eq!((response.status, response.field("RTP-Info")), (200, None), "{response:?}");
    let first = packet(&video).header;
    assert!(transports[0].contains(&format!("ssrc={:08X}", first.ssrc)), "{transports:?}");
    packet(&audio);
    let mut buffer = [0; 2048];
    let length = control.recv(&mut buffer).unwrap();
    assert!(
        matches!(&report::parse(&buffer[..length])[0], report::Report::Sender(sender) if sender.ssrc == first.ssrc)
    );
    // The second viewer gets the same packets: none is sent twice.
    let (mut two, again) = set_up(&server, "/cam", &[0]);
    assert_eq!(again[0].split(";ssrc").next(), transports[0].split(";ssrc").next());
    assert_eq!(two.ask("PLAY", "/cam", "").status, 200);
    wait_for(&server, "streams", "cam", |stream| stream["readers"] == 2 && stream["bytes_out"].as_u64() > Some(0));
    let mut last = first.sequence;
    let mut check = |count: usize| {
        for _ in 0..count {
            let next = packet(&video).header.sequence;
            assert_eq!(next, last.wrapping_add(1));
            last = next;
        }
    };
    check(100);
    // One leaves, the other one still receives.
    assert_eq!(one.ask("TEARDOWN", "/cam", "").status, 200);
    let line = server.log.wait("viewer left stream=cam", SOON);
    assert!(line.contains("protocol=rtsp transport=multicast") && line.contains("reason=\"client left\""), "{line}");
    assert!(!line.contains("bytes=0 ") && line.contains("gaps=0"), "{line}");
    check(50);
    // Its connection ends, and the session does not. Any connection of the client ends that.
    let session = two.session.take();
    two = Player::connect(player::address(&server));
    check(50);
    two.session = session;
    assert_eq!(two.ask("GET_PARAMETER", "/cam", "").status, 200);
    assert_eq!(two.ask("TEARDOWN", "/cam", "").status, 200);
    wait_until("the end in RTCP", SOON, || {
        let length = control.recv(&mut buffer).unwrap();
        report::parse(&buffer[..length]).contains(&report::Report::End(vec![first.ssrc]))
    });
    wait_for(&server, "streams", "cam", |stream| stream["state"] == "idle" && stream["readers"] == 0);
    // It begins again with the next viewer.
    let (mut three, _) = set_up(&server, "/cam", &[0]);
    assert_eq!(three.ask("PLAY", "/cam", "").status, 200);
    packet(&video);
}

#[test]
fn groups_are_for_those_who_may_watch_and_as_many_as_there_are() {
    let group = group(1);
    let yaml = |may: &str| {
        let hash = password_hash("pass-canary");
        format!("{}\nauth: {{users: {{anna: {{password: {hash}, may: {may}}}}}}}\n", camera(group, "").trim_end())
            .replace("\n        ", "\n")
    };
    let server = Server::start(&yaml("[view cam, view yard]"));
    let anna = format!("Authorization: Basic {}\r\n", data_encoding::BASE64.encode(b"anna:pass-canary"));
    let mut client = Player::connect(player::address(&server));
    assert_eq!(client.ask("SETUP", "/cam/trackID=0", GROUP).status, 401);
    let both = "Transport: RTP/AVP/TCP;multicast,RTP/AVP/UDP;multicast;mode=PLAY\r\n";
    let response = client.ask("SETUP", "/cam/trackID=0", &format!("{both}{anna}"));
    assert!(response.field("Transport").unwrap().contains(&format!("destination={group};port=5004-5005;ttl=1")));
    client.take_session(&response);
    // A session travels in one way.
    let tcp = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
    assert_eq!(client.ask("SETUP", "/cam/trackID=1", &format!("{tcp}{anna}")).status, 400);
    let mut other = Player::connect(player::address(&server));
    let refused = other.ask("SETUP", "/yard/trackID=0", &format!("{GROUP}{anna}"));
    assert!(refused.status == 429 && refused.body.contains("all multicast groups are taken"), "{refused:?}");
    assert_eq!(client.ask("PLAY", "/cam", &anna).status, 200);
    // A permission that ends takes the viewer, and the last viewer the group.
    server.reload(&yaml("[view yard]"));
    server.log.wait("viewer left .*user=anna .*transport=multicast .*permission withdrawn", SOON);
    wait_until("the group is free", SOON, || {
        other.ask("SETUP", "/yard/trackID=0", &format!("{GROUP}{anna}")).status == 200
    });
}

#[test]
fn there_is_no_multicast_unless_it_is_configured() {
    let yaml = camera(group(2), "");
    let (before, after) = yaml.split_once(", multicast: {").unwrap();
    let without = format!("{before}{}", after.split_once('}').unwrap().1);
    let server = Server::start(&without);
    let mut client = Player::connect(player::address(&server));
    let refused = client.ask("SETUP", "/cam/trackID=0", GROUP);
    assert!(refused.status == 461 && !refused.body.contains("multicast"), "{refused:?}");
    // It comes and goes with the configuration; who receives stays.
    server.reload(&yaml);
    let refused = client.ask("SETUP", "/cam/trackID=0", "Transport: RTP/SAVP;multicast\r\n");
    assert!(refused.status == 461 && refused.body.contains("expected RTP/AVP;multicast or "), "{refused:?}");
    let (mut viewer, _) = set_up(&server, "/cam", &[0]);
    assert_eq!(viewer.ask("PLAY", "/cam", "").status, 200);
    let video = listen(group(2), 5004);
    packet(&video);
    server.reload(&without);
    assert_eq!(client.ask("SETUP", "/cam/trackID=0", GROUP).status, 461);
    (0..100).for_each(|_| drop(packet(&video)));
    let said = server.reload(&yaml.replace("interface: lo", "interface: nosuch0"));
    assert!(said.contains("there is no network interface `nosuch0`"), "{said}");
}

/// Clients choose the interface by the route, so there is a network of its own.
#[test]
fn ffmpeg_and_gstreamer_receive_groups() {
    const INSIDE: &str = "VOYANDZ_TEST_OWN_NETWORK";
    if !have("ffmpeg") || !have("gst-launch-1.0") {
        return;
    }
    if std::env::var_os(INSIDE).is_none() {
        if !have("unshare") || !have("ip") || !Command::new("unshare").args(["-n", "true"]).status().unwrap().success()
        {
            eprintln!("SKIPPED: it takes root to make a network namespace");
            return;
        }
        let mut alone = Command::new("unshare");
        let script = "ip link set lo up && ip route add 224.0.0.0/4 dev lo && exec \"$0\" \"$@\"";
        alone.args(["-n", "sh", "-c", script]).env(INSIDE, "1").arg(std::env::current_exe().unwrap());
        alone.args(["--exact", "rtsp_multicast::ffmpeg_and_gstreamer_receive_groups", "--nocapture"]);
        assert!(alone.status().unwrap().success());
        return;
    }
    let server = Server::start(&camera(group(3), "").replace(", interface: lo", ""));
    let url = format!("rtsp://{}/cam", player::address(&server));
    let output = Command::new("ffmpeg")
        .args([
            "-v",
            "warning",
            "-nostdin",
            "-rtsp_transport",
            "udp_multicast",
            "-i",
            &url,
            "-t",
            "2",
            "-f",
            "null",
            "-",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    println!("ffmpeg says: {said}");
    server.log.wait_nth("viewer left stream=cam .*transport=multicast", 1, SOON);
    let pipeline = format!(
        "rtspsrc location={url} protocols=udp-mcast latency=0 ! rtph264depay ! h264parse ! avdec_h264 ! fakesink num-buffers=30"
    );
    let output = Command::new("gst-launch-1.0").arg("-q").args(pipeline.split(' ')).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    server.log.wait_nth("viewer left stream=cam .*transport=multicast", 2, SOON);
    // Without a route the log says why nobody receives anything.
    assert!(Command::new("ip").args(["route", "del", "224.0.0.0/4"]).status().unwrap().success());
    let (mut client, _) = set_up(&server, "/cam", &[0]);
    assert_eq!(client.ask("PLAY", "/cam", "").status, 200);
    server.log.wait("multicast is not sent: there is no route for it.* group=239.255", SOON);
}
