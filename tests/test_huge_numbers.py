"""Numbers that no machine holds are refused in the words of what got them, before work begins."""

from __future__ import annotations

import numpy as np
import pytest

import ranvier as rv
from ranvier import nn

HUGE = [2**63, 10**30]


@pytest.mark.parametrize("n", HUGE)
@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
def test_whole_tensors_refuse_numbers_beyond_64_bits(dtype: str, n: int) -> None:
    x = rv.tensor([1, 0]).to(getattr(rv, dtype))
    for result in (lambda: x + n, lambda: -2 * n * x, lambda: x < n, lambda: x == -2 * n):
        with pytest.raises(ValueError, match=r"\] expected a number that .* holds, got .*float64"):
            result()
    assert (x.to(rv.float64) + n).tolist() == [1.0 + n, 0.0 + n]


def test_int32_does_not_saturate() -> None:
    x = rv.tensor([1, -1], dtype=rv.int32)
    for n in (2**31, -(2**31) - 1, np.int64(2**40)):
        with pytest.raises(ValueError, match=r"\[add\] expected .*int32 holds.*\.to\(rv\.int64\)"):
            x + n
    assert (x - (2**31 - 1)).tolist() == [2 - 2**31, -(2**31)]
    assert (x < 2**31).tolist() == [True, True]
    assert (x < 10**15).tolist() == [True, True]
    assert (x > -(10**15)).tolist() == [True, True]


@pytest.mark.parametrize(("dtype", "n"), [("int32", 2**31), ("uint8", 256), ("uint8", -256)])
def test_numbers_that_are_written_must_fit(dtype: str, n: int) -> None:
    x = rv.zeros(3, dtype=dtype)
    words = rf"\[tensor\] expected numbers from .* for {dtype}, got {n} - use a wider dtype"
    for write in (
        lambda: x.fill_(n),
        lambda: x.__setitem__(0, n),
        lambda: rv.tensor([1, n], dtype=dtype),
        lambda: rv.full((2,), n, dtype=dtype),
    ):
        with pytest.raises(ValueError, match=words):
            write()
    assert x.tolist() == [0, 0, 0]
    x[1] = -1
    assert x.tolist() == [0, 255 if dtype == "uint8" else -1, 0]
    whole = rv.zeros(2, dtype=rv.int64)
    whole[1] = 2**60 + 1  # no float64
    assert whole.tolist() == [0, 2**60 + 1]
    assert rv.tensor([], dtype=dtype).shape == (0,)


def test_numbers_of_numpy_are_compared_as_they_are() -> None:
    for dtype in (rv.uint8, rv.int32, rv.int64):
        x = rv.tensor([0, 7], dtype=dtype)
        assert (x < np.int64(2**40)).tolist() == [True, True]
        assert (x >= np.int64(-3)).tolist() == [True, True]
        assert (x == np.int32(7)).tolist() == [False, True]
        assert (x + np.int32(7)).dtype is dtype
    odd = 2**62 + 1  # no float64
    assert (rv.tensor([0]) + np.int64(odd)).tolist() == [odd]


@pytest.mark.parametrize("n", HUGE)
def test_tensors_of_huge_numbers(n: int) -> None:
    with pytest.raises((ValueError, TypeError), match=r"^\[(tensor|dtype)\] expected "):
        rv.tensor(n)
    with pytest.raises((ValueError, TypeError), match=r"^\[(tensor|dtype)\] expected "):
        rv.tensor([1, -2 * n])
    assert rv.tensor(n, dtype=rv.float64).item() == float(n)
    assert rv.full((2,), n, dtype=rv.float32).tolist() == [float(np.float32(n))] * 2
    with pytest.raises(ValueError, match="64 bits hold"):
        rv.tensor(10**400, dtype=rv.float64)
    with pytest.raises(ValueError, match=r"\[multiply\] expected a number that float64 holds"):
        rv.ones(2) * 10**400


@pytest.mark.parametrize("n", HUGE)
def test_places_and_counts(n: int) -> None:
    x = rv.ones(3)
    for index in (n, -n):
        with pytest.raises(IndexError, match=r"\[index\] expected an index from -3 to 2"):
            x[index]
    with pytest.raises(IndexError, match=r"\[sum\] expected an axis from -1 to 0"):
        x.sum(n)
    with pytest.raises(ValueError, match="expected 1 to 1024 threads"):
        rv.set_num_threads(n)
    with pytest.raises(TypeError, match=r"\[set_num_threads\] expected a whole number, got str"):
        rv.set_num_threads("2")
    with pytest.raises(MemoryError, match=r"\[linspace\] expected fewer numbers"):
        rv.linspace(0, 1, n)
    with pytest.raises(ValueError, match=r"\[unet\] expected depth"):
        rv.models.UNet(depth=n)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_layers_that_would_never_be_built(kind: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match=r"num_layers of at most 1024, got 10+ - did you mean"):
        kind(4, 4, num_layers=10**30)


def test_layers_take_sizes_from_numpy() -> None:
    layer = nn.Linear(np.prod((2, 3)), np.int32(4))
    assert layer(rv.ones(1, 6)).shape == (1, 4)
    assert repr(layer) == "Linear(6, 4)"


def test_indices_of_pytorch_have_a_cure() -> None:
    x = rv.ones(1, 1, 4, 4)
    for give in (
        lambda: rv.functional.max_pool2d(x, 2, return_indices=True),
        lambda: nn.MaxPool2d(2, return_indices=True),
    ):
        with pytest.raises(
            TypeError, match=r"ax_?[pP]ool2d\] expected return_switches=True.*torch_"
        ):
            give()
    assert nn.MaxPool2d(2, return_indices=False)(x).shape == (1, 1, 2, 2)
