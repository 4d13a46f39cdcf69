"""Floor and truncated division, and their remainders: floats, integers, special values."""

from functools import partial

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import remainder as ref
from tests.harness import Case, Input, N, OpTests, Raises, fixed, host, integers, normal

pytestmark = pytest.mark.kernels

NAMES = sorted(ref.FUNCTIONS)


def case(name: str, a: object, b: object, **settings: object) -> Case:
    """One function; gradients of b sum quotients of up to about 30."""
    sizes = [x.shape for x in (a, b) if isinstance(x, Input)]
    return Case(
        getattr(F, name), partial(ref.remainder, name=name), a, b,
        backward=partial(ref.remainder_backward, name=name),
        grad_n=int(np.prod(np.broadcast_shapes(*sizes))) if sizes[0] != sizes[-1] else 4,
        **settings,
    )  # fmt: skip


def between(*shape: object) -> Input:
    """Numbers a third above or below a multiple of 2: far from where a quotient by 2 steps."""
    whole = integers(-9, 9, *shape)
    return Input(
        whole.shape, lambda rng, size: 2.0 * whole.draw(rng, size) + rng.choice([-0.6, 0.6], size)
    )


class TestRemainder(OpTests):
    cases = [
        *(case(name, between(N, 4), 2.0) for name in NAMES),
        *(case(name, between(N, 3, 5), fixed(np.full((3, 1), 2.0))) for name in NAMES),
        *(case(name, 7.25, fixed(np.array([2.0, -3.0, 0.5]))) for name in NAMES),
        *(case(name, between(), fixed(np.array([-2.0, 2.0]))) for name in NAMES),
        case("remainder", between(3, 67, 257), fixed(np.full((67, 257), 2.0))),
        *(
            case(name, integers(-99, 99, N, 5), integers(1, 9, N, 5), dtypes=("int64",))
            for name in NAMES
        ),
    ]
    errors = [
        Raises(ValueError, r"\[floor_divide\] expected integer divisors other than 0, got 0 at "
               r"place 1", F.floor_divide, integers(1, 5, 2), fixed([3, 0]), meta=False),
        Raises(ValueError, r"\[remainder\] expected integer divisors other than 0", F.remainder,
               integers(1, 5, 2), 0, meta=False),
        Raises(ValueError, r"\[fmod\] expected .*\(2, 3\).*\(4,\)", F.fmod, normal(2, 3),
               normal(4)),
        Raises(TypeError, r"\[trunc_divide\] expected", F.trunc_divide, normal(2), "text"),
    ]  # fmt: skip


SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.1, -0.1, 2.5, np.inf, -np.inf, np.nan, 1e-40, 3e38]


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"trunc_divide"}))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values_are_numpys(name, dtype):
    a, b = np.meshgrid(np.array(SPECIAL, dtype), np.array(SPECIAL, dtype))
    with np.errstate(all="ignore"):
        expected = ref.remainder(a, b, name=name)
    y = host(getattr(F, name)(rv.tensor(a), rv.tensor(b)))
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    zeros = expected == 0
    assert np.array_equal(np.signbit(y[zeros]), np.signbit(expected[zeros]))


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_integers_are_exact(dtype):
    info = np.iinfo(dtype)
    numbers = np.array({info.min, info.min + 1, info.max, info.max - 1, 1, 2, 7, 100}, object)
    numbers = np.array(sorted(numbers.item() - {0}), dtype)
    if info.min < 0:
        numbers = np.concatenate([numbers, -numbers[numbers > info.min]])
    a, b = np.meshgrid(numbers, numbers)
    with np.errstate(over="ignore"):
        for name in NAMES:
            y = getattr(F, name)(rv.tensor(a), rv.tensor(b))
            assert y.dtype == rv.tensor(a).dtype
            whole = np.where(b == -1, np.negative(a) if "div" in name else 0, 0).astype(dtype)
            safe = np.where(b == -1, 1, b).astype(dtype)  # NumPy warns of the smallest by -1
            expected = np.where(b == -1, whole, ref.remainder(a, safe, name=name))
            assert np.array_equal(host(y), expected), name


def test_operators_are_pythons():
    x = rv.tensor([7, -7])
    assert (x // 2).tolist() == [7 // 2, -7 // 2]
    assert (x % 3).tolist() == [7 % 3, -7 % 3]
    assert (50 // x).tolist() == [50 // 7, 50 // -7]
    assert (50 % x).tolist() == [50 % 7, 50 % -7]
    assert (rv.tensor(1.0) // 0.1).item() == 1 // 0.1
    for refused in (rv.tensor([True]), rv.tensor([1.0]).to(rv.float16)):
        with pytest.raises(TypeError, match=r"\[remainder\] expected float32, float64 or int"):
            refused % refused


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["bits", "multiples", "neighbours of multiples"])
def test_rests_are_exact(kind, dtype):
    """Those of C's fmod to the bit: any bits, and quotients that round to a whole number."""
    rng = np.random.default_rng(0)
    words = np.dtype(dtype.replace("float", "uint"))
    a, b = rng.integers(0, np.iinfo(words).max, (2, 50_000), words, endpoint=True).view(dtype)
    if kind != "bits":
        b = rng.standard_normal(50_000).astype(dtype)
        a = (b * rng.integers(-(2**28), 2**28, 50_000)).astype(dtype)
    if kind == "neighbours of multiples":
        a = np.nextafter(a, rng.choice([-np.inf, np.inf], 50_000).astype(dtype))
    with np.errstate(all="ignore"):
        expected = np.fmod(a, b)
    rest = host(F.fmod(rv.tensor(a), rv.tensor(b)))
    same = rest.view(words) == expected.view(words)
    assert (same | (np.isnan(rest) & np.isnan(expected))).all()
