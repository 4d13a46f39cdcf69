"""U-Net.

Source: Ronneberger, Fischer and Brox, "U-Net: convolutional networks for biomedical image
segmentation", MICCAI 2015, figure 1. As usual today, convolutions are padded (the output has the
input's size) and may be followed by batch norm.
"""

from __future__ import annotations

from ranvier import functional as F
from ranvier import nn
from ranvier.models.registry import register
from ranvier.tensor import Tensor


def double_conv(inputs: int, outputs: int, batch_norm: bool) -> nn.Sequential:
    """Twice: 3x3 convolution, batch norm, ReLU: the pair of blue arrows of the figure."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers.append(nn.Conv2d(channels, outputs, 3, padding=1, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm2d(outputs))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """A contracting path, an expanding path, and a skip connection at every size between them.

    Args:
        classes: scores per pixel.
        in_channels: 1 for grey, 3 for colour.
        width: channels at full size; doubled at each of the `depth` halvings.
        depth: number of halvings (4 in the paper).
        batch_norm: after every 3x3 convolution.

    Shapes:
        x (N, in_channels, H, W), H and W multiples of 2^depth -> scores (N, classes, H, W).

    Raises:
        ValueError: a depth above 16; an image whose sides are not multiples of 2^depth.
    """

    def __init__(
        self,
        classes: int = 2,
        in_channels: int = 1,
        width: int = 64,
        depth: int = 4,
        batch_norm: bool = True,
    ) -> None:
        if not 0 <= depth <= 16:
            raise ValueError(f"[unet] expected depth from 0 to 16, got {depth}")
        self.depth = depth
        self.input_size = (1, in_channels, 16 << depth, 16 << depth)
        widths = [width << level for level in range(depth + 1)]
        self.down = nn.ModuleList()
        for inputs, outputs in zip([in_channels, *widths], widths, strict=False):
            self.down.append(double_conv(inputs, outputs, batch_norm))
        self.pool = nn.MaxPool2d(2)
        self.upsample, self.up = nn.ModuleList(), nn.ModuleList()
        for outputs in reversed(widths[:-1]):
            self.upsample.append(nn.ConvTranspose2d(2 * outputs, outputs, 2, stride=2))
            self.up.append(double_conv(2 * outputs, outputs, batch_norm))
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes at every pixel."""
        side = 1 << self.depth
        if x.shape[2] % side or x.shape[3] % side:
            raise ValueError(
                f"[unet] expected sides that are multiples of {side} (2^depth), got "
                f"{x.shape[2]}x{x.shape[3]} - pad or resize the images"
            )
        skips = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else self.pool(x))
            skips.append(x)
        skips.pop()
        for upsample, block in zip(self.upsample, self.up, strict=True):
            x = block(F.concat([skips.pop(), upsample(x)], 1))
        return self.head(x)


@register
def unet(
    classes: int = 2,
    in_channels: int = 1,
    width: int = 64,
    depth: int = 4,
    batch_norm: bool = True,
) -> UNet:
    """U-Net for pixelwise classification; see `UNet`.

    Example:
        >>> import ranvier as rv
        >>> net = rv.models.get("unet", classes=3, width=8, depth=2)
        >>> net(rv.zeros(1, 1, 32, 32)).shape
        (1, 3, 32, 32)
    """
    return UNet(classes, in_channels, width, depth, batch_norm)
