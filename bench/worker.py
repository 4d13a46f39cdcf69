"""One peer in a process of its own: builds steps and times them on command.

Reads one JSON object a line on standard input, answers with one a line:
    {"row": name}             -> {"ok": true, "result": path, "memory": bytes} or {"skip": reason}
    {"time": seconds}         -> {"seconds": time of one step, "steps": how many were averaged}
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import zlib
from typing import Any

import numpy as np

from ranvier.bench.suite import find_rows


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


def main(peer: str, threads: int) -> None:
    """Serves commands until standard input closes."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not look like an answer
    if peer.startswith("torch"):
        try:
            import torch

            torch.set_num_threads(threads)
        except ImportError:
            pass  # each row says so
    if peer.startswith("ranvier"):
        import ranvier as rv

        rv.set_num_threads(threads)
    folder = tempfile.mkdtemp()
    rows = {r.full_name: r for r in find_rows()}
    step: Any = None
    steps = 1
    for line in sys.stdin:
        command = json.loads(line)
        if "row" in command:
            row = rows[command["row"]]
            rng = np.random.default_rng(zlib.crc32(row.full_name.encode()))
            try:
                step = row.peers[peer](row.data(rng))
                forget_peak()
                before = resident("VmRSS")
                for _ in range(3):  # a captured step is recorded on its second call
                    result = step()
            except ImportError as error:
                print(json.dumps({"skip": str(error)}), file=answers)
                continue
            memory = resident("VmHWM") - before if before else 0
            path = os.path.join(folder, "result.npz")
            np.savez(path, *as_arrays(result))
            started = time.perf_counter()
            step()
            once = time.perf_counter() - started
            steps = max(1, int(0.01 / max(once, 1e-7)))
            print(json.dumps({"ok": True, "result": path, "memory": memory}), file=answers)
        else:
            budget = command["time"]
            total, count = 0.0, 0
            while total < budget:
                started = time.perf_counter()
                for _ in range(steps):
                    step()
                total += time.perf_counter() - started
                count += steps
            print(json.dumps({"seconds": total / count, "steps": count}), file=answers)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
