"""Trajectories of the optimizers against PyTorch, step by step in float64 and float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier import optim
from tests.external.parity import Draw, torch

STEPS = 20


def options_of(draw: Draw, kind: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "lr": draw.choice([1e-3, 1e-2, 0.1]),
        "weight_decay": draw.choice([0.0, 1e-2, 0.1]),
        "maximize": draw.chance(0.2),
    }
    if kind == "SGD":
        options["momentum"] = draw.choice([0.0, 0.5, 0.9])
        options["nesterov"] = options["momentum"] > 0 and draw.chance(0.5)
        if options["momentum"] and not options["nesterov"] and draw.chance(0.3):
            options["dampening"] = 0.3
    elif kind == "RMSprop":
        options["alpha"], options["eps"] = draw.choice([0.5, 0.9, 0.99]), draw.choice([1e-8, 1e-4])
        options["momentum"], options["centered"] = draw.choice([0.0, 0.5, 0.9]), draw.chance(0.5)
    elif kind == "Adagrad":
        options["lr_decay"], options["eps"] = draw.choice([0.0, 0.1]), draw.choice([1e-10, 1e-4])
        options["initial_accumulator_value"] = draw.choice([0.0, 0.1])
    elif kind == "Adadelta":
        options["lr"], options["rho"] = draw.choice([0.1, 1.0]), draw.choice([0.5, 0.9])
        options["eps"] = draw.choice([1e-6, 1e-3])
    else:
        options["betas"] = (draw.choice([0.0, 0.9]), draw.choice([0.9, 0.999]))
        options["eps"] = draw.choice([1e-8, 1e-4])
    return options


@pytest.mark.external
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta"])
def test_trajectories(kind: str, dtype: str) -> None:
    """Parameters of awkward shapes; gradients that do not depend on them, so errors only add up."""
    for number in range(50):
        draw = Draw(kind, number)
        options = options_of(draw, kind)
        shapes = [tuple(draw.size(17) for _ in range(draw.integer(0, 3))) for _ in range(3)]
        start = [np.asarray(draw.rng.standard_normal(s)).astype(dtype) for s in shapes]
        ours = [rv.tensor(a, requires_grad=True) for a in start]
        theirs = [torch.tensor(a.astype(np.float64), requires_grad=True) for a in start]
        our_rule = getattr(optim, kind)(ours, **options)
        their_rule = getattr(torch.optim, kind)(theirs, **options)
        for step in range(STEPS):
            for mine, other in zip(ours, theirs, strict=True):
                g = np.asarray(draw.rng.standard_normal(mine.shape)).astype(dtype)
                mine.grad = rv.tensor(g)
                other.grad = torch.tensor(g.astype(np.float64))
            our_rule.step()
            their_rule.step()
            # Each step rounds its sums anew; Adam's quotient also carries those of its root.
            bound = 32 * (step + 1) * float(np.finfo(dtype).eps)
            for mine, other in zip(ours, theirs, strict=True):
                wanted = other.detach().numpy()
                size = max(1.0, float(np.abs(wanted).max()))
                error = float(np.abs(mine.numpy() - wanted).max())
                assert error <= bound * size, (
                    f"{kind} number {number}, {options}, shape {mine.shape}: off by {error:.3g} "
                    f"after step {step + 1}"
                )
