"""The examples in the docstrings are run."""

import doctest
import importlib
import pkgutil

import pytest

import ranvier.data

MODULES = ["ranvier.data"] + [
    f"ranvier.data.{module.name}" for module in pkgutil.iter_modules(ranvier.data.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
