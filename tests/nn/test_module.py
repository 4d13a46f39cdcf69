"""Module: what it finds, how it moves, saves, copies and complains."""

import copy
import pickle

import numpy as np
import pytest

import ranvier as rv
from ranvier import nn


class Scale(nn.Module):
    def __init__(self, *shape):
        self.factor = nn.Parameter(np.full(shape or (3,), 2.0, np.float32))
        self.calls = nn.Buffer(np.zeros((), np.int64))

    def forward(self, x):
        return x * self.factor


class Deep(nn.Module):
    def __init__(self):
        self.first = Scale(3)
        self.many = [Scale(3), Scale(3)]
        self.named = {"left": Scale(3)}
        self.offset = nn.Parameter(np.zeros(3, np.float32))
        self.label = "plain attributes are left alone"

    def forward(self, x):
        for part in (self.first, *self.many, self.named["left"]):
            x = part(x)
        return x + self.offset


def names(pairs):
    return [name for name, _ in pairs]


def test_names_follow_the_attributes():
    net = Deep()
    assert names(net.named_parameters()) == [
        "offset", "first.factor", "many.0.factor", "many.1.factor", "named.left.factor",
    ]  # fmt: skip
    assert names(net.named_modules()) == ["", "first", "many.0", "many.1", "named.left"]
    assert names(net.named_children()) == ["first", "many.0", "many.1", "named.left"]
    assert names(net.named_buffers())[0] == "first.calls"
    assert len(list(net.parameters())) == 5
    assert len(list(net.buffers())) == 4
    assert all(p.requires_grad for p in net.parameters())


def test_forward_and_gradient():
    net = Deep()
    x = rv.tensor([1.0, 2.0, 3.0])
    y = net(x)
    assert y.tolist() == [16.0, 32.0, 48.0]
    y.backward(rv.ones(3))
    assert net.offset.grad.tolist() == [1.0, 1.0, 1.0]
    assert net.first.factor.grad.tolist() == [8.0, 16.0, 24.0]


def test_no_call_of_the_base_constructor_is_needed():
    assert Scale().training is True
    assert names(Scale().named_parameters()) == ["factor"]


def test_attributes_assigned_later_count():
    net = Scale()
    net.extra = nn.Parameter([1.0])
    assert names(net.named_parameters()) == ["factor", "extra"]
    del net.extra
    assert names(net.named_parameters()) == ["factor"]


def test_shared_parameters_appear_once():
    net = nn.Sequential(Scale(3), Scale(3))
    net[1].factor = net[0].factor
    assert names(net.named_parameters()) == ["0.factor"]
    assert "1.factor" not in net.state_dict()
    state = {**net.state_dict(), "1.factor": rv.ones(3)}  # files of others hold both names
    net.load_state_dict(state)
    assert net[1].factor is net[0].factor


def test_a_module_used_twice_appears_once():
    part = Scale(3)
    net = nn.Sequential(part, part)
    assert names(net.named_parameters()) == ["0.factor"]
    assert net(rv.ones(3)).tolist() == [4.0] * 3


def test_cycles_end():
    net = Deep()
    net.first.parent = net
    assert len(list(net.parameters())) == 5
    assert len(net.state_dict()) == 9
    net.load_state_dict(net.state_dict())


def test_train_and_eval_reach_everything():
    net = Deep()
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())


def test_freezing_and_zero_grad():
    net = Deep()
    net(rv.ones(3)).backward(rv.ones(3))
    net.zero_grad(set_to_none=False)
    assert net.offset.grad.tolist() == [0.0] * 3
    net.zero_grad()
    assert net.offset.grad is None
    net.requires_grad_(False)
    assert not net(rv.ones(3)).requires_grad


def test_apply_visits_children_first():
    seen = []
    net = nn.Sequential(nn.Sequential(Scale()), Scale())
    net.apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Scale", "Scale", "Sequential", "Sequential"]


def test_to_dtype_keeps_the_objects():
    net = Deep()
    before = list(net.parameters())
    net(rv.ones(3)).backward(rv.ones(3))
    assert net.to(rv.float64) is net
    assert all(a is b for a, b in zip(net.parameters(), before, strict=True))
    assert {p.dtype for p in net.parameters()} == {rv.float64}
    assert net.offset.grad.dtype is rv.float64
    assert net.first.calls.dtype is rv.int64  # integers stay
    assert net.first.factor.tolist() == [2.0] * 3


def test_to_meta_and_not_back():
    net = Deep().to("meta")
    assert net.offset.device == "meta"
    with pytest.raises(TypeError, match="no memory"):
        net.to("cpu")
    with pytest.raises(TypeError, match="floating dtype"):
        net.to(rv.int64)
    with pytest.raises(TypeError, match=r"\[device\]"):
        net.to("gpu")


def test_state_dict_shares_memory_and_loads_in_place():
    net = Deep()
    state = net.state_dict()
    assert list(state)[:2] == ["offset", "first.factor"]
    assert not state["offset"].requires_grad
    kept = copy.deepcopy(state)
    parameter, memory = net.offset, net.offset.data.data_ptr
    kept["offset"] = np.array([1.0, 2.0, 3.0])  # float64 arrays are converted
    net.load_state_dict(kept)
    assert net.offset is parameter
    assert net.offset.data.data_ptr == memory
    assert state["offset"].tolist() == [1.0, 2.0, 3.0]


def test_buffers_that_are_not_kept():
    net = Scale()
    net.scratch = nn.Buffer([1.0], persistent=False)
    assert "scratch" not in net.state_dict()
    assert "scratch" in dict(net.named_buffers())


def test_load_state_dict_names_what_is_wrong_and_writes_nothing():
    net = Deep()
    state = copy.deepcopy(net.state_dict())
    state["offset"].fill_(5)
    del state["first.factor"]
    state["many.7.factor"] = rv.ones(3)
    with pytest.raises(ValueError) as error:
        net.load_state_dict(state)
    text = str(error.value)
    assert "missing first.factor" in text
    assert "unexpected many.7.factor" in text
    assert "strict=False" in text
    assert net.offset.tolist() == [0.0] * 3
    found = net.load_state_dict(state, strict=False)
    assert found == (["first.factor"], ["many.7.factor"])
    assert net.offset.tolist() == [5.0] * 3


def test_load_state_dict_refuses_other_shapes_always():
    net = Deep()
    state = {"offset": np.zeros((3, 1))}
    with pytest.raises(ValueError, match=r"of another shape offset \(3, 1\) \(model \(3,\)\)"):
        net.load_state_dict(state, strict=False)


def test_load_state_dict_suggests_to_remove_a_prefix():
    net = Deep()
    state = {"module." + name: value for name, value in net.state_dict().items()}
    with pytest.raises(ValueError, match=r"remove 'module\.' from the names"):
        net.load_state_dict(state)


def test_load_state_dict_says_what_to_pass_instead():
    model = nn.Linear(2, 3)
    with pytest.raises(TypeError, match=r"got Linear - pass its state_dict\(\)"):
        model.load_state_dict(model)
    with pytest.raises(TypeError, match="got str - read the file with load first"):
        model.load_state_dict("model.safetensors")
    with pytest.raises(TypeError, match=r"got NoneType - pass what state_dict\(\) gave"):
        model.load_state_dict(None)
    with pytest.raises(ValueError, match=r"unexpected model, epoch - pass its part 'model'$"):
        model.load_state_dict({"model": model.state_dict(), "epoch": 3})


@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
def test_copies_are_complete_and_apart(clone):
    net = Deep().eval()
    net.many[1].factor = net.first.factor
    net.first.scratch = nn.Buffer([1.0], persistent=False)
    net.offset.requires_grad = False
    other = clone(net)
    assert other.many[1].factor is other.first.factor
    assert isinstance(other.first.factor, nn.Parameter)
    assert not other.training
    assert not other.offset.requires_grad
    assert not other.first.scratch.persistent
    with rv.no_grad():
        other.first.factor.fill_(9)
    assert net.first.factor.tolist() == [2.0] * 3
    assert net(rv.ones(3)).tolist() == [16.0] * 3


def test_text_is_a_tree():
    net = nn.Sequential({"part": Scale(), "rest": nn.Sequential(Scale())})
    assert repr(net) == (
        "Sequential(\n  part: Scale()\n  rest: Sequential(\n    0: Scale()\n  )\n)"
    )


def test_errors_name_the_path():
    class Net(nn.Module):
        def __init__(self):
            self.features = nn.Sequential(Scale(), nn.ModuleDict({"a": Scale()}))
            self.blocks = [Scale(4)]

        def forward(self, x, where):
            return self.features[1]["a"](x) if where else self.blocks[0](x)

    net = nn.Sequential({"net": Net()})
    net.forward = lambda x, where: net[0](x, where)
    with pytest.raises(ValueError, match=r"^Sequential\.net\.blocks\.0 \(Scale\): \[multiply\] "):
        net(rv.ones(3), False)
    with pytest.raises(ValueError, match=r"^Sequential\.net\.features\.1\.a \(Scale\): \[multi"):
        net(rv.ones(7), True)
    with pytest.raises(TypeError, match=r"^Sequential\.net\.blocks\.0 \(Scale\): "):
        net("text", False)


def test_errors_of_a_lone_layer_and_of_other_kinds_are_left_alone():
    class Broken(nn.Module):
        def forward(self, x):
            return {}[x]

    with pytest.raises(KeyError) as error:
        nn.Sequential(Broken())("key")
    assert error.value.args == ("key",)
    with pytest.raises(ValueError, match=r"^\[multiply\]"):
        Scale(3)(rv.ones(4))


def test_a_module_without_forward_says_so():
    with pytest.raises(TypeError, match=r"\[Empty\] expected the class to define forward"):
        type("Empty", (nn.Module,), {})()(1)


def test_a_captured_step_sees_modes():
    class Switch(nn.Module):
        def forward(self, x):
            return x * 2 if self.training else x * 3

    net = nn.Sequential(Switch())
    step = rv.capture(lambda x: net(x))
    x = rv.ones(1)
    assert [step(x).item() for _ in range(4)] == [2.0] * 4
    net.eval()
    assert [step(x).item() for _ in range(3)] == [3.0] * 3
    net.train()
    assert [step(x).item() for _ in range(3)] == [2.0] * 3


def test_a_captured_step_sees_moves_and_loads():
    net = nn.Sequential(Scale(1))
    step = rv.capture(lambda x: net(x))
    x = rv.ones(1)
    for _ in range(3):
        assert step(x).item() == 2.0
    net.load_state_dict({"0.factor": [5.0], "0.calls": 0})
    assert step(x).item() == 5.0
    net.to(rv.float64)
    assert step(x).dtype is rv.float64


def test_observers_see_calls_nested():
    class Log:
        def __init__(self):
            self.lines = []

        def enter(self, module, inputs):
            self.lines.append(f"+{type(module).__name__}")

        def leave(self, module, inputs, output):
            self.lines.append(f"-{type(module).__name__} {output.shape}")

    log = Log()
    with nn.observe(log):
        nn.Sequential(Scale())(rv.ones(2, 3))
    Scale()(rv.ones(3))
    assert log.lines == ["+Sequential", "+Scale", "-Scale (2, 3)", "-Sequential (2, 3)"]


def test_parameter_from_many_things():
    t = rv.ones(3)
    p = nn.Parameter(t)
    assert p.data is t.data
    assert p.requires_grad
    assert not t.requires_grad
    assert nn.Parameter([1.0, 2.0]).shape == (2,)
    assert not nn.Parameter([1, 2], requires_grad=False).requires_grad
    with pytest.raises(TypeError, match="floating dtype"):
        nn.Parameter([1, 2])
