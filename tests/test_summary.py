"""summary: the counts of the course and of published tables, from shapes alone."""

import time

import numpy as np
import pytest

import ranvier as rv
from ranvier import functional as F
from ranvier import nn

# golden example G8: input, filter, stride, padding -> output
SIZES = [
    (4, 3, 1, 0, 2), (5, 3, 1, 1, 5), (5, 3, 1, 2, 7), (5, 3, 2, 0, 2), (5, 3, 2, 1, 3),
    (6, 3, 2, 1, 3), (7, 3, 1, 1, 7), (7, 3, 1, 0, 5), (7, 3, 2, 0, 3), (7, 3, 3, 0, 2),
]  # fmt: skip


@pytest.mark.parametrize(("n", "f", "s", "p", "out"), SIZES)
def test_g8_sizes(n, f, s, p, out):
    found = rv.summary(nn.Conv2d(1, 1, f, stride=s, padding=p), (1, 1, n, n))
    assert found.output_shape == (1, 1, out, out)
    fits = (n + 2 * p - f) % s == 0
    assert bool(found.notes) is not fits
    if p < f / 2:
        assert rv.summary(nn.MaxPool2d(f, s, p), (1, 1, n, n)).output_shape == (1, 1, out, out)


def test_g8_what_does_not_fit_is_noted():
    found = rv.summary(nn.Sequential({"conv": nn.Conv2d(1, 1, 3, stride=3)}), (1, 1, 7, 7))
    assert found.notes == [
        "conv: height and width 7 + padding 0 - window 3 is no multiple of stride 3: floored, the "
        "last 1 of the padded 7 unseen"
    ]
    assert found.notes[0] in str(found)
    ceil = nn.MaxPool2d(3, 3, ceil_mode=True)
    assert not rv.summary(ceil, (1, 1, 7, 7)).notes


def test_g8_colour_image_and_uneven_image():
    six = rv.summary(nn.Conv2d(3, 6, 5), (1, 3, 32, 32))
    assert six.output_shape == (1, 6, 28, 28)
    assert six.total_params == 6 * 3 * 25 + 6
    assert six.mult_adds == 28 * 28 * 6 * 3 * 25
    uneven = rv.summary(nn.Sequential(nn.Conv2d(1, 1, 5), nn.MaxPool2d(2)), (1, 1, 14, 13))
    assert [layer.output_shape for layer in uneven.layers] == [
        (1, 1, 5, 4), (1, 1, 10, 9), (1, 1, 5, 4),
    ]  # fmt: skip


def test_g8_three_stacked_3x3_see_7x7():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3))
    found = rv.summary(net, (1, 1, 20, 20))
    assert found.receptive_field == (7, 7)
    assert [layer.receptive_field for layer in found.layers[1:]] == [(3, 3), (3, 3), (5, 5), (7, 7)]


def test_lenet():
    net = rv.models.get("lenet")
    found = rv.summary(net)
    assert found.total_params == found.trainable_params == 61_706
    assert found.mult_adds == 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 48_000 + 10_080 + 840
    rows = {layer.name: layer for layer in found.layers}
    assert rows["c1"].output_shape == (1, 6, 28, 28)
    assert rows["s2"].output_shape == (1, 6, 14, 14)
    assert rows["c3"].output_shape == (1, 16, 10, 10)
    assert rows["s4"].output_shape == (1, 16, 5, 5)
    sees = {name: rows[name].receptive_field for name in ("c1", "s2", "c3", "s4", "c5", "output")}
    assert sees == {
        "c1": (5, 5), "s2": (6, 6), "c3": (14, 14), "s4": (16, 16), "c5": (32, 32),
        "output": (32, 32),
    }  # fmt: skip
    assert found.param_bytes == 4 * 61_706
    assert found.input_bytes == 4 * 32 * 32
    maps = 6 * 28 * 28 * 2 + 6 * 14 * 14 + 16 * 100 * 2 + 16 * 25
    copied = found.activation_bytes - 4 * (maps + 2 * (120 + 84) + 10)
    assert copied in (0, 4 * 400)  # Flatten copies where the maps lie channels-last
    assert "61,706" in str(found)
    assert "(1, 16, 5, 5)" in found.text
    assert not found.notes


def test_the_model_is_left_as_it_was():
    net = rv.models.get("lenet")
    net.c1.eval()
    net.f6.weight.requires_grad = False
    before = {name: (p.data, p.grad) for name, p in net.named_parameters()}
    found = rv.summary(net)
    assert found.trainable_params == 61_706 - 84 * 120
    for name, p in net.named_parameters():
        assert p.data is before[name][0]
        assert p.grad is None
    assert net.training
    assert not net.c1.training
    with pytest.raises(ValueError):
        rv.summary(net, (1, 3, 32, 32))
    assert net.c1.weight.device == "cpu"
    assert net.training


def test_functional_code_inside_forward():
    class Residual(nn.Module):
        def __init__(self):
            self.a, self.b = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x):
            return F.relu(self.b(F.relu(self.a(x))) + x)

    found = rv.summary(nn.Sequential(Residual(), nn.Conv2d(4, 2, 3)), (2, 4, 8, 8))
    assert found.output_shape == (2, 2, 6, 6)
    assert found.receptive_field == (7, 7)  # the longest branch
    assert [layer.name for layer in found.layers] == ["", "0", "0.a", "0.b", "1"]
    assert found.layers[1].mult_adds == 2 * (2 * 4 * 64) * 36
    assert found.layers[1].output_bytes == 0


def test_what_plain_functions_hide_is_not_guessed():
    class Hidden(nn.Module):
        def forward(self, x):
            return F.max_pool2d(x, 2)

    found = rv.summary(nn.Sequential(nn.Conv2d(1, 1, 3), Hidden()), (1, 1, 8, 8))
    assert found.layers[1].receptive_field == (3, 3)
    assert found.receptive_field is None


def test_repeated_and_unused_modules():
    class Twice(nn.Module):
        def __init__(self):
            self.fc = nn.Linear(3, 3)
            self.idle = nn.Linear(5, 5)

        def forward(self, x):
            return self.fc(self.fc(x))

    found = rv.summary(Twice(), (1, 3))
    assert found.total_params == 12 + 30
    assert found.mult_adds == 18
    assert [layer.repeated for layer in found.layers] == [False, False, True]
    assert [layer.params for layer in found.layers] == [42, 12, 0]
    assert found.notes == ["idle is never called, but has 30 parameters"]
    assert "again" in str(found)


def test_depth_sums_what_it_hides():
    net = nn.Sequential({"body": nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5))})
    found = rv.summary(net, (1, 3), depth=1)
    assert "0 (Linear)" not in str(found)
    (row,) = [line for line in str(found).splitlines() if "body (Sequential)" in line]
    assert row.split()[-2:] == ["41", "32"]
    assert "0 (Linear)" in str(rv.summary(net, (1, 3), depth=2))


def test_several_inputs_and_dtypes():
    class Two(nn.Module):
        def __init__(self):
            self.table = nn.Embedding(10, 4)

        def forward(self, words, bias):
            return self.table(words) + bias

    found = rv.summary(Two(), [(2, 7), (4,)], dtypes=[rv.int64, None])
    assert found.output_shape == (2, 7, 4)
    assert found.input_bytes == 2 * 7 * 8 + 16


def test_dropout_draws_nothing():
    rv.manual_seed(3)
    before = rv.get_rng_state()
    rv.summary(nn.Sequential(nn.Dropout(0.5)), (1, 3))
    assert str(rv.get_rng_state()) == str(before)


def test_kept_for_backward_is_what_the_graph_holds():
    net = nn.Sequential(nn.Linear(3, 5), nn.ReLU())
    found = rv.summary(net, (2, 3))
    x = rv.ones(2, 3)
    assert 4 * 10 <= found.saved_bytes <= 4 * 20 + 16  # the activation or its sign, and no weights
    assert net(x).shape == (2, 5)


def test_errors():
    with pytest.raises(ValueError, match=r"\[summary\] expected input_size"):
        rv.summary(nn.Linear(3, 4))
    with pytest.raises(TypeError, match="whole numbers"):
        rv.summary(nn.Linear(3, 4), (1.5, 3))
    net = nn.Sequential({"features": nn.Sequential(nn.Flatten(), nn.Linear(4096, 10))})
    with pytest.raises(
        ValueError, match=r"^Sequential\.features\.1 \(Linear\): .*did you mean Linear\(9216, 10\)"
    ):
        rv.summary(net, (1, 256, 6, 6))


def test_convolution_and_dense_at_a_million_pixels():
    class Sized(nn.Module):  # a layer of users' own, without weights that would fill the memory
        def mult_adds(self, inputs, output):
            return inputs[0].size * output.size

        def forward(self, x):
            return rv.empty(1, 10**6, device=x.device)

    assert rv.summary(Sized(), (1, 1000, 1000)).mult_adds == 10**12


def test_quick():
    net = rv.models.get("lenet")
    times = []
    for _ in range(5):
        start = time.perf_counter()
        rv.summary(net)
        times.append(time.perf_counter() - start)
    print(f"summary(lenet): {1e3 * np.min(times):.2f} ms")
