"""Models by name: counts, shapes, options, errors."""

import pytest

import ranvier as rv


def parameters(model):
    return sum(p.size for p in model.parameters())


def test_lenet_has_the_parameters_of_the_course():
    net = rv.models.get("lenet")
    assert parameters(net) == 61_706
    sizes = [
        sum(p.size for p in part.parameters())
        for part in (net.c1, net.c3, net.c5, net.f6, net.output)
    ]
    assert sizes == [156, 2_416, 48_120, 10_164, 850]


def test_lenet_options():
    net = rv.models.get("LeNet", classes=3, in_channels=3, activation="tanh", pooling="avg")
    assert parameters(net) == 61_706 + 2 * 25 * 6 - 7 * 85
    assert type(net.act).__name__ == "Tanh"
    assert type(net.s2).__name__ == "AvgPool2d"
    assert rv.summary(net).output_shape == (1, 3)


def test_mlp_names_and_sizes():
    net = rv.models.get("mlp", sizes=(64, 32, 16, 10), activation="sigmoid", dropout=0.5)
    assert [name for name, _ in net.named_children()] == [
        "flatten", "fc1", "act1", "drop1", "fc2", "act2", "drop2", "fc3",
    ]  # fmt: skip
    assert parameters(net) == 65 * 32 + 33 * 16 + 17 * 10
    assert rv.models.names() == sorted(rv.models.names())
    assert {"lenet", "mlp"} <= set(rv.models.names())
    assert rv.models.options("mlp") == {
        "sizes": (1024, 128, 10),
        "activation": "relu",
        "dropout": 0.0,
    }


def test_forward():
    x = rv.ones(2, 1, 32, 32)
    assert rv.models.get("lenet")(x).shape == (2, 10)
    assert rv.models.get("mlp")(x).shape == (2, 10)
    assert rv.models.get("lenet")(rv.ones(0, 1, 32, 32)).shape == (0, 10)


def test_errors():
    with pytest.raises(
        ValueError, match=r"\[model\] expected one of .*lenet.*did you mean 'lenet'\?"
    ):
        rv.models.get("lennet")
    with pytest.raises(
        TypeError, match=r"\[lenet\] .*got 'activaton' - did you mean 'activation'\?"
    ):
        rv.models.get("lenet", activaton="relu")
    with pytest.raises(TypeError, match=r"got 'zzz' - leave it out"):
        rv.models.get("lenet", zzz=1)
    with pytest.raises(ValueError, match=r"\[activation\] .*got 'rel' - did you mean 'relu'\?"):
        rv.models.get("lenet", activation="rel")
    with pytest.raises(ValueError, match="inputs and outputs"):
        rv.models.get("mlp", sizes=[3])
