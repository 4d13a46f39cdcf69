"""Padding: five modes, sides that cut, every layout."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import pad as ref
from tests.harness import Case, Input, N, OpTests, Raises, check, host, integers, normal


def case(x: Input, pad: tuple[int, ...], **options: Any) -> Case:
    """Padding copies; a gradient sums the places that hold a sample."""
    more = [max(p, 0) for p in pad]
    n = int(np.prod([1 + a + b for a, b in zip(more[::2], more[1::2], strict=True)]))
    return Case(F.pad, ref.pad, x, pad, options=options, n=1, grad_n=n)


MODES = ("constant", "reflect", "replicate", "symmetric", "circular")


class TestPad(OpTests):
    cases = [
        *(case(normal(N, 2, 5, 4), (1, 2, 3, 0), mode=mode) for mode in MODES),
        *(case(normal(N, 3, 6), (2, -1), mode=mode) for mode in MODES),
        case(normal(N, 3, 6), (-1, -2, 1, 0), value=2.5),
        case(normal(N, 2, 3, 4, 3), (1, 1, 2, 0, 1, 2), mode="reflect"),
        case(normal(N, 4), (0, 0)),
        *(
            case(normal(N, 3, 5, 9), sides)
            for sides in [(1, 1, 2, 2), (-2, 3, 0, 1), (-1, -3), (0, 0, 7, 0, 2, 1), (9, 9, -5, 9)]
        ),
        # rows longer than a vector
        *(case(normal(N, 3, 6, 37), (5, 1, 1, 2), mode=mode) for mode in MODES),
        case(normal(N, 3, 6, 57), (-1, -3, -2, 1)),
        case(normal(2, 3), (9000, 1)),
        case(normal(4, 40, 30, 8), (1, 1, 1, 1)),
        case(integers(0, 9, 3, 4), (1, 1), value=7.0),
        case(normal(4, 40, 30, 8), (3, 3, 2, 1), mode="circular"),
    ]
    errors = [
        Raises(ValueError, r"\[pad\] expected \(before, after\) .*got 3 numbers", F.pad,
               normal(2, 3), (1, 2, 3)),
        Raises(ValueError, r"\[pad\] expected a mode of constant, .*got 'mirror'", F.pad,
               normal(2, 3), (1, 1), options={"mode": "mirror"}),
        Raises(ValueError, r"\[pad\] expected at most 2 of mode 'reflect' on axis 1 of shape "
               r"\(2, 3\), got \(3, 0\) - pad less", F.pad, normal(2, 3), (3, 0),
               options={"mode": "reflect"}),
        Raises(ValueError, r"\[pad\] expected at most 0 of mode 'replicate'", F.pad,
               normal(2, 0), (1, 0), options={"mode": "replicate"}),
        Raises(ValueError, r"\[pad\] expected to cut no more than there is", F.pad, normal(2, 3),
               (-2, -2)),
        Raises(TypeError, r"\[pad\] expected pad as whole numbers", F.pad, normal(2, 3), (1.5, 0)),
    ]  # fmt: skip


@given(st.data())
def test_any_sides(data: Any) -> None:
    mode = data.draw(st.sampled_from(MODES))
    shape = data.draw(st.lists(st.integers(2, 5), min_size=1, max_size=4))
    axes = data.draw(st.integers(1, len(shape)))
    sides: list[int] = []
    for size in reversed(shape[len(shape) - axes :]):
        most = size - 1 if mode == "reflect" else size
        sides += [data.draw(st.integers(-1, most)) for _ in range(2)]
    check(case(normal(*shape), tuple(sides), mode=mode))


def test_the_five_modes() -> None:
    x = rv.tensor([1.0, 2, 3, 4])
    padded = {mode: "".join(f"{v:.0f}" for v in F.pad(x, (3, 3), mode).tolist()) for mode in MODES}
    assert padded == {
        "constant": "0001234000", "reflect": "4321234321", "replicate": "1111234444",
        "symmetric": "3211234432", "circular": "2341234123",
    }  # fmt: skip


def test_layout_is_kept() -> None:
    x = rv.ones(2, 3, 4, 5).channels_last()
    y = x.pad((1, 1, 2, 0))
    assert y.data.is_channels_last
    assert not y.data.is_contiguous


def test_constants_keep_their_sign_and_values_theirs() -> None:
    x = rv.tensor([[np.inf, -0.0, np.nan, -np.inf]])
    y = host(x.pad((1, 2, 1, 0)))
    assert not np.signbit(y[0]).any()
    assert y[1].tobytes() == np.pad(host(x)[0], (1, 2)).tobytes()
    assert np.signbit(host(x.pad((1, 0), value=-0.0))[0, 0])


@pytest.mark.external
def test_torch() -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 4))
    for mode in ("constant", "reflect", "replicate", "circular"):
        for sides in ((1, 2, 3, 0), (3, 0, 0, 1), (0, 0, 2, 2)):
            theirs = torch.nn.functional.pad(torch.from_numpy(x), sides, mode)
            np.testing.assert_array_equal(host(F.pad(rv.tensor(x), sides, mode)), theirs.numpy())
