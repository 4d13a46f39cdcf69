"""The models that the command line knows by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ranvier import models

from .settings import Model, Settings, known_model


def arguments(settings: Settings, shape: tuple[int, ...], classes: int) -> dict[str, Any]:
    """What `build` needs for inputs of a shape; stored beside the weights.

    Raises:
        ValueError: the model cannot take such inputs, or has no such option.
    """
    name, network = settings.model, settings.network
    if name == "lenet":
        if len(shape) != 3 or shape[1:] != (32, 32):
            raise ValueError(
                f"[lenet] expected pictures of 32 x 32, got inputs of shape {shape} - "
                "use mlp for other data, or leave size unset"
            )
        given: dict[str, Any] = {"classes": classes, "in_channels": shape[0]}
    else:
        given = {"sizes": [math.prod(shape), *network.hidden, classes]}
    known = models.options(name)
    for option, default in vars(Model()).items():
        value = getattr(network, option)
        if option in known:
            given[option] = value
        elif value != default and (name, option) != ("mlp", "hidden"):
            raise ValueError(
                f"[{name}] expected network options among {', '.join(known)}, got {option} - "
                f"leave network.{option} out"
            )
    return given


def input_shape(name: str, given: Mapping[str, Any]) -> tuple[int, ...]:
    """Shape of one input of a model with those arguments."""
    if name == "mlp":
        return (int(given["sizes"][0]),)
    return (int(given["in_channels"]), 32, 32)


def build(name: str, given: Mapping[str, Any]) -> Any:
    """A model with fresh weights.

    Raises:
        ValueError: an unknown name, or arguments that the model does not take.
    """
    known_model(name)
    try:
        return models.get(name, **given)
    except TypeError as error:
        raise ValueError(
            f"[model] expected arguments of {name}, got {dict(given)!r}: {error} - "
            "train the model again"
        ) from None
