"""The deep convolutional generative adversarial network.

Source: Radford, Metz and Chintala, "Unsupervised representation learning with deep convolutional
generative adversarial networks", ICLR 2016, figure 1 and section 3; weights from a normal
distribution of standard deviation 0.02, as there.
"""

from __future__ import annotations

from ranvier import nn
from ranvier.models.registry import register
from ranvier.tensor import Tensor


def _initialize(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d) and module.weight is not None:
            nn.init.normal_(module.weight, 1.0, 0.02)


def _doublings(size: int) -> int:
    if size < 8 or size & (size - 1):
        raise ValueError(f"[dcgan] expected a size of 8, 16, 32, 64 or 128 pixels, got {size}")
    return size.bit_length() - 3  # from 4x4


class Generator(nn.Module):
    """From noise to an image: transposed convolutions, batch norm, ReLU; tanh at the end.

    Args:
        latent: length of the noise vector.
        width: channels before the last layer; doubled at each halving of the size.
        channels: of the image.
        size: of the image, a power of two.

    Shapes:
        z (N, latent) -> images (N, channels, size, size) in (-1, 1).
    """

    def __init__(
        self, latent: int = 100, width: int = 64, channels: int = 3, size: int = 64
    ) -> None:
        self.input_size = (1, latent)
        self.latent = latent
        wide = width << (_doublings(size) - 1)
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(latent, wide, 4, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
        ]
        while wide > width:
            layers += [
                nn.ConvTranspose2d(wide, wide // 2, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(wide // 2),
                nn.ReLU(),
            ]
            wide //= 2
        layers += [nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        _initialize(self)

    def forward(self, z: Tensor) -> Tensor:
        """Images made of noise."""
        return self.layers(z.reshape(z.shape[0], self.latent, 1, 1))


class Discriminator(nn.Module):
    """Real or made? Strided convolutions, batch norm, leaky ReLU of slope 0.2.

    Args:
        width: channels after the first layer; doubled at each halving of the size.
        channels: of the image.
        size: of the image, a power of two.

    Shapes:
        images (N, channels, size, size) -> logits (N,): positive for real.
    """

    def __init__(self, width: int = 64, channels: int = 3, size: int = 64) -> None:
        self.input_size = (1, channels, size, size)
        layers: list[nn.Module] = [
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
        ]
        for _ in range(_doublings(size) - 1):
            layers += [
                nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(2 * width),
                nn.LeakyReLU(0.2),
            ]
            width *= 2
        layers.append(nn.Conv2d(width, 1, 4))
        self.layers = nn.Sequential(*layers)
        _initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.layers(x).reshape(x.shape[0])


@register
def dcgan_generator(
    latent: int = 100, width: int = 64, channels: int = 3, size: int = 64
) -> Generator:
    """DCGAN's generator; see `Generator`.

    Example:
        >>> import ranvier as rv
        >>> net = rv.models.get("dcgan_generator", latent=10, width=4, size=16)
        >>> net(rv.zeros(2, 10)).shape
        (2, 3, 16, 16)
    """
    return Generator(latent, width, channels, size)


@register
def dcgan_discriminator(width: int = 64, channels: int = 3, size: int = 64) -> Discriminator:
    """DCGAN's discriminator; see `Discriminator`."""
    return Discriminator(width, channels, size)
