"""What all optimizers share: groups of parameters, hyper-parameters that live in memory, state.

A hyper-parameter such as the learning rate is one number of a float64 array, so that kernels read
it when they run: a captured step follows `optimizer.lr = 0.01` without being recorded again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ranvier import guards
from ranvier.autograd import enable_grad
from ranvier.capture import CaptureError, is_capturing
from ranvier.creation import zeros, zeros_like
from ranvier.dtypes import float64, int64
from ranvier.ops._arguments import state_mapping
from ranvier.tensor import Tensor, clock, from_host


class Group:
    """Parameters that share their hyper-parameters, which read and write like those of a dict.

    Attributes:
        params: the parameters.
        steps: int64 tensor, how often each parameter was changed.
        state: state name -> one tensor per parameter, made at the first step.
    """

    def __init__(
        self, owner: type[Optimizer], params: list[Tensor], hyper: Mapping[str, float]
    ) -> None:
        values = {key: check_hyper(owner.__name__, key, value) for key, value in hyper.items()}
        self._owner, self._slots = owner, owner.slots(values)
        self._places = {key: i for i, key in enumerate(hyper)}
        self.params = params
        self.state: dict[str, list[Tensor]] = {}
        self.steps = zeros(len(params), dtype=int64, device=params[0].device)
        self.hyper = zeros(len(hyper), dtype=float64, device=params[0].device)
        for key, value in values.items():
            self.cell(key).fill_(value)

    @property
    def _name(self) -> str:
        return self._owner.__name__

    def __getitem__(self, key: str) -> Any:
        return self.params if key == "params" else self.cell(key).item()

    def __setitem__(self, key: str, value: float) -> None:
        cell = self.cell(key)
        if is_capturing():
            raise CaptureError(
                f"[{self._name}] expected {key} to change between steps, got a change inside a "
                "captured step, which would be replayed as a constant - set it outside"
            )
        number = check_hyper(self._name, key, value)
        values = dict(zip(self._places, self.hyper.tolist(), strict=True))
        if not set(self._owner.slots({**values, key: number})) <= set(self._slots):
            raise ValueError(
                f"[{self._name}] expected {key} from the start, got {number:g} after the group was "
                f"built without the state for it - build {self._name}(..., {key}={number:g})"
            )
        cell.fill_(number)

    def __iter__(self) -> Iterator[str]:
        return iter(("params", *[key for key in self._places if not key.startswith("_")]))

    def keys(self) -> list[str]:
        """Names of what the group holds."""
        return list(self)

    def cell(self, key: str) -> Tensor:
        """The memory of a hyper-parameter: a view of one element."""
        if key not in self._places:
            raise KeyError(f"[{self._name}] expected {', '.join(self)}, got {key!r}")
        view: Any = self.hyper.data.index(self._places[key])
        return Tensor(view)

    def __repr__(self) -> str:
        values = ", ".join(f"{key}={self[key]:g}" for key in self if key != "params")
        return f"{values}, {len(self.params)} parameters"

    def make_state(self) -> None:
        """State starts at zero, laid out like its parameter, and follows where that moves."""
        if self.state or not self._slots:
            self._follow()
            return
        if is_capturing():
            raise CaptureError(
                f"[{self._name}] expected state from an earlier step, got the first step of an "
                "optimizer inside a captured one - call it once before it is captured"
            )
        self.state = {slot: [zeros_like(p.detach()) for p in self.params] for slot in self._slots}

    def _follow(self) -> None:
        """After `Module.to`, state has the dtype and device of its parameter again."""
        device = self.params[0].data.device
        if self.hyper.data.device != device:
            self.steps, self.hyper = self.steps.to(device=device), self.hyper.to(device=device)
        for tensors in self.state.values():
            for i, p in enumerate(self.params):
                kind, state = p.data, tensors[i].data
                if state.dtype != kind.dtype or state.device != kind.device:
                    tensors[i] = tensors[i].to(dtype=p.dtype, device=p.device)


class Optimizer:
    """Changes parameters by their gradients: `loss.backward(); opt.step(); opt.zero_grad()`.

    A subclass passes its hyper-parameters on, names its state (`slots`) and defines `update`.

    Args:
        params: tensors to change, or dicts {"params": tensors, "lr": ...} for groups of their own.
        hyper: hyper-parameters and their values, for groups that do not say otherwise.

    Raises:
        ValueError: no parameters, computed tensors, one in two groups, or values out of range.
        TypeError: what is given are not tensors.
    """

    def __init__(self, params: Any, **hyper: float) -> None:
        self._defaults = hyper
        self.groups: list[Group] = []
        if isinstance(params, (Tensor, Mapping)):
            raise TypeError(
                f"[{self._name}] expected a list of tensors, got one {type(params).__name__} - "
                "pass model.parameters() or [tensor]"
            )
        given = list(params)
        if not given:
            raise ValueError(
                f"[{self._name}] expected parameters, got none - a generator such as "
                "model.parameters() is empty when it is read a second time"
            )
        if isinstance(given[0], Mapping):
            for group in given:
                self.add_param_group(group)
        else:
            self.add_param_group({"params": given})

    @property
    def _name(self) -> str:
        return type(self).__name__

    @property
    def param_groups(self) -> list[Group]:
        """The groups, under the name that PyTorch users look for."""
        return self.groups

    @property
    def lr(self) -> float:
        """The learning rate (of the first group); setting it sets that of every group."""
        return self.groups[0]["lr"]

    @lr.setter
    def lr(self, value: float) -> None:
        for group in self.groups:
            group["lr"] = value

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Takes on parameters with hyper-parameters of their own.

        Args:
            group: {"params": tensors, "lr": ..., ...}; what is not given is the optimizer's.
        """
        if "params" not in group:
            raise ValueError(f"[{self._name}] expected a group with 'params', got {list(group)}")
        given = group["params"]
        params = [given] if isinstance(given, Tensor) else _tensors(self._name, given)
        if not params:
            raise ValueError(
                f"[{self._name}] expected parameters in the group, got none - a generator such as "
                "model.parameters() is empty when it is read a second time"
            )
        taken = {id(p) for g in self.groups for p in g.params}
        for p in params:
            _check_parameter(self._name, p, params[0])
            if id(p) in taken:
                raise ValueError(
                    f"[{self._name}] expected every parameter once, got one of shape {p.shape} "
                    "twice - remove it from one of the groups"
                )
            taken.add(id(p))
        options = {key: value for key, value in group.items() if key != "params"}
        for key in options:
            if key not in self._defaults:
                raise ValueError(
                    f"[{self._name}] expected hyper-parameters among {', '.join(self._defaults)}, "
                    f"got {key!r}"
                )
        self.groups.append(Group(type(self), params, {**self._defaults, **options}))

    @classmethod
    def slots(cls, hyper: Mapping[str, float]) -> tuple[str, ...]:
        """Names of the state per parameter that these hyper-parameters need.

        Raises:
            ValueError: hyper-parameters that exclude each other.
        """
        return ()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Changes every parameter that has a gradient.

        One kernel call per group, or per run of neighbours where some have no gradient.

        Args:
            closure: called first, to compute the gradients; its loss is returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        if guards.watches:
            self._tell()
        for group in self.groups:
            group.make_state()
            for run in _runs([p.grad is not None for p in group.params]):
                p = [t.data for t in group.params[run]]
                g = [t.grad.data for t in group.params[run]]  # type: ignore[union-attr]
                state = {slot: [t.data for t in all_[run]] for slot, all_ in group.state.items()}
                self.update(p, g, group.hyper.data, group.steps.data.index((run,)), **state)
                for array in p:
                    clock.changed(array)
        return loss

    def _tell(self) -> None:
        """Notes for a captured step which parameters there are; their gradients matter."""
        guards.guard(self.groups, len(self.groups), guards.ABSENT)
        for group in self.groups:
            for p in group.params:
                guards.touch(p)

    def update(
        self, p: list[Any], g: list[Any], hyper: Any, steps: Any, **state: list[Any]
    ) -> None:
        """Changes the arrays `p` in place by their gradients `g`, and counts the steps.

        Args:
            p: parameters.
            g: their gradients.
            hyper: the numbers of their group, float64.
            steps: steps that each parameter has taken before, int64.
            **state: one list of arrays per slot.
        """
        raise TypeError(f"[{self._name}] expected the class to define update")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets all gradients; with `set_to_none=False`, sets them to zero in place."""
        for group in self.groups:
            for p in group.params:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """Hyper-parameters, step counts and state as tensors by name, such as "0.momentum.3".

        The tensors share the optimizer's memory: `copy.deepcopy` the dict to keep a snapshot.
        """
        state = {}
        for i, group in enumerate(self.groups):
            group.make_state()
            state[f"{i}.hyper"] = group.hyper
            state[f"{i}.steps"] = group.steps
            for slot, tensors in group.state.items():
                state.update({f"{i}.{slot}.{j}": t for j, t in enumerate(tensors)})
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copies what `state_dict` gave back, in place; all is checked before anything is written.

        Raises:
            TypeError: `state` is no dictionary of tensors, as that of PyTorch's optimizers.
            ValueError: names or shapes of an optimizer with other parameters.
        """
        own = self.state_dict()
        state = state_mapping(state)
        if "param_groups" in state:
            raise TypeError(
                "[load_state_dict] expected tensors by name, as our state_dict() gives them, got "
                "the state of a PyTorch optimizer - start with a fresh one"
            )
        arrays = {k: v.data if isinstance(v, Tensor) else from_host(v) for k, v in state.items()}
        wrong = [
            name for name in own if name not in arrays or arrays[name].shape != own[name].shape
        ]
        wrong += [name for name in arrays if name not in own]
        if wrong:
            raise ValueError(
                f"[load_state_dict] expected the state of {self!r}, got one that differs in "
                f"{', '.join(wrong[:4])} - build it with the same parameters and groups"
            )
        for name, array in arrays.items():
            own[name].copy_(Tensor(array))

    def __repr__(self) -> str:
        return f"{self._name}({'; '.join(map(repr, self.groups))})"


def _runs(wanted: list[bool]) -> Iterator[slice]:
    """Slices of neighbours that are all wanted."""
    start = 0
    for want, run in itertools.groupby(wanted):
        stop = start + len(list(run))
        if want:
            yield slice(start, stop)
        start = stop


def _tensors(name: str, given: Iterable[Any]) -> list[Tensor]:
    params = list(given)
    for p in params:
        if not isinstance(p, Tensor):
            raise TypeError(
                f"[{name}] expected tensors, got {type(p).__name__} - pass model.parameters()"
            )
    return params


def _check_parameter(name: str, p: Tensor, first: Tensor) -> None:
    if p.node is not None:
        raise ValueError(
            f"[{name}] expected leaves, got a computed tensor of shape {p.shape} - optimize the "
            "tensors that it was computed from, or p.detach().requires_grad_()"
        )
    if not p.dtype.is_floating_point:
        raise TypeError(f"[{name}] expected floating parameters, got {p.dtype.name}")
    if p.device != first.device:
        raise TypeError(
            f"[{name}] expected the parameters of a group on one device, got {first.device} and "
            f"{p.device} - move the model first, or use two groups"
        )


def check_hyper(name: str, key: str, value: Any) -> float:
    """A hyper-parameter in its range: not negative, and no share of an old value above 1."""
    if isinstance(value, str) or not hasattr(value, "__float__"):
        raise TypeError(f"[{name}] expected {key} to be a number, got {value!r}")
    value = float(value)
    wanted, fits = "of at least 0", 0.0 <= value < float("inf")
    if key.startswith("beta"):
        wanted, fits = "from 0 to below 1", 0.0 <= value < 1.0
    elif key in ("alpha", "rho"):
        wanted, fits = "from 0 to 1", 0.0 <= value <= 1.0
    if not fits:
        raise ValueError(f"[{name}] expected {key} {wanted}, got {value:g}")
    return value
