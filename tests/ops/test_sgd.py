"""The kernel behind optim.SGD: three steps of every rule, any layout, many parameters at once."""

from functools import cache
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier import _core
from ranvier.reference import sgd as ref
from tests.harness import Case, N, OpTests, host, normal

pytestmark = pytest.mark.kernels

HYPER = ("lr", "momentum", "dampening", "weight_decay", "nesterov")


def arrays(*tensors: rv.Tensor) -> list[Any]:
    return [t.data for t in tensors]


def hyper_of(p: rv.Tensor, **options: float) -> Any:
    return _hyper(str(p.device), *(float(options.get(name, 0)) for name in HYPER), 0.0)


@cache  # made once, because a captured step takes no values from the host
def _hyper(device: str, *numbers: float) -> Any:
    return rv.tensor(list(numbers), dtype="float64", device=device).data


def counts(p: rv.Tensor, *taken: int) -> rv.Tensor:
    return rv.tensor(list(taken), dtype="int64", device=p.device)


def descend(p: rv.Tensor, *grads: rv.Tensor, **options: float) -> tuple[rv.Tensor, ...]:
    """Parameter and velocity after one step for each gradient."""
    hyper = hyper_of(p, **options)
    q, v, taken = p.clone(), rv.zeros_like(p), rv.zeros(1, dtype="int64", device=p.device)
    buffers = arrays(v) if options.get("momentum") else []
    for g in grads:
        _core.sgd_step(arrays(q), arrays(g), buffers, hyper, taken.data)
    return (q, v) if buffers else (q,)


def descend_reference(p: np.ndarray, *grads: np.ndarray, **options: float) -> Any:
    state: dict[str, Any] = {}
    for g in grads:
        p, state = ref.sgd(p, g, state, **options)
    return (p, state["velocity"]) if state else (p,)


def terms(p: np.ndarray, *grads: np.ndarray, lr: float, **options: float) -> Any:
    """The sum of the absolute values of all terms: the reference uphill from |p| along |g|."""
    return descend_reference(np.abs(p), *map(np.abs, grads), lr=-lr, **options)


def case(*shape: int, **options: float) -> Case:
    inputs = [normal(*shape) for _ in range(4)]
    return Case(descend, descend_reference, *inputs, options=options, n=12, magnitude=terms,
                gradient=False)  # fmt: skip


RULES: list[dict[str, float]] = [
    {"lr": 0.1},
    {"lr": 0.1, "weight_decay": 0.5},
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.1, "momentum": 0.9, "dampening": 0.25, "weight_decay": 0.1},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
]


class TestSgd(OpTests):
    cases = [
        *(case(N, 5, 3, **options) for options in RULES),
        case(**RULES[2]),
        case(2, 3, 4, 5, **RULES[3]),
        case(67, 2053, **RULES[4]),
    ]


def test_many_parameters_are_stepped_as_if_alone():
    rng = np.random.default_rng(0)
    shapes = [(7, 33), (), (0, 3), (2, 3, 4, 5), (1000,)]
    options = RULES[3]
    ps = [rv.tensor(rng.standard_normal(s).astype(np.float32)) for s in shapes]
    gs = [rv.tensor(rng.standard_normal(s).astype(np.float32)) for s in shapes]
    alone = [host(descend(p, g, g, **options)[0]).tobytes() for p, g in zip(ps, gs, strict=True)]
    vs, taken = [rv.zeros_like(p) for p in ps], counts(ps[0], *[0] * len(ps))
    for _ in range(2):
        _core.sgd_step(
            arrays(*ps), arrays(*gs), arrays(*vs), hyper_of(ps[0], **options), taken.data
        )
    assert [host(p).tobytes() for p in ps] == alone
    assert taken.tolist() == [2] * len(ps)


def test_the_first_step_does_not_read_the_velocity():
    p, v = rv.ones(2), rv.full((2,), np.nan)
    hyper = hyper_of(p, lr=1.0, momentum=0.9, dampening=0.5)
    _core.sgd_step(arrays(p), arrays(rv.ones(2)), arrays(v), hyper, counts(p, 0).data)
    assert p.tolist() == [0.0, 0.0]
    assert v.tolist() == [1.0, 1.0]


def test_errors():
    p, g, hyper = rv.ones(2), rv.ones(2), hyper_of(rv.ones(1), lr=1.0)
    taken = counts(p, 0).data

    def step(params, grads, buffers=(), hyper=hyper, steps=taken):
        _core.sgd_step(arrays(*params), arrays(*grads), arrays(*buffers), hyper, steps)

    with pytest.raises(ValueError, match=r"\[sgd\] expected a gradient of shape \(2,\)"):
        step([p], [rv.ones(3)])
    with pytest.raises(TypeError, match=r"\[sgd\] expected a gradient of dtype float32"):
        step([p], [rv.ones(2, dtype="float64")])
    with pytest.raises(ValueError, match=r"\[sgd\] expected 1 gradients, got 2"):
        step([p], [g, g])
    with pytest.raises(ValueError, match=r"\[sgd\] expected 1 momentum buffers, got 2"):
        step([p], [g], [g, g])
    with pytest.raises(ValueError, match=r"\[sgd\] expected a momentum buffer of shape"):
        step([p], [g], [rv.ones(3)])
    with pytest.raises(ValueError, match=r"\[sgd\] expected hyper of 6 float64 numbers"):
        step([p], [g], hyper=rv.ones(6).data)
    with pytest.raises(ValueError, match=r"\[sgd\] expected steps of 1 int64 numbers"):
        step([p], [g], steps=counts(p, 0, 0).data)
    with pytest.raises(TypeError, match=r"\[sgd\] expected .*float"):
        step([counts(p, 1)], [counts(p, 1)])
    assert p.tolist() == [1.0, 1.0], "a refused step changes nothing"


def test_an_expanded_parameter_is_refused():
    p = rv.zeros(1).expand(3).requires_grad_()
    p.grad = rv.ones(3)
    with pytest.raises(ValueError, match=r"\[sgd\] expected a target with a place"):
        rv.optim.SGD([p], lr=0.1).step()
