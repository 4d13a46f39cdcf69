"""Typed configurations: a dataclass is the schema, TOML or JSON the file, `key=value` the override.

Every key that a file or an override names must be a field of the dataclass, and every value must
have the field's type; a key that nobody knows is refused with the closest one that exists.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import os
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def load_mapping(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a `.toml` or `.json` file into a dictionary.

    Raises:
        OSError: the file cannot be opened.
        ValueError: neither suffix, or not valid TOML or JSON; the text names file and place.
    """
    path = Path(path)
    readers: dict[str, Any] = {".toml": tomllib.loads, ".json": json.loads}
    if path.suffix not in readers:
        raise ValueError(
            f"[config] expected a .toml or .json file, got {str(path)!r} - rename or convert it"
        )
    try:
        content = readers[path.suffix](path.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:  # both decoders' errors are ValueErrors
        kind = path.suffix[1:].upper()
        raise ValueError(
            f"[config] expected valid {kind}, got {str(path)!r}: {error} - correct that place"
        ) from None
    if not isinstance(content, dict):
        raise ValueError(
            f"[config] expected {str(path)!r} to hold a table of keys, got "
            f"{type(content).__name__} - begin the file with a brace"
        )
    return content


def from_mapping(schema: type[T], values: Mapping[str, Any], where: str = "config") -> T:
    """Build a dataclass from nested dictionaries, checking every key and type.

    Args:
        schema: a dataclass whose fields all have defaults; fields may be dataclasses themselves.
        values: the values that differ from the defaults.
        where: what to call the source in an error.

    Raises:
        ValueError: an unknown key or a value of another type.

    Example:
        >>> @dataclasses.dataclass
        ... class Small:
        ...     lr: float = 0.1
        ...     epochs: int = 3
        >>> from_mapping(Small, {"lr": 1})
        Small(lr=1.0, epochs=3)
    """
    return update(schema(), values, where)


def update(config: T, values: Mapping[str, Any], where: str = "config", prefix: str = "") -> T:
    """A copy of `config` with the nested `values` put in, checked like `from_mapping`."""
    hints = typing.get_type_hints(type(config))
    changes: dict[str, Any] = {}
    for key, value in values.items():
        dotted = prefix + key
        if key not in hints:
            raise ValueError(_unknown(where, dotted, keys(config, prefix)))
        current = getattr(config, key)
        if dataclasses.is_dataclass(current):
            if not isinstance(value, Mapping):
                raise ValueError(
                    f"[{where}] expected {dotted!r} to be a table of keys, got {value!r} - "
                    f"set one of its keys, for example {next(keys(current, dotted + '.'))}"
                )
            changes[key] = update(current, value, where, dotted + ".")
        else:
            changes[key] = _typed(value, hints[key], dotted, where)
    return dataclasses.replace(config, **changes)  # type: ignore[type-var]


def apply_overrides(config: T, overrides: Iterable[str], where: str = "--set") -> T:
    """A copy of `config` with `key=value` texts applied, in order.

    Keys are dotted (`optimizer.lr`). The value's text is read by the field's type: `0.1`, `12`,
    `true`, `none`, `[64, 32]` or `64,32`, and text with or without quotes.

    Raises:
        ValueError: no `=`, an unknown key, or a text that is no value of the field's type.
    """
    for override in overrides:
        key, separator, text = override.partition("=")
        key, text = key.strip(), text.strip()
        if not separator or not key:
            raise ValueError(
                f"[{where}] expected key=value, got {override!r} - for example optimizer.lr=0.01"
            )
        path = key.split(".")
        target: Any = config
        for depth, part in enumerate(path):
            if not dataclasses.is_dataclass(target) or not hasattr(target, part):
                raise ValueError(_unknown(where, key, keys(config)))
            if depth == len(path) - 1:
                hint = typing.get_type_hints(type(target))[part]
                value: Any = _from_text(text, hint)
            target = getattr(target, part)
        for part in reversed(path):
            value = {part: value}
        config = update(config, value, where)
    return config


def keys(config: Any, prefix: str = "") -> typing.Iterator[str]:
    """The dotted names of all values of a nested dataclass."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from keys(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def differences(old: Any, new: Any) -> dict[str, tuple[Any, Any]]:
    """Dotted name -> (old value, new value), for the values in which two configurations differ."""
    result = {}
    for key in keys(new):
        before, after = old, new
        for part in key.split("."):
            before, after = getattr(before, part), getattr(after, part)
        if before != after:
            result[key] = (before, after)
    return result


def to_toml(config: Any) -> str:
    """A nested dataclass as TOML text that `load_mapping` reads back to the same values.

    TOML has no null: a value of None is written as a comment.
    """
    lines: list[str] = []
    tables: list[tuple[str, Any]] = [("", config)]
    while tables:
        name, table = tables.pop(0)
        if name:
            lines += ["", f"[{name}]"]
        for field in dataclasses.fields(table):
            value = getattr(table, field.name)
            if dataclasses.is_dataclass(value):
                tables.append((f"{name}.{field.name}".lstrip("."), value))
            elif value is None:
                lines.append(f"# {field.name} is not set")
            else:
                lines.append(f"{field.name} = {_toml_value(value)}")
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)  # TOML knows inf and nan
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        # JSON's escapes are TOML's; only the delete character must be escaped in TOML as well.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return "[" + ", ".join(map(_toml_value, value)) + "]"


def _unknown(where: str, key: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(key, names, 1, 0.5)
    if not close:  # 'lr' is meant for 'optimizer.lr', however unlike the two are as texts
        close = [name for name in names if name.rpartition(".")[2] == key.rpartition(".")[2]]
    cure = f"did you mean {close[0]!r}?" if close else "known keys: " + ", ".join(names)
    return f"[{where}] expected a known key, got {key!r} - {cure}"


def _members(hint: Any) -> tuple[Any, ...]:
    """The alternatives of `A | None`, or the type itself."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return typing.get_args(hint)
    return (hint,)


def _describe(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    parts = []
    for member in _members(hint):
        if member is type(None):
            parts.append("none")
        elif typing.get_origin(member) is tuple:
            parts.append(f"a list, each {_describe(typing.get_args(member)[0])}")
        elif typing.get_origin(member) is typing.Literal:
            parts.append("one of " + ", ".join(map(str, typing.get_args(member))))
        else:
            parts.append(names.get(member, str(member)))
    return " or ".join(parts)


def _typed(value: Any, hint: Any, key: str, where: str) -> Any:
    for member in _members(hint):
        if member is type(None) and value is None:
            return None
        if member is float and type(value) in (int, float):
            return float(value)
        if member in (int, str, bool) and type(value) is member:
            return value
        if typing.get_origin(member) is typing.Literal and value in typing.get_args(member):
            return value
        if typing.get_origin(member) is tuple and isinstance(value, list | tuple):
            inner = typing.get_args(member)[0]  # tuple[X, ...] is the only form in use
            return tuple(_typed(item, inner, key, where) for item in value)
    cure = "correct the value"
    for member in _members(hint):
        if typing.get_origin(member) is typing.Literal:
            close = difflib.get_close_matches(str(value), map(str, typing.get_args(member)), 1)
            cure = f"did you mean {close[0]!r}?" if close else cure
    raise ValueError(f"[{where}] expected {key!r} to be {_describe(hint)}, got {value!r} - {cure}")


def _from_text(text: str, hint: Any) -> Any:
    """The value that a text stands for; a text that fits no type is returned as it is."""
    for member in _members(hint):
        if member is type(None) and text.lower() in ("none", "null", ""):
            return None
        if member is bool and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if member in (int, float):
            try:
                return member(text)
            except ValueError:
                continue
        if typing.get_origin(member) is tuple:
            inner = typing.get_args(member)[0]
            items = text.strip("[]()").split(",")
            return [_from_text(item.strip(), inner) for item in items if item.strip()]
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text
