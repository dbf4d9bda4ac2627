"""The heads of raw frames, and how a plane becomes an image."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

HEAD = struct.Struct("<4sIQQQQII16s16sII8I8x")
# More than any frame: a head that says so is none.
MOST_BYTES = 1 << 28


class Broken(ConnectionError):
    """The connection ended, or what came is no frame."""


@dataclass(frozen=True)
class Raw:
    """A frame as it came."""

    number: int
    captured: float
    taken: float
    width: int
    height: int
    format: str
    places: tuple[tuple[int, int], ...]
    data: bytes


def exactly(source: BinaryIO, length: int) -> bytes:
    """So many bytes."""
    parts = []
    while length > 0:
        part = source.read(min(length, 1 << 20))
        if not part:
            raise Broken("the stream has ended")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def read(source: BinaryIO) -> Raw:
    """The next frame."""
    fields = HEAD.unpack(exactly(source, HEAD.size))
    magic, head, length, number, date, taken, width, height, pixels, _colours, planes, _zero, *places = fields
    if magic != b"VYZ1" or head < HEAD.size or length > MOST_BYTES or not 1 <= planes <= 4:
        raise Broken("this is no head of a frame")
    exactly(source, head - HEAD.size)
    data = exactly(source, length)
    pairs = tuple((places[2 * at], places[2 * at + 1]) for at in range(planes))
    kind = pixels.rstrip(b"\0").decode("ascii", "replace")
    return Raw(number, date / 1e6, taken / 1e6, width, height, kind, pairs, data)


def image(raw: Raw) -> np.ndarray[Any, Any]:
    """A view of the pixels, without a copy: (H, W, 3) of RGB and BGR, (H, W) of GRAY8, else (H × 3 / 2, W) as OpenCV has it."""
    data = np.frombuffer(raw.data, np.uint8)
    try:
        return _view(raw, data)
    except ValueError as error:
        raise Broken(f"a frame is shorter than its head says: {error}") from error


def _view(raw: Raw, data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    width, height = raw.width, raw.height
    if raw.format in ("RGB", "BGR"):
        offset, stride = raw.places[0]
        return np.ndarray((height, width, 3), np.uint8, data, offset, (stride, 3, 1))
    if raw.format == "GRAY8":
        offset, stride = raw.places[0]
        return np.ndarray((height, width), np.uint8, data, offset, (stride, 1))
    shapes = {
        "NV12": [(height, width), (-(-height // 2), -(-width // 2) * 2)],
        "I420": [(height, width), *2 * [(-(-height // 2), -(-width // 2))]],
    }.get(raw.format)
    if shapes is None or len(shapes) != len(raw.places):
        raise Broken(f"frames of {raw.format} are not known")
    planes = [np.ndarray(shape, np.uint8, data, offset, (stride, 1)) for shape, (offset, stride) in zip(shapes, raw.places)]
    if width % 2 or height % 2:
        return planes[0]
    return np.concatenate([plane.reshape(-1) for plane in planes]).reshape(height * 3 // 2, width)
