"""Optimizers: one file each, which begins with its formula."""

from typing import TYPE_CHECKING, Any

from ranvier.optim import lr_scheduler
from ranvier.optim.adadelta import Adadelta
from ranvier.optim.adagrad import Adagrad
from ranvier.optim.adam import Adam, AdamW
from ranvier.optim.optimizer import Group, Optimizer
from ranvier.optim.rmsprop import RMSprop
from ranvier.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Group",
    "Optimizer",
    "RMSprop",
    "lr_scheduler",
]

if not TYPE_CHECKING:  # mypy shall go on refusing names that are not there

    def __getattr__(name: str) -> Any:
        from ranvier.cures import missing

        raise missing(__name__, name)
