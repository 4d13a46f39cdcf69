"""The training loop: it learns, measures rightly, and stops with a reason."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier import functional as F
from ranvier import nn, optim
from ranvier.data import ArrayDataset, DataLoader
from ranvier.train import (
    Callback,
    Checkpoint,
    History,
    Interrupted,
    NonFiniteLoss,
    evaluate,
    fit,
    predict,
)


def blobs(n: int = 90, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three clouds of points that a line or two separate."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    centres = np.float32([[0, 2], [2, -1], [-2, -1]])
    return (centres[y] + 0.4 * rng.standard_normal((n, 2))).astype(np.float32), y.astype(np.int64)


def net(seed: int = 0, dropout: float = 0.0) -> Any:
    rv.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))


def weights(model: Any) -> dict[str, bytes]:
    return {name: v.detach().numpy().tobytes() for name, v in model.state_dict().items()}


def test_learns_and_records() -> None:
    model = net()
    history = fit(
        model, blobs(), epochs=12, optimizer=optim.Adam(model.parameters(), lr=0.03),
        validation=blobs(seed=1), seed=0, verbose=0,
    )  # fmt: skip
    assert isinstance(history, History)
    assert set(history.history) == {
        "loss", "accuracy", "lr", "seconds", "samples_per_second", "val_loss", "val_accuracy",
    }  # fmt: skip
    assert all(len(values) == 12 for values in history.history.values())
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["val_accuracy"][-1] > 0.95
    assert model.training


def test_first_epoch_is_measured_as_numpy_would() -> None:
    """Loss and accuracy of the samples as they were seen, a short last batch weighing less."""
    x, y = blobs(50)
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.0)
    history = fit(model, (x, y), 2, optimizer, verbose=0, batch_size=16)
    scores = predict(model, x).numpy().astype(np.float64)
    logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    loss, accuracy = -logs[np.arange(50), y].mean(), (scores.argmax(1) == y).mean()
    assert history["loss"] == pytest.approx([loss] * 2, rel=1e-5)
    assert history["accuracy"] == pytest.approx([accuracy] * 2)
    values = evaluate(model, (x, y), batch_size=7)
    assert values == pytest.approx({"loss": loss, "accuracy": accuracy}, rel=1e-5)


@pytest.mark.parametrize("kind", ["arrays", "tensors", "dataset", "loader", "list of batches"])
def test_kinds_of_data(kind: str) -> None:
    x, y = blobs(12)
    data: Any = {
        "arrays": (x, y),
        "tensors": (rv.tensor(x), rv.tensor(y)),
        "dataset": ArrayDataset(x, y),
        "loader": DataLoader(ArrayDataset(x, y), batch_size=4),
        "list of batches": [(rv.tensor(x[i : i + 6]), rv.tensor(y[i : i + 6])) for i in (0, 6)],
    }[kind]  # fmt: skip
    assert len(fit(net(), data, epochs=2, verbose=0)) == 2


def test_regression_by_default() -> None:
    x = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    model = nn.Linear(1, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.3)
    history = fit(model, (x, 3 * x - 1), 30, optimizer, verbose=0, validation=(x, 3 * x - 1))
    assert set(history.history) >= {"loss", "val_loss"}
    assert not any("accuracy" in name for name in history.history)
    assert history["val_loss"][-1] < 1e-3
    assert predict(model, x).numpy() == pytest.approx(3 * x - 1, abs=0.1)


def test_named_and_own_losses() -> None:
    x, y = blobs(12)
    by_name = fit(net(), (x, y), 1, loss="cross_entropy", verbose=0, seed=0)["loss"]
    by_type = fit(net(), (x, y), 1, verbose=0, seed=0)["loss"]
    own = fit(net(), (x, y), 1, loss=lambda o, t: F.cross_entropy(o, t) * 2, verbose=0, seed=0)
    assert by_name == by_type
    assert own["loss"][0] > 1.5 * by_name[0]


def test_all_metrics() -> None:
    x, y = blobs(30)
    metrics = ("accuracy", "top2", "confusion_matrix")
    model = net()
    fit(model, (x, y), 3, metrics=metrics, verbose=0, validation=(x, y), seed=0)
    values = evaluate(model, (x, y), metrics=metrics, batch_size=8)
    scores = predict(model, x).numpy()
    counts = np.zeros((3, 3), int)
    np.add.at(counts, (y, scores.argmax(1)), 1)
    assert values["confusion_matrix"] == counts.tolist()
    second = np.argsort(-scores, 1, kind="stable")[:, :2]
    assert values["top2"] == pytest.approx((second == y[:, None]).any(1).mean())


def test_capture_changes_no_bit() -> None:
    """Dropout, a short last batch, Adam: replayed steps are the eager ones."""
    results = []
    for capture in (True, False):
        model = net(dropout=0.3)
        fit(model, blobs(50), 4, seed=3, verbose=0, capture=capture, batch_size=16,
            validation=blobs(20))  # fmt: skip
        results.append(weights(model))
    assert results[0] == results[1]


def test_capture_follows_a_loss_that_changes() -> None:
    """A number that the given loss reads by name, changed by a callback."""

    class Weaker(Callback):
        def on_epoch_begin(self, run: Any) -> None:
            nonlocal share
            share = 1.0 / (1 + run.epoch)

    def train(capture: bool) -> Any:
        nonlocal share
        share, model = 1.0, net()
        history = fit(model, blobs(48), 3, seed=3, verbose=0, capture=capture, batch_size=16,
                      loss=lambda z, y: F.cross_entropy(z, y) * share, callbacks=[Weaker()],
                      validation=blobs(20))  # fmt: skip
        return weights(model), history["loss"], history["val_loss"]

    share = 1.0
    captured = train(True)
    assert captured == train(False)
    assert captured[1][2] < 0.5 * captured[1][0]


def test_same_seed_same_weights() -> None:
    def run(seed: int) -> dict[str, bytes]:
        model = net(dropout=0.3)
        fit(model, blobs(), 2, seed=seed, verbose=0)
        return weights(model)

    assert run(1) == run(1)
    assert run(1) != run(2)


class Peeks(nn.Module):
    """A model that reads a value on the host, which no capture can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = net()

    def forward(self, x: Any) -> Any:
        y = self.layer(x)
        return y * (2.0 if float(y.detach().sum().item()) > 1e9 else 1.0)


def test_what_cannot_be_captured_runs_eagerly_after_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    results = []
    for capture in (True, False):
        rv.manual_seed(0)
        model = Peeks()
        with caplog.at_level(logging.WARNING, "ranvier"):
            fit(model, blobs(64), 4, seed=0, verbose=0, capture=capture, batch_size=16)
        results.append(weights(model))
    assert results[0] == results[1]
    warnings = [r for r in caplog.records if "without capture" in r.getMessage()]
    assert len(warnings) == 1
    assert "test_fit.py" in warnings[0].getMessage()


def test_validation_is_in_evaluation_mode() -> None:
    seen = []

    class Notes(Callback):
        def on_epoch_end(self, run: Any, logs: dict) -> None:
            seen.append(logs["val_loss"])

    model = net(dropout=0.5)
    optimizer = optim.SGD(model.parameters(), lr=0.0)
    fit(model, blobs(), 3, optimizer, validation=blobs(), callbacks=[Notes()], verbose=0)
    assert seen[0] == seen[1] == seen[2]
    model.eval()
    evaluate(model, blobs())
    assert not model.training


@pytest.mark.parametrize("capture", [True, False])
def test_nan_stops_with_step_rate_and_cure(capture: bool) -> None:
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=1e30)
    with pytest.raises(NonFiniteLoss, match=r"at step \d+ \(epoch 1, batch \d+\)") as error:
        fit(model, blobs(), 5, optimizer, verbose=0, batch_size=8, capture=capture)
    assert "learning rate 1e+30 - try a lower learning rate, such as 1e+29" in str(error.value)


def test_nan_in_the_data_is_called_by_its_name() -> None:
    x, y = blobs(16)
    x[5, 1] = np.nan
    with pytest.raises(NonFiniteLoss, match=r"inputs hold nan or infinity.*cleaning the data"):
        fit(net(), (x, y), 1, verbose=0)


def test_no_checkpoint_of_a_broken_run(tmp_path: Path) -> None:
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=1e30)
    with pytest.raises(NonFiniteLoss):
        fit(model, blobs(), 5, optimizer, verbose=0, batch_size=8,
            callbacks=[Checkpoint(tmp_path, every_steps=1)])  # fmt: skip
    from ranvier.io import load_state

    state = load_state(tmp_path / "checkpoint.safetensors")
    assert np.isfinite(state["smoothed"][0])
    assert state["step"] >= 1


class Presses(Callback):
    """Ctrl-C at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, run: Any) -> None:
        if run.step + 1 == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_finishes_the_step_saves_and_says_so(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match=r"after step 7 .*saved to .*resume=True"):
        fit(net(), blobs(), 5, verbose=0, callbacks=[Presses(7), Checkpoint(tmp_path)])
    assert signal.getsignal(signal.SIGINT) is before
    assert issubclass(Interrupted, KeyboardInterrupt)
    with pytest.raises(Interrupted, match="nothing was saved"):
        fit(net(), blobs(), 5, verbose=0, callbacks=[Presses(2)])


def test_stop_ends_after_the_epoch() -> None:
    class Stops(Callback):
        def on_epoch_end(self, run: Any, logs: dict) -> None:
            if run.epoch == 1:
                run.stop = "enough"

    assert len(fit(net(), blobs(), 9, callbacks=[Stops()], verbose=0)) == 2


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    fit(net(), blobs(), 2, verbose=2)
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2
    assert out[0].startswith("epoch 1/2  loss ")
    assert "samples/s" in out[0]
    assert out[0].endswith("left")


def test_no_epochs() -> None:
    assert fit(net(), blobs(), 0, verbose=0).history == {}


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"data": 3}, TypeError, "DataLoader, a Dataset or a pair of arrays"),
        ({"data": []}, ValueError, "at least one batch"),
        ({"epochs": -1}, ValueError, "epochs of at least 0"),
        ({"loss": "hinge"}, ValueError, "'cross_entropy' or 'mse'"),
        ({"metrics": ["f7"]}, ValueError, "got 'f7'"),
        ({"metrics": ["accuracy", "accuracy"]}, ValueError, "different names"),
        ({"resume": True}, ValueError, "Checkpoint among the callbacks"),
        ({"resume": "/nowhere/x.safetensors"}, FileNotFoundError, "expected a checkpoint"),
        ({"verbose": 7}, ValueError, "verbose 0, 1 or 2"),
        ({"data": (np.zeros((4, 2), np.float32), np.zeros(3))}, ValueError, "as many targets"),
    ],
)
def test_refusals(options: dict, kind: type, text: str) -> None:
    with pytest.raises(kind, match=text):
        fit(**({"model": net(), "data": blobs(8), "epochs": 1, "verbose": 0} | options))


def test_predict_in_batches_leaves_the_mode() -> None:
    x, _ = blobs(10)
    model = net(dropout=0.5)
    one, many = predict(model, x).numpy(), predict(model, x, batch_size=3).numpy()
    assert one.shape == (10, 3)
    assert np.allclose(one, many, rtol=1e-6, atol=1e-6)
    assert model.training
    assert predict(model, x[:0]).numpy().shape == (0, 3)
