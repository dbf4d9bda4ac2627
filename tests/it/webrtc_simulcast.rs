//! WebRTC: a publisher sends several layers of its video (simulcast), each a stream of its own, between which viewers switch.

use crate::{
    rig::{
        Server,
        browser::{Browser, have_browser},
        figure, http, media, mkv, secs,
        state::{entry, state},
        wait_until,
    },
    webrtc::{play, player},
    webrtc_layers::{layers, wait_width},
};
use serde_json::json;
use std::time::Instant;

const CONFIG: &str = "
    webrtc: {}
    feeds: {studio: {publish: {key: s3cret, layers: [m, l]}}}
    streams:
      cam: {feed: studio}
      plain: {feed: studio, video: {codec: h264, preset: ultrafast, bitrate: 1M}}
";

/// A page with a `publish(codec)` that sends a moving picture in three sizes and a tone.
const PUBLISHER: &str = "
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [960, 540];
    const drawing = canvas.getContext('2d');
    let drawn = 0;
    setInterval(() => {
        drawn += 1;
        drawing.fillStyle = `hsl(${drawn * 7 % 360} 80% 50%)`;
        drawing.fillRect(0, 0, 960, 540);
        drawing.fillStyle = 'white';
        drawing.fillRect(drawn * 5 % 960, 100, 40, 40);
    }, 50);
    const sound = new AudioContext(), tone = sound.createOscillator(), sink = sound.createMediaStreamDestination();
    tone.connect(sink);
    tone.start();
    window.publish = async (codec) => {
        const media = canvas.captureStream(20), peer = window.publisher = new RTCPeerConnection();
        const [video] = media.getVideoTracks(), [audio] = sink.stream.getAudioTracks();
        const sendEncodings = [
            { rid: 'h', maxBitrate: 900_000 },
            { rid: 'm', scaleResolutionDownBy: 2, maxBitrate: 300_000 },
            { rid: 'l', scaleResolutionDownBy: 4, maxBitrate: 100_000 },
        ];
        const sender = peer.addTransceiver(video, { direction: 'sendonly', streams: [media], sendEncodings });
        window.sender = sender.sender;
        peer.addTransceiver(audio, { direction: 'sendonly', streams: [media] });
        const all = RTCRtpReceiver.getCapabilities('video').codecs;
        sender.setCodecPreferences(all.filter(({ mimeType }) => mimeType === 'video/' + codec || mimeType === 'video/rtx'));
        await peer.setLocalDescription();
        const headers = { 'Content-Type': 'application/sdp', Authorization: 'Bearer s3cret' };
        const response = await fetch('/cam/whip', { method: 'POST', headers, body: peer.localDescription.sdp });
        const answer = await response.text();
        if (!response.ok) throw new Error(response.status + ' ' + answer);
        await peer.setRemoteDescription({ type: 'answer', sdp: answer });
    };
    window.pause = async (isPaused) => {
        const parameters = sender.getParameters();
        parameters.encodings[0].active = !isPaused;
        await sender.setParameters(parameters);
    };
";

const FEEDS: [&str; 3] = ["studio", "studio@m", "studio@l"];

fn publish(server: &Server, browser: &Browser, codec: &str) {
    browser.run(&format!("publish('{codec}').catch((failure) => {{ window.failure = String(failure); }})"));
    browser.wait("return publisher?.connectionState === 'connected' || window.failure", secs(20));
    wait_until("all layers come", secs(30), || {
        let state = state(server);
        FEEDS.iter().all(|feed| entry(&state, "feeds", feed)["state"] == "running")
    });
}

#[test]
fn viewers_switch_between_the_layers_of_a_publisher() {
    if !have_browser() {
        return;
    }
    let server = Server::start(CONFIG);
    let browser = player(&server);
    browser.run(PUBLISHER);
    publish(&server, &browser, "VP8");
    play(&browser, "/cam/whep", "['video', 'audio']");
    wait_width(&browser, 960, 30);
    let names = json!([{"encodingId": "main"}, {"encodingId": "m"}, {"encodingId": "l"}]);
    assert_eq!(layers(&server, &browser, "GET", "").1["layers"], names);
    for (name, width) in [("l", 240), ("m", 480), ("main", 960)] {
        let asked = Instant::now();
        assert_eq!(layers(&server, &browser, "POST", &json!({"encodingId": name}).to_string()).0, 200);
        wait_width(&browser, width, 20);
        figure(18, "WebRTC: another layer of a publisher is shown after it was chosen", asked.elapsed(), secs(2));
    }
    assert_eq!(layers(&server, &browser, "DELETE", "").0, 200);
    // A publisher whose line is narrow pauses its largest layer: viewers do not wait for it.
    browser.run("pause(true)");
    let paused = Instant::now();
    wait_width(&browser, 480, 20);
    figure(18, "WebRTC: a smaller layer is shown after the publisher paused the larger one", paused.elapsed(), secs(3));
    browser.run("pause(false)");
    let resumed = Instant::now();
    wait_width(&browser, 960, 40);
    figure(18, "WebRTC: the larger layer is shown after the publisher resumed it", resumed.elapsed(), secs(15));
    assert!(browser.run("return measured.audio.packetsLost").as_u64() == Some(0), "the sound does not stop for it");
    // Each layer is a stream in every container, with the sound.
    for path in ["/cam@m.mkv", "/cam@l.mkv"] {
        let bytes = server.get(path).collect(secs(3));
        let frames = media::Frames::of(mkv::trim(&bytes), false);
        assert!(frames.complaints.is_empty(), "{path}: {}", frames.complaints);
        assert!(frames.pictures.len() > 20 && frames.sounds > 50, "{path}: {} {}", frames.pictures, frames.sounds);
    }
    // Nobody publishes to a layer alone.
    let offer = browser.run("return publisher.localDescription.sdp");
    let offer = offer.as_str().unwrap();
    let headers =
        format!("Content-Type: application/sdp\r\nAuthorization: Bearer s3cret\r\nContent-Length: {}", offer.len());
    let head = format!("POST /studio@m/whip HTTP/1.1\r\nHost: {}\r\n{headers}\r\n\r\n{offer}", server.address());
    let mut refused = http::send(server.address(), &head);
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("this feed is a layer of another one"), "{}", refused.text());
    // All end with the session.
    browser.run("publisher.close()");
    wait_until("the feeds wait", secs(20), || {
        let state = state(&server);
        FEEDS.iter().all(|feed| entry(&state, "feeds", feed)["state"] == "waiting-publisher")
    });
    publish(&server, &browser, "H264");
}
