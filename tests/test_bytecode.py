"""What code reads is found in its byte code, on every Python; or else the step is not replayed."""

import contextlib
import dis
import logging
import sys

import pytest

import ranvier as rv
from ranvier import bytecode
from ranvier.bytecode import ANY, ATTRIBUTE, GLOBAL, ITEM, LOCAL, MODULE, SUPER, Unreadable, reads
from tests.test_staleness import bits, inputs

# Instructions of the assembler alone, and those the interpreter puts into running code.
_INNER = ("INSTRUMENTED_", "ENTER_EXECUTOR", "RESERVED")


def attribute(*names):
    return tuple((ATTRIBUTE, n) for n in names)


def test_every_opcode_of_this_python_is_known():
    """Fails on a Python that is newer than `ranvier.bytecode`: see there how to add it."""
    real = {n for n, number in dis.opmap.items() if number < 256 and not n.startswith(_INNER)}
    assert sorted(real - bytecode.KNOWN) == []


def test_an_opcode_means_one_thing():
    kinds = [v for k, v in vars(bytecode).items() if k.startswith("_") and k.isupper()]
    names = [n for kind in kinds if isinstance(kind, set) for n in kind if isinstance(n, str)]
    names = [n for n in names if n.isupper()]  # not those of builtins
    assert len(names) == len(set(names)) == len(bytecode.KNOWN)


class Base:
    def of(self, x):
        return x


class Specimens(Base):
    def stored(self, x):
        y = x * 2.0
        return self.scale * y

    def called(self, other, x):
        return helper(self, other.inner.scaled(x))

    def looped(self, x):
        for part in self.parts:
            x = x * part.scale
        return sum([c.scale for c in others], x)

    def chosen(self, x):
        y = a = self.table["k"]
        return (self.one if x else y).scale + others[x].scale + a[1]

    def of(self, x):
        return super().of(x)

    def named(self, x):
        import ranvier.nn as layers
        from ranvier.optim import Adam

        return getattr(self, "late", 0.0), layers.Linear, Adam.name

    def inner(self, x):
        def inside():
            return [self.scale for _ in x], lambda: others.shift

        return inside


helper, others = None, None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("stored", {(LOCAL, "self", attribute("scale")): True}),
        (
            "called",
            {
                (GLOBAL, "helper", ()): False,
                (LOCAL, "self", ()): True,
                (LOCAL, "other", attribute("inner", "scaled")): False,
            },
        ),
        (
            "looped",
            {
                (LOCAL, "self", (*attribute("parts"), (ITEM, ANY), *attribute("scale"))): True,
                (GLOBAL, "others", ((ITEM, ANY), *attribute("scale"))): True,
            },
        ),
        (
            "chosen",
            {
                (LOCAL, "self", (*attribute("table"), (ITEM, "k"))): True,
                (LOCAL, "self", attribute("one")): True,
                (LOCAL, "self", (*attribute("table"), (ITEM, "k"), *attribute("scale"))): True,
                (GLOBAL, "others", ((ITEM, ANY), *attribute("scale"))): True,
                (LOCAL, "self", (*attribute("table"), (ITEM, "k"), (ITEM, 1))): True,
            },
        ),
        ("of", {(LOCAL, "self", ((SUPER, "of"),)): False}),
        (
            "named",
            {
                (LOCAL, "self", attribute("late")): True,
                (MODULE, "ranvier.nn", attribute("nn", "Linear")): True,
                (MODULE, "ranvier.optim", attribute("Adam", "name")): True,
            },
        ),
        (
            "inner",
            {
                (LOCAL, "self", attribute("scale")): True,
                (GLOBAL, "others", attribute("shift")): True,
            },
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_paths(name, expected):
    found = {tuple(path): elsewhere for path, elsewhere in reads(vars(Specimens)[name].__code__)}
    assert {k: found.get(k) for k in expected} == expected


@pytest.mark.parametrize("count", [10, 1000])
def test_an_extended_argument_is_read(count):
    names = {}
    lines = "".join(f"    x = x + self.n{i}\n" for i in range(count))
    exec(f"def step(self, x):\n{lines}    return x\n", names)
    paths = {tuple(p) for p, _ in reads(names["step"].__code__)}
    assert {(LOCAL, "self", attribute(f"n{i}")) for i in range(count)} <= paths


@contextlib.contextmanager
def watched():
    """A debugger or a measurement of coverage puts other instructions into running code."""
    if sys.version_info < (3, 12):
        before = sys.gettrace()
        sys.settrace(lambda *event: sys.gettrace())
        try:
            yield
        finally:
            sys.settrace(before)
        return
    tool, events = sys.monitoring.DEBUGGER_ID, sys.monitoring.events
    sys.monitoring.use_tool_id(tool, "test")
    sys.monitoring.set_events(
        tool, events.CALL | events.INSTRUCTION | events.LINE | events.PY_START
    )
    try:
        yield
    finally:
        sys.monitoring.set_events(tool, 0)
        sys.monitoring.free_tool_id(tool)


def test_watched_code_is_read_all_the_same():
    scale = 2.0

    def step(x):
        return x * scale

    captured = rv.capture(step)
    with watched():
        for i, x in enumerate(inputs(12)):
            scale = 1.0 + i // 4
            assert bits(captured(x)) == bits(step(x))


@pytest.fixture
def an_unknown_opcode(monkeypatch):
    """As if this Python had an opcode for what it does with `del`."""
    monkeypatch.setattr(bytecode, "KNOWN", bytecode.KNOWN - {"DELETE_FAST"})
    reads.cache_clear()
    yield
    reads.cache_clear()


def with_unknown(x, scale):
    y = x * scale
    z = y
    del z
    return y


@pytest.mark.usefixtures("an_unknown_opcode")
def test_an_unknown_opcode_is_refused_by_name():
    with pytest.raises(Unreadable, match="DELETE_FAST"):
        reads(with_unknown.__code__)


@pytest.mark.replays
@pytest.mark.usefixtures("an_unknown_opcode")
@pytest.mark.parametrize("at", [0, 1], ids=["at once", "while it is recorded"])
def test_a_step_with_an_unknown_opcode_runs_eagerly(at, caplog):
    scale, calls = 2.0, []

    def plain(x, scale):
        return x * scale

    def step(x):
        calls.append(1)
        return function(x, scale)

    captured, function = rv.capture(step), plain
    with caplog.at_level(logging.WARNING, "ranvier"):
        for i, x in enumerate(inputs(10)):
            function = with_unknown if i >= at else plain
            scale = 1.0 + i
            assert bits(captured(x)) == bits(x * scale)
    assert len(calls) == 10
    assert captured.program is None or not at
    (record,) = caplog.records
    assert "the step step runs eagerly" in record.message
    assert "with_unknown has a DELETE_FAST" in record.message
    assert "Python {}.{} is not known".format(*sys.version_info) in record.message
