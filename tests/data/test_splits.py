import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.data import (
    ArrayDataset,
    Dataset,
    digits,
    stratified_split,
    train_validation_test_split,
)


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=80),
    st.lists(st.integers(0, 30), min_size=1, max_size=4),
    st.integers(0, 2**64),
)
def test_parts_are_disjoint_exact_and_stratified(labels, sizes, seed):
    labels = np.array(labels)
    if sum(sizes) > len(labels):
        with pytest.raises(ValueError, match=r"\[split\] expected sizes of at most"):
            stratified_split(labels, sizes, seed)
        return
    parts = stratified_split(labels, sizes, seed)
    assert [len(part) for part in parts] == sizes
    together = np.concatenate(parts)
    assert len(np.unique(together)) == len(together)
    left = np.bincount(labels, minlength=5).astype(float)
    for part in parts:
        assert np.array_equal(part, np.sort(part))
        share = np.bincount(labels[part], minlength=5)
        if left.sum():
            assert np.abs(share - left * len(part) / left.sum()).max() < 1
        left -= share


def test_fractions_leave_nothing_over():
    labels = np.arange(1797) % 10
    parts = stratified_split(labels, (0.7, 0.1, 0.2))
    assert sum(len(part) for part in parts) == 1797
    assert [len(p) for p in stratified_split(labels, (0.25,))] == [449]


def test_seed_and_labels_of_text():
    labels = np.array(["cat", "dog"] * 50)
    (a,) = stratified_split(labels, (20,), seed=0)
    (b,) = stratified_split(labels, (20,), seed=1)
    assert not np.array_equal(a, b)
    assert np.array_equal(a, stratified_split(labels, (20,), seed=0)[0])
    assert np.count_nonzero(labels[a] == "cat") == 10


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((), "at least one size"),
        ((-1,), "at least 0"),
        ((5, 0.5), "all sizes as counts or all as fractions"),
        ((0.7, 0.6), "at most 10"),
        ((11,), "at most 10"),
    ],
)
def test_bad_sizes(sizes, message):
    with pytest.raises(ValueError, match=message):
        stratified_split(np.zeros(10, int), sizes)


def test_labels_must_be_a_vector():
    with pytest.raises(ValueError, match=r"labels of shape \(N,\), got shape \(4, 2\)"):
        stratified_split(np.zeros((4, 2)), (1,))


def test_train_validation_test():
    parts = train_validation_test_split(digits("all"), validation=240, test=0.2, seed=7)
    assert [len(part) for part in parts] == [1198, 240, 359]
    assert (
        sum(np.bincount(part.y) for part in parts).tolist() == np.bincount(digits("all").y).tolist()
    )
    assert parts.train.classes == tuple("0123456789")


def test_regression_is_split_without_strata():
    data = ArrayDataset(np.arange(50.0), np.arange(50.0)[:, None])
    parts = train_validation_test_split(data, 5, 10, stratify=False)
    assert [len(part) for part in parts] == [35, 5, 10]
    assert sorted(np.concatenate([part.x for part in parts]).tolist()) == list(range(50))
    with pytest.raises(ValueError, match="labels of shape"):
        train_validation_test_split(data, 5, 10)


def test_a_dataset_without_labels_says_so():
    class Squares(Dataset):
        def __len__(self):
            return 10

        def __getitem__(self, index):
            return np.float32(index), np.float32(index * index)

    with pytest.raises(ValueError, match="stratify=False"):
        train_validation_test_split(Squares())
    parts = train_validation_test_split(Squares(), 2, 3, stratify=False)
    assert [len(part) for part in parts] == [5, 2, 3]
    with pytest.raises(ValueError, match="within 10 samples"):
        train_validation_test_split(Squares(), 6, 5, stratify=False)
