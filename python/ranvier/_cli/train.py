"""`ranvier train`: from settings to a run folder."""

from __future__ import annotations

import argparse
import logging
import math
import shlex
import time
from pathlib import Path
from typing import Any

import ranvier as rv
from ranvier import data as rvdata
from ranvier import optim, train
from ranvier.io import write_text
from ranvier.io.config import differences, from_mapping, load_mapping, to_toml, update
from ranvier.train import schedules
from ranvier.train.evaluate import Evaluator
from ranvier.train.history import to_json_line
from ranvier.train.progress import duration

from . import datasets, runs, zoo
from .settings import Settings, checked, device, new_folder, old_folder, resolve

CHECKPOINT, METRICS, RESULTS = "checkpoint.safetensors", "metrics.jsonl", "results.json"


def main(options: argparse.Namespace) -> int:
    """Train, or print the settings."""
    settings, folder = _plan(options)
    if options.print_config:
        print(to_toml(settings), end="")
        return 0
    say = (lambda *text: None) if options.quiet else print
    logging.getLogger("ranvier").setLevel(logging.WARNING)
    where = device(settings.device)
    parts = datasets.load(settings.data, settings.model, settings.size)
    rv.manual_seed(settings.seed)
    arguments = zoo.arguments(settings, parts.prepare.input, len(parts.classes))
    model = zoo.build(settings.model, arguments).to(where)
    _introduce(say, settings, parts, model)

    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / runs.CONFIG, to_toml(settings))

    def saved(text: str) -> str:  # the text, if there is a state to go on from
        return text if (folder / CHECKPOINT).is_file() else ""

    go_on = f"go on with: ranvier train --resume {shlex.quote(str(folder))}"
    started = time.perf_counter()
    try:
        history = _fit(options, settings, parts, model, folder)
        seconds = time.perf_counter() - started
        results, counts, pictures = _finish(settings, parts, model, arguments, folder, history)
    except train.Interrupted as interrupt:
        text = str(interrupt).partition(":")[0]
        raise KeyboardInterrupt(f"{text}; everything is saved, {go_on}") from None
    except KeyboardInterrupt:  # a second one, or one after the last epoch
        raise KeyboardInterrupt("interrupted" + saved(f"; {go_on}")) from None
    except train.NonFiniteLoss as error:
        cure = saved(f"; the last good state is {folder / CHECKPOINT}")
        raise FloatingPointError(f"{error}{cure}") from None
    except OSError as error:  # no room, say
        error.add_note(saved(f"then {go_on}"))
        raise
    right, total = sum(row[i] for i, row in enumerate(counts)), sum(map(sum, counts))
    say(f"trained in {duration(seconds)}")
    print(f"test_accuracy {results['test_accuracy']:.4f} ({right} of {total} right)")
    say(f"run folder {folder}: {runs.WEIGHTS}, {METRICS}, {pictures}")
    if parts.prepare.kind != "vector":
        say(f"try: ranvier predict {shlex.quote(str(folder))} picture.png")
    return 0


def _finish(
    settings: Settings,
    parts: datasets.Parts,
    model: Any,
    arguments: dict[str, Any],
    folder: Path,
    history: train.History,
) -> tuple[dict[str, Any], list[list[int]], str]:
    """Test, weights, results and pictures; values and counts of the test, and what was drawn."""
    results, counts = _test(model, parts, settings)
    results = {**{k: v[-1] for k, v in history.history.items() if k.startswith("val_")}, **results}
    trained = runs.Trained(
        model, settings.model, arguments, parts.classes, parts.prepare, folder / runs.WEIGHTS
    )
    runs.save(folder, trained, results)
    write_text(folder / RESULTS, to_json_line({**results, "epochs": len(history)}))
    with open(folder / METRICS, "a", encoding="utf-8") as file:
        file.write(to_json_line({"part": "test", **results}))
    return results, counts, _draw(folder, settings, history, counts, parts)


def _plan(options: argparse.Namespace) -> tuple[Settings, Path]:
    """The settings and the folder, of a new run or of the one to go on with."""
    if not options.resume:
        settings = resolve(options)
        return settings, new_folder(settings.model, options.out)
    folder = old_folder(options)
    settings = from_mapping(Settings, load_mapping(folder / runs.CONFIG), str(folder / runs.CONFIG))
    if options.config or options.overrides or options.lr is not None:
        raise ValueError(
            "[train] expected --resume with the run's own settings, got --config, --set or --lr - "
            "leave them out; only --epochs may change"
        )
    asked = {
        name: getattr(options, name)
        for name in ("model", "data", "batch_size", "seed", "device")
        if getattr(options, name) is not None
    }
    changed = differences(settings, update(settings, asked))
    if changed:
        key, (old, new) = next(iter(changed.items()))
        raise ValueError(
            f"[train] expected --resume with the run's own {key}, {old!r}, got {new!r} - "
            "leave the option out, or start a new run"
        )
    if options.epochs is not None:
        settings = update(settings, {"epochs": options.epochs})
    if options.no_capture:
        settings = update(settings, {"capture": False})
    return checked(settings), folder


def _introduce(say: Any, settings: Settings, parts: datasets.Parts, model: Any) -> None:
    splits = parts.splits
    count = sum(math.prod(p.shape) for p in model.parameters())
    shape = " x ".join(map(str, parts.prepare.input))
    say(
        f"{settings.model} on {parts.prepare.data}: {len(splits.train):,} samples to train, "
        f"{len(splits.validation):,} to validate, {len(splits.test):,} to test, {shape}; "
        f"{count:,} parameters; {device(settings.device)} ({rv.cpu_level()}), "
        f"{rv.num_threads()} threads"
    )


def _fit(
    options: argparse.Namespace, settings: Settings, parts: datasets.Parts, model: Any, folder: Path
) -> train.History:
    loader = rvdata.DataLoader(
        parts.splits.train,
        batch_size=settings.batch_size,
        shuffle=True,
        seed=settings.seed,
        transform=datasets.augmentation(settings.augment, parts.prepare),
    )
    return train.fit(
        model,
        loader,
        epochs=settings.epochs,
        optimizer=_optimizer(settings, model),
        validation=datasets.loader(parts.splits.validation, parts.prepare),
        callbacks=_callbacks(settings, folder),
        device=device(settings.device),
        resume=bool(options.resume),
        capture=settings.capture,
        verbose=0 if options.quiet else None,
    )


def _optimizer(settings: Settings, model: Any) -> Any:
    chosen = settings.optimizer
    parameters = model.parameters()
    if chosen.name == "sgd":
        return optim.SGD(
            parameters,
            lr=chosen.lr,
            momentum=chosen.momentum,
            nesterov=chosen.nesterov and chosen.momentum > 0,
            weight_decay=chosen.weight_decay,
        )
    kinds = (optim.AdamW, optim.Adam, optim.RMSprop, optim.Adagrad, optim.Adadelta)
    kind = {kind.__name__.lower(): kind for kind in kinds}[chosen.name]
    return kind(parameters, lr=chosen.lr, weight_decay=chosen.weight_decay)


def _callbacks(settings: Settings, folder: Path) -> list[train.Callback]:
    chosen = settings.schedule
    callbacks: list[train.Callback] = []
    if chosen.name == "plateau":
        callbacks.append(
            train.ReduceLROnPlateau("val_loss", chosen.gamma, patience=int(chosen.every))
        )
    else:
        rest = max(settings.epochs - chosen.warmup, 1e-9)
        then = {
            "cosine": lambda: schedules.cosine(rest, chosen.final),
            "step": lambda: schedules.step(chosen.every, chosen.gamma),
            "exponential": lambda: schedules.exponential(chosen.gamma),
            "constant": schedules.constant,
        }[chosen.name]()
        # From a hundredth, not from zero: the first step shall count.
        callbacks.append(train.LRSchedule(schedules.warmup(chosen.warmup, then, start=0.01)))
    if settings.patience is not None:
        callbacks.append(train.EarlyStopping("val_loss", settings.patience))
    callbacks.append(train.JSONLLogger(folder / METRICS))
    saving = settings.checkpoint
    callbacks.append(train.Checkpoint(folder / CHECKPOINT, saving.every_steps, saving.every_epochs))
    return callbacks


def _test(
    model: Any, parts: datasets.Parts, settings: Settings
) -> tuple[dict[str, Any], list[list[int]]]:
    """The only look at the test part."""
    loader = datasets.loader(parts.splits.test, parts.prepare)
    evaluator = Evaluator(model, None, ("accuracy", "confusion_matrix"), settings.capture)
    values = evaluator.run(loader, device(settings.device), "test_")
    counts = values.pop("test_confusion_matrix")
    return values, counts


def _draw(
    folder: Path,
    settings: Settings,
    history: train.History,
    counts: list[list[int]],
    parts: datasets.Parts,
) -> str:
    """The pictures; what to say about them."""
    try:
        from ranvier.train.plots import confusion_matrix, learning_curves

        title = f"{settings.model} on {parts.prepare.data}, seed {settings.seed}"
        learning_curves(history.history, folder / "learning_curves.png", title)
        confusion_matrix(
            counts, folder / "confusion_matrix.png", parts.classes, f"test part, {title}"
        )
    except ImportError as error:
        return str(error)
    return "learning_curves.png, confusion_matrix.png"
