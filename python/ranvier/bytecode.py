"""What a function reads by name, found in its byte code, on Python 3.11 to 3.14.

A *path* is a name and what follows it: `config.heads[0].scale`. Code is read in order, without a
stack; local names for a path are followed as well, so that `for c in configs: c.scale` reads
`configs[...].scale`. Where a path is lost (an argument of a call, a result, a branch), it *goes
elsewhere*: whoever asks must then expect that everything reached from there is read.

Every opcode is named below. On an interpreter with another one `reads` raises `Unreadable`, and a
captured step runs eagerly. To add a version of Python, run `tests/test_bytecode.py` on it and sort
in what it names: an opcode that loads a name is a root, one that goes on from a value a step; those
of `_OTHERS` only end a path.
"""

from __future__ import annotations

import dis
import functools
import sys
import types
from collections.abc import Iterable
from typing import Any, NamedTuple

GLOBAL, LOCAL, MODULE = "global", "local", "module"  # kinds of roots
ATTRIBUTE, ITEM, SUPER = "attribute", "item", "super"  # kinds of steps
ANY = object()  # an item whose index is not known

_MOST_STEPS = 8  # `node = node.next` in a loop has no end

_GLOBALS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_LOCALS = {
    "LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW", "LOAD_FAST_LOAD_FAST", "LOAD_DEREF",
    "LOAD_FAST_BORROW_LOAD_FAST_BORROW", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF",
    "STORE_FAST_LOAD_FAST",
}  # fmt: skip
_STORES = {"STORE_FAST", "STORE_DEREF", "STORE_NAME", "STORE_FAST_STORE_FAST"}
_CONSTANTS = {"LOAD_CONST", "LOAD_SMALL_INT"}
_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"}
_SUBSCRIPTS = {"BINARY_SUBSCR", "BINARY_OP"}
_MEMBERS = {"GET_ITER", "GET_YIELD_FROM_ITER", "UNPACK_SEQUENCE", "UNPACK_EX"}
_TARGETS = {"STORE_ATTR", "DELETE_ATTR", "STORE_SUBSCR", "DELETE_SUBSCR"}
_CALLS = {"CALL", "CALL_KW", "CALL_FUNCTION_EX"}
_IMPORTS = {"IMPORT_NAME", "IMPORT_FROM"}
_EMPTY = {"BUILD_LIST", "BUILD_SET", "BUILD_MAP"}  # the start of a comprehension, if so
# They leave a path as it is: what they do is below it on the stack, or nothing.
_BETWEEN = {
    "CACHE", "COPY", "EXTENDED_ARG", "FOR_ITER", "KW_NAMES", "LOAD_FAST_AND_CLEAR", "NOP",
    "NOT_TAKEN", "PRECALL", "PUSH_NULL", "RESUME", "SWAP",
}  # fmt: skip
# They read no name; a path ends there.
_OTHERS = {
    "ASYNC_GEN_WRAP", "BEFORE_ASYNC_WITH", "BEFORE_WITH", "BINARY_SLICE", "BUILD_CONST_KEY_MAP",
    "BUILD_INTERPOLATION", "BUILD_SLICE", "BUILD_STRING", "BUILD_TEMPLATE", "BUILD_TUPLE",
    "CALL_INTRINSIC_1", "CALL_INTRINSIC_2", "CHECK_EG_MATCH", "CHECK_EXC_MATCH", "CLEANUP_THROW",
    "COMPARE_OP", "CONTAINS_OP", "CONVERT_VALUE", "COPY_FREE_VARS", "DELETE_DEREF", "DELETE_FAST",
    "DELETE_GLOBAL", "DELETE_NAME", "DICT_MERGE", "DICT_UPDATE", "END_ASYNC_FOR", "END_FOR",
    "END_SEND", "EXIT_INIT_CHECK", "FORMAT_SIMPLE", "FORMAT_VALUE", "FORMAT_WITH_SPEC", "GET_AITER",
    "GET_ANEXT", "GET_AWAITABLE", "GET_LEN", "IMPORT_STAR",
    "INTERPRETER_EXIT", "IS_OP", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT", "JUMP_FORWARD",
    "JUMP_IF_FALSE_OR_POP", "JUMP_IF_TRUE_OR_POP", "LIST_APPEND", "LIST_EXTEND", "LIST_TO_TUPLE",
    "LOAD_ASSERTION_ERROR", "LOAD_BUILD_CLASS", "LOAD_CLOSURE", "LOAD_COMMON_CONSTANT",
    "LOAD_LOCALS", "LOAD_SPECIAL", "MAKE_CELL", "MAKE_FUNCTION", "MAP_ADD", "MATCH_CLASS",
    "MATCH_KEYS", "MATCH_MAPPING", "MATCH_SEQUENCE", "POP_EXCEPT", "POP_ITER",
    "POP_JUMP_BACKWARD_IF_FALSE", "POP_JUMP_BACKWARD_IF_NONE", "POP_JUMP_BACKWARD_IF_NOT_NONE",
    "POP_JUMP_BACKWARD_IF_TRUE", "POP_JUMP_FORWARD_IF_FALSE", "POP_JUMP_FORWARD_IF_NONE",
    "POP_JUMP_FORWARD_IF_NOT_NONE", "POP_JUMP_FORWARD_IF_TRUE", "POP_JUMP_IF_FALSE",
    "POP_JUMP_IF_NONE", "POP_JUMP_IF_NOT_NONE", "POP_JUMP_IF_TRUE", "POP_TOP",
    "PREP_RERAISE_STAR", "PRINT_EXPR", "PUSH_EXC_INFO", "RAISE_VARARGS", "RERAISE", "RETURN_CONST",
    "RETURN_GENERATOR", "RETURN_VALUE", "SEND", "SETUP_ANNOTATIONS", "SET_ADD",
    "SET_FUNCTION_ATTRIBUTE", "SET_UPDATE", "STORE_GLOBAL", "STORE_SLICE", "TO_BOOL",
    "UNARY_INVERT", "UNARY_NEGATIVE", "UNARY_NOT", "UNARY_POSITIVE", "WITH_EXCEPT_START",
    "YIELD_VALUE",
}  # fmt: skip
KNOWN = frozenset().union(
    _GLOBALS, _LOCALS, _STORES, _CONSTANTS, _ATTRIBUTES, _SUBSCRIPTS, _MEMBERS, _TARGETS, _CALLS,
    _EMPTY, _IMPORTS, _BETWEEN, _OTHERS,
)  # fmt: skip
# Of builtins, and methods of containers, that hand on members of what they get.
_HAND_ON = {"enumerate", "iter", "list", "map", "next", "reversed", "sorted", "tuple", "zip"}
_HAND_OUT = {(ATTRIBUTE, name) for name in ("copy", "get", "items", "values")}
# The callee of a call is not handed to others. Since 3.12 LOAD_ATTR loads methods too; since 3.13
# the null beside a callee is pushed after it, not before.
_ATTRIBUTE_CALLS = sys.version_info >= (3, 12)
_NULL_AFTER = sys.version_info >= (3, 13)


class Unreadable(Exception):
    """Code with an opcode that is not known here."""


class Path(NamedTuple):
    """A name and what follows it.

    Attributes:
        kind: where it begins: at a global, an argument or variable of a closure, or an import.
        root: the name.
        steps: (kind, key) each.
    """

    kind: str
    root: str
    steps: tuple[tuple[str, Any], ...] = ()

    def step(self, kind: str, key: Any) -> Path:
        """The path one step further."""
        if kind is ITEM and self.steps and self.steps[-1] == (ITEM, ANY):
            return self  # members of members are members
        return Path(self.kind, self.root, (*self.steps, (kind, key)))


@functools.cache
def reads(code: types.CodeType) -> tuple[tuple[Path, bool], ...]:
    """What code, and the code inside of it, reads: paths, and whether each goes elsewhere.

    Paths start at a global, an argument or a variable of a closure.

    Raises:
        Unreadable: an opcode that is not known.
    """
    found: dict[Path, bool] = {}
    every = code.co_argcount + code.co_kwonlyargcount
    every += bool(code.co_flags & 4) + bool(code.co_flags & 8)  # *args, **kwargs
    names = (*code.co_freevars, *code.co_varnames[:every])
    _Reader(code, {name: {Path(LOCAL, name)} for name in names}, found).read()
    return tuple(found.items())


class _Reader:
    """Reads one code object."""

    def __init__(
        self, code: types.CodeType, names: dict[str, set[Path]], found: dict[Path, bool]
    ) -> None:
        self._code, self._names, self._found = code, names, found
        self._cells = {*code.co_cellvars, *code.co_freevars}
        self._iterated: dict[types.CodeType, set[Path]] = {}  # what comprehensions go through
        self._open: set[Path] = set()  # what may be on top of the stack
        self._below: set[Path] = set()  # what may be under that
        self._called = False  # whether it is there to be called
        self._index: Any = ANY  # a constant on top of it

    def read(self) -> None:
        """Adds what is read to `found`; twice, as a loop reads what its end stored."""
        instructions = list(dis.get_instructions(self._code))
        for instruction in instructions:
            if instruction.opname not in KNOWN:
                raise Unreadable(instruction.opname)
        before = None
        while before != (before := sum(map(len, self._names.values()))):
            self._scan(instructions)
        for inner in self._code.co_consts:
            if isinstance(inner, types.CodeType):
                names = {n: self._names[n] for n in inner.co_freevars if n in self._names}
                if inner in self._iterated:
                    names[".0"] = self._iterated[inner]
                _Reader(inner, names, self._found).read()

    def _end(self, elsewhere: bool = True) -> None:
        """The open paths are read no further."""
        for path in self._open:
            self._found[path] = self._found.get(path, False) or (elsewhere and not self._called)
        self._open, self._called, self._index = set(), False, ANY

    def _start(self, paths: Iterable[Path], called: bool = False) -> None:
        below = self._open if self._index is ANY else set()
        self._end()
        self._open, self._below, self._called = set(paths), below, called

    def _go(self, kind: str, key: Any) -> None:
        for path in self._open:
            if len(path.steps) == _MOST_STEPS:
                self._found[path] = True
        self._open = {p.step(kind, key) for p in self._open if len(p.steps) < _MOST_STEPS}

    def _scan(self, instructions: list[dis.Instruction]) -> None:
        builtin, made, null, is_super = "", None, False, False
        imported: set[Path] = set()
        for instruction in instructions:
            op, value = instruction.opname, instruction.argval
            if op == "PUSH_NULL":
                null = not _NULL_AFTER
                self._called = self._called or _NULL_AFTER
            elif op in _BETWEEN or (op in _EMPTY and not instruction.arg):
                pass
            elif op in _STORES:
                for name in value if isinstance(value, tuple) else (value,):
                    self._store(name)
            elif op in _GLOBALS:
                called = null or (op == "LOAD_GLOBAL" and bool((instruction.arg or 0) & 1))
                self._start([Path(GLOBAL, value), *self._names.get(value, ())], called)
                null = False
                if value in _HAND_ON or value in ("super", "getattr"):
                    builtin = value
            elif op in _LOCALS:
                first, last = value if isinstance(value, tuple) else (None, value)
                if op == "STORE_FAST_LOAD_FAST":
                    self._store(first)
                elif first is not None:
                    self._start(self._load(op, first), null)
                    null = False
                self._start(self._load(op, last), null)
                null = False
            elif op in _CONSTANTS:
                if isinstance(value, types.CodeType):
                    made = value
                if self._index is not ANY and builtin != "getattr":  # it keeps the first
                    self._end()
                elif self._index is ANY:
                    self._index = value
            elif op in _ATTRIBUTES and self._index is ANY:
                self._go(SUPER if is_super or op == "LOAD_SUPER_ATTR" else ATTRIBUTE, value)
                is_super = False
                builtin = "" if op == "LOAD_SUPER_ATTR" else builtin
                if op == "LOAD_METHOD" or (_ATTRIBUTE_CALLS and (instruction.arg or 0) & 1):
                    self._called = True
            elif op == "BINARY_SUBSCR" or (op == "BINARY_OP" and instruction.argrepr == "[]"):
                self._subscript()
            elif op == "IMPORT_NAME":  # `import a.b` gives a, `from a.b import c` takes from a.b
                imported = {Path(MODULE, value), Path(MODULE, value.partition(".")[0])}
                self._start(imported)
            elif op == "IMPORT_FROM":
                self._start(p.step(ATTRIBUTE, value) for p in imported)
            elif op in _MEMBERS:
                self._called = False
                self._go(ITEM, ANY)
            elif op in _CALLS:
                is_super = builtin == "super"
                self._call(builtin, made)
                builtin, made = "", None
            else:
                self._end(op not in _TARGETS or (op.endswith("SUBSCR") and self._index is ANY))
        self._end()

    def _load(self, op: str, name: str) -> Iterable[Path]:
        if op.startswith("LOAD_FAST") and name in self._cells:  # the cell, for a closure
            return ()
        return self._names.get(name, ())

    def _store(self, name: str) -> None:
        """A local variable is one more name of the open paths."""
        if self._index is ANY:
            self._names[name] = self._names.get(name, set()) | self._open
            paths = self._open
            self._end(elsewhere=False)
            self._open = paths  # of `a = b = ...` and `a, b = ...`
        else:
            self._end()

    def _subscript(self) -> None:
        if self._index is ANY:  # the index is what is open
            paths, self._below = self._below, set()
            self._end()
            self._open = paths
        if isinstance(self._index, (int, str)):
            self._go(ITEM, self._index)
        else:
            self._go(ITEM, ANY)
        self._index, self._called = ANY, False

    def _call(self, builtin: str, made: types.CodeType | None) -> None:
        """What of a call goes on: items of containers, attributes by name, the base class."""
        paths: set[Path] = set()
        if builtin == "super":  # of the first argument, if it was called without any
            paths = {p for p in self._open if p.kind is LOCAL}
            if not paths and self._code.co_varnames:
                paths = self._names.get(self._code.co_varnames[0], set())
            self._called = True
        elif builtin == "getattr" and isinstance(self._index, str):
            key = self._index
            paths = {p.step(ATTRIBUTE, key) for p in self._open}
        elif builtin in _HAND_ON:
            paths = {p.step(ITEM, ANY) for p in self._open | self._below if p.root != builtin}
        elif made is not None and made.co_varnames[:1] == (".0",):
            self._iterated[made] = self._iterated.get(made, set()) | self._open
        else:
            paths = {
                Path(p.kind, p.root, p.steps[:-1]).step(ITEM, ANY)
                for p in self._open
                if self._called and p.steps and p.steps[-1] in _HAND_OUT
            }
        self._end()
        self._open = paths
