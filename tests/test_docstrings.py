"""The law of the docstrings: each public function, class and method names its parameters.

All but the first, which its first line is about: in its own words, in those of what it points to
by a name in backquotes, or, for a method that overrides another, in those of the other.
`tests/test_ops_law.py` asks more of the ops.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import ranvier as rv
from ranvier import data, io, models, nn, optim, train

PLACES: dict[str, Any] = {
    "rv": rv,
    "F": rv.functional,
    "Tensor": rv.Tensor,
    "nn": nn,
    "nn.functional": nn.functional,
    "nn.init": nn.init,
    "nn.utils": nn.utils,
    "optim": optim,
    "optim.lr_scheduler": optim.lr_scheduler,
    "data": data,
    "train": train,
    "io": io,
    "models": models,
    "cuda": rv.cuda,
}


def callables() -> Iterator[tuple[str, Callable[..., Any], Any]]:
    """What a user may call: its name, itself, and the class whose method it is."""
    seen = set()
    for place, owner in PLACES.items():
        for name in dir(owner) if inspect.ismodule(owner) else vars(owner):
            found = getattr(owner, name, None)
            ours = (getattr(found, "__module__", None) or "").startswith("ranvier")
            if name.startswith("_") or not callable(found) or not ours or id(found) in seen:
                continue
            seen.add(id(found))
            yield f"{place}.{name}", found, owner if inspect.isclass(owner) else None
            if not inspect.isclass(found) or issubclass(found, BaseException):
                continue
            for key in vars(found):
                method = getattr(found, key, None)
                if not key.startswith("_") and inspect.isroutine(method) and id(method) not in seen:
                    seen.add(id(method))
                    yield f"{place}.{name}.{key}", method, found


CALLABLES = {name: (found, owner) for name, found, owner in callables()}


def texts(found: Any, owner: Any, depth: int = 2) -> Iterator[str]:
    """Its docstring, those of what it stands in for, and of what they point to."""
    own = inspect.getdoc(found) or ""
    yield own
    if inspect.isclass(owner) and owner is not found:
        yield from texts(owner, owner, depth - 1)
        for base in owner.__mro__[1:]:
            yield inspect.getdoc(vars(base).get(found.__name__)) or ""
    if depth <= 0:
        return
    homes = [owner, inspect.getmodule(found), *PLACES.values()]
    for path in re.findall(r"`([\w.]+)", own):
        name = path.rsplit(".", 1)[-1]
        for home in homes:
            other = getattr(home, name, None)
            if callable(other) and other is not found:
                yield from texts(other, home, depth - 1)
                break


@pytest.mark.parametrize("name", sorted(CALLABLES))
def test_it_names_its_parameters(name: str) -> None:
    found, owner = CALLABLES[name]
    assert inspect.getdoc(found), f"{name} is not documented"
    try:
        parameters = list(inspect.signature(found).parameters.values())
    except ValueError:  # of the core
        return
    if owner is not None and parameters and not inspect.ismethod(found):
        parameters = parameters[1:]
    if inspect.isclass(found):
        owner = found
    words = " ".join(texts(found, owner))
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if named and named[0].default is named[0].empty:
        named = named[1:]
    silent = [p.name for p in named if not re.search(rf"\b{re.escape(p.name)}\b", words)]
    assert not silent, f"{name} is silent on {silent}"
