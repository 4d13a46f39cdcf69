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
    h = 2.0**-14
    for leaf, (dx, dy) in zip(leaves, [(h, 0), (0, h)], strict=True):
        slope = (reference(dx, dy) - reference(-dx, -dy)) / (2 * h)
        half = (reference(dx / 2, dy / 2) - reference(-dx / 2, -dy / 2)) / h
        slope, error = (4 * half - slope) / 3, abs(half - slope)  # Richardson's extrapolation
        bound = 1e-9 * (1 + abs(slope)) + error * 1e-2
        assert abs(leaf.grad.item() - slope) <= bound, (graph, leaf.grad.item(), slope)
