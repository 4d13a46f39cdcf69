"""Initial values of parameters, written in place.

All draws come from the generator that `ranvier.manual_seed` sets. The two fans of a weight are

    fan_in  = inputs of one unit  = shape[1] * prod(shape[2:])
    fan_out = outputs of one unit = shape[0] * prod(shape[2:])

for a weight of shape (out, in, kernel...).
"""

from __future__ import annotations

import math

from ranvier.autograd import no_grad
from ranvier.dtypes import float64
from ranvier.random import rand_like, randn, randn_like
from ranvier.tensor import Tensor


def uniform_(tensor: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Uniform draws from [low, high)."""
    return _write(tensor, rand_like(tensor) * (high - low) + low)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal draws of the given mean and standard deviation `std`."""
    return _write(tensor, randn_like(tensor) * std + mean)


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> Tensor:
    """Normal draws; those outside of [a, b] are drawn again until none is left.

    Args:
        tensor: what is written.
        mean: of the normal distribution, before it is cut.
        std: its standard deviation.
        a: the smallest value.
        b: the largest value.

    Raises:
        ValueError: no positive std, or fewer than one draw in twenty falls within [a, b].
    """
    inside = 0.0
    if std > 0:
        low, high = (math.erf((limit - mean) / (std * math.sqrt(2.0))) for limit in (a, b))
        inside = (high - low) / 2
    if not inside >= 0.05:
        raise ValueError(
            "[trunc_normal_] expected one normal draw in twenty to lie within [a, b], got a "
            f"{a:g}, b {b:g}, mean {mean:g}, std {std:g} - a narrow cut is uniform_(tensor, a, b)"
        )
    draws = randn_like(tensor) * std + mean
    while (outside := (draws < a) | (draws > b)).any().item():
        draws = (randn_like(tensor) * std + mean).where(outside, draws)
    return _write(tensor, draws)


def constant_(tensor: Tensor, value: float) -> Tensor:
    """The same value everywhere."""
    with no_grad():
        return tensor.fill_(value)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros everywhere."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Ones everywhere."""
    return constant_(tensor, 1.0)


def fans(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight of shape (out, in, kernel...).

    Raises:
        ValueError: fewer than two axes.
    """
    if tensor.ndim < 2:
        raise ValueError(
            f"[init] expected a weight of shape (out, in, kernel...), got {tensor.shape} - a bias "
            "has no fan; use zeros_ or uniform_"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights should grow so that a nonlinearity keeps the variance.

    linear, sigmoid, conv2d ...: 1; tanh: 5/3; relu: sqrt(2); selu: 3/4;
    leaky_relu: sqrt(2 / (1 + slope^2)) with slope `param` (0.01).

    Raises:
        ValueError: an unknown name.
    """
    if nonlinearity in ("linear", "identity", "sigmoid", "conv1d", "conv2d", "conv3d"):
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3.0
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "selu":
        return 0.75
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1.0 + (0.01 if param is None else param) ** 2))
    raise ValueError(
        "[calculate_gain] expected linear, identity, sigmoid, conv1d, conv2d, conv3d, tanh, relu, "
        f"leaky_relu or selu, got {nonlinearity!r}"
    )


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """U(-b, b) with b = gain sqrt(6 / (fan_in + fan_out)).

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010.
    """
    bound = gain * math.sqrt(6.0 / max(1, sum(fans(tensor))))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """N(0, s^2) with s = gain sqrt(2 / (fan_in + fan_out)). Source: as `xavier_uniform_`."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / max(1, sum(fans(tensor)))))


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """U(-b, b) with b = gain sqrt(3 / fan).

    Args:
        tensor: the weight.
        a: negative slope of the leaky ReLU that follows.
        mode: "fan_in" keeps the variance of the forward pass, "fan_out" that of backward.
        nonlinearity: what follows; see `calculate_gain`.

    Source: He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015.
    """
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / _fan(tensor, mode))
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """N(0, s^2) with s = gain / sqrt(fan). Arguments and source: as `kaiming_uniform_`."""
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode)))


def lecun_uniform_(tensor: Tensor) -> Tensor:
    """U(-b, b) with b = sqrt(3 / fan_in): unit variance in, unit variance out.

    Source: LeCun, Bottou, Orr and Mueller, "Efficient BackProp", 1998, section 4.6.
    """
    bound = math.sqrt(3.0 / _fan(tensor, "fan_in"))
    return uniform_(tensor, -bound, bound)


def lecun_normal_(tensor: Tensor) -> Tensor:
    """N(0, 1/fan_in). Source: as `lecun_uniform_`."""
    return normal_(tensor, 0.0, math.sqrt(1.0 / _fan(tensor, "fan_in")))


def orthogonal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """A random matrix whose rows, or columns if it is tall, are orthogonal and `gain` long.

    Every such matrix is as likely as any other: normal draws, made orthogonal to those before, one
    by one in blocks. Doing so twice leaves nothing but rounding.

    Args:
        tensor: (out, in, ...), of which all but the first axis count as one.
        gain: length of the vectors.

    Raises:
        ValueError: fewer than two axes.

    Source: Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in
    deep linear neural networks", ICLR 2014; Golub and Van Loan, Matrix Computations (2013), section
    5.2.
    """
    if tensor.ndim < 2:
        raise ValueError(
            f"[orthogonal_] expected a weight of shape (out, in, ...), got {tensor.shape}"
        )
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    count, size = sorted((rows, columns))
    with no_grad():
        q = randn(count, size, dtype=float64)
        for i in range(0, count, 32):
            block, done = q[i : i + 32], q[:i]
            for _ in range(2):
                block = block - (block @ done.mT) @ done
                for j in range(block.shape[0]):
                    v = block[j] - (block[:j] @ block[j]) @ block[:j]
                    block[j] = v / v.norm()
            q[i : i + 32] = block
    q = (q if rows <= columns else q.mT) * gain
    return _write(tensor, q.reshape(tensor.shape).to(dtype=tensor.dtype, device=tensor.device))


glorot_uniform_ = xavier_uniform_
glorot_normal_ = xavier_normal_
he_uniform_ = kaiming_uniform_
he_normal_ = kaiming_normal_


def _fan(tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"[init] expected mode 'fan_in' or 'fan_out', got {mode!r}")
    return max(1, fans(tensor)[mode == "fan_out"])


def _write(tensor: Tensor, values: Tensor) -> Tensor:
    with no_grad():
        return tensor.copy_(values)


def layer_default_(weight: Tensor, bias: Tensor | None) -> None:
    """What Linear and Conv2d begin with: weight and bias from U(-b, b), b = 1 / sqrt(fan_in).

    It is `kaiming_uniform_` with a = sqrt(5), whose gain sqrt(2/6) makes the bound 1/sqrt(fan_in):
    the initialization that PyTorch and, before it, Torch7 use.
    """
    kaiming_uniform_(weight, a=math.sqrt(5.0))
    if bias is not None:
        bound = 1.0 / math.sqrt(_fan(weight, "fan_in"))
        uniform_(bias, -bound, bound)
