"""The emulation finds what it is there to find: each planted mistake, under every order."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
FLAGS = ["-std=c++20", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
SOURCES = [
    "tests/cuda/planted.cpp",
    *(
        f"cuda/core/{name}.cpp"
        for name in ("emulation", "emulated_device", "emulated_hopper", "library")
    ),
]

RIGHT = [
    "divisions",
    "tree",
    "warp",
    "warp, own after neighbour",
    "inside global",
    "shuffles",
    "product tf32",
    "product bfloat16",
    "staged",
    "bulk product",
    "gathered product",
    "narrow product",
    "pixels",
    "graph",
    "cluster",
]
CAPTURED = (
    "operation not permitted when stream is capturing; .*operation failed due to a previous error"
    " during capture; .*operation failed due to a previous error during capture"
)
WRONG = {
    "removed barrier": r"nobody wrote|without a barrier after thread \d+ wrote it",
    "beyond shared": "element 64 of the shared array",
    "unset shared": "element 7 of the shared array .* nobody wrote",
    "overwritten": r"without a barrier after (it was read|thread \d+ wrote it)",
    "removed warp barrier": r"nobody wrote|without a barrier after thread \d+ wrote it",
    "beyond global": "0 bytes past the end of an array of 256 bytes",
    "before global": "no device array|bytes past the end|bytes before the start",
    "freed": "no device array|past the end|before the start",
    "divergent barrier": "threads of a block wait at two barriers",
    "left early": "wait for each other forever: 63 at the barrier planted.cpp:\\d+; 1 at the end",
    "missing lane": "waits for lane 3, which has ended|wait for each other forever",
    "ragged block": "whole warps",
    "order": "^wrong$",
    "swapped tf32": "^wrong$",
    "swapped bfloat16": "^wrong$",
    "late wait": "nobody wrote",
    "wrong parity": r"wait for each other forever: .*waiting for arrivals",
    "missing arrival": r"wait for each other forever: .*waiting for arrivals",
    "early product": "nobody wrote|^wrong$",
    "late product": "^wrong$",
    "wrong pattern": "^wrong$",
    "removed fence": r"reads word \d+ .*thread \d+ stored without fence_proxy",
    "wrong place": "^wrong$",
    "overlapping halves": "^wrong$",
    "base outside": r"pixels from \(3, 5\), outside of their box, which goes to \(3, 3\)",
    "missing bytes": "a barrier has met more bytes than were announced",
    "negative offset": r"pixels at an offset of \(-1, -1\), which does not fit",
    "wrong corner": "^wrong$",
    "wrong step": "^wrong$",
    "ragged channels": "pixels that the driver would not describe",
    "copied while captured": CAPTURED,
    "waited while captured": CAPTURED,
    "timed while captured": CAPTURED,
    "asked while captured": CAPTURED,
    "block that has not begun": "block [0-3] of the cluster, which has not begun",
    "removed cluster barrier": r"without a barrier after|of the cluster wrote it",
    "missed cluster barrier": r"wait for each other forever: .*at the barrier of the cluster"
    r"|without a barrier after|which has ended",
    "block that has ended": "block [0-3] of the cluster, which has ended",
    "ragged cluster": "clusters of 1 to 8 blocks that divide the grid, got 4 of 6",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What the program printed for each kernel, once per order."""
    if COMPILER is None:
        pytest.skip("no C++ compiler")
    binary = tmp_path_factory.mktemp("planted") / "planted"
    sources = [str(ROOT / s) for s in SOURCES]
    include = [f"-I{ROOT / 'csrc'}", f"-I{ROOT}"]
    subprocess.run(
        [*COMPILER.split(), *FLAGS, *include, *sources, "-o", str(binary), "-pthread"], check=True
    )
    result = subprocess.run(
        [str(binary), *RIGHT, *WRONG], capture_output=True, text=True, check=True
    )
    lines: dict[str, list[str]] = {}
    for line in result.stdout.splitlines():
        name, _, text = line.partition(" | ")
        lines.setdefault(name, []).append(text)
    return lines


@pytest.mark.parametrize("name", RIGHT)
def test_a_sound_kernel_passes(found, name):
    assert found[name] == ["right"] * 3


@pytest.mark.parametrize("name", WRONG)
def test_a_planted_mistake_is_found(found, name):
    assert len(found[name]) == 3
    for text in found[name]:
        assert re.search(WRONG[name], text), text
        if "wrong" not in WRONG[name] and WRONG[name] != CAPTURED:
            assert re.search(r"kernel planted, block \([0-7], 0, 0\)", text) or "planted]" in text
