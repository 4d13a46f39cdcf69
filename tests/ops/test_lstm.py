"""LSTM over whole sequences: all variants, lengths, cells."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given as drawn
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.ops.lstm import lstm_composite
from ranvier.reference import lstm as ref
from tests.harness import Case, Input, N, OpTests, Raises, fixed, host, integers, normal
from tests.recurrent import arguments, check_alone, check_retained, check_wide

GATES = {"full": 4, "original": 3, "basic": 1}


def call(x: Any, h0: Any, c0: Any, weight_ih: Any, weight_hh: Any, *rest: Any, **options: Any):
    """F.lstm in the order of the reference: lengths are an array like the others."""
    return run(F.lstm, x, h0, c0, weight_ih, weight_hh, *rest, **options)


def composite(*args: Any, **options: Any) -> Any:
    """The same for the unfused twin."""
    return run(lstm_composite, *args, **options)


def run(op: Any, x: Any, h0: Any, c0: Any, weight_ih: Any, weight_hh: Any, *rest: Any, **options):
    bias_ih, bias_hh, weight_hr, peephole, norm, lengths = (*rest, *[None] * 6)[:6]
    y, (hn, cn) = op(
        x, (h0, c0), weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole=peephole,
        norm=norm, lengths=lengths, **options,
    )  # fmt: skip
    return y, hn, cn


def normalized(*args: Any, **options: Any) -> Any:
    """A layer-normalized LSTM: its four tensors come last, each as an argument."""
    *rest, a, b, c, d = args
    return call(*rest[:9], (a, b, c, d), *rest[9:], **options)


def normalized_reference(*args: Any, **options: Any) -> Any:
    *rest, a, b, c, d = args
    return ref.lstm(*rest[:9], (a, b, c, d), *rest[9:], **options)


def normalized_backward(grads: Any, *args: Any, **options: Any) -> Any:
    *rest, a, b, c, d = args
    *others, norm = ref.lstm_backward(grads, *rest[:9], (a, b, c, d), *rest[9:], **options)
    return *others[:9], *[None] * len(rest[9:]), *norm


def given(
    steps: int, batch: int, inputs: int, units: int, variant: str = "full", projected: int = 0,
    peephole: bool = False, size: float = 1.0, lengths: Any = None,
) -> list[Any]:  # fmt: skip
    """All arguments of the reference."""
    gates = GATES[variant]
    x, h0, w_ih, w_hh, *biases = arguments(steps, batch, inputs, units, size, gates)
    c0 = normal(batch, units, scale=size)
    hr = peep = None
    if projected:
        h0 = normal(batch, projected, scale=0.5 * size)
        w_hh = normal(gates * units, projected, scale=(inputs + projected) ** -0.5)
        hr = normal(projected, units, scale=units**-0.5)
    if peephole:
        peep = normal(gates - 1, units, scale=0.5)
    return [x, h0, c0, w_ih, w_hh, *biases, hr, peep, None, lengths]


def case(args: Sequence[Any], op: Any = call, **options: Any) -> Case:
    """Rounding errors of a step fade in the next ones: n counts a few steps' terms."""
    steps, batch, inputs = args[0].shape
    terms = inputs + args[4].shape[1] + 16
    return Case(
        op, ref.lstm, *args, options=options, n=4 * terms, grad_n=4 * (terms + steps * batch)
    )


def without(args: Sequence[Any], *places: int) -> list[Any]:
    """The arguments, some of them not given."""
    return [None if i in places else a for i, a in enumerate(args)]


class TestLstm(OpTests):
    cases = [
        case(given(5, N, 4, 3)),
        case(given(5, N, 4, 19), reverse=True),
        case(without(given(1, N, 2, 1), 1, 2, 5, 6)),
        case(without(given(4, N, 3, 7), 1, 6)),
        case(without(given(4, N, 3, 7), 2)),
        case(given(5, N, 3, 6, lengths=integers(0, 6, N))),
        case(given(5, N, 3, 6, lengths=integers(0, 6, N)), reverse=True),
        case(without(given(4, 3, 3, 6, lengths=fixed(np.array([4, 0, 2]))), 1, 2), reverse=True),
        case(given(5, N, 3, 6, "original"), variant="original"),
        case(given(5, N, 3, 6, "original", peephole=True), variant="original", reverse=True),
        case(given(3, N, 3, 6, "basic", size=0.2), variant="basic"),
        case(given(5, N, 3, 18, "basic", size=0.3, lengths=integers(0, 6, N)), variant="basic"),
        case(given(5, N, 3, 6, peephole=True)),
        case(given(5, N, 3, 17, peephole=True, lengths=integers(0, 6, N)), reverse=True),
        case(given(5, N, 3, 9, projected=4)),
        case(given(5, N, 3, 17, projected=18, peephole=True, lengths=integers(0, 6, N))),
        case(given(5, N, 3, 6, projected=4, lengths=integers(0, 6, N)), reverse=True),
        case(given(5, N, 3, 6, "basic", size=0.3, projected=2), variant="basic"),
        case(given(5, 21, 8, 30, size=0.1)),
    ]
    errors = [
        Raises(ValueError, r"\[lstm\] expected x of shape \(T, N, I\), got \(4, 3\) - .*unsqueeze",
               F.lstm, normal(4, 3), None, normal(20, 3), normal(20, 5)),
        Raises(ValueError, r"\[lstm\] expected weight_ih of shape \(4 H, I\), got \(19, 3\)",
               F.lstm, normal(6, 2, 3), None, normal(19, 3), normal(19, 5)),
        Raises(ValueError, r"\[lstm\] expected x of 4 features.* input size of 3",
               F.lstm, normal(6, 2, 3), None, normal(20, 4), normal(20, 5)),
        Raises(ValueError, r"\[lstm\] expected weight_hh of shape \(20, 5\), got \(20, 4\) - .*hr",
               F.lstm, normal(6, 2, 3), None, normal(20, 3), normal(20, 4)),
        Raises(ValueError, r"\[lstm\] expected weight_hr of shape \(4, 5\).*got \(5, 4\)",
               F.lstm, normal(6, 2, 3), None, normal(20, 3), normal(20, 4), None, None,
               normal(5, 4)),
        Raises(ValueError, r"\[lstm\] expected the initial cell state c0 of shape \(2, 5\)",
               call, normal(6, 2, 3), None, normal(3, 5), normal(20, 3), normal(20, 5)),
        Raises(ValueError, r"\[lstm\] expected a state \(h, c\), got one tensor",
               F.lstm, normal(6, 2, 3), normal(2, 5), normal(20, 3), normal(20, 5)),
        Raises(ValueError, r"\[lstm\] expected peephole of shape \(3, 5\).*got \(15,\)",
               call, normal(6, 2, 3), None, None, normal(20, 3), normal(20, 5), None, None, None,
               normal(15)),
        Raises(ValueError, r"\[lstm\] expected no peephole weights for the basic variant",
               call, normal(6, 2, 3), None, None, normal(5, 3), normal(5, 5), None, None, None,
               normal(3, 5), options={"variant": "basic"}),
        Raises(ValueError, r"\[lstm\] expected variant to be one of .*, got 'half'",
               F.lstm, normal(6, 2, 3), None, normal(20, 3), normal(20, 5),
               options={"variant": "half"}),
        Raises(ValueError, r"\[lstm\] expected lengths from 0 to 6 .*got 7 for sample 1",
               F.lstm, normal(6, 2, 3), None, normal(20, 3), normal(20, 5),
               options={"lengths": [3, 7]}, meta=False),
        Raises(ValueError, r"\[lstm_cell\] expected x of shape \(N, I\), got \(1, 2, 3\)",
               F.lstm_cell, normal(1, 2, 3), None, normal(20, 3), normal(20, 5)),
    ]  # fmt: skip


def cell(x: Any, h: Any, c: Any, weight_ih: Any, *rest: Any, **options: Any) -> Any:
    """The reference of a cell: a sequence of one step."""
    return ref.lstm(x[None], h, c, weight_ih, *rest, **options)[1:]


def cell_backward(grads: Any, x: Any, *rest: Any, **options: Any) -> Any:
    """Its gradients."""
    dy = np.zeros((1, *grads[0].shape))
    dx, *others = ref.lstm_backward((dy, *grads), x[None], *rest, **options)
    return dx[0], *others


def call_cell(x: Any, h: Any, c: Any, *rest: Any, **options: Any) -> Any:
    """F.lstm_cell in the order of the reference."""
    *rest, peephole = rest
    return F.lstm_cell(x, (h, c), *rest, peephole=peephole, **options)


def cell_case(args: Sequence[Any], **options: Any) -> Case:
    """A cell on the arguments of a sequence of one step."""
    x: Input = args[0]
    return Case(
        call_cell, cell, normal(*x.shape[1:]), *args[1:9], options=options,
        backward=cell_backward, n=4 * (x.shape[2] + 32),
    )  # fmt: skip


def norm_of(args: Sequence[Any], variant: str = "full") -> list[Input]:
    """Gains and shifts around 1 and 0."""
    rows = args[4].shape[0]
    units = rows // GATES[variant]
    return [
        normal(rows, mean=1.0, scale=0.2),
        normal(rows, mean=1.0, scale=0.2),
        normal(units, mean=1.0, scale=0.2),
        normal(units, scale=0.2),
    ]


def normalized_composite(*args: Any, **options: Any) -> Any:
    *rest, a, b, c, d = args
    return composite(*rest[:9], (a, b, c, d), *rest[9:], **options)


def normalized_case(args: Sequence[Any], op: Any = normalized, **options: Any) -> Case:
    """Division by deviations makes small errors larger."""
    plain = [*args[:9], *([args[10]] if args[10] is not None else [])]
    return Case(
        op, normalized_reference, *plain, *norm_of(args, options.get("variant", "full")),
        backward=normalized_backward, options=options, n=1000, grad_n=4000,
    )  # fmt: skip


class TestLayerNormalizedLstm(OpTests):
    # A product of zeros has no deviation to divide by: states start away from zero.
    cases = [
        normalized_case(given(3, N, 4, 9)),
        normalized_case(given(1, N, 4, 17), reverse=True),
        normalized_case(without(given(3, N, 4, 9), 2, 5, 6), reverse=True),
        normalized_case(given(3, N, 4, 9, lengths=integers(0, 4, N))),
        normalized_case(given(2, N, 4, 20, "original", projected=16, size=2.0), variant="original"),
        normalized_case(given(3, N, 4, 9, "original", peephole=True), variant="original"),
        normalized_case(given(3, N, 4, 9, peephole=True, lengths=integers(0, 4, N)), reverse=True),
        normalized_case(
            given(3, N, 4, 9, projected=17, peephole=True, lengths=integers(0, 4, N)), reverse=True
        ),
        normalized_case(without(given(2, N, 4, 20, "basic", size=2.0), 5), variant="basic"),
        normalized_case(given(2, 16, 9, 40, size=2.0)),  # on several threads
    ]
    errors = [
        Raises(ValueError, r"\[lstm\] expected the gain of c of shape \(5,\) .*, got \(4,\)",
               normalized, normal(6, 2, 3), None, None, normal(20, 3), normal(20, 5), None, None,
               None, None, normal(20), normal(20), normal(4), normal(5)),
        Raises(ValueError, r"\[lstm\] expected weight_hh of shape \(20, 5\)",
               normalized, normal(6, 2, 3), None, None, normal(20, 3), normal(20, 4), None, None,
               None, None, normal(20), normal(20), normal(5), normal(5)),
        Raises(ValueError, r"\[lstm\] expected norm as four tensors",
               call, normal(6, 2, 3), None, None, normal(20, 3), normal(20, 5), None, None,
               None, None, ()),
        Raises(TypeError, r"\[lstm\] expected norm to be a tensor, got int",
               call, normal(6, 2, 3), None, None, normal(20, 3), normal(20, 5), None, None,
               None, None, (1, 2, 3, 4)),
        Raises(ValueError, r"\[lstm_cell\] expected norm as four tensors .*, got 3 entries",
               F.lstm_cell, normal(2, 3), None, normal(20, 3), normal(20, 5),
               options={"norm": (None,) * 3}),
    ]  # fmt: skip


class TestComposite(OpTests):
    cases = [
        case(given(4, N, 3, 6, lengths=integers(0, 5, N)), composite),
        case(given(4, N, 3, 6, "original", peephole=True), composite, variant="original"),
        case(given(4, N, 3, 6, peephole=True, projected=4), composite, reverse=True),
        case(given(3, N, 3, 6, "basic", size=0.2), composite, variant="basic"),
        normalized_case(
            given(3, N, 4, 9, peephole=True, lengths=integers(0, 4, N)), normalized_composite
        ),
        normalized_case(
            given(2, N, 4, 9, "original", projected=8), normalized_composite, variant="original"
        ),
    ]


def test_the_error_carousel():
    """dc_t/dc_(t-1) is 1 without a forget gate, f_t with one: over 40 steps, to the bit."""
    arrays = given(40, 1, 3, 7)
    x = rv.tensor(arrays[0].numbers(0, "float32"))
    for variant, gates in GATES.items():
        weight = rv.tensor(normal(gates * 7, 3).numbers(1, "float32"))
        c0 = rv.zeros(1, 7, requires_grad=True)
        closed = rv.zeros(gates * 7, 7)  # nothing returns through the outputs
        _, (_, c) = F.lstm(x, (None, c0), weight, closed, variant=variant)
        c.backward(rv.ones(1, 7))
        want = np.ones((1, 7), np.float32)
        if variant == "full":
            f = host((x @ weight[7:14].T).sigmoid())
            for t in reversed(range(40)):
                want *= f[t]
            np.testing.assert_allclose(host(c0.grad), want, rtol=1e-5)
        else:
            assert np.array_equal(host(c0.grad), want)


def normalized_cell(x: Any, h: Any, c: Any, *rest: Any, **options: Any) -> Any:
    """A layer-normalized cell: its four tensors come last."""
    *weights, peephole = rest[:-4]
    return F.lstm_cell(x, (h, c), *weights, peephole=peephole, norm=rest[-4:], **options)


def normalized_cell_case(args: Sequence[Any], **options: Any) -> Case:
    """The same as `cell_case`."""

    def reference(x: Any, *rest: Any, **options: Any) -> Any:
        return normalized_reference(x[None], *rest, **options)[1:]

    def backward(grads: Any, x: Any, *rest: Any, **options: Any) -> Any:
        dy = np.zeros((1, *grads[0].shape))
        dx, *others = normalized_backward((dy, *grads), x[None], *rest, **options)
        return dx[0], *others

    x: Input = args[0]
    norm = norm_of(args, options.get("variant", "full"))
    return Case(
        normalized_cell, reference, normal(*x.shape[1:]), *args[1:9], *norm, options=options,
        backward=backward, n=1000, grad_n=4000,
    )  # fmt: skip


class TestLstmCell(OpTests):
    cases = [
        normalized_cell_case(given(1, N, 4, 18)),
        normalized_cell_case(
            given(1, N, 4, 7, "original", peephole=True, projected=6), variant="original"
        ),
        cell_case(given(1, N, 4, 18)),
        cell_case(without(given(1, N, 4, 5), 1, 2, 5, 6)),
        cell_case(given(1, N, 4, 5, "original", peephole=True), variant="original"),
        cell_case(given(1, N, 4, 5, "basic"), variant="basic"),
        cell_case(given(1, N, 4, 5, projected=3)),
    ]


def test_wide_layers():
    check_wide(case(given(3, 21, 24, 190, size=0.3)))  # rows and units are many: units are shared
    check_wide(case(given(4, 5, 24, 170, size=0.3)))
    check_wide(case(given(9, 40, 24, 70, peephole=True), reverse=True))
    check_wide(case(given(4, 5, 24, 170, projected=160, size=0.3)))
    check_wide(normalized_case(given(4, 5, 24, 170)))
    check_wide(normalized_case(given(2, 21, 8, 30)))
    check_wide(normalized_case(given(5, 40, 24, 70, projected=50, peephole=True), reverse=True))


def test_lengths_give_what_each_sample_gives_alone():
    for reverse in (False, True):
        x, h0, c0, *weights = given(7, 6, 5, 21)[:7]
        check_alone(F.lstm, [x, h0, c0, *weights], states=2, reverse=reverse)
        args = given(7, 6, 5, 21, projected=19)[:8]
        check_alone(F.lstm, args, states=2, reverse=reverse)
        check_alone(with_norm, [*args, *norm_of(args)], states=2, reverse=reverse)


def with_norm(x: Any, state: Any, *rest: Any, **options: Any) -> Any:
    """F.lstm with the four tensors of a layer-normalized one last."""
    return F.lstm(x, state, *rest[:-4], norm=rest[-4:], **options)


@drawn(st.data())
def test_any_lengths_give_what_each_sample_gives_alone(data: st.DataObject) -> None:
    steps, batch = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 20))
    inputs, units = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 40))
    lengths = tuple(data.draw(st.integers(0, steps)) for _ in range(batch))
    args = given(steps, batch, inputs, units)[:7]
    options = {"lengths": lengths, "reverse": data.draw(st.booleans())}
    check_alone(F.lstm, args, states=2, **options)


@drawn(st.data())
def test_any_shape(data: st.DataObject) -> None:
    steps, batch = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 20))
    inputs, units = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 40))
    variant = data.draw(st.sampled_from(["full", "original"]))
    projected = data.draw(st.integers(0, units - 1))
    args = given(
        steps, batch, inputs, units, variant, projected, data.draw(st.booleans()),
        lengths=integers(0, steps + 1, batch), size=0.5,
    )  # fmt: skip
    reverse = data.draw(st.booleans())
    check_wide(case(args, variant=variant, reverse=reverse))
    # Few units may have next to no deviation; the length of x or h alone has next to no gradient.
    if units > 3 and inputs > 1 and projected != 1:
        check_wide(normalized_case(args, variant=variant, reverse=reverse))


def test_bits_are_the_same_whether_the_graph_is_kept():
    check_retained(F.lstm, given(4, 5, 3, 21)[:7], states=2)
    check_retained(F.lstm, given(4, 40, 24, 70)[:7], states=2)


def test_memory_is_what_the_header_says():
    """Kept for the backward: the arguments, the outputs, the gates and the cell states."""
    steps, batch, units = 5, 3, 7
    arrays = [a.numbers(i, "float32") for i, a in enumerate(given(steps, batch, 4, units)[:7])]
    x, h0, c0, *weights = (rv.tensor(a, requires_grad=True) for a in arrays)
    y, _ = F.lstm(x, (h0, c0), *weights)
    kept = sum(a.size for a in y.node.function.saved if a is not None)
    own = sum(a.size for a in arrays[:5])  # without the biases
    assert kept == own + steps * batch * units * (1 + 4 + 1)
    norm = [rv.ones(4 * units), rv.ones(4 * units), rv.ones(units), rv.zeros(units)]
    y, _ = F.lstm(x, (h0, c0), *weights, norm=norm)
    normalized = sum(a.size for a in y.node.function.saved if a is not None)
    gains = sum(a.size for a in norm)
    assert normalized == kept + gains + steps * batch * (units * (4 + 4 + 1) + 3)
