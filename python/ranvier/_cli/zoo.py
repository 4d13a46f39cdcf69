"""The models that the command line knows by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .settings import Settings, known_model


def arguments(settings: Settings, shape: tuple[int, ...], classes: int) -> dict[str, Any]:
    """What `build` needs for inputs of a shape; stored beside the weights.

    Raises:
        ValueError: the model cannot take such inputs.
    """
    if settings.model == "mlp":
        hidden = list(settings.network.hidden)
        return {"sizes": [math.prod(shape), *hidden, classes], "dropout": settings.network.dropout}
    if len(shape) != 3 or shape[1:] != (32, 32):
        raise ValueError(
            f"[lenet] expected pictures of 32 x 32, got inputs of shape {shape} - "
            "use mlp for other data, or leave size unset"
        )
    return {"channels": shape[0], "classes": classes, "dropout": settings.network.dropout}


def input_shape(name: str, given: Mapping[str, Any]) -> tuple[int, ...]:
    """Shape of one input of a model with those arguments."""
    if name == "mlp":
        return (int(given["sizes"][0]),)
    return (int(given["channels"]), 32, 32)


def build(name: str, given: Mapping[str, Any]) -> Any:
    """A model with fresh weights.

    Raises:
        ValueError: an unknown name, or arguments that the model does not take.
    """
    from ranvier import models

    known_model(name)
    try:
        if name == "mlp":
            return models.MLP(list(given["sizes"]), dropout=given.get("dropout", 0.0))
        return models.LeNet5(classes=given["classes"], channels=given["channels"])
    except (KeyError, TypeError):
        raise ValueError(
            f"[model] expected arguments of {name}, got {dict(given)!r} - train the model again"
        ) from None
