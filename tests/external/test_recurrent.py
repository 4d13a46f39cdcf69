"""Recurrent layers against PyTorch: stacked, both directions, projections, initial states."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier import nn
from tests.external.parity import Call, Draw, parity, torch


def layer(draw: Draw, kind: str, **extra: Any) -> Call:
    """A layer as a function of its input, its state and all its parameters."""
    inputs, units = draw.size(17), draw.size(17)
    steps, batch = draw.size(9), draw.choice([1, 1, 2, 3, 5, 17])
    options: dict[str, Any] = {
        "num_layers": draw.choice([1, 1, 2, 3]),
        "bias": draw.chance(0.8),
        "batch_first": draw.chance(0.3),
        "bidirectional": draw.chance(0.4),
        **extra,
    }
    if kind == "RNN":
        options["nonlinearity"] = draw.choice(["tanh", "relu"])
    if options.get("proj_size"):
        units = max(units, options["proj_size"] + 1)
    ours = getattr(nn, kind)(inputs, units, **options)
    theirs = getattr(torch.nn, kind)(inputs, units, **options, dtype=torch.float64)
    names = [name for name, _ in theirs.named_parameters()]
    assert names == [name for name, _ in ours.named_parameters()]
    shape = (batch, steps, inputs) if options["batch_first"] else (steps, batch, inputs)
    rows = options["num_layers"] * (1 + options["bidirectional"])
    widths = [options.get("proj_size") or units] + ([units] if kind == "LSTM" else [])
    states = [draw.normal(rows, batch, w) for w in widths] if draw.chance(0.7) else []
    spread = units**-0.5
    weights = [
        draw.array(np.asarray(draw.rng.uniform(-spread, spread, tuple(p.shape))))
        for _, p in theirs.named_parameters()
    ]

    def state_of(given: tuple[Any, ...]) -> Any:
        state = given[: len(states)]
        return None if not state else tuple(state) if kind == "LSTM" else state[0]

    def run_ours(x: Any, *given: Any) -> Any:
        for name, tensor in zip(names, given[len(states) :], strict=True):
            setattr(ours, name, tensor)
        return ours(x, state_of(given))

    def run_theirs(x: Any, *given: Any) -> Any:
        parameters = dict(zip(names, given[len(states) :], strict=True))
        return torch.func.functional_call(theirs, parameters, (x, state_of(given)))

    run_ours.__name__ = kind
    terms = steps * options["num_layers"] * (inputs + units)
    call = draw.call(
        run_ours, run_theirs, draw.normal(*shape), *states, *weights, n=terms, scale=1.0,
        grad_n=terms * 4, grad_scale=4.0,
    )  # fmt: skip
    call.text = f"{kind}({inputs}, {units}, {options}) on {shape}, {len(states)} states"
    return call


@parity(200)
def test_rnn(draw: Draw) -> Call:
    return layer(draw, "RNN")


@parity(200)
def test_gru(draw: Draw) -> Call:
    return layer(draw, "GRU")


@parity(200)
def test_lstm(draw: Draw) -> Call:
    return layer(draw, "LSTM")


@parity(100)
def test_lstm_projection(draw: Draw) -> Call:
    return layer(draw, "LSTM", proj_size=draw.integer(1, 9))
