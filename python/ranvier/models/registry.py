"""Models by name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ranvier.nn import Module

_models: dict[str, Callable[..., Any]] = {}


def register(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes `get` find a function that builds a model, under its own name."""
    _models[function.__name__] = function
    return function


def names() -> list[str]:
    """Names of all models."""
    return sorted(_models)


def options(name: str) -> dict[str, Any]:
    """The options of a model with their defaults."""
    found = inspect.signature(_models[closest("model", name, _models)]).parameters
    return {key: p.default for key, p in found.items()}


def get(name: str, **given: Any) -> Module:
    """Builds the model called `name`.

    Args:
        name: one of `names()`, in any case.
        **given: its options; see `options(name)`.

    Raises:
        ValueError: an unknown model; the closest name is suggested.
        TypeError: an option that the model does not have.

    Example:
        >>> import ranvier as rv
        >>> type(rv.models.get("lenet", activation="tanh")).__name__
        'LeNet'
    """
    key = closest("model", name.lower() if isinstance(name, str) else name, _models)
    known = options(key)
    for option in given:
        if option not in known:
            near = difflib.get_close_matches(option, known, 1)
            cure = f"did you mean {near[0]!r}?" if near else "leave it out"
            raise TypeError(
                f"[{key}] expected options among {', '.join(known)}, got {option!r} - {cure}"
            )
    return _models[key](**given)


def closest(what: str, name: Any, known: Iterable[str]) -> str:
    """`name` if it is known; else a ValueError that suggests the nearest known one."""
    known = list(known)
    if name in known:
        return name
    near = difflib.get_close_matches(str(name), known, 1)
    cure = f" - did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"[{what}] expected one of {', '.join(known)}, got {name!r}{cure}")
