"""Typed configurations: files, overrides, round trips, and the errors that users see."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.io.config import (
    apply_overrides,
    differences,
    from_mapping,
    keys,
    load_mapping,
    to_toml,
    update,
)


@dataclass
class Optimizer:
    name: Literal["sgd", "adam"] = "adam"
    lr: float = 1e-3
    betas: tuple[float, ...] = (0.9, 0.999)


@dataclass
class Run:
    model: str = "lenet"
    epochs: int = 10
    shuffle: bool = True
    limit: int | None = None
    hidden: tuple[int, ...] = ()
    optimizer: Optimizer = field(default_factory=Optimizer)


def test_mapping_fills_and_converts() -> None:
    run = from_mapping(Run, {"epochs": 3, "optimizer": {"lr": 1, "betas": [0, 0.5]}})
    assert run == Run(epochs=3, optimizer=Optimizer(lr=1.0, betas=(0.0, 0.5)))
    assert type(run.optimizer.lr) is float
    assert from_mapping(Run, {}) == Run()


def test_update_leaves_the_original() -> None:
    run = Run()
    other = update(run, {"optimizer": {"lr": 0.5}})
    assert run.optimizer.lr == 1e-3
    assert differences(run, other) == {"optimizer.lr": (1e-3, 0.5)}


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("epochs=4", "epochs", 4),
        ("epochs = 4 ", "epochs", 4),
        ("model=mlp", "model", "mlp"),
        ("model='a=b'", "model", "a=b"),
        ("model=", "model", ""),
        ("shuffle=False", "shuffle", False),
        ("limit=12", "limit", 12),
        ("limit=none", "limit", None),
        ("hidden=64,32", "hidden", (64, 32)),
        ("hidden=[64]", "hidden", (64,)),
        ("hidden=[]", "hidden", ()),
        ("optimizer.lr=1e-2", "optimizer.lr", 0.01),
        ("optimizer.name=sgd", "optimizer.name", "sgd"),
        ("optimizer.betas=0,0.99", "optimizer.betas", (0.0, 0.99)),
    ],
)
def test_override(override: str, key: str, value: object) -> None:
    target: object = apply_overrides(Run(limit=3, model="x"), [override])
    for part in key.split("."):
        target = getattr(target, part)
    assert target == value
    assert type(target) is type(value)


def test_later_override_wins() -> None:
    assert apply_overrides(Run(), ["epochs=1", "epochs=2"]).epochs == 2


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("epochs", "expected key=value, got 'epochs'"),
        ("=3", "expected key=value"),
        ("epoch=3", "did you mean 'epochs'"),
        ("optimizer.rl=3", "did you mean 'optimizer.lr'"),
        ("optimiser.lr=3", "did you mean 'optimizer.lr'"),
        ("lr=3", "did you mean 'optimizer.lr'"),
        ("zzzz=3", "known keys: model, epochs"),
        ("epochs.x=3", "expected a known key"),
        ("optimizer=3", "table of keys, got '3' - set one of its keys, for example optimizer.name"),
        ("epochs=many", "'epochs' to be a whole number, got 'many'"),
        ("epochs=1.5", "whole number"),
        ("shuffle=1", "true or false"),
        ("optimizer.lr=big", "'optimizer.lr' to be a number"),
        ("optimizer.name=addam", "one of sgd, adam, got 'addam' - did you mean 'adam'"),
        ("hidden=64,x", "whole number"),
        ("limit=x", "a whole number or none"),
    ],
)
def test_bad_override(override: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"\[--set\]") as error:
        apply_overrides(Run(), [override])
    assert text in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"epohcs": 3}, "did you mean 'epochs'"),
        ({"optimizer": {"lrr": 3}}, "did you mean 'optimizer.lr'"),
        ({"optimizer": 3}, "table of keys"),
        ({"epochs": True}, "whole number"),
        ({"epochs": "3"}, "whole number"),
        ({"shuffle": 0}, "true or false"),
        ({"hidden": 3}, "a list, each a whole number"),
        ({"model": 3}, "text"),
    ],
)
def test_bad_mapping(values: dict, text: str) -> None:
    with pytest.raises(ValueError, match=r"run\.toml") as error:
        from_mapping(Run, values, "run.toml")
    assert text in str(error.value)


words = st.text(st.characters(exclude_categories=["Cs"]))


@settings(deadline=None, derandomize=True, max_examples=50)
@given(
    st.builds(
        Run,
        model=words,
        epochs=st.integers(-(2**63), 2**63 - 1),
        shuffle=st.booleans(),
        limit=st.none() | st.integers(0, 9),
        hidden=st.lists(st.integers(0, 99)).map(tuple),
        optimizer=st.builds(
            Optimizer,
            name=st.sampled_from(["sgd", "adam"]),
            lr=st.floats(allow_nan=False),
            betas=st.lists(st.floats(allow_nan=False), max_size=3).map(tuple),
        ),
    )
)
def test_toml_round_trip(run: Run) -> None:
    assert from_mapping(Run, tomllib.loads(to_toml(run))) == run


def test_toml_text_is_readable() -> None:
    assert to_toml(Run()) == (
        'model = "lenet"\nepochs = 10\nshuffle = true\n# limit is not set\nhidden = []\n\n'
        '[optimizer]\nname = "adam"\nlr = 0.001\nbetas = [0.9, 0.999]\n'
    )
    assert math.isnan(tomllib.loads(to_toml(Optimizer(lr=math.nan)))["lr"])


def test_files(tmp_path: Path) -> None:
    toml, json = tmp_path / "run.toml", tmp_path / "run.json"
    toml.write_text("epochs = 3\n[optimizer]\nlr = 0.5\n")
    json.write_text('{"epochs": 3, "optimizer": {"lr": 0.5}}')
    assert load_mapping(toml) == load_mapping(json) == {"epochs": 3, "optimizer": {"lr": 0.5}}


@pytest.mark.parametrize(
    ("name", "raw", "text"),
    [
        ("a.yaml", b"", "expected a .toml or .json file"),
        ("a.toml", b"epochs = ", "expected valid TOML"),
        ("a.json", b"{", "expected valid JSON"),
        ("a.json", b"[1]", "table of keys, got list"),
        ("a.json", b"[" * 100_000, "expected valid JSON"),
        ("a.toml", b"\xff", "expected valid TOML"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, raw: bytes, text: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(ValueError, match=text) as error:
        load_mapping(tmp_path / name)
    assert name in str(error.value)


def test_keys() -> None:
    assert list(keys(Run()))[-3:] == ["optimizer.name", "optimizer.lr", "optimizer.betas"]
