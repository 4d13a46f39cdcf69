"""Gradients that are copied on write: nobody may tell them from copies that were made at once.

Only gradients of at least 64 KB are; most of those of the other tests are smaller.
"""

import copy
import ctypes
import gc
import pickle
import threading

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier import _core, optim

SHAPE = (64, 512)  # 128 KB
HALF = 4 * 64 * 512


def values(*shape):
    return np.random.default_rng(1).standard_normal(shape, np.float32)


def leaf(shape=SHAPE):
    return rv.zeros(*shape, requires_grad=True)


def joined(gradient):
    """Two leaves whose gradients are the halves of `gradient`."""
    a, b = leaf(), leaf()
    F.concat([a, b]).backward(gradient)
    return a, b


def in_use():
    gc.collect()
    return _core.memory_stats()[0]


def captured_zero(x):
    step = rv.capture(lambda: x.zero_())
    for _ in range(3):
        x.fill_(3.0)
        step()


def descend(x):
    """As a parameter of an optimizer."""
    x.requires_grad_()
    x.grad = rv.ones_like(x.detach())
    optim.SGD([x], lr=0.5).step()
    x.requires_grad_(False)


def by_address(x):
    ctypes.memset(x.data.data_ptr, 0, x.nbytes)


def by_numpy(x):
    x.numpy()[:] = 0


def by_view_in_numpy(x):
    x[3].numpy()[:] = 0


def by_dlpack(x):
    rv.from_dlpack(x).zero_()


def write_one(x):
    x[0, 0] = 7.0


def write_mask(x):
    x[x > 0] = 7.0


def write_rows(x):
    x[[1, 3]] = 7.0


def write_view(x):
    x[2:5].detach().zero_()


def add(x):
    x += 1.0


WRITES = [
    add, write_one, write_mask, write_rows, write_view, captured_zero, descend,
    by_address, by_numpy, by_view_in_numpy, by_dlpack,
    lambda x: x.zero_(), lambda x: x.copy_(rv.ones(1)), lambda x: x.uniform_(), lambda x: x.relu_(),
    lambda x: x.normal_(), lambda x: rv.nn.init.ones_(x),
]  # fmt: skip


def test_no_memory_is_taken():
    g = rv.tensor(values(128, 512))
    a, b = leaf(), leaf()
    before = in_use()
    F.concat([a, b]).backward(g)
    assert in_use() == before
    assert a.grad.sum().item() != 0.0  # reading needs no copy
    optim.SGD([a], lr=1.0).step()
    assert in_use() == before
    a.grad += 1.0  # writing does
    assert in_use() == before + HALF
    b.grad.zero_()
    assert in_use() == before + 2 * HALF


def test_the_source_leaves_its_block_to_the_others():
    g = rv.tensor(values(128, 512))
    a, b = joined(g)
    c = leaf()
    c.backward(a.grad)
    before = in_use()
    g.zero_()
    assert in_use() == before + 2 * HALF
    g.zero_()
    assert in_use() == before + 2 * HALF
    a.grad += 1.0
    assert in_use() == before + 3 * HALF
    np.testing.assert_array_equal(c.grad.numpy(), values(128, 512)[:64])
    np.testing.assert_array_equal(b.grad.numpy(), values(128, 512)[64:])
    a.grad = b.grad = c.grad = None
    assert in_use() == before
    assert not g.numpy().any()


def test_a_gradient_that_only_leaves_hold_is_copied_once_for_two():
    a, b, c = leaf(), leaf(), rv.tensor(values(*SHAPE))
    before = in_use()
    ((a + b) * c).sum().backward()
    assert in_use() == before + HALF
    for grad in (a.grad, b.grad):
        np.testing.assert_array_equal(grad.numpy(), values(*SHAPE))
    assert in_use() == before + 2 * HALF


@pytest.mark.parametrize("write", WRITES)
def test_what_is_written_to_the_source_is_not_seen(write):
    g = rv.tensor(values(128, 512))
    a, b = joined(g)
    write(g)
    assert not np.array_equal(g.numpy(), values(128, 512))
    np.testing.assert_array_equal(a.grad.numpy(), values(128, 512)[:64])
    np.testing.assert_array_equal(b.grad.numpy(), values(128, 512)[64:])


@pytest.mark.parametrize("write", WRITES)
def test_what_is_written_to_a_gradient_is_not_seen_elsewhere(write):
    g = rv.tensor(values(128, 512))
    a, b = joined(g)
    c = leaf()
    c.backward(a.grad)  # a copy of the copy
    write(a.grad)
    assert not np.array_equal(a.grad.numpy(), values(128, 512)[:64])
    np.testing.assert_array_equal(g.numpy(), values(128, 512))
    np.testing.assert_array_equal(b.grad.numpy(), values(128, 512)[64:])
    np.testing.assert_array_equal(c.grad.numpy(), values(128, 512)[:64])


def test_nor_what_is_written_to_the_copy_of_a_copy():
    a, _ = joined(rv.tensor(values(128, 512)))
    c = leaf()
    c.backward(a.grad)
    c.grad.zero_()
    np.testing.assert_array_equal(a.grad.numpy(), values(128, 512)[:64])


def known_to_numpy():
    g = rv.tensor(values(128, 512))
    return g, g.numpy()


def known_by_a_view():
    g = rv.tensor(values(128, 512))
    return g, g[:64].numpy()


def of_numpy():
    n = values(128, 512)
    return rv.from_numpy(n), n


def of_dlpack():
    n = values(128, 512)
    return rv.from_dlpack(n), n


@pytest.mark.parametrize("make", [known_to_numpy, known_by_a_view, of_numpy, of_dlpack])
def test_what_the_host_sees_before_backward_it_may_change_after(make):
    g, outside = make()
    a, _ = joined(g)
    outside[:] = 0
    np.testing.assert_array_equal(a.grad.numpy(), values(128, 512)[:64])


def test_an_array_taken_out_stays_connected():
    """Of the gradient and of the source: what was taken out is their memory, not an older one."""
    g = rv.tensor(values(128, 512))
    a, _ = joined(g)
    of_a, of_g = a.grad.numpy(), g.numpy()
    a.grad.fill_(2.0)
    g.fill_(3.0)
    assert (of_a == 2.0).all()
    assert (of_g == 3.0).all()


def test_a_second_backward_adds_to_the_gradient_alone():
    g = rv.tensor(values(128, 512))
    a, b = leaf(), leaf()
    y = F.concat([a, b])
    y.backward(g, retain_graph=True)
    kept = a.grad
    y.backward(g)
    assert a.grad is kept
    np.testing.assert_array_equal(g.numpy(), values(128, 512))
    np.testing.assert_array_equal(a.grad.numpy(), 2 * values(128, 512)[:64])
    np.testing.assert_array_equal(b.grad.numpy(), 2 * values(128, 512)[64:])


def test_a_leaf_given_twice():
    g, a = rv.tensor(values(128, 512)), leaf()
    F.concat([a, a]).backward(g)
    np.testing.assert_array_equal(a.grad.numpy(), values(128, 512)[:64] + values(128, 512)[64:])
    np.testing.assert_array_equal(g.numpy(), values(128, 512))


def test_a_gradient_in_the_middle_and_at_the_leaf():
    a, b = leaf(), leaf()
    total = a + b
    total.retain_grad()
    (total * 1.0).backward(rv.tensor(values(*SHAPE)))
    total.grad.zero_()
    a.grad += 1.0
    np.testing.assert_array_equal(b.grad.numpy(), values(*SHAPE))
    np.testing.assert_array_equal(a.grad.numpy(), values(*SHAPE) + 1)


def test_parts_are_added_to_a_gradient_of_ones_own():
    """The gradient of z goes to y too; the part of a view is added in place."""
    x, y, g = leaf(), leaf(), rv.tensor(values(*SHAPE))
    first = x[:1]
    (x + y).backward(g)
    first.backward(rv.ones(1, 512))
    expected = values(*SHAPE)
    np.testing.assert_array_equal(y.grad.numpy(), expected)
    np.testing.assert_array_equal(g.numpy(), expected)
    expected[0] += 1
    np.testing.assert_array_equal(x.grad.numpy(), expected)


def test_saved_for_backward_and_handed_out():
    """The gradient of a product is what it saved: an operand, which then changes."""
    a, w = leaf(), rv.tensor(values(*SHAPE))

    class Kept(rv.autograd.Function):
        def forward(self, x, *, weight):
            self.save(weight)
            return _core.multiply(x, weight)

        def backward(self, grad):
            return self.saved[0]

    y = Kept.apply(a, weight=w.data)
    y.backward(rv.ones(*SHAPE), retain_graph=True)
    y.backward(rv.ones(*SHAPE))
    w.zero_()
    np.testing.assert_array_equal(a.grad.numpy(), 2 * values(*SHAPE))


@pytest.mark.parametrize("clip", ["clip_grad_norm_", "clip_grad_value_"])
def test_clipping_leaves_the_source(clip):
    g = rv.tensor(values(128, 512))
    a, b = joined(g)
    getattr(rv.nn.utils, clip)([a, b], 0.1)
    assert np.abs(a.grad.numpy()).max() <= 0.1 + 1e-6
    np.testing.assert_array_equal(g.numpy(), values(128, 512))


def test_an_optimizer_steps_and_clears():
    g = rv.tensor(values(128, 512))
    a, b = joined(g)
    optimizer = optim.SGD([a, b], lr=1.0)
    optimizer.step()
    np.testing.assert_array_equal(a.detach().numpy(), -values(128, 512)[:64])
    np.testing.assert_array_equal(a.grad.numpy(), values(128, 512)[:64])
    optimizer.zero_grad(set_to_none=False)
    assert not a.grad.numpy().any()
    np.testing.assert_array_equal(g.numpy(), values(128, 512))


@pytest.mark.parametrize("way", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t.grad))])
def test_copies_and_pickles(way):
    g = rv.tensor(values(128, 512))
    a, _ = joined(g)
    other = way(a)
    other = other if other.grad is None else other.grad
    other.zero_()
    np.testing.assert_array_equal(a.grad.numpy(), values(128, 512)[:64])
    np.testing.assert_array_equal(g.numpy(), values(128, 512))


def test_whoever_goes_first():
    before = in_use()
    g = rv.tensor(values(128, 512))
    a, b = joined(g)
    del g
    np.testing.assert_array_equal(a.grad.numpy(), values(128, 512)[:64])
    a.grad = None
    np.testing.assert_array_equal(b.grad.numpy(), values(128, 512)[64:])
    del a, b
    assert in_use() == before
    g = rv.tensor(values(128, 512))
    a, b = joined(g)
    a.grad = None
    g.zero_()
    np.testing.assert_array_equal(b.grad.numpy(), values(128, 512)[64:])
    del a, b, g
    assert in_use() == before


def test_the_last_holder_takes_the_block_over():
    g, a = rv.tensor(values(*SHAPE)), leaf()
    (a + 1.0).backward(g)
    before = in_use()
    _core.reset_peak_memory()
    del g
    a.grad.zero_()
    assert in_use() == before
    assert _core.memory_stats()[2] < before + HALF  # there never was a second block
    assert not a.grad.numpy().any()
    del a
    assert in_use() == before - 2 * HALF


def test_a_small_part_does_not_keep_a_large_block():
    g = rv.tensor(values(64 * 8, 512))
    leaves = [leaf() for _ in range(8)]
    F.concat(leaves).backward(g)
    kept = leaves[0].grad
    del g, leaves
    before = in_use()
    del kept
    assert before - in_use() == HALF


@pytest.mark.parametrize("turned", ["leaf", "gradient", "both"])
def test_the_layout_is_that_of_the_leaf(turned):
    """As that of a copy."""
    x, g = rv.zeros(64, 16, 8, 8), rv.tensor(values(64, 16, 8, 8))
    if turned != "gradient":
        x = rv.Tensor(x.data.channels_last())
    if turned != "leaf":
        g = rv.Tensor(g.data.channels_last())
    x.requires_grad_()
    (x + 1.0).backward(g)
    assert x.grad.strides == x.strides
    np.testing.assert_array_equal(x.grad.numpy(), values(64, 16, 8, 8))


def test_a_captured_step_between_eager_ones():
    """It finds a gradient whose copy is put off, adds to it, and hands on what it changed."""
    g, a, b = rv.tensor(values(128, 512)), leaf(), leaf()

    def step():
        F.concat([a, b]).backward(g)
        return g * 2.0

    captured = rv.capture(step)
    for turn in range(6):
        a.grad = b.grad = None
        step()
        out = captured()
        g.copy_(rv.tensor(values(128, 512)) + float(turn))
        expected = 2 * (values(128, 512) + max(turn - 1, 0))
        np.testing.assert_array_equal(a.grad.numpy(), expected[:64])
        np.testing.assert_array_equal(out.numpy(), expected)
    assert captured.program is not None


def test_what_a_captured_step_returns_as_a_gradient():
    """The next replay writes it anew; a gradient made of it before stays."""
    x = rv.tensor(values(128, 512))
    step = rv.capture(lambda: x * 3.0)
    for turn in range(5):
        x.copy_(rv.tensor(values(128, 512)) * float(turn))
        a, b = joined(step())
        x.zero_()
        step()
        np.testing.assert_array_equal(a.grad.numpy(), values(128, 512)[:64] * np.float32(turn) * 3)
        np.testing.assert_array_equal(b.grad.numpy(), values(128, 512)[64:] * np.float32(turn) * 3)


def test_threads_share_a_source():
    g, wrong = rv.tensor(values(128, 512)), []
    expected = values(128, 512)

    def run():
        for i in range(40):
            a, b = joined(g)
            if i % 3 == 0:
                a.grad += 1.0
                a.grad -= 1.0
            if i % 3 == 1:
                a.grad = a.grad * 1.0
            if not (F.abs(a.grad - first).max().item() < 1e-6 and (b.grad == second).all().item()):
                wrong.append(i)

    first, second = rv.tensor(expected[:64]), rv.tensor(expected[64:])
    runners = [threading.Thread(target=run) for _ in range(4)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert not wrong
    np.testing.assert_array_equal(g.numpy(), expected)


def test_the_source_is_written_while_others_read_their_gradients():
    wrong = []

    def check(a, ready):
        ready.wait()
        for _ in range(3):
            if not (a.grad == 1.0).all().item():
                wrong.append(1)

    for _ in range(60):
        g, ready = rv.ones(256, 512), threading.Barrier(3)
        a, b = leaf((128, 512)), leaf((128, 512))
        F.concat([a, b]).backward(g)
        runners = [threading.Thread(target=check, args=(x, ready)) for x in (a, b)]
        for runner in runners:
            runner.start()
        ready.wait()
        g.zero_()
        for runner in runners:
            runner.join()
    assert not wrong
