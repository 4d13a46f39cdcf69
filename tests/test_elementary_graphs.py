"""Backpropagation on any computational graph of elementary functions (row F4 of the course).

Random graphs, in which values are used several times, against central differences of the same
graph in NumPy.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference.binary import BINARY
from ranvier.reference.unary import UNARY

# Each is given an argument of its domain: any number, one above 1/2, or one within (-1, 1).
ANYWHERE = ["sin", "cos", "tanh", "sigmoid", "atan", "asinh", "softplus", "erf", "square", "gelu"]
ABOVE = ["log", "log2", "log10", "log1p", "sqrt", "rsqrt", "cbrt", "reciprocal"]
INSIDE = ["tan", "asin", "acos", "atanh", "exp", "exp2", "expm1", "sinh", "cosh", "sec"]
AWAY = ["cot", "csc"]  # of an angle from 1/2 to 3/2
PAIRS = ["add", "subtract", "multiply", "divide", "power", "log_base"]

Step = tuple[str, int, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(ANYWHERE + ABOVE + INSIDE + AWAY + PAIRS),
        st.integers(0, 99),
        st.integers(0, 99),
    ),
    min_size=1,
    max_size=8,
)


def grow(graph: Sequence[Step], leaves: Sequence[Any], f: Callable[..., Any]) -> Any:
    """The sum of all nodes of a graph; `f(name, *arguments)` computes one of them."""
    nodes = list(leaves)
    for name, i, j in graph:
        a, b = f("tanh", nodes[i % len(nodes)]), f("tanh", nodes[j % len(nodes)])
        if name in PAIRS:  # quotients, powers and logarithms of numbers from 1/2 to 2.8
            if name in ("divide", "power", "log_base"):
                b = b * 0.25 + 1.75
            if name in ("power", "log_base"):
                a = a * 0.5 + 1.25
            nodes.append(f(name, a, b))
        elif name in ABOVE:
            nodes.append(f(name, a + 1.75))
        elif name in AWAY:
            nodes.append(f(name, a * 0.5 + 1.0))
        else:
            nodes.append(f(name, a * 0.8 if name in INSIDE else nodes[i % len(nodes)]))
    total = nodes[0]
    for node in nodes[1:]:
        total = total + node
    return total


def numpy_function(name: str, *arguments: np.ndarray) -> np.ndarray:
    return (BINARY if name in BINARY else UNARY)[name].value(*arguments)


def our_function(name: str, *arguments: rv.Tensor) -> rv.Tensor:
    return getattr(F, name)(*arguments)


@given(steps, st.floats(-1.5, 1.5), st.floats(-1.5, 1.5))
def test_gradients_of_random_graphs(graph, x, y):
    leaves = [rv.tensor(np.float64(v), requires_grad=True) for v in (x, y)]
    value = grow(graph, leaves, our_function)
    value.backward()

    def reference(dx: float, dy: float) -> float:
        return float(grow(graph, [np.asarray(x + dx), np.asarray(y + dy)], numpy_function))

    np.testing.assert_allclose(value.item(), reference(0, 0), rtol=1e-12, atol=1e-12)
    for leaf, direction in zip(leaves, np.eye(2), strict=True):
        check_slope(leaf.grad.item(), lambda h, d=direction: reference(h * d[0], h * d[1]), graph)


@given(steps, st.integers(0, 2**32 - 1))
def test_gradients_of_random_graphs_of_arrays(graph, seed):
    """The same with broadcasting: a column and a row, along a random direction."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-1.5, 1.5, (2, 1)), rng.uniform(-1.5, 1.5, 3)
    dx, dy, weights = rng.normal(size=x.shape), rng.normal(size=y.shape), rng.normal(size=(2, 3))
    leaves = [rv.tensor(a, requires_grad=True) for a in (x, y)]
    (grow(graph, leaves, our_function) * rv.tensor(weights)).sum().backward()
    pairs = zip(leaves, (dx, dy), strict=True)
    slope = sum(float((leaf.grad.numpy() * d).sum()) for leaf, d in pairs)

    def reference(h: float) -> float:
        return float((grow(graph, [x + h * dx, y + h * dy], numpy_function) * weights).sum())

    check_slope(slope, reference, graph)


def check_slope(slope: float, reference: Callable[[float], float], graph: Any) -> None:
    """A derivative against central differences at 0, with Richardson's extrapolation."""
    h = 2.0**-14
    coarse = (reference(h) - reference(-h)) / (2 * h)
    fine = (reference(h / 2) - reference(-h / 2)) / h
    expected = (4 * fine - coarse) / 3
    bound = 1e-9 * (1 + abs(expected)) + abs(fine - coarse) * 1e-2
    assert abs(slope - expected) <= bound, (graph, slope, expected)
