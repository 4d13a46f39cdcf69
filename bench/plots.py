"""The pictures of `docs/benchmarks`: growth over batch, length, size, threads; all ratios."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ranvier.bench.curves import gain

if TYPE_CHECKING:
    from ranvier.bench.report import Book

COLOURS = {
    "ranvier": "#1f4e9c", "torch": "#d9601a", "numpy": "#5a8f3d", "jax": "#8457a6",
    "compile": "#b58900",
}  # fmt: skip
NAMES = {"torch": "PyTorch", "numpy": "NumPy", "jax": "JAX", "compile": "torch.compile"}


def draw(book: Book, folder: Path) -> list[str]:
    """Writes the pictures that the book has data for; their names.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
                            "axes.grid": True, "grid.alpha": 0.25})  # fmt: skip
    written = []
    painters = {"batch": _batch, "length": _length, "gemm": _gemm, "threads": _threads,
                "ratios": _ratios}  # fmt: skip
    for name, paint in painters.items():
        figure = paint(book, pyplot)
        if figure is None:
            continue
        figure.tight_layout()
        figure.savefig(
            folder / f"{name}.png", dpi=90, bbox_inches="tight", metadata={"Software": None}
        )
        pyplot.close(figure)
        written.append(f"{name}.png")
    return written


def _draw_lines(axes: Any, line: Any, scale: float) -> None:
    for label in line.labels():
        values, seconds = line.medians(label)
        axes.plot(
            values, [s * scale for s in seconds], marker="o", markersize=3,
            color=COLOURS.get(label), label=NAMES.get(label, label),
        )  # fmt: skip


def _batch(book: Book, pyplot: Any) -> Any:
    lines = [line for line in book.lines if line.plot == "batch"]
    if not lines:
        return None
    figure, grid = pyplot.subplots(
        1, len(lines), figsize=(2.6 * len(lines) + 0.6, 2.8), squeeze=False
    )
    for axes, line in zip(grid[0], lines, strict=True):
        _draw_lines(axes, line, 1e6)
        axes.set(xscale="log", yscale="log", title=line.name, xlabel="batch")
        axes.set_xscale("log", base=2)
    grid[0][0].set_ylabel("microseconds per sample")
    grid[0][0].legend(frameon=False)
    return figure


def _length(book: Book, pyplot: Any) -> Any:
    lines = [line for line in book.lines if line.plot == "length"]
    if not lines:
        return None
    figure, axes = pyplot.subplots(figsize=(5, 3.2))
    for line in lines:
        _draw_lines(axes, line, 1e3)
    axes.set(title=f"{lines[0].name}: forward and gradients", xlabel="time steps T",
             ylabel="milliseconds")  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.legend(frameon=False)
    return figure


def _gemm(book: Book, pyplot: Any) -> Any:
    lines = [line for line in book.lines if line.plot == "gemm"]
    if not lines:
        return None
    line = lines[0]
    figure, axes = pyplot.subplots(figsize=(6.4, 3.4))
    for label in line.labels():
        values, seconds = line.medians(label)
        axes.plot(values, [2 * n**3 / s / 1e9 for n, s in zip(values, seconds, strict=True)],
                  marker="o", markersize=3, color=COLOURS.get(label),
                  label=NAMES.get(label, label))  # fmt: skip
    peaks = [statistics.median(p.peaks["ranvier"]) / 1e9 for p in line.points]
    axes.plot(line.values, peaks, color="black", linewidth=0.8, linestyle=":")
    axes.annotate("FMA peak at each n", (line.values[0], peaks[0]), va="bottom", fontsize=8)
    axes.set(title="square products n x n x n, odd sizes included", xlabel="n", ylabel="GFLOP/s")
    axes.set_xscale("log", base=2)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return figure


def _threads(book: Book, pyplot: Any) -> Any:
    most = book.machine["threads"]
    rows = [r for r in book.threads if gain(r, "ranvier", most) is not None]
    if not rows:
        return None
    figure, axes = pyplot.subplots(figsize=(7, 0.32 * len(rows) + 1.2))
    for offset, peer in ((-0.18, "ranvier"), (0.18, "torch")):
        gains = [gain(r, peer, most) for r in rows]
        places = [i + offset for i, g in enumerate(gains) if g is not None]
        axes.barh(places, [g for g in gains if g is not None], height=0.34, color=COLOURS[peer],
                  label=NAMES.get(peer, peer))  # fmt: skip
    axes.axvline(most, color="black", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(rows)), [r.row for r in rows], fontsize=7)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_title(f"one thread to {most}", loc="left")
    axes.set(xlabel="times as fast")
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return figure


def _ratios(book: Book, pyplot: Any) -> Any:
    ratios = sorted(book.best_ratio(r) for r in book.of_group("ops") if r.best())
    if len(ratios) < 2:
        return None
    figure, axes = pyplot.subplots(figsize=(6.4, 3))
    colours = [COLOURS["ranvier"] if r >= 1 else COLOURS["torch"] for r in ratios]
    axes.bar(range(len(ratios)), [r - 1 for r in ratios], bottom=1, width=1, color=colours)
    axes.set_yscale("log", base=2)
    ticks = [0.25, 0.5, 1, 2, 4, 8, 16, 32]
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(title=f"{len(ratios)} rows of single operations: PyTorch's best time over ours",
             xlabel="rows by ratio", ylabel="ratio", xticks=[])  # fmt: skip
    return figure
