"""The embedded default: 1,797 real handwritten digits of 8 x 8 pixels.

They are the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, UCI
Machine Learning Repository, 1998, doi 10.24432/C50P49, CC BY 4.0), as scikit-learn distributes
them: 13 people wrote on forms, and each pixel counts the black dots of a 4 x 4 block, 0 to 16.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import names
from .dataset import ArrayDataset

SPLITS = ("train", "validation", "test", "all")


@lru_cache(maxsize=1)
def _stored() -> dict[str, NDArray]:
    """The arrays of digits.npz; see tools/make_digits.py for how it is made."""
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def digits(split: str = "train", size: int | tuple[int, int] | None = None) -> ArrayDataset:
    """Real 8 x 8 handwritten digits that come with the package: no download.

    The parts are stratified by class and fixed: 1,197 to train, 240 to validate, 360 to test.

    Args:
        split: "train", "validation", "test", or "all" in the original order.
        size: scaled once to this height and width (bilinear); None leaves 8 x 8.

    Returns:
        Pictures float32 of shape (N, 1, 8, 8) in [0, 1], labels int64 of shape (N,).

    Raises:
        ValueError: no such part.

    Example:
        >>> digits("test", size=32).sample_shape
        (1, 32, 32)
    """
    if split not in SPLITS:
        raise ValueError(f"[digits] expected split {', '.join(SPLITS)}, got {split!r}")
    stored = _stored()
    indices = np.arange(len(stored["labels"])) if split == "all" else stored[split]
    x = stored["images"][indices][:, None] / np.float32(16)
    y = stored["labels"][indices].astype(np.int64)
    dataset = ArrayDataset(x, y, names.DIGITS, name="digits")
    return dataset if size is None else dataset.resized(size)
