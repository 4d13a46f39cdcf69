"""Copies: every pair of dtypes, every layout, broadcasting, rounding."""

import numpy as np
import pytest

import ranvier as rv
from ranvier.reference import copy as ref
from tests.harness import Case, N, OpTests, Raises, host, normal

pytestmark = pytest.mark.kernels

DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool")
# Numbers that every dtype holds, and numbers that lose something.
WHOLE = np.array([[0.0, 1.0, 2.0], [100.0, 3.0, 255.0]])
BETWEEN = [0.0, -0.0, 0.5, 1.5, 2.5, 0.1, 1 / 3, 1.00390625, 1.01171875, 65519.0, 1e-8, 3.4e38]


def there_and_back(x: rv.Tensor) -> rv.Tensor:
    return x.to("float64").to(x.dtype)


def contiguous(x: rv.Tensor) -> rv.Tensor:
    return x.contiguous()


def same(x: np.ndarray) -> np.ndarray:
    return x


def same_backward(grad: np.ndarray, x: np.ndarray) -> np.ndarray:
    return grad


class TestCopy(OpTests):
    cases = [
        Case(there_and_back, same, normal(N, 5), backward=same_backward),
        Case(contiguous, same, normal(N, 3, 4, 5), backward=same_backward),
        Case(contiguous, same, normal(67, 2053), backward=same_backward),
    ]
    errors = [
        Raises(TypeError, r"\[dtype\] expected one of", rv.Tensor.to, normal(2), "complex64"),
    ]


@pytest.mark.parametrize("here", DTYPES)
@pytest.mark.parametrize("there", DTYPES)
def test_every_pair_of_dtypes(here, there):
    x = rv.tensor(WHOLE, dtype=here)
    held = WHOLE != 0 if "bool" in (here, there) else WHOLE
    y = x.to(there)
    assert y.dtype.name == there
    np.testing.assert_array_equal(host(y.to("float64")), held)
    back = y.to(here)
    assert back.dtype.name == here
    np.testing.assert_array_equal(host(back.to("float64")), held)


@pytest.mark.parametrize("there", ["float32", "bfloat16", "int32", "bool"])
@pytest.mark.parametrize("here", ["float32", "bfloat16", "uint8"])
def test_views_at_any_address(here, there):
    """From every element of 16 bytes on: some start where several cannot be read at once."""
    x = rv.tensor(np.arange(1031) % 7, dtype=here)
    for start in range(17):
        part = host(x[start:].to(there).to("float64"))
        wanted = np.arange(start, 1031) % 7
        np.testing.assert_array_equal(part, wanted != 0 if there == "bool" else wanted)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_rounding_goes_to_the_nearest_of_two_to_the_even_one(dtype):
    x = np.array([*BETWEEN, *(-b for b in BETWEEN), np.inf, -np.inf, np.nan], np.float32)
    x = np.concatenate([x, np.random.default_rng(0).normal(0, 100, 1000).astype(np.float32)])
    with np.errstate(over="ignore"):
        expected = ref.to(x, dtype).astype(np.float32)
    y = host(rv.tensor(x).to(dtype).to("float32"))
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_half_precision_number_survives(dtype):
    bits = np.arange(2**16, dtype=np.uint16)
    if dtype == "float16":
        x = bits.view(np.float16).astype(np.float32)
    else:
        x = (bits.astype(np.uint32) << 16).view(np.float32)
    x = x[~np.isnan(x)]
    np.testing.assert_array_equal(host(rv.tensor(x).to(dtype).to("float32")), x)


def test_fractions_are_cut_towards_zero():
    x = rv.tensor([1.9, -1.9, 0.5, -0.5, 2.0])
    assert x.to("int64").tolist() == [1, -1, 0, 0, 2]
    assert x.to("int32").tolist() == [1, -1, 0, 0, 2]


def test_everything_but_zero_is_true():
    assert rv.tensor([0.0, -0.0, 0.25, np.nan]).to("bool").tolist() == [False, False, True, True]
    assert rv.tensor([0, 256, -1]).to("bool").tolist() == [False, True, True]


def test_large_whole_numbers_stay_exact():
    x = rv.tensor([2**53 + 1, -(2**62) - 1])
    assert x.to("int64").tolist() == x.tolist()
    assert rv.tensor([2**53 - 1]).to("float64").item() == 2**53 - 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_copy_broadcasts_into_any_layout(dtype):
    base = np.zeros((4, 6), np.float32)
    target = rv.from_numpy(base[::-2, 1::2])
    target.copy_(rv.tensor([1.0, 0.0, 1.0]).to(dtype))
    assert base.tolist() == [[0.0] * 6, [0, 1, 0, 0, 0, 1], [0.0] * 6, [0, 1, 0, 0, 0, 1]]


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (7, 100), (300, 65), (3, 5, 40)])
def test_a_column_is_repeated_along_rows(dtype, shape):
    """Whichever way the rows of the result lie."""
    x = (np.arange(np.prod(shape[:-1])) % 251).astype(dtype).reshape(*shape[:-1], 1)
    for order in (lambda a: a, lambda a: np.swapaxes(a, 0, -1)):
        whole = np.zeros(order(np.zeros(shape)).shape, dtype)
        target = order(whole)
        rv.from_numpy(target).copy_(rv.from_numpy(x))
        np.testing.assert_array_equal(target, np.broadcast_to(x, shape))


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
@pytest.mark.parametrize("rows", [2, 3, 4])
@pytest.mark.parametrize("shape", [(7,), (8,), (3, 65), (5, 2, 100), (9, 4000)])
def test_a_few_rows_element_by_element_in_turns(dtype, rows, shape):
    x = (np.arange(rows * np.prod(shape)) % 251).astype(dtype).reshape(rows, *shape)
    turned = rv.from_numpy(x).permute(*range(1, x.ndim), 0)
    y = turned.contiguous()
    assert y.data.is_contiguous
    np.testing.assert_array_equal(y.numpy(), np.moveaxis(x, 0, -1))
    wide = np.zeros((*shape, rows + 1), dtype)  # not where the target has gaps
    rv.from_numpy(wide)[..., :rows].copy_(turned)
    np.testing.assert_array_equal(wide[..., :rows], np.moveaxis(x, 0, -1))
    assert not wide[..., rows].any()


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
@pytest.mark.parametrize("length", [1, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 513])
@pytest.mark.parametrize("outer", [(2, 3, 2), (1, 4, 9), (3, 1, 1500)])
def test_rows_within_longer_rows(dtype, length, outer):
    """Rows of every size, whose neighbours in memory stay as they are."""
    x = np.arange(np.prod(outer) * (length + 5)) % 251
    x = x.astype(dtype).reshape(*outer, length + 5)
    whole = np.zeros((*outer, length + 2), dtype)
    for source in (x[..., 2:-3], x[:, :, ::-1, 2:-3], x[:, :, :1, 2:-3]):
        whole[:] = 7
        rv.from_numpy(whole)[..., 1:-1].copy_(rv.from_numpy(source))
        np.testing.assert_array_equal(whole[..., 1:-1], np.broadcast_to(source, (*outer, length)))
        assert (whole[..., 0] == 7).all()
        assert (whole[..., -1] == 7).all()


SIDES = (1, 3, 4, 5, 8, 15, 16, 17, 31, 33, 64, 67)


def numbers(shape: tuple[int, ...], dtype: str) -> rv.Tensor:
    x = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 120, shape)
    return rv.tensor(x.astype(np.float64), dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_turned_matrices_of_any_size(dtype):
    x = numbers((67, 67), dtype)
    held = host(x.to("float64"))
    for rows in SIDES:
        for columns in SIDES:
            y = x[:rows, :columns].T.contiguous()
            assert y.data.is_contiguous
            np.testing.assert_array_equal(host(y.to("float64")), held[:rows, :columns].T)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (3, 16, 8, 8), (1, 70, 9, 17), (2, 5, 40, 1)])
def test_channels_to_the_end_and_back(dtype, shape):
    x = numbers(shape, dtype)
    y = x.channels_last()
    assert y.data.is_channels_last
    np.testing.assert_array_equal(host(y.to("float64")), host(x.to("float64")))
    back = y.contiguous()
    assert back.data.is_contiguous
    np.testing.assert_array_equal(host(back.to("float64")), host(x.to("float64")))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "uint8"])
def test_turned_views_of_any_strides(dtype):
    """Reversed rows and columns, steps, more axes than two, targets that are views themselves."""
    base = np.random.default_rng(1).integers(0, 120, (6, 40, 70)).astype(dtype)
    x = rv.from_numpy(base)
    for view in (
        lambda a: a[:, ::-1].transpose(0, 2, 1),
        lambda a: a[::-2, ::3].transpose(0, 2, 1),
        lambda a: a[:, :, ::-1].transpose(0, 2, 1),
        lambda a: a.transpose(2, 1, 0),
        lambda a: a.transpose(1, 2, 0),
        lambda a: a[:, 1:39, 3:68].transpose(2, 0, 1),
    ):
        want = view(base)
        got = rv.from_numpy(view(base))
        np.testing.assert_array_equal(host(got.contiguous()), want)
        target = np.zeros(tuple(n + 3 for n in want.shape), dtype)
        place = target[tuple(slice(1, n + 1) for n in want.shape)]
        rv.from_numpy(place).copy_(got)
        np.testing.assert_array_equal(place, want)
        assert target.sum(dtype=np.float64) == want.sum(dtype=np.float64)  # nothing beside it
    turned = np.zeros((70, 40, 6), dtype)
    rv.from_numpy(turned.transpose(2, 1, 0)).copy_(x)
    np.testing.assert_array_equal(turned, base.transpose(2, 1, 0))


def test_turning_moves_bits():
    bits = np.random.default_rng(2).integers(0, 2**32, (50, 70), dtype=np.uint32)
    y = host(rv.from_numpy(bits.view(np.float32)).T.contiguous())  # NaNs of every kind among them
    np.testing.assert_array_equal(y.view(np.uint32), bits.T)
