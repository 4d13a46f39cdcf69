"""Normalization layers: state, modes, names and texts as PyTorch users expect them."""

import numpy as np
import pytest

import ranvier as rv
from ranvier import functional as F
from ranvier import nn


def image(*shape):
    return rv.tensor(np.random.default_rng(0).normal(1.0, 2.0, shape).astype(np.float32))


def same(a, b):
    assert a.numpy().tobytes() == b.numpy().tobytes()


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d, (6, 4)),
        (nn.BatchNorm1d, (6, 4, 5)),
        (nn.BatchNorm2d, (3, 4, 5, 6)),
        (nn.BatchNorm3d, (2, 4, 3, 2, 5)),
        (nn.InstanceNorm1d, (6, 4, 5)),
        (nn.InstanceNorm2d, (3, 4, 5, 6)),
        (nn.InstanceNorm3d, (2, 4, 3, 2, 5)),
    ],
)
def test_running_statistics(layer, shape):
    norm, x = layer(4, affine=True, track_running_stats=True), image(*shape)
    names = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert list(norm.state_dict()) == names
    function = F.batch_norm if "Batch" in layer.__name__ else F.instance_norm
    mean, var, count = rv.zeros(4), rv.ones(4), rv.tensor(0)
    for _ in range(2):
        y = norm(x)
        same(y, function(x, mean, var, norm.weight, norm.bias, True, 0.1, 1e-5, count))
    assert norm.num_batches_tracked.item() == count.item() == 2
    norm.eval()
    same(norm(x), function(x, mean, var, norm.weight, norm.bias, False))
    same(norm.running_mean, mean)
    norm.reset_running_stats()
    assert norm.running_mean.tolist() == [0.0] * 4
    assert norm.running_var.tolist() == [1.0] * 4
    assert norm.num_batches_tracked.item() == 0


def test_without_running_statistics_the_batch_is_used_in_both_modes():
    norm, x = nn.BatchNorm2d(4, affine=False, track_running_stats=False), image(3, 4, 5, 6)
    assert not norm.state_dict()
    same(norm(x), norm.eval()(x))
    same(nn.InstanceNorm2d(4)(x), F.instance_norm(x))


def test_momentum_none_averages():
    norm = nn.BatchNorm1d(3, momentum=None)
    batches = [image(5, 3) * float(i) for i in range(1, 4)]
    for x in batches:
        norm(x)
    mean = np.mean([x.numpy().mean(axis=0) for x in batches], axis=0)
    np.testing.assert_allclose(norm.running_mean.numpy(), mean, rtol=1e-5)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_captured_training_step_advances_the_statistics_and_eval_is_recorded_anew(momentum):
    eager, captured = (nn.BatchNorm2d(3, momentum=momentum) for _ in range(2))
    step = rv.capture(lambda x: captured(x))
    rng = np.random.default_rng(1)
    for i in range(8):
        if i == 5:
            eager.eval()
            captured.eval()
        x = rv.tensor(rng.standard_normal((4, 3, 5, 5)).astype(np.float32))
        same(step(x), eager(x))
        for name, t in eager.state_dict().items():
            same(captured.state_dict()[name], t)


def test_a_captured_step_notices_another_momentum():
    eager, captured = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    step = rv.capture(lambda x: captured(x))
    for i in range(8):
        eager.momentum = captured.momentum = 0.1 if i < 4 else 0.5
        x = image(4, 3) * float(i)
        same(step(x), eager(x))
        same(captured.running_var, eager.running_var)


def test_layers_hand_on_their_settings():
    x = image(3, 4, 5, 6)
    layer = nn.LayerNorm((5, 6), eps=0.1)
    same(layer(x), F.layer_norm(x, (5, 6), layer.weight, layer.bias, 0.1))
    assert [n for n, _ in nn.LayerNorm(6, bias=False).named_parameters()] == ["weight"]
    assert not list(nn.LayerNorm(6, elementwise_affine=False).parameters())
    group = nn.GroupNorm(2, 4, eps=0.1)
    same(group(x), F.group_norm(x, 2, group.weight, group.bias, 0.1))
    rms = nn.RMSNorm(6, eps=0.1)
    same(rms(x), F.rms_norm(x, 6, rms.weight, 0.1))
    same(nn.LocalResponseNorm(3, 0.1, 0.5, 2.0)(x), F.local_response_norm(x, 3, 0.1, 0.5, 2.0))
    same(nn.LocalContrastNorm(5, 1.5, 0.1)(x), F.local_contrast_norm(x, 5, 1.5, 0.1))


@pytest.mark.parametrize(
    ("make", "x", "pattern"),
    [
        (lambda: nn.BatchNorm2d(4), (2, 3, 5, 5), r"did you mean BatchNorm2d\(3\)"),
        (lambda: nn.BatchNorm2d(4), (2, 4), r"\(N, 4, H, W\), got \(2, 4\) - BatchNorm1d takes 2"),
        (lambda: nn.BatchNorm1d(4), (2, 4, 5, 5), r"\(N, 4\) or \(N, 4, L\).*BatchNorm2d takes 4"),
        (lambda: nn.InstanceNorm1d(4), (2, 4, 1), r"at least 2 positions"),
        (lambda: nn.BatchNorm2d(4), (1, 4, 1, 1), r"at least 2 values per channel.*DataLoader"),
        (lambda: nn.GroupNorm(2, 4), (2, 6), r"\[GroupNorm\] expected x of shape \(N, 4, ...\)"),
        (lambda: nn.GroupNorm(3, 4), (2, 4), r"\[GroupNorm\] expected groups that divide"),
        (lambda: nn.LayerNorm(()), (2, 4), r"\[LayerNorm\] expected a normalized_shape"),
        (lambda: nn.LayerNorm(0), (2, 4), r"\[LayerNorm\] expected normalized_shape of at least 1"),
    ],
)
def test_misfits_name_the_cure(make, x, pattern):
    with pytest.raises(ValueError, match=pattern):
        make()(image(*x))


def test_a_single_last_sample_joins_the_batch_before_it():
    from ranvier.data import ArrayDataset, DataLoader

    x = np.random.default_rng(2).standard_normal((9, 3)).astype(np.float32)
    norm = nn.BatchNorm1d(3)
    for batch, _ in DataLoader(ArrayDataset(x, np.arange(9)), batch_size=4):
        norm(batch)
    assert norm.num_batches_tracked.item() == 2


def test_texts():
    assert repr(nn.BatchNorm2d(4)) == "BatchNorm2d(4)"
    assert repr(nn.BatchNorm1d(4, momentum=None)) == "BatchNorm1d(4, momentum=None)"
    assert repr(nn.InstanceNorm2d(4, affine=True)) == "InstanceNorm2d(4, affine=True)"
    assert repr(nn.LayerNorm(4, bias=False)) == "LayerNorm((4,), bias=False)"
    assert repr(nn.GroupNorm(2, 4)) == "GroupNorm(2, 4)"
    assert repr(nn.RMSNorm(4)) == "RMSNorm((4,))"


def test_float64_and_meta():
    x = image(3, 4, 5, 5)
    norm = nn.BatchNorm2d(4).to(rv.float64)
    assert norm.num_batches_tracked.dtype == rv.int64
    assert norm(x.to(rv.float64)).dtype == rv.float64
    assert nn.BatchNorm2d(4).to("meta")(rv.empty(3, 4, 5, 5, device="meta")).shape == (3, 4, 5, 5)


@pytest.mark.external
def test_pytorch_state_loads():
    torch = pytest.importorskip("torch")
    x = image(5, 4, 3, 3)
    for ours, theirs in [
        (nn.BatchNorm2d(4), torch.nn.BatchNorm2d(4)),
        (nn.InstanceNorm2d(4, affine=True), torch.nn.InstanceNorm2d(4, affine=True)),
        (nn.GroupNorm(2, 4), torch.nn.GroupNorm(2, 4)),
        (nn.LayerNorm((3, 3)), torch.nn.LayerNorm((3, 3))),
    ]:
        for p in theirs.parameters():
            torch.nn.init.normal_(p)
        ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
        for _ in range(2):
            y, expected = ours(x), theirs(torch.tensor(x.numpy()))
        np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), atol=1e-5)
        for k, v in theirs.state_dict().items():
            np.testing.assert_allclose(ours.state_dict()[k].numpy(), v.numpy(), rtol=1e-5)
        expected = theirs.eval()(torch.tensor(x.numpy())).detach().numpy()
        np.testing.assert_allclose(ours.eval()(x).numpy(), expected, atol=1e-5)
