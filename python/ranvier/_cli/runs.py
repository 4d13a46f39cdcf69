"""Run folders: what is in them, how it is written and read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ranvier.io import load_file, read_header, save_file, write_text

from . import zoo
from .datasets import Preparation

WEIGHTS, DESCRIPTION, CONFIG = "model.safetensors", "model.json", "config.toml"
_FORMAT = 1


@dataclass
class Trained:
    """A model from a run folder."""

    model: Any
    name: str
    arguments: dict[str, Any]
    classes: tuple[str, ...]
    prepare: Preparation
    weights: Path


def save(folder: Path, trained: Trained, results: dict[str, Any]) -> None:
    """Write the weights, and beside them, and inside them as metadata, what they belong to."""
    description = {
        "format": _FORMAT,
        "model": trained.name,
        "arguments": trained.arguments,
        "classes": list(trained.classes),
        "prepare": trained.prepare.to_json(),
        "results": results,
    }
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    save_file(trained.model.state_dict(), folder / WEIGHTS, {"description": text})
    write_text(folder / DESCRIPTION, text)


def describe(path: str) -> tuple[Path, dict[str, Any]]:
    """The weights file that a path means, and the description of its model.

    Args:
        path: a run folder, or a weights file that `save` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file does not say what model it belongs to, or is damaged.
    """
    weights = Path(path)
    if weights.is_dir():
        weights = weights / WEIGHTS
        if not weights.exists():
            unfinished = (weights.parent / "checkpoint.safetensors").exists()
            cure = (
                f"the run was interrupted: ranvier train --resume {path}"
                if unfinished
                else "train one with: ranvier train lenet"
            )
            raise FileNotFoundError(
                f"[run] expected a run folder with {WEIGHTS}, got {path!r} without it - {cure}"
            )
    if not weights.exists():
        raise FileNotFoundError(
            f"[run] expected a run folder or a {WEIGHTS}, got nothing at {path!r} - "
            "train one with: ranvier train lenet"
        )
    text = read_header(weights).metadata.get("description")
    try:
        description = json.loads(text or "")
        if description["format"] != _FORMAT:
            raise ValueError
        description["model"], description["arguments"], description["classes"]
        Preparation.from_json(description["prepare"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"[run] expected weights that name their model, got {str(weights)!r} without a "
            "description of format 1 - use a file that `ranvier train` wrote"
        ) from None
    return weights, description


def load(path: str) -> Trained:
    """The trained model of a run folder or weights file, in evaluation mode.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: damaged, or not what it says it is.
    """
    weights, description = describe(path)
    model = zoo.build(description["model"], description["arguments"])
    model.load_state_dict(load_file(weights))
    model.eval()
    return Trained(
        model,
        description["model"],
        description["arguments"],
        tuple(map(str, description["classes"])),
        Preparation.from_json(description["prepare"]),
        weights,
    )
