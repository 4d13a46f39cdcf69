"""Random numbers: bit-equal to the reference's counter, whatever the layout and thread count."""

import numpy as np
import pytest

import ranvier as rv
from ranvier.reference import random as ref
from tests.harness import devices, host, threads

pytestmark = pytest.mark.kernels

SIZES = [0, 1, 2, 3, 5, 255, 256, 257, 1021, 70_001]


@pytest.fixture(autouse=True)
def _seed():
    before = rv.get_rng_state()
    rv.manual_seed(0xDEADBEEF12345)
    yield
    rv.set_rng_state(before)


@pytest.mark.parametrize("size", SIZES)
def test_uniforms_are_the_references_bits(size):
    rv.set_rng_state({"seed": 0xDEADBEEF12345, "offset": (7 << 32) + 5})
    expected = ref.uniforms(size, 0xDEADBEEF12345, (7 << 32) + 5)
    assert host(rv.rand(size)).tobytes() == expected.tobytes()


@pytest.mark.parametrize("size", SIZES)
def test_normals_are_within_four_last_places(size):
    offset = rv.get_rng_state()["offset"]
    expected = ref.normals(size, 0xDEADBEEF12345, offset)
    y = host(rv.randn(size))
    assert (np.abs(y - expected) <= 4 * np.spacing(np.abs(expected).astype(np.float32))).all()


def test_double_normals_are_the_references():
    expected = ref.normals(1001, 0xDEADBEEF12345, 0)
    # The reference takes the sine of the rounded angle; near its zeros that costs digits.
    np.testing.assert_allclose(host(rv.randn(1001, dtype="float64")), expected, rtol=0, atol=1e-14)


def test_each_draw_takes_its_blocks():
    first = host(rv.rand(5))
    assert rv.get_rng_state()["offset"] == 2
    second = host(rv.rand(5))
    assert rv.get_rng_state()["seed"] == 0xDEADBEEF12345
    assert rv.get_rng_state()["offset"] == 4
    assert (first != second).any()
    np.testing.assert_array_equal(second, ref.uniforms(5, 0xDEADBEEF12345, 2))
    rv.rand(0)
    assert rv.get_rng_state()["offset"] == 4


def test_seeds_repeat_and_differ():
    rv.manual_seed(3)
    a = host(rv.randn(100))
    rv.manual_seed(3)
    np.testing.assert_array_equal(host(rv.randn(100)), a)
    rv.manual_seed(4)
    assert (host(rv.randn(100)) != a).all()
    rv.manual_seed(-1)
    assert rv.get_rng_state()["seed"] == -1
    rv.manual_seed(2**64 - 1)
    assert rv.get_rng_state()["seed"] == -1


def test_the_state_goes_out_and_in():
    rv.rand(17)
    state = rv.get_rng_state()
    a = host(rv.rand(9))
    rv.set_rng_state(state)
    np.testing.assert_array_equal(host(rv.rand(9)), a)
    with pytest.raises(ValueError, match=r"\[set_rng_state\] expected"):
        rv.set_rng_state({"seed": 1})


def test_threads_do_not_matter():
    def draws() -> list[bytes]:
        rv.manual_seed(8)
        made = (rv.rand(99_999), rv.randn(99_999), rv.randint(7, 1000, (99_999,)), rv.randperm(999))
        return [host(t).tobytes() for t in made]

    expected = draws()
    for count in (1, 2, 3):
        with threads(count):
            assert draws() == expected


def test_moments():
    u, z = host(rv.rand(1_000_000)), host(rv.randn(1_000_000)).astype(np.float64)
    assert (u >= 0).all()
    assert (u < 1).all()
    assert abs(u.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 1e6)
    assert abs(z.mean()) < 4e-3
    assert abs(z.var() - 1) < 4 * np.sqrt(2e-6)
    assert abs((z**3).mean()) < 4 * np.sqrt(15e-6)
    assert np.isfinite(z).all()
    assert abs(np.corrcoef(z[::2], z[1::2])[0, 1]) < 4 / np.sqrt(5e5)


def test_whole_numbers_fill_their_range_evenly():
    y = host(rv.randint(-3, 4, (70_000,)))
    assert y.dtype == np.int64
    values, counts = np.unique(y, return_counts=True)
    assert values.tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert (np.abs(counts - 10_000) < 400).all()
    words = ref.words(4, 0xDEADBEEF12345, rv.get_rng_state()["offset"]).astype(np.uint64)
    np.testing.assert_array_equal(
        host(rv.randint(10, shape=(4,))), (words * np.uint64(10)) >> np.uint64(32)
    )
    for low, high in [(3, 3), (0, 2**32 + 1)]:
        with pytest.raises(ValueError, match=r"\[randint\] expected low below high"):
            rv.randint(low, high)


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_permutations_hold_each_number_once(n):
    assert sorted(host(rv.randperm(n)).tolist()) == list(range(n))


def test_all_permutations_are_equally_likely():
    seen = [tuple(host(rv.randperm(3)).tolist()) for _ in range(6000)]
    _, counts = np.unique(seen, axis=0, return_counts=True)
    assert len(counts) == 6
    assert (np.abs(counts - 1000) < 4 * np.sqrt(1000)).all()


def test_bernoulli():
    y = rv.bernoulli(rv.full((100_000,), 0.3))
    assert y.dtype == rv.float32
    assert set(np.unique(host(y)).tolist()) == {0.0, 1.0}
    assert abs(host(y).mean() - 0.3) < 4 * np.sqrt(0.21 / 1e5)
    assert host(rv.bernoulli(rv.zeros(9))).sum() == 0
    assert host(rv.bernoulli(rv.ones(9))).sum() == 9
    assert rv.bernoulli(rv.full((2, 3), 2.0, device="meta")).shape == (2, 3)
    assert rv.bernoulli(rv.ones(0, 3)).shape == (0, 3)


@pytest.mark.parametrize("name", ["bernoulli", "categorical", "rand_like", "randn_like"])
def test_arrays_are_no_tensors(name):
    with pytest.raises(TypeError, match=rf"\[{name}\] expected a tensor, got ndarray"):
        getattr(rv, name)(np.ones((2, 3), np.float32))


@pytest.mark.parametrize("device", devices())
@pytest.mark.parametrize("p", [-0.1, 1.0001, np.nan])
def test_bernoulli_takes_probabilities(p, device):
    x = rv.tensor(np.array([[0.5, p], [0.5, 1.0]]), device=device)
    with pytest.raises(ValueError, match=r"\[bernoulli\] expected probabilities from 0 to 1, got "):
        rv.bernoulli(x.T)
    with pytest.raises(TypeError, match=r"\[bernoulli\] expected .* floating dtype, got int64"):
        rv.bernoulli(rv.tensor([1], device=device))


@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_multinomial_is_the_references(replacement, dtype):
    weights = np.random.default_rng(0).uniform(0.0, 1.0, (7, 11)).astype(dtype)
    weights[:, 3] = 0.0
    offset = rv.get_rng_state()["offset"]
    y = host(rv.multinomial(rv.tensor(weights), 6, replacement))
    each = 6 if replacement else 11
    u = ref.uniforms(7 * each, 0xDEADBEEF12345, offset).astype(np.float64).reshape(7, each)
    expected = [ref.multinomial(w, v, 6, replacement) for w, v in zip(weights, u, strict=True)]
    assert y.dtype == np.int64
    np.testing.assert_array_equal(y, expected)
    assert not (y == 3).any()


def test_multinomial_draws_by_weight():
    p, n = np.array([0.1, 0.2, 0.3, 0.4]), 100_000
    y = host(rv.multinomial(rv.tensor(p * 7), n, replacement=True))
    counts = np.bincount(y, minlength=4)
    assert (np.abs(counts - n * p) < 4 * np.sqrt(n * p * (1 - p))).all()


def test_multinomial_without_replacement_draws_from_what_is_left():
    p, n = np.array([0.1, 0.2, 0.3, 0.4]), 50_000
    y = host(rv.multinomial(rv.tensor(np.broadcast_to(p, (n, 4)).copy()), 2))
    assert (y[:, 0] != y[:, 1]).all()
    pairs = np.zeros((4, 4))
    np.add.at(pairs, (y[:, 0], y[:, 1]), 1)
    expected = p[:, None] * p / (1 - p[:, None])  # the second among those that are left
    np.fill_diagonal(expected, 0.0)
    assert (np.abs(pairs - n * expected) <= 4 * np.sqrt(n * expected * (1 - expected))).all()
    every = host(rv.multinomial(rv.tensor(p), 4))
    assert sorted(every.tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("weights", "count", "replacement", "text"),
    [
        ([0.0, 0.0], 1, True, "at least 1 weights above 0, got 0 in row 0"),
        ([0.0, 1.0], 2, False, "at least 2 weights above 0, got 1"),
        ([-1.0, 1.0], 1, True, "weights from 0 up, got -1"),
        ([np.nan, 1.0], 1, True, "weights from 0 up"),
        ([np.inf, 1.0], 1, True, "weights from 0 up"),
        ([1.0, 1.0], 3, False, "at most the 2 weights .* replacement=True"),
        ([1.0, 1.0], 0, True, "at least one draw"),
        ([[[1.0]]], 1, True, r"weights of shape \(n\) or \(rows, n\)"),
    ],
)
def test_what_multinomial_refuses(weights, count, replacement, text):
    with pytest.raises(ValueError, match=rf"\[multinomial\] expected .*{text}"):
        rv.multinomial(rv.tensor(weights), count, replacement)


def test_multinomial_asks_for_floats():
    with pytest.raises(TypeError, match=r"\[multinomial\] expected floating weights"):
        rv.multinomial(rv.tensor([1, 2]), 1)
    assert rv.multinomial(rv.zeros(3, 4, device="meta"), 2).shape == (3, 2)
    assert rv.multinomial(rv.zeros(0, 4), 2).shape == (0, 2)


def test_categorical():
    p = np.array([[0.2, 0.8], [0.5, 0.5]])
    y = host(rv.categorical(rv.tensor(np.broadcast_to(p, (20_000, 2, 2)).copy())))
    assert y.shape == (20_000, 2)
    assert (np.abs(y.mean(0) - p[:, 1]) < 4 * np.sqrt(p[:, 0] * p[:, 1] / 20_000)).all()
    assert rv.categorical(rv.tensor([0.0, 1.0])).item() == 1
    assert rv.categorical(rv.zeros(0, 3, 4)).shape == (0, 3)
    with pytest.raises(ValueError, match=r"\[categorical\] expected"):
        rv.categorical(rv.tensor(1.0))


def test_a_replayed_draw_checks_its_weights():
    p = rv.ones(4)
    step = rv.capture(lambda p: rv.multinomial(p, 3, True))
    rv.manual_seed(1)
    captured = [host(step(p)).copy() for _ in range(5)]
    rv.manual_seed(1)
    for y in captured:
        np.testing.assert_array_equal(host(rv.multinomial(p, 3, True)), y)
    with pytest.raises(ValueError, match=r"\[multinomial\] expected"):
        step(p * -1)


def test_normal_and_uniform():
    y = host(rv.normal(3.0, 0.5, (100_000,)))
    assert abs(y.mean() - 3.0) < 4 * 0.5 / np.sqrt(1e5)
    assert abs(y.std() - 0.5) < 4 * 0.5 / np.sqrt(2e5)
    mean, std = rv.tensor([[0.0], [10.0]], requires_grad=True), rv.tensor([1.0, 0.0, 2.0])
    rv.manual_seed(2)
    y = rv.normal(mean, std)
    rv.manual_seed(2)
    np.testing.assert_array_equal(host(y), host(mean + std * rv.randn(2, 3)))
    assert not y.requires_grad
    u = host(rv.uniform(-1.0, 3.0, (100_000,)))
    assert u.min() >= -1.0
    assert u.max() < 3.0
    assert abs(u.mean() - 1.0) < 4 * 4 / np.sqrt(12e5)
    assert rv.normal().shape == rv.uniform().shape == ()
    assert rv.uniform(size=3, dtype="float64").dtype == rv.float64
    with pytest.raises(ValueError, match=r"\[normal\] expected a standard"):
        rv.normal(0.0, -1.0, 3)
    with pytest.raises(ValueError, match=r"\[normal\] expected no size"):
        rv.normal(mean, 1.0, (2, 1))


def test_filling_in_place():
    x = rv.zeros(1000).uniform_(-2.0, 3.0)
    assert -2.0 <= x.min().item() < -1.9
    assert 2.9 < x.max().item() < 3.0
    x.normal_(5.0, 0.1)
    assert abs(x.mean().item() - 5.0) < 0.02
    w = rv.zeros(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="no_grad"):
        w.normal_()


def test_dtypes_and_devices():
    assert rv.rand(2, 3).shape == (2, 3)
    assert rv.rand((2, 3), requires_grad=True).requires_grad
    assert rv.randn(3, dtype="float16").dtype == rv.float16
    assert str(rv.randn(3, device="meta").device) == "meta"
    assert rv.rand_like(rv.zeros(2, 3, dtype="float64")).dtype == rv.float64
    assert rv.randn_like(rv.zeros(2, 3)).shape == (2, 3)
    with pytest.raises(TypeError, match=r"\[rand\] expected a floating dtype"):
        rv.rand(3, dtype="int64")


def test_a_replayed_step_draws_fresh_numbers():
    step = rv.capture(lambda: (rv.randn(7), rv.rand(3)))
    rv.manual_seed(5)
    captured = [[host(t).copy() for t in step()] for _ in range(5)]
    rv.manual_seed(5)
    for a, b in captured:
        np.testing.assert_array_equal(host(rv.randn(7)), a)
        np.testing.assert_array_equal(host(rv.rand(3)), b)


def test_the_forms_of_randint():
    assert rv.randint(7, (2, 3)).shape == rv.randint(0, 7, size=(2, 3)).shape == (2, 3)
    assert rv.randint(7, shape=5).amax().item() < 7
    assert rv.randint(0, 7, (2,), dtype=rv.int32).dtype is rv.int32
    with pytest.raises(TypeError, match=r"\[randint\] expected whole numbers as ends, got 0 and 1"):
        rv.randint(1.5)
