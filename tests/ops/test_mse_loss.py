"""Squared error: mean, sum, and one by one."""

import pytest

import ranvier.functional as F
from ranvier.reference import mse_loss as ref
from tests.harness import Case, Input, N, OpTests, Raises, normal

pytestmark = pytest.mark.kernels


def case(x: Input, t: Input, reduction: str, n: int) -> Case:
    """The gradient doubles a rounded difference; the mean adds one rounding per element."""
    return Case(F.mse_loss, ref.mse_loss, x, t, options={"reduction": reduction}, n=n, grad_n=4)


class TestMseLoss(OpTests):
    cases = [
        case(normal(N, 4), normal(N, 4), "none", 4),
        case(normal(N, 4), normal(N, 4), "sum", 16),
        case(normal(5, 4), normal(5, 4), "mean", 24),
        case(normal(300, 301), normal(300, 301), "mean", 64),
    ]
    errors = [
        Raises(ValueError, r"\[mse_loss\] expected a target of the input's shape \(4, 1\), got "
               r"\(4,\)", F.mse_loss, normal(4, 1), normal(4)),
        Raises(ValueError, r"expected reduction", F.mse_loss, normal(4), normal(4),
               options={"reduction": "avg"}),
    ]  # fmt: skip
