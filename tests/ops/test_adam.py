"""The kernel behind optim.Adam and AdamW: three steps, any layout, many parameters at once."""

from functools import cache
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier import _core
from ranvier.reference import adam as ref
from tests.harness import Case, N, OpTests, host, normal

pytestmark = pytest.mark.kernels

USUAL = {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "decoupled": False}


def arrays(*tensors: rv.Tensor) -> list[Any]:
    return [t.data for t in tensors]


def hyper_of(p: rv.Tensor, **options: Any) -> Any:
    o = {**USUAL, **options}
    numbers = [o["lr"], *o["betas"], o["eps"], o["weight_decay"], float(o["decoupled"]), 0.0]
    return _hyper(str(p.device), *numbers)


@cache  # made once, because a captured step takes no values from the host
def _hyper(device: str, *numbers: float) -> Any:
    return rv.tensor(list(numbers), dtype="float64", device=device).data


def counts(p: rv.Tensor, *taken: int) -> rv.Tensor:
    return rv.tensor(list(taken), dtype="int64", device=p.device)


def descend(p: rv.Tensor, *grads: rv.Tensor, **options: Any) -> tuple[rv.Tensor, ...]:
    """Parameter and both moments after one step for each gradient."""
    hyper = hyper_of(p, **options)
    q, m, v = p.clone(), rv.zeros_like(p), rv.zeros_like(p)
    taken = rv.zeros(1, dtype="int64", device=p.device)
    for g in grads:
        _core.adam_step(arrays(q), arrays(g), arrays(m), arrays(v), hyper, taken.data)
    return q, m, v


def descend_reference(p: np.ndarray, *grads: np.ndarray, **options: Any) -> Any:
    o = {**USUAL, **options}
    rule, state = (ref.adamw if o.pop("decoupled") else ref.adam), {}
    for g in grads:
        p, state = rule(p, g, state, **o)
    return p, state["m"], state["v"]


def terms(p: np.ndarray, *grads: np.ndarray, **options: Any) -> Any:
    """The sum of the absolute values of all terms: the reference uphill from |p| along |g|."""
    uphill = {**options, "lr": -options.get("lr", USUAL["lr"])}
    return descend_reference(np.abs(p), *map(np.abs, grads), **uphill)


def case(*shape: int, **options: Any) -> Case:
    inputs = [normal(*shape) for _ in range(4)]
    return Case(descend, descend_reference, *inputs, options=options, n=24, magnitude=terms,
                gradient=False)  # fmt: skip


RULES: list[dict[str, Any]] = [
    {},
    {"lr": 0.01, "betas": (0.5, 0.75), "eps": 1e-3},
    {"weight_decay": 0.1, "betas": (0.0, 0.9)},
    {"weight_decay": 0.3, "decoupled": True},
]


class TestAdam(OpTests):
    cases = [
        *(case(N, 5, 3, **options) for options in RULES),
        case(),
        case(2, 3, 4, 5, **RULES[1]),
        case(67, 2053, **RULES[3]),
    ]


def test_many_parameters_are_stepped_as_if_alone():
    rng = np.random.default_rng(0)
    shapes = [(7, 33), (), (0, 3), (2, 3, 4, 5), (1000,)]
    ps = [rv.tensor(rng.standard_normal(s).astype(np.float32)) for s in shapes]
    gs = [rv.tensor(rng.standard_normal(s).astype(np.float32)) for s in shapes]
    alone = [host(descend(p, g, g)[0]).tobytes() for p, g in zip(ps, gs, strict=True)]
    ms, vs = ([rv.zeros_like(p) for p in ps] for _ in range(2))
    taken = counts(ps[0], *[0] * len(ps))
    for _ in range(2):
        _core.adam_step(
            arrays(*ps), arrays(*gs), arrays(*ms), arrays(*vs), hyper_of(ps[0]), taken.data
        )
    assert [host(p).tobytes() for p in ps] == alone
    assert taken.tolist() == [2] * len(ps)


def test_the_first_step_is_the_learning_rate_along_the_sign():
    p, g = rv.zeros(4), rv.tensor([1e-3, -1.0, 1e4, -1e-6])
    moments = [rv.full((4,), np.nan) for _ in range(2)]  # not read in the first step
    taken = counts(p, 0)
    m, v = map(arrays, moments)
    _core.adam_step(arrays(p), arrays(g), m, v, hyper_of(p, eps=0.0), taken.data)
    np.testing.assert_allclose(host(p), [-0.1, 0.1, -0.1, 0.1], rtol=1e-6)
    assert taken.tolist() == [1]


def test_a_zero_gradient_moves_nothing():
    p, zero = rv.ones(3), rv.zeros(3)
    assert descend(p, zero, zero)[0].tolist() == [1.0, 1.0, 1.0]


def test_a_gradient_too_large_to_square_stops_its_parameter():
    """The second moment is infinite then; at every instruction-set level, in any lane."""
    g = rv.ones(37)
    g[[3, 36]] = 1e25
    g[20] = np.inf
    g[21] = np.nan
    for steps in (1, 2):
        q = host(descend(rv.ones(37), *[g] * steps)[0])
        assert q[[3, 36]].tolist() == [1.0, 1.0]
        assert np.isnan(q[[20, 21]]).all()
        assert np.allclose(np.delete(q, [3, 20, 21, 36]), 1 - 0.1 * steps)


def test_errors():
    p, g, hyper = rv.ones(2), rv.ones(2), hyper_of(rv.ones(1))
    taken = counts(p, 0).data

    def step(p=(p,), g=(g,), m=(g,), v=(g,), hyper=hyper, steps=taken):
        _core.adam_step(arrays(*p), arrays(*g), arrays(*m), arrays(*v), hyper, steps)

    with pytest.raises(ValueError, match=r"\[adam\] expected a gradient of shape \(2,\)"):
        step(g=[rv.ones(3)])
    with pytest.raises(ValueError, match=r"\[adam\] expected a first moment of shape"):
        step(m=[rv.ones(3)])
    with pytest.raises(TypeError, match=r"\[adam\] expected a second moment of dtype float32"):
        step(v=[rv.ones(2, dtype="float64")])
    with pytest.raises(ValueError, match=r"\[adam\] expected 1 first moments, got 2"):
        step(m=[g, g])
    with pytest.raises(ValueError, match=r"\[adam\] expected hyper of 7 float64 numbers"):
        step(hyper=rv.ones(7).data)
    with pytest.raises(ValueError, match=r"\[adam\] expected steps of 1 int64 numbers"):
        step(steps=counts(p, 0, 0).data)
    assert p.tolist() == [1.0, 1.0], "a refused step changes nothing"


def test_an_expanded_parameter_is_refused():
    p = rv.zeros(1).expand(3).requires_grad_()
    p.grad = rv.ones(3)
    with pytest.raises(ValueError, match=r"\[adam\] expected a target with a place"):
        rv.optim.Adam([p], lr=0.1).step()
