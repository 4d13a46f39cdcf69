"""Functions in PyTorch's form: static methods on tensors, with a context."""

import pytest

import ranvier as rv


class Cube(rv.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * grad


class Clamped(rv.Function):
    """One tensor among the arguments, an option that is none, and a gradient of its own."""

    @staticmethod
    def forward(ctx, x, limit, w):
        ctx.limit = limit
        ctx.save_for_backward(x, w)
        return x.clamp(-limit, limit), w * 2

    @staticmethod
    def backward(ctx, grad_x, grad_w):
        assert ctx.needs_input_grad == (True, False, True)
        return grad_x, None, grad_w * 2


def test_value_and_gradient():
    x = rv.tensor([1.0, -2.0], requires_grad=True)
    y = Cube.apply(x)
    assert y.tolist() == [1.0, -8.0]
    (y * rv.tensor([1.0, 10.0])).sum().backward()
    assert x.grad.tolist() == [3.0, 120.0]
    assert not Cube.apply(x.detach()).requires_grad


def test_several_arguments_and_an_unused_output():
    x, w = rv.tensor([5.0], requires_grad=True), rv.tensor([3.0], requires_grad=True)
    y, z = Clamped.apply(x, 2.0, w)
    assert (y.item(), z.item()) == (2.0, 6.0)
    z.backward()  # the other's gradient comes as zeros
    assert (x.grad.item(), w.grad.item()) == (0.0, 2.0)


def test_inside_a_captured_step():
    w = rv.tensor([2.0], requires_grad=True)
    optimizer = rv.optim.SGD([w], lr=0.125)

    def step(x):
        optimizer.zero_grad()
        Cube.apply(w * x).sum().backward()
        optimizer.step()
        return w

    eager = [step(rv.ones(1)).item() for _ in range(5)]
    with rv.no_grad():
        w.fill_(2.0)
    step = rv.capture(step)
    assert [step(rv.ones(1)).item() for _ in range(5)] == eager


def test_a_saved_tensor_that_was_changed_is_noticed():
    x = rv.tensor([1.0], requires_grad=True)
    y = Cube.apply(x)
    with rv.no_grad():
        x.add_(1.0)
    with pytest.raises(RuntimeError, match=r"\[cube\] expected the value that forward saved"):
        y.backward()


def test_refusals():
    class Short(rv.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + b

        @staticmethod
        def backward(ctx, grad):
            return grad

    class Wide(rv.Function):
        @staticmethod
        def forward(ctx, a):
            return a.sum()

        @staticmethod
        def backward(ctx, grad):
            return grad

    class Number(rv.Function):
        @staticmethod
        def forward(ctx, a):
            return 1.0

    x = rv.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match=r"\[Short\] expected backward to give 2 gradients"):
        Short.apply(x, x).sum().backward()
    with pytest.raises(ValueError, match=r"\[Wide\] expected gradient 0 .*\(3,\), got \(\)"):
        Wide.apply(x).backward()
    with pytest.raises(TypeError, match=r"\[Number\] expected forward to give tensors, got float"):
        Number.apply(x)
    with pytest.raises(TypeError, match="add @staticmethod"):

        class Half(rv.Function):
            @staticmethod
            def forward(ctx, a):
                return a

            def backward(self, grad):
                return grad
