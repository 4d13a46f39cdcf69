"""The benchmark suite: rows stay, checks find what is wrong, pages say what was found."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranvier import _core, cli
from ranvier.bench import facts, machine, measure, musts, pages, report, runner, suite
from ranvier.bench.curves import (
    Line,
    curve_rows,
    curves,
    gain,
    machine_gain,
    rising,
    slope,
    thread_rows,
)
from ranvier.bench.measure import Result, Workers
from ranvier.bench.moments import FIRST, PATIENCE, PAUSE, SHARE, TRIES, Moments
from ranvier.bench.report import Book
from ranvier.bench.suite import WARM, Row, all_rows, find_rows

TINY = "matmul: 64x64x64"
MACHINE = {
    "processor": "a processor", "level": "avx2", "threads": 2, "peak_gflops": 100.0,
    "streams": {p: [100.0] * 6 + [10.0] for p in machine.PATTERNS}, "date": "2026-01-01",
    "versions": {"ranvier": "1"},
}  # fmt: skip


def result(row: str = "room: row", group: str = "ops", **seconds: float) -> Result:
    """Three rounds of these times; ratios over ours."""
    r = Result(row, 0.0, 0.0, group)
    for peer, value in seconds.items():
        label = peer.replace("_", "-", 1)
        r.seconds[label] = [value, value, value]
        if label != "ranvier":
            r.ratios[label] = [value / seconds["ranvier"]] * 3
    return r


def curve_line(plot: str, name: str, values: list[int], **seconds: list[float]) -> Line:
    """A curve with these times in each of three rounds, while the machine did 100 GFLOP/s."""
    line = Line(plot, name, "n", values)
    for i, n in enumerate(values):
        point = result(f"curve: {name} {n}", **{p: s[i] for p, s in seconds.items()})
        point.flops, point.peaks = 2.0 * n**3, {"ranvier": [1e11] * 3}
        line.points.append(point)
    return line


# ---- Rows ---------------------------------------------------------------------------------------


def test_rows_are_never_dropped() -> None:
    """`ranvier bench --list` writes the list anew when rows were added."""
    now = {r.full_name for r in all_rows()} | {r.full_name for r in curve_rows()}
    committed = suite.COMMITTED.read_text().splitlines()
    assert len(committed) == len(set(committed)) >= 420
    assert [name for name in committed if name not in now] == []


def test_names_are_unique() -> None:
    names = [r.full_name for r in [*all_rows(), *curve_rows()]]
    assert len(names) == len(set(names))


def test_all_rows_have_ours_and_a_rival() -> None:
    for row in all_rows():
        assert "ranvier" in row.peers, row.full_name
        assert "torch" in row.peers, row.full_name


def test_musts_name_rows() -> None:
    names = {r.full_name for r in all_rows()}
    wanted = {name for must in musts.MUSTS for name in must.rows}
    wanted |= {*musts.COMPUTE_BOUND, *musts.LIGHT_MEMORY}
    assert wanted - names == set()
    assert len({m.what for m in musts.MUSTS}) == len(musts.MUSTS)
    assert len(musts.MUSTS) > 120
    assert thread_rows()


def test_rows_are_found_by_room_folder_and_part() -> None:
    assert {r.room for r in find_rows(["gru"])} == {"gru"}
    assert {r.group for r in find_rows(["models"])} == {"models"}
    assert [r.full_name for r in find_rows(["MATMUL: 64x64*"])] == [TINY]
    assert {r.room for r in find_rows(["softmax"])} == {"softmax"}  # not softmax_cross_entropy's
    assert len(find_rows([])) == len(all_rows())


@pytest.mark.parametrize(
    ("typed", "meant"), [("con2d", "'conv2d'"), ("batchnorm", "'batch_norm'"), ("zzzzzz", "rooms")]
)
def test_unknown_names_list_close_ones(typed: str, meant: str) -> None:
    with pytest.raises(ValueError, match=meant):
        find_rows([typed])


@pytest.mark.parametrize("room", sorted({r.room for r in all_rows() if r.group != "models"}))
def test_the_smallest_row_of_each_room_runs(room: str) -> None:
    rows = [r for r in all_rows() if r.room == room]
    row = min(rows, key=lambda r: r.flops + r.bytes)
    rng = np.random.default_rng(0)
    step = row.peers["ranvier"](row.data(rng))
    assert step() is not None


def test_rows_offer_compiled_and_warm_forms() -> None:
    peers: dict[str, Any] = {"ranvier": 1, "torch": 2, "torch-channels_last": 3}
    data = dict
    assert list(Row("a", data, peers).builders()) == list(peers)
    large = Row("a", data, peers, bytes=1e9, compiles=True).builders()
    assert large[WARM] == 3
    assert callable(large["compile"])
    assert "torch" not in Row("a", data, {"ranvier": 1}, bytes=1e9, compiles=True).builders()
    row = Row("a", data, peers, bytes=1e9)
    assert measure.labels_of(row, ["numpy"]) == ["ranvier"]
    assert measure.labels_of(row, ["torch"]) == ["ranvier", "torch", "torch-channels_last", WARM]


# ---- Measuring ----------------------------------------------------------------------------------


def test_a_result_knows_its_medians_and_spread() -> None:
    r = Result("room: row", 0.0, 0.0)
    r.seconds = {"ranvier": [1.0, 2.0, 3.0, 2.0, 2.0], "torch": [3.0, 3.0, 3.0, 3.0, 3.0]}
    r.ratios = {"torch": [3.0, 1.5, 1.0, 1.5, 1.5], WARM: [0.1] * 5, "numpy": [0.1] * 5}
    assert r.median("ranvier") == 2.0
    assert r.spread("ranvier") == 0.0
    assert r.ratio("torch") == 1.5
    assert r.best() == "torch"  # neither NumPy nor the other memory counts as PyTorch
    assert r.best("torch-channels_last") is None
    r.seconds["ranvier"] = [1.0, 2.0, 3.0]
    assert r.spread("ranvier") == pytest.approx(0.25)


def test_another_result_is_found(tmp_path: Path) -> None:
    row = Row("a", dict, {}, tolerance=1e-3)
    paths = {}
    for name, arrays in {
        "ours": [np.ones(3)], "same": [np.ones(3) + 1e-4], "off": [np.ones(3) + 1e-2],
        "nan": [np.full(3, np.nan)], "shape": [np.ones((3, 1))], "two": [np.ones(3)] * 2,
    }.items():  # fmt: skip
        paths[name] = str(tmp_path / f"{name}.npz")
        np.savez(paths[name], *arrays)
    assert measure.difference(row, paths["ours"], paths["same"]) == ""
    assert "relative difference" in measure.difference(row, paths["ours"], paths["off"])
    assert "relative difference" in measure.difference(row, paths["ours"], paths["nan"])
    assert "shape" in measure.difference(row, paths["ours"], paths["shape"])
    assert "2 arrays" in measure.difference(row, paths["ours"], paths["two"])
    row.tolerance = None
    assert measure.difference(row, paths["ours"], paths["off"]) == ""


def test_a_row_is_measured_in_processes_of_its_own() -> None:
    (row,) = find_rows([TINY])
    with Workers(1) as workers:
        r = measure.measure(row, ["ranvier", "numpy"], workers, rounds=3, seconds=0.001)
        assert not r.failed
        assert [len(r.seconds[p]) for p in ("ranvier", "numpy")] == [3, 3]
        assert len(r.ratios["numpy"]) == 3
        assert 1e-7 < r.median("ranvier") < 1.0
        measure.fresh_process(r, row, ["ranvier"], workers)
        assert len(r.first["ranvier"]) == 3
        two = measure.measure(row, ["ranvier@1", "ranvier@2"], workers, 3, 0.001)
        assert list(two.seconds) == ["ranvier@1", "ranvier@2"]
        assert gain(two, "ranvier", 2) > 0
        assert machine_gain(two, 2) > 0
        assert r.share_of_peak() > 0


def test_rows_are_measured_together_and_a_dead_peer_leaves_all() -> None:
    rows = find_rows(["matmul: 64x64x64", "matmul: 64x10x128"])
    with Workers(1) as workers:
        small, large = measure.measure_together(rows, ["ranvier", "numpy"], workers, 3, 0.001)
        for r in (small, large):
            assert not r.failed
            assert len(r.ratios["numpy"]) == len(r.peaks["ranvier"]) == 3
        # The process holds the steps of both rows until others are loaded.
        again = workers["numpy"].ask(time=0.001, row=rows[0].full_name)
        assert again["seconds"] > 0
        workers["numpy"].process.kill()
        small, large = measure.measure_together(rows, ["ranvier", "numpy"], workers, 3, 0.001)
    assert "its process ended" in small.failed["numpy"]
    assert len(small.seconds["ranvier"]) == len(large.seconds["ranvier"]) == 3


def test_a_peer_that_dies_fails_its_row_only(tmp_path: Path) -> None:
    (row,) = find_rows([TINY])
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho it hurts >&2\nexit 3\n")
    broken.chmod(0o755)
    with Workers(1, {"numpy": str(broken)}) as workers:
        r = measure.measure(row, ["ranvier", "numpy"], workers, rounds=3, seconds=0.001)
    assert "it hurts" in r.failed["numpy"]
    assert len(r.seconds["ranvier"]) == 3
    assert r.ratios == {}


def test_streams_are_measured() -> None:
    for pattern in machine.PATTERNS:
        assert 1e8 < _core.measure_stream(pattern, 1 << 18) < 1e14
    with pytest.raises(ValueError, match="read, copy, update or add"):
        _core.measure_stream("sideways", 1 << 18)
    with pytest.raises(ValueError, match="above 0"):
        _core.measure_stream("copy", 0)
    assert machine.bandwidth(MACHINE, "copy", 1) == 100.0
    assert machine.bandwidth(MACHINE, "copy", 1e12) == 10.0


def test_a_handshake_needs_a_second_thread() -> None:
    before = _core.num_threads()
    try:
        _core.set_num_threads(1)
        assert _core.measure_handshake() == 0.0
        _core.set_num_threads(2)
        assert 0.0 <= _core.measure_handshake() < 1.0  # zero where one processor is all there is
    finally:
        _core.set_num_threads(before)
    with pytest.raises(ValueError, match="at least 16 repeats, got 0"):
        _core.measure_flops(0)


WHOLE, ONE_CORE, TWO_DIES = (100.0, 1e-7), (55.0, 4e-8), (100.0, 5e-7)


def moments_of(later: list[tuple[float, float]], now: list[float]) -> Moments:
    """Moments that know what is usual, see these looks, and go by the clock `now`."""

    def sleep(seconds: float) -> None:
        now[0] += seconds

    # Half of the first looks fall on bad moments: the usual is that of the good ones.
    first = [WHOLE, ONE_CORE, TWO_DIES, WHOLE] * (FIRST // 4)
    looks = itertools.chain(first, [WHOLE], later, itertools.repeat(TWO_DIES))
    kept = Moments(lambda: next(looks), sleep, lambda: now[0])
    kept.wait()
    assert kept.trip == 1e-7
    assert kept.unsettled == 0
    return kept


def test_a_timing_waits_for_a_whole_machine() -> None:
    now = [0.0]
    kept = moments_of([ONE_CORE, TWO_DIES, (98.0, 1.5e-7)], now)
    kept.wait()
    assert kept.waited == pytest.approx(2 * PAUSE)
    assert kept.unsettled == 0
    kept.wait()
    assert kept.unsettled == 1
    assert kept.waited < PATIENCE + 3 * PAUSE
    # What waiting may take in all is used up: the next one looks once.
    started = now[0]
    kept.wait()
    assert now[0] - started <= SHARE * now[0] + PAUSE
    assert kept.summary()["timings"] == 4


def test_a_timing_is_taken_again_when_its_moment_ended() -> None:
    def timing() -> int:
        nonlocal taken
        taken += 1
        now[0] += 0.1
        return taken

    taken, now = 0, [0.0]
    kept = moments_of([WHOLE, TWO_DIES, WHOLE, WHOLE], now)
    assert kept.measure(timing) == 2
    assert kept.unsettled == 0
    assert kept.waited == pytest.approx(0.1)
    # None lasts: the last one counts, and is said to be unsettled.
    taken, now = 0, [0.0]
    kept = moments_of([WHOLE, ONE_CORE] * TRIES, now)
    assert kept.measure(timing) == TRIES
    assert kept.unsettled == 1
    # One that takes longer than what may be wasted is not taken again.
    taken, now = 0, [0.0]
    kept = moments_of([WHOLE, ONE_CORE, WHOLE, WHOLE], now)
    kept.waited = PATIENCE + SHARE * now[0]
    assert kept.measure(timing) == 1
    assert kept.unsettled == 1


# ---- Judging ------------------------------------------------------------------------------------


def test_a_must_takes_its_rows_together() -> None:
    must = musts.Must("both", ("r: a", "r: b"), 1.5, 2.0)
    a = result("r: a", ranvier=1.0, torch=3.0, torch_c=1.0)
    b = result("r: b", ranvier=1.0, torch=1.0, torch_c=1.8)
    assert must.ratio({"r: a": a}) is None
    assert must.ratio({"r: a": a, "r: b": b}) == pytest.approx(1.4)  # the mode of 2.8 over 2
    default = musts.Must("both", ("r: a", "r: b"), 1.5, 2.0, "default")
    assert default.ratio({"r: a": a, "r: b": b}) == pytest.approx(2.0)
    assert musts.Must("one", ("r: a",), 1.0, 1.0, "fused").ratio({"r: a": a}) is None


def test_a_book_finds_what_is_slow_and_missed() -> None:
    book = Book(dict(MACHINE))
    book.results = [
        result("unary: relu 64x16x28x28 forward", ranvier=1.0, torch=0.8),
        result("unary: tanh 64x16x28x28 forward", ranvier=1.0, torch=5.0),
        result("unary: exp 64x16x28x28 forward", ranvier=1.0),
        result("mlp: 784-256-128-10, batch 64", "models", ranvier=1.0, ranvier_eager=2.0,
               torch=4.0, compile=3.0),
    ]  # fmt: skip
    book.results[1].bytes = 1e9  # at 10 GB/s a tenth of a second
    assert [r.row for r in book.slow()] == ["unary: relu 64x16x28x28 forward"]
    means = book.means()
    assert means["ops"] == (pytest.approx(2.0), 2)
    assert means["captured"] == (pytest.approx(3.0), 1)
    assert means["eager"] == (pytest.approx(2.0), 1)
    verdicts = {v.what: v for v in book.verdicts()}
    assert not verdicts["relu: 64x16x28x28"].holds
    assert verdicts["tanh: 64x16x28x28"].holds
    assert verdicts["tanh: 64x16x28x28"].ceiling == "50.0"
    assert verdicts["relu: 64x16x28x28"].ceiling == "", "the row does not tell its bytes"
    assert verdicts["step of MLP, batch 64, against eager"].measured == "4.00"
    assert verdicts["relu: 64x16x28x28"].plain == "0.80"
    assert not verdicts["rows below 0.9 of 3"].holds


def test_growth_is_judged() -> None:
    lengths = [32, 64, 128, 256]
    line = curve_line("length", "LSTM", lengths, ranvier=[1.0, 2.0, 4.0, 8.0])
    assert slope(line) == pytest.approx(1.0)
    assert math.isnan(slope(line, start=256))
    assert rising(line) == 8.0
    assert rising(curve_line("length", "LSTM", lengths, ranvier=[4.0, 2.0, 2.2, 1.0])) == (
        pytest.approx(1.1)
    )
    book = Book(dict(MACHINE))
    book.lines = [
        curve_line("batch", "MLP step", [1, 2], ranvier=[1.0, 2.0]),
        curve_line("gemm", "products", [64, 256], ranvier=[1.0, 2 * 256**3 / 95e9]),
    ]
    book.threads = [Result(musts.COMPUTE_BOUND[0], 0, 0, seconds={"ranvier@1": [1.9],
                                                                  "ranvier@2": [1.0]},
                           peaks={"ranvier@1": [5e10], "ranvier@2": [9e10]})]  # fmt: skip
    batch, peak, second = book.verdicts()
    assert [v.holds for v in (batch, peak, second)] == [False, True, True]
    assert peak.measured == "0.95"
    assert second.ceiling == "1.80", "what the machine itself gained"


def test_growth_is_judged_round_by_round() -> None:
    """A machine at half speed during a whole round changes nothing."""
    line = curve_line("batch", "MLP step", [1, 2], ranvier=[1.0, 1.0])
    line.points[0].seconds["ranvier"] = [1.0, 2.0, 2.0]
    line.points[1].seconds["ranvier"] = [1.1, 2.2, 2.2]
    assert rising(line) == pytest.approx(1.1)
    both = Result("r: a", 0, 0, seconds={"ranvier@1": [2.0, 4.0, 4.0], "ranvier@2": [1, 2, 2]})
    assert gain(both, "ranvier", 2) == 2.0
    assert gain(both, "torch", 2) is None
    one = Result("r: a", 1e9, 0, seconds={"ranvier": [1.0, 2.0, 2.0]})
    assert one.share_of_peak() is None
    one.peaks = {"ranvier": [1.25e9, 0.625e9, 0.625e9]}
    assert one.share_of_peak() == pytest.approx(0.8)


def test_all_curves_have_points_under_their_names() -> None:
    assert {c.plot for c in curves()} == {"batch", "length", "gemm"}
    for curve in curves():
        assert len(curve.points) >= 8
        assert all(r.room == "curve" for r in curve.points.values())


# ---- The command --------------------------------------------------------------------------------


def test_without_pytorch_the_page_compares_with_nobody(tmp_path: Path) -> None:
    quick = ["--quick", "--threads", "1", "--peers", "numpy"]
    assert runner.main([TINY, *quick, "--docs", str(tmp_path)]) == 0
    page = (tmp_path / "index.md").read_text()
    assert "## All rows" in page
    assert "In short" not in page
    assert "PyTorch's best mode." not in page.split("```")[-1]


def test_the_command_measures_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--json", str(tmp_path / "a.json"), "--markdown", str(tmp_path / "a.md")]
    code = runner.main([TINY, "--quick", "--threads", "1", "--peers", "numpy", *files])
    out = capsys.readouterr().out
    assert code == 0
    assert TINY in out
    assert "GFLOP/s" in out
    assert "geometric mean against numpy" in out
    assert "64x64x64" in (tmp_path / "a.md").read_text()
    book = Book.load(tmp_path / "a.json")
    assert book.results[0].row == TINY
    assert book.machine["peak_gflops"] > 0


def test_json_alone_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [TINY, "--rounds", "1", "--seconds", "0.001", "--threads", "1", "--peers", "numpy"]
    assert runner.main([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["results"][0]["row"] == TINY
    assert TINY in captured.err


def test_pages_are_written_from_a_kept_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    book = Book(dict(MACHINE))
    one = result("unary: relu 64x16x28x28 forward", ranvier=1e-3, torch=8e-4)
    one.bytes = 1e6
    step = result("unet: U-Net, width 16, 96x96, batch 4", "models", ranvier=1.0,
                  ranvier_eager=2.0, torch=4.0)  # fmt: skip
    step.memory = {"ranvier": 3_000_000, "torch": 2_000_000}
    step.first = {"ranvier": [9.0, 1.0, 1.0], "ranvier-eager": [9.0, 1.0, 1.0]}
    other = result("unary: exp 64x16x28x28 forward", ranvier=1.0, torch=2.0)
    other.failed = {"numpy": "shape (2,), ranvier (1,)"}
    book.results = [one, other, step]
    book.lines = [
        curve_line("batch", "MLP step", [1, 2], ranvier=[2.0, 1.0], torch=[3.0, 2.0]),
        curve_line("length", "LSTM", [64, 128], ranvier=[1.0, 2.0]),
        curve_line("gemm", "products", [64, 256], ranvier=[1e-5, 1e-3]),
    ]
    book.threads = [Result("r: a", 0, 0, seconds={"ranvier@1": [1.9], "ranvier@2": [1.0]})]
    book.facts = [facts.Fact("import", "s", {"ranvier": 0.01}, "cold")]
    book.save(tmp_path / "cpu.json")
    assert report.asdict(Book.load(tmp_path / "cpu.json")) == report.asdict(book)
    code = runner.main(["--from", str(tmp_path / "cpu.json"), "--docs", str(tmp_path / "out")])
    assert code == 0
    assert "missed: relu" in capsys.readouterr().out
    written = {p.name for p in (tmp_path / "out").iterdir()}
    assert written == {"index.md", "ops.md", "musts.md", *pages.PICTURES}
    index = (tmp_path / "out/index.md").read_text()
    assert "| unary: relu 64x16x28x28 forward | 0.80 | torch |" in index
    assert "memory of a captured step, MB: unet" in index
    assert "import" in index
    assert "Failed" in (tmp_path / "out/ops.md").read_text()
    assert (tmp_path / "out/musts.md").read_text().count("missed") >= 3
    assert all((tmp_path / "out" / p).stat().st_size > 2000 for p in pages.PICTURES)


def test_a_part_measured_anew_replaces_its_rows() -> None:
    old, new = Book(dict(MACHINE)), Book(dict(MACHINE))
    old.results = [result("r: a", ranvier=1.0), result("r: b", ranvier=1.0)]
    new.results = [result("r: b", ranvier=2.0), result("r: c", ranvier=3.0)]
    old.merge(new)
    assert [(r.row, r.median("ranvier")) for r in old.results] == [
        ("r: a", 1.0), ("r: b", 2.0), ("r: c", 3.0),
    ]  # fmt: skip


def test_a_part_is_not_mixed_with_another_machine(tmp_path: Path) -> None:
    Book(dict(MACHINE)).save(tmp_path / "cpu.json")
    with pytest.raises(ValueError, match="expected the processor"):
        runner.main(["matmul", "--docs", str(tmp_path), "--peers", "numpy", "--threads", "1"])


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")
def test_an_interruption_keeps_what_was_measured(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    options = ["matmul", "core", "--peers", "numpy", "--threads", "1", "--json", str(kept)]
    code = (  # a job of a shell that runs in the background is born with the signal ignored
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"from ranvier.bench import runner; sys.exit(runner.main({options!r}))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for text in process.stdout:
        if text.startswith("overhead: "):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "what was measured is kept" in err
    assert len(json.loads(kept.read_text())["results"]) >= 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--peers", "tensorflow"], "torch, compile, numpy, jax"),
        (["--python", "jax"], "PEER=PATH"),
        (["--rounds", "0"], "above 0"),
        (["--threads", "0"], "above 0"),
        (["--json", "conv2d"], "names stand before it"),
        (["conv3d_"], "did you mean"),
    ],
)
def test_mistakes_are_named(arguments: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        runner.main(arguments)


def test_the_command_line_says_what_it_expected(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "con2d"]) == 2
    assert "did you mean 'conv2d'" in capsys.readouterr().err


def test_a_peer_that_is_not_there_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    none = tmp_path / "python"
    none.write_text("#!/bin/sh\nexit 1\n")
    none.chmod(0o755)
    assert runner.available(["numpy", "jax"], {"jax": str(none)}) == ["numpy"]
    assert "jax: not installed" in capsys.readouterr().out


def test_progress_counts(capsys: pytest.CaptureFixture[str]) -> None:
    progress = runner.Progress(2)
    progress.shown = True
    progress.step("one")
    progress.show("two")
    captured = capsys.readouterr()
    assert captured.out == "one\n"
    assert "1/2" in captured.err
    assert "two" in captured.err


def test_sizes_and_imports_are_measured() -> None:
    size = facts.install_size()
    assert 1e5 < size.values["ranvier"] < 1e8
    assert facts.installed("numpy")
    assert not facts.installed("a_library_that_is_not_there")
