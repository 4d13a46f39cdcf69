"""What modules carried over from PyTorch expect of ours: buffers, hooks, names, small layers."""

import copy
import math

import numpy as np
import pytest

import ranvier as rv
from ranvier import nn


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("scale", rv.tensor([2.0]))
        self.register_buffer("seen", rv.tensor(0), persistent=False)
        self.register_buffer("nothing", None)
        self.register_parameter("weight", nn.Parameter(rv.ones(1)))
        self.register_parameter("bias", None)
        self.add_module("inner", nn.Linear(1, 1))

    def forward(self, x):
        return self.inner(x) * self.scale * self.weight


def test_registered_members():
    net = Scaled()
    assert net.nothing is None
    assert net.bias is None
    assert list(net.state_dict()) == ["scale", "weight", "inner.weight", "inner.bias"]
    assert [n for n, _ in net.named_parameters(prefix="net", recurse=False)] == ["net.weight"]
    assert [n for n, _ in net.named_parameters("net")][-1] == "net.inner.bias"
    assert len(list(net.parameters(recurse=False))) == 1
    assert len(list(net.buffers())) == 2
    assert net.get_submodule("inner") is net.inner
    assert net.get_submodule("") is net
    assert net.get_parameter("inner.weight") is net.inner.weight
    assert net.get_buffer("scale") is net.scale
    with pytest.raises(AttributeError, match=r"Scaled has no module 'outer'"):
        net.get_submodule("outer")
    with pytest.raises(ValueError, match=r"\[Scaled\] expected a free name without dots"):
        net.register_buffer("forward", rv.ones(1))
    with pytest.raises(ValueError, match="free name"):
        net.add_module("a.b", nn.ReLU())
    with pytest.raises(TypeError, match=r"wrap it in nn\.Parameter"):
        net.register_parameter("other", rv.ones(1))
    with pytest.raises(TypeError, match=r"\[add_module\] expected a Module"):
        net.add_module("other", 3)


def test_conversions():
    net = Scaled()
    assert net.double().weight.dtype is rv.float64
    assert net.seen.dtype is rv.int64
    assert net.half().scale.dtype is rv.float16
    assert net.bfloat16().weight.dtype is rv.bfloat16
    assert net.float().cpu().weight.dtype is rv.float32


def test_hooks_see_and_replace():
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    seen = []
    after = net[0].register_forward_hook(lambda m, inputs, y: seen.append((m, inputs[0].shape)))
    before = net[1].register_forward_pre_hook(lambda m, inputs: inputs[0] * 0 - 1)
    last = net.register_forward_hook(lambda m, inputs, y: y + 5)
    assert net(rv.ones(3, 2)).tolist() == [[5.0, 5.0]] * 3
    assert seen == [(net[0], (3, 2))]
    for hook in (after, before, last):
        hook.remove()
        hook.remove()  # once more does no harm
    assert net(rv.ones(3, 2)).min().item() < 5
    assert len(seen) == 1
    with pytest.raises(TypeError, match="expected a function as hook"):
        net.register_forward_hook(3)


def test_hooks_are_no_state_and_follow_copies():
    net = nn.Linear(2, 2)
    net.register_forward_hook(lambda m, inputs, y: y * 0)
    assert list(net.state_dict()) == ["weight", "bias"]
    assert copy.deepcopy(net)(rv.ones(1, 2)).tolist() == [[0.0, 0.0]]


def test_a_captured_step_refuses_hooks():
    net = nn.Linear(2, 2)
    step = rv.capture(lambda x: net(x).sum())
    for _ in range(4):
        step(rv.ones(1, 2))
    seen = []
    hook = net.register_forward_hook(lambda m, inputs, y: seen.append(y))
    step(rv.ones(1, 2))  # run once eagerly before it is recorded again
    assert len(seen) == 1
    with pytest.raises(rv.CaptureError, match=r"\[Linear\] expected no hooks in a captured step"):
        step(rv.ones(1, 2))
    hook.remove()
    for _ in range(4):
        step(rv.ones(1, 2))
    assert len(seen) == 1


INPLACE = ["ReLU", "ReLU6", "LeakyReLU", "ELU", "CELU", "SELU", "SiLU", "Mish", "Hardtanh",
           "Hardsigmoid", "Hardswish", "Dropout"]  # fmt: skip


@pytest.mark.parametrize("name", INPLACE)
def test_inplace_may_be_said(name):
    x = rv.tensor([-1.0, 2.0])
    layer, plain = getattr(nn, name)(inplace=True).eval(), getattr(nn, name)().eval()
    assert layer(x).tolist() == plain(x).tolist()
    assert x.tolist() == [-1.0, 2.0]


def test_inplace_functions():
    x = rv.tensor([-1.0, 2.0])
    assert rv.nn.functional.relu(x, inplace=True).tolist() == [0.0, 2.0]
    assert rv.nn.functional.leaky_relu(x, 0.5, True).tolist() == [-0.5, 2.0]
    assert rv.nn.functional.dropout(x, 0.5, False, True).tolist() == x.tolist()


PADS = [
    ("ConstantPad1d", (1, 7.0), 1, {"constant_values": 7.0}), ("ZeroPad2d", ((1, 2, 0, 1),), 2, {}),
    ("ConstantPad3d", (1, -1.0), 3, {"constant_values": -1.0}),
    ("ReflectionPad1d", ((2, 1),), 1, {"mode": "reflect"}),
    ("ReflectionPad2d", (1,), 2, {"mode": "reflect"}),
    ("ReplicationPad2d", ((1, 0, 2, 0),), 2, {"mode": "edge"}),
    ("ReplicationPad3d", (1,), 3, {"mode": "edge"}),
    ("CircularPad2d", ((1, 1, 2, 0),), 2, {"mode": "wrap"}),
    ("ZeroPad1d", (2,), 1, {}), ("ZeroPad3d", (1,), 3, {}),
    ("CircularPad1d", (1,), 1, {"mode": "wrap"}),
    ("ReflectionPad3d", (1,), 3, {"mode": "reflect"}), ("CircularPad3d", (1,), 3, {"mode": "wrap"}),
    ("ReplicationPad1d", (3,), 1, {"mode": "edge"}),
    ("ConstantPad2d", (1, 0.5), 2, {"constant_values": 0.5}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "axes", "options"), PADS, ids=[p[0] for p in PADS])
def test_borders(name, arguments, axes, options):
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 6)[: axes + 2]).astype("f")
    given = arguments[0]
    sides = (given,) * (2 * axes) if isinstance(given, int) else given
    widths = [(0, 0), (0, 0)] + [sides[2 * i : 2 * i + 2] for i in reversed(range(axes))]
    layer = getattr(nn, name)(*arguments)
    np.testing.assert_array_equal(layer(rv.tensor(x)).numpy(), np.pad(x, widths, **options))
    assert str(sides) in repr(layer)
    with pytest.raises(ValueError, match=rf"\[{name}\] expected padding as one number or"):
        getattr(nn, name)((1, 2, 3), *arguments[1:])


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_dropout_of_whole_channels(axes):
    rv.manual_seed(0)
    layer = getattr(nn, f"Dropout{axes}d")(0.25)
    x = rv.ones(40, 50, *(3,) * axes)
    y = layer(x)
    channels = y.reshape(2000, -1)
    values = channels.amax(1)
    assert channels.amin(1).tolist() == values.tolist()
    assert {round(v, 4) for v in values.tolist()} == {0.0, round(4 / 3, 4)}
    dropped = (values == 0).sum().item() / 2000
    assert abs(dropped - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 2000)
    assert layer.eval()(x) is x
    with pytest.raises(ValueError, match=rf"\[Dropout{axes}d\] expected x of {axes + 2} axes"):
        layer.train()(rv.ones(3))


def test_small_layers():
    x = rv.tensor(np.random.default_rng(0).normal(size=(2, 4, 3, 3)).astype("f"))
    assert nn.Softmax2d()(x).tolist() == x.softmax(1).tolist()
    assert nn.Unflatten(1, (2, -1))(x).shape == (2, 2, 2, 3, 3)
    assert nn.Identity(5, anything=True)(x) is x
    with pytest.raises(ValueError, match="Softmax2d"):
        nn.Softmax2d()(x[0, 0])


def test_padding_index_of_embeddings():
    layer = nn.Embedding(5, 2, padding_idx=-2)
    assert layer.padding_idx == 3
    assert layer.weight[3].tolist() == [0.0, 0.0]
    indices = rv.tensor([[3, 1], [1, 0]])
    assert layer(indices).tolist() == layer.weight[indices].tolist()
    layer(indices).sum().backward()
    assert layer.weight.grad.tolist() == [[1.0, 1.0], [2.0, 2.0], *[[0.0, 0.0]] * 3]
    frozen = nn.Embedding.from_pretrained(rv.eye(3), padding_idx=1)
    assert not frozen.weight.requires_grad
    assert frozen(rv.tensor([1])).tolist() == [[0.0, 1.0, 0.0]]
    with pytest.raises(ValueError, match="padding_idx within the 5 rows"):
        nn.Embedding(5, 2, padding_idx=5)
    with pytest.raises(IndexError, match=r"\[embedding\] expected padding_idx within the 3 rows"):
        rv.nn.functional.embedding(rv.tensor([1]), rv.eye(3), 7)
