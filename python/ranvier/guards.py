"""What a captured step depends on besides the values of its tensors.

A recording is right as long as everything that it was made from is still in place. While a step is
recorded, a `Watch` of its thread notes that (see `ranvier.watch`); modules, optimizers and backward
tell it what they use by the functions below. What was noted is compared before each replay
(`Guards`). Gradients come and go between steps, so they are put where the recording expects them
(`Leaf`).
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from ranvier import _core
from ranvier.tensor import Tensor
from ranvier.values import ABSENT, CONTENTS, SAMPLE, SIMPLE, VALUES, current, equal

if TYPE_CHECKING:
    from ranvier.watch import Watch

watches: dict[int, Watch] = {}  # by thread; empty nearly always


def guard(owner: Any, attribute: Any, value: Any) -> None:
    """Notes, while a step is recorded, that it depends on `owner.attribute` being `value`.

    The recording is used again only while this holds: for objects such as tensors, while it is the
    very same object (or absent: `ABSENT`). Of a list, tuple or dict the attribute is an index or a
    key. Modules call it for their training flag, their tensors and their layers.
    """
    if watches:
        watch = watches.get(threading.get_ident())
        if watch is not None:
            watch.note(owner, attribute, value)


def touch(tensor: Tensor) -> None:
    """Notes that a step is about to read or write the gradient of a leaf."""
    watch = watches.get(threading.get_ident())
    if watch is not None:
        watch.touch(tensor)


def hand_out(parameter: Tensor) -> None:
    """Notes that a step gets hold of a parameter, whose gradient it may look at."""
    watch = watches.get(threading.get_ident())
    if watch is not None:
        watch.hand_out(parameter)


def enter(module: Any) -> None:
    """Notes what the code of a module's `forward` reads of the module and of its surroundings."""
    watch = watches.get(threading.get_ident())
    if watch is not None:
        watch.depend(type(module).forward, module)


def weak(grad: Tensor | None) -> Any:
    """A gradient by a reference that does not keep its memory; None for none."""
    return None if grad is None else weakref.ref(grad)


def strong(grad: Any) -> Any:
    """The gradient of such a reference; `ABSENT` if it is gone."""
    if grad is None:
        return None
    found = grad()
    return ABSENT if found is None else found


def call(function: Any) -> Any:
    """Notes what a function that the library was given reads; returns it, to be called."""
    watch = watches.get(threading.get_ident()) if watches else None
    if watch is not None:
        watch.depend(function)
    return function


class Leaf:
    """The gradient of one leaf: as a recorded step finds it, and as it leaves it.

    Attributes:
        tensor: the leaf.
        entry: its gradient before the step, if its numbers matter; None if they do not.
        exit: its gradient after the step; None for none.
        expects: whether it matters if there is one, as the step does not clear it first.
        has: whether there was one.
        changes: whether there is another gradient after the step.
    """

    __slots__ = ("changes", "entry", "exit", "expects", "has", "tensor")

    def __init__(self, tensor: Tensor, entry: Any, expects: bool, reads: bool) -> None:
        self.tensor, self.expects = tensor, expects
        self.entry: Tensor | None = entry if reads else None
        self.has = entry is not None
        self.exit = tensor.grad
        self.changes = reads or self.exit is not entry

    def fits(self) -> bool:
        """Whether the gradient that is there now can take the place of the recorded one."""
        if not self.expects:
            return True
        now, entry = self.tensor.grad, self.entry
        if now is None or entry is None or now is entry:
            return (now is not None) == self.has
        a, b = now.data, entry.data
        return (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device)

    def begin(self) -> None:
        """Brings the gradient to where the recorded kernels read it."""
        now, entry = self.tensor.grad, self.entry
        if entry is not None and now is not None and now.data is not entry.data:
            _core.copy_into(entry.data, now.data)

    def end(self) -> None:
        """Leaves the gradient that the recorded kernels wrote."""
        if self.changes:
            self.tensor.grad = self.exit


class Guards:
    """What was noted, sorted by how it is looked up."""

    def __init__(
        self, notes: list[tuple[Any, Any, Any]], names: dict[tuple[int, Any], str]
    ) -> None:
        self._names = names
        self.tensors, self.items, self.rest = [], [], []
        slots: dict[int, list[Any]] = {}
        for owner, attribute, value in notes:
            if isinstance(owner, Tensor):
                slot = slots.setdefault(id(owner), [owner, owner.data, owner._requires_grad])
                slot[1 if attribute == "data" else 2] = value
            elif isinstance(owner, dict) and attribute not in (CONTENTS, VALUES, SAMPLE):
                self.items.append((owner, attribute, value))
            elif not isinstance(owner, tuple):  # which is what it is
                self.rest.append((owner, attribute, value))
        self.tensors = [tuple(s) for s in slots.values()]

    def broken(self) -> tuple[Any, Any, Any] | None:
        """A note that no longer holds; None if the recording may be replayed.

        An object that was replaced goes before a flag that was changed.
        """
        changed = None
        for tensor, data, wanted in self.tensors:
            if tensor.data is not data:
                return tensor, "data", data
            if tensor._requires_grad is not wanted:
                changed = tensor, "_requires_grad", wanted
        for owner, key, value in self.items:
            now = dict.get(owner, key, ABSENT)
            if now is not value and not equal(now, value):
                if not isinstance(value, SIMPLE):
                    return owner, key, value
                changed = owner, key, value
        for owner, attribute, value in self.rest:
            now = current(owner, attribute)
            if now is not value and not equal(now, value):
                if not isinstance(value, SIMPLE):
                    return owner, attribute, value
                changed = owner, attribute, value
        return changed

    def name(self, note: tuple[Any, Any, Any]) -> str:
        """What a note is about, in the words of the code."""
        return self._names[id(note[0]), note[1]]


def change(note: tuple[Any, Any, Any]) -> Any:
    """What a note that broke became, as a hashable key.

    None where it cannot hold again: a tensor that was replaced is gone, a flag may come back.
    """
    owner, attribute, value = note
    now = current(owner, attribute)
    if isinstance(value, SIMPLE) and isinstance(now, SIMPLE):
        return id(owner), attribute, now
    return None
