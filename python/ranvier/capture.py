"""Captured steps: a Python function whose kernel calls are recorded once and replayed after.

For one signature (shapes, dtypes, devices, training flags, other hashable arguments), call 1 runs
eagerly, call 2 runs eagerly while every kernel call is recorded, and from call 3 on the recording
is replayed in one compiled call without the interpreter. When something that the recording depends
on was replaced (a training flag, a module's parameter), the count starts again.
"""

from __future__ import annotations

import functools
import logging
import os
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from ranvier import _core
from ranvier.tensor import Tensor, clock, from_host

CaptureError: type[RuntimeError] = _core.CaptureError  # type: ignore[attr-defined]

# What the step being recorded depends on besides its tensors' values; see `guard`.
_guards: list[tuple[Any, Any, Any]] | None = None
ABSENT = object()


def guard(owner: Any, attribute: Any, value: Any) -> None:
    """Notes, while a step is recorded, that it depends on `owner.attribute` being `value`.

    The recording is used again only while this holds: for objects such as tensors, while it is the
    very same object (or absent: `ABSENT`). Of a list, tuple or dict the attribute is an index or a
    key. Modules call it for their training flag, their tensors and their layers.
    """
    if _guards is not None:
        _guards.append((owner, attribute, value))


def _holds(owner: Any, attribute: Any, value: Any) -> bool:
    if isinstance(owner, (list, tuple, dict)):
        try:
            now = owner[attribute]
        except LookupError:
            now = ABSENT
    else:
        now = getattr(owner, attribute, ABSENT)
    return now is value or (isinstance(value, (int, float)) and bool(now == value))


def is_capturing() -> bool:
    """Whether this thread is recording a step."""
    return _core.is_capturing()


class _Recording:
    """One replayable recording: its inputs, kernel calls, outputs and guards."""

    def __init__(self, program: Any, inputs: list[Tensor], outputs: Any, guards: list) -> None:
        self.program, self.inputs, self.outputs = program, inputs, outputs
        self.replayed = False
        seen = {(id(o), a): (o, a, v) for o, a, v in guards}
        self.guards = list(seen.values())

    def valid(self) -> bool:
        return all(_holds(o, a, v) for o, a, v in self.guards)


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


class CapturedStep:
    """A function that is recorded on its second call and replayed from the third.

    Attributes:
        program: the recording that ran last, or None before the first; `print(step.program)`
            lists its kernel calls.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._recordings: dict[Any, _Recording | None] = {}
        self._check = os.environ.get("RANVIER_CHECK_CAPTURE", "") not in ("", "0")
        self.program: ProgramView | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs one step; tensors that come back hold their values until the next replay."""
        tensors: list[Tensor] = []
        key = _core.matmul_precision(), _core.mode(), _flatten((args, kwargs), tensors)
        if len(tensors) != len(_tensors_of((args, kwargs))):  # arrays: the function gets tensors
            args, kwargs = _rebuild((args, kwargs), list(tensors))
        if key not in self._recordings:
            result = self._function(*args, **kwargs)
            self._recordings[key] = None
            return result
        recording = self._recordings[key]
        if recording is None:
            return self._record(key, args, kwargs, tensors)
        if not recording.valid():  # once eagerly: state that follows a change must not be recorded
            del self._recordings[key]
            return self(*args, **kwargs)
        for own, given in zip(recording.inputs, tensors, strict=True):
            if own.data is not given.data:
                _core.copy_into(own.data, given.data)
        self.program = ProgramView(recording.program)
        if self._check:
            return self._checked(recording, args, kwargs)
        recording.program.replay()
        clock.now = max(clock.now, _core.mutations())
        if not recording.replayed:
            recording.replayed = True
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
        self._recordings = dict.fromkeys(self._recordings)

    def _record(self, key: Any, args: Any, kwargs: Any, tensors: list[Tensor]) -> Any:
        global _guards
        inputs = []
        for t in tensors:
            own = Tensor(_core.empty_like(t.data))
            _core.copy_into(own.data, t.data)
            own._requires_grad = t._requires_grad
            inputs.append(own)
        new_args, new_kwargs = _rebuild((args, kwargs), list(inputs))
        recorder = _core.Recorder(keep_bits=self._check)
        outer, _guards = _guards, []
        try:
            outputs = self._function(*new_args, **new_kwargs)
            guards = _guards
        except CaptureError as error:
            recorder.abandon()
            raise CaptureError(_with_line(error)) from None
        except BaseException:
            recorder.abandon()
            raise
        finally:
            _guards = outer
        program = recorder.finish()
        self._recordings[key] = _Recording(program, inputs, outputs, guards)
        self.program = ProgramView(program)
        return outputs

    def _checked(self, recording: _Recording, args: Any, kwargs: Any) -> Any:
        """Replays, then runs the function eagerly from the same state: the bits must agree."""
        program = recording.program
        before = program.snapshot()
        program.replay()
        replayed = program.snapshot()
        outputs = [t.cpu().numpy().copy() for t in _tensors_of(recording.outputs)]
        program.restore(before)
        clock.now = max(clock.now, _core.mutations())
        eager = self._function(*args, **kwargs)
        for i, (a, b) in enumerate(zip(outputs, _tensors_of(eager), strict=True)):
            if a.tobytes() != np.ascontiguousarray(b.cpu().numpy()).tobytes():
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
        return eager


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
        """Useful operations of one replay: products, convolutions, recurrences."""
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
    The function may read and change tensors (parameters, optimizer state) and return tensors.
    It must not read values on the host (`.item()`, `.numpy()`, `if tensor:`): that raises
    `CaptureError`, naming the line. Python side effects are not replayed. What comes back holds
    its values until the next call.

    Environment:
        RANVIER_CHECK_CAPTURE=1 compares every replay with an eager run from the same state, bit
        for bit; rewrites that add in another order are left out.

    Example:
        >>> import ranvier as rv
        >>> double = rv.capture(lambda x: x + x)
        >>> [double(rv.tensor([float(i)])).item() for i in range(4)]
        [0.0, 2.0, 4.0, 6.0]
    """
    return CapturedStep(function)
