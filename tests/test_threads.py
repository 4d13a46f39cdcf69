"""The thread pool under load: many Python threads at once, sizes that change, and a fork.

`RANVIER_SANITIZE=thread tools/sanitize.sh` runs these under the thread sanitizer.
"""

import os
import sys
import threading
import time

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from tests.harness import threads

pytestmark = pytest.mark.kernels


def work(seed):
    """A forward and backward pass through kernels that share their chunks; bits of the results."""
    rng = np.random.default_rng(seed)
    x = rv.tensor(rng.standard_normal((4, 8, 24, 24)).astype(np.float32), requires_grad=True)
    w = rv.tensor(rng.standard_normal((16, 8, 3, 3)).astype(np.float32), requires_grad=True)
    v = rv.tensor(rng.standard_normal((10, 16 * 11 * 11)).astype(np.float32), requires_grad=True)
    y = F.linear(F.max_pool2d(F.relu(F.conv2d(x, w)), 2).flatten(1), v)
    F.cross_entropy(y, rv.tensor([0, 3, 9, 1])).backward()
    return [t.numpy().tobytes() for t in (y.detach(), x.grad, w.grad, v.grad)]


def together(count, function):
    """Runs `function(i)` in `count` threads that start at once; returns the results."""
    results, barrier = [None] * count, threading.Barrier(count)

    def run(i):
        barrier.wait()
        results[i] = function(i)

    runners = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    return results


def test_python_threads_share_the_pool():
    expected = [work(seed) for seed in range(4)]
    with threads(3):
        for _ in range(3):
            assert together(4, work) == expected


def test_the_number_of_threads_changes_under_way():
    expected = work(0)

    def run(i):
        if i:
            return [work(0) for _ in range(3)]
        for count in (1, 4, 2, 3, 1, 2):
            rv.set_num_threads(count)
        return [expected] * 3

    before = rv.num_threads()
    try:
        assert together(3, run) == [[expected] * 3] * 3
    finally:
        rv.set_num_threads(before)


def test_memory_goes_from_thread_to_thread():
    """Blocks that one thread frees are used by another."""

    def run(i):
        total = 0.0
        for size in range(1, 400, 7):
            x = rv.ones(size, 3) * float(i)
            total += x.sum().item()
        return total

    assert together(4, run) == [run(i) for i in range(4)]


def test_each_thread_captures_for_itself():
    def run(i):
        step = rv.capture(lambda x: (x * float(i) + 1.0).sum())
        return [step(rv.full((50,), float(k))).item() for k in range(5)]

    assert together(4, run) == [[50.0 * (k * i + 1) for k in range(5)] for i in range(4)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
@pytest.mark.skipif("libtsan" in os.environ.get("LD_PRELOAD", ""), reason="no fork under tsan")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_gets_a_pool_of_its_own():
    with threads(3):
        expected = work(0)
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            os._exit(0 if work(0) == expected else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert work(0) == expected


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="processors are not told here")
def test_workers_that_wake_up_stay_free_to_be_moved():
    """In a virtual machine they leave their owner's processor, and may be put back later."""
    with threads(3):
        expected = work(0)
        for _ in range(20):
            time.sleep(0.002)  # they sleep after 0.1 ms
            assert work(0) == expected
        allowed = {
            frozenset(os.sched_getaffinity(int(thread))) for thread in os.listdir("/proc/self/task")
        }
        assert allowed == {frozenset(os.sched_getaffinity(0))}
