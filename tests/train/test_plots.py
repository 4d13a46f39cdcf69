"""The pictures: made, telling, and needing matplotlib only when they are drawn."""

from __future__ import annotations

import builtins
from pathlib import Path

import numpy as np
import pytest

from ranvier.train.plots import confusion_matrix, learning_curves

HISTORY = {
    "loss": [2.0, 0.5, 0.1],
    "accuracy": [0.3, 0.8, 0.97],
    "val_loss": [1.8, None, 0.3],
    "val_accuracy": [0.4, None, 0.95],
    "lr": [0.1, 0.1, 0.1],
    "seconds": [1.0, 1.0, 1.0],
}


def texts(path: Path) -> str:
    return path.read_text()


def test_learning_curves_say_the_best(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none"}):
        path = learning_curves(HISTORY, tmp_path / "c.svg", "LeNet on digits")
    text = texts(path)
    for word in ("LeNet on digits", "accuracy (%)", "loss", "epoch"):
        assert word in text
    assert "validation, best 95.00% (epoch 3)" in text
    assert "training, best 0.1000 (epoch 3)" in text
    assert "seconds" not in text


@pytest.mark.parametrize(
    "history",
    [
        {"loss": [1.0]},
        {"loss": []},
        {"loss": [float("nan")] * 3, "val_loss": [None] * 3},
        {"val_loss": [0.5, 0.4]},
        {"accuracy": [1.0, 1.0, 1.0]},
    ],
)
def test_odd_histories(tmp_path: Path, history: dict) -> None:
    pytest.importorskip("matplotlib")
    assert learning_curves(history, tmp_path / "c.png").stat().st_size > 1000


def test_confusion_matrix(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    import matplotlib

    counts = np.array([[5, 1], [0, 4]])
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        path = confusion_matrix(counts, tmp_path / "m.svg", ["cat", "hippopotamus"], "test part")
    for word in ("9 of 10 right (90.00%)", "hippopotamus", "test part", "predicted", "true"):
        assert word in texts(path)
    assert confusion_matrix(np.zeros((2, 2), int), tmp_path / "z.png").exists()
    assert confusion_matrix(np.eye(100, dtype=int), tmp_path / "c.png").exists()
    with pytest.raises(ValueError, match="shape"):
        confusion_matrix(np.zeros((2, 3)), tmp_path / "x.png")
    with pytest.raises(ValueError, match="2 class names"):
        confusion_matrix(counts, tmp_path / "x.png", ["a"])


def test_same_run_same_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    one = learning_curves(HISTORY, tmp_path / "1.png").read_bytes()
    assert one == learning_curves(HISTORY, tmp_path / "2.png").read_bytes()
    assert one[:8] == b"\x89PNG\r\n\x1a\n"


def test_without_matplotlib_one_line_says_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def no_matplotlib(name: str, *args: object, **options: object) -> object:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    with pytest.raises(ImportError, match=r"pip install 'ranvier\[cli\]'") as error:
        learning_curves(HISTORY, tmp_path / "c.png")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())
