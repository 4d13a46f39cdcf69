"""Convolution of volumes and its adjoint: the references of images count no axes.

Source: Tran et al., Learning spatiotemporal features with 3D convolutional networks (2015).
"""

from .conv2d import conv2d as conv3d
from .conv2d import conv2d_backward as conv3d_backward
from .conv_transpose2d import conv_transpose2d as conv_transpose3d
from .conv_transpose2d import conv_transpose2d_backward as conv_transpose3d_backward

__all__ = ["conv3d", "conv3d_backward", "conv_transpose3d", "conv_transpose3d_backward"]
