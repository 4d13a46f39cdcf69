"""Captured steps drawn at random: expressions and statements that read objects in every way.

Each program is run eagerly and captured, while attributes, items, classes and members of what it
may read change in between; the bits must agree. `RANVIER_PROGRAMS=7` runs the program of seed 7
alone, `RANVIER_PROGRAMS=0:5000` those of many seeds.
"""

import contextlib
import functools
import operator  # noqa: F401 (programs use it)
import os
import random
import types

import numpy as np
import pytest

import ranvier as rv


def seeds():
    first, _, last = os.environ.get("RANVIER_PROGRAMS", "0:40").partition(":")
    return range(int(first), int(last or int(first) + 1))


# ---- what programs read ----


class Node:
    """An object with others inside, and most of what a class can define."""

    factor = 1.5

    def __init__(self, draw, depth):
        self.a, self.b = draw.random() + 0.5, draw.random() + 0.5
        self.table = {"k": draw.random(), "l": draw.random(), 3: 0.5}
        self.items = [NODES[i](draw, depth - 1) for i in range(2)] if depth else []
        self.child = NODES[depth](draw, depth - 1) if depth else self
        self.named = {"k": self.child}
        self.numbers = [1.0, 2.0, 3.0]
        self.flags = {"one", "two"}

    def method(self):
        return self.a * FOUND.b

    def use(self, other):
        return other.b + self.a

    def get(self):
        return self.child

    @property
    def prop(self):
        return self.b + FOUND.a

    @property
    def me(self):
        return self.child

    @classmethod
    def of_class(cls):
        return cls.factor + FOUND.a

    @staticmethod
    def static():
        return FOUND.b

    def __enter__(self):
        return self.child

    def __exit__(self, *error):
        return False

    def __iter__(self):
        return iter(self.items)

    def __getitem__(self, i):
        return self.child if i else self

    def __call__(self, y=0.0):
        return self.a - y

    def __len__(self):
        return len(self.items)

    def __add__(self, other):
        return self.a + other


class Leaf(Node):
    def method(self):
        return super().method() + FOUND.child.a

    @property
    def prop(self):
        return super().prop * 2.0


def identity(o):
    return o


def helper(o, k=2.0):
    return o.a * k


def deeper(*several, **named):
    return sum(o.child.b for o in several) + sum(o.a for o in named.values())


def decorate(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args) + FOUND.a

    return wrapper


@decorate
def decorated(o):
    return o.b


def generate(o):
    yield from o.items
    yield o


@contextlib.contextmanager
def manage(o):
    yield o.child


NODES = [Node, Leaf]
FOUND = Node(random.Random(0), 1)  # under a global name


# ---- programs ----

# Where O, N stand, an object and a number are drawn; OO and NN are others.
OBJECTS = [
    "O.child", "O.child.child", "O.named['k']", "identity(O)", "O.get()", "O.me",
    "(O if cfg.a > 1.0 else OO)", "getattr(O, 'child')", "vars(O)['child']", "[O][0]",
    "{'z': O}['z']", "(O, 1)[0]", "(lambda: O)()", "(lambda q: q.child)(O)", "(lambda q=O: q)()",
    "next(generate(O), O)", "O[1]", "operator.attrgetter('child')(O)", "[*O, O][-1]",
    "functools.partial(identity, O)()", "max([O], key=lambda z: z.a)", "(O.items or [O])[0]",
    "(O.items or OO.child.items or [O])[place.i % 2 - 1]",
]  # fmt: skip
NUMBERS = [
    "O.a", "O.b", "O.factor", "O.table['k']", "O.table.get('m', 0.25)", "O.numbers[1]",
    "O.numbers[place.i]", "sum(O.numbers[1:])", "len(O.items)", "float('two' in O.flags)",
    "O.method()", "O.prop", "O.of_class()", "O.static()", "helper(O)", "helper(O, k=N)",
    "deeper(O, q=OO)", "decorated(O)", "O(N)", "(O + N)", "float(len(O))", "O.use(OO)",
    "sum(z.a for z in O.items)", "sum([z.method() for z in O.items])", "sum(z.prop for z in O)",
    "sum(map(operator.attrgetter('b'), O.items))",
    "sum({i: z.a for i, z in enumerate(O.items)}.values())",
    "sum(u.a * w.b for u, w in zip(O.items, OO.items))", "float(hasattr(O, 'late'))",
    "getattr(O, 'late', 0.125)", "(N if O.b < NN else OO.a)", "sum(O.table[t] for t in ('k', 'l'))",
    "sum(O.table.values())", "sum(t for _, t in O.table.items())", "(N + NN)",
    "functools.reduce(lambda s, z: s + z.a, O.items, 0.0)", "float(f'{O.a:.3f}')",
    "(sorted(O.items, key=lambda z: z.a)[-1].b if O.items else 0.5)",
]  # fmt: skip
STATEMENTS = [
    ["x = x + N"],
    ["x = x + N * NN"],
    ["L1 = O"],
    ["L1, L2 = O, OO"],
    ["for L1 in O.items:", " ..."],
    ["for L1 in reversed([O, OO]):", " ..."],
    ["for L1 in generate(O):", " x = x + L1.a", " ..."],
    ["with O as L1:", " ..."],
    ["with manage(O) as L1:", " ..."],
    ["if N > NN:", " ..."],
    ["if (L1 := O).a > N:", " x = x * L1.b"],
    ["try:", " ...", " if N > NN: raise ValueError(O)", "except ValueError as error:",
     " x = x + error.args[0].b", "finally:", " x = x - N"],
    ["match O:", " case Leaf(a=s) if s > 1.0: x = x + s",
     " case Node(child=Node(b=s)): x = x - s"],
    ["def inner(q, r=O):", " return N + q.a * r.b", "x = x + inner(OO)"],
    ["class Inner:", " s = N", " def f(self):", "  return self.s + NN", "x = x + Inner().f()"],
]  # fmt: skip


class Program:
    """The text of a random step."""

    def __init__(self, draw):
        self.draw, self.names, self.lines = draw, ["cfg", "FOUND", "other", "self"], []

    def fill(self, pattern, depth):
        out, i = "", 0
        while i < len(pattern):
            letter = pattern[i]
            stands = letter in "ON" and not (
                pattern[i - 1 : i].isalnum() or pattern[i - 1 : i] == "_"
            )
            i += 1
            if stands and pattern[i : i + 1] == letter:
                i += 1
            alone = not pattern[i : i + 1].isalnum() and pattern[i : i + 1] != "_"
            if stands and alone:
                out += self.object(depth - 1) if letter == "O" else self.number(depth - 1)
            else:
                out += letter
        return out

    def object(self, depth=2):
        if depth <= 0 or self.draw.random() < 0.4:
            return self.draw.choice(self.names)
        return self.fill(self.draw.choice(OBJECTS), depth)

    def number(self, depth=2):
        return "cfg.a" if depth <= 0 else self.fill(self.draw.choice(NUMBERS), depth)

    def statements(self, depth, indent):
        for _ in range(self.draw.randint(1, 3)):
            known = list(self.names)
            lines = self.draw.choice(STATEMENTS if depth else STATEMENTS[:2])
            names = {f"L{i}": f"v{len(self.lines)}_{i}" for i in (1, 2)}
            for line in lines:
                inside = len(line) - len(line.lstrip())
                if line.strip() == "...":
                    self.statements(depth - 1, indent + inside)
                    continue
                text = self.fill(line, 2)
                for short, name in names.items():
                    if short in text:
                        text = text.replace(short, name)
                        self.names.append(name)
                self.lines.append(" " * indent + text)
            if lines[0] not in ("L1 = O", "L1, L2 = O, OO"):
                self.names = known

    def text(self):
        self.statements(2, 2)
        lines = ["def make(cfg, other, place):", " def step(self, x):", *self.lines]
        return "\n".join([*lines, "  return x", " return step", ""])


class World:
    """A program, what it reads, and what happens to that."""

    def __init__(self, seed):
        self.draw = random.Random(seed)
        Node.factor = 1.5
        vars(Leaf).get("factor") and delattr(Leaf, "factor")
        FOUND.__init__(self.draw, 1)
        self.roots = [FOUND, *(self.draw.choice(NODES)(self.draw, 1) for _ in range(3))]
        self.place = types.SimpleNamespace(i=0)
        self.program = Program(self.draw).text()
        names = dict(globals())
        exec(self.program, names)
        _, cfg, other, me = self.roots
        self.step = types.MethodType(names["make"](cfg, other, self.place), me)

    def change(self):
        node = self.draw.choice(self.roots)
        while self.draw.random() < 0.4:
            node = self.draw.choice([node.child, *node.items])
        value = self.draw.random() + 0.5
        kind = self.draw.choice(
            ["a", "a", "b", "late", "table", "numbers", "flags", "class", "place", "child", "items"]
        )
        if kind in ("a", "b", "late"):
            setattr(node, kind, value)
        elif kind == "table":
            node.table[self.draw.choice("klm")] = value
        elif kind == "numbers":
            node.numbers[self.draw.randrange(3)] = value
        elif kind == "flags":
            node.flags ^= {"two"}
        elif kind == "class":
            type(node).factor = value
        elif kind == "place":
            self.place.i = 1 - self.place.i
        elif kind == "child":
            node.child = node.named["k"] = Node(self.draw, 1)
        else:
            node.items.append(Leaf(self.draw, 0))
        return kind


def outcome(step, x):
    try:
        return np.asarray(step(x).numpy()).tobytes()
    except rv.CaptureError:
        raise
    except Exception as error:  # of the program itself: then both must raise it
        return type(error)


@pytest.mark.parametrize("seed", seeds())
def test_captured_is_eager(seed):
    world, x, happened = World(seed), rv.tensor([1.0, -2.0]), []
    captured = rv.capture(world.step)
    for _ in range(8):
        for _ in range(3):
            expected, found = outcome(world.step, x), outcome(captured, x)
            assert expected == found, f"after {happened}\n{world.program}"
        happened.append(world.change())


@pytest.mark.replays
def test_programs_are_replayed():
    replayed = 0
    for seed in range(10):
        world, x, calls = World(seed), rv.tensor([1.0, -2.0]), []

        def counted(x, world=world, calls=calls):
            calls.append(1)
            return world.step(x)

        captured = rv.capture(counted)
        for _ in range(5):
            outcome(captured, x)
        replayed += 5 - len(calls)
    assert replayed >= 15, replayed
