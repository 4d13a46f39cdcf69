"""Arguments that make no sense are refused by the op that got them, in its own words.

Each public function is called as its first case calls it, but for one argument: a text, an object,
or a number that nothing holds. What Python or the binding would say names neither the op nor the
argument.
"""

from __future__ import annotations

import functools
import inspect
import re
from typing import Any

import pytest

import ranvier as rv
from tests.harness import Case, tensors
from tests.test_ops_law import all_cases, functions

NONSENSE = {"text": "text", "object": object(), "set": {1, 2}}
HUGE = {"huge": 10**30, "far below zero": -(10**30)}  # fit where a plain number is meant

# Not looked at in that call: logarithms need no eps, and axes that are given by position win.
IDLE = {"poisson_nll_loss.eps", "flip.dims"}


@functools.cache
def first_cases() -> dict[str, Case]:
    """The first case of each public function that calls it as it is."""
    found: dict[str, Case] = {}
    names = {function: name for name, function in functions().items()}
    for case in all_cases():
        name = names.get(case.fn)
        if name is not None:
            found.setdefault(name, case)
    return found


def plain_calls() -> dict[str, tuple[Any, ...]]:
    """Arguments for functions whose cases call them in another way."""
    a, b, image = rv.ones(2, 3), rv.ones(3, 2), rv.ones(1, 2, 4, 4)
    gates = (rv.ones(4, 2, 3), None, rv.ones(9, 3), rv.ones(9, 3))
    pooled, switches = rv.functional.max_pool2d(image, 2, return_switches=True)
    return {
        "addmm": (rv.ones(2, 2), a, b), "bincount": (rv.arange(3),), "broadcast_to": (a, (4, 2, 3)),
        "cat": ([a, a],), "chunk": (a, 2), "clamp": (a, 0.0), "col2im": (rv.ones(1, 8, 4), 4, 2),
        "concat": ([a, a],), "dropout": (a,), "flatten": (a,), "fliplr": (a,), "flipud": (a,),
        "gru": gates, "gumbel_softmax": (a,), "im2col": (image, 2),
        "lstm": (gates[0], None, rv.ones(12, 3), rv.ones(12, 3)),
        "lstm_cell": (rv.ones(2, 3), None, rv.ones(12, 3), rv.ones(12, 3)),
        "masked_fill": (a, a > 0, 1.0), "masked_select": (a, a > 0), "max_pool1d": (image[0], 2),
        "max_pool2d": (image, 2), "max_pool3d": (image[None], 2),
        "max_unpool1d": (pooled, switches), "max_unpool2d": (pooled, switches),
        "max_unpool3d": (pooled, switches), "mm": (a, b), "movedim": (a, 0, 1), "mv": (a, b[:, 0]),
        "nonzero": (a,), "rnn": (gates[0], None, rv.ones(3, 3), rv.ones(3, 3)), "squeeze": (a, 0),
        "stack": ([a, a],), "to": (a, rv.float64), "transpose": (a, 0, 1), "unbind": (a,),
        "unflatten": (a, 1, (3, 1)), "unique": (a,), "unsqueeze": (a, 0), "view": (a, (3, 2)),
    }  # fmt: skip


def call_of(name: str) -> tuple[list[Any], dict[str, Any]]:
    """Arguments and options that a public function takes."""
    case = first_cases().get(name)
    if case is None:
        return list(plain_calls()[name]), {}
    return tensors(case, case.arrays(case.dtypes[0]), "cpu", gradient=False), dict(case.options)


def refusals(name: str, nonsense: Any) -> list[str]:
    """The arguments of a function for which nonsense is not refused as it should be."""
    function = functions()[name]
    wrong = []
    for i, parameter in enumerate(inspect.signature(function).parameters.values()):
        if isinstance(parameter.default, bool) or f"{name}.{parameter.name}" in IDLE:
            continue  # a yes or no takes whatever has a truth value
        if parameter.kind is parameter.VAR_POSITIONAL:
            continue
        given, options = call_of(name)
        if i < len(given) and parameter.kind is not parameter.KEYWORD_ONLY:
            given[i] = nonsense
        else:
            options[parameter.name] = nonsense
        try:
            function(*given, **options)
        except Exception as error:
            if not re.match(r"\[\w+\] expected ", str(error)):
                wrong.append(f"{parameter.name}: {type(error).__name__}: {error}")
        else:
            wrong += [f"{parameter.name}: taken"] if type(nonsense) is not int else []
    return wrong


@pytest.mark.parametrize("kind", [*NONSENSE, *HUGE])
@pytest.mark.parametrize("name", sorted(functions()))
def test_nonsense_is_refused(name: str, kind: str) -> None:
    assert refusals(name, {**NONSENSE, **HUGE}[kind]) == []
