"""U-Net of width 16 and depth 3 on 96x96 RGB images: a training step at batch 4."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier.bench.models._pairs import training_row


def our_model() -> Any:
    import ranvier as rv

    return rv.models.get("unet", in_channels=3, width=16, depth=3)


def torch_model() -> Any:
    import torch
    from torch import nn

    def double(inputs: int, outputs: int) -> Any:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = (16, 32, 64, 128)
            self.down = nn.ModuleList(
                [double(i, o) for i, o in zip((3, *widths[:-1]), widths, strict=True)]
            )
            self.pool = nn.MaxPool2d(2)
            self.upsample = nn.ModuleList(
                [nn.ConvTranspose2d(2 * o, o, 2, stride=2) for o in (64, 32, 16)]
            )
            self.up = nn.ModuleList([double(2 * o, o) for o in (64, 32, 16)])
            self.head = nn.Conv2d(16, 2, 1)

        def forward(self, x: Any) -> Any:
            skips = []
            for level, block in enumerate(self.down):
                x = block(x if level == 0 else self.pool(x))
                skips.append(x)
            skips.pop()
            for upsample, block in zip(self.upsample, self.up, strict=True):
                x = block(torch.cat([skips.pop(), upsample(x)], 1))
            return self.head(x)

    return UNet()


def data(rng: np.random.Generator) -> dict[str, Any]:
    """Images and a class for every pixel."""
    return {
        "x": rng.standard_normal((4, 3, 96, 96), dtype=np.float32),
        "y": rng.integers(0, 2, (4, 96, 96)),
        "seed": int(rng.integers(1 << 30)),
    }


ROWS = [training_row("U-Net, width 16, 96x96, batch 4", data, our_model, torch_model, images=True)]
