"""The examples in the docstrings of the ops and layers."""

import doctest
import importlib
import pkgutil

import pytest

import ranvier.nn
import ranvier.ops

MODULES = [
    f"{package.__name__}.{module.name}"
    for package in (ranvier.ops, ranvier.nn)
    for module in pkgutil.iter_modules(package.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
