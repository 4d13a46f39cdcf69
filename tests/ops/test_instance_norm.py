"""Instance normalization: each channel of each sample by itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import instance_norm as ref
from ranvier.reference._normalize import channel_sums, per_channel
from tests.harness import Case, Input, N, OpTests, Raises, check, host, integers, normal, uniform
from tests.norm_bounds import ROUNDINGS, Sizes, sizes

pytestmark = pytest.mark.kernels


def _sizes(x, rm, rv_, w, b, use_input_stats=True, momentum=0.1, eps=1e-5, grad=None) -> Sizes:
    weight, bias = per_channel(w, x, 1.0), per_channel(b, x, 0.0)
    if use_input_stats:
        positions = int(np.prod(x.shape[2:]))
        return sizes(
            x, weight, bias, eps, lambda a: a.reshape(-1, positions),
            lambda a: a.reshape(x.shape), grad,
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


def case(x: Input, affine: bool = True, own: bool = True, **options: object) -> Case:
    c = x.shape[1]
    statistics = (None, None) if own else (normal(c).constant(), uniform(0.2, 2.0, c).constant())
    scale = (normal(c), normal(c)) if affine else (None, None)
    return Case(
        F.instance_norm, ref.instance_norm, x, *statistics, *scale,
        options={"use_input_stats": own, **options}, n=ROUNDINGS,
        magnitude=magnitude, grad_magnitude=grad_magnitude,
    )  # fmt: skip


class TestInstanceNorm(OpTests):
    cases = [
        *(case(normal(*shape), affine)
          for shape in [(N, 4, 5), (N, 6, 5, 7), (N, 3, 2, 3, 4), (N, 65, 3, 3), (N, 2, 40, 30)]
          for affine in (False, True)),
        case(normal(N, 3, 5, 5), eps=0.1),
        *(case(normal(*shape), own=False) for shape in [(N, 4, 5), (N, 6, 5, 7)]),
        case(normal(2, 3, 91, 97)),  # planes of more than one piece
        case(normal(N, 5, 8, 8), own=False),
        case(normal(5, 24, 61, 67)),  # large enough to be split among threads
    ]  # fmt: skip
    errors = [
        *(Raises(ValueError, r"\[instance_norm\] expected at least 2 positions.*got 1",
                 F.instance_norm, normal(*shape)) for shape in [(4, 3), (4, 3, 1, 1)]),
        Raises(ValueError, r"\[instance_norm\] expected running_mean and running_var.*got None",
               F.instance_norm, normal(2, 3, 4), options={"use_input_stats": False}),
        Raises(ValueError, r"\[instance_norm\] expected weight of shape \(3,\).*got \(1,\)",
               F.instance_norm, normal(2, 3, 4), None, None, normal(1)),
        Raises(TypeError, r"\[instance_norm\] expected x of dtype float", F.instance_norm,
               integers(0, 9, 2, 3, 4)),
    ]  # fmt: skip


@given(
    st.integers(1, 4), st.integers(1, 70), st.lists(st.integers(2, 6), min_size=1, max_size=3),
    st.booleans(),
)  # fmt: skip
def test_any_shape(batch, channels, positions, affine):
    check(case(normal(batch, channels, *positions), affine, eps=0.3))


def test_instances_do_not_see_each_other():
    x = np.random.default_rng(0).standard_normal((5, 7, 6, 9)).astype(np.float32)
    together = host(F.instance_norm(rv.tensor(x)))
    for i in range(5):
        assert (host(F.instance_norm(rv.tensor(x[i : i + 1]))) == together[i]).all()


def test_running_statistics():
    rng = np.random.default_rng(1)
    mean, var = np.zeros(3), np.ones(3)
    kept, count = [rv.zeros(3), rv.ones(3)], rv.tensor(0)
    for _ in range(3):
        x = rng.normal(2.0, 3.0, (4, 3, 5, 7)).astype(np.float32)
        F.instance_norm(rv.tensor(x), *kept, momentum=0.3, num_batches_tracked=count)
        mean, var = ref.running_statistics(x.astype(np.float64), mean, var, 0.3)
        for a, e in zip(kept, (mean, var), strict=True):
            np.testing.assert_allclose(host(a), e, rtol=4e-6)
    assert count.item() == 3


def test_contrast_and_brightness_of_an_image_do_not_matter():
    x = np.random.default_rng(2).standard_normal((1, 3, 8, 8))
    y = host(F.instance_norm(rv.tensor(x), eps=0.0))
    z = host(F.instance_norm(rv.tensor(5 * x + 7), eps=0.0))
    np.testing.assert_allclose(z, y, atol=1e-13)


@pytest.mark.external
@pytest.mark.parametrize("own", [False, True])
def test_pytorch_agrees(own):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    for _ in range(40):
        c = rng.integers(1, 40)
        shape = (rng.integers(1, 6), c, *rng.integers(2, 7, rng.integers(1, 4)))
        x, grad = rng.standard_normal(shape), rng.standard_normal(shape)
        w, b, mean, var = (rng.uniform(0.5, 2.0, c) for _ in range(4))
        theirs = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
        ours = [rv.tensor(a, requires_grad=True) for a in (x, w, b)]
        their_kept = [torch.tensor(a.copy()) for a in (mean, var)]
        our_kept = [rv.tensor(a.copy()) for a in (mean, var)]
        expected = torch.nn.functional.instance_norm(
            theirs[0], *their_kept, *theirs[1:], use_input_stats=own, momentum=0.3
        )
        y = F.instance_norm(ours[0], *our_kept, *ours[1:], use_input_stats=own, momentum=0.3)
        expected.backward(torch.tensor(grad))
        y.backward(rv.tensor(grad))
        pairs = [(y, expected.detach()), *zip(our_kept, their_kept, strict=True)]
        pairs += [(a.grad, b.grad) for a, b in zip(ours, theirs, strict=True)]
        for a, e in pairs:
            np.testing.assert_allclose(host(a), e.numpy(), rtol=1e-9, atol=1e-9)


def test_running_statistics_without_a_place_each_are_refused():
    """An expanded view has one place for all channels."""
    x = rv.randn(4, 3, 5)
    for mean, var in ((rv.zeros(1).expand(3), rv.ones(3)), (rv.zeros(3), rv.ones(1).expand(3))):
        with pytest.raises(ValueError, match=r"\[instance_norm\] expected a target with a place"):
            F.instance_norm(x, mean, var, use_input_stats=True)
