"""Checkpoints: a run that was killed anywhere ends in the bits of one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier import nn, optim
from ranvier.data import ArrayDataset, DataLoader
from ranvier.data.transforms import RandomAffine
from ranvier.io import load_file, load_state, save_file, save_state
from ranvier.train import (
    Callback,
    Checkpoint,
    EarlyStopping,
    JSONLLogger,
    LRSchedule,
    ReduceLROnPlateau,
    fit,
    schedules,
)

STEPS = 5  # an epoch: 40 samples in batches of 8


class Dies(Callback):
    """The power cut at a step, or in the validation after it: no chance to clean up."""

    def __init__(self, step: int | None, signum: int = signal.SIGKILL) -> None:
        self.at, self.signum = step, signum

    def on_step_begin(self, run: Any) -> None:
        if run.step + 1 == self.at:
            os.kill(os.getpid(), self.signum)


def train(folder: Path, die: int | None = None, signum: int = signal.SIGKILL,
          **options: Any) -> Any:  # fmt: skip
    """A run with everything that has a state: dropout, augmentation, momentum, schedules, best."""
    rng = np.random.default_rng(0)
    x = rng.random((40, 1, 8, 8)).astype(np.float32)
    y = (np.arange(40) % 3).astype(np.int64)
    rv.manual_seed(5)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.4), nn.Linear(144, 3)
    )
    loader = DataLoader(
        ArrayDataset(x, y), 8, shuffle=True, seed=7, transform=RandomAffine(20, translate=0.1)
    )
    callbacks = [
        Dies(die, signum),
        LRSchedule(schedules.warmup(1, schedules.cosine(3), start=0.1)),
        EarlyStopping("val_accuracy", patience=3),
        JSONLLogger(folder / "metrics.jsonl", every_steps=2),
        Checkpoint(folder, every_steps=3, best="val_loss"),
    ]
    history = fit(
        model, loader, **{"epochs": 4, "callbacks": callbacks, "verbose": 0, "seed": 11,
        "optimizer": optim.AdamW(model.parameters(), lr=0.01), "validation": (x[:16], y[:16]),
        "batch_size": 8} | options,
    )  # fmt: skip
    save_file(model.state_dict(), folder / "final.safetensors")
    return history


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    train(folder)
    return folder


def same_run(folder: Path, whole: Path) -> None:
    for name in ("final.safetensors", "best.safetensors"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    one, other = (load_state(f / "checkpoint.safetensors") for f in (folder, whole))
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "lr"):
        assert one["history"][name] == other["history"][name]
    lines = [
        [line for line in (f / "metrics.jsonl").read_text().splitlines() if '"lr"' in line]
        for f in (folder, whole)
    ]
    assert len(lines[0]) == len(lines[1]) == len(one["history"]["loss"])


@pytest.mark.parametrize("step", [4, 5, 12, 16, 20])
def test_killed_at_any_step(tmp_path: Path, whole: Path, step: int) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"from pathlib import Path; import test_checkpoint as t\n"
        f"t.train(Path({str(tmp_path)!r}), die={step})"
    )
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "final.safetensors").exists()
    assert load_state(tmp_path / "checkpoint.safetensors")["step"] == max(
        (step - 1) // 3 * 3, (step - 1) // STEPS * STEPS
    )
    half_written = tmp_path / ".checkpoint.safetensors.1234.tmp"
    half_written.write_bytes(b"killed while it was written")
    train(tmp_path, resume=True)
    same_run(tmp_path, whole)
    assert not half_written.exists()


@pytest.mark.parametrize("step", [1, 5, 8, 20])
@pytest.mark.parametrize("capture", [True, False])
def test_interrupted_and_resumed(tmp_path: Path, whole: Path, step: int, capture: bool) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, die=step, signum=signal.SIGINT)
    assert load_state(tmp_path / "checkpoint.safetensors")["step"] == step
    train(tmp_path, resume=True, capture=capture)
    same_run(tmp_path, whole)


def test_interrupted_in_the_validation(tmp_path: Path, whole: Path) -> None:
    class Loader(DataLoader):
        passes = 0

        def __iter__(self) -> Any:
            Loader.passes += 1
            for number, batch in enumerate(super().__iter__()):
                if Loader.passes == 2 and number == 1:
                    os.kill(os.getpid(), signal.SIGINT)
                yield batch

    rng = np.random.default_rng(0)
    x = rng.random((40, 1, 8, 8)).astype(np.float32)[:16]
    data = ArrayDataset(x, (np.arange(16) % 3).astype(np.int64))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, validation=Loader(data, 8))
    state = load_state(tmp_path / "checkpoint.safetensors")
    assert (state["epoch"], state["batch"], state["step"]) == (1, STEPS, 2 * STEPS)
    train(tmp_path, resume=True, validation=DataLoader(data, 8))
    same_run(tmp_path, whole)


def test_resume_of_a_finished_run_does_nothing(tmp_path: Path, whole: Path) -> None:
    train(tmp_path)
    before = (tmp_path / "checkpoint.safetensors").stat().st_mtime_ns
    history = train(tmp_path, resume=True)
    assert len(history) == 4
    assert (tmp_path / "checkpoint.safetensors").stat().st_mtime_ns == before
    same_run(tmp_path, whole)


def test_more_epochs_later(tmp_path: Path) -> None:
    train(tmp_path, epochs=2)
    assert len(train(tmp_path, epochs=4, resume=True)) == 4


def test_other_settings_are_refused(tmp_path: Path) -> None:
    train(tmp_path, epochs=1)
    checkpoint = Checkpoint(tmp_path)
    with pytest.raises(ValueError, match="callbacks of the checkpoint"):
        train(tmp_path, resume=True, callbacks=[checkpoint])
    x, y = np.zeros((10, 1, 8, 8), np.float32), np.zeros(10, np.int64)
    model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="5 steps an epoch, got 1"):
        fit(model, (x, y), resume=tmp_path / "checkpoint.safetensors", verbose=0)


def test_another_optimizer_is_refused(tmp_path: Path) -> None:
    x, y = np.ones((8, 2), np.float32), np.zeros(8, np.int64)

    def run(rule: Any, epochs: int, **options: Any) -> Any:
        model = nn.Linear(2, 2)
        return fit(model, (x, y), epochs, rule(model.parameters(), lr=0.01), verbose=0, **options)

    run(optim.Adam, 1, callbacks=[Checkpoint(tmp_path)])
    for rule in (optim.AdamW, optim.SGD, optim.RMSprop, optim.Adagrad, optim.Adadelta):
        with pytest.raises(ValueError, match=rf"of the checkpoint, Adam, got {rule.__name__} - "):
            run(rule, 2, callbacks=[Checkpoint(tmp_path)], resume=True)
    assert len(run(optim.Adam, 2, callbacks=[Checkpoint(tmp_path)], resume=tmp_path)) == 2
    state = load_state(tmp_path / "checkpoint.safetensors")
    del state["rule"]  # as in a file of an earlier version
    save_state(state, tmp_path / "checkpoint.safetensors")
    assert len(run(optim.AdamW, 3, callbacks=[Checkpoint(tmp_path)], resume=True)) == 3


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_file({"w": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="without a state"):
        train(tmp_path, resume=True)
    save_state({"format": 99}, path)
    with pytest.raises(ValueError, match=r"format 1, got .* of format 99"):
        train(tmp_path, resume=True)
    save_state({"format": 1, "model": {}, "optimizer": {}}, path)
    with pytest.raises(ValueError, match=r"without random, loader, .*, callbacks - "):
        train(tmp_path, resume=True)
    path.write_bytes(b"no")
    with pytest.raises(ValueError, match="safetensors"):
        train(tmp_path, resume=True)


def test_best_weights_are_those_of_the_best_epoch(tmp_path: Path) -> None:
    history = train(tmp_path)
    state = load_state(tmp_path / "checkpoint.safetensors")
    assert state["callbacks"][-1] == ["Checkpoint", {"best": history.best("val_loss")[1]}]
    assert set(load_file(tmp_path / "best.safetensors")) == set(state["model"])


def test_a_fresh_run_clears_what_a_killed_one_left(tmp_path: Path) -> None:
    half_written = tmp_path / ".checkpoint.safetensors.1234.tmp"
    half_written.write_bytes(b"killed while it was written")
    train(tmp_path, epochs=1)
    assert not half_written.exists()
    assert (tmp_path / "checkpoint.safetensors").exists()


def test_places_and_refusals(tmp_path: Path) -> None:
    assert Checkpoint(tmp_path).path == tmp_path / "checkpoint.safetensors"
    assert Checkpoint(tmp_path / "a.safetensors").path == tmp_path / "a.safetensors"
    for options in ({"every_steps": 0}, {"every_epochs": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            Checkpoint(tmp_path, **options)


def test_plateau_state_survives(tmp_path: Path) -> None:
    a, b = ReduceLROnPlateau(patience=1), ReduceLROnPlateau(patience=1)
    for value in (1.0, 1.0):
        a._best.improved(value)
    b.load_state_dict(a.state_dict())
    assert (b._best.value, b._best.waited) == (1.0, 1)
