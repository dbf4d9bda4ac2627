//! What VLC asks by RTSP, word for word: a Debian package of it has no RTSP. `tests/data/rtsp/` has its requests, and what is expected.

use crate::rig::{
    SOON, Server,
    player::{self, Item, Player, Response},
    script::{H264, PICTURE, TONE},
};
use std::{
    collections::BTreeMap,
    net::{SocketAddr, UdpSocket},
};
use voyandz::media::rtp::Packet;

/// A request and what is expected of its response, from a file.
struct Step<'a> {
    request: String,
    status: u16,
    /// What is in its head.
    has: &'a str,
}

fn steps<'a>(transcript: &'a str) -> Vec<Step<'a>> {
    let mut blocks = transcript.split("\n\n").filter(|block| !block.starts_with('#'));
    std::iter::from_fn(|| {
        let (request, expected) = (blocks.next()?, blocks.next()?);
        let expected = expected.trim_end().strip_prefix("> ").unwrap();
        let (status, has) = expected.split_once(' ').unwrap_or((expected, ""));
        let request = request.lines().map(|line| format!("{line}\r\n")).collect::<String>() + "\r\n";
        Some(Step { request, status: status.parse().unwrap(), has })
    })
    .collect()
}

/// The next response; packets that come before it are counted.
fn response(client: &mut Player, packets: &mut usize) -> Response {
    loop {
        match client.next(SOON).expect("a response") {
            Item::Response(response) => return response,
            Item::Packet(..) => *packets += 1,
        }
    }
}

/// Sends what a transcript says. After each response, `then` gets its method and what is known of the session.
fn replay(
    server: &Server,
    transcript: &str,
    (rtp, rtcp): (u16, u16),
    mut then: impl FnMut(&str, &Response, &mut Player),
) -> usize {
    let mut client = Player::connect(player::address(server));
    let mut words =
        BTreeMap::from([("{url}", client.url("/cam")), ("{rtp}", rtp.to_string()), ("{rtcp}", rtcp.to_string())]);
    let mut packets = 0;
    let steps = steps(transcript);
    assert!(steps.len() > 5, "{}", steps.len());
    for Step { request, status, has } in steps {
        let fill = |text: &str| words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value));
        let (request, has) = (fill(&request), fill(has));
        client.send(request.as_bytes());
        let found = response(&mut client, &mut packets);
        assert!(found.status == status && found.head.contains(&has), "{request}{found:?}");
        let number = request.lines().find_map(|line| line.strip_prefix("CSeq: ")).unwrap();
        assert_eq!(found.field("CSeq"), Some(number), "{request}");
        if let Some(session) = found.field("Session") {
            let id = session.split(';').next().unwrap().to_owned();
            assert_eq!(*words.entry("{session}").or_insert_with(|| id.clone()), id);
        }
        then(request.split(' ').next().unwrap(), &found, &mut client);
    }
    packets
}

#[test]
fn it_goes_over_to_its_connection() {
    let server = Server::start(&format!(
        "
        rtsp: {{listen: 0, udp: false}}
        feeds: {{card: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}}}
        streams: {{cam: {{feed: card, video: {H264}, audio: aac}}}}
        "
    ));
    let transcript = include_str!("../data/rtsp/vlc-over-to-tcp.txt");
    let mut channels = Vec::new();
    replay(&server, transcript, (50_000, 50_001), |method, _, client| {
        if method == "PLAY" {
            // Reports of the receiver come between its requests, as it sends them: of it, and with its name.
            (0..40).for_each(|_| channels.push(client.packet().0));
            client.send(b"$\x01\0\x08\x80\xc9\0\x01\x12\x34\x56\x78");
        }
    });
    assert!([0, 1, 2, 3].iter().all(|channel| channels.contains(channel)), "{channels:?}");
    let line = server.log.wait("viewer left stream=cam .*protocol=rtsp transport=tcp", SOON);
    assert!(line.contains("gaps=0") && line.contains("reason=\"client left\""), "{line}");
}

#[test]
fn it_plays_datagrams() {
    let server = Server::start(&format!(
        "
        rtsp: {{listen: 0}}
        feeds: {{card: {{pipeline: '{PICTURE} name=video'}}}}
        streams: {{cam: {{feed: card, video: {H264}}}}}
        "
    ));
    let socket = || UdpSocket::bind("127.0.0.1:0").unwrap();
    let (rtp, rtcp) = (socket(), socket());
    rtp.set_read_timeout(Some(SOON)).unwrap();
    let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
    let address = player::address(&server);
    let transcript = include_str!("../data/rtsp/vlc-datagrams.txt");
    replay(&server, transcript, (port(&rtp), port(&rtcp)), |method, response, _| match method {
        "SETUP" => {
            let transport = response.field("Transport").unwrap();
            let ports = transport.split_once("server_port=").unwrap().1.split(';').next().unwrap();
            let (to_rtp, to_rtcp) = ports.split_once('-').unwrap();
            for (from, to) in [(&rtp, to_rtp), (&rtp, to_rtp), (&rtcp, to_rtcp), (&rtcp, to_rtcp)] {
                let to = SocketAddr::new(address.ip(), to.parse().unwrap());
                from.send_to(&0xFEED_FACEu32.to_ne_bytes(), to).unwrap();
            }
        }
        "PLAY" => {
            let mut buffer = [0; 2048];
            for number in 0..20 {
                let length = rtp.recv(&mut buffer).unwrap();
                let packet = Packet::parse(buffer[..length].to_vec().into()).unwrap();
                // The parameter sets of the newest keyframe come first.
                assert!(number > 0 || packet.payload[0] & 0x1f == 24, "{:?}", packet.header);
            }
        }
        _ => {}
    });
    let line = server.log.wait("viewer left stream=cam .*protocol=rtsp transport=udp", SOON);
    assert!(line.contains("gaps=0") && line.contains("reason=\"client left\""), "{line}");
}
