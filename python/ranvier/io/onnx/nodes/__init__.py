"""What runs each kind of node: one function for each, by family.

A family is a module; importing it registers its functions with `ranvier.io.onnx.graph.node`.
"""

from ranvier.io.onnx.nodes import (
    control,
    convolution,
    elementwise,
    indexing,
    losses,
    movement,
    normalization,
    pooling,
    products,
    recurrent,
    reduction,
    resizing,
)

__all__ = [
    "control",
    "convolution",
    "elementwise",
    "indexing",
    "losses",
    "movement",
    "normalization",
    "pooling",
    "products",
    "recurrent",
    "reduction",
    "resizing",
]
