"""Results that are stored past the cache have the bits of small ones, wherever they begin."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import ranvier as rv
from ranvier import functional as F

ROWS, COLUMNS = 1537, 4099  # 25.2 MB of float32; rows begin anywhere in a line of the cache
PIECE = 191  # rows at a time stay in the cache

Call = Callable[[rv.Tensor, rv.Tensor], rv.Tensor]
CALLS: dict[str, Call] = {
    "relu": lambda x, y: F.relu(x),
    "add": lambda x, y: x + y,
    "rows": lambda x, y: x * y[:, :1],
    "columns": lambda x, y: x - y[:1],
    "clip": lambda x, y: F.clip(x, -0.5, 0.5),
    "where": lambda x, y: F.where(x < y, x, y),
    "float64": lambda x, y: (x + y).to(rv.float64),
    "from float64": lambda x, y: (x.to(rv.float64) * 3.0).to(rv.float32),
    "bfloat16": lambda x, y: rv.concat([x, x, y], 1).to(rv.bfloat16).to(rv.float32),
    "turned": lambda x, y: x + y.T.contiguous().T,
    "int64": lambda x, y: (x * 1000.0).to(rv.int64) * 7,
}


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return tuple(rng.standard_normal((ROWS, COLUMNS), np.float32) for _ in range(2))


@pytest.mark.parametrize("name", CALLS)
def test_large_as_small(name: str, pair: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = pair
    call = CALLS[name]
    large = call(rv.tensor(x), rv.tensor(y)).numpy()
    for at in range(0, ROWS, PIECE):
        # What belongs to all rows comes from the first.
        rows = y[at : at + PIECE] if name != "columns" else np.repeat(y[:1], PIECE, 0)
        part = slice(at, min(at + PIECE, ROWS))
        small = call(rv.tensor(x[part]), rv.tensor(rows[: part.stop - at])).numpy()
        np.testing.assert_array_equal(large[part], small, strict=True)


@pytest.mark.parametrize("start", [0, 1, 15, 16])
def test_in_views_and_in_place(start: int, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """A result that lies in a part of a larger array leaves what is around it alone."""
    x, y = (a.reshape(-1) for a in pair)
    whole = rv.full((x.size + 64,), 7.0)
    view = whole[start : start + x.size]
    view[...] = (rv.tensor(x) > 0).to(rv.float32)
    view += rv.tensor(y)
    got = whole.numpy()
    np.testing.assert_array_equal(got[start : start + x.size], (x > 0).astype(np.float32) + y)
    assert (got[:start] == 7).all()
    assert (got[start + x.size :] == 7).all()


@pytest.mark.parametrize("layout", ["planes", "channels last"])
def test_batch_norm(layout: str) -> None:
    """Every sample alone gives the same numbers where the statistics are given."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((33, 64, 56, 56), np.float32)
    grad = rng.standard_normal(x.shape, np.float32)
    mean, var = rng.standard_normal(64, np.float32), rng.random(64, np.float32) + 0.5

    def both(a: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        put = (lambda t: rv.Tensor(t.data.channels_last())) if layout != "planes" else lambda t: t
        t = put(rv.tensor(a)).requires_grad_()
        out = F.batch_norm(t, rv.tensor(mean), rv.tensor(var), training=False)
        out.backward(put(rv.tensor(g)))
        return out.numpy(), t.grad.numpy()

    large = both(x, grad)
    for i in range(0, 33, 4):
        for of_all, alone in zip(large, both(x[i : i + 1], grad[i : i + 1]), strict=True):
            np.testing.assert_array_equal(of_all[i : i + 1], alone)
