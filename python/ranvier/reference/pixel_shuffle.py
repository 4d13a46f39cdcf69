"""Channels as finer pixels, and back.

Source: Shi et al., Real-time single image and video super-resolution using an efficient sub-pixel
convolutional neural network (2016).
"""

import numpy as np


def pixel_shuffle(x: np.ndarray, upscale_factor: int) -> np.ndarray:
    """(N, C r^2, H, W) as (N, C, H r, W r): one strided copy for each place in a cell."""
    r = upscale_factor
    n, c, h, w = x.shape
    y = np.empty((n, c // (r * r), h * r, w * r), x.dtype)
    for i in range(r):
        for j in range(r):
            y[:, :, i::r, j::r] = x[:, i * r + j :: r * r]
    return y


def pixel_shuffle_backward(grad: np.ndarray, x: np.ndarray, upscale_factor: int) -> np.ndarray:
    """The same copies backwards."""
    return pixel_unshuffle(grad, upscale_factor)


def pixel_unshuffle(x: np.ndarray, downscale_factor: int) -> np.ndarray:
    """(N, C, H r, W r) as (N, C r^2, H, W)."""
    r = downscale_factor
    n, c, h, w = x.shape
    y = np.empty((n, c * r * r, h // r, w // r), x.dtype)
    for i in range(r):
        for j in range(r):
            y[:, i * r + j :: r * r] = x[:, :, i::r, j::r]
    return y


def pixel_unshuffle_backward(grad: np.ndarray, x: np.ndarray, downscale_factor: int) -> np.ndarray:
    """The same copies backwards."""
    return pixel_shuffle(grad, downscale_factor)
