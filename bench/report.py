"""What a run of the suite found: kept as JSON, judged by the musts, written as Markdown."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ranvier.bench import musts
from ranvier.bench.curves import Line, gain, machine_gain, rising, slope
from ranvier.bench.facts import Fact
from ranvier.bench.machine import bandwidth, one_line
from ranvier.bench.measure import Result

FLAT = 1.15  # time per sample may rise by this much over batches: the noise of small machines
LINEAR = (0.9, 1.1)  # slope of log time over log length
EAGER = ("torch", "torch-channels_last")


@dataclass
class Book:
    """Everything that one run measured."""

    machine: dict[str, Any]
    results: list[Result] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    threads: list[Result] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)

    def to_json(self) -> str:
        """JSON, a line per row."""
        return json.dumps(asdict(self), separators=(",", ":")).replace("},{", "},\n{")

    def save(self, path: Path) -> None:
        """Writes JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_json() + "\n")

    @classmethod
    def load(cls, path: Path) -> Book:
        """Reads what `save` wrote."""
        text = json.loads(path.read_text())
        return cls(
            text["machine"],
            [Result(**r) for r in text["results"]],
            [
                Line(**{**line, "points": [Result(**p) for p in line["points"]]})
                for line in text["lines"]
            ],
            [Result(**r) for r in text["threads"]],
            [Fact(**f) for f in text["facts"]],
        )

    def merge(self, newer: Book) -> None:
        """Takes over what another run measured anew; what it left out stays."""
        self.machine = newer.machine
        for mine, its, key in (
            (self.results, newer.results, "row"), (self.threads, newer.threads, "row"),
            (self.lines, newer.lines, "name"), (self.facts, newer.facts, "name"),
        ):  # fmt: skip
            fresh = {getattr(x, key): x for x in its}  # type: ignore[attr-defined]
            mine[:] = [fresh.pop(getattr(x, key), x) for x in mine] + list(fresh.values())

    def of_group(self, group: str) -> list[Result]:
        """The results of a folder of rows."""
        return [r for r in self.results if r.group == group]

    def best_ratio(self, result: Result) -> float:
        """Time of PyTorch's best mode over ours; nan where PyTorch was not measured."""
        mode = result.best()
        return result.ratio(mode) if mode else math.nan

    def eager_ratio(self, result: Result) -> float:
        """Time of PyTorch's eager step, in the better layout, over our eager one."""
        mode = result.best(*EAGER)
        if mode is None or "ranvier-eager" not in result.seconds:
            return math.nan
        pairs = zip(result.seconds[mode], result.seconds["ranvier-eager"], strict=True)
        return float(np.median([b / a for b, a in pairs]))

    def means(self) -> dict[str, tuple[float, int]]:
        """Geometric mean and number of rows of each group of `musts.MEANS`."""
        groups = {
            "ops": [self.best_ratio(r) for r in self.of_group("ops")],
            "captured": [self.best_ratio(r) for r in self.of_group("models")],
            "eager": [self.eager_ratio(r) for r in self.of_group("models")],
        }
        kept = {name: [v for v in values if not math.isnan(v)] for name, values in groups.items()}
        return {name: (geometric_mean(v), len(v)) for name, v in kept.items()}

    def slow(self) -> list[Result]:
        """Rows whose best peer in PyTorch is faster than `musts.FLOOR` allows, slowest first."""
        rows = [r for r in self.results if self.best_ratio(r) < musts.FLOOR]
        return sorted(rows, key=self.best_ratio)

    def verdicts(self) -> list[Verdict]:
        """Every must that this run measured."""
        return [*_row_verdicts(self), *_suite_verdicts(self)]


@dataclass(frozen=True)
class Verdict:
    """One must: what was wanted and what was measured, as text, and whether it holds."""

    what: str
    wanted: str
    measured: str
    holds: bool
    share: float  # measured over wanted, the way that 1 and more is good
    ceiling: str = ""  # what the machine allowed in the same run, where that is known
    plain: str = ""  # the ratio over PyTorch as it comes: eager, in its own layout


def _row_verdicts(book: Book) -> list[Verdict]:
    by_name = {r.row: r for r in book.results}
    out = []
    for must in musts.MUSTS:
        ratio = must.ratio(by_name)
        if ratio is not None:
            wanted, holds = f"{must.must:g} ({must.stretch:g})", ratio >= must.must
            rows = [by_name[name] for name in must.rows]
            ceiling = ratio * _share_of_bandwidth(rows, book.machine)
            plain = replace(must, against="default").ratio(by_name)
            out.append(
                Verdict(must.what, wanted, f"{ratio:.2f}", holds, ratio / must.must,
                        f"{ceiling:.1f}" if ceiling else "", f"{plain:.2f}" if plain else "")
            )  # fmt: skip
    return out


def _share_of_bandwidth(rows: list[Result], machine: dict[str, Any]) -> float:
    """Our time over what moving the same bytes takes; 0 where arithmetic is the limit."""
    if any(r.flops or not r.bytes for r in rows):
        return 0.0
    least = sum(r.bytes / bandwidth(machine, r.pattern, r.bytes) / 1e9 for r in rows)
    return sum(r.median("ranvier") for r in rows) / least


def _at_least(what: str, value: float, least: float, form: str = "{:.2f}") -> Verdict:
    text = form.format
    return Verdict(what, "≥ " + text(least), text(value), value >= least, value / least)


def _at_most(what: str, value: float, most: float, form: str = "{:.2f}") -> Verdict:
    text = form.format
    share = most / max(value, 1e-12)
    return Verdict(what, "≤ " + text(most), text(value), value <= most, share)


def _suite_verdicts(book: Book) -> list[Verdict]:
    out = []
    titles = {
        "ops": "geometric mean, single operations, PyTorch's best mode",
        "captured": "geometric mean, captured steps, PyTorch's best mode",
        "eager": "geometric mean, eager steps, PyTorch eager",
    }
    for group, (mean, count) in book.means().items():
        if count:
            out.append(_at_least(f"{titles[group]} ({count} rows)", mean, musts.MEANS[group][0]))
    compared = [r for r in book.results if r.best()]
    if compared:
        slow = len(book.slow())
        out.append(_at_most(f"rows below {musts.FLOOR} of {len(compared)}", slow, 0, "{:.0f}"))
    for line in book.lines:
        if line.plot == "gemm":
            pairs = zip(line.values, line.points, strict=True)
            shares = [(share, n) for n, p in pairs if n >= 255 and (share := p.share_of_peak())]
            if shares:
                least, where = min(shares)
                title = f"share of the FMA peak, products from 255 up: least, at {where}"
                out.append(_at_least(title, least, musts.PEAK))
        elif line.plot == "batch" and len(line.values) > 1:
            title = f"time per sample, {line.name}: most over any smaller batch"
            out.append(_at_most(title, rising(line), FLAT))
        elif line.plot == "length" and not math.isnan(growth := slope(line)):
            out.append(
                Verdict(
                    f"time over length, {line.name}: slope from T 64",
                    f"{LINEAR[0]:g} to {LINEAR[1]:g}", f"{growth:.2f}",
                    LINEAR[0] <= growth <= LINEAR[1], 1 / max(growth, 1e-12),
                )
            )  # fmt: skip
    most = book.machine["threads"]
    for result in book.threads:
        speed = gain(result, "ranvier", most)
        if result.row in musts.COMPUTE_BOUND and speed is not None and most > 1:
            title, allowed = f"one thread to {most}: {result.row}", machine_gain(result, most)
            verdict = _at_least(title, speed, musts.THREADS * most / 2)
            out.append(replace(verdict, ceiling=f"{allowed:.2f}" if allowed else ""))
    for result in book.results:
        ours, theirs = result.memory.get("ranvier"), result.memory.get("torch")
        if result.row in musts.LIGHT_MEMORY and ours and theirs:
            title = f"memory of a captured step, MB: {result.row}"
            out.append(_at_most(title, ours / 1e6, theirs / 1e6, "{:.0f}"))
        first = result.first.get("ranvier", [])
        if len(first) > 1 and "ranvier-eager" in result.seconds:
            allowed = musts.FIRST[0] * result.median("ranvier-eager") + musts.FIRST[1]
            title = f"first captured step, ms: {result.row}"
            out.append(_at_most(title, 1e3 * max(first[1:]), 1e3 * allowed, "{:.1f}"))
    return out


def geometric_mean(values: list[float]) -> float:
    """exp(mean(log))."""
    return float(np.exp(np.mean(np.log(values)))) if values else math.nan


def scaled(seconds: float) -> str:
    """A time with the unit that suits it."""
    for limit, factor, unit in ((1e-6, 1e9, "ns"), (1e-3, 1e6, "us"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def megabytes(count: float) -> str:
    """A size with the unit that suits it."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} KB"


def rate(result: Result, machine: dict[str, Any]) -> tuple[str, str]:
    """GFLOP/s or GB/s of ours, and its share of the limit measured in the same run."""
    seconds = result.median("ranvier")
    if result.flops:
        value = result.flops / seconds / 1e9
        share = result.share_of_peak() or value / machine["peak_gflops"]
        return f"{value:.0f} GFLOP/s", f"{100 * share:.0f} %"
    if result.bytes:
        value = result.bytes / seconds / 1e9
        limit = bandwidth(machine, result.pattern, result.bytes)
        return f"{value:.1f} GB/s", f"{100 * value / limit:.0f} %"
    return "", ""


def bar(ratio: float) -> str:
    """A quarter of a block is 0.25: four make "as fast as"."""
    return "█" * min(20, round(4 * ratio))


def line(result: Result, machine: dict[str, Any]) -> str:
    """One line for the terminal."""
    text = f"{result.row:<58}"
    for peer in result.seconds:
        text += f"  {peer} {scaled(result.median(peer)):>8}"
        if peer == "ranvier":
            text += f" ±{100 * result.spread(peer):.0f}%"
            text += "".join(f" {part}" for part in rate(result, machine)[:1] if part)
        if peer in result.ratios:
            text += f" ({result.ratio(peer):.2f}x)"
        if result.memory.get(peer):
            text += f" {result.memory[peer] / 1e6:.0f} MB"
    for peer, reason in result.failed.items():
        text += f"\n    FAILED {peer}: {reason}"
    for peer, reason in result.skipped.items():
        text += f"\n    SKIPPED {peer}: {reason}"
    return text


def table(results: list[Result], machine: dict[str, Any]) -> list[str]:
    """Rows with our time, its rate, and each peer's time and ratio; the bar is PyTorch's best."""
    peers = list(dict.fromkeys(p for r in results for p in r.ratios))
    head = ["row", "ranvier", "", "rate", "of limit", *peers, "best of PyTorch / ours"]
    out = [
        "| " + " | ".join(head) + " |",
        "| --- | ---: | ---: | ---: | ---: |" + " ---: |" * len(peers) + " :--- |",
    ]
    for r in results:
        if "ranvier" not in r.seconds:
            continue
        cells = [r.row.split(": ", 1)[-1], scaled(r.median("ranvier"))]
        cells += [f"±{100 * r.spread('ranvier'):.0f} %", *rate(r, machine)]
        for p in peers:
            cells.append(f"{scaled(r.median(p))} ({r.ratio(p):.2f})" if p in r.ratios else "")
        mode = r.best()
        cells.append(f"{bar(r.ratio(mode))} {r.ratio(mode):.2f}" if mode else "")
        out.append("| " + " | ".join(cells) + " |")
    return out


def tables(results: list[Result], machine: dict[str, Any]) -> list[str]:
    """A table per room."""
    out: list[str] = []
    for room, group in groupby(results, key=lambda r: r.row.split(": ")[0]):
        out += [f"## {room}", "", *table(list(group), machine), ""]
    return out


def summary(book: Book) -> list[str]:
    """The means, what misses its must, what is slow: what a run ends with on a terminal."""
    out = []
    names = {
        "ops": "single operations, over PyTorch's best mode",
        "captured": "captured steps, over PyTorch's best mode",
        "eager": "eager steps, over PyTorch eager",
    }
    for group, (mean, count) in book.means().items():
        if count:
            out.append(f"geometric mean of {count} {names[group]}: {mean:.2f}")
    for peer in list(dict.fromkeys(p for r in book.results for p in r.ratios)):
        ratios = [r.ratio(peer) for r in book.results if peer in r.ratios]
        out.append(f"geometric mean against {peer}: {geometric_mean(ratios):.2f} of {len(ratios)}")
    verdicts = book.verdicts()
    if verdicts:
        missed = [v for v in verdicts if not v.holds]
        out.append(f"musts: {len(verdicts) - len(missed)} of {len(verdicts)} hold")
        out += [f"  missed: {v.what}: wanted {v.wanted}, measured {v.measured}"
                for v in sorted(missed, key=lambda v: v.share)]  # fmt: skip
    out += [f"  below {musts.FLOOR}: {r.row}: {book.best_ratio(r):.2f} ({r.best()})"
            for r in book.slow()]  # fmt: skip
    failed = [r for r in book.results if r.failed]
    out += [f"  FAILED {r.row}: {p}: {text}" for r in failed for p, text in r.failed.items()]
    return out


def markdown(book: Book) -> str:
    """The tables alone."""
    return "\n".join([one_line(book.machine) + "\n", *tables(book.results, book.machine)])
