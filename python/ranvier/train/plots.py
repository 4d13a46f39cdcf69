"""Pictures of a run: learning curves and confusion matrix. matplotlib is imported only here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .history import better_is_lower, format_value

# Okabe and Ito's colours, told apart by colour-blind readers as well.
_TRAIN, _VALIDATION, _INK, _GRID = "#0072B2", "#D55E00", "#333333", "#E3E3E3"
NO_MATPLOTLIB = "pictures need matplotlib: pip install 'ranvier[cli]'"


def _pyplot() -> Any:
    """A figure factory that needs no screen and leaves the user's own backend alone."""
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(NO_MATPLOTLIB) from None

    def figure(**options: Any) -> Any:
        made = Figure(layout="constrained", **options)
        FigureCanvasAgg(made)
        return made

    return matplotlib, figure


def _tidy(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#999999")
    axes.tick_params(colors=_INK, labelsize=9)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def learning_curves(
    history: Mapping[str, Sequence[Any]], path: str | os.PathLike[str], title: str = ""
) -> Path:
    """Draw loss and every other metric over the epochs, training and validation together.

    The best validation value is marked. Losses that span more than a decade get a logarithmic
    axis.

    Args:
        history: name -> values per epoch; `x` and `val_x` share one panel.
        path: the picture to write (`.png`, `.svg`, `.pdf`).
        title: above the panels.

    Returns:
        The path.

    Raises:
        ImportError: matplotlib is not installed; the text says how to get it.
    """
    matplotlib, figure = _pyplot()
    skipped = ("seconds", "samples_per_second", "lr", "step", "epoch")
    names = [
        name for name in history if not name.startswith("val_") and name not in skipped
    ] or list(history)[:1]
    made = figure(figsize=(5.2 * max(1, len(names)), 3.9), dpi=150)
    panels = made.subplots(1, max(1, len(names)), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=False):
        percent = "accuracy" in name or "top" in name
        scale = 100.0 if percent else 1.0
        drawn = []
        for key, label, colour in (
            (name, "training", _TRAIN),
            ("val_" + name, "validation", _VALIDATION),
        ):
            if key not in history:
                continue
            values = np.array([np.nan if v is None else v for v in history[key]], float) * scale
            epochs = np.arange(1, len(values) + 1)
            marker = "o" if len(values) < 3 else None
            best = _best(key, history[key])
            if best is not None:
                label += f", best {format_value(key, best[1])} (epoch {best[0] + 1})"
                axes.plot([best[0] + 1], [best[1] * scale], "o", color=colour, ms=5, zorder=5)
            axes.plot(epochs, values, color=colour, label=label, lw=1.8, marker=marker)
            drawn.append(values)
        finite = np.concatenate(drawn)
        finite = finite[np.isfinite(finite)]
        if not percent and len(finite) and finite.min() > 0 and finite.max() > 10 * finite.min():
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        if percent and len(finite):  # the first epochs would squeeze the rest flat
            axes.set_ylim(max(0.0, min(90.0, float(np.percentile(finite, 10)) - 2)), 100.4)
        _tidy(axes)
        axes.set_title(name.replace("_", " ") + (" (%)" if percent else ""), color=_INK, loc="left")
        axes.set_xlabel("epoch", color=_INK)
        axes.set_xlim(left=1, right=max(2, len(drawn[0])) * 1.01)
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        axes.legend(frameon=False, fontsize=9, labelcolor=_INK)
    if title:
        made.suptitle(title, color=_INK, fontsize=12, x=0.01, ha="left")
    return _save(made, path)


def _best(name: str, values: Sequence[Any]) -> tuple[int, Any] | None:
    """Epoch (from 0) and value of the best entry, if there is any."""
    known = [(v, e) for e, v in enumerate(values) if v is not None and v == v]
    if not known:
        return None
    sign = 1 if better_is_lower(name) else -1
    value, epoch = min(known, key=lambda pair: (sign * pair[0], pair[1]))
    return epoch, value


def confusion_matrix(
    counts: Any,
    path: str | os.PathLike[str],
    classes: Sequence[str] | None = None,
    title: str = "",
) -> Path:
    """Draw a confusion matrix: rows are the true classes, columns the predicted ones.

    Colour is the share of the row; the numbers are counts. Zeros are left out, so that the
    mistakes stand out.

    Args:
        counts: (K, K) whole numbers.
        path: the picture to write.
        classes: K names.
        title: above the picture.

    Returns:
        The path.

    Raises:
        ImportError: matplotlib is not installed; the text says how to get it.
        ValueError: the counts are no square matrix, or the names do not fit it.
    """
    _, figure = _pyplot()
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"[confusion_matrix] expected shape (K, K), got {counts.shape}")
    k = len(counts)
    names = [str(name) for name in classes] if classes is not None else [str(i) for i in range(k)]
    if len(names) != k:
        raise ValueError(f"[confusion_matrix] expected {k} class names, got {len(names)}")
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = min(12.0, 2.2 + 0.42 * k)
    made = figure(figsize=(size + 0.4, size), dpi=150)
    axes = made.subplots()
    axes.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1)  # the root lifts the rare mistakes
    if k <= 30:
        for row, column in zip(*np.nonzero(counts), strict=True):
            axes.text(
                column,
                row,
                f"{counts[row, column]:,.0f}",
                ha="center",
                va="center",
                fontsize=9 if k <= 12 else 6,
                color="white" if share[row, column] > 0.3 else _INK,
            )
    ticks = np.arange(k) if k <= 40 else np.arange(0, k, k // 20)
    long = max(map(len, names)) > 3
    axes.set_xticks(ticks, [names[i] for i in ticks], rotation=45 if long else 0,
                    ha="right" if long else "center")  # fmt: skip
    axes.set_yticks(ticks, [names[i] for i in ticks])
    axes.tick_params(length=0, colors=_INK, labelsize=9)
    axes.set_xticks(np.arange(-0.5, k), minor=True)
    axes.set_yticks(np.arange(-0.5, k), minor=True)
    axes.grid(which="minor", color="white", linewidth=1.2 if k <= 30 else 0)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("predicted", color=_INK)
    axes.set_ylabel("true", color=_INK)
    right, total = int(np.trace(counts)), int(counts.sum())
    summary = f"{right:,} of {total:,} right" + (f" ({100 * right / total:.2f}%)" if total else "")
    axes.set_title(f"{title}\n{summary}" if title else summary, color=_INK, fontsize=10, loc="left")
    return _save(made, path)


def _save(figure: Any, path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    kind = path.suffix[1:] or "png"
    # No date in the file: the same run gives the same bytes.
    metadata = {"Software": None} if kind == "png" else {"Date": None} if kind == "svg" else None
    figure.savefig(path, format=kind, metadata=metadata, facecolor="white")
    return path
