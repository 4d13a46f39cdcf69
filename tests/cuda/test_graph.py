"""Captured steps on the device "cuda" are replayed as graphs. On a GPU, or under RANVIER_EMULATE=1.

Under emulation a graph keeps each launch with its arguments as they were when it was made, as a GPU
does: a number that changes from step to step must come from device memory.
"""

import logging
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier import nn, optim

pytestmark = [
    pytest.mark.kernels,
    pytest.mark.skipif(not rv.cuda.is_available(), reason=rv.cuda.why_not()),
]
emulated = pytest.mark.skipif(not rv.cuda.is_emulated(), reason="of the emulation")


def training(make_optimizer, device, dropout=0.3):
    """A small net, its step (eager) and the optimizer."""
    rv.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 3))
    model = model.to(device)
    optimizer = make_optimizer(model.parameters())

    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return model, step, optimizer


def data(device):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 6)).astype(np.float32)
    return rv.tensor(x, device=device), rv.tensor(rng.integers(0, 3, 5), device=device)


def test_a_training_step_is_one_graph():
    _, step, _ = training(lambda p: optim.Adam(p, lr=0.01), "cuda")
    captured, batch = rv.capture(step), data("cuda")
    for _ in range(3):
        captured(*batch)
    assert captured.program.graphs == 1
    assert "replayed as 1 graph" in str(captured.program)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: optim.Adam(p, lr=0.01),
        lambda p: optim.AdamW(p, lr=0.01),
        lambda p: optim.RMSprop(p, lr=0.01, momentum=0.9),
        lambda p: optim.Adagrad(p, lr=0.01, lr_decay=0.1, initial_accumulator_value=0.1),
        optim.Adadelta,
    ],
    ids=["sgd", "adam", "adamw", "rmsprop", "adagrad", "adadelta"],
)
def test_what_changes_between_steps_is_not_frozen(make):
    """Learning rate, step count and random numbers: bits of eager steps, all along."""
    found = []
    for captured in (False, True):
        model, step, optimizer = training(make, "cuda")
        run = rv.capture(step) if captured else step
        losses = []
        for i in range(7):
            optimizer.lr = 0.02 / (1 + i)
            losses.append(run(*data("cuda")).item())
        found.append((losses, [p.cpu().numpy().tobytes() for p in model.parameters()]))
    assert found[0] == found[1]


def test_new_inputs_are_seen():
    step = rv.capture(lambda x: (x * 2).sum())
    for i in range(6):
        assert step(rv.full((3, 2), float(i), device="cuda")).item() == 12.0 * i


def test_profile_times_each_kernel():
    _, step, _ = training(lambda p: optim.SGD(p, lr=0.1), "cuda")
    captured, batch = rv.capture(step), data("cuda")
    for _ in range(3):
        loss = captured(*batch).item()
    table = captured.profile(2)
    assert "linear" in table
    assert "cross_entropy" in table
    rows = [line.split() for line in table.splitlines()[1:]]
    assert all(float(row[2]) > 0 for row in rows)
    assert np.isfinite(captured(*batch).item())
    assert loss > 0


def test_a_part_on_the_host_splits_the_graph():
    """Calls of two devices in one step: each run of them on the GPU is a graph of its own."""
    weight = rv.tensor([1.0, 2.0], device="cuda")

    def step(x):
        y = ((x + 1) * weight).cpu() * 3  # the host's part
        return y.to("cuda") + weight

    captured = rv.capture(step)
    for i in range(5):
        x = rv.full((2,), float(i), device="cuda")
        assert captured(x).tolist() == [3.0 * (i + 1) + 1, 6.0 * (i + 1) + 2]
    assert captured.program.graphs == 2


def test_a_graph_keeps_its_memory():
    """What was let go of before a replay is still there for the graph."""

    def make():
        weight = rv.randn(64, 64, device="cuda")
        return rv.capture(lambda x: (x @ weight).relu().sum())

    step, x = make(), rv.ones(4, 64, device="cuda")
    first = [step(x).item() for _ in range(3)]
    noise = [rv.randn(64, 64, device="cuda") for _ in range(20)]
    assert step(x).item() == first[0] == first[2]
    assert len(noise) == 20


def test_other_threads_work_while_a_graph_is_made():
    _, step, _ = training(lambda p: optim.Adam(p, lr=0.01), "cuda")
    captured, batch = rv.capture(step), data("cuda")
    stop, wrong = threading.Event(), []

    def other():
        while not stop.is_set():
            if (rv.ones(3, device="cuda") + 1).tolist() != [2.0, 2.0, 2.0]:
                wrong.append(1)

    thread = threading.Thread(target=other)
    thread.start()
    try:
        for _ in range(4):
            captured(*batch)
    finally:
        stop.set()
        thread.join()
    assert not wrong
    assert captured.program.graphs == 1


@emulated
@pytest.mark.parametrize("what", ["graph", "workspace", "launch:1", "launch:3"])
def test_without_a_graph_the_step_runs_call_by_call(what, caplog):
    """Whatever fails while the graph is made, the step gives the same bits."""
    x = rv.tensor(np.random.default_rng(0).standard_normal((700, 9)), device="cuda")
    step = rv.capture(lambda x: F.softmax(x, 0).sum(1).sort()[0])
    eager = [step(x).tolist() for _ in range(2)]
    rv._core.device_option("fail", what)
    try:
        with caplog.at_level(logging.WARNING, logger="ranvier"):
            if what == "workspace":  # the core gives its memory back, and it is tried again
                assert step(x).tolist() == eager[0]
                assert step.program.graphs == 1
                return
            assert step(x).tolist() == eager[0]
    finally:
        rv._core.device_option("fail", "none")
    assert "its graph could not be made" in caplog.text
    assert step.program.graphs == 0
    assert step(x).tolist() == eager[0] == eager[1]


FROZEN = """
import ranvier as rv
count = [0.0]

@rv.capture
def step(x):
    count[0] += 1.0
    return x * count[0]

try:
    for _ in range(4):
        step(rv.ones(2, device="cuda"))
except rv.CaptureError as error:
    assert "[capture] expected a replay to give the bits" in str(error), error
else:
    raise SystemExit("a constant that changes was not noticed")

@rv.capture
def good(x):
    return (rv.rand(3, device="cuda") + x).sum()

for i in range(4):
    good(rv.ones(3, device="cuda"))
assert good.program.graphs == 1
"""


def test_checked_replays_find_frozen_numbers():
    environment = {**os.environ, "RANVIER_CHECK_CAPTURE": "1"}
    subprocess.run([sys.executable, "-c", FROZEN], env=environment, check=True)


def test_a_graph_can_be_turned_off():
    code = (
        "import ranvier as rv\n"
        "step = rv.capture(lambda x: x * 2)\n"
        "for i in range(4):\n    y = step(rv.ones(2, device='cuda'))\n"
        "assert step.program.graphs == 0 and y.tolist() == [2.0, 2.0]\n"
    )
    environment = {**os.environ, "RANVIER_GRAPH": "0"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
