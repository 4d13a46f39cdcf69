"""The examples in the docstrings of tensors, ops, layers and optimizers are run."""

import doctest
import importlib
import pkgutil

import pytest

import ranvier as rv
import ranvier.ops

CORE = ["autograd", "capture", "creation", "dtypes", "random", "summary", "tensor"]
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
