"""Settings of the whole suite: hypothesis profiles and readable assertions in the harness.

``HYPOTHESIS_PROFILE=thorough pytest`` draws 500 random examples a property, not the fixed 25.
"""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.harness", "tests.bounds")

settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    max_examples=25,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "thorough", deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would every program that tests start and stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item):
    """Tests that count on a replay being all that happens."""
    checked = os.environ.get("RANVIER_CHECK_CAPTURE", "") not in ("", "0")
    if checked and item.get_closest_marker("replays"):
        pytest.skip("RANVIER_CHECK_CAPTURE runs the step eagerly after each replay")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """A test on a device that lacks a kernel is skipped; tests/cuda knows which may be lacking."""
    try:
        return (yield)
    except RuntimeError as error:
        if "this build has no CUDA kernel" in str(error):
            pytest.skip(str(error))
        if "has lost the GPU" in str(error):  # so has every later test
            item.session.shouldfail = "the GPU was lost"
        raise
