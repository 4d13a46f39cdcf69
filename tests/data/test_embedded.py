import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from ranvier.data import digits
from ranvier.data.embedded import _stored
from ranvier.data.splits import stratified_split

PACKAGE = Path(sys.modules["ranvier.data"].__file__).parent


@pytest.mark.parametrize(("split", "n"), [("train", 1197), ("validation", 240), ("test", 360)])
def test_shapes_and_values(split, n):
    data = digits(split)
    assert data.x.shape == (n, 1, 8, 8)
    assert data.x.dtype == np.float32
    assert data.y.shape == (n,)
    assert data.y.dtype == np.int64
    assert data.x.min() == 0
    assert data.x.max() == 1
    assert np.array_equal(data.x * 16, np.round(data.x * 16))
    assert data.classes == tuple("0123456789")


def test_the_parts_are_a_partition():
    stored = _stored()
    parts = [stored[name] for name in ("train", "validation", "test")]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(1797))


def test_the_parts_are_stratified():
    whole = np.bincount(digits("all").y, minlength=10)
    for split in ("train", "validation", "test"):
        data = digits(split)
        share = np.bincount(data.y, minlength=10)
        assert np.abs(share - whole * len(data) / 1797).max() < 1


def test_the_split_is_the_one_that_the_seed_gives():
    stored = _stored()
    again = stratified_split(stored["labels"], (1197, 240, 360), seed=0)
    for name, part in zip(("train", "validation", "test"), again, strict=True):
        assert np.array_equal(stored[name], part)


def test_the_tool_would_write_the_same_file():
    source = pytest.importorskip("sklearn.datasets").load_digits()
    data = digits("all")
    assert np.array_equal(data.x[:, 0] * 16, source.images)
    assert np.array_equal(data.y, source.target)
    path = Path(__file__).parents[2] / "tools" / "make_digits.py"
    spec = importlib.util.spec_from_file_location("make_digits", path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    made = tool.make()
    assert made.keys() == _stored().keys()
    assert all(np.array_equal(made[name], array) for name, array in _stored().items())


def test_the_file_is_small_and_no_pickle():
    path = PACKAGE / "digits.npz"
    assert path.stat().st_size < 60_000
    assert all(array.dtype.kind == "u" for array in _stored().values())


def test_size_resizes_once():
    data = digits("validation", size=32)
    assert data.x.shape == (240, 1, 32, 32)
    assert data.x.dtype == np.float32
    assert data.x.min() >= 0
    assert data.x.max() <= 1
    assert digits("test", size=(16, 12)).sample_shape == (1, 16, 12)


def test_a_caller_cannot_harm_the_next_one():
    first = digits("test")
    first.x[:] = -1
    first.y[:] = -1
    assert digits("test").x.min() == 0
    assert digits("test").y.min() == 0


def test_unknown_part():
    with pytest.raises(ValueError, match=r"\[digits\] expected split train, .*got 'dev'"):
        digits("dev")
