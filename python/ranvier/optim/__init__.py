"""Optimizers: one file each, which reads like its formula."""

from ranvier.optim.optimizer import Group, Optimizer

__all__ = ["Group", "Optimizer"]
