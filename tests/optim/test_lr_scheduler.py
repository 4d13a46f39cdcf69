"""Schedules stepped by hand: by formula, and beside PyTorch's where it is installed."""

import math

import pytest

import ranvier as rv
from ranvier import optim
from ranvier.optim import lr_scheduler as schedules

STEPS = 24

# name, arguments, rate at 0, 1, 2 ... of a base of 0.5
FORMULAS = [
    ("StepLR", (4, 0.5), lambda t: 0.5 * 0.5 ** (t // 4)),
    ("MultiStepLR", ([3, 7], 0.1), lambda t: 0.5 * 0.1 ** ((t >= 3) + (t >= 7))),
    ("ExponentialLR", (0.9,), lambda t: 0.5 * 0.9**t),
    ("LambdaLR", (lambda t: 1 / (1 + t),), lambda t: 0.5 / (1 + t)),
    ("LinearLR", (0.25, 1.0, 6), lambda t: 0.5 * (0.25 + 0.75 * min(t / 6, 1))),
    ("ConstantLR", (0.5, 4), lambda t: 0.25 if t < 4 else 0.5),
    ("PolynomialLR", (20, 2.0), lambda t: 0.5 * max(1 - t / 20, 0) ** 2),
    ("CosineAnnealingLR", (10, 0.1), lambda t: 0.1 + 0.2 * (1 + math.cos(math.pi * t / 10))),
    ("CosineAnnealingWarmRestarts", (5, 2), None),
    ("OneCycleLR", (0.8, 30), None),
]  # fmt: skip


def sgd(lr=0.5, **options):
    return optim.SGD([rv.ones(2, requires_grad=True)], lr=lr, momentum=0.9, **options)


@pytest.mark.parametrize(("name", "arguments", "formula"), FORMULAS, ids=[f[0] for f in FORMULAS])
def test_rates(name, arguments, formula):
    optimizer = sgd()
    scheduler = getattr(schedules, name)(optimizer, *arguments)
    rates = [optimizer.lr]
    for _ in range(STEPS - 1):
        scheduler.step()
        rates.append(scheduler.get_last_lr()[0])
    if formula is not None:
        assert rates == pytest.approx([formula(t) for t in range(STEPS)], abs=1e-12)
    torch = pytest.importorskip("torch")
    theirs = torch.optim.SGD([torch.ones(2)], lr=0.5, momentum=0.9)
    other = getattr(torch.optim.lr_scheduler, name)(theirs, *arguments)
    expected = [theirs.param_groups[0]["lr"]]
    for _ in range(STEPS - 1):
        theirs.step()
        other.step()
        expected.append(other.get_last_lr()[0])
    assert rates == pytest.approx(expected, abs=1e-9)
    assert optimizer.groups[0]["momentum"] == pytest.approx(theirs.param_groups[0]["momentum"])


def test_one_cycle_moves_the_momentum():
    optimizer = optim.Adam([rv.ones(2, requires_grad=True)])
    scheduler = schedules.OneCycleLR(optimizer, 0.1, total_steps=10)
    seen = []
    for _ in range(9):
        seen.append(round(optimizer.groups[0]["beta1"], 3))
        scheduler.step()
    assert seen[0] == 0.95
    assert min(seen) == 0.85
    with pytest.raises(ValueError, match="10 steps in all"):
        scheduler.step()
    with pytest.raises(ValueError, match="cycle_momentum=False"):
        schedules.OneCycleLR(optim.SGD([rv.ones(1, requires_grad=True)]), 0.1, 10)


def test_two_schedules_of_one_optimizer_multiply():
    optimizer = sgd(1.0)
    both = schedules.ExponentialLR(optimizer, 0.5), schedules.StepLR(optimizer, 2, 0.1)
    for _ in range(4):
        for scheduler in both:
            scheduler.step()
    assert optimizer.lr == pytest.approx(0.5**4 * 0.1**2)


def test_a_rate_that_the_user_changed_goes_on_in_proportion():
    optimizer = sgd(1.0)
    scheduler = schedules.StepLR(optimizer, 1, 0.5)
    optimizer.lr = 8.0
    scheduler.step()
    assert optimizer.lr == 4.0


def test_groups_keep_their_own_rates():
    a, b = (rv.ones(1, requires_grad=True) for _ in range(2))
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.01}], lr=0.1)
    schedules.StepLR(optimizer, 1, 0.5).step()
    assert [g["lr"] for g in optimizer.param_groups] == [0.05, 0.005]
    with pytest.raises(ValueError, match="expected 2 functions"):
        schedules.LambdaLR(optimizer, [lambda t: 1.0])


def test_one_after_the_other():
    optimizer = sgd(1.0)
    warm = schedules.LinearLR(optimizer, 0.25, 1.0, 3)
    scheduler = schedules.SequentialLR(optimizer, [warm, schedules.StepLR(optimizer, 2)], [3])
    rates = [optimizer.lr]
    for _ in range(6):
        scheduler.step()
        rates.append(optimizer.lr)
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 0.1, 0.1])


def test_resuming_gives_the_rates_of_an_uninterrupted_run():
    def run(stop):
        optimizer = sgd()
        scheduler = schedules.CosineAnnealingLR(optimizer, 10)
        for _ in range(stop):
            scheduler.step()
        return optimizer, scheduler

    optimizer, scheduler = run(4)
    again, resumed = run(0)
    again.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    scheduler.step()
    resumed.step()
    assert again.lr == optimizer.lr == run(5)[0].lr
    with pytest.raises(ValueError, match="for 1 groups"):
        resumed.load_state_dict({"last_epoch": 1})


def test_a_captured_step_follows():
    w = rv.ones(1, requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0)
    scheduler = schedules.StepLR(optimizer, 1, 0.5)

    @rv.capture
    def step(x):
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()
        return w

    for _ in range(5):
        step(rv.ones(1))
        scheduler.step()
    assert w.item() == 1 - (1 + 0.5 + 0.25 + 0.125 + 0.0625)


VALUES = [5.0, 4.0, 4.0, 4.0, 4.0, 3.9999, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_plateaus(mode):
    values = VALUES if mode == "min" else [1 / v for v in VALUES]
    optimizer = sgd()
    options = {"patience": 1, "cooldown": 2, "min_lr": 0.004}
    scheduler = schedules.ReduceLROnPlateau(optimizer, mode, **options)
    rates = []
    for value in values:
        scheduler.step(rv.tensor(value))
        rates.append(optimizer.lr)
    assert rates == pytest.approx([0.5] * 3 + [0.05] * 5 + [0.005] * 4 + [0.004])
    torch = pytest.importorskip("torch")
    theirs = torch.optim.SGD([torch.ones(2)], lr=0.5)
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, mode, **options)
    expected = []
    for value in values:
        other.step(value)
        expected.append(theirs.param_groups[0]["lr"])
    assert rates == pytest.approx(expected)


def test_a_plateau_of_negative_losses():
    """An improvement is a share of the size of the best value, whatever its sign."""
    optimizer = sgd()
    scheduler = schedules.ReduceLROnPlateau(optimizer, patience=0)
    for value in (-1.0, -1.00001, -2.0):
        scheduler.step(value)
    assert optimizer.lr == pytest.approx(0.05)


def test_refusals():
    with pytest.raises(TypeError, match="expected an optimizer, got list"):
        schedules.StepLR([], 1)
    with pytest.raises(ValueError, match="step_size of at least 1, got 0"):
        schedules.StepLR(sgd(), 0)
    with pytest.raises(ValueError, match="0 < factor < 1"):
        schedules.ReduceLROnPlateau(sgd(), factor=2.0)
    with pytest.raises(ValueError, match="total_steps, or epochs"):
        schedules.OneCycleLR(sgd(), 0.1)
    with pytest.raises(ValueError, match="1 milestones"):
        schedules.SequentialLR(sgd(), [schedules.StepLR(sgd(), 1)] * 2, [])
