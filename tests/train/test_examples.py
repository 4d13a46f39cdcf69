"""The examples in the docstrings are run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import ranvier.train

MODULES = [module.name for module in pkgutil.iter_modules(ranvier.train.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"ranvier.train.{name}")).failed == 0
