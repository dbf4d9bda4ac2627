"""jpeg.py FOLDER: images, each as it is and as JPEG of this package, for those who have a decoder."""

import sys
from pathlib import Path

import numpy as np

from voyandz_client import _jpeg

folder = Path(sys.argv[1])
noise = np.random.default_rng(1)


def smooth(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [np.sin(rows / 9 + at) + np.cos(columns / 13 - at) for at in range(3)]
    return (np.stack(waves, -1) * 60 + 128).astype(np.uint8)


IMAGES = {
    # Name, image, quality, and the least ratio of signal to noise in dB.
    "smooth": (smooth(240, 320), 90, 38),
    "odd": (smooth(37, 21), 90, 36),
    "pixel": (smooth(1, 1), 90, 30),
    "gray": (smooth(50, 70)[..., 0], 90, 38),
    "coarse": (smooth(120, 160), 1, 14),
    "finest": (smooth(120, 160), 100, 42),
    # All coefficients, of all sizes: chroma is halved, so that the noise is gray.
    "noise": (np.repeat(noise.integers(0, 256, (64, 64, 1), np.uint8), 3, -1), 100, 40),
    # Few coefficients far from each other: runs of zeros.
    "dots": (np.where(noise.random((64, 64)) < 0.01, 255, 128).astype(np.uint8), 60, 25),
    "black": (np.zeros((16, 16, 3), np.uint8), 85, 60),
}
for name, (image, quality, least) in IMAGES.items():
    height, width = image.shape[:2]
    colours = image if image.ndim == 3 else np.repeat(image[..., None], 3, -1)
    (folder / f"{name}.rgb").write_bytes(colours[..., ::-1].tobytes())
    (folder / f"{name}.jpg").write_bytes(_jpeg.encode(image, quality))
    print(f"{name} {width} {height} {least}", flush=True)
