"""Local contrast normalization; PyTorch has no such function, its twin is two convolutions."""

from __future__ import annotations

from typing import Any

from ranvier.bench.ops._calls import row


def twin(torch: Any, t: dict[str, Any]) -> Any:
    x = t["x"]
    at = torch.arange(-4.0, 5.0)
    bell = torch.exp(-(at**2) / (2 * (9 / 4) ** 2))
    window = (bell[:, None] * bell[None, :])[None, None]

    def blur(a: Any) -> Any:
        mass = torch.nn.functional.conv2d(torch.ones_like(a[:1, :1]), window, padding=4)
        return torch.nn.functional.conv2d(a.mean(1, keepdim=True), window, padding=4) / mass

    v = x - blur(x)
    d = torch.sqrt(blur(v * v) + 1e-6)
    return v / torch.maximum(d, d.mean((1, 2, 3), keepdim=True))


ROWS = [
    row(
        "16x3x32x32, 9x9",
        {"x": (16, 3, 32, 32)},
        lambda f, t: f.local_contrast_norm(t["x"]),
        twin,
        moved=2,
        tolerance=1e-4,
    )
]
