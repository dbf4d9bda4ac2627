//! WebRTC: data channels that lead to programs and WebSockets.

use crate::{
    rig::{Server, browser::have_browser, script::PICTURE, secs, wait_until},
    webrtc::{play, player},
};
use serde_json::json;
use std::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
};
use tokio_tungstenite::tungstenite::{
    self, Message,
    handshake::server::{Request, Response},
};

/// A page whose sessions have data channels: `open(label)` makes one, `said[label]` is what came on it.
const CHANNELS: &str = "
    window.said = {};
    window.channels = {};
    window.prepare = (peer) => {
        window.open = (label) => {
            const channel = window.channels[label] = peer.createDataChannel(label);
            channel.binaryType = 'arraybuffer';
            window.said[label] = [];
            channel.onmessage = ({ data }) =>
                window.said[label].push(typeof data === 'string' ? data : Array.from(new Uint8Array(data)));
        };
        ['lights', 'chat', 'gone'].forEach(window.open);
    };
";

/// Sends back what it gets, until it gets `bye`. Tells what the client is.
fn echo(listener: TcpListener, told: mpsc::Sender<String>) {
    let serve = |connection: TcpStream| {
        let mut stream = String::new();
        #[expect(clippy::result_large_err, reason = "the error is what tungstenite takes")]
        let look = |request: &Request, response: Response| {
            stream = request.headers()["x-voyandz-stream"].to_str().unwrap().to_owned();
            Ok(response)
        };
        let mut socket = tungstenite::accept_hdr(connection, look).unwrap();
        told.send(stream).unwrap();
        while let Ok(message) = socket.read() {
            match message {
                Message::Text(text) if text.as_str() == "bye" => _ = socket.close(None),
                Message::Text(_) | Message::Binary(_) => socket.send(message).unwrap(),
                _ => {}
            }
        }
    };
    listener.incoming().for_each(|connection| serve(connection.unwrap()));
}

#[test]
fn data_channels_lead_to_programs_and_websockets() {
    if !have_browser() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, told) = mpsc::channel();
    thread::spawn(move || echo(listener, sender));
    let folder = tempfile::tempdir().unwrap();
    let ended = folder.path().join("ended");
    let lights = format!(
        "while read line; do echo \"$VOYANDZ_STREAM $line\"; [ \"$line\" != bye ] || exit 3; done; touch {}",
        ended.display()
    );
    let server = Server::start(&format!(
        "
        webrtc:
          channels:
            lights: {{run: [sh, -c, {}]}}
            chat: {{url: 'ws://{address}/chat'}}
            gone: {{url: 'ws://127.0.0.1:1/'}}
        feeds: {{cam: {{pipeline: '{PICTURE}', mode: continuous}}}}
        streams: {{film: {{feed: cam, video: {{codec: h264, preset: ultrafast}}}}}}
        ",
        json!(lights)
    ));
    let browser = player(&server);
    browser.run(CHANNELS);
    play(&browser, "/film/whep", "['video']");
    let is = |label: &str, state: &str| {
        browser.wait(&format!("return channels?.{label}?.readyState === '{state}'"), secs(30))
    };
    let say = |label: &str, what: &str| _ = browser.run(&format!("channels.{label}.send({what})"));
    let came = |label: &str, what: serde_json::Value| {
        browser.wait(&format!("return JSON.stringify(said.{label}) === JSON.stringify({what})"), secs(10));
    };
    // What is not there closes its channel, and no other one.
    is("gone", "closed");
    server.log.wait("data channel failed.*label=gone.*cannot connect to 127.0.0.1:1", secs(5));
    is("lights", "open");
    say("lights", "'on'");
    say("lights", "'off'");
    came("lights", json!(["film on", "film off"]));
    is("chat", "open");
    assert_eq!(told.recv_timeout(secs(5)).unwrap(), "film");
    say("chat", "'hello'");
    say("chat", "new Uint8Array([1, 2, 3])");
    came("chat", json!(["hello", [1, 2, 3]]));
    // The other end closes; the next channel of the name is another one.
    say("lights", "'bye'");
    came("lights", json!(["film on", "film off", "film bye"]));
    is("lights", "closed");
    say("chat", "'bye'");
    is("chat", "closed");
    browser.run("open('lights')");
    is("lights", "open");
    say("lights", "'again'");
    came("lights", json!(["film again"]));
    // What is no line ends it.
    say("lights", "new Uint8Array([1])");
    is("lights", "closed");
    assert!(!ended.exists());
    browser.run("open('lights')");
    is("lights", "open");
    say("lights", "'on'");
    came("lights", json!(["film on"]));
    browser.run("channels.lights.close()");
    wait_until("the program has the end of its input", secs(10), || ended.exists());
    // The picture was not disturbed.
    browser.wait("return (window.measured?.video?.framesDecoded ?? 0) > 30", secs(30));
}
