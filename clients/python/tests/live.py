"""Against a server: live.py URL TOKEN. The test-suite of voyandz starts it; a line for each thing that is shown."""

import asyncio
import sys
import time

import voyandz_client as vz

url, token = sys.argv[1:3]
server = vz.Server(url, token=token)

# The newest frame, however slow the reader is.
ages, missed = [], 0
for frame in vz.frames(f"{url}/cam", size=(160, 120), token=token, timeout=20):
    assert frame.image.shape == (120, 160, 3), frame.image.shape
    assert frame.image.max() > 200
    ages.append(frame.age)
    missed += frame.missed
    if len(ages) == 10:
        break
    time.sleep(0.15)
assert missed >= 8, f"a slow reader passes over frames: {missed}"
# Each is younger than the time that was waited for it, and a little.
assert sorted(ages[2:])[len(ages[2:]) // 2] < 0.15, ages
print("frames")

async def first() -> tuple[int, ...]:
    async for frame in vz.aframes(f"{url}/cam", format="GRAY8", token=token, timeout=20):
        return frame.image.shape
    raise AssertionError("no frame")


assert asyncio.run(first()) == (240, 320)
print("asyncio")

got: list[tuple[int, ...]] = []
with vz.View(f"{url}/cam", token=token) as view:
    view.modify(lambda image: image[::2, ::2])
    stop = view.subscribe(lambda frame: got.append(frame.image.shape))
    until = time.monotonic() + 20
    while len(got) < 5 and time.monotonic() < until:
        time.sleep(0.02)
    stop()
    began = time.monotonic()
assert time.monotonic() - began < 1.5, "it closes within a second"
assert got[:5] == 5 * [(120, 160, 3)], got
print("view")

assert server.streams["cam"]["name"] == "cam" and "none" not in server.streams and list(server.feeds) == ["cam"]
assert server.still("cam", width=160).startswith(b"\xff\xd8")
server.config.streams["door"] = {"feed": "cam", "video": {"codec": "mjpeg"}}
assert server.config.streams["door"]["feed"] == "cam" and len(server.config.streams) == 2
events = server.events(after=0, type="config.changed")
assert next(events)["type"] == "config.changed"
del server.config.streams["door"]
assert next(events)["type"] == "config.changed" and "door" not in server.config.streams
try:
    server.config.streams["bad"] = {"feed": "none"}
except vz.Refused as error:
    assert error.status == 422 and error.problem["faults"], error.problem
else:
    raise AssertionError("a wrong entry was accepted")
print("server")

try:
    next(vz.frames(f"{url}/cam", token="vyz_wrong", timeout=20))
except ValueError as error:
    assert "401" in str(error), error
print("refused", flush=True)

# For ever: the server is killed and comes back. When each frame was there, and when it was captured.
for frame in vz.frames(f"{url}/cam", size=(160, 120), token=token):
    print(f"alive {time.time():.3f} {frame.captured:.3f}", flush=True)
