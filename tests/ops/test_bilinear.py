"""The bilinear map: any leading axes, with and without bias."""

from typing import Any

import pytest

import ranvier.functional as F
from ranvier.reference import bilinear as ref
from tests.harness import Case, N, OpTests, Raises, normal

pytestmark = pytest.mark.kernels


def case(*arrays: Any) -> Case:
    """Both inner products; gradients of weight and bias also sum over the samples."""
    return Case(F.bilinear, ref.bilinear, *arrays, multilinear=True)


class TestBilinear(OpTests):
    cases = [
        case(normal(N, 4), normal(N, 3), normal(5, 4, 3)),
        case(normal(N, 4), normal(N, 3), normal(5, 4, 3), normal(5)),
        case(normal(N, 2, 4), normal(N, 2, 3), normal(1, 4, 3), normal(1)),
        case(normal(4), normal(3), normal(5, 4, 3)),
        case(normal(67, 31), normal(67, 33), normal(40, 31, 33), normal(40)),
    ]
    errors = [
        Raises(ValueError, r"\[bilinear\] expected a weight of shape \(K, I, J\)", F.bilinear,
               normal(2, 4), normal(2, 3), normal(4, 3)),
        Raises(ValueError, r"\[bilinear\] expected x1 of shape \(\.\.\., 4\)", F.bilinear,
               normal(2, 3), normal(2, 3), normal(5, 4, 3)),
        Raises(ValueError, r"\[bilinear\] expected x1 .* got \(2, 4\) and \(3, 3\)", F.bilinear,
               normal(2, 4), normal(3, 3), normal(5, 4, 3)),
        Raises(ValueError, r"\[bilinear\] expected a bias of shape \(5,\)", F.bilinear,
               normal(2, 4), normal(2, 3), normal(5, 4, 3), normal(4)),
    ]  # fmt: skip
