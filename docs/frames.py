#!/usr/bin/env python3
"""Reads raw pictures of a stream, and prints how each of them is.

frames.py http://127.0.0.1:8090/demo.ts/frames?format=GRAY8 [COUNT]
"""
import struct
import sys
import urllib.request

HEAD = struct.Struct("<4sIQQQQII16s16sII8I8x")


def exactly(source, length):
    data = source.read(length)
    if len(data) < length:
        sys.exit("the stream has ended")
    return data


def frames(url):
    with urllib.request.urlopen(url) as source:
        while True:
            (magic, head, length, number, date, taken, width, height, pixels, colours, planes, _,
             *places) = HEAD.unpack(exactly(source, HEAD.size))
            assert magic == b"VYZ1", "this is no head of a picture"
            exactly(source, head - HEAD.size)  # what a later version may add
            data = exactly(source, length)
            places = [(places[2 * at], places[2 * at + 1]) for at in range(planes)]
            yield number, date / 1e6, (width, height), pixels.rstrip(b"\0").decode(), places, data


if __name__ == "__main__":
    count = int(sys.argv[2]) if len(sys.argv) > 2 else None
    for number, date, (width, height), pixels, places, data in frames(sys.argv[1]):
        # The first plane is luma in all formats but RGB and BGR. Lines may be longer than what is seen of them.
        offset, stride = places[0]
        lines = [data[offset + y * stride:offset + y * stride + width] for y in range(height)]
        mean = sum(map(sum, lines)) / (width * height)
        print(f"{number} {date:.3f} {width}x{height} {pixels} mean {mean:.1f}", flush=True)
        if count is not None and number + 1 == count:
            break
