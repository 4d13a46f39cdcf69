"""The kernel behind optim.SGD: three steps of every rule, any layout, many parameters at once."""

import numpy as np
import pytest

import ranvier as rv
from ranvier import _core
from ranvier.reference import sgd as ref
from tests.harness import N, OpTests
from tests.steps import Rule

pytestmark = pytest.mark.kernels

USUAL = {"lr": 0.1, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}
SGD = Rule("sgd", _core.sgd_step, ref.sgd, USUAL, {"velocity": "momentum"}, ("momentum buffer",))
OPTIONS: list[dict[str, float]] = [
    {},
    {"weight_decay": 0.5},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.25, "weight_decay": 0.1},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
]


class TestSgd(OpTests):
    cases = [
        *(SGD.case(N, 5, 3, **options) for options in OPTIONS),
        SGD.case(**OPTIONS[2]),
        SGD.case(2, 3, 4, 5, **OPTIONS[3]),
        SGD.case(67, 2053, **OPTIONS[4]),
    ]


@pytest.mark.parametrize("options", OPTIONS)
def test_many_parameters_are_stepped_as_if_alone(options):
    SGD.check_many(**options)


def test_the_first_step_does_not_read_the_velocity():
    p, v = rv.ones(2), rv.full((2,), np.nan)
    taken = rv.zeros(1, dtype="int64")
    options = {"lr": 1.0, "momentum": 0.9, "dampening": 0.5}
    SGD.step([p], [rv.ones(2)], {"velocity": [v]}, taken, **options)
    assert p.tolist() == [0.0, 0.0]
    assert v.tolist() == [1.0, 1.0]


def test_errors():
    SGD.check_errors(momentum=0.5)
    whole = [rv.ones(1, dtype="int64")]
    with pytest.raises(TypeError, match=r"\[sgd\] expected .*float"):
        SGD.step(whole, whole, {}, rv.zeros(1, dtype="int64"))


def test_an_expanded_parameter_is_refused():
    p = rv.zeros(1).expand(3).requires_grad_()
    p.grad = rv.ones(3)
    with pytest.raises(ValueError, match=r"\[sgd\] expected a target with a place"):
        rv.optim.SGD([p], lr=0.1).step()
