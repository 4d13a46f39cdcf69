"""The multilayer perceptron.

Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors",
Nature 323 (1986).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ranvier import nn
from ranvier.models.parts import activation_layer
from ranvier.models.registry import register


@register
def mlp(
    sizes: Sequence[int] = (1024, 128, 10), activation: str = "relu", dropout: float = 0.0
) -> nn.Sequential:
    """Full layers of the given sizes, with an activation after each but the last.

    Args:
        sizes: inputs, hidden units ..., outputs.
        activation: "relu", "tanh", "sigmoid" or "leaky_relu".
        dropout: probability to drop a hidden unit while training.

    Shapes:
        x (N, ...) with sizes[0] elements per sample -> scores (N, sizes[-1]).

    Raises:
        ValueError: fewer than two sizes.

    Example:
        >>> import ranvier as rv
        >>> rv.models.get("mlp", sizes=(4, 8, 3))
        Sequential(
          flatten: Flatten()
          fc1: Linear(4, 8)
          act1: ReLU()
          fc2: Linear(8, 3)
        )
    """
    if len(sizes) < 2:
        raise ValueError(f"[mlp] expected at least inputs and outputs in sizes, got {tuple(sizes)}")
    layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
    for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes), start=1):
        layers[f"fc{i}"] = nn.Linear(inputs, outputs)
        if i < len(sizes) - 1:
            layers[f"act{i}"] = activation_layer(activation)
            if dropout:
                layers[f"drop{i}"] = nn.Dropout(dropout)
    net = nn.Sequential(layers)
    net.input_size = (1, sizes[0])  # type: ignore[attr-defined]
    return net
