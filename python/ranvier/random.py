"""The random generator of the library, and tensors of random numbers.

Numbers come from a counter: the state is a seed and an offset, kept in a tensor, and every draw
moves the offset on. So a captured step draws fresh numbers at each replay, and the numbers do not
depend on the machine, the number of threads or the memory layout.

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC (2011).
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ranvier import _core
from ranvier.dtypes import Device, as_device, as_dtype, float32
from ranvier.tensor import Tensor, attach, clock, shape_of

state = _core.empty((2,), 4, 0)  # int64 {seed, offset}
state.numpy()[:] = 0
_states = {0: state}  # device code -> its generator: a draw on a GPU advances the GPU's own


def state_of(device: int) -> Any:
    """The generator of a device, by its code; at first with the seed of the cpu's, and offset 0."""
    if device not in _states and Device(device).type == "cuda":
        fresh = _core.empty((2,), 4, 0)
        fresh.numpy()[:] = [state.numpy()[0], 0]
        _states[device] = _core.to_device(fresh, device)
    return _states.get(device, state)  # on "meta" nothing is drawn


def on(device: Any) -> tuple[int, Any]:
    """A device's code and its generator: the last two arguments of a draw."""
    code = device if isinstance(device, int) else as_device(device).code
    return code, state_of(code)


def manual_seed(seed: int) -> None:
    """Starts the sequence of random numbers of this seed from its beginning.

    Example:
        >>> import ranvier as rv
        >>> rv.manual_seed(1)
        >>> a = rv.rand(3)
        >>> rv.manual_seed(1)
        >>> (a == rv.rand(3)).all().item()
        True
    """
    set_rng_state({"seed": seed, "offset": 0})


def get_rng_state() -> dict[str, Any]:
    """Where the generator is: {"seed", "offset"}, plain numbers that JSON can hold.

    A GPU that random numbers were drawn on has an entry of its own, such as "cuda:0".
    """

    def numbers(array: Any) -> dict[str, int]:
        seed, offset = _core.to_device(array, 0).numpy().tolist()
        return {"seed": seed, "offset": offset}

    others = {str(Device(code)): numbers(s) for code, s in _states.items() if code}
    return {**numbers(state), **others}


def set_rng_state(values: dict[str, Any]) -> None:
    """Puts the generator where `get_rng_state` found it; those of GPUs start anew unless named.

    Raises:
        ValueError: something else than a seed and an offset.
    """
    wanted = {0: _numbers(values)}
    for code in _states:
        wanted[code] = wanted[0] if code == 0 else _numbers({**values, "offset": 0})
    for name, entry in values.items():
        if name not in ("seed", "offset"):
            wanted[as_device(name).code] = _numbers(entry)
    for code, numbers in wanted.items():
        own = state_of(code)
        _core.copy_into(own, _core.import_array(numbers))
        clock.changed(own)


def _numbers(values: dict[str, Any]) -> np.ndarray:
    try:
        seed, offset = int(values["seed"]), int(values["offset"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"[set_rng_state] expected {{'seed': int, 'offset': int}}, got {values!r}"
        ) from None
    # A seed is 64 bits, of either sign.
    return np.array([seed % 2**64, offset % 2**64], np.uint64).astype(np.int64)


def _tensor(array: Any, requires_grad: bool) -> Tensor:
    return Tensor(array).requires_grad_(requires_grad)


def rand(*shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Uniform random numbers from [0, 1): multiples of 2^-24.

    Args:
        *shape: sizes, or one tuple of them.
        dtype: floating; float32 unless given.
        device: where the tensor lives.
        requires_grad: record operations on it for backward.
    """
    t = float32 if dtype is None else as_dtype(dtype)
    sizes = shape_of("rand", shape)
    return _tensor(_core.random_uniform(sizes, t.code, *on(device)), requires_grad)


def randn(
    *shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Random numbers from the normal distribution of mean 0 and standard deviation 1.

    Args:
        *shape: sizes, or one tuple of them.
        dtype: floating; float32 unless given.
        device: where the tensor lives.
        requires_grad: record operations on it for backward.

    Two come from each pair of uniform ones. Source: Box and Muller, "A note on the generation of
    random normal deviates", Annals of Mathematical Statistics 29 (1958).
    """
    t = float32 if dtype is None else as_dtype(dtype)
    sizes = shape_of("randn", shape)
    return _tensor(_core.random_normal(sizes, t.code, *on(device)), requires_grad)


def randint(low: int, high: Any = None, shape: Any = None, device: Any = None, *, size: Any = None,
            dtype: Any = None) -> Tensor:  # fmt: skip
    """Random whole numbers from [low, high), int64; `randint(n, shape)` counts from 0.

    Args:
        low: the least, or with `high` left out the end.
        high: the end, which does not come.
        shape: sizes, a scalar unless given.
        device: where the tensor lives.
        size: another name of the shape.
        dtype: int64 unless given.

    Raises:
        ValueError: low is not below high, or they are more than 2^32 apart.
        TypeError: ends that are no whole numbers.
    """
    if isinstance(high, tuple | list):  # randint(n, shape)
        shape, high = high, None
    if high is None:
        low, high = 0, low
    given = size if shape is None else shape
    sizes = shape_of("randint", (() if given is None else given,))
    try:
        ends = operator.index(low), operator.index(high)
    except TypeError:
        raise TypeError(
            f"[randint] expected whole numbers as ends, got {low!r} and {high!r}"
        ) from None
    drawn = Tensor(_core.random_whole(*ends, sizes, *on(device)))
    return drawn if dtype is None else drawn.to(as_dtype(dtype))


def randperm(n: int, device: Any = None) -> Tensor:
    """The numbers from 0 to n - 1 in random order, int64, on `device`."""
    if isinstance(n, bool) or not hasattr(n, "__index__") or not 0 <= n < 2**63:
        raise ValueError(f"[randperm] expected a whole number from 0 up, got {n!r}")
    return Tensor(_core.random_permutation(n, *on(device)))


def _array(op: str, x: Any) -> Any:
    """The array of a tensor; a NumPy array has a `data` too, but another one."""
    if not isinstance(x, Tensor):
        cure = "leave .data out" if isinstance(x, _core.Array) else "wrap it in rv.tensor"
        raise TypeError(f"[{op}] expected a tensor, got {type(x).__name__} - {cure}")
    return x.data


def rand_like(x: Tensor) -> Tensor:
    """Uniform random numbers with the shape, dtype and device of x."""
    data = _array("rand_like", x)
    return Tensor(_core.random_uniform(data.shape, data.dtype, *on(data.device)))


def randn_like(x: Tensor) -> Tensor:
    """Normal random numbers with the shape, dtype and device of x."""
    data = _array("randn_like", x)
    return Tensor(_core.random_normal(data.shape, data.dtype, *on(data.device)))


def uniform(
    low: float = 0.0, high: float = 1.0, size: Any = (), dtype: Any = None, device: Any = None
) -> Tensor:
    """Uniform random numbers from [low, high): low + (high - low) u, with u as `rand` draws it.

    Args:
        low: a number.
        high: a number.
        size: the shape.
        dtype: floating; float32 unless given.
        device: where the tensor lives.
    """
    return rand(*_sizes(size), dtype=dtype, device=device).uniform_(low, high)


def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, dtype: Any = None, device: Any = None
) -> Tensor:
    """Normal random numbers: mean + std z, with z as `randn` draws it. No gradient flows.

    A sample through which gradients shall flow is written so: ``mean + std * rv.randn_like(mean)``
    (Kingma and Welling, "Auto-encoding variational Bayes", ICLR (2014), section 2.4).

    Args:
        mean: a number, or a tensor with one for each element.
        std: the same; the two broadcast.
        size: the shape, for two numbers only; a tensor brings its own.
        dtype: floating; float32 unless given, for two numbers only.
        device: where the tensor lives, for two numbers only.

    Raises:
        ValueError: a negative number as standard deviation, or a size beside tensors.
    """
    parts = [t.data for t in (mean, std) if isinstance(t, Tensor)]
    if not parts:
        if std < 0:
            raise ValueError(f"[normal] expected a standard deviation from 0 up, got {std}")
        return randn(*_sizes(() if size is None else size), dtype=dtype, device=device).normal_(
            mean, std
        )
    if size is not None or dtype is not None or device is not None:
        raise ValueError("[normal] expected no size, dtype or device beside tensors, got one")
    shape, kind = parts[0].shape, parts[0].dtype
    for other in parts[1:]:
        shape = _core.broadcast_shapes(shape, other.shape)
        kind = _core.promote(kind, other.dtype)
    drawn = _core.random_normal(shape, kind, *on(parts[0].device))
    scaled = _core.multiply(drawn, std.data if isinstance(std, Tensor) else float(std))
    return Tensor(_core.add(scaled, mean.data if isinstance(mean, Tensor) else float(mean)))


def _sizes(size: Any) -> tuple[int, ...]:
    return shape_of("size", (size,))


def multinomial(input: Tensor, num_samples: int, replacement: bool = False) -> Tensor:
    """Positions drawn from a discrete distribution, each as likely as its weight says.

    Args:
        input: weights from 0 up, (n) or (rows, n); they need not sum to 1.
        num_samples: how many to draw from each row.
        replacement: whether a position may be drawn more than once.

    Returns:
        int64, (num_samples) or (rows, num_samples). Without replacement, in the order of drawing.

    Raises:
        ValueError: weights that are negative or not finite, or fewer above 0 than are drawn.
        TypeError: weights that are not floating.

    Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir", Information
    Processing Letters 97 (2006), for drawing without replacement.

    Example:
        >>> import ranvier as rv
        >>> rv.multinomial(rv.tensor([0.0, 1.0, 0.0]), 2, replacement=True).tolist()
        [1, 1]
    """
    data = _array("multinomial", input)
    if not hasattr(num_samples, "__index__") or not 0 <= num_samples < 2**63:
        raise ValueError(
            f"[multinomial] expected a whole number of samples from 0 up, got {num_samples!r}"
        )
    drawn = _core.multinomial(data, num_samples, bool(replacement), state_of(data.device))
    return Tensor(drawn)


def categorical(p: Tensor) -> Tensor:
    """One position for each row of weights: (..., n) gives int64 (...).

    Raises:
        ValueError: a scalar, or weights as in `multinomial`.

    Example:
        >>> import ranvier as rv
        >>> rv.categorical(rv.tensor([[0.0, 1.0], [2.0, 0.0]])).tolist()
        [1, 0]
    """
    data = _array("categorical", p)
    if not data.ndim:
        raise ValueError("[categorical] expected weights of shape (..., n), got a scalar")
    lead = data.shape[:-1]
    if not data.size and 0 in lead:
        return Tensor(_core.empty(lead, 4, data.device))
    rows = data.reshape((-1, data.shape[-1]))
    return Tensor(_core.multinomial(rows, 1, True, state_of(rows.device)).reshape(lead))


def bernoulli(p: Tensor) -> Tensor:
    """1 with the given probability, else 0, for each element; in the dtype of p, no gradient.

    Raises:
        ValueError: a probability outside of [0, 1], or NaN.
        TypeError: p is not floating.
    """
    data = _array("bernoulli", p)
    _core.check_probabilities(data)
    drawn = _core.random_uniform(data.shape, data.dtype, *on(data.device))
    return Tensor(_core.less(drawn, data).cast(data.dtype))


@attach("uniform_")
def _uniform(x: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Fills the tensor with uniform random numbers from [low, high)."""
    data = x._writable("uniform_")
    drawn = _core.random_uniform(data.shape, data.dtype, *on(data.device))
    _core.copy_into(data, _core.add(_core.multiply(drawn, float(high - low)), float(low)))
    clock.changed(data)
    return x


@attach("normal_")
def _normal(x: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Fills the tensor with normal random numbers of this mean and standard deviation `std`."""
    data = x._writable("normal_")
    drawn = _core.random_normal(data.shape, data.dtype, *on(data.device))
    _core.copy_into(data, _core.add(_core.multiply(drawn, float(std)), float(mean)))
    clock.changed(data)
    return x
