"""Captured steps on the device "cuda": rewritten and planned as on the cpu, with eager's bits.

On a GPU, or under RANVIER_EMULATE=1, where each replay begins with NaN in all temporaries.
"""

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier import nn, optim
from tests.harness import host, precision

pytestmark = [
    pytest.mark.kernels,
    pytest.mark.skipif(not rv.cuda.is_available(), reason=rv.cuda.why_not()),
]
emulated = pytest.mark.skipif(not rv.cuda.is_emulated(), reason="of the emulation")


def numbers(seed, *shape):
    rng = np.random.default_rng(seed)
    return rv.tensor(rng.standard_normal(shape).astype(np.float32), device="cuda")


def bits(value):
    return [host(t).tobytes() for t in (value if isinstance(value, (list, tuple)) else [value])]


def rewritten(make, *inputs, level="exact"):
    """Runs a step five times captured and eager, compares all bits, and returns the program."""
    with precision(level):
        captured, eager = rv.capture(make()), make()
        for _ in range(5):
            assert bits(captured(*inputs)) == bits(eager(*inputs))
    assert captured.program.graphs == 1
    return captured.program


def training(net, optimizer, loss):
    """Makes a step that gives its loss, the gradients and the parameters after it."""

    def make():
        rv.manual_seed(1)
        model = net().to("cuda")
        rule = optimizer(model.parameters())

        def step(*batch):
            rule.zero_grad()
            value = loss(model, *batch)
            value.backward()
            rule.step()
            parameters = list(model.parameters())
            return [value, *(p.grad for p in parameters), *(p * 1.0 for p in parameters)]

        return step

    return make


OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: optim.Adam(p, lr=0.01),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.01),
    "adadelta": optim.Adadelta,
}


def classified(model, x, y):
    return F.cross_entropy(model(x), y)


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_a_convolutional_net(rule):
    """Products take in the ReLU, gradients are written where they stay, temporaries share."""

    def net():
        return nn.Sequential(
            nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.BatchNorm2d(8),
            nn.ReLU(), nn.Flatten(), nn.Linear(32, 12), nn.ReLU(), nn.Linear(12, 3),
        )  # fmt: skip

    y = rv.tensor(np.array([0, 2, 1]), device="cuda")
    program = rewritten(training(net, OPTIMIZERS[rule], classified), numbers(0, 3, 2, 7, 7), y)
    assert program.rewrites["product_relu"] == 2
    assert program.rewrites["norm_relu"] == 1
    assert program.rewrites["drop_copies"] >= 8
    assert 0 < program.arena_bytes < program.planned_bytes
    assert "share" in str(program)


@pytest.mark.parametrize("level", ["highest", "high", "medium"])
def test_other_precisions(level):
    y = rv.tensor(np.array([0, 2, 1]), device="cuda")
    make = training(
        lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)),
        OPTIMIZERS["adam"],
        classified,
    )
    assert rewritten(make, numbers(1, 3, 8), y, level=level).rewrites["product_relu"] == 1


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
@pytest.mark.parametrize("residual", [False, True])
def test_norms_take_in_the_sum_and_the_relu(norm, residual):
    layers = {
        "batch": lambda: nn.BatchNorm2d(8),
        "instance": lambda: nn.InstanceNorm2d(8, affine=True),
        "group": lambda: nn.GroupNorm(2, 8),
    }

    def make():
        layer = layers[norm]().to("cuda")

        def step(x, r):
            y = layer(x)
            y = F.relu(y + r if residual else y)
            (y * y).mean().backward()
            gradients = [p.grad for p in layer.parameters()]
            for p in layer.parameters():
                p.grad = None
            return [y, *gradients]

        return step

    images = [F.conv2d(numbers(s, 2, 8, 5, 3), rv.ones(8, 8, 1, 1, device="cuda")) for s in (2, 3)]
    program = rewritten(make, *images)
    assert program.rewrites["norm_relu"] == (2 if residual else 1)
    assert "unary  " not in str(program)


def test_an_lstm():
    class Net(nn.Module):
        def __init__(self):
            self.lstm = nn.LSTM(5, 6, batch_first=True)
            self.out = nn.Linear(6, 3)

        def forward(self, x):
            return self.out(self.lstm(x)[0])

    program = rewritten(
        training(Net, OPTIMIZERS["adam"], lambda m, x: (m(x) * m(x)).mean()), numbers(4, 3, 4, 5)
    )
    assert program.arena_bytes < program.planned_bytes


def test_rules_of_the_cpu_stay_away():
    """A table that is looked up and single samples: their kernels are the cpu's alone."""

    class Net(nn.Module):
        def __init__(self):
            self.embedding, self.lstm, self.out = nn.Embedding(4, 6), nn.LSTM(6, 5), nn.Linear(5, 4)

        def forward(self, x):
            return self.out(self.lstm(self.embedding(x))[0])

    def loss(model, x):
        y = model(x)
        return (y * y).mean()

    tokens = rv.tensor(np.random.default_rng(0).integers(0, 4, (8, 5)), device="cuda")
    make = training(Net, OPTIMIZERS["adam"], loss)
    assert rewritten(make, tokens, level="highest").rewrites["embedding_lstm"] == 0
    make = training(lambda: nn.Linear(8, 3), OPTIMIZERS["sgd"], loss)
    assert rewritten(make, numbers(40, 1, 8)).rewrites["outer_gradients"] == 0


def test_results_move_in_with_operands_that_die():
    def step(x):
        for _ in range(6):
            x = F.tanh(x) * 2.0
        return x.sum()

    program = rewritten(lambda: step, numbers(5, 64, 64).to(rv.float64))
    assert program.planned_bytes >= 12 * 8 * 64 * 64
    assert program.arena_bytes <= 2 * 8 * 64 * 64 + 4096
    assert program.rewrites["chains"] == 0  # of the cpu's cache
    assert program.rewrites["device_chains"] == 0  # of float32


def test_an_operand_that_lives_on_keeps_its_place():
    def step(x):
        a = x * 2.0
        b = a + 1.0
        c = a * b
        return (c - a).sum() + b.sum(), a.transpose(0, 1).sum()

    rewritten(lambda: step, numbers(6, 30, 30))


def test_two_devices_have_an_arena_each():
    weight = numbers(8, 64)

    def step(x):
        y = ((x + 1.0) * weight * 0.5).cpu()
        z = F.tanh(F.tanh(y) * 3.0 + 1.0).to("cuda")
        return F.tanh(z * weight + 1.0) - z

    captured = rv.capture(step)
    for i in range(5):
        x = numbers(9 + i, 64)
        assert bits(captured(x)) == bits(step(x))
    program = captured.program
    assert program.graphs == 2
    assert program.arena_bytes % 256 == 0
    assert program.arena_bytes < program.planned_bytes


def test_memory_of_a_step():
    """The recording holds no more than the eager step, the replays no more than the arena."""

    def step(x):
        for _ in range(20):
            x = F.tanh(x @ x) * 0.5
        return x.sum()

    x = numbers(20, 32, 32)
    captured = rv.capture(step)
    for call in range(4):
        before = rv.cuda.memory_stats()["in_use"]
        rv.cuda.reset_peak_memory()
        captured(x)
        assert rv.cuda.memory_stats()["peak"] - before <= 6 * x.data.nbytes, f"call {call}"
    held = rv.cuda.memory_stats()["in_use"]
    del captured
    assert rv.cuda.memory_stats()["in_use"] < held


@emulated
def test_no_memory_for_the_arena():
    """A MemoryError; once there is memory again, the same step goes on."""
    weight, x = numbers(30, 40), numbers(31, 40)

    def make():
        state = rv.zeros(40, device="cuda")

        def step():  # without arguments: nothing but the arena needs memory
            with rv.no_grad():
                state.copy_(F.tanh(state * weight + x) * 0.5)
            return state * 1.0

        return step

    captured, eager = rv.capture(make()), make()
    assert bits(captured()) == bits(eager())
    rv._core.device_option("fail", "always allocate")
    try:
        for _ in range(2):
            with pytest.raises(MemoryError, match=r"bytes of memory on cuda.* smaller batch"):
                captured()
    finally:
        rv._core.device_option("fail", "none")
    for _ in range(4):
        assert bits(captured()) == bits(eager())
    assert captured.program.graphs == 1
