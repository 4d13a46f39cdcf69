"""Names of PyTorch: what runs under them, and what the error says where it cannot."""

import math

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier import cures, names


def matrix():
    return rv.tensor([[1.0, -2.0, 3.0], [0.5, 4.0, -6.0]])


def test_size_is_a_number_and_a_question():
    x = rv.ones(2, 3, 4)
    assert x.size == 24
    assert x.size() == (2, 3, 4)
    assert (x.size(0), x.size(-1)) == (2, 4)
    assert x.view(x.size(0), -1).shape == (2, 12)
    with pytest.raises(IndexError, match=r"\[size\] expected an axis from -3 to 2, got 3"):
        x.size(3)


def test_size_inside_a_captured_step():
    step = rv.capture(lambda x: x.view(x.size(0), -1) * x.size)
    for n in (2, 3, 2):
        for _ in range(4):
            assert step(rv.ones(n, 3, 4)).sum().item() == (n * 12) ** 2


def test_methods_that_ask():
    x = matrix()
    assert (x.dim(), x.ndimension(), x.numel(), x.nelement()) == (2, 2, 6, 6)
    assert (x.element_size(), x.itemsize, x.nbytes) == (4, 4, 24)
    assert x.is_floating_point()
    assert not x.is_cuda
    assert (x.stride(), x.stride(1)) == ((3, 1), 1)
    assert x.is_contiguous()
    assert not x.t().is_contiguous()
    assert rv.ones(1, 3).t().is_contiguous()
    assert x.type() == "float32"
    assert not hasattr(x, "register_hook")


def test_methods_that_give_tensors():
    x = matrix()
    assert x.t().tolist() == x.T.tolist() == x.mT.tolist()
    assert x.view_as(rv.ones(3, 2)).shape == x.reshape_as(rv.ones(3, 2)).shape == (3, 2)
    assert x.type_as(rv.arange(2)).dtype is rv.int64
    assert x.type(rv.float64).dtype is rv.float64
    assert x.select(1, 2).tolist() == [3.0, -6.0]
    assert x.narrow(1, 1, 2).tolist() == [[-2.0, 3.0], [4.0, -6.0]]
    assert x.new_zeros(2).tolist() == [0.0, 0.0]
    assert x.new_ones((1, 2)).tolist() == [[1.0, 1.0]]
    assert x.to(rv.float64).new_full((1,), 3).dtype is rv.float64
    assert rv.arange(3).new_tensor([1.0]).dtype is rv.int64
    assert x.addmm(x, rv.eye(3)).tolist() == (x * 2).tolist()
    with pytest.raises(IndexError, match=r"\[narrow\] expected places within an axis of 3, got 3"):
        x.narrow(1, 1, 3)
    with pytest.raises(IndexError, match=r"\[select\] expected an axis from -2 to 1, got 2"):
        x.select(2, 0)
    with pytest.raises(ValueError, match=r"\[t\] expected at most 2 axes"):
        rv.ones(1, 1, 1).t()


def test_functions():
    x = matrix()
    assert rv.mul(x, 2).tolist() == (x * 2).tolist()
    assert rv.add(x, x, alpha=3).tolist() == (x * 4).tolist()
    assert x.sub(x, alpha=0.5).tolist() == (x * 0.5).tolist()
    sevens = rv.tensor([7, -7])
    assert rv.div(sevens, 2).tolist() == [3.5, -3.5]
    assert rv.div(sevens, 2, rounding_mode="floor").tolist() == [3, -4]
    assert sevens.div(2, rounding_mode="trunc").tolist() == [3, -3]
    with pytest.raises(ValueError, match="rounding_mode"):
        rv.div(sevens, 2, rounding_mode="up")
    odd = rv.tensor([1.0, math.inf, -math.inf, math.nan])
    assert rv.isinf(odd).tolist() == [False, True, True, False]
    assert rv.isclose(odd, odd).tolist() == [True, True, True, False]
    assert rv.allclose(odd, odd, equal_nan=True)
    assert not rv.allclose(odd[:2], rv.tensor([1.0, 5.0]))
    assert not rv.allclose(rv.tensor([5.0]), rv.tensor([math.inf]))
    assert rv.count_nonzero(x > 0, 1).tolist() == [2, 2]
    assert rv.hstack([x, x]).shape == (2, 6)
    assert rv.hstack([x[0], x[1]]).shape == (6,)
    assert rv.vstack([x[0], x]).shape == (3, 3)
    assert rv.numel(x) == 6
    assert rv.is_tensor(x)
    assert not rv.is_tensor(1)
    assert rv.ravel(x).shape == (6,)
    assert rv.as_tensor(x) is x or rv.as_tensor(x).data.storage_id == x.data.storage_id
    assert rv.as_tensor([1, 2], dtype=rv.float64).dtype is rv.float64
    assert rv.as_tensor(x, dtype=rv.float64).dtype is rv.float64
    assert (rv.long, rv.float, rv.double) == (rv.int64, rv.float32, rv.float64)
    assert rv.finfo(rv.float32).max == np.finfo("f4").max
    assert rv.iinfo(rv.int32).max == 2**31 - 1
    with pytest.raises(TypeError, match="bfloat16"):
        rv.finfo(rv.bfloat16)
    with rv.set_grad_enabled(False):
        assert not rv.is_grad_enabled()
    with rv.inference_mode(), rv.set_grad_enabled(True):
        assert rv.is_grad_enabled()


def test_alpha_has_a_gradient():
    a, b = rv.ones(2, requires_grad=True), rv.ones(2, requires_grad=True)
    (rv.add(a, b, alpha=3) + rv.subtract(a, b, alpha=5)).sum().backward()
    assert (a.grad.tolist(), b.grad.tolist()) == ([2.0, 2.0], [-2.0, -2.0])


@pytest.mark.parametrize("name", sorted(names.ALIASES))
def test_an_alias_is_the_function(name):
    assert getattr(rv, name) is getattr(F, names.ALIASES[name])
    assert name in dir(rv)


IN_PLACE = [
    ("abs", ()), ("clamp", (-1.0, 1.0)), ("exp", ()), ("neg", ()), ("relu", ()), ("sigmoid", ()),
    ("pow", (2,)), ("square", ()), ("tril", ()), ("round", ()), ("mul", (3.0,)), ("sub", (1.0,)),
    ("div", (2.0,)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments"), IN_PLACE, ids=[n for n, _ in IN_PLACE])
def test_in_place(name, arguments):
    x = matrix()
    expected, memory = getattr(x, name)(*arguments).tolist(), x.data.storage_id
    assert getattr(x, name + "_")(*arguments) is x
    assert x.tolist() == expected
    assert x.data.storage_id == memory


def test_in_place_with_tensors():
    x = matrix()
    x.add_(matrix(), alpha=-1)
    assert x.tolist() == rv.zeros(2, 3).tolist()
    x.masked_fill_(matrix() > 0, 7.0)
    assert x.tolist() == [[7.0, 0.0, 7.0], [7.0, 7.0, 0.0]]
    x.scatter_(1, rv.tensor([[0], [1]]), 9.0)
    assert x.tolist() == [[9.0, 0.0, 7.0], [7.0, 9.0, 0.0]]
    x.index_add_(0, rv.tensor([0, 0]), rv.ones(2, 3))
    assert x.tolist() == [[11.0, 2.0, 9.0], [7.0, 9.0, 0.0]]


def test_in_place_refuses_what_its_memory_cannot_hold():
    with pytest.raises(TypeError, match=r"\[sqrt_\] expected a result of dtype int64"):
        rv.arange(3).sqrt_()
    with pytest.raises(ValueError, match=r"\[pow_\] expected a result of shape \(2,\)"):
        rv.ones(2).pow_(rv.ones(3, 2))
    w = rv.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"\[exp_\] .*no_grad"):
        w.exp_()
    y = w * 2
    z = y.sigmoid()
    with rv.no_grad(), pytest.raises(RuntimeError, match="without history"):
        y.exp_()
    z.sum().backward()


def test_a_saved_value_that_changed_in_place_is_noticed():
    w, x = rv.ones(2, requires_grad=True), rv.ones(2)
    y = (w * x).sum()
    x.clamp_(max=0.5)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


MODULES = ["ranvier", "ranvier.autograd", "ranvier.data", "ranvier.functional", "ranvier.nn",
           "ranvier.nn.utils", "ranvier.optim"]  # fmt: skip


def test_every_module_with_cures_is_tried():
    assert sorted(cures.CURES) == sorted(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_cures_of_what_is_not_there(module):
    """A name with a cure must not exist; a name without one raises all the same."""
    import importlib

    found = importlib.import_module(module)
    for name, cure in {**cures.CURES[module], "nonsense": ""}.items():
        assert not hasattr(found, name)
        with pytest.raises(AttributeError) as caught:
            getattr(found, name)
        assert cure in str(caught.value)
        assert f"{module!r} has no attribute {name!r}" in str(caught.value)


def test_the_paths_of_imports():
    import ranvier.nn.functional as NF
    from ranvier.optim.lr_scheduler import StepLR

    assert StepLR is rv.optim.lr_scheduler.StepLR
    assert NF.conv2d is F.conv2d
    assert set(vars(NF)) >= {name for name in vars(F) if not name.startswith("_")}


def test_data_is_an_array_and_says_so():
    layer = rv.nn.Linear(2, 2)
    with pytest.raises(AttributeError, match=r"'zero_' is not there - .*leave \.data out"):
        layer.weight.data.zero_()
    with pytest.raises(TypeError, match=r"leave \.data out"):
        rv.nn.init.normal_(layer.weight.data)
    with pytest.raises(TypeError, match=r"\[dropout\] .*leave \.data out"):
        F.dropout(layer.weight.data)
    layer.weight.data = rv.ones(2, 2)
    with pytest.raises(TypeError, match=r"\[linear\] expected x\.data .*copy_"):
        layer(rv.ones(1, 2))


def test_code_without_a_module_name():
    """`exec` over a bare dict has no `__name__`, which errors once asked for."""
    with pytest.raises(ValueError, match=r"\[mse_loss\] expected a target"):
        exec("F.mse_loss(rv.ones(3, 4), rv.ones(4))", {"F": F, "rv": rv})


def test_tab_completion_shows_what_people_type():
    shown = dir(rv)
    assert not [n for n in shown if n.startswith("_") and not n.startswith("__")]
    assert not {"guards", "watch", "bytecode", "values", "cures", "names"} & set(shown)
    assert {"nn", "optim", "data", "train", "io", "tensor", "Tensor", "matmul", "capture"} <= {
        *shown
    }
    assert all(hasattr(rv, name) for name in shown)


def test_objects_say_what_they_are():
    optimizer = rv.optim.SGD(rv.nn.Linear(2, 2).parameters(), lr=0.5)
    schedules = rv.optim.lr_scheduler
    texts = {
        rv.zeros(2, 0): "tensor([], shape=(2, 0))",
        rv.zeros(0): "tensor([])",
        schedules.StepLR(optimizer, 3): (
            "StepLR(step_size=3, gamma=0.1, base_lrs=[0.5], last_epoch=0)"
        ),
        rv.train.EarlyStopping(patience=3): (
            "EarlyStopping(monitor='val_loss', patience=3, restore_best=True)"
        ),
        rv.train.JSONLLogger("a b.jsonl"): "JSONLLogger(path='a b.jsonl', every_steps=None)",
    }  # fmt: skip
    for thing, text in texts.items():
        assert repr(thing) == text
    assert repr(schedules.ReduceLROnPlateau(optimizer)).startswith("ReduceLROnPlateau(mode='min', ")

    @rv.capture
    def double(x):
        return x + x

    assert repr(double) == "CapturedStep(double, 0 recordings)"
    for _ in range(3):
        double(rv.ones(1))
    assert repr(double) == "CapturedStep(double, 1 recording)"


def test_every_method_of_a_tensor_is_described():
    names = [n for n in dir(rv.Tensor) if not n.startswith("_") and hasattr(rv.Tensor, n)]
    methods = {n: getattr(rv.Tensor, n) for n in names if n not in ("data", "grad", "node")}
    assert len(methods) > 200
    assert [n for n, method in methods.items() if not (method.__doc__ or "").strip()] == []


def test_the_path_of_pytorchs_functions_has_the_same_cures():
    import ranvier.nn.functional as torchs

    assert torchs.relu is F.relu
    with pytest.raises(AttributeError, match="softmax"):
        torchs.scaled_dot_product_attention  # noqa: B018 - the access is the test
