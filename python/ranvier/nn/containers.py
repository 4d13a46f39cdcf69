"""Modules that hold modules: Sequential, ModuleList, ModuleDict.

Each keeps its members as attributes of their own ("0", "1" ... or the given names), so that
parameters are called `features.3.weight`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

from ranvier.guards import ABSENT, guard
from ranvier.nn.module import Module


def _checked(owner: str, value: Any) -> Module:
    if not isinstance(value, Module):
        cure = f"; write {value.__name__}(...)" if isinstance(value, type) else ""
        raise TypeError(
            f"[{owner}] expected modules, got {type(value).__name__} - wrap a function in a Module "
            f"of your own{cure}"
        )
    return value


class ModuleList(Module):
    """A list of modules.

    Args:
        modules: any iterable of modules.
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self.extend(modules)

    def _items(self) -> list[Module]:
        items = [m for m in vars(self).values() if isinstance(m, Module)]
        guard(vars(self), str(len(items)), ABSENT)  # a captured step sees what is appended later
        return items

    def _replace(self, items: list[Module]) -> None:
        for i in range(len(self)):
            delattr(self, str(i))
        self.extend(items)

    def append(self, module: Module) -> None:
        """Adds a module at the end."""
        setattr(self, str(len(self)), _checked(type(self).__name__, module))

    def extend(self, modules: Iterable[Module]) -> None:
        """Adds modules at the end."""
        for module in modules:
            self.append(module)

    def insert(self, index: int, module: Module) -> None:
        """Adds a module before position `index`."""
        items = self._items()
        items.insert(index, _checked(type(self).__name__, module))
        self._replace(items)

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[Module]:
        return iter(self._items())

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...
    def __getitem__(self, index: int | slice) -> Module | ModuleList:
        if isinstance(index, slice):
            return type(self)(self._items()[index])
        return self._items()[self._position(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        name = list(dict(self.named_children()))[self._position(index)]
        setattr(self, name, _checked(type(self).__name__, module))

    def __delitem__(self, index: int) -> None:
        items = self._items()
        del items[self._position(index)]
        self._replace(items)

    def _position(self, index: int) -> int:
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"[{type(self).__name__}] expected an index below {n}, got {index}")
        return index % n


class Sequential(ModuleList):
    """Modules one after the other: the output of each is the input of the next.

    Args:
        *modules: modules, or one dict of modules by name.

    Example:
        >>> import ranvier as rv
        >>> net = rv.nn.Sequential(rv.nn.Linear(4, 8), rv.nn.ReLU(), rv.nn.Linear(8, 3))
        >>> net(rv.ones(5, 4)).shape
        (5, 3)
    """

    def __init__(self, *modules: Any) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                _set_named(self, name, module)
        else:
            super().__init__(modules)

    def forward(self, x: Any) -> Any:
        """Passes `x` through all modules."""
        for module in self._items():
            x = module(x)
        return x

    def _replace(self, items: list[Module]) -> None:
        for name in [n for n, _ in self.named_children()]:
            delattr(self, name)
        self.extend(items)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Sequential(dict(list(self.named_children())[index]))
        return super().__getitem__(index)


class ModuleDict(Module):
    """Modules by name.

    Args:
        modules: a mapping from names to modules.
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        self.update(modules or {})

    def update(self, modules: Mapping[str, Module]) -> None:
        """Adds or replaces modules."""
        for name, module in modules.items():
            self[name] = module

    def keys(self) -> list[str]:
        """The names, in the order of their addition."""
        return [name for name, _ in self.named_children()]

    def values(self) -> list[Module]:
        """The modules."""
        return list(self.children())

    def items(self) -> list[tuple[str, Module]]:
        """Pairs of name and module."""
        return list(self.named_children())

    def __getitem__(self, name: str) -> Module:
        found = vars(self).get(name)
        if not isinstance(found, Module):
            raise KeyError(f"[ModuleDict] expected one of {', '.join(self.keys())}, got {name!r}")
        return found

    def __setitem__(self, name: str, module: Module) -> None:
        _set_named(self, name, module)

    def __delitem__(self, name: str) -> None:
        self[name]
        delattr(self, name)

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())


def _set_named(owner: Module, name: str, module: Any) -> None:
    kind = type(owner).__name__
    if not isinstance(name, str) or "." in name or not name:
        raise ValueError(f"[{kind}] expected a name without dots, got {name!r}")
    if hasattr(type(owner), name):
        raise ValueError(
            f"[{kind}] expected a name that is free, got {name!r}, which every {kind} has already "
            "- choose another"
        )
    setattr(owner, name, _checked(kind, module))
