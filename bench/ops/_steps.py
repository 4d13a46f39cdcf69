"""Parameter sets of real networks, and one optimizer step over all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ranvier.bench.suite import Row

SETS: dict[str, list[tuple[int, ...]]] = {
    "LeNet": [(6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (120, 400), (120,), (84, 120), (84,),
              (10, 84), (10,)],
    "MLP 784-256-128-10": [(256, 784), (256,), (128, 256), (128,), (10, 128), (10,)],
    "10 M in one": [(10_000_000,)],
}  # fmt: skip


def row(
    name: str,
    where: str,
    arrays: int,
    ours: Callable[[list[Any]], Any],
    torchs: dict[str, Callable[[list[Any]], Any]],
) -> Row:
    """A step of the optimizer that `ours` and `torchs` make from a list of parameters.

    Steps change their parameters, so the results of peers that ran different numbers of steps
    cannot be compared here; tests/optim holds them against PyTorch.

    Args:
        name: of the rule.
        where: a key of SETS.
        arrays: how many arrays of the size of the parameters a step reads or writes.
        ours: makes our optimizer.
        torchs: peer -> makes PyTorch's.
    """
    shapes = SETS[where]

    def data(rng: np.random.Generator) -> dict[str, Any]:
        draw = [rng.standard_normal(s, np.float32) for s in shapes]
        return {"p": draw, "g": [rng.standard_normal(s, np.float32) for s in shapes]}

    def build_ours(d: dict[str, Any]) -> Any:
        import ranvier as rv

        parameters = [rv.tensor(p).requires_grad_() for p in d["p"]]
        for p, g in zip(parameters, d["g"], strict=True):
            p.grad = rv.tensor(g)
        return _stepping(ours(parameters), parameters)

    def build_torch(make: Callable[[list[Any]], Any]) -> Callable[[dict[str, Any]], Any]:
        def build(d: dict[str, Any]) -> Any:
            import torch

            parameters = [torch.tensor(p).requires_grad_() for p in d["p"]]
            for p, g in zip(parameters, d["g"], strict=True):
                p.grad = torch.tensor(g)
            return _stepping(make(parameters), parameters)

        return build

    return Row(
        f"{name}, {where}",
        data,
        {"ranvier": build_ours, **{peer: build_torch(make) for peer, make in torchs.items()}},
        bytes=4.0 * arrays * sum(np.prod(s) for s in shapes),
        tolerance=None,
    )


def _stepping(optimizer: Any, parameters: list[Any]) -> Callable[[], Any]:
    def step() -> Any:
        optimizer.step()
        return parameters[0]

    return step
