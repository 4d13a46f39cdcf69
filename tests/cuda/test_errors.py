"""What goes wrong with a device, as a user reads it: the process lives on, memory is released."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F

pytestmark = [
    pytest.mark.kernels,
    pytest.mark.skipif(not rv.cuda.is_available(), reason=rv.cuda.why_not()),
]
emulated = pytest.mark.skipif(not rv.cuda.is_emulated(), reason="failures on demand")


@pytest.fixture
def failing():
    """Makes the device fail as told, and well again after the test."""
    yield lambda what: rv._core.device_option("fail", what)
    rv._core.device_option("fail", "none")


def in_use():
    return rv.cuda.memory_stats()["in_use"]


def python(code, **environment):
    """What a program prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_more_than_there_is():
    before = in_use()
    with pytest.raises(MemoryError, match=r"\[allocate\] expected \d+ bytes of memory on cuda"):
        rv.empty(2**43, device="cuda")
    x = rv.empty(2**22, 1, device="cuda")
    with pytest.raises(MemoryError, match="use a smaller batch or model"):
        x + x.T
    del x
    assert in_use() == before
    assert (rv.ones(2, device="cuda") + 1).tolist() == [2.0, 2.0]


@emulated
def test_no_memory_for_a_result(failing):
    x = rv.ones(1000, device="cuda")
    before = in_use()
    failing("allocate")
    assert (x + 1).tolist() == [2.0] * 1000  # the cache was given back, the second try did it
    failing("always allocate")
    with pytest.raises(
        MemoryError, match=r"expected 4 bytes of memory on cuda, .*out of memory .*smaller batch"
    ):
        x + 1
    failing("none")
    assert in_use() == before
    assert (x + 1).tolist() == [2.0] * 1000


@emulated
def test_no_memory_for_workspace(failing):
    x = rv.tensor(np.arange(3000.0), device="cuda")
    before = in_use()
    failing("workspace")
    assert F.sort(x, descending=True)[0].tolist()[0] == 2999.0  # tried once more
    failing("always workspace")
    with pytest.raises(
        MemoryError,
        match=r"\[sort\] out of memory - use a smaller batch .* \(arrays: in float64\(3000,\),",
    ):
        F.sort(x)
    failing("none")
    assert in_use() == before
    assert F.sort(x)[0].tolist()[0] == 0.0


@emulated
def test_a_launch_that_fails_names_op_and_shapes(failing):
    x = rv.ones(3, 4, device="cuda")
    before = in_use()
    failing("launch")
    with pytest.raises(
        RuntimeError,
        match=r"\[softmax\] too many resources .*launch \(arrays: in float32\(3, 4\), out",
    ):
        F.softmax(x)
    assert in_use() == before
    np.testing.assert_allclose(F.softmax(x).tolist(), np.full((3, 4), 0.25))


@emulated
def test_a_lost_device(failing):
    """Every use of it raises the same; the cpu goes on, and nothing hangs or leaks."""
    x, there = rv.ones(3, device="cuda"), rv.ones(2)
    step = rv.capture(lambda x: x * 2)
    for _ in range(3):
        step(x)
    before = in_use()
    failing("lost")
    for use in (
        lambda: x + 1,
        lambda: x.cpu(),
        lambda: there.to("cuda"),
        lambda: step(x),
        rv.cuda.synchronize,
    ):
        with pytest.raises(RuntimeError, match="has lost the GPU: save what is on the cpu"):
            use()
    assert (there + 1).tolist() == [2.0, 2.0]
    step = None
    rv.cuda.empty_cache()
    failing("none")
    assert in_use() <= before


@emulated
@pytest.mark.parametrize(
    ("failure", "text"),
    [
        ("image", r"no kernel image .* - GPUs need compute capability 8.0 or higher; build with"),
        ("busy", r"busy or unavailable - another process has the GPU to itself: see `nvidia-smi`"),
    ],
)
def test_a_device_that_refuses(failing, failure, text):
    """What shows only when a GPU is used: no code for it, or somebody else has it."""
    x, there = rv.ones(3, device="cuda"), rv.ones(2)
    before = in_use()
    failing(failure)
    for use in (lambda: x + 1, lambda: there.to("cuda"), x.cpu, rv.cuda.synchronize):
        with pytest.raises(RuntimeError, match=text):
            use()
    assert (there + 1).tolist() == [2.0, 2.0]
    failing("none")
    assert in_use() == before
    assert (x + 1).tolist() == [2.0, 2.0, 2.0]


@emulated
@pytest.mark.parametrize("replays", [0, 1, 2, 5])
@pytest.mark.parametrize("what", ["allocate", "workspace", "launch"])
def test_a_captured_step_that_fails(failing, what, replays):
    """While it is recorded, as its graph is made, and later: errors as those of an eager step."""
    x = rv.tensor(np.arange(3000.0), device="cuda")
    step = rv.capture(lambda x: F.sort(x * 2, descending=True)[0])
    for _ in range(replays):
        assert step(x).tolist()[0] == 5998.0
    before = in_use()
    failing(f"always {what}")
    has_arena = replays == 2 and what == "allocate"  # since the recording
    if has_arena or (replays == 5 and what != "launch"):  # a graph has memory of its own
        assert step(x).tolist()[0] == 5998.0
    else:
        kind = RuntimeError if what == "launch" else MemoryError
        with pytest.raises(kind, match=r"use a smaller batch|\(arrays: .*float64\("):
            step(x)
    failing("none")
    assert step(x).tolist()[0] == 5998.0
    if replays == 5:
        assert in_use() == before
    step = None
    assert in_use() <= before + 8 * x.size


def test_two_gpus_in_one_op():
    if rv.cuda.device_count() < 2:
        pytest.skip("one GPU")
    a, b = rv.ones(2, device="cuda:0"), rv.ones(2, device="cuda:1")
    before = in_use()
    with pytest.raises(TypeError, match=r"one device, got cuda:0 and cuda:1 .*\.to\("):
        a + b
    with pytest.raises(TypeError, match=r"one device, got cuda:1 and cpu"):
        F.linear(b, rv.ones(3, 2))
    assert in_use() == before
    assert (a + b.to("cuda:0")).tolist() == [2.0, 2.0]
    assert b.to("cpu").tolist() == [1.0, 1.0]


def test_a_device_that_is_not_there():
    with pytest.raises(
        RuntimeError, match=r"expected a device from cuda:0 to cuda:\d+, got cuda:63"
    ):
        rv.ones(2, device="cuda:63")
    assert rv.ones(2, device="cuda").tolist() == [1.0, 1.0]


@emulated
@pytest.mark.parametrize(
    ("failure", "text"),
    [
        ("driver", r"driver version is insufficient .* install the NVIDIA driver"),
        (
            "architecture",
            r"compute capability 8.0 or higher, got one of 7.5 .*ARCHITECTURES=native",
        ),
    ],
)
def test_a_gpu_that_cannot_be_used(failure, text):
    out = python(
        "import ranvier as rv\n"
        "assert not rv.cuda.is_available() and str(rv.device('auto')) == 'cpu'\n"
        "try:\n    rv.ones(2, device='cuda')\n"
        "except TypeError as error:\n    print(error)\n"
        "assert (rv.ones(2) + 1).tolist() == [2.0, 2.0]\n",
        RANVIER_EMULATE_FAIL=failure,
    )
    assert re.search(text, out), out


def test_a_child_of_fork_is_told():
    out = python(
        "import os, warnings, ranvier as rv\n"
        "warnings.simplefilter('ignore')\n"
        "x = rv.ones(2, device='cuda')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    assert (rv.ones(2) + 1).tolist() == [2.0, 2.0]\n"
        "    for use in (lambda: x + 1, lambda: rv.ones(3, device='cuda'), x.cpu):\n"
        "        try:\n            use()\n"
        "        except RuntimeError as error:\n            print(error)\n"
        "    del x\n"
        "    os._exit(0) if not os.sys.stdout.flush() else None\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert (x + 1).tolist() == [2.0, 2.0]\n"
    )
    assert out.count("got a child of it - start workers with the method 'spawn'") == 3
