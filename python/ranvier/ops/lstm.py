"""LSTM over a whole sequence, and its single step.

    c_t = f c_(t-1) + i g         h_t = o tanh(c_t)
    i, f, o = sigmoid, g = tanh of the gate's rows of W_ih x_t + b_ih + W_hh h_(t-1) + b_hh

Variants, by the gates they have (weights gate by gate, in this order):

* "full", i f g o: Gers, Schmidhuber and Cummins, "Learning to forget" (2000);
* "original", i g o, f = 1: Hochreiter and Schmidhuber, "Long short-term memory" (1997);
* "basic", g, i = f = o = 1: the constant error carousel alone.

Options: peepholes add p_i c_(t-1), p_f c_(t-1) and p_o c_t to the gates' arguments (Gers and
Schmidhuber, "Recurrent nets that time and count", 2000); a projection makes h_t = W_hr (o tanh c_t)
(Sak, Senior and Beaufays, 2014); layer normalization (Ba, Kiros and Hinton, 2016).

Backward, along the cell: dc_(t-1) = f dc_t, so dc_t/dc_(t-1) is 1 where there is no forget gate,
and errors neither vanish nor explode.

`lstm_composite` is the same computation from ordinary ops, step by step: the definition, and a
second opinion in the tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._recurrent import (
    Lengths,
    as_lengths,
    as_sequence,
    choice,
    one_input,
    one_step,
    start,
    tensors,
    walk,
)
from ranvier.tensor import Tensor

Array = _core.Array
State = Sequence[Tensor | None] | None
Norm = Sequence[Tensor] | None

EPS = 1e-5  # added to the variances of a layer-normalized LSTM
VARIANTS = ("basic", "original", "full")
GATES = (1, 3, 4)


class _Lstm(Function):
    autocast = "first"

    def forward(
        self,
        x: Array,
        h0: Array | None,
        c0: Array | None,
        weight_ih: Array,
        weight_hh: Array,
        bias_ih: Array | None,
        bias_hh: Array | None,
        weight_hr: Array | None,
        peephole: Array | None,
        lengths: Array | None,
        *,
        gates: int,
        reverse: bool,
    ) -> Any:
        y, hn, cn, activated, c = _core.lstm(
            x, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole, h0, c0, lengths, gates,
            reverse,
        )  # fmt: skip
        self.save(x, weight_ih, weight_hh, weight_hr, peephole, h0, c0, lengths, y, activated, c)
        self.options = (gates, reverse)
        return y, hn, cn

    def backward(self, dy: Array | None, dhn: Array | None, dcn: Array | None) -> Any:
        x, h0, _, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole, *_ = self.needs
        wanted = [x, weight_ih, weight_hh, bias_ih or bias_hh, weight_hr, peephole, h0]
        given: Any = (dy, dhn, dcn, *(self.saved or ()), *self.options, wanted, self.retained)
        dx, dweight_ih, dweight_hh, dbias, dweight_hr, dpeephole, dh0, dc0 = _core.lstm_backward(
            *given
        )
        return dx, dh0, dc0, dweight_ih, dweight_hh, dbias, dbias, dweight_hr, dpeephole, None


class _NormLstm(Function):
    """The same, layer-normalized: the four tensors of the norm come last."""

    autocast = "first"

    def forward(
        self,
        x: Array,
        h0: Array | None,
        c0: Array | None,
        weight_ih: Array,
        weight_hh: Array,
        bias_ih: Array | None,
        bias_hh: Array | None,
        weight_hr: Array | None,
        peephole: Array | None,
        lengths: Array | None,
        *norm: Array,
        gates: int,
        reverse: bool,
    ) -> Any:
        y, hn, cn, *rest = _core.lstm_norm(
            x, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole, h0, c0, lengths,
            list(norm), gates, EPS, reverse,
        )  # fmt: skip
        given = (x, weight_ih, weight_hh, weight_hr, peephole, h0, c0, lengths, *norm)
        self.save(*given, y, *rest)
        self.options = (gates, EPS, reverse)
        return y, hn, cn

    def backward(self, dy: Array | None, dhn: Array | None, dcn: Array | None) -> Any:
        x, h0, _, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole, _, *norm = self.needs
        wanted = [x, weight_ih, weight_hh, bias_ih or bias_hh, weight_hr, peephole, h0, *norm]
        saved: Any = self.saved or ()
        lists = [*saved[8:12]], [*saved[12:]]
        given: Any = (dy, dhn, dcn, *saved[:8], *lists, *self.options, wanted)
        dx, dweight_ih, dweight_hh, dbias, dweight_hr, dpeephole, dh0, dc0, *dnorm = (
            _core.lstm_norm_backward(*given)
        )
        return (
            dx, dh0, dc0, dweight_ih, dweight_hh, dbias, dbias, dweight_hr, dpeephole, None, *dnorm
        )  # fmt: skip


class _OneStep(Function):
    """A sequence of one step, without its axis."""

    def forward(self, x: Array, *arguments: Any, **options: Any) -> Any:
        return super().forward(as_sequence(x), *arguments, reverse=False, **options)[1:]

    def backward(self, *grads: Any) -> Any:
        dx, *others = super().backward(None, *grads)
        return one_input(dx), *others


class _LstmCell(_OneStep, _Lstm):
    pass


class _NormLstmCell(_OneStep, _NormLstm):
    pass


def _pair(op: str, state: Any) -> tuple[Tensor | None, Tensor | None]:
    if state is None:
        return None, None
    if not isinstance(state, tuple | list) or len(state) != 2:
        raise ValueError(f"[{op}] expected a state (h, c), got {_kind(state)}")
    tensors(op, h0_=state[0], c0_=state[1])
    return state[0], state[1]


def _kind(state: Any) -> str:
    if isinstance(state, tuple | list):
        return f"{len(state)} entries"
    return "one tensor" if isinstance(state, Tensor) else type(state).__name__


def lstm(
    x: Tensor,
    state: State,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    weight_hr: Tensor | None = None,
    *,
    peephole: Tensor | None = None,
    norm: Norm = None,
    lengths: Lengths = None,
    variant: str = "full",
    reverse: bool = False,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Runs an LSTM over a sequence; see the module for its formulas.

    Args:
        x: (T, N, I): T steps of N samples.
        state: initial (h (N, R), c (N, H)), either may be None for zeros; None for both.
        weight_ih: (G H, I) with G = 4 gates i, f, g, o; 3 (i, g, o) for the original variant, 1 for
            the basic one.
        weight_hh: (G H, R), where R = H unless projected.
        bias_ih: (G H,) or None.
        bias_hh: (G H,) or None; the two are added, so one is enough.
        weight_hr: (R, H), projects the output state; or None.
        peephole: (3, H) for i, f, o; (2, H) for i, o of the original variant; or None.
        norm: layer normalization: gains of W_ih x and of W_hh h (G H,), gain and bias of c (H,).
            Each of the three is brought to mean 0 and variance 1 over its features (c inside the
            tanh only). On a GPU such a layer is computed step by step (`lstm_composite`).
        lengths: (N,), how many steps each sample has, from 0 to T, in any order; None for T.
        variant: "full", "original" or "basic".
        reverse: from each sample's last step to its first.

    Returns:
        The outputs (T, N, R), zero past a sample's end, and the state (h, c) after its last step,
        each sample with the bits that it would have alone. Detaching the state that goes into the
        next call truncates backpropagation.

    Raises:
        ValueError: shapes that do not fit, no step at all, lengths below 0 or above T.
        TypeError: not tensors of one floating dtype and device.

    Example:
        >>> import ranvier as rv
        >>> w = rv.zeros(4, 1)                       # gates at 1/2, new content 0
        >>> y, (h, c) = rv.functional.lstm(rv.ones(2, 1, 1), (None, rv.ones(1, 1)), w, w)
        >>> c.item()
        0.25
    """
    tensors("lstm", x=x)
    gates = _check("lstm", variant, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole)
    h0, c0 = _pair("lstm", state)
    steps = as_lengths("lstm", lengths, x)
    given = (x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole, steps)
    if norm is None:
        y, hn, cn = _Lstm.apply(*given, gates=gates, reverse=bool(reverse))
        return y, (hn, cn)
    _check_norm("lstm", norm)
    if x.device.type == "cuda":
        arrays: Any = [None if a is None else a.data for a in (x, *given[3:9], h0, c0, steps)]
        checked: Any = [*arrays, [a.data for a in norm], gates]
        _core.lstm_check(*checked)
        return lstm_composite(
            x, state, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole=peephole,
            norm=norm, lengths=steps, variant=variant, reverse=reverse,
        )  # fmt: skip
    y, hn, cn = _NormLstm.apply(*given, *norm, gates=gates, reverse=bool(reverse))
    return y, (hn, cn)


def lstm_cell(
    x: Tensor,
    state: State,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    weight_hr: Tensor | None = None,
    *,
    peephole: Tensor | None = None,
    norm: Norm = None,
    variant: str = "full",
) -> tuple[Tensor, Tensor]:
    """One step of `lstm`: the new state (h, c) from x (N, I) and the state before it.

    Args and errors: as `lstm`, which gives the same bits.
    """
    one_step("lstm_cell", x)
    gates = _check(
        "lstm_cell", variant, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole
    )
    h, c = _pair("lstm_cell", state)
    given = (x, h, c, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole, None)
    if norm is None:
        return _LstmCell.apply(*given, gates=gates)
    _check_norm("lstm_cell", norm)
    if x.device.type == "cuda":
        _, last = lstm(
            x.unsqueeze(0), (h, c), *given[3:8], peephole=peephole, norm=norm, variant=variant
        )
        return last
    return _NormLstmCell.apply(*given, *norm, gates=gates)


def _check(
    op: str, variant: str, weight_ih: Any, weight_hh: Any, bias_ih: Any, bias_hh: Any,
    weight_hr: Any, peephole: Any,
) -> int:  # fmt: skip
    """The number of gates."""
    tensors(op, weight_ih=weight_ih, weight_hh=weight_hh, bias_ih_=bias_ih, bias_hh_=bias_hh,
            weight_hr_=weight_hr, peephole_=peephole)  # fmt: skip
    return GATES[choice(op, "variant", variant, VARIANTS)]


def _check_norm(op: str, norm: Any) -> None:
    if not isinstance(norm, tuple | list) or len(norm) != 4:
        raise ValueError(
            f"[{op}] expected norm as four tensors (gain of W_ih x, gain of W_hh h, gain and bias "
            f"of c), got {_kind(norm)}"
        )
    for value in norm:
        tensors(op, norm=value)


def _normalize(a: Tensor, gain: Tensor, eps: float) -> Tensor:
    centred = a - a.mean(dim=-1, keepdim=True)
    return centred * ((centred * centred).mean(dim=-1, keepdim=True) + eps).rsqrt() * gain


def lstm_composite(
    x: Tensor,
    state: State,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    weight_hr: Tensor | None = None,
    *,
    peephole: Tensor | None = None,
    norm: Norm = None,
    lengths: Lengths = None,
    variant: str = "full",
    reverse: bool = False,
    eps: float = EPS,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """What `lstm` computes, step by step from ordinary ops; arguments as there.

    eps is added to the variances of a layer-normalized LSTM.
    """
    letters = {"basic": "g", "original": "igo", "full": "ifgo"}[variant]
    units = weight_ih.shape[0] // len(letters)
    seen = {} if peephole is None else dict(zip(letters.replace("g", ""), peephole, strict=True))

    inputs = x @ weight_ih.T  # of all steps at once
    if norm is not None:
        inputs = _normalize(inputs, norm[0], eps)
    for bias in (bias_ih, bias_hh):
        inputs = inputs if bias is None else inputs + bias

    def step(by_x: Tensor, before: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        h, c = before
        by_h = h @ weight_hh.T
        if norm is not None:
            by_h = _normalize(by_h, norm[1], eps)
        a = dict(zip(letters, (by_x + by_h).split(units, 1), strict=True))

        def gate(letter: str, cell: Tensor) -> Tensor:
            z = a[letter]
            return (z + seen[letter] * cell if letter in seen else z).sigmoid()

        new = a["g"].tanh()
        if "i" in a:
            new = gate("i", c) * new
        c = new + (gate("f", c) * c if "f" in a else c)
        inner = c if norm is None else _normalize(c, norm[2], eps) + norm[3]
        h = inner.tanh()
        if "o" in a:
            h = gate("o", c) * h
        return (h if weight_hr is None else h @ weight_hr.T), c

    h0, c0 = _pair("lstm", state)
    first = (start(h0, x, weight_hh.shape[1]), start(c0, x, units))
    y, (h, c) = walk(inputs, first, step, as_lengths("lstm", lengths, x), reverse)
    return y, (h, c)
