"""What all optimizers share, by the plainest of them: p <- p - lr g."""

import copy

import numpy as np
import pytest

import ranvier as rv
from ranvier import _core
from ranvier.optim.optimizer import Optimizer


class Plain(Optimizer):
    def __init__(self, params, lr=0.5, beta=0.0):
        super().__init__(params, lr=lr, beta=beta)

    @classmethod
    def slots(cls, hyper):
        return ("last",) if hyper["lr"] < 100 else ("last", "more")

    def update(self, p, g, hyper, steps, last):
        lr = hyper.index(0).cast(p[0].dtype)
        _core.add_into(steps, 1)
        for q, d, kept in zip(p, g, last, strict=True):
            _core.subtract_into(q, _core.multiply(d, lr))
            _core.copy_into(kept, d)


def leaf(*values):
    return rv.tensor(values, requires_grad=True)


def with_grad(p, *values):
    p.grad = rv.tensor(values)
    return p


def test_step_skips_what_has_no_gradient():
    a, b = with_grad(leaf(1.0, 2.0), 2.0, 4.0), leaf(5.0)
    opt = Plain([a, b])
    opt.step()
    assert a.tolist() == [0.0, 0.0]
    assert b.tolist() == [5.0]
    assert opt.groups[0].state["last"][0].tolist() == [2.0, 4.0]
    assert opt.groups[0].state["last"][1].tolist() == [0.0]
    assert opt.groups[0].steps.tolist() == [1, 0]


def test_runs_of_neighbours():
    ps = [leaf(1.0) for _ in range(6)]
    for i in (0, 1, 3, 5):
        with_grad(ps[i], 1.0)
    opt = Plain(ps)
    opt.step()
    assert [p.item() for p in ps] == [0.5, 0.5, 1.0, 0.5, 1.0, 0.5]
    assert opt.groups[0].steps.tolist() == [1, 1, 0, 1, 0, 1]


def test_numbers_that_need_other_state_come_at_the_start():
    opt = Plain([leaf(1.0)])
    with pytest.raises(ValueError, match=r"expected lr from the start, got 200.*lr=200\)"):
        opt.lr = 200
    assert Plain([leaf(1.0)], lr=200).lr == 200


def test_zero_grad():
    a = with_grad(leaf(1.0), 2.0)
    opt = Plain([a])
    opt.zero_grad(set_to_none=False)
    assert a.grad.tolist() == [0.0]
    opt.zero_grad()
    assert a.grad is None


def test_groups_have_their_own_numbers():
    a, b, c = (with_grad(leaf(1.0), 1.0) for _ in range(3))
    opt = Plain([{"params": [a]}, {"params": b, "lr": 0.25}], lr=0.5)
    opt.add_param_group({"params": [c], "lr": 0.0, "beta": 0.5})
    opt.step()
    assert [p.item() for p in (a, b, c)] == [0.5, 0.75, 1.0]
    assert [g["lr"] for g in opt.param_groups] == [0.5, 0.25, 0.0]
    assert opt.groups[2]["beta"] == 0.5
    assert opt.groups[1]["params"][0] is b
    assert opt.groups[0].keys() == ["params", "lr", "beta"]
    opt.groups[1]["lr"] = 1.5
    assert opt.lr == 0.5
    opt.lr = 2
    assert [g["lr"] for g in opt.groups] == [2.0] * 3


def test_a_captured_step_follows_the_learning_rate():
    a = leaf(10.0)
    opt = Plain([a], lr=1.0)

    def step(x):
        opt.zero_grad()
        (a * x).backward()
        opt.step()
        return a

    step = rv.capture(step)
    x = rv.tensor([1.0])
    values = []
    for lr in (1.0, 0.5, 0.25, 0.125):
        opt.lr = lr
        values.append(step(x).item())
    assert values == [9.0, 8.5, 8.25, 8.125]


def test_numbers_do_not_change_inside_a_captured_step():
    a = leaf(1.0)
    opt = Plain([a])

    def step(x):
        (a * x).backward()
        opt.lr = 0.1
        opt.step()

    step = rv.capture(step)
    step(rv.ones(1))
    with pytest.raises(rv.CaptureError, match=r"\[Plain\] expected lr to change between steps"):
        step(rv.ones(1))


def test_state_is_not_made_inside_a_captured_step():
    a, warm = leaf(1.0), False
    opt = Plain([a])

    def step(x):
        nonlocal warm
        (a * x).backward()
        if warm:
            opt.step()
        warm = True

    step = rv.capture(step)
    step(rv.ones(1))
    with pytest.raises(rv.CaptureError, match="call it once before it is captured"):
        step(rv.ones(1))


def test_state_goes_around():
    a = with_grad(leaf(1.0, 2.0), 0.5, 0.25)
    opt = Plain([a], lr=0.125)
    opt.step()
    state = copy.deepcopy(opt.state_dict())
    assert list(state) == ["0.hyper", "0.steps", "0.last.0"]
    other = Plain([leaf(0.0, 0.0)], lr=7.0)
    memory = other.groups[0].hyper.data.data_ptr
    other.load_state_dict(state)
    assert other.groups[0].hyper.data.data_ptr == memory
    assert other.lr == 0.125
    assert other.groups[0].state["last"][0].tolist() == [0.5, 0.25]
    other.load_state_dict({k: v.numpy() for k, v in state.items()})
    with pytest.raises(ValueError, match=r"differs in 0\.last\.0 - build it with the same"):
        Plain([leaf(0.0)]).load_state_dict(state)
    with pytest.raises(ValueError, match=r"differs in 0\.last\.1"):
        Plain([leaf(0.0, 0.0), leaf(1.0)], lr=1.0).load_state_dict(
            {**state, "0.steps": np.zeros(2, np.int64)}
        )


def test_a_saved_value_changed_by_a_step_is_noticed():
    a = with_grad(leaf(1.0), 1.0)
    y = a * a
    Plain([a]).step()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_deepcopy_is_apart():
    a = with_grad(leaf(1.0), 1.0)
    opt = Plain([a])
    twin = copy.deepcopy(opt)
    twin.step()
    assert a.item() == 1.0
    assert twin.groups[0].params[0].item() == 0.5


def test_errors():
    a = leaf(1.0)
    with pytest.raises(ValueError, match=r"\[Plain\] expected lr of at least 0, got -1"):
        Plain([a], lr=-1)
    with pytest.raises(ValueError, match=r"expected beta from 0 to below 1, got 1"):
        Plain([a], beta=1.0)
    with pytest.raises(ValueError, match=r"expected lr of at least 0, got nan"):
        Plain([a], lr=float("nan"))
    with pytest.raises(TypeError, match="expected lr to be a number, got 'fast'"):
        Plain([a], lr="fast")
    with pytest.raises(ValueError, match=r"expected parameters, got none.*second time"):
        Plain([])
    spent = iter([a])
    list(spent)
    with pytest.raises(ValueError, match="second time"):
        Plain(spent)
    with pytest.raises(ValueError, match="in the group, got none"):
        Plain([{"params": []}])
    with pytest.raises(TypeError, match=r"expected a list of tensors, got one Tensor"):
        Plain(a)
    with pytest.raises(TypeError, match="expected tensors, got str"):
        Plain(["weight"])
    with pytest.raises(ValueError, match=r"expected leaves, got a computed tensor of shape \(1,\)"):
        Plain([a * 2])
    with pytest.raises(TypeError, match="expected floating parameters, got int64"):
        Plain([rv.arange(3)])
    with pytest.raises(ValueError, match="every parameter once"):
        Plain([a, a])
    with pytest.raises(ValueError, match="every parameter once"):
        Plain([{"params": [a]}, {"params": [a]}])
    with pytest.raises(ValueError, match="among lr, beta, got 'momentum'"):
        Plain([{"params": [a], "momentum": 0.5}])
    with pytest.raises(ValueError, match="expected a group with 'params'"):
        Plain([{"parameters": [a]}])
    with pytest.raises(KeyError, match="momentum"):
        Plain([a]).groups[0]["momentum"]
    with pytest.raises(TypeError, match="one device"):
        Plain([a, rv.empty(1, device="meta", requires_grad=True)])


def test_states_of_something_else_are_refused():
    optimizer = rv.optim.Adam([rv.zeros(3, requires_grad=True)])
    for state, words in (
        (None, "expected a dictionary of tensors, got NoneType"),
        (optimizer, r"pass its state_dict\(\)"),
        ({"state": {}, "param_groups": []}, "state of a PyTorch optimizer"),
    ):
        with pytest.raises(TypeError, match=words):
            optimizer.load_state_dict(state)


def test_a_closure_computes_the_gradients():
    w = rv.tensor([1.0], requires_grad=True)
    optimizer = rv.optim.SGD([w], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with rv.no_grad():
        assert optimizer.step(closure).item() == 1.0
    assert w.item() == 0.5
    assert optimizer.step() is None
