"""GRU over a whole sequence, and its single step.

    r = sigmoid(W_ir x_t + b_ir + W_hr h_(t-1) + b_hr)        z the same, with its own rows
    n = tanh(W_in x_t + b_in + r (W_hn h_(t-1) + b_hn))       h_t = (1 - z) n + z h_(t-1)

The reset gate r acts on the recurrent product, as in PyTorch and cuDNN, so that all recurrent
products of a step are one. In the paper it acts on the state before the product:

    n = tanh(W_in x_t + b_in + W_hn (r h_(t-1)) + b_hn)

`gru_composite` is the same computation from ordinary ops: the definition, and a second opinion in
the tests.

Source: Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
machine translation", EMNLP 2014.
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
    one_input,
    one_step,
    start,
    tensors,
    walk,
)
from ranvier.tensor import Tensor

Array = _core.Array


class _Gru(Function):
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
        reverse: bool,
    ) -> Any:
        y, hn, gates = _core.gru(
            x, weight_ih, weight_hh, bias_ih, bias_hh, h0, lengths, reverse
        )  # fmt: skip
        self.save(x, weight_ih, weight_hh, h0, lengths, y, gates)
        self.reverse = reverse
        return y, hn

    def backward(self, dy: Array | None, dhn: Array | None) -> Any:
        x, h0, weight_ih, weight_hh, bias_ih, bias_hh, *_ = self.needs
        wanted = [x, weight_ih, weight_hh, bias_ih, bias_hh, h0]
        given: Any = (dy, dhn, *(self.saved or ()), self.reverse, wanted, self.retained)
        dx, dweight_ih, dweight_hh, dbias_ih, dbias_hh, dh0 = _core.gru_backward(*given)
        return dx, dh0, dweight_ih, dweight_hh, dbias_ih, dbias_hh, None


class _GruCell(_Gru):
    def forward(self, x: Array, *arguments: Any, **options: Any) -> Any:
        sequence = (as_sequence(x), *arguments, None)  # without lengths
        return super().forward(*sequence, reverse=False)[1]

    def backward(self, *grads: Any) -> Any:
        dx, *others, _ = super().backward(None, *grads)
        return one_input(dx), *others


def gru(
    x: Tensor,
    h0: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    *,
    lengths: Lengths = None,
    reverse: bool = False,
    reset_after: bool = True,
) -> tuple[Tensor, Tensor]:
    """Runs a GRU over a sequence; see the module for its formulas.

    Args:
        x: (T, N, I): T steps of N samples.
        h0: initial state (N, H); None for zeros.
        weight_ih: (3 H, I), gates in the order r, z, n.
        weight_hh: (3 H, H).
        bias_ih: (3 H,) or None.
        bias_hh: (3 H,) or None; not the same as bias_ih, for its last third is inside the reset.
        lengths: (N,), how many steps each sample has, from 0 to T, in any order; None for T.
        reverse: from each sample's last step to its first.
        reset_after: False for the reset before the product, as published. Such a layer is computed
            step by step (`gru_composite`), and its bits may depend on the batch.

    Returns:
        The outputs (T, N, H), zero past a sample's end, and the state (N, H) after its last step,
        each sample with the bits that it would have alone. Detaching the state that goes into the
        next call truncates backpropagation.

    Raises:
        ValueError: shapes that do not fit, no step at all, lengths below 0 or above T.
        TypeError: not tensors of one floating dtype and device.

    Source: Cho et al. (2014).

    Example:
        >>> import ranvier as rv
        >>> w = rv.zeros(3, 1)                                # z = 1/2, n = 0
        >>> y, h = rv.functional.gru(rv.ones(2, 1, 1), rv.ones(1, 1), w, w)
        >>> y.flatten().tolist()
        [0.5, 0.25]
    """
    tensors("gru", x=x)
    _check("gru", h0, weight_ih, weight_hh, bias_ih, bias_hh)
    steps = as_lengths("gru", lengths, x)
    if not reset_after:
        given = (x, weight_ih, weight_hh, bias_ih, bias_hh, h0, steps)
        arrays: Any = [None if a is None else a.data for a in given]
        _core.gru_check(*arrays)
        return gru_composite(
            x, h0, weight_ih, weight_hh, bias_ih, bias_hh, lengths=steps, reverse=reverse,
            reset_after=False,
        )  # fmt: skip
    return _Gru.apply(
        x, h0, weight_ih, weight_hh, bias_ih, bias_hh, steps, reverse=bool(reverse)
    )  # fmt: skip


def gru_cell(
    x: Tensor,
    h: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
) -> Tensor:
    """One step of `gru`: the new state (N, H) from x (N, I) and the state h (N, H) or None.

    Args and errors: as `gru`, which gives the same bits.
    """
    one_step("gru_cell", x)
    _check("gru_cell", h, weight_ih, weight_hh, bias_ih, bias_hh)
    return _GruCell.apply(x, h, weight_ih, weight_hh, bias_ih, bias_hh)


def _check(op: str, h0: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any, bias_hh: Any) -> None:
    tensors(op, h0_=h0, weight_ih=weight_ih, weight_hh=weight_hh, bias_ih_=bias_ih,
            bias_hh_=bias_hh)  # fmt: skip


def gru_composite(
    x: Tensor,
    h0: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    *,
    lengths: Lengths = None,
    reverse: bool = False,
    reset_after: bool = True,
) -> tuple[Tensor, Tensor]:
    """What `gru` computes, step by step from ordinary ops."""
    units = weight_hh.shape[1]

    def step(by_x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (x_r, x_z, x_n), (h_r, h_z, h_n) = (
            a.split(units, 1) for a in (by_x, affine(state[0], weight_hh, bias_hh))
        )
        r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
        n = (x_n + r * h_n).tanh()
        return ((1 - z) * n + z * state[0],)

    first_two, last = weight_hh[: 2 * units], weight_hh[2 * units :]
    bias_two, bias_last = (
        (None, None) if bias_hh is None else (bias_hh[: 2 * units], bias_hh[2 * units :])
    )

    def step_reset_first(by_x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (h,) = state
        x_r, x_z, x_n = by_x.split(units, 1)
        h_r, h_z = affine(h, first_two, bias_two).split(units, 1)
        r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
        n = (x_n + affine(r * h, last, bias_last)).tanh()
        return ((1 - z) * n + z * h,)

    inputs = affine(x, weight_ih, bias_ih)
    first = (start(h0, x, units),)
    run = step if reset_after else step_reset_first
    y, (h,) = walk(inputs, first, run, as_lengths("gru", lengths, x), reverse)
    return y, h
