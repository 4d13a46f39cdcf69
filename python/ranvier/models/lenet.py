"""LeNet-5.

Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
recognition", Proceedings of the IEEE 86 (1998), section II.B and figure 2. As courses teach it:
every map of C3 sees all six maps of S2 (the paper connects them by a table), pooling has no
parameters, the output is a linear layer, not radial-basis units. 61,706 parameters.
"""

from __future__ import annotations

from ranvier import nn
from ranvier.models.parts import activation_layer, pooling_layer
from ranvier.models.registry import register
from ranvier.tensor import Tensor


class LeNet(nn.Module):
    """Two convolutions, two poolings, three full layers, for images of 32x32.

    Args:
        classes: number of outputs.
        in_channels: 1 for grey, 3 for colour.
        activation: "relu", "tanh", "sigmoid" or "leaky_relu" after every layer but the last.
        pooling: "max" or "avg".

    Shapes:
        x (N, in_channels, 32, 32) -> scores (N, classes), before softmax.
    """

    def __init__(
        self,
        classes: int = 10,
        in_channels: int = 1,
        activation: str = "relu",
        pooling: str = "max",
    ) -> None:
        self.input_size = (1, in_channels, 32, 32)
        self.c1 = nn.Conv2d(in_channels, 6, kernel_size=5)  #  6 @ 28x28
        self.s2 = pooling_layer(pooling, 2)  #                 6 @ 14x14
        self.c3 = nn.Conv2d(6, 16, kernel_size=5)  #          16 @ 10x10
        self.s4 = pooling_layer(pooling, 2)  #                16 @ 5x5
        self.flatten = nn.Flatten()  #                        400
        self.c5 = nn.Linear(16 * 5 * 5, 120)
        self.f6 = nn.Linear(120, 84)
        self.output = nn.Linear(84, classes)
        self.act = activation_layer(activation)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        x = self.s2(self.act(self.c1(x)))
        x = self.s4(self.act(self.c3(x)))
        x = self.act(self.c5(self.flatten(x)))
        return self.output(self.act(self.f6(x)))


@register
def lenet(
    classes: int = 10, in_channels: int = 1, activation: str = "relu", pooling: str = "max"
) -> LeNet:
    """LeNet-5 for images of 32x32; see `LeNet`.

    Example:
        >>> import ranvier as rv
        >>> sum(p.size for p in rv.models.get("lenet").parameters())
        61706
    """
    return LeNet(classes, in_channels, activation, pooling)
