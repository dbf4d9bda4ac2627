"""Against a server: publish.py URL KEY. The test-suite of voyandz starts it; a line for each thing that is shown.

The server has a feed `slot` with this key, and the streams `slot.mjpeg` and `film` of it.
"""

import sys
import threading
import time

import numpy as np

import voyandz_client as vz

url, key = sys.argv[1:3]
WIDTH, HEIGHT, FPS = 320, 240, 20


def drawn(number: int) -> np.ndarray:
    """Blue, green and red, and a bar of gray that says the number."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for at, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        image[:160, at * 107:(at + 1) * 107] = colour
    image[160:] = number % 8 * 32
    return image


def until(what: str, holds: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end, what
        time.sleep(0.01)


class Camera:
    """Writes frames at their pace until it is closed."""

    def __init__(self, out: vz.Publisher) -> None:
        self.out, self.times, self.ended = out, [0.0], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        number = 0
        while not self.ended.wait(1 / FPS):
            image = drawn(number)
            began = time.perf_counter()
            self.out.write(image)
            self.times.append(time.perf_counter() - began)
            # What was written is not touched by what is drawn next.
            image[:] = 0
            number += 1

    def close(self) -> None:
        self.ended.set()
        self.thread.join()


# A wrong key is said to who writes, and is tried once.
with vz.Publisher(f"{url}/slot", key="wrong") as out:
    try:
        until("a refusal", lambda: out.write(drawn(0)))
    except ValueError as error:
        assert "401" in str(error), error
    assert out.connections == 0 and out.sent == 0
print("refused", flush=True)

# What is written comes out, in its colours; the next one is not far behind.
with vz.Server(url).publish("slot", key=key) as out:
    camera = Camera(out)
    seen: set[int] = set()
    for frame in vz.frames(f"{url}/slot.mjpeg", timeout=20):
        assert frame.image.shape == (HEIGHT, WIDTH, 3)
        for at, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
            mean = frame.image[40:120, at * 107 + 20:at * 107 + 87].reshape(-1, 3).mean(0)
            assert np.abs(mean - colour).max() < 16, (colour, mean)
        gray = frame.image[180:220].mean() / 32
        assert abs(gray - round(gray)) < 0.25, gray
        seen.add(round(gray))
        if len(seen) == 8:
            break
    # Encoded for those who take no JPEG, too; and stills of it are JPEGs that can be sent as they are.
    film = next(vz.frames(f"{url}/film", timeout=20))
    assert film.image.shape == (HEIGHT, WIDTH, 3)
    still = vz.Server(url).still("slot.mjpeg")
    # The median: other programs have the processor, too.
    median = sorted(camera.times)[len(camera.times) // 2]
    assert median < 0.02, f"a write takes {median:.3f} s"
    assert out.connections == 1 and out.error is None
    print(f"published {out.sent}, dropped {out.dropped} of {out.sent + out.dropped}, writes of {median * 1000:.1f} ms", flush=True)

    # Another one gets the slot when it is free.
    with vz.Publisher(f"{url}/slot", key=key) as second:
        until("the slot is taken", lambda: (second.write(drawn(0)), second.error is not None)[1])
        assert "409" in str(second.error) and second.final is None, second.error
        camera.close()
        out.close()
        until("the slot is free", lambda: (second.write(still), time.sleep(0.05), second.sent > 0)[2])
print("second", flush=True)

# A burst is more than what is sent: the newest is, and the others are counted.
with vz.Publisher(f"{url}/slot", key=key) as out:
    for number in range(300):
        out.write(drawn(number))
assert out.sent >= 1 and out.dropped > 0 and out.sent + out.dropped == 300, (out.sent, out.dropped)
try:
    out.write(drawn(0))
except ValueError:
    print(f"dropped {out.dropped} of 300", flush=True)

# No image is no frame, which is said where it is written.
with vz.Publisher(f"{url}/slot", key=key) as out:
    for wrong in (b"GIF89a", np.zeros((2, 2), np.float32), np.zeros((2, 2, 4), np.uint8), np.zeros((0, 4), np.uint8)):
        try:
            out.write(wrong)
        except ValueError:
            continue
        raise AssertionError("what is no image was taken")
print("checked", flush=True)

# For ever: the server is killed and comes back.
out = vz.Publisher(f"{url}/slot", key=key)
camera = Camera(out)
for frame in vz.frames(f"{url}/slot.mjpeg", size=(160, 120)):
    print(f"alive {time.time():.3f} {frame.captured:.3f}", flush=True)
