"""What tells stories of captured steps: a number that is read in some way, and then changed."""

import ranvier as rv
from tests.test_staleness import bits, inputs


class Config:
    """Settings of a step; what a name reaches, whatever way it goes."""

    shift = 0.5

    def __init__(self, scale=2.0, **more):
        self.scale = scale
        self.__dict__.update(more)

    def scaled(self, x):
        y = x * self.scale
        return y + self.shift

    @property
    def half(self):
        return self.scale / 2.0


class Settings(Config):
    """What functions find under a global name."""


FACTORS = Settings()


def several():
    return [Config(1.0), Config(2.0), Config(3.0)]


def told(step, config, calls=12, name="scale"):
    """Runs a step while a setting changes after every fourth call."""
    for i, x in enumerate(inputs(calls)):
        if i and i % 4 == 0:
            setattr(config, name, 1.0 + i)
        yield bits(step(x))


def stories():
    """A decorator that collects functions of `wrap` (`rv.capture`, or nothing)."""
    found = []

    def story(function):
        found.append(function)
        return function

    return story, found


def check_captured_is_eager(tell):
    """Tells a story twice, eagerly and captured, from the same beginning; the bits must agree."""
    seen = []
    for wrap in (lambda function: function, rv.capture):
        vars(FACTORS).clear()
        FACTORS.__init__()
        Config.shift = 0.5
        seen.append(list(tell(wrap)))
    eager, captured = seen
    assert len(eager) == len(captured) > 3
    assert len({repr(e) for e in eager}) > 2, "nothing changes"
    for i, (a, b) in enumerate(zip(eager, captured, strict=True)):
        assert a == b, f"differs at {i}"
