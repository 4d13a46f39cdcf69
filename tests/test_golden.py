"""Golden examples of the course, digit for digit."""

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F

pytestmark = pytest.mark.smoke

IMAGE = [[4, 5, 8, 7], [1, 8, 8, 8], [3, 6, 6, 4], [6, 5, 7, 8]]
KERNEL = [[1, 4, 1], [1, 4, 3], [3, 3, 1]]


def image(rows):
    """A one-channel image as a batch of one: (1, 1, H, W)."""
    return rv.tensor(np.array(rows, np.float32)[None, None])


def test_g1_perceptron():
    """w changes by eta (target - output) times the input, the bias with it."""
    w = rv.tensor([0.5, 0.0, -1.0])
    after = []
    for x, target in [((1, 1), 1.0), ((0, 0), 0.0), ((0, 0), 0.0)]:
        given = rv.tensor([1.0, *x])
        output = F.heaviside((w * given).sum())
        w = w + (target - output) * given
        after.append((output.item(), w.tolist()))
    assert after == [(0.0, [1.5, 1, 0]), (1.0, [0.5, 1, 0]), (1.0, [-0.5, 1, 0])]


@pytest.mark.parametrize(
    ("weights", "threshold", "truth"),
    [
        ((1.0, 2.0), 2.0, [0, 1, 0, 1]),
        ((1.0, 1.0), 2.0, [0, 0, 0, 1]),
        ((1.0, 1.0), 1.0, [0, 1, 1, 1]),
    ],
    ids=["w = (1, 2), theta = 2", "AND", "OR"],
)
def test_g1_weights_set_by_hand(weights, threshold, truth):
    x = rv.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    assert F.heaviside(x @ rv.tensor(weights) - threshold).tolist() == truth


def test_g2_gradient_learning():
    """A linear unit on half the squared error, from (0.5, 0, -1)."""
    x = rv.tensor(np.array([[1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1]], np.float64))
    t = rv.tensor(np.array([0.2, 0.1, 0.9, 1.1]))

    def learn(eta, steps):
        w = rv.tensor(np.array([0.5, 0.0, -1.0]), requires_grad=True)
        after = []
        for chosen in steps:
            w.grad = None
            F.half_squared_error(x[chosen] @ w, t[chosen], reduction="sum").backward()
            with rv.no_grad():
                w -= eta * w.grad
            after.append([round(v, 10) for v in w.tolist()])
        return after

    last, first, batch = [3], [0], [0, 1, 2, 3]
    assert learn(1.0, [last]) == [[2.1, 1.6, 0.6]]
    assert learn(0.25, [last, first]) == [[0.9, 0.4, -0.6], [0.725, 0.4, -0.6]]
    assert learn(0.25, [batch] * 3) == [
        [1.075, 0.5, -0.45],
        [0.55, 0.325, -0.5875],
        [0.70625, 0.534375, -0.35],
    ]
    assert learn(0.25, [batch] * 300)[-1] == [0.125, 0.85, 0.05]


def test_g3_backpropagation_on_a_graph():
    w1, w2 = (rv.tensor(float(v), requires_grad=True) for v in (2, 3))
    cube = w1**3
    product = cube * w2
    triple = 3 * w1
    result = product + triple
    assert [node.item() for node in (cube, product, triple, result)] == [8, 24, 6, 30]
    result.backward()
    assert (w1.grad.item(), w2.grad.item()) == (39, 8)


def test_g4_cross_correlation():
    y = F.conv2d(image(IMAGE), image(KERNEL))
    assert y.tolist() == [[[[122, 148], [126, 134]]]]


def test_g5_transposed_convolution():
    x, kernel, small = image(IMAGE), image(KERNEL), image([[2, 1], [4, 4]])
    y = F.conv_transpose2d(small, kernel)
    assert y.tolist() == [[[[2, 9, 6, 1], [6, 29, 30, 7], [10, 29, 33, 13], [12, 24, 16, 4]]]]
    assert (F.conv2d(x, kernel) * small).sum().item() == 1432
    assert (x * y).sum().item() == 1432


def test_g6_max_pooling_and_unpooling():
    x = image([[1, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8]])
    y, switches = F.max_pool2d(x, 2, return_switches=True)
    assert y.tolist() == [[[[5, 6], [7, 8]]]]
    back = F.max_unpool2d(image([[1, 2], [3, 4]]), switches)
    assert back.tolist() == [[[[0, 0, 2, 0], [0, 1, 0, 0], [0, 0, 0, 0], [3, 0, 0, 4]]]]


def test_g7_softmax_and_log_likelihood():
    logits = rv.tensor([[-3.44, 1.16, -0.81, 3.91]])
    assert [round(p, 4) for p in F.softmax(logits).tolist()[0]] == [0.0006, 0.0596, 0.0083, 0.9315]
    assert round(F.cross_entropy(logits, rv.tensor([1])).item(), 2) == 2.82


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "output"),
    [
        (4, 3, 1, 0, 2),
        (5, 3, 1, 1, 5),
        (5, 3, 1, 2, 7),
        (5, 3, 2, 0, 2),
        (5, 3, 2, 1, 3),
        (6, 3, 2, 1, 3),
        (7, 3, 1, 1, 7),
        (7, 3, 1, 0, 5),
        (7, 3, 2, 0, 3),
        (7, 3, 3, 0, 2),
    ],
)
def test_g8_output_sizes(size, kernel, stride, padding, output):
    for device in ("cpu", "meta"):
        x = rv.zeros(1, 1, size, size, device=device)
        w = rv.zeros(1, 1, kernel, kernel, device=device)
        assert F.conv2d(x, w, stride=stride, padding=padding).shape == (1, 1, output, output)


def test_g8_layers():
    colour, filters = rv.zeros(1, 3, 32, 32, device="meta"), rv.zeros(6, 3, 5, 5, device="meta")
    assert F.conv2d(colour, filters).shape == (1, 6, 28, 28)
    x = F.conv2d(rv.zeros(1, 1, 14, 13), rv.zeros(1, 1, 5, 5))
    assert x.shape == (1, 1, 10, 9)
    assert F.max_pool2d(x, 2).shape == (1, 1, 5, 4)


def test_g8_three_small_filters_see_seven_pixels():
    x = rv.zeros(1, 1, 15, 15).requires_grad_()
    w = rv.ones(1, 1, 3, 3)
    y = F.conv2d(F.conv2d(F.conv2d(x, w), w), w)
    assert y.shape == (1, 1, 9, 9)
    y[0, 0, 4, 4].backward()
    seen = np.argwhere(x.grad.numpy()[0, 0])
    assert (seen.max(axis=0) - seen.min(axis=0) + 1).tolist() == [7, 7]


def test_g8_weights_of_a_large_image():
    x = rv.zeros(1, 1, 1000, 1000, device="meta")
    dense = rv.zeros(10**6, 10**6, device="meta")
    assert dense.size == 10**12
    assert F.linear(x.flatten(1), dense).shape == (1, 10**6)
    local = rv.zeros(1000, 1000, 1, 1, 10, 10, device="meta")
    assert local.size == 10**8
    padded = rv.zeros(1, 1, 1009, 1009, device="meta")
    assert F.locally_connected2d(padded, local).shape == (1, 1, 1000, 1000)
    shared = rv.zeros(100, 1, 10, 10, device="meta")
    assert shared.size == 10**4
    assert F.conv2d(x, shared, padding=((5, 4), (5, 4))).shape == (1, 100, 1000, 1000)


def test_g10_batch_norm():
    x = np.random.default_rng(0).normal(3.0, 2.0, (8, 5, 4, 4))
    y = F.batch_norm(rv.tensor(x), None, None, training=True, eps=0.01).numpy()
    v = x.var(axis=(0, 2, 3))
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0.0, atol=1e-14)
    np.testing.assert_allclose(y.var(axis=(0, 2, 3)), v / (v + 0.01), rtol=1e-13)


def test_g9_gradient_of_a_one_dimensional_convolution():
    """dL/dw = (z - y) im2col(x)' for half the squared error of three taps over seven samples."""
    x = rv.tensor([[[1.0, 3.0, -2.0, 5.0, 0.0, 4.0, -1.0]]])
    w = rv.tensor([[[2.0, -1.0, 3.0]]], requires_grad=True)
    y = rv.tensor([[[1.0, 0.0, 2.0, -3.0, 1.0]]])
    z = F.conv1d(x, w)
    (0.5 * (z - y).square().sum()).backward()
    columns = F.im2col(x, 3)[0]
    assert columns.shape == (3, 5)
    assert w.grad[0].tolist() == ((z - y).detach()[0] @ columns.T).tolist()
    assert z.tolist() == [[[-7, 23, -9, 22, -7]]]
    assert w.grad.tolist() == [[[208, -157, 239]]]


def test_g10_dropout():
    """The mean of many draws lies within four standard errors of the input."""
    rv.manual_seed(0)
    count = 200_000
    for p in (0.2, 0.5, 0.8):
        y = F.dropout(rv.ones(count), p).numpy()
        assert abs(y.mean() - 1.0) <= 4 * np.sqrt(p / (1 - p) / count)


def test_g11_a_network_without_cycles():
    """The cube of the weight matrix is zero: no path has three connections, so no cycle exists."""
    weights = np.zeros((8, 8))
    for name, w in {"41": -0.5, "42": 0.2, "61": 0.8, "62": -0.2, "72": 0.3, "73": 0.5,
                    "84": -0.7, "85": 0.8, "86": 0.5, "87": 0.1}.items():  # fmt: skip
        weights[int(name[0]) - 1, int(name[1]) - 1] = w
    w = rv.tensor(weights)
    assert (w @ w).any().item()
    assert not (w @ w @ w).any().item()
