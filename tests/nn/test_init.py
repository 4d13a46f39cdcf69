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
