"""What a captured step depends on besides the values of its tensors.

A recording is right as long as everything that it was made from is still in place. While a step is
recorded, a `Watch` notes

* what the code of the step, and of the functions, methods and `forward`s that it calls, reads by
  name: globals, closures, attributes; tensors by identity, numbers and texts by value,
* the parts of modules, their settings and flags, and the parameters of optimizers,
* the gradients of leaves, as the step found them and as it left them.

The first two are compared before each replay (`Guards`). Gradients come and go between steps, so
they are put where the recording expects them (`Leaf`).
"""

from __future__ import annotations

import dis
import functools
import logging
import os
import sys
import threading
import types
import weakref
from collections.abc import Iterator
from typing import Any

from ranvier import _core
from ranvier.tensor import Tensor

# The stubs that are written for the compiled module leave its exceptions out.
CaptureError: type[RuntimeError] = _core.CaptureError  # type: ignore[attr-defined]
ABSENT = object()
_SIMPLE = (bool, int, float, complex, str, bytes, types.NoneType)
_MOST_ITEMS = 64  # of a container whose members are noted one by one
_PACKAGE = os.path.dirname(__file__)
# Layers are looked into as the user's own code is; ops and optimizers tell by themselves.
_LAYERS = tuple(os.path.join(_PACKAGE, name) for name in ("nn", "models"))

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
            elif isinstance(owner, dict):
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
            now = owner.get(key, ABSENT)
            if now is not value and not _equal(now, value):
                if not isinstance(value, _SIMPLE):
                    return owner, key, value
                changed = owner, key, value
        for owner, attribute, value in self.rest:
            now = _now(owner, attribute)
            if now is not value and not _equal(now, value):
                if not isinstance(value, _SIMPLE):
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
    now = _now(owner, attribute)
    if isinstance(value, _SIMPLE) and isinstance(now, _SIMPLE):
        return id(owner), attribute, now
    return None


class Watch:
    """Notes what the code that runs in this thread, between `with` and its end, depends on.

    Attributes:
        leaves: every leaf whose gradient was touched, and the gradient that it had then.
    """

    def __init__(self) -> None:
        self._notes: dict[tuple[int, Any], tuple[Any, Any, Any]] = {}
        self._names: dict[tuple[int, Any], str] = {}
        self._seen: set[Any] = set()
        self._kept: list[Any] = []
        self._leaves: dict[int, tuple[weakref.ref[Tensor], Any]] = {}
        self._handed_out: dict[int, tuple[weakref.ref[Tensor], Any]] = {}  # gradients by `weak`
        self._slots: list[tuple[weakref.ref[Tensor], Any, bool]] = []  # of the leaves
        self._looks = False  # whether some code of the user looks at gradients

    def __enter__(self) -> Watch:
        self._thread = threading.get_ident()
        self._outer = watches.get(self._thread)
        watches[self._thread] = self
        return self

    def __exit__(self, *error: Any) -> None:
        if self._outer is None:
            del watches[self._thread]
        else:
            watches[self._thread] = self._outer

    def note(self, owner: Any, attribute: Any, value: Any, name: str = "") -> None:
        """Notes one dependence; the first one counts, as it is the nearest to the step's begin."""
        if not isinstance(owner, (Tensor, dict, list, tuple)):
            members = getattr(owner, "__dict__", None)
            if type(members) is dict and attribute in members:
                name = name or f"{type(owner).__name__}.{attribute}"
                owner = members
        key = id(owner), attribute
        self._notes.setdefault(key, (owner, attribute, value))
        self._names.setdefault(key, name or str(attribute))

    def touch(self, tensor: Tensor) -> None:
        """Notes that the gradient of a leaf matters."""
        if id(tensor) not in self._leaves:
            self._leaves[id(tensor)] = weakref.ref(tensor), tensor.grad
            self._slots.append((weakref.ref(tensor), tensor.data, tensor._requires_grad))

    def hand_out(self, tensor: Tensor) -> None:
        """Notes that the user's code gets a parameter."""
        if self._looks:
            self.touch(tensor)
        else:
            self._handed_out.setdefault(id(tensor), (weakref.ref(tensor), weak(tensor.grad)))

    def leaves(self) -> Iterator[tuple[Tensor, Any, bool]]:
        """The leaves that are still there.

        Each comes with the gradient that it had when first seen, and whether it matters if there
        was one, even if no kernel read it.
        """
        for key, (reference, grad) in {**self._handed_out, **self._leaves}.items():
            tensor = reference()
            if tensor is not None:
                touched = key in self._leaves
                yield tensor, grad if touched else strong(grad), touched

    # ---- reading code ----

    def depend(self, function: Any, owner: Any = ABSENT, given: bool = True) -> None:
        """Notes what a function's code reads by name.

        Args:
            function: anything that can be called.
            owner: its first argument, if known.
            given: whether it is what was captured, or a `forward`, rather than found in other code.
        """
        while True:
            if isinstance(function, functools.partial):
                function, owner = function.func, ABSENT
            elif isinstance(function, types.MethodType):
                function, owner = function.__func__, function.__self__
            elif hasattr(function, "_captured_function"):  # it is recorded with us
                function = function._captured_function
            else:
                break
        if not isinstance(function, types.FunctionType):
            call = _of_class(type(function), "__call__")
            if isinstance(call, types.FunctionType):
                self.depend(call, function, given)
            return
        code = function.__code__
        key = code, id(owner), id(function)
        if key in self._seen or not _is_ours(function, given):
            return
        self._seen.add(key)
        self._kept.append((function, owner))  # so that the ids above stay theirs
        scope: dict[str, tuple[Any, Any]] = {
            name: (cell, "cell_contents")
            for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True)
        }
        if owner is not ABSENT and code.co_argcount:
            scope[code.co_varnames[0]] = (ABSENT, owner)
        self._read(code, scope, function.__globals__)

    def _read(self, code: types.CodeType, scope: dict[str, Any], globals_: dict[str, Any]) -> None:
        self._looks = self._looks or "grad" in code.co_names
        for kind, name, rest in _paths(code):
            if kind == "global":
                if name not in globals_:  # a builtin, or not defined yet
                    continue
                owner, key = globals_, name
            elif name in scope:
                owner, key = scope[name]
            else:
                continue
            if owner is ABSENT:  # the first argument itself
                value = key
            else:
                value = _now(owner, key)
                if value is ABSENT or not self._see(owner, key, value, name, _members(rest)):
                    continue
            self._follow(value, rest, name)
        for inner in code.co_consts:
            if isinstance(inner, types.CodeType):
                known = {n: scope[n] for n in inner.co_freevars if n in scope}
                self._read(inner, known, globals_)

    def _follow(self, value: Any, rest: tuple[Any, ...], name: str) -> None:
        """Goes on from `value` along attributes and constant indices."""
        for i, (by_index, key) in enumerate(rest):
            name = f"{name}[{key!r}]" if by_index else f"{name}.{key}"
            if by_index:
                if type(value) not in (list, tuple, dict):
                    return
                owner = value
            else:
                owner = getattr(value, "__dict__", None)
                if type(owner) is not dict or key not in owner:
                    self._member(value, key, name)
                    return
            found = _now(owner, key)
            if found is ABSENT or not self._see(owner, key, found, name, _members(rest[i + 1 :])):
                return
            value = found

    def _member(self, value: Any, key: str, name: str) -> None:
        """What the class of `value` has under this name: methods and properties are read too."""
        if isinstance(value, (Tensor, *_SIMPLE)):
            return
        kind = value if isinstance(value, type) else type(value)
        member = _of_class(kind, key)
        if isinstance(member, types.FunctionType):
            self.depend(member, ABSENT if kind is value else value, given=False)
        elif isinstance(member, (staticmethod, classmethod)):
            self.depend(member.__func__, given=False)
        elif isinstance(member, property):
            self.depend(member.fget, value, given=False)
        elif isinstance(member, types.MemberDescriptorType):  # of __slots__
            self._see(value, key, _now(value, key), name, 3)
        elif isinstance(member, (Tensor, *_SIMPLE)) and not kind.__module__.startswith("ranvier"):
            self.note(kind, key, member, name)
            if kind is not value:  # which may get one of its own
                self.note(value.__dict__, key, ABSENT, name)

    def _see(self, owner: Any, key: Any, value: Any, name: str, depth: int) -> bool:
        """Notes a value that the code reads, and members `depth` levels deep.

        Tells whether to look further.
        """
        if isinstance(value, types.ModuleType):
            return value.__name__.partition(".")[0] not in _KNOWN
        if isinstance(value, (type, types.BuiltinFunctionType)):
            return isinstance(value, type)
        if callable(value) and not hasattr(value, "forward"):
            if isinstance(value, types.FunctionType) and not _is_ours(value, given=False):
                return False
            self.note(owner, key, value, name)
            self.depend(value, given=False)
            return True
        self.note(owner, key, value, name)
        if isinstance(value, Tensor):
            self.note(value, "data", value.data, name)
            self.note(value, "_requires_grad", value._requires_grad, name)
            if value._requires_grad and value.node is None:
                self.hand_out(value)
        elif type(value) in (list, tuple, dict) and len(value) <= _MOST_ITEMS and depth:
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for k, v in list(pairs):
                if isinstance(v, (Tensor, list, tuple, dict, *_SIMPLE)) or callable(v):
                    self._see(value, k, v, f"{name}[{k!r}]", depth - 1)
            if isinstance(value, list):
                self.note(value, len(value), ABSENT, f"len({name})")
        return True

    # ---- the end of a recording ----

    def guards(self, recorder: Any = None) -> Guards:
        """What must hold when the recording is used again; without one, what held.

        What the step itself changed cannot be expected. A number is then one of Python's side
        effects, which are not replayed; a tensor that the kernels read would be an old one.

        Raises:
            CaptureError: a tensor that the step read was bound anew instead of changed in place.
        """
        for reference, data, wanted in self._slots:
            tensor = reference()
            if tensor is not None:
                self.note(tensor, "data", data)
                self.note(tensor, "_requires_grad", wanted)
        kept = []
        for (at, attribute), (owner, _, value) in self._notes.items():
            now = _now(owner, attribute)
            if now is value or _equal(now, value):
                kept.append((owner, attribute, value))
                continue
            array = value.data if isinstance(value, Tensor) else value
            if recorder is not None and isinstance(array, _core.Array) and recorder.touches(array):
                _put(owner, attribute, value)
                name = self._names[at, attribute]
                raise CaptureError(
                    f"[capture] expected tensors that outlive a step to be changed in place, got "
                    f"{name!r} bound to another tensor - write {name}.copy_(...) instead"
                )
        return Guards(kept, self._names)


def tell(step: str, name: str) -> None:
    """Warns that a step cannot be replayed."""
    logging.getLogger("ranvier").warning(
        "[capture] the step %s runs eagerly from now on, because %s differs from call to call - "
        "pass it as a tensor argument",
        step,
        name,
    )


_KNOWN = frozenset({*sys.stdlib_module_names, "numpy", "ranvier"})


def _is_ours(function: types.FunctionType, given: bool) -> bool:
    """Whether to look into a function: the user's own code, and layers."""
    file = function.__code__.co_filename
    if file.startswith(_PACKAGE):
        return file.startswith(_LAYERS)
    if "site-packages" in file and not given:  # somebody's library, which knows no tensors of ours
        return False
    return (function.__module__ or "").partition(".")[0] not in _KNOWN


@functools.cache
def _paths(code: types.CodeType) -> list[tuple[str, str, tuple[Any, ...]]]:
    """What code reads: (kind of name, name, what follows: (is an index, attribute or index))."""
    found: dict[tuple[str, str, tuple[Any, ...]], None] = {}
    kind, name, index = "", "", ABSENT
    rest: list[Any] = []

    def done() -> None:
        if kind:
            found[kind, name, tuple(rest)] = None

    for instruction in dis.get_instructions(code):
        op, value = instruction.opname, instruction.argval
        if kind and op in ("COPY", "SWAP"):  # of `name[i] += ...`
            continue
        if kind and op.startswith(("LOAD_ATTR", "LOAD_METHOD")) and index is ABSENT:
            rest.append((False, value))
        elif kind and op.startswith(("LOAD_CONST", "LOAD_SMALL_INT")) and index is ABSENT:
            index = value
        elif index is not ABSENT and (
            op == "BINARY_SUBSCR" or (op == "BINARY_OP" and instruction.argrepr == "[]")
        ):
            if isinstance(index, (int, str)):
                rest.append((True, index))
                index = ABSENT
            else:
                done()
                kind, index = "", ABSENT
        else:
            done()
            kind, rest, index = "", [], ABSENT
            if op.startswith(("LOAD_GLOBAL", "LOAD_NAME")):
                kind, name = "global", value
            elif op.startswith(("LOAD_DEREF", "LOAD_FAST")):
                kind, name = "local", value[-1] if isinstance(value, tuple) else value
    done()
    return list(found)


def _of_class(kind: type, name: str) -> Any:
    """What a class, or the first of its bases that has it, holds under a name."""
    for base in kind.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return ABSENT


def _members(rest: tuple[Any, ...]) -> int:
    """How deep code may look into a list or dict, by what follows its name."""
    if rest and (rest[0][0] or rest[0][1] in ("append", "extend", "insert", "clear", "update")):
        return 0
    return 3


def _now(owner: Any, attribute: Any) -> Any:
    if isinstance(owner, (list, tuple, dict)):
        try:
            return owner[attribute]
        except LookupError:
            return ABSENT
    try:
        return getattr(owner, attribute, ABSENT)
    except ValueError:  # an empty cell of a closure
        return ABSENT


def _put(owner: Any, attribute: Any, value: Any) -> None:
    if isinstance(owner, (list, dict)):
        owner[attribute] = value
    else:
        setattr(owner, attribute, value)


def _equal(a: Any, b: Any) -> bool:
    """Whether plain values are equal; other things must be the same object."""
    if type(a) is tuple and type(b) is tuple:
        return len(a) == len(b) and all(x is y or _equal(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and isinstance(a, _SIMPLE) and a == b
