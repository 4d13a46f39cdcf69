"""The `ranvier` command, used as people use it, and misused as people misuse it."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import ranvier
from ranvier import cli, models
from ranvier.io import load_file, read_header, save_file

FILES = {
    "config.toml",
    "metrics.jsonl",
    "model.safetensors",
    "model.json",
    "results.json",
    "checkpoint.safetensors",
}
FAST = ["train", "mlp", "--set", "network.hidden=16", "--batch-size", "128"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANVIER_VERBOSE", raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a LeNet that has seen the digits for a few epochs."""
    folder = tmp_path_factory.mktemp("runs") / "lenet"
    options = ["-q", "--epochs", "6", "--batch-size", "64", "--out", str(folder)]
    assert cli.main(["train", "lenet", *options]) == 0
    return folder


def fails(
    capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2, words: tuple[str, ...] = ()
) -> str:
    """The command fails with one line that holds the words."""
    try:
        got = cli.main(list(arguments))
    except SystemExit as leave:
        got = leave.code
    out, err = capsys.readouterr()
    assert got == code, err
    assert err.count("\n") == 1, err
    assert err.startswith("ranvier: error: ")
    assert "Traceback" not in out + err
    for word in words:
        assert word in err
    return err


def command(*arguments: str, **options: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "ranvier.cli", *arguments],
        capture_output=True, text=True, **options,
    )  # fmt: skip


# ---- train --------------------------------------------------------------------------------------


def test_run_folder(lenet: Path) -> None:
    pytest.importorskip("matplotlib")
    assert {path.name for path in lenet.iterdir()} == FILES | {
        "learning_curves.png",
        "confusion_matrix.png",
    }
    assert tomllib.loads((lenet / "config.toml").read_text())["epochs"] == 6
    lines = [json.loads(line) for line in (lenet / "metrics.jsonl").read_text().splitlines()]
    assert [line.get("epoch") for line in lines] == [1, 2, 3, 4, 5, 6, None]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "lr"} <= set(lines[0])
    results = json.loads((lenet / "results.json").read_text())
    assert lines[-1]["test_accuracy"] == results["test_accuracy"] > 0.8
    description = json.loads((lenet / "model.json").read_text())
    assert description["model"] == "lenet"
    assert json.loads(read_header(lenet / "model.safetensors").metadata["description"]) == (
        description
    )
    assert sum(t.size for t in load_file(lenet / "model.safetensors").values()) == 61_706
    for name in ("learning_curves.png", "confusion_matrix.png"):
        assert (lenet / name).read_bytes().startswith(b"\x89PNG")


def test_output_is_plain_and_ends_with_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*FAST, "--epochs", "2"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith(
        "mlp on digits: 1,197 samples to train, 240 to validate, 360 to test, 1 x 8 x 8; "
        "1,210 parameters; cpu ("
    )
    assert lines[1].startswith("epoch 1/2  loss ")
    assert lines[2].startswith("epoch 2/2  loss ")
    assert any(line.startswith("test_accuracy 0.") for line in lines)
    assert all(c == "\n" or c.isprintable() for c in out + err)
    assert Path("runs/mlp/model.safetensors").exists()


def test_quiet_prints_the_result_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*FAST, "--epochs", "1", "-q"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("test_accuracy 0.")
    assert out.count("\n") == 1
    assert err == ""


def test_new_runs_get_new_folders() -> None:
    for _ in range(3):
        assert cli.main([*FAST, "--epochs", "1", "-q"]) == 0
    assert sorted(os.listdir("runs")) == ["mlp", "mlp-2", "mlp-3"]
    weights = [Path(f"runs/{r}/model.safetensors").read_bytes() for r in ("mlp", "mlp-3")]
    assert weights[0] == weights[1]  # the same settings, the same bits
    assert cli.main([*FAST, "--epochs", "1", "-q", "--seed", "1"]) == 0
    assert Path("runs/mlp-4/model.safetensors").read_bytes() != weights[0]


def test_without_matplotlib_one_line_says_how(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # an import of it fails
    assert cli.main([*FAST, "--epochs", "1"]) == 0
    assert "pictures need matplotlib: pip install 'ranvier[cli]'" in capsys.readouterr().out
    assert {path.name for path in Path("runs/mlp").iterdir()} == FILES


def test_settings_come_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    Path("run.toml").write_text(
        'model = "mlp"\nepochs = 3\nseed = 7\n[optimizer]\nlr = 0.5\nweight_decay = 0.25\n'
    )
    arguments = ["train", "--config", "run.toml", "--set", "seed=8", "--set", "optimizer.lr=0.25"]
    assert cli.main([*arguments, "--lr", "0.125", "--print-config"]) == 0
    printed = tomllib.loads(capsys.readouterr().out)
    assert printed["model"] == "mlp"
    assert (printed["epochs"], printed["seed"]) == (3, 8)
    assert printed["optimizer"]["lr"] == 0.125
    assert printed["optimizer"]["weight_decay"] == 0.25
    assert printed["augment"]["degrees"] > 0  # the recipe's
    assert not Path("runs").exists()


def test_printed_config_can_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "lenet", "--print-config"]) == 0
    first = capsys.readouterr().out
    Path("run.toml").write_text(first)
    assert cli.main(["train", "--config", "run.toml", "--print-config"]) == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    "options",
    [
        ["--set", "optimizer.name=sgd", "--lr", "0.05"],
        ["--set", "optimizer.name=adam", "--set", "schedule.name=step"],
        ["--set", "optimizer.name=rmsprop"],
        ["--set", "optimizer.name=adagrad", "--set", "schedule.name=constant"],
        ["--set", "optimizer.name=adadelta", "--lr", "1"],
        ["--set", "schedule.name=exponential", "--no-capture"],
        ["--set", "schedule.name=plateau", "--set", "patience=1"],
        ["--set", "schedule.name=constant", "--set", "network.dropout=0.2", "--device", "cpu"],
    ],
)
def test_ways_to_train(options: list[str]) -> None:
    assert cli.main([*FAST, "--epochs", "2", "-q", *options]) == 0


def test_own_pictures_and_arrays(capsys: pytest.CaptureFixture[str]) -> None:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        Path("pictures", name).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(level - 30, level + 30, (20, 24), np.uint8)
            image.fromarray(pixels).save(Path("pictures", name, f"{i}.png"))
    options = ["--epochs", "20", "-q", "--batch-size", "8"]
    assert cli.main(["train", "lenet", "--data", "pictures", "--out", "a", *options]) == 0
    assert capsys.readouterr().out.startswith("test_accuracy 1.0000 (2 of 2 right)")
    assert cli.main(["predict", "a", "pictures/dark/0.png", "pictures/light/3.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("pictures/dark/0.png: dark ")
    assert lines[1].startswith("pictures/light/3.png: light ")
    x = rng.standard_normal((60, 5)).astype(np.float32)
    np.savez("data.npz", x=x, y=(x[:, 0] > 0).astype(np.int64))
    assert cli.main([*FAST, "--data", "data.npz", "--out", "b", *options]) == 0
    assert cli.main(["evaluate", "b", "--part", "train"]) == 0
    assert cli.main(["train", "lenet", "--data", "data.npz"]) == 2


# ---- interruption -------------------------------------------------------------------------------


def test_ctrl_c_saves_and_resume_ends_in_the_same_bits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [*FAST, "--epochs", "3", "-q", "--set", "network.dropout=0.3"]
    assert cli.main([*options, "--out", "whole"]) == 0
    from ranvier.train.callbacks import JSONLLogger

    def press(self: object, run: object) -> None:
        if run.step == 13:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(JSONLLogger, "on_step_end", press)
        capsys.readouterr()
        assert cli.main([*options, "--out", "cut"]) == 130
    err = capsys.readouterr().err
    assert "interrupted after step 13 (epoch 2)" in err
    assert "go on with: ranvier train --resume cut" in err
    assert not Path("cut/model.safetensors").exists()
    fails(capsys, "evaluate", "cut", words=("ranvier train --resume cut",))
    assert cli.main(["train", "-q", "--resume", "cut"]) == 0
    cut, whole = (Path(name, "model.safetensors").read_bytes() for name in ("cut", "whole"))
    assert cut == whole


def test_ctrl_c_where_nothing_can_be_saved(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ranvier._cli.summary.main", press)
    assert cli.main(["summary", "lenet"]) == 130
    assert capsys.readouterr().err.strip() == "ranvier: interrupted"


@pytest.mark.parametrize("module", ["ranvier", "ranvier.cli"])
def test_ctrl_c_while_the_package_is_imported(here: Path, module: str) -> None:
    Path("numpy.py").write_text("print('importing', flush=True)\nimport time\ntime.sleep(60)\n")
    with subprocess.Popen(
        [sys.executable, "-m", module, "info"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "\nranvier: interrupted\n")


def test_a_script_that_imports_the_package_keeps_its_ctrl_c() -> None:
    code = "import signal, ranvier; print(signal.getsignal(2) is signal.default_int_handler)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "True\n"


def test_the_second_ctrl_c_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ranvier.train.callbacks import JSONLLogger

    def press(self: object, run: object) -> None:
        if run.step == 13:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(JSONLLogger, "on_step_end", press)
    assert cli.main([*FAST, "--epochs", "3", "-q", "--out", "my runs/ä"]) == 130
    err = capsys.readouterr().err
    assert err == "\nranvier: interrupted; go on with: ranvier train --resume 'my runs/ä'\n"


def test_ctrl_c_after_the_last_epoch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ranvier._cli.train._draw", press)
        assert cli.main([*FAST, "--epochs", "1", "-q", "--out", "r"]) == 130
    out, err = capsys.readouterr()
    assert (out, err) == ("", "\nranvier: interrupted; go on with: ranvier train --resume r\n")
    assert cli.main(["train", "-q", "--resume", "r"]) == 0
    assert capsys.readouterr().out.startswith("test_accuracy ")
    lines = [json.loads(line) for line in Path("r/metrics.jsonl").read_text().splitlines()]
    assert [line.get("epoch", line.get("part")) for line in lines] == [1, "test"]


def test_a_third_ctrl_c_does_not_tear_the_message() -> None:
    code = """if True:
        import os, signal, sys
        from ranvier import cli
        from ranvier._cli import summary
        def press(*arguments):
            raise KeyboardInterrupt
        summary.main = press
        sys.argv = ["ranvier", "summary", "lenet"]
        code = cli.main()
        os.kill(os.getpid(), signal.SIGINT)
        sys.exit(code)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "\nranvier: interrupted\n")


# ---- places that cannot be used ------------------------------------------------------------------


def test_a_run_folder_that_cannot_be_is_named_with_a_cure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("file").write_text("")
    fails(capsys, *FAST, "-q", "--out", "file", words=("'file'", "a file is where a folder must"))
    fails(capsys, *FAST, "-q", "--out", "file/r", words=("'file/r'", "remove it, or choose"))
    fails(capsys, *FAST, "-q", "--out", "", words=("--out with the name of a folder", "got ''"))
    Path("r/checkpoint.safetensors").mkdir(parents=True)
    err = fails(capsys, *FAST, "-q", "--out", "r", words=("a folder is where a file must be",))
    assert "'r/checkpoint.safetensors'" in err
    Path("s/model.safetensors").mkdir(parents=True)
    options = ["-q", "--epochs", "1", "--out", "s"]
    words = ("'s/model.safetensors'", "; then go on with: ranvier train --resume s")
    fails(capsys, *FAST, *options, words=words)
    Path("s/model.safetensors").rmdir()
    assert cli.main(["train", "-q", "--resume", "s"]) == 0


def test_a_run_folder_that_vanishes_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ranvier.train.callbacks import LRSchedule

    monkeypatch.setattr(LRSchedule, "on_step_begin", lambda self, run: shutil.rmtree("r", True))
    words = ("'r/checkpoint.safetensors'", "No such file", "must stay while it lasts")
    fails(capsys, *FAST, "-q", "--out", "r", words=words)


def test_a_full_disk_is_said_with_a_cure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("ranvier.io.files.os.fsync", full)
    words = ("'r/config.toml', got: No space left on device - make room",)
    fails(capsys, *FAST, "-q", "--out", "r", words=words)


def test_names_that_the_terminal_cannot_write() -> None:
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = command(*FAST, "--epochs", "1", "--out", "größe", env=ascii_only)
    assert done.returncode == 0, done.stderr
    assert "run folder gr\\xf6\\xdfe: " in done.stdout


def test_ctrl_c_from_outside(here: Path) -> None:
    """The whole way: a process, a signal, an exit code, and a run that can go on."""
    arguments = [sys.executable, "-m", "ranvier.cli", *FAST, "--epochs", "5000", "--out", "r"]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.split()[:2] == ["epoch", "2/5000"]:
                process.send_signal(signal.SIGINT)
                break
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "everything is saved" in err
    assert "Traceback" not in err
    assert cli.main(["train", "--resume", "r", "--epochs", "3", "-q"]) in (0,)


def test_resume_finds_the_latest_run() -> None:
    assert cli.main([*FAST, "--epochs", "1", "-q"]) == 0
    assert cli.main(["train", "mlp", "--resume", "--epochs", "2", "-q"]) == 0
    assert os.listdir("runs") == ["mlp"]
    lines = Path("runs/mlp/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line).get("epoch") for line in lines] == [1, 2, None]


def test_resume_refusals(capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, "train", "mlp", "--resume", words=("no checkpoint below", "--resume FOLDER"))
    fails(capsys, "train", "--resume", "nowhere", words=("'nowhere' without it",))
    assert cli.main([*FAST, "--epochs", "1", "-q", "--out", "r"]) == 0
    capsys.readouterr()
    fails(capsys, *FAST[:2], "--out", "r", words=("holds a run", "--resume"))
    fails(capsys, "train", "lenet", "--resume", "r", words=("own model, 'mlp', got 'lenet'",))
    fails(capsys, "train", "--resume", "r", "--lr", "1", words=("only --epochs may change",))
    fails(capsys, "train", "--resume", "r", "--batch-size", "3", words=("own batch_size, 128",))
    (Path("r") / "checkpoint.safetensors").write_bytes(b"garbage that is no checkpoint")
    fails(capsys, "train", "--resume", "r", "--epochs", "2", words=("safetensors",))


def test_nan_stops_with_a_line_and_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    err = fails(capsys, *FAST, "-q", "--lr", "1e30", "--set", "schedule.warmup=0",
                "--set", "optimizer.name=sgd", code=1)  # fmt: skip
    assert "expected a finite loss" in err
    assert "at step" in err
    assert "try a lower learning rate" in err


# ---- evaluate, predict, summary, info -----------------------------------------------------------


def test_evaluate(lenet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = json.loads((lenet / "results.json").read_text())
    assert cli.main(["evaluate", str(lenet), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["accuracy"] == results["test_accuracy"]
    assert values["samples"] == 360
    assert cli.main(["evaluate", str(lenet / "model.safetensors"), "--part", "validation"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("digits, validation part: 240 samples\nloss 0.")
    assert " taken for " in out


def digit(index: int, path: str, light: bool, size: int = 120) -> int:
    """A digit of the test part as somebody would scan it: large, off centre; its class."""
    from PIL import Image

    from ranvier.data import digits

    x, y = digits("test").arrays()
    pixels = Image.fromarray((x[index, 0] * 255).astype(np.uint8))
    pixels = pixels.resize((size, size), Image.Resampling.BICUBIC)
    paper = Image.new("L", (3 * size, 2 * size), 12)
    paper.paste(pixels, (size + size // 3, size // 2))
    (paper.point(lambda v: 255 - v) if light else paper).save(path)
    return int(y[index])


def test_predict_reads_any_size_and_polarity(
    lenet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("PIL")
    right = 0
    for index in range(12):
        seen = []
        for light in (True, False):
            label = digit(index, "d.png", light, size=40 + 30 * (index % 5))
            assert cli.main(["predict", str(lenet), "d.png", "--json"]) == 0
            seen.append(json.loads(capsys.readouterr().out))
        assert seen[0]["class"] == seen[1]["class"]
        assert sum(seen[0]["probabilities"].values()) <= 1.0 + 1e-5
        right += seen[0]["class"] == str(label)
    assert right >= 10


def test_predict_says_what_it_did(lenet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("PIL")
    digit(0, "d.png", light=True)
    assert cli.main(["predict", str(lenet), "d.png", "--top", "2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("d.png: ")
    assert out.count("%") == 2
    assert "360 x 240 pixels, inverted, strokes fitted to 8 x 8" in out
    digit(0, "d.png", light=False)
    assert cli.main(["predict", str(lenet), "d.png", "--no-invert"]) == 0
    assert "inverted" not in capsys.readouterr().out
    fails(capsys, "predict", str(lenet), "d.png", "--invert", words=("leave out --invert",))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_predict_reads_every_kind_of_pixel(
    lenet: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    image = pytest.importorskip("PIL.Image")
    digit(3, "l.png", light=True)
    if mode == "I;16":
        picture = image.fromarray(np.asarray(image.open("l.png")).astype(np.uint16) * 200)
    else:
        picture = image.open("l.png").convert(mode, dither=image.Dither.NONE)
    picture.save("d.png")
    assert cli.main(["predict", str(lenet), "l.png", "d.png", "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["class"] == second["class"]


def test_predict_refusals(lenet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, "predict", str(lenet), ".", words=("expected a picture file, got a folder",))
    image = pytest.importorskip("PIL.Image")
    run = str(lenet)
    fails(capsys, "predict", run, "none.png", words=("nothing at 'none.png'",))
    Path("text.png").write_text("no picture")
    fails(capsys, "predict", run, "text.png", words=("expected a picture, got 'text.png'",))
    image.new("L", (30, 30), 200).save("blank.png")
    fails(capsys, "predict", run, "blank.png", words=("'blank.png', which is nearly uniform",))
    fails(capsys, "predict", run, "blank.png", "--top", "0", words=("--top",))
    fails(capsys, "predict", "nowhere", "blank.png", words=("ranvier train lenet",))
    fails(capsys, "predict", ".", "blank.png", words=("model.safetensors",))
    save_file({"w": np.zeros(2)}, "plain.safetensors")
    fails(capsys, "predict", "plain.safetensors", "blank.png", words=("without a description",))
    Path("bad").mkdir()
    shutil.copy("text.png", "bad/model.safetensors")
    fails(capsys, "predict", "bad", "blank.png", words=("safetensors file",))


def test_damaged_weights_are_refused(lenet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    description = read_header(lenet / "model.safetensors").metadata
    tensors = load_file(lenet / "model.safetensors")
    first = next(iter(tensors))
    save_file({k: v for k, v in tensors.items() if k != first}, "a.safetensors", description)
    fails(capsys, "evaluate", "a.safetensors", words=(first,))
    save_file({**tensors, first: np.zeros((1, 2), np.float32)}, "b.safetensors", description)
    fails(capsys, "evaluate", "b.safetensors", words=(first, "(1, 2)"))
    text = description["description"].replace('"lenet"', '"lenett"')
    save_file(tensors, "c.safetensors", {"description": text})
    fails(capsys, "evaluate", "c.safetensors", words=("did you mean 'lenet'",))


def test_summary(lenet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["summary", "lenet"]) == 0
    out = capsys.readouterr().out
    assert "61,706" in out
    assert "(1, 6, 28, 28)" in out
    assert "416,520" in out
    assert cli.main(["summary", str(lenet), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["parameters"], report["mult_adds"]) == (61_706, 416_520)
    assert cli.main(["summary", "mlp", "--input-size", "1,28,28", "--depth", "0"]) == 0
    assert "101,770" in capsys.readouterr().out
    assert cli.main(["summary", "lenet", "--input-size", "3x32x32"]) == 0
    assert "62,006" in capsys.readouterr().out
    for name, count in (("resnet20", "269,722"), ("char_lstm", "350,272"), ("unet", "31,036,546")):
        assert cli.main(["summary", name]) == 0
        assert f"Parameters: {count}" in capsys.readouterr().out


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info"]) == 0
    out = capsys.readouterr().out
    for word in ("ranvier", "instruction set", "threads", "cuda", np.__version__):
        assert word in out
    assert cli.main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["cuda"].startswith("not available: ")
    assert set(facts["optional"]) == {"tqdm", "matplotlib", "Pillow"}


# ---- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian", "lenet"], ("did you mean 'train'",)),
        (["paint"], ("expected one of train,",)),
        ([], ("VERB",)),
        (["train"], ("expected a model", "ranvier train lenet")),
        (["train", "lenett"], ("got 'lenett'", "did you mean 'lenet'")),
        (["train", "LeNet"], ("did you mean 'lenet'",)),
        (["train", "gpt"], ("one of lenet, mlp",)),
        (["train", "lenet", "--epochs", "many"], ("--epochs", "many")),
        (["train", "lenet", "--epochs", "0"], ("epochs at least 1, got 0",)),
        (["train", "lenet", "--batch-size", "0"], ("batch_size at least 1",)),
        (["train", "lenet", "--lr", "-1"], ("optimizer.lr at least 0, got -1",)),
        (["train", "lenet", "--lr", "nan"], ("optimizer.lr",)),
        (["train", "lenet", "--bogus"], ("--bogus",)),
        (["train", "lenet", "--device", "tpu"], ("device", "tpu")),
        (["train", "lenet", "--device", "meta"], ("expected cpu, cuda", "meta")),
        (["train", "mlp", "--data", "one.npz"], ("at least two classes",)),
        (["train", "mlp", "--data", "real.npz"], ("class numbers", "regression")),
        (["train", "mlp", "--data", "endless.npz"], ("finite numbers", "infinity", "endless.npz")),
        (["train", "mlp", "--data", ""], ("a folder or a file, got an empty text",)),
        (["train", "lenet", "--data", "digts"], ("did you mean 'digits'",)),
        (["train", "lenet", "--data", "no/such/folder"], ("no/such/folder",)),
        (["train", "lenet", "--set", "lr=1"], ("did you mean 'optimizer.lr'",)),
        (["train", "lenet", "--set", "optimizer.lr=fast"], ("a number, got 'fast'",)),
        (["train", "lenet", "--set", "optimizer.name=adan"], ("did you mean 'adam",)),
        (["train", "lenet", "--set", "nothing"], ("key=value",)),
        (["train", "lenet", "--set", "network.dropout=0.5"], ("leave network.dropout out",)),
        (["train", "lenet", "--set", "size=28"], ("32 x 32",)),
        (["train", "lenet", "--config", "none.toml"], ("none.toml",)),
        (["train", "lenet", "--config", "bad.toml"], ("bad.toml", "valid TOML")),
        (["train", "lenet", "--config", "odd.toml"], ("odd.toml", "did you mean 'epochs'")),
        (["summary", "lenett"], ("did you mean 'lenet'",)),
        (["summary", "lenet", "--input-size", "big"], ("--input-size", "1,32,32")),
        (["summary", "lenet", "--input-size", "1,28,28"], ("32 x 32",)),
        (["evaluate", "nowhere"], ("nothing at 'nowhere'",)),
        (["evaluate", "nowhere", "--part", "exam"], ("--part",)),
    ],
)
def test_one_clear_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: tuple[str, ...]
) -> None:
    Path("bad.toml").write_text("epochs = ")
    Path("odd.toml").write_text("epoch = 3")
    np.savez("one.npz", x=np.ones((9, 2), np.float32), y=np.zeros(9, int))
    np.savez("real.npz", x=np.ones((9, 2), np.float32), y=np.zeros(9))
    np.savez("endless.npz", x=np.full((60, 2), np.inf), y=np.arange(60) % 2)
    fails(capsys, *arguments, words=words)
    assert not Path("runs").exists()


def test_debug_shows_the_traceback() -> None:
    for arguments in (["--debug", "train", "gpt"], ["train", "gpt", "--debug"]):
        with pytest.raises(ValueError, match="got 'gpt'"):
            cli.main(arguments)


def test_help_is_light_and_lists_what_is_built() -> None:
    code = (
        "import sys\nfrom ranvier import cli\n"
        "try:\n    cli.main(['--help'])\nexcept SystemExit as leave:\n    assert leave.code == 0\n"
        "heavy = {'matplotlib', 'PIL', 'tqdm', 'onnx', 'ranvier.train', 'ranvier._cli.train'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for verb in cli.VERBS:
        assert f"\n    {verb} " in result.stdout
    assert "explain" not in result.stdout  # not built yet


def test_every_verb_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in cli.VERBS:
        with pytest.raises(SystemExit) as leave:
            cli.main([verb, "--help"])
        assert leave.value.code == 0
        assert "usage: ranvier " + verb in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leave:
        cli.main(["--version"])
    assert leave.value.code == 0
    assert capsys.readouterr().out == f"ranvier {ranvier.__version__}\n"


def test_models_of_the_command_exist() -> None:
    assert set(cli.MODELS) <= set(models.names())


def test_closed_pipe_is_no_error() -> None:
    result = subprocess.run(
        f"{sys.executable} -m ranvier.cli summary lenet | head -1",
        shell=True, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0
    assert result.stderr == ""
    assert result.stdout.startswith("Layer (type)")


def test_unknown_instruction_set_is_one_line(tmp_path: Path) -> None:
    """Said while the package is imported, before a line of the command runs."""
    script = tmp_path / "ranvier"  # as installers write it
    script.write_text("import sys\nfrom ranvier.cli import main\nsys.exit(main())\n")
    environment = os.environ | {"RANVIER_CPU": "foo"}
    for call in (["-m", "ranvier"], ["-m", "ranvier.cli"], [str(script)]):
        result = subprocess.run(
            [sys.executable, *call, "info"], capture_output=True, text=True, env=environment
        )
        assert result.returncode == 2
        assert result.stdout == ""
        assert re.fullmatch(
            r"ranvier: error: \[RANVIER_CPU\] expected one of: .*baseline.*, got foo - .*\n",
            result.stderr,
        )
    code = "try:\n    import ranvier\nexcept ImportError as error:\n    print(error)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("[RANVIER_CPU] expected one of: ")


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
@pytest.mark.parametrize("columns", [100, 0])
def test_one_bar_on_a_terminal(columns: int) -> None:
    pytest.importorskip("tqdm")
    import fcntl
    import pty
    import termios

    leader, follower = pty.openpty()
    if columns:
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-m", "ranvier.cli", *FAST, "--epochs", "3"],
        stdout=subprocess.PIPE, stderr=follower, text=True,
    ) as process:  # fmt: skip
        os.close(follower)
        shown = b""
        while True:
            try:
                part = os.read(leader, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        out = process.communicate(timeout=60)[0]
    os.close(leader)
    assert process.returncode == 0
    assert "epoch" not in out  # the standard output stays a clean record
    assert shown.count(b"\n") == 1
    assert b"100%" in shown
    assert b"epoch 3/3" in shown
