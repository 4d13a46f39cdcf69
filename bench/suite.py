"""Rows of the benchmark suite, and where they are found."""

from __future__ import annotations

import fnmatch
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Step = Callable[[], Any]


@dataclass
class Row:
    """One thing to time.

    Attributes:
        name: unique within its file, such as "512x512x512" or "LeNet conv1 forward".
        data: makes the random inputs, the same for every peer.
        peers: name of the peer -> builds its step from the data. A step returns its result (a
            tensor or array, or a list of them), which is compared with the first peer's and then
            thrown away. Peers that are not installed raise ImportError and are left out.
        flops: useful floating-point operations of one step; 0 where that makes no sense.
        bytes: bytes that one step must at least move.
        per: units of work in one step (operations in a chain, samples in a batch).
        tolerance: largest relative L2 difference from the first peer's result; None when results
            cannot be compared (random numbers).
        room: filled in by `find_rows`: name of the file.
    """

    name: str
    data: Callable[[np.random.Generator], dict[str, Any]]
    peers: dict[str, Callable[[dict[str, Any]], Step]]
    flops: float = 0.0
    bytes: float = 0.0
    per: int = 1
    tolerance: float | None = 1e-5
    room: str = ""

    @property
    def full_name(self) -> str:
        """Room and name: what patterns on the command line match."""
        return f"{self.room}: {self.name}"


def find_rows(patterns: list[str] | None = None) -> list[Row]:
    """All rows, or those whose room or full name matches one of the patterns.

    Raises:
        ValueError: a pattern that matches nothing.
    """
    rows: list[Row] = []
    for folder in ("core", "ops", "models"):
        package = importlib.import_module(f"ranvier.bench.{folder}")
        for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
            if info.name.startswith("_"):
                continue
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            for row in module.ROWS:
                row.room = info.name
                rows.append(row)
    if not patterns:
        return rows
    chosen: dict[str, Row] = {}
    for pattern in patterns:
        hits = [
            r
            for r in rows
            if r.room == pattern or fnmatch.fnmatch(r.full_name.lower(), f"*{pattern.lower()}*")
        ]
        if not hits:
            rooms = ", ".join(sorted({r.room for r in rows}))
            raise ValueError(f"[bench] expected a row or one of the rooms {rooms}, got {pattern!r}")
        chosen.update({r.full_name: r for r in hits})
    return list(chosen.values())
