"""Simple recurrent layer over a whole sequence, and its single step.

    h_t = f(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh),    f = tanh or ReLU

Backward in time, with a_t the argument of f:

    da_t = dh_t f'(a_t)         dh_(t-1) = dy_(t-1) + W_hh' da_t
    dW_ih = sum da_t x_t'       dW_hh = sum da_t h_(t-1)'       db = sum da_t

`rnn_composite` is the same computation from ordinary ops: the definition, and a second opinion in
the tests.

Source: Elman, "Finding structure in time", Cognitive Science 14 (1990); Werbos, "Backpropagation
through time: what it does and how to do it", Proceedings of the IEEE 78 (1990).
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._recurrent import (
    Lengths,
    affine,
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

_NONLINEARITIES = ("tanh", "relu")


class _Rnn(Function):
    autocast = "first"

    def forward(
        self,
        x: Array,
        h0: Array | None,
        weight_ih: Array,
        weight_hh: Array,
        bias_ih: Array | None,
        bias_hh: Array | None,
        lengths: Array | None,
        *,
        relu: bool,
        reverse: bool,
    ) -> Any:
        y, hn = _core.rnn(x, weight_ih, weight_hh, bias_ih, bias_hh, h0, lengths, relu, reverse)
        self.save(x, weight_ih, weight_hh, h0, lengths, y)
        self.relu, self.reverse = relu, reverse
        return y, hn

    def backward(self, dy: Array | None, dhn: Array | None) -> Any:
        x, h0, weight_ih, weight_hh, bias_ih, bias_hh, _ = self.needs
        wanted = [x, weight_ih, weight_hh, bias_ih or bias_hh, h0]
        given: Any = (dy, dhn, *(self.saved or ()), self.relu, self.reverse, wanted)
        dx, dweight_ih, dweight_hh, dbias, dh0 = _core.rnn_backward(*given)
        return dx, dh0, dweight_ih, dweight_hh, dbias, dbias, None


class _RnnCell(Function):
    autocast = "first"

    def forward(
        self,
        x: Array,
        h: Array | None,
        weight_ih: Array,
        weight_hh: Array,
        bias_ih: Array | None,
        bias_hh: Array | None,
        *,
        relu: bool,
    ) -> Any:
        x = as_sequence(x)
        y, hn = _core.rnn(x, weight_ih, weight_hh, bias_ih, bias_hh, h, None, relu, False)
        self.save(x, weight_ih, weight_hh, h, None, y)
        self.relu = relu
        return hn

    def backward(self, dh: Array) -> Any:
        x, h, weight_ih, weight_hh, bias_ih, bias_hh = self.needs
        wanted = [x, weight_ih, weight_hh, bias_ih or bias_hh, h]
        given: Any = (None, dh, *(self.saved or ()), self.relu, False, wanted)
        dx, dweight_ih, dweight_hh, dbias, dh0 = _core.rnn_backward(*given)
        return one_input(dx), dh0, dweight_ih, dweight_hh, dbias, dbias


def _check(op: str, h0: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any, bias_hh: Any) -> None:
    tensors(op, h0_=h0, weight_ih=weight_ih, weight_hh=weight_hh, bias_ih_=bias_ih,
            bias_hh_=bias_hh)  # fmt: skip


def rnn(
    x: Tensor,
    h0: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    *,
    lengths: Lengths = None,
    nonlinearity: str = "tanh",
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """Runs h_t = f(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh) over a sequence.

    Args:
        x: (T, N, I): T steps of N samples.
        h0: initial state (N, H); None for zeros.
        weight_ih: (H, I).
        weight_hh: (H, H).
        bias_ih: (H,) or None.
        bias_hh: (H,) or None.
        lengths: (N,), how many steps each sample has, from 0 to T, in any order; None for T.
        nonlinearity: "tanh" or "relu".
        reverse: from each sample's last step to its first.

    Returns:
        The outputs (T, N, H), zero past a sample's end, and the state (N, H) after its last step,
        each sample with the bits that it would have alone. Detaching the state that goes into the
        next call truncates backpropagation.

    Raises:
        ValueError: shapes that do not fit, no step at all, lengths below 0 or above T.
        TypeError: not tensors of one floating dtype and device.

    Source: Elman, "Finding structure in time" (1990).

    Example:
        >>> import ranvier as rv
        >>> w = rv.tensor([[1.0]])
        >>> y, h = rv.functional.rnn(rv.ones(3, 1, 1), None, w, w, nonlinearity="relu")
        >>> y.flatten().tolist(), h.item()
        ([1.0, 2.0, 3.0], 3.0)
    """
    tensors("rnn", x=x)
    _check("rnn", h0, weight_ih, weight_hh, bias_ih, bias_hh)
    relu = choice("rnn", "nonlinearity", nonlinearity, _NONLINEARITIES) == 1
    steps = as_lengths("rnn", lengths, x)
    return _Rnn.apply(
        x, h0, weight_ih, weight_hh, bias_ih, bias_hh, steps, relu=relu, reverse=bool(reverse)
    )


def rnn_cell(
    x: Tensor,
    h: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    *,
    nonlinearity: str = "tanh",
) -> Tensor:
    """One step of `rnn`: the new state (N, H) from x (N, I) and the state h (N, H) or None.

    Args and errors: as `rnn`, which gives the same bits.
    """
    one_step("rnn_cell", x)
    _check("rnn_cell", h, weight_ih, weight_hh, bias_ih, bias_hh)
    relu = choice("rnn_cell", "nonlinearity", nonlinearity, _NONLINEARITIES) == 1
    return _RnnCell.apply(x, h, weight_ih, weight_hh, bias_ih, bias_hh, relu=relu)


def rnn_composite(
    x: Tensor,
    h0: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    *,
    lengths: Lengths = None,
    nonlinearity: str = "tanh",
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """What `rnn` computes, step by step from ordinary ops."""

    def step(by_x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        a = by_x + affine(state[0], weight_hh, bias_hh)
        return (a.tanh() if nonlinearity == "tanh" else a.relu(),)

    first = (start(h0, x, weight_ih.shape[0]),)
    inputs = affine(x, weight_ih, bias_ih)
    y, (h,) = walk(inputs, first, step, as_lengths("rnn", lengths, x), reverse)
    return y, h
