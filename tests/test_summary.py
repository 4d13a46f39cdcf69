"""The description of a model: the counts of the papers, the arithmetic of windows, and no work."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier import functional as F
from ranvier import models, nn
from ranvier.summary import summary


def test_lenet_layer_by_layer() -> None:
    report = summary(models.get("lenet"), (1, 1, 32, 32))
    assert report.parameters == report.trainable == 61_706
    # 28^2 6 25 + 10^2 16 150 + 400 120 + 120 84 + 84 10
    assert report.mult_adds == 117_600 + 240_000 + 48_000 + 10_080 + 840
    shapes = [row.output for row in report.rows if row.kind in ("Conv2d", "MaxPool2d", "Linear")]
    assert shapes == [
        (1, 6, 28, 28), (1, 6, 14, 14), (1, 16, 10, 10), (1, 16, 5, 5), (1, 120), (1, 84), (1, 10),
    ]  # fmt: skip
    fields = [row.receptive_field for row in report.rows if row.kind in ("Conv2d", "MaxPool2d")]
    assert fields == [(5, 5), (6, 6), (14, 14), (16, 16)]
    assert report.receptive_field == (16, 16)
    assert report.notes == []
    for text in ("61,706", "416,520", "1 x 16 x 5 x 5", "14 x 14", "c3 (Conv2d)"):
        assert text in str(report)


@pytest.mark.parametrize(
    ("n", "kernel", "stride", "padding", "wanted", "fits"),
    [  # golden example G8: input, filter, stride, padding -> output
        (4, 3, 1, 0, 2, True),
        (5, 3, 1, 1, 5, True),
        (5, 3, 1, 2, 7, True),
        (5, 3, 2, 0, 2, True),
        (5, 3, 2, 1, 3, True),
        (6, 3, 2, 1, 3, False),
        (7, 3, 1, 1, 7, True),
        (7, 3, 1, 0, 5, True),
        (7, 3, 2, 0, 3, True),
        (7, 3, 3, 0, 2, False),
    ],
)
def test_output_sizes_and_what_does_not_fit(
    n: int, kernel: int, stride: int, padding: int, wanted: int, fits: bool
) -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, kernel, stride, padding))
    report = summary(net, (1, 1, n, n))
    assert report.rows[1].output == (1, 1, wanted, wanted)
    assert (not report.notes) == fits
    if not fits:
        assert f"the output size {wanted} is rounded down" in report.notes[0]
        assert "0 (Conv2d)" in report.notes[0]
        assert f"note: {report.notes[0]}" in report.text


def test_rectangles_and_depth() -> None:
    report = summary(nn.Sequential(nn.Conv2d(3, 6, 5), nn.MaxPool2d(2)), (1, 3, 14, 13))
    assert [row.output for row in report.rows] == [(1, 6, 5, 4), (1, 6, 10, 9), (1, 6, 5, 4)]
    assert len(report.notes) == 1  # 9 columns in pairs
    assert "9 columns" in report.notes[0]
    deep = nn.Sequential(*[nn.Conv2d(8, 8, 3, padding=1) for _ in range(3)])
    assert summary(deep, (1, 8, 20, 20)).receptive_field == (7, 7)  # golden example G8


def test_strides_and_dilation_widen_the_field() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, stride=2), nn.Conv2d(2, 2, 3, dilation=2), nn.AvgPool2d(2, 1)
    )
    fields = [row.receptive_field for row in summary(net, (1, 1, 33, 33)).rows[1:]]
    assert fields == [(3, 3), (11, 11), (13, 13)]


class Branches(nn.Module):
    """A residual block: the longest path sees the most."""

    def __init__(self) -> None:
        self.a = nn.Conv2d(4, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.c = nn.Conv2d(4, 4, 1)

    def forward(self, x: Any) -> Any:
        return self.c(F.relu(x + self.b(F.relu(self.a(x)))))


def test_paths_that_join() -> None:
    report = summary(Branches(), (2, 4, 8, 8))
    assert [row.name for row in report.rows] == ["", "a", "b", "c"]
    assert report.receptive_field == (5, 5)
    assert report.rows[0].output == (2, 4, 8, 8)


class Shared(nn.Module):
    def __init__(self) -> None:
        self.layer = nn.Linear(4, 4)
        self.never = nn.Linear(2, 2)

    def forward(self, x: Any) -> Any:
        return self.layer(self.layer(x))


def test_a_layer_used_twice_counts_once_and_costs_twice() -> None:
    report = summary(Shared(), (3, 4))
    assert report.parameters == 20 + 6
    assert [row.parameters for row in report.rows] == [0, 20, 0]
    assert report.mult_adds == 2 * 3 * 16
    assert "(shared)" in report.text
    assert "6 parameters belong to modules that were not called" in report.notes[0]


def test_frozen_parameters() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    next(net.children()).requires_grad_(False)
    report = summary(net, (1, 4))
    assert (report.parameters, report.trainable) == (23, 8)
    assert "23 (15 frozen)" in report.text


def test_memory() -> None:
    report = summary(nn.Sequential(nn.Linear(256, 512, bias=False), nn.ReLU()), (2, 256))
    assert report.activation_bytes == 2 * 2 * 512 * 4
    assert "parameters 512.0 KiB, activations 8.0 KiB" in report.text


def test_nothing_is_touched() -> None:
    rv.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(72, 3))
    next(net.children()).eval()
    before = {name: value.numpy().tobytes() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    summary(net, (1, 1, 8, 8))
    with pytest.raises(ValueError, match="Linear"):
        summary(net, (1, 1, 9, 9))
    after = {name: value.numpy().tobytes() for name, value in net.state_dict().items()}
    assert before == after
    assert [module.training for module in net.modules()] == modes
    assert str(next(net.parameters()).device) == "cpu"


def test_what_would_not_fit_into_memory() -> None:
    net = nn.Conv2d(3, 100, 1)
    report = summary(net, (1, 3, 10**6, 10**6))
    assert report.mult_adds == 3 * 10**14
    assert report.activation_bytes == 4 * 10**14
    assert "GiB" in report.text


def test_depth_adds_up_what_it_hides() -> None:
    net = nn.Sequential(models.get("lenet"), nn.Linear(10, 2))
    report = summary(net, (1, 1, 32, 32), depth=1)
    lines = report.text.splitlines()
    assert len([line for line in lines if line.startswith("  ")]) == 2
    assert "61,706" in lines[3]
    assert "416,520" in lines[3]


def test_json() -> None:
    values = summary(nn.Linear(4, 2), (1, 4)).to_json()
    assert values["parameters"] == 10
    assert values["layers"][0] == {
        "name": "", "kind": "Linear", "output": [1, 2], "parameters": 10, "mult_adds": 8,
        "receptive_field": None,
    }  # fmt: skip


def test_several_inputs_and_other_dtypes() -> None:
    class Two(nn.Module):
        def forward(self, a: Any, b: Any) -> Any:
            return a + b

    assert summary(Two(), [(2, 3), (2, 3)]).rows[0].output == (2, 3)
    assert summary(nn.Embedding(10, 4), (2, 5), dtype=rv.int64).rows[0].output == (2, 5, 4)


@pytest.mark.parametrize("size", [3, (), "big", (1, -3), [[1, "x"]], None])
def test_refusals(size: Any) -> None:
    with pytest.raises(ValueError, match=r"input_size such as \(1, 3, 224, 224\)"):
        summary(nn.Linear(4, 2), size)


def test_the_failing_layer_is_named() -> None:
    with pytest.raises(ValueError, match=r"c5|flatten|c1|Conv2d"):
        summary(models.get("lenet"), (1, 3, 32, 32))


def test_agrees_with_a_real_run() -> None:
    net = models.get("lenet")
    x = rv.tensor(np.zeros((3, 1, 32, 32), np.float32))
    assert summary(net, (3, 1, 32, 32)).rows[0].output == tuple(net(x).shape)
    assert math.prod(summary(net, (3, 1, 32, 32)).rows[1].output) == 3 * 6 * 28 * 28
