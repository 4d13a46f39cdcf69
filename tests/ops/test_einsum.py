"""einsum through matmul, held against NumPy's; and the products that have names."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import einsum as ref
from tests.harness import Case, Input, N, OpTests, Raises, check, host, integers, normal

pytestmark = pytest.mark.kernels


def case(name: str, *args: object, **options: object) -> Case:
    return Case(
        getattr(F, name), getattr(ref, name), *args, options=options, multilinear=True, n=400,
        grad_n=400,
    )  # fmt: skip


def einsum(equation: str, *args: Input) -> Case:
    return case("einsum", equation, *args)


def by_name(name: str, *args: Input) -> Case:
    """A product that is tensordot over one pair of axes."""
    return Case(
        lambda a, b, dims: getattr(F, name)(a, b), ref.tensordot, *args, options={"dims": 1},
        multilinear=True, n=400, grad_n=400, name=name,
    )  # fmt: skip


class TestEinsum(OpTests):
    cases = [
        einsum("ij,jk->ik", normal(N, 4), normal(4, 5)),
        einsum("ij,jk", normal(3, 4), normal(4, 5)),
        einsum("ij,kj->ik", normal(N, 4), normal(5, 4)),
        einsum("bij,bjk->bik", normal(N, 3, 4), normal(N, 4, 5)),
        einsum("bhqd,bhkd->bhqk", normal(N, 2, 3, 4), normal(N, 2, 5, 4)),
        einsum("...ij,...jk->...ik", normal(2, 1, 3, 4), normal(5, 4, 2)),
        einsum("i...,i->...", normal(3, N, 4), normal(3)),
        einsum("i,j->ij", normal(N), normal(4)),
        einsum("i,i->", normal(7), normal(7)),
        einsum("i,i->i", normal(N), normal(N)),
        einsum("ij->ji", normal(N, 4)),
        einsum("ij->", normal(N, 4)),
        einsum("ij->j", normal(N, 4)),
        einsum("ba", normal(N, 4)),
        einsum("ii", normal(4, 4)),
        einsum("ii->i", normal(4, 4)),
        einsum("iji->j", normal(3, N, 3)),
        einsum("iii->i", normal(3, 3, 3)),
        einsum("iij,jkk->ik", normal(3, 3, 4), normal(4, 2, 2)),
        einsum("ij,jk,kl->il", normal(N, 4), normal(4, 5), normal(5, 2)),
        einsum("ijk,jl,kl->i", normal(2, 3, 4), normal(3, 5), normal(4, 5)),
        einsum("i,j,k,l->lkji", normal(2), normal(3), normal(4), normal(2)),
        einsum("bn,anm,bm->ba", normal(N, 3), normal(5, 3, 4), normal(N, 4)),
        einsum("ij,ik->jk", normal(N, 4), normal(N, 5)),
        einsum("ij,j->ij", normal(N, 4), normal(4)),
        einsum("ij,ij->ij", normal(1, 4), normal(3, 1)),
        einsum("ij,kl->k", normal(2, 3), normal(4, 5)),
        einsum(",i->i", normal(), normal(3)),
        einsum("abcdefgh,hgfedcba->abcdefgh", normal(*[1] * 8), normal(*[1] * 8)),
        einsum(" A b , b C -> C A ", normal(2, 3), normal(3, 4)),
        Case(F.einsum, ref.einsum, "ij,jk->ik", normal(130, 70), normal(70, 90),
             multilinear=True, n=80, grad_n=140,
             backward=lambda g, e, a, b: (None, g @ b.T, a.T @ g)),
        Case(F.einsum, ref.einsum, "ij,jk->ik", integers(-9, 9, 3, 4), integers(-9, 9, 4, 5),
             dtypes=("int64",)),
        case("tensordot", normal(2, 3, 4), normal(3, 4, 5)),
        case("tensordot", normal(N, 4), normal(5), dims=0),
        case("tensordot", normal(N, 3, 4), normal(4, 5, 3), dims=([1, 2], [2, 0])),
        case("tensordot", normal(N, 3, 4), normal(4, 5), dims=([-1], [0])),
        by_name("mm", normal(N, 3), normal(3, 4)),
        by_name("mv", normal(N, 3), normal(3)),
        case("outer", normal(N), normal(4)),
        Case(lambda c, a, b: F.addmm(c[0], a[0], b[0], beta=0.5, alpha=2.0),
             lambda c, a, b: ref.baddbmm(c, a, b, beta=0.5, alpha=2.0)[0],
             normal(1, 1, 5), normal(1, 3, 4), normal(1, 4, 5), multilinear=True, n=400, grad_n=400,
             backward=lambda g, *t: ref.baddbmm_backward(g[None], *t, beta=0.5, alpha=2.0),
             name="addmm"),
        case("dot", normal(50), normal(50)),
        case("inner", normal(3, 4), normal(2, 5, 4)),
        case("inner", normal(4), normal(4)),
        case("bmm", normal(N, 3, 4), normal(N, 4, 5)),
        case("baddbmm", normal(3, 5), normal(N, 3, 4), normal(N, 4, 5)),
        case("baddbmm", normal(N, 1, 5), normal(N, 3, 4), normal(N, 4, 5), beta=0.5, alpha=2.0),
    ]  # fmt: skip
    errors = [
        Raises(ValueError, r"\[einsum\] expected 2 operands .* got 1", F.einsum, "ij,jk",
               normal(2, 3)),
        Raises(ValueError, r"\[einsum\] expected an operand of 2 axes for 'ij', got 3 - write",
               F.einsum, "ij", normal(2, 3, 4)),
        Raises(ValueError, r"\[einsum\] expected an operand of 2 axes", F.einsum, "ij...",
               normal(2)),
        Raises(ValueError, r"\[einsum\] expected one size .* got 3 and 4 for 'j'", F.einsum,
               "ij,jk", normal(2, 3), normal(4, 2)),
        Raises(ValueError, r"\[einsum\] expected one size .* ellipsis", F.einsum, "...,...",
               normal(2), normal(3)),
        Raises(ValueError, r"\[einsum\] expected equal sizes for the repeated letter 'i'",
               F.einsum, "ii", normal(3, 1)),
        Raises(ValueError, r"\[einsum\] expected each letter of the result once", F.einsum,
               "ij->ii", normal(3, 3)),
        Raises(ValueError, r"\[einsum\] expected each letter of the result .* got 'k'", F.einsum,
               "ij->k", normal(3, 3)),
        Raises(ValueError, r"\[einsum\] expected letters", F.einsum, "i1", normal(3, 3)),
        Raises(ValueError, r"\[einsum\] expected letters", F.einsum, "i.", normal(3, 3)),
        Raises(TypeError, r"\[einsum\] expected an equation first", F.einsum, normal(3, 3), "ii"),
        Raises(TypeError, r"\[einsum\] expected tensors, got float", F.einsum, "", 1.0),
        Raises(ValueError, r"\[tensordot\] expected dims from 0 to 1, got 2", F.tensordot,
               normal(3), normal(3)),
        Raises(ValueError, r"\[tensordot\] expected equal sizes", F.tensordot, normal(2, 3),
               normal(2, 3), 1),
        Raises(ValueError, r"\[tensordot\] expected as many axes", F.tensordot, normal(2, 3),
               normal(2, 3), options={"dims": ([0, 0], [0, 1])}),
        Raises(ValueError, r"\[outer\] expected two vectors", F.outer, normal(2, 3), normal(3)),
        Raises(ValueError, r"\[dot\] expected two vectors", F.dot, normal(2, 3), normal(3)),
        Raises(ValueError, r"\[dot\] expected as many", F.dot, normal(2), normal(3)),
        Raises(ValueError, r"\[bmm\] expected 3 and 3 axes and as many pairs", F.bmm,
               normal(1, 2, 3), normal(2, 3, 4)),
        Raises(ValueError, r"\[mm\] expected 2 and 2 axes", F.mm, normal(3), normal(3, 4)),
        Raises(ValueError, r"\[mv\] expected 2 and 1 axes", F.mv, normal(3, 4), normal(4, 1)),
    ]  # fmt: skip


@given(st.data())
def test_any_equation_is_numpys(data):
    letters = "abcd"
    sizes = {c: data.draw(st.integers(1, 3)) for c in letters}
    parts = data.draw(st.lists(st.text(letters, max_size=3), min_size=1, max_size=3))
    have = sorted(set("".join(parts)))
    output = "".join(data.draw(st.permutations(have)))[: data.draw(st.integers(0, len(have)))]
    operands = [normal(*[sizes[c] for c in part]) for part in parts]
    check(einsum(",".join(parts) + "->" + output, *operands))


def test_the_cheapest_pair_comes_first():
    """A vector goes through a chain of matrices without ever making a matrix product."""
    a = [rv.ones(40, 40) for _ in range(3)]

    def step(x: rv.Tensor) -> rv.Tensor:
        return F.einsum("ij,jk,kl,l->i", *a, x)

    captured = rv.capture(step)
    for _ in range(3):
        captured(rv.ones(40))
    text = str(captured.program)
    assert text.count("out float32(40, 1)") == 3
    assert "out float32(40, 40" not in text
    np.testing.assert_array_equal(host(step(rv.ones(40))), np.full(40, 64000.0, np.float32))


def test_methods_and_lists():
    a, b = rv.tensor([1.0, 2.0]), rv.tensor([3.0, 4.0])
    assert a.dot(b).item() == 11.0
    assert a.outer(b).tolist() == [[3.0, 4.0], [6.0, 8.0]]
    assert a.inner(b).item() == 11.0
    assert a.outer(b).mv(a).tolist() == [11.0, 22.0]
    assert a.outer(b).mm(a.unsqueeze(1)).shape == (2, 1)
    assert F.einsum("i,i", [a, b]).item() == 11.0
    assert F.addmm(a, rv.ones(2, 2), rv.ones(2, 2), beta=2.0).tolist() == [[4.0, 6.0]] * 2


def test_no_weight_hides_nan():
    nan = rv.full((1, 1, 1), float("nan"))
    one = rv.ones(1, 1, 1)
    assert F.baddbmm(nan, one, one, beta=0).item() == 1.0
    assert np.isnan(F.baddbmm(nan, one, one).item())


def test_tensordot_refuses_axes_that_are_not_there():
    """They were once taken modulo the number of axes."""
    a = rv.ones(2, 3)
    with pytest.raises(IndexError, match=r"\[tensordot\] expected an axis from -2 to 1, got 3"):
        rv.tensordot(a, a, ([3], [1]))
    assert rv.tensordot(a, a, ([-1], [1])).tolist() == [[3.0, 3.0], [3.0, 3.0]]
