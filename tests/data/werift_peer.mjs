// A viewer or publisher of WebRTC by werift, of which WERIFT is the folder: `play URL` plays until it has 50 frames of VP8 and 20 packets of
// Opus, and a message of a data channel is back; `relay FROM TO` publishes what it plays until its input ends.

import { createRequire } from 'node:module';

const { MediaStreamTrack, RTCPeerConnection, Vp8RtpPayload, useOPUS, useVP8 } = createRequire(`${process.env.WERIFT}/`)('werift');

/** A connection. Both sides are on this machine. */
const open = () => new RTCPeerConnection({
    codecs: { video: [useVP8()], audio: [useOPUS()] },
    iceAdditionalHostAddresses: ['127.0.0.1'],
    iceUseIpv6: false,
});

/** Offers, and takes the answer. */
const connect = async (peer, url) => {
    await peer.setLocalDescription(await peer.createOffer());
    const headers = { 'Content-Type': 'application/sdp' };
    const response = await fetch(url, { method: 'POST', headers, body: peer.localDescription.sdp });
    const answer = await response.text();
    if (!response.ok) throw new Error(`${response.status} ${answer}`);
    await peer.setRemoteDescription({ type: 'answer', sdp: answer });
};

/** Has `take` called with each packet of video and of audio. */
const receive = (peer, take) => ['video', 'audio'].map((kind) => {
    const transceiver = peer.addTransceiver(kind, { direction: 'recvonly' });
    transceiver.onTrack.subscribe((track) => track.onReceiveRtp.subscribe((packet) => take(kind, packet)));
    return transceiver;
});

/** Width and height in a keyframe of VP8 (RFC 6386, section 9.1). */
const size = (frame) => `${frame.readUInt16LE(6) & 0x3fff}x${frame.readUInt16LE(8) & 0x3fff}`;

const play = async (url) => {
    const peer = open(), wanted = { video: 50, audio: 20 };
    let shown;
    const enough = new Promise((all) => {
        receive(peer, (kind, { header, payload }) => {
            const isEnd = kind === 'audio' || header.marker;
            if (kind === 'video') {
                const { isKeyframe, isPartitionHead, payload: frame } = Vp8RtpPayload.deSerialize(payload);
                if (isKeyframe && isPartitionHead) shown = size(frame);
            }
            wanted[kind] -= Number(isEnd && (kind === 'audio' || shown !== undefined));
            if (wanted.video <= 0 && wanted.audio <= 0) all();
        });
    });
    const echo = new Promise((back) => {
        const channel = peer.createDataChannel('echo');
        channel.onopen = () => channel.send('hello');
        channel.onmessage = ({ data }) => back(data);
    });
    await connect(peer, url);
    await enough;
    console.log(`played ${shown}, 48000 Hz, ${await echo}`);
    await peer.close();
};

const relay = async (from, to) => {
    const source = open(), target = open(), tracks = {}, sources = {};
    for (const kind of ['video', 'audio']) {
        tracks[kind] = new MediaStreamTrack({ kind });
        const { sender } = target.addTransceiver(tracks[kind], { direction: 'sendonly' });
        if (kind === 'video') sender.onPictureLossIndication.subscribe(() => video.receiver.sendRtcpPLI(sources.video));
    }
    const [video] = receive(source, (kind, packet) => {
        sources[kind] = packet.header.ssrc;
        tracks[kind].writeRtp(packet.clone());
    });
    await connect(target, to);
    await connect(source, from);
    for await (const _ of process.stdin) { /* It says nothing. */ }
    await Promise.all([source.close(), target.close()]);
};

const late = setTimeout(() => { console.error('it takes too long'); process.exit(1); }, 60_000);
await { play, relay }[process.argv[2]](...process.argv.slice(3));
clearTimeout(late);
process.exit(0);
