"""`ranvier predict`: what a trained model sees on picture files."""

from __future__ import annotations

import argparse
import json

import numpy as np

from ranvier import train

from . import pictures, runs


def main(options: argparse.Namespace) -> int:
    """Print the classes that are most likely, with their probabilities."""
    if options.top < 1:
        raise ValueError(f"[predict] expected --top of at least 1, got {options.top}")
    trained = runs.load(options.run)
    for path in options.images:
        x, done = pictures.read(path, trained.prepare, options.invert)
        scores = train.predict(trained.model, x).numpy()[0].astype(np.float64)
        likely = np.exp(scores - scores.max())
        likely /= likely.sum()
        order = np.argsort(-likely, kind="stable")[: options.top]
        names = [trained.classes[i] for i in order]
        if options.json:
            shares = {trained.classes[i]: round(float(likely[i]), 6) for i in order}
            print(json.dumps({"image": path, "class": names[0], "probabilities": shares}))
            continue
        listed = "  ".join(
            f"{name} {100 * likely[i]:.1f}%" for name, i in zip(names, order, strict=True)
        )
        print(f"{path}: {names[0]}   ({listed}; {done})")
    return 0
