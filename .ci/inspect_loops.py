"""Check of the gate on the kernels' innermost loops: their vectors stay in registers.

Usage: inspect_loops.py BUILD_FOLDER

A tile of a matrix product keeps its accumulators in registers while k runs. A compiler that runs
out of registers moves some to the stack in every step: nothing fails, and the product takes several
times as long. So the tiles
of all products are disassembled, for AVX2 and AVX-512, and in every innermost loop with
multiply-adds no vector instruction may touch the stack.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOMS = ("gemm_impl", "recurrent_impl")
JUMP = re.compile(r"j\w+\s+([0-9a-f]+)")
SPILL = re.compile(r"mm\d+.*\(%r[sb]p|\(%r[sb]p.*mm\d")


def functions(listing: str) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """Name and (address, instruction) pairs of every function of a disassembly."""
    name, body = "", []
    for line in listing.splitlines():
        if head := re.match(r"[0-9a-f]+ <(.*)>:", line):
            yield name, body
            name, body = head[1], []
        elif instruction := re.match(r"\s+([0-9a-f]+):\s+(\S.*)", line):
            body.append((int(instruction[1], 16), instruction[2]))
    yield name, body


def innermost_loops(body: list[tuple[int, str]]) -> Iterator[list[str]]:
    """Runs of instructions that end in a jump to their own start, with no other jump inside."""
    place = {address: i for i, (address, _) in enumerate(body)}
    for end, (_, text) in enumerate(body):
        jump = JUMP.match(text)
        start = place.get(int(jump[1], 16)) if jump else None
        if start is not None and start <= end:
            loop = [text for _, text in body[start : end + 1]]
            if not any(JUMP.match(text) for text in loop[:-1]):
                yield loop


def main(build: Path) -> int:
    """Prints one line an object; 1 when a loop spills or no loop was found."""
    failed, seen = False, 0
    for path in sorted(build.glob("CMakeFiles/ranvier_avx*.dir/csrc/ops/*.simd.cpp.o")):
        if path.name.split(".")[0] not in ROOMS:
            continue
        listing = subprocess.run(
            ["objdump", "-d", "--no-show-raw-insn", "-C", str(path)],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        loops, spills = 0, []
        for name, body in functions(listing):
            for loop in innermost_loops(body):
                if sum("fmadd" in text or "mulp" in text for text in loop) < 4:
                    continue
                loops += 1
                if any(SPILL.search(text) for text in loop):
                    spills.append(name)
        seen += loops
        failed |= bool(spills)
        print("FAIL" if spills else "ok  ", f"{path.parent.parent.parent.name}/{path.name}:",
              f"{loops} inner loops, {len(spills)} with vectors on the stack", *spills)  # fmt: skip
    return 1 if failed or seen == 0 else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
