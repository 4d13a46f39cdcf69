"""Recurrent layers: both directions, both layouts, lengths.

ONNX stacks what the directions have along a first axis, and each gate's weights in an order of its
own; these are put into ours.
"""

from __future__ import annotations

import ranvier.functional as F
from ranvier.io.onnx.graph import Unsupported, node
from ranvier.tensor import Tensor


def _gates(t: Tensor, order: list[int]) -> Tensor:
    """Rows gate by gate, in another order."""
    parts = t.chunk(len(order), 0)
    return F.concat([parts[i] for i in order], 0)


class _Layer:
    """What the three layers share: which steps run how, and how their outputs are joined."""

    def __init__(
        self, op: str, direction: str, layout: int, clip: float | None,
        activations: list[str] | None, known: list[str],
    ) -> None:  # fmt: skip
        directions = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
        self.reversed = directions[direction]
        self.layout = layout
        if clip is not None:
            raise Unsupported(f"{op} with clip")
        if activations is not None and activations != known * len(self.reversed):
            raise Unsupported(f"{op} with activations {', '.join(activations)}")

    def sequence(self, x: Tensor) -> Tensor:
        """(T, N, I), whatever the layout."""
        return x.transpose(0, 1) if self.layout else x

    def state(self, h: Tensor | None, i: int) -> Tensor | None:
        """The initial state (N, H) of one direction."""
        if h is None:
            return None
        return (h[:, i] if self.layout else h[i]).contiguous()

    def join(self, ys: list[Tensor], *states: list[Tensor]) -> tuple[Tensor, ...]:
        """Y (T, D, N, H) and the states (D, N, H); with N in front where the layout says so."""
        y = F.stack(ys, 1)
        ends = [F.stack(s, 0) for s in states]
        if self.layout:
            return (y.permute(2, 0, 1, 3), *[e.transpose(0, 1) for e in ends])
        return (y, *ends)


@node("RNN")
def _rnn(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, lengths: Tensor | None = None,
    h0: Tensor | None = None, *, activations: list[str] | None = None, clip: float | None = None,
    direction: str = "forward", hidden_size: int | None = None, layout: int = 0,
) -> tuple[Tensor, ...]:  # fmt: skip
    kind = "Relu" if activations and set(activations) == {"Relu"} else "Tanh"
    layer = _Layer("RNN", direction, layout, clip, activations, [kind])
    ys, hs = [], []
    for i, backwards in enumerate(layer.reversed):
        bias_ih, bias_hh = (None, None) if b is None else b[i].chunk(2)
        y, h = F.rnn(
            layer.sequence(x), layer.state(h0, i), w[i], r[i], bias_ih, bias_hh, lengths=lengths,
            nonlinearity=kind.lower(), reverse=backwards,
        )  # fmt: skip
        ys.append(y)
        hs.append(h)
    return layer.join(ys, hs)


@node("GRU")
def _gru(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, lengths: Tensor | None = None,
    h0: Tensor | None = None, *, activations: list[str] | None = None, clip: float | None = None,
    direction: str = "forward", hidden_size: int | None = None, layout: int = 0,
    linear_before_reset: int = 0,
) -> tuple[Tensor, ...]:  # fmt: skip
    layer = _Layer("GRU", direction, layout, clip, activations, ["Sigmoid", "Tanh"])
    order = [1, 0, 2]  # z r h to r z n
    ys, hs = [], []
    for i, backwards in enumerate(layer.reversed):
        biases = (None, None) if b is None else [_gates(part, order) for part in b[i].chunk(2)]
        y, h = F.gru(
            layer.sequence(x), layer.state(h0, i), _gates(w[i], order), _gates(r[i], order),
            *biases, lengths=lengths, reverse=backwards, reset_after=bool(linear_before_reset),
        )  # fmt: skip
        ys.append(y)
        hs.append(h)
    return layer.join(ys, hs)


@node("LSTM")
def _lstm(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, lengths: Tensor | None = None,
    h0: Tensor | None = None, c0: Tensor | None = None, p: Tensor | None = None, *,
    activations: list[str] | None = None, clip: float | None = None, direction: str = "forward",
    hidden_size: int | None = None, input_forget: int = 0, layout: int = 0,
) -> tuple[Tensor, ...]:  # fmt: skip
    if input_forget:
        raise Unsupported("LSTM with input_forget")
    layer = _Layer("LSTM", direction, layout, clip, activations, ["Sigmoid", "Tanh", "Tanh"])
    order = [0, 2, 3, 1]  # i o f c to i f g o
    ys, hs, cs = [], [], []
    for i, backwards in enumerate(layer.reversed):
        biases = (None, None) if b is None else [_gates(part, order) for part in b[i].chunk(2)]
        peephole = None
        if p is not None:  # i o f to i f o
            peephole = F.stack([p[i].chunk(3)[j] for j in (0, 2, 1)])
        y, (h, c) = F.lstm(
            layer.sequence(x), (layer.state(h0, i), layer.state(c0, i)), _gates(w[i], order),
            _gates(r[i], order), *biases, peephole=peephole, lengths=lengths, reverse=backwards,
        )  # fmt: skip
        ys.append(y)
        hs.append(h)
        cs.append(c)
    return layer.join(ys, hs, cs)
