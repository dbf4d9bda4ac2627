//! WebRTC: what pages do with it, each a short script and a look at what the server made of it.

use crate::{
    rig::{
        Server,
        browser::{Browser, have_browser},
        media, mkv,
        script::{H264, PICTURE, TONE},
        secs,
    },
    webrtc::{PUBLISHER, number, play, player},
};
use serde_json::Value;

const STUDIO: &str = "
    webrtc: {}
    feeds: {studio: {publish: {key: s3cret}}}
    streams: {studio: {feed: studio}}
";

fn film() -> String {
    format!(
        "
        webrtc: {{}}
        feeds:
          cam: {{pipeline: '{PICTURE}', mode: continuous}}
          mic: {{pipeline: '{TONE}', mode: continuous}}
        streams: {{film: {{feeds: [cam, mic], video: {H264}, audio: {{codec: opus}}}}}}
        "
    )
}

/// Waits for more frames of video than there are now.
fn assert_continues(browser: &Browser, frames: u32) {
    let before = number(browser, "window.measured?.video?.framesDecoded").max(0.0);
    let more = format!("return (window.measured?.video?.framesDecoded ?? 0) > {before} + {frames}");
    browser.wait(&format!("{more} || (window.failure ?? false)"), secs(30));
}

/// A page that publishes to `studio` and plays it.
fn studio(server: &Server, prepare: &str) -> Browser {
    let browser = player(server);
    browser.run(PUBLISHER);
    browser.run(prepare);
    browser.run("publish('/studio/whip', 'VP8', 'L1T1').catch((failure) => { window.failure = String(failure); })");
    server.log.wait("publisher joined.*feed=studio", secs(20));
    play(&browser, "/studio/whep", "['video', 'audio']");
    assert_continues(&browser, 10);
    browser
}

#[test]
fn a_viewer_that_sends_or_has_no_codec_of_the_stream_is_refused() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&film());
    let browser = player(&server);
    let only_vp8 = "peer.getTransceivers()[0].setCodecPreferences(RTCRtpReceiver.getCapabilities('video').codecs
        .filter(({ mimeType }) => mimeType === 'video/VP8'))";
    for (prepare, reason) in [
        ("peer.getTransceivers()[0].direction = 'sendonly'", "a viewer offers a=recvonly"),
        (only_vp8, "the stream has H.264"),
    ] {
        browser.run(&format!("window.prepare = (peer) => {{ {prepare}; }};"));
        play(&browser, "/film/whep", "['video', 'audio']");
        browser.wait("return window.failure !== undefined", secs(20));
        let failure = browser.run("return failure");
        let failure = failure.as_str().unwrap();
        assert!(failure.contains("422") && failure.contains(reason), "{failure}");
    }
    // One that could send, as pages offer it that do not say, plays.
    browser.run(
        "window.prepare = (peer) => { peer.getTransceivers().forEach((one) => { one.direction = 'sendrecv'; }); };",
    );
    play(&browser, "/film/whep", "['video', 'audio']");
    assert_continues(&browser, 20);
    let answer = browser.run("return answer");
    assert!(!answer.as_str().unwrap().contains("sendrecv"), "{answer}");
}

#[test]
fn a_page_of_another_origin_plays_and_ends_its_session() {
    if !have_browser() {
        return;
    }
    let (server, other) = (Server::start(&film()), Server::start(STUDIO));
    let browser = player(&other);
    play(&browser, &server.url("/film/whep"), "['video', 'audio']");
    assert_continues(&browser, 20);
    assert!(browser.run("return session").as_str().unwrap().starts_with(&server.url("/film/whep/")));
    assert_ne!(browser.run("return tag"), Value::Null);
    browser.run("fetch(session, { method: 'DELETE' }).then(({ status }) => { window.deleted = status; })");
    browser.wait("return window.deleted === 200", secs(10));
    server.log.wait("viewer left.*stream=film.*reason=deleted", secs(5));
}

#[test]
fn a_publisher_changes_its_track_and_its_size() {
    if !have_browser() {
        return;
    }
    let server = Server::start(STUDIO);
    let browser = studio(&server, "");
    // Muted: the picture is black and the audio silent, and both go on.
    browser.run("publisher.getSenders().forEach(({ track }) => { track.enabled = false; })");
    assert_continues(&browser, 20);
    browser.run("publisher.getSenders().forEach(({ track }) => { track.enabled = true; })");
    // Another track, of another size.
    browser.run(
        "const other = document.createElement('canvas');
        [other.width, other.height] = [320, 240];
        const paint = other.getContext('2d');
        setInterval(() => { paint.fillStyle = `hsl(${Date.now() / 10 % 360} 80% 50%)`; paint.fillRect(0, 0, 320, 240); }, 40);
        publisher.getSenders()[0].replaceTrack(other.captureStream(25).getVideoTracks()[0]);",
    );
    browser.wait("return document.querySelector('video').videoWidth === 320", secs(20));
    assert_continues(&browser, 20);
    let bytes = server.get("/studio.mkv").collect(secs(3));
    let frames = media::Frames::of(mkv::trim(&bytes), false);
    assert!(frames.complaints.is_empty(), "{}", frames.complaints);
    assert!(frames.pictures.len() > 30, "{}", frames.pictures);
}

#[test]
fn redundant_and_discontinuous_audio() {
    if !have_browser() {
        return;
    }
    let server = Server::start(STUDIO);
    // It prefers RED (RFC 2198), which is not taken, and sends nothing for silence (DTX).
    let browser = studio(
        &server,
        "const offer = RTCPeerConnection.prototype.setLocalDescription;
        RTCPeerConnection.prototype.setLocalDescription = function () {
            for (const one of this.getTransceivers().filter(({ receiver }) => receiver.track.kind === 'audio')) {
                const { codecs } = RTCRtpReceiver.getCapabilities('audio');
                const rank = ({ mimeType }) => ['audio/red', 'audio/opus'].indexOf(mimeType);
                one.setCodecPreferences(codecs.filter((codec) => rank(codec) >= 0).sort((a, b) => rank(a) - rank(b)));
            }
            return offer.call(this);
        };
        const answer = RTCPeerConnection.prototype.setRemoteDescription;
        RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
            window.answered = sdp;
            return answer.call(this, { type, sdp: sdp.replace(/(a=fmtp:\\d+ .*minptime.*)/, '$1;usedtx=1') });
        };",
    );
    let offered = browser.run("return publisher.localDescription.sdp");
    assert!(offered.as_str().unwrap().contains("red/48000"), "{offered}");
    let answered = browser.run("return answered");
    assert!(!answered.as_str().unwrap().contains("red/48000") && answered.as_str().unwrap().contains("opus/48000"));
    let before = number(&browser, "measured.audio?.packetsReceived").max(0.0);
    browser.wait(&format!("return (measured.audio?.packetsReceived ?? 0) > {before} + 50"), secs(20));
    browser.run("publisher.getSenders()[1].track.enabled = false");
    assert_continues(&browser, 50);
    let bytes = server.get("/studio.mkv").collect(secs(3));
    let frames = media::Frames::of(mkv::trim(&bytes), false);
    assert!(frames.complaints.is_empty(), "{}", frames.complaints);
    assert!(frames.pictures.len() > 30, "{}", frames.pictures);
}
