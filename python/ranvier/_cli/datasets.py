"""Data for the command line: from `--data` to parts that a model can be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ranvier import data as rvdata
from ranvier.data import transforms

# Data of bright strokes on black: height and width of the originals, and how much of it the
# longer side of the strokes fills. A picture to predict is brought into this form.
STROKES = {"digits": (8, 8), "mnist": (28, 20)}
# Size that a model's pictures must have.
_MODEL_SIZES = {"lenet": 32}


@dataclass
class Preparation:
    """How inputs become what the model was trained on; stored beside its weights.

    Attributes:
        data: name or path of the data.
        kind: `"strokes"` (see STROKES), `"picture"`, or `"vector"`.
        input: shape of one input.
        mean, std: what is subtracted and divided by, one number per channel (or feature).
    """

    data: str
    kind: str
    input: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def standardize(self, x: np.ndarray, random: Any = None) -> np.ndarray:
        """(x - mean) / std, as a transform."""
        shape = (-1,) + (1,) * (x.ndim - 2)
        mean = np.asarray(self.mean, np.float32).reshape(shape)
        std = np.asarray(self.std, np.float32).reshape(shape)
        return (x.astype(np.float32) - mean) / std

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Preparation:
        """From what `to_json` gave.

        Raises:
            ValueError: fields are missing or of other types.
        """
        try:
            return cls(
                str(values["data"]),
                str(values["kind"]),
                tuple(map(int, values["input"])),
                tuple(map(float, values["mean"])),
                tuple(map(float, values["std"])),
            )
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                f"[model.json] expected 'prepare' with data, kind, input, mean and std, "
                f"got {values!r} - train the model again"
            ) from None


@dataclass
class Parts:
    """What a run works with."""

    splits: rvdata.Splits
    prepare: Preparation
    classes: tuple[str, ...]


def plain_name(source: str) -> str:
    """`Fashion_MNIST` and `fashion-mnist` are one."""
    return source.lower().replace("_", "-")


def load(source: str, model: str, size: int | None = None) -> Parts:
    """Load the three parts of a dataset for a model.

    Raises:
        ValueError: unknown or damaged data, or targets that are no class numbers.
        FileNotFoundError: data that can be neither found nor fetched.
    """
    size = size or _MODEL_SIZES.get(model)
    splits = rvdata.load(source, size=size)
    train: Any = splits.train
    if train.y.ndim != 1 or train.y.dtype.kind not in "iu" or (len(train) and train.y.min() < 0):
        raise ValueError(
            f"[data] expected class numbers from 0, shape (N,), got targets of shape "
            f"{train.y.shape} and {train.y.dtype} in {source!r} - the command line classifies; "
            "use ranvier.train.fit for a regression"
        )
    highest = max(int(part.y.max()) for part in splits if len(part))  # type: ignore[attr-defined]
    classes = train.classes or tuple(map(str, range(highest + 1)))
    if highest >= len(classes):
        raise ValueError(
            f"[data] expected class numbers below {len(classes)} (the number of classes), got "
            f"{highest} in {source!r}"
        )
    if len(classes) < 2:
        raise ValueError(
            f"[data] expected at least two classes, got only {classes[0]!r} in {source!r} - "
            "a folder of pictures needs a subfolder for each class"
        )
    shape = tuple(train.sample_shape)
    kind = "picture" if len(shape) == 3 else "vector"
    name = plain_name(source)
    if name in STROKES:
        kind = "strokes"
    mean, std = _statistics(train, source)
    stored = name if kind == "strokes" or name in _named() else source
    return Parts(splits, Preparation(stored, kind, shape, mean, std), classes)


def _named() -> Sequence[str]:
    return [plain_name(name) for name in rvdata.available()]


def _statistics(train: Any, source: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel over (at most 10,000 samples of) the training part."""
    x = train.batch(np.arange(min(len(train), 10_000)))[0].astype(np.float64)
    if not np.isfinite(x).all():
        raise ValueError(
            f"[data] expected finite numbers, got nan or infinity in {source!r} - clean the data"
        )
    axes = (0, *range(2, x.ndim))
    mean, std = x.mean(axes), x.std(axes)
    std[std < 1e-5] = 1.0  # a pixel or feature that never changes
    return tuple(round(v, 6) for v in mean.tolist()), tuple(round(v, 6) for v in std.tolist())


def augmentation(settings: Any, prepare: Preparation) -> Any:
    """The transform of the training batches: random changes first, standardization last."""
    steps: list[Any] = []
    if prepare.kind != "vector":
        if settings.shift or settings.degrees or settings.scale or settings.shear:
            scale = (1.0 - settings.scale, 1.0 + settings.scale) if settings.scale else None
            steps.append(
                transforms.RandomAffine(
                    degrees=settings.degrees,
                    translate=float(settings.shift),
                    scale=scale,
                    shear=settings.shear,
                )
            )
        if settings.flip:
            steps.append(transforms.RandomHorizontalFlip())
    return transforms.Compose([*steps, prepare.standardize])


def loader(part: Any, prepare: Preparation, batch_size: int = 256) -> Any:
    """Batches of a part to measure on: in order, standardized."""
    return rvdata.DataLoader(
        part, batch_size=batch_size, transform=prepare.standardize, last="keep"
    )
