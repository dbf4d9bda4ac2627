//! SRT, with the clients that people have, over networks as they are.

use crate::rig::{
    Launch, SOON, Server, have, holds_for, log, media, millis,
    publisher::{H264_AAC, LIVE, Publisher},
    secs,
    server::{password_hash, run},
    srt::{Caller, Lossy, ffmpeg, gstreamer, port},
    state, ts, wait_until,
};
use std::{
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// A camera with sound, as one stream of all containers, and these keys.
fn yaml(bitrate: &str, more: &str) -> String {
    let picture =
        "videotestsrc is-live=true pattern=snow ! video/x-raw,width=320,height=240,framerate=25/1 ! queue name=video";
    let sound = "audiotestsrc is-live=true ! queue name=audio";
    format!(
        "pages: {{clients: true}}\n\
         feeds: {{cam: {{mode: continuous, pipeline: '{picture} {sound}'}}}}\n\
         streams:\n  cam0: {{feed: cam, video: {{codec: h264, preset: ultrafast, bitrate: {bitrate}, gop: 50}}, audio: {{codec: aac}}}}\n{more}\n"
    )
}

fn listening(bitrate: &str) -> String {
    yaml(bitrate, "srt: {listen: '127.0.0.1:0'}")
}

/// A server whose stream runs already.
fn started(yaml: &str) -> Server {
    let server = Server::start(yaml);
    // Whoever comes first waits for the encoder.
    let mut first = server.get("/cam0.ts");
    first.take(20_000, SOON);
    server
}

/// D21: with every way to write a stream id.
#[test]
fn ffmpeg_plays_every_dialect_of_a_stream_id() {
    let server = started(&yaml("1M", "srt: {listen: '127.0.0.1:0', stream: cam0}"));
    let ids = [
        "",
        "streamid=cam0",
        "streamid=/cam0.ts",
        "streamid=read:cam0",
        "streamid=#!::r=cam0,m=request",
        "streamid=%23!::r=/cam0",
    ];
    std::thread::scope(|scope| {
        for id in ids {
            let address = port(&server);
            scope.spawn(move || assert_eq!(ffmpeg(address, id, "1"), (true, String::new()), "{id}"));
        }
    });
    let left = server.log.matching("viewer left stream=cam0 .* protocol=srt .*reason=\"client left\"");
    assert_eq!(left.len(), ids.len(), "{}", server.log.text());
}

/// Row 35: 5 % of loss lose nothing at a latency of ten round trips, nor 2 % at the default one, and it shows what that took.
#[test]
fn five_percent_of_loss_lose_nothing() {
    if !have("gst-launch-1.0") {
        return;
    }
    let mut resent = 0;
    for (latency, seed, loss) in [("0.3", 1, 50), ("0.2", 2, 50), ("0.12", 3, 20)] {
        let server = started(&yaml("4M", &format!("srt: {{listen: '127.0.0.1:0', latency: {latency}}}")));
        let network = Lossy::start(port(&server), loss, millis(10), seed);
        let bytes = gstreamer(network.address, "cam0", &[], 1200);
        let (faults, announced) = ts::continuity(&bytes);
        assert_eq!((faults, announced), (Vec::new(), 0), "latency {latency}, seed {seed}");
        media::assert_decodes(&ts::trim(&bytes));
        let lost = network.lost.load(Ordering::Relaxed);
        assert!(lost > 10, "{lost}");
        let metrics = server.get("/metrics").text();
        let count = metrics.lines().find_map(|line| line.strip_prefix("voyandz_srt_packets_total{what=\"resent\"} "));
        resent += count.unwrap().parse::<u64>().unwrap();
    }
    assert!(resent > 20, "{resent}");
}

/// Whoever connects over a bad line connects: handshakes that are lost are repeated, and their answers too.
#[test]
fn callers_connect_when_a_tenth_is_lost() {
    let server = started(&listening("1M"));
    let address = port(&server);
    std::thread::scope(|scope| {
        for seed in 0..10 {
            scope.spawn(move || {
                let network = Lossy::start(address, 100, millis(10), 77 + seed);
                let (is_well, said) = ffmpeg(network.address, "streamid=cam0", "0.5");
                // What is lost for good at this loss damages a frame, and no more.
                assert!(is_well, "seed {seed}: {said}");
            });
        }
    });
}

/// F24: keys of each length, which change while the stream runs.
#[test]
fn encrypted_streams_are_for_those_with_the_passphrase() {
    let phrase = "correct horse battery";
    let server =
        started(&yaml("4M", &format!("srt: {{listen: '127.0.0.1:0', passphrase: {phrase}, key_refresh: 256}}")));
    let address = port(&server);
    std::thread::scope(|scope| {
        for length in [16, 24, 32] {
            let query = format!("streamid=cam0&pbkeylen={length}&passphrase={phrase}");
            // A thousand packets: three keys.
            scope.spawn(move || assert_eq!(ffmpeg(address, &query, "3"), (true, String::new()), "{length}"));
        }
    });
    let rekeyed = server.log.matching("viewer left .*protocol=srt");
    assert!(rekeyed.iter().all(|line| log::field(line, "rekeyed").parse::<u32>().unwrap() >= 2), "{rekeyed:#?}");
    let (is_well, said) = ffmpeg(address, "streamid=cam0&passphrase=incorrect horse", "1");
    assert!(!is_well && said.contains("Incorrect passphrase"), "{said}");
    let line = server.log.wait("connection refused .*code=1010 reason=\"the passphrase is wrong\"", SOON);
    assert!(log::field(&line, "peer").starts_with("127.0.0.1:"));
    let (is_well, said) = ffmpeg(address, "streamid=cam0", "1");
    assert!(!is_well && said.contains("Password required or unexpected"), "{said}");
    server.log.wait("connection refused .*code=1011", SOON);
    // A guess is a guess, whatever the entrance.
    for _ in 0..5 {
        assert!(!ffmpeg(address, "streamid=cam0&passphrase=incorrect horse", "1").0);
    }
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("voyandz_auth_failures_total{mechanism=\"throttled\"}"), "{metrics}");
    assert!(!server.log.text().contains(phrase));
}

/// The same decision as for viewers of HTTP, and each refusal has its number.
#[test]
fn who_may_not_is_refused_with_the_reason() {
    let hash = password_hash("pass-canary");
    let auth = format!(
        "auth:\n  users: {{anna: {{password: {hash}, may: 'view cam0'}}, otto: {{password: {hash}, may: status}}}}\n\
         srt: {{listen: '127.0.0.1:0'}}"
    );
    let server = Launch::new(&yaml("1M", &auth)).start();
    let address = port(&server);
    let mut number = 1;
    let mut check = |id: &str, expect: Result<(), u32>| {
        number += 1;
        let caller = Caller::new(address, number, id);
        let found = caller.connect();
        assert_eq!(found.map(|_| ()), expect, "{id}");
        if let Ok(socket) = found {
            caller.control(5, socket);
        }
    };
    check("cam0", Err(2401));
    check("#!::r=cam0,u=anna,s=wrong", Err(2401));
    check("#!::r=cam0,u=anna,s=pass-canary", Ok(()));
    check("read:cam0:anna:pass-canary", Ok(()));
    check("cam0?user=anna&pass=pass-canary", Ok(()));
    check("#!::r=cam0,u=otto,s=pass-canary", Err(2403));
    check("#!::r=nothing,u=anna,s=pass-canary", Err(2404));
    check("#!::r=cam0,m=conference", Err(2400));
    check(&format!("#!::r={}", "x".repeat(506)), Err(2404));
    check(&"x".repeat(516), Err(1004));
    let line = server.log.wait("viewer left stream=cam0 .*user=anna protocol=srt", SOON);
    assert_eq!(log::field(&line, "reason"), "client left");
    assert!(!server.log.text().contains("pass-canary"));
}

/// Row 45: nothing that comes before a cookie is kept, and nothing of others counts.
#[test]
fn garbage_floods_and_forged_packets_harm_nobody() {
    let server = started(&listening("1M"));
    let address = port(&server);
    let viewer = Caller::new(address, 5, "cam0");
    let socket = viewer.connect().unwrap();
    state::wait_for(&server, "streams", "cam0", |stream| stream["clients"].as_array().unwrap().len() == 1);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.connect(address).unwrap();
    let mut seed = 1u32;
    for length in (0..1500).cycle().take(3000) {
        let bytes = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        });
        let _ = stranger.send(&bytes.take(length).collect::<Vec<_>>());
    }
    // The end of a connection, by one who is not its peer.
    let end = [0x8005_0000, 0, 0, socket, 0].into_iter().flat_map(u32::to_be_bytes).collect::<Vec<_>>();
    let _ = stranger.send(&end);
    let flood = Caller::new(address, 6, "cam0");
    let cookie = flood.induce();
    // A cookie that is not its own is not answered.
    flood.conclude(cookie ^ 1);
    assert!(!flood.hears(millis(300)));
    // Nor is that of another address.
    let other = Caller::new(address, 6, "cam0");
    other.conclude(cookie);
    assert!(!other.hears(millis(300)));
    let connections = || {
        let metrics = server.get("/metrics").text();
        let line = metrics.lines().find_map(|line| line.strip_prefix("voyandz_http_connections "));
        line.unwrap().parse::<f64>().unwrap()
    };
    let before = connections();
    for number in 10..1010 {
        Caller::new(address, number, "cam0").induce();
    }
    assert_eq!(connections(), before);
    // An answer that was lost is given again, and is the same connection.
    flood.conclude(cookie);
    let (kind, socket_of_flood, _) = flood.answer();
    flood.conclude(cookie);
    assert_eq!((kind, flood.answer()), (0xFFFF_FFFF, (0xFFFF_FFFF, socket_of_flood, 0)));
    // The viewer is there still, and gets its stream.
    assert!(viewer.hears(secs(2)));
    assert!(server.log.matching("viewer left .*protocol=srt").is_empty());
    assert_eq!(ffmpeg(address, "streamid=cam0", "1"), (true, String::new()));
}

/// An address that is refused again and again is not listened to for the rest of the second.
#[test]
fn refusals_without_an_end_are_not_answered() {
    let server = started(&listening("1M"));
    let address = port(&server);
    let viewer = Caller::new(address, 5, "cam0");
    viewer.connect().unwrap();
    // Each with a stream that is not there, from one socket, whose cookie is good for all.
    let flood = Caller::new(address, 6, "nothing");
    let cookie = flood.induce();
    let began = Instant::now();
    for number in 100..2100 {
        flood.conclude_as(number, cookie);
    }
    let refused = || {
        let metrics = server.get("/metrics").text();
        let line =
            metrics.lines().find(|line| line.starts_with("voyandz_srt_refused_total{reason=\"no such stream\"}"));
        line.and_then(|line| line.rsplit_once(' ')).map_or(0, |(_, count)| count.parse::<u64>().unwrap())
    };
    wait_until("it is refused", SOON, || refused() > 0);
    // It gets its answer a second later, and no caller waits longer than that.
    let late = Caller::new(address, 7, "cam0");
    let cookie = late.induce();
    wait_until("a caller of the same address is accepted", secs(3), || {
        late.conclude(cookie);
        late.hears(millis(100))
    });
    let seconds = began.elapsed().as_secs() + 2;
    // Those that are decided at the same time are refused together.
    let count = refused();
    assert!(count <= 64 * seconds, "{count} in {seconds} s");
    assert!(viewer.hears(secs(2)));
    assert!(server.log.matching("viewer left .*protocol=srt").is_empty());
}

/// A viewer is one like any other: in the state, in the metrics, at the end.
#[test]
fn viewers_are_counted_and_told_the_end() {
    let server = started(&listening("1M"));
    let viewer = Caller::new(port(&server), 5, "cam0");
    let began = Instant::now();
    viewer.connect().unwrap();
    let connected = began.elapsed();
    // From the newest keyframe, at once.
    let mut buffer = [0; 1500];
    let first = loop {
        let length = viewer.socket.recv(&mut buffer).unwrap();
        if buffer[0] & 0x80 == 0 {
            break length;
        }
    };
    let began = began.elapsed();
    assert!(first > 16 && (first - 16) % 188 == 0 && buffer[16] == 0x47, "{first}");
    assert!(began < connected + millis(700), "{connected:?} {began:?}");
    let stream = state::wait_for(&server, "streams", "cam0", |stream| {
        stream["clients"]
            .as_array()
            .is_some_and(|clients| clients.first().is_some_and(|one| one["bytes_out"].as_u64() > Some(0)))
    });
    assert!(stream["clients"][0]["address"].as_str().unwrap().starts_with("127.0.0.1"), "{stream:#}");
    assert!(server.get("/metrics").text().contains("voyandz_srt_accepted_total 1\n"));
    // It answers nothing, and is gone after a while.
    let line = server.log.wait("viewer left .*protocol=srt", secs(10));
    assert_eq!(log::field(&line, "reason"), "no response for 5 s");
    let viewer = Caller::new(port(&server), 6, "cam0");
    viewer.connect().unwrap();
    server.terminate();
    let is_end = |bytes: &[u8]| bytes[0] == 0x80 && bytes[1] == 5;
    wait_until("the end is told", SOON, || viewer.socket.recv(&mut buffer).is_ok() && is_end(&buffer));
}

/// A changed configuration ends what it does not permit any more, and nothing else.
#[test]
fn another_configuration_counts_for_the_port() {
    let server = started(&listening("1M"));
    let viewer = Caller::new(port(&server), 5, "cam0");
    let (socket, done) = (viewer.connect().unwrap(), AtomicBool::new(false));
    thread::scope(|scope| {
        // A reload takes longer on a busy machine than a silent viewer stays.
        scope.spawn(|| {
            holds_for(secs(60), || {
                viewer.control(1, socket);
                !done.load(Ordering::Relaxed)
            })
        });
        server.reload(&yaml("1M", "srt: {listen: '127.0.0.1:0', latency: 0.3}"));
        assert!(server.log.matching("viewer left .*protocol=srt").is_empty());
        server.reload(&yaml("1M", "srt: {listen: '127.0.0.1:0', passphrase: correct horse}"));
        let line = server.log.wait("viewer left .*protocol=srt", SOON);
        assert_eq!(log::field(&line, "reason"), "permission withdrawn");
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(Caller::new(port(&server), 6, "cam0").connect(), Err(1011));
    server.reload(&yaml("1M", ""));
    let late = Caller::new(port(&server), 7, "cam0");
    late.send(&[0; 64]);
    assert!(!late.hears(millis(300)));
}

/// A port that is taken is an error before anything starts.
#[test]
fn a_taken_port_is_an_error() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut server = Launch::new(&yaml("1M", &format!("srt: {{listen: '{address}'}}"))).spawn();
    assert!(!server.wait(SOON).success());
    server.log.wait(&format!("cannot listen on {address} for SRT"), Duration::ZERO);
    assert!(run(&["--version"]).status.success());
}

/// A feed that is published to, and what its viewers get of it.
fn studio(srt: &str) -> String {
    format!(
        "feeds: {{studio: {{publish: {{key: s3cret}}}}}}\n\
         streams: {{studio: {{feed: studio}}}}\n\
         srt: {{listen: '127.0.0.1:0'{srt}}}\n"
    )
}

/// ffmpeg, sending a live picture and tone.
fn publisher(address: SocketAddr, query: &str) -> Publisher {
    Publisher::start(&[LIVE, H264_AAC, &["-b:v", "2M", "-f", "mpegts", &format!("srt://{address}?{query}")]])
}

/// F24: in, over a bad line, and nothing is lost on the way; the name is free when the publisher is gone.
#[test]
fn what_is_published_over_a_bad_line_is_whole() {
    let server = Server::start(&studio(""));
    let network = Lossy::start(port(&server), 50, millis(10), 5);
    // What is lost is asked for and sent again within a second, also where programs wait for a processor.
    let first = publisher(network.address, "streamid=publish:studio::s3cret&latency=1000000");
    let feed = state::wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
    assert_eq!(feed["publish"]["publisher"]["protocol"], "srt");
    let mut viewer = server.get("/studio.ts");
    let bytes = viewer.collect(secs(5));
    let (faults, announced) = ts::continuity(&bytes[..bytes.len() / 188 * 188]);
    assert_eq!((faults, announced), (Vec::new(), 0));
    let found = media::Frames::of(&ts::trim(&bytes[..bytes.len() / 188 * 188]), false);
    assert!(found.complaints.is_empty(), "{}", found.complaints);
    assert!(found.pictures.len() > 75 && found.sounds > 150, "{} {}", found.pictures.len(), found.sounds);
    // There is a publisher already.
    assert_eq!(Caller::new(port(&server), 3, "publish:studio::s3cret").connect(), Err(2409));
    let lost = || server.get("/metrics").text().contains("voyandz_srt_packets_total{what=\"lost\"} 0\n");
    assert!(holds_for(secs(2), lost), "what was lost on the way came again");
    // What is lost of its last packets stays so: nobody is there to send them again.
    first.kill();
    let line = server.log.wait("connection ended feed=studio .*protocol=srt", SOON);
    assert_eq!(log::field(&line, "reason"), "no response for 5 s");
    assert!(log::field(&line, "missed").parse::<u32>().unwrap() > 3, "{line}");
    state::wait_for(&server, "feeds", "studio", |feed| feed["state"] == "waiting-publisher");
    // The next one continues for the same viewer.
    let _second = publisher(port(&server), "streamid=#!::r=studio,m=publish,s=s3cret");
    state::wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
    assert!(viewer.take(100_000, SOON).len() >= 100_000);
}

/// D21 and F24 in one: from an encrypted publisher, whose keys change, to an encrypted viewer.
#[test]
fn encrypted_media_goes_in_and_out() {
    let phrase = "correct horse battery";
    let server = Server::start(&studio(&format!(", passphrase: {phrase}, key_refresh: 256")));
    let keys = "pbkeylen=32&kmrefreshrate=256&kmpreannounce=64";
    let _publisher = publisher(port(&server), &format!("streamid=publish:studio::s3cret&passphrase={phrase}&{keys}"));
    state::wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
    let query = format!("streamid=studio&passphrase={phrase}");
    assert_eq!(ffmpeg(port(&server), &query, "4"), (true, String::new()));
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("voyandz_srt_packets_total{what=\"lost\"} 0\n"), "{metrics}");
}

/// Who may publish is decided as for every protocol, and what is no media ends.
#[test]
fn publishers_are_refused_with_the_reason() {
    let server = Server::start(
        "
        srt: {listen: '127.0.0.1:0'}
        feeds:
          studio: {publish: {key: s3cret}}
          web: {publish: {protocols: http, key: s3cret}}
          none: {pipeline: videotestsrc is-live=true}
        streams:
          none.ts: {feed: none, video: {codec: h264}}
        ",
    );
    let address = port(&server);
    let mut number = 1;
    let mut check = |id: &str, expect: u32| {
        number += 1;
        assert_eq!(Caller::new(address, number, id).connect(), Err(expect), "{id}");
    };
    check("publish:studio", 2401);
    check("publish:studio::wrong-key", 2401);
    check("publish:web::s3cret", 2405);
    check("publish:none::s3cret", 2405);
    check("#!::m=publish,r=nothing,s=s3cret", 2404);
    let caller = Caller::new(address, 99, "publish:studio?key=s3cret");
    let socket = caller.connect().unwrap();
    for sequence in 7..200u32 {
        let header = [sequence, 0xC000_0001, 0, socket].into_iter().flat_map(u32::to_be_bytes);
        caller.send(&header.chain([b'x'; 1316]).collect::<Vec<_>>());
    }
    let line = server.log.wait("connection ended feed=studio .*protocol=srt", SOON);
    assert_eq!(log::field(&line, "reason"), "not media");
    assert_eq!(server.log.count("CRITICAL|panicked"), 0);
}
