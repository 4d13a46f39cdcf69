"""Layers that models choose by name."""

from __future__ import annotations

from typing import Any

from ranvier import nn
from ranvier.models.registry import closest

ACTIVATIONS: dict[str, Any] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "leaky_relu": nn.LeakyReLU,
}
POOLINGS: dict[str, Any] = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


def activation_layer(name: str) -> nn.Module:
    """The activation called `name`."""
    return ACTIVATIONS[closest("activation", name, ACTIVATIONS)]()


def pooling_layer(name: str, kernel_size: int) -> nn.Module:
    """The pooling called `name`."""
    return POOLINGS[closest("pooling", name, POOLINGS)](kernel_size)
