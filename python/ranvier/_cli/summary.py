"""`ranvier summary`: a model's layers, sizes and costs."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ranvier import models
from ranvier.cli import MODELS
from ranvier.summary import Summary, summary

from . import runs, zoo
from .settings import Settings, update


def main(options: argparse.Namespace) -> int:
    """Print the table."""
    size = _size(options.input_size)
    if options.depth is not None and options.depth < 0:
        raise ValueError(f"[summary] expected --depth of at least 0, got {options.depth}")
    depth = 3 if options.depth is None else options.depth
    if options.model in MODELS or Path(options.model).exists():
        if options.model in MODELS:
            name, given = options.model, _defaults(options.model, size)
        else:
            description = runs.describe(options.model)[1]
            name, given = description["model"], description["arguments"]
        shape = size or zoo.input_shape(name, given)
        report = summary(zoo.build(name, given), (1, *shape), depth)
    else:  # any other network that the package has, as it is built by default
        model = models.get(options.model)
        dtypes = getattr(model, "input_dtypes", None)
        report = summary(model, (1, *size) if size else None, depth, dtypes)
    print(json.dumps(_plain(report), indent=2) if options.json else report)
    return 0


def _plain(report: Summary) -> dict[str, Any]:
    """The numbers as plain values."""
    return {
        "parameters": report.total_params,
        "trainable": report.trainable_params,
        "mult_adds": report.mult_adds,
        "parameter_bytes": report.param_bytes,
        "activation_bytes": report.activation_bytes,
        "saved_bytes": report.saved_bytes,
        "receptive_field": report.receptive_field,
        "notes": report.notes,
        "layers": [asdict(layer) for layer in report.layers],
    }


def _defaults(name: str, size: tuple[int, ...] | None) -> dict[str, Any]:
    """The arguments of a model for ten classes and inputs of a size."""
    settings = update(Settings(), {"model": name})
    return zoo.arguments(settings, size or ((64,) if name == "mlp" else (1, 32, 32)), 10)


def _size(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        size = tuple(int(part) for part in text.lower().replace("x", ",").split(","))
        if not size or min(size) < 1:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"[summary] expected --input-size as channels,height,width of one input, such as "
            f"1,32,32, got {text!r}"
        ) from None
    return size
