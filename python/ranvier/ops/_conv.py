"""The convolution family: Functions over the three kernels of `conv2d`, and how arguments are read.

A transposed convolution is the data gradient of a convolution, so its own data gradient is a
convolution, and its weight gradient is a convolution's with the roles of input and output gradient
exchanged. Nothing is ever multiplied with an inserted zero. Sequences are images of one row.
Volumes are summed over the taps along the depth: each tap convolves all frames that it meets as one
batch of images, so no patch matrix is built. Volumes and padding that is not zeros go slab by slab
(`_slabs`), so no padded copy of the whole is made either.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._arguments import array
from ranvier.ops._pad import check_sides, padded
from ranvier.ops._slabs import Passes, Problem, data, forward, weight_gradient
from ranvier.ops._taps import Run, Window, filled, run, view
from ranvier.ops._windows import Sizes, per_axis
from ranvier.tensor import Tensor

Array = _core.Array

Side = int | tuple[int, int]
Padding = str | int | tuple[Side, ...]
LETTERS = {1: ("L", "S"), 2: ("H, W", "R, S"), 3: ("D, H, W", "T, R, S")}
WORDS = ("valid", "same", "same_upper", "same_lower", "full")
PADDING_MODES = ("zeros", "reflect", "replicate", "symmetric", "circular")


_HALF = (2, 3)  # bfloat16, float16


def _bias_gradient(dy: Array) -> Array:
    """The sum of dy over all but the channels; of half precision in float32, rounded once."""
    axes = (0, *range(2, dy.ndim))
    if dy.dtype in _HALF:
        return _core.sum(dy.cast(0), axes, False).cast(dy.dtype)
    return _core.sum(dy, axes, False)


class _Convolution(Function):
    autocast, halves = "low", True

    def forward(self, x: Array, weight: Array, bias: Array | None, *, geometry: Any) -> Array:
        x = x.channels_last()  # reordered once, for the weight gradient too
        self.geometry, self.x_shape = geometry, x.shape
        wanted = self.needs[1] or self.needs[2]
        self.save(x if wanted else None, weight if wanted or self.needs[0] else None)
        return _core.conv2d(x, weight, bias, *geometry)

    def backward(self, dy: Array) -> Any:
        x, weight = self.saved
        dx = dw = db = None
        dy = dy.channels_last()
        if self.needs[0]:
            dx = _core.conv2d_data(dy, weight, None, self.x_shape, *self.geometry)
        if self.needs[1] or self.needs[2]:
            apart = dy.dtype in _HALF  # the kernel of half precision sums no bias
            bias = self.needs[2] and not apart
            dw, db = _core.conv2d_weight(x, dy, weight, bias, *self.geometry)
            if self.needs[2] and apart:
                db = _bias_gradient(dy)
        return dx, dw if self.needs[1] else None, db


class _Transposed(Function):
    autocast, halves = "low", True

    def forward(
        self, x: Array, weight: Array, bias: Array | None, *, geometry: Any, shape: Any
    ) -> Array:
        x = x.channels_last()
        self.geometry = geometry
        wanted = self.needs[0] or self.needs[1]
        self.save(x if self.needs[1] else None, weight if wanted else None)
        return _core.conv2d_data(x, weight, bias, shape, *geometry)

    def backward(self, dy: Array) -> Any:
        x, weight = self.saved
        dx = dw = db = None
        dy = dy.channels_last()
        if self.needs[0]:
            dx = _core.conv2d(dy, weight, None, *self.geometry)
        if self.needs[1]:
            dw, _ = _core.conv2d_weight(dy, x, weight, False, *self.geometry)
        if self.needs[2]:
            db = _bias_gradient(dy)
        return dx, dw, db


# ---------------------------------------------------------------------------------------------
# Volumes
# ---------------------------------------------------------------------------------------------


def _frames(x: Array) -> Array:
    """(N, C, D, H, W) as (N, D, H, W, C), dense."""
    return x.permute((0, 2, 3, 4, 1)).contiguous()


def _images(frames: Array, which: slice) -> Any:
    """The chosen frames of all samples as one batch of channels-last images."""
    part = view(frames, slice(None), which)
    n, d, h, w, c = part.shape
    return part.reshape((n * d, h, w, c)).permute((0, 3, 1, 2))


def _add(frames: Array, which: slice, images: Array) -> None:
    part = view(frames, slice(None), which)
    _core.add_into(part, images.permute((0, 2, 3, 1)).reshape(part.shape))


def _depth(geometry: Any, size: int, windows: int, taps: int) -> list[tuple[int, Run]]:
    """(tap, the windows and frames that it joins), for taps that meet frames."""
    stride, sides, dilation, _ = geometry
    runs = [(t, run(size, windows, stride[0], t * dilation[0] - sides[0])) for t in range(taps)]
    return [(t, r) for t, r in runs if r.length]


def _flat(geometry: Any) -> Any:
    """The geometry of one frame."""
    stride, sides, dilation, groups = geometry
    return stride[1:], sides[2:], dilation[1:], groups


def _tap(weight: Array, t: int) -> Any:
    return view(weight, slice(None), slice(None), t)


def _volume(x: Array, weight: Array, bias: Array | None, shape: Any, geometry: Any) -> Array:
    n, k, d, h, w = shape
    frames = _frames(x)
    y = filled((n, d, h, w, k), x, 0.0 if bias is None else bias)
    for t, r in _depth(geometry, x.shape[2], d, weight.shape[2]):
        part = _images(frames, r.samples)
        _add(y, r.windows, _core.conv2d(part, _tap(weight, t), None, *_flat(geometry)))
    return y.permute((0, 4, 1, 2, 3))


def _volume_data(dy: Array, weight: Array, bias: Array | None, shape: Any, geometry: Any) -> Array:
    n, c, d, h, w = shape
    frames = _frames(dy)
    dx = filled((n, d, h, w, c), dy, 0.0 if bias is None else bias)
    for t, r in _depth(geometry, d, dy.shape[2], weight.shape[2]):
        part = _images(frames, r.windows)
        images = (n * r.length, c, h, w)
        back = _core.conv2d_data(part, _tap(weight, t), None, images, *_flat(geometry))
        _add(dx, r.samples, back)
    return dx.permute((0, 4, 1, 2, 3))


def _volume_weight(
    x: Array, dy: Array, weight: Array, with_bias: bool, geometry: Any
) -> tuple[Array, Array | None]:
    frames, back = _frames(x), _frames(dy)
    dw = filled(weight.shape, x)
    for t, r in _depth(geometry, x.shape[2], dy.shape[2], weight.shape[2]):
        given, sent = _images(frames, r.samples), _images(back, r.windows)
        part, _ = _core.conv2d_weight(given, sent, _tap(weight, t), False, *_flat(geometry))
        _core.copy_into(_tap(dw, t), part)
    return dw, _core.sum(dy, (0, 2, 3, 4), False) if with_bias else None


def _images_forward(
    x: Array, weight: Array, bias: Array | None, shape: Any, geometry: Any
) -> Array:
    return _core.conv2d(x, weight, bias, *geometry)


def _images_data(dy: Array, weight: Array, bias: Array | None, shape: Any, geometry: Any) -> Array:
    return _core.conv2d_data(dy, weight, bias, shape, *geometry)


def _images_weight(x: Array, dy: Array, weight: Array, with_bias: bool, geometry: Any) -> Any:
    return _core.conv2d_weight(x, dy, weight, with_bias, *geometry)


IMAGES = Passes(_images_forward, _images_data, _images_weight)
VOLUMES = Passes(_volume, _volume_data, _volume_weight)


class _Slabs(Function):
    """Convolution of volumes or with padding of any mode, or, `transposed`, its adjoint."""

    autocast = "low"

    def forward(
        self,
        x: Array,
        weight: Array,
        bias: Array | None,
        *,
        problem: Problem,
        transposed: bool = False,
    ) -> Array:
        self.problem, self.transposed, self.channels = problem, transposed, x.shape[1]
        self.passes = IMAGES if x.ndim == 4 else VOLUMES
        x = x.channels_last()
        wanted = self.needs[1] or (self.needs[2] and not transposed)
        self.save(x if wanted else None, weight if wanted or self.needs[0] else None)
        if transposed:
            outputs = weight.shape[1] * problem.groups
            return data(problem, self.passes, x, weight, bias, outputs)
        return forward(problem, self.passes, x, weight, bias)

    def backward(self, dy: Array) -> Any:
        x, weight = self.saved
        problem, passes = self.problem, self.passes
        dx = dw = db = None
        dy = dy.channels_last()
        if self.needs[0] and self.transposed:
            dx = forward(problem, passes, dy, weight, None)
        elif self.needs[0]:
            dx = data(problem, passes, dy, weight, None, self.channels)
        if self.transposed:
            if self.needs[1]:
                dw, _ = weight_gradient(problem, passes, dy, x, weight, False)
            if self.needs[2]:
                db = _bias_gradient(dy)
        elif self.needs[1] or self.needs[2]:
            dw, db = weight_gradient(problem, passes, x, dy, weight, self.needs[2])
        return dx, dw if self.needs[1] else None, db


# ---------------------------------------------------------------------------------------------
# Arguments
# ---------------------------------------------------------------------------------------------


def _check(op: str, axes: int, weight_axes: str, x: Tensor, weight: Tensor) -> None:
    for name, value in (("x", x), ("weight", weight)):
        if not isinstance(value, Tensor):
            raise TypeError(
                f"[{op}] expected {name} as a tensor, got {type(value).__name__} - wrap it in "
                "rv.tensor"
            )
    image, kernel = LETTERS[axes]
    if x.ndim not in (axes + 1, axes + 2):
        raise ValueError(
            f"[{op}] expected x of shape (N, C, {image}) or (C, {image}), got {x.shape}"
        )
    if weight.ndim != axes + 2:
        raise ValueError(
            f"[{op}] expected weight of shape ({weight_axes}, {kernel}), got {weight.shape}"
        )


def _check_channels(
    op: str, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int, transposed: bool
) -> None:
    """What the kernels of images would say in their own words."""
    k, c = weight.shape[:2]
    wanted, outputs = (k, c * groups) if transposed else (c * groups, k)
    if groups < 1:
        raise ValueError(f"[{op}] expected at least 1 group, got {groups}")
    if k % groups:
        side = "input" if transposed else "output"
        raise ValueError(
            f"[{op}] expected {side} channels that {groups} groups divide, got {k} (weight of "
            f"shape {weight.shape})"
        )
    if 0 in weight.shape:
        raise ValueError(f"[{op}] expected a weight without empty axes, got {weight.shape}")
    if x.shape[1] != wanted:
        raise ValueError(
            f"[{op}] expected {wanted} input channels (weight of shape {weight.shape}, {groups} "
            f"{'group' if groups == 1 else 'groups'}), got {x.shape[1]} (x of shape {x.shape}) - "
            f"axis 1 holds the channels; build the layer with in_channels={x.shape[1]}, or permute "
            "x"
        )
    if 0 in x.shape[2:]:
        raise ValueError(f"[{op}] expected an input with samples, got x of shape {x.shape}")
    for name, t in (("weight", weight), ("bias", bias)):
        array(name, t)
        if t is not None and t.dtype != x.dtype:
            raise TypeError(
                f"[{op}] expected x and {name} of one dtype, got {x.dtype.name} and "
                f"{t.dtype.name} - convert one with .to(dtype)"
            )
    if not x.dtype.name.startswith(("float", "bfloat")):
        raise TypeError(
            f"[{op}] expected x of dtype float32, float64 or half precision, got {x.dtype.name}"
        )
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(
            f"[{op}] expected bias of shape ({outputs},), one for each output channel, got "
            f"{bias.shape}"
        )


def _pairs(op: str, padding: Any, axes: int) -> tuple[tuple[int, int], ...]:
    """(before, after) of each axis, from numbers."""
    if isinstance(padding, (tuple, list)) and any(isinstance(p, (tuple, list)) for p in padding):
        if axes == 1 and len(padding) == 2 and not isinstance(padding[0], (tuple, list)):
            padding = (padding,)
        if len(padding) != axes:
            raise ValueError(
                f"[{op}] expected padding as one entry or {axes} of them, got {len(padding)}: "
                f"{padding!r}"
            )
        return tuple([tuple(per_axis(op, "padding", p, 2)) for p in padding])  # type: ignore[misc]
    return tuple([(p, p) for p in per_axis(op, "padding", padding, axes)])


def sides(
    op: str,
    padding: Any,
    sizes: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:
    """(before, after) of each axis, from numbers or one of the words.

    "same" keeps the size at stride 1 and halves the total, the odd one after; "same_upper" and
    "same_lower" give ceil(size / stride) windows by the rule of TensorFlow and ONNX, with the odd
    one after or before; "full" lets every sample meet every tap.
    """
    if not isinstance(padding, str):
        return _pairs(op, padding, len(sizes))
    if padding not in WORDS:
        raise ValueError(
            f"[{op}] expected padding='same', 'same_upper', 'same_lower', 'valid', 'full' or "
            f"numbers, got {padding!r}"
        )
    if padding == "same" and any(s != 1 for s in stride):
        raise ValueError(
            f"[{op}] expected stride 1 for padding='same', got {stride} - use 'same_upper' (the "
            "rule of TensorFlow and ONNX), or give the padding in numbers"
        )
    found = []
    for size, taps, step, apart in zip(sizes, kernel, stride, dilation, strict=True):
        reach = apart * (taps - 1)
        if padding == "valid":
            found.append((0, 0))
        elif padding == "full":
            found.append((reach, reach))
        else:
            step = max(step, 1)  # a stride of 0 is refused later
            total = max((-(-size // step) - 1) * step + reach + 1 - size, 0)
            small = total // 2
            lower = padding == "same_lower"
            found.append((total - small, small) if lower else (small, total - small))
    return tuple(found)


def _lifted(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Sequences as images of one row."""
    return x.unsqueeze(2), weight.unsqueeze(2)


def convolution(
    op: str,
    axes: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Any,
    dilation: Sizes,
    groups: int,
    padding_mode: str,
    flip: bool,
) -> Tensor:
    """Convolution over 1, 2 or 3 axes; see `conv2d`."""
    _check(op, axes, "K, C / groups", x, weight)
    if x.ndim == axes + 1:
        return convolution(
            op, axes, x.unsqueeze(0), weight, bias, stride, padding, dilation, groups,
            padding_mode, flip,
        )[0]  # fmt: skip
    steps = per_axis(op, "stride", stride, axes)
    spread = per_axis(op, "dilation", dilation, axes)
    (parts,) = per_axis(op, "groups", groups, 1)
    kernel, sizes = weight.shape[2:], x.shape[2:]
    around = sides(op, padding, sizes, kernel, steps, spread)
    if padding_mode not in PADDING_MODES:
        raise ValueError(
            f"[{op}] expected a padding_mode of {', '.join(PADDING_MODES)}, got {padding_mode!r}"
        )
    if flip:
        weight = weight[(..., *[slice(None, None, -1)] * axes)]
    flat = tuple([side for pair in around for side in pair])
    if axes == 2 and padding_mode == "zeros":  # the kernel's own checks suffice
        return _Convolution.apply(x, weight, bias, geometry=(steps, flat, spread, parts))
    _check_channels(op, x, weight, bias, parts, transposed=False)
    windows = Window(kernel, steps, spread, around).outputs(op, sizes)
    if padding_mode != "zeros":
        check_sides(op, x.shape, ((0, 0), (0, 0), *around), padding_mode)
    if axes == 1 and padding_mode == "zeros":
        x, weight = _lifted(x, weight)
        geometry = ((1, *steps), (0, 0, *flat), (1, *spread), parts)
        return _Convolution.apply(x, weight, bias, geometry=geometry).squeeze(2)
    problem = Problem(sizes, windows, kernel, steps, around, spread, parts, padding_mode)
    if axes > 1:
        return _Slabs.apply(x, weight, bias, problem=problem)
    column = problem.of_columns()  # slabs cut the first axis
    return _Slabs.apply(x.unsqueeze(3), weight.unsqueeze(3), bias, problem=column).squeeze(3)


def transposed_convolution(
    op: str,
    axes: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Any,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
) -> Tensor:
    """Transposed convolution over 1, 2 or 3 axes; see `conv_transpose2d`."""
    _check(op, axes, "C, K / groups", x, weight)
    if x.ndim == axes + 1:
        return transposed_convolution(
            op, axes, x.unsqueeze(0), weight, bias, stride, padding, output_padding, groups,
            dilation,
        )[0]  # fmt: skip
    steps = per_axis(op, "stride", stride, axes)
    spread = per_axis(op, "dilation", dilation, axes)
    more = per_axis(op, "output_padding", output_padding, axes)
    (parts,) = per_axis(op, "groups", groups, 1)
    around = _pairs(op, padding, axes)
    _check_channels(op, x, weight, bias, parts, transposed=True)
    kernel, sizes = weight.shape[2:], x.shape[2:]
    shape, cut, later = [], [], []  # of the kernel's output: its sizes, what it cuts, what remains
    for size, taps, step, apart, extra, (b, a) in zip(
        sizes, kernel, steps, spread, more, around, strict=True
    ):
        if step < 1 or apart < 1 or min(b, a) < 0:
            raise ValueError(
                f"[{op}] expected stride and dilation of at least 1 and padding of at least 0, got "
                f"stride {steps}, dilation {spread} and padding {around}"
            )
        if not 0 <= extra < max(step, apart):
            raise ValueError(
                f"[{op}] expected output_padding from 0 to below the stride or the dilation, got "
                f"{more} for stride {steps} and dilation {spread} - choose a larger input"
            )
        out = (size - 1) * step + apart * (taps - 1) + 1 + extra - b - a
        if out < 1 or out >= 1 << 40:
            raise ValueError(
                f"[{op}] expected an output that a machine can hold, got size {out} from {size} "
                f"(kernel {taps}, stride {step}, dilation {apart}, padding {b} + {a}) - padding "
                "cuts the output of a transposed convolution"
            )
        # What is cut after the output makes the convolution back give `size` windows. Where
        # output_padding goes beyond what the stride forgets, the last places hold no stamp: then
        # all stamps are kept, and the axis is cut and lengthened afterwards.
        far = extra - a >= step
        shape.append(out - extra + b + a if far else out)
        cut.append((0, 0) if far else (b, max(a - extra, 0)))
        later.append((-b, extra - a) if far else (0, 0))
    flat = tuple([side for pair in cut for side in pair])
    outputs = weight.shape[1] * parts
    finish = any(after for _, after in later)
    own = None if finish else bias
    if axes == 3:
        kept = tuple(shape), sizes, kernel, steps, tuple(cut), spread, parts, "zeros"
        y = _Slabs.apply(x, weight, own, problem=Problem(*kept), transposed=True)
    elif axes == 2:
        y = _Transposed.apply(
            x, weight, own, geometry=(steps, flat, spread, parts),
            shape=(x.shape[0], outputs, *shape),
        )  # fmt: skip
    else:
        x, weight = _lifted(x, weight)
        y = _Transposed.apply(
            x, weight, own, geometry=((1, *steps), (0, 0, *flat), (1, *spread), parts),
            shape=(x.shape[0], outputs, 1, *shape),
        ).squeeze(2)  # fmt: skip
    if finish:
        y = padded(y, ((0, 0), (0, 0), *later), "constant")
        if bias is not None:
            y = y + bias.reshape(-1, *[1] * axes)
    return y
