"""Norms of any order, unit vectors, angles and distances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import norm as ref
from tests.harness import Case, N, OpTests, Raises, check, distinct, host, integers, nonzero, normal

pytestmark = pytest.mark.kernels
inf = float("inf")  # a quarter as shift: distinct absolute values, too


def case(name: str, *args: object, n: int = 24, **options: object) -> Case:
    return Case(getattr(F, name), getattr(ref, name), *args, options=options, n=n)


class TestNorm(OpTests):
    cases = [
        *(case("norm", nonzero(N, 4, 5), p, dim) for p in ("fro", 1, 3, 2.5, 0.5, -1, 0)
          for dim in (1, (1, 2))),
        *(case("norm", distinct(N, 4, 5, shift=0.25), p, (1, 2)) for p in (inf, -inf)),
        case("norm", distinct(3, 4, 5, shift=0.25), inf, 0, keepdim=True),
        case("norm", distinct(3, 4, 5, shift=0.25), -inf, (2, 0)),
        *(case("norm", normal(*shape)) for shape in [(1,), (257,), (2, 3, 4, 5)]),
        case("norm", nonzero()),
        case("norm", normal(3, 4), 2, [0, 1], keepdim=True),
        case("norm", normal(67, 1031), 2, 1),
        case("norm", nonzero(300, 67), 1, 0),
        case("normalize", normal(N, 5)),
        case("normalize", nonzero(N, 5), 1.0),
        case("normalize", distinct(N, 5, shift=0.25), inf),
        case("normalize", normal(4, 3, 2), 2.0, 0),
        case("normalize", normal(4, 3), 2.0, 1, 1e9),
        case("cosine_similarity", normal(N, 5), normal(N, 5)),
        case("cosine_similarity", normal(4, 3, 2), normal(4, 1, 2), 0, n=64),
        case("pairwise_distance", normal(N, 5), normal(N, 5)),
        case("pairwise_distance", normal(4, 5), normal(5), 1.0, keepdim=True, n=64),
        case("cdist", normal(N, 4, 5), normal(N, 3, 5), n=64),
        case("cdist", normal(4, 5), normal(2, 3, 5), 1.0, n=64),
        *(case("cdist", normal(*a), normal(*b), n=2 * a[-1] + 64)
          for a, b in [((N, 1, 1), (N, 1, 1)), ((3, 2, 9, 3), (2, 17, 3)), ((67, 17), (33, 17)),
                       ((5, 300), (2, 1, 35, 300)), ((131, 35), (16, 35))]),
        case("cdist", normal(300, 20), normal(290, 20), n=512),  # split among threads
    ]  # fmt: skip
    errors = [
        Raises(TypeError, r"\[norm\] expected a float32 or float64", F.norm, integers(0, 3, 3)),
        Raises(ValueError, r"\[norm\] expected a number or 'fro'", F.norm, normal(3), "nuc"),
        Raises(ValueError, r"expected at least one element", F.norm, normal(3, 0), inf, 1),
        Raises(IndexError, r"expected an axis", F.norm, normal(3), 2, 1),
        Raises(IndexError, r"expected an axis", F.normalize, normal(3)),
        Raises(ValueError, r"\[cosine_similarity\] expected", F.cosine_similarity, normal(2, 3),
               normal(2, 4)),
        Raises(ValueError, r"\[cdist\] expected shapes", F.cdist, normal(2, 3), normal(2, 4)),
        Raises(ValueError, r"\[cdist\] expected shapes", F.cdist, normal(3), normal(2, 3)),
    ]  # fmt: skip


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data())
def test_any_axes(shape, data):
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1).map(sorted).map(tuple))
    p = data.draw(st.sampled_from([1, 2, 3, 0, inf, -inf]))
    check(case("norm", distinct(*shape, shift=0.25), p, axes, keepdim=data.draw(st.booleans())))


@pytest.mark.parametrize("p", [1, 2, 3, 0.5, 0, inf])
def test_the_gradient_of_a_vector_of_zeros_is_zero(p):
    x = rv.zeros(3, requires_grad=True)
    y = F.norm(x, p)
    assert y.item() == 0.0
    y.backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0]


def test_a_zero_among_others_has_a_finite_gradient():
    for p in (0.5, 1.0, 1.5, 2.0, 3.0):
        x = rv.tensor([0.0, 2.0], requires_grad=True)
        F.norm(x, p).backward()
        assert x.grad.tolist() == pytest.approx([0.0, 1.0], rel=1e-6)


def test_no_elements_have_length_zero():
    assert F.norm(rv.zeros(0)).item() == 0.0
    assert F.norm(rv.zeros(2, 0), 1, 1).tolist() == [0.0, 0.0]


def test_numpy_agrees_on_vectors_and_matrices():
    x = np.random.default_rng(0).normal(size=(4, 5))
    assert F.norm(rv.tensor(x)).item() == pytest.approx(np.linalg.norm(x), rel=1e-14)
    for p in (1, 2, 3, inf, -inf, 0):
        expected = np.linalg.norm(x, p, axis=1)
        np.testing.assert_allclose(host(rv.tensor(x).norm(p, 1)), expected, rtol=1e-14)


def test_squares_of_float32_neither_overflow_nor_vanish():
    for size in (1e30, 1e-30):
        x = rv.tensor([3.0 * size, -4.0 * size], requires_grad=True)
        y = F.norm(x)
        assert y.item() == pytest.approx(5.0 * size, rel=1e-7)
        y.backward()
        np.testing.assert_allclose(host(x.grad), [0.6, -0.8], rtol=1e-6)


def test_a_vector_without_direction_stays_as_it_is():
    assert F.normalize(rv.zeros(1, 3)).tolist() == [[0.0, 0.0, 0.0]]
    assert F.cosine_similarity(rv.zeros(1, 3), rv.ones(1, 3)).tolist() == [0.0]


def test_near_vectors_keep_their_distance():
    a = np.array([[1e4, 1e4]])
    b = a + np.array([[0.0, 2.0**-9]])
    x, y = (rv.tensor(v.astype(np.float32)) for v in (a, b))
    assert F.cdist(x, y).item() == float(np.float32(b[0, 1]) - np.float32(a[0, 1]))


@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1.0, 1e30])
def test_distances_neither_overflow_nor_vanish(scale):
    rng = np.random.default_rng(0)
    x = (rng.uniform(0.5, 1.5, (20, 7)) * scale).astype(np.float32)
    x[3], x[5] = x[4], 0
    want = np.sqrt(((x[:, None].astype(np.float64) - x[None]) ** 2).sum(-1))
    got = host(F.cdist(rv.tensor(x), rv.tensor(x)))
    np.testing.assert_allclose(got, want, rtol=4e-7, atol=2e-45)
    assert not np.signbit(got).any()
    x[7, 2], x[8, 1] = np.inf, np.nan
    got = host(F.cdist(rv.tensor(x), rv.tensor(x)))
    assert np.isnan(got[8]).all()
    assert np.isinf(np.delete(got[7], [7, 8])).all()


def test_equal_vectors_have_no_gradient_for_each_other():
    x = rv.tensor(np.random.default_rng(0).normal(size=(9, 4)), requires_grad=True)
    F.cdist(x, x).sum().backward()
    assert np.isfinite(host(x.grad)).all()
    twins = rv.ones(3, 4, requires_grad=True)
    F.cdist(twins, rv.ones(5, 4)).sum().backward()
    assert not host(twins.grad).any()


def test_distances_of_nothing():
    assert F.cdist(rv.zeros(0, 3), rv.zeros(4, 3)).shape == (0, 4)
    assert F.cdist(rv.zeros(2, 0), rv.zeros(3, 0)).tolist() == [[0.0] * 3] * 2
    x = rv.ones(2, 3, requires_grad=True)
    F.cdist(x, rv.zeros(0, 3)).sum().backward()
    assert not host(x.grad).any()


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e-19, 1.0, 1e18, 1e37])
def test_long_norms_neither_overflow_nor_vanish(scale):
    """Squares are summed in float32 only where they fit: one huge or tiny number among others."""
    rng = np.random.default_rng(0)
    x = (rng.uniform(0.5, 1.5, (3, 1000)) * scale).astype(np.float32)
    x[1] = 0
    x[1, 7] = 2 * scale  # alone
    x[2, ::2] = np.float32(1e-25)
    want = np.sqrt((x.astype(np.float64) ** 2).sum(1))
    got = F.norm(rv.tensor(x), 2, 1).numpy()
    np.testing.assert_allclose(got, want, rtol=4e-7, atol=2e-45)
    x[0, 500], x[2, 3] = np.inf, np.nan
    got = F.norm(rv.tensor(x), 2, 1).numpy()
    assert got[0] == np.inf
    assert np.isnan(got[2])
