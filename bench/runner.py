"""`ranvier bench`: rows on all peers, printed as they come, kept, and written as pages.

ranvier bench                            every row beside PyTorch and NumPy
ranvier bench conv2d "matmul: 512*"      rooms, or parts of the names of rows
ranvier bench ops|models|core            folders of rows
ranvier bench curves|threads|facts       growth over batch, length and size; threads; imports
ranvier bench --docs docs/benchmarks     all of it, and the pages rewritten
ranvier bench --docs docs/benchmarks --from docs/benchmarks/cpu.json    the pages alone
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

from ranvier.bench import facts
from ranvier.bench.curves import curve_rows, curves, speed_up, thread_rows, trace
from ranvier.bench.machine import describe_machine, measure_peak, one_line
from ranvier.bench.measure import PEERS, Result, Workers, run
from ranvier.bench.moments import Moments
from ranvier.bench.report import Book, line, markdown, megabytes, scaled, summary
from ranvier.bench.suite import Row, find_rows

SECTIONS = ("curves", "threads", "facts")
STEP_WEIGHT = 8  # how much more time a whole training step gets than an operation


class Progress:
    """A bar with the time to come on a terminal's last line; nothing elsewhere."""

    def __init__(self, total: int, out: TextIO | None = None) -> None:
        self.total, self.done = total, 0
        self.started = time.perf_counter()
        self.shown = sys.stderr.isatty()
        self.out = sys.stdout if out is None else out

    def say(self, text: str) -> None:
        """Prints above the bar."""
        if self.shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        print(text, flush=True, file=self.out)

    def show(self, doing: str) -> None:
        """Draws the bar."""
        if not self.shown:
            return
        share = self.done / max(self.total, 1)
        past = time.perf_counter() - self.started
        left = f", {past / share - past:.0f} s to go" if share > 0.02 else ""
        width = shutil.get_terminal_size().columns - 1
        text = f"{'█' * round(24 * share):░<24} {self.done}/{self.total}{left}  {doing}"
        print(f"\r\033[K{text[:width]}", end="", file=sys.stderr, flush=True)

    def step(self, text: str) -> None:
        """One thing is done: prints about it, moves the bar."""
        self.done += 1
        self.say(text)
        self.show("")

    def end(self) -> None:
        """Takes the bar away."""
        if self.shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def available(peers: list[str], pythons: dict[str, str], out: TextIO | None = None) -> list[str]:
    """The peers that can run here; says which cannot, and why."""
    kept = []
    for peer in peers:
        if peer == "ranvier":
            continue
        library = "torch" if peer == "compile" else peer
        command = [pythons.get(peer, sys.executable), "-c", f"import {library}"]
        if subprocess.run(command, capture_output=True).returncode:
            print(f"{peer}: not installed, left out", file=out)
        elif peer == "compile" and not (shutil.which("g++") or shutil.which("clang++")):
            print("compile: torch.compile needs a C++ compiler, left out", file=out)
        else:
            kept.append(peer)
    return kept


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line.

    Raises:
        ValueError: an unknown peer, or options that exclude each other.
    """
    parser = argparse.ArgumentParser(
        prog="ranvier bench", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="rooms, folders, or parts of row names")
    add("--peers", help=f"of {','.join(PEERS)}; default torch,numpy, and all with --docs")
    add("--rounds", type=int, default=7, help="interleaved rounds, 7 by default")
    add("--seconds", type=float, default=0.02, help="of each peer in each round, at least")
    add("--quick", action="store_true", help="three short rounds: orders of magnitude")
    add("--minutes", type=float, help="for all rows: long ones then take fewer rounds, at least 3")
    add("--threads", type=int, help="default: all that ranvier uses")
    add("--memory", action="store_true", help="also what a step adds to a fresh process")
    add("--python", action="append", default=[], metavar="PEER=PATH",
        help="run a peer in another environment's interpreter")  # fmt: skip
    add("--json", metavar="FILE", type=Path, nargs="?", const=Path("-"),
        help="write machine and results as JSON; without FILE to standard output")  # fmt: skip
    add("--markdown", metavar="FILE", type=Path, help="write the tables as Markdown")
    add("--docs", metavar="FOLDER", type=Path,
        help="measure all, or what is named, and write pages, pictures and cpu.json")  # fmt: skip
    add("--from", dest="source", metavar="FILE", type=Path,
        help="measure nothing: use this JSON")  # fmt: skip
    add("--list", action="store_true", help="print the names of all rows and of the curves' points")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds = 3, 0.01
    threads = 1 if options.threads is None else options.threads
    if options.rounds < 1 or options.seconds <= 0 or threads < 1:
        raise ValueError("[bench] expected --rounds, --seconds and --threads above 0")
    for pair in options.python:
        if "=" not in pair:
            raise ValueError(f"[bench] expected --python PEER=PATH, got {pair!r}")
    if options.json and options.json != Path("-") and options.json.suffix != ".json":
        raise ValueError(
            f"[bench] expected --json FILE.json, got {str(options.json)!r} - names stand before it"
        )
    default = ",".join(PEERS) if options.docs else "torch,numpy"
    options.peers = [p for p in (options.peers or default).split(",") if p]
    unknown = [p for p in options.peers if p not in (*PEERS, "ranvier")]
    if unknown:
        raise ValueError(f"[bench] expected peers of {', '.join(PEERS)}, got {unknown[0]!r}")
    options.sections = {n for n in options.names if n in SECTIONS}
    options.names = [n for n in options.names if n not in SECTIONS]
    if options.docs and options.minutes is None:
        options.minutes = 15.0  # of twenty for all
    if options.docs and not options.names and not options.sections:
        options.sections, options.names = set(SECTIONS), ["core", "ops", "models"]
    return options


def measure_all(
    options: argparse.Namespace, book: Book, workers: Workers, keep: Path | None
) -> None:
    """Fills the book with what was asked for; `keep` is written now and then, where given."""
    rows: list[Row] = []
    if options.names or not options.sections:
        rows = find_rows(options.names)
    some_curves = curves() if "curves" in options.sections else []
    some_threads = thread_rows() if "threads" in options.sections else []
    if book.machine["threads"] == 1:
        some_threads = []
    progress = Progress(len(rows) + len(some_curves) + len(some_threads), options.out)
    saved = time.perf_counter()

    def save() -> None:
        nonlocal saved
        if keep and time.perf_counter() - saved > 10:
            book.save(keep)
            saved = time.perf_counter()

    def one(result: Result) -> None:
        book.results.append(result)
        progress.step(line(result, book.machine))
        save()

    def begin(row: Row) -> None:
        progress.show(row.full_name)

    def fact(found: facts.Fact) -> None:
        form = scaled if found.unit == "s" else megabytes
        values = ", ".join(f"{k} {form(v)}" for k, v in found.values.items())
        progress.say(f"{found.name}: {values or found.note}")
        book.facts.append(found)

    try:
        if "facts" in options.sections:
            progress.show("imports and bindings")
            facts.gather(fact)
        progress.show("starting the peers")
        steps = [r for r in rows if r.group == "models"]
        others = [r for r in rows if r.group != "models"]
        weight = len(others) + STEP_WEIGHT * len(steps)
        rounds, seconds = options.rounds, options.seconds
        minutes = options.minutes or float("inf")
        for part, of_each in ((others, 1), (steps, STEP_WEIGHT)):
            share = minutes * of_each * len(part) / max(weight, 1)
            memory = options.memory or bool(options.docs and part is steps)
            run(part, options.peers, workers, begin, one, rounds, seconds, share, memory)
        for curve in some_curves:
            progress.show(curve.name)
            book.lines.append(trace(curve, options.peers, workers, rounds, seconds))
            progress.step(f"curve: {curve.name}: {len(curve.points)} points")
            save()
        for row in some_threads:
            progress.show(f"threads: {row.full_name}")
            most = book.machine["threads"]
            result = speed_up(row, options.peers, workers, most, rounds, seconds)
            book.threads.append(result)
            progress.step(f"one thread and {most}: " + line(result, book.machine))
            save()
        book.machine["peak_gflops"] = max(book.machine["peak_gflops"], measure_peak())
    finally:
        book.machine["moments"] = workers.moments.summary()
        progress.end()


def write(options: argparse.Namespace, book: Book) -> None:
    """Files that were asked for."""
    if options.markdown:
        options.markdown.write_text(markdown(book))
    if options.docs:
        from ranvier.bench.pages import write as write_pages

        print("wrote", ", ".join(write_pages(book, options.docs)), "to", options.docs)


def main(arguments: list[str] | None = None) -> int:
    """Command line of `ranvier bench`; 1 when a row failed, 130 after Ctrl-C."""
    options = parse(arguments)
    if options.list:
        rows = find_rows(options.names) + ([] if options.names else curve_rows())
        print("\n".join(r.full_name for r in rows))
        return 0
    if options.source:
        book = Book.load(options.source)
        print("\n".join(summary(book)))
        write(options, book)
        return 0
    find_rows(options.names)  # a wrong name is said before anything starts
    from ranvier import _core

    threads = options.threads or _core.num_threads()
    pythons = dict(pair.split("=", 1) for pair in options.python)
    moments = Moments()
    book = Book(describe_machine(threads, moments))
    # JSON alone goes to standard output, where a program reads it
    to_output = options.json == Path("-")
    options.out = sys.stderr if to_output else sys.stdout
    print(one_line(book.machine), flush=True, file=options.out)
    options.peers = available(options.peers, pythons, options.out)
    scratch = None if to_output else options.json
    if options.docs and scratch is None:
        scratch = options.docs / "cpu.json"
    interrupted = False
    earlier = None
    if options.docs and scratch.exists() and set(options.names) != {"core", "ops", "models"}:
        earlier = Book.load(scratch)  # a part is measured anew, the rest stays
        for what in ("processor", "threads"):
            if earlier.machine[what] != book.machine[what]:
                raise ValueError(
                    f"[bench] expected the {what} of {scratch}, {earlier.machine[what]}, got "
                    f"{book.machine[what]} - measure all of it anew, or write to another folder"
                )
    try:
        with Workers(threads, pythons, moments) as workers:
            measure_all(options, book, workers, scratch)
    except KeyboardInterrupt:
        interrupted = True
        print("interrupted: what was measured is kept", file=sys.stderr)
    print("\n".join(summary(book)), file=options.out)
    if earlier:
        earlier.merge(book)
        book = earlier
    if scratch:
        book.save(scratch)
    if to_output:
        print(book.to_json())
    write(options, book)
    return 130 if interrupted else int(any(r.failed for r in book.results))


if __name__ == "__main__":
    sys.exit(main())
