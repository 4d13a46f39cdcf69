"""Rows of the benchmark suite, and where they are found."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Step = Callable[[], Any]
Build = Callable[[dict[str, Any]], Step]

GROUPS = ("core", "ops", "models")  # folders of rows
LARGE = 32e6  # bytes: arrays that the C library maps anew, and clears, at every allocation
WARM = "torch-warm"  # PyTorch where the C library keeps what was freed: not a mode of PyTorch's own
COMMITTED = Path(__file__).with_name("rows.txt")  # every row and curve; rows are never dropped


@dataclass
class Row:
    """One thing to time.

    Attributes:
        name: unique within its file, such as "512x512x512" or "LeNet conv1 forward".
        data: makes the random inputs, the same for every peer.
        peers: name of the peer -> builds its step from the data. A step returns its result (a
            tensor or array, or a list of them), which is compared with the first peer's and then
            thrown away. Peers that are not installed raise ImportError and are left out. What
            follows a hyphen names another mode of the same library: "torch-channels_last".
        flops: useful floating-point operations of one step; 0 where that makes no sense.
        bytes: bytes that one step must at least move.
        per: units of work in one step (operations in a chain, samples in a batch).
        tolerance: largest relative L2 difference from the first peer's result; None when results
            cannot be compared (random numbers).
        pattern: how memory is passed over, "read", "copy", "update" (in place) or "add" (two
            arrays to a third): the bandwidth is held against a pass of the same pattern and size.
        compiles: whether `torch.compile` of PyTorch's step is a peer too: where several passes
            over memory can become one. Products and convolutions would be the same calls.
        room: filled in by `find_rows`: name of the file.
        group: filled in by `find_rows`: its folder.
    """

    name: str
    data: Callable[[np.random.Generator], dict[str, Any]]
    peers: dict[str, Build]
    flops: float = 0.0
    bytes: float = 0.0
    per: int = 1
    tolerance: float | None = 1e-5
    pattern: str = "copy"
    compiles: bool = False
    room: str = ""
    group: str = ""

    @property
    def full_name(self) -> str:
        """Room and name: what patterns on the command line match."""
        return f"{self.room}: {self.name}"

    def builders(self) -> dict[str, Build]:
        """`peers`, and PyTorch's compiled step and warm memory where they make sense."""
        builders = dict(self.peers)
        if "torch" not in builders:
            return builders
        if self.bytes >= LARGE:
            builders[WARM] = builders.get("torch-channels_last", builders["torch"])
        if self.compiles and "compile" not in builders:

            def compiled(d: dict[str, Any]) -> Step:
                import torch

                return torch.compile(self.peers["torch"](d), dynamic=False)

            builders["compile"] = compiled
        return builders


def all_rows() -> list[Row]:
    """Every row of the suite, in the order of folders and files."""
    rows: list[Row] = []
    for folder in GROUPS:
        package = importlib.import_module(f"ranvier.bench.{folder}")
        for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
            if info.name.startswith("_"):
                continue
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            for row in module.ROWS:
                row.room, row.group = info.name, folder
                rows.append(row)
    return rows


def find_rows(patterns: list[str] | None = None) -> list[Row]:
    """All rows, or those whose folder, room or full name matches one of the patterns.

    Raises:
        ValueError: a pattern that matches nothing; names close ones.
    """
    rows = all_rows()
    if not patterns:
        return rows
    chosen: set[str] = set()
    for pattern in patterns:
        hits = [r.full_name for r in rows if pattern in (r.room, r.group)] or [
            r.full_name
            for r in rows
            if fnmatch.fnmatch(r.full_name.lower(), f"*{pattern.lower()}*")
        ]
        if not hits:
            rooms = sorted({r.room for r in rows})
            raise ValueError(
                f"[bench] expected a row, a room or one of the groups {', '.join(GROUPS)}, got "
                f"{pattern!r} - {nearest(pattern, rooms, [r.full_name for r in rows])}"
            )
        chosen.update(hits)
    return [r for r in rows if r.full_name in chosen]


def nearest(word: str, rooms: list[str], names: list[str]) -> str:
    """The cure for an unknown name: rooms, or else rows, that look like it."""
    close = difflib.get_close_matches(word, rooms, 3, 0.6) or difflib.get_close_matches(
        word, names, 3, 0.5
    )
    if close:
        return f"did you mean {' or '.join(repr(c) for c in close)}?"
    return f"the rooms are {', '.join(rooms)}; --list prints all rows"
