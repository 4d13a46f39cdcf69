"""Mixed precision: which op answers in which type, gradients, training, captured steps."""

import threading

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier import nn, optim
from tests.harness import devices, host

LOWER = [rv.bfloat16, rv.float16]
UNIT = {rv.bfloat16: 2.0**-8, rv.float16: 2.0**-11}


@pytest.fixture(params=devices())
def device(request):
    return request.param


def draw(device, *shape, seed=0, **options):
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return rv.tensor(values, device=device, **options)


LOW = {
    "linear": lambda x: F.linear(x, x),
    "matmul": lambda x: x @ x,
    "einsum": lambda x: rv.einsum("ij,jk->ik", x, x),
    "conv1d": lambda x: F.conv1d(x[None], x[None][:, :, :2]),
    "conv2d": lambda x: F.conv2d(x[None, None], x[None, None, :2, :2]),
    "conv3d": lambda x: F.conv3d(x[None, None, None], x[None, None, None, :2, :2]),
    "conv_transpose2d": lambda x: F.conv_transpose2d(x[None, None], x[None, None, :2, :2]),
    "prelu": lambda x: F.prelu(x, x[0]),
}
FLOAT32 = {
    "softmax": lambda x: F.softmax(x),
    "log_softmax": lambda x: F.log_softmax(x),
    "cross_entropy": lambda x: F.cross_entropy(x, rv.tensor([0, 1, 2, 0], device=x.device)),
    "nll_loss": lambda x: F.nll_loss(x, rv.tensor([0, 1, 2, 0], device=x.device)),
    "mse_loss": lambda x: F.mse_loss(x, x.detach() * 0.5),
    "l1_loss": lambda x: F.l1_loss(x, x.detach() * 0.5),
    "binary_cross_entropy_with_logits": lambda x: F.binary_cross_entropy_with_logits(
        x, (x.detach() * x.detach()).clip(0.0, 1.0)
    ),
    "layer_norm": lambda x: F.layer_norm(x, (4,)),
    "group_norm": lambda x: F.group_norm(x, 2),
    "exp": lambda x: x.exp(),
    "log": lambda x: (x * x + 1.0).log(),
    "pow": lambda x: (x * x + 1.0) ** 1.5,
    "over": lambda x: 1.0 / (x * x + 1.0),
    "softplus": lambda x: F.softplus(x),
    "sum": lambda x: x.sum(),
    "prod": lambda x: x.prod(dim=1),
    "cumsum": lambda x: x.cumsum(0),
    "norm": lambda x: rv.norm(x),
    "logsumexp": lambda x: x.logsumexp(1),
}
AS_GIVEN = {
    "relu": lambda x: F.relu(x),
    "gelu": lambda x: F.gelu(x),
    "tanh": lambda x: x.tanh(),
    "sigmoid": lambda x: x.sigmoid(),
    "add": lambda x: x + x,
    "number": lambda x: 2.0 * x - 1.0,
    "multiply": lambda x: x * x,
    "mean": lambda x: x.mean(),
    "max": lambda x: x.max(),
    "reshape": lambda x: x.reshape(2, 8),
    "transpose": lambda x: x.T,
    "slice": lambda x: x[1:, ::2],
    "cat": lambda x: rv.cat([x, x], 1),
    "where": lambda x: rv.where(rv.tensor([True, False, True, False], device=x.device), x, 2.0 * x),
    "clip": lambda x: x.clip(-0.5, 0.5),
    "dropout": lambda x: F.dropout(x, 0.0),
    "max_pool2d": lambda x: F.max_pool2d(x[None, None], 2),
    "avg_pool2d": lambda x: F.avg_pool2d(x[None, None], 2),
    "interpolate": lambda x: F.interpolate(x[None, None], scale_factor=2),
    "pad": lambda x: F.pad(x, (1, 1)),
}


@pytest.mark.parametrize("dtype", LOWER)
class TestRules:
    @pytest.mark.parametrize("name", LOW)
    def test_products_are_lower(self, name, dtype, device):
        x = draw(device, 4, 4, requires_grad=True)
        plain = LOW[name](x)
        with rv.autocast(dtype):
            y = LOW[name](x)
        assert y.dtype == dtype
        scale = float(np.abs(host(plain.detach())).max())
        np.testing.assert_allclose(
            host(y.detach().to(rv.float32)), host(plain.detach()), atol=16 * UNIT[dtype] * scale
        )
        y.backward(rv.ones_like(y))
        assert x.grad.dtype == rv.float32

    @pytest.mark.parametrize("name", FLOAT32)
    def test_sensitive_ops_are_float32(self, name, dtype, device):
        x = draw(device, 4, 4).to(dtype)
        x.requires_grad = True
        wide = x.detach().to(rv.float32)
        wide.requires_grad = True
        with rv.autocast(dtype):
            y = FLOAT32[name](x)
        plain = FLOAT32[name](wide)
        assert y.dtype == rv.float32
        np.testing.assert_allclose(
            host(y.detach()), host(plain.detach()), rtol=0.02, atol=8 * UNIT[dtype]
        )
        y.backward(rv.ones_like(y))
        plain.backward(rv.ones_like(plain))
        assert x.grad.dtype == dtype
        limit = 16 * UNIT[dtype] * max(1.0, float(np.abs(host(wide.grad)).max()))
        np.testing.assert_allclose(host(x.grad.to(rv.float32)), host(wide.grad), atol=limit)

    @pytest.mark.parametrize("name", AS_GIVEN)
    def test_others_keep_the_type(self, name, dtype, device):
        x = draw(device, 4, 4).to(dtype)
        x.requires_grad = True
        wide = x.detach().to(rv.float32)
        wide.requires_grad = True
        with rv.autocast(dtype):
            y = AS_GIVEN[name](x)
            assert AS_GIVEN[name](wide.detach()).dtype == rv.float32
        plain = AS_GIVEN[name](wide)
        assert y.dtype == dtype
        np.testing.assert_allclose(
            host(y.detach().to(rv.float32)), host(plain.detach()), rtol=2 * UNIT[dtype]
        )
        y.backward(rv.ones_like(y))
        plain.backward(rv.ones_like(plain))
        assert x.grad.dtype == dtype
        np.testing.assert_allclose(
            host(x.grad.to(rv.float32)), host(wide.grad), atol=16 * UNIT[dtype]
        )

    def test_the_wider_type_wins(self, dtype, device):
        x = draw(device, 3)
        with rv.autocast(dtype):
            assert (x.to(dtype) + x).dtype == rv.float32
            assert (x.to(dtype) + x.to(dtype)).dtype == dtype

    def test_norms_with_running_statistics_answer_in_the_type_of_x(self, dtype, device):
        norm = nn.BatchNorm2d(3).to(device)
        plain = nn.BatchNorm2d(3).to(device)
        x = draw(device, 4, 3, 2, 2)
        with rv.autocast(dtype):
            y = norm(x.to(dtype))
        expected = plain(x.to(dtype).to(rv.float32))
        assert y.dtype == dtype
        assert norm.running_mean.tolist() == plain.running_mean.tolist()
        assert host(y.to(rv.float32)).tolist() == host(
            expected.detach().to(dtype).to(rv.float32)
        ).tolist()  # fmt: skip


def test_float64_and_integers_are_left_alone():
    with rv.autocast():
        x = rv.ones(2, 2, dtype=rv.float64)
        assert (x @ x).dtype == rv.float64
        n = rv.ones(2, 2, dtype=rv.int64)
        assert (n @ n).dtype == rv.int64
        assert n.sum().dtype == rv.int64


def test_scopes():
    x = rv.ones(2, 2)
    assert rv.autocast_dtype() is None
    with rv.autocast():
        assert rv.autocast_dtype() == rv.bfloat16
        with rv.autocast(enabled=False):
            assert rv.autocast_dtype() is None
            assert (x @ x).dtype == rv.float32
        with rv.autocast(rv.float16):
            assert (x @ x).dtype == rv.float16
        with rv.no_grad():
            assert (x @ x).dtype == rv.bfloat16
        assert (x @ x).dtype == rv.bfloat16
        found = []
        other = threading.Thread(target=lambda: found.append((x @ x).dtype))
        other.start()
        other.join()
        assert found == [rv.float32]
    assert (x @ x).dtype == rv.float32
    with pytest.raises(ValueError, match="shapes"), rv.autocast():
        x @ rv.ones(3, 3)
    assert rv.autocast_dtype() is None

    @rv.autocast()
    def decorated(x):
        return x @ x

    assert decorated(x).dtype == rv.bfloat16


def test_only_two_types():
    with pytest.raises(TypeError, match=r"\[autocast\] expected rv.bfloat16 or rv.float16"):
        rv.autocast(rv.float32).__enter__()


def test_backward_keeps_values_in_half_the_memory():
    """ReLU needs its result; it must not be kept in float32 beside it."""
    x = rv.ones(4, 4, dtype=rv.bfloat16, requires_grad=True)
    with rv.autocast():
        y = F.relu(x)
    (kept,) = y.node.saved
    assert kept is y.data


def test_a_used_result_gets_the_sum_of_its_gradients():
    x = rv.ones(2, 2, requires_grad=True)
    with rv.autocast():
        y = x @ x
        z = (F.relu(y) + y + y * 3.0).sum()
    z.backward()
    plain = rv.ones(2, 2, requires_grad=True)
    ((plain @ plain) * 5.0).sum().backward()
    assert x.grad.tolist() == plain.grad.tolist()


def test_leaves_of_half_precision_accumulate():
    x = rv.ones(3, dtype=rv.bfloat16, requires_grad=True)
    for _ in range(3):
        with rv.autocast():
            (x * 2.0).sum().backward()
    assert x.grad.to(rv.float32).tolist() == [6.0] * 3


def test_a_changed_value_is_noticed():
    x = rv.ones(3, dtype=rv.bfloat16, requires_grad=True)
    y = x.detach().to(rv.bfloat16)
    with rv.autocast():
        z = (x * y).sum()
    y.copy_(rv.zeros(3, dtype=rv.bfloat16))
    with pytest.raises(RuntimeError, match="changed in place"):
        z.backward()


def net():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 16), nn.LayerNorm(16), nn.Tanh(), nn.Linear(16, 4),
    )  # fmt: skip


def train(device, steps, mixed, inside=True, captured=False):
    rv.manual_seed(0)
    model = net().to(device)
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    x = draw(device, 16, 1, 8, 8, seed=1)
    t = rv.tensor(np.arange(16) % 4, device=device)

    def step(x, t):
        optimizer.zero_grad()
        with rv.autocast(enabled=mixed and inside) if inside else rv.enable_grad():
            loss = F.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    run = rv.capture(step) if captured else step
    losses = []
    for _ in range(steps):
        if inside:
            losses.append(run(x, t).item())
        else:
            with rv.autocast(enabled=mixed):
                losses.append(run(x, t).item())
    assert {p.dtype for p in model.parameters()} == {rv.float32}
    return losses


def test_training_follows_float32(device):
    steps = 12 if device == "cpu" else 3
    plain, mixed = train(device, steps, False), train(device, steps, True)
    assert mixed[-1] < mixed[0]
    np.testing.assert_allclose(mixed, plain, rtol=0.1, atol=0.02)
    assert mixed != plain


@pytest.mark.parametrize("inside", [True, False])
def test_captured_steps_have_the_same_bits(device, inside):
    eager = train(device, 5, True, inside)
    assert train(device, 5, True, inside, captured=True) == eager


def test_a_captured_step_is_recorded_for_each_setting():
    x = draw("cpu", 4, 4)
    step = rv.capture(lambda x: (x @ x).to(rv.float32))
    plain = [step(x).tolist() for _ in range(3)][-1]
    with rv.autocast():
        mixed = [step(x).tolist() for _ in range(3)]
    assert mixed[0] == mixed[2] != plain
    assert step(x).tolist() == plain


@pytest.mark.parametrize("captured", [True, False])
def test_fit_trains_in_mixed_precision(captured):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 64)
    x = (rng.standard_normal((64, 1, 8, 8)) + 2 * y[:, None, None, None]).astype(np.float32)
    rv.manual_seed(0)
    model, seen = net(), []
    model.forward = lambda x, plain=model.forward: seen.append(plain(x)) or seen[-1]
    with rv.autocast():
        history = rv.train.fit(
            model, (x, y), 6, optim.Adam(model.parameters(), lr=1e-2),
            validation=(x, y), seed=0, capture=captured, verbose=0,
        )  # fmt: skip
    assert {out.dtype for out in seen} == {rv.bfloat16}
    assert history["loss"][-1] < history["loss"][0]
    assert history["val_accuracy"][-1] > 0.8


def test_pytorchs_ways_to_ask():
    for context in (
        rv.autocast("cuda", dtype=rv.float16),
        rv.autocast(device_type="cpu", dtype=rv.float16),
        rv.autocast(rv.float16, True),
    ):
        with context:
            assert rv.autocast_dtype() is rv.float16
    with rv.autocast("cpu"):
        assert rv.autocast_dtype() is rv.bfloat16
    with rv.autocast(rv.float16, False):
        assert rv.autocast_dtype() is None
    with pytest.raises(TypeError, match=r"expected rv\.bfloat16 or rv\.float16, got 'tpu'"):
        rv.autocast("tpu").__enter__()
