"""The deep autoencoder.

Source: Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks",
Science 313 (2006), figure 1: the decoder mirrors the encoder.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ranvier import nn
from ranvier.models.parts import activation_layer
from ranvier.models.registry import register
from ranvier.tensor import Tensor


def _layers(sizes: Sequence[int], activation: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation_layer(activation)]
    return nn.Sequential(*layers[:-1])  # the last layer is linear


class Autoencoder(nn.Module):
    """An encoder to a short code and a decoder back; both end in a linear layer.

    Args:
        sizes: inputs, hidden units ..., length of the code.
        activation: "relu", "tanh", "sigmoid" or "leaky_relu" after hidden layers.

    Shapes:
        x (N, sizes[0]) -> its reconstruction (N, sizes[0]); `encode` gives codes (N, sizes[-1]).
    """

    def __init__(self, sizes: Sequence[int] = (784, 256, 32), activation: str = "relu") -> None:
        if len(sizes) < 2:
            raise ValueError(
                f"[autoencoder] expected at least inputs and code in sizes, got {tuple(sizes)}"
            )
        self.input_size = (1, sizes[0])
        self.encoder = _layers(sizes, activation)
        self.decoder = _layers(tuple(reversed(sizes)), activation)

    def encode(self, x: Tensor) -> Tensor:
        """Codes."""
        return self.encoder(x)

    def decode(self, code: Tensor) -> Tensor:
        """Reconstructions."""
        return self.decoder(code)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstructions of x."""
        return self.decode(self.encode(x))


@register
def autoencoder(sizes: Sequence[int] = (784, 256, 32), activation: str = "relu") -> Autoencoder:
    """A deep autoencoder; see `Autoencoder`.

    Example:
        >>> import ranvier as rv
        >>> net = rv.models.get("autoencoder", sizes=(64, 16, 2))
        >>> net.encode(rv.zeros(5, 64)).shape
        (5, 2)
    """
    return Autoencoder(sizes, activation)
