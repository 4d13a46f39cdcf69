"""The two kinds of tensors that belong to a module: learned parameters and kept buffers."""

from __future__ import annotations

from typing import Any

from ranvier.tensor import Tensor, from_host


class Parameter(Tensor):
    """A tensor that a module learns: `parameters()` finds it, an optimizer changes it.

    Args:
        data: a Tensor (its memory is shared), array, nested lists or number.
        requires_grad: False freezes it.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data.data if isinstance(data, Tensor) else from_host(data))
        self.requires_grad = requires_grad


class Buffer(Tensor):
    """A tensor that a module keeps but does not learn, such as running statistics.

    It moves with `to()` and is part of `state_dict()`, unless `persistent` is False.
    """

    __slots__ = ("persistent",)

    persistent: bool

    def __init__(self, data: Any, persistent: bool = True) -> None:
        super().__init__(data.data if isinstance(data, Tensor) else from_host(data))
        self.persistent = persistent

    def __copy__(self) -> Tensor:
        new: Any = super().__copy__()
        new.persistent = self.persistent
        return new

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        new: Any = super().__deepcopy__(memo)
        new.persistent = self.persistent
        return new

    def __reduce__(self) -> Any:
        return (*super().__reduce__(), self.persistent)

    def __setstate__(self, persistent: bool) -> None:
        self.persistent = persistent
