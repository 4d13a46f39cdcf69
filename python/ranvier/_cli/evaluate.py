"""`ranvier evaluate`: a trained model measured on a part of some data."""

from __future__ import annotations

import argparse
import json

from ranvier.train.evaluate import Evaluator

from . import datasets, runs
from .settings import device


def main(options: argparse.Namespace) -> int:
    """Print loss and accuracy, and the classes that are confused most."""
    trained = runs.load(options.run)
    source = options.data or trained.prepare.data
    size = trained.prepare.input[-1] if len(trained.prepare.input) == 3 else None
    parts = datasets.load(source, trained.name, size)
    if parts.prepare.input != trained.prepare.input:
        raise ValueError(
            f"[evaluate] expected inputs of shape {trained.prepare.input}, got "
            f"{parts.prepare.input} from {source!r} - choose data like those it was trained on"
        )
    where = device(options.device)
    trained.model.to(where)
    loader = datasets.loader(getattr(parts.splits, options.part), trained.prepare)
    evaluator = Evaluator(trained.model, None, ("accuracy", "confusion_matrix"))
    values = evaluator.run(loader, where)
    counts = values.pop("confusion_matrix")
    total = sum(map(sum, counts))
    if options.json:
        print(json.dumps({"data": source, "part": options.part, "samples": total, **values}))
        return 0
    right = sum(row[i] for i, row in enumerate(counts))
    print(f"{source}, {options.part} part: {total:,} samples")
    print(f"loss {values['loss']:.4f}")
    print(f"accuracy {values['accuracy']:.4f} ({right:,} of {total:,} right)")
    wrong = sorted(
        ((n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if i != j and n),
        key=lambda entry: (-entry[0], entry[1:]),
    )
    for n, i, j in wrong[:5]:
        print(f"  {n} x {trained.classes[i]} taken for {trained.classes[j]}")
    return 0
