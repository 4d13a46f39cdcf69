"""Training: `fit`, what it records, and what may happen on the way."""

from . import schedules
from .callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    JSONLLogger,
    LRSchedule,
    ReduceLROnPlateau,
)
from .checkpoint import Checkpoint
from .evaluate import evaluate, predict
from .fit import NonFiniteLoss, Run, fit
from .history import History
from .interrupts import Interrupted
from .metrics import Accuracy, ConfusionMatrix, Loss, Metric, TopK

__all__ = [
    "Accuracy",
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "ConfusionMatrix",
    "EarlyStopping",
    "History",
    "Interrupted",
    "JSONLLogger",
    "LRSchedule",
    "Loss",
    "Metric",
    "NonFiniteLoss",
    "ReduceLROnPlateau",
    "Run",
    "TopK",
    "evaluate",
    "fit",
    "predict",
    "schedules",
]
