"""Recurrent layers: stacking, directions, names, states, lengths, and PyTorch beside them."""

import itertools

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier import nn

RNG = np.random.default_rng(0)


def normal(*shape: int) -> rv.Tensor:
    return rv.tensor(RNG.standard_normal(shape).astype(np.float32))


LAYERS = [
    lambda **o: nn.RNN(3, 5, **o),
    lambda **o: nn.RNN(3, 5, nonlinearity="relu", **o),
    lambda **o: nn.GRU(3, 5, **o),
    lambda **o: nn.GRU(3, 5, reset_after=False, **o),
    lambda **o: nn.LSTM(3, 5, **o),
    lambda **o: nn.LSTM(3, 5, proj_size=2, **o),
    lambda **o: nn.LSTM(3, 5, peephole=True, **o),
    lambda **o: nn.LSTM(3, 5, layer_norm=True, **o),
    lambda **o: nn.LSTM(3, 5, variant="original", peephole=True, **o),
    lambda **o: nn.LSTM(3, 5, variant="basic", **o),
]


def states_of(result):
    """The last states of a layer, as a tuple."""
    return result[1] if isinstance(result[1], tuple) else (result[1],)


@pytest.mark.parametrize("make", LAYERS)
def test_shapes_and_gradients(make):
    layer = make(num_layers=2, bidirectional=True, batch_first=True)
    x = normal(4, 6, 3)
    y, state = layer(x)
    size = layer.output_size
    assert y.shape == (4, 6, 2 * size)
    assert states_of((y, state))[0].shape == (4, 4, size)
    again, _ = layer(x, state)
    again.sum().backward()
    assert all(p.grad is not None for p in layer.parameters())
    with pytest.raises(ValueError, match=r"expected x of 3 features, got shape .* did you mean"):
        layer(normal(4, 6, 7))
    with pytest.raises(ValueError, match=r"expected x of shape \(N, T, I\).*unsqueeze\(0\)"):
        layer(normal(6, 3))
    wrong = normal(2, 4, size)
    with pytest.raises(ValueError, match=r"h0 of shape \(4, 4, "):
        layer(x, (wrong, None) if isinstance(layer, nn.LSTM) else wrong)


@pytest.mark.parametrize("make", LAYERS)
def test_lengths_equal_runs_of_each_sample(make):
    rv.manual_seed(0)
    layer = make(num_layers=2, bidirectional=True)
    x = normal(7, 4, 3)
    lengths = [3, 7, 1, 5]
    y, state = layer(x, lengths=lengths)
    for n, length in enumerate(lengths):
        alone, own = layer(x[:length, n : n + 1])
        assert not y.numpy()[length:, n].any()
        # A composite goes through matmul, whose sums depend on the batch.
        loose = not getattr(layer, "reset_after", True)
        close = {"rtol": 1e-5, "atol": 2e-5} if loose else {"rtol": 0}
        np.testing.assert_allclose(y.numpy()[:length, n], alone.numpy()[:, 0], **close)
        for s, o in zip(states_of((y, state)), states_of((alone, own)), strict=True):
            np.testing.assert_allclose(s.numpy()[:, n], o.numpy()[:, 0], **close)


def test_stacks_are_layers_after_each_other():
    lstm = nn.LSTM(3, 5, num_layers=2, bidirectional=True)
    x = normal(6, 2, 3)
    y, (h, c) = lstm(x)
    below = []
    for end, reverse in (("_l0", False), ("_l0_reverse", True)):
        weights = [getattr(lstm, n + end) for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        below.append(F.lstm(x, None, *weights, reverse=reverse))
    middle = F.concat([below[0][0], below[1][0]], -1)
    weights = [getattr(lstm, n + "_l1") for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    top, (h_top, _) = F.lstm(middle, None, *weights)
    assert np.array_equal(y.numpy()[..., :5], top.numpy())
    assert np.array_equal(h.numpy()[2], h_top.numpy())
    assert np.array_equal(c.numpy()[1], below[1][1][1].numpy())


def test_the_state_goes_on():
    """Two halves are a whole; a detached state cuts the gradient between them."""
    gru = nn.GRU(3, 5, num_layers=2)
    x = normal(8, 2, 3)
    whole, last = gru(x)
    first, h = gru(x[:5])
    second, end = gru(x[5:], h)
    assert np.array_equal(whole.numpy(), np.concatenate([first.numpy(), second.numpy()]))
    assert np.array_equal(last.numpy(), end.numpy())

    def gradient(cut: bool, steps: int) -> np.ndarray:
        gru.zero_grad()
        h = None
        for t in range(0, 8, steps):
            y, h = gru(x[t : t + steps], h)
            h = h.detach() if cut else h
            y.sum().backward() if cut else None
        if not cut:
            gru(x)[0].sum().backward()
        return gru.weight_hh_l0.grad.numpy().copy()

    full = gradient(False, 8)
    np.testing.assert_allclose(gradient(True, 8), full, rtol=1e-6)
    assert not np.allclose(gradient(True, 2), full, rtol=1e-3)


def test_biases():
    assert {n for n, _ in nn.GRU(3, 5, bias=False).named_parameters()} == {
        "weight_ih_l0",
        "weight_hh_l0",
    }
    single = {n for n, _ in nn.LSTM(3, 5, bias="single").named_parameters()}
    assert single == {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0"}
    with pytest.raises(ValueError, match="expected bias to be True, False, 'single' or 'double'"):
        nn.LSTM(3, 5, bias="triple")
    with pytest.raises(ValueError, match="expected proj_size from 0"):
        nn.LSTM(3, 5, proj_size=5)
    with pytest.raises(ValueError, match="expected variant full, original or basic"):
        nn.LSTM(3, 5, variant="new")


@pytest.mark.parametrize(("cell", "layer"), [(nn.RNNCell, nn.RNN), (nn.GRUCell, nn.GRU)])
def test_cells_are_steps_of_layers(cell, layer):
    one, whole = cell(3, 5), layer(3, 5)
    whole.load_state_dict({f"{k}_l0": v for k, v in one.state_dict().items()})
    x, h = normal(4, 2, 3), None
    y, _ = whole(x)
    for t in range(4):
        h = one(x[t], h)
        assert np.array_equal(h.numpy(), y.numpy()[t])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"proj_size": 2},
        {"peephole": True},
        {"layer_norm": True, "peephole": True, "proj_size": 4, "bias": "single"},
        {"variant": "original", "peephole": True},
        {"variant": "basic", "layer_norm": True, "bias": False},
    ],
)
def test_lstm_cell_is_a_step_of_lstm(options):
    one, whole = nn.LSTMCell(3, 5, **options), nn.LSTM(3, 5, **options)
    whole.load_state_dict({f"{k}_l0": v for k, v in one.state_dict().items()})
    x, state = normal(4, 2, 3), None
    y, (_, c) = whole(x)
    for t in range(4):
        state = one(x[t], state)
        assert np.array_equal(state[0].numpy(), y.numpy()[t])
    assert np.array_equal(state[1].numpy(), c.numpy()[0])
    assert one.mult_adds((x[0],), state) * 4 == whole.mult_adds((x,), y)
    state[0].sum().backward()
    assert all(p.grad is not None for p in one.parameters())


def test_what_an_lstm_cell_refuses():
    with pytest.raises(ValueError, match=r"\[LSTMCell\] expected variant full, original or basic"):
        nn.LSTMCell(3, 5, variant="half")
    with pytest.raises(ValueError, match=r"\[LSTMCell\] expected no peephole for the basic"):
        nn.LSTMCell(3, 5, variant="basic", peephole=True)
    with pytest.raises(ValueError, match=r"\[LSTMCell\] expected proj_size from 0"):
        nn.LSTMCell(3, 5, proj_size=5)


@pytest.mark.parametrize("options", [{}, {"layer_norm": True}])
def test_mixed_precision(options):
    """Computed in float32, handed on in what came in."""
    lstm, below = nn.LSTM(3, 5, **options), nn.Linear(3, 3)
    with rv.autocast(dtype=rv.bfloat16):
        y, _ = lstm(below(normal(4, 2, 3)))
        assert y.dtype == rv.bfloat16
        y.sum().backward()
    assert all(p.grad.dtype == rv.float32 for p in [*lstm.parameters(), *below.parameters()])


def test_dropout_between_layers_in_training_only():
    layer = nn.GRU(3, 5, num_layers=2, dropout=1.0)
    plain = nn.GRU(3, 5, num_layers=2)
    plain.load_state_dict(layer.state_dict())
    x = normal(4, 2, 3)
    assert np.array_equal(layer.eval()(x)[0].numpy(), plain(x)[0].numpy())
    assert np.array_equal(layer(x)[1].numpy()[0], plain(x)[1].numpy()[0])
    silent = plain._run(rv.zeros(4, 2, 3), (None,), lambda x, end, s, r: (x, (x[0],)))
    assert silent[0].shape == (4, 2, 3)
    assert not np.array_equal(layer.train()(x)[0].numpy(), plain(x)[0].numpy())


def test_conv_lstm():
    """With kernels of one pixel, every pixel is an LSTM of its own."""
    conv = nn.ConvLSTM(3, 5, kernel_size=1)
    x = normal(4, 2, 3, 3, 6)
    y, (h, c) = conv(x)
    pixels = x.permute(0, 1, 3, 4, 2).reshape(4, 36, 3)
    weights = [conv.weight_ih.reshape(20, 3), conv.weight_hh.reshape(20, 5), conv.bias]
    want, (_, c_want) = F.lstm(pixels, None, *weights)
    got = y.permute(0, 1, 3, 4, 2).reshape(4, 36, 5)
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5, atol=1e-6)
    got = c.permute(0, 2, 3, 1).reshape(36, 5)
    np.testing.assert_allclose(got.numpy(), c_want.numpy(), rtol=1e-5, atol=1e-6)
    wide = nn.ConvLSTM(3, 5)
    y, _ = wide(x, (h, c))
    y.sum().backward()
    assert y.shape == (4, 2, 5, 3, 6)
    assert all(p.grad is not None for p in wide.parameters())
    with pytest.raises(ValueError, match="expected an odd kernel_size, got 2"):
        nn.ConvLSTM(3, 5, kernel_size=2)
    with pytest.raises(ValueError, match=r"expected x of shape \(T, N, 3, H, W\)"):
        wide(normal(4, 3, 3, 6))


def test_text():
    assert repr(nn.LSTM(3, 5, num_layers=2, peephole=True)) == (
        "LSTM(3, 5, num_layers=2, peephole=True)"
    )


@pytest.mark.external
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *itertools.product(
            ["RNN", "GRU", "LSTM"],
            [
                {},
                {"num_layers": 3, "bidirectional": True},
                {"batch_first": True, "bias": False},
            ],
        ),
        ("RNN", {"nonlinearity": "relu"}),
        ("LSTM", {"proj_size": 4, "num_layers": 2, "bidirectional": True}),
    ],
)
def test_pytorch_agrees(kind, options):
    """Its state_dict loads by name; outputs, states and gradients agree, also with lengths."""
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, kind)(6, 9, **options)
    ours = getattr(nn, kind)(6, 9, **options)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    assert list(theirs.state_dict()) == list(ours.state_dict())
    numbers = RNG.standard_normal((5, 7, 6)).astype(np.float32)
    for lengths in (None, [3, 7, 1, 2, 5]):
        x, x_torch = rv.tensor(numbers, requires_grad=True), torch.tensor(numbers)
        x_torch.requires_grad_()
        if lengths is not None and not options.get("batch_first"):
            lengths = [3, 5, 1, 2, 5, 4, 2]
        y, state = ours(x, lengths=lengths)
        if lengths is None:
            y_torch, state_torch = theirs(x_torch)
        else:
            rnn = torch.nn.utils.rnn
            first = options.get("batch_first", False)
            packed = rnn.pack_padded_sequence(
                x_torch, torch.tensor(lengths), batch_first=first, enforce_sorted=False
            )
            y_torch, state_torch = theirs(packed)
            total = numbers.shape[1 if first else 0]
            y_torch, _ = rnn.pad_packed_sequence(y_torch, first, total_length=total)
        pairs = zip(
            (y, *states_of((y, state))), (y_torch, *states_of((y, state_torch))), strict=True
        )
        for mine, other in pairs:
            np.testing.assert_allclose(mine.numpy(), other.detach().numpy(), rtol=1e-5, atol=2e-6)
        seed = RNG.standard_normal(y.shape).astype(np.float32)
        ours.zero_grad()
        theirs.zero_grad()
        y.backward(rv.tensor(seed))
        y_torch.backward(torch.tensor(seed))
        np.testing.assert_allclose(x.grad.numpy(), x_torch.grad.numpy(), rtol=1e-4, atol=1e-5)
        for name, p in theirs.named_parameters():
            mine = getattr(ours, name).grad.numpy()
            np.testing.assert_allclose(mine, p.grad.numpy(), rtol=1e-4, atol=3e-5, err_msg=name)
