import numpy as np
import pytest

from ranvier.data.counter import SampleRandom, hash64, mix64, permutation


def test_mix_is_the_published_splitmix64():
    # First outputs of SplitMix64 seeded with 1234567, as published with the generator.
    state = (1234567 + np.arange(1, 6).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)).astype(
        np.uint64
    )
    assert mix64(state).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_a_number_depends_on_its_keys_only():
    together = SampleRandom(3, 5, np.arange(100))
    first, second = together.uniform(), together.uniform()
    for i in (0, 1, 57, 99):
        alone = SampleRandom(3, 5, [i])
        assert alone.uniform()[0] == first[i]
        assert alone.uniform()[0] == second[i]
    backwards = SampleRandom(3, 5, np.arange(100)[::-1]).uniform()
    assert np.array_equal(backwards[::-1], first)


@pytest.mark.parametrize("other", [(4, 5, 0), (3, 6, 0), (3, 5, 1), (-3, 5, 0), (3 + 2**40, 5, 0)])
def test_every_key_matters(other):
    seed, epoch, stream = other
    a = SampleRandom(3, 5, np.arange(1000)).uniform()
    b = SampleRandom(seed, epoch, np.arange(1000), stream).uniform()
    assert not np.any(a == b)
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(1000)


def test_children_are_independent_and_reproducible():
    random = SampleRandom(0, 0, np.arange(2000))
    a, b = random.child(0), random.child(1)
    grandchild = a.child(0)
    draws = [random.uniform(), a.uniform(), b.uniform(), grandchild.uniform()]
    table = np.corrcoef(draws) - np.eye(4)
    assert np.abs(table).max() < 4 / np.sqrt(2000)
    assert np.array_equal(random.child(1).uniform(), draws[2])  # whatever was drawn before
    assert np.array_equal(random.restart().uniform(), draws[0])


def test_uniform_moments_and_range():
    n = 100_000
    random = SampleRandom(1, 2, np.arange(n))
    u = random.uniform()
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 4 * np.sqrt(1 / 12 / n)
    assert abs(u.var() - 1 / 12) < 4 * np.sqrt(1 / 180 / n)
    counts = np.bincount((u * 16).astype(int), minlength=16)
    assert ((counts - n / 16) ** 2 / (n / 16)).sum() < 50  # chi-square, 15 degrees: p < 1e-5
    later = random.uniform()
    assert abs(np.corrcoef(u, later)[0, 1]) < 4 / np.sqrt(n)
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 4 / np.sqrt(n)
    scaled = SampleRandom(1, 2, np.arange(n)).uniform(-3, 5)
    assert scaled.min() >= -3
    assert scaled.max() < 5


def test_integers_cover_their_range_and_coins_fall():
    random = SampleRandom(0, 0, np.arange(60_000))
    values = random.integers(-2, 4)
    assert sorted(set(values.tolist())) == [-2, -1, 0, 1, 2, 3]
    assert np.abs(np.bincount(values + 2) - 10_000).max() < 4 * np.sqrt(10_000)
    assert abs(random.coin(0.25).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 60_000)
    assert not random.coin(0.0).any()
    assert random.coin(1.0).all()
    with pytest.raises(ValueError, match="low < high"):
        random.integers(2, 2)


def test_words_are_the_same_as_single_draws():
    a, b = SampleRandom(0, 0, [4, 5]), SampleRandom(0, 0, [4, 5])
    block = a.words(3)
    assert np.array_equal(block, np.concatenate([b.words() for _ in range(3)], axis=1))


def test_hash_order_and_extremes():
    assert hash64(1, 2)[0] != hash64(2, 1)[0]
    assert hash64(0)[0] != hash64(0, 0)[0]
    assert hash64(-1)[0] == hash64(2**64 - 1)[0]  # two's complement
    assert hash64(2**63)[0] != hash64(0)[0]
    assert len(np.unique(hash64(7, np.arange(-5000, 5000)))) == 10_000


def test_permutation():
    order = permutation(1000, 0, 3)
    assert order.dtype == np.int64
    assert np.array_equal(np.sort(order), np.arange(1000))
    assert np.array_equal(order, permutation(1000, 0, 3))
    assert not np.array_equal(order, permutation(1000, 0, 4))
    assert permutation(0, 1).tolist() == []
    # Pinned: an order must not change with NumPy's version, or resumed runs would differ.
    assert permutation(8, 0, 0).tolist() == [0, 7, 2, 5, 4, 6, 3, 1]


def test_large_seeds():
    for seed in (2**31, 2**63, 2**64 - 1, -(2**63)):
        assert SampleRandom(seed, 0, [0]).uniform().shape == (1,)
        assert len(permutation(5, seed)) == 5
