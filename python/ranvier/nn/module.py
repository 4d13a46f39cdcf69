"""Module: a part of a network, made of plain attributes.

Nothing is registered. A module's parameters, buffers and submodules are whatever its attributes
hold, also inside lists, tuples and dicts, and their dotted names are the way to reach them:
`features.3.weight` is `net.features[3].weight`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, Self

from ranvier import _core, guards
from ranvier.autograd import no_grad
from ranvier.capture import CaptureError, is_capturing
from ranvier.dtypes import DType, as_device, bfloat16, float16, float32, float64
from ranvier.guards import guard
from ranvier.nn.parameter import Buffer, Parameter
from ranvier.ops._arguments import state_mapping
from ranvier.tensor import Tensor, from_host


class Observer(Protocol):
    """Sees every module call of a thread; see `observe`."""

    def enter(self, module: Module, inputs: tuple[Any, ...]) -> None:
        """Called before `forward`."""

    def leave(self, module: Module, inputs: tuple[Any, ...], output: Any) -> None:
        """Called after `forward`."""


_observers: dict[int, Observer] = {}  # by thread; empty nearly always


@contextmanager
def observe(observer: Observer) -> Iterator[None]:
    """Reports every module call of this thread to `observer`, outer calls around inner ones."""
    thread = threading.get_ident()
    before = _observers.get(thread)
    _observers[thread] = observer
    try:
        yield
    finally:
        if before is None:
            del _observers[thread]
        else:
            _observers[thread] = before


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict(strict=False)` passed over."""

    missing: list[str]
    unexpected: list[str]


class Hook:
    """A function that a module calls before or after its `forward`; `remove()` ends that."""

    def __init__(self, module: Module, function: Callable[..., Any], before: bool) -> None:
        self.module, self.function, self.before = module, function, before

    def remove(self) -> None:
        """Lets the module forget the function."""
        self.module._hooks = tuple([h for h in self.module._hooks if h is not self])


def _no_forward(self: Any, *inputs: Any) -> Any:
    """What the module computes; every class defines its own."""
    raise TypeError(f"[{type(self).__name__}] expected the class to define forward(self, ...)")


class Module:
    """A part of a network: define `forward`, keep what it needs as attributes.

    Calling a module calls `forward`. An error raised inside has the layer's path in front:
    ``LeNet.features.3 (Conv2d): [conv2d] expected ...``.

    Example:
        >>> import ranvier as rv
        >>> class Double(rv.nn.Module):
        ...     def __init__(self):
        ...         self.factor = rv.nn.Parameter(2.0)
        ...     def forward(self, x):
        ...         return x * self.factor
        >>> Double()(rv.tensor([1.0, 3.0])).tolist()
        [2.0, 6.0]
    """

    forward: Callable[..., Any] = _no_forward

    # Names of tensors that hold a layer's numbers (dropout's p): they follow it to a device, keep
    # their dtype, and are no state.
    _settings: tuple[str, ...] = ()
    _hooks: tuple[Hook, ...] = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs `forward`."""
        if guards.watches:
            guards.enter(self)
            _guard_parts(self, vars(self))
            guard(self, "_hooks", self._hooks)
        observer = _observers.get(threading.get_ident()) if _observers else None
        forward = self._hooked if self._hooks else self.forward
        try:
            if observer is None:
                return forward(*args, **kwargs)
            observer.enter(self, args)
            output = forward(*args, **kwargs)
            observer.leave(self, args, output)
            return output
        except _LOCATED as error:
            _locate(self, error)
            raise

    # ---- hooks ----

    def register_forward_hook(self, function: Callable[..., Any]) -> Hook:
        """Calls function(module, inputs, output) after each `forward`.

        What it returns, unless None, takes the place of the output. A captured step has no Python
        to call it: recording one refuses modules with hooks.

        Returns:
            The hook, with a method `remove`.
        """
        return self._register(function, before=False)

    def register_forward_pre_hook(self, function: Callable[..., Any]) -> Hook:
        """Calls function(module, inputs) before each `forward`; what it returns replaces them."""
        return self._register(function, before=True)

    def _register(self, function: Callable[..., Any], before: bool) -> Hook:
        if not callable(function):
            raise TypeError(f"[Module] expected a function as hook, got {type(function).__name__}")
        hook = Hook(self, function, before)
        self._hooks = (*self._hooks, hook)
        return hook

    def _hooked(self, *args: Any, **kwargs: Any) -> Any:
        if is_capturing():
            raise CaptureError(
                f"[{type(self).__name__}] expected no hooks in a captured step, which is replayed "
                "without Python - remove them, or call the step without rv.capture"
            )
        for hook in [h for h in self._hooks if h.before]:
            given = hook.function(self, args)
            if given is not None:
                args = given if isinstance(given, tuple) else (given,)
        output = self.forward(*args, **kwargs)
        for hook in [h for h in self._hooks if not h.before]:
            given = hook.function(self, args, output)
            output = output if given is None else given
        return output

    # ---- what is inside ----

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """`self.name = Buffer(tensor, persistent)`, under PyTorch's name; None is kept as None."""
        self._add(name, None if tensor is None else Buffer(tensor, persistent))

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """`self.name = param`, under PyTorch's name."""
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"[register_parameter] expected a Parameter, got {type(param).__name__} - wrap it "
                "in nn.Parameter"
            )
        self._add(name, param)

    def add_module(self, name: str, module: Module | None) -> None:
        """`self.name = module`, under PyTorch's name."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"[add_module] expected a Module, got {type(module).__name__}")
        self._add(name, module)

    def _add(self, name: str, value: Any) -> None:
        taken = hasattr(self, name) and not isinstance(
            getattr(self, name), Module | Parameter | Buffer | None
        )
        if not isinstance(name, str) or not name or "." in name or taken:
            raise ValueError(
                f"[{type(self).__name__}] expected a free name without dots, got {name!r}"
            )
        setattr(self, name, value)

    def get_submodule(self, target: str) -> Module:
        """The module of a dotted name such as "features.3"; "" is this one.

        Raises:
            AttributeError: there is none.
        """
        return _named(self, target, self.named_modules(), "module")

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of a dotted name such as "features.3.weight"."""
        return _named(self, target, self.named_parameters(), "parameter")

    def get_buffer(self, target: str) -> Buffer:
        """The buffer of a dotted name such as "features.1.running_mean"."""
        return _named(self, target, self.named_buffers(), "buffer")

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that the attributes hold, by name."""
        for name, member in _members(self):
            if isinstance(member, Module):
                yield name, member

    def children(self) -> Iterator[Module]:
        """The modules that the attributes hold."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module (named `prefix`) and all below it, each once, parents first."""
        return _walk(self, prefix, set())

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once, parents first."""
        return (module for _, module in self.named_modules())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The learned tensors by dotted name; a shared one appears once, under its first name.

        Args:
            prefix: stands before the names.
            recurse: those of modules below too.
        """
        return _tensors(self, Parameter, prefix, recurse)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The learned tensors, each once; without `recurse`, not those of modules below."""
        return (p for _, p in self.named_parameters("", recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Buffer]]:
        """The kept tensors by dotted name, each once; arguments as of `named_parameters`."""
        return _tensors(self, Buffer, prefix, recurse)

    def buffers(self, recurse: bool = True) -> Iterator[Buffer]:
        """The kept tensors, each once; without `recurse`, not those of modules below."""
        return (b for _, b in self.named_buffers("", recurse))

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Calls `function` on every module, children first; returns this module."""
        for module in reversed(list(self.modules())):
            function(module)
        return self

    # ---- modes ----

    @property
    def training(self) -> bool:
        """Whether the module is being trained (dropout acts) or used; see `train` and `eval`.

        A captured step that read it is recorded again after it changed.
        """
        value = self.__dict__.setdefault("_training", True)
        guard(self, "_training", value)
        return value

    @training.setter
    def training(self, value: bool) -> None:
        self.__dict__["_training"] = bool(value)

    def train(self, mode: bool = True) -> Self:
        """Puts this module and all below it in training mode; returns this module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Puts this module and all below it in evaluation mode; returns this module."""
        return self.train(False)

    def requires_grad_(self, value: bool = True) -> Self:
        """Freezes (`value` False) or unfreezes all parameters; returns this module."""
        for p in self.parameters():
            p.requires_grad = value
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets all gradients; with `set_to_none=False`, sets them to zero in place."""
        for p in self.parameters():
            if set_to_none:
                p.grad = None
            elif p.grad is not None:
                p.grad.zero_()

    def to(self, *where: Any, device: Any = None, dtype: DType | None = None) -> Self:
        """Moves parameters and buffers to a device, a floating dtype, or both; returns the module.

        The Parameter objects stay the same, so that an optimizer made before still owns them.
        Integer buffers keep their dtype.

        Args:
            *where: a device ("cpu", "cuda:0") and/or a dtype (`rv.float64`), in any order.
            device: the same by name.
            dtype: the same by name.

        Raises:
            TypeError: not a device, or not a floating dtype.
        """
        for w in where:
            if isinstance(w, DType):
                dtype = w
            else:
                device = w
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(
                f"[to] expected a floating dtype for a module, got {dtype.name} - gradients need "
                "float32 or float64"
            )
        target = None if device is None else as_device(device).code
        for tensors in (self.parameters(), self.buffers()):
            for t in tensors:
                _move(t, target, dtype)
                if t.grad is not None:
                    _move(t.grad, target, dtype)
        for module in self.modules():
            for name in module._settings:
                _move(getattr(module, name), target, None)
        return self

    def float(self) -> Self:
        """`to(float32)`."""
        return self.to(dtype=float32)

    def double(self) -> Self:
        """`to(float64)`."""
        return self.to(dtype=float64)

    def half(self) -> Self:
        """`to(float16)`."""
        return self.to(dtype=float16)

    def bfloat16(self) -> Self:
        """`to(bfloat16)`."""
        return self.to(dtype=bfloat16)

    def cpu(self) -> Self:
        """`to("cpu")`."""
        return self.to("cpu")

    def cuda(self, device: int | None = None) -> Self:
        """`to("cuda")`, or to the GPU of that number."""
        return self.to("cuda" if device is None else f"cuda:{device}")

    # ---- state ----

    def state_dict(self) -> dict[str, Tensor]:
        """All parameters and persistent buffers by dotted name.

        The tensors share the module's memory: `copy.deepcopy` the dict to keep a snapshot.
        """
        return {name: t.detach() for name, t in _state(self)}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copies values into the parameters and buffers, in place.

        Everything is checked before anything is written.

        Args:
            state: tensors or arrays by dotted name, as `state_dict` gives them.
            strict: the names must be exactly this module's; otherwise what is missing or
                unexpected is passed over and returned.

        Raises:
            TypeError: `state` is no dictionary; the text says what to pass.
            ValueError: names that do not fit (when strict), or shapes that differ (always).
        """
        state = state_mapping(state)
        own = dict(_state(self))
        aliases = {name for name, _ in _state(self, every_name=True)}
        missing = [name for name in own if name not in state]
        unexpected = [name for name in state if name not in aliases]
        arrays = {
            name: v.data if isinstance(v, Tensor) else from_host(v)
            for name, v in state.items()
            if name in own
        }
        misfits = [
            f"{name} {array.shape} (model {own[name].shape})"
            for name, array in arrays.items()
            if array.shape != own[name].shape
        ]
        if misfits or (strict and (missing or unexpected)):
            text = _misfit_text(self, list(own), missing, unexpected, misfits)
            inner = [
                k for k in unexpected if isinstance(state[k], Mapping) and own.keys() & state[k]
            ]
            if inner:  # a checkpoint of several things
                text = f"{text.rpartition(' - ')[0]} - pass its part {inner[0]!r}"
            raise ValueError(text)
        with no_grad():
            for name, array in arrays.items():
                own[name].copy_(Tensor(array))
        return IncompatibleKeys(missing, unexpected)

    def _read_options(self, names: Iterable[str]) -> dict[str, Any]:
        """Attributes by name; a captured step is recorded anew after one of them changed."""
        values = {name: getattr(self, name) for name in names}
        for name, value in values.items():
            guard(self, name, value)
        return values

    # ---- text ----

    def extra_repr(self) -> str:
        """What stands between the brackets of a layer's text, such as its sizes."""
        return ""

    def __repr__(self) -> str:
        lines = [f"{name}: {child!r}" for name, child in self.named_children()]
        head = f"{type(self).__name__}({self.extra_repr()}"
        if not lines:
            return head + ")"
        inner = "\n".join(lines).replace("\n", "\n  ")
        return f"{head}\n  {inner}\n)"

    # ---- what `summary` asks ----

    def mult_adds(self, inputs: tuple[Any, ...], output: Any) -> int:
        """Multiply-adds of this module itself, without its children; 0 unless a layer says more.

        Biases, activations and pooling count as 0, as in the tables of the papers.

        Args:
            inputs: the tensors that `forward` took (perhaps without values).
            output: the tensor that it returned.
        """
        return 0

    def window(self) -> Window | None:
        """The sliding window of a convolution or pooling layer; None for all others."""
        return None


class Window(NamedTuple):
    """How a layer slides over its input; per axis, last axes of the input.

    Attributes:
        kernel: taps.
        stride: steps between windows.
        dilation: steps between taps.
        padding: (before, after), or None where it depends on the input ("same").
        ceil_mode: whether a last window that hangs over the end counts.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...] | None
    ceil_mode: bool = False


# ---- walking attributes ----


def _find(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (Module, Parameter, Buffer)):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for i, v in enumerate(value):
            yield from _find(f"{name}.{i}", v)
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from _find(f"{name}.{k}", v)


def _members(module: Module) -> Iterator[tuple[str, Any]]:
    """Modules, parameters and buffers among the attributes, in the order of assignment."""
    for name, value in vars(module).items():
        yield from _find(name, value)


def _walk(module: Module, name: str, seen: set[int]) -> Iterator[tuple[str, Module]]:
    if id(module) in seen:
        return
    seen.add(id(module))
    yield name, module
    for child_name, child in module.named_children():
        yield from _walk(child, f"{name}.{child_name}" if name else child_name, seen)


def _tensors(module: Module, kind: Any, above: str, recurse: bool) -> Iterator[tuple[str, Any]]:
    seen: set[int] = set()
    for prefix, owner in module.named_modules(above) if recurse else [(above, module)]:
        for name, t in _members(owner):
            if isinstance(t, kind) and id(t) not in seen:
                seen.add(id(t))
                if guards.watches and t._requires_grad:
                    guards.hand_out(t)
                yield f"{prefix}.{name}" if prefix else name, t


def _named(module: Module, target: str, found: Iterator[tuple[str, Any]], kind: str) -> Any:
    for name, member in found:
        if name == target:
            return member
    raise AttributeError(f"{type(module).__name__} has no {kind} {target!r}")


def _state(module: Module, every_name: bool = False) -> Iterator[tuple[str, Tensor]]:
    """Parameters and persistent buffers; with `every_name`, shared ones under all their names."""
    seen: set[int] = set()

    def visit(owner: Module, prefix: str, above: tuple[int, ...]) -> Iterator[tuple[str, Tensor]]:
        if id(owner) in above or (not every_name and id(owner) in seen):
            return
        seen.add(id(owner))
        children = []
        for name, member in _members(owner):
            if isinstance(member, Module):
                children.append((name, member))
            elif getattr(member, "persistent", True) and (every_name or id(member) not in seen):
                seen.add(id(member))
                yield prefix + name, member
        for name, child in children:
            yield from visit(child, f"{prefix}{name}.", (*above, id(owner)))

    return visit(module, "", ())


# ---- moving ----


def _move(t: Tensor, device: int | None, dtype: DType | None) -> None:
    """Gives `t` memory of another device or dtype with the same values."""
    old = t.data
    code = dtype.code if dtype is not None and t.dtype.is_floating_point else old.dtype
    where = old.device if device is None else device
    if (where, code) == (old.device, old.dtype):
        return
    if t.device.type == "meta" and where != old.device:
        raise TypeError(
            "[to] expected a module with values, got one on device meta - it has shapes, but no "
            "memory; build it on the device where it shall live"
        )
    array = old.cast(code)
    if where != old.device:
        array = _core.empty(old.shape, code, where)
        if as_device("meta").code != where:
            _core.copy_into(array, old)
    t.data = array


# ---- captured steps ----


def _guard_parts(owner: Any, parts: Any) -> bool:
    """A captured step is recorded anew when a tensor or layer was replaced, moved or frozen.

    Tells whether there are any; what else a module keeps for itself may change.
    """
    any_part = False
    for name, part in parts.items() if isinstance(parts, dict) else enumerate(parts):
        inside = isinstance(part, (list, tuple, dict)) and _guard_parts(part, part)
        if inside or isinstance(part, (Module, Parameter, Buffer)):
            guard(owner, name, part)
            any_part = True
        if isinstance(part, (Parameter, Buffer)):
            guard(part, "data", part.data)
            guard(part, "_requires_grad", part._requires_grad)
    if any_part and isinstance(owner, list):
        guard(owner, len(owner), guards.ABSENT)
    return any_part


# ---- errors ----

_LOCATED = (ValueError, TypeError, IndexError, RuntimeError, MemoryError, FloatingPointError)


def _locate(module: Module, error: BaseException) -> None:
    """Puts the path to the failing layer in front of the error's text.

    The error travels outwards through the calls; each module that it leaves knows the name of the
    one below, so that the path grows at its front. It costs nothing while nothing fails.
    """
    if len(error.args) != 1 or not isinstance(error.args[0], str):
        return
    trail = getattr(error, "_ranvier_trail", None)
    if trail is None:
        path, leaf, text = "", type(module).__name__, error.args[0]
    else:
        below, path, leaf, text = trail
        name = next((n for n, m in module.named_modules() if m is below), type(below).__name__)
        path = f".{name}{path}" if name else path
    error._ranvier_trail = (module, path, leaf, text)  # type: ignore[attr-defined]
    if path:
        error.args = (f"{type(module).__name__}{path} ({leaf}): {text}",)


def _few(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _misfit_text(
    module: Module, own: list[str], missing: list[str], unexpected: list[str], misfits: list[str]
) -> str:
    parts = [
        f"{what} {_few(names)}"
        for what, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misfits),
        )
        if names
    ]
    cure = "build the model with the options it was saved with"
    if unexpected and not misfits:
        prefix = unexpected[0].split(".")[0] + "."
        stripped = {name.removeprefix(prefix) for name in unexpected if name.startswith(prefix)}
        if missing and set(missing) <= stripped:
            cure = f"remove {prefix!r} from the names: they were saved inside another module"
        elif len(missing) + len(unexpected) < len(own):
            cure += ", or pass strict=False to load what fits"
    return (
        f"[load_state_dict] expected the {len(own)} tensors of {type(module).__name__}, got "
        f"{'; '.join(parts)} - {cure}"
    )
