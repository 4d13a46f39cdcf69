"""Peers in processes of their own, checked against each other and timed in interleaved rounds."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ranvier.bench.moments import Moments
from ranvier.bench.suite import WARM, Row

ENTRY = ("-m", "ranvier.bench.worker")
PAUSE = 0.02  # seconds between peers: OpenMP's workers spin for a while after each region
FRESH = 3  # processes of ours whose first calls are timed
PEERS = ("torch", "compile", "numpy", "jax")
TORCH = ("torch", "compile")  # libraries whose modes compete for "PyTorch's best"
_serial = itertools.count()


@dataclass
class Result:
    """What was measured of one row.

    Attributes:
        seconds: peer -> time of one unit of work, one number a round.
        ratios: peer -> its time / ours, round by round.
        peaks: ours -> multiply-adds in registers on as many threads, FLOP/s, right after each of
            its rounds, where arithmetic may be the limit.
        skipped: peer -> why it was left out.
        failed: peer -> how it failed, or how its result differs from ours.
        memory: peer -> bytes that its first steps added to a fresh process, where asked for.
        first: peer -> seconds of its first calls in a fresh process, where asked for.
    """

    row: str
    flops: float
    bytes: float
    group: str = ""
    pattern: str = "copy"
    seconds: dict[str, list[float]] = field(default_factory=dict)
    ratios: dict[str, list[float]] = field(default_factory=dict)
    peaks: dict[str, list[float]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    first: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Row) -> Result:
        """An empty result of this row."""
        return cls(row.full_name, float(row.flops), float(row.bytes), row.group, row.pattern)

    def median(self, peer: str) -> float:
        """Median time of one unit of work."""
        return statistics.median(self.seconds[peer])

    def spread(self, peer: str) -> float:
        """Half the distance between the quartiles over the median: 0.02 is +- 2 %."""
        times = self.seconds[peer]
        if len(times) < 3:
            return 0.0
        low, _, high = statistics.quantiles(times, n=4, method="inclusive")
        return (high - low) / 2 / self.median(peer)

    def ratio(self, peer: str) -> float:
        """Median over the rounds of the peer's time over ours: above 1, we are faster."""
        return statistics.median(self.ratios[peer])

    def share_of_peak(self) -> float | None:
        """Our floating-point operations over those of multiply-adds in registers, round by round.

        None where that was not measured.
        """
        peaks = self.peaks.get("ranvier")
        if not peaks or not self.flops:
            return None
        pairs = zip(self.seconds["ranvier"], peaks, strict=True)
        return statistics.median(self.flops / seconds / peak for seconds, peak in pairs)

    def best(self, *modes: str) -> str | None:
        """The fastest of PyTorch's modes; `modes` are those allowed, all by default."""
        torch = [p for p in self.ratios if (p in modes if modes else is_mode(p))]
        return min(torch, key=self.median) if torch else None


class Worker:
    """A peer's process.

    A label such as "torch-channels_last@1" is that peer with one thread, where it runs beside the
    same peer with more.
    """

    def __init__(self, label: str, threads: int, folder: str, python: str | None = None) -> None:
        count = str(threads)
        environment = dict(
            os.environ,
            RANVIER_NUM_THREADS=count,
            OMP_NUM_THREADS=count,
            OPENBLAS_NUM_THREADS=count,
            MKL_NUM_THREADS=count,
            # After 2^20 cycles, not 2^26, NumPy's threads stop looking for work on a core that is
            # another peer's now.
            OPENBLAS_THREAD_TIMEOUT="20",
            NPROC=count,  # XLA's
            JAX_PLATFORMS="cpu",
        )
        if peer_of(label) == WARM:  # nothing is mapped apart, nothing given back
            environment |= {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
        self.label, self.asked = label, dict[str, Any]()
        self.results = os.path.join(folder, f"{label}-{next(_serial)}")
        self.log = open(f"{self.results}.log", "w+")  # noqa: SIM115 - closed with the process
        self.process = subprocess.Popen(
            [python or sys.executable, *ENTRY, peer_of(label), count, self.results],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C is for us alone
        )

    def ask(self, **command: Any) -> dict[str, Any]:
        """Sends a command and waits for its answer."""
        self.send(**command)
        return self.receive()

    def send(self, **command: Any) -> None:
        """Sends a command: the process works on it while we go on."""
        assert self.process.stdin is not None
        self.asked = command
        with contextlib.suppress(BrokenPipeError):  # the missing answer will say so
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Waits for the answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            said = "".join(self.log.readlines()[-3:]).strip()
            raise RuntimeError(
                f"[bench] expected an answer of {self.label} to {self.asked}, but its process ended"
                + (f" - it said: {said}" if said else "")
            )
        return dict(json.loads(line))

    def close(self, at_once: bool = False) -> None:
        """Ends the process."""
        if at_once:
            self.process.terminate()
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.log.close()


class Workers:
    """Processes by label, started when first needed."""

    def __init__(
        self,
        threads: int,
        pythons: dict[str, str] | None = None,
        moments: Moments | None = None,
    ) -> None:
        self.threads, self.pythons = threads, pythons or {}
        self.moments = moments or Moments()
        self._open: dict[str, Worker] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="ranvier-bench-")

    def __getitem__(self, label: str) -> Worker:
        if label not in self._open:
            self._open[label] = self.fresh(label)
        return self._open[label]

    def fresh(self, label: str) -> Worker:
        """A process that the caller closes."""
        threads = int(label.split("@")[1]) if "@" in label else self.threads
        python = self.pythons.get(peer_of(label).split("-")[0])
        return Worker(label, threads, self._folder.name, python)

    def drop(self, label: str) -> None:
        """Ends one process: the next use starts another."""
        worker = self._open.pop(label, None)
        if worker is not None:
            worker.close(at_once=True)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        for worker in self._open.values():
            worker.close(at_once=kind is not None)
        self._open.clear()
        self._folder.cleanup()


def is_mode(label: str) -> bool:
    """Whether this is PyTorch as its users can run it: what competes for its best mode."""
    return label.split("-")[0] in TORCH and label != WARM


def peer_of(label: str) -> str:
    """The peer of a label: what stands before the number of threads."""
    return label.split("@")[0]


def difference(row: Row, ours: str, theirs: str) -> str:
    """How the peer's result differs from ours; empty when it is the same within the tolerance."""
    if row.tolerance is None:
        return ""
    with np.load(ours) as a, np.load(theirs) as b:
        if len(a.files) != len(b.files):
            return f"returns {len(b.files)} arrays, ranvier {len(a.files)}"
        for name in a.files:
            x, y = a[name].astype(np.float64), b[name].astype(np.float64)
            if x.shape != y.shape:
                return f"shape {y.shape}, ranvier {x.shape}"
            with np.errstate(invalid="ignore"):  # infinities differ by nan: not equal
                error = np.linalg.norm(x - y) / max(float(np.linalg.norm(y)), 1e-30)
            if not error <= row.tolerance:
                return f"relative difference {error:.2e}, allowed {row.tolerance:.0e}"
    return ""


def labels_of(row: Row, peers: list[str]) -> list[str]:
    """The labels that a row is measured under: ours first, then as asked for, modes after them."""
    wanted = ["ranvier", *(p for p in peers if p != "ranvier")]
    return sorted(
        (p for p in row.builders() if p.split("-")[0] in wanted),
        key=lambda p: (wanted.index(p.split("-")[0]), p),
    )


def measure(
    row: Row,
    labels: list[str],
    workers: Workers,
    rounds: int = 7,
    seconds: float = 0.02,
    limit: float = float("inf"),
) -> Result:
    """Checks, then times one row under each label; `measure_together` of it alone."""
    return measure_together([row], labels, workers, rounds, seconds, limit)[0]


def measure_together(
    rows: list[Row],
    labels: list[str],
    workers: Workers,
    rounds: int = 7,
    seconds: float = 0.02,
    limit: float = float("inf"),
) -> list[Result]:
    """Checks rows, then times them in rounds: each round is every row under each label.

    What is to be compared, peers or points of a curve, is so measured within the same moments: a
    machine that others use as well is slower for seconds at a time. Ends early, after three rounds,
    at the limit, which does not count how long the peers take to build and to compile.

    Args:
        rows: what is measured.
        labels: the peers, ours first; each may name a number of threads.
        workers: their processes.
        rounds: how often each is timed, in turns.
        seconds: time of each in a round, at least.
        limit: seconds that the rounds may take; one that has begun is finished.
    """
    results = [Result.of(row) for row in rows]
    ready = [
        _load(row, result, labels, workers, keep=row is not rows[0])
        for row, result in zip(rows, results, strict=True)
    ]
    started = time.perf_counter()
    for done in range(rounds):
        if done >= 3 and time.perf_counter() - started > limit:
            break
        for row, result, its in zip(rows, results, ready, strict=True):
            for label in list(its):
                time.sleep(PAUSE)
                if not _time(row, result, label, its[label], workers.moments, seconds):
                    workers.drop(label)
                    for others in ready:  # the process held their steps too
                        others.pop(label, None)
    for result, its in zip(results, ready, strict=True):
        for label in its:
            base = f"ranvier@{label.split('@')[1]}" if "@" in label else "ranvier"
            if label != base and base in its:
                pairs = zip(result.seconds[base], result.seconds[label], strict=True)
                result.ratios[label] = [float(f"{b / a:.5g}") for a, b in pairs]
    return results


def _load(
    row: Row, result: Result, labels: list[str], workers: Workers, keep: bool
) -> dict[str, Worker]:
    """Lets every peer build its step; the processes whose results agree, or are the first."""
    ready: dict[str, Worker] = {}
    reference = ""
    for label in labels:  # they build their steps side by side, before anything is timed
        workers[label].send(load=row.full_name, keep=keep)
    for label in labels:
        try:
            answer = workers[label].receive()
        except RuntimeError as error:
            answer = {"error": str(error)}
            workers.drop(label)
        if "skip" in answer:
            result.skipped[label] = answer["skip"]
            continue
        problem = answer.get("error", "")
        if not problem and reference:
            problem = difference(row, reference, answer["result"])
        if problem:
            result.failed[label] = problem
            continue
        reference = reference or answer["result"]
        ready[label] = workers[label]
    return ready


def _time(
    row: Row, result: Result, label: str, worker: Worker, moments: Moments, seconds: float
) -> bool:
    """One round of one row under one label; False when its process has ended."""
    try:
        answer = moments.measure(lambda: worker.ask(time=seconds, row=row.full_name))
        taken = answer["seconds"] / row.per
        # After our turn, not before it: the loop must not warm up the processor for us alone.
        if peer_of(label) == "ranvier" and (row.flops or "@" in label):
            peak = worker.ask(peak=True)["flops"]
            result.peaks.setdefault(label, []).append(float(f"{peak:.4g}"))
    except RuntimeError as error:
        result.failed[label] = str(error)
        result.seconds.pop(label, None)
        return False
    result.seconds.setdefault(label, []).append(float(f"{taken:.5g}"))
    return True


def fresh_process(result: Result, row: Row, labels: list[str], workers: Workers) -> None:
    """Memory and first calls of each label in processes of its own; adds them to the result.

    A call happens once in a process: medians over `FRESH` processes of ours, in turns, or one of a
    peer, of which nothing but the memory is judged.
    """
    answers: dict[str, list[dict[str, Any]]] = {label: [] for label in labels}
    for turn in range(FRESH):
        for label in labels:
            if turn and not label.startswith("ranvier"):
                continue
            worker = workers.fresh(label)
            workers.moments.wait()
            try:
                answers[label].append(worker.ask(load=row.full_name, keep=False))
            finally:
                worker.close()
    for label, its in answers.items():
        memory = [a["memory"] for a in its if a.get("memory")]
        if memory:
            result.memory[label] = int(statistics.median(memory))
        calls = [a["first"] for a in its if a.get("first")]
        if calls:
            medians = [statistics.median(call) for call in zip(*calls, strict=True)]
            result.first[label] = [float(f"{t:.4g}") for t in medians]


def run(
    rows: list[Row],
    peers: list[str],
    workers: Workers,
    begin: Callable[[Row], None],
    report: Callable[[Result], None],
    rounds: int = 7,
    seconds: float = 0.02,
    minutes: float = float("inf"),
    memory: bool = False,
) -> None:
    """Measures every row, handing each result on as it comes.

    Args:
        rows: what is measured.
        peers: libraries beside ours.
        workers: their processes.
        begin: is told which row comes next.
        report: takes each result.
        rounds: how often each peer is timed, in turns.
        seconds: time of each in a round, at least.
        minutes: time for all rows; rows then take less than `rounds` rounds (at least three) as
            soon as they use more than their share of what is left.
        memory: also measure each peer in a fresh process.
    """
    deadline = time.perf_counter() + 60 * minutes
    for done, row in enumerate(rows):
        share = (deadline - time.perf_counter()) / (len(rows) - done)
        begin(row)
        labels = labels_of(row, peers)
        result = measure(row, labels, workers, rounds, seconds, 3 * share)
        if memory:
            fresh_process(result, row, [p for p in result.seconds if p != "compile"], workers)
        report(result)
