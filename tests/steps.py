"""What the tests of the optimizer kernels share: a few steps by the kernel and by its reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from tests.harness import Case, host, normal


def arrays(tensors: Sequence[rv.Tensor]) -> list[Any]:
    return [t.data for t in tensors]


@cache  # made once, because a captured step takes no values from the host
def _numbers(device: str, *numbers: float) -> Any:
    return rv.tensor(list(numbers), dtype="float64", device=device).data


@dataclass(frozen=True)
class Rule:
    """A kernel that steps many parameters, and its reference for one.

    Args:
        op: the name in its errors.
        kernel: called with parameters, gradients, a list for each state, hyper and steps.
        reference: called with parameter, gradient, state and options.
        hyper: hyper-parameters but for `maximize`, in the kernel's order, and their usual values.
        state: of the reference, in the kernel's order -> the option without which there is none.
        names: of the state, in errors.
    """

    op: str
    kernel: Callable[..., None]
    reference: Callable[..., Any]
    hyper: dict[str, float]
    state: dict[str, str]
    names: tuple[str, ...]

    def numbers(self, p: rv.Tensor, **options: float) -> Any:
        given = {**self.hyper, **options, "maximize": 0.0}
        return _numbers(str(p.device), *(float(value) for value in given.values()))

    def needs(self, options: dict[str, float]) -> list[str]:
        return [name for name, key in self.state.items() if not key or options.get(key)]

    def step(
        self, ps: Any, gs: Any, states: dict[str, Any], taken: rv.Tensor, **options: Any
    ) -> None:
        lists = [arrays(states.get(name, [])) for name in self.state]
        self.kernel(arrays(ps), arrays(gs), *lists, self.numbers(taken, **options), taken.data)

    def descend(self, p: rv.Tensor, *grads: rv.Tensor, **options: float) -> tuple[rv.Tensor, ...]:
        """Parameter and state after one step for each gradient."""
        q, taken = p.clone(), rv.zeros(1, dtype="int64", device=p.device)
        states = {name: [rv.zeros_like(p)] for name in self.needs(options)}
        for g in grads:
            self.step([q], [g], states, taken, **options)
        return (q, *(tensors[0] for tensors in states.values()))

    def descend_reference(self, p: np.ndarray, *grads: np.ndarray, **options: float) -> Any:
        state: dict[str, Any] = {}
        for g in grads:
            p, state = self.reference(p, g, state, **{**self.hyper, **options})
        return (p, *(state[name] for name in self.needs(options)))

    def terms(self, p: np.ndarray, *grads: np.ndarray, **options: float) -> Any:
        """The sum of the absolute values of all terms: the reference uphill from |p| along |g|."""
        uphill = {**options, "lr": -options.get("lr", self.hyper["lr"])}
        return self.descend_reference(np.abs(p), *map(np.abs, grads), **uphill)

    def case(self, *shape: int, **options: float) -> Case:
        """Three steps."""
        inputs = [normal(*shape) for _ in range(4)]
        return Case(self.descend, self.descend_reference, *inputs, options=options, n=24,
                    magnitude=self.terms, gradient=False)  # fmt: skip

    def check_many(self, **options: float) -> None:
        """Many parameters in one call get the bits that each gets alone."""
        rng = np.random.default_rng(0)
        shapes = [(7, 33), (), (0, 3), (2, 3, 4, 5), (1000,)]
        ps, gs = (
            [rv.tensor(rng.standard_normal(s).astype(np.float32)) for s in shapes] for _ in "pg"
        )
        alone = [
            host(self.descend(p, g, g, **options)[0]).tobytes() for p, g in zip(ps, gs, strict=True)
        ]
        states = {name: [rv.zeros_like(p) for p in ps] for name in self.needs(options)}
        taken = rv.zeros(len(ps), dtype="int64")
        for _ in range(2):
            self.step(ps, gs, states, taken, **options)
        assert [host(p).tobytes() for p in ps] == alone
        assert taken.tolist() == [2] * len(ps)

    def check_errors(self, **options: float) -> None:
        """Each kind of array is held against the parameter; `options` ask for all state."""
        p, taken = rv.ones(2), rv.zeros(1, dtype="int64")
        right = {name: [rv.zeros(2)] for name in self.state}

        def refuses(error: type[Exception], text: str, **changed: Any) -> None:
            call = {"ps": [p], "gs": [rv.ones(2)], "states": right, "taken": taken, **changed}
            with pytest.raises(error, match=rf"\[{self.op}\] expected {text}"):
                self.step(**call, **options)

        refuses(ValueError, r"a gradient of shape \(2,\)", gs=[rv.ones(3)])
        refuses(TypeError, "a gradient of dtype float32", gs=[rv.ones(2, dtype="float64")])
        refuses(ValueError, "1 gradients, got 2", gs=[rv.ones(2)] * 2)
        refuses(ValueError, "steps of 1 int64", taken=rv.zeros(2, dtype="int64"))
        for key, name in zip(self.state, self.names, strict=True):
            wrong = ([rv.ones(3)], [rv.ones(2, dtype="float64")], [rv.ones(2)] * 2)
            refuses(ValueError, f"a {name} of shape", states={**right, key: wrong[0]})
            refuses(TypeError, f"a {name} of dtype float32", states={**right, key: wrong[1]})
            refuses(ValueError, f"1 {name}s, got 2", states={**right, key: wrong[2]})
        states = [arrays(tensors) for tensors in right.values()]
        with pytest.raises(ValueError, match=rf"expected hyper of {len(self.hyper) + 1} float64"):
            self.kernel(arrays([p]), arrays([p]), *states, rv.ones(3).data, taken.data)
        assert p.tolist() == [1.0, 1.0], "a refused step changes nothing"
