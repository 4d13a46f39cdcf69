"""Runs rows on all peers, interleaved, and writes the table."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ranvier.bench.suite import Row

PAUSE = 0.03  # seconds between peers: OpenMP's workers spin for a while after each region


@dataclass
class Result:
    """What was measured of one row.

    Attributes:
        seconds: peer -> time of one unit of work, one number a round.
        ratios: peer -> its time / ours, round by round.
        memory: peer -> bytes that its first steps added to a fresh process, where asked for.
    """

    row: str
    flops: float
    bytes: float
    seconds: dict[str, list[float]] = field(default_factory=dict)
    ratios: dict[str, list[float]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)

    def median(self, peer: str) -> float:
        """Median time of one unit of work."""
        return statistics.median(self.seconds[peer])

    def ratio(self, peer: str) -> float:
        """Median over the rounds of the peer's time over ours: above 1, we are faster."""
        return statistics.median(self.ratios[peer])


class Worker:
    """A peer's process."""

    def __init__(self, peer: str, threads: int) -> None:
        environment = dict(
            os.environ, RANVIER_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads)
        )
        self.peer = peer
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ranvier.bench.worker", peer, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, **command: Any) -> dict[str, Any]:
        """Sends a command and waits for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"[bench] the process of {self.peer} ended while running {command}")
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def compare(row: Row, peer: str, ours: str, theirs: str) -> None:
    """Raises when the peer's result is not ours."""
    if row.tolerance is None:
        return
    with np.load(ours) as a, np.load(theirs) as b:
        if len(a.files) != len(b.files):
            raise RuntimeError(f"[bench] {row.full_name}: {peer} returns another number of arrays")
        for name in a.files:
            x, y = a[name].astype(np.float64), b[name].astype(np.float64)
            if x.shape != y.shape:
                raise RuntimeError(
                    f"[bench] {row.full_name}: shape {x.shape}, {peer} has {y.shape}"
                )
            error = np.linalg.norm(x - y) / max(np.linalg.norm(y), 1e-30)
            if not error <= row.tolerance:
                raise RuntimeError(
                    f"[bench] {row.full_name}: relative difference {error:.2e} from {peer}, "
                    f"allowed {row.tolerance:.0e}"
                )


def step_memory(row: Row, peer: str, threads: int) -> int:
    """Bytes that three steps add to a fresh process which has the model and the data already."""
    worker = Worker(peer, threads)
    try:
        return int(worker.ask(row=row.full_name).get("memory", 0))
    finally:
        worker.close()


def run(
    rows: list[Row],
    peers: list[str],
    rounds: int = 7,
    threads: int = 2,
    seconds: float = 0.05,
    memory: bool = False,
) -> list[Result]:
    """Checks, then times every row on "ranvier" and on each peer that has it."""
    wanted = ["ranvier"] + [p for p in peers if p != "ranvier"]
    variants = sorted(
        {p for r in rows for p in r.peers if p.split("-")[0] in wanted}, key=wanted_order(wanted)
    )
    workers = {p: Worker(p, threads) for p in variants}
    results = []
    try:
        for row in rows:
            result = Result(row.full_name, row.flops, row.bytes)
            ready: dict[str, Worker] = {}
            paths: dict[str, str] = {}
            for peer in [p for p in variants if p in row.peers]:
                answer = workers[peer].ask(row=row.full_name)
                if "skip" in answer:
                    result.skipped[peer] = answer["skip"]
                    continue
                ready[peer] = workers[peer]
                paths[peer] = answer["result"]
            for peer in ready:
                if peer != "ranvier" and "ranvier" in paths:
                    compare(row, peer, paths["ranvier"], paths[peer])
            for _ in range(rounds):
                for peer, worker in ready.items():
                    time.sleep(PAUSE)
                    taken = worker.ask(time=seconds)["seconds"] / row.per
                    result.seconds.setdefault(peer, []).append(taken)
            for peer in ready:
                if peer != "ranvier" and "ranvier" in ready:
                    result.ratios[peer] = [
                        b / a
                        for a, b in zip(
                            result.seconds["ranvier"], result.seconds[peer], strict=True
                        )
                    ]
            if memory:
                result.memory = {p: step_memory(row, p, threads) for p in ready}
            results.append(result)
            print(line(result), flush=True)
    finally:
        for worker in workers.values():
            worker.close()
    return results


def wanted_order(wanted: list[str]) -> Any:
    """Sort key: the order in which peers were asked for, variants after their base."""
    return lambda p: (wanted.index(p.split("-")[0]), p)


def scaled(seconds: float) -> str:
    """A time with the unit that suits it."""
    for limit, factor, unit in ((1e-6, 1e9, "ns"), (1e-3, 1e6, "us"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def line(result: Result) -> str:
    """One line for the terminal."""
    text = f"{result.row:<52}"
    for peer in result.seconds:
        text += f"  {peer} {scaled(result.median(peer)):>8}"
        if peer == "ranvier" and result.flops:
            text += f" {result.flops / result.median(peer) / 1e9:6.0f} GF/s"
        if peer in result.ratios:
            text += f" ({result.ratio(peer):.2f}x)"
        if result.memory.get(peer):
            text += f" {result.memory[peer] / 1e6:.0f} MB"
    for peer, reason in result.skipped.items():
        text += f"  {peer} SKIPPED ({reason})"
    return text


def geometric_mean(values: list[float]) -> float:
    """exp(mean(log))."""
    return float(np.exp(np.mean(np.log(values)))) if values else float("nan")


def markdown(results: list[Result], machine: dict[str, Any]) -> str:
    """The table that is committed under docs/benchmarks."""
    peers = sorted({p for r in results for p in r.ratios})
    out = [
        "| row | ranvier | GFLOP/s | of peak | GB/s |" + "".join(f" {p} | ratio |" for p in peers)
    ]
    out.append("| --- | ---: | ---: | ---: | ---: |" + " ---: | :--- |" * len(peers))
    for r in results:
        if "ranvier" not in r.seconds:
            continue
        t = r.median("ranvier")
        flops = r.flops / t / 1e9 if r.flops else 0.0
        cells = [
            r.row,
            scaled(t),
            f"{flops:.0f}" if flops else "",
            f"{100 * flops / machine['peak_gflops']:.0f} %" if flops else "",
            f"{r.bytes / t / 1e9:.1f}" if r.bytes else "",
        ]
        for p in peers:
            if p in r.ratios:
                ratio = r.ratio(p)
                cells += [scaled(r.median(p)), f"{'█' * min(20, round(4 * ratio))} {ratio:.2f}"]
            else:
                cells += ["", ""]
        out.append("| " + " | ".join(cells) + " |")
    if any(r.memory for r in results):
        out += ["", "| row | memory that a step adds |", "| --- | :--- |"]
        for r in results:
            used = ", ".join(f"{p} {n / 1e6:.0f} MB" for p, n in r.memory.items() if n)
            out.append(f"| {r.row} | {used} |")
    for p in peers:
        mean = geometric_mean([r.ratio(p) for r in results if p in r.ratios])
        out.append(f"\nGeometric mean of the ratios against {p}: **{mean:.2f}**")
    return "\n".join(out) + "\n"


def describe_machine(threads: int) -> dict[str, Any]:
    """Processor, versions, and the floating-point peak and bandwidth measured now."""
    import ranvier as rv
    from ranvier import _core

    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as info:
            for text in info:
                if text.startswith("model name"):
                    model = text.split(":", 1)[1].strip()
                    break
    _core.set_num_threads(threads)
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "ranvier": rv.__version__,
    }
    for name in ("torch", "jax"):
        try:
            from importlib import metadata

            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": model,
        "level": _core.cpu_level(),
        "threads": threads,
        "peak_gflops": max(_core.measure_flops() for _ in range(5)) / 1e9,
        "copy_gbs": max(_core.measure_copy() for _ in range(3)) / 1e9,
        "versions": versions,
        "date": time.strftime("%Y-%m-%d"),
    }


def main(arguments: list[str] | None = None) -> int:
    """Command line of `ranvier bench`."""
    import argparse

    from ranvier.bench.suite import find_rows

    parser = argparse.ArgumentParser(prog="ranvier bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="rooms or parts of row names")
    parser.add_argument(
        "--peers", default="torch,numpy", help="comma-separated; default torch,numpy"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=None, help="default: all that ranvier uses")
    parser.add_argument(
        "--memory", action="store_true", help="also measure what a step adds to a fresh process"
    )
    parser.add_argument("--json", metavar="FILE", help="write machine and results as JSON")
    parser.add_argument("--markdown", metavar="FILE", help="write the table as Markdown")
    parser.add_argument("--list", action="store_true", help="print the names of all rows")
    options = parser.parse_args(arguments)
    rows = find_rows(options.names)
    if options.list:
        print("\n".join(r.full_name for r in rows))
        return 0
    from ranvier import _core

    threads = options.threads or _core.num_threads()
    machine = describe_machine(threads)
    print(
        f"{machine['processor']}, {machine['level']}, {threads} threads, "
        f"FMA peak {machine['peak_gflops']:.0f} GFLOP/s, copy {machine['copy_gbs']:.0f} GB/s, "
        + ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    )
    chosen = [p for p in options.peers.split(",") if p]
    results = run(rows, chosen, options.rounds, threads, memory=options.memory)
    if options.json:
        with open(options.json, "w") as f:
            json.dump({"machine": machine, "results": [asdict(r) for r in results]}, f, indent=1)
    if options.markdown:
        with open(options.markdown, "w") as f:
            f.write(markdown(results, machine))
    for peer in sorted({p for r in results for p in r.ratios}):
        ratios = [r.ratio(peer) for r in results if peer in r.ratios]
        print(
            f"geometric mean against {peer}: {geometric_mean(ratios):.2f} over {len(ratios)} rows"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
