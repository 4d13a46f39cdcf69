"""Backpropagation itself: every edge of the graph that DESIGN.md lists, on small known examples."""

import gc
import threading
import weakref

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier import _core
from ranvier.autograd import Function


def leaf(*values):
    return rv.tensor(list(values), requires_grad=True)


class Halves(Function):
    """Two outputs from one input, and a record of what backward was given."""

    def forward(self, x, *, seen):
        self.seen, self.like = seen, x
        return _core.multiply(x, 2.0), _core.multiply(x, 3.0)

    def backward(self, first, second):
        self.seen.append((first is not None, second is not None))
        total = None
        for grad, factor in ((first, 2.0), (second, 3.0)):
            if grad is not None:
                part = _core.multiply(grad, factor)
                total = part if total is None else _core.add(total, part)
        return total


class Square(Function):
    """y = x^2 that saves its input."""

    def forward(self, x):
        self.save(x)
        return _core.multiply(x, x)

    def backward(self, grad):
        (x,) = self.saved
        return _core.multiply(_core.multiply(grad, x), 2.0)


class TestGraphs:
    def test_an_input_used_twice_gets_both_gradients(self):
        x = leaf(3.0)
        (x * x + x).backward()
        assert x.grad.item() == 7.0

    def test_a_diamond_visits_its_top_once(self):
        visits = []

        class Spy(Function):
            def forward(self, x):
                return _core.multiply(x, 1.0)

            def backward(self, grad):
                visits.append(grad.numpy().tolist())
                return grad

        x = leaf(2.0)
        top = Spy.apply(x)
        (top * 3.0 + top * top).backward()
        assert visits == [[7.0]], "backward ran before its gradient was complete"
        assert x.grad.item() == 7.0

    def test_paths_of_different_length_meet(self):
        x = leaf(2.0)
        long = x
        for _ in range(10):
            long = long * 1.5
        (long * x).backward()
        assert x.grad.item() == pytest.approx(2 * 2.0 * 1.5**10)

    def test_two_roots_accumulate(self):
        x = leaf(1.0)
        y = x * 2.0
        (y * 3.0).backward(retain_graph=True)
        (y * 5.0).backward()
        assert x.grad.item() == 16.0

    def test_the_gradient_does_not_share_memory_with_another(self):
        a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
        gradient = rv.ones(2)
        (a + b).backward(gradient)
        with rv.no_grad():
            a.grad.fill_(7.0)
        assert b.grad.tolist() == [1.0, 1.0]
        assert gradient.tolist() == [1.0, 1.0]

    def test_the_gradient_given_to_a_leaf_is_copied(self):
        x, gradient = leaf(1.0, 2.0), rv.ones(2)
        x.backward(gradient)
        x.backward(gradient)
        assert x.grad.tolist() == [2.0, 2.0]
        assert gradient.tolist() == [1.0, 1.0]

    def test_a_constant_gets_no_gradient(self):
        x, c = leaf(2.0), rv.tensor([5.0])
        (x * c).backward()
        assert c.grad is None
        assert x.grad.item() == 5.0

    def test_needs_tells_which_gradients_are_wanted(self):
        seen = []

        class Product(Function):
            def forward(self, a, b):
                self.save(a, b)
                seen.append(self.needs)
                return _core.multiply(a, b)

            def backward(self, grad):
                a, b = self.saved
                return (
                    _core.multiply(grad, b) if self.needs[0] else None,
                    _core.multiply(grad, a) if self.needs[1] else None,
                )

        x = leaf(2.0)
        Product.apply(x, rv.tensor([3.0])).backward()
        Product.apply(x, 3.0)
        with rv.no_grad():
            Product.apply(x, x)
        assert seen == [(True, False), (True, False), (False, False)]
        assert x.grad.item() == 3.0


class TestSeveralOutputs:
    def test_an_unused_output_gets_none(self):
        seen, x = [], leaf(1.0)
        first, _second = Halves.apply(x, seen=seen)
        first.backward()
        assert seen == [(True, False)]
        assert x.grad.item() == 2.0

    def test_both_outputs_used_meet_in_one_call(self):
        seen, x = [], leaf(1.0)
        first, second = Halves.apply(x, seen=seen)
        (first + second).backward()
        assert seen == [(True, True)]
        assert x.grad.item() == 5.0

    def test_one_output_used_twice(self):
        seen, x = [], leaf(1.0)
        _first, second = Halves.apply(x, seen=seen)
        (second * second).backward()
        assert seen == [(False, True)]
        assert x.grad.item() == 18.0

    def test_an_integer_output_has_no_gradient(self):
        class Sign(Function):
            def forward(self, x):
                return _core.multiply(x, 1.0), x.cast(rv.int64.code)

            def backward(self, grad, none):
                assert none is None
                return grad

        x = leaf(2.0)
        value, whole = Sign.apply(x)
        assert value.requires_grad
        assert not whole.requires_grad
        value.backward()
        assert x.grad.item() == 1.0


class TestTheRoot:
    def test_a_scalar_needs_no_gradient(self):
        for shape in ((), (1,), (1, 1)):
            x = rv.full(shape, 3.0, requires_grad=True)
            (x * x).backward()
            assert x.grad.item() == 6.0

    def test_anything_else_does(self):
        x = leaf(1.0, 2.0)
        with pytest.raises(ValueError, match=r"\[backward\] expected a scalar, got shape \(2,\)"):
            (x * x).backward()
        (x * x).backward(gradient=rv.tensor([1.0, 10.0]))
        assert x.grad.tolist() == [2.0, 40.0]

    def test_the_gradient_has_the_shape_of_the_root(self):
        x = leaf(1.0, 2.0)
        with pytest.raises(ValueError, match=r"shape \(2,\), got \(3,\)"):
            (x * x).backward(gradient=rv.ones(3))

    def test_the_gradient_is_a_tensor(self):
        with pytest.raises(TypeError, match=r"\[backward\] expected .*ndarray.*rv.tensor"):
            (leaf(1.0) * 2.0).backward(np.ones(1))

    def test_a_root_without_history_is_refused(self):
        with pytest.raises(RuntimeError, match="requires_grad"):
            rv.ones(1).backward()
        x = leaf(1.0)
        with pytest.raises(RuntimeError, match="requires_grad"):
            (x * 2.0).detach().backward()

    def test_a_leaf_may_be_the_root(self):
        x = leaf(4.0)
        x.backward()
        assert x.grad.item() == 1.0

    def test_the_gradient_is_converted_to_the_roots_dtype(self):
        x = leaf(1.0)
        (x * 2.0).backward(rv.tensor([3.0], dtype="float64"))
        assert x.grad.dtype == rv.float32
        assert x.grad.item() == 6.0


class TestAgain:
    def test_a_second_backward_raises(self):
        x = leaf(2.0)
        y = Square.apply(x)
        y.backward()
        with pytest.raises(RuntimeError, match="retain_graph=True"):
            y.backward()
        assert x.grad.item() == 4.0, "the refused backward must not touch gradients"

    def test_also_for_ops_that_save_nothing(self):
        x = leaf(2.0)
        y = x + 1.0
        y.backward()
        with pytest.raises(RuntimeError, match="retain_graph=True"):
            y.backward()

    def test_unless_the_graph_is_retained(self):
        x = leaf(2.0)
        y = Square.apply(x)
        y.backward(retain_graph=True)
        y.backward()
        assert x.grad.item() == 8.0

    def test_grad_accumulates(self):
        x = leaf(2.0)
        for _ in range(3):
            (x * 5.0).backward()
        assert x.grad.item() == 15.0

    def test_saved_values_are_freed_by_backward(self):
        x = leaf(2.0)
        y = Square.apply(x * 1.0)
        function = y.node
        assert function.saved is not None
        y.backward()
        assert function.saved is None
        assert function.edges is None


class TestLeaves:
    def test_only_leaves_get_a_gradient(self):
        x = leaf(2.0)
        y = x * 3.0
        (y * y).backward()
        assert y.grad is None
        assert x.grad.item() == 36.0
        assert x.is_leaf
        assert not y.is_leaf

    def test_unless_retain_grad_asks(self):
        x = leaf(2.0)
        y = x * 3.0
        y.retain_grad()
        (y * y).backward()
        assert y.grad.item() == 12.0

    def test_retain_grad_of_one_of_several_outputs(self):
        x = leaf(2.0)
        first, second = Halves.apply(x, seen=[])
        second.retain_grad()
        (first * second).backward()
        assert second.grad.item() == 4.0

    def test_retain_grad_of_the_root(self):
        y = leaf(2.0) * 3.0
        y.retain_grad()
        y.backward()
        assert y.grad.item() == 1.0

    @pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool"])
    def test_whole_numbers_cannot_require_a_gradient(self, dtype):
        with pytest.raises(TypeError, match=dtype):
            rv.zeros(2, dtype=dtype, requires_grad=True)
        with pytest.raises(TypeError, match=dtype):
            rv.zeros(2, dtype=dtype).requires_grad_()

    def test_a_computed_tensor_cannot_stop_requiring_one(self):
        y = leaf(1.0) * 2.0
        with pytest.raises(RuntimeError, match="detach"):
            y.requires_grad = False

    def test_detach_shares_memory_and_cuts_history(self):
        x = leaf(1.0, 2.0)
        y = (x * 2.0).detach()
        assert not y.requires_grad
        assert y.is_leaf
        z = x.detach()
        z.fill_(5.0)
        assert x.tolist() == [5.0, 5.0]


class TestBroadcast:
    def test_gradients_are_summed_back(self):
        row, column = rv.ones(1, 3, requires_grad=True), rv.ones(2, 1, requires_grad=True)
        number = rv.ones(requires_grad=True)
        (row * column * number).backward(rv.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
        assert row.grad.tolist() == [[5.0, 7.0, 9.0]]
        assert column.grad.tolist() == [[6.0], [15.0]]
        assert number.grad.shape == ()
        assert number.grad.item() == 21.0

    def test_also_where_an_axis_was_added(self):
        bias = rv.zeros(3, requires_grad=True)
        (rv.ones(4, 2, 3) + bias).backward(rv.ones(4, 2, 3))
        assert bias.grad.tolist() == [8.0, 8.0, 8.0]

    def test_mixed_dtypes_come_back_in_their_own(self):
        x = rv.ones(2, requires_grad=True)
        y = rv.ones(2, dtype="float64", requires_grad=True)
        z = x * y
        assert z.dtype == rv.float64
        z.backward(rv.ones(2, dtype="float64"))
        assert x.grad.dtype == rv.float32
        assert y.grad.dtype == rv.float64


class TestInPlace:
    def test_a_changed_saved_value_is_named(self):
        x = leaf(2.0)
        y = x * 1.0
        z = Square.apply(y.detach().requires_grad_())
        del y
        w = rv.tensor([3.0])
        z = x * w
        w.fill_(4.0)
        with pytest.raises(RuntimeError, match=r"\[multiply\].*changed in place"):
            z.backward()
        assert x.grad is None

    def test_also_through_a_view(self):
        w, x = rv.ones(2, 2), rv.ones(2, 2, requires_grad=True)
        z = x * w
        w.detach().fill_(9.0)
        with pytest.raises(RuntimeError, match="changed in place"):
            z.backward(rv.ones(2, 2))

    def test_a_change_before_saving_is_fine(self):
        w, x = rv.ones(1), leaf(2.0)
        w.fill_(4.0)
        (x * w).backward()
        assert x.grad.item() == 4.0

    def test_a_change_of_something_else_is_fine(self):
        w, x, other = rv.ones(1), leaf(2.0), rv.ones(1)
        z = x * w
        other.fill_(4.0)
        z.backward()
        assert x.grad.item() == 1.0

    def test_an_op_that_saves_nothing_does_not_care(self):
        w, x = rv.ones(1), leaf(2.0)
        z = x + w
        w.fill_(4.0)
        z.backward()
        assert x.grad.item() == 1.0

    def test_a_parameter_updated_between_forward_and_backward_is_noticed(self):
        x, w = leaf(2.0), leaf(3.0)
        z = x * w
        with rv.no_grad():
            w -= 1.0
        with pytest.raises(RuntimeError, match="changed in place"):
            z.backward()

    def test_a_leaf_is_written_only_without_recording(self):
        x = leaf(1.0, 2.0)
        for change in (lambda: x.fill_(0.0), lambda: x.copy_(rv.ones(2)), lambda: x.__iadd__(1.0)):
            with pytest.raises(RuntimeError, match="no_grad"):
                change()
        with rv.no_grad():
            x += 1.0
        assert x.tolist() == [2.0, 3.0]

    def test_a_computed_tensor_is_never_written(self):
        y = leaf(1.0) * 2.0
        with pytest.raises(RuntimeError, match="history"):
            y += 1.0
        with rv.no_grad(), pytest.raises(RuntimeError, match="history"):
            y.fill_(0.0)


class TestNoGrad:
    def test_nothing_is_recorded(self):
        x = leaf(1.0)
        with rv.no_grad():
            y = x * 2.0
        assert not y.requires_grad
        assert y.is_leaf

    def test_it_ends_also_after_an_error(self):
        with pytest.raises(KeyError), rv.no_grad():
            raise KeyError
        assert (leaf(1.0) * 2.0).requires_grad

    def test_it_nests_and_can_be_lifted(self):
        x = leaf(1.0)
        with rv.no_grad():
            with rv.no_grad():
                pass
            assert not (x * 2.0).requires_grad
            with rv.enable_grad():
                assert (x * 2.0).requires_grad
            assert not rv.is_grad_enabled()
        assert rv.is_grad_enabled()

    def test_it_decorates_functions(self):
        x = leaf(1.0)

        @rv.no_grad()
        def evaluate():
            return x * 2.0

        assert not evaluate().requires_grad
        assert not evaluate().requires_grad

    def test_it_concerns_one_thread(self):
        x, inside, done = leaf(1.0), threading.Event(), threading.Event()
        recorded = []

        def other():
            inside.wait(10)
            recorded.append((x * 2.0).requires_grad)
            done.set()

        thread = threading.Thread(target=other)
        thread.start()
        with rv.no_grad():
            inside.set()
            assert done.wait(10)
        thread.join()
        assert recorded == [True]


class TestLongChains:
    LENGTH = 100_000

    def chain(self, x):
        y = x
        for _ in range(self.LENGTH):
            y = y + 1.0
        return y

    def test_backward_does_not_recurse(self):
        x = leaf(0.0)
        self.chain(x).backward()
        assert x.grad.item() == 1.0

    def test_an_unused_chain_is_freed_without_recursion(self):
        x = leaf(0.0)
        y = self.chain(x)
        first = weakref.ref(x)
        before = _core.memory_stats()[0]
        del y
        gc.collect()
        assert _core.memory_stats()[0] <= before
        del x
        gc.collect()
        assert first() is None

    def test_nothing_is_left_behind(self):
        x = leaf(0.0)
        with rv.no_grad():
            (x + 1.0).item()
        gc.collect()
        before = _core.memory_stats()[0]
        for _ in range(3):
            y = x
            for _ in range(1000):
                y = y * 1.0
            y.backward()
            x.grad = None
            del y
        assert _core.memory_stats()[0] == before, "no cycle may wait for the garbage collector"


class TestErrors:
    def test_a_wrong_number_of_gradients_is_named(self):
        class Wrong(Function):
            def forward(self, a, b):
                return _core.add(a, b)

            def backward(self, grad):
                return grad

        x = leaf(1.0)
        with pytest.raises(RuntimeError, match=r"\[wrong\] expected backward to return 2"):
            Wrong.apply(x, x).backward()

    def test_an_error_in_forward_leaves_recording_as_it_was(self):
        x = leaf(1.0, 2.0)
        with pytest.raises(ValueError, match="add"):
            _ = x + rv.ones(3)
        assert (x * 2.0).requires_grad

    def test_anomalies_are_named(self):
        zero = rv.zeros(1, requires_grad=True)
        with rv.detect_anomaly(), pytest.raises(FloatingPointError, match="divide"):
            _ = zero / 0.0
        y = leaf(1.0) * 2.0
        with rv.detect_anomaly(), pytest.raises(FloatingPointError, match=r"backward.*multiply"):
            y.backward(rv.tensor([np.nan]))


def test_a_leaf_does_not_add_to_a_gradient_that_others_still_read():
    """A sum hands one array to all its terms; the leaf among them accumulates in its own."""
    for size in ((), (3,)):
        x, c = rv.full(size, 2.0, requires_grad=True), rv.full(size, 1.0)
        (x + (F.exp(x) + F.exp(x))).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), 1 + 2 * np.exp(2.0), rtol=1e-6)
        x.grad = None
        F.mse_loss(x + (x * c + F.square(x)), c, "sum").backward()  # e = 7, de/dx = 6
        np.testing.assert_allclose(x.grad.numpy(), 2 * 7 * 6, rtol=1e-6)


class TestParts:
    """Views of one tensor: their gradients are added up in one array."""

    @staticmethod
    def counted(monkeypatch):
        made, real = [], _core.empty_in_order
        monkeypatch.setattr(_core, "empty_in_order", lambda *like: made.append(like) or real(*like))
        return made

    @pytest.mark.parametrize("where", ["leaf", "node", "output"])
    def test_a_loop_makes_one_array(self, monkeypatch, where):
        x = rv.tensor(np.arange(60.0).reshape(20, 3), requires_grad=True)
        given = {"leaf": lambda: x, "node": lambda: x * 2.0, "output": lambda: x.split(20)[0]}
        made, z = self.counted(monkeypatch), given[where]()
        sum((z[t] * float(t) for t in range(20)), rv.zeros(3, dtype="float64")).sum().backward()
        factor = 2.0 if where == "node" else 1.0
        assert x.grad.tolist() == [[factor * t] * 3 for t in range(20)]
        assert len(made) == (2 if where == "output" else 1)

    @pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
    @pytest.mark.parametrize("node", [False, True])
    def test_overlapping_views_and_the_whole(self, dtype, node):
        x = rv.ones(4, 6, dtype=dtype, requires_grad=True)
        z = x.clone() if node else x
        parts = [z[0], z[:, 1:3], z[:, 1:3], z, z[::-1, ::2], z[1, 2], z.mT[3]]
        sum(part.to(rv.float64).sum() for part in parts).backward()
        expected = np.ones((4, 6))
        expected[0] += 1
        expected[:, 1:3] += 2
        expected[:, ::2] += 1
        expected[1, 2] += 1
        expected[:, 3] += 1
        assert x.grad.tolist() == expected.tolist()
        assert x.grad.dtype.name == dtype

    def test_what_others_read_is_not_added_to(self):
        """The gradient of the sum goes to both terms: z must not add its part to that of y."""
        x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
        other, z = y.clone(), x.clone()
        first = z[:1]  # its turn comes after that of the sum and before that of `other`
        total = z + other
        total.retain_grad()
        rv.functional.concat([total, first]).backward(rv.tensor([5.0, 6.0, 7.0]))
        assert (x.grad.tolist(), y.grad.tolist()) == ([12.0, 6.0], [5.0, 6.0])
        assert total.grad.tolist() == [5.0, 6.0]

    def test_a_loop_that_is_captured(self):
        x = leaf(1.0, 2.0, 3.0)

        @rv.capture
        def step():
            x.grad = None
            z = x * x
            loss = (z[0] * z[1] + z[2] * 2.0 + x[1]).sum()
            loss.backward()
            return loss

        for _ in range(4):
            assert step().item() == 24.0
            assert x.grad.tolist() == [8.0, 5.0, 12.0]
        assert step.program is not None


def test_an_array_given_twice_is_not_shared():
    class Twice(Function):
        def forward(self, a, b):
            return _core.add(a, b)

        def backward(self, grad):
            g = _core.multiply(grad, 3.0)
            return g, g

    class Kept(Function):
        def forward(self, a):
            self.save(_core.multiply(a, 2.0))
            return _core.multiply(a, a)

        def backward(self, grad):
            return self.saved[0]

    a, b = rv.ones(2, requires_grad=True), rv.ones(2, requires_grad=True)
    Twice.apply(a, b).sum().backward()
    a.sum().backward()
    assert (a.grad.tolist(), b.grad.tolist()) == ([4.0, 4.0], [3.0, 3.0])
    c = rv.ones(2, requires_grad=True)
    y = Kept.apply(c).sum()
    for total in (2.0, 4.0, 6.0):
        y.backward(retain_graph=True)
        assert c.grad.tolist() == [total, total]


def test_backward_on_another_thread():
    x = leaf(3.0)
    y = x * x
    thread = threading.Thread(target=y.backward)
    thread.start()
    thread.join()
    assert x.grad.item() == 6.0
