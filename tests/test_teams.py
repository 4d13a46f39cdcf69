"""Walks of recurrent layers that several threads make together (csrc/core/team.h).

`RANVIER_SANITIZE=thread tools/sanitize.sh tests/test_teams.py` runs these under the thread
sanitizer.
"""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from tests.harness import host, threads
from tests.test_threads import together

pytestmark = pytest.mark.kernels

STEPS, INPUTS, UNITS = 24, 20, 112  # seven vectors of 16 units: no two equal parts
GATES = {"lstm": 4, "projected": 4, "normalized": 4, "gru": 3, "rnn": 1}


def layer(kind, samples, reverse=False, lengths=None, seed=0):
    """Runs a layer forward and backward; outputs, last states and gradients."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        scale = 0.1 if len(shape) == 2 else 1.0
        return rv.tensor(
            (scale * rng.standard_normal(shape)).astype(np.float32), requires_grad=True
        )

    # Two of these have one gate, or a small state, but as many weights.
    units = 2 * UNITS if kind == "rnn" else UNITS
    width = 2 * UNITS if kind == "projected" else units
    rows = GATES[kind] * units
    x, h0 = draw(STEPS, samples, INPUTS), draw(samples, width)
    weights = [draw(rows, INPUTS), draw(rows, width), draw(rows), draw(rows)]
    options = {"reverse": reverse, "lengths": lengths}
    if kind in ("gru", "rnn"):
        y, last = getattr(F, kind)(x, h0, *weights, **options)
        states = [last]
    else:
        if kind == "projected":
            weights.append(draw(width, units))
            options["peephole"] = draw(3, units)
        if kind == "normalized":
            options["norm"] = [draw(rows), draw(rows), draw(units), draw(units)]
        y, states = F.lstm(x, (h0, draw(samples, units)), *weights, **options)
    loss = (y * y).sum() + sum((s * s).sum() for s in states)
    loss.backward()
    return [host(t.detach()).tobytes() for t in (y, *states)] + [
        host(t.grad).tobytes() for t in (x, h0, *weights)
    ]


@pytest.mark.parametrize("samples", [1, 3, 7])
@pytest.mark.parametrize("kind", GATES)
def test_the_bits_do_not_depend_on_the_members(kind, samples):
    for options in ({}, {"reverse": True, "lengths": [STEPS - 5 * i % 11 for i in range(samples)]}):
        with threads(1):
            alone = layer(kind, samples, **options)
        for count in (2, 3, 9):  # nine: more than panels, and more than processors
            with threads(count):
                for _ in range(3):
                    assert layer(kind, samples, **options) == alone, f"{count} threads, {options}"


def test_many_walks_at_once():
    """One of them has the workers; the others walk alone, both as members of a team."""
    with threads(1):
        expected = [layer("lstm", 2, seed=seed) for seed in range(4)]
    with threads(3):
        for _ in range(5):
            assert together(4, lambda i: layer("lstm", 2, seed=i)) == expected


def test_a_captured_walk_has_the_bits_of_an_eager_one():
    rng = np.random.default_rng(0)
    x, w, v = (
        rv.tensor((0.1 * rng.standard_normal(shape)).astype(np.float32))
        for shape in ((STEPS, 1, INPUTS), (4 * UNITS, INPUTS), (4 * UNITS, UNITS))
    )

    def walk(x):
        return F.lstm(x, None, w, v)[0]

    with threads(1):
        eager = host(walk(x)).tobytes()
    step = rv.capture(walk)
    with threads(3):
        for _ in range(5):
            assert host(step(x)).tobytes() == eager


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
@pytest.mark.skipif("libtsan" in os.environ.get("LD_PRELOAD", ""), reason="no fork under tsan")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_walks_with_workers_of_its_own():
    with threads(3):
        expected = layer("lstm", 1)
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            os._exit(0 if layer("lstm", 1) == expected else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert layer("lstm", 1) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors are not told here")
@pytest.mark.skipif("libtsan" in os.environ.get("LD_PRELOAD", ""), reason="no threads to be timed")
def test_members_that_share_one_processor_come_to_an_end():
    """A member that is waited for may wait for the processor of the one that waits."""
    program = textwrap.dedent("""
        import os
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        from tests.test_teams import layer, threads
        with threads(1):
            alone = [layer("lstm", n) for n in (1, 3)]
        for count in (2, 8):
            with threads(count):
                for _ in range(10):
                    assert [layer("lstm", n) for n in (1, 3)] == alone
    """)
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120,
                   cwd=Path(__file__).parents[1])  # fmt: skip
