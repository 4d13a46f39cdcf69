"""The training loop."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ranvier as rv
from ranvier import functional as F
from ranvier import guards

from .callbacks import Callback, rates
from .checkpoint import Checkpoint, restore
from .evaluate import Evaluator, as_loader, loss_function, measured, on_device
from .history import History
from .interrupts import Interrupted, Interrupts
from .metrics import Meters, Metric
from .progress import Smoothed, progress

logger = logging.getLogger("ranvier")
CLASSIFICATION = ("accuracy",)  # the default metrics; left out where the loss is another one


class NonFiniteLoss(FloatingPointError):
    """The loss is nan or infinite: going on would be of no use."""


def fit(
    model: Any,
    data: Any,
    epochs: int = 10,
    optimizer: Any = None,
    loss: str | Callable[[Any, Any], Any] | None = None,
    metrics: Sequence[str | Metric] = CLASSIFICATION,
    validation: Any = None,
    callbacks: Iterable[Callback] = (),
    device: Any = None,
    seed: int | None = None,
    resume: bool | str | None = None,
    capture: bool = True,
    verbose: int | bool | None = None,
    batch_size: int = 32,
) -> History:
    """Train a model.

    One step is: forward, loss, backward, optimizer. It is captured (see `rv.capture`) and from
    its third run on replayed without Python; a step that cannot be captured runs as it is written,
    after one warning. Inside `with rv.autocast():` it trains in mixed precision.

    Args:
        model: a Module.
        data: a `DataLoader`, a `Dataset`, or a pair of arrays (x, y) with the samples along the
            first axis. Datasets and arrays are shuffled, by `seed`.
        epochs: passes over the data, counting those of an earlier, resumed part.
        optimizer: over the model's parameters; None is Adam with its default rate.
        loss: a function (output, target) -> mean loss, or `"cross_entropy"` or `"mse"`. None is
            cross-entropy where the targets are whole numbers, else the mean squared error.
        metrics: names (`"accuracy"`, `"top5"`, `"confusion_matrix"`) or `Metric` objects.
        validation: like `data`; never shuffled, measured after every epoch.
        callbacks: `EarlyStopping`, `Checkpoint`, `LRSchedule`, `JSONLLogger` ...
        device: where to train; None leaves the model where it is.
        seed: for the library's random numbers (dropout) and for the order of arrays.
        resume: True goes on from the file of the `Checkpoint` callback, a path from that file or
            from the checkpoint in that folder.
        capture: whether steps may be captured.
        verbose: 0 silent, 1 a bar on a terminal, 2 a line per epoch; None is 1, or what the
            environment's RANVIER_VERBOSE says.
        batch_size: for datasets and arrays.

    Returns:
        The `History`: a list per quantity (`loss`, `accuracy`, `val_loss` ..., `lr`, `seconds`,
        `samples_per_second`), one value per epoch.

    Raises:
        Interrupted: Ctrl-C; a KeyboardInterrupt.
        NonFiniteLoss: the loss became nan or infinite.
        ValueError: arguments that do not fit; a checkpoint of another run.
        FileNotFoundError: nothing to resume from.

    Example:
        >>> import numpy as np
        >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
        >>> line = rv.nn.Linear(1, 1)
        >>> history = fit(line, (x, 2 * x + 1), 40, rv.optim.SGD(line.parameters(), 0.2), verbose=0)
        >>> round(float(line.weight.item()), 2), history["loss"][-1] < 1e-4
        (2.0, True)
    """
    run = Run(model, data, epochs, optimizer, loss, metrics, validation, list(callbacks),
              device, seed, capture, verbose, batch_size)  # fmt: skip
    if resume:
        path = run.checkpoint_path() if resume is True else resume
        if path is None:
            raise ValueError(
                "[fit] expected a Checkpoint among the callbacks, got none - "
                "resume=True takes its file; or pass resume=path"
            )
        restore(run, path)
    run.train()
    return run.history


class Run:
    """A training run under way, as callbacks see it; made by `fit`, with its arguments.

    Attributes:
        model, optimizer, loader, device: what is trained, how, on what, where.
        epochs: how many are wanted; steps_per_epoch: how many steps each has.
        epoch: epochs that are complete; batch: steps done within the next one; step: steps in all.
        batch_loss: loss of the latest step that was looked at; smoothed: its moving average.
        history: the `History` so far.
        stop: set it to a reason to end training after this epoch.
    """

    def __init__(
        self, model, data, epochs, optimizer, loss, metrics, validation, callbacks,
        device, seed, capture, verbose, batch_size,
    ) -> None:  # fmt: skip
        if epochs < 0:
            raise ValueError(f"[fit] expected epochs of at least 0, got {epochs}")
        if seed is not None:
            rv.manual_seed(seed)
        self.model = model
        if device is not None:
            model.to(device)
        self.device = on_device(model, device)
        self.loader = as_loader(data, batch_size, shuffle=True, seed=seed or 0)
        self.steps_per_epoch, self.epochs = len(self.loader), epochs
        if not self.steps_per_epoch:
            raise ValueError("[fit] expected at least one batch of data, got none - is it empty?")
        self.optimizer = optimizer or rv.optim.Adam(model.parameters())
        self._loss, self._capture = loss, capture
        self._default_metrics = metrics is CLASSIFICATION
        self.meters = Meters(metrics)
        self._validation = (
            None if validation is None else as_loader(validation, batch_size, shuffle=False)
        )
        self._evaluator: Evaluator | None = None
        # Checkpoints last: they save what the others remember.
        self.callbacks = sorted(callbacks, key=lambda c: isinstance(c, Checkpoint))
        self._hooks = {hook: self._overriding(hook) for hook in vars(Callback) if "on_" in hook}
        self.display = progress(verbose)
        self.history, self.smoothed = History(), Smoothed()
        self.epoch = self.batch = self.step = 0
        self.seconds, self.batch_loss = 0.0, math.nan
        self.stop: str | None = None
        self._interrupts = Interrupts()
        self._function: Callable[[Any, Any], Any] | None = None
        # On a GPU a look at the loss waits for all work in flight: look now and then.
        self._look_every = 1 if str(self.device) == "cpu" else 25

    @property
    def finished(self) -> bool:
        """Whether no epoch is left to do."""
        return self.epoch >= self.epochs or self.stop is not None

    def checkpoint_path(self) -> Any:
        """The file of the Checkpoint callback, if there is one."""
        return next((c.path for c in self.callbacks if isinstance(c, Checkpoint)), None)

    def train(self) -> None:
        """Run the epochs that are left."""
        self._interrupts.watch()
        started, epochs_before = time.perf_counter(), self.epoch
        try:
            self.display.start(
                self.epochs, self.steps_per_epoch, self.epoch * self.steps_per_epoch + self.batch
            )
            self._each("on_train_begin")
            while not self.finished:
                logs = self._train_epoch()
                logs |= self._validate()
                self.seconds = 0.0
                self._each("on_epoch_end", logs)
                self.history.append(logs)
                mean = (time.perf_counter() - started) / (self.epoch + 1 - epochs_before)
                left = 0.0 if self.stop else mean * (self.epochs - self.epoch - 1)
                self.display.epoch(self.epoch, self.epochs, logs, left)
                self.epoch, self.batch = self.epoch + 1, 0
                self.meters.reset()
                self._rest("epoch")
            if self.stop and self.epoch < self.epochs:
                self.display.message(f"stopped after epoch {self.epoch}: {self.stop}")
            self._each("on_train_end")
        finally:
            self.display.close()
            self._interrupts.release()
            for callback in self.callbacks:
                callback.close()

    def _train_epoch(self) -> dict[str, Any]:
        """The steps that are left of this epoch; its values."""
        started, samples = time.perf_counter(), 0
        before = self.seconds
        self.model.train()
        if self.batch == 0:
            self._each("on_epoch_begin")
        for x, y in self.loader if self.batch < self.steps_per_epoch else ():
            x, y = x.to(self.device), y.to(self.device)
            self._each("on_step_begin")
            value = self._step(x, y)
            self.step, self.batch = self.step + 1, self.batch + 1
            self.meters.count += x.shape[0]
            samples += x.shape[0]
            self.seconds = before + time.perf_counter() - started
            if self.step % self._look_every == 0 or self.batch == self.steps_per_epoch:
                self._look(value, x)
            self._each("on_step_end")
            rate = samples / (self.seconds - before)
            self.display.step(self.epoch, self.batch_loss, self.smoothed.value, rate)
            self._rest("step")
        return {
            **self.meters.values(),
            "lr": rates(self.optimizer)[0],
            "seconds": round(self.seconds, 6),
            "samples_per_second": round(self.meters.count / max(self.seconds, 1e-9), 1),
        }

    def _step(self, x: Any, y: Any) -> Any:
        """One step, captured where that is possible; the loss, a Tensor."""
        if self._function is None:
            self.optimizer.zero_grad()
            self._choose_loss(y)
            self._function = rv.capture(self._plain_step) if self._capture else self._plain_step
        try:
            return self._function(x, y)
        except rv.CaptureError as error:  # what the attempt changed is undone already
            if "expected a replay" in str(error):  # found by RANVIER_CHECK_CAPTURE: a real fault
                raise
            logger.warning("[fit] the step runs without capture: %s", error)
            self._function, self._capture = self._plain_step, False
            return self._function(x, y)

    def _plain_step(self, x: Any, y: Any) -> Any:
        output = self.model(x)
        loss = guards.call(self._loss)(output, y)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()  # at the end: a captured step then need not keep gradients
        measured(self.meters, output, y, loss)
        return loss.detach()

    def _choose_loss(self, y: Any) -> None:
        self._loss = loss_function(self._loss, y)
        if self._default_metrics and self._loss is not F.cross_entropy:
            self.meters.metrics = [m for m in self.meters.metrics if m.name != "accuracy"]

    def _look(self, loss: Any, x: Any) -> None:
        """Read the loss, and end a run that has gone astray."""
        self.batch_loss = float(loss.item())
        if math.isfinite(self.batch_loss):
            self.smoothed.add(self.batch_loss)
            return
        lr = max(rates(self.optimizer))
        clean = not str(x.dtype).endswith(("float32", "float64")) or math.isfinite(
            float(x.abs().max().item())
        )
        cure = f"a lower learning rate, such as {lr / 10:g}" if clean else "cleaning the data"
        cause = "" if clean else ", whose inputs hold nan or infinity"
        raise NonFiniteLoss(
            f"[fit] expected a finite loss, got {self.batch_loss} at step {self.step} (epoch "
            f"{self.epoch + 1}, batch {self.batch}{cause}) with learning rate {lr:g} - try {cure}"
        )

    def _validate(self) -> dict[str, Any]:
        if self._validation is None:
            return {}
        if self._evaluator is None:
            if not callable(self._loss):  # resumed after the last step of an epoch
                self._choose_loss(next(iter(self._validation))[1])
            metrics = [m.fresh() for m in self.meters.metrics]
            self._evaluator = Evaluator(self.model, self._loss, metrics, self._capture)
        return self._evaluator.run(self._validation, self.device, "val_", self._check_interrupt)

    def _overriding(self, hook: str) -> list[Callable[..., None]]:
        """The callbacks that do something there: the others cost nothing per step."""
        base = getattr(Callback, hook)
        return [getattr(c, hook) for c in self.callbacks if getattr(type(c), hook) is not base]

    def _each(self, hook: str, *arguments: Any) -> None:
        for function in self._hooks[hook]:
            function(self, *arguments)

    def _rest(self, why: str) -> None:
        self._each("on_rest", why)
        self._check_interrupt()

    def _check_interrupt(self) -> None:
        if not self._interrupts.came:
            return
        self._each("on_rest", "interrupt")
        path = self.checkpoint_path()
        saved = f"saved to {path}; go on with resume=True" if path else "nothing was saved"
        raise Interrupted(f"interrupted after step {self.step} (epoch {self.epoch + 1}): {saved}")
