//! WebRTC: whatever comes from others, it costs them their session, and nobody else anything.

use crate::{
    rig::{
        Launch, SOON, Server,
        browser::{Browser, have_browser},
        have_failpoints, http, media, millis, mkv,
        peer::Peer,
        process,
        script::{H264, PICTURE, TONE},
        secs, times, wait_until,
    },
    webrtc::{OFFER, PUBLISHER, number, play, player, post},
};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};
use str0m::{
    Candidate, Input, Output, RtcConfig,
    change::SdpAnswer,
    media::{Direction, MediaKind},
    net::{Protocol, Receive},
};

fn film() -> String {
    format!(
        "
        webrtc: {{}}
        feeds:
          cam: {{pipeline: '{PICTURE}', mode: continuous}}
          mic: {{pipeline: '{TONE}', mode: continuous}}
        streams:
          film: {{feeds: [cam, mic], video: {H264}, audio: {{codec: opus}}}}
        "
    )
}

/// The port of the media that an answer names.
fn media_port(answer: &str) -> u16 {
    let candidate = answer.lines().find(|line| line.starts_with("a=candidate") && line.contains(" udp ")).unwrap();
    candidate.split(' ').nth(5).unwrap().parse().unwrap()
}

/// A page that plays, with what the server answered to it.
fn watching(server: &Server) -> (Browser, String) {
    let browser = player(server);
    play(&browser, "/film/whep", "['video', 'audio']");
    browser.wait("return (window.measured?.video?.framesDecoded ?? 0) > 10 || window.failure", secs(20));
    let answer = browser.run("return answer").as_str().unwrap().to_owned();
    (browser, answer)
}

fn assert_continues(browser: &Browser) {
    let before = number(browser, "measured.video.framesDecoded");
    browser.wait(&format!("return window.measured.video.framesDecoded > {before} + 50"), secs(20));
}

#[test]
fn what_is_no_datagram_of_a_session_disturbs_nobody() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&film());
    let (browser, answer) = watching(&server);
    let port = media_port(&answer);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // Requests of ICE by a name of nobody, and by that of the viewer without its password.
    let own = answer.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap();
    let requests = ["nobody:their".to_owned(), format!("{own}:theirs")].map(|name| {
        let padded = name.len().next_multiple_of(4);
        let mut request = vec![0, 1, 0, 4 + padded as u8, 0x21, 0x12, 0xa4, 0x42];
        request.extend([7; 12]);
        request.extend([0, 6, 0, name.len() as u8]);
        request.extend(name.bytes());
        request.resize(24 + padded, 0);
        request
    });
    let before = process::resident(server.pid());
    for number in 0..times("VOYANDZ_GARBAGE", 100_000) {
        // All that the first byte may be: STUN, ZRTP, DTLS, TURN, RTP, and what is none of them.
        let garbage = [&number.to_le_bytes()[..], &[number as u8; 90]].concat();
        let datagram = if number % 2 == 0 { &garbage } else { &requests[number as usize / 2 % 2] };
        socket.send_to(datagram, ("127.0.0.1", port)).unwrap();
    }
    for number in 0..times("VOYANDZ_BROKEN_OFFERS", 200) as usize {
        let kept = |at: usize| !(at * 7 + number).is_multiple_of(20 + number % 200);
        let broken: String = OFFER.chars().enumerate().filter(|(at, _)| kept(*at)).map(|(_, c)| c).collect();
        let status = post(&server, "/film/whep", &broken).status;
        // An address makes so many offers in a row, and so many that are answered.
        assert!([201, 400, 422, 429, 503].contains(&status), "{status}");
    }
    assert_continues(&browser);
    assert_eq!(server.log.count("panicked"), 0);
    let grown = process::resident(server.pid()).saturating_sub(before);
    println!("resident memory has grown by {grown} kB");
    assert!(grown < 64 << 10, "{grown}");
}

#[test]
fn a_panic_while_an_offer_is_read_costs_this_offer() {
    if !have_failpoints() {
        return;
    }
    let server = Launch::new(&film()).env("FAILPOINTS", "webrtc-offer=1*panic(crafted)->off").start();
    let mut refused = post(&server, "/film/whep", OFFER);
    let text = refused.text();
    assert_eq!(refused.status, 400, "{text}");
    assert!(text.contains("the offer cannot be answered"), "{text}");
    assert_eq!(post(&server, "/film/whep", OFFER).status, 201);
}

/// The other one has sent all that it needs to by then.
#[test]
fn a_panic_while_a_datagram_is_handled_costs_its_session() {
    if !have_failpoints() {
        return;
    }
    let server = Launch::new(&film()).env("FAILPOINTS", "webrtc-receive=300*off->1*panic->off").start();
    let mut peers = [(); 2].map(|()| Peer::connect(&server, "/film/whep", &["echo"]));
    peers.iter_mut().for_each(|peer| peer.wait_open("echo"));
    let [ill, well] = &mut peers;
    wait_until("the panic", SOON, || {
        ill.say("echo", true, b"ill");
        ill.run(millis(5));
        server.log.count("viewer left .*protocol=webrtc .*internal error") == 1
    });
    assert!(well.say("echo", true, b"well"));
    assert_eq!(well.next("echo"), (true, b"well".to_vec()));
    assert_eq!(server.log.count("viewer left .*protocol=webrtc"), 1);
    assert_eq!(post(&server, "/film/whep", OFFER).status, 201);
}

/// A client that answers ICE and nothing else: it gets no media, and leaves the server in time.
#[test]
fn a_peer_that_never_finishes_dtls_is_sent_away() {
    let server = Server::start(&film());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let local = socket.local_addr().unwrap();
    let mut rtc = RtcConfig::new().build(Instant::now());
    rtc.add_local_candidate(Candidate::host(local, "udp").unwrap());
    let mut api = rtc.sdp_api();
    api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
    let (offer, pending) = api.apply().unwrap();
    let mut answer = post(&server, "/film/whep", &offer.to_sdp_string());
    let text = answer.text();
    assert_eq!(answer.status, 201, "{text}");
    let began = Instant::now();
    rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&text).unwrap()).unwrap();
    let (mut buffer, mut others) = (vec![0; 2000], 0);
    while server.log.count("viewer left.*protocol=webrtc") == 0 {
        assert!(began.elapsed() < secs(25), "it is still there");
        match rtc.poll_output().unwrap() {
            Output::Transmit(sent) if sent.contents[0] < 20 => {
                socket.send_to(&sent.contents, sent.destination).unwrap();
            }
            Output::Timeout(due) => {
                let pause = due.saturating_duration_since(Instant::now()).clamp(millis(1), millis(100));
                socket.set_read_timeout(Some(pause)).unwrap();
                if let Ok((length, source)) = socket.recv_from(&mut buffer) {
                    others += usize::from(buffer[0] > 63);
                    if buffer[0] < 20 {
                        let receive = Receive::new(Protocol::Udp, source, local, &buffer[..length]).unwrap();
                        rtc.handle_input(Input::Receive(Instant::now(), receive)).unwrap();
                    }
                }
                rtc.handle_input(Input::Timeout(Instant::now())).unwrap();
            }
            _ => {}
        }
    }
    server.log.wait("viewer left.*protocol=webrtc.*not connected in time", secs(1));
    assert_eq!(others, 0, "nothing is sent that is not encrypted");
    assert_eq!(server.log.count("panicked"), 0);
}

/// Records of a data channel are handled by the thread that receives for all. Some that are forged, and a client that sends as fast as it can
/// and reads little, delay nobody.
#[test]
fn data_channels_that_are_flooded_delay_nobody() {
    let server = Server::start(&film());
    let mut peer = Peer::connect(&server, "/film/whep", &["echo"]);
    peer.wait_open("echo");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut flooding = Peer::connect(&server, "/film/whep", &["echo"]);
            flooding.wait_open("echo");
            let mut sent = 0u32;
            while !is_over.load(Ordering::Relaxed) {
                while flooding.say("echo", false, &[7; 4096]) {
                    sent += 1;
                }
                flooding.run(millis(1));
                // Beside them, as if they were of this session.
                (0..64).for_each(|_| flooding.forge(&[23, 254, 253, 0, 1, 0, 0, 0, 0, 255, 255, 0, 64]));
            }
            sent
        });
        let mut slowest = millis(0);
        let began = Instant::now();
        while began.elapsed() < secs(3) {
            let sent = Instant::now();
            assert!(peer.say("echo", true, b"hello"));
            assert_eq!(peer.next("echo"), (true, b"hello".to_vec()));
            slowest = slowest.max(sent.elapsed());
        }
        is_over.store(true, Ordering::Relaxed);
        let sent = flood.join().unwrap();
        println!("the slowest message took {slowest:?} beside {sent} of the other");
        assert!(sent > 100, "{sent}");
        assert!(slowest < secs(1), "{slowest:?}");
    });
    assert_eq!(server.log.count("panicked"), 0);
}

/// A request from an address of this machine, whose response is read to its end.
fn post_from(from: Ipv4Addr, server: SocketAddr) -> std::io::Result<u16> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&server.into())?;
    let mut socket = TcpStream::from(socket);
    let length = OFFER.len();
    let head = "Connection: close\r\nContent-Type: application/sdp\r\n";
    socket.write_all(
        format!("POST /film/whep HTTP/1.1\r\nHost: a\r\n{head}Content-Length: {length}\r\n\r\n{OFFER}").as_bytes(),
    )?;
    let mut response = String::new();
    socket.read_to_string(&mut response)?;
    Ok(response.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0))
}

#[test]
fn thousands_of_offers_are_refused_and_viewers_stay() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&film());
    let (browser, _) = watching(&server);
    let address = server.address();
    let (began, refused) = (Instant::now(), AtomicUsize::new(0));
    // Of two addresses: each may make as many as a page needs that reloads, and no more.
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            let refused = &refused;
            scope.spawn(move || {
                for _ in 0..250 {
                    let from = Ipv4Addr::new(127, 0, 2, 1 + thread % 2);
                    match post_from(from, address) {
                        Ok(201) => {}
                        // A server that has enough of connections may cut one.
                        Ok(429 | 503) | Err(_) => {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(status) => panic!("{status}"),
                    }
                }
            });
        }
    });
    let refused = refused.load(Ordering::Relaxed);
    println!("2000 offers in {:?}, {refused} refused", began.elapsed());
    assert!(refused > 200, "{refused}");
    assert_continues(&browser);
    wait_until("an offer is answered again", secs(20), || post(&server, "/film/whep", OFFER).status == 201);
    assert_eq!(server.log.count("panicked"), 0);
}

/// Forwards datagrams between a client and the server, and sends each packet of media or reports to the server once more as it was, and
/// once damaged.
struct Wire {
    port: u16,
    replayed: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl Wire {
    fn start(server: u16) -> Self {
        let (near, far) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let (replayed, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let wire =
            Self { port: near.local_addr().unwrap().port(), replayed: replayed.clone(), is_over: is_over.clone() };
        let client = Arc::new(std::sync::Mutex::new(None));
        far.connect(("127.0.0.1", server)).unwrap();
        let backward = (near.try_clone().unwrap(), far.try_clone().unwrap(), client.clone(), is_over.clone());
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(millis(50))).unwrap();
        }
        std::thread::spawn(move || {
            let mut buffer = [0; 2000];
            while !is_over.load(Ordering::Relaxed) {
                let Ok((length, source)) = near.recv_from(&mut buffer) else { continue };
                *client.lock().unwrap() = Some(source);
                let _ = far.send(&buffer[..length]);
                if (128..192).contains(&buffer[0]) {
                    let _ = far.send(&buffer[..length]);
                    buffer[length - 1] ^= 1;
                    let _ = far.send(&buffer[..length]);
                    // As if it were the newest one.
                    buffer[3] = buffer[3].wrapping_add(9);
                    let _ = far.send(&buffer[..length]);
                    replayed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        std::thread::spawn(move || {
            let (near, far, client, is_over) = backward;
            let mut buffer = [0; 2000];
            while !is_over.load(Ordering::Relaxed) {
                let Ok(length) = far.recv(&mut buffer) else { continue };
                if let Some(client) = *client.lock().unwrap() {
                    let _ = near.send_to(&buffer[..length], client);
                }
            }
        });
        wire
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

#[test]
fn packets_that_are_replayed_or_forged_change_nothing() {
    if !have_browser() {
        return;
    }
    let server = Server::start(
        "
        webrtc: {tcp: false}
        feeds: {studio: {publish: {key: s3cret}}}
        streams: {studio: {feed: studio}}
        ",
    );
    let mut probe = http::send(
        server.address(),
        &format!(
            "POST /studio/whip HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cret\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{}",
            OFFER.len(),
            OFFER.replace("recvonly", "sendonly")
        ),
    );
    let port = media_port(&probe.text());
    let session = probe.header("location").unwrap().trim_start_matches(&server.url("")).to_owned();
    let delete = format!("DELETE {session} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cret\r\n\r\n");
    assert_eq!(http::send(server.address(), &delete).status, 200);
    let wire = Wire::start(port);
    let browser = player(&server);
    browser.run(PUBLISHER);
    browser.run(&format!(
        "const ask = window.fetch;
        window.fetch = async (...given) => {{
            const response = await ask(...given);
            const text = (await response.text()).replaceAll(' {port} typ', ' {} typ');
            return new Response(text, {{ status: response.status, headers: response.headers }});
        }}",
        wire.port
    ));
    browser.run("publish('/studio/whip', 'VP8', 'L1T1').catch((failure) => { window.failure = String(failure); })");
    server.log.wait("publisher joined.*feed=studio", secs(20));
    let bytes = server.get("/studio.mkv").collect(secs(4));
    let frames = media::Frames::of(mkv::trim(&bytes), false);
    let replayed = wire.replayed.load(Ordering::Relaxed);
    println!("{replayed} packets replayed and forged; {} frames, {} of sound", frames.pictures.len(), frames.sounds);
    assert!(replayed > 200, "{replayed}");
    assert!(frames.complaints.is_empty(), "{}", frames.complaints);
    // Twenty-five frames and fifty packets of sound a second, and none twice.
    assert!((50..130).contains(&frames.pictures.len()), "{}", frames.pictures);
    assert!((120..230).contains(&frames.sounds), "{}", frames.sounds);
    assert_eq!(server.log.count("panicked"), 0);
}
