"""Local contrast normalization: each pixel against its Gaussian neighbourhood.

Source: Jarrett, Kavukcuoglu, Ranzato and LeCun, "What is the best multi-stage architecture for
object recognition?", ICCV 2009, section 3.1 (after Pinto, Cox and DiCarlo, 2008).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ranvier import _core
from ranvier.ops._arguments import real, whole
from ranvier.tensor import Tensor, check_tensors


@lru_cache(maxsize=32)
def _windows(size: int, kernel_size: int, sigma: float, dtype: str) -> np.ndarray:
    """(size, size): multiplied from the left, blurs columns of `size` pixels.

    Each row is a Gaussian window, cut at the borders and of sum 1.
    """
    distance = np.arange(size)[:, None] - np.arange(size)[None, :]
    window = np.exp(-0.5 * (distance / sigma) ** 2) * (np.abs(distance) <= kernel_size // 2)
    return (window / window.sum(axis=1, keepdims=True)).astype(dtype)


def _blur(size: int, kernel_size: int, sigma: float, x: Tensor) -> Tensor:
    """These windows beside x. They depend on no value, so a captured step may hold them."""
    window = _windows(size, kernel_size, sigma, x.dtype.name)
    return Tensor(_core.import_array(window)).to(x.device)


def local_contrast_norm(
    x: Tensor, kernel_size: int = 9, sigma: float | None = None, eps: float = 1e-6
) -> Tensor:
    """Takes away the mean of the neighbourhood, then divides by its standard deviation.

    With w a Gaussian window over kernel_size x kernel_size pixels and all channels, of sum 1:
    v = x - sum w x, d = sqrt(sum w v^2 + eps), y = v / max(d, mean(d)), where mean(d) is that of
    the sample. At the borders the window is cut and scaled to sum 1 again. A composite of other
    ops: a Gaussian is separable, so blurring is two products with banded matrices.

    Args:
        x: (N, C, H, W), floating.
        kernel_size: side of the window, odd.
        sigma: standard deviation of the Gaussian in pixels; kernel_size / 4 by default.
        eps: variance below which nothing is seen as contrast.

    Returns:
        (N, C, H, W).

    Raises:
        ValueError: x without four axes, an even window, or a sigma that is not positive.

    Example:
        >>> import ranvier as rv
        >>> y = rv.functional.local_contrast_norm(rv.ones(1, 1, 8, 8))
        >>> bool((y.abs() < 1e-3).all().item())
        True
    """
    check_tensors(x)
    if x.ndim != 4:
        raise ValueError(f"[local_contrast_norm] expected x of shape (N, C, H, W), got {x.shape}")
    if whole("kernel_size", kernel_size) < 1 or kernel_size % 2 == 0:
        raise ValueError(
            f"[local_contrast_norm] expected an odd kernel_size of at least 1, got {kernel_size} - "
            "the window is centred on a pixel"
        )
    sigma = kernel_size / 4 if sigma is None else real("sigma", sigma)
    if not sigma > 0:
        raise ValueError(f"[local_contrast_norm] expected a sigma above 0, got {sigma}")
    if not x.dtype.is_floating_point:
        raise TypeError(
            f"[local_contrast_norm] expected x of dtype float32 or float64, got {x.dtype.name} - "
            "convert it with .to(rv.float32)"
        )
    down = _blur(x.shape[2], kernel_size, sigma, x)
    across = _blur(x.shape[3], kernel_size, sigma, x).T
    v = x - down @ x.mean(1, keepdim=True) @ across
    deviation = (down @ (v * v).mean(1, keepdim=True) @ across + eps).sqrt()
    return v / deviation.maximum(deviation.mean((1, 2, 3), keepdim=True))
