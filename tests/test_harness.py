"""The harness finds what it is there to find: each planted bug fails exactly the check named."""

import numpy as np
import pytest

import ranvier as rv
from ranvier import _core
from ranvier.autograd import Function
from tests import harness
from tests.harness import Case, N, Raises, fixed, normal


def double(x):
    return x * 2.0


def double_backward(grad, x):
    return grad * 2.0


class Double(Function):
    """y = 2 x, with one bug at a time."""

    def forward(self, x, *, bug):
        self.bug = bug
        if bug == "value":
            return _core.multiply(x, 2.00001)
        if bug == "shape":
            return _core.multiply(x, 2.0).reshape((x.size,))
        if bug == "dtype":
            return _core.multiply(x, 2.0).cast(rv.float64.code)
        if bug == "writes" and x.device == 0:
            _core.copy_into(x, _core.scalar(1.0, x.dtype, 0))
        if bug == "layout" and x.device == 0 and x.ndim and not x.is_contiguous:
            return _core.multiply(x.contiguous(), 3.0)
        if bug == "bits" and x.device == 0:
            Double.calls += 1
            return _core.multiply(x, 2.0 if Double.calls % 2 else 2.0000002)
        if bug == "threads" and rv.num_threads() == 1:
            return _core.multiply(x, 2.0000002)
        if bug == "empty" and x.size == 0:
            raise ValueError("[double] no elements")
        if bug == "host" and x.device == 0 and x.size:
            return _core.multiply(x, 2.0 + 0.0 * x.numpy().sum())
        return _core.multiply(x, 2.0)

    calls = 0

    def backward(self, grad):
        if self.bug == "gradient":
            return _core.multiply(grad, 2.00001)
        if self.bug == "no gradient":
            return None
        return _core.multiply(grad, 2.0)


def case(bug, **settings):
    return Case(
        lambda x: Double.apply(x, bug=bug), double, normal(N, 4), backward=double_backward,
        name=f"double with {bug}", **settings,
    )  # fmt: skip


def every_check(case):
    """Names of the checks that fail."""
    checks = {
        "reference": lambda: harness.check_reference(case),
        "value": lambda: harness.check_value(case, "float32"),
        "gradient": lambda: harness.check_gradient(case, "float32"),
        "inputs": lambda: harness.check_inputs_unmodified(case),
        "layouts": lambda: harness.check_layouts(case),
        "bits": lambda: harness.check_bits(case),
        "capture": lambda: harness.check_capture(case),
        "batch": lambda: harness.check_batch(case, 0),
        "meta": lambda: harness.check_meta(case, "float32"),
    }
    failed = set()
    for name, run in checks.items():
        try:
            run()
        except (AssertionError, ValueError, RuntimeError):
            failed.add(name)
    return failed


@pytest.mark.parametrize(
    ("bug", "found_by"),
    [
        ("nothing", set()),
        ("value", {"value", "layouts"}),
        ("shape", {"value", "gradient", "layouts", "batch"}),
        ("dtype", {"value", "layouts", "batch"}),
        ("gradient", {"gradient", "layouts"}),
        ("no gradient", {"gradient", "layouts", "batch", "inputs", "bits", "capture"}),
        ("writes", {"inputs", "value", "layouts"}),
        ("layout", {"layouts"}),
        ("bits", {"bits", "capture"}),
        ("threads", {"bits"}),
        ("empty", {"batch"}),
        ("host", {"capture"}),
    ],
)
def test_a_planted_bug_is_found(bug, found_by):
    Double.calls = 0
    failed = every_check(case(bug))
    assert failed >= found_by
    assert bool(failed) == bool(found_by)


def test_a_wrong_reference_is_found():
    wrong = Case(double, double, normal(N, 4), backward=lambda g, x: g * 2.001)
    with pytest.raises(AssertionError, match="reference's backward gives"):
        harness.check_reference(wrong)


def test_inputs_at_a_cliff_are_refused():
    relu = Case(double, lambda x: np.maximum(x, 0), fixed([0.001, 1.0]), backward=lambda g, x: g)
    with pytest.raises(AssertionError, match="cliff"):
        harness.check_reference(relu)


def test_a_missing_or_another_error_is_found():
    def refuse(x):
        raise ValueError("[op] expected something else")

    with pytest.raises(AssertionError, match="does not match"):
        harness.check_error(Raises(ValueError, "expected 2 axes", refuse, normal(2)), "cpu")
    with pytest.raises(pytest.fail.Exception):
        harness.check_error(Raises(ValueError, "expected", lambda x: x, normal(2)), "cpu")
    with pytest.raises(ValueError, match="something else"):
        harness.check_error(Raises(TypeError, "expected", refuse, normal(2)), "cpu")


def test_nan_and_infinity_are_compared_by_place():
    bound = 1e9
    harness.assert_close(np.array([np.nan, np.inf]), np.array([np.nan, np.inf]), bound, "same")
    for actual, expected in [(1.0, np.nan), (np.nan, 1.0), (np.inf, 1.0), (np.inf, -np.inf)]:
        with pytest.raises(AssertionError, match="1 of 1 elements"):
            harness.assert_close(np.array([actual]), np.array([expected]), bound, "other")


def test_loose_tolerances_are_refused():
    with pytest.raises(AssertionError, match="derived"):
        Case(double, double, normal(2), k=5)
