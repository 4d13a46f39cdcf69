"""Batch normalization: statistics of the batch and running ones, of every layout."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import batch_norm as ref
from ranvier.reference._normalize import channel_sums, per_channel
from tests.harness import Case, Input, N, OpTests, Raises, check, host, integers, normal, uniform
from tests.norm_bounds import ROUNDINGS, Sizes, sizes

pytestmark = pytest.mark.kernels


def _sizes(x, rm, rv_, w, b, training=False, momentum=0.1, eps=1e-5, grad=None) -> Sizes:
    weight, bias = per_channel(w, x, 1.0), per_channel(b, x, 0.0)
    if training:
        moved = np.moveaxis(x, 1, 0).shape
        return sizes(
            x, weight, bias, eps,
            lambda a: np.moveaxis(a, 1, 0).reshape(x.shape[1], -1),
            lambda a: np.moveaxis(a.reshape(moved), 0, 1), grad,
        )  # fmt: skip
    scale = 1.0 / np.sqrt(per_channel(rv_, x, 1.0) + eps)
    n = np.abs((x - per_channel(rm, x, 0.0)) * scale)
    g = np.zeros(x.shape) if grad is None else np.abs(grad)
    return Sizes(np.abs(weight) * n + np.abs(bias), g * np.abs(weight) * scale, g * n, g)


def magnitude(*args, **options):
    return _sizes(*args, **options).value


def grad_magnitude(grad, *args, **options):
    s = _sizes(*args, **options, grad=grad)
    return s.dx, None, None, channel_sums(s.dweight), channel_sums(s.dbias)


def case(
    x: Input,
    affine: bool = True,
    training: bool = True,
    dtypes: tuple[str, ...] = ("float32", "float64"),
    **options: object,
) -> Case:
    c = x.shape[1]
    statistics = (None, None)
    if not training:
        statistics = (normal(c).constant(), uniform(0.2, 2.0, c).constant())
    scale = (normal(c), normal(c)) if affine else (None, None)
    return Case(
        F.batch_norm, ref.batch_norm, x, *statistics, *scale,
        options={"training": training, **options}, n=ROUNDINGS,
        magnitude=magnitude, grad_magnitude=grad_magnitude, dtypes=dtypes,
    )  # fmt: skip


class TestBatchNorm(OpTests):
    cases = [
        *(case(normal(*shape), affine)
          for shape in [(2, 1), (5, 3), (40, 65), (3, 4, 5), (2, 6, 5, 7), (2, 3, 2, 3, 4)]
          for affine in (False, True)),
        case(normal(4, 3, 5, 5), eps=0.1),
        case(normal(1, 16, 5, 5)),
        case(normal(2, 39, 9, 17)),
        case(normal(2, 600, 3, 3)),  # more than one block of columns
        case(normal(2, 5, 3, 3, mean=100.0), dtypes=("float32",)),  # float64 cancels in NumPy
        *(case(normal(*shape), affine, training=False)
          for shape in [(N, 3), (N, 4, 5), (N, 6, 5, 7), (N, 3, 2, 3, 4), (N, 80, 3, 3)]
          for affine in (False, True)),
        # large enough to be split among threads
        case(normal(9, 24, 37, 41)),
        case(normal(9, 3, 67, 71), training=False),
        # planes: short ones, and some of more than one piece
        *(case(normal(*shape)) for shape in [(3, 5, 8, 8), (2, 3, 91, 97), (1, 2, 8, 8)]),
        *(case(normal(*shape), training=False)
          for shape in [(N, 5, 8, 8), (N, 7, 65), (2, 3, 91, 97)]),
    ]  # fmt: skip
    errors = [
        Raises(ValueError, r"\[batch_norm\] expected at least 2 values.*got 1.*DataLoader.*eval",
               F.batch_norm, normal(1, 3), None, None, options={"training": True}),
        Raises(ValueError, r"\[batch_norm\] expected at least 2 values.*got 0",
               F.batch_norm, normal(0, 3, 4, 4), None, None, options={"training": True}),
        Raises(ValueError, r"\[batch_norm\] expected running_mean and running_var.*got None",
               F.batch_norm, normal(2, 3), None, None),
        Raises(ValueError, r"\[batch_norm\] expected running_mean and running_var together",
               F.batch_norm, normal(2, 3), normal(3), None, options={"training": True}),
        Raises(ValueError, r"\[batch_norm\] expected weight of shape \(3,\).*got \(4,\)",
               F.batch_norm, normal(2, 3), None, None, normal(4), options={"training": True}),
        Raises(ValueError, r"\[batch_norm\] expected running_var of shape \(3,\).*got \(3, 1\)",
               F.batch_norm, normal(2, 3), normal(3), normal(3, 1)),
        Raises(ValueError, r"\[batch_norm\] expected x of shape \(N, C, ...\), got .*\(3,\)",
               F.batch_norm, normal(3), None, None, options={"training": True}),
        Raises(ValueError, r"\[batch_norm\] expected eps", F.batch_norm, normal(2, 3), None, None,
               options={"training": True, "eps": -1.0}),
        Raises(ValueError, r"\[batch_norm\] expected num_batches_tracked with momentum=None",
               F.batch_norm, normal(2, 3), normal(3), normal(3),
               options={"training": True, "momentum": None}),
        Raises(TypeError, r"\[batch_norm\] expected x of dtype float", F.batch_norm,
               integers(0, 9, 2, 3), None, None, options={"training": True}),
        Raises(TypeError, r"\[batch_norm\] expected bias of dtype float32, got float64",
               F.batch_norm, normal(2, 3), None, None, None, normal(3).typed("float64"),
               options={"training": True}),
    ]  # fmt: skip


@given(st.integers(1, 5), st.integers(1, 70), st.lists(st.integers(1, 6), max_size=3), st.data())
def test_any_shape(batch, channels, positions, data):
    training = data.draw(st.booleans()) and batch * int(np.prod(positions)) > 2
    affine = data.draw(st.booleans())
    check(case(normal(batch, channels, *positions), affine, training, eps=0.3))  # few numbers


@pytest.mark.parametrize("shape", [(64, 3), (4, 5, 9, 9), (6, 70, 11, 13)])
def test_g10_mean_zero_and_variance_v_over_v_plus_eps(shape):
    x = np.random.default_rng(0).normal(3.0, 2.0, shape)
    axes = (0, *range(2, x.ndim))
    for dtype in (np.float32, np.float64):
        y = host(F.batch_norm(rv.tensor(x.astype(dtype)), None, None, training=True, eps=0.01))
        v, eps = x.var(axis=axes), np.finfo(dtype).eps
        np.testing.assert_allclose(y.astype(float).mean(axis=axes), 0.0, atol=4 * eps)
        np.testing.assert_allclose(y.astype(float).var(axis=axes), v / (v + 0.01), rtol=16 * eps)


def test_statistics_far_from_zero_do_not_cancel():
    rng = np.random.default_rng(0)
    x = rng.normal(1e4, 1.0, (16, 20, 9, 9)).astype(np.float32)
    x[0, 0, 0, 0] = 1e6  # the first number is no help as a shift
    wide = x.astype(np.float64)
    expected = ref.batch_norm(wide, training=True)
    t = rv.tensor(x, requires_grad=True)
    y = F.batch_norm(t, None, None, training=True)
    np.testing.assert_allclose(host(y), expected, atol=2e-6, rtol=2e-6)
    grad = rng.standard_normal(x.shape).astype(np.float32)
    y.backward(rv.tensor(grad))
    expected = ref.batch_norm_backward(grad.astype(np.float64), wide, training=True)[0]
    np.testing.assert_allclose(host(t.grad), expected, atol=4e-6 * np.abs(expected).max())


@pytest.mark.parametrize("shape", [(5, 3), (4, 7, 5, 3), (3, 70, 4, 4)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_running_statistics(shape, dtype):
    rng, c = np.random.default_rng(1), shape[1]
    mean, var = np.zeros(c), np.ones(c)
    kept = [rv.from_numpy(np.zeros(2 * c, dtype)[::2]), rv.ones(c, dtype=dtype)]
    for _ in range(3):
        x = rng.normal(2.0, 3.0, shape).astype(dtype)
        F.batch_norm(rv.tensor(x), *kept, training=True, momentum=0.3)
        mean, var = ref.running_statistics(x.astype(np.float64), mean, var, 0.3)
        for a, e in zip(kept, (mean, var), strict=True):
            np.testing.assert_allclose(host(a), e, rtol=32 * np.finfo(dtype).eps)
    F.batch_norm(rv.tensor(x), *kept)
    np.testing.assert_allclose(host(kept[0]), mean, rtol=32 * np.finfo(dtype).eps)


def test_momentum_none_averages_all_batches():
    rng = np.random.default_rng(2)
    kept, count = [rv.zeros(3), rv.ones(3)], rv.tensor(0)
    batches = rng.normal(1.0, 2.0, (4, 6, 3)).astype(np.float32)
    for x in batches:
        F.batch_norm(rv.tensor(x), *kept, training=True, momentum=None, num_batches_tracked=count)
    assert count.item() == 4
    wide = batches.astype(np.float64)
    np.testing.assert_allclose(host(kept[0]), wide.mean(axis=(0, 1)), rtol=1e-6)
    np.testing.assert_allclose(host(kept[1]), wide.var(axis=1, ddof=1).mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("momentum", [0.2, None])
def test_a_replayed_step_advances_the_running_statistics(momentum):
    def state():
        return [rv.zeros(4), rv.ones(4), rv.tensor(0)]

    def step(x, kept):
        mean, var, count = kept
        return F.batch_norm(
            x, mean, var, training=True, momentum=momentum, num_batches_tracked=count
        )

    rng = np.random.default_rng(3)
    eager, captured = state(), state()
    replay = rv.capture(lambda x: step(x, captured))
    for i in range(5):
        x = rv.tensor(rng.standard_normal((6, 4, 3, 3)).astype(np.float32))
        assert host(replay(x)).tobytes() == host(step(x, eager)).tobytes()
        assert captured[2].item() == i + 1
        for a, b in zip(captured, eager, strict=True):
            assert host(a).tobytes() == host(b).tobytes()


def test_an_update_of_what_backward_needs_is_noticed():
    x = rv.tensor(np.ones((4, 2), np.float32), requires_grad=True)
    mean, var = rv.zeros(2), rv.ones(2)
    y = F.batch_norm(x, mean, var)
    F.batch_norm(x, mean, var, training=True)
    with pytest.raises(RuntimeError, match="changed"):
        y.sum().backward()


def test_constant_channels_give_the_bias():
    x = rv.full((4, 3, 5, 5), 0.1)
    y = F.batch_norm(x, None, None, rv.ones(3), rv.tensor([1.0, 2.0, 3.0]), training=True)
    assert (host(y) == np.array([1, 2, 3], np.float32).reshape(1, 3, 1, 1)).all()


def test_nan_stays_in_its_channel():
    x = np.random.default_rng(4).standard_normal((3, 5, 4, 4)).astype(np.float32)
    x[1, 2, 3, 0] = np.nan
    y = host(F.batch_norm(rv.tensor(x), None, None, training=True))
    assert np.isnan(y[:, 2]).all()
    assert not np.isnan(np.delete(y, 2, axis=1)).any()


def test_the_result_is_channels_last():
    y = F.batch_norm(rv.zeros(2, 3, 4, 5), rv.zeros(3), rv.ones(3))
    assert y.data.strides == (60, 1, 15, 3)


@pytest.mark.external
@pytest.mark.parametrize("training", [False, True])
def test_pytorch_agrees(training):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    for _ in range(60):
        c, dims = rng.integers(1, 40), rng.integers(0, 4)
        shape = (rng.integers(2, 6), c, *rng.integers(1, 7, dims))
        x, grad = rng.standard_normal(shape), rng.standard_normal(shape)
        w, b, mean, var = (rng.uniform(0.5, 2.0, c) for _ in range(4))
        theirs = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
        ours = [rv.tensor(a, requires_grad=True) for a in (x, w, b)]
        their_kept = [torch.tensor(a.copy()) for a in (mean, var)]
        our_kept = [rv.tensor(a.copy()) for a in (mean, var)]
        expected = torch.nn.functional.batch_norm(
            theirs[0], *their_kept, *theirs[1:], training=training, momentum=0.3
        )
        y = F.batch_norm(ours[0], *our_kept, *ours[1:], training=training, momentum=0.3)
        expected.backward(torch.tensor(grad))
        y.backward(rv.tensor(grad))
        pairs = [(y, expected.detach()), *zip(our_kept, their_kept, strict=True)]
        pairs += [(a.grad, b.grad) for a, b in zip(ours, theirs, strict=True)]
        for a, e in pairs:
            np.testing.assert_allclose(host(a), e.numpy(), rtol=1e-9, atol=1e-10)


def test_running_statistics_without_a_place_each_are_refused():
    """An expanded view has one place for all channels."""
    x = rv.randn(4, 3, 5)
    for mean, var in ((rv.zeros(1).expand(3), rv.ones(3)), (rv.zeros(3), rv.ones(1).expand(3))):
        with pytest.raises(ValueError, match=r"\[batch_norm\] expected a target with a place"):
            F.batch_norm(x, mean, var, training=True)
