"""bench/gpu.sh and bench/gpu.py without a device: they say what was not measured, and why."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ranvier as rv

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    rv.cuda.is_available() or shutil.which("bash") is None, reason="for machines without a GPU"
)


def script(out, **environment):
    return subprocess.run(
        ["bash", str(ROOT / "bench/gpu.sh"), str(out)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_sections_that_need_a_device_are_skipped(tmp_path):
    (tmp_path / "kernels.md").write_text("an older table")
    done = script(tmp_path, SECTIONS="tests kernels racecheck")
    assert done.returncode == 3, done.stdout + done.stderr
    summary = (tmp_path / "summary.txt").read_text()
    assert [line.split()[:2] for line in summary.splitlines()[-3:]] == [
        [name, "SKIPPED:"] for name in ("tests", "kernels", "racecheck")
    ]
    reason = summary.splitlines()[-1].partition("SKIPPED: ")[2]
    assert reason
    assert (tmp_path / "kernels.md").read_text() == f"\nNot measured: {reason}\n"
    assert not (tmp_path / "steps.md").exists()  # nobody asked for it
    assert (tmp_path / "logs.tar.gz").exists()


def test_an_unknown_section(tmp_path):
    done = script(tmp_path, SECTIONS="tests speed")
    assert done.returncode == 2
    assert "got speed" in done.stdout


def test_tables_say_that_they_were_not_measured(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench/gpu.py"), "--part", "steps", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert (tmp_path / "steps.md").read_text() == f"Not measured: {rv.cuda.why_not()}\n"
