"""What is in Python's objects, and whether it is still the same: for captured steps."""

from __future__ import annotations

import itertools
import operator
import types
from typing import Any

import numpy as np

ABSENT = object()
SIMPLE = (bool, int, float, complex, str, bytes, types.NoneType, np.generic)
CONTENTS = object()  # the attribute under which an owner's contents, or keys, are noted
VALUES = object()  # the one for the values of a dict
SAMPLE = object()  # the one for a part of what is too large to be compared before each replay
_PLACES = 1 << 12  # of a sample


def current(owner: Any, attribute: Any) -> Any:
    """What is there now, `ABSENT` if nothing is."""
    if attribute is CONTENTS:
        if isinstance(owner, np.ndarray):
            return owner.shape, owner.dtype.str, owner.tobytes()
        if isinstance(owner, bytearray):
            return bytes(owner)
        return (frozenset if isinstance(owner, (set, frozenset)) else tuple)(owner)
    if attribute is SAMPLE:
        return _sample(owner)
    if attribute is VALUES:
        return tuple(owner.values())
    if isinstance(owner, dict):
        return dict.get(owner, attribute, ABSENT)
    if isinstance(owner, (list, tuple)) and not isinstance(attribute, str):
        return owner[attribute] if -len(owner) <= attribute < len(owner) else ABSENT
    try:
        return getattr(owner, attribute, ABSENT)
    except ValueError:  # an empty cell of a closure
        return ABSENT


def put(owner: Any, attribute: Any, value: Any) -> None:
    """Puts it back."""
    if isinstance(owner, (list, dict)):
        owner[attribute] = value
    else:
        setattr(owner, attribute, value)


def equal(a: Any, b: Any) -> bool:
    """Whether plain values are equal; other things must be the same object."""
    if type(a) is tuple and type(b) is tuple:
        if len(a) == len(b) and all(map(operator.is_, a, b)):
            return True
        return len(a) == len(b) and all(x is y or equal(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and isinstance(a, (frozenset, *SIMPLE)) and bool(a == b)


def _sample(owner: Any) -> Any:
    """Size and some members, evenly spread where that costs nothing, of what is large."""
    if isinstance(owner, np.ndarray):
        places = np.linspace(0, owner.size - 1, min(owner.size, _PLACES)).astype(np.int64)
        members = owner.flat[places]
        kept = tuple(members.tolist()) if owner.dtype.hasobject else members.tobytes()
        return owner.shape, owner.dtype.str, kept
    if isinstance(owner, (list, tuple, bytearray)):
        return len(owner), tuple(owner[:: -(-len(owner) // _PLACES)])
    values = owner.values() if isinstance(owner, dict) else owner
    return len(owner), tuple(itertools.islice(values, 64))
