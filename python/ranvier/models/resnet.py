"""Residual networks, for ImageNet-sized and for CIFAR-sized images.

Source: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016 (figures
3 and 5, tables 1 and 6). As in torchvision, the stride of a bottleneck sits on its 3x3 convolution
and parameters carry torchvision's names, so that its weight files load.
"""

from __future__ import annotations

from ranvier import functional as F
from ranvier import nn
from ranvier.models.registry import register
from ranvier.tensor import Tensor


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """3x3, padded so that stride 1 keeps the size."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)


def conv1x1(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """1x1: a linear layer on every pixel."""
    return nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False)


class ZeroPadShortcut(nn.Module):
    """The parameter-free shortcut (option A): every `stride`-th pixel, new channels zero.

    Shapes:
        x (N, C, H, W) -> (N, channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, channels: int, stride: int) -> None:
        self.channels, self.stride = channels, stride

    def forward(self, x: Tensor) -> Tensor:
        """Subsampled and padded x."""
        new = self.channels - x.shape[1]
        if self.stride != 1:
            x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, new // 2, new - new // 2))


class BasicBlock(nn.Module):
    """relu(x + bn(conv3x3(relu(bn(conv3x3(x)))))): figure 5, left."""

    expansion = 1

    def __init__(
        self, inputs: int, width: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        self.conv1 = conv3x3(inputs, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + shortcut)


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up to four times the width: figure 5, right."""

    expansion = 4

    def __init__(
        self, inputs: int, width: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        self.conv1 = conv1x1(inputs, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv1x1(width, width * self.expansion)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU()
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + shortcut)


Block = type[BasicBlock] | type[Bottleneck]


class ResNet(nn.Module):
    """Stem 7x7 stride 2 and pooling, four stages of blocks, global average, a linear layer.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        layers: number of blocks of each stage.
        classes: number of outputs.
        in_channels: 3 for colour.
        zero_init_residual: start every block as the identity (its last batch norm scales by 0).

    Shapes:
        x (N, in_channels, H, W), H and W at least 32 -> scores (N, classes).
    """

    def __init__(
        self,
        block: Block,
        layers: tuple[int, int, int, int],
        classes: int = 1000,
        in_channels: int = 3,
        zero_init_residual: bool = False,
    ) -> None:
        self.input_size = (1, in_channels, 224, 224)
        self.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(block, 64, 64, layers[0], 1)
        self.layer2 = _stage(block, 64 * block.expansion, 128, layers[1], 2)
        self.layer3 = _stage(block, 128 * block.expansion, 256, layers[2], 2)
        self.layer4 = _stage(block, 256 * block.expansion, 512, layers[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(512 * block.expansion, classes)
        _initialize(self, zero_init_residual)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.flatten(self.avgpool(x)))


def _stage(block: Block, inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    """Blocks of one width; the first one strides and projects its shortcut where it must."""
    outputs = width * block.expansion
    project = None
    if stride != 1 or inputs != outputs:
        project = nn.Sequential(conv1x1(inputs, outputs, stride), nn.BatchNorm2d(outputs))
    first = block(inputs, width, stride, project)
    return nn.Sequential(first, *[block(outputs, width) for _ in range(blocks - 1)])


def _initialize(net: nn.Module, zero_init_residual: bool) -> None:
    """He's normal weights by fan-out, as published; optionally blocks that start as identity."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif zero_init_residual and isinstance(module, (BasicBlock, Bottleneck)):
            last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
            assert last.weight is not None
            nn.init.zeros_(last.weight)


class CifarResNet(nn.Module):
    """Section 4.2: a 3x3 stem, three stages of n blocks with 16, 32, 64 channels: 6n + 2 layers.

    Args:
        depth: 20, 32, 44, 56, 110 ...: 6n + 2.
        classes: number of outputs.
        in_channels: 3 for colour.

    Shapes:
        x (N, in_channels, 32, 32) -> scores (N, classes).

    Raises:
        ValueError: a depth that is not 6n + 2.
    """

    def __init__(self, depth: int = 20, classes: int = 10, in_channels: int = 3) -> None:
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(
                f"[resnet] expected a depth of 6n + 2 (20, 32, 44, 56, 110), got {depth}"
            )
        n = (depth - 2) // 6
        self.input_size = (1, in_channels, 32, 32)
        self.conv1 = conv3x3(in_channels, 16)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = nn.Sequential(*[BasicBlock(16, 16) for _ in range(n)])
        self.layer2 = self._narrow(16, 32, n)
        self.layer3 = self._narrow(32, 64, n)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(64, classes)
        _initialize(self, False)

    @staticmethod
    def _narrow(inputs: int, width: int, n: int) -> nn.Sequential:
        first = BasicBlock(inputs, width, 2, ZeroPadShortcut(width, 2))
        return nn.Sequential(first, *[BasicBlock(width, width) for _ in range(n - 1)])

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.flatten(self.avgpool(x)))


@register
def resnet18(classes: int = 1000, in_channels: int = 3, zero_init_residual: bool = False) -> ResNet:
    """ResNet-18: 11,689,512 parameters with 1,000 classes; see `ResNet`."""
    return ResNet(BasicBlock, (2, 2, 2, 2), classes, in_channels, zero_init_residual)


@register
def resnet34(classes: int = 1000, in_channels: int = 3, zero_init_residual: bool = False) -> ResNet:
    """ResNet-34: 21,797,672 parameters with 1,000 classes; see `ResNet`."""
    return ResNet(BasicBlock, (3, 4, 6, 3), classes, in_channels, zero_init_residual)


@register
def resnet50(classes: int = 1000, in_channels: int = 3, zero_init_residual: bool = False) -> ResNet:
    """ResNet-50: 25,557,032 parameters with 1,000 classes; see `ResNet`."""
    return ResNet(Bottleneck, (3, 4, 6, 3), classes, in_channels, zero_init_residual)


@register
def resnet101(
    classes: int = 1000, in_channels: int = 3, zero_init_residual: bool = False
) -> ResNet:
    """ResNet-101: 44,549,160 parameters with 1,000 classes; see `ResNet`."""
    return ResNet(Bottleneck, (3, 4, 23, 3), classes, in_channels, zero_init_residual)


@register
def resnet152(
    classes: int = 1000, in_channels: int = 3, zero_init_residual: bool = False
) -> ResNet:
    """ResNet-152: 60,192,808 parameters with 1,000 classes; see `ResNet`."""
    return ResNet(Bottleneck, (3, 8, 36, 3), classes, in_channels, zero_init_residual)


@register
def resnet20(classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """ResNet-20 for 32x32 images: 269,722 parameters; see `CifarResNet`.

    Example:
        >>> import ranvier as rv
        >>> sum(p.size for p in rv.models.get("resnet20").parameters())
        269722
    """
    return CifarResNet(20, classes, in_channels)


@register
def resnet56(classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """ResNet-56 for 32x32 images: 853,018 parameters; see `CifarResNet`."""
    return CifarResNet(56, classes, in_channels)
