"""One peer in a process of its own: builds steps and times them on command.

Reads one JSON object a line on standard input, answers with one a line:
    {"load": name, "keep": bool}    -> {"ok": true, "result": path, "memory": bytes,
                                        "first": [seconds]}
                                       or {"skip": reason} or {"error": text}
    {"time": seconds, "row": name}  -> {"seconds": time of one step, "steps": how many averaged}
    {"peak": true}                  -> {"flops": multiply-adds in registers now, FLOP/s}
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
import zlib
from typing import Any

import numpy as np

from ranvier.bench.curves import curve_rows
from ranvier.bench.suite import Row, all_rows

FIRST = 3  # calls before anything is timed: a captured step is recorded on the second
WARM_UP = 0.005  # seconds of calls before each reading: threads wake up, caches fill
BATCH = 0.01  # seconds that one reading of the clock spans at least


def resident(field: str) -> int:
    """Bytes of memory that this process holds ("VmRSS") or held at most ("VmHWM"); 0 if unknown."""
    try:
        with open("/proc/self/status") as status:
            for text in status:
                if text.startswith(field):
                    return 1024 * int(text.split()[1])
    except OSError:
        pass
    return 0


def forget_peak() -> None:
    """Starts "VmHWM" anew, where the system lets us."""
    try:
        with open("/proc/self/clear_refs", "w") as control:
            control.write("5")
    except OSError:
        pass


def as_arrays(result: Any) -> list[np.ndarray]:
    """A step's result, from any library, as NumPy arrays."""
    if isinstance(result, (list, tuple)):
        return [a for r in result for a in as_arrays(r)]
    if result is None:
        return []
    if hasattr(result, "detach"):
        result = result.detach()
    return [np.ascontiguousarray(np.asarray(result))]


def timed(step: Any) -> tuple[float, Any]:
    """Seconds of one call, and what it returned."""
    started = time.perf_counter()
    result = step()
    return time.perf_counter() - started, result


def prepare(peer: str, threads: int) -> None:
    """Threads of the peer's library, and its quirks."""
    warnings.simplefilter("ignore")  # a peer's advice is no news here
    if peer in ("torch", "compile") or peer.startswith("torch-"):
        try:
            import torch

            torch.set_num_threads(threads)
        except ImportError:
            pass  # each row says so
    if peer.startswith("ranvier"):
        import ranvier as rv

        rv.set_num_threads(threads)
    if peer == "jax" and hasattr(os, "sched_setaffinity"):  # XLA goes by the processors it sees
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


class Server:
    """Steps that are being timed, and how often each runs between two looks at the clock."""

    def __init__(self, peer: str, rows: dict[str, Row], path: str) -> None:
        self.peer, self.rows, self.path = peer, rows, path
        self.steps: dict[str, tuple[Any, int]] = {}

    def load(self, name: str, keep: bool) -> dict[str, Any]:
        """Builds the row's step, runs it a few times and keeps its result for the comparison.

        Args:
            name: the row.
            keep: whether the rows loaded before stay; otherwise their memory goes first.
        """
        if not keep:
            self.steps.clear()
        row = self.rows[name]
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        if self.peer == "compile":
            try:
                import torch

                torch._dynamo.reset()  # rows share code; each is compiled as if it were alone
            except ImportError as error:
                return {"skip": str(error)}
        try:
            step = row.builders()[self.peer](row.data(rng))
            forget_peak()
            before = resident("VmRSS")
            first = []
            for _ in range(FIRST):
                taken, result = timed(step)
                first.append(taken)
        except ImportError as error:
            return {"skip": str(error)}
        except Exception as error:  # one row that fails must not end the others
            return {"error": f"{type(error).__name__}: {str(error).strip()[:300]}"}
        memory = resident("VmHWM") - before if before else 0
        np.savez(self.path, *as_arrays(result))
        del result
        once, _ = timed(step)
        self.steps[name] = step, max(1, int(BATCH / max(once, 1e-7)))
        return {"ok": True, "result": self.path, "memory": memory, "first": first}

    def time(self, name: str, budget: float) -> dict[str, Any]:
        """Mean time of one step over at least `budget` seconds, after some that do not count."""
        total, count = 0.0, 0
        step, steps = self.steps[name]
        started = time.perf_counter()
        while time.perf_counter() - started < WARM_UP:
            step()
        while total < budget:
            started = time.perf_counter()
            for _ in range(steps):
                step()
            total += time.perf_counter() - started
            count += steps
        return {"seconds": total / count, "steps": count}


def peak() -> dict[str, Any]:
    """What the processor gives this process's threads now."""
    from ranvier import _core

    return {"flops": _core.measure_flops()}


def main(peer: str, threads: int, path: str) -> None:
    """Serves commands until standard input closes."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not look like an answer
    prepare(peer, threads)
    rows = {r.full_name: r for r in [*all_rows(), *curve_rows()]}
    server = Server(peer, rows, f"{path}.npz")
    for line in sys.stdin:
        command = json.loads(line)
        if "load" in command:
            answer = server.load(command["load"], command["keep"])
        elif "peak" in command:
            answer = peak()
        else:
            answer = server.time(command["row"], command["time"])
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
