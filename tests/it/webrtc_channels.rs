//! WebRTC: data channels that lead to programs and WebSockets.

use crate::{
    rig::{Launch, Server, browser::have_browser, peer::Peer, script::PICTURE, secs, wait_until},
    webrtc::{play, player},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, mpsc},
    thread,
};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
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

/// Sends back what it gets over connections that `opened` makes of those that come, until it gets `bye`. Reports what the client is.
fn echo<S: Read + Write>(listener: TcpListener, told: mpsc::Sender<String>, opened: impl Fn(TcpStream) -> S + Sync) {
    let serve = |connection: TcpStream| {
        let mut stream = String::new();
        #[expect(clippy::result_large_err, reason = "the error is what tungstenite takes")]
        let look = |request: &Request, response: Response| {
            stream = request.headers()["x-voyandz-stream"].to_str().unwrap().to_owned();
            Ok(response)
        };
        // A client that does not trust the certificate asks for nothing.
        let Ok(mut socket) = tungstenite::accept_hdr(opened(connection), look) else { return };
        told.send(stream).unwrap();
        while let Ok(message) = socket.read() {
            match message {
                Message::Text(text) if text.as_str() == "bye" => _ = socket.close(None),
                Message::Text(_) | Message::Binary(_) => socket.send(message).unwrap(),
                _ => {}
            }
        }
    };
    // Those of two channels come in any order.
    thread::scope(|scope| {
        listener.incoming().map(Result::unwrap).for_each(|connection| drop(scope.spawn(|| serve(connection))));
    });
}

#[test]
fn data_channels_lead_to_programs_and_websockets() {
    if !have_browser() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, told) = mpsc::channel();
    thread::spawn(move || echo(listener, sender, |connection| connection));
    let folder = tempfile::tempdir().unwrap();
    // Whoever has the end of its input leaves a file with the name of its last line.
    let lights = format!(
        "while read line; do echo \"$VOYANDZ_STREAM $line\"; last=$line; [ $line != bye ] || exit 3; done; touch {}/$last",
        folder.path().display()
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
    browser.run("open('lights')");
    is("lights", "open");
    say("lights", "'last'");
    came("lights", json!(["film last"]));
    browser.run("channels.lights.close()");
    wait_until("the program has the end of its input", secs(10), || folder.path().join("last").exists());
    // The picture was not disturbed.
    browser.wait("return (window.measured?.video?.framesDecoded ?? 0) > 30", secs(30));
}

/// The certificate of an authority of the test, as PEM, and a server that it vouches for as `localhost`.
fn vouched_for() -> (String, Arc<ServerConfig>) {
    let (key, mut parameters) = (KeyPair::generate().unwrap(), CertificateParams::default());
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(parameters, key);
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (authority, Arc::new(config.with_single_cert(vec![own.der().clone()], key).unwrap()))
}

#[test]
fn websockets_are_encrypted_and_prove_their_name() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (authority, config) = vouched_for();
    let (sender, told) = mpsc::channel();
    let encrypted = move |connection| StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), connection);
    thread::spawn(move || echo(listener, sender, encrypted));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    fs::write(&file, authority).unwrap();
    let yaml = format!(
        "
        webrtc:
          channels:
            chat: {{url: 'wss://localhost:{port}/chat'}}
            other: {{url: 'wss://127.0.0.1:{port}/chat'}}
        feeds: {{cam: {{pipeline: '{PICTURE}', mode: continuous}}}}
        streams: {{film: {{feed: cam, video: {{codec: h264, preset: ultrafast}}}}}}
        "
    );
    let server = Launch::new(&yaml).env("SSL_CERT_FILE", file).start();
    let mut peer = Peer::connect(&server, "/film/whep", &["chat", "other"]);
    // Another name than that of the certificate.
    peer.wait_closed("other");
    server.log.wait(&format!("data channel failed.*label=other.*TLS handshake with 127.0.0.1:{port} failed"), secs(5));
    assert!(peer.say("chat", true, b"hello") && peer.say("chat", false, &[1, 2, 3]));
    assert_eq!(peer.next("chat"), (true, b"hello".to_vec()));
    assert_eq!(peer.next("chat"), (false, vec![1, 2, 3]));
    assert_eq!(told.recv_timeout(secs(5)).unwrap(), "film");
    assert!(peer.say("chat", true, b"bye"));
    peer.wait_closed("chat");
    // An authority that is not known.
    let server = Server::start(&yaml);
    let mut peer = Peer::connect(&server, "/film/whep", &["chat"]);
    peer.wait_closed("chat");
    server.log.wait("data channel failed.*label=chat", secs(5));
}
