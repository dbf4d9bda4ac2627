"""Against a server: ages.py URL COUNT. How old frames are when a program of five frames a second gets them.

The age of a frame is the time from its capture, by the clock of the server, which is the one of this machine, until the iterator has it.
"""

import math
import random
import sys
import time

import voyandz_client as vz

url, count = sys.argv[1], int(sys.argv[2])
PERIOD = 0.2
# Frames of a stream of thirty a second come within it: the program shall not run in step with them.
STEP = 1 / 30
# Those before are of a program that starts.
WARM = 10

ages: list[float] = []
missed = 0
turn = time.monotonic()
for frame in vz.frames(f"{url}/cam"):
    ages.append(frame.age)
    missed += frame.missed
    if len(ages) == WARM + count:
        break
    turn += PERIOD
    time.sleep(max(turn + random.uniform(-STEP, STEP) / 2 - time.monotonic(), 0))
ages = sorted(ages[WARM:])
assert missed > 3 * count, f"it passes over most frames: {missed}"
print(f"ages {ages[len(ages) // 2]:.4f} {ages[math.ceil(len(ages) * 0.99) - 1]:.4f} {ages[-1]:.4f}", flush=True)
