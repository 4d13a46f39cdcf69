"""Builds and runs the stand-alone checks of the vector headers at every instruction set."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# -O2, not the -O3 of a release build: it showed a miscompiled mask that -O3 hid.
FLAGS = ["-std=c++20", "-O2", "-ffp-contract=off", "-fno-math-errno"]
FLAGS += ["-Wall", "-Wextra", "-Werror"]
AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"]
LEVELS = (
    {"baseline": [], "avx2": AVX2, "avx512": AVX512}
    if platform.machine() in ("x86_64", "AMD64")
    else {"neon": []}
)
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("program", ["simd_check", "simd_math_check"])
def test_check_program(program: str, level: str, tmp_path: Path) -> None:
    """The program's own bounds hold; it exits with 77 where the machine lacks the level."""
    if COMPILER is None:
        pytest.skip("no C++ compiler")
    binary, source = tmp_path / program, ROOT / "tests" / "cpp" / f"{program}.cpp"
    command = [*COMPILER.split(), *FLAGS, *LEVELS[level], f"-DRV_ISA={level}"]
    subprocess.run([*command, f"-I{ROOT / 'csrc'}", str(source), "-o", str(binary)], check=True)
    # A tenth of the default number of samples keeps the test to a second or two.
    arguments = ["--stride", "20011"] if program == "simd_math_check" else []
    result = subprocess.run([str(binary), *arguments], capture_output=True, text=True, check=False)
    if result.returncode == 77:
        pytest.skip(f"this machine has no {level}")
    assert result.returncode == 0, result.stdout + result.stderr
