import gc
import json
import logging
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
from ranvier.data import ArrayDataset, DataLoader, Dataset, digits, transforms
from ranvier.data.loader import to_tensor


def toy(n):
    return ArrayDataset(np.arange(n * 4, dtype=np.float32).reshape(n, 1, 2, 2), np.arange(n))


def loader(n=100, batch_size=16, **options):
    return DataLoader(toy(n), batch_size, **{"output": "numpy", **options})


def labels(batches):
    return [y.tolist() for _, y in batches]


def digest(batches):
    return [(x.tobytes(), y.tobytes()) for x, y in batches]


def data_threads():
    return [t for t in threading.enumerate() if t.name.startswith("ranvier-data")]


def test_batches_cover_the_dataset_in_order():
    batches = list(loader(20, 8))
    assert labels(batches) == [list(range(8)), list(range(8, 16)), list(range(16, 20))]
    x, y = batches[1]
    assert np.array_equal(x, toy(20).x[8:16])
    assert y.dtype == np.int64


@given(
    st.integers(0, 70),
    st.integers(1, 20),
    st.sampled_from(["auto", "keep", "drop"]),
    st.booleans(),
    st.integers(0, 3),
)
def test_every_length(n, batch_size, last, shuffle, threads):
    if last == "drop" and 0 < n < batch_size:
        with pytest.raises(ValueError, match="at least"):
            loader(n, batch_size, last=last)
        return
    source = loader(n, batch_size, last=last, shuffle=shuffle, threads=threads)
    batches = labels(source)
    assert len(batches) == len(source)
    seen = [i for batch in batches for i in batch]
    kept = n - n % batch_size if last == "drop" else n
    assert len(seen) == kept
    assert len(set(seen)) == kept
    sizes = [len(batch) for batch in batches]
    assert all(size == batch_size for size in sizes[:-1])
    if last == "auto" and n > 1 and batch_size > 1:
        assert 1 not in sizes


def test_a_single_last_sample_is_merged_with_one_warning(caplog):
    with caplog.at_level(logging.WARNING, "ranvier"):
        source = loader(33, 8)
        assert len(source) == 4
        for _ in range(3):
            assert [len(b) for b in labels(source)] == [8, 8, 8, 9]
    assert len(caplog.records) == 1
    assert caplog.records[0].name == "ranvier"
    assert "33 samples in batches of 8 leave one over" in caplog.text
    caplog.clear()
    assert [len(b) for b in labels(loader(33, 8, last="keep"))] == [8, 8, 8, 8, 1]
    assert [len(b) for b in labels(loader(33, 8, last="drop"))] == [8, 8, 8, 8]
    assert [len(b) for b in labels(loader(1, 8))] == [1]
    assert [len(b) for b in labels(loader(3, 1))] == [1, 1, 1]
    assert [len(b) for b in labels(loader(8, 8))] == [8]
    assert not caplog.records


def test_shuffle_depends_on_seed_and_epoch_only():
    source = loader(shuffle=True, seed=5)
    first, second = labels(source), labels(source)
    assert first != second
    assert sorted(i for b in first for i in b) == list(range(100))
    other = loader(shuffle=True, seed=5, threads=0)
    assert labels(other) == first
    assert labels(other) == second
    assert labels(loader(shuffle=True, seed=6)) != first
    other.epoch = 0
    assert labels(other) == first


def test_same_bits_for_any_number_of_threads():
    augment = transforms.Compose(
        [transforms.RandomAffine(degrees=10, translate=0.1), transforms.Cutout(2)]
    )
    runs = []
    for threads, prefetch in ((0, 1), (1, 1), (2, 2), (4, 3)):
        source = DataLoader(
            digits("validation"),
            32,
            shuffle=True,
            seed=1,
            transform=augment,
            threads=threads,
            prefetch=prefetch,
            output="numpy",
        )
        runs.append([digest(source), digest(source)])
    assert runs[0] == runs[1] == runs[2] == runs[3]
    assert runs[0][0] != runs[0][1]


def test_augmentation_does_not_depend_on_the_batch():
    augment = transforms.RandomAffine(degrees=10, translate=0.1)
    data = digits("validation")

    def run(batch_size, shuffle):
        source = DataLoader(data, batch_size, shuffle, transform=augment, output="numpy")
        order = source.order(0)
        x = np.concatenate([x for x, _ in source])
        restored = np.empty_like(x)
        restored[order] = x
        return restored.tobytes()

    assert run(7, False) == run(64, True) == run(240, False)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("stop", [1, 3, 6, 7])
def test_resuming_in_the_middle_of_an_epoch_is_exact(stop, shuffle):
    def make():
        return loader(
            100, 16, shuffle=shuffle, seed=9, transform=transforms.RandomShift(0.4), threads=2
        )

    whole = make()
    expected = digest(whole) + digest(whole)
    half = make()
    got = []
    for number, (x, y) in enumerate(half, 1):
        got.append((x.tobytes(), y.tobytes()))
        if number == stop:
            state = json.loads(json.dumps(half.state_dict()))
            break
    fresh = make()
    fresh.load_state_dict(state)
    while len(got) < len(expected):
        got += digest(fresh)
    assert got == expected
    assert (fresh.epoch, fresh.state_dict()["batch"]) == (2, 0)


def test_resuming_computes_nothing_that_was_done():
    calls = []

    class Counting(ArrayDataset):
        def batch(self, indices):
            calls.append(indices.tolist())
            return super().batch(indices)

    data = Counting(np.zeros((40, 1)), np.arange(40))
    source = DataLoader(data, 10, output="numpy", threads=0)
    source.load_state_dict({**source.state_dict(), "batch": 3})
    assert labels(source) == [list(range(30, 40))]
    assert calls == [list(range(30, 40))]


def test_epochs_count():
    source = loader(40, 10)
    assert source.epoch == 0
    for expected in range(3):
        for _ in source:
            assert source.epoch == expected
        assert source.epoch == expected + 1
    for _ in source:
        break
    assert source.epoch == 3
    assert source.state_dict()["batch"] == 1
    for _ in source:  # a new loop is the next epoch, also after a break
        assert source.epoch == 4
    assert source.epoch == 5
    source.epoch = 2
    assert source.state_dict()["batch"] == 0
    with pytest.raises(ValueError, match="epoch >= 0"):
        source.epoch = -1


def test_an_older_loop_does_not_move_the_newer_ones_place():
    source = loader(40, 10)
    old = iter(source)
    next(old)
    new = iter(source)
    next(new)
    next(new)
    next(old)
    assert source.state_dict()["batch"] == 2
    assert len(list(old)) == 2
    assert source.state_dict()["epoch"] == 1
    assert len(list(new)) == 2
    assert source.epoch == 2


def test_leaving_early_leaves_no_thread():
    assert not data_threads()
    source = loader(1000, 2, threads=3, prefetch=4)
    for _ in source:
        assert 1 <= len(data_threads()) <= 3
        break
    gc.collect()
    assert not data_threads()
    iterator = iter(source)
    next(iterator)
    iterator.close()
    assert not data_threads()
    forgotten = iter(source)
    next(forgotten)
    del forgotten
    assert not data_threads()
    list(source)
    assert not data_threads()

    def fail():
        for _ in source:
            raise RuntimeError("body")

    with pytest.raises(RuntimeError, match="body"):
        fail()
    gc.collect()
    assert not data_threads()
    iter(source)  # never advanced: nothing was started
    assert not data_threads()


class Failing(Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, index):
        if index == 25:
            raise OSError("disk on fire")
        return np.float32(index), index


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_errors_come_out_in_their_place(threads):
    source = DataLoader(Failing(), 10, threads=threads, prefetch=4, output="numpy")
    seen = []
    with pytest.raises(OSError, match="disk on fire"):
        seen.extend(y.tolist() for _, y in source)
    assert seen == [list(range(10)), list(range(10, 20))]
    gc.collect()
    assert not data_threads()


def test_a_transform_must_keep_the_samples():
    source = loader(20, 10, transform=lambda x, random: x[1:])
    with pytest.raises(ValueError, match=r"expected 10 samples from the transform, got shape"):
        list(source)


@pytest.mark.parametrize("threads", [1, 2])
def test_prefetch_is_bounded(threads):
    made, change = [], threading.Condition()

    class Watching(ArrayDataset):
        def batch(self, indices):
            with change:
                made.append(int(indices[0]))
                change.notify_all()
            return super().batch(indices)

    data = Watching(np.zeros((100, 1)), np.arange(100))
    source = DataLoader(data, 1, threads=threads, prefetch=3, output="numpy")
    for taken, _ in enumerate(source, 1):
        assert len(made) <= taken + 3
        if taken == 5:
            with change:  # the threads go on while the caller is busy
                assert change.wait_for(lambda: len(made) == 8, timeout=60)
    assert made == list(range(100)) or threads == 2


def test_batches_are_independent_arrays():
    data = toy(8)
    for x, y in DataLoader(data, 4, output="numpy"):
        x += 1
        y += 1
    assert np.array_equal(data.x, toy(8).x)
    assert np.array_equal(data.y, np.arange(8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size >= 1"),
        ({"last": "merge"}, "last auto, keep or drop, got 'merge'"),
        ({"prefetch": 0}, "prefetch >= 1"),
        ({"threads": -1}, "threads >= 0"),
        ({"output": "torch"}, "output tensor or numpy"),
        ({"batch_size": 101, "last": "drop"}, "at least 101 samples"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        loader(**options)


def test_bad_states():
    source = loader(40, 10, seed=1)
    state = source.state_dict()
    assert state == {
        "epoch": 0,
        "batch": 0,
        "samples": 40,
        "batch_size": 10,
        "shuffle": False,
        "seed": 1,
        "last": "auto",
    }
    for change, message in [
        ({"seed": 2}, "a state with seed=1, got 2 - resume with the settings"),
        ({"samples": 41}, "samples=40"),
        ({"batch": 5}, r"batch in \[0, 4\], got epoch 0, batch 5"),
        ({"epoch": -1}, "epoch >= 0"),
        ({"extra": 1}, "expected a state with batch, batch_size"),
    ]:
        with pytest.raises(ValueError, match=message):
            source.load_state_dict({**state, **change})
    with pytest.raises(ValueError, match="expected a state with"):
        source.load_state_dict([1])


def test_repr():
    assert "DataLoader(ArrayDataset(40 samples" in repr(loader(40, 10))


def test_tensors():
    augment = transforms.RandomAffine(degrees=10, translate=0.1)
    options = {"shuffle": True, "seed": 3, "transform": augment}
    data = digits("validation", size=16)
    tensors = DataLoader(data, 64, **options)
    arrays = DataLoader(data, 64, output="numpy", **options)
    for (x, y), (a, b) in zip(tensors, arrays, strict=True):
        assert isinstance(x, rv.Tensor)
        assert x.dtype == rv.float32
        assert y.dtype == rv.int64
        assert x.shape == a.shape
        assert np.array_equal(x.numpy(), a)
        assert np.array_equal(y.numpy(), b)


def test_tensors_share_the_memory_of_the_batch():
    batch = np.arange(6, dtype=np.float32).reshape(2, 3)
    shared = to_tensor(batch)
    batch[0, 0] = 9
    assert shared.numpy()[0, 0] == 9
    read_only = np.broadcast_to(np.float32(1), (4, 2))
    assert to_tensor(read_only).shape == (4, 2)
    with pytest.raises(TypeError):
        to_tensor(np.zeros(3, np.complex128))
    assert rv.from_numpy(batch.T).shape == (3, 2)


def test_a_batch_outlives_its_loop():
    tensors = [x for x, _ in DataLoader(toy(40), 10)]
    gc.collect()
    assert [float(x.numpy()[0, 0, 0, 0]) for x in tensors] == [0, 40, 80, 120]


class Samples(Dataset):
    """Whatever a function makes of a number."""

    def __init__(self, make):
        self.make = make

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return self.make(index)


def test_samples_may_be_tensors():
    x, y = next(iter(DataLoader(Samples(lambda i: (rv.ones(3) * i, i % 2)), 4)))
    assert (x.shape, x.dtype, y.dtype) == ((4, 3), rv.float32, rv.int64)
    assert x[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_a_list_of_samples_is_a_dataset():
    batches = list(DataLoader([(np.full(2, i), i) for i in range(5)], 2, last="keep"))
    assert [y.tolist() for _, y in batches] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda i: np.ones(2), TypeError, r"pairs \(x, y\), got ndarray - return a pair"),
        (lambda i: (1, 2, 3), TypeError, r"pairs \(x, y\), got tuple of 3"),
        (lambda i: {"x": 1, "y": 2}, TypeError, r"pairs \(x, y\), got dict"),
        (lambda i: (np.ones(i + 1), 0), ValueError, r"one shape in a batch, got \(1,\) and \(2,\)"),
    ],
)
def test_samples_that_make_no_batch(make, kind, text):
    with pytest.raises(kind, match=r"\[Dataset\] expected samples .*" + text):
        list(DataLoader(Samples(make), 4))


def test_options_of_another_loader():
    assert len(loader(10, 4, drop_last=True)) == 2
    for name, cure in (("num_workers", "threads="), ("collate_fn", "batch"), ("sampler", "subset")):
        with pytest.raises(TypeError, match=rf"\[DataLoader\] expected no .*'{name}' - .*{cure}"):
            loader(10, 4, **{name: 2})
    with pytest.raises(TypeError, match=r"\[DataLoader\] expected no argument 'nonsense'$"):
        loader(10, 4, nonsense=1)
    with pytest.raises(TypeError, match=r"batch_size as a whole number, got 2\.5"):
        loader(10, 2.5)
