"""The pages of `docs/benchmarks`, from what a run measured."""

from __future__ import annotations

from pathlib import Path

from ranvier.bench import musts
from ranvier.bench.measure import Result
from ranvier.bench.plots import draw
from ranvier.bench.report import Book, Verdict, bar, megabytes, scaled, table, tables

PICTURES = {
    "ratios.png": "Every row of single operations: PyTorch's best mode over ours.",
    "gemm.png": "Square products, odd sizes among them, beside the peak of the same run.",
    "batch.png": "Time per sample of whole training steps: flat or falling is right.",
    "length.png": "An LSTM layer, forward and gradients: the time is linear in the length.",
    "threads.png": "What a second thread brings: arithmetic above, memory and overhead below.",
}
METHOD = """\
Each peer runs in a process of its own, rounds are interleaved, data is random, precision is the
same, and every result is compared before it is timed. A peer's threads sleep when it is not its
turn (NumPy's are told to do so sooner, by OPENBLAS_THREAD_TIMEOUT). Where processors are virtual,
each timing, of whatever peer, waits up to a second for a moment in which they are two cores beside
one cache: not two threads of one core, nor cores of two dies, between which a cache line takes five
times as long, while memory is nearly twice as fast. It is taken again, twice at most, when that
moment ended before it did. Each timing begins with 5 ms of calls, at least one, that do not count:
threads wake up, and caches fill. Quoted are medians over the rounds, half the distance between the
quartiles (±), and the median of the ratios round by round. A ratio above 1 means that ranvier is
faster. "Of limit" is the share of the multiply-adds that this processor did in registers, on as
many threads, right after each round, or of the bandwidth of a pass over as many bytes in the same
pattern (reading, copying, in place) in the same run (in the latest, where rows were measured anew);
floating-point operations are those of the plain formula, so Winograd's convolutions can exceed the
peak. The points of a curve are measured together, every point in every round. PyTorch's best is the
fastest of eager in both layouts, the fused optimizers, and `torch.compile` for whole steps and
where several passes over memory can become one. "torch-warm" is no mode of PyTorch: the C library
hands arrays above 32 MB back to the system at once and gets them anew, cleared, at every step, and
the environment variables MALLOC_MMAP_MAX_ and MALLOC_TRIM_THRESHOLD_ were set so that it does
not."""

ALLOWS = (
    '"machine allows" is what a kernel would reach that moves the row\'s bytes as fast as the '
    "plainest pass of the same run and does nothing else, or what a second thread brought to "
    'multiply-adds in registers in the same rounds. "Over plain PyTorch" is the ratio over eager '
    "PyTorch in its own layout, which some musts were set from."
)


def write(book: Book, folder: Path) -> list[str]:
    """Writes pages and pictures; the names of the files."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        pictures = draw(book, folder)
    except ImportError:
        pictures = []
    pages = {
        "index.md": _index(book, pictures),
        "ops.md": _operations(book),
        "musts.md": _musts(book),
    }
    for name, text in pages.items():
        (folder / name).write_text(text)
    return [*pages, *pictures]


def _measured_on(book: Book) -> str:
    m = book.machine
    streams = ", ".join(f"{p} {m['streams'][p][-1]:.0f}" for p in m["streams"])
    versions = ", ".join(f"{k} {v}" for k, v in m["versions"].items())
    return (
        f"Measured {m['date']} on {m['processor']} ({m['level']}), {m['threads']} threads: FMA "
        f"peak {m['peak_gflops']:.0f} GFLOP/s; passes over 268 MB, GB/s: {streams}. {versions}."
    )


def _index(book: Book, pictures: list[str]) -> str:
    out = ["# Benchmarks", "", _measured_on(book), "", METHOD, *_moments(book), ""]
    out += ["```bash", "pip install '.[bench]' && ranvier bench --docs docs/benchmarks", "```", "",
            "measures everything anew and rewrites these pages; `ranvier bench conv2d` measures "
            "one room.", ""]  # fmt: skip
    verdicts = book.verdicts()
    if verdicts or any(count for _, count in book.means().values()):
        out += _in_short(book, verdicts)
    steps = book.of_group("models")
    if steps:
        out += ["## Whole training steps", "",
                "Forward, loss, backward, Adam (PyTorch's fused form), gradients to none, from the "
                "same weights. \"ranvier\" is captured.", "",
                *_steps(steps), "", *_memory(steps)]  # fmt: skip
    for picture in pictures:
        out += [f"![{PICTURES[picture]}]({picture})", "", PICTURES[picture], ""]
    out += _core(book) + _facts(book)
    out += ["## All rows", "", "```{toctree}", ":maxdepth: 1", "", "ops", "musts", "```", ""]
    return "\n".join(out)


def _moments(book: Book) -> list[str]:
    seen = book.machine.get("moments")
    if not seen or not seen["trip_ns"]:
        return []
    return [f"In this run {seen['unsettled']} of {seen['timings']} timings had no such moment from "
            f"beginning to end; waiting, and timings that were taken again, took "
            f"{seen['waited_s']:.0f} s; a cache line goes from one thread to the "
            f"other and back in {seen['trip_ns']:.0f} ns."]  # fmt: skip


def _in_short(book: Book, verdicts: list[Verdict]) -> list[str]:
    out = ["## In short", "", "| what | rows | geometric mean | | must | goal |",
           "| --- | ---: | ---: | :--- | ---: | ---: |"]  # fmt: skip
    names = {
        "ops": "single operations over PyTorch's best mode",
        "captured": "captured training steps over PyTorch's best mode",
        "eager": "eager training steps over PyTorch eager",
    }
    for group, (mean, count) in book.means().items():
        if count:
            must, goal = musts.MEANS[group]
            wish = f"{goal:g}" if goal else ""
            out.append(f"| {names[group]} | {count} | **{mean:.2f}** | {bar(mean)} | {must:g} "
                       f"| {wish} |")  # fmt: skip
    held = sum(v.holds for v in verdicts)
    out += ["", f"{held} of {len(verdicts)} musts hold: [all of them](musts.md).", ""]
    missed = sorted((v for v in verdicts if not v.holds), key=lambda v: v.share)
    if missed:
        out += ["Missed, the farthest first; " + ALLOWS, "",
                *_verdict_table(missed), ""]  # fmt: skip
    return out + _slow(book)


def _slow(book: Book) -> list[str]:
    slow = book.slow()
    if not slow:
        return [f"No row is slower than {musts.FLOOR} of PyTorch's best mode.", ""]
    out = [f"## Slower than {musts.FLOOR} of PyTorch's best mode", "",
           "| row | ratio | mode |", "| --- | ---: | --- |"]  # fmt: skip
    out += [f"| {r.row} | {book.best_ratio(r):.2f} | {r.best()} |" for r in slow]
    return [*out, ""]


def _steps(steps: list[Result]) -> list[str]:
    peers = [p for p in ("ranvier-eager", "torch", "torch-channels_last", "compile", "jax")
             if any(p in r.ratios for r in steps)]  # fmt: skip
    out = ["| step | ranvier | | " + " | ".join(peers) + " | best of PyTorch / ours |",
           "| --- | ---: | ---: |" + " ---: |" * len(peers) + " :--- |"]  # fmt: skip
    for r in steps:
        if "ranvier" not in r.seconds:
            continue
        mode = r.best()
        cells = [r.row, scaled(r.median("ranvier")), f"±{100 * r.spread('ranvier'):.0f} %"]
        cells += [f"{scaled(r.median(p))} ({r.ratio(p):.2f})" if p in r.ratios else ""
                  for p in peers]  # fmt: skip
        cells.append(f"{bar(r.ratio(mode))} {r.ratio(mode):.2f}" if mode else "")
        out.append("| " + " | ".join(cells) + " |")
    return out


def _memory(steps: list[Result]) -> list[str]:
    if not any(r.memory for r in steps):
        return []
    peers = list(dict.fromkeys(p for r in steps for p in r.memory))
    out = ["Memory that three steps add to a fresh process, which has the model and the data, and "
           "the time of its first calls (a captured step is recorded in the second and rewritten "
           "in the third):", "",
           "| step | " + " | ".join(peers) + " | first captured calls | first eager calls |",
           "| --- |" + " ---: |" * len(peers) + " ---: | ---: |"]  # fmt: skip
    for r in steps:
        if not r.memory:
            continue
        cells = [r.row, *(f"{r.memory[p] / 1e6:.0f} MB" if p in r.memory else "" for p in peers)]
        for label in ("ranvier", "ranvier-eager"):
            cells.append(", ".join(scaled(t) for t in r.first.get(label, [])))
        out.append("| " + " | ".join(cells) + " |")
    return [*out, ""]


def _core(book: Book) -> list[str]:
    results = book.of_group("core")
    if not results:
        return []
    return ["## Overhead", "", *table(results, book.machine), ""]


def _facts(book: Book) -> list[str]:
    if not book.facts:
        return []
    out = ["## Beside the kernels", "", "| what | measured | how |", "| --- | --- | --- |"]
    for fact in book.facts:
        form = scaled if fact.unit == "s" else megabytes
        values = ", ".join(f"{name} {form(v)}" for name, v in fact.values.items())
        out.append(f"| {fact.name} | {values} | {fact.note} |")
    return [*out, ""]


def _operations(book: Book) -> str:
    out = ["# Single operations", "", _measured_on(book), "",
           "The method is on the [first page](index.md). Ratios in parentheses.", ""]  # fmt: skip
    failed = [r for r in book.results if r.failed]
    out += [f"* Failed: {r.row}: {p}: {text}" for r in failed for p, text in r.failed.items()]
    out += [""] if failed else []
    return "\n".join([*out, *tables(book.of_group("ops"), book.machine)])


def _verdict_table(verdicts: list[Verdict]) -> list[str]:
    out = ["| what | must (goal) | measured | | machine allows | over plain PyTorch |",
           "| --- | ---: | ---: | --- | ---: | ---: |"]  # fmt: skip
    return out + [
        f"| {v.what} | {v.wanted} | {v.measured} | {'' if v.holds else 'missed'} | {v.ceiling} "
        f"| {v.plain} |"
        for v in verdicts
    ]


def _musts(book: Book) -> str:
    head = ["# What must hold", "", _measured_on(book), "",
            "Set before the kernels were written, from what the algorithms and such machines "
            "allow. A ratio is the time of PyTorch's best mode over ours unless the line says "
            "otherwise; \"both gradients\" is the sum of their times; " + ALLOWS, ""]  # fmt: skip
    return "\n".join([*head, *_verdict_table(book.verdicts()), ""])
