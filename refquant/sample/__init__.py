"""The embedded sample: a small classifier of handwritten digits, and images that it was not trained on.

Both were made by `python -m refquant.sample.train` from scikit-learn's bundled digits: 8 x 8 grey images.

* `digits.mlmodel` takes `image`, float32 of shape (1, 8, 8): pixels divided by 16, row by row. It gives
  `digit`, "0" to "9", and `probabilities`, a share for each.
* `digits.bin` is 200 records of 65 bytes without a header: the 64 pixels of an image, row by row, each
  0 (paper) to 16 (ink), then its digit, 0 to 9.
"""

from __future__ import annotations

from pathlib import Path
from pkgutil import get_data
from typing import NamedTuple

HERE = Path(__file__).parent

#: Files of this package: the network, and the images.
MODEL, IMAGES = "digits.mlmodel", "digits.bin"

#: Bytes of one image in digits.bin: 64 pixels and the digit.
RECORD = 65


class Image(NamedTuple):
    """A held-back image: 64 pixels of 0 (paper) to 16 (ink), row by row, and the digit that was written."""

    pixels: bytes
    digit: int


def model_path() -> Path:
    """Give the path of the sample network, an .mlmodel file: of no use where the package is in an archive."""
    return HERE / MODEL


def images_path() -> Path:
    """Give the path of the held-back images, records as the module describes; likewise."""
    return HERE / IMAGES


def model_bytes() -> bytes:
    """Give the bytes of the sample network."""
    return get_data("refquant.sample", MODEL) or b""


def images() -> list[Image]:
    """Give the 200 held-back images. The network takes their pixels divided by 16."""
    data = get_data("refquant.sample", IMAGES) or b""
    records = (data[start : start + RECORD] for start in range(0, len(data), RECORD))
    return [Image(record[:-1], record[-1]) for record in records]
