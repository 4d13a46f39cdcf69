"""Optimizers: one file each, which begins with its formula."""

from ranvier.optim.adam import Adam, AdamW
from ranvier.optim.optimizer import Group, Optimizer
from ranvier.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Group", "Optimizer"]
