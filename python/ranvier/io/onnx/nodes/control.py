"""Control: branches, loops, sequences and optional values."""

from __future__ import annotations

from typing import Any

import ranvier.functional as F
from ranvier.dtypes import bool_, int64
from ranvier.io.onnx.graph import Graph, Scope, Unsupported, Value, node
from ranvier.tensor import Tensor, tensor


@node("If", halves=True)
def _if(
    condition: Tensor, *, then_branch: Graph, else_branch: Graph, scope: Scope
) -> tuple[Value, ...]:
    return tuple((then_branch if condition.item() else else_branch).call([], scope))


@node("Loop", halves=True)
def _loop(
    trips: Tensor | None, condition: Tensor | None, *state: Value, body: Graph, scope: Scope
) -> tuple[Value, ...]:
    """Runs the body while the condition holds; what it puts out beside its state is stacked."""
    kept = list(state)
    scans: list[list[Tensor]] = [[] for _ in range(len(body.outputs) - 1 - len(state))]
    going, i = condition is None or bool(condition.item()), 0
    while going and (trips is None or i < int(trips.item())):
        held = tensor(True) if condition is None else condition
        again, *values = body.call([tensor(i, dtype=int64), held, *kept], scope)
        kept = values[: len(state)]
        for scan, value in zip(scans, values[len(state) :], strict=True):
            scan.append(value)
        condition, going, i = again, bool(again.item()), i + 1
    return (*kept, *[F.stack(scan) for scan in scans])


@node("Scan", halves=True)
def _scan(
    *values: Value, body: Graph, num_scan_inputs: int, scan_input_axes: list[int] | None = None,
    scan_input_directions: list[int] | None = None, scan_output_axes: list[int] | None = None,
    scan_output_directions: list[int] | None = None, scope: Scope, opset: int,
) -> tuple[Value, ...]:  # fmt: skip
    if opset < 9:
        raise Unsupported("Scan of operator set 8")
    count = len(values) - num_scan_inputs
    state, scanned = list(values[:count]), values[count:]
    axes = scan_input_axes or [0] * num_scan_inputs
    back = scan_input_directions or [0] * num_scan_inputs
    columns = [x.unbind(a)[:: -1 if b else 1] for x, a, b in zip(scanned, axes, back, strict=True)]
    scans: list[list[Tensor]] = [[] for _ in range(len(body.outputs) - count)]
    for row in zip(*columns, strict=True):
        new = body.call([*state, *row], scope)
        state = new[:count]
        for scan, value in zip(scans, new[count:], strict=True):
            scan.append(value)
    out_axes = scan_output_axes or [0] * len(scans)
    out_back = scan_output_directions or [0] * len(scans)
    joined = [
        F.stack(s[:: -1 if b else 1], a) for s, a, b in zip(scans, out_axes, out_back, strict=True)
    ]
    return (*state, *joined)


@node("OptionalHasElement", halves=True)
def _has_element(value: Value = None) -> Tensor:
    return tensor(value is not None, dtype=bool_)


@node("OptionalGetElement", halves=True)
def _get_element(value: Value) -> Value:
    return value


@node("Optional", halves=True)
def _optional(value: Value = None, *, type: Any = None) -> Value:
    return value


@node("SequenceInsert", halves=True)
def _sequence_insert(values: list[Tensor], new: Tensor, at: Tensor | None = None) -> list[Tensor]:
    place = len(values) if at is None else int(at.item())
    place = place + len(values) if place < 0 else place
    return [*values[:place], new, *values[place:]]


@node("SequenceConstruct", halves=True)
def _sequence_construct(*values: Tensor) -> list[Any]:
    return list(values)


@node("SequenceErase", halves=True)
def _sequence_erase(values: list[Tensor], at: Tensor | None = None) -> list[Tensor]:
    place = (len(values) - 1 if at is None else int(at.item())) % len(values)
    return [*values[:place], *values[place + 1 :]]


@node("SequenceMap", halves=True)
def _sequence_map(
    values: list[Tensor], *others: Value, body: Graph, scope: Scope
) -> tuple[list[Value], ...]:
    """The body's outputs for each element; inputs that are no sequences are the same for all."""
    each = [
        body.call([v, *[o[i] if isinstance(o, list) else o for o in others]], scope)
        for i, v in enumerate(values)
    ]
    return tuple([list(column) for column in zip(*each, strict=True)])


@node("SequenceAt", halves=True)
def _sequence_at(values: list[Tensor], at: Tensor) -> Tensor:
    return values[int(at.item())]


@node("SequenceLength", halves=True)
def _sequence_length(values: list[Tensor]) -> Tensor:
    return tensor(len(values), dtype=int64)


@node("SequenceEmpty", halves=True)
def _sequence_empty(*, dtype: int = 1) -> list[Tensor]:
    return []


@node("ConcatFromSequence", halves=True)
def _concat_from_sequence(values: list[Tensor], *, axis: int, new_axis: int = 0) -> Tensor:
    return F.stack(values, axis) if new_axis else F.concat(values, axis)


@node("SplitToSequence", halves=True)
def _split_to_sequence(
    x: Tensor, sizes: Tensor | None = None, *, axis: int = 0, keepdims: int = 1
) -> list[Any]:
    if sizes is None:
        return list(F.split(x, 1, axis) if keepdims else x.unbind(axis))
    parts: Any = [int(v) for v in sizes.numpy()] if sizes.ndim else int(sizes.item())
    return list(F.split(x, parts, axis))
