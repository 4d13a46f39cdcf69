"""Notes what a captured step depends on, while it is recorded, by reading its code.

A `Watch` notes

* what the code of the step, and of the functions, methods and `forward`s that it calls, reads by
  name (see `ranvier.bytecode`): globals, closures, attributes; tensors by identity, numbers and
  texts by value; of an object that the code hands on, all attributes, and what its methods read,
* the parts of modules, their settings and flags, and the parameters of optimizers,
* the gradients of leaves, as the step found them and as it left them.

The way through a step: `depend` queues a function, `_depend` unwraps it and binds its arguments,
`_read` looks up what its byte code names, `_follow` goes on along attributes and items, and `_see`,
`_inside` and `_whole` note what is found: a value, what is in a container, all of an object.
"""

from __future__ import annotations

import collections
import functools
import logging
import os
import sys
import sysconfig
import threading
import types
import weakref
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

import numpy as np

from ranvier import _core
from ranvier.bytecode import ANY, GLOBAL, ITEM, MODULE, SUPER, Unreadable, reads
from ranvier.guards import Guards, strong, watches, weak
from ranvier.tensor import Tensor
from ranvier.values import ABSENT, CONTENTS, SAMPLE, SIMPLE, VALUES, current, equal, put

# The stubs that are written for the compiled module leave its exceptions out.
CaptureError: type[RuntimeError] = _core.CaptureError  # type: ignore[attr-defined]
_MOST_ITEMS = 64  # of a container whose members are noted one by one; of larger ones all at once
_MOST_CONTENTS = 1 << 14  # of a container that is noted as a whole: 0.3 ms to compare
_MOST_BYTES = 1 << 20  # of an array of NumPy that is; of larger ones a sample
_PACKAGE = os.path.dirname(__file__)
# Layers are looked into as the user's own code is; ops and optimizers tell by themselves.
_LAYERS = tuple(os.path.join(_PACKAGE, name) for name in ("nn", "models"))


class Watch:
    """Notes what the code that runs in this thread, between `with` and its end, depends on.

    Attributes:
        unreadable: a function whose code cannot be read on this Python, and why; "" for none.
        large: names of what the code reads and a replay sees a sample of only.
    """

    def __init__(self) -> None:
        self._notes: dict[tuple[int, Any], tuple[Any, Any, Any]] = {}
        self._names: dict[tuple[int, Any], str] = {}
        self._seen: set[Any] = set()
        self._kept: list[Any] = []
        self._functions: list[Any] = []  # to be read
        self._reading = False
        self._leaves: dict[int, tuple[weakref.ref[Tensor], Any]] = {}
        self._handed_out: dict[int, tuple[weakref.ref[Tensor], Any]] = {}  # gradients by `weak`
        self._slots: list[tuple[weakref.ref[Tensor], Any, bool]] = []  # of the leaves
        self.unreadable = ""
        self.large: list[str] = []
        self._around = 0  # how deep in objects whose attributes are noted as a precaution
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

    def depend(
        self,
        function: Any,
        *arguments: Any,
        given: bool = True,
        keywords: dict[str, Any] | None = None,
    ) -> None:
        """Notes what a function's code reads by name.

        Args:
            function: anything that can be called.
            arguments: the first ones, as far as known; `ABSENT` where not.
            given: whether it is what was captured, or a `forward`, rather than found in other code.
            keywords: arguments by name, as far as known.
        """
        if not keywords:
            key = "call", given, id(function), *map(id, arguments)
            if key in self._seen:
                return
            self._seen.add(key)
            self._kept.append((function, arguments))  # so that the ids stay theirs
        self._functions.append((function, arguments, keywords or {}, given))
        if self._reading:  # one after another: calls may be nested deeper than Python's stack
            return
        self._reading = True
        try:
            while self._functions:
                self._depend(*self._functions.pop())
        finally:
            self._reading = False

    def depend_on_call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Notes what a captured function reads, its arguments' attributes among them."""
        for value in _leaves((args, kwargs)):
            self._whole(value, f"an argument ({type(value).__name__})")
        known = [ABSENT if isinstance(a, _CONTAINERS) else a for a in args]
        named = {k: a for k, a in kwargs.items() if not isinstance(a, _CONTAINERS)}
        self.depend(function, *known, keywords=named)

    def _depend(
        self, function: Any, arguments: tuple[Any, ...], keywords: dict[str, Any], given: bool
    ) -> None:
        while not isinstance(function, types.FunctionType):
            if isinstance(function, (functools.partial, functools.partialmethod)):
                arguments = (*function.args, *arguments)
                function, keywords = function.func, {**function.keywords, **keywords}
            elif isinstance(function, types.MethodType):
                function, arguments = function.__func__, (function.__self__, *arguments)
            elif hasattr(function, "_captured_function"):  # it is recorded with us
                function = function._captured_function
            elif hasattr(function, "__wrapped__"):  # such as by functools.cache
                function = function.__wrapped__
            else:
                call = _of_class(type(function), "__call__")
                if not isinstance(call, types.FunctionType):
                    return
                function, arguments = call, (function, *arguments)
        for chosen in getattr(function, "registry", {}).values():  # of functools.singledispatch
            self.depend(chosen, given=False)
        if not _is_ours(function, given):
            return
        code = function.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        defaults = function.__defaults__ or ()
        values = {
            **dict(zip(names[code.co_argcount - len(defaults) :], defaults, strict=False)),
            **(function.__kwdefaults__ or {}),
            **dict(zip(names[: code.co_argcount], arguments, strict=False)),
            **keywords,
        }
        values = {n: v for n, v in values.items() if n in names and not _is_value(v)}
        key = id(function), *((n, id(v)) for n, v in values.items())
        if key in self._seen:
            return
        self._seen.add(key)
        self._kept.append((function, values))
        scope: dict[str, tuple[Any, Any]] = {n: (ABSENT, v) for n, v in values.items()}
        scope.update(
            (name, (cell, "cell_contents"))
            for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True)
        )
        self._read(function, scope)

    def _read(self, function: types.FunctionType, scope: dict[str, tuple[Any, Any]]) -> None:
        try:
            paths = reads(function.__code__)
        except Unreadable as error:
            self.unreadable = self.unreadable or f"{function.__qualname__} has a {error}"
            return
        self._looks = self._looks or _mentions(function.__code__, "grad")
        for path, elsewhere in paths:
            kind, name, steps = path
            owner: Any = ABSENT
            if kind is MODULE:
                value = sys.modules.get(name, ABSENT)
            elif kind is GLOBAL:
                if name in _BUILTINS and name not in function.__globals__:
                    continue
                owner, key = function.__globals__, name
                value = current(owner, key)
            elif name in scope:
                owner, value = scope[name]
                if owner is not ABSENT:
                    key, value = value, current(owner, value)
            else:
                continue
            if owner is not ABSENT:
                if value is ABSENT:
                    if kind is GLOBAL:
                        self.note(owner, key, ABSENT, name)
                    continue
                if not self._see(owner, key, value, name, _members(steps)):
                    continue
            elif value is not ABSENT:
                self._inside(value, name, _members(steps))
            self._follow(value, steps, name, elsewhere)

    def _follow(
        self,
        value: Any,
        steps: tuple[tuple[str, Any], ...],
        name: str,
        elsewhere: bool,
        depth: int = 3,
    ) -> None:
        """Goes on from `value` along attributes and items."""
        owner: Any
        for i, (kind, key) in enumerate(steps):
            rest = steps[i + 1 :]
            if kind is SUPER:
                for base in (value if isinstance(value, type) else type(value)).__mro__:
                    if key in base.__dict__:
                        self._member(value, key, name, base)
                return
            if kind is ITEM:
                for member in _items(value) if key is ANY and depth else ():
                    self._inside(member, name, _members(rest))
                    # Members of members too: of what `zip` or `items` makes of a container.
                    more = (steps[i], *rest) if _items(member) else rest
                    self._follow(member, more, f"{name}[...]", elsewhere, depth - 1)
                if key is ANY or not isinstance(value, (list, tuple, dict)):
                    self._whole(value, name)
                    return
                name, owner = f"{name}[{key!r}]", value
                found = current(owner, key)
            else:
                name = f"{name}.{key}"
                owner = getattr(value, "__dict__", None)
                if type(owner) is dict and key in owner:
                    found = owner[key]
                elif (member := self._member(value, key, name)) is not None:
                    owner, found = member
                else:
                    return
            if found is ABSENT:
                self.note(owner, key, ABSENT, name)
                return
            if not self._see(owner, key, found, name, _members(rest)):
                return
            value = found
        if elsewhere or isinstance(value, type):  # a class that is called makes an object
            self._whole(value, name)

    def _member(self, value: Any, key: str, name: str, kind: Any = None) -> tuple[Any, Any] | None:
        """What the class of `value` has under this name: methods and properties are read too.

        Returns:
            The owner and the value of a plain member of the class, or of a slot; None for others.
        """
        if _is_value(value):
            return None
        own = value if isinstance(value, type) else type(value)
        member = _of_class(own, key) if kind is None else kind.__dict__[key]
        known = own.__module__.partition(".")[0] in _KNOWN
        if kind is None and (member is ABSENT or not (known or isinstance(member, property))):
            members = getattr(value, "__dict__", None)
            if type(members) is dict:
                self.note(members, key, ABSENT, name)  # it may get one of its own
        if isinstance(member, types.FunctionType):
            self.depend(member, *() if own is value else (value,), given=False)
        elif isinstance(member, staticmethod):
            self.depend(member.__func__, given=False)
        elif isinstance(member, classmethod):
            self.depend(member.__func__, own, given=False)
        elif isinstance(member, property):
            self.depend(member.fget, value, given=False)
        elif isinstance(member, functools.cached_property):
            self.depend(member.func, value, given=False)
        elif isinstance(member, types.MemberDescriptorType):  # of __slots__
            return None if own is value else (value, current(value, key))
        elif member is ABSENT:
            dynamic = _of_class(own, "__getattr__")
            if isinstance(dynamic, types.FunctionType):
                self.depend(dynamic, value, given=False)
                self._whole(value, name)
        elif known:
            pass
        elif isinstance(read := _of_class(type(member), "__get__"), types.FunctionType):
            self.depend(read, member, value, own, given=False)
        elif hasattr(member, "__wrapped__") or isinstance(member, functools.partialmethod):
            self.depend(member, value, given=False)
        elif not hasattr(member, "__get__") or isinstance(member, type):
            return own, member
        return None

    def _see(self, owner: Any, key: Any, value: Any, name: str, depth: int) -> bool:
        """Notes a value that the code reads, and members `depth` levels deep.

        Tells whether to look further.
        """
        if isinstance(value, types.ModuleType):
            return _is_user_module(value)
        if isinstance(value, types.BuiltinFunctionType):
            return False
        if isinstance(value, type):
            if _is_user_class(value):
                self.note(owner, key, value, name)
            return True
        if callable(value) and not hasattr(value, "forward"):
            if isinstance(value, types.FunctionType) and not _is_ours(value, given=False):
                self.depend(value, given=False)
                return False
            self.note(owner, key, value, name)
            self.depend(value, given=False)
            return True
        self.note(owner, key, value, name)
        if isinstance(value, Tensor):
            self._tensor(value, name)
        else:
            self._inside(value, name, depth)
        return True

    def _tensor(self, tensor: Tensor, name: str) -> None:
        """Notes what a tensor's numbers and gradient depend on."""
        self.note(tensor, "data", tensor.data, name)
        self.note(tensor, "_requires_grad", tensor._requires_grad, name)
        if tensor._requires_grad and tensor.node is None:
            self.hand_out(tensor)

    def _inside(self, value: Any, name: str, depth: int) -> None:
        """Notes what is in a container, `depth` levels deep."""
        indexed = isinstance(value, (list, tuple, dict))
        if isinstance(value, np.ndarray):
            if depth >= 0 and value.nbytes <= _MOST_BYTES:
                how = SAMPLE if value.dtype.hasobject else CONTENTS
                self.note(value, how, current(value, how), name)
            elif depth >= 0 and value.flags.writeable:  # others may be files, and costly to read
                self._sample(value, name)
            return
        if not isinstance(value, _CONTAINERS) or (indexed and depth <= 0):
            return
        if len(value) > _MOST_CONTENTS:
            self._sample(value, name)
            return
        large = len(value) > _MOST_ITEMS
        if isinstance(value, dict):
            self.note(value, CONTENTS, current(value, CONTENTS), f"the keys of {name}")
            if large:
                self.note(value, VALUES, current(value, VALUES), f"the values of {name}")
        elif large or not indexed:
            self.note(value, CONTENTS, current(value, CONTENTS), name)
        pairs: Iterable[Any] = value.items() if isinstance(value, dict) else enumerate(value)
        for k, v in list(pairs) if indexed else ():
            if not large:
                self._see(value, k, v, f"{name}[{k!r}]", depth - 1)
            elif isinstance(v, Tensor):
                self._tensor(v, f"{name}[{k!r}]")
            else:
                self._inside(v, f"{name}[{k!r}]", depth - 1)
        for v in _items(value):
            self._whole(v, name, depth - 1)
        if isinstance(value, list):
            self.note(value, len(value), ABSENT, f"len({name})")

    def _sample(self, value: Any, name: str) -> None:
        """Notes a part of what is too large to be compared before each replay."""
        self.note(value, SAMPLE, current(value, SAMPLE), name)
        if not self._around and not isinstance(value, (tuple, frozenset)):
            self.large.append(name)

    def _whole(self, value: Any, name: str, depth: int = 6) -> None:
        """Notes all of an object that other code may look at: attributes, what methods read."""
        if isinstance(value, type):
            if _is_user_class(value):
                self._methods(value, ABSENT)
            return
        if depth <= 0 or not _is_object(value) or (id(value), "whole") in self._seen:
            return
        self._seen.add((id(value), "whole"))
        self._kept.append(value)
        self._around += 1
        self._attributes(value, name, depth)
        self._around -= 1

    def _attributes(self, value: Any, name: str, depth: int) -> None:
        members = getattr(value, "__dict__", None)
        layer = hasattr(value, "forward")
        if type(members) is dict and (not layer or _is_user_class(type(value))):
            for key, v in list(members.items()):
                # Layers and parameters are noted by the layers, when they run.
                if not layer or not (isinstance(v, Tensor) or hasattr(v, "forward")):
                    self._see(members, key, v, f"{name}.{key}", depth - 1)
                    self._whole(v, f"{name}.{key}", depth - 1)
            self.note(members, CONTENTS, current(members, CONTENTS), f"the attributes of {name}")
        for base in type(value).__mro__:
            for key, member in base.__dict__.items():
                if isinstance(member, types.MemberDescriptorType):
                    found = current(value, key)
                    self._see(value, key, found, f"{name}.{key}", depth - 1)
                    self._whole(found, f"{name}.{key}", depth - 1)
        self._methods(type(value), value)

    def _methods(self, kind: type, value: Any) -> None:
        """Notes what the user's own classes among those of an object hold, and what they read."""
        for base in kind.__mro__:
            if not _is_user_class(base):
                continue
            for key, member in list(base.__dict__.items()):
                if key.startswith("__") and not isinstance(member, types.FunctionType):
                    continue
                owned = self._member(kind if value is ABSENT else value, key, key, base)
                if owned is not None and owned[0] is kind and _of_class(kind, key) is member:
                    self._see(kind, key, member, f"{kind.__name__}.{key}", 3)

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
            now = current(owner, attribute)
            if now is value or equal(now, value):
                kept.append((owner, attribute, value))
                continue
            array = value.data if isinstance(value, Tensor) else value
            if recorder is not None and isinstance(array, _core.Array) and recorder.touches(array):
                put(owner, attribute, value)
                name = self._names[at, attribute]
                raise CaptureError(
                    f"[capture] expected tensors that outlive a step to be changed in place, got "
                    f"{name!r} bound to another tensor - write {name}.copy_(...) instead"
                )
        return Guards(kept, self._names)


def tell_unreadable(step: str, reason: str) -> None:
    """Warns that it is not known what a step depends on."""
    logging.getLogger("ranvier").warning(
        "[capture] the step %s runs eagerly, because the byte code of Python %d.%d is not known "
        "to this version of ranvier: %s - use another version of either",
        step,
        *sys.version_info[:2],
        reason,
    )


def tell_large(step: str, names: Iterable[str]) -> None:
    """Warns of what is compared in part before each replay."""
    logging.getLogger("ranvier").warning(
        "[capture] replays of the step %s notice when %s changes in size or in large parts only - "
        "pass what the step needs of it as an argument, or make it a tuple or a read-only array",
        step,
        ", ".join(dict.fromkeys(names)),
    )


def tell(step: str, name: str) -> None:
    """Warns that a step cannot be replayed."""
    logging.getLogger("ranvier").warning(
        "[capture] the step %s runs eagerly from now on, because %s differs from call to call - "
        "pass it as a tensor argument",
        step,
        name,
    )


_KNOWN = frozenset({*sys.stdlib_module_names, "numpy", "ranvier"})
_BUILTINS = frozenset(dir(__import__("builtins")))
_STANDARD = sysconfig.get_paths()["stdlib"]
_NO_OBJECTS = (
    types.ModuleType, types.FunctionType, types.MethodType, types.BuiltinFunctionType,
)  # fmt: skip
_CONTAINERS = (list, tuple, dict, set, frozenset, collections.deque, bytearray)


def _is_library(file: str) -> bool:
    """Whether a file is of somebody's library, which knows no tensors of ours."""
    return "site-packages" in file or "dist-packages" in file


def _is_user_module(module: types.ModuleType) -> bool:
    if module.__name__.partition(".")[0] not in _KNOWN:
        return True
    file = getattr(module, "__file__", None) or _STANDARD  # compiled into the interpreter
    return not file.startswith((_STANDARD, _PACKAGE)) and not _is_library(file)


def _is_user_class(kind: type) -> bool:
    module = sys.modules.get(kind.__module__)
    if module is None:
        return kind.__module__.partition(".")[0] not in _KNOWN
    return _is_user_module(module) and not _is_library(getattr(module, "__file__", None) or "")


def _is_value(value: Any) -> bool:
    """Whether an argument is one that says all by itself."""
    return value is ABSENT or isinstance(value, (Tensor, np.ndarray, Enum, *SIMPLE))


def _is_object(value: Any) -> bool:
    """Whether a value has attributes that may change."""
    if _is_value(value) or isinstance(value, _NO_OBJECTS):
        return False
    if type(value).__module__.partition(".")[0] in ("ranvier", "numpy"):
        return False
    return hasattr(value, "__dict__") or _is_user_class(type(value))


def _items(value: Any) -> list[Any]:
    """What is in a container, and what of it may be more than a number."""
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, _CONTAINERS):
        return [] if isinstance(value, bytearray) else list(value)
    if hasattr(value, "forward"):  # a list of layers
        return [v for v in vars(value).values() if hasattr(v, "forward")]
    return []


def _leaves(arguments: tuple[Any, ...]) -> Iterator[Any]:
    """What is inside of the containers among arguments."""
    inside = [v for a in (*arguments[0], *arguments[1].values()) for v in _items(a)]
    while inside:
        value = inside.pop()
        inside.extend(_items(value) if isinstance(value, _CONTAINERS) else ())
        yield value


def _mentions(code: types.CodeType, name: str) -> bool:
    """Whether code, or code inside of it, names an attribute."""
    inner = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return name in code.co_names or any(_mentions(c, name) for c in inner)


def _is_ours(function: types.FunctionType, given: bool) -> bool:
    """Whether to look into a function: the user's own code, and layers."""
    file = function.__code__.co_filename
    if file.startswith(_PACKAGE):
        return file.startswith(_LAYERS)
    if _is_library(file):
        return given
    if file.startswith("<"):  # made from text, as by dataclasses and the interpreter's prompt
        return (function.__module__ or "").partition(".")[0] not in _KNOWN
    return not file.startswith(_STANDARD)


def _of_class(kind: type, name: str) -> Any:
    """What a class, or the first of its bases that has it, holds under a name."""
    for base in kind.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return ABSENT


def _members(steps: tuple[tuple[str, Any], ...]) -> int:
    """How deep code may look into a list or dict, by what follows its name."""
    if not steps:
        return 3
    kind, key = steps[0]
    if kind is ITEM:
        return 3 if key is ANY else 0
    if key in ("shape", "dtype", "ndim", "size", "nbytes", "itemsize"):
        return -1  # of an array: its numbers do not matter
    return 0 if key in ("append", "extend", "insert", "clear", "update") else 3
