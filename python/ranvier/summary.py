"""What a network is made of: sizes, parameters, costs, receptive fields; nothing is computed.

The model is called once on device `"meta"`, where tensors have shapes but no values and kernels do
not run, so a network of any size is described in milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ranvier as rv
from ranvier.nn.module import observe


@dataclass
class Row:
    """One call of a module.

    Attributes:
        name: dotted name of the module; empty for the model itself.
        kind: its class.
        depth: 0 for the model, 1 for its children ...
        output: shape of what it returned (of the first tensor, where there are several).
        parameters: numbers in its own parameters, without its children's; 0 where an earlier row
            counted them.
        shared: whether an earlier row counted them.
        mult_adds: multiply-adds of this call, without its children's.
        activation_bytes: size of the output of a module without children; 0 for others.
        receptive_field: (rows, columns) in pixels of the model's input; None where
            the output is no image or its field is not known.
        below: the calls inside this one.
    """

    name: str
    kind: str
    depth: int
    output: tuple[int, ...] = ()
    parameters: int = 0
    shared: bool = False
    mult_adds: int = 0
    activation_bytes: int = 0
    receptive_field: tuple[int, ...] | None = None
    below: list[Row] = field(default_factory=list)

    def walk(self) -> Iterator[Row]:
        """This row and all below it, in the order of the calls."""
        yield self
        for row in self.below:
            yield from row.walk()


@dataclass
class Summary:
    """The description of a model; `print` shows it as a table.

    Attributes:
        text: the table.
        rows: one for each call of a module, in order; the first is the model.
        input_size: shapes of the inputs.
        parameters: numbers in all parameters, each shared one counted once.
        trainable: those that learn.
        buffers: numbers kept but not learned (running statistics).
        mult_adds: multiply-adds of one forward pass, biases and activations not counted.
        activation_bytes: memory of the outputs of all layers together.
        receptive_field: of the last layer that has one; None where there is none.
        notes: what a reader should know, such as windows that do not fit.
    """

    text: str
    rows: list[Row]
    input_size: list[tuple[int, ...]]
    parameters: int
    trainable: int
    buffers: int
    mult_adds: int
    activation_bytes: int
    receptive_field: tuple[int, ...] | None
    notes: list[str]

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def to_json(self) -> dict[str, Any]:
        """The numbers as plain values."""
        return {
            "input_size": [list(shape) for shape in self.input_size],
            "parameters": self.parameters,
            "trainable": self.trainable,
            "buffers": self.buffers,
            "mult_adds": self.mult_adds,
            "activation_bytes": self.activation_bytes,
            "receptive_field": self.receptive_field and list(self.receptive_field),
            "notes": self.notes,
            "layers": [
                {
                    "name": row.name,
                    "kind": row.kind,
                    "output": list(row.output),
                    "parameters": row.parameters,
                    "mult_adds": row.mult_adds,
                    "receptive_field": row.receptive_field and list(row.receptive_field),
                }
                for row in self.rows
            ],
        }


def summary(model: Any, input_size: Any, depth: int | None = None, dtype: Any = None) -> Summary:
    """Describe a model: layers, output sizes, parameters, multiply-adds, receptive field, memory.

    The receptive field follows the layers that slide a window, size <- size + (kernel - 1) *
    dilation * jump, jump <- jump * stride (Dumoulin and Visin, "A guide to convolution
    arithmetic", 2016; Araujo et al., "Computing receptive fields of convolutional neural
    networks", 2019); where paths join, the largest counts.

    Args:
        model: a Module.
        input_size: shape of the input, the batch axis included, such as (1, 3, 224, 224); a list
            of shapes for a model of several inputs.
        depth: show modules down to this depth only, with what is below added up.
        dtype: of the inputs; None is float32.

    Returns:
        A `Summary`; `print` it, or read its numbers.

    Raises:
        ValueError: an input size that is none, or that the model does not take; the layer is
            named.

    Example:
        >>> from ranvier import nn
        >>> net = nn.Sequential(nn.Conv2d(3, 6, 5), nn.Flatten(), nn.Linear(6 * 28 * 28, 10))
        >>> report = summary(net, (1, 3, 32, 32))
        >>> report.parameters, report.rows[1].output, report.rows[1].mult_adds
        (47506, (1, 6, 28, 28), 352800)
    """
    shapes = _shapes(input_size)
    watch = _Watch(model, shapes)
    with _without_values(model):
        inputs = [rv.empty(shape, dtype=dtype or rv.float32, device="meta") for shape in shapes]
        watch.inputs(inputs)
        with rv.no_grad(), observe(watch):
            model(*inputs)
    rows = list(watch.root.walk())
    parameters = list(model.parameters())
    result = Summary(
        text="",
        rows=rows,
        input_size=shapes,
        parameters=sum(p.size for p in parameters),
        trainable=sum(p.size for p in parameters if p.requires_grad),
        buffers=sum(b.size for b in model.buffers()),
        mult_adds=sum(row.mult_adds for row in rows),
        activation_bytes=sum(row.activation_bytes for row in rows),
        receptive_field=next(
            (r.receptive_field for r in reversed(rows) if r.receptive_field), None
        ),
        notes=watch.notes,
    )
    counted = sum(row.parameters for row in rows)
    if counted != result.parameters:
        result.notes.append(
            f"{result.parameters - counted:,} parameters belong to modules that were not called"
        )
    result.text = _table(model, result, depth)
    return result


def _shapes(input_size: Any) -> list[tuple[int, ...]]:
    given = input_size
    if isinstance(given, Sequence) and given and not isinstance(given[0], Sequence):
        given = [given]
    try:
        shapes = [tuple(int(size) for size in shape) for shape in given]
    except (TypeError, ValueError):
        shapes = []
    if not shapes or any(size < 0 for shape in shapes for size in shape):
        raise ValueError(
            f"[summary] expected input_size such as (1, 3, 224, 224), or a list of such shapes, "
            f"got {input_size!r}"
        )
    return shapes


@contextmanager
def _without_values(model: Any) -> Iterator[None]:
    """Evaluation mode, and parameters and buffers of the same shapes on device meta."""
    tensors = [*model.parameters(), *model.buffers()]
    data = [tensor.data for tensor in tensors]
    modes = [(module, module.training) for module in model.modules()]
    try:
        for tensor in tensors:
            tensor.data = rv.empty(tensor.shape, dtype=tensor.dtype, device="meta").data
        model.eval()
        yield
    finally:
        for tensor, values in zip(tensors, data, strict=True):
            tensor.data = values
        for module, mode in modes:
            module.training = mode


@dataclass(frozen=True)
class _Field:
    """Receptive field of a tensor: its size, and how far apart neighbours look; per axis."""

    size: tuple[int, ...]
    jump: tuple[float, ...]


class _Watch:
    """Notes what every module call does."""

    def __init__(self, model: Any, shapes: list[tuple[int, ...]]) -> None:
        self.names = {id(module): name for name, module in model.named_modules()}
        self.own = self._own_parameters(model)
        self.root = Row("", type(model).__name__, 0)
        self.stack: list[Row] = []
        self.notes: list[str] = []
        self.image = next((shape[2:] for shape in shapes if len(shape) > 2), ())
        # id -> (tensor, field); the tensor is kept, so that its id stays its own.
        self.fields: dict[int, tuple[Any, _Field | None]] = {}
        self.largest: _Field | None = None

    def _own_parameters(self, model: Any) -> dict[str, int]:
        """Name of a module -> numbers in the parameters that are its own."""
        names = set(self.names.values())
        own = dict.fromkeys(names, 0)
        for name, parameter in model.named_parameters():
            owner = name.rpartition(".")[0]
            while owner not in names:  # parameters in lists: "layer.weights.0"
                owner = owner.rpartition(".")[0]
            own[owner] += parameter.size
        return own

    def inputs(self, tensors: Sequence[Any]) -> None:
        """The model's inputs see themselves."""
        for tensor in tensors:
            if tensor.ndim > 2:
                axes = tensor.ndim - 2
                self._note_field(tensor, _Field((1,) * axes, (1.0,) * axes))

    def enter(self, module: Any, inputs: tuple[Any, ...]) -> None:
        """A module is called."""
        if self.stack:
            name = self.names.get(id(module), "?")
            row = Row(name, type(module).__name__, len(self.stack))
            self.stack[-1].below.append(row)
        else:
            row = self.root
        self.stack.append(row)

    def leave(self, module: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """It returned."""
        row = self.stack.pop()
        first = _first_tensor(output)
        if first is not None:
            row.output = tuple(first.shape)
        row.shared = row.name in self.names.values() and row.name not in self.own
        row.parameters = self.own.pop(row.name, 0)
        if first is None:
            return
        row.mult_adds = int(module.mult_adds(inputs, first))
        if not row.below:
            row.activation_bytes = first.size * first.dtype.itemsize
            source = _first_tensor(inputs)
            self._note_field(first, self._field_after(module, row, source, first))
        known = self.fields.get(id(first))
        if known is not None and known[1] is not None and first.ndim > 2:
            row.receptive_field = known[1].size

    def _note_field(self, tensor: Any, field: _Field | None) -> None:
        self.fields[id(tensor)] = (tensor, field)
        if field is not None and (self.largest is None or field.size > self.largest.size):
            self.largest = field

    def _field_of(self, tensor: Any) -> _Field | None:
        """The field of a tensor; of one that no module made (a sum of paths), the largest yet."""
        known = self.fields.get(id(tensor))
        return self.largest if known is None else known[1]

    def _field_after(self, module: Any, row: Row, source: Any, output: Any) -> _Field | None:
        if source is None or not self.image:
            return None
        before = self._field_of(source)
        if before is None or source.ndim != len(self.image) + 2:
            return before
        window = module.window()
        if window is None:
            if output.ndim != source.ndim or output.shape[2:] == source.shape[2:]:
                return before
            return None  # something that resizes images without a window: we cannot know
        self._note_floor(row, window, source.shape[2:])
        size = tuple(
            round(s + (k - 1) * d * j)
            for s, k, d, j in zip(
                before.size, window.kernel, window.dilation, before.jump, strict=True
            )
        )
        jump = tuple(j * s for j, s in zip(before.jump, window.stride, strict=True))
        return _Field(size, jump)

    def _note_floor(self, row: Row, window: Any, spatial: tuple[int, ...]) -> None:
        """Say where a window does not fit, and so the last pixels are not looked at."""
        if window.padding is None or window.ceil_mode:
            return
        names = ("rows", "columns") if len(spatial) == 2 else ("steps",) * len(spatial)
        for axis, n in enumerate(spatial):
            (before, after), stride = window.padding[axis], window.stride[axis]
            reach = window.dilation[axis] * (window.kernel[axis] - 1) + 1
            left = (n + before + after - reach) % stride
            if left:
                self.notes.append(
                    f"{row.name} ({row.kind}): {n} {names[axis]} with kernel "
                    f"{window.kernel[axis]}, stride {stride}, padding {before} do not fit; the "
                    f"output size {row.output[2 + axis]} is rounded down, the last {left} "
                    f"{names[axis] if left > 1 else names[axis][:-1]} of the padded input unused"
                )


def _first_tensor(value: Any) -> Any:
    if isinstance(value, rv.Tensor):
        return value
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return next((t for t in map(_first_tensor, value) if t is not None), None)
    return None


# ---- text ---------------------------------------------------------------------------------------


def _table(model: Any, result: Summary, depth: int | None) -> str:
    lines = [("layer (type)", "output shape", "parameters", "mult-adds", "field")]
    for row in result.rows:
        if depth is not None and row.depth > depth:
            continue
        cut = depth is not None and row.depth == depth
        parts = list(row.walk()) if cut else [row]
        parameters = sum(part.parameters for part in parts)
        mult_adds = sum(part.mult_adds for part in parts)
        leaf = cut or not row.below
        label = f"{row.name.rpartition('.')[2]} ({row.kind})" if row.name else row.kind
        lines.append(
            (
                "  " * row.depth + label,
                " x ".join(map(str, row.output)),
                "(shared)" if row.shared and leaf and not parameters else _count(parameters, leaf),
                _count(mult_adds, leaf),
                " x ".join(map(str, row.receptive_field or ())) if leaf else "",
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(5)]
    text = [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    rule = "-" * (sum(widths) + 8)
    text = [text[0], rule, *text[1:], rule]
    frozen = result.parameters - result.trainable
    sizes = "; ".join(" x ".join(map(str, shape)) for shape in result.input_size)
    text += [
        f"input           {sizes}",
        f"parameters      {result.parameters:,}" + (f" ({frozen:,} frozen)" if frozen else ""),
        f"mult-adds       {result.mult_adds:,}",
        f"memory          parameters {_bytes(_weight_bytes(model))}, "
        f"activations {_bytes(result.activation_bytes)}",
    ]
    if result.buffers:
        text.append(f"buffers         {result.buffers:,}")
    if result.receptive_field:
        text.append(f"receptive field {' x '.join(map(str, result.receptive_field))}")
    return "\n".join([*text, *(f"note: {note}" for note in result.notes)])


def _count(value: int, leaf: bool) -> str:
    return f"{value:,}" if value or leaf else ""


def _weight_bytes(model: Any) -> int:
    return sum(math.prod(p.shape) * p.dtype.itemsize for p in model.parameters())


def _bytes(size: int) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size = size / 1024  # type: ignore[assignment]
    return f"{size:.2f} GiB"
