"""Backpropagation on any computational graph (reverse mode, first order).

A `Function` is one step of a computation: its forward stands above its backward, and the instance
is both the node of the graph and the context that keeps what backward needs. The graph is what ran.

Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors",
Nature 323 (1986); Baydin et al., "Automatic differentiation in machine learning: a survey",
JMLR 18 (2018).
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from ranvier import _core, guards
from ranvier.tensor import Tensor, clock, not_a_tensor

Array = _core.Array


next_sequence = itertools.count().__next__
_GRAD, _ANOMALY = 1, 2  # bits of the thread's mode; see `_core.mode`
AUTOCAST_BITS = 12  # the others: see `ranvier.autocast`


@contextmanager
def _mode(bit: int, on: bool) -> Iterator[None]:
    before = _core.mode()
    _core.set_mode(before | bit if on else before & ~bit)
    try:
        yield
    finally:
        _core.set_mode(before)


def no_grad() -> AbstractContextManager[None]:
    """Computes without building a graph: for evaluation and for updating parameters.

    Thread-local; a context manager and a decorator. Example:
        >>> import ranvier as rv
        >>> w = rv.ones(2, requires_grad=True)
        >>> with rv.no_grad():
        ...     y = w * 2
        >>> y.requires_grad
        False
    """
    return _mode(_GRAD, False)


def enable_grad() -> AbstractContextManager[None]:
    """Builds the graph again inside a `no_grad` block."""
    return _mode(_GRAD, True)


def detect_anomaly() -> AbstractContextManager[None]:
    """Raises FloatingPointError naming the first op whose output or gradient is NaN. Slow."""
    return _mode(_ANOMALY, True)


def is_grad_enabled() -> bool:
    """Whether operations of this thread are recorded for backward."""
    return bool(_core.mode() & _GRAD)


class Output:
    """Output number `index` of a Function that has several."""

    __slots__ = ("function", "index")

    def __init__(self, function: Function, index: int) -> None:
        self.function, self.index = function, index


class Function:
    """One differentiable operation.

    A subclass defines

    * ``forward(self, *args, **options)``: positional arguments are `_core.Array` (tensors,
      unwrapped), numbers or None; options are keywords. Returns an Array or a tuple of them.
      `self.save(...)` keeps arrays for backward; plain attributes keep anything else. Unless
      `self.retained`, backward may write over saved arrays that nobody else has.
    * ``backward(self, *grads)``: one Array per output, None for an output that nobody used (a
      single output always has its gradient). Returns one Array per positional argument, None where
      there is no gradient; a lone value for a single argument. `self.needs[i]` tells whether
      argument i wants one. A gradient has the shape of its argument (see `unbroadcast`).

    or, on tensors and in PyTorch's form, static methods ``forward(ctx, *args)`` and
    ``backward(ctx, *grads)``, see `ranvier.custom`.
    """

    # Subclasses have a __dict__; these defaults cost nothing until they are replaced.
    edges: tuple[Any, ...] | None = None
    needs: tuple[bool, ...] = ()
    saved: Any = None  # a tuple, once something was saved
    epoch = 0
    retained = False  # whether another backward may want what was saved
    outputs = 0  # 0: a single output that is not a tuple
    sequence = 0
    watch: list[tuple[Any, int | None]] | None = None
    # Mixed precision, see `ranvier.autocast`: "low", "float32", "first" (results have the type of
    # the first tensor), or what tells from the arguments whether it is "float32".
    autocast: Any = None
    halves = False  # forward and backward take half precision as it is

    def __init_subclass__(cls) -> None:
        static = [
            name
            for name in ("forward", "backward")
            if isinstance(vars(cls).get(name), staticmethod)
        ]
        if static:
            from ranvier.custom import static_to_methods

            static_to_methods(cls, static)

    def save(self, *arrays: Any) -> None:
        """Keeps arrays for backward, where they appear as `self.saved`."""
        self.saved = arrays
        self.epoch = clock.now

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """`save` of tensors, in the static form."""
        self.save(*[t.data if isinstance(t, Tensor) else t for t in tensors])

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What `save_for_backward` kept, in the static form."""
        return tuple([Tensor(a) if isinstance(a, Array) else a for a in self.saved or ()])

    @property
    def needs_input_grad(self) -> tuple[bool, ...]:
        """Which arguments want a gradient, in the static form."""
        return self.needs

    def forward(self, *args: Any, **options: Any) -> Any:
        """Computes the operation on Arrays."""
        raise TypeError(f"[autograd] {type(self).__name__} must define forward")

    def backward(self, *grads: Any) -> Any:
        """Gradients of the arguments from the gradients of the outputs."""
        raise TypeError(f"[autograd] {type(self).__name__} has no gradient")

    @classmethod
    def apply(cls, *args: Any, **options: Any) -> Any:
        """Runs forward on tensors and wraps the result, with a graph node when one is needed."""
        mode = _core.mode()
        if mode >= 4:
            return _autocast(cls, mode, args, options)
        node = cls()
        arrays = []
        edges = []
        wanted = False
        for a in args:
            if isinstance(a, Tensor):
                arrays.append(a.data)
                if a._requires_grad:
                    wanted = True
                    edges.append(a.node or a)
                    continue
            else:
                arrays.append(a)
            edges.append(None)
        if wanted and mode & _GRAD:
            node.needs = tuple([e is not None for e in edges])
        else:
            node.needs = (False,) * len(edges)
            wanted = False
        try:
            out = node.forward(*arrays, **options)
        except (TypeError, AttributeError) as error:
            raise _named(error, args) from None
        return node._finish(out, edges if wanted else None, mode)

    @classmethod
    def apply2(cls, a: Any, b: Any) -> Any:
        """`apply` for two arguments, a and b, unrolled: arithmetic on small tensors."""
        mode = _core.mode()
        if mode >= 4:
            return _autocast(cls, mode, (a, b), {})
        node = cls()
        edge_a = edge_b = None
        if isinstance(a, Tensor):
            if a._requires_grad:
                edge_a = a.node or a
            a = a.data
        if isinstance(b, Tensor):
            if b._requires_grad:
                edge_b = b.node or b
            b = b.data
        try:
            if mode == _GRAD and not (edge_a is edge_b is None):
                node.needs = (edge_a is not None, edge_b is not None)
                result = Tensor(node.forward(a, b))
                node.edges = (edge_a, edge_b)
                node.sequence = next_sequence()
                result.node = node
                result._requires_grad = True
                return result
            if mode & _ANOMALY:
                tracked = mode & _GRAD and not (edge_a is edge_b is None)
                node.needs = (edge_a is not None, edge_b is not None)
                return node._finish(node.forward(a, b), (edge_a, edge_b) if tracked else None, mode)
            node.needs = (False, False)
            return Tensor(node.forward(a, b))
        except (TypeError, AttributeError) as error:
            raise _named(error, (a, b)) from None

    def _finish(self, out: Any, edges: Sequence[Any] | None, mode: int) -> Any:
        """Wraps forward's result; with `edges`, this node becomes part of the graph."""
        if mode & _ANOMALY:
            _check_finite(out, f"the forward pass of {_name(self)}")
        if edges is None:
            return tuple([Tensor(a) for a in out]) if type(out) is tuple else Tensor(out)
        self.edges = tuple(edges)
        self.sequence = next_sequence()
        if type(out) is tuple:
            self.outputs = len(out)
            return tuple([_output(self, i, a) for i, a in enumerate(out)])
        result = Tensor(out)
        if out.dtype < 4:  # floating: gradients exist
            result.node = self
            result._requires_grad = True
        return result


def _autocast(cls: type[Function], mode: int, args: Any, options: dict[str, Any]) -> Any:
    from ranvier.autocast import apply

    return apply(cls, mode, args, options)


def _output(node: Function, index: int, array: Array) -> Tensor:
    result = Tensor(array)
    if array.dtype < 4:  # floating: gradients exist
        result.node = Output(node, index)
        result._requires_grad = True
    return result


def _named(error: Exception, args: Sequence[Any]) -> Exception:
    """What Python or the binding says about arguments of a wrong type, in the op's words."""
    binding = "incompatible function arguments" in str(error)
    if not binding and "has no attribute" not in str(error):
        return error
    if any(isinstance(a, Tensor) and a.data.__class__ is not Array for a in args):
        return TypeError(
            f"[{_core.op_name() or 'autograd'}] expected x.data to be an array of the core, got "
            "another object that was assigned to it - write x.copy_(values) inside "
            "`with rv.no_grad():`"
        )
    fitting = Tensor | _core.Array | tuple | None
    wrong = [a for a in args if not isinstance(a, fitting)]
    if not wrong and len(args) < 3:  # longer lists have optional tensors
        wrong = [a for a in args if a is None]
    if wrong:
        return not_a_tensor(wrong[0])
    if binding:
        given = ", ".join("None" if a is None else type(a).__name__ for a in args)
        return TypeError(
            f"[{_core.op_name() or 'autograd'}] expected arguments of other types, got {given}"
        )
    return error


def _name(node: Function) -> str:
    return type(node).__name__.lower().lstrip("_")


def unbroadcast(grad: Array, like: Array) -> Array:
    """The gradient of an argument: summed over broadcast axes, in the argument's dtype."""
    if _core.fits(grad, like):
        return grad
    shape = like.shape
    if grad.shape != shape:
        grad = _core.sum_to(grad, shape)
    return grad.cast(like.dtype)


def _check_finite(out: Any, where: str) -> None:
    for a in out if type(out) is tuple else (out,):
        if a.__class__ is Part:
            a = a.grad
        if a is not None and a.dtype < 2 and _core.has_nan(a):
            raise FloatingPointError(
                f"[detect_anomaly] expected numbers, got NaN in {where} (shape {a.shape})"
            )


def _check_saved(node: Function) -> None:
    for i, a in enumerate(node.saved or ()):
        if isinstance(a, Array) and a.version > node.epoch:
            raise RuntimeError(
                f"[{_name(node)}] expected the value that forward saved (number {i}, shape "
                f"{a.shape}), got one that was changed in place since - change a copy (x = x + 1 "
                "instead of x += 1), or call backward first"
            )


def _held(g: Array, grad: Any, back: tuple[Any, ...], node: Function) -> bool:
    """Whether someone else may still read this array, so that no leaf may add to it.

    A node may hand the gradient from above on as it is, to several arguments (a sum does), or give
    something that it saved.
    """
    if g is grad:
        return True
    times = 0
    for other in back:
        if other is g:
            times += 1
    if times > 1:
        return True
    if node.saved is not None:
        for other in node.saved:
            if other is g:
                return True
    return grad.__class__ is list and any(other is g for other in grad)


class Part:
    """What backward may return for an argument that it met in a view alone: zero elsewhere.

    The parts of one tensor are added up in one array, so that the gradient of a loop over x[t]
    takes as long as the loop.

    Args:
        grad: the gradient of the view.
        key: the view, as an index of the argument.
        like: shape, strides, dtype and device of the argument.
    """

    __slots__ = ("grad", "key", "like")

    def __init__(self, grad: Array, key: Any, like: tuple[Any, Any, int, int]) -> None:
        self.grad, self.key, self.like = grad, key, like

    def whole(self) -> Array:
        """All of the gradient, laid out as the argument is."""
        out = _core.empty_in_order(*self.like)
        _core.copy_into(out, _core.scalar(0.0, out.dtype, out.device))
        view: Any = out.index(self.key)
        _core.copy_into(view, self.grad)
        return out

    def add_to(self, whole: Array) -> None:
        """Adds it to another gradient of the argument, in place."""
        view: Any = whole.index(self.key)
        _add_into(view, self.grad)

    def cast(self, dtype: int) -> Array:
        """All of the gradient in another dtype."""
        return self.whole().cast(dtype)


def _add_into(to: Array, grad: Array) -> None:
    if grad.dtype in (2, 3):  # bfloat16, float16
        _core.copy_into(to, _sum(to, grad))
    else:
        _core.add_into(to, grad)


def _sum(a: Array, b: Array) -> Array:
    if a.dtype in (2, 3):  # half precision is added in float32
        return _core.add(a.cast(0), b.cast(0)).cast(a.dtype)
    return _core.add(a, b)


def _accumulate(leaf: Tensor, grad: Any) -> None:
    if guards.watches:
        guards.touch(leaf)
    part = grad.__class__ is Part
    if leaf.grad is None:
        # A fresh gradient of the same layout is taken as it is; anything shared is copied: at
        # once where it is small, else when it or what it shares is written.
        leaf.grad = Tensor(_core.own_gradient(grad.whole() if part else grad, leaf.data))
    else:
        if part:
            grad.add_to(leaf.grad.data)
        else:
            _add_into(leaf.grad.data, grad)
        clock.changed(leaf.grad.data)


def backward(root: Tensor, gradient: Tensor | None = None, retain_graph: bool = False) -> None:
    """Adds d(root)/d(leaf) to `.grad` of every leaf that `root` was computed from.

    Nodes are visited from the last created to the first, so a node's gradient is complete when its
    turn comes; no recursion, and each node lets go of what it saved as soon as it is done.

    Args:
        root: usually a loss of one element.
        gradient: d(objective)/d(root), needed when root has more than one element.
        retain_graph: keeps the saved values for a second backward.

    Raises:
        ValueError: root is not a scalar and no gradient is given, or shapes differ.
        RuntimeError: no graph, a second backward, or a saved value that was changed in place.
    """
    if not root._requires_grad:
        raise RuntimeError(
            "[backward] expected a tensor computed from one with requires_grad=True, got one "
            "without history - set requires_grad, and leave no_grad() and detach() out of the way"
        )
    data = root.data
    if gradient is None:
        if data.size != 1:
            raise ValueError(
                f"[backward] expected a scalar, got shape {data.shape} - reduce it with .sum() or "
                ".mean(), or pass gradient= of that shape"
            )
        seed = _core.empty_like(data)
        _core.copy_into(seed, _core.scalar(1.0, data.dtype, data.device))
    else:
        if not isinstance(gradient, Tensor):
            raise TypeError(
                f"[backward] expected gradient= as a tensor, got {type(gradient).__name__} - wrap "
                "it in rv.tensor"
            )
        seed = gradient.data
        if seed.shape != data.shape:
            raise ValueError(
                f"[backward] expected gradient= of shape {data.shape}, got {seed.shape}"
            )
        seed = seed.cast(data.dtype)
    if root.node is None:
        return _accumulate(root, seed)

    grads: dict[Function, Any] = {}
    heap: list[tuple[int, Function]] = []
    anomaly = _core.mode() & _ANOMALY

    own: set[Any] = set()  # edges whose gradient lies in an array that nobody else has

    def joined(edge: Any, have: Array | None, grad: Any) -> Array:
        """What is known of the gradient at `edge`, and one more, where one is there or a part."""
        if grad.__class__ is Part:
            if have is not None and edge in own:
                grad.add_to(have)
                return have
            grad = grad.whole()
        own.add(edge)
        return grad if have is None else _sum(have, grad)

    def give(edge: Any, grad: Any) -> None:
        """Adds to what is known of the gradient at `edge`."""
        if isinstance(edge, Function):
            have = grads.get(edge)
            if have is None:
                grads[edge] = joined(edge, None, grad) if grad.__class__ is Part else grad
                heappush(heap, (-edge.sequence, edge))
            else:
                grads[edge] = joined(edge, have, grad)
        elif isinstance(edge, Tensor):
            _accumulate(edge, grad)
        else:
            node = edge.function
            slots = grads.get(node)
            if slots is None:
                slots = grads[node] = [None] * node.outputs
                heappush(heap, (-node.sequence, node))
            have = slots[edge.index]
            if have is None and grad.__class__ is not Part:
                slots[edge.index] = grad
            else:
                slots[edge.index] = joined(edge, have, grad)

    give(root.node, seed)
    while heap:
        node = heappop(heap)[1]
        grad = grads.pop(node)
        edges = node.edges
        if edges is None:
            raise RuntimeError(
                f"[{_name(node)}] expected a graph that still holds its saved values, got one that "
                "backward already went through - pass retain_graph=True to the first backward"
            )
        if node.watch is not None:
            for tensor, index in node.watch:
                target, g = tensor(), grad if index is None else grad[index]
                if target is not None and g is not None:
                    _accumulate(target, g)
        if node.saved is not None and node.epoch != clock.now:
            _check_saved(node)
        if retain_graph:
            node.retained = True
        back = node.backward(*grad) if node.outputs else node.backward(grad)
        if back.__class__ is not tuple:
            back = (back,)
        if anomaly:
            _check_finite(back, f"the backward pass of {_name(node)}")
        if len(back) != len(edges):
            raise RuntimeError(
                f"[{_name(node)}] expected backward to return {len(edges)} gradients, got "
                f"{len(back)}"
            )
        for edge, g in zip(edges, back):  # noqa: B905 - lengths were compared above
            if edge is not None and g is not None:
                if isinstance(edge, Tensor) and edge.grad is None and _held(g, grad, back, node):
                    g = g.cast(g.dtype)  # a second handle: the leaf sees that it must copy
                give(edge, g)
        if not retain_graph:
            node.__dict__.clear()  # whatever it saved, and its edges


def retain_grad(tensor: Tensor) -> None:
    """Keeps the gradient of a tensor in the middle of the graph in its `.grad`."""
    node = tensor.node
    if node is None:
        return
    function, index = (node.function, node.index) if isinstance(node, Output) else (node, None)
    if function.watch is None:
        function.watch = []
    function.watch.append((weakref.ref(tensor), index))


if not TYPE_CHECKING:  # mypy shall go on refusing names that are not there

    def __getattr__(name: str) -> Any:
        from ranvier.cures import missing

        raise missing(__name__, name)
