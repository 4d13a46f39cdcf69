"""Initial values: bounds, spreads, seeds."""

import math

import numpy as np
import pytest

import ranvier as rv
from ranvier import nn
from ranvier.nn import init


@pytest.fixture(autouse=True)
def _seed():
    rv.manual_seed(0)


def test_fans():
    assert init.fans(rv.empty(7, 5)) == (5, 7)
    assert init.fans(rv.empty(8, 4, 3, 5)) == (60, 120)
    with pytest.raises(ValueError, match="a bias has no fan"):
        init.fans(rv.empty(3))


UNIFORM = [
    (init.xavier_uniform_, {}, math.sqrt(6 / (300 + 200))),
    (init.xavier_uniform_, {"gain": 5 / 3}, 5 / 3 * math.sqrt(6 / 500)),
    (init.kaiming_uniform_, {"nonlinearity": "relu"}, math.sqrt(6 / 300)),
    (init.kaiming_uniform_, {"mode": "fan_out"}, math.sqrt(2) * math.sqrt(3 / 200)),
    (init.kaiming_uniform_, {"a": math.sqrt(5)}, 1 / math.sqrt(300)),
    (init.lecun_uniform_, {}, math.sqrt(3 / 300)),
    (init.uniform_, {"low": -2.0, "high": 2.0}, 2.0),
]


@pytest.mark.parametrize(("fill", "options", "bound"), UNIFORM)
def test_uniform(fill, options, bound):
    w = fill(rv.empty(200, 300), **options).numpy()
    assert np.abs(w).max() <= bound
    assert np.abs(w).max() > 0.99 * bound
    se = bound / math.sqrt(3) / math.sqrt(w.size)
    assert abs(w.mean()) < 4 * se
    assert abs(w.std() - bound / math.sqrt(3)) < 4 * se


NORMAL = [
    (init.xavier_normal_, {}, math.sqrt(2 / 500)),
    (init.kaiming_normal_, {"nonlinearity": "relu"}, math.sqrt(2 / 300)),
    (init.kaiming_normal_, {"a": 1.0, "mode": "fan_out"}, math.sqrt(1 / 200)),
    (init.lecun_normal_, {}, math.sqrt(1 / 300)),
    (init.normal_, {"std": 3.0}, 3.0),
]


@pytest.mark.parametrize(("fill", "options", "std"), NORMAL)
def test_normal(fill, options, std):
    w = fill(rv.empty(200, 300), **options).numpy()
    assert abs(w.mean()) < 4 * std / math.sqrt(w.size)
    assert abs(w.std() - std) < 4 * std / math.sqrt(2 * w.size)


def test_constants_and_names():
    w = nn.Parameter(np.ones((2, 3), np.float32))
    assert init.zeros_(w) is w
    assert w.tolist() == [[0.0] * 3] * 2
    assert init.ones_(w).tolist() == [[1.0] * 3] * 2
    assert init.constant_(w, 2.5).tolist() == [[2.5] * 3] * 2
    assert w.requires_grad
    assert init.he_normal_ is init.kaiming_normal_
    assert init.glorot_uniform_ is init.xavier_uniform_


def test_gains():
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu", 0.0) == math.sqrt(2)
    assert init.calculate_gain("leaky_relu") == pytest.approx(math.sqrt(2 / (1 + 1e-4)))
    with pytest.raises(ValueError, match="got 'swish'"):
        init.calculate_gain("swish")
    with pytest.raises(ValueError, match="fan_in"):
        init.kaiming_normal_(rv.empty(2, 2), mode="fan")


def test_the_seed_decides():
    def weights():
        rv.manual_seed(5)
        return nn.Linear(20, 30).weight.numpy().copy()

    assert (weights() == weights()).all()
    rv.manual_seed(6)
    assert (nn.Linear(20, 30).weight.numpy() != weights()).any()


def test_dtype_is_kept():
    assert init.normal_(rv.empty(3, 3, dtype=rv.float64)).dtype is rv.float64


def test_layers_begin_as_documented():
    fc = nn.Linear(400, 300)
    for p in (fc.weight, fc.bias):
        assert np.abs(p.numpy()).max() <= 1 / 20
        assert np.abs(p.numpy()).max() > 0.98 / 20
    conv = nn.Conv2d(8, 200, 3, groups=2)
    for p in (conv.weight, conv.bias):
        assert np.abs(p.numpy()).max() <= 1 / 6
        assert np.abs(p.numpy()).max() > 0.95 / 6
    table = nn.Embedding(100, 100).weight.numpy()
    assert abs(table.std() - 1) < 0.03


@pytest.mark.parametrize(("mean", "std", "a", "b"), [(0, 1, -2, 2), (1, 2, 0, 2), (0, 0.02, -2, 2)])
def test_cut_normal(mean, std, a, b):
    """Moments and quantiles are those of the cut density, summed on a fine grid."""
    w = init.trunc_normal_(rv.empty(200, 300, dtype=rv.float64), mean, std, a, b).numpy()
    assert a <= w.min() <= w.max() <= b
    x = np.linspace(max(a, mean - 9 * std), min(b, mean + 9 * std), 200_001)
    density = np.exp(-(((x - mean) / std) ** 2) / 2)
    density /= density.sum()
    middle = (x * density).sum()
    spread = math.sqrt(((x - middle) ** 2 * density).sum())
    assert abs(w.mean() - middle) < 4 * spread / math.sqrt(w.size)
    assert abs(w.std() - spread) < 4 * spread / math.sqrt(2 * w.size)
    for q in (0.1, 0.5, 0.9):
        share = (w < x[np.searchsorted(density.cumsum(), q)]).mean()
        assert abs(share - q) < 4 * math.sqrt(q * (1 - q) / w.size)


def test_cut_normal_refuses_nothing_to_draw_from():
    for options in ({"std": 0.0}, {"a": 1.0, "b": -1.0}, {"a": 3.0, "b": 9.0}, {"std": math.nan}):
        with pytest.raises(
            ValueError, match=r"\[trunc_normal_\] expected one normal draw in twenty"
        ):
            init.trunc_normal_(rv.empty(3), **options)


@pytest.mark.parametrize(
    "shape", [(40, 40), (99, 70), (12, 30), (30, 12), (8, 3, 2, 2), (1, 5), (5, 1)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_orthogonal(shape, dtype):
    w = init.orthogonal_(nn.Parameter(rv.empty(*shape, dtype=dtype)), gain=0.5)
    assert w.shape == shape
    q = w.detach().numpy().reshape(shape[0], -1).astype(np.float64) / 0.5
    q = q if q.shape[0] <= q.shape[1] else q.T
    rounding = 40 * np.finfo(dtype).eps
    np.testing.assert_allclose(q @ q.T, np.eye(len(q)), rtol=0, atol=rounding)


def test_orthogonal_matrices_are_all_as_likely():
    """Of the rotations and reflections of the plane: half of each, and the angle is uniform."""
    q = np.array([init.orthogonal_(rv.empty(2, 2)).tolist() for _ in range(800)])
    assert abs((np.linalg.det(q) > 0).mean() - 0.5) < 4 * 0.5 / math.sqrt(800)
    turns = np.sort(np.arctan2(q[:, 0, 1], q[:, 0, 0]) / (2 * np.pi) + 0.5)
    assert np.abs(turns - np.arange(800) / 800).max() < 1.95 / math.sqrt(800)  # Kolmogorov, 0.1 %


def test_a_bias_is_not_orthogonal():
    with pytest.raises(ValueError, match=r"\[orthogonal_\] expected a weight of shape"):
        init.orthogonal_(rv.empty(3))
