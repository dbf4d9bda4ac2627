"""A viewer or publisher of WebRTC by aiortc: `play URL` plays until it has 50 frames of video and 20 of audio, `publish URL` sends a test
picture and silence until its input ends, `serve TOKEN` is an endpoint of WHIP for one publisher, of which it decodes as much as `play`."""

import asyncio
import sys
import urllib.request

import aioice.ice
from aiortc import AudioStreamTrack, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack

# Both sides are on this machine.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]


async def connect(peer, url):
    """Offers, and takes the answer."""
    await peer.setLocalDescription(await peer.createOffer())
    body = peer.localDescription.sdp.encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/sdp"})
    with urllib.request.urlopen(request) as response:
        answer = response.read().decode()
    await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))


async def take(track, count):
    """Decodes so many frames."""
    for _ in range(count):
        frame = await track.recv()
    return frame


async def play(url):
    """Plays, and has a message come back."""
    peer = RTCPeerConnection()
    receivers = [peer.addTransceiver(kind, direction="recvonly").receiver for kind in ("video", "audio")]
    channel, came = peer.createDataChannel("echo"), asyncio.get_running_loop().create_future()
    channel.on("open", lambda: channel.send("hello"))
    channel.on("message", came.set_result)
    await connect(peer, url)
    video, audio = await asyncio.gather(*(take(one.track, count) for one, count in zip(receivers, (50, 20))))
    print(f"played {video.width}x{video.height}, {audio.sample_rate} Hz, {await came}", flush=True)
    await peer.close()


async def publish(url):
    """Publishes until the input ends."""
    peer = RTCPeerConnection()
    peer.addTrack(VideoStreamTrack())
    peer.addTrack(AudioStreamTrack())
    await connect(peer, url)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await peer.close()


async def serve(token):
    """Takes one offer and decodes what comes; then waits for the end that the publisher orders."""
    peer, tracks, deleted = RTCPeerConnection(), [], asyncio.get_running_loop().create_future()
    peer.on("track", tracks.append)

    async def client(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, fields = head.split(" ")[0], dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        fields = {name.lower(): value for name, value in fields.items()}
        if fields.get("authorization") != f"Bearer {token}":
            status, answer = "403 Forbidden", ""
        elif method == "DELETE":
            status, answer = "200 OK", ""
            deleted.set_result(head.split(" ")[1])
        else:
            offer = (await reader.readexactly(int(fields["content-length"]))).decode()
            await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            await peer.setLocalDescription(await peer.createAnswer())
            status, answer = "201 Created\r\nLocation: session/1", peer.localDescription.sdp
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(answer)}\r\nConnection: close\r\n\r\n{answer}".encode())
        await writer.drain()
        writer.close()
        if method == "POST" and answer:
            found = {track.kind: track for track in tracks}
            video, audio = await asyncio.gather(take(found["video"], 50), take(found["audio"], 20))
            print(f"received {video.width}x{video.height}, {audio.sample_rate} Hz", flush=True)

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    print("%s:%d" % server.sockets[0].getsockname(), flush=True)
    print(f"deleted {await deleted}", flush=True)
    await peer.close()


asyncio.run(asyncio.wait_for({"play": play, "publish": publish, "serve": serve}[sys.argv[1]](sys.argv[2]), 60))
