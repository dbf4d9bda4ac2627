"""What needs no server."""

import io
import unittest

import numpy as np

from voyandz_client import _wire
from voyandz_client._frames import target
from voyandz_client._retry import LONGEST_AWAY, LONGEST_REFUSED, Pauses


def head(format: bytes, width: int, height: int, places: list[tuple[int, int]], length: int) -> bytes:
    flat = [number for place in places for number in place] + [0] * (8 - 2 * len(places))
    return _wire.HEAD.pack(b"VYZ1", 128, length, 7, 2_000_000, 5, width, height, format, b"", len(places), 0, *flat)


class Wire(unittest.TestCase):
    def test_lines_may_be_longer_than_what_is_seen(self) -> None:
        data = bytes(range(32))
        raw = _wire.read(io.BytesIO(head(b"BGR", 2, 3, [(2, 10)], 32) + data))
        image = _wire.image(raw)
        self.assertEqual(image.shape, (3, 2, 3))
        self.assertEqual(image[1, 1].tolist(), [15, 16, 17])
        self.assertEqual((raw.number, raw.captured, raw.format), (7, 2.0, "BGR"))

    def test_planes_are_one_image(self) -> None:
        data = bytes(range(24))
        image = _wire.image(_wire.read(io.BytesIO(head(b"I420", 4, 4, [(0, 4), (16, 2), (20, 2)], 24) + data)))
        self.assertEqual(image.shape, (6, 4))
        self.assertTrue((image.reshape(-1) == np.arange(24)).all())

    def test_what_is_no_frame_is_said(self) -> None:
        good = head(b"GRAY8", 2, 2, [(0, 2)], 4)
        for broken in (b"", good, good + b"123", b"VYZ2" + good[4:] + b"1234", head(b"GRAY8", 2, 2, [(0, 2)], 1 << 40)):
            with self.assertRaises(_wire.Broken):
                _wire.read(io.BytesIO(broken))
        with self.assertRaises(_wire.Broken):
            _wire.image(_wire.read(io.BytesIO(head(b"GRAY8", 200, 200, [(0, 200)], 4) + b"1234")))

    def test_addresses(self) -> None:
        self.assertEqual(target("http://h/cam0", None, "BGR", None), "http://h/cam0/frames?format=BGR")
        expect = "http://h/cam0/frames?v=x.y&format=GRAY8&w=64&h=48&fps=5"
        self.assertEqual(target("http://h/cam0", (64, None), "BGR", None), "http://h/cam0/frames?format=BGR&w=64")
        self.assertEqual(target("http://h/cam0/?v=x.y", (64, 48), "GRAY8", 5.0), expect)

    def test_pauses_are_short_while_there_is_no_server(self) -> None:
        pauses = Pauses()
        away = [pauses.after(refused=False) for _ in range(20)]
        self.assertTrue(all(0.1 < pause <= LONGEST_AWAY for pause in away), away)
        refused = [pauses.after(refused=True) for _ in range(20)]
        self.assertTrue(LONGEST_REFUSED / 2 <= refused[-1] <= LONGEST_REFUSED, refused)
        # It is away again.
        self.assertLessEqual(pauses.after(refused=False), LONGEST_AWAY)
        pauses.after(refused=True)
        pauses.succeeded()
        self.assertLessEqual(pauses.after(refused=True), 0.25)
