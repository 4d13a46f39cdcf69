"""Nested states (dictionaries, lists, numbers, texts, tensors) in one safetensors file.

The tensors become the tensors of the file, named by their path (`optimizer/moments/0`); the rest
becomes JSON in the file's metadata, where `{"$tensor": "optimizer/moments/0"}` stands for a
tensor. One file means one rename: a checkpoint is complete or it is the one before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .safetensors import _is_tensor, load_arrays, load_file, read_header, save_file

_KEY = "state"


def save(
    what: Any, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a module, a dictionary of tensors, or a nested state such as a checkpoint.

    Tensors and arrays by name become a plain safetensors file, which any of its readers opens
    (`save_file`). Anything else, be it an optimizer's state, tensors by number or a lone tensor, is
    a file of `save_state`. `load` reads both.

    Args:
        what: an object with `state_dict`, or dictionaries, lists, numbers, texts and tensors.
        path: the file to write; the folder must exist.
        metadata: texts for the header of a plain file.

    Raises:
        TypeError: something that cannot be stored; the text names its place.

    Example:
        >>> import tempfile
        >>> import ranvier as rv
        >>> path = tempfile.mkdtemp() + "/checkpoint"
        >>> model = rv.nn.Linear(2, 1)
        >>> rv.save({"epoch": 3, "model": model.state_dict()}, path)
        >>> checkpoint = rv.load(path)
        >>> checkpoint["epoch"], model.load_state_dict(checkpoint["model"]).missing
        (3, [])
    """
    state = what.state_dict() if hasattr(what, "state_dict") else what
    plain = isinstance(state, Mapping) and all(
        isinstance(name, str) and (isinstance(value, np.ndarray | np.generic) or _is_tensor(value))
        for name, value in state.items()
    )
    if plain:
        save_file(state, path, metadata)
    else:
        save_state(dict(state) if isinstance(state, Mapping) else state, path)


def load(path: str | os.PathLike[str], map_location: Any = None, weights_only: bool = True) -> Any:
    """Read what `save` wrote, or any other safetensors file.

    Args:
        path: the file to read.
        map_location: a device that the tensors are moved to; the cpu unless given.
        weights_only: for scripts that say it; no file is ever a program here.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the file is not a valid safetensors file; the text names file and cause.
    """
    state = load_state(path) if _KEY in read_header(path).metadata else load_file(path)
    return state if map_location is None else _moved(state, map_location)


def _moved(value: Any, device: Any) -> Any:
    if _is_tensor(value):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    return [_moved(item, device) for item in value] if isinstance(value, list) else value


def save_state(state: Any, path: str | os.PathLike[str]) -> None:
    """Write a nested state atomically.

    Args:
        state: dictionaries, lists, tuples (read back as lists), None, bool, int, float, str,
            NumPy arrays and scalars, and ranvier Tensors.
        path: the file to write; the folder must exist.

    Raises:
        TypeError: something else is in the state; the text names its place.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/state.safetensors"
        >>> save_state({"step": 3, "w": np.float32([1, 2])}, path)
        >>> load_state(path, as_numpy=True)
        {'step': 3, 'w': array([1., 2.], dtype=float32)}
    """
    tensors: dict[str, Any] = {}
    text = json.dumps(_pack(state, "", tensors), separators=(",", ":"))
    save_file(tensors, path, {_KEY: text})


def load_state(path: str | os.PathLike[str], as_numpy: bool = False) -> Any:
    """Read what `save_state` wrote; its tensors are Tensors, or NumPy arrays if `as_numpy`.

    Raises:
        OSError: the file cannot be opened.
        ValueError: not a safetensors file, or not one that `save_state` wrote.
    """
    metadata = read_header(path).metadata
    if _KEY not in metadata:
        raise ValueError(
            f"[load_state] expected a checkpoint, got {os.fspath(path)!r}, a safetensors file "
            "without a state - plain weights are read with load_file"
        )
    tensors = load_arrays(path) if as_numpy else load_file(path)
    try:
        return _unpack(json.loads(metadata[_KEY]), tensors)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"[load_state] expected a checkpoint, got {os.fspath(path)!r}, whose state is damaged "
            f"({type(error).__name__}: {error}) - go back to an older file"
        ) from None


def _pack(value: Any, place: str, tensors: dict[str, Any]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [_pack(item, f"{place}/{index}", tensors) for index, item in enumerate(value)]
    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: _pack(item, f"{place}/{key}", tensors) for key, item in value.items()}
        # JSON's keys are texts: other keys travel as pairs.
        return {
            "$items": [
                [_pack(key, place, tensors), _pack(item, f"{place}/{key}", tensors)]
                for key, item in value.items()
            ]
        }
    if isinstance(value, np.ndarray) or hasattr(value, "requires_grad"):
        name = place.lstrip("/") or "value"
        if name in tensors:  # {1: x} and {"1": x} would meet
            name += f"#{len(tensors)}"
        tensors[name] = value
        return {"$tensor": name}
    raise TypeError(
        f"[save_state] expected numbers, texts, tensors, lists and dictionaries, got "
        f"{type(value).__name__} at {place or '/'} - keep it out of the state"
    )


def _unpack(value: Any, tensors: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if isinstance(value, dict):
        if set(value) == {"$tensor"}:
            return tensors[value["$tensor"]]
        if set(value) == {"$items"}:
            return {
                _key(_unpack(key, tensors)): _unpack(item, tensors) for key, item in value["$items"]
            }
        return {key: _unpack(item, tensors) for key, item in value.items()}
    return value


def _key(key: Any) -> Any:
    """A key as it was: a list can be none, so that it was a tuple."""
    return tuple([_key(part) for part in key]) if isinstance(key, list) else key
