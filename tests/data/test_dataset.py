import numpy as np
import pytest

from ranvier.data import ArrayDataset, Dataset, SampleRandom, digits, transforms
from ranvier.data.dataset import Subset


class Squares(Dataset):
    classes = ("a", "b")

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return np.full(2, index, np.float32), index * index


def make(n=10, **options):
    x = (np.arange(n * 4) % 256).astype(np.uint8).reshape(n, 1, 2, 2)
    return ArrayDataset(x, np.arange(n), **options)


def test_bytes_become_unit_floats_when_fetched():
    data = make(64, divisor=255)
    x, y = data.batch(np.array([3, 63]))
    assert x.dtype == np.float32
    assert np.array_equal(x, data.x[[3, 63]].astype(np.float32) / np.float32(255))
    assert x.max() <= 1
    assert data.x.dtype == np.uint8
    assert y.tolist() == [3, 63]
    one, label = data[63]
    assert one[0, 1, 1] == 1.0
    assert label == 63
    whole, labels = data.arrays()
    assert whole.shape == (64, 1, 2, 2)
    assert len(labels) == 64


def test_a_batch_is_a_copy():
    data = make()
    x, y = data.batch(np.arange(10))
    x += 1
    y += 1
    assert data.x[0, 0, 0, 0] == 0
    assert data.y[0] == 0


def test_subsets():
    data = make(classes=["x"], name="toy", divisor=255)
    half = data.subset([1, -1])
    assert half.y.tolist() == [1, 9]
    assert half.classes == ("x",)
    assert half.divisor == 255
    assert data.subset(data.y > 7).y.tolist() == [8, 9]
    assert len(data.subset([])) == 0
    lazy = Squares().subset([5, 0, -2])
    assert isinstance(lazy, Subset)
    assert [int(y) for _, y in (lazy[i] for i in range(3))] == [25, 0, 16]
    assert lazy.batch(np.array([2, 0]))[1].tolist() == [16, 25]
    assert lazy[1:][1].tolist() == [0, 16]
    assert lazy.classes == ("a", "b")
    assert lazy.subset([0])[0][1] == 25


@pytest.mark.parametrize("indices", [[10], [-11], [0.5], [[1]], [True] * 9])
def test_bad_indices(indices):
    with pytest.raises(IndexError, match=r"\[subset\]"):
        make().subset(indices)


def test_default_batch_stacks():
    x, y = Squares().batch(np.array([1, 3]))
    assert x.tolist() == [[1, 1], [3, 3]]
    assert y.tolist() == [1, 9]
    with pytest.raises(NotImplementedError, match="__len__"):
        len(Dataset())
    with pytest.raises(NotImplementedError, match="__getitem__"):
        Dataset()[0]


def test_length_and_kind_are_checked():
    with pytest.raises(ValueError, match=r"as many targets as inputs.*\(3, 2\) and y \(2,\)"):
        ArrayDataset(np.zeros((3, 2)), np.zeros(2))
    with pytest.raises(ValueError, match="first axis"):
        ArrayDataset(1.0, 2.0)
    with pytest.raises(TypeError, match="Python objects"):
        ArrayDataset(np.array([[1], [1, 2]], dtype=object), np.zeros(2))


def test_repr_names_what_matters():
    text = repr(digits("test"))
    assert text == (
        "ArrayDataset(digits: 360 samples, x (1, 8, 8) float32, y () int64, 10 classes)"
    )


def test_memory_mapped_arrays_stay_on_disk(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(20, dtype=np.float32).reshape(10, 2))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    data = ArrayDataset(x, np.arange(10))
    assert data.x.base is not None
    assert not data.x.flags.owndata
    got, _ = data.batch(np.array([4, 4]))
    assert got.tolist() == [[8, 9], [8, 9]]
    assert got.flags.writeable


def test_map_applies_once():
    data = make(divisor=255).map(transforms.Scale(2.0))
    assert data.divisor is None
    assert data.x.dtype == np.float32
    assert np.array_equal(data.x, make(divisor=255).arrays()[0] * 2)
    shifted = digits("test").map(transforms.RandomShift(1), seed=3)
    again = transforms.RandomShift(1)(digits("test").x, SampleRandom(3, 0, np.arange(360)))
    assert np.array_equal(shifted.x, again)


def test_resized_bytes_stay_bytes():
    n = 4100  # more than one piece
    x = np.random.default_rng(0).integers(0, 256, (n, 1, 3, 3), dtype=np.uint8)
    data = ArrayDataset(x, np.zeros(n), divisor=255).resized(6)
    assert data.x.dtype == np.uint8
    assert data.sample_shape == (1, 6, 6)
    exact = transforms.Resize(6)(x.astype(np.float64), SampleRandom(0, 0, np.arange(n)))
    assert np.abs(data.x - exact).max() <= 0.5 + 1e-4
    empty = ArrayDataset(x[:0], np.zeros(0), divisor=255).resized(6)
    assert empty.sample_shape == (1, 6, 6)
