"""Recurrent layers: RNN, GRU, LSTM, their single steps, and a convolutional LSTM.

The state goes in and comes out; no layer hides one. Names and layouts of the parameters are those
of PyTorch, so that its `state_dict` loads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ranvier import functional as F
from ranvier.creation import empty, zeros
from ranvier.nn import init
from ranvier.nn.linear import positive
from ranvier.nn.module import Module
from ranvier.nn.parameter import Parameter
from ranvier.tensor import Tensor

Lengths = Tensor | Sequence[int] | None


def _biases(layer: str, bias: bool | str) -> tuple[str, ...]:
    """The biases that a layer has: both (True or "double"), one ("single"), or none."""
    known = {True: ("ih", "hh"), "double": ("ih", "hh"), "single": ("ih",), False: ()}
    if bias not in known:
        raise ValueError(
            f"[{layer}] expected bias to be True, False, 'single' or 'double', got {bias!r}"
        )
    return known[bias]


def _gates(layer: str, variant: str, peephole: bool) -> int:
    """The gates of a variant of the LSTM."""
    gates = {"full": 4, "original": 3, "basic": 1}
    if variant not in gates:
        raise ValueError(f"[{layer}] expected variant full, original or basic, got {variant!r}")
    if peephole and variant == "basic":
        raise ValueError(f"[{layer}] expected no peephole for the basic variant - it has no gates")
    return gates[variant]


def _projected(layer: str, size: Any, units: int) -> int:
    """The size of a projected state, checked."""
    if not isinstance(size, int) or not 0 <= size < units:
        raise ValueError(
            f"[{layer}] expected proj_size from 0 (none) to hidden_size - 1, got {size!r}"
        )
    return size


# Gains of W_ih x, W_hh h and c, and the shift of c, of a layer-normalized LSTM.
_MOST_LAYERS = 1024
_NORM = ("gain_ih", "gain_hh", "gain_c", "shift_c")


def _draw(module: Module, units: int) -> None:
    """Every number from U(-b, b), b = 1 / sqrt(units), as in PyTorch; gains 1 and shifts 0."""
    for name, p in module.named_parameters():
        if name.startswith("gain"):
            init.ones_(p)
        elif name.startswith("shift"):
            init.zeros_(p)
        else:
            init.uniform_(p, -(units**-0.5), units**-0.5)


class _Recurrent(Module):
    """Stacked layers in one or two directions; subclasses say what a layer does.

    The state has the shape (num_layers * directions, N, size): layer by layer, in each forward
    before backward.
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool | str,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int = 0,
    ) -> None:
        name = type(self).__name__
        positive(name, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        if num_layers > _MOST_LAYERS:  # before they are built, one after the other
            raise ValueError(
                f"[{name}] expected num_layers of at most {_MOST_LAYERS}, got {num_layers} - "
                "did you mean hidden_size?"
            )
        if not 0.0 <= dropout <= 1.0:
            raise ValueError(f"[{name}] expected dropout from 0 to 1, got {dropout}")
        proj_size = _projected(name, proj_size, hidden_size)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, bool(batch_first), float(dropout)
        self.bidirectional, self.proj_size = bool(bidirectional), proj_size
        names = _biases(name, bias)
        self.output_size = proj_size or hidden_size  # of one direction
        self.suffixes = ("", "_reverse") if bidirectional else ("",)
        size = input_size
        for layer in range(num_layers):
            for suffix in self.suffixes:
                end = f"_l{layer}{suffix}"
                rows = self.gates * hidden_size
                setattr(self, f"weight_ih{end}", Parameter(empty(rows, size)))
                setattr(self, f"weight_hh{end}", Parameter(empty(rows, self.output_size)))
                for which in names:
                    setattr(self, f"bias_{which}{end}", Parameter(empty(rows)))
                if proj_size:
                    setattr(self, f"weight_hr{end}", Parameter(empty(proj_size, hidden_size)))
                self._more_parameters(end)
            size = self.output_size * len(self.suffixes)
        self.reset_parameters()

    def _more_parameters(self, end: str) -> None:
        """Parameters of a kind of layer that not all have."""

    def reset_parameters(self) -> None:
        """Draws new initial values from U(-b, b), b = 1 / sqrt(hidden_size); gains start at 1."""
        _draw(self, self.hidden_size)

    def _weights(self, end: str) -> tuple[Any, ...]:
        """weight_ih, weight_hh, bias_ih, bias_hh of a layer."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return tuple([getattr(self, name + end, None) for name in names])

    def _check(self, x: Tensor, state: Tensor | None, what: str, size: int) -> None:
        name = type(self).__name__.lower()
        if x.ndim != 3:
            axes = "(N, T, I)" if self.batch_first else "(T, N, I)"
            raise ValueError(
                f"[{name}] expected x of shape {axes}, got {x.shape} - one sample without a batch "
                f"axis goes in as x.unsqueeze({0 if self.batch_first else 1})"
            )
        if x.shape[2] != self.input_size:
            raise ValueError(
                f"[{name}] expected x of {self.input_size} features, got shape {x.shape} - did "
                f"you mean {type(self).__name__}({x.shape[2]}, {self.hidden_size})?"
            )
        rows = x.shape[0] if self.batch_first else x.shape[1]
        shape = (self.num_layers * len(self.suffixes), rows, size)
        if state is not None and state.shape != shape:
            raise ValueError(
                f"[{name}] expected {what} of shape {shape} (layers * directions, batch, size), "
                f"got {state.shape}"
            )

    def _run(
        self,
        x: Tensor,
        states: tuple[Tensor | None, ...],
        run: Callable[[Tensor, str, tuple[Tensor | None, ...], bool], Any],
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Layer by layer; `run(x, end of names, state, reverse)` gives outputs and last state."""
        if self.batch_first:
            x = x.transpose(0, 1)
        finals: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                x = F.dropout(x, self.dropout, True)
            outputs = []
            for suffix in self.suffixes:
                at = len(finals)
                state = tuple([None if s is None else s[at] for s in states])
                y, last = run(x, f"_l{layer}{suffix}", state, suffix == "_reverse")
                outputs.append(y)
                finals.append(last)
            x = outputs[0] if len(outputs) == 1 else F.concat(outputs, -1)
        if self.batch_first:
            x = x.transpose(0, 1)
        return x, tuple([F.stack(list(kind)) for kind in zip(*finals, strict=True)])

    def mult_adds(self, inputs: tuple[Any, ...], output: Any) -> int:
        """Products with all weight matrices, at every step of every sample."""
        first = inputs[0]
        products = ("weight_ih", "weight_hh", "weight_hr")
        matrices = sum(p.size for n, p in self.named_parameters() if n.startswith(products))
        return first.shape[0] * first.shape[1] * matrices

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        text = f"{self.input_size}, {self.hidden_size}"
        usual = {
            "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0,
            "bidirectional": False, "proj_size": 0, "nonlinearity": "tanh", "peephole": False,
            "layer_norm": False, "variant": "full", "reset_after": True,
        }  # fmt: skip
        for name, value in usual.items():
            own = getattr(self, name, value)
            text += f", {name}={own!r}" if own != value else ""
        return text


class RNN(_Recurrent):
    """Simple recurrent layers: h_t = f(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh); see `F.rnn`.

    Args:
        input_size: features of x.
        hidden_size: units of each layer and direction.
        num_layers: layers on top of each other.
        nonlinearity: "tanh" or "relu".
        bias: True or "double" for b_ih and b_hh, "single" for b_ih alone, False for none.
        batch_first: x and y are (N, T, features) rather than (T, N, features).
        dropout: probability of dropout between layers.
        bidirectional: a second layer beside each walks backwards.

    Shapes:
        x (T, N, input_size), h0 (L D, N, hidden_size) -> y (T, N, D hidden_size), h (as h0), with
        L layers and D directions. `lengths` (N,) tells how many steps each sample has.

    Raises:
        ValueError: sizes that do not fit.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool | str = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"[RNN] expected nonlinearity tanh or relu, got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        )

    def forward(
        self, x: Tensor, h0: Tensor | None = None, lengths: Lengths = None
    ) -> tuple[Tensor, Tensor]:
        """Outputs of the last layer, and the last state of all."""
        self._check(x, h0, "h0", self.hidden_size)

        def run(x: Tensor, end: str, state: Any, reverse: bool) -> Any:
            y, h = F.rnn(
                x, state[0], *self._weights(end), lengths=lengths, reverse=reverse,
                nonlinearity=self.nonlinearity,
            )  # fmt: skip
            return y, (h,)

        y, (h,) = self._run(x, (h0,), run)
        return y, h


class GRU(_Recurrent):
    """Gated recurrent units; see `F.gru`.

    Args:
        input_size: features of x.
        hidden_size: units of each layer and direction.
        num_layers: layers on top of each other.
        bias: True or "double" for b_ih and b_hh, "single" for b_ih alone, False for none.
        batch_first: x and y are (N, T, features) rather than (T, N, features).
        dropout: probability of dropout between layers.
        bidirectional: a second layer beside each walks backwards.
        reset_after: whether the reset gate acts after the recurrent product, as in PyTorch, or
            before it, as published; the latter is computed step by step.

    Shapes:
        as `RNN`.

    Raises:
        ValueError: sizes that do not fit.
    """

    gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool | str = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        reset_after: bool = True,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        )
        self.reset_after = bool(reset_after)

    def forward(
        self, x: Tensor, h0: Tensor | None = None, lengths: Lengths = None
    ) -> tuple[Tensor, Tensor]:
        """Outputs of the last layer, and the last state of all."""
        self._check(x, h0, "h0", self.hidden_size)

        def run(x: Tensor, end: str, state: Any, reverse: bool) -> Any:
            y, h = F.gru(
                x, state[0], *self._weights(end), lengths=lengths, reverse=reverse,
                reset_after=self.reset_after,
            )  # fmt: skip
            return y, (h,)

        y, (h,) = self._run(x, (h0,), run)
        return y, h


class LSTM(_Recurrent):
    """Long short-term memory in all its variants; see `F.lstm`.

    Args:
        input_size: features of x.
        hidden_size: cells of each layer and direction.
        num_layers: layers on top of each other.
        bias: True or "double" for b_ih and b_hh, "single" for b_ih alone, False for none.
        batch_first: x and y are (N, T, features) rather than (T, N, features).
        dropout: probability of dropout between layers.
        bidirectional: a second layer beside each walks backwards.
        proj_size: size of the projected output state; 0 for no projection.
        peephole: the gates see the cell's state.
        layer_norm: layer normalization of both products and the cell (Ba et al., 2016).
        variant: "full" (gates i, f, g, o), "original" (i, g, o) or "basic" (g).

    Shapes:
        x (T, N, input_size), state (h0 (L D, N, R), c0 (L D, N, hidden_size)) -> y (T, N, D R),
        (h, c), with L layers, D directions and R = proj_size or hidden_size.

    Raises:
        ValueError: sizes or options that do not fit.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool | str = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        peephole: bool = False,
        layer_norm: bool = False,
        variant: str = "full",
    ) -> None:
        self.gates, self.variant = _gates("LSTM", variant, peephole), variant
        self.peephole, self.layer_norm = bool(peephole), bool(layer_norm)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            proj_size,
        )  # fmt: skip

    def _more_parameters(self, end: str) -> None:
        units, rows = self.hidden_size, self.gates * self.hidden_size
        if self.peephole:
            setattr(self, f"weight_peephole{end}", Parameter(empty(self.gates - 1, units)))
        if self.layer_norm:
            for name in _NORM:
                setattr(self, name + end, Parameter(empty(rows if name[-1] == "h" else units)))

    def forward(
        self, x: Tensor, state: Sequence[Tensor | None] | None = None, lengths: Lengths = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Outputs of the last layer, and the last state (h, c) of all."""
        if state is not None and (isinstance(state, Tensor) or len(state) != 2):
            raise ValueError("[lstm] expected a state (h0, c0)")
        h0, c0 = state or (None, None)
        self._check(x, h0, "h0", self.output_size)
        self._check(x, c0, "c0", self.hidden_size)

        def run(x: Tensor, end: str, state: Any, reverse: bool) -> Any:
            norm = [getattr(self, n + end) for n in _NORM] if self.layer_norm else None
            w_ih, w_hh, b_ih, b_hh = self._weights(end)
            return F.lstm(
                x, state, w_ih, w_hh, b_ih, b_hh, getattr(self, f"weight_hr{end}", None),
                peephole=getattr(self, f"weight_peephole{end}", None), norm=norm, lengths=lengths,
                variant=self.variant, reverse=reverse,
            )  # fmt: skip

        y, (h, c) = self._run(x, (h0, c0), run)
        return y, (h, c)


class _Cell(Module):
    """One step of one layer."""

    gates = 1

    def __init__(self, input_size: int, hidden_size: int, bias: bool | str = True) -> None:
        name = type(self).__name__
        positive(name, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        rows = self.gates * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size))
        self.weight_hh = Parameter(empty(rows, hidden_size))
        names = _biases(name, bias)
        self.bias_ih = Parameter(empty(rows)) if "ih" in names else None
        self.bias_hh = Parameter(empty(rows)) if "hh" in names else None
        self._more_parameters()
        self.reset_parameters()

    def _more_parameters(self) -> None:
        """Parameters of a kind of cell that not all have."""

    def reset_parameters(self) -> None:
        """Draws new initial values from U(-b, b), b = 1 / sqrt(hidden_size); gains start at 1."""
        _draw(self, self.hidden_size)

    def mult_adds(self, inputs: tuple[Any, ...], output: Any) -> int:
        """Products with all weight matrices."""
        products = ("weight_ih", "weight_hh", "weight_hr")
        matrices = sum(p.size for n, p in self.named_parameters() if n in products)
        return inputs[0].shape[0] * matrices

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.input_size}, {self.hidden_size}"


class RNNCell(_Cell):
    """One step of `RNN`: x (N, I), h (N, H) or None -> h (N, H).

    Args:
        input_size: features of x.
        hidden_size: units.
        bias: True or "double", "single", or False.
        nonlinearity: "tanh" or "relu".
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool | str = True,
        nonlinearity: str = "tanh",
    ) -> None:
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, bias)

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        """The new state."""
        return F.rnn_cell(
            x, h, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh,
            nonlinearity=self.nonlinearity,
        )  # fmt: skip


class GRUCell(_Cell):
    """One step of `GRU`: x (N, I), h (N, H) or None -> h (N, H).

    Args:
        input_size: features of x.
        hidden_size: units.
        bias: True or "double", "single", or False.
    """

    gates = 3

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        """The new state."""
        return F.gru_cell(x, h, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)


class LSTMCell(_Cell):
    """One step of `LSTM`: x (N, I), (h (N, R), c (N, H)) each or None -> (h, c).

    Args:
        input_size: features of x.
        hidden_size: cells.
        bias: True or "double", "single", or False.
        proj_size: size R of the projected output state; 0 for no projection, R = H.
        peephole: the gates see the cell's state.
        layer_norm: layer normalization of both products and the cell.
        variant: "full", "original" or "basic".

    Raises:
        ValueError: sizes or options that do not fit.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool | str = True,
        proj_size: int = 0,
        peephole: bool = False,
        layer_norm: bool = False,
        variant: str = "full",
    ) -> None:
        self.gates, self.variant = _gates("LSTMCell", variant, peephole), variant
        self.proj_size = proj_size
        self.peephole, self.layer_norm = bool(peephole), bool(layer_norm)
        super().__init__(input_size, hidden_size, bias)

    def _more_parameters(self) -> None:
        units, rows = self.hidden_size, self.gates * self.hidden_size
        if _projected("LSTMCell", self.proj_size, units):
            self.weight_hh = Parameter(empty(rows, self.proj_size))
            self.weight_hr = Parameter(empty(self.proj_size, units))
        if self.peephole:
            self.weight_peephole = Parameter(empty(self.gates - 1, units))
        if self.layer_norm:
            for name in _NORM:
                setattr(self, name, Parameter(empty(rows if name[-1] == "h" else units)))

    def forward(
        self, x: Tensor, state: Sequence[Tensor | None] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The new state."""
        norm = [getattr(self, name) for name in _NORM] if self.layer_norm else None
        return F.lstm_cell(
            x, state, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh,
            getattr(self, "weight_hr", None), peephole=getattr(self, "weight_peephole", None),
            norm=norm, variant=self.variant,
        )  # fmt: skip


class ConvLSTM(Module):
    """An LSTM whose products are convolutions, for sequences of images.

    c_t = f c_(t-1) + i g and h_t = o tanh(c_t), where i, f, o (sigmoids) and g (tanh) are cut from
    W_ih * x_t + W_hh * h_(t-1) + b, convolutions that keep the size of the image. Those of all
    inputs are one convolution.

    Args:
        in_channels: channels of x.
        hidden_channels: channels of the state.
        kernel_size: side of both kernels, odd.
        bias: whether there is a b.

    Shapes:
        x (T, N, in_channels, H, W), state (h, c) of (N, hidden_channels, H, W) each ->
        y (T, N, hidden_channels, H, W), (h, c).

    Raises:
        ValueError: an even kernel, or shapes that do not fit.

    Source: Shi et al., "Convolutional LSTM network: a machine learning approach for precipitation
    nowcasting", NeurIPS 2015, without its peepholes.
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, kernel_size: int = 3, bias: bool = True
    ) -> None:
        positive(
            "ConvLSTM", in_channels=in_channels, hidden_channels=hidden_channels,
            kernel_size=kernel_size,
        )  # fmt: skip
        if kernel_size % 2 == 0:
            raise ValueError(f"[ConvLSTM] expected an odd kernel_size, got {kernel_size}")
        self.in_channels, self.hidden_channels = in_channels, hidden_channels
        self.kernel_size = kernel_size
        taps, rows = (kernel_size, kernel_size), 4 * hidden_channels
        self.weight_ih = Parameter(empty(rows, in_channels, *taps))
        self.weight_hh = Parameter(empty(rows, hidden_channels, *taps))
        self.bias = Parameter(empty(rows)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values from U(-b, b), b = 1 / sqrt(taps of the state's kernel)."""
        _draw(self, self.hidden_channels * self.kernel_size**2)

    def forward(
        self, x: Tensor, state: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The outputs of all steps, and the last state."""
        if x.ndim != 5 or x.shape[2] != self.in_channels or x.shape[0] == 0:
            raise ValueError(
                f"[ConvLSTM] expected x of shape (T, N, {self.in_channels}, H, W) with T >= 1, got "
                f"{x.shape}"
            )
        steps, rows, _, *size = x.shape
        shape = (rows, self.hidden_channels, *size)
        if state is None:
            state = [zeros(*shape, dtype=x.dtype, device=x.device) for _ in range(2)]
        h, c = state
        if h.shape != shape or c.shape != shape:
            raise ValueError(
                f"[ConvLSTM] expected a state (h, c) of shape {shape} each, got {h.shape} and "
                f"{c.shape}"
            )
        padding = self.kernel_size // 2
        images = x.reshape(steps * rows, self.in_channels, *size)
        by_x = F.conv2d(images, self.weight_ih, self.bias, padding=padding)
        by_x = by_x.reshape(steps, rows, 4 * self.hidden_channels, *size)
        outputs = []
        for of_x in by_x.unbind(0):
            a = of_x + F.conv2d(h, self.weight_hh, padding=padding)
            i, f, g, o = F.chunk(a, 4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return F.stack(outputs), (h, c)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.in_channels}, {self.hidden_channels}, kernel_size={self.kernel_size}"
