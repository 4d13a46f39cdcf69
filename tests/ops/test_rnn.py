"""Simple recurrent layers over whole sequences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given as drawn
from hypothesis import strategies as st

import ranvier.functional as F
from ranvier.ops.rnn import rnn_composite
from ranvier.reference import rnn as ref
from tests.harness import Case, Input, N, OpTests, Raises, fixed, integers, normal
from tests.recurrent import arguments, check_alone, check_wide


def call(x: Any, h0: Any, weight_ih: Any, weight_hh: Any, *rest: Any, **options: Any) -> Any:
    """F.rnn in the order of the reference: lengths are an array like the others."""
    bias_ih, bias_hh, lengths = (*rest, None, None, None)[:3]
    return F.rnn(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, lengths=lengths, **options)


def composite(x: Any, h0: Any, weight_ih: Any, weight_hh: Any, *rest: Any, **options: Any) -> Any:
    """The same for the unfused twin."""
    bias_ih, bias_hh, lengths = (*rest, None, None, None)[:3]
    weights = weight_ih, weight_hh, bias_ih, bias_hh
    return rnn_composite(x, h0, *weights, lengths=lengths, **options)


def case(args: Sequence[Any], op: Any = call, **options: Any) -> Case:
    """Rounding errors of a step fade in the next ones: n counts a few steps' terms."""
    steps, batch, inputs = args[0].shape
    terms = inputs + args[3].shape[1] + 8
    return Case(
        op, ref.rnn, *args, options=options, n=4 * terms, grad_n=4 * (terms + steps * batch)
    )


def relu_arguments() -> list[Any]:
    """Positive states, far from ReLU's edge, whatever is drawn."""
    rng = np.random.default_rng(0)
    h0 = fixed(rng.uniform(0.5, 1.0, (3, 5)))
    weights = fixed(rng.uniform(0.05, 0.2, (5, 4))), fixed(rng.uniform(0.05, 0.2, (5, 5)))
    x = fixed(rng.uniform(0.5, 1.0, (4, 3, 4)))
    x_part = fixed(rng.uniform(0.1, 0.2, 5)), fixed(np.array([0.2, 0.1, 0.3, -9.0, 0.2]))
    return [x, h0, *weights, *x_part]


LENGTHS = fixed(np.array([4, 0, 2]))


class TestRnn(OpTests):
    cases = [
        case(arguments(5, N, 4, 3)),
        case(arguments(5, N, 4, 19), reverse=True),
        case([*arguments(1, N, 2, 1)[:4]]),
        case([arguments(6, N, 4, 7)[0], None, *arguments(6, N, 4, 7)[2:5], None]),
        case([*arguments(5, N, 3, 6), integers(0, 6, N)]),
        case([*arguments(5, N, 3, 6), integers(0, 6, N)], reverse=True),
        case([arguments(4, 3, 3, 6)[0], None, *arguments(4, 3, 3, 6)[2:], LENGTHS], reverse=True),
        case(relu_arguments(), nonlinearity="relu"),
        case(arguments(9, 21, 24, 70, size=0.1)),
    ]
    errors = [
        Raises(ValueError, r"\[rnn\] expected x of shape \(T, N, I\), got \(4, 3\) - .*unsqueeze",
               F.rnn, normal(4, 3), None, normal(5, 3), normal(5, 5)),
        Raises(ValueError, r"\[rnn\] expected x of at least one step, got shape \(0, 2, 3\)",
               F.rnn, normal(0, 2, 3), None, normal(5, 3), normal(5, 5)),
        Raises(ValueError, r"\[rnn\] expected x of 4 features.* input size of 3",
               F.rnn, normal(6, 2, 3), None, normal(5, 4), normal(5, 5)),
        Raises(ValueError, r"\[rnn\] expected weight_hh of shape \(5, .*, got \(4, 5\)",
               F.rnn, normal(6, 2, 3), None, normal(5, 3), normal(4, 5)),
        Raises(ValueError, r"\[rnn\] expected weight_hh of shape \(5, 5\), got \(5, 4\)",
               F.rnn, normal(6, 2, 3), None, normal(5, 3), normal(5, 4)),
        Raises(ValueError, r"\[rnn\] expected the initial state h0 of shape \(2, 5\).*got \(5,\)",
               F.rnn, normal(6, 2, 3), normal(5), normal(5, 3), normal(5, 5)),
        Raises(ValueError, r"\[rnn\] expected bias_hh of shape \(5,\).*got \(4,\)",
               F.rnn, normal(6, 2, 3), None, normal(5, 3), normal(5, 5), normal(5), normal(4)),
        Raises(ValueError, r"\[rnn\] expected lengths from 0 to 6 .*got 7 for sample 1",
               F.rnn, normal(6, 2, 3), None, normal(5, 3), normal(5, 5),
               options={"lengths": [3, 7]}, meta=False),
        Raises(ValueError, r"\[rnn\] expected lengths from 0 to 6 .*got -1 for sample 0",
               F.rnn, normal(6, 2, 3), None, normal(5, 3), normal(5, 5),
               options={"lengths": [-1, 6]}, meta=False),
        Raises(ValueError, r"\[rnn\] expected lengths of shape \(2,\).*got \(3,\)",
               F.rnn, normal(6, 2, 3), None, normal(5, 3), normal(5, 5),
               options={"lengths": [1, 2, 3]}),
        Raises(TypeError, r"\[rnn\] expected lengths as a tensor or a list",
               F.rnn, normal(6, 2, 3), None, normal(5, 3), normal(5, 5),
               options={"lengths": [1.5, 2]}),
        Raises(ValueError, r"\[rnn\] expected nonlinearity to be one of tanh, relu, got 'cos'",
               F.rnn, normal(6, 2, 3), None, normal(5, 3), normal(5, 5),
               options={"nonlinearity": "cos"}),
        Raises(TypeError, r"\[rnn\] expected weight_hh of dtype float32, got float64",
               F.rnn, normal(6, 2, 3), None, normal(5, 3), normal(5, 5).typed("float64")),
        Raises(TypeError, r"\[rnn\] expected x to be a tensor, got list",
               F.rnn, [1.0], None, normal(5, 3), normal(5, 5)),
        Raises(ValueError, r"\[rnn_cell\] expected x of shape \(N, I\), got \(1, 2, 3\)",
               F.rnn_cell, normal(1, 2, 3), None, normal(5, 3), normal(5, 5)),
    ]  # fmt: skip


def cell(x: Any, h: Any, weight_ih: Any, *rest: Any, **options: Any) -> np.ndarray:
    """The reference of a cell: a sequence of one step."""
    return ref.rnn(x[None], h, weight_ih, *rest, **options)[1]


def cell_backward(grad: Any, x: Any, h: Any, weight_ih: Any, *rest: Any, **options: Any) -> Any:
    dx, *others = ref.rnn_backward((np.zeros((1, *grad.shape)), grad), x[None], h, weight_ih, *rest)
    return dx[0], *others


def cell_case(x: Input, *rest: Any, **options: Any) -> Case:
    return Case(F.rnn_cell, cell, x, *rest, backward=cell_backward, n=32, options=options)


class TestRnnCell(OpTests):
    cases = [
        cell_case(normal(N, 4), *arguments(1, N, 4, 18)[1:]),
        cell_case(normal(N, 4), None, *arguments(1, 3, 4, 5)[2:4]),
        cell_case(normal(24, 33), *arguments(1, 24, 33, 90, size=0.1)[1:]),
    ]


class TestComposite(OpTests):
    cases = [
        case([*arguments(4, N, 3, 6), integers(0, 5, N)], op=composite),
        case(arguments(4, N, 3, 6), op=composite, reverse=True),
    ]


def test_wide_layers():
    check_wide(case(arguments(6, 5, 24, 330)))
    check_wide(case(arguments(20, 40, 24, 90), reverse=True))


def test_lengths_give_what_each_sample_gives_alone():
    for reverse in (False, True):
        check_alone(F.rnn, arguments(7, 6, 5, 21), reverse=reverse)


@drawn(st.data())
def test_any_lengths_give_what_each_sample_gives_alone(data: st.DataObject) -> None:
    steps, batch = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 20))
    inputs, units = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 40))
    lengths = tuple(data.draw(st.integers(0, steps)) for _ in range(batch))
    args = arguments(steps, batch, inputs, units)
    check_alone(F.rnn, args, lengths=lengths, reverse=data.draw(st.booleans()))
