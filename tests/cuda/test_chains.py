"""Pointwise calls of a captured step that run as one kernel of the device, with eager's bits.

On a GPU, or under RANVIER_EMULATE=1.
"""

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from tests.cuda.test_captured import bits, numbers
from tests.harness import precision

pytestmark = [
    pytest.mark.kernels,
    pytest.mark.skipif(not rv.cuda.is_available(), reason=rv.cuda.why_not()),
]


def calls_of(program):
    """The kernels that a replay runs, in order."""
    return [line.split()[0] for line in str(program).splitlines()[1:] if " bytes" in line]


def chained(make, *inputs, chains=1, calls=None):
    """Runs a step five times captured and eager, compares all bits, counts chains and calls."""
    with precision("exact"):
        captured, eager = rv.capture(make()), make()
        for _ in range(5):
            assert bits(captured(*inputs)) == bits(eager(*inputs))
    program = captured.program
    assert program.rewrites["device_chains"] == chains
    assert program.graphs == 1
    if calls is not None:
        assert len(calls_of(program)) == calls + chains
    return program


# Sizes of no whole vector, of one, of several blocks with a rest.
@pytest.mark.parametrize("shape", [(1,), (4,), (1031,), (64, 64), (3, 5, 7)])
def test_what_nobody_reads_is_never_written(shape):
    def step(x):
        return F.tanh(x * 2.0 + 1.0) - x

    program = chained(lambda: step, numbers(0, *shape), calls=0)
    assert program.planned_bytes <= 256 + 4 * 4 * int(np.prod(shape))


UNARY = [
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "erf", "exp",
    "exp2", "expm1", "floor", "log", "log10", "log1p", "log2", "reciprocal", "round", "rsqrt",
    "sign", "sin", "sinh", "sqrt", "square", "tan", "tanh", "relu", "gelu", "silu", "softplus",
    "softsign", "mish", "elu", "hardswish", "leaky_relu", "hardtanh", "sigmoid",
]  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_every_function_and_its_gradient(name):
    """As a step of a chain: the formulas, and the parameters, are those of the call."""
    f = getattr(F, name, None) or getattr(rv, name)

    def make():
        def step(x):
            x = (x * 1.5).detach()
            x.requires_grad = True
            y = f(x) * 3.0
            y.sum().backward()
            return y, x.grad * 0.5

        return step

    x = numbers(1, 2, 37)
    with precision("exact"):
        captured, eager = rv.capture(make()), make()
        for _ in range(4):
            assert bits(captured(x)) == bits(eager(x))
    assert captured.program.rewrites["device_chains"] >= 1


OPERATIONS = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "maximum": rv.maximum,
    "minimum": rv.minimum,
}


@pytest.mark.parametrize("op", OPERATIONS)
def test_every_operation(op):
    def step(a, b):
        return OPERATIONS[op](a, b) * a

    special = np.random.default_rng(2).standard_normal((3, 33)).astype(np.float32)
    special[0, :4] = np.nan, np.inf, 0.0, -0.0
    chained(lambda: step, rv.tensor(special, device="cuda"), numbers(3, 3, 33), calls=0)


def test_powers_stay_calls_of_their_own():
    def step(x):
        return (x * x + 1.0) ** 1.7 * 2.0

    program = chained(lambda: step, numbers(4, 40))
    assert "binary" in calls_of(program)


@pytest.mark.parametrize(
    "shapes", [((5, 6, 7), (7,)), ((5, 6, 7), (6, 1)), ((5, 6, 7), ()), ((4, 9), (4, 1))]
)
def test_broadcast_operands(shapes):
    def step(x, b):
        return (x + b) * (x - b) + 0.5

    chained(lambda: step, *(numbers(i, *s) for i, s in enumerate(shapes)), calls=0)


def test_single_numbers_on_the_way():
    """Every thread computes what scales an array; what others read is written."""

    def step(x, a):
        return x * (a * 2.0 + 1.0) - a

    chained(lambda: step, numbers(0, 6, 35), numbers(1), calls=0)

    def shared(x, a):
        scale = a * 2.0 + 1.0
        return x * scale - a, scale * 1.0

    chained(lambda: shared, numbers(0, 6, 35), numbers(1), chains=2)


def test_arrays_that_lie_in_different_ways():
    """Transposed, every second, mirrored, and from an address that is no multiple of 16 bytes."""

    def step(a, b):
        return (a.T * b + b) * 0.5, (a[:, ::2] - b.T[:, ::2]) * 2.0 + 1.0

    chained(lambda: step, numbers(0, 9, 14), numbers(1, 14, 9), chains=2)

    def shifted(x):
        y = x[1:] * 2.0 + 1.0
        return y * y, rv.flip(x, 0) * 3.0 - 1.0

    chained(lambda: shifted, numbers(2, 1025), chains=2)


@pytest.mark.parametrize("shape", [(45, 37), (16, 32), (2, 33, 50), (3, 20, 5, 9)])
def test_operands_that_run_along_another_axis(shape):
    """Tiles with and without a rest, of matrices and images; conditions turn as well."""
    turned = (*shape[:-2], shape[-1], shape[-2]) if len(shape) < 4 else (3, 5, 9, 20)
    order = (*range(len(shape) - 2), -1, -2) if len(shape) < 4 else (0, 3, 1, 2)
    flags = rv.tensor(np.random.default_rng(3).random(turned) < 0.5, device="cuda")

    def step(x, a, b, row):
        y = (x * a.permute(*order) + row) * b.permute(*order)
        return rv.where(flags.permute(*order), y, x * 2.0) - 1.0

    inputs = [numbers(0, *shape), numbers(1, *turned), numbers(2, *turned), numbers(3, shape[-1])]
    chained(lambda: step, *inputs, calls=0)


def test_conditions_and_limits():
    flags = rv.tensor(np.random.default_rng(5).random((6, 50)) < 0.5, device="cuda")
    row = rv.tensor(np.random.default_rng(6).random(50) < 0.5, device="cuda")

    def make():
        def step(x):
            x = (x * 2.0).detach()
            x.requires_grad = True
            y = F.clip(x, -1.0, 1.5) * 2.0
            z = rv.where(flags, y, x * 3.0) + rv.where(row, x, y)
            z.sum().backward()
            return z, x.grad * 0.25

        return step

    x = numbers(7, 6, 50)
    with precision("exact"):
        captured, eager = rv.capture(make()), make()
        for _ in range(4):
            assert bits(captured(x)) == bits(eager(x))
    assert captured.program.rewrites["device_chains"] >= 2


def test_more_than_a_chain_holds():
    """Many steps, and many arrays: several chains, nothing lost. A constant is a step, too."""

    def long(x):
        for _ in range(30):
            x = x * 0.9 + 0.1
        return x

    chained(lambda: long, numbers(8, 70), chains=5, calls=0)

    def wide(*xs):
        y = xs[0] * 1.0
        for x in xs[1:]:
            y = y + x
        return y

    program = chained(lambda: wide, *(numbers(i, 70) for i in range(12)), chains=2)
    assert len(calls_of(program)) <= 3


def test_values_that_others_read_are_written():
    """By a product in between, by the host afterwards, by the next replay."""
    state = rv.zeros(8, 8, device="cuda")

    def step(x):
        a = x * 2.0
        b = a + 1.0
        c = a @ b
        d = c - a
        with rv.no_grad():
            state.copy_(state * 0.5 + d)
        return b, d * b

    def make():
        def run(x):
            return step(x)

        return run

    x = numbers(9, 8, 8)
    with precision("exact"):
        captured, eager = rv.capture(make()), make()
        found, wanted = [], []
        for results, call in ((found, captured), (wanted, eager)):
            with rv.no_grad():
                state.copy_(rv.zeros(8, 8, device="cuda"))
            for _ in range(5):
                results.append(bits(call(x)) + bits(state))
    assert found == wanted
    assert captured.program.rewrites["device_chains"] >= 1


def test_in_place_changes_keep_their_order():
    """What a step reads before and after a change of the same buffer are two values."""

    def make():
        weight = numbers(10, 3, 21)

        def step(x):
            before = weight * x
            with rv.no_grad():
                weight.copy_(weight * 0.5)
                weight.add_(x)
            after = weight * x
            return before - after, weight * 1.0

        return step

    x = numbers(11, 3, 21)
    with precision("exact"):
        captured, eager = rv.capture(make()), make()
        for _ in range(5):
            assert bits(captured(x)) == bits(eager(x))


def test_other_types_stay_away():
    def step(x):
        return (x * 2 + 1) * x

    chained(lambda: step, numbers(12, 40).to(rv.float64), chains=0)
    chained(lambda: step, rv.arange(40, device="cuda"), chains=0)
