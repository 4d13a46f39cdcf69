"""Captured steps written in every form that Python has: classes, statements, functions."""

import collections
import contextlib
import dataclasses
import enum
import functools
import pickle
import types

import pytest

import ranvier as rv
from ranvier import nn, optim
from tests.stories import FACTORS, Config, check_captured_is_eager, several, stories, told
from tests.test_staleness import bits, inputs

story, STORIES = stories()

# ---- classes ----


class Base:
    def scaled(self, x):
        return x * FACTORS.scale + self.shift

    @classmethod
    def factor(cls):
        return cls.power * FACTORS.half

    @staticmethod
    def offset():
        return FACTORS.shift


class Derived(Base):
    power = 2.0

    def __init__(self):
        self.shift = 1.0

    def scaled(self, x):
        return super().scaled(x) * super().factor() + super(Derived, self).offset()  # noqa: UP008 (both forms)


@story
def super_calls(wrap):
    derived, Derived.power = Derived(), 2.0
    step = wrap(lambda x: derived.scaled(x))
    yield from told(step, FACTORS)
    yield from told(step, derived, name="shift")
    yield from told(step, Derived, name="power")
    yield from told(step, FACTORS, name="shift")


@story
def super_in_layers(wrap):
    class Scaled(nn.Module):
        def __init__(self):
            self.scale = 2.0

        def forward(self, x):
            return x * self.scale * FACTORS.scale

    class Shifted(Scaled):
        def forward(self, x):
            return super().forward(x) + 1.0

    layer = Shifted()
    step = wrap(lambda x: layer(x))
    yield from told(step, layer)
    yield from told(step, FACTORS)


@story
def special_methods(wrap):
    class Special(Config):
        def __mul__(self, x):
            return x * self.scale * FACTORS.scale

        def __neg__(self):
            return FACTORS.half

        def __call__(self, x):
            return x + FACTORS.scale

        def __getitem__(self, i):
            return FACTORS.scale * i

        def __iter__(self):
            yield FACTORS.scale

        def __len__(self):
            return int(FACTORS.scale)

        def __contains__(self, i):
            return FACTORS.scale > i

        def __enter__(self):
            return FACTORS.scale

        def __exit__(self, *error):
            pass

    special = Special()

    def step(x):
        y = special * x - (-special)
        y = special(y) + special[1] + sum(special) + len(special)
        with special as s:
            return y * s if 6.0 in special else y

    step = wrap(step)
    yield from told(step, FACTORS)
    yield from told(step, special)


@story
def created_in_the_step(wrap):
    class Made(Config):
        def __init__(self):
            self.scale = FACTORS.scale

        def more(self):
            return FACTORS.half

    def step(x):
        made = Made()
        return made.scaled(x) + made.more()

    yield from told(wrap(step), FACTORS)


@dataclasses.dataclass(slots=True)
class Point:
    scale: float = 2.0
    inner: Config = dataclasses.field(default_factory=Config)


@dataclasses.dataclass(frozen=True)
class Frozen:
    scale: float = 2.0


class Pair(collections.namedtuple("PairOfNumbers", "scale shift")):
    @property
    def both(self):
        return self.scale + self.shift


@story
def dataclasses_and_named_tuples(wrap):
    point, frozen, pair = Point(), Frozen(), Pair(1.0, 2.0)

    def read(p):
        return p.scale + p.inner.scale

    step = wrap(
        lambda x: x * point.scale + point.inner.half + read(point) + frozen.scale + pair.both
    )
    yield from told(step, point)
    yield from told(step, point.inner)
    frozen = dataclasses.replace(frozen, scale=4.0)
    yield from told(step, point)
    pair = Pair(3.0, 4.0)
    yield from told(step, point)


@story
def a_class_in_the_step(wrap):
    config = Config()

    def step(x):
        class Inner:
            scale = config.scale * FACTORS.scale
            doubled = [config.half for _ in range(2)]

            def factor(self):
                return config.half + __class__.scale

        return x * Inner.scale + Inner().factor() + sum(Inner.doubled)

    step = wrap(step)
    yield from told(step, config)
    yield from told(step, FACTORS)


@story
def members_of_enumerations(wrap):
    class Mode(enum.Enum):
        ADD, MULTIPLY = 1, 2

    config = Config(mode=Mode.ADD)
    step = wrap(lambda x: x + 2.0 if config.mode is Mode.ADD else x * 2.0)
    for i, x in enumerate(inputs(12)):
        config.mode = Mode.ADD if i % 8 < 4 else Mode.MULTIPLY
        yield bits(step(x))


@story
def a_cached_property_and_a_descriptor(wrap):
    class Reader:
        def __get__(self, instance, owner):
            return instance.low + FACTORS.scale

    class Cached:
        high = Reader()
        low = 2.0

        @functools.cached_property
        def twice(self):
            return self.low * 2.0

    cached = Cached()
    step = wrap(lambda x: x * cached.twice + cached.high)
    yield from told(step, FACTORS)
    yield from told(step, cached, name="low")
    yield from told(step, cached, name="twice")


# ---- statements ----


@story
def match_statements(wrap):
    config = Config(kind="scale", point=Frozen(3.0))

    def step(x):
        match config.kind:
            case "scale":
                x = x * config.scale
            case Config(scale=2.0):
                x = x + 7.0
            case other:
                x = x - float(len(other))
        match config:
            case Config(scale=5.0 as found):
                x = x * found
            case Config(point=Frozen(scale=s)) if s > 3.5:
                x = x + s
        match [config.scale, x]:
            case [first, *_]:
                return x * first

    step = wrap(step)
    yield from told(step, config)
    config.kind = "else"
    yield from told(step, config)
    config.point = Frozen(4.0)
    yield from told(step, config)


@story
def walrus_and_chained_comparisons(wrap):
    config = Config()

    def step(x):
        if 1.0 < (s := config.scale) < 6.0:
            return x * s
        return x - s + (h := config).half * h.shift

    step = wrap(step)
    yield from told(step, config)
    yield from told(step, config, name="shift")


@story
def with_statements(wrap):
    class Scale:
        def __enter__(self):
            return Config(FACTORS.scale)

        def __exit__(self, *error):
            return FACTORS.scale > 4.0

    @contextlib.contextmanager
    def shifted():
        yield FACTORS.half

    def step(x):
        y = x
        with Scale() as c, shifted() as s:
            y = c.scaled(x) + s
            raise KeyError
        return y * 2.0

    def outer(x):
        try:
            return step(x)
        except KeyError:
            return x

    yield from told(wrap(outer), FACTORS)


@story
def try_except_finally(wrap):
    config = Config()

    def step(x):
        y = x
        try:
            if config.scale > 4.0:
                raise ValueError(config)
            y = y * config.scale
        except* ValueError as group:
            y = y + group.exceptions[0].args[0].half
        else:
            y = y - config.shift
        finally:
            y = y * FACTORS.scale
        return y

    step = wrap(step)
    yield from told(step, config)
    yield from told(step, FACTORS)


@story
def texts_with_calls_in_them(wrap):
    config, table = Config(kind="a"), {"a-2.00": 2.0, "b-2.00": 3.0}

    def kind():
        return config.kind

    def step(x):
        return x * table.get(f"{kind()}-{config.scale:{'.2f'}}", 0.5)

    step = wrap(step)
    yield from told(step, config, 8, "kind")
    config.kind = "b"
    yield from told(step, types.SimpleNamespace(), 4)
    config.kind = "a"
    yield from told(step, config)


@story
def decorators(wrap):
    config = Config()

    def plus(amount):
        def decorate(function):
            @functools.wraps(function)
            def wrapper(*args):
                return function(*args) + amount.scale

            return wrapper

        return decorate

    @functools.singledispatch
    def chosen(x):
        return x * config.half

    @chosen.register
    def _(x: float):
        return x * config.shift

    @plus(config)
    def helper(x):
        return x * FACTORS.scale + chosen(x) + chosen(2.0)

    class Doubled:
        def __init__(self, function):
            self.function, self.times = function, 2.0

        def __call__(self, x):
            return self.function(x) * self.times

    doubled = Doubled(helper)
    step = wrap(lambda x: doubled(x))
    yield from told(step, config)
    yield from told(step, FACTORS)
    yield from told(step, doubled, name="times")
    yield from told(step, config, name="shift")


@story
def nested_functions_and_nonlocal(wrap):
    config = Config()

    def step(x):
        y = x

        def inner(z):
            nonlocal y
            y = y * config.scale

            def innermost():
                return z + config.half

            return innermost

        return inner(x)() + y

    yield from told(wrap(step), config)


@story
def names_of_a_module(wrap):
    module = types.ModuleType("settings")
    exec("scale = 2.0\ndef scaled(x):\n    return x * scale\n", vars(module))
    other = types.ModuleType("others")
    other.settings = module
    step = wrap(lambda x: module.scaled(x) + other.settings.scale)
    yield from told(step, module)


@story
def a_global_that_comes_and_goes(wrap):
    names = {}
    lines = ["def step(x):", " try:", "  return x * late", " except NameError:", "  return x"]
    exec("\n".join(lines), names)
    step = wrap(names["step"])
    for i, x in enumerate(inputs(16)):
        if i == 4:
            names["late"] = 2.0
        if i == 8:
            del names["late"]
        if i == 12:
            names["late"] = 3.0
        yield bits(step(x))


def function_of(lines, **names):
    """A function of `x`, `self` and others from its lines of code."""
    exec("def step(self, x):\n" + "".join(f"    {line}\n" for line in lines), names)
    return names["step"]


@story
def long_functions(wrap):
    """The 300th name of a function needs an extended argument."""
    config = Config(**{f"n{i}": float(i) for i in range(300)})
    lines = [f"x = x + self.n{i} * 0.01 + f.f{i}" for i in range(300)]
    f = types.SimpleNamespace(**{f"f{i}": 0.5 for i in range(300)})
    step = wrap(functools.partial(function_of([*lines, "return x * self.scale"], f=f), config))
    yield from told(step, config, 8)
    yield from told(step, config, 8, "n299")
    yield from told(step, f, 8, "f280")
    items = [float(i) for i in range(300)]  # more than are noted of what is not indexed
    lines = [f"x = x + items[{i}] * 0.01" for i in range(300)]
    step = wrap(functools.partial(function_of([*lines, "return x"], items=items), config))
    yield from told(step, config, 4)
    items[270] = 400.0
    yield from told(step, config, 4)


@story
def instructions_that_are_fused(wrap):
    """From 3.13 on one instruction stores a variable and loads another, or loads two."""
    configs, holder = several()[:2], Config(late=3.0)
    lines = [  # fused on one line only
        "y = x; z = self.scale; w = self.half; x = y * z + w",
        "u, v = x, self.shift; u = u * 2.0; u = u + self.late",
        "a, b = configs; c = a; d = b.scale; c, d = d, c; return x * u + v + c + helper(self, d)",
    ]

    def helper(one, two):
        return one.scale + two.scale

    function = function_of(lines, configs=configs, helper=helper)
    step = wrap(functools.partial(function, holder))
    yield from told(step, holder)
    yield from told(step, holder, name="late")
    yield from told(step, configs[0])
    yield from told(step, configs[1])


@story
def deleted_and_cleared_names(wrap):
    config = Config()

    def step(x):
        c = config
        y = x * c.scale
        del c
        try:
            return y * c.scale
        except NameError as error:
            return y + config.half + len(str(error))

    yield from told(wrap(step), config)


@pytest.mark.parametrize("tell", STORIES, ids=lambda f: f.__name__)
def test_captured_is_eager(tell):
    check_captured_is_eager(tell)


class Learner(nn.Module):
    """A module with captured steps of both kinds."""

    def __init__(self) -> None:
        self.layer = nn.Linear(3, 2)
        self.optimizer = optim.SGD(self.layer.parameters(), lr=0.1)
        self.attribute = rv.capture(self.value)

    @rv.capture
    def step(self, x):
        self.optimizer.zero_grad()
        loss = self.layer(x).sum()
        loss.backward()
        self.optimizer.step()
        return loss

    def value(self, x):
        return self.layer(x).sum()


@rv.capture
def doubled(x):
    return x * 2


def test_pickled_steps_are_captured_where_they_land() -> None:
    """By name where they are decorated, as a function elsewhere; recordings stay behind."""
    x = rv.ones(4, 3)
    learner = Learner()
    for _ in range(4):
        learner.step(x)
        learner.attribute(x)
        doubled(x)
    assert pickle.loads(pickle.dumps(doubled)) is doubled
    twin = pickle.loads(pickle.dumps(learner))
    assert "step, 0 recordings" in repr(twin.step)
    for _ in range(4):
        assert twin.step(x).item() == learner.step(x).item()
        assert twin.attribute(x).item() == learner.attribute(x).item()
    assert "step, 1 recording)" in repr(twin.step)
    learner.step(x)
    assert twin.attribute(x).item() != learner.attribute(x).item()  # each has its own weights
