"""What bench/traffic.py counts: a case for every CUDA kernel, in the layouts that it is met in.

`cases()` gives names and functions that prepare a case on the device and return the call to count.
Sizes give several full blocks; "last" is channels_last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ranvier as rv
import ranvier.functional as F
from ranvier import nn, optim

Call = Callable[[], Any]
Case = Callable[[], Call]

DEVICE = "cuda"


def numbers(*shape: int, dtype: Any = None, last: bool = False) -> rv.Tensor:
    """Random numbers; as channels_last if wanted."""
    if last:
        n, c, *rest = shape
        return numbers(n, *rest, c, dtype=dtype).permute(
            0, len(shape) - 1, *range(1, len(shape) - 1)
        )
    x = rv.randn(*shape, device=DEVICE)
    return x.to(dtype) if dtype else x


def indices(high: int, *shape: int) -> rv.Tensor:
    return (rv.rand(*shape, device=DEVICE) * float(high)).to(rv.int64)


def one(f: Callable[..., Any], *inputs: Any) -> Case:
    """The call alone. Inputs are functions, called when the case is prepared."""

    def prepare() -> Call:
        made = [i() for i in inputs]
        return lambda: f(*made)

    return prepare


def both(f: Callable[..., Any], *inputs: Any) -> Case:
    """The call and its gradients for every floating-point input."""

    def prepare() -> Call:
        made = [i() for i in inputs]
        for t in made:
            if isinstance(t, rv.Tensor) and t.dtype not in (rv.int64, rv.bool):
                t.requires_grad = True
        y = f(*made)
        last = y.ndim > 3 and y.strides[1] == 1
        seed = numbers(*y.shape, dtype=y.dtype, last=last)  # laid out as gradients will be

        def call() -> None:
            for t in made:
                if isinstance(t, rv.Tensor):
                    t.grad = None
            f(*made).backward(seed)

        return call

    return prepare


def at(precision: str, case: Case, *paths: str) -> Case:
    """In another precision, and by kernels that are off."""

    def prepare() -> Call:
        call = case()

        def run() -> None:
            rv.set_matmul_precision(precision)
            rv.cuda.allow_unproven(*paths)
            try:
                call()
            finally:
                rv.set_matmul_precision("highest")
                rv.cuda.allow_unproven()

        return run

    return prepare


def captured(f: Callable[..., Any], *inputs: Any) -> Case:
    """A replay of the captured call."""

    def prepare() -> Call:
        made = [i() for i in inputs]
        step = rv.capture(f)
        for _ in range(3):
            step(*made)
        return lambda: step(*made)

    return prepare


def stepped(make: Callable[[list[Any]], Any], count: int = 65536) -> Case:
    def prepare() -> Call:
        weight = nn.Parameter(numbers(count))
        weight.grad = numbers(count)
        optimizer = make([weight])
        return lambda: optimizer.step()

    return prepare


def of(*shape: int, **options: Any) -> Callable[[], rv.Tensor]:
    return lambda: numbers(*shape, **options)


def to(high: int, *shape: int) -> Callable[[], rv.Tensor]:
    return lambda: indices(high, *shape)


def _elementwise() -> dict[str, Case]:
    square, half = of(256, 256), of(256, 256, dtype=rv.bfloat16)
    image, last = of(4, 32, 24, 24), of(4, 32, 24, 24, last=True)

    def turned() -> rv.Tensor:
        return numbers(256, 256).T

    return {
        "add": one(lambda a, b: a + b, square, square),
        "add, one turned": one(lambda a, b: a + b, turned, square),
        "add row": one(lambda a, b: a + b, square, of(256)),
        "add column": one(lambda a, b: a + b, square, of(256, 1)),
        "add channels": one(lambda a, b: a + b, image, of(32, 1, 1)),
        "add, one last": one(lambda a, b: a + b, image, last),
        "gelu": both(F.gelu, square),
        "clip": both(lambda x: F.clip(x, -1.0, 1.0), square),
        "less": one(lambda a, b: a < b, square, square),
        "where": one(lambda a, b: F.where(a < b, a, b), square, square),
        "remainder": one(lambda a, b: a % b, square, square),
        "to bfloat16": one(lambda x: x.to(rv.bfloat16), square),
        "from bfloat16": one(lambda x: x.to(rv.float32), half),
        "copy turned": one(lambda x: x.clone().contiguous(), turned),
        "copy turned bfloat16": one(
            lambda x: x.contiguous(), lambda: numbers(256, 256, dtype=rv.bfloat16).T
        ),
        "copy last to plain": one(lambda x: x.contiguous(), last),
        "copy, inner axes swapped": one(
            lambda x: x.contiguous(), lambda: numbers(32, 64, 16, 8).transpose(1, 2)
        ),
        "zeros": one(lambda: rv.zeros(256, 256, device=DEVICE)),
        "concat columns": one(lambda a, b: F.concat((a, b), 1), square, square),
        "pad": one(lambda x: F.pad(x, (1, 1, 1, 1)), image),
        "flip": one(lambda x: F.flip(x, 1), square),
        "pixel shuffle": one(lambda x: F.pixel_shuffle(x, 2), image),
        "repeat": one(lambda x: F.repeat(x, 2, 2), square),
        "triu": one(F.triu, square),
        "dropout": both(F.dropout, square),
        "randn": one(lambda: rv.randn(256, 256, device=DEVICE)),
        "chain": captured(lambda a, b: (a * 2.0 + b).tanh() * a - b.sigmoid(), square, square),
        "chain, row and column": captured(
            lambda a, b, c: (a * b + c).tanh() * a, square, of(256), of(256, 1)
        ),
        "chain, one turned": captured(lambda a, b: (a * 2.0 + b.T).tanh() * a, square, square),
        "glu": both(lambda x: F.glu(x, -1), square),
        "glu, channels": both(lambda x: F.glu(x, 1), image),
        "prelu": both(F.prelu, image, of(32)),
        "prelu last": both(F.prelu, last, of(32)),
        "mse_loss": both(F.mse_loss, square, square),
        "huber_loss, each": both(lambda a, b: F.huber_loss(a, b, reduction="none"), square, square),
        "adam": stepped(lambda p: optim.Adam(p, lr=0.1)),
        "sgd": stepped(lambda p: optim.SGD(p, lr=0.1, momentum=0.9)),
        "rmsprop": stepped(lambda p: optim.RMSprop(p, lr=0.1, momentum=0.9, centered=True)),
        "adagrad": stepped(optim.Adagrad),
        "adadelta": stepped(optim.Adadelta),
    }  # fmt: skip


def _entropy(x: rv.Tensor, t: rv.Tensor) -> rv.Tensor:
    return F.cross_entropy(x, t).reshape(1)


def _rows() -> dict[str, Case]:
    square, short, long = of(256, 256), of(4096, 10), of(16, 4096)
    image, last = of(4, 32, 24, 24), of(4, 32, 24, 24, last=True)
    return {
        "sum": both(lambda x: x.sum().reshape(1), square),
        "sum rows": one(lambda x: x.sum(1), square),
        "sum rows of 10": one(lambda x: x.sum(1), short),
        "sum rows of 4096": one(lambda x: x.sum(1), long),
        "sum columns": one(lambda x: x.sum(0), square),
        "sum 10 columns": one(lambda x: x.sum(0), short),
        "sum 10 columns of 65536": one(lambda x: x.sum(0), of(65536 // 4, 10)),
        "sum middle": one(lambda x: x.sum(1), of(16, 64, 64)),
        "sum middle of 8": one(lambda x: x.sum(1), of(512, 16, 8)),
        "mean of channels": one(lambda x: x.mean((0, 2, 3)), image),
        "mean of channels, last": one(lambda x: x.mean((0, 2, 3)), last),
        "mean of planes, last": one(lambda x: x.mean((2, 3)), last),
        "var": one(lambda x: x.var(1), square),
        "argmax rows": one(lambda x: x.argmax(1), square),
        "argmax columns": one(lambda x: x.argmax(0), square),
        "max columns": both(lambda x: F.max(x, 0)[0], square),
        "prod": both(lambda x: F.prod(x, 1), square),
        "logsumexp": both(lambda x: F.logsumexp(x, 1), square),
        "cumsum rows": one(lambda x: F.cumsum(x, 1), square),
        "cumsum columns": one(lambda x: F.cumsum(x, 0), square),
        "cumprod": both(lambda x: F.cumprod(x, 1), square),
        "sort rows": both(lambda x: F.sort(x, 1)[0], square),
        "sort columns": one(lambda x: F.sort(x, 0)[0], square),
        "sort long": one(lambda x: F.sort(x)[0], of(16384)),
        "topk": one(lambda x: F.topk(x, 5)[0], square),
        "softmax": both(lambda x: F.softmax(x, -1), square),
        "softmax of 10": both(lambda x: F.softmax(x, -1), short),
        "softmax of 4096": both(lambda x: F.softmax(x, -1), long),
        "softmax columns": both(lambda x: F.softmax(x, 0), square),
        "softmax channels": both(lambda x: F.softmax(x, 1), image),
        "log_softmax": both(lambda x: F.log_softmax(x, -1), square),
        "cross_entropy of 10": both(_entropy, short, to(10, 4096)),
        "cross_entropy of 256": both(_entropy, square, to(256, 256)),
        "cross_entropy pixels": both(_entropy, image, to(32, 4, 24, 24)),
        "layer_norm": both(
            lambda x, w, b: F.layer_norm(x, (256,), w, b), square, of(256), of(256)
        ),
        "layer_norm of 4096": both(lambda x: F.layer_norm(x, (4096,)), long),
        "layer_norm of 64": both(lambda x: F.layer_norm(x, (64,)), of(1024, 64)),
        "rms_norm": both(lambda x, w: F.rms_norm(x, (256,), w), square, of(256)),
        "norm": both(lambda x: F.norm(x, 2.0, 1), square),
        "cdist": both(F.cdist, of(96, 64), of(96, 64)),
        "multinomial": one(lambda x: rv.multinomial(x.exp(), 8), square),
    }  # fmt: skip


def _images() -> dict[str, Case]:
    found: dict[str, Case] = {}
    for name, last in ("", False), (" last", True):
        image = of(4, 32, 24, 24, last=last)
        few = of(8, 6, 28, 28, last=last)
        found |= {
            f"batch_norm{name}": both(
                lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
                image, of(32), of(32),
            ),
            f"batch_norm of 6{name}": both(
                lambda x: F.batch_norm(x, None, None, training=True), few
            ),
            f"group_norm{name}": both(
                lambda x, w, b: F.group_norm(x, 4, w, b), image, of(32), of(32)
            ),
            f"instance_norm{name}": both(F.instance_norm, image),
            f"local_response_norm{name}": both(lambda x: F.local_response_norm(x, 5), image),
            f"max_pool2d 2{name}": both(lambda x: F.max_pool2d(x, 2), image),
            f"max_pool2d 2 of 6{name}": both(lambda x: F.max_pool2d(x, 2), few),
            f"max_pool2d 3, stride 2{name}": both(lambda x: F.max_pool2d(x, 3, 2), image),
            f"avg_pool2d 2{name}": both(lambda x: F.avg_pool2d(x, 2), image),
            f"adaptive_avg_pool2d 1{name}": both(lambda x: F.adaptive_avg_pool2d(x, 1), image),
            f"unpool{name}": one(_unpooled, image),
            f"interpolate bilinear{name}": both(
                lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), image
            ),
            f"interpolate nearest{name}": both(lambda x: F.interpolate(x, scale_factor=2), image),
            f"conv2d{name}": both(
                lambda x, w, b: F.conv2d(x, w, b, padding=1),
                of(2, 32, 16, 16, last=last), of(32, 32, 3, 3), of(32),
            ),
            f"conv2d depthwise{name}": both(
                lambda x, w: F.conv2d(x, w, padding=1, groups=32),
                of(2, 32, 16, 16, last=last), of(32, 1, 3, 3),
            ),
            f"conv2d LeNet{name}": both(
                lambda x, w: F.conv2d(x, w), of(8, 6, 12, 12, last=last), of(16, 6, 5, 5)
            ),
            f"conv2d 1x1, stride 2{name}": both(
                lambda x, w: F.conv2d(x, w, stride=2),
                of(2, 32, 32, 32, last=last), of(64, 32, 1, 1),
            ),
            f"conv2d TF32{name}": at("high", both(
                lambda x, w: F.conv2d(x, w, padding=1),
                of(2, 32, 16, 16, last=last), of(64, 32, 3, 3),
            )),
            f"conv2d bfloat16{name}": both(
                lambda x, w: F.conv2d(x, w, padding=1),
                of(2, 32, 16, 16, last=last, dtype=rv.bfloat16),
                of(64, 32, 3, 3, dtype=rv.bfloat16),
            ),
        }  # fmt: skip
    return found | {
        "conv1d": both(lambda x, w: F.conv1d(x, w, padding=1), of(4, 32, 128), of(32, 32, 3)),
        "conv_transpose2d": both(
            lambda x, w: F.conv_transpose2d(x, w, stride=2), of(2, 32, 12, 12), of(32, 16, 2, 2)
        ),
        "im2col": both(lambda x: F.im2col(x, 3), of(2, 16, 24, 24)),
    }  # fmt: skip


def _unpooled(x: rv.Tensor) -> rv.Tensor:
    y, switches = F.max_pool2d(x, 2, return_switches=True)
    return F.max_unpool2d(y, switches)


def _products() -> dict[str, Case]:
    a, b = of(192, 160), of(160, 224)
    ab = (lambda x, y: x @ y, a, b)
    half = (lambda x, y: x @ y, of(192, 160, dtype=rv.bfloat16), of(160, 256, dtype=rv.bfloat16))
    turned = (lambda x, y: x @ y.T, of(256, 192), of(256, 192))
    halves = (
        lambda x, y: x @ y.T,
        of(256, 192, dtype=rv.bfloat16), of(256, 192, dtype=rv.bfloat16),
    )  # fmt: skip
    pixels = (
        lambda x, w: F.conv2d(x, w, padding=1),
        of(2, 64, 16, 16, last=True, dtype=rv.bfloat16), of(128, 64, 3, 3, dtype=rv.bfloat16),
    )  # fmt: skip
    layer = (F.linear, of(128, 200), of(120, 200), of(120))
    return {
        "matmul": both(*ab),
        "matmul, ragged": one(lambda x, y: x @ y, of(99, 101), of(101, 103)),
        "matmul TF32": at("high", both(*ab)),
        "matmul bfloat16": both(*half),
        "matmul tf32x3": at("highest", one(*ab), "tf32x3"),
        "matmul bfloat16, hopper": at("highest", one(*halves), "hopper"),
        "matmul TF32, hopper": at("high", one(*turned), "hopper"),
        "matmul bfloat16, hopper_narrow": at("highest", one(*halves), "hopper", "hopper_narrow"),
        "matmul bfloat16, hopper_gather": at("highest", one(*half), "hopper", "hopper_gather"),
        "conv2d bfloat16, hopper_gather": at("highest", both(*pixels), "hopper", "hopper_gather"),
        "conv2d bfloat16, hopper_im2col": at("highest", one(*pixels), "hopper", "hopper_im2col"),
        "matmul batch": both(lambda x, y: x @ y, of(8, 64, 48), of(8, 48, 64)),
        "matrix by vector": one(lambda x, y: x @ y, of(512, 256), of(256)),
        "vector by matrix": one(lambda x, y: x @ y, of(256), of(256, 512)),
        "linear": both(*layer),
        "linear TF32": at("high", both(*layer)),
        "lstm": both(_recurrent(F.lstm, 4), of(12, 16, 24), of(192, 24), of(192, 48)),
        "lstm, hopper": at(
            "highest",
            both(_recurrent(F.lstm, 4), of(6, 16, 24), of(256, 24), of(256, 64)), "hopper_lstm",
        ),
        "gru": both(_recurrent(F.gru, 3), of(12, 16, 24), of(144, 24), of(144, 48)),
        "rnn": both(_recurrent(F.rnn, 1), of(12, 16, 24), of(48, 24), of(48, 48)),
        "embedding": both(F.embedding, to(1000, 1024), of(1000, 64)),
        "gather": both(lambda x, i: F.gather(x, 1, i), of(256, 256), to(256, 256, 64)),
        "scatter_add": one(
            lambda x, i, s: F.scatter_add(x, 1, i, s), of(256, 256), to(256, 256, 64), of(256, 64)
        ),
        "index_select": both(lambda x, i: F.index_select(x, 0, i), of(512, 64), to(512, 512)),
        "index": both(lambda x, i: x[:, i], of(256, 256), to(256, 100)),
    }  # fmt: skip


def _recurrent(f: Callable[..., Any], gates: int) -> Callable[..., Any]:
    def run(x: rv.Tensor, w: rv.Tensor, u: rv.Tensor) -> rv.Tensor:
        return f(x, None, w, u)[0]

    return run


def cases() -> dict[str, Case]:
    """All of them, by name."""
    return _elementwise() | _rows() | _images() | _products()
