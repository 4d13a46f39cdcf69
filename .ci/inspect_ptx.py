"""Check of the gate on the CUDA kernels as compiled: registers, spills, shared memory.

    python .ci/inspect_ptx.py [--update] BUILD_FOLDER

compiles the CUDA library into BUILD_FOLDER (warnings are errors) and holds what ptxas says of each
kernel against cuda/budget.json: each has a line, none takes more registers or shared memory than it
allows, and none spills registers, but for a line that allows it and says "why". Template instances
of one kernel and type share a line, which holds the largest. ``--update`` writes the table anew,
and keeps the reasons. Without nvcc it prints SKIPPED.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BUDGET = ROOT / "cuda/budget.json"
SLACK = 8  # registers: what a compiler of another version may shift


def build(folder: Path) -> str:
    """The log of compiling the library from scratch, with what ptxas says of each kernel."""
    configure = ["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja", "-DRANVIER_CUDA=ON"]
    configure += ["-DCMAKE_CUDA_FLAGS=-Xptxas=-v", f"-DPython_EXECUTABLE={sys.executable}"]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    command = ["cmake", "--build", str(folder), "--clean-first", "--target", "cuda"]
    command += ["--", f"-j{os.cpu_count() or 2}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    return done.stdout + done.stderr


def short_name(mangled: str) -> str:
    """The kernel's own name and the type that it is made for, such as "tile_kernel<float>"."""
    at = 3 if mangled.startswith("_ZN") else 2
    while match := re.match(r"\d+", mangled[at:]):  # a name is a run of <length><text>
        start, length = at + match.end(), int(match.group())
        at, text = start + length, mangled[start : start + length]
        if "kernel" in text:
            first = re.match(r"I(?:Li\d+E)?(.)", mangled[at:])
            kind = {"f": "<float>", "d": "<double>"}.get(first.group(1) if first else "", "")
            if not kind and re.search(r"(?:\w|E)I[dl]?d", mangled[at : at + 120]):
                kind = "<double>"
            return text + kind
    return mangled


def parse(log: str) -> dict[str, dict[str, int]]:
    """Largest registers, spills, stack and shared memory by "file: kernel (architecture)"."""
    table: dict[str, dict[str, int]] = {}
    source, row = "", {}
    for line in log.splitlines():
        if match := re.search(r"Building CUDA object \S*?cuda/((?:ops|core|hopper)/\w+)\.cu", line):
            source = match.group(1)
        elif match := re.search(r"Compiling entry function '(\w+)' for '(\w+)'", line):
            name = f"{source}: {short_name(match.group(1))} ({match.group(2)})"
            row = table.setdefault(name, {"registers": 0, "spills": 0, "stack": 0, "shared": 0})
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores", line):
            row["stack"] = max(row["stack"], int(match.group(1)))
            row["spills"] = max(row["spills"], int(match.group(2)))
        elif match := re.search(r"Used (\d+) registers", line):
            row["registers"] = max(row["registers"], int(match.group(1)))
            if shared := re.search(r"(\d+) bytes smem", line):
                row["shared"] = max(row["shared"], int(shared.group(1)))
    return table


def compare(found: dict[str, dict[str, int]], budget: dict[str, dict[str, Any]]) -> list[str]:
    """What is wrong, a line each."""
    wrong = []
    for name, row in sorted(found.items()):
        allowed = budget.get(name)
        if allowed is None:
            wrong.append(f"{name}: has no line in {BUDGET.name}; run with --update and look at it")
            continue
        if row["registers"] > allowed["registers"] + SLACK:
            wrong.append(
                f"{name}: {row['registers']} registers, its line allows {allowed['registers']}"
            )
        if row["spills"] > (allowed["spills"] if allowed.get("why") else 0):
            wrong.append(f"{name}: spills {row['spills']} bytes of registers to memory")
        if row["shared"] > allowed["shared"]:
            wrong.append(f"{name}: {row['shared']} bytes of shared memory, not {allowed['shared']}")
    wrong += [f"{name}: is in {BUDGET.name}, but not compiled" for name in set(budget) - set(found)]
    return wrong


def remarks(log: str) -> list[str]:
    """What ptxas says that it could not do for the warp-group instructions, a line each."""
    words = ("wgmma.mma_async instructions are serialized", "setmaxnreg ignored")
    return [line.strip() for line in log.splitlines() if any(w in line for w in words)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--update", action="store_true", help="write the table anew")
    parser.add_argument("--log", type=Path, help="read this log instead of compiling")
    options = parser.parse_args()
    if not options.log and shutil.which("nvcc") is None:
        print("SKIPPED the registers of CUDA kernels: this machine has no nvcc")
        return 0
    log = options.log.read_text() if options.log else build(options.folder)
    found = parse(log)
    if not found:
        print("no kernel was found in the log of the compiler")
        return 1
    if options.update:
        old = json.loads(BUDGET.read_text())
        reasons = {k: {"why": v["why"]} for k, v in old.items() if "why" in v}
        table = {k: v | reasons.get(k, {}) if v["spills"] else v for k, v in found.items()}
        lines = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(table.items())]
        BUDGET.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    wrong = compare(found, json.loads(BUDGET.read_text())) + remarks(log)
    print("\n".join(wrong) if wrong else f"{len(found)} kernels within their budgets")
    for library in options.folder.glob("_cuda.so"):
        print(f"{library.name}: {library.stat().st_size / 2**20:.2f} MiB")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
