"""Captured steps: a Python function whose kernel calls are recorded once and replayed after.

For one signature (shapes, dtypes, devices, training flags, other hashable arguments), call 1 runs
eagerly. In call 2 every kernel call is recorded, and all are run when the function returns; from
call 3 on they are replayed in one compiled call without the interpreter. When something that the
recording depends on was replaced (see `ranvier.guards`), the count starts again.
"""

from __future__ import annotations

import copy
import functools
import inspect
import logging
import os
import sys
import threading
import traceback
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import numpy as np

from ranvier import _core
from ranvier.autograd import Function, next_sequence
from ranvier.guards import ABSENT, Guards, Leaf, change, guard, strong, watches, weak
from ranvier.tensor import Tensor, clock, from_host
from ranvier.watch import CaptureError, Watch, tell, tell_large, tell_unreadable

__all__ = ["ABSENT", "CaptureError", "CapturedStep", "ProgramView", "capture", "guard",
           "is_capturing"]  # fmt: skip

_GRAD, _ANOMALY = 1, 2  # bits of the mode
_MOST_VARIANTS = 8  # recordings of one signature that are kept
_MOST_IN_VAIN = 16  # calls of one signature without a replay, before it runs eagerly for good


def is_capturing() -> bool:
    """Whether this thread is recording a step."""
    return _core.is_capturing()


class _Edge(Function):
    """Where the graph of a captured step ends: a gradient that comes here has nowhere to go."""

    edges = ()

    def __init__(self, text: str) -> None:
        self.sequence, self._text = next_sequence(), text

    def backward(self, *grads: Any) -> Any:
        """Says what to do instead."""
        raise RuntimeError(self._text)


_INPUT = (
    "[capture] expected gradients to end at the arguments of a captured step, got an argument that "
    "was computed from tensors with gradients - compute it inside of the step, or detach it"
)
_OUTPUT = (
    "[capture] expected backward inside of the captured step, got backward of what it returned, "
    "which a replay computes without a graph - call backward in the step, or return x.detach()"
)


class _Recording:
    """One replayable recording: its inputs, kernel calls, outputs, and what it depends on."""

    def __init__(
        self, program: Any, inputs: list[Tensor], outputs: Any, guards: Guards, leaves: list[Leaf]
    ) -> None:
        self.program, self.inputs, self.outputs = program, inputs, outputs
        self.guards, self.leaves = guards, leaves
        self.replayed = False
        self.bound: list[int] = []  # arguments that are used themselves, not copies of them
        self.written: list[int] = []  # arguments that the step changes

    def bind(self, tensors: list[Tensor]) -> bool:
        """Whether the arguments fit; those with gradients bring them along."""
        for i in self.bound:
            if self.inputs[i] is not tensors[i]:
                return False
        for own, given in zip(self.inputs, tensors, strict=True):
            if own is not given and own._requires_grad:
                own.grad = given.grad
        return True

    def begin(self, tensors: list[Tensor]) -> None:
        """Copies arguments and gradients to where the kernels read them."""
        for own, given in zip(self.inputs, tensors, strict=True):
            if own.data is not given.data:
                _core.copy_into(own.data, given.data)
        for leaf in self.leaves:
            leaf.begin()

    def end(self, tensors: list[Tensor]) -> None:
        """Leaves gradients and changed arguments as the step would have."""
        for leaf in self.leaves:
            leaf.end()
        self.give_back(tensors)

    def give_back(self, tensors: list[Tensor]) -> None:
        """What the step did to its copies of arguments is done to the arguments."""
        for i in self.written:
            own, given = self.inputs[i], tensors[i]
            if own is not given:
                _core.copy_into(given.data, own.data)
                clock.changed(given.data)
        for own, given in zip(self.inputs, tensors, strict=True):
            if own is given or not own._requires_grad or own.node is not None:
                continue
            if own.grad is None or given.grad is own.grad:
                given.grad = own.grad
            else:
                given.grad = _copy(own.grad)


class _Signature:
    """All recordings for arguments of one kind."""

    def __init__(self) -> None:
        self.recordings: list[_Recording] = []
        # What it depended on when Python ran last: if that was replaced, state follows once more.
        self.ran: Guards | None = None
        self.changes: set[Any] = set()  # flags and numbers under which it ran eagerly
        self.known: list[weakref.ref[Tensor]] = []  # leaves whose gradients matter
        self.arguments: list[weakref.ref[Tensor]] = []  # of the last call that ran in Python
        self.recorded = 0
        self.in_vain = 0  # calls since the last replay
        self.reason = ""  # why the last recording could not be used


def _flatten(value: Any, tensors: list[Tensor]) -> Any:
    """The structure of `value` as a hashable key; its tensors (and arrays) go to `tensors`."""
    if isinstance(value, np.ndarray):
        value = Tensor(from_host(value))
    if isinstance(value, Tensor):
        tensors.append(value)
        d = value.data
        return ("tensor", d.shape, d.strides, d.dtype, d.device, value._requires_grad)
    if isinstance(value, (list, tuple)):
        return (type(value), *[_flatten(v, tensors) for v in value])
    if isinstance(value, dict):
        return (dict, *[(k, _flatten(v, tensors)) for k, v in value.items()])
    if type(value) is float:  # -0.0 is another number than 0.0, and nan the same as nan
        return (float, value.hex())
    try:
        hash(value)
    except TypeError:
        raise CaptureError(
            f"[capture] expected tensors, arrays and hashable arguments, got "
            f"{type(value).__name__} - pass it as a tensor, or close over it"
        ) from None
    return (type(value), value)


def _rebuild(value: Any, tensors: list[Tensor]) -> Any:
    """`value` with its tensors replaced, in order, by those in `tensors`."""
    if isinstance(value, (Tensor, np.ndarray)):
        return tensors.pop(0)
    if isinstance(value, (list, tuple)):
        items = [_rebuild(v, tensors) for v in value]
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*items)
        return type(value)(items)
    if isinstance(value, dict):
        return {k: _rebuild(v, tensors) for k, v in value.items()}
    return value


def _tensors_of(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [t for v in value for t in _tensors_of(v)]
    return []


_NOTHING = Guards([], {})


def _replaced(guards: Guards) -> bool:
    """Whether some object that a step depends on is another one now."""
    broken = guards.broken()
    return broken is not None and change(broken) is None


def _ends_here(tensor: Tensor, text: str) -> Tensor:
    """The tensor's values at the edge of a graph."""
    edge = Tensor(tensor.data)
    edge._requires_grad, edge.node = True, _Edge(text)
    return edge


class CapturedStep:
    """A function that is recorded on its second call and replayed from the third.

    Attributes:
        program: the recording that ran last, or None before the first; `print(step.program)`
            lists its kernel calls.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function, updated=())
        self._captured_function = function
        self._name = ""
        self._told = False  # of what is too large to be watched
        self._signatures: dict[Any, _Signature] = {}
        self._check = os.environ.get("RANVIER_CHECK_CAPTURE", "") not in ("", "0")
        self.program: ProgramView | None = None

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: Any = None) -> CapturedStep:
        """As a method: each instance has recordings of its own."""
        if instance is None:
            return self
        if not hasattr(instance, "__dict__"):
            raise TypeError(
                f"[capture] expected an instance with a __dict__, where its recordings can live, "
                f"got {type(instance).__name__} with __slots__ - capture a function"
            )
        bound = CapturedStep(self._captured_function.__get__(instance))
        instance.__dict__[self._name] = bound
        return bound

    def __repr__(self) -> str:
        recordings = sum(len(signature.recordings) for signature in self._signatures.values())
        name = getattr(self, "__name__", "function")
        return f"CapturedStep({name}, {recordings} recording{'s' if recordings != 1 else ''})"

    def __reduce__(self) -> Any:
        """The function is pickled, and captured where it lands; recordings stay behind."""
        function = self._captured_function
        owner = getattr(function, "__self__", None)
        name = getattr(function, "__name__", "")
        if owner is not None and isinstance(getattr(type(owner), name, None), CapturedStep):
            return getattr, (owner, name)  # a method
        if getattr(sys.modules.get(function.__module__), name, None) is self:
            return name  # where it stands as decorated
        return CapturedStep, (function,)

    def __deepcopy__(self, memo: dict[int, Any]) -> CapturedStep:
        return CapturedStep(copy.deepcopy(self._captured_function, memo))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs one step; tensors that come back hold their values until the next replay."""
        tensors: list[Tensor] = []
        mode = _core.mode()
        key = _core.matmul_precision(), mode, _flatten((args, kwargs), tensors)
        if len(tensors) != len(_tensors_of((args, kwargs))):  # arrays: the function gets tensors
            args, kwargs = _rebuild((args, kwargs), list(tensors))
        # A step inside of another one is a part of it; a search for NaN looks at every value.
        if mode & _ANOMALY or (watches and threading.get_ident() in watches):
            return self._captured_function(*args, **kwargs)
        if mode & _GRAD and any(t.node is not None for t in tensors):
            tensors = [t if t.node is None else _ends_here(t, _INPUT) for t in tensors]
            args, kwargs = _rebuild((args, kwargs), list(tensors))
        signature = self._signatures.get(key)
        if signature is None:
            signature = self._signatures[key] = _Signature()
        record = signature.ran is not None and not _replaced(signature.ran)
        for recording in list(signature.recordings):
            broken = recording.guards.broken()
            if broken is not None:
                signature.reason = recording.guards.name(broken)
                changed = change(broken)
                if changed is None:
                    signature.recordings.remove(recording)
                    record = False
                elif changed not in signature.changes:
                    signature.changes.add(changed)
                    record = False
            elif recording.bind(tensors) and all(leaf.fits() for leaf in recording.leaves):
                signature.in_vain = 0
                self.program = ProgramView(recording.program)
                if self._check:
                    return self._checked(recording, args, kwargs, tensors)
                return self._replay(recording, tensors)
            else:
                signature.reason = "a gradient"
        if signature.in_vain >= _MOST_IN_VAIN:
            if signature.recordings:
                tell(getattr(self, "__name__", "function"), signature.reason)
                signature.recordings.clear()
            return self._captured_function(*args, **kwargs)
        if record:
            return self._record(signature, args, kwargs, tensors)
        # Once eagerly: state that follows a change must not be recorded.
        return self._eagerly(signature, args, kwargs, tensors)

    def _eagerly(self, signature: _Signature, args: Any, kwargs: Any, tensors: list[Tensor]) -> Any:
        """Runs the function as it is, and remembers whose gradients it touched."""
        with Watch() as watch:
            watch.depend_on_call(self._captured_function, args, kwargs)
            result = _not_lazy(self._captured_function(*args, **kwargs))
        signature.ran = watch.guards()
        signature.known = [weakref.ref(t) for t, *_ in watch.leaves()]
        signature.arguments = [weakref.ref(t) for t in tensors]
        signature.in_vain += 1
        self._note_unreadable(signature, watch)
        return result

    def _note_unreadable(self, signature: _Signature, watch: Watch) -> bool:
        """Whether the step runs eagerly from now on: nobody knows what it depends on."""
        if watch.unreadable:
            signature.recordings.clear()
            signature.in_vain = _MOST_IN_VAIN
            tell_unreadable(getattr(self, "__name__", "function"), watch.unreadable)
        return bool(watch.unreadable)

    def _replay(self, recording: _Recording, tensors: list[Tensor]) -> Any:
        recording.begin(tensors)
        first, recording.replayed = not recording.replayed, True
        if first:
            for t in _tensors_of(recording.outputs):
                if t.node is not None:
                    t.node = _Edge(_OUTPUT)
        recording.program.replay()
        clock.now = max(clock.now, _core.mutations())
        recording.end(tensors)
        if first:
            _tell_of_graphs(recording.program)
        return recording.outputs

    def profile(self, repeats: int = 10) -> str:
        """A table of the time per kernel, best of `repeats` replays; the state is restored after.

        Raises:
            RuntimeError: nothing was recorded yet.
        """
        if self.program is None:
            raise RuntimeError(
                "[profile] expected a recorded step, got none - call the step at least twice"
            )
        program = self.program._program
        before = program.snapshot()
        times = program.profile(repeats)
        program.restore(before)
        clock.now = max(clock.now, _core.mutations())
        rows: dict[str, list[int]] = {}
        for name, taken in zip(program.names(), times, strict=True):
            rows.setdefault(name, []).append(taken)
        total = sum(times)
        out = [f"{'kernel':<28}{'calls':>6}{'us':>12}{'share':>8}"]
        for name, taken in sorted(rows.items(), key=lambda r: -sum(r[1])):
            share = sum(taken) / max(total, 1)
            out.append(f"{name:<28}{len(taken):>6}{sum(taken) / 1e3:>12.1f}{share:>8.1%}")
        out.append(f"{'total':<28}{len(times):>6}{total / 1e3:>12.1f}")
        return "\n".join(out)

    def invalidate(self) -> None:
        """Forgets all recordings: the next call of each signature is recorded again."""
        for signature in self._signatures.values():
            signature.recordings.clear()
            signature.ran, signature.in_vain = _NOTHING, 0

    def _record(self, signature: _Signature, args: Any, kwargs: Any, tensors: list[Tensor]) -> Any:
        """Runs the function while its kernel calls are noted."""
        found = {
            id(t): (t, weak(t.grad)) for t in [ref() for ref in signature.known] if t is not None
        }
        inputs, bound = [], []
        for i, t in enumerate(tensors):
            if t._requires_grad and t.node is None and _was(signature, i, t):
                bound.append(i)  # such as a parameter that comes as an argument
                inputs.append(t)
                continue
            own = Tensor(_core.empty_like(t.data))
            _core.copy_into(own.data, t.data)
            own._requires_grad = t._requires_grad
            if t.node is not None:
                own.node = t.node if isinstance(t.node, _Edge) else None
            elif t._requires_grad and t.grad is not None:
                own.grad = _copy(t.grad)
            inputs.append(own)
            found[id(own)] = own, weak(own.grad)
        signature.arguments = [weakref.ref(t) for t in tensors]
        versions = [t.data.version for t in inputs]
        new_args, new_kwargs = _rebuild((args, kwargs), list(inputs))
        recorder = _core.Recorder(keep_bits=self._check)
        with Watch() as watch:
            try:
                watch.depend_on_call(self._captured_function, args, kwargs)
                outputs = _not_lazy(self._captured_function(*new_args, **new_kwargs))
                guards = watch.guards(recorder)
            except BaseException as error:
                recorder.abandon()
                _restore_gradients(watch, found)
                if isinstance(error, CaptureError):
                    raise CaptureError(_with_line(error)) from None
                raise
        leaves = []
        for tensor, grad, matters in watch.leaves():
            known = id(tensor) in found
            entry = strong(found[id(tensor)][1]) if known else grad
            # One that was not known is new in each step, or so when the step was recorded before.
            same = entry is grad and (known or not signature.recorded)
            reads = same and isinstance(entry, Tensor) and recorder.touches(entry.data)
            leaf = Leaf(tensor, entry, same and (matters or reads), reads)
            if leaf.expects or leaf.changes:
                leaves.append(leaf)
        program = recorder.finish()
        try:
            program.run()
        except BaseException:  # such as of an index that is too large
            _restore_gradients(watch, found)
            raise
        recording = _Recording(program, inputs, outputs, guards, leaves)
        recording.bound = bound
        recording.written = [
            i for i, (t, v) in enumerate(zip(inputs, versions, strict=True)) if t.data.version != v
        ]
        recording.give_back(tensors)
        signature.known = [weakref.ref(t) for t, *_ in watch.leaves()]
        signature.ran = guards
        if self._note_unreadable(signature, watch):
            return outputs
        if watch.large and not self._told:
            self._told = True
            tell_large(getattr(self, "__name__", "function"), watch.large)
        signature.recordings.append(recording)
        del signature.recordings[:-_MOST_VARIANTS]
        signature.recorded += 1
        signature.in_vain += 1
        self.program = ProgramView(recording.program)
        return outputs

    def _checked(self, recording: _Recording, args: Any, kwargs: Any, tensors: list[Tensor]) -> Any:
        """Replays, then runs the function eagerly from the same state: the bits must agree."""
        program = recording.program
        recording.begin(tensors)
        before = program.snapshot()
        program.replay()
        replayed = program.snapshot()
        outputs = [_bits(t) for t in _tensors_of(recording.outputs)]
        grads = [_bits(leaf.exit) for leaf in recording.leaves]
        program.restore(before)
        clock.now = max(clock.now, _core.mutations())
        for leaf in recording.leaves:
            if leaf.entry is not None:
                leaf.tensor.grad = leaf.entry
        new_args, new_kwargs = _rebuild((args, kwargs), list(recording.inputs))
        with Watch():
            eager = self._captured_function(*new_args, **new_kwargs)
        for i, (a, b) in enumerate(zip(outputs, _tensors_of(eager), strict=True)):
            if a != _bits(b):
                raise CaptureError(
                    f"[capture] expected a replay to give the bits of the eager step, got another "
                    f"output {i} - something that the step depends on is not in a tensor"
                )
        for i, (a, b) in enumerate(zip(replayed, program.snapshot(), strict=True)):
            if a != b:
                raise CaptureError(
                    f"[capture] expected a replay to leave the state of the eager step, got other "
                    f"bits in changed buffer {i} - a number that changes from step to step was "
                    "recorded as a constant"
                )
        for bits, leaf in zip(grads, recording.leaves, strict=True):
            if bits != _bits(leaf.tensor.grad):
                raise CaptureError(
                    "[capture] expected a replay to leave the gradients of the eager step, got "
                    f"others for a tensor of shape {leaf.tensor.shape} - something that the step "
                    "depends on is not in a tensor"
                )
        recording.give_back(tensors)
        return eager


def _not_lazy(result: Any) -> Any:
    """What a step returned, unless it would be computed after the call, or at the first use only.

    Raises:
        CaptureError: an iterator or a coroutine.
    """
    for value in result if isinstance(result, (list, tuple)) else (result,):
        if isinstance(value, (Iterator, Coroutine, AsyncIterator)):
            raise CaptureError(
                f"[capture] expected tensors that are there when the step returns, got "
                f"{type(value).__name__} - return a list"
            )
    return result


def _restore_gradients(watch: Watch, found: dict[int, tuple[Tensor, Any]]) -> None:
    """Gives the leaves of a step that failed the gradients that they had before."""
    for tensor, grad, _ in watch.leaves():
        before = strong(found[id(tensor)][1]) if id(tensor) in found else grad
        tensor.grad = None if before is ABSENT else before


def _copy(tensor: Tensor) -> Tensor:
    own = Tensor(_core.empty_like(tensor.data))
    _core.copy_into(own.data, tensor.data)
    return own


def _bits(tensor: Tensor | None) -> bytes | None:
    return None if tensor is None else np.ascontiguousarray(tensor.cpu().numpy()).tobytes()


def _was(signature: _Signature, i: int, tensor: Tensor) -> bool:
    """Whether argument i was this very tensor in the last call that ran in Python."""
    return i < len(signature.arguments) and signature.arguments[i]() is tensor


def _tell_of_graphs(program: Any) -> None:
    """Logs, after the first replay, why a step on a GPU runs call by call."""
    if program.graph_problem:
        logging.getLogger("ranvier").warning(
            "[capture] the step is replayed kernel by kernel, its graph could not be made: %s",
            program.graph_problem,
        )


def _with_line(error: BaseException) -> str:
    """The error's text with the line of user code that caused it."""
    package = os.path.dirname(__file__)
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(package)
    ]
    if not frames:
        return str(error)
    f = frames[-1]
    return f"{error} (at {f.filename}:{f.lineno}: {f.line})"


class ProgramView:
    """What `step.program` shows: the recorded kernel calls.

    Attributes:
        arena_bytes: memory that the step's temporaries share, known after the first replay.
        planned_bytes: what they would take if each had its own.
        flops: useful operations of the calls that tell theirs (products, convolutions,
            recurrences), multiplications and additions counted apart.
        graphs: graphs that a GPU replays; 0 before the first replay, and on the cpu. A step that
            stays on one GPU is one graph.
        rewrites: how often each rewrite rule applied; empty before the first replay.
    """

    def __init__(self, program: Any) -> None:
        self._program = program

    def __len__(self) -> int:
        return len(self._program)

    @property
    def arena_bytes(self) -> int:
        """Memory that the step's temporaries share; 0 before the first replay."""
        return self._program.arena_bytes

    @property
    def planned_bytes(self) -> int:
        """Memory that the temporaries would take if each had its own."""
        return self._program.planned_bytes

    @property
    def flops(self) -> float:
        """Useful operations of one replay, those of products, convolutions and recurrences."""
        return self._program.flops()

    @property
    def graphs(self) -> int:
        """Graphs that a GPU replays by itself; 0 before the first replay, and on the cpu."""
        return self._program.graphs

    @property
    def rewrites(self) -> dict[str, int]:
        """How often each rewrite rule applied; empty before the first replay."""
        return dict(self._program.rewrites())

    def __str__(self) -> str:
        head = f"{len(self)} kernel calls over {self._program.buffer_bytes} bytes of buffers"
        if self.flops:
            head += f", {self.flops:.4g} flops"
        if self.arena_bytes:
            head += f"; temporaries of {self.planned_bytes} bytes share {self.arena_bytes}"
        if self.graphs:
            head += f"; replayed as {self.graphs} graph" + ("s" if self.graphs > 1 else "")
        return head + "\n" + self._program.text()

    __repr__ = __str__


def capture(function: Callable[..., Any]) -> CapturedStep:
    """Makes a step that replays its kernel calls without Python from its third call on.

    Arguments may be tensors, NumPy arrays (which the function gets as tensors), lists, tuples and
    dicts of them, and what can be hashed; another shape, dtype or value of the latter is another
    step.
    The function may read and change tensors (parameters, optimizer state, arguments), call backward
    and return tensors. It must not read values on the host (`.item()`, `.numpy()`, `if tensor:`):
    that raises `CaptureError`, naming the line. What comes back, and gradients, hold their values
    until the next call.

    What the function reads by name (globals, closures, attributes of `self`, layers and their
    settings) may be replaced between calls: it is then recorded anew. Of arrays of NumPy above
    1 MiB and of containers of more than 16,384 members only the size and a sample are compared; one
    warning says so. Other side effects of Python are not replayed: a counter stands still, and a
    tensor that lives on must be changed in place
    (`+=`, `copy_`). A gradient ends at the arguments, and starts inside.

    Raises:
        TypeError: not a function, or one that runs after its call (a generator).

    Environment:
        RANVIER_CHECK_CAPTURE=1 compares every replay with an eager run from the same state, bit
        for bit; rewrites that add in another order are left out.

    Example:
        >>> import ranvier as rv
        >>> double = rv.capture(lambda x: x + x)
        >>> [double(rv.tensor([float(i)])).item() for i in range(4)]
        [0.0, 2.0, 4.0, 6.0]
    """
    if not callable(function):
        raise TypeError(
            f"[capture] expected a function, got {type(function).__name__} - pass the function "
            "itself, without calling it"
        )
    kinds = inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction
    if any(is_kind(function) for is_kind in kinds):
        raise TypeError(
            "[capture] expected a function that returns its results, got a generator or coroutine, "
            "which runs after the call - return a list"
        )
    return CapturedStep(function)
