"""What the rows of the optimizers share: parameters of real networks, one step at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ranvier.bench.suite import Row

LENET = [(6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (120, 400), (120,), (84, 120), (84,), (10, 84),
         (10,)]  # fmt: skip
NETS = {"LeNet 62 k": LENET, "one of 10 M": [(10_000_000,)], "100 of 10 k": [(100, 100)] * 100}
LARGE = {name: NETS[name] for name in ("one of 10 M",)}


def data(shapes: list[tuple[int, ...]]) -> Callable[..., dict[str, Any]]:
    """Parameters and gradients."""
    return lambda rng: {k: [rng.standard_normal(s, np.float32) for s in shapes] for k in "pg"}


def stepper(make: Callable[[list[Any]], Any], library: str) -> Callable[[dict[str, Any]], Any]:
    """`make` builds the optimizer over the library's parameters; a step leaves the gradients."""

    def build(d: dict[str, Any]) -> Any:
        if library == "torch":
            import torch

            params = [torch.tensor(p, requires_grad=True) for p in d["p"]]
            for p, g in zip(params, d["g"], strict=True):
                p.grad = torch.tensor(g)
        else:
            import ranvier as rv

            params = [rv.tensor(p, requires_grad=True) for p in d["p"]]
            for p, g in zip(params, d["g"], strict=True):
                p.grad = rv.tensor(g)
        optimizer = make(params)

        def step() -> Any:
            optimizer.step()
            return params[0]

        return step

    return build


def rows(
    peers: dict[str, Callable[[list[Any]], Any]],
    streams: int,
    nets: dict[str, list[tuple[int, ...]]] = NETS,
) -> list[Row]:
    """One row per net; `streams` arrays of the parameters' size are read or written."""
    return [
        Row(
            name,
            data(shapes),
            {peer: stepper(make, peer.split("-")[0]) for peer, make in peers.items()},
            bytes=4.0 * streams * sum(int(np.prod(s)) for s in shapes),
            tolerance=1e-4,
            pattern="update",
        )
        for name, shapes in nets.items()
    ]
