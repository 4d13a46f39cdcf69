"""Counts the memory traffic of every CUDA kernel under emulation: nothing here is timed.

    tools/build.sh -DRANVIER_EMULATION_TRAFFIC=ON
    PYTHONPATH=python python bench/traffic.py [WORD ...] [--places] [--bad] [--out FILE]

runs the cases of `traffic_cases.py` whose names have one of the words (all, if none is given) and
prints a row per case and kernel:

* **read**, **written**: of the 32-byte sectors that the requests of warps touch, how many would do
  for the bytes that they ask for. 100 % is coalesced; one float per sector is 12.5 %.
* **wide**: bytes of a request, on average; 128 is a float a lane, 512 are 16 bytes a lane.
* **again**: sectors read after a model of the first-level cache (128 bytes a thread, empty for each
  block), over the distinct sectors. What is above 1 comes from the second-level cache or memory.
* **banks**: passes over the banks of shared memory, over the fewest for the words asked for.
* **worst**: the place in the source that costs most for nothing, and its own share.

`--places` lists all places of each kernel, `--bad` only rows below 80 % or above 1.3 passes.
`--out` writes Markdown, without rows that a case before has with the same numbers. How it is
counted: cuda/core/traffic.cpp.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Where accesses are made for the kernels, who are to be named.
HELPERS = {"emulation.h", "words.h", "mma.h", "async.h", "cluster.h", "hopper.h"}
REQUESTS, LANES, BYTES, UNITS, LEAST = range(5)


@dataclass
class Kernel:
    """The launches of one kernel in one case, added up."""

    name: str
    launches: int = 0
    blocks: int = 0
    read: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    written: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    # (file:line, "global read" ...): requests, lanes, bytes, units, fewest units
    places: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def total(self, kind: str) -> list[int]:
        rows = [p for (_, k), p in self.places.items() if k.startswith(kind)]
        return [sum(column) for column in zip(*rows, strict=True)] if rows else [0] * 5

    def share(self, kind: str) -> float | None:
        """Fewest units over units, of "global read", "shared" ..."""
        total = self.total(kind)
        return total[LEAST] / total[UNITS] if total[UNITS] else None

    def again(self) -> float | None:
        return self.read["moved"] / self.read["sectors"] if self.read["sectors"] else None

    def wide(self) -> float:
        total = self.total("global")
        return total[BYTES] / max(1, total[REQUESTS])

    def worst(self) -> tuple[str, str, list[int]] | None:
        """The place with most units beyond the fewest; of a pass over banks they count a quarter,
        as 128 bytes are four sectors.
        """

        def lost(row: tuple[tuple[str, str], list[int]]) -> float:
            return (row[1][UNITS] - row[1][LEAST]) * (4 if row[0][1].startswith("shared") else 1)

        rows = [r for r in self.places.items() if r[1][UNITS] > r[1][LEAST]]
        if not rows:
            return None
        (place, kind), numbers = max(rows, key=lost)
        return place, kind, numbers

    def is_bad(self) -> bool:
        banks = self.share("shared")
        shares = [self.share("global read"), self.share("global write")]
        return any(s is not None and s < 0.8 for s in shares) or (
            banks is not None and banks < 1 / 1.3
        )


class Source:
    """Places of the library by their addresses."""

    def __init__(self, library: Path) -> None:
        self.library = library
        self.known: dict[int, list[tuple[str, str]]] = {}

    def look_up(self, addresses: set[int]) -> None:
        new = sorted(addresses - self.known.keys())
        if not new:
            return
        command = ["addr2line", "-a", "-i", "-f", "-C", "-s", "-e", str(self.library)]
        text = subprocess.run(
            command, input="\n".join(map(hex, new)), capture_output=True, text=True, check=True
        ).stdout
        frames: list[tuple[str, str]] = []
        lines = iter(text.splitlines())
        for line in lines:
            if line.startswith("0x"):
                frames = self.known.setdefault(int(line, 16), [])
            else:
                frames.append((line, next(lines).split(" ")[0]))

    def place(self, address: int) -> str:
        frames = self.known[address]
        for _, where in frames:
            if where.split(":")[0] not in HELPERS:
                return where
        return frames[-1][1]

    def function(self, address: int) -> str:
        name = self.known[address][-1][0].replace("(anonymous namespace)::", "")
        depth, plain = 0, ""
        for c in name:
            depth += (c == "<") - (c == ">")
            if depth == 0 and c != ">":
                plain += c
        return re.sub(r"\(.*", "", plain).split(" ")[-1].split("::")[-1]


def count(call: Any, source: Source, drain: Any, option: Any) -> list[Kernel]:
    """Runs the call, and adds up its launches by kernel."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "launches"
        path.touch()
        option("traffic", str(path))
        try:
            call()
            drain()
        finally:
            option("traffic", "")
        launches = [json.loads(line) for line in path.read_text().splitlines()]
    # What a call returns to is behind it.
    source.look_up({p[0] - 1 for launch in launches for p in launch["places"]})
    source.look_up({launch["code"] for launch in launches})
    found: dict[str, Kernel] = {}
    for launch in launches:
        name = f"{launch['kernel']}: {source.function(launch['code'])}"
        k = found.setdefault(name, Kernel(name))
        k.launches += 1
        x, y, z = launch["grid"]
        k.blocks += x * y * z
        for side, numbers in (k.read, launch["read"]), (k.written, launch["written"]):
            for key, n in numbers.items():
                side[key] += n
        for address, kind, *numbers in launch["places"]:
            key = (source.place(address - 1), kind)
            k.places[key] = [
                a + b for a, b in zip(k.places.get(key, [0] * 5), numbers, strict=True)
            ]
    return list(found.values())


def percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def row_of(case: str, k: Kernel) -> list[str]:
    again, banks, worst = k.again(), k.share("shared"), k.worst()
    blame = ""
    if worst:
        place, kind, n = worst
        amount = f"{n[UNITS] / n[LEAST]:.1f}x" if kind.startswith("shared") else percent(
            n[LEAST] / n[UNITS]
        )  # fmt: skip
        blame = f"{place} {kind} {amount}"
    return [
        case, k.name, percent(k.share("global read")), percent(k.share("global write")),
        f"{k.wide():.0f}", "" if again is None else f"{again:.1f}",
        "" if banks is None else f"{1 / banks:.2f}", blame,
    ]  # fmt: skip


HEAD = ["case", "kernel", "read", "written", "wide", "again", "banks", "worst"]
INTRODUCTION = """# Memory traffic of the CUDA kernels

Counted under the [emulation](cuda.md) by `python bench/traffic.py --out docs/cuda-traffic.md`;
**not measured on a GPU**, and no statement about time. Sizes are small: mostly 16 to 64 Ki elements
a case. Rows that an earlier case has with the same numbers are left out.

* **read**, **written**: fewest 32-byte sectors for what requests ask for, over those they touch.
* **wide**: bytes of a request. **again**: sectors read after a model of the first-level cache, over
  the distinct ones.
* **banks**: passes over the banks of shared memory, over the fewest.
* **worst**: the place that costs most for nothing.

"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("words", nargs="*")
    parser.add_argument("--places", action="store_true")
    parser.add_argument("--bad", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    os.environ["RANVIER_EMULATE"] = "traffic"
    from traffic_cases import cases

    import ranvier as rv

    if not rv.cuda.is_available():
        print(rv.cuda.why_not(), file=sys.stderr)
        return 3
    source, rows, failed = Source(rv.cuda.library_path()), [], []
    for name, case in cases().items():
        if options.words and not any(word in name for word in options.words):
            continue
        rv.manual_seed(0)
        try:
            kernels = count(case(), source, rv.cuda.synchronize, rv._core.device_option)
        except Exception as error:  # the other cases go on
            failed.append(f"{name}: {type(error).__name__}: {error}")
            print("FAILED", failed[-1], flush=True)
            continue
        for k in kernels:
            if options.bad and not k.is_bad():
                continue
            rows.append(row_of(name, k))
            widths = [26, 36, 6, 6, 5, 5, 6, 0]
            print(" ".join(c.ljust(w) for c, w in zip(rows[-1], widths, strict=True)), flush=True)
            if options.places:
                for (place, kind), n in sorted(k.places.items()):
                    print(
                        f"      {place:32} {kind:13} requests {n[REQUESTS]:8}",
                        f"lanes {n[LANES] / n[REQUESTS]:4.1f} units {n[UNITS]:8}",
                        f"fewest {n[LEAST]:8}",
                    )
    if options.out:
        new = {tuple(row[1:]): row for row in reversed(rows)}.values()
        lines = [HEAD, ["---"] * len(HEAD), *reversed(list(new))]
        table = ["| " + " | ".join(line) + " |" for line in lines]
        options.out.write_text(INTRODUCTION + "\n".join(table) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
