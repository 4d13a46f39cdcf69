"""All settings of `ranvier train`: their names, types, defaults, and the recipes."""

from __future__ import annotations

import argparse
import difflib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import ranvier as rv
from ranvier.cli import MODELS
from ranvier.io.config import apply_overrides, from_mapping, load_mapping, update


@dataclass
class Model:
    """What is built; which of them matter depends on the model."""

    hidden: tuple[int, ...] = (128,)  # mlp: units of each hidden layer
    activation: Literal["relu", "tanh", "sigmoid", "leaky_relu"] = "relu"
    pooling: Literal["max", "avg"] = "max"  # lenet
    dropout: float = 0.0  # mlp: probability to drop a hidden unit


@dataclass
class Optimizer:
    """How the weights move."""

    name: Literal["adamw", "adam", "sgd", "rmsprop", "adagrad", "adadelta"] = "adamw"
    lr: float = 2e-3
    weight_decay: float = 0.01
    momentum: float = 0.9  # sgd
    nesterov: bool = True  # sgd


@dataclass
class Schedule:
    """How the learning rate falls."""

    name: Literal["cosine", "step", "exponential", "plateau", "constant"] = "cosine"
    warmup: float = 1.0  # epochs of linear rise at the start
    final: float = 0.0  # cosine: the last factor
    every: float = 10.0  # step: epochs between two falls; plateau: epochs of patience
    gamma: float = 0.5  # step, exponential, plateau: the factor


@dataclass
class Augment:
    """Random changes of the training pictures, other ones in every epoch."""

    shift: float = 0.0  # up to this part of height and width
    degrees: float = 0.0  # turned up to this far
    scale: float = 0.0  # 0.1: from 0.9 to 1.1 times the size
    shear: float = 0.0  # degrees
    flip: bool = False  # mirror left and right


@dataclass
class Saving:
    """When a checkpoint is written, besides the end and Ctrl-C."""

    every_epochs: int = 1
    every_steps: int | None = None


@dataclass
class Settings:
    """Everything that decides what comes out of a run."""

    model: str = "lenet"
    data: str = "digits"
    size: int | None = None  # height and width that pictures are scaled to; unset: the model's
    epochs: int = 20
    batch_size: int = 64
    seed: int = 0
    device: str = "auto"
    capture: bool = True
    patience: int | None = None  # stop after so many epochs without a better val_loss
    network: Model = field(default_factory=Model)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    augment: Augment = field(default_factory=Augment)
    checkpoint: Saving = field(default_factory=Saving)


# What a model and its data need beyond the defaults; found on the validation part.
_RECIPES: dict[tuple[str, str], dict[str, Any]] = {
    ("lenet", "digits"): {
        "epochs": 60,
        "batch_size": 32,
        "augment": {"shift": 0.08, "degrees": 10.0, "scale": 0.1},
    },
    ("mlp", "digits"): {
        "epochs": 60,
        "batch_size": 32,
        "augment": {"shift": 0.05, "degrees": 5.0},
    },
    ("lenet", "mnist"): {"epochs": 10, "augment": {"shift": 0.05, "degrees": 10.0}},
    ("mlp", "mnist"): {"epochs": 10},
    ("lenet", "cifar10"): {"augment": {"shift": 0.1, "flip": True}},
    ("lenet", "cifar100"): {"augment": {"shift": 0.1, "flip": True}},
    ("lenet", "fashion-mnist"): {"augment": {"flip": True}},
}


def known_model(name: str) -> str:
    """The name, if there is such a model.

    Raises:
        ValueError: there is none; the text names the closest.
    """
    if name in MODELS:
        return name
    close = difflib.get_close_matches(name.lower(), MODELS, 1, 0.4)
    cure = f" - did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"[model] expected one of {', '.join(MODELS)}, got {name!r}{cure}")


def resolve(options: argparse.Namespace) -> Settings:
    """The settings: recipe, then file, then --set, then options.

    Raises:
        ValueError: unknown keys or models, values of the wrong type or range.
        OSError: the file cannot be read.
    """
    file = load_mapping(options.config) if options.config else {}
    where = str(options.config) if options.config else "config"
    flags = {
        name: getattr(options, name)
        for name in ("model", "data", "epochs", "batch_size", "seed", "device")
        if getattr(options, name) is not None
    }
    if options.lr is not None:
        flags["optimizer"] = {"lr": options.lr}
    if options.no_capture:
        flags["capture"] = False

    # Model and data select the recipe, so they are settled first.
    first = apply_overrides(from_mapping(Settings, file, where), options.overrides)
    first = update(first, flags)
    if not (options.model or "model" in file or any(
        text.strip().startswith("model") for text in options.overrides
    )):  # fmt: skip
        raise ValueError(
            f"[train] expected a model, one of {', '.join(MODELS)}, got none - "
            "for example: ranvier train lenet"
        )
    known_model(first.model)
    recipe = _RECIPES.get((first.model, first.data.lower().replace("_", "-")), {})
    settings = update(from_mapping(Settings, recipe), file, where)
    settings = update(apply_overrides(settings, options.overrides), flags)
    return checked(settings)


def checked(settings: Settings) -> Settings:
    """The settings, if every number is in its range.

    Raises:
        ValueError: one is not; the text names key, range and value.
    """
    inf = float("inf")

    def unless_unset(value: int | None) -> int:
        return 1 if value is None else value

    ranges = {
        "epochs": (settings.epochs, 1, inf),
        "batch_size": (settings.batch_size, 1, inf),
        "size": (unless_unset(settings.size), 1, inf),
        "seed": (settings.seed, 0, 2**63 - 1),
        "patience": (unless_unset(settings.patience), 1, inf),
        "optimizer.lr": (settings.optimizer.lr, 0, inf),
        "optimizer.weight_decay": (settings.optimizer.weight_decay, 0, inf),
        "optimizer.momentum": (settings.optimizer.momentum, 0, 1),
        "network.dropout": (settings.network.dropout, 0, 1),
        "schedule.warmup": (settings.schedule.warmup, 0, inf),
        "schedule.final": (settings.schedule.final, 0, 1),
        "schedule.every": (settings.schedule.every, 1e-3, inf),
        "schedule.gamma": (settings.schedule.gamma, 0, 1),
        "augment.shift": (settings.augment.shift, 0, 1),
        "augment.degrees": (settings.augment.degrees, 0, 360),
        "augment.scale": (settings.augment.scale, 0, 0.99),
        "augment.shear": (settings.augment.shear, 0, 89),
        "checkpoint.every_epochs": (settings.checkpoint.every_epochs, 1, inf),
        "checkpoint.every_steps": (unless_unset(settings.checkpoint.every_steps), 1, inf),
    }
    for key, (value, low, high) in ranges.items():
        if not low <= value <= high or value == inf:
            limit = f"at least {low}" if high == inf else f"from {low} to {high}"
            raise ValueError(f"[config] expected {key} {limit}, got {value} - correct the value")
    if any(units < 1 for units in settings.network.hidden):
        raise ValueError(
            f"[config] expected network.hidden of at least 1 unit each, got "
            f"{list(settings.network.hidden)} - correct the value"
        )
    return settings


def device(name: str | None) -> rv.Device:
    """The device to compute on.

    Raises:
        TypeError: no device, or one without values.
    """
    found = rv.device(name)
    if found.type == "meta":
        raise TypeError(f"[device] expected cpu, cuda, cuda:0 or auto, got {name!r}")
    return found


def new_folder(model: str, out: str | None) -> Path:
    """The folder of a new run: the one asked for, or the first free `runs/MODEL[-N]`.

    Raises:
        ValueError: the folder asked for has no name, or holds a run already.
    """
    if out is not None:
        if not out.strip():
            raise ValueError(
                f"[train] expected --out with the name of a folder, got {out!r} - "
                "leave it out for a new folder below runs, or write . for this one"
            )
        folder = Path(out)
        if (folder / "config.toml").exists():
            raise ValueError(
                f"[train] expected a new folder, got {out!r}, which holds a run - "
                "go on with --resume, or choose another --out"
            )
        return folder
    base = Path("runs") / model
    number, folder = 1, base
    while folder.exists() and (not folder.is_dir() or os.listdir(folder)):
        number += 1
        folder = base.with_name(f"{model}-{number}")
    return folder


def old_folder(options: argparse.Namespace) -> Path:
    """The folder of the run to go on with.

    Raises:
        FileNotFoundError: there is no run to go on with.
    """
    if isinstance(options.resume, str):
        folder = Path(options.resume)
    elif options.out is not None:
        folder = Path(options.out)
    else:
        pattern = f"{options.model}*" if options.model else "*"
        runs = [path.parent for path in Path("runs").glob(f"{pattern}/checkpoint.safetensors")]
        if not runs:
            raise FileNotFoundError(
                f"[train] expected an interrupted run to go on with, got no checkpoint below "
                f"{str(Path('runs') / pattern)!r} - name its folder: --resume FOLDER"
            )
        folder = max(runs, key=lambda run: (run / "checkpoint.safetensors").stat().st_mtime)
    for name in ("config.toml", "checkpoint.safetensors"):
        if not (folder / name).exists():
            raise FileNotFoundError(
                f"[train] expected a run folder with {name}, got {str(folder)!r} without it - "
                "leave out --resume to start afresh"
            )
    return folder
