"""What the tests of recurrent layers share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import ranvier as rv
from tests.harness import (
    Case,
    Input,
    as_tuple,
    compare_gradients,
    compare_values,
    expected_values,
    host,
    normal,
    run,
    threads,
    upstream,
)


def arguments(
    steps: int, batch: int, inputs: int, units: int, size: float = 1.0, gates: int = 1
) -> list[Input]:
    """x, h0, the weights and the biases; the weights keep the states of order ``size``.

    Wide layers get a small size: their central differences move hundreds of weights at once.
    """
    scale = (inputs + units) ** -0.5
    return [
        normal(steps, batch, inputs, scale=size),
        normal(batch, units, scale=0.5 * size),
        normal(gates * units, inputs, scale=scale),
        normal(gates * units, units, scale=scale),
        normal(gates * units, scale=0.3 * size),
        normal(gates * units, scale=0.3 * size),
    ]


def check_wide(case: Case) -> None:
    """Values, gradients and bits of a layer too wide for central differences."""
    for dtype in case.dtypes:
        arrays = case.arrays(dtype)
        expected = expected_values(case, arrays)
        grads = upstream(case, expected, dtype)
        outputs, gradients = run(case, arrays, "cpu", grads)
        compare_values(case, arrays, expected, outputs, dtype, "wide")
        compare_gradients(case, arrays, grads, gradients, dtype, "wide")
        for count in (1, 3):
            with threads(count):
                again = run(case, arrays, "cpu", grads)
            for a, b in zip((*outputs, *gradients), (*again[0], *again[1]), strict=True):
                assert np.array_equal(host(a), host(b)), f"{case}: {count} threads, other bits"


def check_alone(
    op: Callable[..., Any],
    given: list[Input],
    states: int = 1,
    lengths: tuple[int, ...] = (3, 7, 0, 5, 1, 7),
    **options: Any,
) -> None:
    """Samples of different lengths: each gets the bits that it gets alone, without lengths.

    ``given`` are x, one or two states, and weights; gradients of x and the states are compared by
    bits too, those of the weights as sums.
    """
    arrays = [a.numbers(i, "float32") for i, a in enumerate(given)]
    x, initial, weights = arrays[0], arrays[1 : 1 + states], arrays[1 + states :]

    def evaluate(x: np.ndarray, initial: list[np.ndarray], lengths: Any) -> Any:
        leaves = [rv.tensor(a, requires_grad=True) for a in (x, *initial, *weights)]
        first = leaves[1 : 1 + states]
        state = tuple(first) if states > 1 else first[0]
        y, last = op(leaves[0], state, *leaves[1 + states :], lengths=lengths, **options)
        outputs = (y, *as_tuple(last))
        for i, out in enumerate(outputs):
            out.backward(out.detach(), retain_graph=i + 1 < len(outputs))
        return [host(out) for out in outputs], [host(leaf.grad) for leaf in leaves]

    together, gradients = evaluate(x, initial, list(lengths))
    sums = [np.zeros_like(w) for w in weights]
    for n, length in enumerate(lengths):
        here = slice(n, n + 1)
        assert not together[0][length:, here].any()
        assert not gradients[0][length:, here].any()
        if length == 0:
            for out, start in zip(together[1:], initial, strict=True):
                assert np.array_equal(out[here], start[here])
            continue
        alone, own = evaluate(x[:length, here], [s[here] for s in initial], None)
        assert np.array_equal(together[0][:length, here], alone[0]), f"outputs of sample {n}"
        for i in range(1, 1 + states):
            assert np.array_equal(together[i][here], alone[i]), f"last state {i} of sample {n}"
            assert np.array_equal(gradients[i][here], own[i]), f"gradient of state {i}, sample {n}"
        assert np.array_equal(gradients[0][:length, here], own[0]), f"gradient of x, sample {n}"
        for total, part in zip(sums, own[1 + states :], strict=True):
            total += part
    for total, g in zip(sums, gradients[1 + states :], strict=True):
        np.testing.assert_allclose(g, total, rtol=1e-5, atol=2e-6 * np.abs(total).max())


def check_retained(op: Callable[..., Any], given: list[Input], states: int = 1) -> None:
    """Gradients have the same bits whether the graph is kept or not.

    The gates are kept with it; without it, their gradient is written where they were.
    """
    gradients = []
    for retain in (True, False):
        leaves = [
            rv.tensor(a.numbers(i, "float32"), requires_grad=True) for i, a in enumerate(given)
        ]
        first = leaves[1 : 1 + states]
        y, _ = op(leaves[0], tuple(first) if states > 1 else first[0], *leaves[1 + states :])
        (gates,) = (a for a in y.node.function.saved if a is not None and a.ndim == 4)
        before = gates.numpy().copy()
        y.backward(y.detach(), retain_graph=retain)
        assert np.array_equal(gates.numpy(), before) == retain
        gradients.append([host(leaf.grad) for leaf in leaves])
    for kept, lost in zip(*gradients, strict=True):
        assert np.array_equal(kept, lost)
