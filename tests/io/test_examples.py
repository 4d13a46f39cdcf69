"""The examples in the docstrings are run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import ranvier.io

MODULES = [module.name for module in pkgutil.iter_modules(ranvier.io.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"ranvier.io.{name}")).failed == 0
