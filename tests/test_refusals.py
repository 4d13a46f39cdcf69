"""What cannot be computed is refused with the same text on every device, before any work.

On the device "meta" there is no memory to work on, so what raises there raised by shapes alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ranvier as rv
import ranvier.functional as F
from tests.harness import devices

pytestmark = pytest.mark.kernels

Call = Callable[[Callable[..., rv.Tensor]], Any]
HUGE = 2**40


def conv(name: str, weight: tuple[int, ...], **options: Any) -> Call:
    """A convolution of two images of 4 channels with sides of 5."""
    axes = int(name[-2])
    shape = (2, 4, *[5] * axes)
    return lambda make: getattr(F, name)(make(*shape), make(*weight), **options)


def pool(name: str, *args: Any, **options: Any) -> Call:
    """A pooling of two images of 4 channels with sides of 5."""
    axes = int(name[-2])
    return lambda make: getattr(F, name)(make(2, 4, *[5] * axes), *args, **options)


def lp(name: str, *args: Any) -> Call:
    return pool(name, 2.0, *args)


CONVS = ["conv1d", "conv2d", "conv3d"]
BACKS = ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]
POOLS = [f"{kind}_pool{n}d" for kind in ("max", "avg", "sum") for n in (1, 2, 3)]


def axes_of(name: str) -> int:
    return int(name[-2])


def switches(like: tuple[int, ...], make: Any, **options: Any) -> Any:
    return F.max_pool2d(make(*like), 2, return_switches=True, **options)[1]


REFUSED: dict[str, dict[str, Call]] = {
    "a kernel larger than the padded input": {
        **{n: conv(n, (6, 4, *[8] * axes_of(n)), padding=1) for n in CONVS},
        **{f"{n} dilated": conv(n, (6, 4, *[3] * axes_of(n)), dilation=3) for n in CONVS},
        **{n: pool(n, 8, 1, 1) for n in POOLS},
        "lp_pool1d": lp("lp_pool1d", 6),
        "lp_pool2d": lp("lp_pool2d", 6),
        "unfold": lambda make: F.unfold(make(2, 4, 5, 5), 6),
        "locally_connected2d": lambda make: F.locally_connected2d(
            make(2, 4, 5, 5), make(1, 1, 6, 4, 6, 6)
        ),
    },
    "a transposed convolution that leaves nothing": {
        n: conv(n, (4, 6, *[1] * axes_of(n)), padding=3) for n in BACKS
    },
    "a stride of 0": {
        **{n: conv(n, (6, 4, *[3] * axes_of(n)), stride=0) for n in CONVS},
        **{n: conv(n, (4, 6, *[3] * axes_of(n)), stride=0) for n in BACKS},
        **{n: pool(n, 2, 0) for n in POOLS},
        "lp_pool2d": lp("lp_pool2d", 2, 0),
        "unfold": lambda make: F.unfold(make(2, 4, 5, 5), 2, stride=0),
        "fold": lambda make: F.fold(make(2, 16, 4), (5, 5), 2, stride=0),
    },
    "a negative padding": {
        **{n: conv(n, (6, 4, *[3] * axes_of(n)), padding=-1) for n in CONVS},
        **{n: conv(n, (4, 6, *[3] * axes_of(n)), padding=-1) for n in BACKS},
        **{n: pool(n, 2, 1, -1) for n in POOLS},
    },
    "groups that do not divide": {
        **{n: conv(n, (6, 1, *[3] * axes_of(n)), groups=3) for n in CONVS},
        **{f"{n} of outputs": conv(n, (5, 2, *[3] * axes_of(n)), groups=2) for n in CONVS},
        **{n: conv(n, (4, 6, *[3] * axes_of(n)), groups=3) for n in BACKS},
        "group_norm": lambda make: F.group_norm(make(2, 4, 5, 5), 3),
    },
    "switches of another tensor": {
        "of another size": lambda make: F.max_unpool2d(
            make(2, 4, 2, 2), switches((2, 4, 6, 6), make)
        ),
        "of other channels": lambda make: F.max_unpool2d(
            make(2, 4, 2, 2), switches((2, 3, 5, 5), make)
        ),
        "of another batch": lambda make: F.max_unpool2d(
            make(2, 4, 2, 2), switches((1, 4, 5, 5), make)
        ),
        "of another number of axes": lambda make: F.max_unpool1d(
            make(2, 4, 2), switches((2, 4, 5, 5), make)
        ),
        "indices": lambda make: F.max_unpool2d(make(2, 4, 2, 2), make(2, 4, 2, 2)),
    },
    "sizes that overflow": {
        **{n: conv(n, (4, 6, *[3] * axes_of(n)), stride=2**62) for n in BACKS},
        **{n: conv(n, (6, 4, *[3] * axes_of(n)), padding=2**62) for n in CONVS},
        **{n: pool(n, 2, 1, 2**62) for n in POOLS},
        "conv2d, many": conv("conv2d", (6, 4, 3, 3), padding=HUGE),
        "add": lambda make: make(1, 1).expand(HUGE, 1) + make(1, 1).expand(1, HUGE),
        "matmul": lambda make: make(1, 1).expand(HUGE, 1) @ make(1, 1).expand(1, HUGE),
        "outer": lambda make: F.outer(make(1).expand(HUGE), make(1).expand(HUGE)),
        "linear": lambda make: F.linear(make(1, 1).expand(HUGE, 1), make(1, 1).expand(HUGE, 1)),
        "concat": lambda make: F.concat([make(1).expand(2**62)] * 2),
        "pad": lambda make: F.pad(make(2, 2), (2**62, 2**62)),
        "repeat": lambda make: F.repeat(make(2, 2), HUGE, HUGE),
        "interpolate": lambda make: F.interpolate(make(1, 1, 2, 2), (HUGE, HUGE)),
        "adaptive_avg_pool2d": lambda make: F.adaptive_avg_pool2d(make(1, 1, 2, 2), (HUGE, HUGE)),
        "expand": lambda make: make(1, 1).expand(HUGE, HUGE).contiguous(),
        "embedding": lambda make: F.embedding(
            make(1).to(rv.int64).expand(HUGE), make(1, 1).expand(2, HUGE)
        ),
        "diag_embed": lambda make: F.diag_embed(make(1).expand(HUGE)),
        "one_hot": lambda make: F.one_hot(make(1).to(rv.int64).expand(HUGE), HUGE),
        "lstm": lambda make: F.lstm(
            make(1, 1, 1).expand(HUGE, HUGE, 1), None, make(4, 1), make(4, 1)
        ),
        "einsum": lambda make: F.einsum("i,j->ij", make(1).expand(HUGE), make(1).expand(HUGE)),
    },
}
CALLS = [
    pytest.param(call, id=f"{item}: {name}")
    for item, calls in REFUSED.items()
    for name, call in calls.items()
]


@pytest.mark.parametrize("call", CALLS)
def test_it_is_refused_alike_on_every_device(call: Call) -> None:
    """ValueError or TypeError in the words of the op, and the same words everywhere."""
    texts = {}
    for device in ("meta", *devices()):
        with pytest.raises((ValueError, TypeError), match=r"^\[\w+\] expected ") as caught:
            call(lambda *shape, device=device: rv.zeros(*shape, device=device))
        texts[device] = f"{caught.type.__name__}: {caught.value}"
    assert len(set(texts.values())) == 1, texts


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("lengths", [[3, 7], [-1, 2]])
def test_lengths_beyond_the_steps_are_refused(name: str, lengths: list[int]) -> None:
    """Values are looked at, so not on "meta"."""
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[name]
    texts = set()
    for device in devices():
        x, w = rv.zeros(6, 2, 3, device=device), rv.zeros(gates * 5, 3, device=device)
        wrong = max(lengths, key=abs)
        with pytest.raises(
            ValueError, match=rf"^\[{name}\] expected lengths from 0 to 6"
        ) as caught:
            getattr(F, name)(x, None, w, rv.zeros(gates * 5, 5, device=device), lengths=lengths)
        assert f"got {min(lengths) if min(lengths) < 0 else wrong} for sample" in str(caught.value)
        texts.add(str(caught.value))
    assert len(texts) == 1
