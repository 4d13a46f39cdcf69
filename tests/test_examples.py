"""The examples in the docstrings and on the pages that a newcomer reads are run."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import ranvier as rv
import ranvier.ops

CORE = [
    "autocast", "autograd", "capture", "creation", "cuda", "custom", "dtypes", "models", "names",
    "precision", "random", "summary", "tensor",
]  # fmt: skip
MODULES = [f"ranvier.{name}" for name in CORE] + [
    f"{package.__name__}.{module.name}"
    for package in (ranvier.ops, rv.nn, rv.optim)
    for module in pkgutil.iter_modules(package.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    state = rv.get_rng_state()
    try:
        assert doctest.testmod(importlib.import_module(name)).failed == 0
    finally:
        rv.set_rng_state(state)


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_the_blocks_of_a_page_run_one_after_the_other(page, tmp_path, monkeypatch):
    """As somebody who copies them into one session would have it."""
    text = (Path(__file__).parent.parent / page).read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 2
    monkeypatch.chdir(tmp_path)
    state, names = rv.get_rng_state(), {}
    try:
        for block in blocks:
            exec(compile(block, page, "exec"), names)
        assert names["history"]["accuracy"][-1] > 0.9
    finally:
        rv.set_rng_state(state)


def test_the_script_for_pytorch_users_runs(tmp_path, monkeypatch):
    text = (Path(__file__).parent.parent / "docs/from-pytorch.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    state, names = rv.get_rng_state(), {}
    try:
        exec(compile(block, "docs/from-pytorch.md", "exec"), names)
        assert names["accuracy"] > 0.9
    finally:
        rv.set_rng_state(state)
