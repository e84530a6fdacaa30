"""The embedded sample: a small classifier of handwritten digits, and images that it was not trained on.

Both were made by `python -m refquant.sample.train` from scikit-learn's bundled digits: 8 x 8 grey images.

* `digits.mlmodel` takes `image`, float32 of shape (1, 8, 8): pixels divided by 16, row by row. It gives
  `digit`, "0" to "9", and `probabilities`, a share for each.
* `digits.bin` is 200 records of 65 bytes without a header: the 64 pixels of an image, row by row, each
  0 (paper) to 16 (ink), then its digit, 0 to 9.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent

#: Bytes of one image in digits.bin: 64 pixels and the digit.
RECORD = 65


class Image(NamedTuple):
    """A held-back image: 64 pixels of 0 (paper) to 16 (ink), row by row, and the digit that was written."""

    pixels: bytes
    digit: int


def model_path() -> Path:
    """Give the path of the sample network, an .mlmodel file."""
    return HERE / "digits.mlmodel"


def images_path() -> Path:
    """Give the path of the held-back images, records as the module describes."""
    return HERE / "digits.bin"


def model_bytes() -> bytes:
    """Give the bytes of the sample network."""
    return model_path().read_bytes()


def images() -> list[Image]:
    """Give the 200 held-back images. The network takes their pixels divided by 16."""
    data = images_path().read_bytes()
    records = (data[start : start + RECORD] for start in range(0, len(data), RECORD))
    return [Image(record[:-1], record[-1]) for record in records]
