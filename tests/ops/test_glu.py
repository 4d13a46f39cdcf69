"""The gated linear unit along any axis."""

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import glu as ref
from tests.harness import Case, N, OpTests, Raises, host, normal

pytestmark = pytest.mark.kernels


class TestGlu(OpTests):
    cases = [
        Case(F.glu, ref.glu, normal(N, 6), n=8),
        Case(F.glu, ref.glu, normal(N, 4, 3, 5), options={"dim": 1}, n=8),
        Case(F.glu, ref.glu, normal(8, 3), options={"dim": 0}, n=8),
        Case(F.glu, ref.glu, normal(N, 0), n=8),
        Case(F.glu, ref.glu, normal(67, 1030), n=8),
    ]
    errors = [
        Raises(ValueError, r"\[glu\] expected an even size along axis -1, got 5", F.glu,
               normal(2, 5)),
        Raises(IndexError, r"\[glu\] expected an axis from -2 to 1, got 2", F.glu, normal(2, 4), 2),
        Raises(IndexError, r"\[glu\] expected an axis", F.glu, normal()),
    ]  # fmt: skip


def test_extremes_and_nan():
    x = rv.tensor([[3.0, 1e4], [3.0, -1e4], [1e4, 0.0], [1.0, np.nan]])
    np.testing.assert_array_equal(host(F.glu(x))[:, 0], [3.0, 0.0, 5e3, np.nan])
