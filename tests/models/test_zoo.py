"""Residual nets, U-Net, DCGAN, the character LSTM, the autoencoder: sizes, captured steps."""

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F


def parameters(model):
    return sum(p.size for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("resnet101", 44_549_160),
        ("resnet152", 60_192_808),
        ("resnet20", 269_722),
        ("resnet56", 853_018),
        ("unet", 31_036_546),
        ("char_lstm", 64 * 64 + 4 * 256 * (64 + 256 + 2) + 257 * 64),
        ("autoencoder", 785 * 256 + 257 * 32 + 33 * 256 + 257 * 784),
    ],
)
def test_parameters(name, count):
    assert parameters(rv.models.get(name)) == count


def test_resnet_carries_the_names_of_published_weights():
    names = list(rv.models.get("resnet50").state_dict())
    assert len(names) == 320
    block = ("downsample.0.weight", "downsample.1.bias", "bn3.num_batches_tracked")
    expected = {"conv1.weight", "bn1.running_var", *(f"layer1.0.{n}" for n in block), "fc.bias"}
    assert expected <= set(names)


def test_a_residual_block_of_zero_weights_is_the_identity():
    block = rv.models.resnet.BasicBlock(4, 4)
    for p in (block.bn2.weight, block.bn2.bias):
        rv.nn.init.zeros_(p)
    x = rv.tensor(np.random.default_rng(0).random((2, 4, 6, 6), dtype=np.float32))  # not negative
    np.testing.assert_array_equal(block(x).numpy(), x.numpy())
    net = rv.models.get("resnet18", classes=3, zero_init_residual=True)
    assert not net.layer3[1].bn2.weight.numpy().any()


def test_the_parameter_free_shortcut():
    shortcut = rv.models.resnet.ZeroPadShortcut(6, 2)
    x = np.arange(2 * 2 * 5 * 4, dtype=np.float32).reshape(2, 2, 5, 4)
    expected = np.zeros((2, 6, 3, 2), np.float32)
    expected[:, 2:4] = x[:, :, ::2, ::2]
    np.testing.assert_array_equal(shortcut(rv.tensor(x)).numpy(), expected)


def test_outputs():
    assert rv.models.CifarResNet(8, classes=7)(rv.zeros(2, 3, 32, 32)).shape == (2, 7)
    assert rv.models.get("resnet50", classes=4).eval()(rv.zeros(1, 3, 64, 64)).shape == (1, 4)
    assert rv.models.get("unet", width=4, depth=3, classes=5)(rv.zeros(2, 1, 24, 40)).shape == (
        2, 5, 24, 40,
    )  # fmt: skip
    assert rv.models.get("dcgan_generator", size=32, width=4)(rv.zeros(3, 100)).shape == (
        3, 3, 32, 32,
    )  # fmt: skip
    assert rv.models.get("dcgan_discriminator", size=32, width=4)(rv.zeros(3, 3, 32, 32)).shape == (
        3,
    )
    scores, (h, c) = rv.models.get("char_lstm", vocabulary=9, hidden=8, layers=2)(
        rv.zeros(4, 3, dtype=rv.int64)
    )
    assert (scores.shape, h.shape, c.shape) == ((4, 3, 9), (2, 3, 8), (2, 3, 8))


def test_errors():
    with pytest.raises(ValueError, match=r"\[resnet\] expected a depth of 6n \+ 2 .*got 21"):
        rv.models.CifarResNet(21)
    with pytest.raises(ValueError, match=r"\[unet\] expected sides .* multiples of 8 .*got 20x24"):
        rv.models.get("unet", width=4, depth=3)(rv.zeros(1, 1, 20, 24))
    with pytest.raises(ValueError, match=r"\[dcgan\] expected a size of 8, 16.*got 48"):
        rv.models.get("dcgan_generator", size=48)
    with pytest.raises(ValueError, match=r"\[autoencoder\] expected at least inputs and code"):
        rv.models.get("autoencoder", sizes=(3,))


def steps(build, loss_of, inputs, captured):
    """Losses of five steps, and the bytes of all parameters and buffers after them."""
    rv.manual_seed(3)
    model = build()
    optimizer = rv.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def step(*tensors):
        optimizer.zero_grad()
        loss = loss_of(model, *tensors)
        loss.backward()
        optimizer.step()
        return loss

    run = rv.capture(step) if captured else step
    losses = [run(*(rv.tensor(a) for a in inputs)).item() for _ in range(5)]
    return losses, [v.numpy().tobytes() for v in model.state_dict().values()]


@pytest.mark.parametrize("name", ["resnet", "bottleneck", "unet", "char_lstm", "autoencoder"])
def test_captured_steps_give_eagers_bits_and_learn(name, request):
    if name == "char_lstm":  # a rewrite adds its gradients in another order otherwise
        request.addfinalizer(lambda: rv.set_matmul_precision("highest"))
        rv.set_matmul_precision("exact")
    rng = np.random.default_rng(1)
    images = rng.standard_normal((4, 3, 16, 16)).astype(np.float32)
    build, loss_of, inputs = {
        "resnet": (
            lambda: rv.models.CifarResNet(8),
            lambda m, x, y: F.cross_entropy(m(x), y),
            (images, rng.integers(0, 10, 4)),
        ),
        "bottleneck": (
            lambda: rv.models.ResNet(rv.models.resnet.Bottleneck, (1, 1, 1, 1), 10),
            lambda m, x, y: F.cross_entropy(m(x), y),
            (np.tile(images, (1, 1, 2, 2)), rng.integers(0, 10, 4)),
        ),
        "unet": (
            lambda: rv.models.get("unet", in_channels=3, width=4, depth=2),
            lambda m, x, y: F.cross_entropy(m(x), y),
            (images, rng.integers(0, 2, (4, 16, 16))),
        ),
        "char_lstm": (
            lambda: rv.models.get("char_lstm", vocabulary=11, embedding=8, hidden=16),
            lambda m, x, y: F.cross_entropy(m(x)[0].reshape(-1, 11), y.reshape(-1)),
            (rng.integers(0, 11, (6, 5)), rng.integers(0, 11, (6, 5))),
        ),
        "autoencoder": (
            lambda: rv.models.get("autoencoder", sizes=(12, 8, 3)),
            lambda m, x: F.mse_loss(m(x), x),
            (rng.standard_normal((9, 12)).astype(np.float32),),
        ),
    }[name]
    eager, captured = (steps(build, loss_of, inputs, c) for c in (False, True))
    assert eager == captured
    assert eager[0][-1] < eager[0][0]
