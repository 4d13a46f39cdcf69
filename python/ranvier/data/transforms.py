"""Transforms of picture batches: NumPy in, NumPy out, shape (N, C, H, W), whole batches at once.

A transform is called as ``transform(x, random)``; `random` is the batch's `SampleRandom`, so what
happens to a picture depends on (seed, epoch, its index) only, never on its neighbours in the batch,
on threads or on what was skipped. Transforms never write into their input.

To treat a label map exactly as its image, call the transform a second time with
``random.restart()``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .affine import affine_resample, resize
from .counter import SampleRandom

Transform = Callable[[NDArray, SampleRandom], NDArray]
Fill = float | tuple[float, ...]


def _check(op: str, x: NDArray, floating: bool = False, fill: Fill | None = None) -> None:
    if x.ndim != 4:
        raise ValueError(f"[{op}] expected pictures of shape (N, C, H, W), got shape {x.shape}")
    if floating and x.dtype.kind != "f":
        raise TypeError(
            f"[{op}] expected float32 pictures, got {x.dtype} - put Scale(1 / 255) in front"
        )
    if isinstance(fill, tuple) and len(fill) != x.shape[1]:
        raise ValueError(
            f"[{op}] expected a fill for each of the {x.shape[1]} channels, got {len(fill)}"
        )


def _pair(op: str, name: str, value: Any, least: int) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int | np.integer) else tuple(value)
    if len(pair) != 2 or any(not isinstance(v, int | np.integer) or v < least for v in pair):
        raise ValueError(
            f"[{op}] expected {name} as one integer or (height, width) of at least {least}, "
            f"got {value}"
        )
    return int(pair[0]), int(pair[1])


def _check_probability(op: str, p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"[{op}] expected a probability in [0, 1], got p={p}")


class Compose:
    """One transform after the other; each draws from a stream of its own.

    Args:
        transforms: in order. Inserting one that draws does not change what the ones before it
            draw, and how often one draws does not matter to the others.

    Example:
        >>> import numpy as np
        >>> augment = Compose([RandomShift(1), RandomHorizontalFlip()])
        >>> augment(np.zeros((2, 1, 8, 8), np.float32), SampleRandom(0, 0, [0, 1])).shape
        (2, 1, 8, 8)
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = tuple(transforms)

    def __call__(self, x: NDArray, random: SampleRandom) -> NDArray:
        """Apply all, in order."""
        for number, transform in enumerate(self.transforms):
            x = transform(x, random.child(number))
        return x

    def __repr__(self) -> str:
        return f"Compose([{', '.join(map(repr, self.transforms))}])"


@dataclass(frozen=True)
class Lambda:
    """A function of the batch alone, as a transform: ``function(x)``.

    Args:
        function: takes and returns an array with the samples along the first axis.
    """

    function: Callable[[NDArray], NDArray]

    def __call__(self, x: NDArray, random: SampleRandom) -> NDArray:
        """Apply the function."""
        return self.function(x)


@dataclass(frozen=True)
class Scale:
    """Pixel values to ``factor * x + shift``, as float32 (float64 stays).

    Args:
        factor: 1 / 255 takes bytes to [0, 1].
        shift: added afterwards; factor 2 and shift -1 take [0, 1] to [-1, 1].
    """

    factor: float = 1.0 / 255.0
    shift: float = 0.0

    def __call__(self, x: NDArray, random: SampleRandom) -> NDArray:
        """Scale pixel values; see the class."""
        dtype = np.dtype(np.float64 if x.dtype == np.float64 else np.float32)
        out = np.multiply(x, dtype.type(self.factor), dtype=dtype)
        if self.shift:
            out += dtype.type(self.shift)
        return out


@dataclass(frozen=True)
class Normalize:
    """Channels to ``(x - mean) / std``.

    Args:
        mean: a number, or one for each channel.
        std: likewise; not zero.
    """

    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            value = getattr(self, name)
            if not isinstance(value, int | float):
                object.__setattr__(self, name, tuple(float(v) for v in value))
        if not np.all(np.asarray(self.std) > 0):
            raise ValueError(f"[Normalize] expected std > 0, got {self.std}")

    def __call__(self, x: NDArray, random: SampleRandom) -> NDArray:
        """Normalize channels; see the class."""
        for fill in (self.mean, self.std):
            _check("Normalize", x, floating=True, fill=fill)
        mean = np.asarray(self.mean, x.dtype).reshape(-1, 1, 1)
        std = np.asarray(self.std, x.dtype).reshape(-1, 1, 1)
        out = x - mean
        out /= std
        return out


@dataclass(frozen=True)
class Pad:
    """Border around the pictures.

    Args:
        padding: pixels on every side; or (vertical, horizontal); or (top, bottom, left, right).
        fill: value of the border for mode "constant".
        mode: "constant", "edge", "reflect", "symmetric" or "wrap", as in `numpy.pad`.
    """

    padding: int | tuple[int, ...]
    fill: float = 0.0
    mode: str = "constant"

    def __post_init__(self) -> None:
        sides = self._sides()
        if len(sides) != 4 or any(not isinstance(s, int | np.integer) or s < 0 for s in sides):
            raise ValueError(
                "[Pad] expected padding as n, (vertical, horizontal) or (top, bottom, left, right)"
                f" with n >= 0, got {self.padding}"
            )
        if self.mode not in ("constant", "edge", "reflect", "symmetric", "wrap"):
            raise ValueError(
                f"[Pad] expected mode constant, edge, reflect, symmetric or wrap, got {self.mode!r}"
            )

    def _sides(self) -> tuple[int, ...]:
        if isinstance(self.padding, int | np.integer):
            return (self.padding,) * 4
        padding = tuple(self.padding)
        if len(padding) == 2:
            return (padding[0], padding[0], padding[1], padding[1])
        return padding

    def __call__(self, x: NDArray, random: SampleRandom) -> NDArray:
        """Add the border; see the class."""
        _check("Pad", x)
        top, bottom, left, right = self._sides()
        widths = ((0, 0), (0, 0), (top, bottom), (left, right))
        if self.mode == "constant":
            return np.pad(x, widths, constant_values=self.fill)
        return np.pad(x, widths, mode=self.mode)  # type: ignore[call-overload]


@dataclass(frozen=True)
class Resize:
    """Scale pictures to a size, pixels being areas (PyTorch's align_corners=False).

    Bilinear: output pixel i lies at (i + 1/2) * in/out - 1/2 of the input, clamped at the border;
    no smoothing when shrinking. Nearest: input pixel floor(i * in/out).

    Args:
        size: height and width, or one number for both.
        mode: "bilinear" or "nearest".
    """

    size: int | tuple[int, int]
    mode: str = "bilinear"

    def __post_init__(self) -> None:
        _pair("Resize", "size", self.size, 1)
        if self.mode not in ("bilinear", "nearest"):
            raise ValueError(f"[Resize] expected mode bilinear or nearest, got {self.mode!r}")

    def __call__(self, x: NDArray, random: SampleRandom) -> NDArray:
        """Scale the pictures; see the class."""
        _check("Resize", x, floating=self.mode == "bilinear")
        if 0 in x.shape[2:]:
            raise ValueError(f"[Resize] expected pictures with pixels, got shape {x.shape}")
        return resize(x, _pair("Resize", "size", self.size, 1), self.mode)


@dataclass(frozen=True)
class RandomAffine:
    """Rotate, shift, scale and shear at random, in one resampling pass.

    About the middle of the picture: first sheared, then scaled, then turned, then shifted, each by
    an amount drawn uniformly and independently for every sample. Bilinear.

    Args:
        degrees: turned by an angle in [-degrees, degrees]; or (low, high). Positive is
            counter-clockwise to the viewer.
        translate: a float is a fraction of height and width, shifted by up to as much in either
            direction, between pixels too; an int is pixels, and the shift is of whole pixels.
        scale: (low, high) of the size factor; None leaves the size.
        shear: up to that many degrees in either direction, along the rows.
        fill: what is outside the picture; a number, or one for each channel.

    Example:
        >>> import numpy as np
        >>> x = np.zeros((3, 1, 8, 8), np.float32)
        >>> RandomAffine(degrees=10, translate=0.1)(x, SampleRandom(0, 0, [0, 1, 2])).shape
        (3, 1, 8, 8)
    """

    degrees: float | tuple[float, float] = 0.0
    translate: float = 0.0
    scale: tuple[float, float] | None = None
    shear: float = 0.0
    fill: Fill = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.degrees, int | float):
            if self.degrees < 0:
                raise ValueError(f"[RandomAffine] expected degrees >= 0, got {self.degrees}")
        elif len(self.degrees) != 2 or self.degrees[0] > self.degrees[1]:
            raise ValueError(f"[RandomAffine] expected degrees (low, high), got {self.degrees}")
        if self.translate < 0:
            raise ValueError(f"[RandomAffine] expected translate >= 0, got {self.translate}")
        if self.scale is not None and (
            len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1]
        ):
            raise ValueError(f"[RandomAffine] expected scale (low, high) > 0, got {self.scale}")
        if not 0 <= self.shear < 90:
            raise ValueError(f"[RandomAffine] expected shear in [0, 90), got {self.shear}")
        if not isinstance(self.fill, int | float):
            object.__setattr__(self, "fill", tuple(float(v) for v in self.fill))

    def __call__(self, x: NDArray, random: SampleRandom) -> NDArray:
        """Draw a map for every sample and resample; see the class."""
        _check("RandomAffine", x, floating=True, fill=self.fill)
        h, w = x.shape[2:]
        low, high = (
            (-self.degrees, self.degrees) if isinstance(self.degrees, int | float) else self.degrees
        )
        angle = random.uniform(math.radians(low), math.radians(high)).tolist()
        shift = np.empty((len(x), 2))
        for axis, size in enumerate((w, h)):
            if isinstance(self.translate, int | np.integer):
                shift[:, axis] = random.integers(-self.translate, self.translate + 1)
            else:
                shift[:, axis] = random.uniform(-self.translate * size, self.translate * size)
        size = random.uniform(*(self.scale or (1.0, 1.0)))
        shear = random.uniform(-math.radians(self.shear), math.radians(self.shear)).tolist()
        # sin and cos from the C library, one by one: vector versions may round differently in the
        # body and in the tail of an array, and a sample must not depend on where it stands.
        cos, sin = np.array([(math.cos(t), math.sin(t)) for t in angle]).reshape(-1, 2).T / size
        tan = np.array([math.tan(t) for t in shear])
        # Forward (v points down): shear (1 t; 0 1), then factor s, then turn (cos sin; -sin cos).
        # This is its inverse, (1 -t; 0 1) (cos -sin; sin cos) / s.
        inverse = np.empty((len(x), 2, 2))
        inverse[:, 0, 0] = cos - tan * sin
        inverse[:, 0, 1] = -sin - tan * cos
        inverse[:, 1, 0] = sin
        inverse[:, 1, 1] = cos
        offset = np.empty((len(x), 2))
        offset[:, 0] = -(inverse[:, 0, 0] * shift[:, 0] + inverse[:, 0, 1] * shift[:, 1])
        offset[:, 1] = -(inverse[:, 1, 0] * shift[:, 0] + inverse[:, 1, 1] * shift[:, 1])
        return affine_resample(x, inverse, offset, self.fill)


def RandomShift(shift: float, fill: Fill = 0.0) -> RandomAffine:
    """Shift up, down, left and right at random: a `RandomAffine` that does only that.

    Args:
        shift: an int is pixels, and the shift is of whole pixels; a float is a fraction of height
            and width, and the shift falls between pixels (bilinear).
        fill: what comes in from outside.
    """
    return RandomAffine(translate=shift, fill=fill)


def RandomRotation(degrees: float | tuple[float, float], fill: Fill = 0.0) -> RandomAffine:
    """Turn about the middle at random: a `RandomAffine` that does only that.

    Args:
        degrees: an angle in [-degrees, degrees]; or (low, high); counter-clockwise, bilinear.
        fill: what is outside the picture.
    """
    return RandomAffine(degrees=degrees, fill=fill)


@dataclass(frozen=True)
class RandomHorizontalFlip:
    """Mirror left and right with probability p.

    Args:
        p: probability. Not for digits and letters.
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        _check_probability("RandomHorizontalFlip", self.p)

    def __call__(self, x: NDArray, random: SampleRandom) -> NDArray:
        """Mirror some; see the class."""
        _check("RandomHorizontalFlip", x)
        flipped = random.coin(self.p)
        out = x.copy()
        out[flipped] = x[flipped][..., ::-1]
        return out


@dataclass(frozen=True)
class RandomCrop:
    """Cut out a window at a random place, after padding.

    Args:
        size: height and width of the window, or one number for both.
        padding: pixels added on every side first; size 32 and padding 4 is the usual recipe for
            CIFAR.
        fill: value of the padding.
    """

    size: int | tuple[int, int]
    padding: int = 0
    fill: float = 0.0

    def __post_init__(self) -> None:
        _pair("RandomCrop", "size", self.size, 1)
        if self.padding < 0:
            raise ValueError(f"[RandomCrop] expected padding >= 0, got {self.padding}")

    def __call__(self, x: NDArray, random: SampleRandom) -> NDArray:
        """Cut a window out of each; see the class."""
        _check("RandomCrop", x)
        if self.padding:
            x = Pad(self.padding, self.fill)(x, random)
        n, _, h, w = x.shape
        rows, columns = _pair("RandomCrop", "size", self.size, 1)
        if rows > h or columns > w:
            raise ValueError(
                f"[RandomCrop] expected a window within {h} x {w} (padding included), "
                f"got {rows} x {columns} - enlarge padding"
            )
        top = random.integers(0, h - rows + 1)
        left = random.integers(0, w - columns + 1)
        windows = np.lib.stride_tricks.sliding_window_view(x, (rows, columns), axis=(2, 3))
        # Advanced indices apart from each other move to the front: (N, C, rows, columns).
        return np.ascontiguousarray(windows[np.arange(n), :, top, left])


@dataclass(frozen=True)
class Cutout:
    """Blank out a square at a random place (T. DeVries, G. W. Taylor, arXiv:1708.04552, 2017).

    The middle of the square is anywhere in the picture, so part of it may lie outside.

    Args:
        size: height and width of the square in pixels, or one number for both.
        fill: value of the square.
        p: probability that a picture is treated at all.
    """

    size: int | tuple[int, int]
    fill: float = 0.0
    p: float = 1.0

    def __post_init__(self) -> None:
        _pair("Cutout", "size", self.size, 1)
        _check_probability("Cutout", self.p)

    def __call__(self, x: NDArray, random: SampleRandom) -> NDArray:
        """Blank out a square of each; see the class."""
        _check("Cutout", x)
        h, w = x.shape[2:]
        if not x.size:
            return x.copy()
        rows, columns = _pair("Cutout", "size", self.size, 1)
        top = random.integers(0, h)[:, None] - rows // 2
        left = random.integers(0, w)[:, None] - columns // 2
        treated = random.coin(self.p)[:, None]
        v, u = np.arange(h), np.arange(w)
        inside_rows = (v >= top) & (v < top + rows) & treated
        inside_columns = (u >= left) & (u < left + columns)
        hole = (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]
        return np.where(hole, np.asarray(self.fill, x.dtype), x)
