"""Tensors on the device "cuda": moving, memory, errors. On a GPU, or under RANVIER_EMULATE=1."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

import ranvier as rv

needs_cuda = pytest.mark.skipif(not rv.cuda.is_available(), reason=rv.cuda.why_not())
pytestmark = pytest.mark.kernels

# Kernels that have no CUDA variant yet: an op that uses one raises, and its tests are skipped.
TO_COME: set[str] = set()
# A GPU turns a mask into a list of places once, and reads and writes those.
OF_THE_HOST = {"transfer", "fma_peak", "stream_memory", "mask_take", "mask_put"}


@needs_cuda
def test_no_kernel_was_lost():
    here, all_ = (
        set(rv.cuda.kernels()),
        set(rv._core.kernels()) - OF_THE_HOST,
    )
    assert here <= all_
    assert not here & TO_COME, "take them off the list"
    assert all_ - here <= TO_COME, "kernels without a CUDA variant"


@needs_cuda
class TestTensors:
    @pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "uint8", "bool"])
    def test_there_and_back(self, dtype):
        a = np.arange(24).reshape(2, 3, 4).astype(dtype)
        x = rv.tensor(a, device="cuda")
        assert (x.device, x.shape, x.dtype) == ("cuda:0", (2, 3, 4), getattr(rv, dtype))
        np.testing.assert_array_equal(x.cpu().numpy(), a)

    @pytest.mark.parametrize(
        "lay",
        [
            lambda a: a.transpose(2, 0, 1),
            lambda a: a[:, ::-1],
            lambda a: a[::2, :, 1],
            lambda a: np.lib.stride_tricks.as_strided(a, a.shape, (0, *a.strides[1:])),
            lambda a: a[:, :, :0],
            lambda a: a[3:4, 2, 1:2],
        ],
    )
    def test_layouts_arrive(self, lay):
        a = lay(np.arange(120.0).reshape(5, 4, 6))
        x = rv.from_numpy(a)
        np.testing.assert_array_equal(x.to("cuda").cpu().numpy(), a)
        np.testing.assert_array_equal((x.to("cuda") + 1).cpu().numpy(), a + 1)

    def test_transposed_tensors_stay_transposed(self):
        x = rv.zeros(3, 5).T.to("cuda")
        assert x.strides == (1, 5)

    def test_numbers(self):
        assert rv.tensor(2**60 + 1, device="cuda").item() == 2**60 + 1
        assert (rv.tensor(2**60, device="cuda") + (2**53 + 1)).item() == 2**60 + 2**53 + 1
        assert rv.tensor([1.5, -2.0], device="cuda").tolist() == [1.5, -2.0]
        assert "cuda:0" in repr(rv.ones(2, device="cuda"))
        assert rv.full((2,), 3.5, dtype=rv.bfloat16, device="cuda").to(rv.float32).tolist() == [
            3.5,
            3.5,
        ]

    def test_copies(self):
        x = rv.tensor([1.0, 2.0], device="cuda", requires_grad=True)
        for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
            assert y.device == "cuda"
            assert y.requires_grad
            assert y.tolist() == [1.0, 2.0]
        z = rv.zeros(2)
        z.copy_(x.detach())
        assert z.tolist() == [1.0, 2.0]

    def test_a_captured_step_replays(self):
        step = rv.capture(lambda x: (x * 2 + 1) * x)
        for i in range(5):
            x = rv.full((3,), float(i), dtype=rv.float64, device="cuda")
            assert step(x).tolist() == [float((2 * i + 1) * i)] * 3
        assert "fill_constant" in str(step.program)

    def test_a_step_that_reads_is_refused_and_undone(self):
        x = rv.zeros(2, device="cuda")

        @rv.capture
        def step():
            x.copy_(x + 1)
            return x.tolist()

        step()
        with pytest.raises(rv.CaptureError):
            step()
        assert x.tolist() == [1.0, 1.0]


@needs_cuda
class TestDraws:
    @pytest.mark.parametrize("replacement", [False, True])
    def test_the_same_choices_as_on_the_cpu(self, replacement):
        weights = np.random.default_rng(0).random((5, 100))
        weights[:, 7] = 0
        drawn = []
        for device in ("cpu", "cuda"):
            rv.manual_seed(4)
            x = rv.tensor(weights, device=device)
            drawn.append(rv.multinomial(x, 40, replacement).tolist())
        assert drawn[0] == drawn[1]
        assert not any(7 in row for row in drawn[1])

    @pytest.mark.parametrize(
        ("weights", "text"),
        [([0.5, -1.0], r"weights from 0 up, got -1 in row 1"),
         ([1.0, float("nan")], r"weights from 0 up, got -?nan in row 1"),
         ([0.0, 3.0], r"at least 2 weights above 0, got 1 in row 1")],
    )  # fmt: skip
    def test_bad_weights_are_told_of_when_the_device_is_waited_for(self, weights, text):
        x = rv.tensor([[1.0, 2.0], weights], device="cuda")
        with pytest.raises(ValueError, match=rf"\[multinomial\] expected {text}"):
            rv.multinomial(x, 2).tolist()
        assert sorted(rv.multinomial(x[:1], 2).tolist()[0]) == [0, 1]

    def test_dropout_moves_with_its_module(self):
        layer = rv.nn.Dropout(0.25).to("cuda")
        layer.p = 0.75
        rv.manual_seed(0)
        y = layer(rv.ones(1000, device="cuda"))
        assert set(y.tolist()) == {0.0, 4.0}
        rv.manual_seed(0)
        assert (layer.to("cpu")(rv.ones(1000)).numpy() == y.cpu().numpy()).all()
        with pytest.raises(TypeError, match=r"\[dropout\] expected tensors on one device"):
            layer(rv.ones(3, device="cuda"))


@needs_cuda
class TestMemory:
    def test_memory_is_counted_and_given_back(self):
        before = rv.cuda.memory_stats()["in_use"]
        x = rv.empty(1000, device="cuda")
        assert rv.cuda.memory_stats()["in_use"] - before >= 4000
        rv.cuda.reset_peak_memory()
        del x
        assert rv.cuda.memory_stats()["in_use"] == before
        assert rv.cuda.memory_stats()["peak"] >= before + 4000
        rv.cuda.empty_cache()
        assert rv.cuda.memory_stats()["cached"] == 0

    def test_too_much_memory(self):
        with pytest.raises(MemoryError, match=r"\[allocate\] expected \d+ bytes of memory on cuda"):
            rv.empty(2**43, device="cuda")
        assert (rv.ones(2, device="cuda") + 1).tolist() == [2.0, 2.0]


@needs_cuda
class TestErrors:
    def test_two_devices(self):
        with pytest.raises(TypeError, match="one device, got cuda:0 and cpu"):
            rv.ones(2, device="cuda") + rv.ones(2)

    def test_numpy_needs_the_cpu(self):
        with pytest.raises(TypeError, match=r"x\.cpu\(\)\.numpy\(\)"):
            rv.ones(2, device="cuda").numpy()

    def test_synchronize(self):
        rv.cuda.synchronize()
        with pytest.raises(TypeError, match="expected a device such as 'cuda:0', got 'cpu'"):
            rv.cuda.synchronize("cpu")

    @pytest.mark.skipif(not rv.cuda.is_emulated(), reason="of the emulation")
    def test_options(self):
        for option in (("order", "sideways"), ("copies", "never"), ("fail", "me"), ("speed", "1")):
            with pytest.raises(ValueError, match=r"\[emulation\] expected"):
                rv._core.device_option(*option)
        rv._core.device_option("order", "forward")


def test_without_a_library_the_cure_is_named(tmp_path):
    """In a process whose package folder has no library."""
    code = (
        "import pathlib, ranvier as rv\n"
        "rv.cuda.library_path = lambda: pathlib.Path('/nowhere/_cuda.so')\n"
        "assert not rv.cuda.is_available() and str(rv.device('auto')) == 'cpu'\n"
        "assert rv.cuda.device_count() == 0 and rv.cuda.kernels() == []\n"
        "try:\n    rv.zeros(2, device='cuda')\n"
        "except TypeError as error:\n    print(error)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "expected a device that can be used here, got cuda - this build has no" in out.stdout


def test_a_library_of_something_else_is_refused(tmp_path):
    wrong = tmp_path / "_cuda.so"
    wrong.write_text("not a library")
    code = (
        "import pathlib, ranvier as rv\n"
        f"rv.cuda.library_path = lambda: pathlib.Path({str(wrong)!r})\n"
        "assert not rv.cuda.is_available()\nprint(rv.cuda.why_not())\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "expected a library that can be opened" in out.stdout
