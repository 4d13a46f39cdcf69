"""Batches from a dataset: threads that fetch ahead, no worker processes, exact resumption."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .counter import SampleRandom, hash64, permutation
from .dataset import Dataset, stacked
from .transforms import Transform

logger = logging.getLogger("ranvier")

# Different uses of one seed must not meet: the order and the augmentation get streams of their own.
_ORDER, _AUGMENT = 1, 2


def to_tensor(array: NDArray) -> Any:
    """A batch array as a `ranvier.Tensor` that shares its memory."""
    from ranvier import from_numpy

    return from_numpy(np.require(array, requirements=("C", "W")))  # a copy only if it must


_CURES = {
    "batch_sampler": "shuffle=, seed= and last= order the batches",
    "collate_fn": "define batch(indices) in the Dataset",
    "generator": "write seed=",
    "num_workers": "threads fetch ahead, without worker processes: write threads=, or leave it out",
    "persistent_workers": "leave it out",
    "pin_memory": "leave it out",
    "prefetch_factor": "write prefetch=",
    "sampler": "take data.subset(indices), or shuffle= and seed=",
    "worker_init_fn": "transforms draw from seed=; leave it out",
}


class DataLoader:
    """Iterate over a dataset in batches; one pass through the loop is one epoch.

    Fetching and augmenting happen in background threads, up to `prefetch` batches ahead; what comes
    out does not depend on them. The order of an epoch is a function of (seed, epoch), the
    augmentation of a sample one of (seed, epoch, index): a run that is resumed from `state_dict`
    in the middle of an epoch goes on with the very bits that it would have seen, and skipping
    costs nothing.

    Every new loop is the next epoch, also after a `break`; only `load_state_dict` makes it go on
    inside one. Assigning to `epoch` goes to the start of that epoch.

    Args:
        dataset: a `Dataset`; of a `batch` method, else of `__getitem__`, any thread may make use.
        batch_size: samples per batch.
        shuffle: another order in every epoch; otherwise the dataset's.
        seed: of order and augmentation.
        transform: applied to the inputs of each batch, as transform(x, random).
        last: what becomes of an incomplete last batch. "keep" it; "drop" it; "auto" keeps it
            unless it is a single sample, which joins the batch before it, with one warning:
            batch normalization cannot train on one sample.
        prefetch: how many batches may lie ready; at least 1.
        threads: background threads; 0 fetches in the caller's thread when asked.
        output: "tensor" yields tensors, "numpy" arrays.
        drop_last: True is `last="drop"`, under PyTorch's name.

    Raises:
        ValueError: a setting is out of range, or `last="drop"` leaves no batch at all.
        TypeError: an option of PyTorch's loader that is not there; the text says what is.

    Example:
        >>> from ranvier.data import digits
        >>> loader = DataLoader(digits("train"), batch_size=64, shuffle=True, output="numpy")
        >>> len(loader)
        19
        >>> for x, y in loader:
        ...     pass
        >>> loader.epoch
        1
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 64,
        shuffle: bool = False,
        seed: int = 0,
        transform: Transform | None = None,
        last: str = "auto",
        prefetch: int = 2,
        threads: int = 1,
        output: str = "tensor",
        drop_last: bool = False,
        **others: Any,
    ) -> None:
        for name in others:
            cure = _CURES.get(name, "")
            raise TypeError(f"[DataLoader] expected no argument {name!r}{cure and ' - '}{cure}")
        for name, value in (("batch_size", batch_size), ("prefetch", prefetch)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise TypeError(f"[DataLoader] expected {name} as a whole number, got {value!r}")
        last = "drop" if drop_last else last
        if batch_size < 1:
            raise ValueError(f"[DataLoader] expected batch_size >= 1, got {batch_size}")
        if last not in ("auto", "keep", "drop"):
            raise ValueError(f"[DataLoader] expected last auto, keep or drop, got {last!r}")
        if prefetch < 1 or threads < 0:
            raise ValueError(
                "[DataLoader] expected prefetch >= 1 and threads >= 0, "
                f"got prefetch={prefetch}, threads={threads}"
            )
        if output not in ("tensor", "numpy"):
            raise ValueError(f"[DataLoader] expected output tensor or numpy, got {output!r}")
        if last == "drop" and 0 < len(dataset) < batch_size:
            raise ValueError(
                f"[DataLoader] expected at least {batch_size} samples (one batch), got "
                f'{len(dataset)} - a smaller batch_size, or last="keep"'
            )
        self.dataset = dataset
        self.batch_size = int(batch_size)
        self.shuffle = bool(shuffle)
        self.seed = int(seed)
        self.transform = transform
        self.last = last
        self.prefetch = int(prefetch)
        self.threads = int(threads)
        self.output = output
        self._epoch = 0
        self._batch = 0  # batches of this epoch that the caller has been given
        self._resumed = False
        self._owner: object | None = None  # the loop that moves epoch and batch: the latest
        self._warned = False

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._edges()) - 1

    def _edges(self) -> list[int]:
        """Where batches begin and end in the order of the epoch."""
        n = len(self.dataset)
        edges = list(range(0, n + 1, self.batch_size))
        rest = n - edges[-1]
        if rest == 0 or self.last == "drop":
            return edges
        if self.last == "auto" and rest == 1 and len(edges) > 1:
            edges[-1] = n
        else:
            edges.append(n)
        return edges

    @property
    def epoch(self) -> int:
        """The epoch under way, or the next one when none is."""
        return self._epoch

    @epoch.setter
    def epoch(self, value: int) -> None:
        if value < 0:
            raise ValueError(f"[DataLoader] expected epoch >= 0, got {value}")
        self._epoch, self._batch, self._resumed, self._owner = int(value), 0, False, None

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Indices of the dataset in the order in which that epoch visits them, shape (N,)."""
        n = len(self.dataset)
        return permutation(n, self.seed, _ORDER, epoch) if self.shuffle else np.arange(n)

    def _settings(self) -> dict[str, Any]:
        return {
            "samples": len(self.dataset),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "seed": self.seed,
            "last": self.last,
        }

    def state_dict(self) -> dict[str, Any]:
        """Where the loop stands, as plain numbers and strings that fit into JSON.

        Inside the loop body the current batch counts as done: the state of a checkpoint that is
        written after the step leads to the next batch.
        """
        return {"epoch": self._epoch, "batch": self._batch, **self._settings()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next loop go on where `state` was taken.

        Raises:
            ValueError: the state is of a loader with other settings, or damaged.
        """
        expected = {"epoch", "batch", *self._settings()}
        if not isinstance(state, dict) or set(state) != expected:
            got = sorted(state) if isinstance(state, dict) else type(state).__name__
            raise ValueError(
                f"[DataLoader] expected a state with {', '.join(sorted(expected))}, got {got}"
            )
        for name, here in self._settings().items():
            if state[name] != here:
                raise ValueError(
                    f"[DataLoader] expected a state with {name}={here!r}, got {state[name]!r} - "
                    "resume with the settings that the run was started with"
                )
        epoch, batch = int(state["epoch"]), int(state["batch"])
        if epoch < 0 or not 0 <= batch <= len(self):
            raise ValueError(
                f"[DataLoader] expected epoch >= 0 and batch in [0, {len(self)}], "
                f"got epoch {epoch}, batch {batch}"
            )
        self.epoch = epoch
        self._batch, self._resumed = batch, True
        if batch and batch == len(self):  # taken in the body of an epoch's last batch
            self.epoch = epoch + 1

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        if not self._resumed and self._batch:  # the loop before this one was left early
            self._epoch, self._batch = self._epoch + 1, 0
        self._resumed = False
        self._owner = owner = object()
        edges = self._edges()
        if edges[-1] - edges[-2:][0] == self.batch_size + 1 and not self._warned:
            self._warned = True
            logger.warning(
                "[DataLoader] %d samples in batches of %d leave one over; it joins the last batch "
                '- last="keep" keeps it apart, last="drop" drops it',
                len(self.dataset),
                self.batch_size,
            )
        job = _Epoch(self, edges, self._epoch, self._batch)
        return self._run(job, owner, self._batch)

    def _run(self, job: _Epoch, owner: object, first: int) -> Iterator[tuple[Any, Any]]:
        convert = to_tensor if self.output == "tensor" else _same
        with job:
            for number in range(first, job.count):
                x, y = job.take(number)
                if self._owner is owner:
                    self._batch = number + 1
                yield convert(x), convert(y)
        if self._owner is owner:
            self.epoch = job.epoch + 1

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v!r}" for k, v in list(self._settings().items())[1:])
        return f"DataLoader({self.dataset!r}, {settings}, transform={self.transform!r})"


def _same(array: NDArray) -> NDArray:
    return array


class _Epoch:
    """One epoch's batches, made ahead by threads and taken in order.

    Knows nothing of the loader once it is built, so that a loop that is dropped half-way is
    collected, which closes its generator, which ends the threads.
    """

    def __init__(self, loader: DataLoader, edges: list[int], epoch: int, first: int) -> None:
        self.dataset, self.transform = loader.dataset, loader.transform
        self.key = int(hash64(loader.seed, _AUGMENT)[0]) >> 1
        self.epoch, self.edges, self.count = epoch, edges, len(edges) - 1
        self.order = loader.order(epoch)
        self.prefetch = loader.prefetch
        self.condition = threading.Condition()
        self.ready: dict[int, tuple[NDArray, NDArray] | BaseException] = {}
        self.next_to_make = first  # the next batch that a thread will begin
        self.next_to_take = first  # the next one that the caller will ask for
        self.stopped = False
        count = min(loader.threads, self.count - first)
        self.workers = [
            threading.Thread(target=self._work, name=f"ranvier-data-{i}", daemon=True)
            for i in range(count)
        ]

    def make(self, number: int) -> tuple[NDArray, NDArray]:
        """Fetch and transform one batch; depends on its number only."""
        indices = self.order[self.edges[number] : self.edges[number + 1]]
        if hasattr(self.dataset, "batch"):
            x, y = self.dataset.batch(indices)
        else:  # a list of samples, or another object of one's own
            x, y = stacked([self.dataset[int(i)] for i in indices])
        if self.transform is not None:
            x = self.transform(x, SampleRandom(self.key, self.epoch, indices))
            if len(x) != len(indices):
                raise ValueError(
                    f"[DataLoader] expected {len(indices)} samples from the transform, got shape "
                    f"{x.shape} - a transform keeps the first axis"
                )
        return x, y

    def _work(self) -> None:
        while True:
            with self.condition:
                while not self.stopped and (
                    self.next_to_make < self.count
                    and self.next_to_make >= self.next_to_take + self.prefetch
                ):
                    self.condition.wait()
                if self.stopped or self.next_to_make >= self.count:
                    return
                number = self.next_to_make
                self.next_to_make += 1
            result: tuple[NDArray, NDArray] | BaseException
            try:
                result = self.make(number)
            except BaseException as error:  # handed to the caller when this batch is due
                result = error
            with self.condition:
                self.ready[number] = result
                if isinstance(result, BaseException):
                    self.next_to_make = self.count
                self.condition.notify_all()

    def take(self, number: int) -> tuple[NDArray, NDArray]:
        """The batch, when it is ready; what its making raised is raised here."""
        if not self.workers:
            return self.make(number)
        with self.condition:
            while number not in self.ready:
                self.condition.wait()
            result = self.ready.pop(number)
            self.next_to_take = number + 1
            self.condition.notify_all()
        if isinstance(result, BaseException):
            try:
                raise result
            finally:
                del result  # else this frame and the error would keep each other alive
        return result

    def __enter__(self) -> _Epoch:
        try:
            for worker in self.workers:
                worker.start()
        except RuntimeError:  # the system has no thread left: do not leave some behind
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        with self.condition:
            self.stopped = True
            self.condition.notify_all()
        for worker in self.workers:
            if worker.ident is not None:
                worker.join()
        self.ready.clear()
