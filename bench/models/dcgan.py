"""DCGAN on 64x64 images: one step of the discriminator and one of the generator, batch 16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ranvier.bench.models._pairs import _weights
from ranvier.bench.suite import Row

BATCH, LATENT = 16, 100


def data(rng: np.random.Generator) -> dict[str, Any]:
    """Images, noise and a seed for the weights."""
    return {
        "x": rng.uniform(-1, 1, (BATCH, 3, 64, 64)).astype(np.float32),
        "z": rng.standard_normal((BATCH, LATENT), dtype=np.float32),
        "seed": int(rng.integers(1 << 30)),
    }


def adversarial_step(
    functional: Any, no_grad: Any, nets: tuple[Any, Any], optimizers: tuple[Any, Any]
) -> Callable[[Any, Any], Any]:
    """The non-saturating game, written once for both libraries; returns both losses' sum."""
    generator, discriminator = nets
    for_generator, for_discriminator = optimizers
    softplus = functional.softplus

    def step(x: Any, z: Any) -> Any:
        with no_grad():
            made = generator(z)
        for_discriminator.zero_grad()
        loss = softplus(-discriminator(x)).mean() + softplus(discriminator(made)).mean()
        loss.backward()
        for_discriminator.step()
        for_generator.zero_grad()
        fooled = softplus(-discriminator(generator(z))).mean()
        fooled.backward()
        for_generator.step()
        return loss.detach() + fooled.detach()

    return step


def ours(captured: bool) -> Callable[[dict[str, Any]], Any]:
    """Our step."""

    def make(d: dict[str, Any]) -> Any:
        import ranvier as rv
        from ranvier import functional as F

        nets = rv.models.get("dcgan_generator"), rv.models.get("dcgan_discriminator")
        optimizers = []
        for net in nets:
            parameters = list(net.parameters())
            weights = _weights([p.shape for p in parameters], d["seed"])
            with rv.no_grad():
                for p, w in zip(parameters, weights, strict=True):
                    p.copy_(rv.tensor(w))
            optimizers.append(rv.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.999)))
        step = adversarial_step(F, rv.no_grad, nets, (optimizers[0], optimizers[1]))
        run = rv.capture(step) if captured else step
        x, z = rv.tensor(d["x"]), rv.tensor(d["z"])
        return lambda: run(x, z)

    return make


def torch_nets() -> tuple[Any, Any]:
    """The same nets."""
    from torch import nn

    def up(i: int, o: int, *geometry: int) -> list[Any]:
        return [nn.ConvTranspose2d(i, o, 4, *geometry, bias=False), nn.BatchNorm2d(o), nn.ReLU()]

    def down(i: int, o: int) -> list[Any]:
        return [nn.Conv2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.LeakyReLU(0.2)]

    generator = nn.Sequential(
        nn.Unflatten(1, (LATENT, 1, 1)),
        *up(LATENT, 512), *up(512, 256, 2, 1), *up(256, 128, 2, 1), *up(128, 64, 2, 1),
        nn.ConvTranspose2d(64, 3, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.Conv2d(3, 64, 4, 2, 1), nn.LeakyReLU(0.2),
        *down(64, 128), *down(128, 256), *down(256, 512), nn.Conv2d(512, 1, 4), nn.Flatten(0),
    )  # fmt: skip
    return generator, discriminator


def theirs(channels_last: bool, compiled: bool = False) -> Callable[[dict[str, Any]], Any]:
    """PyTorch's step."""

    def make(d: dict[str, Any]) -> Any:
        import torch

        nets = torch_nets()
        optimizers = []
        for net in nets:
            parameters = list(net.parameters())
            weights = _weights([tuple(p.shape) for p in parameters], d["seed"])
            with torch.no_grad():
                for p, w in zip(parameters, weights, strict=True):
                    p.copy_(torch.tensor(w))
            if channels_last:
                net.to(memory_format=torch.channels_last)
            optimizers.append(torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.999), fused=True))
        if compiled:
            nets = torch.compile(nets[0]), torch.compile(nets[1])
        step = adversarial_step(
            torch.nn.functional, torch.no_grad, nets, (optimizers[0], optimizers[1])
        )
        x, z = torch.tensor(d["x"]), torch.tensor(d["z"])
        if channels_last:
            x = x.to(memory_format=torch.channels_last)
        return lambda: step(x, z)

    return make


ROWS = [
    Row(
        "64x64, batch 16, one step of each",
        data,
        {
            "ranvier": ours(True),
            "ranvier-eager": ours(False),
            "torch": theirs(False),
            "torch-channels_last": theirs(True),
            "compile": theirs(False, compiled=True),
        },
        tolerance=1e-3,
    )
]
