"""Rows of one call: forward and backward, or forward alone where there is no gradient.

    ROWS = [row("8x64x56x56", {"x": (8, 64, 56, 56)}, lambda f, t: f.softsign(t["x"]), moved=2)]

Inputs are normal numbers of the given shapes, or what a function of the generator makes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ranvier.bench.suite import Row

Make = tuple[int, ...] | Callable[[np.random.Generator], np.ndarray]
Call = Callable[[Any, dict[str, Any]], Any]


def row(
    name: str,
    inputs: dict[str, Make],
    call: Call,
    torch: Call | None = None,
    *,
    moved: float,
    flops: float = 0.0,
    gradient: bool = True,
    tolerance: float | None = 1e-5,
) -> Row:
    """The row of a call.

    Args:
        name: sizes, and where they are from.
        inputs: of all peers.
        call: takes our functional namespace and the tensors.
        torch: the same for PyTorch, which takes the module `torch`; None if `call` does with
            `torch.nn.functional`.
        moved: how many arrays of the size of the largest input the forward must at least read and
            write; with the backward, as much again.
        flops: of the forward; with the backward three times that.
        gradient: whether there is one.
        tolerance: as in `Row`.
    """

    def data(rng: np.random.Generator) -> dict[str, Any]:
        return {
            key: make(rng) if callable(make) else rng.standard_normal(make, np.float32)
            for key, make in inputs.items()
        }

    def ours(d: dict[str, Any]) -> Any:
        import ranvier as rv

        return step(rv.tensor, rv.functional, call, d, gradient)

    def theirs(d: dict[str, Any]) -> Any:
        import torch as library

        module = library if torch else library.nn.functional
        return step(library.tensor, module, torch or call, d, gradient)

    largest = max(np.prod(make) for make in inputs.values() if isinstance(make, tuple))
    times, passes = (2, "forward and backward") if gradient else (1, "forward")
    return Row(
        f"{name} {passes}",
        data,
        {"ranvier": ours, "torch": theirs},
        flops=flops * (2 * times - 1),
        bytes=4.0 * moved * largest * times,
        tolerance=tolerance,
    )


def step(make: Any, module: Any, call: Call, d: dict[str, Any], train: bool) -> Callable[[], Any]:
    """One call; in training all floating inputs are leaves, and the upstream gradient is random."""
    tensors = {
        key: make(a, requires_grad=True) if train and a.dtype == np.float32 else make(a)
        for key, a in d.items()
    }
    if not train:
        return lambda: call(module, tensors)
    shape = tuple(call(module, tensors).shape)
    seed = make(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    leaves = [t for t in tensors.values() if t.requires_grad]

    def run() -> Any:
        for leaf in leaves:
            leaf.grad = None
        call(module, tensors).backward(seed)
        return [leaf.grad for leaf in leaves]

    return run
