"""What a run shows: a bar on a terminal, plain lines elsewhere, never a control byte in a log."""

from __future__ import annotations

import builtins
import io
import math

import pytest

from ranvier.train.progress import Bar, Lines, Progress, Smoothed, duration, progress

LOGS = {"loss": 0.5, "accuracy": 0.9, "lr": 0.1, "seconds": 1.5, "samples_per_second": 1200.0}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(display: Progress, epochs: int = 2, steps: int = 5) -> None:
    display.start(epochs, steps)
    for epoch in range(epochs):
        for _ in range(steps):
            display.step(epoch, 0.5, 0.6, 1000)
        display.epoch(epoch, epochs, LOGS, 1.5 * (epochs - epoch - 1))
    display.close()


def test_lines_are_plain() -> None:
    stream = io.StringIO()
    run(progress(None, stream))
    text = stream.getvalue()
    assert text == (
        "epoch 1/2  loss 0.5000  accuracy 90.00%  1,200 samples/s  1.5 s  1.5 s left\n"
        "epoch 2/2  loss 0.5000  accuracy 90.00%  1,200 samples/s  1.5 s\n"
    )
    assert all(character == "\n" or character.isprintable() for character in text)


def test_verbosity(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm")
    monkeypatch.delenv("RANVIER_VERBOSE", raising=False)
    assert type(progress(0)) is Progress
    assert type(progress(False, Terminal())) is Progress
    assert type(progress(True, Terminal())) is Bar
    assert type(progress(1, Terminal())) is Bar
    assert type(progress(1, io.StringIO())) is Lines
    assert type(progress(2, Terminal())) is Lines
    monkeypatch.setenv("RANVIER_VERBOSE", "0")
    assert type(progress(None, Terminal())) is Progress
    with pytest.raises(ValueError, match="verbose 0, 1 or 2"):
        progress(5)


def test_without_tqdm_lines_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def no_tqdm(name: str, *args: object, **options: object) -> object:
        if name == "tqdm":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", no_tqdm)
    stream = Terminal()
    display = progress(1, stream)
    assert type(display) is Lines
    run(display)
    assert "\r" not in stream.getvalue()
    assert stream.getvalue().count("\n") == 2


def test_bar_is_one_line_and_slow_to_redraw() -> None:
    tqdm = pytest.importorskip("tqdm").tqdm
    stream = Terminal()
    time = [0.0]

    def clock() -> float:
        time[0] += 0.001
        return time[0]

    display = Bar(tqdm, stream, clock)
    run(display, epochs=4, steps=500)  # two seconds of this clock
    text = stream.getvalue()
    assert text.count("\n") == 1
    redraws = text.count("\r")
    assert 15 <= redraws <= 20 + 4 + 4  # ten a second, one per epoch, start and end
    assert "100%" in text
    assert "epoch 4/4" in text
    assert "loss 0.5000, accuracy 90.00%" in text


@pytest.mark.parametrize(
    ("columns", "shown", "hidden"),
    [
        (20, "epoch 1/2", "loss"),
        (60, "loss 0.5000", "accuracy"),
        (80, "loss 0.5000, val_accuracy 90.00%", "val_loss"),
        (100, "loss 0.5000, val_loss 0.2500, val_accuracy 90.00%", "samples"),
        (200, "smoothed 0.6000, val_loss 0.2500, val_accuracy 90.00%, 1,000 samples/s", "\n"),
    ],
)
def test_the_bar_shows_what_there_is_room_for(
    columns: int, shown: str, hidden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tqdm = pytest.importorskip("tqdm").tqdm
    monkeypatch.setattr(Bar, "_columns", lambda self: columns)
    stream = Terminal()
    time = iter(range(1000))
    display = Bar(tqdm, stream, lambda: float(next(time)))
    display.start(2, 2)
    display.epoch(0, 2, {"loss": 1.0, "val_loss": 0.25, "val_accuracy": 0.9}, 0.0)
    display.step(0, 0.5, 0.6, 1000)
    line = stream.getvalue().split("\r")[-1]
    display.close()
    assert shown in line
    assert hidden not in line
    assert len(line) <= columns
    assert "|" in line


def test_bar_starts_where_a_resumed_run_is() -> None:
    tqdm = pytest.importorskip("tqdm").tqdm
    stream = Terminal()
    display = Bar(tqdm, stream)
    display.start(2, 5, done=5)
    display.close()
    assert " 50%" in stream.getvalue()


def test_message_does_not_tear_the_bar() -> None:
    tqdm = pytest.importorskip("tqdm").tqdm
    stream = Terminal()
    display = Bar(tqdm, stream)
    display.message("before")
    display.start(1, 2)
    display.message("during")
    display.close()
    assert "before\n" in stream.getvalue()
    assert "during\n" in stream.getvalue()


def test_smoothed() -> None:
    average = Smoothed(0.5)
    assert math.isnan(average.value)
    assert average.add(3.0) == 3.0  # no bias towards zero
    assert average.add(0.0) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.9, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.9, "1 h 00 min"),
        (7620, "2 h 07 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
