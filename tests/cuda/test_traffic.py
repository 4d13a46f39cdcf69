"""The emulation counts what kernels of known traffic ask for: sectors, banks, re-reads."""

import json
import os
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
FLAGS = ["-std=c++20", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror",
         "-Wno-unknown-pragmas",
         f"-I{ROOT / 'csrc'}", f"-I{ROOT}"]  # fmt: skip
# As cuda/library.cmake has them.
HOOKS = ["-finline-small-functions", "-fno-reorder-blocks", "-g1", "-fsanitize=thread",
         "-fsanitize-coverage=trace-pc"]  # fmt: skip
SOURCES = [
    f"cuda/core/{name}.cpp"
    for name in ("emulation", "emulated_device", "emulated_hopper", "library", "traffic")
]

# Of the requests of a kernel: how many, what they cost, and what would do.
GLOBAL = {
    "coalesced": (8, 32, 32),
    "stride 2": (8, 64, 32),
    "column": (8, 256, 32),
    "misaligned": (8, 40, 32),
    "same": (8, 8, 8),
    "halves": (8, 16, 16),
    "words of four": (8, 128, 128),
    "runs": (64, 2048, 256),
    # 8 warps; of 8 turns, lanes sit out one of the first four, and odd lanes the last.
    "uneven": (64, 256, 208),
    "again": (1024, 4096, 4096),
}
SHARED = {
    "conflict 1": (2, 2, 2),
    "conflict 2": (2, 4, 2),
    "conflict 32": (2, 64, 2),
    "padded": (2, 2, 2),
    "broadcast": (2, 2, 2),
    "doubles": (2, 4, 4),
    "wide stores": (2, 4 + 4, 4 + 1),  # and a read of every fourth word
    "wide stores, conflict 2": (2, 8 + 8, 4 + 1),
    "fragments": (5, 8, 8),  # four passes of a copy, four blocks of ldmatrix
    "fragments, conflict 8": (5, 64, 8),
}


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """The launches by name, as the program wrote them down."""
    if COMPILER is None:
        pytest.skip("no C++ compiler")
    folder = tmp_path_factory.mktemp("traffic")
    compiler = COMPILER.split()
    planted = folder / "planted.o"
    made = subprocess.run(
        [*compiler, *FLAGS, *HOOKS, "-c", str(ROOT / "tests/cuda/planted_traffic.cpp"), "-o",
         str(planted)],
        capture_output=True, text=True,
    )  # fmt: skip
    if made.returncode != 0 and "unrecognized" in made.stderr:
        pytest.skip("the hooks are those of GCC")
    assert made.returncode == 0, made.stderr
    binary = folder / "planted"
    sources = [str(ROOT / s) for s in SOURCES]
    subprocess.run(
        [*compiler, *FLAGS, str(planted), *sources, "-o", str(binary), "-pthread", "-ldl"],
        check=True,
    )
    launches = folder / "launches"
    subprocess.run([str(binary), str(launches)], check=True)
    return {
        launch["kernel"]: launch for launch in map(json.loads, launches.read_text().splitlines())
    }


def total(launch: dict, kind: str) -> tuple[int, int, int]:
    """Requests, units and fewest units of its accesses of a kind."""
    found: dict[str, int] = defaultdict(int)
    for _, name, requests, _, _, units, least in launch["places"]:
        if name.startswith(kind):
            found["requests"] += requests
            found["units"] += units
            found["least"] += least
    return found["requests"], found["units"], found["least"]


@pytest.mark.parametrize("name", GLOBAL)
def test_sectors_of_reads(counted, name):
    assert total(counted[name], "global read") == GLOBAL[name]


def test_writes_are_coalesced(counted):
    for name in GLOBAL:
        _, units, least = total(counted[name], "global write")
        assert 0 < units == least, name


@pytest.mark.parametrize("name", SHARED)
def test_passes_over_banks(counted, name):
    assert total(counted[name], "shared") == SHARED[name]


def test_what_is_read_again(counted):
    # 256 threads: a cache of 32 KiB.
    assert counted["runs"]["read"] == {"moved": 256, "sectors": 256, "bytes": 8192}
    assert counted["same"]["read"] == {"moved": 1, "sectors": 1, "bytes": 4}
    assert counted["stride 2"]["read"] == {"moved": 64, "sectors": 64, "bytes": 1024}
    assert counted["again"]["read"] == {"moved": 4096, "sectors": 2048, "bytes": 65536}
    assert counted["again"]["written"]["sectors"] == 32
