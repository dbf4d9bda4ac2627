"""Against a server: capture.py URL TOKEN. Programs in the shapes that those for OpenCV's VideoCapture have; a line for each.

The server has the stream `cam`: 320×240, 25 frames a second, a white ball on black.
"""

import sys
import time

import numpy as np

import voyandz_client as cv

url, token = sys.argv[1:3]


def opened() -> cv.Capture:
    capture = cv.Capture(f"{url}/cam", token=token)
    if not capture.isOpened():
        sys.exit("Cannot open camera")
    return capture


# Shows what comes, until a key is pressed.
cap = opened()
shown, dates = 0, []
while True:
    ret, frame = cap.read()
    if not ret:
        sys.exit("Can't receive frame")
    assert frame.shape == (240, 320, 3) and frame.dtype == np.uint8 and frame.flags.c_contiguous
    assert frame.max() > 200 and frame.min() < 30
    # Programs draw into it.
    frame[:] = 0
    dates.append(cap.get(cv.CAP_PROP_POS_MSEC))
    shown += 1
    if shown == 30:
        break
cap.release()
assert all(one < next for one, next in zip(dates, dates[1:])), "each is newer than the one before"
assert abs(time.time() - dates[-1] / 1000) < 2
assert not cap.isOpened() and cap.read() == (False, None) and not cap.grab() and cap.retrieve() == (False, None)
assert cap.get(cv.CAP_PROP_FRAME_WIDTH) == 0 and not cap.set(cv.CAP_PROP_FPS, 5)
print("loop")

# While it is open.
with opened() as cap:
    while cap.isOpened():
        ret, frame = cap.read()
        if ret:
            break
print("while open")

# Asks what it has, before the first frame, and makes a file of that size.
cap = opened()
width, height = int(cap.get(cv.CAP_PROP_FRAME_WIDTH)), int(cap.get(cv.CAP_PROP_FRAME_HEIGHT))
fps = cap.get(cv.CAP_PROP_FPS)
assert (width, height) == (320, 240) and 10 < fps < 30, (width, height, fps)
assert cap.get(cv.CAP_PROP_BUFFERSIZE) == 1 and cap.get(1234) == 0
assert [type(cap.get(prop)) for prop in (1, 3, 5, 1234)] == 4 * [float]
print(f"properties: {width}x{height}, {fps:.1f} frames a second")

# Chooses a size and a rate, and looks what came of it.
assert cap.set(cv.CAP_PROP_BUFFERSIZE, 1) and not cap.set(cv.CAP_PROP_BUFFERSIZE, 3) and not cap.set(1234, 1)
assert cap.set(cv.CAP_PROP_FRAME_WIDTH, 160) and cap.read()[1].shape == (120, 160, 3)
# It keeps the shape: the largest that fits.
assert cap.set(cv.CAP_PROP_FRAME_HEIGHT, 60) and cap.read()[1].shape == (60, 80, 3)
assert cap.get(cv.CAP_PROP_FRAME_WIDTH) == 80 and cap.get(cv.CAP_PROP_FRAME_HEIGHT) == 60
assert cap.set(cv.CAP_PROP_FPS, 5)
fps = cap.get(cv.CAP_PROP_FPS)
assert 2 < fps < 8, fps
# What the server does not do changes nothing.
assert not cap.set(cv.CAP_PROP_FRAME_WIDTH, 1_000_000) and not cap.set(cv.CAP_PROP_FPS, 0)
assert cap.read()[1].shape == (60, 80, 3)
# Into an array that is there.
mine = np.zeros((60, 80, 3), np.uint8)
ret, frame = cap.read(mine)
assert ret and frame is mine and mine.max() > 200
assert cap.read(np.zeros((2, 2, 3), np.uint8))[1].shape == (60, 80, 3)
cap.release()
print("settings")

# Two cameras at the same moment: first both are grabbed, then both are decoded.
left, right = opened(), opened()
for _ in range(5):
    assert left.grab() and right.grab()
    moments = [camera.get(cv.CAP_PROP_POS_MSEC) for camera in (left, right)]
    assert abs(moments[0] - moments[1]) < 500, moments
    (good, one), (fine, other) = left.retrieve(), right.retrieve()
    assert good and fine and one.shape == other.shape
    # The same one again.
    assert (left.retrieve()[1] == one).all()
left.release()
right.release()
print("two")

# Opened later, and again.
cap = cv.Capture(token=token)
assert not cap.isOpened() and cap.read() == (False, None)
assert cap.open(f"{url}/cam") and cap.isOpened() and cap.read()[0]
assert cap.open(f"{url}/cam") and cap.read()[0]
cap.release()
print("again")

# What is not there is not opened; what may not be seen is not waited for.
began = time.monotonic()
assert not cv.Capture(f"{url}/none", token=token, timeout=1).isOpened()
assert 0.9 < time.monotonic() - began < 5
began = time.monotonic()
cap = cv.Capture(f"{url}/cam", token="vyz_wrong")
assert not cap.isOpened() and cap.read() == (False, None) and time.monotonic() - began < 5
print("refused")
