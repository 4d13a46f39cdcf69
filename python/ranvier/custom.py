"""Functions written on tensors, in PyTorch's form: static methods that take a context first.

    class Cube(rv.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return 3 * x**2 * grad

    y = Cube.apply(x)

The library's own Functions work on bare arrays instead, with methods of the node; see
`ranvier.autograd.Function`. Gradients are of first order: backward is not itself recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from ranvier import _core
from ranvier.autograd import Function, no_grad
from ranvier.tensor import Tensor

Array = _core.Array


def _wrapped(value: Any) -> Any:
    return Tensor(value) if isinstance(value, Array) else value


def _zeros(like: tuple[tuple[int, ...], int, int]) -> Tensor:
    array = _core.empty(*like)
    _core.copy_into(array, _core.scalar(0.0, like[1], like[2]))
    return Tensor(array)


def _array(name: str, value: Any) -> Array:
    if not isinstance(value, Tensor):
        raise TypeError(f"[{name}] expected forward to give tensors, got {type(value).__name__}")
    return value.data


def static_to_methods(cls: type[Function], names: list[str]) -> None:
    """Makes methods on arrays of a class's static methods on tensors.

    Raises:
        TypeError: only one of forward and backward is static.
    """
    for name in ("forward", "backward"):
        if name in vars(cls) and name not in names:
            raise TypeError(
                f"[{cls.__name__}] expected forward and backward to be static both, or methods "
                f"both, got {names[0]} static and {name} not - add @staticmethod"
            )
    for name in names:
        user = vars(cls)[name].__func__
        setattr(cls, name, forward_of(user) if name == "forward" else backward_of(user))


def forward_of(user: Callable[..., Any]) -> Callable[..., Any]:
    """The method on arrays that a static forward on tensors stands for."""

    def forward(self: Function, *args: Any, **options: Any) -> Any:
        name = type(self).__name__
        with no_grad():
            out = user(self, *[_wrapped(a) for a in args], **options)
        given = out if isinstance(out, tuple) else (out,)
        arrays = tuple([_array(name, t) for t in given])
        context: Any = self
        context.inputs_like = [
            (a.shape, a.dtype, a.device) if isinstance(a, Array) else None for a in args
        ]
        context.outputs_like = [(a.shape, a.dtype, a.device) for a in arrays]
        return arrays if isinstance(out, tuple) else arrays[0]

    return forward


def backward_of(user: Callable[..., Any]) -> Callable[..., Any]:
    """The method on arrays that a static backward on tensors stands for."""

    def backward(self: Function, *grads: Any) -> Any:
        name, context = type(self).__name__, cast(Any, self)
        likes, outputs = context.inputs_like, context.outputs_like
        with no_grad():
            back = user(
                self,
                *[
                    _zeros(like) if g is None else Tensor(g)
                    for g, like in zip(grads, outputs, strict=True)
                ],
            )
        given = back if isinstance(back, tuple) else (back,)
        if len(given) != len(likes):
            raise ValueError(
                f"[{name}] expected backward to give {len(likes)} gradients, one for each argument "
                f"of forward, got {len(given)} - give None where there is none"
            )
        arrays: list[Any] = []
        for i, (g, like) in enumerate(zip(given, likes, strict=True)):
            if g is None or like is None:
                arrays.append(None)
                continue
            array = _array(name, g)
            if array.shape != like[0]:
                raise ValueError(
                    f"[{name}] expected gradient {i} of the argument's shape {like[0]}, got "
                    f"{array.shape}"
                )
            arrays.append(array.cast(like[1]))
        return tuple(arrays) if len(arrays) > 1 else arrays[0]

    return backward
