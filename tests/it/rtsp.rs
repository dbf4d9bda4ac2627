//! RTSP, as players and others use it.

use crate::rig::{
    Launch, SOON, Server, have, have_failpoints,
    player::{self, Item, Player},
    publisher::{H264_AAC, LIVE, Publisher},
    script::{H264, PICTURE, TONE, shell},
    secs,
    server::{password_digest, password_hash, run},
    state::{entry, state, wait_for},
    times,
    tls::connect,
    wait_until,
};
use std::{
    collections::BTreeMap,
    net::{SocketAddr, UdpSocket},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use voyandz::{
    access::digest::Challenge,
    media::rtp::{Packet, report},
};

fn camera(more: &str) -> Server {
    Server::start(&camera_and(more))
}

fn camera_and(more: &str) -> String {
    format!(
        "
        rtsp: {{listen: 0}}
        feeds:
          card: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}
        streams:
          cam: {{feed: card, video: {H264}, audio: [aac, opus]}}
        {more}"
    )
}

/// What ffmpeg says while it decodes two seconds of this address.
fn decoded(url: &str, options: &[&str]) -> (bool, String) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "warning"]).args(options).args(["-i", url, "-t", "2", "-f", "null", "-"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn ffmpeg_decodes_over_the_connection_and_in_datagrams() {
    let server = camera("");
    let url = format!("rtsp://{}/cam", player::address(&server));
    for transport in ["tcp", "udp"] {
        let (is_good, said) = decoded(&url, &["-rtsp_transport", transport]);
        assert!(is_good && said.is_empty(), "{transport}: {said}");
        let line = server.log.wait(&format!("viewer left stream=cam .*protocol=rtsp transport={transport}"), SOON);
        assert!(line.contains("gaps=0") && !line.contains("bytes=0 "), "{line}");
    }
}

#[test]
fn gstreamer_plays_over_the_connection_and_in_datagrams() {
    if !have("gst-launch-1.0") {
        return;
    }
    let server = camera("");
    let url = format!("rtsp://{}/cam", player::address(&server));
    for transport in ["tcp", "udp"] {
        let pipeline = format!(
            "rtspsrc location={url} protocols={transport} latency=0 ! rtph264depay ! h264parse ! avdec_h264 ! fakesink num-buffers=30"
        );
        let output = Command::new("gst-launch-1.0").arg("-q").args(pipeline.split(' ')).output().unwrap();
        assert!(output.status.success(), "{transport}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn ffmpeg_decodes_every_codec_that_rtp_carries() {
    let server = Server::start(&format!(
        "
        rtsp: {{listen: 0}}
        feeds:
          card: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}
        streams:
          h265: {{feed: card, video: {{codec: h265, preset: ultrafast, gop: 25}}, audio: opus}}
          vp8: {{feed: card, video: {{codec: vp8, gop: 25}}, audio: mp3}}
          vp9: {{feed: card, video: {{codec: vp9, gop: 25}}, audio: ac3}}
          jpeg: {{feed: card, video: mjpeg, audio: pcm}}
        "
    ));
    let address = player::address(&server);
    for (stream, codecs) in
        [("h265", ["hevc", "opus"]), ("vp8", ["vp8", "mp3"]), ("vp9", ["vp9", "ac3"]), ("jpeg", ["mjpeg", "pcm_s16be"])]
    {
        let url = format!("rtsp://{address}/{stream}");
        let arguments =
            ["-v", "error", "-rtsp_transport", "tcp", "-show_entries", "stream=codec_name", "-of", "csv=p=0", &url];
        let probed = Command::new("ffprobe").args(arguments).output().unwrap();
        let names = String::from_utf8_lossy(&probed.stdout).into_owned();
        let names: Vec<_> = names.lines().map(|line| line.trim_end_matches(',')).collect();
        assert_eq!(names, codecs, "{stream}: {}", String::from_utf8_lossy(&probed.stderr));
        let (is_good, said) = decoded(&url, &["-rtsp_transport", "tcp"]);
        let is_remark = |line: &&str| line.contains("deprecated pixel format") || line.contains("still experimental");
        let said: Vec<_> = said.lines().filter(|line| !is_remark(line)).collect();
        assert!(is_good && said.is_empty(), "{stream}: {said:?}");
    }
}

#[test]
fn what_rtp_cannot_carry_is_taken_from_the_alternatives_or_refused() {
    let server = Server::start(&format!(
        "
        rtsp: {{listen: 0}}
        feeds:
          tone: {{pipeline: '{TONE} name=audio'}}
          text: {{command: {}}}
        streams:
          both: {{feed: tone, audio: [vorbis, opus]}}
          none.ogg: {{feed: tone, audio: {{codec: vorbis}}}}
          text: {{feed: text, container: raw, mimetype: text/plain}}
        ",
        shell("while true; do echo x; sleep 1; done")
    ));
    let mut client = Player::connect(player::address(&server));
    let refused = client.ask("DESCRIBE", "/none.ogg", "");
    assert_eq!((refused.status, refused.body.as_str()), (406, "rtp cannot carry Vorbis\n"));
    let described = client.ask("DESCRIBE", "/both", "");
    assert!(described.body.contains("a=rtpmap:96 OPUS/48000/2\r\n"), "{described:?}");
    let refused = client.ask("DESCRIBE", "/text", "");
    assert!(refused.status == 406 && refused.body.contains("bytes of a program"), "{refused:?}");
    assert_eq!(client.ask("DESCRIBE", "/nothing", "").status, 404);
}

/// The SDP media lines.
fn media(description: &str) -> Vec<&str> {
    description.lines().filter(|line| line.starts_with("m=")).collect()
}

#[test]
fn play_begins_with_a_keyframe_and_says_where_the_tracks_are() {
    let server = camera("");
    let address = player::address(&server);
    // The stream runs already, in the middle of a group.
    let mut first = Player::connect(address);
    first.play("/cam", &[0, 1]);
    (0..30).for_each(|_| drop(first.packet()));
    for path in ["/cam", "/stream/cam", "/cam.ts"] {
        let mut client = Player::connect(address);
        let described = client.ask("DESCRIBE", path, "Accept: application/sdp\r\n");
        assert_eq!(media(&described.body), ["m=video 0 RTP/AVP 96", "m=audio 0 RTP/AVP 97"]);
        assert_eq!(described.field("Content-Base"), Some(format!("{}/", client.url(path)).as_str()));
        let response = client.play(path, &[0, 1]);
        let info = response.field("RTP-Info").unwrap().to_owned();
        let (mut senders, mut video, mut audio) = (BTreeMap::new(), None, None);
        while video.is_none() || audio.is_none() {
            let (channel, bytes) = client.packet();
            if channel % 2 == 1 {
                let report::Report::Sender(report) = report::parse(&bytes)[0].clone() else { panic!("{bytes:?}") };
                senders.entry(channel).or_insert(report);
                continue;
            }
            // Reports come first.
            assert_eq!(senders.len(), 2);
            let packet = Packet::parse(bytes).unwrap();
            let place = if channel == 0 { &mut video } else { &mut audio };
            place.get_or_insert(packet);
        }
        let (video, audio) = (video.unwrap(), audio.unwrap());
        // Parameter sets in one packet.
        assert_eq!((video.payload[0] & 0x1f, video.payload[3] & 0x1f), (24, 7), "{path}");
        let of_video = format!("trackID=0;seq={};rtptime={}", video.header.sequence, video.header.timestamp);
        assert!(info.contains(&of_video), "{info}");
        let (of_video, of_audio) = (senders[&1], senders[&3]);
        assert_eq!(of_video.ntp, of_audio.ntp);
        assert!(info.contains(&format!("trackID=1;rtptime={}", of_audio.timestamp)), "{info}");
        // The audio that follows is that of the same moment.
        let ticks = audio.header.timestamp.wrapping_sub(of_audio.timestamp);
        assert!(ticks < 48_000 / 4, "{ticks} ticks behind the keyframe");
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let age = report::ntp_since(report::ntp(wall.as_nanos() as u64), of_video.ntp);
        assert!((0..10_000_000_000).contains(&age), "{age} ns since it was captured");
    }
}

#[test]
fn tracks_come_on_the_channels_that_clients_choose() {
    let server = camera("");
    let mut client = Player::connect(player::address(&server));
    client.ask("DESCRIBE", "/cam", "");
    // Audio alone, in the form of a client that puts two slashes, then of one that leaves the number out.
    let lines = "Transport: RTP/AVP/TCP;unicast;interleaved=6-7\r\n";
    let response = client.ask("SETUP", "/cam//trackID=1", lines);
    assert!(response.field("Transport").unwrap().contains("interleaved=6-7"), "{response:?}");
    client.take_session(&response);
    assert_eq!(client.ask("PLAY", "/cam/", "").status, 200);
    let mut channels = Vec::new();
    (0..20).for_each(|_| channels.push(client.packet().0));
    assert!(channels.iter().all(|channel| [6, 7].contains(channel)) && channels.contains(&6), "{channels:?}");
    // While it plays.
    assert_eq!(client.ask("GET_PARAMETER", "/cam", "").status, 200);
    assert_eq!(client.ask("SETUP", "/cam/trackID=0", lines).status, 455);
    assert_eq!(client.ask("PAUSE", "/cam", "").status, 405);
    assert_eq!(client.ask("PLAY", "/cam", "").status, 200);
    assert_eq!(client.ask("TEARDOWN", "/cam", "").field("Connection"), Some("close"));
    while client.next(SOON).is_some() {}
    // Video alone, which has the usual channels but for those of the audio.
    let mut client = Player::connect(player::address(&server));
    client.play("/cam", &[0]);
    assert_eq!(client.packet().0, 1);
    (0..20).for_each(|_| assert!([0, 1].contains(&client.packet().0)));
}

/// Requests come between packets, in pieces or several in one, also right behind `PLAY`.
#[test]
fn requests_are_answered_while_packets_flow() {
    let server = camera("");
    let address = player::address(&server);
    let mut client = Player::connect(address);
    client.ask("DESCRIBE", "/cam", "");
    client.setup("/cam", &[0, 1]);
    let session = client.session.clone().unwrap();
    let request = |method: &str, number: u32| {
        format!("{method} {} RTSP/1.0\r\nCSeq: {number}\r\nSession: {session}\r\n\r\n", client.url("/cam"))
    };
    let requests = ["PLAY", "OPTIONS", "GET_PARAMETER", "DESCRIBE", "ANNOUNCE", "PAUSE", "NONSENSE", "PLAY"];
    let mut bytes: String = requests.iter().zip(20..).map(|(method, number)| request(method, number)).collect();
    // An empty line, a report, and a part of a request.
    bytes.push_str("\r\n$\x01\0\x04\r\n\r\n");
    let last = request("TEARDOWN", 99);
    bytes.push_str(&last[..30]);
    let (mut answers, mut channels) = (Vec::new(), Vec::new());
    client.send(bytes.as_bytes());
    let mut rest = Some(&last[30..]);
    while let Some(item) = client.next(SOON) {
        match item {
            Item::Packet(channel, _) => channels.push(channel),
            Item::Response(response) => {
                let number: u32 = response.field("CSeq").unwrap().parse().unwrap();
                answers.push((number, response.status));
            }
        }
        if answers.len() == requests.len()
            && channels.len() > 50
            && let Some(rest) = rest.take()
        {
            client.send(rest.as_bytes());
        }
    }
    let expect = [200, 200, 200, 455, 455, 405, 501, 200];
    let expect: Vec<_> = (20..).zip(expect).chain([(99, 200)]).collect();
    assert_eq!(answers, expect);
    assert!(channels.contains(&0) && channels.contains(&2), "{channels:?}");
    server.log.wait("viewer left stream=cam .*protocol=rtsp transport=tcp .*gaps=0 reason=\"client left\"", SOON);
    // What is no message ends with an answer, and what is too much without one.
    for (bytes, reason) in
        [(b"GARBAGE\r\n\r\n".to_vec(), "request not valid"), (vec![b'\n'; 1 << 20], "client sends too much")]
    {
        let mut client = Player::connect(address);
        client.play("/cam", &[0, 1]);
        client.packet();
        let _ = client.try_send(&bytes);
        let mut statuses = Vec::new();
        while let Some(item) = client.next(SOON) {
            if let Item::Response(response) = item {
                statuses.push(response.status);
            }
        }
        assert_eq!(statuses.contains(&400), reason == "request not valid", "{statuses:?}");
        server.log.wait(&format!("viewer left stream=cam .*protocol=rtsp .*reason=\"{reason}\""), SOON);
    }
}

#[test]
fn bad_requests_have_no_effect_on_others() {
    let server = camera("");
    let address = player::address(&server);
    let mut good = Player::connect(address);
    good.play("/cam", &[0, 1]);
    let id = good.session.clone();
    let mut other = Player::connect(address);
    other.session = id;
    for method in ["TEARDOWN", "PLAY", "GET_PARAMETER", "SETUP"] {
        assert_eq!(other.ask(method, "/cam", "Transport: RTP/AVP/TCP;unicast\r\n").status, 454, "{method}");
    }
    other.session = None;
    assert_eq!(other.ask("TEARDOWN", "/cam", "").status, 454);
    assert_eq!(other.ask("PLAY", "/cam", "").status, 454);
    assert_eq!(other.ask("REDIRECT", "/cam", "").status, 501);
    assert_eq!(other.ask("DESCRIBE", "http://host/cam", "").status, 400);
    assert_eq!(other.ask("DESCRIBE", "/cam", "Require: www.onvif.org/ver20/backchannel\r\n").status, 551);
    assert_eq!(other.ask("DESCRIBE", "/cam", "Accept: text/html\r\n").status, 406);
    let multicast = "Transport: RTP/AVP;multicast\r\n";
    assert_eq!(other.ask("SETUP", "/cam/trackID=0", multicast).status, 461);
    let tcp = "Transport: RTP/AVP/TCP;unicast\r\n";
    assert_eq!(other.ask("SETUP", "/cam/trackID=7", tcp).status, 404);
    for (bytes, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (format!("OPTIONS * RTSP/1.0\r\nX: {}\r\n\r\n", "x".repeat(20_000)), 413),
        ("\x16\x03\x01\x02\0\r\n\r\n".to_owned(), 400),
    ] {
        let mut client = Player::connect(address);
        client.send(bytes.as_bytes());
        let Some(Item::Response(response)) = client.next(SOON) else { panic!("{bytes}") };
        assert_eq!(response.status, status);
        assert!(client.next(SOON).is_none(), "the connection is closed");
    }
    // It still plays, and nothing is missing.
    let mut sequences: BTreeMap<u8, u16> = BTreeMap::new();
    for _ in 0..100 {
        let (channel, bytes) = good.packet();
        let Some(packet) = Packet::parse(bytes) else { continue };
        let sequence = packet.header.sequence;
        if let Some(last) = sequences.insert(channel, sequence) {
            assert_eq!(sequence, last.wrapping_add(1));
        }
    }
    assert_eq!(good.ask("TEARDOWN", "/cam", "").status, 200);
}

#[test]
fn viewers_are_counted_and_logged() {
    let server = camera("");
    let mut client = Player::connect(player::address(&server));
    client.play("/cam", &[0, 1]);
    client.packet();
    let stream = wait_for(&server, "streams", "cam", |stream| stream["bytes_out"].as_u64() > Some(0));
    assert_eq!(stream["readers"], 1, "{stream:#}");
    let mut metrics = server.get("/metrics");
    let metrics = metrics.text();
    assert!(metrics.contains("voyandz_http_answers_total{protocol=\"rtsp/1.0\",class=\"2xx\"} 4"), "{metrics}");
    assert!(metrics.contains("voyandz_first_byte_seconds_count{container=\"rtp\"} 1"), "{metrics}");
    client.ask("TEARDOWN", "/cam", "");
    let line = server.log.wait("viewer left stream=cam", SOON);
    assert!(line.contains("protocol=rtsp transport=tcp") && line.contains("reason=\"client left\""), "{line}");
    assert_eq!(entry(&state(&server), "streams", "cam")["readers"], 0);
    // Nothing is encoded for a client that is connected and does not play.
    wait_for(&server, "streams", "cam", |stream| stream["state"] == "idle");
}

/// A client that has set up datagrams to two sockets.
struct Datagrams {
    client: Player,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    server: SocketAddr,
}

impl Datagrams {
    fn play(address: SocketAddr, path: &str) -> Self {
        let mut client = Player::connect(address);
        client.ask("DESCRIBE", path, "");
        let socket = || UdpSocket::bind("127.0.0.1:0").unwrap();
        let (rtp, rtcp) = (socket(), socket());
        // Whatever else the machine is doing meanwhile.
        socket2::SockRef::from(&rtp).set_recv_buffer_size(4 << 20).unwrap();
        let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
        let lines = format!("Transport: RTP/AVP/UDP;unicast;client_port={}-{}\r\n", port(&rtp), port(&rtcp));
        let response = client.ask("SETUP", &format!("{path}/trackID=0"), &lines);
        assert_eq!(response.status, 200, "{response:?}");
        client.take_session(&response);
        let transport = response.field("Transport").unwrap();
        let ports = transport.split_once("server_port=").unwrap().1.split(';').next().unwrap();
        let server = SocketAddr::new(address.ip(), ports.split_once('-').unwrap().0.parse().unwrap());
        assert_eq!(client.ask("PLAY", path, "").status, 200);
        rtp.set_read_timeout(Some(SOON)).unwrap();
        rtcp.set_read_timeout(Some(SOON)).unwrap();
        Self { client, rtp, rtcp, server }
    }

    fn packet(&self) -> Packet {
        let mut buffer = [0; 2048];
        let (length, from) = self.rtp.recv_from(&mut buffer).unwrap();
        assert_eq!(from, self.server);
        Packet::parse(buffer[..length].to_vec().into()).unwrap()
    }
}

#[test]
fn sessions_in_datagrams_outlive_their_connection_and_end_by_their_client_alone() {
    let server = camera("");
    let address = player::address(&server);
    let mut datagrams = Datagrams::play(address, "/cam");
    let mut buffer = [0; 2048];
    let length = datagrams.rtcp.recv(&mut buffer).unwrap();
    let report::Report::Sender(sender) = report::parse(&buffer[..length])[0].clone() else { panic!() };
    assert_eq!(sender.ssrc, datagrams.packet().header.ssrc);
    // Its connection ends, and it comes back with another one.
    let session = datagrams.client.session.take();
    datagrams.client = Player::connect(address);
    datagrams.packet();
    datagrams.client.session = Some("0123456789abcdef".to_owned());
    assert_eq!(datagrams.client.ask("TEARDOWN", "/cam", "").status, 454);
    datagrams.client.session = session;
    assert_eq!(datagrams.client.ask("GET_PARAMETER", "/cam", "").status, 200);
    // Garbage, and packets of somebody else, on the ports of the server.
    for bytes in [&b"garbage"[..], &report::end(sender.ssrc)] {
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(bytes, datagrams.server).unwrap();
    }
    let last = (0..50).map(|_| datagrams.packet().header.sequence).reduce(|last, next| {
        assert_eq!(next, last.wrapping_add(1));
        next
    });
    assert!(last.is_some());
    assert_eq!(datagrams.client.ask("TEARDOWN", "/cam", "").status, 200);
    server.log.wait("viewer left .*transport=udp .*client left", SOON);
    // The client is told that nothing more comes.
    let is_end = |length: usize, buffer: &[u8]| {
        report::parse(&buffer[..length]).contains(&report::Report::End(vec![sender.ssrc]))
    };
    wait_until("the end in RTCP", SOON, || {
        let length = datagrams.rtcp.recv(&mut buffer).unwrap();
        is_end(length, &buffer)
    });
}

/// Every frame is larger than a burst.
#[test]
fn players_in_datagrams_lose_nothing_while_others_come_and_go() {
    let mut server = Server::start(&format!(
        "
        rtsp: {{listen: 0}}
        feeds: {{card: {{pipeline: '{} name=video'}}}}
        streams: {{cam: {{feed: card, video: {{codec: h264, preset: ultrafast, bitrate: 6M, gop: 25}}}}}}
        ",
        PICTURE.replace("pattern=ball", "pattern=snow").replace("320", "640").replace("240", "360")
    ));
    let address = player::address(&server);
    let plays = |packets: usize| {
        let mut datagrams = Datagrams::play(address, "/cam");
        let first = datagrams.packet();
        assert_eq!((first.payload[0] & 0x1f, first.payload[3] & 0x1f), (24, 7), "parameter sets come first");
        let (mut frame, mut longest, mut last) = (0, 0, first.header.sequence);
        for _ in 0..packets {
            let Packet { header, .. } = datagrams.packet();
            assert_eq!(header.sequence, last.wrapping_add(1));
            last = header.sequence;
            frame = if header.marker { 0 } else { frame + 1 };
            longest = longest.max(frame);
        }
        assert!(longest > 2 * 20, "a keyframe has {longest} datagrams");
        assert_eq!(datagrams.client.ask("TEARDOWN", "/cam", "").status, 200);
    };
    let stays = std::thread::scope(|scope| {
        let staying = scope.spawn(|| Datagrams::play(address, "/cam"));
        for packets in [700, 900, 1100, 1300] {
            scope.spawn(move || plays(packets));
        }
        staying.join().unwrap()
    });
    wait_until("the others have left", SOON, || server.log.count("viewer left .*transport=udp .*client left") == 4);
    assert_eq!(server.log.count("viewer left .*gaps=[1-9]"), 0, "{}", server.log.text());
    server.terminate();
    server.log.wait("viewer left .*transport=udp .*server stopped", SOON);
    let mut buffer = [0; 2048];
    wait_until("the end in RTCP", SOON, || {
        let length = stays.rtcp.recv(&mut buffer).unwrap();
        report::parse(&buffer[..length]).iter().any(|report| matches!(report, report::Report::End(_)))
    });
    server.wait(SOON);
}

/// Each thread sends to several.
#[test]
fn a_panic_costs_one_player_in_datagrams() {
    if !have_failpoints() {
        return;
    }
    let server = Launch::new(&camera_and("")).env("FAILPOINTS", "rtsp-datagrams=100*off->1*panic->off").start();
    let address = player::address(&server);
    let mut players = [(); 4].map(|()| Datagrams::play(address, "/cam"));
    server.log.wait("viewer left .*transport=udp .*internal error", SOON);
    // Whatever a client keeps its session with, it learns that there is none any more.
    let keeps = ["GET_PARAMETER", "SET_PARAMETER", "OPTIONS", "PLAY"];
    let statuses = players.each_mut().map(|player| keeps.map(|method| player.client.ask(method, "/cam", "").status));
    assert_eq!(statuses.iter().filter(|of_player| **of_player == [200; 4]).count(), 3, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|of_player| **of_player == [454; 4]).count(), 1, "{statuses:?}");
    for (player, _) in players.iter().zip(statuses).filter(|(_, of_player)| *of_player == [200; 4]) {
        let first = player.packet().header.sequence;
        (1..100).for_each(|count| assert_eq!(player.packet().header.sequence, first.wrapping_add(count)));
    }
    // Both threads serve new players.
    for player in [(); 2].map(|()| Datagrams::play(address, "/cam")) {
        (0..20).for_each(|_| drop(player.packet()));
    }
    assert_eq!(server.log.count("viewer left"), 1, "{}", server.log.text());
}

/// VLC says something once a minute, and sends no reports when it has lost interest in them. For `VOYANDZ_IDLE` seconds.
#[test]
fn a_client_that_says_something_once_a_minute_stays_and_one_that_never_plays_does_not() {
    let server = camera("");
    let address = player::address(&server);
    let idle = secs(times("VOYANDZ_IDLE", 2).into());
    let mut never = Player::connect(address);
    never.ask("DESCRIBE", "/cam", "");
    never.setup("/cam", &[0]);
    let mut datagrams = Datagrams::play(address, "/cam");
    let (began, mut asked) = (Instant::now(), Instant::now());
    while began.elapsed() < idle {
        datagrams.packet();
        if asked.elapsed() > secs(60) {
            asked = Instant::now();
            assert_eq!(datagrams.client.ask("GET_PARAMETER", "/cam", "").status, 200);
        }
    }
    assert_eq!(server.log.count("viewer left"), 0, "{}", server.log.text());
    if idle > secs(65) {
        assert!(never.next(SOON).is_none(), "it is disconnected");
    }
    assert_eq!(datagrams.client.ask("TEARDOWN", "/cam", "").status, 200);
    server.log.wait("viewer left .*transport=udp .*client left", SOON);
}

#[test]
fn without_datagrams_clients_go_over_to_their_connection() {
    let server = Server::start(&format!(
        "
        rtsp: {{listen: 0, udp: false}}
        feeds: {{card: {{pipeline: '{PICTURE} name=video'}}}}
        streams: {{cam: {{feed: card, video: {H264}}}}}
        "
    ));
    let address = player::address(&server);
    let mut client = Player::connect(address);
    let refused = client.ask("SETUP", "/cam/trackID=0", "Transport: RTP/AVP;unicast;client_port=4000-4001\r\n");
    assert!(refused.status == 461 && refused.body.contains("switched off"), "{refused:?}");
    let both = "Transport: RTP/AVP;unicast;client_port=4000-4001,RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
    assert!(client.ask("SETUP", "/cam/trackID=0", both).field("Transport").unwrap().starts_with("RTP/AVP/TCP"));
    let (is_good, said) = decoded(&format!("rtsp://{address}/cam"), &[]);
    assert!(is_good && said.lines().all(|line| line.contains("461")), "{said}");
}

#[test]
fn a_client_that_stops_reading_loses_its_own_data_only() {
    let server = Server::start(&format!(
        "
        rtsp: {{listen: 0}}
        feeds: {{card: {{pipeline: '{} name=video'}}}}
        streams: {{cam: {{feed: card, video: {{codec: h264, preset: ultrafast, bitrate: 6M, gop: 25}}}}}}
        ",
        PICTURE.replace("pattern=ball", "pattern=snow").replace("320", "640").replace("240", "360")
    ));
    let address = player::address(&server);
    let mut slow = Player::with_little_room(address);
    slow.play("/cam", &[0]);
    let mut good = Player::connect(address);
    good.play("/cam", &[0]);
    let mut last = None;
    let mut read = |good: &mut Player| {
        let (channel, bytes) = good.packet();
        if channel == 0 {
            let sequence = Packet::parse(bytes).unwrap().header.sequence;
            assert!(last.is_none_or(|last: u16| last.wrapping_add(1) == sequence), "a gap behind {last:?}");
            last = Some(sequence);
        }
    };
    // It is dropped when it has taken nothing for 10 s; the other one has everything meanwhile.
    let began = Instant::now();
    while server.log.count("viewer left .*no progress for 10 s") == 0 {
        assert!(began.elapsed() < secs(60));
        read(&mut good);
    }
    let dropped = server.get("/metrics").text();
    assert!(dropped.contains("voyandz_stream_dropped_readers_total{stream=\"cam\"} 1"), "{dropped}");
}

#[test]
fn a_client_that_was_held_up_goes_on_with_a_keyframe() {
    let server = Server::start(&format!(
        "
        rtsp: {{listen: 0}}
        feeds: {{card: {{pipeline: '{} name=video'}}}}
        streams: {{cam: {{feed: card, video: {{codec: h264, preset: ultrafast, bitrate: 6M, gop: 25}}}}}}
        ",
        PICTURE.replace("pattern=ball", "pattern=snow").replace("320", "640").replace("240", "360")
    ));
    let mut client = Player::with_little_room(player::address(&server));
    client.play("/cam", &[0]);
    client.packet();
    // Longer than the ring keeps, shorter than the limit. The ring is what there is to wait for.
    let began = Instant::now();
    wait_until("time", secs(8), || began.elapsed() > secs(7));
    let (mut last, mut gap) = (None, None);
    while gap.is_none() {
        let (channel, bytes) = client.packet();
        if channel != 0 {
            continue;
        }
        let packet = Packet::parse(bytes).unwrap();
        let sequence = packet.header.sequence;
        if last.is_some_and(|last: u16| last.wrapping_add(1) != sequence) {
            gap = Some(packet);
        }
        last = Some(sequence);
    }
    let first = gap.unwrap();
    assert_eq!((first.payload[0] & 0x1f, first.payload[3] & 0x1f), (24, 7), "parameter sets come first");
}

#[test]
fn who_may_not_watch_is_refused_and_who_may_no_more_ends() {
    let key = "canary-0123456789abcdef-0123456789";
    let yaml = |more: &str| {
        format!(
            "
            rtsp: {{listen: '127.0.0.1:0'}}
            auth: {{users: {{anna: {{password: {}, may: view cam}}}}, link_keys: {{k1: '{key}'}}{more}}}
            feeds: {{card: {{pipeline: '{PICTURE} name=video'}}}}
            streams:
              cam: {{feed: card, video: {H264}}}
              yard: {{feed: card, video: {H264}}}
            ",
            password_hash("pass-canary")
        )
    };
    let first = yaml("");
    let server = Server::start(&first);
    let address = player::address(&server);
    let mut client = Player::connect(address);
    assert_eq!(client.ask("OPTIONS", "/cam", "").status, 200, "players ask this first");
    let refused = client.ask("DESCRIBE", "/cam", "");
    assert_eq!((refused.status, refused.field("WWW-Authenticate")), (401, Some("Basic realm=\"voyandz\"")));
    let credentials = |password: &str| {
        let encoded = data_encoding::BASE64.encode(format!("anna:{password}").as_bytes());
        format!("Authorization: Basic {encoded}\r\n")
    };
    assert_eq!(client.ask("DESCRIBE", "/cam", &credentials("wrong")).status, 401);
    assert_eq!(client.ask("DESCRIBE", "/yard", &credentials("pass-canary")).status, 403);
    assert_eq!(client.ask("DESCRIBE", "/cam", &credentials("pass-canary")).status, 200);
    let tcp = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
    assert_eq!(client.ask("SETUP", "/cam/trackID=0", tcp).status, 401, "each request is asked");
    let response = client.ask("SETUP", "/cam/trackID=0", &format!("{tcp}{}", credentials("pass-canary")));
    client.take_session(&response);
    assert_eq!(client.ask("PLAY", "/cam", "").status, 401);
    assert_eq!(client.ask("PLAY", "/cam", &credentials("pass-canary")).status, 200);
    // ffmpeg with a password in the address, and with a signed link.
    let (is_good, said) = decoded(&format!("rtsp://anna:pass-canary@{address}/cam"), &["-rtsp_transport", "tcp"]);
    assert!(is_good && said.is_empty(), "{said}");
    let file = server.file();
    let signed = run(&["sign", "-f", file.to_str().unwrap(), "cam", "--for", "60s"]);
    let link = String::from_utf8(signed.stdout).unwrap();
    let link = link
        .lines()
        .next()
        .unwrap_or_default()
        .split_once("v=")
        .unwrap_or_else(|| panic!("{link} {}", String::from_utf8_lossy(&signed.stderr)))
        .1;
    let (is_good, said) = decoded(&format!("rtsp://{address}/cam?v={}", link.trim()), &["-rtsp_transport", "tcp"]);
    assert!(is_good && said.is_empty(), "{said}");
    server.log.wait("viewer left .*user=anna protocol=rtsp", SOON);
    // What plays ends when it is not permitted any more.
    server.reload(&first.replace("view cam", "view yard"));
    while client.next(SOON).is_some() {}
    server.log.wait("viewer left .*user=anna .*permission withdrawn", SOON);
}

/// Digest has a secret of its own, which is of another password here: who gets in did not use Basic.
#[test]
fn digest_is_for_users_that_have_a_secret_for_it() {
    let digest = password_digest("anna", "di9est-canary");
    let server = Server::start(&format!(
        "
        rtsp: {{listen: '127.0.0.1:0'}}
        auth: {{users: {{anna: {{password: {}, digest: {digest}, may: [view cam, publish studio]}}}}, anyone: status}}
        feeds:
          card: {{pipeline: '{PICTURE} name=video'}}
          studio: {{publish: {{}}}}
        streams:
          cam: {{feed: card, video: {H264}}}
          yard: {{feed: card, video: {H264}}}
          studio: {{feed: studio}}
        ",
        password_hash("other")
    ));
    let address = player::address(&server);
    let mut client = Player::connect(address);
    let refused = client.ask("DESCRIBE", "/cam", "");
    let ways: Vec<String> =
        refused.head.lines().filter_map(|line| line.strip_prefix("WWW-Authenticate: ")).map(str::to_owned).collect();
    let [sha256, md5, basic] = &ways[..] else { panic!("{ways:?}") };
    assert!(sha256.contains("algorithm=SHA-256, qop=\"auth\"") && md5.contains("algorithm=MD5"), "{ways:?}");
    assert_eq!(basic, "Basic realm=\"voyandz\"");
    let uri = format!("rtsp://{address}/cam");
    let mut answer = |way: &str, password: &str, uri: &str, target: &str| {
        let challenge = Challenge::parse(way.strip_prefix("Digest ").unwrap()).unwrap();
        let answer = challenge.answer(("anna", password), "DESCRIBE", uri, "0123");
        client.ask("DESCRIBE", target, &format!("Authorization: {answer}\r\n"))
    };
    for way in [sha256, md5] {
        // Without the protection it is the older form, which many cameras and players have.
        for way in [way.clone(), way.replace(", qop=\"auth\"", "")] {
            assert_eq!(answer(&way, "di9est-canary", &uri, "/cam").status, 200, "{way}");
            assert_eq!(answer(&way, "di9est-canary", "/cam", "/cam").status, 200, "the path alone");
        }
    }
    assert_eq!(answer(md5, "di9est-canary", "/yard", "/yard").status, 403);
    assert_eq!(answer(md5, "di9est-canary", &uri, "/yard").status, 401, "of another address");
    assert_eq!(answer(sha256, "wrong", &uri, "/cam").status, 401);
    // A nonce of before a restart of the server is answered with a new one, and is no guess.
    let old = md5.replace("nonce=\"", "nonce=\"AAAA");
    let stale = answer(&old, "di9est-canary", "/cam", "/cam");
    assert_eq!((stale.status, stale.head.matches("stale=true").count()), (401, 2), "{}", stale.head);
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("voyandz_auth_failures_total{mechanism=\"digest\"} 1\n"), "{metrics}");
    // As players and encoders do it.
    let url = format!("rtsp://anna:di9est-canary@{address}/cam");
    let (is_good, said) = decoded(&url, &["-rtsp_transport", "tcp"]);
    assert!(is_good && said.is_empty(), "{said}");
    server.log.wait("viewer left .*user=anna protocol=rtsp", SOON);
    if have("gst-launch-1.0") {
        let pipeline = format!(
            "rtspsrc location=rtsp://{address}/cam user-id=anna user-pw=di9est-canary protocols=tcp ! rtph264depay ! h264parse ! avdec_h264 ! fakesink num-buffers=10"
        );
        let output = Command::new("gst-launch-1.0").arg("-q").args(pipeline.split(' ')).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let to = format!("rtsp://anna:di9est-canary@{address}/studio");
    let _publisher = Publisher::start(&[LIVE, H264_AAC, &["-f", "rtsp", "-rtsp_transport", "tcp", &to]]);
    server.log.wait("publisher joined feed=studio .*user=anna protocol=rtsp", SOON);
    assert!(!server.log.text().contains("di9est-canary"));
    let shown = run(&["config", "-f", server.file().to_str().unwrap()]);
    let hash = digest.trim_matches('\'').split(':').nth(1).unwrap().to_owned();
    assert!(!String::from_utf8(shown.stdout).unwrap().contains(&hash));
}

#[test]
fn it_is_served_while_it_is_configured() {
    let yaml = |rtsp: &str| {
        format!(
            "{rtsp}\nfeeds: {{card: {{pipeline: '{PICTURE} name=video'}}}}\nstreams: {{cam: {{feed: card, video: {H264}}}}}\n"
        )
    };
    let server = Server::start(&yaml(""));
    assert_eq!(server.log.count("protocol=rtsp"), 0);
    server.reload(&yaml("rtsp: {listen: 0}"));
    let address = player::address(&server);
    let mut client = Player::connect(address);
    client.play("/cam", &[0]);
    // The same again, and other streams: nothing changes for who plays.
    server.reload(&yaml("rtsp: {listen: 0}").replace("streams: {", "streams: {other: {feed: card}, "));
    assert_eq!(client.ask("GET_PARAMETER", "/cam", "").status, 200);
    assert_eq!(Player::connect(address).ask("OPTIONS", "/other", "").status, 200);
    server.reload(&yaml(""));
    server.log.wait("no longer served protocol=rtsp|protocol=rtsp.*no longer served", SOON);
    wait_until("nobody listens", SOON, || {
        std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err()
    });
    // Who plays goes on.
    client.packet();
    assert_eq!(client.ask("TEARDOWN", "/cam", "").status, 200);
}

/// A feed of a camera says how its packets travel, and why it is refused.
#[test]
fn a_camera_is_fetched_by_the_transport_that_is_wanted() {
    let open = camera("");
    let closed = Server::start(&format!(
        "
        rtsp: {{listen: 0, udp: false}}
        auth: {{users: {{anna: {{password: {}, may: view cam}}}}}}
        feeds:
          card: {{pipeline: '{PICTURE} name=video'}}
        streams:
          cam: {{feed: card, video: {H264}}}
        ",
        password_hash("pass-canary")
    ));
    let (of_open, of_closed) = (player::address(&open), player::address(&closed));
    let good = format!("url: 'rtsp://anna:pass-canary@{of_closed}/cam'");
    let server = Server::start(&format!(
        "
        feeds:
          udp: {{url: 'rtsp://{of_open}/cam', transport: udp, latency: 0.2, mode: continuous}}
          auto: {{{good}, transport: auto, mode: continuous}}
          only: {{{good}, transport: udp, mode: continuous}}
          user: {{url: 'rtsp://{of_closed}/cam', mode: continuous}}
          path: {{url: 'rtsp://{of_open}/nothing', mode: continuous}}
        streams:
          udp: {{feed: udp}}
          auto: {{feed: auto}}
        "
    ));
    for (feed, expect) in [
        ("only", "the camera refuses this `transport`: try tcp, udp or auto"),
        ("user", "user or password is missing or wrong"),
        ("path", "the camera has nothing at this path"),
    ] {
        let found = wait_for(&server, "feeds", feed, |feed| feed["restarts"].as_u64() > Some(0));
        let error = found["last_error"].as_str().unwrap();
        assert!(error.contains(expect), "{feed}: {error}");
    }
    for feed in ["udp", "auto"] {
        wait_for(&server, "feeds", feed, |feed| feed["state"] == "running");
    }
    assert!(server.get("/auto.ts").take(20_000, SOON).len() >= 20_000);
    drop(server);
    open.log.wait("viewer left stream=cam .*protocol=rtsp transport=udp", SOON);
    closed.log.wait("viewer left stream=cam .*protocol=rtsp transport=tcp", SOON);
}

#[test]
fn ffmpeg_and_gstreamer_play_encrypted() {
    let server = camera("tls: {own: authority, names: localhost, plain: none}\n");
    let url = format!("rtsps://{}/cam", player::address(&server));
    let (is_good, said) = decoded(&url, &[]);
    assert!(is_good && said.is_empty(), "{said}");
    let left = "viewer left stream=cam .*protocol=rtsp transport=tls";
    let line = server.log.wait(left, SOON);
    assert!(line.contains("gaps=0") && !line.contains("bytes=0 "), "{line}");
    if have("gst-launch-1.0") {
        let pipeline = format!(
            "rtspsrc location={url} tls-validation-flags=0 latency=0 ! rtph264depay ! h264parse ! avdec_h264 ! fakesink num-buffers=30"
        );
        let output = Command::new("gst-launch-1.0").arg("-q").args(pipeline.split(' ')).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        server.log.wait_nth(left, 2, SOON);
    }
}

/// The session of TLS goes to the thread that writes with what it has read already.
#[test]
fn requests_in_one_record_with_play_are_answered() {
    let server = camera("tls: {own: authority, names: localhost, plain: none}\n");
    let address = player::address(&server);
    let authority = std::fs::read_to_string(server.file().with_file_name("authority").join("ca.pem")).unwrap();
    let mut client = connect(address, "localhost", &authority).unwrap();
    let url = format!("rtsp://{address}/cam");
    let setup =
        format!("SETUP {url}/trackID=0 RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n");
    let head = client.ask(&setup).unwrap();
    let session = head.split("Session: ").nth(1).unwrap().split(';').next().unwrap();
    let request =
        |method: &str, number: u32| format!("{method} {url} RTSP/1.0\r\nCSeq: {number}\r\nSession: {session}\r\n\r\n");
    let head = client.ask(&(request("PLAY", 2) + &request("GET_PARAMETER", 3))).unwrap();
    assert!(head.starts_with("RTSP/1.0 200 OK\r\nCSeq: 2\r\n"), "{head}");
    client.send(request("TEARDOWN", 4).as_bytes());
    assert!(client.ends(SOON), "the session of TLS says so");
    server.log.wait("viewer left stream=cam .*protocol=rtsp transport=tls .*reason=\"client left\"", SOON);
}
