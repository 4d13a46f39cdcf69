#!/usr/bin/env python3
"""Make python/ranvier/data/digits.npz from scikit-learn's copy of the UCI digits.

The file holds the 1,797 pictures (bytes, 0 to 16), their labels and the stratified split as
indices. Run with ``--check`` to compare the committed file with what would be written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "python"))  # where the package is not installed

from ranvier.data.splits import stratified_split  # noqa: E402

TARGET = ROOT / "python" / "ranvier" / "data" / "digits.npz"
SIZES = {"train": 1197, "validation": 240, "test": 360}
SEED = 0


def make() -> dict[str, np.ndarray]:
    """The arrays of the file."""
    from sklearn.datasets import load_digits

    source = load_digits()
    parts = stratified_split(source.target, tuple(SIZES.values()), SEED)
    return {
        "images": source.images.astype(np.uint8),
        "labels": source.target.astype(np.uint8),
        **{name: part.astype(np.uint16) for name, part in zip(SIZES, parts, strict=True)},
    }


def main() -> int:
    """Write the file, or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    arrays = make()
    if not check:
        np.savez_compressed(TARGET, allow_pickle=False, **arrays)
        print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size:,} bytes")
        return 0
    with np.load(TARGET, allow_pickle=False) as stored:
        same = sorted(stored.files) == sorted(arrays) and all(
            np.array_equal(stored[name], array) for name, array in arrays.items()
        )
    print("the same" if same else "different")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
