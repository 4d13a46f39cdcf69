"""Residual networks: ResNet-20 on 32x32 at batch 32, ResNet-18 on 224x224 at batch 8."""

from __future__ import annotations

from typing import Any

from ranvier.bench.models._pairs import classification, training_row
from ranvier.bench.suite import Row


def our_model(name: str) -> Any:
    import ranvier as rv

    return rv.models.get(name)


def torch_model(widths: tuple[int, ...], blocks: int, imagenet: bool, classes: int) -> Any:
    """Stages of basic blocks; shortcuts are projections (ImageNet) or parameter-free (CIFAR)."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, inputs: int, width: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.stride, self.extra = stride, width - inputs
            if imagenet and stride != 1:
                self.downsample = nn.Sequential(
                    nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width)
                )

        def forward(self, x: Any) -> Any:
            y = torch.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            if self.stride != 1:
                if imagenet:
                    x = self.downsample(x)
                else:
                    half = self.extra // 2
                    x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half))
            return torch.relu(y + x)

    if imagenet:
        layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
                  nn.MaxPool2d(3, 2, 1)]  # fmt: skip
    else:
        layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    inputs = widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            layers.append(Block(inputs, width, 2 if stage and not block else 1))
            inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


def small(n: int) -> Row:
    """A step of ResNet-20 at batch n."""
    return training_row(
        f"ResNet-20, 32x32, batch {n}",
        classification((n, 3, 32, 32)),
        lambda: our_model("resnet20"),
        lambda: torch_model((16, 32, 64), 3, False, 10),
        images=True,
    )


ROWS = [
    small(32),
    training_row(
        "ResNet-18, 224x224, batch 8",
        classification((8, 3, 224, 224), 1000),
        lambda: our_model("resnet18"),
        lambda: torch_model((64, 128, 256, 512), 2, True, 1000),
        images=True,
        tolerance=5e-3,  # of the loss after three steps of Adam, whose first are signs of gradients
    ),
]
