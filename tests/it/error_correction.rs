//! MPEG-TS over RTP with forward error correction (SMPTE 2022-1), over lines that lose packets: between servers, and with the programs of
//! others in both directions.

use crate::rig::{
    SOON, Server,
    fec::{self, Lossy},
    have, media,
    publisher::Publisher,
    pushes::wait_state,
    running::Running,
    secs, state, ts, wait_until,
};
use std::fs;

/// Datagrams of a thousand that are lost.
const LOSS: u64 = 50;
/// Noise of 4 Mbit/s, which is 400 datagrams a second.
const NOISE: &str = "videotestsrc is-live=true pattern=snow ! video/x-raw,width=320,height=240,framerate=25/1";

/// A server that sends noise to this target.
fn sender(to: &str) -> Server {
    Server::start(&format!(
        "feeds: {{cam: {{pipeline: '{NOISE} ! queue name=video'}}}}\n\
         streams: {{cam0: {{feed: cam, video: {{codec: h264, bitrate: 4M, gop: 25}}, push: ['{to}']}}}}\n"
    ))
}

/// A server that receives at this port.
fn receiver(port: u16, fec: &str) -> Server {
    Server::start(&format!(
        "feeds: {{gate: {{url: 'rtp://127.0.0.1:{port}?fec={fec}', mode: continuous}}}}\nstreams: {{gate: {{feed: gate}}}}\n"
    ))
}

/// The packets that this server's feed has recovered, and those that are lost after all.
fn repairs(server: &Server) -> (u64, u64) {
    let link = &state::wait_for(server, "feeds", "gate", |_| true)["link"];
    (link["recovered"].as_u64().unwrap(), link["lost"].as_u64().unwrap())
}

/// Fails unless more than nine of ten packets that this line loses are there in the end.
fn assert_repaired(server: &Server, network: &Lossy, at_least: u64) {
    wait_until("packets are recovered", 2 * SOON, || repairs(server).0 >= at_least);
    let (recovered, lost) = repairs(server);
    println!("the line has lost {}; recovered {recovered}, lost {lost}", network.lost());
    assert!(recovered > 9 * lost, "recovered {recovered}, lost {lost}");
    // Those that the server knows to be missing are those of the line, but for the newest, and those before it began.
    assert!(network.lost() + 1 >= recovered + lost, "{} {recovered} {lost}", network.lost());
}

#[test]
fn a_bad_line_between_servers_is_repaired() {
    let port = fec::free();
    let target = receiver(port, "both");
    let network = Lossy::start(port, LOSS, 1);
    let server = sender(&format!("rtp://127.0.0.1:{}?fec=both&columns=8&rows=5", network.port));
    wait_state(&server, "cam0", 0, "established");
    assert_repaired(&target, &network, 60);
    let metrics = target.get("/metrics").text();
    assert!(metrics.contains("voyandz_link_packets_total{feed=\"gate\",what=\"recovered\"} "), "{metrics}");
}

/// Of columns alone one packet each is repaired, which is most of 5 %; and the ports of rows are not used.
#[test]
fn columns_alone_repair_most() {
    let port = fec::free();
    let rows = std::net::UdpSocket::bind(("127.0.0.1", port + 4)).unwrap();
    let target = receiver(port, "columns");
    let network = Lossy::start(port, LOSS / 5, 2);
    let server = sender(&format!("rtp://127.0.0.1:{}?fec=columns&columns=5&rows=4", network.port));
    wait_state(&server, "cam0", 0, "established");
    assert_repaired(&target, &network, 20);
    rows.set_nonblocking(true).unwrap();
    assert!(rows.recv(&mut [0; 16]).is_err(), "what protects rows is not sent");
}

/// Without loss nothing waits, and nothing is counted; without a sender that protects anything, what is lost is lost as soon as ever.
#[test]
fn a_good_line_and_an_unprotected_sender_are_as_before() {
    let port = fec::free();
    let target = receiver(port, "both");
    let server = sender(&format!("rtp://127.0.0.1:{port}?fec=both"));
    let mut viewer = target.get("/gate.ts");
    let bytes = viewer.collect(secs(3));
    assert_eq!(ts::continuity(&bytes[2 * 188..bytes.len() / 188 * 188]), (Vec::new(), 0));
    assert_eq!(repairs(&target), (0, 0));
    drop(server);
    state::wait_for(&target, "feeds", "gate", |feed| feed["state"] == "waiting-publisher");
    let network = Lossy::start(port, LOSS, 3);
    let _server = sender(&format!("rtp://127.0.0.1:{}", network.port));
    wait_until("packets are lost", SOON, || repairs(&target).1 >= 20);
    assert_eq!(repairs(&target).0, 0);
}

#[test]
fn senders_of_others_are_repaired() {
    if !have("ffmpeg") || !have("gst-launch-1.0") {
        return;
    }
    let port = fec::free();
    let target = receiver(port, "both");
    let network = Lossy::start(port, LOSS, 4);
    let source: &[&str] = &["-re", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25"];
    let codec: &[&str] =
        &["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "25", "-x264-params", "nal-hrd=cbr"];
    let rate: &[&str] = &["-b:v", "3M", "-minrate", "3M", "-maxrate", "3M", "-bufsize", "300k", "-pix_fmt", "yuv420p"];
    let to = format!("rtp://127.0.0.1:{}?pkt_size=1328", network.port);
    let ffmpeg = Publisher::start(&[source, codec, rate, &["-f", "rtp_mpegts", "-fec", "prompeg=l=8:d=5", &to]]);
    assert_repaired(&target, &network, 40);
    ffmpeg.kill();
    state::wait_for(&target, "feeds", "gate", |feed| feed["state"] == "waiting-publisher");
    let (before, _) = repairs(&target);
    let encoder = "fec-encoders=fec,0=\"rtpst2022-1-fecenc\\ rows\\=5\\ columns\\=6\";";
    let sink = |distance: u16| format!("port={}", network.port + distance);
    let pipeline = format!(
        "{NOISE} ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=3000 key-int-max=25 ! queue ! mpegtsmux ! \
         rtpmp2tpay ssrc=0 ! rtp.send_rtp_sink_0 rtp.send_rtp_src_0 ! udpsink host=127.0.0.1 {} async=false sync=false \
         rtp.send_fec_src_0_0 ! udpsink host=127.0.0.1 {} async=false sync=false \
         rtp.send_fec_src_0_1 ! udpsink host=127.0.0.1 {} async=false sync=false",
        sink(0),
        sink(2),
        sink(4)
    );
    let _gstreamer = Running::pipeline(&["-q", "rtpbin", "name=rtp", encoder], &pipeline);
    assert_repaired(&target, &network, before + 40);
}

/// GStreamer receives what this server sends, and repairs it.
#[test]
fn a_receiver_of_others_repairs_what_is_sent() {
    if !have("gst-launch-1.0") {
        return;
    }
    let port = fec::free();
    let network = Lossy::start(port, LOSS, 5);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("got.ts");
    let decoder = "fec-decoders=fec,0=\"rtpst2022-1-fecdec\\ size-time\\=1000000000\";";
    let source = |distance: u16| format!("udpsrc address=127.0.0.1 port={}", port + distance);
    let protection = "caps=application/x-rtp,payload=96";
    let media = "caps=application/x-rtp,media=video,clock-rate=90000,encoding-name=MP2T,payload=33";
    let pipeline = format!(
        "{} {protection} ! rtp.recv_fec_sink_0_0 {} {protection} ! rtp.recv_fec_sink_0_1 \
         {} buffer-size=4000000 {media} ! rtp.recv_rtp_sink_0 rtp. ! rtpmp2tdepay ! filesink location={} buffer-mode=unbuffered",
        source(2),
        source(4),
        source(0),
        file.display()
    );
    let gstreamer = Running::pipeline(&["-q", "rtpbin", "name=rtp", "latency=500", decoder], &pipeline);
    let _server = sender(&format!("rtp://127.0.0.1:{}?fec=both&columns=8&rows=5", network.port));
    let length = || fs::metadata(&file).map_or(0, |file| file.len());
    wait_until("media is written", 2 * SOON, || network.lost() > 60 && length() > 2_000_000);
    drop(gstreamer);
    let bytes = fs::read(&file).unwrap();
    let (faults, _) = ts::continuity(&bytes[..bytes.len() / 188 * 188]);
    println!("the line has lost {}; {} faults remain", network.lost(), faults.len());
    assert!(10 * (faults.len() as u64) < network.lost(), "{faults:?}");
    let frames = media::Frames::of(&ts::trim(&bytes), false);
    assert!(frames.pictures.len() > 50, "{}", frames.pictures);
}
