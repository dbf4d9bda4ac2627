"""Baseline JPEG of an image, with numpy alone (ITU-T T.81): 4:2:0, with the usual Huffman tables, which RTP needs."""

from __future__ import annotations

import functools
import struct
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# Annex K.3.3: DC and AC of luma, DC and AC of chroma, as the content of a DHT segment.
HUFFMAN = bytes.fromhex(
    "0000010501010101010100000000000000000102030405060708090a0b100002010303020403050504040000017d0102"
    "0300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a"
    "3435363738393a434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a92"
    "939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4"
    "e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa0100030101010101010101010000000000000102030405060708090a0b110002"
    "0102040403040705040400010277000102031104052131061241510761711322328108144291a1b1c109233352f01562"
    "72d10a162434e125f11718191a262728292a35363738393a434445464748494a535455565758595a636465666768696a"
    "737475767778797a82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5"
    "c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa"
)
# Annex K.1 in the order of the zigzag: the divisors of quality 50.
LUMA = bytes.fromhex(
    "100b0c0e0c0a100e0d0e1211101318281a181616183123251d283a333d3c3933383740485c4e404457453738506d51575f626768673e4d71797064785c656763"
)
CHROMA = bytes.fromhex("1112121815182f1a1a2f634238426363") + 48 * b"\x63"
# Sixteen zeros, and all that remains of a block is zero.
ZEROS, END = 0xF0, 0x00
# Longest side that a head can say.
LONGEST = 65535


def _zigzag() -> Array:
    # Along the diagonals, up and down in turns.
    def way(at: int) -> tuple[int, int]:
        row, column = divmod(at, 8)
        return row + column, row if (row + column) % 2 else column

    return np.array(sorted(range(64), key=way))


def _dct() -> Array:
    rows, columns = np.mgrid[0:8, 0:8]
    scale = np.where(rows == 0, np.sqrt(1 / 8), 0.5)
    result: Array = (scale * np.cos((2 * columns + 1) * rows * np.pi / 16)).astype(np.float32)
    return result


def _codes() -> tuple[Array, Array]:
    """Codes and their lengths by table (DC and AC of luma, of chroma) and symbol."""
    codes, lengths = np.zeros((4, 256), np.uint64), np.zeros((4, 256), np.int64)
    at = 0
    for table in range(4):
        counts = HUFFMAN[at + 1 : at + 17]
        at += 17
        code = 0
        for length, count in enumerate(counts, 1):
            for symbol in HUFFMAN[at : at + count]:
                codes[table, symbol], lengths[table, symbol] = code, length
                code += 1
            at += count
            code <<= 1
    return codes, lengths


ZIGZAG, DCT = _zigzag(), _dct()
CODES, LENGTHS = _codes()
# Bits of each number up to the greatest that there is, 2047.
SIZES = np.array([number.bit_length() for number in range(2048)])


@functools.cache
def _divisors(quality: int) -> tuple[bytes, bytes]:
    """Those of luma and chroma, as everybody scales them."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    one, other = (bytes(min(max((value * percent + 50) // 100, 1), 255) for value in table) for table in (LUMA, CHROMA))
    return one, other


def check(image: Array) -> None:
    """Raises ValueError for what is no image."""
    fits = image.dtype == np.uint8 and (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3))
    if not fits or not all(0 < side <= LONGEST for side in image.shape[:2]):
        raise ValueError(f"expected uint8 of (H, W, 3) in BGR or (H, W) in gray, found {image.dtype} of {image.shape}")


def _planes(image: Array) -> tuple[Array, Array, Array]:
    """Luma, and chroma of half the size, about zero, with whole units of 16 pixels."""
    down, right = (-side % 16 for side in image.shape[:2])
    if down or right:
        image = np.pad(image, ((0, down), (0, right), (0, 0))[: image.ndim], "edge")
    if image.ndim == 2:
        none = np.zeros((image.shape[0] // 2, image.shape[1] // 2), np.float32)
        return image.astype(np.float32) - 128, none, none
    blue, green, red = (image[..., at].astype(np.float32) for at in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue

    def half(plane: Array) -> Array:
        return (plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]) / 4

    return luma - 128, half(blue - luma) / 1.772, half(red - luma) / 1.402


def _units(planes: tuple[Array, Array, Array], divisors: tuple[bytes, bytes]) -> Array:
    """Numbers in the order in which they are written: (units, 6 blocks, 64)."""
    parts = []
    for number, plane in enumerate(planes):
        table = np.empty(64, np.float32)
        table[ZIGZAG] = list(divisors[number > 0])
        height, width = plane.shape
        blocks = plane.reshape(height // 8, 8, width // 8, 8).swapaxes(1, 2)
        waves = np.rint(DCT @ blocks @ DCT.T / table.reshape(8, 8)).astype(np.int64)
        flat = np.clip(waves.reshape(height // 8, width // 8, 64)[..., ZIGZAG], -1023, 1023)
        if number == 0:
            # Four blocks of luma for each of chroma.
            flat = flat.reshape(height // 16, 2, width // 16, 2, 64).swapaxes(1, 2)
        parts.append(flat.reshape(-1, 4 if number == 0 else 1, 64))
    return np.concatenate(parts, axis=1)


def _written(values: Array, tables: Array, symbols: Array, sizes: Array) -> tuple[Array, Array]:
    """A code and the bits of its value, as one number and its length."""
    bits = np.where(values < 0, values + (1 << sizes) - 1, values).astype(np.uint64)
    return CODES[tables, symbols] << sizes.astype(np.uint64) | bits, LENGTHS[tables, symbols] + sizes


def _scan(units: Array) -> bytes:
    """The numbers, coded."""
    count = len(units) * 6
    is_chroma = np.tile(np.array([0, 0, 0, 0, 1, 1]), len(units))
    first = units[..., 0]
    # Each is written as what it differs from the one before of its component.
    steps = np.empty_like(first)
    for at in (slice(0, 4), slice(4, 5), slice(5, 6)):
        steps[:, at] = np.diff(first[:, at].reshape(-1), prepend=0).reshape(first[:, at].shape)
    steps = steps.reshape(-1)
    sizes = SIZES[np.abs(steps)]
    starts = _written(steps, is_chroma * 2, sizes, sizes)

    blocks = units.reshape(-1, 64).copy()
    blocks[:, 0] = 0
    block, place = np.nonzero(blocks)
    values = blocks[block, place]
    is_first = np.diff(block, prepend=-1) != 0
    runs = place - np.where(is_first, 0, np.roll(place, 1)) - 1
    sizes, tables = SIZES[np.abs(values)], is_chroma[block] * 2 + 1
    codes, lengths = _written(values, tables, (runs % 16) << 4 | sizes, sizes)
    # Up to three times sixteen zeros before it are part of the same number, which has 59 bits at most.
    for times in range(1, 4):
        rows = np.nonzero(runs >= 16 * times)[0]
        codes[rows] |= CODES[tables[rows], ZEROS] << lengths[rows].astype(np.uint64)
        lengths[rows] += LENGTHS[tables[rows], ZEROS]

    last = np.zeros(count, np.int64)
    last[block] = place  # The greatest of a block is written last.
    ends = np.nonzero(last < 63)[0]
    tables = is_chroma[ends] * 2 + 1
    keys = np.concatenate([np.arange(count) * 65, block * 65 + place, ends * 65 + 64])
    codes = np.concatenate([starts[0], codes, CODES[tables, END]])
    lengths = np.concatenate([starts[1], lengths, LENGTHS[tables, END]])
    order = np.argsort(keys, kind="stable")
    return _packed(codes[order], lengths[order])


def _packed(codes: Array, lengths: Array) -> bytes:
    ends = np.cumsum(lengths)
    # How many bits of its code follow each bit.
    behind = np.repeat(ends, lengths) - np.arange(ends[-1]) - 1
    bits = (np.repeat(codes, lengths) >> behind.astype(np.uint64)).astype(np.uint8) & 1
    padded = np.concatenate([bits, np.ones(-len(bits) % 8, np.uint8)])
    return np.packbits(padded).tobytes().replace(b"\xff", b"\xff\x00")


def encode(image: Array, quality: int = 85) -> bytes:
    """A JPEG of (H, W, 3) in BGR, or of (H, W) in gray."""
    check(image)
    divisors = _divisors(min(max(quality, 1), 100))
    height, width = image.shape[:2]

    def segment(marker: int, content: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content

    parts = [
        b"\xff\xd8",
        segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
        segment(0xDB, b"\0" + divisors[0] + b"\1" + divisors[1]),
        segment(0xC0, struct.pack(">BHHB", 8, height, width, 3) + bytes([1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1])),
        segment(0xC4, HUFFMAN),
        segment(0xDA, bytes([3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0])),
        _scan(_units(_planes(image), divisors)),
        b"\xff\xd9",
    ]
    return b"".join(parts)
