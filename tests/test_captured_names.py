"""Captured steps that read an object by any name, in loops, comprehensions and containers.

What one version of Python compiles to a call of a nested function another one inlines, or fuses
into one instruction.
"""

import collections
import functools
import operator
import types

import numpy as np
import pytest

import ranvier as rv
from tests.stories import FACTORS, Config, check_captured_is_eager, several, stories, told
from tests.test_staleness import bits, inputs

story, STORIES = stories()

# ---- an object goes by another name ----


@story
def passed_to_a_helper(wrap):
    config = Config()

    def scaled(c, x):
        return x * c.scale

    yield from told(wrap(lambda x: scaled(config, x)), config)


@story
def passed_by_keyword_and_by_stars(wrap):
    config = Config()

    def scaled(x, *, c):
        return x * c.scale

    def half(*both, **more):
        return both[0] * both[1].half + scaled(both[0], **more)

    pair = (config,)
    yield from told(wrap(lambda x: half(x, *pair, **{"c": config})), config)


@story
def under_a_local_name(wrap):
    config = Config()

    def step(x):
        first = config
        second = first
        x = second.scaled(x)
        return x * first.half

    yield from told(wrap(step), config)


@story
def a_method_under_a_local_name(wrap):
    class Reader(Config):
        def scaled(self, x):
            return x * FACTORS.scale

    reader = Reader()

    def step(x):
        one = two = reader
        return two.scaled(x) + one.scale

    yield from told(wrap(step), FACTORS)


@story
def one_of_two(wrap):
    one, two, flags = Config(1.0), Config(2.0), {"first": True}

    def step(x):
        y = (one if flags["first"] else two).scaled(x)
        return y + ((flags["first"] and one) or two).scale

    step = wrap(step)
    yield from told(step, one)
    flags["first"] = False
    yield from told(step, two)


@story
def given_as_an_argument(wrap):
    config = Config()
    step = wrap(lambda x, c, *, more: c.scaled(x) * more.half)
    yield from told(lambda x: step(x, config, more=config), config)
    yield from told(lambda x: step(x, config, more=config), Config, name="shift")


@story
def a_default_and_a_partial(wrap):
    config, other = Config(), Config()

    def step(x, c=config, *, d=other):
        return c.scaled(x) + d.scale

    yield from told(wrap(step), config)
    yield from told(wrap(step), other)
    yield from told(wrap(functools.partial(lambda c, x: c.scaled(x), config)), config)
    yield from told(wrap(functools.partial(lambda x, c: c.scaled(x), c=config)), config)


@story
def with_getattr(wrap):
    config, name = Config(), "scale"

    def step(x):
        y = x * getattr(config, "scale") + getattr(config, name)  # noqa: B009 (it is read, too)
        return y * operator.attrgetter("half")(config) + vars(config)["scale"]

    yield from told(wrap(step), config)


@story
def an_attribute_that_comes_and_goes(wrap):
    config = Config()

    def step(x):
        y = x * (2.0 if hasattr(config, "more") else 3.0)
        try:
            return y + config.late
        except AttributeError:
            return y - config.shift

    step = wrap(step)
    for i, x in enumerate(inputs(20)):
        if i == 4:
            config.more = None
        if i == 8:
            config.late = 1.0
        if i == 12:
            del config.late
        if i == 16:
            config.shift = 4.0
        yield bits(step(x))


# ---- loops, comprehensions, generators ----


@story
def in_a_loop(wrap):
    configs = several()

    def step(x):
        for c in configs:
            x = x * c.scale
        for i, c in enumerate(configs):
            x = x * c.half + float(i)
        for a, b in zip(configs, configs, strict=True):
            x = x + a.scale / b.scale
        k = len(configs)
        while (k := k - 1) > 0:
            x = x - configs[k].scale
        return x

    yield from told(wrap(step), configs[1])


@story
def in_comprehensions(wrap):
    configs = several()

    def step(x):
        listed = [x * c.scale for c in configs]
        named = {i: c.half for i, c in enumerate(configs)}
        kept = {c.scale for c in configs if c.shift}
        grid = [[a.scale - b.scale for a in configs] for b in configs]
        return sum(listed, x) * sum(named.values()) + sum(kept) + sum(map(sum, grid))

    step = wrap(step)
    yield from told(step, configs[0])
    yield from told(step, configs[2], name="shift")


@story
def in_generators(wrap):
    configs = several()

    def scales():
        for c in configs:
            yield c.scale
        yield from (c.half for c in configs)

    step = wrap(lambda x: x * sum(scales()) + max(c.scale for c in configs))
    yield from told(step, configs[1])


@story
def a_name_of_a_comprehension_and_of_the_step(wrap):
    """From 3.12 on a comprehension saves the outer variable of the same name around itself."""

    class Holder:
        scale, parts = 2.0, (1.0, 3.0)

        def step(self, x):
            first = [self * 2.0 for self in self.parts]
            second = [lambda: self.scale for _ in range(2)]
            return x * self.scale + sum(first) + second[1]()

    holder = Holder()
    yield from told(wrap(holder.step), holder)


@story
def closures_over_variables_of_comprehensions(wrap):
    configs = several()

    def step(x):
        scaled = [lambda y, c=c: y * c.scale for c in configs]
        late = [lambda: c.half for c in configs]  # noqa: B023 (the last c is meant)
        for f in scaled:
            x = f(x)
        return x + late[0]()

    step = wrap(step)
    yield from told(step, configs[0])
    yield from told(step, configs[2])


@story
def with_map_filter_and_reduce(wrap):
    configs = several()

    def step(x):
        x = functools.reduce(lambda y, c: y * c.scale, configs, x)
        wide = filter(lambda c: c.scale > 2.5, configs)
        return x + sum(map(operator.attrgetter("scale"), wide)) + max(configs, key=id).shift

    yield from told(wrap(step), configs[1])


# ---- containers ----


@story
def an_index_that_is_a_name(wrap):
    place = Config(at=1)
    weights = [rv.tensor(float(i)) for i in range(4)]
    names = {"a": 1.0, "b": 2.0}

    def step(x):
        i = place.at
        y = x * weights[i] + weights[-1] + names.get("c", 0.0)
        return y + sum(weights[1:3]) + sum(names[n] for n in ("a", "b"))

    step = wrap(step)
    yield from told(step, types.SimpleNamespace(), 4)
    place.at = 2
    yield from told(step, types.SimpleNamespace(), 4)
    weights[1] = rv.tensor(9.0)
    yield from told(step, types.SimpleNamespace(), 4)
    names["c"] = 7.0
    yield from told(step, types.SimpleNamespace(), 4)
    weights.pop()
    yield from told(step, types.SimpleNamespace(), 4)
    del names["c"]
    yield from told(step, types.SimpleNamespace(), 4)


@story
def sets_and_queues(wrap):
    flags, queue = {"double"}, collections.deque([1.0, 2.0], maxlen=2)
    counts = collections.Counter(a=1)
    ordered = collections.OrderedDict(a=2.0)

    def step(x):
        y = x * 2.0 if "double" in flags else x
        return y + queue[0] * counts["a"] + ordered["a"]

    step = wrap(step)
    for i, x in enumerate(inputs(20)):
        if i == 4:
            flags.clear()
        if i == 8:
            queue.append(7.0)
        if i == 12:
            counts["a"] += 1
        if i == 16:
            ordered["a"] = 5.0
        yield bits(step(x))


@story
def containers_of_hundreds(wrap):
    factors, flags = [1.0] * 300, set(range(300))
    leaves = [rv.full((3,), i / 8.0).requires_grad_() for i in range(300)]
    named = {str(i): 1.0 for i in range(300)}

    def step(x):
        y = x * 0.0
        for factor, leaf, other in zip(factors, leaves, named.values(), strict=True):
            y = y + leaf * (factor * other)
        if 7 in flags:
            y = y * 2.0
        y.sum().backward()
        with rv.no_grad():
            for leaf in leaves:
                if leaf.grad is not None:
                    leaf.copy_(leaf - 0.125 * leaf.grad)
                    leaf.grad = None
        return y

    step = wrap(step)
    for i in range(24):
        if i == 4:
            factors[200] = 3.0
        if i == 8:
            leaves[100] = rv.full((3,), 70.0).requires_grad_()
        if i == 12:
            named["90"] = 2.0
        if i == 16:
            flags.remove(7)
        if i == 20:
            leaves[250].requires_grad_(False)
            leaves[250].grad = rv.ones((3,))
        yield bits(step(rv.ones((3,))))


@story
def an_array_of_numpy(wrap):
    weights = np.array([1.0, 2.0, 3.0], np.float32)
    factor = np.float32(2.0)
    step = wrap(lambda x: x * float(weights[0]) * float(factor))
    for i, x in enumerate(inputs(12)):
        if i == 4:
            weights[0] = 5.0
        if i == 8:
            factor = np.float32(3.0)
        yield bits(step(x))


@pytest.mark.parametrize("tell", STORIES, ids=lambda f: f.__name__)
def test_captured_is_eager(tell):
    check_captured_is_eager(tell)
