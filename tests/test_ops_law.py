"""The law of the ops: every public function is documented, has cases, and its gradient is checked.

`tests/test_naming_law.py` sees to the files of a room; this sees to what stands in them. The cases
of all rooms are run once while a profiler notes which public functions they go through.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier import _core
from tests.harness import Case, Input, OpTests, Raises, as_tuple, tensors, threads

OPS = Path(__file__).parent / "ops"

# Without cases; each has tests of its own.
NO_CASES = {
    "bincount": "its shape depends on the values",
    "nonzero": "its shape depends on the values",
    "unique": "its shape depends on the values",
    "view": "it refuses layouts that it would have to copy",
}

# Of one vector or matrix, or tried with no samples in tests of their own (the unpoolings).
NO_BATCH = {
    "addmm", "broadcast_to", "diag", "dot", "flipud", "inner", "masked_select", "max_unpool1d",
    "max_unpool2d", "max_unpool3d", "meshgrid", "take_along_dim", "trace", "unflatten",
}  # fmt: skip

# Rooms that only move or choose elements: there is no source to name.
NO_SOURCE = {
    "clip", "compare", "concat", "diagonal", "gather", "index", "rearrange", "shape", "where",
}  # fmt: skip


# Kernels that do their work in the calling thread, whatever its size.
ONE_THREAD: dict[str, str] = {}


def functions() -> dict[str, Callable[..., Any]]:
    """The public functions of `ranvier.functional`."""
    return {
        name: f for name, f in vars(F).items() if inspect.isfunction(f) and not name.startswith("_")
    }


def room_of(function: Callable[..., Any]) -> str:
    return function.__module__.rsplit(".", 1)[-1]


def text_of(function: Callable[..., Any]) -> str:
    """A function's documentation, and that of its room."""
    return f"{function.__doc__ or ''}\n{sys.modules[function.__module__].__doc__ or ''}"


def referred(function: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """The function and those of the same name's family whose documentation it leans on."""
    yield function
    for name in re.findall(r"`(\w+)", function.__doc__ or ""):
        if name in functions():
            yield functions()[name]


def options(function: Callable[..., Any]) -> list[str]:
    """Arguments that have a default: what a user cannot guess from the op's name."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.default is not p.empty]


def public_tests() -> Iterator[type[OpTests]]:
    for path in sorted(OPS.glob("test_*.py")):
        module = importlib.import_module(f"tests.ops.{path.stem}")
        for value in vars(module).values():
            if inspect.isclass(value) and issubclass(value, OpTests):
                yield value


def all_cases() -> Iterator[Case]:
    for value in public_tests():
        yield from value.cases


def all_errors() -> Iterator[Raises]:
    for value in public_tests():
        yield from value.errors


class Seen(NamedTuple):
    """Code of public functions that some case goes through, and compiled kernels."""

    any: set[CodeType]
    with_gradient: set[CodeType]  # in a case that checks a gradient
    smooth: set[CodeType]  # with a result that has one
    with_batch: set[CodeType]  # in a case with a batch axis, which is tried with 0 and 1 samples
    refused: set[CodeType]  # in a call that a case of errors refuses
    kernels: set[str]  # in any case, forward or backward
    shared: set[str]  # kernels whose work some case was large enough to share among threads


@contextlib.contextmanager
def noting(through: set[CodeType]) -> Iterator[None]:
    """Adds the public functions that are called to a set."""
    ours = {f.__code__ for f in functions().values()}

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code in ours:
            through.add(frame.f_code)

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)


@functools.cache
def exercised() -> Seen:
    """Runs every case once, on two threads, and every call that is refused."""
    seen = Seen(set(), set(), set(), set(), set(), set(), set())
    with threads(2):
        for case in all_cases():
            run_case(case, seen)
    seen.shared.update(_core.shared_kernels())
    for error in all_errors():
        arguments = [a.numbers(0, "float32") if isinstance(a, Input) else a for a in error.args]
        given = [rv.tensor(a) if isinstance(a, np.ndarray) else a for a in arguments]
        with noting(seen.refused), contextlib.suppress(error.exception):
            error.fn(*given, **error.options)
    return seen


def run_case(case: Case, seen: Seen) -> None:
    """Notes what a case goes through, forward and backward."""
    through: set[CodeType] = set()
    arrays = case.arrays(case.dtypes[0])
    with noting(through):
        # Gradients of all that may have one: a case might forget to ask.
        try:
            results, names = recorded(case, arrays, True)
        except TypeError:  # a target that must be given, for one
            results, names = recorded(case, arrays, False)
    seen.kernels.update(names)
    seen.any.update(through)
    if case.gradient:
        seen.with_gradient.update(through)
    if any(isinstance(y, rv.Tensor) and y.requires_grad for y in results):
        seen.smooth.update(through)
    if case.has_batch:
        seen.with_batch.update(through)


def recorded(case: Case, arrays: list[Any], everywhere: bool) -> tuple[tuple[Any, ...], list[str]]:
    """The results of a case, and the kernels that were called for them and their gradients."""
    arguments = tensors(case, arrays, "cpu", gradient=case.dtypes[0].startswith("float"))
    for a in arguments:
        if everywhere and isinstance(a, rv.Tensor) and a.dtype.is_floating_point:
            a.requires_grad = True
    results = as_tuple(case.fn(*arguments, **case.options))
    if not case.capture:  # the shape of the result depends on values
        return results, []
    recorder = _core.Recorder()
    try:
        results = as_tuple(case.fn(*arguments, **case.options))
        for y in results:
            if isinstance(y, rv.Tensor) and y.requires_grad:
                y.backward(rv.empty_like(y.detach()), retain_graph=True)
    except BaseException:
        recorder.abandon()
        raise
    program = recorder.finish()
    program.run()
    return results, program.names()


@pytest.mark.parametrize("name", sorted(functions()))
def test_it_is_documented(name: str) -> None:
    """What it computes; shapes, options, errors and the source there or where it points."""
    function = functions()[name]
    own = inspect.getdoc(function) or ""
    assert len(own) > 2, f"{name} is not documented"
    family = list(referred(function))
    texts = [text_of(f) for f in family]
    for option in options(function):
        assert any(re.search(rf"\b{option}\b", t) for t in texts), f"{name} is silent on {option}"
    if len(inspect.signature(function).parameters) > 1:
        assert any("Raises" in t or "Error" in t for t in texts), f"{name} names no error"
    shapes = r"(?i:shape|scalar|ax[ie]s|vector|matri|element)|\((N|\.\.\.|n|[A-Z],)"
    assert any(re.search(shapes, t) for t in texts), f"{name} is silent on shapes"
    room = room_of(function)
    if room not in NO_SOURCE:
        source = r"Source|\b(1[6-9]|20)\d\d\b|PyTorch|NumPy|IEEE"
        assert any(re.search(source, t) for t in texts), f"{name} names no source"


@pytest.mark.parametrize("room", sorted({room_of(f) for f in functions().values()}))
def test_its_room_has_an_example(room: str) -> None:
    members = [f for f in functions().values() if room_of(f) == room]
    assert any(">>>" in text_of(f) for f in members), f"no example in {room}.py"


@pytest.mark.parametrize("name", sorted(functions()))
def test_it_has_cases(name: str) -> None:
    """Some case of the harness goes through it; with gradient check, if it has a gradient."""
    if name in NO_CASES:
        pytest.skip(NO_CASES[name])
    seen, code = exercised(), functions()[name].__code__
    assert code in seen.any, f"no case in tests/ops goes through {name}"
    checked = code in seen.with_gradient or code not in seen.smooth
    assert checked, f"no case in tests/ops checks {name}'s gradient"
    batch = code in seen.with_batch or name in NO_BATCH
    assert batch, f"no case in tests/ops gives {name} a batch of no samples: N in a shape"


@pytest.mark.parametrize("name", sorted(functions()))
def test_it_refuses_something(name: str) -> None:
    """Some wrong call is tried and raises: a case of errors, one below, or in its room."""
    tried = functions()[name].__code__ in exercised().refused or name in BAD_CALLS
    tried = tried or name in TAKES_ANY_TENSOR or name in OTHERS  # given what is no tensor
    assert tried or name in refused_by_hand(), f"no test sees {name} refuse anything"


@functools.cache
def refused_by_hand() -> set[str]:
    """Names of functions and methods that are called inside `with pytest.raises(...)`."""
    names = set()
    for path in OPS.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.With) and "raises" in ast.dump(node.items[0].context_expr):
                calls = [n for part in node.body for n in ast.walk(part) if isinstance(n, ast.Call)]
                names |= {c.func.attr for c in calls if isinstance(c.func, ast.Attribute)}
    return names


def test_every_kernel_is_shared_among_threads_by_some_case() -> None:
    """Otherwise "the same bits for any number of threads" would be said of one thread."""
    seen = exercised()
    alone = seen.kernels - seen.shared - set(ONE_THREAD)
    assert not alone, f"no case is large enough to share the work of {sorted(alone)}"
    assert not seen.shared & set(ONE_THREAD), "shared after all"


ROOMS = sorted(OPS.glob("test_*.py"))


@pytest.mark.parametrize("path", ROOMS, ids=lambda p: p.stem)
def test_its_room_has_error_cases(path: Path) -> None:
    """Every test file of a room states errors: in `errors`, or by pytest.raises."""
    text = path.read_text()
    assert "Raises(" in text or "pytest.raises(" in text, f"{path.name} refuses nothing"


# Calls that are refused in what the function shares with others, or is made of. Tensors are given
# by their shapes: tuples of numbers above 0.
BAD_CALLS: dict[str, tuple[Any, ...]] = {
    "avg_pool2d": ((1, 1, 3, 3), 9),
    "bmm": ((2, 3, 4), (2, 3, 4)),
    "broadcast_to": ((2, 3), (4, 3)),
    "cosine_similarity": ((2, 3), (2, 4)),
    "fliplr": ((3,),),
    "gru_cell": ((2, 3), None, (7, 3), (7, 2)),
    "inner": ((2, 3), (7,)),
    "lstm_cell": ((2, 3), None, (7, 3), (7, 2)),
    "masked_fill": ((2, 3), 1, 0.0),
    "max_pool1d": ((1, 1, 3), 2, 0),
    "movedim": ((2, 3), 4, 0),
    "mv": ((2, 3), (7,)),
    "normalize": ((3,), 2, 4),
    "pairwise_distance": ((2, 3), (2, 4)),
    "rnn_cell": ((2, 3), None, (7, 3), (7, 2)),
    "scatter_add": ((3,), 4, (3,), (3,)),
    "softmin": ((3,), 4),
    "squeeze": ((2, 3), 4),
    "std": ((3,), 4),
    "sum_pool2d": ((1, 1, 3, 3), 9),
    "tile": ((2, 3), (1, -3)),
    "upsample": ((1, 2, 3), None),
}


@pytest.mark.parametrize("name", sorted(BAD_CALLS))
def test_it_raises_under_its_own_name(name: str) -> None:
    arguments = [rv.ones(*a) if isinstance(a, tuple) and min(a) > 0 else a for a in BAD_CALLS[name]]
    with pytest.raises((ValueError, TypeError, IndexError), match=rf"^\[{name}\] expected "):
        functions()[name](*arguments)


# Rooms whose functions copy nothing: there even a check would be felt.
VIEWS = {"shape"}
TAKES_ANYTHING = {"identity"}
TAKES_ANY_TENSOR = {"channels_last", "clone", "contiguous", "identity"}
OTHERS = [name for name, f in functions().items() if room_of(f) not in VIEWS]


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("wrong", [np.ones((2, 3), np.float32), None], ids=["array", "None"])
def test_what_is_no_tensor_is_refused(name: str, wrong: Any) -> None:
    """Neither a NumPy array nor None; and not in Python's or the binding's words."""
    function = functions()[name]
    parameters = inspect.signature(function).parameters.values()
    needed = [p for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    refusal = ""
    try:
        function(wrong, *[rv.ones(2, 3)] * (len(needed) - 1))
    except (TypeError, ValueError, AttributeError) as error:
        refusal = f"{error}"
    assert name in TAKES_ANYTHING or refusal, f"{name} takes {wrong!r}"
    assert not refusal or refusal.startswith(f"[{function.__name__}] expected "), refusal
