"""Against a server: filter.py URL KEY. A program that is the source of a stream, and one that filters another stream.

Each begins with a line from its standard input. The server has the stream `cam`, a white ball on black, and a feed `slot` with this key and the stream `slot.mjpeg` of it.
"""

import sys
import threading
import time

import numpy as np

import voyandz_client as vz

url, key = sys.argv[1:3]

# Thirty frames, each a JPEG that the server passes on.
still = vz.Server(url).still("cam")
input()
with vz.Publisher(f"{url}/slot", key=key) as out:
    for number in range(30):
        out.write(still)
        time.sleep(0.1)
assert (out.sent, out.dropped) == (30, 0), (out.sent, out.dropped)
print("thirty", flush=True)
input()

# A black ball on white: all bits are others.
ended = threading.Event()


def invert() -> None:
    with vz.Publisher(f"{url}/slot", key=key) as out:
        for frame in vz.frames(f"{url}/cam", size=(160, 120), timeout=20):
            out.write(frame.image ^ 255)
            if ended.is_set():
                return


thread = threading.Thread(target=invert)
thread.start()
shown = []
for frame in vz.frames(f"{url}/slot.mjpeg", timeout=20):
    assert frame.image.shape == (120, 160, 3), frame.image.shape
    assert frame.image.mean() > 200 and frame.image.min() < 60, (frame.image.mean(), frame.image.min())
    # The same filter again makes the original of it.
    again = frame.image ^ 255
    assert again.mean() < 55 and again.max() > 195
    shown.append(np.argwhere(again[..., 0] > 128).mean(0).tolist())
    if len(shown) == 20:
        break
ended.set()
thread.join(20)
assert len({tuple(place) for place in shown}) > 5, "the ball moves"
print("filtered", flush=True)
