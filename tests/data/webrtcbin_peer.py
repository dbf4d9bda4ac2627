"""A viewer or publisher of WebRTC by webrtcbin of GStreamer: `play URL` plays until it has decoded 50 frames of video and 20 of audio,
`publish URL` sends a test picture and a tone until its input ends."""

import hashlib
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.request

import gi

for library in ("Gst", "GstSdp", "GstWebRTC"):
    gi.require_version(library, "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC

Gst.init(None)
WANTED = {"video": 50, "audio": 20}
FORMATS = (
    "application/x-rtp,media=video,encoding-name=H264,payload=96,clock-rate=90000,packetization-mode=(string)1",
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000,encoding-params=(string)2",
)
SOURCES = (
    "videotestsrc is-live=true ! video/x-raw,width=640,height=480,framerate=30/1 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 "
    "! video/x-h264,profile=constrained-baseline ! rtph264pay config-interval=-1 aggregate-mode=zero-latency pt=96 "
    "! application/x-rtp,media=video,encoding-name=H264,payload=96 ! peer.",
    "audiotestsrc is-live=true ! audio/x-raw,channels=2 ! opusenc ! rtpopuspay pt=97 "
    "! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! peer.",
)


def make_certificate():
    """One by ECDSA with its key, as RFC 8827, section 6.5, demands it: webrtcbin of GStreamer 1.22 makes one by RSA. And the fingerprint."""
    with tempfile.NamedTemporaryFile() as key:
        make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        made = subprocess.run([*make, "-subj", "/CN=peer", "-keyout", key.name], check=True, capture_output=True)
        certificate = made.stdout.decode()
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).digest()
        return certificate + key.read().decode(), ":".join(f"{byte:02X}" for byte in digest)


class Peer:
    """One connection."""

    def __init__(self, url, description):
        self.url, self.loop, self.found, self.has_offered = url, GLib.MainLoop(), {}, False
        self.pipeline = Gst.parse_launch(f"pipeline.( webrtcbin name=peer bundle-policy=max-bundle {description} )")
        self.peer = self.pipeline.get_by_name("peer")
        self.certificate, self.fingerprint = make_certificate()
        self.pipeline.connect("deep-element-added", self.added)
        self.peer.connect("on-negotiation-needed", self.offer)
        self.peer.connect("notify::ice-gathering-state", self.gathered)
        self.peer.connect("pad-added", self.decode)

    def added(self, _pipeline, _bin, element):
        """Gives DTLS our certificate."""
        if element.find_property("pem"):
            element.set_property("pem", self.certificate)

    def offer(self, peer):
        """Offers once, when all media are known."""
        if not self.has_offered:
            self.has_offered = True
            peer.emit("create-offer", None, Gst.Promise.new_with_change_func(self.offered, None))

    def offered(self, promise, _data):
        """The offer is made: candidates are gathered now."""
        # Both live as long as the reply.
        reply = promise.get_reply()
        self.peer.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

    def gathered(self, peer, _state):
        """Posts the offer with all candidates, and takes the answer."""
        if peer.get_property("ice-gathering-state") != GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            return
        offer = peer.get_property("local-description").sdp.as_text()
        # That of webrtcbin is of the certificate and its key together.
        offer = re.sub("(a=fingerprint:sha-256) .*", rf"\1 {self.fingerprint}", offer)
        request = urllib.request.Request(self.url, offer.encode(), {"Content-Type": "application/sdp"})
        with urllib.request.urlopen(request) as response:
            answer, self.session = response.read(), response.headers["Location"]
        _, message = GstSdp.SDPMessage.new()
        GstSdp.sdp_message_parse_buffer(answer, message)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        peer.emit("set-remote-description", answer, Gst.Promise.new())

    def decode(self, _peer, pad):
        """Decodes what comes, and counts it."""
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        decoder = Gst.ElementFactory.make("decodebin", None)
        decoder.connect("pad-added", self.count)
        self.pipeline.add(decoder)
        decoder.sync_state_with_parent()
        pad.link(decoder.get_static_pad("sink"))

    def count(self, _decoder, pad):
        """Ends when there is enough of all kinds."""
        sink = Gst.ElementFactory.make("fakesink", None)
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))
        kind, left = pad.get_current_caps().get_structure(0).get_name().split("/")[0], None

        def came(_pad, _info):
            nonlocal left
            left = WANTED[kind] - 1 if left is None else left - 1
            if left == 0:
                caps = pad.get_current_caps().get_structure(0)
                self.found[kind] = [caps.get_int(name).value for name in ("width", "height", "rate") if caps.has_field(name)]
                if len(self.found) == len(WANTED):
                    self.loop.quit()
            return Gst.PadProbeReturn.OK

        pad.add_probe(Gst.PadProbeType.BUFFER, came)

    def run(self):
        """Until the loop ends, or for a minute; nobody notices the end of webrtcbin without a request."""
        self.pipeline.set_state(Gst.State.PLAYING)
        GLib.timeout_add_seconds(60, self.loop.quit)
        self.loop.run()
        urllib.request.urlopen(urllib.request.Request(self.session, method="DELETE")).close()
        self.pipeline.set_state(Gst.State.NULL)


def play(url):
    """Plays."""
    peer = Peer(url, "")
    for text in FORMATS:
        direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
        peer.peer.emit("add-transceiver", direction, Gst.Caps.from_string(text))
    peer.run()
    (width, height), (rate,) = peer.found["video"], peer.found["audio"]
    print(f"played {width}x{height}, {rate} Hz", flush=True)


def publish(url):
    """Publishes until the input ends."""
    peer = Peer(url, " ".join(SOURCES))
    for number in range(len(SOURCES)):
        transceiver = peer.peer.emit("get-transceiver", number)
        transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
    threading.Thread(target=lambda: (sys.stdin.read(), peer.loop.quit()), daemon=True).start()
    peer.run()


{"play": play, "publish": publish}[sys.argv[1]](sys.argv[2])
