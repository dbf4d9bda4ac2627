"""Against a server: ages.py URL COUNT. How old frames are when a program of five frames a second gets them.

The age of a frame is the time from its capture, by the clock of the server, which is the one of this machine, until the iterator has it.
What comes while the machine lets everybody wait says nothing of the server, and is not counted: a thread that only sleeps notices it.
"""

import math
import random
import sys
import threading
import time

import voyandz_client as vz

url, count = sys.argv[1], int(sys.argv[2])
PERIOD = 0.2
# Frames of a stream of thirty a second come within it: the program shall not run in step with them.
STEP = 1 / 30
# Those before are of a program that starts.
WARM = 10
# So late may a thread be that sleeps.
LATE = 0.004
# A frame may have waited for what began so long before it.
BEFORE = 0.1

late_at = 0.0


def doze() -> None:
    global late_at
    while True:
        began = time.monotonic()
        time.sleep(LATE / 2)
        now = time.monotonic()
        if now - began > LATE / 2 + LATE:
            late_at = now


threading.Thread(target=doze, daemon=True).start()
ages: list[float] = []
missed = seen = 0
turn = time.monotonic()
for frame in vz.frames(f"{url}/cam"):
    age, got = frame.age, time.monotonic()
    seen += 1
    missed += frame.missed
    # The other thread may be later than this one.
    time.sleep(10 * LATE)
    if seen > WARM and late_at < got - age - BEFORE:
        ages.append(age)
    assert seen < WARM + 5 * count, f"the machine is too late: {len(ages)} of {seen}"
    if len(ages) == count:
        break
    turn += PERIOD
    time.sleep(max(turn + random.uniform(-STEP, STEP) / 2 - time.monotonic(), 0))
ages.sort()
assert missed > 3 * count, f"it passes over most frames: {missed}"
print(f"ages {ages[count // 2]:.4f} {ages[math.ceil(count * 0.99) - 1]:.4f} {ages[-1]:.4f} {seen - WARM}", flush=True)
