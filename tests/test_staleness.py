"""What a captured step depends on may change between replays: captured and eager stay the same."""

import copy
import logging

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier import nn, optim

ROWS = [np.random.default_rng(i).standard_normal((5, 3)).astype(np.float32) for i in range(8)]


def inputs(n):
    """Batches of five rows, again and again the same eight."""
    return [rv.tensor(ROWS[i % 8]) for i in range(n)]


def net():
    rv.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def squares(model, x):
    y = model(x)
    return (y * y).sum()


def bits(tensor):
    return None if tensor is None else (tensor.shape, tensor.numpy().tobytes())


def state(*tensors):
    return [bits(t) for t in tensors] + [bits(t.grad) for t in tensors]


STORIES = []


def story(function):
    """A function of `wrap` (`rv.capture`, or nothing) that lists what it saw."""
    STORIES.append(function)
    return function


# ---- gradients come and go outside of the step ----


@story
def gradients_forgotten_outside(wrap):
    model = net()
    opt = optim.SGD(model.parameters(), lr=0.1)
    step = wrap(lambda x: squares(model, x).backward())
    for x in inputs(6):
        opt.zero_grad()
        step(x)
        yield state(*model.parameters())
        opt.step()
        yield state(*model.parameters())


@story
def gradients_accumulate_over_small_batches(wrap):
    model = net()
    opt = optim.SGD(model.parameters(), lr=0.1)
    step = wrap(lambda x: squares(model, x).backward())
    for i, x in enumerate(inputs(12)):
        step(x)
        yield state(*model.parameters())
        if i % 3 == 2:
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            opt.step()
            opt.zero_grad(set_to_none=i < 6)
            yield state(*model.parameters())


@story
def forward_and_update_are_two_steps(wrap):
    model = net()
    opt = optim.Adam(model.parameters(), lr=0.1)
    back = wrap(lambda x: squares(model, x).backward())

    @wrap
    def update():
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        opt.step()
        opt.zero_grad()
        return norm

    for i, x in enumerate(inputs(16)):
        back(x)
        yield state(*model.parameters())
        if i % 2:
            yield bits(update()), state(*model.parameters())


@story
def the_update_alone_is_captured(wrap):
    model = net()
    opt = optim.Adam(model.parameters(), lr=0.1)
    step = wrap(opt.step)
    for x in inputs(7):
        opt.zero_grad()
        squares(model, x).backward()
        step()
        yield state(*model.parameters())


@story
def an_update_by_hand(wrap):
    model = net()
    parameters = list(model.parameters())

    @wrap
    def update():
        with rv.no_grad():
            for p in parameters:
                if p.grad is not None:
                    p -= p.grad * 0.1
                    p.grad = None

    for i, x in enumerate(inputs(9)):
        if i != 5:
            squares(model, x).backward()
        update()
        yield state(*parameters)


@story
def two_nets_in_turn(wrap):
    """One net's step leaves gradients in the other, which clears them in its own."""
    rv.manual_seed(1)
    one, two = nn.Linear(3, 3), nn.Linear(3, 1)
    first, second = optim.Adam(one.parameters()), optim.Adam(two.parameters())

    @wrap
    def learn_two(x):
        second.zero_grad()
        loss = squares(two, one(x).detach()) - two(x).sum()
        loss.backward()
        second.step()
        return loss

    @wrap
    def learn_one(x):
        first.zero_grad()
        loss = two(one(x)).sum()
        loss.backward()
        first.step()
        return loss

    for x in inputs(6):
        yield bits(learn_two(x)), state(*one.parameters(), *two.parameters())
        yield bits(learn_one(x)), state(*one.parameters(), *two.parameters())


@story
def an_error_in_the_middle_is_undone(wrap):
    """The second call, which is recorded, fails: its gradients are as if it had not been made."""
    w = rv.tensor(ROWS[0], requires_grad=True)
    calls = []

    @wrap
    def step(x):
        (w * w * x).sum().backward()
        calls.append(1)
        if len(calls) == 2:
            raise KeyError("mine")

    for i, x in enumerate(inputs(6)):
        before = None if w.grad is None else rv.tensor(w.grad)
        if i == 1:
            with pytest.raises(KeyError):
                step(x)
            if wrap is not rv.capture:
                w.grad = before
        else:
            step(x)
        yield state(w)


# ---- arguments ----


@story
def an_argument_gets_a_gradient(wrap):
    step = wrap(lambda x: (x * x * x).sum().backward())
    seen = []
    for x in inputs(5):
        seen.append(x.requires_grad_())
        step(x)
        if len(seen) > 2:
            step(x)  # a second time: it accumulates
        yield [state(x) for x in seen]


@story
def parameters_as_arguments(wrap):
    w = rv.tensor(ROWS[0], requires_grad=True)
    opt = optim.SGD([w], lr=0.01, momentum=0.9)

    @wrap
    def step(w, x):
        opt.zero_grad()
        (w * w * w * x).sum().backward()
        opt.step()

    for x in inputs(5):
        step(w, x)
        yield state(w)


@story
def arguments_are_changed_in_place(wrap):
    total = rv.zeros(5, 3)

    @wrap
    def step(total, x):
        total += x
        return total * 2.0

    for x in inputs(5):
        yield bits(step(total, x)), bits(total)


@story
def minus_zero_is_another_number(wrap):
    step = wrap(lambda x, scale: 1.0 / (x * scale))
    for x in inputs(4):
        yield bits(step(x, 0.0)), bits(step(x, -0.0)), bits(step(x, float("nan")))


# ---- names that are bound anew ----

SCALE = 0.0


@story
def a_global_number(wrap):
    global SCALE
    step = wrap(lambda x: x * SCALE)
    for i, x in enumerate(inputs(12)):
        SCALE = 2.0 if i % 8 < 4 else 3.0
        yield bits(step(x))


@story
def a_tensor_of_the_closure(wrap):
    w = rv.tensor(2.0)

    def helper(x):
        return x * w

    step = wrap(lambda x: helper(x) + 1.0)
    for i, x in enumerate(inputs(9)):
        if i == 4:
            w = rv.tensor(3.0)
        yield bits(step(x))


@story
def an_item_of_a_list(wrap):
    weights = [rv.tensor(2.0), {"more": rv.tensor(4.0)}]
    step = wrap(lambda x: sum([x * weights[0], weights[1]["more"]], 0.0))
    for i, x in enumerate(inputs(12)):
        if i == 4:
            weights[0] = rv.tensor(3.0)
        if i == 8:
            weights[1]["more"] = rv.tensor(5.0)
        yield bits(step(x))


@story
def members_of_an_object(wrap):
    class Trainer:
        power = 2.0

        def __init__(self):
            self.model, self.scale, self.calls = net(), 1.0, 0
            self.options = {"shift": 1.0}

        def loss(self, y):
            return y * y * self.scale * self.power

        def step(self, x):
            self.calls += 1
            return self.loss(self.model(x)) + self.options["shift"]

    trainer = Trainer()
    step = wrap(trainer.step)
    for i, x in enumerate(inputs(20)):
        if i == 4:
            trainer.scale = 3.0
        if i == 8:
            trainer.model = nn.Linear(3, 2)
        if i == 12:
            trainer.options["shift"] = -1.0
        if i == 16:
            Trainer.power = 0.5
        yield bits(step(x))


@story
def members_of_slots_and_classes(wrap):
    class Slots:
        __slots__ = ("scale",)

    class Properties:
        _shift = 2.0

        @property
        def shift(self):
            return self._shift + 1.0

    slots, properties = Slots(), Properties()
    slots.scale = 3.0
    step = wrap(lambda x: x * slots.scale + properties.shift)
    for i, x in enumerate(inputs(12)):
        if i == 4:
            slots.scale = 5.0
        if i == 8:
            properties._shift = -1.0
        yield bits(step(x))


@story
def members_of_a_layer(wrap):
    class Layer(nn.Module):
        def __init__(self):
            self.scale, self.adds, self.act = 2.0, False, nn.LeakyReLU(0.1)

        def forward(self, x):
            y = self.act(x)
            return y + self.scale if self.adds else y * self.scale

    layer = Layer()
    step = wrap(lambda x: layer(x))
    for i, x in enumerate(inputs(16)):
        if i == 4:
            layer.scale = 5.0
        if i in (8, 14):
            layer.adds = not layer.adds
        if i == 11:
            layer.act.negative_slope = 0.5
        yield bits(step(x))


# ---- parameters and optimizers ----


@story
def bare_tensors_are_frozen_and_moved(wrap):
    v, w = (rv.tensor(ROWS[i], requires_grad=True) for i in range(2))
    opt = optim.SGD([v, w], lr=0.1, momentum=0.9)

    @wrap
    def step(x):
        opt.zero_grad()
        (v * v * w * x).sum().backward()
        opt.step()

    for i, x in enumerate(inputs(16)):
        if i in (4, 8):
            w.requires_grad = not w.requires_grad
        if i == 12:
            v.data = rv.tensor(ROWS[2]).data
        step(x)
        yield state(v, w)


@story
def a_group_is_added(wrap):
    model, w = net(), rv.tensor(ROWS[0], requires_grad=True)
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    @wrap
    def step(x):
        opt.zero_grad()
        w.grad = None
        squares(model, x * w).backward()
        opt.step()

    for i, x in enumerate(inputs(9)):
        if i == 4:
            opt.add_param_group({"params": [w], "lr": 0.05})
        step(x)
        yield state(w, *model.parameters())


@story
def hyper_parameters_and_loaded_states(wrap):
    model = net()
    opt = optim.AdamW(model.parameters(), lr=0.1)
    saved = copy.deepcopy((model.state_dict(), opt.state_dict()))

    @wrap
    def step(x):
        opt.zero_grad()
        squares(model, x).backward()
        opt.step()

    for i, x in enumerate(inputs(10)):
        opt.lr = 0.1 / (i + 1)
        if i == 4:
            opt.groups[0]["weight_decay"] = 0.3
        if i == 6:
            opt.groups[0]["beta1"] = 0.5
        if i == 8:
            model.load_state_dict(saved[0])
            opt.load_state_dict(saved[1])
        step(x)
        yield state(*model.parameters())


@story
def replaced_again_before_it_is_recorded(wrap):
    """What follows a change (state of an optimizer) is not recorded, however often it changes."""
    model = net()
    opt = optim.Adam(model.parameters())

    @wrap
    def step(x):
        opt.zero_grad()
        squares(model, x).backward()
        opt.step()

    for i, x in enumerate(inputs(18)):
        if i in (4, 5, 9, 10):
            opt = optim.SGD(model.parameters(), lr=0.01 * i, momentum=0.9)
        if i == 13:
            model[0].bias.data = rv.ones(4).data
        if i >= 14:  # the call after, in which Python runs as well
            model.to(rv.float64)
            x = x.to(rv.float64)
        step(x)
        yield state(*model.parameters()), [bits(t) for t in opt.state_dict().values()]


@story
def flags_of_layers(wrap):
    rv.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    opt = optim.SGD(model.parameters(), lr=0.1)

    @wrap
    def step(x):
        opt.zero_grad()
        loss = squares(model, x)
        loss.backward()
        opt.step()
        return loss

    for i, x in enumerate(inputs(24)):
        model.train(i not in (4, 5, 6, 7, 16))
        if i == 10:
            model[1].momentum = None
        if i == 13:
            model[1].weight.requires_grad = False
        if i == 18:
            model[2].p = 0.1
        if i == 20:
            rv.manual_seed(7)
        yield bits(step(x)), state(*model.parameters()), state(*model.buffers())


# ---- around steps ----


@story
def steps_inside_of_steps(wrap):
    model = net()
    opt = optim.Adam(model.parameters())

    @wrap
    def inner(x):
        opt.zero_grad()
        loss = squares(model, x)
        loss.backward()
        opt.step()
        return loss

    for x in inputs(4):
        yield bits(inner(x))
    outer = wrap(lambda x: inner(x) + inner(x * 2.0))
    for x in inputs(6):
        yield bits(outer(x)), state(*model.parameters())


@story
def settings_of_the_library(wrap):
    model = net()
    step = wrap(lambda x: squares(model, x))
    threads = rv.num_threads()
    try:
        for i, x in enumerate(inputs(12)):
            rv.set_num_threads(1 + i % 3)
            rv.set_matmul_precision("exact" if i % 4 < 2 else "highest")
            yield bits(step(x))
    finally:
        rv.set_num_threads(threads)
        rv.set_matmul_precision("highest")


@pytest.mark.parametrize("checked", [False, True], ids=["replayed", "checked"])
@pytest.mark.parametrize("tell", STORIES, ids=lambda f: f.__name__)
def test_captured_is_eager(tell, checked, monkeypatch):
    if checked:  # each replay is compared with an eager run from the same state
        monkeypatch.setenv("RANVIER_CHECK_CAPTURE", "1")
    eager = list(tell(lambda function: function))
    captured = list(tell(rv.capture))
    assert len(eager) == len(captured) > 3
    for i, (a, b) in enumerate(zip(eager, captured, strict=True)):
        assert a == b, f"differs at {i}"


def test_a_check_looks_at_gradients_too(monkeypatch):
    monkeypatch.setenv("RANVIER_CHECK_CAPTURE", "1")
    p, calls = rv.ones(3, requires_grad=True), [0]

    @rv.capture
    def step():
        calls[0] += 1  # recorded as a constant
        (p * float(calls[0])).sum().backward()

    for _ in range(2):
        p.grad = None
        step()
    p.grad = None
    with pytest.raises(rv.CaptureError, match="leave the gradients of the eager step"):
        step()


# ---- it is replayed all the same ----


def runs(tell):
    """How often Python ran in each call of a captured step, in order."""
    counts = []

    def wrap(function):
        def counted(*args):
            counts[-1] += 1
            return function(*args)

        step = rv.capture(counted)

        def call(*args):
            counts.append(0)
            return step(*args)

        return call

    for _ in tell(wrap):
        pass
    return counts


@pytest.mark.replays
@pytest.mark.parametrize(
    ("tell", "python"),
    [
        (gradients_forgotten_outside, [0, 1]),
        (the_update_alone_is_captured, [0, 1]),
        (gradients_accumulate_over_small_batches, [0, 1, 3]),  # also the start of a sum
        (parameters_as_arguments, [0, 1]),
        (arguments_are_changed_in_place, [0, 1]),
        (hyper_parameters_and_loaded_states, [0, 1]),
        (a_global_number, [0, 1, 4, 5]),  # the first value comes back, and its recording holds
    ],
    ids=lambda f: getattr(f, "__name__", ""),
)
def test_python_runs_only_where_it_must(tell, python):
    assert [i for i, n in enumerate(runs(tell)) if n] == python


@pytest.mark.replays
def test_train_and_eval_in_turn_are_both_replayed():
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    calls = []

    @rv.capture
    def step(x):
        calls.append(model.training)
        return model(x)

    for i, x in enumerate(inputs(20)):
        model.train(i % 2 == 0)
        step(x)
    assert len(calls) <= 5


# ---- what is refused ----


def test_a_tensor_bound_anew_is_refused():
    total = rv.zeros(3)

    @rv.capture
    def step(x):
        nonlocal total
        total = total + x.sum(dim=0)

    step(inputs(1)[0])
    before = total
    with pytest.raises(rv.CaptureError, match=r"'total' bound to another tensor - .*total\.copy_"):
        step(inputs(1)[0])
    assert total is before


def test_a_hidden_state_bound_anew_is_refused():
    class Memory(nn.Module):
        def __init__(self):
            self.state = rv.zeros(3)

        def forward(self, x):
            self.state = (self.state + x.sum(dim=0)).detach()
            return self.state

    step = rv.capture(Memory())
    step(inputs(1)[0])
    with pytest.raises(rv.CaptureError, match=r"self\.state' bound"):
        step(inputs(1)[0])


def test_what_is_no_function_is_refused():
    def numbers():
        yield 1

    with pytest.raises(TypeError, match="a function, got int - pass"):
        rv.capture(3)
    with pytest.raises(TypeError, match=r"a generator or coroutine.* - return a list"):
        rv.capture(numbers)


def test_a_method_of_an_instance_without_dict_is_refused():
    class Slots:
        __slots__ = ()

        @rv.capture
        def step(self, x):
            return x

    with pytest.raises(TypeError, match="got Slots with __slots__ - capture a function"):
        Slots().step(inputs(1)[0])


def test_backward_through_an_argument_is_refused():
    w = rv.ones(3, requires_grad=True)
    step = rv.capture(lambda x: x.sum().backward())
    for x in inputs(3):
        with pytest.raises(RuntimeError, match=r"gradients to end at the arguments .* - compute"):
            step(x * w)
    assert w.grad is None


@pytest.mark.replays
def test_backward_of_a_result_is_refused():
    w = rv.ones(3, requires_grad=True)
    step = rv.capture(lambda x: (x * w).sum())
    for x in inputs(2):
        step(x).backward()  # Python ran, so there is a graph
    with pytest.raises(RuntimeError, match=r"backward inside of the captured step.* - call"):
        step(inputs(1)[0]).backward()


@pytest.mark.replays
def test_what_always_differs_is_told_and_runs_eagerly(caplog):
    scale, calls = 0.0, []

    @rv.capture
    def step(x):
        calls.append(1)
        return x * scale

    with caplog.at_level(logging.WARNING, "ranvier"):
        for i, x in enumerate(inputs(40)):
            scale = float(i)
            assert bits(step(x)) == bits(x * float(i))
    assert len(calls) == 40
    assert len(caplog.records) == 1
    assert "step" in caplog.text
    assert "scale differs" in caplog.text


def test_a_search_for_nan_looks_into_captured_steps():
    step = rv.capture(lambda x: F.sqrt(x))
    for value in (1.0, 4.0, 9.0, -1.0):
        with rv.detect_anomaly():
            if value < 0:
                with pytest.raises(FloatingPointError, match="NaN in the forward pass"):
                    step(rv.tensor([value]))
            else:
                assert step(rv.tensor([value])).item() == value**0.5


# ---- methods ----


class Trainer:
    def __init__(self, scale):
        self.weight, self.calls = rv.tensor(scale), 0

    @rv.capture
    def step(self, x):
        """Scales."""
        self.calls += 1
        return x * self.weight


@pytest.mark.replays
def test_a_captured_method_belongs_to_its_instance():
    one, two = Trainer(2.0), Trainer(3.0)
    for x in inputs(5):
        assert bits(one.step(x)) == bits(x * 2.0)
        assert bits(two.step(x)) == bits(x * 3.0)
    assert one.calls == two.calls == 2
    assert one.step.__doc__ == "Scales."
    assert len(one.step.program) == 1
    other = copy.deepcopy(one)
    other.weight = rv.tensor(5.0)
    for x in inputs(5):
        assert bits(other.step(x)) == bits(x * 5.0)
        assert bits(one.step(x)) == bits(x * 2.0)
