"""Convolution of sequences: the reference of images counts no axes, so it is this one too.

Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 9.1.
"""

from .conv2d import conv2d as conv1d
from .conv2d import conv2d_backward as conv1d_backward

__all__ = ["conv1d", "conv1d_backward"]
