"""What a model is made of, without running it: layers, sizes, parameters, work, sight, memory.

The model is called once on the device "meta", where tensors have a shape but no memory and no
kernel runs. The numbers:

* **parameters** of all parameters, each counted once however often it is shared;
* **multiply-adds** of one pass over the given input, by `Module.mult_adds`: a convolution has
  C / groups * R * S per output element, a linear layer in_features per output element; biases,
  activations and pooling count as 0, as in the tables of the papers (where "FLOPs" often means
  these). What a forward computes by plain functions is not counted;
* **receptive field** of one output element: a layer with kernel k, dilation d and stride s turns
  (field r, step j) into (r + d (k - 1) j, j s); parallel branches count with the widest; a linear
  layer sees what all of its inputs see. The part that lies in the padding is included.
  Source: Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks",
  Distill (2019);
* **activation memory**: the outputs of all layers, and separately what backward keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from ranvier import _core
from ranvier.autograd import Function, Output, enable_grad
from ranvier.creation import empty
from ranvier.dtypes import as_device
from ranvier.nn.module import Module, Window, observe
from ranvier.nn.parameter import Parameter
from ranvier.tensor import Tensor


@dataclass
class Layer:
    """One call of one module.

    Attributes:
        name: dotted name in the model; "" for the model itself.
        kind: class name.
        depth: 0 for the model itself, 1 for what its forward calls ...
        input_shape: shape of the first input, None where it is no tensor.
        output_shape: shape of the (first) output, None where it is no tensor.
        params: elements of its parameters and those of its submodules; 0 when called again.
        trainable_params: those that require a gradient.
        mult_adds: of this call, with the calls inside it.
        receptive_field: pixels seen by one output element, per axis; None where that has no sense.
        output_bytes: memory of the outputs; 0 for views and for modules that call others.
        repeated: whether the module was called before.
    """

    name: str
    kind: str
    depth: int
    input_shape: tuple[int, ...] | None
    output_shape: tuple[int, ...] | None = None
    params: int = 0
    trainable_params: int = 0
    mult_adds: int = 0
    receptive_field: tuple[int, ...] | None = None
    output_bytes: int = 0
    repeated: bool = False
    leaf: bool = True


@dataclass
class Summary:
    """The numbers of a model; `str` gives the table.

    Attributes:
        layers: every module call, in order, the model itself first.
        total_params: elements of all parameters.
        trainable_params: elements of those that require a gradient.
        mult_adds: multiply-adds of one pass.
        param_bytes: memory of parameters and buffers.
        input_bytes: memory of the input.
        activation_bytes: memory of the outputs of all layers.
        saved_bytes: memory that backward keeps, parameters and input not counted.
        notes: what deserves a look, such as sizes that a window does not fit.
    """

    layers: list[Layer]
    total_params: int
    trainable_params: int
    param_bytes: int
    input_bytes: int
    activation_bytes: int
    saved_bytes: int
    notes: list[str]
    depth: int = 3

    @property
    def mult_adds(self) -> int:
        """Multiply-adds of one pass."""
        return self.layers[0].mult_adds

    @property
    def output_shape(self) -> tuple[int, ...] | None:
        """Shape of what the model returns."""
        return self.layers[0].output_shape

    @property
    def receptive_field(self) -> tuple[int, ...] | None:
        """Pixels of the input seen by one output element, per axis."""
        return self.layers[0].receptive_field

    @property
    def text(self) -> str:
        """The table."""
        return _table(self)

    def __str__(self) -> str:
        return self.text


def summary(
    model: Module, input_size: Any = None, depth: int = 3, dtypes: Sequence[Any] | None = None
) -> Summary:
    """Counts and measures a model for an input of the given shape, in evaluation mode.

    Args:
        model: any Module; tensors that its forward creates must be made with `device=x.device`.
        input_size: shape of the input with its batch axis, such as (1, 3, 224, 224); a list of
            shapes for several inputs; by default the model's own `input_size`.
        depth: how deep the printed table goes; deeper layers are summed.
        dtypes: dtype of each input (float32), such as rv.int64 for indices.

    Raises:
        ValueError: no input size, or sizes that do not fit the model (the layer is named).

    Example:
        >>> import ranvier as rv
        >>> net = rv.nn.Sequential(rv.nn.Linear(4, 8), rv.nn.ReLU(), rv.nn.Linear(8, 3))
        >>> s = rv.summary(net, (1, 4))
        >>> s.total_params, s.mult_adds
        (67, 56)
    """
    shapes = _shapes(model, input_size)
    if dtypes is None:
        dtypes = [None] * len(shapes)
    inputs = [empty(s, dtype=d, device="meta") for s, d in zip(shapes, dtypes, strict=True)]
    for x in inputs:
        x.requires_grad = x.dtype.is_floating_point  # so that the graph shows what came from what
    parameters = list(model.parameters())
    kept: list[Tensor] = [*parameters, *model.buffers()]
    tracer = _Tracer(model, inputs)
    with _weightless(model, kept) as ours, observe(tracer), enable_grad():
        model(*inputs)
        saved_bytes = _saved_bytes(tracer, ours | {x.data.storage_id for x in inputs})
    called = {layer.name for layer in tracer.layers}
    notes = tracer.notes + [
        f"{name or type(m).__name__} is never called, but has {_count([m]):,} parameters"
        for name, m in model.named_modules()
        if name not in called and any(isinstance(v, Parameter) for v in vars(m).values())
    ]
    return Summary(
        layers=tracer.layers,
        total_params=sum(p.size for p in parameters),
        trainable_params=sum(p.size for p in parameters if p.requires_grad),
        param_bytes=sum(t.size * t.dtype.itemsize for t in kept),
        input_bytes=sum(x.size * x.dtype.itemsize for x in inputs),
        activation_bytes=sum(layer.output_bytes for layer in tracer.layers),
        saved_bytes=saved_bytes,
        notes=notes,
        depth=depth,
    )


def _shapes(model: Module, input_size: Any) -> list[tuple[int, ...]]:
    if input_size is None:
        input_size = getattr(model, "input_size", None)
    if input_size is None:
        raise ValueError(
            f"[summary] expected input_size, got None, and {type(model).__name__} has no "
            "input_size of its own - pass the shape of a batch, such as (1, 3, 224, 224)"
        )
    several = bool(input_size) and all(isinstance(s, (tuple, list)) for s in input_size)
    shapes = [tuple(s) for s in input_size] if several else [tuple(input_size)]
    if not all(isinstance(n, int) for s in shapes for n in s):
        raise TypeError(f"[summary] expected input_size of whole numbers, got {input_size!r}")
    return shapes


@contextmanager
def _weightless(model: Module, tensors: list[Tensor]) -> Iterator[set[int]]:
    """Gives a model parameters and buffers without memory, in evaluation mode, for a while."""
    before = [(t, t.data) for t in tensors]
    modes = [(m, m.training) for m in model.modules()]
    meta = as_device("meta").code
    try:
        for t, data in before:
            t.data = _core.empty(data.shape, data.dtype, meta)
        model.eval()
        yield {t.data.storage_id for t in tensors}
    finally:
        for t, data in before:
            t.data = data
        for module, mode in modes:
            module.training = mode


# ---- receptive fields ----


class Field(NamedTuple):
    """What one element of a feature map sees of the input, per spatial axis."""

    size: tuple[int, ...]  # pixels
    step: tuple[int, ...]  # pixels between neighbouring elements
    extent: tuple[int, ...]  # elements of the feature map

    def through(self, window: Window, output: tuple[int, ...]) -> Field:
        """After a layer with a sliding window."""
        axes = len(window.kernel)
        taps = zip(self.size, self.step, window.kernel, window.dilation, strict=True)
        return Field(
            tuple([r + d * (k - 1) * j for r, j, k, d in taps]),
            tuple([j * s for j, s in zip(self.step, window.stride, strict=True)]),
            output[-axes:],
        )

    def whole(self) -> Field:
        """Of a unit that sees the whole feature map."""
        seen = [r + (n - 1) * j for r, j, n in zip(*self, strict=True)]
        return Field(tuple(seen), self.step, (1,) * len(seen))


def _widest(fields: list[Field]) -> Field | None:
    if not fields:
        return None
    return Field(
        tuple([max(sizes) for sizes in zip(*[f.size for f in fields], strict=True)]),
        tuple([max(steps) for steps in zip(*[f.step for f in fields], strict=True)]),
        fields[0].extent,
    )


def _source(edge: Any) -> Any:
    return edge.function if isinstance(edge, Output) else edge


class _Tracer:
    """Follows the calls: opens a Layer at each entry, completes it at the exit."""

    def __init__(self, model: Module, inputs: list[Tensor]) -> None:
        self.names = {id(m): name for name, m in reversed(list(model.named_modules()))}
        self.layers: list[Layer] = []
        self.notes: list[str] = []
        self.outputs: list[Tensor] = []
        self.open: list[Layer] = []
        self.seen: set[int] = set()
        self.stored: set[int] = {x.data.storage_id for x in inputs}
        self.fields: dict[Any, Field | None] = {}  # by graph node or leaf
        for x in inputs:
            if x.ndim > 2:
                axes = x.ndim - 2
                self.fields[x] = Field((1,) * axes, (1,) * axes, x.shape[2:])

    def enter(self, module: Module, inputs: tuple[Any, ...]) -> None:
        """Opens the layer."""
        x = inputs[0] if inputs else None
        layer = Layer(
            name=self.names.get(id(module), ""),
            kind=type(module).__name__,
            depth=len(self.open),
            input_shape=x.shape if isinstance(x, Tensor) else None,
            repeated=id(module) in self.seen,
        )
        if not layer.repeated:
            self.seen.add(id(module))
            layer.params = _count([module])
            layer.trainable_params = sum(p.size for p in module.parameters() if p.requires_grad)
        if self.open:
            self.open[-1].leaf = False
        self.layers.append(layer)
        self.open.append(layer)

    def leave(self, module: Module, inputs: tuple[Any, ...], output: Any) -> None:
        """Completes the layer."""
        layer = self.open.pop()
        tensors = list(_flat(output))
        y = tensors[0] if tensors else None
        if y is not None:
            layer.output_shape = y.shape
            layer.mult_adds += module.mult_adds(inputs, y)
            self._see(layer, module, inputs, y)
        self.outputs += tensors
        if layer.leaf:
            for t in tensors:
                if t.data.storage_id not in self.stored:
                    self.stored.add(t.data.storage_id)
                    layer.output_bytes += t.data.nbytes
        if self.open:
            self.open[-1].mult_adds += layer.mult_adds

    def _see(self, layer: Layer, module: Module, inputs: tuple[Any, ...], y: Tensor) -> None:
        window = module.window()
        x = inputs[0] if inputs and isinstance(inputs[0], Tensor) else None
        if x is not None and window is not None:
            self._note(layer, window, x.shape)
        before = self.field_of(x) if x is not None else None
        if before is not None and y.node is not None:
            if window is not None and len(window.kernel) == len(before.size):
                self.fields[_source(y.node)] = before.through(window, y.shape)
            elif layer.kind == "Linear" and y.ndim == 2:
                self.fields[_source(y.node)] = before.whole()
        after = self.field_of(y)
        layer.receptive_field = after.size if after is not None else None

    def _note(self, layer: Layer, window: Window, shape: tuple[int, ...]) -> None:
        if window.padding is None or window.ceil_mode:
            return
        axes = len(window.kernel)
        names = ("depth", "height", "width")[-axes:]
        left = {}
        for i, name in enumerate(names):
            n, k, s, d = shape[i - axes], window.kernel[i], window.stride[i], window.dilation[i]
            low, high = window.padding[i]
            rest = (n + low + high - d * (k - 1) - 1) % s
            if rest:
                left[name] = (n, d * (k - 1) + 1, low + high, s, rest)
        if len(set(left.values())) == 1:
            left = {" and ".join(left): next(iter(left.values()))}
        for name, (n, k, pad, s, rest) in left.items():
            self.notes.append(
                f"{layer.name or layer.kind}: {name} {n} + padding {pad} - window {k} is no "
                f"multiple of stride {s}: floored, the last {rest} of the padded {n + pad} unseen"
            )

    def field_of(self, x: Tensor) -> Field | None:
        """The field of `x`: its own, or the widest among those it was computed from."""
        root = _source(x.node) if x.node is not None else x
        todo = [root]
        while todo:  # sources first, without recursion
            node = todo[-1]
            if node in self.fields:
                todo.pop()
                continue
            if not isinstance(node, Function):
                self.fields[todo.pop()] = None
                continue
            sources = [_source(e) for e in node.edges or () if e is not None]
            unknown = [s for s in sources if s not in self.fields]
            if unknown:
                todo += unknown
                continue
            name = type(node).__name__.lower()
            found = [f for f in (self.fields[s] for s in sources) if f is not None]
            opaque = "conv" in name or "pool" in name  # called as plain functions: sizes unknown
            same = len({len(f.size) for f in found}) == 1
            self.fields[todo.pop()] = _widest(found) if same and not opaque else None
        return self.fields[root]


def _flat(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for v in value:
            yield from _flat(v)


def _count(modules: list[Module]) -> int:
    return sum(p.size for m in modules for p in m.parameters())


def _saved_bytes(tracer: _Tracer, ours: set[int]) -> int:
    """Bytes of the arrays that the graph of the outputs holds on to."""
    total, stored, seen = 0, set(ours), set()
    todo = [_source(t.node) for t in tracer.outputs if t.node is not None]
    while todo:
        node = todo.pop()
        if not isinstance(node, Function) or node in seen:
            continue
        seen.add(node)
        for value in [*(node.saved or ()), *vars(node).values()]:
            if isinstance(value, _core.Array) and value.storage_id not in stored:
                stored.add(value.storage_id)
                total += value.nbytes
        todo += [_source(e) for e in node.edges or () if e is not None]
    return total


# ---- text ----


def _by(sizes: tuple[int, ...] | None) -> str:
    return "x".join(map(str, sizes)) if sizes else ""


def _bytes(n: int) -> str:
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000  # type: ignore[assignment]
    return f"{n:.2f} GB"


def _table(s: Summary) -> str:
    own = {layer.name for layer in s.layers if layer.params}
    rows = [("Layer (type)", "Output shape", "Params", "Mult-adds", "Sees")]
    for layer in s.layers:
        if layer.depth > s.depth:
            continue
        total = layer.leaf or layer.depth == s.depth  # numbers of what is not shown below
        name = layer.name.split(".")[-1]
        rows.append(
            (
                "  " * layer.depth + (f"{name} ({layer.kind})" if name else layer.kind),
                "(" + ", ".join(map(str, layer.output_shape)) + ")" if layer.output_shape else "",
                "again" if layer.repeated and layer.name in own else _number(layer.params, total),
                _number(layer.mult_adds, total),
                _by(layer.receptive_field) if total else "",
            )
        )
    if not any(row[4] for row in rows[1:]):
        rows = [(*row[:4], "") for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
            + [cell.rjust(w) for cell, w in zip(row[2:], widths[2:], strict=True)]
        ).rstrip()
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    frozen = s.total_params - s.trainable_params
    foot = [
        f"Parameters: {s.total_params:,} ({s.trainable_params:,} trainable, {frozen:,} frozen), "
        f"{_bytes(s.param_bytes)}",
        f"Multiply-adds: {s.mult_adds:,} for input {' and '.join(_inputs(s))}",
        f"Activations: {_bytes(s.activation_bytes)}; kept for backward: {_bytes(s.saved_bytes)}",
    ]
    notes = [f"Note: {note}" for note in s.notes]
    return "\n".join([lines[0], rule, *lines[1:], rule, *foot, *notes])


def _inputs(s: Summary) -> list[str]:
    return [str(s.layers[0].input_shape)]


def _number(n: int, shown: bool) -> str:
    return f"{n:,}" if shown and n else ""
