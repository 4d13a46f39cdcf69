"""GRU over whole sequences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given as drawn
from hypothesis import strategies as st

import ranvier.functional as F
from ranvier.ops.gru import gru_composite
from ranvier.reference import gru as ref
from tests.harness import Case, Input, N, OpTests, Raises, fixed, integers, normal
from tests.recurrent import arguments, check_alone, check_retained, check_wide


def call(x: Any, h0: Any, weight_ih: Any, weight_hh: Any, *rest: Any, **options: Any) -> Any:
    """F.gru in the order of the reference: lengths are an array like the others."""
    bias_ih, bias_hh, lengths = (*rest, None, None, None)[:3]
    return F.gru(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, lengths=lengths, **options)


def composite(x: Any, h0: Any, weight_ih: Any, weight_hh: Any, *rest: Any, **options: Any) -> Any:
    """The same for the unfused twin."""
    bias_ih, bias_hh, lengths = (*rest, None, None, None)[:3]
    weights = weight_ih, weight_hh, bias_ih, bias_hh
    return gru_composite(x, h0, *weights, lengths=lengths, **options)


def given(steps: int, batch: int, inputs: int, units: int, size: float = 1.0) -> list[Any]:
    """All arguments but lengths."""
    return arguments(steps, batch, inputs, units, size, gates=3)


def case(args: Sequence[Any], op: Any = call, **options: Any) -> Case:
    """Rounding errors of a step fade in the next ones: n counts a few steps' terms."""
    steps, batch, inputs = args[0].shape
    terms = inputs + args[3].shape[1] + 16
    return Case(
        op, ref.gru, *args, options=options, n=4 * terms, grad_n=4 * (terms + steps * batch)
    )


def without(args: Sequence[Any], *places: int) -> list[Any]:
    """The arguments, some of them not given."""
    return [None if i in places else a for i, a in enumerate(args)]


class TestGru(OpTests):
    cases = [
        case(given(5, N, 4, 3)),
        case(given(5, N, 4, 19), reverse=True),
        case(without(given(1, N, 2, 1), 1, 4, 5)),
        case(without(given(4, N, 3, 7), 1, 4)),
        case(without(given(4, N, 3, 7), 5)),
        case([*given(5, N, 3, 6), integers(0, 6, N)]),
        case([*given(5, N, 3, 6), integers(0, 6, N)], reverse=True),
        case([*without(given(4, 3, 3, 6), 1), fixed(np.array([4, 0, 2]))], reverse=True),
        case(given(5, 21, 8, 40, size=0.1)),
        case(given(4, N, 3, 6), reset_after=False),
        case(without(given(4, N, 3, 5), 1, 4, 5), reset_after=False, reverse=True),
        case([*given(5, N, 3, 6), integers(0, 6, N)], reset_after=False),
    ]
    errors = [
        Raises(ValueError, r"\[gru\] expected x of shape \(T, N, I\), got \(4, 3\) - .*unsqueeze",
               F.gru, normal(4, 3), None, normal(15, 3), normal(15, 5)),
        Raises(ValueError, r"\[gru\] expected weight_ih of shape \(3 H, I\), got \(16, 3\)",
               F.gru, normal(6, 2, 3), None, normal(16, 3), normal(15, 5)),
        Raises(ValueError, r"\[gru\] expected x of 4 features.* input size of 3",
               F.gru, normal(6, 2, 3), None, normal(15, 4), normal(15, 5)),
        Raises(ValueError, r"\[gru\] expected weight_hh of shape \(15, 5\), got \(15, 4\)",
               F.gru, normal(6, 2, 3), None, normal(15, 3), normal(15, 4)),
        Raises(ValueError, r"\[gru\] expected the initial state h0 of shape \(2, 5\).*got \(3, 5\)",
               F.gru, normal(6, 2, 3), normal(3, 5), normal(15, 3), normal(15, 5)),
        Raises(ValueError, r"\[gru\] expected bias_ih of shape \(15,\).*got \(5,\)",
               F.gru, normal(6, 2, 3), None, normal(15, 3), normal(15, 5), normal(5)),
        Raises(ValueError, r"\[gru\] expected lengths from 0 to 6 .*got 7 for sample 1",
               F.gru, normal(6, 2, 3), None, normal(15, 3), normal(15, 5),
               options={"lengths": [3, 7]}, meta=False),
        Raises(ValueError, r"\[gru\] expected weight_hh of shape \(15, 5\), got \(15, 4\)",
               F.gru, normal(6, 2, 3), None, normal(15, 3), normal(15, 4),
               options={"reset_after": False}),
        Raises(ValueError, r"\[gru_cell\] expected x of shape \(N, I\), got \(1, 2, 3\)",
               F.gru_cell, normal(1, 2, 3), None, normal(15, 3), normal(15, 5)),
    ]  # fmt: skip


def cell(x: Any, *rest: Any) -> Any:
    """The reference of a cell: a sequence of one step."""
    return ref.gru(x[None], *rest)[1]


def cell_backward(grad: Any, x: Any, *rest: Any) -> Any:
    """Its gradients."""
    dx, *others = ref.gru_backward((np.zeros((1, *grad.shape)), grad), x[None], *rest)
    return dx[0], *others


def cell_case(args: Sequence[Any]) -> Case:
    """A cell on the arguments of a sequence of one step."""
    x: Input = args[0]
    n = 4 * (x.shape[2] + 32)
    return Case(F.gru_cell, cell, normal(*x.shape[1:]), *args[1:], backward=cell_backward, n=n)


class TestGruCell(OpTests):
    cases = [cell_case(given(1, N, 4, 18)), cell_case(without(given(1, N, 4, 5), 1, 4, 5))]


class TestComposite(OpTests):
    cases = [
        case([*given(4, N, 3, 6), integers(0, 5, N)], op=composite),
        case(given(4, N, 3, 6), op=composite, reverse=True),
    ]


def test_wide_layers():
    check_wide(case(given(3, 21, 24, 215, size=0.3)))
    check_wide(case(given(4, 5, 24, 190, size=0.3)))
    check_wide(case(given(9, 40, 24, 70), reverse=True))


def test_lengths_give_what_each_sample_gives_alone():
    for reverse in (False, True):
        check_alone(F.gru, given(7, 6, 5, 21), reverse=reverse)


def test_bits_are_the_same_whether_the_graph_is_kept():
    check_retained(F.gru, given(4, 5, 3, 21))
    check_retained(F.gru, given(4, 40, 24, 70))


@drawn(st.data())
def test_any_lengths_give_what_each_sample_gives_alone(data: st.DataObject) -> None:
    steps, batch = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 20))
    inputs, units = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 40))
    lengths = tuple(data.draw(st.integers(0, steps)) for _ in range(batch))
    args = given(steps, batch, inputs, units)
    check_alone(F.gru, args, lengths=lengths, reverse=data.draw(st.booleans()))
