"""Against a server: memory.py URL SECONDS. What a program holds that looks at each frame for so long."""

import gc
import sys
import time
from pathlib import Path

import voyandz_client as vz

url, seconds = sys.argv[1], float(sys.argv[2])
# So long it may still come to hold more: modules, and pools of memory.
WARM = seconds / 6


def held() -> int:
    """KiB of memory."""
    gc.collect()
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1])


began = time.monotonic()
count, total, before = 0, 0, 0
for frame in vz.frames(f"{url}/fast"):
    count += 1
    total += int(frame.image[0, 0, 0])
    spent = time.monotonic() - began
    if not before and spent > WARM:
        before = held()
    if spent > seconds:
        break
print(f"memory {before} {held()} {count}", flush=True)
